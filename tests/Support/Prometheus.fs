/// A real Prometheus of the machine's own packages, started for one test on the loopback interface.
module Agent.TestSupport.Prometheus

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Net.Sockets
open System.Text.Json
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Expecto

/// The full path of a program; the test is skipped, and fails in CI, where it is not installed.
let program (name: string) : string =
    [ "/usr/bin"; "/usr/local/bin" ]
    |> List.map (fun directory -> Path.Combine(directory, name))
    |> List.tryFind File.Exists
    |> Option.defaultWith (fun () ->
        Skip.because $"{name} is not installed"
        "")

/// A port that nobody listens on at this moment.
let freePort () : int =
    use socket = new Socket(SocketType.Stream, ProtocolType.Tcp)
    socket.Bind(IPEndPoint(IPAddress.Loopback, 0))

    match socket.LocalEndPoint with
    | :? IPEndPoint as bound -> bound.Port
    | other -> failtest $"bound to {other}"

let private http = new HttpClient(Timeout = patience)

/// The body of a GET; empty while nobody answers with 200.
let fetch (url: string) : string =
    try
        use answer = http.GetAsync(url).GetAwaiter().GetResult()

        if answer.IsSuccessStatusCode then
            answer.Content.ReadAsStringAsync().GetAwaiter().GetResult()
        else
            ""
    with :? HttpRequestException ->
        ""

/// A server as a process of its own, killed when disposed of.
type Server(name: string, words: string list, directory: string) =
    let start = ProcessStartInfo(program name, words)

    do
        start.RedirectStandardOutput <- true
        start.RedirectStandardError <- true
        start.WorkingDirectory <- directory

    let server = new Process(StartInfo = start)
    let said = Collections.Concurrent.ConcurrentQueue<string>()

    let keep =
        DataReceivedEventHandler(fun _ line ->
            match line.Data with
            | null -> ()
            | text -> said.Enqueue text)

    do
        server.OutputDataReceived.AddHandler keep
        server.ErrorDataReceived.AddHandler keep
        server.Start() |> ignore
        server.BeginOutputReadLine()
        server.BeginErrorReadLine()

    /// Its last lines.
    member _.Said: string = said |> Seq.rev |> Seq.truncate 10 |> String.concat "\n"

    /// Has it end by itself, with all that it still has to write.
    member _.End() : unit =
        sendSignal (server.Id, SigTerm) |> ignore
        server.WaitForExit(TimeSpan.FromSeconds 60.0) |> ignore

    interface IDisposable with
        member _.Dispose() =
            if not server.HasExited then
                server.Kill()
                server.WaitForExit()

            server.Dispose()

/// Waits until a server answers; a busy machine takes its time over it.
let private untilReady (server: Server) (url: string) : unit =
    eventually (TimeSpan.FromSeconds 60.0) $"{url} answers; {server.Said}" (fun () -> fetch url <> "")

/// A running VictoriaMetrics. The directory keeps its data.
type VictoriaMetrics(directory: string, port: int) =
    let server =
        new Server(
            "victoria-metrics",
            [
                $"-storageDataPath={directory}/victoria"
                $"-httpListenAddr=127.0.0.1:{port}"
                "-memory.allowedPercent=5"
            ],
            directory
        )

    do untilReady server $"http://127.0.0.1:{port}/health"

    /// Where it listens.
    member _.Url: string = $"http://127.0.0.1:{port}"

    /// The values that it has of a series, in the order of their times; those that came twice are there twice.
    member this.Values(series: string) : float list =
        fetch $"{this.Url}/internal/force_flush" |> ignore

        [
            for line in
                (fetch $"{this.Url}/api/v1/export?match[]={Uri.EscapeDataString series}").Split('\n', StringSplitOptions.RemoveEmptyEntries) do
                use document = JsonDocument.Parse line

                let all name =
                    (document.RootElement.GetProperty(name: string)).EnumerateArray()

                for time, value in Seq.zip (all "timestamps") (all "values") do
                    time.GetInt64(), value.GetDouble()
        ]
        |> List.sort
        |> List.map snd

    /// Stores lines of Prometheus's text format, each with its time in milliseconds, and makes them visible.
    member this.Store(lines: string) : unit =
        use body = new StringContent(lines)

        use answer = http.PostAsync($"{this.Url}/api/v1/import/prometheus", body).GetAwaiter().GetResult()

        if not answer.IsSuccessStatusCode then
            failtest $"HTTP {int answer.StatusCode} to what was to be stored"

        fetch $"{this.Url}/internal/force_flush" |> ignore

    interface IDisposable with
        member _.Dispose() =
            // Killed, it loses what it has taken in the last seconds: it has no log to recover that from.
            server.End()
            (server :> IDisposable).Dispose()

/// A running Prometheus. The directory keeps its data.
type Prometheus(directory: string, port: int, configuration: string, flags: string list) =
    let file = Path.Combine(directory, "prometheus.yml")
    do File.WriteAllText(file, configuration)

    let server =
        new Server(
            "prometheus",
            [
                $"--config.file={file}"
                $"--storage.tsdb.path={directory}/data"
                $"--web.listen-address=127.0.0.1:{port}"
            ]
            @ flags,
            directory
        )

    do untilReady server $"http://127.0.0.1:{port}/-/ready"

    /// Where it listens.
    member _.Url: string = $"http://127.0.0.1:{port}"

    /// What it answers to a query at this moment: each series with its labels and its values with their times.
    member this.Query(expression: string) : JsonElement list =
        let answer = fetch $"{this.Url}/api/v1/query?query={Uri.EscapeDataString expression}"

        if answer = "" then
            failtest $"no answer to {expression}; {server.Said}"

        use document = JsonDocument.Parse answer

        [
            for result in (document.RootElement.GetProperty "data").GetProperty("result").EnumerateArray() do
                result.Clone()
        ]

    interface IDisposable with
        member _.Dispose() = (server :> IDisposable).Dispose()
