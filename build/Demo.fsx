/// What the target Demo shows: the agent at work against a small receiver in this very process, on a free port of the
/// loopback interface. Nothing leaves the machine. A script of its own, because it uses Agent.Core.dll, which the build has
/// to make first: `dotnet fsi build/Demo.fsx AGENT SECONDS`.

#r "../artifacts/bin/Agent.Core/debug/Agent.Core.dll"

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Sockets
open System.Runtime.InteropServices
open System.Text.Json
open System.Text.Json.Nodes
open System.Threading
open Agent.Core

[<DllImport "libc">]
extern int private kill(int pid, int signal)

let private SIGTERM = 15

let private sampleOf (body: byte[]) : Result<Sample, string> =
    Decode.fromBytes (Decode.field "sample" Wire.decodeSample) (ReadOnlyMemory body)
    |> Result.mapError Decode.errorToString

/// The webapp's answer on what it derives from a sample and the one before it, by the core's own rules.
let private snapshotOf (id: int) (previous: Sample voption) (sample: Sample) : JsonObject =
    let derived = Derived.from previous sample

    let orNull value =
        match value with
        | ValueSome(number: float<_>) -> JsonValue.Create(Math.Round(float number, 1)): JsonNode
        | ValueNone -> null

    JsonObject(
        dict
            [
                "id", (JsonValue.Create id: JsonNode)
                "collected_at", JsonValue.Create(Wire.instant sample.CollectedAt)
                "bottleneck", JsonValue.Create (Bottleneck.ofSample sample derived).Label.Name
                "cpu_usage_percent", orNull sample.CpuUsage
                "top_gpu_util_percent", orNull derived.TopGpuUtilization
                "disk_util_percent", orNull (ValueSome derived.DiskUtilization)
            ]
    )

/// Takes what the agent posts, as the webapp's ingest API would, and counts it.
type Receiver(slug: string, token: string) =
    let mutable received = 0
    let mutable previous = ValueNone

    let port =
        use probe = new TcpListener(IPAddress.Loopback, 0)
        probe.Start()
        (probe.LocalEndpoint :?> IPEndPoint).Port

    let address = $"http://127.0.0.1:%d{port}/"
    let listener = new HttpListener()

    let answerTo (request: HttpListenerRequest) : struct (int * JsonObject) =
        let refuse status (reason: string) =
            struct (status, JsonObject(dict [ "ok", (JsonValue.Create false: JsonNode); "error", JsonValue.Create reason ]))

        if request.Url.AbsolutePath <> $"/api/ingest/servers/%s{slug}/metrics/" then
            refuse 404 "No such server."
        elif request.HttpMethod <> "POST" then
            refuse 405 "Only POST."
        elif request.Headers["X-Monitoring-Token"] <> token then
            refuse 401 "Invalid ingest token."
        else
            use body = new MemoryStream()
            request.InputStream.CopyTo body

            match sampleOf (body.ToArray()) with
            | Ok sample ->
                let id = Interlocked.Increment &received
                let snapshot = snapshotOf id previous sample
                previous <- ValueSome sample

                let answer =
                    [
                        "ok", (JsonValue.Create true: JsonNode)
                        "server", JsonObject(dict [ ("slug", (JsonValue.Create slug: JsonNode)) ])
                        "snapshot", snapshot
                    ]

                struct (200, JsonObject(dict answer))
            | Error reason -> refuse 400 reason

    let serve () =
        try
            while listener.IsListening do
                let context = listener.GetContext()

                let struct (status, body) = answerTo context.Request
                let bytes = JsonSerializer.SerializeToUtf8Bytes body
                context.Response.StatusCode <- status
                context.Response.ContentType <- "application/json"
                context.Response.ContentLength64 <- int64 bytes.Length
                context.Response.Close(bytes, false)
        with
        // This is how GetContext ends when the listener is closed.
        | :? HttpListenerException
        | :? ObjectDisposedException -> ()

    do
        listener.Prefixes.Add address
        listener.Start()
        Thread(serve, IsBackground = true).Start()

    member _.Address = address
    member _.Received = Volatile.Read &received

    interface IDisposable with
        member _.Dispose() = listener.Close()

