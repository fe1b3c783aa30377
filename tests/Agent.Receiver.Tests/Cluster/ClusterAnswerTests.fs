/// Answers of a real Prometheus and a real VictoriaMetrics, and what is made of them.
module Agent.Receiver.Tests.ClusterAnswerTests

open System
open System.IO
open System.Text
open Agent.Core
open Agent.Receiver
open Agent.Receiver.Cluster
open Agent.TestSupport.Fixtures
open Expecto

let private databases = [ "prometheus"; "victoria-metrics" ]

let private fixture (database: string) (name: string) =
    ReadOnlyMemory(File.ReadAllBytes(pathOf $"cluster/{database}/{name}.json"))

let private read (database: string) (name: string) : ClusterAnswer =
    match ClusterAnswers.decode ClusterAnswers.most ClusterReports.labels (fixture database name) with
    | Ok answer -> answer
    | Error fault -> failtest fault.Reason

let private decode (bounds: AnswerBounds) (text: string) =
    ClusterAnswers.decode bounds [| "__name__"; "instance" |] (ReadOnlyMemory(Encoding.UTF8.GetBytes text))

let private one (family: string) (labels: (string * string) list) (points: (int64 * float) list) : ClusterSeries =
    {
        Labels =
            [|
                struct ("__name__", family)
                struct ("instance", "box")
                struct ("job", "agents")
                for name, value in labels do
                    struct (name, value)
            |]
        Times = points |> List.map fst |> Array.ofList
        Values = points |> List.map snd |> Array.ofList
    }

let private answer (points: string) =
    """{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"instance":"a"},"values":["""
    + points
    + "]}]}}"

let private unlimited: AnswerBounds = { Series = 100; Points = 100 }

