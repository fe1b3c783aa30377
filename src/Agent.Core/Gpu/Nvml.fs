/// NVML's integers as they come from the library, and what they mean.
/// See the NVML API reference; struct layouts and codes stand in docs/sources.md.
[<RequireQualifiedAccess>]
module Agent.Core.Gpu.Nvml

open System
open System.Buffers.Binary
open System.Numerics
open Agent.Core
open Agent.Core.Units

/// What errors call the library.
[<Literal>]
let Source = "libnvidia-ml"

/// What one call gave: its return code, and its value if that code is 0.
[<Struct; NoEquality; NoComparison>]
type Call<'value> =
    {
        /// nvmlReturn_t.
        Code: int
        /// Meaningful only with code 0.
        Value: 'value
    }

/// What nvmlDeviceGetFieldValues gave for one field.
[<Struct; NoEquality; NoComparison>]
type Field =
    {
        /// nvmlFieldValue_t.nvmlReturn, or what the call as a whole returned.
        Return: int
        /// nvmlValueType_t.
        ValueType: int
        /// The eight bytes of the union.
        Bits: uint64
    }

/// XID events of one device since the agent started.
[<Struct; NoEquality; NoComparison>]
type Xid =
    {
        /// nvmlEventData_t.eventData of the newest; meaningful once there was one.
        Last: uint64
        /// All of them.
        Count: uint64
    }

/// What the calls for one MIG instance gave.
[<NoEquality; NoComparison>]
type Mig =
    {
        /// The index that the handle was asked for with.
        Index: int
        /// nvmlDeviceGetName.
        Name: Call<string>
        /// nvmlDeviceGetUUID.
        Uuid: Call<string>
        /// nvmlDeviceGetGpuInstanceId.
        GpuInstance: Call<uint32>
        /// nvmlDeviceGetComputeInstanceId.
        ComputeInstance: Call<uint32>
        /// nvmlMemory_t.total or nvmlMemory_v2_t.total, bytes.
        MemoryTotal: Call<uint64>
        /// nvmlMemory_t.used or nvmlMemory_v2_t.used, bytes.
        MemoryUsed: Call<uint64>
        /// nvmlMemory_t.free or nvmlMemory_v2_t.free, bytes.
        MemoryFree: Call<uint64>
        /// Events of its GPU instance; none where the device reports no events.
        Xid: Xid voption
    }

/// What nvmlDeviceGetRemappedRows gave.
[<Struct; NoEquality; NoComparison>]
type RemappedRows =
    {
        /// Rows that were replaced after errors that could be corrected.
        Correctable: uint32
        /// The same after others.
        Uncorrectable: uint32
        /// isPending: not 0 when rows wait for a reset.
        Pending: uint32
        /// failureOccurred: not 0 when a row could not be replaced.
        Failed: uint32
    }

/// The fields of a device that are asked for now and then, with one call: NVML_FI_DEV_PERF_POLICY_POWER, …_THERMAL, …_SYNC_BOOST, …_BOARD_LIMIT,
/// …_LOW_UTILIZATION and …_RELIABILITY (nanoseconds), and NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL, …_CRC_DATA_…, …_REPLAY_… and …_RECOVERY_….
[<CompiledName "CostlyFields">]
let costlyFields: uint32[] = [| 74u; 75u; 76u; 77u; 78u; 79u; 38u; 45u; 52u; 59u |]

/// What an earlier reading of a device's NVLinks gave.
[<Struct; NoEquality; NoComparison>]
type NvlinkBefore =
    {
        /// Field 139 of all links, KiB.
        Received: Field
        /// Field 138 of all links, KiB.
        Sent: Field
        /// How much earlier it was.
        Age: TimeSpan
    }

/// What the calls for one device gave that take long, and so are made now and then.
[<NoEquality; NoComparison>]
type Costly =
    {
        /// nvmlDeviceGetTotalEccErrors, uncorrected, aggregate.
        EccUncorrected: Call<uint64>
        /// nvmlDeviceGetTotalEccErrors, corrected, aggregate.
        EccCorrected: Call<uint64>
        /// nvmlDeviceGetTotalEccErrors, uncorrected, volatile.
        EccVolatileUncorrected: Call<uint64>
        /// nvmlDeviceGetTotalEccErrors, corrected, volatile.
        EccVolatileCorrected: Call<uint64>
        /// nvmlDeviceGetRemappedRows.
        RemappedRows: Call<RemappedRows>
        /// nvmlDeviceGetPcieReplayCounter.
        PcieReplays: Call<uint32>
        /// `costlyFields`, in their order.
        Fields: Field[]
        /// nvmlDeviceGetPcieThroughput, RX, KiB/s.
        PcieReceived: Call<uint32>
        /// nvmlDeviceGetPcieThroughput, TX, KiB/s.
        PcieSent: Call<uint32>
        /// Field 139 of all links, KiB.
        NvlinkReceived: Field
        /// Field 138 of all links, KiB.
        NvlinkSent: Field
        /// The same two at the reading before; none at the first.
        NvlinkBefore: NvlinkBefore voption
        /// nvmlDeviceGetMaxClockInfo of the multiprocessors, MHz.
        ClockSmMax: Call<uint32>
        /// The higher one of nvmlDeviceGetPowerManagementLimitConstraints, milliwatts.
        PowerLimitMax: Call<uint32>
        /// nvmlDeviceGetComputeRunningProcesses and nvmlDeviceGetMPSComputeRunningProcesses, as `processes` and `computing` read them.
        Processes: Call<ComputeProcess[]>
        /// nvmlDeviceGetGraphicsRunningProcesses, likewise.
        GraphicsProcesses: Call<ComputeProcess[]>
        /// Those that compute on each MIG instance, by the index that its handle was asked for with, and its UUID: another may have that index by now.
        MigProcesses: (struct (int * string * Call<ComputeProcess[]>))[]
    }

