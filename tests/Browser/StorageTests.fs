/// What every page says while nothing is stored.
module Agent.Browser.Tests.StorageTests

open System.IO
open System.Net.Http
open System.Threading.Tasks
open Agent.Browser.Tests.AccessibilityTests
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Expecto
open Microsoft.Playwright

let private banner = "[data-key=storage]"

[<Tests>]
let tests =
    testList
        "Storage"
        [
            testCase "the fleet and a machine say since when nothing is stored and why, and take it back"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    dashboard.Register("gpu-box-01", []) |> ignore
                    let away = dashboard.Database + ".away"

                    for path, sign, look in
                        [
                            "/", card, desktop
                            "/servers/gpu-box-01", ".machine-head", night
                            "/", card, phone
                        ] do
                        visit look dashboard.Url (fun page ->
                            // Histories cannot be read while the file is away.
                            page.Allow "503"
                            page.Go path
                            page.See sign
                            Expect.equal (wait (page.Page.Locator(banner).CountAsync())) 0 "nothing to say"
                            File.Move(dashboard.Database, away)
                            page.See $"{banner} >> text=Nothing has been stored since"
                            page.See $"{banner} >> text=The database file is gone"
                            Expect.equal (faults page) [] path
                            // A page that is opened meanwhile says it as well.
                            page.Go path
                            page.See $"{banner} >> text=Nothing has been stored since"
                            File.Move(away, dashboard.Database)

                            finish (
                                page.Page
                                    .Locator(banner)
                                    .WaitForAsync(
                                        Microsoft.Playwright.LocatorWaitForOptions(
                                            State = Microsoft.Playwright.WaitForSelectorState.Detached
                                        )
                                    )
                            )))

            testCase "an answer that was asked for before the outage, and is late, does not take it back"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    dashboard.Register("gpu-box-01", []) |> ignore

                    visit desktop dashboard.Url (fun page ->
                        page.Allow "503"
                        let late = TaskCompletionSource()
                        use http = new HttpClient()
                        let before = http.GetStringAsync(dashboard.Url + "/api/").Result

                        let answer (route: IRoute) : Task =
                            task {
                                do! late.Task
                                do! route.FulfillAsync(RouteFulfillOptions(Status = 200, ContentType = "application/json", Body = before))
                            }

                        finish (page.Page.RouteAsync("**/api/", answer))
                        page.Go "/"
                        page.See card
                        let away = dashboard.Database + ".away"
                        File.Move(dashboard.Database, away)
                        page.See $"{banner} >> text=Nothing has been stored since"
                        late.SetResult()
                        // The answer has come when the footer shows what is in it.
                        page.See "#footer >> text=Times are"
                        Expect.equal (wait (page.Page.Locator(banner).CountAsync())) 1 "it is still said"
                        File.Move(away, dashboard.Database)))

            testCase "so does the log-in, which needs no log-in"
            <| fun () ->
                withPassword "a password for the tests" (fun dashboard ->
                    let away = dashboard.Database + ".away"
                    File.Move(dashboard.Database, away)

                    visit desktop dashboard.Url (fun page ->
                        page.Allow "503"
                        page.Go "/login"
                        page.See $"{banner} >> text=Nothing has been stored since"
                        Expect.equal (faults page) [] "the log-in")

                    File.Move(away, dashboard.Database))
        ]
