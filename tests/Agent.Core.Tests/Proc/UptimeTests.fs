module Agent.Core.Tests.Proc.UptimeTests

open System
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) = Uptime.parse (ReadOnlySpan text)

[<Tests>]
let tests =
    testList
        "Proc.Uptime"
        [
            testCase "the captured text gives the first of its two numbers"
            <| fun () -> Expect.equal (parse (bytes "vm-2core-6.18/first/proc/uptime")) (Ok 1755.93<s>) "seconds"

            testCase "the idle time may be missing"
            <| fun () -> Expect.equal (parse "31536000.00\n"B) (Ok 31536000.0<s>) "a year"

            testCase "a word in place of the number names the field"
            <| fun () -> Expect.equal (located (parse "long 1.00\n"B)) ("/proc/uptime", 1, "uptime", "long") "place"

            testCase "a negative uptime is an error"
            <| fun () -> Expect.equal (located (parse "-1.00 1.00\n"B)) ("/proc/uptime", 1, "uptime", "-1.00") "place"

            testCase "an exponent is no decimal number"
            <| fun () -> Expect.equal (located (parse "1e3 1.00\n"B)) ("/proc/uptime", 1, "uptime", "1e3") "place"

            testCase "a point needs digits on both sides"
            <| fun () ->
                Expect.equal (located (parse "12. 1.00\n"B)) ("/proc/uptime", 1, "uptime", "12.") "after"
                Expect.equal (located (parse ".5 1.00\n"B)) ("/proc/uptime", 1, "uptime", ".5") "before"

            testCase "a torn line is an error"
            <| fun () -> Expect.equal (located (parse "1755.9"B)) ("/proc/uptime", 1, "uptime", "1755.9") "place"

            testCase "an empty text is an error"
            <| fun () -> Expect.equal (located (parse [||])) ("/proc/uptime", 1, "uptime", "") "place"

            testCase "an error shows control characters escaped and no more than eighty characters"
            <| fun () ->
                let long = "\001" + String('x', 200)
                let _, _, _, raw = located (parse (utf8 (long + "\n")))
                Expect.equal raw ("\\x01" + String('x', 76) + "…") "raw text"
        ]
