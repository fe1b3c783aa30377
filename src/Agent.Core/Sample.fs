namespace Agent.Core

open System
open System.Collections.Generic
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// Memory in use.
[<NoComparison>]
type MemoryUse =
    {
        /// The total less what is available.
        Used: uint64<B>
        /// What programs can allocate without swapping.
        Available: uint64<B>
        /// Used as a share of the total, one decimal.
        Percent: float<percent>
    }

/// Swap in use; all zero on a machine without swap.
[<NoComparison>]
type SwapUse =
    {
        /// In use.
        Used: uint64<B>
        /// Used as a share of the total, one decimal; 0 without swap.
        Percent: float<percent>
    }

/// Time that tasks stalled for lack of CPU, I/O or memory. Shares are of the last ten seconds.
[<NoComparison>]
type PressureUse =
    {
        /// /proc/pressure/cpu, some.
        CpuSome: Pressure.Stall voption
        /// /proc/pressure/io, some.
        IoSome: Pressure.Stall voption
        /// /proc/pressure/io, full.
        IoFull: Pressure.Stall voption
        /// /proc/pressure/memory, some.
        MemorySome: Pressure.Stall voption
        /// /proc/pressure/memory, full.
        MemoryFull: Pressure.Stall voption
    }

/// A network interface and what it is.
[<NoComparison>]
type InterfaceUse =
    {
        /// Its name and its counters.
        Counters: NetDev.InterfaceCounters
        /// `physical`, `bond`, `vlan`, `veth` and the like, as `NetClass.Interface` has it.
        Kind: string
        /// What it is a port of; empty for none.
        Master: string
    }

/// What the agent reports about the machine at one instant. Percentages have one decimal, counters are at most 2^63-1,
/// devices, GPU indexes and fan labels are unique. Values of a failed source are none.
[<NoComparison>]
type Sample =
    {
        /// When the counters were read, UTC, to the microsecond.
        CollectedAt: DateTimeOffset
        /// Busy CPU time over the CPU window.
        CpuUsage: float<percent> voption
        /// User time since the previous sample.
        CpuUser: float<percent> voption
        /// Kernel time since the previous sample.
        CpuSystem: float<percent> voption
        /// Time waiting for I/O since the previous sample.
        CpuIowait: float<percent> voption
        /// Time taken by the hypervisor since the previous sample.
        CpuSteal: float<percent> voption
        /// Busy share of each CPU since the previous sample; none for one that came, or whose counters fell, since then.
        CpuCores: float<percent> voption[]
        /// Run-queue averages.
        Load: LoadAvg.LoadAverage voption
        /// Mean clock.
        CpuFrequency: float<MHz> voption
        /// Temperature of the CPU; of several, the hottest.
        CpuTemperature: float<degC> voption
        /// CPUs that are online.
        CpuCountLogical: int voption
        /// Cores.
        CpuCountPhysical: int voption
        /// All memory; known where its use is, and where only that cannot be told.
        MemoryTotal: uint64<B> voption
        /// Memory in use.
        Memory: MemoryUse voption
        /// All swap; known where its use is, and where only that cannot be told.
        SwapTotal: uint64<B> voption
        /// Swap in use.
        Swap: SwapUse voption
        /// Bytes received, each counted once; with interfaces chosen by the user, all that those received. None where one of them could not
        /// be read, or came too lately for it to be known what it is.
        NetworkReceived: uint64<B> voption
        /// Bytes sent, likewise.
        NetworkSent: uint64<B> voption
        /// TCP segments sent, without retransmissions.
        TcpSent: uint64 voption
        /// TCP segments retransmitted because no acknowledgement came in time.
        TcpRetransmitted: uint64 voption
        /// Processes.
        ProcessCount: int voption
        /// The tracked disks.
        Disks: DiskStats.DiskCounters[]
        /// GPUs.
        Gpus: Gpu[]
        /// Fans.
        Fans: Hwmon.Fan[]
        /// Pressure stall information; none where the kernel does not record it.
        Pressure: PressureUse voption
        /// The tracked interfaces, whether the totals count them or not.
        Interfaces: InterfaceUse[]
        /// The ports of the RDMA fabric.
        Infiniband: Infiniband.Port[]
        /// Who uses the GPUs, and what holds them back; none while no job does.
        Jobs: JobReport voption
    }

    /// A sample of the first instant of 1970 in which nothing is known.
    static member Empty: Sample =
        {
            CollectedAt = DateTimeOffset.UnixEpoch
            CpuUsage = ValueNone
            CpuUser = ValueNone
            CpuSystem = ValueNone
            CpuIowait = ValueNone
            CpuSteal = ValueNone
            CpuCores = [||]
            Load = ValueNone
            CpuFrequency = ValueNone
            CpuTemperature = ValueNone
            CpuCountLogical = ValueNone
            CpuCountPhysical = ValueNone
            MemoryTotal = ValueNone
            Memory = ValueNone
            SwapTotal = ValueNone
            Swap = ValueNone
            NetworkReceived = ValueNone
            NetworkSent = ValueNone
            TcpSent = ValueNone
            TcpRetransmitted = ValueNone
            ProcessCount = ValueNone
            Disks = [||]
            Gpus = [||]
            Fans = [||]
            Pressure = ValueNone
            Interfaces = [||]
            Infiniband = [||]
            Jobs = ValueNone
        }

