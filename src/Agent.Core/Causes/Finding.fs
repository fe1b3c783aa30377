namespace Agent.Core.Causes

open System
open Agent.Core
open Agent.Core.Units

/// A witness, and how far it speaks for a label: 1 as clearly as it can, 0 not at all, -1 against.
[<Struct>]
type internal Clue = { Witness: Witness; Pull: float }

/// A label that something speaks for.
[<NoComparison>]
type internal Finding =
    {
        /// What would hold the job back.
        Label: VerdictLabel
        /// How much of the job's time it explains, or how occupied the stage is that it limits.
        Strength: float<percent>
        /// Its part of what its stage does, 0 to 1; 1 where it is alone.
        Part: float
        /// Who says so.
        Clues: Clue list
    }

/// Making clues of figures.
[<RequireQualifiedAccess>]
module internal Clue =
    /// 0 at `none` and beyond, 1 at `full` and beyond, a straight line between.
    let ramp (none: float<'u>) (full: float<'u>) (value: float<'u>) : float =
        Math.Clamp((value - none) / (full - none), 0.0, 1.0)

    /// 1 from `full` on, 0 at `none`, -1 as far on the other side of it.
    let swing (none: float<'u>) (full: float<'u>) (value: float<'u>) : float =
        Math.Clamp((value - none) / (full - none), -1.0, 1.0)

    let private make (name: string) (unit: string) (limit: float voption) (pull: float) (value: float) : Clue =
        {
            Witness =
                {
                    Name = name
                    Value = value
                    Limit = limit
                    Unit = unit
                }
            Pull = pull
        }

    /// A share of the time, held against a limit.
    let share (name: string) (limit: float<percent>) (pull: float<percent> -> float) (value: float<percent> voption) : Clue list =
        match value with
        | ValueSome value -> [ make name "%" (ValueSome(float limit)) (pull value) (float value) ]
        | ValueNone -> []

    /// Bytes a second.
    let bytes (name: string) (limit: float<B / s>) (pull: float<B / s> -> float) (value: float<B / s> voption) : Clue list =
        match value with
        | ValueSome value -> [ make name "B/s" (ValueSome(float limit)) (pull value) (float value) ]
        | ValueNone -> []

    /// Milliseconds.
    let time (name: string) (limit: float<ms>) (pull: float<ms> -> float) (value: float<ms> voption) : Clue list =
        match value with
        | ValueSome value -> [ make name "ms" (ValueSome(float limit)) (pull value) (float value) ]
        | ValueNone -> []

    /// A plain number.
    let number (name: string) (limit: float) (pull: float -> float) (value: float voption) : Clue list =
        match value with
        | ValueSome value -> [ make name "" (ValueSome limit) (pull value) value ]
        | ValueNone -> []

    /// A figure that only informs.
    let note (name: string) (unit: string) (value: float<'u> voption) : Clue list =
        match value with
        | ValueSome value -> [ make name unit ValueNone 0.0 (float value) ]
        | ValueNone -> []

/// Weighing what was found.
[<RequireQualifiedAccess>]
module internal Finding =
    // What the clearest witnesses add, in order; more of them add nothing.
    let private worth = [| 0.2; 0.2; 0.1; 0.05 |]

    // Where a single witness leaves off, and what each that contradicts takes away.
    let private ground, doubt = 0.35, 0.25

    /// How sure a finding is by its own witnesses: it rises with each that agrees and falls with each that does not.
    let confidence (finding: Finding) : float =
        let pulls = finding.Clues |> List.map _.Pull |> List.sortDescending
        let support = pulls |> List.filter (fun pull -> pull > 0.0)

        let agreed =
            support
            |> List.truncate worth.Length
            |> List.mapi (fun i pull -> worth[i] * pull)
            |> List.sum

        let against = pulls |> List.filter (fun pull -> pull < 0.0) |> List.sum
        let sure = ground + agreed + doubt * against

        let most =
            if (support |> List.filter (fun pull -> pull >= Limits.agrees) |> List.length) >= 2 then
                Limits.surest
            else
                Limits.lonely

        Math.Clamp(sure, 0.05, most)

    /// The stronger of two findings of one label, with the witnesses of both.
    let private joined (one: Finding) (other: Finding) : Finding =
        let stronger, weaker =
            if one.Strength >= other.Strength then
                one, other
            else
                other, one

        let isNew (clue: Clue) =
            stronger.Clues
            |> List.forall (fun known -> known.Witness.Name <> clue.Witness.Name)

        { stronger with
            Part = max one.Part other.Part
            Clues = stronger.Clues @ List.filter isNew weaker.Clues
        }

    /// One finding for each label, the strongest first; equal ones in the order of the labels.
    let ranked (findings: Finding list) : Finding list =
        let place (label: VerdictLabel) =
            Array.FindIndex(VerdictLabel.All, (fun other -> other.Name = label.Name))

        findings
        |> List.groupBy (fun finding -> place finding.Label)
        |> List.map (fun (place, group) -> place, List.reduce joined group)
        |> List.sortWith (fun (place, one) (otherPlace, other) ->
            match compare (float other.Strength) (float one.Strength) with
            | 0 -> compare place otherPlace
            | order -> order)
        |> List.map snd
