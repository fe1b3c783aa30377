namespace Agent.Receiver

open Agent.Core
open Agent.Core.Units

/// Decides for senders that send no verdict, from their samples: the machine and its GPUs are seen, and no jobs.
[<RequireQualifiedAccess>]
module Judging =
    /// After a silence that is longer than a window, what was seen before says nothing.
    let private longestGap = 60.0<s>

    /// What is said after one more sample, and what to remember of it; samples come in the order of time.
    [<CompiledName "Step">]
    let step (state: VerdictState) (previous: Measured voption) (current: Measured) : struct (VerdictState * Judgement voption) =
        match SampleEvidence.ofSamples (previous |> ValueOption.map _.Sample) current.Sample with
        | ValueSome evidence when evidence.Length <= longestGap ->
            let next, verdicts = Verdict.decide state evidence

            struct (next,
                    ValueSome
                        {
                            Source = JudgementSource.Dashboard
                            Machine = verdicts.Machine
                            Jobs = [||]
                        })
        | _ -> struct (VerdictState.Empty, ValueNone)
