/// What a verdict does over time: the window, how labels change, bursts, jobs side by side, and standing still.
module Agent.Core.Tests.VerdictTimeTests

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.TestSupport.VerdictTraces
open Expecto

/// When the labels changed: the second, and to which.
let private changes (trace: Evidence list) : (int * string) list =
    let labels = labelsOf 0 trace

    ("", List.indexed labels)
    ||> List.mapFold (fun before (i, label) -> (if label = before then None else Some(i + 1, label)), label)
    |> fst
    |> List.choose id

let private ofLength (length: float<s>) (look: Evidence) = { look with Length = length }

let private named (id: string) (user: string) (place: int) (look: Evidence) : Evidence =
    { look with
        Gpus =
            look.Gpus
            |> Array.map (fun gpu ->
                { gpu with
                    Index = gpu.Index + place
                    Uuid = $"GPU-{gpu.Index + place}"
                })
        Jobs =
            look.Jobs
            |> Array.map (fun job ->
                { job with
                    Id = id
                    User = user
                    Name = $"{user}.py"
                    Gpus =
                        job.Gpus
                        |> Array.map (fun gpu ->
                            { gpu with
                                Index = gpu.Index + place
                                Uuid = $"GPU-{gpu.Index + place}"
                            })
                })
    }

/// Two jobs of two users on one machine.
let private together (one: Evidence) (other: Evidence) : Evidence =
    let one = named "slurm-1" "alice" 0 one
    let other = named "slurm-2" "bob" one.Gpus.Length other

    { one with
        Gpus = Array.append one.Gpus other.Gpus
        Jobs = Array.append one.Jobs other.Jobs
    }

let private changing =
    testList
        "changes"
        [
            testCase "starting for ten seconds, whatever is seen"
            <| fun () -> Expect.equal (changes (times 40 (oneLoader 1))) [ 1, "starting"; 10, "loader-cpu" ] "changes"

            testCase "looks of two seconds: the fifth is enough"
            <| fun () ->
                let look = ofLength 2.0<s> (oneLoader 1)
                Expect.equal (changes (times 20 look)) [ 1, "starting"; 5, "loader-cpu" ] "changes"

            testCase "a look of a minute is enough by itself"
            <| fun () -> Expect.equal (changes (times 3 (ofLength 60.0<s> (oneLoader 1)))) [ 1, "loader-cpu" ] "changes"

            testCase "another label takes until the window says so, and ten seconds more"
            <| fun () ->
                match changes (times 60 (compute 1) @ times 60 (oneLoader 1)) with
                | [ 1, "starting"; 10, "compute"; at, "loader-cpu" ] ->
                    Expect.isGreaterThanOrEqual at 70 "not before ten seconds of it"
                    Expect.isLessThanOrEqual at 105 "within 45 s"
                | other -> failtest $"%A{other}"

            testCase "every label is right within 45 s of a change"
            <| fun () ->
                for label, evidence in
                    [
                        "loader-cpu", oneLoader 1
                        "main-thread", inTurns 1
                        "cpu-contended", contended 1
                        "disk-read", reading 1
                        "network", remoteData 1
                        "network-storage", remoteFiles 1
                        "throttled", hot 1
                        "memory", swapping 1
                    ] do
                    let labels = labelsOf 0 (times 120 (compute 1) @ times 45 evidence)
                    Expect.equal (List.last labels) label "after 45 s"

                    let back = labelsOf 0 (times 120 evidence @ times 45 (compute 1))
                    Expect.equal (List.last back) "compute" $"45 s after {label}"

            testCase "nine seconds of something else change nothing"
            <| fun () ->
                let trace = times 60 (compute 1) @ times 9 (oneLoader 1) @ times 60 (compute 1)
                Expect.equal (changes trace) [ 1, "starting"; 10, "compute" ] "changes"

            testCase "95 % and 20 % by turns every three seconds keep one label"
            <| fun () ->
                for low in [ oneLoader 1; inTurns 1; reading 1; remoteData 1 ] do
                    let turn = times 3 (compute 1) @ times 3 low
                    let found = changes (List.concat (List.replicate 40 turn))
                    Expect.isLessThanOrEqual found.Length 3 $"at most one change in four minutes: %A{found}"

            testCase "labels by turns every 40 s: never two changes within a minute"
            <| fun () ->
                let turn = times 40 (compute 1) @ times 40 (oneLoader 1)
                let found = changes (List.concat (List.replicate 8 turn)) |> List.skip 2 |> List.map fst
                Expect.isNonEmpty found "it does change"

                for earlier, later in List.pairwise found do
                    Expect.isGreaterThanOrEqual (later - earlier) 60 "a minute"

            testCase "a clock that is set back loses the window, not the label"
            <| fun () ->
                let state =
                    (VerdictState.Empty, timed (times 30 (oneLoader 1)))
                    ||> List.fold (fun state look -> fst (Verdict.decide state look))

                let back =
                    { oneLoader 1 with
                        At = start.AddDays -1.0
                    }

                let _, verdicts = Verdict.decide state back
                let struct (_, verdict) = verdicts.Jobs[0]
                Expect.equal verdict.Label VerdictLabel.LoaderCpu "label"

            testCase "while another label is decided the shown one is not sure, and the other one is told"
            <| fun () ->
                let trace = times 120 (compute 1) @ times 24 (oneLoader 1)
                let _, verdicts = List.last (play trace)
                let struct (_, verdict) = verdicts.Jobs[0]

                if verdict.Label = VerdictLabel.Compute then
                    Expect.equal verdict.Second (ValueSome VerdictLabel.LoaderCpu) "second"
                    Expect.isLessThanOrEqual verdict.Confidence 0.7 "confidence"
                else
                    Expect.equal verdict.Label VerdictLabel.LoaderCpu "label"

            testCase "a young job is starting while it sets itself up, and is not judged by that"
            <| fun () ->
                let young (look: Evidence) =
                    { look with
                        Jobs = look.Jobs |> Array.map (fun job -> { job with StartedAt = ValueSome start })
                    }

                let imports =
                    second
                        quietHost
                        (waitingGpu 0.0<percent>)
                        { healthyJob 1 with
                            MainThread = ValueSome 100.0<percent>
                            LoadersBusy = ValueNone
                            Loaders = 0
                        }

                Expect.equal
                    (changes (times 20 (young imports) @ times 60 (young (reading 1))))
                    [ 1, "starting"; 30, "disk-read" ]
                    "changes"

                Expect.equal
                    (changes (times 60 (young imports)))
                    [ 1, "starting"; 30, "main-thread" ]
                    "one that never uses its GPUs is judged after half a minute"
        ]

