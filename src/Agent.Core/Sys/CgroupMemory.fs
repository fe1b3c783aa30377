/// The memory of a control group: `memory.current`, `memory.max`, `memory.events` and `memory.stat` of version 2, and of version 1
/// `memory.usage_in_bytes`, `memory.limit_in_bytes`, `memory.oom_control` and `memory.stat`.
/// See Documentation/admin-guide/cgroup-v2.rst and Documentation/admin-guide/cgroup-v1/memory.rst.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.CgroupMemory

open System
open Agent.Core
open Agent.Core.Units

/// Above this version 1 means "no limit": its largest is 2^63 less a page.
let private unlimited = 1UL <<< 62

/// Reads `memory.current` or `memory.usage_in_bytes`.
[<CompiledName "ParseUsage">]
let parseUsage (source: string) (text: ReadOnlySpan<byte>) : Result<uint64<B>, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable bytes = 0UL

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "bytes")
    elif cursor.UInt64 &bytes then
        Ok(LanguagePrimitives.UInt64WithMeasure bytes)
    else
        Error(cursor.Bad("bytes", "a number of bytes"))

let private maximum = "max"B

/// Reads `memory.max`, `memory.high` or `memory.limit_in_bytes`; none without a limit.
[<CompiledName "ParseLimit">]
let parseLimit (source: string) (text: ReadOnlySpan<byte>) : Result<uint64<B> voption, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable bytes = 0UL

    if not (cursor.NextLine()) then
        Error(cursor.NoLine "limit")
    elif cursor.Field().SequenceEqual(ReadOnlySpan maximum) then
        Ok ValueNone
    elif not (Text.tryUInt64 (cursor.Last, &bytes)) then
        Error(cursor.Bad("limit", "a number of bytes or max"))
    elif bytes >= unlimited then
        Ok ValueNone
    else
        Ok(ValueSome(LanguagePrimitives.UInt64WithMeasure bytes))

/// The number behind a name, in lines of a name and a number; none where there is no such line.
let private numberOf (name: byte[]) (field: string) (source: string) (text: ReadOnlySpan<byte>) : Result<uint64 voption, ParseError> =
    let mutable cursor = Cursor(source, text)
    let mutable number = 0UL

    if not (cursor.FindLine name) then cursor.Missing field
    elif cursor.UInt64 &number then Ok(ValueSome number)
    else Error(cursor.Bad(field, "a whole number"))

let private killName = "oom_kill"B

// Version 1 counts what is below the group under names of their own; before kernel 5.9 files and anonymous memory were counted together.
let private refaultNames =
    [|
        "total_workingset_refault_file"B
        "workingset_refault_file"B
        "workingset_refault"B
    |]

/// Reads `memory.events`, or `memory.oom_control` of version 1: how many processes of the group were killed for lack of memory. None before
/// kernel 4.13.
[<CompiledName "ParseKills">]
let parseKills (source: string) (text: ReadOnlySpan<byte>) : Result<uint64 voption, ParseError> =
    numberOf killName "oom_kill" source text

/// Reads `memory.stat`: pages of files that the group and all below it read again after they had been evicted. None where the kernel does not
/// count them, before 4.20.
[<CompiledName "ParseRefaults">]
let parseRefaults (source: string) (text: ReadOnlySpan<byte>) : Result<uint64<page> voption, ParseError> =
    let mutable found = Ok ValueNone
    let mutable place = 0

    while place < refaultNames.Length
          && (match found with
              | Ok ValueNone -> true
              | _ -> false) do
        found <- numberOf refaultNames[place] "workingset_refault_file" source text
        place <- place + 1

    found
    |> Result.map (fun pages ->
        pages
        |> ValueOption.map (fun pages -> LanguagePrimitives.UInt64WithMeasure pages))