/// What the calls for one device gave.
[<NoEquality; NoComparison>]
type Device =
    {
        /// The index that the handle was asked for with.
        Index: int
        /// What asking for the handle returned; without a handle no other call was made.
        Handle: int
        /// nvmlDeviceGetName.
        Name: Call<string>
        /// nvmlDeviceGetUUID.
        Uuid: Call<string>
        /// nvmlPciInfo_t.busId of nvmlDeviceGetPciInfo_v3.
        PciBusId: Call<string>
        /// nvmlSystemGetDriverVersion.
        DriverVersion: Call<string>
        /// True when it was not asked, because the kernel has suspended it.
        IsSuspended: bool
        /// nvmlUtilization_t.gpu, per cent.
        Utilization: Call<uint32>
        /// nvmlUtilization_t.memory, per cent.
        MemoryUtilization: Call<uint32>
        /// nvmlMemory_t.total or nvmlMemory_v2_t.total, bytes.
        MemoryTotal: Call<uint64>
        /// nvmlMemory_t.used or nvmlMemory_v2_t.used, bytes.
        MemoryUsed: Call<uint64>
        /// nvmlMemory_t.free or nvmlMemory_v2_t.free, bytes; the latter is without what is reserved.
        MemoryFree: Call<uint64>
        /// nvmlMemory_v2_t.reserved, bytes.
        MemoryReserved: Call<uint64>
        /// nvmlDeviceGetTemperatureV, or nvmlDeviceGetTemperature read as a signed number, of the GPU sensor, degrees Celsius.
        Temperature: Call<int>
        /// nvmlDeviceGetFanSpeed, per cent.
        FanSpeed: Call<uint32>
        /// nvmlDeviceGetPowerUsage, milliwatts.
        Power: Call<uint32>
        /// nvmlDeviceGetEnforcedPowerLimit, milliwatts.
        EnforcedPowerLimit: Call<uint32>
        /// nvmlDeviceGetPowerManagementLimit, milliwatts.
        ManagementPowerLimit: Call<uint32>
        /// nvmlDeviceGetCurrentClocksEventReasons, a bit mask.
        ThrottleReasons: Call<uint64>
        /// nvmlDeviceGetClockInfo of the multiprocessors, MHz.
        ClockSm: Call<uint32>
        /// nvmlDeviceGetClockInfo of the memory, MHz.
        ClockMemory: Call<uint32>
        /// nvmlDeviceGetCurrPcieLinkGeneration.
        PcieLinkGeneration: Call<uint32>
        /// nvmlDeviceGetCurrPcieLinkWidth.
        PcieLinkWidth: Call<uint32>
        /// nvmlDeviceGetTotalEnergyConsumption, millijoules.
        Energy: Call<uint64>
        /// nvmlDeviceGetEncoderUtilization, per cent.
        Encoder: Call<uint32>
        /// nvmlDeviceGetDecoderUtilization, per cent.
        Decoder: Call<uint32>
        /// Field 82, degrees Celsius.
        MemoryTemperature: Field
        /// nvmlDeviceGetMigMode, current.
        MigMode: Call<uint32>
        /// The instances, while MIG is enabled.
        MigDevices: Mig[]
        /// The newest results of the calls that take long; none when there are none, or none that are new enough.
        Costly: Costly voption
        /// None where the device reports no events.
        Xid: Xid voption
    }

/// What stays the same of a device.
[<NoComparison>]
type Identity =
    {
        /// nvmlDeviceGetName; empty when unknown.
        Name: string
        /// nvmlDeviceGetUUID; empty when unknown.
        Uuid: string
        /// nvmlDeviceGetPciInfo; empty when unknown.
        PciBusId: string
    }

/// How far the library was opened.
[<RequireQualifiedAccess; NoComparison>]
type State =
    /// It was not tried yet, or is not wanted.
    | NotTried
    /// It could not be loaded; the words are the dynamic linker's.
    | NotLoaded of problem: string
    /// Its initialisation failed.
    | Failed of code: int
    /// It has reported the number of devices.
    | Opened of devices: int

    /// Calls the function for the case that this is.
    member this.Match(notTried: Func<'r>, notLoaded: Func<string, 'r>, failed: Func<int, 'r>, opened: Func<int, 'r>) : 'r =
        match this with
        | NotTried -> notTried.Invoke()
        | NotLoaded problem -> notLoaded.Invoke problem
        | Failed code -> failed.Invoke code
        | Opened devices -> opened.Invoke devices

/// A machine has no more boards than this; a driver that counts more has not counted.
[<Literal>]
let MostBoards = 256

/// A board is divided into no more instances than this (seven, in 2025); a driver that allows more has not counted.
[<Literal>]
let MostInstances = 64

/// In the place of a return code: nvmlDeviceGetCount answers with more than `MostBoards`.
[<Literal>]
let ImpossibleCount = -1

