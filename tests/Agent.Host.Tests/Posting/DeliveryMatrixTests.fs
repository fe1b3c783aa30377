/// What networks and servers do to a request: dead addresses, answers that come early, connections that are closed, odd answers.
module Agent.Host.Tests.DeliveryMatrixTests

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Security
open System.Net.Sockets
open System.Text
open System.Threading
open Agent.Core
open Agent.Outbound
open Agent.Host
open Agent.Host.Posting
open Agent.Shell
open Agent.Host.Tests.DirectTransportTests
open Agent.TestSupport
open Agent.TestSupport.Certificates
open Agent.Host.Tests.VirtualClock
open Expecto

/// An address at which nothing ever answers: the kernel drops what asks for a connection while the queue of a listener is full.
type private BlackHole(address: IPAddress, port: int) =
    let listener = new TcpListener(address, port)

    let fill =
        [
            for _ in 1..3 -> new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
        ]

    do
        listener.Start 0

        for socket in fill do
            socket.Blocking <- false

            try
                socket.Connect(address, port)
            with :? SocketException ->
                // It is on its way.
                ()

        Thread.Sleep 20

    interface IDisposable with
        member _.Dispose() =
            for socket in fill do
                socket.Dispose()

            listener.Dispose()

/// A resolver whose answers are these addresses, each family its own.
let private resolver (texts: string list) : LookUp =
    LookUp(fun _ family ->
        texts
        |> List.map IPAddress.Parse
        |> List.filter (fun address -> address.AddressFamily = family)
        |> Array.ofList)

let private toName (port: int) (clock: AgentClock) (lookUp: LookUp) =
    new DirectTransport(Uri $"http://fleet.test:{port}/p", null, TimeSpan.FromMinutes 5.0, "agent/1", clock, lookUp)

