/// Laws of what both readers of GPUs share, and GPUs with everything that a reader may tell beside the contract's fields.
module Agent.PropertyTests.Gpu.GpuLaws

open System
open System.Numerics
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// The GPU as the readers tell it where its driver knows nothing of the board and answers 0 to everything: a die at 0 °C whose clock stands still,
/// without power and without memory. Its zeros say nothing; what else it tells stays.
let withoutZeros (gpu: Gpu) : Gpu =
    let told (value: float<'u> voption) =
        value |> ValueOption.filter (fun value -> float value <> 0.0)

    match gpu.Temperature, gpu.ClockSm, told gpu.Power, gpu.MemoryTotal with
    | ValueSome 0.0<degC>, ValueSome 0.0<MHz>, ValueNone, ValueNone ->
        { gpu with
            Utilization = told gpu.Utilization
            MemoryUtilization = told gpu.MemoryUtilization
            Temperature = ValueNone
            FanSpeed = told gpu.FanSpeed
            Power = ValueNone
            ClockSm = ValueNone
            ClockSmMax = told gpu.ClockSmMax
            ClockMemory = told gpu.ClockMemory
            Energy = gpu.Energy |> ValueOption.filter (fun energy -> energy > 0UL<mJ>)
            Encoder = told gpu.Encoder
            Decoder = told gpu.Decoder
            MemoryTemperature = told gpu.MemoryTemperature
        }
    | _ -> gpu

let private quantity<[<Measure>] 'u> : Gen<uint64<'u> voption> =
    maybe (Gen.map LanguagePrimitives.UInt64WithMeasure<'u> counter)

let private measure<[<Measure>] 'u> most : Gen<float<'u> voption> =
    maybe (Gen.choose (0, most))
    |> Gen.map (ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure<'u>(float n)))

let private number = maybe (Gen.choose (0, 99))

let private computeProcess: Gen<ComputeProcess> =
    gen {
        let! pid = Gen.choose (1, 99)
        let! memory = Gen.oneof [ quantity; Gen.elements [ ValueSome 5UL<B>; ValueNone ] ]
        let! name = Gen.oneof [ Gen.constant ""; word; anyText; Gen.map (String.replicate 20) word ]

        return
            {
                Pid = pid
                MemoryUsed = memory
                Name = name
            }
    }

/// Lists of processes, at times longer than a sample carries.
let private processes = upTo 48 computeProcess

let private migDevice: Gen<MigDevice> =
    gen {
        let! index = Gen.choose (0, 6)
        let! name = phrase
        let! uuid = word
        let! gpuInstance = number
        let! computeInstance = number
        let! total = quantity
        let! used = quantity
        let! processes = maybe processes
        let! xid = number
        let! xids = quantity

        return
            {
                Index = index
                Name = name
                Uuid = uuid
                GpuInstance = gpuInstance
                ComputeInstance = computeInstance
                MemoryTotal = total
                MemoryUsed = used
                MemoryFree = ValueNone
                ComputeProcesses = processes
                XidLast = xid
                XidCount = xids
            }
    }

/// Masks of the throttle reasons: mostly the bits that have a name, at times any.
let private mask: Gen<uint64> =
    Gen.frequency [ 4, Gen.choose (0, 0x1FF) |> Gen.map uint64; 1, anyUInt64 ]

/// The GPU with everything beside the contract's fields, each known or not.
let withMore (gpu: Gpu) : Gen<Gpu> =
    gen {
        let! bus = Gen.elements [ ""; "00000000:65:00.0" ]
        let! isSuspended = Gen.elements [ false; false; true ]
        let! free = quantity
        let! reserved = quantity
        let! reasons = maybe (Gen.map Throttle.reasonsOf mask)
        let! clockSm = measure 3000
        let! clockMemory = measure 9000
        let! received = measure 2_000_000_000
        let! sent = measure 2_000_000_000
        let! generation = number
        let! width = number
        let! uncorrected = quantity
        let! corrected = quantity
        let! pending = maybe (Gen.elements [ true; false ])
        let! xid = number
        let! xids = quantity
        let! energy = quantity
        let! encoder = measure 120
        let! decoder = measure 120
        let! nvlinkReceived = quantity
        let! nvlinkSent = quantity
        let! memoryTemperature = measure 110
        let! mig = maybe (Gen.elements [ MigMode.Enabled; MigMode.Disabled ])
        let! processes = maybe processes
        let! migDevices = maybe (upTo 7 migDevice)

        return
            { gpu with
                PciBusId = bus
                IsSuspended = isSuspended
                MemoryFree = free
                MemoryReserved = reserved
                ThrottleReasons = reasons
                ClockSm = clockSm
                ClockMemory = clockMemory
                PcieReceived = received
                PcieSent = sent
                PcieLinkGeneration = generation
                PcieLinkWidth = width
                EccUncorrected = uncorrected
                EccCorrected = corrected
                RemappedRowsPending = pending
                XidLast = xid
                XidCount = xids
                Energy = energy
                Encoder = encoder
                Decoder = decoder
                NvlinkReceived = nvlinkReceived
                NvlinkSent = nvlinkSent
                MemoryTemperature = memoryTemperature
                MigMode = mig
                ComputeProcesses = processes
                MigDevices = migDevices
            }
    }

let private memoryOf (p: ComputeProcess) =
    match p.MemoryUsed with
    | ValueSome bytes -> bigint (uint64 bytes)
    | ValueNone -> -1I

let tests =
    testList
        "Gpu"
        [
            law "every bit of a throttle mask gives one reason, and no two bits the same" mask (fun mask ->
                let reasons = Throttle.reasonsOf mask

                reasons.Length = BitOperations.PopCount mask && Array.distinct reasons = reasons)
            law "the reasons of a mask give the mask again, in any order" mask (fun mask ->
                let reasons = Throttle.reasonsOf mask

                Throttle.maskOf reasons = mask && Throttle.maskOf (Array.rev reasons) = mask)
            law "the reasons of two masks without a common bit are those of both" (Gen.zip mask mask) (fun (one, other) ->
                let other = other &&& ~~~one

                same
                    (Set.ofArray (Throttle.reasonsOf (one ||| other)))
                    (Set.ofArray (Array.append (Throttle.reasonsOf one) (Throttle.reasonsOf other))))
            law "the processes that are kept are the 32 with the most memory, most first" processes (fun all ->
                let kept = ComputeProcess.limited all

                noneOf
                    [
                        if kept.Length <> min 32 all.Length then
                            $"{kept.Length} of {all.Length}"
                        if
                            kept
                            |> Array.pairwise
                            |> Array.exists (fun (one, next) -> memoryOf one < memoryOf next)
                        then
                            "not in order"
                        if
                            Array.sort (Array.map memoryOf kept)
                            <> (Array.map memoryOf all
                                |> Array.sort
                                |> Array.rev
                                |> Array.truncate 32
                                |> Array.sort)
                        then
                            "not those with the most memory"
                    ])
            law "processes that are in order already are not copied" processes (fun all ->
                let kept = ComputeProcess.limited all
                Object.ReferenceEquals(kept, ComputeProcess.limited kept))
        ]
