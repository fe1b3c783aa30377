namespace Agent.Sender

open System
open System.Collections.Generic
open System.IO
open Google.Protobuf
open Agent.Core
open Snappier
open Agent.Core.Units

/// One series as a request carries it: two pieces of a prometheus.TimeSeries message, each with its tags.
[<Struct; NoComparison>]
type internal Series =
    {
        /// Its `labels` fields, which distinguish it from others.
        Labels: ReadOnlyMemory<byte>
        /// Its `samples` fields: one sample, with its time.
        Samples: ReadOnlyMemory<byte>
    }

/// Series are distinguished by the bytes of their labels.
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

/// The messages of remote-write 1.0, field by field: prometheus/prometheus, prompb/remote.proto and prompb/types.proto.
[<RequireQualifiedAccess>]
module internal WriteRequest =
    // WriteRequest.timeseries = 1; TimeSeries.labels = 1 and samples = 2; Label.name = 1 and value = 2: all of them messages or
    // strings. Sample.value = 1 is a double, Sample.timestamp = 2 an int64.
    let private first = ProtobufFields.tagOf 1
    let private second = ProtobufFields.tagOf 2

    /// The `labels` fields of a series, in the order given.
    let labels (all: List<struct (string * string)>) : byte[] =
        let contentOf name value =
            ProtobufFields.sizeOfText name + ProtobufFields.sizeOfText value

        let mutable size = 0

        for struct (name, value) in all do
            size <- size + ProtobufFields.sizeOf (contentOf name value)

        let bytes = Array.zeroCreate size
        use output = new CodedOutputStream(bytes)

        for struct (name, value) in all do
            output.WriteTag first
            output.WriteLength(contentOf name value)
            ProtobufFields.writeText output 1 name
            ProtobufFields.writeText output 2 value

        bytes

    /// The `samples` field of one sample at an instant, in milliseconds since 1970.
    let sample (value: float) (milliseconds: int64) : byte[] =
        let content = 2 * ProtobufFields.TagSize + 8 + CodedOutputStream.ComputeInt64Size milliseconds
        let bytes = Array.zeroCreate (ProtobufFields.sizeOf content)
        use output = new CodedOutputStream(bytes)
        output.WriteTag second
        output.WriteLength content
        output.WriteTag(1, WireFormat.WireType.Fixed64)
        output.WriteDouble value
        output.WriteTag(2, WireFormat.WireType.Varint)
        output.WriteInt64 milliseconds
        bytes

    /// The whole message, compressed in Snappy's block format as the specification requires. Series with several pieces of
    /// samples have them in the order given.
    let compressed (series: IReadOnlyCollection<struct (ReadOnlyMemory<byte> * List<ReadOnlyMemory<byte>>)>) : byte[] =
        let contentOf (labels: ReadOnlyMemory<byte>) (samples: List<ReadOnlyMemory<byte>>) =
            let mutable size = labels.Length

            for piece in samples do
                size <- size + piece.Length

            size

        let mutable size = 0

        for struct (labels, samples) in series do
            size <- size + ProtobufFields.sizeOf (contentOf labels samples)

        use memory = new MemoryStream(size)
        use output = new CodedOutputStream(memory, 64)

        for struct (labels, samples) in series do
            output.WriteTag first
            output.WriteLength(contentOf labels samples)
            // What is encoded already goes around the stream's own small buffer.
            output.Flush()
            memory.Write labels.Span

            for piece in samples do
                memory.Write piece.Span

        Snappy.CompressToArray(ReadOnlySpan(memory.GetBuffer(), 0, size))

    /// No sample is longer; damaged bytes may say that they are.
    let private longest = int (bytesOfMib 64UL<MiB>)

    /// The series of a compressed message as this module writes them, one sample each; none for anything else.
    let series (compressed: byte[]) : Series[] voption =
        try
            let mutable isGood = Snappy.GetUncompressedLength(ReadOnlySpan compressed) <= longest

            let bytes =
                if isGood then
                    Snappy.DecompressToArray(ReadOnlySpan compressed)
                else
                    [||]

            use input = new CodedInputStream(bytes)
            let found = List<Series>()

            while isGood && not input.IsAtEnd do
                isGood <- input.ReadTag() = first

                if isGood then
                    let length = input.ReadLength()
                    let start = int input.Position
                    let mutable between = start
                    isGood <- length <= bytes.Length - start

                    while isGood && int input.Position < start + length do
                        if input.ReadTag() = first then
                            input.SkipLastField()
                            between <- int input.Position
                        else
                            input.SkipLastField()

                    isGood <- isGood && int input.Position = start + length

                    found.Add
                        {
                            Labels = ReadOnlyMemory(bytes, start, between - start)
                            Samples = ReadOnlyMemory(bytes, between, int input.Position - between)
                        }

            if isGood then ValueSome(found.ToArray()) else ValueNone
        with
        | :? InvalidProtocolBufferException
        | :? InvalidDataException
        | :? OverflowException -> ValueNone

