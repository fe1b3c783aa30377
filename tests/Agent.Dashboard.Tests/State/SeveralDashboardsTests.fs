/// Two dashboards on one state and one cluster of metrics, as processes: the failover with an alert in between, sessions, and PostgreSQL that goes away.
module Agent.Dashboard.Tests.SeveralDashboardsTests

open System
open System.IO
open System.Net.Http
open System.Text
open System.Text.Json
open System.Threading
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.ClusterTests
open Agent.Dashboard.Tests.Receivers
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.LoginClient
open Agent.TestSupport.Postgres
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.Waiting
open Expecto

/// What halts a process, and what lets it go on.
[<Literal>]
let private SigStop = 19

[<Literal>]
let private SigContinue = 18

/// A machine whose samples come into VictoriaMetrics every two seconds, with so much of its memory in use.
type private Machine(metrics: VictoriaMetrics) =
    let mutable percent = 20
    let mutable isOver = false

    let post (number: int) =
        let used = 160_000_000L * int64 percent
        let start = DateTimeOffset.UtcNow.AddSeconds(-10.0 * float number)

        let members =
            sampleEvery 10.0 start number
            |> setAll
                [
                    "memory_percent", string percent
                    "memory_used_bytes", string used
                    "memory_available_bytes", string (16_000_000_000L - used)
                ]

        metrics.Store(linesOf "box" start [ number, utf8 (body members) ])

    let feed () =
        let mutable number = 0

        while not isOver do
            post number
            number <- number + 1
            Thread.Sleep 2000

    let thread = Thread(feed, IsBackground = true)
    do thread.Start()

    /// How much of its memory is in use from now on.
    member _.MemoryPercent
        with set value = Volatile.Write(&percent, value)

    interface IDisposable with
        member _.Dispose() =
            isOver <- true
            thread.Join()

/// Asks a dashboard with an admin's token.
let private ask (dashboard: Dashboard) (token: string) (method: string) (path: string) (body: string) : int * string =
    use http = client ()
    use request = new HttpRequestMessage(HttpMethod method, dashboard.Url + path)

    request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}")
    |> ignore

    if body <> "" then
        request.Content <- new StringContent(body, Encoding.UTF8, "application/json")

    use answer = http.Send request
    int answer.StatusCode, answer.Content.ReadAsStringAsync().Result

let private parsed (text: string) : JsonElement =
    use document = JsonDocument.Parse text
    document.RootElement.Clone()

/// What all have: a cluster of metrics with a machine, a state, users and tokens, and where alerts go.
type private Site() =
    let place = new TemporaryDirectory()
    let server = new Postgres(place.Path, "")
    let metrics = new VictoriaMetrics(place.Path, freePort ())
    let machine = new Machine(metrics)
    let receiver = new Receiver(fun _ -> Manner.Answer(200, ""))
    let token = addToken (place.File "tokens") "deployer" "admin"
    do addUser (place.File "users") "ada" "admin" "correct horse battery"

    do
        File.WriteAllText(
            place.File "alerts.json",
            """{"channels":[{"name":"ops","type":"webhook","url":"HOOK"}],
              "routes":[{"channel":"ops","rules":["memory-full"]}],
              "rules":{"memory-full":{"for_minutes":0,"clear_minutes":0}},
              "grouping":{"wait_seconds":0,"pause_minutes":0}}"""
                .Replace("HOOK", receiver.Url)
        )

    member _.Place = place
    member _.Postgres = server
    member _.Machine = machine
    member _.Receiver = receiver
    member _.Token = token

    member _.Options: string list =
        [
            "--metrics-url"
            metrics.Url
            "--state"
            server.Url
            "--users-file"
            place.File "users"
            "--tokens-file"
            place.File "tokens"
            "--alerts"
            place.File "alerts.json"
        ]

    member site.Dashboard(name: string) : Dashboard =
        new Dashboard(place.File $"{name}.db", site.Options)

    /// The open alerts as a dashboard tells them: their numbers, and since when.
    member _.Open(dashboard: Dashboard) : (int64 * string) list =
        match ask dashboard token "GET" "/api/alerts/?state=open" "" with
        | 200, text ->
            [
                for alert in (parsed text).GetProperty("alerts").EnumerateArray() do
                    if alert.GetProperty("rule").GetString() = "memory-full" then
                        alert.GetProperty("id").GetInt64(), alert.GetProperty("since").GetRawText()
            ]
        | failed -> failtest $"%A{failed}"

    /// What was told of the rule, in its order.
    member _.Told: string list =
        [
            for arrival in receiver.Arrivals do
                for notice in (parsed arrival.Body).GetProperty("alerts").EnumerateArray() do
                    notice.GetProperty("state").GetString() |> string
        ]

    interface IDisposable with
        member _.Dispose() =
            (receiver :> IDisposable).Dispose()
            (machine :> IDisposable).Dispose()
            (metrics :> IDisposable).Dispose()
            (server :> IDisposable).Dispose()
            (place :> IDisposable).Dispose()

