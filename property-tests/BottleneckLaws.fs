/// Laws of the bottleneck label, against the table of docs/sources.md written out as data.
module Agent.PropertyTests.BottleneckLaws

open System
open Agent.Core
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Snapshots
open Expecto
open FsCheck
open FsCheck.FSharp

/// The figures after clamping; `gpu` is NaN when no GPU tells.
type private Figures =
    {
        cpu: float
        iowait: float
        mem: float
        swap: float
        disk: float
        io: float
        gpu: float
    }

/// One row of the table: when it fits, and what it says.
let private withoutGpu: ((Figures -> bool) * string * float * string) list =
    [
        (fun f -> f.mem >= 92.0 || f.swap >= 20.0 || (f.swap >= 5.0 && f.mem >= 80.0)),
        "memory-pressure",
        0.82,
        "Memory {mem}% / swap {swap}%"
        (fun f -> f.disk >= 80.0 || f.iowait >= 20.0), "io-bound", 0.74, "Disk util {disk}% / iowait {iowait}%"
        (fun f -> f.cpu >= 85.0), "cpu-bound", 0.78, "CPU {cpu}% with no GPU telemetry"
        (fun f -> f.cpu < 15.0), "idle", 0.90, "Low CPU and no GPU telemetry"
        (fun _ -> true), "balanced", 0.45, "No GPU telemetry available"
    ]

/// The rows for machines whose GPUs tell.
let private withGpu: ((Figures -> bool) * string * float * string) list =
    [
        (fun f -> f.mem >= 95.0 || f.swap >= 20.0 || (f.swap >= 5.0 && f.mem >= 80.0)),
        "memory-pressure",
        0.90,
        "Memory {mem}% / swap {swap}%"
        (fun f -> f.gpu < 55.0 && (f.disk >= 70.0 || f.iowait >= 15.0)),
        "io-bound",
        0.88,
        "GPU {gpu}% low while disk {disk}% / iowait {iowait}%"
        (fun f -> f.gpu < 55.0 && f.cpu >= 85.0), "cpu-bound", 0.87, "GPU {gpu}% low while CPU {cpu}% is high"
        (fun f -> f.gpu < 55.0 && (f.mem >= 88.0 || (f.swap >= 8.0 && f.mem >= 75.0))),
        "memory-pressure",
        0.75,
        "GPU {gpu}% low while memory {mem}% is high"
        (fun f -> f.gpu < 20.0 && f.cpu < 30.0 && f.disk < 25.0), "idle", 0.85, "GPU, CPU, and disk activity are all low"
        (fun f -> f.gpu < 55.0), "underutilized", 0.55, "GPU {gpu}% below target; check dataloader or batch size"
        (fun f -> f.gpu >= 90.0 && f.cpu < 80.0 && f.disk < 70.0 && f.iowait < 10.0),
        "gpu-bound",
        0.90,
        "GPU {gpu}% saturated while CPU {cpu}% and disk {disk}% are lower"
        (fun f -> f.cpu >= 90.0 && f.gpu >= 70.0), "mixed-cpu-gpu", 0.72, "CPU {cpu}% and GPU {gpu}% are both high"
        (fun f -> f.disk >= 85.0 && f.gpu >= 60.0), "mixed-io-gpu", 0.70, "Disk util {disk}% and GPU {gpu}% are both high"
        (fun f -> f.gpu < 90.0 && f.cpu < 80.0 && f.disk < 70.0 && f.io < 2048.0),
        "balanced",
        0.65,
        "GPU {gpu}% with CPU {cpu}% and disk util {disk}%"
        (fun _ -> true), "mixed", 0.50, "CPU {cpu}%, GPU {gpu}%, disk {disk}%"
    ]

/// No decimals, half to even, by hand.
let private shown (value: float) =
    let down = Math.Floor value
    let rest = value - down

    if rest > 0.5 || (rest = 0.5 && int64 down % 2L = 1L) then
        string (int64 down + 1L)
    else
        string (int64 down)

let private clamp value = max 0.0 (min 100.0 value)

