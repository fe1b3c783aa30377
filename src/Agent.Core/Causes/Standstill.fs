/// Jobs that do nothing at all: for how long, and whether they hang or nobody uses them.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Standstill

open System
open Agent.Core
open Agent.Core.Units

/// Since when a job stands still, in each of three ways.
[<NoComparison>]
type Still =
    {
        /// Utilisation pinned high at low power, and either no CPU time and no bytes, or nothing that moves between GPUs.
        Pinned: DateTimeOffset voption
        /// No utilisation, no CPU time, no bytes.
        Silent: DateTimeOffset voption
        /// No utilisation, no CPU time.
        Unused: DateTimeOffset voption
        /// How long it has been at work since it was first seen.
        WorkedFor: float<s>
        /// True for one that rested before and then worked again, as a server or a notebook does.
        HasRested: bool
    }

/// Nothing stands still.
let never: Still =
    {
        Pinned = ValueNone
        Silent = ValueNone
        Unused = ValueNone
        WorkedFor = 0.0<s>
        HasRested = false
    }

let private under (limit: float<'u>) (value: float<'u> voption) =
    match value with
    | ValueSome value -> value < limit
    | ValueNone -> false

let private noMore (limit: float<'u>) (value: float<'u> voption) =
    match value with
    | ValueSome value -> value < limit
    | ValueNone -> true

/// True when the job is known to take no CPU time; for GPUs that nobody knows the users of, when the machine does next to nothing.
let isQuiet (scene: Scene) : bool =
    under Limits.cpuStill scene.Job.CpuCores
    || (scene.IsAnonymous && under Limits.hostIdle scene.Host.CpuBusy)

/// Bytes that are unknown do not speak against it; the CPU time must be known.
let private isSilent (scene: Scene) : bool =
    isQuiet scene
    && noMore Limits.bytesStill scene.Job.Read
    && noMore Limits.bytesStill scene.Job.Written
    && noMore Limits.bytesStill scene.Job.NetworkReceived

/// True when it is known that nothing moves between GPUs, nor on the network.
let private isStuck (scene: Scene) : bool =
    let nvlink = scene.Gpus |> Array.map _.Nvlink |> Scene.total
    let pcie = scene.Gpus |> Array.map Scene.pcie |> Scene.total

    (nvlink.IsSome || pcie.IsSome)
    && noMore (0.01 * Limits.movingBus) nvlink
    && noMore (0.1 * Limits.movingBus) pcie
    && scene.Host.Links |> Array.sumBy _.Received < Limits.trickle

/// The instant so long before another.
let private before (at: DateTimeOffset) (length: float<s>) : DateTimeOffset =
    let ticks = int64 (float length * float TimeSpan.TicksPerSecond)

    if at.UtcTicks > ticks + TimeSpan.TicksPerDay then
        at.AddTicks(-ticks)
    else
        at

/// With what the window says now. It looks back over all of it, so that what it finds began with it.
let update (scene: Scene) (at: DateTimeOffset) (length: float<s>) (seen: float<s>) (still: Still) : Still =
    let since (isSo: bool) (known: DateTimeOffset voption) =
        match known with
        | ValueSome instant when isSo && instant <= at -> ValueSome instant
        | _ when isSo -> ValueSome(before at (min seen Limits.window))
        | _ -> ValueNone

    let isPinned =
        match scene.Busy, scene.Power with
        | ValueSome busy, ValueSome power -> busy >= Limits.gpuPinned && power <= Limits.lowPower
        | _ -> false

    let isUnused =
        match scene.Busy with
        | ValueSome busy -> busy <= Limits.gpuStill && isQuiet scene
        | ValueNone -> false

    let isAtWork =
        match scene.Busy with
        | ValueSome busy -> busy >= Limits.begun && not isPinned
        | ValueNone -> false

    let rested =
        match still.Unused with
        | ValueSome instant -> isAtWork && Window.since instant at > 2.0 * Limits.window
        | ValueNone -> false

    {
        WorkedFor =
            if isAtWork then
                min Limits.longest (still.WorkedFor + length)
            else
                still.WorkedFor
        HasRested = still.HasRested || rested
        Pinned = since (isPinned && (isSilent scene || isStuck scene)) still.Pinned
        Silent = since (isUnused && isSilent scene) still.Silent
        Unused = since isUnused still.Unused
    }

/// How a job stands still.
[<RequireQualifiedAccess; Struct>]
type Kind =
    /// It does not, or not for long enough.
    | No
    /// It stopped: utilisation is pinned.
    | HangsBusy of busyFor: float<s>
    /// It stopped: its loaders or its blocked threads are still there.
    | HangsSilent of silentFor: float<s>
    /// Nobody uses it.
    | Held of heldFor: float<s>

let private lasts (at: DateTimeOffset) (limit: float<s>) (since: DateTimeOffset voption) : float<s> voption =
    match since with
    | ValueSome instant when Window.since instant at >= limit -> ValueSome(Window.since instant at)
    | _ -> ValueNone

/// True for a job that computed all the time for as long as it was watched. Whether one that was never seen at work hangs or waits for somebody,
/// nobody can see: a server with a helper process looks the same.
let private hasStopped (still: Still) : bool =
    still.WorkedFor >= Limits.worked && not still.HasRested

/// What standing still means: workers that computed and now wait for each other are a hang, as is one that is stuck in the kernel; what holds memory
/// otherwise waits for somebody.
let judge (scene: Scene) (at: DateTimeOffset) (still: Still) : Kind =
    let isBlocked =
        match scene.Job.Blocked with
        | ValueSome blocked -> blocked >= Limits.explains
        | ValueNone -> false

    let isHanging = isBlocked || (scene.Job.Loaders > 0 && hasStopped still)

    match lasts at Limits.hang still.Pinned, lasts at Limits.hang still.Silent, lasts at Limits.idle still.Unused with
    | ValueSome time, _, _ -> Kind.HangsBusy time
    | _, ValueSome time, _ when isHanging -> Kind.HangsSilent time
    | _, _, ValueSome time -> Kind.Held time
    | _ -> Kind.No
