module Agent.Core.Tests.Sys.HwmonTests

open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private sensors machine = Hwmon.parse (sysFiles machine "")

let private chipAt place chip label celsius : Hwmon.Temperature =
    {
        Place = place
        Chip = chip
        Label = label
        Celsius = celsius
    }

let private chipOf number =
    chipAt $"/sys/class/hwmon/hwmon{number}"

let private fan label speed : Hwmon.Fan = { Label = label; Speed = speed }

[<Tests>]
let tests =
    testList
        "Sys.Hwmon"
        [
            testCase "a workstation's sensors: those that are not connected, at −128 and 127.5 °C, left out"
            <| fun () ->
                Expect.equal
                    (sensors "intel-workstation").Temperatures
                    [|
                        chipOf 0 "acpitz" "" 27.8<degC>
                        chipOf 1 "nvme" "Composite" 78.85<degC>
                        chipOf 1 "nvme" "Sensor 1" 84.85<degC>
                        chipOf 2 "coretemp" "Package id 0" 61.0<degC>
                        chipOf 2 "coretemp" "Core 0" 59.0<degC>
                        chipOf 2 "coretemp" "Core 1" 61.0<degC>
                        chipOf 3 "nct6798" "SYSTIN" 38.0<degC>
                    |]
                    "temperatures"

            testCase "a fan without a label has its chip's name, and one that stands reads 0"
            <| fun () ->
                Expect.equal
                    (sensors "intel-workstation").Fans
                    [| fan "nct6798" 0<rpm>; fan "nct6798" 1182<rpm>; fan "AIO Pump" 2700<rpm> |]
                    "fans"

            testCase "a fan of a chip without a name is called fan"
            <| fun () -> Expect.equal (sensors "sensors-without-cpu-chip").Fans [| fan "fan" 900<rpm> |] "fans"

            testCase "fans may have equal labels here; a sample makes them unique"
            <| fun () -> Expect.equal (sensors "amd-server").Fans [| fan "FAN" 5880<rpm>; fan "FAN" 5760<rpm>; fan "FAN" 6000<rpm> |] "fans"

            testCase "−50 and 127 °C are no values, −49.999 and 126.999 °C are"
            <| fun () ->
                let read millidegrees =
                    (Hwmon.parse [| sysText "/sys/class/hwmon/hwmon0/temp1_input" millidegrees |]).Temperatures
                    |> Array.map (fun sensor -> sensor.Celsius)

                Expect.equal (read "-50000\n") [||] "−50"
                Expect.equal (read "-49999\n") [| -49.999<degC> |] "−49.999"
                Expect.equal (read "126999\n") [| 126.999<degC> |] "126.999"
                Expect.equal (read "127000\n") [||] "127"

                for sentinel in
                    [
                        "-273000\n"
                        "-263000\n"
                        "-128000\n"
                        "127875\n"
                        "128000\n"
                        "255000\n"
                        "4294967291000\n"
                    ] do
                    Expect.equal (read sentinel) [||] sentinel

            testCase "fewer than no revolutions and 50,000 of them are no values, none and 49,999 are"
            <| fun () ->
                let read speed =
                    let sensors = Hwmon.parse [| sysText "/sys/class/hwmon/hwmon0/fan1_input" speed |]
                    Expect.equal sensors.Faults [||] "nothing that is worth a word"
                    sensors.Fans |> Array.map (fun fan -> fan.Speed)

                Expect.equal (read "0\n") [| 0<rpm> |] "one that stands"
                Expect.equal (read "49999\n") [| 49999<rpm> |] "49,999"

                for sentinel in [ "-1\n"; "50000\n"; "65534\n"; "65535\n"; "1350000\n"; "2147483648\n" ] do
                    Expect.equal (read sentinel) [||] sentinel

            testCase "a sensor whose chip says that it is at fault has no value"
            <| fun () ->
                let sensors =
                    Hwmon.parse
                        [|
                            for kind in [ "temp"; "fan" ] do
                                for number, fault in [ 1, "0\n"; 2, "1\n"; 3, "?\n" ] do
                                    sysText $"/sys/class/hwmon/hwmon0/{kind}{number}_fault" fault

                                for number in 1..4 do
                                    sysText $"/sys/class/hwmon/hwmon0/{kind}{number}_input" $"{number}000\n"
                        |]

                Expect.equal (sensors.Temperatures |> Array.map (fun t -> t.Celsius)) [| 1.0<degC>; 3.0<degC>; 4.0<degC> |] "not the second"
                Expect.equal (sensors.Fans |> Array.map (fun fan -> fan.Speed)) [| 1000<rpm>; 3000<rpm>; 4000<rpm> |] "fans likewise"
                Expect.equal sensors.Faults [||] "nothing to tell"

            testCase "a file's name says which sensor it belongs to"
            <| fun () ->
                let told file =
                    match Hwmon.attributeOf file with
                    | ValueSome attribute -> $"{attribute.Kind} {attribute.Sensor} {attribute.Property}"
                    | ValueNone -> "none"

                Expect.equal (told "temp1_input") "temp temp1 input" "an input"
                Expect.equal (told "temp12_crit_alarm") "temp temp12 crit_alarm" "an alarm"
                Expect.equal (told "in0_min") "in in0 min" "a voltage"
                Expect.equal (told "pwm1") "pwm pwm1 " "the sensor itself"
                Expect.equal (told "update_interval") "update_interval update_interval0 " "of the chip"
                Expect.equal (told "power1_average_interval_max") "power power1 average_interval_max" "of power"

                for file in
                    [
                        "uevent"
                        "device"
                        "name"
                        "temp_input"
                        "temp1input"
                        "temp1_"
                        "1"
                        ""
                        "temp99999999999_input"
                    ] do
                    Expect.equal (told file) "none" file

            testCase "a sensor that is switched off is not told"
            <| fun () ->
                let off = SourceError.Absent "/sys/class/hwmon/hwmon0/temp1_input"
                let sensors = Hwmon.parse [| sysFailure "/sys/class/hwmon/hwmon0/temp1_input" off |]
                Expect.equal (sensors.Temperatures, sensors.Faults) ([||], [||]) "neither a value nor a fault"

            testCase "a sensor that cannot be read costs only itself and is told"
            <| fun () ->
                let failure = SourceError.Unreadable("/sys/class/hwmon/hwmon0/temp1_input", "Input/output error")

                let sensors =
                    Hwmon.parse
                        [|
                            sysText "/sys/class/hwmon/hwmon0/name" "coretemp\n"
                            sysFailure "/sys/class/hwmon/hwmon0/temp1_input" failure
                            sysText "/sys/class/hwmon/hwmon0/temp2_input" "50000\n"
                        |]

                Expect.equal sensors.Temperatures [| chipOf 0 "coretemp" "" 50.0<degC> |] "the other sensor"
                Expect.equal sensors.Faults [| failure |] "faults"

            testCase "a label that cannot be read costs only the label"
            <| fun () ->
                let sensors =
                    Hwmon.parse
                        [|
                            sysFailure "/sys/class/hwmon/hwmon0/name" (SourceError.Absent "name")
                            sysText "/sys/class/hwmon/hwmon0/temp1_input" "50000\n"
                            sysFailure "/sys/class/hwmon/hwmon0/temp1_label" (SourceError.Absent "label")
                        |]

                Expect.equal sensors.Temperatures [| chipOf 0 "" "" 50.0<degC> |] "sensor"
                Expect.equal sensors.Faults [||] "no fault"

            testCase "a garbled, a torn and an empty reading are faults with their path"
            <| fun () ->
                let fault name content =
                    match (Hwmon.parse [| sysText ("/sys/class/hwmon/hwmon3/" + name) content |]).Faults with
                    | [| SourceError.Garbled error |] -> error.Source, error.Line, error.Field, error.Raw
                    | other -> failtest $"one garbled file expected, got %A{other}"

                Expect.equal (fault "temp1_input" "hot\n") ("/sys/class/hwmon/hwmon3/temp1_input", 1, "value", "hot") "garbled"
                Expect.equal (fault "temp1_input" "410") ("/sys/class/hwmon/hwmon3/temp1_input", 1, "value", "410") "torn"
                Expect.equal (fault "fan1_input" "") ("/sys/class/hwmon/hwmon3/fan1_input", 1, "value", "") "empty"

            testCase "other files of a chip are ignored"
            <| fun () ->
                let sensors =
                    Hwmon.parse
                        [|
                            sysText "/sys/class/hwmon/hwmon0/in0_input" "1200\n"
                            sysText "/sys/class/hwmon/hwmon0/temp1_max" "100000\n"
                            sysText "/sys/class/hwmon/hwmon0/fan1_min" "300\n"
                            sysText "/sys/class/hwmon/hwmon0/power1_input" "x\n"
                        |]

                Expect.equal (sensors.Temperatures.Length, sensors.Fans.Length, sensors.Faults.Length) (0, 0, 0) "nothing"

            testCase "no files, no sensors"
            <| fun () ->
                let sensors = Hwmon.parse [||]
                Expect.equal (sensors.Temperatures.Length, sensors.Fans.Length, sensors.Faults.Length) (0, 0, 0) "nothing"
        ]
