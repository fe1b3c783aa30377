namespace Agent.Core.Gpu

open System
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
    /// array is shared: callers must not change it.
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

    let private bitOf (reason: string) : uint64 =
        let mutable bit = Array.IndexOf(names, reason)

        if bit < 0 then
            bit <- alone |> Array.findIndex (fun one -> one[0] = reason)

        1UL <<< bit

    /// The mask of reasons that `reasonsOf` has named.
    [<CompiledName "MaskOf">]
    let maskOf (reasons: string[]) : uint64 =
        let mutable mask = 0UL

        for reason in reasons do
            mask <- mask ||| bitOf reason

        mask

/// What a board can report at all. Faulty drivers and boards report impossible numbers, such as 255 % or 4,294,967,291 °C; those are
/// not values, and are never cut down to something that looks like one.
[<RequireQualifiedAccess>]
module Plausible =
    /// The coldest and the hottest die or memory, in degrees Celsius. Boards shut down well below 125.
    let private coldest, hottest = -50.0<degC>, 125.0<degC>

    /// In per cent of what the board's makers call its noise limit, which nvmlDeviceGetFanSpeed allows to be exceeded.
    let private fastestFan = 200.0<percent>

    /// Watts. No existing board draws half of it.
    let private mostPower = 5000.0<W>

    /// Averages over a second stay close to the limit in force.
    let private mostOverLimit = 2.0

    /// Megahertz: of multiprocessors, and of memory.
    let private fastestSm, fastestMemory = 5000.0<MHz>, 40000.0<MHz>

    /// Sixteen tebibytes. No existing board has a thirtieth of it.
    let private mostMemory = bytesOfMib 16_777_216UL<MiB>

    /// A link of sixteen lanes of generation 7 carries a quarter of it in one direction.
    let private fastestPcie = 1e12<B / s>

    /// Generation 7 was specified in 2025; PCI Express has never had more than 32 lanes.
    let private newestPcie, widestPcie = 16, 32

    /// A temperature of the die or the memory.
    let temperature (value: float<degC>) = value >= coldest && value <= hottest

    /// A memory is not so many degrees colder than the die beside it.
    let private mostColderMemory = 20.0<degC>

    /// False for exactly 0 beside a warm die: a memory sensor that the board does not have, and not one in the cold.
    let isMemorySensor (die: float<degC> voption) (value: float<degC>) =
        value <> 0.0<degC>
        || die |> ValueOption.forall (fun die -> die <= mostColderMemory)

    /// The use of a part of the board.
    let utilization (value: float<percent>) =
        value >= 0.0<percent> && value <= 100.0<percent>

    /// The speed of a fan.
    let fan (value: float<percent>) =
        value >= 0.0<percent> && value <= fastestFan

    /// The power draw of a board whose limit may be known.
    let power (limit: float<W> voption) (value: float<W>) =
        value >= 0.0<W>
        && value <= mostPower
        && (match limit with
            | ValueSome limit -> value <= limit * mostOverLimit
            | ValueNone -> true)

    /// A board's power limit.
    let powerLimit (value: float<W>) = value > 0.0<W> && value <= mostPower

    /// The clock of the multiprocessors.
    let smClock (value: float<MHz>) = value >= 0.0<MHz> && value <= fastestSm

    /// The clock of the memory.
    let memoryClock (value: float<MHz>) =
        value >= 0.0<MHz> && value <= fastestMemory

    /// All of a board's memory, bytes: not 0, and less than sixteen tebibytes.
    let memoryTotal (value: uint64<B>) = value > 0UL<B> && value <= mostMemory

    /// A part of that: no more than the whole, which may be unknown.
    let memoryPart (total: uint64<B> voption) (value: uint64<B>) =
        value <= ValueOption.defaultValue mostMemory total

    /// What goes over PCIe in one direction, bytes per second.
    let pcieRate (value: float<B / s>) =
        value >= 0.0<B / s> && value <= fastestPcie

    /// The generation of a PCIe link; 0 stands for no link.
    let pcieGeneration (value: int) = value >= 0 && value <= newestPcie

    /// The lanes of a PCIe link; 0 stands for no link.
    let pcieWidth (value: int) = value >= 0 && value <= widestPcie

/// What the name of a board says of it.
[<RequireQualifiedAccess>]
module GpuName =
    // "NVIDIA GB10", "Orin (nvgpu)", "NVIDIA Tegra X1", "NVIDIA Thor". Boards with GH or GB and three digits have HBM of their own.
    let private integrated = [| "GB10"; "nvgpu"; "Tegra"; "Jetson"; "Xavier"; "Orin"; "Thor" |]

    /// True for a GPU that is part of a system on a chip and uses the host's memory, whatever its driver says of it: some answer with the host's own
    /// figures, in which the page cache counts as used, and some with 0.
    [<CompiledName "IsIntegrated">]
    let isIntegrated (name: string) : bool =
        name.Split([| ' '; '('; ')'; '-' |], StringSplitOptions.RemoveEmptyEntries)
        |> Array.exists (fun word -> Array.contains word integrated)

