/// The table of faults: for each what the agent prints, that no sample is lost, and that it recovers by itself.
module Agent.EndToEnd.Tests.FaultTests

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.Globalization
open System.IO
open System.IO.Compression
open System.Net
open System.Net.Sockets
open System.Security.Cryptography.X509Certificates
open System.Text
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.TestSupport.Certificates
open Agent.EndToEnd.Tests.TlsServers
open Agent.EndToEnd.Tests.IngestServer
open Expecto

/// Every duration of the agent is divided by this: samples come 0.5 s apart, probes 0.75 s, the time-out is 1 s.
let private scale = "AI_DASHBOARD_TEST_TIME_SCALE", "40"

// Without a CPU window, whose opening may be late as well, and is told in the same words as a sample.
let private words =
    [
        "--interval=20"
        "--timeout=40"
        "--cpu-sample-interval=0"
        "--log-level=debug"
    ]

/// A webapp whose answers a test can change, and what it accepted.
type private Webapp(fault: Reply) =
    let accepted = ConcurrentQueue<string>()
    let mutable reply = fault

    /// Stores the sample.
    member _.Store: Reply =
        fun request context ->
            accepted.Enqueue request.CollectedAt
            stored request context

    /// Answers as it is told to.
    member _.Reply: Reply = fun request context -> reply request context

    /// From now on it stores samples.
    member this.Mend() = reply <- this.Store

    /// `collected_at` of all samples that it stored.
    member _.Accepted: string list = List.ofSeq accepted

let private report = obj ()

/// What a run has shown goes into a table beside the other results.
let private note (name: string) (printed: string) (delivered: int) (recovery: TimeSpan) =
    let directory = Path.Combine(Fixtures.root, "artifacts", "test-results")

    lock report (fun () ->
        Directory.CreateDirectory directory |> ignore
        let seconds = recovery.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture)
        let row = $"| {name} | {printed} | 0 of {delivered} | {seconds} s |\n"
        File.AppendAllText(Path.Combine(directory, "faults.md"), row))

/// Every sample of the grid, once and in order.
let private isComplete (agent: AgentProcess) (accepted: string list) =
    accepted
    |> List.map DateTimeOffset.Parse
    |> Grid.isKept (TimeSpan.FromSeconds 0.5) agent

/// Waits until the agent complains, leaves it in its trouble for a second, mends the cause, waits until all is well
/// again, and looks at what arrived.
let private recovers name (webapp: Webapp) (agent: AgentProcess) (complaint: string) (mend: unit -> unit) =
    let isComplaint (line: string) =
        line.Contains("not delivered: " + complaint, StringComparison.Ordinal)

    eventually patience $"\"{complaint}\"; {agent.Said}" (fun () -> agent.Errors |> List.exists isComplaint)
    let complained = DateTimeOffset.UtcNow
    Thread.Sleep 1000
    Expect.equal webapp.Accepted [] "nothing has arrived"
    mend ()
    let watch = Stopwatch.StartNew()
    eventually patience $"a delivery; {agent.Said}" (fun () -> webapp.Accepted.Length >= 1)
    let recovery = watch.Elapsed
    // A probe, or the longest wait of the back-off, and the time that a request takes on a busy machine.
    Expect.isLessThan recovery.TotalSeconds 20.0 "it recovers by itself"
    eventually patience $"the backlog; {agent.Said}" (fun () -> webapp.Accepted.Length >= 5)
    agent.Signal SigTerm
    Expect.equal (agent.WaitForEnd patience) 0 "exit code"
    isComplete agent webapp.Accepted
    Expect.isLessThan (DateTimeOffset.Parse webapp.Accepted.Head) complained "the sample from before the complaint is there"
    let line = agent.Errors |> List.find isComplaint
    note name (line.Substring(line.IndexOf("not delivered:", StringComparison.Ordinal))) webapp.Accepted.Length recovery

/// A fault of the webapp's answers.
let private faultOf name (fault: Reply) (complaint: string) =
    testCase name
    <| fun () ->
        let webapp = Webapp fault
        use server = new IngestServer(webapp.Reply)
        use agent = startWith [ scale ] (targetOf server.Url @ words)
        recovers name webapp agent (complaint.Replace("{url}", server.Url)) webapp.Mend
        let first = server.Requests[0].CollectedAt
        Expect.equal webapp.Accepted.Head first "the very first sample is there"

