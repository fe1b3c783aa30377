/// The whole measurement, as a page of Markdown on standard output.
module Ingest.Load.Report

open System
open System.Diagnostics
open System.IO
open System.Threading
open Ingest.Load.Connection
open Ingest.Load.Dashboard
open Ingest.Load.Load

let private twoSeconds = TimeSpan.FromSeconds 2.0

let private oneMinute = TimeSpan.FromMinutes 1.0

let private rounds = 5

let private line (text: string) = printfn "%s" text

/// What goes on, for whoever waits.
let private note (text: string) =
    eprintfn $"{DateTime.UtcNow:``HH:mm:ss``} %s{text}"

/// Middle, lowest and highest.
let private spread (values: float list) : string =
    let sorted = List.sort values
    $"%.1f{sorted[sorted.Length / 2]} (%.1f{List.head sorted}–%.1f{List.last sorted})"

let private wholeSpread (values: float list) : string =
    let sorted = List.sort values
    $"%.0f{sorted[sorted.Length / 2]} (%.0f{List.head sorted}–%.0f{List.last sorted})"

let private mebibytes (bytes: int64) = float bytes / 1_048_576.0

// ---- The machine -----------------------------------------------------------------------------------------------------

let private firstValue (file: string) (name: string) : string =
    File.ReadLines file
    |> Seq.tryFind _.StartsWith(name, StringComparison.Ordinal)
    |> Option.map (fun line -> line.Substring(line.IndexOf ':' + 1).Trim())
    |> Option.defaultValue "unknown"

/// Milliseconds for appending a page to a file and waiting until it is on the disk: what every commit costs at least.
let private syncTimes (directory: string) : float list =
    let path = Path.Combine(directory, "sync-probe")
    use file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0)
    let page = Array.create 4096 1uy

    let times =
        [
            for _ in 1..200 do
                let watch = Stopwatch.StartNew()
                file.Write(page, 0, page.Length)
                file.Flush true
                watch.Elapsed.TotalMilliseconds
        ]

    file.Close()
    File.Delete path
    times

let private machine (directory: string) =
    let syncs = syncTimes directory |> List.sort
    let cpu = firstValue "/proc/cpuinfo" "model name"
    let memory = firstValue "/proc/meminfo" "MemTotal"
    let kernel = (File.ReadAllText "/proc/sys/kernel/osrelease").Trim()

    line $"%d{Environment.ProcessorCount} cores (%s{cpu}), %s{memory} of memory, Linux %s{kernel}, .NET %O{Environment.Version}."

    line
        $"A page appended to a file and synced there takes %.2f{syncs[syncs.Length / 2]} ms (99 %% within %.2f{syncs[197]} ms). The load generator runs on the same cores."

// ---- Ingest ----------------------------------------------------------------------------------------------------------

/// What a server has been sent, so that the next round goes on from there.
type private Stream =
    {
        Server: Server
        Start: DateTime
        mutable Sent: int
    }

let private streams (program: string) (database: string) (count: int) : Stream[] =
    let start = DateTime.UtcNow.AddHours -47.0

    Array.init count (fun i ->
        {
            Server = register program database $"load-%02d{i}"
            Start = start
            Sent = 0
        })

let private load (dashboard: Dashboard) (streams: Stream[]) (seconds: float) : Outcome =
    let jobs =
        streams
        |> Array.mapi (fun i stream ->
            {
                Server = stream.Server
                First = stream.Start + twoSeconds * float stream.Sent
                Step = twoSeconds
                Count = Int32.MaxValue
                Seed = i
            })

    let outcome = post dashboard.Address twoSeconds (TimeSpan.FromSeconds(2.0 + seconds)) jobs

    outcome.Posted
    |> Array.iteri (fun i posted -> streams[i].Sent <- streams[i].Sent + posted)

    outcome

