/// Laws of the metrics of jobs: counters that only grow, nothing lost and nothing counted twice, and a text that reads back whatever a job is called.
module Agent.PropertyTests.JobAccountLaws

open System
open System.Buffers
open Agent.Core
open Agent.Outbound
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.Sender
open Agent.TestSupport
open Agent.TestSupport.PrometheusText
open Expecto
open FsCheck
open FsCheck.FSharp

let private gpu index : JobGpu =
    {
        Index = index
        Uuid = $"GPU-{index}"
        Memory = ValueSome 5UL<B>
        SmShare = ValueSome 12.5<percent>
    }

let private job (id: string) (name: string) (gpus: int) : Job =
    { Job.Unknown with
        Id = id
        Owner =
            {
                Kind = OwnerKind.Session
                Value = name
                Namespace = name
                Name = name
            }
        User = name
        Uid = 1000
        Name = name
        RootPid = 1
        Gpus = Array.init gpus gpu
        Processes = 1
        Threads = 2
        Loaders = 3
        CpuCores = ValueSome 1.5
        BusiestThread = ValueSome 3.0<percent>
        Read = ValueSome(LanguagePrimitives.FloatWithMeasure nan)
        Written = ValueSome(LanguagePrimitives.FloatWithMeasure infinity)
    }

let private verdict (label: VerdictLabel) : Agent.Core.Verdict =
    {
        Label = label
        Second = ValueNone
        Since = DateTimeOffset.UnixEpoch
        Confidence = 0.5
        Reason = ""
        Fix = ""
        Evidence = [||]
        RuledOut = [||]
    }

/// One sample: how long after the one before, how many scrapes between, and the jobs that are there, by number, with their GPUs and labels.
type private Step =
    {
        Length: float
        Scrapes: int64
        Present: (int * int * VerdictLabel) list
    }

let private jobLabel = Gen.elements (VerdictLabel.All |> Array.filter (fun label -> not label.IsIdle))

let private step: Gen<Step> =
    gen {
        let! length = Gen.elements [ 0.0; 0.5; 2.0; 2.125; 60.0; 4000.0 ]
        let! scrapes = Gen.choose (0, 3)
        let! there = Gen.arrayOfLength 4 (Gen.frequency [ 3, Gen.constant true; 1, Gen.constant false ])
        let! gpus = Gen.arrayOfLength 4 (Gen.choose (0, 8))
        let! labels = Gen.arrayOfLength 4 jobLabel

        return
            {
                Length = length
                Scrapes = int64 scrapes
                Present =
                    [
                        for i in 0..3 do
                            if there[i] then
                                i, gpus[i], labels[i]
                    ]
            }
    }

let private steps = Gen.listOf step

let private reportOf (names: int -> string) (step: Step) : JobReport voption =
    match step.Present with
    | [] -> ValueNone
    | present ->
        ValueSome
            {
                Jobs =
                    [|
                        for i, gpus, label in present ->
                            {
                                Job = job $"process-{i}" (names i) gpus
                                Verdict = verdict label
                            }
                    |]
                Machine = verdict VerdictLabel.Unknown
                LeftOut = 0
            }

/// The accounts after each step, with the instant of it.
let private run (names: int -> string) (steps: Step list) : (float * JobAccounts) list =
    let next (now, scrapes, accounts) (step: Step) =
        let now = now + step.Length
        let scrapes = scrapes + step.Scrapes
        now, scrapes, JobAccounts.after (TimeSpan.FromSeconds now) scrapes [||] [||] (reportOf names step) accounts

    List.scan next (0.0, 0L, JobAccounts.Empty) steps
    |> List.tail
    |> List.map (fun (now, _, accounts) -> now, accounts)

let private counters (accounts: JobAccounts) =
    [
        for account in accounts.Accounts do
            for i, seconds in Array.indexed account.Seconds do
                (account.Job.Id, i), float seconds
    ]

let private totals (accounts: JobAccounts) =
    [
        for account in accounts.Accounts -> account.Job.Id, account.Seconds |> Array.sumBy float
    ]

let private plain (i: int) = $"job {i}"

/// What a program may call itself, or a user have as a name in a container.
let private odd: Gen<string> =
    Gen.oneof
        [
            phrase
            Gen.elements
                [
                    ""
                    "\\"
                    "\""
                    "\n"
                    "a\\nb"
                    "\",label=\""
                    "}"
                    "é — 𝄞"
                    "\ud800"
                    "\000"
                    "# EOF"
                ]
        ]

/// The same accounts, all of one job of Slurm.
let private ofSlurm (id: string) (accounts: JobAccounts) : JobAccounts =
    { accounts with
        Accounts =
            accounts.Accounts
            |> Array.map (fun account ->
                { account with
                    Job =
                        { account.Job with
                            Owner =
                                { account.Job.Owner with
                                    Kind = OwnerKind.Slurm
                                    Value = id
                                }
                        }
                })
    }

