/// What is said of a job's whole life: its GPU-hours, what they went into, and one thing to try.
module Agent.Sender.Tests.JobTotalsTests

open System
open Agent.Core
open Agent.Outbound
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.Sender
open Agent.TestSupport
open Expecto

let private judged (job: Job) (label: VerdictLabel) (fix: string) : JudgedJob =
    {
        Job = job
        Verdict =
            {
                Label = label
                Second = ValueNone
                Since = Readings.at
                Confidence = 0.9
                Reason = ""
                Fix = fix
                Evidence = [||]
                RuledOut = [||]
            }
    }

/// Two GPUs of job 4711, which changes its verdict: samples at these seconds, each with the label that held since the one before it.
let private after (samples: (float * VerdictLabel * string) list) : JobAccounts =
    samples
    |> List.fold
        (fun accounts (seconds, label, fix) ->
            let one = judged (VerdictTraces.healthyJob 2) label fix

            let report: JobReport =
                {
                    Jobs = [| one |]
                    Machine = one.Verdict
                    LeftOut = 0
                }

            JobAccounts.after (TimeSpan.FromSeconds seconds) 0L [||] [||] (ValueSome report) accounts)
        JobAccounts.Empty

let private ended (seconds: float) (accounts: JobAccounts) : JobAccounts =
    JobAccounts.after (TimeSpan.FromSeconds seconds) 9L [||] [||] ValueNone accounts

let private life =
    after
        [
            0.0, VerdictLabel.Starting, ""
            60.0, VerdictLabel.Starting, ""
            3600.0, VerdictLabel.Compute, ""
            5400.0, VerdictLabel.LoaderCpu, "set num_workers=4"
            7200.0, VerdictLabel.LoaderCpu, "set num_workers=8"
            7260.0, VerdictLabel.Memory, "use a smaller batch"
        ]

let private found (accounts: JobAccounts) : JobTotals =
    match JobTotals.find "4711" accounts with
    | ValueSome totals -> totals
    | ValueNone -> failtest "not found"

[<Tests>]
let tests =
    testList
        "Job totals"
        [
            testCase
                "the report of a job that ended: GPU-hours, what they went into by size, and what was last to be tried against the worst"
            <| fun () ->
                Expect.equal
                    (JobTotals.text (found (ended 7262.0 life)))
                    "Job 4711, train.py of alice: 4.0 GPU-hours on 2 GPUs of this machine.\n\
                     \x20  50 % loader-cpu (2.0 GPU-hours)\n\
                     \x20  49 % compute (2.0 GPU-hours)\n\
                     \x20   1 % memory (0.03 GPU-hours)\n\
                     \x20   1 % starting (0.03 GPU-hours)\n\
                     Try: set num_workers=8\n"
                    "text"

            testCase "the same as JSON"
            <| fun () ->
                Expect.equal
                    (JobTotals.json (found (ended 7262.0 life)))
                    ("""{"job":"4711","name":"train.py","user":"alice","uid":1001,"gpus":2,"running":false,"gpu_seconds":14520,"""
                     + """"labels":[{"label":"loader-cpu","gpu_seconds":7200},{"label":"compute","gpu_seconds":7080},"""
                     + """{"label":"memory","gpu_seconds":120},{"label":"starting","gpu_seconds":120}],"held_back_by":"loader-cpu","fix":"set num_workers=8"}"""
                     + "\n")
                    "JSON"

            testCase "while it runs the report says so"
            <| fun () -> Expect.stringContains (JobTotals.text (found life)) "on 2 GPUs of this machine so far.\n" "so far"

            testCase "less than a tenth is not worth advice"
            <| fun () ->
                let text =
                    after
                        [
                            0.0, VerdictLabel.Compute, ""
                            910.0, VerdictLabel.Compute, ""
                            1000.0, VerdictLabel.DiskRead, "read from a faster disk"
                        ]
                    |> found
                    |> JobTotals.text

                Expect.stringContains text "   9 % disk-read" "its share"
                Expect.isFalse (text.Contains "Try:") text

            testCase "a job of one sample was too short"
            <| fun () ->
                Expect.equal
                    (JobTotals.text (found (after [ 0.0, VerdictLabel.Starting, "" ])))
                    "Job 4711, train.py of alice: 0.00 GPU-hours on 2 GPUs of this machine so far.\nIt was too short to be judged.\n"
                    "text"

            testCase "the accounts that metrics no longer show are still told of, for an hour"
            <| fun () ->
                Expect.equal (JobAccounts.shown (ended 7300.0 life)).Length 0 "not shown"
                Expect.equal (JobTotals.find "4711" (ended 10800.0 life)).IsSome true "still known"
                let later = life |> ended 7262.0 |> ended 10900.0
                Expect.equal (JobTotals.find "4711" later).IsNone true "forgotten"

            testCase "other numbers, and owners that are no jobs of Slurm, are not found"
            <| fun () ->
                Expect.equal (JobTotals.find "471" life).IsNone true "another number"

                let pod =
                    { VerdictTraces.healthyJob 1 with
                        Owner =
                            {
                                Kind = OwnerKind.Pod
                                Value = "4711"
                                Namespace = ""
                                Name = ""
                            }
                    }

                let one = judged pod VerdictLabel.Compute ""

                let report: JobReport =
                    {
                        Jobs = [| one |]
                        Machine = one.Verdict
                        LeftOut = 0
                    }

                let accounts = JobAccounts.after TimeSpan.Zero 0L [||] [||] (ValueSome report) JobAccounts.Empty

                Expect.equal (JobTotals.find "4711" accounts).IsNone true "a pod"

            testCase "a job of another scheduler is found by its id in the files of GPUs"
            <| fun () ->
                let files: GpuJobFile[] =
                    [|
                        {
                            Gpu = 0
                            Instance = ValueNone
                            Jobs = [| "77.head" |]
                        }
                    |]

                let session =
                    { VerdictTraces.healthyJob 1 with
                        Owner =
                            {
                                Kind = OwnerKind.Session
                                Value = "1"
                                Namespace = ""
                                Name = ""
                            }
                    }

                let one = judged session VerdictLabel.Compute ""

                let report: JobReport =
                    {
                        Jobs = [| one |]
                        Machine = one.Verdict
                        LeftOut = 0
                    }

                let gpu =
                    { Readings.board with
                        Index = 0
                        Uuid = "GPU-0"
                    }

                let accounts = JobAccounts.after TimeSpan.Zero 0L files [| gpu |] (ValueSome report) JobAccounts.Empty

                Expect.equal (JobTotals.find "77.head" accounts).IsSome true "found"

            for text, expected in
                [
                    "4711", true
                    "4711_3", true
                    "77.head-1+x", true
                    "", false
                    "a b", false
                    "../x", false
                    String('1', 65), false
                ] do
                testCase $"\"{text}\" is an id: {expected}"
                <| fun () -> Expect.equal (JobTotals.isId text) expected text
        ]