let private ingest (program: string) (directory: string) (seconds: float) =
    let database = Path.Combine(directory, "load.db")
    note "registering 64 servers"
    let all = streams program database 64
    use dashboard = new Dashboard(program, database, TimeSpan.Zero, [])
    line "## Samples acknowledged on disk"
    line ""

    line
        $"Each connection posts for a server of its own, the next sample after the answer to the one before; %d{rounds} rounds of %.0f{seconds} s after 2 s of warm-up."

    line "Middle of the rounds, lowest and highest."
    line ""
    line "| connections | samples/s | p50 ms | p99 ms | highest ms | CPU of the dashboard, µs per sample |"
    line "|---|---|---|---|---|---|"

    for connections in [ 1; 8; 64 ] do
        let outcomes =
            [
                for round in 0 .. rounds - 1 do
                    note $"%d{connections} connections, round %d{round + 1}"
                    let mine = Array.init connections (fun i -> all[(round * connections + i) % 64])
                    let before = dashboard.CpuTime
                    let outcome = load dashboard mine seconds
                    let sent = Array.sum outcome.Posted
                    outcome, (dashboard.CpuTime - before).TotalMicroseconds / float sent
            ]

        let over figure = outcomes |> List.map (fst >> figure)

        line
            $"| %d{connections} | %s{wholeSpread (over _.Rate)} | %s{spread (over _.Percentile(0.5))} | %s{spread (over _.Percentile(0.99))} | %s{wholeSpread (over _.Percentile(1.0))} | %s{wholeSpread (List.map snd outcomes)} |"

    line ""

    line
        $"Memory of the dashboard: highest %.0f{mebibytes dashboard.PeakMemory} MiB, afterwards %.0f{mebibytes dashboard.Memory} MiB resident."

    line ""
    dashboard.Stop()

// ---- What a database holds -------------------------------------------------------------------------------------------

/// Posts `count` samples of a server from `first` on, over several connections, each with a part of its own of the time.
let private fill (server: Server) (parts: int) (first: DateTime) (step: TimeSpan) (count: int) : Job[] =
    let size = (count + parts - 1) / parts

    [|
        for part in 0 .. parts - 1 do
            let skipped = part * size

            if skipped < count then
                {
                    Server = server
                    First = first + step * float skipped
                    Step = step
                    Count = min size (count - skipped)
                    Seed = part
                }
    |]

let private postAll (dashboard: Dashboard) (jobs: Job[]) =
    let outcome = post dashboard.Address TimeSpan.Zero TimeSpan.MaxValue jobs
    note $"%d{outcome.Acknowledged} samples, %.0f{outcome.Rate}/s"

/// Waits until the database does not change any more: pruning goes in small steps.
let private settle (database: string) =
    let rec wait (size: int64) (quiet: int) =
        if quiet < 5 then
            Thread.Sleep 1000
            let now = sizeOf database
            wait now (if now = size then quiet + 1 else 0)

    wait 0L 0

let private days = 14

/// Lives through fourteen days, one after the other: each is posted to a dashboard whose clock says that it has just passed, so
/// that what is too old goes as it would. Days from which only minutes are left can be posted with one sample a minute.
let private liveWith (program: string) (database: string) (servers: Server list) (step: int -> TimeSpan) =
    for day in 1..days do
        let ahead = TimeSpan.FromDays(float (day - days))
        use dashboard = new Dashboard(program, database, ahead, anyRate)
        let step = step day
        let count = int (TimeSpan.FromDays 1.0 / step)
        let first = DateTime.UtcNow + ahead - TimeSpan.FromDays 1.0
        note $"day %d{day} of %d{days}, %d{servers.Length} servers"
        let parts = max 1 (64 / servers.Length)

        postAll
            dashboard
            [|
                for server in servers do
                    yield! fill server parts first step count
            |]

        settle database
        dashboard.Stop()