/// A process that computes on a GPU.
[<NoComparison>]
type ComputeProcess =
    {
        /// In the numbering of the agent's own PID namespace: the driver leaves out what is not in it, or reports 0.
        Pid: int
        /// Device memory that it holds; none where the driver does not say (MIG without a permission, WSL).
        MemoryUsed: uint64<B> voption
        /// `/proc/PID/comm`, or the file name that the driver reports; empty when unknown.
        Name: string
    }

/// The lists of processes on GPUs.
[<RequireQualifiedAccess>]
module ComputeProcess =
    /// The longest list that a sample carries.
    [<Literal>]
    let Most = 32

    /// Merges two lists. A process that is in both appears once, and so does its memory: from the first list, unless only the second has it.
    [<CompiledName "Together">]
    let together (first: ComputeProcess[]) (second: ComputeProcess[]) : ComputeProcess[] =
        let isIn (processes: ComputeProcess[]) (one: ComputeProcess) =
            processes |> Array.exists (fun other -> other.Pid = one.Pid)

        if second.Length = 0 then
            first
        else
            let known =
                first
                |> Array.map (fun one ->
                    match second |> Array.tryFind (fun other -> other.Pid = one.Pid) with
                    | Some other when one.MemoryUsed.IsNone ->
                        { one with
                            MemoryUsed = other.MemoryUsed
                        }
                    | _ -> one)

            Array.append known (second |> Array.filter (fun one -> not (isIn first one)))

    /// Each process once, with all of its memory: a list has it again for every instance that it uses. The first number is of the instance; a
    /// process that is listed twice with the same one has the larger memory of the two.
    [<CompiledName "Joined">]
    let joined (listed: struct (uint64 * ComputeProcess)[]) : ComputeProcess[] =
        let pids = listed |> Array.map (fun (struct (_, one)) -> one.Pid)

        if (Array.distinct pids).Length = pids.Length then
            listed |> Array.map (fun (struct (_, one)) -> one)
        else
            listed
            |> Array.groupBy (fun (struct (_, one)) -> one.Pid)
            |> Array.map (fun (_, mine) ->
                let struct (_, first) = mine[0]

                let parts =
                    mine
                    |> Array.groupBy (fun (struct (instance, _)) -> instance)
                    |> Array.map (fun (_, same) ->
                        same
                        |> Array.choose (fun (struct (_, one)) ->
                            match one.MemoryUsed with
                            | ValueSome bytes -> Some bytes
                            | ValueNone -> None))

                { first with
                    MemoryUsed =
                        // A sum with a part that is not known is not known.
                        if parts |> Array.exists Array.isEmpty then
                            ValueNone
                        else
                            // Any number may be told. One that is too large for a sum is too large for a board.
                            let together (sum: uint64<B>) (part: uint64<B>) =
                                if sum + part < sum then
                                    LanguagePrimitives.UInt64WithMeasure UInt64.MaxValue
                                else
                                    sum + part

                            ValueSome(parts |> Array.map Array.max |> Array.fold together 0UL<B>)
                })

    /// The text of `/proc/PID/comm`.
    [<CompiledName "NameOf">]
    let nameOf (comm: ReadOnlySpan<byte>) : string =
        Text.toString (Text.trim (comm.TrimEnd '\n'B))

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

    /// Most memory first, those of unknown memory last, equal ones by their PID; at most 32. A list that is already in this form is
    /// returned as it is.
    [<CompiledName "Limited">]
    let limited (processes: ComputeProcess[]) : ComputeProcess[] =
        if processes.Length <= Most && isOrdered processes 0 then
            processes
        else
            processes |> Array.sortWith order |> Array.truncate Most

    /// The list without memory that cannot be on a board with so much of it, which may be unknown; and whether there was such memory.
    [<CompiledName "Within">]
    let within (total: uint64<B> voption) (processes: ComputeProcess[]) : struct (ComputeProcess[] * bool) =
        let isPossible (one: ComputeProcess) =
            one.MemoryUsed |> ValueOption.forall (Plausible.memoryPart total)

        if Array.forall isPossible processes then
            struct (processes, false)
        else
            let known =
                processes
                |> Array.map (fun one ->
                    if isPossible one then
                        one
                    else
                        { one with MemoryUsed = ValueNone })

            struct (limited known, true)

/// Whether a board is partitioned into MIG instances.
[<RequireQualifiedAccess; Struct>]
type MigMode =
    /// Not partitioned.
    | Disabled
    /// Partitioned, or ready to be.
    | Enabled

