/// Remote-write into real receivers, with outages, kills and lost answers in the middle: every sample must be there when it
/// is over, once.
module Agent.EndToEnd.Tests.RemoteWriteTests

open System
open System.IO
open System.Net.Http
open System.Net.Http.Headers
open System.Threading
open System.Threading.Tasks
open Microsoft.AspNetCore.Http
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.EndToEnd.Tests.MetricsAgent
open Agent.TestSupport.Prometheus
open Expecto

let private writeTo (port: int) =
    $"--remote-write=http://127.0.0.1:{port}/api/v1/write"

/// A counter that tells the samples of one life of the agent apart: 1, 2, 3, …
[<Literal>]
let private Counter = "ai_dashboard_samples_taken_total"

let private receiver (directory: string) (port: int) (configuration: string) =
    new Prometheus(directory, port, configuration, [ "--web.enable-remote-write-receiver" ])

let private plain = "global: {}\n"

let private withWindow = "storage:\n  tsdb:\n    out_of_order_time_window: 10m\n"

/// The counter of every sample that a Prometheus has, in the order of their times.
let private counts (prometheus: Prometheus) : int list =
    match prometheus.Query $"{Counter}{{instance=\"gpu-box-01\",job=\"ai-dashboard-agent\"}}[10m]" with
    | [] -> []
    | [ series ] ->
        [
            for value in (series.GetProperty "values").EnumerateArray() -> int (value[1].GetString() |> nonNull)
        ]
    | several -> failtest $"{several.Length} series"

let private ofRemote (name: string) =
    $"{name}{{destination=\"remote-write\"}}"

/// An outage in the middle. Each `using` is one life of the receiver, and what it has is looked at at its end.
let private outage (life: string -> int -> (((unit -> int list)) -> unit) -> unit) : unit =
    World.withDirectory (fun directory ->
        let port = freePort ()

        use agent = startAlone [ writeTo port; "--listen=127.0.0.1:0"; $"--spool={directory}/spool" ]

        let url = metricsOf agent
        // The receiver is not there yet; then it is, goes away, and comes back with what it had.
        agent.WaitForError "remote-write not delivered: "
        life directory port (fun found -> eventually limit "the first samples arrive" (fun () -> (found ()).Length >= 5))
        let before = says url Counter
        eventually limit "an outage of twenty samples" (fun () -> says url Counter >= before + 20)

        life directory port (fun found ->
            eventually limit "those of the outage arrive too" (fun () ->
                says url (ofRemote "ai_dashboard_samples_delivered_total") > before + 20
                && (found ()).Length > before + 20)

            finish agent
            let all = found ()
            Expect.equal all [ 1 .. List.last all ] "every sample, each once"
            Expect.isFalse (agent.AllErrors |> List.exists _.Contains("refused")) $"nothing is refused; {agent.Said}"))

let private inPrometheus (configuration: string) (directory: string) (port: int) (test: (unit -> int list) -> unit) : unit =
    use prometheus = receiver directory port configuration
    test (fun () -> counts prometheus)

let private inVictoriaMetrics (directory: string) (port: int) (test: (unit -> int list) -> unit) : unit =
    use server = new VictoriaMetrics(directory, port)
    test (fun () -> server.Values $"{Counter}{{instance=\"gpu-box-01\"}}" |> List.map int)

let private http = new HttpClient(Timeout = TimeSpan.FromSeconds 20.0)

/// Passes a request on, as a proxy does, and answers what it is answered.
let private passOn (port: int) (request: Request) : int * string =
    use message =
        new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{port}{request.Target}", Content = new ByteArrayContent(request.Body))

    let content = message.Content |> nonNull
    content.Headers.ContentType <- MediaTypeHeaderValue.Parse(request.Header "Content-Type")
    content.Headers.ContentEncoding.Add(request.Header "Content-Encoding")
    use answer = http.Send message
    int answer.StatusCode, answer.Content.ReadAsStringAsync().GetAwaiter().GetResult()

let private isOfTwo (request: Request) : bool =
    request.Header("Content-Type").Contains("io.prometheus.write.v2.Request", StringComparison.Ordinal)

/// A proxy in front of a receiver of 1.0 that is closed at first, so that samples wait; then passes one request on and loses the answer; and
/// from then on does its work.
let private losesOneAnswer (port: int) (isOpen: unit -> bool) (lost: ResizeArray<byte[]>) : Reply =
    fun request context ->
        task {
            if isOfTwo request then
                context.Response.StatusCode <- 415
            elif not (isOpen ()) then
                context.Response.StatusCode <- 503
            elif lost.Count = 0 then
                let status, _ = passOn port request
                Expect.equal status 204 "it is stored"
                lost.Add request.Body
                context.Abort()
            else
                let status, words = passOn port request
                context.Response.StatusCode <- status

                if words <> "" then
                    do! context.Response.WriteAsync words
        }