let private within (milliseconds: int) (what: string) (run: unit -> 'a) : 'a =
    let watch = Stopwatch.StartNew()
    let result = run ()
    Expect.isLessThan watch.ElapsedMilliseconds (int64 milliseconds) what
    result

/// Posts with a limit for each request until there is an answer, or time is up; the answer, and the requests that it took.
let private insist (transport: DirectTransport) (limit: int) (patience: int) : string * int =
    let watch = Stopwatch.StartNew()

    let rec go attempts =
        use stop = new CancellationTokenSource(limit: int)

        try
            bodyOf (transport.Post(parts, ReadOnlyMemory "x"B, stop.Token)), attempts
        with
        | :? OperationCanceledException
        | :? IOException
        | :? SocketException
        | :? ObjectDisposedException when watch.ElapsedMilliseconds < int64 patience -> go (attempts + 1)

    go 1

/// Connections of this machine that are being asked for at a port: state 02 of proc_net_tcp(5).
let private pending (port: int) : int =
    [ "/proc/net/tcp"; "/proc/net/tcp6" ]
    |> List.filter File.Exists
    |> List.sumBy (fun path ->
        File.ReadAllLines path
        |> Array.filter (fun line ->
            let columns = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            columns.Length > 3 && columns[2].EndsWith $":%04X{port}" && columns[3] = "02")
        |> Array.length)

/// Takes connections and says nothing.
let private silentAt (address: string) (port: int) =
    new Server(IPAddress.Parse address, port, id, [ fun _ -> Thread.Sleep 30_000 ])

/// Answers one request and closes.
let private once: Script =
    answers [ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok" ]

/// Posts on a thread of its own, and returns what comes of it.
let private inBackground (transport: DirectTransport) =
    System.Threading.Tasks.Task.Factory.StartNew(
        (fun () -> bodyOf (transport.Post(parts, ReadOnlyMemory "x"B, CancellationToken.None))),
        System.Threading.Tasks.TaskCreationOptions.LongRunning
    )

let private eventually (what: string) (condition: unit -> bool) =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.ElapsedMilliseconds > 60_000L then
            failtest what

        Thread.Sleep 5

/// Waits until whoever opens a connection has looked at the clock as it is now, and waits for it to move on.
let private settle (clock: ManualClock) : unit =
    let before = clock.Waits
    eventually "somebody waits for the clock" (fun () -> clock.Waits >= before + 2)

let private needsIPv6 () =
    if not Socket.OSSupportsIPv6 then
        Agent.TestSupport.Skip.because "this machine has no IPv6"

let private dualStack =
    testList
        "dual stack"
        [
            testCase "a family that is a black hole costs a quarter of a second once, and nothing after that"
            <| fun () ->
                needsIPv6 ()
                use server = loopback [ once ]
                use _ = new BlackHole(IPAddress.IPv6Loopback, server.Port)
                let before = pending server.Port
                let clock = ManualClock()
                use transport = toName server.Port clock (resolver [ "::1"; "127.0.0.1" ])
                let first = inBackground transport
                eventually "the first address is tried" (fun () -> pending server.Port > before)
                settle clock
                Expect.isFalse first.IsCompleted "the second address waits for its time"
                clock.Advance(TimeSpan.FromMilliseconds 250.0)
                Expect.isTrue (first.Wait 60_000) "no failure is waited for"
                Expect.equal first.Result "ok" "delivered"

                for _ in 1..3 do
                    Expect.equal (insist transport 10_000 0) ("ok", 1) "the winner is remembered: no time has passed"

                eventually "those that lost are closed" (fun () -> pending server.Port <= before)

            testCase "many dead addresses and a request limit of half a second"
            <| fun () ->
                use server = loopback [ once ]
                let dead = [ for n in 2..11 -> $"127.0.0.{n}" ]
                let holes = [ for text in dead -> new BlackHole(IPAddress.Parse text, server.Port) ]
                use transport = toName server.Port (AgentClock()) (resolver (dead @ [ "127.0.0.1" ]))
                let answer, requests = insist transport 500 15_000
                Expect.equal answer "ok" "delivered"
                Expect.isGreaterThan requests 2 "the attempts of one request are carried on by the next"
                Expect.equal server.Connections 1 "one connection"

                for hole in holes do
                    (hole :> IDisposable).Dispose()

            testCase "an address that refuses is followed by the next at once"
            <| fun () ->
                use server = loopback [ once ]
                use transport = toName server.Port (ManualClock()) (resolver [ "127.0.0.2"; "127.0.0.3"; "127.0.0.1" ])
                Expect.equal (insist transport 10_000 0) ("ok", 1) "delivered, and no time has passed"

            testCase "an address of IPv4 in the form of IPv6 is reached over IPv4, from a name server and in the URL"
            <| fun () ->
                use server = loopback [ once; once ]
                use transport = toName server.Port (ManualClock()) (resolver [ "::ffff:127.0.0.1" ])
                Expect.equal (insist transport 10_000 0) ("ok", 1) "by name"

                use literal =
                    new DirectTransport(
                        Uri $"http://[::ffff:127.0.0.1]:{server.Port}/p",
                        null,
                        TimeSpan.FromMinutes 5.0,
                        "agent/1",
                        ManualClock(),
                        resolver []
                    )

                Expect.equal (insist literal 10_000 0) ("ok", 1) "in the URL"

            testCase "an address that takes connections and never answers is tried last after that"
            <| fun () ->
                use server = loopback [ echoes ]

                use silent =
                    new Server(
                        IPAddress.Parse "127.0.0.2",
                        server.Port,
                        id,
                        [
                            fun stream ->
                                receive stream |> ignore
                                Thread.Sleep 30_000
                        ]
                    )

                use transport = toName server.Port (AgentClock()) (resolver [ "127.0.0.2"; "127.0.0.1" ])
                Expect.equal (fst (insist transport 500 10_000)) "x" "by the second request"
                Expect.equal (silent.Connections, server.Connections) (1, 1) "one each"

            testCase "TLS: an address that takes connections and is silent has no more than a second of its own"
            <| fun () ->
                let server, tls = underTls [ echoes ]
                use server = server
                use silent = silentAt "127.0.0.2" server.Port
                let clock = ManualClock()

                use transport =
                    new DirectTransport(
                        Uri $"https://fleet.test:{server.Port}/p",
                        tls,
                        TimeSpan.FromMinutes 5.0,
                        "agent/1",
                        clock,
                        resolver [ "127.0.0.2"; "127.0.0.1" ]
                    )

                let answer = inBackground transport
                eventually "the handshake" (fun () -> transport.IsConnected)
                clock.Advance(TimeSpan.FromMilliseconds 999.0)
                settle clock
                Expect.equal server.Connections 0 "not yet"
                clock.Advance(TimeSpan.FromMilliseconds 1.0)
                Expect.isTrue (answer.Wait 60_000) "now"
                Expect.equal (answer.Result, silent.Connections) ("x", 1) "delivered"
                Expect.isFalse transport.IsConnected "and nothing is waited for"

            testCase "TLS: a server that is silent is told from one that cannot be reached"
            <| fun () ->
                let server, tls = underTls [ once ]
                use _ = server
                use silent = silentAt "127.0.0.1" 0

                use transport = new DirectTransport(silent.Url, tls, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())

                Expect.throws (fun () -> insist transport 300 0 |> ignore) "no answer"
                Expect.equal (transport.IsConnected, transport.IsBeingSent) (true, false) "connected, and nothing sent"

            testCase "all of them refuse: it is told as such"
            <| fun () ->
                let port =
                    use server = loopback [ once ]
                    server.Port

                use transport = toName port (AgentClock()) (resolver [ "127.0.0.2"; "127.0.0.1" ])

                try
                    post transport "a" |> ignore
                    failtest "an answer"
                with :? SocketException as error ->
                    Expect.equal error.SocketErrorCode SocketError.ConnectionRefused "refused"

            testCase "one refuses and another is dead: that is told while it lasts"
            <| fun () ->
                let port =
                    use server = loopback [ once ]
                    server.Port

                use _ = new BlackHole(IPAddress.Parse "127.0.0.2", port)
                use transport = toName port (AgentClock()) (resolver [ "127.0.0.2"; "127.0.0.1" ])
                Expect.throws (fun () -> insist transport 600 0 |> ignore) "no connection"
                Expect.isNotNull transport.Refusal "nothing listens there"

            testCase "names are resolved again for each connection"
            <| fun () ->
                use first = loopback [ once ]
                use second = new Server(IPAddress.Parse "127.0.0.2", first.Port, id, [ once ])
                let mutable now = "127.0.0.1"

                use transport =
                    toName first.Port (AgentClock()) (LookUp(fun _ family -> (resolver [ now ]).Invoke("", family)))

                Expect.equal (insist transport 5000 0) ("ok", 1) "delivered"
                now <- "127.0.0.2"
                Expect.equal (insist transport 5000 0) ("ok", 1) "delivered"
                Expect.equal (first.Connections, second.Connections) (1, 1) "one each"

            testCase "a name server that is silent about one family keeps the other from nothing"
            <| fun () ->
                for silent in [ AddressFamily.InterNetworkV6; AddressFamily.InterNetwork ] do
                    needsIPv6 ()
                    use release = new ManualResetEvent false

                    let address =
                        if silent = AddressFamily.InterNetworkV6 then
                            IPAddress.Loopback
                        else
                            IPAddress.IPv6Loopback

                    use server = new Server(address, id, [ once ])

                    let lookUp =
                        LookUp(fun _ family ->
                            if family = silent then
                                release.WaitOne() |> ignore

                            (resolver [ string address ]).Invoke("", family))

                    use transport = toName server.Port (AgentClock()) lookUp
                    Expect.equal (insist transport 5000 0) ("ok", 1) $"delivered over {address}"
                    release.Set() |> ignore

            testCase "a resolver that hangs is left to itself after a minute, four times at most"
            <| fun () ->
                use server = loopback [ once ]
                use release = new ManualResetEvent false
                let mutable asked = 0
                let mutable hangs = true

                let lookUp =
                    LookUp(fun _ family ->
                        if family = AddressFamily.InterNetwork then
                            Interlocked.Increment &asked |> ignore

                        if hangs then
                            release.WaitOne() |> ignore

                        (resolver [ "127.0.0.1" ]).Invoke("", family))

                // A minute in 300 ms.
                use transport = toName server.Port (AgentClock 200) lookUp

                // Two minutes, and it answers again.
                for _ in 1..6 do
                    Expect.throws (fun () -> insist transport 100 0 |> ignore) "no name, no connection"

                hangs <- false
                Expect.isGreaterThan asked 1 "it was asked again beside the one that hangs"
                Expect.equal (fst (insist transport 200 5000)) "ok" "delivered though the first look-ups never end"
                let soFar = asked
                Expect.isLessThanOrEqual soFar 4 "no more"
                release.Set() |> ignore

            testCase "of look-ups that hang there are four at once, not five"
            <| fun () ->
                use release = new ManualResetEvent false
                let mutable asked = 0

                let lookUp =
                    LookUp(fun _ family ->
                        if family = AddressFamily.InterNetwork then
                            Interlocked.Increment &asked |> ignore

                        release.WaitOne() |> ignore
                        [||])

                // A minute in 60 ms; the whole is half an hour.
                use transport = toName 1 (AgentClock 1000) lookUp

                for _ in 1..18 do
                    Expect.throws (fun () -> insist transport 100 0 |> ignore) "no name, no connection"

                Expect.equal asked 4 "four"
                release.Set() |> ignore
        ]

/// What time has to do with it, told to the millisecond by a clock that is moved by hand.
let private edges =
    let milliseconds (count: int) = TimeSpan.FromMilliseconds(int64 count)

    testList
        "edges"
        [
            testCase "the second address is tried after 250 ms, and not before"
            <| fun () ->
                use server = loopback [ once ]
                use _ = new BlackHole(IPAddress.Parse "127.0.0.2", server.Port)
                let before = pending server.Port
                let clock = ManualClock()
                use transport = toName server.Port clock (resolver [ "127.0.0.2"; "127.0.0.1" ])
                let answer = inBackground transport
                eventually "the first address is tried" (fun () -> pending server.Port > before)
                settle clock
                clock.Advance(milliseconds 249)
                settle clock
                Expect.equal server.Connections 0 "not yet"
                clock.Advance(milliseconds 1)
                Expect.isTrue (answer.Wait 60_000) "now"
                Expect.equal answer.Result "ok" "delivered"

            testCase "the other family's addresses are waited for 50 ms, and no longer"
            <| fun () ->
                use server = loopback [ once ]
                use release = new ManualResetEvent false

                let lookUp =
                    LookUp(fun _ family ->
                        if family = AddressFamily.InterNetworkV6 then
                            release.WaitOne() |> ignore

                        (resolver [ "127.0.0.1" ]).Invoke("", family))

                let clock = ManualClock()
                use transport = toName server.Port clock lookUp
                let answer = inBackground transport
                settle clock
                clock.Advance(milliseconds 49)
                settle clock
                Expect.equal server.Connections 0 "not yet"
                clock.Advance(milliseconds 1)
                Expect.isTrue (answer.Wait 60_000) "now"
                release.Set() |> ignore

            testCase "an opening is given up after 30 s, and a look-up doubled after a minute, not before"
            <| fun () ->
                for hangs, late, early in [ false, 30_000, 29_999; true, 60_000, 59_999 ] do
                    for after, expected in [ early, 1; late, 2 ] do
                        use server = loopback [ once ]
                        use _ = new BlackHole(IPAddress.Parse "127.0.0.2", server.Port)
                        use release = new ManualResetEvent false
                        let mutable asked = 0

                        let lookUp =
                            LookUp(fun _ family ->
                                if family = AddressFamily.InterNetwork then
                                    Interlocked.Increment &asked |> ignore

                                if hangs then
                                    release.WaitOne() |> ignore

                                (resolver [ "127.0.0.2" ]).Invoke("", family))

                        let clock = ManualClock()
                        use transport = toName server.Port clock lookUp
                        Expect.throws (fun () -> insist transport 100 0 |> ignore) "no connection"
                        clock.Advance(milliseconds after)
                        Expect.throws (fun () -> insist transport 100 0 |> ignore) "no connection"
                        eventually "the second look-up" (fun () -> asked >= expected)
                        Expect.equal asked expected $"look-ups after {after} ms, {hangs}"
                        release.Set() |> ignore

            testCase "a connection is used until its time is over, and not after"
            <| fun () ->
                use server = loopback [ echoes ]
                let clock = ManualClock()
                use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", clock)

                for advance, connections in [ 0, 1; 299_999, 1; 1, 2 ] do
                    clock.Advance(milliseconds advance)
                    Expect.equal (bodyOf (post transport "a")) "a" "an answer"
                    Expect.equal server.Connections connections $"after {advance} ms more"

            testCase "a head of 64 KiB is read, and a longer one is not"
            <| fun () ->
                for length, isRead in [ 8_192, true; 8_193, true; 65_536, true; 65_537, false ] do
                    let start = "HTTP/1.1 204 Empty\r\nX: "
                    let head = start + String('x', length - start.Length - 4) + "\r\n\r\n"
                    use server = loopback [ answers [ head ] ]
                    use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())

                    if isRead then
                        Expect.equal (post transport "a").Head.Status 204 "read"
                    else
                        Expect.throwsT<System.Net.Http.HttpIOException> (fun () -> post transport "a" |> ignore) "too long"

            testCase "a connection that took longer than all patience is used all the same"
            <| fun () ->
                use server = loopback [ once ]
                use _ = new BlackHole(IPAddress.Parse "127.0.0.2", server.Port)
                let before = pending server.Port
                let clock = ManualClock()
                use transport = toName server.Port clock (resolver [ "127.0.0.2"; "127.0.0.1" ])
                Expect.throws (fun () -> insist transport 100 0 |> ignore) "no connection yet"
                eventually "the first address is tried" (fun () -> pending server.Port > before)
                settle clock
                clock.Advance(milliseconds 250)
                eventually "it is connected while nobody waits" (fun () -> server.Connections = 1)
                eventually "the others are given up, so it is over" (fun () -> pending server.Port <= before)
                clock.Advance(TimeSpan.FromMinutes 1.0)
                Expect.equal (insist transport 5000 0) ("ok", 1) "and is used a minute later"
                Expect.equal server.Connections 1 "the same"
        ]

/// Closes with a reset, and not with a farewell.
let private reset (stream: Stream) =
    match stream with
    | :? NetworkStream as plain -> plain.Socket.LingerState <- LingerOption(true, 0)
    | _ -> ()

/// Reads the head of a request and nothing of its body.
let private receiveHead (stream: Stream) =
    let read = StringBuilder()

    while not (read.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal)) do
        read.Append(char (stream.ReadByte())) |> ignore