/// Ends a connection in the middle of a good answer.
let private resetMidBody: Reply =
    fun _ context ->
        task {
            context.Response.ContentType <- "application/json"
            context.Response.ContentLength <- 500L
            do! context.Response.Body.WriteAsync(ReadOnlyMemory "{\"ok\": true, "B)
            do! context.Response.Body.FlushAsync()
            context.Abort()
        }

let private inAMinute: Reply =
    fun request context ->
        let at = DateTimeOffset.UtcNow.AddSeconds(60.0).ToString("r", CultureInfo.InvariantCulture)
        withHeader "Retry-After" at (refused 429 "Slow down.") request context

let private storm: Reply =
    fun request context -> page [| 500; 502; 503; 504 |].[request.Number % 4] request context

/// What any length of bytes of the same kind becomes.
let private bomb: Lazy<byte[]> =
    lazy
        (use packed = new MemoryStream()

         do
             use gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen = true)
             let piece = Array.create 1048576 ' 'B

             for _ in 1..400 do
                 gzip.Write(ReadOnlySpan piece)

         packed.ToArray())

let private gzipped (body: byte[]) : Reply =
    fun _ context ->
        task {
            context.Response.ContentType <- "application/json"
            context.Response.Headers.ContentEncoding <- "gzip"
            context.Response.ContentLength <- body.Length
            do! context.Response.Body.WriteAsync(ReadOnlyMemory body)
        }

/// 400 MB, as long as somebody reads them.
let private endless: Reply =
    fun _ context ->
        task {
            let piece = Array.create 65536 ' 'B
            context.Response.ContentType <- "application/json"
            context.Response.ContentLength <- 6400L * int64 piece.Length

            for _ in 1..6400 do
                do! context.Response.Body.WriteAsync(ReadOnlyMemory piece, context.RequestAborted)
        }

let private notTheWebapp = "HTTP 200, but not the webapp's JSON: something else answers at this address"

let private answers =
    testList
        "answers"
        [
            faultOf "reset mid-body" resetMidBody "the connection broke: "
            faultOf "black hole" blackHole "no complete answer within 40 s"
            faultOf "dripping response" drip "no complete answer within 40 s"
            faultOf "HTML 200" (page 200) notTheWebapp
            faultOf
                "redirect loop"
                (fun request context -> redirect 302 $"http://{context.Request.Host}{request.Target}" request context)
                "HTTP 302: redirected to {url}/api/ingest/servers/gpu-box-01/metrics/; redirects are not followed, correct --host"
            faultOf "403, then enabled" (refused 403 "Server is disabled.") "HTTP 403: Server is disabled"
            faultOf "404" (page 404) "HTTP 404"
            faultOf "429 with seconds" (withHeader "Retry-After" "50" (refused 429 "Slow down.")) "HTTP 429: Slow down"
            faultOf "429 with a date" inAMinute "HTTP 429: Slow down"
            faultOf "500 storm" storm "HTTP 50"
            faultOf
                "a clock ahead of a receiver that refuses the future"
                (refused 400 "collected_at lies in the future.")
                "HTTP 400: collected_at lies in the future"

            testCase "401, then a new token in the file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = file directory "token" (Token + "-of-yesterday\n")
                    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
                    let webapp = Webapp(refused 401 "Invalid ingest token.")

                    let byToken: Reply =
                        fun request context ->
                            if request.Header "X-Monitoring-Token" = Token + "-of-today" then
                                webapp.Store request context
                            else
                                webapp.Reply request context

                    use server = new IngestServer(byToken)
                    use agent = startWith [ scale ] (targetOf server.Url @ words @ [ "--token-file"; path ])

                    recovers "401, then a new token in the file" webapp agent "HTTP 401: Invalid ingest token" (fun () ->
                        File.WriteAllText(path, Token + "-of-today\n"))

                    let tokens = server.Requests |> List.map _.Header("X-Monitoring-Token")
                    let old = tokens |> List.takeWhile ((=) (Token + "-of-yesterday"))
                    Expect.all (List.skip old.Length tokens) ((=) (Token + "-of-today")) "never the old one again")

            testCase "a compressed answer, which nobody asked for, is understood, and no sample is sent twice"
            <| fun () ->
                let accepted = ConcurrentQueue<string>()

                let reply: Reply =
                    fun request context ->
                        accepted.Enqueue request.CollectedAt
                        use packed = new MemoryStream()

                        do
                            use gzip = new GZipStream(packed, CompressionLevel.Fastest)
                            gzip.Write(ReadOnlySpan """{"ok": true, "snapshot": {"bottleneck": "idle"}}"""B)

                        gzipped (packed.ToArray()) request context

                use server = new IngestServer(reply)
                use agent = startWith [ scale ] (targetOf server.Url @ words)
                eventually patience $"deliveries; {agent.Said}" (fun () -> accepted.Count >= 4)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                Expect.isFalse (agent.Errors |> List.exists _.Contains("not delivered")) agent.Said
                isComplete agent (List.ofSeq accepted)
                note "gzip'd response" "the receipt, as always" accepted.Count TimeSpan.Zero

            for name, fault in
                [
                    "400 MB response", endless
                    "gzip'd response of 400 MB", (fun r c -> gzipped bomb.Value r c)
                ] do
                testCase name
                <| fun () ->
                    bomb.Force() |> ignore
                    let webapp = Webapp fault
                    use server = new IngestServer(webapp.Reply)
                    use agent = startWith [ scale ] (targetOf server.Url @ words)

                    let resident () =
                        File.ReadAllLines $"/proc/{agent.Id}/status"
                        |> Array.find _.StartsWith("VmRSS:")
                        |> fun line -> Int64.Parse(line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1])

                    eventually patience $"a request; {agent.Said}" (fun () -> agent.Errors |> List.exists _.Contains(notTheWebapp))
                    let before = resident ()

                    recovers name webapp agent notTheWebapp (fun () ->
                        Expect.isLessThan (resident () - before) (16L * 1024L) "KiB more after some of them"
                        webapp.Mend())
        ]

