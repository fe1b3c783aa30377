namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Gpu
open Agent.Receiver

/// The figures of each bucket, as they were answered.
[<NoComparison>]
type ClusterBuckets =
    {
        /// `ClusterQueries.buckets` by the mean.
        Mean: ClusterSeries[]
        /// By the least.
        Least: ClusterSeries[]
        /// By the greatest.
        Greatest: ClusterSeries[]
        /// `ClusterQueries.states`.
        States: ClusterSeries[]
    }

/// Histories from what a cluster answers.
[<RequireQualifiedAccess>]
module ClusterHistory =
    let private second = 1_000_000L

    /// The points of samples, each with what it said and what its label was decided by; those before `from` only lend their counters.
    let private pointsOf (from: int64) (reports: ClusterReport[]) =
        let points = ResizeArray<struct (Layout * Point * BottleneckInputs * VerdictPoint)>()
        let mutable previous = ValueNone
        let mutable layout = Layout.empty

        for one in reports do
            let measured = Derivation.measure one.Report
            let derivation = Derivation.between previous measured
            previous <- ValueSome measured

            if RowKey.microseconds one.Report.CollectedAt >= from then
                if not (Layout.fits layout one.Report) then
                    layout <- Layout.ofReport one.Report

                points.Add(
                    struct (layout,
                            Point.ofReport layout one.Report derivation.Rates (Derivation.labelCode derivation),
                            Bottleneck.inputsOf measured.Sample derivation.Rates.Derived,
                            {
                                Label =
                                    match one.Said with
                                    | ValueSome(struct (label, _)) -> JobSchema.codeOf label
                                    | ValueNone -> -1
                                Jobs = [||]
                            })
                )

        points

    /// Samples from the one before a stretch to its end, in the order of time.
    let private within (axis: Axis) (reports: ClusterReport[]) =
        reports
        |> Array.filter (fun one -> RowKey.microseconds one.Report.CollectedAt <= axis.To)

    /// How many of these samples lie in a stretch.
    [<CompiledName "Count">]
    let count (from: int64) (until: int64) (reports: ClusterReport[]) : int =
        reports
        |> Array.sumBy (fun one ->
            let at = RowKey.microseconds one.Report.CollectedAt
            if at >= from && at <= until then 1 else 0)

    /// The devices of so many layouts, or the busiest of them where they are too many.
    let private prepared (axis: Axis) (layouts: (struct (Layout * int))[]) (look: DeviceCensus -> unit) : History =
        let census = DeviceCensus()

        for struct (layout, rows) in layouts do
            census.See(layout, int64 rows)

        if census.Count <= Axis.MostDevices then
            History(Axis.within census.Slots axis)
        else
            look census
            let choice = census.Choose Axis.MostDevices
            History(Axis.within (Series.slots choice.Devices) axis, ValueSome choice)

    let private distinct (layouts: Layout seq) : (struct (Layout * int))[] =
        let counts = Dictionary<Layout, int>(HashIdentity.Reference)

        for layout in layouts do
            counts[layout] <-
                (match counts.TryGetValue layout with
                 | true, count -> count
                 | _ -> 0)
                + 1

        [|
            for entry in counts do
                struct (entry.Key, entry.Value)
        |]

    /// The main charts of samples, the one before the axis among them where there is one.
    [<CompiledName "OfSamples">]
    let ofSamples (axis: Axis) (reports: ClusterReport[]) : History =
        let points = within axis reports |> pointsOf axis.From
        let layouts = points |> Seq.map (fun (struct (layout, _, _, _)) -> layout) |> distinct

        let history =
            prepared axis layouts (fun census ->
                for struct (layout, point, _, _) in Seq.truncate 200 (Seq.rev points) do
                    census.Look(layout, point.Values))

        for struct (layout, point, inputs, said) in points do
            history.Add(layout, point, inputs, said)

        history

    /// One kind of details of samples, by its position.
    [<CompiledName "DetailsOfSamples">]
    let detailsOfSamples (axis: Axis) (kind: int) (reports: ClusterReport[]) : DetailHistory =
        let points = within axis reports |> pointsOf axis.From

        let history =
            DetailHistory.Of(axis, kind, points |> Seq.map (fun (struct (layout, _, _, _)) -> layout) |> Seq.distinct)

        for struct (layout, point, _, _) in points do
            history.Add(layout, point)

        history

    // ---- buckets ---------------------------------------------------------------------------------------------------------

    /// The bucket of an axis that an answer is of: queries ask at its last millisecond.
    let private bucketOf (axis: Axis) (at: int64) : int =
        if at < axis.Start then
            -1
        else
            int ((at - axis.Start) / axis.Step)

    /// Which object and which figure an answer is of: `disks/util_percent`.
    let private partsOf (series: ClusterSeries) : struct (string * string) =
        let name = series.Label "k"

        match name.IndexOf '/' with
        | -1 -> struct ("", "")
        | slash -> struct (name.Substring(0, slash), name.Substring(slash + 1))

    let private objectNamed (name: string) : ClusterObject voption =
        match ClusterMetrics.all |> Array.tryFind (fun things -> things.Name = name) with
        | Some things -> ValueSome things
        | None -> ValueNone

    let private sorted (names: string seq) : string[] =
        names
        |> Seq.filter (fun name -> name <> "")
        |> Seq.distinct
        |> Seq.sortWith ClusterReports.compareNames
        |> Seq.truncate ClusterReports.MostDevices
        |> Array.ofSeq

    let private namesOf (things: ClusterObject) (series: ClusterSeries[]) : string[] =
        series
        |> Seq.filter (fun one ->
            let struct (name, _) = partsOf one
            name = things.Name)
        |> Seq.map (ClusterReports.nameOf things)
        |> sorted

    /// The devices that answers name.
    let private layoutOf (series: ClusterSeries[]) : Layout =
        let ofGpus =
            series
            |> Array.filter (fun one ->
                let struct (name, _) = partsOf one
                name = ClusterMetrics.gpus.Name)

        let labelOf (gpu: string) (label: string) =
            ofGpus
            |> Array.tryPick (fun one ->
                match one.Label "gpu" = gpu, one.Label label with
                | true, value when value <> "" -> Some value
                | _ -> None)
            |> Option.defaultValue ""

        { Layout.empty with
            Disks = namesOf ClusterMetrics.disks series
            Fans = namesOf ClusterMetrics.fans series
            Gpus =
                namesOf ClusterMetrics.gpus series
                |> Array.filter (fun name -> ClusterReports.indexOf name >= 0)
                |> Array.map (fun name ->
                    {
                        Index = ClusterReports.indexOf name
                        Name = labelOf name "modelName"
                        Uuid = labelOf name "UUID"
                    })
        }

    let private offsetIn (kinds: SeriesKind[]) (name: string) : int =
        kinds
        |> Array.tryFindIndex (fun kind -> kind.Name = name)
        |> Option.defaultValue -1

    /// The slot of an answer in a layout; -1 for none.
    let private slotOf (layout: Layout) (series: ClusterSeries) : int =
        let struct (things, figure) = partsOf series

        let device (names: string[]) (name: string) (kinds: SeriesKind[]) (first: int -> int) =
            match Array.IndexOf(names, name), offsetIn kinds figure with
            | -1, _
            | _, -1 -> -1
            | position, offset -> first position + offset

        if things = ClusterMetrics.machine.Name then
            offsetIn Series.machine figure
        elif things = ClusterMetrics.disks.Name then
            device layout.Disks (series.Label "device") Series.disk Series.firstOfDisk
        elif things = ClusterMetrics.gpus.Name then
            let names = layout.Gpus |> Array.map (fun gpu -> string gpu.Index)
            device names (series.Label "gpu") Series.gpu (Series.firstOfGpu layout)
        elif things = ClusterMetrics.fans.Name then
            device layout.Fans (series.Label "fan") Series.fan (Series.firstOfFan layout)
        else
            -1

    /// Puts mean, least and greatest of each slot together, by bucket: those that are known of so many samples each.
    let private spreadsOf (axis: Axis) (slots: int) (slotOf: ClusterSeries -> int) (samples: int[]) (buckets: ClusterBuckets) : Spread[][] =
        let spreads = Array.init axis.Count (fun _ -> Array.create slots Spread.none)

        let each (series: ClusterSeries[]) (change: float -> Spread -> Spread) =
            for one in series do
                let slot = slotOf one

                if slot >= 0 then
                    for i in 0 .. one.Times.Length - 1 do
                        let bucket = bucketOf axis one.Times[i]

                        if bucket >= 0 && bucket < axis.Count && not (Double.IsNaN one.Values[i]) then
                            spreads[bucket][slot] <- change one.Values[i] (spreads[bucket][slot])

        for one in buckets.Mean do
            let slot = slotOf one

            if slot >= 0 then
                for i in 0 .. one.Times.Length - 1 do
                    let bucket = bucketOf axis one.Times[i]

                    if
                        bucket >= 0
                        && bucket < axis.Count
                        && samples[bucket] > 0
                        && not (Double.IsNaN one.Values[i])
                    then
                        spreads[bucket][slot] <-
                            {
                                Count = samples[bucket]
                                Mean = one.Values[i]
                                Min = one.Values[i]
                                Max = one.Values[i]
                            }

        // A least or a greatest stands with its mean alone, and not on the wrong side of it.
        each buckets.Least (fun value spread ->
            if spread.Count > 0 then
                { spread with
                    Min = min spread.Mean value
                }
            else
                spread)

        each buckets.Greatest (fun value spread ->
            if spread.Count > 0 then
                { spread with
                    Max = max spread.Mean value
                }
            else
                spread)

        spreads

    /// Shares of a second cannot pass it, whatever was extrapolated.
    let private bounded (kinds: SeriesKind[]) (spreads: Spread[][]) : Spread[][] =
        let isShare = kinds |> Array.map (fun kind -> kind.Unit = "%")

        for bucket in spreads do
            for slot in 0 .. bucket.Length - 1 do
                if isShare[slot] && bucket[slot].Count > 0 then
                    bucket[slot] <- Spread.map (min 100.0) bucket[slot]

        spreads

    /// How many samples each bucket has.
    let private samplesOf (axis: Axis) (states: ClusterSeries[]) : int[] =
        let samples = Array.zeroCreate axis.Count

        for one in states do
            if one.Label "k" = ClusterMetrics.timestamp then
                for i in 0 .. one.Times.Length - 1 do
                    let bucket = bucketOf axis one.Times[i]

                    if bucket >= 0 && bucket < axis.Count && one.Values[i] > 0.0 then
                        samples[bucket] <- max samples[bucket] (int (min 1e6 one.Values[i]))

        samples

    /// So many samples of each label in each bucket, by bucket and label.
    let private labelsOf (axis: Axis) (family: string) (label: string) (names: string[]) (states: ClusterSeries[]) : float[][] =
        let counts: float[][] = Array.init axis.Count (fun _ -> Array.zeroCreate names.Length)

        for one in states do
            if one.Label "k" = family then
                match Array.IndexOf(names, one.Label label) with
                | -1 -> ()
                | place ->
                    for i in 0 .. one.Times.Length - 1 do
                        let bucket = bucketOf axis one.Times[i]

                        if bucket >= 0 && bucket < axis.Count && one.Values[i] > 0.0 then
                            counts[bucket][place] <- counts[bucket][place] + one.Values[i]

        counts

    let private throttleBit (reason: string) : int64 =
        seq { 0..62 }
        |> Seq.tryFind (fun bit -> (Throttle.reasonsOf (1UL <<< bit))[0] = reason)
        |> Option.map (fun bit -> 1L <<< bit)
        |> Option.defaultValue 0L

    let private throttleOf (axis: Axis) (layout: Layout) (states: ClusterSeries[]) : int64[][] =
        let bits: int64[][] = Array.init axis.Count (fun _ -> Array.zeroCreate layout.Gpus.Length)

        for one in states do
            if one.Label "k" = ClusterMetrics.throttleReason then
                let index = ClusterReports.indexOf (one.Label "gpu")
                let bit = throttleBit (one.Label "reason")

                match layout.Gpus |> Array.tryFindIndex (fun gpu -> gpu.Index = index) with
                | Some gpu ->
                    for i in 0 .. one.Times.Length - 1 do
                        let bucket = bucketOf axis one.Times[i]

                        if bucket >= 0 && bucket < axis.Count && one.Values[i] > 0.0 then
                            bits[bucket][gpu] <- bits[bucket][gpu] ||| bit
                | None -> ()

        bits

    /// From one sample to the next, in microseconds, by the fullest bucket of the answer to `ClusterQueries.states`; a bucket where there is none.
    [<CompiledName "IntervalOf">]
    let intervalOf (axis: Axis) (states: ClusterSeries[]) : int64 =
        match samplesOf axis states with
        | [||] -> axis.Step
        | samples -> axis.Step / int64 (max 1 (Array.max samples))

    /// The main charts of buckets. `axis` is the one that was asked along.
    [<CompiledName "OfBuckets">]
    let ofBuckets (axis: Axis) (buckets: ClusterBuckets) : History =
        let layout = layoutOf buckets.Mean
        let samples = samplesOf axis buckets.States

        let spreads =
            spreadsOf axis (Series.slots layout) (slotOf layout) samples buckets
            |> bounded (Series.kindsOf layout)

        let bottlenecks =
            labelsOf axis ClusterMetrics.bottleneck ClusterMetrics.bottleneck (BottleneckLabel.All |> Array.map _.Name) buckets.States

        let verdicts =
            labelsOf axis ClusterMetrics.verdict "label" (VerdictLabel.All |> Array.map _.Name) buckets.States

        let bits = throttleOf axis layout buckets.States

        let history =
            let census = DeviceCensus()
            census.See(layout, 1L)

            if census.Count <= Axis.MostDevices then
                History axis
            else
                for bucket in spreads |> Seq.rev |> Seq.truncate 200 do
                    census.Look(
                        layout,
                        bucket
                        |> Array.map (fun spread -> if spread.Count > 0 then spread.Mean else nan)
                    )

                History(axis, ValueSome(census.Choose Axis.MostDevices))

        // The fullest bucket has no gap: a sample stands for its part of it.
        let interval = min Point.LongestCover (float (intervalOf axis buckets.States) / float second)

        for bucket in 0 .. axis.Count - 1 do
            if samples[bucket] > 0 then
                let seconds = Array.map (fun count -> count * interval)

                history.AddBucket(
                    bucket,
                    layout,
                    samples[bucket],
                    spreads[bucket],
                    bits[bucket],
                    seconds bottlenecks[bucket],
                    seconds verdicts[bucket]
                )

        history

    /// One kind of details of buckets, by its position.
    [<CompiledName "DetailsOfBuckets">]
    let detailsOfBuckets (axis: Axis) (kind: int) (buckets: ClusterBuckets) : DetailHistory =
        let series = Details.all[kind].Series

        let names =
            buckets.Mean
            |> Seq.map (fun one ->
                let struct (name, _) = partsOf one

                match objectNamed name with
                | ValueSome things -> ClusterReports.nameOf things one
                | ValueNone -> "")
            |> sorted

        let layout =
            { Layout.empty with
                Details =
                    Details.noNames
                    |> Array.mapi (fun position none -> if position = kind then names else none)
            }

        let slot (one: ClusterSeries) =
            let struct (name, figure) = partsOf one

            match objectNamed name with
            | ValueSome things ->
                match Array.IndexOf(names, ClusterReports.nameOf things one), offsetIn series figure with
                | -1, _
                | _, -1 -> -1
                | device, offset -> device * series.Length + offset
            | ValueNone -> -1

        let samples = samplesOf axis buckets.States
        let spreads = spreadsOf axis (names.Length * series.Length) slot samples buckets
        let history = DetailHistory.Of(axis, kind, [ layout ])

        for bucket in 0 .. axis.Count - 1 do
            if samples[bucket] > 0 then
                history.AddBucket(bucket, layout, spreads[bucket])

        history

    /// Adds the use of GPUs, as `ClusterQueries.gpuUse` was answered along a fleet's axis, of machines, each with its slug.
    [<CompiledName "AddUse">]
    let addUse (machines: (struct (ClusterMachine * string))[]) (series: ClusterSeries[]) (fleet: FleetUse) : unit =
        let ofMachine =
            series
            |> Array.groupBy (fun one -> struct (one.Label "job", one.Label "instance"))
            |> dict

        for struct (machine, slug) in machines do
            match ofMachine.TryGetValue(struct (machine.Job, machine.Instance)) with
            | true, own ->
                fleet.Begin slug

                for one in own |> Array.sortBy (fun one -> ClusterReports.indexOf (one.Label "gpu")) do
                    let gpu =
                        {
                            Index = ClusterReports.indexOf (one.Label "gpu")
                            Name = one.Label "modelName"
                            Uuid = one.Label "UUID"
                        }

                    if gpu.Index >= 0 then
                        for i in 0 .. one.Times.Length - 1 do
                            fleet.AddBucket(bucketOf fleet.Axis one.Times[i], gpu, one.Values[i])
            | _ -> ()
