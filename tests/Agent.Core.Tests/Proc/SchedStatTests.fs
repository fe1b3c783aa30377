module Agent.Core.Tests.Proc.SchedStatTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = SchedStat.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.SchedStat"
        [
            testCase "the captured text of a thread that ran 64 ms and waited 48 ms"
            <| fun () ->
                Expect.equal
                    (parse (bytes "jobs/schedstat"))
                    (Ok(
                        ValueSome
                            {
                                RunTime = 63848920UL<ns>
                                WaitTime = 48420790UL<ns>
                                Slices = 43UL
                            }
                    ))
                    "schedstat"

            testCase "a kernel that does not count prints zeros"
            <| fun () -> Expect.equal (parse "0 0 0\n"B) (Ok ValueNone) "unknown"

            testCase "what is wrong is named"
            <| fun () ->
                Expect.equal (located (parse "1 x 3\n"B)) ("/proc/PID/schedstat", 1, "time waiting", "x") "waiting"
                Expect.equal (located (parse "1 2\n"B)) ("/proc/PID/schedstat", 1, "timeslices", "") "slices"
                Expect.equal (located (parse [||])) ("/proc/PID/schedstat", 1, "time on a CPU", "") "empty"
        ]
