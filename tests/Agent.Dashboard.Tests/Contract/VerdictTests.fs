/// What is said of machines and their jobs, as the read API tells it: now, at an instant of the past, and what it cost.
module Agent.Dashboard.Tests.VerdictTests

open System
open System.Text.Json
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.Shared
open Expecto

let private verdict (label: string) (reason: string) (since: DateTimeOffset) : string =
    render
        [
            "label", quoted label
            "second", "null"
            "since", quoted (instant since)
            "confidence", "0.9"
            "reason", quoted reason
            "fix", quoted "try num_workers=8"
            "evidence", "[{\"name\":\"disk queue\",\"value\":12.5,\"limit\":2,\"unit\":\"\"}]"
            "ruled_out", "[{\"name\":\"CPU quota\",\"value\":0,\"limit\":null,\"unit\":\"%\"}]"
        ]

let private gpuOf (index: int) =
    $"{{\"gpu_index\":{index},\"uuid\":\"GPU-{index}\",\"memory_bytes\":1000,\"sm_percent\":25}}"

/// A job on two GPUs that are busy for a quarter of the time.
let private job (id: string) (label: string) (began: DateTimeOffset) : string =
    render
        [
            "id", quoted id
            "owner", """{"kind":"slurm","value":"4711","namespace":null,"name":null}"""
            "user", quoted "ada"
            "uid", "1000"
            "name", quoted "python train.py"
            "command", "null"
            "started_at", quoted (instant began)
            "gpus", list [ gpuOf 0; gpuOf 1 ]
            "cpu_cores_used", "1.5"
            "memory_bytes", "1073741824"
            "gpu_busy_percent", "25"
            "gpu_power_percent", "30"
            "read_bytes_per_s", "5000000"
            "verdict", verdict label $"{id}: {label}" began
        ]

/// A sample of a machine that is so, with these jobs.
let private judged (at: DateTimeOffset) (label: string) (jobs: string list) : Members =
    sample at
    |> set "verdict" (verdict label $"because of {label}" at)
    |> set "jobs" (list jobs)

let private sendTo (dashboard: Dashboard) (server: Registered) (sample: Members) =
    post dashboard.Port server (body sample) |> accepted |> ignore

let private escaped (at: DateTimeOffset) = Uri.EscapeDataString(instant at)

let private entries (path: string) (element: JsonElement) : JsonElement list =
    [ for entry in (at path element).EnumerateArray() -> entry ]

let private minuteAgo (minutes: float) =
    let at = DateTimeOffset.UtcNow.AddMinutes -minutes
    DateTimeOffset(at.Year, at.Month, at.Day, at.Hour, at.Minute, 0, TimeSpan.Zero)

/// Ten minutes of a job: six it reads from the disk, then it computes for four. A sample every ten seconds.
let private tenMinutes (dashboard: Dashboard) (server: Registered) (start: DateTimeOffset) =
    for step in 0..60 do
        let at = start.AddSeconds(10.0 * float step)
        let label = if step <= 36 then "disk-read" else "compute"
        sendTo dashboard server (judged at label [ job "slurm-4711" label start ])

