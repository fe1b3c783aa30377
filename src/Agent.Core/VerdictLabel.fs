namespace Agent.Core

/// What holds a job, or the machine, back.
[<RequireQualifiedAccess>]
type VerdictLabel =
    /// Its own work on the GPU (on a machine without GPU jobs: on the CPUs), as it should be.
    | Compute
    /// A slowed GPU.
    | Throttled
    /// Its data loader: too few workers, or each too slow.
    | LoaderCpu
    /// One thread of the trainer.
    | MainThread
    /// CPUs that others use, or more runnable threads than cores.
    | CpuContended
    /// Its own CPU limit.
    | CpuQuota
    /// Reads from local disks.
    | DiskRead
    /// Writes to local disks.
    | DiskWrite
    /// NFS, Lustre and the like.
    | NetworkStorage
    /// Data over sockets, or a full link.
    | Network
    /// Reclaim, swap or a memory limit.
    | Memory
    /// Other GPUs or nodes.
    | Communication
    /// One rank that is behind.
    | Imbalance
    /// Nothing: it stopped.
    | Hang
    /// Nothing: memory is held, but nothing runs.
    | HeldIdle
    /// A lost GPU, a driver that went away, a fault that the board reports.
    | GpuFault
    /// The machine does nothing and no GPU is held.
    | Idle
    /// Too little was seen yet.
    | Starting
    /// Nothing measured explains the waiting.
    | Unknown

    /// The name in the sample's JSON, in metrics and on the page.
    member label.Name: string =
        match label with
        | Compute -> "compute"
        | Throttled -> "throttled"
        | LoaderCpu -> "loader-cpu"
        | MainThread -> "main-thread"
        | CpuContended -> "cpu-contended"
        | CpuQuota -> "cpu-quota"
        | DiskRead -> "disk-read"
        | DiskWrite -> "disk-write"
        | NetworkStorage -> "network-storage"
        | Network -> "network"
        | Memory -> "memory"
        | Communication -> "communication"
        | Imbalance -> "imbalance"
        | Hang -> "hang"
        | HeldIdle -> "held-idle"
        | GpuFault -> "gpu-fault"
        | Idle -> "idle"
        | Starting -> "starting"
        | Unknown -> "unknown"

    /// The name in the sample's JSON, in metrics and on the page.
    override label.ToString() = label.Name

    /// All of them. A label's code in the dashboard's database is its place here, from 0: new ones go to the end.
    static member val All: VerdictLabel[] =
        [|
            Compute
            Throttled
            LoaderCpu
            MainThread
            CpuContended
            CpuQuota
            DiskRead
            DiskWrite
            NetworkStorage
            Network
            Memory
            Communication
            Imbalance
            Hang
            HeldIdle
            GpuFault
            Idle
            Starting
            Unknown
        |]

/// A figure that speaks for or against a label.
[<NoComparison>]
type Witness =
    {
        /// What was measured, as `busiest loader thread`.
        Name: string
        /// The figure.
        Value: float
        /// The limit that it is compared with; none for a figure that only informs.
        Limit: float voption
        /// `%`, `B/s`, `ms`, or empty for a plain number.
        Unit: string
    }