let private bursts =
    testList
        "bursts"
        [
            testCase "checkpoints for two of five seconds are disk-write"
            <| fun () ->
                let writing =
                    { checkpoints 1 with
                        Gpus = [| waitingGpu 0.0<percent> 0 |]
                        Jobs =
                            (checkpoints 1).Jobs
                            |> Array.map (fun job ->
                                { job with
                                    MainThread = ValueSome 45.0<percent>
                                    MainBlocked = ValueSome 50.0<percent>
                                    Blocked = ValueSome 10.0<percent>
                                    Written = ValueSome 1.4e9<B / s>
                                })
                    }

                let training =
                    { compute 1 with
                        Jobs =
                            (compute 1).Jobs
                            |> Array.map (fun job ->
                                { job with
                                    MainThread = ValueSome 3.0<percent>
                                })
                    }

                let turn = times 2 training @ times 3 writing
                let found = changes (List.concat (List.replicate 24 turn))
                Expect.equal (found |> List.map snd) [ "starting"; "disk-write" ] "labels"

            testCase "loaders and GPUs by turns within each second leave their means"
            <| fun () ->
                let fast =
                    times 1 (compute 1 |> ofLength 0.5<s>)
                    @ times 1 (oneLoader 1 |> ofLength 0.5<s>)

                let found = changes (List.concat (List.replicate 120 fast))
                Expect.isLessThanOrEqual found.Length 3 $"%A{found}"
        ]

