module Agent.Core.Tests.IpmiTests

open System
open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    Parsed.strict (Ipmi.parse (ReadOnlySpan text))

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

            testCase "a speed that no fan reaches is no reading, and no fault"
            <| fun () ->
                for speed in [ "65535"; "50000"; "2147483648"; "-1"; "-0.5" ] do
                    Expect.equal (parse (utf8 $"F | 41h | ok | 29.1 | {speed} RPM\n")) (Ok [||]) speed

            testCase "the fastest fan is one"
            <| fun () -> Expect.equal (parse "F | 41h | ok | 29.1 | 49999 RPM\n"B) (Ok [| fan "F" 49_999<rpm> |]) "fan"

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

            testCase "a line that cannot be read costs that line"
            <| fun () ->
                match
                    Ipmi.parse (
                        ReadOnlySpan "F | 41h | ok | 29.1 | 10 RPM\nG | 42h | ok | 29.2 | fast RPM\nH | 43h | ok | 29.3 | 20 RPM\n"B
                    )
                with
                | Ok parsed ->
                    Expect.equal parsed.Value [| fan "F" 10<rpm>; fan "H" 20<rpm> |] "the others"
                    Expect.equal parsed.FaultCount 1 "one fault"
                | Error error -> failtest $"{error}"

            testCase "good rows count whatever the exit code, which is told"
            <| fun () ->
                let rows = "F | 41h | ok | 29.1 | 10 RPM\n"B

                match Ipmi.interpret 1 false (ReadOnlySpan rows) (ReadOnlySpan "Get SDR 0002 command failed\n"B) with
                | Ipmi.Answer.Fans(fans, faults) ->
                    Expect.equal fans [| fan "F" 10<rpm> |] "the fan"

                    Expect.equal
                        faults
                        [|
                            SourceError.Unreadable("ipmitool", "exit code 1: Get SDR 0002 command failed")
                        |]
                        "the code"
                | other -> failtest $"{other}"

            testCase "no controller, no permission and no answer are three things"
            <| fun () ->
                let answer (errors: string) =
                    Ipmi.interpret 1 false ReadOnlySpan.Empty (ReadOnlySpan(utf8 errors))

                let device = "Could not open device at /dev/ipmi0 or /dev/ipmi/0 or /dev/ipmidev/0: "
                Expect.equal (answer (device + "No such file or directory\n")) Ipmi.Answer.NoController "no controller"
                Expect.equal (answer (device + "Permission denied\n")) Ipmi.Answer.NotAllowed "no permission"

                Expect.equal
                    (answer "Error sending request: timeout\n")
                    (Ipmi.Answer.Failed(SourceError.Unreadable("ipmitool", "exit code 1: Error sending request: timeout")))
                    "no answer"

                Expect.equal
                    (Ipmi.interpret 0 false ReadOnlySpan.Empty ReadOnlySpan.Empty)
                    (Ipmi.Answer.Fans([||], [||]))
                    "a controller without fans"

            testCase "a device file that may not be opened is no permission, although ipmitool names only the last one, which is not there"
            <| fun () ->
                let answer isDenied =
                    Ipmi.interpret
                        1
                        isDenied
                        ReadOnlySpan.Empty
                        (ReadOnlySpan "Could not open device at /dev/ipmi0 or /dev/ipmi/0 or /dev/ipmidev/0: No such file or directory\n"B)

                Expect.equal (answer true) Ipmi.Answer.NotAllowed "one is there"
                Expect.equal (answer false) Ipmi.Answer.NoController "none is"

            testCase "a file that may not be opened is not why a controller fails"
            <| fun () ->
                match Ipmi.interpret 1 true ReadOnlySpan.Empty (ReadOnlySpan "Error sending request: timeout\n"B) with
                | Ipmi.Answer.Failed _ -> ()
                | other -> failtest $"{other}"

            testCase "the command asks for fans through the local driver"
            <| fun () -> Expect.equal Ipmi.fanArguments [| "-I"; "open"; "sdr"; "type"; "Fan" |] "arguments"
        ]
