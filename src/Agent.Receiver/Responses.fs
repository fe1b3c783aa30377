namespace Agent.Receiver

open System
open System.Buffers
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Core.Gpu
open Agent.Receiver.Cluster

/// A sample that is stored, with what it says.
type StoredSample =
    {
        /// Its key in the database.
        Id: int64
        /// By the receiver's clock.
        ReceivedAt: DateTimeOffset
        /// As reported.
        Report: Report
        /// As derived.
        Derivation: Derivation
    }

    /// The same without its details, which take most of the room.
    member stored.WithoutDetails: StoredSample =
        { stored with
            Report =
                { stored.Report with
                    Details = Details.none
                }
            Derivation =
                { stored.Derivation with
                    Measured =
                        { stored.Derivation.Measured with
                            Details = Details.none
                        }
                    Rates =
                        { stored.Derivation.Rates with
                            Details = [||]
                        }
                }
        }

/// The greatest CPU and GPU use in each minute of an hour, oldest first.
type Spark =
    {
        /// The end of the last minute.
        End: DateTimeOffset
        /// NaN where not known.
        Cpu: float[]
        /// NaN where not known.
        Gpu: float[]
    }

/// A server as it is shown.
type ServerView =
    {
        /// As registered.
        Registration: Registration
        /// When its last sample arrived, by the receiver's clock.
        LastSeen: DateTimeOffset voption
        /// Seconds from one sample to the next.
        Interval: float voption
        /// What its agent says about itself, as JSON; empty when it never did.
        Agent: string
        /// Its newest sample.
        Latest: StoredSample voption
        /// What was said of it last.
        Judgement: Judgement voption
    }

