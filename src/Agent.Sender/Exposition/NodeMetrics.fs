/// The host's figures by the names, labels and help texts of node_exporter 1.5, so that dashboards made for it work.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NodeMetrics

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

let private counter (sink: MetricSink) name help =
    sink.Family(name, MetricKind.Counter, help)

let private gauge (sink: MetricSink) name help =
    sink.Family(name, MetricKind.Gauge, help)

/// A family of one sample without labels.
let private single (sink: MetricSink) (name: string) (help: string) (value: float) =
    gauge sink name help
    sink.Value value

let private whole (sink: MetricSink) name kind help (value: uint64 voption) =
    match value with
    | ValueSome value ->
        sink.Family(name, kind, help)
        sink.Whole value
    | ValueNone -> ()

// ---- CPUs, /proc/stat --------------------------------------------------------------------------------------------------

let private cpuNames = Array.init 1000 (fun i -> i.ToString CultureInfo.InvariantCulture)

let private cpuName id =
    if id < cpuNames.Length then
        cpuNames[id]
    else
        id.ToString CultureInfo.InvariantCulture

let private cpus (sink: MetricSink) (stat: Stat.CpuStat) =
    let time id mode (ticks: uint64<tick>) =
        sink.Label("cpu", cpuName id)
        sink.Label("mode", mode)
        sink.Value(float (secondsOfTicks ticks))

    counter sink "node_cpu_guest_seconds_total" "Seconds the CPUs spent in guests (VMs) for each mode."

    for cpu in stat.Cpus do
        match cpu.Times with
        | ValueSome times ->
            time cpu.Id "nice" times.GuestNice
            time cpu.Id "user" times.Guest
        | ValueNone -> ()

    counter sink "node_cpu_seconds_total" "Seconds the CPUs spent in each mode."

    for cpu in stat.Cpus do
        match cpu.Times with
        | ValueSome times ->
            time cpu.Id "idle" times.Idle
            time cpu.Id "iowait" times.Iowait
            time cpu.Id "irq" times.Irq
            time cpu.Id "nice" times.Nice
            time cpu.Id "softirq" times.Softirq
            time cpu.Id "steal" times.Steal
            time cpu.Id "system" times.System
            time cpu.Id "user" times.User
        | ValueNone -> ()

let private ctxt = "ctxt"B
let private processes = "processes"B
let private intr = "intr"B
let private running = "procs_running"B
let private blocked = "procs_blocked"B

let private kernel (sink: MetricSink) (text: ReadOnlyMemory<byte>) =
    let numberAfter (word: byte[]) =
        KernelColumns.numberAfter (ReadOnlySpan word) text.Span

    whole sink "node_context_switches_total" MetricKind.Counter "Total number of context switches." (numberAfter ctxt)
    whole sink "node_forks_total" MetricKind.Counter "Total number of forks." (numberAfter processes)
    whole sink "node_intr_total" MetricKind.Counter "Total number of interrupts serviced." (numberAfter intr)

    whole sink "node_procs_blocked" MetricKind.Gauge "Number of processes blocked waiting for I/O to complete." (numberAfter blocked)

    whole sink "node_procs_running" MetricKind.Gauge "Number of processes in runnable state." (numberAfter running)

// ---- Disks, /proc/diskstats --------------------------------------------------------------------------------------------

[<RequireQualifiedAccess; Struct>]
type private Unit =
    | Count
    | Sectors
    | Milliseconds

[<Struct>]
type private DiskColumn =
    {
        Index: int
        Name: string
        Help: string
        Unit: Unit
    }

let private diskColumns =
    [|
        0, "reads_completed_total", "The total number of reads completed successfully.", Unit.Count
        1, "reads_merged_total", "The total number of reads merged.", Unit.Count
        2, "read_bytes_total", "The total number of bytes read successfully.", Unit.Sectors
        3, "read_time_seconds_total", "The total number of seconds spent by all reads.", Unit.Milliseconds
        4, "writes_completed_total", "The total number of writes completed successfully.", Unit.Count
        5, "writes_merged_total", "The number of writes merged.", Unit.Count
        6, "written_bytes_total", "The total number of bytes written successfully.", Unit.Sectors
        7, "write_time_seconds_total", "This is the total number of seconds spent by all writes.", Unit.Milliseconds
        8, "io_now", "The number of I/Os currently in progress.", Unit.Count
        9, "io_time_seconds_total", "Total seconds spent doing I/Os.", Unit.Milliseconds
        10, "io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", Unit.Milliseconds
        11, "discards_completed_total", "The total number of discards completed successfully.", Unit.Count
        12, "discards_merged_total", "The total number of discards merged.", Unit.Count
        13, "discarded_sectors_total", "The total number of sectors discarded successfully.", Unit.Count
        14, "discard_time_seconds_total", "This is the total number of seconds spent by all discards.", Unit.Milliseconds
        15, "flush_requests_total", "The total number of flush requests completed successfully", Unit.Count
        16, "flush_requests_time_seconds_total", "This is the total number of seconds spent by all flush requests.", Unit.Milliseconds
    |]
    |> Array.map (fun (index, name, help, unit) ->
        {
            Index = index
            Name = "node_disk_" + name
            Help = help
            Unit = unit
        })

