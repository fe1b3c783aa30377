/// The metrics of jobs: their exact text, what their GPU time went into, and how they leave.
module Agent.Sender.Tests.JobMetricsTests

open System
open System.Buffers
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.Sender
open Agent.TestSupport
open Agent.TestSupport.Readings
open Expecto

let private verdict (label: VerdictLabel) (confidence: float) : Agent.Core.Verdict =
    {
        Label = label
        Second = ValueNone
        Since = at
        Confidence = confidence
        Reason = ""
        Fix = ""
        Evidence =
            [|
                if label.IsThrottled then
                    {
                        Name = "GPU \"temperature\""
                        Value = 91.5
                        Limit = ValueSome 88.0
                        Unit = "°C"
                    }

                    {
                        Name = "time slowed"
                        Value = nan
                        Limit = ValueNone
                        Unit = "%"
                    }

                    {
                        Name = "runnable tasks"
                        Value = 3.0
                        Limit = ValueNone
                        Unit = ""
                    }
            |]
        RuledOut = [||]
    }

/// Everything of it is known.
let private alices: Job =
    { VerdictTraces.healthyJob 2 with
        Id = "slurm-4711-1001"
        StartedAt = ValueSome(DateTimeOffset(2026, 2, 26, 11, 0, 0, TimeSpan.Zero))
        GpuBusy = ValueSome 95.0<percent>
        GpuLeastBusy = ValueSome 90.0<percent>
        GpuPower = ValueSome 80.0<percent>
    }

/// Of another user, in a pod, on a MIG instance, and of an odd name; little of it is known.
let private bobs: Job =
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
        Name = "a\\b \"c\"\nd — é"
        Gpus =
            [|
                {
                    Index = 2
                    Uuid = "MIG-9"
                    Memory = ValueNone
                    SmShare = ValueNone
                }
            |]
        Processes = 1
        Threads = 7
    }

/// A report of these jobs; the machine's verdict is that of the first.
let private report (jobs: (Job * VerdictLabel * float) list) : JobReport voption =
    match jobs with
    | [] -> ValueNone
    | (_, label, confidence) :: _ ->
        ValueSome
            {
                Jobs =
                    [|
                        for job, label, confidence in jobs ->
                            {
                                Job = job
                                Verdict = verdict label confidence
                            }
                    |]
                Machine = verdict label confidence
                LeftOut = 3
            }

let private files: GpuJobFile[] =
    [|
        {
            Gpu = 0
            Instance = ValueNone
            Jobs = [| "4711" |]
        }
        {
            Gpu = 1
            Instance = ValueNone
            Jobs = [| "4711"; "4712" |]
        }
    |]

/// A sample that was taken so many seconds after the start, with so many scrapes before it.
let private sample (seconds: float) (scrapes: int64) (jobs: JobReport voption) (accounts: JobAccounts) : JobAccounts =
    JobAccounts.after (TimeSpan.FromSeconds seconds) scrapes files [||] jobs accounts

let private healthy job = job, VerdictLabel.Compute, 0.9

/// The GPU seconds of a job that are not 0, where its account is shown.
let private secondsOf (id: string) (accounts: JobAccounts) : (string * float) list option =
    JobAccounts.shown accounts
    |> Array.tryFind (fun account -> account.Job.Id = id)
    |> Option.map (fun account ->
        [
            for label, seconds in Array.zip VerdictLabel.All account.Seconds do
                if seconds <> 0.0<s> then
                    label.Name, float seconds
        ])

let private ids (accounts: JobAccounts) =
    [ for account in JobAccounts.shown accounts -> account.Job.Id ]

let private twoJobs = [ alices, VerdictLabel.Throttled, 0.8; bobs, VerdictLabel.LoaderCpu, 0.65 ]

let private accountsOfTwo =
    JobAccounts.Empty
    |> sample 100.0 0L (report [ healthy alices; bobs, VerdictLabel.Starting, 0.0 ])
    |> sample 102.0 0L (report [ healthy alices; bobs, VerdictLabel.LoaderCpu, 0.6 ])
    |> sample 104.5 0L (report twoJobs)

