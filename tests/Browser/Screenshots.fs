/// The README's pictures, made when DASHBOARD_SCREENSHOTS=1 asks for them: a test run leaves the tree as it is.
module Agent.Browser.Tests.Screenshots

open System
open System.IO
open System.Net.Http
open System.Threading
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.TestSupport
open Demo
open Expecto
open Microsoft.Playwright

let private take (page: Visit) (name: string) =
    // The last samples settle, and the canvas with them.
    Thread.Sleep 3000
    let path = Path.Combine(Fixtures.root, "docs", "images", name)
    page.Page.ScreenshotAsync(PageScreenshotOptions(Path = path)) |> wait |> ignore
    Expect.isLessThan (FileInfo(path).Length) 600000L "a picture of modest size"

[<Tests>]
let tests =
    testList
        "Screenshots"
        [
            testCase "the pictures of the README"
            <| fun () ->
                if Environment.GetEnvironmentVariable "DASHBOARD_SCREENSHOTS" <> "1" then
                    Skip.always "only with DASHBOARD_SCREENSHOTS=1"

                withDashboard [] (fun dashboard ->
                    let members = fill dashboard Fleet.moments [ for number in 0..19 -> Fleet.machine number ]
                    use http = new HttpClient()
                    use ending = new CancellationTokenSource()
                    Replay.play http dashboard.Url members ending.Token |> ignore

                    visit
                        { desktop with
                            Width = 1440
                            Height = 1180
                        }
                        dashboard.Url
                        (fun page ->
                            page.Go "/"
                            page.See card
                            take page "fleet.png")

                    visit { desktop with Width = 1440 } dashboard.Url (fun page ->
                        page.Go "/servers/a100-02?range=360&why=now"
                        page.See ".why"
                        page.See "[data-chart=bottleneck] canvas"
                        take page "why.png"
                        page.Go "/jobs?minutes=1440"
                        page.See "tbody a"
                        page.Go(page.Value<string> "document.querySelector('tbody a[href^=\"/jobs/\"]').getAttribute('href')")
                        page.See "[data-chart], .shares li"
                        take page "job.png"
                        page.Go "/waste?minutes=1440"
                        page.See "table"
                        take page "waste.png"

                        page.Go "/alerts"
                        page.See "[data-chart], article, .alert"
                        take page "alerts.png")

                    visit
                        { night with
                            Width = 1440
                            Height = 1180
                        }
                        dashboard.Url
                        (fun page ->
                            page.Go "/servers/h100-01?range=360"
                            page.See "[data-chart=gpu-utilisation] canvas"
                            take page "machine.png")

                    visit phone dashboard.Url (fun page ->
                        page.Go "/servers/a100-02?range=360"
                        page.See "[data-chart=bottleneck] canvas"
                        take page "phone.png")

                    ending.Cancel())
        ]
