namespace Agent.Receiver

open Agent.Core

/// For how long things are kept.
type Keeping =
    {
        /// Hours of single samples.
        RawHours: int
        /// Days of minutes.
        Days: int
    }

/// What is kept. Times are microseconds from 2000-01-01.
[<RequireQualifiedAccess>]
module Retention =
    let private floorToMinute (at: int64) =
        max 0L (at - at % RowKey.MicrosecondsPerMinute)

    /// The instant that retention counts from: the newest stored sample of all servers, and never later than the receiver's clock. A
    /// clock that jumps ahead by years thus deletes nothing.
    [<CompiledName "Horizon">]
    let horizon (now: int64) (newest: int64) : int64 = min now newest

    /// Samples from here on are kept: so many hours of them, in whole minutes.
    [<CompiledName "FirstSample">]
    let firstSample (horizon: int64) (hours: int) : int64 =
        floorToMinute (horizon - int64 hours * 60L * RowKey.MicrosecondsPerMinute)

    /// Minutes from here on are kept.
    [<CompiledName "FirstMinute">]
    let firstMinute (horizon: int64) (days: int) : int64 =
        max 0L (RowKey.minuteAt horizon - int64 days * 1440L)

    /// Where a step of pruning ends that starts with the sample at `first` and should not reach the one at `after`: at the start of
    /// a minute, and past the minute of the first one.
    [<CompiledName "StepEnd">]
    let stepEnd (first: int64) (after: int64) : int64 =
        max (floorToMinute after) (floorToMinute first + RowKey.MicrosecondsPerMinute)

    /// A sample that comes when it is too old to be kept stays for this long, so that a resend, whose first answer was lost, is
    /// recognised.
    [<Literal>]
    let GraceMinutes = 10

    /// Samples that arrived after this are not deleted, however old they are; by the receiver's clock, in milliseconds from
    /// 2000-01-01.
    [<CompiledName "LastArrival">]
    let lastArrival (now: int64) : int64 =
        (now - int64 GraceMinutes * RowKey.MicrosecondsPerMinute) / 1000L
