module Agent.Core.Tests.Gpu.NvmlTests

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units
open Expecto

let private got value : Nvml.Call<'a> = { Code = 0; Value = value }

let private failed code : Nvml.Call<'a> =
    {
        Code = code
        Value = Unchecked.defaultof<'a>
    }

let private field kind bits : Nvml.Field =
    {
        Return = 0
        ValueType = kind
        Bits = bits
    }

let private costly: Nvml.Costly =
    {
        EccUncorrected = got 2UL
        EccCorrected = got 17UL
        EccVolatileUncorrected = got 1UL
        EccVolatileCorrected = got 16UL
        RemappedRows =
            got
                {
                    Correctable = 3u
                    Uncorrectable = 4u
                    Pending = 1u
                    Failed = 0u
                }
        PcieReplays = got 5u
        Fields = [| for i in 1UL .. 10UL -> field 3 (i * 1_000_000_000UL) |]
        PcieReceived = got 4194303u
        PcieSent = got 0u
        NvlinkReceived = field 3 73786976294838206UL
        NvlinkSent = field 3 1UL
        NvlinkBefore = ValueNone
        ClockSmMax = got 2100u
        PowerLimitMax = failed 3
        GraphicsProcesses = got [||]
        Processes =
            got
                [|
                    {
                        Pid = 11345
                        MemoryUsed = ValueSome 16452157440UL<B>
                        Name = "python"
                    }
                |]
        MigProcesses = [||]
    }

let private healthy: Nvml.Device =
    {
        Index = 2
        Handle = 0
        Name = got "NVIDIA A10"
        Uuid = got "GPU-a"
        PciBusId = got "00000000:65:00.0"
        DriverVersion = got "580.95.05"
        IsSuspended = false
        Utilization = got 37u
        MemoryUtilization = got 12u
        MemoryTotal = got 24146608128UL
        MemoryUsed = got 1048576UL
        MemoryFree = got 24000000000UL
        MemoryReserved = got 145559552UL
        Temperature = got 45
        FanSpeed = got 30u
        Power = got 61234u
        EnforcedPowerLimit = got 150000u
        ManagementPowerLimit = got 250000u
        ThrottleReasons = got 0x84UL
        ClockSm = got 1980u
        ClockMemory = got 2619u
        PcieLinkGeneration = got 5u
        PcieLinkWidth = got 16u
        Energy = got 123456789012UL
        Encoder = got 3u
        Decoder = got 4u
        MemoryTemperature = field 1 0xdeadbeef00000030UL
        MigMode = got 0u
        MigDevices = [||]
        Costly = ValueSome costly
        Xid = ValueSome { Last = 79UL; Count = 3UL }
    }

let private instance: Nvml.Mig =
    {
        Index = 0
        Name = got "MIG 1g"
        Uuid = got "MIG-a"
        GpuInstance = got 1u
        ComputeInstance = got 0u
        MemoryTotal = got 5000000000UL
        MemoryUsed = got 1000000000UL
        MemoryFree = got 4000000000UL
        Xid = ValueNone
    }

let private divided (mig: Nvml.Mig) : Nvml.Device =
    { healthy with
        MigMode = got 1u
        MigDevices = [| mig |]
    }

let private withProcess (memory: uint64 voption) : Nvml.Device =
    { healthy with
        Costly =
            ValueSome
                { costly with
                    Processes =
                        got
                            [|
                                {
                                    Pid = 7
                                    MemoryUsed = memory |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                                    Name = "python"
                                }
                            |]
                }
    }

let private gpu: Gpu =
    {
        Index = 2
        Name = "NVIDIA A10"
        Uuid = "GPU-a"
        PciBusId = "00000000:65:00.0"
        DriverVersion = "580.95.05"
        IsSuspended = false
        Utilization = ValueSome 37.0<percent>
        MemoryUtilization = ValueSome 12.0<percent>
        MemoryTotal = ValueSome 24146608128UL<B>
        MemoryUsed = ValueSome 1048576UL<B>
        MemoryFree = ValueSome 24000000000UL<B>
        MemoryReserved = ValueSome 145559552UL<B>
        IsMemoryShared = false
        Temperature = ValueSome 45.0<degC>
        FanSpeed = ValueSome 30.0<percent>
        Power = ValueSome 61.234<W>
        PowerLimit = ValueSome 150.0<W>
        ThrottleReasons = ValueSome [| "sw_power_cap"; "hw_power_brake_slowdown" |]
        ClockSm = ValueSome 1980.0<MHz>
        ClockSmMax = ValueSome 2100.0<MHz>
        ClockMemory = ValueSome 2619.0<MHz>
        // 4194303 and 73786976294838206 times 1024.
        PcieReceived = ValueSome 4294966272.0<B / s>
        PcieSent = ValueSome 0.0<B / s>
        PcieLinkGeneration = ValueSome 5
        PcieLinkWidth = ValueSome 16
        EccUncorrected = ValueSome 2UL
        EccCorrected = ValueSome 17UL
        RemappedRowsPending = ValueSome true
        XidLast = ValueSome 79
        XidCount = ValueSome 3UL
        Energy = ValueSome 123456789012UL<mJ>
        Encoder = ValueSome 3.0<percent>
        Decoder = ValueSome 4.0<percent>
        // More than 64 bits hold.
        NvlinkReceived = ValueSome 18446744073709551615UL<B>
        NvlinkSent = ValueSome 1024UL<B>
        MemoryTemperature = ValueSome 48.0<degC>
        MigMode = ValueSome MigMode.Disabled
        ComputeProcesses =
            ValueSome
                [|
                    {
                        Pid = 11345
                        MemoryUsed = ValueSome 16452157440UL<B>
                        Name = "python"
                    }
                |]
        GraphicsProcesses = ValueSome [||]
        MigDevices = ValueSome [||]
        Counters =
            {
                PcieReplays = ValueSome 5UL
                CorrectableRows = ValueSome 3UL
                UncorrectableRows = ValueSome 4UL
                HasRowFailure = ValueSome false
                VolatileCorrected = ValueSome 16UL
                VolatileUncorrected = ValueSome 1UL
                PowerViolation = ValueSome 1_000_000_000UL
                ThermalViolation = ValueSome 2_000_000_000UL
                SyncBoostViolation = ValueSome 3_000_000_000UL
                BoardLimitViolation = ValueSome 4_000_000_000UL
                LowUtilizationViolation = ValueSome 5_000_000_000UL
                ReliabilityViolation = ValueSome 6_000_000_000UL
                NvlinkFlitErrors = ValueSome 7_000_000_000UL
                NvlinkDataErrors = ValueSome 8_000_000_000UL
                NvlinkReplays = ValueSome 9_000_000_000UL
                NvlinkRecoveries = ValueSome 10_000_000_000UL
                NvlinkRate = ValueNone
            }
    }

