module Agent.Tests.Gpu.NvmlTests

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

let private healthy: Nvml.Device =
    {
        Index = 2
        Name = got "NVIDIA A10"
        Uuid = got "GPU-a"
        Utilization = got 37u
        MemoryUtilization = got 12u
        MemoryTotal = got 24146608128UL
        MemoryUsed = got 1048576UL
        Temperature = got 45u
        FanSpeed = got 30u
        Power = got 61234u
        EnforcedPowerLimit = got 150000u
        ManagementPowerLimit = got 250000u
    }

let private gpu: Gpu =
    { Gpu.OfIndex 2 with
        Name = "NVIDIA A10"
        Uuid = "GPU-a"
        Utilization = ValueSome 37.0<percent>
        MemoryUtilization = ValueSome 12.0<percent>
        MemoryTotal = ValueSome 24146608128UL<B>
        MemoryUsed = ValueSome 1048576UL<B>
        Temperature = ValueSome 45.0<degC>
        FanSpeed = ValueSome 30.0<percent>
        Power = ValueSome 61.234<W>
        PowerLimit = ValueSome 150.0<W>
    }

[<Tests>]
let tests =
    testList
        "Gpu.Nvml"
        [
            testCase "milliwatts become watts, bytes and per cent stay"
            <| fun () -> Expect.equal (Nvml.interpret [| healthy |]) { Gpus = [| gpu |]; Faults = [||] } "GPU"

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
                                MemoryTotal = got 18446744073709551614UL
                            }
                        |]

                Expect.equal reading.Gpus[0].MemoryTotal (ValueSome 18446744073709551614UL<B>) "bytes"

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
                        SourceError.Unreadable("libnvidia-ml GPU 2 name", "NO_PERMISSION")
                        SourceError.Unreadable("libnvidia-ml GPU 2 temperature", "UNKNOWN")
                    |]
                    "faults"

            testCase "a lost GPU costs nothing of its neighbour"
            <| fun () ->
                let lost: Nvml.Device =
                    {
                        Index = 0
                        Name = failed 15
                        Uuid = failed 15
                        Utilization = failed 15
                        MemoryUtilization = failed 15
                        MemoryTotal = failed 15
                        MemoryUsed = failed 15
                        Temperature = failed 15
                        FanSpeed = failed 15
                        Power = failed 15
                        EnforcedPowerLimit = failed 15
                        ManagementPowerLimit = failed 15
                    }

                let reading = Nvml.interpret [| lost; healthy |]
                Expect.equal reading.Gpus[1] gpu "the neighbour"

                Expect.equal reading.Gpus[0] (Gpu.OfIndex 0) "nothing but its index"

                Expect.hasLength reading.Faults 11 "one for each call"

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