let private textOf (jobs: JobReport voption) (accounts: JobAccounts) : string =
    let output = ArrayBufferWriter<byte>()
    JobMetrics.write (TextSink(output, ExpositionFormat.Text)) DateTimeOffset.UnixEpoch "" jobs accounts
    Encoding.UTF8.GetString output.WrittenSpan

let private reading (gpuJobs: GpuJobFile[]) (jobs: JobReport voption) (accounts: JobAccounts) : MachineReading =
    let machine = machineWith [| { board with Index = 0 }; { board with Index = 1 } |]

    { machine with
        Sample = { machine.Sample with Jobs = jobs }
        Accounts = accounts
        GpuJobs = gpuJobs
    }

let private text =
    testList
        "text"
        [
            testCase "the user's label job is told with who a job is, and with nothing else"
            <| fun () ->
                let told machineJob =
                    let output = ArrayBufferWriter<byte>()

                    JobMetrics.write
                        (TextSink(output, ExpositionFormat.Text))
                        DateTimeOffset.UnixEpoch
                        machineJob
                        (report twoJobs)
                        accountsOfTwo

                    (Encoding.UTF8.GetString output.WrittenSpan).Split '\n'

                let more = Array.except (told "") (told "vision")
                Expect.equal more.Length 2 "one line for each job"

                for line in more do
                    Expect.stringStarts line "ai_dashboard_job_info{" "which"
                    Expect.stringContains line ",machine_job=\"vision\"" "as a label"

            testCase "two jobs of two users, to the letter"
            <| fun () ->
                let expected = (Fixtures.text "exporters/two-jobs.txt").Split '\n'
                let told = (textOf (report twoJobs) accountsOfTwo).Split '\n'

                for expected, told in Array.zip (Array.truncate told.Length expected) (Array.truncate expected.Length told) do
                    Expect.equal told expected "line"

                Expect.equal told.Length expected.Length "lines"

            testCase "docs/prometheus.md has a row for each metric, with its help text"
            <| fun () ->
                let page = IO.File.ReadAllText(IO.Path.Combine(Fixtures.root, "docs", "prometheus.md"))

                for line in (Fixtures.text "exporters/two-jobs.txt").Split '\n' do
                    if line.StartsWith("# HELP ", StringComparison.Ordinal) then
                        let words = line.Split(' ', 4)
                        Expect.stringContains page $"\n| `{words[2]}` | " words[2]
                        Expect.stringContains page $"| {words[3]} |\n" words[2]

            testCase "where nobody uses GPUs there is nothing"
            <| fun () ->
                Expect.equal (textOf ValueNone JobAccounts.Empty) "" "no family"

                let told =
                    familiesOf (machineWith [| board |])
                    |> List.filter (fun family ->
                        family.Name.StartsWith("ai_dashboard_job", StringComparison.Ordinal)
                        || family.Name.StartsWith("ai_dashboard_verdict", StringComparison.Ordinal))

                Expect.equal told [] "not beside a GPU either"

            testCase "OpenMetrics says the same, in its types"
            <| fun () ->
                let reading = reading files (report twoJobs) accountsOfTwo

                let families =
                    PrometheusText.readOpenMetrics (ReadOnlySpan(bytesOf ExpositionFormat.OpenMetrics (ValueSome reading) agent))

                let typeOf name =
                    families
                    |> List.tryFind (fun family -> family.Name = name)
                    |> Option.map (fun family -> family.Type)

                Expect.equal (typeOf "ai_dashboard_job") (Some "info") "info"
                Expect.equal (typeOf "ai_dashboard_job_gpu_seconds") (Some "counter") "counter"
                Expect.equal (typeOf "ai_dashboard_job_verdict") (Some "gauge") "states, by two labels"

                Expect.equal
                    (families |> List.collect (fun family -> family.Samples))
                    (familiesOf reading |> List.collect (fun family -> family.Samples))
                    "samples"

            testCase "remote-write has the same series, and ends those of a job that is gone"
            <| fun () ->
                let machine = RemoteWrite.machineLabels "gpu-box-01" [||]
                let first = reading files (report twoJobs) accountsOfTwo

                let struct (record, before) =
                    RemoteWriteRecord.ofReading RemoteWriteVersion.Two machine SeriesSet.Empty first agent

                let payload = (Spool.payloadOf (ReadOnlySpan record)).Value
                let series = RemoteWriteText.seriesOf (RemoteWriteText.decompress payload)

                let isOfJobs (one: RemoteWriteText.Series) =
                    (one.Label "__name__").StartsWith("ai_dashboard_job_", StringComparison.Ordinal)

                let expected =
                    (Fixtures.text "exporters/two-jobs.txt").Split '\n'
                    |> Array.filter (fun line -> line.StartsWith("ai_dashboard_job_", StringComparison.Ordinal))

                Expect.equal (series |> List.filter isOfJobs |> List.length) expected.Length "as many as in the text"

                Expect.equal
                    (series
                     |> List.filter isOfJobs
                     |> List.map (fun one -> one.Label "job")
                     |> List.distinct)
                    [ "slurm-4711-1001"; "process-77-100" ]
                    "a series' own job counts, and not that of the agent"

                let later =
                    reading files (report [ healthy alices ]) (sample 200.0 9L (report [ healthy alices ]) accountsOfTwo)

                let struct (record, _) = RemoteWriteRecord.ofReading RemoteWriteVersion.Two machine before later agent
                let payload = (Spool.payloadOf (ReadOnlySpan record)).Value

                let ended =
                    RemoteWriteText.seriesOf (RemoteWriteText.decompress payload)
                    |> List.filter (fun one -> one.Bits = 0x7ff0000000000002L && isOfJobs one)

                Expect.isTrue
                    (ended
                     |> List.exists (fun one -> one.Label "__name__" = "ai_dashboard_job_gpu_seconds_total"))
                    "its counters"

                // The figures of a verdict end with it.
                let isFigure (one: RemoteWriteText.Series) =
                    (one.Label "__name__").StartsWith("ai_dashboard_job_verdict_evidence", StringComparison.Ordinal)

                Expect.equal (ended |> List.filter isFigure |> List.length) 3 "the figures of the verdict that changed, and a limit"
                Expect.all ended (fun one -> isFigure one || one.Label "job" = "process-77-100") "of nobody else"

            testCase "the series of a GPU are told for each job of its file, as dcgm-exporter does it"
            <| fun () ->
                let families = familiesOf (reading files ValueNone JobAccounts.Empty)
                let family = families |> List.find (fun family -> family.Name = "DCGM_FI_DEV_GPU_UTIL")

                let told =
                    family.Samples
                    |> List.map (fun sample ->
                        let label name =
                            sample.Labels |> List.tryFind (fst >> (=) name) |> Option.map snd

                        label "gpu", label "hpc_job", sample.Spelling)

                Expect.equal
                    told
                    [
                        Some "0", Some "4711", "97"
                        Some "1", Some "4711", "97"
                        Some "1", Some "4712", "97"
                    ]
                    "labels"

            testCase "and those of a MIG instance for each of its own"
            <| fun () ->
                let instance =
                    { board.MigDevices.Value[0] with
                        GpuInstance = ValueSome 7
                    }

                let machine =
                    { machineWith
                          [|
                              { board with
                                  MigDevices = ValueSome [| instance |]
                              }
                          |] with
                        GpuJobs =
                            [|
                                {
                                    Gpu = 1
                                    Instance = ValueSome 7
                                    Jobs = [| "a\"b" |]
                                }
                            |]
                    }

                let labels name =
                    (familiesOf machine |> List.find (fun family -> family.Name = name)).Samples
                    |> List.map (fun sample -> sample.Labels |> List.tryFind (fst >> (=) "hpc_job") |> Option.map snd)

                Expect.equal (labels "ai_dashboard_gpu_mig_memory_size_bytes") [ Some "a\"b" ] "the instance's"
                Expect.equal (labels "DCGM_FI_DEV_FB_USED") [ Some "a\"b" ] "by dcgm-exporter's name too"
                Expect.equal (labels "DCGM_FI_DEV_GPU_UTIL") [ None ] "not the board's"
        ]

