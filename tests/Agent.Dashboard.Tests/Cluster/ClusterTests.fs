/// The page on a cluster of metrics, beside the same page on its own database: the same samples, and the same answers.
module Agent.Dashboard.Tests.ClusterTests

open System
open System.Globalization
open System.IO
open System.Net
open System.Net.Http
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Receiver
open Agent.Receiver.Cluster
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.RawHttp
open Agent.TestSupport.Waiting
open Expecto

let private interval = 10.0

let private hours = 3

let private verdictOf (label: string) (since: DateTimeOffset) =
    render
        [
            "label", quoted label
            "second", "null"
            "since", quoted (instant since)
            "confidence", "0.9"
            "reason", quoted "as the agent says it"
            "fix", quoted ""
            "evidence", "[]"
            "ruled_out", "[]"
        ]

/// The k-th sample of a machine with a peak of one sample each half hour, counters that grow unevenly, and one restart of them.
let sampleAt (start: DateTimeOffset) (k: int) : Members =
    let at = start.AddSeconds(interval * float k)
    let wave = 40.0 + 30.0 * Math.Sin(float k / 25.0)

    let decimal (value: float) =
        value.ToString("0.0", CultureInfo.InvariantCulture)

    let cpu = if k % 180 = 90 then 99.5 else wave
    let since = if k < 540 then k else k - 540
    // Never less than before, however uneven.
    let bytes rate =
        int64 rate * int64 (since * 10 + since % 7)

    let board =
        gpuMembers 0 (decimal (min 100.0 (wave * 1.3))) "25"
        |> setAll
            [
                "clock_sm_mhz", "1755"
                "pcie_rx_bytes_per_s", string (1000 * (k % 50))
                "energy_mj_total", string (int64 since * 4_000_000L)
                "throttle_reasons",
                (if k % 100 < 20 then
                     list [ quoted "sw_power_cap" ]
                 else
                     "[]")
            ]

    sample at
    |> setAll
        [
            "cpu_usage_percent", decimal cpu
            "cpu_steal_percent", "0.2"
            "memory_used_bytes", string (5_000_000_000L + int64 k * 1_000_000L)
            "memory_available_bytes", string (11_000_000_000L - int64 k * 1_000_000L)
            "memory_percent", decimal (Math.Round(float (5_000_000_000L + int64 k * 1_000_000L) / 160_000_000.0, 1))
            "network_rx_bytes_total", string (bytes 5000)
            "network_tx_bytes_total", string (bytes 700)
            "tcp_segments_sent_total", string (since * 30)
            "tcp_segments_retransmitted_total", string (since / 10)
            "disks",
            list
                [
                    disk "nvme0n1" (bytes 90000) (bytes 30000) (bytes 20) (bytes 3) (int64 since * 4000L)
                    disk "sda" (bytes 100) (bytes 200) (bytes 1) (bytes 1) (int64 since * 100L)
                ]
            "gpus", list [ render board ]
            "fans", list [ fan "FAN 1" (1100 + k % 40) ]
            "cpu_cores_percent", list [ decimal wave; decimal (100.0 - wave) ]
            "pressure",
            render
                [
                    "cpu_some_avg10", "1.25"
                    "io_some_avg10", "2.5"
                    "io_full_avg10", "0.5"
                    "memory_some_avg10", "0"
                    "memory_full_avg10", "0"
                    "cpu_some_total_us", string (since * 100_000)
                    "io_some_total_us", string (since * 200_000)
                    "io_full_total_us", string (since * 50_000)
                    "memory_some_total_us", "0"
                    "memory_full_total_us", "0"
                ]
            "network_interfaces",
            list
                [
                    render
                        [
                            "name", quoted "eth0"
                            "kind", quoted "physical"
                            "master", "null"
                            "rx_bytes_total", string (bytes 5000)
                            "tx_bytes_total", string (bytes 700)
                            "rx_packets_total", string (bytes 5)
                            "tx_packets_total", string (bytes 4)
                            "rx_errors_total", "0"
                            "tx_errors_total", "0"
                            "rx_dropped_total", string (since / 30)
                            "tx_dropped_total", "0"
                        ]
                ]
            "jobs", "[]"
            "verdict", verdictOf (if k % 360 < 200 then "compute" else "loader-cpu") at
        ]

