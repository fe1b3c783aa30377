/// `/proc/PID/schedstat`, and `/proc/PID/task/TID/schedstat`: how long one thread ran, and how long it waited for a CPU.
/// See Documentation/scheduler/sched-stats.rst. Three numbers: nanoseconds on a CPU, nanoseconds runnable without one, and how often it ran.
/// That of a process is that of its main thread alone. Since kernel 2.6.9, with CONFIG_SCHED_INFO.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.SchedStat

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/PID/schedstat"

/// One thread.
[<Struct; NoComparison>]
type SchedStat =
    {
        /// On a CPU.
        RunTime: uint64<ns>
        /// Runnable, and waiting for a CPU.
        WaitTime: uint64<ns>
        /// How often it got a CPU.
        Slices: uint64
    }

/// Reads one thread. Three zeros are what a kernel prints that does not count, as well as a thread that never ran: then none.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<SchedStat voption, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable run = 0UL
    let mutable wait = 0UL
    let mutable slices = 0UL

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "time on a CPU")
    elif not (cursor.UInt64 &run) then
        Error(cursor.Bad("time on a CPU", "a number of nanoseconds"))
    elif not (cursor.UInt64 &wait) then
        Error(cursor.Bad("time waiting", "a number of nanoseconds"))
    elif not (cursor.UInt64 &slices) then
        Error(cursor.Bad("timeslices", "a whole number"))
    elif run = 0UL && wait = 0UL && slices = 0UL then
        Ok ValueNone
    else
        Ok(
            ValueSome
                {
                    RunTime = LanguagePrimitives.UInt64WithMeasure run
                    WaitTime = LanguagePrimitives.UInt64WithMeasure wait
                    Slices = slices
                }
        )
