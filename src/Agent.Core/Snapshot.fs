namespace Agent.Core

open System
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// A reading of /proc/stat that opened the CPU window of a sample.
[<Struct; NoComparison>]
type CpuWindow =
    {
        /// How long before the sample it was read.
        Length: TimeSpan
        /// What it read.
        Stat: Stat.CpuStat
    }

/// The newest readings of the sources that are read in parallel with sampling, because they may be slow. None and empty stand
/// for a machine without them and for readings that are too old to count as current.
[<NoComparison>]
type SlowReadings =
    {
        /// Temperature of the CPU; of several, the hottest.
        CpuTemperature: float<degC> voption
        /// The mean clock of the CPUs.
        CpuFrequency: float<MHz> voption
        /// Cores, not hyper-threads.
        PhysicalCores: int voption
        /// Fans with a speed.
        Fans: Hwmon.Fan[]
        /// NVIDIA GPUs.
        Gpus: Gpu[]
        /// Which of the devices are disks, and what the network interfaces are.
        Devices: Devices.Known
        /// Who uses the GPUs, and what holds them back; none while no job does.
        Jobs: JobReport voption
    }

    /// Nothing was read.
    static member None: SlowReadings =
        {
            CpuTemperature = ValueNone
            CpuFrequency = ValueNone
            PhysicalCores = ValueNone
            Fans = [||]
            Gpus = [||]
            Devices = Devices.unknown
            Jobs = ValueNone
        }

/// Everything read at one instant. Each source has its own result: one that fails costs only its own fields.
[<NoComparison>]
type Snapshot =
    {
        /// When the counters were read, UTC.
        At: DateTimeOffset
        /// The opening of the CPU window; none when usage is counted since the previous sample.
        Window: CpuWindow voption
        /// /proc/stat
        Stat: Result<Stat.CpuStat, SourceError>
        /// /proc/meminfo
        Memory: Result<MemInfo.MemoryInfo, SourceError>
        /// /proc/spl/kstat/zfs/arcstats; absent without ZFS.
        Arc: Result<ArcStats.Arc, SourceError>
        /// /proc/loadavg
        Load: Result<LoadAvg.LoadAverage, SourceError>
        /// /proc/diskstats
        Disks: Result<DiskStats.DiskCounters[], SourceError>
        /// /proc/net/dev
        Network: Result<NetDev.InterfaceCounters[], SourceError>
        /// /proc/net/snmp; absent from a kernel without IPv4.
        Tcp: Result<Snmp.Tcp, SourceError>
        /// Numeric directories of /proc.
        Processes: Result<int, SourceError>
        /// /proc/pressure/cpu
        CpuPressure: Result<Pressure.Pressure, SourceError>
        /// /proc/pressure/io
        IoPressure: Result<Pressure.Pressure, SourceError>
        /// /proc/pressure/memory
        MemoryPressure: Result<Pressure.Pressure, SourceError>
        /// /sys/class/infiniband
        Infiniband: Infiniband.Port[]
        /// What was read beside.
        Slow: SlowReadings
        /// Lines of these files that do not read as they should and cost only themselves.
        Faults: ParseError[]
    }

/// A parser as a value: a function value cannot take a span.
type TextParser<'value> = delegate of ReadOnlySpan<byte> -> Result<'value, ParseError>

/// What is read for every snapshot. Each source is known in one place, its row in `Sources`: readers, the watch over failing
/// sources, the doctor and the success metrics go through the rows.
[<AbstractClass>]
type Source internal (name: string, what: string, path: string, isNeeded: bool) =
    /// The name in metrics: `disks`.
    member _.Name: string = name

    /// What it gives, for people: `disk counters`.
    member _.What: string = what

    /// Where it lies below /proc: `net/dev`; empty for /proc itself.
    member _.Path: string = path

    /// False for what some machines lack: that it is absent is no fault.
    member _.IsNeeded: bool = isNeeded

    /// Why a snapshot lacks it; none where it has it.
    abstract FailureIn: Snapshot -> SourceError voption

    /// Reads it alone: how many values it gives, and which lines do not read as they should.
    abstract Try: SourceReader -> Result<Parsed<int>, SourceError>

/// One file below /proc.
and [<Sealed>] FileSource<'value>
    internal
    (
        name: string,
        what: string,
        path: string,
        isNeeded: bool,
        parse: TextParser<Parsed<'value>>,
        ofSnapshot: Snapshot -> Result<'value, SourceError>,
        count: 'value -> int
    ) =
    inherit Source(name, what, path, isNeeded)

    /// Reads its text.
    member _.Parse: TextParser<Parsed<'value>> = parse

    override _.FailureIn snapshot =
        match ofSnapshot snapshot with
        | Ok _ -> ValueNone
        | Error error -> ValueSome error

    override source.Try reader =
        reader.Read source
        |> Result.map (fun parsed ->
            {
                Value = count parsed.Value
                Faults = parsed.Faults
                FaultCount = parsed.FaultCount
            })

