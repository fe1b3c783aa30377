/// The agent with a spool: outages, kills, restarts.
module Agent.EndToEnd.Tests.SpoolTests

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Text
open System.Text.Json
open System.Text.RegularExpressions
open System.Threading
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

let private isSoak = Environment.GetEnvironmentVariable "AGENT_TEST_LEVEL" = "soak"

/// Every duration of the agent is divided by it, so half a second lasts 50 ms.
let private scale = 10

let private step = TimeSpan.FromSeconds(0.5 / float scale)

let private fast = [ "AI_DASHBOARD_TEST_TIME_SCALE", string scale ]

let private spoolOf (directory: string) = Path.Combine(directory, "ingest")

/// A sample as the webapp stored it.
type private Stored =
    {
        /// The agent's process id.
        Life: int
        At: DateTimeOffset
    }

let private read (request: Request) : Stored =
    use document = JsonDocument.Parse(ReadOnlyMemory request.Body)
    let root = document.RootElement

    {
        Life = root.GetProperty("agent").GetProperty("pid").GetInt32()
        At = root.GetProperty("sample").GetProperty("collected_at").GetDateTimeOffset()
    }

/// A webapp that keeps what it stored, in its order.
type private Webapp() =
    let samples = List<Stored>()

    member _.Samples: Stored list = lock samples (fun () -> List.ofSeq samples)

    /// Stores the sample, then answers in some way.
    member _.Store(reply: Reply) : Reply =
        fun request context ->
            lock samples (fun () -> samples.Add(read request))
            reply request context

/// The samples without those that came again, and how many did.
let private once (samples: Stored list) : Stored list * int =
    let distinct = List.distinct samples
    distinct, samples.Length - distinct.Length

let private isInOrder (samples: Stored list) =
    samples |> List.pairwise |> List.forall (fun (one, other) -> one.At < other.At)

let private words (server: IngestServer) (directory: string) =
    targetOf server.Url
    @ [
        "--spool"
        directory
        "--interval=0.5"
        "--cpu-sample-interval=0"
        "--timeout=60"
    ]

let private kills =
    testCase "kill -9 at random moments: no hole within a life, in order, nothing twice but what was in flight"
    <| fun () ->
        let count = if isSoak then 200 else 20
        let random = Random 1

        World.withDirectory (fun directory ->
            let webapp = Webapp()

            let reply: Reply =
                fun request context ->
                    let reply =
                        match lock random (fun () -> random.Next 10) with
                        | 0
                        | 1 -> page 503
                        | 2 -> hangUp
                        | 3 -> after (TimeSpan.FromMilliseconds 60.0) (webapp.Store stored)
                        | _ -> webapp.Store stored

                    reply request context

            use server = new IngestServer(reply)
            let skipped = Dictionary<int, int>()

            for index in 1..count do
                use agent = startWith fast (words server directory)

                // Now and then while it starts; else while it samples and delivers.
                if index % 5 > 0 then
                    let arrived = server.Requests.Length
                    eventually patience $"a request; {agent.Said}" (fun () -> server.Requests.Length > arrived)

                Thread.Sleep(lock random (fun () -> random.Next 250))
                agent.Signal 9
                agent.WaitForEnd patience |> ignore
                skipped[agent.Id] <- Grid.skippedBy agent

            // A last life delivers what the others left.
            use agent = startWith fast (words server directory)

            eventually patience $"nothing is left; {agent.Said}" (fun () ->
                webapp.Samples |> List.exists (fun sample -> sample.Life = agent.Id))

            agent.Signal SigTerm
            Expect.equal (agent.WaitForEnd patience) 0 "exit code"
            skipped[agent.Id] <- Grid.skippedBy agent
            let samples, twice = once webapp.Samples
            Expect.isTrue (isInOrder samples) "in the order of sampling"
            Expect.isLessThanOrEqual twice count "at most the one in flight comes twice"
            let lives = samples |> List.groupBy _.Life

            for life, samples in lives do
                samples |> List.map _.At |> Grid.hasNoHole step skipped[life] $"process {life}"

            printfn
                $"spool: {count} kills, {lives.Length} lives that sampled, {samples.Length} samples stored, {twice} twice, {Seq.sum skipped.Values} skips told")

