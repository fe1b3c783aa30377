namespace Agent.Core

open System
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Units

/// What one disk did between two samples.
[<NoComparison>]
type DiskRates =
    {
        /// The kernel's name.
        Device: string
        /// Bytes read per second.
        Read: float<B / s>
        /// Bytes written per second.
        Written: float<B / s>
        /// Reads completed per second.
        ReadOps: float</ s>
        /// Writes completed per second.
        WriteOps: float</ s>
        /// Share of the time with at least one request in flight; 0 where the kernel does not count it.
        Utilization: float<percent>
    }

/// What follows from two samples. Every rate is 0 for a first sample and for one that is not later than its predecessor.
[<NoComparison>]
type Derived =
    {
        /// From the sample before to this one; none when this one is not later.
        Interval: float<s> voption
        /// One entry for each disk of the sample.
        Disks: DiskRates[]
        /// Bytes read per second, all disks.
        DiskRead: float<B / s>
        /// Bytes written per second, all disks.
        DiskWritten: float<B / s>
        /// Reads per second, all disks.
        DiskReadOps: float</ s>
        /// Writes per second, all disks.
        DiskWriteOps: float</ s>
        /// Of the busiest disk; 0 without disks.
        DiskUtilization: float<percent>
        /// Mean over the disks; 0 without disks.
        DiskUtilizationMean: float<percent>
        /// Bytes received per second.
        NetworkReceived: float<B / s>
        /// Bytes sent per second.
        NetworkSent: float<B / s>
        /// Of the busiest GPU; none if no GPU reports it.
        TopGpuUtilization: float<percent> voption
        /// Mean over the GPUs that report it.
        MeanGpuUtilization: float<percent> voption
        /// Of the fullest GPU; none if no GPU reports it.
        TopGpuMemory: float<percent> voption
        /// Mean over the GPUs that report it.
        MeanGpuMemory: float<percent> voption
        /// The fastest fan; none without fans.
        FastestFan: float<rpm> voption
        /// Mean over the fans; none without fans.
        MeanFan: float<rpm> voption
    }

/// Rates and roll-ups: a pure function of one sample and the sample before it.
[<RequireQualifiedAccess>]
module Derived =
    let private elapsed (previous: Sample voption) (current: Sample) : float<s> voption =
        match previous with
        | ValueSome previous when current.CollectedAt > previous.CollectedAt ->
            ValueSome(LanguagePrimitives.FloatWithMeasure (current.CollectedAt - previous.CollectedAt).TotalSeconds)
        | _ -> ValueNone

    // A counter that went backwards (reboot, wrap, driver reload) counts 0 for this one sample.
    let private grown (before: uint64<'u>) (after: uint64<'u>) : float<'u> =
        if after > before then
            LanguagePrimitives.FloatWithMeasure(float (uint64 after - uint64 before))
        else
            LanguagePrimitives.FloatWithMeasure 0.0

    // Nor does one that is not counted, at either end.
    let private grownBoth (before: uint64<'u> voption) (after: uint64<'u> voption) : float<'u> =
        match before, after with
        | ValueSome before, ValueSome after -> grown before after
        | _ -> LanguagePrimitives.FloatWithMeasure 0.0

    let private busyShare (interval: float<s>) before after : float<percent> =
        percentOf (grownBoth before after) (millisecondsOfSeconds interval)

    let private diskRates (interval: float<s> voption) (previous: Sample voption) (disk: DiskStats.DiskCounters) =
        let before =
            previous
            |> ValueOption.bind (fun sample ->
                match sample.Disks |> Array.tryFind (fun other -> other.Device = disk.Device) with
                | Some other -> ValueSome other
                | None -> ValueNone)

        match interval, before with
        | ValueSome interval, ValueSome before ->
            {
                Device = disk.Device
                Read = grownBoth before.ReadBytes disk.ReadBytes / interval
                Written = grownBoth before.WrittenBytes disk.WrittenBytes / interval
                ReadOps = grownBoth before.Reads disk.Reads / interval
                WriteOps = grownBoth before.Writes disk.Writes / interval
                Utilization = busyShare interval before.BusyTime disk.BusyTime
            }
        | _ ->
            {
                Device = disk.Device
                Read = 0.0<B / s>
                Written = 0.0<B / s>
                ReadOps = 0.0< / s>
                WriteOps = 0.0< / s>
                Utilization = 0.0<percent>
            }

    let private networkRate (interval: float<s> voption) (previous: Sample voption) (current: Sample) total =
        match interval, ValueOption.bind total previous, total current with
        | ValueSome interval, ValueSome before, ValueSome after -> grown before after / interval
        | _ -> 0.0<B / s>

    let private known (value: Gpu -> float<percent> voption) (gpus: Gpu[]) : float<percent>[] =
        gpus |> Array.choose (fun gpu -> ValueOption.toOption (value gpu))

    let private top (values: float<'u>[]) =
        if values.Length = 0 then
            ValueNone
        else
            ValueSome(Array.max values)

    let private mean (values: float<'u>[]) =
        if values.Length = 0 then
            ValueNone
        else
            ValueSome(Array.average values)

    /// Rates since `previous` and roll-ups of `current`.
    [<CompiledName "From">]
    let from (previous: Sample voption) (current: Sample) : Derived =
        let interval = elapsed previous current
        let disks = current.Disks |> Array.map (diskRates interval previous)
        let utilizations = disks |> Array.map (fun disk -> disk.Utilization)
        let gpuUtilizations = current.Gpus |> known (fun gpu -> gpu.Utilization)
        let gpuMemory = current.Gpus |> known (fun gpu -> gpu.MemoryPercent)

        let fanSpeeds =
            current.Fans
            |> Array.map (fun fan -> LanguagePrimitives.FloatWithMeasure<rpm>(float fan.Speed))

        {
            Interval = interval
            Disks = disks
            DiskRead = disks |> Array.sumBy (fun disk -> disk.Read)
            DiskWritten = disks |> Array.sumBy (fun disk -> disk.Written)
            DiskReadOps = disks |> Array.sumBy (fun disk -> disk.ReadOps)
            DiskWriteOps = disks |> Array.sumBy (fun disk -> disk.WriteOps)
            DiskUtilization = top utilizations |> ValueOption.defaultValue 0.0<percent>
            DiskUtilizationMean = mean utilizations |> ValueOption.defaultValue 0.0<percent>
            NetworkReceived = networkRate interval previous current (fun sample -> sample.NetworkReceived)
            NetworkSent = networkRate interval previous current (fun sample -> sample.NetworkSent)
            TopGpuUtilization = top gpuUtilizations
            MeanGpuUtilization = mean gpuUtilizations
            TopGpuMemory = top gpuMemory
            MeanGpuMemory = mean gpuMemory
            FastestFan = top fanSpeeds
            MeanFan = mean fanSpeeds
        }
