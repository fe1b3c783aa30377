/// Machines that register themselves with an enrolment key: the real agent and the real dashboard, and requests by hand.
module Agent.Dashboard.Tests.EnrolTests

open System
open System.IO
open System.Text
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

let private addKey (database: string) (name: string) (options: string list) : string =
    match run ([ "enrol-keys"; "add"; name; "--database"; database ] @ options) with
    | 0, output, [] -> valueOf "ENROL_KEY" output
    | failed -> failtest $"%A{failed}"

/// Runs an agent that no variable gives a token: exit code and everything that it said.
let private runAgent (words: string list) : int * string =
    use agent = AgentProcess.startBare (World.environment ()) words
    let code = agent.WaitForEnd patience
    code, String.concat "\n" (agent.Output @ agent.AllErrors)

/// A machine with its own root, state directory and key file.
type private Machine(place: TemporaryDirectory, name: string, id: string) =
    let root = Directory.CreateDirectory(place.File $"{name}-root").FullName

    do
        Directory.CreateDirectory(Path.Combine(root, "etc")) |> ignore
        File.WriteAllText(Path.Combine(root, "etc", "machine-id"), id + "\n")

    member _.State = place.File $"{name}-state"

    /// Runs the agent once: exit code and everything that it said.
    member this.Once(url: string, keyFile: string, options: string list) : int * string =
        runAgent (
            [
                "--once"
                "--host"
                url
                "--enrol-key-file"
                keyFile
                "--spool"
                this.State
                "--hostname"
                name
                "--rootfs"
                root
                "--gpu-source"
                "none"
            ]
            @ options
        )

let private keyFile (place: TemporaryDirectory) (key: string) : string =
    let path = place.File "enrol-key"
    File.WriteAllText(path, key + "\n")
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
    path

let private enrol (port: int) (body: string) : Response =
    let bytes = Encoding.UTF8.GetBytes body

    exchange
        port
        (request
            "POST /api/enrol/ HTTP/1.1"
            [
                "Host", $"127.0.0.1:{port}"
                "Content-Type", "application/json"
                "Content-Length", string bytes.Length
                "Connection", "close"
            ]
            bytes)

let private asks (key: string) (name: string) =
    $"{{\"key\":\"{key}\",\"machine_id\":\"\",\"hostname\":\"{name}\"}}"

let private servers (dashboard: Dashboard) : string =
    match run [ "list-servers"; "--database"; dashboard.Database ] with
    | 0, output, _ -> String.concat "\n" output
    | failed -> failtest $"%A{failed}"

let private withKey (options: string list) (test: TemporaryDirectory -> Dashboard -> string -> unit) =
    use place = new TemporaryDirectory()
    let database = place.File "dashboard.db"
    use dashboard = new Dashboard(database, [])
    let key = addKey database "fleet" options
    dashboard.Process.Secrets <- key :: dashboard.Process.Secrets
    test place dashboard key

