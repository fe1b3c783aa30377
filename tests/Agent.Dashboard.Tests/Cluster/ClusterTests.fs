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
open Agent.Dashboard.Tests.Shared
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.RawHttp
open Agent.TestSupport.Waiting
open Expecto

let private interval = 30.0

let private hours = 24

/// Samples of an hour.
let private hourly = int (3600.0 / interval)

let private count = hours * hourly

/// The agent starts again before this sample: its counters begin at 0.
let private restart = 540

/// The machine is silent from the first of these samples to the last.
let private silentFrom, silentTo = 1700, 1720

/// The GPU is not there from the first of these samples to the last, is too hot in those, and has errors at those.
let private lostFrom, lostTo = 2200, 2209

let private hotFrom, hotTo = 1300, 1309

let private errorsAt = [ 300; 900; 2000 ]

/// A job of the day: the samples that it is in, and what it does.
type private DayJob =
    {
        Number: int
        User: string
        Name: string
        From: int
        Until: int
        Label: int -> string
        Busy: float
    }

let private machineLabel k =
    if k % 360 < 200 then "compute" else "loader-cpu"

let private dayJobs =
    [
        {
            Number = 100
            User = "ada"
            Name = "train.py"
            From = 100
            Until = 1500
            Label = machineLabel
            Busy = 40.0
        }
        {
            Number = 101
            User = "bob"
            Name = "eval, with \"quotes\""
            From = 1000
            Until = 1200
            Label = fun _ -> "held-idle"
            Busy = 0.0
        }
        {
            Number = 102
            User = "ada"
            Name = "train.py"
            From = 1800
            Until = 1000000
            Label = fun k -> if k < 2400 then "disk-read" else "compute"
            Busy = 25.0
        }
        {
            Number = 103
            User = "bob"
            Name = "notebook"
            From = 2600
            Until = 1000000
            Label = fun _ -> "held-idle"
            Busy = 25.0
        }
    ]

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

let private jobAt (start: DateTimeOffset) (k: int) (job: DayJob) : string =
    render
        [
            "id", quoted $"slurm-{job.Number}"
            "owner", $"{{\"kind\":\"slurm\",\"value\":\"{job.Number}\",\"namespace\":null,\"name\":null}}"
            "user", quoted job.User
            "uid", "1000"
            "name", quoted job.Name
            "command", "null"
            "started_at", quoted (instant (start.AddSeconds(interval * float job.From)))
            "gpus", """[{"gpu_index":0,"uuid":"GPU-0","memory_bytes":1000,"sm_percent":25}]"""
            "cpu_cores_used", "1.5"
            "memory_bytes", string (1073741824L + int64 k)
            "gpu_busy_percent", job.Busy.ToString("0", CultureInfo.InvariantCulture)
            "gpu_power_percent", "30"
            "read_bytes_per_s", "5000000"
            "verdict", verdictOf (job.Label k) start
        ]

let private jobsAt (start: DateTimeOffset) (k: int) : string =
    dayJobs
    |> List.filter (fun job -> k >= job.From && k < job.Until)
    |> List.map (jobAt start k)
    |> list

/// The k-th sample, so many seconds apart, of a machine with a peak of one sample in 180, counters that grow unevenly, and one restart of them.
let sampleEvery (seconds: float) (start: DateTimeOffset) (k: int) : Members =
    let at = start.AddSeconds(seconds * float k)
    let wave = 40.0 + 30.0 * Math.Sin(float k / 25.0)

    let decimal (value: float) =
        value.ToString("0.0", CultureInfo.InvariantCulture)

    let cpu = if k % 180 = 90 then 99.5 else wave
    let since = if k < restart then k else k - restart
    // Never less than before, however uneven.
    let bytes rate =
        int64 rate * int64 (since * 30 + since % 7)

    let board =
        gpuMembers 0 (decimal (min 100.0 (wave * 1.3))) "25"
        |> setAll
            [
                "clock_sm_mhz", "1755"
                "pcie_rx_bytes_per_s", string (1000 * (k % 50))
                "energy_mj_total", string (int64 since * 4_000_000L)
                "throttle_reasons",
                list
                    [
                        if k % 100 < 20 then
                            quoted "sw_power_cap"

                        if k >= hotFrom && k <= hotTo then
                            quoted "hw_thermal_slowdown"
                    ]
                "xid_last", "79"
                "xid_count",
                // Since the agent started.
                errorsAt
                |> List.filter (fun error -> error <= k && (error < restart) = (k < restart))
                |> List.length
                |> string
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
            "gpus",
            list
                [
                    if k < lostFrom || k > lostTo then
                        render board
                ]
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
            "jobs", jobsAt start k
            "verdict", verdictOf (machineLabel k) at
        ]

let private sampleAt = sampleEvery interval

let private escaped (text: string) =
    text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n")

/// When the machine started, at a sample: while it was silent it started again.
let private bootAt (start: DateTimeOffset) (k: int) =
    if k > silentTo then
        start.AddSeconds(interval * float silentTo - 60.0)
    else
        start.AddDays -30.0

let private versionAt k = if k < lostTo then "0.1.0" else "0.1.1"

