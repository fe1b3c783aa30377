module Agent.Core.Tests.CpuUsageTests

open System
open System.Globalization
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private stat (name: string) =
    want (Stat.parse (ReadOnlySpan(bytes name)) |> Parsed.strict)

/// A text whose garbled lines are passed over.
let private linesOf (text: string) =
    (want (Stat.parse (ReadOnlySpan(utf8 text)))).Value

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
                let usage = CpuUsage.between before.Total.Value after.Total.Value
                let said = mpstat "all"
                Expect.floatClose close (float usage.User) said[0] "user"
                Expect.floatClose close (float usage.System) said[2] "system"
                Expect.floatClose close (float usage.Iowait) said[3] "iowait"
                Expect.floatClose close (float usage.Steal) said[6] "steal"
                Expect.floatClose close (float usage.Busy) (100.0 - said[9] - said[3]) "busy is neither idle nor iowait"

                let cores = CpuUsage.cores ValueNone (ValueSome before) after
                Expect.hasLength cores 2 "CPUs"

                for cpu in 0..1 do
                    let said = mpstat (string cpu)
                    Expect.floatClose close (float cores[cpu].Value) (100.0 - said[9] - said[3]) $"cpu{cpu}"

            testCase "over the captured window, by hand"
            <| fun () ->
                let before = stat "vm-2core-6.18/window/stat.before"
                let after = stat "vm-2core-6.18/window/stat.after"
                let usage = CpuUsage.between before.Total.Value after.Total.Value
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

            testCase "a CPU that was plugged in has no share yet, and its neighbours keep their own past"
            <| fun () ->
                let cores =
                    CpuUsage.cores ValueNone (ValueSome(stat "hotplug/before/proc/stat")) (stat "hotplug/after/proc/stat")

                // cpu0: 75 of 100; cpu2: 95 of 200
                Expect.equal cores [| ValueSome 75.0<percent>; ValueNone; ValueSome 47.5<percent> |] "cpu0, cpu1, cpu2"

            testCase "while a CPU comes or goes the usage is that of the others"
            <| fun () ->
                let before, after = stat "hotplug/before/proc/stat", stat "hotplug/after/proc/stat"
                // cpu0 and cpu2: 75 + 95 of 100 + 200; the line of all says 210 of 400
                Expect.floatClose Accuracy.high (float (CpuUsage.since ValueNone before after).Value.Busy) 56.666666666666664 "170 of 300"

                let less =
                    { after with
                        Cpus = Array.removeAt 1 after.Cpus
                        Total = ValueSome(idleFor 5UL<tick>)
                    }

                // cpu1 went; the other two did nothing at all
                Expect.equal (CpuUsage.since ValueNone after less).Value.Busy 0.0<percent> "cpu0 and cpu2"

            testCase "a CPU that was unplugged is no longer told"
            <| fun () ->
                let before = stat "hotplug/after/proc/stat"

                let after =
                    { before with
                        Cpus = [| before.Cpus[2] |]
                    }

                Expect.equal (CpuUsage.cores ValueNone (ValueSome before) after) [| ValueSome 0.0<percent> |] "cpu2 did nothing"

            testCase "without an earlier reading every CPU counts since boot"
            <| fun () ->
                Expect.equal
                    (CpuUsage.cores ValueNone ValueNone (stat "hotplug/before/proc/stat"))
                    [| ValueSome 15.0<percent>; ValueSome 15.0<percent> |]
                    "1500 of 10000"

            testCase "a CPU that comes back with its idle time reset has no share, and the machine that of the other"
            <| fun () ->
                // Both did 20 of 100; the idle time of cpu1 began anew, and with it that of the line of all fell.
                let before = linesOf "cpu  200 0 0 90000 0\ncpu0 100 0 0 45000 0\ncpu1 100 0 0 45000 0\nctxt 1\n"
                let after = linesOf "cpu  240 0 0 45160 0\ncpu0 120 0 0 45080 0\ncpu1 120 0 0 80 0\nctxt 1\n"
                Expect.equal (CpuUsage.cores ValueNone (ValueSome before) after) [| ValueSome 20.0<percent>; ValueNone |] "cores"
                Expect.equal (CpuUsage.since ValueNone before after).Value.Busy 20.0<percent> "20 of 100"

            testCase "the only CPU coming back leaves the usage unknown"
            <| fun () ->
                let before = linesOf "cpu  100 0 0 45000 0\ncpu0 100 0 0 45000 0\nctxt 1\n"
                let after = linesOf "cpu  120 0 0 80 0\ncpu0 120 0 0 80 0\nctxt 1\n"
                Expect.isTrue (CpuUsage.since ValueNone before after).IsNone "unknown, neither 0 nor 100"

            testCase "a machine that was moved, whose steal time falls, has no usage for that interval"
            <| fun () ->
                let before = linesOf "cpu  100 0 0 900 0 0 0 50\ncpu0 100 0 0 900 0 0 0 50\nctxt 1\n"
                let after = linesOf "cpu  110 0 0 990 0 0 0 3\ncpu0 110 0 0 990 0 0 0 3\nctxt 1\n"
                Expect.isTrue (CpuUsage.since ValueNone before after).IsNone "unknown"

            testCase "a CPU without a tick, whose system time falls by one while it works, is not left out"
            <| fun () ->
                let before =
                    linesOf "cpu  2000 0 200 18000 10\ncpu0 1000 0 100 9000 5\ncpu1 1000 0 100 9000 5\nctxt 1\n"

                let after = linesOf "cpu  2110 0 200 18090 10\ncpu0 1010 0 101 9090 5\ncpu1 1100 0 99 9000 5\nctxt 1\n"

                Expect.floatClose Accuracy.high (float (CpuUsage.since ValueNone before after).Value.Busy) 55.0 "110 of 200"

                Expect.equal
                    (CpuUsage.cores ValueNone (ValueSome before) after
                     |> Array.map (ValueOption.map (float >> round)))
                    [| ValueSome 11.0; ValueSome 100.0 |]
                    "11 of 101, and all"

            testCase "each counter may fall by two ticks, which count as none; three are a reset"
            <| fun () ->
                let times idle iowait user =
                    { idleFor idle with
                        Iowait = iowait
                        User = user
                    }

                let before = times 100UL<tick> 50UL<tick> 10UL<tick>
                Expect.isTrue (CpuUsage.isContinued before (times 98UL<tick> 50UL<tick> 10UL<tick>)) "idle, two"
                Expect.isFalse (CpuUsage.isContinued before (times 97UL<tick> 50UL<tick> 10UL<tick>)) "idle, three"
                Expect.isTrue (CpuUsage.isContinued before (times 100UL<tick> 48UL<tick> 10UL<tick>)) "iowait, two"
                Expect.isFalse (CpuUsage.isContinued before (times 98UL<tick> 47UL<tick> 10UL<tick>)) "iowait, three while idle falls"
                Expect.isTrue (CpuUsage.isContinued before (times 200UL<tick> 50UL<tick> 8UL<tick>)) "user, two"
                Expect.isFalse (CpuUsage.isContinued before (times 200UL<tick> 50UL<tick> 7UL<tick>)) "user, three"

                // cpu0 did 100 ticks of work while its idle time fell by one; cpu1 slept.
                let lines = linesOf "cpu  2000 0 200 17800\ncpu0 1000 0 100 8900\ncpu1 1000 0 100 8900\nctxt 1\n"
                let later = linesOf "cpu  2100 0 200 17899\ncpu0 1100 0 100 8899\ncpu1 1000 0 100 9000\nctxt 1\n"

                Expect.equal
                    (CpuUsage.cores ValueNone (ValueSome lines) later)
                    [| ValueSome 100.0<percent>; ValueSome 0.0<percent> |]
                    "cores"

                Expect.floatClose
                    Accuracy.high
                    (float (CpuUsage.since ValueNone lines later).Value.Busy)
                    (100.0 / 199.0 * 100.0)
                    "100 of 199"

            testCase "iowait may fall by as much as idle grew and one tick"
            <| fun () ->
                let before =
                    { idleFor 100UL<tick> with
                        Iowait = 50UL<tick>
                    }

                let after iowait =
                    { idleFor 120UL<tick> with
                        Iowait = iowait
                    }

                Expect.isTrue (CpuUsage.isContinued before (after 29UL<tick>)) "21 with 20 of idle"
                Expect.isFalse (CpuUsage.isContinued before (after 28UL<tick>)) "22 with 20 of idle"

            testCase "without a line of all CPUs their sum counts, since boot too"
            <| fun () ->
                let before = linesOf "cpu  ?\ncpu0 10 0 0 90\ncpu1 30 0 0 70\nctxt 1\n"
                let after = linesOf "cpu  ?\ncpu0 20 0 0 180\ncpu1 60 0 0 140\nctxt 1\n"
                Expect.equal (CpuUsage.since ValueNone before after).Value.Busy 20.0<percent> "40 of 200"
                Expect.equal (CpuUsage.untilNow ValueNone before).Value.Busy 20.0<percent> "40 of 200"

            testCase "a CPU that leaps by more than the time that passed has no share, and the machine that of the others"
            <| fun () ->
                let lines user1 iowait0 =
                    linesOf $"cpu  {200UL + user1} 0 0 1800 {iowait0}\ncpu0 100 0 0 900 {iowait0}\ncpu1 {user1} 0 0 900 0\nctxt 1\n"

                let before = linesOf "cpu  300 0 0 1600 0\ncpu0 80 0 0 820 0\ncpu1 90 0 0 810 0\nctxt 1\n"

                for leapt in [ lines 18446744073709551600UL 0UL; lines 700000000UL 0UL ] do
                    Expect.equal
                        (CpuUsage.cores (ValueSome 1.0<s>) (ValueSome before) leapt)
                        [| ValueSome 20.0<percent>; ValueNone |]
                        "cpu1's user time leapt"

                    Expect.equal (CpuUsage.since (ValueSome 1.0<s>) before leapt).Value.Busy 20.0<percent> "20 of 100, of cpu0"

                let waits = lines 95UL 18446744073709551615UL
                let cores = CpuUsage.cores (ValueSome 1.0<s>) (ValueSome before) waits
                Expect.equal cores[0] ValueNone "cpu0 has waited for more than the age of the universe"

                Expect.floatClose
                    Accuracy.high
                    (float (CpuUsage.since (ValueSome 1.0<s>) before waits).Value.Busy)
                    (5.0 / 95.0 * 100.0)
                    "cpu1"

            testCase "a CPU may account for twice the time that passed and ten seconds, no more"
            <| fun () ->
                let grown ticks =
                    linesOf "cpu  0 0 0 0\ncpu0 0 0 0 0\nctxt 1\n", linesOf $"cpu  {ticks} 0 0 0\ncpu0 {ticks} 0 0 0\nctxt 1\n"

                let isKnown elapsed ticks =
                    let before, after = grown ticks

                    (CpuUsage.since elapsed before after).IsSome,
                    (Array.head (CpuUsage.cores elapsed (ValueSome before) after)).IsSome,
                    (CpuUsage.untilNow elapsed after).IsSome,
                    (Array.head (CpuUsage.cores elapsed ValueNone after)).IsSome

                let all, none = (true, true, true, true), (false, false, false, false)
                Expect.equal (isKnown (ValueSome 5.0<s>) 2000) all "20 s in 5 s"
                Expect.equal (isKnown (ValueSome 5.0<s>) 2001) none "a tick more"
                Expect.equal (isKnown (ValueSome 0.0<s>) 9_999_999) all "no time passed: the clock was set"
                Expect.equal (isKnown (ValueSome -3.0<s>) 9_999_999) all "nor less"
                Expect.equal (isKnown ValueNone 9_999_999) all "nobody knows how much"

            testCase "the line of all CPUs may grow by what its CPUs may, and alone by what 8,192 may"
            <| fun () ->
                let busy before after =
                    (CpuUsage.since (ValueSome 5.0<s>) (linesOf before) (linesOf after))
                    |> ValueOption.map _.Busy

                let two total =
                    busy
                        "cpu  0 0 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\nctxt 1\n"
                        $"cpu  {total} 0 0 0\ncpu0 10 0 0 30\ncpu1 10 0 0 30\nctxt 1\n"

                Expect.equal (two 4000) (ValueSome 100.0<percent>) "two CPUs"
                Expect.equal (two 4001) (ValueSome 25.0<percent>) "else their sum, 20 of 80"

                let alone total =
                    busy "cpu  0 0 0 0\nctxt 1\n" $"cpu  {total} 0 0 0\nctxt 1\n"

                Expect.equal (alone 16_384_000) (ValueSome 100.0<percent>) "alone"
                Expect.equal (alone 16_384_001) ValueNone "a tick more"

            testCase "with the line of all CPUs alone it counts"
            <| fun () ->
                let before, after = linesOf "cpu  10 0 0 90\nctxt 1\n", linesOf "cpu  20 0 0 130\nctxt 1\n"
                Expect.equal (CpuUsage.since ValueNone before after).Value.Busy 20.0<percent> "10 of 50"
        ]
