/// The history of a database, written to a cluster: the page there shows what the page on the database shows.
module Agent.Dashboard.Tests.ExportTests

open System
open System.IO
open System.Text.Json
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.Shared
open Agent.Dashboard.Tests.ClusterTests
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.RawHttp
open Agent.TestSupport.Waiting
open Expecto
open Microsoft.Data.Sqlite

let private interval = 10.0

let private hours = 3

let private count (database: string) (table: string) : int64 =
    use connection = new SqliteConnection($"Data Source={database};Mode=ReadOnly;Pooling=False")
    connection.Open()
    use command = connection.CreateCommand()
    command.CommandText <- $"SELECT count(*) FROM {table}"

    match command.ExecuteScalar() with
    | :? int64 as value -> value
    | other -> failtest $"%A{other}"

/// Posts three hours of samples; has a dashboard whose clock is half an hour ahead keep those of an hour, and waits until the older ones are gone: the
/// last half hour stays.
let private withHistory (check: TemporaryDirectory -> Dashboard -> DateTimeOffset -> unit) : unit =
    use place = new TemporaryDirectory()
    let database = place.File "own.db"

    let last = DateTimeOffset.FromUnixTimeSeconds(DateTimeOffset.UtcNow.ToUnixTimeSeconds() / 10L * 10L)

    let start = last.AddSeconds(-interval * float (hours * 360 - 1))

    do
        use first = new Dashboard(database, [])
        let server = first.Register("box", [])

        postAll first.Port server (seq { for k in 0 .. hours * 360 - 1 -> utf8 (body (sampleEvery interval start k)) })

        first.Stop()

    use own = new Dashboard(database, [ "--raw-hours"; "1" ], [ "DASHBOARD_TEST_CLOCK_OFFSET", "1800" ])

    let newest = own.Register("newest", [])

    Expect.equal (post own.Port newest (body (sample (DateTimeOffset.UtcNow.AddMinutes 30.0)))).Status 200 "the newest of all"

    eventually (TimeSpan.FromSeconds 120.0) $"older samples go; {own.Process.Said}" (fun () -> count database "sample" <= 190L)
    check place own last

let private export (own: Dashboard) (words: string list) : int * string * string =
    let code, output, errors = run ([ "export"; "--database"; own.Database; "--server"; "box" ] @ words)

    code, String.concat "\n" output, String.concat "\n" errors

let private prometheus (window: string) =
    $"global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: self\n    static_configs:\n      - targets: ['127.0.0.1:PORT']\nstorage:\n  tsdb:\n    out_of_order_time_window: {window}\n"

let private withPrometheus (place: TemporaryDirectory) (name: string) (window: string) (check: Prometheus -> unit) : unit =
    let port = freePort ()
    let directory = place.File name
    Directory.CreateDirectory directory |> ignore

    use server =
        new Prometheus(directory, port, (prometheus window).Replace("PORT", string port), [ "--web.enable-remote-write-receiver" ])

    // An empty one takes everything.
    eventually (TimeSpan.FromSeconds 60.0) "it has samples of its own" (fun () -> not (List.isEmpty (server.Query "up{job=\"self\"}")))
    check server

