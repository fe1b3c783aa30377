module Agent.Core.Tests.Sys.CpuTemperatureTests

open System
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

/// A chip with sensors of these labels.
let private chip place name (sensors: (string * float) list) : Hwmon.Temperature[] =
    [|
        for label, celsius in sensors do
            ({
                Place = place
                Chip = name
                Label = label
                Celsius = LanguagePrimitives.FloatWithMeasure celsius
            }
            : Hwmon.Temperature)
    |]

let private zone kind (celsius: float) : Thermal.Zone =
    {
        Type = kind
        Celsius = LanguagePrimitives.FloatWithMeasure celsius
    }

let private from (chips: Hwmon.Temperature[] list) (zones: Thermal.Zone list) : float voption =
    CpuTemperature.from (Array.concat chips) (Array.ofList zones)
    |> ValueOption.map float

let private fixture (machine: string) =
    CpuTemperature.from (Hwmon.parse (sysFiles machine "")).Temperatures [||]

[<Tests>]
let tests =
    testList
        "Sys.CpuTemperature"
        [
            testCase "of an Ampere Altra the SoC, not the voltage regulators beside it"
            <| fun () ->
                Expect.equal
                    (from
                        [
                            chip
                                "a"
                                "smpro_hwmon"
                                [
                                    "temp1 SoC", 58.0
                                    "temp2 SoC VRD", 80.0
                                    "temp3 DIMM VRD", 70.0
                                    "temp4 CORE VRD", 75.0
                                    "temp5 CH0 DIMM", 85.0
                                    "temp13 RCA VRD", 60.0
                                ]
                        ]
                        [])
                    (ValueSome 58.0)
                    "temp1"

            testCase "zones that are called after the driver of a processor's only sensor are the CPU's"
            <| fun () ->
                for kind in [ "imx_thermal_zone"; "bcm2835_thermal"; "cpu-thermal" ] do
                    Expect.equal (from [] [ zone kind 50.0; zone "soc-thermal" 70.0; zone "acpitz" 27.8 ]) (ValueSome 50.0) kind

                    Expect.equal
                        (from [ chip "a" (kind.Replace('-', '_')) [ "", 51.0 ] ] [ zone "acpitz" 27.8 ])
                        (ValueSome 51.0)
                        "as a chip"

            testCase "of whole machines"
            <| fun () ->
                Expect.equal (fixture "intel-workstation") (ValueSome 61.0<degC>) "Package id 0, not nvme at 84.85"
                Expect.equal (fixture "amd-server") (ValueSome 71.25<degC>) "Tctl"
                Expect.equal (fixture "board-with-cpu-label") (ValueSome 52.5<degC>) "CPUTIN"
                Expect.equal (fixture "sensors-without-cpu-chip") ValueNone "a GPU's sensor is not a CPU's"
                Expect.equal (fixture "thermal-zones-only") ValueNone "no chip at all"

            testCase "a disk, a network adapter, a memory module, a GPU, a battery and a power controller are never the CPU"
            <| fun () ->
                for name, label in
                    [
                        "nvme", "Composite"
                        "drivetemp", ""
                        "mlx5", "asic"
                        "bnxt_en", ""
                        "iwlwifi_1", ""
                        "amdgpu", "edge"
                        "amdgpu", "junction"
                        "nouveau", ""
                        "spd5118", ""
                        "jc42", ""
                        "BAT0", ""
                        "pch_cannonlake", ""
                        "gpu_thermal", ""
                        "npu_thermal", ""
                        "max6695", ""
                        "nct6798", "SYSTIN"
                        "nct6798", "PCH_CPU_TEMP"
                        "asusec", "CPU VRM"
                        "board", "CPU Fan"
                        "board", "VR CPU"
                        "board", "CPU VR0"
                        "board", "CPUVRD"
                        "board", "VRHOT CPU"
                        "board", "CPU Vreg"
                        "board", "CPU Regulator"
                        "smpro_hwmon", "temp2 SoC VRD"
                        "smpro_hwmon", "temp4 CORE VRD"
                        "smpro_hwmon", "temp5 CH0 DIMM"
                    ] do
                    Expect.equal (from [ chip "a" name [ label, 60.0 ] ] []) ValueNone $"{name} {label}"

                for kind in
                    [
                        "PMIC-Die"
                        "pm8150-thermal"
                        "GPU-therm"
                        "gpu-thermal"
                        "iwlwifi_1"
                        "INT3400 Thermal"
                        "pch_skylake"
                        "ddr-thermal"
                        "cpu-pmic"
                        "battery"
                        "AO-therm"
                        "thermal-fan-est"
                        "nvme"
                        "skin-therm"
                    ] do
                    Expect.equal (from [] [ zone kind 60.0 ]) ValueNone kind

            testCase "what is known as a CPU's, by how far it is trusted"
            <| fun () ->
                for name, expected in
                    [
                        "coretemp", CpuTemperature.Trust.Driver
                        "k10temp", CpuTemperature.Trust.Driver
                        "k8temp", CpuTemperature.Trust.Driver
                        "zenpower", CpuTemperature.Trust.Driver
                        "x86_pkg_temp", CpuTemperature.Trust.Driver
                        "cpu_thermal", CpuTemperature.Trust.Cpu
                        "cpu-thermal", CpuTemperature.Trust.Cpu
                        "CPU-therm", CpuTemperature.Trust.Cpu
                        "cpu0-thermal", CpuTemperature.Trust.Cpu
                        "cpu-0-0-thermal", CpuTemperature.Trust.Cpu
                        "cpuss-1-usr", CpuTemperature.Trust.Cpu
                        "mtktscpu", CpuTemperature.Trust.Cpu
                        "ap_cpu0", CpuTemperature.Trust.Cpu
                        "TCPU", CpuTemperature.Trust.Cpu
                        "B0D4", CpuTemperature.Trust.Cpu
                        "bigcore0_thermal", CpuTemperature.Trust.Cpu
                        "littlecore-thermal", CpuTemperature.Trust.Cpu
                        "cluster1_thermal", CpuTemperature.Trust.Cpu
                        "a57-thermal", CpuTemperature.Trust.Cpu
                        "soc_thermal", CpuTemperature.Trust.Soc
                        "SOC0-therm", CpuTemperature.Trust.Soc
                        "package_thermal", CpuTemperature.Trust.Soc
                        "tj-thermal", CpuTemperature.Trust.Soc
                        "sfctemp", CpuTemperature.Trust.Soc
                        "acpitz", CpuTemperature.Trust.Acpi
                    ] do
                    Expect.equal (CpuTemperature.trustOfZone name) (ValueSome expected) name

                for name, label, expected in
                    [
                        "nct6798", "CPUTIN", CpuTemperature.Trust.Board
                        "nct6798", "PECI Agent 0", CpuTemperature.Trust.Board
                        "nct6798", "TSI0_TEMP", CpuTemperature.Trust.Board
                        "it8688", "CPU Temperature", CpuTemperature.Trust.Board
                        "asusec", "CPU Package", CpuTemperature.Trust.Board
                        "max6695", "CPU1", CpuTemperature.Trust.Board
                        "applesmc", "TC0P", CpuTemperature.Trust.Board
                        "scmi_sensors", "cpu_temp", CpuTemperature.Trust.Cpu
                        "apm_xgene", "SoC Temperature", CpuTemperature.Trust.Soc
                        "ibmpowernv", "Chip 0 Core 4", CpuTemperature.Trust.Cpu
                    ] do
                    Expect.equal
                        (CpuTemperature.trustOf (Array.head (chip "a" name [ label, 40.0 ])))
                        (ValueSome expected)
                        $"{name} {label}"

            testCase "the better known sensor counts, not the hotter one"
            <| fun () ->
                let driver = chip "hwmon0" "coretemp" [ "Package id 0", 41.0 ]
                let board = chip "hwmon1" "nct6798" [ "CPUTIN", 99.0 ]
                let acpi = chip "hwmon2" "acpitz" [ "", 99.5 ]
                Expect.equal (from [ acpi; board; driver ] [ zone "cpu-thermal" 98.0 ]) (ValueSome 41.0) "the driver's"

                Expect.equal
                    (from [ acpi; board ] [ zone "cpu-thermal" 55.0; zone "soc-thermal" 70.0 ])
                    (ValueSome 55.0)
                    "a zone behind hwmon"

                Expect.equal (from [ acpi; board ] [ zone "soc-thermal" 70.0 ]) (ValueSome 70.0) "the whole chip"
                Expect.equal (from [ acpi; chip "hwmon1" "nct6798" [ "CPUTIN", 44.0 ] ] []) (ValueSome 44.0) "the board's"
                Expect.equal (from [ acpi ] []) (ValueSome 99.5) "the firmware's"
                Expect.equal (from [ acpi ] [ zone "x86_pkg_temp" 61.0 ]) (ValueSome 61.0) "the package by its zone"

            testCase "AMD: Tdie before Tctl, which may be 27 °C above it, and Tctl before single dies"
            <| fun () ->
                Expect.equal (from [ chip "a" "k10temp" [ "Tctl", 68.0; "Tdie", 41.0; "Tccd1", 43.0 ] ] []) (ValueSome 41.0) "Tdie"
                Expect.equal (from [ chip "a" "k10temp" [ "Tctl", 62.0; "Tccd1", 64.5 ] ] []) (ValueSome 62.0) "Tctl"
                Expect.equal (from [ chip "a" "k10temp" [ "Tccd1", 60.0; "Tccd2", 64.5 ] ] []) (ValueSome 64.5) "the hottest die"

            testCase "Intel: the package before its cores, and of two sockets the hotter one"
            <| fun () ->
                let socket place number package core =
                    chip place "coretemp" [ $"Package id {number}", package; "Core 0", core ]

                Expect.equal (from [ socket "hwmon1" 0 50.0 53.0 ] []) (ValueSome 50.0) "one"
                Expect.equal (from [ socket "hwmon1" 0 50.0 49.0; socket "hwmon2" 1 58.0 57.0 ] []) (ValueSome 58.0) "two"

                Expect.equal
                    (from
                        [
                            socket "hwmon1" 0 50.0 49.0
                            chip "hwmon2" "coretemp" [ "Core 0", 61.0; "Core 1", 60.0 ]
                        ]
                        [])
                    (ValueSome 61.0)
                    "one of whose package does not tell"

            testCase "a value that is none does not stand in the way of a less trusted one"
            <| fun () ->
                for none in [ 0.0; -128.0; 127.0; 255.0 ] do
                    Expect.equal
                        (from [ chip "a" "coretemp" [ "Package id 0", none ]; chip "b" "acpitz" [ "", 45.0 ] ] [])
                        (ValueSome 45.0)
                        $"{none}"

            testCase "whole degrees where millidegrees are due are no temperature"
            <| fun () ->
                let told millidegrees =
                    from [ chip "a" "cpu_thermal" [ "", float millidegrees / 1000.0 ] ] [],
                    from [] [ zone "cpu-thermal" (float millidegrees / 1000.0) ]

                for whole in [ 1; 38; 61; 126; -40 ] do
                    Expect.equal (told whole) (ValueNone, ValueNone) $"{whole}"

                Expect.equal (told 127) (ValueSome 0.127, ValueSome 0.127) "colder than any whole degree of a sensor reads"
                Expect.equal (told -127) (ValueSome -0.127, ValueSome -0.127) "and below"

            testCase "behind a PECI bus the die counts, then its scaled reading, then its cores; the processor's limits never do"
            <| fun () ->
                let peci labels =
                    from [ chip "a" "peci_cputemp.cpu1" labels ] []

                let limits = [ "Tcontrol", 82.0; "Tthrottle", 93.0; "Tjmax", 98.0 ]
                let cores = [ "Core 0", 44.0; "Core 7", 47.0 ]

                Expect.equal (peci ([ "Die", 49.0; "DTS", 46.0 ] @ limits @ cores)) (ValueSome 49.0) "the die"
                Expect.equal (peci (("DTS", 46.0) :: limits @ cores)) (ValueSome 46.0) "scaled"
                Expect.equal (peci (limits @ cores)) (ValueSome 47.0) "the hottest core"
                Expect.equal (peci limits) ValueNone "limits alone"

            testCase "a guest's coretemp that reads 100 °C for all its cores reads nothing"
            <| fun () ->
                let read isGuest sensors =
                    CpuTemperature.from (CpuTemperature.believed (Func<bool>(fun () -> isGuest)) (Array.concat sensors)) [||]

                let cores = chip "a" "coretemp" [ "Package id 0", 100.0; "Core 0", 100.0; "Core 1", 100.0 ]
                Expect.equal (read true [ cores ]) ValueNone "a guest"
                Expect.equal (read false [ cores ]) (ValueSome 100.0<degC>) "a machine as hot as it may be"
                Expect.equal (read true [ cores; chip "b" "acpitz" [ "", 45.0 ] ]) (ValueSome 45.0<degC>) "the others count"
                let working = chip "a" "coretemp" [ "Package id 0", 100.0; "Core 0", 99.0 ]
                Expect.equal (read true [ working ]) (ValueSome 100.0<degC>) "a guest that was given the sensors"

                let unasked = Func<bool>(fun () -> failtest "nobody needs to know")
                Expect.equal (CpuTemperature.believed unasked working) working "not asked"
                Expect.equal (CpuTemperature.believed unasked [||]) [||] "nothing"

            testCase "whether a chip may be a CPU's is known from its name and labels"
            <| fun () ->
                let mayBe name labels =
                    CpuTemperature.mayBeOfCpu
                        [|
                            sysText "/sys/class/hwmon/hwmon0/name" (name + "\n")
                            for i, label in List.indexed labels do
                                sysText $"/sys/class/hwmon/hwmon0/temp{i}_label" (label + "\n")
                        |]

                Expect.isTrue (mayBe "coretemp" []) "by its name"
                Expect.isTrue (mayBe "nct6798" [ "SYSTIN"; "CPUTIN" ]) "by a label"
                Expect.isTrue (mayBe "ibmpowernv" [ "Chip 0 Core 4" ]) "by both"
                Expect.isFalse (mayBe "nvme" [ "Composite"; "Sensor 1" ]) "a disk"
                Expect.isFalse (mayBe "amdgpu" [ "edge"; "junction" ]) "a GPU"
                Expect.isFalse (CpuTemperature.mayBeOfCpu [||]) "nothing"

            testCase "frost is a temperature"
            <| fun () -> Expect.equal (from [ chip "a" "coretemp" [ "Package id 0", -12.0 ] ] []) (ValueSome -12.0) "−12"

            testCase "zones are needed only where no driver tells"
            <| fun () ->
                Expect.isTrue (CpuTemperature.isCertain (chip "a" "k10temp" [ "Tctl", 50.0 ])) "told"
                Expect.isFalse (CpuTemperature.isCertain (chip "a" "k10temp" [ "Tctl", 0.0 ])) "a value that is none"
                Expect.isFalse (CpuTemperature.isCertain (chip "a" "nct6798" [ "CPUTIN", 50.0 ])) "a board's"
                Expect.isFalse (CpuTemperature.isCertain [||]) "nothing"

            testCase "nothing known, nothing told"
            <| fun () -> Expect.equal (from [] []) ValueNone "none"
        ]
