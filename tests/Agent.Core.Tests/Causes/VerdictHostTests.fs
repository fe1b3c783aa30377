/// Machines whose GPUs nobody uses: builds, data preparations, and nothing at all. GPUs that are used by nobody knows whom.
module Agent.Core.Tests.VerdictHostTests

open System
open Agent.Core
open Agent.Core.Units
open Agent.TestSupport.VerdictTraces
open Expecto

let private host (change: HostEvidence -> HostEvidence) : Evidence =
    {
        At = start
        Length = 1.0<s>
        Host = change quietHost
        Gpus = [||]
        Jobs = [||]
    }

let private idle =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 1.0<percent>
        })

let private build =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 97.0<percent>
            BusiestCpu = ValueSome 100.0<percent>
            CpuStall = ValueSome 60.0<percent>
            Runnable = ValueSome 41
        })

let private linking =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 3.4<percent>
            BusiestCpu = ValueSome 99.0<percent>
        })

let private preparing =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 20.0<percent>
            BusiestCpu = ValueSome 45.0<percent>
            IoStall = ValueSome 85.0<percent>
            Iowait = ValueSome 30.0<percent>
            Disks =
                [|
                    { quietDisk with
                        Busy = ValueSome 100.0<percent>
                        Queue = ValueSome 9.0
                        ReadLatency = ValueSome 8.0<ms>
                        Read = 480e6<B / s>
                    }
                |]
        })

let private untarring =
    { preparing with
        Host =
            { preparing.Host with
                Disks =
                    [|
                        { quietDisk with
                            Busy = ValueSome 100.0<percent>
                            Queue = ValueSome 60.0
                            WriteLatency = ValueSome 90.0<ms>
                            Written = 210e6<B / s>
                        }
                    |]
            }
    }

let private copying =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 12.0<percent>
            Links = [| { quietLink with Sent = 1.15e9<B / s> } |]
        })

let private overNfs =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 15.0<percent>
            IoStall = ValueSome 70.0<percent>
            NetworkMounts = [| nfs |]
        })

let private thrashing =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 40.0<percent>
            MemoryStall = ValueSome 35.0<percent>
            SwapIn = ValueSome 60e6<B / s>
            MemoryAvailable = ValueSome 2.0<percent>
        })

let private stolen =
    host (fun host ->
        { host with
            CpuBusy = ValueSome 55.0<percent>
            Steal = ValueSome 28.0<percent>
            CpuStall = ValueSome 40.0<percent>
        })

let private alone =
    testList
        "without GPUs"
        [
            for label, evidence in
                [
                    "idle", idle
                    "compute", build
                    "main-thread", linking
                    "disk-read", preparing
                    "disk-write", untarring
                    "network", copying
                    "network-storage", overNfs
                    "memory", thrashing
                    "cpu-contended", stolen
                ] do
                testCase label
                <| fun () ->
                    let trace = times 40 evidence
                    let labels = play trace |> List.map (fun (_, verdicts) -> verdicts.Machine.Label.Name)
                    Expect.equal (steps labels) [ "starting"; label ] "labels"
                    let verdict = machineAfter trace
                    Expect.isGreaterThanOrEqual verdict.Confidence 0.5 verdict.Reason
                    Expect.stringEnds verdict.Reason "." "reason"
                    Expect.isEmpty (snd (List.last (play trace))).Jobs "jobs"

            testCase "ZFS's cache and idle huge pages are not pressure: little free memory alone is nothing"
            <| fun () ->
                let full =
                    { build with
                        Host =
                            { build.Host with
                                MemoryAvailable = ValueSome 4.0<percent>
                            }
                    }

                Expect.equal (machineAfter (times 30 full)).Label VerdictLabel.Compute "label"

            testCase "a disk that is busy while nothing waits for it is not the limit"
            <| fun () ->
                let innocent =
                    { build with
                        Host =
                            { build.Host with
                                Disks = preparing.Host.Disks
                                IoStall = ValueSome 5.0<percent>
                            }
                    }

                Expect.equal (machineAfter (times 30 innocent)).Label VerdictLabel.Compute "label"

            testCase "a machine that does a little of everything: nothing is near its limit"
            <| fun () ->
                let some =
                    host (fun host ->
                        { host with
                            CpuBusy = ValueSome 30.0<percent>
                        })

                let verdict = machineAfter (times 30 some)
                Expect.equal verdict.Label VerdictLabel.Unknown "label"
                Expect.stringStarts verdict.Reason "Nothing is near its limit: all CPUs 30%, " "reason"

            testCase "GPUs that nobody uses do not matter"
            <| fun () ->
                let gpu =
                    { waitingGpu 0.0<percent> 0 with
                        IsHeld = false
                    }

                Expect.equal (machineAfter (times 30 { build with Gpus = [| gpu |] })).Label VerdictLabel.Compute "label"
        ]

/// What a sender without jobs leaves: its GPUs and its machine.
let private nobody (look: Evidence) = { look with Jobs = [||] }

let private anonymous =
    testList
        "GPUs of nobody knows whom"
        [
            for label, evidence in
                [
                    "compute", compute 4
                    "throttled", hot 4
                    "communication", collectives 4
                    "imbalance", straggler 4
                    "disk-read", reading 4
                    "network-storage", remoteFiles 4
                    "network", remoteData 4
                ] do
                testCase label
                <| fun () ->
                    let verdict = machineAfter (times 30 (nobody evidence))
                    Expect.equal verdict.Label.Name label "label"
                    Expect.isLessThanOrEqual verdict.Confidence 0.7 "confidence"

            testCase "one CPU that is full may be a main thread or a loader: a guess, and both are told"
            <| fun () ->
                let look =
                    nobody
                        { oneLoader 1 with
                            Host =
                                { quietHost with
                                    BusiestCpu = ValueSome 99.0<percent>
                                }
                        }

                let verdict = machineAfter (times 30 look)
                Expect.equal (verdict.Label, verdict.Second) (VerdictLabel.MainThread, ValueSome VerdictLabel.LoaderCpu) "labels"
                Expect.isLessThan verdict.Confidence 0.7 "confidence"

            testCase "GPUs that are held and do nothing on an idle machine are held-idle after five minutes"
            <| fun () ->
                let look =
                    nobody
                        { forgotten 2 with
                            Host =
                                { quietHost with
                                    CpuBusy = ValueSome 1.0<percent>
                                }
                        }

                Expect.equal (machineAfter (times 400 look)).Label VerdictLabel.HeldIdle "label"
        ]

[<Tests>]
let tests = testList "Verdict: machines" [ alone; anonymous ]
