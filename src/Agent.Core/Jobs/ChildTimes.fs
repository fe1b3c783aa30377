/// CPU time of processes that ended between two looks: their parents have it, once they waited for them.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.ChildTimes

open System.Collections.Generic
open Agent.Core
open Agent.Core.Units

/// What ended children of a process used since the look before, for each process that is still there; none for a process that is new. Of a child
/// that was itself seen before only what it used since then counts: the rest was counted while it lived.
let growth
    (before: JobCounters voption)
    (after: JobCounters)
    (earlierOf: ProcessCounters -> ProcessCounters voption)
    : ProcessCounters -> float<tick> voption =
    let living = HashSet<int>()

    for one in after.Processes do
        if (earlierOf one).IsSome then
            living.Add one.Pid |> ignore

    // What was counted already, by the living process that has it now.
    let counted = Dictionary<int, float>()

    match before with
    | ValueSome before ->
        let parents = Dictionary<int, int>()

        for one in before.Group.Processes do
            parents[one.Pid] <- one.Parent

        let parentOf (pid: int) =
            match parents.TryGetValue pid with
            | true, parent -> parent
            | _ -> 0

        for one in before.Processes do
            if not (living.Contains one.Pid) then
                let mutable heir = parentOf one.Pid
                let mutable steps = 0

                while heir <> 0 && steps < parents.Count && not (living.Contains heir) do
                    heir <- parentOf heir
                    steps <- steps + 1

                if living.Contains heir then
                    let known = ref 0.0
                    counted.TryGetValue(heir, known) |> ignore
                    counted[heir] <- known.Value + float one.CpuTime + float one.ChildTime
    | ValueNone -> ()

    fun one ->
        match earlierOf one with
        | ValueSome earlier ->
            match Rates.grown earlier.ChildTime one.ChildTime with
            | ValueSome grown ->
                let known = ref 0.0
                counted.TryGetValue(one.Pid, known) |> ignore
                ValueSome(LanguagePrimitives.FloatWithMeasure(max 0.0 (float grown - known.Value)))
            | ValueNone -> ValueNone
        | ValueNone -> ValueNone
