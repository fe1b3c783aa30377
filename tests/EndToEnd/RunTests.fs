/// How a run begins and ends, and what it prints where.
module Agent.EndToEnd.Tests.RunTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

let private parses (text: string) =
    use document = JsonDocument.Parse text
    document.RootElement.GetProperty("sample").GetProperty("collected_at").GetString()

let private output =
    testList
        "output"
        [
            testCase "--help and --version print on stdout and exit with 0"
            <| fun () ->
                for word, expected in [ "--help", "USAGE: ai-dashboard-agent"; "-h", "USAGE: ai-dashboard-agent" ] do
                    let code, output, errors = run [ word ]
                    Expect.equal (code, errors) (0, []) word
                    Expect.stringStarts output[0] expected word

                let code, output, errors = run [ "--version" ]
                Expect.equal (code, errors) (0, []) "--version"
                Expect.isTrue (Text.RegularExpressions.Regex.IsMatch(output[0], @"^ai-dashboard-agent \d+\.\d+\.\d+")) output[0]

            testCase "configuration errors come together on stderr, with exit code 2 and no stack trace"
            <| fun () ->
                let code, output, errors =
                    runWith
                        [ "AI_DASHBOARD_TIMEOUT", "never" ]
                        [ "--interval=soon"; $"--tokn={Token}"; "--token"; Token + "\t" + Token; Token ]

                Expect.equal (code, output) (2, []) "exit code, nothing on stdout"

                Expect.equal
                    errors
                    [
                        "ai-dashboard-agent: --tokn is not an option; see ai-dashboard-agent --help"
                        "ai-dashboard-agent: command line: an argument is not an option; see ai-dashboard-agent --help"
                        "ai-dashboard-agent: --token: the token contains white space, control or non-ASCII characters"
                        "ai-dashboard-agent: --interval: \"soon\" is not a number of seconds"
                        "ai-dashboard-agent: AI_DASHBOARD_TIMEOUT: \"never\" is not a number of seconds"
                        "ai-dashboard-agent: Missing --host (or AI_DASHBOARD_HOST)"
                        "ai-dashboard-agent: Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)"
                    ]
                    "all of them"

            testCase "what an option is refused for reaches the terminal without its control characters"
            <| fun () ->
                let path = "/nowhere/\u001b[31m\u202Ered\nline"

                let code, _, errors =
                    run (
                        targetOf "https://127.0.0.1:9"
                        @ [ "--ca-file"; path; "--spool"; "relative\u001b" ]
                    )

                Expect.equal code 2 "exit code"
                Expect.isNonEmpty errors "what is wrong"

                for line in errors do
                    Expect.stringStarts line "ai-dashboard-agent: " "one line each"
                    Expect.isFalse (line |> Seq.exists (fun c -> Char.IsControl c || c = '\u202E')) $"%A{line}"

            testCase "roots that are no directories are errors, with exit code 2"
            <| fun () ->
                let code, output, errors =
                    run
                        [
                            "--dry-run"
                            "--once"
                            "--procfs=/nowhere"
                            "--sysfs=/etc/passwd"
                            "--rootfs=/no/where"
                        ]

                Expect.equal (code, output) (2, []) "exit code"

                Expect.equal
                    errors
                    [
                        "ai-dashboard-agent: --procfs: \"/nowhere\" is not a directory"
                        "ai-dashboard-agent: --sysfs: \"/etc/passwd\" is not a directory"
                        "ai-dashboard-agent: --rootfs: \"/no/where\" is not a directory"
                    ]
                    "all of them"

            testCase "a dry run with --once prints one pretty JSON and nothing else, and needs nobody named"
            <| fun () ->
                for quiet in [ []; [ "--quiet" ] ] do
                    let code, output, errors = runWith [ "AI_DASHBOARD_TOKEN", "" ] ([ "--dry-run"; "--once" ] @ quiet)
                    Expect.equal (code, errors) (0, []) "exit code"
                    Expect.equal (output[0], List.last output) ("{", "}") "pretty"
                    Expect.isNotNull (parses (String.concat "\n" output)) "JSON"

            testCase "a dry run prints one JSON a line and nothing else, until it is stopped"
            <| fun () ->
                use agent = start [ "--dry-run"; "--interval=0.5" ]
                eventually patience $"three lines; {agent.Said}" (fun () -> agent.Output.Length >= 3)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                let instants = agent.Output |> List.map (parses >> string)
                Expect.equal instants (instants |> List.distinct |> List.sort) "each line a later sample"
                Expect.equal agent.Errors [] "stderr"

            testCase "a dry run sends nothing and never prints the token"
            <| fun () ->
                use server = new IngestServer(stored)
                let variables = [ "AI_DASHBOARD_DRY_RUN", "yes"; "AI_DASHBOARD_ONCE", "on" ]
                let code, output, _ = runWith variables (targetOf server.Url)
                Expect.equal code 0 "exit code"
                Expect.equal server.Requests [] "no request"
                Expect.isFalse ((String.concat "" output).Contains Token) "no token"

            testCase "--quiet leaves stdout empty, and only an explicit level silences the faults"
            <| fun () ->
                use server = new IngestServer(inTurn [ stored; refused 401 "Invalid ingest token." ])
                let words = targetOf server.Url @ [ "--once"; "--quiet" ]
                Expect.equal (run words) (0, [], []) "delivered"
                let code, output, errors = run words
                Expect.equal (code, output, errors.Length) (1, [], 1) "refused"
                Expect.equal (run (words @ [ "--log-level=ERROR" ])) (1, [], []) "silent"

            testCase "the token is printed at no level"
            <| fun () ->
                for level in [ "DEBUG"; "INFO"; "WARNING"; "ERROR"; "CRITICAL" ] do
                    use server = new IngestServer(refused 401 $"Invalid ingest token.")
                    // Disposing of the agent looks for the token.
                    let code, _, _ = run (targetOf server.Url @ [ "--once"; "--log-level"; level ])
                    Expect.equal code 1 level

            testCase "the seam of the tests is warned about, and checked"
            <| fun () ->
                let run scale =
                    runWith [ "AI_DASHBOARD_TEST_TIME_SCALE", scale ] [ "--dry-run"; "--once" ]

                let code, _, errors = run "20"
                Expect.equal (code, errors.Length) (0, 1) "one line"

                Expect.stringEnds errors[0] " WARNING AI_DASHBOARD_TEST_TIME_SCALE is set: every duration is divided by 20" "the warning"

                for bad in [ "0"; "-1"; "1001"; "fast"; "1.5" ] do
                    let code, output, errors = run bad
                    Expect.equal (code, output) (2, []) bad

                    Expect.equal
                        errors
                        [
                            "ai-dashboard-agent: AI_DASHBOARD_TEST_TIME_SCALE is not a whole number from 1 to 1000"
                        ]
                        bad

            testCase "a token on the command line is taken, and warned about"
            <| fun () ->
                use server = new IngestServer(stored)
                let words = targetOf server.Url @ [ "--once"; "--token"; Token ]
                let code, _, errors = runWith [ "AI_DASHBOARD_TOKEN", "another" ] words
                Expect.equal (code, errors.Length) (0, 1) "one line"

                Expect.stringContains
                    errors[0]
                    " WARNING --token: everybody on this machine can see the token with ps; use --token-file or AI_DASHBOARD_TOKEN"
                    "the warning"

                Expect.equal (server.Requests[0].Header "X-Monitoring-Token") Token "the flag beats the variable"

            testCase "a token in a file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = Path.Combine(directory, "token")
                    File.WriteAllText(path, Token + "\n")
                    File.SetUnixFileMode(path, UnixFileMode.UserRead)
                    use server = new IngestServer(stored)
                    let words = targetOf server.Url @ [ "--once"; "--token-file"; path ]
                    let code, _, errors = runWith [ "AI_DASHBOARD_TOKEN", "" ] words
                    Expect.equal (code, errors) (0, []) "delivered"
                    Expect.equal (server.Requests[0].Header "X-Monitoring-Token") Token "without the line end")

            testCase "a full disk behind stdout and stderr does not end the agent"
            <| fun () ->
                use server = new IngestServer(stored)

                use shell =
                    match
                        Process.Start(
                            ProcessStartInfo(
                                "/bin/sh",
                                [ "-c"; "exec \"$0\" \"$@\" >/dev/full 2>&1"; binary.Value ]
                                @ targetOf server.Url
                                @ [ "--interval=0.5"; "--token"; Token ]
                            )
                        )
                    with
                    | null -> failtest "sh does not start"
                    | shell -> shell

                try
                    eventually patience "three requests" (fun () -> server.Requests.Length >= 3)
                    Expect.isFalse shell.HasExited "it lives"
                finally
                    shell.Kill()
                    shell.WaitForExit()
        ]