let private several =
    testList
        "several"
        [
            testCase "two jobs of two users get each its own verdict"
            <| fun () ->
                for (one, first), (other, second) in
                    List.allPairs
                        [ "compute", compute 2; "loader-cpu", oneLoader 2; "disk-read", reading 2 ]
                        [ "compute", compute 1; "main-thread", inTurns 1; "network", remoteData 1 ] do
                    let both = together first second

                    // Whoever reads or fetches shows on the machine that they share.
                    let shared =
                        { both with
                            Host =
                                { both.Host with
                                    Disks = first.Host.Disks
                                    IoStall = first.Host.IoStall
                                    Links = second.Host.Links
                                }
                        }

                    let trace = times 40 shared
                    Expect.equal (steps (labelsOf 0 trace)) [ "starting"; one ] "alice"
                    Expect.equal (steps (labelsOf 1 trace)) [ "starting"; other ] "bob"

            testCase "the machine's verdict is that of the worst job, and says whose it is"
            <| fun () ->
                let verdict = machineAfter (times 40 (together (compute 4) (oneLoader 1)))
                Expect.equal verdict.Label VerdictLabel.LoaderCpu "label"
                Expect.stringStarts verdict.Reason "bob.py of bob: The GPU waits 75%" "reason"

            testCase "of jobs that are equally bad the one with more GPUs is told"
            <| fun () ->
                let verdict = machineAfter (times 40 (together (oneLoader 1) (inTurns 4)))
                Expect.equal verdict.Label VerdictLabel.MainThread "label"

            testCase "eight ranks of one launcher are one job"
            <| fun () ->
                let ranks (look: Evidence) =
                    { look with
                        Jobs =
                            look.Jobs
                            |> Array.map (fun job ->
                                { job with
                                    Processes = 1 + 8 * 5
                                    Threads = 8 * 60
                                    Loaders = 32
                                })
                    }

                Expect.equal (jobAfter (times 40 (ranks (inTurns 8)))).Label VerdictLabel.MainThread "main threads"
                Expect.equal (jobAfter (times 40 (ranks (compute 8)))).Label VerdictLabel.Compute "compute"

            testCase "one of eight GPUs busy: seven do nothing"
            <| fun () ->
                let gpu index =
                    if index = 3 then
                        workingGpu index
                    else
                        waitingGpu 0.0<percent> index

                let verdict = jobAfter (times 40 (second quietHost gpu (healthyJob 8)))
                Expect.equal verdict.Label VerdictLabel.Imbalance "label"
                Expect.stringStarts verdict.Reason "7 of its 8 GPUs do nothing" "reason"
                Expect.stringContains verdict.Fix "torchrun --nproc-per-node=8" "fix"

            testCase "one rank that gets its data late: the others spin at low power"
            <| fun () ->
                let gpu index =
                    if index = 2 then
                        waitingGpu 40.0<percent> index
                    else
                        { workingGpu index with
                            Power = ValueSome 160.0<W>
                        }

                let verdict = jobAfter (times 40 (second quietHost gpu (healthyJob 4)))
                Expect.equal verdict.Label VerdictLabel.Imbalance "label"
                Expect.stringStarts verdict.Reason "GPU 2 is busy 40% of the time, the others 97% at low power" "reason"

            testCase "one rank that the others wait for, though they do not spin"
            <| fun () ->
                let gpu index =
                    if index = 1 then
                        workingGpu index
                    else
                        waitingGpu 55.0<percent> index

                let verdict = jobAfter (times 40 (second quietHost gpu (healthyJob 4)))
                Expect.equal verdict.Label VerdictLabel.Imbalance "label"
                Expect.stringStarts verdict.Reason "GPU 1 is busy 97% of the time, the others only 55%: they wait for it." "reason"

            testCase "a hot straggler says why it is behind"
            <| fun () ->
                let gpu index =
                    if index = 0 then
                        { workingGpu index with
                            ThrottleReasons = [| "sw_thermal_slowdown" |]
                            ClockSm = ValueSome 1200.0<MHz>
                        }
                    else
                        waitingGpu 55.0<percent> index

                let verdict = jobAfter (times 40 (second quietHost gpu (healthyJob 4)))
                Expect.equal verdict.Label VerdictLabel.Imbalance "label"
                Expect.stringContains verdict.Reason "It is behind because it is too hot, at 1200 of 1980 MHz." "reason"

            testCase "jobs that ended leave: nothing is remembered of them after half a minute"
            <| fun () ->
                let trace =
                    [ for i in 1..200 -> named $"job-{i}" "carol" 0 (compute 1) ]
                    @ times 40 (compute 1)

                let state =
                    (VerdictState.Empty, timed trace)
                    ||> List.fold (fun state look -> fst (Verdict.decide state look))

                Expect.equal state.Jobs.Length 1 "jobs"
                Expect.isLessThanOrEqual state.Looks.Length 64 "looks"

            testCase "ten looks a second: the window stays half a minute, and bounded"
            <| fun () ->
                let trace = times 900 (compute 1 |> ofLength 0.1<s>)

                let state =
                    (VerdictState.Empty, timed trace)
                    ||> List.fold (fun state look ->
                        let next, _ = Verdict.decide state look
                        Expect.isLessThanOrEqual next.Looks.Length 64 "looks"
                        next)

                let newest = state.Looks[state.Looks.Length - 1].At
                let span = newest - state.Looks[0].At
                Expect.isGreaterThan span.TotalSeconds 15.0 "span"

            testCase "a job that one look misses keeps its label"
            <| fun () ->
                let without = { oneLoader 1 with Jobs = [||] }
                let trace = times 30 (oneLoader 1) @ [ without ] @ times 3 (oneLoader 1)
                Expect.equal (jobAfter trace).Label VerdictLabel.LoaderCpu "label"
        ]

