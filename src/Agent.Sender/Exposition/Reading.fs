namespace Agent.Sender

open System
open Agent.Core
open Agent.Outbound
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.Core.Jobs
open Agent.Core.Sys

/// How full a file system is: statvfs(3).
[<Struct; NoComparison>]
type FilesystemCounts =
    {
        /// The size.
        Size: uint64<B>
        /// What is free.
        Free: uint64<B>
        /// What is free for users other than root.
        Available: uint64<B>
        /// Files and directories that there may be; 0 where the file system sets no limit.
        Files: uint64
        /// Those that there still may be.
        FilesFree: uint64
    }

    /// From the fields of statvfs(3), by the rules of `SystemInfo.partitionOfBlocks`; `fragment` is f_frsize, or f_bsize where that is 0.
    static member OfBlocks
        (fragment: uint64, blocks: uint64, free: uint64, available: uint64, files: uint64, filesFree: uint64)
        : FilesystemCounts =
        {
            Size = SystemInfo.bytesOfBlocks fragment blocks
            Free = SystemInfo.bytesOfBlocks fragment (SystemInfo.freeCount free)
            Available = SystemInfo.bytesOfBlocks fragment (SystemInfo.freeCount available)
            Files = files
            FilesFree = SystemInfo.freeCount filesFree
        }

/// A mounted file system, for metrics.
[<NoComparison>]
type FilesystemState =
    {
        /// The device or remote name.
        Device: string
        /// The directory.
        MountPoint: string
        /// The type, `ext4`.
        FsType: string
        /// Nothing can be written to it.
        IsReadOnly: bool
        /// How full it is; none where it does not answer.
        Counts: FilesystemCounts voption
    }

/// Everything that is known of the machine at one instant, for metrics.
[<NoComparison>]
type MachineReading =
    {
        /// What was read.
        Snapshot: Snapshot
        /// The sample made from it.
        Sample: Sample
        /// The sample before it; none for the first.
        Previous: Sample voption
        /// /proc/meminfo as it was read, whose lines are exported one by one; empty where it could not be read.
        MemoryText: ReadOnlyMemory<byte>
        /// The temperatures of hwmon, not of GPUs.
        Temperatures: Hwmon.Temperature[]
        /// The slow facts.
        System: SystemInfo
        /// uname's NIS domain name; empty where it cannot be read.
        DomainName: string
        /// The name that the agent goes by.
        Hostname: string
        /// The disks to export; empty for those that node_exporter exports.
        Disks: string[]
        /// The interfaces to export; empty for all but the loopback.
        Interfaces: string[]
        /// What the GPU time of jobs went into, this sample included.
        Accounts: JobAccounts
        /// The label `job` that the user gave the machine, whose jobs are parts of that one; empty for none.
        MachineJob: string
        /// The scheduler's jobs by GPU; empty without `--gpu-job-directory`.
        GpuJobs: GpuJobFile[]
        /// What jobs do on the GPUs; empty while nobody uses one.
        GpuWork: GpuWork[]
        /// The file systems on disks, over the network and in memory.
        Filesystems: FilesystemState[]
        /// What is read for metrics alone.
        Collectors: CollectorReading[]
        /// The size of a page of memory.
        PageSize: uint64<B>
    }

/// The state of one source of readings.
[<Struct; NoComparison>]
type SourceState =
    {
        /// Its short name, `gpu`.
        Source: string
        /// True when its newest reading is good.
        IsGood: bool
        /// What the newest reading took; none when it took none yet.
        Duration: TimeSpan voption
    }

/// The state of delivery to one destination, in samples.
[<Struct; NoComparison>]
type DestinationState =
    {
        /// `ingest` or `remote-write`.
        Destination: string
        /// Waiting for delivery.
        Waiting: int64
        /// Delivered since the start.
        Delivered: int64
        /// Dropped because there was no room for newer ones.
        NoRoom: int64
        /// Refused by the destination because of their content.
        Refused: int64
        /// Damaged on the disk.
        Damaged: int64
        /// Most likely delivered: the acknowledgement was lost, and sent again they were refused as duplicates. None where that
        /// cannot be.
        Unconfirmed: int64 voption
        /// Series that the destination refused in samples that it accepted; none where it only accepts whole samples.
        RefusedSeries: int64 voption
    }

/// The state of the agent itself.
[<NoComparison>]
type AgentState =
    {
        /// Its version.
        Version: string
        /// Samples taken since the start.
        Taken: int64
        /// Samples that were due and not taken.
        Skipped: int64
        /// Readings of any source that failed.
        Failures: int64
        /// The sources.
        Sources: SourceState[]
        /// The destinations.
        Destinations: DestinationState[]
    }