let private write (format: ExpositionFormat) (report: JobReport voption) (accounts: JobAccounts) : byte[] =
    let output = ArrayBufferWriter<byte>()
    let sink = TextSink(output, format)
    JobMetrics.write sink DateTimeOffset.UnixEpoch "" report accounts
    sink.End()
    output.WrittenSpan.ToArray()

let tests =
    testList
        "Job metrics"
        [
            law "the GPU seconds of a job only grow while it is remembered" steps (fun steps ->
                run plain steps
                |> List.map (snd >> counters >> Map.ofList)
                |> List.pairwise
                |> List.forall (fun (before, after) ->
                    after
                    |> Map.forall (fun series seconds ->
                        match Map.tryFind series before with
                        | Some earlier -> seconds >= earlier
                        | None -> seconds = 0.0)))

            law "a job's interval is counted once, for each of its GPUs, where it was there at both ends" steps (fun steps ->
                let accounts = run plain steps |> List.map snd

                // What was added to all labels of a job together, step by step.
                (List.zip steps accounts)
                |> List.pairwise
                |> List.forall (fun ((before, earlier), (step, later)) ->
                    let was = Map.ofList (totals earlier)

                    totals later
                    |> List.forall (fun (id, total) ->
                        let presentAt (step: Step) =
                            step.Present |> List.tryFind (fun (i, _, _) -> $"process-{i}" = id)

                        let expected =
                            match presentAt before, presentAt step with
                            | Some _, Some(_, gpus, _) -> step.Length * float gpus
                            | _ -> 0.0

                        let added = total - (Map.tryFind id was |> Option.defaultValue 0.0)
                        abs (added - expected) <= 1e-9 * (1.0 + total))))

            law
                "a job has at most its GPU seconds by parts, all jobs together no more than there are GPUs, and it loses no more than it has"
                steps
                (fun steps ->
                    let accounts = run plain steps |> List.map snd
                    let sum (column: float<s>[]) = column |> Array.sumBy float

                    List.zip steps accounts
                    |> List.forall (fun (_, accounts) ->
                        accounts.Accounts
                        |> Array.forall (fun account ->
                            let all = sum account.Seconds

                            sum account.Parts <= all * (1.0 + 1e-9)
                            && sum account.Wasted <= sum account.Parts * (1.0 + 1e-9)))
                    && List.zip steps accounts
                       |> List.pairwise
                       |> List.forall (fun ((_, earlier), (step, later)) ->
                           let parts (accounts: JobAccounts) =
                               accounts.Accounts |> Array.sumBy (fun account -> sum account.Parts)

                           // Generated jobs have the first GPUs, and a job is forgotten an hour after its end.
                           let most = (0 :: (step.Present |> List.map (fun (_, gpus, _) -> gpus))) |> List.max
                           parts later - parts earlier <= step.Length * float most * (1.0 + 1e-9) + 1e-6))

            law "a job that runs is shown, one that ended to two scrapes more at most, and none twice" steps (fun steps ->
                List.zip steps (run plain steps)
                |> List.forall (fun (step, (_, accounts)) ->
                    let shown = JobAccounts.shown accounts
                    let ids = shown |> Array.map _.Job.Id

                    Array.distinct ids = ids
                    && step.Present |> List.forall (fun (i, _, _) -> Array.contains $"process-{i}" ids)
                    && shown
                       |> Array.forall (fun account ->
                           account.IsRunning
                           || accounts.Scrapes - account.SeenScrapes < JobAccounts.ScrapesAfterEnd)))

            law "the report of a job has all GPU seconds of its accounts, and a line for each label that has any" steps (fun steps ->
                run plain steps
                |> List.forall (fun (_, accounts) ->
                    match JobTotals.find "7" (ofSlurm "7" accounts) with
                    | ValueNone -> accounts.Accounts.Length = 0
                    | ValueSome report ->
                        let all = totals accounts |> List.sumBy snd
                        let labels = report.Seconds |> Array.filter (fun seconds -> seconds > 0.0<s>)
                        let text = JobTotals.text report

                        abs (float report.All - all) <= 1e-9 * (1.0 + all)
                        && (text.Split '\n' |> Array.filter (fun line -> line.StartsWith "  ")).Length = labels.Length
                        && text.EndsWith '\n'))

            lawOf
                (cases / 10)
                "whatever jobs are called, the text reads back, each series once, the same in both formats"
                (Gen.zip steps (Gen.arrayOfLength 4 odd))
                (fun (steps, names) ->
                    match List.tryLast (List.zip steps (run (fun i -> names[i]) steps)) with
                    | None -> true
                    | Some(step, (_, accounts)) ->
                        let report = reportOf (fun i -> names[i]) step

                        let samples (families: Family list) =
                            families
                            |> List.collect (fun family -> family.Samples)
                            |> List.map (fun sample -> sample.Name, sample.Labels, sample.Value)

                        let text = samples (readText (ReadOnlySpan(write ExpositionFormat.Text report accounts)))

                        text = samples (readOpenMetrics (ReadOnlySpan(write ExpositionFormat.OpenMetrics report accounts)))
                        && List.distinct text = text)
        ]