/// A MIG instance: a part of a board with memory and multiprocessors of its own. NVML reports no utilisation for it.
[<NoComparison>]
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
        /// Its memory in use, without what the driver reserves where it distinguishes them.
        MemoryUsed: uint64<B> voption
        /// Its memory that can be allocated. Not part of a sample.
        MemoryFree: uint64<B> voption
        /// The processes that compute on it, as on a whole GPU; none where the driver does not say.
        ComputeProcesses: ComputeProcess[] voption
        /// The code of the newest XID event of its GPU instance since the agent started; none before the first.
        XidLast: int voption
        /// XID events of its GPU instance since the agent started.
        XidCount: uint64 voption
    }

/// Counters of a GPU that only metrics tell. They are no part of a sample.
[<NoComparison>]
type GpuCounters =
    {
        /// Times that the PCIe link had to send something again.
        PcieReplays: uint64 voption
        /// Memory rows replaced by spare ones after errors that could be corrected.
        CorrectableRows: uint64 voption
        /// The same after errors that could not be corrected.
        UncorrectableRows: uint64 voption
        /// True when a row was to be replaced and could not be.
        HasRowFailure: bool voption
        /// Memory errors that were corrected, since the driver was loaded.
        VolatileCorrected: uint64 voption
        /// Memory errors that could not be corrected, since the driver was loaded.
        VolatileUncorrected: uint64 voption
        /// Time slowed for the power limit, ns.
        PowerViolation: uint64 voption
        /// Time slowed for heat, ns.
        ThermalViolation: uint64 voption
        /// Time slowed to keep step with the other GPUs of a sync boost group, ns.
        SyncBoostViolation: uint64 voption
        /// Time slowed for a limit of the board, ns.
        BoardLimitViolation: uint64 voption
        /// Time slowed for want of work, ns.
        LowUtilizationViolation: uint64 voption
        /// Time slowed for the voltage that is reliable, ns.
        ReliabilityViolation: uint64 voption
        /// Checksum errors in the flow control of all NVLinks.
        NvlinkFlitErrors: uint64 voption
        /// Checksum errors in the data of all NVLinks.
        NvlinkDataErrors: uint64 voption
        /// Replays of all NVLinks.
        NvlinkReplays: uint64 voption
        /// Recoveries of all NVLinks.
        NvlinkRecoveries: uint64 voption
        /// Payload over all NVLinks, received and sent, since the reading of their counters before; none at the first and after a fall.
        NvlinkRate: float<B / s> voption
    }

    /// Nothing is known.
    static member val None: GpuCounters =
        {
            PcieReplays = ValueNone
            CorrectableRows = ValueNone
            UncorrectableRows = ValueNone
            HasRowFailure = ValueNone
            VolatileCorrected = ValueNone
            VolatileUncorrected = ValueNone
            PowerViolation = ValueNone
            ThermalViolation = ValueNone
            SyncBoostViolation = ValueNone
            BoardLimitViolation = ValueNone
            LowUtilizationViolation = ValueNone
            ReliabilityViolation = ValueNone
            NvlinkFlitErrors = ValueNone
            NvlinkDataErrors = ValueNone
            NvlinkReplays = ValueNone
            NvlinkRecoveries = ValueNone
            NvlinkRate = ValueNone
        }

