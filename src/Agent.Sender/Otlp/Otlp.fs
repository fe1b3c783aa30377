namespace Agent.Sender

open System
open System.IO
open System.IO.Compression
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Core.Units

/// What every request says of its sender, beside what is read.
[<NoComparison>]
type OtlpSender =
    {
        /// The agent's version.
        Version: string
        /// The name that the machine goes by: the server's slug, else the host name.
        Instance: string
        /// This application's id of the machine; empty where it has none.
        HostId: string
        /// The user's labels, each key once. They beat what is said otherwise.
        Labels: (struct (string * string))[]
        /// When the agent started.
        StartedAt: DateTimeOffset
    }

/// OTLP over HTTP with protobuf (open-telemetry/opentelemetry-proto, docs/specification.md, "OTLP/HTTP"): what a sample looks like on the
/// wire.
///
/// A record is one sample of the machine: an ExportMetricsServiceRequest, compressed with gzip and framed for the spool. Requests of
/// several records are made of them when there is a backlog.
[<RequireQualifiedAccess>]
module Otlp =
    /// Content-Type of a request.
    [<Literal>]
    let ContentType = "application/x-protobuf"

    /// Content-Encoding of a request.
    [<Literal>]
    let ContentEncoding = "gzip"

    /// The path of metrics at a receiver whose URL has none.
    [<Literal>]
    let DefaultPath = "/v1/metrics"

    /// The name of the program: the service and the instrumentation scope.
    [<Literal>]
    let private Service = "ai-dashboard-agent"

    /// The most records in one request.
    [<Literal>]
    let MostRecords = 100

    /// And the most bytes of them, as stored in the spool.
    [<Literal>]
    let MostBytes = 262144

    /// The longest request before compression, which the specification recommends as a limit; damaged bytes may say that they are
    /// longer.
    let private longest = int (bytesOfMib 64UL<MiB>)

    /// gzip (RFC 1952) of some bytes. A message without fields is a stream without bytes all the same.
    let private compressed (bytes: byte[]) : byte[] =
        use memory = new MemoryStream()

        using (new GZipStream(memory, CompressionLevel.Fastest, true)) _.Write(ReadOnlySpan bytes)

        memory.ToArray()

    /// The bytes behind a record's gzip; none where they are damaged or too many.
    let internal decompressed (bytes: byte[]) : byte[] voption =
        try
            use zipped = new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress)
            use memory = new MemoryStream()
            let piece = Array.zeroCreate 16384
            let mutable read = zipped.Read(piece, 0, piece.Length)

            while read > 0 && memory.Length <= int64 longest do
                memory.Write(piece, 0, read)
                read <- zipped.Read(piece, 0, piece.Length)

            if memory.Length <= int64 longest then
                ValueSome(memory.ToArray())
            else
                ValueNone
        with :? InvalidDataException ->
            ValueNone

    /// What identifies the sender (semantic conventions, docs/resource/): the service, its instance, the host and its system. A label of
    /// the user takes the place of the attribute of its name.
    let internal resource (sender: OtlpSender) (reading: MachineReading) : (struct (string * string))[] =
        let system = reading.System

        let own =
            [|
                struct ("service.name", Service)
                struct ("service.version", sender.Version)
                struct ("service.instance.id", sender.Instance)
                struct ("host.name", reading.Hostname)
                struct ("host.id", sender.HostId)
                struct ("host.arch", ExporterMetrics.goArchitecture system.Machine)
                struct ("os.type", system.OsName.ToLowerInvariant())
                struct ("os.description", String.Join(' ', system.OsName, system.OsRelease, system.OsVersion).Trim())
            |]

        let isLabel name =
            sender.Labels |> Array.exists (fun (struct (key, _)) -> key = name)

        [|
            for struct (name, value) in own do
                if value <> "" && not (isLabel name) then
                    struct (name, ProtobufFields.wellFormed value)

            for struct (name, value) in sender.Labels do
                struct (ProtobufFields.wellFormed name, ProtobufFields.wellFormed value)
        |]

    /// The request that tells everything that is known at one instant, without compression; empty where nothing is known.
    let internal message (sender: OtlpSender) (reading: MachineReading) : byte[] =
        let time = nanosecondsSinceEpoch reading.Sample.CollectedAt

        // A clock that was set back may say that the machine starts tomorrow.
        let start (instant: uint64<ns>) =
            if instant <= time then instant else 0UL<ns>

        let boot =
            match reading.Snapshot.Stat with
            | Ok { BootTime = ValueSome seconds } when seconds > 0L<s> ->
                DateTimeOffset.UnixEpoch.AddSeconds(float (min (int64 seconds) (reading.Sample.CollectedAt.ToUnixTimeSeconds() + 1L)))
                |> nanosecondsSinceEpoch
            | _ -> 0UL<ns>

        OtlpMetrics.write
            {
                Reading = reading
                Boot = start boot
                Agent = start (nanosecondsSinceEpoch sender.StartedAt)
            }
        |> OtlpMessage.request OtlpMetrics.Schema (resource sender reading) (struct (Service, sender.Version)) time

    /// Everything that is known at one instant as a record for the spool.
    [<CompiledName "Record">]
    let record (sender: OtlpSender) (reading: MachineReading) : byte[] =
        Spool.frame (ReadOnlySpan(compressed (message sender reading)))

    /// A request without metrics, which asks whether there is a receiver and changes nothing.
    [<CompiledName "EmptyRequest">]
    let emptyRequest () : byte[] = compressed [||]

    /// The request that carries several records, in their order: messages of Protocol Buffers that follow each other are one message, with
    /// the repeated fields of all. Empty where none of them holds anything.
    let internal requestOf (payloads: byte[][]) : byte[] =
        let nothing = emptyRequest ()

        match
            payloads
            |> Array.filter (fun payload -> not (payload.AsSpan().SequenceEqual(ReadOnlySpan nothing)))
        with
        | [||] -> [||]
        | [| one |] -> one
        | several ->
            several
            |> Array.choose (decompressed >> ValueOption.toOption)
            |> Array.concat
            |> compressed

    /// What a receiver says of a failure: the message of its Status, else the beginning of its text.
    let internal wordsOf (body: ReadOnlyMemory<byte>) : string =
        match OtlpMessage.statusMessage (body.ToArray()) with
        | "" -> Text.longExcerpt (body.Span.Trim(ReadOnlySpan " \r\n"B))
        | message -> Text.longExcerpt (ReadOnlySpan(Encoding.UTF8.GetBytes message))
