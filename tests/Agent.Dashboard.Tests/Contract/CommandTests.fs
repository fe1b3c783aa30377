/// The commands, with and without a dashboard that serves the same database.
module Agent.Dashboard.Tests.CommandTests

open System
open System.IO
open System.Text.Json
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

let private withDatabase (test: string -> unit) =
    World.withDirectory (fun directory -> test (Path.Combine(directory, "dashboard.db")))

/// Runs a command that has to succeed, and returns what it printed.
let private succeed (words: string list) : string list =
    match run words with
    | 0, output, [] -> output
    | other -> failtest $"%A{words}: %A{other}"

/// Runs a command that has to fail with that code, and returns its complaints.
let private fail (code: int) (words: string list) : string list =
    match run words with
    | found, _, [] -> failtest $"%A{words}: nothing on standard error, exit code {found}"
    | found, output, errors ->
        Expect.equal found code $"%A{words}: %A{errors}"
        Expect.equal output [] "nothing on standard output"

        for line in errors do
            Expect.isFalse (line.Contains "Exception" || line.StartsWith "   at ") line

        errors

let private slugsOf (output: string list) (slugs: string list) =
    slugs |> List.filter (fun slug -> output |> List.exists _.Contains(slug))

let private registering =
    testList
        "register-server"
        [
            testCase "makes the database, prints the token once, and the agent's command with a token file"
            <| fun () ->
                withDatabase (fun database ->
                    let output = succeed [ "register-server"; "gpu-box-01"; "--database"; database ]

                    match output |> List.filter _.StartsWith("INGEST_TOKEN=") with
                    | [ line ] ->
                        let token = line.Substring "INGEST_TOKEN=".Length
                        Expect.isGreaterThanOrEqual token.Length 32 "a long token"
                        Expect.isTrue (token |> Seq.forall Char.IsAscii) token

                        Expect.equal (output |> List.filter _.Contains(token) |> List.length) 1 "the token stands in no other line"

                        let command = output |> List.filter _.Contains("ai-dashboard-agent")
                        Expect.isNonEmpty command "the agent's command"
                        let command = String.concat " " output
                        Expect.stringContains command "--server-slug gpu-box-01" "the slug"
                        Expect.stringContains command "--token-file" "a file for the token"
                        Expect.stringContains command "--host" "the host"
                    | lines -> failtest $"expected one token, got %A{lines}")

            testCase "register_server is the same"
            <| fun () ->
                withDatabase (fun database ->
                    Expect.isNonEmpty (tokenFrom [ "register_server"; "gpu-box-01"; "--database"; database ]) "a token")

            testCase "a second time prints no token, unless it is to be rotated"
            <| fun () ->
                withDatabase (fun database ->
                    let first = register database "gpu-box-01" []
                    let _, output, errors = run [ "register-server"; "gpu-box-01"; "--database"; database ]
                    Expect.isFalse (output @ errors |> List.exists _.Contains("INGEST_TOKEN=")) "no token"
                    let second = register database "gpu-box-01" [ "--rotate-token" ]
                    Expect.notEqual second.Token first.Token "another token")

            testCase "tokens are stored hashed"
            <| fun () ->
                withDatabase (fun database ->
                    let server = register database "gpu-box-01" []

                    for file in Directory.GetFiles(Path.GetDirectoryName database |> string) do
                        let bytes = File.ReadAllBytes file
                        Expect.equal (bytes.AsSpan().IndexOf((utf8 server.Token).AsSpan())) -1 file)

            testCase "the database is readable by its owner alone"
            <| fun () ->
                withDatabase (fun database ->
                    register database "gpu-box-01" [] |> ignore

                    let others =
                        UnixFileMode.GroupRead
                        ||| UnixFileMode.OtherRead
                        ||| UnixFileMode.GroupWrite
                        ||| UnixFileMode.OtherWrite

                    Expect.equal (File.GetUnixFileMode database &&& others) UnixFileMode.None "mode")

            for slug in [ ""; String('a', 65); "gpu box"; "gpu.box"; "größe"; "a/b"; "a\nb" ] do
                testCase $"refuses the slug %A{slug}"
                <| fun () ->
                    withDatabase (fun database ->
                        let errors = fail 2 [ "register-server"; slug; "--database"; database ]
                        Expect.isFalse (File.Exists database) "and makes no database"
                        Expect.stringContains (String.concat " " errors) "1 to 64 letters, digits, - or _" "says what a slug is")

            testCase "refuses --active with --inactive, and names an unknown option, both at once"
            <| fun () ->
                withDatabase (fun database ->
                    let errors =
                        fail
                            2
                            [
                                "register-server"
                                "gpu-box-01"
                                "--active"
                                "--inactive"
                                "--colour"
                                "red"
                                "--database"
                                database
                            ]

                    let text = String.concat "\n" errors
                    Expect.stringContains text "--colour" "the unknown option"
                    Expect.stringContains text "--inactive" "the contradiction")

            testCase "a database that cannot be made is said in a sentence"
            <| fun () ->
                let errors = fail 2 [ "register-server"; "gpu-box-01"; "--database"; "/proc/nowhere/dashboard.db" ]
                Expect.stringContains (String.concat " " errors) "/proc/nowhere" "the path"

            testCase "a file that is no database is said in a sentence, and left as it is"
            <| fun () ->
                withDatabase (fun database ->
                    File.WriteAllText(database, String('x', 5000))
                    let errors = fail 1 [ "register-server"; "gpu-box-01"; "--database"; database ]
                    Expect.stringContains (String.concat " " errors) database "the path"
                    Expect.equal (File.ReadAllText database) (String('x', 5000)) "as it was")
        ]

