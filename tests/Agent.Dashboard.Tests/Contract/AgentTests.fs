/// The real agent and the real dashboard together.
module Agent.Dashboard.Tests.AgentTests

open System
open System.Text.RegularExpressions
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

/// An agent that posts to this dashboard for that server.
let private startAgent (url: string) (server: Registered) (words: string list) =
    startWith [ "AI_DASHBOARD_TOKEN", server.Token ] ([ "--host"; url; "--server-slug"; server.Slug ] @ words)

let tests =
    testList
        "the agent"
        [
            testCase "--once is accepted, and what it sent is what the dashboard shows"
            <| fun () ->
                let server = freshServer ()

                use agent =
                    startAgent (dashboard().Url) server [ "--once"; "--label"; "rack=r1"; "--hostname"; "box-one" ]

                Expect.equal (agent.WaitForEnd Waiting.patience) 0 agent.Said

                let line =
                    match agent.Output |> List.filter _.Contains(" | cpu=") with
                    | [ line ] -> line
                    | _ -> failtest agent.Said

                let shown = read $"/api/metrics/latest/?server={server.Slug}"
                let snapshot = at "snapshot" shown
                Expect.stringStarts line (textAt "collected_at" snapshot + " | ") "the instant"
                Expect.stringContains line ("bottleneck=" + textAt "bottleneck" snapshot) "the label"
                Expect.stringContains line ("cpu=" + rawAt "cpu_usage_percent" snapshot) "the CPU"
                Expect.equal (textAt "server.agent.hostname" shown) "box-one" "the agent's own words"
                Expect.equal (textAt "server.agent.labels.rack" shown) "r1" "its labels"
                // The kernel's own figure, in kB.
                let total = Regex.Match(IO.File.ReadAllText "/proc/meminfo", @"MemTotal:\s+(\d+) kB").Groups[1].Value

                Expect.equal (rawAt "sample.memory_total_bytes" snapshot) (string (int64 total * 1024L)) "memory"

            testCase "runs, is refused after its token was rotated, and goes on by the new token file without a loss"
            <| fun () ->
                use place = new TemporaryDirectory()
                use dashboard = new Dashboard(place.File "dashboard.db", [])
                let server = dashboard.Register("gpu-box-01", [])
                let tokenFile = place.File "token"
                IO.File.WriteAllText(tokenFile, server.Token + "\n")

                use agent =
                    startBare
                        [
                            "PATH", Agent.TestSupport.World.path ()
                            "AI_DASHBOARD_TEST_TIME_SCALE", "10"
                        ]
                        [
                            "--host"
                            dashboard.Url
                            "--server-slug"
                            server.Slug
                            "--token-file"
                            tokenFile
                            "--interval"
                            "2"
                            "--timeout"
                            "100"
                        ]

                let accepted () =
                    agent.Output |> List.filter _.Contains(" | cpu=") |> List.length

                eventually Waiting.patience $"three samples; {agent.Said}" (fun () -> accepted () >= 3)
                let rotated = dashboard.Register("gpu-box-01", [ "--rotate-token" ])
                agent.WaitForError "not delivered"
                IO.File.WriteAllText(tokenFile, rotated.Token + "\n")
                let before = accepted ()
                eventually (TimeSpan.FromSeconds 60.0) $"more samples; {agent.Said}" (fun () -> accepted () >= before + 3)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd Waiting.patience) 0 agent.Said
                // What it printed as accepted is what is there.
                let history = (get dashboard.Port "/api/metrics/history/?server=gpu-box-01&minutes=15").Json
                Expect.equal ((at "time" history).GetArrayLength()) (accepted ()) "each of them"

            testCase "goes on by itself when the dashboard is killed and started again"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                let first = new Dashboard(database, [])
                let server = first.Register("gpu-box-01", [])
                let url = first.Url

                use agent =
                    startBare
                        [
                            "PATH", Agent.TestSupport.World.path ()
                            "AI_DASHBOARD_TOKEN", server.Token
                            "AI_DASHBOARD_TEST_TIME_SCALE", "10"
                        ]
                        [ "--host"; url; "--server-slug"; server.Slug; "--interval=2"; "--timeout=100" ]

                let accepted () =
                    agent.Output |> List.filter _.Contains(" | cpu=") |> List.length

                eventually Waiting.patience $"three samples; {agent.Said}" (fun () -> accepted () >= 3)
                first.Process.Signal SigKill
                first.Process.WaitForEnd patience |> ignore
                (first :> IDisposable).Dispose()
                agent.WaitForError "not delivered"
                use second = new Dashboard(database, [ "--listen"; url ])
                let before = accepted ()
                eventually (TimeSpan.FromSeconds 60.0) $"more samples; {agent.Said}" (fun () -> accepted () >= before + 5)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd Waiting.patience) 0 agent.Said
                let history = (get second.Port "/api/metrics/history/?server=gpu-box-01&minutes=15").Json
                // The last answer before the kill may have been lost on its way: such a sample was sent again.
                Expect.equal ((at "time" history).GetArrayLength()) (accepted ()) "each of them, once"
                second.Stop()
        ]
