/// The metrics of a running agent, looked at by the tools that are to read them.
module Agent.EndToEnd.Tests.MetricsTests

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Net.Sockets
open System.Text.RegularExpressions
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.EndToEnd.Tests.MetricsAgent
open Agent.TestSupport.Prometheus
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// The metrics of an agent that has taken a sample.
let private scrape (url: string) : string =
    let mutable text = ""

    eventually (TimeSpan.FromSeconds 60.0) $"metrics at {url}" (fun () ->
        text <- fetch url
        text.Contains "\nnode_time_seconds ")

    text

/// An agent without a webapp: the token alone would be half of one.
let private startAlone (variables: (string * string) list) (words: string list) : AgentProcess =
    startWith (("AI_DASHBOARD_TOKEN", "") :: variables) words

let private listen = [ "--listen"; "127.0.0.1:0"; "--interval"; "0.5" ]

/// nvidia-smi as a driver of 2023 answers for an A100 server, whatever it is asked.
let private withGpus (directory: string) : string * string =
    let answer = Fixtures.pathOf "nvidia-smi/driver-525-a100.csv"

    // The columns that are asked for are those of this driver in this order only when it knows no others.
    withProgram directory "nvidia-smi" $"cat {answer}"

/// The names, help texts and types in a text of metrics.
let private described (text: string) : Set<string> =
    text.Split '\n'
    |> Array.filter (fun line -> line.StartsWith("# ", StringComparison.Ordinal))
    |> Set.ofArray

/// The families that are read when a scrape comes, by the beginnings of their names.
let private ofCollectors =
    [
        "netstat"
        "sockstat"
        "softnet"
        "arp"
        "udp_queues"
        "nf_conntrack"
        "network_(?!receive|transmit_(?!queue))"
        "vmstat"
        "filefd"
        "entropy"
        "schedstat"
        "cpu_(scaling|frequency)"
        "edac"
        "md"
        "nfs"
        "mountstats"
        "hwmon"
        "bonding"
        "infiniband"
        "timex"
        "scrape_collector_success"
    ]

/// Their series, each its name and labels, and their values.
let private collected (text: string) : Map<string * (string * string) list, float> =
    let isWanted = Regex("^node_(" + String.Join('|', ofCollectors) + ")")

    // Summaries, which it has of its own, are not read.
    let ofHost =
        text.Split '\n'
        |> Array.filter (fun line ->
            line.StartsWith("node_", StringComparison.Ordinal)
            || line.StartsWith("# HELP node_", StringComparison.Ordinal)
            || line.StartsWith("# TYPE node_", StringComparison.Ordinal))
        |> Array.map (fun line -> line + "\n")

    PrometheusText.readText (ReadOnlySpan(Fixtures.utf8 (String.Join("", ofHost))))
    |> List.collect (fun family -> family.Samples)
    |> List.filter (fun sample -> isWanted.IsMatch sample.Name)
    |> List.map (fun sample -> (sample.Name, List.sort sample.Labels), sample.Value)
    |> Map.ofList

/// True for what may be read between two other readings: what only grows lies between them, and what goes up and down with
/// the load, such as sockets and open files, is near.
let private canBe (name: string) (first: float) (value: float) (last: float) : bool =
    let near =
        if name = "node_scrape_collector_success" || name = "node_network_up" then
            0.0
        else
            64.0 + 0.2 * abs first

    value >= min first last - near && value <= max first last + near

let private promtool (metrics: string) : string list =
    let start = ProcessStartInfo(program "promtool", [ "check"; "metrics" ])
    start.RedirectStandardInput <- true
    start.RedirectStandardOutput <- true
    start.RedirectStandardError <- true
    use tool = Process.Start start |> nonNull
    tool.StandardInput.Write metrics
    tool.StandardInput.Close()
    let said = tool.StandardOutput.ReadToEnd() + tool.StandardError.ReadToEnd()
    tool.WaitForExit()
    List.ofArray (said.Split('\n', StringSplitOptions.RemoveEmptyEntries))

