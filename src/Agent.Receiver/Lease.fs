namespace Agent.Receiver

open System

/// Who evaluates the rules and delivers messages, as the row of the state says it, read by the clock of the state.
type LeaseRow =
    {
        /// Which run of which dashboard; empty for nobody.
        Holder: string
        /// Rises with each change of the holder, and never falls: what is written names the number that it was decided under.
        Token: int64
        /// For how long it holds from now on; zero or less when it is over.
        Left: TimeSpan
    }

/// What a dashboard does with the row that it has read and locked.
[<RequireQualifiedAccess>]
type LeaseStep =
    /// Take it, with this number.
    | Take of token: int64
    /// Prolong it, with the number that it has.
    | Renew of token: int64
    /// Another has it.
    | Wait

    /// Calls the function for the case that this is.
    member step.Match(take: Func<int64, 'r>, renew: Func<int64, 'r>, wait: Func<'r>) : 'r =
        match step with
        | Take token -> take.Invoke token
        | Renew token -> renew.Invoke token
        | Wait -> wait.Invoke()

/// What a dashboard knows of its own lease. Instants are those of its monotonic clock.
[<NoComparison>]
type HeldLease =
    {
        /// Its number; 0 while it has none.
        Token: int64
        /// Until then it holds.
        Until: TimeSpan
    }

/// One of several dashboards evaluates the rules: a lease in the state that they share, with a number that rises (a fencing token).
[<RequireQualifiedAccess>]
module Lease =
    /// So long a lease lasts by the clock of the state.
    let length: TimeSpan = TimeSpan.FromSeconds 15.0

    /// The holder stops so much earlier by its own clock, which may run a little slower, and because work may be under way.
    let margin: TimeSpan = TimeSpan.FromSeconds 3.0

    /// It is renewed, and others look whether it is free, so often.
    let period: TimeSpan = TimeSpan.FromSeconds 3.0

    /// No lease is held.
    let none: HeldLease = { Token = 0L; Until = TimeSpan.Zero }

    /// What to do with a row.
    [<CompiledName "Decide">]
    let decide (me: string) (row: LeaseRow) : LeaseStep =
        if row.Left <= TimeSpan.Zero || row.Holder = "" then
            LeaseStep.Take(row.Token + 1L)
        elif row.Holder = me then
            LeaseStep.Renew row.Token
        else
            LeaseStep.Wait

    /// What is held once the state has taken a step that was asked for at an instant: the state may have done it at once, and not later.
    [<CompiledName "Granted">]
    let granted (asked: TimeSpan) (token: int64) : HeldLease =
        {
            Token = token
            Until = asked + length - margin
        }

    /// Whether it holds at an instant.
    [<CompiledName "IsHeld">]
    let isHeld (now: TimeSpan) (held: HeldLease) : bool = held.Token > 0L && now < held.Until

/// How the state is that several dashboards share.
type StateReport =
    {
        /// Whether it can be used.
        Works: bool
        /// Why it cannot; empty where it can.
        Failure: string
        /// Whether this dashboard evaluates the rules and delivers messages.
        IsHolder: bool
        /// What the dashboard is called that does, as far as is known; empty for none.
        Holder: string
    }
