namespace Agent.Core.Causes

open System
open Agent.Core

/// What the window says at one look, before it is held against what was said before.
[<NoComparison>]
type internal Decided =
    {
        /// What holds it back.
        Label: VerdictLabel
        /// What is close behind.
        Second: VerdictLabel voption
        /// How sure.
        Confidence: float
        /// Why.
        Reason: string
        /// What to try.
        Fix: string
        /// The witnesses.
        Evidence: Witness[]
        /// What was looked at and is not the limit.
        RuledOut: Witness[]
        /// Since when, where that is known by other means than the window.
        Since: DateTimeOffset voption
    }

/// Making witnesses of figures.
[<RequireQualifiedAccess>]
module internal Witness =
    /// A figure that is known, held against a limit.
    let known (name: string) (unit: string) (limit: float) (value: float<'u> voption) : Witness option =
        match value with
        | ValueSome value ->
            Some
                {
                    Name = name
                    Value = float value
                    Limit = ValueSome limit
                    Unit = unit
                }
        | ValueNone -> None
