/// The read API: history whose peaks survive, latest, servers, events.
module Agent.Dashboard.Tests.HistoryTests

open System
open System.Text.Json
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

let private numbers (path: string) (element: JsonElement) : float option list =
    [
        for value in (at path element).EnumerateArray() ->
            if value.ValueKind = JsonValueKind.Null then
                None
            else
                Some(value.GetDouble())
    ]

let private times (history: JsonElement) : int64 list =
    [ for value in (at "time" history).EnumerateArray() -> value.GetInt64() ]

let private unixMs (at: DateTimeOffset) = at.ToUnixTimeMilliseconds()

let private historyOf (server: Registered) (minutes: int) (until: DateTimeOffset) : JsonElement =
    read $"/api/metrics/history/?server={server.Slug}&minutes={minutes}&to={Uri.EscapeDataString(instant until)}"

/// Posts samples over one connection each; every one has to be accepted.
let private postAll (server: Registered) (samples: Members list) =
    postAll (dashboard().Port) server (samples |> Seq.map (body >> utf8))

/// A server with two hours of samples every two seconds: CPU 10 %, but for one sample of 90 % and one of 1 %.
let private quietWithPeaks =
    lazy
        (let server = freshServer ()
         let start = DateTimeOffset.UtcNow.AddHours -2.0

         let start =
             DateTimeOffset(start.Year, start.Month, start.Day, start.Hour, start.Minute, 0, TimeSpan.Zero)

         postAll
             server
             [
                 for k in 0..3599 do
                     let cpu =
                         match k with
                         | 1234 -> "90"
                         | 2345 -> "1"
                         | _ -> "10"

                     sample (start.AddSeconds(2.0 * float k))
                     |> setAll [ "cpu_usage_percent", cpu; "gpus", list [ gpu 0 "97" "25" ] ]
             ]

         server, start)