/// The name that nvml.h gives a return code.
[<CompiledName "NameOf">]
let nameOf (code: int) : string =
    match code with
    | 0 -> "SUCCESS"
    | 1 -> "UNINITIALIZED"
    | 2 -> "INVALID_ARGUMENT"
    | 3 -> "NOT_SUPPORTED"
    | 4 -> "NO_PERMISSION"
    | 6 -> "NOT_FOUND"
    | 7 -> "INSUFFICIENT_SIZE"
    | 8 -> "INSUFFICIENT_POWER"
    | 9 -> "DRIVER_NOT_LOADED"
    | 10 -> "TIMEOUT"
    | 11 -> "IRQ_ISSUE"
    | 12 -> "LIBRARY_NOT_FOUND"
    | 13 -> "FUNCTION_NOT_FOUND"
    | 14 -> "CORRUPTED_INFOROM"
    | 15 -> "GPU_IS_LOST"
    | 16 -> "RESET_REQUIRED"
    | 17 -> "OPERATING_SYSTEM"
    | 18 -> "LIB_RM_VERSION_MISMATCH"
    | 19 -> "IN_USE"
    | 20 -> "MEMORY"
    | 21 -> "NO_DATA"
    | 22 -> "VGPU_ECC_NOT_SUPPORTED"
    | 23 -> "INSUFFICIENT_RESOURCES"
    | 25 -> "ARGUMENT_VERSION_MISMATCH"
    | 26 -> "DEPRECATED"
    | 27 -> "NOT_READY"
    | 28 -> "GPU_NOT_FOUND"
    | 29 -> "INVALID_STATE"
    | 999 -> "UNKNOWN"
    | ImpossibleCount -> $"it counts more than {MostBoards} GPUs, which no machine has"
    | other -> $"error {other}"

/// True for codes that say that the session with the driver is at an end, if calls give them that answered before, or all calls do: after a
/// suspend, or when the device files were taken away (OPERATING_SYSTEM, UNKNOWN). From one call alone they are that call's.
[<CompiledName "MayEndSession">]
let mayEndSession (code: int) : bool = code = 17 || code = 999

/// Whether a device is lost to this session after one round of calls, given as a bit for each call: those that ever answered in this
/// session, those that answered now, and those that were refused now by a code that may end the session. One call that is refused may be a
/// whim of the driver; two that answered before, or all of them, are not.
[<CompiledName "HasEndedSession">]
let hasEndedSession (everAnswered: uint32) (answered: uint32) (refused: uint32) : bool =
    BitOperations.PopCount(refused &&& everAnswered) >= 2
    || (refused <> 0u && answered = 0u)

/// True for codes after which the library must be shut down and initialised again: the driver went away or was
/// replaced, or a GPU fell off the bus.
[<CompiledName "MustReopen">]
let mustReopen (code: int) : bool =
    match code with
    | 1
    | 9
    | 15
    | 18 -> true
    | _ -> false

/// True for codes that say that an instance is not there any more, if it answered before. The library goes on giving its handle for as long as it
/// is open.
[<CompiledName "IsGone">]
let isGone (code: int) : bool = code = 2 || code = 6

/// How long to wait before the library is opened again, after so many attempts that did not end the trouble: at once,
/// then 1 s and each time twice as long, at most a minute.
[<CompiledName "ReopenDelay">]
let reopenDelay (attempts: int) : TimeSpan =
    if attempts <= 0 then
        TimeSpan.Zero
    else
        TimeSpan.FromSeconds(float (1 <<< min (attempts - 1) 6) |> min 60.0)

/// What identifies each device from one opening to the next, in their order: its UUID, else where it is plugged in, else its place among the
/// others. What two devices have alike, as boards with one UUID burnt into both, identifies neither.
[<CompiledName "KeysOf">]
let keysOf (identities: Identity[]) : string[] =
    let isOnce (text: Identity -> string) (identity: Identity) =
        text identity <> ""
        && (identities |> Array.filter (fun other -> text other = text identity)).Length = 1

    identities
    |> Array.mapi (fun index identity ->
        if isOnce _.Uuid identity then identity.Uuid
        elif isOnce _.PciBusId identity then identity.PciBusId
        else $"#{index}")

/// Names the devices of a new opening that do not tell who they are: a GPU that fell off the bus is still counted at its
/// place, so it is who was there before, unless that one answers from another place now.
[<CompiledName "Identify">]
let identify (before: Identity[]) (now: Identity[]) : Identity[] =
    let isIn (devices: Identity[]) (device: Identity) =
        devices
        |> Array.exists (fun other ->
            (device.Uuid <> "" && other.Uuid = device.Uuid)
            || (device.PciBusId <> "" && other.PciBusId = device.PciBusId))

    now
    |> Array.mapi (fun index device ->
        if device.Uuid <> "" then
            device
        else
            match
                before
                |> Array.tryFind (fun known -> device.PciBusId <> "" && known.PciBusId = device.PciBusId)
            with
            | Some known -> known
            | None when device.PciBusId = "" && index < before.Length && not (isIn now before[index]) -> before[index]
            | None -> device)

let private failed (code: int) : Call<'value> =
    {
        Code = code
        Value = Unchecked.defaultof<'value>
    }

let private failedField (code: int) : Field =
    {
        Return = code
        ValueType = 0
        Bits = 0UL
    }

