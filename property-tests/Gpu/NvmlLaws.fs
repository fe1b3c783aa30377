/// Laws of NVML's integers.
module Agent.PropertyTests.Gpu.NvmlLaws

open System
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private call (values: Gen<'a>) : Gen<Nvml.Call<'a>> =
    Gen.zip (Gen.frequency [ 3, Gen.constant 0; 1, Gen.elements [ 1; 3; 4; 13; 15; 16; 999; -7 ] ]) values
    |> Gen.map (fun (code, value) -> ({ Code = code; Value = value }: Nvml.Call<'a>))

let private number =
    Gen.frequency
        [
            4, Gen.choose (0, 700_000) |> Gen.map uint32
            1, Gen.elements [ 0u; UInt32.MaxValue - 1u; UInt32.MaxValue ]
        ]

let private device index : Gen<Nvml.Device> =
    gen {
        let! name = call anyText
        let! uuid = call word
        let! utilization = call number
        let! memoryUtilization = call number
        let! total = call counter
        let! used = call counter
        let! temperature = call number
        let! fan = call number
        let! power = call number
        let! enforced = call number
        let! management = call number

        return
            {
                Index = index
                Name = name
                Uuid = uuid
                Utilization = utilization
                MemoryUtilization = memoryUtilization
                MemoryTotal = total
                MemoryUsed = used
                Temperature = temperature
                FanSpeed = fan
                Power = power
                EnforcedPowerLimit = enforced
                ManagementPowerLimit = management
            }
    }

let private devices =
    upTo 3 (Gen.constant ())
    |> Gen.bind (fun found -> Gen.collectToArray device [| 0 .. found.Length - 1 |])

/// GPUs that the library may tell.
let gpus: Gen<Gpu[]> = devices |> Gen.map (fun devices -> (Nvml.interpret devices).Gpus)

/// The value of a call that succeeded and is not all ones.
let private valueOf (sentinel: 'a) (call: Nvml.Call<'a>) =
    if call.Code = 0 && call.Value <> sentinel then
        ValueSome call.Value
    else
        ValueNone

let private whole<[<Measure>] 'u> (call: Nvml.Call<uint32>) : float<'u> voption =
    valueOf UInt32.MaxValue call
    |> ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure<'u>(float n))

let private expected (device: Nvml.Device) : Gpu =
    let watts call : float<W> voption =
        valueOf UInt32.MaxValue call
        |> ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure(float n / 1000.0))

    let bytes call : uint64<B> voption =
        valueOf UInt64.MaxValue call
        |> ValueOption.map LanguagePrimitives.UInt64WithMeasure

    let text (call: Nvml.Call<string>) =
        if call.Code = 0 then call.Value else ""

    { Gpu.OfIndex device.Index with
        Name = text device.Name
        Uuid = text device.Uuid
        Utilization = whole device.Utilization
        MemoryUtilization = whole device.MemoryUtilization
        MemoryTotal = bytes device.MemoryTotal
        MemoryUsed = bytes device.MemoryUsed
        Temperature = whole device.Temperature
        FanSpeed = whole device.FanSpeed
        Power = watts device.Power
        PowerLimit =
            watts device.EnforcedPowerLimit
            |> ValueOption.orElse (watts device.ManagementPowerLimit)
    }

let tests =
    testList
        "Gpu.Nvml"
        [
            law "a value is known exactly when its call succeeded and it is not all ones" devices (fun devices ->
                same (Nvml.interpret devices).Gpus (Array.map expected devices))
            law "faults are located, and what the board does not have is none" devices (fun devices ->
                let faults = (Nvml.interpret devices).Faults

                ParserLaws.areLocated faults
                && not (faults |> Array.exists (fun fault -> (string fault).Contains "NOT_SUPPORTED")))
        ]
