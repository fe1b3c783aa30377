/// Evidence out of two samples, and what is decided over it.
module Agent.Core.Tests.SampleEvidenceTests

open System
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Core.Tests.DerivedTests
open Expecto

let private stall (total: uint64<us>) : Pressure.Stall =
    { Avg10 = 12.5<percent>; Total = total }

let private pressure (io: uint64<us>) : PressureUse =
    {
        CpuSome = ValueSome(stall 0UL<us>)
        IoSome = ValueSome(stall io)
        IoFull = ValueNone
        MemorySome = ValueSome(stall 0UL<us>)
        MemoryFull = ValueNone
    }

let private disk read busy : DiskStats.DiskCounters =
    {
        Device = "sda"
        Reads = ValueSome 0UL
        ReadBytes = ValueSome read
        Writes = ValueSome 0UL
        WrittenBytes = ValueSome 0UL<B>
        BusyTime = busy
        Detail = ValueNone
    }

let private networkInterface name kind (received: uint64<B>) : InterfaceUse =
    let traffic bytes : NetDev.Traffic =
        {
            Bytes = bytes
            Packets = 0UL
            Errors = 0UL
            Dropped = 0UL
        }

    {
        Counters =
            {
                Name = name
                Received = traffic received
                Sent = traffic 0UL<B>
                Detail = ValueNone
            }
        Kind = kind
        Master = ""
    }

let private sample seconds =
    { sampleAt seconds with
        CpuUsage = ValueSome 40.0<percent>
        CpuIowait = ValueSome 3.0<percent>
        CpuCores = [| ValueSome 20.0<percent>; ValueNone; ValueSome 60.0<percent> |]
        CpuCountLogical = ValueSome 3
    }

let private evidence previous current =
    match SampleEvidence.ofSamples (ValueSome previous) current with
    | ValueSome evidence -> evidence
    | ValueNone -> failtest "no evidence"

let private gpu change : Gpu =
    change
        { Gpu.OfIndex 0 with
            Uuid = "GPU-a"
            Utilization = ValueSome 97.0<percent>
            MemoryTotal = ValueSome 80_000UL<B>
            Power = ValueSome 600.0<W>
            PowerLimit = ValueSome 700.0<W>
            XidCount = ValueSome 2UL
            XidLast = ValueSome 31
            EccUncorrected = ValueSome 5UL
        }

let private withGpu seconds change =
    { sample seconds with
        Gpus = [| gpu change |]
    }

