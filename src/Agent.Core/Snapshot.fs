namespace Agent.Core

open System
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// A reading of /proc/stat that opened the CPU window of a sample.
[<Struct>]
type CpuWindow =
    {
        /// How long before the sample it was read.
        Length: TimeSpan
        /// What it read.
        Stat: Stat.CpuStat
    }

/// The newest readings of the sources that are read beside the sampling, because they may be slow. None and empty stand
/// for a machine without them and for readings that are too old to be told as the present.
type SlowReadings =
    {
        /// Of the CPU; of several the hottest.
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
    }

/// Everything read at one instant. Each source has a result of its own: one that fails costs its own fields.
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

/// A parser as a value; a function value cannot take a span.
type private TextParser<'value> = delegate of ReadOnlySpan<byte> -> Result<'value, ParseError>

/// Snapshots for programs that embed the core.
[<RequireQualifiedAccess>]
module Snapshot =
    let private nothingSlow: SlowReadings =
        {
            CpuTemperature = ValueNone
            CpuFrequency = ValueNone
            PhysicalCores = ValueNone
            Fans = [||]
            Gpus = [||]
            Devices = Devices.unknown
        }

    let private parsed (read: Func<string, byte[] | null>) (name: string) (parse: TextParser<'value>) : Result<'value, SourceError> =
        match read.Invoke name with
        | null -> Error(SourceError.Absent("/proc/" + name))
        | text -> parse.Invoke(ReadOnlySpan text) |> Result.mapError SourceError.Garbled

    let private valueOf (result: Result<Parsed<'value>, SourceError>) : Result<'value, SourceError> =
        match result with
        | Ok parsed -> Ok parsed.Value
        | Error error -> Error error

    let private faultsOf (result: Result<Parsed<'value>, SourceError>) : ParseError[] =
        match result with
        | Ok parsed -> parsed.Faults
        | Error _ -> [||]

    /// What the files below /proc say, read one after the other by `read`: it is given `stat`, `pressure/io` and the like,
    /// and returns the whole file, or null where there is none. The number of processes and what the agent reads beside
    /// the sampling (temperatures, fans, GPUs, what /sys says of the devices) are unknown in it; a caller who has them puts
    /// them in.
    [<CompiledName "OfFiles">]
    let ofFiles (at: DateTimeOffset) (read: Func<string, byte[] | null>) : Snapshot =
        let stat = parsed read "stat" (TextParser Stat.parse)
        let disks = parsed read "diskstats" (TextParser DiskStats.parse)
        let network = parsed read "net/dev" (TextParser NetDev.parse)

        let memory = parsed read "meminfo" (TextParser MemInfo.parse)

        let pressure resource =
            let name = "pressure/" + resource
            parsed read name (TextParser(fun text -> Pressure.parse ("/proc/" + name) text))

        {
            At = at
            Window = ValueNone
            Stat = valueOf stat
            Memory = valueOf memory
            Arc = parsed read "spl/kstat/zfs/arcstats" (TextParser ArcStats.parse)
            Load = parsed read "loadavg" (TextParser LoadAvg.parse)
            Disks = valueOf disks
            Network = valueOf network
            Processes = Error(SourceError.Absent "/proc")
            CpuPressure = pressure "cpu"
            IoPressure = pressure "io"
            MemoryPressure = pressure "memory"
            Infiniband = [||]
            Slow = nothingSlow
            Faults = Array.concat [| faultsOf stat; faultsOf disks; faultsOf network; faultsOf memory |]
        }

    let private haveSame (nameOf: 'device -> string) (one: Result<'device[], SourceError>) (other: Result<'device[], SourceError>) =
        match one, other with
        | Ok one, Ok other ->
            let mutable i = 0

            while i < one.Length && i < other.Length && nameOf one[i] = nameOf other[i] do
                i <- i + 1

            i = one.Length && i = other.Length
        // What cannot be read tells of no change.
        | _ -> true

    /// False when a disk or an interface came or went between the two, and what is known of the machine's devices is old.
    [<CompiledName "HaveSameDevices">]
    let haveSameDevices (one: Snapshot) (other: Snapshot) : bool =
        haveSame (fun (disk: DiskStats.DiskCounters) -> disk.Device) one.Disks other.Disks
        && haveSame (fun (i: NetDev.InterfaceCounters) -> i.Name) one.Network other.Network
