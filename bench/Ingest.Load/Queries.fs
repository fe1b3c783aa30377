/// How long the read API takes, one query after the other.
module Ingest.Load.Queries

open System
open System.Diagnostics
open System.Net
open System.Net.Http
open System.Text.Json
open Ingest.Load.Connection

/// The ranges that the page offers, and a few between them, in minutes.
let ranges = [ 15; 60; 90; 120; 360; 1440; 2880; 10080; 20160 ]

/// What came of asking for one range again and again.
type Timing =
    {
        Minutes: int
        /// Milliseconds until the whole answer was read, ascending.
        Latencies: float[]
        /// Points of the time axis of the last answer.
        Points: int
        /// `raw` or `minute`, of the last answer.
        Source: string
        /// Of the last answer's body.
        Bytes: int
    }

let private ask (client: HttpClient) (minutes: int) (server: Server) =
    let watch = Stopwatch.StartNew()

    let body =
        client.GetByteArrayAsync($"/api/metrics/history/?server=%s{server.Slug}&minutes=%d{minutes}").GetAwaiter().GetResult()

    watch.Elapsed.TotalMilliseconds, body

let private clientOf (address: IPEndPoint) =
    new HttpClient(BaseAddress = Uri $"http://%O{address}")

/// A client that has asked this address for something else, so that what comes next is not its own start.
let warmClient (address: IPEndPoint) : HttpClient =
    let client = clientOf address
    client.GetByteArrayAsync("/api/").GetAwaiter().GetResult() |> ignore
    client

/// Milliseconds for one answer.
let once (client: HttpClient) (minutes: int) (server: Server) : float = fst (ask client minutes server)

/// Asks for each range, this many times for every server; the first time of all does not count.
let history (address: IPEndPoint) (times: int) (servers: Server list) : Timing list =
    use client = clientOf address
    ask client 15 servers.Head |> ignore

    [
        for minutes in ranges do
            let answers =
                [
                    for _ in 1..times do
                        for server in servers do
                            ask client minutes server
                ]

            let body = snd (List.last answers)
            use document = JsonDocument.Parse(ReadOnlyMemory body)

            {
                Minutes = minutes
                Latencies = answers |> List.map fst |> List.sort |> Array.ofList
                Points = document.RootElement.GetProperty("time").GetArrayLength()
                Source = string (document.RootElement.GetProperty("source").GetString())
                Bytes = body.Length
            }
    ]
