/// Jobs from the series of a cluster: which is which, what they used on which day, and how their lives are cut.
module Agent.Receiver.Tests.ClusterJobTests

open System
open Agent.Core
open Agent.Receiver
open Agent.Receiver.Cluster
open Expecto

let private day = DateTimeOffset(2026, 2, 26, 0, 0, 0, TimeSpan.Zero)

let private at (hours: float) =
    RowKey.microseconds (day.AddHours hours)

let private seconds (hours: float) =
    float (day.AddHours(hours).ToUnixTimeSeconds())

let private series (labels: (string * string) list) (points: (int64 * float) list) : ClusterSeries =
    {
        Labels = [| for name, value in labels -> struct (name, value) |]
        Times = points |> List.map fst |> Array.ofList
        Values = points |> List.map snd |> Array.ofList
    }

let private told (kind: string) (more: (string * string) list) (value: float) =
    series ([ "k", kind; "instance", "box"; "job", "slurm-7" ] @ more) [ at 12.0, value ]

let private facts (heard: float) =
    [|
        told "seen" [] (seconds 11.0)
        told "first" [] (seconds 3.0)
        told "count" [] 481.0
        told "start" [] (seconds 2.0)
        told
            "info"
            [
                "owner_kind", "slurm"
                "owner", "7"
                "user", "ada"
                "uid", "1000"
                "name", "train.py"
            ]
            1.0
        told "label" [ "label", "disk-read" ] 1.0
        told "busy" [] 0.25
        told "cores" [] 1.5
        told "memory" [] 1e9
        told "gpu" [ "gpu", "1"; "UUID", "GPU-b" ] 1.0
        told "gpu" [ "gpu", "0"; "UUID", "GPU-a" ] 1.0
        series [ "k", "machine"; "instance", "box" ] [ at 12.0, heard ]
    |]

let private serverOf = Func<string, int>(fun instance -> if instance = "box" then 3 else -1)

