namespace Agent.Sender

open System
open System.Globalization
open System.Text
open Agent.Core

/// The rows as a whole: for a person, and for a program.
[<RequireQualifiedAccess>]
module DoctorReport =
    /// False when anything is wrong; warnings do not count.
    [<CompiledName "IsHealthy">]
    let isHealthy (rows: Row[]) : bool =
        rows |> Array.forall (fun row -> row.Result <> CheckResult.Bad)

    let private markOf (result: CheckResult) =
        match result with
        | CheckResult.Good -> "✓"
        | CheckResult.Doubtful -> "!"
        | CheckResult.Bad -> "✗"

    let private wordOf (result: CheckResult) =
        match result with
        | CheckResult.Good -> "ok"
        | CheckResult.Doubtful -> "warning"
        | CheckResult.Bad -> "error"

    let private count (result: CheckResult) (rows: Row[]) =
        rows |> Array.filter (fun row -> row.Result = result) |> Array.length

    let private milliseconds (duration: TimeSpan) =
        duration.TotalMilliseconds.ToString((if duration.TotalMilliseconds < 10.0 then "0.0" else "0"), CultureInfo.InvariantCulture)

    /// The rows as text: mark, check, time and finding, and below each that is not good what to do.
    [<CompiledName "Table">]
    let table (rows: Row[]) : string =
        let width = rows |> Array.fold (fun widest (row: Row) -> max widest row.Check.Length) 0

        let text = StringBuilder()

        for row in rows do
            let time =
                match row.Duration with
                | ValueSome duration -> milliseconds duration + " ms"
                | ValueNone -> ""

            text.Append($"{markOf row.Result} {row.Check.PadRight width} {time.PadLeft 8}  {row.Finding}\n")
            |> ignore

            if row.Fix <> "" then
                text.Append(' ', width + 13).Append($"→ {row.Fix}\n") |> ignore

        let wrong = count CheckResult.Bad rows
        let doubts = count CheckResult.Doubtful rows

        text.Append($"\n{wrong} wrong (✗), {doubts} to look at (!), {rows.Length - wrong - doubts} good (✓)\n").ToString()

    let private encode (row: Row) =
        Encode.object
            [|
                "check", Encode.string row.Check
                "verdict", Encode.string (wordOf row.Result)
                "cause",
                (if row.Cause = "" then
                     Encode.nil
                 else
                     Encode.string row.Cause)
                "finding", Encode.string row.Finding
                "fix", (if row.Fix = "" then Encode.nil else Encode.string row.Fix)
                "duration_ms",
                row.Duration
                |> Encode.voption (fun duration -> Encode.float (Math.Round(duration.TotalMilliseconds, 1)))
            |]

    /// The rows as JSON.
    [<CompiledName "ToJson">]
    let toJson (version: string) (rows: Row[]) : string =
        Encode.object
            [|
                "version", Encode.string version
                "healthy", Encode.bool (isHealthy rows)
                "checks", Encode.array (Array.map encode rows)
            |]
        |> Encode.toString 2
