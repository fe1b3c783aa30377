/// `/proc/vmstat`: events of the memory manager since boot, a name and a number on each line.
/// See proc_vmstat(5). Since kernel 2.6.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.VmStat

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/vmstat"

/// The events that indicate a lack of memory.
[<Struct; NoComparison>]
type VmStat =
    {
        /// Came back from swap.
        SwappedIn: uint64<page> voption
        /// Went to swap.
        SwappedOut: uint64<page> voption
    }

let private inName = "pswpin"B
let private outName = "pswpout"B

/// Reads the two lines of swap, which a kernel without swap does not have.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<VmStat, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable swappedIn = ValueNone
    let mutable swappedOut = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let name = cursor.Field()
        let isIn = name.SequenceEqual(ReadOnlySpan inName)

        if isIn || name.SequenceEqual(ReadOnlySpan outName) then
            let mutable pages = 0UL

            if not (cursor.UInt64 &pages) then
                failure <- ValueSome(cursor.Bad((if isIn then "pswpin" else "pswpout"), "a number of pages"))
            elif isIn then
                swappedIn <- ValueSome(LanguagePrimitives.UInt64WithMeasure pages)
            else
                swappedOut <- ValueSome(LanguagePrimitives.UInt64WithMeasure pages)

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not cursor.AtEnd || text.IsEmpty -> Error(cursor.NoLine "pswpin")
    | ValueNone ->
        Ok
            {
                SwappedIn = swappedIn
                SwappedOut = swappedOut
            }