/// True for what node_exporter passes over unless told otherwise: ram disks, loop devices, floppies and partitions.
let isPassedOver (device: string) : bool =
    let rest (prefix: string) =
        if device.StartsWith(prefix, StringComparison.Ordinal) then
            device.Substring prefix.Length
        else
            ""

    let isDigits (text: string) =
        text <> "" && text |> String.forall Char.IsAsciiDigit

    // `a1` of sda1: one letter and digits.
    let isPartition (text: string) =
        text.Length > 1
        && Char.IsAsciiLetterLower text[0]
        && isDigits (text.Substring 1)

    let isNvmePartition =
        match (rest "nvme").Split([| 'n'; 'p' |]) with
        | [| controller; space; partition |] -> isDigits controller && isDigits space && isDigits partition
        | _ -> false

    isDigits (rest "ram")
    || isDigits (rest "loop")
    || isDigits (rest "fd")
    || isPartition (rest "hd")
    || isPartition (rest "sd")
    || isPartition (rest "vd")
    || isPartition (rest "xvd")
    || isNvmePartition

let private isWanted (names: string[]) (isDefault: string -> bool) (name: string) =
    if names.Length > 0 then
        Array.contains name names
    else
        isDefault name

let private disks (sink: MetricSink) (wanted: string[]) (text: ReadOnlySpan<byte>) =
    let rows =
        KernelColumns.disks text
        |> Array.filter (fun row -> isWanted wanted (isPassedOver >> not) row.Device)

    for column in diskColumns do
        sink.Family(
            column.Name,
            (if column.Index = 8 then
                 MetricKind.Gauge
             else
                 MetricKind.Counter),
            column.Help
        )

        for row in rows do
            if column.Index < row.Columns.Length then
                let value = row.Columns[column.Index]
                sink.Label("device", row.Device)

                match column.Unit with
                | Unit.Count -> sink.Whole value
                | Unit.Sectors -> sink.Whole(uint64 (bytesOfSectors (LanguagePrimitives.UInt64WithMeasure value)))
                | Unit.Milliseconds -> sink.Value(float (secondsOfMilliseconds (LanguagePrimitives.UInt64WithMeasure value)))

// ---- Network, /proc/net/dev --------------------------------------------------------------------------------------------

let private networkFamilies =
    [|
        "receive_bytes"
        "receive_packets"
        "receive_errs"
        "receive_drop"
        "receive_fifo"
        "receive_frame"
        "receive_compressed"
        "receive_multicast"
        "transmit_bytes"
        "transmit_packets"
        "transmit_errs"
        "transmit_drop"
        "transmit_fifo"
        "transmit_colls"
        "transmit_carrier"
        "transmit_compressed"
    |]
    |> Array.map (fun name -> struct ($"node_network_{name}_total", $"Network device statistic {name}."))

let private network (sink: MetricSink) (wanted: string[]) (text: ReadOnlySpan<byte>) =
    let rows =
        KernelColumns.network text
        |> Array.filter (fun row -> isWanted wanted (fun name -> name <> "lo") row.Device)

    for i in 0 .. networkFamilies.Length - 1 do
        let struct (name, help) = networkFamilies[i]
        counter sink name help

        for row in rows do
            sink.Label("device", row.Device)
            sink.Whole row.Columns[i]

// ---- Load, pressure, file systems, fabric, sensors, the machine ----------------------------------------------------------

let private load (sink: MetricSink) (load: LoadAvg.LoadAverage) =
    single sink "node_load1" "1m load average." load.One
    single sink "node_load15" "15m load average." load.Fifteen
    single sink "node_load5" "5m load average." load.Five

let private pressure (sink: MetricSink) (snapshot: Snapshot) =
    let tell name help (stall: Pressure.Stall voption) =
        match stall with
        | ValueSome stall ->
            counter sink name help
            sink.Value(float (secondsOfMicroseconds stall.Total))
        | ValueNone -> ()

    let some (result: Result<Pressure.Pressure, SourceError>) =
        match result with
        | Ok pressure -> ValueSome pressure.Some
        | Error _ -> ValueNone

    let full (result: Result<Pressure.Pressure, SourceError>) =
        match result with
        | Ok pressure -> pressure.Full
        | Error _ -> ValueNone

    tell
        "node_pressure_cpu_waiting_seconds_total"
        "Total time in seconds that processes have waited for CPU time"
        (some snapshot.CpuPressure)

    tell
        "node_pressure_io_stalled_seconds_total"
        "Total time in seconds no process could make progress due to IO congestion"
        (full snapshot.IoPressure)

    tell
        "node_pressure_io_waiting_seconds_total"
        "Total time in seconds that processes have waited due to IO congestion"
        (some snapshot.IoPressure)

    tell
        "node_pressure_memory_stalled_seconds_total"
        "Total time in seconds no process could make progress due to memory congestion"
        (full snapshot.MemoryPressure)

    tell
        "node_pressure_memory_waiting_seconds_total"
        "Total time in seconds that processes have waited for memory"
        (some snapshot.MemoryPressure)

