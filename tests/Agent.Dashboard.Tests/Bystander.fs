/// Somebody who does nothing wrong while somebody else does: a machine that posts, and a watcher who asks for /healthz, each with the time
/// that every answer took.
module Agent.Dashboard.Tests.Bystander

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Threading
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Expecto

/// How long answers took, in milliseconds.
type Waits =
    {
        /// Ascending.
        Milliseconds: float[]
    }

    /// The wait that this share of the answers did not exceed.
    member waits.Percentile(share: float) : float =
        match waits.Milliseconds.Length with
        | 0 -> nan
        | count -> waits.Milliseconds[max 0 (int (ceil (share * float count)) - 1)]

    /// Half of the answers took no longer.
    member waits.Median: float = waits.Percentile 0.5

    override waits.ToString() =
        $"{waits.Milliseconds.Length} answers, median {waits.Median:F1} ms, 99 %% within {waits.Percentile 0.99:F1} ms, longest {waits.Percentile 1.0:F1} ms"

/// The bytes of a POST of a sample over a connection that is kept.
let postBytes (port: int) (server: Registered) (headers: (string * string) list) (body: byte[]) : byte[] =
    request
        $"POST /api/ingest/servers/{server.Slug}/metrics/ HTTP/1.1"
        ([
            "Host", $"127.0.0.1:{port}"
            "X-Monitoring-Token", server.Token
            "Content-Type", "application/json"
            "Content-Length", string body.Length
         ]
         @ headers)
        body

/// Posts a sample every 20 ms and asks for /healthz in between, until it is disposed of. Every answer has to be 200.
type Bystander(port: int, server: Registered) =
    let posts = ConcurrentQueue<float>()
    let checks = ConcurrentQueue<float>()
    let mutable failure = ""
    let mutable isOver = false
    let start = DateTimeOffset.UtcNow.AddMinutes -30.0

    let ask (conversation: Conversation) (bytes: byte[]) (waits: ConcurrentQueue<float>) =
        let sent = Stopwatch.GetTimestamp()
        conversation.Send bytes
        let answer = conversation.Read()
        waits.Enqueue (Stopwatch.GetElapsedTime sent).TotalMilliseconds

        if answer.Status <> 200 then
            failure <- $"{answer.Status}: {answer.Text}"

    let work () =
        try
            use posting = new Conversation(port)
            use watching = new Conversation(port)
            let health = request "GET /healthz HTTP/1.1" [ "Host", $"127.0.0.1:{port}" ] [||]
            let mutable number = 0

            while not (Volatile.Read &isOver) do
                number <- number + 1
                let sample = sample (start.AddMilliseconds(float number * 100.0))
                ask posting (postBytes port server [] (utf8 (body sample))) posts
                ask watching health checks
                Thread.Sleep 20
        with error ->
            failure <- error.Message

    let thread = Thread(work, IsBackground = true)

    do
        thread.Start()
        // The first answers wait for code to be compiled.
        SpinWait.SpinUntil((fun () -> checks.Count >= 20), TimeSpan.FromSeconds 20.0)
        |> ignore

        posts.Clear()
        checks.Clear()

    let ended (waits: ConcurrentQueue<float>) =
        {
            Milliseconds = Array.sort (waits.ToArray())
        }

    /// Ends it: how long posts and checks took.
    member _.Stop() : Waits * Waits =
        Volatile.Write(&isOver, true)

        if not (thread.Join(TimeSpan.FromSeconds 30.0)) then
            failtest "the bystander gets no answer any more"

        Expect.equal failure "" "every answer is 200"
        ended posts, ended checks

    interface IDisposable with
        member _.Dispose() = Volatile.Write(&isOver, true)

/// What of a process is resident now and was at most, in MiB.
let memoryOf (pid: int) : int * int =
    let figure (name: string) =
        File.ReadLines $"/proc/{pid}/status"
        |> Seq.find _.StartsWith(name, StringComparison.Ordinal)
        |> fun line -> int64 (line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1])
        |> fun kibibytes -> int (kibibytes / 1024L)

    figure "VmRSS:", figure "VmHWM:"

/// What is promised of everybody else while one misbehaves: 100 ms for samples and 50 ms for /healthz at the 99th percentile. The machine of
/// the tests may be busy with others, so the median has to keep to it, and the 99th percentile to five times as much.
let isUnharmed (what: string) (posts: Waits, checks: Waits) : unit =
    printfn $"{what}: samples {posts}; /healthz {checks}"
    Expect.isGreaterThan posts.Milliseconds.Length 5 "it was there"
    Expect.isLessThanOrEqual posts.Median 100.0 "milliseconds for a sample, the median"
    Expect.isLessThanOrEqual checks.Median 50.0 "milliseconds for /healthz, the median"
    Expect.isLessThanOrEqual (posts.Percentile 0.99) 500.0 "milliseconds for a sample, 99 %"
    Expect.isLessThanOrEqual (checks.Percentile 0.99) 250.0 "milliseconds for /healthz, 99 %"
