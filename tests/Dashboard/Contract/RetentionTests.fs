/// What is kept for how long, by the receiver's clock: single samples for 48 hours, their minutes for --retention-days.
module Agent.Dashboard.Tests.RetentionTests

open System
open System.Text.Json
open Agent.Tests.EndToEnd.AgentProcess
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.DashboardProcess
open Agent.Dashboard.Tests.RawHttp
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

let private within = TimeSpan.FromMinutes 3.0

let tests =
    testList
        "retention"
        [
            testCase "samples beyond 48 hours become minutes, minutes beyond the retention go, and what is younger stays"
            <| fun () ->
                use place = new TemporaryDirectory()
                use dashboard = new Dashboard(place.File "dashboard.db", [ "--retention-days"; "3" ])
                let server = dashboard.Register("gpu-box-01", [])
                let young, old, gone = hoursAgo 47.0, hoursAgo 60.0, hoursAgo 73.0

                for start in [ gone; old; young ] do
                    postTen dashboard server start

                // A clock that is wrong, but not wrong enough to be refused, deletes nothing.
                post dashboard.Port server (body (sample (DateTimeOffset.UtcNow.AddMinutes 4.0)))
                |> accepted
                |> ignore

                eventually within $"what is too old is gone; {dashboard.Process.Said}" (fun () ->
                    points (history dashboard server 10 (gone.AddMinutes 5.0)) = 0)

                eventually within $"single samples become a minute; {dashboard.Process.Said}" (fun () ->
                    textAt "source" (history dashboard server 10 (old.AddMinutes 5.0)) = "minute")

                Expect.equal (figures (history dashboard server 10 (old.AddMinutes 5.0))) [ 10.0; 14.5; 19.0 ] "the minute's figures"
                let single = history dashboard server 10 (young.AddMinutes 5.0)
                Expect.equal (textAt "source" single, points single) ("raw", 10) "single samples"
                // Old samples that come again are taken or refused, but do no harm and do not stay.
                let again = post dashboard.Port server (body (sample gone))
                Expect.isTrue (again.Status = 200 || again.Status = 400) again.Text

                // A resend from a minute that has no single samples any more does not count twice.
                for k in 0..9 do
                    let again = sample (old.AddSeconds(float k)) |> set "cpu_usage_percent" (string (10 + k))
                    post dashboard.Port server (body again) |> ignore

                Expect.equal (figures (history dashboard server 10 (old.AddMinutes 5.0))) [ 10.0; 14.5; 19.0 ] "still"
                dashboard.Stop()

            testCase "a shorter retention at the next start takes effect, a longer one brings nothing back"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                let old = hoursAgo 60.0

                let server =
                    use dashboard = new Dashboard(database, [])
                    let server = dashboard.Register("gpu-box-01", [])
                    postTen dashboard server old
                    Expect.isGreaterThan (points (history dashboard server 10 (old.AddMinutes 5.0))) 0 "there"
                    dashboard.Stop()
                    server

                (use dashboard = new Dashboard(database, [ "--retention-days"; "2" ])

                 eventually within $"gone; {dashboard.Process.Said}" (fun () ->
                     points (history dashboard server 10 (old.AddMinutes 5.0)) = 0)

                 dashboard.Stop())

                use dashboard = new Dashboard(database, [])
                Expect.equal (points (history dashboard server 10 (old.AddMinutes 5.0))) 0 "still gone"
                dashboard.Stop()
        ]
