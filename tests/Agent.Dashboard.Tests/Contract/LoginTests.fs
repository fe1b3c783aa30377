/// Log-ins by name: users, sessions, guesses, and where a log-in leads.
module Agent.Dashboard.Tests.LoginTests

open System
open System.IO
open System.Net.Http
open System.Threading
open System.Threading.Tasks
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.LoginClient
open Expecto

let private password = "correct horse battery"

/// Runs a test against a dashboard with the admin ada and the viewer bob, who have the same password.
let private withUsers (options: string list) (test: TemporaryDirectory -> DashboardProcess -> HttpClient -> string -> unit) : unit =
    use place = new TemporaryDirectory()
    addUser (place.File "users") "ada" "admin" password
    addUser (place.File "users") "bob" "viewer" password

    let dashboard, address = serve (place.File "a.db") ([ "--users-file"; place.File "users" ] @ options)

    use dashboard = dashboard
    dashboard.Secrets <- [ password ]
    use http = client ()
    test place dashboard http address

let private mode (file: string) = File.GetUnixFileMode file

let private ownerOnly = UnixFileMode.UserRead ||| UnixFileMode.UserWrite

let private userTests =
    [
        testCase "users are added, changed, listed and removed in a file that only its owner can read"
        <| fun () ->
            use place = new TemporaryDirectory()
            let file = place.File "users"
            addUser file "ada" "admin" password
            addUser file "bob" "viewer" password
            Expect.equal (mode file) ownerOnly "mode"
            let text = File.ReadAllText file
            Expect.isFalse (text.Contains password) "the password"
            Expect.stringContains text "\nada:admin:pbkdf2-sha512:220000:" "a line"
            addUser file "bob" "admin" "another password"
            let _, listed, _ = run [ "users"; "list"; "--users-file"; file ]
            Expect.equal listed [ "admin    ada"; "admin    bob" ] "listed"
            let code, _, _ = run [ "users"; "remove"; "ada"; "--users-file"; file ]
            Expect.equal code 0 "removed"
            let code, _, errors = run [ "users"; "remove"; "ada"; "--users-file"; file ]
            Expect.equal code 1 "nobody"
            Expect.stringContains (List.head errors) "there is no user \"ada\"" "says so"
            let code, _, _ = run [ "users"; "remove"; "bob"; "--users-file"; file ]
            Expect.equal code 0 "the last one"

            Expect.equal
                (run [ "users"; "list"; "--users-file"; file ])
                (0, [], [ $"ai-dashboard: there are no users in \"{file}\"; users add NAME adds one" ])
                "none"

        testCase "a password that is short, missing or endless, and a file that is garbled, are refused"
        <| fun () ->
            use place = new TemporaryDirectory()
            let file = place.File "users"

            let refused input part =
                let code, _, errors = runWith input [ "users"; "add"; "ada"; "--users-file"; file ]
                Expect.equal code 1 errors
                Expect.stringContains errors part part
                Expect.isFalse (File.Exists file) "nothing is written"

            refused "1234567\n" "8 characters or more"
            refused "" "no password was given"
            refused (String('x', 5000)) "longer than 1000 characters"
            File.WriteAllText(file, "ada:admin:md5:1:aa:bb\n")
            let code, _, errors = runWith (password + "\n") [ "users"; "add"; "bob"; "--users-file"; file ]
            Expect.equal code 1 errors
            Expect.stringContains errors "line 1 is not NAME:ROLE" "garbled"
            Expect.equal (File.ReadAllText file) "ada:admin:md5:1:aa:bb\n" "it stays as it is"

        testCase "at a terminal the password is asked for twice and not shown"
        <| fun () ->
            use place = new TemporaryDirectory()
            let file = place.File "users"

            // script(1) gives it a terminal, on which the password is typed.
            let start =
                Diagnostics.ProcessStartInfo(
                    "script",
                    [ "-qec"; $"{binary.Value} users add ada --users-file {file}"; "/dev/null" ],
                    RedirectStandardInput = true,
                    RedirectStandardOutput = true
                )

            start.Environment["DOTNET_ROOT"] <- Agent.TestSupport.World.dotnetRoot

            use running =
                try
                    match Diagnostics.Process.Start start with
                    | null -> failtest "script does not start"
                    | running -> running
                with :? ComponentModel.Win32Exception ->
                    Agent.TestSupport.Skip.because "no script"
                    failtest "unreachable"

            let said = Text.StringBuilder()

            let reading =
                Task.Run(fun () ->
                    let mutable next = running.StandardOutput.Read()

                    while next >= 0 do
                        lock said (fun () -> said.Append(char next) |> ignore)
                        next <- running.StandardOutput.Read())

            let soFar () = lock said (fun () -> string said)

            let typed (prompt: string) =
                eventually patience $"{prompt}; {soFar ()}" (fun () -> (soFar ()).Contains prompt)
                running.StandardInput.Write(password + "\r")
                running.StandardInput.Flush()

            typed "Password for ada: "
            typed "The same again: "
            eventually patience $"it is added; {soFar ()}" (fun () -> (soFar ()).Contains "Added ada, viewer")
            running.StandardInput.Close()
            Expect.isTrue (running.WaitForExit patience) "ends"
            reading.Wait patience |> ignore
            Expect.isFalse ((soFar ()).Contains password) "the password is not shown"
            Expect.isTrue (File.Exists file) "written"
    ]

