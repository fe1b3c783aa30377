module Agent.Tests.IpmiTests

open System
open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.Tests.Fixtures
open Expecto

let private parse (text: byte[]) = Ipmi.parse (ReadOnlySpan text)
let private fan label speed : Hwmon.Fan = { Label = label; Speed = speed }

[<Tests>]
let tests =
    testList
        "Ipmi"
        [
            testCase "sensors without a reading and disabled ones are left out, a fan that stands is not"
            <| fun () ->
                Expect.equal
                    (parse (bytes "ipmitool/supermicro.txt"))
                    (Ok [| fan "FAN1" 5600<rpm>; fan "FAN2" 5700<rpm>; fan "FANB" 0<rpm> |])
                    "fans"

            testCase "percentages, states and empty readings are no speeds"
            <| fun () ->
                Expect.equal
                    (parse (bytes "ipmitool/percent-and-states.txt"))
                    (Ok [| fan "Fan1A RPM" 8400<rpm>; fan "Fan1B RPM" 7920<rpm> |])
                    "fans"

            testCase "a speed with decimals, as ipmitool prints uneven ones, is the nearest whole number"
            <| fun () -> Expect.equal (parse (bytes "ipmitool/fraction.txt")) (Ok [| fan "Fan A" 3528<rpm>; fan "Fan B" 2914<rpm> |]) "fans"

            testCase "blank lines and lines without columns are ignored"
            <| fun () ->
                Expect.equal (parse "Get Device ID command failed\n\nF | 41h | ok | 29.1 | 10 RPM\n\n"B) (Ok [| fan "F" 10<rpm> |]) "fans"

            testCase "line ends of another system change nothing"
            <| fun () -> Expect.equal (parse "F | 41h | ok | 29.1 | 10 RPM\r\n"B) (Ok [| fan "F" 10<rpm> |]) "fans"

            testCase "a speed that is no number names its line"
            <| fun () ->
                Expect.equal
                    (located (parse "F | 41h | ok | 29.1 | 10 RPM\nG | 42h | ok | 29.2 | fast RPM\n"B))
                    ("ipmitool", 2, "reading", "G | 42h | ok | 29.2 | fast RPM")
                    "place"

            testCase "a speed that no fan reaches is an error and does not wrap"
            <| fun () ->
                Expect.equal
                    (located (parse "F | 41h | ok | 29.1 | 2147483648 RPM\n"B))
                    ("ipmitool", 1, "reading", "F | 41h | ok | 29.1 | 2147483648 RPM")
                    "place"

            testCase "a line that lacks its reading is an error"
            <| fun () -> Expect.equal (located (parse "F | 41h | ok | 29.1\n"B)) ("ipmitool", 1, "columns", "F | 41h | ok | 29.1") "place"

            testCase "a torn last line is an error"
            <| fun () ->
                Expect.equal
                    (located (parse "F | 41h | ok | 29.1 | 10 RPM\nG | 42h | ok | 29.2 | 1"B))
                    ("ipmitool", 2, "the last line", "G | 42h | ok | 29.2 | 1")
                    "place"

            testCase "an empty text has no fans"
            <| fun () -> Expect.equal (parse [||]) (Ok [||]) "none"

            testCase "the command asks for fans through the local driver"
            <| fun () -> Expect.equal Ipmi.fanArguments [| "-I"; "open"; "sdr"; "type"; "Fan" |] "arguments"
        ]
