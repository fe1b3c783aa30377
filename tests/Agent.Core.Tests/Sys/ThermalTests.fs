module Agent.Core.Tests.Sys.ThermalTests

open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

/// Zones by number, type and content of `temp`.
let private zones (all: (int * string * string) list) =
    Thermal.parse
        [|
            for number, kind, temp in all do
                sysText $"/sys/class/thermal/thermal_zone{number}/type" $"{kind}\n"
                sysText $"/sys/class/thermal/thermal_zone{number}/temp" temp
        |]

[<Tests>]
let tests =
    testList
        "Sys.Thermal"
        [
            testCase "zones with what they are of, without those that read what no part of a computer does"
            <| fun () ->
                Expect.equal
                    (Thermal.parse (sysFiles "thermal-zones-only" "")).Zones
                    [|
                        {
                            Type = "cpu-thermal"
                            Celsius = 48.312<degC>
                        }
                        {
                            Type = "gpu-thermal"
                            Celsius = 51.2<degC>
                        }
                    |]
                    "not the zones at 190 and −274 °C"

            testCase "a zone that has no value now is passed over without a word, one that cannot be read is told"
            <| fun () ->
                let broken = SourceError.Unreadable("temp", "Input/output error")

                for failure, faults in [ SourceError.Absent "temp", [||]; broken, [| broken |] ] do
                    Expect.equal
                        (Thermal.parse
                            [|
                                sysText "/sys/class/thermal/thermal_zone0/type" "cpu-thermal\n"
                                sysFailure "/sys/class/thermal/thermal_zone0/temp" failure
                                sysText "/sys/class/thermal/thermal_zone1/type" "soc-thermal\n"
                                sysText "/sys/class/thermal/thermal_zone1/temp" "40500\n"
                            |])
                        {
                            Zones =
                                [|
                                    {
                                        Type = "soc-thermal"
                                        Celsius = 40.5<degC>
                                    }
                                |]
                            Faults = faults
                        }
                        "the other"

            testCase "a garbled and a torn zone are told"
            <| fun () ->
                let read = zones [ 0, "cpu", "warm\n"; 1, "cpu", "99000"; 2, "cpu", "" ]
                Expect.equal read.Zones [||] "none left"

                Expect.equal
                    (read.Faults |> Array.map string)
                    [|
                        "/sys/class/thermal/thermal_zone0/temp line 1, field value: expected millidegrees Celsius, found \"warm\""
                        "/sys/class/thermal/thermal_zone1/temp line 1, field value: expected a line end after the last line, found \"99000\""
                        "/sys/class/thermal/thermal_zone2/temp line 1, field value: expected another line, found \"\""
                    |]
                    "each by its file"

            testCase "a zone that does not say what it is of is passed over"
            <| fun () ->
                let zone text =
                    Thermal.parse [| sysText "/sys/class/thermal/thermal_zone0/temp" text |]

                for text in [ "40500\n"; "warm\n" ] do
                    Expect.equal (zone text) { Zones = [||]; Faults = [||] } text

            testCase "no zones, no temperature"
            <| fun () -> Expect.equal (Thermal.parse [||]) { Zones = [||]; Faults = [||] } "none"
        ]
