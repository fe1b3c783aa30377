/// What the GPUs did between two looks.
[<RequireQualifiedAccess>]
module Agent.Core.Jobs.GpuLooks

open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units

/// What a GPU is known by from one reading to the next: an index may come to mean another when one is lost.
let private keyOf (gpu: Gpu) : string =
    if gpu.Uuid <> "" then gpu.Uuid
    elif gpu.PciBusId <> "" then gpu.PciBusId
    else $"gpu {gpu.Index}"

/// The GPUs of these that are not in the newest reading.
[<CompiledName "Missing">]
let missing (known: Gpu[]) (newest: Gpu[]) : Gpu[] =
    known
    |> Array.filter (fun gpu -> newest |> Array.forall (fun other -> keyOf other <> keyOf gpu))
    |> Array.distinctBy keyOf

/// A board that the driver knows but that answers nothing is lost, or wants a reset; one that sleeps is not asked.
let private isSilent (gpu: Gpu) : bool =
    not gpu.IsSuspended
    && gpu.Uuid <> ""
    && gpu.Utilization.IsNone
    && gpu.MemoryTotal.IsNone
    && gpu.Temperature.IsNone
    && gpu.Power.IsNone

/// GPM's word where nothing else is known.
let private orElse (work: GpuWork voption) (part: GpuWork -> float<B / s> voption) (known: float<B / s> voption) =
    match known with
    | ValueNone -> work |> ValueOption.bind part
    | known -> known

let private isHeld (gpu: Gpu) : bool =
    let holds processes =
        match processes with
        | ValueSome processes -> Array.length processes > 0
        | ValueNone -> false

    holds gpu.ComputeProcesses
    || holds gpu.GraphicsProcesses
    || (match gpu.MigDevices with
        | ValueSome devices -> devices |> Array.exists (fun device -> holds device.ComputeProcesses)
        | ValueNone -> false)

/// What one GPU did over an interval, from the reading before it to this one, and by its driver's own means where those are known.
let internal evidence (length: float<s>) (isLost: bool) (work: GpuWork voption) (before: Gpu voption) (gpu: Gpu) : GpuEvidence =
    let counter (part: Gpu -> uint64<'u> voption) : float<'u> voption =
        Rates.grownBoth (before |> ValueOption.bind part) (part gpu)

    let newXid =
        match before, gpu.XidCount with
        | ValueSome before, ValueSome count -> count > ValueOption.defaultValue 0UL before.XidCount
        // What came before the first look came in no interval of ours.
        | _ -> false

    {
        Index = gpu.Index
        Uuid = gpu.Uuid
        IsLost = isLost || isSilent gpu
        IsSuspended = gpu.IsSuspended
        Busy = gpu.Utilization
        MemoryBusy = gpu.MemoryUtilization
        SmActivity = work |> ValueOption.bind _.SmActivity
        TensorActivity = work |> ValueOption.bind _.TensorActivity
        DramActivity = work |> ValueOption.bind _.DramActivity
        Power = gpu.Power
        PowerLimit = gpu.PowerLimit
        ClockSm = gpu.ClockSm
        ClockSmMax = gpu.ClockSmMax
        Temperature = gpu.Temperature
        ThrottleReasons = gpu.ThrottleReasons |> ValueOption.defaultValue [||]
        PowerViolation = work |> ValueOption.bind _.PowerViolation
        ThermalViolation = work |> ValueOption.bind _.ThermalViolation
        PcieReceived = gpu.PcieReceived |> orElse work _.PcieIn
        PcieSent = gpu.PcieSent |> orElse work _.PcieOut
        Nvlink =
            Rates.total [ counter _.NvlinkReceived; counter _.NvlinkSent ]
            |> Rates.perSecond length
            |> orElse work _.NvlinkBoth
        MemoryUsed = gpu.MemoryUsed
        MemoryTotal = gpu.MemoryTotal
        Xid = if newXid then gpu.XidLast else ValueNone
        EccUncorrected =
            match counter _.EccUncorrected with
            | ValueSome errors -> uint64 errors
            | ValueNone -> 0UL
        IsRemapPending = gpu.RemappedRowsPending = ValueSome true
        IsHeld = isHeld gpu
    }

/// The GPUs between two looks, those that were lost included, by index.
let internal between (length: float<s>) (before: Look) (after: Look) : GpuEvidence[] =
    let earlier (gpu: Gpu) =
        before.Gpus |> Rates.find keyOf (keyOf gpu)

    Array.append
        (after.Gpus
         |> Array.map (fun gpu -> evidence length false (GpuWork.ofGpu gpu after.Work) (earlier gpu) gpu))
        (after.LostGpus
         |> Array.map (fun gpu -> evidence length true ValueNone ValueNone gpu.WithoutValues))
    |> Array.sortWith (fun one other -> compare struct (one.Index, one.IsLost) struct (other.Index, other.IsLost))
