namespace Agent.Core.Dashboard

open System
open Agent.Core

/// One figure over time.
type SeriesKind =
    {
        /// Its key in answers.
        Name: string
        /// The steps in which minutes are kept, and answers given: 10 keeps tenths.
        Scale: float
    }

/// What is charted. Figures of one instant lie in one array, slot after slot: those of the machine, then of each disk, each GPU
/// and each fan of the layout.
[<RequireQualifiedAccess>]
module Series =
    let private kinds (entries: (string * float) list) : SeriesKind[] =
        [|
            for name, scale in entries do
                { Name = name; Scale = scale }
        |]

    /// Of the machine.
    let machine: SeriesKind[] =
        kinds
            [
                "cpu_usage_percent", 100.0
                "cpu_user_percent", 100.0
                "cpu_system_percent", 100.0
                "cpu_iowait_percent", 100.0
                "cpu_load_1", 100.0
                "cpu_load_5", 100.0
                "cpu_load_15", 100.0
                "cpu_temperature_c", 10.0
                "cpu_frequency_mhz", 10.0
                "memory_percent", 100.0
                "memory_used_bytes", 1.0
                "memory_available_bytes", 1.0
                "swap_percent", 100.0
                "swap_used_bytes", 1.0
                "network_rx_bytes_per_s", 1.0
                "network_tx_bytes_per_s", 1.0
                "disk_util_percent", 100.0
                "disk_read_bytes_per_s", 1.0
                "disk_write_bytes_per_s", 1.0
                "top_gpu_util_percent", 100.0
                "process_count", 10.0
                "fan_max_rpm", 1.0
                "pressure_cpu_some", 100.0
                "pressure_io_some", 100.0
                "pressure_io_full", 100.0
                "pressure_memory_some", 100.0
                "pressure_memory_full", 100.0
            ]

    /// Of a disk.
    let disk: SeriesKind[] =
        kinds
            [
                "read_bytes_per_s", 1.0
                "write_bytes_per_s", 1.0
                "read_ops_per_s", 10.0
                "write_ops_per_s", 10.0
                "util_percent", 100.0
            ]

    /// Of a GPU.
    let gpu: SeriesKind[] =
        kinds
            [
                "utilization_gpu_percent", 100.0
                "utilization_memory_percent", 100.0
                "memory_percent", 100.0
                "memory_used_bytes", 1.0
                "temperature_c", 10.0
                "power_w", 10.0
                "power_limit_w", 10.0
                "fan_speed_percent", 10.0
            ]

    /// Of a fan.
    let fan: SeriesKind[] = kinds [ "speed_rpm", 1.0 ]

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

    /// The slot of the use of the busiest GPU.
    [<Literal>]
    let TopGpu = 19

    let private orNan (value: float<'u> voption) =
        match value with
        | ValueSome value -> float value
        | ValueNone -> nan

    let private wholeOrNan (figures: Figures) index =
        let value = figures.Wholes[index]
        if value < 0L then nan else float value

    /// What a report and what was derived from it look like in charts.
    [<CompiledName "Of">]
    let ofReport (layout: Layout) (report: Report) (derived: Derived) (label: int) : Point =
        let values = Array.zeroCreate (Series.slots layout)
        let machine = report.Machine
        let decimals = machine.Decimals

        values[0] <- decimals[Schema.cpuUsage]
        values[1] <- decimals[Schema.cpuUser]
        values[2] <- decimals[Schema.cpuSystem]
        values[3] <- decimals[Schema.cpuIowait]
        values[4] <- decimals[Schema.load1]
        values[5] <- decimals[Schema.load5]
        values[6] <- decimals[Schema.load15]
        values[7] <- decimals[Schema.cpuTemperature]
        values[8] <- decimals[Schema.cpuFrequency]
        values[9] <- decimals[Schema.memoryPercent]
        values[10] <- wholeOrNan machine Schema.memoryUsed
        values[11] <- wholeOrNan machine Schema.memoryAvailable
        values[12] <- decimals[Schema.swapPercent]
        values[13] <- wholeOrNan machine Schema.swapUsed

        values[14] <-
            if machine.Wholes[Schema.networkReceived] < 0L then
                nan
            else
                float derived.NetworkReceived

        values[15] <-
            if machine.Wholes[Schema.networkSent] < 0L then
                nan
            else
                float derived.NetworkSent

        if report.Disks.Length = 0 then
            values[16] <- nan
            values[17] <- nan
            values[18] <- nan
        else
            values[16] <- float derived.DiskUtilization
            values[17] <- float derived.DiskRead
            values[18] <- float derived.DiskWritten

        values[TopGpu] <- orNan derived.TopGpuUtilization
        values[20] <- wholeOrNan machine Schema.processCount
        values[21] <- orNan derived.FastestFan
        values[22] <- decimals[Schema.pressureCpuSome]
        values[23] <- decimals[Schema.pressureIoSome]
        values[24] <- decimals[Schema.pressureIoFull]
        values[25] <- decimals[Schema.pressureMemorySome]
        values[26] <- decimals[Schema.pressureMemoryFull]

        for position in 0 .. report.Disks.Length - 1 do
            let first = Series.firstOfDisk position
            let figures = report.Disks[position].Figures
            let rates = derived.Disks[position]

            let known index (rate: float) =
                if figures.Wholes[index] < 0L then nan else rate

            values[first] <- known Schema.readBytes (float rates.Read)
            values[first + 1] <- known Schema.writeBytes (float rates.Written)
            values[first + 2] <- known Schema.readCount (float rates.ReadOps)
            values[first + 3] <- known Schema.writeCount (float rates.WriteOps)
            values[first + 4] <- known Schema.busyTime (float rates.Utilization)

        let throttle =
            if report.Gpus.Length = 0 then
                [||]
            else
                Array.zeroCreate report.Gpus.Length

        for position in 0 .. report.Gpus.Length - 1 do
            let first = Series.firstOfGpu layout position
            let figures = report.Gpus[position].Figures
            values[first] <- figures.Decimals[Schema.gpuUtilization]
            values[first + 1] <- figures.Decimals[Schema.gpuMemoryUtilization]
            values[first + 2] <- figures.Decimals[Schema.gpuMemoryPercent]
            values[first + 3] <- wholeOrNan figures Schema.gpuMemoryUsed
            values[first + 4] <- figures.Decimals[Schema.gpuTemperature]
            values[first + 5] <- figures.Decimals[Schema.gpuPower]
            values[first + 6] <- figures.Decimals[Schema.gpuPowerLimit]
            values[first + 7] <- figures.Decimals[Schema.gpuFanSpeed]
            throttle[position] <- max 0L figures.Wholes[Schema.gpuThrottle]

        for position in 0 .. report.Fans.Length - 1 do
            values[Series.firstOfFan layout position] <- wholeOrNan report.Fans[position].Figures Schema.FanSpeed

        {
            At = RowKey.microseconds report.CollectedAt
            Values = values
            Throttle = throttle
            Label = label
            Covers =
                match derived.Interval with
                | ValueSome interval -> min (float interval) LongestCover
                | ValueNone -> 0.0
        }

/// What one figure did over a while.
[<Struct>]
type Spread =
    {
        /// How many samples knew it.
        Count: int
        /// Their mean; without meaning when there are none.
        Mean: float
        /// Their least.
        Min: float
        /// Their greatest.
        Max: float
    }

/// Joining spreads.
[<RequireQualifiedAccess>]
module Spread =
    /// Of nothing.
    let none: Spread =
        {
            Count = 0
            Mean = 0.0
            Min = 0.0
            Max = 0.0
        }

    /// With one more value; NaN changes nothing.
    let add (value: float) (spread: Spread) : Spread =
        if Double.IsNaN value then
            spread
        elif spread.Count = 0 then
            {
                Count = 1
                Mean = value
                Min = value
                Max = value
            }
        else
            let count = spread.Count + 1

            {
                Count = count
                Mean = spread.Mean + (value - spread.Mean) / float count
                Min = min spread.Min value
                Max = max spread.Max value
            }

    /// Of both together.
    let join (one: Spread) (other: Spread) : Spread =
        if one.Count = 0 then
            other
        elif other.Count = 0 then
            one
        else
            let count = one.Count + other.Count

            {
                Count = count
                Mean = one.Mean + (other.Mean - one.Mean) * (float other.Count / float count)
                Min = min one.Min other.Min
                Max = max one.Max other.Max
            }

/// Samples of a while, put together: a minute of one server, or more.
type Rollup =
    {
        /// How many samples.
        Samples: int
        /// The devices of all of them.
        Layout: Layout
        /// By slot.
        Spreads: Spread[]
        /// Every bit that was set, of each GPU.
        Throttle: int64[]
        /// Seconds for which each label stood, by its code.
        LabelSeconds: float[]
    }

/// Puts points of one layout together, one after the other.
[<Sealed>]
type RollupBuilder(layout: Layout) =
    let spreads = Array.create (Series.slots layout) Spread.none
    let throttle = Array.zeroCreate layout.Gpus.Length
    let seconds = Array.zeroCreate Derivation.labels.Length
    let mutable samples = 0

    /// The devices of all points.
    member _.Layout = layout

    /// Takes one more point.
    member _.Add(point: Point) : unit =
        samples <- samples + 1

        for slot in 0 .. spreads.Length - 1 do
            spreads[slot] <- Spread.add point.Values[slot] spreads[slot]

        for gpu in 0 .. throttle.Length - 1 do
            throttle[gpu] <- throttle[gpu] ||| point.Throttle[gpu]

        seconds[point.Label] <- seconds[point.Label] + point.Covers

    /// All of them together. Its arrays are the builder's own: nothing is added any more.
    member _.Rollup: Rollup =
        {
            Samples = samples
            Layout = layout
            Spreads = spreads
            Throttle = throttle
            LabelSeconds = seconds
        }

/// Putting samples together. Figures belong to devices, and devices come and go, hence the mapping of slots.
[<RequireQualifiedAccess>]
module Rollup =
    /// The layout of both together: what the first has, then what only the second has.
    let joinLayouts (one: Layout) (other: Layout) : Layout =
        if obj.ReferenceEquals(one, other) || one = other then
            one
        else
            let together (firsts: 'a[]) (seconds: 'a[]) =
                Array.append firsts (seconds |> Array.filter (fun entry -> not (Array.contains entry firsts)))

            {
                Disks = together one.Disks other.Disks
                Gpus = together one.Gpus other.Gpus
                Fans = together one.Fans other.Fans
            }

    /// Where each slot of `source` lies in `target`, which has all its devices.
    let slotMap (source: Layout) (target: Layout) : int[] =
        let map = Array.init (Series.slots source) id

        let place (sourceFirst: int) (targetFirst: int) (length: int) =
            for offset in 0 .. length - 1 do
                map[sourceFirst + offset] <- targetFirst + offset

        source.Disks
        |> Array.iteri (fun position device ->
            place (Series.firstOfDisk position) (Series.firstOfDisk (Array.IndexOf(target.Disks, device))) Series.disk.Length)

        source.Gpus
        |> Array.iteri (fun position gpu ->
            place (Series.firstOfGpu source position) (Series.firstOfGpu target (Array.IndexOf(target.Gpus, gpu))) Series.gpu.Length)

        source.Fans
        |> Array.iteri (fun position label ->
            place (Series.firstOfFan source position) (Series.firstOfFan target (Array.IndexOf(target.Fans, label))) Series.fan.Length)

        map

    /// Where each GPU of `source` lies in `target`.
    let gpuMap (source: Layout) (target: Layout) : int[] =
        source.Gpus |> Array.map (fun gpu -> Array.IndexOf(target.Gpus, gpu))

    /// Of no sample.
    let empty: Rollup =
        {
            Samples = 0
            Layout = Layout.empty
            Spreads = Array.create (Series.slots Layout.empty) Spread.none
            Throttle = [||]
            LabelSeconds = Array.zeroCreate Derivation.labels.Length
        }

    /// The same with room for the devices of another layout.
    let private widened (layout: Layout) (rollup: Rollup) : Rollup =
        let joined = joinLayouts rollup.Layout layout

        if obj.ReferenceEquals(joined, rollup.Layout) then
            rollup
        else
            let spreads = Array.create (Series.slots joined) Spread.none
            let throttle = Array.zeroCreate joined.Gpus.Length

            slotMap rollup.Layout joined
            |> Array.iteri (fun slot place -> spreads[place] <- rollup.Spreads[slot])

            gpuMap rollup.Layout joined
            |> Array.iteri (fun gpu place -> throttle[place] <- rollup.Throttle[gpu])

            { rollup with
                Layout = joined
                Spreads = spreads
                Throttle = throttle
            }

    /// Both together.
    [<CompiledName "Join">]
    let join (one: Rollup) (other: Rollup) : Rollup =
        let wide = widened other.Layout one
        let spreads = Array.copy wide.Spreads
        let throttle = Array.copy wide.Throttle

        slotMap other.Layout wide.Layout
        |> Array.iteri (fun slot place -> spreads[place] <- Spread.join spreads[place] other.Spreads[slot])

        gpuMap other.Layout wide.Layout
        |> Array.iteri (fun gpu place -> throttle[place] <- throttle[place] ||| other.Throttle[gpu])

        {
            Samples = one.Samples + other.Samples
            Layout = wide.Layout
            Spreads = spreads
            Throttle = throttle
            LabelSeconds = Array.map2 (+) one.LabelSeconds other.LabelSeconds
        }

    /// Points of one layout, put together.
    let private ofAlike (layout: Layout) (points: Point[]) : Rollup =
        let builder = RollupBuilder layout
        points |> Array.iter builder.Add
        builder.Rollup

    /// Points put together, each with its layout.
    [<CompiledName "OfPoints">]
    let ofPoints (points: (struct (Layout * Point))[]) : Rollup =
        points
        |> Array.groupBy (fun (struct (layout, _)) -> layout)
        |> Array.map (fun (layout, points) -> ofAlike layout (points |> Array.map (fun (struct (_, point)) -> point)))
        |> Array.fold join empty

    // ---- the bytes of a minute -------------------------------------------------------------------------------------------

    let private largest = 4.0e18

    let private units (scale: float) (value: float) : int64 =
        int64 (Math.Clamp(Math.Round(value * scale), -largest, largest))

    /// The bytes in which a minute is kept: how many samples; the seconds of each label in milliseconds; the bits of each GPU; and
    /// of each slot 0 where nobody knew it, else how many did not know it plus 1, the least, how far the greatest is above it, and
    /// how far the mean is.
    [<CompiledName "Pack">]
    let pack (rollup: Rollup) : byte[] =
        let packer = Packer()
        packer.Unsigned(uint64 rollup.Samples)
        packer.Unsigned(uint64 rollup.LabelSeconds.Length)

        for seconds in rollup.LabelSeconds do
            packer.Unsigned(uint64 (Math.Round(seconds * 1000.0)))

        for bits in rollup.Throttle do
            packer.Unsigned(uint64 bits)

        let kinds = Series.kindsOf rollup.Layout

        for slot in 0 .. kinds.Length - 1 do
            let spread = rollup.Spreads[slot]

            if spread.Count = 0 then
                packer.Unsigned 0UL
            else
                let scale = kinds[slot].Scale
                let least = units scale spread.Min
                packer.Unsigned(uint64 (rollup.Samples - spread.Count + 1))
                packer.Unsigned(Packing.zigzag least)
                packer.Unsigned(uint64 (max 0L (units scale spread.Max - least)))
                packer.Unsigned(uint64 (max 0L (units scale spread.Mean - least)))

        packer.ToArray()

    /// Reads what was packed into arrays that are there, of which each has as many entries as its layout needs; figures as whole
    /// numbers of their scale's steps. How many samples they were.
    let unpackInto (spreads: Spread[]) (throttle: int64[]) (labelSeconds: float[]) (bytes: ReadOnlySpan<byte>) : int =
        let mutable position = 0
        let samples = int (Packing.unsigned bytes &position)
        let labels = int (min (Packing.unsigned bytes &position) 255UL)

        for label in 0 .. labels - 1 do
            let milliseconds = Packing.unsigned bytes &position

            if label < labelSeconds.Length then
                labelSeconds[label] <- float milliseconds / 1000.0

        for gpu in 0 .. throttle.Length - 1 do
            throttle[gpu] <- int64 (Packing.unsigned bytes &position)

        for slot in 0 .. spreads.Length - 1 do
            spreads[slot] <-
                match Packing.unsigned bytes &position with
                | 0UL -> Spread.none
                | missing ->
                    let least = Packing.unzigzag (Packing.unsigned bytes &position)
                    let above = int64 (Packing.unsigned bytes &position)
                    let mean = int64 (Packing.unsigned bytes &position)

                    {
                        Count = samples - int missing + 1
                        Mean = float (least + mean)
                        Min = float least
                        Max = float (least + above)
                    }

        samples

    /// The scale of each slot.
    let scalesOf (layout: Layout) : float[] =
        Series.kindsOf layout |> Array.map _.Scale

    /// The roll-up that was packed, but for what its steps rounded off.
    [<CompiledName "Unpack">]
    let unpack (layout: Layout) (bytes: ReadOnlySpan<byte>) : Rollup =
        let scales = scalesOf layout
        let spreads = Array.zeroCreate scales.Length
        let throttle = Array.zeroCreate layout.Gpus.Length
        let seconds = Array.zeroCreate Derivation.labels.Length
        let samples = unpackInto spreads throttle seconds bytes

        for slot in 0 .. scales.Length - 1 do
            let spread = spreads[slot]

            spreads[slot] <-
                {
                    Count = spread.Count
                    Mean = spread.Mean / scales[slot]
                    Min = spread.Min / scales[slot]
                    Max = spread.Max / scales[slot]
                }

        {
            Samples = samples
            Layout = layout
            Spreads = spreads
            Throttle = throttle
            LabelSeconds = seconds
        }
