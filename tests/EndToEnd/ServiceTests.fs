/// The agent as a service of systemd: what it tells the manager, what it writes to the journal.
module Agent.EndToEnd.Tests.ServiceTests

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.TestSupport.Notifications
open Expecto

[<DllImport("libc", EntryPoint = "mkfifo", SetLastError = true)>]
extern int private makeFifo(string path, uint mode)

[<DllImport("libc", SetLastError = true)>]
extern int private rename(string before, string after)

/// A pipe: whoever opens it to read waits until somebody writes.
let private pipeIn (directory: string) : string =
    let path = Path.Combine(directory, "pipe")
    Expect.equal (makeFifo (path, 0o600u)) 0 "mkfifo"
    path

/// Makes the path lead somewhere else, from one instant to the next.
let private redirectTo (target: string) (path: string) : unit =
    let link = path + ".new"
    File.CreateSymbolicLink(link, target) |> ignore
    Expect.equal (rename (link, path)) 0 "rename"

/// Lets the reader of a pipe go. Opened for both, it does not itself wait for one.
let private openAndClose (pipe: string) : unit =
    use _ = File.OpenHandle(pipe, FileMode.Open, FileAccess.ReadWrite)
    ()

/// A manager's socket and the variables that name it.
let private withManager (watchdog: int) (test: string -> NotifySocket -> (string * string) list -> unit) : unit =
    World.withDirectory (fun directory ->
        let path = Path.Combine(directory, "notify")
        use socket = new NotifySocket(path)
        test directory socket [ "NOTIFY_SOCKET", path; "WATCHDOG_USEC", string watchdog ])

/// A copy of a machine's /proc that a test may change.
let private copyOfProc (directory: string) : string =
    let target = Path.Combine(directory, "proc")
    let source = Fixtures.pathOf "vm-2core-6.18/first/proc"

    for file in Directory.GetFiles(source, "*", SearchOption.AllDirectories) do
        let path = Path.Combine(target, Path.GetRelativePath(source, file))
        Directory.CreateDirectory(string (Path.GetDirectoryName path)) |> ignore
        File.Copy(file, path)

    target

