/// What leaves for a cluster: posted samples, and the history of a database.
module Agent.Receiver.Tests.ClusterExportTests

open System
open Agent.Core
open Agent.Receiver
open Agent.Receiver.Cluster
open Expecto

let private registration (hostname: string) : Registration =
    {
        Id = 1
        Slug = "gpu-01"
        Name = "GPU 1"
        Hostname = hostname
        Description = ""
        IsActive = true
        CreatedAt = DateTimeOffset.UnixEpoch
        TokenHash = [||]
    }

let private spread mean least greatest : Spread =
    {
        Count = 6
        Mean = mean
        Min = least
        Max = greatest
    }

/// A minute of a machine with one disk, which knows these of its series.
let private minute (machine: (string * Spread) list) (disk: (string * Spread) list) : Rollup =
    let layout =
        { Layout.empty with
            Disks = [| "sda" |]
        }

    let spreads = Array.create (Series.slots layout) Spread.none

    for name, spread in machine do
        spreads[Series.slotOf name] <- spread

    for name, spread in disk do
        spreads[Series.firstOfDisk 0
                + Array.findIndex (fun (kind: SeriesKind) -> kind.Name = name) Series.disk] <- spread

    {
        Samples = 6
        Layout = layout
        Spreads = spreads
        Throttle = [||]
        LabelSeconds = Array.zeroCreate BottleneckLabel.All.Length
        Details = Array.create (Details.slots layout.Details) Spread.none
    }

let private at (text: string) =
    DateTimeOffset.Parse(text, Globalization.CultureInfo.InvariantCulture)

