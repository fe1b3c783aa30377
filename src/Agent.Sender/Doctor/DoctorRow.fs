namespace Agent.Sender

open System
open System.Globalization
open Agent.Core
open Agent.Core.Units

/// The outcome of a check.
[<RequireQualifiedAccess>]
type CheckResult =
    /// As it should be.
    | Good
    /// Worth checking.
    | Doubtful
    /// Wrong: samples are not delivered, or lack what they should have.
    | Bad

/// One line of a diagnosis.
[<NoComparison>]
type Row =
    {
        /// What was checked.
        Check: string
        /// The outcome.
        Result: CheckResult
        /// What was found.
        Finding: string
        /// What to do; empty for what is good.
        Fix: string
        /// The cause's name for machines; empty for what is good.
        Cause: string
        /// How long the check took; none for one that takes no time.
        Duration: TimeSpan voption
    }

/// Makes rows.
[<RequireQualifiedAccess>]
module DoctorRow =
    let internal oneLine (text: string) =
        String.map (fun c -> if Char.IsControl c then ' ' else c) text

    let internal good (check: string) (finding: string) : Row =
        {
            Check = check
            Result = CheckResult.Good
            Finding = oneLine finding
            Fix = ""
            Cause = ""
            Duration = ValueNone
        }

    let internal trouble (result: CheckResult) (check: string) (cause: Cause) (detail: string) : Row =
        let remedy = Remedies.ofCause cause

        {
            Check = check
            Result = result
            Finding =
                if detail = "" then
                    remedy.Wrong
                else
                    oneLine $"{remedy.Wrong} ({detail})"
            Fix = remedy.Fix
            Cause = remedy.Key
            Duration = ValueNone
        }

    let internal doubtful = trouble CheckResult.Doubtful
    let internal bad = trouble CheckResult.Bad

    /// The row with the time that its check took.
    [<CompiledName "Timed">]
    let timed (duration: TimeSpan) (row: Row) : Row =
        { row with
            Duration = ValueSome duration
        }

    /// The row under another name.
    [<CompiledName "Named">]
    let named (check: string) (row: Row) : Row = { row with Check = check }

    /// A check that could not be made, and why.
    [<CompiledName "NotChecked">]
    let notChecked (check: string) (reason: string) : Row = doubtful check Cause.NotChecked reason

    /// A check that `--dry-run` leaves out.
    [<CompiledName "LeftOut">]
    let leftOut (check: string) : Row = doubtful check Cause.LeftOut ""

    let internal plural (count: int) (one: string) =
        if count = 1 then $"1 {one}" else $"{count} {one}s"

    let internal list (names: string seq) = String.concat ", " names

    let internal mebibytes (size: uint64<B>) =
        (float (mibOfBytes size)).ToString("0.#", CultureInfo.InvariantCulture) + " MB"