let private expected (inputs: BottleneckInputs) : string * float * string =
    let figures =
        {
            cpu = clamp (float inputs.Cpu)
            iowait = clamp (float inputs.Iowait)
            mem = clamp (float inputs.Memory)
            swap = clamp (float inputs.Swap)
            disk = clamp (float inputs.Disk)
            io = float inputs.DiskThroughput
            gpu =
                match inputs.Gpu with
                | ValueSome gpu -> clamp (float gpu)
                | ValueNone -> nan
        }

    let _, label, confidence, template =
        (if inputs.Gpu.IsSome then withGpu else withoutGpu)
        |> List.find (fun (fits, _, _, _) -> fits figures)

    let reason =
        [
            "cpu", figures.cpu
            "iowait", figures.iowait
            "mem", figures.mem
            "swap", figures.swap
            "disk", figures.disk
            "gpu", figures.gpu
        ]
        |> List.fold (fun (text: string) (name, value) -> text.Replace("{" + name + "}", shown value)) template

    label, confidence, reason

/// Figures on, just below and just above every bound of the table, at its ends and outside.
let private figure: Gen<float<percent>> =
    let bounds =
        [
            5.0
            8.0
            10.0
            15.0
            20.0
            25.0
            30.0
            55.0
            60.0
            70.0
            75.0
            80.0
            85.0
            88.0
            90.0
            92.0
            95.0
        ]

    Gen.frequency
        [
            4, Gen.elements bounds
            2, Gen.elements bounds |> Gen.map Math.BitDecrement
            1, Gen.elements bounds |> Gen.map (fun bound -> bound + 0.1)
            2, Gen.choose (0, 100) |> Gen.map float
            2, Gen.choose (0, 200) |> Gen.map (fun n -> float n / 2.0)
            2, percentage
            1, Gen.elements [ 0.0; 100.0; -3.0; 250.0; infinity; -infinity ]
        ]
    |> Gen.map LanguagePrimitives.FloatWithMeasure

/// A figure that keeps the first rules from firing most times, so that the later rows come up too.
let private low: Gen<float<percent>> =
    Gen.frequency
        [
            3,
            Gen.choose (0, 49)
            |> Gen.map (fun n -> LanguagePrimitives.FloatWithMeasure(float n / 10.0))
            1, figure
        ]

let private inputs: Gen<BottleneckInputs> =
    gen {
        let! cpu = figure
        let! iowait = low
        let! memory = Gen.oneof [ low; figure ]
        let! swap = low
        let! disk = Gen.oneof [ low; figure ]
        let! throughput = Gen.elements [ 0.0; 100.0; 2047.9; 2048.0; 1e6 ]
        let! gpu = maybe figure

        return
            {
                Cpu = cpu
                Iowait = iowait
                Memory = memory
                Swap = swap
                Disk = disk
                DiskThroughput = LanguagePrimitives.FloatWithMeasure throughput
                Gpu = gpu
            }
    }

let private said (bottleneck: Bottleneck) =
    string bottleneck.Label, bottleneck.Confidence, bottleneck.Reason

let tests =
    testList
        "Bottleneck"
        [
            lawOf wholeCases "label, confidence and reason are those of the first row that fits" inputs (fun inputs ->
                same (said (Bottleneck.classify inputs)) (expected inputs))
            lawOf
                wholeCases
                "confidence lies within 0-1 and there is a reason, whatever the figures, NaN included"
                (Gen.arrayOfLength 7 (Gen.oneof [ Gen.map float figure; Gen.constant nan ]))
                (fun n ->
                    let percent i =
                        LanguagePrimitives.FloatWithMeasure<percent> n[i]

                    let bottleneck =
                        Bottleneck.classify
                            {
                                Cpu = percent 0
                                Iowait = percent 1
                                Memory = percent 2
                                Swap = percent 3
                                Disk = percent 4
                                DiskThroughput = LanguagePrimitives.FloatWithMeasure n[5]
                                Gpu = ValueSome(percent 6)
                            }

                    bottleneck.Confidence >= 0.0
                    && bottleneck.Confidence <= 1.0
                    && bottleneck.Reason <> "")
            lawOf wholeCases "the verdict over a sample is that over its figures, unknown ones at 0" samples (fun (previous, current) ->
                let derived = Derived.from previous current

                let orZero value =
                    value |> ValueOption.defaultValue 0.0<percent>

                let inputs =
                    {
                        Cpu = orZero current.CpuUsage
                        Iowait = orZero current.CpuIowait
                        Memory = current.Memory |> ValueOption.map (fun m -> m.Percent) |> orZero
                        Swap = current.Swap |> ValueOption.map (fun s -> s.Percent) |> orZero
                        Disk = derived.DiskUtilization
                        DiskThroughput = LanguagePrimitives.FloatWithMeasure(float (derived.DiskRead + derived.DiskWritten) / 1048576.0)
                        Gpu = derived.TopGpuUtilization
                    }

                same (said (Bottleneck.ofSample current derived)) (expected inputs))
        ]
