module Agent.Browser.Tests.LiveTests

open System
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.TestSupport
open Expecto

/// Samples on screen in the CPU chart.
let private samples (page: Visit) =
    page.Value<int> "Number(document.querySelector('[data-chart=cpu] .plot').dataset.samples)"

[<Tests>]
let tests =
    testList
        "Live"
        [
            testCase "points of a real agent arrive by themselves, the machine goes stale when the agent dies, and lives again"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    let token = dashboard.Register("gpu-box-01", []).Token

                    let start () =
                        AgentProcess.startWith
                            [ "AI_DASHBOARD_TOKEN", token ]
                            (AgentProcess.targetOf dashboard.Url @ [ "--interval"; "0.5"; "--quiet" ])

                    visit desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See ".machine[data-state=never]"
                        let agent = start ()

                        try
                            page.See ".machine[data-state=live]"
                            page.Click ".machine h2 a"
                            page.See "[data-chart=cpu] canvas"
                            let before = samples page
                            page.Until $"Number(document.querySelector('[data-chart=cpu] .plot').dataset.samples) >= {before + 4}"
                            Expect.stringContains (page.Text ".tiles") "I/O wait" "the tiles are filled"

                            Expect.equal
                                (page.Value<int> "performance.getEntriesByType('navigation').length")
                                1
                                "without loading the page again"

                            agent.Signal DashboardProcess.SigKill
                            // Thirty seconds of silence are too much, says the dashboard.
                            page.Until("document.querySelector('.machine-head').dataset.state === 'stale'", 60000f)
                            Expect.stringContains (page.Text ".head-reason") "No sample for" "it says since when"
                            page.Go "/"
                            page.See ".machine[data-state=stale]"
                            Expect.stringContains (page.Text ".fleet-head") "1 needs attention" "the fleet says so too"
                        finally
                            (agent :> IDisposable).Dispose()

                        use again = start ()
                        page.See ".machine[data-state=live]"
                        Expect.isFalse again.HasEnded "the agent runs"))

            testCase "a dashboard that is gone is said to be gone, and the page goes on when it is back"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    dashboard.Register("gpu-box-01", []) |> ignore

                    visit desktop dashboard.Url (fun page ->
                        page.Allow "net::ERR_"
                        page.Go "/"
                        page.See ".link-state[data-state=live]"
                        dashboard.Process.Signal ProgramProcess.SigTerm
                        dashboard.Process.WaitForEnd Waiting.patience |> ignore
                        page.Until("document.querySelector('.link-state[data-state]').dataset.state === 'lost'", 30000f)
                        let port = Uri(dashboard.Url).Port

                        let again, _ = DashboardProcess.serve dashboard.Database [ "--listen"; $"http://127.0.0.1:{port}" ]

                        use _ = again
                        page.Until("document.querySelector('.link-state[data-state]').dataset.state === 'live'", 30000f)
                        page.SeeNo ".notice"))
        ]
