namespace Agent.Receiver

open Agent.Core

/// What is kept, by the receiver's clock. Times are microseconds from 2000-01-01.
[<RequireQualifiedAccess>]
module Retention =
    let private floorToMinute (at: int64) =
        max 0L (at - at % RowKey.MicrosecondsPerMinute)

    /// Samples from here on are kept: 48 hours of them, in whole minutes.
    [<CompiledName "FirstSample">]
    let firstSample (now: int64) : int64 =
        floorToMinute (now - int64 Axis.RawHours * 60L * RowKey.MicrosecondsPerMinute)

    /// Minutes from here on are kept.
    [<CompiledName "FirstMinute">]
    let firstMinute (now: int64) (days: int) : int64 =
        max 0L (RowKey.minuteAt now - int64 days * 1440L)

    /// Where a step of pruning ends that starts with the sample at `first` and should not reach the one at `after`: at the start of
    /// a minute, and past the minute of the first one.
    [<CompiledName "StepEnd">]
    let stepEnd (first: int64) (after: int64) : int64 =
        max (floorToMinute after) (floorToMinute first + RowKey.MicrosecondsPerMinute)

    /// A sample that comes when it is too old to be kept stays for this long, so that a resend, whose first answer was lost, is
    /// recognised.
    [<Literal>]
    let GraceMinutes = 10

    /// Samples that arrived after this are not deleted, however old they are; in milliseconds from 2000-01-01.
    [<CompiledName "LastArrival">]
    let lastArrival (now: int64) : int64 =
        (now - int64 GraceMinutes * RowKey.MicrosecondsPerMinute) / 1000L
