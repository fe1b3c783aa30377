/// The table of rules in docs/alerts.md, from the rules that the dashboard applies. build/Docs.fsx writes it, and a test compares it.
module Agent.Build.AlertDocs

open System.Globalization
open Agent.Receiver.Alerts

/// Around the table.
let marks = "<!-- rules: written by `build.fsx -t Docs` -->\n", "<!-- end of rules -->"

let private figure (value: float) =
    value.ToString CultureInfo.InvariantCulture

let private unitOf (row: RuleRow) =
    match row.Unit.Name with
    | "percent-sure" -> " % sure"
    | "percent-used" -> " % used"
    | "days-left" -> " days left"
    | _ -> ""

let private minutes (value: int64) =
    match value / 60_000_000L with
    | 0L -> "–"
    | value -> $"{value} min"

let private line (row: RuleRow) =
    let rule = row.Default

    let threshold, clear =
        if unitOf row = "" then
            "–", "–"
        else
            figure rule.Threshold + unitOf row, figure rule.Clear

    let off = if rule.IsEnabled then "" else "; off"
    $"| `{row.Name}` | {row.Title} | {threshold} | {clear} | {minutes rule.For} | {minutes rule.ClearFor} | {rule.Level.Name}{off} |"

/// A line for each rule.
let table: string =
    [
        "| rule | what | threshold | over at | for | over for | level |"
        "|---|---|---|---|---|---|---|"
        yield! Rules.all |> Array.map line
    ]
    |> List.map (fun text -> text + "\n")
    |> System.String.Concat
