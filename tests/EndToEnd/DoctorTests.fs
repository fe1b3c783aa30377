/// `--doctor`, run by the real agent against a real server.
module Agent.EndToEnd.Tests.DoctorTests

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Net
open System.Net.Sockets
open System.Text.Json
open System.Threading.Tasks
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// One entry of the JSON.
type private Check =
    {
        Verdict: string
        Cause: string
        Finding: string
        Fix: string
    }

let private textOf (element: JsonElement) (name: string) : string =
    match element.GetProperty(name).GetString() with
    | null -> ""
    | text -> text

/// The checks in their order, from standard output that has to be one JSON object.
let private parsed (output: string list) : (string * Check) list =
    use document = JsonDocument.Parse(String.concat "\n" output)

    [
        for entry in document.RootElement.GetProperty("checks").EnumerateArray() ->
            textOf entry "check",
            {
                Verdict = textOf entry "verdict"
                Cause = textOf entry "cause"
                Finding = textOf entry "finding"
                Fix = textOf entry "fix"
            }
    ]

let private diagnosed (words: string list) : int * (string * Check) list =
    let code, output, errors = run (words @ [ "--doctor"; "--json" ])
    Expect.equal errors [] "nothing on standard error"
    let checks = parsed output
    let isBad = checks |> List.exists (fun (_, check) -> check.Verdict = "error")
    Expect.equal code (if isBad then 1 else 0) "1 if anything is wrong, else 0"
    code, checks

let private verdictOf (name: string) (checks: (string * Check) list) : string * string =
    match checks |> List.tryFind (fst >> (=) name) with
    | Some(_, check) -> check.Verdict, check.Cause
    | None -> failtest $"no check {name}"

/// What a server that answers so is diagnosed as.
let private ingestOf (reply: Reply) (words: string list) : string * string =
    use server = new IngestServer(reply)
    diagnosed (targetOf server.Url @ words) |> snd |> verdictOf "ingest"

/// A GET is answered with a status of its own.
let private forGet (status: int) (allow: string) (reply: Reply) : Reply =
    fun request context ->
        if request.Method = "GET" then
            context.Response.StatusCode <- status

            if allow <> "" then
                context.Response.Headers.Allow <- allow

            Task.CompletedTask
        else
            reply request context

let private dated (offset: TimeSpan) (reply: Reply) : Reply =
    fun request context ->
        let date = (DateTimeOffset.UtcNow + offset).ToString("r", CultureInfo.InvariantCulture)
        withHeader "Date" date reply request context

let private answers =
    [
        "all is well", stored, ("ok", "")
        "wrong token", refused 401 "Invalid ingest token.", ("error", "token-refused")
        "disabled server", refused 403 "Server is disabled.", ("error", "server-disabled")
        "unknown slug", forGet 405 "POST" (page 404), ("error", "slug-unknown")
        "wrong prefix", page 404, ("error", "route-missing")
        "captive portal", page 200, ("error", "foreign-service")
        "redirect", redirect 301 "https://elsewhere/", ("error", "redirected")
        "failing server", page 500, ("error", "server-failing")
        "proxy without a webapp", page 502, ("error", "gateway-failing")
        "refused sample", refused 400 "Ingest failed: x", ("error", "sample-refused")
        "too many requests", page 429, ("error", "too-many-requests")
        "broken connection", hangUp, ("error", "connection-broken")
    ]

let private freePort () : int =
    use listener = new TcpListener(IPAddress.Loopback, 0)
    listener.Start()
    (listener.LocalEndpoint :?> IPEndPoint).Port

/// The local checks, which are made whatever becomes of the way to the webapp.
let private localChecks =
    [
        "CPU times"
        "memory"
        "load averages"
        "disk counters"
        "network counters"
        "process count"
        "GPUs"
        "jobs"
        "disks"
        "interfaces"
        "spool"
        "container"
    ]

let private expectLocal (checks: (string * Check) list) =
    for name in localChecks do
        verdictOf name checks |> ignore