/// A port of the loopback on which nothing listens.
let private freePort () : int =
    use listener = new TcpListener(IPAddress.Loopback, 0)
    listener.Start()
    (listener.LocalEndpoint :?> IPEndPoint).Port

/// One attempt that fails, and its reason.
let private reasonOf (variables: (string * string) list) (words: string list) : string =
    let code, _, errors = runWith variables (words @ [ "--once" ])
    Expect.equal code 1 "exit code"
    let marker = " WARNING not delivered: "

    match errors with
    | [ line ] when line.Contains(marker, StringComparison.Ordinal) ->
        line.Substring(line.IndexOf(marker, StringComparison.Ordinal) + marker.Length)
    | lines -> failtest $"expected one line, got %A{lines}"

let private network =
    testList
        "network"
        [
            testCase "refused for a while in the middle of a run"
            <| fun () ->
                let webapp = Webapp blackHole
                let port = freePort ()
                use agent = startWith [ scale ] (targetOf $"http://127.0.0.1:{port}" @ words)
                let mutable server = None

                try
                    recovers "refused" webapp agent $"127.0.0.1:{port} refuses the connection" (fun () ->
                        server <- Some(new IngestServer(webapp.Store, port, false)))
                finally
                    server |> Option.iter (fun server -> (server :> IDisposable).Dispose())

            testCase "a host that does not answer the connection"
            <| fun () ->
                // The queue of a listener that never accepts is full after two, and the kernel drops the next.
                use listener = new TcpListener(IPAddress.Loopback, 0)
                listener.Start 0
                let port = (listener.LocalEndpoint :?> IPEndPoint).Port

                let clients =
                    [
                        for _ in 1..3 ->
                            let client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
                            client.ConnectAsync(IPAddress.Loopback, port) |> ignore
                            client
                    ]

                Thread.Sleep 100
                let watch = Stopwatch.StartNew()

                Expect.equal
                    (reasonOf [] (targetOf $"http://127.0.0.1:{port}" @ [ "--timeout=1" ]))
                    $"no connection to 127.0.0.1:{port} within 1 s"
                    "the reason"

                Expect.isLessThan watch.Elapsed patience "the time-out holds for it as well"

                for client in clients do
                    client.Dispose()

            testCase "a name that does not resolve"
            <| fun () ->
                Expect.equal
                    (reasonOf [] (targetOf "https://nowhere.invalid" @ [ "--timeout=20" ]))
                    "the name nowhere.invalid does not resolve"
                    "the reason"

            testCase "a proxy that refuses, and one that is not there"
            <| fun () ->
                use proxy = new IngestServer(page 403)
                let authority = Uri(proxy.Url).Authority

                Expect.equal
                    (reasonOf [ "https_proxy", proxy.Url ] (targetOf "https://monitoring.example"))
                    $"the proxy {authority} does not let the request through: HTTP 403"
                    "refuses"

                let port = freePort ()

                Expect.equal
                    (reasonOf [ "https_proxy", $"http://me:pw@127.0.0.1:{port}" ] (targetOf "https://monitoring.example"))
                    $"the proxy 127.0.0.1:{port} refuses the connection"
                    "is not there"

                Expect.equal
                    (reasonOf [ "https_proxy", "http://nowhere.invalid:3128" ] (targetOf "https://monitoring.example" @ [ "--timeout=20" ]))
                    "the name nowhere.invalid, which is the proxy's, does not resolve"
                    "has no address"
        ]

