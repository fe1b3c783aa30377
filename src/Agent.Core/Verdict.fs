namespace Agent.Core

open System
open Agent.Core.Causes
open Agent.Core.Jobs
open Agent.Core.Units

/// A label, how sure, and why.
type Verdict =
    {
        /// What holds it back.
        Label: VerdictLabel
        /// A second limit that is close behind; none for most.
        Second: VerdictLabel voption
        /// Since when the label holds.
        Since: DateTimeOffset
        /// 0 to 1; below 0.5 is a guess.
        Confidence: float
        /// One or two sentences with the figures that decided.
        Reason: string
        /// One concrete thing to try, with its command or parameter; empty where nothing needs to be done.
        Fix: string
        /// The figures that decided, the weightiest first.
        Evidence: Witness[]
        /// What was looked at and is not the limit, with its figure.
        RuledOut: Witness[]
    }

/// The verdicts of one look.
type Verdicts =
    {
        /// That of the worst job, or of the host where nobody uses GPUs.
        Machine: Verdict
        /// One for each job, in the order of the evidence: the job's id and its verdict.
        Jobs: struct (string * Verdict)[]
    }

/// What is remembered of one job from look to look.
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

/// What decide remembers from one look to the next: the window, and of each job what was said. It is bounded: at most 64 looks, and only jobs
/// of the last half minute.
type VerdictState =
    internal
        {
            Looks: Window.Window
            SeenFor: float<s>
            Faults: Faults.Fault[]
            Jobs: JobMemory[]
            Host: Held voption
        }

    /// Nothing was seen yet.
    static member Empty: VerdictState =
        {
            Looks = [||]
            SeenFor = 0.0<s>
            Faults = [||]
            Jobs = [||]
            Host = ValueNone
        }

