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
[<NoComparison>]
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

/// The fourth field, `runnable/all`: how many tasks run or are ready to, this instant.
[<CompiledName "Runnable">]
let runnable (text: ReadOnlySpan<byte>) : Result<int, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable number = 0UL

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "runnable tasks")
    else
        cursor.SkipField()
        cursor.SkipField()
        cursor.SkipField()
        let field = cursor.Field()
        let slash = field.IndexOf '/'B

        if
            slash > 0
            && Text.tryUInt64 (field.Slice(0, slash), &number)
            && number <= uint64 Int32.MaxValue
        then
            Ok(int number)
        else
            Error(cursor.Bad("runnable tasks", "two numbers with a slash between"))