/// What nvmlDeviceGetComputeRunningProcesses leaves in a buffer: entries of so many bytes, the memory at 8.
let private entriesOf (bytes: int) (entries: (uint32 * uint64) list) : byte[] =
    let buffer = Array.create (16 * 32) Nvml.Untouched

    entries
    |> List.iteri (fun i (pid, memory) ->
        let entry = Span(buffer, i * bytes, bytes)
        entry.Clear()
        BitConverter.TryWriteBytes(entry, pid) |> ignore
        BitConverter.TryWriteBytes(entry.Slice 8, memory) |> ignore

        if bytes >= 24 then
            // No MIG.
            BitConverter.TryWriteBytes(entry.Slice 16, UInt64.MaxValue) |> ignore)

    buffer

let private pids (found: ComputeProcess[]) =
    found |> Array.map (fun found -> found.Pid, found.MemoryUsed)

[<Tests>]
let tests =
    testList
        "Gpu.Nvml"
        [
            testCase "milliwatts become watts, bytes and per cent stay"
            <| fun () -> Expect.equal (Nvml.interpret [| healthy |]) { Gpus = [| gpu |]; Faults = [||] } "GPU"

            testCase "the rate over NVLink is both counters' growth over the time between two readings, and none where one has fallen"
            <| fun () ->
                let rateAfter seconds (received: Nvml.Field) (sent: Nvml.Field) =
                    let before: Nvml.NvlinkBefore =
                        {
                            Received = field 3 1000UL
                            Sent = field 3 5000UL
                            Age = TimeSpan.FromSeconds(seconds: float)
                        }

                    let device =
                        { healthy with
                            Costly =
                                ValueSome
                                    { costly with
                                        NvlinkReceived = received
                                        NvlinkSent = sent
                                        NvlinkBefore = ValueSome before
                                    }
                        }

                    (Nvml.interpret [| device |]).Gpus[0].Counters.NvlinkRate

                // 3000 and 1000 KiB, 4096000 bytes.
                Expect.equal (rateAfter 4.0 (field 3 4000UL) (field 3 6000UL)) (ValueSome 1_024_000.0<B / s>) "over four seconds"
                Expect.equal (rateAfter 4.0 (field 3 1000UL) (field 3 5000UL)) (ValueSome 0.0<B / s>) "nothing was sent"
                Expect.equal (rateAfter 4.0 (field 3 999UL) (field 3 6000UL)) ValueNone "one has fallen"
                Expect.equal (rateAfter 4.0 (field 3 4000UL) (field 3 4999UL)) ValueNone "the other has fallen"
                Expect.equal (rateAfter 0.0 (field 3 4000UL) (field 3 6000UL)) ValueNone "at one instant"
                Expect.equal (rateAfter 4.0 (field 3 4000UL) { field 3 6000UL with Return = 3 }) ValueNone "one is not told"

            testCase "all ones mean not available in 32 and in 64 bits"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Utilization = got 4294967295u
                                MemoryUsed = got 18446744073709551615UL
                                Power = got 4294967295u
                            }
                        |]

                Expect.equal
                    reading
                    {
                        Gpus =
                            [|
                                { gpu with
                                    Utilization = ValueNone
                                    MemoryUsed = ValueNone
                                    Power = ValueNone
                                }
                            |]
                        Faults = [||]
                    }
                    "absent, no fault"

            testCase "one below all ones is a number"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Energy = got 18446744073709551614UL
                            }
                        |]

                Expect.equal reading.Gpus[0].Energy (ValueSome 18446744073709551614UL<mJ>) "millijoules"

            testCase "no part of the memory is more than all of it: of a board, of an instance, of a process"
            <| fun () ->
                let one = 24146608129UL

                let mig =
                    { instance with
                        MemoryTotal = got 24146608129UL
                    }

                for what, device, isNone in
                    [
                        "used memory", { healthy with MemoryUsed = got one }, (fun (gpu: Gpu) -> gpu.MemoryUsed.IsNone)
                        // The library's free part went below zero.
                        "free memory",
                        { healthy with
                            MemoryFree = got 18446744073000000000UL
                        },
                        _.MemoryFree.IsNone
                        "reserved memory",
                        { healthy with
                            MemoryReserved = got one
                        },
                        _.MemoryReserved.IsNone
                        "memory of processes",
                        withProcess (ValueSome one),
                        (fun gpu -> gpu.ComputeProcesses.Value[0].MemoryUsed.IsNone && gpu.MemoryUsed.IsSome)
                        "MIG memory", divided mig, (fun gpu -> gpu.MigDevices.Value[0].MemoryTotal.IsNone)
                        "MIG memory",
                        divided
                            { instance with
                                MemoryFree = got 18446744073000000000UL
                            },
                        (fun gpu ->
                            gpu.MigDevices.Value[0].MemoryFree.IsNone
                            && gpu.MigDevices.Value[0].MemoryUsed.IsSome)
                    ] do
                    let reading = Nvml.interpret [| device |]
                    Expect.isTrue (isNone reading.Gpus[0]) what

                    Expect.equal
                        reading.Faults
                        [|
                            SourceError.Unreadable($"libnvidia-ml GPU 2 {what}", "the driver reports an impossible value")
                        |]
                        what

                let all = 24146608128UL

                for device in
                    [
                        withProcess (ValueSome all)
                        { healthy with
                            MemoryUsed = got all
                            MemoryFree = got all
                            MemoryReserved = got all
                        }
                        divided { instance with MemoryTotal = got all }
                    ] do
                    Expect.equal (Nvml.interpret [| device |]).Faults [||] "all of it is possible"

            testCase "no board has more than sixteen tebibytes, known or not"
            <| fun () ->
                let most = 17592186044416UL

                let faults device =
                    (Nvml.interpret [| device |]).Faults |> Array.map string

                Expect.equal (faults { healthy with MemoryTotal = got most }) [||] "the most"

                Expect.equal
                    (faults
                        { healthy with
                            MemoryTotal = got (most + 1UL)
                        })
                        .Length
                    1
                    "more"

                let unknown =
                    { healthy with
                        MemoryTotal = failed 3
                        MemoryUsed = failed 3
                        MemoryFree = failed 3
                        MemoryReserved = failed 3
                    }

                Expect.equal (faults { unknown with MemoryUsed = got most }) [||] "used"

                Expect.equal
                    (faults
                        { unknown with
                            MemoryUsed = got (most + 1UL)
                        })
                        .Length
                    1
                    "more than any board has"

            testCase "an answer about memory is possible when no part is more than the whole"
            <| fun () ->
                for total, used, free, reserved, isPossible in
                    [
                        100UL, 100UL, 100UL, 100UL, true
                        100UL, 0UL, 0UL, UInt64.MaxValue, true
                        0UL, 0UL, 0UL, 0UL, false
                        100UL, 101UL, 0UL, 0UL, false
                        100UL, 0UL, 101UL, 0UL, false
                        100UL, 0UL, 0UL, 101UL, false
                        100UL, UInt64.MaxValue, 0UL, 0UL, false
                        UInt64.MaxValue, 0UL, 0UL, 0UL, false
                    ] do
                    Expect.equal (Nvml.isPossibleMemory total used free reserved) isPossible $"{total} {used} {free} {reserved}"

            testCase "a limit in force is one that a board can have"
            <| fun () ->
                for code, milliwatts, isLimit in
                    [
                        0, 1u, true
                        0, 5000000u, true
                        0, 0u, false
                        0, 5000001u, false
                        0, UInt32.MaxValue, false
                        3, 300000u, false
                    ] do
                    Expect.equal (Nvml.isPowerLimit { Code = code; Value = milliwatts }) isLimit $"{code} {milliwatts}"

            testCase "memory of 0 is no value, nor is what is said of its parts"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                MemoryTotal = got 0UL
                                MemoryUsed = got 0UL
                                MemoryFree = got 0UL
                                MemoryReserved = got 0UL
                            }
                        |]

                Expect.equal
                    reading
                    {
                        Gpus =
                            [|
                                { gpu with
                                    MemoryTotal = ValueNone
                                    MemoryUsed = ValueNone
                                    MemoryFree = ValueNone
                                    MemoryReserved = ValueNone
                                }
                            |]
                        Faults =
                            [|
                                SourceError.Unreadable(
                                    $"libnvidia-ml GPU {gpu.Index} total memory",
                                    "the driver reports an impossible value"
                                )
                            |]
                    }
                    "told once"

            testCase "NOT_SUPPORTED and FUNCTION_NOT_FOUND are absence, not faults"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Utilization = failed 3
                                MemoryUtilization = failed 3
                                FanSpeed = failed 13
                            }
                        |]

                Expect.equal
                    reading
                    {
                        Gpus =
                            [|
                                { gpu with
                                    Utilization = ValueNone
                                    MemoryUtilization = ValueNone
                                    FanSpeed = ValueNone
                                }
                            |]
                        Faults = [||]
                    }
                    "a MIG parent without a fan"

            testCase "values that no board can have are none, are told, and are never cut down to something that looks right"
            <| fun () ->
                for what, device, expected in
                    [
                        "temperature", { healthy with Temperature = got -51 }, { gpu with Temperature = ValueNone }
                        "temperature", { healthy with Temperature = got 126 }, { gpu with Temperature = ValueNone }
                        "utilization", { healthy with Utilization = got 101u }, { gpu with Utilization = ValueNone }
                        "memory utilization",
                        { healthy with
                            MemoryUtilization = got 255u
                        },
                        { gpu with
                            MemoryUtilization = ValueNone
                        }
                        "fan speed", { healthy with FanSpeed = got 201u }, { gpu with FanSpeed = ValueNone }
                        // More than twice the limit of 150 W.
                        "power", { healthy with Power = got 300001u }, { gpu with Power = ValueNone }
                        "PCIe link generation",
                        { healthy with
                            PcieLinkGeneration = got 17u
                        },
                        { gpu with
                            PcieLinkGeneration = ValueNone
                        }
                        "PCIe link width", { healthy with PcieLinkWidth = got 33u }, { gpu with PcieLinkWidth = ValueNone }
                        "PCIe link width",
                        { healthy with
                            PcieLinkWidth = got 4294967294u
                        },
                        { gpu with PcieLinkWidth = ValueNone }
                        "PCIe throughput received",
                        { healthy with
                            Costly =
                                ValueSome
                                    { costly with
                                        PcieReceived = got 976562501u
                                    }
                        },
                        { gpu with PcieReceived = ValueNone }
                        "SM clock", { healthy with ClockSm = got 5001u }, { gpu with ClockSm = ValueNone }
                        "memory clock",
                        { healthy with
                            ClockMemory = got 40001u
                        },
                        { gpu with ClockMemory = ValueNone }
                        "used memory",
                        { healthy with
                            MemoryUsed = got 24146608129UL
                        },
                        { gpu with MemoryUsed = ValueNone }
                        "encoder", { healthy with Encoder = got 101u }, { gpu with Encoder = ValueNone }
                        // -60 as nvmlDeviceGetFieldValues tells it.
                        "memory temperature",
                        { healthy with
                            MemoryTemperature = field 1 4294967236UL
                        },
                        { gpu with
                            MemoryTemperature = ValueNone
                        }
                    ] do
                    let reading = Nvml.interpret [| device |]
                    Expect.equal reading.Gpus [| expected |] what

                    Expect.equal
                        reading.Faults
                        [|
                            SourceError.Unreadable($"libnvidia-ml GPU 2 {what}", "the driver reports an impossible value")
                        |]
                        what

            testCase "the last values that a board can have"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Temperature = got -50
                                Utilization = got 100u
                                FanSpeed = got 200u
                                Power = got 300000u
                                ClockSm = got 5000u
                                ClockMemory = got 40000u
                                PcieLinkGeneration = got 16u
                                PcieLinkWidth = got 32u
                                // A terabyte a second.
                                Costly =
                                    ValueSome
                                        { costly with
                                            PcieReceived = got 976562500u
                                        }
                                MemoryUsed = got 24146608128UL
                                MemoryTemperature = field 1 125UL
                            }
                        |]

                Expect.equal reading.Faults [||] "no fault"
                Expect.equal reading.Gpus[0].Temperature (ValueSome -50.0<degC>) "below zero"
                Expect.equal reading.Gpus[0].Power (ValueSome 300.0<W>) "twice the limit"
                Expect.equal reading.Gpus[0].MemoryTemperature (ValueSome 125.0<degC>) "hot"

                let noLimit =
                    { healthy with
                        EnforcedPowerLimit = failed 3
                        ManagementPowerLimit = got 0u
                    }

                let power milliwatts =
                    (Nvml.interpret [| { noLimit with Power = got milliwatts } |]).Gpus[0].Power

                Expect.equal (power 5000000u) (ValueSome 5000.0<W>) "without a limit"
                Expect.equal (power 5000001u) ValueNone "beyond any board"
                Expect.equal (Nvml.interpret [| noLimit |]).Gpus[0].PowerLimit ValueNone "0 is no limit"

            testCase "a limit that was just lowered does not make what is drawn implausible; the highest that the board can be given does"
            <| fun () ->
                let power highest milliwatts =
                    (Nvml.interpret
                        [|
                            { healthy with
                                EnforcedPowerLimit = got 100000u
                                Power = got milliwatts
                                Costly = ValueSome { costly with PowerLimitMax = highest }
                            }
                        |])
                        .Gpus[0].Power

                Expect.equal (power (got 350000u) 700000u) (ValueSome 700.0<W>) "twice the highest"
                Expect.equal (power (got 350000u) 700001u) ValueNone "beyond it"

                for unknown in [ failed 3; got 0u; got 5000001u; got UInt32.MaxValue; got 99999u ] do
                    Expect.equal (power unknown 200000u) (ValueSome 200.0<W>) $"twice the limit in force: %A{unknown}"
                    Expect.equal (power unknown 200001u) ValueNone $"beyond it: %A{unknown}"

            testCase "a board without memory of its own is marked, one that refuses to tell is not"
            <| fun () ->
                for code, isShared in [ 3, true; 4, false; 999, false; 13, false ] do
                    let reading =
                        Nvml.interpret
                            [|
                                { healthy with
                                    MemoryTotal = failed code
                                }
                            |]

                    Expect.equal reading.Gpus[0].IsMemoryShared isShared (string code)

            testCase "a GPU on the processor's own bus uses the host's memory whatever the driver says, and has no PCIe link"
            <| fun () ->
                for name, total, isShared in
                    [
                        "NVIDIA GB10", got 130663165952UL, true
                        "Orin (nvgpu)", got 0UL, true
                        "NVIDIA Thor", got 131832807424UL, true
                        "NVIDIA A10", failed 3, true
                        "NVIDIA GH200 480GB", got 102625181696UL, false
                        "NVIDIA GB200", got 198674677760UL, false
                    ] do
                    let reading =
                        Nvml.interpret
                            [|
                                { healthy with
                                    Name = got name
                                    MemoryTotal = total
                                    MemoryUsed = total
                                    MemoryFree = total
                                    PcieLinkGeneration = got 1u
                                    PcieLinkWidth = got 1u
                                }
                            |]

                    let found = reading.Gpus[0]
                    Expect.equal (found.IsMemoryShared, reading.Faults) (isShared, [||]) name
                    Expect.equal found.MemoryUsed.IsNone isShared $"memory of {name}"
                    Expect.equal (found.PcieLinkGeneration.IsNone, found.PcieLinkWidth.IsNone) (isShared, isShared) $"link of {name}"

            testCase "a link of generation 0 or without lanes is none"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                PcieLinkGeneration = got 0u
                                PcieLinkWidth = got 0u
                            }
                        |]

                Expect.equal
                    reading
                    {
                        Gpus =
                            [|
                                { gpu with
                                    PcieLinkGeneration = ValueNone
                                    PcieLinkWidth = ValueNone
                                }
                            |]
                        Faults = [||]
                    }
                    "no fault"

            testCase "a driver that answers 0 to everything knows nothing; 0 °C alone is a temperature"
            <| fun () ->
                let zero =
                    { healthy with
                        Name = got "Orin (nvgpu)"
                        Utilization = got 0u
                        MemoryUtilization = got 0u
                        MemoryTotal = got 0UL
                        MemoryUsed = got 0UL
                        MemoryFree = got 0UL
                        MemoryReserved = got 0UL
                        Temperature = got 0
                        FanSpeed = failed 3
                        Power = got 0u
                        EnforcedPowerLimit = failed 3
                        ManagementPowerLimit = failed 3
                        ClockSm = got 0u
                        ClockMemory = got 0u
                        PcieLinkGeneration = got 0u
                        PcieLinkWidth = got 0u
                        Energy = got 0UL
                        Encoder = got 0u
                        Decoder = got 0u
                        MemoryTemperature = field 1 0UL
                        Costly = ValueNone
                        Xid = ValueNone
                    }

                let read device = (Nvml.interpret [| device |]).Gpus[0]

                Expect.equal
                    (read zero)
                    { Gpu.OfIndex 2 with
                        Name = "Orin (nvgpu)"
                        Uuid = "GPU-a"
                        PciBusId = "00000000:65:00.0"
                        DriverVersion = "580.95.05"
                        IsMemoryShared = true
                        ThrottleReasons = ValueSome [| "sw_power_cap"; "hw_power_brake_slowdown" |]
                        MigMode = ValueSome MigMode.Disabled
                        MigDevices = ValueSome [||]
                    }
                    "nothing"

                for board in
                    [
                        { healthy with Temperature = got 0 }
                        { healthy with
                            Temperature = got 0
                            ClockSm = got 0u
                            Power = got 0u
                        }
                        { zero with ClockSm = got 114u }
                        { zero with Power = got 4000u }
                    ] do
                    Expect.equal (read board).Temperature (ValueSome 0.0<degC>) "a board that is there"

            testCase "a memory at exactly 0 beside a warm die has no sensor; one in the cold has"
            <| fun () ->
                for die, bits, expected in
                    [
                        45, 0UL, ValueNone
                        21, 0UL, ValueNone
                        20, 0UL, ValueSome 0.0<degC>
                        45, 1UL, ValueSome 1.0<degC>
                    ] do
                    let reading =
                        Nvml.interpret
                            [|
                                { healthy with
                                    Temperature = got die
                                    MemoryTemperature = field 1 bits
                                }
                            |]

                    Expect.equal (reading.Gpus[0].MemoryTemperature, reading.Faults) (expected, [||]) $"{die} {bits}"

            testCase "a suspended board is known by its name and no fault"
            <| fun () ->
                let identity: Nvml.Identity =
                    {
                        Name = "NVIDIA A10"
                        Uuid = "GPU-a"
                        PciBusId = "00000000:65:00.0"
                    }

                let reading = Nvml.interpret [| Nvml.suspended 2 identity ValueNone |]
                Expect.equal reading.Faults [||] "no fault"

                Expect.equal
                    reading.Gpus
                    [|
                        { Gpu.OfIndex 2 with
                            Name = "NVIDIA A10"
                            Uuid = "GPU-a"
                            PciBusId = "00000000:65:00.0"
                            IsSuspended = true
                        }
                    |]
                    "who it is"

            testCase "a session is at an end when two calls are refused that answered, or all are"
            <| fun () ->
                Expect.isFalse (Nvml.hasEndedSession 0b111u 0b011u 0b100u) "one call alone"
                Expect.isTrue (Nvml.hasEndedSession 0b111u 0b001u 0b110u) "two that answered"
                Expect.isFalse (Nvml.hasEndedSession 0b001u 0b001u 0b110u) "two that never answered"
                Expect.isTrue (Nvml.hasEndedSession 0u 0u 0b1u) "nothing answers"
                Expect.isFalse (Nvml.hasEndedSession 0u 0u 0u) "nothing was refused: a board that supports nothing"
                Expect.equal ([ 17; 999; 15; 3; 0 ] |> List.map Nvml.mayEndSession) [ true; true; false; false; false ] "codes"

            testCase "process 0 is nobody"
            <| fun () ->
                let found = Nvml.processes (ReadOnlySpan(entriesOf 24 [ 0u, 5UL; 7u, 4UL; 0u, 3UL ])) 3 24

                Expect.equal (found |> Array.map _.Pid) [| 7 |] "one"

            testCase "any other code costs its own field and is told"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Temperature = failed 999
                                Name = failed 4
                            }
                        |]

                Expect.equal
                    reading.Gpus
                    [|
                        { gpu with
                            Name = ""
                            Temperature = ValueNone
                        }
                    |]
                    "the rest"

                Expect.equal
                    reading.Faults
                    [|
                        SourceError.Unreadable("libnvidia-ml GPU 2 name (and other queries that are refused)", "NO_PERMISSION")
                        SourceError.Unreadable("libnvidia-ml GPU 2 temperature", "UNKNOWN")
                    |]
                    "faults"

            testCase "a lost GPU costs nothing of its neighbour, and is told once"
            <| fun () ->
                let lost =
                    Nvml.unreachable
                        0
                        {
                            Name = "NVIDIA H100"
                            Uuid = "GPU-lost"
                            PciBusId = ""
                        }
                        15
                        (ValueSome { Last = 79UL; Count = 1UL })

                let reading = Nvml.interpret [| lost; healthy |]
                Expect.equal reading.Gpus[1] gpu "the neighbour"

                Expect.equal
                    reading.Gpus[0]
                    { Gpu.OfIndex 0 with
                        Name = "NVIDIA H100"
                        Uuid = "GPU-lost"
                        XidLast = ValueSome 79
                        XidCount = ValueSome 1UL
                    }
                    "who it is, and what happened to it"

                Expect.equal reading.Faults [| SourceError.Unreadable("libnvidia-ml GPU 0", "GPU_IS_LOST") |] "one fault"

            testCase "a GPU that is lost in the middle of a reading keeps what it had told, and is told once"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Power = failed 15
                                EnforcedPowerLimit = failed 15
                                ManagementPowerLimit = failed 15
                                Energy = failed 15
                            }
                        |]

                Expect.equal
                    reading.Gpus
                    [|
                        { gpu with
                            Power = ValueNone
                            PowerLimit = ValueNone
                            Energy = ValueNone
                        }
                    |]
                    "the rest"

                Expect.equal reading.Faults [| SourceError.Unreadable("libnvidia-ml GPU 2", "GPU_IS_LOST") |] "one fault"

            testCase "a GPU that wants a reset is told once as well"
            <| fun () ->
                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                Utilization = failed 16
                                MemoryUtilization = failed 16
                            }
                        |]

                Expect.equal reading.Faults [| SourceError.Unreadable("libnvidia-ml GPU 2", "RESET_REQUIRED") |] "one fault"

            testCase "without the costly calls their fields are absent, and no fault"
            <| fun () ->
                Expect.equal
                    (Nvml.interpret [| { healthy with Costly = ValueNone } |])
                    {
                        Gpus =
                            [|
                                { gpu with
                                    EccUncorrected = ValueNone
                                    EccCorrected = ValueNone
                                    RemappedRowsPending = ValueNone
                                    PcieReceived = ValueNone
                                    PcieSent = ValueNone
                                    NvlinkReceived = ValueNone
                                    NvlinkSent = ValueNone
                                    ClockSmMax = ValueNone
                                    ComputeProcesses = ValueNone
                                    GraphicsProcesses = ValueNone
                                    Counters = GpuCounters.None
                                }
                            |]
                        Faults = [||]
                    }
                    "GPU"

            testCase "the fields that are asked for have nvml.h's numbers"
            <| fun () -> Expect.equal Nvml.costlyFields [| 74u; 75u; 76u; 77u; 78u; 79u; 38u; 45u; 52u; 59u |] "fields"

            testCase "each counter for metrics fails alone; the fields of one call are told of once"
            <| fun () ->
                let reading costly =
                    Nvml.interpret
                        [|
                            { healthy with
                                Costly = ValueSome costly
                            }
                        |]

                let counters costly = (reading costly).Gpus[0].Counters
                let broken = field 3 0UL
                let broken = { broken with Return = 999 }
                let two = Array.append [| broken; broken |] (Array.skip 2 costly.Fields)

                Expect.equal
                    (counters { costly with Fields = two })
                    { gpu.Counters with
                        PowerViolation = ValueNone
                        ThermalViolation = ValueNone
                    }
                    "two fields"

                Expect.equal
                    (reading { costly with Fields = two }).Faults
                    [|
                        SourceError.Unreadable("libnvidia-ml GPU 2 violation times and NVLink errors", "UNKNOWN")
                    |]
                    "told once"

                Expect.equal
                    (reading
                        { costly with
                            RemappedRows = failed 999
                            PcieReplays = failed 3
                        })
                        .Gpus[0]
                    { gpu with
                        RemappedRowsPending = ValueNone
                        Counters =
                            { gpu.Counters with
                                CorrectableRows = ValueNone
                                UncorrectableRows = ValueNone
                                HasRowFailure = ValueNone
                                PcieReplays = ValueNone
                            }
                    }
                    "rows and replays"

                let ones = UInt32.MaxValue

                Expect.equal
                    (reading
                        { costly with
                            RemappedRows =
                                got
                                    {
                                        Correctable = ones
                                        Uncorrectable = 4u
                                        Pending = ones
                                        Failed = ones
                                    }
                            PcieReplays = got ones
                            EccVolatileCorrected = got UInt64.MaxValue
                        })
                    {
                        Gpus =
                            [|
                                { gpu with
                                    RemappedRowsPending = ValueNone
                                    Counters =
                                        { gpu.Counters with
                                            CorrectableRows = ValueNone
                                            HasRowFailure = ValueNone
                                            PcieReplays = ValueNone
                                            VolatileCorrected = ValueNone
                                        }
                                }
                            |]
                        Faults = [||]
                    }
                    "all ones are no value, each in its place"

            testCase "no XID is not the same as nobody who tells"
            <| fun () ->
                let xid events =
                    let gpu = (Nvml.interpret [| { healthy with Xid = events } |]).Gpus[0]
                    gpu.XidLast, gpu.XidCount

                Expect.equal (xid ValueNone) (ValueNone, ValueNone) "nobody tells"
                Expect.equal (xid (ValueSome { Last = 0UL; Count = 0UL })) (ValueNone, ValueSome 0UL) "none"
                Expect.equal (xid (ValueSome { Last = 13UL; Count = 2UL })) (ValueSome 13, ValueSome 2UL) "two"

            testCase "MIG instances, and boards that cannot be divided"
            <| fun () ->
                let own: ComputeProcess[] =
                    [|
                        {
                            Pid = 11345
                            MemoryUsed = ValueSome 1645215744UL<B>
                            Name = "python"
                        }
                    |]

                let instance: Nvml.Mig =
                    {
                        Index = 1
                        Name = got "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
                        Uuid = got "MIG-a"
                        GpuInstance = got 9u
                        ComputeInstance = got 0u
                        MemoryTotal = got 10468982784UL
                        MemoryUsed = failed 999
                        MemoryFree = got 9944694784UL
                        Xid = ValueSome { Last = 31UL; Count = 2UL }
                    }

                let reading =
                    Nvml.interpret
                        [|
                            { healthy with
                                MigMode = got 1u
                                MigDevices = [| instance |]
                                Costly =
                                    ValueSome
                                        { costly with
                                            Processes = failed 4
                                            MigProcesses = [| struct (1, "MIG-a", got own) |]
                                        }
                            }
                        |]

                Expect.equal reading.Gpus[0].MigMode (ValueSome MigMode.Enabled) "mode"

                Expect.equal
                    reading.Gpus[0].MigDevices
                    (ValueSome
                        [|
                            {
                                Index = 1
                                Name = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
                                Uuid = "MIG-a"
                                GpuInstance = ValueSome 9
                                ComputeInstance = ValueSome 0
                                MemoryTotal = ValueSome 10468982784UL<B>
                                MemoryUsed = ValueNone
                                MemoryFree = ValueSome 9944694784UL<B>
                                ComputeProcesses = ValueSome own
                                XidLast = ValueSome 31
                                XidCount = ValueSome 2UL
                            }
                        |])
                    "instances"

                Expect.equal
                    reading.Faults
                    [|
                        SourceError.Unreadable("libnvidia-ml GPU 2 MIG memory", "UNKNOWN")
                        SourceError.Unreadable("libnvidia-ml GPU 2 processes (and other queries that are refused)", "NO_PERMISSION")
                    |]
                    "faults"

                let whole = (Nvml.interpret [| { healthy with MigMode = failed 3 } |]).Gpus[0]
                Expect.equal (whole.MigMode, whole.MigDevices) (ValueNone, ValueNone) "a GeForce"

            testCase "field values of every type that nvml.h has, and their absent ones"
            <| fun () ->
                let temperature kind bits =
                    (Nvml.interpret
                        [|
                            { healthy with
                                MemoryTemperature = field kind bits
                            }
                        |])
                        .Gpus[0].MemoryTemperature

                for kind, bits in
                    [
                        // The double 48.0, then whole numbers below what is not theirs.
                        0, 0x4048000000000000UL
                        1, 0xffffffff00000030UL
                        2, 48UL
                        3, 48UL
                        4, 48UL
                        5, 0xffffffff00000030UL
                        6, 0xffffffffffff0030UL
                    ] do
                    Expect.equal (temperature kind bits) (ValueSome 48.0<degC>) $"type {kind}"

                for kind, bits in
                    [
                        0, 0x7ff8000000000000UL
                        0, 0xc048000000000000UL
                        1, 0xffffffffUL
                        2, UInt64.MaxValue
                        3, UInt64.MaxValue
                        4, UInt64.MaxValue
                        5, 0xffffffffUL
                        77, 48UL
                    ] do
                    Expect.equal (temperature kind bits) ValueNone $"type {kind}, {bits:x}"

            testCase "processes of every driver's entry are read, whatever its length was said to be"
            <| fun () ->
                let entries = [ 4711u, 1048576UL; 815u, 16452157440UL; 7u, UInt64.MaxValue ]

                for bytes in [ 16; 24; 32 ] do
                    for expected in [ 16; 24 ] do
                        Expect.equal
                            (pids (Nvml.processes (ReadOnlySpan(entriesOf bytes entries)) 3 expected))
                            [|
                                815, ValueSome 16452157440UL<B>
                                4711, ValueSome 1048576UL<B>
                                7, ValueNone
                            |]
                            $"{bytes} bytes"

            testCase "a buffer that was cleared as a whole is read by the length that the call has"
            <| fun () ->
                let buffer = entriesOf 24 [ 4711u, 1048576UL; 815u, 2097152UL ]
                Array.Clear(buffer, 48, buffer.Length - 48)

                Expect.equal
                    (pids (Nvml.processes (ReadOnlySpan buffer) 2 24))
                    [| 815, ValueSome 2097152UL<B>; 4711, ValueSome 1048576UL<B> |]
                    "both"

            testCase "a process is one, with the memory of all instances that it is listed for"
            <| fun () ->
                let buffer = Array.create (16 * 32) Nvml.Untouched

                [
                    7u, 1000UL, 1u
                    8u, 30UL, 1u
                    7u, 500UL, 2u
                    7u, 900UL, 1u
                    9u, 5UL, 1u
                    9u, UInt64.MaxValue, 2u
                ]
                |> List.iteri (fun i (pid, memory, instance) ->
                    let entry = Span(buffer, i * 24, 24)
                    entry.Clear()
                    BitConverter.TryWriteBytes(entry, pid) |> ignore
                    BitConverter.TryWriteBytes(entry.Slice 8, memory) |> ignore
                    BitConverter.TryWriteBytes(entry.Slice 16, instance) |> ignore)

                Expect.equal
                    (pids (Nvml.processes (ReadOnlySpan buffer) 6 24))
                    [| 7, ValueSome 1500UL<B>; 8, ValueSome 30UL<B>; 9, ValueNone |]
                    "the larger of what one instance was listed with twice, and no sum of what is not known"

            testCase "a text that is none was not told"
            <| fun () ->
                for bytes, expected in
                    [
                        "NVIDIA A10\000rest"B, ValueSome "NVIDIA A10"
                        "NVIDIA A10"B, ValueSome "NVIDIA A10"
                        [||], ValueSome ""
                        [| 0uy |], ValueSome ""
                        // What a driver for WSL answers (gpustat #170).
                        [| 0xf8uy; 0x95uy; 0xa0uy; 0x81uy; 0x00uy |], ValueNone
                        [| 0x41uy; 0x01uy; 0x00uy |], ValueNone
                        [| 0x41uy; 0x7fuy |], ValueNone
                    ] do
                    Expect.equal (Nvml.textIn (ReadOnlySpan bytes)) expected $"%A{bytes}"

            testCase "an instance is gone by what a destroyed one answers, and by nothing else"
            <| fun () -> Expect.equal ([ 0..30 ] @ [ 999 ] |> List.filter Nvml.isGone) [ 2; 6 ] "INVALID_ARGUMENT, NOT_FOUND"

            testCase "no process, no entries"
            <| fun () -> Expect.equal (Nvml.processes (ReadOnlySpan(entriesOf 24 [])) 0 24) [||] "none"

            testCase "the 32 with most memory are kept"
            <| fun () ->
                let buffer = Array.create (40 * 32) Nvml.Untouched

                for i in 0..39 do
                    let entry = Span(buffer, i * 24, 24)
                    entry.Clear()
                    BitConverter.TryWriteBytes(entry, 100 + i) |> ignore
                    BitConverter.TryWriteBytes(entry.Slice 8, uint64 i) |> ignore

                let found = Nvml.processes (ReadOnlySpan buffer) 40 24
                Expect.equal (found |> Array.map _.Pid) [| for i in 39..-1..8 -> 100 + i |] "most first"

            testCase "clients of MPS compute as well, and who is on both lists is there once, with the memory that one of them tells"
            <| fun () ->
                let holding pid memory : ComputeProcess =
                    {
                        Pid = pid
                        MemoryUsed = memory
                        Name = ""
                    }

                let server = holding 10 (ValueSome 30UL<B>)
                let client = holding 11 (ValueSome 500UL<B>)

                let computing first second = (Nvml.computing first second).Value

                Expect.equal
                    (computing (got [| server; holding 11 ValueNone |]) (got [| client; holding 12 (ValueSome 40UL<B>) |]))
                    [| client; holding 12 (ValueSome 40UL<B>); server |]
                    "most memory first"

                Expect.equal (computing (got [| client |]) (got [| holding 11 (ValueSome 500UL<B>) |])) [| client |] "counted once"
                Expect.equal (computing (got [| server |]) (failed 3)) [| server |] "a board without MPS"
                Expect.equal (Nvml.computing (failed 4) (got [| client |])).Code 4 "without the first list nothing is known"

                Expect.equal
                    (Nvml.drawing (got [| server |]) (got [| server; holding 99 (ValueSome 8UL<B>) |])).Value
                    [| holding 99 (ValueSome 8UL<B>) |]
                    "who computes and draws, computes"

            testCase "processes get their names"
            <| fun () ->
                let found = Nvml.processes (ReadOnlySpan(entriesOf 24 [ 5u, 1UL ])) 1 24
                let named = Nvml.named (Func<_, _>(fun pid -> $"p{pid}")) found
                Expect.equal (named |> Array.map _.Name) [| "p5" |] "named"

            testCase "a lost GPU is who was there before, unless that one answers elsewhere"
            <| fun () ->
                let at name : Nvml.Identity =
                    {
                        Name = name
                        Uuid = $"GPU-{name}"
                        PciBusId = $"bus-{name}"
                    }

                let nobody: Nvml.Identity = { Name = ""; Uuid = ""; PciBusId = "" }

                let dumb name =
                    { nobody with PciBusId = $"bus-{name}" }

                Expect.equal (Nvml.identify [| at "a"; at "b" |] [| at "b"; dumb "a" |]) [| at "b"; at "a" |] "by where it is plugged in"
                Expect.equal (Nvml.identify [| at "a" |] [| dumb "c" |]) [| dumb "c" |] "another board"

                Expect.equal (Nvml.identify [| at "a"; at "b" |] [| nobody; at "b" |]) [| at "a"; at "b" |] "a is lost"
                Expect.equal (Nvml.identify [| at "a"; at "b" |] [| at "b"; nobody |]) [| at "b"; nobody |] "they have moved"
                Expect.equal (Nvml.identify [| at "a" |] [| at "a"; nobody |]) [| at "a"; nobody |] "one more"
                Expect.equal (Nvml.identify [||] [| nobody |]) [| nobody |] "nobody knew"

            testCase "a GPU is known by its UUID, and by where it is plugged in if another has that UUID too"
            <| fun () ->
                let at uuid bus : Nvml.Identity =
                    {
                        Name = "A"
                        Uuid = uuid
                        PciBusId = bus
                    }

                for devices, keys in
                    [
                        [| at "u" "x"; at "v" "y" |], [| "u"; "v" |]
                        [| at "u" "x"; at "u" "y"; at "v" "z" |], [| "x"; "y"; "v" |]
                        [| at "" "x"; at "" "" |], [| "x"; "#1" |]
                        [| at "u" "x"; at "u" "x" |], [| "#0"; "#1" |]
                        [| at "u" ""; at "u" "y" |], [| "#0"; "y" |]
                    ] do
                    Expect.equal (Nvml.keysOf devices) keys $"%A{devices}"

            testCase "it is opened again at once, then after 1, 2, 4 … seconds, at most a minute"
            <| fun () ->
                Expect.equal
                    [ for attempts in 0..8 -> (Nvml.reopenDelay attempts).TotalSeconds ]
                    [ 0.0; 1.0; 2.0; 4.0; 8.0; 16.0; 32.0; 60.0; 60.0 ]
                    "seconds"

                Expect.equal (Nvml.reopenDelay Int32.MaxValue).TotalSeconds 60.0 "for ever"

            testCase "without an enforced limit the management limit counts"
            <| fun () ->
                let limit device =
                    (Nvml.interpret [| device |]).Gpus[0].PowerLimit

                Expect.equal
                    (limit
                        { healthy with
                            EnforcedPowerLimit = failed 3
                        })
                    (ValueSome 250.0<W>)
                    "not supported"

                Expect.equal
                    (limit
                        { healthy with
                            EnforcedPowerLimit = got UInt32.MaxValue
                        })
                    (ValueSome 250.0<W>)
                    "all ones"

                Expect.equal
                    (limit
                        { healthy with
                            EnforcedPowerLimit = failed 3
                            ManagementPowerLimit = failed 3
                        })
                    ValueNone
                    "neither"

            testCase "codes have the names of nvml.h"
            <| fun () ->
                for code, name in
                    [
                        0, "SUCCESS"
                        1, "UNINITIALIZED"
                        3, "NOT_SUPPORTED"
                        4, "NO_PERMISSION"
                        7, "INSUFFICIENT_SIZE"
                        9, "DRIVER_NOT_LOADED"
                        10, "TIMEOUT"
                        12, "LIBRARY_NOT_FOUND"
                        13, "FUNCTION_NOT_FOUND"
                        15, "GPU_IS_LOST"
                        16, "RESET_REQUIRED"
                        18, "LIB_RM_VERSION_MISMATCH"
                        25, "ARGUMENT_VERSION_MISMATCH"
                        999, "UNKNOWN"
                        77, "error 77"
                    ] do
                    Expect.equal (Nvml.nameOf code) name name

            testCase "the library is opened again after a lost GPU and a driver that went away, and only then"
            <| fun () ->
                let reopening = [ 0..30 ] @ [ 999 ] |> List.filter Nvml.mustReopen
                Expect.equal reopening [ 1; 9; 15; 18 ] "codes"

            testCase "no devices, no GPUs"
            <| fun () -> Expect.equal (Nvml.interpret [||]) { Gpus = [||]; Faults = [||] } "nothing"
        ]
