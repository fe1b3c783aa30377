namespace Agent.Sender

open System
open System.Buffers
open System.Buffers.Binary
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

/// A series as it was told: what tells it from others, as texts and as they stand in a request.
[<Sealed>]
type internal KnownSeries(family: string, own: (struct (string * string))[], labels: byte[]) =
    let mutable toldIn = obj ()

    /// Its `labels` fields.
    member _.Labels: ReadOnlyMemory<byte> = ReadOnlyMemory labels

    /// True when this record has told it.
    member _.IsToldIn(record: obj) : bool = obj.ReferenceEquals(toldIn, record)

    /// This record tells it.
    member _.TellIn(record: obj) : unit = toldIn <- record

    /// True for the series of this family and of these labels, in their order, the machine's left out.
    member _.Is(otherFamily: string, labels: List<struct (string * string)>) : bool =
        let mutable same = own.Length = labels.Count && String.Equals(family, otherFamily)
        let mutable i = 0

        while same && i < own.Length do
            let struct (name, value) = own[i]
            let struct (otherName, otherValue) = labels[i]
            same <- String.Equals(value, otherValue) && String.Equals(name, otherName)
            i <- i + 1

        same

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

    // Behind the tag and the length of the field, and the tag of the value: TimeSeries.samples and Sample.value.
    [<Literal>]
    let private ValueOffset = 3

    /// The whole message of one instant, compressed: series with a value each, and series that end with another. Written in one pass over
    /// what is known of the series: some hundreds of them each second.
    let compressedOfInstant
        (milliseconds: int64)
        (series: List<KnownSeries>)
        (values: List<float>)
        (ended: KnownSeries[])
        (stale: float)
        : byte[] =
        let template = sample 0.0 milliseconds
        let contentOf (one: KnownSeries) = one.Labels.Length + template.Length
        let mutable size = 0

        for one in series do
            size <- size + ProtobufFields.sizeOf (contentOf one)

        for one in ended do
            size <- size + ProtobufFields.sizeOf (contentOf one)

        let bytes = ArrayPool<byte>.Shared.Rent size
        let mutable at = 0

        let write (one: KnownSeries) (value: float) =
            bytes[at] <- byte first
            at <- at + 1
            let mutable length = contentOf one

            while length >= 128 do
                bytes[at] <- byte (length ||| 128)
                at <- at + 1
                length <- length >>> 7

            bytes[at] <- byte length
            at <- at + 1
            one.Labels.Span.CopyTo(Span(bytes, at, one.Labels.Length))
            at <- at + one.Labels.Length
            template.CopyTo(bytes, at)
            BinaryPrimitives.WriteDoubleLittleEndian(Span(bytes, at + ValueOffset, 8), value)
            at <- at + template.Length

        for i in 0 .. series.Count - 1 do
            write series[i] values[i]

        for one in ended do
            write one stale

        let message = Snappy.CompressToArray(ReadOnlySpan(bytes, 0, size))
        ArrayPool<byte>.Shared.Return bytes
        message

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

/// The series of a record, for the next one to be compared with.
[<Sealed>]
type SeriesSet internal (machine: (struct (string * string))[], series: KnownSeries[]) =
    /// No series.
    static member Empty: SeriesSet = SeriesSet([||], [||])

    /// The labels of the machine.
    member internal _.Machine: (struct (string * string))[] = machine

    /// In the order in which they were told.
    member internal _.Series: KnownSeries[] = series

/// Gathers the series of one instant: each with the family's name, the labels of its sample and those of the machine, sorted
/// by name, without empty ones, as the specification requires.
///
/// Most series are those of the record before, in the same order, and what is known of them is used again.
[<Sealed>]
type internal SeriesSink(machine: (struct (string * string))[], previous: SeriesSet) =
    inherit MetricSink()

    /// So many series may have gone at one place for those behind them to be found again without looking at all.
    [<Literal>]
    let MostGone = 32

    let order = List<KnownSeries>(previous.Series.Length + 16)
    let values = List<float>(previous.Series.Length + 16)
    let own = List<struct (string * string)>()
    let record = obj ()
    let mutable family = ""
    let mutable next = 0
    let mutable byContent: Dictionary<ReadOnlyMemory<byte>, KnownSeries> voption = ValueNone

    let byName =
        Comparer<struct (string * string)>.Create(fun (struct (one, _)) (struct (other, _)) -> String.CompareOrdinal(one, other))

    let isSameMachine =
        machine.Length = previous.Machine.Length
        && Array.forall2
            (fun (struct (name: string, value: string)) (struct (otherName: string, otherValue: string)) ->
                String.Equals(name, otherName) && String.Equals(value, otherValue))
            machine
            previous.Machine

    let isTold (name: string) =
        let mutable found = false

        for struct (told, _) in own do
            found <- found || told = name

        found

    let known () =
        match byContent with
        | ValueSome known -> known
        | ValueNone ->
            let known = Dictionary<ReadOnlyMemory<byte>, KnownSeries>(previous.Series.Length, ByContent.Instance)

            for one in previous.Series do
                known[one.Labels] <- one

            byContent <- ValueSome known
            known

    /// The series where the record before has it, or a little behind that.
    let again () : KnownSeries voption =
        let mutable found = ValueNone

        if isSameMachine then
            let past = min previous.Series.Length (next + MostGone)
            let mutable at = next

            while found.IsNone && at < past do
                if previous.Series[at].Is(family, own) then
                    found <- ValueSome previous.Series[at]
                    next <- at + 1

                at <- at + 1

        found

    /// The series by its labels, or a new one.
    let afresh () : KnownSeries =
        let told = own.ToArray()

        // A label of the metric's own beats one of the machine.
        for struct (name, text) in machine do
            if text <> "" && not (isTold name) then
                own.Add(struct (name, ProtobufFields.wellFormed text))

        own.Add(struct ("__name__", family))
        own.Sort byName
        let labels = WriteRequest.labels own
        let known = known ()

        match known.TryGetValue(ReadOnlyMemory labels) with
        | true, one -> one
        | _ ->
            let one = KnownSeries(family, told, labels)
            known[one.Labels] <- one
            one

    /// What was gathered, in the order in which it was told.
    member _.Series: List<KnownSeries> = order

    /// Their values.
    member _.Values: List<float> = values

    /// True when this series was told.
    member _.Has(series: KnownSeries) : bool = series.IsToldIn record

    override _.Family(name, _, _) =
        family <- name
        own.Clear()

    override _.Label(name, value) =
        if value <> "" then
            own.Add(struct (name, ProtobufFields.wellFormed value))

    override this.Whole value = this.Value(float value)

    override _.Value value =
        if Double.IsFinite value then
            let series =
                match again () with
                | ValueSome series -> series
                | ValueNone -> afresh ()

            // What is told twice counts once: a receiver refuses two values of one instant.
            if not (series.IsToldIn record) then
                series.TellIn record
                order.Add series
                values.Add value

        own.Clear()

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
        let sink = SeriesSink(machine, previous)
        Exposition.tell sink (ValueSome reading) state
        let gone = previous.Series |> Array.filter (sink.Has >> not)

        let message =
            WriteRequest.compressedOfInstant (reading.Sample.CollectedAt.ToUnixTimeMilliseconds()) sink.Series sink.Values gone stale

        struct (Spool.frame (ReadOnlySpan message), SeriesSet(machine, sink.Series.ToArray()))
