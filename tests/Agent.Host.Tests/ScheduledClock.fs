/// Time that passes when a test says so.
module internal Agent.Host.Tests.ScheduledClock

open System
open System.Reactive.Concurrency
open Agent.Host
open Agent.Host.Sampling
open Agent.Shell

/// An agent's clock that shows the time of a virtual scheduler, from the new year of 2026 on.
type ScheduledClock() =
    inherit AgentClock(1)

    let start = DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero)
    let scheduler = HistoricalScheduler start

    /// Work that falls due as the time passes.
    member _.Scheduler: HistoricalScheduler = scheduler

    /// Lets time pass.
    member _.Advance(seconds: float) : unit =
        scheduler.AdvanceBy(TimeSpan.FromSeconds seconds)

    override _.Elapsed = scheduler.Clock - start

    override _.GetUtcNow() = scheduler.Clock