let private sessionTests =
    [
        testCase "a session survives a restart, and ends for good at log-out, on all devices of its user and not for others"
        <| fun () ->
            withUsers [] (fun place dashboard http address ->
                let sessions = [ for _ in 1..2 -> sessionOf (login http address "ada" password) ]
                let others = sessionOf (login http address "bob" password)

                for session in sessions do
                    Expect.equal (status (get http (address + "/api/servers/") [ session ])) 200 "logged in"

                let file = place.File "a.db.sessions"
                Expect.equal (mode file) ownerOnly "mode of the sessions"
                let token = (snd sessions.Head).Split('=')[1]
                Expect.isFalse ((File.ReadAllText file).Contains token) "the token is not in the file"
                dashboard.Signal SigTerm
                Expect.equal (dashboard.WaitForEnd patience) 0 dashboard.Said

                let restart () =
                    serve (place.File "a.db") [ "--users-file"; place.File "users" ]

                let second, address = restart ()
                use _ = second

                for session in others :: sessions do
                    Expect.equal (status (get http (address + "/api/servers/") [ session ])) 200 "after a restart"

                Expect.equal (status (logout http address sessions.Head)) 303 "logout"
                Expect.equal (status (get http (address + "/api/servers/") [ others ])) 200 "bob's goes on"
                second.Signal SigTerm
                second.WaitForEnd patience |> ignore
                let third, address = restart ()
                use _ = third

                for session in sessions do
                    Expect.equal (status (get http (address + "/api/servers/") [ session ])) 401 "ended for good")

        testCase "events end with their session, at log-out and when the user is removed"
        <| fun () ->
            withUsers [] (fun place _ http address ->
                let listen (session: string * string) =
                    let request = new HttpRequestMessage(HttpMethod.Get, address + "/api/events/")
                    request.Headers.TryAddWithoutValidation(fst session, snd session) |> ignore
                    let answer = http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead).Result
                    Expect.equal (status answer) 200 "it listens"
                    let reader = new StreamReader(answer.Content.ReadAsStream())
                    Expect.equal (reader.ReadLine()) "event: storage" "the first event"
                    Task.Run(fun () -> reader.ReadToEnd())

                let ada = sessionOf (login http address "ada" password)
                let bob = sessionOf (login http address "bob" password)
                let first = listen ada
                let second = listen bob
                logout http address ada |> ignore
                Expect.isTrue (first.Wait patience) "ada's end"
                Expect.isFalse second.IsCompleted "bob's go on"

                Expect.equal
                    (run [ "users"; "remove"; "bob"; "--users-file"; place.File "users" ]
                     |> fun (code, _, _) -> code)
                    0
                    "removed"

                Expect.isTrue (second.Wait patience) "bob's end"
                Expect.equal (status (get http (address + "/api/servers/") [ bob ])) 401 "and the session with them")

        testCase "a new password ends the sessions of the old one, and a user who was just added logs in at once"
        <| fun () ->
            withUsers [] (fun place _ http address ->
                let before = sessionOf (login http address "bob" password)
                addUser (place.File "users") "bob" "viewer" "another password"
                addUser (place.File "users") "eve" "viewer" "a third password"
                sessionOf (login http address "eve" "a third password") |> ignore
                Expect.equal (status (get http (address + "/api/servers/") [ before ])) 401 "the old session"
                Expect.equal (status (login http address "bob" password)) 401 "the old password"
                sessionOf (login http address "bob" "another password") |> ignore)

        testCase "the viewers' password keeps its sessions over a restart, until it is another one"
        <| fun () ->
            use place = new TemporaryDirectory()
            let file = place.File "password"
            use http = client ()

            let during (text: string) (test: string -> 'a) : 'a =
                File.WriteAllText(file, text)
                let dashboard, address = serve (place.File "a.db") [ "--viewer-password-file"; file ]
                use dashboard = dashboard
                let result = test address
                dashboard.Signal SigTerm
                Expect.equal (dashboard.WaitForEnd patience) 0 dashboard.Said
                result

            let session = during password (fun address -> sessionOf (login http address "" password))

            let asked (address: string) =
                status (get http (address + "/api/servers/") [ session ])

            Expect.equal (during password asked) 200 "the same password"
            Expect.equal (during "another password" asked) 401 "another one"

        testCase "the API says who asks and in which role"
        <| fun () ->
            withUsers [] (fun _ _ http address ->
                for name, role in [ "ada", "admin"; "bob", "viewer" ] do
                    let session = sessionOf (login http address name password)
                    let said = (get http (address + "/api/") [ session ]).Content.ReadAsStringAsync().Result
                    Expect.stringContains said $"\"user\":\"{name}\",\"role\":\"{role}\"" name)
    ]

