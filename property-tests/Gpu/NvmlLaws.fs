/// Laws of NVML's integers.
module Agent.PropertyTests.Gpu.NvmlLaws

open System
open Agent.Core.Gpu
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Gpu.GpuLaws
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

let private field: Gen<Nvml.Field> =
    gen {
        let! code = Gen.frequency [ 3, Gen.constant 0; 1, Gen.elements [ 3; 13; 15; 999 ] ]
        let! kind = Gen.choose (-1, 8)

        let! bits =
            Gen.frequency
                [
                    3, counter
                    1, Gen.elements [ UInt64.MaxValue; 0x4048000000000000UL; uint64 UInt32.MaxValue ]
                ]

        return
            {
                Return = code
                ValueType = kind
                Bits = bits
            }
    }

let private process': Gen<ComputeProcess> =
    gen {
        let! pid = Gen.choose (0, Int32.MaxValue)
        let! memory = counter
        let! name = word
        // Ten exabytes and more are as good as any, but for those that end in the byte that marks what is not written.
        let memory =
            if memory >>> 56 = uint64 Nvml.Untouched then
                0UL
            else
                memory

        return
            {
                Pid = pid
                MemoryUsed = ValueSome(LanguagePrimitives.UInt64WithMeasure memory)
                Name = name
            }
    }

