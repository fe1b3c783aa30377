/// What is said of machines and jobs: read from samples, kept, and decided where a sender says nothing.
module Agent.Receiver.Tests.JudgementTests

open System
open System.Text
open Agent.Core
open Agent.Receiver
open Expecto

let private now = DateTimeOffset(2026, 11, 29, 12, 0, 0, TimeSpan.Zero)

let private at = "\"collected_at\":\"2026-11-29T12:00:00+00:00\""

let private intakeOf (members: string) : Intake =
    match Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes $"{{{at},{members}}}")) now with
    | Ok intake -> intake
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

let private verdict label =
    $"{{\"label\":\"{label}\",\"second\":null,\"since\":\"2026-11-29T11:59:00+00:00\",\"confidence\":0.85,\"reason\":\"Loaders are at 97 %% of a core.\",\"fix\":\"num_workers=4\",\"evidence\":[{{\"name\":\"busiest loader\",\"value\":97,\"limit\":90,\"unit\":\"%%\"}}],\"ruled_out\":[{{\"name\":\"disk\",\"value\":3.5,\"limit\":null,\"unit\":\"%%\"}}]}}"

let private job id label gpus =
    $"{{\"id\":\"{id}\",\"owner\":{{\"kind\":\"slurm\",\"value\":\"4711\",\"namespace\":null,\"name\":null}},\"user\":\"ada\",\"uid\":1000,\"name\":\"python train.py\",\"command\":null,\"started_at\":\"2026-11-29T10:00:00+00:00\",\"gpus\":[{gpus}],\"cpu_cores_used\":1.5,\"memory_bytes\":1073741824,\"gpu_busy_percent\":25,\"gpu_power_percent\":30,\"read_bytes_per_s\":null,\"verdict\":{verdict label}}}"

let private gpu index =
    $"{{\"gpu_index\":{index},\"uuid\":\"GPU-{index}\",\"memory_bytes\":5,\"sm_percent\":null}}"

/// The members `verdict`, of that label, and `jobs` of a sample.
let private members (label: string) (jobs: string list) =
    let jobs = String.Join(",", jobs)
    $"\"verdict\":{verdict label},\"jobs\":[{jobs}]"

let private said (members: string) : Judgement voption * string[] =
    let struct (judgement, warnings) = JudgementIntake.ofIntake (intakeOf members)
    judgement, warnings

let private judgement (members: string) : Judgement =
    match said members with
    | ValueSome judgement, [||] -> judgement
    | _, warnings -> failtest $"no verdict, or warnings: %A{warnings}"

let private wordOf label : Verdict =
    {
        Label = label
        Second = ValueNone
        Since = now
        Confidence = 1.0
        Reason = $"it is {label}"
        Fix = ""
        Evidence = [||]
        RuledOut = [||]
    }

let private machineIs label : Judgement =
    {
        Source = JudgementSource.Agent
        Machine = wordOf label
        Jobs = [||]
    }

/// A sample as a sender without a verdict has it: a GPU of that use, at so many seconds.
let private measured (seconds: float) (members: string) : Measured =
    let instant = now.AddSeconds(seconds - 3600.0).ToString "o"

    match Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes $"{{\"collected_at\":\"{instant}\",{members}}}")) now with
    | Ok intake -> Derivation.measure intake.Report
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

let private judged (samples: Measured list) : Judgement list =
    ((VerdictState.Empty, ValueNone, []), samples)
    ||> List.fold (fun (state, before, said) sample ->
        let struct (state, judgement) = Judging.step state before sample
        state, ValueSome sample, (ValueOption.toList judgement @ said))
    |> fun (_, _, said) -> said

