namespace Agent.Outbound

open System
open System.Collections.Generic
open Agent.Core

/// The value of a series at one instant.
[<Struct; NoComparison>]
type SeriesValue =
    {
        /// What its metric is.
        Kind: MetricKind
        /// Its labels, `__name__` among them, in any order.
        Labels: (struct (string * string))[]
        /// The value.
        Value: float
    }

/// Prometheus remote-write: what a sample looks like on the wire.
///
/// A record is one sample of the machine: the request that carries all its series at that instant, framed for the spool.
/// Requests of several records are made of them when there is a backlog.
[<RequireQualifiedAccess>]
module RemoteWrite =
    /// The headers of a request, names and values.
    [<CompiledName "Headers">]
    let headers (version: RemoteWriteVersion) : (struct (string * string))[] =
        let number, message =
            match version with
            | RemoteWriteVersion.One -> "0.1.0", ""
            | RemoteWriteVersion.Two -> "2.0.0", ";proto=io.prometheus.write.v2.Request"

        [|
            struct ("X-Prometheus-Remote-Write-Version", number)
            struct ("Content-Type", "application/x-protobuf" + message)
            struct ("Content-Encoding", "snappy")
        |]

    /// The header of an answer by which a receiver of 2.0 says how many samples it stored.
    [<Literal>]
    let SamplesWrittenHeader = "X-Prometheus-Remote-Write-Samples-Written"

    /// The most records in one request.
    [<Literal>]
    let MostRecords = 100

    /// And the most bytes of them, as stored in the spool.
    [<Literal>]
    let MostBytes = 262144

    /// A request without series, which asks whether there is a receiver and changes nothing.
    [<CompiledName "EmptyRequest">]
    let emptyRequest (version: RemoteWriteVersion) : byte[] =
        WriteRequest.ofRecords (SeriesCoder.ofVersion version) []

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

    let private byName =
        Comparer<struct (string * string)>.Create(fun (struct (one, _)) (struct (other, _)) -> String.CompareOrdinal(one, other))

    /// The series as the specification requires it: labels sorted by name, without empty ones.
    let private seriesOf (value: SeriesValue) : KnownSeries =
        let labels = List<struct (string * string)>(value.Labels.Length)

        for struct (name, text) in value.Labels do
            if text <> "" then
                labels.Add(struct (name, ProtobufFields.wellFormed text))

        labels.Sort byName
        KnownSeries("", value.Kind, [||], labels.ToArray())

    /// Values of one instant, in milliseconds since 1970, as a record. Of two values of one series the first counts; what is no number is none.
    [<CompiledName "RecordOf">]
    let recordOf (version: RemoteWriteVersion) (milliseconds: int64) (values: SeriesValue seq) : byte[] =
        let told = HashSet<KnownSeries>(ByLabels.Instance)
        let series = List<KnownSeries>()
        let figures = List<float>()

        for value in values do
            if Double.IsFinite value.Value then
                let one = seriesOf value

                if told.Add one then
                    series.Add one
                    figures.Add value.Value

        let message =
            WriteRequest.ofInstant (SeriesCoder.ofVersion version) milliseconds series figures [||] nan

        Spool.frame (ReadOnlySpan message)
