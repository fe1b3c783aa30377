module Agent.Tests.Gpu.NvidiaSmiTests

open System
open System.IO
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.Tests
open Agent.Tests.Fixtures
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

/// Where others' captures lie, if this clone has them beside it.
let private captures = Path.Combine(root, "..", "shared", "fixtures", "nvidia-smi")

let private captured (file: string) : Gpu =
    let reading = want (parse (File.ReadAllBytes(Path.Combine(captures, file))))
    Expect.equal reading.Faults [||] $"faults of {file}"
    Expect.hasLength reading.Gpus 1 $"GPUs of {file}"
    reading.Gpus[0]

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

                Expect.equal reading.Faults [||] "faults"

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

            testCase "driver 550: a MIG parent reports no utilisation, and every word for absence is one"
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

                Expect.equal reading.Faults [||] "faults"

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

                Expect.equal
                    (faults reading
                     |> Array.map (fun (source, line, field, _) -> source, line, field))
                    [| "nvidia-smi", 3, "index" |]
                    "told once"

            testCase "a value that is no number costs its own field and is told"
            <| fun () ->
                let reading = want (parse (utf8 (header + "0, A, GPU-a, ??, 1, 2, 3, -4, 5, 6.0, 7.0\n")))

                Expect.equal
                    reading.Gpus
                    [|
                        { board 0 "A" "GPU-a" with
                            MemoryUtilization = ValueSome 1.0<percent>
                            MemoryTotal = ValueSome 2097152UL<B>
                            MemoryUsed = ValueSome 3145728UL<B>
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
                        "nvidia-smi", 2, "temperature.gpu", "-4"
                    |]
                    "faults"

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

            testCase "the query names its eleven fields in the order that parse expects"
            <| fun () ->
                Expect.equal
                    NvidiaSmi.queryArguments
                    [|
                        "--query-gpu=index,name,uuid,utilization.gpu,utilization.memory,memory.total,memory.used,temperature.gpu,fan.speed,power.draw,power.limit"
                        "--format=csv,nounits"
                    |]
                    "arguments"

            testCase "captures of three real boards, idle and under load, read as their rows say"
            <| fun () ->
                if not (Directory.Exists captures) then
                    Skip.always "no captures of nvidia-smi beside this clone"
                else
                    let uuid = "GPU-00000000-0000-0000-0000-000000000000"
                    let geforce = board 0 "NVIDIA GeForce RTX 2080 SUPER" uuid
                    let h100 = board 0 "NVIDIA H100 80GB HBM3" uuid

                    Expect.equal
                        (captured "geforce-rtx-2080-super__610.57.04/query-gpu.idle.csv")
                        { geforce with
                            Utilization = ValueSome 0.0<percent>
                            MemoryUtilization = ValueSome 0.0<percent>
                            MemoryTotal = ValueSome 8589934592UL<B>
                            MemoryUsed = ValueSome 221249536UL<B>
                            Temperature = ValueSome 33.0<degC>
                            FanSpeed = ValueSome 38.0<percent>
                            Power = ValueSome 39.17<W>
                            PowerLimit = ValueSome 250.0<W>
                        }
                        "GeForce, idle"

                    Expect.equal
                        (captured "geforce-rtx-2080-super__610.57.04/query-gpu.load.csv")
                        { geforce with
                            Utilization = ValueSome 8.0<percent>
                            MemoryUtilization = ValueSome 3.0<percent>
                            MemoryTotal = ValueSome 8589934592UL<B>
                            MemoryUsed = ValueSome 854589440UL<B>
                            Temperature = ValueSome 38.0<degC>
                            FanSpeed = ValueSome 38.0<percent>
                            Power = ValueSome 98.14<W>
                            PowerLimit = ValueSome 250.0<W>
                        }
                        "GeForce, load"

                    Expect.equal
                        (captured "h100-80gb-hbm3__590.48.01/query-gpu.idle.csv")
                        { h100 with
                            Utilization = ValueSome 0.0<percent>
                            MemoryUtilization = ValueSome 0.0<percent>
                            MemoryTotal = ValueSome 85520809984UL<B>
                            MemoryUsed = ValueSome 0UL<B>
                            Temperature = ValueSome 41.0<degC>
                            Power = ValueSome 69.85<W>
                            PowerLimit = ValueSome 700.0<W>
                        }
                        "H100, idle"

                    Expect.equal
                        (captured "h100-80gb-hbm3__590.48.01/query-gpu.load.csv")
                        { h100 with
                            Utilization = ValueSome 100.0<percent>
                            MemoryUtilization = ValueSome 11.0<percent>
                            MemoryTotal = ValueSome 85520809984UL<B>
                            MemoryUsed = ValueSome 20780679168UL<B>
                            Temperature = ValueSome 59.0<degC>
                            Power = ValueSome 631.95<W>
                            PowerLimit = ValueSome 700.0<W>
                        }
                        "H100, load"

                    Expect.equal
                        (captured "h100-mig__590.48.01/query-gpu.idle.csv")
                        { h100 with
                            MemoryTotal = ValueSome 85520809984UL<B>
                            MemoryUsed = ValueSome 61865984UL<B>
                            Temperature = ValueSome 42.0<degC>
                            Power = ValueSome 71.15<W>
                            PowerLimit = ValueSome 700.0<W>
                        }
                        "H100 with MIG, idle"

                    Expect.equal
                        (captured "h100-mig__590.48.01/query-gpu.load.csv")
                        { h100 with
                            MemoryTotal = ValueSome 85520809984UL<B>
                            MemoryUsed = ValueSome 11665408000UL<B>
                            Temperature = ValueSome 53.0<degC>
                            Power = ValueSome 433.78<W>
                            PowerLimit = ValueSome 700.0<W>
                        }
                        "H100 with MIG, load"
        ]
