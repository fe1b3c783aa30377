/// Whether samples keep the grid of their interval, on a machine that may be busy with other tests.
module Agent.EndToEnd.Tests.Grid

open System
open System.Text.RegularExpressions
open Agent.TestSupport.AgentProcess
open Expecto

/// Points of the grid that the agent says it skipped, because this machine was busy.
let skippedBy (agent: AgentProcess) : int =
    agent.AllErrors
    |> List.sumBy (fun line ->
        let found = Regex.Match(line, @"sampling was late: (\d+) sample")
        if found.Success then int found.Groups[1].Value else 0)

/// Points of the grid between samples that have none. A sample may be late by nearly a step without that one is skipped, so it is counted
/// from those that were on time.
let private holes (step: TimeSpan) (instants: DateTimeOffset list) : int =
    let instants = Array.ofList instants
    let mutable most = 0

    for i in 0 .. instants.Length - 1 do
        for j in i + 1 .. instants.Length - 1 do
            let points = int (floor ((instants[j] - instants[i]) / step + 0.05))
            most <- max most (points - (j - i))

    most

/// The agent tells of skips in a row as of one of them, and sums up what it told within a minute, so the number that it told
/// is only a measure. From the second sample on: the first may take longer than an interval, while it waits for the slow sources, and that is
/// no skip.
let hasNoHole (step: TimeSpan) (skipped: int) (name: string) (instants: DateTimeOffset list) : unit =
    let instants = instants |> List.skip (min 1 instants.Length)

    if skipped = 0 then
        Expect.equal (holes step instants) 0 $"no hole in {name}: %A{instants}"
    else
        Expect.isLessThanOrEqual (holes step instants) (5 * skipped) $"no hole in {name} but what it told: %A{instants}"

/// One sample after the other, without a hole but what the agent says it skipped.
let isKept (step: TimeSpan) (agent: AgentProcess) (instants: DateTimeOffset list) : unit =
    for one, next in List.pairwise instants do
        Expect.isLessThan one next $"in order, each once: %A{instants}; {agent.Said}"

    instants |> hasNoHole step (skippedBy agent) $"the samples of {agent.Said}"
