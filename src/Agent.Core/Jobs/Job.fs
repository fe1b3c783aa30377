namespace Agent.Core.Jobs

open System
open Agent.Core.Units

/// What started a job, and groups its processes.
[<RequireQualifiedAccess>]
type OwnerKind =
    /// A job of Slurm; the value is its number.
    | Slurm
    /// A pod of Kubernetes; the value is its UID.
    | Pod
    /// A container of Docker, containerd, CRI-O, Podman or LXC; the value is its id, or its name for LXC.
    | Container
    /// A systemd unit: a service or a scope; the value is its name.
    | Unit
    /// A POSIX session, where nothing else is known; the value is the PID of its leader.
    | Session

    /// The name in the sample's JSON.
    member kind.Name: string =
        match kind with
        | Slurm -> "slurm"
        | Pod -> "pod"
        | Container -> "container"
        | Unit -> "unit"
        | Session -> "session"

/// Who a job belongs to.
[<NoComparison>]
type Owner =
    {
        /// What kind of thing it is.
        Kind: OwnerKind
        /// Its number, UID, id or name.
        Value: string
        /// The namespace of a pod; empty when unknown, and for every other kind.
        Namespace: string
        /// The name of a pod or a container; empty when unknown.
        Name: string
    }

/// What a thread of a job does, as far as can be seen from outside.
[<RequireQualifiedAccess>]
type ThreadRole =
    /// The thread that drives the GPU: the main thread of a process that the driver lists.
    | Main
    /// A worker that prepares data: a child process that holds no GPU, or a thread of its own beside the main thread.
    | Loader
    /// Anything else: launchers, background threads.
    | Other

    /// The name in the sample's JSON.
    member role.Name: string =
        match role with
        | Main -> "main"
        | Loader -> "loader"
        | Other -> "other"

    /// All of them.
    static member val All: ThreadRole[] = [| Main; Loader; Other |]

/// What blocked threads wait for.
[<RequireQualifiedAccess>]
type BlockedOn =
    /// Reads from local disks.
    | DiskRead
    /// Writes to local disks.
    | DiskWrite
    /// NFS, Lustre and the like.
    | NetworkStorage

    /// The name in the sample's JSON.
    member on.Name: string =
        match on with
        | DiskRead -> "disk-read"
        | DiskWrite -> "disk-write"
        | NetworkStorage -> "network-storage"

    /// All of them.
    static member val All: BlockedOn[] = [| DiskRead; DiskWrite; NetworkStorage |]

/// A GPU of a job.
[<NoComparison>]
type JobGpu =
    {
        /// The driver's index.
        Index: int
        /// `GPU-…` or, for a MIG instance, `MIG-…`; empty when unknown.
        Uuid: string
        /// Device memory that the job's processes hold.
        Memory: uint64<B> voption
        /// Share of the multiprocessors' time that the job's processes used.
        SmShare: float<percent> voption
    }

