/// The agent with a looping nvidia-smi, whose end must never be later than its own.
module Agent.EndToEnd.Tests.NvidiaSmiTests

open System
open System.IO
open System.Text.Json
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.TestSupport.Gpu
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

[<Literal>]
let private SigKill = 9

let private gpusOf (request: Request) =
    use document = JsonDocument.Parse(ReadOnlyMemory request.Body)

    [
        for gpu in (document.RootElement.GetProperty("sample").GetProperty "gpus").EnumerateArray() do
            (gpu.GetProperty "gpu_index").GetInt32(), (gpu.GetProperty "utilization_gpu_percent").GetRawText()
    ]

/// Runs a test with an agent that finds the fake before anything else, and its own tools in these places.
let private withAgent (places: string) (lines: string) (test: Machine -> IngestServer -> AgentProcess -> unit) =
    withMachine (machineOf ("smi_log 1\n" + lines) 8) (fun machine ->
        FakeNvidiaSmi.install machine |> ignore
        use server = new IngestServer(stored)
        let path = "PATH", $"{machine.Directory}{places}"
        use agent = startWith [ path ] (targetOf server.Url @ [ "--interval=0.5"; "--gpu-source=nvidia-smi" ])
        test machine server agent)

/// Kills the agent without a chance to clean up, and waits for the ends of all that it started.
let private killed (machine: Machine) (agent: AgentProcess) =
    agent.Signal SigKill
    agent.WaitForEnd patience |> ignore
    let pids = FakeNvidiaSmi.starts machine |> List.map fst
    eventually (TimeSpan.FromSeconds 5.0) $"the ends of %A{pids}" (fun () -> not (List.exists isAlive pids))

let private looping (machine: Machine) (server: IngestServer) (agent: AgentProcess) : int =
    eventually patience $"eight GPUs; {agent.Said}" (fun () -> server.Requests |> List.exists (fun r -> (gpusOf r).Length = 8))

    match FakeNvidiaSmi.loops machine with
    | [ pid ] ->
        Expect.isTrue (isAlive pid) "it runs"
        pid
    | others -> failtest $"one loop expected, not %A{others}"

let private tools = $":{World.path ()}"

let tests =
    testList
        "nvidia-smi"
        [
            testCase "samples carry the newest round of one program that knows no secret"
            <| fun () ->
                withAgent tools "" (fun machine server agent ->
                    let pid = looping machine server agent
                    let environment = File.ReadAllText $"/proc/{pid}/environ"
                    Expect.isFalse (environment.Contains "AI_DASHBOARD_" || environment.Contains Token) "its environment"
                    Expect.stringContains environment "LC_ALL=C\000" "in English"
                    let expected = List.init 8 (fun i -> i, string (90 + i))
                    Expect.equal (gpusOf (List.last server.Requests)) expected "all of them"
                    machine.Play(machineOf "smi_log 1" 8 |> _.Replace("utilization_gpu 9", "utilization_gpu 1"))
                    let later = List.init 8 (fun i -> i, string (10 + i))
                    eventually patience "the next round" (fun () -> gpusOf (List.last server.Requests) = later)
                    Expect.equal (FakeNvidiaSmi.loops machine) [ pid ] "the same program"
                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                    eventually patience "its end" (fun () -> not (isAlive pid)))

            testCase "kill -9 of the agent leaves no program behind"
            <| fun () ->
                withAgent tools "" (fun machine server agent ->
                    looping machine server agent |> ignore
                    killed machine agent)

            testCase "kill -9 of the agent ends a program that hangs and takes no polite signal"
            <| fun () ->
                withAgent tools "smi_hang_after 2\nsmi_hang_deaf 1" (fun machine server agent ->
                    looping machine server agent |> ignore
                    // Two rounds are over by then.
                    Threading.Thread.Sleep 3000
                    killed machine agent)

            testCase "kill -9 of the agent ends a program that was started for one reading"
            <| fun () ->
                withAgent tools "smi_ms 60000" (fun machine _ agent ->
                    eventually patience "a start" (fun () -> not (FakeNvidiaSmi.starts machine).IsEmpty)
                    killed machine agent)

            testCase "without setpriv the closed pipe ends the program"
            <| fun () ->
                withAgent "" "" (fun machine server agent ->
                    looping machine server agent |> ignore
                    killed machine agent)
        ]
