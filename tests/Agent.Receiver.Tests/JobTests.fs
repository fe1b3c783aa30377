/// What jobs are, what they use, and how that is told.
module Agent.Receiver.Tests.JobTests

open System
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Core.Jobs
open Agent.Receiver
open Expecto

let private now = DateTimeOffset(2026, 11, 29, 12, 20, 0, TimeSpan.Zero)
let private second = 1_000_000L
let private codeOf = JobSchema.codeOf

let private reported kind value space name : ReportedJob =
    {
        Id = "j"
        OwnerKind = kind
        OwnerValue = value
        OwnerNamespace = space
        OwnerName = name
        User = "ada"
        Name = "python train.py"
        Command = ""
        StartedAt = ValueNone
        BusiestThreadOf = ""
        BlockedOn = ""
        Gpus = [||]
        Figures = Schema.empty JobSchema.schema
        Verdict =
            {
                Label = VerdictLabel.Compute
                Second = ValueNone
                Since = now
                Confidence = 1.0
                Reason = ""
                Fix = ""
                Evidence = [||]
                RuledOut = [||]
            }
    }

let private record number user name : JobRecord =
    {
        Number = number
        Server = 1
        Id = $"j{number}"
        OwnerKind = "session"
        OwnerValue = "1"
        OwnerNamespace = ""
        OwnerName = ""
        User = user
        Uid = 1000L
        Name = name
        Command = ""
        Cohort = ""
        Gpus = "[[0,\"GPU-0\"],[1,\"\"]]"
        Began = number * 60L * second
        LastSeen = number * 120L * second
        IsOver = number % 2L = 0L
        Label = codeOf VerdictLabel.Compute
        Busy = 40.0
        Cores = nan
        Memory = -1L
    }

let private used job label (gpuHours: float) (wastedHours: float) day : DailyUse =
    {
        Use =
            {
                Job = job
                Label = codeOf label
                Gpu = int64 (gpuHours * 3.6e6)
                Wasted = int64 (wastedHours * 3.6e6)
            }
        Day = day
    }

let private uses: (struct (JobRecord * string * DailyUse))[] =
    [|
        struct (record 1L "ada" "train.py", "gpu-1", used 1L VerdictLabel.DiskRead 41.0 30.0 100)
        struct (record 1L "ada" "train.py", "gpu-1", used 1L VerdictLabel.Compute 55.0 0.0 101)
        struct (record 2L "bob" "=cmd,\"x\"", "gpu-2", used 2L VerdictLabel.HeldIdle 10.0 10.0 101)
    |]

let private labels =
    Func<string, string[]>(fun slug ->
        if slug = "gpu-1" then
            [| "rack=a"; "team=nlp" |]
        else
            [| "rack=b" |])

let private range = { From = 0L; Until = 3600L * second }

let private rows by =
    let body = JobResponses.waste by range labels uses [||]
    use document = JsonDocument.Parse body

    [
        for row in document.RootElement.GetProperty("rows").EnumerateArray() ->
            row.GetProperty("key").GetString() |> string,
            row.GetProperty("gpu_hours").GetDouble(),
            row.GetProperty("wasted_gpu_hours").GetDouble()
    ]