let private costly: Gen<Nvml.Costly> =
    gen {
        let! uncorrected = call counter
        let! corrected = call counter
        let! volatileUncorrected = call counter
        let! volatileCorrected = call counter

        let! rows =
            Gen.arrayOfLength 4 number
            |> Gen.map (fun n ->
                {
                    Correctable = n[0]
                    Uncorrectable = n[1]
                    Pending = n[2]
                    Failed = n[3]
                }
                : Nvml.RemappedRows)
            |> call

        let! replays = call number
        let! fields = Gen.arrayOfLength Nvml.costlyFields.Length field
        let! received = call number
        let! sent = call number
        let! nvlinkReceived = field
        let! nvlinkSent = field
        let! age = Gen.elements [ -1.0; 0.0; 0.5; 5.0 ]
        let! receivedBefore = field
        let! sentBefore = field

        let! before =
            Gen.elements
                [
                    ValueNone
                    ValueSome(
                        {
                            Received = receivedBefore
                            Sent = sentBefore
                            Age = TimeSpan.FromSeconds age
                        }
                        : Nvml.NvlinkBefore
                    )
                ]

        let! clockSmMax = call number
        let! powerLimitMax = call number
        let! graphics = call (upTo 2 process')
        let! processes = call (upTo 3 process')
        let! ofInstance = call (upTo 3 process')

        return
            {
                EccUncorrected = uncorrected
                EccCorrected = corrected
                EccVolatileUncorrected = volatileUncorrected
                EccVolatileCorrected = volatileCorrected
                RemappedRows = rows
                PcieReplays = replays
                Fields = fields
                PcieReceived = received
                PcieSent = sent
                NvlinkReceived = nvlinkReceived
                NvlinkSent = nvlinkSent
                NvlinkBefore = before
                ClockSmMax = clockSmMax
                PowerLimitMax = powerLimitMax
                GraphicsProcesses =
                    { graphics with
                        Value = ComputeProcess.limited (Array.ofSeq graphics.Value)
                    }
                Processes =
                    { processes with
                        Value = ComputeProcess.limited (Array.ofSeq processes.Value)
                    }
                MigProcesses =
                    [|
                        struct (0,
                                "",
                                { ofInstance with
                                    Value = ComputeProcess.limited (Array.ofSeq ofInstance.Value)
                                })
                    |]
            }
    }

let private xid: Gen<Nvml.Xid> =
    Gen.zip (Gen.choose (0, 200)) (Gen.choose (0, 3))
    |> Gen.map (fun (last, count) ->
        {
            Last = uint64 last
            Count = uint64 count
        })

let private optional (values: Gen<'a>) : Gen<'a voption> =
    Gen.frequency [ 1, Gen.constant ValueNone; 3, Gen.map ValueSome values ]

let private mig index : Gen<Nvml.Mig> =
    gen {
        let! xid = optional xid
        let! name = call anyText
        let! uuid = call word
        let! gpuInstance = call number
        let! computeInstance = call number
        let! total = call counter
        let! used = call counter
        let! free = call counter

        return
            {
                Index = index
                Name = name
                Uuid = uuid
                GpuInstance = gpuInstance
                ComputeInstance = computeInstance
                MemoryTotal = total
                MemoryUsed = used
                MemoryFree = free
                Xid = xid
            }
    }

let private device index : Gen<Nvml.Device> =
    gen {
        let! handle = Gen.frequency [ 9, Gen.constant 0; 1, Gen.elements [ 4; 15; 999 ] ]
        let! name = call anyText
        let! uuid = call word
        let! utilization = call number
        let! memoryUtilization = call number
        let! total = call counter
        let! used = call counter
        let! bus = call word
        let! driver = call word
        let! isSuspended = Gen.frequency [ 9, Gen.constant false; 1, Gen.constant true ]
        let! free = call counter
        let! reserved = call counter

        let! temperature =
            call (Gen.frequency [ 5, Gen.choose (-60, 130); 1, Gen.choose (Int32.MinValue, Int32.MaxValue) ])

        let! fan = call number
        let! power = call number
        let! enforced = call number
        let! management = call number
        let! throttle = call counter
        let! clockSm = call number
        let! clockMemory = call number
        let! generation = call number
        let! width = call number
        let! energy = call counter
        let! encoder = call number
        let! decoder = call number
        let! memoryTemperature = field
        let! migMode = call (Gen.elements [ 0u; 1u ])
        let! migs = upTo 2 (Gen.constant ())
        let! migDevices = Gen.collectToArray mig [| 0 .. Seq.length migs - 1 |]
        let! costly = optional costly
        let! xid = optional xid

        return
            {
                Index = index
                Handle = handle
                Name = name
                Uuid = uuid
                PciBusId = bus
                DriverVersion = driver
                IsSuspended = isSuspended
                Utilization = utilization
                MemoryUtilization = memoryUtilization
                MemoryTotal = total
                MemoryUsed = used
                MemoryFree = free
                MemoryReserved = reserved
                Temperature = temperature
                FanSpeed = fan
                Power = power
                EnforcedPowerLimit = enforced
                ManagementPowerLimit = management
                ThrottleReasons = throttle
                ClockSm = clockSm
                ClockMemory = clockMemory
                PcieLinkGeneration = generation
                PcieLinkWidth = width
                Energy = energy
                Encoder = encoder
                Decoder = decoder
                MemoryTemperature = memoryTemperature
                MigMode = migMode
                MigDevices = migDevices
                Costly = costly
                Xid = xid
            }
    }

/// A board of which its driver knows nothing, but for what it says beside the zeros.
let private unknownDevice index : Gen<Nvml.Device> =
    gen {
        let! device = device index
        let! power = Gen.elements [ 0; 3 ]
        let zero: Nvml.Call<uint32> = { Code = 0; Value = 0u }

        let! utilization = Gen.elements [ zero; device.Utilization ]
        let! energy = Gen.elements [ { device.Energy with Value = 0UL }; device.Energy ]

        return
            { device with
                Utilization = utilization
                MemoryTotal = { device.MemoryTotal with Code = 3 }
                Temperature = { Code = 0; Value = 0 }
                FanSpeed = zero
                Power = { Code = power; Value = 0u }
                ClockSm = zero
                ClockMemory = zero
                Energy = energy
            }
    }

let private devices =
    upTo 3 (Gen.constant ())
    |> Gen.bind (fun found ->
        [| 0 .. found.Length - 1 |]
        |> Gen.collectToArray (fun index -> Gen.frequency [ 9, device index; 1, unknownDevice index ]))

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

/// The whole number in a field value of any type of nvml.h; none for what is negative, all ones or no number.
let private fieldOf (field: Nvml.Field) : uint64 voption =
    let bits = field.Bits

    let known =
        match field.ValueType with
        | 0 ->
            BitConverter.UInt64BitsToDouble bits >= 0.0
            && BitConverter.UInt64BitsToDouble bits < 1.8e19
        | 1 -> bits % 4294967296UL <> 4294967295UL
        | 2
        | 3 -> bits <> UInt64.MaxValue
        | 4 -> bits < 9223372036854775808UL
        | 5 -> bits % 4294967296UL < 2147483648UL
        | 6 -> true
        | _ -> false

    if field.Return <> 0 || not known then
        ValueNone
    else
        match field.ValueType with
        | 0 -> ValueSome(uint64 (BitConverter.UInt64BitsToDouble bits))
        | 1
        | 5 -> ValueSome(bits % 4294967296UL)
        | 6 -> ValueSome(bits % 65536UL)
        | _ -> ValueSome bits

let private small (call: Nvml.Call<uint32>) : int voption =
    match valueOf UInt32.MaxValue call with
    | ValueSome n when n < 2147483648u -> ValueSome(int n)
    | _ -> ValueNone

let private amount<[<Measure>] 'u> (call: Nvml.Call<uint64>) : uint64<'u> voption =
    valueOf UInt64.MaxValue call
    |> ValueOption.map LanguagePrimitives.UInt64WithMeasure

/// Sixteen tebibytes: no board has more.
let private mostMemory = 17592186044416UL<B>

/// All of the memory: a driver that says 0 does not know.
let private total (call: Nvml.Call<uint64>) : uint64<B> voption =
    amount call
    |> ValueOption.filter (fun total -> total > 0UL<B> && total <= mostMemory)

/// A part of the memory, no more than the whole; nothing is known of it where the total cannot be.
let private part
    (board: uint64<B> voption)
    (whole: uint64<B> voption)
    (all: Nvml.Call<uint64>)
    (call: Nvml.Call<uint64>)
    : uint64<B> voption =
    if (amount all: uint64<B> voption).IsSome && whole.IsNone then
        ValueNone
    else
        amount call
        |> ValueOption.filter (fun part -> part <= ValueOption.defaultValue mostMemory (ValueOption.orElse board whole))

/// The processes without memory that there cannot be on so much.
let private within (whole: uint64<B> voption) (call: Nvml.Call<ComputeProcess[]>) : ComputeProcess[] voption =
    if call.Code <> 0 then
        ValueNone
    else
        call.Value
        |> Array.map (fun one ->
            { one with
                MemoryUsed =
                    one.MemoryUsed
                    |> ValueOption.filter (fun memory -> memory <= ValueOption.defaultValue mostMemory whole)
            })
        |> ComputeProcess.limited
        |> ValueSome

let private upToAll most (value: int voption) : int voption =
    value |> ValueOption.filter (fun value -> value <= most)

let private text (call: Nvml.Call<string>) =
    if call.Code = 0 then call.Value else ""

let private lastOf (xid: Nvml.Xid voption) =
    match xid with
    | ValueSome xid when xid.Count > 0UL -> ValueSome(int xid.Last)
    | _ -> ValueNone

let private expectedMig (board: uint64<B> voption) (costly: Nvml.Costly voption) (mig: Nvml.Mig) : MigDevice =
    let whole =
        total mig.MemoryTotal
        |> ValueOption.filter (fun total -> total <= ValueOption.defaultValue mostMemory board)

    {
        Index = mig.Index
        Name = text mig.Name
        Uuid = text mig.Uuid
        GpuInstance = small mig.GpuInstance
        ComputeInstance = small mig.ComputeInstance
        MemoryTotal = whole
        MemoryUsed = part board whole mig.MemoryTotal mig.MemoryUsed
        MemoryFree = part board whole mig.MemoryTotal mig.MemoryFree
        ComputeProcesses =
            match costly with
            // Of another instance that has its index now nothing is known.
            | ValueSome costly when mig.Index = 0 && mig.Uuid.Value = "" ->
                let struct (_, _, found) = costly.MigProcesses[0]
                within (ValueOption.orElse board whole) found
            | _ -> ValueNone
        XidLast = lastOf mig.Xid
        XidCount = mig.Xid |> ValueOption.map _.Count
    }

let private between<[<Measure>] 'u> (least: float) (most: float) (value: float<'u> voption) : float<'u> voption =
    value
    |> ValueOption.filter (fun value -> float value >= least && float value <= most)

/// What the costly calls add, which may not have been made.
let private withCostly (costly: Nvml.Costly voption) (gpu: Gpu) : Gpu =
    let rate call : float<B / s> voption =
        valueOf UInt32.MaxValue call
        |> ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure(float n * 1024.0))
        |> between 0.0 1e12

    let kibibytes field : uint64<B> voption =
        fieldOf field
        |> ValueOption.map (fun n ->
            let exact = bigint n * 1024I
            LanguagePrimitives.UInt64WithMeasure(uint64 (min exact (bigint UInt64.MaxValue))))

    let row (one: Nvml.RemappedRows -> uint32) (costly: Nvml.Costly) =
        if costly.RemappedRows.Code = 0 && one costly.RemappedRows.Value <> UInt32.MaxValue then
            ValueSome(one costly.RemappedRows.Value)
        else
            ValueNone

    match costly with
    | ValueNone -> gpu
    | ValueSome costly ->
        { gpu with
            Counters =
                {
                    PcieReplays = valueOf UInt32.MaxValue costly.PcieReplays |> ValueOption.map uint64
                    CorrectableRows = row _.Correctable costly |> ValueOption.map uint64
                    UncorrectableRows = row _.Uncorrectable costly |> ValueOption.map uint64
                    HasRowFailure = row _.Failed costly |> ValueOption.map ((<>) 0u)
                    VolatileCorrected = valueOf UInt64.MaxValue costly.EccVolatileCorrected
                    VolatileUncorrected = valueOf UInt64.MaxValue costly.EccVolatileUncorrected
                    PowerViolation = fieldOf costly.Fields[0]
                    ThermalViolation = fieldOf costly.Fields[1]
                    SyncBoostViolation = fieldOf costly.Fields[2]
                    BoardLimitViolation = fieldOf costly.Fields[3]
                    LowUtilizationViolation = fieldOf costly.Fields[4]
                    ReliabilityViolation = fieldOf costly.Fields[5]
                    NvlinkFlitErrors = fieldOf costly.Fields[6]
                    NvlinkDataErrors = fieldOf costly.Fields[7]
                    NvlinkReplays = fieldOf costly.Fields[8]
                    NvlinkRecoveries = fieldOf costly.Fields[9]
                    NvlinkRate =
                        match costly.NvlinkBefore with
                        | ValueSome before when before.Age > TimeSpan.Zero ->
                            match
                                fieldOf before.Received, fieldOf costly.NvlinkReceived, fieldOf before.Sent, fieldOf costly.NvlinkSent
                            with
                            | ValueSome received, ValueSome receivedNow, ValueSome sent, ValueSome sentNow when
                                receivedNow >= received && sentNow >= sent
                                ->
                                let most (kibibytes: uint64) =
                                    float (uint64 (min (bigint kibibytes * 1024I) (bigint UInt64.MaxValue)))

                                let bytes = most (receivedNow - received) + most (sentNow - sent)
                                ValueSome(LanguagePrimitives.FloatWithMeasure(bytes / before.Age.TotalSeconds))
                            | _ -> ValueNone
                        | _ -> ValueNone
                }
            EccUncorrected = valueOf UInt64.MaxValue costly.EccUncorrected
            EccCorrected = valueOf UInt64.MaxValue costly.EccCorrected
            RemappedRowsPending = row _.Pending costly |> ValueOption.map ((<>) 0u)
            PcieReceived = rate costly.PcieReceived
            PcieSent = rate costly.PcieSent
            NvlinkReceived = kibibytes costly.NvlinkReceived
            NvlinkSent = kibibytes costly.NvlinkSent
            ClockSmMax = whole costly.ClockSmMax |> between 0.0 5000.0
            GraphicsProcesses = within gpu.MemoryTotal costly.GraphicsProcesses
            ComputeProcesses = within gpu.MemoryTotal costly.Processes
        }

let private withXid (xid: Nvml.Xid voption) (gpu: Gpu) : Gpu =
    match xid with
    | ValueNone -> gpu
    | ValueSome xid ->
        { gpu with
            XidCount = ValueSome xid.Count
            XidLast =
                if xid.Count = 0UL then
                    ValueNone
                else
                    lastOf (ValueSome xid)
        }

/// A link of 0 is none, and a GPU on the processor's own bus has none.
let private linkOf (device: Nvml.Device) (told: int voption) : int voption =
    if device.MemoryTotal.Code = 3 || told = ValueSome 0 then
        ValueNone
    else
        told

let private expected (device: Nvml.Device) : Gpu =
    let watts call : float<W> voption =
        valueOf UInt32.MaxValue call
        |> ValueOption.map (fun n -> LanguagePrimitives.FloatWithMeasure(float n / 1000.0))

    let known = Gpu.OfIndex device.Index |> withXid device.Xid
    let whole' = total device.MemoryTotal

    let limit =
        watts device.EnforcedPowerLimit
        |> between 0.001 5000.0
        |> ValueOption.orElse (watts device.ManagementPowerLimit |> between 0.001 5000.0)

    let ceiling =
        device.Costly
        |> ValueOption.bind (fun costly -> watts costly.PowerLimitMax)
        |> between 0.001 5000.0
        |> ValueOption.map (fun highest -> limit |> ValueOption.fold max highest)
        |> ValueOption.orElse limit

    if device.Handle <> 0 || device.IsSuspended then
        { known with
            Name = device.Name.Value
            Uuid = device.Uuid.Value
            PciBusId = device.PciBusId.Value
            IsSuspended = device.IsSuspended
        }
    else
        { known with
            Name = text device.Name
            Uuid = text device.Uuid
            PciBusId = text device.PciBusId
            DriverVersion = text device.DriverVersion
            Utilization = whole device.Utilization |> between 0.0 100.0
            MemoryUtilization = whole device.MemoryUtilization |> between 0.0 100.0
            MemoryTotal = whole'
            MemoryUsed = part ValueNone whole' device.MemoryTotal device.MemoryUsed
            MemoryFree = part ValueNone whole' device.MemoryTotal device.MemoryFree
            MemoryReserved = part ValueNone whole' device.MemoryTotal device.MemoryReserved
            IsMemoryShared = (device.MemoryTotal.Code = 3)
            Temperature =
                (if device.Temperature.Code = 0 then
                     ValueSome(LanguagePrimitives.FloatWithMeasure<degC>(float device.Temperature.Value))
                 else
                     ValueNone)
                |> between -50.0 125.0
            FanSpeed = whole device.FanSpeed |> between 0.0 200.0
            Power =
                watts device.Power
                |> between
                    0.0
                    (match ceiling with
                     | ValueSome ceiling -> min 5000.0 (2.0 * float ceiling)
                     | ValueNone -> 5000.0)
            PowerLimit = limit
            ThrottleReasons =
                valueOf UInt64.MaxValue device.ThrottleReasons
                |> ValueOption.map Throttle.reasonsOf
            ClockSm = whole device.ClockSm |> between 0.0 5000.0
            ClockMemory = whole device.ClockMemory |> between 0.0 40000.0
            PcieLinkGeneration = small device.PcieLinkGeneration |> upToAll 16 |> linkOf device
            PcieLinkWidth = small device.PcieLinkWidth |> upToAll 32 |> linkOf device
            Energy = amount device.Energy
            Encoder = whole device.Encoder |> between 0.0 100.0
            Decoder = whole device.Decoder |> between 0.0 100.0
            MemoryTemperature =
                fieldOf device.MemoryTemperature
                |> ValueOption.map (fun n ->
                    // An unsigned int that is a signed one in truth.
                    let value =
                        if device.MemoryTemperature.ValueType = 1 && n >= 2147483648UL then
                            float n - 4294967296.0
                        else
                            float n

                    LanguagePrimitives.FloatWithMeasure value)
                |> between -50.0 125.0
                |> ValueOption.bind (fun value ->
                    // No sensor beside a warm die.
                    if
                        value = 0.0<degC>
                        && device.Temperature.Code = 0
                        && device.Temperature.Value > 20
                        && device.Temperature.Value <= 125
                    then
                        ValueNone
                    else
                        ValueSome value)
            MigMode =
                valueOf UInt32.MaxValue device.MigMode
                |> ValueOption.map (fun mode -> if mode = 0u then MigMode.Disabled else MigMode.Enabled)
            MigDevices =
                valueOf UInt32.MaxValue device.MigMode
                |> ValueOption.map (fun mode ->
                    if mode = 0u then
                        [||]
                    else
                        Array.map (expectedMig whole' device.Costly) device.MigDevices)
        }
        |> withCostly device.Costly
        |> withoutZeros

/// A buffer as a driver whose entries have so many bytes leaves it, for processes of MIG instance 0 or none.
let private written: Gen<int * ComputeProcess[] * byte[]> =
    gen {
        let! bytes = Gen.elements [ 16; 24; 32 ]
        let! found = upTo 60 process'
        let entries = found |> Array.distinctBy _.Pid
        let! room = Gen.choose (entries.Length, 80)
        let! instance = Gen.elements [ 0u; UInt32.MaxValue ]
        let buffer = Array.create (room * 32) Nvml.Untouched

        for i in 0 .. entries.Length - 1 do
            let entry = Span(buffer, i * bytes, bytes)
            entry.Clear()
            BitConverter.TryWriteBytes(entry, entries[i].Pid) |> ignore

            BitConverter.TryWriteBytes(entry.Slice 8, uint64 entries[i].MemoryUsed.Value)
            |> ignore

            if bytes >= 24 then
                BitConverter.TryWriteBytes(entry.Slice 16, instance) |> ignore
                BitConverter.TryWriteBytes(entry.Slice 20, instance) |> ignore

        return bytes, entries, buffer
    }

let tests =
    testList
        "Gpu.Nvml"
        [
            law "a value is known exactly when its call succeeded and it is not all ones" devices (fun devices ->
                same (Nvml.interpret devices).Gpus (Array.map expected devices))
            law "processes are read whatever the length of an entry is" written (fun (_, entries, buffer) ->
                same
                    (Nvml.processes (ReadOnlySpan buffer) entries.Length 24)
                    (entries
                     |> Array.map (fun one ->
                         { one with
                             Name = ""
                             // All ones.
                             MemoryUsed =
                                 if one.MemoryUsed = ValueSome(LanguagePrimitives.UInt64WithMeasure UInt64.MaxValue) then
                                     ValueNone
                                 else
                                     one.MemoryUsed
                         })
                     |> ComputeProcess.limited))
            law
                "any bytes at all give processes, at most 32, never an exception"
                (Gen.zip anyBytes (Gen.choose (0, 500)))
                (fun (bytes, count) ->
                    let found = Nvml.processes (ReadOnlySpan bytes.Content) count 24
                    found.Length <= 32 && found.Length <= count)
            law "no memory figure is above the board's total, whatever the library says" devices (fun devices ->
                (Nvml.interpret devices).Gpus
                |> Array.forall (fun gpu ->
                    let most = ValueOption.defaultValue mostMemory gpu.MemoryTotal

                    let ofProcesses (processes: ComputeProcess[] voption) =
                        processes |> ValueOption.defaultValue [||] |> Array.map _.MemoryUsed

                    let ofInstances =
                        gpu.MigDevices
                        |> ValueOption.defaultValue [||]
                        |> Array.collect (fun mig ->
                            Array.append [| mig.MemoryTotal; mig.MemoryUsed; mig.MemoryFree |] (ofProcesses mig.ComputeProcesses))

                    Array.concat
                        [
                            [| gpu.MemoryTotal; gpu.MemoryUsed; gpu.MemoryFree; gpu.MemoryReserved |]
                            ofProcesses gpu.ComputeProcesses
                            ofProcesses gpu.GraphicsProcesses
                            ofInstances
                        ]
                    |> Array.forall (ValueOption.forall (fun figure -> figure <= most))))
            law
                "devices are known by different keys, and by their UUID where no other has it"
                (upTo 6 (Gen.zip (Gen.elements [ ""; "u"; "v"; "w" ]) (Gen.elements [ ""; "x"; "y"; "z" ])))
                (fun told ->
                    let devices =
                        told
                        |> Array.map (fun (uuid, bus) ->
                            ({
                                Name = ""
                                Uuid = uuid
                                PciBusId = bus
                            }
                            : Nvml.Identity))

                    let keys = Nvml.keysOf devices

                    let alone =
                        devices
                        |> Array.countBy _.Uuid
                        |> Array.filter (fun (uuid, count) -> uuid <> "" && count = 1)

                    (Array.distinct keys).Length = devices.Length
                    && alone |> Array.forall (fun (uuid, _) -> Array.contains uuid keys))
            law "a GPU is told to be lost at most once a reading" devices (fun devices ->
                let faults =
                    (Nvml.interpret devices).Faults
                    |> Array.map string
                    |> Array.filter _.Contains("GPU_IS_LOST")

                Array.distinct faults = faults)
            law "faults are located, and what the board does not have is none" devices (fun devices ->
                let faults = (Nvml.interpret devices).Faults

                ParserLaws.areLocated faults
                && not (faults |> Array.exists (fun fault -> (string fault).Contains "NOT_SUPPORTED")))
        ]