/// A device without a handle.
[<CompiledName "Unreachable">]
let unreachable (index: int) (identity: Identity) (code: int) (xid: Xid voption) : Device =
    {
        Index = index
        Handle = code
        Name = { Code = 0; Value = identity.Name }
        Uuid = { Code = 0; Value = identity.Uuid }
        PciBusId = { Code = 0; Value = identity.PciBusId }
        DriverVersion = { Code = 0; Value = "" }
        IsSuspended = false
        Utilization = failed code
        MemoryUtilization = failed code
        MemoryTotal = failed code
        MemoryUsed = failed code
        MemoryFree = failed code
        MemoryReserved = failed code
        Temperature = failed code
        FanSpeed = failed code
        Power = failed code
        EnforcedPowerLimit = failed code
        ManagementPowerLimit = failed code
        ThrottleReasons = failed code
        ClockSm = failed code
        ClockMemory = failed code
        PcieLinkGeneration = failed code
        PcieLinkWidth = failed code
        Energy = failed code
        Encoder = failed code
        Decoder = failed code
        MemoryTemperature = failedField code
        MigMode = failed code
        MigDevices = [||]
        Costly = ValueNone
        Xid = xid
    }

/// A device that the kernel has suspended: nothing was queried, and nothing is wrong.
[<CompiledName "Suspended">]
let suspended (index: int) (identity: Identity) (xid: Xid voption) : Device =
    { unreachable index identity 0 xid with
        IsSuspended = true
    }

/// The text that a call wrote, up to its first zero; none where it is no text at all, but what some driver left in its place.
[<CompiledName "TextIn">]
let textIn (buffer: ReadOnlySpan<byte>) : string voption =
    let text =
        match buffer.IndexOf 0uy with
        | -1 -> buffer
        | length -> buffer.Slice(0, length)

    let mutable isText = System.Text.Unicode.Utf8.IsValid text

    for one in text do
        isText <- isText && one >= ' 'B && one <> 0x7Fuy

    if isText then ValueSome(Text.toString text) else ValueNone

// ---- Processes -------------------------------------------------------------------------------------------------------

/// The byte that a buffer for `processes` is filled with before the call. It ends no number that the driver may write.
[<Literal>]
let Untouched = 0xA5uy

/// The largest entry of any driver, in bytes; a buffer needs as many for each.
[<Literal>]
let LargestProcessEntry = 32

/// Reads the entries that nvmlDeviceGetComputeRunningProcesses wrote into a buffer filled with `Untouched`. An entry has
/// 16 bytes in the first version of the call, 24 in _v2 and _v3; some drivers 535 wrote 32 from _v3, and there are
/// drivers that write 16. So the length of what was written decides, and `expected` only where that is no multiple.
[<CompiledName "Processes">]
let processes (buffer: ReadOnlySpan<byte>) (count: int) (expected: int) : ComputeProcess[] =
    let written = buffer.LastIndexOfAnyExcept Untouched + 1

    let stride =
        if written = 16 * count || written = 24 * count || written = 32 * count then
            max 16 (written / max 1 count)
        else
            expected

    let found = ResizeArray<struct (uint64 * ComputeProcess)>()

    for i in 0 .. min count (buffer.Length / stride) - 1 do
        let entry = buffer.Slice(i * stride, 16)
        let pid = BinaryPrimitives.ReadUInt32LittleEndian entry
        let memory = BinaryPrimitives.ReadUInt64LittleEndian(entry.Slice 8)

        // gpuInstanceId and computeInstanceId, in the entries that have them.
        let instance =
            if stride >= 24 && (i + 1) * stride <= buffer.Length then
                BinaryPrimitives.ReadUInt64LittleEndian(buffer.Slice(i * stride + 16, 8))
            else
                UInt64.MaxValue

        // 0 is nobody: a process that this PID namespace does not have.
        if pid > 0u && pid <= uint32 Int32.MaxValue then
            found.Add
                struct (instance,
                        {
                            Pid = int pid
                            MemoryUsed =
                                if memory = UInt64.MaxValue then
                                    ValueNone
                                else
                                    ValueSome(LanguagePrimitives.UInt64WithMeasure memory)
                            Name = ""
                        })

    ComputeProcess.limited (ComputeProcess.joined (found.ToArray()))

/// Those that compute: what nvmlDeviceGetComputeRunningProcesses gave, and beside it the clients of MPS. Whether the list is known is the first
/// call's to say: most boards have no MPS, and many libraries do not know the second.
[<CompiledName "Computing">]
let computing (processes: Call<ComputeProcess[]>) (clients: Call<ComputeProcess[]>) : Call<ComputeProcess[]> =
    if processes.Code <> 0 || clients.Code <> 0 then
        processes
    else
        { processes with
            Value = ComputeProcess.limited (ComputeProcess.together processes.Value clients.Value)
        }

/// Those that draw and do not compute as well.
[<CompiledName "Drawing">]
let drawing (computing: Call<ComputeProcess[]>) (graphics: Call<ComputeProcess[]>) : Call<ComputeProcess[]> =
    if graphics.Code <> 0 || computing.Code <> 0 then
        graphics
    else
        { graphics with
            Value =
                graphics.Value
                |> Array.filter (fun one -> computing.Value |> Array.forall (fun other -> other.Pid <> one.Pid))
        }