let private peaks =
    testList
        "history"
        [
            testCase "few samples come as they are, with the instants they were taken at"
            <| fun () ->
                let server = freshServer ()
                let start = freshInstant ()

                postAll
                    server
                    [
                        for k, cpu in [ 0.0, "10"; 2.0, "null"; 4.5, "30.5" ] -> sample (start.AddSeconds k) |> set "cpu_usage_percent" cpu
                    ]

                let history = historyOf server 15 (start.AddMinutes 1.0)
                Expect.equal (textAt "source" history) "raw" "source"
                Expect.equal (times history) [ for k in [ 0.0; 2.0; 4.5 ] -> unixMs (start.AddSeconds k) ] "instants"
                Expect.equal (numbers "series.cpu_usage_percent.mean" history) [ Some 10.0; None; Some 30.5 ] "values; unknown is null"

                let mutable none = Unchecked.defaultof<JsonElement>
                Expect.isFalse ((at "series.cpu_usage_percent" history).TryGetProperty("min", &none)) "no minimum of one sample"

            testCase "at most 1,500 points, however many samples, and both peaks are among them"
            <| fun () ->
                let server, start = quietWithPeaks.Value

                for minutes in [ 121; 360; 1440; 2880; 10080; 20160 ] do
                    let history = historyOf server minutes (start.AddHours 2.0)
                    let axis = times history
                    Expect.isNonEmpty axis $"{minutes}: points"
                    Expect.equal axis (List.sort (List.distinct axis)) $"{minutes}: ascending"
                    let highest = numbers "series.cpu_usage_percent.max" history
                    let lowest = numbers "series.cpu_usage_percent.min" history
                    let mean = numbers "series.cpu_usage_percent.mean" history
                    Expect.isLessThanOrEqual (highest.Length + lowest.Length) 1500 $"{minutes}: points"
                    Expect.equal (List.max (List.choose id highest)) 90.0 $"{minutes}: the highest"
                    Expect.equal (List.min (List.choose id lowest)) 1.0 $"{minutes}: the lowest"
                    Expect.equal (highest.Length, lowest.Length, mean.Length) (axis.Length, axis.Length, axis.Length) "one axis"

                    for low, middle, high in List.zip3 lowest mean highest do
                        Expect.isTrue (low <= middle && middle <= high) $"{minutes}: %A{(low, middle, high)}"

            testCase "the peak stands in the bucket of its instant"
            <| fun () ->
                let server, start = quietWithPeaks.Value
                let history = historyOf server 360 (start.AddHours 2.0)
                let bucket = int64 (numberAt "bucket_seconds" history * 1000.0)
                let peak = unixMs (start.AddSeconds 2468.0)

                let found =
                    List.zip (times history) (numbers "series.cpu_usage_percent.max" history)
                    |> List.filter (snd >> (=) (Some 90.0))
                    |> List.map fst

                match found with
                | [ time ] -> Expect.isTrue (time <= peak && peak < time + bucket) $"{time} + {bucket} holds {peak}"
                | other -> failtest $"expected one bucket, got %A{other}"

            testCase "the mean of a bucket is the mean of its samples"
            <| fun () ->
                let server = freshServer ()
                let hour = freshInstant().AddMinutes 30.0
                let start = DateTimeOffset(hour.Year, hour.Month, hour.Day, hour.Hour, 0, 0, TimeSpan.Zero)
                // 0, 1, …, 59 in one minute; the range is too long for single samples.
                postAll
                    server
                    [
                        for k in 0..59 -> sample (start.AddSeconds(float k)) |> set "cpu_usage_percent" (string k)
                    ]

                // Eight days: only minutes, or longer, and nothing else in them.
                let history = historyOf server 11520 (start.AddHours 1.0)

                Expect.equal
                    [
                        for name in [ "min"; "mean"; "max" ] do
                            yield! List.choose id (numbers $"series.cpu_usage_percent.{name}" history)
                    ]
                    [ 0.0; 29.5; 59.0 ]
                    "minimum, mean and maximum"

            testCase "every series has the length of the axis"
            <| fun () ->
                let server, start = quietWithPeaks.Value

                for minutes in [ 15; 360 ] do
                    let history = historyOf server minutes (start.AddHours 2.0)
                    let length = (times history).Length

                    let rec check (path: string) (element: JsonElement) =
                        match element.ValueKind with
                        | JsonValueKind.Array -> Expect.equal (element.GetArrayLength()) length path
                        | _ ->
                            for member' in element.EnumerateObject() do
                                check $"{path}.{member'.Name}" member'.Value

                    check "series" (at "series" history)

                    for device in (at "gpus" history).EnumerateArray() do
                        check "gpus" (at "series" device)

                    for device in (at "disks" history).EnumerateArray() do
                        check "disks" (at "series" device)

            testCase "devices that come and go keep their places on the axis"
            <| fun () ->
                let server = freshServer ()
                let start = freshInstant ()

                postAll
                    server
                    [
                        sample start |> set "gpus" (list [ gpu 0 "10" "20" ])
                        sample (start.AddSeconds 2.0)
                        |> set "gpus" (list [ gpu 0 "11" "20"; gpu 1 "50" "20" ])
                        sample (start.AddSeconds 4.0) |> set "gpus" (list [ gpu 1 "51" "20" ])
                    ]

                let history = historyOf server 15 (start.AddMinutes 1.0)

                Expect.equal
                    [
                        for gpu in (at "gpus" history).EnumerateArray() ->
                            numberAt "gpu_index" gpu, numbers "series.utilization_gpu_percent.mean" gpu
                    ]
                    [ 0.0, [ Some 10.0; Some 11.0; None ]; 1.0, [ None; Some 50.0; Some 51.0 ] ]
                    "each GPU"

            testCase "what is kept beside the main charts is told by kind and read apart, as samples and as minutes"
            <| fun () ->
                let server = freshServer ()
                let hour = DateTimeOffset.UtcNow.AddHours -3.0
                let start = DateTimeOffset(hour.Year, hour.Month, hour.Day, hour.Hour, 10, 0, TimeSpan.Zero)

                let taken k =
                    let counter (perSecond: int) = string (1_000_000 + k * 2 * perSecond)

                    let gpuDetails =
                        [
                            "clock_sm_mhz", string (1400 + 10 * k)
                            "pcie_link_gen", "5"
                            "remapped_rows_pending", (if k = 2 then "true" else "false")
                            "ecc_corrected_total", "null"
                            "nvlink_rx_bytes_total", counter 5000
                            "energy_mj_total", counter 350_000
                            "mig_devices",
                            list
                                [
                                    render
                                        [
                                            "mig_index", "1"
                                            "name", quoted "MIG 3g.40gb"
                                            "memory_used_bytes", string (1_000_000 * k)
                                        ]
                                ]
                        ]

                    let interface' =
                        render
                            [
                                "name", quoted "eth0"
                                "rx_bytes_total", counter 1000
                                "tx_bytes_total", counter 10
                                "rx_packets_total", "5"
                                "tx_packets_total", "5"
                                "rx_errors_total", (if k < 2 then "0" else "3")
                                "tx_errors_total", "0"
                                "rx_dropped_total", "0"
                                "tx_dropped_total", "0"
                            ]

                    sample (start.AddSeconds(2.0 * float k))
                    |> setAll
                        [
                            "gpus", list [ render (gpuMembers 0 "50" "20" @ gpuDetails) ]
                            "network_interfaces", list [ interface' ]
                            "infiniband",
                            list
                                [
                                    render
                                        [
                                            "device", quoted "mlx5_0"
                                            "port", "1"
                                            "rx_bytes_total", counter 700
                                            "tx_bytes_total", "9"
                                        ]
                                ]
                            "cpu_cores_percent", list [ "12.5"; "null"; string (10 * k) ]
                        ]

                let withPartitions (text: string) =
                    let partition =
                        render
                            [
                                "device", quoted "/dev/nvme0n1p2"
                                "mountpoint", quoted "/data"
                                "fstype", quoted "ext4"
                                "total_bytes", "1000"
                                "used_bytes", "779"
                                "free_bytes", "221"
                                "percent", "77.9"
                            ]

                    let system = render [ "system_info", render [ "partitions", list [ partition ] ] ]
                    text.Replace("\"disk_filters\"", $"{system.Substring(1, system.Length - 2)},\"disk_filters\"")

                for k in 0..4 do
                    post (dashboard().Port) server (withPartitions (body (taken k)))
                    |> accepted
                    |> ignore

                // The next minute, so that the one before is rolled up; and one bad detail costs itself alone.
                sample (start.AddMinutes 1.0)
                |> set
                    "gpus"
                    (list
                        [
                            render (gpuMembers 0 "60" "20" @ [ "clock_sm_mhz", quoted "fast"; "pcie_link_gen", "4" ])
                        ])
                |> body
                |> post (dashboard().Port) server
                |> accepted
                |> ignore

                let details kind minutes (until: DateTimeOffset) =
                    read
                        $"/api/metrics/history/?server={server.Slug}&minutes={minutes}&details={kind}&to={Uri.EscapeDataString(instant until)}"

                let row kind minutes until name series =
                    (at "devices" (details kind minutes until)).EnumerateArray()
                    |> Seq.filter (fun device -> textAt "name" device = name)
                    |> Seq.map (numbers $"series.{series}")
                    |> Seq.exactlyOne

                let ofSamples = start.AddSeconds 30.0

                for kind, name, series, expected in
                    [
                        "gpus", "0", "clock_sm_mhz.mean", [ Some 1400.0; Some 1410.0; Some 1420.0; Some 1430.0; Some 1440.0 ]
                        "gpus", "0", "remapped_rows_pending.mean", [ Some 0.0; Some 0.0; Some 1.0; Some 0.0; Some 0.0 ]
                        "gpus", "0", "ecc_corrected_total.mean", [ None; None; None; None; None ]
                        "gpus", "0", "nvlink_rx_bytes_per_s.mean", [ None; Some 5000.0; Some 5000.0; Some 5000.0; Some 5000.0 ]
                        "gpus", "0", "energy_w.mean", [ None; Some 350.0; Some 350.0; Some 350.0; Some 350.0 ]
                        "mig_devices", "0/1", "memory_used_bytes.mean", [ for k in 0..4 -> Some(1e6 * float k) ]
                        "network_interfaces", "eth0", "rx_errors_per_s.mean", [ None; Some 0.0; Some 1.5; Some 0.0; Some 0.0 ]
                        "infiniband", "mlx5_0/1", "rx_bytes_per_s.mean", [ None; Some 700.0; Some 700.0; Some 700.0; Some 700.0 ]
                        "partitions", "/data", "percent.mean", [ for _ in 0..4 -> Some 77.9 ]
                        "cpu_cores", "1", "usage_percent.mean", [ None; None; None; None; None ]
                        "cpu_cores", "2", "usage_percent.mean", [ for k in 0..4 -> Some(10.0 * float k) ]
                    ] do
                    Expect.equal (row kind 60 ofSamples name series) expected $"{kind} {name} {series}"

                let known kind name series =
                    row kind 11520 (start.AddHours 1.0) name series |> List.choose id

                Expect.equal (known "network_interfaces" "eth0" "rx_bytes_per_s.mean") [ 1000.0 ] "a minute's rate"

                Expect.equal
                    [
                        for figure in [ "min"; "mean"; "max" ] -> known "cpu_cores" "2" $"usage_percent.{figure}"
                    ]
                    [ [ 0.0 ]; [ 20.0 ]; [ 40.0 ] ]
                    "a minute's spread"

                Expect.equal (known "gpus" "0" "pcie_link_gen.min") [ 4.0 ] "both minutes are in one bucket"

                Expect.equal
                    ((at "details" (historyOf server 60 ofSamples)).GetRawText())
                    """{"gpus":1,"mig_devices":1,"network_interfaces":1,"infiniband":1,"partitions":1,"cpu_cores":3}"""
                    "how many there are of each kind"

                get (dashboard().Port) $"/api/metrics/history/?server={server.Slug}&minutes=60&details=wheels"
                |> refused 400
                |> ignore

            testCase "the GPUs of all machines, and their use minute by minute"
            <| fun () ->
                let one, other = freshServer (), freshServer ()
                let now = DateTimeOffset.UtcNow

                let start =
                    DateTimeOffset(now.Year, now.Month, now.Day, now.Hour, now.Minute, 0, TimeSpan.Zero).AddMinutes -10.0

                for server, indexes in [ one, [ 0; 1 ]; other, [ 0 ] ] do
                    postAll
                        server
                        [
                            for minute in 0..3 do
                                for second in [ 0.0; 20.0; 40.0 ] ->
                                    sample (start.AddMinutes(float minute).AddSeconds second)
                                    |> set "gpus" (list [ for index in indexes -> gpu index (string (10 * (minute + 1) + index)) "20" ])
                        ]

                let fleet = read "/api/fleet/gpus/?minutes=30"
                Expect.equal (numberAt "step_seconds" fleet) 60.0 "minutes"

                let first = int ((start.ToUnixTimeMilliseconds() - int64 (numberAt "start" fleet)) / 60000L)

                let rows slug =
                    [
                        for gpu in (at "gpus" fleet).EnumerateArray() do
                            if textAt "server" gpu = slug then
                                int (numberAt "gpu_index" gpu), numbers "use" gpu |> List.skip first |> List.truncate 5
                    ]

                // The last minute is still open: it is told once it is over.
                let use' index =
                    [ for minute in 0..2 -> Some(float (10 * (minute + 1) + index)) ]

                Expect.equal
                    (rows one.Slug |> List.map (fun (index, use') -> index, List.truncate 3 use'))
                    [ 0, use' 0; 1, use' 1 ]
                    "two GPUs"

                Expect.equal (rows other.Slug |> List.map (snd >> List.truncate 3)) [ use' 0 ] "and one"
                Expect.equal (numberAt "gpus_left_out" fleet) 0.0 "all of them"

                for query in [ ""; "?minutes=0"; "?minutes=1441"; "?minutes=60&to=soon" ] do
                    get (dashboard().Port) $"/api/fleet/gpus/{query}" |> refused 400 |> ignore

            testCase "runs of one bottleneck, the gap between them, and the shares of the time"
            <| fun () ->
                let server = freshServer ()
                let start = freshInstant ()

                let cpu seconds usage =
                    sample (start.AddSeconds seconds) |> set "cpu_usage_percent" usage

                postAll
                    server
                    [
                        // 30 s idle, 10 s CPU-bound.
                        for k in 0..2..28 -> cpu (float k) "1"
                        for k in 30..2..40 -> cpu (float k) "95"
                    ]

                let history = historyOf server 15 (start.AddMinutes 1.0)
                let runs = [ for run in (at "bottlenecks" history).EnumerateArray() -> textAt "label" run ]
                Expect.equal runs [ "idle"; "cpu-bound" ] "two runs"
                let shares = at "bottleneck_share" history
                let idle, bound = numberAt "idle" shares, numberAt "cpu-bound" shares
                Expect.floatClose Accuracy.low (idle + bound) 100.0 "all of the time"
                // 15 and 6 samples.
                Expect.isTrue (idle > 65.0 && idle < 80.0) $"idle %f{idle}"

            testCase "what the query lacks, or has too much of, is said"
            <| fun () ->
                let slug = server().Slug

                for query, status in
                    [
                        "", 400
                        $"?server={slug}", 400
                        $"?server={slug}&minutes=0", 400
                        $"?server={slug}&minutes=-15", 400
                        $"?server={slug}&minutes=20161", 400
                        $"?server={slug}&minutes=soon", 400
                        $"?server={slug}&minutes=15.5", 400
                        $"?server={slug}&minutes=15&to=tomorrow", 400
                        $"?server={slug}&minutes=15&to=2026-02-30T00:00:00Z", 400
                        "?server=nobody&minutes=15", 404
                        "?server=&minutes=15", 400
                    ] do
                    get (dashboard().Port) $"/api/metrics/history/{query}"
                    |> refused status
                    |> ignore

                get (dashboard().Port) "/api/metrics/latest/" |> refused 400 |> ignore

                get (dashboard().Port) "/api/metrics/latest/?server=nobody"
                |> refused 404
                |> ignore

            testCase "a range without data is empty, not an error"
            <| fun () ->
                let history = historyOf (freshServer ()) 15 DateTimeOffset.UtcNow
                Expect.equal (times history) [] "no points"
                Expect.equal ((at "bottlenecks" history).GetArrayLength()) 0 "no runs"

            testCase "the longest range ends now by default and begins 14 days before"
            <| fun () ->
                let history = read $"/api/metrics/history/?server={server().Slug}&minutes=20160"
                let from = DateTimeOffset.Parse(textAt "from" history)
                let until = DateTimeOffset.Parse(textAt "to" history)
                Expect.equal (until - from) (TimeSpan.FromDays 14.0) "14 days"
                Expect.isLessThan (abs (DateTimeOffset.UtcNow - until).TotalSeconds) 60.0 "now"
        ]

let private overview =
    testList
        "servers and index"
        [
            testCase "the index names its endpoints"
            <| fun () ->
                let index = read "/api/"
                Expect.equal (textAt "name" index) "ai-dashboard" "name"
                Expect.equal (numberAt "retention_days" index) 14.0 "retention"
                Expect.equal (numberAt "raw_hours" index) 48.0 "raw"

            testCase "a server that was never seen, and one that posts"
            <| fun () ->
                let silent = freshServer ()
                let talking = freshServer ()

                post (dashboard().Port) talking (body (sample DateTimeOffset.UtcNow))
                |> accepted
                |> ignore

                let entries =
                    [
                        for entry in (read "/api/servers/" |> at "servers").EnumerateArray() -> textAt "slug" entry, entry
                    ]
                    |> Map.ofList

                Expect.equal (textAt "state" entries[silent.Slug]) "never" "never seen"
                Expect.equal (rawAt "latest" entries[silent.Slug]) "null" "nothing to show"
                Expect.equal (textAt "state" entries[talking.Slug]) "live" "live"
                Expect.isLessThan (numberAt "age_seconds" entries[talking.Slug]) 60.0 "its age"
                Expect.equal (textAt "latest.bottleneck" entries[talking.Slug]) "balanced" "its label"

                for name in [ "cpu"; "gpu" ] do
                    Expect.equal ((at $"spark.{name}" entries[talking.Slug]).GetArrayLength()) 60 $"{name} of an hour"

                let cpu = numbers "spark.cpu" entries[talking.Slug]
                Expect.equal (List.last cpu) (Some 33.3) "the last minute"
                Expect.equal (List.head cpu) None "an hour ago"

            testCase "the server with trouble comes before the one without"
            <| fun () ->
                let fine = freshServer ()
                let full = freshServer ()
                let now = DateTimeOffset.UtcNow
                post (dashboard().Port) fine (body (sample now)) |> accepted |> ignore

                sample now
                |> set "verdict" """{"label":"memory","confidence":0.9,"reason":"it swaps","fix":"","evidence":[],"ruled_out":[]}"""
                |> body
                |> post (dashboard().Port) full
                |> accepted
                |> ignore

                let order =
                    [
                        for entry in (read "/api/servers/" |> at "servers").EnumerateArray() -> textAt "slug" entry
                    ]

                let place slug = List.findIndex ((=) slug) order
                Expect.isLessThan (place full.Slug) (place fine.Slug) "the one that is held back first"

            testCase "health and the dashboard's own metrics"
            <| fun () ->
                Expect.isTrue ((at "ok" (read "/healthz")).GetBoolean()) "ok"
                let metrics = get (dashboard().Port) "/metrics"
                Expect.equal metrics.Status 200 "status"
                Expect.stringStarts (defaultArg (metrics.Header "content-type") "") "text/plain" "content type"
                Expect.stringContains metrics.Text "# TYPE " "Prometheus text"

            for target in [ "/api/"; "/api/metrics/latest/?server=gpu-box-01"; "/healthz"; "/" ] do
                testCase $"405 for POST {target}"
                <| fun () ->
                    server () |> ignore

                    let response =
                        exchange (dashboard().Port) (request $"POST {target} HTTP/1.1" [ "Host", "127.0.0.1"; "Content-Length", "0" ] [||])

                    Expect.equal response.Status 405 response.Text
        ]

// ---- Events ----------------------------------------------------------------------------------------------------------

/// Opens the stream of events and waits until it runs.
let private openEvents (query: string) : Conversation =
    let conversation = new Conversation(dashboard().Port)
    conversation.Send(request $"GET /api/events/{query} HTTP/1.1" [ "Host", "127.0.0.1" ] [||])
    Expect.stringContains (conversation.ReadLine()) "200" "status"

    let rec skip () =
        if conversation.ReadLine() <> "" then
            skip ()

    skip ()
    conversation

/// The data of the next event of that name; what stands between is skipped, the sizes of chunks too.
let rec private nextEvent (name: string) (conversation: Conversation) : JsonElement =
    if conversation.ReadLine() = $"event: {name}" then
        let rec data () =
            match conversation.ReadLine() with
            | line when line.StartsWith "data: " ->
                use document = JsonDocument.Parse(line.Substring 6)
                document.RootElement.Clone()
            | _ -> data ()

        data ()
    else
        nextEvent name conversation

let private events =
    testList
        "events"
        [
            testCase "a sample that is stored is told to those who listen"
            <| fun () ->
                let server = freshServer ()
                use all = openEvents ""
                use one = openEvents $"?server={server.Slug}"
                let now = DateTimeOffset.UtcNow

                let answered =
                    snapshotOf (post (dashboard().Port) server (body (sample now |> set "gpus" (list [ gpu 0 "97" "25" ]))))

                for stream in [ all; one ] do
                    let told = nextEvent "sample" stream
                    Expect.equal (textAt "server" told) server.Slug "the server"
                    Expect.equal (rawAt "snapshot.id" told) (rawAt "id" answered) "the sample"
                    Expect.equal (textAt "snapshot.bottleneck" told) "gpu-bound" "its label"
                    Expect.equal (numberAt "utilization_gpu_percent" (at "snapshot.gpus" told).[0]) 97.0 "its GPUs"

            testCase "those who listen to one server hear nothing of another"
            <| fun () ->
                let mine = freshServer ()
                let other = freshServer ()
                use stream = openEvents $"?server={mine.Slug}"

                post (dashboard().Port) other (body (sample DateTimeOffset.UtcNow))
                |> accepted
                |> ignore

                post (dashboard().Port) mine (body (sample DateTimeOffset.UtcNow))
                |> accepted
                |> ignore

                Expect.equal (textAt "server" (nextEvent "sample" stream)) mine.Slug "the first that is told"

            testCase "a registration by another process is told"
            <| fun () ->
                use stream = openEvents ""
                freshServer () |> ignore
                Expect.equal (nextEvent "servers" stream).ValueKind JsonValueKind.Object "told"

            testCase "a listener who does not read holds nobody up"
            <| fun () ->
                let server = freshServer ()
                use deaf = openEvents ""
                let start = freshInstant ()
                postAll server [ for k in 0..2999 -> sample (start.AddSeconds(0.01 * float k)) ]
                Expect.equal (get (dashboard().Port) "/healthz").Status 200 "it answers"

            testCase "an unknown server has no events"
            <| fun () -> get (dashboard().Port) "/api/events/?server=nobody" |> refused 404 |> ignore
        ]

let tests = testList "reading" [ peaks; overview; events ]
