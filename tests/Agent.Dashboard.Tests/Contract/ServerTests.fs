/// Machines that admins add by POST /api/servers/, and what viewers may not do.
module Agent.Dashboard.Tests.ServerTests

open System
open System.Net.Http
open System.Text
open System.Text.Json
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.LoginClient
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.Shared
open Expecto

let private password = "correct horse battery"

let private bearer (token: string) = "Authorization", $"Bearer {token}"

/// The tokens of an admin and of a reader, and a running dashboard that knows both, and the admin ada and the viewer bob.
let private withEverybody
    (options: string list)
    (test: TemporaryDirectory -> DashboardProcess -> HttpClient -> string -> string -> string -> unit)
    : unit =
    use place = new TemporaryDirectory()
    addUser (place.File "users") "ada" "admin" password
    addUser (place.File "users") "bob" "viewer" password
    let admin = addToken (place.File "tokens") "deployer" "admin"
    let reader = addToken (place.File "tokens") "prometheus" "viewer"

    let dashboard, address =
        serve
            (place.File "a.db")
            ([ "--users-file"; place.File "users"; "--tokens-file"; place.File "tokens" ]
             @ options)

    use dashboard = dashboard
    use http = client ()
    test place dashboard http address admin reader

/// Sends a body with a method and these headers.
let private ask (http: HttpClient) (method: HttpMethod) (url: string) (headers: (string * string) list) (body: string) =
    use request = new HttpRequestMessage(method, url)
    request.Content <- new StringContent(body, Encoding.UTF8, "application/json")

    for name, value in headers do
        request.Headers.TryAddWithoutValidation(name, value) |> ignore

    http.SendAsync(request).Result

let private add http address headers body =
    ask http HttpMethod.Post (address + "/api/servers/") headers body

let private text (answer: HttpResponseMessage) : string =
    answer.Content.ReadAsStringAsync().Result

let private json (answer: HttpResponseMessage) : JsonElement =
    JsonDocument.Parse(text answer).RootElement

let private slugsOf http address headers =
    let said = json (get http (address + "/api/servers/") headers)

    [ for server in (at "servers" said).EnumerateArray() -> textAt "slug" server ]

/// The names of commands, and their lines.
let private commandsOf (said: JsonElement) =
    [
        for command in (at "commands" said).EnumerateArray() -> textAt "where" command, List.ofArray ((textAt "text" command).Split '\n')
    ]

let private roleTests =
    [
        testCase "a viewer may change nothing, by session or by token, and nobody else either"
        <| fun () ->
            withEverybody [] (fun _ _ http address admin reader ->
                let bob = sessionOf (login http address "bob" password)
                let body = """{"name":"gpu-1"}"""

                for headers, expected in
                    [
                        [ bob ], 403
                        [ bearer reader ], 403
                        [], 401
                        [ bearer "made-up" ], 401
                        [ bearer admin; "Sec-Fetch-Site", "cross-site" ], 403
                        [ bearer admin; "Sec-Fetch-Site", "same-site" ], 403
                    ] do
                    for method in [ HttpMethod.Post; HttpMethod.Put; HttpMethod.Delete; HttpMethod.Patch ] do
                        let answer = ask http method (address + "/api/servers/") headers body
                        Expect.equal (status answer) expected $"%A{headers} {method}: {text answer}"

                let ada = sessionOf (login http address "ada" password)
                let foreign = add http address [ ada; "Sec-Fetch-Site", "cross-site" ] body
                Expect.equal (status foreign) 403 "from another site's page"
                Expect.equal (slugsOf http address [ bob ]) [] "nothing was added"
                Expect.equal (status (ask http HttpMethod.Put (address + "/api/servers/") [ ada ] body)) 405 "an admin's PUT"
                Expect.equal (status (add http address [ ada; "Sec-Fetch-Site", "same-origin" ] body)) 201 "an admin's POST"
                Expect.equal (slugsOf http address [ bob ]) [ "gpu-1" ] "was added")

        testCase "where nobody logs in there is no admin, and who a proxy names is none"
        <| fun () ->
            for options, headers in [ [], []; [ "--trust-proxy-user"; "X-User" ], [ "X-User", "ada" ] ] do
                use place = new TemporaryDirectory()
                let dashboard, address = serve (place.File "a.db") options
                use _ = dashboard
                use http = client ()
                Expect.equal (status (add http address headers """{"name":"gpu-1"}""")) 403 $"%A{options}"
                Expect.equal (slugsOf http address headers) [] "nothing was added"
    ]

