module Agent.Browser.Tests.FirstVisitTests

open System.Net.Http
open System.Text
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Expecto
open Microsoft.Playwright

[<Tests>]
let tests =
    testList
        "FirstVisit"
        [
            testCase "an empty dashboard shows the two commands, and each can be copied"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    visitWith withClipboard desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See "text=No machine reports here yet"
                        Expect.equal (wait (page.Find(".command").CountAsync())) 2 "two commands"

                        let copied (label: string) =
                            page.Copy($"[aria-label='{label}']", $"[aria-label='{label}']:has-text('Copied')")

                        Expect.equal
                            (copied "Copy the command that registers a machine")
                            "ai-dashboard register-server gpu-box-01"
                            "the first command"

                        Expect.equal
                            (copied "Copy the command that starts an agent")
                            $"ai-dashboard-agent --host {dashboard.Url} \\\n  --server-slug gpu-box-01 --token-file ingest-token"
                            "the second command"))

            testCase "a machine that is registered meanwhile appears, never seen, and its page says how to start its agent"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    visit desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See ".welcome"
                        dashboard.Register("gpu-box-01", [ "--name"; "Box 1" ]) |> ignore
                        page.See ".machine[data-slug=gpu-box-01][data-state=never]"
                        Expect.stringContains (page.Text ".machine") "Box 1" "its name"
                        page.Click ".machine h2 a"
                        page.See "text=Start its agent"
                        Expect.stringContains (page.Text ".command pre") "--server-slug gpu-box-01" "its slug in the command"
                        page.SeeNo ".chart"))

            testCase "an unknown machine and an unknown path have pages that say so, with 404; the API answers with JSON"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    visit desktop dashboard.Url (fun page ->
                        page.Allow "404"

                        let statusOf (path: string) =
                            (wait (page.Page.GotoAsync(dashboard.Url + path)) |> nonNull).Status

                        Expect.equal (statusOf "/servers/no-such-box") 404 "the machine"
                        page.See "text=There is no machine “no-such-box”"
                        Expect.equal (statusOf "/jobs/no-such-job") 404 "no key of a job"
                        Expect.equal (statusOf "/jobs/no-such-box.7") 404 "a job of no machine"
                        Expect.equal (statusOf "/no/such/page") 404 "the path"
                        page.See "text=There is no such page"
                        Expect.equal (AccessibilityTests.faults page) [] "the page of an unknown path")

                    use http = new HttpClient()
                    use answer = http.GetAsync($"{dashboard.Url}/no/such/page").Result
                    Expect.equal (int answer.StatusCode) 404 "for programs"
                    Expect.equal (answer.Content.Headers.ContentType |> nonNull |> _.MediaType) "application/json" "as JSON"
                    use answer = http.GetAsync($"{dashboard.Url}/api/nothing").Result
                    Expect.equal (answer.Content.Headers.ContentType |> nonNull |> _.MediaType) "application/json" "the API")

            testCase "a name that looks like markup is shown as it is written"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    let token = dashboard.Register("box", [ "--name"; "<img src=x onerror=alert(1)>" ]).Token
                    use http = new HttpClient()
                    http.DefaultRequestHeaders.Add("X-Monitoring-Token", token)

                    let body =
                        """{"sample":{"collected_at":"2026-01-02T03:04:05+00:00","cpu_usage_percent":1,"fans":[{"label":"<b>fan","speed_rpm":1}]},"agent":{"hostname":"<i>host</i>","labels":{"a":"<script>alert(1)</script>"}}}"""

                    use content = new StringContent(body, Encoding.UTF8, "application/json")

                    let url = $"{dashboard.Url}/api/ingest/servers/box/metrics/"
                    use answer = http.PostAsync(url, content).Result
                    Expect.equal (int answer.StatusCode) 200 "the sample is taken"

                    visit desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See "text=<img src=x onerror=alert(1)>"
                        page.Go "/servers/box"
                        page.See "text=a=<script>alert(1)</script>"

                        Expect.equal
                            (page.Value<int> "document.querySelectorAll('main img, main b i, main script').length")
                            0
                            "no markup came of it"))
        ]
