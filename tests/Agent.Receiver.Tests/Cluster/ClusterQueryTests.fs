/// Queries as Prometheus and VictoriaMetrics read them.
module Agent.Receiver.Tests.ClusterQueryTests

open System
open Agent.Receiver
open Agent.Receiver.Cluster
open Expecto

let private box: ClusterMachine = { Job = "agents"; Instance = "box" }

let private minute = 60_000_000L

/// The fields of a form.
let private fields (form: string) : Map<string, string> =
    form.Split '&'
    |> Array.map (fun field ->
        match field.Split '=' with
        | [| name; value |] -> name, Uri.UnescapeDataString value
        | _ -> failtest field)
    |> Map.ofArray

// 2026-02-26T12:00:00Z is 1772107200 (date -u -d … +%s), which is 825422400 s after 2000-01-01.
let private noon = 825_422_400L * 1_000_000L

[<Tests>]
let tests =
    testList
        "Cluster queries"
        [
            testCase "names are quoted, and within alternatives every sign of regular expressions"
            <| fun () ->
                Expect.equal (Promql.is "instance" "a\"b\\c\nd") "instance=\"a\\\"b\\\\c\\nd\"" "text"
                Expect.equal (Promql.isOneOf "job" [ "a.b"; "c|d" ]) "job=~\"a\\\\.b|c\\\\|d\"" "alternatives"

            testCase "lengths of time are whole seconds or milliseconds"
            <| fun () ->
                Expect.equal (Promql.duration minute) "60s" "a minute"
                Expect.equal (Promql.duration 1_500_000L) "1500ms" "a second and a half"
                Expect.equal (Promql.duration 0L) "1ms" "never nothing"

            testCase "the use of GPUs is the mean over a stretch, of several machines at once"
            <| fun () ->
                let machines =
                    [|
                        {
                            Job = "agents"
                            Instance = "a.example"
                        }
                        { Job = "agents"; Instance = "b" }
                    |]

                Expect.equal
                    (ClusterQueries.gpuUse machines 60_000_000L)
                    "avg_over_time(DCGM_FI_DEV_GPU_UTIL{instance=~\"a\\\\.example|b\",job=~\"agents\"}[60s])"
                    "query"

            testCase "the greatest use of the last hour is asked for by whole minutes, the current one left out"
            <| fun () ->
                let form = fields (ClusterQueries.topUseForm [| box |] 60 (noon + 30_000_000L))
                // 1772107200 is noon: 59 minutes, the first of them at 11:01, each at its last millisecond.
                Expect.equal (form["start"], form["end"], form["step"]) ("1772103719.999", "1772107199.999", "60s") "axis"

                Expect.equal
                    form["query"]
                    ("label_replace(max by (instance, job) ((max_over_time(ai_dashboard_cpu_usage_ratio{instance=~\"box\",job=~\"agents\"}[60s])) * 100),\"k\",\"cpu\",\"\",\"\")"
                     + " or label_replace(max by (instance, job) (max_over_time(DCGM_FI_DEV_GPU_UTIL{instance=~\"box\",job=~\"agents\"}[60s])),\"k\",\"gpu\",\"\",\"\")")
                    "query"

            testCase "the samples of a stretch are asked for in one request, at its end and with both its ends"
            <| fun () ->
                let form = fields (Promql.instantForm (ClusterQueries.samples box ValueNone (15L * minute)) noon)

                Expect.equal form["time"] "1772107200.000" "time"
                Expect.stringContains form["query"] "node_load1|" "families"
                Expect.stringEnds form["query"] ",instance=\"box\",job=\"agents\"}[900001ms]" "machine and length"
                Expect.isFalse (form["query"].Contains "cpu_core_usage") "details are asked apart"

            testCase "each bucket is asked at its last millisecond over its own length, so that no sample counts twice"
            <| fun () ->
                let axis = Axis.ofMinutes (noon - 180L * minute) noon
                let form = fields (ClusterQueries.bucketForm (ClusterQueries.states box axis) axis)
                Expect.equal axis.Count 181 "buckets"
                // 1772107200 - 180 * 60 + 60, less a millisecond.
                Expect.equal form["start"] "1772096459.999" "first"
                Expect.equal form["end"] "1772107259.999" "last"
                Expect.equal form["step"] "60s" "step"
                Expect.equal (form["nocache"], form["latency_offset"]) ("1", "1ms") "VictoriaMetrics leaves the axis alone"

                Expect.stringContains
                    form["query"]
                    "count_over_time(ai_dashboard_sample_timestamp_seconds{instance=\"box\",job=\"agents\"}[60s])"
                    "over a bucket"

            testCase "gauges are put together of what is stored, counters by their rate, peaks of counters by looks of two samples"
            <| fun () ->
                let axis = Axis.ofMinutes (noon - 180L * minute) noon

                let of' aggregate =
                    ClusterQueries.buckets box ValueNone axis (minute / 6L) aggregate
                    |> String.concat "\n"

                let at = "{instance=\"box\",job=\"agents\"}"

                let greatest = of' ClusterAggregate.Greatest

                Expect.stringContains
                    greatest
                    $"label_replace(max_over_time(node_load1{at}[60s]),\"k\",\"machine/cpu_load_1\",\"\",\"\")"
                    "gauge"

                Expect.stringContains
                    greatest
                    $"max_over_time((rate(ai_dashboard_network_receive_bytes_total{at}[20s]))[60s:10s])"
                    "counter"

                Expect.stringContains
                    greatest
                    $"max_over_time((max(((rate(ai_dashboard_disk_busy_seconds_total{at}[20s])) * 1000) * 0.1))[60s:10s])"
                    "busiest disk"

                // A pair of Prometheus writes each device twice, with a label of its own; a sum counts it once.
                Expect.stringContains
                    greatest
                    $"max_over_time((sum(max by (device) (rate(ai_dashboard_disk_read_bytes_total{at}[20s]))))[60s:10s])"
                    "all disks"

                Expect.stringContains (of' ClusterAggregate.Mean) $"rate(ai_dashboard_network_receive_bytes_total{at}[60s])" "mean"
                Expect.stringContains (of' ClusterAggregate.Least) "min_over_time" "least"

            testCase "no query is longer than databases read, however long a machine's name is"
            <| fun () ->
                let axis = Axis.ofMinutes (noon - 180L * minute) noon

                for length in [ 3; 100; 255 ] do
                    let machine: ClusterMachine =
                        {
                            Job = "agents"
                            Instance = String('a', length)
                        }

                    let queries = ClusterQueries.buckets machine ValueNone axis minute ClusterAggregate.Greatest

                    Expect.isTrue
                        (queries
                         |> Array.forall (fun query -> query.Length <= ClusterQueries.LongestQuery))
                        $"{length}"

                    Expect.equal (queries.Length > 1) (length > 3) $"in parts: {queries.Length}"

            testCase "every charted series has its query"
            <| fun () ->
                let axis = Axis.ofMinutes (noon - 180L * minute) noon

                let main =
                    ClusterQueries.buckets box ValueNone axis minute ClusterAggregate.Mean
                    |> String.concat "\n"

                for things, kinds in
                    [
                        "machine", Series.machine
                        "disks", Series.disk
                        "gpus", Series.gpu
                        "fans", Series.fan
                    ] do
                    for kind in kinds do
                        Expect.stringContains main $"\"{things}/{kind.Name}\"" kind.Name

                for position in 0 .. Details.all.Length - 1 do
                    let query =
                        ClusterQueries.buckets box (ValueSome position) axis minute ClusterAggregate.Mean
                        |> String.concat "\n"

                    for kind in Details.all[position].Series do
                        Expect.stringContains query $"\"{Details.all[position].Name}/{kind.Name}\"" kind.Name

            testCase "every key that is kept of a sample has its metric"
            <| fun () ->
                let has (things: ClusterObject) (key: string) =
                    things.Rows |> Array.exists (fun row -> row.Key = key)

                let missing (things: ClusterObject) (schema: Schema) =
                    [
                        for struct (key, _) in schema.Decimals do
                            if not (has things key) then
                                key

                        for key in schema.Integers do
                            if not (has things key) then
                                key
                    ]

                Expect.isEmpty (missing ClusterMetrics.machine Schema.machine) "machine"
                Expect.isEmpty (missing ClusterMetrics.disks Schema.disk) "disks"
                Expect.isEmpty (missing ClusterMetrics.gpus Schema.gpu) "gpus"
                Expect.isEmpty (missing ClusterMetrics.gpus Details.gpus.Schema) "details of GPUs"
                Expect.isEmpty (missing ClusterMetrics.fans Schema.fan) "fans"
                Expect.isEmpty (missing ClusterMetrics.migDevices Details.migDevices.Schema) "MIG"
                Expect.isEmpty (missing ClusterMetrics.interfaces Details.interfaces.Schema) "interfaces"
                Expect.isEmpty (missing ClusterMetrics.infiniband Details.infiniband.Schema) "fabric"
                Expect.isEmpty (missing ClusterMetrics.partitions Details.partitions.Schema) "file systems"
                Expect.isEmpty (missing ClusterMetrics.cores Details.cores.Schema) "CPUs"
        ]