let private addTests =
    [
        testCase "an admin writes something down, and the timeline tells it with the name"
        <| fun () ->
            withEverybody [] (fun _ _ http address _ _ ->
                let ada = sessionOf (login http address "ada" password)
                let path = "/api/annotations/"
                let answer = ask http HttpMethod.Post (address + path) [ ada ] """{"text":"new switch in rack 3"}"""
                Expect.equal (status answer) 201 (text answer)
                Expect.equal (OpenApi.faultsIn "POST" path answer) [] "as openapi.json describes it"

                let timeline = json (get http (address + "/api/timeline/") [ ada ])

                let events =
                    [
                        for event in (at "events" timeline).EnumerateArray() -> textAt "author" event, textAt "text" event
                    ]

                Expect.equal events [ "ada", "new switch in rack 3" ] "it is there")

        testCase "an admin adds a machine, and the token that came with it posts a sample at once"
        <| fun () ->
            withEverybody [] (fun _ dashboard http address admin _ ->
                let ada = sessionOf (login http address "ada" password)

                let answer =
                    add http address [ ada ] """{"name":" GPU box (1) ","hostname":"node-7","description":"under the stairs"}"""

                Expect.equal (status answer) 201 (text answer)
                Expect.equal (OpenApi.faultsIn "POST" "/api/servers/" answer) [] "as openapi.json describes it"
                Expect.equal (string answer.Headers.CacheControl) "no-store" "it is kept nowhere"
                let said = json answer
                Expect.equal (textAt "server.slug" said) "gpu-box-1" "slug"
                Expect.equal (textAt "server.name" said) "GPU box (1)" "name"
                Expect.equal (textAt "server.hostname" said) "node-7" "host name"
                Expect.equal (textAt "server.description" said) "under the stairs" "description"
                Expect.equal (textAt "server.state" said) "never" "state"
                let token = textAt "token" said
                dashboard.Secrets <- [ token ]

                let server = { Slug = "gpu-box-1"; Token = token }
                let sent = post (Uri(address).Port) server (body (sample DateTimeOffset.UtcNow))
                Expect.equal sent.Status 200 sent.Text
                dashboard.WaitForError "server added: \"ada\" from 127.0.0.1: gpu-box-1"
                let again = add http address [ bearer admin ] """{"name":"another","slug":"Rack_2-b"}"""
                Expect.equal (textAt "server.slug" (json again)) "Rack_2-b" "a slug of one's own"
                dashboard.WaitForError "server added: \"deployer\" from 127.0.0.1: Rack_2-b"

                let lines = dashboard.AllErrors |> List.filter _.Contains("server added")

                Expect.equal lines.Length 2 "one line each")

        testCase "the commands have the address by which the browser came, as trusted proxies say it"
        <| fun () ->
            withEverybody [ "--trusted-proxy"; "127.0.0.1" ] (fun _ _ http address admin _ ->
                let commands name headers =
                    let said = json (add http address (bearer admin :: headers) $$"""{"name":"{{name}}"}""")
                    textAt "token" said, commandsOf said

                let token, plain = commands "one" []

                Expect.equal
                    plain
                    [
                        "terminal",
                        [
                            $"INGEST_TOKEN={token}"
                            "(umask 077; echo \"$INGEST_TOKEN\" > ingest-token)"
                            $"ai-dashboard-agent --host {address} --server-slug one --token-file ingest-token"
                        ]
                        "service",
                        [
                            $"INGEST_TOKEN={token}"
                            "echo \"$INGEST_TOKEN\" | sudo sh -c 'umask 077; cat > /etc/ai-dashboard-agent/ingest-token'"
                            $"(echo AI_DASHBOARD_HOST={address}; echo AI_DASHBOARD_SERVER_SLUG=one) | sudo tee -a /etc/default/ai-dashboard-agent"
                            "sudo systemctl enable ai-dashboard-agent && sudo systemctl restart ai-dashboard-agent"
                        ]
                    ]
                    "by the address itself"

                let host headers name =
                    let _, said = commands name headers
                    (snd said.Head)[2]

                let proxied =
                    [
                        "Host", "dash.example"
                        "X-Forwarded-Proto", "https"
                        "X-Forwarded-For", "192.0.2.1"
                    ]

                Expect.stringContains (host proxied "two") " --host https://dash.example --server-slug" "behind a proxy")

        testCase "a slug that is taken is refused by its name, and its server stays as it is"
        <| fun () ->
            withEverybody [] (fun place _ http address admin _ ->
                let server = register (place.File "a.db") "gpu-1" []
                let answer = add http address [ bearer admin ] """{"name":"GPU 1"}"""
                Expect.equal (status answer) 409 (text answer)
                Expect.stringContains (textAt "detail" (json answer)) "gpu-1" "which one"
                let sent = post (Uri(address).Port) server (body (sample DateTimeOffset.UtcNow))
                Expect.equal sent.Status 200 "its token is the old one")

        testCase "what is no machine is refused with a sentence"
        <| fun () ->
            withEverybody [] (fun _ _ http address admin _ ->
                let refused expected part body =
                    let answer = add http address [ bearer admin ] body
                    Expect.equal (status answer) expected $"{body}: {text answer}"
                    Expect.isFalse ((at "ok" (json answer)).GetBoolean()) body
                    Expect.stringContains (textAt "detail" (json answer)) part body

                let named (name: string) =
                    $$"""{"name":{{JsonSerializer.Serialize name}}}"""

                refused 400 "" "{"
                refused 400 "" ""
                refused 400 "" "[]"
                refused 400 "name" "{}"
                refused 400 "name" """{"name":null}"""
                refused 400 "name" """{"name":7}"""
                refused 400 "" """{"name":"\ud800"}"""
                refused 400 "name is empty" (named "  ")
                refused 400 "name is longer than 120" (named (String('x', 121)))
                refused 400 "name has control characters" (named "a\u0007b")
                refused 400 "name has control characters" (named "a\nb")
                refused 400 "slug is not 1 to 64" """{"name":"a","slug":""}"""
                refused 400 "slug is not 1 to 64" """{"name":"a","slug":"a/b"}"""
                refused 400 "slug is not 1 to 64" $$"""{"name":"a","slug":"{{String('x', 65)}}"}"""
                refused 400 "hostname is longer than 255" $$"""{"name":"a","hostname":"{{String('x', 256)}}"}"""
                refused 400 "description is longer than 1000" $$"""{"name":"a","description":"{{String('x', 1001)}}"}"""
                refused 413 "at most 4096 bytes" (named "a" + String(' ', 4096))
                Expect.equal (slugsOf http address [ bearer admin ]) [] "nothing was added"
                let longest = named (String('x', 120))
                let answer = add http address [ bearer admin ] (longest + String(' ', 4096 - longest.Length))
                Expect.equal (status answer) 201 "the longest"
                Expect.equal (textAt "server.slug" (json answer)) (String('x', 64)) "its slug")

        testCase "with 4,095 servers there is no room for another"
        <| fun () ->
            withEverybody [] (fun place _ http address admin _ ->
                use connection =
                    new Microsoft.Data.Sqlite.SqliteConnection("Data Source=" + place.File "a.db" + ";Pooling=False")

                connection.Open()
                use command = connection.CreateCommand()

                command.CommandText <-
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4095) "
                    + "INSERT INTO server (id, slug, name, hostname, description, is_active, created_at, token_sha256) "
                    + "SELECT i, 's' || i, '', '', '', 1, 0, x'00' FROM n"

                Expect.equal (command.ExecuteNonQuery()) 4095 "that many"
                let answer = add http address [ bearer admin ] """{"name":"one too many"}"""
                Expect.equal (status answer) 507 (text answer)
                Expect.stringContains (textAt "detail" (json answer)) "4095" "how many")

        testCase "a database that another process keeps locked is said to be the reason"
        <| fun () ->
            withEverybody [] (fun place _ http address admin _ ->
                use connection =
                    new Microsoft.Data.Sqlite.SqliteConnection("Data Source=" + place.File "a.db" + ";Pooling=False")

                connection.Open()
                use locking = connection.CreateCommand()
                locking.CommandText <- "BEGIN IMMEDIATE"
                locking.ExecuteNonQuery() |> ignore
                let answer = add http address [ bearer admin ] """{"name":"gpu-1"}"""
                Expect.equal (status answer) 503 (text answer)
                Expect.isNonEmpty (textAt "detail" (json answer)) "why"
                locking.CommandText <- "ROLLBACK"
                locking.ExecuteNonQuery() |> ignore
                Expect.equal (status (add http address [ bearer admin ] """{"name":"gpu-1"}""")) 201 "afterwards")
    ]

[<Tests>]
let tests = testList "Servers" [ testList "roles" roleTests; testList "adding" addTests ]