let private lostAnswer (configuration: string) (check: int -> int -> unit) : unit =
    World.withDirectory (fun directory ->
        let port = freePort ()
        use prometheus = receiver directory port configuration
        let mutable isOpen = false
        let lost = ResizeArray<byte[]>()
        use proxy = new IngestServer(losesOneAnswer port (fun () -> Volatile.Read &isOpen) lost)

        use agent = startAlone [ $"--remote-write={proxy.Url}/api/v1/write"; "--listen=127.0.0.1:0" ]

        let url = metricsOf agent
        eventually limit "a backlog" (fun () -> says url (ofRemote "ai_dashboard_backlog_samples") >= 10)
        Volatile.Write(&isOpen, true)

        eventually limit "all of it is done with" (fun () -> lost.Count = 1 && says url (ofRemote "ai_dashboard_backlog_samples") = 0)

        let sent =
            (RemoteWriteText.seriesOf (RemoteWriteText.decompress lost[0])
             |> List.map _.Milliseconds
             |> List.distinct)
                .Length

        Expect.isGreaterThan sent 5 "many samples went in one request"
        check sent (says url (ofRemote "ai_dashboard_samples_unconfirmed_total"))

        Expect.equal
            (says url "ai_dashboard_samples_dropped_total{destination=\"remote-write\",reason=\"refused\"}")
            0
            "none is counted as lost"

        finish agent
        let all = counts prometheus
        Expect.equal all [ 1 .. List.last all ] "every sample, each once")

let private okay: Reply =
    fun _ context ->
        context.Response.StatusCode <- 204
        Task.CompletedTask

let private secretFile (directory: string) (lines: string list) : string =
    let path = Path.Combine(directory, "headers")
    File.WriteAllLines(path, lines)
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
    path

