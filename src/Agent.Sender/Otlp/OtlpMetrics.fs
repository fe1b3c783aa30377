/// A machine by OpenTelemetry's semantic conventions 1.44 (open-telemetry/semantic-conventions, docs/system/system-metrics.md and
/// docs/hardware/): every metric is one row with its name, unit, instrument and points. docs/otlp.md lists them.
[<RequireQualifiedAccess>]
module internal Agent.Sender.OtlpMetrics

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Outbound
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// The conventions that the names follow; their schema's address is in every request.
[<Literal>]
let Schema = "https://opentelemetry.io/schemas/1.44.0"

/// A machine at one instant, with what sums count from, in nanoseconds since 1970; 0 where that is not known.
[<NoComparison>]
type Scene =
    {
        Reading: MachineReading
        /// When the machine started: no counter of its kernel and drivers is older.
        Boot: uint64<ns>
        /// When the agent started.
        Agent: uint64<ns>
    }

/// A metric: what the conventions say of it, and its points in a scene; none where nothing is known.
[<NoEquality; NoComparison>]
type Row =
    {
        Name: string
        Unit: string
        Instrument: OtlpInstrument
        Description: string
        Points: Scene -> OtlpPoint[]
    }

// ---- Points ------------------------------------------------------------------------------------------------------------

let private none: (struct (string * string))[] = [||]

