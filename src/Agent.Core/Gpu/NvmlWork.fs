/// NVML's words on what GPUs do, as they come from the library, and what they mean: GPM, violation times, and the utilisation of processes.
/// See the NVML API reference; struct layouts and numbers stand in docs/sources.md.
[<RequireQualifiedAccess>]
module Agent.Core.Gpu.NvmlWork

open System
open System.Buffers.Binary
open Agent.Core
open Agent.Core.Units

/// The metrics that are asked for, by nvmlGpmMetricId_t: NVML_GPM_METRIC_SM_UTIL, …_ANY_TENSOR_UTIL, …_DRAM_BW_UTIL (per cent), …_PCIE_TX_PER_SEC,
/// …_PCIE_RX_PER_SEC, …_NVLINK_TOTAL_RX_PER_SEC, …_NVLINK_TOTAL_TX_PER_SEC (MiB/s), …_GRAPHICS_UTIL and …_SM_OCCUPANCY (per cent).
[<CompiledName "Metrics">]
let metrics: uint32[] = [| 2u; 5u; 10u; 20u; 21u; 60u; 61u; 1u; 3u |]

/// The fields whose counters tell how long a GPU was slowed, in nanoseconds: NVML_FI_DEV_PERF_POLICY_POWER and …_THERMAL, and
/// NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN and …_HW_THERM_SLOWDOWN, which newer drivers have in place of the second.
[<CompiledName "ViolationFields">]
let violationFields: uint32[] = [| 74u; 75u; 269u; 270u |]

/// What the calls for one GPU gave.
[<NoEquality; NoComparison>]
type Calls =
    {
        /// The index that its handle was asked for with.
        Board: int
        /// nvmlDeviceGetUUID; empty when unknown.
        BoardUuid: string
        /// nvmlGpmMetricsGet over two samples, in the order of `metrics`; empty without two samples, and for a board that is divided.
        Gpm: Nvml.Call<float>[]
        /// The same of each MIG instance that is in use, by its UUID.
        InstanceGpm: (struct (string * Nvml.Call<float>[]))[]
        /// From the violation times before to those after.
        Length: TimeSpan
        /// `violationFields` at the reading before, or nvmlDeviceGetViolationStatus in the places of the first two; empty without one.
        ViolationsBefore: Nvml.Field[]
        /// The same at this reading.
        Violations: Nvml.Field[]
        /// nvmlDeviceGetProcessUtilization since the reading before, as `shares` reads it; NOT_SUPPORTED where nothing can be concluded from it.
        Shares: Nvml.Call<ProcessShare[]>
    }

/// The bytes of an nvmlProcessUtilizationSample_t.
[<Literal>]
let ProcessSampleBytes = 32

/// Reads what nvmlDeviceGetProcessUtilization wrote: the newest time stamp, and of each process the mean of its samples. Drivers leave entries of no
/// process, of an old time or with an impossible share in between; those are passed over. Without any other the newest time stamp is `since`.
[<CompiledName "Shares">]
let shares (buffer: ReadOnlySpan<byte>) (count: int) (since: uint64) : struct (uint64 * ProcessShare[]) =
    let sums = ResizeArray<ProcessShare>()
    let counts = ResizeArray<int>()
    let mutable newest = since

    for i in 0 .. min count (buffer.Length / ProcessSampleBytes) - 1 do
        let entry = buffer.Slice(i * ProcessSampleBytes, ProcessSampleBytes)
        let pid = BinaryPrimitives.ReadUInt32LittleEndian entry
        let at = BinaryPrimitives.ReadUInt64LittleEndian(entry.Slice 8)
        let sm = BinaryPrimitives.ReadUInt32LittleEndian(entry.Slice 16)

        if pid > 0u && pid <= uint32 Int32.MaxValue && at > since && sm <= 100u then
            newest <- max newest at
            let share = LanguagePrimitives.FloatWithMeasure<percent>(float sm)
            let mutable place = 0

            while place < sums.Count && sums[place].Process <> int pid do
                place <- place + 1

            if place = sums.Count then
                sums.Add { Process = int pid; Share = share }
                counts.Add 1
            else
                sums[place] <-
                    { sums[place] with
                        Share = sums[place].Share + share
                    }

                counts[place] <- counts[place] + 1

    let means =
        Array.init sums.Count (fun i ->
            { sums[i] with
                Share = sums[i].Share / float counts[i]
            })

    struct (newest, means)

/// The share of the time by which a counter of nanoseconds grew, at most all of it; none when it fell, as after a reset of the GPU, when it is not
/// told, and over no time.
[<CompiledName "Violation">]
let violation (length: TimeSpan) (before: Nvml.Field) (after: Nvml.Field) : float<percent> voption =
    match Nvml.numberOf before, Nvml.numberOf after with
    | ValueSome before, ValueSome after when after >= before && length > TimeSpan.Zero ->
        ValueSome(percentOf (float (after - before)) (length.TotalMilliseconds * 1e6))
    | _ -> ValueNone

/// GPM's shares are quotients of counters that are not read at one instant, and may be a little over 100.
[<Literal>]
let private MostShare = 101.0

/// MiB a second that no board reaches.
[<Literal>]
let private MostRate = 1e8