let private listing =
    testList
        "list-servers, remove-server"
        [
            testCase "servers are listed, with what they were registered with, and go when removed"
            <| fun () ->
                withDatabase (fun database ->
                    register database "gpu-box-01" [ "--name"; "Box One"; "--hostname"; "node-1"; "--description"; "first rack" ]
                    |> ignore

                    register database "gpu-box-02" [ "--inactive" ] |> ignore
                    let listed = succeed [ "list-servers"; "--database"; database ]
                    Expect.equal (slugsOf listed [ "gpu-box-01"; "gpu-box-02" ]) [ "gpu-box-01"; "gpu-box-02" ] "both"
                    Expect.isTrue (listed |> List.exists _.Contains("Box One")) "the name"

                    succeed [ "remove-server"; "gpu-box-01"; "--yes"; "--database"; database ]
                    |> ignore

                    let listed = succeed [ "list-servers"; "--database"; database ]
                    Expect.equal (slugsOf listed [ "gpu-box-01"; "gpu-box-02" ]) [ "gpu-box-02" ] "one")

            testCase "a server that is not there cannot be removed: exit code 1 and its name"
            <| fun () ->
                withDatabase (fun database ->
                    register database "gpu-box-01" [] |> ignore
                    let errors = fail 1 [ "remove-server"; "gpu-box-02"; "--database"; database ]
                    Expect.stringContains (String.concat " " errors) "gpu-box-02" "the slug")
        ]

