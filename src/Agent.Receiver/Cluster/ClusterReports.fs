namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Core.Gpu
open Agent.Outbound
open Agent.Receiver

/// What a cluster says of a machine at one instant.
[<NoComparison>]
type ClusterReport =
    {
        /// Whose.
        Machine: ClusterMachine
        /// The sample.
        Report: Report
        /// The label of the machine's verdict, and how sure it is, 0 to 1; none where the agent says nothing.
        Said: (struct (VerdictLabel * float)) voption
        /// The figures that decided the machine's verdict, where they were asked about.
        Evidence: Witness[]
        /// The jobs that run, where they were asked about.
        Jobs: ReportedJob[]
        /// The agent's version; empty when unknown.
        Version: string
        /// The labels that its user gave the machine.
        Labels: (struct (string * string))[]
    }

/// A value of a series at one instant, on its way to a cluster.
[<Struct; NoComparison>]
type ClusterValue =
    {
        /// The family.
        Family: string
        /// Its labels, without those of the machine.
        Labels: (struct (string * string))[]
        /// The value.
        Value: float
    }

/// Samples from series and series from samples, by `ClusterMetrics`.
[<RequireQualifiedAccess>]
module ClusterReports =
    /// Devices of a kind that are kept of a machine; the ingest API takes as many.
    [<Literal>]
    let MostDevices = 256

    /// Where the figures of a schema come from, by the place of each metric among those of its object.
    [<NoComparison>]
    type private Plan =
        {
            Schema: Schema
            Decimals: ClusterFigure<int> voption[]
            Integers: ClusterFigure<int> voption[]
        }

    /// An object with its metrics in order.
    [<NoComparison>]
    type private Reading =
        {
            Object: ClusterObject
            Metrics: ClusterMetric[]
        }

    let private readings =
        ClusterMetrics.all
        |> Array.map (fun things ->
            {
                Object = things
                Metrics = ClusterMetrics.distinct things
            })

    let private placeOf (things: ClusterObject) =
        ClusterMetrics.all |> Array.findIndex (fun other -> other.Name = things.Name)

    let private planOf (schema: Schema) (prefix: string) (things: ClusterObject) : Plan =
        let metrics = readings[placeOf things].Metrics

        let figureOf (key: string) =
            match things.Rows |> Array.tryFind (fun row -> prefix + row.Key = key) with
            | Some row -> ValueSome(ClusterMetrics.map (ClusterMetrics.placeIn metrics) row.Of)
            | None -> ValueNone

        {
            Schema = schema
            Decimals = schema.Decimals |> Array.map (fun (struct (key, _)) -> figureOf key)
            Integers = schema.Integers |> Array.map figureOf
        }

    let private machinePlan = planOf Schema.machine "" ClusterMetrics.machine
    let private diskPlan = planOf Schema.disk "" ClusterMetrics.disks
    let private gpuPlan = planOf Schema.gpu "" ClusterMetrics.gpus
    let private gpuDetailPlan = planOf Details.gpus.Schema "" ClusterMetrics.gpus
    let private fanPlan = planOf Schema.fan "" ClusterMetrics.fans

    let private detailPlans =
        [|
            Details.migDevices, ClusterMetrics.migDevices
            Details.interfaces, ClusterMetrics.interfaces
            Details.infiniband, ClusterMetrics.infiniband
            Details.partitions, ClusterMetrics.partitions
            Details.cores, ClusterMetrics.cores
        |]
        |> Array.map (fun (kind, things) -> struct (Details.positionOf kind.Name, placeOf things, planOf kind.Schema "" things))

    /// The first float that is no whole number of 64 bits.
    [<Literal>]
    let private TooLarge = 9223372036854775808.0

    /// What multiplying by a factor leaves behind the sixth decimal is noise.
    [<Literal>]
    let private Exact = 6

    /// Figures of the values of an object's metrics. Shares that the agent works out itself it rounds to the schema's steps.
    let private figuresOf (plan: Plan) (values: float[]) : Figures =
        let at figure =
            match figure with
            | ValueSome figure -> ClusterMetrics.evaluate (fun place -> values[place]) figure
            | ValueNone -> nan

        {
            Decimals =
                Array.map2
                    (fun figure (struct (_, scale: int)) ->
                        match figure with
                        | ValueSome(PercentOf _) -> Math.Round(at figure * float scale) / float scale
                        | _ -> Math.Round(at figure, Exact))
                    plan.Decimals
                    plan.Schema.Decimals
            Integers =
                plan.Integers
                |> Array.map (fun figure ->
                    match Math.Round(at figure) with
                    | value when value >= 0.0 && value < TooLarge -> int64 value
                    // Where agents cap their counters.
                    | TooLarge -> Int64.MaxValue
                    | _ -> -1L)
        }

    /// Which object a series is of, and the place of its metric there; -1 for a family that only says that there is a device.
    let private byFamily: Dictionary<string, (struct (int * int))[]> =
        let found = Dictionary<string, (struct (int * int))[]>(StringComparer.Ordinal)

        let add family entry =
            match found.TryGetValue family with
            | true, known -> found[family] <- Array.append known [| entry |]
            | _ -> found[family] <- [| entry |]

        readings
        |> Array.iteri (fun place reading ->
            reading.Metrics
            |> Array.iteri (fun metric known -> add known.Family (struct (place, metric)))

            for family in reading.Object.Presence do
                add family (struct (place, -1)))

        found

    /// Labels that are of use here; others are not read.
    let labels: string[] =
        [|
            yield "__name__"
            yield "instance"
            yield "job"

            for reading in readings do
                yield! reading.Object.Identity

                for metric in reading.Metrics do
                    for struct (name, _) in metric.Labels do
                        yield name

            yield "UUID"
            yield "modelName"
            yield "label"
            yield "version"
            yield "k"
            yield "reason"
            yield "figure"
            yield "place"
            yield "unit"
            yield "exported_job"
            yield "owner_kind"
            yield "owner"
            yield "namespace"
            yield "owner_name"
            yield JobMetrics.MachineJob
            yield "user"
            yield "uid"
            yield "name"
            yield ClusterMetrics.bottleneck
        |]
        |> Array.distinct

    /// A device in the making.
    [<Sealed>]
    type private Device(name: string, metrics: int) =
        member _.Name = name
        member val Values: float[] = Array.create metrics nan
        member val Uuid = "" with get, set
        member val Model = "" with get, set

    /// A machine at an instant in the making.
    [<Sealed>]
    type private Instant(machine: ClusterMachine) =
        member _.Machine = machine
        member val Values: float[] = Array.create readings[0].Metrics.Length nan

        member val Devices: Dictionary<string, Device>[] =
            readings
            |> Array.map (fun _ -> Dictionary<string, Device>(StringComparer.Ordinal))

        /// NaN for none.
        member val CollectedAt = nan with get, set
        member val Label: VerdictLabel voption = ValueNone with get, set
        member val Confidence = 0.0 with get, set
        member val Version = "" with get, set
        member val Labels: (struct (string * string))[] = [||] with get, set
        member val IsFilled = false with get, set

        member instant.Device(place: int, name: string) : Device voption =
            let devices = instant.Devices[place]

            match devices.TryGetValue name with
            | true, device -> ValueSome device
            | _ when
                devices.Count
                >= (if readings[place].Object.Name = Details.cores.Name then
                        Details.MostCores
                    else
                        MostDevices)
                ->
                ValueNone
            | _ ->
                let device = Device(name, readings[place].Metrics.Length)
                devices[name] <- device
                ValueSome device

    let private hasLabels (series: ClusterSeries) (metric: ClusterMetric) =
        metric.Labels
        |> Array.forall (fun (struct (name, value)) -> series.Label name = value)

    /// The name of the device that a series is of; empty where one of the labels that make it is missing, and for the machine.
    let internal nameOf (things: ClusterObject) (series: ClusterSeries) : string =
        match things.Identity with
        | [| one |] -> series.Label one
        | several ->
            let parts = several |> Array.map series.Label

            if Array.contains "" parts then
                ""
            else
                String.Join('/', parts)

    [<Literal>]
    let private LongestName = 64

    /// The labels of `ai_dashboard_build_info` that are not its own.
    let private usersLabels (series: ClusterSeries) =
        series.Labels
        |> Array.filter (fun (struct (name, value)) ->
            name <> "__name__"
            && name <> "instance"
            && name <> "job"
            && name <> "version"
            && value <> "")
        |> Array.map (fun (struct (name, value)) -> struct (Intake.cut LongestName name, Intake.cut LongestName value))
        |> Array.sortBy (fun (struct (name, _)) -> name)

    /// What a series says, for each of its values; nothing where it says nothing of use. The work that is the same for all is done once.
    let private takerOf (series: ClusterSeries) : Instant -> float -> unit =
        let family = series.Label "__name__"

        if family = ClusterMetrics.timestamp then
            fun instant value -> instant.CollectedAt <- value
        elif family = ClusterMetrics.verdict then
            match JobSchema.labels.TryGetValue(series.Label "label") with
            | true, label ->
                fun instant value ->
                    if value = 1.0 then
                        instant.Label <- ValueSome label
            | _ -> fun _ _ -> ()
        elif family = ClusterMetrics.verdictConfidence then
            fun instant value -> instant.Confidence <- Math.Clamp((if Double.IsNaN value then 0.0 else value), 0.0, 1.0)
        elif family = ClusterMetrics.build then
            let version = series.Label "version"
            let labels = usersLabels series

            fun instant _ ->
                instant.Version <- version
                instant.Labels <- labels
        else
            let places =
                match byFamily.TryGetValue family with
                | true, entries ->
                    entries
                    |> Array.filter (fun (struct (place, metric)) -> metric < 0 || hasLabels series readings[place].Metrics[metric])
                | _ -> [||]

            if places.Length = 0 then
                fun _ _ -> ()
            else
                let names =
                    places
                    |> Array.map (fun (struct (place, _)) -> nameOf readings[place].Object series |> Intake.cut LongestName)

                let uuid = series.Label "UUID"
                let model = series.Label "modelName"

                fun instant value ->
                    for i in 0 .. places.Length - 1 do
                        let struct (place, metric) = places[i]

                        if place = 0 then
                            instant.Values[metric] <- value * readings[0].Metrics[metric].Factor
                            instant.IsFilled <- true
                        elif names[i] <> "" && not (Double.IsNaN value) then
                            match instant.Device(place, names[i]) with
                            | ValueSome device ->
                                // Of two that have one name the first counts, as in samples that are posted.
                                if metric >= 0 && Double.IsNaN device.Values[metric] then
                                    device.Values[metric] <- value * readings[place].Metrics[metric].Factor

                                if uuid <> "" then
                                    device.Uuid <- uuid

                                if model <> "" then
                                    device.Model <- model

                                instant.IsFilled <- true
                            | ValueNone -> ()

    /// The number that a name is; -1 for none.
    let internal indexOf (name: string) : int =
        match Int32.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, index -> index
        | _ -> -1

    /// The order of numbers where names are numbers, else of texts.
    let internal compareNames (one: string) (other: string) : int =
        match indexOf one, indexOf other with
        | first, second when first >= 0 && second >= 0 -> compare first second
        | _ -> String.CompareOrdinal(one, other)

    let private ordered (devices: Dictionary<string, Device>) : Device[] =
        devices.Values
        |> Seq.sortWith (fun one other -> compareNames one.Name other.Name)
        |> Array.ofSeq

    let private knows (figures: Figures) =
        Array.exists (Double.IsNaN >> not) figures.Decimals
        || Array.exists (fun value -> value >= 0L) figures.Integers

    let private detailsOf (instant: Instant) (gpus: Device[]) : DetailReport[][] =
        let details = Array.create Details.all.Length [||]

        let told =
            gpus
            |> Array.map (fun gpu ->
                {
                    Name = gpu.Name
                    Figures = figuresOf gpuDetailPlan gpu.Values
                }
                : DetailReport)

        if told |> Array.exists (fun gpu -> knows gpu.Figures) then
            details[Details.ofGpus] <- told

        for struct (kind, place, plan) in detailPlans do
            details[kind] <-
                ordered instant.Devices[place]
                |> Array.map (fun device ->
                    {
                        Name = device.Name
                        Figures = figuresOf plan device.Values
                    }
                    : DetailReport)

        // CPUs are so many: one that is not known has its place all the same.
        let cores =
            details[Details.ofCores]
            |> Array.filter (fun core -> indexOf core.Name >= 0 && indexOf core.Name < Details.MostCores)

        if cores.Length > 0 then
            details[Details.ofCores] <-
                Array.init (indexOf (Array.last cores).Name + 1) (fun index ->
                    {
                        Name = Details.coreNames[index]
                        Figures =
                            match cores |> Array.tryFind (fun core -> indexOf core.Name = index) with
                            | Some core -> core.Figures
                            | None -> Schema.empty Details.cores.Schema
                    }
                    : DetailReport)

        details

    /// Seconds from 1970, to the microsecond; none for what no clock says.
    let internal instantOf (seconds: float) : DateTimeOffset voption =
        if seconds >= 946684800.0 && seconds < 2.5e11 then
            ValueSome(DateTimeOffset.UnixEpoch.AddTicks(int64 (Math.Round(seconds * 1e6)) * TimeSpan.TicksPerMicrosecond))
        else
            ValueNone

    /// The same of something that began or was seen: the first instant of 2000 is a clock that was never set.
    let internal timeOf (seconds: float) : DateTimeOffset voption =
        if seconds > 946684800.0 then
            instantOf seconds
        else
            ValueNone

    let private reportOf (at: int64) (instant: Instant) : ClusterReport =
        let devices things = ordered instant.Devices[placeOf things]

        let gpus = devices ClusterMetrics.gpus |> Array.filter (fun gpu -> indexOf gpu.Name >= 0)

        {
            Machine = instant.Machine
            Said =
                instant.Label
                |> ValueOption.map (fun label -> struct (label, instant.Confidence))
            Evidence = [||]
            Jobs = [||]
            Version = instant.Version
            Labels = instant.Labels
            Report =
                {
                    CollectedAt = instantOf instant.CollectedAt |> ValueOption.defaultValue (RowKey.instant at)
                    Machine = figuresOf machinePlan instant.Values
                    Disks =
                        devices ClusterMetrics.disks
                        |> Array.map (fun disk ->
                            {
                                Device = disk.Name
                                Figures = figuresOf diskPlan disk.Values
                            }
                            : DiskReport)
                    Gpus =
                        gpus
                        |> Array.map (fun gpu ->
                            {
                                Index = indexOf gpu.Name
                                Name = Intake.cut LongestName gpu.Model
                                Uuid = Intake.cut LongestName gpu.Uuid
                                Figures = figuresOf gpuPlan gpu.Values
                            }
                            : GpuReport)
                    Fans =
                        devices ClusterMetrics.fans
                        |> Array.map (fun fan ->
                            {
                                Label = fan.Name
                                Figures = figuresOf fanPlan fan.Values
                            }
                            : FanReport)
                    Details = detailsOf instant gpus
                }
        }

    /// The samples that series tell, of each machine in the order of time. Values of one machine at one instant are one sample; a sample that
    /// comes twice, since it was scraped twice, is there once.
    [<CompiledName "Of">]
    let ofSeries (series: ClusterSeries[]) : ClusterReport[] =
        let instants = Dictionary<struct (string * string * int64), Instant>()

        for one in series do
            let machine =
                {
                    Job = one.Label "job"
                    Instance = one.Label "instance"
                }

            if machine.Instance <> "" then
                let take = takerOf one

                for i in 0 .. one.Times.Length - 1 do
                    let key = struct (machine.Job, machine.Instance, one.Times[i])

                    let instant =
                        match instants.TryGetValue key with
                        | true, known -> known
                        | _ ->
                            let made = Instant machine
                            instants[key] <- made
                            made

                    take instant one.Values[i]

        instants
        |> Seq.filter _.Value.IsFilled
        |> Seq.map (fun entry ->
            let struct (_, _, at) = entry.Key
            reportOf at entry.Value)
        |> Seq.sortWith (fun one other ->
            match String.CompareOrdinal(one.Machine.Instance, other.Machine.Instance) with
            | 0 ->
                match String.CompareOrdinal(one.Machine.Job, other.Machine.Job) with
                | 0 -> compare one.Report.CollectedAt other.Report.CollectedAt
                | order -> order
            | order -> order)
        |> Seq.distinctBy (fun one -> struct (one.Machine.Job, one.Machine.Instance, one.Report.CollectedAt))
        |> Array.ofSeq

    // ---- the other way ---------------------------------------------------------------------------------------------------

    /// The values of an object's metrics that say these figures.
    let private valuesOf (reading: Reading) (figureOf: string -> float) : float[] =
        let values = Array.create reading.Metrics.Length nan
        let metricsAt = ClusterMetrics.map (ClusterMetrics.placeIn reading.Metrics)
        let known place = values[place]

        let isPlain (row: ClusterRow) = row.Of.IsMetric

        // What is there as it is comes first: others follow from it.
        for row in Array.append (Array.filter isPlain reading.Object.Rows) (Array.filter (isPlain >> not) reading.Object.Rows) do
            match ClusterMetrics.solve known (metricsAt row.Of) (figureOf row.Key) with
            | ValueSome(struct (place, value)) -> values[place] <- value
            | ValueNone -> ()

        values

    let private figureBy (schemas: (struct (Schema * Figures)) list) (key: string) : float =
        schemas
        |> List.tryPick (fun (struct (schema, figures)) ->
            match schema.Decimals |> Array.tryFindIndex (fun (struct (name, _)) -> name = key) with
            | Some index -> Some figures.Decimals[index]
            | None ->
                match Array.IndexOf(schema.Integers, key) with
                | -1 -> None
                | index when figures.Integers[index] < 0L -> Some nan
                | index -> Some(float figures.Integers[index]))
        |> Option.defaultValue nan

    let private told
        (things: ClusterObject)
        (name: string)
        (more: string -> (struct (string * string))[])
        (schemas: (struct (Schema * Figures)) list)
        : ClusterValue seq =
        let reading = readings[placeOf things]
        let values = valuesOf reading (figureBy schemas)

        let identity =
            match reading.Object.Identity with
            | [||] -> [||]
            | [| one |] -> [| struct (one, name) |]
            | several ->
                Array.zip several (name.Split('/', several.Length))
                |> Array.map (fun (label, value) -> struct (label, value))

        seq {
            for i in 0 .. values.Length - 1 do
                if Double.IsFinite values[i] then
                    {
                        Family = reading.Metrics[i].Family
                        Labels = Array.concat [ identity; reading.Metrics[i].Labels; more reading.Metrics[i].Family ]
                        Value = values[i] / reading.Metrics[i].Factor
                    }
        }

    let private nothing (_: string) : (struct (string * string))[] = [||]

    /// The values of series that say what a report says, and what was said with it.
    [<CompiledName "ValuesOf">]
    let ofReport (report: Report) (bottleneck: BottleneckLabel voption) (said: (struct (VerdictLabel * float)) voption) : ClusterValue[] =
        let plain family labels value =
            {
                Family = family
                Labels = labels
                Value = value
            }

        [|
            plain
                ClusterMetrics.timestamp
                [||]
                (float (report.CollectedAt - DateTimeOffset.UnixEpoch).Ticks
                 / float TimeSpan.TicksPerSecond)

            yield! told ClusterMetrics.machine "" nothing [ struct (Schema.machine, report.Machine) ]

            for disk in report.Disks do
                yield! told ClusterMetrics.disks disk.Device nothing [ struct (Schema.disk, disk.Figures) ]

            for gpu in report.Gpus do
                let name = string gpu.Index

                let more (family: string) =
                    [|
                        struct ("UUID", gpu.Uuid)
                        if family.StartsWith("DCGM_", StringComparison.Ordinal) then
                            struct ("modelName", gpu.Name)
                    |]

                let details =
                    report.Details[Details.ofGpus]
                    |> Array.filter (fun detail -> detail.Name = name)
                    |> Array.map (fun detail -> struct (Details.gpus.Schema, detail.Figures))
                    |> List.ofArray

                yield! told ClusterMetrics.gpus name more (struct (Schema.gpu, gpu.Figures) :: details)

                match gpu.Figures.Whole Schema.gpuThrottle with
                | ValueSome bits ->
                    for reason in Throttle.reasonsOf (uint64 bits) do
                        plain
                            ClusterMetrics.throttleReason
                            [| struct ("gpu", name); struct ("UUID", gpu.Uuid); struct ("reason", reason) |]
                            1.0
                | ValueNone -> ()

            for fan in report.Fans do
                yield! told ClusterMetrics.fans fan.Label nothing [ struct (Schema.fan, fan.Figures) ]

            for struct (kind, place, plan) in detailPlans do
                for device in report.Details[kind] do
                    yield! told readings[place].Object device.Name nothing [ struct (plan.Schema, device.Figures) ]

            match bottleneck with
            | ValueSome label ->
                for other in BottleneckLabel.All do
                    plain
                        ClusterMetrics.bottleneck
                        [| struct (ClusterMetrics.bottleneck, other.Name) |]
                        (if other.Name = label.Name then 1.0 else 0.0)
            | ValueNone -> ()

            match said with
            | ValueSome(struct (label, confidence)) ->
                for other in VerdictLabel.All do
                    plain ClusterMetrics.verdict [| struct ("label", other.Name) |] (if other.Name = label.Name then 1.0 else 0.0)

                plain ClusterMetrics.verdictConfidence [||] confidence
            | ValueNone -> ()
        |]