/// The processes with their names, which `nameOf` finds; empty for one that is unknown.
[<CompiledName "Named">]
let named (nameOf: Func<int, string>) (processes: ComputeProcess[]) : ComputeProcess[] =
    processes
    |> Array.map (fun found ->
        { found with
            Name = nameOf.Invoke found.Pid
        })

// ---- From calls to GPUs ----------------------------------------------------------------------------------------------

/// True for codes that say that this board or driver does not have the value, which is no fault.
[<CompiledName "IsAbsence">]
let isAbsence (code: int) : bool =
    match code with
    | 3
    | 13
    | 22
    | 26 -> true
    | _ -> false

/// NVML_ERROR_NOT_SUPPORTED.
[<Literal>]
let private NotSupported = 3

/// NVML_ERROR_NO_PERMISSION.
[<Literal>]
let private NoPermission = 4

/// Collects what failed, device by device.
[<Sealed>]
type private Complaints() =
    let found = ResizeArray<SourceError>()
    let mutable device = 0
    let mutable told = false
    let mutable isForbidden = false

    member _.Found = found.ToArray()

    /// Once: several values may have the one fault.
    member private _.Put(fault: SourceError) =
        if not (found.Contains fault) then
            found.Add fault

    member _.Begin(index: int) =
        device <- index
        told <- false
        isForbidden <- false

    /// The device as a whole.
    member _.Add(code: int) =
        if not told then
            told <- true
            found.Add(SourceError.Unreadable($"{Source} GPU {device}", nameOf code))

    member this.Add(query: string, code: int) =
        // A lost GPU, or one that wants a reset (16), fails every call for the one reason.
        if mustReopen code || code = 16 then
            this.Add code
        elif code = NoPermission then
            // As for the board of a container that was given one MIG instance: one reason for all that it is refused.
            if not isForbidden then
                isForbidden <- true
                found.Add(SourceError.Unreadable($"{Source} GPU {device} {query} (and other queries that are refused)", nameOf code))
        elif not (isAbsence code) then
            found.Add(SourceError.Unreadable($"{Source} GPU {device} {query}", nameOf code))

    /// A value that no board can have.
    member this.Impossible(query: string) =
        this.Put(SourceError.Unreadable($"{Source} GPU {device} {query}", "the driver reports an impossible value"))

let private text (complaints: Complaints) query (call: Call<string>) : string =
    if call.Code = 0 then
        call.Value
    else
        complaints.Add(query, call.Code)
        ""

let private number (complaints: Complaints) query (call: Call<uint32>) : uint32 voption =
    if call.Code = 0 then
        if call.Value = UInt32.MaxValue then
            ValueNone
        else
            ValueSome call.Value
    else
        complaints.Add(query, call.Code)
        ValueNone

let private counter<[<Measure>] 'u> (complaints: Complaints) query (call: Call<uint64>) : uint64<'u> voption =
    if call.Code = 0 then
        if call.Value = UInt64.MaxValue then
            ValueNone
        else
            ValueSome(LanguagePrimitives.UInt64WithMeasure call.Value)
    else
        complaints.Add(query, call.Code)
        ValueNone

/// A plausible value; any other is reported as a fault, and is none.
let private possible (complaints: Complaints) query (isPossible: float<'u> -> bool) (value: float<'u> voption) : float<'u> voption =
    match value with
    | ValueSome known when not (isPossible known) ->
        complaints.Impossible query
        ValueNone
    | other -> other

