namespace Agent.Core

open System
open System.Globalization
open Agent.Core.Units

/// What holds the machine back.
[<RequireQualifiedAccess>]
type BottleneckLabel =
    /// Memory is full or swapping.
    | MemoryPressure
    /// The disks cannot keep up.
    | IoBound
    /// The CPUs cannot keep up.
    | CpuBound
    /// The GPUs are saturated, as they should be in training.
    | GpuBound
    /// CPUs and GPUs are both near their limit.
    | MixedCpuGpu
    /// Disks and GPUs are both near their limit.
    | MixedIoGpu
    /// The GPUs wait, and no other resource explains it.
    | Underutilized
    /// Nothing runs.
    | Idle
    /// Work is spread evenly.
    | Balanced
    /// None of the others.
    | Mixed

    /// The name that the webapp stores.
    member label.Name: string =
        match label with
        | MemoryPressure -> "memory-pressure"
        | IoBound -> "io-bound"
        | CpuBound -> "cpu-bound"
        | GpuBound -> "gpu-bound"
        | MixedCpuGpu -> "mixed-cpu-gpu"
        | MixedIoGpu -> "mixed-io-gpu"
        | Underutilized -> "underutilized"
        | Idle -> "idle"
        | Balanced -> "balanced"
        | Mixed -> "mixed"

    /// The name that the webapp stores.
    override label.ToString() = label.Name

    /// All of them. A label's code in the dashboard's database is its place here, from 0: new ones go to the end.
    static member val All: BottleneckLabel[] =
        [|
            MemoryPressure
            IoBound
            CpuBound
            GpuBound
            MixedCpuGpu
            MixedIoGpu
            Underutilized
            Idle
            Balanced
            Mixed
        |]

/// The figures that decide the label.
[<NoComparison>]
type BottleneckInputs =
    {
        /// CPU usage.
        Cpu: float<percent>
        /// Time waiting for I/O.
        Iowait: float<percent>
        /// Memory in use.
        Memory: float<percent>
        /// Swap in use.
        Swap: float<percent>
        /// Utilisation of the busiest disk.
        Disk: float<percent>
        /// Read and written together, all disks.
        DiskThroughput: float<MiB / s>
        /// Utilisation of the busiest GPU; none if no GPU reports it.
        Gpu: float<percent> voption
    }

/// A label and why.
[<NoComparison>]
type Bottleneck =
    {
        /// What holds the machine back.
        Label: BottleneckLabel
        /// How sure the rule is, 0-1.
        Confidence: float
        /// One sentence with the figures that decided.
        Reason: string
    }

