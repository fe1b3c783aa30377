/// What the dashboard says of files, addresses and bodies that cannot be used: one sentence that names them and says what to do.
module Agent.Dashboard.Tests.SentenceTests

open System
open System.IO
open System.Net
open System.Net.Sockets
open Microsoft.Data.Sqlite
open Agent.Shell
open Agent.Dashboard.Store
open Agent.TestSupport.DashboardProcess
open Expecto

/// Runs a command that has to fail with one line.
let private complaint (words: string list) : int * string =
    match run words with
    | code, [], [ line ] -> code, line
    | other -> failtest $"expected one line on standard error, got %A{other}"

[<Tests>]
let tests =
    testList
        "Sentences"
        [
            testCase "a backup into a directory that is not there"
            <| fun () ->
                use directory = new TemporaryDirectory()
                let database = directory.File "d.db"
                register database "box" [] |> ignore

                Expect.equal
                    (complaint [ "backup"; "/nonexist/x"; "--database"; database ])
                    (2, "ai-dashboard: FILE: the directory \"/nonexist\" does not exist; create it first")
                    "the sentence"

            testCase "a backup where nothing can be written names the backup, and not what it is written as at first"
            <| fun () ->
                use directory = new TemporaryDirectory()
                let database = directory.File "d.db"
                register database "box" [] |> ignore
                let code, line = complaint [ "backup"; "/proc/self/x"; "--database"; database ]
                Expect.equal code 1 "exit code"
                Expect.stringStarts line "ai-dashboard: FILE: \"/proc/self/x\" cannot be written: " "the file"
                Expect.isFalse (line.Contains ".partial") line

            testCase "a database that is none of ours, or not there, is an error of usage"
            <| fun () ->
                use directory = new TemporaryDirectory()
                let missing = directory.File "missing.db"

                for command in
                    [
                        [ "list-servers" ]
                        [ "check" ]
                        [ "remove-server"; "a"; "--yes" ]
                        [ "backup"; directory.File "b" ]
                    ] do
                    let code, line = complaint (command @ [ "--database"; missing ])
                    Expect.equal code 2 command.Head
                    Expect.stringStarts line $"ai-dashboard: --database: \"{missing}\" " command.Head

                for command in [ [ "serve" ]; [ "register-server"; "a" ]; [ "restore"; missing ] ] do
                    Expect.equal
                        (complaint (command @ [ "--database"; "/nonexist/d.db" ]))
                        (2, "ai-dashboard: --database: the directory \"/nonexist\" does not exist; create it first")
                        command.Head

            testCase "a file of secrets that is not there"
            <| fun () ->
                use directory = new TemporaryDirectory()

                for option in [ "--viewer-password-file"; "--users-file" ] do
                    let code, line = complaint [ "serve"; option; "/nonexist"; "--database"; directory.File "d.db" ]

                    Expect.equal code 2 option
                    Expect.stringContains line "\"/nonexist\"" "the file"
                    Expect.isFalse (line.Contains "Could not find") line

            testCase "an address that another program has"
            <| fun () ->
                use directory = new TemporaryDirectory()
                use other = new TcpListener(IPAddress.Loopback, 0)
                other.Start()
                let url = $"http://{other.LocalEndpoint}"

                Expect.equal
                    (complaint [ "serve"; "--listen"; url; "--database"; directory.File "d.db" ])
                    (1, $"ai-dashboard: --listen: {url}: another program listens there already; choose another port, or stop that program")
                    "the sentence"

            testCase "an address that this user may not have is told with what to do"
            <| fun () ->
                Expect.stringStarts
                    (Agent.Dashboard.Serving.Unbound(SocketException(int SocketError.AccessDenied)))
                    "this user may not listen there; "
                    "denied"

            testCase "a body that is no JSON is told where, and an empty one that it is empty"
            <| fun () ->
                use directory = new TemporaryDirectory()
                use dashboard = new Dashboard(directory.File "d.db", [])
                let server = dashboard.Register("box", [])

                let nested levels =
                    "{\"sample\":{\"fans\":[],\"x\":"
                    + String.replicate (levels - 2) "["
                    + String.replicate (levels - 2) "]"
                    + "}}"

                for body, detail in
                    [
                        "", "the body is empty"
                        "{", "it ends too early, or is wrong at line 1, byte 2"
                        "{\n  nope", "'n' is an invalid start of a property name, at line 2, byte 3"
                        nested 65, "nested deeper than 64 levels, at line 1, byte 88"
                        "{\"agent\":{}}x", "'x' is invalid after a single JSON value, at line 1, byte 13"
                        "{\"sample\":{\"cpu_load_1\":1,\"odd\":?}}", "'?' is an invalid start of a value, at line 1, byte 33"
                    ] do
                    let answer = post dashboard.Port server body
                    Expect.equal answer.Status 400 body
                    Expect.stringContains answer.Text $"\"error\":\"Body is not JSON.\",\"detail\":\"{detail}\"" "the sentence"

                let deepest = post dashboard.Port server (nested 64)
                Expect.stringContains deepest.Text "collected_at is missing" "64 levels are read"

            testCase "a database that this user may not use is told with what to do"
            <| fun () ->
                let expected =
                    "--database: \"/d.db\" cannot be used: this user may not open it or write to it and its directory; run this as the user who owns it, such as with sudo -u"

                for code in [ 3; 8; 14 ] do
                    Expect.equal
                        (Database.Sentence("/d.db", SqliteException("attempt to write a readonly database", code)))
                        expected
                        $"{code}"

                Expect.equal
                    (Database.Sentence("/d.db", UnauthorizedAccessException "Access to the path '/d.db' is denied."))
                    expected
                    "denied"

            testCase "the reasons of the file system are a few words"
            <| fun () ->
                let reasonOf (work: unit -> unit) =
                    try
                        work ()
                        "none"
                    with error ->
                        FaultReason.Of error

                let missing = "there is no such file or directory"
                Expect.equal (reasonOf (fun () -> File.ReadAllText "/nonexist" |> ignore)) missing "file"
                Expect.equal (reasonOf (fun () -> File.WriteAllText("/nonexist/x", ""))) missing "directory"
                Expect.equal (reasonOf (fun () -> File.ReadAllText "/" |> ignore)) "permission denied" "no file"
                Expect.equal (reasonOf (fun () -> File.WriteAllText("/dev/full", "x"))) "No space left on device" "full"
        ]