[<Tests>]
let tests =
    testList
        "Evidence of samples"
        [
            testCase "one sample is none, and neither is one that is not later"
            <| fun () ->
                Expect.equal (SampleEvidence.ofSamples ValueNone (sample 0.0)) ValueNone "first"
                Expect.equal (SampleEvidence.ofSamples (ValueSome(sample 5.0)) (sample 5.0)) ValueNone "same"

            testCase "the interval, the CPUs and the share of stalls by their totals"
            <| fun () ->
                let before =
                    { sample 0.0 with
                        Pressure = ValueSome(pressure 1_000_000UL<us>)
                    }

                let after =
                    { sample 4.0 with
                        Pressure = ValueSome(pressure 2_000_000UL<us>)
                    }

                let found = evidence before after
                Expect.equal found.Length 4.0<s> "length"
                Expect.equal found.Host.Cpus 3 "CPUs"
                Expect.equal found.Host.BusiestCpu (ValueSome 60.0<percent>) "busiest"
                Expect.equal found.Host.IoStall (ValueSome 25.0<percent>) "one second of four"
                Expect.equal found.Host.CpuStall (ValueSome 12.5<percent>) "a total that does not move: the kernel's mean"
                Expect.isEmpty found.Jobs "jobs"

            testCase "disks: rates, and a busy time that the kernel does not keep is unknown"
            <| fun () ->
                let before =
                    { sample 0.0 with
                        Disks = [| disk 0UL<B> (ValueSome 0UL<ms>) |]
                    }

                let after =
                    { sample 2.0 with
                        Disks = [| disk 600UL<B> (ValueSome 500UL<ms>) |]
                    }

                let found = (evidence before after).Host.Disks[0]
                Expect.equal (found.Read, found.Busy) (300.0<B / s>, ValueSome 25.0<percent>) "rates"

                let unkept =
                    { sample 2.0 with
                        Disks = [| disk 600UL<B> ValueNone |]
                    }

                Expect.equal (evidence before unkept).Host.Disks[0].Busy ValueNone "busy"

            testCase "links are the physical interfaces; without any the totals"
            <| fun () ->
                let withInterfaces seconds received =
                    { sample seconds with
                        NetworkReceived = ValueSome received
                        NetworkSent = ValueSome 0UL<B>
                        Interfaces =
                            [|
                                networkInterface "eth0" "physical" received
                                networkInterface "bond0" "bond" received
                            |]
                    }

                let links = (evidence (withInterfaces 0.0 0UL<B>) (withInterfaces 2.0 400UL<B>)).Host.Links
                Expect.equal (links |> Array.map (fun link -> link.Name, link.Received)) [| "eth0", 200.0<B / s> |] "one"

                let totals seconds received =
                    { withInterfaces seconds received with
                        Interfaces = [||]
                    }

                let links = (evidence (totals 0.0 0UL<B>) (totals 2.0 400UL<B>)).Host.Links
                Expect.equal (links |> Array.map (fun link -> link.Name, link.Received)) [| "all interfaces", 200.0<B / s> |] "totals"

            testCase "an XID counts in the interval that had it, and uncorrected errors by what was added"
            <| fun () ->
                let same = evidence (withGpu 0.0 id) (withGpu 1.0 id)
                Expect.equal (same.Gpus[0].Xid, same.Gpus[0].EccUncorrected) (ValueNone, 0UL) "nothing new"

                let worse (gpu: Gpu) =
                    { gpu with
                        XidCount = ValueSome 3UL
                        XidLast = ValueSome 79
                        EccUncorrected = ValueSome 8UL
                    }

                let found = evidence (withGpu 0.0 id) (withGpu 1.0 worse)
                Expect.equal (found.Gpus[0].Xid, found.Gpus[0].EccUncorrected) (ValueSome 79, 3UL) "new"

                let never (gpu: Gpu) =
                    { gpu with
                        XidCount = ValueNone
                        XidLast = ValueNone
                    }

                Expect.equal (evidence (withGpu 0.0 never) (withGpu 1.0 id)).Gpus[0].Xid (ValueSome 31) "the first one"

            testCase "a GPU that answers nothing is lost, one that sleeps is not"
            <| fun () ->
                let silent (gpu: Gpu) = gpu.WithoutValues
                Expect.isTrue (evidence (withGpu 0.0 id) (withGpu 1.0 silent)).Gpus[0].IsLost "lost"

                let sleeping (gpu: Gpu) = { silent gpu with IsSuspended = true }

                Expect.isFalse (evidence (withGpu 0.0 id) (withGpu 1.0 sleeping)).Gpus[0].IsLost "asleep"

            testCase "a verdict over samples: GPUs at work, a lost one, and a machine without any"
            <| fun () ->
                let after many change =
                    let samples = [ for i in 0..many -> change (float i) ]

                    ((VerdictState.Empty, ValueNone), List.pairwise samples)
                    ||> List.fold (fun (state, _) (before, now) ->
                        let state, verdicts = Verdict.decide state (evidence before now)
                        state, ValueSome verdicts)
                    |> snd
                    |> ValueOption.get

                Expect.equal (after 20 (fun i -> withGpu i id)).Machine.Label VerdictLabel.Compute "at work"

                Expect.equal
                    (after 20 (fun i -> withGpu i (fun gpu -> if i > 15.0 then gpu.WithoutValues else gpu))).Machine.Label
                    VerdictLabel.GpuFault
                    "lost"

                let idle i =
                    { sample i with
                        CpuUsage = ValueSome 2.0<percent>
                        CpuIowait = ValueSome 0.0<percent>
                        CpuCores = [||]
                    }

                Expect.equal (after 20 idle).Machine.Label VerdictLabel.Idle "idle"
        ]
