namespace Agent.Sender

open System
open Agent.Core

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

    /// Everything that is known at one instant as a record for the spool, and its series. Series of the record before that are
    /// gone end with it, as the specification requires.
    [<CompiledName "Record">]
    let record
        (version: RemoteWriteVersion)
        (machine: (struct (string * string))[])
        (previous: SeriesSet)
        (reading: MachineReading)
        (state: AgentState)
        : struct (byte[] * SeriesSet) =
        let sink = SeriesSink(machine, previous)
        Exposition.tell sink (ValueSome reading) state
        let gone = previous.Series |> Array.filter (sink.Has >> not)

        let coder = previous.CoderFor version

        let message =
            WriteRequest.ofInstant coder (reading.Sample.CollectedAt.ToUnixTimeMilliseconds()) sink.Series sink.Values gone stale

        struct (Spool.frame (ReadOnlySpan message), SeriesSet(coder, machine, sink.Series.ToArray()))
