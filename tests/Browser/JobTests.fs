/// The pages of jobs: the table of a machine, the list of the fleet, one job, the report of waste.
module Agent.Browser.Tests.JobTests

open System
open System.Text.Json.Nodes
open Agent.Browser.Tests.AccessibilityTests
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.Browser.Tests.Verdicts
open Expecto

let private minutesAgo (minutes: int) =
    DateTimeOffset.UtcNow.AddMinutes(-float minutes).ToUnixTimeMilliseconds()

/// Half an hour in which a job first worked and then waited for the disk, its part on another machine that is behind, and a run before it.
let private life () : JsonNode =
    let values (of': int -> string) =
        [ 29..-1..0 ] |> List.map of' |> String.concat ","

    let part = job "a100-02" 2 "ada" "train.py" "disk-read" ""
    part["gpu_busy_percent"] <- JsonValue.Create 12.0

    let root =
        json
            $$"""{"minutes":{"time":[{{values (fun ago -> string (minutesAgo ago))}}],"label":[{{values (fun ago -> if ago > 15 then "\"compute\"" else "\"disk-read\"")}}],
"gpu_busy_percent":[{{values (fun ago -> if ago > 15 then "95" else "30")}}],"cpu_cores_used":[{{values (fun _ -> "7.5")}}],"memory_bytes":[{{values (fun _ -> "34359738368")}}],
"read_bytes_per_s":[{{values (fun _ -> "1200000000")}}],"wasted_gpu_seconds":[{{values (fun ago -> if ago > 15 then "3" else "84")}}]} }"""

    root["job"] <- job "h100-01" 1 "ada" "train.py" "disk-read" ""
    root["parts"] <- JsonArray part
    root["earlier"] <- job "h100-01" 0 "ada" "train.py" "compute" ""
    root

let private over () =
    let one = job "h100-01" 3 "bob" "eval.py" "compute" ""
    one["ended"] <- JsonValue.Create(DateTimeOffset.UtcNow.AddMinutes(-5.0).ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz")
    one["gpu_hours"] <- JsonValue.Create 2.5
    one

let private withPages look (test: Visit -> unit) =
    visit look (fleet ()) (fun page ->
        page.Quiet()
        page.Answer("**/api/jobs/h100-01.1/", (fun _ -> life ()))

        page.Answer(
            "**/api/waste/**",
            fun _ ->
                json
                    """{"from":"2026-11-28T00:00:00Z","to":"2026-11-29T00:00:00Z","by":"user","rows":[
{"key":"ada","gpu_hours":96,"wasted_gpu_hours":41,"verdict_gpu_hours":{"disk-read":41,"compute":55},"jobs":2},
{"key":"bob","gpu_hours":10,"wasted_gpu_hours":1,"verdict_gpu_hours":{"compute":9,"held-idle":1},"jobs":1}],
"total":{"gpu_hours":106,"wasted_gpu_hours":42,"verdict_gpu_hours":{"disk-read":41,"compute":64,"held-idle":1},"jobs":3},
"held_idle":[{"server":"h100-01","id":"x","user":"eve","name":"notebook","gpus":[4,5],"memory_bytes":42949672960,"since":"2026-11-28T00:00:00Z"}]}"""
        )

        withJobs page (fun () -> [ job "h100-01" 1 "ada" "train.py" "disk-read" ""; over () ])
        test page)

[<Tests>]
let tests =
    testList
        "Jobs"
        [
            testCase "a machine's page lists who uses it now, and who did in the window"
            <| fun () ->
                withPages desktop (fun page ->
                    // The script has a job of its own.
                    page.Change("**/api/metrics/latest/**", (fun root -> (at "snapshot" root)["jobs"] <- JsonArray()))
                    page.Go "/servers/h100-01"
                    page.See "[aria-label='Jobs now'] tbody tr"
                    let now = page.Text "[aria-label='Jobs now']"

                    for part in
                        [
                            "ada"
                            "train.py"
                            "python train.py --epochs 90"
                            "0–1"
                            "Waits for disk reads"
                            "96"
                            "41"
                            "54%"
                            "7.4"
                            "32 GiB"
                        ] do
                        Expect.stringContains now part "of a live job"

                    let past = page.Text "[aria-label='Jobs that ended in this time range']"

                    for part in [ "bob"; "eval.py"; "Computing"; "2.5" ] do
                        Expect.stringContains past part "of one that ended"

                    page.Click "[aria-label='Jobs now'] tbody a"
                    page.See "h1:has-text('train.py')")

            testCase "the fleet's jobs are filtered, searched and sorted, and the address keeps it"
            <| fun () ->
                withPages desktop (fun page ->
                    page.Go "/"
                    page.Click ".sections >> text=Jobs"
                    page.See "[aria-label=Jobs] tbody tr"

                    let rows () =
                        page.Value<int> "document.querySelectorAll('[aria-label=Jobs] tbody tr').length"

                    Expect.equal (rows ()) 2 "both"
                    Expect.stringContains (page.Text ".fleet-head") "41 of 99 GPU-hours waited for disk reads" "what they cost"
                    page.Click "label:has-text('running now') input"
                    page.Until "document.querySelectorAll('[aria-label=Jobs] tbody tr').length === 1"
                    Expect.stringContains page.Page.Url "active=true" "kept"
                    page.Click "label:has-text('running now') input"
                    finish (page.Find("input[type=search]").FillAsync "bob")
                    page.Until "document.querySelectorAll('[aria-label=Jobs] tbody tr').length === 1"
                    Expect.stringContains (page.Text "[aria-label=Jobs] tbody") "eval.py" "his"
                    finish (page.Find("input[type=search]").FillAsync "")
                    page.Click "[aria-label=Jobs] .sorts:has-text('GPU-hours')"
                    Expect.stringContains (page.Text "[aria-label=Jobs] tbody tr") "train.py" "the most first"
                    Expect.equal (page.Value<int> "document.querySelectorAll('[aria-sort=descending]').length") 1 "sorted"
                    page.Click "[aria-label=Jobs] .sorts:has-text('GPU-hours')"
                    page.Until "document.querySelector('[aria-label=Jobs] tbody tr').textContent.includes('eval.py')")

            testCase "a job's page says what became of its GPU-hours, when, who is behind, and how the run before was"
            <| fun () ->
                withPages desktop (fun page ->
                    page.Go "/jobs/h100-01.1"
                    page.See "[data-chart=job-gpu] canvas"
                    Expect.stringContains (page.Text ".head-reason") "41 of 96 GPU-hours waited for disk reads" "the sentence"
                    page.See ".shares >> text=Waits for disk reads"
                    Expect.stringContains (page.Text "tr.behind") "a100-02" "the part that is behind"
                    Expect.stringContains (page.Text "[aria-label='This run and the one before']") "Wasted" "the run before"
                    let area = wait (page.Find("[data-chart=job-gpu] .plot").BoundingBoxAsync()) |> nonNull
                    finish (page.Page.Mouse.MoveAsync(area.X + area.Width * 0.4f, area.Y + 50f))
                    finish (page.Page.Mouse.DownAsync())
                    finish (page.Page.Mouse.MoveAsync(area.X + area.Width * 0.7f, area.Y + 50f))
                    finish (page.Page.Mouse.UpAsync())
                    page.See "text=Whole run"
                    page.Click "text=Whole run"
                    page.Until "location.search === ''")

            testCase "the report says who wasted what, and which GPUs are held unused"
            <| fun () ->
                withPages desktop (fun page ->
                    page.Go "/waste"
                    page.See "[aria-label='Wasted GPU-hours by user'] tbody tr"
                    Expect.stringContains (page.Text ".fleet-head") "42 of 106 GPU-hours were wasted" "the sum"
                    Expect.stringContains (page.Text "tbody tr") "43%" "a share"
                    Expect.stringContains (page.Text "[aria-label='GPUs that are held and do nothing now']") "4–5" "the GPUs"
                    Expect.stringContains (page.Text "[aria-label='GPUs that are held and do nothing now']") "40 GiB" "what they hold"
                    let link = wait (page.Find("text=Save as CSV").GetAttributeAsync "href") |> nonNull
                    Expect.stringContains link "format=csv" "as a file")

            testCase "an unknown job has a page that says so"
            <| fun () ->
                withPages desktop (fun page ->
                    page.Allow "404"
                    page.Go "/jobs/h100-01.999"
                    page.See "text=There is no job “h100-01.999”")

            for path, sign in
                [
                    "/jobs", "[aria-label=Jobs] tbody tr"
                    "/jobs/h100-01.1", "[data-chart=job-gpu] canvas"
                    "/waste", "tbody tr"
                ] do
                for theme, look in [ "light", desktop; "dark", night; "on a telephone", phone ] do
                    testCase $"axe finds no serious fault: {path}, {theme}"
                    <| fun () ->
                        withPages look (fun page ->
                            page.Go path
                            page.See sign
                            Expect.equal (faults page) [] path
                            Expect.equal (page.Value<int> "document.documentElement.scrollWidth") look.Width "no scrolling sideways")
        ]