[<Tests>]
let tests =
    testList
        "Export"
        [
            testCase "samples and minutes of a database are on the page of the cluster as on its own, also when written twice"
            <| fun () ->
                withHistory (fun place own last ->
                    use metrics = new VictoriaMetrics(place.Path, freePort ())
                    let url = $"{metrics.Url}/api/v1/write"
                    let code, output, errors = export own [ "--to"; url ]
                    Expect.equal (code, errors) (0, "") output
                    // Less the one that is the newest of all.
                    let samples = count own.Database "sample" - 1L

                    let row =
                        output.Split '\n'
                        |> Array.last
                        |> fun line -> line.Split(' ', StringSplitOptions.RemoveEmptyEntries)

                    // Two hours and a half of minutes, of four instants each, but for where they are cut, and the last half hour as it is.
                    Expect.equal row[0] "box" output
                    Expect.isGreaterThanOrEqual (int64 row[1]) (samples + 148L * 4L) output
                    Expect.isLessThanOrEqual (int64 row[1]) (samples + 152L * 4L) output
                    Expect.equal row[6] "0" output

                    use cluster = new Dashboard(place.File "cluster.db", [ "--metrics-url"; metrics.Url ])

                    fetch $"{metrics.Url}/internal/force_flush" |> ignore
                    eventually (TimeSpan.FromSeconds 60.0) "the fleet is shown" (isLive cluster)

                    let comparable (element: JsonElement) =
                        Agent.Dashboard.Tests.ClusterTests.without [ "verdicts"; "details" ] element

                    let raw dashboard =
                        comparable (history dashboard last 25 "")

                    expectSame exactly "the last minutes" (raw own) (raw cluster)

                    let whole (dashboard: Dashboard) =
                        (history dashboard (last.AddMinutes -5.0) (60 * hours - 15) "").GetProperty "series"

                    let figures (name: string) (figure: string) (element: JsonElement) =
                        [
                            for value in element.GetProperty(name).GetProperty(figure).EnumerateArray() ->
                                if value.ValueKind = JsonValueKind.Null then
                                    nan
                                else
                                    value.GetDouble()
                        ]
                        |> List.filter (Double.IsNaN >> not)

                    let first, second = whole own, whole cluster

                    for name, tolerance in
                        [
                            "cpu_usage_percent", 0.002
                            "memory_used_bytes", 0.002
                            "memory_percent", 0.002
                            "cpu_load_1", 0.002
                            "network_rx_bytes_per_s", 0.03
                            "disk_read_bytes_per_s", 0.03
                            "disk_util_percent", 0.03
                            "tcp_segments_sent_per_s", 0.03
                        ] do
                        let means = figures name "mean" first
                        let others = figures name "mean" second
                        Expect.isGreaterThan means.Length 100 $"buckets of {name}"
                        Expect.equal others.Length means.Length $"as many of {name}"
                        let one, other = List.average means, List.average others
                        Expect.isLessThan (abs (one - other) / max 1.0 one) tolerance $"{name}: {one} and {other}"

                    for one, other in List.zip (figures "cpu_usage_percent" "mean" first) (figures "cpu_usage_percent" "mean" second) do
                        Expect.isLessThanOrEqual (abs (one - other)) 0.1 "each bucket's mean"

                    // A peak of one sample in six that a mean of four can have: the wave is at 62 there.
                    let peak = List.max (figures "cpu_usage_percent" "max" second)
                    Expect.isGreaterThan peak 80.0 "peaks are told"

                    let before = metrics.Values "ai_dashboard_cpu_usage_ratio{instance=\"box\"}"
                    let again, _, _ = export own [ "--to"; url ]
                    Expect.equal again 0 "a second time"
                    let after = metrics.Values "ai_dashboard_cpu_usage_ratio{instance=\"box\"}"
                    Expect.equal (List.distinct after |> List.length) (List.distinct before |> List.length) "the same values"
                    expectSame exactly "the last minutes, still" (raw own) (raw cluster)

                    // One hour alone.
                    let from, until = last.AddHours(-2.5), last.AddHours(-1.5)

                    let _, some, _ =
                        export
                            own
                            [
                                "--to"
                                url
                                "--from"
                                instant from
                                "--until"
                                until.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'")
                            ]

                    Expect.isTrue (some.Contains " 240 " || some.Contains " 236 ") $"four instants of each minute: {some}")

            testCase "of a database that has single samples alone every one is written, of each machine its own"
            <| fun () ->
                use place = new TemporaryDirectory()
                use metrics = new VictoriaMetrics(place.Path, freePort ())
                use own = new Dashboard(place.File "own.db", [])
                let now = DateTimeOffset.UtcNow

                for slug, samples in [ "a", 3; "b", 5 ] do
                    let server = own.Register(slug, [])

                    for k in 1..samples do
                        Expect.equal (post own.Port server (body (sampleEvery interval (now.AddSeconds -100.0) k))).Status 200 "stored"

                own.Register("empty", []) |> ignore

                let code, output, errors =
                    run [ "export"; "--database"; own.Database; "--to"; $"{metrics.Url}/api/v1/write" ]

                Expect.equal (code, errors) (0, []) $"%A{output}"

                Expect.equal
                    [
                        for line in List.skip 1 output do
                            let cells = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                            cells[0], cells[1]
                    ]
                    [ "a", "3"; "b", "5"; "empty", "0" ]
                    "the table"

                for slug, samples in [ "a", 3; "b", 5 ] do
                    Expect.equal
                        (metrics.Values $"ai_dashboard_sample_timestamp_seconds{{instance=\"{slug}\",job=\"ai-dashboard-agent\"}}").Length
                        samples
                        slug

            testCase "Prometheus refuses what is old, which is explained, and takes it with a window for it"
            <| fun () ->
                withHistory (fun place own last ->
                    withPrometheus place "strict" "0s" (fun server ->
                        let code, output, errors = export own [ "--to"; $"{server.Url}/api/v1/write" ]
                        Expect.equal code 1 output
                        Expect.stringContains errors "storage.tsdb.out_of_order_time_window" "names the setting"
                        Expect.stringContains errors "--server box --from 20" "says how to go on"
                        Expect.stringContains output "box" "there is a table all the same"

                        // What is not too old goes.
                        let from = instant (last.AddMinutes -20.0)
                        let code, output, errors = export own [ "--to"; $"{server.Url}/api/v1/write"; "--from"; from ]
                        Expect.equal code 0 $"{output} {errors}")

                    withPrometheus place "patient" "6h" (fun server ->
                        let code, output, errors = export own [ "--to"; $"{server.Url}/api/v1/write" ]
                        Expect.equal (code, errors) (0, "") output

                        let oldest = server.Query "count_over_time(ai_dashboard_cpu_usage_ratio{instance=\"box\"}[4h])"

                        match oldest with
                        | [ one ] ->
                            let counted = one.GetProperty "value"
                            let values = float (nonNull (counted[1].GetString()))
                            Expect.isGreaterThan values (float (count own.Database "sample") + 590.0) "all of it"
                        | several -> failtest $"one series: %A{several}"))

            testCase "what cannot be written is refused with a sentence"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "own.db"
                register database "box" [] |> ignore
                let to' = [ "--to"; "http://127.0.0.1:9/api/v1/write" ]

                for words, code, sentence in
                    [
                        [ "--database"; place.File("none.db") ] @ to', 2, "does not exist"
                        [ "--database"; database ], 2, "--to: needs the URL that takes remote-write"
                        [ "--database"; database; "--to"; "vm" ], 2, "is not the http or https URL that takes remote-write"
                        [ "--database"; database; "--from"; "yesterday" ] @ to', 2, "is not an instant such as"
                        [ "--database"; database; "--server"; "other" ] @ to', 1, "there is no server \"other\""
                    ] do
                    let given, _, errors = run ("export" :: words)
                    Expect.equal given code $"%A{words}: %A{errors}"
                    Expect.stringContains (String.concat "\n" errors) sentence $"%A{words}"
        ]
