/// Each label alone, on 1, 4 and 8 GPUs, and beside somebody else who is busy.
module Agent.Core.Tests.VerdictLabelTests

open System
open System.Text.RegularExpressions
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.TestSupport.VerdictTraces
open Expecto

/// What a verdict must have besides its label.
let private isWhole (verdict: Verdict) =
    Expect.isTrue (Regex.IsMatch(verdict.Reason, @"\A[A-Z].*\d.*\.\z")) verdict.Reason
    Expect.isTrue (verdict.Evidence.Length > 0) "witnesses"

    for witness in Array.append verdict.Evidence verdict.RuledOut do
        Expect.isTrue (Double.IsFinite witness.Value) witness.Name
        Expect.isNotEmpty witness.Name "name"

    if verdict.Label <> VerdictLabel.Compute && verdict.Label <> VerdictLabel.Idle then
        Expect.isTrue (Regex.IsMatch(verdict.Fix, @"\A[A-Za-z].*\.\z")) $"fix: {verdict.Fix}"

/// The label within 12 s of evidence and for half a minute after, without another one between.
let private stays (expected: VerdictLabel) (look: Evidence) =
    let trace = times 42 look
    let labels = labelsOf 0 trace
    Expect.equal (steps labels) [ "starting"; expected.Name ] "labels"
    Expect.equal labels[9] expected.Name "after 10 s"
    let verdict = jobAfter trace
    isWhole verdict
    Expect.isGreaterThan verdict.Confidence 0.5 verdict.Reason
    Expect.equal verdict.Since (start.AddSeconds 10.0) "since"
    Expect.equal (machineAfter trace).Label expected "of the machine"

let private cases: (VerdictLabel * (int -> Evidence)) list =
    [
        VerdictLabel.Compute, compute
        VerdictLabel.Throttled, hot
        VerdictLabel.LoaderCpu, oneLoader
        VerdictLabel.MainThread, inTurns
        VerdictLabel.CpuContended, contended
        VerdictLabel.CpuQuota, quota
        VerdictLabel.DiskRead, reading
        VerdictLabel.DiskWrite, checkpoints
        VerdictLabel.NetworkStorage, remoteFiles
        VerdictLabel.Network, remoteData
        VerdictLabel.Memory, swapping
    ]

let private alone =
    testList
        "alone"
        [
            for label, evidence in cases do
                for gpus in [ 1; 4; 8 ] do
                    testCase $"{label.Name} on {gpus} GPUs" <| fun () -> stays label (evidence gpus)

            for gpus in [ 2; 4; 8 ] do
                testCase $"communication on {gpus} GPUs"
                <| fun () -> stays VerdictLabel.Communication (collectives gpus)

                testCase $"imbalance on {gpus} GPUs"
                <| fun () -> stays VerdictLabel.Imbalance (straggler gpus)
        ]

let private withOthers =
    testList
        "beside somebody else who is busy"
        [
            for label, evidence in cases do
                for gpus in [ 1; 4 ] do
                    testCase $"{label.Name} on {gpus} GPUs"
                    <| fun () -> stays label (beside (evidence gpus))

            testCase "communication"
            <| fun () -> stays VerdictLabel.Communication (beside (collectives 4))
            testCase "imbalance"
            <| fun () -> stays VerdictLabel.Imbalance (beside (straggler 4))
        ]

let private job (change: Job -> Job) (look: Evidence) =
    { look with
        Jobs = look.Jobs |> Array.map change
    }

