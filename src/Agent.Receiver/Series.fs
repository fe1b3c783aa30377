namespace Agent.Receiver

open System
open Agent.Core

/// A series and how its figure follows from a sample: NaN where it is not known.
type internal Series<'T> = { Kind: SeriesKind; Of: 'T -> float }

/// What the series of a machine follow from.
[<Struct>]
type internal MachineFigures = { Report: Report; Rates: Rates }

/// What is charted: one row each. A row may be added, moved or removed at any place, since stored minutes carry the names that they
/// were written with. Figures of one instant lie in one array, slot after slot: those of the machine, then of each disk, each GPU
/// and each fan of the layout.
[<RequireQualifiedAccess>]
module Series =
    let private series name unit scale of' : Series<'T> =
        {
            Kind =
                {
                    Name = name
                    Unit = unit
                    Scale = scale
                }
            Of = of'
        }

    let private kinds (rows: Series<'T>[]) : SeriesKind[] = rows |> Array.map _.Kind

    let private orNan (value: float<'u> voption) =
        match value with
        | ValueSome value -> float value
        | ValueNone -> nan

    let private wholeOrNan index (figures: Figures) =
        let value = figures.Integers[index]
        if value < 0L then nan else float value

    let private reported index (machine: MachineFigures) = machine.Report.Machine.Decimals[index]

    let private counted index (machine: MachineFigures) = wholeOrNan index machine.Report.Machine

    /// How much a counter of the machine grows in a second.
    let private growthOf (counter: string) : MachineFigures -> float =
        let index = Array.IndexOf(Schema.machine.Integers, counter)
        fun machine -> machine.Rates.Growth[index]

    /// Milliseconds of a second as a share of it.
    let private share (milliseconds: float) = min 100.0 (milliseconds / 10.0)

    /// How much a counter of a disk grows in a second, which is that disk's row of `Rates.Disks`.
    let private diskGrowth (counter: int) (growth: float[]) = growth[counter]

    let private utilization = diskGrowth Schema.busyTime >> share

    /// The figures of those disks that have one; NaN where none has.
    let private ofDisks (figure: float[] -> float) (together: float -> float -> float) (machine: MachineFigures) =
        let mutable sum = nan

        for disk in machine.Rates.Disks do
            let value = figure disk

            if not (Double.IsNaN value) then
                sum <- if Double.IsNaN sum then value else together sum value

        sum

    /// The use of the busiest GPU.
    [<Literal>]
    let TopGpu = "top_gpu_util_percent"

    /// The use of all CPUs.
    [<Literal>]
    let Cpu = "cpu_usage_percent"

    let internal machineRows: Series<MachineFigures>[] =
        [|
            series Cpu "%" 100.0 (reported Schema.cpuUsage)
            series "cpu_user_percent" "%" 100.0 (reported Schema.cpuUser)
            series "cpu_system_percent" "%" 100.0 (reported Schema.cpuSystem)
            series "cpu_iowait_percent" "%" 100.0 (reported Schema.cpuIowait)
            series "cpu_steal_percent" "%" 100.0 (reported Schema.cpuSteal)
            series "cpu_load_1" "" 100.0 (reported Schema.load1)
            series "cpu_load_5" "" 100.0 (reported Schema.load5)
            series "cpu_load_15" "" 100.0 (reported Schema.load15)
            series "cpu_temperature_c" "°C" 10.0 (reported Schema.cpuTemperature)
            series "cpu_frequency_mhz" "MHz" 10.0 (reported Schema.cpuFrequency)
            series "memory_percent" "%" 100.0 (reported Schema.memoryPercent)
            series "memory_used_bytes" "B" 1.0 (counted Schema.memoryUsed)
            series "memory_available_bytes" "B" 1.0 (counted Schema.memoryAvailable)
            series "swap_percent" "%" 100.0 (reported Schema.swapPercent)
            series "swap_used_bytes" "B" 1.0 (counted Schema.swapUsed)
            series "network_rx_bytes_per_s" "B/s" 1.0 (growthOf "network_rx_bytes_total")
            series "network_tx_bytes_per_s" "B/s" 1.0 (growthOf "network_tx_bytes_total")
            series "tcp_retransmits_per_s" "1/s" 10.0 (growthOf "tcp_segments_retransmitted_total")
            series "tcp_segments_sent_per_s" "1/s" 10.0 (growthOf "tcp_segments_sent_total")
            series "disk_util_percent" "%" 100.0 (ofDisks utilization max)
            series "disk_read_bytes_per_s" "B/s" 1.0 (ofDisks (diskGrowth Schema.readBytes) (+))
            series "disk_write_bytes_per_s" "B/s" 1.0 (ofDisks (diskGrowth Schema.writeBytes) (+))
            series TopGpu "%" 100.0 (fun machine -> orNan machine.Rates.Derived.TopGpuUtilization)
            series "process_count" "" 10.0 (counted Schema.processCount)
            series "fan_max_rpm" "RPM" 1.0 (fun machine -> orNan machine.Rates.Derived.FastestFan)
            series "pressure_cpu_some" "%" 100.0 (reported Schema.pressureCpuSome)
            series "pressure_io_some" "%" 100.0 (reported Schema.pressureIoSome)
            series "pressure_io_full" "%" 100.0 (reported Schema.pressureIoFull)
            series "pressure_memory_some" "%" 100.0 (reported Schema.pressureMemorySome)
            series "pressure_memory_full" "%" 100.0 (reported Schema.pressureMemoryFull)
        |]

    let internal diskRows: Series<float[]>[] =
        [|
            series "read_bytes_per_s" "B/s" 1.0 (diskGrowth Schema.readBytes)
            series "write_bytes_per_s" "B/s" 1.0 (diskGrowth Schema.writeBytes)
            series "read_ops_per_s" "1/s" 10.0 (diskGrowth Schema.readCount)
            series "write_ops_per_s" "1/s" 10.0 (diskGrowth Schema.writeCount)
            series "util_percent" "%" 100.0 utilization
        |]

    let private decimal index (figures: Figures) = figures.Decimals[index]

    let internal gpuRows: Series<Figures>[] =
        [|
            series "utilization_gpu_percent" "%" 100.0 (decimal Schema.gpuUtilization)
            series "utilization_memory_percent" "%" 100.0 (decimal Schema.gpuMemoryUtilization)
            series "memory_percent" "%" 100.0 (decimal Schema.gpuMemoryPercent)
            series "memory_used_bytes" "B" 1.0 (wholeOrNan Schema.gpuMemoryUsed)
            series "temperature_c" "°C" 10.0 (decimal Schema.gpuTemperature)
            series "power_w" "W" 10.0 (decimal Schema.gpuPower)
            series "power_limit_w" "W" 10.0 (decimal Schema.gpuPowerLimit)
            series "fan_speed_percent" "%" 10.0 (decimal Schema.gpuFanSpeed)
        |]

    let internal fanRows: Series<Figures>[] =
        [| series "speed_rpm" "RPM" 1.0 (wholeOrNan Schema.FanSpeed) |]

    /// Of the machine.
    let machine: SeriesKind[] = kinds machineRows

    /// Of a disk.
    let disk: SeriesKind[] = kinds diskRows

    /// Of a GPU.
    let gpu: SeriesKind[] = kinds gpuRows

    /// Of a fan.
    let fan: SeriesKind[] = kinds fanRows

    /// The slot of a series of the machine.
    [<CompiledName "SlotOf">]
    let slotOf (name: string) : int =
        machine |> Array.findIndex (fun kind -> kind.Name = name)

    /// The slot of the first figure of the layout's disk of that position.
    let firstOfDisk (position: int) = machine.Length + disk.Length * position

    /// The slot of the first figure of the layout's GPU of that position.
    let firstOfGpu (layout: Layout) (position: int) =
        firstOfDisk layout.Disks.Length + gpu.Length * position

    /// The slot of the layout's fan of that position.
    let firstOfFan (layout: Layout) (position: int) =
        firstOfGpu layout layout.Gpus.Length + fan.Length * position

    /// The number of slots.
    let slots (layout: Layout) = firstOfFan layout layout.Fans.Length

    /// The kind of each slot.
    let kindsOf (layout: Layout) : SeriesKind[] =
        Array.concat
            [
                machine
                Array.concat (Array.replicate layout.Disks.Length disk)
                Array.concat (Array.replicate layout.Gpus.Length gpu)
                Array.concat (Array.replicate layout.Fans.Length fan)
            ]

/// One sample as it is charted.
type Point =
    {
        /// Microseconds from 2000-01-01.
        At: int64
        /// By slot; NaN where not known.
        Values: float[]
        /// The driver's bits of each GPU; 0 for none and for not known.
        Throttle: int64[]
        /// The figures of `Details`, by slot; none where they were not read.
        Details: float[]
        /// The label's code.
        Label: int
        /// Seconds that the label is known to stand for: from the sample before, 60 at most.
        Covers: float
    }

/// Points of samples.
[<RequireQualifiedAccess>]
module Point =
    /// No sample speaks for more than this, in seconds.
    [<Literal>]
    let LongestCover = 60.0

    /// What a report and its rates look like in charts.
    [<CompiledName "Of">]
    let ofReport (layout: Layout) (report: Report) (rates: Rates) (label: int) : Point =
        let values = Array.zeroCreate (Series.slots layout)

        let fill first (rows: Series<'T>[]) (from: 'T) =
            for offset in 0 .. rows.Length - 1 do
                values[first + offset] <- rows[offset].Of from

        fill 0 Series.machineRows { Report = report; Rates = rates }

        for position in 0 .. report.Disks.Length - 1 do
            fill (Series.firstOfDisk position) Series.diskRows rates.Disks[position]

        let throttle =
            if report.Gpus.Length = 0 then
                [||]
            else
                Array.zeroCreate report.Gpus.Length

        for position in 0 .. report.Gpus.Length - 1 do
            let figures = report.Gpus[position].Figures
            fill (Series.firstOfGpu layout position) Series.gpuRows figures
            throttle[position] <- max 0L figures.Integers[Schema.gpuThrottle]

        for position in 0 .. report.Fans.Length - 1 do
            fill (Series.firstOfFan layout position) Series.fanRows report.Fans[position].Figures

        {
            At = RowKey.microseconds report.CollectedAt
            Values = values
            Throttle = throttle
            Details = rates.Details
            Label = label
            Covers =
                match rates.Derived.Interval with
                | ValueSome interval -> min (float interval) LongestCover
                | ValueNone -> 0.0
        }
