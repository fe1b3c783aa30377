namespace Agent.Receiver

open Agent.Core

/// Quarters of an hour, which are kept beside their minutes: what a week shows is made of buckets of at least so long. A quarter is named by the number of its first minute.
[<RequireQualifiedAccess>]
module Quarter =
    /// So many minutes.
    [<Literal>]
    let Minutes = 15L

    /// One of more devices is not kept: somebody makes them up.
    [<Literal>]
    let MostDevices = 1000

    /// The quarter of a minute.
    [<CompiledName "Of">]
    let ofMinute (minute: int64) : int64 = minute - minute % Minutes

    /// Whether no more minutes of it are to come before `now`, which is a minute that has not begun to be kept.
    [<CompiledName "IsOver">]
    let isOver (quarter: int64) (now: int64) : bool = quarter + Minutes <= now

    /// Whether every bucket of an axis is made of whole quarters.
    [<CompiledName "Suits">]
    let suits (axis: Axis) : bool =
        not axis.IsRaw && axis.Step % (Minutes * RowKey.MicrosecondsPerMinute) = 0L

    let private devices (layout: Layout) =
        layout.Disks.Length
        + layout.Gpus.Length
        + layout.Fans.Length
        + Array.sumBy Array.length layout.Details

    /// The minutes of a quarter, put together; none where there are none, or too many devices.
    [<CompiledName "OfMinutes">]
    let ofMinutes (minutes: (struct (Rollup * VerdictMinute))[]) : struct (Rollup * VerdictMinute) voption =
        let mutable joined = ValueNone
        let mutable isNarrow = true

        for struct (rollup, said) in minutes do
            if isNarrow then
                let struct (rollup, said) =
                    match joined with
                    | ValueNone -> struct (rollup, said)
                    | ValueSome(struct (before, saidBefore)) -> struct (Rollup.join before rollup, VerdictMinute.join saidBefore said)

                isNarrow <- devices rollup.Layout <= MostDevices
                joined <- ValueSome(struct (rollup, said))

        if isNarrow then joined else ValueNone
