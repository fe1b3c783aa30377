/// What NVML tells of a GPU's work, from the library's numbers to shares, worked out by hand.
module Agent.Core.Tests.Gpu.NvmlWorkTests

open System
open Agent.Core.Gpu
open Agent.Core.Units
open Expecto

let private got value : Nvml.Call<'a> = { Code = 0; Value = value }

let private failed code : Nvml.Call<'a> =
    {
        Code = code
        Value = Unchecked.defaultof<'a>
    }

let private nanoseconds (value: uint64) : Nvml.Field =
    {
        Return = 0
        ValueType = 3
        Bits = value
    }

let private noField code : Nvml.Field =
    {
        Return = code
        ValueType = 0
        Bits = 0UL
    }

/// Samples as nvmlProcessUtilizationSample_t lies in memory: pid 0, timeStamp 8, smUtil 16.
let private samples (entries: (uint32 * uint64 * uint32) list) : byte[] =
    let buffer = Array.create (entries.Length * 32) 0xEEuy

    entries
    |> List.iteri (fun i (pid, at, sm) ->
        BitConverter.TryWriteBytes(Span(buffer, i * 32, 4), pid) |> ignore
        BitConverter.TryWriteBytes(Span(buffer, i * 32 + 8, 8), at) |> ignore
        BitConverter.TryWriteBytes(Span(buffer, i * 32 + 16, 4), sm) |> ignore)

    buffer

let private read (entries: (uint32 * uint64 * uint32) list) (since: uint64) =
    let struct (newest, shares) = NvmlWork.shares (ReadOnlySpan(samples entries)) entries.Length since

    newest, shares |> Array.map (fun one -> one.Process, float one.Share) |> List.ofArray

let private calls: NvmlWork.Calls =
    {
        Board = 2
        BoardUuid = "GPU-a"
        Gpm =
            [|
                got 88.5
                got 45.0
                got 30.25
                got 1.0
                got 2.0
                got 3.0
                got 4.5
                got 95.0
                got 12.5
            |]
        InstanceGpm = [||]
        Length = TimeSpan.FromSeconds 2.0
        ViolationsBefore = [| nanoseconds 5_000_000_000UL; nanoseconds 100UL; noField 3; noField 3 |]
        Violations =
            [|
                nanoseconds 5_500_000_000UL
                nanoseconds 200_000_100UL
                noField 3
                noField 3
            |]
        Shares =
            got
                [|
                    {
                        Process = 4711
                        Share = 61.0<percent>
                    }
                |]
    }

let private workOf calls =
    (NvmlWork.interpret [| calls |]).Work[0]

let private faultsOf calls =
    (NvmlWork.interpret [| calls |]).Faults |> Array.map string |> List.ofArray

