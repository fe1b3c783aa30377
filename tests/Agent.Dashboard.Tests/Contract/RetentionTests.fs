/// What is kept for how long, up to the newest sample of all servers: single samples for 48 hours, their minutes for --retention-days.
module Agent.Dashboard.Tests.RetentionTests

open System
open System.Text.Json
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

/// The start of a minute that lies so many hours back.
let private hoursAgo (hours: float) =
    let at = DateTimeOffset.UtcNow.AddHours -hours
    DateTimeOffset(at.Year, at.Month, at.Day, at.Hour, at.Minute, 0, TimeSpan.Zero)

/// Posts ten samples, one a second, whose CPU usage is 10, 11, …, 19 %.
let private postTen (dashboard: Dashboard) (server: Registered) (start: DateTimeOffset) =
    for k in 0..9 do
        sample (start.AddSeconds(float k))
        |> set "cpu_usage_percent" (string (10 + k))
        |> body
        |> post dashboard.Port server
        |> accepted
        |> ignore

let private history (dashboard: Dashboard) (server: Registered) (minutes: int) (until: DateTimeOffset) : JsonElement =
    let target =
        $"/api/metrics/history/?server={server.Slug}&minutes={minutes}&to={Uri.EscapeDataString(instant until)}"

    let response = get dashboard.Port target
    Expect.equal response.Status 200 response.Text
    response.Json

/// Points at which there is something.
let private points (history: JsonElement) =
    let name = if textAt "source" history = "raw" then "mean" else "max"

    match (at "time" history).GetArrayLength() with
    | 0 -> 0
    | _ ->
        (at $"series.cpu_usage_percent.{name}" history).EnumerateArray()
        |> Seq.filter (fun value -> value.ValueKind <> JsonValueKind.Null)
        |> Seq.length

/// Minimum, mean and maximum of the CPU usage, of a range in which there is one minute.
let private figures (history: JsonElement) =
    [
        for name in [ "min"; "mean"; "max" ] do
            for value in (at $"series.cpu_usage_percent.{name}" history).EnumerateArray() do
                if value.ValueKind <> JsonValueKind.Null then
                    value.GetDouble()
    ]

let private within = TimeSpan.FromMinutes 2.0

/// Runs a dashboard whose clock is that many hours ahead, as is that of a machine that sends a sample; and stops it in good order.
let private later (hours: float) (database: string) (options: string list) (test: Dashboard -> unit) =
    let ahead = [ "DASHBOARD_TEST_CLOCK_OFFSET", string (hours * 3600.0) ]
    use dashboard = new Dashboard(database, options, ahead)
    let newest = dashboard.Register("newest", [ "--rotate-token" ])

    sample (DateTimeOffset.UtcNow.AddHours hours)
    |> body
    |> post dashboard.Port newest
    |> accepted
    |> ignore

    test dashboard
    dashboard.Stop()

/// One minute's figures: the lowest, the mean and the highest of 10, 11, …, 19.
let private minute = [ 10.0; 14.5; 19.0 ]

let tests =
    testList
        "retention"
        [
            testCase "48 hours on, samples have become minutes; after the retention these are gone as well; what is younger stays"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                let options = [ "--retention-days"; "3" ]
                let server = register database "gpu-box-01" []
                let old, young = hoursAgo 47.0, hoursAgo 1.0

                let around (start: DateTimeOffset) dashboard =
                    history dashboard server 10 (start.AddMinutes 5.0)

                later 0.0 database options (fun dashboard ->
                    postTen dashboard server old
                    postTen dashboard server young
                    Expect.equal (points (around old dashboard)) 10 "single samples"

                    // A sample of a clock that is wrong, but not wrong enough to be refused, deletes nothing.
                    post dashboard.Port server (body (sample (DateTimeOffset.UtcNow.AddMinutes 4.0)))
                    |> accepted
                    |> ignore)

                later 2.0 database options (fun dashboard ->
                    eventually within $"samples become a minute; {dashboard.Process.Said}" (fun () ->
                        textAt "source" (around old dashboard) = "minute")

                    Expect.equal (figures (around old dashboard)) minute "the minute's figures"

                    Expect.equal (points (around young dashboard)) 10 "what is younger is there singly")

                later 26.0 database options (fun dashboard ->
                    eventually within $"the minute is gone; {dashboard.Process.Said}" (fun () -> points (around old dashboard) = 0)
                    Expect.isGreaterThan (points (around young dashboard)) 0 "what is younger is there")

            testCase "samples that come when they are already too old become minutes"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                let server = register database "gpu-box-01" []
                let old = hoursAgo 60.0

                let around dashboard =
                    history dashboard server 10 (old.AddMinutes 5.0)

                later 0.0 database [] (fun dashboard ->
                    postTen dashboard server old
                    // Soon once more, as after answers that were lost.
                    postTen dashboard server old)

                later 1.0 database [] (fun dashboard ->
                    eventually within $"a minute; {dashboard.Process.Said}" (fun () -> figures (around dashboard) = minute))

            testCase "a shorter retention at the next start takes effect, a longer one brings nothing back"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                let server = register database "gpu-box-01" []
                let start = hoursAgo 47.0

                let around dashboard =
                    history dashboard server 10 (start.AddMinutes 5.0)

                later 0.0 database [] (fun dashboard -> postTen dashboard server start)

                later 12.0 database [] (fun dashboard ->
                    eventually within $"a minute; {dashboard.Process.Said}" (fun () -> figures (around dashboard) = minute))

                later 12.0 database [ "--retention-days"; "2" ] (fun dashboard ->
                    eventually within $"gone; {dashboard.Process.Said}" (fun () -> points (around dashboard) = 0))

                later 12.0 database [] (fun dashboard -> Expect.equal (points (around dashboard)) 0 "still gone")
        ]
