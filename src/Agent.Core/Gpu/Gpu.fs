namespace Agent.Core.Gpu

open System.Numerics
open Agent.Core
open Agent.Core.Units

/// What slows a GPU's clocks down, as the bit mask of nvmlDeviceGetCurrentClocksEventReasons and of nvidia-smi's
/// `clocks_event_reasons.active` (before driver 535 `clocks_throttle_reasons.active`).
[<RequireQualifiedAccess>]
module Throttle =
    // nvml.h: nvmlClocksEventReason…, from bit 0; the names are those of nvidia-smi's query fields.
    let private names =
        [|
            "gpu_idle"
            "applications_clocks_setting"
            "sw_power_cap"
            "hw_slowdown"
            "sync_boost"
            "sw_thermal_slowdown"
            "hw_thermal_slowdown"
            "hw_power_brake_slowdown"
            "display_clock_setting"
        |]

    let private nameOf bit =
        if bit < names.Length then names[bit] else $"bit_{bit}"

    let private none: string[] = [||]

    // A GPU has no reason or one at most times, and is asked every second.
    let private alone = Array.init 64 (fun bit -> [| nameOf bit |])

    /// The reasons of a mask by nvidia-smi's names, lowest bit first; a bit that has no name yet is `bit_12`. The
    /// array is shared: whoever gets it leaves it as it is.
    [<CompiledName "ReasonsOf">]
    let reasonsOf (mask: uint64) : string[] =
        match BitOperations.PopCount mask with
        | 0 -> none
        | 1 -> alone[BitOperations.TrailingZeroCount mask]
        | count ->
            let reasons = Array.zeroCreate count
            let mutable rest = mask

            for i in 0 .. count - 1 do
                reasons[i] <- alone[BitOperations.TrailingZeroCount rest][0]
                rest <- rest &&& (rest - 1UL)

            reasons

/// A process that computes on a GPU.
type ComputeProcess =
    {
        /// As the driver tells it: in the host's numbering, also inside a container.
        Pid: int
        /// Device memory that it holds; none where the driver does not tell (MIG without a permission, WSL).
        MemoryUsed: uint64<B> voption
        /// `/proc/PID/comm`, or the file name that the driver tells; empty when unknown.
        Name: string
    }

/// The lists of processes that GPUs carry.
[<RequireQualifiedAccess>]
module ComputeProcess =
    /// The longest list that a sample carries.
    [<Literal>]
    let Most = 32

    // Negative when one stands before the other.
    let private order (one: ComputeProcess) (other: ComputeProcess) =
        match one.MemoryUsed, other.MemoryUsed with
        | ValueSome bytes, ValueSome others when bytes <> others -> if bytes > others then -1 else 1
        | ValueSome _, ValueNone -> -1
        | ValueNone, ValueSome _ -> 1
        | _ -> one.Pid.CompareTo other.Pid

    let rec private isOrdered (processes: ComputeProcess[]) from =
        from + 1 >= processes.Length
        || (order processes[from] processes[from + 1] <= 0 && isOrdered processes (from + 1))

    /// Most memory first, those of unknown memory last, equal ones by their number; at most 32. A list that is so
    /// already is given back as it is.
    [<CompiledName "Limited">]
    let limited (processes: ComputeProcess[]) : ComputeProcess[] =
        if processes.Length <= Most && isOrdered processes 0 then
            processes
        else
            processes |> Array.sortWith order |> Array.truncate Most

/// Whether a board is divided into MIG instances.
[<RequireQualifiedAccess; Struct>]
type MigMode =
    /// Whole.
    | Disabled
    /// Divided, or ready to be.
    | Enabled

/// A MIG instance: a part of a board with memory and multiprocessors of its own. NVML tells no utilisation for it.
type MigDevice =
    {
        /// Within its board, from 0.
        Index: int
        /// `NVIDIA H100 80GB HBM3 MIG 3g.40gb`; empty when unknown.
        Name: string
        /// `MIG-…`; empty when unknown.
        Uuid: string
        /// nvmlDeviceGetGpuInstanceId.
        GpuInstance: int voption
        /// nvmlDeviceGetComputeInstanceId.
        ComputeInstance: int voption
        /// Its memory.
        MemoryTotal: uint64<B> voption
        /// Its memory in use, without what the driver reserves where it tells them apart.
        MemoryUsed: uint64<B> voption
    }