let tests =
    testList
        "remote-write"
        [
            testCase "an outage loses nothing, with Prometheus as it is"
            <| fun () -> outage (inPrometheus plain)

            testCase "nor with a window for samples out of order"
            <| fun () -> outage (inPrometheus withWindow)

            testCase "nor with VictoriaMetrics, which keeps what comes twice twice"
            <| fun () -> outage inVictoriaMetrics

            testCase "a kill in the middle of an outage loses nothing that was taken, where there is a spool"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()
                    let words = [ writeTo port; "--listen=127.0.0.1:0"; $"--spool={directory}/spool" ]
                    let mutable taken = 0

                    using (startAlone words) (fun agent ->
                        let url = metricsOf agent
                        eventually limit "twenty samples" (fun () -> says url Counter >= 20)
                        taken <- says url Counter
                        agent.Signal 9
                        agent.WaitForEnd limit |> ignore)

                    use prometheus = receiver directory port plain
                    use agent = startAlone words
                    let url = metricsOf agent

                    eventually limit "what was left arrives" (fun () ->
                        says url (ofRemote "ai_dashboard_samples_delivered_total") > taken
                        && says url (ofRemote "ai_dashboard_backlog_samples") = 0)

                    finish agent
                    let all = counts prometheus
                    // The second life counts from 1 again.
                    let second = all |> List.tail |> List.findIndex ((=) 1) |> (+) 1
                    let one, other = List.splitAt second all
                    Expect.isGreaterThanOrEqual one.Length taken "all that was taken"
                    Expect.equal one [ 1 .. one.Length ] "of the first life, each once"
                    Expect.equal other [ 1 .. other.Length ] "of the second life, each once"
                    Expect.isFalse (agent.AllErrors |> List.exists _.Contains("refused")) $"nothing is refused; {agent.Said}")

            testCase "samples sent again after a lost answer are not counted as lost, though Prometheus refuses them"
            <| fun () ->
                lostAnswer plain (fun sent unconfirmed ->
                    // It takes the newest of them again, as it is the same, and refuses those before as out of order.
                    Expect.equal unconfirmed (sent - 1) "unconfirmed")

            testCase "with a window for samples out of order they are simply delivered"
            <| fun () -> lostAnswer withWindow (fun _ unconfirmed -> Expect.equal unconfirmed 0 "unconfirmed")

            testCase "a receiver of 2.0 is sent 2.0, one of 1.0 in its place 1.0, and nothing is lost between them"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()
                    use prometheus = receiver directory port withWindow
                    let stored = ResizeArray<RemoteWriteText.Series>()
                    let mutable isNew = true

                    // What comes as 2.0 is kept here; what comes as 1.0, or as 2.0 to what does not know it, goes on.
                    let reply: Reply =
                        fun request context ->
                            task {
                                if Volatile.Read &isNew && isOfTwo request then
                                    let series = RemoteWriteText.seriesOf (RemoteWriteText.decompress request.Body)
                                    stored.AddRange series
                                    context.Response.Headers["X-Prometheus-Remote-Write-Samples-Written"] <- string series.Length
                                    context.Response.StatusCode <- 204
                                else
                                    let status, words = passOn port request
                                    context.Response.StatusCode <- status

                                    if words <> "" then
                                        do! context.Response.WriteAsync words
                            }

                    use server = new IngestServer(reply)
                    use agent = startAlone [ $"--remote-write={server.Url}/api/v1/write"; "--listen=127.0.0.1:0" ]
                    let url = metricsOf agent
                    eventually limit "samples as 2.0" (fun () -> says url Counter >= 10)
                    Volatile.Write(&isNew, false)
                    let before = says url Counter
                    eventually limit "samples as 1.0" (fun () -> says url Counter >= before + 10)
                    finish agent

                    let first =
                        [
                            for one in stored do
                                if one.Label "__name__" = Counter then
                                    int one.Value
                        ]

                    Expect.isGreaterThan first.Length 5 "as 2.0"
                    let all = first @ counts prometheus
                    Expect.equal all [ 1 .. List.last all ] "every sample, each once"

                    Expect.contains
                        agent.Output
                        "remote-write: the receiver does not know 2.0 of the protocol; it is sent 1.0"
                        "it is told")

            testCase "headers of the file reach the receiver, anew when it changes, and are in nothing that is printed or kept"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let file =
                        secretFile directory [ "# for the tests"; $"Authorization: Bearer {Token}"; "X-Scope-OrgID: team-a" ]

                    let repeats: Reply =
                        fun request context ->
                            task {
                                context.Response.StatusCode <- 400
                                do! context.Response.WriteAsync("no: " + request.Header "Authorization")
                            }

                    let mutable isBad = false

                    use server =
                        new IngestServer(fun request context -> (if Volatile.Read &isBad then repeats else okay) request context)

                    use agent =
                        startAlone
                            [
                                $"--remote-write={server.Url}/api/v1/push?tenant=x"
                                $"--remote-write-header-file={file}"
                                $"--spool={directory}/spool"
                                "--log-level=DEBUG"
                            ]

                    eventually limit "requests" (fun () -> server.Requests.Length >= 3)
                    let first = server.Requests[0]
                    Expect.equal first.Target "/api/v1/push?tenant=x" "the whole URL"

                    let headers (request: Request) =
                        [
                            "Authorization"
                            "X-Scope-OrgID"
                            "Content-Type"
                            "Content-Encoding"
                            "X-Prometheus-Remote-Write-Version"
                        ]
                        |> List.map (fun name -> request.Header name)

                    Expect.equal
                        (headers first)
                        [
                            $"Bearer {Token}"
                            "team-a"
                            "application/x-protobuf;proto=io.prometheus.write.v2.Request"
                            "snappy"
                            "2.0.0"
                        ]
                        "of 2.0"

                    Expect.equal
                        (headers server.Requests[1])
                        [ $"Bearer {Token}"; "team-a"; "application/x-protobuf"; "snappy"; "0.1.0" ]
                        "of 1.0, since the answer does not say how much it stored"

                    Expect.stringStarts (first.Header "User-Agent") "ai-dashboard-agent/" "who it is"

                    secretFile directory [ $"Authorization: Bearer {Token}2"; "X-Scope-OrgID: team-b" ]
                    |> ignore

                    eventually limit "the new headers" (fun () ->
                        server.Requests
                        |> List.exists (fun request ->
                            (request.Header "Authorization", request.Header "X-Scope-OrgID") = ($"Bearer {Token}2", "team-b")))

                    secretFile directory [ "Host: elsewhere" ] |> ignore
                    agent.WaitForError "line 1 sets Host, which the agent sets itself; remove it; the previous headers are sent"
                    Volatile.Write(&isBad, true)
                    agent.WaitForError "remote-write not delivered: HTTP 400: no: "

                    for path in Directory.GetFiles($"{directory}/spool", "*", SearchOption.AllDirectories) do
                        if Path.GetFileName path <> "lock" then
                            Expect.isFalse ((File.ReadAllText path).Contains Token) path)

            testCase "the webapp, a receiver and a scrape are served together, and each is told of"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use webapp = new IngestServer(stored)
                    let port = freePort ()
                    use prometheus = receiver directory port plain

                    use agent =
                        startWith
                            [ "AI_DASHBOARD_TEST_TIME_SCALE", "5" ]
                            (targetOf webapp.Url @ [ "--interval=0.5"; writeTo port; "--listen=127.0.0.1:0" ])

                    let url = metricsOf agent

                    eventually limit "both are delivered to" (fun () ->
                        says url "ai_dashboard_samples_delivered_total{destination=\"ingest\"}" >= 5
                        && says url (ofRemote "ai_dashboard_samples_delivered_total") >= 5)

                    finish agent
                    let series = prometheus.Query "node_load1"
                    Expect.equal series.Length 1 "one machine"

                    // The slug is the instance.
                    Expect.equal ((series[0].GetProperty("metric").GetProperty "instance").GetString()) "gpu-box-01" "instance"

                    Expect.isGreaterThanOrEqual webapp.Requests.Length 5 "the webapp's")

            testCase "a path that VictoriaMetrics does not know loses nothing, and is advised about"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()
                    use _ = new VictoriaMetrics(directory, port)

                    use agent =
                        startAlone
                            [
                                $"--remote-write=http://127.0.0.1:{port}/api/v1/wrong"
                                "--listen=127.0.0.1:0"
                            ]

                    let url = metricsOf agent

                    eventually limit "advice" (fun () ->
                        agent.AllErrors
                        |> List.exists (fun line ->
                            line.Contains "advice: remote-write: The service at this URL refuses every request"
                            && line.Contains "Correct the path in --remote-write"))

                    agent.WaitForError "the third refusal in a row for this reason, all are kept"
                    Expect.isGreaterThan (says url (ofRemote "ai_dashboard_backlog_samples")) 3 "they wait"

                    Expect.equal
                        (says url "ai_dashboard_samples_dropped_total{destination=\"remote-write\",reason=\"refused\"}")
                        0
                        "none is lost")

            testCase "the configuration for many machines passes every sample on to where it is kept"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()
                    let storage = freePort ()
                    use victoria = new VictoriaMetrics(directory, storage)

                    let configuration =
                        (File.ReadAllText(Path.Combine(Fixtures.root, "packaging", "scale", "prometheus.yml")))
                            .Replace("127.0.0.1:8428", $"127.0.0.1:{storage}")

                    Expect.stringContains configuration $":{storage}/" "the address is ours"
                    use _ = receiver directory port configuration
                    use agent = startAlone [ writeTo port; "--listen=127.0.0.1:0" ]
                    let url = metricsOf agent
                    eventually limit "twenty samples" (fun () -> says url (ofRemote "ai_dashboard_samples_delivered_total") >= 20)
                    let taken = says url Counter
                    finish agent

                    let kept () =
                        victoria.Values $"{Counter}{{instance=\"gpu-box-01\",site=\"lab-a\"}}"
                        |> List.map int

                    eventually limit "all of them are passed on" (fun () -> (kept ()).Length >= taken)
                    let all = kept ()
                    Expect.equal all [ 1 .. List.last all ] "every sample, each once")

            testCase "the doctor tells a receiver from what is none"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let port = freePort ()
                    let other = freePort ()
                    use _ = receiver directory port plain
                    use _ = new VictoriaMetrics(directory, other)

                    let doctor (address: string) =
                        let _, output, _ = runWith fast [ "--doctor"; $"--remote-write={address}" ]
                        output |> List.find (fun line -> line.Contains " remote-write ")

                    for address, finding in
                        [
                            $"http://127.0.0.1:{port}/api/v1/write", "accepts requests; only a query there can show that it stores samples"
                            $"http://127.0.0.1:{other}/api/v1/write",
                            "accepts requests; only a query there can show that it stores samples"
                            $"http://127.0.0.1:{port}/api/v1/wrong", "There is no receiver of remote-write at this URL"
                            $"http://127.0.0.1:{other}/api/v1/wrong", "The service at this URL refuses every request"
                            $"http://127.0.0.1:{freePort ()}/api/v1/write", "Nothing listens at the receiver's address."
                        ] do
                        Expect.stringContains (doctor address) finding address)
        ]