/// More than the buffers of a connection hold.
let private large = Array.create 8_000_000 (byte 'b')

let private earlyAnswers =
    let early: (string * string * int * string) list =
        [
            "413 with a body", "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno", 413, "no"
            "413 whose body never comes", "HTTP/1.1 413 No\r\nContent-Length: 200\r\n\r\n", 413, ""
            "401 on the head alone", "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 401, ""
            "503 with Retry-After", "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, ""
            "a word on the way to it, and 413", "HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n", 413, ""
        ]

    let answer (script: Script) : Reply =
        use server = loopback [ script ]
        use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
        use stop = new CancellationTokenSource 5000
        transport.Post(parts, ReadOnlyMemory large, stop.Token)

    testList
        "early answers"
        [
            for name, text, status, body in early do
                testCase $"{name}, and the connection is reset"
                <| fun () ->
                    let reply =
                        answer (fun stream ->
                            receiveHead stream
                            send text stream
                            Thread.Sleep 100
                            reset stream)

                    Expect.equal (reply.Head.Status, bodyOf reply) (status, body) "the answer counts"
                    Expect.equal reply.Head.RetryAfter (if status = 503 then "7" else "") "Retry-After"

                testCase $"{name}, and the connection stays open"
                <| fun () ->
                    let reply =
                        // What never comes is waited for until the request's time is over.
                        within (if text.Contains "200\r\n" then 9000 else 4000) "nobody insists on the rest of the request" (fun () ->
                            answer (fun stream ->
                                receiveHead stream
                                send text stream
                                Thread.Sleep 10_000))

                    Expect.equal (reply.Head.Status, bodyOf reply) (status, body) "the answer counts"

            testCase "an answer that comes before the request, which is never read"
            <| fun () ->
                for pause in [ 0; 50 ] do
                    let busy: Script =
                        fun stream ->
                            send "HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n" stream
                            Thread.Sleep pause
                            reset stream

                    use server = loopback [ busy ]
                    use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
                    let reply = post transport "a"
                    Expect.equal (reply.Head.Status, reply.Head.RetryAfter) (503, "9") $"after {pause} ms"

            testCase "what is only said on the way does not end the request"
            <| fun () ->
                let mutable length = 0

                let reply =
                    answer (fun stream ->
                        send "HTTP/1.1 100 Continue\r\n\r\n" stream
                        length <- (snd (receive stream)).Length
                        send (plain "ok") stream)

                Expect.equal (reply.Head.Status, bodyOf reply, length) (200, "ok", large.Length) "all of it was sent"

            testCase "a request that was not sent whole leaves no connection behind"
            <| fun () ->
                let script: Script =
                    fun stream ->
                        receiveHead stream
                        send "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n" stream
                        Thread.Sleep 5000

                use server = loopback [ script; echoes ]
                use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
                Expect.equal (transport.Post(parts, ReadOnlyMemory large, CancellationToken.None)).Head.Status 413 "the first"
                Expect.equal (bodyOf (post transport "b")) "b" "the second"
                Expect.equal server.Connections 2 "over another connection"

            testCase "a success must be whole"
            <| fun () ->
                Expect.throws
                    (fun () ->
                        answer (fun stream ->
                            receiveHead stream
                            send "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" stream
                            Thread.Sleep 100
                            reset stream)
                        |> ignore)
                    "its body is missing"

            testCase "where the status decides, a success counts whatever becomes of its body"
            <| fun () ->
                let endings: (string * Script) list =
                    [
                        "cut", send "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{"
                        "garbled", send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n"
                        "no gzip", send "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
                        "stalled",
                        fun stream ->
                            send "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" stream
                            Thread.Sleep 5000
                    ]

                for name, ending in endings do
                    let script: Script =
                        fun stream ->
                            receive stream |> ignore
                            ending stream

                    use server = loopback [ script ]
                    let template = ReceiverTemplate.Otlp(server.Url, null)

                    let trust =
                        TlsTrust(Security.Cryptography.X509Certificates.X509Certificate2Collection(), null, true, AgentClock())

                    use client =
                        new SampleClient(template, trust, TimeSpan.FromSeconds 2L, TimeSpan.FromMilliseconds 800L, "agent/1", AgentClock())

                    match client.Post(ReadOnlyMemory "b"B, CancellationToken.None) with
                    | Exchange.Answered answer -> Expect.equal answer.Status 200 name
                    | Exchange.Failed failure -> failtest $"{name}: {failure}"

            testCase "a token that is refused is read again, whichever way it is refused"
            <| fun () ->
                for status, expected in [ 401, (200, 1); 403, (200, 1); 404, (404, 0) ] do
                    let refusal = $"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"
                    use server = loopback [ answers [ refusal; plain "ok" ] ]
                    let looked = ref 0

                    let template =
                        { new IRequestTemplate with
                            member _.Endpoint = server.Url
                            member _.Parts = parts

                            member _.Refresh() =
                                looked.Value <- looked.Value + 1
                                true
                        }

                    let trust =
                        TlsTrust(Security.Cryptography.X509Certificates.X509Certificate2Collection(), null, true, AgentClock())

                    use client =
                        new SampleClient(template, trust, TimeSpan.FromSeconds 2L, TimeSpan.FromSeconds 5L, "agent/1", AgentClock())

                    match client.Post(ReadOnlyMemory "b"B, CancellationToken.None) with
                    | Exchange.Answered answer -> Expect.equal (answer.Status, looked.Value) expected $"{status}"
                    | Exchange.Failed failure -> failtest $"{status}: {failure}"

            testCase "TLS: the user's files are read again when they may have caused a failure"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write name text = file directory name text
                    let shown = Certificates.certificateFor Certificates.trusted.Value [ "renewed" ]
                    let old = Certificates.certificateFor Certificates.trusted.Value [ "old" ]
                    let ca = write "ca.pem" (pem (Certificates.authority "Another Root"))
                    let certificate = write "own.pem" (pem old + keyPem old)

                    let secured (stream: Stream) =
                        let tls = new SslStream(stream)

                        try
                            tls.AuthenticateAsServer(
                                SslServerAuthenticationOptions(
                                    ServerCertificate = Certificates.good.Value,
                                    ClientCertificateRequired = true,
                                    RemoteCertificateValidationCallback =
                                        RemoteCertificateValidationCallback(fun _ own _ _ ->
                                            match own with
                                            | null -> false
                                            | own -> own.GetCertHashString() = shown.GetCertHashString())
                                )
                            )
                        with :? Security.Authentication.AuthenticationException as refusal ->
                            stream.Dispose()
                            raise (IOException("not accepted", refusal))

                        tls :> Stream

                    use server = new Server(IPAddress.Loopback, secured, [ echoes ])

                    let settings =
                        { CommandLine.settingsWith [] with
                            CaFile = ca
                            ClientCertificate = certificate
                        }

                    let trust =
                        match TlsTrust.Open(settings, AgentClock()) with
                        | Ok trust -> trust
                        | Error errors -> failtest $"%A{errors}"

                    let template = ReceiverTemplate.Otlp(Uri $"https://localhost:{server.Port}/p", null)

                    use client =
                        new SampleClient(template, trust, TimeSpan.FromSeconds 2L, TimeSpan.FromSeconds 5L, "agent/1", AgentClock())

                    let post () =
                        client.Post(ReadOnlyMemory "b"B, CancellationToken.None)

                    let failure = (post ()).Match(Func<_, _>(fun _ -> "none"), Func<_, _>(fun failure -> string failure))
                    Expect.stringContains failure "unknown issuer" "another authority"
                    Expect.isFalse (trust.Refresh()) "nothing is new"
                    write "ca.pem" (pem Certificates.trusted.Value) |> ignore
                    Expect.isTrue (post ()).IsFailed "its own certificate is not accepted"
                    write "own.pem" "being replaced" |> ignore
                    Expect.isTrue (post ()).IsFailed "nor while the file is of no use"
                    write "own.pem" (pem shown + keyPem shown) |> ignore
                    Expect.isTrue (post ()).IsAnswered "both are new, and at the first attempt")

            testCase "a reset without an answer is the connection's failure"
            <| fun () ->
                Expect.throws
                    (fun () ->
                        answer (fun stream ->
                            receiveHead stream
                            reset stream)
                        |> ignore)
                    "no answer"

            testCase "TLS: 413, and the connection is closed"
            <| fun () ->
                let server, tls =
                    underTls
                        [
                            fun stream ->
                                receiveHead stream
                                send "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n" stream
                                Thread.Sleep 200
                        ]

                use server = server
                use transport = new DirectTransport(server.Url, tls, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
                use stop = new CancellationTokenSource 5000
                Expect.equal (transport.Post(parts, ReadOnlyMemory large, stop.Token)).Head.Status 413 "the answer counts"
        ]

