/// Tokens of scripts, and what is believed of proxies.
module Agent.Dashboard.Tests.TokenTests

open System
open System.IO
open System.Net.Http
open Agent.TestSupport.Waiting
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.LoginClient
open Expecto

let private password = "correct horse battery"

let private withDashboard
    (options: TemporaryDirectory -> string list)
    (test: TemporaryDirectory -> DashboardProcess -> HttpClient -> string -> unit)
    : unit =
    use place = new TemporaryDirectory()
    let dashboard, address = serve (place.File "a.db") (options place)
    use dashboard = dashboard
    use http = client ()
    test place dashboard http address

let private bearer (token: string) = "Authorization", $"Bearer {token}"

let private tokenTests =
    [
        testCase "a token looks, a wrong or removed one does not, and each refusal is one line"
        <| fun () ->
            use place = new TemporaryDirectory()
            let file = place.File "tokens"
            let token = addToken file "prometheus" "read-only"
            addUser (place.File "users") "ada" "admin" password

            let dashboard, address =
                serve (place.File "a.db") [ "--users-file"; place.File "users"; "--tokens-file"; file ]

            use dashboard = dashboard
            dashboard.Secrets <- [ token ]
            use http = client ()
            let metrics headers = get http (address + "/metrics") headers
            Expect.equal (status (metrics [ bearer token ])) 200 "with it"
            let answer = metrics []
            Expect.equal (status answer) 401 "without"
            Expect.equal (string answer.Headers.WwwAuthenticate) "Bearer" "what would help"
            Expect.equal (status (metrics [ bearer "made-up" ])) 401 "another one"
            dashboard.WaitForError "token refused: from 127.0.0.1: no such token"
            Expect.equal (dashboard.AllErrors |> List.filter _.Contains("token refused") |> List.length) 1 "one line"
            let code, _, _ = run [ "tokens"; "remove"; "prometheus"; "--tokens-file"; file ]
            Expect.equal code 0 "removed"
            eventually patience "it is refused" (fun () -> status (metrics [ bearer token ]) = 401)

        testCase "tokens are shown once, kept as hashes, and listed by name"
        <| fun () ->
            use place = new TemporaryDirectory()
            let file = place.File "tokens"

            Expect.equal
                (run [ "tokens"; "list"; "--tokens-file"; file ])
                (0,
                 [],
                 [
                     $"ai-dashboard: there are no tokens in \"{file}\"; tokens add NAME makes one"
                 ])
                "none"

            let token = addToken file "prometheus" "viewer"
            Expect.equal token.Length 43 "32 bytes"
            Expect.equal (File.GetUnixFileMode file) (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) "mode"
            Expect.isFalse ((File.ReadAllText file).Contains token) "not in the file"
            let _, listed, _ = run [ "tokens"; "list"; "--tokens-file"; file ]
            let day = DateTime.UtcNow.ToString "yyyy-MM-dd"
            Expect.equal listed [ $"{day} viewer   prometheus" ] "listed"
            let code, _, errors = run [ "tokens"; "add"; "prometheus"; "--tokens-file"; file ]
            Expect.equal code 1 "the name is taken"
            Expect.stringContains (List.head errors) "already" "says so"
    ]

let private proxyTests =
    [
        testCase "addresses and schemes are believed from trusted proxies alone"
        <| fun () ->
            let options proxy (place: TemporaryDirectory) =
                addUser (place.File "users") "ada" "admin" password
                [ "--users-file"; place.File "users"; "--trusted-proxy"; proxy ]

            let headers = [ "X-Forwarded-For", "198.51.100.1, 203.0.113.9"; "X-Forwarded-Proto", "https" ]

            let isSecure (answer: HttpResponseMessage) =
                (answer.Headers.GetValues "Set-Cookie"
                 |> Seq.find _.StartsWith("ai-dashboard-session="))
                    .Contains("secure", StringComparison.OrdinalIgnoreCase)

            withDashboard (options "127.0.0.1,10.0.0.0/8") (fun _ dashboard http address ->
                loginWith http address headers "ada" "a wrong one" |> ignore
                dashboard.WaitForError "from 203.0.113.9: wrong password"
                Expect.isTrue (isSecure (loginWith http address headers "ada" password)) "by https")

            withDashboard (options "10.0.0.0/8") (fun _ dashboard http address ->
                loginWith http address headers "ada" "a wrong one" |> ignore
                dashboard.WaitForError "from 127.0.0.1: wrong password"
                Expect.isFalse (isSecure (loginWith http address headers "ada" password)) "by http")

        testCase "a user whom a proxy names is believed from trusted proxies, and without any from this machine"
        <| fun () ->
            let asked http address =
                status (get http (address + "/api/servers/") [ "X-User", "ada" ])

            let options more (_: TemporaryDirectory) =
                [ "--trust-proxy-user"; "X-User" ] @ more

            withDashboard (options []) (fun _ _ http address -> Expect.equal (asked http address) 200 "this machine")

            withDashboard (options [ "--trusted-proxy"; "127.0.0.1" ]) (fun _ _ http address ->
                Expect.equal (asked http address) 200 "a trusted one")

            withDashboard (options [ "--trusted-proxy"; "10.0.0.0/8" ]) (fun _ _ http address ->
                Expect.equal (asked http address) 401 "not this machine, where others are named")

        testCase "where nobody logs in, nothing that a proxy passed on is answered but samples and health"
        <| fun () ->
            withDashboard (fun _ -> []) (fun place _ http address ->
                for header in
                    [
                        "Forwarded", "for=192.0.2.1"
                        "X-Forwarded-For", "192.0.2.1"
                        "X-Forwarded-Host", "x"
                        "X-Real-IP", "192.0.2.1"
                    ] do
                    for path in [ "/"; "/api/servers/"; "/metrics"; "/assets/base.css" ] do
                        Expect.equal (status (get http (address + path) [ header ])) 403 $"{fst header} {path}"

                    Expect.equal (status (get http (address + "/healthz") [ header ])) 200 "health"

                Expect.equal (status (get http (address + "/api/servers/") [])) 200 "this machine"
                let server = register (place.File "a.db") "gpu-1" []

                let answer =
                    send
                        http
                        HttpMethod.Post
                        $"{address}/api/ingest/servers/gpu-1/metrics/"
                        [ "X-Forwarded-For", "192.0.2.1"; "X-Monitoring-Token", server.Token ]
                        []

                Expect.equal (status answer) 400 "a sample is looked at, and this is none")
    ]

[<Tests>]
let tests = testList "Tokens and proxies" (tokenTests @ proxyTests)