/// A set of processes that share GPUs for one purpose, and what it did over one interval. Shares are of the interval; what could not be
/// read is none.
[<NoComparison>]
type Job =
    {
        /// Stays the same for the job's life: its owner if all processes have the same one, else its root process and start.
        Id: string
        /// Who it belongs to.
        Owner: Owner
        /// The user's name; empty when unknown.
        User: string
        /// The user's number.
        Uid: int64
        /// Program and script, or what the owner calls it.
        Name: string
        /// The command line as far as `--job-detail` allows, secrets masked; empty for none.
        Command: string
        /// The topmost process.
        RootPid: int
        /// The first process that holds a GPU, which a profiler is to look at; 0 when unknown.
        DriverPid: int
        /// The process group that ends with the job and holds nothing else that is known; 0 where there is none.
        ProcessGroup: int
        /// True while all processes that hold a GPU are stopped by a signal.
        IsStopped: bool
        /// When the topmost process started.
        StartedAt: DateTimeOffset voption
        /// Its GPUs, by index.
        Gpus: JobGpu[]
        /// Processes in its tree.
        Processes: int
        /// Their threads.
        Threads: int
        /// Data loader workers among them.
        Loaders: int
        /// CPU time per elapsed time: 2.5 is two and a half cores.
        CpuCores: float voption
        /// The cores that it may use: cpuset and quota, at most the machine's.
        CpuCoresAllowed: float voption
        /// CPU time of its busiest thread, as a share of one core.
        BusiestThread: float<percent> voption
        /// What that thread does.
        BusiestThreadRole: ThreadRole voption
        /// CPU time of the busiest thread that drives a GPU, as a share of one core.
        MainThread: float<percent> voption
        /// Mean CPU time of its loaders, each as a share of one core.
        LoadersBusy: float<percent> voption
        /// Time that its running threads waited for a CPU, as a share of the time that they ran or waited (schedstat).
        CpuWait: float<percent> voption
        /// Share of the periods of its CPU quota in which it was throttled (cgroup cpu.stat).
        CpuThrottled: float<percent> voption
        /// Observations in which a loader or main thread was in uninterruptible sleep, as a share of all observations of them.
        Blocked: float<percent> voption
        /// The same for the main threads alone.
        MainBlocked: float<percent> voption
        /// What the blocked ones wait for.
        BlockedOn: BlockedOn voption
        /// Bytes read from block devices or network storage (cgroup io.stat, or /proc/PID/io where it may be read).
        Read: float<B / s> voption
        /// Bytes written to them.
        Written: float<B / s> voption
        /// Bytes received over sockets; none where it is not known (then the host's interfaces stand in for it).
        NetworkReceived: float<B / s> voption
        /// Memory of its cgroup, else the resident sets of its processes.
        Memory: uint64<B> voption
        /// The memory limit of its cgroup; none without one.
        MemoryLimit: uint64<B> voption
        /// Share of the time in which some task stalled for lack of memory (cgroup memory.pressure, some).
        MemoryStall: float<percent> voption
        /// The same for I/O (cgroup io.pressure, some).
        IoStall: float<percent> voption
        /// Bytes of files that were read again after they had been evicted from its memory (cgroup memory.stat); none without a cgroup of its own.
        Refaults: float<B / s> voption
        /// Major page faults a second, all processes.
        MajorFaults: float</ s> voption
        /// Times that the kernel killed one of its processes for lack of memory, in this interval.
        OutOfMemoryKills: uint64
        /// Mean utilisation of its GPUs.
        GpuBusy: float<percent> voption
        /// Utilisation of the least busy one.
        GpuLeastBusy: float<percent> voption
        /// Mean power of its GPUs, each as a share of its limit.
        GpuPower: float<percent> voption
    }

    /// A job of which nothing is known.
    static member val Unknown: Job =
        {
            Id = ""
            Owner =
                {
                    Kind = OwnerKind.Session
                    Value = ""
                    Namespace = ""
                    Name = ""
                }
            User = ""
            Uid = -1L
            Name = ""
            Command = ""
            RootPid = 0
            DriverPid = 0
            ProcessGroup = 0
            IsStopped = false
            StartedAt = ValueNone
            Gpus = [||]
            Processes = 0
            Threads = 0
            Loaders = 0
            CpuCores = ValueNone
            CpuCoresAllowed = ValueNone
            BusiestThread = ValueNone
            BusiestThreadRole = ValueNone
            MainThread = ValueNone
            LoadersBusy = ValueNone
            CpuWait = ValueNone
            CpuThrottled = ValueNone
            Blocked = ValueNone
            MainBlocked = ValueNone
            BlockedOn = ValueNone
            Read = ValueNone
            Written = ValueNone
            NetworkReceived = ValueNone
            Memory = ValueNone
            MemoryLimit = ValueNone
            MemoryStall = ValueNone
            IoStall = ValueNone
            MajorFaults = ValueNone
            Refaults = ValueNone
            OutOfMemoryKills = 0UL
            GpuBusy = ValueNone
            GpuLeastBusy = ValueNone
            GpuPower = ValueNone
        }
