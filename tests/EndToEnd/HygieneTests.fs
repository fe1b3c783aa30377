/// What the agent does with what others left to it: standard streams that are closed, links in the place of its files.
module Agent.EndToEnd.Tests.HygieneTests

open System.IO
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

/// Runs the agent behind a shell's redirections: the exit code and standard error, without what is known beforehand of this machine.
let private behind (redirections: string) (words: string list) : int * string list =
    use agent =
        new ProgramProcess("/bin/sh", [ "-c"; $"exec \"$0\" \"$@\" {redirections}"; binary.Value ] @ words, World.environment ())

    let code = agent.WaitForEnd patience
    code, agent.Errors

let tests =
    testList
        "hygiene"
        [
            // Files and connections take the first free descriptors: without care a warning goes into the spool or the connection.
            for name, redirections in
                [
                    "standard output", ">&-"
                    "standard error", "2>&-"
                    "all three standard streams", "<&- >&- 2>&-"
                ] do
                testCase $"without {name} nothing but samples reaches the spool and the webapp"
                <| fun () ->
                    World.withDirectory (fun directory ->
                        use server = new IngestServer(stored)

                        let run (url: string) =
                            let script = $"exec \"$0\" \"$@\" {redirections}"
                            let spool = [ "--once"; "--timeout"; "5"; "--spool"; directory ]

                            use agent =
                                new ProgramProcess(
                                    "/bin/sh",
                                    [ "-c"; script; binary.Value ] @ targetOf url @ spool,
                                    ("AI_DASHBOARD_TOKEN", Token) :: World.environment ()
                                )

                            agent.WaitForEnd patience

                        Expect.equal (run "http://127.0.0.1:9") 1 "nobody listens"

                        for segment in Directory.GetFiles(Path.Combine(directory, "ingest"), "*.ndjson") do
                            for line in File.ReadAllLines segment do
                                Expect.stringStarts line "{" "a record"

                        Expect.equal (run server.Url) 0 "delivered"
                        Expect.equal server.Requests.Length 2 "what was kept, and the new sample")

            for name, script in
                [
                    "ignored", "trap '' CHLD; exec \"$0\" \"$@\""
                    "blocked", "exec env --block-signal=CHLD \"$0\" \"$@\""
                ] do
                testCase $"the end of a program is seen though the agent was started with SIGCHLD {name}"
                <| fun () ->
                    World.withDirectory (fun directory ->
                        let path = withProgram directory "ipmitool" $"""cat {Fixtures.pathOf "ipmitool/supermicro.txt"}"""
                        let sysfs = Directory.CreateDirectory(Path.Combine(directory, "sys")).FullName

                        let words =
                            [
                                "--once"
                                "--dry-run"
                                "--cpu-sample-interval=0"
                                "--gpu-source=none"
                                $"--sysfs={sysfs}"
                            ]

                        use agent =
                            new ProgramProcess("/bin/sh", [ "-c"; script; binary.Value ] @ words, World.environment () @ [ path ])

                        Expect.equal (agent.WaitForEnd patience) 0 agent.Said
                        Expect.exists agent.Output (fun line -> line.Contains "FAN1") agent.Said)

            testCase "SIGTERM ends an agent that was started with every signal blocked"
            <| fun () ->
                let words =
                    [
                        "--dry-run"
                        "--interval=0.5"
                        "--cpu-sample-interval=0"
                        "--gpu-source=none"
                    ]

                use agent =
                    new ProgramProcess(
                        "/bin/sh",
                        [ "-c"; "exec env --block-signal \"$0\" \"$@\""; binary.Value ] @ words,
                        World.environment ()
                    )

                eventually patience "a sample" (fun () -> not (List.isEmpty agent.Output))
                agent.Signal 15
                Expect.equal (agent.WaitForEnd patience) 0 agent.Said

            testCase "a link in the place of the spool's directory is not followed"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let elsewhere = Directory.CreateDirectory(Path.Combine(directory, "elsewhere")).FullName
                    let spool = Directory.CreateDirectory(Path.Combine(directory, "spool")).FullName
                    File.CreateSymbolicLink(Path.Combine(spool, "ingest"), elsewhere) |> ignore
                    let _, _, errors = run (targetOf "http://127.0.0.1:9" @ [ "--once"; "--spool"; spool ])
                    Expect.isEmpty (Directory.GetFileSystemEntries elsewhere) "nothing was written there"
                    Expect.exists errors (fun line -> line.Contains "is a link or not a directory") "it is told")

            for words in
                [
                    [ "--help" ]
                    [ "--version" ]
                    [ "--once"; "--dry-run" ]
                    [ "--dry-run"; "--interval"; "0.5" ]
                    [ "--doctor"; "--dry-run"; "--json" ]
                ] do
                let command = String.concat " " words

                testCase $"{command} into a full disk fails with one sentence"
                <| fun () ->
                    let code, errors = behind ">/dev/full" words
                    Expect.equal (code, errors.Length) (1, 1) $"%A{errors}"

                    Expect.stringContains errors.Head "standard output cannot be written: No space left on device" "the reason"

                testCase $"{command} where nothing can be written fails quietly"
                <| fun () -> Expect.equal (behind ">/dev/full 2>&1" words) (1, []) "exit code alone"

            testCase "a usage error stays one when it cannot be told"
            <| fun () ->
                for redirections in [ "2>/dev/full"; "2>&-"; ">&- 2>&-" ] do
                    Expect.equal (behind redirections [ "--frobnicate" ]) (2, []) redirections

            testCase "a reader that goes away ends the program quietly"
            <| fun () ->
                let pipeline = "{ \"$0\" \"$@\"; echo \"ended with $?\" >&2; } | { read -r line; echo \"$line\"; }"

                use agent =
                    new ProgramProcess("/bin/sh", [ "-c"; pipeline; binary.Value; "--dry-run"; "--interval"; "0.5" ], World.environment ())

                Expect.equal (agent.WaitForEnd patience) 0 "it ends"
                Expect.equal agent.Output.Length 1 "the line that was read"
                Expect.equal agent.Errors [ "ended with 0" ] "nothing else is said"
        ]