let private manager =
    testList
        "manager"
        [
            testCase "READY, STATUS, WATCHDOG and STOPPING in this order, and exit code 0"
            <| fun () ->
                withManager 1_000_000 (fun _ socket variables ->
                    use server = new IngestServer(stored)
                    use agent = startWith variables (targetOf server.Url @ [ "--interval=0.5" ])
                    eventually patience $"four beats; {agent.Said}" (fun () -> socket.Count "WATCHDOG=1" >= 4)

                    eventually patience "a delivery" (fun () ->
                        socket.States
                        |> List.exists (fun state -> state.StartsWith "last delivery 20" && state.EndsWith " UTC, 0 waiting"))

                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                    eventually patience "the end" (fun () -> socket.Count "STOPPING=1" = 1)
                    let messages = socket.Messages
                    Expect.equal messages[0] "READY=1" "first"
                    Expect.equal messages[1] "STATUS=nothing delivered yet, 0 waiting" "second"
                    Expect.equal (List.last messages) "STOPPING=1" "last"
                    Expect.equal (socket.Count "READY=1") 1 "ready once"
                    Expect.equal agent.Errors [] "nothing to complain")

            testCase "an outage and its end are told at once"
            <| fun () ->
                withManager 60_000_000 (fun _ socket variables ->
                    let mutable broken = true

                    use server =
                        new IngestServer(fun request context ->
                            (if Volatile.Read &broken then refused 503 "busy" else stored) request context)

                    use agent = startWith variables (targetOf server.Url @ [ "--interval=0.5" ])

                    eventually patience $"the outage; {agent.Said}" (fun () ->
                        socket.States |> List.exists _.EndsWith("not delivered: HTTP 503: busy"))

                    Volatile.Write(&broken, false)

                    eventually patience $"the end of it; {agent.Said}" (fun () ->
                        match List.tryLast socket.States with
                        | Some state -> state.StartsWith "last delivery" && not (state.Contains "not delivered")
                        | None -> false))

            testCase "not READY before a sample was taken"
            <| fun () ->
                withManager 60_000_000 (fun directory socket variables ->
                    let proc = copyOfProc directory
                    let stat = Path.Combine(proc, "stat")
                    let pipe = pipeIn directory
                    redirectTo pipe stat
                    use _ = startWith variables [ "--dry-run"; $"--procfs={proc}" ]
                    Thread.Sleep 1500
                    Expect.equal socket.Messages [] "it still reads"
                    redirectTo (Path.Combine(proc, "cpuinfo")) stat
                    openAndClose pipe
                    eventually patience "ready" (fun () -> socket.Count "READY=1" = 1))

            testCase "the watchdog is not fed while sampling is stuck, and again afterwards"
            <| fun () ->
                withManager 1_000_000 (fun directory socket variables ->
                    let proc = copyOfProc directory
                    let pressure = Path.Combine(proc, "pressure", "cpu")
                    // A directory cannot be read, and what cannot be read is opened anew for each sample.
                    redirectTo directory pressure
                    let pipe = pipeIn directory
                    use agent = startWith variables [ "--dry-run"; "--interval=0.5"; $"--procfs={proc}" ]
                    eventually patience $"two beats; {agent.Said}" (fun () -> socket.Count "WATCHDOG=1" >= 2)
                    redirectTo pipe pressure
                    let mutable seen = -1

                    eventually patience "it is stuck" (fun () ->
                        let before = seen
                        seen <- agent.Output.Length
                        Thread.Sleep 1500
                        before = agent.Output.Length)

                    let fed = socket.Count "WATCHDOG=1"
                    let samples = agent.Output.Length
                    Thread.Sleep 2500
                    Expect.equal (socket.Count "WATCHDOG=1") fed "five beats fell out"
                    Expect.equal agent.Output.Length samples "no sample either"
                    Expect.isFalse agent.HasEnded "it lives"
                    redirectTo directory pressure
                    openAndClose pipe
                    eventually patience "samples" (fun () -> agent.Output.Length > samples + 1)
                    eventually patience "beats" (fun () -> socket.Count "WATCHDOG=1" > fed + 1))

            testCase "an interval longer than the watchdog's time is no reason to starve it"
            <| fun () ->
                withManager 1_000_000 (fun _ socket variables ->
                    use server = new IngestServer(stored)
                    use agent = startWith variables (targetOf server.Url @ [ "--interval=3600" ])
                    eventually patience $"six beats; {agent.Said}" (fun () -> socket.Count "WATCHDOG=1" >= 6)
                    Expect.equal server.Requests.Length 1 "one sample")

            testCase "programs that the agent starts are told nothing of its manager"
            <| fun () ->
                withManager 60_000_000 (fun directory socket variables ->
                    let seen = Path.Combine(directory, "seen")
                    let path = withProgram directory "nvidia-smi" $"env >{seen}.new; mv {seen}.new {seen}; exit 1"

                    let secrets =
                        [
                            "WATCHDOG_PID", "1"
                            "CREDENTIALS_DIRECTORY", directory
                            "AI_DASHBOARD_LABEL", "a=b"
                            "KEPT", "yes"
                        ]

                    use agent = startWith (path :: variables @ secrets) [ "--dry-run"; "--interval=60" ]
                    eventually patience $"nvidia-smi; {agent.Said}" (fun () -> File.Exists seen)
                    eventually patience "ready" (fun () -> socket.Count "READY=1" = 1)

                    let names = File.ReadAllLines seen |> Array.map (fun line -> line.Split('=')[0]) |> set

                    Expect.isTrue (names.Contains "KEPT") "the others"

                    for name in
                        [
                            "NOTIFY_SOCKET"
                            "WATCHDOG_USEC"
                            "WATCHDOG_PID"
                            "CREDENTIALS_DIRECTORY"
                            "AI_DASHBOARD_LABEL"
                        ] do
                        Expect.isFalse (names.Contains name) name)

            testCase "a manager that is not there is no reason to complain"
            <| fun () ->
                let code, _, errors =
                    runWith [ "NOTIFY_SOCKET", "/run/agent-tests/nobody"; "WATCHDOG_USEC", "1000000" ] [ "--dry-run"; "--once" ]

                Expect.equal (code, errors) (0, []) "silent"
        ]

