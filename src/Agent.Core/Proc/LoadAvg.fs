/// `/proc/loadavg`: the run-queue averages over 1, 5 and 15 minutes.
/// See proc_loadavg(5).
[<RequireQualifiedAccess>]
module Agent.Core.Proc.LoadAvg

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/loadavg"

/// Mean numbers of tasks that run or wait uninterruptibly.
type LoadAverage =
    {
        /// Over the last minute.
        One: float
        /// Over the last five minutes.
        Five: float
        /// Over the last fifteen minutes.
        Fifteen: float
    }

/// Reads the first three fields; anything after them is ignored.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<LoadAverage, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable one = 0.0
    let mutable five = 0.0
    let mutable fifteen = 0.0

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "load averages")
    elif not (cursor.Decimal &one) then
        Error(cursor.Bad("1-minute average", "a decimal number"))
    elif not (cursor.Decimal &five) then
        Error(cursor.Bad("5-minute average", "a decimal number"))
    elif not (cursor.Decimal &fifteen) then
        Error(cursor.Bad("15-minute average", "a decimal number"))
    else
        Ok
            {
                One = one
                Five = five
                Fifteen = fifteen
            }