[<Tests>]
let tests =
    testList
        "Cluster export"
        [
            testCase "a machine goes by its host name where the cluster has that, else by its slug"
            <| fun () ->
                let there names =
                    Func<string, bool>(fun name -> List.contains name names)

                for hostname, names, expected in
                    [
                        "gpu-01.example", [], "gpu-01"
                        "gpu-01.example", [ "gpu-01" ], "gpu-01"
                        "gpu-01.example", [ "gpu-01.example" ], "gpu-01.example"
                        "gpu-01.example", [ "gpu-01"; "gpu-01.example" ], "gpu-01.example"
                        "", [ "" ], "gpu-01"
                    ] do
                    Expect.equal (ClusterRelay.instanceOf (registration hostname) (there names)) expected $"{hostname} of %A{names}"

                Expect.equal ClusterRelay.job "ai-dashboard-agent" "the job is that of the agent's own remote-write"

            testCase "an outbox takes a record that just fits, with its line end, and none that is a byte longer"
            <| fun () ->
                Expect.isTrue (ClusterRelay.hasRoom 1000L 899L 100) "899 + 100 + 1 = 1000"
                Expect.isFalse (ClusterRelay.hasRoom 1000L 899L 101) "1001"
                Expect.isTrue (ClusterRelay.hasRoom 1000L 0L 999) "999 + 1"
                Expect.isFalse (ClusterRelay.hasRoom 1000L 0L 1000) "1001 again"

                Expect.stringContains
                    (ClusterRelay.full (16L <<< 20) "/var/outbox")
                    "has the 16 MiB of --metrics-outbox-mebibytes in /var/outbox"
                    "said"

            testCase "four values have the minute's mean, and its least and greatest where four can have them"
            <| fun () ->
                // Of 10, 10, 40, 40 the mean is 25.
                Expect.equal (ClusterExport.valuesOf (spread 25.0 10.0 40.0)) [| 25.0; 10.0; 40.0; 25.0 |] "both"
                // One of six is 60, the others 0: a greatest of four with the mean 10 is 40 at most.
                Expect.equal (ClusterExport.valuesOf (spread 10.0 0.0 60.0)) [| 0.0; 0.0; 40.0; 0.0 |] "a peak too short"
                // One of six is 0, the others 60: the least of four with the mean 50 is 20 at least.
                Expect.equal (ClusterExport.valuesOf (spread 50.0 0.0 60.0)) [| 60.0; 20.0; 60.0; 60.0 |] "a gap too short"
                Expect.equal (ClusterExport.valuesOf (spread 7.0 7.0 7.0)) [| 7.0; 7.0; 7.0; 7.0 |] "no change"
                Expect.isTrue (ClusterExport.valuesOf Spread.none |> Array.forall Double.IsNaN) "nothing"

            testCase "counters grow by the minutes and go on in those of the first single sample"
            <| fun () ->
                let busy =
                    minute [ "network_rx_bytes_per_s", spread 100.0 0.0 300.0 ] [ "util_percent", spread 50.0 0.0 100.0 ]

                let counters = ExportCounters()
                counters.Foresee busy
                counters.Foresee busy

                let integers =
                    Schema.machine.Integers
                    |> Array.map (fun key -> if key = "network_rx_bytes_total" then 1_012_000L else -1L)

                let report: Report =
                    {
                        CollectedAt = at "2026-11-01T00:02:00Z"
                        Machine =
                            {
                                Decimals = Array.create Schema.machine.Decimals.Length nan
                                Integers = integers
                            }
                        Disks =
                            [|
                                {
                                    Device = "sda"
                                    Figures =
                                        {
                                            Decimals = Array.create Schema.disk.Decimals.Length nan
                                            // Restarted meanwhile: two minutes at 50 % are 60,000 ms, of which it shows 20,000.
                                            Integers =
                                                Schema.disk.Integers
                                                |> Array.map (fun key -> if key = "busy_time_ms_total" then 20_000L else -1L)
                                        }
                                }
                            |]
                        Gpus = [||]
                        Fans = [||]
                        Details = Array.create Details.all.Length [||]
                    }

                counters.Meet report

                let shown () =
                    counters.Value(MinuteGrowth.name "machine" "" "network_rx_bytes_total"),
                    counters.Value(MinuteGrowth.name "disks" "sda" "busy_time_ms_total")

                counters.Grow(busy, 60.0)
                // 1,012,000 less the 6,000 of the second minute; the disk's reset is still to come.
                Expect.equal (shown ()) (1_006_000.0, 30_000.0) "after the first"
                counters.Grow(busy, 60.0)
                Expect.equal (shown ()) (1_012_000.0, 20_000.0) "after the second it is where the sample begins"
                Expect.isTrue (Double.IsNaN(counters.Value(MinuteGrowth.name "machine" "" "tcp_segments_sent_total"))) "not known"

            testCase "a history that begins long ago has a note, one of the last month has none"
            <| fun () ->
                let now = at "2026-11-30T00:00:00Z"
                Expect.equal (ClusterExport.note now (now - TimeSpan.FromDays 31.0)) "" "31 days"
                Expect.stringContains (ClusterExport.note now (now.AddDays(-31.0).AddSeconds -1.0)) "-retentionPeriod" "a second more"
                Expect.equal (ClusterExport.note now DateTimeOffset.MaxValue) "" "no sample"

            testCase "why it ends is said with how to go on, and with the setting where the samples are too old"
            <| fun () ->
                let ended = ClusterExport.ended "gpu-01" (at "2026-11-01T12:00:00Z")

                Expect.equal
                    (ended "HTTP 401: no token.")
                    "--to: at gpu-01's sample of 2026-11-01T12:00:00Z: HTTP 401: no token. What was written before stays; `--server gpu-01 --from 2026-11-01T12:00:00Z` goes on there, and writing something twice does no harm"
                    "whole"

                for reason, isOld in
                    [
                        "HTTP 400: out of order sample", true
                        "HTTP 400: out of bounds", true
                        "HTTP 400: the sample has been rejected because its timestamp is too old", true
                        "HTTP 400: duplicate sample for timestamp", false
                        "HTTP 400: label name too long", false
                    ] do
                    Expect.equal ((ended reason).Contains "out_of_order_time_window") isOld reason

            testCase "the table has a row for each machine"
            <| fun () ->
                Expect.equal
                    (ClusterExport.table
                        [|
                            {
                                Machine = "gpu-01"
                                Samples = 1234L
                                From = at "2026-11-01T00:00:00Z"
                                To = at "2026-11-02T00:00:00Z"
                                Series = 412
                                Bytes = 5_000_000L
                                Refused = 3L
                            }
                            {
                                Machine = "b"
                                Samples = 0L
                                From = DateTimeOffset.UnixEpoch
                                To = DateTimeOffset.UnixEpoch
                                Series = 0
                                Bytes = 0L
                                Refused = 0L
                            }
                        |])
                    ("machine  samples  from                  to                    series    bytes  refused\n"
                     + "gpu-01      1234  2026-11-01T00:00:00Z  2026-11-02T00:00:00Z     412  5000000        3\n"
                     + "b              0  -                     -                          0        0        0\n")
                    "table"
        ]