let private certificates =
    let faults =
        lazy
            [
                "TLS expired",
                certificateBetween -90.0 -1.0 trusted.Value [ "localhost" ],
                "certificate expired: the certificate of monitoring was valid until "
                "TLS not yet valid",
                certificateBetween 1.0 90.0 trusted.Value [ "localhost" ],
                "certificate not yet valid: the certificate of monitoring is valid from "
                "TLS unknown issuer",
                certificateFor (authority "Another Root") [ "localhost" ],
                "unknown issuer: the certificate of monitoring chains up to Another Root, which is not trusted here"
                "TLS wrong name",
                certificateFor trusted.Value [ "other.example" ],
                "wrong host name: the certificate is for other.example, not for localhost"
            ]

    testList
        "certificates"
        [
            for index, name in List.indexed [ "expired"; "not yet valid"; "unknown issuer"; "wrong name" ] do
                testCase $"{name}, then renewed"
                <| fun () ->
                    World.withDirectory (fun directory ->
                        let title, certificate, complaint = faults.Value[index]
                        let webapp = Webapp blackHole
                        webapp.Mend()
                        let mutable shown: X509Certificate2 = certificate
                        use server = server webapp.Reply 0 (fun () -> Volatile.Read &shown) ignore
                        let ca = file directory "root.pem" (pem trusted.Value)
                        use agent = startWith [ scale ] (targetOf (urlOf server) @ words @ [ "--ca-file"; ca ])

                        recovers title webapp agent $"TLS failed: {complaint}" (fun () -> Volatile.Write(&shown, good.Value))
                        let line = agent.Errors |> List.find _.Contains("TLS failed")
                        Expect.stringContains line "next attempt in 30.0 s" "held, not hammered")
        ]

/// Everything that lies in a directory, as one text.
let private everythingIn (directory: string) : string =
    Directory.GetFiles(directory, "*", SearchOption.AllDirectories)
    |> Array.map (File.ReadAllBytes >> Encoding.Latin1.GetString)
    |> String.concat "\n"

let private secrecy =
    testCase "the token is in nothing that the agent writes, even if the webapp repeats it"
    <| fun () ->
        World.withDirectory (fun directory ->
            let spool = Path.Combine(directory, "spool")
            let echo status : Reply = refused status $"No: {Token}"

            let html: Reply =
                fun request context ->
                    context.Response.Headers.Location <- $"http://127.0.0.1/?token={Token}"
                    echo 302 request context

            use server =
                new IngestServer(
                    inTurn
                        [
                            stored
                            echo 500
                            echo 400
                            echo 400
                            html
                            echo 401
                            echo 429
                            hangUp
                            echo 413
                            stored
                            echo 403
                        ]
                )

            use agent =
                startWith
                    [ "AI_DASHBOARD_TEST_TIME_SCALE", "100" ]
                    (targetOf server.Url
                     @ [ "--interval=50"; "--timeout=100"; "--log-level=debug"; "--spool"; spool ])

            eventually patience $"all answers; {agent.Said}" (fun () -> server.Requests.Length >= 12)
            agent.Signal SigTerm
            Expect.equal (agent.WaitForEnd patience) 0 "exit code"
            Expect.isTrue (agent.Errors |> List.exists _.Contains("HTTP 403: No: ***")) agent.Said
            Expect.isFalse ((everythingIn directory).Contains Token) "in no file"

            Expect.isTrue
                (server.Requests
                 |> List.forall (fun request -> request.Header "X-Monitoring-Token" = Token))
                "it was sent"
            // The streams are searched when the agent is disposed of.
            Expect.isFalse ((String.concat "\n" (agent.Output @ agent.Errors)).Contains Token) "in no stream")

let tests = testList "faults" [ answers; network; certificates; secrecy ]
