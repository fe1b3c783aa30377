/// The load client's command line.
module Ingest.Load.Program

open System
open System.IO
open System.Net
open Ingest.Load.Connection

let private readServers (file: string) : Server list =
    [
        for line in File.ReadLines file do
            match line.Split ' ' with
            | [| slug; token |] -> { Slug = slug; Token = token }
            | _ -> failwith $"%s{file}: expected lines of slug and token, found %s{line}"
    ]

let private printServers (servers: Server list) =
    for server in servers do
        printfn $"%s{server.Slug} %s{server.Token}"

let private usage =
    """Ingest.Load report PROGRAM DIRECTORY SECONDS      the whole measurement, rounds of SECONDS, Markdown on standard output
Ingest.Load register PROGRAM DATABASE COUNT        registers load-00 and so on; lines of slug and token
Ingest.Load live PROGRAM DATABASE COUNT            fourteen days of so many new servers; prints the same lines
Ingest.Load post ADDRESS SERVERS SECONDS HOURS     a load on a dashboard that runs, one connection for each line of the file SERVERS;
                                                   its samples begin so many hours ago
Ingest.Load history ADDRESS SERVERS TIMES          asks it for each range, so many times for each server
"""

[<EntryPoint>]
let main arguments =
    match arguments with
    | [| "report"; program; directory; seconds |] ->
        Report.all program directory (float seconds)
        0
    | [| "register"; program; database; count |] ->
        printServers
            [
                for i in 0 .. int count - 1 -> Dashboard.register program database $"load-%02d{i}"
            ]

        0
    | [| "live"; program; database; count |] ->
        printServers (Report.live program database (int count))
        0
    | [| "post"; address; file; seconds; hours |] ->
        let first = DateTime.UtcNow.AddHours(-(float hours))

        let jobs =
            readServers file
            |> List.mapi (fun i server ->
                {
                    Server = server
                    First = first
                    Step = TimeSpan.FromSeconds 2.0
                    Count = Int32.MaxValue
                    Seed = i
                })
            |> Array.ofList

        let warmUp = TimeSpan.FromSeconds 2.0

        let outcome =
            Load.post (IPEndPoint.Parse address) warmUp (warmUp + TimeSpan.FromSeconds(float seconds)) jobs

        printfn
            $"%d{outcome.Acknowledged} samples, %.0f{outcome.Rate}/s, p50 %.2f{outcome.Percentile 0.5} ms, p99 %.2f{outcome.Percentile 0.99} ms, highest %.2f{outcome.Percentile 1.0} ms"

        0
    | [| "history"; address; file; times |] ->
        for timing in Queries.history (IPEndPoint.Parse address) (int times) (readServers file) do
            let middle = timing.Latencies[timing.Latencies.Length / 2]

            printfn
                $"%6d{timing.Minutes} min: %6.1f{middle} ms, highest %6.1f{Array.last timing.Latencies} ms, %d{timing.Points} %s{timing.Source} points, %d{timing.Bytes} bytes"

        0
    | _ ->
        eprintf $"%s{usage}"
        2
