module Agent.Tests.Proc.StatTests

open System
open System.Text
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Tests.Fixtures
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

[<Tests>]
let tests =
    testList
        "Proc.Stat"
        [
            testCase "the captured text gives its ten columns, both CPUs and the boot time"
            <| fun () ->
                let stat = want (parse (bytes "vm-2core-6.18/first/proc/stat"))

                Expect.equal
                    stat.Total
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
                    stat.Cpus[1].Times
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

            testCase "four columns of kernel 2.4 leave the six others at 0"
            <| fun () ->
                let stat = want (parse (bytes "kernel-2.4/proc/stat"))

                Expect.equal
                    stat.Total
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
                    stat.Cpus[0].Times
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
                    (stat.Total.Softirq, stat.Total.Steal, stat.Total.Guest, stat.Total.GuestNice)
                    (912UL<tick>, 77UL<tick>, 300UL<tick>, 12UL<tick>)
                    "the last four"

                Expect.equal stat.Cpus.Length 4 "CPUs"

            testCase "columns that a later kernel adds are ignored"
            <| fun () ->
                let stat = want (parse "cpu  1 2 3 4 5 6 7 8 9 10 11 twelve\ncpu0 1 2 3 4 5 6 7 8 9 10 11\nctxt 1\n"B)
                Expect.equal (stat.Total.GuestNice, stat.Cpus.Length) (10UL<tick>, 1) "guest_nice and CPUs"

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
                Expect.equal (stat.Cpus[255].Id, stat.Cpus[255].Times.Idle) (255, 255UL<tick>) "the last CPU"

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
                Expect.equal stat.Total.User 18446744073709551615UL<tick> "2^64-1"

            testCase "a garbled boot time names its line"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4\nctxt 1\nbtime soon\n"B)) ("/proc/stat", 3, "btime", "soon") "place"

            testCase "another file in its place is told from its first line"
            <| fun () -> Expect.equal (located (parse "MemTotal: 1 kB\n"B)) ("/proc/stat", 1, "cpu", "MemTotal:") "place"

            testCase "a line torn among the CPUs is an error"
            <| fun () -> Expect.equal (located (parse "cpu  1 2 3 4\ncpu0 1 2 3"B)) ("/proc/stat", 2, "cpu", "cpu0 1 2 3") "place"

            testCase "a line torn after the CPUs is an error"
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

            testCase "a blank line among the CPUs does not lose those after it in silence"
            <| fun () ->
                match parse "cpu  1 2 3 4\ncpu0 1 2 3 4\n\ncpu1 1 2 3 4\nbtime 5\n"B with
                | Ok stat -> Expect.equal stat.Cpus.Length 2 "both CPUs, or an error"
                | Error error -> Expect.equal error.Source "/proc/stat" "a located error"

            testCase "line ends of another system are told as what they are"
            <| fun () ->
                Expect.equal
                    (located (parse "cpu  1 2 3 4 5 6 7 8 9 10\r\ncpu0 1 2 3 4\r\n"B))
                    ("/proc/stat", 1, "guest_nice", "10\\x0d")
                    "place"
        ]