let private guessTests =
    [
        testCase "of a thousand guesses in one burst at most five are looked at"
        <| fun () ->
            withUsers [] (fun _ dashboard _ address ->
                use http =
                    new HttpClient(new SocketsHttpHandler(AllowAutoRedirect = false, UseProxy = false, MaxConnectionsPerServer = 200))

                let guess number =
                    task {
                        try
                            let fields =
                                [ "name", "ada"; "password", $"guess number {number}" ]
                                |> List.map Collections.Generic.KeyValuePair

                            let! answer = http.PostAsync(address + "/login", new FormUrlEncodedContent(fields))
                            return int answer.StatusCode
                        with :? HttpRequestException ->
                            return 0
                    }

                let answers = Task.WhenAll([ for number in 1..1000 -> guess number ]).Result

                let count status =
                    answers |> Array.filter ((=) status) |> Array.length

                Expect.isLessThanOrEqual (count 401) 5 "looked at"
                Expect.isGreaterThan (count 401) 0 "the first are"
                Expect.equal (count 303) 0 "none is right"
                Expect.isGreaterThan (count 429) 900 "the others are refused"

                let lines = dashboard.AllErrors |> List.filter _.Contains("login refused")

                Expect.isLessThanOrEqual lines.Length 60 "the log is bounded")

        testCase "guesses from elsewhere delay the right password for seconds, and do not lock it out"
        <| fun () ->
            withUsers [ "--trusted-proxy"; "127.0.0.0/8" ] (fun _ _ http address ->
                let from (address: string) = [ "X-Forwarded-For", address ]

                let guesses =
                    [
                        for n in 1..20 -> status (loginWith http address (from $"203.0.113.{n}") "ada" $"guess number {n}")
                    ]

                Expect.equal (guesses |> List.filter ((=) 401) |> List.length) 5 "looked at"
                let mine = from "198.51.100.7"
                let answer = loginWith http address mine "ada" password
                Expect.equal (status answer) 429 "not yet"
                let wait = answer.Headers.GetValues "Retry-After" |> Seq.exactlyOne |> int
                Expect.equal (status (loginWith http address (from "203.0.113.1") "bob" password)) 303 "another account is not touched"
                // Fifteen other addresses wait before, three seconds each.
                Expect.isTrue (wait > 40 && wait <= 48) $"in its turn: {wait} s")

        testCase "an address that was used before is not delayed by others, and a turn comes when it was told"
        <| fun () ->
            withUsers [ "--trusted-proxy"; "127.0.0.0/8" ] (fun _ _ http address ->
                let from (address: string) = [ "X-Forwarded-For", address ]

                sessionOf (loginWith http address (from "198.51.100.7") "ada" password)
                |> ignore

                for n in 1..5 do
                    Expect.equal (status (loginWith http address (from "203.0.113.1") "ada" $"guess {n}")) 401 "a guess"

                sessionOf (loginWith http address (from "198.51.100.7") "ada" password)
                |> ignore

                let elsewhere = from "192.0.2.44"
                let answer = loginWith http address elsewhere "ada" password
                Expect.equal (status answer) 429 "a new address waits"
                let wait = answer.Headers.GetValues "Retry-After" |> Seq.exactlyOne |> int
                Expect.isLessThanOrEqual wait 3 "for its turn"
                Thread.Sleep(TimeSpan.FromSeconds(float wait))
                sessionOf (loginWith http address elsewhere "ada" password) |> ignore)

        testCase "a browser that has logged in before is not kept waiting by guesses from its own address, a restart later either"
        <| fun () ->
            withUsers [] (fun place dashboard http address ->
                let answer = login http address "ada" password
                let device = deviceOf answer

                let attack (address: string) =
                    for n in 1..8 do
                        login http address (if n % 2 = 0 then "ada" else "bob") $"guess {n}" |> ignore

                    Expect.equal (status (login http address "ada" password)) 429 "a browser that is not known"
                    sessionOf (loginWith http address [ device ] "ada" password) |> ignore
                    Expect.equal (status (loginWith http address [ device ] "bob" password)) 429 "for one account alone"
                    let forged = fst device, (snd device).Replace("=ada", "=bob")
                    Expect.equal (status (loginWith http address [ forged ] "bob" password)) 429 "a forged one"

                attack address

                // One of its five was that on another account.
                for n in 1..4 do
                    Expect.equal (status (loginWith http address [ device ] "ada" $"guess {n}")) 401 "its own guesses"

                Expect.equal (status (loginWith http address [ device ] "ada" password)) 429 "count as well"
                dashboard.Signal SigTerm
                dashboard.WaitForEnd patience |> ignore
                let second, address = serve (place.File "a.db") [ "--users-file"; place.File "users" ]
                use _ = second
                attack address)

        testCase "a refused log-in leaves one line that nobody can forge"
        <| fun () ->
            withUsers [] (fun _ dashboard http address ->
                login http address "ada" "a wrong one" |> ignore
                login http address "eve\nai-dashboard: login: \"ada\"" "a wrong one" |> ignore
                dashboard.WaitForError "login refused: \"ada\" from 127.0.0.1: wrong password"
                dashboard.WaitForError "no such user"
                let lines = dashboard.AllErrors
                Expect.equal (lines |> List.filter _.Contains("login refused") |> List.length) 2 $"one each: %A{lines}"
                Expect.isFalse (lines |> List.exists _.StartsWith("ai-dashboard: login: \"ada\"")) "no forged line")

        testCase "an unknown name takes as long as a known one, and gets the same answer"
        <| fun () ->
            withUsers [] (fun _ _ http address ->
                let timed name =
                    let watch = Diagnostics.Stopwatch.StartNew()
                    let answer = login http address name "a wrong one"
                    answer.Content.ReadAsStringAsync().Result, watch.Elapsed

                timed "ada" |> ignore
                let known, _ = timed "ada"
                let unknown, time = timed "nobody"
                Expect.equal unknown known "the answer"
                Expect.isGreaterThan time (TimeSpan.FromMilliseconds 20.0) "it was computed")

        testCase "what is no form of a log-in is refused, and a slow body is not waited for"
        <| fun () ->
            withUsers [] (fun _ _ http address ->
                use json = new StringContent("{}")
                Expect.equal (status (http.PostAsync(address + "/login", json).Result)) 400 "JSON"
                let large = login http address "ada" (String('x', 20000))
                Expect.equal (status large) 400 "large"
                let foreign = loginWith http address [ "Sec-Fetch-Site", "cross-site" ] "ada" password
                Expect.equal (status foreign) 403 "from another site's page")
    ]