/// Decides what holds the machine back: the first rule that applies wins. The rules are those of the webapp;
/// docs/sources.md lists them.
[<RequireQualifiedAccess>]
module Bottleneck =
    let private clamp (value: float<percent>) : float<percent> =
        LanguagePrimitives.FloatWithMeasure(Math.Clamp(float value, 0.0, 100.0))

    /// No decimals, half to even.
    let private shown (value: float<percent>) =
        Math.Round(float value).ToString("0", CultureInfo.InvariantCulture)

    let private verdict label confidence reason =
        {
            Label = label
            Confidence = confidence
            Reason = reason
        }

    let private withoutGpu cpu iowait memory swap disk =
        if
            memory >= 92.0<percent>
            || swap >= 20.0<percent>
            || (swap >= 5.0<percent> && memory >= 80.0<percent>)
        then
            verdict BottleneckLabel.MemoryPressure 0.82 $"Memory {shown memory}%% / swap {shown swap}%%"
        elif disk >= 80.0<percent> || iowait >= 20.0<percent> then
            verdict BottleneckLabel.IoBound 0.74 $"Disk util {shown disk}%% / iowait {shown iowait}%%"
        elif cpu >= 85.0<percent> then
            verdict BottleneckLabel.CpuBound 0.78 $"CPU {shown cpu}%% with no GPU telemetry"
        elif cpu < 15.0<percent> then
            verdict BottleneckLabel.Idle 0.90 "Low CPU and no GPU telemetry"
        else
            verdict BottleneckLabel.Balanced 0.45 "No GPU telemetry available"

    let private withGpu cpu iowait memory swap disk throughput gpu =
        if
            memory >= 95.0<percent>
            || swap >= 20.0<percent>
            || (swap >= 5.0<percent> && memory >= 80.0<percent>)
        then
            verdict BottleneckLabel.MemoryPressure 0.90 $"Memory {shown memory}%% / swap {shown swap}%%"
        elif gpu < 55.0<percent> && (disk >= 70.0<percent> || iowait >= 15.0<percent>) then
            verdict BottleneckLabel.IoBound 0.88 $"GPU {shown gpu}%% low while disk {shown disk}%% / iowait {shown iowait}%%"
        elif gpu < 55.0<percent> && cpu >= 85.0<percent> then
            verdict BottleneckLabel.CpuBound 0.87 $"GPU {shown gpu}%% low while CPU {shown cpu}%% is high"
        elif
            gpu < 55.0<percent>
            && (memory >= 88.0<percent> || (swap >= 8.0<percent> && memory >= 75.0<percent>))
        then
            verdict BottleneckLabel.MemoryPressure 0.75 $"GPU {shown gpu}%% low while memory {shown memory}%% is high"
        elif gpu < 20.0<percent> && cpu < 30.0<percent> && disk < 25.0<percent> then
            verdict BottleneckLabel.Idle 0.85 "GPU, CPU, and disk activity are all low"
        elif gpu < 55.0<percent> then
            verdict BottleneckLabel.Underutilized 0.55 $"GPU {shown gpu}%% below target; check dataloader or batch size"
        elif
            gpu >= 90.0<percent>
            && cpu < 80.0<percent>
            && disk < 70.0<percent>
            && iowait < 10.0<percent>
        then
            verdict BottleneckLabel.GpuBound 0.90 $"GPU {shown gpu}%% saturated while CPU {shown cpu}%% and disk {shown disk}%% are lower"
        elif cpu >= 90.0<percent> && gpu >= 70.0<percent> then
            verdict BottleneckLabel.MixedCpuGpu 0.72 $"CPU {shown cpu}%% and GPU {shown gpu}%% are both high"
        elif disk >= 85.0<percent> && gpu >= 60.0<percent> then
            verdict BottleneckLabel.MixedIoGpu 0.70 $"Disk util {shown disk}%% and GPU {shown gpu}%% are both high"
        elif
            gpu < 90.0<percent>
            && cpu < 80.0<percent>
            && disk < 70.0<percent>
            && throughput < 2048.0<MiB / s>
        then
            verdict BottleneckLabel.Balanced 0.65 $"GPU {shown gpu}%% with CPU {shown cpu}%% and disk util {shown disk}%%"
        else
            verdict BottleneckLabel.Mixed 0.50 $"CPU {shown cpu}%%, GPU {shown gpu}%%, disk {shown disk}%%"

    /// The verdict over figures that may lie outside 0-100; they are clamped first.
    [<CompiledName "Classify">]
    let classify (inputs: BottleneckInputs) : Bottleneck =
        let cpu = clamp inputs.Cpu
        let iowait = clamp inputs.Iowait
        let memory = clamp inputs.Memory
        let swap = clamp inputs.Swap
        let disk = clamp inputs.Disk

        match inputs.Gpu with
        | ValueSome gpu -> withGpu cpu iowait memory swap disk inputs.DiskThroughput (clamp gpu)
        | ValueNone -> withoutGpu cpu iowait memory swap disk

    /// What one sample, and what was derived from it, give to decide by. What the sample does not know counts as 0, as in the
    /// webapp, except for the GPU.
    [<CompiledName "InputsOf">]
    let inputsOf (sample: Sample) (derived: Derived) : BottleneckInputs =
        {
            Cpu = sample.CpuUsage |> ValueOption.defaultValue 0.0<percent>
            Iowait = sample.CpuIowait |> ValueOption.defaultValue 0.0<percent>
            Memory =
                sample.Memory
                |> ValueOption.map (fun memory -> memory.Percent)
                |> ValueOption.defaultValue 0.0<percent>
            Swap =
                sample.Swap
                |> ValueOption.map (fun swap -> swap.Percent)
                |> ValueOption.defaultValue 0.0<percent>
            Disk = derived.DiskUtilization
            DiskThroughput = mibPerSecond (derived.DiskRead + derived.DiskWritten)
            Gpu = derived.TopGpuUtilization
        }

    /// The verdict over one sample and what was derived from it.
    [<CompiledName "Of">]
    let ofSample (sample: Sample) (derived: Derived) : Bottleneck = inputsOf sample derived |> classify
