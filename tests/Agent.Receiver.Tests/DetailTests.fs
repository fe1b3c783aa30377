/// What is kept beside the main charts: how it is read from a body, and what it takes.
module Agent.Receiver.Tests.DetailTests

open System
open System.Text
open Agent.Receiver
open Expecto

let private now = DateTimeOffset(2026, 11, 29, 12, 0, 0, TimeSpan.Zero)

let private joined (count: int) (entry: int -> string) =
    Seq.init count entry |> String.concat ","

/// A trainer as its agent describes it after so many steps of two seconds: disks, GPUs, CPUs and interfaces.
let private trainer (gpus: int) (disks: int) (cores: int) (step: int) : string =
    let growing (start: int64) (each: int64) = start + each * int64 step

    let disk i =
        $"{{\"device\":\"nvme{i}n1\",\"read_bytes_total\":{growing 91_230_347_264L 512_000_000L},\"write_bytes_total\":{growing 31_234_560_000L 4096000L},\"read_count_total\":{growing 9_123_456L 9000L},\"write_count_total\":{growing 3_123_456L 900L},\"busy_time_ms_total\":{growing 6_123_456L 700L}}}"

    let gpu i =
        $"{{\"gpu_index\":{i},\"name\":\"NVIDIA H100 80GB HBM3\",\"uuid\":\"GPU-{i}\",\"utilization_gpu_percent\":{90 + (i + step) % 9},\"utilization_memory_percent\":{40 + (i + step) % 7},\"memory_total_bytes\":85520809984,\"memory_used_bytes\":74448896000,\"memory_percent\":87.1,\"temperature_c\":{61 + i % 5},\"fan_speed_percent\":null,\"power_w\":{650 + (7 * step + i) % 40}.25,\"power_limit_w\":700,\"throttle_reasons\":[],\"xid_last\":null,\"xid_count\":0,\"clock_sm_mhz\":{1900 + (15 * step + i) % 75},\"clock_sm_max_mhz\":1980,\"clock_memory_mhz\":2619,\"memory_reserved_bytes\":553648128,\"pcie_rx_bytes_per_s\":{1_200_000_000 + 1024 * step},\"pcie_tx_bytes_per_s\":{300_000_000 + 1024 * step},\"pcie_link_gen\":5,\"pcie_link_width\":16,\"ecc_uncorrected_total\":0,\"ecc_corrected_total\":0,\"remapped_rows_pending\":false,\"energy_mj_total\":{growing 91_234_567_890L 1_300_000L},\"encoder_percent\":0,\"decoder_percent\":0,\"nvlink_rx_bytes_total\":{growing 12_345_678_901_234L 40_000_000_000L},\"nvlink_tx_bytes_total\":{growing 12_345_678_901_234L 40_000_000_000L},\"memory_temperature_c\":{72 + i % 4}}}"

    let interface' i =
        $"{{\"name\":\"eth{i}\",\"rx_bytes_total\":{growing 456_789_012_345L 200_000_000L},\"tx_bytes_total\":{growing 456_789_012_345L 200_000_000L},\"rx_packets_total\":{growing 456_789_012L 90_000L},\"tx_packets_total\":{growing 456_789_012L 90_000L},\"rx_errors_total\":0,\"tx_errors_total\":0,\"rx_dropped_total\":12,\"tx_dropped_total\":0}}"

    let core i =
        $"{(13 * i + 7 * step) % 100}.{(i + step) % 10}"

    let at = Agent.Core.Wire.instant (now.AddSeconds(-3600.0 + 2.0 * float step))

    $"{{\"collected_at\":\"{at}\",\"cpu_usage_percent\":38.1,\"disks\":[{joined disks disk}],\"gpus\":[{joined gpus gpu}],\"fans\":[],\"cpu_cores_percent\":[{joined cores core}],\"network_interfaces\":[{joined 2 interface'}]}}"

let private read (body: string) : Intake =
    match Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes body)) now with
    | Ok intake -> intake
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

let private main (report: Report) =
    (Packing.disks report).Length
    + (Packing.gpus report).Length
    + (Packing.fans report).Length

/// Thirty samples, as a minute has them.
let private minuteOf (gpus: int) (disks: int) (cores: int) : Rollup =
    let reports = Array.init 30 (fun step -> (read (trainer gpus disks cores step)).Report)
    let builder = RollupBuilder(Layout.ofReport reports[0])
    let mutable before = ValueNone

    for report in reports do
        let derivation = Derivation.between before (Derivation.measure report)
        builder.Add(Point.ofReport builder.Layout report derivation.Rates (Derivation.labelCode derivation))
        before <- ValueSome derivation.Measured

    builder.Rollup

