namespace Agent.Receiver

open System
open Agent.Core

/// The state of a server.
[<RequireQualifiedAccess>]
type ServerState =
    /// Its last sample is recent.
    | Live
    /// Samples came, but have stopped.
    | Stale
    /// No sample ever came.
    | Never
    /// Its samples are refused.
    | Disabled

    /// Its name in answers.
    override state.ToString() =
        match state with
        | Live -> "live"
        | Stale -> "stale"
        | Never -> "never"
        | Disabled -> "disabled"

/// What needs attention first.
[<RequireQualifiedAccess>]
module Attention =
    /// A server is stale after this much silence, or five of its intervals, whichever is longer.
    let shortestStale: TimeSpan = TimeSpan.FromSeconds 30.0

    /// How long a server may be silent whose samples come at this interval, in seconds.
    [<CompiledName "StaleAfter">]
    let staleAfter (interval: float voption) : TimeSpan =
        match interval with
        | ValueSome seconds when seconds > 0.0 && seconds < 864000.0 -> max shortestStale (TimeSpan.FromSeconds(5.0 * seconds))
        | _ -> shortestStale

    /// The state of a server whose last sample arrived then.
    [<CompiledName "StateOf">]
    let stateOf (isActive: bool) (lastSeen: DateTimeOffset voption) (interval: float voption) (now: DateTimeOffset) : ServerState =
        match lastSeen with
        | _ when not isActive -> ServerState.Disabled
        | ValueNone -> ServerState.Never
        | ValueSome seen when now - seen > staleAfter interval -> ServerState.Stale
        | ValueSome _ -> ServerState.Live

    // nvml.h: hardware slowdown, software thermal, hardware thermal, power brake.
    let private hotBits = 0x8L ||| 0x20L ||| 0x40L ||| 0x80L

    /// True when a GPU is slowed down by heat or by its power supply.
    [<CompiledName "IsHot">]
    let isHot (report: Report) : bool =
        report.Gpus
        |> Array.exists (fun gpu ->
            match gpu.Figures.Whole Schema.gpuThrottle with
            | ValueSome bits -> bits &&& hotBits <> 0L
            | ValueNone -> false)

    let private ofLabel (label: BottleneckLabel) =
        match label with
        | BottleneckLabel.MemoryPressure -> 80
        | BottleneckLabel.IoBound -> 65
        | BottleneckLabel.CpuBound -> 60
        | BottleneckLabel.Underutilized -> 50
        | BottleneckLabel.MixedIoGpu -> 40
        | BottleneckLabel.MixedCpuGpu -> 35
        | BottleneckLabel.Mixed -> 30
        | BottleneckLabel.GpuBound
        | BottleneckLabel.Balanced -> 0
        | BottleneckLabel.Idle -> -10

    /// 0 is fine; a higher number is more urgent. What is below 0 does nothing.
    [<CompiledName "Of">]
    let score (state: ServerState) (label: BottleneckLabel voption) (hot: bool) : int =
        match state, label with
        | ServerState.Stale, _ -> 90
        | ServerState.Live, ValueSome label -> if hot then max 70 (ofLabel label) else ofLabel label
        | ServerState.Live, ValueNone -> 0
        | ServerState.Never, _ -> -20
        | ServerState.Disabled, _ -> -30
