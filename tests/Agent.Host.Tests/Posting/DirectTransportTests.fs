/// The agent's own HTTP against a server that says, byte for byte, what it is told to say.
module Agent.Host.Tests.DirectTransportTests

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Net.Security
open System.Net.Sockets
open System.Security.Cryptography
open System.Security.Cryptography.X509Certificates
open System.Text
open System.Threading
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host
open Agent.Host.Posting
open Agent.Shell
open Expecto

/// What a connection does with the requests that come over it.
type Script = Stream -> unit

/// A listener whose connections, in the order in which they come, run one script each; the last one from then on.
type Server(address: IPAddress, port: int, secured: Stream -> Stream, scripts: Script list) =
    let listener = new TcpListener(address, port)
    let connections = ConcurrentQueue<TcpClient>()

    let run () =
        try
            while true do
                let client = listener.AcceptTcpClient()
                let script = scripts[min connections.Count (scripts.Length - 1)]
                connections.Enqueue client

                let serve () =
                    try
                        use stream = secured (client.GetStream())
                        script stream
                    with
                    | :? IOException
                    | :? SocketException
                    | :? ObjectDisposedException -> ()

                Thread(serve, IsBackground = true).Start()
        with
        | :? SocketException
        | :? InvalidOperationException ->
            // It was stopped.
            ()

    do
        listener.Start()
        Thread(run, IsBackground = true).Start()

    new(address: IPAddress, secured: Stream -> Stream, scripts: Script list) = new Server(address, 0, secured, scripts)

    member _.Port = (listener.LocalEndpoint :?> IPEndPoint).Port
    member server.Url = Uri $"http://{IPEndPoint(address, server.Port)}/p"
    member _.Connections = connections.Count

    /// No more connections from now on; those that are there stay.
    member _.StopListening() = listener.Stop()

    interface IDisposable with
        member _.Dispose() =
            listener.Dispose()

            for client in connections do
                client.Dispose()

/// One request, whole: its head and its body.
let receive (stream: Stream) : string * string =
    let read = StringBuilder()

    while not (read.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal)) do
        match stream.ReadByte() with
        | -1 -> raise (EndOfStreamException())
        | letter -> read.Append(char letter) |> ignore

    let head = read.ToString()

    let length =
        head.Split "\r\n"
        |> Array.find _.StartsWith("Content-Length: ")
        |> fun line -> Int32.Parse(line.Substring "Content-Length: ".Length)

    let body = Array.zeroCreate length
    stream.ReadExactly(Span body)
    head, Encoding.UTF8.GetString body

let send (text: string) (stream: Stream) =
    stream.Write(ReadOnlySpan(Encoding.Latin1.GetBytes text))

let plain (body: string) =
    $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}"

/// Answers one request with each of the texts, and closes.
let answers (texts: string list) : Script =
    fun stream ->
        for text in texts do
            receive stream |> ignore
            send text stream

/// Answers every request with what was sent.
let echoes: Script =
    fun stream ->
        while true do
            let _, body = receive stream
            send (plain body) stream

let parts = RequestParts([| struct ("X-T", "1") |], [||])

let private transportTo (url: Uri) (clock: AgentClock) =
    new DirectTransport(url, null, TimeSpan.FromMinutes 5.0, "agent/1", clock)

let bodyOf (reply: Reply) = Encoding.UTF8.GetString reply.Body.Span

let post (transport: DirectTransport) (body: string) =
    transport.Post(parts, ReadOnlyMemory(Encoding.UTF8.GetBytes body), CancellationToken.None)

let loopback scripts =
    new Server(IPAddress.Loopback, id, scripts)

/// The other side of TLS, with a certificate of its own; told by which name it is asked for.
let asServerOf (tell: string -> unit) : Stream -> Stream =
    use key = RSA.Create 2048

    let request =
        CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)

    let now = DateTimeOffset.UtcNow
    use signed = request.CreateSelfSigned(now.AddDays -1.0, now.AddDays 1.0)

    let certificate = X509CertificateLoader.LoadPkcs12(signed.Export X509ContentType.Pfx, null)

    fun stream ->
        let tls = new SslStream(stream)
        tls.AuthenticateAsServer certificate
        tell tls.TargetHostName
        tls

let asServer () : Stream -> Stream = asServerOf ignore

/// The same over TLS, and what a client wants that trusts everybody.
let underTls scripts : Server * SslClientAuthenticationOptions =
    new Server(IPAddress.Loopback, asServer (), scripts),
    SslClientAuthenticationOptions(
        TargetHost = "localhost",
        RemoteCertificateValidationCallback = RemoteCertificateValidationCallback(fun _ _ _ _ -> true)
    )

