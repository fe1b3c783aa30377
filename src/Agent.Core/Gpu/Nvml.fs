/// NVML's integers as they come from the library, and what they mean.
/// See the NVML API reference; struct layouts and codes stand in docs/sources.md.
[<RequireQualifiedAccess>]
module Agent.Core.Gpu.Nvml

open System
open Agent.Core
open Agent.Core.Units

/// What errors call the library.
[<Literal>]
let Source = "libnvidia-ml"

/// What one call gave: its return code, and its value if that code is 0.
[<Struct>]
type Call<'value> =
    {
        /// nvmlReturn_t.
        Code: int
        /// Meaningful only with code 0.
        Value: 'value
    }

/// What the calls for one device gave.
type Device =
    {
        /// The index that the handle was asked for with.
        Index: int
        /// nvmlDeviceGetName.
        Name: Call<string>
        /// nvmlDeviceGetUUID.
        Uuid: Call<string>
        /// nvmlUtilization_t.gpu, per cent.
        Utilization: Call<uint32>
        /// nvmlUtilization_t.memory, per cent.
        MemoryUtilization: Call<uint32>
        /// nvmlMemory_t.total or nvmlMemory_v2_t.total, bytes.
        MemoryTotal: Call<uint64>
        /// nvmlMemory_t.used or nvmlMemory_v2_t.used, bytes.
        MemoryUsed: Call<uint64>
        /// nvmlDeviceGetTemperature of the GPU sensor, degrees Celsius.
        Temperature: Call<uint32>
        /// nvmlDeviceGetFanSpeed, per cent.
        FanSpeed: Call<uint32>
        /// nvmlDeviceGetPowerUsage, milliwatts.
        Power: Call<uint32>
        /// nvmlDeviceGetEnforcedPowerLimit, milliwatts.
        EnforcedPowerLimit: Call<uint32>
        /// nvmlDeviceGetPowerManagementLimit, milliwatts.
        ManagementPowerLimit: Call<uint32>
    }

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
    | 9 -> "DRIVER_NOT_LOADED"
    | 10 -> "TIMEOUT"
    | 12 -> "LIBRARY_NOT_FOUND"
    | 13 -> "FUNCTION_NOT_FOUND"
    | 15 -> "GPU_IS_LOST"
    | 16 -> "RESET_REQUIRED"
    | 18 -> "LIB_RM_VERSION_MISMATCH"
    | 25 -> "ARGUMENT_VERSION_MISMATCH"
    | 999 -> "UNKNOWN"
    | other -> $"error {other}"

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

/// True for codes that say that this board or driver does not have the value, which is no fault.
let private isAbsence (code: int) = code = 3 || code = 13

/// Turns the calls of all devices into GPUs. A failing call costs its own field; all ones mean "not available".
[<CompiledName "Interpret">]
let interpret (devices: Device[]) : GpuReading =
    let faults = ResizeArray<SourceError>()

    let valueOf index (query: string) (call: Call<'value>) (isSentinel: 'value -> bool) : 'value voption =
        if call.Code = 0 then
            if isSentinel call.Value then
                ValueNone
            else
                ValueSome call.Value
        else
            if not (isAbsence call.Code) then
                faults.Add(SourceError.Unreadable($"{Source} GPU {index} {query}", nameOf call.Code))

            ValueNone

    let gpuOf (device: Device) =
        let number query call =
            valueOf device.Index query call (fun value -> value = UInt32.MaxValue)

        let bytes query call =
            valueOf device.Index query call (fun value -> value = UInt64.MaxValue)
            |> ValueOption.map LanguagePrimitives.UInt64WithMeasure<B>

        let text query call =
            valueOf device.Index query call (fun _ -> false) |> ValueOption.defaultValue ""

        let percent query call =
            number query call
            |> ValueOption.map (fun value -> LanguagePrimitives.FloatWithMeasure<percent>(float value))

        let watts query call =
            number query call
            |> ValueOption.map (fun value -> wattsOfMilli (LanguagePrimitives.UInt32WithMeasure value))

        { Gpu.OfIndex device.Index with
            Name = text "name" device.Name
            Uuid = text "UUID" device.Uuid
            Utilization = percent "utilization" device.Utilization
            MemoryUtilization = percent "memory utilization" device.MemoryUtilization
            MemoryTotal = bytes "total memory" device.MemoryTotal
            MemoryUsed = bytes "used memory" device.MemoryUsed
            Temperature =
                number "temperature" device.Temperature
                |> ValueOption.map (fun value -> LanguagePrimitives.FloatWithMeasure<degC>(float value))
            FanSpeed = percent "fan speed" device.FanSpeed
            Power = watts "power" device.Power
            PowerLimit =
                match watts "enforced power limit" device.EnforcedPowerLimit with
                | ValueSome limit -> ValueSome limit
                | ValueNone -> watts "power limit" device.ManagementPowerLimit
        }

    let gpus = Array.map gpuOf devices

    {
        Gpus = gpus
        Faults = faults.ToArray()
    }