let private leadTests =
    [
        testCase "a page that was asked for comes after the log-in, with its query"
        <| fun () ->
            withUsers [] (fun _ _ http address ->
                let answer = get http (address + "/servers/gpu-1?minutes=60&to=2026-11-28T20:00:00Z") []
                Expect.equal (status answer) 303 "to the log-in"
                let target = string answer.Headers.Location
                Expect.stringStarts target "/login?next=%2Fservers%2Fgpu-1%3Fminutes%3D60%26to%3D2026" "with path and query"
                let answer = send http HttpMethod.Post (address + target) [] [ "name", "ada"; "password", password ]
                Expect.equal (string answer.Headers.Location) "/servers/gpu-1?minutes=60&to=2026-11-28T20:00:00Z" "back"

                let answer =
                    send http HttpMethod.Post (address + target) [ "Accept", "application/json" ] [ "name", "ada"; "password", password ]

                Expect.equal (status answer) 200 "for scripts"
                Expect.stringContains (answer.Content.ReadAsStringAsync().Result) "\"next\":\"/servers/gpu-1?minutes=60" "as JSON")

        testCase "a log-in leads home alone"
        <| fun () ->
            withUsers [] (fun _ _ http address ->
                for next in
                    [
                        "//evil.example"
                        "/\\evil.example"
                        "\\\\evil.example"
                        "/\t/evil.example"
                        "/\n/evil.example"
                        "\t//evil.example"
                        "https:evil.example"
                        "https://evil.example"
                        "javascript:alert(1)"
                        "/servers//evil.example"
                        "evil.example"
                        "/login"
                    ] do
                    let answer =
                        send
                            http
                            HttpMethod.Post
                            $"{address}/login?next={Uri.EscapeDataString next}"
                            []
                            [ "name", "ada"; "password", password ]

                    Expect.equal (status answer) 303 next
                    Expect.equal (answer.Headers.GetValues "Location" |> Seq.exactlyOne) "/" next)

        testCase "the page asks for a name where there are names, and for a password alone where there is one"
        <| fun () ->
            withUsers [] (fun _ _ http address ->
                let page = (get http (address + "/login") []).Content.ReadAsStringAsync().Result
                Expect.stringContains page "id=\"name\"" "a name"
                Expect.isFalse (page.Contains "viewer password that its operator") "of users"
                Expect.isFalse (page.Contains "<!--") "no marks")

            use place = new TemporaryDirectory()
            File.WriteAllText(place.File "password", password)
            let dashboard, address = serve (place.File "a.db") [ "--viewer-password-file"; place.File "password" ]
            use _ = dashboard
            use http = client ()
            let page = (get http (address + "/login") []).Content.ReadAsStringAsync().Result
            Expect.isFalse (page.Contains "id=\"name\"") "no name"
            Expect.equal (page.Split("id=\"password\"").Length) 2 "one password"
    ]

[<Tests>]
let tests =
    testList
        "Login"
        [
            testList "users" userTests
            testList "sessions" sessionTests
            testList "guesses" guessTests
            testList "leads" leadTests
        ]