/// The body of a sample, with what its agent says of itself.
let private bodyAt (start: DateTimeOffset) (k: int) : string =
    let agent =
        agent
        |> setAll
            [
                "pid", (if k < restart then "4711" else "815")
                "version", quoted (versionAt k)
                "system_info", render [ "boot_time", quoted (instant (bootAt start k)) ]
            ]

    render [ "sample", render (sampleAt start k); "agent", render agent ]

/// What the agent counts of a job's GPU time: from 0 when it is first seen, by label; each interval to the label at its end.
type private JobCounts =
    {
        mutable SeenAt: DateTimeOffset
        Used: float[]
        Wasted: float[]
    }

/// The values of the series that an agent exports of its jobs (docs/prometheus.md).
let private jobValues
    (counts: Collections.Generic.Dictionary<string, JobCounts>)
    (at: DateTimeOffset)
    (jobs: ReportedJob[])
    : (string * (string * string) list * float) list =
    let holders (gpu: Agent.Core.Jobs.JobGpu) =
        jobs
        |> Array.filter (fun job -> job.Gpus |> Array.exists (fun other -> other.Index = gpu.Index))
        |> Array.length

    [
        for job in jobs do
            let parts = job.Gpus |> Array.sumBy (fun gpu -> 1.0 / float (holders gpu))
            let code = JobSchema.codeOf job.Verdict.Label

            let decimal name =
                job.Figures.Decimals[JobSchema.schema.Decimals
                                     |> Array.findIndex (fun (struct (key, _)) -> key = name)]

            let busy = decimal "gpu_busy_percent"

            // As docs/dashboard-api.md has it, for the labels of this day.
            let loss =
                match job.Verdict.Label.Name with
                | "held-idle" -> 1.0
                | "compute" -> 0.0
                | _ -> 1.0 - busy / 100.0

            match counts.TryGetValue job.Id with
            | true, known ->
                let length = (at - known.SeenAt).TotalSeconds
                known.Used[code] <- known.Used[code] + length * parts
                known.Wasted[code] <- known.Wasted[code] + length * parts * loss
                known.SeenAt <- at
            | _ ->
                counts[job.Id] <-
                    {
                        SeenAt = at
                        Used = Array.zeroCreate VerdictLabel.All.Length
                        Wasted = Array.zeroCreate VerdictLabel.All.Length
                    }

            let own name more value =
                "ai_dashboard_job_" + name, ("job", job.Id) :: more, value

            let seconds (at: DateTimeOffset) =
                float (at - DateTimeOffset.UnixEpoch).Ticks / float TimeSpan.TicksPerSecond

            own
                "info"
                [
                    "owner_kind", job.OwnerKind
                    "owner", job.OwnerValue
                    "user", job.User
                    "uid", string job.Uid
                    "name", job.Name
                ]
                1.0

            own "start_time_seconds" [] (seconds job.StartedAt.Value)
            own "gpus" [] (float job.Gpus.Length)
            own "seen_timestamp_seconds" [] (seconds at)
            own "cpu_cores" [] job.CpuCores
            own "memory_bytes" [] (float job.Memory)
            own "gpu_busy_ratio" [] (busy / 100.0)
            own "gpu_power_ratio" [] (decimal "gpu_power_percent" / 100.0)
            own "read_bytes_per_second" [] (decimal "read_bytes_per_s")
            own "verdict_confidence" [] job.Verdict.Confidence

            for gpu in job.Gpus do
                own "gpu_info" [ "gpu", string gpu.Index; "UUID", gpu.Uuid ] 1.0

            for label in VerdictLabel.All do
                if not label.IsIdle then
                    let counted = counts[job.Id]
                    let place = JobSchema.codeOf label
                    own "verdict" [ "label", label.Name ] (if place = code then 1.0 else 0.0)

                    if counted.Used[place] > 0.0 then
                        own "gpu_part_seconds_total" [ "label", label.Name ] counted.Used[place]

                    if counted.Wasted[place] > 0.0 then
                        own "gpu_wasted_seconds_total" [ "label", label.Name ] counted.Wasted[place]
    ]

/// The series of bodies, as lines of text.
let linesOf (instanceName: string) (start: DateTimeOffset) (bodies: (int * byte[]) list) : string =
    let text = StringBuilder()
    let mutable previous = ValueNone
    let counts = Collections.Generic.Dictionary<string, JobCounts>()

    let add (at: DateTimeOffset) (family: string) (labels: (string * string) seq) (value: float) =
        text.Append(family).Append("{instance=\"").Append(escaped instanceName).Append('"')
        |> ignore

        for name, label in labels do
            if label <> "" then
                text.Append(',').Append(name).Append("=\"").Append(escaped label).Append('"')
                |> ignore

        text
            .Append("} ")
            .Append(value.ToString("R", CultureInfo.InvariantCulture))
            .Append(' ')
            .Append(at.ToUnixTimeMilliseconds())
            .Append('\n')
        |> ignore

    for k, one in bodies do
        match Intake.decode (ReadOnlyMemory one) (DateTimeOffset.UtcNow.AddHours 1.0) with
        | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"
        | Ok intake ->
            if k = restart then
                counts.Clear()

            let at = intake.Report.CollectedAt
            let measured = Derivation.measure intake.Report
            let derivation = Derivation.between previous measured
            previous <- ValueSome measured

            let said, jobs =
                match JudgementIntake.ofIntake intake with
                | struct (ValueSome judgement, _) ->
                    ValueSome(struct (judgement.Machine.Label, judgement.Machine.Confidence)), judgement.Jobs
                | _ -> ValueNone, [||]

            for value in ClusterReports.ofReport intake.Report (ValueSome derivation.Bottleneck.Label) said do
                add
                    at
                    value.Family
                    (seq {
                        "job", "agents"

                        for struct (name, label) in value.Labels do
                            name, label
                    })
                    value.Value

            let agents more = ("job", "agents") :: more
            add at "ai_dashboard_build_info" (agents [ "version", versionAt k; "rack", "r1" ]) 1.0
            add at "ai_dashboard_samples_taken_total" (agents []) (float (if k < restart then k + 1 else k - restart + 1))
            add at "node_boot_time_seconds" (agents []) (float ((bootAt start k).ToUnixTimeSeconds()))

            for family, labels, value in jobValues counts at jobs do
                add at family labels value

    text.ToString()