let private words =
    testList
        "words"
        [
            testCase "what usually helps is a sentence for each label, but where nothing needs to be done"
            <| fun () ->
                let nothing =
                    VerdictLabel.All
                    |> Array.filter (fun label -> Verdict.usualFix label = "")
                    |> Array.map _.Name

                Expect.equal (Array.sort nothing) [| "compute"; "idle"; "starting" |] "nothing to do"

                for label in VerdictLabel.All do
                    let fix = Verdict.usualFix label

                    if fix <> "" then
                        Expect.isTrue (Regex.IsMatch(fix, @"\A[A-Za-z].*\.\z")) $"{label.Name}: {fix}"

            testCase "one loader at 100 % of a core: how many workers, out of the cores that are left"
            <| fun () ->
                let verdict = jobAfter (times 20 (oneLoader 1))
                Expect.equal verdict.Reason "The GPU waits 75% of the time while its loader works at 100% of a core." "reason"
                Expect.equal verdict.Fix "Set num_workers=4 (now 1; 28 cores are left), with persistent_workers=True." "fix"

            testCase "eight ranks with one loader each: the number for each rank"
            <| fun () ->
                let verdict = jobAfter (times 20 (oneLoader 8))

                Expect.equal verdict.Reason "The 8 GPUs wait 75% of the time while its 8 loaders work at 100% of a core each." "reason"

                Expect.equal
                    verdict.Fix
                    "Set num_workers=4 in each of the 8 ranks (now 8; 20 cores are left), with persistent_workers=True."
                    "fix"

            testCase "of two cores one is left although other programs take a little of it"
            <| fun () ->
                let two =
                    { oneLoader 1 with
                        Host =
                            { quietHost with
                                Cpus = 2
                                CpuBusy = ValueSome 64.0<percent>
                            }
                    }
                    |> job (fun job ->
                        { job with
                            CpuCores = ValueSome 1.05
                            CpuCoresAllowed = ValueSome 2.0
                        })

                Expect.stringStarts (jobAfter (times 20 two)).Fix "Set num_workers=2 (now 1; 1 core is left)" "fix"

            testCase "no core left: says so"
            <| fun () ->
                let full =
                    { oneLoader 1 with
                        Host =
                            { quietHost with
                                Cpus = 2
                                CpuBusy = ValueSome 99.0<percent>
                            }
                    }
                    |> job (fun job ->
                        { job with
                            Loaders = 2
                            CpuCores = ValueSome 1.98
                            CpuCoresAllowed = ValueSome 2.0
                        })

                let verdict = jobAfter (times 20 full)
                Expect.equal verdict.Label VerdictLabel.LoaderCpu "label"
                Expect.stringStarts verdict.Fix "No core is left for more workers: " "fix"

            testCase "a main thread and its GPU in turns: both figures, and their sum"
            <| fun () ->
                let verdict = jobAfter (times 20 (inTurns 1))

                Expect.equal
                    verdict.Reason
                    "The main thread takes 80% of a core and the GPU is busy 19% of the time: they take turns, and together they fill it."
                    "reason"

                Expect.stringContains verdict.Fix "py-spy record --pid 4242" "fix"

            testCase "a main thread without loaders: num_workers"
            <| fun () ->
                let verdict =
                    inTurns 1
                    |> job (fun job ->
                        { job with
                            Loaders = 0
                            LoadersBusy = ValueNone
                        })
                    |> times 20
                    |> jobAfter

                Expect.equal verdict.Label VerdictLabel.MainThread "label"
                Expect.stringContains verdict.Fix "num_workers=4 and pin_memory=True" "fix"

            testCase "a quota: the figures, and Slurm's option"
            <| fun () ->
                let verdict = jobAfter (times 20 (quota 1))

                Expect.equal
                    verdict.Reason
                    "It uses 2 of the 2 cores that it may use; the machine has 32, and it was throttled in 85% of the periods."
                    "reason"

                Expect.equal verdict.Fix "Give it more CPUs: submit it with --cpus-per-task=4." "fix"

            testCase "reads: looks, bytes, and the disk with its queue and latency"
            <| fun () ->
                Expect.equal
                    (jobAfter (times 20 (reading 1))).Reason
                    "Its loaders wait in 97% of all observations for reads of 1.3 GB/s; nvme0n1 is busy 100% of the time, with 7.5 requests, 6 ms each."
                    "reason"

            testCase "checkpoints: the fix is to write in the background"
            <| fun () ->
                let verdict = jobAfter (times 20 (checkpoints 1))
                Expect.stringStarts verdict.Reason "Its main thread waits in 17% of all observations for writes of 628 MB/s" "reason"
                Expect.stringContains verdict.Fix "async_save" "fix"
                Expect.equal verdict.Second (ValueSome VerdictLabel.Compute) "the GPU is close behind"

            testCase "operations that queue on the client: nconnect"
            <| fun () ->
                let queued =
                    { remoteFiles 1 with
                        Host =
                            { (remoteFiles 1).Host with
                                NetworkMounts =
                                    [|
                                        { nfs with
                                            RoundTrip = ValueSome 2.0<ms>
                                        }
                                    |]
                            }
                    }

                Expect.stringContains (jobAfter (times 20 queued)).Fix "-o nconnect=16" "fix"
                Expect.stringContains (jobAfter (times 20 (remoteFiles 1))).Fix "local disk" "fix of a slow server"

            testCase "heat: the GPU, its clock and its temperature"
            <| fun () ->
                let verdict = jobAfter (times 20 (hot 1))

                Expect.equal verdict.Reason "GPU 0 is slowed: it is too hot, at 1100 of 1980 MHz and 91 °C (hw_thermal_slowdown)." "reason"

                Expect.stringContains verdict.Fix "nvidia-smi -i 0 -pl WATTS" "fix"

            testCase "communication: what moves, and what hardly works"
            <| fun () ->
                Expect.equal
                    (jobAfter (times 20 (collectives 4))).Reason
                    "The 4 GPUs are busy 99% of the time at 20% of the power limit: most of it waits inside collectives, and 80 GB/s go over NVLink."
                    "reason"

            testCase "at 40 % of their power GPUs wait for each other where bytes go between them, and compute where none go"
            <| fun () ->
                let at (nvlink: float<B / s>) =
                    collectives 4
                    |> fun look ->
                        { look with
                            Jobs =
                                look.Jobs
                                |> Array.map (fun job ->
                                    { job with
                                        GpuPower = ValueSome 40.0<percent>
                                    })
                            Gpus =
                                look.Gpus
                                |> Array.map (fun gpu ->
                                    { gpu with
                                        Power = ValueSome 280.0<W>
                                        Nvlink = ValueSome nvlink
                                    })
                        }

                Expect.equal (jobAfter (times 20 (at 20e9<B / s>))).Label VerdictLabel.Communication "moving"
                Expect.equal (jobAfter (times 20 (at 1e6<B / s>))).Label VerdictLabel.Compute "quiet"

            testCase "ranks that wait for each other while their data comes over the network starve, whoever of them comes last"
            <| fun () ->
                let starving (busy: float<percent> list) =
                    let look = remoteData 4

                    { look with
                        Gpus =
                            look.Gpus
                            |> Array.map (fun gpu ->
                                { gpu with
                                    Busy = ValueSome busy[gpu.Index]
                                    Power = ValueSome 165.0<W>
                                })
                        Jobs =
                            look.Jobs
                            |> Array.map (fun job ->
                                { job with
                                    GpuBusy = ValueSome(List.average busy)
                                    GpuPower = ValueSome 24.0<percent>
                                })
                    }

                let verdict =
                    jobAfter (times 20 (starving [ 65.0<percent>; 45.0<percent>; 70.0<percent>; 13.0<percent> ]))

                Expect.equal (verdict.Label, verdict.Second) (VerdictLabel.Network, ValueSome VerdictLabel.Imbalance) "they starve"

                let quiet =
                    { starving [ 65.0<percent>; 66.0<percent>; 70.0<percent>; 13.0<percent> ] with
                        Host = quietHost
                    }
                    |> job (fun job -> { job with NetworkReceived = ValueNone })

                Expect.equal (jobAfter (times 20 quiet)).Label VerdictLabel.Imbalance "no data comes in: one is behind"

            testCase "a job whose memory is full and that reads anew what was evicted lacks memory, though its loaders look busy"
            <| fun () ->
                let look (refaults: float<B / s>) =
                    reading 1
                    |> job (fun job ->
                        { job with
                            LoadersBusy = ValueSome 42.0<percent>
                            Blocked = ValueSome 10.0<percent>
                            Memory = ValueSome 70_000_000UL<B>
                            MemoryLimit = ValueSome 70_000_000UL<B>
                            MemoryStall = ValueNone
                            Refaults = ValueSome refaults
                        })

                Expect.equal (jobAfter (times 20 (look 300e6<B / s>))).Label VerdictLabel.Memory "it reads anew"
                Expect.notEqual (jobAfter (times 20 (look 1e6<B / s>))).Label VerdictLabel.Memory "it reads what it has not read before"

            testCase "checkpoints of which only the disk tells are writes as well"
            <| fun () ->
                let look =
                    checkpoints 1
                    |> job (fun job ->
                        { job with
                            Written = ValueNone
                            MainThread = ValueSome 40.0<percent>
                        })

                let host =
                    { quietHost with
                        IoStall = ValueSome 30.0<percent>
                        Disks =
                            [|
                                { quietDisk with
                                    Busy = ValueSome 45.0<percent>
                                    Written = 620e6<B / s>
                                }
                            |]
                    }

                Expect.equal (jobAfter (times 20 { look with Host = host })).Label VerdictLabel.DiskWrite "the disk's bytes are the job's"

            testCase "a straggler is named"
            <| fun () ->
                Expect.stringContains
                    (jobAfter (times 20 (straggler 4))).Reason
                    "only GPU 3 works hard: 90% of its power limit, the others 21%"
                    "reason"

            testCase "two limits that are close are both told"
            <| fun () ->
                let both =
                    reading 1
                    |> job (fun job ->
                        { job with
                            LoadersBusy = ValueSome 42.0<percent>
                            Blocked = ValueSome 45.0<percent>
                        })

                let verdict = jobAfter (times 20 both)
                Expect.equal (verdict.Label, verdict.Second) (VerdictLabel.DiskRead, ValueSome VerdictLabel.LoaderCpu) "labels"
                Expect.stringEnds verdict.Reason " Close behind: loader-cpu." "reason"
                Expect.isLessThan verdict.Confidence (jobAfter (times 20 (reading 1))).Confidence "confidence"

            testCase "unknown says what was ruled out"
            <| fun () ->
                let nothing =
                    second
                        quietHost
                        (waitingGpu 20.0<percent>)
                        { healthyJob 1 with
                            LoadersBusy = ValueSome 5.0<percent>
                            MainThread = ValueSome 10.0<percent>
                            BusiestThread = ValueSome 10.0<percent>
                        }

                let verdict = jobAfter (times 20 nothing)
                Expect.equal verdict.Label VerdictLabel.Unknown "label"
                Expect.isLessThan verdict.Confidence 0.5 "confidence"
                Expect.equal (verdict.RuledOut |> Array.map _.Name |> Array.contains "loaders busy") true "ruled out"

                Expect.equal
                    verdict.Reason
                    "The GPU waits 80% of the time, and nothing measured explains it: loaders busy 5%, main thread busy 10%, wait for a CPU 1%, throttled periods 0%, threads blocked 2%, busiest disk 2%, received 10 kB/s, tasks that stall for memory 0%, GPU busy 20%."
                    "reason"
        ]

