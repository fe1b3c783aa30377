module Agent.Core.Tests.DerivedTests

open System
open System.Globalization
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

/// A sample that knows nothing but when it was taken.
let sampleAt (seconds: float) : Sample =
    { Sample.Empty with
        CollectedAt = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero).AddSeconds seconds
    }

let private disk name reads readBytes writes writtenBytes busy : DiskStats.DiskCounters =
    {
        Device = name
        Reads = ValueSome reads
        ReadBytes = ValueSome readBytes
        Writes = ValueSome writes
        WrittenBytes = ValueSome writtenBytes
        BusyTime = ValueSome busy
        Detail = ValueNone
    }

let private withDisks seconds disks = { sampleAt seconds with Disks = disks }

let private withNetwork seconds received sent =
    { sampleAt seconds with
        NetworkReceived = ValueSome received
        NetworkSent = ValueSome sent
    }

let private gpu index utilization memoryUsed memoryTotal : Gpu =
    { Gpu.OfIndex index with
        Utilization = utilization
        MemoryTotal = memoryTotal
        MemoryUsed = memoryUsed
    }

let private still name : DiskRates =
    {
        Device = name
        Read = 0.0<B / s>
        Written = 0.0<B / s>
        ReadOps = 0.0< / s>
        WriteOps = 0.0< / s>
        Utilization = 0.0<percent>
    }

let private windowSample (side: string) =
    let uptime = want (Uptime.parse (ReadOnlySpan(bytes $"vm-2core-6.18/window/uptime.{side}")))

    let disks =
        want (
            DiskStats.parse (ReadOnlySpan(bytes $"vm-2core-6.18/window/diskstats.{side}"))
            |> Parsed.strict
        )

    withDisks (float uptime) (disks |> Array.filter (fun disk -> disk.Device = "vda"))

let private iostat (column: string) =
    let rows = words "vm-2core-6.18/window/iostat-x.txt"
    let header = rows |> Array.find (fun row -> row[0] = "Device")
    let row = rows |> Array.find (fun row -> row[0] = "vda")
    Double.Parse(row[Array.IndexOf(header, column)], CultureInfo.InvariantCulture)

