namespace Agent.Receiver

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// A report with what it says together with the report before it.
type Derivation =
    {
        /// The report as the agent's own code knows samples.
        Sample: Sample
        /// Rates and roll-ups.
        Derived: Derived
        /// What holds the machine back.
        Bottleneck: Bottleneck
    }

/// From reports to the samples that rates and verdicts are functions of, and back from verdicts to what is stored.
[<RequireQualifiedAccess>]
module Derivation =
    let private number (figures: Figures) index : float<'u> voption =
        figures.Decimal index |> ValueOption.map LanguagePrimitives.FloatWithMeasure

    let private counter (figures: Figures) index : uint64<'u> voption =
        figures.Whole index
        |> ValueOption.map (fun value -> LanguagePrimitives.UInt64WithMeasure(uint64 value))

    let private counterOrZero (figures: Figures) index : uint64<'u> =
        counter figures index |> ValueOption.defaultValue 0UL<_>

    let private diskOf (disk: DiskReport) : DiskStats.DiskCounters =
        {
            Device = disk.Device
            Reads = counterOrZero disk.Figures Schema.readCount
            ReadBytes = counterOrZero disk.Figures Schema.readBytes
            Writes = counterOrZero disk.Figures Schema.writeCount
            WrittenBytes = counterOrZero disk.Figures Schema.writeBytes
            BusyTime = counter disk.Figures Schema.busyTime
            Detail = ValueNone
        }

    // Roll-ups are over what the GPUs report, and the core knows a GPU's share as used and total: any memory of which that share
    // is used says the same.
    let private shareOfMemory = 1_000_000_000UL<B>

    let private unknownGpu = Gpu.OfIndex 0

    let private gpuOf (gpu: GpuReport) : Gpu =
        let struct (total, used) =
            match gpu.Figures.Decimal Schema.gpuMemoryPercent with
            | ValueSome share ->
                let used = Math.Round(Math.Clamp(share, 0.0, 100.0) * 1e7)
                struct (ValueSome shareOfMemory, ValueSome(LanguagePrimitives.UInt64WithMeasure(uint64 used)))
            | ValueNone -> struct (ValueNone, ValueNone)

        { unknownGpu with
            Index = gpu.Index
            Utilization = number gpu.Figures Schema.gpuUtilization
            MemoryTotal = total
            MemoryUsed = used
        }

    /// What rates, roll-ups and verdicts need of a report. What it does not know and they cannot do without counts as 0, as
    /// derived values are defined.
    [<CompiledName "SampleOf">]
    let sampleOf (report: Report) : Sample =
        let machine = report.Machine

        {
            CollectedAt = report.CollectedAt
            CpuUsage = number machine Schema.cpuUsage
            CpuUser = number machine Schema.cpuUser
            CpuSystem = number machine Schema.cpuSystem
            CpuIowait = number machine Schema.cpuIowait
            CpuSteal = number machine Schema.cpuSteal
            CpuCores = [||]
            Load = ValueNone
            CpuFrequency = ValueNone
            CpuTemperature = ValueNone
            CpuCountLogical = ValueNone
            CpuCountPhysical = ValueNone
            Memory =
                number machine Schema.memoryPercent
                |> ValueOption.map (fun share ->
                    {
                        Total = counterOrZero machine Schema.memoryTotal
                        Used = counterOrZero machine Schema.memoryUsed
                        Available = counterOrZero machine Schema.memoryAvailable
                        Percent = share
                    }
                    : MemoryUse)
            Swap =
                number machine Schema.swapPercent
                |> ValueOption.map (fun share ->
                    {
                        Total = counterOrZero machine Schema.swapTotal
                        Used = counterOrZero machine Schema.swapUsed
                        Percent = share
                    }
                    : SwapUse)
            NetworkReceived = counter machine Schema.networkReceived
            NetworkSent = counter machine Schema.networkSent
            ProcessCount = ValueNone
            Disks = report.Disks |> Array.map diskOf
            Gpus = report.Gpus |> Array.map gpuOf
            Fans =
                report.Fans
                |> Array.choose (fun fan ->
                    match fan.Figures.Whole Schema.FanSpeed with
                    | ValueSome speed ->
                        Some(
                            {
                                Label = fan.Label
                                Speed = LanguagePrimitives.Int32WithMeasure(int (min speed (int64 Int32.MaxValue)))
                            }
                            : Hwmon.Fan
                        )
                    | ValueNone -> None)
            Pressure = ValueNone
            Interfaces = [||]
            Infiniband = [||]
            Jobs = ValueNone
        }

    /// Rates, roll-ups and the verdict of a sample, from the one before it in time.
    [<CompiledName "Between">]
    let between (previous: Sample voption) (sample: Sample) : Derivation =
        let derived = Derived.from previous sample

        {
            Sample = sample
            Derived = derived
            Bottleneck = Bottleneck.ofSample sample derived
        }

    /// The code of a derivation's label.
    [<CompiledName "LabelCode">]
    let labelCode (derivation: Derivation) : int =
        Array.IndexOf(BottleneckLabel.All, derivation.Bottleneck.Label)