let private accounts =
    testList
        "GPU time"
        [
            testCase "each interval goes to the label that holds at its end, once for each GPU"
            <| fun () ->
                // Two seconds of two GPUs, then two and a half.
                Expect.equal (secondsOf alices.Id accountsOfTwo) (Some [ "compute", 4.0; "throttled", 5.0 ]) "two GPUs"
                Expect.equal (secondsOf bobs.Id accountsOfTwo) (Some [ "loader-cpu", 4.5 ]) "one"

            testCase "a job's first sample begins its time"
            <| fun () ->
                let first = JobAccounts.Empty |> sample 50.0 0L (report [ healthy alices ])
                Expect.equal (secondsOf alices.Id first) (Some []) "nothing yet"

            testCase "a job that ended is shown to two scrapes more, and no gauge of it"
            <| fun () ->
                let before = accountsOfTwo |> sample 106.5 7L (report twoJobs)
                let alone = report [ healthy alices ]
                let ended = before |> sample 108.5 7L alone
                Expect.equal (ids ended) [ alices.Id; bobs.Id ] "it ended just now"
                Expect.equal (secondsOf bobs.Id ended) (Some [ "loader-cpu", 6.5 ]) "its time stands still"
                let text = textOf alone ended
                Expect.stringContains text "ai_dashboard_job_gpu_seconds_total{job=\"process-77-100\",label=\"loader-cpu\"} 6.5\n" "counter"
                Expect.stringContains text "ai_dashboard_job_info{job=\"process-77-100\"," "what to join it with"
                Expect.isFalse (text.Contains "ai_dashboard_job_processes{job=\"process-77-100\"") "no figure"
                Expect.isFalse (text.Contains "ai_dashboard_job_verdict{job=\"process-77-100\"") "no verdict"
                let once = ended |> sample 110.5 8L alone
                Expect.equal (ids once) [ alices.Id; bobs.Id ] "after one"
                let twice = once |> sample 112.5 9L alone
                Expect.equal (ids twice) [ alices.Id ] "after two"
                Expect.isFalse ((textOf alone twice).Contains "process-77-100") "it has left"

            testCase "nobody scrapes: it leaves after five minutes"
            <| fun () ->
                let ended = accountsOfTwo |> sample 403.5 0L ValueNone
                Expect.equal (ids ended) [ alices.Id; bobs.Id ] "299 s"
                Expect.equal (ids (ended |> sample 404.5 0L ValueNone)) [] "300 s"

            testCase "a job that is back goes on where it was; the time between is nobody's"
            <| fun () ->
                let back =
                    accountsOfTwo
                    |> sample 106.5 20L (report [ healthy alices ])
                    |> sample 600.0 40L (report [ healthy alices ])
                    |> sample 602.0 41L (report twoJobs)

                Expect.equal (secondsOf bobs.Id back) (Some [ "loader-cpu", 4.5 ]) "as before"
                let later = back |> sample 604.0 41L (report twoJobs)
                Expect.equal (secondsOf bobs.Id later) (Some [ "loader-cpu", 6.5 ]) "and on"

            testCase "what is remembered is bounded"
            <| fun () ->
                let nth i = { alices with Id = $"process-{i}-1" }

                let mutable accounts = JobAccounts.Empty

                for round in 0..9 do
                    let jobs = [ for i in 0..63 -> healthy (nth (round * 64 + i)) ]
                    accounts <- accounts |> sample (float round) (int64 round * 10L) (report jobs)

                Expect.equal accounts.Accounts.Length (64 + JobAccounts.MostEnded) "accounts"
                Expect.equal (ids accounts).Length 64 "shown"
                accounts <- accounts |> sample 5000.0 100L ValueNone
                Expect.equal accounts.Accounts.Length 0 "after an hour"

            testCase "a clock that stands still adds nothing"
            <| fun () ->
                let same = accountsOfTwo |> sample 104.5 0L (report twoJobs)
                Expect.equal (secondsOf alices.Id same) (secondsOf alices.Id accountsOfTwo) "nothing"
        ]

[<Tests>]
let tests = testList "Exposition.JobMetrics" [ text; accounts ]