let private escaped (text: string) =
    text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n")

/// The series of bodies, as lines of text.
let linesOf (instanceName: string) (bodies: byte[] list) : string =
    let text = StringBuilder()
    let mutable previous = ValueNone

    for one in bodies do
        match Intake.decode (ReadOnlyMemory one) (DateTimeOffset.UtcNow.AddHours 1.0) with
        | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"
        | Ok intake ->
            let measured = Derivation.measure intake.Report
            let derivation = Derivation.between previous measured
            previous <- ValueSome measured

            let said =
                match JudgementIntake.ofIntake intake with
                | struct (ValueSome judgement, _) -> ValueSome(struct (judgement.Machine.Label, judgement.Machine.Confidence))
                | _ -> ValueNone

            for value in ClusterReports.ofReport intake.Report (ValueSome derivation.Bottleneck.Label) said do
                text.Append(value.Family).Append("{instance=\"").Append(escaped instanceName).Append("\",job=\"agents\"")
                |> ignore

                for struct (name, label) in value.Labels do
                    text.Append(',').Append(name).Append("=\"").Append(escaped label).Append('"')
                    |> ignore

                text
                    .Append("} ")
                    .Append(value.Value.ToString("R", CultureInfo.InvariantCulture))
                    .Append(' ')
                    .Append(intake.Report.CollectedAt.ToUnixTimeMilliseconds())
                    .Append('\n')
                |> ignore

    text.ToString()

/// Both dashboards with the same three hours of one machine.
type private Pair =
    {
        Own: Dashboard
        Cluster: Dashboard
        Metrics: VictoriaMetrics
        Last: DateTimeOffset
    }

let private withPair (check: Pair -> unit) : unit =
    use place = new TemporaryDirectory()
    use metrics = new VictoriaMetrics(place.Path, freePort ())
    use own = new Dashboard(place.File "own.db", [])
    let server = own.Register("box", [])
    let now = DateTimeOffset.UtcNow
    let count = hours * 360
    // Whole tens of seconds, so that minutes are cut alike.
    let last = DateTimeOffset.FromUnixTimeSeconds(now.ToUnixTimeSeconds() / 10L * 10L)
    let start = last.AddSeconds(-interval * float (count - 1))
    let bodies = [ for k in 0 .. count - 1 -> utf8 (body (sampleAt start k)) ]

    do
        use conversation = new Conversation(own.Port)

        for bytes in bodies do
            conversation.Send(
                request
                    $"POST /api/ingest/servers/{server.Slug}/metrics/ HTTP/1.1"
                    [
                        "Host", "127.0.0.1"
                        "X-Monitoring-Token", server.Token
                        "Content-Length", string bytes.Length
                    ]
                    bytes
            )

            Expect.equal (conversation.Read()).Status 200 "stored"

    metrics.Store(linesOf "box" bodies)

    use cluster = new Dashboard(place.File "cluster.db", [ "--metrics-url"; metrics.Url ])

    check
        {
            Own = own
            Cluster = cluster
            Metrics = metrics
            Last = last
        }

let json (url: string) : JsonElement =
    match fetch url with
    | "" -> failtest $"no answer with 200 from {url}"
    | text ->
        use document = JsonDocument.Parse text
        document.RootElement.Clone()

let private isLive (dashboard: Dashboard) () =
    let servers = (json $"{dashboard.Url}/api/servers/").GetProperty "servers"

    servers.GetArrayLength() = 1
    && servers[0].GetProperty("gpus").GetArrayLength() = 1

