/// `/proc/spl/kstat/zfs/arcstats`: the cache of ZFS. A header of kstat's, then `name type data` lines, sizes in bytes.
/// Exists where the zfs module is loaded. The kernel does not count this cache as available, though most of it is given
/// back under pressure.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ArcStats

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/spl/kstat/zfs/arcstats"

/// How large the cache is.
[<Struct; NoComparison>]
type Arc =
    {
        /// `size`: what it takes now.
        Size: uint64<B>
        /// `c_min`: what it keeps under pressure.
        Minimum: uint64<B>
    }

    /// What it would give back to programs.
    member arc.Reclaimable: uint64<B> =
        if arc.Size > arc.Minimum then
            arc.Size - arc.Minimum
        else
            0UL<B>

// A byte literal in an expression is allocated each time; these are made once.
let private sizeName = "size"B
let private minimumName = "c_min"B

/// Reads the two lines that matter; without one of them nothing can be said.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Arc, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable size = ValueNone
    let mutable minimum = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let name = cursor.Field()
        let isSize = name.SequenceEqual(ReadOnlySpan sizeName)

        if isSize || name.SequenceEqual(ReadOnlySpan minimumName) then
            let mutable value = 0UL
            // The type: 4 is an unsigned number of 64 bits.
            cursor.SkipField()

            if not (cursor.UInt64 &value) then
                failure <- ValueSome(cursor.Bad((if isSize then "size" else "c_min"), "a whole number of bytes"))
            elif isSize then
                size <- ValueSome(LanguagePrimitives.UInt64WithMeasure value)
            else
                minimum <- ValueSome(LanguagePrimitives.UInt64WithMeasure value)

    match failure, size, minimum with
    | ValueSome error, _, _ -> Error error
    | ValueNone, ValueSome size, ValueSome minimum -> Ok { Size = size; Minimum = minimum }
    | ValueNone, ValueNone, _ -> Error(cursor.NoLine "size")
    | ValueNone, _, ValueNone -> Error(cursor.NoLine "c_min")
