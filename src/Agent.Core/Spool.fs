/// The spool's format: what the bytes of a stream's files mean, and what survives a torn write.
///
/// A stream is a directory. Its segments hold one record a line, in order, and are named by a number that grows and the
/// version of the format: `000000000042.v1.ndjson`. The file `position.v1` names the segment and the offset from which
/// records are not delivered yet. Everything before is done with; a stream without a readable position starts at its oldest
/// segment, because a record that is sent twice is better than one that is lost.
[<RequireQualifiedAccess>]
module Agent.Core.Spool

open System
open System.Globalization
open System.Text
open System.Text.Json
open Agent.Core.Units

/// What a file in the directory of a stream is.
[<RequireQualifiedAccess; Struct>]
type FileKind =
    /// A segment of this version, with its number.
    | Segment of number: int64
    /// A segment of another version: it is left alone.
    | OtherVersion
    /// No segment.
    | Other

/// From where records are not delivered yet.
[<Struct>]
type Position =
    {
        /// The number of a segment.
        Segment: int64
        /// Bytes from its beginning.
        Offset: int64
    }

/// The name of the position file.
[<Literal>]
let PositionName = "position.v1"

let private suffix = ".v1.ndjson"

/// A new segment is begun when the current one has this size, so that the oldest can go without taking much with it.
[<CompiledName "SegmentSize">]
let segmentSize (limit: int64) : int64 =

    Math.Clamp(limit / 16L, int64 (bytesOfKib 64UL<KiB>), int64 (bytesOfMib 4UL<MiB>))

/// The file name of a segment.
[<CompiledName "NameOf">]
let nameOf (number: int64) : string =
    number.ToString("D12", CultureInfo.InvariantCulture) + suffix

/// What a file name says.
[<CompiledName "KindOf">]
let kindOf (name: string) : FileKind =
    let stem, rest =
        match name.IndexOf '.' with
        | -1 -> name, ""
        | dot -> name.Substring(0, dot), name.Substring dot

    let isNumber = stem.Length >= 12 && stem.Length <= 18 && stem |> Seq.forall Char.IsAsciiDigit

    if not isNumber || not (rest.StartsWith(".v", StringComparison.Ordinal)) then
        FileKind.Other
    elif rest = suffix then
        FileKind.Segment(Int64.Parse(stem, CultureInfo.InvariantCulture))
    else
        FileKind.OtherVersion

let private checksum (text: string) : uint32 =
    // FNV-1a: enough to tell a written line from a torn one.
    let mutable hash = 2166136261u

    for character in text do
        hash <- (hash ^^^ uint32 character) * 16777619u

    hash

/// The content of the position file: two numbers and their checksum, of fixed length, so that it is overwritten in place.
[<CompiledName "WritePosition">]
let writePosition (position: Position) : byte[] =
    let numbers = $"{position.Segment:D18} {position.Offset:D18}"
    Encoding.ASCII.GetBytes $"{numbers} {checksum numbers:x8}\n"

/// Reads the position file; none when it is torn, damaged or of another format.
[<CompiledName "ReadPosition">]
let readPosition (text: ReadOnlySpan<byte>) : Position voption =
    let line = Encoding.UTF8.GetString text

    match line.TrimEnd('\n').Split ' ' with
    | [| segment; offset; sum |] when line.EndsWith '\n' ->
        match
            Int64.TryParse(segment, NumberStyles.None, CultureInfo.InvariantCulture),
            Int64.TryParse(offset, NumberStyles.None, CultureInfo.InvariantCulture)
        with
        | (true, number), (true, offset') when sum = (checksum $"{segment} {offset}").ToString "x8" ->
            ValueSome { Segment = number; Offset = offset' }
        | _ -> ValueNone
    | _ -> ValueNone

/// The length of the first record in the text, its line end included; 0 when no line end is there yet.
[<CompiledName "RecordLength">]
let recordLength (text: ReadOnlySpan<byte>) : int = text.IndexOf '\n'B + 1

/// How many bytes at the end of a segment belong to a record that was being written when the writer was killed.
[<CompiledName "TornLength">]
let tornLength (text: ReadOnlySpan<byte>) : int =
    text.Length - (text.LastIndexOf '\n'B + 1)

/// True for a record that can be sent: one whole JSON object. Anything else was damaged on the disk.
[<CompiledName "IsIntact">]
let isIntact (record: ReadOnlySpan<byte>) : bool =
    let mutable reader = Utf8JsonReader record
    let mutable good = true
    let mutable first = true

    try
        while good && reader.Read() do
            if first then
                good <- reader.TokenType = JsonTokenType.StartObject
                first <- false

        good && not first
    with :? JsonException ->
        false

/// How many of the oldest segments must go so that the stream is within its limit; the last one, which is written to,
/// always stays.
[<CompiledName "Surplus">]
let surplus (limit: int64) (sizes: int64[]) : int =
    let mutable total = Array.sum sizes
    let mutable count = 0

    while total > limit && count < sizes.Length - 1 do
        total <- total - sizes[count]
        count <- count + 1

    count