/// Gathers the series of one instant: each with the family's name, the labels of its sample and those of the machine, sorted
/// by name, without empty ones, as the specification requires.
[<Sealed>]
type internal SeriesSink(machine: (struct (string * string))[], milliseconds: int64) =
    inherit MetricSink()

    let series = Dictionary<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>>(500, ByContent.Instance)
    let order = List<Series>(500)
    let own = List<struct (string * string)>()
    let mutable family = ""

    let byName =
        Comparer<struct (string * string)>.Create(fun (struct (one, _)) (struct (other, _)) -> String.CompareOrdinal(one, other))

    let isTold (name: string) =
        let mutable found = false

        for struct (told, _) in own do
            found <- found || told = name

        found

    /// What was gathered, in the order in which it was added.
    member _.Series: List<Series> = order

    /// True when this series was added.
    member _.Has(labels: ReadOnlyMemory<byte>) : bool = series.ContainsKey labels

    override _.Family(name, _, _) =
        family <- name
        own.Clear()

    override _.Label(name, value) =
        if value <> "" then
            own.Add(struct (name, ProtobufFields.wellFormed value))

    override this.Whole value = this.Value(float value)

    override _.Value value =
        if Double.IsFinite value then
            // A label of the metric's own beats one of the machine.
            for struct (name, text) in machine do
                if text <> "" && not (isTold name) then
                    own.Add(struct (name, ProtobufFields.wellFormed text))

            own.Add(struct ("__name__", family))
            own.Sort byName
            let labels = ReadOnlyMemory(WriteRequest.labels own)
            let samples = ReadOnlyMemory(WriteRequest.sample value milliseconds)

            // What is told twice counts once: a receiver refuses two values of one instant.
            if series.TryAdd(labels, samples) then
                order.Add { Labels = labels; Samples = samples }

        own.Clear()

/// The series of a record, for the next one to be compared with.
[<Sealed>]
type SeriesSet internal (labels: ReadOnlyMemory<byte>[]) =
    /// No series.
    static member Empty: SeriesSet = SeriesSet [||]

    member internal _.Labels: ReadOnlyMemory<byte>[] = labels

/// Prometheus remote-write 1.0 (prometheus.io/docs/specs/prw/remote_write_spec): what a sample looks like on the wire.
///
/// A record is one sample of the machine: the request that carries all its series at that instant, framed for the spool.
/// Requests of several records are made of them when there is a backlog.
[<RequireQualifiedAccess>]
module RemoteWrite =
    /// Content-Type of a request.
    [<Literal>]
    let ContentType = "application/x-protobuf"

    /// Content-Encoding of a request: Snappy's block format.
    [<Literal>]
    let ContentEncoding = "snappy"

    /// The header with the version of the protocol.
    [<Literal>]
    let VersionHeader = "X-Prometheus-Remote-Write-Version"

    /// Its value.
    [<Literal>]
    let Version = "0.1.0"

    /// The most records in one request.
    [<Literal>]
    let MostRecords = 100

    /// And the most bytes of them, as stored in the spool.
    [<Literal>]
    let MostBytes = 262144

    /// The bits of the value that says that a series ends here (prometheus/prometheus, model/value/value.go).
    let private stale = BitConverter.Int64BitsToDouble 0x7ff0000000000002L

    /// A request without series, which asks whether there is a receiver and changes nothing.
    [<CompiledName "EmptyRequest">]
    let emptyRequest () : byte[] = WriteRequest.compressed [||]

    /// True for what a label may be called; `__…` is Prometheus's own.
    let private isLabelName (name: string) =
        name <> ""
        && not (Char.IsAsciiDigit name[0])
        && not (name.StartsWith("__", StringComparison.Ordinal))
        && name |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '_')

    /// The labels that distinguish this machine's series from those of others: `job` and `instance`, which a scrape would add, and
    /// those of the user whose keys can be names of labels. `instance` is the name that the machine goes by.
    [<CompiledName "MachineLabels">]
    let machineLabels (instance: string) (labels: (struct (string * string))[]) : (struct (string * string))[] =
        let chosen = labels |> Array.filter (fun (struct (key, _)) -> isLabelName key)

        let isChosen name =
            chosen |> Array.exists (fun (struct (key, _)) -> key = name)

        [|
            if not (isChosen "instance") then
                struct ("instance", instance)
            if not (isChosen "job") then
                struct ("job", "ai-dashboard-agent")
            yield! chosen
        |]

    /// The request that carries the series of these records, those of the same labels as one, with their samples in the order
    /// given.
    let internal requestOf (records: Series[] seq) : byte[] =
        let order = List<struct (ReadOnlyMemory<byte> * List<ReadOnlyMemory<byte>>)>()
        let found = Dictionary<ReadOnlyMemory<byte>, List<ReadOnlyMemory<byte>>>(ByContent.Instance)

        for record in records do
            for series in record do
                match found.TryGetValue series.Labels with
                | true, samples -> samples.Add series.Samples
                | _ ->
                    let samples = List [| series.Samples |]
                    found[series.Labels] <- samples
                    order.Add(struct (series.Labels, samples))

        WriteRequest.compressed order

    /// Everything that is known at one instant as a record for the spool, and its series. Series of the record before that are
    /// gone end with it, as the specification requires.
    [<CompiledName "Record">]
    let record
        (machine: (struct (string * string))[])
        (previous: SeriesSet)
        (reading: MachineReading)
        (state: AgentState)
        : struct (byte[] * SeriesSet) =
        let milliseconds = reading.Sample.CollectedAt.ToUnixTimeMilliseconds()
        let sink = SeriesSink(machine, milliseconds)
        Exposition.tell sink (ValueSome reading) state
        let now = sink.Series.ToArray()
        let ended = ReadOnlyMemory(WriteRequest.sample stale milliseconds)

        let gone =
            previous.Labels
            |> Array.filter (fun labels -> not (sink.Has labels))
            |> Array.map (fun labels -> { Labels = labels; Samples = ended })

        struct (Spool.frame (ReadOnlySpan(requestOf [| now; gone |])), SeriesSet(now |> Array.map _.Labels))
