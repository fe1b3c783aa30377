/// One kept-alive HTTP connection that has one request in flight at a time, and allocates nothing for it.
module Ingest.Load.Connection

open System
open System.Diagnostics
open System.Net
open System.Net.Sockets
open System.Text
open Ingest.Load.Machine
open Ingest.Load.Text

/// A server that samples are posted for.
type Server = { Slug: string; Token: string }

/// What one connection posts: samples of one server, this far apart, oldest first.
type Job =
    {
        Server: Server
        /// UTC.
        First: DateTime
        Step: TimeSpan
        Count: int
        /// Where its dice start.
        Seed: int
    }

let private endOfHead = "\r\n\r\n"B

let private contentLength = "content-length:"B

/// The value of a response's Content-Length; fails without one, because then there is no telling where it ends.
let private lengthIn (head: ReadOnlySpan<byte>) : int =
    let mutable at = 0
    let mutable found = -1

    while found < 0 && at <= head.Length - contentLength.Length do
        if Ascii.EqualsIgnoreCase(head.Slice(at, contentLength.Length), contentLength.AsSpan()) then
            let rest = head.Slice(at + contentLength.Length).TrimStart(' 'B)
            let mutable value = 0
            let mutable used = 0

            if Buffers.Text.Utf8Parser.TryParse(rest, &value, &used) then
                found <- value
        else
            let line = head.Slice(at).IndexOf '\n'B
            at <- if line < 0 then head.Length else at + line + 1

    if found < 0 then
        failwith $"a response without Content-Length: %s{Encoding.UTF8.GetString head}"

    found

/// Posts the samples of a job, one after the other's answer.
type Connection(address: IPEndPoint, job: Job) =
    let socket = new Socket(SocketType.Stream, ProtocolType.Tcp, NoDelay = true)

    let head =
        Encoding.ASCII.GetBytes(
            $"POST /api/ingest/servers/%s{job.Server.Slug}/metrics/ HTTP/1.1\r\nHost: %O{address}\r\n"
            + $"X-Monitoring-Token: %s{job.Server.Token}\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
            + "User-Agent: ingest-load\r\nContent-Length: "
        )

    let machine = Machine job.Seed
    let body = Writer 16_384
    let request = Writer 20_480
    let answer = Array.zeroCreate<byte> 16_384
    let mutable received = 0
    let mutable sentAt = 0L
    let mutable next = 0

    do socket.Connect address

    /// Its socket, to wait on.
    member _.Socket = socket

    /// How many samples were posted so far.
    member _.Posted = next

    /// True once every sample of the job was posted.
    member _.IsDone = next >= job.Count

    /// When the request in flight was sent, in ticks of `Stopwatch`.
    member _.SentAt = sentAt

    /// Sends the next sample.
    member _.Send() : unit =
        body.Clear()
        machine.Write(body, job.First + job.Step * float next)
        next <- next + 1
        request.Clear()
        request.Bytes(head.AsSpan())
        request.Integer(int64 body.Length)
        request.Bytes(endOfHead.AsSpan())
        request.Bytes body.Written
        received <- 0
        sentAt <- Stopwatch.GetTimestamp()
        let mutable rest = request.Written

        while rest.Length > 0 do
            rest <- rest.Slice(socket.Send rest)

    /// Reads what has come; the status once the whole answer is there, else 0.
    member _.Receive() : int =
        let count = socket.Receive(Span(answer).Slice received)

        if count = 0 then
            failwith "the server closed a connection"

        received <- received + count
        let sofar = ReadOnlySpan(answer, 0, received)
        let headLength = sofar.IndexOf(endOfHead.AsSpan())

        if
            headLength >= 0
            && received >= headLength + 4 + lengthIn (sofar.Slice(0, headLength + 2))
        then
            let mutable status = 0
            let mutable used = 0
            Buffers.Text.Utf8Parser.TryParse(sofar.Slice 9, &status, &used) |> ignore
            status
        else
            0

    /// The answer that was read last, for messages.
    member _.Answer: string = Encoding.UTF8.GetString(answer, 0, received)

    interface IDisposable with
        member _.Dispose() = socket.Dispose()