/// The number of processes.
and [<Sealed>] ProcessSource internal (name: string, what: string) =
    inherit Source(name, what, "", true)

    override _.FailureIn snapshot =
        match snapshot.Processes with
        | Ok _ -> ValueNone
        | Error error -> ValueSome error

    override _.Try reader =
        reader.CountProcesses()
        |> Result.map (fun _ ->
            {
                Value = 1
                Faults = [||]
                FaultCount = 0
            })

/// How a snapshot reads from the outside world.
and [<AbstractClass>] SourceReader() =
    /// Reads and parses one file.
    abstract Read: source: FileSource<'value> -> Result<Parsed<'value>, SourceError>

    /// Counts the processes.
    abstract CountProcesses: unit -> Result<int, SourceError>

    /// The ports of the RDMA fabric; empty without one.
    abstract ReadInfiniband: unit -> Infiniband.Port[]

    /// The newest readings of the sources that are read in parallel.
    abstract ReadSlow: unit -> SlowReadings

/// The sources of a snapshot, a row each.
[<RequireQualifiedAccess>]
module Sources =
    let private whole (parse: TextParser<'value>) : TextParser<Parsed<'value>> =
        TextParser(fun text ->
            parse.Invoke text
            |> Result.map (fun value ->
                {
                    Value = value
                    Faults = [||]
                    FaultCount = 0
                }))

    let private pressure resource what ofSnapshot =
        let path = "pressure/" + resource

        FileSource<Pressure.Pressure>(
            resource + "-pressure",
            what,
            path,
            false,
            whole (TextParser(fun text -> Pressure.parse ("/proc/" + path) text)),
            ofSnapshot,
            fun pressure -> if pressure.Full.IsSome then 4 else 2
        )

    let private present (values: 'value voption list) =
        values |> List.filter ValueOption.isSome |> List.length

    /// /proc/stat
    [<CompiledName "Stat">]
    let stat =
        FileSource<Stat.CpuStat>("cpu", "CPU times", "stat", true, TextParser Stat.parse, _.Stat, fun stat -> (stat.Cpus.Length + 1) * 10)

    /// /proc/meminfo
    [<CompiledName "Memory">]
    let memory =
        FileSource<MemInfo.MemoryInfo>(
            "memory",
            "memory",
            "meminfo",
            true,
            TextParser MemInfo.parse,
            _.Memory,
            fun memory ->
                present
                    [
                        memory.Total
                        memory.Free
                        memory.Available
                        memory.Buffers
                        memory.Cached
                        memory.SwapTotal
                        memory.SwapFree
                    ]
        )

    /// /proc/spl/kstat/zfs/arcstats
    [<CompiledName "Arc">]
    let arc =
        FileSource<ArcStats.Arc>(
            "zfs-arc",
            "ZFS cache",
            "spl/kstat/zfs/arcstats",
            false,
            whole (TextParser ArcStats.parse),
            _.Arc,
            fun _ -> 2
        )

    /// /proc/loadavg
    [<CompiledName "Load">]
    let load =
        FileSource<LoadAvg.LoadAverage>("load", "load averages", "loadavg", true, whole (TextParser LoadAvg.parse), _.Load, (fun _ -> 3))

    /// /proc/diskstats
    [<CompiledName "Disks">]
    let disks =
        FileSource<DiskStats.DiskCounters[]>(
            "disks",
            "disk counters",
            "diskstats",
            true,
            TextParser DiskStats.parse,
            _.Disks,
            Array.sumBy (fun disk -> 4 + present [ disk.BusyTime ])
        )

    /// /proc/net/dev
    [<CompiledName "Network">]
    let network =
        FileSource<NetDev.InterfaceCounters[]>(
            "network",
            "network counters",
            "net/dev",
            true,
            TextParser NetDev.parse,
            _.Network,
            fun interfaces -> interfaces.Length * 8
        )

    /// /proc/net/snmp
    [<CompiledName "Tcp">]
    let tcp =
        FileSource<Snmp.Tcp>(
            "tcp",
            "TCP counters",
            "net/snmp",
            false,
            whole (TextParser Snmp.parse),
            _.Tcp,
            fun tcp -> present [ tcp.Sent; tcp.Retransmitted ]
        )

    /// The number of processes.
    [<CompiledName "Processes">]
    let processes = ProcessSource("processes", "process count")

    /// /proc/pressure/cpu
    [<CompiledName "CpuPressure">]
    let cpuPressure = pressure "cpu" "CPU pressure" _.CpuPressure

    /// /proc/pressure/io
    [<CompiledName "IoPressure">]
    let ioPressure = pressure "io" "I/O pressure" _.IoPressure

    /// /proc/pressure/memory
    [<CompiledName "MemoryPressure">]
    let memoryPressure = pressure "memory" "memory pressure" _.MemoryPressure

    /// All of them, in the order in which they are reported.
    [<CompiledName "All">]
    let all: Source[] =
        [|
            stat
            memory
            arc
            load
            disks
            network
            tcp
            processes
            cpuPressure
            ioPressure
            memoryPressure
        |]

/// Snapshots for programs that embed the core.
[<RequireQualifiedAccess>]
module Snapshot =
    let private take (reader: SourceReader) (faults: byref<ParseError[]>) (source: FileSource<'value>) : Result<'value, SourceError> =
        match reader.Read source with
        | Ok parsed ->
            if parsed.Faults.Length > 0 then
                faults <- Array.append faults parsed.Faults

            Ok parsed.Value
        | Error error -> Error error

    /// Everything at this instant.
    [<CompiledName "Read">]
    let read (at: DateTimeOffset) (window: CpuWindow voption) (reader: SourceReader) : Snapshot =
        let mutable faults: ParseError[] = [||]
        // The counters whose differences matter most come first, right after the time stamp.
        let stat = take reader &faults Sources.stat
        let disks = take reader &faults Sources.disks
        let network = take reader &faults Sources.network
        let tcp = take reader &faults Sources.tcp
        let memory = take reader &faults Sources.memory
        let arc = take reader &faults Sources.arc
        let load = take reader &faults Sources.load
        let processes = reader.CountProcesses()
        let cpuPressure = take reader &faults Sources.cpuPressure
        let ioPressure = take reader &faults Sources.ioPressure
        let memoryPressure = take reader &faults Sources.memoryPressure

        {
            At = at
            Window = window
            Stat = stat
            Memory = memory
            Arc = arc
            Load = load
            Disks = disks
            Network = network
            Tcp = tcp
            Processes = processes
            CpuPressure = cpuPressure
            IoPressure = ioPressure
            MemoryPressure = memoryPressure
            Infiniband = reader.ReadInfiniband()
            Slow = reader.ReadSlow()
            Faults = faults
        }

    /// A snapshot of the files below /proc, read one after the other by `read`: it is given `stat`, `pressure/io` and the like,
    /// and returns the whole file, or null where there is none. The number of processes and what the agent reads beside
    /// the sampling (temperatures, fans, GPUs, what /sys says of the devices) are unknown in it; a caller who has them puts
    /// them in.
    [<CompiledName "OfFiles">]
    let ofFiles (at: DateTimeOffset) (files: Func<string, byte[] | null>) : Snapshot =
        read
            at
            ValueNone
            { new SourceReader() with
                override _.Read source =
                    match files.Invoke source.Path with
                    | null -> Error(SourceError.Absent("/proc/" + source.Path))
                    | text -> source.Parse.Invoke(ReadOnlySpan text) |> Result.mapError SourceError.Garbled

                override _.CountProcesses() = Error(SourceError.Absent "/proc")
                override _.ReadInfiniband() = [||]
                override _.ReadSlow() = SlowReadings.None
            }

    /// A snapshot of the first instant of 1970 in which every source is absent.
    [<CompiledName "Empty">]
    let empty: Snapshot = ofFiles DateTimeOffset.UnixEpoch (Func<_, _>(fun _ -> null))

    /// True where what a fault was about has not been read now: its file cannot be, or it was about a disk or an interface that this
    /// snapshot does not have.
    [<CompiledName "HasLost">]
    let hasLost (fault: ParseError) (snapshot: Snapshot) : bool =
        let isOfNone (names: string[]) =
            fault.Field.Contains(" of ", StringComparison.Ordinal)
            && not (names |> Array.exists (fun name -> fault.IsOf(fault.Source, name)))

        Sources.all
        |> Array.exists (fun source ->
            source.Path <> ""
            && "/proc/" + source.Path = fault.Source
            && (source.FailureIn snapshot).IsSome)
        || (match fault.Source, snapshot.Disks, snapshot.Network with
            | DiskStats.Source, Ok disks, _ -> isOfNone (disks |> Array.map _.Device)
            | NetDev.Source, _, Ok interfaces -> isOfNone (interfaces |> Array.map _.Name)
            | _ -> false)

    let private haveSame (nameOf: 'device -> string) (one: Result<'device[], SourceError>) (other: Result<'device[], SourceError>) =
        match one, other with
        | Ok one, Ok other ->
            let mutable i = 0

            while i < one.Length && i < other.Length && nameOf one[i] = nameOf other[i] do
                i <- i + 1

            i = one.Length && i = other.Length
        // A file that cannot be read shows no change.
        | _ -> true

    /// False when a disk or an interface came or went between the two, and what is known of the machine's devices is old.
    [<CompiledName "HaveSameDevices">]
    let haveSameDevices (one: Snapshot) (other: Snapshot) : bool =
        haveSame (fun (disk: DiskStats.DiskCounters) -> disk.Device) one.Disks other.Disks
        && haveSame (fun (i: NetDev.InterfaceCounters) -> i.Name) one.Network other.Network