/// Both dashboards with the same day of one machine.
type private Pair =
    {
        Own: Dashboard
        Cluster: Dashboard
        Lines: string
        Last: DateTimeOffset
    }

let private withPair (check: Pair -> unit) : unit =
    use place = new TemporaryDirectory()
    use metrics = new VictoriaMetrics(place.Path, freePort ())
    use own = new Dashboard(place.File "own.db", [])
    let server = own.Register("box", [])
    let now = DateTimeOffset.UtcNow
    // Whole half minutes, so that minutes are cut alike.
    let last = DateTimeOffset.FromUnixTimeSeconds(now.ToUnixTimeSeconds() / 30L * 30L)
    let start = last.AddSeconds(-interval * float (count - 1))

    let bodies =
        [
            for k in 0 .. count - 1 do
                if k < silentFrom || k > silentTo then
                    k, utf8 (bodyAt start k)
        ]

    postAll own.Port server (bodies |> Seq.map snd)
    let lines = linesOf "box" start bodies
    metrics.Store lines
    use cluster = new Dashboard(place.File "cluster.db", [ "--metrics-url"; metrics.Url ])

    check
        {
            Own = own
            Cluster = cluster
            Lines = lines
            Last = last
        }

/// The families that jobs, waste and events are read from, and what makes a machine live.
let private isOfJobsOrEvents (line: string) =
    let starts (family: string) =
        line.StartsWith(family, StringComparison.Ordinal)

    starts "ai_dashboard_job"
    || starts "ai_dashboard_verdict"
    || starts "ai_dashboard_sample_timestamp"
    || starts "ai_dashboard_samples_taken"
    || starts "ai_dashboard_build_info"
    || starts "ai_dashboard_gpu_xid"
    || starts "ai_dashboard_gpu_throttle"
    || starts "node_boot_time"
    || starts "DCGM_FI_DEV_GPU_UTIL"
    || starts "DCGM_FI_DEV_XID"