/// The JSON that the dashboard answers with. The keys stand in docs/dashboard-api.md.
[<RequireQualifiedAccess>]
module Responses =
    let private number (value: float<'u>) : JsonValue =
        Encode.float (Math.Round(float value, 3))

    let private numberOrNull (value: float<'u> voption) = Encode.voption number value

    let private whole (value: float<'u>) : JsonValue =
        fun writer ->
            let rounded = Math.Round(float value)

            if abs rounded < 9.0e15 then
                writer.WriteNumberValue(int64 rounded)
            else
                writer.WriteNumberValue rounded

    let private instant (value: DateTimeOffset) = Encode.string (Wire.instant value)

    let private raw (json: string) : JsonValue =
        if json = "" then
            Encode.nil
        else
            fun writer -> writer.WriteRawValue(json, skipInputValidation = true)

    /// An answer as bytes.
    [<CompiledName "Bytes">]
    let bytes (value: JsonValue) : byte[] =
        let buffer = ArrayBufferWriter<byte>()
        Encode.writeTo buffer false value
        buffer.WrittenSpan.ToArray()

    /// What every error looks like.
    [<CompiledName "Refused">]
    let refused (refusal: Refusal) : byte[] =
        bytes (
            Encode.object
                [|
                    "ok", Encode.bool false
                    "error", Encode.string refusal.Error
                    if refusal.Detail <> "" then
                        "detail", Encode.string refusal.Detail
                |]
        )

    let private briefVerdict (judgement: Judgement voption) : JsonValue =
        judgement
        |> Encode.voption (fun judgement -> JudgementJson.brief judgement.Source judgement.Machine)

    let private jobLines (judgement: Judgement voption) : JsonValue =
        match judgement with
        | ValueSome judgement -> Encode.arrayOf JudgementJson.jobLine judgement.Jobs
        | ValueNone -> Encode.seq []

    /// The members of Summary.
    let private summary (stored: StoredSample) : (string * JsonValue)[] =
        let derived = stored.Derivation.Rates.Derived
        let bottleneck = stored.Derivation.Bottleneck

        let decimal index =
            numberOrNull (stored.Report.Machine.Decimal index)

        [|
            "id", Encode.int64 stored.Id
            "collected_at", instant stored.Report.CollectedAt
            "received_at", instant stored.ReceivedAt
            "interval_seconds", Encode.voption (fun seconds -> Encode.float (Math.Round(float seconds, 6))) derived.Interval
            "bottleneck", Encode.string bottleneck.Label.Name
            "confidence", Encode.float bottleneck.Confidence
            "reason", Encode.string bottleneck.Reason
            "cpu_usage_percent", decimal Schema.cpuUsage
            "cpu_iowait_percent", decimal Schema.cpuIowait
            "memory_percent", decimal Schema.memoryPercent
            "swap_percent", decimal Schema.swapPercent
            "top_gpu_util_percent", numberOrNull derived.TopGpuUtilization
            "avg_gpu_util_percent", numberOrNull derived.MeanGpuUtilization
            "top_gpu_memory_percent", numberOrNull derived.TopGpuMemory
            "avg_gpu_memory_percent", numberOrNull derived.MeanGpuMemory
            "disk_util_percent", number derived.DiskUtilization
            "disk_avg_util_percent", number derived.DiskUtilizationMean
            "disk_read_bytes_per_s", number derived.DiskRead
            "disk_write_bytes_per_s", number derived.DiskWritten
            "disk_read_ops_per_s", number derived.DiskReadOps
            "disk_write_ops_per_s", number derived.DiskWriteOps
            "network_rx_bytes_per_s", number derived.NetworkReceived
            "network_tx_bytes_per_s", number derived.NetworkSent
            "fan_max_rpm", numberOrNull derived.FastestFan
            "fan_avg_rpm", numberOrNull derived.MeanFan
            "cpu_load_1", decimal Schema.load1
            "gpu_count", Encode.int stored.Report.Gpus.Length
        |]

    /// An answer to a sample has so many bytes at most.
    [<Literal>]
    let LongestAccepted = 16384

    /// The answer to a sample that is on disk. Warnings that would make it too long are left out.
    [<CompiledName "Accepted">]
    let rec accepted (server: Registration) (stored: StoredSample) (warnings: string[]) : byte[] =
        let derived = stored.Derivation.Rates.Derived
        let bottleneck = stored.Derivation.Bottleneck

        let answer =
            bytes (
                Encode.object
                    [|
                        "ok", Encode.bool true
                        "server", Encode.object [| "slug", Encode.string server.Slug; "name", Encode.string server.Name |]
                        "snapshot",
                        Encode.object
                            [|
                                "id", Encode.int64 stored.Id
                                "collected_at", instant stored.Report.CollectedAt
                                "bottleneck", Encode.string bottleneck.Label.Name
                                "cpu_usage_percent", numberOrNull (stored.Report.Machine.Decimal Schema.cpuUsage)
                                "top_gpu_util_percent", numberOrNull derived.TopGpuUtilization
                                "disk_util_percent", number derived.DiskUtilization
                            |]
                        if warnings.Length > 0 then
                            "warnings", Encode.seq (Seq.map Encode.string warnings)
                    |]
            )

        if answer.Length > LongestAccepted && warnings.Length > 0 then
            accepted server stored (Array.truncate (warnings.Length / 2) warnings)
        else
            answer

    let private figures (schema: Schema) (figures: Figures) : (string * JsonValue)[] =
        [|
            for index in 0 .. schema.Decimals.Length - 1 do
                let struct (key, _) = schema.Decimals[index]
                key, Encode.voption Encode.float (figures.Decimal index)

            for index in 0 .. schema.Integers.Length - 1 do
                schema.Integers[index], Encode.voption Encode.int64 (figures.Whole index)
        |]

    /// An array of objects, from each entry and its position.
    let private objects (members: int -> 'a -> (string * JsonValue)[]) (entries: 'a[]) : JsonValue =
        Encode.seq (
            entries
            |> Seq.mapi (fun position entry -> Encode.object (members position entry))
        )

    let private reasons (bits: int64 voption) : JsonValue =
        Encode.voption (fun bits -> Encode.seq (Seq.map Encode.string (Throttle.reasonsOf (uint64 bits)))) bits

    [<Literal>]
    let private PressurePrefix = "pressure_"

    let private flags = Rows.gpu.Keys.Keys |> Array.filter _.Kind.IsBool |> Array.map _.Name |> set

    /// The figures of a device of a kind; those that are flags are told as such.
    let private detailFigures (kind: DetailKind) (device: DetailReport) : (string * JsonValue)[] =
        figures kind.Schema device.Figures
        |> Array.map (fun (key, value) ->
            if flags.Contains key then
                let whole = device.Figures.Whole(Array.IndexOf(kind.Schema.Integers, key))
                key, Encode.voption (fun flag -> Encode.bool (flag > 0L)) whole
            else
                key, value)

    /// The members of an object that a name stands for: `mlx5_0/1` is a device and a port.
    let private nameMembers (kind: DetailKind) (name: string) : (string * JsonValue)[] =
        let slash = name.LastIndexOf '/'

        if kind.Name = Details.infiniband.Name && slash > 0 then
            [|
                "device", Encode.string (name.Substring(0, slash))
                "port", raw (name.Substring(slash + 1))
            |]
        elif kind.Name = Details.migDevices.Name then
            [| "mig_index", raw (name.Substring(slash + 1)) |]
        else
            [| "name", Encode.string name |]

    let private detailObjects (kind: DetailKind) (devices: DetailReport[]) : JsonValue =
        devices
        |> objects (fun _ device -> Array.append (nameMembers kind device.Name) (detailFigures kind device))

    /// What is kept apart of a GPU, and its instances.
    let private gpuDetails (report: Report) (gpu: GpuReport) : (string * JsonValue)[] =
        let name = string gpu.Index

        let instances =
            report.Details[Details.ofMigDevices]
            |> Array.filter _.Name.StartsWith(name + "/", StringComparison.Ordinal)

        [|
            match
                report.Details[Details.ofGpus]
                |> Array.tryFind (fun device -> device.Name = name)
            with
            | Some device -> yield! detailFigures Details.gpus device
            | None -> ()

            if instances.Length > 0 then
                "mig_devices", detailObjects Details.migDevices instances
        |]

    /// The stored sample in the ingest API's keys.
    let sample (report: Report) : JsonValue =
        let isPressure (key: string, _) =
            key.StartsWith(PressurePrefix, StringComparison.Ordinal)

        let pressure, machine = figures Schema.machine report.Machine |> Array.partition isPressure

        let hasPressure = Array.exists (Double.IsNaN >> not) report.Machine.Decimals[Schema.pressureCpuSome ..]

        Encode.object
            [|
                "collected_at", instant report.CollectedAt
                yield! machine
                "disks",
                report.Disks
                |> objects (fun _ disk -> Array.append [| "device", Encode.string disk.Device |] (figures Schema.disk disk.Figures))
                "gpus",
                report.Gpus
                |> objects (fun _ gpu ->
                    [|
                        "gpu_index", Encode.int gpu.Index
                        "name", Encode.string gpu.Name
                        "uuid", Encode.string gpu.Uuid
                        yield!
                            figures Schema.gpu gpu.Figures
                            |> Array.filter (fun (key, _) -> key <> "throttle_reasons")
                        "throttle_reasons", reasons (gpu.Figures.Whole Schema.gpuThrottle)
                        yield! gpuDetails report gpu
                    |])
                "fans",
                report.Fans
                |> objects (fun _ fan -> Array.append [| "label", Encode.string fan.Label |] (figures Schema.fan fan.Figures))
                "cpu_cores_percent",
                report.Details[Details.ofCores]
                |> Encode.arrayOf (fun core -> Encode.voption Encode.float (core.Figures.Decimal 0))
                "network_interfaces", detailObjects Details.interfaces report.Details[Details.ofInterfaces]
                "infiniband", detailObjects Details.infiniband report.Details[Details.ofInfiniband]
                "pressure",
                if hasPressure then
                    Encode.object (
                        pressure
                        |> Array.map (fun (key, value) -> key.Substring PressurePrefix.Length, value)
                    )
                else
                    Encode.nil
            |]

    let private stateOf (view: ServerView) now =
        Attention.stateOf view.Registration.IsActive view.LastSeen view.Interval now

    /// The name of a server's state in answers.
    [<CompiledName "StateName">]
    let stateName (view: ServerView) (now: DateTimeOffset) : string = string (stateOf view now)

    let private outage (storage: Storage) : (string * JsonValue)[] =
        match storage.Outage with
        | ValueSome outage ->
            [|
                "since", instant outage.Since
                "fault", Encode.string outage.Fault.Name
                "reason", Encode.string (Storage.reason outage)
                "remedy", Encode.string outage.Fault.Remedy
            |]
        | ValueNone -> [||]

    /// GET /healthz
    [<CompiledName "Health">]
    let health (version: string) (storage: Storage) (relay: RelayFigures voption) (state: StateReport voption) : byte[] =
        bytes (
            Encode.object
                [|
                    "ok", Encode.bool storage.IsGood
                    "version", Encode.string version
                    "database",
                    Encode.object
                        [|
                            "writes", Encode.bool storage.Writing.IsNone
                            "reads", Encode.bool storage.Reading.IsNone
                            yield! outage storage
                        |]

                    match relay with
                    | ValueSome relay ->
                        "relay",
                        Encode.object
                            [|
                                "delivers", Encode.bool (relay.Problem = "")
                                "waiting", Encode.int64 relay.Waiting
                                if relay.Problem <> "" then
                                    "reason", Encode.string relay.Problem
                            |]
                    | ValueNone -> ()

                    match state with
                    | ValueSome state ->
                        "state",
                        Encode.object
                            [|
                                "works", Encode.bool state.Works
                                "evaluates_alerts", Encode.bool state.IsHolder
                                "alerts_evaluated_by", Encode.string state.Holder
                                if not state.Works then
                                    "reason", Encode.string state.Failure
                            |]
                    | ValueNone -> ()
                |]
        )

    let private storageValue (storage: Storage) : JsonValue =
        Encode.object
            [|
                "stores", Encode.bool storage.Writing.IsNone
                "reads", Encode.bool (storage.Reading.IsNone && storage.Cluster.IsNone)
                yield! outage storage
            |]

    /// The event that says whether samples are stored.
    [<CompiledName "StorageEvent">]
    let storageEvent (storage: Storage) : byte[] =
        Array.concat [ "event: storage\ndata: "B; bytes (storageValue storage); "\n\n"B ]

    /// How urgently a server needs attention.
    [<CompiledName "AttentionOf">]
    let attention (view: ServerView) (now: DateTimeOffset) : int =
        Attention.score (stateOf view now) (view.Judgement |> ValueOption.map _.Machine.Label)

    let private serverMembers (view: ServerView) (now: DateTimeOffset) : (string * JsonValue)[] =
        let registration = view.Registration

        [|
            "slug", Encode.string registration.Slug
            "name", Encode.string registration.Name
            "hostname", Encode.string registration.Hostname
            "description", Encode.string registration.Description
            "active", Encode.bool registration.IsActive
            "created_at", instant registration.CreatedAt
            "state", Encode.string (string (stateOf view now))
            "last_seen", Encode.voption instant view.LastSeen
            "age_seconds",
            view.LastSeen
            |> Encode.voption (fun seen -> Encode.float (Math.Round(max 0.0 (now - seen).TotalSeconds, 1)))
            "expected_interval_seconds",
            view.Interval
            |> Encode.voption (fun seconds -> Encode.float (Math.Round(seconds, 3)))
            "agent", raw view.Agent
            "latest",
            view.Latest
            |> Encode.voption (fun stored -> Encode.object [| yield! summary stored; "verdict", briefVerdict view.Judgement |])
            "verdict", briefVerdict view.Judgement
            "jobs", jobLines view.Judgement
            "gpus",
            (match view.Latest with
             | ValueSome stored -> stored.Report.Gpus
             | ValueNone -> [||])
            |> objects (fun _ gpu -> [| "gpu_index", Encode.int gpu.Index; "name", Encode.string gpu.Name |])
            "attention", Encode.int (attention view now)
        |]

    let private values (numbers: float[]) : JsonValue =
        fun writer ->
            writer.WriteStartArray()

            for value in numbers do
                if Double.IsFinite value then
                    writer.WriteNumberValue(Math.Round(value, 1))
                else
                    writer.WriteNullValue()

            writer.WriteEndArray()

    let private spark (spark: Spark) : JsonValue =
        Encode.object
            [|
                "end", instant spark.End
                "step_seconds", Encode.int 60
                "cpu", values spark.Cpu
                "gpu", values spark.Gpu
            |]

    /// GET /api/servers/: what needs attention first, then by slug.
    [<CompiledName "Servers">]
    let servers (views: (struct (ServerView * Spark))[]) (now: DateTimeOffset) : byte[] =
        let ordered =
            views
            |> Array.sortWith (fun (struct (one, _)) (struct (other, _)) ->
                match compare (attention other now) (attention one now) with
                | 0 -> String.CompareOrdinal(one.Registration.Slug, other.Registration.Slug)
                | order -> order)

        bytes (
            Encode.object
                [|
                    "now", instant now
                    "servers",
                    ordered
                    |> objects (fun _ (struct (view, line)) -> Array.append (serverMembers view now) [| "spark", spark line |])
                |]
        )

    /// POST /api/servers/: the server, which has sent nothing yet, its token, and what starts its agent.
    [<CompiledName "Added">]
    let added (registration: Registration) (token: string) (terminal: string) (service: string) (now: DateTimeOffset) : byte[] =
        let view =
            {
                Registration = registration
                LastSeen = ValueNone
                Interval = ValueNone
                Agent = ""
                Latest = ValueNone
                Judgement = ValueNone
            }

        let command (place: string) (text: string) =
            Encode.object [| "where", Encode.string place; "text", Encode.string text |]

        bytes (
            Encode.object
                [|
                    "server", Encode.object (serverMembers view now)
                    "token", Encode.string token
                    "commands", Encode.seq [ command "terminal" terminal; command "service" service ]
                |]
        )

    /// GET /api/metrics/latest/
    [<CompiledName "Latest">]
    let latest (view: ServerView) (now: DateTimeOffset) : byte[] =
        let disks (stored: StoredSample) =
            stored.Derivation.Rates.Derived.Disks
            |> objects (fun _ disk ->
                [|
                    "device", Encode.string disk.Device
                    "read_bytes_per_s", number disk.Read
                    "write_bytes_per_s", number disk.Written
                    "read_ops_per_s", number disk.ReadOps
                    "write_ops_per_s", number disk.WriteOps
                    "util_percent", number disk.Utilization
                |])

        bytes (
            Encode.object
                [|
                    "server", Encode.object (serverMembers view now)
                    "snapshot",
                    view.Latest
                    |> Encode.voption (fun stored ->
                        Encode.object
                            [|
                                yield! summary stored
                                "sample", sample stored.Report
                                "rates", Encode.object [| "disks", disks stored |]
                                "verdict",
                                view.Judgement
                                |> Encode.voption (fun judgement -> JudgementJson.full judgement.Source judgement.Machine)
                                "jobs",
                                match view.Judgement with
                                | ValueSome judgement -> Encode.arrayOf (JudgementJson.job judgement.Source) judgement.Jobs
                                | ValueNone -> Encode.seq []
                            |])
                |]
        )

    /// GET /api/; `login` where people log in, `user` empty where nobody has to say who asks, `endpoints` the paths that are answered.
    [<CompiledName "Root">]
    let root
        (version: string)
        (keeping: Keeping)
        (storage: Storage)
        (login: bool)
        (user: string)
        (role: string)
        (endpoints: string[])
        (now: DateTimeOffset)
        : byte[] =
        bytes (
            Encode.object
                [|
                    "name", Encode.string "ai-dashboard"
                    "version", Encode.string version
                    "now", instant now
                    "stale_after_seconds", Encode.float Attention.shortestStale.TotalSeconds
                    "retention_days", Encode.int keeping.Days
                    "raw_hours", Encode.int keeping.RawHours
                    "storage", storageValue storage
                    "login", Encode.bool login
                    "user", (if user = "" then Encode.nil else Encode.string user)
                    "role", Encode.string role
                    "endpoints", Encode.seq (Seq.map Encode.string endpoints)
                |]
        )

    /// The data of an event about a new sample.
    [<CompiledName "SampleEvent">]
    let sampleEvent (slug: string) (stored: StoredSample) (layout: Layout) (point: Point) (judgement: Judgement voption) : byte[] =
        let head = summary stored

        let value (kind: SeriesKind) slot : string * JsonValue =
            let figure = point.Values[slot]

            kind.Name,
            if Double.IsNaN figure then
                Encode.nil
            elif kind.Scale = 1.0 then
                whole figure
            else
                Encode.float (Math.Round(figure * kind.Scale) / kind.Scale)

        let all (kinds: SeriesKind[]) first =
            kinds |> Array.mapi (fun offset kind -> value kind (first + offset))

        let known = head |> Seq.map fst |> set

        bytes (
            Encode.object
                [|
                    "server", Encode.string slug
                    "snapshot",
                    Encode.object
                        [|
                            yield! head
                            "verdict", briefVerdict judgement
                            "jobs", jobLines judgement
                            yield! all Series.machine 0 |> Array.filter (fun (key, _) -> not (known.Contains key))
                            "gpus",
                            stored.Report.Gpus
                            |> objects (fun position gpu ->
                                [|
                                    "gpu_index", Encode.int gpu.Index
                                    yield! all Series.gpu (Series.firstOfGpu layout position)
                                    "throttle_reasons", reasons (gpu.Figures.Whole Schema.gpuThrottle)
                                |])
                            "disks",
                            stored.Report.Disks
                            |> objects (fun position disk ->
                                Array.append [| "device", Encode.string disk.Device |] (all Series.disk (Series.firstOfDisk position)))
                            "fans",
                            stored.Report.Fans
                            |> objects (fun position fan ->
                                Array.append [| "label", Encode.string fan.Label |] (all Series.fan (Series.firstOfFan layout position)))
                        |]
                |]
        )

    /// GET /api/metrics/history/
    [<CompiledName "HistoryInto">]
    let historyInto (output: IBufferWriter<byte>) (server: string) (history: History) : unit =
        Encode.writeTo output false (fun writer -> history.Write(writer, server))

    /// GET /api/metrics/history/ with form=delta
    [<CompiledName "HistoryDeltasInto">]
    let historyDeltasInto (output: IBufferWriter<byte>) (server: string) (history: History) : unit =
        Encode.writeTo output false (fun writer -> history.WriteDeltas(writer, server))

    /// GET /api/metrics/history/ with details=
    [<CompiledName "DetailsInto">]
    let detailsInto (output: IBufferWriter<byte>) (server: string) (areDeltas: bool) (history: DetailHistory) : unit =
        Encode.writeTo output false (fun writer -> history.Write(writer, server, areDeltas))

    /// GET /api/fleet/gpus/
    [<CompiledName "FleetGpus">]
    let fleetGpus (fleet: FleetUse) : byte[] =
        bytes (fun writer -> fleet.Write writer)

    /// The range that the use of a fleet's GPUs is asked for, which is a day at most.
    [<CompiledName "FleetRange">]
    let fleetRange (minutes: string) (until: string) : Result<HistoryRange, Refusal> =
        match History.Range(minutes, until) with
        | Ok range when range.Minutes > FleetUse.LongestMinutes ->
            Error
                {
                    Error = "The query cannot be read."
                    Detail = $"minutes: expected a whole number from 1 to {FleetUse.LongestMinutes}, found {range.Minutes}"
                }
        | range -> range

    /// What is printed about a server on its line, in columns; `keepsSamples` where samples are not in a cluster.
    [<CompiledName "Line">]
    let line (keepsSamples: bool) (registration: Registration) (lastSample: DateTimeOffset voption) : string =
        let active = if registration.IsActive then "active" else "inactive"

        let last =
            match lastSample with
            | ValueSome at -> Wire.instant at
            | ValueNone when keepsSamples -> "never"
            | ValueNone -> "in the cluster"

        $"{registration.Slug.PadRight 24} {active.PadRight 8} {last.PadRight 32} {registration.Name}".TrimEnd()