/// The same job of which less is known.
let private partly =
    testList
        "missing evidence"
        [
            testCase "without power a busy GPU is computing, but never for sure"
            <| fun () ->
                let blind index =
                    { workingGpu index with
                        Power = ValueNone
                        ClockSm = ValueNone
                    }

                let verdict = jobAfter (times 20 (second quietHost blind (healthyJob 1)))
                Expect.equal verdict.Label VerdictLabel.Compute "label"
                Expect.isLessThanOrEqual verdict.Confidence 0.7 "confidence"

            testCase "a job of which only its GPUs are known is not called held or hung"
            <| fun () ->
                let blind =
                    second
                        quietHost
                        (waitingGpu 0.0<percent>)
                        { healthyJob 1 with
                            CpuCores = ValueNone
                            MainThread = ValueNone
                            LoadersBusy = ValueNone
                            BusiestThread = ValueNone
                            Blocked = ValueNone
                            MainBlocked = ValueNone
                            Read = ValueNone
                            Written = ValueNone
                            NetworkReceived = ValueNone
                        }

                Expect.equal (jobAfter (times 400 blind)).Label VerdictLabel.Unknown "label"

            testCase "without states a slow disk is told, but not for sure"
            <| fun () ->
                let verdict =
                    reading 1
                    |> job (fun job ->
                        { job with
                            Blocked = ValueNone
                            MainBlocked = ValueNone
                            BlockedOn = ValueNone
                        })
                    |> times 20
                    |> jobAfter

                Expect.equal verdict.Label VerdictLabel.DiskRead "label"
                Expect.isLessThan verdict.Confidence (jobAfter (times 20 (reading 1))).Confidence "confidence"

            testCase "a MIG instance without utilisation is judged by its SM activity"
            <| fun () ->
                let instance index =
                    { workingGpu index with
                        Busy = ValueNone
                        Power = ValueNone
                        SmActivity = ValueSome 88.0<percent>
                    }

                Expect.equal (jobAfter (times 20 (second quietHost instance (healthyJob 1)))).Label VerdictLabel.Compute "label"

            testCase "without the job's own bytes the machine's stand in, and it is less sure"
            <| fun () ->
                let blind = remoteData 1 |> job (fun job -> { job with NetworkReceived = ValueNone })

                let verdict = jobAfter (times 20 blind)
                Expect.equal verdict.Label VerdictLabel.Network "label"
                Expect.isLessThanOrEqual verdict.Confidence 0.7 "not sure"
                Expect.isLessThan verdict.Confidence (jobAfter (times 20 (remoteData 1))).Confidence "confidence"
        ]

[<Tests>]
let tests = testList "Verdict: labels" [ alone; withOthers; words; partly ]