[<Tests>]
let tests =
    testList
        "Enrolment"
        [
            testCase "a machine with a key gets its slug and token once, keeps them, and sends its labels"
            <| fun () ->
                withKey [ "--labels"; "room=3,team=vision" ] (fun place dashboard key ->
                    let machine = Machine(place, "gpu-box-07", String('a', 32))
                    let file = keyFile place key
                    let code, said = machine.Once(dashboard.Url, file, [ "--label"; "team=speech" ])
                    Expect.equal code 0 said
                    Expect.stringContains said "as gpu-box-07" "it says who it is"
                    Expect.isFalse (said.Contains key) "the key is not shown"
                    dashboard.Process.WaitForError "enrolled: \"gpu-box-07\" from 127.0.0.1: key fleet"
                    let shown = (get dashboard.Port "/api/metrics/latest/?server=gpu-box-07").Json
                    Expect.equal (textAt "server.agent.labels.room" shown) "3" "the key's label"
                    Expect.equal (textAt "server.agent.labels.team" shown) "speech" "its own takes precedence"

                    // Without the key: what it got is kept.
                    File.Delete file
                    let code, said = machine.Once(dashboard.Url, file, [])
                    Expect.equal code 0 said

                    let lines =
                        dashboard.Process.AllErrors
                        |> List.filter _.StartsWith("ai-dashboard: enrolled")

                    Expect.equal lines.Length 1 "once"

                    for name in [ "enrolment.token"; "enrolment.v1" ] do
                        let mode = File.GetUnixFileMode(Path.Combine(machine.State, name))
                        Expect.equal mode (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) name)

            testCase "a machine that lost its state becomes itself again, and its old token ends"
            <| fun () ->
                withKey [] (fun place dashboard key ->
                    let machine = Machine(place, "gpu-box-08", String('b', 32))
                    let file = keyFile place key
                    let code, said = machine.Once(dashboard.Url, file, [])
                    Expect.equal code 0 said
                    let token = File.ReadAllText(Path.Combine(machine.State, "enrolment.token"))
                    Directory.Delete(machine.State, true)
                    let code, said = machine.Once(dashboard.Url, file, [])
                    Expect.equal code 0 said
                    Expect.equal (servers(dashboard).Split('\n').Length) 1 "one server"
                    dashboard.Process.WaitForError "enrolled again, with a new token: \"gpu-box-08\""

                    let old = post dashboard.Port { Slug = "gpu-box-08"; Token = token } "{}"

                    Expect.equal old.Status 401 "the old token")

            testCase "a wrong, expired or removed key is refused in one sentence, and noted"
            <| fun () ->
                withKey [] (fun place dashboard key ->
                    let machine = Machine(place, "gpu-box-09", String('c', 32))
                    let code, said = machine.Once(dashboard.Url, keyFile place "made-up", [])
                    Expect.equal code 1 said
                    Expect.stringContains said "enrol-keys list" said
                    dashboard.Process.WaitForError "enrolment refused: \"gpu-box-09\" from 127.0.0.1: the key is unknown or expired"
                    let old = addKey dashboard.Database "old" [ "--expires"; "2020-01-31" ]
                    Expect.equal (enrol dashboard.Port (asks old "x")).Status 401 "expired"

                    let listed =
                        match run [ "enrol-keys"; "list"; "--database"; dashboard.Database ] with
                        | 0, output, [] -> String.concat "\n" output
                        | failed -> failtest $"%A{failed}"

                    Expect.stringContains listed "EXPIRED 2020-01-31 00:00 UTC" listed
                    Expect.equal (enrol dashboard.Port (asks key "first")).Status 200 "still good"

                    match run [ "enrol-keys"; "remove"; "fleet"; "--database"; dashboard.Database ] with
                    | 0, _, [] -> ()
                    | failed -> failtest $"%A{failed}"

                    Expect.equal (enrol dashboard.Port (asks key "second")).Status 401 "removed")

            testCase "a server that was registered by hand is nobody's to take"
            <| fun () ->
                withKey [] (fun _ dashboard key ->
                    dashboard.Register("gpu-box-10", [ "--hostname"; "gpu-box-10" ]) |> ignore
                    let answer = enrol dashboard.Port (asks key "gpu-box-10")
                    Expect.equal answer.Status 200 answer.Text
                    Expect.equal (textAt "server_slug" answer.Json) "gpu-box-10-2" "another one")

            testCase "what is not an enrolment is refused, and too many wait"
            <| fun () ->
                withKey [] (fun _ dashboard key ->
                    let port = dashboard.Port
                    Expect.equal (enrol port "{").Status 400 "not JSON"
                    Expect.equal (enrol port (asks key (String('n', 300)))).Status 400 "too long a name"
                    Expect.equal (enrol port (asks (String('k', 5000)) "x")).Status 413 "too large"
                    Expect.equal (get port "/api/enrol/").Status 405 "GET"

                    let statuses = [ for _ in 1..120 -> enrol port (asks "guess" "x") ]
                    let refused = statuses |> List.filter (fun answer -> answer.Status = 429)
                    Expect.isNonEmpty refused "some wait"

                    Expect.isTrue
                        (refused |> List.forall (fun answer -> (answer.Header "retry-after").IsSome))
                        "they are told for how long")

            testCase "a key goes into a file once, with which machines enrol, and a setup that runs again changes nothing"
            <| fun () ->
                withKey [] (fun place dashboard _ ->
                    let add name file =
                        run
                            [
                                "enrol-keys"
                                "add"
                                name
                                "--key-file"
                                place.File file
                                "--database"
                                dashboard.Database
                            ]

                    let path = place.File "key"

                    match add "setup" "key" with
                    | 0, [ line ], [] -> Expect.stringStarts line $"Added setup, with its key in \"{path}\"; expires " "it says so"
                    | failed -> failtest $"%A{failed}"

                    let key = File.ReadAllText path
                    Expect.equal (File.GetUnixFileMode path) (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) "the owner's"
                    Expect.equal (enrol dashboard.Port (asks (key.Trim()) "first")).Status 200 "it is good"

                    match add "setup" "key" with
                    | 0, [ line ], [] -> Expect.stringStarts line "setup exists already" "again"
                    | failed -> failtest $"%A{failed}"

                    Expect.equal (File.ReadAllText path) key "the file stays"

                    match add "other" "key" with
                    | 1, [], [ line ] ->
                        Expect.stringContains line "does not contain the key \"other\" of this database" "another key's file"
                    | failed -> failtest $"%A{failed}"

                    match add "lost" "not-there/key" with
                    | 1, [], [ line ] -> Expect.stringContains line "cannot be written, there is no such file or directory" "no directory"
                    | failed -> failtest $"%A{failed}"

                    match add "lost" "lost" with
                    | 0, _, [] -> ()
                    | failed -> failtest $"a key that nobody knows is not kept: %A{failed}")

            testCase "--doctor says that the machine has not enrolled yet"
            <| fun () ->
                withKey [] (fun place dashboard key ->
                    let _, said =
                        runAgent
                            [
                                "--doctor"
                                "--host"
                                dashboard.Url
                                "--enrol-key-file"
                                keyFile place key
                                "--spool"
                                place.File "state"
                                "--gpu-source"
                                "none"
                            ]

                    Expect.stringContains said "has not enrolled yet" "the row")
        ]