let private only (found: 'one[]) : 'one =
    Expect.hasLength found 1 "one"
    found[0]

let private job: ClusterJob =
    {
        Instance = "box"
        Job = "slurm-7"
        Exported = ""
    }

let private span from until now : ClusterSpan =
    {
        From = at from
        Until = at until
        Now = at now
    }

[<Tests>]
let tests =
    testList
        "Cluster jobs"
        [
            testCase "a job is what its series say, as a database would have it"
            <| fun () ->
                let found = only (ClusterJobs.records serverOf (facts (seconds 11.0)))
                let record = found.Record
                Expect.equal (record.Server, record.Id, record.User, record.Uid, record.Name) (3, "slurm-7", "ada", 1000L, "train.py") "who"
                Expect.equal (record.Began, record.LastSeen, found.First, found.Count) (at 2.0, at 11.0, at 3.0, 481L) "when"
                Expect.equal record.Label (JobSchema.codeOf VerdictLabel.DiskRead) "label"
                Expect.equal (record.Busy, record.Cores, record.Memory) (25.0, 1.5, 1000000000L) "figures"
                Expect.equal record.Gpus """[[0,"GPU-a"],[1,"GPU-b"]]""" "GPUs in their order"
                Expect.equal record.Cohort "slurm:7" "its parts"

            testCase "parts of one job are found by the user's label of their machines, before what their owner tells"
            <| fun () ->
                let labelled =
                    facts (seconds 11.0)
                    |> Array.map (fun one ->
                        if one.Label "k" = "info" then
                            { one with
                                Labels = Array.append one.Labels [| struct ("machine_job", "vision \"2\"") |]
                            }
                        else
                            one)

                let record = (only (ClusterJobs.records serverOf labelled)).Record
                Expect.equal record.Cohort "label:vision \"2\"" "as a database has it"
                Expect.equal (ClusterJobs.cohort record) [ "machine_job=\"vision \\\"2\\\"\"" ] "what is asked for"
                let plain = (only (ClusterJobs.records serverOf (facts (seconds 11.0)))).Record
                Expect.equal (ClusterJobs.cohort plain) [ "owner_kind=\"slurm\""; "owner=\"7\"" ] "without one"
                Expect.equal (ClusterJobs.cohort { plain with Cohort = "" }) [] "alone"

            testCase "it is over when its machine was heard of more than half a minute after it"
            <| fun () ->
                let isOver heard =
                    (only (ClusterJobs.records serverOf (facts heard))).Record.IsOver

                Expect.isFalse (isOver (seconds 11.0)) "in the newest sample"
                Expect.isFalse (isOver (seconds 11.0 + 30.0)) "half a minute"
                Expect.isTrue (isOver (seconds 11.0 + 30.001)) "more"

            testCase "jobs of machines that are not known, and ones that were not seen, are left out"
            <| fun () ->
                Expect.isEmpty (ClusterJobs.records (Func<string, int>(fun _ -> -1)) (facts 0.0)) "no server"
                Expect.isEmpty (ClusterJobs.records serverOf [| told "label" [ "label", "compute" ] 1.0 |]) "never seen"
                Expect.isEmpty (ClusterJobs.records serverOf [| told "seen" [] nan |]) "no instant"

            testCase "a key is the same for everybody: of the machine and the job's own name, whichever label has it"
            <| fun () ->
                // The first 8 bytes of sha256sum of "box\nslurm-7", the highest bit of the last cleared.
                Expect.equal (ClusterJobQueries.numberOf job) 5112639540936145693L "the number"

                let scraped =
                    {
                        Instance = "box"
                        Job = "gpu-machines"
                        Exported = "slurm-7"
                    }

                Expect.equal (ClusterJobQueries.numberOf scraped) (ClusterJobQueries.numberOf job) "as it was scraped"

                Expect.notEqual
                    (ClusterJobQueries.numberOf { job with Instance = "other" })
                    (ClusterJobQueries.numberOf job)
                    "another machine"

            testCase "days: cut ones alone, whole ones together"
            <| fun () ->
                let days from until =
                    ClusterJobs.days (at from) (at until)
                    |> Array.map (fun part ->
                        (RowKey.instant part.From - day).TotalHours, (RowKey.instant part.Until - day).TotalHours, part.Count)

                Expect.equal (days 22.0 75.0) [| 22.0, 24.0, 1; 24.0, 48.0, 2; 72.0, 75.0, 1 |] "both ends cut"
                Expect.equal (days 0.0 24.0) [| 0.0, 24.0, 1 |] "one whole day"
                Expect.equal (days 3.0 5.0) [| 3.0, 5.0, 1 |] "within a day"
                Expect.equal (days 23.0 25.0) [| 23.0, 24.0, 1; 24.0, 25.0, 1 |] "no whole one"
                Expect.equal (days 5.0 5.0) [||] "nothing"

            testCase "what was used belongs to the day that ends there"
            <| fun () ->
                let used kind label points =
                    series [ "k", kind; "instance", "box"; "job", "slurm-7"; "label", label ] points

                let found =
                    ClusterJobs.daily
                        serverOf
                        [| told "info" [ "user", "ada"; "name", "train.py" ] 1.0 |]
                        [|
                            used "used" "disk-read" [ at 24.0, 60.0; at 48.0, 7.5 ]
                            used "wasted" "disk-read" [ at 24.0, 45.0 ]
                            used "used" "nonsense" [ at 24.0, 1.0 ]
                        |]
                    |> Array.map (fun struct (record, used) -> record.User, used.Day, used.Use.Gpu, used.Use.Wasted)
                    |> Array.sort

                // Days from 2000-01-01 to 2026-02-26: date -d 2026-02-26 +%s less that of 2000-01-01, by 86400.
                Expect.equal found [| "ada", 9553, 60000L, 45000L; "ada", 9554, 7500L, 0L |] "by day"

            testCase "a life is cut into 720 stretches at most"
            <| fun () ->
                let cut hours =
                    let struct (first, minutes) = ClusterJobs.cut (at 0.0) (at hours)
                    Expect.equal first (RowKey.minuteAt (at 0.0)) "from its first minute on"
                    minutes

                Expect.equal (cut 1.0) 1L "an hour in minutes"
                Expect.equal (cut (719.0 / 60.0)) 1L "720 minutes"
                Expect.equal (cut 12.0) 2L "one more"

            testCase "what a job did is told by the minute in which a stretch begins; what has no label is none of it"
            <| fun () ->
                let step = 2L * RowKey.MicrosecondsPerMinute
                let ends = at 1.0 + step - 1000L

                let found =
                    ClusterJobs.minutes
                        9L
                        step
                        [|
                            series [ "k", "label"; "label", "disk-read" ] [ ends, 90.0 ]
                            series [ "k", "label"; "label", "compute" ] [ ends, 30.0 ]
                            series [ "k", "wasted"; "label", "disk-read" ] [ ends, 67.5; ends + step, 1.0 ]
                            series [ "k", "busy" ] [ ends, 0.25 ]
                        |]

                let struct (minute, did) = only found
                Expect.equal minute (RowKey.minuteAt (at 1.0)) "when"
                Expect.equal (Array.sum did.Wasted, did.Busy.Mean, did.Busy.Count) (67.5, 25.0, 1) "what"
                Expect.equal did.Seconds[JobSchema.codeOf VerdictLabel.DiskRead] 90.0 "under which label"

            testCase "the run before is the one that began last, and not the job itself"
            <| fun () ->
                let began name seconds =
                    series [ "instance", "box"; "job", name ] [ at 0.0, seconds ]

                let earlier = ClusterJobs.earlierOf job

                match earlier [| began "slurm-7" 9.0; began "slurm-5" 5.0; began "slurm-6" 6.0 |] with
                | ValueSome found -> Expect.equal found.Id "slurm-6" "which"
                | ValueNone -> failtest "there is one"

                Expect.isTrue (earlier [| began "slurm-7" 9.0; began "slurm-6" nan |]).IsNone "none"

            testCase "a question about the past is asked now, with an offset; names are quoted"
            <| fun () ->
                Expect.equal
                    (ClusterJobQueries.listed (ClusterJobQueries.ofMachine "b\"x") (span 1.0 2.0 3.0))
                    "topk(4000, max_over_time(ai_dashboard_job_seen_timestamp_seconds{instance=\"b\\\"x\"}[3600s] offset 3600s))"
                    "the past"

                Expect.equal
                    (ClusterJobQueries.all ClusterJobQueries.anywhere (span 1.0 3.0 3.0))
                    "max_over_time(ai_dashboard_job_seen_timestamp_seconds{}[7200s])"
                    "up to now"

                Expect.stringContains
                    (ClusterJobQueries.earlier "a.b" "ada")
                    "ai_dashboard_job_info{name=\"a.b\",user=\"ada\"}"
                    "by name and user"
        ]
