/// Everything that can go wrong between the agent and the webapp.
module Agent.EndToEnd.Tests.FailureTests

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Sockets
open System.Threading
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

/// A port of the loopback on which nothing listens.
let private freePort () : int =
    use listener = new TcpListener(IPAddress.Loopback, 0)
    listener.Start()
    (listener.LocalEndpoint :?> IPEndPoint).Port

/// One attempt that fails: exit code 1, and one line on standard error that ends with the reason.
let private fails (reply: Reply) (words: string list) (expected: string -> string) =
    use server = new IngestServer(reply)
    let code, output, errors = run (targetOf server.Url @ [ "--once" ] @ words)
    Expect.equal code 1 "exit code"
    Expect.equal output.Length 1 "the line at start alone"

    match errors with
    | [ line ] -> Expect.stringEnds line (" WARNING not delivered: " + expected server.Authority) "the reason"
    | lines -> failtest $"expected one line, got %A{lines}"

    let attempts = server.Requests |> List.filter (fun request -> request.Method = "POST")
    Expect.isLessThanOrEqual attempts.Length 1 "one attempt"

let private notTheWebapp = "HTTP 200, but not the webapp's JSON: something else answers at this address"

let private once =
    [
        "wrong token", refused 401 "Invalid ingest token.", "HTTP 401: Invalid ingest token."
        "disabled server", refused 403 "Server is disabled.", "HTTP 403: Server is disabled."
        "unknown slug, as HTML", page 404, "HTTP 404"
        "bad sample", refused 400 "Ingest failed: x", "HTTP 400: Ingest failed: x"
        "server error", page 500, "HTTP 500"
        "200 of a captive portal", page 200, notTheWebapp
        "200 that is not ok", refused 200 "Busy.", "HTTP 200: Busy."
    ]

/// The answers' own tests: one attempt each.
let private attempts =
    testList
        "one attempt"
        [
            for name, reply, expected in once do
                testCase name <| fun () -> fails reply [] (fun _ -> expected)

            testCase "accepted"
            <| fun () ->
                use server = new IngestServer(stored)
                let code, output, errors = run (targetOf server.Url @ [ "--once" ])
                Expect.equal (code, errors) (0, []) "exit code, nothing to complain"
                Expect.equal server.Requests.Length 1 "one request"
                Expect.equal output.Length 2 "the line at start, and the result"
                Expect.equal output[1] (receiptLine server.Requests[0]) "the result"

            testCase "nothing listens"
            <| fun () ->
                let port = freePort ()
                let code, _, errors = run (targetOf $"http://127.0.0.1:{port}" @ [ "--once" ])
                Expect.equal code 1 "exit code"

                match errors with
                | [ line ] -> Expect.stringEnds line $" WARNING not delivered: 127.0.0.1:{port} refuses the connection" "the reason"
                | lines -> failtest $"expected one line, got %A{lines}"

            testCase "the connection is closed without an answer"
            <| fun () ->
                use server = new IngestServer(hangUp)
                let code, _, errors = run (targetOf server.Url @ [ "--once" ])
                Expect.equal code 1 "exit code"

                match errors with
                | [ line ] -> Expect.stringContains line " WARNING not delivered: the connection broke: " "the reason"
                | lines -> failtest $"expected one line, got %A{lines}"

            testCase "an answer that is no HTTP"
            <| fun () ->
                use listener = new TcpListener(IPAddress.Loopback, 0)
                listener.Start()
                let port = (listener.LocalEndpoint :?> IPEndPoint).Port

                let serve =
                    Thread(
                        (fun () ->
                            try
                                use client = listener.AcceptTcpClient()
                                client.GetStream().Write(ReadOnlySpan("SSH-2.0-OpenSSH_9.2\r\n\r\n"B))
                                Thread.Sleep 500
                            with :? SocketException ->
                                ()),
                        IsBackground = true
                    )

                serve.Start()
                let code, _, errors = run (targetOf $"http://127.0.0.1:{port}" @ [ "--once" ])
                Expect.equal code 1 "exit code"

                match errors with
                | [ line ] ->
                    Expect.stringContains line " WARNING not delivered: the answer cannot be read: it is not HTTP/1.1" "the reason"
                | lines -> failtest $"expected one line, got %A{lines}"

            for name, reply in [ "no answer", blackHole; "an answer that drips", drip ] do
                testCase $"{name}: the time-out holds for the whole request"
                <| fun () ->
                    use server = new IngestServer(reply)
                    use agent = start (targetOf server.Url @ [ "--once"; "--timeout=1" ])
                    eventually patience $"the request; {agent.Said}" (fun () -> server.Requests.Length = 1)
                    let watch = Stopwatch.StartNew()
                    Expect.equal (agent.WaitForEnd patience) 1 "exit code"
                    Expect.isLessThan watch.Elapsed.TotalSeconds 2.5 "about one second"
                    Expect.isGreaterThan watch.Elapsed.TotalSeconds 0.5 "not at once"

                    match agent.Errors with
                    | [ line ] -> Expect.stringEnds line " WARNING not delivered: no complete answer within 1 s" "the reason"
                    | lines -> failtest $"expected one line, got %A{lines}"

            testCase "a redirect is not followed, and its target is named"
            <| fun () ->
                for status in [ 301; 302; 307; 308 ] do
                    use other = new IngestServer(stored)
                    let target = other.Url + "/api/ingest/servers/gpu-box-01/metrics/"

                    fails (redirect status target) [] (fun _ ->
                        $"HTTP {status}: redirected to {target}; redirects are not followed, correct --host")

                    Expect.equal other.Requests [] "the token never reaches the target"
        ]

