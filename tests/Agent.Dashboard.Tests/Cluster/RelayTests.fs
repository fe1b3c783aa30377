/// Posted samples that go on to a cluster of metrics: stored there, or on disk, before they are acknowledged.
module Agent.Dashboard.Tests.RelayTests

open System
open System.Globalization
open System.IO
open System.Text
open System.Text.Json
open Agent.Outbound
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.RawHttp
open Agent.TestSupport.Waiting
open Expecto

let private timestamps (slug: string) =
    $"ai_dashboard_sample_timestamp_seconds{{instance=\"{slug}\",job=\"ai-dashboard-agent\"}}"

/// Whole seconds, a while ago, so that the numbers below are instants of the past.
let private begun () =
    DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 600L)

let private numbered (start: DateTimeOffset) (number: int) : string =
    sample (start.AddSeconds(float number))
    |> setAll [ "cpu_usage_percent", string (number % 100); "gpus", list [ gpu 0 "97" "25" ] ]
    |> body

let private options (port: int) =
    [
        "--metrics-url"
        $"http://127.0.0.1:{port}"
        "--metrics-write-url"
        $"http://127.0.0.1:{port}/api/v1/write"
        // A loop of posts is faster than a machine may be.
        "--server-samples"
        "1000"
        "--server-kilobytes"
        "100000"
    ]

let private json (url: string) : JsonElement =
    match fetch url with
    | "" -> failtest $"no answer with 200 from {url}"
    | text ->
        use document = JsonDocument.Parse text
        document.RootElement.Clone()

/// A figure of the dashboard's own metrics.
let private figure (dashboard: Dashboard) (name: string) : int64 =
    (fetch $"{dashboard.Url}/metrics").Split '\n'
    |> Array.tryPick (fun line ->
        if line.StartsWith(name + " ", StringComparison.Ordinal) then
            Some(Int64.Parse(line.Substring(name.Length + 1), CultureInfo.InvariantCulture))
        else
            None)
    |> Option.defaultWith (fun () -> failtest $"/metrics has no {name}")

let private postAll (dashboard: Dashboard) (server: Registered) (start: DateTimeOffset) (numbers: int list) =
    for number in numbers do
        let answer = post dashboard.Port server (numbered start number)
        Expect.equal answer.Status 200 $"sample {number}: {answer.Text}"

let private instants (start: DateTimeOffset) (numbers: int list) =
    numbers
    |> List.map (fun number -> float (start.AddSeconds(float number).ToUnixTimeSeconds()))

let private minute = TimeSpan.FromSeconds 60.0

/// Every so many seconds a sample of a machine with a job; so many of them, up to now.
let private jobSeconds, jobSamples = 10, 60

/// A sample of a machine that its user says is part of the job vision, and that has a job of Slurm of its own.
let private withJob (start: DateTimeOffset) (slurm: int) (number: int) : string =
    let at = start.AddSeconds(float (number * jobSeconds))
    let label = if number < jobSamples / 2 then "compute" else "loader-cpu"

    let verdict =
        $"{{\"label\":\"{label}\",\"second\":null,\"since\":{quoted (instant start)},\"confidence\":0.9,\"reason\":\"why\",\"fix\":\"what\",\"evidence\":[{{\"name\":\"loaders busy\",\"value\":97,\"limit\":90,\"unit\":\"%%\"}}],\"ruled_out\":[]}}"

    let job =
        render
            [
                "id", quoted $"slurm-{slurm}"
                "owner", $"{{\"kind\":\"slurm\",\"value\":\"{slurm}\",\"namespace\":null,\"name\":null}}"
                "user", quoted "ada"
                "uid", "1000"
                "name", quoted "train.py"
                "command", "null"
                "started_at", quoted (instant start)
                "gpus", """[{"gpu_index":0,"uuid":"GPU-0","memory_bytes":1000,"sm_percent":25}]"""
                "cpu_cores_used", "1.5"
                "memory_bytes", "1073741824"
                "gpu_busy_percent", "40"
                "gpu_power_percent", "30"
                "verdict", verdict
            ]

    render
        [
            "sample",
            sample at
            |> setAll [ "gpus", list [ gpu 0 "40" "25" ]; "jobs", list [ job ]; "verdict", verdict ]
            |> render
            "agent", agent |> setAll [ "labels", render [ "job", quoted "vision" ] ] |> render
        ]

let private listed (dashboard: Dashboard) : JsonElement list =
    [
        for job in (json $"{dashboard.Url}/api/jobs/?minutes=60").GetProperty("jobs").EnumerateArray() -> job
    ]