/// The same with a Prometheus that has these series in blocks of its own.
let private withPrometheus (pair: Pair) (check: Pair -> unit) : unit =
    use place = new TemporaryDirectory()
    let file = place.File "lines"

    do
        use writer = new StreamWriter(file)

        for line in pair.Lines.Split '\n' do
            if isOfJobsOrEvents line then
                // Times are whole seconds, in milliseconds.
                writer.Write(line.AsSpan(0, line.Length - 3))
                writer.Write '\n'

        writer.Write "# EOF\n"

    let start =
        Diagnostics.ProcessStartInfo(
            program "promtool",
            [ "tsdb"; "create-blocks-from"; "openmetrics"; file; place.File "data" ],
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    match Diagnostics.Process.Start start with
    | null -> failtest "promtool does not start"
    | tool ->
        use tool = tool
        let errors = tool.StandardError.ReadToEndAsync()
        tool.StandardOutput.ReadToEnd() |> ignore
        tool.WaitForExit()
        Expect.equal tool.ExitCode 0 errors.Result

    use metrics =
        new Prometheus(place.Path, freePort (), "global: {}\n", [ "--storage.tsdb.retention.time=30d" ])

    use cluster = new Dashboard(place.File "cluster.db", [ "--metrics-url"; metrics.Url ])
    check { pair with Cluster = cluster }

let json (url: string) : JsonElement =
    match fetch url with
    | "" -> failtest $"no answer with 200 from {url}"
    | text ->
        use document = JsonDocument.Parse text
        document.RootElement.Clone()

let isLive (dashboard: Dashboard) () =
    let servers = (json $"{dashboard.Url}/api/servers/").GetProperty "servers"

    servers.GetArrayLength() = 1
    && servers[0].GetProperty("gpus").GetArrayLength() = 1

/// What differs between two answers, by paths; numbers may differ by a part of themselves.
let rec differences (tolerance: string -> float) (path: string) (one: JsonElement) (other: JsonElement) : string list =
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

let without (names: string list) (element: JsonElement) : JsonElement =
    let kept =
        element.EnumerateObject()
        |> Seq.filter (fun entry -> not (List.contains entry.Name names))
        |> Seq.map (fun entry -> $"{quoted entry.Name}:{entry.Value.GetRawText()}")
        |> String.concat ","

    use document = JsonDocument.Parse("{" + kept + "}")
    document.RootElement.Clone()

let history (dashboard: Dashboard) (last: DateTimeOffset) (minutes: int) (more: string) =
    json $"{dashboard.Url}/api/metrics/history/?server=box&minutes={minutes}&to={Uri.EscapeDataString(instant last)}{more}"

let shown (problems: string list) : string =
    problems |> List.truncate 20 |> String.concat "\n"

let expectSame (tolerance: string -> float) (what: string) (one: JsonElement) (other: JsonElement) =
    let problems = differences tolerance "" one other
    Expect.isEmpty problems $"{what}: {problems.Length} differences\n{shown problems}"

/// A step of rounding.
let exactly (_: string) = 0.011

/// The cluster takes a rate over the bucket, and peaks over two samples.
let private isRate (path: string) =
    path.Contains "_per_s"
    || path.Contains "util_percent"
    || path.Contains "disk_"
    || path.Contains "energy_w"

/// An hour of single samples, its details, the newest and the fleet are the same as from the own database.
let private singleSamples (pair: Pair) =
    let at dashboard = history dashboard pair.Last 60

    let own = at pair.Own ""
    Expect.equal (own.GetProperty("source").GetString()) "raw" "source"
    Expect.equal (own.GetProperty("time").GetArrayLength()) (hourly + 1) "samples"

    // Sentences are in no cluster, and how many of each kind of details there are is asked apart.
    let comparable (element: JsonElement) =
        without [ "verdicts"; "details" ] element

    expectSame exactly "history" (comparable own) (comparable (at pair.Cluster ""))

    let verdicts (element: JsonElement) =
        [
            for run in element.GetProperty("verdicts").EnumerateArray() ->
                run.GetProperty("from").GetString(), run.GetProperty("to").GetString(), run.GetProperty("label").GetString()
        ]

    Expect.equal (verdicts (at pair.Cluster "")) (verdicts own) "verdicts"
    Expect.isNonEmpty (verdicts own) "there are verdicts"

    for kind in [ "gpus"; "network_interfaces"; "cpu_cores" ] do
        expectSame exactly kind (at pair.Own $"&details={kind}") (at pair.Cluster $"&details={kind}")

    let newest (dashboard: Dashboard) =
        (json $"{dashboard.Url}/api/metrics/latest/?server=box").GetProperty("snapshot").GetProperty "sample"

    expectSame exactly "newest" (newest pair.Own) (newest pair.Cluster)

/// Three hours in buckets are the same within a scrape.
let private buckets (pair: Pair) =
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

    // Whether a problem is in a bucket that begins at most two minutes before a sample, or one after it.
    let isAt k =
        let instantOf k =
            pair.Last.AddSeconds(interval * float (k - count + 1)).ToUnixTimeMilliseconds()

        let buckets =
            [ for time in own.GetProperty("time").EnumerateArray() -> time.GetInt64() ]
            |> List.indexed
            |> List.filter (fun (_, time) -> time >= instantOf k - 120_000L && time <= instantOf k + 60_000L)
            |> List.map (fun (bucket, _) -> $"[{bucket}]:")

        Expect.isNonEmpty buckets "buckets there"
        fun (problem: string) -> buckets |> List.exists problem.Contains

    // The first rate after a silence is over all of it; the cluster has none there.
    let isOverSilence problem = isRate problem && isAt silentTo problem

    // Figures that follow from several are looked at, and a look finds what was told up to minutes before.
    let isOfLost (problem: string) =
        problem.Contains "gpu" && isAt lostFrom problem

    let problems =
        differences gauges "" (comparable own) (comparable cluster)
        |> List.filter (fun problem -> not (isOverSilence problem || isOfLost problem))
        // The first bucket begins before what is asked for.
        |> List.filter (fun problem -> not (problem.Contains "[0]: "))

    Expect.isEmpty problems $"gauges: {problems.Length} differences\n{shown problems}"

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
        Expect.isLessThan (abs (first - second)) 1.0 $"share of {name}"

/// The lines of the last hour on the cards are the same, although the dashboard of the cluster has just started.
let private sparks (pair: Pair) =
    let linesOf (dashboard: Dashboard) : Map<string * DateTimeOffset, float> =
        let servers = (json $"{dashboard.Url}/api/servers/").GetProperty "servers"
        let spark = servers[0].GetProperty "spark"
        let until = spark.GetProperty("end").GetDateTimeOffset()

        Map
            [
                for name in [ "cpu"; "gpu" ] do
                    for index, value in spark.GetProperty(name).EnumerateArray() |> Seq.indexed do
                        if value.ValueKind <> JsonValueKind.Null then
                            (name, until.AddMinutes(float (index - 60))), value.GetDouble()
            ]

    let own, cluster = linesOf pair.Own, linesOf pair.Cluster
    Expect.isGreaterThan (own |> Map.toList |> List.map snd |> List.distinct).Length 2 "they are not flat"

    // The newest minute is not over, and the oldest may have gone between the two questions.
    let compared =
        own
        |> Map.filter (fun (_, minute) _ -> minute < pair.Last.AddMinutes -1.0 && minute > pair.Last.AddMinutes -57.0)

    Expect.isGreaterThan compared.Count 100 "minutes of both lines"

    for KeyValue(place, value) in compared do
        match cluster.TryFind place with
        | Some other -> Expect.isLessThan (abs (value - other)) 0.11 $"%A{place}"
        | None -> failtest $"%A{place} is missing"

/// The use of all GPUs over time is the same, bucket by bucket.
let private useOfGpus (pair: Pair) =
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
            Expect.isLessThanOrEqual (abs (means[bucket] - others[bucket])) 1 $"bucket {bucket}: {means[bucket]} and {others[bucket]}"
    | several -> failtest $"one GPU of each: %A{several}"

/// What was said at an instant is the same, and since when to the minute.
let private saidAtInstants (pair: Pair) =
    // Samples 0 to 199 of every 360 compute, and the others wait for the loader.
    let start = pair.Last.AddSeconds(-interval * float (count - 1))

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
    Expect.equal (nothing.GetProperty("verdict").ValueKind) JsonValueKind.Null "before anything was said"

let private entries (name: string) (element: JsonElement) : JsonElement list =
    [ for entry in (element.GetProperty name).EnumerateArray() -> entry ]

let private textOf (name: string) (element: JsonElement) : string =
    element.GetProperty(name).GetString() |> string

/// What is used is counted within two scrapes, and by the database up to the last minute that is rolled up.
let private hoursWithin (path: string) =
    if path.Contains "gpu_hours" then
        4.0 * interval / 3600.0
    else
        0.011

/// Jobs are told alike: who they are, when they were there, how they are, and what they used; so is the life of each.
let private jobs (pair: Pair) =
    let last = Uri.EscapeDataString(instant pair.Last)

    let all (dashboard: Dashboard) (more: string) =
        json $"{dashboard.Url}/api/jobs/?to={last}{more}"

    let byId answer =
        entries "jobs" answer |> List.sortBy (textOf "id")

    // A key is the dashboard's own.
    let ofJob = without [ "job"; "last_seen" ]

    for more in
        [
            "&minutes=1440"
            "&minutes=1440&server=box"
            "&minutes=60"
            "&minutes=1440&active=true"
        ] do
        let own = all pair.Own more
        let cluster = all pair.Cluster more
        expectSame exactly $"head {more}" (without [ "jobs"; "now" ] own) (without [ "jobs"; "now" ] cluster)

        Expect.equal (byId cluster |> List.map (textOf "id")) (byId own |> List.map (textOf "id")) $"which jobs {more}"

        for one, other in List.zip (byId own) (byId cluster) do
            expectSame hoursWithin $"""{textOf "id" one} {more}""" (ofJob one) (ofJob other)
            // The database writes it once a minute.
            let seen (job: JsonElement) =
                job.GetProperty("last_seen").GetDateTimeOffset()

            Expect.isLessThanOrEqual (abs (seen one - seen other).TotalSeconds) 60.0 "when it was seen last"

    Expect.equal (all pair.Own "&minutes=1440" |> entries "jobs" |> List.length) dayJobs.Length "all jobs of the day"

    let life (dashboard: Dashboard) id =
        let job =
            byId (all dashboard "&minutes=1440")
            |> List.find (fun job -> textOf "id" job = id)

        json $"""{dashboard.Url}/api/jobs/{textOf "job" job}/"""

    for id in [ "slurm-100"; "slurm-102" ] do
        let own = life pair.Own id
        let cluster = life pair.Cluster id
        let itself (element: JsonElement) = ofJob (element.GetProperty "job")
        expectSame hoursWithin $"life of {id}" (itself own) (itself cluster)

        let earlier (element: JsonElement) =
            match element.GetProperty "earlier" with
            | none when none.ValueKind = JsonValueKind.Null -> ""
            | job -> textOf "id" job

        Expect.equal (earlier cluster) (earlier own) $"the run before {id}"
        let minutes (element: JsonElement) = element.GetProperty "minutes"

        let sum name (element: JsonElement) =
            entries name (minutes element)
            |> List.sumBy (fun value ->
                if value.ValueKind = JsonValueKind.Null then
                    0.0
                else
                    value.GetDouble())

        let times = [ for time in entries "time" (minutes own) -> time.GetInt64() ]
        let others = [ for time in entries "time" (minutes cluster) -> time.GetInt64() ]
        Expect.isGreaterThan times.Length 500 $"minutes of {id}"
        let missing = Set.difference (Set.ofList times) (Set.ofList others)
        Expect.isLessThanOrEqual missing.Count 2 $"minutes of {id} that the cluster lacks: %A{Seq.truncate 5 missing}"

        for name in
            [
                "wasted_gpu_seconds"
                "cpu_cores_used"
                "gpu_busy_percent"
                "read_bytes_per_s"
            ] do
            let first = sum name own
            let second = sum name cluster
            Expect.isLessThan (abs (first - second) / max 1.0 first) 0.02 $"{name} of {id}: {first} and {second}"

        let labels (element: JsonElement) =
            Seq.zip (entries "time" (minutes element)) (entries "label" (minutes element))
            |> Seq.map (fun (time, label) -> time.GetInt64(), label.GetString())
            |> Map.ofSeq

        let known = labels cluster

        let different =
            labels own
            |> Map.filter (fun time label -> known |> Map.tryFind time |> Option.exists (fun other -> other <> label))

        // Where a label changes within a minute.
        Expect.isLessThanOrEqual different.Count 10 $"labels of {id}"

    Expect.equal ((json $"{pair.Cluster.Url}/api/jobs/").GetProperty("jobs").GetArrayLength() > 0) true "without a range"

    let unknown =
        exchange pair.Cluster.Port (request "GET /api/jobs/box.17/ HTTP/1.1" [ "Host", "127.0.0.1"; "Connection", "close" ] [||])

    Expect.equal unknown.Status 404 "a job that is none"

/// What was wasted is told alike by each key, as JSON and as CSV, with who holds a GPU now and does nothing.
let private waste (pair: Pair) =
    let last = Uri.EscapeDataString(instant pair.Last)

    for by in [ "user"; "job"; "machine"; "label"; "verdict"; "day" ] do
        let answer (dashboard: Dashboard) =
            json $"{dashboard.Url}/api/waste/?by={by}&minutes=1440&to={last}"

        let sorted (answer: JsonElement) =
            entries "rows" answer
            |> List.sortBy (fun row -> row.GetProperty("key").GetString())

        let own = answer pair.Own
        let cluster = answer pair.Cluster
        let keys = sorted >> List.map (fun row -> row.GetProperty("key").GetString())
        Expect.equal (keys cluster) (keys own) $"by {by}"

        for one, other in List.zip (sorted own) (sorted cluster) do
            expectSame (fun path -> 2.0 * hoursWithin path) $"by {by}" one other

        expectSame (fun path -> 3.0 * hoursWithin path) $"total by {by}" (own.GetProperty "total") (cluster.GetProperty "total")

        let csv (dashboard: Dashboard) =
            (fetch $"{dashboard.Url}/api/waste/?by={by}&minutes=1440&to={last}&format=csv").Split("\r\n")

        let ownLines, clusterLines = csv pair.Own, csv pair.Cluster
        Expect.equal clusterLines[0] ownLines[0] $"the head of CSV by {by}"
        Expect.equal clusterLines.Length ownLines.Length $"lines of CSV by {by}"

        let holders (answer: JsonElement) =
            entries "held_idle" answer
            |> List.map (fun holder ->
                textOf "server" holder, textOf "id" holder, textOf "user" holder, holder.GetProperty("gpus").GetRawText())

        Expect.equal (holders cluster) (holders own) "who holds a GPU now"
        Expect.hasLength (holders own) 1 "somebody does"

/// Events are told alike: the same things of the same names, within a look and a scrape of each other.
let private events (pair: Pair) =
    let last = Uri.EscapeDataString(instant pair.Last)

    for more in [ ""; "&server=box"; "&kinds=xid,reboot" ] do
        let told (dashboard: Dashboard) =
            [
                for event in entries "events" (json $"{dashboard.Url}/api/timeline/?minutes=1440&to={last}{more}") do
                    let kind = textOf "kind" event

                    let text =
                        // Reasons are in no cluster.
                        if kind = "verdict" then
                            (textOf "text" event).Split(':')[0]
                        else
                            textOf "text" event

                    kind, text, textOf "server" event, event.GetProperty("at").GetDateTimeOffset()
            ]
            |> List.filter (fun (kind, _, _, _) -> kind <> "alert")
            |> List.sort

        let own = told pair.Own
        let cluster = told pair.Cluster

        let what events =
            events |> List.countBy (fun (kind, text, server, _) -> kind, text, server)

        let missing = List.except (what cluster) (what own)
        let wrong = List.except (what own) (what cluster)

        let sampleOf (at: DateTimeOffset) =
            float count - 1.0 + (at - pair.Last).TotalSeconds / interval

        let whenTold =
            cluster
            |> List.filter (fun (kind, text, server, _) -> wrong |> List.exists (fun (what, _) -> what = (kind, text, server)))
            |> List.map (fun (_, _, _, at) -> sampleOf at)

        Expect.equal wrong missing $"what happened{more}; from the cluster at samples %A{whenTold}"

        for (kind, text, _, one), (_, _, _, other) in List.zip own cluster do
            Expect.isLessThanOrEqual (abs (one - other).TotalSeconds) (2.0 * interval) $"when: {kind} {text}: {one} and {other}"

        let kinds = own |> List.map (fun (kind, _, _, _) -> kind) |> List.distinct |> List.sort

        Expect.equal
            kinds
            (if more.Contains "kinds" then
                 [ "reboot"; "xid" ]
             else
                 [
                     "agent-start"
                     "gpu-back"
                     "gpu-lost"
                     "job-begin"
                     "job-end"
                     "reboot"
                     "throttle"
                     "throttle-end"
                     "verdict"
                     "xid"
                 ])
            "every kind"

/// A cluster of metrics that answers each question, a form, by a script, with a status and a body.
type private ScriptedCluster(script: string -> int * string) =
    let port = freePort ()
    let listener = new Net.HttpListener()

    let answer () =
        let context = listener.GetContext()
        use reader = new StreamReader(context.Request.InputStream)
        let status, body = script (Uri.UnescapeDataString(reader.ReadToEnd()))
        context.Response.StatusCode <- status
        context.Response.Close(utf8 body, true)

    let work () =
        try
            while listener.IsListening do
                answer ()
        with
        // The test is over, or the dashboard is.
        | :? HttpListenerException
        | :? ObjectDisposedException -> ()

    do
        listener.Prefixes.Add $"http://127.0.0.1:{port}/"
        listener.Start()
        Threading.Thread(work, IsBackground = true).Start()

    member _.Url = $"http://127.0.0.1:{port}"

    interface IDisposable with
        member _.Dispose() = listener.Close()

/// What keeps the page from being whole, and why; empty for nothing.
let private faultOf (dashboard: Dashboard) : string * string =
    let storage = (json $"{dashboard.Url}/api/").GetProperty "storage"

    match storage.TryGetProperty "fault" with
    | true, fault -> string (fault.GetString()), string (storage.GetProperty("reason").GetString())
    | _ -> "", ""

[<Tests>]
let tests =
    testList
        "Cluster"
        [
            testCase "a day from a cluster is the same day as from the own database: series, shares, verdicts, jobs, waste and events"
            <| fun () ->
                withPair (fun pair ->
                    eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive pair.Cluster)
                    singleSamples pair
                    buckets pair
                    useOfGpus pair
                    sparks pair
                    saidAtInstants pair
                    jobs pair
                    waste pair
                    events pair

                    withPrometheus pair (fun pair ->
                        eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive pair.Cluster)
                        jobs pair
                        waste pair
                        events pair))

            testCase "an outage is said and ends"
            <| fun () ->
                use place = new TemporaryDirectory()
                let port = freePort ()

                use dashboard = new Dashboard(place.File "cluster.db", [ "--metrics-url"; $"http://127.0.0.1:{port}" ])

                let ask (method: string) (path: string) =
                    exchange dashboard.Port (request $"{method} {path} HTTP/1.1" [ "Host", "127.0.0.1"; "Connection", "close" ] [||])

                /// What is read from the cluster is not there, and is said as openapi.json says it.
                let isRefused (paths: string list) =
                    for path in paths do
                        let answer = ask "GET" path
                        Expect.equal answer.Status 502 path
                        Expect.equal (OpenApi.faultsOf "GET" path answer) [] "as it is described"

                isRefused
                    [
                        "/api/jobs/?minutes=60"
                        "/api/waste/?minutes=60"
                        "/api/timeline/?minutes=60&server="
                    ]

                let ingest = "/api/ingest/servers/box-example-9100/metrics/"
                let answer = ask "POST" ingest
                Expect.equal answer.Status 501 ingest
                Expect.equal (OpenApi.faultsOf "POST" ingest answer) [] "as it is described"

                let storage () =
                    (json $"{dashboard.Url}/api/").GetProperty "storage"

                eventually (TimeSpan.FromSeconds 60.0) "the outage is said" (fun () ->
                    match (storage ()).TryGetProperty "fault" with
                    | true, fault -> fault.GetString() = "cluster"
                    | _ -> false)

                (use metrics = new VictoriaMetrics(place.Path, port)
                 let now = DateTimeOffset.UtcNow
                 metrics.Store(linesOf "box.example:9100" now [ 0, utf8 (bodyAt now 0) ])

                 eventually (TimeSpan.FromSeconds 120.0) "the machine is there, and the outage over" (fun () ->
                     not (fst ((storage ()).TryGetProperty "fault")) && isLive dashboard ())

                 let server = ((json $"{dashboard.Url}/api/servers/").GetProperty "servers")[0]
                 Expect.equal (server.GetProperty("slug").GetString()) "box-example-9100" "slug"
                 Expect.equal (server.GetProperty("state").GetString()) "live" "state")

                let listed () =
                    match DashboardProcess.run [ "list-servers"; "--database"; dashboard.Database ] with
                    | 0, [ line ], _ -> line
                    | failed -> failtest $"%A{failed}"

                Expect.stringContains (listed ()) "in the cluster" "where its samples are"

                // Of a machine that was seen.
                isRefused
                    [
                        "/api/metrics/history/?server=box-example-9100&minutes=60"
                        "/api/metrics/history/?server=box-example-9100&minutes=60&details=gpus"
                        "/api/verdicts/?server=box-example-9100&minutes=60"
                        "/api/timeline/?server=box-example-9100&minutes=60"
                        "/api/jobs/box-example-9100.1/"
                        "/api/fleet/gpus/?minutes=60"
                    ]

                dashboard.Stop()
                Expect.stringEnds (List.last dashboard.Process.Output) "ai-dashboard stopped" "of samples nothing is said"

                Expect.equal
                    (DashboardProcess.run
                        [
                            "remove-server"
                            "--yes"
                            "box-example-9100"
                            "--database"
                            dashboard.Database
                        ])
                    (0,
                     [
                         "Removed box-example-9100. Its samples stay in the cluster, and it is registered anew if more come."
                     ],
                     [])
                    "what is not removed is said"

            testCase "a cluster that says that its answers are not whole is told of"
            <| fun () ->
                use place = new TemporaryDirectory()

                use cluster =
                    new ScriptedCluster(fun _ ->
                        200, """{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}""")

                use dashboard = new Dashboard(place.File "partial.db", [ "--metrics-url"; cluster.Url ])
                eventually patience "it is said" (fun () -> (faultOf dashboard |> fst) = "partial")

            testCase "a machine with more than the cluster gives is left out and told of, and costs the others nothing"
            <| fun () ->
                use place = new TemporaryDirectory()

                // The first of three machines has too many series for any question about it.
                use cluster =
                    new ScriptedCluster(fun form ->
                        let now = DateTimeOffset.UtcNow.ToUnixTimeSeconds()

                        let vector (names: string list) =
                            let series =
                                [
                                    for name in names do
                                        for family, value in [ "ai_dashboard_sample_timestamp_seconds", string now; "node_load1", "1" ] do
                                            $$$"""{"metric":{"__name__":"{{{family}}}","job":"a","instance":"{{{name}}}"},"value":[{{{now}}},"{{{value}}}"]}"""
                                ]
                                |> String.concat ","

                            200, $$$"""{"status":"success","data":{"resultType":"vector","result":[{{{series}}}]}}"""

                        let names = [ "bomb"; "good1"; "good2" ]

                        if not (form.Contains "instance") then
                            vector names
                        elif form.Contains "bomb" then
                            422, """{"status":"error","errorType":"execution","error":"too many series"}"""
                        else
                            names |> List.filter form.Contains |> vector)

                use dashboard = new Dashboard(place.File "bomb.db", [ "--metrics-url"; cluster.Url ])

                let states () =
                    [
                        for server in (json $"{dashboard.Url}/api/servers/").GetProperty("servers").EnumerateArray() ->
                            server.GetProperty("slug").GetString(), server.GetProperty("state").GetString()
                    ]
                    |> List.sort

                eventually patience "the others are shown" (fun () -> states () = [ "bomb", "never"; "good1", "live"; "good2", "live" ])

                eventually patience "it is said" (fun () -> (faultOf dashboard |> fst) = "partial")

                Expect.stringContains
                    (faultOf dashboard |> snd)
                    "bomb is left out: HTTP 422: it refuses the query: execution: too many series"
                    "which, and why"

            testCase "each question has the tenant and the headers of the file"
            <| fun () ->
                use place = new TemporaryDirectory()
                let file = place.File "headers"
                File.WriteAllText(file, "Authorization: Bearer x\n")
                let port = freePort ()
                use cluster = new Net.HttpListener()
                cluster.Prefixes.Add $"http://127.0.0.1:{port}/"
                cluster.Start()
                let first = cluster.GetContextAsync()

                use _ =
                    new Dashboard(
                        place.File "x.db",
                        [
                            "--metrics-url"
                            $"http://127.0.0.1:{port}"
                            "--metrics-tenant"
                            "vision-team"
                            "--metrics-header-file"
                            file
                        ]
                    )

                Expect.isTrue (first.Wait patience) "it is asked"
                let asked = first.Result.Request
                Expect.equal asked.Headers["X-Scope-OrgID"] "vision-team" "the tenant"
                Expect.equal asked.Headers["Authorization"] "Bearer x" "of the file"
                first.Result.Response.Close()

            testCase "a wrong URL, and headers without one, are refused with a sentence and exit code 2"
            <| fun () ->
                use place = new TemporaryDirectory()
                let file = place.File "headers"
                File.WriteAllText(file, "Authorization Bearer x\n")
                let other = place.File "other"
                File.WriteAllText(other, "x-scope-orgid: b\n")

                for words, sentence in
                    [
                        [ "--metrics-url"; "vm:8428" ], "is not the http or https URL of a Prometheus-compatible API"
                        [ "--metrics-url"; "http://me:word@vm:8428" ], "must not contain a user name or password"
                        [ "--metrics-url"; "http://vm:8428/api/v1" ], "has /api/v1 at its end"
                        [ "--metrics-header-file"; file ], "needs --metrics-url as well"
                        [ "--metrics-tenant"; "a" ], "needs --metrics-url as well"
                        [ "--metrics-url"; "http://vm:8428"; "--metrics-tenant"; "a/b" ], "\"a/b\" is not a tenant's name"
                        [
                            "--metrics-url"
                            "http://vm:8428"
                            "--metrics-tenant"
                            "a"
                            "--metrics-header-file"
                            other
                        ],
                        "sets X-Scope-OrgID, as --metrics-tenant does"
                        [ "--metrics-url"; "http://vm:8428"; "--metrics-header-file"; file ], "line 1 is not a header"
                    ] do
                    let code, _, errors = run ([ "serve"; "--database"; place.File "x.db" ] @ words)
                    Expect.equal code 2 $"%A{words}"
                    Expect.stringContains (String.concat "\n" errors) sentence $"%A{words}"

                    Expect.isFalse
                        (errors
                         |> List.exists (fun line -> line.Contains "Bearer" || line.Contains "word@"))
                        "no secret is said"
        ]