/// Deciding what holds each job, and the machine, back. docs/verdict.md says what decides each label.
[<RequireQualifiedAccess>]
module Verdict =
    /// While another label was decided lately, the one that is kept is not sure.
    let private shown (held: Held) : Verdict =
        {
            Label = held.Shown.Label
            Second =
                match held.Shown.Second, held.Other with
                | ValueNone, ValueSome other when not (other.IsStarting || other.IsUnknown) -> ValueSome other
                | second, _ -> second
            Since = held.Since
            Confidence =
                if held.Other.IsSome then
                    min held.Shown.Confidence Limits.lonely
                else
                    held.Shown.Confidence
            Reason = held.Shown.Reason
            Fix = held.Shown.Fix
            Evidence = held.Shown.Evidence
            RuledOut = held.Shown.RuledOut
        }

    /// GPUs that are in use though no job is known: one job of unknown processes, for which the machine's figures stand in.
    let private anonymous (gpus: GpuEvidence[]) : Job voption =
        let isUsed (gpu: GpuEvidence) =
            gpu.IsHeld
            || (match gpu.Busy with
                | ValueSome busy -> busy > Limits.gpuStill
                | ValueNone -> false)

        match gpus |> Array.filter isUsed with
        | [||] -> ValueNone
        | used ->
            ValueSome
                {
                    Id = ""
                    Owner =
                        {
                            Kind = OwnerKind.Session
                            Value = ""
                            Namespace = ""
                            Name = ""
                        }
                    User = ""
                    Uid = -1
                    Name = ""
                    Command = ""
                    RootPid = 0
                    StartedAt = ValueNone
                    Gpus =
                        used
                        |> Array.map (fun gpu ->
                            {
                                Index = gpu.Index
                                Uuid = gpu.Uuid
                                Memory = gpu.MemoryUsed
                                SmShare = ValueNone
                            })
                    Processes = 0
                    Threads = 0
                    Loaders = 0
                    CpuCores = ValueNone
                    CpuCoresAllowed = ValueNone
                    BusiestThread = ValueNone
                    BusiestThreadRole = ValueNone
                    MainThread = ValueNone
                    LoadersBusy = ValueNone
                    CpuWait = ValueNone
                    CpuThrottled = ValueNone
                    Blocked = ValueNone
                    MainBlocked = ValueNone
                    BlockedOn = ValueNone
                    Read = ValueNone
                    Written = ValueNone
                    NetworkReceived = ValueNone
                    Memory = ValueNone
                    MemoryLimit = ValueNone
                    MemoryStall = ValueNone
                    IoStall = ValueNone
                    MajorFaults = ValueNone
                    OutOfMemoryKills = 0UL
                    GpuBusy = ValueNone
                    GpuLeastBusy = ValueNone
                    GpuPower = ValueNone
                }

    let private isYoung (job: Job) (at: DateTimeOffset) : bool =
        match job.StartedAt with
        | ValueSome started -> started <= at && Window.since started at < Limits.young
        | ValueNone -> false

    let private nothingSeen =
        Decision.starting $"Watching: a verdict needs {Figures.time Limits.start} of evidence."

    let private notBegun = Decision.starting "It began a moment ago and has not used its GPUs yet."

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

    let private decideJob
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

        let still = Standstill.update scene newest.At seen memory.Still

        let decided =
            match Decision.ofFaults (Faults.ofJob memory.Gpus memory.FirstSeen faults) with
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

    /// From the worst: what is broken, what stopped, what is wasted, what is held back.
    let private severity (label: VerdictLabel) : int =
        match label with
        | VerdictLabel.GpuFault -> 0
        | VerdictLabel.Hang -> 1
        | VerdictLabel.Unknown -> 3
        | VerdictLabel.Compute -> 4
        | VerdictLabel.Idle -> 5
        | VerdictLabel.Starting -> 6
        | _ -> 2

    let private place (label: VerdictLabel) =
        Array.FindIndex(VerdictLabel.All, (fun other -> other.Name = label.Name))

    /// Of jobs that are equally bad the one with the most GPUs, which wastes most.
    let private worse (one: Job) (first: Verdict) (other: Job) (second: Verdict) : int =
        match compare (severity first.Label) (severity second.Label) with
        | 0 ->
            match compare other.Gpus.Length one.Gpus.Length with
            | 0 ->
                match compare (place first.Label) (place second.Label) with
                | 0 -> String.CompareOrdinal(one.Id, other.Id)
                | order -> order
            | order -> order
        | order -> order

    let private nameOf (job: Job) : string =
        let name = if job.Name = "" then job.Id else job.Name
        let user = if job.User = "" then "" else $" of {job.User}"
        name + user

    /// That of the worst job; with several jobs it says which.
    let private worst (jobs: struct (Job * Verdict)[]) : Verdict =
        let sorted =
            jobs
            |> Array.sortWith (fun (struct (one, first)) (struct (other, second)) -> worse one first other second)

        let struct (job, verdict) = sorted[0]

        if jobs.Length = 1 || verdict.Label.IsStarting then
            verdict
        else
            { verdict with
                Reason = $"{nameOf job}: {verdict.Reason}"
            }

    let private ofFault (decided: Decided) (at: DateTimeOffset) : Verdict = Hold.first at decided |> shown

    /// The verdicts after one look more. Looks come in the order of time; one interval's evidence is given once.
    [<CompiledName "Decide">]
    let decide (state: VerdictState) (evidence: Evidence) : VerdictState * Verdicts =
        let window = Window.add evidence state.Looks
        let looks = Window.parts window
        let newest = window[window.Length - 1]
        let at = newest.At
        let host = Window.host looks
        let gpus = Window.gpus looks
        let faults = Faults.update newest state.Faults
        let length = Window.lengthOf newest
        let seenFor = min Limits.longest (state.SeenFor + length)

        let users = if newest.Jobs.Length > 0 then ValueNone else anonymous gpus

        let jobs =
            match users with
            | ValueSome job -> [| job |]
            | ValueNone -> newest.Jobs

        let memories =
            jobs
            |> Array.mapi (fun i job -> decideJob users.IsSome looks gpus host faults state.Jobs i job)

        let told =
            Array.map2 (fun (job: Job) (memory: JobMemory) -> struct (job, shown memory.Held)) jobs memories

        // A job that one look missed is not a new one when it is back.
        let missed =
            state.Jobs
            |> Array.filter (fun memory ->
                memory.LastSeen <= at
                && Window.since memory.LastSeen at < Limits.window
                && not (memories |> Array.exists (fun now -> String.Equals(now.Id, memory.Id))))

        let hostHeld =
            if jobs.Length > 0 then
                ValueNone
            else
                let before = state.Host |> ValueOption.defaultWith (fun () -> Hold.first at nothingSeen)

                if seenFor < Limits.start then
                    ValueSome before
                else
                    ValueSome(Hold.step at length (Decision.ofHost host) before)

        // A program's own error is told of its job alone.
        let broken = faults |> Array.filter (Faults.isOfProgram >> not)

        let machine =
            match Decision.ofFaults broken, hostHeld with
            | ValueSome decided, _ -> ofFault decided at
            | ValueNone, ValueSome held -> shown held
            | ValueNone, ValueNone -> worst told

        let verdicts =
            {
                Machine = machine
                Jobs =
                    if users.IsSome then
                        [||]
                    else
                        told |> Array.map (fun struct (job, verdict) -> struct (job.Id, verdict))
            }

        {
            Looks = window
            SeenFor = seenFor
            Faults = faults
            Jobs = Array.append memories (Array.truncate Limits.mostLooks missed)
            Host = hostHeld
        },
        verdicts
