module Agent.Tests.CpuUsageTests

open System
open System.Globalization
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Tests.Fixtures
open Expecto

let private stat (name: string) =
    want (Stat.parse (ReadOnlySpan(bytes name)) |> Parsed.strict)

let private idleFor ticks : Stat.CpuTimes =
    { CpuUsage.sinceBoot with Idle = ticks }

/// The figures of mpstat's average for `all`, `0` or `1`: usr, nice, sys, iowait, irq, soft, steal, guest, gnice, idle.
let private mpstat (cpu: string) =
    words "vm-2core-6.18/window/mpstat.txt"
    |> Array.find (fun row -> row[0] = "Average:" && row[1] = cpu)
    |> Array.skip 2
    |> Array.map (fun word -> Double.Parse(word, CultureInfo.InvariantCulture))

// /proc/stat was read by cat just before and just after mpstat's own two readings, a few ticks of 600 apart.
let private close: Accuracy = { absolute = 1.0; relative = 0.0 }

[<Tests>]
let tests =
    testList
        "CpuUsage"
        [
            testCase "over the captured window it says what mpstat says"
            <| fun () ->
                let before = stat "vm-2core-6.18/window/stat.before"
                let after = stat "vm-2core-6.18/window/stat.after"
                let usage = CpuUsage.between before.Total after.Total
                let said = mpstat "all"
                Expect.floatClose close (float usage.User) said[0] "user"
                Expect.floatClose close (float usage.System) said[2] "system"
                Expect.floatClose close (float usage.Iowait) said[3] "iowait"
                Expect.floatClose close (float usage.Steal) said[6] "steal"
                Expect.floatClose close (float usage.Busy) (100.0 - said[9] - said[3]) "busy is neither idle nor iowait"

                let cores = CpuUsage.cores (ValueSome before) after
                Expect.hasLength cores 2 "CPUs"

                for cpu in 0..1 do
                    let said = mpstat (string cpu)
                    Expect.floatClose close (float cores[cpu]) (100.0 - said[9] - said[3]) $"cpu{cpu}"

            testCase "over the captured window, by hand"
            <| fun () ->
                let before = stat "vm-2core-6.18/window/stat.before"
                let after = stat "vm-2core-6.18/window/stat.after"
                let usage = CpuUsage.between before.Total after.Total
                // user 254, system 17, idle 279, iowait 1, softirq 1, steal 109: 661 ticks, 381 of them busy
                Expect.floatClose Accuracy.high (float usage.Busy) 57.639939485627835 "381 / 661"
                Expect.floatClose Accuracy.high (float usage.User) 38.426626323751890 "254 / 661"
                Expect.floatClose Accuracy.high (float usage.System) 2.571860816944024 "17 / 661"
                Expect.floatClose Accuracy.high (float usage.Iowait) 0.151285930408472 "1 / 661"
                Expect.floatClose Accuracy.high (float usage.Steal) 16.490166414523450 "109 / 661"

            testCase "every column but idle and iowait is busy"
            <| fun () ->
                let usage =
                    CpuUsage.between
                        CpuUsage.sinceBoot
                        {
                            User = 10UL<tick>
                            Nice = 5UL<tick>
                            System = 20UL<tick>
                            Idle = 40UL<tick>
                            Iowait = 10UL<tick>
                            Irq = 3UL<tick>
                            Softirq = 4UL<tick>
                            Steal = 8UL<tick>
                            Guest = 9UL<tick>
                            GuestNice = 5UL<tick>
                        }

                Expect.equal usage.Busy 50.0<percent> "guest time is inside user and nice"
                Expect.equal usage.User 10.0<percent> "user without nice"
                Expect.equal usage.System 20.0<percent> "system without interrupts"
                Expect.equal usage.Iowait 10.0<percent> "iowait"
                Expect.equal usage.Steal 8.0<percent> "steal"

            testCase "iowait that goes backwards counts 0"
            <| fun () ->
                let before =
                    { idleFor 100UL<tick> with
                        Iowait = 50UL<tick>
                    }

                let after =
                    { idleFor 175UL<tick> with
                        Iowait = 10UL<tick>
                        User = 25UL<tick>
                    }

                let usage = CpuUsage.between before after
                Expect.equal usage.Iowait 0.0<percent> "iowait"
                Expect.equal usage.Busy 25.0<percent> "25 of 25 + 75"

            testCase "idle that goes backwards counts 0"
            <| fun () ->
                let usage =
                    CpuUsage.between
                        (idleFor 100UL<tick>)
                        { idleFor 40UL<tick> with
                            User = 30UL<tick>
                            Iowait = 10UL<tick>
                        }

                Expect.equal usage.Busy 75.0<percent> "30 of 30 + 10"

            testCase "no time at all is 0 everywhere"
            <| fun () ->
                let usage = CpuUsage.between (idleFor 100UL<tick>) (idleFor 100UL<tick>)

                Expect.equal
                    [ usage.Busy; usage.User; usage.System; usage.Iowait; usage.Steal ]
                    [ 0.0<percent>; 0.0<percent>; 0.0<percent>; 0.0<percent>; 0.0<percent> ]
                    "zero"

            testCase "counters near 2^64 keep their difference"
            <| fun () ->
                let usage =
                    CpuUsage.between
                        { idleFor 18446744073709551000UL<tick> with
                            User = 18446744073709551000UL<tick>
                        }
                        { idleFor 18446744073709551300UL<tick> with
                            User = 18446744073709551100UL<tick>
                        }

                Expect.equal usage.Busy 25.0<percent> "100 of 400"

            testCase "a CPU that was plugged in counts since it came up, and its neighbours keep their own past"
            <| fun () ->
                let cores = CpuUsage.cores (ValueSome(stat "hotplug/before/proc/stat")) (stat "hotplug/after/proc/stat")

                // cpu0: 75 of 100; cpu1: 40 of 100 since it came up; cpu2: 95 of 200
                Expect.equal cores [| 75.0<percent>; 40.0<percent>; 47.5<percent> |] "cpu0, cpu1, cpu2"

            testCase "a CPU that was unplugged is no longer told"
            <| fun () ->
                let before = stat "hotplug/after/proc/stat"

                let after =
                    { before with
                        Cpus = [| before.Cpus[2] |]
                    }

                Expect.equal (CpuUsage.cores (ValueSome before) after) [| 0.0<percent> |] "cpu2 did nothing"

            testCase "without an earlier reading every CPU counts since boot"
            <| fun () ->
                Expect.equal (CpuUsage.cores ValueNone (stat "hotplug/before/proc/stat")) [| 15.0<percent>; 15.0<percent> |] "1500 of 10000"
        ]
