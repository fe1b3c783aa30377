/// The host's figures by the names, labels and help texts of node_exporter 1.5, so that dashboards made for it work.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NodeMetrics

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Outbound
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

let private kernel (sink: MetricSink) (stat: Stat.CpuStat) =
    whole sink "node_context_switches_total" MetricKind.Counter "Total number of context switches." stat.ContextSwitches
    whole sink "node_forks_total" MetricKind.Counter "Total number of forks." stat.Forks
    whole sink "node_intr_total" MetricKind.Counter "Total number of interrupts serviced." stat.Interrupts
    whole sink "node_procs_blocked" MetricKind.Gauge "Number of processes blocked waiting for I/O to complete." stat.Blocked
    whole sink "node_procs_running" MetricKind.Gauge "Number of processes in runnable state." stat.Running

// ---- Disks, /proc/diskstats --------------------------------------------------------------------------------------------

/// The one column that goes down as well.
[<Literal>]
let private InFlight = "io_now"

/// One column of /proc/diskstats: its name behind `node_disk_`, its help text, and a disk's value, whole or in milliseconds; none
/// where the kernel does not count it.
[<RequireQualifiedAccess>]
type private DiskColumn =
    | Count of name: string * help: string * value: (DiskStats.DiskCounters -> DiskStats.DiskDetail -> uint64 voption)
    | Time of name: string * help: string * value: (DiskStats.DiskCounters -> DiskStats.DiskDetail -> uint64<ms> voption)

/// In the order of the columns.
let private diskColumns =
    let count name help value =
        DiskColumn.Count(name, help, fun disk detail -> ValueSome(value disk detail))

    let time name help value =
        DiskColumn.Time(name, help, fun disk detail -> ValueSome(value disk detail))

    let ofDiscards value (detail: DiskStats.DiskDetail) =
        detail.Discards |> ValueOption.map value

    let ofFlushes value (detail: DiskStats.DiskDetail) = detail.Flushes |> ValueOption.map value

    [|
        DiskColumn.Count("reads_completed_total", "The total number of reads completed successfully.", fun disk _ -> disk.Reads)
        count "reads_merged_total" "The total number of reads merged." (fun _ detail -> detail.ReadsMerged)
        DiskColumn.Count(
            "read_bytes_total",
            "The total number of bytes read successfully.",
            fun disk _ -> ValueOption.map uint64 disk.ReadBytes
        )
        time "read_time_seconds_total" "The total number of seconds spent by all reads." (fun _ detail -> detail.ReadTime)
        DiskColumn.Count("writes_completed_total", "The total number of writes completed successfully.", fun disk _ -> disk.Writes)
        count "writes_merged_total" "The number of writes merged." (fun _ detail -> detail.WritesMerged)
        DiskColumn.Count(
            "written_bytes_total",
            "The total number of bytes written successfully.",
            fun disk _ -> ValueOption.map uint64 disk.WrittenBytes
        )
        time "write_time_seconds_total" "This is the total number of seconds spent by all writes." (fun _ detail -> detail.WriteTime)
        count InFlight "The number of I/Os currently in progress." (fun _ detail -> detail.InFlight)
        DiskColumn.Time("io_time_seconds_total", "Total seconds spent doing I/Os.", (fun disk _ -> disk.BusyTime))
        time "io_time_weighted_seconds_total" "The weighted # of seconds spent doing I/Os." (fun _ detail -> detail.WeightedTime)
        DiskColumn.Count(
            "discards_completed_total",
            "The total number of discards completed successfully.",
            fun _ detail -> ofDiscards _.Completed detail
        )
        DiskColumn.Count("discards_merged_total", "The total number of discards merged.", (fun _ detail -> ofDiscards _.Merged detail))
        DiskColumn.Count(
            "discarded_sectors_total",
            "The total number of sectors discarded successfully.",
            fun _ detail -> ofDiscards (fun discards -> uint64 discards.Sectors) detail
        )
        DiskColumn.Time(
            "discard_time_seconds_total",
            "This is the total number of seconds spent by all discards.",
            fun _ detail -> ofDiscards _.Time detail
        )
        DiskColumn.Count(
            "flush_requests_total",
            "The total number of flush requests completed successfully",
            fun _ detail -> ofFlushes _.Completed detail
        )
        DiskColumn.Time(
            "flush_requests_time_seconds_total",
            "This is the total number of seconds spent by all flush requests.",
            fun _ detail -> ofFlushes _.Time detail
        )
    |]

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

let private disks (sink: MetricSink) (wanted: string[]) (all: DiskStats.DiskCounters[]) =
    let told =
        all
        |> Array.filter (fun disk -> disk.Detail.IsSome && isWanted wanted (isPassedOver >> not) disk.Device)
        |> Array.distinctBy _.Device

    let tell name help (value: DiskStats.DiskCounters -> DiskStats.DiskDetail -> 'value voption) (write: 'value -> unit) =
        sink.Family(
            "node_disk_" + name,
            (if name = InFlight then
                 MetricKind.Gauge
             else
                 MetricKind.Counter),
            help
        )

        for disk in told do
            match value disk disk.Detail.Value with
            | ValueSome value ->
                sink.Label("device", disk.Device)
                write value
            | ValueNone -> ()

    for column in diskColumns do
        match column with
        | DiskColumn.Count(name, help, value) -> tell name help value sink.Whole
        | DiskColumn.Time(name, help, value) -> tell name help value (fun time -> sink.Value(float (secondsOfMilliseconds time)))