let private whileServing =
    testList
        "while the dashboard serves"
        [
            testCase "a server that is registered, changed and removed is so at once"
            <| fun () ->
                withDatabase (fun database ->
                    use dashboard = new Dashboard(database, [])

                    let postNow server =
                        post dashboard.Port server (body (sample (freshInstant ())))

                    let listed () =
                        (get dashboard.Port "/api/servers/").Json |> at "servers"

                    Expect.equal ((listed ()).GetArrayLength()) 0 "an empty database"
                    let server = dashboard.Register("gpu-box-01", [ "--name"; "Box One" ])
                    Expect.equal (textAt "name" (listed ()).[0]) "Box One" "its name"
                    Expect.equal (textAt "state" (listed ()).[0]) "never" "never seen"
                    postNow server |> accepted |> ignore
                    Expect.equal (textAt "state" (listed ()).[0]) "live" "seen"

                    succeed [ "register-server"; "gpu-box-01"; "--inactive"; "--database"; database ]
                    |> ignore

                    postNow server |> refused 403 |> ignore
                    Expect.equal (textAt "state" (listed ()).[0]) "disabled" "disabled"

                    succeed [ "remove-server"; "gpu-box-01"; "--yes"; "--database"; database ]
                    |> ignore

                    postNow server |> refused 404 |> ignore
                    Expect.equal ((listed ()).GetArrayLength()) 0 "empty again"
                    Expect.equal (get dashboard.Port "/api/metrics/latest/?server=gpu-box-01").Status 404 "nothing is left"

                    // The slug is free again, with nothing of the old server.
                    let again = dashboard.Register("gpu-box-01", [])
                    Expect.equal (textAt "state" (listed ()).[0]) "never" "as new"
                    postNow server |> refused 401 |> ignore
                    postNow again |> accepted |> ignore
                    dashboard.Stop())

            testCase "a backup while it serves is a whole database, from which a dashboard serves the same"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let database = Path.Combine(directory, "dashboard.db")
                    let copy = Path.Combine(directory, "copy.db")
                    let first = freshInstant ()

                    let server =
                        use dashboard = new Dashboard(database, [])
                        let server = dashboard.Register("gpu-box-01", [])

                        for k in 0..99 do
                            post dashboard.Port server (body (sample (first.AddSeconds(float k))))
                            |> accepted
                            |> ignore

                        succeed [ "backup"; copy; "--database"; database ] |> ignore
                        // What comes later is not in it.
                        post dashboard.Port server (body (sample (first.AddSeconds 200.0)))
                        |> accepted
                        |> ignore

                        dashboard.Stop()
                        server

                    use restored = new Dashboard(copy, [])

                    let snapshot =
                        (get restored.Port "/api/metrics/latest/?server=gpu-box-01").Json
                        |> at "snapshot"

                    Expect.equal (textAt "collected_at" snapshot) (instant (first.AddSeconds 99.0)) "up to the backup"
                    let until = Uri.EscapeDataString(instant (first.AddSeconds 250.0))
                    let history = (get restored.Port $"/api/metrics/history/?server=gpu-box-01&minutes=10&to={until}").Json
                    Expect.equal ((at "time" history).GetArrayLength()) 100 "all of them"

                    post restored.Port server (body (sample (first.AddSeconds 300.0)))
                    |> accepted
                    |> ignore

                    restored.Stop())

            testCase "health asks the dashboard that serves the database, wherever that listens"
            <| fun () ->
                withDatabase (fun database ->
                    let health = [ "health"; "--database"; database ]

                    Expect.stringContains
                        (List.exactlyOne (fail 1 health))
                        $"no dashboard serves \"{database}\"; start one with ai-dashboard serve"
                        "nobody"

                    use dashboard = new Dashboard(database, [])

                    match succeed health with
                    | [ line ] -> Expect.stringStarts line "{\"ok\":true," "it is well"
                    | lines -> failtest $"%A{lines}"

                    dashboard.Stop()
                    fail 1 health |> ignore)

            testCase "a backup does not overwrite a file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let database = Path.Combine(directory, "dashboard.db")
                    let copy = Path.Combine(directory, "copy.db")
                    register database "gpu-box-01" [] |> ignore
                    File.WriteAllText(copy, "mine")
                    let errors = fail 1 [ "backup"; copy; "--database"; database ]
                    Expect.stringContains (String.concat " " errors) copy "the path"
                    Expect.equal (File.ReadAllText copy) "mine" "as it was")

            testCase "a second dashboard on the same port says so and ends"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let database = Path.Combine(directory, "dashboard.db")
                    use dashboard = new Dashboard(database, [])

                    let errors =
                        fail
                            1
                            [
                                "serve"
                                "--listen"
                                dashboard.Url
                                "--database"
                                Path.Combine(directory, "other.db")
                            ]

                    Expect.stringContains (String.concat " " errors) (string dashboard.Port) "the port"
                    dashboard.Stop())

            testCase "after a restart everything is as it was"
            <| fun () ->
                withDatabase (fun database ->
                    let first = freshInstant ()

                    let server, before =
                        use dashboard = new Dashboard(database, [])
                        let server = dashboard.Register("gpu-box-01", [])
                        post dashboard.Port server (body (sample first)) |> accepted |> ignore
                        let before = (get dashboard.Port "/api/metrics/latest/?server=gpu-box-01").Json
                        dashboard.Stop()
                        server, before

                    use dashboard = new Dashboard(database, [])
                    let after = (get dashboard.Port "/api/metrics/latest/?server=gpu-box-01").Json
                    Expect.equal (rawAt "snapshot" after) (rawAt "snapshot" before) "the newest snapshot"

                    // Its rates go on from there.
                    let next = sample (first.AddSeconds 10.0) |> set "network_rx_bytes_total" "1001000"

                    post dashboard.Port server (body next) |> accepted |> ignore

                    let snapshot =
                        (get dashboard.Port "/api/metrics/latest/?server=gpu-box-01").Json
                        |> at "snapshot"

                    Expect.equal (numberAt "network_rx_bytes_per_s" snapshot) 100.0 "its rate"
                    dashboard.Stop())
        ]

let private words =
    testList
        "the command line"
        [
            testCase "--help and --version print on standard output"
            <| fun () ->
                for word in [ "--help"; "-h" ] do
                    let output = String.concat "\n" (succeed [ word ])

                    for command in [ "serve"; "register-server"; "list-servers"; "remove-server"; "backup" ] do
                        Expect.stringContains output command word

                Expect.isTrue
                    (Text.RegularExpressions.Regex.IsMatch((succeed [ "--version" ])[0], @"^ai-dashboard \d+\.\d+\.\d+"))
                    "--version"

            testCase "no command, an unknown one, a missing slug: exit code 2"
            <| fun () ->
                for line in
                    [
                        []
                        [ "surve" ]
                        [ "register-server" ]
                        [ "remove-server" ]
                        [ "backup" ]
                        [ "serve"; "--retention-days"; "0" ]
                        [ "serve"; "--retention-days"; "many" ]
                        [ "serve"; "--listen"; "nowhere" ]
                        [ "serve"; "--listen"; "ftp://127.0.0.1" ]
                        [ "serve"; "more" ]
                    ] do
                    fail 2 line |> ignore

            testCase "no AI_DASHBOARD_ variable is read"
            <| fun () ->
                withDatabase (fun database ->
                    register database "gpu-box-01" [] |> ignore

                    let variables =
                        [
                            "AI_DASHBOARD_DATABASE", "/proc/nowhere/dashboard.db"
                            "AI_DASHBOARD_LISTEN", "nonsense"
                            "AI_DASHBOARD_RETENTION_DAYS", "-1"
                            "AI_DASHBOARD_TOKEN", "nonsense"
                        ]

                    use command = new DashboardProcess([ "list-servers"; "--database"; database ], variables)

                    Expect.equal (command.WaitForEnd patience) 0 command.Said)
        ]

let tests = testList "commands" [ registering; listing; whileServing; words ]