/// Standard error of an agent with JOURNAL_STREAM as the shell's expression says, and its exit code.
let private errorsUnder (stream: string) (words: string list) : int * string list =
    let script = $"export JOURNAL_STREAM={stream}; exec \"$0\" \"$@\""

    let start =
        ProcessStartInfo("/bin/sh", [ "-c"; script; binary.Value ] @ words, RedirectStandardError = true, RedirectStandardOutput = true)

    start.Environment["AI_DASHBOARD_TOKEN"] <- Token

    use shell =
        match Process.Start start with
        | null -> failtest "sh does not start"
        | shell -> shell

    shell.OutputDataReceived.Add ignore
    shell.BeginOutputReadLine()
    let errors = shell.StandardError.ReadToEnd()
    shell.WaitForExit()
    shell.ExitCode, errors.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

let private journal =
    testList
        "journal"
        [
            testCase "lines to the journal carry a priority and no time stamp"
            <| fun () ->
                use server = new IngestServer(refused 401 "Invalid ingest token.")
                let once = targetOf server.Url @ [ "--once" ]
                let device = "$(stat --dereference --format=%d:%i /proc/self/fd/2)"
                let code, errors = errorsUnder device once
                Expect.equal code 1 "exit code"
                Expect.all errors (fun line -> line.StartsWith "<4>") $"%A{errors}"
                Expect.contains errors "<4>not delivered: HTTP 401: Invalid ingest token." "the refusal"

                let code, errors = errorsUnder device [ "--interval=soon" ]
                Expect.equal code 2 "exit code"
                Expect.all errors (fun line -> line.StartsWith "<3>ai-dashboard-agent: ") $"%A{errors}"

            testCase "another stream's number, or none, leaves the lines as they are"
            <| fun () ->
                use server = new IngestServer(refused 401 "Invalid ingest token.")

                for stream in [ "8:12345"; "''"; "garbage" ] do
                    let _, errors = errorsUnder stream (targetOf server.Url @ [ "--once" ])

                    Expect.all
                        errors
                        (fun line -> Text.RegularExpressions.Regex.IsMatch(line, @"^\d{4}-\d\d-\d\dT[\d:]+Z WARNING "))
                        $"%A{errors}"

            testCase "an outage is told at once, then once a minute with the number, and at its end"
            <| fun () ->
                let mutable broken = true

                use server =
                    new IngestServer(fun request context ->
                        (if Volatile.Read &broken then
                             withHeader "Retry-After" "1" (refused 429 $"request {request.Number}")
                         else
                             stored)
                            request
                            context)

                // A minute lasts 1.5 seconds; there is an attempt in each 25 ms, which may take 10 s on a busy machine.
                use agent =
                    startWith [ "AI_DASHBOARD_TEST_TIME_SCALE", "40" ] (targetOf server.Url @ [ "--interval=20"; "--timeout=400" ])

                let about () =
                    agent.Errors |> List.filter _.Contains("not delivered: HTTP 429")

                eventually patience $"two summaries; {agent.Said}" (fun () -> about().Length >= 3)
                let attempts = server.Requests.Length
                let lines = about ()
                Expect.stringEnds lines[0] " held, next attempt in 1.0 s" "without a number of times"
                Expect.isGreaterThan attempts (4 * lines.Length) $"many attempts, few lines: {agent.Said}"
                Expect.stringContains lines[0] "not delivered: HTTP 429: request 0; " "the first as it is"

                // On a busy machine an attempt may end otherwise in between, which sums up what came before it.
                for line in lines.Tail do
                    Expect.isTrue
                        (Text.RegularExpressions.Regex.IsMatch(line, @"\(\d+ times in the last (minute|\d+ minutes|\d+ s)\)$"))
                        line

                Thread.Sleep 300
                Volatile.Write(&broken, false)
                eventually patience $"a delivery; {agent.Said}" (fun () -> agent.Output.Length > 2)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"

                Expect.isTrue
                    (Text.RegularExpressions.Regex.IsMatch(List.last (about ()), @"request \d+ \(\d+ times in the last \d+ s\)$"))
                    $"the rest at the end: {agent.Said}"
        ]

let tests = testList "service" [ manager; journal ]