/// One GPU at one reading. What the board or the driver does not report is none, never 0.
[<NoComparison>]
type Gpu =
    {
        /// The driver's index, from 0.
        Index: int
        /// `NVIDIA H100 80GB HBM3`; empty when unknown.
        Name: string
        /// `GPU-…`; empty when unknown.
        Uuid: string
        /// Its PCI address, as `00000000:65:00.0`; empty when unknown. Unlike the index it stays the same from one start of the
        /// driver to the next, and identifies a GPU that does not report its UUID.
        PciBusId: string
        /// `580.95.05`; empty when unknown. Not part of a sample.
        DriverVersion: string
        /// True while the kernel has suspended the board (runtime power management); it is not queried then, because that would wake it.
        IsSuspended: bool
        /// Share of the last sample period in which a kernel ran.
        Utilization: float<percent> voption
        /// Share of the last sample period in which device memory was read or written.
        MemoryUtilization: float<percent> voption
        /// Device memory.
        MemoryTotal: uint64<B> voption
        /// Device memory in use, without what the driver reserves where it distinguishes them.
        MemoryUsed: uint64<B> voption
        /// Device memory that can be allocated.
        MemoryFree: uint64<B> voption
        /// Device memory that the driver keeps for itself; none where it does not report it separately.
        MemoryReserved: uint64<B> voption
        /// True on a board without memory of its own (GB10, Jetson): in a sample the host's memory takes its place.
        IsMemoryShared: bool
        /// The GPU's die.
        Temperature: float<degC> voption
        /// The speed that the fan is set to; none on boards that are cooled by the server.
        FanSpeed: float<percent> voption
        /// The power draw of the board.
        Power: float<W> voption
        /// The power limit in force.
        PowerLimit: float<W> voption
        /// What slows the clocks down, under nvidia-smi's names; empty when nothing does.
        ThrottleReasons: string[] voption
        /// The clock of the multiprocessors.
        ClockSm: float<MHz> voption
        /// The highest clock that the multiprocessors can have. Not part of a sample.
        ClockSmMax: float<MHz> voption
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
        /// Whether the board is partitioned; none on boards that cannot be.
        MigMode: MigMode voption
        /// The processes that compute on it, clients of MPS among them, most memory first, at most 32; empty when there are none.
        ComputeProcesses: ComputeProcess[] voption
        /// Processes that use it for graphics only, such as a display server; likewise. Not part of a sample.
        GraphicsProcesses: ComputeProcess[] voption
        /// The MIG instances; empty when there are none.
        MigDevices: MigDevice[] voption
        /// What only metrics tell.
        Counters: GpuCounters
    }

    /// A GPU of which only the index is known.
    static member OfIndex(index: int) : Gpu =
        {
            Index = index
            Name = ""
            Uuid = ""
            PciBusId = ""
            DriverVersion = ""
            IsSuspended = false
            Utilization = ValueNone
            MemoryUtilization = ValueNone
            MemoryTotal = ValueNone
            MemoryUsed = ValueNone
            MemoryFree = ValueNone
            MemoryReserved = ValueNone
            IsMemoryShared = false
            Temperature = ValueNone
            FanSpeed = ValueNone
            Power = ValueNone
            PowerLimit = ValueNone
            ThrottleReasons = ValueNone
            ClockSm = ValueNone
            ClockSmMax = ValueNone
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
            GraphicsProcesses = ValueNone
            MigDevices = ValueNone
            Counters = GpuCounters.None
        }

    /// A GPU that the kernel has suspended, of which only the index and the PCI address are known.
    static member Asleep(index: int, address: string) : Gpu =
        { Gpu.OfIndex index with
            PciBusId = address
            IsSuspended = true
        }

    /// The same GPU when it is not queried: its identity, and its events so far.
    member gpu.WithoutValues: Gpu =
        { Gpu.OfIndex gpu.Index with
            Name = gpu.Name
            Uuid = gpu.Uuid
            PciBusId = gpu.PciBusId
            DriverVersion = gpu.DriverVersion
            XidLast = gpu.XidLast
            XidCount = gpu.XidCount
        }

    /// The same GPU without zeros that stand for what is not known: a memory at exactly 0 °C beside a warm die, which is a sensor that the board does not
    /// have; and all of them where a driver that knows nothing of the board answers 0 to everything, as some do on a Jetson. A board that is there
    /// has memory, a running clock or some power; 0 °C alone may be the weather.
    member gpu.WithoutUntold: Gpu =
        let isNothing (value: float<'u> voption) =
            value
            |> ValueOption.forall (fun value -> value = LanguagePrimitives.FloatWithMeasure 0.0)

        let known (value: float<'u> voption) =
            if isNothing value then ValueNone else value

        let isUntold =
            gpu.Temperature = ValueSome 0.0<degC>
            && gpu.ClockSm = ValueSome 0.0<MHz>
            && isNothing gpu.Power
            && gpu.MemoryTotal.IsNone

        if isUntold then
            { gpu with
                Utilization = known gpu.Utilization
                MemoryUtilization = known gpu.MemoryUtilization
                Temperature = ValueNone
                FanSpeed = known gpu.FanSpeed
                Power = ValueNone
                ClockSm = ValueNone
                ClockSmMax = known gpu.ClockSmMax
                ClockMemory = known gpu.ClockMemory
                Energy =
                    if gpu.Energy = ValueSome 0UL<mJ> then
                        ValueNone
                    else
                        gpu.Energy
                Encoder = known gpu.Encoder
                Decoder = known gpu.Decoder
                MemoryTemperature = known gpu.MemoryTemperature
            }
        elif
            gpu.MemoryTemperature
            |> ValueOption.forall (Plausible.isMemorySensor gpu.Temperature)
        then
            gpu
        else
            { gpu with
                MemoryTemperature = ValueNone
            }

    /// Used memory as a percentage of all of it; none unless both are known.
    member gpu.MemoryPercent: float<percent> voption =
        match gpu.MemoryUsed, gpu.MemoryTotal with
        | ValueSome used, ValueSome total when total > 0UL<B> -> ValueSome(percentOf (float used) (float total))
        | _ -> ValueNone

/// All GPUs of the machine at one reading.
[<NoComparison>]
type GpuReading =
    {
        /// In the order of the driver.
        Gpus: Gpu[]
        /// Values that could not be read or understood; each costs its own field.
        Faults: SourceError[]
    }
