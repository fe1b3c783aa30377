namespace Agent.Core.Causes

open System
open Agent.Core
open Agent.Core.Units

/// What is shown of one job, and what would be shown instead.
[<NoComparison>]
type internal Held =
    {
        /// What is shown.
        Shown: Decided
        /// Since when its label is.
        Since: DateTimeOffset
        /// When the label last changed from one that said something; none before.
        Changed: DateTimeOffset voption
        /// The label that is decided instead; none while it is the one that is shown.
        Other: VerdictLabel voption
        /// How much evidence there was for that one in a row.
        OtherFor: float<s>
        /// How much evidence there was in a row that is not for the one that is shown.
        UnsettledFor: float<s>
    }

/// No flapping: a label changes when another one was decided for ten seconds, and not more often than once a minute. Faults are shown at once.
[<RequireQualifiedAccess>]
module internal Hold =
    let private isSame (one: VerdictLabel) (other: VerdictLabel) = one.Name = other.Name

    /// A first decision.
    let first (at: DateTimeOffset) (decided: Decided) : Held =
        {
            Shown = decided
            Since = decided.Since |> ValueOption.defaultValue at
            Changed = ValueNone
            Other = ValueNone
            OtherFor = 0.0<s>
            UnsettledFor = 0.0<s>
        }

    let private changed (at: DateTimeOffset) (decided: Decided) (changed: DateTimeOffset voption) : Held =
        { first at decided with
            Changed = changed
        }

    /// While a label is kept though another one was decided, its figures are those that last spoke for it, and the doubt shows.
    let private doubted (held: Held) (decided: Decided) (length: float<s>) : Held =
        let again =
            match held.Other with
            | ValueSome other when isSame other decided.Label -> held.OtherFor + length
            | _ -> length

        { held with
            Other = ValueSome decided.Label
            OtherFor = min Limits.longest again
            UnsettledFor = min Limits.longest (held.UnsettledFor + length)
        }

    /// What is shown after one look more, of so much evidence.
    let step (at: DateTimeOffset) (length: float<s>) (decided: Decided) (held: Held) : Held =
        let shown = held.Shown.Label

        if isSame shown decided.Label then
            { held with
                Shown = decided
                Since =
                    match decided.Since with
                    | ValueSome since when since < held.Since -> since
                    | _ -> held.Since
                Other = ValueNone
                OtherFor = 0.0<s>
                UnsettledFor = 0.0<s>
            }
        elif decided.Label.IsGpuFault then
            changed at decided (ValueSome at)
        elif shown.IsStarting then
            changed at decided ValueNone
        else
            let next = doubted held decided length

            // Between two labels there is often a moment that nothing explains, because the window has something of both.
            let enough =
                if decided.Label.IsUnknown then
                    Limits.unsettled
                else
                    Limits.change

            let isDue = next.OtherFor >= enough || next.UnsettledFor >= Limits.unsettled

            let isFree =
                match held.Changed with
                | ValueSome last -> Window.since last at >= Limits.steady
                | ValueNone -> true

            if isDue && isFree then
                changed at decided (ValueSome at)
            else
                next
