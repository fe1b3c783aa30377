namespace Agent.Outbound

open System
open System.Collections.Generic
open System.IO
open Google.Protobuf

/// A version of remote-write.
[<RequireQualifiedAccess>]
type RemoteWriteVersion =
    /// 1.0 (prometheus.io/docs/specs/prw/remote_write_spec), which every receiver knows.
    | One
    /// 2.0 (prometheus.io/docs/specs/prw/remote_write_spec_2_0): each text once in a request, the types of metrics, and answers that
    /// say how much was stored.
    | Two

/// Writes what requests say of series apart from their samples.
[<AbstractClass>]
type internal SeriesCoder(version: RemoteWriteVersion) =
    /// The version of the requests.
    member _.Version: RemoteWriteVersion = version

    /// The tag of the request's field that holds a series.
    abstract SeriesTag: byte

    /// The fields of the request before its series. What is asked of the coder later may add to them.
    abstract Beginning: ReadOnlyMemory<byte>

    /// The fields that hold the labels of a series, in the order given. Two series with other labels have others.
    abstract Labels: IReadOnlyList<struct (string * string)> -> byte[]

    /// The fields that hold what a metric is.
    abstract Metadata: MetricKind -> byte[]

    /// True when it has kept so much for series that are gone that a new one is worth its making.
    abstract IsCrowded: bool

/// prometheus/prometheus, prompb/remote.proto and prompb/types.proto: WriteRequest.timeseries = 1; TimeSeries.labels = 1 and samples = 2;
/// Label.name = 1 and value = 2, both strings.
[<Sealed>]
type internal CoderOfOne private () =
    inherit SeriesCoder(RemoteWriteVersion.One)

    static let tag = ProtobufFields.tagOf 1

    static let contentOf name value =
        ProtobufFields.sizeOfText name + ProtobufFields.sizeOfText value

    /// The only one: it keeps nothing.
    static member val Instance = CoderOfOne()

    override _.SeriesTag = byte tag
    override _.Beginning = ReadOnlyMemory.Empty
    override _.Metadata _ = [||]
    override _.IsCrowded = false

    override _.Labels all =
        let mutable size = 0

        for struct (name, value) in all do
            size <- size + ProtobufFields.sizeOf (contentOf name value)

        let bytes = Array.zeroCreate size
        use output = new CodedOutputStream(bytes)

        for struct (name, value) in all do
            output.WriteTag tag
            output.WriteLength(contentOf name value)
            ProtobufFields.writeText output 1 name
            ProtobufFields.writeText output 2 value

        bytes

/// prometheus/prometheus, prompb/io/prometheus/write/v2/types.proto: Request.symbols = 4, strings, the first of them empty, and
/// timeseries = 5; TimeSeries.labels_refs = 1, packed, samples = 2 and metadata = 5; Metadata.type = 1.
[<Sealed>]
type internal CoderOfTwo() =
    inherit SeriesCoder(RemoteWriteVersion.Two)

    static let seriesTag = byte (ProtobufFields.tagOf 5)

    /// The metadata of a type by its number, which is below 128.
    static let ofType (number: byte) =
        [|
            byte (ProtobufFields.tagOf 5)
            2uy
            byte (WireFormat.MakeTag(1, WireFormat.WireType.Varint))
            number
        |]

    static let untyped: byte[] = [||]
    static let counter = ofType 1uy
    static let gauge = ofType 2uy
    static let info = ofType 6uy
    static let stateSet = ofType 7uy

    let refs = Dictionary<string, uint32>(StringComparer.Ordinal)
    let symbols = new MemoryStream()
    let output = new CodedOutputStream(symbols)
    let mutable first = 0

    let refOf (text: string) : uint32 =
        match refs.TryGetValue text with
        | true, ref -> ref
        | _ ->
            let ref = uint32 refs.Count
            refs[text] <- ref
            ProtobufFields.writeText output 4 text
            ref

    do refOf "" |> ignore

    override _.SeriesTag = seriesTag

    override _.Beginning =
        output.Flush()
        first <- if first = 0 then refs.Count else first
        ReadOnlyMemory(symbols.GetBuffer(), 0, int symbols.Length)

    override _.IsCrowded = first > 0 && refs.Count > first + first / 4 + 64

    override _.Labels all =
        let found = Array.zeroCreate<uint32>(2 * all.Count)
        let mutable size = 0

        for i in 0 .. all.Count - 1 do
            let struct (name, value) = all[i]
            found[2 * i] <- refOf name
            found[2 * i + 1] <- refOf value

            size <-
                size
                + CodedOutputStream.ComputeUInt32Size found[2 * i]
                + CodedOutputStream.ComputeUInt32Size found[2 * i + 1]

        let bytes = Array.zeroCreate (ProtobufFields.sizeOf size)
        use output = new CodedOutputStream(bytes)
        output.WriteTag(ProtobufFields.tagOf 1)
        output.WriteLength size

        for ref in found do
            output.WriteUInt32 ref

        bytes

    override _.Metadata kind =
        match kind with
        | MetricKind.Untyped -> untyped
        | MetricKind.Counter -> counter
        | MetricKind.Gauge -> gauge
        | MetricKind.Info -> info
        | MetricKind.StateSet -> stateSet

/// What writes the series of a version.
[<RequireQualifiedAccess>]
module internal SeriesCoder =
    /// One that has not written anything yet.
    let ofVersion (version: RemoteWriteVersion) : SeriesCoder =
        match version with
        | RemoteWriteVersion.One -> CoderOfOne.Instance
        | RemoteWriteVersion.Two -> CoderOfTwo()