let tests =
    testList
        "verdicts and jobs"
        [
            testCase "the newest verdict leads, with its witnesses where they are asked for"
            <| fun () ->
                let server = freshServer ()
                let now = DateTimeOffset.UtcNow
                sendTo (dashboard ()) server (judged (now.AddSeconds -1.0) "disk-read" [ job "j1" "disk-read" now ])

                let shown =
                    read "/api/servers/"
                    |> entries "servers"
                    |> List.find (fun one -> textAt "slug" one = server.Slug)

                Expect.equal (textAt "verdict.label" shown, textAt "verdict.severity" shown) ("disk-read", "held-back") "the fleet"
                Expect.equal (textAt "verdict.source" shown) "agent" "who says so"
                Expect.equal (numberAt "attention" shown) 60.0 "attention"
                let line = entries "jobs" shown |> List.exactlyOne
                Expect.equal (textAt "user" line, rawAt "gpus" line, textAt "severity" line) ("ada", "[0,1]", "held-back") "its job"
                Expect.isFalse ((at "verdict" shown).TryGetProperty("evidence") |> fst) "no witnesses in the list"
                let latest = latestOf server
                Expect.equal (textAt "verdict.reason" latest) "because of disk-read" "the reason"
                Expect.equal (rawAt "verdict.evidence" latest) """[{"name":"disk queue","value":12.5,"limit":2,"unit":""}]""" "witnesses"

                Expect.equal
                    (rawAt "verdict.ruled_out" latest)
                    """[{"name":"CPU quota","value":0,"limit":null,"unit":"%"}]"""
                    "what was ruled out"

                let job = entries "jobs" latest |> List.exactlyOne
                Expect.equal (textAt "owner.value" job, numberAt "gpu_busy_percent" job) ("4711", 25.0) "the job in full"
                Expect.equal (textAt "verdict.reason" job) "j1: disk-read" "its verdict"

            testCase "a sender without a verdict is judged by the dashboard, and says so"
            <| fun () ->
                let server = freshServer ()
                let start = DateTimeOffset.UtcNow.AddSeconds -62.0

                for step in 0..30 do
                    sample (start.AddSeconds(2.0 * float step))
                    |> set "cpu_usage_percent" "1.5"
                    |> set
                        "gpus"
                        (list
                            [
                                render (
                                    gpuMembers 0 "97" "80"
                                    |> set "power_w" "350"
                                    |> set "throttle_reasons" "[\"hw_thermal_slowdown\"]"
                                )
                            ])
                    |> sendTo (dashboard ()) server

                let latest = latestOf server

                Expect.equal
                    (textAt "verdict.label" latest, textAt "verdict.source" latest)
                    ("throttled", "dashboard")
                    "slowed by heat, not idle"

                Expect.equal (rawAt "jobs" latest) "[]" "it sees no jobs"

            testCase "a verdict that cannot be read is left out with a word, and the sample is stored"
            <| fun () ->
                let server = freshServer ()

                let warnings =
                    sample DateTimeOffset.UtcNow
                    |> set "verdict" (verdict "sleepy" "no" DateTimeOffset.UtcNow)
                    |> body
                    |> post (dashboard ()).Port server
                    |> warningsOf

                Expect.equal
                    warnings
                    [
                        "verdict: label: expected one of docs/verdict.md's, found \"sleepy\"; left out"
                    ]
                    "warned"

                Expect.equal (numberAt "cpu_usage_percent" (latestOf server)) 33.3 "stored"

            testCase "the past: what was said when, how long each label stood, and why; from samples and from minutes alike"
            <| fun () ->
                let server = freshServer ()
                let start = minuteAgo 180.0
                tenMinutes (dashboard ()) server start
                let until = start.AddMinutes 11.0

                let check minutes =
                    let history = read $"/api/metrics/history/?server={server.Slug}&minutes={minutes}&to={escaped until}"

                    let runs =
                        entries "verdicts" history
                        |> List.map (fun run -> textAt "label" run, textAt "severity" run, textAt "reason" run)

                    Expect.equal
                        runs
                        [
                            "disk-read", "held-back", "because of disk-read"
                            "compute", "healthy", "because of compute"
                        ]
                        $"the runs of {minutes} minutes"

                    Expect.floatClose { absolute = 0.2; relative = 0.0 } (numberAt "verdict_seconds.disk-read" history) 360.0 "six minutes"
                    Expect.floatClose { absolute = 0.2; relative = 0.0 } (numberAt "verdict_seconds.compute" history) 240.0 "and four"
                    textAt "source" history

                Expect.equal (check 15) "raw" "from samples"
                eventually patience "minutes" (fun () -> check 150 = "minute")

                let said (offset: float) =
                    read $"/api/verdicts/?server={server.Slug}&at={escaped (start.AddSeconds offset)}"

                Expect.equal (textAt "verdict.label" (said 100.0)) "disk-read" "while it read"
                Expect.equal (textAt "name" (entries "verdict.evidence" (said 100.0)).Head) "disk queue" "with its witnesses"
                Expect.equal (textAt "verdict.label" (said 400.0)) "compute" "later"
                Expect.equal (textAt "verdict.fix" (entries "jobs" (said 100.0) |> List.exactlyOne)) "try num_workers=8" "of its job"
                Expect.equal (rawAt "verdict" (said -3600.0)) "null" "before anything was said"

            testCase "jobs: what each used and wasted, its life, and the report of waste"
            <| fun () ->
                use place = new TemporaryDirectory()
                use dashboard = new Dashboard(place.File "dashboard.db", [])
                let one = dashboard.Register("gpu-a", [])
                let other = dashboard.Register("gpu-b", [])
                let start = minuteAgo 30.0
                tenMinutes dashboard one start
                tenMinutes dashboard other start
                // The job is gone from one of them: after half a minute it is over.
                sendTo dashboard one (judged (start.AddSeconds 640.0) "idle" [])
                // 0.1 h of two GPUs, of which three quarters waited.
                let hours = 360.0 * 2.0 / 3600.0
                let isAbout expected value = abs (value - expected) < 0.006

                // The last ten seconds lie in a minute that is rolled up some seconds after its last sample.
                let isAll job =
                    abs (numberAt "gpu_hours" job - 600.0 * 2.0 / 3600.0) < 0.0005

                eventually patience "the jobs' minutes" (fun () ->
                    let jobs = entries "jobs" (readFrom dashboard "/api/jobs/?minutes=60")
                    jobs.Length = 2 && List.forall isAll jobs)

                let jobs = entries "jobs" (readFrom dashboard "/api/jobs/?minutes=60")
                let onA = jobs |> List.find (fun job -> textAt "server" job = "gpu-a")
                Expect.equal jobs.Length 2 "one on each machine"
                Expect.isTrue (isAbout hours (numberAt "verdict_gpu_hours.disk-read" onA)) "held back"
                let wasted = numberAt "wasted_gpu_hours" onA
                Expect.isTrue (isAbout (hours * 0.75) wasted) $"wasted {wasted}"
                Expect.equal (textAt "ended" onA) (instant (start.AddSeconds 600.0)) "over when it was seen last"
                let onB = jobs |> List.find (fun job -> textAt "server" job = "gpu-b")
                Expect.equal (rawAt "ended" onB) "null" "the other one is not"
                Expect.equal (textAt "group" onA, textAt "group" onB) ("slurm:4711", "slurm:4711") "one job of Slurm"
                Expect.equal (entries "jobs" (readFrom dashboard "/api/jobs/?minutes=60&active=true")).Length 1 "one goes on"

                let key = textAt "job" onA
                let life = readFrom dashboard $"/api/jobs/{key}/"
                Expect.equal (entries "parts" life |> List.map (textAt "server")) [ "gpu-b" ] "its other part"
                Expect.equal (rawAt "earlier" life) "null" "the first of its name"
                Expect.isGreaterThanOrEqual (entries "minutes.time" life).Length 10 "its minutes"
                Expect.equal ((entries "minutes.label" life).Head.GetString() |> string) "disk-read" "began by reading"

                let waste = readFrom dashboard "/api/waste/?by=user&minutes=60"
                let row = entries "rows" waste |> List.exactlyOne
                Expect.equal (textAt "key" row, numberAt "jobs" row) ("ada", 2.0) "whose it is"
                let csv = get dashboard.Port "/api/waste/?by=verdict&minutes=60&format=csv"
                Expect.equal (csv.Header "content-type") (Some "text/csv; charset=utf-8; header=present") "CSV"

                Expect.stringStarts
                    csv.Text
                    "verdict,gpu_hours,wasted_gpu_hours,compute,disk-read,jobs\r\ndisk-read,"
                    "its head and first line"

                // All of it is on the disk.
                dashboard.Stop()
                use again = new Dashboard(place.File "dashboard.db", [])
                Expect.equal (rawAt "job" (readFrom again $"/api/jobs/{key}/")) (rawAt "job" life) "after a restart"

                Expect.equal
                    (textAt
                        "verdict.label"
                        (entries "servers" (readFrom again "/api/servers/")
                         |> List.find (fun s -> textAt "slug" s = "gpu-b")))
                    "compute"
                    "the verdict as well"

                sendTo again other (judged (start.AddSeconds 610.0) "compute" [ job "slurm-4711" "compute" start ])
                Expect.equal (entries "jobs" (readFrom again "/api/jobs/?server=gpu-b&minutes=60")).Length 1 "and the job is the same"

            testCase "a sample that comes late changes what its hour used by just as much as it changes its minute"
            <| fun () ->
                let server = freshServer ()
                let start = minuteAgo 90.0
                let at (seconds: float) = start.AddSeconds seconds

                let send seconds label =
                    sendTo (dashboard ()) server (judged (at seconds) label [ job "late" label start ])

                send 0.0 "disk-read"
                send 40.0 "disk-read"
                send 130.0 "disk-read"

                let hours () =
                    match entries "jobs" (read $"/api/jobs/?server={server.Slug}&minutes=180") with
                    | [ job ] -> numberAt "gpu_hours" job
                    | _ -> 0.0

                // 40 s, and 60 of the 90 before the third: no sample speaks for more than a minute.
                let expected = 100.0 * 2.0 / 3600.0
                eventually patience "rolled up" (fun () -> abs (hours () - expected) < 0.0002)
                send 80.0 "compute"
                let expected = (40.0 + 40.0 + 50.0) * 2.0 / 3600.0
                eventually patience $"with the late one; {hours ()}" (fun () -> abs (hours () - expected) < 0.0002)

            testCase "a job that says it began after its samples, since a clock was set, stays one job"
            <| fun () ->
                let server = freshServer ()
                let start = minuteAgo 30.0

                for step in 0..9 do
                    judged (start.AddMinutes(float step)) "compute" [ job "unit-1" "compute" (start.AddHours 2.0) ]
                    |> sendTo (dashboard ()) server

                let jobs = entries "jobs" (read $"/api/jobs/?server={server.Slug}&minutes=60")
                Expect.equal (jobs |> List.map (textAt "began")) [ instant start ] "one, from its first sample on"

            testCase "the timeline: what happened, what began and ended, and what a training script wrote down with its machine's token"
            <| fun () ->
                let server = freshServer ()
                let start = DateTimeOffset.UtcNow.AddMinutes -4.0
                let at (seconds: float) = start.AddSeconds seconds

                let gpus count =
                    list [ for index in 0 .. count - 1 -> gpu index "50" "50" ]

                for step in 0..10 do
                    judged (at (10.0 * float step)) "disk-read" [ job $"timeline-{server.Slug}" "disk-read" start ]
                    |> set "gpus" (gpus (if step < 5 then 2 else 1))
                    |> sendTo (dashboard ()) server

                judged (at 150.0) "compute" []
                |> set "gpus" (gpus 2)
                |> sendTo (dashboard ()) server

                let annotate (token: string) (body: string) =
                    let bytes = utf8 body

                    exchange
                        (dashboard ()).Port
                        (request
                            $"POST /api/ingest/servers/{server.Slug}/annotations/ HTTP/1.1"
                            [
                                "Host", "127.0.0.1"
                                "X-Monitoring-Token", token
                                "Content-Length", string bytes.Length
                            ]
                            bytes)

                Expect.equal (annotate server.Token """{"text":"epoch 3"}""").Status 201 "written down"

                annotate "not-the-token-of-anybody" """{"text":"epoch 4"}"""
                |> refused 401
                |> ignore

                annotate server.Token """{"text":""}""" |> refused 400 |> ignore

                let events = read $"/api/timeline/?server={server.Slug}&minutes=60" |> entries "events"

                let told =
                    events
                    |> List.map (fun event -> textAt "kind" event, textAt "text" event)
                    |> List.rev

                Expect.equal
                    (told |> List.filter (fun (kind, _) -> kind <> "verdict"))
                    [
                        "job-begin", "python train.py of ada began"
                        "gpu-lost", "GPU 1 (NVIDIA H100 80GB HBM3) is not reported any more"
                        "job-end", "python train.py of ada ended"
                        "gpu-back", "GPU 1 (NVIDIA H100 80GB HBM3) is back"
                        "annotation", "epoch 3"
                    ]
                    "in the order of time"

                Expect.equal
                    (told |> List.filter (fun (kind, _) -> kind = "verdict") |> List.map snd)
                    [ "disk-read: because of disk-read"; "compute: because of compute" ]
                    "verdicts"

                Expect.equal
                    (read $"/api/timeline/?server={server.Slug}&minutes=60&kinds=annotation,xid"
                     |> entries "events"
                     |> List.length)
                    1
                    "of some kinds"

            testCase "an XID that an agent sends is told with its meaning, and is part of the newest sample"
            <| fun () ->
                let server = freshServer ()
                let start = DateTimeOffset.UtcNow.AddMinutes -3.0

                let withXids seconds last count =
                    sample (start.AddSeconds seconds)
                    |> set "gpus" (list [ render (gpuMembers 0 "50" "20" @ [ "xid_last", last; "xid_count", count ]) ])
                    |> sendTo (dashboard ()) server

                withXids 0.0 "null" "0"
                withXids 2.0 "31" "1"

                Expect.equal
                    (read $"/api/timeline/?server={server.Slug}&minutes=60&kinds=xid"
                     |> entries "events"
                     |> List.map (textAt "text"))
                    [
                        "XID 31 of GPU 0 (NVIDIA H100 80GB HBM3): a page fault of the program's kernel"
                    ]
                    "one"

                let gpu =
                    read $"/api/metrics/latest/?server={server.Slug}"
                    |> entries "snapshot.sample.gpus"
                    |> List.exactlyOne

                Expect.equal (numberAt "xid_last" gpu, numberAt "xid_count" gpu) (31.0, 1.0) "as it was sent"

            testCase "what cannot be asked"
            <| fun () ->
                let refusal target status detail =
                    let answer = get (dashboard ()).Port target |> refused status

                    Expect.equal
                        (match answer.TryGetProperty "detail" with
                         | true, text -> text.GetString() |> string
                         | _ -> "")
                        detail
                        target

                let slug = (freshServer ()).Slug
                refusal "/api/verdicts/" 400 "server: missing; give a server's slug"
                refusal $"/api/verdicts/?server={slug}&at=noon" 400 "at: expected an instant such as 2026-02-26T02:37:49+00:00"
                refusal "/api/jobs/?minutes=0" 400 "minutes: expected a whole number from 1 to 527040"
                refusal "/api/jobs/?server=nobody" 404 "nobody"
                refusal "/api/jobs/gpu-box-01.999999/" 404 ""
                refusal "/api/jobs/x/" 404 ""
                refusal "/api/waste/?by=colour" 400 "by: expected one of user, job, machine, label, verdict, day, found \"colour\""

                refusal
                    "/api/timeline/?kinds=flood"
                    400
                    "kinds: expected some of reboot, agent-start, gpu-lost, gpu-back, xid, throttle, throttle-end, job-begin, job-end, verdict, annotation, alert, found \"flood\""

                refusal "/api/waste/?format=xls" 400 "format: expected json or csv"
        ]
