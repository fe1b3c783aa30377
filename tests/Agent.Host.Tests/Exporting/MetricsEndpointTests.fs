/// The endpoint over a real socket: what clients may do to it, and what it does to them.
module Agent.Host.Tests.MetricsEndpointTests

open System
open System.Diagnostics
open System.IO
open System.IO.Compression
open System.Net
open System.Net.Sockets
open System.Text
open System.Threading
open Agent.Core
open Agent.Core.Units
open Agent.Sender
open Agent.Host
open Agent.Host.Exporting
open Agent.Shell
open Agent.TestSupport
open Expecto

let private patience = 20_000

/// A client that sends and receives plain bytes.
type private Client(address: IPEndPoint) =
    let socket =
        new Socket(SocketType.Stream, ProtocolType.Tcp, ReceiveTimeout = patience, SendTimeout = patience)

    do socket.Connect address

    member _.Send(text: string) : unit =
        socket.Send(Encoding.Latin1.GetBytes text) |> ignore

    /// Everything until the other side ends the connection.
    member _.ToEnd() : string =
        let text = StringBuilder()
        let buffer = Array.zeroCreate<byte> 4096
        let mutable more = true

        while more do
            let count =
                try
                    socket.Receive buffer
                with :? SocketException as error when error.SocketErrorCode = SocketError.ConnectionReset ->
                    0

            more <- count > 0
            text.Append(Encoding.Latin1.GetString(buffer, 0, count)) |> ignore

        text.ToString()

    /// One answer with a body.
    member _.Answer() : string =
        let text = StringBuilder()
        let buffer = Array.zeroCreate<byte> 1

        let next () =
            if socket.Receive buffer = 0 then
                failtest $"the connection ended after: {text}"

            text.Append(char buffer[0]) |> ignore

        while not (text.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal)) do
            next ()

        let head = text.ToString()

        let length =
            head.Split "\r\n"
            |> Array.find (fun line -> line.StartsWith("Content-Length: ", StringComparison.Ordinal))

        for _ in 1 .. int (length.Substring "Content-Length: ".Length) do
            next ()

        text.ToString()

    interface IDisposable with
        member _.Dispose() = socket.Dispose()

let private get (path: string) (headers: string) =
    $"GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n"

/// What job 4711 of Slurm went into.
let private totals: JobTotals =
    {
        Id = "4711"
        Job = VerdictTraces.healthyJob 1
        Seconds =
            VerdictLabel.All
            |> Array.map (fun label -> if label.IsCompute then 3600.0<s> else 0.0<s>)
        Fixes = VerdictLabel.All |> Array.map (fun _ -> "")
        IsRunning = true
    }

/// An endpoint with this clock, age of the newest sample and token; `changed` is the token after it is read again. `onDefect` takes what an
/// answer throws.
let private answering
    (clock: AgentClock)
    (age: unit -> TimeSpan)
    (token: string)
    (changed: string)
    (onDefect: Action<string, exn>)
    (test: IPEndPoint -> unit)
    =
    let mutable current = token

    let answers =
        ScrapeAnswers(
            (fun () -> ValueSome(Readings.machineWith [| Readings.board |])),
            (fun () -> Readings.agent),
            (fun id -> if id = "4711" then ValueSome totals else ValueNone),
            age,
            TimeSpan.FromSeconds 2.0,
            (if token = "" then
                 null
             else
                 Func<Secret>(fun () -> Secret current)),
            (fun () ->
                let isNew = current <> changed
                current <- changed
                isNew),
            clock
        )

    let opened = MetricsEndpoint.Open(IPEndPoint(IPAddress.Loopback, 0), clock)

    match opened with
    | Error error -> failtest (string error)
    | Ok endpoint ->
        use endpoint = endpoint
        endpoint.Start(answers, onDefect)
        test endpoint.Address

let private serving (clock: AgentClock) (age: TimeSpan) (token: string) (changed: string) (test: IPEndPoint -> unit) =
    answering clock (fun () -> age) token changed (Action<_, _>(fun source defect -> failtest $"{source}: {defect}")) test