let private residentKilobytes (pid: int) : int64 =
    File.ReadAllLines $"/proc/{pid}/status"
    |> Array.find _.StartsWith("VmRSS:")
    |> fun line -> Int64.Parse(line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1])

/// A server that answers with far more than anybody should read, and counts what the client let through.
type private Flood() as this =
    let listener = new TcpListener(IPAddress.Loopback, 0)
    let sent = ConcurrentQueue<int64>()

    do
        listener.Start()
        Thread(this.Serve, IsBackground = true).Start()

    static member Length = 64L * 1024L * 1024L

    member _.Url = $"http://127.0.0.1:{(listener.LocalEndpoint :?> IPEndPoint).Port}"

    /// The bytes of each answer that ended, all of them or up to where the client broke off.
    member _.Sent: int64 list = List.ofSeq sent

    member private _.Answer(client: TcpClient) =
        use stream = client.GetStream()
        let piece = Array.create 65536 (byte 'x')
        stream.Read(piece, 0, piece.Length) |> ignore
        Array.fill piece 0 piece.Length (byte 'x')

        let head =
            $"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: {Flood.Length}\r\n\r\n"
            + "{\"ok\": false, \"error\": \""

        let mutable written = 0L

        try
            try
                stream.Write(ReadOnlySpan(Text.Encoding.ASCII.GetBytes head))

                while written < Flood.Length do
                    stream.Write(ReadOnlySpan piece)
                    written <- written + int64 piece.Length
            with :? IOException ->
                ()
        finally
            sent.Enqueue written

    member private this.Serve() =
        try
            while true do
                use client = listener.AcceptTcpClient()
                this.Answer client
        with
        | :? SocketException
        | :? ObjectDisposedException -> ()

    interface IDisposable with
        member _.Dispose() = listener.Dispose()