/// What differs between two answers, by paths; numbers may differ by a part of themselves.
let rec private differences (tolerance: string -> float) (path: string) (one: JsonElement) (other: JsonElement) : string list =
    match one.ValueKind, other.ValueKind with
    | JsonValueKind.Object, JsonValueKind.Object ->
        [
            for entry in one.EnumerateObject() do
                match other.TryGetProperty entry.Name with
                | true, value -> yield! differences tolerance $"{path}.{entry.Name}" entry.Value value
                | _ -> $"{path}.{entry.Name} is missing"

            for entry in other.EnumerateObject() do
                if not (fst (one.TryGetProperty entry.Name)) then
                    $"{path}.{entry.Name} is one too many"
        ]
    | JsonValueKind.Array, JsonValueKind.Array when one.GetArrayLength() <> other.GetArrayLength() ->
        [ $"{path} has {one.GetArrayLength()} and {other.GetArrayLength()} entries" ]
    | JsonValueKind.Array, JsonValueKind.Array ->
        Seq.zip (one.EnumerateArray()) (other.EnumerateArray())
        |> Seq.mapi (fun index (one, other) -> differences tolerance $"{path}[{index}]" one other)
        |> List.concat
    | JsonValueKind.Number, JsonValueKind.Number ->
        let first = one.GetDouble()
        let second = other.GetDouble()

        if abs (first - second) <= tolerance path * max 1.0 (abs first) then
            []
        else
            [ $"{path}: {first} and {second}" ]
    | _ when JsonElement.DeepEquals(one, other) -> []
    | _ -> [ $"{path}: {one} and {other}" ]

let private without (names: string list) (element: JsonElement) : JsonElement =
    let kept =
        element.EnumerateObject()
        |> Seq.filter (fun entry -> not (List.contains entry.Name names))
        |> Seq.map (fun entry -> $"{quoted entry.Name}:{entry.Value.GetRawText()}")
        |> String.concat ","

    use document = JsonDocument.Parse("{" + kept + "}")
    document.RootElement.Clone()

let private history (dashboard: Dashboard) (last: DateTimeOffset) (minutes: int) (more: string) =
    json $"{dashboard.Url}/api/metrics/history/?server=box&minutes={minutes}&to={Uri.EscapeDataString(instant last)}{more}"

let private shown (problems: string list) : string =
    problems |> List.truncate 20 |> String.concat "\n"

let private expectSame (tolerance: string -> float) (what: string) (one: JsonElement) (other: JsonElement) =
    let problems = differences tolerance "" one other
    Expect.isEmpty problems $"{what}: {problems.Length} differences\n{shown problems}"

/// A step of rounding.
let private exactly (_: string) = 0.011

/// The cluster takes a rate over the bucket, and peaks over two samples.
let private isRate (path: string) =
    path.Contains "_per_s"
    || path.Contains "util_percent"
    || path.Contains "disk_"
    || path.Contains "energy_w"

