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

    /// The same from the fields of statvfs(3) themselves; `fragment` is f_frsize, or f_bsize where that is 0. None for a file
    /// system without blocks, which is no place to store anything. Sizes beyond 2^64 give the largest.
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
            let bytes (count: uint64) =
                LanguagePrimitives.UInt64WithMeasure<B>(timesSaturating fragment count)

            // A count below zero, after root has used what was reserved for it.
            let available = if int64 available < 0L then 0UL else available
            ValueSome(partitionOf mount (bytes blocks) (bytes free) (bytes available))

    /// The instant that `btime` of /proc/stat names; none where it lies outside the calendar.
    [<CompiledName "BootTime">]
    let bootTime (stat: Proc.Stat.CpuStat) : DateTimeOffset voption =
        match stat.BootTime with
        | ValueSome seconds when seconds >= 0L<s> && seconds <= 253402300799L<s> ->
            ValueSome(DateTimeOffset.FromUnixTimeSeconds(int64 seconds))
        | _ -> ValueNone

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
