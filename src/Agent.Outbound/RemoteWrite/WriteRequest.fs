namespace Agent.Outbound

open System
open System.Buffers
open System.Buffers.Binary
open System.Collections.Generic
open System.IO
open Google.Protobuf
open Agent.Core
open Snappier
open Agent.Core.Units

/// One series as a request carries it: pieces of a message, each with its tags, as a SeriesCoder wrote them.
[<Struct; NoComparison>]
type internal Series =
    {
        /// Its labels, which distinguish it from others.
        Labels: ReadOnlyMemory<byte>
        /// Its `samples` fields: one sample, with its time.
        Samples: ReadOnlyMemory<byte>
        /// What its metric is.
        Metadata: ReadOnlyMemory<byte>
    }

/// Series of one coder are distinguished by the bytes of their labels.
[<Sealed>]
type internal ByContent private () =
    /// The only one.
    static member val Instance = ByContent()

    interface IEqualityComparer<ReadOnlyMemory<byte>> with
        member _.Equals(one, other) = one.Span.SequenceEqual other.Span

        member _.GetHashCode bytes =
            let mutable hash = HashCode()
            hash.AddBytes bytes.Span
            hash.ToHashCode()

/// The messages of remote-write, field by field.
[<RequireQualifiedAccess>]
module internal WriteRequest =
    // Of both versions: TimeSeries.samples = 2, messages; Sample.value = 1, a double, and timestamp = 2, an int64.
    let private samplesTag = ProtobufFields.tagOf 2

    /// The `samples` field of one sample at an instant, in milliseconds since 1970.
    let private sample (value: float) (milliseconds: int64) : byte[] =
        let content = 2 * ProtobufFields.TagSize + 8 + CodedOutputStream.ComputeInt64Size milliseconds
        let bytes = Array.zeroCreate (ProtobufFields.sizeOf content)
        use output = new CodedOutputStream(bytes)
        output.WriteTag samplesTag
        output.WriteLength content
        output.WriteTag(1, WireFormat.WireType.Fixed64)
        output.WriteDouble value
        output.WriteTag(2, WireFormat.WireType.Varint)
        output.WriteInt64 milliseconds
        bytes

    /// The whole message, compressed in Snappy's block format as the specification requires: the series of these records, those of the
    /// same labels as one, with their samples in the order given. The coder is the one that wrote them.
    let ofRecords (coder: SeriesCoder) (records: Series[] seq) : byte[] =
        let order = List<struct (Series * List<ReadOnlyMemory<byte>>)>()
        let found = Dictionary<ReadOnlyMemory<byte>, List<ReadOnlyMemory<byte>>>(ByContent.Instance)

        for record in records do
            for series in record do
                match found.TryGetValue series.Labels with
                | true, samples -> samples.Add series.Samples
                | _ ->
                    let samples = List [| series.Samples |]
                    found[series.Labels] <- samples
                    order.Add(struct (series, samples))

        let contentOf (series: Series) (samples: List<ReadOnlyMemory<byte>>) =
            let mutable size = series.Labels.Length + series.Metadata.Length

            for piece in samples do
                size <- size + piece.Length

            size

        let beginning = coder.Beginning
        let mutable size = beginning.Length

        for struct (series, samples) in order do
            size <- size + ProtobufFields.sizeOf (contentOf series samples)

        use memory = new MemoryStream(size)
        memory.Write beginning.Span
        use output = new CodedOutputStream(memory, 64)

        for struct (series, samples) in order do
            output.WriteTag(uint32 coder.SeriesTag)
            output.WriteLength(contentOf series samples)
            // What is encoded already goes around the stream's own small buffer.
            output.Flush()
            memory.Write series.Labels.Span

            for piece in samples do
                memory.Write piece.Span

            memory.Write series.Metadata.Span

        Snappy.CompressToArray(ReadOnlySpan(memory.GetBuffer(), 0, size))

    // Behind the tag and the length of the field, and the tag of the value: TimeSeries.samples and Sample.value.
    [<Literal>]
    let private ValueOffset = 3

    /// The whole message of one instant, compressed: series with a value each, and series that end with another. Written in one pass over
    /// what is known of the series: some hundreds of them each second.
    let ofInstant
        (coder: SeriesCoder)
        (milliseconds: int64)
        (series: List<KnownSeries>)
        (values: List<float>)
        (ended: KnownSeries[])
        (stale: float)
        : byte[] =
        let template = sample 0.0 milliseconds

        let contentOf (one: KnownSeries) =
            one.Labels.Length + template.Length + one.Metadata.Length

        let mutable size = 0

        let add (one: KnownSeries) =
            one.EncodeBy coder
            size <- size + ProtobufFields.sizeOf (contentOf one)

        for one in series do
            add one

        for one in ended do
            add one

        let beginning = coder.Beginning
        size <- size + beginning.Length
        let bytes = ArrayPool<byte>.Shared.Rent size
        beginning.Span.CopyTo(Span bytes)
        let mutable at = beginning.Length

        let put (piece: byte[]) =
            piece.CopyTo(bytes, at)
            at <- at + piece.Length

        let write (one: KnownSeries) (value: float) =
            bytes[at] <- coder.SeriesTag
            at <- at + 1
            let mutable length = contentOf one

            while length >= 128 do
                bytes[at] <- byte (length ||| 128)
                at <- at + 1
                length <- length >>> 7

            bytes[at] <- byte length
            at <- at + 1
            put one.Labels
            BinaryPrimitives.WriteDoubleLittleEndian(Span(template, ValueOffset, 8), value)
            put template
            put one.Metadata

        for i in 0 .. series.Count - 1 do
            write series[i] values[i]

        for one in ended do
            write one stale

        let message = Snappy.CompressToArray(ReadOnlySpan(bytes, 0, size))
        ArrayPool<byte>.Shared.Return bytes
        message

    /// No sample is longer; damaged bytes may say that they are.
    let private longest = int (bytesOfMib 64UL<MiB>)

    let private seriesOfOne = uint32 (SeriesCoder.ofVersion RemoteWriteVersion.One).SeriesTag
    let private seriesOfTwo = uint32 (SeriesCoder.ofVersion RemoteWriteVersion.Two).SeriesTag

    // Request.symbols; TimeSeries.labels and labels_refs; TimeSeries.metadata; Metadata.type.
    let private symbolTag = ProtobufFields.tagOf 4
    let private labelsTag = ProtobufFields.tagOf 1
    let private metadataTag = ProtobufFields.tagOf 5
    let private typeTag = WireFormat.MakeTag(1, WireFormat.WireType.Varint)

    let private kindOf (number: int) : MetricKind =
        match number with
        | 1 -> MetricKind.Counter
        | 2 -> MetricKind.Gauge
        | 6 -> MetricKind.Info
        | 7 -> MetricKind.StateSet
        | _ -> MetricKind.Untyped

    /// The series of a message, as this coder writes them; none, or an exception of the reader of fields, for what is no such message.
    let private seriesBy (coder: SeriesCoder) (bytes: byte[]) : Series[] voption =
        use input = new CodedInputStream(bytes)
        let found = List<Series>()
        let symbols = List<string>()
        let labels = List<struct (string * string)>()
        let mutable isGood = true

        /// Calls the function until all of the field that begins here is read.
        let inside (read: unit -> unit) : unit =
            let length = input.ReadLength()
            let past = input.Position + int64 length
            isGood <- isGood && past <= int64 bytes.Length

            while isGood && input.Position < past do
                read ()

            isGood <- isGood && input.Position = past

        let text (ref: uint32) : string =
            let isThere = ref < uint32 symbols.Count
            isGood <- isGood && isThere
            if isThere then symbols[int ref] else ""

        let readLabel () =
            let mutable name = ""
            let mutable value = ""

            inside (fun () ->
                match WireFormat.GetTagFieldNumber(input.ReadTag()) with
                | 1 -> name <- input.ReadString()
                | 2 -> value <- input.ReadString()
                | _ -> input.SkipLastField())

            labels.Add(struct (name, value))

        let readReferences () =
            inside (fun () ->
                let name = text (input.ReadUInt32())
                labels.Add(struct (name, text (input.ReadUInt32()))))

        /// One series, whose message begins here.
        let read (readLabels: unit -> unit) (isVerbatim: bool) =
            labels.Clear()
            let mutable kind = MetricKind.Untyped
            let mutable start = 0
            let mutable samples = -1
            let mutable past = 0

            inside (fun () ->
                start <- if start = 0 then int input.Position else start
                let before = int input.Position

                match input.ReadTag() with
                | tag when tag = labelsTag && isVerbatim -> input.SkipLastField()
                | tag when tag = labelsTag -> readLabels ()
                | tag when tag = samplesTag ->
                    samples <- if samples < 0 then before else samples
                    input.SkipLastField()
                    past <- int input.Position
                | tag when tag = metadataTag ->
                    inside (fun () ->
                        match input.ReadTag() with
                        | tag when tag = typeTag -> kind <- kindOf (input.ReadEnum())
                        | _ -> input.SkipLastField())
                | _ -> input.SkipLastField())

            let samples = if samples < 0 then past else samples

            if isGood then
                found.Add
                    {
                        Labels =
                            if isVerbatim then
                                ReadOnlyMemory(bytes, start, max 0 (samples - start))
                            else
                                ReadOnlyMemory(coder.Labels labels)
                        Samples = ReadOnlyMemory(bytes, samples, past - samples)
                        Metadata = ReadOnlyMemory(coder.Metadata kind)
                    }

        while isGood && not input.IsAtEnd do
            match input.ReadTag() with
            | tag when tag = seriesOfOne -> read readLabel (coder.Version = RemoteWriteVersion.One)
            | tag when tag = symbolTag -> symbols.Add(input.ReadString())
            | tag when tag = seriesOfTwo -> read readReferences false
            | _ -> isGood <- false

        if isGood then ValueSome(found.ToArray()) else ValueNone

    /// The series of a compressed message of either version, one sample each, as this coder writes them; none for anything else.
    let series (coder: SeriesCoder) (compressed: byte[]) : Series[] voption =
        try
            if Snappy.GetUncompressedLength(ReadOnlySpan compressed) <= longest then
                seriesBy coder (Snappy.DecompressToArray(ReadOnlySpan compressed))
            else
                ValueNone
        with
        | :? InvalidProtocolBufferException
        | :? InvalidDataException
        | :? OverflowException -> ValueNone

    /// The version of a compressed message, by its first field: it stands at the beginning of the first literal of Snappy's block
    /// (google/snappy, format_description.txt), behind the length of the whole and that of the literal.
    let versionOf (compressed: ReadOnlySpan<byte>) : RemoteWriteVersion =
        let mutable at = 0

        while at < compressed.Length && compressed[at] >= 128uy do
            at <- at + 1

        // Up to 60 bytes of a literal are told by its tag, more by one to four bytes behind it.
        let length =
            if at + 1 < compressed.Length then
                int compressed[at + 1] >>> 2
            else
                0

        let first = at + 2 + max 0 (length - 59)

        if first < compressed.Length && uint32 compressed[first] = symbolTag then
            RemoteWriteVersion.Two
        else
            RemoteWriteVersion.One
