module Agent.Core.Tests.Proc.StatTests

open System
open System.Text
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    Stat.parse (ReadOnlySpan text) |> Parsed.strict

let private times columns : Stat.CpuTimes =
    match columns with
    | [ user; nice; system; idle; iowait; irq; softirq; steal; guest; guestNice ] ->
        {
            User = user
            Nice = nice
            System = system
            Idle = idle
            Iowait = iowait
            Irq = irq
            Softirq = softirq
            Steal = steal
            Guest = guest
            GuestNice = guestNice
        }
    | _ -> failtest "ten columns"

let private wantParsed (text: string) =
    want (Stat.parse (ReadOnlySpan(utf8 text)))

[<Tests>]
let tests =
    testList
        "Proc.Stat"
        [
            testCase "the captured text gives its ten columns, both CPUs and the boot time"
            <| fun () ->
                let stat = want (parse (bytes "vm-2core-6.18/first/proc/stat"))

                Expect.equal
                    stat.Total.Value
                    (times
                        [
                            8650UL<tick>
                            0UL<tick>
                            3158UL<tick>
                            335639UL<tick>
                            2589UL<tick>
                            0UL<tick>
                            77UL<tick>
                            894UL<tick>
                            0UL<tick>
                            0UL<tick>
                        ])
                    "all CPUs"

                Expect.equal (stat.Cpus |> Array.map (fun cpu -> cpu.Id)) [| 0; 1 |] "ids"

                Expect.equal
                    stat.Cpus[1].Times.Value
                    (times
                        [
                            5424UL<tick>
                            0UL<tick>
                            2048UL<tick>
                            164899UL<tick>
                            2541UL<tick>
                            0UL<tick>
                            65UL<tick>
                            459UL<tick>
                            0UL<tick>
                            0UL<tick>
                        ])
                    "cpu1"

                Expect.equal stat.BootTime (ValueSome 1795471888L<s>) "btime"
                Expect.equal stat.Interrupts (ValueSome 243571UL) "intr"
                Expect.equal stat.ContextSwitches (ValueSome 459387UL) "ctxt"
                Expect.equal stat.Forks (ValueSome 5653UL) "processes"
                Expect.equal stat.Running (ValueSome 1UL) "procs_running"
                Expect.equal stat.Blocked (ValueSome 0UL) "procs_blocked"

            testCase "four columns of kernel 2.4 leave the six others at 0"
            <| fun () ->
                let stat = want (parse (bytes "kernel-2.4/proc/stat"))

                Expect.equal
                    stat.Total.Value
                    (times
                        [
                            153213UL<tick>
                            2894UL<tick>
                            60117UL<tick>
                            9382170UL<tick>
                            0UL<tick>
                            0UL<tick>
                            0UL<tick>
                            0UL<tick>
                            0UL<tick>
                            0UL<tick>
                        ])
                    "all CPUs"

                Expect.equal stat.Cpus.Length 2 "CPUs"
                Expect.equal stat.BootTime (ValueSome 1062191376L<s>) "btime"

            testCase "seven columns of kernel 2.6 end with softirq"
            <| fun () ->
                let stat = want (parse (bytes "kernel-2.6/proc/stat"))

                Expect.equal
                    stat.Cpus[0].Times.Value
                    (times
                        [
                            1393280UL<tick>
                            32966UL<tick>
                            572056UL<tick>
                            13343292UL<tick>
                            6130UL<tick>
                            0UL<tick>
                            17875UL<tick>
                            0UL<tick>
                            0UL<tick>
                            0UL<tick>
                        ])
                    "cpu0"

            testCase "ten columns of kernel 4.18 hold steal, guest and guest_nice in this order"
            <| fun () ->
                let stat = want (parse (bytes "kernel-4.18/proc/stat"))

                Expect.equal
                    (stat.Total.Value.Softirq, stat.Total.Value.Steal, stat.Total.Value.Guest, stat.Total.Value.GuestNice)
                    (912UL<tick>, 77UL<tick>, 300UL<tick>, 12UL<tick>)
                    "the last four"

                Expect.equal stat.Cpus.Length 4 "CPUs"

            testCase "columns that a later kernel adds are ignored"
            <| fun () ->
                let stat = want (parse "cpu  1 2 3 4 5 6 7 8 9 10 11 twelve\ncpu0 1 2 3 4 5 6 7 8 9 10 11\nctxt 1\n"B)
                Expect.equal (stat.Total.Value.GuestNice, stat.Cpus.Length) (10UL<tick>, 1) "guest_nice and CPUs"

            testCase "CPUs that are off-line leave gaps in the numbers"
            <| fun () ->
                let stat = want (parse (bytes "hotplug/before/proc/stat"))
                Expect.equal (stat.Cpus |> Array.map (fun cpu -> cpu.Id)) [| 0; 2 |] "ids"

            testCase "a machine of 256 CPUs keeps every line"
            <| fun () ->
                let text = StringBuilder "cpu  512 0 256 131072 0 0 0 0 0 0\n"

                for n in 0..255 do
                    text.Append($"cpu{n} 2 0 1 {n} 0 0 0 0 0 0\n") |> ignore

                let stat = want (parse (utf8 (string (text.Append "ctxt 1\nbtime 1700000000\n"))))
                Expect.equal stat.Cpus.Length 256 "CPUs"
                Expect.equal (stat.Cpus[255].Id, stat.Cpus[255].Times.Value.Idle) (255, 255UL<tick>) "the last CPU"

            testCase "a boot time of 0 is none, as some sandboxes say it; one before 1970 is garbled"
            <| fun () ->
                let bootTime (text: string) =
                    (want (parse (utf8 $"cpu  1 2 3 4\ncpu0 1 2 3 4\nbtime {text}\n"))).BootTime

                Expect.equal (bootTime "0") ValueNone "0"
                Expect.equal (bootTime "1") (ValueSome 1L<s>) "1"
                Expect.equal (located (parse "cpu  1 2 3 4\ncpu0 1 2 3 4\nbtime -1\n"B)) ("/proc/stat", 3, "btime", "-1") "-1"

            testCase "a text without btime has no boot time"
            <| fun () -> Expect.equal (want (parse "cpu  1 2 3 4\ncpu0 1 2 3 4\nctxt 1\n"B)).BootTime ValueNone "none"

            testCase "a column that is no number names its line and its column"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4\ncpu0 1 2 x3 4\nctxt 1\n"B)) ("/proc/stat", 2, "system", "x3") "place"

            testCase "a negative number of ticks is no number of ticks"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4 -5\nctxt 1\n"B)) ("/proc/stat", 1, "iowait", "-5") "place"

            testCase "a line with three columns lacks the fourth"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3\nctxt 1\n"B)) ("/proc/stat", 1, "idle", "") "place"

            testCase "a number beyond 64 bits is an error and does not wrap"
            <| fun () ->
                Expect.equal
                    (located (parse "cpu  18446744073709551616 2 3 4\nctxt 1\n"B))
                    ("/proc/stat", 1, "user", "18446744073709551616")
                    "place"

            testCase "the largest counter reads as it stands"
            <| fun () ->
                let stat = want (parse "cpu  18446744073709551615 2 3 4\nctxt 1\n"B)
                Expect.equal stat.Total.Value.User 18446744073709551615UL<tick> "2^64-1"

            testCase "a garbled boot time names its line"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4\nctxt 1\nbtime soon\n"B)) ("/proc/stat", 3, "btime", "soon") "place"

            testCase "another file in its place is told from its first line"
            <| fun () -> Expect.equal (located (parse "MemTotal: 1 kB\n"B)) ("/proc/stat", 1, "cpu", "MemTotal:") "place"

            testCase "a line torn among the CPUs is a fault"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4\ncpu0 1 2 3"B)) ("/proc/stat", 2, "cpu", "cpu0 1 2 3") "place"

            testCase "a line torn after the CPUs is a fault"
            <| fun () ->
                Expect.equal
                    (located (parse "cpu  1 2 3 4\ncpu0 1 2 3 4\nctxt 1\nbtime 17000"B))
                    ("/proc/stat", 4, "the last line", "btime 17000")
                    "place"

            testCase "a text that ends after a CPU would report too few of them"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4\ncpu0 1 2 3 4\n"B)) ("/proc/stat", 3, "cpu", "") "place"

            testCase "an empty text is an error"
            <| fun () -> Expect.equal (located (parse [||])) ("/proc/stat", 1, "cpu", "") "place"

            testCase "a blank line after the CPUs changes nothing"
            <| fun () ->
                let stat = want (parse "cpu  1 2 3 4\ncpu0 1 2 3 4\n\nbtime 5\n"B)
                Expect.equal (stat.Cpus.Length, stat.BootTime) (1, ValueSome 5L<s>) "CPUs and btime"

            testCase "CPUs that do not follow each other are all there"
            <| fun () ->
                let stat = want (parse "cpu  1 2 3 4\ncpu0 1 2 3 4\n\ncpu1 1 2 3 4\nbtime 5\n"B)
                Expect.equal (stat.Cpus.Length, stat.Online) (2, ValueSome 2) "both"

            testCase "intr that is cut costs nothing of the CPUs"
            <| fun () ->
                let read = wantParsed "cpu  3 0 0 5\ncpu0 1 0 0 2\ncpu1 2 0 0 3\nintr 11493 0 0 1"

                Expect.equal
                    (read.Value.Cpus
                     |> Array.map (fun cpu -> cpu.Id, cpu.Times |> ValueOption.map (fun times -> times.User, times.Idle)))
                    [| 0, ValueSome(1UL<tick>, 2UL<tick>); 1, ValueSome(2UL<tick>, 3UL<tick>) |]
                    "CPUs"

                Expect.equal read.Value.Online (ValueSome 2) "both are there"
                Expect.equal (located (Parsed.strict (Ok read))) ("/proc/stat", 4, "the last line", "intr 11493 0 0 1") "reported"

            testCase "with the line of all CPUs alone nobody knows how many there are"
            <| fun () ->
                let stat = want (parse "cpu  7 0 8 90 0 0 0\nintr 3\nbtime 1600000000\n"B)
                Expect.equal (stat.Online, stat.Cpus.Length, stat.Total.IsSome) (ValueNone, 0, true) "not 0"

            testCase "a CPU whose line is garbled is there, without times"
            <| fun () ->
                let read = wantParsed "cpu  3 0 0 5\ncpu0 1 0 ? 2\ncpu1 2 0 0 3\nctxt 1\n"
                Expect.equal (read.Value.Cpus |> Array.map (fun cpu -> cpu.Id, cpu.Times.IsSome)) [| 0, false; 1, true |] "CPUs"
                Expect.equal read.Value.Online (ValueSome 2) "both are there"
                Expect.equal read.Value.Total.Value.Idle 5UL<tick> "the line of all"

            testCase "a garbled line of all CPUs leaves each of them"
            <| fun () ->
                let read = wantParsed "cpu  3 0 0 -5\ncpu0 1 0 0 2\nctxt 1\nbtime 7\n"
                Expect.equal (read.Value.Total, read.Value.BootTime) (ValueNone, ValueSome 7L<s>) "total and btime"
                Expect.equal read.Value.Cpus[0].Times.Value.Idle 2UL<tick> "cpu0"

            testCase "a CPU without a readable number leaves their number unknown"
            <| fun () ->
                let read = wantParsed "cpu  3 0 0 5\ncpu? 1 0 0 2\ncpu1 2 0 0 3\nctxt 1\n"
                Expect.equal (read.Value.Cpus.Length, read.Value.Online) (1, ValueNone) "cpu1"

            testCase "a line torn among the CPUs keeps those before it, and their number is unknown"
            <| fun () ->
                let read = wantParsed "cpu  1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3"
                Expect.equal (read.Value.Cpus.Length, read.Value.Online) (1, ValueNone) "cpu0"

            testCase "eight faults are kept, and all are counted"
            <| fun () ->
                let lines count =
                    "cpu  1 2 3 4\n" + String.replicate count "cpu0 x\n" + "ctxt 1\n"

                let eight, nine = wantParsed (lines 8), wantParsed (lines 9)
                Expect.equal (eight.Faults.Length, eight.FaultCount) (8, 8) "eight"
                Expect.equal (nine.Faults.Length, nine.FaultCount) (8, 9) "nine"

            testCase "line ends of another system are told as what they are"
            <| fun () ->
                Expect.equal
                    (located (parse "cpu  1 2 3 4 5 6 7 8 9 10\r\ncpu0 1 2 3 4\r\n"B))
                    ("/proc/stat", 1, "guest_nice", "10\\x0d")
                    "place"
        ]