let private namesOf kind (report: Report) =
    report.Details[Details.positionOf kind] |> Array.map _.Name |> List.ofArray

[<Tests>]
let tests =
    testList
        "Details"
        [
            testCase "what was kept of a sample before takes what it took, and what is kept beside it is bounded"
            <| fun () ->
                let report = (read (trainer 4 2 32 3)).Report
                let details = (Packing.details report).Length
                // Two disks of 5 counters and four GPUs of 12 figures; row and machine are 150 bytes more.
                printfn $"4 GPUs, 2 disks, 32 CPUs: {main report} bytes and {details} of details"
                Expect.isLessThanOrEqual (main report + 150) 400 "bytes of a sample as before"
                Expect.isLessThanOrEqual details 400 "bytes of details"

                let large = (read (trainer 16 16 128 3)).Report
                printfn $"16 GPUs, 16 disks, 128 CPUs: {main large} bytes and {(Packing.details large).Length} of details"
                Expect.isLessThanOrEqual (Packing.details large).Length 1300 "of a large machine"

            testCase "a minute of details is smaller than four numbers for each figure, since most never change"
            <| fun () ->
                let usual = minuteOf 4 2 32

                printfn
                    $"4 GPUs, 2 disks, 32 CPUs: a minute of {(Rollup.pack usual).Length} bytes and {(Rollup.packDetails usual).Length} of details"

                let rollup = minuteOf 16 16 128
                let details = (Rollup.packDetails rollup).Length
                printfn $"16 GPUs, 16 disks, 128 CPUs: a minute of {(Rollup.pack rollup).Length} bytes and {details} of details"
                Expect.isLessThanOrEqual details 2200 "bytes"

            testCase "senders that say no more than the webapp's contract have no details"
            <| fun () ->
                let report =
                    (read """{"collected_at":"2026-11-29T11:00:00Z","gpus":[{"gpu_index":0,"power_w":300}]}""").Report

                Expect.equal (Array.sumBy Array.length report.Details) 0 "none"
                Expect.equal (Packing.details report) [||] "no bytes"

            testCase
                "a device that is wrong is left out and named, a detail of a GPU costs itself alone, and a file system is left out silently"
            <| fun () ->
                let intake =
                    read
                        """{"sample":{"collected_at":"2026-11-29T11:00:00Z",
                            "gpus":[{"gpu_index":0,"clock_sm_mhz":"fast","encoder_percent":3,"mig_devices":[{"mig_index":2},{"mig_index":"x"}]}],
                            "network_interfaces":[{"name":"eth0"},{"name":"eth0"},{}],
                            "infiniband":[{"device":"mlx5_0","port":2},{"device":"mlx5_0"}],
                            "cpu_cores_percent":[1,"x"]},
                          "agent":{"system_info":{"partitions":[{"mountpoint":"/"},{"mountpoint":"/"},7]}}}"""

                Expect.equal
                    [
                        for kind in
                            [
                                "gpus"
                                "mig_devices"
                                "network_interfaces"
                                "infiniband"
                                "partitions"
                                "cpu_cores"
                            ] -> namesOf kind intake.Report
                    ]
                    [ [ "0" ]; [ "0/2" ]; [ "eth0" ]; [ "mlx5_0/2" ]; [ "/" ]; [ "0"; "1" ] ]
                    "what is kept"

                Expect.equal
                    (List.ofArray intake.Warnings)
                    [
                        "gpus[0].clock_sm_mhz: expected a finite number, found \"fast\"; left out"
                        "mig_devices[1].mig_index: expected an index, found \"x\"; left out"
                        "network_interfaces[1]: name \"eth0\" is there twice; left out"
                        "network_interfaces[2]: name is missing; left out"
                        "infiniband[1]: device is missing; left out"
                        "cpu_cores_percent[1]: expected a finite number, found \"x\"; left out"
                    ]
                    "what is said"

            testCase "more CPUs than are kept are left out"
            <| fun () ->
                let cores = joined 2000 (fun _ -> "1")

                let report =
                    (read $"{{\"collected_at\":\"2026-11-29T11:00:00Z\",\"cpu_cores_percent\":[{cores}]}}").Report

                Expect.equal (namesOf "cpu_cores" report).Length 1000 "CPUs"
        ]
