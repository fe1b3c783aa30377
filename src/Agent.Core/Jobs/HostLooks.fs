/// What the machine did between two looks.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.HostLooks

open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

let private collect (of': 'a -> 'b voption) (all: 'a[]) : 'b[] =
    all |> Array.choose (of' >> ValueOption.toOption)

/// The mean time of one request, in milliseconds.
let private latency (requests: float voption) (time: float<ms> voption) : float<ms> voption =
    match requests, time with
    | ValueSome requests, ValueSome time when requests > 0.0 -> ValueSome(time / requests)
    | _ -> ValueNone

let private disk (length: float<s>) (now: DiskStats.DiskCounters) (earlier: DiskStats.DiskCounters) : DiskEvidence voption =
    let time (part: DiskStats.DiskDetail -> uint64<ms>) : float<ms> voption =
        Rates.grownBoth (earlier.Detail |> ValueOption.map part) (now.Detail |> ValueOption.map part)

    // A request is in flight no longer than the requests took together, which the weighted time adds up. Newer kernels count a tick for each
    // request, however short (update_io_ticks), so that flash with a tenth of a millisecond for each looks busy all the time. Of what is still in
    // flight the time comes when it ends.
    let busy =
        match Rates.grownBoth earlier.BusyTime now.BusyTime, time _.WeightedTime, now.Detail with
        | ValueSome busy, ValueSome weighted, ValueSome detail when weighted > 0.0<ms> && detail.InFlight = 0UL ->
            ValueSome(min busy weighted)
        | busy, _, _ -> busy

    match
        Rates.grownBoth earlier.ReadBytes now.ReadBytes |> Rates.perSecond length,
        Rates.grownBoth earlier.WrittenBytes now.WrittenBytes |> Rates.perSecond length
    with
    | ValueSome read, ValueSome written ->
        ValueSome
            {
                Device = now.Device
                Busy = busy |> Rates.ofMilliseconds |> Rates.share length
                Queue =
                    time _.WeightedTime
                    |> Rates.ofMilliseconds
                    |> Rates.perSecond length
                    |> ValueOption.map float
                ReadLatency = latency (Rates.grownBoth earlier.Reads now.Reads) (time _.ReadTime)
                WriteLatency = latency (Rates.grownBoth earlier.Writes now.Writes) (time _.WriteTime)
                Read = read
                Written = written
            }
    | _ -> ValueNone

let private disks (length: float<s>) (before: Look) (after: Look) : DiskEvidence[] =
    let tracked (look: Look) =
        (Devices.selectDisks look.Devices.Blocks look.DiskNames look.Host.Disks).Tracked

    let earlier = tracked before

    tracked after
    |> collect (fun now ->
        Rates.find (fun (disk: DiskStats.DiskCounters) -> disk.Device) now.Device earlier
        |> ValueOption.bind (disk length now))

let private speedOf (name: string) (speeds: (struct (string * float<B / s>))[]) : float<B / s> voption =
    speeds
    |> Rates.find (fun (struct (name, _)) -> name) name
    |> ValueOption.map (fun (struct (_, speed)) -> speed)

let private link length name speed isFabric received sent : LinkEvidence voption =
    match Rates.perSecond length received, Rates.perSecond length sent with
    | ValueSome received, ValueSome sent ->
        ValueSome
            {
                Name = name
                Received = received
                Sent = sent
                Speed = speed
                IsFabric = isFabric
            }
    | _ -> ValueNone

/// The name of a port, as `mlx5_0/1`.
let portName (port: Infiniband.Port) : string = $"{port.Device}/{port.Port}"

let private links (length: float<s>) (before: Look) (after: Look) : LinkEvidence[] =
    let tracked =
        (Devices.selectInterfaces after.InterfaceNames after.Host.Interfaces).Tracked
        |> Devices.counted after.Devices.Interfaces after.InterfaceNames

    let interfaces =
        tracked
        |> collect (fun now ->
            before.Host.Interfaces
            |> Rates.find (fun (other: NetDev.InterfaceCounters) -> other.Name) now.Name
            |> ValueOption.bind (fun earlier ->
                link
                    length
                    now.Name
                    (speedOf now.Name after.Host.Speeds)
                    false
                    (Rates.grown earlier.Received.Bytes now.Received.Bytes)
                    (Rates.grown earlier.Sent.Bytes now.Sent.Bytes)))

    let ports =
        after.Host.Ports
        |> collect (fun now ->
            before.Host.Ports
            |> Rates.find portName (portName now)
            |> ValueOption.bind (fun earlier ->
                link
                    length
                    (portName now)
                    (speedOf (portName now) after.Host.PortSpeeds)
                    true
                    (Rates.grownBoth earlier.Received now.Received)
                    (Rates.grownBoth earlier.Sent now.Sent)))

    Array.append interfaces ports

let private mount (length: float<s>) (earlier: NetworkMountCounters) (now: NetworkMountCounters) : NetworkMountEvidence voption =
    let operations = Rates.grown earlier.Operations now.Operations

    let milliseconds (time: float<us>) : float<ms> =
        LanguagePrimitives.FloatWithMeasure(float time / 1e3)

    let each (before: uint64<us> voption) (after: uint64<us> voption) =
        latency operations (Rates.grownBoth before after |> ValueOption.map milliseconds)

    match
        Rates.perSecond length operations,
        Rates.grown earlier.Read now.Read |> Rates.perSecond length,
        Rates.grown earlier.Written now.Written |> Rates.perSecond length
    with
    | ValueSome rate, ValueSome read, ValueSome written ->
        ValueSome
            {
                MountPoint = now.MountPoint
                Kind = now.Kind
                Operations = rate
                RoundTrip = each earlier.RoundTrip now.RoundTrip
                Execution = each earlier.Execution now.Execution
                Outstanding =
                    Rates.grownBoth earlier.Execution now.Execution
                    |> Rates.ofMicroseconds
                    |> Rates.perSecond length
                    |> ValueOption.map float
                Read = read
                Written = written
            }
    | _ -> ValueNone

let private networkMounts (length: float<s>) (before: Look) (after: Look) : NetworkMountEvidence[] =
    let directoryOf (mount: NetworkMountCounters) = mount.MountPoint

    // Of several on one directory the last can be seen.
    let seen (look: Look) =
        look.Host.NetworkMounts
        |> Array.rev
        |> Array.distinctBy directoryOf
        |> Array.rev

    let earlier = seen before

    seen after
    |> collect (fun now ->
        Rates.find directoryOf now.MountPoint earlier
        |> ValueOption.filter (fun other -> other.Device = now.Device)
        |> ValueOption.bind (fun earlier -> mount length earlier now))

/// Memory that programs can have: the cache of ZFS and idle huge pages are given back or were set aside on purpose.
let private available (host: HostCounters) : float<percent> voption =
    match host.Memory with
    | ValueNone -> ValueNone
    | ValueSome memory ->
        let huge =
            match memory.HugePagesFree, memory.HugePageSize with
            | ValueSome count, ValueSome size -> float count * float size
            | _ -> 0.0

        match MemInfo.availableWithArc host.Arc memory, memory.Total with
        | ValueSome available, ValueSome total when total > 0UL<B> -> ValueSome(percentOf (float available + huge) (float total))
        | _ -> ValueNone

/// The machine between two looks.
let between (length: float<s>) (before: Look) (after: Look) : HostEvidence =
    let host = after.Host
    let earlier = before.Host

    let usage =
        match earlier.Stat, host.Stat with
        | ValueSome before, ValueSome after -> CpuUsage.since (ValueSome length) before after
        | _ -> ValueNone

    let busiest =
        match earlier.Stat, host.Stat with
        | ValueSome _, ValueSome after -> CpuUsage.cores (ValueSome length) earlier.Stat after |> Rates.extreme Array.max
        | _ -> ValueNone

    let swap (part: VmStat.VmStat -> uint64<page> voption) : float<B / s> voption =
        Rates.grownBoth (earlier.Vm |> ValueOption.bind part) (host.Vm |> ValueOption.bind part)
        |> Rates.perSecond length
        |> ValueOption.map (fun pages -> LanguagePrimitives.FloatWithMeasure(float pages * float after.PageSize))

    {
        Cpus =
            match host.Stat with
            | ValueSome stat -> stat.Cpus.Length
            | ValueNone -> 0
        CpuBusy = usage |> ValueOption.map _.Busy
        BusiestCpu = busiest
        Iowait = usage |> ValueOption.map _.Iowait
        Steal = usage |> ValueOption.map _.Steal
        Runnable = host.Runnable
        CpuStall = Rates.stall length false earlier.CpuPressure host.CpuPressure
        IoStall = Rates.stall length false earlier.IoPressure host.IoPressure
        IoFullStall = Rates.stall length true earlier.IoPressure host.IoPressure
        MemoryStall = Rates.stall length false earlier.MemoryPressure host.MemoryPressure
        MemoryFullStall = Rates.stall length true earlier.MemoryPressure host.MemoryPressure
        MemoryAvailable = available host
        SwapIn = swap _.SwappedIn
        SwapOut = swap _.SwappedOut
        Disks = disks length before after
        Links = links length before after
        NetworkMounts = networkMounts length before after
        DriverProblem = after.DriverProblem
    }
