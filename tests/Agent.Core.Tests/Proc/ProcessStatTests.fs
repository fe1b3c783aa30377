module Agent.Core.Tests.Proc.ProcessStatTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = ProcessStat.parse (ReadOnlySpan text)

/// A line with a name of its own.
let private line (name: string) =
    utf8
        $"77 ({name}) D 12 77 70 0 -1 4194560 9 8 7 6 50 25 0 0 20 0 3 0 1234 1000 55 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 5 0 0 88 0 0\n"

[<Tests>]
let tests =
    testList
        "Proc.ProcessStat"
        [
            testCase "the captured text of a Python program with three threads"
            <| fun () ->
                Expect.equal
                    (parse (bytes "jobs/stat"))
                    (Ok
                        {
                            Pid = 15886
                            Name = "python3"
                            State = 'S'
                            Parent = 1
                            Group = 15880
                            Session = 13466
                            MajorFaults = 2UL
                            UserTime = 22UL<tick>
                            SystemTime = 72UL<tick>
                            ChildTime = 6UL<tick>
                            Threads = 3
                            StartedAt = 2745817UL<tick>
                            Resident = 4340UL<page>
                            Processor = ValueSome 1
                            BlockIoDelay = ValueSome 0UL<tick>
                        })
                    "stat"

            testCase "user and kernel mode together are the CPU time"
            <| fun () -> Expect.equal (want (parse (line "x"))).CpuTime 75UL<tick> "50 + 25"

            for name in [ "tmux: server"; "a) S 1 (b"; "two\nlines"; ")"; "" ] do
                testCase $"a name may be %A{name}"
                <| fun () ->
                    let stat = want (parse (line name))
                    Expect.equal stat.Name name "name"
                    Expect.equal stat.State 'D' "state"
                    Expect.equal stat.Parent 12 "parent"
                    Expect.equal stat.BlockIoDelay (ValueSome 88UL<tick>) "delay"
                    Expect.equal (ProcessStat.stateOf (ReadOnlySpan(line name))) (Ok 'D') "the state alone"

            testCase "old kernels stop after the resident set"
            <| fun () ->
                let stat = want (parse "1 (init) S 0 1 1 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 2 1000 55\n"B)

                Expect.equal stat.Processor ValueNone "processor"
                Expect.equal stat.BlockIoDelay ValueNone "delay"
                Expect.equal stat.Resident 55UL<page> "resident"

            testCase "a resident set below 0 is 0"
            <| fun () ->
                Expect.equal (want (parse "1 (a) S 0 1 1 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 2 1000 -3\n"B)).Resident 0UL<page> "resident"

            testCase "what is wrong is named by proc(5)'s words"
            <| fun () ->
                Expect.equal (located (parse "1 init S 0\n"B)) ("/proc/PID/stat", 1, "comm", "1 init S 0\\x0a") "no name"
                Expect.equal (located (parse "x (a) S 0\n"B)) ("/proc/PID/stat", 1, "pid", "x ") "pid"
                Expect.equal (located (parse "1 (a) SS 0\n"B)) ("/proc/PID/stat", 1, "state", "SS") "state"
                Expect.equal (located (parse "1 (a) S y\n"B)) ("/proc/PID/stat", 1, "ppid", "y") "ppid"

                Expect.equal
                    (located (parse "1 (a) S 0 1 1 0 -1 0 0 0 0 0 3 z 0 0 20 0 1 0 2 1000 55\n"B))
                    ("/proc/PID/stat", 1, "stime", "z")
                    "stime"

                Expect.equal
                    (located (parse "1 (a) S 0 1 1 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 2 1000\n"B))
                    ("/proc/PID/stat", 1, "rss", "")
                    "too short"

            testCase "a text without its line end is not believed"
            <| fun () ->
                Expect.equal
                    (located (parse "1 (a) S 0 1 1 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 2 1000 5"B)
                     |> fun (_, _, field, _) -> field)
                    "state"
                    "torn"
        ]
