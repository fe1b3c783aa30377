/// The columns of kernel files that a sample does not carry and node_exporter tells. Read when metrics are asked for, from
/// texts that the sampling has read and checked; what does not read as it should is left out.
[<RequireQualifiedAccess>]
module internal Agent.Sender.KernelColumns

open System
open System.Collections.Generic
open Agent.Core

/// A device with the numbers behind its name.
[<Struct>]
type Row = { Device: string; Columns: uint64[] }

/// The number behind a word that begins a line, of /proc/stat; none when there is no such line.
let numberAfter (word: ReadOnlySpan<byte>) (text: ReadOnlySpan<byte>) : uint64 voption =
    let mutable cursor = Cursor("", text)
    let mutable result = ValueNone
    let mutable value = 0UL

    while result.IsNone && cursor.NextLine() do
        if cursor.Field().SequenceEqual word && cursor.UInt64 &value then
            result <- ValueSome value

    result

/// The place of the requests in flight among the columns of a disk. Old kernels let it fall below zero, which is then 0.
[<Literal>]
let private InFlight = 8

/// The numbers of a line from where the cursor stands, up to so many; empty where one is no number, but for the one in the
/// given place.
let private numbers (cursor: byref<Cursor>) (most: int) (mayBeNone: int) : uint64[] =
    let result = Array.zeroCreate most
    let mutable count = 0
    let mutable good = true

    while good && count < most && not (cursor.Field().IsEmpty) do
        let mutable value = 0UL

        if Text.tryUInt64 (cursor.Last, &value) then
            result[count] <- value
        elif count <> mayBeNone then
            good <- false

        count <- count + 1

    if not good then [||]
    elif count = most then result
    else Array.truncate count result

/// Every whole line of /proc/diskstats: up to 17 columns. Partitions of kernels before 2.6.25 have fewer than eleven, and
/// are left out.
let disks (text: ReadOnlySpan<byte>) : Row[] =
    let mutable cursor = Cursor("", text)
    let rows = ResizeArray<Row>()
    let seen = HashSet<string>(StringComparer.Ordinal)

    while cursor.NextLine() do
        cursor.SkipField()
        cursor.SkipField()
        let device = Text.toString (cursor.Field())
        let columns = numbers &cursor 17 InFlight

        if device <> "" && columns.Length >= 11 && seen.Add device then
            rows.Add { Device = device; Columns = columns }

    rows.ToArray()

/// Every interface of /proc/net/dev: sixteen columns.
let network (text: ReadOnlySpan<byte>) : Row[] =
    let mutable cursor = Cursor("", text)
    let rows = ResizeArray<Row>()
    let seen = HashSet<string>(StringComparer.Ordinal)

    while cursor.NextLine() do
        let colon = cursor.Line.LastIndexOf ':'B

        if colon > 0 then
            let device = Text.toString (Text.trim (cursor.Line.Slice(0, colon)))
            cursor.Skip(colon + 1)
            let columns = numbers &cursor 16 -1

            if device <> "" && columns.Length = 16 && seen.Add device then
                rows.Add { Device = device; Columns = columns }

    rows.ToArray()
