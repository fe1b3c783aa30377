/// What the dashboard derives from two samples, through its API: rates, roll-ups and the bottleneck. Expected figures are worked out by hand.
module Agent.Dashboard.Tests.DerivedTests

open System
open System.Text.Json
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.Dashboard.Tests.Shared
open Expecto

/// Posts a sample, and ten seconds later another one with these changes.
let private pair (before: Members) (changes: Members) : JsonElement =
    let first = freshInstant ()
    sendSample (sample first |> setAll before) |> accepted |> ignore

    sendSample (sample (first.AddSeconds 10.0) |> setAll before |> setAll changes)
    |> snapshotOf

// ---- The sixteen rows ------------------------------------------------------------------------------------------------

/// What decides: CPU, iowait, memory and swap in per cent; the disk's busy time and bytes in the ten seconds; the GPUs.
type private Machine =
    {
        Cpu: string
        Iowait: string
        Memory: string
        Swap: string
        /// Of 10,000 ms.
        BusyMs: int64
        ReadBytes: int64
        Gpus: string list
    }

let private quiet: Machine =
    {
        Cpu = "50"
        Iowait = "0"
        Memory = "50"
        Swap = "0"
        BusyMs = 0L
        ReadBytes = 0L
        Gpus = []
    }

let private withGpu (utilization: string) = { quiet with Gpus = [ utilization ] }

let private row (name: string) (machine: Machine) (label: string) (confidence: float) (reason: string) =
    testCase name
    <| fun () ->
        let answered =
            pair
                [ "disks", list [ disk "sda" 1_000_000L 0L 10L 0L 7_000L ] ]
                [
                    "cpu_usage_percent", machine.Cpu
                    "cpu_iowait_percent", machine.Iowait
                    "memory_percent", machine.Memory
                    "swap_percent", machine.Swap
                    "disks",
                    list
                        [
                            disk "sda" (1_000_000L + machine.ReadBytes) 0L 10L 0L (7_000L + machine.BusyMs)
                        ]
                    "gpus", list (machine.Gpus |> List.mapi (fun i utilization -> gpu i utilization "25"))
                ]

        Expect.equal (textAt "bottleneck" answered) label "the label that the agent prints"
        let stored = latest ()

        Expect.equal
            (rawAt "id" stored, textAt "bottleneck" stored, numberAt "confidence" stored, textAt "reason" stored)
            (rawAt "id" answered, label, confidence, reason)
            "label, confidence and reason of the newest snapshot"

