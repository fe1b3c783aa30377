/// What is broken: lost GPUs, drivers that went away, events. All of it is shown at once, outranks everything, and stays until it is gone.
module Agent.Core.Tests.VerdictFaultTests

open System
open Agent.Core
open Agent.Core.Causes
open Agent.Core.Units
open Agent.TestSupport.VerdictTraces
open Expecto

let private gpu (index: int) (change: GpuEvidence -> GpuEvidence) (look: Evidence) =
    { look with
        Gpus =
            look.Gpus
            |> Array.map (fun gpu -> if gpu.Index = index then change gpu else gpu)
    }

let private lost (gpu: GpuEvidence) =
    { gpu with
        IsLost = true
        Busy = ValueNone
        Power = ValueNone
    }

let private withXid code (gpu: GpuEvidence) = { gpu with Xid = ValueSome code }

let private driverGone (look: Evidence) =
    { look with
        Host =
            { look.Host with
                DriverProblem = "the driver is gone"
            }
        Gpus = [||]
    }

let private faults =
    testList
        "faults"
        [
            testCase "a lost GPU is shown at the first look, whatever the label was"
            <| fun () ->
                for label, evidence in [ "compute", compute 8; "loader-cpu", oneLoader 8; "hang", stuck 8 ] do
                    let trace = times 200 evidence @ [ gpu 5 lost evidence ]
                    Expect.equal (List.item 199 (labelsOf 0 trace)) label "before"
                    let verdict = jobAfter trace
                    Expect.equal verdict.Label VerdictLabel.GpuFault "label"
                    Expect.stringStarts verdict.Reason "GPU 5 is lost" "reason"
                    Expect.equal verdict.Since (start.AddSeconds 201.0) "since"

            testCase "it is shown even before anything else is known"
            <| fun () -> Expect.equal (jobAfter [ gpu 0 lost (compute 2) ]).Label VerdictLabel.GpuFault "label"

            testCase "it stays until it is gone, and goes within a minute"
            <| fun () ->
                let trace = times 60 (compute 2) @ times 300 (gpu 1 lost (compute 2)) @ times 60 (compute 2)

                let labels = labelsOf 0 trace
                Expect.all labels[60..359] ((=) "gpu-fault") "while it is lost"
                Expect.equal (List.last labels) "compute" "a minute after"

            testCase "a GPU that comes and goes every three seconds is one fault"
            <| fun () ->
                let turn = times 3 (gpu 0 lost (compute 2)) @ times 3 (compute 2)
                let labels = labelsOf 0 (times 30 (compute 2) @ List.concat (List.replicate 40 turn))
                Expect.equal (steps labels) [ "starting"; "compute"; "gpu-fault" ] "labels"

            testCase "a job is told of a GPU that left its list with the driver"
            <| fun () ->
                let without (look: Evidence) =
                    { gpu 7 lost look with
                        Jobs = look.Jobs |> Array.map (fun job -> { job with Gpus = job.Gpus[..6] })
                    }

                Expect.equal (jobAfter (times 30 (compute 8) @ times 90 (without (compute 8)))).Label VerdictLabel.GpuFault "label"

            testCase "a lost GPU of nobody's is the machine's fault, not the job's"
            <| fun () ->
                let spare (look: Evidence) =
                    { look with
                        Gpus = Array.append look.Gpus [| lost (workingGpu 9) |]
                    }

                let trace = times 30 (spare (compute 2))
                Expect.equal (jobAfter trace).Label VerdictLabel.Compute "job"
                Expect.equal (machineAfter trace).Label VerdictLabel.GpuFault "machine"

            testCase "a driver that is gone is everybody's fault"
            <| fun () ->
                let trace = times 30 (compute 2) @ [ driverGone (compute 2) ]
                Expect.equal (jobAfter trace).Label VerdictLabel.GpuFault "job"
                let verdict = machineAfter trace
                Expect.equal verdict.Reason "No GPU can be read: the driver is gone." "reason"
                Expect.stringContains verdict.Fix "modprobe nvidia" "fix"

            testCase "uncorrected memory errors and rows that wait for a reset"
            <| fun () ->
                let ecc = jobAfter [ gpu 0 (fun gpu -> { gpu with EccUncorrected = 3UL }) (compute 1) ]
                Expect.stringStarts ecc.Reason "GPU 0 reported 3 uncorrected memory errors" "reason"
                let remap = jobAfter [ gpu 0 (fun gpu -> { gpu with IsRemapPending = true }) (compute 1) ]
                Expect.equal remap.Fix "When the GPU is free, reset it: nvidia-smi --gpu-reset -i 0." "fix"

            testCase "a suspended GPU is no fault"
            <| fun () ->
                let sleeping = gpu 0 (fun gpu -> { gpu with IsSuspended = true }) (compute 1)
                Expect.equal (jobAfter (times 30 sleeping)).Label VerdictLabel.Compute "label"
        ]