let private stops =
    testList
        "stops"
        [
            for signal, name in [ SigTerm, "SIGTERM"; SigInt, "SIGINT"; SigQuit, "SIGQUIT"; SigHup, "SIGHUP" ] do
                testCase $"{name} while idle ends it well under a second"
                <| fun () ->
                    use server = new IngestServer(stored)
                    use agent = start (targetOf server.Url @ [ "--interval=60" ])
                    eventually patience $"the result; {agent.Said}" (fun () -> agent.Output.Length = 2)
                    let watch = Stopwatch.StartNew()
                    agent.Signal signal
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                    Expect.isLessThan watch.Elapsed.TotalSeconds 0.8 "well under a second"
                    Expect.equal (List.last agent.Output) "Agent stopped." "the last line"
                    Expect.equal agent.Errors [] "nothing to complain"

            testCase "a SIGHUP that is ignored from the start ends nothing"
            <| fun () ->
                use server = new IngestServer(stored)

                use shell =
                    new ProgramProcess(
                        "/bin/sh",
                        [ "-c"; "trap '' HUP; exec \"$@\""; "sh"; binary.Value ]
                        @ targetOf server.Url
                        @ [ "--interval=60" ],
                        World.environment () @ [ "AI_DASHBOARD_TOKEN", Token ]
                    )

                eventually patience $"the result; {shell.Said}" (fun () -> shell.Output.Length = 2)
                shell.Signal SigHup
                Thread.Sleep 300
                Expect.isFalse shell.HasEnded "it lives"
                shell.Signal SigTerm
                Expect.equal (shell.WaitForEnd patience) 0 "exit code"

            testCase "SIGTERM lets the request in flight finish"
            <| fun () ->
                use server = new IngestServer(after (TimeSpan.FromSeconds 1.0) stored)
                use agent = start (targetOf server.Url @ [ "--interval=60" ])
                eventually patience $"the request; {agent.Said}" (fun () -> server.Requests.Length = 1)
                agent.Signal SigTerm
                Thread.Sleep 300
                Expect.isFalse agent.HasEnded "it waits for the answer"
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                Expect.equal agent.Output.Tail [ receiptLine server.Requests[0]; "Agent stopped." ] "the result, then the end"
                Expect.equal agent.Errors [] "nothing is left"

            testCase "SIGTERM waits for a request no longer than the time-out"
            <| fun () ->
                use server = new IngestServer(blackHole)
                use agent = start (targetOf server.Url @ [ "--interval=60"; "--timeout=1" ])
                eventually patience $"the request; {agent.Said}" (fun () -> server.Requests.Length = 1)
                let watch = Stopwatch.StartNew()
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                Expect.isLessThan watch.Elapsed.TotalSeconds 2.0 "about a second"
                Expect.equal (List.last agent.Output) "Agent stopped." "the last line"
                Expect.isTrue (agent.Errors |> List.exists _.Contains("1 lost that were held in memory only")) "what is lost is told"

            testCase "a second signal breaks the request off at once"
            <| fun () ->
                use server = new IngestServer(blackHole)
                use agent = start (targetOf server.Url @ [ "--interval=60"; "--timeout=60" ])
                eventually patience $"the request; {agent.Said}" (fun () -> server.Requests.Length = 1)
                agent.Signal SigTerm
                Thread.Sleep 300
                Expect.isFalse agent.HasEnded "it waits for the answer"
                let watch = Stopwatch.StartNew()
                agent.Signal SigInt
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                Expect.isLessThan watch.Elapsed.TotalSeconds 0.8 "at once"
                Expect.equal (List.last agent.Output) "Agent stopped." "the last line"

            testCase "--once that is interrupted exits with 1"
            <| fun () ->
                use server = new IngestServer(blackHole)
                use agent = start (targetOf server.Url @ [ "--once"; "--timeout=60" ])
                eventually patience $"the request; {agent.Said}" (fun () -> server.Requests.Length = 1)
                agent.Signal SigTerm
                Thread.Sleep 200
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 1 "exit code"

            testCase "--once whose request still finishes in good order exits with 0"
            <| fun () ->
                use server = new IngestServer(after (TimeSpan.FromSeconds 0.6) stored)
                use agent = start (targetOf server.Url @ [ "--once" ])
                eventually patience $"the request; {agent.Said}" (fun () -> server.Requests.Length = 1)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "it was accepted"

            testCase "SIGTERM while the first sample waits for a slow source ends it well under a second"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = withProgram directory "nvidia-smi" "exec sleep 20"
                    use server = new IngestServer(stored)
                    use agent = startWith [ path ] (targetOf server.Url)
                    eventually patience $"the line at start; {agent.Said}" (fun () -> agent.Output.Length = 1)
                    Thread.Sleep 400
                    let watch = Stopwatch.StartNew()
                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                    Expect.isLessThan watch.Elapsed.TotalSeconds 0.8 "well under a second"
                    Expect.equal (List.last agent.Output) "Agent stopped." "the last line")
        ]

let tests = testList "runs" [ output; stops ]