let tests =
    testList
        "metrics"
        [
            testCase "without a webapp the agent serves, and sends nothing"
            <| fun () ->
                use agent = startBare [ "PATH", World.path () ] listen
                let text = scrape (metricsOf agent)
                Expect.isFalse (text.Contains "ai_dashboard_backlog_samples") "there is no destination"
                Expect.equal (PrometheusText.readText (ReadOnlySpan(Fixtures.utf8 text)) |> List.isEmpty) false "it reads"
                Expect.equal (fetch ((metricsOf agent).Replace("/metrics", "/healthz"))) "ok\n" "health"
                let address = Uri(metricsOf agent).Authority

                let asks () =
                    runWith [ "AI_DASHBOARD_TOKEN", "" ] [ "--health"; "--listen"; address ]

                Expect.equal (asks ()) (0, [ "ok" ], []) "--health"
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                let code, _, errors = asks ()
                Expect.equal code 1 "--health once it has ended"
                Expect.stringContains (String.concat "\n" errors) $"no agent answers at {address}" "the sentence"
                Expect.equal (agent.Output |> List.length) 2 "a line at start and one at the end"

                Expect.equal
                    (agent.AllErrors
                     |> List.filter (fun line -> not (line.Contains "sampling was late")))
                    []
                    "nothing else to say"

            testCase "with a webapp it does both, and counts what was delivered"
            <| fun () ->
                use server = new IngestServer(stored)
                use agent = start (targetOf server.Url @ listen)
                let url = metricsOf agent

                eventually patience "deliveries are counted" (fun () ->
                    Regex.IsMatch(fetch url, "ai_dashboard_samples_delivered_total\\{destination=\"ingest\"\\} [1-9]"))


                eventually patience "nothing waits" (fun () ->
                    (fetch url).Contains "\nai_dashboard_backlog_samples{destination=\"ingest\"} 0\n")

            testCase "the scrape shows what the sample says"
            <| fun () ->
                let machine = Fixtures.pathOf "vm-2core-6.18/first"

                use agent =
                    startAlone
                        []
                        (listen
                         @ [ $"--procfs={machine}/proc"; $"--sysfs={machine}/sys"; "--hostname=elsewhere" ])

                let text = scrape (metricsOf agent)

                for line in
                    [
                        // free -b, cat and /proc/diskstats beside the fixture: 3587538 sectors of 512 bytes.
                        "node_memory_MemTotal_bytes 25276514304"
                        "node_load1 0.23"
                        "node_disk_read_bytes_total{device=\"vda\"} 1836819456"
                        "node_network_receive_bytes_total{device=\"eth0\"} 64950419"
                        "node_boot_time_seconds 1795471888"
                        "ai_dashboard_source_success{source=\"cpu\"} 1"
                    ] do
                    Expect.stringContains text ("\n" + line + "\n") line

            testCase "a token is wanted where one was given, and is in nothing that is printed"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let file = Path.Combine(directory, "token")
                    File.WriteAllText(file, Token + "\n")
                    File.SetUnixFileMode(file, UnixFileMode.UserRead)
                    use agent = startAlone [] ([ "--listen-token-file"; file; "--log-level=DEBUG" ] @ listen)
                    let url = metricsOf agent
                    Expect.equal (fetch url) "" "without it nothing is told"
                    use request = new HttpRequestMessage(HttpMethod.Get, url)
                    request.Headers.Add("Authorization", $"Bearer {Token}")
                    use client = new HttpClient()
                    use answer = client.Send request
                    Expect.equal answer.StatusCode HttpStatusCode.OK "with it everything"
                    Expect.isFalse ((answer.Content.ReadAsStringAsync().Result).Contains Token) "it is not among the metrics")

            testCase "a port that is taken ends the agent with one sentence"
            <| fun () ->
                use taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
                taken.Bind(IPEndPoint(IPAddress.Loopback, 0))
                taken.Listen()

                let code, output, errors =
                    runWith [ "AI_DASHBOARD_TOKEN", "" ] [ "--listen"; string taken.LocalEndPoint ]

                Expect.equal code 2 "exit code"
                Expect.equal output [] "stdout"

                Expect.equal
                    errors
                    [
                        $"ai-dashboard-agent: --listen: {taken.LocalEndPoint}: another program listens there already; choose another port"
                    ]
                    "stderr"

            testCase "the doctor says who has the address: nobody, an agent, another program; and speaks of no spool"
            <| fun () ->
                let rowsOf (words: string list) =
                    let code, output, errors = runWith [ "AI_DASHBOARD_TOKEN", "" ] ("--doctor" :: words)
                    Expect.equal errors [] "nothing on standard error"

                    code,
                    output
                    |> List.filter (fun line -> line.Contains "listen" || line.Contains "spool")

                use agent = startAlone [] listen
                let address = (Uri(metricsOf agent)).Authority
                let code, rows = rowsOf [ "--listen"; address ]
                Expect.equal code 0 "all is well"

                match rows with
                | [ row ] -> Expect.stringContains row "An agent is serving metrics at this address right now." "the agent"
                | rows -> failtest $"one row, not {rows}"

                use taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
                taken.Bind(IPEndPoint(IPAddress.Loopback, 0))
                taken.Listen()
                let code, rows = rowsOf [ "--listen"; string taken.LocalEndPoint ]
                Expect.equal code 1 "something is wrong"
                Expect.stringContains rows.Head "another program listens there already" "another"
                let code, rows = rowsOf listen
                Expect.equal code 0 "all is well"
                Expect.stringContains rows.Head "is free" "nobody"

            testCase "the doctor finds the agent behind a token, and a token that cannot be read"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let file = Path.Combine(directory, "token")
                    File.WriteAllText(file, Token + "\n")
                    File.SetUnixFileMode(file, UnixFileMode.UserRead)
                    use agent = startAlone [] ([ "--listen-token-file"; file ] @ listen)
                    let address = (Uri(metricsOf agent)).Authority

                    let doctor (file: string) =
                        let code, output, _ =
                            runWith [ "AI_DASHBOARD_TOKEN", "" ] [ "--doctor"; "--listen"; address; "--listen-token-file"; file ]

                        code, String.concat "\n" output

                    let code, output = doctor file
                    Expect.equal code 0 "all is well"
                    Expect.stringContains output "An agent is serving metrics" "found"
                    Expect.isFalse (output.Contains Token) "and the token is not told"
                    let code, output = doctor (file + "x")
                    Expect.equal code 1 "something is wrong"
                    Expect.stringContains output "does not exist" "why")

            testCase "the installed node_exporter describes its families in the same words"
            <| fun () ->
                let port = freePort ()
                let exporter = "prometheus-node-exporter"

                use server =
                    new Server(exporter, [ $"--web.listen-address=127.0.0.1:{port}"; "--collector.mountstats" ], "/")

                let url = $"http://127.0.0.1:{port}/metrics"

                eventually (TimeSpan.FromSeconds 60.0) $"{exporter} answers; {server.Said}" (fun () -> (fetch url).Contains "node_load1")

                let theirs = described (fetch url)
                use agent = startAlone [] listen

                let ours =
                    described (scrape (metricsOf agent))
                    |> Set.filter (fun line -> line.Contains " node_")

                Expect.isGreaterThan (Set.count ours) 180 "lines"
                Expect.equal (Set.difference ours theirs) Set.empty "only here"

            testCase "the installed node_exporter has the same series of the collectors, with the same values"
            <| fun () ->
                let port = freePort ()
                let exporter = "prometheus-node-exporter"

                use server =
                    new Server(exporter, [ $"--web.listen-address=127.0.0.1:{port}"; "--collector.mountstats" ], "/")

                let url = $"http://127.0.0.1:{port}/metrics"

                eventually (TimeSpan.FromSeconds 60.0) $"{exporter} answers; {server.Said}" (fun () -> (fetch url).Contains "node_load1")

                use agent = startAlone [] listen
                let own = metricsOf agent
                scrape own |> ignore
                let before = collected (fetch url)
                let ours = collected (fetch own)
                let after = collected (fetch url)

                Expect.isGreaterThan (Map.count ours) 100 "series"

                Expect.equal
                    [
                        for KeyValue(series, value) in ours do
                            match Map.tryFind series before, Map.tryFind series after with
                            | Some first, Some last when canBe (fst series) first value last -> ()
                            // Which are no collectors there.
                            | None, None when List.contains (snd series) [ [ "collector", "process" ]; [ "collector", "lustre" ] ] -> ()
                            | first, last -> $"{series}: {value}, there {first} and {last}"
                    ]
                    []
                    "of ours"

                Expect.equal
                    [
                        for KeyValue(series, value) in after do
                            // An interface without a speed has none here.
                            if
                                not (ours.ContainsKey series)
                                && not (fst series = "node_network_speed_bytes" && value < 0.0)
                                && fst series <> "node_scrape_collector_success"
                            then
                                series
                    ]
                    []
                    "only there"

            testCase "promtool complains of borrowed names alone, and of nothing but their spelling"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use agent = startAlone [ withGpus directory ] listen
                    let text = scrape (metricsOf agent)
                    let complaints = promtool text

                    let ofOurs =
                        complaints
                        |> List.filter (fun line -> line.StartsWith("ai_dashboard_", StringComparison.Ordinal))

                    Expect.equal ofOurs [] "of ours"

                    let kinds =
                        complaints
                        |> List.map (fun line -> Regex.Replace(line, "^(node_memory|node_netstat|DCGM_FI_DEV)_[A-Za-z0-9_]+ ", "$1 "))
                        |> Set.ofList

                    let allowed =
                        Set.ofList
                            [
                                "node_memory metric names should be written in 'snake_case' not 'camelCase'"
                                "node_netstat metric names should be written in 'snake_case' not 'camelCase'"
                                "node_entropy_available_bits use base unit \"bytes\" instead of \"bits\""
                                "node_entropy_pool_size_bits use base unit \"bytes\" instead of \"bits\""
                                // The labels modelName and Hostname.
                                "DCGM_FI_DEV label names should be written in 'snake_case' not 'camelCase'"
                                "DCGM_FI_DEV counter metrics should have \"_total\" suffix"
                            ]

                    Expect.equal (Set.difference kinds allowed) Set.empty "of borrowed names")

            testCase "two jobs of two users, by the scheduler's numbers, and what is left of one that ended"
            <| fun () ->
                if not Environment.IsPrivilegedProcess then
                    Skip.because "only root can start a process of another user"

                World.withDirectory (fun directory ->
                    let sleeper (user: string) =
                        let words = [ "--reuid"; user; "--clear-groups"; "--pdeathsig"; "KILL"; "sleep"; "600" ]
                        Process.Start(program "setpriv", words)

                    use mine = sleeper "0"
                    use others = sleeper "65534"

                    let machine (isOtherThere: bool) =
                        let ofGpu index (text: string) (pid: int) =
                            let lines = gpuLines index
                            lines.Replace("process 4711 16452157440 python", text.Replace("PID", string pid))

                        ofGpu 0 "process PID 1000000000 sleep" mine.Id
                        + ofGpu 1 (if isOtherThere then "process PID 2000000000 sleep" else "") others.Id

                    let jobs = Path.Combine(directory, "jobs")

                    try
                        withMachine ("\n" + machine true) (fun stub ->
                            use agent =
                                startAlone
                                    [ "AI_DASHBOARD_TEST_TIME_SCALE", "10" ]
                                    [
                                        "--listen=127.0.0.1:0"
                                        "--interval=5"
                                        "--cpu-sample-interval=0"
                                        "--gpu-source=nvml"
                                        $"--nvml-library={stub.Library}"
                                        $"--gpu-job-directory={jobs}"
                                    ]

                            let url = metricsOf agent
                            let mutable text = ""

                            let samples () =
                                text <- fetch url

                                if text = "" then
                                    []
                                else
                                    PrometheusText.readText (ReadOnlySpan(Fixtures.utf8 text))
                                    |> List.collect (fun family -> family.Samples)

                            let label name (sample: PrometheusText.Sample) =
                                sample.Labels |> List.tryFind (fst >> (=) name) |> Option.map snd

                            let of' name samples =
                                samples
                                |> List.filter (fun (sample: PrometheusText.Sample) -> sample.Name = name)

                            let owner uid samples =
                                of' "ai_dashboard_job_info" samples
                                |> List.tryFind (fun sample -> label "uid" sample = Some uid)

                            let until what isSo =
                                eventually (TimeSpan.FromSeconds 60.0) $"{what}; {agent.Said}; {text}" (fun () -> isSo (samples ()))

                            until "two jobs, and time that they used" (fun samples ->
                                (owner "0" samples).IsSome
                                && (owner "65534" samples).IsSome
                                && (of' "ai_dashboard_job_gpu_seconds_total" samples
                                    |> List.filter (fun sample -> sample.Value > 0.0)
                                    |> List.distinctBy (label "job")
                                    |> List.length)
                                    =
                                    2)

                            let seen = samples ()
                            let idOf uid = label "job" (owner uid seen).Value

                            for uid, gpu, memory in [ "0", "0", 1e9; "65534", "1", 2e9 ] do
                                match
                                    of' "ai_dashboard_job_gpu_memory_bytes" seen
                                    |> List.filter (fun sample -> label "job" sample = idOf uid)
                                with
                                | [ sample ] ->
                                    Expect.equal (label "gpu" sample) (Some gpu) "its GPU alone"
                                    Expect.equal sample.Value memory "its memory alone"
                                | samples -> failtest $"{samples.Length} GPUs of user {uid}"

                            Expect.equal
                                (promtool text
                                 |> List.filter (fun line -> line.StartsWith("ai_dashboard_", StringComparison.Ordinal)))
                                []
                                "promtool"

                            let missing =
                                agent.AllErrors
                                |> List.filter (fun line -> line.Contains "there is no such directory")

                            Expect.equal missing.Length 1 "the missing directory is told once"

                            Directory.CreateDirectory jobs |> ignore
                            File.WriteAllText(Path.Combine(jobs, "0"), "4711\n")
                            File.WriteAllText(Path.Combine(jobs, "1"), "4712\n")

                            until "the scheduler's numbers" (fun samples ->
                                of' "DCGM_FI_DEV_GPU_UTIL" samples |> List.map (label "hpc_job") = [ Some "4711"; Some "4712" ]
                                && (owner "65534" samples |> Option.bind (label "hpc_job")) = Some "4712")

                            let total uid samples =
                                of' "ai_dashboard_job_gpu_seconds_total" samples
                                |> List.filter (fun sample -> label "job" sample = idOf uid)
                                |> List.sumBy (fun sample -> sample.Value)

                            let before = total "0" (samples ())
                            others.Kill()
                            others.WaitForExit()
                            stub.Play("\n" + machine false)
                            until "the job that ended has left" (fun samples -> (owner "65534" samples).IsNone)
                            until "the other goes on" (fun samples -> total "0" samples > before)

                            Expect.isFalse (text.Contains((idOf "65534").Value)) "nothing of it is left")
                    finally
                        for sleeper in [ mine; others ] do
                            if not sleeper.HasExited then
                                sleeper.Kill())
        ]
