/// Posts from many connections at once, from a single thread, and keeps how long each answer took.
module Ingest.Load.Load

open System
open System.Collections.Generic
open System.Diagnostics
open System.Net
open System.Net.Sockets
open Ingest.Load.Connection

/// What came of a load.
type Outcome =
    {
        /// Answers with status 200: samples on disk.
        Acknowledged: int
        /// From the first request to the last answer that counts.
        Elapsed: TimeSpan
        /// What each job has sent, warm-up included.
        Posted: int[]
        /// Milliseconds from each request to the end of its answer, ascending.
        Latencies: float[]
    }

    /// Samples acknowledged per second.
    member outcome.Rate = float outcome.Acknowledged / outcome.Elapsed.TotalSeconds

    /// The latency in milliseconds that this share of the requests did not exceed (nearest rank).
    member outcome.Percentile(share: float) =
        match outcome.Latencies.Length with
        | 0 -> nan
        | count -> outcome.Latencies[max 0 (int (ceil (share * float count)) - 1)]

/// Posts until every job is done or the time is over, then waits for what is in flight. Answers of the first `warmUp` do
/// not count. Fails at the first answer that is not 200.
let post (address: IPEndPoint) (warmUp: TimeSpan) (limit: TimeSpan) (jobs: Job[]) : Outcome =
    let latencies = List<float> 1_000_000
    let connections = jobs |> Array.map (fun job -> new Connection(address, job))

    try
        let bySocket = Dictionary(connections |> Seq.map (fun c -> KeyValuePair(c.Socket, c)))
        let waiting = HashSet<Socket>()
        let ready = List<Socket>()
        let watch = Stopwatch.StartNew()
        let mutable counted = TimeSpan.Zero
        let mutable ends = TimeSpan.Zero

        let send (connection: Connection) =
            if not connection.IsDone && watch.Elapsed < limit then
                connection.Send()
                waiting.Add connection.Socket |> ignore

        for connection in connections do
            send connection

        while waiting.Count > 0 do
            ready.Clear()
            ready.AddRange waiting
            Socket.Select(ready, null, null, 60_000_000)

            if ready.Count = 0 then
                failwith "no answer for a minute"

            for socket in ready do
                let connection = bySocket[socket]

                match connection.Receive() with
                | 0 -> ()
                | 200 ->
                    let now = Stopwatch.GetTimestamp()

                    if watch.Elapsed >= warmUp then
                        if counted = TimeSpan.Zero then
                            counted <- watch.Elapsed

                        latencies.Add (Stopwatch.GetElapsedTime(connection.SentAt, now)).TotalMilliseconds
                        ends <- watch.Elapsed

                    waiting.Remove socket |> ignore
                    send connection
                | _ -> failwith $"refused: %s{connection.Answer}"

        let sorted = latencies.ToArray()
        Array.Sort sorted

        {
            Acknowledged = sorted.Length
            Elapsed = ends - counted
            Posted = connections |> Array.map _.Posted
            Latencies = sorted
        }
    finally
        for connection in connections do
            (connection :> IDisposable).Dispose()
