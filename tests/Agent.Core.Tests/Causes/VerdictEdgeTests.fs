/// Every limit of a verdict at its edge: what is decided on it, and just short of it. The figures are written out; they are those of docs/verdict.md.
module Agent.Core.Tests.VerdictEdgeTests

open System
open Agent.Core
open Agent.Core.Causes
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.TestSupport.VerdictTraces
open Expecto

let private sceneOf (look: Evidence) : Scene =
    Scene.make false look.Gpus look.Host look.Jobs[0]

/// Holds on the limit, and not just short of it.
let private from (name: string) (limit: float) (holds: float -> bool) =
    testCase $"{name}: from {limit} on"
    <| fun () ->
        Expect.isTrue (holds limit) "on the limit"
        Expect.isFalse (holds (limit - 0.001)) "just below"

/// Holds just below the limit, and not on it.
let private below (name: string) (limit: float) (holds: float -> bool) =
    testCase $"{name}: below {limit}"
    <| fun () ->
        Expect.isTrue (holds (limit - 0.001)) "just below"
        Expect.isFalse (holds limit) "on the limit"

/// Holds on the limit, and not just beyond it.
let private upTo (name: string) (limit: float) (holds: float -> bool) =
    testCase $"{name}: up to {limit}"
    <| fun () ->
        Expect.isTrue (holds limit) "on the limit"
        Expect.isFalse (holds (limit + 0.001)) "just beyond"

let private share (value: float) : float<percent> voption =
    ValueSome(LanguagePrimitives.FloatWithMeasure value)

let private rate (value: float) : float<B / s> =
    LanguagePrimitives.FloatWithMeasure value

let private tells (label: VerdictLabel) (findings: Finding list) =
    findings |> List.exists (fun finding -> finding.Label = label)

let private withJob (change: Job -> Job) (look: Evidence) =
    { look with
        Jobs = look.Jobs |> Array.map change
    }

let private withGpus (change: GpuEvidence -> GpuEvidence) (look: Evidence) =
    { look with
        Gpus = look.Gpus |> Array.map change
    }

let private withHost (change: HostEvidence -> HostEvidence) (look: Evidence) = { look with Host = change look.Host }

let private withDisks (change: DiskEvidence -> DiskEvidence) =
    withHost (fun host ->
        { host with
            Disks = host.Disks |> Array.map change
        })

let private withMount (mount: NetworkMountEvidence) =
    withHost (fun host ->
        { host with
            NetworkMounts = [| mount |]
        })

/// Nobody could see what its threads waited in.
let private withoutStates =
    withJob (fun job ->
        { job with
            Blocked = ValueNone
            MainBlocked = ValueNone
        })

let private finds (find: Scene -> Finding list) (label: VerdictLabel) (look: Evidence) = look |> sceneOf |> find |> tells label

let private isHollow (change: GpuEvidence -> GpuEvidence) =
    (compute 2 |> withGpus change |> sceneOf).IsHollow

let private slowed (change: GpuEvidence -> GpuEvidence) =
    GpuCauses.slowed false (change (workingGpu 0))