/// Fourteen days of so many new servers in this database; the servers.
let live (program: string) (database: string) (count: int) : Server list =
    let servers = [ for i in 1..count -> register program database $"live-%02d{i}" ]
    // A minute that had one sample is as long in the database as one that had thirty.
    liveWith program database servers (fun day -> if day > days - 3 then twoSeconds else oneMinute)
    servers

let private sizes (program: string) (directory: string) =
    let database = Path.Combine(directory, "one.db")
    let server = register program database "one"
    let count = 43_200

    let raw =
        use dashboard = new Dashboard(program, database, TimeSpan.Zero, anyRate)
        note "a day of one server"
        postAll dashboard (fill server 16 (DateTime.UtcNow.AddDays -1.0) twoSeconds count)
        settle database
        dashboard.Stop()
        sizeOf database

    line "## Size"
    line ""
    line $"- %d{count} samples at 2 s, with their minutes: %.1f{float raw / 1e6} MB, **%.0f{float raw / float count} bytes per sample**"
    let database = Path.Combine(directory, "fourteen.db")
    let server = register program database "fourteen"
    liveWith program database [ server ] (fun _ -> twoSeconds)

    line
        $"- 14 days of one server at 2 s, lived through day by day (48 hours of samples, 14 days of minutes): **%.1f{float (sizeOf database) / 1e6} MB**"

    line ""
    database, server

/// The first history that a dashboard is asked for after its start, of each range.
let private firsts (program: string) (database: string) (server: Server) : float list =
    [
        for minutes in Queries.ranges do
            use dashboard = new Dashboard(program, database, TimeSpan.Zero, [])
            use client = Queries.warmClient dashboard.Address
            let first = Queries.once client minutes server
            dashboard.Stop()
            first
    ]

let private timed (title: string) (firsts: float list) (dashboard: Dashboard) (servers: Server list) =
    line title
    line ""
    line "| range | middle ms | 99 % ms | highest ms | first ms | points | from | kB |"
    line "|---|---|---|---|---|---|---|---|"

    for timing, first in List.zip (Queries.history dashboard.Address 20 servers) firsts do
        let at share =
            timing.Latencies[min (timing.Latencies.Length - 1) (int (share * float timing.Latencies.Length))]

        line
            $"| %d{timing.Minutes} min | %.1f{at 0.5} | %.1f{at 0.99} | %.1f{Array.last timing.Latencies} | %.1f{first} | %d{timing.Points} | %s{timing.Source} | %d{timing.Bytes / 1000} |"

    line ""

let private queries (program: string) (directory: string) (one: string) (server: Server) =
    line "## History"
    line ""

    line
        "20 queries of each range for each server, one after the other, until the last byte is read. The first is that of a dashboard which was just started."

    line ""
    note "asking"
    let first = firsts program one server

    (use dashboard = new Dashboard(program, one, TimeSpan.Zero, [])
     timed "With 14 days of one server at 2 s:" first dashboard [ server ]
     dashboard.Stop())

    let database = Path.Combine(directory, "ten.db")
    let servers = live program database 10
    note "asking"
    let first = firsts program database servers.Head
    use dashboard = new Dashboard(program, database, TimeSpan.Zero, [])
    timed "With 14 days of ten servers at 2 s, asked for each of them in turn:" first dashboard servers

    line
        $"The database of ten servers: %.0f{float (sizeOf database) / 1e6} MB. Memory of the dashboard that was asked: highest %.0f{mebibytes dashboard.PeakMemory} MiB."

    line ""
    dashboard.Stop()

/// Measures everything in this directory, which needs about a gigabyte.
let all (program: string) (directory: string) (seconds: float) : unit =
    line "# What `ai-dashboard` takes and answers"
    line ""
    line $"Written by `bench/ingest.sh` on {DateTime.UtcNow:``yyyy-MM-dd``}."
    machine directory
    line ""
    ingest program directory seconds
    let one, server = sizes program directory
    queries program directory one server