let private serve (test: IPEndPoint -> unit) =
    serving (AgentClock()) TimeSpan.Zero "" "" test

let private startsWith (start: string) (answer: string) =
    Expect.isTrue (answer.StartsWith(start, StringComparison.Ordinal)) $"{start} was to come: {answer}"

let private isAnswered (address: IPEndPoint) =
    use client = new Client(address)
    client.Send(get "/healthz" "")
    startsWith "HTTP/1.1 200 OK\r\n" (client.Answer())

[<Tests>]
let tests =
    testList
        "Host.MetricsEndpoint"
        [
            testCase "one connection serves one request after the other, also those that come at once"
            <| fun () ->
                serve (fun address ->
                    use client = new Client(address)

                    for _ in 1..3 do
                        client.Send(get "/metrics" "")
                        let answer = client.Answer()
                        startsWith "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" answer
                        Expect.stringContains answer "\nDCGM_FI_DEV_GPU_UTIL{" "metrics"

                    client.Send(
                        get "/healthz" ""
                        + get "/nothing" ""
                        + get "/metrics" "Accept: application/openmetrics-text\r\n"
                    )

                    startsWith "HTTP/1.1 200 OK\r\n" (client.Answer())
                    startsWith "HTTP/1.1 404 Not Found\r\n" (client.Answer())
                    let last = client.Answer()
                    startsWith "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0" last
                    Expect.stringEnds last "\n# EOF\n" "the end")

            testCase "the report on a job, as text and as JSON; a job that is not known is not found"
            <| fun () ->
                serve (fun address ->
                    use client = new Client(address)
                    client.Send(get "/jobs/4711" "" + get "/jobs/4711.json" "" + get "/jobs/4712" "")
                    let text = client.Answer()
                    startsWith "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n" text

                    Expect.stringEnds
                        text
                        "\r\n\r\nJob 4711, train.py of alice: 1.0 GPU-hours on 1 GPU of this machine so far.\n  100 % compute (1.0 GPU-hours)\n"
                        "the report"

                    let json = client.Answer()
                    startsWith "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" json
                    Expect.stringContains json "\"gpu_seconds\":3600," "the same"
                    let unknown = client.Answer()
                    startsWith "HTTP/1.1 404 Not Found\r\n" unknown

                    Expect.stringEnds
                        unknown
                        "\r\n\r\nno job 4712 held a GPU while this agent ran, or it ended more than an hour ago\n"
                        "why not")

            testCase "the report on a job needs the token"
            <| fun () ->
                serving (AgentClock()) TimeSpan.Zero "secret" "secret" (fun address ->
                    use client = new Client(address)
                    client.Send(get "/jobs/4711" "" + get "/jobs/4711" "Authorization: Bearer secret\r\n")
                    startsWith "HTTP/1.1 401 Unauthorized\r\n" (client.Answer())
                    startsWith "HTTP/1.1 200 OK\r\n" (client.Answer()))

            testCase "a request may come byte by byte"
            <| fun () ->
                serve (fun address ->
                    use client = new Client(address)

                    for letter in get "/healthz" "Connection: close\r\n" do
                        client.Send(string letter)

                    Expect.stringEnds (client.ToEnd()) "\r\n\r\nok\n" "answer, and the connection is closed")

            testCase "HEAD has a length and no body"
            <| fun () ->
                serve (fun address ->
                    use client = new Client(address)
                    client.Send "HEAD /metrics HTTP/1.0\r\n\r\n"
                    let answer = client.ToEnd()
                    Expect.stringEnds answer "Connection: close\r\n\r\n" "no body"
                    Expect.isFalse (answer.Contains "Content-Length: 0\r\n") "length")

            testCase "a client that takes gzip gets the same, compressed"
            <| fun () ->
                serve (fun address ->
                    use client = new Client(address)

                    let bodyOf (headers: string) =
                        client.Send(get "/metrics" headers)
                        let answer = client.Answer()
                        let past = answer.IndexOf("\r\n\r\n", StringComparison.Ordinal)
                        answer.Substring(0, past + 2), Encoding.Latin1.GetBytes(answer.Substring(past + 4))

                    let _, plain = bodyOf ""

                    for _ in 1..2 do
                        let head, compressed = bodyOf "Accept-Encoding: gzip, deflate\r\n"
                        Expect.stringContains head "\r\nContent-Encoding: gzip\r\n" "it says so"
                        Expect.isLessThan compressed.Length (plain.Length / 4) "length"
                        use stream = new GZipStream(new MemoryStream(compressed), CompressionMode.Decompress)
                        use whole = new MemoryStream()
                        stream.CopyTo whole
                        Expect.equal (whole.ToArray()) plain "what it says"

                    client.Send(get "/healthz" "Accept-Encoding: gzip\r\n")
                    Expect.stringEnds (client.Answer()) "\r\n\r\nok\n" "a sentence is not worth it")

            testCase "what is no request is told so, and the connection is closed"
            <| fun () ->
                serve (fun address ->
                    for sent, status in
                        [
                            "PUT /metrics HTTP/1.1\r\n\r\n", "405"
                            "nonsense\r\n\r\n", "400"
                            "GET /metrics HTTP/1.1\r\nX: " + String('x', Scrape.LongestRequest - 26), "431"
                        ] do
                        use client = new Client(address)
                        client.Send sent
                        startsWith $"HTTP/1.1 {status} " (client.ToEnd()))

            testCase "a client that says nothing is let go after ten seconds, and holds up nobody"
            <| fun () ->
                // This clock makes ten seconds out of a tenth of one.
                serving (AgentClock 100) TimeSpan.Zero "" "" (fun address ->
                    use silent = new Client(address)
                    use slow = new Client(address)
                    slow.Send "GET /metrics HT"
                    isAnswered address
                    let watch = Stopwatch.StartNew()
                    Expect.equal (silent.ToEnd()) "" "silent"
                    Expect.equal (slow.ToEnd()) "" "slow"
                    Expect.isLessThan watch.Elapsed.TotalSeconds 10.0 "in time")

            testCase "a client that does not take its answers is let go, and holds up nobody"
            <| fun () ->
                serving (AgentClock 100) TimeSpan.Zero "" "" (fun address ->
                    use greedy = new Socket(SocketType.Stream, ProtocolType.Tcp, ReceiveBufferSize = 4096)
                    greedy.Connect address
                    greedy.Blocking <- false
                    let request = Encoding.ASCII.GetBytes(get "/metrics" "")
                    let mutable sent = 0
                    let mutable full = false

                    // Until neither side's buffers take any more; 40 MB are asked for at most.
                    while not full && sent < 2000 do
                        try
                            greedy.Send request |> ignore
                            sent <- sent + 1
                        with :? SocketException ->
                            full <- true

                    isAnswered address
                    let watch = Stopwatch.StartNew()
                    greedy.Blocking <- true
                    greedy.ReceiveTimeout <- patience
                    let buffer = Array.zeroCreate<byte> 65536
                    Threading.Thread.Sleep 500

                    let rec drain () =
                        try
                            if greedy.Receive buffer > 0 then
                                drain ()
                        with :? SocketException ->
                            ()

                    drain ()
                    isAnswered address
                    Expect.isLessThan watch.Elapsed.TotalSeconds 15.0 "in time")

            testCase "a crowd of connections does not keep a newcomer out"
            <| fun () ->
                serve (fun address ->
                    let crowd = [ for _ in 1 .. MetricsEndpoint.MostConnections * 4 -> new Client(address) ]

                    try
                        isAnswered address
                        isAnswered address
                    finally
                        for client in crowd do
                            (client :> IDisposable).Dispose())

            testCase "without the token nothing is told but the health"
            <| fun () ->
                serving (AgentClock()) TimeSpan.Zero "the-token" "the-token" (fun address ->
                    use client = new Client(address)
                    client.Send(get "/metrics" "")
                    let answer = client.Answer()
                    startsWith "HTTP/1.1 401 Unauthorized\r\n" answer
                    Expect.isFalse (answer.Contains "node_") "no metrics"
                    client.Send(get "/metrics" "Authorization: Bearer the-tokem\r\n")
                    startsWith "HTTP/1.1 401 " (client.Answer())
                    client.Send(get "/elsewhere" "")
                    startsWith "HTTP/1.1 401 " (client.Answer())
                    client.Send(get "/metrics" "Authorization: Bearer the-token\r\n")
                    startsWith "HTTP/1.1 200 " (client.Answer())
                    isAnswered address)

            testCase "a token that was changed in its file is read again"
            <| fun () ->
                serving (AgentClock()) TimeSpan.Zero "old" "new" (fun address ->
                    use client = new Client(address)
                    client.Send(get "/metrics" "Authorization: Bearer new\r\n")
                    startsWith "HTTP/1.1 200 " (client.Answer())
                    client.Send(get "/metrics" "Authorization: Bearer old\r\n")
                    startsWith "HTTP/1.1 401 " (client.Answer()))

            testCase "when no sample was taken recently it is not healthy"
            <| fun () ->
                serving (AgentClock()) (TimeSpan.FromMinutes 1L) "" "" (fun address ->
                    use client = new Client(address)
                    client.Send(get "/healthz" "")
                    startsWith "HTTP/1.1 503 Service Unavailable\r\n" (client.Answer()))

            testCase "an address that is in use, and one of another machine, are told in words"
            <| fun () ->
                serve (fun address ->
                    let messageOf (address: IPEndPoint) =
                        match MetricsEndpoint.Open(address, AgentClock()) with
                        | Error error -> error.Message
                        | Ok endpoint ->
                            (endpoint :> IDisposable).Dispose()
                            failtest $"{address} can be used"

                    Expect.equal
                        (messageOf address)
                        $"--listen: {address}: another program listens there already; choose another port"
                        "in use"

                    // 192.0.2.0/24 is for documentation (RFC 5737).
                    Expect.equal
                        (messageOf (IPEndPoint(IPAddress.Parse "192.0.2.1", 9835)))
                        "--listen: 192.0.2.1:9835: this machine does not have that address; ip address shows those it has"
                        "not of this machine")

            testCase "it ends at once, whoever is connected"
            <| fun () ->
                let watch = Stopwatch()

                serve (fun address ->
                    use client = new Client(address)
                    client.Send "GET"
                    isAnswered address
                    watch.Start())

                Expect.isLessThan watch.Elapsed.TotalSeconds 5.0 "in time"

            testCase "it ends in two seconds though an answer never comes, as where a read of /proc hangs"
            <| fun () ->
                use letGo = new ManualResetEventSlim(false)
                use asked = new ManualResetEventSlim(false)
                let watch = Stopwatch()

                let hanging () =
                    asked.Set()
                    letGo.Wait()
                    TimeSpan.Zero

                let ending =
                    Thread(
                        (fun () ->
                            answering (AgentClock()) hanging "" "" (Action<_, _>(fun _ _ -> ())) (fun address ->
                                use client = new Client(address)
                                client.Send(get "/healthz" "")
                                asked.Wait()
                                watch.Start())),
                        IsBackground = true
                    )

                ending.Start()
                let hasEnded = ending.Join 20_000
                letGo.Set()
                Expect.isTrue hasEnded "it does not wait for the answer"
                Expect.isLessThan watch.Elapsed.TotalSeconds 5.0 "in time"

            testCase "an answer that cannot be made costs its connection, and is told"
            <| fun () ->
                let mutable failures = [ InvalidOperationException "no answer" ]
                let told = ResizeArray<string>()

                let failing () =
                    match failures with
                    | failure :: rest ->
                        failures <- rest
                        raise failure
                    | [] -> TimeSpan.Zero

                answering
                    (AgentClock())
                    failing
                    ""
                    ""
                    (Action<_, _>(fun source (defect: exn) -> told.Add $"{source}: {defect.Message}"))
                    (fun address ->
                        use client = new Client(address)
                        client.Send(get "/healthz" "")
                        Expect.equal (client.ToEnd()) "" "closed"
                        isAnswered address)

                Expect.equal (List.ofSeq told) [ "metrics: no answer" ] "told once"
        ]
