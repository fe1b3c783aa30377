/// The sampling grid: instants that are one interval apart, counted from the first. What is late skips grid points; it
/// never shifts them and never makes up for them in a burst.
[<RequireQualifiedAccess>]
module Agent.Core.Schedule

open System

/// The next instant at which something is due.
[<Struct; NoComparison>]
type Next =
    {
        /// How long after the grid's origin.
        Due: TimeSpan
        /// Grid points that passed unused since the last one.
        Skipped: int64
    }

/// The grid point to wait for once the one at `due` has been served and `now` has been reached. Both are counted from
/// the same origin; `interval` is positive.
[<CompiledName "After">]
let after (due: TimeSpan) (interval: TimeSpan) (now: TimeSpan) : Next =
    let next = due + interval

    // F# compares two TimeSpans as any two values, in boxes; of ticks it makes one instruction.
    if now.Ticks <= next.Ticks then
        { Due = next; Skipped = 0L }
    else
        // The point that lies exactly at `now` can still be served.
        let behind = now.Ticks - next.Ticks
        let skipped = (behind + interval.Ticks - 1L) / interval.Ticks

        {
            Due = next + TimeSpan.FromTicks(skipped * interval.Ticks)
            Skipped = skipped
        }

/// How far the wall clock jumped between two instants: what it advanced beyond what really passed. None up to a second,
/// which slewing and reading two clocks one after the other explain.
[<CompiledName "ClockJump">]
let clockJump (wall: TimeSpan) (passed: TimeSpan) : TimeSpan voption =
    let jump = wall - passed

    if abs jump.Ticks > TimeSpan.TicksPerSecond then
        ValueSome jump
    else
        ValueNone