[<Tests>]
let tests =
    testList
        "Gpu.NvmlWork"
        [
            testCase "shares stay per cent, MiB become bytes, and grown nanoseconds a share of the time"
            <| fun () ->
                let work = workOf calls
                Expect.equal (work.GpuIndex, work.GpuUuid) (2, "GPU-a") "which"
                Expect.equal work.SmActivity (ValueSome 88.5<percent>) "multiprocessors"
                Expect.equal work.TensorActivity (ValueSome 45.0<percent>) "tensor cores"
                Expect.equal work.DramActivity (ValueSome 30.25<percent>) "memory"
                // TX is from the GPU, RX to it.
                Expect.equal (work.PcieOut, work.PcieIn) (ValueSome 1048576.0<B / s>, ValueSome 2097152.0<B / s>) "PCIe"
                Expect.equal work.NvlinkBoth (ValueSome 7864320.0<B / s>) "3 and 4.5 MiB/s"
                let gpm = work.Gpm
                Expect.equal (gpm.Graphics, gpm.Occupancy) (ValueSome 95.0<percent>, ValueSome 12.5<percent>) "engine and warps"

                Expect.equal
                    (gpm.Sm, gpm.Tensor, gpm.Dram)
                    (ValueSome 88.5<percent>, ValueSome 45.0<percent>, ValueSome 30.25<percent>)
                    "the same shares"

                Expect.equal (gpm.PcieOut, gpm.PcieIn) (ValueSome 1048576.0<B / s>, ValueSome 2097152.0<B / s>) "the same rates"
                Expect.equal (gpm.NvlinkIn, gpm.NvlinkOut) (ValueSome 3145728.0<B / s>, ValueSome 4718592.0<B / s>) "each way of NVLink"
                // 0.5 s and 0.2 s of 2 s.
                Expect.equal work.PowerViolation (ValueSome 25.0<percent>) "power"
                Expect.equal work.ThermalViolation (ValueSome 10.0<percent>) "heat"
                Expect.equal (work.Shares |> ValueOption.map (Array.map _.Process)) (ValueSome [| 4711 |]) "processes"
                Expect.equal (faultsOf calls) [] "no fault"

            testCase "the metrics and fields that are asked for have nvml.h's numbers"
            <| fun () ->
                Expect.equal NvmlWork.metrics [| 2u; 5u; 10u; 20u; 21u; 60u; 61u; 1u; 3u |] "metrics"
                Expect.equal NvmlWork.violationFields [| 74u; 75u; 269u; 270u |] "fields"

            testCase "heat is what the counter says that counts most of it"
            <| fun () ->
                let slowed power thermal software hardware =
                    { calls with
                        ViolationsBefore = Array.create 4 (nanoseconds 0UL)
                        Violations = [| power; thermal; software; hardware |]
                    }
                    |> workOf
                    |> fun work -> work.PowerViolation, work.ThermalViolation

                let second = nanoseconds 1_000_000_000UL

                Expect.equal
                    (slowed (noField 3) (noField 3) (nanoseconds 500_000_000UL) second)
                    (ValueNone, ValueSome 50.0<percent>)
                    "newer drivers"

                Expect.equal (slowed second (noField 4) (noField 4) (noField 4)) (ValueSome 50.0<percent>, ValueNone) "refused"

            testCase
                "a counter that fell, a first reading and no time at all give no share; one that grew by more than the time is all of it"
            <| fun () ->
                let share = NvmlWork.violation (TimeSpan.FromSeconds 1.0)
                Expect.equal (share (nanoseconds 2UL) (nanoseconds 1UL)) ValueNone "fell"
                Expect.equal (share (nanoseconds 0UL) (nanoseconds 0UL)) (ValueSome 0.0<percent>) "stands still"
                Expect.equal (share (nanoseconds 0UL) (nanoseconds 2_000_000_000UL)) (ValueSome 100.0<percent>) "more than the time"
                Expect.equal (share (noField 3) (nanoseconds 1UL)) ValueNone "not there before"
                Expect.equal (NvmlWork.violation TimeSpan.Zero (nanoseconds 0UL) (nanoseconds 1UL)) ValueNone "no time"
                let first = workOf { calls with ViolationsBefore = [||] }
                Expect.equal (first.PowerViolation, first.ThermalViolation) (ValueNone, ValueNone) "a first reading"

            testCase "what GPM does not have or refuses is none and no fault; another code is told, and costs its own field"
            <| fun () ->
                for code in [ 3; 4; 13; 15; 16 ] do
                    let refused =
                        { calls with
                            Gpm = Array.create 7 (failed code)
                            Shares = failed code
                            Violations = Array.create 4 (noField code)
                        }

                    let work = workOf refused
                    Expect.equal (work.SmActivity, work.TensorActivity, work.DramActivity) (ValueNone, ValueNone, ValueNone) $"{code}"
                    Expect.equal (work.PcieIn, work.NvlinkBoth, work.PowerViolation) (ValueNone, ValueNone, ValueNone) $"{code}"
                    Expect.isTrue work.Shares.IsNone $"{code}"
                    Expect.equal (faultsOf refused) [] $"{code}"

                let broken =
                    { calls with
                        Gpm = Array.append [| failed 999; failed 999 |] (Array.skip 2 calls.Gpm)
                        Shares = failed 999
                    }

                Expect.equal
                    ((workOf broken).SmActivity, (workOf broken).DramActivity)
                    (ValueNone, ValueSome 30.25<percent>)
                    "its own field"

                Expect.equal
                    (faultsOf broken)
                    [
                        "libnvidia-ml GPU 2 GPM cannot be read: UNKNOWN"
                        "libnvidia-ml GPU 2 process utilization cannot be read: UNKNOWN"
                    ]
                    "each once"

            testCase "a share a little over 100 is a rounding, another one impossible"
            <| fun () ->
                let activity value =
                    (workOf
                        { calls with
                            Gpm = Array.create 7 (got value)
                        })
                        .SmActivity

                Expect.equal (activity 100.4) (ValueSome 100.0<percent>) "rounding"
                Expect.equal (activity 255.0) ValueNone "impossible"
                Expect.equal (activity -1.0) ValueNone "negative"
                Expect.equal (activity nan) ValueNone "not a number"

            testCase "a board that is divided did what its instances in use did, on average"
            <| fun () ->
                let work =
                    workOf
                        { calls with
                            Gpm = [||]
                            InstanceGpm =
                                [|
                                    struct ("MIG-a", [| got 70.0; got 10.0; failed 3 |])
                                    struct ("MIG-b", [| got 30.0; failed 3; failed 3 |])
                                    struct ("MIG-c", [||])
                                |]
                        }

                Expect.equal work.SmActivity (ValueSome 50.0<percent>) "mean of 70 and 30"
                Expect.equal (work.TensorActivity, work.DramActivity) (ValueSome 10.0<percent>, ValueNone) "of those that are known"

                Expect.equal
                    (work.Instances
                     |> Array.map (fun one -> one.Instance, one.Activity)
                     |> List.ofArray)
                    [
                        "MIG-a", ValueSome 70.0<percent>
                        "MIG-b", ValueSome 30.0<percent>
                        "MIG-c", ValueNone
                    ]
                    "instances"

                Expect.equal work.Gpm.Sm ValueNone "the board has none of its own"
                Expect.equal work.Instances[0].Gpm.Tensor (ValueSome 10.0<percent>) "an instance has"

            testCase "a process's share is the mean of its samples, and the newest time is where to go on"
            <| fun () ->
                Expect.equal (read [ 4711u, 200UL, 60u; 12u, 190UL, 7u; 4711u, 210UL, 30u ] 100UL) (210UL, [ 4711, 45.0; 12, 7.0 ]) "two"
                Expect.equal (read [] 100UL) (100UL, []) "none"

            testCase "samples of nobody, of an old time and of impossible shares are passed over"
            <| fun () ->
                Expect.equal
                    (read
                        [
                            0u, 200UL, 60u
                            4711u, 100UL, 60u
                            4712u, 200UL, 101u
                            0xFFFFFFFFu, 9000UL, 1u
                            4713u, 150UL, 100u
                        ]
                        100UL)
                    (150UL, [ 4713, 100.0 ])
                    "one is left"

            testCase "a count that is larger than the buffer reads what is there"
            <| fun () ->
                let buffer = samples [ 4711u, 200UL, 60u ]
                let struct (_, shares) = NvmlWork.shares (ReadOnlySpan buffer) 50 0UL
                Expect.equal (shares |> Array.map _.Process) [| 4711 |] "one"
        ]