let private standing =
    testList
        "standing still"
        [
            testCase "collectives that never end: a hang after two minutes"
            <| fun () ->
                let found = changes (times 200 (stuck 4))

                match List.last found with
                | at, "hang" ->
                    Expect.isGreaterThanOrEqual at 120 "not before two minutes"
                    Expect.isLessThanOrEqual at 135 "soon after"
                | other -> failtest $"%A{other}"

                let verdict = jobAfter (times 200 (stuck 4))

                Expect.equal
                    verdict.Reason
                    "It stopped: for 3 minutes utilisation has been at 100% at 17% of the power limit, no CPU time is used and no bytes move."
                    "reason"

                Expect.stringContains verdict.Fix "py-spy dump --pid 4242" "fix"

            testCase "a hang whose main thread spins: nothing moves between the GPUs"
            <| fun () ->
                let spinning =
                    { stuck 4 with
                        Jobs =
                            (stuck 4).Jobs
                            |> Array.map (fun job ->
                                { job with
                                    CpuCores = ValueSome 4.0
                                    MainThread = ValueSome 100.0<percent>
                                })
                    }

                let verdict = jobAfter (times 200 spinning)
                Expect.equal verdict.Label VerdictLabel.Hang "label"
                Expect.isLessThanOrEqual verdict.Confidence 0.7 "confidence"

            testCase "loaders and main threads that wait for each other: a hang"
            <| fun () -> Expect.equal (jobAfter (times 90 (compute 1) @ times 200 (deadlocked 1))).Label VerdictLabel.Hang "label"

            testCase "a server with a helper that sleeps, never seen at work: held, and not said to hang"
            <| fun () ->
                Expect.equal (jobAfter (times 200 (deadlocked 1))).Label VerdictLabel.Unknown "before five minutes"
                let verdict = jobAfter (times 400 (deadlocked 1))
                Expect.equal verdict.Label VerdictLabel.HeldIdle "label"
                Expect.isLessThanOrEqual verdict.Confidence 0.6 "confidence"
                Expect.stringContains verdict.Reason "A server that waits looks the same" "reason"

            testCase "a server that is asked now and then does not hang between"
            <| fun () ->
                let burst = times 100 (compute 1) @ times 150 (deadlocked 1)
                let labels = labelsOf 0 (burst @ burst @ burst)
                // After the first time nobody can know.
                Expect.isFalse (labels |> List.skip 340 |> List.contains "hang") "never again"

            testCase "a job that was stopped by a signal says so, and how to continue it"
            <| fun () ->
                let stopped =
                    { deadlocked 1 with
                        Jobs =
                            (deadlocked 1).Jobs
                            |> Array.map (fun job ->
                                { job with
                                    IsStopped = true
                                    DriverPid = 4300
                                })
                    }

                let verdict = jobAfter (times 60 (compute 1) @ times 80 stopped)
                Expect.equal verdict.Label VerdictLabel.Hang "label"
                Expect.stringContains verdict.Reason "stopped by a signal (SIGSTOP" "reason"
                Expect.equal verdict.Fix "kill -CONT 4300 continues it." "fix"

            testCase "a trainer stuck in the kernel on its storage: a hang that says so"
            <| fun () ->
                let dead =
                    { deadlocked 1 with
                        Jobs =
                            (deadlocked 1).Jobs
                            |> Array.map (fun job ->
                                { job with
                                    Loaders = 0
                                    LoadersBusy = ValueNone
                                    Blocked = ValueSome 100.0<percent>
                                    MainBlocked = ValueSome 100.0<percent>
                                    BlockedOn = ValueSome BlockedOn.NetworkStorage
                                })
                    }

                let verdict = jobAfter (times 240 dead)
                Expect.equal verdict.Label VerdictLabel.Hang "label"
                Expect.stringEnds verdict.Reason "100% of its threads are stuck in the kernel (network-storage)." "reason"

            testCase "a notebook left open is held and idle after five minutes, with its GPU-hours"
            <| fun () ->
                let trace = times 290 (forgotten 2)
                Expect.equal (jobAfter trace).Label VerdictLabel.Unknown "before five minutes"
                let verdict = jobAfter (times 5400 (forgotten 2))
                Expect.equal verdict.Label VerdictLabel.HeldIdle "label"

                Expect.stringStarts
                    verdict.Reason
                    "It has used neither GPU nor CPU for 90 minutes and holds 112 GiB of GPU memory: 3 GPU-hours"
                    "reason"

                Expect.equal verdict.Fix "Ask alice, then end it: scancel 4711." "fix"

            testCase "a notebook that is used again is idle no more"
            <| fun () ->
                let labels = labelsOf 0 (times 400 (forgotten 1) @ times 45 (compute 1))
                Expect.equal (List.last labels) "compute" "label"

            testCase "a trainer that works a little is not still"
            <| fun () ->
                let slow =
                    { deadlocked 1 with
                        Jobs =
                            (deadlocked 1).Jobs
                            |> Array.map (fun job -> { job with CpuCores = ValueSome 0.06 })
                    }

                Expect.equal (jobAfter (times 400 slow)).Label VerdictLabel.Unknown "label"
        ]

[<Tests>]
let tests = testList "Verdict: time" [ changing; bursts; several; standing ]