/// How samples are built, from the user's settings.
[<NoComparison>]
type SampleOptions =
    {
        /// The disks to track; empty for all disks of the machine.
        Disks: string[]
        /// The interfaces to track; empty for all but the loopback.
        Interfaces: string[]
        /// The CPU window; zero counts usage since the previous sample.
        CpuWindow: TimeSpan
    }

/// Building a sample from what was read.
[<RequireQualifiedAccess>]
module Sample =
    /// The longest device name or fan label that the ingest API stores, in characters.
    [<Literal>]
    let LongestLabel = 64

    /// A sample carries so many disks, GPUs, fans and interfaces of each kind at most: receivers read no more (`ai-dashboard`).
    [<Literal>]
    let MostEntries = 256

    /// The first characters, blanks around them removed.
    let private cut (length: int) (text: string) : string =
        let trimmed = text.Trim()

        if trimmed.Length <= length then
            trimmed
        // A cut between the halves of a surrogate pair would leave text that is not Unicode.
        elif Char.IsHighSurrogate trimmed[length - 1] then
            trimmed.Substring(0, length - 1).TrimEnd()
        else
            trimmed.Substring(0, length).TrimEnd()

    let private toLabel (text: string) : string = cut LongestLabel text

    /// Each label trimmed and cut to 64 characters; one that is taken already gets the first free number after it.
    [<CompiledName "UniqueLabels">]
    let uniqueLabels (labels: string[]) : string[] =
        let taken = HashSet<string>(StringComparer.Ordinal)
        // The number to try next for each label that repeats: those below it are taken for good.
        let numbers = Dictionary<string, int>(StringComparer.Ordinal)

        let rec free (label: string) number =
            let suffix = $" {number}"
            let candidate = (cut (LongestLabel - suffix.Length) label + suffix).Trim()

            if taken.Add candidate then
                numbers[label] <- number + 1
                candidate
            else
                free label (number + 1)

        labels
        |> Array.map (fun text ->
            let label = toLabel text

            if taken.Add label then
                label
            else
                match numbers.TryGetValue label with
                | true, number -> free label number
                | _ -> free label 2)

    let private largest = uint64 Int64.MaxValue

    let private capped (counter: uint64<'u>) : uint64<'u> =
        min counter (LanguagePrimitives.UInt64WithMeasure largest)

    let private toMicrosecond (instant: DateTimeOffset) =
        let utc = instant.ToUniversalTime()
        utc.AddTicks(-(utc.Ticks % TimeSpan.TicksPerMicrosecond))

    // A driver that says more than everything is wrong about how much, and right about which end.
    let private share (value: float<percent> voption) : float<percent> voption =
        value |> ValueOption.map (fun value -> roundToTenth (min value 100.0<percent>))

    let private tenths (value: float<'u> voption) = ValueOption.map roundToTenth value

    /// A machine that says it has none does not know.
    let private memoryTotalOf (memory: MemInfo.MemoryInfo) : uint64<B> voption =
        memory.Total
        |> ValueOption.map capped
        |> ValueOption.bind (fun total -> if total > 0UL<B> then ValueSome total else ValueNone)

    let private memoryOf (arc: ArcStats.Arc voption) (memory: MemInfo.MemoryInfo) : MemoryUse voption =
        match memory.Total, MemInfo.availableWithArc arc memory with
        | ValueSome total, ValueSome available when total > 0UL<B> ->
            let used = total - available

            ValueSome
                {
                    Used = capped used
                    Available = capped available
                    Percent = roundToTenth (percentOf (float used) (float total))
                }
        | _ -> ValueNone

    let private swapOf (memory: MemInfo.MemoryInfo) : SwapUse voption =
        match memory.SwapTotal, memory.SwapFree with
        // LXC can make more free than there is, up to 2^64 less a little; how much is used is then unknown.
        | ValueSome total, ValueSome free when free <= total || total = 0UL<B> ->
            let used = total - min free total

            ValueSome
                {
                    Used = capped used
                    Percent = roundToTenth (percentOf (float used) (float total))
                }
        | _ -> ValueNone

    let private cappedOrNone (counter: uint64<'u> voption) = ValueOption.map capped counter

    let private cappedDisk (disk: DiskStats.DiskCounters) : DiskStats.DiskCounters =
        {
            Device = toLabel disk.Device
            Reads = cappedOrNone disk.Reads
            ReadBytes = cappedOrNone disk.ReadBytes
            Writes = cappedOrNone disk.Writes
            WrittenBytes = cappedOrNone disk.WrittenBytes
            BusyTime = cappedOrNone disk.BusyTime
            Detail = disk.Detail
        }

    let private cappedTraffic (traffic: NetDev.Traffic) : NetDev.Traffic =
        {
            Bytes = capped traffic.Bytes
            Packets = capped traffic.Packets
            Errors = capped traffic.Errors
            Dropped = capped traffic.Dropped
        }

    // Hardly any counter is that large, and a copy of every interface at every sample is not for free.
    let private cappedInterface (i: NetDev.InterfaceCounters) : NetDev.InterfaceCounters =
        let isCapped (traffic: NetDev.Traffic) =
            uint64 traffic.Bytes <= largest
            && traffic.Packets <= largest
            && traffic.Errors <= largest
            && traffic.Dropped <= largest

        if isCapped i.Received && isCapped i.Sent then
            i
        else
            { i with
                Received = cappedTraffic i.Received
                Sent = cappedTraffic i.Sent
            }

    // F#'s own equality of options looks at types at run time.
    let private isCapped (counter: uint64<'u> voption) : bool =
        match counter with
        | ValueSome value -> value = capped value
        | ValueNone -> true

    // Processes rarely need a change, and a copy of 32 of them each second is not for free.
    let private cappedProcesses (processes: ComputeProcess[]) : ComputeProcess[] =
        let limited = ComputeProcess.limited processes

        if
            limited
            |> Array.exists (fun p -> not (isCapped p.MemoryUsed) || p.Name <> toLabel p.Name)
        then
            limited
            |> Array.map (fun p ->
                { p with
                    MemoryUsed = cappedOrNone p.MemoryUsed
                    Name = toLabel p.Name
                })
        else
            limited

    let private cappedMig (device: MigDevice) : MigDevice =
        { device with
            MemoryTotal = cappedOrNone device.MemoryTotal
            MemoryUsed = cappedOrNone device.MemoryUsed
            ComputeProcesses = ValueOption.map cappedProcesses device.ComputeProcesses
            XidCount = cappedOrNone device.XidCount
        }

    /// A board without memory of its own uses the host's.
    let private withHostMemory (total: uint64<B> voption) (memory: MemoryUse voption) (gpu: Gpu) : Gpu =
        match memory with
        | ValueSome memory when gpu.IsMemoryShared ->
            { gpu with
                MemoryTotal = total
                MemoryUsed = ValueSome memory.Used
                MemoryFree = ValueSome memory.Available
            }
        | _ -> gpu

    let private cappedGpu (gpu: Gpu) : Gpu =
        { gpu with
            Utilization = share gpu.Utilization
            MemoryUtilization = share gpu.MemoryUtilization
            MemoryTotal = cappedOrNone gpu.MemoryTotal
            MemoryUsed = cappedOrNone gpu.MemoryUsed
            MemoryFree = cappedOrNone gpu.MemoryFree
            MemoryReserved = cappedOrNone gpu.MemoryReserved
            FanSpeed = tenths gpu.FanSpeed
            EccUncorrected = cappedOrNone gpu.EccUncorrected
            EccCorrected = cappedOrNone gpu.EccCorrected
            XidCount = cappedOrNone gpu.XidCount
            Energy = cappedOrNone gpu.Energy
            Encoder = share gpu.Encoder
            Decoder = share gpu.Decoder
            NvlinkReceived = cappedOrNone gpu.NvlinkReceived
            NvlinkSent = cappedOrNone gpu.NvlinkSent
            ComputeProcesses = ValueOption.map cappedProcesses gpu.ComputeProcesses
            MigDevices = gpu.MigDevices |> ValueOption.map (Array.map cappedMig)
        }

    // Array.distinctBy makes a set, which most machines have no use for.
    let private distinctBy (key: 'a -> 'key) (values: 'a[]) : 'a[] =
        if values.Length < 2 then
            values
        else
            Array.distinctBy key values

    let private bounded (entries: 'a[]) : 'a[] =
        if entries.Length <= MostEntries then
            entries
        else
            Array.sub entries 0 MostEntries

    /// Of too many interfaces those that count in the totals stay before any others, each in its place.
    let private boundedInterfaces (counted: NetDev.InterfaceCounters[]) (tracked: NetDev.InterfaceCounters[]) : NetDev.InterfaceCounters[] =
        if tracked.Length <= MostEntries then
            tracked
        else
            let first = HashSet<string>(StringComparer.Ordinal)

            for i in counted do
                first.Add i.Name |> ignore

            let isFirst (i: NetDev.InterfaceCounters) = first.Contains i.Name

            let kept =
                Array.append (Array.filter isFirst tracked) (Array.filter (isFirst >> not) tracked)
                |> bounded

            first.Clear()

            for i in kept do
                first.Add i.Name |> ignore

            tracked |> Array.filter isFirst

    let private uniqueFans (fans: Hwmon.Fan[]) : Hwmon.Fan[] =
        if fans.Length = 0 then
            fans
        else
            let fans = bounded fans

            (uniqueLabels (fans |> Array.map (fun fan -> fan.Label)), fans)
            ||> Array.map2 (fun label fan -> { fan with Label = label })

    let private someOf (result: Result<Pressure.Pressure, SourceError>) =
        match result with
        | Ok pressure -> ValueSome pressure.Some
        | Error _ -> ValueNone

    let private fullOf (result: Result<Pressure.Pressure, SourceError>) =
        match result with
        | Ok pressure -> pressure.Full
        | Error _ -> ValueNone

    let private stallOf (stall: Pressure.Stall voption) =
        stall
        |> ValueOption.map (fun stall ->
            { stall with
                Total = capped stall.Total
            }
            : Pressure.Stall)

    let private pressureOf (snapshot: Snapshot) : PressureUse voption =
        match snapshot.CpuPressure, snapshot.IoPressure, snapshot.MemoryPressure with
        | Error _, Error _, Error _ -> ValueNone
        | cpu, io, memory ->
            ValueSome
                {
                    CpuSome = stallOf (someOf cpu)
                    IoSome = stallOf (someOf io)
                    IoFull = stallOf (fullOf io)
                    MemorySome = stallOf (someOf memory)
                    MemoryFull = stallOf (fullOf memory)
                }

    let private toVoption (result: Result<'a, SourceError>) : 'a voption =
        match result with
        | Ok value -> ValueSome value
        | Error _ -> ValueNone

    // A window that was opened late is too short to say anything: a tick of /proc/stat is 10 ms.
    let private usableWindow (options: SampleOptions) (window: CpuWindow voption) : CpuWindow voption =
        match window with
        | ValueSome window when window.Length >= options.CpuWindow / 2.0 -> ValueSome window
        | _ -> ValueNone

    let private seconds (length: TimeSpan) : float<s> =
        LanguagePrimitives.FloatWithMeasure length.TotalSeconds

    /// The sample made from `current`, with `previous` the reading of the sample before it.
    [<CompiledName "Build">]
    let build (options: SampleOptions) (previous: Snapshot voption) (current: Snapshot) : Sample =
        let stat = toVoption current.Stat
        let memory = toVoption current.Memory
        let memoryTotal = memory |> ValueOption.bind memoryTotalOf

        let memoryUse =
            match current.Arc with
            // Without the cache it would be another figure, and leap by the whole cache.
            | Error(SourceError.Garbled _) -> ValueNone
            | arc -> memory |> ValueOption.bind (memoryOf (toVoption arc))

        let load = toVoption current.Load
        let tcp = toVoption current.Tcp
        let window = usableWindow options current.Window

        let statBefore =
            match previous with
            | ValueSome({ Stat = Ok stat } as previous) ->
                ValueSome
                    {
                        Length = current.At - previous.At
                        Stat = stat
                    }
            | _ -> ValueNone

        let sinceWindow = window |> ValueOption.orElse statBefore

        let sincePrevious = statBefore |> ValueOption.orElse window

        // Since boot is the answer of a first sample only. A later one whose predecessor could not read the CPU times has none.
        let isFirst = previous.IsNone

        let sinceBoot =
            stat
            |> ValueOption.bind _.BootTime
            |> ValueOption.map (fun boot -> secondsSinceEpoch current.At - LanguagePrimitives.FloatWithMeasure(float boot))

        let usageSince (before: CpuWindow voption) =
            match stat, before with
            | ValueSome stat, ValueSome before -> CpuUsage.since (ValueSome(seconds before.Length)) before.Stat stat
            | ValueSome stat, ValueNone when isFirst -> CpuUsage.untilNow sinceBoot stat
            | _ -> ValueNone

        let usage = usageSince sincePrevious

        let disks =
            match current.Disks with
            | Ok disks -> (Devices.selectDisks current.Slow.Devices.Blocks options.Disks disks).Tracked
            | Error _ -> [||]

        let interfaces =
            toVoption current.Network
            |> ValueOption.map (fun all -> (Devices.selectInterfaces options.Interfaces all).Tracked)

        let known = current.Slow.Devices.Interfaces

        let counted =
            interfaces
            |> ValueOption.map (Devices.counted known options.Interfaces)
            // The sum over no interface at all is no measurement.
            |> ValueOption.bind (fun counted -> if counted.Length = 0 then ValueNone else ValueSome counted)

        let readingOf (snapshot: Snapshot) : Devices.NetworkReading voption =
            toVoption snapshot.Network
            |> ValueOption.map (fun all ->
                {
                    Known = snapshot.Slow.Devices.Interfaces
                    Interfaces = all
                    Faults = snapshot.Faults
                })

        // Without a part it would fall and leap back, with one that has counted elsewhere, or that others count already, it would leap.
        let isTotalKnown =
            match interfaces, counted with
            | ValueSome tracked, ValueSome counted ->
                Devices.isWhole known options.Interfaces tracked counted current.Faults
                && (match ValueOption.bind readingOf previous, readingOf current with
                    | ValueSome before, ValueSome now -> Devices.areContinued options.Interfaces before now counted
                    | _ -> true)
            | _ -> false

        // Capped at every step, because a sum of counters can pass 2^64.
        let totalOf (direction: NetDev.InterfaceCounters -> NetDev.Traffic) =
            match counted with
            | ValueSome counted when isTotalKnown ->
                counted
                |> Array.fold
                    (fun total i ->
                        let bytes = capped (direction i).Bytes
                        capped (total + bytes))
                    0UL<B>
                |> ValueSome
            | _ -> ValueNone

        {
            CollectedAt = toMicrosecond current.At
            CpuUsage = usageSince sinceWindow |> ValueOption.map (fun u -> roundToTenth u.Busy)
            CpuUser = usage |> ValueOption.map (fun u -> roundToTenth u.User)
            CpuSystem = usage |> ValueOption.map (fun u -> roundToTenth u.System)
            CpuIowait = usage |> ValueOption.map (fun u -> roundToTenth u.Iowait)
            CpuSteal = usage |> ValueOption.map (fun u -> roundToTenth u.Steal)
            CpuCores =
                match stat, sincePrevious with
                | ValueSome stat, ValueSome before ->
                    CpuUsage.cores (ValueSome(seconds before.Length)) (ValueSome before.Stat) stat
                    |> Array.map tenths
                | ValueSome stat, ValueNone when isFirst -> CpuUsage.cores sinceBoot ValueNone stat |> Array.map tenths
                | ValueSome stat, ValueNone -> Array.create stat.Cpus.Length ValueNone
                | ValueNone, _ -> [||]
            Load = load
            CpuFrequency = tenths current.Slow.CpuFrequency
            CpuTemperature = tenths current.Slow.CpuTemperature
            CpuCountLogical = stat |> ValueOption.bind (fun stat -> stat.Online)
            CpuCountPhysical = current.Slow.PhysicalCores
            MemoryTotal = memoryTotal
            Memory = memoryUse
            SwapTotal = memory |> ValueOption.bind (fun memory -> cappedOrNone memory.SwapTotal)
            Swap = memory |> ValueOption.bind swapOf
            NetworkReceived = totalOf (fun i -> i.Received)
            NetworkSent = totalOf (fun i -> i.Sent)
            TcpSent = tcp |> ValueOption.bind (fun tcp -> cappedOrNone tcp.Sent)
            TcpRetransmitted = tcp |> ValueOption.bind (fun tcp -> cappedOrNone tcp.Retransmitted)
            ProcessCount = toVoption current.Processes
            Disks = disks |> Array.map cappedDisk |> distinctBy (fun disk -> disk.Device) |> bounded
            Gpus =
                current.Slow.Gpus
                |> Array.map (withHostMemory memoryTotal memoryUse >> cappedGpu)
                |> distinctBy (fun gpu -> gpu.Index)
                |> bounded
            Fans = uniqueFans current.Slow.Fans
            Pressure = pressureOf current
            Interfaces =
                match interfaces with
                | ValueSome tracked ->
                    tracked
                    |> boundedInterfaces (ValueOption.defaultValue [||] counted)
                    |> Array.map (fun i ->
                        let what = NetClass.ofName known i.Name

                        {
                            Counters = cappedInterface i
                            Kind = what.Kind
                            Master = what.Master
                        })
                | ValueNone -> [||]
            Infiniband =
                current.Infiniband
                |> bounded
                |> Array.map (fun port ->
                    { port with
                        Received = port.Received |> ValueOption.map capped
                        Sent = port.Sent |> ValueOption.map capped
                    })
            Jobs = current.Slow.Jobs
        }

    /// Of which kinds there are more than a sample carries, as a sentence for each; none on nearly every machine.
    [<CompiledName "Surplus">]
    let surplus (options: SampleOptions) (snapshot: Snapshot) : string[] =
        let told what count =
            if count > MostEntries then
                [|
                    $"{what}: this machine has {count}, and samples carry the first {MostEntries} of them"
                |]
            else
                [||]

        // To choose among the devices costs more than to count them.
        let disks =
            match snapshot.Disks with
            | Ok disks when disks.Length > MostEntries ->
                (Devices.selectDisks snapshot.Slow.Devices.Blocks options.Disks disks).Tracked.Length
            | _ -> 0

        let interfaces =
            match snapshot.Network with
            | Ok all when all.Length > MostEntries -> (Devices.selectInterfaces options.Interfaces all).Tracked.Length
            | _ -> 0

        Array.concat
            [|
                told "disks" disks
                told "network interfaces" interfaces
                told "GPUs" snapshot.Slow.Gpus.Length
                told "fans" snapshot.Slow.Fans.Length
                told "ports of InfiniBand" snapshot.Infiniband.Length
            |]
