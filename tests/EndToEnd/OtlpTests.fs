/// OTLP into a receiver that comes and goes, and beside OpenTelemetry's own exporter.
module Agent.EndToEnd.Tests.OtlpTests

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Threading
open System.Threading.Tasks
open Microsoft.AspNetCore.Http
open Agent.TestSupport
open Agent.TestSupport.AgentProcess
open Agent.TestSupport.OtlpText
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.Waiting
open Agent.EndToEnd.Tests.IngestServer
open Agent.EndToEnd.Tests.MetricsAgent
open Agent.TestSupport.Prometheus
open Expecto

/// As a receiver answers that takes everything: an empty ExportMetricsServiceResponse.
let private taken: Reply =
    fun _ context ->
        context.Response.StatusCode <- 200
        context.Response.ContentType <- "application/x-protobuf"
        context.Response.ContentLength <- 0L
        Task.CompletedTask

let private answers (status: int) (body: byte[]) : Reply =
    fun _ context ->
        task {
            context.Response.StatusCode <- status
            context.Response.ContentType <- "application/x-protobuf"
            context.Response.ContentLength <- int64 body.Length
            do! context.Response.Body.WriteAsync(ReadOnlyMemory body)
        }

let private pointsIn (request: Request) : Point list = pointsOf (decompress request.Body)

/// The instants in a request, in its order.
let private timesIn (request: Request) : uint64 list =
    pointsIn request |> List.map _.Time |> List.distinct

let private isAdvised (agent: AgentProcess) (advice: string) : unit =
    eventually limit agent.Said (fun () ->
        agent.AllErrors
        |> List.exists (fun line -> line.Contains $"advice: otlp: {advice}"))

let private delivered = "ai_dashboard_samples_delivered_total{destination=\"otlp\"}"
let private waiting = "ai_dashboard_backlog_samples{destination=\"otlp\"}"
let private refused = "ai_dashboard_samples_dropped_total{destination=\"otlp\",reason=\"refused\"}"

// ---- protoc ---------------------------------------------------------------------------------------------------------

/// A message as `protoc --decode_raw` prints it: a field with its number, and a text or more fields.
[<CustomEquality; NoComparison>]
type private Raw =
    {
        Number: int
        Text: string
        Fields: Raw list
    }

    override raw.ToString() =
        if raw.Fields.IsEmpty then
            $"{raw.Number}: {raw.Text}"
        else
            let inner = raw.Fields |> List.map string |> String.concat " "
            $"{raw.Number} {{ {inner} }}"

    override raw.Equals(other) = string raw = string other

    override raw.GetHashCode() =
        (string raw).GetHashCode StringComparison.Ordinal

let private decodeRaw (message: byte[]) : string =
    let start =
        ProcessStartInfo("protoc", [ "--decode_raw" ], RedirectStandardInput = true, RedirectStandardOutput = true)

    try
        match Process.Start start with
        | null -> failtest "protoc does not start"
        | tool ->
            use tool = tool
            let output = tool.StandardOutput.ReadToEndAsync()
            tool.StandardInput.BaseStream.Write(ReadOnlySpan message)
            tool.StandardInput.Close()
            tool.WaitForExit()
            Expect.equal tool.ExitCode 0 "protoc reads it"
            output.Result
    with :? System.ComponentModel.Win32Exception ->
        Skip.because "no protoc"
        ""

let private rawOf (message: byte[]) : Raw list =
    let lines = (decodeRaw message).Split('\n', StringSplitOptions.RemoveEmptyEntries)

    let rec read (at: int) (found: Raw list) : Raw list * int =
        if at >= lines.Length || lines[at].Trim() = "}" then
            List.rev found, at + 1
        else
            let line = lines[at].Trim()

            if line.EndsWith " {" then
                let inner, next = read (at + 1) []

                read
                    next
                    ({
                        Number = int (line.Substring(0, line.Length - 2))
                        Text = ""
                        Fields = inner
                     }
                     :: found)
            else
                let colon = line.IndexOf ": "

                read
                    (at + 1)
                    ({
                        Number = int (line.Substring(0, colon))
                        Text = line.Substring(colon + 2)
                        Fields = []
                     }
                     :: found)

    fst (read 0 [])