let private textOf (name: string) (element: JsonElement) : string =
    element.GetProperty(name).GetString() |> string

[<Tests>]
let tests =
    testList
        "Relay"
        [
            testCase "a posted sample is answered as ever, shown at once, and in the cluster under the machine's slug, once"
            <| fun () ->
                use place = new TemporaryDirectory()
                use metrics = new VictoriaMetrics(place.Path, freePort ())
                let port = Uri(metrics.Url).Port
                use dashboard = new Dashboard(place.File "relay.db", options port)
                let server = dashboard.Register("box", [ "--hostname"; "box.example" ])
                let start = begun ()

                // The agent of the same machine writes to the cluster itself, and so does the one of another.
                let written =
                    [ "box"; "other" ]
                    |> List.map (fun slug ->
                        $"{timestamps slug} {start.AddSeconds(-5.0).ToUnixTimeSeconds()} {DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}\nai_dashboard_cpu_usage_ratio{{instance=\"{slug}\",job=\"ai-dashboard-agent\"}} 0.5 {DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}\n")
                    |> String.concat ""

                postAll dashboard server start [ 1; 2; 3 ]
                let latest = json $"{dashboard.Url}/api/metrics/latest/?server=box"
                let shown = latest.GetProperty("snapshot").GetProperty "sample"
                Expect.equal (shown.GetProperty("cpu_usage_percent").GetDouble()) 3.0 "the newest is shown at once"

                let again = post dashboard.Port server (numbered start 2)
                Expect.equal again.Status 200 "a duplicate"
                use answer = JsonDocument.Parse again.Text
                Expect.isTrue (answer.RootElement.GetProperty("ok").GetBoolean()) "is taken as such"

                eventually minute "all are delivered" (fun () -> figure dashboard "ai_dashboard_relay_samples_total" = 3L)
                Expect.equal (metrics.Values(timestamps "box")) (instants start [ 1; 2; 3 ]) "each is there once"

                Expect.equal
                    (metrics.Values "ai_dashboard_cpu_usage_ratio{instance=\"box\"}")
                    [ 0.01; 0.02; 0.03 ]
                    "with its values, in the metric's unit"

                Expect.equal (figure dashboard "ai_dashboard_relay_waiting_samples") 0L "nothing waits"

                metrics.Store written

                let slugs () =
                    [
                        for one in (json $"{dashboard.Url}/api/servers/").GetProperty("servers").EnumerateArray() ->
                            nonNull (one.GetProperty("slug").GetString())
                    ]
                    |> List.sort

                eventually minute "the other machine is found" (fun () -> List.contains "other" (slugs ()))
                Expect.equal (slugs ()) [ "box"; "other" ] "each machine is there once"

                let wrong = post dashboard.Port { server with Token = "wrong" } (numbered start 4)
                Expect.equal wrong.Status 401 "a wrong token"
                let bad = post dashboard.Port server "{}"
                Expect.equal bad.Status 400 "no sample"
                dashboard.Stop()

            testCase "jobs of machines that post are told as from a database, and so are their parts by the user's label job"
            <| fun () ->
                use place = new TemporaryDirectory()
                use metrics = new VictoriaMetrics(place.Path, freePort ())
                use cluster = new Dashboard(place.File "cluster.db", options (Uri(metrics.Url).Port))

                use own =
                    new Dashboard(place.File "own.db", [ "--server-samples"; "1000"; "--server-kilobytes"; "100000" ])

                let start =
                    DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - int64 (jobSeconds * jobSamples))

                for dashboard in [ cluster; own ] do
                    for slug, slurm in [ "box", 7; "other", 8 ] do
                        let server = dashboard.Register(slug, [])

                        for number in 0 .. jobSamples - 1 do
                            let answer = post dashboard.Port server (withJob start slurm number)
                            Expect.equal answer.Status 200 answer.Text

                eventually minute "all are delivered" (fun () -> figure cluster "ai_dashboard_relay_samples_total" = int64 (2 * jobSamples))

                eventually minute "both jobs are there" (fun () -> (listed cluster).Length = 2 && (listed own).Length = 2)

                // What tells of a job; its key is the dashboard's own, and the database counts up to its last whole minute.
                let facts (job: JsonElement) =
                    [
                        for name in
                            [
                                "id"
                                "server"
                                "user"
                                "name"
                                "group"
                                "began"
                                "label"
                                "gpu_busy_percent"
                                "cpu_cores_used"
                            ] -> name, job.GetProperty(name).GetRawText()
                    ]

                let byId dashboard =
                    listed dashboard |> List.sortBy (textOf "id")

                Expect.equal (byId cluster |> List.map facts) (byId own |> List.map facts) "who, what and how"
                Expect.equal (byId cluster |> List.map (textOf "group")) [ "label:vision"; "label:vision" ] "by the label"

                let life (dashboard: Dashboard) =
                    let job = byId dashboard |> List.head
                    json $"""{dashboard.Url}/api/jobs/{textOf "job" job}/"""

                let parts dashboard =
                    [
                        for part in (life dashboard).GetProperty("parts").EnumerateArray() -> facts part
                    ]

                Expect.equal (parts cluster) (parts own) "its other part"
                Expect.equal (parts cluster).Length 1 "on the other machine"

                // From the first sample to the last, less two scrapes.
                let hours = float ((jobSamples - 1) * jobSeconds) / 3600.0

                for job in listed cluster do
                    let used = job.GetProperty("gpu_hours").GetDouble()
                    Expect.isLessThanOrEqual (abs (used - hours)) (2.5 * float jobSeconds / 3600.0) $"hours: {used}"

                Expect.equal
                    (metrics.Values "ai_dashboard_job_verdict_evidence{job=\"slurm-7\",figure=\"loaders busy\"}"
                     |> List.distinct)
                    [ 97.0 ]
                    "the figure that decided"

            testCase "while the cluster is away and the dashboard is killed, what was acknowledged waits on disk and arrives in the end"
            <| fun () ->
                use place = new TemporaryDirectory()
                let port = freePort ()
                let database = place.File "relay.db"
                let start = begun ()
                let mutable server = { Slug = ""; Token = "" }

                do
                    use dashboard = new Dashboard(database, options port)
                    server <- dashboard.Register("box", [])
                    postAll dashboard server start [ 0..39 ]
                    Expect.equal (figure dashboard "ai_dashboard_relay_waiting_samples") 40L "all wait"

                    eventually minute "the outage is said" (fun () ->
                        let relay = (json $"{dashboard.Url}/healthz").GetProperty "relay"

                        not (relay.GetProperty("delivers").GetBoolean())
                        && relay.GetProperty("waiting").GetInt64() = 40L)

                    Expect.equal (figure dashboard "ai_dashboard_relay_delivering") 0L "nothing is delivered"
                    dashboard.Process.Signal SigKill
                    dashboard.Process.WaitForEnd patience |> ignore

                // A write that the kill has cut.
                let outbox = database + "-outbox"

                let segment = Directory.GetFiles(outbox, "*.ndjson") |> Array.sort |> Array.last

                File.AppendAllText(segment, "120 0badcafe AAAA")

                use dashboard = new Dashboard(database, options port)
                Expect.equal (figure dashboard "ai_dashboard_relay_waiting_samples") 40L "all wait still"
                Expect.equal (figure dashboard "ai_dashboard_relay_damaged_samples_total") 1L "the torn one is counted"
                postAll dashboard server start [ 40..49 ]

                use metrics = new VictoriaMetrics(place.Path, port)
                eventually (TimeSpan.FromSeconds 150.0) "all arrive" (fun () -> figure dashboard "ai_dashboard_relay_waiting_samples" = 0L)
                Expect.equal (metrics.Values(timestamps "box")) (instants start [ 0..49 ]) "each is there once"
                Expect.equal (figure dashboard "ai_dashboard_relay_delivering") 1L "delivered again"
                let health = (json $"{dashboard.Url}/healthz").GetProperty "relay"
                Expect.isTrue (health.GetProperty("delivers").GetBoolean()) "and healthz says so"

                // A restart sends nothing again.
                dashboard.Stop()
                use next = new Dashboard(database, options port)
                postAll next server start [ 50 ]
                eventually minute "the next arrives" (fun () -> figure next "ai_dashboard_relay_samples_total" = 1L)
                Expect.equal (metrics.Values(timestamps "box")) (instants start [ 0..50 ]) "nothing came twice"

            testCase "a record that the disk has damaged is counted and kept aside, and the others arrive"
            <| fun () ->
                use place = new TemporaryDirectory()
                let port = freePort ()
                let database = place.File "relay.db"
                let start = begun ()

                do
                    use dashboard = new Dashboard(database, options port)
                    let server = dashboard.Register("box", [])
                    postAll dashboard server start [ 0..9 ]
                    dashboard.Stop()

                let outbox = database + "-outbox"
                let segment = Directory.GetFiles(outbox, "*.ndjson") |> Array.exactlyOne
                let lines = File.ReadAllLines segment
                lines[4] <- lines[4].Replace('A', 'B')
                File.WriteAllText(segment, String.Join('\n', lines) + "\n")

                use dashboard = new Dashboard(database, options port)
                use metrics = new VictoriaMetrics(place.Path, port)

                eventually (TimeSpan.FromSeconds 150.0) "the others arrive" (fun () ->
                    figure dashboard "ai_dashboard_relay_samples_total" = 9L)

                Expect.equal (metrics.Values(timestamps "box")) (instants start ([ 0..3 ] @ [ 5..9 ])) "all but one"
                Expect.equal (figure dashboard "ai_dashboard_relay_damaged_samples_total") 1L "counted"
                Expect.equal (figure dashboard "ai_dashboard_relay_waiting_samples") 0L "nothing waits"
                Expect.isTrue (File.Exists(Path.Combine(outbox, "damaged", "damaged.v1.ndjson"))) "kept"

            testCase "an outbox without room refuses with 503, counts it, and loses nothing that was acknowledged"
            <| fun () ->
                use place = new TemporaryDirectory()
                let outbox = place.File "outbox"

                Directory.CreateDirectory(outbox, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)
                |> ignore

                let record =
                    RemoteWrite.recordOf
                        RemoteWriteVersion.Two
                        (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())
                        [
                            {
                                Kind = MetricKind.Gauge
                                Labels = [| struct ("__name__", "earlier"); struct ("text", String('x', 400)) |]
                                Value = 1.0
                            }
                        ]

                let line = Array.append record [| '\n'B |]
                // One byte less than is left free for a sample.
                let lines = (16 <<< 20) / line.Length

                do
                    use file = new FileStream(Path.Combine(outbox, "000000000001.v1.ndjson"), FileMode.CreateNew)

                    File.SetUnixFileMode(file.SafeFileHandle, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)

                    for _ in 1..lines do
                        file.Write line

                use dashboard =
                    new Dashboard(
                        place.File "relay.db",
                        options (freePort ())
                        @ [ "--metrics-outbox"; outbox; "--metrics-outbox-mebibytes"; "16" ]
                    )

                let server = dashboard.Register("box", [])
                let answer = post dashboard.Port server (numbered (begun ()) 1)
                Expect.equal answer.Status 503 "refused"
                Expect.stringContains answer.Text "--metrics-outbox-mebibytes" "with a sentence"
                Expect.equal (figure dashboard "ai_dashboard_relay_untaken_samples_total") 1L "counted"
                Expect.equal (figure dashboard "ai_dashboard_relay_waiting_samples") (int64 lines) "nothing else goes"

                let again = post dashboard.Port server (numbered (begun ()) 1)
                Expect.equal again.Status 503 "what is not on disk is not known either"

            testCase "without the URL to write to, posted samples are refused with 501, which names the option"
            <| fun () ->
                use place = new TemporaryDirectory()

                use dashboard =
                    new Dashboard(place.File "relay.db", [ "--metrics-url"; $"http://127.0.0.1:{freePort ()}" ])

                let server = dashboard.Register("box", [])
                let answer = post dashboard.Port server (numbered (begun ()) 1)
                Expect.equal answer.Status 501 "refused"
                Expect.stringContains answer.Text "--metrics-write-url" "with a sentence"

            testCase "options that do not fit are refused with a sentence and exit code 2"
            <| fun () ->
                use place = new TemporaryDirectory()
                let reads = [ "--metrics-url"; "http://vm:8428" ]
                let writes = reads @ [ "--metrics-write-url"; "http://vm:8428/api/v1/write" ]

                for words, sentence in
                    [
                        [ "--metrics-write-url"; "http://vm:8428/api/v1/write" ], "needs --metrics-url as well"
                        reads @ [ "--metrics-write-url"; "http://vm:8428" ], "is not the http or https URL that takes remote-write"
                        reads @ [ "--metrics-write-url"; "http://me:word@vm:8428/api/v1/write" ], "must not contain a user name or password"
                        reads @ [ "--metrics-outbox"; "outbox" ], "needs --metrics-write-url as well"
                        writes @ [ "--metrics-outbox-mebibytes"; "15" ], "is not a whole number from 16 to 1048576"
                    ] do
                    let code, _, errors = run ([ "serve"; "--database"; place.File "x.db" ] @ words)
                    Expect.equal code 2 $"%A{words}"
                    Expect.stringContains (String.concat "\n" errors) sentence $"%A{words}"
        ]