[<Tests>]
let tests =
    testList
        "Judgements"
        [
            testCase "a verdict and jobs are read as they are sent"
            <| fun () ->
                let judgement = judgement (members "loader-cpu" [ job "slurm-4711" "loader-cpu" (gpu 0 + "," + gpu 1) ])

                Expect.equal judgement.Machine.Label.Name "loader-cpu" "label"
                Expect.equal judgement.Machine.Evidence[0].Limit (ValueSome 90.0) "the witness's limit"
                Expect.equal judgement.Machine.RuledOut[0].Value 3.5 "what was ruled out"
                Expect.equal (judgement.Machine.Since.ToUniversalTime()) (now.AddMinutes -1.0) "since"
                let job = judgement.Jobs[0]
                Expect.equal (job.User, job.Uid, job.OwnerValue) ("ada", 1000L, "4711") "whose it is"
                Expect.equal (job.GpuBusy, job.CpuCores, job.Memory) (25.0, 1.5, 1073741824L) "figures"
                Expect.equal (job.Gpus |> Array.map _.Index) [| 0; 1 |] "GPUs"
                Expect.equal job.StartedAt (ValueSome(now.AddHours -2.0)) "when it began"

            testCase "every figure of a job that the agent has a row for is kept and told"
            <| fun () ->
                let text =
                    judgement (members "compute" [ job "a" "compute" (gpu 0) ])
                    |> fun said -> Encode.toString 0 (JudgementJson.job said.Source said.Jobs[0])

                for key in JobRows.job.Keys.Keys do
                    Expect.stringContains text $"\"{key.Name}\":" key.Name

            testCase "what cannot be read costs itself, and is named"
            <| fun () ->
                let judgement, warnings =
                    said (
                        members
                            "compute"
                            [
                                "7"
                                job "a" "flying" (gpu 0)
                                job "b" "compute" (gpu 0)
                                job "b" "compute" (gpu 1)
                                "{\"id\":\"c\"}"
                            ]
                    )

                Expect.equal (judgement.Value.Jobs |> Array.map _.Id) [| "b" |] "the good one"

                Expect.equal
                    warnings
                    [|
                        "jobs[0]: expected an object; left out"
                        "jobs[1]: verdict: label: expected one of docs/verdict.md's, found \"flying\"; left out"
                        "jobs[3]: an id is there twice; left out"
                        "jobs[4]: verdict is missing; left out"
                    |]
                    "warnings"

                Expect.equal (said "\"jobs\":[]") (ValueNone, [||]) "no verdict, no jobs"
                Expect.isTrue (fst (said (members "nonsense" []))).IsNone "an unknown label is no verdict"

                Expect.equal
                    (intakeOf "\"verdict\":7,\"jobs\":{}").Warnings
                    [|
                        "verdict: expected an object, found 7; left out"
                        "jobs: expected an array, found an object; left out"
                    |]
                    "of another kind"

            testCase "64 jobs are taken and one more is not; long texts are cut"
            <| fun () ->
                let jobs count =
                    [ for i in 1..count -> job $"j{i}" "compute" (gpu 0) ]

                let judgement, warnings = said (members "compute" (jobs 65))
                Expect.equal judgement.Value.Jobs.Length 64 "as many as agents send"
                Expect.equal warnings [| "jobs[64]: more than 64 jobs; left out" |] "named"
                let judgement, _ = said (members "compute" (jobs 64))
                Expect.equal judgement.Value.Jobs.Length 64 "64"
                let long = String('x', 5000)
                let cut, _ = said ((members "compute" []).Replace("num_workers=4", long))
                Expect.equal cut.Value.Machine.Fix.Length 1000 "a thousand characters"

            testCase "what was kept is what was said"
            <| fun () ->
                let before = judgement (members "network" [ job "a" "network" (gpu 3); job "b" "compute" (gpu 4) ])

                let after = (JudgementIntake.ofKept (JudgementRecord.kept before) now).Value
                Expect.equal after.Source JudgementSource.Agent "source"

                Expect.equal
                    (after.Machine.Label, after.Machine.Reason, after.Machine.Fix)
                    (before.Machine.Label, before.Machine.Reason, before.Machine.Fix)
                    "machine"

                Expect.equal (after.Machine.Evidence |> Array.map _.Name) [| "busiest loader" |] "witnesses"

                Expect.equal
                    (after.Jobs |> Array.map (fun job -> job.Id, job.Verdict.Label.Name))
                    [| "a", "network"; "b", "compute" |]
                    "jobs"

                Expect.equal (after.Jobs |> Array.map (fun job -> job.Gpus[0].Index)) [| 3; 4 |] "their GPUs"
                Expect.isTrue (JudgementIntake.ofKept "rubbish" now).IsNone "rubbish"

            testCase "a change of label is kept, though not within five seconds; a new sentence after a minute; the same one after an hour"
            <| fun () ->
                let isKept (since: float) next =
                    JudgementRecord.isWorthKeeping (ValueSome(machineIs VerdictLabel.DiskRead)) (TimeSpan.FromSeconds since) next

                Expect.isTrue (JudgementRecord.isWorthKeeping ValueNone TimeSpan.Zero (machineIs VerdictLabel.Idle)) "the first"
                let other = machineIs VerdictLabel.Hang
                Expect.equal (isKept 4.999 other, isKept 5.0 other) (false, true) "a change"
                let same = machineIs VerdictLabel.DiskRead

                let otherWords =
                    { same with
                        Machine =
                            { same.Machine with
                                Reason = "other figures"
                            }
                    }

                Expect.equal (isKept 59.999 otherWords, isKept 60.0 otherWords) (false, true) "a sentence"
                Expect.equal (isKept 3599.999 same, isKept 3600.0 same) (false, true) "nothing new"

            testCase "a sender that says nothing is judged by its samples: a slowed GPU, and one that works"
            <| fun () ->
                let gpu power reasons =
                    $"\"cpu_usage_percent\":5,\"gpus\":[{{\"gpu_index\":0,\"name\":\"NVIDIA H100\",\"uuid\":\"GPU-1\",\"utilization_gpu_percent\":98,\"power_w\":{power},\"power_limit_w\":700,\"temperature_c\":88,\"throttle_reasons\":[{reasons}]}}]"

                let last members =
                    (judged [ for second in 0.0..2.0..60.0 -> measured second members ] |> List.head).Machine.Label.Name

                Expect.equal (last (gpu 650 "")) "compute" "at its limit, which is what one wants"
                Expect.equal (last (gpu 300 "\"hw_thermal_slowdown\"")) "throttled" "slowed by heat"

            testCase "after a silence of more than a minute judging begins anew"
            <| fun () ->
                let idle = "\"cpu_usage_percent\":1"

                let said seconds =
                    judged [ measured 0.0 idle; measured seconds idle ] |> List.length

                Expect.equal (said 60.0) 1 "a minute"
                Expect.equal (said 60.001) 0 "more"
        ]
