/// `/proc/pressure/{cpu,io,memory}`: the share of time in which tasks stalled for lack of a resource.
/// See Documentation/accounting/psi.rst. Since kernel 4.20; the `full` line of `cpu` since 5.13.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Pressure

open System
open Agent.Core
open Agent.Core.Units

/// One line.
[<Struct; NoComparison>]
type Stall =
    {
        /// Share of the last ten seconds.
        Avg10: float<percent>
        /// Stalled since boot.
        Total: uint64<us>
    }

/// One file.
[<NoComparison>]
type Pressure =
    {
        /// At least one task was stalled.
        Some: Stall
        /// Every task that was not idle was stalled at once; none where the kernel does not say.
        Full: Stall voption
    }

// A byte literal in an expression is allocated each time; these are made once.
let private someName = "some"B
let private fullName = "full"B
let private avg10 = "avg10="B
let private avg60 = "avg60="B
let private avg300 = "avg300="B
let private total = "total="B

let private tryValue (prefix: byte[]) (field: ReadOnlySpan<byte>) (value: byref<float>) =
    field.StartsWith(ReadOnlySpan prefix)
    && Text.tryDecimal (field.Slice prefix.Length, &value)

/// The cursor stands after `some` or `full`.
let private readStall (cursor: byref<Cursor>) (stall: byref<Stall>) : bool =
    let mutable average = 0.0
    let mutable other = 0.0
    let mutable microseconds = 0UL

    let good =
        tryValue avg10 (cursor.Field()) &average
        && average >= 0.0
        && tryValue avg60 (cursor.Field()) &other
        && tryValue avg300 (cursor.Field()) &other
        && cursor.Field().StartsWith(ReadOnlySpan total)
        && Text.tryUInt64 (cursor.Last.Slice total.Length, &microseconds)

    if good then
        stall <-
            {
                Avg10 = LanguagePrimitives.FloatWithMeasure average
                Total = LanguagePrimitives.UInt64WithMeasure microseconds
            }

    good

let private fields = [| "avg10"; "avg60"; "avg300"; "total" |]

/// Reads one of the three files; `source` is its path, for errors.
[<CompiledName "Parse">]
let parse (source: string) (text: ReadOnlySpan<byte>) : Result<Pressure, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable some = ValueNone
    let mutable full = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let kind = cursor.Field()
        let isSome = kind.SequenceEqual(ReadOnlySpan someName)

        if isSome || kind.SequenceEqual(ReadOnlySpan fullName) then
            let mutable stall = Unchecked.defaultof<Stall>

            if not (readStall &cursor &stall) then
                failure <- ValueSome(cursor.Bad(fields[cursor.Fields - 2], "a number after its name and ="))
            elif isSome then
                some <- ValueSome stall
            else
                full <- ValueSome stall

    match failure, some with
    | ValueSome error, _ -> Error error
    | ValueNone, _ when not cursor.AtEnd -> Error(cursor.NoLine "the last line")
    | ValueNone, ValueSome some -> Ok { Some = some; Full = full }
    | ValueNone, ValueNone -> Error(cursor.NoLine "some")
