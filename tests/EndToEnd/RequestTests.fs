/// What goes over the wire, byte for byte.
module Agent.EndToEnd.Tests.RequestTests

open System
open System.Text
open System.Text.Json
open System.Text.RegularExpressions
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

let private version =
    lazy
        (match run [ "--version" ] with
         | 0, [ line ], [] -> line.Substring "ai-dashboard-agent ".Length
         | other -> failtest $"--version gave %A{other}")

/// Runs an agent until the server has that many requests, then stops it in good order.
let private until (count: int) (server: IngestServer) (variables: (string * string) list) (words: string list) =
    use agent = startWith variables words
    eventually patience $"{count} requests; {agent.Said}" (fun () -> server.Requests.Length >= count)
    eventually patience $"{count} lines; {agent.Said}" (fun () -> agent.Output.Length > count || agent.Errors.Length > 0)
    agent.Signal SigTerm
    let code = agent.WaitForEnd patience
    code, agent.Output, agent.Errors

let private members (element: JsonElement) =
    [ for property in element.EnumerateObject() -> property.Name ]

let tests =
    testList
        "requests"
        [
            testCase "path, headers, body and lines are as the ingest API has them"
            <| fun () ->
                use server = new IngestServer(stored)

                let code, output, errors =
                    until
                        3
                        server
                        []
                        (targetOf server.Url
                         @ [
                             "--interval=0.5"
                             "--disks=nothing0"
                             "--gpu-source=none"
                             "--label=größe=\"x\""
                         ])

                let requests = server.Requests

                for request in requests do
                    Expect.equal request.Method "POST" "method"
                    Expect.equal request.Target "/api/ingest/servers/gpu-box-01/metrics/" "target"

                    Expect.equal
                        (request.Headers
                         |> List.map (fun (name, value) -> name.ToLowerInvariant(), value)
                         |> List.sort)
                        [
                            "accept", "application/json"
                            "content-length", string request.Body.Length
                            "content-type", "application/json"
                            "host", server.Authority
                            "user-agent", $"ai-dashboard-agent/{version.Value}"
                            "x-monitoring-token", Token
                        ]
                        "these headers and no other"

                    Expect.equal request.Body[0] '{'B "no byte order mark"
                    let text = UTF8Encoding(false, true).GetString request.Body
                    Expect.isFalse (text.Contains '\n') "one line"
                    Expect.isFalse (text.Contains Token) "no token in the body"
                    use document = JsonDocument.Parse text
                    Expect.equal (members document.RootElement) [ "sample"; "agent" ] "two members"
                    // Nobody uses a GPU here.
                    use golden =
                        JsonDocument.Parse(
                            GoldenSample.body
                                { GoldenSample.full with
                                    Jobs = ValueNone
                                }
                                GoldenSample.agent
                        )

                    for part in [ "sample"; "agent" ] do
                        Expect.equal
                            (members (document.RootElement.GetProperty part))
                            (members (golden.RootElement.GetProperty part))
                            $"the keys of {part}"

                    Expect.isTrue
                        (Regex.IsMatch(request.CollectedAt, @"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$"))
                        request.CollectedAt

                    let agent = document.RootElement.GetProperty "agent"
                    Expect.equal ((agent.GetProperty "labels").GetRawText()) "{\"größe\":\"\\\"x\\\"\"}" "labels"
                    Expect.equal ((agent.GetProperty "disk_filters").GetRawText()) "[\"nothing0\"]" "filters"
                    Expect.equal ((agent.GetProperty "version").GetString()) version.Value "version"

                Expect.equal (requests |> List.map _.Connection |> List.distinct |> List.length) 1 "one connection"
                Expect.equal code 0 "exit code"

                Expect.equal
                    output
                    ([
                        $"ai-dashboard-agent {version.Value} | {server.Url} as gpu-box-01 | every 0.5 s | disks: none | GPUs: not read"
                     ]
                     @ (requests |> List.map receiptLine)
                     @ [ "Agent stopped." ])
                    "the lines on standard output"

                match errors with
                | [ line ] -> Expect.stringContains line " WARNING --disks: this machine has no nothing0; it has " "the wrong disk"
                | lines -> failtest $"expected one line, got %A{lines}"

            testCase "a path prefix and its trailing slash"
            <| fun () ->
                for host, expected in
                    [
                        "/monitoring", "/monitoring/api/ingest/servers/gpu-box-01/metrics/"
                        "/a/b/", "/a/b/api/ingest/servers/gpu-box-01/metrics/"
                    ] do
                    use server = new IngestServer(stored)
                    let code, _, _ = run (targetOf (server.Url + host) @ [ "--once" ])
                    Expect.equal code 0 "exit code"
                    Expect.equal (server.Requests |> List.map _.Target) [ expected ] "target"

            testCase "configuration by the environment alone, as in the guide"
            <| fun () ->
                use server = new IngestServer(stored)

                let variables =
                    [
                        "AI_DASHBOARD_HOST", server.Url
                        "AI_DASHBOARD_SERVER_SLUG", "gpu-box-01"
                        "AI_DASHBOARD_TOKEN", Token
                        "AI_DASHBOARD_INTERVAL", "0.5"
                        "AI_DASHBOARD_DISKS", "nvme0n1,nvme1n1"
                        "AI_DASHBOARD_LOG_LEVEL", "DEBUG"
                    ]

                let code, output, _ = until 2 server variables []
                Expect.equal code 0 "exit code"
                Expect.equal (List.last output) "Agent stopped." "the last line"
                Expect.equal (server.Requests[0].Header "X-Monitoring-Token") Token "token"

            testCase "the bare environment of a service, with the guide's command line"
            <| fun () ->
                use server = new IngestServer(stored)

                use agent =
                    startBare
                        [
                            "PATH", World.path ()
                            "LANG", "C.UTF-8"
                            "INVOCATION_ID", "0123456789abcdef0123456789abcdef"
                            "JOURNAL_STREAM", "8:1234"
                            "AI_DASHBOARD_HOST", server.Url
                            "AI_DASHBOARD_SERVER_SLUG", "gpu-box-01"
                            "AI_DASHBOARD_TOKEN", Token
                            "AI_DASHBOARD_INTERVAL", "2"
                        ]
                        [ "--disks"; "nvme0n1,nvme1n1" ]

                eventually patience $"two requests; {agent.Said}" (fun () -> server.Requests.Length >= 2)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                Expect.equal (List.last agent.Output) "Agent stopped." "the last line"

            testCase "white space around the token of the environment is not sent"
            <| fun () ->
                use server = new IngestServer(stored)
                let variables = [ "AI_DASHBOARD_TOKEN", $"  {Token}\n" ]
                let code, _, _ = runWith variables [ "--host"; server.Url; "--server-slug=gpu-box-01"; "--once" ]
                Expect.equal code 0 "exit code"
                Expect.equal (server.Requests[0].Header "X-Monitoring-Token") Token "trimmed"

            testCase "a proxy of the environment is used, for the loopback too unless no_proxy names it"
            <| fun () ->
                use server = new IngestServer(stored)
                use proxy = new IngestServer(stored)
                let once url = targetOf url @ [ "--once" ]

                let code, _, errors =
                    runWith [ "http_proxy", "http://127.0.0.1:1"; "no_proxy", "127.0.0.0/8" ] (once server.Url)

                Expect.equal (code, errors) (0, []) "past the proxy"

                let code, _, errors = runWith [ "http_proxy", proxy.Url ] (once server.Url)
                Expect.equal (code, errors) (0, []) "the loopback through the proxy"

                let code, _, errors = runWith [ "http_proxy", proxy.Url ] (once "http://dashboard.example:8000/x")
                Expect.equal code 0 "through the proxy"

                match errors with
                | [ line ] -> Expect.stringContains line " WARNING --host: the token goes there without encryption" "the token is told of"
                | lines -> failtest $"expected one line, got %A{lines}"

                Expect.equal
                    (proxy.Requests |> List.map _.Target)
                    [
                        $"{server.Url}/api/ingest/servers/gpu-box-01/metrics/"
                        "http://dashboard.example:8000/x/api/ingest/servers/gpu-box-01/metrics/"
                    ]
                    "the targets in full"

            testCase "a proxy that cannot be used ends the agent before anything is sent"
            <| fun () ->
                use server = new IngestServer(stored)
                let code, _, errors = runWith [ "http_proxy", "ftp://127.0.0.1:1" ] (targetOf server.Url @ [ "--once" ])
                Expect.equal (code, server.Requests) (2, []) "usage"

                Expect.exists
                    errors
                    (fun line -> line.Contains "http_proxy: \"ftp://127.0.0.1:1\" is not the URL of a proxy")
                    "the sentence"

            testCase "TLS is verified, unless told otherwise, which is warned about"
            <| fun () ->
                use server = new IngestServer(stored, 0, true)
                let url = server.Url.Replace("127.0.0.1", "localhost")
                let code, _, errors = run (targetOf url @ [ "--once" ])
                Expect.equal code 1 "not delivered"
                Expect.equal server.Requests [] "nothing was sent"

                match errors with
                | [ line ] -> Expect.stringContains line " WARNING not delivered: TLS failed: " "the reason"
                | lines -> failtest $"expected one line, got %A{lines}"

                let code, _, errors = run (targetOf url @ [ "--once"; "--insecure" ])
                Expect.equal code 0 "delivered"
                Expect.equal server.Requests.Length 1 "one request"

                match errors with
                | [ line ] -> Expect.stringContains line " WARNING --insecure: TLS certificates are not verified" "warned"
                | lines -> failtest $"expected one line, got %A{lines}"
        ]