let private measure<[<Measure>] 'u>
    (complaints: Complaints)
    query
    (isPossible: float<'u> -> bool)
    (call: Call<uint32>)
    : float<'u> voption =
    match number complaints query call with
    | ValueSome value ->
        ValueSome(LanguagePrimitives.FloatWithMeasure(float value))
        |> possible complaints query isPossible
    | ValueNone -> ValueNone

let private whole (complaints: Complaints) query (call: Call<uint32>) : int voption =
    match number complaints query call with
    | ValueSome value when value <= uint32 Int32.MaxValue -> ValueSome(int value)
    | _ -> ValueNone

/// A plausible whole number; any other is reported as a fault, and is none.
let private small (complaints: Complaints) query (isPossible: int -> bool) (call: Call<uint32>) : int voption =
    match number complaints query call with
    | ValueSome value when value > uint32 Int32.MaxValue || not (isPossible (int value)) ->
        complaints.Impossible query
        ValueNone
    | value -> ValueOption.map int value

let private watts (complaints: Complaints) query (call: Call<uint32>) : float<W> voption =
    match number complaints query call with
    | ValueSome value -> ValueSome(wattsOfMilli (LanguagePrimitives.UInt32WithMeasure value))
    | ValueNone -> ValueNone

/// The number in a field value, whatever its type; none for a negative one, for all ones, and where there is no value.
[<CompiledName "NumberOf">]
let numberOf (field: Field) : uint64 voption =
    if field.Return <> 0 then
        ValueNone
    else
        // nvmlValueType_t
        match field.ValueType with
        | 0 ->
            let value = BitConverter.UInt64BitsToDouble field.Bits

            if value >= 0.0 && value < 1.8e19 then
                ValueSome(uint64 value)
            else
                ValueNone
        | 1 when uint32 field.Bits <> UInt32.MaxValue -> ValueSome(uint64 (uint32 field.Bits))
        | 2
        | 3 when field.Bits <> UInt64.MaxValue -> ValueSome field.Bits
        | 4 when int64 field.Bits >= 0L -> ValueSome field.Bits
        | 5 when int32 field.Bits >= 0 -> ValueSome(uint64 (int32 field.Bits))
        | 6 -> ValueSome(uint64 (uint16 field.Bits))
        | _ -> ValueNone

let private fieldNumber (complaints: Complaints) query (field: Field) : uint64 voption =
    if field.Return <> 0 then
        complaints.Add(query, field.Return)

    numberOf field

let private pcieRate (complaints: Complaints) query (call: Call<uint32>) : float<B / s> voption =
    match number complaints query call with
    | ValueSome value ->
        ValueSome(bytesPerSecondOfKib (LanguagePrimitives.UInt32WithMeasure value))
        |> possible complaints query Plausible.pcieRate
    | ValueNone -> ValueNone

let private nvlinkBytes (complaints: Complaints) query (field: Field) : uint64<B> voption =
    match fieldNumber complaints query field with
    | ValueSome value -> ValueSome(bytesOfKib (LanguagePrimitives.UInt64WithMeasure value))
    | ValueNone -> ValueNone

/// What both counters have grown by, over the time that it took.
let private nvlinkRate (costly: Costly) : float<B / s> voption =
    let grown (before: Field) (after: Field) =
        match numberOf before, numberOf after with
        | ValueSome before, ValueSome after when after >= before ->
            ValueSome(bytesOfKib (LanguagePrimitives.UInt64WithMeasure(after - before)))
        | _ -> ValueNone

    match costly.NvlinkBefore with
    | ValueSome before when before.Age > TimeSpan.Zero ->
        match grown before.Received costly.NvlinkReceived, grown before.Sent costly.NvlinkSent with
        | ValueSome received, ValueSome sent -> ValueSome((float received + float sent) * 1.0<B> / (before.Age.TotalSeconds * 1.0<s>))
        | _ -> ValueNone
    | _ -> ValueNone

/// What stands for costly calls that were not made: absence of everything.
let private nothingCostly: Costly =
    {
        EccUncorrected = failed NotSupported
        EccCorrected = failed NotSupported
        EccVolatileUncorrected = failed NotSupported
        EccVolatileCorrected = failed NotSupported
        RemappedRows = failed NotSupported
        PcieReplays = failed NotSupported
        Fields = [||]
        PcieReceived = failed NotSupported
        PcieSent = failed NotSupported
        NvlinkReceived = failedField NotSupported
        NvlinkSent = failedField NotSupported
        NvlinkBefore = ValueNone
        ClockSmMax = failed NotSupported
        PowerLimitMax = failed NotSupported
        Processes = failed NotSupported
        GraphicsProcesses = failed NotSupported
        MigProcesses = [||]
    }

let private xidLast (xid: Xid voption) : int voption =
    match xid with
    | ValueSome events when events.Count > 0UL && events.Last <= uint64 Int32.MaxValue -> ValueSome(int events.Last)
    | _ -> ValueNone

let private xidCount (xid: Xid voption) : uint64 voption =
    match xid with
    | ValueSome events -> ValueSome events.Count
    | ValueNone -> ValueNone

let private processesOf
    (complaints: Complaints)
    query
    (total: uint64<B> voption)
    (call: Call<ComputeProcess[]>)
    : ComputeProcess[] voption =
    if call.Code = 0 then
        let struct (known, hasImpossible) = ComputeProcess.within total call.Value

        if hasImpossible then
            complaints.Impossible $"memory of {query}"

        ValueSome known
    else
        complaints.Add(query, call.Code)
        ValueNone

/// All of the memory. A driver that says 0 does not know: no board has none.
let private memoryTotal (complaints: Complaints) query (call: Call<uint64>) : uint64<B> voption =
    match counter complaints query call with
    | ValueSome total when not (Plausible.memoryTotal total) ->
        complaints.Impossible query
        ValueNone
    | total -> total

/// A part of the memory, which cannot be more than all of it, nor more than the board has. What is said of memory whose total cannot be is no
/// more worth than that.
let private ofMemory
    (complaints: Complaints)
    query
    (board: uint64<B> voption)
    (total: uint64<B> voption)
    (told: Call<uint64>)
    (call: Call<uint64>)
    : uint64<B> voption =
    if told.Code = 0 && told.Value <> UInt64.MaxValue && total.IsNone then
        ValueNone
    else
        match counter complaints query call with
        | ValueSome part when not (Plausible.memoryPart (ValueOption.orElse board total) part) ->
            complaints.Impossible query
            ValueNone
        | part -> part

/// Whether all figures of one answer about memory can be true: nvmlMemory_v2_t of a faulty driver has a free part that went below zero, and is
/// a huge number. Bytes; all ones in `reserved` say that it is not known.
[<CompiledName "IsPossibleMemory">]
let isPossibleMemory (total: uint64) (used: uint64) (free: uint64) (reserved: uint64) : bool =
    Plausible.memoryTotal (LanguagePrimitives.UInt64WithMeasure total)
    && used <= total
    && free <= total
    && (reserved <= total || reserved = UInt64.MaxValue)

let private migDeviceOf (complaints: Complaints) (board: uint64<B> voption) (costly: Costly) (mig: Mig) : MigDevice =
    let total =
        match memoryTotal complaints "MIG memory" mig.MemoryTotal with
        | ValueSome total when not (Plausible.memoryPart board total) ->
            complaints.Impossible "MIG memory"
            ValueNone
        | total -> total

    {
        Index = mig.Index
        Name = text complaints "MIG name" mig.Name
        Uuid = text complaints "MIG UUID" mig.Uuid
        GpuInstance = whole complaints "GPU instance" mig.GpuInstance
        ComputeInstance = whole complaints "compute instance" mig.ComputeInstance
        MemoryTotal = total
        MemoryUsed = ofMemory complaints "MIG memory" board total mig.MemoryTotal mig.MemoryUsed
        MemoryFree = ofMemory complaints "MIG memory" board total mig.MemoryTotal mig.MemoryFree
        ComputeProcesses =
            match
                costly.MigProcesses
                |> Array.tryFind (fun (struct (index, uuid, _)) -> index = mig.Index && uuid = mig.Uuid.Value)
            with
            | Some(struct (_, _, call)) -> processesOf complaints "processes" (ValueOption.orElse board total) call
            | None -> ValueNone
        XidLast = xidLast mig.Xid
        XidCount = xidCount mig.Xid
    }

let private migOf
    (complaints: Complaints)
    (total: uint64<B> voption)
    (costly: Costly)
    (device: Device)
    : struct (MigMode voption * MigDevice[] voption) =
    match number complaints "MIG mode" device.MigMode with
    | ValueNone -> struct (ValueNone, ValueNone)
    | ValueSome 0u -> struct (ValueSome MigMode.Disabled, ValueSome [||])
    | ValueSome _ -> struct (ValueSome MigMode.Enabled, ValueSome(Array.map (migDeviceOf complaints total costly) device.MigDevices))

let private celsius (complaints: Complaints) query (call: Call<int>) : float<degC> voption =
    if call.Code = 0 then
        ValueSome(LanguagePrimitives.FloatWithMeasure(float call.Value))
        |> possible complaints query Plausible.temperature
    else
        complaints.Add(query, call.Code)
        ValueNone

/// Whether nvmlDeviceGetEnforcedPowerLimit gave a limit, so that nvmlDeviceGetPowerManagementLimit need not be asked.
[<CompiledName "IsPowerLimit">]
let isPowerLimit (call: Call<uint32>) : bool =
    call.Code = 0
    && call.Value <> UInt32.MaxValue
    && Plausible.powerLimit (wattsOfMilli (LanguagePrimitives.UInt32WithMeasure call.Value))

let private powerLimitOf (complaints: Complaints) (device: Device) : float<W> voption =
    match watts complaints "enforced power limit" device.EnforcedPowerLimit with
    | ValueSome limit when Plausible.powerLimit limit -> ValueSome limit
    | _ ->
        watts complaints "power limit" device.ManagementPowerLimit
        |> possible complaints "power limit" Plausible.powerLimit

/// What the draw is measured against: the highest limit that the board can be given. The draw of the last second may be far above one that has
/// just been lowered.
let private powerCeiling (limit: float<W> voption) (highest: Call<uint32>) : float<W> voption =
    if isPowerLimit highest then
        let highest = wattsOfMilli (LanguagePrimitives.UInt32WithMeasure highest.Value)
        ValueSome(limit |> ValueOption.fold max highest)
    else
        limit

/// All ones in each place where nothing is known.
let private remappedRows (complaints: Complaints) (call: Call<RemappedRows>) : RemappedRows =
    if call.Code = 0 then
        call.Value
    else
        complaints.Add("remapped rows", call.Code)

        {
            Correctable = UInt32.MaxValue
            Uncorrectable = UInt32.MaxValue
            Pending = UInt32.MaxValue
            Failed = UInt32.MaxValue
        }

let private known (value: uint32) : uint64 voption =
    if value = UInt32.MaxValue then
        ValueNone
    else
        ValueSome(uint64 value)

let private flag (value: uint32) : bool voption =
    if value = UInt32.MaxValue then
        ValueNone
    else
        ValueSome(value <> 0u)

let private countersOf (complaints: Complaints) (rows: RemappedRows) (costly: Costly) : GpuCounters =
    // One call gives all fields, so that they fail for one reason.
    match
        costly.Fields
        |> Array.tryFind (fun field -> field.Return <> 0 && not (isAbsence field.Return))
    with
    | Some field -> complaints.Add("violation times and NVLink errors", field.Return)
    | None -> ()

    // In the order of `costlyFields`.
    let field place =
        if place < costly.Fields.Length then
            numberOf costly.Fields[place]
        else
            ValueNone

    {
        PcieReplays = number complaints "PCIe replays" costly.PcieReplays |> ValueOption.map uint64
        CorrectableRows = known rows.Correctable
        UncorrectableRows = known rows.Uncorrectable
        HasRowFailure = flag rows.Failed
        VolatileCorrected = counter complaints "corrected memory errors since the driver was loaded" costly.EccVolatileCorrected
        VolatileUncorrected = counter complaints "uncorrected memory errors since the driver was loaded" costly.EccVolatileUncorrected
        PowerViolation = field 0
        ThermalViolation = field 1
        SyncBoostViolation = field 2
        BoardLimitViolation = field 3
        LowUtilizationViolation = field 4
        ReliabilityViolation = field 5
        NvlinkFlitErrors = field 6
        NvlinkDataErrors = field 7
        NvlinkReplays = field 8
        NvlinkRecoveries = field 9
        NvlinkRate = nvlinkRate costly
    }

let private gpuOf (complaints: Complaints) (device: Device) : Gpu =
    complaints.Begin device.Index

    if device.IsSuspended || device.Handle <> 0 then
        if device.Handle <> 0 then
            complaints.Add device.Handle

        { Gpu.OfIndex device.Index with
            Name = device.Name.Value
            Uuid = device.Uuid.Value
            PciBusId = device.PciBusId.Value
            IsSuspended = device.IsSuspended
            XidLast = xidLast device.Xid
            XidCount = xidCount device.Xid
        }
    else
        let costly = device.Costly |> ValueOption.defaultValue nothingCostly
        let isIntegrated = device.Name.Code = 0 && GpuName.isIntegrated device.Name.Value
        let isShared = isIntegrated || device.MemoryTotal.Code = NotSupported

        let total =
            if isIntegrated then
                ValueNone
            else
                memoryTotal complaints "total memory" device.MemoryTotal

        let struct (migMode, migDevices) = migOf complaints total costly device
        let powerLimit = powerLimitOf complaints device

        let part query call =
            if isIntegrated then
                ValueNone
            else
                ofMemory complaints query ValueNone total device.MemoryTotal call

        // 0 is no link, and what a GPU on the processor's own bus says of one is made up (GB10: generation 1, one lane).
        let link query isPossible call =
            match small complaints query isPossible call with
            | ValueSome value when value = 0 || isShared -> ValueNone
            | value -> value

        let rows = remappedRows complaints costly.RemappedRows

        // In one piece: a copy of this record is half a kilobyte.
        let gpu =
            {
                Index = device.Index
                Name = text complaints "name" device.Name
                Uuid = text complaints "UUID" device.Uuid
                PciBusId = text complaints "PCI bus id" device.PciBusId
                DriverVersion = text complaints "driver version" device.DriverVersion
                IsSuspended = false
                Utilization = measure complaints "utilization" Plausible.utilization device.Utilization
                MemoryUtilization = measure complaints "memory utilization" Plausible.utilization device.MemoryUtilization
                MemoryTotal = total
                MemoryUsed = part "used memory" device.MemoryUsed
                MemoryFree = part "free memory" device.MemoryFree
                MemoryReserved = part "reserved memory" device.MemoryReserved
                IsMemoryShared = isShared
                Temperature = celsius complaints "temperature" device.Temperature
                FanSpeed = measure complaints "fan speed" Plausible.fan device.FanSpeed
                Power =
                    watts complaints "power" device.Power
                    |> possible complaints "power" (Plausible.power (powerCeiling powerLimit costly.PowerLimitMax))
                PowerLimit = powerLimit
                ThrottleReasons =
                    counter complaints "throttle reasons" device.ThrottleReasons
                    |> ValueOption.map Throttle.reasonsOf
                ClockSm = measure complaints "SM clock" Plausible.smClock device.ClockSm
                ClockSmMax = measure complaints "highest SM clock" Plausible.smClock costly.ClockSmMax
                ClockMemory = measure complaints "memory clock" Plausible.memoryClock device.ClockMemory
                PcieReceived = pcieRate complaints "PCIe throughput received" costly.PcieReceived
                PcieSent = pcieRate complaints "PCIe throughput sent" costly.PcieSent
                PcieLinkGeneration = link "PCIe link generation" Plausible.pcieGeneration device.PcieLinkGeneration
                PcieLinkWidth = link "PCIe link width" Plausible.pcieWidth device.PcieLinkWidth
                EccUncorrected = counter complaints "uncorrected memory errors" costly.EccUncorrected
                EccCorrected = counter complaints "corrected memory errors" costly.EccCorrected
                RemappedRowsPending = flag rows.Pending
                XidLast = xidLast device.Xid
                XidCount = xidCount device.Xid
                Energy = counter complaints "energy" device.Energy
                Encoder = measure complaints "encoder" Plausible.utilization device.Encoder
                Decoder = measure complaints "decoder" Plausible.utilization device.Decoder
                NvlinkReceived = nvlinkBytes complaints "NVLink bytes received" costly.NvlinkReceived
                NvlinkSent = nvlinkBytes complaints "NVLink bytes sent" costly.NvlinkSent
                MemoryTemperature =
                    match fieldNumber complaints "memory temperature" device.MemoryTemperature with
                    | ValueSome value ->
                        // Below zero it comes as a large unsigned number.
                        let signed =
                            if device.MemoryTemperature.ValueType = 1 then
                                float (int32 (uint32 value))
                            else
                                float value

                        ValueSome(LanguagePrimitives.FloatWithMeasure signed)
                        |> possible complaints "memory temperature" Plausible.temperature
                    | ValueNone -> ValueNone
                MigMode = migMode
                ComputeProcesses = processesOf complaints "processes" total costly.Processes
                GraphicsProcesses = processesOf complaints "graphics processes" total costly.GraphicsProcesses
                MigDevices = migDevices
                Counters =
                    if device.Costly.IsNone then
                        GpuCounters.None
                    else
                        countersOf complaints rows costly
            }

        gpu.WithoutUntold

/// Turns the calls of all devices into GPUs. A failing call costs its own field; all ones mean "not available".
[<CompiledName "Interpret">]
let interpret (devices: Device[]) : GpuReading =
    let complaints = Complaints()
    let gpus = Array.map (gpuOf complaints) devices

    {
        Gpus = gpus
        Faults = complaints.Found
    }