[<Tests>]
let tests =
    testList
        "Cluster"
        [
            testCase "an hour of single samples, its details, the newest and the fleet are the same as from the own database"
            <| fun () ->
                withPair (fun pair ->
                    eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive pair.Cluster)
                    let at dashboard = history dashboard pair.Last 60

                    let own = at pair.Own ""
                    Expect.equal (own.GetProperty("source").GetString()) "raw" "source"
                    Expect.equal (own.GetProperty("time").GetArrayLength()) 361 "samples"

                    // Sentences are in no cluster, and how many of each kind of details there are is asked apart.
                    let comparable (element: JsonElement) =
                        without [ "verdicts"; "details" ] element

                    expectSame exactly "history" (comparable own) (comparable (at pair.Cluster ""))

                    let verdicts (element: JsonElement) =
                        [
                            for run in element.GetProperty("verdicts").EnumerateArray() ->
                                run.GetProperty("from").GetString(),
                                run.GetProperty("to").GetString(),
                                run.GetProperty("label").GetString()
                        ]

                    Expect.equal (verdicts (at pair.Cluster "")) (verdicts own) "verdicts"
                    Expect.isNonEmpty (verdicts own) "there are verdicts"

                    for kind in [ "gpus"; "network_interfaces"; "cpu_cores" ] do
                        expectSame exactly kind (at pair.Own $"&details={kind}") (at pair.Cluster $"&details={kind}")

                    let newest (dashboard: Dashboard) =
                        (json $"{dashboard.Url}/api/metrics/latest/?server=box").GetProperty("snapshot").GetProperty "sample"

                    expectSame exactly "newest" (newest pair.Own) (newest pair.Cluster))

            testCase "three hours in buckets are the same within a scrape"
            <| fun () ->
                withPair (fun pair ->
                    eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive pair.Cluster)

                    let at dashboard =
                        history dashboard pair.Last (60 * hours - 10)

                    let own = at pair.Own ""
                    let cluster = at pair.Cluster ""
                    Expect.equal (own.GetProperty("source").GetString()) "minute" "source"

                    let gauges path = if isRate path then 1e9 else 0.011

                    let comparable (element: JsonElement) =
                        without
                            [
                                "verdicts"
                                "details"
                                "bottlenecks"
                                "bottleneck_share"
                                "verdict_seconds"
                                "silent"
                            ]
                            element

                    expectSame gauges "gauges" (comparable own) (comparable cluster)

                    let sum (name: string) (figure: string) (element: JsonElement) =
                        element.GetProperty("series").GetProperty(name).GetProperty(figure).EnumerateArray()
                        |> Seq.sumBy (fun value ->
                            if value.ValueKind = JsonValueKind.Null then
                                0.0
                            else
                                value.GetDouble())

                    for name in
                        [
                            "network_rx_bytes_per_s"
                            "disk_read_bytes_per_s"
                            "disk_util_percent"
                            "tcp_segments_sent_per_s"
                        ] do
                        for figure in [ "mean"; "max" ] do
                            let first = sum name figure own
                            let second = sum name figure cluster
                            Expect.isLessThan (abs (first - second) / max 1.0 first) 0.03 $"{name} {figure}: {first} and {second}"

                    let seconds (element: JsonElement) (label: string) =
                        match element.GetProperty("verdict_seconds").TryGetProperty label with
                        | true, value -> value.GetDouble()
                        | _ -> 0.0

                    for label in [ "compute"; "loader-cpu" ] do
                        Expect.isLessThan (abs (seconds own label - seconds cluster label)) (3.0 * interval) $"seconds of {label}"
                        Expect.isGreaterThan (seconds own label) 600.0 $"there is {label}"

                    let share (element: JsonElement) =
                        [
                            for entry in element.GetProperty("bottleneck_share").EnumerateObject() -> entry.Name, entry.Value.GetDouble()
                        ]

                    for (name, first), (other, second) in List.zip (share own) (share cluster) do
                        Expect.equal other name "bottlenecks"
                        Expect.isLessThan (abs (first - second)) 1.0 $"share of {name}")

            testCase "the use of all GPUs over time is the same, bucket by bucket"
            <| fun () ->
                withPair (fun pair ->
                    eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive pair.Cluster)

                    // A range that ends before the newest minutes, which are not rolled up yet.
                    let until = Uri.EscapeDataString(instant (pair.Last.AddMinutes -10.0))

                    let answer (dashboard: Dashboard) =
                        json $"{dashboard.Url}/api/fleet/gpus/?minutes=120&to={until}"

                    let uses (answer: JsonElement) =
                        [
                            for gpu in answer.GetProperty("gpus").EnumerateArray() do
                                let use' = gpu.GetProperty("use").EnumerateArray() |> Array.ofSeq

                                gpu.GetProperty("server").GetString(),
                                gpu.GetProperty("gpu_index").GetInt32(),
                                gpu.GetProperty("name").GetString(),
                                // The last minute is cut where the range ends.
                                use'
                                |> Array.truncate (use'.Length - 1)
                                |> Array.map (fun value ->
                                    if value.ValueKind = JsonValueKind.Null then
                                        -100
                                    else
                                        value.GetInt32())
                        ]

                    let own = answer pair.Own
                    let cluster = answer pair.Cluster
                    expectSame exactly "head" (without [ "gpus" ] own) (without [ "gpus" ] cluster)

                    match uses own, uses cluster with
                    | [ (server, index, name, means) ], [ (other, otherIndex, otherName, others) ] ->
                        Expect.equal (other, otherIndex, otherName) (server, index, name) "the GPU"
                        Expect.isGreaterThan means.Length 110 "buckets"
                        Expect.equal others.Length means.Length "as many"

                        for bucket in 0 .. means.Length - 1 do
                            // Minutes are kept in tenths, and both are rounded.
                            Expect.isLessThanOrEqual
                                (abs (means[bucket] - others[bucket]))
                                1
                                $"bucket {bucket}: {means[bucket]} and {others[bucket]}"
                    | several -> failtest $"one GPU of each: %A{several}")

            testCase "what was said at an instant is the same, and since when to the minute"
            <| fun () ->
                withPair (fun pair ->
                    eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive pair.Cluster)

                    // Samples 0 to 199 of every 360 compute, and the others wait for the loader.
                    let start = pair.Last.AddSeconds(-interval * float (hours * 360 - 1))

                    for sample, label, since in
                        [
                            150, "compute", 0
                            300, "loader-cpu", 200
                            500, "compute", 360
                            1000, "loader-cpu", 920
                        ] do
                        let at = start.AddSeconds(interval * float sample)

                        let verdict (dashboard: Dashboard) =
                            (json $"{dashboard.Url}/api/verdicts/?server=box&at={Uri.EscapeDataString(instant at)}").GetProperty "verdict"

                        for dashboard in [ pair.Own; pair.Cluster ] do
                            Expect.equal ((verdict dashboard).GetProperty("label").GetString()) label $"label at {sample}"

                        let told = (verdict pair.Cluster).GetProperty("since").GetDateTimeOffset()
                        let expected = start.AddSeconds(interval * float since)
                        Expect.isLessThanOrEqual (abs (told - expected).TotalSeconds) 60.0 $"since at {sample}: {told} and {expected}"

                    let before = Uri.EscapeDataString(instant (start.AddHours -1.0))
                    let nothing = json $"{pair.Cluster.Url}/api/verdicts/?server=box&at={before}"
                    Expect.equal (nothing.GetProperty("verdict").ValueKind) JsonValueKind.Null "before anything was said")

            testCase "what is not read from a cluster yet is refused with a sentence, and an outage is said and ends"
            <| fun () ->
                use place = new TemporaryDirectory()
                let port = freePort ()

                use dashboard = new Dashboard(place.File "cluster.db", [ "--metrics-url"; $"http://127.0.0.1:{port}" ])

                for path in
                    [
                        "/api/jobs/?minutes=60"
                        "/api/waste/?minutes=60"
                        "/api/timeline/?minutes=60"
                    ] do
                    let answer =
                        exchange dashboard.Port (request $"GET {path} HTTP/1.1" [ "Host", "127.0.0.1"; "Connection", "close" ] [||])

                    Expect.equal answer.Status 501 path

                let storage () =
                    (json $"{dashboard.Url}/api/").GetProperty "storage"

                eventually (TimeSpan.FromSeconds 60.0) "the outage is said" (fun () ->
                    match (storage ()).TryGetProperty "fault" with
                    | true, fault -> fault.GetString() = "cluster"
                    | _ -> false)

                use metrics = new VictoriaMetrics(place.Path, port)
                metrics.Store(linesOf "box.example:9100" [ utf8 (body (sampleAt DateTimeOffset.UtcNow 0)) ])

                eventually (TimeSpan.FromSeconds 120.0) "the machine is there, and the outage over" (fun () ->
                    not (fst ((storage ()).TryGetProperty "fault")) && isLive dashboard ())

                let server = ((json $"{dashboard.Url}/api/servers/").GetProperty "servers")[0]
                Expect.equal (server.GetProperty("slug").GetString()) "box-example-9100" "slug"
                Expect.equal (server.GetProperty("state").GetString()) "live" "state"

            testCase "a wrong URL, and headers without one, are refused with a sentence and exit code 2"
            <| fun () ->
                use place = new TemporaryDirectory()
                let file = place.File "headers"
                File.WriteAllText(file, "Authorization Bearer x\n")

                for words, sentence in
                    [
                        [ "--metrics-url"; "vm:8428" ], "is not the http or https URL of a Prometheus-compatible API"
                        [ "--metrics-url"; "http://me:word@vm:8428" ], "must not contain a user name or password"
                        [ "--metrics-url"; "http://vm:8428/api/v1" ], "has /api/v1 at its end"
                        [ "--metrics-header-file"; file ], "needs --metrics-url as well"
                        [ "--metrics-url"; "http://vm:8428"; "--metrics-header-file"; file ], "line 1 is no header"
                    ] do
                    let code, _, errors = run ([ "serve"; "--database"; place.File "x.db" ] @ words)
                    Expect.equal code 2 $"%A{words}"
                    Expect.stringContains (String.concat "\n" errors) sentence $"%A{words}"

                    Expect.isFalse
                        (errors
                         |> List.exists (fun line -> line.Contains "Bearer" || line.Contains "word@"))
                        "no secret is said"
        ]
