/// The agent where the machine grants it little, or takes back what it had.
module Agent.EndToEnd.Tests.LimitTests

open System.IO
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Expecto

/// A shell's script with the agent and its options behind it as "$@".
let private scripted (program: string) (before: string list) (script: string) (agent: string) (options: string list) : ProgramProcess =
    new ProgramProcess(
        program,
        before @ [ "sh"; "-c"; script; "sh"; agent ] @ options,
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        :: (World.environment () |> List.filter (fun (name, _) -> name <> "PATH"))
    )

let private quick = [ "--interval=0.5"; "--cpu-sample-interval=0"; "--gpu-source=none" ]

/// 192.0.2.0/24 is for documentation (RFC 5737); nobody listens on this port of the loopback either.
let private nowhere = [ "--host=http://127.0.0.1:9"; "--server-slug=s1"; "--token=t"; "--timeout=1" ]

let tests =
    testList
        "limits"
        [
            testCase "a file that may grow no further is one that cannot be written: the agent goes on in memory, and ends in good order"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // In units of 512 bytes or of 1024, as the shell has it. A runtime that compiles has files of its own in memory without the first
                    // variable.
                    use agent =
                        scripted
                            "env"
                            [ "DOTNET_EnableWriteXorExecute=0"; "AI_DASHBOARD_TEST_TIME_SCALE=20" ]
                            "ulimit -f 64; exec \"$@\""
                            binary.Value
                            (nowhere @ quick @ [ "--spool"; directory ])

                    eventually patience $"it says so" (fun () ->
                        agent.HasEnded
                        || agent.Errors
                           |> List.exists (fun line -> line.Contains directory && line.Contains "File too large"))

                    Expect.isFalse agent.HasEnded $"it goes on; {agent.Said}"

                    for file in Directory.GetFiles(Path.Combine(directory, "ingest"), "*.ndjson") do
                        Expect.isTrue (File.ReadAllText(file).EndsWith "}\n") "no half a record"

                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 $"in good order; {agent.Said}")

            testCase "it ends in time though the address where it serves metrics is gone"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let token = Path.Combine(directory, "token")
                    File.WriteAllText(token, "t\n")

                    let script =
                        "ip link set lo up && ip addr add 198.51.100.7/32 dev lo || exit 77\n"
                        + "\"$@\" >\"$0.out\" 2>&1 & agent=$!\n"
                        + "while ! grep -q 'metrics at' \"$0.out\"; do kill -0 $agent || exit 78; sleep 0.1; done\n"
                        + "sleep 1; ip addr del 198.51.100.7/32 dev lo; kill $agent\n"
                        + "for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 $agent 2>/dev/null || exit 0; sleep 1; done\n"
                        + "kill -9 $agent; exit 79"

                    use machine =
                        scripted
                            "unshare"
                            [ "--net" ]
                            (script.Replace("$0", Path.Combine(directory, "agent")))
                            binary.Value
                            (quick @ [ "--listen=198.51.100.7:9835"; $"--listen-token-file={token}" ])

                    match machine.WaitForEnd patience with
                    | 0 -> ()
                    | 1
                    | 77
                    | 127 -> Skip.because $"no network of its own: {machine.Errors}"
                    | code -> failtest $"{code}: {machine.Said}")

            testCase "a limit of threads is told as what it is, at the start and while it runs, where it costs what needed the thread"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let user = "--reuid=54331 --regid=54331 --clear-groups"
                    let agentOf = World.forAnyUser binary.Value
                    World.openFolder directory |> ignore

                    let startedWith (threads: int) =
                        use agent =
                            scripted
                                "env"
                                []
                                $"exec setpriv {user} prlimit --nproc={threads} \"$@\""
                                agentOf
                                [ "--once"; "--dry-run"; "--cpu-sample-interval=0" ]

                        agent.WaitForEnd patience |> ignore
                        agent.AllErrors

                    let said = [ 10..3..31 ] |> List.collect startedWith

                    if said |> List.exists _.StartsWith("setpriv") then
                        Skip.because $"no user of its own: {said}"

                    // With fewer yet the runtime does not start, and says so itself.
                    Expect.exists said _.Contains("no thread can be started: a limit on processes and threads is reached") "what it is"
                    Expect.isFalse (said |> List.exists _.Contains("defect of the agent")) $"%A{said}"

                    if File.Exists(binary.Value + ".dll") then
                        Skip.always "a runtime that compiles ends itself where it gets no thread of its own (AGENT_BINARY)"

                    // Others of the same user take up what there is; then somebody asks for the metrics. The class library's own watches, which
                    // want a thread of the pool, come every 30 s.
                    let script =
                        $"setpriv {user} prlimit --nproc=100 \"$@\" >{directory}/out 2>{directory}/err & agent=$!\n"
                        + $"while ! grep -q 'metrics at' {directory}/out; do kill -0 $agent || exit 78; sleep 0.1; done\n"
                        + $"sleep 2; at=$(sed -n 's,.*metrics at http://\\([^/]*\\)/.*,\\1,p' {directory}/out)\n"
                        + $"setpriv {user} sh -c 'for i in $(seq 120); do sleep 34 & done; wait' & others=$!\n"
                        + "sleep 1; curl -s -m 10 http://$at/metrics >/dev/null; curl -s -m 10 -o /dev/null -w '%{http_code}' http://$at/healthz\n"
                        + $"kill -0 $agent || {{ cat {directory}/err; exit 79; }}\n"
                        + "wait $others; kill $agent; wait $agent"

                    use machine = scripted "env" [] script agentOf (quick @ [ "--listen=127.0.0.1:0" ])

                    Expect.equal (machine.WaitForEnd patience) 0 $"it goes on, and ends in good order; {machine.Said}"
                    Expect.equal machine.Output [ "200" ] "it is healthy")
        ]
