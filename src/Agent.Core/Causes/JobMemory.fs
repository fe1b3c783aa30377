namespace Agent.Core.Causes

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// What is remembered of one job from look to look.
[<NoComparison>]
type internal JobMemory =
    {
        /// Its id; empty for GPUs that nobody knows the users of.
        Id: string
        /// The first look that had it.
        FirstSeen: DateTimeOffset
        /// The last one.
        LastSeen: DateTimeOffset
        /// Looks before this instant do not count: the job was still setting itself up.
        From: DateTimeOffset
        /// How much of it was seen since then.
        SeenFor: float<s>
        /// False for a young job that has not used its GPUs yet.
        HasBegun: bool
        /// Every GPU that it was seen on: a lost one is in no list any more.
        Gpus: int[]
        /// Since when it stands still.
        Still: Standstill.Still
        /// What is shown.
        Held: Held
    }

/// Deciding about one job.
[<RequireQualifiedAccess>]
module internal JobMemory =
    let private isYoung (job: Job) (at: DateTimeOffset) : bool =
        match job.StartedAt with
        | ValueSome started -> started <= at && Window.since started at < Limits.young
        | ValueNone -> false

    /// Nothing is said yet.
    let nothingSeen =
        Decision.starting $"Watching: a verdict needs {Figures.time Limits.start} of evidence."

    let private notBegun = Decision.starting "It has just started and has not used its GPUs yet."

    let private remembered (jobs: JobMemory[]) (id: string) : JobMemory voption =
        match jobs |> Array.tryFind (fun memory -> String.Equals(memory.Id, id)) with
        | Some memory -> ValueSome memory
        | None -> ValueNone

    let private remember (job: Job) (newest: Evidence) (memory: JobMemory voption) : JobMemory =
        let length = Window.lengthOf newest
        let at = newest.At

        let mine = job.Gpus |> Array.map _.Index

        match memory with
        | ValueNone ->
            {
                Id = job.Id
                FirstSeen = at
                LastSeen = at
                From = at
                SeenFor = length
                HasBegun = not (isYoung job at)
                Gpus = mine |> Array.truncate Limits.mostFaults
                Still = Standstill.never
                Held = Hold.first at nothingSeen
            }
        | ValueSome memory ->
            { memory with
                LastSeen = at
                // A clock that was set back leaves looks of the future, which are gone from the window.
                From = if memory.From > at then at else memory.From
                SeenFor = min Limits.longest (memory.SeenFor + length)
                Gpus =
                    Array.append memory.Gpus mine
                    |> Array.distinct
                    |> Array.truncate Limits.mostFaults
            }

    /// What counts begins with this look.
    let private fromNow (newest: Evidence) (memory: JobMemory) : JobMemory =
        { memory with
            HasBegun = true
            From = newest.At
            SeenFor = Window.lengthOf newest
        }

    /// A job that sets itself up is not judged by that: what counts begins with its first work on a GPU. Nor is one that stood still by that, once
    /// it works again.
    let private begun (scene: Scene) (newest: Evidence) (memory: JobMemory) : JobMemory =
        let isAtWork =
            match scene.Busy with
            | ValueSome busy -> busy >= Limits.begun
            | ValueNone -> true

        let stoodStill =
            match memory.Still.Unused with
            | ValueSome since -> Window.since since newest.At > Limits.window
            | ValueNone -> false

        if memory.HasBegun then
            if stoodStill && isAtWork then
                fromNow newest memory
            else
                memory
        elif isAtWork then
            fromNow newest memory
        elif memory.SeenFor >= Limits.warmUp then
            { memory with HasBegun = true }
        else
            memory

    /// The job over the looks that count.
    let private over (looks: Means.Part<Evidence>[]) (from: DateTimeOffset) (place: int) (job: Job) : Means.Part<Job>[] =
        let since = looks |> Array.filter (fun look -> look.Item.At >= from)
        Means.across since _.Jobs place (fun other -> String.Equals(other.Id, job.Id))

    /// What is remembered, and shown, of a job after one look more.
    let decide
        (isAnonymous: bool)
        (looks: Means.Part<Evidence>[])
        (gpus: GpuEvidence[])
        (host: HostEvidence)
        (faults: Faults.Fault[])
        (before: JobMemory[])
        (place: int)
        (job: Job)
        : JobMemory =
        let newest = looks[looks.Length - 1].Item

        let known = remembered before job.Id |> remember job newest

        let parts from =
            if isAnonymous then
                [| { Means.Weight = 1.0; Means.Item = job } |]
            else
                over looks from place job

        // Whether it has begun is seen in the newest look alone.
        let now = Scene.make isAnonymous newest.Gpus newest.Host job
        let memory = begun now newest known
        let parts = parts memory.From
        let mean = Means.job parts

        // The GPUs of a job that has just begun are judged by the same looks as the job.
        let gpus =
            if memory.From > looks[0].Item.At then
                looks |> Array.filter (fun look -> look.Item.At >= memory.From) |> Window.gpus
            else
                gpus

        let scene = Scene.make isAnonymous gpus host mean
        let length = Window.lengthOf newest

        let seen = if isAnonymous then Window.seen looks else Window.seen parts

        let still = Standstill.update scene newest.At length seen memory.Still

        let decided =
            match FaultWords.decide (Faults.ofJob memory.Gpus memory.FirstSeen faults) with
            | ValueSome fault -> fault
            | ValueNone when not memory.HasBegun -> notBegun
            | ValueNone when memory.SeenFor < Limits.start -> nothingSeen
            | ValueNone -> Decision.ofJob scene newest.At still

        // A job that was seen for a while and is set up once more keeps its label.
        let held =
            if decided.Label.IsStarting && not memory.Held.Shown.Label.IsStarting then
                memory.Held
            else
                Hold.step newest.At length decided memory.Held

        { memory with
            Still = still
            Held = held
        }