[<Tests>]
let tests =
    testList
        "Derived"
        [
            testCase "over the captured window the rates are those of iostat"
            <| fun () ->
                let derived = Derived.from (ValueSome(windowSample "before")) (windowSample "after")
                // iostat divides by its own 5.00 s. The uptimes around it, which have steps of 10 ms, are 5.01 s apart:
                // 0.2 % and one step more make less than half a per cent.
                let close: Accuracy = { absolute = 0.0; relative = 0.005 }
                Expect.floatClose close (float derived.DiskReadOps) (iostat "r/s") "r/s"
                Expect.floatClose close (float derived.DiskRead) (iostat "rkB/s" * 1024.0) "rkB/s"
                Expect.floatClose close (float derived.DiskWriteOps) (iostat "w/s") "w/s"
                Expect.floatClose close (float derived.DiskWritten) (iostat "wkB/s" * 1024.0) "wkB/s"
                Expect.floatClose close (float derived.DiskUtilization) (iostat "%util") "%util"

            testCase "over the captured window, by hand"
            <| fun () ->
                let derived = Derived.from (ValueSome(windowSample "before")) (windowSample "after")
                // 960 writes, 491520 sectors and 376 ms in 5.01 s
                let close = Accuracy.medium
                Expect.floatClose close (float derived.DiskWriteOps) 191.6167665 "960 / 5.01"
                Expect.floatClose close (float derived.DiskWritten) 50231185.63 "251658240 / 5.01"
                Expect.floatClose close (float derived.DiskUtilization) 7.50499 "376 / 5010"

            testCase "the first sample has no interval and no rates"
            <| fun () ->
                let derived =
                    Derived.from
                        ValueNone
                        { withNetwork 0.0 1000UL<B> 1000UL<B> with
                            Disks = [| disk "sda" 10UL 20UL<B> 30UL 40UL<B> 50UL<ms> |]
                        }

                Expect.equal derived.Interval ValueNone "interval"
                Expect.equal derived.Disks [| still "sda" |] "the disk is there and does nothing"
                Expect.equal (derived.NetworkReceived, derived.NetworkSent) (0.0<B / s>, 0.0<B / s>) "network"

            testCase "each rate is its counter's growth by the interval"
            <| fun () ->
                let derived =
                    Derived.from
                        (ValueSome(withDisks 0.0 [| disk "sda" 10UL 1000UL<B> 20UL 2000UL<B> 100UL<ms> |]))
                        (withDisks 4.0 [| disk "sda" 18UL 5000UL<B> 36UL 10000UL<B> 1100UL<ms> |])

                Expect.equal derived.Interval (ValueSome 4.0<s>) "interval"

                Expect.equal
                    derived.Disks
                    [|
                        {
                            Device = "sda"
                            Read = 1000.0<B / s>
                            Written = 2000.0<B / s>
                            ReadOps = 2.0< / s>
                            WriteOps = 4.0< / s>
                            Utilization = 25.0<percent>
                        }
                    |]
                    "4000 B, 8000 B, 8, 16 and 1000 ms in 4 s"

            testCase "equal and older instants give no interval and no rates"
            <| fun () ->
                let before =
                    { withNetwork 10.0 0UL<B> 0UL<B> with
                        Disks = [| disk "sda" 0UL 0UL<B> 0UL 0UL<B> 0UL<ms> |]
                    }

                for seconds in [ 10.0; 9.0 ] do
                    let derived =
                        Derived.from
                            (ValueSome before)
                            { withNetwork seconds 500UL<B> 500UL<B> with
                                Disks = [| disk "sda" 9UL 9UL<B> 9UL 9UL<B> 9UL<ms> |]
                            }

                    Expect.equal derived.Interval ValueNone "interval"
                    Expect.equal derived.Disks [| still "sda" |] "disk"
                    Expect.equal (derived.NetworkReceived, derived.NetworkSent) (0.0<B / s>, 0.0<B / s>) "network"

            testCase "a microsecond is an interval"
            <| fun () ->
                let derived =
                    Derived.from (ValueSome(withNetwork 0.0 0UL<B> 0UL<B>)) (withNetwork 0.000001 3UL<B> 0UL<B>)

                Expect.floatClose Accuracy.high (float derived.NetworkReceived) 3000000.0 "3 B in 1 µs"

            testCase "each counter that goes backwards counts 0 by itself"
            <| fun () ->
                let derived =
                    Derived.from
                        (ValueSome(withDisks 0.0 [| disk "sda" 10UL 1000UL<B> 20UL 4294967295UL<B> 100UL<ms> |]))
                        (withDisks 2.0 [| disk "sda" 8UL 3000UL<B> 24UL 7UL<B> 99UL<ms> |])

                Expect.equal
                    derived.Disks
                    [|
                        { still "sda" with
                            Read = 1000.0<B / s>
                            WriteOps = 2.0< / s>
                        }
                    |]
                    "the two that grew"

            testCase "a network counter that goes backwards counts 0 by itself"
            <| fun () ->
                let derived =
                    Derived.from (ValueSome(withNetwork 0.0 1000UL<B> 1000UL<B>)) (withNetwork 2.0 0UL<B> 1500UL<B>)

                Expect.equal (derived.NetworkReceived, derived.NetworkSent) (0.0<B / s>, 250.0<B / s>) "network"

            testCase "a network that was unknown before or is unknown now has no rate"
            <| fun () ->
                let known = withNetwork 0.0 1000UL<B> 1000UL<B>
                Expect.equal (Derived.from (ValueSome known) (sampleAt 1.0)).NetworkReceived 0.0<B / s> "now"
                Expect.equal (Derived.from (ValueSome(sampleAt -1.0)) known).NetworkSent 0.0<B / s> "before"

            testCase "a disk that the sample before did not have does nothing yet"
            <| fun () ->
                let derived =
                    Derived.from
                        (ValueSome(withDisks 0.0 [| disk "sda" 0UL 0UL<B> 0UL 0UL<B> 0UL<ms> |]))
                        (withDisks
                            1.0
                            [|
                                disk "sdb" 9UL 9UL<B> 9UL 9UL<B> 9UL<ms>
                                disk "sda" 1UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                            |])

                Expect.equal derived.Disks [| still "sdb"; { still "sda" with ReadOps = 1.0< / s> } |] "in the sample's order"

            testCase "a disk is compared with itself, wherever it stood before"
            <| fun () ->
                let derived =
                    Derived.from
                        (ValueSome(
                            withDisks
                                0.0
                                [|
                                    disk "sda" 100UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                                    disk "sdb" 200UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                                |]
                        ))
                        (withDisks
                            1.0
                            [|
                                disk "sdb" 207UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                                disk "sda" 103UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                            |])

                Expect.equal (derived.Disks |> Array.map (fun disk -> disk.ReadOps)) [| 7.0< / s>; 3.0< / s> |] "sdb, sda"

            testCase "utilisation stops at 100"
            <| fun () ->
                let derived =
                    Derived.from
                        (ValueSome(withDisks 0.0 [| disk "sda" 0UL 0UL<B> 0UL 0UL<B> 0UL<ms> |]))
                        (withDisks 1.0 [| disk "sda" 0UL 0UL<B> 0UL 0UL<B> 1004UL<ms> |])

                Expect.equal derived.DiskUtilization 100.0<percent> "1004 ms in 1000"

            testCase "a disk without busy time has no utilisation and keeps its other rates"
            <| fun () ->
                let partition reads : DiskStats.DiskCounters =
                    { disk "hda1" reads 0UL<B> 0UL 0UL<B> 0UL<ms> with
                        BusyTime = ValueNone
                        Detail = ValueNone
                    }

                let derived =
                    Derived.from (ValueSome(withDisks 0.0 [| partition 1UL |])) (withDisks 1.0 [| partition 6UL |])

                Expect.equal
                    derived.Disks
                    [|
                        { still "hda1" with
                            ReadOps = 5.0< / s>
                        }
                    |]
                    "rates"

            testCase "a disk that begins to be counted, or is not any more, has no rates in between"
            <| fun () ->
                let counted = disk "sdk" 7_000UL 900_000_000UL<B> 50UL 1UL<B> 33UL<ms>

                let off =
                    { counted with
                        Reads = ValueNone
                        ReadBytes = ValueNone
                        Writes = ValueNone
                        WrittenBytes = ValueNone
                        BusyTime = ValueNone
                    }

                for before, after in [ off, counted; counted, off; off, off ] do
                    let derived = Derived.from (ValueSome(withDisks 0.0 [| before |])) (withDisks 1.0 [| after |])

                    Expect.equal derived.Disks [| still "sdk" |] "900 MB did not flow in a second"

            testCase "disk rates add up; utilisation is the greatest and the mean"
            <| fun () ->
                let derived =
                    Derived.from
                        (ValueSome(
                            withDisks
                                0.0
                                [|
                                    disk "sda" 0UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                                    disk "sdb" 0UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                                    disk "sdc" 0UL 0UL<B> 0UL 0UL<B> 0UL<ms>
                                |]
                        ))
                        (withDisks
                            1.0
                            [|
                                disk "sda" 1UL 10UL<B> 100UL 1000UL<B> 200UL<ms>
                                disk "sdb" 2UL 20UL<B> 200UL 2000UL<B> 700UL<ms>
                                disk "sdc" 4UL 40UL<B> 400UL 4000UL<B> 0UL<ms>
                            |])

                Expect.equal (derived.DiskReadOps, derived.DiskRead) (7.0< / s>, 70.0<B / s>) "reads"
                Expect.equal (derived.DiskWriteOps, derived.DiskWritten) (700.0< / s>, 7000.0<B / s>) "writes"
                Expect.equal derived.DiskUtilization 70.0<percent> "the greatest"
                Expect.floatClose Accuracy.high (float derived.DiskUtilizationMean) 30.0 "the mean of 20, 70 and 0"

            testCase "without disks everything of disks is 0"
            <| fun () ->
                let derived = Derived.from (ValueSome(sampleAt 0.0)) (sampleAt 1.0)
                Expect.equal derived.Disks [||] "disks"
                Expect.equal (derived.DiskRead, derived.DiskWritten) (0.0<B / s>, 0.0<B / s>) "rates"
                Expect.equal (derived.DiskUtilization, derived.DiskUtilizationMean) (0.0<percent>, 0.0<percent>) "utilisation"

            testCase "GPU roll-ups are over those that tell, one figure at a time"
            <| fun () ->
                let derived =
                    Derived.from
                        ValueNone
                        { sampleAt 0.0 with
                            Gpus =
                                [|
                                    gpu 0 (ValueSome 90.0<percent>) ValueNone (ValueSome 100UL<B>)
                                    gpu 1 ValueNone (ValueSome 50UL<B>) (ValueSome 100UL<B>)
                                    gpu 2 (ValueSome 20.0<percent>) (ValueSome 150UL<B>) (ValueSome 200UL<B>)
                                |]
                        }

                Expect.equal derived.TopGpuUtilization (ValueSome 90.0<percent>) "top utilisation"
                Expect.equal derived.MeanGpuUtilization (ValueSome 55.0<percent>) "mean of 90 and 20"
                Expect.equal derived.TopGpuMemory (ValueSome 75.0<percent>) "top memory"
                Expect.equal derived.MeanGpuMemory (ValueSome 62.5<percent>) "mean of 50 and 75"

            testCase "GPUs that tell nothing, and none at all, leave the roll-ups unknown"
            <| fun () ->
                for gpus in [ [||]; [| gpu 0 ValueNone ValueNone ValueNone |] ] do
                    let derived = Derived.from ValueNone { sampleAt 0.0 with Gpus = gpus }
                    Expect.equal (derived.TopGpuUtilization, derived.MeanGpuUtilization) (ValueNone, ValueNone) "utilisation"
                    Expect.equal (derived.TopGpuMemory, derived.MeanGpuMemory) (ValueNone, ValueNone) "memory"

            testCase "a GPU that does nothing is 0, not unknown"
            <| fun () ->
                let derived =
                    Derived.from
                        ValueNone
                        { sampleAt 0.0 with
                            Gpus = [| gpu 0 (ValueSome 0.0<percent>) ValueNone ValueNone |]
                        }

                Expect.equal derived.TopGpuUtilization (ValueSome 0.0<percent>) "0"

            testCase "fans: the fastest and the mean"
            <| fun () ->
                let fans: Hwmon.Fan[] =
                    [|
                        { Label = "a"; Speed = 1000<rpm> }
                        { Label = "b"; Speed = 0<rpm> }
                        { Label = "c"; Speed = 2500<rpm> }
                    |]

                let derived = Derived.from ValueNone { sampleAt 0.0 with Fans = fans }
                Expect.equal derived.FastestFan (ValueSome 2500.0<rpm>) "fastest"
                Expect.floatClose Accuracy.high (derived.MeanFan |> ValueOption.map float |> ValueOption.get) 1166.666666667 "mean of three"

            testCase "without fans there is no fastest"
            <| fun () ->
                let derived = Derived.from ValueNone (sampleAt 0.0)
                Expect.equal (derived.FastestFan, derived.MeanFan) (ValueNone, ValueNone) "unknown"
        ]
