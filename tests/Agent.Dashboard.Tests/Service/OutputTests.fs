/// What the dashboard does when what it has to say cannot be written: a full disk, streams that are closed, a reader that has gone.
module Agent.Dashboard.Tests.OutputTests

open System.IO
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Bodies
open Expecto

/// The dashboard behind a shell's redirections.
let private redirected (redirections: string) (words: string list) =
    new ProgramProcess("/bin/sh", [ "-c"; $"exec \"$0\" \"$@\" {redirections}"; binary.Value ] @ words, World.environment ())

let private unwritten = "ai-dashboard: standard output cannot be written: No space left on device"

/// A sample of now.
let private newest () : string =
    body (sample System.DateTimeOffset.UtcNow)

/// Runs it to its end: the exit code and what standard output and error had.
let private run (redirections: string) (words: string list) : int * string list * string list =
    use command = redirected redirections words
    let code = command.WaitForEnd patience
    code, command.Output, command.AllErrors

[<Tests>]
let tests =
    testList
        "Output"
        [
            for words in [ [ "--help" ]; [ "--version" ]; [ "serve"; "--help" ] ] do
                let command = String.concat " " words

                testCase $"{command} into a full disk fails with one sentence"
                <| fun () -> Expect.equal (run ">/dev/full" words) (1, [], [ unwritten ]) "exit code and sentence"

                testCase $"{command} where nothing can be written fails quietly"
                <| fun () -> Expect.equal (run ">/dev/full 2>&1" words) (1, [], []) "exit code alone"

                testCase $"{command} with closed streams ends in good order"
                <| fun () ->
                    for redirections in [ ">&-"; "<&- >&- 2>&-" ] do
                        Expect.equal (run redirections words) (0, [], []) redirections

            testCase "a usage error stays one when it cannot be told"
            <| fun () ->
                for redirections in [ "2>/dev/full"; "2>&-"; ">&- 2>&-" ] do
                    Expect.equal (run redirections [ "--frobnicate" ]) (2, [], []) redirections

            testCase "a failure stays one when it cannot be told"
            <| fun () ->
                use directory = new TemporaryDirectory()
                let database = directory.File "d.db"
                register database "box" [] |> ignore

                for redirections in [ "2>/dev/full"; "2>&-" ] do
                    Expect.equal (run redirections [ "backup"; "/proc/self/x"; "--database"; database ]) (1, [], []) redirections

            testCase "a token that cannot be printed is told to be lost, and the advice helps"
            <| fun () ->
                use directory = new TemporaryDirectory()
                let words = [ "register-server"; "box"; "--database"; directory.File "d.db" ]

                let lost =
                    "box is registered, but the token could not be printed; register-server box --rotate-token makes a new one"

                Expect.equal (run ">/dev/full" words) (1, [], [ $"{unwritten}: {lost}" ]) "a full disk"

                // The shell of the reader ends at once.
                let code, _, errors =
                    use command =
                        new ProgramProcess(
                            "/bin/sh",
                            [
                                "-c"
                                "{ sleep 1; \"$0\" \"$@\"; echo \"ended with $?\" >&2; } | true"
                                binary.Value
                            ]
                            @ words
                            @ [ "--rotate-token" ],
                            World.environment ()
                        )

                    command.WaitForEnd patience, command.Output, command.AllErrors

                Expect.equal (code, errors) (0, [ $"ai-dashboard: {lost}"; "ended with 1" ]) "nobody reads"
                Expect.isNonEmpty (tokenFrom (words @ [ "--rotate-token" ])) "a new one"

            testCase "a list that cannot be printed is a failure"
            <| fun () ->
                use directory = new TemporaryDirectory()
                let database = directory.File "d.db"
                register database "box" [] |> ignore

                for words in [ [ "list-servers" ]; [ "check" ]; [ "backup"; directory.Path ] ] do
                    Expect.equal (run ">/dev/full" (words @ [ "--database"; database ])) (1, [], [ unwritten ]) words.Head

            for name, redirections in [ "a full disk", ">/dev/full 2>&1"; "closed streams", "<&- >&- 2>&-" ] do
                testCase $"with {name} behind its streams it serves, and complains, and lives"
                <| fun () ->
                    use directory = new TemporaryDirectory()
                    let database = directory.File "d.db"
                    let server = register database "box" []

                    // Where it listens is in the lock file, as it cannot say.
                    use serving =
                        redirected redirections [ "serve"; "--database"; database; "--listen"; "http://127.0.0.1:0" ]

                    let address () =
                        match Agent.Shell.PrivateFiles.LockedText(database + ".lock") with
                        | null -> None
                        | text -> text.Split '\n' |> Array.tryFind _.StartsWith("http://")

                    eventually patience "it listens" (fun () -> (address ()).IsSome)
                    let port = System.Uri(address().Value).Port
                    // Rows that nobody can write are what its writer complains about.
                    Expect.equal (post port server (newest ())).Status 200 "stored"
                    File.Move(database, database + ".gone")
                    eventually patience "it fails" (fun () -> (post port server (newest ())).Status = 503)
                    File.Move(database + ".gone", database)
                    eventually patience "it stores again" (fun () -> (post port server (newest ())).Status = 200)
                    serving.Signal SigHup
                    Expect.equal (serving.WaitForEnd patience) 0 "it ends in good order, as a terminal that closes ends it"
        ]