let private courses =
    testList
        "longer courses"
        [
            testCase "of an endless answer little is read, and memory does not grow"
            <| fun () ->
                use server = new Flood()

                // An attempt every 10 to 50 ms.
                use agent =
                    startWith
                        [ "AI_DASHBOARD_TEST_TIME_SCALE", "50" ]
                        (targetOf server.Url @ [ "--interval=5"; "--timeout=600"; "--quiet" ])

                eventually patience $"a warm agent; {agent.Said}" (fun () -> server.Sent.Length >= 4)
                let before = residentKilobytes agent.Id
                eventually patience $"more requests; {agent.Said}" (fun () -> server.Sent.Length >= 12)
                let grown = residentKilobytes agent.Id - before
                Expect.isLessThan grown (10L * 1024L) "KiB"

                // What the client never reads still fits the buffers of the two sockets: a few megabytes.
                Expect.all server.Sent (fun sent -> sent < Flood.Length / 2L) $"the client broke off: %A{server.Sent}"

            testCase "an outage told by the webapp delays the samples, which arrive in order and complete"
            <| fun () ->
                let busy = withHeader "Retry-After" "4" (page 503)
                use server = new IngestServer(inTurn [ stored; busy; busy; busy; stored ])

                // Every duration is divided by eight: 0.5 s from sample to sample, and 0.5 s of Retry-After.
                use agent =
                    startWith [ "AI_DASHBOARD_TEST_TIME_SCALE", "8" ] (targetOf server.Url @ [ "--interval=4"; "--timeout=80" ])

                eventually patience $"twelve requests; {agent.Said}" (fun () -> server.Requests.Length >= 12)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                let requests = server.Requests
                let second = requests[1].CollectedAt
                Expect.equal (requests[1..4] |> List.map _.CollectedAt) [ second; second; second; second ] "the same one again"

                let delivered =
                    requests
                    |> List.filter (fun request -> request.Number = 0 || request.Number >= 4)

                let instants = delivered |> List.map (fun request -> DateTimeOffset.Parse request.CollectedAt)
                Grid.isKept (TimeSpan.FromSeconds 0.5) agent instants
                Expect.equal (agent.Output |> List.filter _.Contains("| cpu=")) (delivered |> List.map receiptLine) "a line each"

                match agent.Errors |> List.filter _.Contains("not delivered") with
                | [ first; atTheEnd ] ->
                    Expect.stringContains first "not delivered: HTTP 503; " "reason"
                    Expect.stringEnds first " held, next attempt in 4.0 s" "consequence"
                    Expect.stringContains atTheEnd "not delivered: HTTP 503 (2 times in the last " "the others, when it is over"
                | lines -> failtest $"expected two lines, got %A{lines}"

            testCase "a webapp that comes up late gets everything from the first sample on"
            <| fun () ->
                let port = freePort ()

                use agent =
                    startWith
                        [ "AI_DASHBOARD_TEST_TIME_SCALE", "8" ]
                        (targetOf $"http://127.0.0.1:{port}" @ [ "--interval=4"; "--timeout=80" ])

                agent.WaitForError "refuses the connection"
                Thread.Sleep 1500
                use server = new IngestServer(stored, port, false)
                eventually patience $"requests; {agent.Said}" (fun () -> server.Requests.Length >= 6)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"

                server.Requests
                |> List.map (fun request -> DateTimeOffset.Parse request.CollectedAt)
                |> Grid.isKept (TimeSpan.FromSeconds 0.5) agent

            testCase "while it is refused the agent holds everything, probes, and says what it holds at the end"
            <| fun () ->
                use server = new IngestServer(refused 401 "Invalid ingest token.")

                // A probe every 30 s / 40.
                use agent =
                    startWith
                        [ "AI_DASHBOARD_TEST_TIME_SCALE", "40" ]
                        (targetOf server.Url @ [ "--interval=10"; "--timeout=400"; "--log-level=debug" ])

                eventually patience $"three probes; {agent.Said}" (fun () -> server.Requests.Length >= 3)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                Expect.equal (server.Requests |> List.map _.CollectedAt |> List.distinct |> List.length) 1 "with the oldest sample"

                let gaps =
                    server.Requests
                    |> List.map _.At
                    |> List.pairwise
                    |> List.map (fun (one, next) -> (next - one).TotalSeconds)

                Expect.all gaps (fun gap -> gap > 0.65 && gap < 4.0) $"30 s / 40 apart: %A{gaps}"
                let said = agent.Errors |> List.filter _.Contains("not delivered")

                Expect.isTrue
                    (Text.RegularExpressions.Regex.IsMatch(
                        said[0],
                        @" WARNING not delivered: HTTP 401: Invalid ingest token; \d+ held, next attempt in 30\.0 s$"
                    ))
                    said[0]

                Expect.isTrue
                    ((List.last said).Contains "lost that were held in memory only, 0 refused by the webapp, 0 dropped")
                    "at the end"
        ]

let tests = testList "failures" [ attempts; courses ]
