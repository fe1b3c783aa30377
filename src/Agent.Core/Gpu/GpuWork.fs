namespace Agent.Core.Gpu

open Agent.Core
open Agent.Core.Units

/// What a process did on a GPU.
[<NoEquality; NoComparison>]
type ProcessShare =
    {
        /// Its number, as `ComputeProcess` has it.
        Process: int
        /// Its share of the multiprocessors' time.
        Share: float<percent>
    }

/// What GPM reports about a GPU or a MIG instance.
[<NoEquality; NoComparison>]
type GpmWork =
    {
        /// Share of the time in which the graphics or compute engine had work.
        Graphics: float<percent> voption
        /// Share of the multiprocessors' time in which they had work.
        Sm: float<percent> voption
        /// Warps that were resident, of the most that can be.
        Occupancy: float<percent> voption
        /// Share of the tensor cores' time in which they had work.
        Tensor: float<percent> voption
        /// Share of the memory's bandwidth that was used.
        Dram: float<percent> voption
        /// Received over PCIe.
        PcieIn: float<B / s> voption
        /// Sent over PCIe.
        PcieOut: float<B / s> voption
        /// Received over all NVLinks.
        NvlinkIn: float<B / s> voption
        /// Sent over all NVLinks.
        NvlinkOut: float<B / s> voption
    }

    /// Nothing is known.
    static member val None: GpmWork =
        {
            Graphics = ValueNone
            Sm = ValueNone
            Occupancy = ValueNone
            Tensor = ValueNone
            Dram = ValueNone
            PcieIn = ValueNone
            PcieOut = ValueNone
            NvlinkIn = ValueNone
            NvlinkOut = ValueNone
        }

/// What a MIG instance did.
[<NoEquality; NoComparison>]
type InstanceWork =
    {
        /// `MIG-…`.
        Instance: string
        /// Share of its multiprocessors' time in which they had work.
        Activity: float<percent> voption
        /// Everything that GPM reports about it.
        Gpm: GpmWork
    }

/// What one GPU did between two readings, for judging jobs. Read in parallel with sampling, and only while the GPU is in use.
[<NoEquality; NoComparison>]
type GpuWork =
    {
        /// The driver's index.
        GpuIndex: int
        /// `GPU-…`; empty when unknown.
        GpuUuid: string
        /// Share of the multiprocessors' time in which they had work (GPM); for a partitioned board the mean of the instances in use.
        SmActivity: float<percent> voption
        /// Share of the tensor cores' time, likewise.
        TensorActivity: float<percent> voption
        /// Share of the memory's bandwidth, likewise.
        DramActivity: float<percent> voption
        /// Received over PCIe (GPM).
        PcieIn: float<B / s> voption
        /// Sent over PCIe (GPM).
        PcieOut: float<B / s> voption
        /// Over NVLink, both ways (GPM).
        NvlinkBoth: float<B / s> voption
        /// Everything that GPM reports about the board; nothing for a partitioned one.
        Gpm: GpmWork
        /// Share of the time slowed for the power limit.
        PowerViolation: float<percent> voption
        /// Share of the time slowed for heat.
        ThermalViolation: float<percent> voption
        /// The processes that did something; none where the driver does not say.
        Shares: ProcessShare[] voption
        /// The MIG instances in use.
        Instances: InstanceWork[]
    }

/// All GPUs that are in use.
[<NoEquality; NoComparison>]
type GpuWorkReading =
    {
        /// In the order of the driver.
        Work: GpuWork[]
        /// What could not be read; each costs its own field.
        Faults: SourceError[]
    }

    /// No GPU is in use, or nothing is known about what it does.
    static member val None: GpuWorkReading = { Work = [||]; Faults = [||] }

/// Finding what belongs to a GPU.
[<RequireQualifiedAccess>]
module GpuWork =
    /// What this GPU did; none when that is not known.
    [<CompiledName "Of">]
    let ofGpu (gpu: Gpu) (all: GpuWork[]) : GpuWork voption =
        // An index may come to mean another GPU when one is lost.
        match
            all
            |> Array.tryFind (fun work ->
                if gpu.Uuid <> "" || work.GpuUuid <> "" then
                    work.GpuUuid = gpu.Uuid
                else
                    work.GpuIndex = gpu.Index)
        with
        | Some work -> ValueSome work
        | None -> ValueNone

    /// The share of a process that is on the list of its GPU. A process without an entry did nothing if all entries are for processes on
    /// that list too: another one may stand for it, as the MPS server does for its clients, or have its PID in another PID namespace.
    [<CompiledName "ShareOf">]
    let shareOf (listed: int[]) (pid: int) (work: GpuWork) : float<percent> voption =
        match work.Shares with
        | ValueNone -> ValueNone
        | ValueSome shares ->
            match shares |> Array.tryFind (fun one -> one.Process = pid) with
            | Some one -> ValueSome one.Share
            | None when shares |> Array.forall (fun one -> Array.contains one.Process listed) -> ValueSome 0.0<percent>
            | None -> ValueNone