let private gpus =
    testList
        "GPUs"
        [
            from "busy enough to be hollow" 85.0 (fun busy ->
                isHollow (fun gpu ->
                    { gpu with
                        Busy = share busy
                        Power = ValueSome 140.0<W>
                    }))
            // Watts of 1000, so that they are tenths of a per cent.
            upTo "low power" 35.0 (fun power ->
                isHollow (fun gpu ->
                    { gpu with
                        Power = ValueSome(LanguagePrimitives.FloatWithMeasure(power * 10.0))
                        PowerLimit = ValueSome 1000.0<W>
                    }))
            upTo "low SM activity" 25.0 (fun sm ->
                isHollow (fun gpu ->
                    { gpu with
                        SmActivity = share sm
                        Power = ValueNone
                    }))
            below "power that speaks against it" 50.0 (fun power ->
                isHollow (fun gpu ->
                    { gpu with
                        SmActivity = ValueSome 10.0<percent>
                        Power = ValueSome(LanguagePrimitives.FloatWithMeasure(power * 10.0))
                        PowerLimit = ValueSome 1000.0<W>
                    }))
            below "device memory that is not the limit" 40.0 (fun dram ->
                isHollow (fun gpu ->
                    { gpu with
                        SmActivity = ValueSome 10.0<percent>
                        DramActivity = share dram
                        Power = ValueNone
                    }))
            from "thermal violation" 30.0 (fun violation ->
                slowed (fun gpu ->
                    { gpu with
                        ThermalViolation = share violation
                    })
                    =
                    GpuCauses.Slowed.Heat)
            // Of 1000 MHz.
            below "clock under a power cap" 80.0 (fun clock ->
                slowed (fun gpu ->
                    { gpu with
                        ThrottleReasons = [| "sw_power_cap" |]
                        ClockSm = ValueSome(LanguagePrimitives.FloatWithMeasure(clock * 10.0))
                        ClockSmMax = ValueSome 1000.0<MHz>
                    })
                    =
                    GpuCauses.Slowed.PowerCap)
            below "clock without a reason" 65.0 (fun clock ->
                slowed (fun gpu ->
                    { gpu with
                        ClockSm = ValueSome(LanguagePrimitives.FloatWithMeasure(clock * 10.0))
                        ClockSmMax = ValueSome 1000.0<MHz>
                    })
                    =
                    GpuCauses.Slowed.Clock)
            from "load under which a clock counts" 80.0 (fun busy ->
                slowed (fun gpu ->
                    { gpu with
                        Busy = share busy
                        ClockSm = ValueSome 900.0<MHz>
                    })
                    =
                    GpuCauses.Slowed.Clock)
            testCase "clocks that somebody set are what they should be"
            <| fun () ->
                let found =
                    slowed (fun gpu ->
                        { gpu with
                            ThrottleReasons = [| "applications_clocks_setting" |]
                            ClockSm = ValueSome 900.0<MHz>
                        })

                Expect.equal found GpuCauses.Slowed.No "slowed"
            from "difference between GPUs" 25.0 (fun difference ->
                let gpu index =
                    { workingGpu index with
                        Busy = share (if index = 0 then 60.0 else 60.0 + difference)
                    }

                (second quietHost gpu (healthyJob 2) |> sceneOf |> Imbalance.look).IsSome)
            from "the busiest of unlike GPUs" 50.0 (fun busy ->
                let gpu index =
                    { workingGpu index with
                        Busy = share (if index = 0 then 20.0 else busy)
                    }

                (second quietHost gpu (healthyJob 2) |> sceneOf |> Imbalance.look).IsSome)
            from "difference of power between busy GPUs" 30.0 (fun difference ->
                let gpu index =
                    { workingGpu index with
                        Power = ValueSome(LanguagePrimitives.FloatWithMeasure(if index = 0 then 200.0 + 10.0 * difference else 200.0))
                        PowerLimit = ValueSome 1000.0<W>
                    }

                (second quietHost gpu (healthyJob 2) |> sceneOf |> Imbalance.look).IsSome)
            from "bytes both ways that show collectives" 10e6 (fun bytes ->
                let link =
                    { quietLink with
                        Received = rate bytes
                        Sent = rate bytes
                    }

                (compute 1 |> withHost (fun host -> { host with Links = [| link |] }) |> sceneOf).CanCommunicate)
        ]

let private cpus =
    testList
        "CPUs"
        [
            from "wait for a CPU" 25.0 (fun wait ->
                let scene = oneLoader 1 |> withJob (fun job -> { job with CpuWait = share wait }) |> sceneOf
                (Finding.ranked (CpuCauses.find scene)).Head.Label = VerdictLabel.CpuContended)
            from "throttled periods" 20.0 (fun throttled ->
                quota 1
                |> withJob (fun job ->
                    { job with
                        CpuThrottled = share throttled
                    })
                |> finds CpuCauses.find VerdictLabel.CpuQuota)
            from "use of an allowance, threads waiting" 90.0 (fun used ->
                quota 1
                |> withJob (fun job ->
                    { job with
                        CpuThrottled = ValueSome 0.0<percent>
                        CpuWait = ValueSome 15.0<percent>
                        CpuCores = ValueSome(used / 10.0)
                        CpuCoresAllowed = ValueSome 10.0
                    })
                |> finds CpuCauses.find VerdictLabel.CpuQuota)
            from "use of an allowance, throttled" 60.0 (fun used ->
                quota 1
                |> withJob (fun job ->
                    { job with
                        CpuCores = ValueSome(used / 10.0)
                        CpuCoresAllowed = ValueSome 10.0
                    })
                |> finds CpuCauses.find VerdictLabel.CpuQuota)
            below "an allowance that is less than the machine" 31.5 (fun allowed ->
                compute 1
                |> withJob (fun job ->
                    { job with
                        CpuCoresAllowed = ValueSome allowed
                    })
                |> sceneOf
                |> CpuCauses.isLimited)

            from "one busy thread of another kind" 90.0 (fun busy ->
                remoteData 1
                |> withJob (fun job ->
                    { job with
                        BusiestThread = share busy
                        BusiestThreadRole = ValueSome ThreadRole.Other
                        MainThread = ValueSome 0.0<percent>
                    })
                |> finds CpuCauses.find VerdictLabel.MainThread)
            testCase "GPUs that wait less than a fifth of the time weigh what feeds them less"
            <| fun () ->
                let feeding busy =
                    (oneLoader 1
                     |> withGpus (fun _ -> { workingGpu 0 with Busy = share busy })
                     |> sceneOf)
                        .Feeding

                Expect.equal (feeding 80.0) 1.0 "a fifth"
                Expect.equal (feeding 90.0) 0.5 "a tenth"
                Expect.equal (feeding 100.0) 0.0 "not at all"
            testCase "what explains half of the time is told, less is unknown"
            <| fun () ->
                let label main =
                    inTurns 1
                    |> withGpus (fun gpu ->
                        { gpu with
                            Busy = ValueSome 0.0<percent>
                        })
                    |> withJob (fun job ->
                        { job with
                            MainThread = share main
                            BusiestThread = share main
                        })
                    |> fun look -> (Decision.ofJob (sceneOf look) start Standstill.never).Label

                Expect.equal (label 52.0) VerdictLabel.MainThread "52"
                Expect.equal (label 48.0) VerdictLabel.Unknown "48"
        ]

