module Agent.Tests.Sys.ThermalTests

open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.Tests.Fixtures
open Expecto

let private zone = sysText "/sys/class/thermal/thermal_zone0/temp"

[<Tests>]
let tests =
    testList
        "Sys.Thermal"
        [
            testCase "the hottest plausible zone counts"
            <| fun () ->
                Expect.equal
                    (Thermal.hottest (sysFiles "thermal-zones-only" "/temp"))
                    (ValueSome 51.2<degC>)
                    "not the faulty zones at 190 and −274 °C"

            testCase "a zone that is switched off is passed over"
            <| fun () ->
                let off = SourceError.Unreadable("temp", "Invalid argument")
                Expect.equal (Thermal.hottest [| sysFailure "a" off; zone "40500\n" |]) (ValueSome 40.5<degC>) "the other"
                Expect.equal (Thermal.hottest [| sysFailure "a" off |]) ValueNone "none left"

            testCase "a garbled and a torn zone are passed over"
            <| fun () -> Expect.equal (Thermal.hottest [| zone "warm\n"; zone "99000"; zone "" |]) ValueNone "none left"

            testCase "no zones, no temperature"
            <| fun () -> Expect.equal (Thermal.hottest [||]) ValueNone "none"
        ]
