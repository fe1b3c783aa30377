namespace Agent.Core

open System
open Agent.Core.Causes
open Agent.Core.Jobs
open Agent.Core.Units

/// A label, its confidence, and the reason.
[<NoComparison>]
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
        /// The figures that decided, the most important first.
        Evidence: Witness[]
        /// What was looked at and is not the limit, with its figure.
        RuledOut: Witness[]
    }

/// A job, and what holds it back.
[<NoComparison>]
type JudgedJob =
    {
        /// What it is and did.
        Job: Job
        /// What holds it back.
        Verdict: Verdict
    }

/// The jobs of a machine, and what holds each of them and the machine back.
[<NoComparison>]
type JobReport =
    {
        /// The jobs, at most 64.
        Jobs: JudgedJob[]
        /// Of the worst job; of the GPUs where they are in use and no job is known.
        Machine: Verdict
        /// How many jobs there are beside them, which nobody watches.
        LeftOut: int
    }

/// The verdicts of one observation.
[<NoComparison>]
type Verdicts =
    {
        /// That of the worst job, or of the host where no GPUs are in use.
        Machine: Verdict
        /// One for each job, in the order of the evidence: the job's id and its verdict.
        Jobs: struct (string * Verdict)[]
    }

/// What decide remembers from one observation to the next: the window, and the verdict of each job. It is bounded: at most 64 observations, and only jobs
/// of the last half minute.
[<NoComparison>]
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

/// Decides what holds each job, and the machine, back. docs/verdict.md says what decides each label.
[<RequireQualifiedAccess>]
module Verdict =
    /// If another label was decided recently, the confidence of the kept one is limited.
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

    /// From the worst on: what is broken, what stopped, what is wasted, what is held back.
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

    /// Among jobs that are equally bad the one with the most GPUs, which wastes most.
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

    /// The verdicts after one more observation. Observations are passed in time order, and the evidence of an interval only once.
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

        let users =
            if newest.Jobs.Length > 0 then
                ValueNone
            else
                Anonymous.jobOf gpus

        let jobs =
            match users with
            | ValueSome job -> [| job |]
            | ValueNone -> newest.Jobs

        let memories =
            jobs
            |> Array.mapi (fun i job -> JobMemory.decide users.IsSome looks gpus host faults state.Jobs i job)

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
                let before =
                    state.Host
                    |> ValueOption.defaultWith (fun () -> Hold.first at JobMemory.nothingSeen)

                if seenFor < Limits.start then
                    ValueSome before
                else
                    ValueSome(Hold.step at length (Decision.ofHost host) before)

        // A program's own error says something of its job alone, not of the machine.
        let broken = faults |> Array.filter (Faults.isOfProgram >> not)

        let machine =
            match FaultWords.decide broken, hostHeld with
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

    /// The same with the jobs beside their verdicts.
    [<CompiledName "Report">]
    let report (state: VerdictState) (evidence: Evidence) : VerdictState * JobReport =
        let state, verdicts = decide state evidence

        let judge index (job: Job) : JudgedJob =
            let struct (_, verdict) = verdicts.Jobs[index]
            { Job = job; Verdict = verdict }

        let report: JobReport =
            {
                Jobs = evidence.Jobs |> Array.mapi judge
                Machine = verdicts.Machine
                LeftOut = 0
            }

        state, report

    /// What can be said of a verdict of which no more is known than the figures that decided, the most important first, as in a cluster of metrics: the
    /// sentence that a machine without GPU jobs gets of them; empty where there are none.
    [<CompiledName "ReasonOf">]
    let reasonOf (evidence: Witness[]) : string = Reasons.ofWitnesses evidence

    /// What usually helps against a label, where nothing is known of the job, as in a cluster of metrics; empty where nothing needs to be done.
    [<CompiledName "UsualFix">]
    let usualFix (label: VerdictLabel) : string = Fixes.usual label