let private storage =
    testList
        "storage"
        [
            from "blocked loaders" 20.0 (fun blocked ->
                // With four loaders and one main thread that is never blocked.
                reading 1
                |> withJob (fun job ->
                    { job with
                        Blocked = share (blocked * 4.0 / 5.0)
                    })
                |> finds StorageCauses.find VerdictLabel.DiskRead)
            from "a main thread that is blocked while it writes" 8.0 (fun blocked ->
                checkpoints 1
                |> withJob (fun job ->
                    { job with
                        MainBlocked = share blocked
                        Blocked = ValueSome 0.0<percent>
                    })
                |> finds StorageCauses.find VerdictLabel.DiskWrite)
            from "a main thread that is blocked while it reads" 20.0 (fun blocked ->
                reading 1
                |> withJob (fun job ->
                    { job with
                        Loaders = 0
                        LoadersBusy = ValueNone
                        MainBlocked = share blocked
                        Blocked = share blocked
                    })
                |> finds StorageCauses.find VerdictLabel.DiskRead)
            from "a busy disk, where no state is known" 80.0 (fun busy ->
                reading 1
                |> withDisks (fun disk -> { disk with Busy = share busy })
                |> withoutStates
                |> finds StorageCauses.find VerdictLabel.DiskRead)
            from "its queue" 2.0 (fun queue ->
                reading 1
                |> withDisks (fun disk ->
                    { disk with
                        Queue = ValueSome queue
                        ReadLatency = ValueSome 1.0<ms>
                    })
                |> withoutStates
                |> finds StorageCauses.find VerdictLabel.DiskRead)
            from "its latency" 5.0 (fun latency ->
                reading 1
                |> withDisks (fun disk ->
                    { disk with
                        Queue = ValueSome 0.5
                        ReadLatency = ValueSome(LanguagePrimitives.FloatWithMeasure latency)
                    })
                |> withoutStates
                |> finds StorageCauses.find VerdictLabel.DiskRead)
            from "stalls for I/O, where no state is known" 20.0 (fun stall ->
                reading 1
                |> withHost (fun host ->
                    { host with
                        IoStall = share stall
                        Iowait = ValueSome 0.0<percent>
                    })
                |> withoutStates
                |> finds StorageCauses.find VerdictLabel.DiskRead)
            from "operations that wait, where the reader cannot tell what for" 0.5 (fun outstanding ->
                remoteFiles 1
                |> withMount
                    { nfs with
                        Outstanding = ValueSome outstanding
                    }
                |> withJob (fun job ->
                    { job with
                        BlockedOn = ValueNone
                        Read = ValueSome 0.0<B / s>
                    })
                |> finds StorageCauses.find VerdictLabel.NetworkStorage)
            from "operations that wait, where no state is known" 1.0 (fun outstanding ->
                remoteFiles 1
                |> withMount
                    { nfs with
                        Outstanding = ValueSome outstanding
                    }
                |> withoutStates
                |> finds StorageCauses.find VerdictLabel.NetworkStorage)
            from "stalls of the job for memory" 10.0 (fun stall ->
                swapping 1
                |> withJob (fun job -> { job with MemoryStall = share stall })
                |> withHost (fun host ->
                    { host with
                        MemoryStall = ValueSome 0.0<percent>
                    })
                |> finds StorageCauses.find VerdictLabel.Memory)
            from "bytes that come back from swap, beside stalls of the machine" 1e6 (fun bytes ->
                swapping 1
                |> withJob (fun job ->
                    { job with
                        MemoryStall = ValueNone
                        MajorFaults = ValueNone
                    })
                |> withHost (fun host ->
                    { host with
                        SwapIn = ValueSome(rate bytes)
                    })
                |> finds StorageCauses.find VerdictLabel.Memory)
            from "major faults beside stalls of the machine" 100.0 (fun faults ->
                swapping 1
                |> withJob (fun job ->
                    { job with
                        MemoryStall = ValueNone
                        MajorFaults = ValueSome(LanguagePrimitives.FloatWithMeasure faults)
                    })
                |> withHost (fun host ->
                    { host with
                        SwapIn = ValueSome 0.0<B / s>
                    })
                |> finds StorageCauses.find VerdictLabel.Memory)
            from "swapping without PSI" 10e6 (fun bytes ->
                swapping 1
                |> withJob (fun job -> { job with MemoryStall = ValueNone })
                |> withHost (fun host ->
                    { host with
                        MemoryStall = ValueNone
                        SwapIn = ValueSome(rate bytes)
                    })
                |> finds StorageCauses.find VerdictLabel.Memory)
            below "memory available, without PSI" 10.0 (fun available ->
                swapping 1
                |> withJob (fun job -> { job with MemoryStall = ValueNone })
                |> withHost (fun host ->
                    { host with
                        MemoryStall = ValueNone
                        MemoryAvailable = share available
                    })
                |> finds StorageCauses.find VerdictLabel.Memory)
        ]

