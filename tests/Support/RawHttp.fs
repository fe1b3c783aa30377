/// A client that sends exactly the bytes it is given, because libraries refuse to send what has to be tested.
module Agent.TestSupport.RawHttp

open System
open System.IO
open System.Net
open System.Net.Sockets
open System.Text
open System.Text.Json
open Expecto

/// One answer as it came in.
type Response =
    {
        Status: int
        /// Names in lower case.
        Headers: (string * string) list
        Body: byte[]
    }

    /// The header's value, if it is there.
    member response.Header(name: string) : string option =
        response.Headers |> List.tryFind (fst >> (=) name) |> Option.map snd

    /// The body as text.
    member response.Text: string = Encoding.UTF8.GetString response.Body

    /// The body as JSON; one that is none fails the test.
    member response.Json: JsonElement =
        try
            use document = JsonDocument.Parse(ReadOnlyMemory response.Body)
            document.RootElement.Clone()
        with :? JsonException as e ->
            failtest $"no JSON ({e.Message}) with status {response.Status}: {response.Text}"

/// How long an answer may take, on a busy machine too.
let private patience = TimeSpan.FromSeconds 30.0

/// A connection on which requests are written and answers read.
type Conversation(port: int) =
    let socket =
        new Socket(
            SocketType.Stream,
            ProtocolType.Tcp,
            NoDelay = true,
            ReceiveTimeout = int patience.TotalMilliseconds,
            SendTimeout = int patience.TotalMilliseconds
        )

    do socket.Connect(IPAddress.Loopback, port)
    let sending = new NetworkStream(socket, true)
    let stream = new BufferedStream(sending, 65536)

    /// The next byte; none at the end of the stream.
    let readByte () = stream.ReadByte()

    let readLine () =
        let line = StringBuilder()

        let rec go () =
            match readByte () with
            | -1 when line.Length = 0 -> None
            | -1 -> failtest $"the answer ends within a line: {line}"
            | 10 -> Some((string line).TrimEnd '\r')
            | character ->
                line.Append(char character) |> ignore
                go ()

        go ()

    let line () =
        match readLine () with
        | Some line -> line
        | None -> failtest "the connection was closed within an answer"

    let readExactly (count: int) =
        let bytes: byte[] = Array.zeroCreate count
        stream.ReadExactly(Span bytes)
        bytes

    let rec headers found =
        match line () with
        | "" -> List.rev found
        | text ->
            match text.Split(':', 2) with
            | [| name; value |] -> headers ((name.ToLowerInvariant(), value.Trim()) :: found)
            | _ -> failtest $"not a header: {text}"

    let rec chunks (body: MemoryStream) =
        match Convert.ToInt32((line ()).Split(';')[0], 16) with
        | 0 ->
            headers [] |> ignore
            body.ToArray()
        | count ->
            body.Write(ReadOnlySpan(readExactly count))
            line () |> ignore
            chunks body

    let untilTheEnd () =
        use body = new MemoryStream()
        stream.CopyTo body
        body.ToArray()

    /// Sends these bytes at once.
    member _.Send(bytes: byte[]) : unit = sending.Write(ReadOnlySpan bytes)

    /// Says that nothing more will be sent.
    member _.FinishSending() : unit = socket.Shutdown SocketShutdown.Send

    /// Resets the connection, as a client that dies does.
    member _.Abort() : unit =
        socket.LingerState <- LingerOption(true, 0)
        socket.Close()

    /// The next answer; none when the server closed the connection instead. `hasBody` is false after a HEAD request.
    member _.TryRead(hasBody: bool) : Response option =
        match
            (try
                readLine ()
             with :? IOException ->
                 None)
        with
        | None -> None
        | Some statusLine ->
            Expect.isTrue (statusLine.StartsWith "HTTP/1.") $"a status line: {statusLine}"
            let status = int (statusLine.Split(' ')[1])
            let headers = headers []

            let header name =
                headers |> List.tryFind (fst >> (=) name) |> Option.map snd

            let body =
                match header "content-length", header "transfer-encoding" with
                | _ when not hasBody || status < 200 || status = 204 -> [||]
                | Some length, None -> readExactly (int length)
                | None, Some "chunked" -> chunks (new MemoryStream())
                | None, None -> untilTheEnd ()
                | other -> failtest $"unclear how long the answer is: %A{other}"

            Some
                {
                    Status = status
                    Headers = headers
                    Body = body
                }

    /// The next answer; fails the test when there is none.
    member this.Read() : Response =
        match this.TryRead true with
        | Some response -> response
        | None -> failtest "the server closed the connection without an answer"

    /// The next line, of an answer that never ends.
    member _.ReadLine() : string = line ()

    interface IDisposable with
        member _.Dispose() = stream.Dispose()

/// A request's bytes: request line, headers, body, and nothing that is not given.
let request (line: string) (headers: (string * string) list) (body: byte[]) : byte[] =
    let head = StringBuilder()
    head.Append(line).Append("\r\n") |> ignore

    for name, value in headers do
        head.Append(name).Append(": ").Append(value).Append("\r\n") |> ignore

    Array.append (Encoding.Latin1.GetBytes(head.Append("\r\n").ToString())) body

/// What the server answers to these bytes on a connection of their own.
let exchange (port: int) (bytes: byte[]) : Response =
    use conversation = new Conversation(port)
    conversation.Send bytes
    conversation.Read()

/// A GET of this target.
let get (port: int) (target: string) : Response =
    exchange port (request $"GET {target} HTTP/1.1" [ "Host", $"127.0.0.1:{port}"; "Connection", "close" ] [||])
