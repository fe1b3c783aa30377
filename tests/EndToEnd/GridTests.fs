/// The sampling grid in real time. These run alone.
module Agent.EndToEnd.Tests.GridTests

open System
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

/// How far each sample lies behind its point of the grid that the first one anchors, in seconds.
let private lateness (interval: float) (requests: Request list) : float list =
    let instants = requests |> List.map (fun request -> DateTimeOffset.Parse request.CollectedAt)
    let first = List.head instants

    instants
    |> List.mapi (fun index at -> (at - first).TotalSeconds - interval * float index)

/// Runs a test of timing. One that fails while other programs keep every core busy is tried again, three times in all;
/// what fails on a quiet machine has failed.
let private timed (name: string) (test: unit -> unit) =
    let isBusy () =
        let oneMinute = IO.File.ReadAllText("/proc/loadavg").Split(' ')[0]
        Double.Parse(oneMinute, Globalization.CultureInfo.InvariantCulture) > float Environment.ProcessorCount

    let rec attempt left =
        try
            test ()
        with :? AssertException when left > 1 && isBusy () ->
            printfn $"once more, because this machine is busy: {name}"
            attempt (left - 1)

    testCase name (fun () -> attempt 3)

let tests =
    testSequenced
    <| testList
        "grid"
        [
            timed "every half second for six seconds: 12 posts, each within 50 ms of the grid"
            <| fun () ->
                use server = new IngestServer(stored)
                use agent = start (targetOf server.Url @ [ "--interval=0.5" ])
                eventually patience $"the first request; {agent.Said}" (fun () -> server.Requests.Length >= 1)
                Thread.Sleep 5750
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                let requests = server.Requests
                Expect.isTrue (abs (requests.Length - 12) <= 1) $"{requests.Length} posts"
                Expect.equal agent.AllErrors [] "none was late"
                let late = lateness 0.5 requests
                Expect.all late (fun seconds -> abs seconds < 0.05) $"late by %A{late}"

            timed "a webapp that takes its time does not delay the samples"
            <| fun () ->
                use server = new IngestServer(inTurn [ after (TimeSpan.FromSeconds 2.2) stored; stored ])
                use agent = start (targetOf server.Url @ [ "--interval=0.5" ])
                eventually patience $"eight requests; {agent.Said}" (fun () -> server.Requests.Length >= 8)
                agent.Signal SigTerm
                Expect.equal (agent.WaitForEnd patience) 0 "exit code"
                let late = lateness 0.5 server.Requests
                Expect.all late (fun seconds -> abs seconds < 0.05) $"late by %A{late}"
                let waited = server.Requests[1].At - server.Requests[0].At
                Expect.isGreaterThan waited.TotalSeconds 2.1 "the second waited for the first answer"

            timed "a hanging nvidia-smi does not delay the samples"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let path = withProgram directory "nvidia-smi" "exec sleep 60"
                    use server = new IngestServer(stored)
                    use agent = startWith [ path ] (targetOf server.Url @ [ "--interval=0.5" ])
                    eventually patience $"eight requests; {agent.Said}" (fun () -> server.Requests.Length >= 8)
                    agent.Signal SigTerm
                    Expect.equal (agent.WaitForEnd patience) 0 "exit code"

                    // The first one waited for nvidia-smi, after it had read its counters; the grid went on meanwhile.
                    let late =
                        lateness 0.5 server.Requests
                        |> List.map (fun seconds -> seconds - 0.5 * round (seconds / 0.5))

                    Expect.all late (fun seconds -> abs seconds < 0.05) $"off the grid by %A{late}")
        ]