/// One GPU at one reading. What the board or the driver does not tell is none, never 0.
type Gpu =
    {
        /// The driver's index, from 0.
        Index: int
        /// `NVIDIA H100 80GB HBM3`; empty when unknown.
        Name: string
        /// `GPU-…`; empty when unknown.
        Uuid: string
        /// Share of the last sample period in which a kernel ran.
        Utilization: float<percent> voption
        /// Share of the last sample period in which device memory was read or written.
        MemoryUtilization: float<percent> voption
        /// Device memory.
        MemoryTotal: uint64<B> voption
        /// Device memory in use, without what the driver reserves where it tells them apart.
        MemoryUsed: uint64<B> voption
        /// The GPU's die.
        Temperature: float<degC> voption
        /// The speed the fan is driven at; none on boards that are cooled by the server.
        FanSpeed: float<percent> voption
        /// What the board draws.
        Power: float<W> voption
        /// The limit that is in force.
        PowerLimit: float<W> voption
        /// What slows the clocks down, by nvidia-smi's names; empty when nothing does.
        ThrottleReasons: string[] voption
        /// The clock of the multiprocessors.
        ClockSm: float<MHz> voption
        /// The clock of the memory.
        ClockMemory: float<MHz> voption
        /// Received over PCIe, over the 20 ms that NVML samples.
        PcieReceived: float<B / s> voption
        /// Sent over PCIe, over the 20 ms that NVML samples.
        PcieSent: float<B / s> voption
        /// The generation of the PCIe link at this moment; an idle board may step down.
        PcieLinkGeneration: int voption
        /// The lanes of the PCIe link at this moment.
        PcieLinkWidth: int voption
        /// Memory errors that could not be corrected, over the life of the board.
        EccUncorrected: uint64 voption
        /// Memory errors that were corrected, over the life of the board.
        EccCorrected: uint64 voption
        /// True when memory rows wait for a reset to be replaced by spare ones.
        RemappedRowsPending: bool voption
        /// The code of the newest XID event since the agent started; none before the first.
        XidLast: int voption
        /// XID events since the agent started, repeats of one code included.
        XidCount: uint64 voption
        /// Drawn since the driver was loaded.
        Energy: uint64<mJ> voption
        /// Use of the video encoder.
        Encoder: float<percent> voption
        /// Use of the video decoder.
        Decoder: float<percent> voption
        /// Payload received over all NVLinks.
        NvlinkReceived: uint64<B> voption
        /// Payload sent over all NVLinks.
        NvlinkSent: uint64<B> voption
        /// The memory's own sensor, on boards with HBM.
        MemoryTemperature: float<degC> voption
        /// Whether the board is divided; none on boards that cannot be.
        MigMode: MigMode voption
        /// Who computes on it, most memory first, at most 32; empty when nobody does.
        ComputeProcesses: ComputeProcess[] voption
        /// The MIG instances; empty when there are none.
        MigDevices: MigDevice[] voption
    }

    /// A GPU of which only the index is known.
    static member OfIndex(index: int) : Gpu =
        {
            Index = index
            Name = ""
            Uuid = ""
            Utilization = ValueNone
            MemoryUtilization = ValueNone
            MemoryTotal = ValueNone
            MemoryUsed = ValueNone
            Temperature = ValueNone
            FanSpeed = ValueNone
            Power = ValueNone
            PowerLimit = ValueNone
            ThrottleReasons = ValueNone
            ClockSm = ValueNone
            ClockMemory = ValueNone
            PcieReceived = ValueNone
            PcieSent = ValueNone
            PcieLinkGeneration = ValueNone
            PcieLinkWidth = ValueNone
            EccUncorrected = ValueNone
            EccCorrected = ValueNone
            RemappedRowsPending = ValueNone
            XidLast = ValueNone
            XidCount = ValueNone
            Energy = ValueNone
            Encoder = ValueNone
            Decoder = ValueNone
            NvlinkReceived = ValueNone
            NvlinkSent = ValueNone
            MemoryTemperature = ValueNone
            MigMode = ValueNone
            ComputeProcesses = ValueNone
            MigDevices = ValueNone
        }

    /// Used memory as a percentage of all of it; none unless both are known.
    member gpu.MemoryPercent: float<percent> voption =
        match gpu.MemoryUsed, gpu.MemoryTotal with
        | ValueSome used, ValueSome total when total > 0UL<B> -> ValueSome(percentOf (float used) (float total))
        | _ -> ValueNone

/// All GPUs of the machine at one reading.
type GpuReading =
    {
        /// In the order of the driver.
        Gpus: Gpu[]
        /// Values that could not be read or understood; each costs its own field.
        Faults: SourceError[]
    }
