/// Jobs of agents that post, on their way to a cluster: by the families that agents write themselves.
module Agent.Receiver.Tests.RelayedJobTests

open System
open System.Buffers
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.Outbound
open Agent.Receiver
open Agent.Receiver.Cluster
open Agent.TestSupport
open Expecto

let private start = DateTimeOffset(2026, 2, 26, 2, 0, 0, TimeSpan.Zero)

/// All that is known of a job, each figure another one.
let private known: Job =
    { VerdictTraces.healthyJob 2 with
        BusiestThread = ValueSome 31.0<percent>
        MainThread = ValueSome 32.0<percent>
        LoadersBusy = ValueSome 33.0<percent>
        CpuWait = ValueSome 34.0<percent>
        CpuThrottled = ValueSome 35.0<percent>
        Blocked = ValueSome 36.0<percent>
        MainBlocked = ValueSome 37.0<percent>
        MemoryStall = ValueSome 38.0<percent>
        IoStall = ValueSome 39.0<percent>
        MajorFaults = ValueSome 41.0< / s>
        Refaults = ValueSome 42.0<B / s>
        GpuBusy = ValueSome 43.0<percent>
        GpuLeastBusy = ValueSome 44.0<percent>
        GpuPower = ValueSome 45.0<percent>
    }

/// Little is known of it.
let private unknown: Job =
    { Job.Unknown with
        Id = "process-77-100"
        Owner =
            {
                Kind = OwnerKind.Pod
                Value = "f00d"
                Namespace = "ml"
                Name = "trainer-0"
            }
        Uid = 1002
        Name = "a \"b\""
        Gpus = [| (VerdictTraces.healthyJob 1).Gpus[0] |]
    }

let private verdict label : Verdict =
    {
        Label = label
        Second = ValueNone
        Since = start
        Confidence = 0.75
        Reason = "why"
        Fix = "what"
        Evidence =
            [|
                {
                    Name = "busiest loader"
                    Value = 97.0
                    Limit = ValueSome 90.0
                    Unit = "%"
                }
            |]
        RuledOut = [||]
    }

let private report (jobs: Job list) : JobReport =
    {
        Jobs =
            [|
                for job in jobs ->
                    {
                        Job = job
                        Verdict = verdict VerdictLabel.LoaderCpu
                    }
            |]
        Machine = verdict VerdictLabel.LoaderCpu
        LeftOut = 0
    }

/// What is understood of a report that was posted with a sample.
let private posted (report: JobReport) : Intake * Judgement =
    let output = ArrayBufferWriter<byte>()

    let sample =
        { GoldenSample.full with
            CollectedAt = start
            Jobs = ValueSome report
        }

    Wire.write output false sample GoldenSample.agent

    match Intake.decode output.WrittenMemory (start.AddMinutes 1.0) with
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"
    | Ok intake ->
        match JudgementIntake.ofIntake intake with
        | struct (ValueSome judgement, [||]) -> intake, judgement
        | other -> failtest $"%A{other}"

let private machine = RemoteWrite.machineLabels "box" [||]

let private textOf (values: SeriesValue seq) : string list =
    [
        for value in values ->
            let labels =
                value.Labels
                |> Array.map (fun (struct (name, text)) -> $"{name}={text}")
                |> Array.sort

            sprintf "%A %s %.9g" value.Kind (String.concat "," labels) value.Value
    ]
    |> List.sort

let private isOfJobs (value: SeriesValue) =
    value.Labels
    |> Array.exists (fun (struct (name, text)) ->
        name = "__name__"
        && (text.StartsWith("ai_dashboard_job", StringComparison.Ordinal)
            || text.StartsWith("ai_dashboard_verdict", StringComparison.Ordinal)))

/// The GPU seconds of the first job under its label.
let private seconds (accounts: JobAccounts) : float =
    let sink = SeriesValues machine
    JobMetrics.writePosted sink start "" ValueNone accounts

    sink.Values
    |> Array.filter (fun value ->
        value.Labels
        |> Array.contains (struct ("__name__", "ai_dashboard_job_gpu_seconds_total"))
        && value.Labels |> Array.contains (struct ("label", "loader-cpu")))
    |> Array.sumBy _.Value

[<Tests>]
let tests =
    testList
        "Relayed jobs"
        [
            testCase "what is passed on of posted jobs is what their agent would write of them, series by series"
            <| fun () ->
                let original = report [ known; unknown ]
                let intake, judgement = posted original

                let accounts =
                    JobAccounts.Empty
                    |> ClusterRelay.accounts start (ValueSome judgement)
                    |> ClusterRelay.accounts (start.AddSeconds 2.0) (ValueSome judgement)

                let own =
                    let after at scrapes before =
                        JobAccounts.after at scrapes [||] [||] (ValueSome original) before

                    let agents =
                        JobAccounts.Empty
                        |> after TimeSpan.Zero 1L
                        |> after (TimeSpan.FromSeconds 2.0) 2L

                    let sink = SeriesValues machine
                    JobMetrics.writePosted sink start "vision" (ValueSome original) agents
                    sink.Values

                let passed =
                    ClusterRelay.postedValues "box" "vision" intake.Report BottleneckLabel.Idle (ValueSome judgement) accounts
                    |> Array.filter isOfJobs

                Expect.isGreaterThan own.Length 100 "there is much to compare"
                Expect.equal (textOf passed) (textOf own) "all of it"

                Expect.isTrue
                    (textOf passed
                     |> List.exists _.Contains("job=slurm-4711,machine_job=vision,name=train.py", StringComparison.Ordinal))
                    "the job's own label beats the machine's"

            testCase "GPU time is counted from one sample to the next, up to ten minutes, and anew after a longer silence"
            <| fun () ->
                let _, judgement = posted (report [ known ])

                let after gap =
                    JobAccounts.Empty
                    |> ClusterRelay.accounts start (ValueSome judgement)
                    |> ClusterRelay.accounts (start.AddSeconds 10.0) (ValueSome judgement)
                    |> ClusterRelay.accounts (start.AddSeconds(10.0 + gap)) (ValueSome judgement)

                // Two GPUs.
                Expect.equal (seconds (after 5.0)) 30.0 "15 s"
                Expect.equal (seconds (after 600.0)) 1220.0 "ten minutes"
                Expect.equal (seconds (after 600.001)) 0.0 "more"
                Expect.equal (seconds (after 0.0)) 20.0 "the same sample once more"

            testCase "a machine of which nothing is said has no jobs, and one that the dashboard judges has a label"
            <| fun () ->
                let intake, judgement = posted (report [ known ])
                let none = ClusterRelay.accounts start ValueNone JobAccounts.Empty

                let told said =
                    ClusterRelay.postedValues "box" "" intake.Report BottleneckLabel.Idle said none
                    |> Array.filter isOfJobs
                    |> textOf

                Expect.equal (told ValueNone) [] "nothing"

                let own =
                    told (
                        ValueSome
                            { judgement with
                                Source = JudgementSource.Dashboard
                                Jobs = [||]
                            }
                    )

                Expect.contains own "Gauge __name__=ai_dashboard_verdict,instance=box,job=ai-dashboard-agent,label=loader-cpu 1" "the label"
                Expect.isFalse (own |> List.exists _.Contains("ai_dashboard_job", StringComparison.Ordinal)) "no job"
        ]