let private rows =
    testList
        "the sixteen rows of the bottleneck"
        [
            row "A1 by memory" { quiet with Memory = "92" } "memory-pressure" 0.82 "Memory 92% / swap 0%"
            row "A1 by swap" { quiet with Swap = "20" } "memory-pressure" 0.82 "Memory 50% / swap 20%"
            row "A1 by both" { quiet with Swap = "5"; Memory = "80" } "memory-pressure" 0.82 "Memory 80% / swap 5%"
            row "A2 by the disk" { quiet with BusyMs = 8_000L } "io-bound" 0.74 "Disk util 80% / iowait 0%"
            row "A2 by iowait" { quiet with Iowait = "20" } "io-bound" 0.74 "Disk util 0% / iowait 20%"
            row "A3" { quiet with Cpu = "85" } "cpu-bound" 0.78 "CPU 85% with no GPU telemetry"
            row "A4" { quiet with Cpu = "14.9" } "idle" 0.90 "Low CPU and no GPU telemetry"
            row "A5" { quiet with BusyMs = 7_999L } "balanced" 0.45 "No GPU telemetry available"
            row "a GPU that tells no utilisation is no GPU telemetry" (withGpu "null") "balanced" 0.45 "No GPU telemetry available"
            row "B1 by memory" { withGpu "70" with Memory = "95" } "memory-pressure" 0.90 "Memory 95% / swap 0%"
            row "B1 by swap" { withGpu "70" with Swap = "20.5" } "memory-pressure" 0.90 "Memory 50% / swap 20%"
            row
                "B1 by both"
                { withGpu "70" with
                    Swap = "5"
                    Memory = "80"
                }
                "memory-pressure"
                0.90
                "Memory 80% / swap 5%"
            row "B2 by the disk" { withGpu "54" with BusyMs = 7_000L } "io-bound" 0.88 "GPU 54% low while disk 70% / iowait 0%"
            row "B2 by iowait" { withGpu "40" with Iowait = "15" } "io-bound" 0.88 "GPU 40% low while disk 0% / iowait 15%"
            row "B3" { withGpu "40" with Cpu = "85" } "cpu-bound" 0.87 "GPU 40% low while CPU 85% is high"
            row "B4 by memory" { withGpu "40" with Memory = "88" } "memory-pressure" 0.75 "GPU 40% low while memory 88% is high"
            row
                "B4 by both"
                { withGpu "40" with
                    Memory = "75"
                    Swap = "8"
                }
                "memory-pressure"
                0.75
                "GPU 40% low while memory 75% is high"
            row
                "B5"
                { withGpu "19" with
                    Cpu = "29"
                    BusyMs = 2_499L
                }
                "idle"
                0.85
                "GPU, CPU, and disk activity are all low"
            row "B6" (withGpu "54.5") "underutilized" 0.55 "GPU 54% below target; check dataloader or batch size"
            row "B7" { withGpu "90" with Cpu = "79" } "gpu-bound" 0.90 "GPU 90% saturated while CPU 79% and disk 0% are lower"
            row "B8" { withGpu "70" with Cpu = "90" } "mixed-cpu-gpu" 0.72 "CPU 90% and GPU 70% are both high"
            row "B9" { withGpu "60" with BusyMs = 8_500L } "mixed-io-gpu" 0.70 "Disk util 85% and GPU 60% are both high"
            row "B10" { withGpu "55" with BusyMs = 2_000L } "balanced" 0.65 "GPU 55% with CPU 50% and disk util 20%"
            // 2,048 MiB/s for ten seconds.
            row
                "B11 by throughput"
                { withGpu "60" with
                    ReadBytes = 21_474_836_480L
                }
                "mixed"
                0.50
                "CPU 50%, GPU 60%, disk 0%"
            row
                "just below B11's throughput"
                { withGpu "60" with
                    ReadBytes = 21_474_836_470L
                }
                "balanced"
                0.65
                "GPU 60% with CPU 50% and disk util 0%"
            row "B11 by the disk" { withGpu "58" with BusyMs = 7_000L } "mixed" 0.50 "CPU 50%, GPU 58%, disk 70%"
            row
                "the busiest of several GPUs decides"
                { quiet with
                    Gpus = [ "10"; "95"; "null" ]
                }
                "gpu-bound"
                0.90
                "GPU 95% saturated while CPU 50% and disk 0% are lower"
            row "unknown iowait counts 0" { quiet with Iowait = "null" } "balanced" 0.45 "No GPU telemetry available"
        ]

// ---- Rates and roll-ups ----------------------------------------------------------------------------------------------

/// Compares numbers of the newest snapshot with literals.
let private expectNumbers (expected: (string * float) list) (element: JsonElement) =
    for path, number in expected do
        Expect.floatClose Accuracy.medium (numberAt path element) number path

/// The figures of a series; none where nothing is drawn.
let private drawn (series: JsonElement) : float option list =
    [
        for value in series.EnumerateArray() ->
            if value.ValueKind = JsonValueKind.Null then
                None
            else
                Some(value.GetDouble())
    ]

