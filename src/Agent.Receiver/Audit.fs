namespace Agent.Receiver

open System
open Agent.Core

/// How many audit lines were written of late, and how many were not.
[<Struct; NoComparison>]
type AuditBudget =
    {
        /// When the minute began, by a monotonic clock.
        Since: TimeSpan
        /// Lines written in this minute.
        Written: int
        /// Events of this minute that got no line.
        Unwritten: int
    }

/// Bounds the log that strangers can make: one line for each event, up to so many a minute, then their number.
[<RequireQualifiedAccess>]
module Audit =
    /// So many lines are written in a minute.
    [<Literal>]
    let MostLines = 60

    /// How long a budget lasts.
    let period: TimeSpan = TimeSpan.FromMinutes 1.0

    /// Nothing written yet.
    let fresh: AuditBudget =
        {
            Since = TimeSpan.Zero
            Written = 0
            Unwritten = 0
        }

    let private cut (text: string) =
        Text.longExcerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))

    /// A line: what happened, to whom ("" where nobody was named), from where, and why ("" where that is plain). Names and reasons come
    /// from outside: they are cut, and nothing in them ends the line.
    [<CompiledName "Line">]
    let line (what: string) (name: string) (address: string) (reason: string) : string =
        let who = if name = "" then "" else $" \"{cut name}\""
        let why = if reason = "" then "" else $": {cut reason}"
        $"{what}:{who} from {address}{why}"

    /// Starts the next minute where this one is over. Beside it, how many events of the old one got no line.
    [<CompiledName "Renewed">]
    let renewed (now: TimeSpan) (budget: AuditBudget) : struct (int * AuditBudget) =
        if now - budget.Since >= period then
            struct (budget.Unwritten,
                    {
                        Since = now
                        Written = 0
                        Unwritten = 0
                    })
        else
            struct (0, budget)

    /// One more event, in the minute that is running: whether it gets a line.
    [<CompiledName "Counted">]
    let counted (budget: AuditBudget) : struct (bool * AuditBudget) =
        if budget.Written < MostLines then
            struct (true,
                    { budget with
                        Written = budget.Written + 1
                    })
        else
            struct (false,
                    { budget with
                        Unwritten = budget.Unwritten + 1
                    })