[<Tests>]
let tests =
    testList
        "Doctor"
        [
            for name, reply, expected in answers do
                testCase name <| fun () -> Expect.equal (ingestOf reply []) expected "ingest"

            testCase "all is well: every step of the way, and one whole sample"
            <| fun () ->
                use server = new IngestServer(stored)
                let _, checks = diagnosed (targetOf server.Url)

                for name in [ "host"; "server slug"; "DNS"; "TCP"; "ingest"; "clock" ] do
                    Expect.equal (verdictOf name checks) ("ok", "") name

                Expect.equal (verdictOf "token" checks) ("ok", "") "token"
                expectLocal checks

                match server.Requests with
                | [ request ] ->
                    Expect.equal request.Method "POST" "method"
                    Expect.equal (request.Header "X-Monitoring-Token") Token "token"
                    Expect.isTrue (request.CollectedAt.EndsWith "+00:00") "a sample"
                | requests -> failtest $"expected one request, got {requests.Length}"

            testCase "a token that ps shows is worth a look"
            <| fun () ->
                let _, checks =
                    diagnosed
                        [
                            "--dry-run"
                            "--host"
                            "http://127.0.0.1:1"
                            "--server-slug"
                            "a"
                            "--token"
                            "b"
                        ]

                Expect.equal (verdictOf "token" checks) ("warning", "token-exposed") "token"

            testCase "the question after a 404 carries no token"
            <| fun () ->
                use server = new IngestServer(page 404)
                diagnosed (targetOf server.Url) |> ignore

                match server.Requests with
                | [ _; question ] ->
                    Expect.equal question.Method "GET" "method"

                    Expect.isFalse
                        (question.Headers
                         |> List.exists (fun (name, _) -> name.Equals("X-Monitoring-Token", StringComparison.OrdinalIgnoreCase)))
                        "no token"
                | requests -> failtest $"expected two requests, got {requests.Length}"

            testCase "nothing listens"
            <| fun () ->
                let _, checks = diagnosed (targetOf $"http://127.0.0.1:{freePort ()}")
                Expect.equal (verdictOf "TCP" checks) ("error", "connection-refused") "TCP"
                Expect.equal (verdictOf "ingest" checks) ("warning", "not-checked") "ingest"
                expectLocal checks

            testCase "the name does not resolve"
            <| fun () ->
                let _, checks = diagnosed (targetOf "http://no-such-host.invalid")
                Expect.equal (verdictOf "DNS" checks) ("error", "name-unresolved") "DNS"
                Expect.equal (verdictOf "TCP" checks) ("warning", "not-checked") "TCP"

            testCase "a black hole takes no longer than its limit"
            <| fun () ->
                let watch = Stopwatch.StartNew()
                Expect.equal (ingestOf blackHole []) ("error", "timed-out") "ingest"
                Expect.isLessThan watch.Elapsed (TimeSpan.FromSeconds 15.0) "bounded"

            testCase "a black hole behind https"
            <| fun () ->
                // The kernel accepts for a listener that never does.
                use listener = new TcpListener(IPAddress.Loopback, 0)
                listener.Start()
                let port = (listener.LocalEndpoint :?> IPEndPoint).Port
                let watch = Stopwatch.StartNew()
                let _, checks = diagnosed (targetOf $"https://127.0.0.1:{port}" @ [ "--timeout"; "1" ])
                Expect.equal (verdictOf "TCP" checks) ("ok", "") "TCP"
                Expect.equal (fst (verdictOf "TLS" checks)) "error" "TLS"
                Expect.equal (fst (verdictOf "ingest" checks)) "error" "ingest"
                Expect.isLessThan watch.Elapsed (TimeSpan.FromSeconds 15.0) "bounded"

            testCase "a certificate that nobody trusts"
            <| fun () ->
                use server = new IngestServer(stored, 0, true)
                let url = server.Url.Replace("127.0.0.1", "localhost")
                let _, checks = diagnosed (targetOf url)
                Expect.equal (verdictOf "TLS" checks) ("error", "issuer-unknown") "TLS"
                let _, checks = diagnosed (targetOf url @ [ "--insecure" ])
                Expect.equal (verdictOf "TLS" checks) ("ok", "") "TLS that nobody verifies"
                Expect.equal (verdictOf "ingest" checks) ("ok", "") "ingest"

            testCase "a clock that is a minute off is worth a look, one that is an hour off is wrong"
            <| fun () ->
                let clockOf offset =
                    use server = new IngestServer(dated offset stored)
                    diagnosed (targetOf server.Url) |> snd |> verdictOf "clock"

                Expect.equal (clockOf (TimeSpan.FromMinutes 1.0)) ("warning", "clock-skewed") "a minute"
                Expect.equal (clockOf (TimeSpan.FromHours -1.0)) ("error", "clock-skewed") "an hour"

            testCase "nothing given, in an empty environment: missing ones are rows, the local checks run"
            <| fun () ->
                use agent = startBare [] [ "--doctor"; "--json" ]
                let code = agent.WaitForEnd patience
                let checks = parsed agent.Output
                Expect.equal (code, agent.Errors) (1, []) "exit code, nothing on standard error"
                Expect.equal (verdictOf "host" checks) ("error", "host-missing") "host"
                Expect.equal (verdictOf "server slug" checks) ("error", "slug-missing") "slug"
                Expect.equal (verdictOf "token" checks) ("error", "token-missing") "token"
                Expect.equal (verdictOf "CPU times" checks) ("ok", "") "CPU times"
                expectLocal checks

            testCase "a token file with two words, and one that is not there"
            <| fun () ->
                World.withDirectory
                <| fun directory ->
                    let file = Path.Combine(directory, "token")
                    File.WriteAllText(file, "two words")

                    let tokenRow path =
                        diagnosed [ "--host"; "http://127.0.0.1:1"; "--server-slug"; "a"; "--token-file"; path ]
                        |> snd
                        |> verdictOf "token"

                    Expect.equal (tokenRow file) ("error", "token-malformed") "two words"
                    Expect.equal (tokenRow (file + "x")) ("error", "token-unreadable") "not there"

            testCase "the table says what the JSON says"
            <| fun () ->
                use server = new IngestServer(refused 401 "Invalid ingest token.")
                let words = targetOf server.Url
                let _, checks = diagnosed words
                let code, output, errors = run (words @ [ "--doctor" ])
                Expect.equal (code, errors) (1, []) "exit code, nothing on standard error"

                let rows =
                    output
                    |> List.filter (fun line -> line.Length > 2 && "✓!✗".Contains line[0] && line[1] = ' ')

                let marks =
                    checks
                    |> List.map (fun (_, check) ->
                        match check.Verdict with
                        | "ok" -> '✓'
                        | "warning" -> '!'
                        | _ -> '✗')

                Expect.equal (rows |> List.map (fun line -> line[0])) marks "marks"

                for line, (name, _) in List.zip rows checks do
                    Expect.stringStarts (line.Substring 2) (name + " ") "check"

                for name, check in checks do
                    if check.Fix <> "" then
                        Expect.isTrue (output |> List.exists (fun line -> line.Trim() = "→ " + check.Fix)) $"the fix of {name}"

            testCase "--dry-run sends nothing"
            <| fun () ->
                use server = new IngestServer(stored)
                let code, checks = diagnosed (targetOf server.Url @ [ "--dry-run" ])
                Expect.equal code 0 "exit code"
                Expect.equal (verdictOf "TCP" checks) ("ok", "") "TCP"
                Expect.equal (verdictOf "ingest" checks) ("warning", "left-out") "ingest"
                Expect.equal server.Requests [] "requests"

            testCase "a GPU reader that hangs, and one that fails"
            <| fun () ->
                World.withDirectory
                <| fun directory ->
                    let device = Path.Combine(directory, "sys/bus/pci/devices/0000:01:00.0")
                    Directory.CreateDirectory device |> ignore
                    File.WriteAllText(Path.Combine(device, "vendor"), "0x10de\n")
                    File.WriteAllText(Path.Combine(device, "class"), "0x030200\n")

                    let gpusWith script =
                        let path = withProgram directory "nvidia-smi" script
                        let words = [ "--doctor"; "--json"; "--dry-run"; "--sysfs"; Path.Combine(directory, "sys") ]
                        let code, output, _ = runWith [ path ] words
                        Expect.equal code 1 "exit code"
                        parsed output |> verdictOf "GPUs"

                    Expect.equal (gpusWith "exec sleep 60") ("error", "gpu-reader-hanging") "hanging"
                    // The machine of this test has a device and no driver, and that is why nvidia-smi fails.
                    Expect.equal (gpusWith "echo no driver; exit 9") ("error", "gpu-driver-missing") "failing"

            testCase "jobs: none, because there are no GPUs; of a GPU's user all for root, less for anybody else; and one that is not there"
            <| fun () ->
                let jobs (output: string list) =
                    parsed output |> List.find (fst >> (=) "jobs") |> snd

                let _, output, _ = run [ "--doctor"; "--json"; "--dry-run"; "--gpu-source=none" ]
                Expect.equal (jobs output).Finding "none, because there are no GPUs" "without GPUs"

                let busy (pid: int) =
                    (machineOf "" 1).Replace("process 4711 ", $"process {pid} ")

                withMachine (busy Environment.ProcessId) (fun machine ->
                    let words =
                        [
                            "--doctor"
                            "--json"
                            "--dry-run"
                            "--gpu-source=nvml"
                            "--nvml-library"
                            machine.Library
                        ]

                    let _, output, _ = run words
                    let asRoot = jobs output
                    Expect.equal (asRoot.Verdict, asRoot.Cause) ("ok", "") asRoot.Finding
                    Expect.stringStarts asRoot.Finding "1 process uses GPUs; control groups of version " "what there is"
                    Expect.stringContains asRoot.Finding "io, environ can be read" "what root reads"

                    World.openFolder machine.Directory |> ignore

                    use nobody =
                        new ProgramProcess(
                            "/usr/bin/setpriv",
                            [
                                "--reuid=65534"
                                "--regid=65534"
                                "--clear-groups"
                                World.forAnyUser binary.Value
                            ]
                            @ words,
                            World.environment ()
                        )

                    nobody.WaitForEnd patience |> ignore

                    if nobody.Errors |> List.exists _.StartsWith("setpriv:") then
                        Skip.because "setpriv needs root"

                    let asNobody = jobs nobody.Output
                    Expect.equal (asNobody.Verdict, asNobody.Cause) ("warning", "jobs-in-part") asNobody.Finding
                    Expect.stringContains asNobody.Finding "io, environ cannot" "what nobody may read"
                    Expect.stringContains asNobody.Fix "jobs.conf" "what to do"

                    // With nobody at the GPUs, what could be read of somebody is said.
                    machine.Play((machineOf "" 1).Replace("process 4711 ", "# "))
                    let _, output, _ = run words
                    let idle = jobs output
                    Expect.equal (idle.Verdict, idle.Cause) ("ok", "") idle.Finding
                    Expect.stringStarts idle.Finding "no process uses the GPUs now; control groups" "nobody"

                    // The number of no process, for the kernel gives none so high.
                    machine.Play(busy 4_194_305)
                    let _, output, _ = run words
                    let hidden = jobs output
                    Expect.equal (hidden.Verdict, hidden.Cause) ("warning", "jobs-hidden") hidden.Finding)

            testCase "disks that are not there, with those that are"
            <| fun () ->
                let _, checks = diagnosed [ "--dry-run"; "--disks"; "nvme99n1" ]
                Expect.equal (verdictOf "disks" checks) ("error", "disks-unmatched") "disks"

            testCase "a spool that is a file, one that is in use, and one with a backlog"
            <| fun () ->
                World.withDirectory
                <| fun directory ->
                    let spoolOf path =
                        diagnosed [ "--dry-run"; "--spool"; path ] |> snd |> verdictOf "spool"

                    let file = Path.Combine(directory, "file")
                    File.WriteAllText(file, "")
                    Expect.equal (spoolOf file) ("error", "spool-unusable") "a file"

                    let spool = Path.Combine(directory, "spool")
                    Expect.equal (fst (spoolOf spool)) "ok" "to be made"
                    Expect.isFalse (Directory.Exists spool) "and not made by the diagnosis"

                    let stream = Directory.CreateDirectory(Path.Combine(spool, "ingest")).FullName
                    File.WriteAllText(Path.Combine(stream, "000000000001.v1.ndjson"), "{}\n")
                    Expect.equal (spoolOf spool) ("warning", "spool-backlog") "a backlog"
                    Expect.equal (Directory.GetFiles stream).Length 1 "nothing is left behind"

                    use _ =
                        new FileStream(Path.Combine(stream, "lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None)

                    Expect.equal (spoolOf spool) ("warning", "spool-in-use") "in use"
        ]

/// The advice that a running agent gave, without the time and the level.
let private advice (errors: string list) : string list =
    errors
    |> List.choose (fun line ->
        match line.IndexOf " WARNING advice: " with
        | -1 -> None
        | at -> Some(line.Substring(at + " WARNING advice: ".Length)))

/// An agent for which time runs a hundred times as fast.
let private startFast (words: string list) =
    startWith [ "AI_DASHBOARD_TEST_TIME_SCALE", "100" ] (words @ [ "--timeout"; "500" ])

[<Tests>]
let adviserTests =
    testList
        "Adviser"
        [
            testCase "advice is given for each cause, and not at each attempt"
            <| fun () ->
                let token = refused 401 "Invalid ingest token."
                let replies = [ token; token; page 500; token; stored; token; token; stored ]
                use server = new IngestServer(inTurn replies)
                use agent = startFast (targetOf server.Url)
                eventually patience agent.Said (fun () -> server.Requests.Length > replies.Length)
                agent.Signal SigTerm
                agent.WaitForEnd patience |> ignore

                let given = advice agent.AllErrors |> List.map (fun line -> line.Substring(0, 24))
                Expect.equal (List.distinct given) [ "The webapp refuses the t"; "The webapp reports an in" ] "advice"
                // The same one comes once a minute at most, however often the cause changes; a minute of this agent is short.
                Expect.isLessThanOrEqual given.Length 4 $"%A{given}"

            for name, options in
                [
                    "the webapp", targetOf "http://monitoring.example"
                    "remote-write", [ "--remote-write=http://monitoring.example/api/v1/write" ]
                    "otlp", [ "--otlp=http://monitoring.example" ]
                ] do
                testCase $"a proxy that is not there on the way to {name} is what the advice is about, in the run and in the doctor"
                <| fun () ->
                    let port = freePort ()

                    let environment =
                        [
                            "http_proxy", $"http://127.0.0.1:{port}"
                            if options.Length = 1 then
                                "AI_DASHBOARD_TOKEN", ""
                        ]

                    use agent = startWith environment (options @ [ "--interval=0.5" ])
                    let proxy = $"the proxy 127.0.0.1:{port} refuses the connection"

                    eventually patience agent.Said (fun () ->
                        advice agent.AllErrors
                        |> List.exists (fun line ->
                            line.Contains "The proxy that HTTP_PROXY or HTTPS_PROXY names cannot be reached."
                            && line.Contains proxy))

                    agent.Signal SigTerm
                    agent.WaitForEnd patience |> ignore
                    let _, output, _ = runWith environment (options @ [ "--doctor"; "--json" ])

                    Expect.exists
                        (parsed output)
                        (fun (_, check) ->
                            check.Cause = "proxy-unreachable"
                            && check.Finding.Contains "refuses the connection")
                        "the doctor"

            testCase "a 404 that lasts is asked about once"
            <| fun () ->
                use server = new IngestServer(forGet 405 "POST" (page 404))
                use agent = startFast (targetOf server.Url)

                let count name =
                    server.Requests
                    |> List.filter (fun request -> request.Method = name)
                    |> List.length

                eventually patience agent.Said (fun () -> count "POST" > 3)
                agent.Signal SigTerm
                agent.WaitForEnd patience |> ignore
                Expect.equal (count "GET") 1 "questions"

                match advice agent.AllErrors with
                | [ line ] -> Expect.stringStarts line "The webapp answers, but it has no server with this slug." "advice"
                | lines -> failtest $"expected one line, got %A{lines}"

            testCase "a clock that differs is told once, with how much, while samples are delivered"
            <| fun () ->
                use server = new IngestServer(dated (TimeSpan.FromMinutes -10.0) stored)
                use agent = startFast (targetOf server.Url)
                eventually patience agent.Said (fun () -> server.Requests.Length > 3)
                agent.Signal SigTerm
                agent.WaitForEnd patience |> ignore

                match advice agent.AllErrors with
                | [ line ] ->
                    Expect.stringStarts line "This machine's clock and the webapp's differ." "advice"
                    Expect.stringContains line " s ahead of the webapp's." "how much"
                | lines -> failtest $"expected one line, got %A{lines}"
        ]