let private closedConnections =
    let requests = ConcurrentQueue<string>()

    /// Answers one request, takes another, and ends like this.
    let closesOnSecond (ending: Stream -> unit) : Script =
        fun stream ->
            requests.Enqueue(snd (receive stream))
            send (plain "first") stream
            requests.Enqueue(snd (receive stream))
            ending stream

    let run (scripts: Script list) (test: Server -> DirectTransport -> unit) =
        requests.Clear()
        use server = loopback scripts
        use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
        Expect.equal (bodyOf (post transport "a")) "first" "the first"
        test server transport

    testSequenced
    <| testList
        "closed connections"
        [
            for name, ending in [ "closed", ignore; "reset", reset ] do
                testCase $"a kept connection that is {name} without an answer is replaced, and the request sent again, once"
                <| fun () ->
                    run [ closesOnSecond ending; echoes ] (fun server transport ->
                        let reply = post transport "b"
                        Expect.equal (bodyOf reply, reply.WasSentTwice) ("b", true) "an answer"
                        Expect.sequenceEqual requests [ "a"; "b" ] "the first connection had it"
                        Expect.equal server.Connections 2 "and the second"
                        let next = post transport "c"
                        Expect.equal (bodyOf next, next.WasSentTwice) ("c", false) "the next is sent once")

                testCase $"a fresh connection that is {name} too is a failure"
                <| fun () ->
                    let closes: Script =
                        fun stream ->
                            receive stream |> ignore
                            ending stream

                    run [ closesOnSecond ending; closes; echoes ] (fun server transport ->
                        Expect.throws (fun () -> post transport "b" |> ignore) "an error"
                        Expect.equal server.Connections 2 "two and no third")

            testCase "a first request is never sent again"
            <| fun () ->
                let closes: Script = fun stream -> receive stream |> ignore

                use server = loopback [ closes; echoes ]
                use transport = new DirectTransport(server.Url, null, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
                Expect.throwsT<System.Net.Http.HttpIOException> (fun () -> post transport "a" |> ignore) "an error"
                Expect.equal server.Connections 1 "one connection"

            testCase "one byte of an answer, and the request is not sent again"
            <| fun () ->
                run [ closesOnSecond (send "H"); echoes ] (fun server transport ->
                    Expect.throwsT<System.Net.Http.HttpIOException> (fun () -> post transport "b" |> ignore) "an error"
                    Expect.equal server.Connections 1 "one connection")

            testCase "a server that is only slow gets nothing twice"
            <| fun () ->
                run [ closesOnSecond (fun _ -> Thread.Sleep 5000); echoes ] (fun server transport ->
                    use stop = new CancellationTokenSource 300
                    Expect.throws (fun () -> transport.Post(parts, ReadOnlyMemory "b"B, stop.Token) |> ignore) "its time is over"
                    Expect.isTrue transport.IsBeingSent "it was sent"
                    Expect.equal server.Connections 1 "one connection")

            testCase "where no fresh connection can be made, the request counts as sent"
            <| fun () ->
                run [ closesOnSecond (fun _ -> Thread.Sleep 200) ] (fun server transport ->
                    server.StopListening()
                    Expect.throwsT<System.Net.Http.HttpIOException> (fun () -> post transport "b" |> ignore) "the first failure"
                    Expect.isTrue transport.IsBeingSent "it was sent")

            testCase "TLS: closed without an answer is replaced as well"
            <| fun () ->
                requests.Clear()
                let server, tls = underTls [ closesOnSecond ignore; echoes ]
                use server = server
                use transport = new DirectTransport(server.Url, tls, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())
                Expect.equal (bodyOf (post transport "a")) "first" "the first"
                Expect.equal (bodyOf (post transport "b")) "b" "the second"
                Expect.equal server.Connections 2 "two connections"
        ]

/// The same through a proxy: one that passes requests on, and one that opens a way to a server with TLS.
let private proxied =
    let throughTunnel (secured: Stream -> Stream) (script: Script) : Script =
        fun stream ->
            receiveHead stream
            send "HTTP/1.1 200 Connection established\r\n\r\n" stream
            use secured = secured stream
            script secured

    let transportBy (port: int) (url: string) =
        let proxy = SystemProxy(Uri $"http://127.0.0.1:{port}/", "", "")

        let trust =
            TlsTrust(Security.Cryptography.X509Certificates.X509Certificate2Collection(), null, true, AgentClock())

        new ProxiedTransport(Uri url, proxy, trust, TimeSpan.FromMinutes 5.0, "agent/1", AgentClock())

    let run (isTunnel: bool) (scripts: Script list) (test: Server -> ProxiedTransport -> unit) =
        let scripts =
            if isTunnel then
                scripts |> List.map (throughTunnel (asServer ()))
            else
                scripts

        use server = loopback scripts

        use transport =
            transportBy
                server.Port
                (if isTunnel then
                     "https://own.test:8443/p"
                 else
                     "http://own.test:8000/p")

        test server transport

    let post (transport: ProxiedTransport) (body: string) =
        use stop = new CancellationTokenSource 5000
        transport.Post(parts, ReadOnlyMemory(Encoding.UTF8.GetBytes body), stop.Token)

    let closesOnSecond (ending: Script) : Script =
        fun stream ->
            receive stream |> ignore
            send (plain "first") stream
            receive stream |> ignore
            ending stream

    testSequenced
    <| testList
        "through a proxy"
        [
            for name, isTunnel in [ "a proxy", false; "CONNECT", true ] do
                testCase $"{name}: a kept connection that is closed without an answer is replaced, and the request sent again, once"
                <| fun () ->
                    run isTunnel [ closesOnSecond ignore; echoes ] (fun server transport ->
                        Expect.equal (bodyOf (post transport "a")) "first" "the first"
                        let reply = post transport "b"
                        Expect.equal (bodyOf reply, reply.WasSentTwice) ("b", true) "an answer"
                        let next = post transport "c"
                        Expect.equal (bodyOf next, next.WasSentTwice) ("c", false) "the next is sent once"
                        Expect.equal server.Connections 2 "two connections")

                testCase $"{name}: a fresh connection that is closed too is a failure"
                <| fun () ->
                    run isTunnel [ closesOnSecond ignore; (fun stream -> receive stream |> ignore); echoes ] (fun server transport ->
                        Expect.equal (bodyOf (post transport "a")) "first" "the first"
                        Expect.throws (fun () -> post transport "b" |> ignore) "an error"
                        Expect.equal server.Connections 2 "two and no third")

                testCase $"{name}: the beginning of an answer, and the request is not sent again"
                <| fun () ->
                    run isTunnel [ closesOnSecond (send "HTTP/1.1 200 OK\r\nContent-Le"); echoes ] (fun server transport ->
                        Expect.equal (bodyOf (post transport "a")) "first" "the first"
                        Expect.throws (fun () -> post transport "b" |> ignore) "an error"
                        Expect.equal server.Connections 1 "one connection")

                testCase $"{name}: a refusal counts by its head, a success must be whole"
                <| fun () ->
                    let cut (status: string) : Script =
                        fun stream ->
                            receive stream |> ignore
                            send $"HTTP/1.1 {status}\r\nContent-Length: 5000\r\n\r\n<html>" stream

                    run isTunnel [ cut "413 No"; cut "200 OK" ] (fun _ transport ->
                        let refusal = post transport "a"
                        Expect.equal (refusal.Head.Status, bodyOf refusal) (413, "<html>") "what there is of it"
                        Expect.throws (fun () -> post transport "b" |> ignore) "an error")

            testCase "where the status decides, a success counts by its head"
            <| fun () ->
                let cut: Script =
                    fun stream ->
                        receive stream |> ignore
                        send "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{" stream

                run true [ cut ] (fun _ transport ->
                    use stop = new CancellationTokenSource 5000
                    let advice = RequestParts([||], [||], true)
                    let reply = transport.Post(advice, ReadOnlyMemory "a"B, stop.Token)
                    Expect.equal (reply.Head.Status, bodyOf reply) (200, "{") "what there is of it")

            testCase "TLS: the server's name goes without its root's dot"
            <| fun () ->
                let mutable named, host = "", ""

                let script: Script =
                    fun stream ->
                        let head, _ = receive stream
                        host <- head.Split "\r\n" |> Array.find _.StartsWith("Host: ")
                        send (plain "ok") stream

                use server = loopback [ throughTunnel (asServerOf (fun name -> named <- name)) script ]

                for url, expected in
                    [
                        "https://own.test.:8443/p", ("own.test", "Host: own.test:8443")
                        "https://own.test./p", ("own.test", "Host: own.test")
                        "https://own.test:8443/p", ("own.test", "Host: own.test:8443")
                    ] do
                    use transport = transportBy server.Port url
                    Expect.equal (bodyOf (post transport "a")) "ok" url
                    Expect.equal (named, host) expected url
                    Expect.equal (SampleClient.NameForTls(Uri url)) "own.test" "without a proxy"

            testCase "an answer to the head alone counts although the request is not taken"
            <| fun () ->
                let early: Script =
                    fun stream ->
                        receiveHead stream
                        send "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno" stream
                        reset stream

                run false [ early ] (fun _ transport ->
                    use stop = new CancellationTokenSource 5000
                    let reply = transport.Post(parts, ReadOnlyMemory large, stop.Token)
                    Expect.equal (reply.Head.Status, bodyOf reply) (401, "no") "the refusal")

            testCase "a proxy that is silent is told from one that cannot be reached"
            <| fun () ->
                let port =
                    use server = silentAt "127.0.0.1" 0
                    use transport = transportBy server.Port "https://own.test/p"

                    for _ in 1..3 do
                        use stop = new CancellationTokenSource 500
                        Expect.throws (fun () -> transport.Post(parts, ReadOnlyMemory "b"B, stop.Token) |> ignore) "its time is over"
                        Expect.equal (transport.IsConnected, transport.IsBeingSent) (true, false) "connected, and nothing sent"

                    server.Port

                use transport = transportBy port "https://own.test/p"
                Expect.throws (fun () -> post transport "b" |> ignore) "nothing listens"
                Expect.isFalse transport.IsConnected "not connected"
        ]

[<Tests>]
let tests =
    testList "Host.DeliveryMatrix" [ dualStack; edges; earlyAnswers; closedConnections; proxied ]
