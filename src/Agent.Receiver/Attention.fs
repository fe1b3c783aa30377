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

    let private ofSeverity (severity: Severity) =
        match severity with
        | Severity.Fault -> 80
        | Severity.HeldBack -> 60
        | Severity.HeldIdle -> 40
        | Severity.Healthy -> 0
        | Severity.Idle -> -10

    /// 0 is fine; a higher number is more urgent. What is below 0 does nothing.
    [<CompiledName "Of">]
    let score (state: ServerState) (verdict: VerdictLabel voption) : int =
        match state, verdict with
        | ServerState.Stale, _ -> 90
        | ServerState.Live, ValueSome label -> ofSeverity (Severity.ofLabel label)
        | ServerState.Live, ValueNone -> 0
        | ServerState.Never, _ -> -20
        | ServerState.Disabled, _ -> -30