let private outages =
    testCase "outages of random length: all stored, in order, none twice but where an answer was lost"
    <| fun () ->
        let wanted = if isSoak then 2000 else 200
        let random = Random 2

        World.withDirectory (fun directory ->
            let webapp = Webapp()
            let mutable lost = 0
            let mutable left = 0
            let mutable outage: Reply = stored
            let mutable outages = 0

            // Ten outages, each of up to 20 requests, which back-off spreads over up to a minute.
            let reply: Reply =
                fun request context ->
                    if left > 0 then
                        left <- left - 1
                        outage request context
                    elif random.Next(wanted / 12) = 0 then
                        left <- random.Next 6
                        outages <- outages + 1

                        outage <-
                            match random.Next 4 with
                            | 0 -> page 503
                            | 1 -> hangUp
                            | 2 -> page 200
                            | _ -> refused 429 "Slow down." |> withHeader "Retry-After" "2"

                        // The sample was stored, and the agent does not learn it.
                        lost <- lost + 1
                        webapp.Store hangUp request context
                    else
                        webapp.Store stored request context

            use server = new IngestServer(reply)
            use agent = startWith fast (words server directory)

            eventually (TimeSpan.FromMinutes 5.0) $"{wanted} stored; {agent.Said}" (fun () ->
                (once webapp.Samples |> fst).Length >= wanted)

            agent.Signal SigTerm
            Expect.equal (agent.WaitForEnd patience) 0 "exit code"
            let samples, twice = once webapp.Samples
            Expect.isTrue (isInOrder samples) "in the order of sampling"

            samples
            |> List.map _.At
            |> Grid.hasNoHole step (Grid.skippedBy agent) "all of it"

            Expect.isLessThanOrEqual twice lost "none twice but where an answer was lost"
            printfn $"spool: {outages} outages, {samples.Length} samples stored, {twice} twice, {lost} answers lost")

/// The body of a real sample, taken again and again, a second apart.
let private writeBacklog (directory: string) (body: string) (count: int) =
    let spool = Directory.CreateDirectory(spoolOf directory).FullName
    let first = DateTimeOffset.Parse "2026-01-01T00:00:00Z"
    let collected = Regex("\"collected_at\":\"[^\"]*\"")

    for segment in 0 .. (count - 1) / 1500 do
        use writer =
            new StreamWriter(Path.Combine(spool, Spool.nameOf (int64 segment + 1L)), false, UTF8Encoding false)

        writer.NewLine <- "\n"

        for index in segment * 1500 .. min count ((segment + 1) * 1500) - 1 do
            let at = (first.AddSeconds index).ToString "yyyy-MM-dd'T'HH:mm:ss.ffffff+00:00"
            writer.WriteLine(collected.Replace(body, $"\"collected_at\":\"{at}\"", 1))

/// Runs an agent that ends by itself; its exit code and the most memory that it had, in kilobytes.
let private runMeasured (words: string list) =
    use agent = start words
    let mutable peak = 0L

    while not agent.HasEnded do
        try
            match
                File.ReadAllLines $"/proc/{agent.Id}/status"
                |> Array.tryFind _.StartsWith("VmHWM:")
            with
            | Some line -> peak <- max peak (Int64.Parse(line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1]))
            | None -> ()
        with :? IOException ->
            ()

        Thread.Sleep 20

    agent.WaitForEnd patience, peak

let private backlog =
    testCase "a backlog is delivered in order before the first own sample, with flat memory"
    <| fun () ->
        let count = if isSoak then 43_200 else 5_000
        let instants = HashSet<string>()
        let order = List<string>()

        let reply: Reply =
            fun request context ->
                lock order (fun () ->
                    instants.Add request.CollectedAt |> ignore
                    order.Add request.CollectedAt)

                stored request context

        use server = new IngestServer(reply)

        World.withDirectory (fun small ->
            let words directory =
                targetOf server.Url @ [ "--spool"; directory; "--once"; "--quiet" ]

            Expect.equal (fst (runMeasured (words small))) 0 "a sample to copy"
            let body = Encoding.UTF8.GetString server.Requests[0].Body
            // Enough for the garbage collector to have its usual size.
            Directory.Delete(spoolOf small, true)
            writeBacklog small body 1000
            let code, usual = runMeasured (words small)
            Expect.equal code 0 "a small backlog"
            order.Clear()
            instants.Clear()

            World.withDirectory (fun directory ->
                writeBacklog directory body count
                let watch = Stopwatch.StartNew()
                let code, peak = runMeasured (words directory)
                Expect.equal code 0 "its own sample was delivered"
                Expect.equal (order.Count, instants.Count) (count + 1, count + 1) "each once"
                let all = List.ofSeq order
                Expect.equal all (List.sort all) "oldest first, its own last"
                Expect.isLessThan (peak - usual) 16_000L $"memory: {usual} kB with 1000, {peak} kB with {count}"
                let rate = float count / watch.Elapsed.TotalSeconds

                printfn
                    $"spool: {count} samples of {body.Length} bytes in {watch.Elapsed.TotalSeconds:F1} s, %.0f{rate} a second; peak {peak} kB, {usual} kB with 1000 samples"))

