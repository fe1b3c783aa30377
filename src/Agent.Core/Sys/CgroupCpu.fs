/// The CPU of a control group: `cpu.stat`, `cpu.max` and `cpuset.cpus.effective` of version 2, and of version 1 `cpu.stat`,
/// `cpu.cfs_quota_us`, `cpu.cfs_period_us`, `cpuacct.usage` and `cpuset.effective_cpus`.
/// See Documentation/admin-guide/cgroup-v2.rst and Documentation/scheduler/sched-bwc.rst.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.CgroupCpu

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units

/// What `cpu.stat` counts. What a version or a controller that is off does not tell is none.
[<Struct; NoComparison>]
type CpuStat =
    {
        /// CPU time of the group and all below it; version 2 only.
        Usage: uint64<us> voption
        /// Periods of the quota in which some task wanted to run.
        Periods: uint64 voption
        /// Those of them in which the quota was used up.
        ThrottledPeriods: uint64 voption
        /// How long tasks were held back for it, each CPU by itself.
        ThrottledTime: uint64<us> voption
    }

let private names =
    [|
        "usage_usec"B
        "nr_periods"B
        "nr_throttled"B
        "throttled_usec"B
        "throttled_time"B
    |]

let private texts =
    [|
        "usage_usec"
        "nr_periods"
        "nr_throttled"
        "throttled_usec"
        "throttled_time"
    |]

/// The row of a name, or -1. A loop, because a closure cannot hold a span.
let internal indexOf (names: byte[][]) (name: ReadOnlySpan<byte>) : int =
    let mutable i = 0

    while i < names.Length && not (name.SequenceEqual(ReadOnlySpan names[i])) do
        i <- i + 1

    if i < names.Length then i else -1

/// Reads `cpu.stat` of either version; lines with other names are ignored. `source` is its path, for errors.
[<CompiledName "ParseStat">]
let parseStat (source: string) (text: ReadOnlySpan<byte>) : Result<CpuStat, ParseError> =
    let mutable cursor = Cursor(source, text)
    let values = Array.create names.Length ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let row = indexOf names (cursor.Field())
        let mutable number = 0UL

        if row >= 0 then
            if cursor.UInt64 &number then
                values[row] <- ValueSome number
            else
                failure <- ValueSome(cursor.Bad(texts[row], "a whole number"))

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not cursor.AtEnd || text.IsEmpty -> Error(cursor.NoLine "nr_periods")
    | ValueNone ->
        let microseconds (value: uint64 voption) : uint64<us> voption =
            value |> ValueOption.map LanguagePrimitives.UInt64WithMeasure

        Ok
            {
                Usage = microseconds values[0]
                Periods = values[1]
                ThrottledPeriods = values[2]
                ThrottledTime =
                    match values[3], values[4] with
                    | ValueSome _, _ -> microseconds values[3]
                    | ValueNone, time ->
                        time
                        |> ValueOption.map (LanguagePrimitives.UInt64WithMeasure >> microsecondsOfNanoseconds)
            }

let private quotaOf (cursor: byref<Cursor>) (quota: int64) (period: uint64) : Result<float voption, ParseError> =
    if period = 0UL then
        Error(cursor.Bad("period", "a number of microseconds above 0"))
    elif quota < 0L then
        Ok ValueNone
    else
        Ok(ValueSome(float quota / float period))

let private maximum = "max"B

/// Reads `cpu.max`, `quota period` in microseconds: how many CPUs the group may use; none without a quota, which is `max`.
[<CompiledName "ParseMax">]
let parseMax (source: string) (text: ReadOnlySpan<byte>) : Result<float voption, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable quota = 0L
    let mutable period = 0UL

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "quota")
    elif cursor.Field().SequenceEqual(ReadOnlySpan maximum) then
        Ok ValueNone
    elif not (Text.tryInt64 (cursor.Last, &quota)) || quota < 0L then
        Error(cursor.Bad("quota", "a number of microseconds or max"))
    elif not (cursor.UInt64 &period) then
        Error(cursor.Bad("period", "a number of microseconds"))
    else
        quotaOf &cursor quota period

/// The same of version 1, by the texts of `cpu.cfs_quota_us`, which is -1 without a quota, and `cpu.cfs_period_us`.
[<CompiledName "ParseQuota">]
let parseQuota (quota: SysText) (period: SysText) : Result<float voption, SourceError> =
    match SysFile.integer quota "a number of microseconds", SysFile.integer period "a number of microseconds" with
    | Error error, _
    | _, Error error -> Error error
    | Ok quota, _ when quota < 0L -> Ok ValueNone
    | Ok quota, Ok length when length > 0L -> Ok(ValueSome(float quota / float length))
    | Ok _, Ok _ ->
        Error(
            SourceError.Garbled
                {
                    Source = period.Path
                    Line = 1
                    Field = "value"
                    Raw = "0"
                    Expected = "a number of microseconds above 0"
                }
        )

/// Reads a list of CPUs such as `0-3,8`: how many there are. None for the empty list of a group that has not been given any.
[<CompiledName "ParseList">]
let parseList (source: string) (text: ReadOnlySpan<byte>) : Result<int voption, ParseError> =
    let mutable cursor = Cursor(source, text)

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "CPUs")
    else
        match ProcessStatus.countOfList (cursor.Field()) with
        | -1 -> Error(cursor.Bad("CPUs", "a list of CPUs such as 0-3,8"))
        | 0 -> Ok ValueNone
        | count -> Ok(ValueSome count)