// ---- Network, /proc/net/dev --------------------------------------------------------------------------------------------

/// In the order of the columns.
let private networkFamilies =
    let received name (value: NetDev.Traffic -> uint64) =
        struct ("receive_" + name, (fun (i: NetDev.InterfaceCounters) (_: NetDev.InterfaceDetail) -> value i.Received))

    let sent name (value: NetDev.Traffic -> uint64) =
        struct ("transmit_" + name, (fun (i: NetDev.InterfaceCounters) (_: NetDev.InterfaceDetail) -> value i.Sent))

    let other name (value: NetDev.InterfaceDetail -> uint64) =
        struct (name, (fun (_: NetDev.InterfaceCounters) (detail: NetDev.InterfaceDetail) -> value detail))

    [|
        received "bytes" (fun traffic -> uint64 traffic.Bytes)
        received "packets" _.Packets
        received "errs" _.Errors
        received "drop" _.Dropped
        other "receive_fifo" _.ReceiveFifo
        other "receive_frame" _.ReceiveFrame
        other "receive_compressed" _.ReceiveCompressed
        other "receive_multicast" _.ReceiveMulticast
        sent "bytes" (fun traffic -> uint64 traffic.Bytes)
        sent "packets" _.Packets
        sent "errs" _.Errors
        sent "drop" _.Dropped
        other "transmit_fifo" _.SendFifo
        other "transmit_colls" _.SendCollisions
        other "transmit_carrier" _.SendCarrier
        other "transmit_compressed" _.SendCompressed
    |]
    |> Array.map (fun struct (name, value) -> struct ($"node_network_{name}_total", $"Network device statistic {name}.", value))

let private network (sink: MetricSink) (wanted: string[]) (all: NetDev.InterfaceCounters[]) =
    let told =
        all
        |> Array.filter (fun i -> i.Detail.IsSome && isWanted wanted (fun name -> name <> "lo") i.Name)
        |> Array.distinctBy _.Name

    for struct (name, help, value) in networkFamilies do
        counter sink name help

        for i in told do
            sink.Label("device", i.Name)
            sink.Whole(value i i.Detail.Value)

// ---- Load, pressure, file systems, sensors, the machine ----------------------------------------------------------

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

/// A figure of a file system that answers: its name behind `node_filesystem_`, its help text, and its value.
let private filesystemColumns =
    [|
        struct ("avail_bytes", "Filesystem space available to non-root users in bytes.", (fun (c: FilesystemCounts) -> uint64 c.Available))
        struct ("files", "Filesystem total file nodes.", _.Files)
        struct ("files_free", "Filesystem total free file nodes.", _.FilesFree)
        struct ("free_bytes", "Filesystem free space in bytes.", (fun c -> uint64 c.Free))
        struct ("size_bytes", "Filesystem size in bytes.", (fun c -> uint64 c.Size))
    |]

let private filesystems (sink: MetricSink) (all: FilesystemState[]) =
    // Of several mounts on one directory the last is the one that is seen.
    let seen = all |> Array.rev |> Array.distinctBy _.MountPoint |> Array.rev

    let label (one: FilesystemState) =
        sink.Label("device", one.Device)
        sink.Label("fstype", one.FsType)
        sink.Label("mountpoint", one.MountPoint)

    let state name help (isSo: FilesystemState -> bool) =
        gauge sink ("node_filesystem_" + name) help

        for one in seen do
            label one
            sink.Whole(if isSo one then 1UL else 0UL)

    state "device_error" "Whether an error occurred while getting statistics for the given device." _.Counts.IsNone
    state "readonly" "Filesystem read-only status." _.IsReadOnly

    for struct (name, help, value) in filesystemColumns do
        gauge sink ("node_filesystem_" + name) help

        for one in seen do
            match one.Counts with
            | ValueSome counts ->
                label one
                sink.Whole(value counts)
            | ValueNone -> ()

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

/// Writes everything that is known about the host.
let write (sink: MetricSink) (reading: MachineReading) : unit =
    let snapshot = reading.Snapshot

    match snapshot.Stat with
    | Ok stat ->
        match stat.BootTime with
        | ValueSome seconds -> single sink "node_boot_time_seconds" "Node boot time, in unixtime." (float seconds)
        | ValueNone -> ()

        cpus sink stat
        kernel sink stat
    | Error _ -> ()

    match snapshot.Disks with
    | Ok all -> disks sink reading.Disks all
    | Error _ -> ()

    filesystems sink reading.Filesystems

    match snapshot.Load with
    | Ok average -> load sink average
    | Error _ -> ()

    if snapshot.Memory.IsOk then
        MemoryFields.write sink reading.MemoryText.Span

    match snapshot.Network with
    | Ok all -> network sink reading.Interfaces all
    | Error _ -> ()

    let facts: CollectorFacts =
        {
            PageSize = reading.PageSize
            Interfaces = reading.Interfaces
            BootTime =
                match snapshot.Stat with
                | Ok stat -> ValueOption.map float stat.BootTime
                | Error _ -> ValueNone
        }

    Collectors.write facts reading.Collectors sink
    pressure sink snapshot
    single sink "node_time_seconds" "System time in seconds since epoch (1970)." (float (secondsSinceEpoch snapshot.At))
    uname sink reading.System reading.DomainName
