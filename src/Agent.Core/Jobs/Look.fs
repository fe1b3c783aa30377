namespace Agent.Core.Jobs

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// The counters of one thread.
[<Struct>]
[<NoComparison>]
type ThreadCounters =
    {
        /// Its number.
        Tid: int
        /// Its name.
        Name: string
        /// When it started, since boot; with its number it is unique.
        StartedAt: uint64<tick>
        /// In user and kernel mode.
        CpuTime: uint64<tick>
        /// To the nanosecond, and how long it waited; none where the kernel does not count.
        Times: SchedStat.SchedStat voption
        /// How often its state was looked at since the look before.
        Looks: int
        /// How often it was in uninterruptible sleep then.
        Blocked: int
    }

/// The counters of one process.
[<NoComparison>]
type ProcessCounters =
    {
        /// Its number.
        Pid: int
        /// When it started, since boot.
        StartedAt: uint64<tick>
        /// The state of its main thread, as `/proc/PID/stat` has it.
        State: char
        /// Its threads.
        Threads: int
        /// CPU time of all threads, ended ones included.
        CpuTime: uint64<tick>
        /// CPU time of children that ended and were waited for, and of theirs.
        ChildTime: uint64<tick>
        /// Major page faults of all threads.
        MajorFaults: uint64
        /// The resident set.
        Resident: uint64<B>
        /// What it read and wrote; none where that may not be read.
        Io: ProcessIo.ProcessIo voption
        /// Its main thread, whose number is that of the process.
        Main: ThreadCounters
        /// Other threads that are watched because they work or are blocked.
        Watched: ThreadCounters[]
    }

/// The counters of a job's control groups. What there is none of is none.
[<NoComparison>]
type CgroupCounters =
    {
        /// CPUs that it may use: the smallest quota and cpuset of its group and those above; none without either.
        CpuLimit: float voption
        /// Of the group that has the smallest quota.
        Cpu: CgroupCpu.CpuStat voption
        /// Memory of the owner's group.
        Memory: uint64<B> voption
        /// The smallest limit of that group and those above.
        MemoryLimit: uint64<B> voption
        /// Processes killed for lack of memory.
        Kills: uint64 voption
        /// Read anew from files after it had been evicted from memory.
        Refaulted: uint64<B> voption
        /// By device.
        Io: CgroupIo.DeviceBytes[] voption
        /// Stalls for a CPU.
        CpuPressure: Pressure.Pressure voption
        /// Stalls for I/O.
        IoPressure: Pressure.Pressure voption
        /// Stalls for memory.
        MemoryPressure: Pressure.Pressure voption
    }

    /// Nothing is known.
    static member val Unknown: CgroupCounters =
        {
            CpuLimit = ValueNone
            Cpu = ValueNone
            Memory = ValueNone
            MemoryLimit = ValueNone
            Kills = ValueNone
            Refaulted = ValueNone
            Io = ValueNone
            CpuPressure = ValueNone
            IoPressure = ValueNone
            MemoryPressure = ValueNone
        }

/// One job at one look.
[<NoComparison>]
type JobCounters =
    {
        /// Its processes and GPUs.
        Group: JobGroup
        /// The user's name; empty when unknown.
        User: string
        /// Those of its processes that could be read.
        Processes: ProcessCounters[]
        /// Of its control groups.
        Cgroup: CgroupCounters
        /// Bytes that its own network namespace received; none where it shares the machine's.
        Received: uint64<B> voption
    }

/// One mount of network storage.
[<NoComparison>]
type NetworkMountCounters =
    {
        /// Where it is mounted.
        MountPoint: string
        /// What is mounted there: the counters of another mount on the same directory do not continue these.
        Device: string
        /// The kind of file system.
        Kind: string
        /// Operations.
        Operations: uint64
        /// From requests on the wire to answers, all together; none where it is not known.
        RoundTrip: uint64<us> voption
        /// From the begin of operations to their end, all together.
        Execution: uint64<us> voption
        /// Read.
        Read: uint64<B>
        /// Written.
        Written: uint64<B>
    }

    /// Of a mount of NFS.
    static member OfNfs(mount: MountStats.NfsMount) : NetworkMountCounters =
        let microseconds (time: uint64<ms>) : uint64<us> voption =
            ValueSome(LanguagePrimitives.UInt64WithMeasure(timesSaturating 1000UL (uint64 time)))

        {
            MountPoint = mount.MountPoint
            Device = mount.Device
            Kind = mount.FsType
            Operations = mount.Operations
            RoundTrip = microseconds mount.RoundTrip
            Execution = microseconds mount.Execution
            Read = mount.Read
            Written = mount.Written
        }

    /// Of a mount of Lustre, by the path of its counters.
    static member OfLustre(device: string, mountPoint: string, stats: Lustre.LliteStats) : NetworkMountCounters =
        {
            MountPoint = mountPoint
            Device = device
            Kind = "lustre"
            Operations = stats.Operations
            RoundTrip = ValueNone
            Execution = stats.Time
            Read = stats.Read
            Written = stats.Written
        }

/// The machine at one look. What could not be read is none or empty.
[<NoComparison>]
type HostCounters =
    {
        /// /proc/stat
        Stat: Stat.CpuStat voption
        /// Runnable tasks of /proc/loadavg.
        Runnable: int voption
        /// /proc/pressure/cpu
        CpuPressure: Pressure.Pressure voption
        /// /proc/pressure/io
        IoPressure: Pressure.Pressure voption
        /// /proc/pressure/memory
        MemoryPressure: Pressure.Pressure voption
        /// /proc/meminfo
        Memory: MemInfo.MemoryInfo voption
        /// The cache of ZFS.
        Arc: ArcStats.Arc voption
        /// /proc/vmstat
        Vm: VmStat.VmStat voption
        /// /proc/diskstats
        Disks: DiskStats.DiskCounters[]
        /// /proc/net/dev
        Interfaces: NetDev.InterfaceCounters[]
        /// What interfaces can carry, by name.
        Speeds: (struct (string * float<B / s>))[]
        /// Ports of the fabric.
        Ports: Infiniband.Port[]
        /// What ports can carry, as `mlx5_0/1`.
        PortSpeeds: (struct (string * float<B / s>))[]
        /// NFS, Lustre and the like.
        NetworkMounts: NetworkMountCounters[]
    }

/// Everything that was counted at one instant.
[<NoComparison>]
type Look =
    {
        /// When, UTC.
        At: DateTimeOffset
        /// The same by a clock that nobody sets.
        Clock: TimeSpan
        /// The size of a page.
        PageSize: uint64<B / page>
        /// The machine.
        Host: HostCounters
        /// What its devices are.
        Devices: Devices.Known
        /// The disks that the user named (`--disks`); empty for all.
        DiskNames: string[]
        /// The interfaces that the user named (`--interfaces`); empty for those that carry what enters and leaves the machine.
        InterfaceNames: string[]
        /// The GPUs by the newest reading.
        Gpus: Gpu[]
        /// What those in use did, as far as their driver tells.
        Work: GpuWork[]
        /// GPUs that were there before, and are not now though nobody took them out.
        LostGpus: Gpu[]
        /// Why no GPU can be read; empty while all is well.
        DriverProblem: string
        /// How much of command lines may be reported.
        Detail: JobDetail
        /// The jobs.
        Jobs: JobCounters[]
    }