/// True for a code that should be reported: not one that means there is no value, nor one that the board's own reading reports.
let private isFault (code: int) =
    not (code = 0 || code = 4 || code = 16 || Nvml.isAbsence code || Nvml.mustReopen code)

let private metric (gpm: Nvml.Call<float>[]) (place: int) (most: float) : float voption =
    if
        place < gpm.Length
        && gpm[place].Code = 0
        && gpm[place].Value >= 0.0
        && gpm[place].Value <= most
    then
        ValueSome gpm[place].Value
    else
        ValueNone

let private activity (gpm: Nvml.Call<float>[]) (place: int) : float<percent> voption =
    match metric gpm place MostShare with
    | ValueSome share -> ValueSome(LanguagePrimitives.FloatWithMeasure(min 100.0 share))
    | ValueNone -> ValueNone

let private rate (gpm: Nvml.Call<float>[]) (place: int) : float<B / s> voption =
    match metric gpm place MostRate with
    | ValueSome rate -> ValueSome(LanguagePrimitives.FloatWithMeasure(rate * 1048576.0))
    | ValueNone -> ValueNone

let private gpmOf (gpm: Nvml.Call<float>[]) : GpmWork =
    {
        Sm = activity gpm 0
        Tensor = activity gpm 1
        Dram = activity gpm 2
        PcieOut = rate gpm 3
        PcieIn = rate gpm 4
        NvlinkIn = rate gpm 5
        NvlinkOut = rate gpm 6
        Graphics = activity gpm 7
        Occupancy = activity gpm 8
    }

let private both (one: float<B / s> voption) (other: float<B / s> voption) : float<B / s> voption =
    match one, other with
    | ValueSome one, ValueSome other -> ValueSome(one + other)
    | _ -> ValueNone

/// The board's own, or the mean of its instances.
let private boardActivity (calls: Calls) (place: int) : float<percent> voption =
    if calls.InstanceGpm.Length = 0 then
        activity calls.Gpm place
    else
        let mutable sum = 0.0<percent>
        let mutable known = 0

        for struct (_, gpm) in calls.InstanceGpm do
            match activity gpm place with
            | ValueSome share ->
                sum <- sum + share
                known <- known + 1
            | ValueNone -> ()

        if known > 0 then
            ValueSome(sum / float known)
        else
            ValueNone

let private violationOf (calls: Calls) (place: int) : float<percent> voption =
    if place < calls.ViolationsBefore.Length && place < calls.Violations.Length then
        violation calls.Length calls.ViolationsBefore[place] calls.Violations[place]
    else
        ValueNone

/// Hardware and software slow a board for heat at the same time; which counter counts which differs with the driver.
let private largest (one: float<percent> voption) (other: float<percent> voption) : float<percent> voption =
    match one, other with
    | ValueSome one, ValueSome other -> ValueSome(max one other)
    | ValueNone, other -> other
    | one, ValueNone -> one

let private workOf (calls: Calls) : GpuWork =
    let gpm = gpmOf calls.Gpm

    {
        GpuIndex = calls.Board
        GpuUuid = calls.BoardUuid
        SmActivity = boardActivity calls 0
        TensorActivity = boardActivity calls 1
        DramActivity = boardActivity calls 2
        PcieOut = gpm.PcieOut
        PcieIn = gpm.PcieIn
        NvlinkBoth = both gpm.NvlinkIn gpm.NvlinkOut
        Gpm = gpm
        PowerViolation = violationOf calls 0
        ThermalViolation =
            violationOf calls 1
            |> largest (violationOf calls 2)
            |> largest (violationOf calls 3)
        Shares =
            if calls.Shares.Code = 0 then
                ValueSome calls.Shares.Value
            else
                ValueNone
        Instances =
            calls.InstanceGpm
            |> Array.map (fun (struct (uuid, calls)) ->
                let gpm = gpmOf calls

                {
                    Instance = uuid
                    Activity = gpm.Sm
                    Gpm = gpm
                })
    }

let private worse (one: int) (other: int) : int = if isFault one then one else other

/// The first code that is worth telling, else another.
let private faultOf (gpm: Nvml.Call<float>[]) : int =
    let mutable code = 0

    for metric in gpm do
        code <- worse code metric.Code

    code

let private faultsOf (calls: Calls) : SourceError[] =
    let found = ResizeArray<SourceError>()

    let tell query code =
        if isFault code then
            found.Add(SourceError.Unreadable($"{Nvml.Source} GPU {calls.Board} {query}", Nvml.nameOf code))

    // Metrics that one call cannot give fail for one reason, and so do the fields of one.
    tell "GPM" (faultOf calls.Gpm)

    for struct (_, gpm) in calls.InstanceGpm do
        tell "GPM" (faultOf gpm)

    let mutable violation = 0

    for field in calls.Violations do
        violation <- worse violation field.Return

    tell "violation times" violation
    tell "process utilization" calls.Shares.Code
    found.ToArray()

/// Turns the calls of all GPUs in use into what they did. A failing call costs its own field.
[<CompiledName "Interpret">]
let interpret (calls: Calls[]) : GpuWorkReading =
    {
        Work = Array.map workOf calls
        Faults = Array.collect faultsOf calls
    }
