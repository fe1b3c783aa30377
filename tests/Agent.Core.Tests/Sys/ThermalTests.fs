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
                    (Thermal.parse (sysFiles "thermal-zones-only" ""))
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

            testCase "a zone that is switched off is passed over"
            <| fun () ->
                let off = SourceError.Unreadable("temp", "Invalid argument")

                Expect.equal
                    (Thermal.parse
                        [|
                            sysText "/sys/class/thermal/thermal_zone0/type" "cpu-thermal\n"
                            sysFailure "/sys/class/thermal/thermal_zone0/temp" off
                            sysText "/sys/class/thermal/thermal_zone1/type" "soc-thermal\n"
                            sysText "/sys/class/thermal/thermal_zone1/temp" "40500\n"
                        |])
                    [|
                        {
                            Type = "soc-thermal"
                            Celsius = 40.5<degC>
                        }
                    |]
                    "the other"

            testCase "a garbled and a torn zone, and one that does not say what it is of, are passed over"
            <| fun () ->
                Expect.equal (zones [ 0, "cpu", "warm\n"; 1, "cpu", "99000"; 2, "cpu", "" ]) [||] "none left"
                Expect.equal (Thermal.parse [| sysText "/sys/class/thermal/thermal_zone0/temp" "40500\n" |]) [||] "without a type"

            testCase "no zones, no temperature"
            <| fun () -> Expect.equal (Thermal.parse [||]) [||] "none"
        ]