let private whole (value: uint64<'u>) : OtlpValue = OtlpValue.Whole(wireInteger value)

let private real (value: float<'u>) : OtlpValue = OtlpValue.Real(float value)

/// A point of a gauge.
let private now (attributes: (struct (string * string))[]) (value: OtlpValue) : OtlpPoint =
    {
        Attributes = attributes
        Start = 0UL<ns>
        Value = value
    }

/// A point of a sum that counts from an instant on.
let private since (start: uint64<ns>) (attributes: (struct (string * string))[]) (value: OtlpValue) : OtlpPoint =
    {
        Attributes = attributes
        Start = start
        Value = value
    }

/// One point where the value is known.
let private one (make: OtlpValue -> OtlpPoint) (convert: 'value -> OtlpValue) (value: 'value voption) : OtlpPoint[] =
    match value with
    | ValueSome value -> [| make (convert value) |]
    | ValueNone -> [||]

let private metric instrument name unit description points =
    {
        Name = name
        Unit = unit
        Instrument = instrument
        Description = description
        Points = points
    }

let private gauge = metric OtlpInstrument.Gauge
let private upDown = metric OtlpInstrument.UpDownCounter
let private counter = metric OtlpInstrument.Counter

/// Attributes with a value; texts from outside may be anything.
let private attributes (all: (struct (string * string)) list) : (struct (string * string))[] =
    [|
        for struct (name, value) in all do
            if value <> "" then
                struct (name, ProtobufFields.wellFormed value)
    |]

// ---- CPUs and load -----------------------------------------------------------------------------------------------------

let private mode name = [| struct ("cpu.mode", name) |]

let private user, nice, system, idle, iowait, interrupt, steal =
    mode "user", mode "nice", mode "system", mode "idle", mode "iowait", mode "interrupt", mode "steal"

let private cpuTime (scene: Scene) : OtlpPoint[] =
    match scene.Reading.Snapshot.Stat with
    | Ok { Total = ValueSome times } ->
        let spent mode (ticks: uint64<tick>) =
            since scene.Boot mode (real (secondsOfTicks ticks))

        [|
            spent user times.User
            spent nice times.Nice
            spent system times.System
            spent idle times.Idle
            spent iowait times.Iowait
            spent interrupt (addSaturating times.Irq times.Softirq)
            spent steal times.Steal
        |]
    | _ -> [||]

let private cpuUtilization (scene: Scene) : OtlpPoint[] =
    let sample = scene.Reading.Sample
    let share mode = one (now mode) (ratioOfPercent >> real)

    [|
        yield! share user sample.CpuUser
        yield! share system sample.CpuSystem
        yield! share iowait sample.CpuIowait
        yield! share steal sample.CpuSteal
    |]

let private cpus =
    [|
        counter "system.cpu.time" "s" "Seconds that all CPUs together spent in each mode." cpuTime
        gauge "system.cpu.utilization" "1" "Share of the time since the previous sample in each mode, of all CPUs together." cpuUtilization
        upDown "system.cpu.logical.count" "{cpu}" "CPUs that are online." (fun scene ->
            scene.Reading.Sample.CpuCountLogical
            |> one (since scene.Boot none) (int64 >> OtlpValue.Whole))
        upDown "system.cpu.physical.count" "{cpu}" "Cores." (fun scene ->
            scene.Reading.Sample.CpuCountPhysical
            |> one (since scene.Boot none) (int64 >> OtlpValue.Whole))
        gauge "system.cpu.frequency" "Hz" "Mean clock of the CPUs." (fun scene ->
            scene.Reading.Sample.CpuFrequency
            |> one (now none) (hertzOfMhz >> Math.Round >> int64 >> OtlpValue.Whole))
    |]

/// The conventions name no load average; these are the names of the OpenTelemetry Collector's receiver hostmetrics.
let private load =
    let average minutes (value: LoadAvg.LoadAverage -> float) =
        gauge $"system.cpu.load_average.{minutes}m" "{thread}" $"Mean number of tasks that run or wait, over {minutes} min." (fun scene ->
            scene.Reading.Sample.Load |> one (now none) (value >> real))

    [| average 1 _.One; average 5 _.Five; average 15 _.Fifteen |]

// ---- Memory and swap -----------------------------------------------------------------------------------------------------

let private memoryState name =
    [| struct ("system.memory.state", name) |]

let private usedMemory, freeMemory, cachedMemory, buffers =
    memoryState "used", memoryState "free", memoryState "cached", memoryState "buffers"

/// What each state holds. `used` is what programs could not get: MemTotal − MemAvailable.
let private memoryStates (scene: Scene) : (struct ((struct (string * string))[] * uint64<B>))[] =
    [|
        match scene.Reading.Sample.Memory with
        | ValueSome memory -> struct (usedMemory, memory.Used)
        | ValueNone -> ()

        match scene.Reading.Snapshot.Memory with
        | Ok memory ->
            for state, value in
                [
                    freeMemory, memory.Free
                    cachedMemory, memory.Cached
                    buffers, memory.Buffers
                ] do
                match value with
                | ValueSome bytes -> struct (state, bytes)
                | ValueNone -> ()
        | Error _ -> ()
    |]

let private pagingState name =
    [| struct ("system.paging.state", name) |]

let private usedSwap, freeSwap = pagingState "used", pagingState "free"

let private memory =
    [|
        upDown "system.memory.usage" "By" "Memory by state." (fun scene ->
            memoryStates scene
            |> Array.map (fun (struct (state, bytes)) -> since scene.Boot state (whole bytes)))
        upDown "system.memory.limit" "By" "All memory." (fun scene -> scene.Reading.Sample.MemoryTotal |> one (since scene.Boot none) whole)
        gauge "system.memory.utilization" "1" "Share of the memory in each state." (fun scene ->
            match scene.Reading.Sample.MemoryTotal with
            | ValueSome total when total > 0UL<B> ->
                memoryStates scene
                |> Array.map (fun (struct (state, bytes)) -> now state (real (float bytes / float total)))
            | _ -> [||])
        upDown "system.memory.linux.available" "By" "What programs can allocate without swapping." (fun scene ->
            scene.Reading.Sample.Memory
            |> ValueOption.map _.Available
            |> one (since scene.Boot none) whole)
        upDown "system.paging.usage" "By" "Swap by state." (fun scene ->
            match scene.Reading.Sample.SwapTotal, scene.Reading.Sample.Swap with
            | ValueSome total, ValueSome swap ->
                [|
                    since scene.Boot usedSwap (whole swap.Used)
                    since scene.Boot freeSwap (whole (total - min swap.Used total))
                |]
            | _ -> [||])
        gauge "system.paging.utilization" "1" "Share of the swap in each state." (fun scene ->
            match scene.Reading.Sample.SwapTotal, scene.Reading.Sample.Swap with
            | ValueSome total, ValueSome swap when total > 0UL<B> ->
                let used = float swap.Used / float total

                [| now usedSwap (real used); now freeSwap (real (1.0 - used)) |]
            | _ -> [||])
    |]

// ---- Disks, file systems, network ------------------------------------------------------------------------------------

let private direction key name (device: string) (deviceKey: string) =
    attributes [ struct (deviceKey, device); struct (key, name) ]

let private reads (disk: DiskStats.DiskCounters) =
    direction "disk.io.direction" "read" disk.Device "system.device"

let private writes (disk: DiskStats.DiskCounters) =
    direction "disk.io.direction" "write" disk.Device "system.device"

/// Points of every disk that is tracked.
let private ofDisks (points: Scene -> DiskStats.DiskCounters -> OtlpPoint list) (scene: Scene) : OtlpPoint[] =
    [|
        for disk in scene.Reading.Sample.Disks do
            yield! points scene disk
    |]

let private ofDetails (points: Scene -> DiskStats.DiskCounters -> DiskStats.DiskDetail -> OtlpPoint list) =
    ofDisks (fun scene disk ->
        match disk.Detail with
        | ValueSome detail -> points scene disk detail
        | ValueNone -> [])

let private disks =
    [|
        counter
            "system.disk.io"
            "By"
            "Bytes read and written."
            (ofDisks (fun scene disk ->
                [
                    yield! one (since scene.Boot (reads disk)) whole disk.ReadBytes
                    yield! one (since scene.Boot (writes disk)) whole disk.WrittenBytes
                ]))
        counter
            "system.disk.operations"
            "{operation}"
            "Reads and writes completed."
            (ofDisks (fun scene disk ->
                [
                    yield! one (since scene.Boot (reads disk)) whole disk.Reads
                    yield! one (since scene.Boot (writes disk)) whole disk.Writes
                ]))
        counter
            "system.disk.io_time"
            "s"
            "Time with at least one request in flight."
            (ofDisks (fun scene disk ->
                match disk.BusyTime with
                | ValueSome busy ->
                    [
                        since scene.Boot (attributes [ struct ("system.device", disk.Device) ]) (real (secondsOfMilliseconds busy))
                    ]
                | ValueNone -> []))
        counter
            "system.disk.operation_time"
            "s"
            "Time that all operations took together."
            (ofDetails (fun scene disk detail ->
                [
                    since scene.Boot (reads disk) (real (secondsOfMilliseconds detail.ReadTime))
                    since scene.Boot (writes disk) (real (secondsOfMilliseconds detail.WriteTime))
                ]))
        counter
            "system.disk.merged"
            "{operation}"
            "Reads and writes merged with others."
            (ofDetails (fun scene disk detail ->
                [
                    since scene.Boot (reads disk) (whole detail.ReadsMerged)
                    since scene.Boot (writes disk) (whole detail.WritesMerged)
                ]))
    |]

/// The file systems that answer, of several on one directory the last, which is the one that is seen; no more than a sample has disks.
let private seenFilesystems (scene: Scene) : FilesystemState[] =
    scene.Reading.Filesystems
    |> Array.rev
    |> Array.distinctBy _.MountPoint
    |> Array.rev
    |> Array.filter _.Counts.IsSome
    |> Array.truncate Sample.MostEntries

let private filesystemLabels (state: string) (one: FilesystemState) =
    attributes
        [
            struct ("system.device", one.Device)
            struct ("system.filesystem.mountpoint", one.MountPoint)
            struct ("system.filesystem.type", one.FsType)
            struct ("system.filesystem.mode", (if one.IsReadOnly then "ro" else "rw"))
            struct ("system.filesystem.state", state)
        ]

let private ofFilesystems (points: Scene -> FilesystemState -> FilesystemCounts -> OtlpPoint list) (scene: Scene) : OtlpPoint[] =
    [|
        for one in seenFilesystems scene do
            yield! points scene one one.Counts.Value
    |]

let private usedOf (counts: FilesystemCounts) : uint64<B> =
    counts.Size - min counts.Free counts.Size

let private filesystems =
    [|
        // The three states add up to the limit.
        upDown
            "system.filesystem.usage"
            "By"
            "Space of a file system by state."
            (ofFilesystems (fun scene one counts ->
                let free = min counts.Free counts.Size
                let available = min counts.Available free

                [
                    since scene.Boot (filesystemLabels "used" one) (whole (usedOf counts))
                    since scene.Boot (filesystemLabels "free" one) (whole available)
                    since scene.Boot (filesystemLabels "reserved" one) (whole (free - available))
                ]))
        gauge
            "system.filesystem.utilization"
            "1"
            "Share of a file system's space that is used."
            (ofFilesystems (fun _ one counts ->
                if counts.Size > 0UL<B> then
                    [
                        now (filesystemLabels "used" one) (real (float (usedOf counts) / float counts.Size))
                    ]
                else
                    []))
        upDown
            "system.filesystem.limit"
            "By"
            "Size of a file system."
            (ofFilesystems (fun scene one counts -> [ since scene.Boot (filesystemLabels "" one) (whole counts.Size) ]))
    |]

/// Both directions of every interface that is tracked.
let private ofInterfaces (device: string) (value: NetDev.Traffic -> uint64) (scene: Scene) : OtlpPoint[] =
    [|
        for one in scene.Reading.Sample.Interfaces do
            let counters = one.Counters
            since scene.Boot (direction "network.io.direction" "receive" counters.Name device) (whole (value counters.Received))
            since scene.Boot (direction "network.io.direction" "transmit" counters.Name device) (whole (value counters.Sent))
    |]

let private network =
    [|
        counter
            "system.network.io"
            "By"
            "Bytes received and sent."
            (ofInterfaces "network.interface.name" (fun traffic -> uint64 traffic.Bytes))
        // Of this one metric the conventions call the interface a device.
        counter "system.network.packet.count" "{packet}" "Packets received and sent." (ofInterfaces "system.device" _.Packets)
        counter
            "system.network.packet.dropped"
            "{packet}"
            "Packets dropped though nothing was wrong with them."
            (ofInterfaces "network.interface.name" _.Dropped)
        counter "system.network.errors" "{error}" "Packets with an error." (ofInterfaces "network.interface.name" _.Errors)
    |]

// ---- Processes and the machine --------------------------------------------------------------------------------------------

let private others =
    [|
        upDown "system.process.count" "{process}" "Processes." (fun scene ->
            scene.Reading.Sample.ProcessCount
            |> one (since scene.Boot none) (int64 >> OtlpValue.Whole))
        counter "system.process.created" "{process}" "Processes and threads created since the machine started." (fun scene ->
            match scene.Reading.Snapshot.Stat with
            | Ok stat -> stat.Forks |> one (since scene.Boot none) whole
            | Error _ -> [||])
        gauge "system.uptime" "s" "Time since the machine started." (fun scene ->
            match scene.Reading.Snapshot.Stat with
            | Ok { BootTime = ValueSome boot } ->
                let uptime = float (secondsSinceEpoch scene.Reading.Sample.CollectedAt) - float (int64 boot)

                // A clock that was set back may say that the machine starts tomorrow.
                if uptime >= 0.0 then
                    [| now none (OtlpValue.Real uptime) |]
                else
                    [||]
            | _ -> [||])
    |]

// ---- Hardware ------------------------------------------------------------------------------------------------------------

/// What identifies a board on this machine: its UUID, else its PCI address, else its index.
let private idOf (gpu: Gpu) : string =
    if gpu.Uuid <> "" then gpu.Uuid
    elif gpu.PciBusId <> "" then gpu.PciBusId
    else "gpu" + gpu.Index.ToString CultureInfo.InvariantCulture

let private nameOf (gpu: Gpu) : string =
    "nvidia" + gpu.Index.ToString CultureInfo.InvariantCulture

/// A board with more that tells its points apart.
let private board (gpu: Gpu) (more: (struct (string * string)) list) =
    attributes (
        [
            struct ("hw.id", idOf gpu)
            struct ("hw.name", nameOf gpu)
            struct ("hw.model", gpu.Name)
            struct ("hw.vendor", "NVIDIA")
        ]
        @ more
    )

let private isGpu = struct ("hw.type", "gpu")

/// A sensor or a fan of a board.
let private part (gpu: Gpu) (name: string) (location: string) =
    attributes
        [
            struct ("hw.id", $"{idOf gpu}/{name}")
            struct ("hw.name", $"{nameOf gpu} {name}")
            struct ("hw.parent", idOf gpu)
            struct ("hw.sensor_location", location)
        ]

/// A board that is told twice counts once.
let private boardsOf (scene: Scene) : Gpu[] =
    if scene.Reading.Sample.Gpus.Length < 2 then
        scene.Reading.Sample.Gpus
    else
        scene.Reading.Sample.Gpus |> Array.distinctBy idOf

let private ofGpus (points: Scene -> Gpu -> OtlpPoint[]) (scene: Scene) : OtlpPoint[] =
    boardsOf scene |> Array.collect (points scene)

/// A sensor and the name that tells it from the others: chip and label, and a number where these repeat, as on machines with two sockets.
let private sensors (all: Hwmon.Temperature[]) : (struct (Hwmon.Temperature * string))[] =
    let seen = Dictionary<string, int>(StringComparer.Ordinal)

    all
    |> Array.map (fun sensor ->
        let name =
            match sensor.Chip, sensor.Label with
            | "", label -> label
            | chip, "" -> chip
            | chip, label -> $"{chip}/{label}"

        let times =
            match seen.TryGetValue name with
            | true, times -> times + 1
            | _ -> 1

        seen[name] <- times
        struct (sensor, (if times = 1 then name else $"{name}/{times}")))

let private sensor (sensor: Hwmon.Temperature) (name: string) =
    attributes
        [
            struct ("hw.id", name)
            struct ("hw.name", (if sensor.Label <> "" then sensor.Label else name))
            struct ("hw.parent", sensor.Chip)
            struct ("hw.sensor_location", sensor.Label)
        ]

let private temperatures (scene: Scene) : OtlpPoint[] =
    [|
        yield!
            scene.Reading.Sample.CpuTemperature
            |> one
                (now
                    [|
                        struct ("hw.id", "cpu")
                        struct ("hw.name", "hottest CPU sensor")
                        struct ("hw.sensor_location", "cpu")
                    |])
                real

        for struct (one, name) in sensors scene.Reading.Temperatures |> Array.truncate Sample.MostEntries do
            now (sensor one name) (real (float one.Celsius))

        for gpu in boardsOf scene do
            yield! gpu.Temperature |> one (now (part gpu "die" "die")) real
            yield! gpu.MemoryTemperature |> one (now (part gpu "memory" "memory")) real
    |]

let private hardware =
    [|
        gauge "hw.temperature" "Cel" "Temperature." temperatures
        gauge "hw.fan.speed" "rpm" "Speed of a fan, from hwmon or IPMI." (fun scene ->
            scene.Reading.Sample.Fans
            |> Array.map (fun fan ->
                now
                    (attributes [ struct ("hw.id", $"fan/{fan.Label}"); struct ("hw.name", fan.Label) ])
                    (OtlpValue.Whole(int64 fan.Speed))))
        gauge
            "hw.fan.speed_ratio"
            "1"
            "The speed that a fan is set to, of its highest."
            (ofGpus (fun _ gpu -> gpu.FanSpeed |> one (now (part gpu "fan" "")) (ratioOfPercent >> real)))
        gauge "hw.power" "W" "Power draw." (ofGpus (fun _ gpu -> gpu.Power |> one (now (board gpu [ isGpu ])) real))
        counter
            "hw.energy"
            "J"
            "Energy drawn since the driver was loaded."
            (ofGpus (fun scene gpu ->
                gpu.Energy
                |> one (since scene.Boot (board gpu [ isGpu ])) (joulesOfMilli >> real)))
        counter
            "hw.errors"
            "{error}"
            "Errors: of memory over the life of the board, XID events since the agent started."
            (ofGpus (fun scene gpu ->
                let errors start kind =
                    one (since start (board gpu [ isGpu; struct ("error.type", kind) ])) whole

                [|
                    yield! gpu.EccCorrected |> errors 0UL<ns> "corrected"
                    yield! gpu.EccUncorrected |> errors 0UL<ns> "uncorrected"
                    yield! gpu.XidCount |> errors scene.Agent "xid"
                |]))
        gauge
            "hw.gpu.utilization"
            "1"
            "Share of the time in which the task was performed."
            (ofGpus (fun _ gpu ->
                let task name =
                    one (now (board gpu [ struct ("hw.gpu.task", name) ])) (ratioOfPercent >> real)

                [|
                    yield! gpu.Utilization |> task "general"
                    yield! gpu.Encoder |> task "encoder"
                    yield! gpu.Decoder |> task "decoder"
                |]))
        upDown
            "hw.gpu.memory.limit"
            "By"
            "Device memory."
            (ofGpus (fun scene gpu -> gpu.MemoryTotal |> one (since scene.Boot (board gpu [])) whole))
        upDown
            "hw.gpu.memory.usage"
            "By"
            "Device memory in use."
            (ofGpus (fun scene gpu -> gpu.MemoryUsed |> one (since scene.Boot (board gpu [])) whole))
        gauge
            "hw.gpu.memory.utilization"
            "1"
            "Share of the device memory in use."
            (ofGpus (fun _ gpu -> gpu.MemoryPercent |> one (now (board gpu [])) (ratioOfPercent >> real)))
    |]

/// Every metric, in the order in which they are sent.
let rows: Row[] = Array.concat [ cpus; load; memory; disks; filesystems; network; others; hardware ]

/// All metrics that have a point. What is no number is no point.
let write (scene: Scene) : List<OtlpMetric> =
    let isNumber (point: OtlpPoint) =
        match point.Value with
        | OtlpValue.Real value -> Double.IsFinite value
        | OtlpValue.Whole _ -> true

    let metrics = List<OtlpMetric>(rows.Length)

    for row in rows do
        let points = row.Points scene |> Array.filter isNumber

        if points.Length > 0 then
            metrics.Add
                {
                    Name = row.Name
                    Description = row.Description
                    Unit = row.Unit
                    Instrument = row.Instrument
                    Points = points
                }

    metrics