/// The agent with these arguments and variables, and with no others of its own from the caller's environment.
let private start (agent: string) (arguments: string list) (variables: (string * string) list) =
    let info = ProcessStartInfo(agent, arguments, UseShellExecute = false)

    for name in List.ofSeq info.Environment.Keys do
        if name.StartsWith("AI_DASHBOARD_", StringComparison.Ordinal) then
            info.Environment.Remove name |> ignore

    for name, value in variables do
        info.Environment[name] <- value

    Process.Start info

/// Set by Ctrl-C and by SIGTERM, which then do not end this process.
type Interruption() =
    let flag = new ManualResetEventSlim()

    let react (context: PosixSignalContext) =
        context.Cancel <- true
        flag.Set()

    let signals =
        [ PosixSignal.SIGINT; PosixSignal.SIGTERM ]
        |> List.map (fun signal -> PosixSignalRegistration.Create(signal, react))

    /// Waits for it, at most this long; whether it came.
    member _.Wait(milliseconds: int) = flag.Wait milliseconds

    interface IDisposable with
        member _.Dispose() =
            for signal in signals do
                signal.Dispose()

            flag.Dispose()

/// Ends the agent as systemd would. A terminal sends Ctrl-C to the agent as well, and a second signal would cut its last
/// request short: after an interruption the agent is only sent one if it is still there after a moment.
let private stop (agent: Process) (interrupted: bool) =
    if not (interrupted && agent.WaitForExit 2000) && not agent.HasExited then
        kill (agent.Id, SIGTERM) |> ignore

    if not (agent.WaitForExit 10000) then
        agent.Kill()
        failwith "The agent did not stop within ten seconds."

    if agent.ExitCode <> 0 then
        failwith $"The agent stopped with exit code %d{agent.ExitCode}."

/// Prints one sample of this machine, then has the agent deliver one a second, until the time is over or Ctrl-C.
let private run (agent: string) (seconds: int) =
    if not (File.Exists agent) then
        failwith $"There is no agent at %s{agent}."

    printfn "\nOne sample of this machine, as it would be sent:\n"
    use once = start agent [ "--once"; "--dry-run" ] []
    once.WaitForExit()

    if once.ExitCode <> 0 then
        failwith $"ai-dashboard-agent --once --dry-run: exit code %d{once.ExitCode}."

    let slug, token = "demo", "demo-token"
    use receiver = new Receiver(slug, token)
    use interruption = new Interruption()
    printfn $"\nOne sample a second to a receiver at %s{receiver.Address}, for %d{seconds} s:\n"

    use running =
        start agent [ "--host"; receiver.Address; "--server-slug"; slug; "--interval"; "1" ] [ ("AI_DASHBOARD_TOKEN", token) ]

    let ends = DateTime.UtcNow.AddSeconds(float seconds)

    let rec interrupted () =
        if interruption.Wait 100 then
            true
        elif DateTime.UtcNow > ends then
            false
        elif running.HasExited then
            // It may have been quicker to see the Ctrl-C.
            interruption.Wait 1000
            || failwith $"The agent ended by itself, with exit code %d{running.ExitCode}."
        else
            interrupted ()

    stop running (interrupted ())
    printfn $"\n%d{receiver.Received} samples received."

    if receiver.Received = 0 then
        failwith "No sample was received."

match fsi.CommandLineArgs with
| [| _; agent; seconds |] ->
    try
        run agent (int seconds)
    with e ->
        eprintfn $"%s{e.Message}"
        exit 1
| _ ->
    eprintfn "usage: dotnet fsi build/Demo.fsx AGENT SECONDS"
    exit 2
