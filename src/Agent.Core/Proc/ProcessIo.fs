/// `/proc/PID/io`: what a process read and wrote. See proc_pid_io(5). Since kernel 2.6.20; readable by the process's own user and by those
/// who may trace it.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.ProcessIo

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/PID/io"

/// One process, its ended threads included.
[<Struct; NoComparison>]
type ProcessIo =
    {
        /// Fetched from storage.
        Read: uint64<B>
        /// Sent to storage, or to be sent by the page cache.
        Written: uint64<B>
    }

let private readName = "read_bytes:"B
let private writtenName = "write_bytes:"B

/// Reads the two lines that count what went to and came from storage.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<ProcessIo, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable read = ValueNone
    let mutable written = ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let name = cursor.Field()
        let isRead = name.SequenceEqual(ReadOnlySpan readName)

        if isRead || name.SequenceEqual(ReadOnlySpan writtenName) then
            let mutable bytes = 0UL

            if not (cursor.UInt64 &bytes) then
                failure <- ValueSome(cursor.Bad((if isRead then "read_bytes" else "write_bytes"), "a number of bytes"))
            elif isRead then
                read <- ValueSome(LanguagePrimitives.UInt64WithMeasure bytes)
            else
                written <- ValueSome(LanguagePrimitives.UInt64WithMeasure bytes)

    match failure, read, written with
    | ValueSome error, _, _ -> Error error
    | ValueNone, ValueSome read, ValueSome written when cursor.AtEnd -> Ok { Read = read; Written = written }
    | ValueNone, ValueNone, _ -> Error(cursor.NoLine "read_bytes")
    | ValueNone, _, _ -> Error(cursor.NoLine "write_bytes")