let private network =
    testList
        "network"
        [
            from "bytes that feed a job" 1e6 (fun bytes ->
                remoteData 1
                |> withJob (fun job ->
                    { job with
                        NetworkReceived = ValueSome(rate bytes)
                    })
                |> finds NetworkCauses.find VerdictLabel.Network)
            below "loaders that sleep" 60.0 (fun busy ->
                remoteData 1
                |> withJob (fun job ->
                    { job with
                        LoadersBusy = share busy
                        CpuWait = ValueSome 0.0<percent>
                    })
                |> finds NetworkCauses.find VerdictLabel.Network)
            from "a full link" 85.0 (fun full ->
                let link =
                    { quietLink with
                        Received = rate (full * 12.5e6)
                    }

                remoteData 1
                |> withJob (fun job ->
                    { job with
                        NetworkReceived = ValueSome 0.0<B / s>
                    })
                |> withHost (fun host -> { host with Links = [| link |] })
                |> finds NetworkCauses.find VerdictLabel.Network)
        ]

let private still =
    testList
        "standing still"
        [
            let quiet change =
                let look = change (deadlocked 1)
                (Standstill.update (sceneOf look) (start.AddHours 1.0) 1.0<s> 30.0<s> Standstill.never)

            upTo "utilisation that is none" 1.0 (fun busy -> (quiet (withGpus (fun gpu -> { gpu with Busy = share busy }))).Unused.IsSome)

            below "cores that are none" 0.05 (fun cores ->
                (quiet (withJob (fun job -> { job with CpuCores = ValueSome cores }))).Unused.IsSome)

            below "bytes that are none" 64e3 (fun bytes ->
                (quiet (
                    withJob (fun job ->
                        { job with
                            Written = ValueSome(rate bytes)
                        })
                ))
                    .Silent.IsSome)

            from "utilisation that is pinned" 98.0 (fun busy ->
                let look = stuck 2 |> withGpus (fun gpu -> { gpu with Busy = share busy })
                (Standstill.update (sceneOf look) (start.AddHours 1.0) 1.0<s> 30.0<s> Standstill.never).Pinned.IsSome)

            let judgedAfter (work: float<s>) (evidence: Evidence) (seconds: float) =
                let worked =
                    { Standstill.never with
                        WorkedFor = work
                    }

                let still = Standstill.update (sceneOf evidence) start 1.0<s> 0.0<s> worked
                Standstill.judge (sceneOf evidence) (start.AddSeconds seconds) still

            let judged = judgedAfter 3600.0<s>

            from "seconds of work before a deadlock" 60.0 (fun seconds -> not (judgedAfter (seconds * 1.0<s>) (deadlocked 1) 200.0).IsNo)
            from "seconds of a hang" 120.0 (fun seconds -> not (judged (stuck 2) seconds).IsNo)
            from "seconds of a deadlock" 120.0 (fun seconds -> not (judged (deadlocked 1) seconds).IsNo)
            from "seconds of an idle hold" 300.0 (fun seconds -> not (judged (forgotten 1) seconds).IsNo)
        ]

