/// Agents that send metrics to a receiver, or serve them, at a pace that suits tests.
module Agent.EndToEnd.Tests.MetricsAgent

open System
open System.Text.RegularExpressions
open Agent.TestSupport.AgentProcess
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.Waiting
open Agent.TestSupport.Prometheus
open Expecto

/// How long a test waits for what a busy machine may take its time for.
let limit = TimeSpan.FromSeconds 90.0

/// Every duration of the agent is divided by five.
let fast = [ "AI_DASHBOARD_TOKEN", ""; "AI_DASHBOARD_TEST_TIME_SCALE", "5" ]

/// An agent without a webapp that takes a sample each 100 ms.
let startAlone (words: string list) : AgentProcess =
    startWith fast ([ "--interval=0.5"; "--hostname=gpu-box-01" ] @ words)

/// Where the metrics of an agent are that listens on any port.
let metricsOf (agent: AgentProcess) : string =
    let mutable url = ""

    eventually limit agent.Said (fun () ->
        url <-
            agent.Output
            |> List.tryPick (fun line ->
                match Regex.Match(line, "metrics at (http://[^ ]*/metrics)") with
                | found when found.Success -> Some found.Groups[1].Value
                | _ -> None)
            |> Option.defaultValue ""

        url <> "")

    url

/// What the agent itself says of a metric, with its labels where it has any; 0 while it says nothing.
let says (url: string) (metric: string) : int =
    match Regex.Match("\n" + fetch url, "\n" + Regex.Escape metric + " ([0-9]+)\n") with
    | found when found.Success -> int found.Groups[1].Value
    | _ -> 0

/// Ends the agent, which delivers what waits first.
let finish (agent: AgentProcess) : unit =
    agent.Signal SigTerm
    Expect.equal (agent.WaitForEnd limit) 0 $"exit code; {agent.Said}"