[<Tests>]
let tests =
    testList
        "Jobs"
        [
            testCase "what is lost: all of a stopped job, the waiting of one that is held back, nothing of one that computes"
            <| fun () ->
                let loss label busy power = Waste.loss label busy power

                Expect.equal
                    (loss VerdictLabel.HeldIdle 0.0 nan, loss VerdictLabel.Hang 100.0 20.0, loss VerdictLabel.GpuFault nan nan)
                    (1.0, 1.0, 1.0)
                    "stopped"

                Expect.floatClose Accuracy.high (loss VerdictLabel.DiskRead 25.0 90.0) 0.75 "waits for the disk"
                Expect.floatClose Accuracy.high (loss VerdictLabel.Communication 100.0 20.0) 0.8 "looks busy, and waits for others"
                Expect.floatClose Accuracy.high (loss VerdictLabel.Communication 60.0 nan) 0.4 "whose power is not known"
                Expect.equal (loss VerdictLabel.DiskRead nan nan) 0.0 "nothing is known"
                Expect.equal (loss VerdictLabel.Compute 50.0 50.0, loss VerdictLabel.Starting 0.0 0.0) (0.0, 0.0) "healthy"

            testCase "a GPU that two jobs share counts half for each"
            <| fun () ->
                let gpu index : JobGpu =
                    {
                        Index = index
                        Uuid = $"GPU-{index}"
                        Memory = ValueNone
                        SmShare = ValueNone
                    }

                let job id gpus =
                    { reported "session" "1" "" "" with
                        Id = id
                        Gpus = gpus
                    }

                let judgement: Judgement =
                    {
                        Source = JudgementSource.Agent
                        Machine = (reported "" "" "" "").Verdict
                        Jobs =
                            [|
                                job "a" [| gpu 0; gpu 1 |]
                                job "b" [| gpu 1; gpu 1 |]
                                job "c" [| gpu 2 |]
                            |]
                    }

                let points = JobPoint.ofJobs judgement [| 11L; 12L; 0L |]

                Expect.equal
                    (points |> Array.map (fun point -> point.Job, point.Gpus))
                    [| 11L, 1.5; 12L, 0.5 |]
                    "and one without a number is left out"

            testCase "which job is the same: by when it began, else by how long it was away"
            <| fun () ->
                let began = 1_000L * second
                let isSame seen started at = JobRecord.isSame began seen started at
                Expect.isTrue (isSame began (began + 2L * second) (began + 86400L * second)) "the same begin, to two seconds, a day later"
                Expect.isFalse (isSame began (began + 2L * second + 1L) (began + 3L * second)) "another begin"
                Expect.isTrue (isSame began -1L (began + 600L * second)) "ten minutes away"
                Expect.isFalse (isSame began -1L (began + 600L * second + 1L)) "longer"

            testCase "what belongs together on several machines"
            <| fun () ->
                let cohort label job = JobRecord.cohortOf label job
                Expect.equal (cohort "" (reported "slurm" "4711" "" "")) "slurm:4711" "a job of Slurm"
                Expect.equal (cohort "run-7" (reported "slurm" "4711" "" "")) "label:run-7" "the user's own word comes first"
                Expect.equal (cohort "" (reported "pod" "u" "ml" "llama-worker-3")) "pod:ml/llama-worker" "a pod of a set"
                Expect.equal (cohort "" (reported "pod" "u" "ml" "llama-6d4cf56db6-x2x9k")) "pod:ml/llama" "a pod of a deployment"
                Expect.equal (cohort "" (reported "pod" "u" "ml" "llama")) "pod:ml/llama" "a pod by itself"
                Expect.equal (cohort "" (reported "session" "77" "" "")) "" "nothing tells"
                Expect.equal (JobRecord.labelOf "job" "{\"labels\":{\"job\":\"run-7\"}}") "run-7" "the label"
                Expect.equal (JobRecord.labelOf "job" "{\"labels\":{}}", JobRecord.labelOf "job" "") ("", "") "none"

            testCase "the report of waste, by each of its keys"
            <| fun () ->
                Expect.equal (rows WasteKey.User) [ "ada", 96.0, 30.0; "bob", 10.0, 10.0 ] "by user, the most wasteful first"
                Expect.equal (rows WasteKey.Verdict) [ "disk-read", 41.0, 30.0; "held-idle", 10.0, 10.0; "compute", 55.0, 0.0 ] "by verdict"
                Expect.equal (rows WasteKey.Label) [ "rack=a", 96.0, 30.0; "team=nlp", 96.0, 30.0; "rack=b", 10.0, 10.0 ] "by label"
                Expect.equal (rows WasteKey.Day |> List.map (fun (day, _, _) -> day)) [ "2000-04-10"; "2000-04-11" ] "by day, in order"
                Expect.equal (rows WasteKey.Machine |> List.map (fun (slug, _, _) -> slug)) [ "gpu-1"; "gpu-2" ] "by machine"

            testCase "as CSV, where no field is a formula"
            <| fun () ->
                let text = Encoding.UTF8.GetString(JobResponses.wasteCsv WasteKey.Job labels uses)

                Expect.equal
                    text
                    "job,gpu_hours,wasted_gpu_hours,compute,disk-read,held-idle,jobs\r\ntrain.py,96,30,55,41,0,1\r\n\"'=cmd,\"\"x\"\"\",10,10,0,0,10,1\r\n"
                    "the file"

            testCase "questions: whole hours around what is asked for, and what is wrong with others"
            <| fun () ->
                let hours minutes until =
                    match JobResponses.range minutes until now with
                    | Ok range -> Ok(RowKey.instant range.From, RowKey.instant range.Until)
                    | Error refusal -> Error refusal.Detail

                Expect.equal (hours "" "") (Ok(now.AddMinutes(-20.0 - 1440.0), now.AddMinutes 40.0)) "a day"
                Expect.equal (hours "30" "") (Ok(now.AddMinutes -80.0, now.AddMinutes 40.0)) "half an hour"
                Expect.equal (hours "527041" "") (Error "minutes: expected a whole number from 1 to 527040") "more than a year"
                Expect.isOk (hours "527040" "") "a year"
                Expect.isError (hours "0" "") "none"
                Expect.equal (hours "5" "tomorrow") (Error "to: expected an instant such as 2026-02-26T02:37:49+00:00") "no instant"
                Expect.equal (JobResponses.wasteKeyOf "") (Ok WasteKey.User) "by user"

                match JobResponses.wasteKeyOf "colour" with
                | Error refusal ->
                    Expect.equal
                        refusal.Detail
                        "by: expected one of user, job, machine, label, verdict, day, found \"colour\""
                        "what may be asked for"
                | Ok _ -> failtest "taken"

            testCase "keys of jobs"
            <| fun () ->
                Expect.equal (JobResponses.keyOf "gpu-1.7") (ValueSome(struct ("gpu-1", 7L))) "a key"

                for text in [ ""; "gpu-1"; ".7"; "gpu-1."; "gpu-1.x"; "gpu-1.-7" ] do
                    Expect.equal (JobResponses.keyOf text) ValueNone text

            testCase "a job's life is drawn in at most 720 stretches, and nothing of it is lost"
            <| fun () ->
                let minute job : JobMinute =
                    let builder = VerdictMinuteBuilder()

                    builder.Add(
                        {
                            Label = -1
                            Jobs =
                                [|
                                    {
                                        Job = job
                                        Label = codeOf VerdictLabel.DiskRead
                                        Gpus = 2.0
                                        Busy = 25.0
                                        Power = nan
                                        Cores = 1.0
                                        Memory = 5e9
                                        Read = 1e6
                                        Written = nan
                                    }
                                |]
                        },
                        60.0
                    )

                    builder.Minute.Jobs[0]

                let minutes = Array.init 2000 (fun index -> struct (5000L + int64 index, minute 1L))

                let view =
                    {
                        Record = record 1L "ada" "train.py"
                        Slug = "gpu-1"
                        Totals = JobResponses.totalsOf []
                    }

                use document = JsonDocument.Parse(JobResponses.life view [||] ValueNone minutes)
                let columns = document.RootElement.GetProperty "minutes"

                let wasted =
                    [
                        for value in columns.GetProperty("wasted_gpu_seconds").EnumerateArray() -> value.GetDouble()
                    ]

                Expect.isLessThanOrEqual wasted.Length 720 "stretches"
                Expect.floatClose Accuracy.medium (List.sum wasted) (2000.0 * 60.0 * 2.0 * 0.75) "GPU-seconds"
                let first = columns.GetProperty("label").EnumerateArray() |> Seq.head
                Expect.equal (first.GetString() |> string) "disk-read" "label"
                let job = document.RootElement.GetProperty "job"
                Expect.equal (job.GetProperty("job").GetString() |> string) "gpu-1.1" "key"

                Expect.equal
                    (job.GetProperty("gpus").GetRawText())
                    "[{\"gpu_index\":0,\"uuid\":\"GPU-0\"},{\"gpu_index\":1,\"uuid\":null}]"
                    "GPUs"
        ]