/// The bodies that a transport brings for one request each, and the connections that it took.
let private exchange (scripts: Script list) (bodies: string list) : string list * int =
    use server = loopback scripts
    use transport = transportTo server.Url (AgentClock())
    let replies = bodies |> List.map (fun body -> bodyOf (post transport body))
    replies, server.Connections

/// What a request ends in.
let private failureWith (script: Script) : NetworkFailure =
    use server = loopback [ script ]
    use transport = transportTo server.Url (AgentClock())

    try
        let reply = post transport "x"
        failtest $"an answer: {reply.Head.Status} {bodyOf reply}"
    with
    | :? HttpRequestException
    | :? IOException as error -> Failures(server.Url, null).Of error

let private failures: (string * Script * NetworkFailure) list =
    let broken = NetworkFailure.Broken
    let incomplete = broken "it was closed before the answer was complete"
    let foreign = NetworkFailure.Unreadable "it is not HTTP/1.1"

    [
        "closed before the answer", answers [ "" ], incomplete
        "closed within the head", answers [ "HTTP/1.1 200 OK\r\nContent-" ], incomplete
        "closed within the body", answers [ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell" ], incomplete
        "closed within a chunk", answers [ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell" ], incomplete
        "closed before the last chunk", answers [ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n" ], incomplete
        "chunks that are none", answers [ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n" ], foreign
        "two lengths", answers [ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" ], foreign

        "another protocol, which waits",
        (fun stream ->
            send "SSH-2.0-OpenSSH_9.2\r\n" stream
            Thread.Sleep 5000),
        foreign

        "an endless head",
        (fun stream ->
            receive stream |> ignore
            send "HTTP/1.1 200 OK\r\n" stream

            while true do
                send "X-More: and more of it\r\n" stream),
        NetworkFailure.Unreadable "its headers are too long"
    ]

[<Tests>]
let tests =
    testList
        "Host.DirectTransport"
        [
            testCase "a request is what it should be, and its connection is kept"
            <| fun () ->
                let heads = ConcurrentQueue<string>()

                use server =
                    loopback
                        [
                            fun stream ->
                                while true do
                                    let head, body = receive stream
                                    heads.Enqueue head
                                    send (plain body) stream
                        ]

                use transport = transportTo server.Url (AgentClock())

                for body in [ "a"; ""; String('b', 16_384); String('c', 60_000) ] do
                    Expect.equal (bodyOf (post transport body)) body "echo"

                let head = transport.Ask CancellationToken.None
                Expect.equal head.Status 200 "a GET"
                Expect.equal server.Connections 1 "one connection"

                Expect.sequenceEqual
                    heads
                    [
                        for length in [ 1; 0; 16_384; 60_000 ] do
                            $"POST /p HTTP/1.1\r\nHost: 127.0.0.1:{server.Port}\r\nUser-Agent: agent/1\r\nX-T: 1\r\n"
                            + $"Content-Length: {length}\r\n\r\n"

                        $"GET /p HTTP/1.1\r\nHost: 127.0.0.1:{server.Port}\r\nUser-Agent: agent/1\r\nContent-Length: 0\r\n\r\n"
                    ]
                    "heads"

            testCase "of a GET nothing but the head is waited for"
            <| fun () ->
                let endless: Script =
                    fun stream ->
                        receive stream |> ignore
                        send "HTTP/1.1 405 No\r\nAllow: POST\r\nTransfer-Encoding: chunked\r\n\r\n" stream
                        Thread.Sleep 10_000

                use server = loopback [ endless; echoes ]
                use transport = transportTo server.Url (AgentClock())
                let head = transport.Ask CancellationToken.None
                Expect.equal (head.Status, head.Allow) (405, "POST") "head"
                Expect.equal (bodyOf (post transport "a")) "a" "the next has another connection"

            testCase "any address of this machine"
            <| fun () ->
                use server = loopback [ echoes ]
                use transport = transportTo (Uri $"http://0.0.0.0:{server.Port}/p") (AgentClock())
                Expect.equal (bodyOf (post transport "a")) "a" "an answer"

            testCase "a connection that takes longer than its request is there for the next"
            <| fun () ->
                for pause in [ 0; 800 ] do
                    let server, tls =
                        underTls
                            [
                                fun stream ->
                                    let _, body = receive stream
                                    send (plain body) stream
                            ]

                    use server = server

                    let accept _ _ _ _ =
                        Thread.Sleep 500
                        true

                    tls.RemoteCertificateValidationCallback <- RemoteCertificateValidationCallback accept

                    use transport = new DirectTransport(server.Url, tls, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())

                    use stop = new CancellationTokenSource(TimeSpan.FromMilliseconds 100.0)

                    Expect.throwsT<OperationCanceledException>
                        (fun () -> transport.Post(parts, ReadOnlyMemory.Empty, stop.Token) |> ignore)
                        "it takes longer"

                    Expect.isFalse transport.IsBeingSent "there was no connection yet"
                    Thread.Sleep pause
                    Expect.equal (bodyOf (post transport "b")) "b" "the next"
                    Expect.equal server.Connections 1 "over the same connection"

            testCase "other headers are sent as soon as there are any"
            <| fun () ->
                let heads = ConcurrentQueue<string>()

                use server =
                    loopback
                        [
                            fun stream ->
                                while true do
                                    heads.Enqueue(fst (receive stream))
                                    send (plain "") stream
                        ]

                use transport = transportTo server.Url (AgentClock())

                for value in [ "1"; "2" ] do
                    let parts = RequestParts([| struct ("X-T", value) |], [||])
                    transport.Post(parts, ReadOnlyMemory.Empty, CancellationToken.None) |> ignore

                Expect.all (Seq.zip heads [ "1"; "2" ]) (fun (head, value) -> head.Contains $"\r\nX-T: {value}\r\n") "each its own"

            testCase "an answer in single bytes, and what is said on the way to it"
            <| fun () ->
                let script: Script =
                    fun stream ->
                        receive stream |> ignore

                        for letter in
                            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
                            + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" do
                            send (string letter) stream
                            stream.Flush()

                        let _, body = receive stream
                        send (plain body) stream

                Expect.equal (exchange [ script ] [ "a"; "b" ]) ([ "ok"; "b" ], 1) "both over one connection"

            testCase "a body that ends with its connection"
            <| fun () ->
                let script = answers [ "HTTP/1.1 200 OK\r\n\r\nto the end" ]
                Expect.equal (exchange [ script ] [ "a"; "b" ]) ([ "to the end"; "to the end" ], 2) "a connection each"

            testCase "a server that says that it closes is not asked again"
            <| fun () ->
                let script: Script =
                    fun stream ->
                        receive stream |> ignore
                        send "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok" stream
                        // A second request would be answered with nothing but this.
                        Thread.Sleep 200
                        send "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" stream

                Expect.equal (exchange [ script ] [ "a"; "b" ]) ([ "ok"; "ok" ], 2) "a connection each"

            testCase "a connection that was closed meanwhile is replaced, and nothing is sent over it"
            <| fun () ->
                use server = loopback [ answers [ plain "first" ]; echoes ]
                use transport = transportTo server.Url (AgentClock())
                Expect.equal (bodyOf (post transport "a")) "first" "the first"
                Thread.Sleep 200
                Expect.equal (bodyOf (post transport "b")) "b" "the second"
                Expect.equal server.Connections 2 "two connections"

            testCase "what a server says unasked is no answer to the next request"
            <| fun () ->
                let script: Script =
                    fun stream ->
                        receive stream |> ignore
                        send (plain "first") stream
                        Thread.Sleep 100
                        send "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n" stream
                        Thread.Sleep 5000

                use server = loopback [ script; echoes ]
                use transport = transportTo server.Url (AgentClock())
                post transport "a" |> ignore
                Thread.Sleep 300
                Expect.equal (bodyOf (post transport "b")) "b" "the second"

            testCase "two answers to one request are one"
            <| fun () ->
                Expect.equal
                    (exchange [ answers [ plain "first" + plain "forged" ]; echoes ] [ "a"; "b" ])
                    ([ "first"; "b" ], 2)
                    "the second is dropped with its connection"

            testCase "of a long answer the beginning is read, and its connection is dropped"
            <| fun () ->
                let replies, connections = exchange [ answers [ plain (String('x', 100_000)) ]; echoes ] [ "a"; "b" ]

                Expect.equal (replies |> List.map _.Length, connections) ([ 65_536; 1 ], 2) "64 KiB of it"

            testCase "a connection is renewed when it is old"
            <| fun () ->
                use server = loopback [ echoes ]
                // 5 minutes in 300 ms.
                use transport = transportTo server.Url (AgentClock 1000)

                for _ in 1..3 do
                    post transport "a" |> ignore

                Expect.equal server.Connections 1 "one for all"
                Thread.Sleep 400
                post transport "a" |> ignore
                Expect.equal server.Connections 2 "another"

            testCase "TLS: one connection while it is kept, another when it was closed, with a farewell or without"
            <| fun () ->
                for farewell in [ true; false ] do
                    let closes: Script =
                        fun stream ->
                            for _ in 1..3 do
                                let _, body = receive stream
                                send (plain body) stream

                            if farewell then
                                (stream :?> SslStream).ShutdownAsync().Wait()

                    let server, tls = underTls [ closes; echoes ]
                    use server = server

                    use transport = new DirectTransport(server.Url, tls, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())

                    for body in [ "a"; "b"; "c" ] do
                        Expect.equal (bodyOf (post transport body)) body "echo"

                    Expect.equal server.Connections 1 "one for all"
                    Thread.Sleep 200
                    Expect.equal (bodyOf (post transport "d")) "d" "the next"
                    Expect.equal server.Connections 2 "over another"

            testCase "IPv6"
            <| fun () ->
                if Socket.OSSupportsIPv6 then
                    let heads = ConcurrentQueue<string>()

                    use server =
                        new Server(
                            IPAddress.IPv6Loopback,
                            id,
                            [
                                fun stream ->
                                    heads.Enqueue(fst (receive stream))
                                    send (plain "ok") stream
                            ]
                        )

                    use transport = transportTo server.Url (AgentClock())
                    Expect.equal (bodyOf (post transport "a")) "ok" "an answer"
                    Expect.all heads _.Contains($"\r\nHost: [::1]:{server.Port}\r\n") "host"

            testList
                "failures"
                [
                    for name, script, expected in failures do
                        testCase name <| fun () -> Expect.equal (failureWith script) expected "failure"

                    testCase "nothing listens"
                    <| fun () ->
                        let url =
                            use server = loopback [ echoes ]
                            server.Url

                        use transport = transportTo url (AgentClock())

                        try
                            post transport "a" |> ignore
                            failtest "an answer"
                        with :? SocketException as error ->
                            Expect.equal (Failures(url, null).Of error) (NetworkFailure.Refused url.Authority) "failure"
                            Expect.isFalse transport.IsBeingSent "there was no connection"

                    testCase "a name that does not resolve"
                    <| fun () ->
                        let url = Uri "http://no-such-name.invalid/p"
                        use transport = transportTo url (AgentClock())

                        try
                            post transport "a" |> ignore
                            failtest "an answer"
                        with :? HttpRequestException as error ->
                            Expect.equal (Failures(url, null).Of error) (NetworkFailure.NameNotResolved url.Host) "failure"
                ]

            testCase "a token ends the wait for an answer, and the next request has a connection of its own"
            <| fun () ->
                let silent: Script =
                    fun stream ->
                        receive stream |> ignore
                        Thread.Sleep 10_000

                use server = loopback [ silent; echoes ]
                use transport = transportTo server.Url (AgentClock())
                use stop = new CancellationTokenSource(TimeSpan.FromMilliseconds 200.0)
                let watch = Stopwatch.StartNew()

                Expect.throws (fun () -> transport.Post(parts, ReadOnlyMemory.Empty, stop.Token) |> ignore) "no answer"

                Expect.isLessThan watch.Elapsed (TimeSpan.FromSeconds 5.0) "soon"
                Expect.isTrue transport.IsBeingSent "it was under way"
                Expect.equal (bodyOf (post transport "b")) "b" "the next"

            testCase "a proxy that closes after CONNECT is asked once more at once, and not again in that attempt"
            <| fun () ->
                let closes: Script =
                    fun stream ->
                        let read = StringBuilder()

                        while not (read.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal)) do
                            read.Append(char (stream.ReadByte())) |> ignore

                let url = Uri "https://own.test:8443/p"
                use server = loopback [ closes ]
                let proxy = SystemProxy(Uri $"http://127.0.0.1:{server.Port}/", "", "")
                let trust = TlsTrust(X509Certificate2Collection(), null, false, AgentClock())

                use transport =
                    new ProxiedTransport(url, proxy, trust, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())

                for attempt in 1..2 do
                    let failure =
                        try
                            transport.Post(parts, ReadOnlyMemory.Empty, CancellationToken.None) |> ignore
                            failtest "an answer"
                        with :? HttpRequestException as error ->
                            Failures(url, proxy.Address).Of error

                    Expect.equal server.Connections (2 * attempt) "one, and one more"
                    Expect.equal failure (NetworkFailure.Broken "it was closed before the answer was complete") "why"

            testCase "a token that is set already ends a request before it begins"
            <| fun () ->
                use server = loopback [ echoes ]
                use transport = transportTo server.Url (AgentClock())

                Expect.throwsT<OperationCanceledException>
                    (fun () -> transport.Post(parts, ReadOnlyMemory.Empty, CancellationToken true) |> ignore)
                    "no connection"
        ]