let private health (dashboard: Dashboard) : JsonElement =
    use http = client ()
    use answer = get http (dashboard.Url + "/healthz") []
    Expect.equal (status answer) 200 "healthy"
    (parsed (answer.Content.ReadAsStringAsync().Result)).GetProperty "state"

let private isHolder (dashboard: Dashboard) : bool =
    (health dashboard).GetProperty("evaluates_alerts").GetBoolean()

let private untilHolder (dashboard: Dashboard) (limit: float) : unit =
    eventually (TimeSpan.FromSeconds limit) $"it evaluates the rules; {dashboard.Process.Said}" (fun () -> isHolder dashboard)

/// Until that was told, and the state knows it: whoever is killed in between leaves a message that is sent once more, with the same id.
let private untilTold (site: Site) (expected: string list) : unit =
    eventually patience $"%A{expected} is told" (fun () -> site.Told = expected)
    eventually patience "it is settled" (fun () -> site.Postgres.Query "SELECT count(*) FROM outbox" = "0")

let private half = 30.0

[<Tests>]
let tests =
    [
        testCase "one is killed with an alert open: the other goes on with the same alert, which is told once and ends"
        <| fun () ->
            needed ()
            use site = new Site()
            let one = site.Dashboard "one"
            untilHolder one half
            use other = site.Dashboard "other"
            site.Machine.MemoryPercent <- 97
            eventually patience "the alert is open" (fun () -> (site.Open one).Length = 1)
            let opened = site.Open one
            Expect.equal (site.Open other) opened "the same on the other page"
            untilTold site [ "firing" ]
            Expect.isFalse (isHolder other) "one evaluates"

            let holder = (health other).GetProperty("alerts_evaluated_by").GetString()
            Expect.stringContains (string holder) one.Url "the other knows which"

            one.Process.Signal SigKill
            one.Process.WaitForEnd patience |> ignore
            untilHolder other half
            (one :> IDisposable).Dispose()

            // Several looks of the new holder.
            Thread.Sleep 12000
            Expect.equal (site.Open other) opened "the same alert still"
            Expect.equal site.Told [ "firing" ] "told once"
            site.Machine.MemoryPercent <- 20
            eventually patience "it is over" (fun () -> site.Open other = [])
            untilTold site [ "firing"; "resolved" ]
            Expect.equal (site.Postgres.Query "SELECT count(*) FROM alert WHERE rule = 'memory-full'") "1" "it was one alert"

            // In good order the lease is given back at once.
            use third = site.Dashboard "third"
            other.Stop()

            Expect.isFalse
                ((site.Postgres.Query "SELECT address FROM lease WHERE ends > clock_timestamp()").Contains other.Url)
                $"nobody's, or the third's; {other.Process.Said}"

            untilHolder third half

        testCase "one that is halted past its lease and goes on writes nothing, and leaves the rules to the other"
        <| fun () ->
            needed ()
            use site = new Site()
            use one = site.Dashboard "one"
            untilHolder one half
            use other = site.Dashboard "other"
            site.Machine.MemoryPercent <- 97
            eventually patience "the alert is open" (fun () -> (site.Open one).Length = 1)
            untilTold site [ "firing" ]
            let opened = site.Open other
            let token = site.Postgres.Query "SELECT token FROM lease"

            one.Process.Signal SigStop
            untilHolder other half
            Expect.equal (site.Postgres.Query $"SELECT token - {token} FROM lease") "1" "the next number"

            site.Machine.MemoryPercent <- 20
            eventually patience "it is over" (fun () -> site.Open other = [])
            untilTold site [ "firing"; "resolved" ]

            // Each version of a row has the number of the transaction that wrote it.
            let rows () =
                site.Postgres.Query
                    "SELECT 'alert', id, xmin FROM alert WHERE rule = 'memory-full' UNION ALL SELECT 'outbox', id, xmin FROM outbox UNION ALL SELECT 'lease', token, 0::text::xid FROM lease"

            let before = rows ()
            one.Process.Signal SigContinue
            Thread.Sleep 10000
            Expect.equal (rows ()) before "nothing was written"
            Expect.isFalse (isHolder one) "it knows"
            Expect.isTrue (isHolder other) "who it is"
            Expect.equal site.Told [ "firing"; "resolved" ] "nothing was told twice"
            Expect.equal (site.Open one) [] "both say the same"
            Expect.hasLength opened 1 "there was one"

        testCase "a session, a silence, a server and a key that are made at one are there at the other; a log-out counts everywhere"
        <| fun () ->
            needed ()
            use site = new Site()
            use one = site.Dashboard "one"
            use other = site.Dashboard "other"
            use http = client ()
            let session = sessionOf (login http one.Url "ada" "correct horse battery")

            let asked (dashboard: Dashboard) =
                status (get http (dashboard.Url + "/api/") [ session ])

            Expect.equal (asked other) 200 "known at once"
            Expect.equal (asked one) 200 "and where it was begun"
            Expect.equal (status (get http (other.Url + "/api/") [ "Cookie", "ai-dashboard-session=nobody" ])) 401 "nobody's"
            Expect.equal (status (logout http other.Url session)) 303 "logged out at the other"
            eventually (TimeSpan.FromSeconds 8.0) "and here" (fun () -> asked one = 401)

            let silence = """{"comment":"maintenance","until":"2035-01-01T00:00:00Z"}"""
            Expect.equal (fst (ask one site.Token "POST" "/api/alerts/silences/" silence)) 201 "silence"
            Expect.stringContains (snd (ask other site.Token "GET" "/api/alerts/silences/" "")) "maintenance" "at once"

            let rules = """{"rules":{"disk-full":{"threshold":91}}}"""
            Expect.equal (fst (ask other site.Token "PUT" "/api/alerts/rules/" rules)) 200 "rules"
            Expect.stringContains (snd (ask one site.Token "GET" "/api/alerts/rules/" "")) "91" "at once"

            Expect.equal (fst (ask one site.Token "POST" "/api/servers/" """{"name":"New box"}""")) 201 "a server"

            eventually (TimeSpan.FromSeconds 8.0) "it is there" (fun () ->
                (snd (ask other site.Token "GET" "/api/servers/" "")).Contains "\"new-box\"")

            // The machine of the cluster was found by both, and is registered once.
            eventually patience "it is found" (fun () -> (snd (ask other site.Token "GET" "/api/servers/" "")).Contains "\"box\"")
            Expect.equal (site.Postgres.Query "SELECT count(*) FROM server WHERE slug LIKE 'box%'") "1" "once"

            // Commands have the state as well, and need no database of their own.
            let state = [ "--state"; site.Postgres.Url ]
            let key = printedBy "ENROL_KEY" ([ "enrol-keys"; "add"; "rack-3" ] @ state)
            let enrol = $$"""{"key":"{{key}}","hostname":"gpu-9","machine_id":"0123456789abcdef0123456789abcdef"}"""
            let status, answer = ask other site.Token "POST" "/api/enrol/" enrol
            Expect.equal status 200 answer
            let _, listed, _ = run ("list-servers" :: state)
            Expect.isTrue (listed |> List.exists _.Contains("gpu-9")) $"%A{listed}"
            Expect.equal (tokenFrom ([ "register-server"; "by-hand" ] @ state) <> "") true "a token"

            // What is changed in a dashboard's copy would be lost, and with it a token that was printed.
            for words in
                [
                    [ "register-server"; "lost" ]
                    [ "remove-server"; "by-hand"; "--yes" ]
                    [ "list-servers" ]
                    [ "enrol-keys"; "add"; "lost" ]
                ] do
                let code, output, errors = run (words @ [ "--database"; one.Database ])
                Expect.equal (code, output) (2, []) $"%A{words} %A{errors}"
                Expect.isTrue (errors |> List.exists _.Contains("give --state as well")) $"%A{errors}"

            eventually (TimeSpan.FromSeconds 8.0) "registered by a command" (fun () ->
                (snd (ask one site.Token "GET" "/api/servers/" "")).Contains "\"by-hand\"")

        testCase "PostgreSQL goes away and comes back: figures are shown, log-ins and changes wait, and an alert is held"
        <| fun () ->
            needed ()
            use site = new Site()
            use one = site.Dashboard "one"
            untilHolder one half
            use http = client ()
            let session = sessionOf (login http one.Url "ada" "correct horse battery")
            site.Machine.MemoryPercent <- 97
            eventually patience "the alert is open" (fun () -> (site.Open one).Length = 1)
            let opened = site.Open one
            untilTold site [ "firing" ]

            site.Postgres.Kill()

            eventually patience "it is said" (fun () -> not ((health one).GetProperty("works").GetBoolean()))
            Expect.equal (status (get http (one.Url + "/api/servers/") [ session ])) 200 "who is known may look"
            let live = snd (ask one site.Token "GET" "/api/servers/" "")
            Expect.stringContains live "\"state\":\"live\"" "figures go on"
            Expect.equal (status (login http one.Url "ada" "correct horse battery")) 503 "nobody can log in"

            for method, path, body in
                [
                    "POST", "/api/alerts/silences/", """{"comment":"x","until":"2035-01-01T00:00:00Z"}"""
                    "POST", "/api/servers/", """{"name":"Other box"}"""
                    "POST", "/api/annotations/", """{"text":"a note"}"""
                    "GET", "/api/alerts/?state=open", ""
                ] do
                let code, text = ask one site.Token method path body
                Expect.equal code 503 $"{method} {path}: {text}"
                Expect.stringContains text "the state in PostgreSQL cannot be used" path

            site.Machine.MemoryPercent <- 20
            // Longer than the lease: it was given up meanwhile.
            eventually patience "the lease is over" (fun () -> not (isHolder one))
            site.Postgres.Start()
            untilHolder one half
            Expect.isTrue ((health one).GetProperty("works").GetBoolean()) "it works"
            eventually patience "the alert is over" (fun () -> site.Open one = [])
            untilTold site [ "firing"; "resolved" ]
            Expect.hasLength opened 1 "one"
            Expect.equal (status (login http one.Url "ada" "correct horse battery")) 303 "log-ins work"
            Expect.isFalse one.Process.HasEnded "it never ended"
            one.Process.WaitForError "the state in PostgreSQL can be used again"

        testCase "users and tokens in the state are the same at both, and end at both"
        <| fun () ->
            needed ()
            use place = new TemporaryDirectory()
            use server = new Postgres(place.Path, "")
            let state = [ "--state"; server.Url ]

            let started (name: string) =
                new Dashboard(place.File $"{name}.db", state @ [ "--metrics-url"; "http://127.0.0.1:9"; "--accounts-in-state" ])

            use one = started "one"
            use other = started "other"
            use http = client ()
            let soon = TimeSpan.FromSeconds 8.0

            let logsIn (dashboard: Dashboard) =
                login http dashboard.Url "ada" "correct horse battery"

            Expect.equal (status (logsIn one)) 401 "there is nobody"

            match runWith "correct horse battery\n" ([ "users"; "add"; "ada"; "--role"; "admin" ] @ state) with
            | 0, output, _ -> Expect.stringContains output $"Added ada, admin, in postgres://{Role}@" "where"
            | failed -> failtest $"%A{failed}"

            // What the state has of users is read four times a second at most.
            Thread.Sleep 500
            let session = sessionOf (logsIn other)

            let asked (headers: (string * string) list) (dashboard: Dashboard) =
                status (get http (dashboard.Url + "/api/") headers)

            eventually soon "she is known" (fun () -> asked [ session ] one = 200)

            let token = printedBy "API_TOKEN" ([ "tokens"; "add"; "deployer"; "--role"; "admin" ] @ state)

            for dashboard in [ one; other ] do
                eventually soon "the token is known" (fun () -> asked [ "Authorization", $"Bearer {token}" ] dashboard = 200)

            let _, listed, _ = run ([ "users"; "list" ] @ state)
            Expect.equal listed [ "admin    ada" ] "the users"

            // What is known stays so while PostgreSQL is away.
            server.Kill()
            Thread.Sleep 3000
            Expect.equal (asked [ session ] other) 200 "a session"
            Expect.equal (asked [ "Authorization", $"Bearer {token}" ] one) 200 "a token"
            server.Start()

            for words in [ [ "users"; "remove"; "ada" ]; [ "tokens"; "remove"; "deployer" ] ] do
                let code, _, errors = run (words @ state)
                Expect.equal code 0 $"%A{errors}"

            for dashboard in [ one; other ] do
                eventually soon "the session has ended" (fun () -> asked [ session ] dashboard = 401)
                eventually soon "so has the token" (fun () -> asked [ "Authorization", $"Bearer {token}" ] dashboard = 401)

        testCase "whoever has logged in where the account is known is let in elsewhere once it is known there"
        <| fun () ->
            needed ()
            use place = new TemporaryDirectory()
            use server = new Postgres(place.Path, "")
            addUser (place.File "one") "ada" "admin" "correct horse battery"
            addUser (place.File "other") "eve" "viewer" "battery staple horse"

            let started (name: string) =
                new Dashboard(
                    place.File $"{name}.db",
                    [
                        "--state"
                        server.Url
                        "--metrics-url"
                        "http://127.0.0.1:9"
                        "--users-file"
                        place.File name
                    ]
                )

            use one = started "one"
            use other = started "other"
            use http = client ()
            let session = sessionOf (login http one.Url "ada" "correct horse battery")

            let asked (dashboard: Dashboard) =
                status (get http (dashboard.Url + "/api/") [ session ])

            Expect.equal (asked other) 401 "nobody knows her there"
            File.Copy(place.File "one", place.File "other", true)
            eventually (TimeSpan.FromSeconds 8.0) "her account has come" (fun () -> asked other = 200)
            Expect.equal (status (logout http other.Url session)) 303 "logged out"
            eventually (TimeSpan.FromSeconds 8.0) "everywhere" (fun () -> asked one = 401)
            Thread.Sleep 3000
            Expect.equal (asked other) 401 "and it stays so"

        testCase "two start at once on an empty database"
        <| fun () ->
            needed ()
            use site = new Site()

            let started =
                [| "one"; "other" |]
                |> Array.map (fun name -> Tasks.Task.Run(fun () -> site.Dashboard name))
                |> Array.map _.Result

            use one = started[0]
            use other = started[1]
            eventually (TimeSpan.FromSeconds half) "one evaluates" (fun () -> isHolder one || isHolder other)
            Expect.isFalse (isHolder one && isHolder other) "not both"

        testCase "a password comes from its file; a wrong one, a database of its own and no PostgreSQL are said in a sentence"
        <| fun () ->
            needed ()
            use place = new TemporaryDirectory()
            let password = "correct horse"
            use server = new Postgres(place.Path, password)
            File.WriteAllText(place.File "good", password + "\n")
            File.WriteAllText(place.File "wrong", "battery staple\n")
            File.WriteAllText(place.File "empty", "\n")
            let metrics = [ "--metrics-url"; "http://127.0.0.1:9" ]
            let state = [ "--state"; server.Url ]

            use dashboard =
                new Dashboard(place.File "a.db", metrics @ state @ [ "--state-password-file"; place.File "good" ])

            dashboard.Process.Secrets <- [ password ]

            // Or from libpq's variable.
            let url = "https://gpus.example"

            use byVariable =
                new Dashboard(place.File "v.db", metrics @ state @ [ "--public-url"; url ], [ "PGPASSWORD", password ])

            byVariable.Process.Secrets <- [ password ]
            Expect.equal (server.Query "SELECT value FROM setting WHERE name = 'listen'") url "where all are reached"

            let own = place.File "own.db"
            register own "gpu-1" [] |> ignore

            for database, words, expected, sentence in
                [
                    "b.db", state @ [ "--state-password-file"; place.File "wrong" ], 1, "password authentication failed"
                    "b.db", state @ [ "--state-password-file"; place.File "none" ], 2, "cannot be read"
                    "b.db", state @ [ "--state-password-file"; place.File "empty" ], 2, "has no password in its first line"
                    "b.db", [ "--state"; $"postgres://{Role}@127.0.0.1:{freePort ()}/{Role}" ], 1, "cannot be used"
                    "own.db", state @ [ "--state-password-file"; place.File "good" ], 2, "has 1 servers of its own"
                ] do
                let code, _, errors = run ([ "serve"; "--database"; place.File database ] @ metrics @ words)
                let said = String.concat "\n" errors
                Expect.equal code expected $"%A{words}: {said}"
                Expect.stringContains said sentence $"%A{words}"
                Expect.isFalse (said.Contains "battery" || said.Contains password) "no password is said"

            let code, _, errors = run ([ "check"; "--database"; own ] @ state)

            Expect.equal code 2 "a command about the database alone"
            Expect.stringContains (String.concat "\n" errors) "pg_dump" "says what does it"
    ]
    // Two at a time: most of it is waiting for leases, but each has a PostgreSQL, a VictoriaMetrics and two dashboards.
    |> List.mapi (fun number test -> testSequencedGroup $"several dashboards, %d{number % 2}" test)
    |> testList "Several dashboards"