let private machines =
    testList
        "machines"
        [
            let ranked change =
                (Finding.ranked (HostCauses.find (change quietHost))).Head.Label

            below "an idle machine" 10.0 (fun busy ->
                ranked (fun host ->
                    { host with
                        Cpus = 8
                        CpuBusy = share busy
                        BusiestCpu = ValueSome 20.0<percent>
                    })
                    =
                    VerdictLabel.Idle)

            from "one CPU of several" 90.0 (fun busy ->
                // A twentieth of eight CPUs is less than one core: only the busiest tells.
                tells
                    VerdictLabel.MainThread
                    (HostCauses.find
                        { quietHost with
                            Cpus = 8
                            CpuBusy = ValueSome 5.0<percent>
                            BusiestCpu = share busy
                        }))

            from "cores that are one thread's" 0.9 (fun used ->
                ranked (fun host ->
                    { host with
                        Cpus = 8
                        CpuBusy = share (used * 12.5)
                        BusiestCpu = ValueNone
                    })
                    =
                    VerdictLabel.MainThread)

            upTo "cores that are one thread's" 1.5 (fun used ->
                ranked (fun host ->
                    { host with
                        Cpus = 8
                        CpuBusy = share (used * 12.5)
                        BusiestCpu = ValueNone
                    })
                    =
                    VerdictLabel.MainThread)

            from "taken by the hypervisor" 10.0 (fun steal ->
                tells VerdictLabel.CpuContended (HostCauses.find { quietHost with Steal = share steal }))

            from "stalls for memory" 10.0 (fun stall ->
                tells
                    VerdictLabel.Memory
                    (HostCauses.find
                        { quietHost with
                            MemoryStall = share stall
                        }))

            from "stalls for I/O" 20.0 (fun stall ->
                tells VerdictLabel.DiskWrite (HostCauses.find { quietHost with IoStall = share stall }))

            from "time waiting for I/O, without PSI" 15.0 (fun iowait ->
                tells
                    VerdictLabel.DiskWrite
                    (HostCauses.find
                        { quietHost with
                            IoStall = ValueNone
                            Iowait = share iowait
                        }))

            from "a full link" 85.0 (fun full ->
                tells
                    VerdictLabel.Network
                    (HostCauses.find
                        { quietHost with
                            Links =
                                [|
                                    { quietLink with
                                        Sent = rate (full * 12.5e6)
                                    }
                                |]
                        }))
        ]

let private clue pull : Clue =
    {
        Witness =
            {
                Name = $"{pull}"
                Value = 1.0
                Limit = ValueNone
                Unit = ""
            }
        Pull = pull
    }

let private finding pulls : Finding =
    {
        Label = VerdictLabel.Compute
        Strength = 100.0<percent>
        Part = 1.0
        Clues = List.map clue pulls
    }

let private confidence =
    testList
        "confidence"
        [
            testCase "one witness is not enough for more than 0.7, nor are one and many halves"
            <| fun () ->
                Expect.floatClose Accuracy.high (Finding.confidence (finding [ 1.0 ])) 0.55 "one"
                Expect.isLessThanOrEqual (Finding.confidence (finding [ 1.0; 0.49; 0.49; 0.49; 0.49 ])) 0.7 "halves"
                Expect.floatClose Accuracy.high (Finding.confidence (finding [ 1.0; 1.0 ])) 0.75 "two"
                Expect.floatClose Accuracy.high (Finding.confidence (finding [ 1.0; 1.0; 1.0; 1.0; 1.0; 1.0 ])) 0.9 "six"

            testCase "whoever contradicts takes away"
            <| fun () ->
                Expect.floatClose Accuracy.high (Finding.confidence (finding [ 1.0; 1.0; -1.0 ])) 0.5 "one against two"
                Expect.floatClose Accuracy.high (Finding.confidence (finding [ -1.0; -1.0; -1.0 ])) 0.05 "nobody for it"

            testCase "a witness that agrees by half counts as one"
            <| fun () -> Expect.isGreaterThan (Finding.confidence (finding [ 1.0; 0.5; 1.0 ])) 0.7 "half"
        ]

[<Tests>]
let tests = testList "Verdict: edges" [ gpus; cpus; storage; network; still; machines; confidence ]