let private xids =
    testList
        "XIDs"
        [
            testCase "what NVIDIA's catalogue says of the codes that are met most"
            <| fun () ->
                for code, action in
                    [
                        13, Xid.Action.RestartProgram
                        31, Xid.Action.RestartProgram
                        32, Xid.Action.RestartProgram
                        43, Xid.Action.Nothing
                        45, Xid.Action.Nothing
                        48, Xid.Action.Reset
                        62, Xid.Action.Reset
                        63, Xid.Action.Nothing
                        64, Xid.Action.Reset
                        69, Xid.Action.RestartProgram
                        74, Xid.Action.Reset
                        79, Xid.Action.Reboot
                        92, Xid.Action.Nothing
                        94, Xid.Action.RestartProgram
                        95, Xid.Action.Reset
                        109, Xid.Action.Reset
                        119, Xid.Action.Reset
                        120, Xid.Action.Reset
                        140, Xid.Action.Reset
                        145, Xid.Action.Reset
                        154, Xid.Action.Nothing
                        87, Xid.Action.Report
                        0, Xid.Action.Report
                        4096, Xid.Action.Report
                    ] do
                    Expect.equal (Xid.action code) action $"XID {code}"

            testCase "one that needs a reset is a fault for ten minutes, though it happened at one instant"
            <| fun () ->
                let trace =
                    times 30 (compute 2)
                    @ [ gpu 1 (withXid 119) (compute 2) ]
                    @ times 590 (compute 2)

                let verdict = jobAfter trace
                Expect.equal verdict.Label VerdictLabel.GpuFault "label"

                Expect.equal
                    verdict.Reason
                    "GPU 1 reported XID 119 (the GPU's system processor (GSP) does not respond): the GPU needs a reset."
                    "reason"

                Expect.equal verdict.Fix "Drain the GPU and reset it: nvidia-smi --gpu-reset -i 1." "fix"
                Expect.equal (jobAfter (trace @ times 60 (compute 2))).Label VerdictLabel.Compute "eleven minutes later"

            testCase "cleaning up after a program that was killed is no fault"
            <| fun () -> Expect.equal (jobAfter (times 30 (gpu 0 (withXid 45) (compute 1)))).Label VerdictLabel.Compute "label"

            testCase "a program's error is told of its job; the machine, and whoever comes after, are well"
            <| fun () ->
                let hit = gpu 0 (withXid 31) (compute 1)
                let trace = times 30 (compute 1) @ [ hit ]
                let verdict = jobAfter trace
                Expect.equal verdict.Label VerdictLabel.GpuFault "label"
                Expect.stringContains verdict.Reason "an error of the program, the GPU itself is fine" "reason"
                Expect.stringContains verdict.Fix "compute-sanitizer" "fix"

                let next =
                    { compute 1 with
                        Jobs = (compute 1).Jobs |> Array.map (fun job -> { job with Id = "slurm-4712" })
                    }

                Expect.equal (jobAfter (trace @ times 30 next)).Label VerdictLabel.Compute "the next job"
                Expect.equal (machineAfter (trace @ times 30 next)).Label VerdictLabel.Compute "the machine"

            testCase "the worst fault is named first, and how many there are"
            <| fun () ->
                let many =
                    compute 4
                    |> gpu 0 (withXid 31)
                    |> gpu 2 (withXid 79)
                    |> gpu 3 (fun gpu -> { gpu with IsRemapPending = true })

                let verdict = jobAfter [ many ]
                Expect.stringStarts verdict.Reason "GPU 2 reported XID 79 (the GPU has fallen off the bus)" "reason"
                Expect.stringEnds verdict.Reason "2 more faults are reported." "reason"
        ]

[<Tests>]
let tests = testList "Verdict: faults" [ faults; xids ]