[<Tests>]
let tests =
    testList
        "Cluster answers"
        [
            for database in databases do
                testCase $"the newest values of {database} are a sample with its own time"
                <| fun () ->
                    match ClusterReports.ofSeries (read database "vector").Series with
                    | [| found |] ->
                        Expect.equal found.Machine.Instance "box" "instance"
                        Expect.equal found.Machine.Job "ai-dashboard-agent" "job"
                        Expect.stringEnds found.Version "-dev" "version"
                        // date -u -d @1795990914 +%T
                        Expect.equal (found.Report.CollectedAt.ToString "HH:mm:ss") "22:21:54" "when it was taken, not when it was asked"
                        Expect.isTrue (found.Report.Machine.Decimal Schema.load1).IsSome "load"
                        Expect.isTrue (found.Report.Machine.Decimal Schema.cpuIowait).IsSome "iowait"
                        Expect.isTrue (found.Report.Machine.Decimal Schema.cpuUsage).IsNone "not asked for"
                    | reports -> failtest $"{reports.Length} reports"

                testCase $"samples of {database} have their own times, to the millisecond"
                <| fun () ->
                    let reports = ClusterReports.ofSeries (read database "samples").Series
                    Expect.equal reports.Length 3 "samples"

                    let gaps =
                        reports
                        |> Array.pairwise
                        |> Array.map (fun (before, after) -> (after.Report.CollectedAt - before.Report.CollectedAt).TotalSeconds)

                    Expect.isTrue (gaps |> Array.forall (fun gap -> abs (gap - 5.0) < 0.02)) $"five seconds: %A{gaps}"

                testCase $"an error of {database} is told in its own words"
                <| fun () ->
                    match ClusterAnswers.decode ClusterAnswers.most [||] (fixture database "error") with
                    | Error(ClusterFault.Refused(_, words) as fault) ->
                        Expect.isTrue (words.Contains "parse error" || words.Contains "error when executing query") words
                        Expect.stringStarts fault.Reason "it refuses the query: " "reason"
                    | other -> failtest $"%A{other}"

            testCase "what is no number is not known"
            <| fun () ->
                let series =
                    (read "prometheus" "matrix").Series
                    |> Array.find (fun one -> one.Label "k" = "none")

                Expect.equal series.Times.Length 4 "points"
                Expect.isTrue (series.Values |> Array.forall Double.IsNaN) "NaN"

                match decode unlimited (answer """[1,"+Inf"],[2,"-Inf"],[3,"NaN"],[4,"1.5"],[5,"x"]""") with
                | Ok answer ->
                    Expect.equal
                        (answer.Series[0].Values |> Array.map (fun value -> not (Double.IsNaN value)))
                        [| false; false; false; true; false |]
                        "known"
                | Error fault -> failtest fault.Reason

            testCase "an answer at its bounds is read, and one more is refused"
            <| fun () ->
                let of' count =
                    decode { Series = 1; Points = 3 } (answer (String.Join(',', List.init count (fun index -> $"[{index},\"1\"]"))))

                Expect.isOk (of' 3) "three"

                match of' 4 with
                | Error(ClusterFault.TooMuch what) -> Expect.equal what "more than 3 values" "four"
                | other -> failtest $"%A{other}"

                let series = """{"metric":{},"value":[1,"1"]}"""

                let vector count =
                    "{\"status\":\"success\",\"data\":{\"result\":["
                    + String.Join(',', List.replicate count series)
                    + "]}}"

                Expect.isOk (decode { Series = 2; Points = 9 } (vector 2)) "two"

                match decode { Series = 2; Points = 9 } (vector 3) with
                | Error(ClusterFault.TooMuch what) -> Expect.equal what "3 series, more than 2" "three"
                | other -> failtest $"%A{other}"

            testCase "warnings and parts that do not answer are told"
            <| fun () ->
                match decode unlimited """{"status":"success","isPartial":true,"warnings":["slow"],"data":{"result":[]}}""" with
                | Ok answer -> Expect.equal answer.Warnings [| "slow"; "a part of the cluster does not answer" |] "warnings"
                | Error fault -> failtest fault.Reason

            testCase "what warns of a part that is missing is an outage of its own, told once, and over when answers are whole"
            <| fun () ->
                let at = DateTimeOffset(2026, 11, 30, 12, 0, 0, TimeSpan.Zero)
                let partial = Storage.clusterPartial at "slow" Storage.good

                Expect.equal
                    (Storage.lines at Storage.good partial)
                    [
                        "figures may be missing: the cluster of metrics does not give all figures (slow); look at the parts of the cluster; machines that seem silent may be well"
                    ]
                    "told"

                Expect.isTrue (Storage.differs Storage.good partial) "pages hear of it"
                Expect.isTrue partial.IsGood "a restart would change nothing"
                Expect.isEmpty (Storage.lines at partial (Storage.clusterPartial at "slower" partial)) "once"
                let failed = Storage.clusterFailed at "away" partial
                Expect.hasLength (Storage.lines at partial failed) 1 "worse"
                Expect.stringStarts (Storage.lines at partial failed).Head "no figures: " "worse"

                Expect.equal
                    (Storage.lines (at.AddSeconds 10.0) partial (Storage.clusterRead partial))
                    [ "the answers of the cluster of metrics are whole again after 10 s" ]
                    "over"

            testCase "a refusal is told in the words of whoever refuses, with what usually helps, and a page is not"
            <| fun () ->
                let refusal status (text: string) =
                    ClusterAnswers.refusal status (ReadOnlyMemory(Text.Encoding.UTF8.GetBytes text))

                let headers =
                    "; what it asks for goes into --metrics-header-file, a tenant of Mimir or Cortex into --metrics-tenant"

                let place = "; --metrics-url is what stands before /api/v1, such as http://mimir:8080/prometheus"

                for status, text, said in
                    [
                        401, "no org id\n", "HTTP 401: no org id" + headers
                        403, "", "HTTP 403" + headers
                        404, "404 page not found\n", "HTTP 404: 404 page not found" + place
                        502, " <html>Bad gateway", "HTTP 502"
                        500, "first\u001b[31m\nsecond", "HTTP 500: first [31m"
                        422,
                        """{"status":"error","errorType":"execution","error":"too many"}""",
                        "HTTP 422: it refuses the query: execution: too many"
                        503, String('x', 301), "HTTP 503: " + String('x', 300)
                    ] do
                    Expect.equal (refusal status text) said text

            testCase "where a redirect leads is told without what may be secret"
            <| fun () ->
                let end' = "; give the URL of the API itself"

                for location, said in
                    [
                        "https://login.example/?token=secret", "https://login.example/"
                        "/a\u0007b#secret", "/a b"
                        "", "nowhere"
                    ] do
                    Expect.equal (ClusterAnswers.redirected 302 location) $"HTTP 302: it redirects to {said}{end'}" location

            testCase "what is not of this API says what it lacks"
            <| fun () ->
                for text, reason in
                    [
                        "<html>", "it is not JSON"
                        "{}", "its status is \"\", neither success nor error"
                        """{"status":"success"}""", "data is missing"
                        """{"status":"success","data":{"result":7}}""", "data.result is missing"
                        """{"status":"success","data":{"result":[7]}}""", "an entry of its result is not a series"
                    ] do
                    match decode unlimited text with
                    | Error(ClusterFault.Unreadable found) -> Expect.equal found reason text
                    | other -> failtest $"%A{other}"

            testCase "a machine has as many devices as are kept of one, and no more"
            <| fun () ->
                let fans count =
                    Array.init count (fun index -> one "ai_dashboard_fan_speed_rpm" [ "fan", $"FAN {index}" ] [ 0L, 1000.0 ])
                    |> ClusterReports.ofSeries
                    |> Array.sumBy (fun one -> one.Report.Fans.Length)

                Expect.equal (fans 256) 256 "256"
                Expect.equal (fans 257) 256 "257"

            testCase "a scrape that repeats a sample is the same sample"
            <| fun () ->
                let reports =
                    ClusterReports.ofSeries
                        [|
                            one "ai_dashboard_sample_timestamp_seconds" [] [ 1_000_000L, 1.8e9; 2_000_000L, 1.8e9; 3_000_000L, 1.8e9 + 2.0 ]
                            one "node_load1" [] [ 1_000_000L, 1.0; 2_000_000L, 1.0; 3_000_000L, 2.0 ]
                        |]

                Expect.equal
                    (reports
                     |> Array.map (fun one -> (one.Report.Machine.Decimal Schema.load1).Value))
                    [| 1.0; 2.0 |]
                    "samples"

            testCase "a counter that restarts has no rate there, and figures that are not known leave gaps"
            <| fun () ->
                let second = 1_000_000L
                let start = 800_000_000L * second

                let reports =
                    ClusterReports.ofSeries
                        [|
                            one
                                "ai_dashboard_network_receive_bytes_total"
                                []
                                [
                                    for k, value in [ 0L, 1000.0; 1L, 2000.0; 2L, 500.0; 3L, 700.0 ] -> start + k * 10L * second, value
                                ]
                            one "node_load1" [] [ start, 1.0; start + 20L * second, nan; start + 30L * second, 3.0 ]
                        |]

                let history = ClusterHistory.ofSamples (Axis.ofSamples start (start + 30L * second) 4) reports

                let buffer = Buffers.ArrayBufferWriter<byte>()
                Responses.historyInto buffer "box" history
                use document = Json.JsonDocument.Parse buffer.WrittenMemory

                let row (name: string) =
                    document.RootElement.GetProperty("series").GetProperty(name).GetProperty("mean").GetRawText()

                Expect.equal (row "network_rx_bytes_per_s") "[null,100,null,20]" "rates"
                Expect.equal (row "cpu_load_1") "[1,null,null,3]" "load"
        ]
