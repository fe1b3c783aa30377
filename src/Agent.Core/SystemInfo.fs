namespace Agent.Core

open System
open Agent.Core.Units

/// One mounted file system that occupies a disk, and how full it is.
[<NoComparison>]
type Partition =
    {
        /// `/dev/nvme0n1p2`.
        Device: string
        /// The directory it is mounted on.
        MountPoint: string
        /// `ext4`.
        FsType: string
        /// All blocks.
        Total: uint64<B>
        /// Total less free blocks.
        Used: uint64<B>
        /// What ordinary users can still write; less than total − used where blocks are reserved for root.
        Free: uint64<B>
        /// Used as a share of used + free, as df(1) shows it, one decimal.
        Percent: float<percent>
    }

/// The addresses of one network interface.
[<NoComparison>]
type InterfaceAddress =
    {
        /// `eth0`.
        Name: string
        /// The first IPv4 address; empty when it has none.
        IPv4: string
        /// The first IPv6 address; empty when it has none.
        IPv6: string
    }

/// The machine's slow facts, refreshed once a minute.
[<NoComparison>]
type SystemInfo =
    {
        /// uname -s
        OsName: string
        /// uname -r
        OsRelease: string
        /// uname -v
        OsVersion: string
        /// uname -m
        Machine: string
        /// The C library, `glibc2.36`; empty when it is not known.
        LibC: string
        /// First `model name` of /proc/cpuinfo, else empty.
        CpuModel: string
        /// The machine's own name.
        Hostname: string
        /// CPUs that are online.
        CpuCountLogical: int voption
        /// Cores.
        CpuCountPhysical: int voption
        /// All memory.
        MemoryTotal: uint64<B> voption
        /// All swap.
        SwapTotal: uint64<B> voption
        /// When the machine started.
        BootTime: DateTimeOffset voption
        /// Time since it started.
        Uptime: float<s> voption
        /// File systems on disks.
        Partitions: Partition[]
        /// Network interfaces.
        Interfaces: InterfaceAddress[]
    }

    /// `Linux-6.1.0-18-amd64-x86_64-with-glibc2.36`, as Python's platform.platform() writes it.
    member info.Platform: string =
        let libc = if info.LibC = "" then "" else "-with-" + info.LibC
        $"{info.OsName}-{info.OsRelease}-{info.Machine}{libc}"

/// The sender: the `agent` object of each request body.
[<NoComparison>]
type AgentInfo =
    {
        /// The agent's version.
        Version: string
        /// The name it goes by: `--hostname`, else the machine's.
        Hostname: string
        /// Its process id.
        Pid: int
        /// The user's labels, each key once.
        Labels: (struct (string * string))[]
        /// `--disks` as the user gave them.
        DiskFilters: string[]
        /// Its runtime, `.NET 10.0.1`.
        Runtime: string
        /// The machine.
        System: SystemInfo
    }

/// Building the slow facts.
[<RequireQualifiedAccess>]
module SystemInfo =
    /// How full a file system is, from the block counts of statvfs(3) in bytes: all, free, and free for ordinary users.
    [<CompiledName "PartitionOf">]
    let partitionOf (mount: Proc.Mounts.Mount) (total: uint64<B>) (free: uint64<B>) (available: uint64<B>) : Partition =
        let free = min free total
        let used = total - free
        let available = min available free

        {
            Device = mount.Device
            MountPoint = mount.MountPoint
            FsType = mount.FsType
            Total = total
            Used = used
            Free = available
            Percent = roundToTenth (percentOf (float used) (float used + float available))
        }

    /// A count of statvfs(3) of what is free. Below zero it is none: an XFS that is full has such free blocks, and others have such
    /// available ones after root has used what was reserved for it.
    [<CompiledName "FreeCount">]
    let freeCount (count: uint64) : uint64 = if int64 count < 0L then 0UL else count

    /// Blocks of statvfs(3) in bytes; sizes beyond 2^64 give the largest. `fragment` is f_frsize, or f_bsize where that is 0.
    [<CompiledName "BytesOfBlocks">]
    let bytesOfBlocks (fragment: uint64) (blocks: uint64) : uint64<B> =
        if fragment = 0UL then
            0UL<B>
        else
            LanguagePrimitives.UInt64WithMeasure<B>(timesSaturating fragment blocks)

    /// The same from the fields of statvfs(3) themselves. None for a file system without blocks, which is no place to store anything.
    [<CompiledName "PartitionOfBlocks">]
    let partitionOfBlocks
        (mount: Proc.Mounts.Mount)
        (fragment: uint64)
        (blocks: uint64)
        (free: uint64)
        (available: uint64)
        : Partition voption =
        if blocks = 0UL || fragment = 0UL then
            ValueNone
        else
            ValueSome(
                partitionOf
                    mount
                    (bytesOfBlocks fragment blocks)
                    (bytesOfBlocks fragment (freeCount free))
                    (bytesOfBlocks fragment (freeCount available))
            )

    /// No machine that runs this started before 2000: such a boot time is that of a clock that nobody had set.
    let private earliestBoot = DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero)

    /// When the machine started: the instant that `btime` of /proc/stat names, or `now` less the uptime, in whole seconds, where /proc/uptime is
    /// a container's beside its host's btime, and where btime is none or from before the clock was set. None outside 2000 to 9999.
    [<CompiledName "BootTime">]
    let bootTime
        (now: DateTimeOffset)
        (uptime: float<s> voption)
        (isContained: bool)
        (stat: Proc.Stat.CpuStat voption)
        : DateTimeOffset voption =
        let first = secondsSinceEpoch earliestBoot
        let last = secondsSinceEpoch DateTimeOffset.MaxValue

        let instantOf (seconds: float<s>) =
            if seconds >= first && seconds < last then
                ValueSome(DateTimeOffset.UnixEpoch.AddSeconds(floor (float seconds)))
            else
                ValueNone

        let told =
            stat
            |> ValueOption.bind _.BootTime
            |> ValueOption.bind (fun seconds -> instantOf (LanguagePrimitives.FloatWithMeasure(float seconds)))

        let byUptime =
            uptime
            |> ValueOption.bind (fun uptime -> instantOf (secondsSinceEpoch now - uptime))

        if isContained then
            ValueOption.orElse told byUptime
        else
            ValueOption.orElse byUptime told

    /// The facts of a machine before any are known.
    [<CompiledName "Unknown">]
    let unknown: SystemInfo =
        {
            OsName = ""
            OsRelease = ""
            OsVersion = ""
            Machine = ""
            LibC = ""
            CpuModel = ""
            Hostname = ""
            CpuCountLogical = ValueNone
            CpuCountPhysical = ValueNone
            MemoryTotal = ValueNone
            SwapTotal = ValueNone
            BootTime = ValueNone
            Uptime = ValueNone
            Partitions = [||]
            Interfaces = [||]
        }

    /// The same facts with these partitions, which are read separately because they may hang.
    [<CompiledName "WithPartitions">]
    let withPartitions (partitions: Partition[]) (info: SystemInfo) : SystemInfo = { info with Partitions = partitions }