let private filesystems (sink: MetricSink) (partitions: Partition[]) =
    // Of several mounts on one directory the last is the one that is seen.
    let seen =
        partitions
        |> Array.rev
        |> Array.distinctBy (fun partition -> partition.MountPoint)
        |> Array.rev

    let tell name help (value: Partition -> uint64<B>) =
        gauge sink name help

        for partition in seen do
            sink.Label("device", partition.Device)
            sink.Label("fstype", partition.FsType)
            sink.Label("mountpoint", partition.MountPoint)
            sink.Whole(uint64 (value partition))

    tell "node_filesystem_avail_bytes" "Filesystem space available to non-root users in bytes." (fun p -> p.Free)
    tell "node_filesystem_free_bytes" "Filesystem free space in bytes." (fun p -> p.Total - min p.Used p.Total)
    tell "node_filesystem_size_bytes" "Filesystem size in bytes." (fun p -> p.Total)

let private fabric (sink: MetricSink) (ports: Infiniband.Port[]) =
    let tell name help (value: Infiniband.Port -> uint64<B> voption) =
        counter sink name help

        for port in ports do
            match value port with
            | ValueSome bytes ->
                sink.Label("device", port.Device)
                sink.Label("port", port.Port.ToString CultureInfo.InvariantCulture)
                sink.Whole(uint64 bytes)
            | ValueNone -> ()

    tell "node_infiniband_port_data_received_bytes_total" "Number of data octets received on all links" (fun p -> p.Received)
    tell "node_infiniband_port_data_transmitted_bytes_total" "Number of data octets transmitted on all links" (fun p -> p.Sent)

let private sensors (sink: MetricSink) (sensors: Hwmon.PlacedSensor[]) =
    if sensors.Length > 0 then
        let sensors = sensors |> Array.distinctBy (fun s -> struct (s.Chip, s.Sensor))

        let measured name help quantity =
            gauge sink name help

            for sensor in sensors do
                if sensor.Quantity = quantity then
                    sink.Label("chip", sensor.Chip)
                    sink.Label("sensor", sensor.Sensor)
                    sink.Value sensor.Value

        gauge sink "node_hwmon_chip_names" "Annotation metric for human-readable chip names"
        let named = HashSet<string>(StringComparer.Ordinal)

        for sensor in sensors do
            if sensor.ChipName <> "" && named.Add sensor.Chip then
                sink.Label("chip", sensor.Chip)
                sink.Label("chip_name", sensor.ChipName)
                sink.Whole 1UL

        measured "node_hwmon_fan_rpm" "Hardware monitor for fan revolutions per minute (input)" Hwmon.Quantity.FanSpeed

        gauge sink "node_hwmon_sensor_label" "Label for given chip and sensor"

        for sensor in sensors do
            if sensor.Label <> "" then
                sink.Label("chip", sensor.Chip)
                sink.Label("label", sensor.Label)
                sink.Label("sensor", sensor.Sensor)
                sink.Whole 1UL

        measured "node_hwmon_temp_celsius" "Hardware monitor for temperature (input)" Hwmon.Quantity.Temperature

let private uname (sink: MetricSink) (system: SystemInfo) (domain: string) =
    if system.OsName <> "" then
        gauge sink "node_uname_info" "Labeled system information as provided by the uname system call."
        sink.Label("domainname", domain)
        sink.Label("machine", system.Machine)
        sink.Label("nodename", system.Hostname)
        sink.Label("release", system.OsRelease)
        sink.Label("sysname", system.OsName)
        sink.Label("version", system.OsVersion)
        sink.Whole 1UL

/// Tells everything of the host that is known.
let write (sink: MetricSink) (reading: MachineReading) : unit =
    let snapshot = reading.Snapshot

    match snapshot.Stat with
    | Ok stat ->
        match stat.BootTime with
        | ValueSome seconds -> single sink "node_boot_time_seconds" "Node boot time, in unixtime." (float seconds)
        | ValueNone -> ()

        cpus sink stat
        kernel sink reading.Texts.Stat
    | Error _ -> ()

    if snapshot.Disks.IsOk then
        disks sink reading.Disks reading.Texts.Disks.Span

    filesystems sink (Array.append reading.System.Partitions reading.System.NetworkPartitions)
    sensors sink reading.Sensors
    fabric sink snapshot.Infiniband

    match snapshot.Load with
    | Ok average -> load sink average
    | Error _ -> ()

    if snapshot.Memory.IsOk then
        MemoryFields.write sink reading.Texts.Memory.Span

    if snapshot.Network.IsOk then
        network sink reading.Interfaces reading.Texts.Network.Span

    pressure sink snapshot
    single sink "node_time_seconds" "System time in seconds since epoch (1970)." (float (secondsSinceEpoch snapshot.At))
    uname sink reading.System reading.DomainName