let private rates =
    testList
        "rates and roll-ups"
        [
            testCase "each counter grows by itself, over the time between the two samples"
            <| fun () ->
                pair
                    [
                        "disks", list [ disk "sda" 1_000L 2_000L 30L 40L 500L; disk "sdb" 0L 0L 0L 0L 0L ]
                        "network_rx_bytes_total", "5000"
                        "network_tx_bytes_total", "7000"
                    ]
                    [
                        "disks",
                        list
                            [
                                disk "sda" 21_000L 5_000L 130L 90L 3_000L
                                disk "sdb" 400L 1_000L 5L 20L 1_000L
                            ]
                        "network_rx_bytes_total", "15000"
                        "network_tx_bytes_total", "12000"
                    ]
                |> ignore

                let stored = latest ()

                stored
                |> expectNumbers
                    [
                        "interval_seconds", 10.0
                        // (20,000 + 400) / 10 and (3,000 + 1,000) / 10
                        "disk_read_bytes_per_s", 2_040.0
                        "disk_write_bytes_per_s", 400.0
                        // 2,500 ms of 10,000 is the busier disk
                        "disk_util_percent", 25.0
                        "network_rx_bytes_per_s", 1_000.0
                        "network_tx_bytes_per_s", 500.0
                    ]

                let disks = [ for disk in (stored |> at "rates.disks").EnumerateArray() -> disk ]
                Expect.equal (disks |> List.map (textAt "device")) [ "sda"; "sdb" ] "the disks"

                disks[0]
                |> expectNumbers
                    [
                        "read_bytes_per_s", 2_000.0
                        "write_bytes_per_s", 300.0
                        "read_ops_per_s", 10.0
                        "write_ops_per_s", 5.0
                        "util_percent", 25.0
                    ]

                disks[1]
                |> expectNumbers
                    [
                        "read_bytes_per_s", 40.0
                        "write_bytes_per_s", 100.0
                        "read_ops_per_s", 0.5
                        "write_ops_per_s", 2.0
                        "util_percent", 10.0
                    ]

            testCase "a counter that went backwards counts 0 for that sample, the others count"
            <| fun () ->
                pair
                    [
                        "disks", list [ disk "sda" 9_000L 2_000L 30L 40L 500L ]
                        "network_rx_bytes_total", "5000"
                    ]
                    [
                        "disks", list [ disk "sda" 1_000L 5_000L 3L 90L 100L ]
                        "network_rx_bytes_total", "4999"
                    ]
                |> ignore

                latest ()
                |> expectNumbers
                    [
                        "disk_read_bytes_per_s", 0.0
                        "disk_write_bytes_per_s", 300.0
                        "disk_util_percent", 0.0
                        "network_rx_bytes_per_s", 0.0
                    ]

            testCase "a disk that the sample before did not have has rate 0"
            <| fun () ->
                pair
                    [ "disks", list [ disk "sda" 0L 0L 0L 0L 0L ] ]
                    [
                        "disks", list [ disk "sda" 10L 0L 0L 0L 0L; disk "sdb" 1_000_000L 0L 0L 0L 9_000L ]
                    ]
                |> ignore

                latest ()
                |> expectNumbers [ "disk_read_bytes_per_s", 1.0; "disk_util_percent", 0.0 ]

            testCase "utilisation is at most 100 %"
            <| fun () ->
                pair [ "disks", list [ disk "sda" 0L 0L 0L 0L 0L ] ] [ "disks", list [ disk "sda" 0L 0L 0L 0L 10_500L ] ]
                |> ignore

                latest () |> expectNumbers [ "disk_util_percent", 100.0 ]

            testCase "over several GPUs: the top and the mean of those that tell"
            <| fun () ->
                pair [] [ "gpus", list [ gpu 0 "10" "20.5"; gpu 1 "null" "null"; gpu 2 "50" "30.5" ] ]
                |> ignore

                latest ()
                |> expectNumbers
                    [
                        "top_gpu_util_percent", 50.0
                        "avg_gpu_util_percent", 30.0
                        "top_gpu_memory_percent", 30.5
                        "gpu_count", 3.0
                    ]

            testCase "without a GPU that tells they are null, not 0"
            <| fun () ->
                let answered = pair [] [ "gpus", list [ gpu 0 "null" "null" ] ]
                Expect.equal (rawAt "top_gpu_util_percent" answered) "null" "in the answer"
                let stored = latest ()

                for name in [ "top_gpu_util_percent"; "avg_gpu_util_percent"; "top_gpu_memory_percent" ] do
                    Expect.equal (rawAt name stored) "null" name

            testCase "a first sample has no interval, and rates of 0"
            <| fun () ->
                let server = freshServer ()

                post (dashboard().Port) server (body (sample (freshInstant ())))
                |> accepted
                |> ignore

                let stored = latestOf server
                Expect.equal (rawAt "interval_seconds" stored) "null" "no interval"

                stored
                |> expectNumbers
                    [
                        "disk_read_bytes_per_s", 0.0
                        "disk_write_bytes_per_s", 0.0
                        "disk_util_percent", 0.0
                        "network_rx_bytes_per_s", 0.0
                        "network_tx_bytes_per_s", 0.0
                    ]

            testCase "a late sample gets its rates from the one before it in time, and the one after it is computed anew"
            <| fun () ->
                let server = freshServer ()
                let first = freshInstant ()

                let postRead (seconds: float) (read: int64) =
                    sample (first.AddSeconds seconds)
                    |> set "disks" (list [ disk "sda" read 0L 0L 0L 0L ])
                    |> body
                    |> post (dashboard().Port) server
                    |> snapshotOf

                postRead 0.0 0L |> ignore
                postRead 30.0 30_000L |> ignore

                latestOf server
                |> expectNumbers [ "interval_seconds", 30.0; "disk_read_bytes_per_s", 1_000.0 ]
                // 24,000 bytes in the first 20 s, 6,000 in the last 10 s.
                postRead 20.0 24_000L |> ignore
                let newest = latestOf server
                Expect.equal (textAt "collected_at" newest) (instant (first.AddSeconds 30.0)) "the newest stays the newest"

                newest
                |> expectNumbers [ "interval_seconds", 10.0; "disk_read_bytes_per_s", 600.0 ]

                // The series says the same of all three, oldest first.
                let until = Uri.EscapeDataString(instant (first.AddSeconds 40.0))
                let history = read $"/api/metrics/history/?server={server.Slug}&minutes=2&to={until}"
                let series = history |> at "series.disk_read_bytes_per_s.mean"

                Expect.equal (drawn series) [ None; Some 1_200.0; Some 600.0 ] "the rates, oldest first: none before there are two"

            testCase "after a reboot nothing is drawn for counters that fell, and rates go on with the next sample"
            <| fun () ->
                let server = freshServer ()
                let first = freshInstant ()

                for seconds, bytes in [ 0.0, 5_000L; 10.0, 6_000L; 20.0, 40L; 30.0, 1_040L ] do
                    sample (first.AddSeconds seconds)
                    |> set "network_rx_bytes_total" (string bytes)
                    |> set "disks" (list [ disk "sda" bytes bytes bytes bytes bytes ])
                    |> body
                    |> post (dashboard().Port) server
                    |> accepted
                    |> ignore

                let until = Uri.EscapeDataString(instant (first.AddSeconds 40.0))
                let history = read $"/api/metrics/history/?server={server.Slug}&minutes=2&to={until}"

                for series in [ "network_rx_bytes_per_s"; "disk_read_bytes_per_s"; "disk_write_bytes_per_s" ] do
                    Expect.equal (drawn (history |> at $"series.{series}.mean")) [ None; Some 100.0; None; Some 100.0 ] series

                // 1,000 ms of 10 s.
                Expect.equal
                    (drawn (history |> at "series.disk_util_percent.mean"))
                    [ None; Some 10.0; None; Some 10.0 ]
                    "the use of the disk"

            testCase "samples that come in reverse order are as good as in order"
            <| fun () ->
                let server = freshServer ()
                let first = freshInstant ()

                for k in [ 5; 4; 3; 2; 1; 0 ] do
                    sample (first.AddSeconds(float k * 2.0))
                    |> set "network_rx_bytes_total" (string (1_000 * k * k))
                    |> body
                    |> post (dashboard().Port) server
                    |> accepted
                    |> ignore

                // From 16,000 to 25,000 in 2 s.
                latestOf server
                |> expectNumbers [ "interval_seconds", 2.0; "network_rx_bytes_per_s", 4_500.0 ]

                let until = Uri.EscapeDataString(instant (first.AddSeconds 30.0))
                let history = read $"/api/metrics/history/?server={server.Slug}&minutes=2&to={until}"

                Expect.equal
                    (drawn (history |> at "series.network_rx_bytes_per_s.mean"))
                    [ None; Some 500.0; Some 1_500.0; Some 2_500.0; Some 3_500.0; Some 4_500.0 ]
                    "the rates, oldest first"
        ]

let tests = testList "derived" [ rows; rates ]
