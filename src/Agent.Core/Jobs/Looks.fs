/// From what was counted at two looks to what happened between them.
[<RequireQualifiedAccess>]
module Agent.Core.Jobs.Looks

open Agent.Core
open Agent.Core.Units

/// What the interval from one look to the next showed. A process, a thread, a disk or a mount that is new, and a counter that fell, give no
/// share for that interval; neither do two looks at one instant.
[<CompiledName "Between">]
let between (before: Look) (after: Look) : Evidence =
    let length: float<s> =
        LanguagePrimitives.FloatWithMeasure(max 0.0 (after.Clock - before.Clock).TotalSeconds)

    let host = HostLooks.between length before after

    {
        At = after.At
        Length = length
        Host = host
        Gpus = GpuLooks.between length before after
        Jobs =
            after.Jobs
            |> Array.truncate Grouping.MostJobs
            |> Array.map (fun job ->
                JobLooks.between length host after (Rates.find (fun (other: JobCounters) -> other.Group.Id) job.Group.Id before.Jobs) job)
    }

/// A thread's CPU time at two instants.
[<Struct>]
[<NoComparison>]
type ThreadCpu =
    {
        /// Its number.
        Tid: int
        /// When it started, since boot.
        StartedAt: uint64<tick>
        /// In user and kernel mode.
        CpuTime: uint64<tick>
        /// True when it was in uninterruptible sleep.
        IsBlocked: bool
    }

/// The threads of a process that are worth watching, by two scans of all of them: those that used at least a twentieth of a CPU since, and those
/// that were blocked; the busiest first, at most so many. The main thread is watched anyway, and not among them.
[<CompiledName "WorthWatching">]
let worthWatching (most: int) (pid: int) (length: float<s>) (before: ThreadCpu[]) (after: ThreadCpu[]) : int[] =
    let earlier = System.Collections.Generic.Dictionary<int, ThreadCpu>(before.Length)

    for thread in before do
        earlier[thread.Tid] <- thread

    after
    |> Array.choose (fun thread ->
        let used =
            match earlier.TryGetValue thread.Tid with
            | true, known when known.StartedAt = thread.StartedAt -> Rates.grown known.CpuTime thread.CpuTime
            // One that is new has used all of its time since.
            | _ when before.Length > 0 -> ValueSome(float thread.CpuTime * 1.0<tick>)
            | _ -> ValueNone

        let share =
            Rates.ofTicks used
            |> Rates.share length
            |> ValueOption.defaultValue 0.0<percent>

        if thread.Tid <> pid && (thread.IsBlocked || share >= 5.0<percent>) then
            Some struct (share, thread.Tid)
        else
            None)
    |> Array.sortBy (fun (struct (share, tid)) -> struct (-share, tid))
    |> Array.truncate most
    |> Array.map (fun (struct (_, tid)) -> tid)
