module Agent.Core.Tests.Proc.PressureTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    Pressure.parse "/proc/pressure/io" (ReadOnlySpan text)

let private stall average total : Pressure.Stall = { Avg10 = average; Total = total }

[<Tests>]
let tests =
    testList
        "Proc.Pressure"
        [
            testCase "the captured text gives ten-second shares and totals of both lines"
            <| fun () ->
                Expect.equal
                    (parse (bytes "vm-2core-6.18/second/proc/pressure/io"))
                    (Ok
                        {
                            Some = stall 0.98<percent> 24509646UL<us>
                            Full = ValueSome(stall 0.97<percent> 24250801UL<us>)
                        })
                    "io"

            testCase "kernel 5.4 has no full line for the CPU"
            <| fun () ->
                Expect.equal
                    (parse (bytes "kernel-5.4/proc/pressure/cpu"))
                    (Ok
                        {
                            Some = stall 3.17<percent> 90211345UL<us>
                            Full = ValueNone
                        })
                    "cpu"

            testCase "no stall at all is 0, not unknown"
            <| fun () ->
                Expect.equal
                    (parse (bytes "kernel-5.4/proc/pressure/memory"))
                    (Ok
                        {
                            Some = stall 0.0<percent> 0UL<us>
                            Full = ValueSome(stall 0.0<percent> 0UL<us>)
                        })
                    "memory"

            testCase "lines and fields that a later kernel adds are ignored"
            <| fun () ->
                Expect.equal
                    (parse "most avg10=x\nsome avg10=1.50 avg60=0.00 avg300=0.00 total=7 more=1\n\n"B)
                    (Ok
                        {
                            Some = stall 1.5<percent> 7UL<us>
                            Full = ValueNone
                        })
                    "some"

            testCase "a share that is no number names file, line and field"
            <| fun () ->
                Expect.equal
                    (located (parse "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=x avg60=0.00 avg300=0.00 total=0\n"B))
                    ("/proc/pressure/io", 2, "avg10", "avg10=x")
                    "place"

            testCase "fields under other names are an error"
            <| fun () ->
                Expect.equal
                    (located (parse "some avg10=0.00 avg600=0.00 avg300=0.00 total=0\n"B))
                    ("/proc/pressure/io", 1, "avg60", "avg600=0.00")
                    "place"

            testCase "a total that is no whole number is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "some avg10=0.00 avg60=0.00 avg300=0.00 total=1.5\n"B))
                    ("/proc/pressure/io", 1, "total", "total=1.5")
                    "place"

            testCase "a line that lacks its total is an error"
            <| fun () ->
                Expect.equal (located (parse "some avg10=0.00 avg60=0.00 avg300=0.00\n"B)) ("/proc/pressure/io", 1, "total", "") "place"

            testCase "a text without the some line is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"B))
                    ("/proc/pressure/io", 2, "some", "")
                    "place"

            testCase "a torn last line is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "some avg10=0.00 avg60=0.00 avg300=0.00 total=12"B))
                    ("/proc/pressure/io", 1, "the last line", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12")
                    "place"

            testCase "an empty text is an error"
            <| fun () -> Expect.equal (located (parse [||])) ("/proc/pressure/io", 1, "some", "") "place"
        ]
