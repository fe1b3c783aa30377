namespace Agent.Core.Causes

open System
open Agent.Core
open Agent.Core.Units

/// From findings to one label.
[<RequireQualifiedAccess>]
module internal Decision =
    // What it takes from the confidence that a limit has only half of its stage's time, and that it explains only half of all. Both are
    // figures of the limit itself, so that more room in it never makes its label more certain.
    let private shareDoubt, partDoubt = 0.15, 0.2

    // Below 0.5 a verdict is a guess; a label of nothing is less than that.
    let private guess = 0.2

    /// The strongest finding that explains enough, the one close behind, and how sure that is.
    let private choose (findings: Finding list) : struct (Finding * VerdictLabel voption * float) voption =
        let ranked =
            findings
            |> List.filter (fun finding -> finding.Clues |> List.exists (fun clue -> clue.Pull > 0.0))
            |> Finding.ranked

        match ranked with
        | first :: rest when first.Strength >= Limits.explains ->
            let nearness =
                match rest with
                | second :: _ -> second.Strength / first.Strength
                | [] -> 0.0

            let second =
                match rest with
                | second :: _ when nearness >= Limits.close -> ValueSome second.Label
                | _ -> ValueNone

            let doubt =
                shareDoubt * Clue.ramp Limits.alone Limits.half first.Part
                + partDoubt * Clue.ramp Limits.stage Limits.explains first.Strength

            let sure = Math.Max(0.05, Finding.confidence first - doubt)
            // With another one close behind in its own stage it is one of two.
            ValueSome(
                first,
                second,
                (if first.Part < Limits.close then
                     min Limits.lonely sure
                 else
                     sure)
            )
        | _ -> ValueNone

    /// The clearest first; those that contradict come last.
    let private witnesses (finding: Finding) : Witness[] =
        finding.Clues
        |> List.sortBy (fun clue -> -clue.Pull)
        |> List.map _.Witness
        |> Array.ofList

    let private tells (first: VerdictLabel) (second: VerdictLabel voption) (label: VerdictLabel) =
        label.Name = first.Name
        || (match second with
            | ValueSome second -> label.Name = second.Name
            | ValueNone -> false)

    let private causes (scene: Scene) : Finding list =
        let network = NetworkCauses.find scene

        let starved =
            match network with
            | finding :: _ when
                finding.Label.IsNetwork
                && scene.Main.CpuSide < Limits.asleep
                && (Imbalance.workOfWaiting scene).IsSome
                ->
                finding.Strength
            | _ -> 0.0<percent>

        GpuCauses.find scene
        @ Imbalance.find starved scene
        @ CpuCauses.find scene
        @ StorageCauses.find scene
        @ network

    let private ofCauses (scene: Scene) : Decided =
        match choose (causes scene) with
        | ValueSome(first, second, confidence) ->
            let excluded = RuledOut.ofJob scene (tells first.Label second)

            {
                Label = first.Label
                Second = second
                Confidence =
                    if scene.IsAnonymous then
                        min Limits.anonymous confidence
                    else
                        confidence
                Reason = Reasons.ofJob scene first.Label second excluded
                Fix = Fixes.ofJob scene first.Label
                Evidence = witnesses first
                RuledOut = excluded
                Since = ValueNone
            }
        | ValueNone ->
            let excluded = RuledOut.ofJob scene (fun _ -> false)

            {
                Label = VerdictLabel.Unknown
                Second = ValueNone
                Confidence = guess
                Reason = Reasons.ofJob scene VerdictLabel.Unknown ValueNone excluded
                Fix = Fixes.ofJob scene VerdictLabel.Unknown
                Evidence = scene.WaitClue |> List.map _.Witness |> Array.ofList
                RuledOut = excluded
                Since = ValueNone
            }

    /// What holds a job back, by the window and by how long it stands still.
    let ofJob (scene: Scene) (at: DateTimeOffset) (still: Standstill.Still) : Decided =
        match Standstill.judge scene at still with
        | _ when scene.Job.IsStopped -> StandstillWords.stopped scene
        | Standstill.Kind.HangsBusy time -> StandstillWords.hang scene still.Pinned time
        | Standstill.Kind.HangsSilent time -> StandstillWords.hang scene still.Silent time
        | Standstill.Kind.Held time -> StandstillWords.heldIdle scene still.Unused time
        | Standstill.Kind.No -> ofCauses scene

    /// What holds a machine back whose GPUs are not in use.
    let ofHost (host: HostEvidence) : Decided =
        let chosen = choose (HostCauses.find host)

        let label, second, confidence, evidence =
            match chosen with
            | ValueSome(first, second, confidence) -> first.Label, second, confidence, witnesses first
            | ValueNone -> VerdictLabel.Unknown, ValueNone, guess, [||]

        let excluded = RuledOut.ofHost host (tells label second)

        {
            Label = label
            Second = second
            Confidence = confidence
            Reason = Reasons.ofHost host label second excluded evidence
            Fix = Fixes.ofHost host label
            Evidence = evidence
            RuledOut = excluded
            Since = ValueNone
        }

    /// Too little was seen yet.
    let starting (reason: string) : Decided =
        {
            Label = VerdictLabel.Starting
            Second = ValueNone
            Confidence = 0.0
            Reason = reason
            Fix = ""
            Evidence = [||]
            RuledOut = [||]
            Since = ValueNone
        }