let private courses =
    testList
        "courses"
        [
            testCase "what a stop leaves is in the spool, told, and sent first by the next start"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use down = new IngestServer(page 503)

                    let left =
                        use agent = startWith fast (words down directory)
                        eventually patience $"a few samples; {agent.Said}" (fun () -> down.Requests.Length >= 3)
                        agent.Signal SigTerm
                        Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                        let told = agent.Errors |> List.find _.Contains("kept in the spool: ")
                        int (told.Substring(told.LastIndexOf ' '))

                    let segment = Path.Combine(spoolOf directory, "000000000001.v1.ndjson")
                    Expect.equal (File.ReadAllLines segment).Length left "as many as told"
                    Expect.isFalse ((File.ReadAllText segment).Contains Token) "without the token"
                    use server = new IngestServer(stored)
                    // Its own first sample is ten seconds away, as the agent counts them.
                    use agent =
                        startWith
                            fast
                            (targetOf server.Url
                             @ [ "--spool"; directory; "--interval=600"; "--cpu-sample-interval=100" ])

                    eventually patience $"the backlog; {agent.Said}" (fun () -> server.Requests.Length = left)
                    let instants = server.Requests |> List.map _.CollectedAt
                    Expect.equal instants (List.sort instants) "in order"
                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code")

            testCase "--once keeps what it cannot deliver, and sends the backlog first"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use down = new IngestServer(page 503)

                    let once (server: IngestServer) =
                        targetOf server.Url @ [ "--once"; "--spool"; directory ]

                    for held in 1..2 do
                        let code, _, errors = run (once down)
                        Expect.equal code 1 "exit code"
                        Expect.exists errors _.EndsWith($"kept in the spool: {held}") $"%A{errors}"

                    use server = new IngestServer(stored)
                    let code, _, errors = run (once server)
                    Expect.equal (code, errors) (0, []) "its own too"
                    let instants = server.Requests |> List.map _.CollectedAt
                    Expect.equal (instants.Length, instants) (3, List.sort instants) "in order"

                    use picky = new IngestServer(inTurn [ refused 400 "Ingest failed: x" ])
                    let code, _, _ = run (once picky)
                    Expect.equal code 1 "refused"
                    use server = new IngestServer(inTurn [ stored; refused 400 "Ingest failed: x" ])
                    let code, _, _ = run (once server)
                    Expect.equal (code, server.Requests.Length) (1, 2) "the backlog was delivered, its own refused")

            testCase "two agents on one directory: the second refuses with exit code 2 and one sentence"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use server = new IngestServer(stored)
                    use first = startWith fast (words server directory)
                    eventually patience $"it runs; {first.Said}" (fun () -> server.Requests.Length >= 1)
                    let code, output, errors = run (words server directory)
                    Expect.equal (code, output) (2, []) "exit code"

                    Expect.equal
                        errors
                        [
                            $"ai-dashboard-agent: {spoolOf directory} is in use by another agent; give each its own --spool"
                        ]
                        "one sentence"

                    Expect.isFalse first.HasEnded "the first goes on")

            testCase "a dry run touches no spool"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let code, _, _ = run [ "--dry-run"; "--once"; "--spool"; directory ]
                    Expect.equal code 0 "exit code"
                    Expect.isEmpty (Directory.GetFileSystemEntries directory) "nothing there")

            testCase "a directory that may not be written: one warning, and delivery from memory"
            <| fun () ->
                World.withDirectory (fun directory ->
                    File.SetUnixFileMode(
                        directory,
                        UnixFileMode.UserRead
                        ||| UnixFileMode.UserExecute
                        ||| UnixFileMode.OtherRead
                        ||| UnixFileMode.OtherExecute
                    )

                    use server = new IngestServer(stored)

                    // Root may write everywhere.
                    let start =
                        ProcessStartInfo(
                            "setpriv",
                            [ "--reuid"; "65534"; "--clear-groups"; World.forAnyUser binary.Value ]
                            @ targetOf server.Url
                            @ [ "--once"; "--spool"; directory ]
                        )

                    start.RedirectStandardError <- true
                    start.RedirectStandardOutput <- true
                    start.WorkingDirectory <- "/"
                    start.Environment["AI_DASHBOARD_TOKEN"] <- Token

                    let code, errors =
                        try
                            match Process.Start start with
                            | null -> failtest "setpriv does not start"
                            | agent ->
                                use agent = agent
                                agent.StandardOutput.ReadToEnd() |> ignore
                                let errors = agent.StandardError.ReadToEnd()
                                agent.WaitForExit()
                                agent.ExitCode, errors.Trim().Split '\n' |> List.ofArray
                        with :? ComponentModel.Win32Exception as error ->
                            Skip.because $"no setpriv: {error.Message}"
                            0, []

                    if errors |> List.exists _.StartsWith("setpriv:") then
                        Skip.because $"no other user's id: %A{errors}"

                    Expect.equal code 0 $"delivered; %A{errors}"
                    Expect.equal server.Requests.Length 1 "one request"

                    match errors with
                    | [ line ] ->
                        Expect.stringContains line $" WARNING {spoolOf directory} cannot be used: " "why"
                        Expect.stringEnds line "; samples wait in memory, 900 at most, until it can be" "what follows"
                    | lines -> failtest $"expected one line, got %A{lines}")
        ]

[<Tests>]
let tests =
    testSequencedGroup "spool of the agent"
    <| testList "EndToEnd" [ testList "spool" [ courses; kills; outages; backlog ] ]
