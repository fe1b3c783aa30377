namespace Agent.Outbound

open System
open System.Buffers
open System.Buffers.Text
open System.Globalization
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Core.Units

/// Why the directory of a stream cannot be used.
[<RequireQualifiedAccess>]
type SpoolError =
    /// Another agent has it, and goes on using it.
    | InUse of directory: string
    /// It cannot be read or written: permission, a read-only or full disk, no directory.
    | Unusable of directory: string * reason: string

    /// Calls the function for the case that this is.
    member error.Match(inUse: Func<string, 'r>, unusable: Func<string, string, 'r>) : 'r =
        match error with
        | InUse directory -> inUse.Invoke directory
        | Unusable(directory, reason) -> unusable.Invoke(directory, reason)

    /// One line for a log.
    override error.ToString() =
        match error with
        | InUse directory -> $"{directory} is in use by another agent; give each its own --spool"
        | Unusable(directory, reason) -> $"{directory} cannot be used: {reason}"

/// From where records are not delivered yet.
[<Struct>]
type SpoolPosition =
    {
        /// The number of a segment.
        Segment: int64
        /// Bytes from its beginning.
        Offset: int64
    }

/// The spool's format: what the bytes of a stream's files mean, and what survives a torn write.
///
/// A stream is a directory. Its segments hold one record a line, in order: a JSON object, or other bytes with their checksum
/// in base64. They are named by a number that grows and the version of the format: `000000000042.v1.ndjson`. The file `position.v1` names the segment and the offset from which
/// records are not delivered yet. Everything before is done with; a stream without a readable position starts at its oldest
/// segment, because a record that is sent twice is better than one that is lost.
[<RequireQualifiedAccess>]
module Spool =
    /// What a file in the directory of a stream is.
    [<RequireQualifiedAccess; Struct>]
    type FileKind =
        /// A segment of this version, with its number.
        | Segment of number: int64
        /// A segment of another version: it is left alone.
        | OtherVersion
        /// No segment.
        | Other

        /// Calls the function for the case that this is.
        member kind.Match(segment: Func<int64, 'r>, otherVersion: Func<'r>, other: Func<'r>) : 'r =
            match kind with
            | Segment number -> segment.Invoke number
            | OtherVersion -> otherVersion.Invoke()
            | Other -> other.Invoke()

    /// What a piece of a segment holds.
    [<Struct; NoComparison>]
    type Tally =
        {
            /// Records that end within it.
            Records: int
            /// Bytes after the last of them. At the end of a segment they belong to a record that was being written when
            /// the writer was killed.
            Tail: int
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
        elif rest <> suffix then
            FileKind.OtherVersion
        else
            let number = Int64.Parse(stem, CultureInfo.InvariantCulture)
            // Only the spelling that nameOf uses, or two files would be one segment.
            if nameOf number = name then
                FileKind.Segment number
            else
                FileKind.Other

    let private checksum (bytes: ReadOnlySpan<byte>) : uint32 =
        // FNV-1a: enough to tell what was written from what is torn or damaged.
        let mutable hash = 2166136261u

        for b in bytes do
            hash <- (hash ^^^ uint32 b) * 16777619u

        hash

    // Formats in F#'s $"…" are parsed at run time; a position is written for each delivery.
    let private checksumText (bytes: ReadOnlySpan<byte>) : string =
        (checksum bytes).ToString("x8", CultureInfo.InvariantCulture)

    let private lineOf (numbers: string) : string =
        String.Concat(numbers, " ", checksumText (ReadOnlySpan(Encoding.UTF8.GetBytes numbers)), "\n")

    /// The content of the position file: two numbers and their checksum, of fixed length, so that it is overwritten in place.
    [<CompiledName "WritePosition">]
    let writePosition (position: SpoolPosition) : byte[] =
        let fixedLength (number: int64) =
            number.ToString("D18", CultureInfo.InvariantCulture)

        Encoding.ASCII.GetBytes(lineOf (String.Concat(fixedLength position.Segment, " ", fixedLength position.Offset)))

    /// Reads the position file; none when it is torn, damaged or of another format.
    [<CompiledName "ReadPosition">]
    let readPosition (text: ReadOnlySpan<byte>) : SpoolPosition voption =
        let line = Encoding.UTF8.GetString text

        let number (field: string) =
            Int64.TryParse(field, NumberStyles.None, CultureInfo.InvariantCulture)

        match line.Split ' ' with
        | [| segment; offset; _ |] when line = lineOf $"{segment} {offset}" ->
            match number segment, number offset with
            | (true, segment), (true, offset) -> ValueSome { Segment = segment; Offset = offset }
            | _ -> ValueNone
        | _ -> ValueNone

    /// Where delivery goes on, given the segments that are there, in order. Segments before it are done with. An offset that
    /// no record begins at is for the reader to find out.
    [<CompiledName "Resume">]
    let resume (saved: SpoolPosition voption) (segments: int64[]) : SpoolPosition =
        let fromStart segment = { Segment = segment; Offset = 0L }

        match saved with
        | ValueSome position when segments.Length = 0 -> fromStart (position.Segment + 1L)
        | ValueNone when segments.Length = 0 -> fromStart 1L
        | ValueSome position ->
            match segments |> Array.tryFind (fun segment -> segment >= position.Segment) with
            | Some segment when segment = position.Segment -> position
            | Some segment -> fromStart segment
            | None -> fromStart segments[0]
        | ValueNone -> fromStart segments[0]

    /// Counts the records of a piece of a segment.
    [<CompiledName "TallyOf">]
    let tallyOf (piece: ReadOnlySpan<byte>) : Tally =
        {
            Records = MemoryExtensions.Count(piece, '\n'B)
            Tail = piece.Length - (piece.LastIndexOf '\n'B + 1)
        }

    /// The length of the first record in the text, its line end included; 0 when no line end is there yet.
    [<CompiledName "RecordLength">]
    let recordLength (text: ReadOnlySpan<byte>) : int = text.IndexOf '\n'B + 1

    let private headOf (payload: ReadOnlySpan<byte>) : byte[] =
        let length = payload.Length.ToString CultureInfo.InvariantCulture
        Encoding.ASCII.GetBytes(String.Concat(length, " ", checksumText payload, " "))

    /// A record of bytes that are no text: their number, their checksum and themselves in base64, on one line.
    [<CompiledName "Frame">]
    let frame (payload: ReadOnlySpan<byte>) : byte[] =
        let head = headOf payload
        let record = Array.zeroCreate (head.Length + Base64.GetMaxEncodedToUtf8Length payload.Length)
        head.CopyTo(record, 0)
        let mutable read = 0
        let mutable written = 0

        Base64.EncodeToUtf8(payload, Span(record, head.Length, record.Length - head.Length), &read, &written)
        |> ignore

        record

    /// The bytes that such a record holds; none when it is of another kind or damaged.
    [<CompiledName "PayloadOf">]
    let payloadOf (record: ReadOnlySpan<byte>) : byte[] voption =
        let content = record.Slice(record.LastIndexOf ' 'B + 1)
        let padding = content.Length - content.TrimEnd('='B).Length
        let payload = Array.zeroCreate (max 0 (content.Length / 4 * 3 - padding))
        let mutable read = 0
        let mutable written = 0

        if
            Base64.DecodeFromUtf8(content, Span payload, &read, &written) = OperationStatus.Done
            // The decoder passes over blanks, which then leave bytes missing.
            && written = payload.Length
            && content.Length = Base64.GetMaxEncodedToUtf8Length written
            && record.Slice(0, record.Length - content.Length).SequenceEqual(ReadOnlySpan(headOf (ReadOnlySpan payload)))
        then
            // The last characters alone may be others and mean the same.
            let last = payload.AsSpan(payload.Length - payload.Length % 3)
            let end' = Array.zeroCreate (Base64.GetMaxEncodedToUtf8Length last.Length)
            Base64.EncodeToUtf8(last, Span end', &read, &written) |> ignore

            if content.EndsWith(ReadOnlySpan end') then
                ValueSome payload
            else
                ValueNone
        else
            ValueNone

    // No JSON object begins with a digit.
    let private isFramed (record: ReadOnlySpan<byte>) : bool =
        record.Length > 0 && Char.IsAsciiDigit(char record[0])

    let private isObject (record: ReadOnlySpan<byte>) : bool =
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

    /// True for a record that can be sent: one whole JSON object, or bytes with their right checksum. Anything else was
    /// damaged on the disk.
    [<CompiledName "IsIntact">]
    let isIntact (record: ReadOnlySpan<byte>) : bool =
        if isFramed record then
            (payloadOf record).IsSome
        else
            isObject record

    /// What is kept of a sample that was refused: one line with the reason and the body.
    [<CompiledName "RefusedLine">]
    let refusedLine (reason: string) (body: ReadOnlySpan<byte>) : byte[] =
        let output = ArrayBufferWriter<byte>(body.Length + 256)
        use json = new Utf8JsonWriter(output)
        json.WriteStartObject()
        json.WriteString("reason", reason)
        json.WritePropertyName "body"

        if isFramed body then
            json.WriteStringValue body
        else
            json.WriteRawValue(body, true)

        json.WriteEndObject()
        json.Flush()
        output.WrittenSpan.ToArray()

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
