/// The dashboard's pure rules, by figures worked out by hand.
module Agent.Receiver.Tests.RuleTests

open System
open System.Text
open Agent.Core
open Agent.Core.Units
open Agent.Receiver
open Expecto

let private now = DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)

let private read (body: string) =
    Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes body)) now

let private taken (body: string) : Intake =
    match read body with
    | Ok intake -> intake
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

let private refused (body: string) : Refusal =
    match read body with
    | Ok _ -> failtest $"taken: {body}"
    | Error refusal -> refusal

let private at = "\"collected_at\":\"2026-11-24T11:59:58Z\""

let private second = 1_000_000L
let private day = 86_400L * second
/// A Tuesday's noon, in microseconds from 2000-01-01.
let private noon = RowKey.microseconds now

let private step (axis: Axis) = axis.Step / second, axis.Count

let private spread count mean least greatest =
    {
        Count = count
        Mean = mean
        Min = least
        Max = greatest
    }

[<Tests>]
let tests =
    testList
        "Rules"
        [
            testCase "a refusal names the key, and what was found there"
            <| fun () ->
                for body, part in
                    [
                        $"{{{at},\"cpu_usage_percent\":\"much\"}}", "cpu_usage_percent: expected a finite number, found \"much\""
                        $"{{{at},\"process_count\":9223372036854775808}}", "process_count: expected a whole number from 0"
                        $"{{{at},\"memory_percent\":NaN}}", "memory_percent: 'N' is an invalid start of a value"
                        $"{{{at},\"swap_percent\":1e999}}", "swap_percent: expected a finite number, found 1e999"
                        $"{{{at},\"pressure\":{{\"io_some_avg10\":[]}}}}",
                        "pressure.io_some_avg10: expected a finite number, found an array"
                        "{\"collected_at\":\"2026-02-30T00:00:00Z\"}", "found \"2026-02-30T00:00:00Z\""
                        "{}", "collected_at is missing"
                    ] do
                    Expect.stringContains (refused body).Detail part body

            testCase "a sample more than five minutes ahead is refused with both clocks"
            <| fun () ->
                let refusal = refused "{\"collected_at\":\"2026-11-24T12:05:00.000001Z\"}"
                Expect.equal refusal.Error "Sample is dated in the future." "constant"
                Expect.stringContains refusal.Detail "2026-11-24T12:05:00.000001+00:00" "its clock"
                Expect.stringContains refusal.Detail "2026-11-24T12:00:00.000000+00:00" "ours"

                Expect.equal
                    (taken "{\"collected_at\":\"2026-11-24T12:05:00Z\"}").Report.CollectedAt
                    (now.AddMinutes 5.0)
                    "five are allowed"

            testCase "a bad or duplicate entry costs itself, and is named"
            <| fun () ->
                let intake =
                    taken
                        $"{{{at},\"disks\":[{{\"device\":\" sda \"}},{{\"device\":\"sda\"}},{{\"device\":\"sdb\",\"read_count_total\":-1}},7],\"gpus\":[{{\"gpu_index\":\"1\",\"power_w\":\"61.5\"}},{{}}],\"fans\":{{}}}}"

                Expect.equal (intake.Report.Disks |> Array.map _.Device) [| "sda" |] "disks"
                Expect.equal (intake.Report.Gpus |> Array.map _.Index) [| 1 |] "GPUs"

                Expect.equal
                    intake.Warnings
                    [|
                        "disks[1]: device \"sda\" is there twice; left out"
                        "disks[2].read_count_total: expected a whole number from 0 to 9223372036854775807, found -1; left out"
                        "disks[3]: expected an object, found 7; left out"
                        "gpus[1]: gpu_index is missing; left out"
                        "fans: expected an array, found an object; left out"
                    |]
                    "warnings"

            testCase "counters of a disk that are not counted stay null, and give no rate when they begin"
            <| fun () ->
                let sample second counter =
                    taken
                        $"{{\"collected_at\":\"2026-11-24T12:00:0{second}Z\",\"disks\":[{{\"device\":\"sdm\",\"read_bytes_total\":{counter},\"write_bytes_total\":{counter},\"read_count_total\":{counter},\"write_count_total\":{counter},\"busy_time_ms_total\":{counter}}}]}}"

                let off, counted = sample 0 "null", sample 1 "900000000"
                Expect.equal (off.Warnings, counted.Warnings) ([||], [||]) "nothing is left out"
                let text = Encode.toString 0 (Responses.sample off.Report)
                Expect.stringContains text "\"read_bytes_total\":null" "null as it came"

                let rates =
                    Derivation.ratesOf (ValueSome(Derivation.measure off.Report)) (Derivation.measure counted.Report)

                Expect.equal
                    (rates.Derived.DiskRead, rates.Derived.DiskReadOps, rates.Derived.DiskUtilization)
                    (0.0<B / s>, 0.0< / s>, 0.0<percent>)
                    "not 900 MB in a second"

            testCase "reasons of throttling become the driver's bits and names again"
            <| fun () ->
                let intake =
                    taken
                        $"{{{at},\"gpus\":[{{\"gpu_index\":0,\"throttle_reasons\":[\"sw_power_cap\",\"hw_thermal_slowdown\",\"magic\"]}}]}}"

                // nvml.h: 0x4 software power cap, 0x40 hardware thermal.
                Expect.equal intake.Report.Gpus[0].Figures.Integers[2] 0x44L "bits"
                Expect.equal intake.Warnings [| "gpus[0].throttle_reasons: \"magic\" is not a known reason; left out" |] "warnings"
                let text = Encode.toString 0 (Responses.sample intake.Report)
                Expect.stringContains text "\"throttle_reasons\":[\"sw_power_cap\",\"hw_thermal_slowdown\"]" "names"

            testCase "a bare sample, numbers as text, and an agent's first 25 members"
            <| fun () ->
                let intake = taken $"{{{at},\"cpu_usage_percent\":\" 37.4 \",\"process_count\":\"812\"}}"
                Expect.equal (intake.Report.Machine.Decimal 0) (ValueSome 37.4) "a decimal"
                let members = String.Join(",", [ for i in 1..30 -> $"\"k{i}\":{i}" ])
                let kept = (Intake.keptAgent (ReadOnlyMemory(Encoding.UTF8.GetBytes $"{{{members}}}"))).Value
                Expect.stringEnds kept "\"k25\":25}" "kept"

            testCase "what the receiver keeps are keys of the ingest API, of the kinds that it keeps them as"
            <| fun () ->
                let pressure = "pressure_"

                let kindOf (table: KeyTable) (key: string) =
                    let table, name =
                        if table.Name = Rows.sample.Keys.Name && key.StartsWith pressure then
                            Rows.pressure.Keys, key.Substring pressure.Length
                        else
                            table, key

                    match table.Keys |> Array.tryFind (fun row -> row.Name = name) with
                    | Some row -> row.Kind
                    | None -> failtest $"{table.Name} has no {name}"

                for table, schema in
                    [
                        Rows.sample.Keys, Schema.machine
                        Rows.disk.Keys, Schema.disk
                        Rows.gpu.Keys, Schema.gpu
                        Rows.fan.Keys, Schema.fan
                    ] do
                    for struct (key, _) in schema.Decimals do
                        Expect.isTrue (kindOf table key).IsNumber key

                    for key in schema.Integers do
                        let kind = kindOf table key
                        Expect.isTrue (kind.IsCounter || kind.IsInt || key = "throttle_reasons") key

            testCase "ranges are cut into at most 750 buckets, of lengths that people know"
            <| fun () ->
                Expect.equal (step (Axis.ofSamples (noon - 900L * second) noon 450)) (0L, 450) "15 minutes: each sample"
                Expect.equal (step (Axis.ofSamples (noon - 3600L * second) noon 1800)) (5L, 721) "an hour at 2 s"
                Expect.equal (step (Axis.ofMinutes (noon - 2L * 3600L * second) noon)) (60L, 121) "two hours"
                Expect.equal (step (Axis.ofMinutes (noon - 6L * 3600L * second) noon)) (60L, 361) "six hours"
                Expect.equal (step (Axis.ofMinutes (noon - day / 2L) noon)) (60L, 721) "half a day"
                Expect.equal (step (Axis.ofMinutes (noon - day) noon)) (120L, 721) "a day"
                Expect.equal (step (Axis.ofMinutes (noon - 14L * day) noon)) (1800L, 673) "14 days"

            testCase "samples are read for less than two hours of the last 48, else minutes"
            <| fun () ->
                let hours count = int64 count * 3600L * second
                Expect.isTrue (Axis.prefersRaw (noon - hours 1) noon noon 48) "an hour"
                Expect.isTrue (Axis.prefersRaw (noon - hours 2 + second) noon noon 48) "a second less than two"
                Expect.isFalse (Axis.prefersRaw (noon - hours 2) noon noon 48) "two, which are 121 minutes"
                Expect.isTrue (Axis.prefersRaw (noon - hours 48) (noon - hours 47) noon 48) "an hour of two days ago"
                Expect.isFalse (Axis.prefersRaw (noon - hours 49) (noon - hours 48) noon 48) "an hour of before that"
                Expect.isFalse (Axis.ofSamples (noon - hours 6) noon 20000).IsRaw "too many samples"

            testCase "what needs attention comes first, what does nothing last"
            <| fun () ->
                let live label =
                    Attention.score ServerState.Live (ValueSome label)

                let order =
                    [
                        Attention.score ServerState.Stale (ValueSome VerdictLabel.Compute)
                        live VerdictLabel.GpuFault
                        live VerdictLabel.LoaderCpu
                        live VerdictLabel.HeldIdle
                        live VerdictLabel.Compute
                        live VerdictLabel.Idle
                        Attention.score ServerState.Never ValueNone
                        Attention.score ServerState.Disabled ValueNone
                    ]

                Expect.equal order (List.sortDescending (List.distinct order)) "the order"

                for label in VerdictLabel.All do
                    let isBad = not (label.IsCompute || label.IsStarting || label.IsUnknown || label.IsIdle)

                    Expect.equal (live label > 0) isBad $"{label} is green or grey only where nothing is wrong"

            testCase "spreads are joined by how many samples they stand for"
            <| fun () ->
                let both = Spread.join (spread 3 10.0 1.0 30.0) (spread 1 50.0 50.0 50.0)
                Expect.equal both (spread 4 20.0 1.0 50.0) "3 × 10 and 1 × 50"
                Expect.equal (Spread.add nan both) both "what is not known changes nothing"

            testCase "a packed disk is as many bytes as its figures need"
            <| fun () ->
                let intake =
                    taken
                        $"{{{at},\"disks\":[{{\"device\":\"sda\",\"read_bytes_total\":126,\"write_bytes_total\":127,\"busy_time_ms_total\":0}}]}}"

                // 126 + 1 is one byte of seven bits; 127 + 1 needs two, the lower seven bits first; two are not known; 0 + 1.
                Expect.equal (Packing.disks intake.Report) [| 0x7Fuy; 0x80uy; 0x01uy; 0uy; 0uy; 1uy |] "bytes"

            testCase "keys have the server above 51 bits of microseconds from 2000"
            <| fun () ->
                let instant = DateTimeOffset(2000, 1, 1, 0, 1, 0, TimeSpan.Zero).AddTicks 10L
                Expect.equal (RowKey.sample 3 (RowKey.microseconds instant)) (3L * 2251799813685248L + 60000001L) "key"

            testCase "the dashboard's own figures are Prometheus text"
            <| fun () ->
                let text =
                    OwnMetrics.text
                        {
                            Version = "1.2.3"
                            Ingests = [| struct (200, 7L); struct (401, 2L) |]
                            Samples = 7L
                            CommitBounds = [| 0.001; 0.01 |]
                            Commits = [| 1L; 3L; 4L |]
                            CommitSeconds = 0.25
                            FailedCommits = 0L
                            IsStoring = true
                            Servers = [| struct ("live", 2L) |]
                            Listeners = 1L
                            DatabaseBytes = 4096L
                            ResidentBytes = 5L
                            Relay =
                                ValueSome
                                    {
                                        Waiting = 11L
                                        Bytes = 12L
                                        Delivered = 13L
                                        Unconfirmed = 14L
                                        Refused = 15L
                                        RefusedSeries = 16L
                                        Damaged = 17L
                                        NotTaken = 18L
                                        Problem = "HTTP 503"
                                    }
                            State =
                                ValueSome
                                    {
                                        Works = true
                                        Failure = ""
                                        IsHolder = false
                                        Holder = "other"
                                    }
                        }

                for line in
                    [
                        "# TYPE ai_dashboard_ingest_requests_total counter"
                        "ai_dashboard_build_info{version=\"1.2.3\"} 1"
                        "ai_dashboard_ingest_requests_total{status=\"401\"} 2"
                        "ai_dashboard_commit_duration_seconds_bucket{le=\"0.01\"} 3"
                        "ai_dashboard_commit_duration_seconds_bucket{le=\"+Inf\"} 4"
                        "ai_dashboard_commit_duration_seconds_sum 0.25"
                        "ai_dashboard_commit_duration_seconds_count 4"
                        "ai_dashboard_servers{state=\"live\"} 2"
                        "ai_dashboard_relay_waiting_samples 11"
                        "ai_dashboard_relay_outbox_bytes 12"
                        "ai_dashboard_relay_samples_total 13"
                        "ai_dashboard_relay_unconfirmed_samples_total 14"
                        "ai_dashboard_relay_refused_samples_total 15"
                        "ai_dashboard_relay_refused_series_total 16"
                        "ai_dashboard_relay_damaged_samples_total 17"
                        "ai_dashboard_relay_untaken_samples_total 18"
                        "ai_dashboard_relay_delivering 0"
                        "ai_dashboard_state_up 1"
                        "ai_dashboard_alerts_holder 0"
                    ] do
                    Expect.contains (text.Split '\n') line line
        ]
