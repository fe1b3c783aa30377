module Agent.Core.Tests.Gpu.NvidiaSmiTests

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.TestSupport
open Agent.TestSupport.Fixtures
open Agent.TestSupport.Gpu
open Expecto

let private parse (text: byte[]) = NvidiaSmi.parse (ReadOnlySpan text)

let private parseFile (name: string) =
    want (parse (bytes $"nvidia-smi/{name}"))

/// A board that tells nothing but its name, to be completed.
let private board index name uuid : Gpu =
    { Gpu.OfIndex index with
        Name = name
        Uuid = uuid
    }

let private faults (reading: GpuReading) =
    reading.Faults
    |> Array.map (fun fault ->
        match fault with
        | SourceError.Garbled error -> error.Source, error.Line, error.Field, error.Raw
        | other -> failtest $"a garbled text expected, got {other}")

let private header =
    "index, name, uuid, utilization.gpu [%], utilization.memory [%], memory.total [MiB], memory.used [MiB], temperature.gpu, fan.speed [%], power.draw [W], power.limit [W]\n"

/// What each driver answers to all that is asked for, less what it does not know.
let private everything: (string * Gpu[]) list =
    [
        "driver-470-all-geforce",
        [|
            { board 0 "NVIDIA GeForce GTX 1050 Ti" "GPU-11111111-0000-4000-8000-000000000000" with
                Utilization = ValueSome 3.0<percent>
                MemoryUtilization = ValueSome 1.0<percent>
                MemoryTotal = ValueSome 4236247040UL<B>
                MemoryUsed = ValueSome 326107136UL<B>
                Temperature = ValueSome 41.0<degC>
                FanSpeed = ValueSome 33.0<percent>
                ThrottleReasons = ValueSome [| "gpu_idle" |]
                ClockSm = ValueSome 139.0<MHz>
                ClockMemory = ValueSome 405.0<MHz>
                PcieLinkGeneration = ValueSome 1
                PcieLinkWidth = ValueSome 16
            }
            { board 1 "NVIDIA GeForce RTX 3090" "GPU-11111111-0000-4000-8000-000000000001" with
                Utilization = ValueSome 97.0<percent>
                MemoryUtilization = ValueSome 62.0<percent>
                MemoryTotal = ValueSome 25446842368UL<B>
                MemoryUsed = ValueSome 23101177856UL<B>
                Temperature = ValueSome 71.0<degC>
                FanSpeed = ValueSome 84.0<percent>
                Power = ValueSome 348.91<W>
                PowerLimit = ValueSome 350.0<W>
                ThrottleReasons = ValueSome [| "sw_power_cap" |]
                ClockSm = ValueSome 1740.0<MHz>
                ClockMemory = ValueSome 9501.0<MHz>
                PcieLinkGeneration = ValueSome 4
                PcieLinkWidth = ValueSome 16
            }
        |]
        "driver-525-all-a100",
        [|
            { board 0 "NVIDIA A100-SXM4-80GB" "GPU-22222222-0000-4000-8000-000000000000" with
                Utilization = ValueSome 100.0<percent>
                MemoryUtilization = ValueSome 48.0<percent>
                MemoryTotal = ValueSome 85899345920UL<B>
                MemoryUsed = ValueSome 83061899264UL<B>
                Temperature = ValueSome 64.0<degC>
                Power = ValueSome 396.42<W>
                // The one in force, not the 400 W that were asked for.
                PowerLimit = ValueSome 330.0<W>
                ThrottleReasons = ValueSome [| "sw_power_cap"; "hw_thermal_slowdown" |]
                ClockSm = ValueSome 1125.0<MHz>
                ClockMemory = ValueSome 1593.0<MHz>
                PcieLinkGeneration = ValueSome 4
                PcieLinkWidth = ValueSome 16
                EccUncorrected = ValueSome 0UL
                EccCorrected = ValueSome 17UL
                RemappedRowsPending = ValueSome false
                MemoryTemperature = ValueSome 78.0<degC>
                MigMode = ValueSome MigMode.Disabled
            }
            { board 1 "NVIDIA A100-SXM4-80GB" "GPU-22222222-0000-4000-8000-000000000001" with
                Utilization = ValueSome 0.0<percent>
                MemoryUtilization = ValueSome 0.0<percent>
                MemoryTotal = ValueSome 85899345920UL<B>
                MemoryUsed = ValueSome 7340032UL<B>
                Temperature = ValueSome 31.0<degC>
                Power = ValueSome 62.35<W>
                PowerLimit = ValueSome 400.0<W>
                ThrottleReasons = ValueSome [||]
                ClockSm = ValueSome 1410.0<MHz>
                ClockMemory = ValueSome 1593.0<MHz>
                PcieLinkGeneration = ValueSome 4
                PcieLinkWidth = ValueSome 8
                EccUncorrected = ValueSome 3UL
                // More than a number with a point holds exactly.
                EccCorrected = ValueSome 90071992547409931UL
                RemappedRowsPending = ValueSome true
                MemoryTemperature = ValueSome 40.0<degC>
                MigMode = ValueSome MigMode.Disabled
            }
        |]
        "driver-535-all-vgpu",
        [|
            { board 0 "GRID A100D-10C" "GPU-33333333-0000-4000-8000-000000000000" with
                Utilization = ValueSome 12.0<percent>
                MemoryUtilization = ValueSome 4.0<percent>
                MemoryTotal = ValueSome 10737418240UL<B>
                MemoryUsed = ValueSome 1604321280UL<B>
                ClockSm = ValueSome 1410.0<MHz>
                ClockMemory = ValueSome 1512.0<MHz>
                Encoder = ValueSome 0.0<percent>
                Decoder = ValueSome 0.0<percent>
            }
        |]
        "driver-550-all-mig",
        [|
            { board 0 "NVIDIA H100 80GB HBM3" "GPU-44444444-0000-4000-8000-000000000000" with
                MemoryTotal = ValueSome 85520809984UL<B>
                MemoryUsed = ValueSome 11665408000UL<B>
                Temperature = ValueSome 53.0<degC>
                Power = ValueSome 433.78<W>
                PowerLimit = ValueSome 700.0<W>
                ThrottleReasons = ValueSome [||]
                ClockSm = ValueSome 1980.0<MHz>
                ClockMemory = ValueSome 2619.0<MHz>
                PcieLinkGeneration = ValueSome 5
                PcieLinkWidth = ValueSome 16
                EccUncorrected = ValueSome 0UL
                EccCorrected = ValueSome 0UL
                MemoryTemperature = ValueSome 59.0<degC>
                MigMode = ValueSome MigMode.Enabled
            }
            { board 1 "NVIDIA H100 80GB HBM3" "GPU-44444444-0000-4000-8000-000000000001" with
                Utilization = ValueSome 98.0<percent>
                MemoryUtilization = ValueSome 31.0<percent>
                MemoryTotal = ValueSome 85520809984UL<B>
                MemoryUsed = ValueSome 73402417152UL<B>
                Temperature = ValueSome 66.0<degC>
                Power = ValueSome 698.1<W>
                PowerLimit = ValueSome 700.0<W>
                ThrottleReasons = ValueSome [| "sw_power_cap" |]
                ClockSm = ValueSome 1755.0<MHz>
                ClockMemory = ValueSome 2619.0<MHz>
                PcieLinkGeneration = ValueSome 5
                PcieLinkWidth = ValueSome 16
                EccUncorrected = ValueSome 0UL
                EccCorrected = ValueSome 1UL
                RemappedRowsPending = ValueSome false
                Encoder = ValueSome 0.0<percent>
                Decoder = ValueSome 0.0<percent>
                MemoryTemperature = ValueSome 71.0<degC>
                MigMode = ValueSome MigMode.Disabled
            }
        |]
        "driver-570-all-geforce",
        [|
            { board 0 "NVIDIA GeForce RTX 5090" "GPU-99999999-0000-4000-8000-000000000000" with
                Utilization = ValueSome 41.0<percent>
                MemoryUtilization = ValueSome 22.0<percent>
                MemoryTotal = ValueSome 34190917632UL<B>
                MemoryUsed = ValueSome 9563013120UL<B>
                Temperature = ValueSome 58.0<degC>
                FanSpeed = ValueSome 30.0<percent>
                Power = ValueSome 301.77<W>
                PowerLimit = ValueSome 575.0<W>
                ThrottleReasons = ValueSome [||]
                ClockSm = ValueSome 2820.0<MHz>
                ClockMemory = ValueSome 13801.0<MHz>
                PcieLinkGeneration = ValueSome 5
                PcieLinkWidth = ValueSome 16
                Encoder = ValueSome 12.0<percent>
                Decoder = ValueSome 3.0<percent>
            }
        |]
    ]