let private inside (path: int list) (message: Raw list) : Raw list =
    path
    |> List.fold
        (fun fields number ->
            fields
            |> List.filter (fun field -> field.Number = number)
            |> List.collect _.Fields)
        message

/// Fields in the order of their numbers, those of one number by their text: what carries no meaning in Protocol Buffers where a list is
/// a set.
let rec private ordered (fields: Raw list) : Raw list =
    fields
    |> List.map (fun field ->
        { field with
            Fields = ordered field.Fields
        })
    |> List.sortBy (fun field -> field.Number, string field)

let private text (number: int) (fields: Raw list) : string =
    fields
    |> List.tryFind (fun field -> field.Number = number)
    |> Option.map _.Text
    |> Option.defaultValue ""

/// A metric by its name, with its points apart: what it says beside them, and the points without their two times.
let private metricsIn (message: Raw list) : Map<string, Raw list * Raw list list> =
    message
    // resource_metrics = 1, scope_metrics = 2, metrics = 2.
    |> inside [ 1; 2 ]
    |> List.filter (fun field -> field.Number = 2)
    |> List.map (fun metric ->
        // gauge = 5 or sum = 7, whose data_points are 1.
        let data = metric.Fields |> List.filter (fun field -> field.Number = 5 || field.Number = 7)
        let points = data |> List.collect _.Fields |> List.filter (fun field -> field.Number = 1)

        let beside =
            [
                for field in metric.Fields do
                    if List.contains field data then
                        { field with
                            // is_monotonic = 3: false is what proto3 says of a field that is left out, and the SDK writes it.
                            Fields =
                                field.Fields
                                |> List.filter (fun inner -> inner.Number <> 1 && (inner.Number, inner.Text) <> (3, "0"))
                        }
                    else
                        field
            ]

        let withoutTimes =
            points
            |> List.map (fun point ->
                point.Fields
                |> List.filter (fun field -> field.Number <> 2 && field.Number <> 3)
                |> ordered)
            |> List.sortBy string

        text 1 metric.Fields, (ordered beside, withoutTimes))
    |> Map.ofList

let private compare () =
    use server = new IngestServer(taken)
    use agent = startAlone [ $"--otlp={server.Url}"; "--label=rack=7" ]
    // The second sample has rates.
    eventually limit agent.Said (fun () -> server.Requests.Length >= 3)
    finish agent
    let ours = server.Requests[2]
    let sent = pointsIn ours
    use other = new IngestServer(taken)
    OtelExporter.send $"{other.Url}/v1/metrics" sent
    // It sends them again when it is disposed of.
    let theirs = other.Requests.Head

    for name in [ "Content-Type" ] do
        Expect.equal (ours.Header name) (theirs.Header name) name

    Expect.equal (ours.Method, ours.Target) (theirs.Method, theirs.Target) "where it goes"
    let our = rawOf (decompress ours.Body)
    let their = rawOf theirs.Body

    // ---- resource = 1 with attributes = 1; scope = 1 of scope_metrics = 2.
    Expect.equal (our |> inside [ 1; 1 ] |> ordered) (their |> inside [ 1; 1 ] |> ordered) "resource"
    Expect.equal (our |> inside [ 1; 2; 1 ] |> ordered) (their |> inside [ 1; 2; 1 ] |> ordered) "scope"

    let our, their = metricsIn our, metricsIn their
    Expect.equal (our |> Map.toList |> List.map fst) (their |> Map.toList |> List.map fst) "metrics"
    Expect.isGreaterThan our.Count 20 "a machine has many"

    for name, (beside, points) in Map.toList our do
        let theirBeside, theirPoints = their[name]
        Expect.equal (List.map string beside) (List.map string theirBeside) $"{name}: name, description, unit, temporality, monotony"

        Expect.equal (points |> List.map (List.map string)) (theirPoints |> List.map (List.map string)) $"{name}: attributes and figures"

// ---- Outages --------------------------------------------------------------------------------------------------------

/// Takes everything, and remembers the instants of what it took.
let private remembers (instants: ConcurrentQueue<uint64>) : Reply =
    fun request context ->
        for time in timesIn request do
            instants.Enqueue time

        taken request context

