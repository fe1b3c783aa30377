namespace Agent.Receiver

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// What rates follow from.
type Measured =
    {
        /// The report as the agent's own code knows samples.
        Sample: Sample
        /// Its figures of the machine.
        Machine: Figures
        /// Its disks.
        Disks: DiskReport[]
        /// Its devices of each kind of `Details.all`.
        Details: DetailReport[][]
    }

/// What follows from a report and the report before it.
type Rates =
    {
        /// Rates and roll-ups, by the agent's own code.
        Derived: Derived
        /// How much each whole number of the machine grew in a second, by its position in `Schema.machine`; NaN where one of the two is not
        /// known, and for a counter that fell.
        Growth: float[]
        /// The same of each disk, by its position in `Schema.disk`.
        Disks: float[][]
        /// The figures of `Details`, by slot; NaN where not known.
        Details: float[]
    }

/// A report with what it says together with the report before it.
type Derivation =
    {
        /// What the rates of the next report follow from.
        Measured: Measured
        /// What this one and the one before say together.
        Rates: Rates
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
            Reads = counter disk.Figures Schema.readCount
            ReadBytes = counter disk.Figures Schema.readBytes
            Writes = counter disk.Figures Schema.writeCount
            WrittenBytes = counter disk.Figures Schema.writeBytes
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
            Name = gpu.Name
            Uuid = gpu.Uuid
            Utilization = number gpu.Figures Schema.gpuUtilization
            MemoryUtilization = number gpu.Figures Schema.gpuMemoryUtilization
            MemoryTotal = total
            MemoryUsed = used
            Temperature = number gpu.Figures Schema.gpuTemperature
            Power = number gpu.Figures Schema.gpuPower
            PowerLimit = number gpu.Figures Schema.gpuPowerLimit
            ThrottleReasons =
                gpu.Figures.Whole Schema.gpuThrottle
                |> ValueOption.map (fun bits -> Throttle.reasonsOf (uint64 bits))
        }

    let private stall (machine: Figures) share total : Pressure.Stall voption =
        match number machine share, counter machine total with
        | ValueSome share, ValueSome total -> ValueSome { Avg10 = share; Total = total }
        | _ -> ValueNone

    let private pressureOf (machine: Figures) : PressureUse =
        {
            CpuSome = stall machine Schema.pressureCpuSome Schema.stalledCpuSome
            IoSome = stall machine Schema.pressureIoSome Schema.stalledIoSome
            IoFull = stall machine Schema.pressureIoFull Schema.stalledIoFull
            MemorySome = stall machine Schema.pressureMemorySome Schema.stalledMemorySome
            MemoryFull = stall machine Schema.pressureMemoryFull Schema.stalledMemoryFull
        }

    /// What rates, roll-ups and verdicts need of a report. What it does not know and they cannot do without counts as 0, as
    /// derived values are defined.
    let private sampleOf (report: Report) : Sample =
        let machine = report.Machine

        { Sample.Empty with
            CollectedAt = report.CollectedAt
            CpuUsage = number machine Schema.cpuUsage
            CpuUser = number machine Schema.cpuUser
            CpuSystem = number machine Schema.cpuSystem
            CpuIowait = number machine Schema.cpuIowait
            CpuSteal = number machine Schema.cpuSteal
            CpuCountLogical =
                machine.Whole Schema.cpuCount
                |> ValueOption.map (fun count -> int (min count (int64 Int32.MaxValue)))
            Pressure = ValueSome(pressureOf machine)
            MemoryTotal = counter machine Schema.memoryTotal
            Memory =
                number machine Schema.memoryPercent
                |> ValueOption.map (fun share ->
                    {
                        Used = counterOrZero machine Schema.memoryUsed
                        Available = counterOrZero machine Schema.memoryAvailable
                        Percent = share
                    }
                    : MemoryUse)
            SwapTotal = counter machine Schema.swapTotal
            Swap =
                number machine Schema.swapPercent
                |> ValueOption.map (fun share ->
                    {
                        Used = counterOrZero machine Schema.swapUsed
                        Percent = share
                    }
                    : SwapUse)
            NetworkReceived = counter machine Schema.networkReceived
            NetworkSent = counter machine Schema.networkSent
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
        }

    /// What the rates of a report and of the one after it follow from.
    [<CompiledName "Measure">]
    let measure (report: Report) : Measured =
        {
            Sample = sampleOf report
            Machine = report.Machine
            Disks = report.Disks
            Details = report.Details
        }

    let private growthOf (interval: float<s> voption) (before: Figures voption) (now: Figures) : float[] =
        match interval, before with
        | ValueSome interval, ValueSome before -> Array.map2 (Growth.perSecond (float interval)) before.Integers now.Integers
        | _ -> Array.create now.Integers.Length nan

    /// Rates and roll-ups of a report, from the one before it in time.
    [<CompiledName "RatesOf">]
    let ratesOf (previous: Measured voption) (current: Measured) : Rates =
        let derived = Derived.from (previous |> ValueOption.map _.Sample) current.Sample

        {
            Derived = derived
            Growth = growthOf derived.Interval (previous |> ValueOption.map _.Machine) current.Machine
            Disks =
                current.Disks
                |> Array.mapi (fun position disk ->
                    let earlier =
                        previous
                        |> ValueOption.bind (fun previous ->
                            Growth.find (fun (other: DiskReport) -> other.Device) previous.Disks position disk.Device)
                        |> ValueOption.map (fun other -> other.Figures)

                    growthOf derived.Interval earlier disk.Figures)
            Details =
                Details.valuesOf
                    (previous |> ValueOption.map _.Details)
                    (derived.Interval |> ValueOption.map float |> ValueOption.defaultValue 0.0)
                    current.Details
        }

    /// The same with the verdict.
    [<CompiledName "Between">]
    let between (previous: Measured voption) (current: Measured) : Derivation =
        let rates = ratesOf previous current

        {
            Measured = current
            Rates = rates
            Bottleneck = Bottleneck.ofSample current.Sample rates.Derived
        }

    /// The code of a derivation's label.
    [<CompiledName "LabelCode">]
    let labelCode (derivation: Derivation) : int =
        Array.IndexOf(BottleneckLabel.All, derivation.Bottleneck.Label)
