/// The other side of channels of alerts: an HTTP receiver that can fail, hang and come back.
module Agent.Dashboard.Tests.Receivers

open System
open System.Collections.Generic
open System.IO
open System.Net
open System.Net.Sockets
open System.Text
open System.Threading

/// What a receiver does with a request.
[<RequireQualifiedAccess>]
type Manner =
    /// Answers with this status and these headers.
    | Answer of status: int * headers: string
    /// Reads it, and closes the connection without an answer.
    | Close
    /// Reads it, and never answers.
    | Hang

/// A request that a receiver has read.
type Arrival =
    {
        /// The header Idempotency-Key.
        Id: string
        /// All headers, as they came.
        Head: string
        Body: string
        /// What was done with it.
        Manner: Manner
    }

    /// Whether it was accepted.
    member arrival.IsAccepted =
        match arrival.Manner with
        | Manner.Answer(status, _) -> status / 100 = 2
        | _ -> false

/// Listens on a free port of the loopback; the manner of each request follows from its number, from 0.
type Receiver(manner: int -> Manner) =
    let listener = new TcpListener(IPAddress.Loopback, 0)
    let arrivals = List<Arrival>()
    let connections = List<TcpClient>()

    let headOf (stream: Stream) : string =
        let text = StringBuilder()
        let mutable goesOn = true

        while goesOn do
            match stream.ReadByte() with
            | -1 -> goesOn <- false
            | next ->
                text.Append(char next) |> ignore
                goesOn <- not (text.Length >= 4 && text.ToString(text.Length - 4, 4) = "\r\n\r\n")

        text.ToString()

    let header (name: string) (head: string) =
        head.Split "\r\n"
        |> Array.tryPick (fun line ->
            if line.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase) then
                Some(line.Substring(name.Length + 1).Trim())
            else
                None)
        |> Option.defaultValue ""

    /// One request on a connection; false when it is over.
    let serveOne (stream: Stream) : bool =
        match headOf stream with
        | "" -> false
        | head ->
            let body = Array.zeroCreate<byte>(int (header "Content-Length" head))
            stream.ReadExactly(Span body)

            let how =
                lock arrivals (fun () ->
                    let how = manner arrivals.Count

                    arrivals.Add
                        {
                            Id = header "Idempotency-Key" head
                            Head = head
                            Body = Encoding.UTF8.GetString body
                            Manner = how
                        }

                    how)

            match how with
            | Manner.Answer(status, headers) ->
                stream.Write(Encoding.ASCII.GetBytes $"HTTP/1.1 {status} So\r\n{headers}Content-Length: 2\r\n\r\nok")
                true
            | Manner.Close -> false
            | Manner.Hang ->
                stream.ReadByte() |> ignore
                false

    let serve (client: TcpClient) =
        use client = client
        use stream = client.GetStream()

        try
            while serveOne stream do
                ()
        with
        | :? IOException
        | :? ObjectDisposedException
        | :? SocketException -> ()

    let accept () =
        try
            while true do
                let client = listener.AcceptTcpClient()
                lock connections (fun () -> connections.Add client)
                Thread((fun () -> serve client), IsBackground = true).Start()
        with
        | :? SocketException
        | :? ObjectDisposedException
        | :? InvalidOperationException -> ()

    do
        listener.Start()
        Thread(accept, IsBackground = true).Start()

    /// Its address.
    member _.Url = $"http://127.0.0.1:{(listener.LocalEndpoint :?> IPEndPoint).Port}/hook"

    /// What has come, in its order.
    member _.Arrivals: Arrival list = lock arrivals (fun () -> List.ofSeq arrivals)

    /// The ids of what was accepted, in their order.
    member receiver.Accepted: string list = receiver.Arrivals |> List.filter _.IsAccepted |> List.map _.Id

    interface IDisposable with
        member _.Dispose() =
            listener.Stop()
            lock connections (fun () -> connections |> Seq.iter _.Dispose())