/// That all samples so far were taken, in the order of time. One may have been taken twice whose answer was lost.
let private expectAll (instants: ConcurrentQueue<uint64>) (samples: int) : unit =
    let found = instants |> List.ofSeq |> List.distinct
    Expect.equal found (List.sort found) "in the order of time"
    Expect.isGreaterThanOrEqual found.Length samples "every sample"

/// Waits until what was taken by now is delivered, and says how many that is.
let private caughtUp (agent: AgentProcess) (url: string) : int =
    let samples = says url "ai_dashboard_samples_taken_total"
    eventually limit agent.Said (fun () -> says url delivered >= samples)
    samples

let private secretFile (directory: string) (lines: string list) : string =
    let path = Path.Combine(directory, "headers")
    File.WriteAllLines(path, lines)
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
    path

let tests =
    testList
        "OTLP"
        [
            testCase "what is sent is field by field what OpenTelemetry's own exporter sends of the same figures, as protoc reads both"
            <| fun () -> compare ()

            testCase "an outage loses nothing and keeps the order: no receiver, one that goes away, is overloaded, and is back"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()
                    let instants = ConcurrentQueue<uint64>()

                    use agent =
                        startAlone
                            [
                                $"--otlp=http://127.0.0.1:{port}"
                                "--listen=127.0.0.1:0"
                                $"--spool={directory}/spool"
                            ]

                    let url = metricsOf agent
                    agent.WaitForError "otlp not delivered: "

                    using (new IngestServer(remembers instants, port, false)) (fun _ ->
                        eventually limit agent.Said (fun () -> instants.Count >= 5))

                    let before = says url "ai_dashboard_samples_taken_total"
                    eventually limit agent.Said (fun () -> says url "ai_dashboard_samples_taken_total" >= before + 20)
                    let mutable isOverloaded = true

                    let reply: Reply =
                        fun request context ->
                            if Volatile.Read &isOverloaded then
                                withHeader "Retry-After" "1" (answers 503 [||]) request context
                            else
                                remembers instants request context

                    use server = new IngestServer(reply, port, false)
                    eventually limit agent.Said (fun () -> server.Requests.Length >= 2)
                    Volatile.Write(&isOverloaded, false)
                    let samples = caughtUp agent url
                    finish agent
                    expectAll instants samples

                    Expect.isTrue
                        (server.Requests |> List.exists (fun request -> (timesIn request).Length >= 10))
                        "what waited goes in large requests"

                    Expect.equal (server.Requests |> List.map _.Target |> List.distinct) [ "/v1/metrics" ] "the path"
                    Expect.equal (server.Requests.Head.Header "Content-Encoding") "gzip" "compressed"
                    Expect.isFalse (agent.AllErrors |> List.exists _.Contains("refused:")) agent.Said)

            testCase "a kill in the middle of an outage loses nothing that was taken, where there is a spool"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()

                    let words =
                        [
                            $"--otlp=http://127.0.0.1:{port}"
                            "--listen=127.0.0.1:0"
                            $"--spool={directory}/spool"
                        ]

                    let mutable first = 0

                    using (startAlone words) (fun agent ->
                        let url = metricsOf agent
                        eventually limit agent.Said (fun () -> says url "ai_dashboard_samples_taken_total" >= 20)
                        first <- says url "ai_dashboard_samples_taken_total"
                        agent.Signal 9
                        agent.WaitForEnd limit |> ignore)

                    let instants = ConcurrentQueue<uint64>()
                    use _ = new IngestServer(remembers instants, port, false)
                    use agent = startAlone words
                    let url = metricsOf agent
                    eventually limit agent.Said (fun () -> says url delivered > first && says url waiting = 0)
                    finish agent
                    expectAll instants first)

            testCase "what is refused is counted with the receiver's words, never sent again, and costs nothing else"
            <| fun () ->
                let instants = ConcurrentQueue<uint64>()

                let reply: Reply =
                    fun request context ->
                        if request.Number = 3 then
                            // google.rpc.Status: field 2, 8 bytes.
                            answers 400 (Array.append [| 0x12uy; 8uy |] "too odd!"B) request context
                        else
                            remembers instants request context

                use server = new IngestServer(reply)
                use agent = startAlone [ $"--otlp={server.Url}/v1/metrics"; "--listen=127.0.0.1:0" ]
                let url = metricsOf agent
                eventually limit agent.Said (fun () -> says url delivered >= 10)
                Expect.equal (says url refused) 1 "one"
                agent.WaitForError "otlp: samples are refused: HTTP 400: too odd!; 1 dropped"
                isAdvised agent "The service at this URL refuses what it is sent for good"
                let lost = timesIn server.Requests[3]

                Expect.equal (server.Requests |> List.filter (timesIn >> (=) lost)).Length 1 "not sent again"

            testCase "data points that a receiver rejects are told, and the sample is delivered"
            <| fun () ->
                // partial_success of 9 bytes: rejected_data_points = 2, error_message = "stale".
                let partly = Array.append [| 0x0Auy; 9uy; 0x08uy; 2uy; 0x12uy; 5uy |] "stale"B
                use server = new IngestServer(answers 200 partly)
                use agent = startAlone [ $"--otlp={server.Url}"; "--listen=127.0.0.1:0" ]
                let url = metricsOf agent
                agent.WaitForError "otlp: data points are rejected: stale; 2 dropped"
                eventually limit agent.Said (fun () -> says url delivered >= 5)
                let times = server.Requests |> List.collect timesIn
                Expect.equal times (List.distinct times) "none is sent again"

            testCase "an address at which there is no receiver loses nothing, and is advised about"
            <| fun () ->
                let mutable isThere = false
                let instants = ConcurrentQueue<uint64>()

                let reply: Reply =
                    fun request context ->
                        if Volatile.Read &isThere then
                            remembers instants request context
                        else
                            answers 404 "404 page not found\n"B request context

                use server = new IngestServer(reply)
                use agent = startAlone [ $"--otlp={server.Url}/wrong"; "--listen=127.0.0.1:0" ]
                let url = metricsOf agent
                agent.WaitForError "otlp not delivered: HTTP 404: 404 page not found"
                isAdvised agent "There is no receiver of OTLP at this URL, or it is switched off. Correct --otlp"
                eventually limit agent.Said (fun () -> says url waiting >= 5)
                Volatile.Write(&isThere, true)
                let samples = caughtUp agent url
                Expect.equal (says url refused) 0 "none is refused"
                expectAll instants samples

            testCase "headers of the file reach the receiver, and are in nothing that is printed or kept"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let file = secretFile directory [ $"Authorization: Bearer {Token}" ]

                    let repeats: Reply =
                        fun request context -> answers 401 (Text.Encoding.UTF8.GetBytes(request.Header "Authorization")) request context

                    use server = new IngestServer(repeats)

                    use agent =
                        startAlone
                            [
                                $"--otlp={server.Url}"
                                $"--otlp-header-file={file}"
                                $"--spool={directory}/spool"
                                "--log-level=DEBUG"
                            ]

                    agent.WaitForError "otlp not delivered: HTTP 401: ***"
                    isAdvised agent "The receiver of OTLP denies access: credentials or tenant are missing or wrong. Put the right headers"
                    Expect.equal (server.Requests.Head.Header "Authorization") $"Bearer {Token}" "the header"
                    Expect.equal (server.Requests.Head.Header "Content-Type") "application/x-protobuf" "the type"

                    for path in Directory.GetFiles($"{directory}/spool", "*", SearchOption.AllDirectories) do
                        if Path.GetFileName path <> "lock" then
                            Expect.isFalse ((File.ReadAllText path).Contains Token) path)

            testCase "the doctor tells a receiver from what is none"
            <| fun () ->
                let doctor (url: string) =
                    let _, output, _ = runWith fast [ "--doctor"; $"--otlp={url}" ]
                    output |> List.find (fun line -> line.Contains " otlp ")

                use receiver = new IngestServer(taken)
                use lost = new IngestServer(answers 404 [||])
                use portal = new IngestServer(page 200)

                for url, finding in
                    [
                        receiver.Url, $"{receiver.Url}/v1/metrics accepts requests; only a query there can show that it stores samples"
                        lost.Url, "There is no receiver of OTLP at this URL"
                        portal.Url, "There is no receiver of OTLP at this URL"
                        $"http://127.0.0.1:{freePort ()}", "Nothing listens at the receiver's address."
                    ] do
                    Expect.stringContains (doctor url) finding url

                Expect.equal (receiver.Requests |> List.collect pointsIn) [] "nothing is stored"
        ]