[<Tests>]
let tests =
    testList
        "Gpu.NvidiaSmi"
        [
            testCase "driver 470: a board without a power sensor beside one that tells everything"
            <| fun () ->
                let reading = parseFile "driver-470-geforce.csv"

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 "NVIDIA GeForce GTX 1050 Ti" "GPU-11111111-0000-4000-8000-000000000000" with
                            Utilization = ValueSome 3.0<percent>
                            MemoryUtilization = ValueSome 1.0<percent>
                            MemoryTotal = ValueSome 4236247040UL<B>
                            MemoryUsed = ValueSome 326107136UL<B>
                            Temperature = ValueSome 41.0<degC>
                            FanSpeed = ValueSome 33.0<percent>
                        }
                        { board 1 "NVIDIA GeForce RTX 3090" "GPU-11111111-0000-4000-8000-000000000001" with
                            Utilization = ValueSome 97.0<percent>
                            MemoryUtilization = ValueSome 62.0<percent>
                            MemoryTotal = ValueSome 25446842368UL<B>
                            MemoryUsed = ValueSome 23101177856UL<B>
                            Temperature = ValueSome 71.0<degC>
                            FanSpeed = ValueSome 84.0<percent>
                            Power = ValueSome 348.91<W>
                            PowerLimit = ValueSome 350.0<W>
                        }
                    |]
                    "GPUs"

                Expect.equal reading.Faults [||] "not available is no fault"

            testCase "driver 418 writes [Not Supported] for what it cannot tell"
            <| fun () ->
                Expect.equal
                    (parseFile "driver-418-not-supported.csv").Gpus
                    [|
                        { board 0 "Quadro K620M" "GPU-11111111-0000-4000-8000-000000000018" with
                            MemoryTotal = ValueSome 2101346304UL<B>
                            MemoryUsed = ValueSome 12582912UL<B>
                            Temperature = ValueSome 44.0<degC>
                        }
                    |]
                    "GPU"

            testCase "driver 525: data-centre boards have no fan; a sick one keeps what it tells"
            <| fun () ->
                let reading = parseFile "driver-525-a100.csv"
                let name = "NVIDIA A100-SXM4-80GB"

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 name "GPU-22222222-0000-4000-8000-000000000000" with
                            Utilization = ValueSome 100.0<percent>
                            MemoryUtilization = ValueSome 48.0<percent>
                            MemoryTotal = ValueSome 85899345920UL<B>
                            MemoryUsed = ValueSome 83061899264UL<B>
                            Temperature = ValueSome 64.0<degC>
                            Power = ValueSome 396.42<W>
                            PowerLimit = ValueSome 400.0<W>
                        }
                        { board 1 name "GPU-22222222-0000-4000-8000-000000000001" with
                            Utilization = ValueSome 0.0<percent>
                            MemoryUtilization = ValueSome 0.0<percent>
                            MemoryTotal = ValueSome 85899345920UL<B>
                            MemoryUsed = ValueSome 7340032UL<B>
                            Temperature = ValueSome 31.0<degC>
                            Power = ValueSome 62.35<W>
                            PowerLimit = ValueSome 400.0<W>
                        }
                        board 2 name "GPU-22222222-0000-4000-8000-000000000002"
                        { board 3 name "GPU-22222222-0000-4000-8000-000000000003" with
                            MemoryTotal = ValueSome 85899345920UL<B>
                            MemoryUsed = ValueSome 0UL<B>
                            PowerLimit = ValueSome 400.0<W>
                        }
                    |]
                    "GPUs"

                Expect.equal
                    reading.Faults
                    [|
                        SourceError.Unreadable("nvidia-smi GPU 2 utilization.gpu (and other fields)", "UNKNOWN")
                        SourceError.Unreadable("nvidia-smi GPU 3", "RESET_REQUIRED")
                    |]
                    "the sick ones"

            testCase "driver 535: a virtual GPU has no sensors, and N/A needs no brackets"
            <| fun () ->
                let reading = parseFile "driver-535-vgpu.csv"

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 "GRID A100D-10C" "GPU-33333333-0000-4000-8000-000000000000" with
                            Utilization = ValueSome 12.0<percent>
                            MemoryUtilization = ValueSome 4.0<percent>
                            MemoryTotal = ValueSome 10737418240UL<B>
                            MemoryUsed = ValueSome 1604321280UL<B>
                        }
                    |]
                    "GPU"

                Expect.equal reading.Faults [||] "not available is no fault"

            testCase "driver 550: a MIG parent reports no utilisation, words for absence are no fault, and a refusal is"
            <| fun () ->
                let reading = parseFile "driver-550-mig.csv"

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 "NVIDIA H100 80GB HBM3" "GPU-44444444-0000-4000-8000-000000000000" with
                            MemoryTotal = ValueSome 85520809984UL<B>
                            MemoryUsed = ValueSome 11665408000UL<B>
                            Temperature = ValueSome 53.0<degC>
                            Power = ValueSome 433.78<W>
                            PowerLimit = ValueSome 700.0<W>
                        }
                        { board 1 "NVIDIA H100 80GB HBM3" "GPU-44444444-0000-4000-8000-000000000001" with
                            MemoryTotal = ValueSome 85520809984UL<B>
                            Temperature = ValueSome 35.0<degC>
                        }
                    |]
                    "GPUs"

                Expect.equal reading.Faults [| SourceError.Unreadable("nvidia-smi GPU 1 memory.used", "NO_PERMISSION") |] "faults"

            testCase "memory in use is none of a percentage that is not known"
            <| fun () ->
                let gpus = (parseFile "driver-550-mig.csv").Gpus
                // 11125 of 81559 MiB
                let share =
                    gpus[0].MemoryPercent
                    |> ValueOption.map (fun share -> Math.Round(float share, 3))

                Expect.equal share (ValueSome 13.640) "known"
                Expect.equal gpus[1].MemoryPercent ValueNone "used is not known"

                Expect.equal
                    { board 0 "" "" with
                        MemoryTotal = ValueSome 0UL<B>
                        MemoryUsed = ValueSome 0UL<B>
                    }
                        .MemoryPercent
                    ValueNone
                    "a share of nothing"

            testCase "commas in a name do not move the other columns"
            <| fun () ->
                Expect.equal
                    (parseFile "name-with-comma.csv").Gpus
                    [|
                        { board 0 "NVIDIA Tesla X, rev. 2, engineering" "GPU-55555555-0000-4000-8000-000000000000" with
                            Utilization = ValueSome 5.0<percent>
                            MemoryUtilization = ValueSome 2.0<percent>
                            MemoryTotal = ValueSome 16944988160UL<B>
                            MemoryUsed = ValueSome 104857600UL<B>
                            Temperature = ValueSome 40.0<degC>
                            FanSpeed = ValueSome 30.0<percent>
                            Power = ValueSome 55.1<W>
                            PowerLimit = ValueSome 250.0<W>
                        }
                    |]
                    "GPU"

            testCase "line ends of another system change nothing"
            <| fun () ->
                Expect.contains (bytes "nvidia-smi/crlf.csv") 13uy "the fixture has kept its line ends"

                Expect.equal
                    (parseFile "crlf.csv").Gpus
                    [|
                        { board 0 "NVIDIA RTX A2000" "GPU-66666666-0000-4000-8000-000000000000" with
                            Utilization = ValueSome 7.0<percent>
                            MemoryUtilization = ValueSome 3.0<percent>
                            MemoryTotal = ValueSome 6436159488UL<B>
                            MemoryUsed = ValueSome 471859200UL<B>
                            Temperature = ValueSome 38.0<degC>
                            FanSpeed = ValueSome 30.0<percent>
                            Power = ValueSome 12.34<W>
                            PowerLimit = ValueSome 70.0<W>
                        }
                    |]
                    "GPU"

            testCase "without a header the columns go by position"
            <| fun () ->
                let gpus = (parseFile "no-header.csv").Gpus
                Expect.hasLength gpus 2 "GPUs"

                Expect.equal
                    gpus[0]
                    { board 0 "NVIDIA L4" "GPU-77777777-0000-4000-8000-000000000000" with
                        Utilization = ValueSome 55.0<percent>
                        MemoryUtilization = ValueSome 20.0<percent>
                        MemoryTotal = ValueSome 24152899584UL<B>
                        MemoryUsed = ValueSome 12582912000UL<B>
                        Temperature = ValueSome 60.0<degC>
                        Power = ValueSome 65.0<W>
                        PowerLimit = ValueSome 72.0<W>
                    }
                    "the first"

            testCase "columns are found by their header, in any order and with units in the cells"
            <| fun () ->
                let reading =
                    want (parse "memory.used [MiB], novelty, index, power.draw [W], utilization.gpu [%]\n512 MiB, x, 3, 99.50 W, 12 %\n"B)

                Expect.equal
                    reading.Gpus
                    [|
                        { board 3 "" "" with
                            Utilization = ValueSome 12.0<percent>
                            MemoryUsed = ValueSome 536870912UL<B>
                            Power = ValueSome 99.5<W>
                        }
                    |]
                    "GPU"

                Expect.equal reading.Faults [||] "faults"

            testCase "no devices are no GPUs and no fault"
            <| fun () ->
                let reading = parseFile "no-devices.txt"
                Expect.equal (reading.Gpus, reading.Faults) ([||], [||]) "nothing"

            testCase "a driver that does not answer is an error with its first line"
            <| fun () ->
                Expect.equal
                    (located (parse (bytes "nvidia-smi/driver-failure.txt")))
                    ("nvidia-smi", 1, "header", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Ma…")
                    "place"

            testCase "a library of another version is an error"
            <| fun () ->
                Expect.equal
                    (located (parse (bytes "nvidia-smi/version-mismatch.txt")))
                    ("nvidia-smi", 1, "header", "Failed to initialize NVML: Driver/library version mismatch")
                    "place"

            testCase "a field that an old driver does not know is an error"
            <| fun () ->
                Expect.equal
                    (located (parse (bytes "nvidia-smi/invalid-field.txt")))
                    ("nvidia-smi", 1, "header", "Field \"power.draw.instant\" is not a valid field to query.")
                    "place"

            testCase "half a last line is a fault and no GPU"
            <| fun () ->
                let reading = parseFile "torn.csv"
                Expect.equal (reading.Gpus |> Array.map (fun gpu -> gpu.Index)) [| 0 |] "the complete one"

                Expect.equal
                    (faults reading)
                    [|
                        "nvidia-smi", 3, "the last line", "1, NVIDIA L40S, GPU-88888888-0000-4000-8000-000000000001, 90, 41, 46068, 31"
                    |]
                    "fault"

            testCase "a message among the rows costs only itself"
            <| fun () ->
                let reading = parseFile "lost-in-the-middle.csv"
                Expect.equal (reading.Gpus |> Array.map (fun gpu -> gpu.Index)) [| 0; 2 |] "the others"

                Expect.equal reading.Faults [| SourceError.Unreadable("nvidia-smi GPU 0000:41:00.0", "GPU_IS_LOST") |] "told once"

            testCase "a board that is lost or wants a reset keeps its place, and is told once"
            <| fun () ->
                for words, name in [ "[GPU is lost]", "GPU_IS_LOST"; "[GPU requires reset]", "RESET_REQUIRED" ] do
                    let cells = String.concat ", " (List.replicate 10 words)
                    let reading = want (parse (utf8 (header + $"0, A, GPU-a, 1, 1, 3, 2, 40, 5, 6.0, 7.0\n1, {cells}\n")))
                    Expect.equal reading.Gpus[1] (board 1 "" "") "nothing known"
                    Expect.equal reading.Gpus[0].Temperature (ValueSome 40.0<degC>) "the other"
                    Expect.equal reading.Faults [| SourceError.Unreadable("nvidia-smi GPU 1", name) |] "told"

            testCase "a value that cannot be read is a fault of its field, and one of all fields is told once"
            <| fun () ->
                let faultsOf cells =
                    (want (parse (utf8 (header + $"3, A, GPU-a, {cells}\n")))).Faults

                for cells, field, reason in
                    [
                        "1, 1, 3, 2, 40, [Unknown Error], 6.0, 7.0", "fan.speed", "UNKNOWN"
                        "1, 1, 3, 2, 40, 5, [Insufficient Permissions], 7.0", "power.draw", "NO_PERMISSION"
                        "1, 1, 3, 2, [GPU access blocked by the operating system], 5, 6.0, 7.0", "temperature.gpu", "OPERATING_SYSTEM"
                        "1, 1, 3, 2, 40, [Timeout], 6.0, 7.0", "fan.speed", "Timeout"
                        String.concat ", " (List.replicate 8 "[Unknown Error]"), "utilization.gpu (and other fields)", "UNKNOWN"
                    ] do
                    Expect.equal (faultsOf cells) [| SourceError.Unreadable($"nvidia-smi GPU 3 {field}", reason) |] cells

                for absent in
                    [
                        "[N/A]"
                        "[Not Supported]"
                        "[Function Not Found]"
                        "[Requested functionality has been deprecated]"
                        "[Not Found]"
                    ] do
                    Expect.equal (faultsOf (String.concat ", " (List.replicate 8 absent))) [||] absent

            testCase "a board whose handle cannot be determined is as good as lost"
            <| fun () ->
                let words = "Unable to determine the device handle for GPU0000:CF:00.0: Unknown Error\n"
                let reading = want (parse (utf8 (header + "0, A, GPU-a, 1, 1, 3, 2, 40, 5, 6.0, 7.0\n" + words)))
                Expect.equal reading.Faults [| SourceError.Unreadable("nvidia-smi GPU 0000:CF:00.0", "GPU_IS_LOST") |] "told"
                Expect.equal (NvidiaSmiFailure.ofOutput 255 (ReadOnlySpan(utf8 words))) NvidiaSmiFailure.GpuLost "without a table"

            testCase "a loop that is refused what it told has lost its session; one that never told it, and a lost board, have not"
            <| fun () ->
                let row cells = $"0, A, GPU-a, 1, 1, 3, 2, {cells}\n"
                let good = row "40, 5, 6.0, 7.0"

                let hasEnded rows =
                    let struct (stream, _) =
                        NvidiaSmiStream.feed
                            (ReadOnlySpan(utf8 (header + String.concat "" rows)))
                            (NvidiaSmiStream.start NvidiaSmiQuery.full)

                    NvidiaSmiStream.hasEndedSession stream

                for rows, expected in
                    [
                        [ good; good ], false
                        [ good; row "[Unknown Error], [Unknown Error], 6.0, 7.0" ], true
                        [ good; row "[Unknown Error], 5, 6.0, 7.0" ], false
                        [
                            row "40, [Unknown Error], [Unknown Error], 7.0"
                            row "40, [Unknown Error], [Unknown Error], 7.0"
                        ],
                        false
                        [ good; row "[GPU is lost], [GPU is lost], [GPU is lost], 7.0" ], false
                        [ good; row "[N/A], [N/A], [N/A], [N/A]" ], false
                        [ good; row "[Insufficient Permissions], [Insufficient Permissions], 6.0, 7.0" ], false
                    ] do
                    Expect.equal (hasEnded rows) expected $"{rows}"

            testCase "a counter of all ones is not told, and one below is a number"
            <| fun () ->
                for cell, expected in
                    [
                        "18446744073709551615", ValueNone
                        "18446744073709551614", ValueSome 18446744073709551614UL
                    ] do
                    let reading = want (parse (utf8 $"index, name, ecc.errors.corrected.aggregate.total\n0, A, {cell}\n"))

                    Expect.equal (reading.Gpus[0].EccCorrected, reading.Faults) (expected, [||]) cell

            testCase "a memory at exactly 0 beside a warm die has no sensor; one in the cold has"
            <| fun () ->
                for die, memory, expected in
                    [
                        "44", "0", ValueNone
                        "21", "0", ValueNone
                        "20", "0", ValueSome 0.0<degC>
                        "-3", "0", ValueSome 0.0<degC>
                        "44", "1", ValueSome 1.0<degC>
                        "[N/A]", "0", ValueSome 0.0<degC>
                    ] do
                    let reading =
                        want (parse (utf8 $"index, name, temperature.gpu, temperature.memory\n0, A, {die}, {memory}\n"))

                    Expect.equal (reading.Gpus[0].MemoryTemperature, reading.Faults) (expected, [||]) $"{die} {memory}"

            testCase "a GPU on the processor's own bus uses the host's memory whatever is said of it, and has no PCIe link"
            <| fun () ->
                let columns =
                    "index, name, memory.total, memory.used, memory.free, pcie.link.gen.current, pcie.link.width.current\n"

                for name, total, isShared in
                    [
                        "NVIDIA GB10", "[N/A]", true
                        "NVIDIA GB10", "124610", true
                        "Orin (nvgpu)", "0", true
                        // Their own memory, and a machine that has as much.
                        "NVIDIA GH200 480GB", "97871", false
                        "NVIDIA GB200", "189471", false
                        "NVIDIA GeForce RTX 4090", "24564", false
                    ] do
                    let reading = want (parse (utf8 (columns + $"0, {name}, {total}, 0, 0, 1, 1\n")))
                    let gpu = reading.Gpus[0]
                    Expect.equal (gpu.IsMemoryShared, reading.Faults) (isShared, [||]) name

                    if isShared then
                        Expect.equal (gpu.MemoryTotal, gpu.MemoryUsed, gpu.MemoryFree) (ValueNone, ValueNone, ValueNone) "the host's"
                        Expect.equal (gpu.PcieLinkGeneration, gpu.PcieLinkWidth) (ValueNone, ValueNone) "made up"
                    else
                        Expect.equal (gpu.MemoryTotal.IsSome, gpu.PcieLinkGeneration) (true, ValueSome 1) "its own"

            testCase "a process that is listed for two instances is one, with all of its memory"
            <| fun () ->
                let processes =
                    want (
                        NvidiaSmi.parseProcesses (
                            ReadOnlySpan(
                                utf8
                                    "gpu_uuid, pid, process_name, used_gpu_memory [MiB]\n\
                                     GPU-a, 7, a, 1000\n\
                                     GPU-a, 8, b, 10\n\
                                     GPU-a, 8, b, 10\n\
                                     GPU-a, 7, a, 500\n"
                            )
                        )
                    )

                let gpus =
                    (NvidiaSmi.withProcesses
                        processes
                        {
                            Gpus = [| board 0 "" "GPU-a" |]
                            Faults = [||]
                        })
                        .Gpus

                Expect.equal
                    (gpus[0].ComputeProcesses
                     |> ValueOption.map (Array.map (fun one -> one.Pid, one.MemoryUsed)))
                    (ValueSome [| 7, ValueSome 1572864000UL<B>; 8, ValueSome 10485760UL<B> |])
                    "1500 MiB and 10"

            testCase "of a divided board nobody knows whose a process on an instance is"
            <| fun () ->
                let of' uuid : NvidiaSmi.ProcessReading =
                    {
                        Processes =
                            [|
                                struct (uuid,
                                        {
                                            Pid = 7
                                            MemoryUsed = ValueNone
                                            Name = "a"
                                        })
                            |]
                        Faults = [||]
                    }

                let divided =
                    { board 0 "" "GPU-a" with
                        MigMode = ValueSome MigMode.Enabled
                    }

                let told processes =
                    (NvidiaSmi.withProcesses
                        processes
                        {
                            Gpus = [| divided; board 1 "" "GPU-b" |]
                            Faults = [||]
                        })
                        .Gpus
                    |> Array.map _.ComputeProcesses

                Expect.equal (told (of' "MIG-1")) [| ValueNone; ValueSome [||] |] "not nobody"
                Expect.equal (told (of' "GPU-b") |> Array.head) (ValueSome [||]) "nobody"

            testCase "memory of 0 is no value, nor is what is said of its parts"
            <| fun () ->
                for zero in [ "0"; "0 MiB" ] do
                    let reading = want (parse (utf8 (header + $"0, A, GPU-a, 1, 1, {zero}, 0, 40, 5, 6.0, 7.0\n")))
                    let gpu = reading.Gpus[0]
                    Expect.equal (gpu.MemoryTotal, gpu.MemoryUsed, gpu.IsMemoryShared) (ValueNone, ValueNone, false) zero
                    Expect.equal gpu.Temperature (ValueSome 40.0<degC>) "the rest"

                    Expect.equal
                        (faults reading
                         |> Array.map (fun (source, line, field, _) -> source, line, field))
                        [| "nvidia-smi", 2, "memory.total" |]
                        "told"

            testCase "no part of the memory is more than all of it, and no total more than a board has"
            <| fun () ->
                for column, cells, field in
                    [
                        "memory.free [MiB]", "100, 101", "memory.free"
                        "memory.free [MiB]", "81920, 17592186044415", "memory.free"
                        "memory.free [MiB]", "81920, 1e300", "memory.free"
                        "memory.reserved [MiB]", "100, 101", "memory.reserved"
                        "memory.used [MiB]", "100, 101", "memory.used"
                        "memory.free [MiB]", "16777217, 5", "memory.total"
                        "memory.free [MiB]", "[N/A], 16777217", "memory.free"
                    ] do
                    let reading = want (parse (utf8 $"index, memory.total [MiB], {column}\n0, {cells}\n"))
                    let gpu = reading.Gpus[0]
                    Expect.equal (gpu.MemoryFree, gpu.MemoryUsed, gpu.MemoryReserved) (ValueNone, ValueNone, ValueNone) cells

                    Expect.equal
                        (faults reading
                         |> Array.map (fun (source, line, field, _) -> source, line, field))
                        [| "nvidia-smi", 2, field |]
                        cells

                let most = want (parse "index, memory.total [MiB], memory.free [MiB]\n0, 16777216, 16777216\n"B)
                Expect.equal (most.Faults, most.Gpus[0].MemoryFree) ([||], ValueSome 17592186044416UL<B>) "the most"

            testCase "a PCIe link that cannot be is none"
            <| fun () ->
                let read generation width =
                    want (parse (utf8 $"index, pcie.link.gen.current, pcie.link.width.current\n0, {generation}, {width}\n"))

                let most = read 16 32
                Expect.equal (most.Gpus[0].PcieLinkGeneration, most.Gpus[0].PcieLinkWidth) (ValueSome 16, ValueSome 32) "the most"
                let more = read 17 33
                Expect.equal (more.Gpus[0].PcieLinkGeneration, more.Gpus[0].PcieLinkWidth) (ValueNone, ValueNone) "more"
                Expect.equal more.Faults.Length 2 "told"

            testCase "the memory of a process is no more than its board's, and two boards of one UUID have none of each other's"
            <| fun () ->
                let processes memory =
                    want (
                        NvidiaSmi.parseProcesses (
                            ReadOnlySpan(utf8 $"pid, used_gpu_memory [MiB], gpu_uuid\n7, {memory}, GPU-a\n8, 1, GPU-a\n")
                        )
                    )

                let one =
                    { board 0 "A" "GPU-a" with
                        MemoryTotal = ValueSome 104857600UL<B>
                    }

                let told memory =
                    NvidiaSmi.withProcesses (processes memory) { Gpus = [| one |]; Faults = [||] }

                let memories (reading: GpuReading) =
                    reading.Gpus[0].ComputeProcesses.Value
                    |> Array.map (fun one -> struct (one.Pid, one.MemoryUsed))

                Expect.equal
                    (memories (told "100"))
                    [| struct (7, ValueSome 104857600UL<B>); struct (8, ValueSome 1048576UL<B>) |]
                    "all of it"

                Expect.equal (told "100").Faults [||] "no fault"
                Expect.equal (memories (told "101")) [| struct (8, ValueSome 1048576UL<B>); struct (7, ValueNone) |] "more"

                Expect.equal
                    (told "101").Faults
                    [|
                        SourceError.Unreadable("nvidia-smi GPU 0 memory of processes", "the driver reports an impossible value")
                    |]
                    "told"

                Expect.equal (processes "17592186044415").Faults.Length 1 "more than any board has"

                let twins =
                    NvidiaSmi.withProcesses
                        (processes "5")
                        {
                            Gpus = [| one; { one with Index = 1 } |]
                            Faults = [||]
                        }

                Expect.isTrue (twins.Gpus |> Array.forall _.ComputeProcesses.IsNone) "whose they are is not known"

            testCase "a board that is lost is told in words too, before the table, in it and in its place"
            <| fun () ->
                let words =
                    "Unable to determine the device handle for GPU0000:41:00.0: GPU is lost.  Reboot the system to recover this GPU\n"

                let row = "0, A, GPU-a, 5, 1, 2, 1, 40, 5, 6.0, 7.0\n"
                let lost = [| SourceError.Unreadable("nvidia-smi GPU 0000:41:00.0", "GPU_IS_LOST") |]

                for text in [ header + row + words; header + words + row; words + header + row ] do
                    let reading = want (parse (utf8 text))
                    Expect.equal (reading.Gpus.Length, reading.Faults) (1, lost) text

                Expect.equal
                    (located (parse (utf8 words)))
                    ("nvidia-smi", 1, "header", Text.excerpt (ReadOnlySpan(utf8 (words.TrimEnd()))))
                    "no table"

                for text, source, reason in
                    [
                        "Unable to determine the device handle for gpu 00000000:41:00.0: The GPU requires a reset\n",
                        "nvidia-smi GPU 00000000:41:00.0",
                        "RESET_REQUIRED"
                        "GPU is lost\n", "nvidia-smi", "GPU_IS_LOST"
                    ] do
                    Expect.equal (want (parse (utf8 (header + row + text)))).Faults [| SourceError.Unreadable(source, reason) |] text

            testCase "a byte order mark before the header is not part of it"
            <| fun () ->
                let text = header + "0, A, GPU-a, 1, 1, 3, 2, 40, 5, 6.0, 7.0\n"
                Expect.equal (parse (utf8 ("\uFEFF" + text))) (parse (utf8 text)) "the same table"

                let apps = "pid, used_gpu_memory [MiB], process_name, gpu_uuid\n7, 1, /bin/x, GPU-a\n"

                Expect.equal
                    (NvidiaSmi.parseProcesses (ReadOnlySpan(utf8 ("\uFEFF" + apps))))
                    (NvidiaSmi.parseProcesses (ReadOnlySpan(utf8 apps)))
                    "processes"

            testCase "a value that is no number costs its own field and is told"
            <| fun () ->
                let reading = want (parse (utf8 (header + "0, A, GPU-a, ??, 1, 3, 2, -x, 5, 6.0, 7.0\n")))

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 "A" "GPU-a" with
                            MemoryUtilization = ValueSome 1.0<percent>
                            MemoryTotal = ValueSome 3145728UL<B>
                            MemoryUsed = ValueSome 2097152UL<B>
                            FanSpeed = ValueSome 5.0<percent>
                            Power = ValueSome 6.0<W>
                            PowerLimit = ValueSome 7.0<W>
                        }
                    |]
                    "the rest"

                Expect.equal
                    (faults reading)
                    [|
                        "nvidia-smi", 2, "utilization.gpu", "??"
                        "nvidia-smi", 2, "temperature.gpu", "-x"
                    |]
                    "faults"

            testCase "values that no board can have are none and told, and below zero is a temperature"
            <| fun () ->
                let reading = want (parse (utf8 (header + "0, A, GPU-a, 101, 1, 2, 3, -5, 5, 4294967.29, 300.0\n")))

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 "A" "GPU-a" with
                            MemoryUtilization = ValueSome 1.0<percent>
                            MemoryTotal = ValueSome 2097152UL<B>
                            Temperature = ValueSome -5.0<degC>
                            FanSpeed = ValueSome 5.0<percent>
                            PowerLimit = ValueSome 300.0<W>
                        }
                    |]
                    "the rest"

                Expect.equal
                    (faults reading |> Array.map (fun (_, _, field, _) -> field) |> Array.sort)
                    [| "memory.used"; "power.draw"; "utilization.gpu" |]
                    "told"

            testCase "text among the rows is the same fault wherever they stand"
            <| fun () ->
                let words = "WARNING: infoROM is corrupted at gpu 0000:B3:00.0\n"
                let row = "0, A, GPU-a, 5, 1, 2, 1, 40, 5, 6.0, 7.0\n"
                let before = (want (parse (utf8 (header + words + row)))).Faults
                let after = (want (parse (utf8 (header + row + row.Replace("0, A", "1, B") + words)))).Faults
                Expect.equal before.Length 1 "one"
                Expect.equal after before "the same"

                for line in
                    [
                        "WARNING: infoROM is corrupted at gpu 0000:B3:00.0, please contact support\n"
                        "2026/11/30 08:00:01.1, NVRM: xid check\n"
                    ] do
                    Expect.equal
                        (faults (want (parse (utf8 (header + row + line))))
                         |> Array.map (fun (source, line, field, _) -> source, line, field))
                        [| "nvidia-smi", 0, "text among the rows" |]
                        line

                Expect.equal
                    (faults (want (parse (utf8 (header + row + row.Replace("0, A", "x, A")))))
                     |> Array.map (fun (_, _, field, _) -> field))
                    [| "index" |]
                    "a row without an index"

            testCase "a table of processes keeps its rows beside other words, and process 0 is nobody"
            <| fun () ->
                let text =
                    "gpu_uuid, pid, process_name, used_gpu_memory [MiB]\nGPU-1, 7, /usr/bin/python3, 1000\nGPU-1, 0, [Not Found], 5\n"
                    + "WARNING: infoROM is corrupted at gpu 0000:B3:00.0, please look\n"

                match NvidiaSmi.parseProcesses (ReadOnlySpan(utf8 text)) with
                | Error error -> failtest $"{error}"
                | Ok reading ->
                    Expect.equal (reading.Processes |> Array.map (fun (struct (_, p)) -> p.Pid)) [| 7 |] "one process"
                    Expect.equal reading.Faults.Length 1 "the warning"

            testCase "a row that lacks its last cells is a fault"
            <| fun () ->
                let reading = want (parse (utf8 (header + "0, A, GPU-a, 5, 1, 2, 3\n")))
                Expect.isNonEmpty reading.Faults "told"

                for source, line, _, _ in faults reading do
                    Expect.equal (source, line) ("nvidia-smi", 2) "place"

            testCase "an empty text is a reading without GPUs"
            <| fun () ->
                let reading = want (parse [||])
                Expect.equal (reading.Gpus, reading.Faults) ([||], [||]) "nothing"

            testCase "the query begins with the eleven fields that every driver knows, in the order that parse expects"
            <| fun () ->
                Expect.equal
                    (NvidiaSmiQuery.arguments NvidiaSmiQuery.full)
                    [|
                        "--query-gpu=index,name,uuid,utilization.gpu,utilization.memory,memory.total,memory.used,temperature.gpu,fan.speed,power.draw,power.limit,"
                        + "count,pci.bus_id,memory.free,memory.reserved,enforced.power.limit,clocks_event_reasons.active,clocks.current.sm,clocks.current.memory,"
                        + "pcie.link.gen.current,pcie.link.width.current,ecc.errors.uncorrected.aggregate.total,"
                        + "ecc.errors.corrected.aggregate.total,remapped_rows.pending,utilization.encoder,utilization.decoder,"
                        + "temperature.memory,mig.mode.current,clocks.max.sm"
                        "--format=csv,nounits"
                    |]
                    "arguments"

            testCase "a loop is the same with an interval, in whole milliseconds"
            <| fun () ->
                Expect.equal
                    (NvidiaSmiQuery.loopArguments (TimeSpan.FromSeconds 2.5) NvidiaSmiQuery.full)
                    (Array.append (NvidiaSmiQuery.arguments NvidiaSmiQuery.full) [| "--loop-ms=2500" |])
                    "arguments"

            testCase "a driver before 535 is asked for throttle reasons by their former name, one before that not at all"
            <| fun () ->
                let without field query =
                    match NvidiaSmiQuery.without field query with
                    | ValueSome fewer -> fewer
                    | ValueNone -> failtest $"without {field}"

                let older = without "clocks_event_reasons.active" NvidiaSmiQuery.full
                let place = Array.IndexOf(NvidiaSmiQuery.fields NvidiaSmiQuery.full, "clocks_event_reasons.active")
                Expect.equal ((NvidiaSmiQuery.fields older)[place]) "clocks_throttle_reasons.active" "the former name"
                let oldest = without "clocks_throttle_reasons.active" older
                Expect.equal (NvidiaSmiQuery.fields oldest).Length 28 "neither"
                Expect.isTrue (NvidiaSmiQuery.without "index" oldest).IsNone "nothing goes without the index"

            testCase "each message in the place of a table has its cause"
            <| fun () ->
                for code, text, cause in
                    [
                        9, "nvidia-smi/driver-failure.txt", NvidiaSmiFailure.DriverNotLoaded
                        18, "nvidia-smi/version-mismatch.txt", NvidiaSmiFailure.VersionMismatch
                        6, "nvidia-smi/no-devices.txt", NvidiaSmiFailure.NoDevices
                        2, "nvidia-smi/invalid-field.txt", NvidiaSmiFailure.UnknownField "power.draw.instant"
                    ] do
                    Expect.equal (NvidiaSmiFailure.ofOutput code (ReadOnlySpan(bytes text))) cause text

                for code, text, cause in
                    [
                        4, "Failed to initialize NVML: Insufficient Permissions\n", NvidiaSmiFailure.NoPermission
                        255, "Failed to initialize NVML: Unknown Error\n", NvidiaSmiFailure.UnknownError
                        255, "Failed to initialize NVML: Driver Not Loaded\n", NvidiaSmiFailure.DriverNotLoaded
                        12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n", NvidiaSmiFailure.LibraryMissing
                        15,
                        "Unable to determine the device handle for GPU0000:41:00.0: GPU is lost.  Reboot the system to recover this GPU\n",
                        NvidiaSmiFailure.GpuLost
                        255, "GPU 0000:41:00.0: GPU requires reset\n", NvidiaSmiFailure.GpuLost
                        15, "", NvidiaSmiFailure.GpuLost
                        // Without words the exit code counts, as nvidia-smi(1) lists it.
                        4, "", NvidiaSmiFailure.NoPermission
                        9, "", NvidiaSmiFailure.DriverNotLoaded
                        12, "", NvidiaSmiFailure.LibraryMissing
                        18, "", NvidiaSmiFailure.VersionMismatch
                        255, "", NvidiaSmiFailure.Other
                        127, "sh: not found\n", NvidiaSmiFailure.Other
                    ] do
                    Expect.equal (NvidiaSmiFailure.ofOutput code (ReadOnlySpan(utf8 text))) cause $"{code} {text}"

            testCase "the words of a failure are its first line that says something"
            <| fun () ->
                for text, words in
                    [
                        "\n\n  Failed to initialize NVML: Unknown Error\r\nmore\n", "Failed to initialize NVML: Unknown Error"
                        "", "it printed nothing"
                        " \n\t\n", "it printed nothing"
                        "a\u0007b", "a\\x07b"
                    ] do
                    Expect.equal (NvidiaSmiFailure.wordsOf (ReadOnlySpan(utf8 text))) words text

            for file, expected in everything do
                testCase $"all that is asked for, as one table and as a round of a loop: {file}"
                <| fun () ->
                    let reading = parseFile $"{file}.csv"
                    Expect.equal (reading.Gpus, reading.Faults) (expected, [||]) "a table"

                    let struct (_, rounds) =
                        NvidiaSmiStream.feed (ReadOnlySpan(bytes $"nvidia-smi/{file}.csv")) (NvidiaSmiStream.start NvidiaSmiQuery.full)

                    Expect.equal rounds [| { Gpus = expected; Faults = [||] } |] "a round"

            testCase "captures of three real boards, idle and under load, read as their rows say, with units and without"
            <| fun () ->
                Captures.ifThere (fun () ->
                    for file, expected in Captures.gpus do
                        for text in [ Captures.text file; Captures.withoutUnits (Captures.text file) ] do
                            let reading = want (parse text)
                            Expect.equal (reading.Gpus, reading.Faults) ([| expected |], [||]) file)

            testCase "captures of processes name them by their programs, most memory first"
            <| fun () ->
                Captures.ifThere (fun () ->
                    for file, expected in Captures.processes do
                        for text in [ Captures.text file; Captures.withoutUnits (Captures.text file) ] do
                            let processes = want (NvidiaSmi.parseProcesses (ReadOnlySpan text))
                            Expect.equal processes.Faults [||] file
                            let board = board 0 "" Captures.Uuid

                            let gpus = (NvidiaSmi.withProcesses processes { Gpus = [| board |]; Faults = [||] }).Gpus

                            Expect.equal gpus[0].ComputeProcesses (ValueSome expected) file)

            testCase "driver 570: who computes, one of them in another container"
            <| fun () ->
                let processes =
                    want (NvidiaSmi.parseProcesses (ReadOnlySpan(bytes "nvidia-smi/driver-570-compute-apps.csv")))

                let uuid = "GPU-99999999-0000-4000-8000-000000000000"

                Expect.equal
                    processes.Processes
                    [|
                        struct (uuid,
                                {
                                    Pid = 4242
                                    MemoryUsed = ValueSome 9137291264UL<B>
                                    Name = "python3.12"
                                })
                        struct (uuid,
                                {
                                    Pid = 991
                                    MemoryUsed = ValueNone
                                    Name = ""
                                })
                    |]
                    "two"

                Expect.equal processes.Faults [||] "not available is no fault"

            testCase "a driver that cannot tell its processes says why"
            <| fun () ->
                Expect.equal
                    (located (NvidiaSmi.parseProcesses (ReadOnlySpan(utf8 "Failed to initialize NVML: Insufficient Permissions\n"))))
                    ("nvidia-smi", 1, "header", "Failed to initialize NVML: Insufficient Permissions")
                    "place"

            testCase "a process whose memory, name or GPU is not told"
            <| fun () ->
                let processes =
                    want (
                        NvidiaSmi.parseProcesses (
                            ReadOnlySpan(
                                utf8
                                    "gpu_uuid, pid, process_name, used_gpu_memory [MiB]\n\
                                     GPU-a, 7, [Not Found], [N/A]\n\
                                     GPU-a, 8, /usr/bin/python3 train.py --key s3cr3t, 100\n\
                                     GPU-b, x, sh, 1\n"
                            )
                        )
                    )

                Expect.equal
                    processes.Processes
                    [|
                        struct ("GPU-a",
                                {
                                    Pid = 7
                                    MemoryUsed = ValueNone
                                    Name = ""
                                })
                        struct ("GPU-a",
                                {
                                    Pid = 8
                                    MemoryUsed = ValueSome 104857600UL<B>
                                    Name = "python3"
                                })
                    |]
                    "arguments are no part of a name"

                Expect.equal processes.Faults.Length 1 "the row without a number is told"

                let named = NvidiaSmi.named (Func<int, string>(fun pid -> if pid = 8 then "trainer" else "")) processes
                let names = named.Processes |> Array.map (fun (struct (_, p)) -> p.Name)
                Expect.equal names [| ""; "trainer" |] "the kernel's name, where there is one"
        ]
