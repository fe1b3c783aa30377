namespace Agent.Core

open System
open Agent.Core.Jobs
open Agent.Core.Units

/// What one disk did over an interval.
[<NoComparison>]
type DiskEvidence =
    {
        /// The kernel's name.
        Device: string
        /// Share of the time with a request in flight; proves nothing alone on flash, which serves many at once.
        Busy: float<percent> voption
        /// Requests in flight, mean over the time.
        Queue: float voption
        /// Mean time of a read, from queue to end; none when there was none.
        ReadLatency: float<ms> voption
        /// Mean time of a write.
        WriteLatency: float<ms> voption
        /// Bytes read.
        Read: float<B / s>
        /// Bytes written.
        Written: float<B / s>
    }

/// What one interface did.
[<NoComparison>]
type LinkEvidence =
    {
        /// The kernel's name, or `mlx5_0/1` for a port of InfiniBand.
        Name: string
        /// Bytes received.
        Received: float<B / s>
        /// Bytes sent.
        Sent: float<B / s>
        /// Its speed in each direction; none when unknown.
        Speed: float<B / s> voption
        /// True for a port of an RDMA fabric, whose bytes no interface counts.
        IsFabric: bool
    }

/// What one mount of network storage did.
[<NoComparison>]
type NetworkMountEvidence =
    {
        /// Where it is mounted.
        MountPoint: string
        /// `nfs`, `nfs4`, `lustre` and the like.
        Kind: string
        /// Operations a second.
        Operations: float</ s>
        /// Mean time from a request on the wire to its answer.
        RoundTrip: float<ms> voption
        /// Mean time from the start of an operation to its end, waiting on the client included.
        Execution: float<ms> voption
        /// Operations that waited or were under way, mean over the time (operations a second × execution time).
        Outstanding: float voption
        /// Bytes read from the server.
        Read: float<B / s>
        /// Bytes written to it.
        Written: float<B / s>
    }

/// What one GPU did.
[<NoComparison>]
type GpuEvidence =
    {
        /// The driver's index.
        Index: int
        /// `GPU-…`; empty when unknown.
        Uuid: string
        /// True when the driver no longer answers for it, though it did before, or the kernel lists it and the driver does not.
        IsLost: bool
        /// True while the kernel has suspended it.
        IsSuspended: bool
        /// Share of the time in which a kernel ran.
        Busy: float<percent> voption
        /// Share of the time in which device memory was read or written.
        MemoryBusy: float<percent> voption
        /// Share of the multiprocessors' time in which they had work (GPM).
        SmActivity: float<percent> voption
        /// Share of the tensor cores' time (GPM).
        TensorActivity: float<percent> voption
        /// Share of the memory's bandwidth (GPM).
        DramActivity: float<percent> voption
        /// Power drawn.
        Power: float<W> voption
        /// The limit in force.
        PowerLimit: float<W> voption
        /// Clock of the multiprocessors.
        ClockSm: float<MHz> voption
        /// The highest that they can have.
        ClockSmMax: float<MHz> voption
        /// Of the die.
        Temperature: float<degC> voption
        /// Why it is slower than it could be, under nvidia-smi's names.
        ThrottleReasons: string[]
        /// Share of the time slowed for the power limit (violation times).
        PowerViolation: float<percent> voption
        /// Share of the time slowed for heat.
        ThermalViolation: float<percent> voption
        /// Bytes in over PCIe.
        PcieReceived: float<B / s> voption
        /// Bytes out over PCIe.
        PcieSent: float<B / s> voption
        /// Bytes over NVLink, both ways.
        Nvlink: float<B / s> voption
        /// Device memory in use.
        MemoryUsed: uint64<B> voption
        /// Device memory.
        MemoryTotal: uint64<B> voption
        /// The newest XID event of the interval; none without one.
        Xid: int voption
        /// Uncorrected memory errors in the interval.
        EccUncorrected: uint64
        /// True while memory rows wait to be remapped, which a reset does.
        IsRemapPending: bool
        /// True when a process holds it: NVML's lists, compute, MPS or graphics.
        IsHeld: bool
    }

/// What the machine as a whole did.
[<NoComparison>]
type HostEvidence =
    {
        /// CPUs online.
        Cpus: int
        /// Busy share of all CPUs.
        CpuBusy: float<percent> voption
        /// Busy share of the busiest CPU.
        BusiestCpu: float<percent> voption
        /// Share of the time waiting for I/O.
        Iowait: float<percent> voption
        /// Share of the time taken by the hypervisor.
        Steal: float<percent> voption
        /// Runnable tasks at the instant (/proc/loadavg's fourth field, or procs_running of /proc/stat).
        Runnable: int voption
        /// Share of the interval in which some task stalled for a CPU (PSI totals).
        CpuStall: float<percent> voption
        /// The same for I/O.
        IoStall: float<percent> voption
        /// All tasks at once stalled for I/O.
        IoFullStall: float<percent> voption
        /// Some task stalled for memory.
        MemoryStall: float<percent> voption
        /// All tasks at once stalled for memory.
        MemoryFullStall: float<percent> voption
        /// Memory that programs can allocate, as a share of all; ZFS's cache and idle huge pages count as available.
        MemoryAvailable: float<percent> voption
        /// Bytes read from swap.
        SwapIn: float<B / s> voption
        /// Bytes written to swap.
        SwapOut: float<B / s> voption
        /// Disks.
        Disks: DiskEvidence[]
        /// Interfaces that carry what enters and leaves the machine, and ports of the fabric.
        Links: LinkEvidence[]
        /// Mounts of network storage.
        NetworkMounts: NetworkMountEvidence[]
        /// Why no GPU can be read though the machine has some: "the driver is gone"; empty while all is well.
        DriverProblem: string
    }

/// What was seen over one interval: from the previous observation to this one.
[<NoComparison>]
type Evidence =
    {
        /// The end of the interval.
        At: DateTimeOffset
        /// How long it was.
        Length: float<s>
        /// The machine.
        Host: HostEvidence
        /// Its GPUs, lost ones included.
        Gpus: GpuEvidence[]
        /// Its jobs, at most 64.
        Jobs: Job[]
    }
