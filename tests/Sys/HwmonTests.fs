module Agent.Tests.Sys.HwmonTests

open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.Tests.Fixtures
open Expecto

let private sensors machine = Hwmon.parse (sysFiles machine "")

let private temperature chip label celsius : Hwmon.Temperature =
    {
        Chip = chip
        Label = label
        Celsius = celsius
    }

let private fan label speed : Hwmon.Fan = { Label = label; Speed = speed }

/// One chip with one sensor.
let private one chip celsius =
    Hwmon.cpuTemperature [| temperature chip "" celsius; temperature "nvme" "Composite" 90.0<degC> |]

[<Tests>]
let tests =
    testList
        "Sys.Hwmon"
        [
            testCase "a workstation's sensors: faulty ones at −128 °C left out, 127.5 °C kept"
            <| fun () ->
                Expect.equal
                    (sensors "intel-workstation").Temperatures
                    [|
                        temperature "acpitz" "" 27.8<degC>
                        temperature "nvme" "Composite" 78.85<degC>
                        temperature "nvme" "Sensor 1" 84.85<degC>
                        temperature "coretemp" "Package id 0" 61.0<degC>
                        temperature "coretemp" "Core 0" 59.0<degC>
                        temperature "coretemp" "Core 1" 61.0<degC>
                        temperature "nct6798" "SYSTIN" 38.0<degC>
                        temperature "nct6798" "AUXTIN2" 127.5<degC>
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

            testCase "the hottest CPU sensor wins over a hotter disk"
            <| fun () ->
                Expect.equal
                    (Hwmon.cpuTemperature (sensors "intel-workstation").Temperatures)
                    (ValueSome 61.0<degC>)
                    "Package id 0, not nvme at 84.85 nor AUXTIN2 at 127.5"

            testCase "k10temp is a CPU's chip"
            <| fun () -> Expect.equal (Hwmon.cpuTemperature (sensors "amd-server").Temperatures) (ValueSome 71.25<degC>) "Tctl"

            testCase "each preferred chip is one"
            <| fun () ->
                for chip in [ "coretemp"; "k10temp"; "zenpower"; "cpu_thermal"; "acpitz" ] do
                    Expect.equal (one chip 40.0<degC>) (ValueSome 40.0<degC>) chip

                Expect.equal (one "iwlwifi_1" 40.0<degC>) (ValueSome 90.0<degC>) "any other is not"

            testCase "a label that speaks of the CPU makes any chip a preferred one"
            <| fun () ->
                Expect.equal (Hwmon.cpuTemperature (sensors "board-with-cpu-label").Temperatures) (ValueSome 52.5<degC>) "CPUTIN"

                for label in [ "CPU Temperature"; "Package id 1"; "Tctl"; "PACKAGE" ] do
                    Expect.equal
                        (Hwmon.cpuTemperature [| temperature "board" label 33.0<degC>; temperature "board" "VRM" 70.0<degC> |])
                        (ValueSome 33.0<degC>)
                        label

            testCase "without any CPU sensor the hottest of all counts"
            <| fun () ->
                Expect.equal (Hwmon.cpuTemperature (sensors "sensors-without-cpu-chip").Temperatures) (ValueSome 56.0<degC>) "amdgpu"

            testCase "without a sensor there is no temperature"
            <| fun () -> Expect.equal (Hwmon.cpuTemperature [||]) ValueNone "none"

            testCase "−50 and 150 °C are faults, −49.999 and 149.999 °C are not"
            <| fun () ->
                let read millidegrees =
                    (Hwmon.parse [| sysText "/sys/class/hwmon/hwmon0/temp1_input" millidegrees |]).Temperatures
                    |> Array.map (fun sensor -> sensor.Celsius)

                Expect.equal (read "-50000\n") [||] "−50"
                Expect.equal (read "-49999\n") [| -49.999<degC> |] "−49.999"
                Expect.equal (read "149999\n") [| 149.999<degC> |] "149.999"
                Expect.equal (read "150000\n") [||] "150"

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

                Expect.equal sensors.Temperatures [| temperature "coretemp" "" 50.0<degC> |] "the other sensor"
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

                Expect.equal sensors.Temperatures [| temperature "" "" 50.0<degC> |] "sensor"
                Expect.equal sensors.Faults [||] "no fault"

            testCase "a garbled, a torn, an empty and a negative reading are faults with their path"
            <| fun () ->
                let fault name content =
                    match (Hwmon.parse [| sysText ("/sys/class/hwmon/hwmon3/" + name) content |]).Faults with
                    | [| SourceError.Garbled error |] -> error.Source, error.Line, error.Field, error.Raw
                    | other -> failtest $"one garbled file expected, got %A{other}"

                Expect.equal (fault "temp1_input" "hot\n") ("/sys/class/hwmon/hwmon3/temp1_input", 1, "value", "hot") "garbled"
                Expect.equal (fault "temp1_input" "410") ("/sys/class/hwmon/hwmon3/temp1_input", 1, "value", "410") "torn"
                Expect.equal (fault "fan1_input" "") ("/sys/class/hwmon/hwmon3/fan1_input", 1, "value", "") "empty"
                Expect.equal (fault "fan1_input" "-1\n") ("/sys/class/hwmon/hwmon3/fan1_input", 1, "value", "-1") "negative"
                Expect.equal (fault "fan1_input" "2147483648\n") ("/sys/class/hwmon/hwmon3/fan1_input", 1, "value", "2147483648") "too fast"

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
