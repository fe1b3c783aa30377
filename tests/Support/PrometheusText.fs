/// Reads what Prometheus reads, as strictly as its formats are written: the text format 0.0.4 and OpenMetrics 1.0. Written
/// after their specifications, for tests, and with nothing in common with what writes them.
module Agent.TestSupport.PrometheusText

open System
open System.Globalization
open System.Text
open System.Text.RegularExpressions

/// One sample: labels in the order of the text.
type Sample =
    {
        Name: string
        Labels: (string * string) list
        Value: float
        /// The value in its own spelling.
        Spelling: string
    }

/// One family.
type Family =
    {
        Name: string
        Help: string
        Type: string
        Samples: Sample list
    }

let private nameForm = Regex(@"^[a-zA-Z_:][a-zA-Z0-9_:]*$", RegexOptions.CultureInvariant)
let private labelForm = Regex(@"^[a-zA-Z_][a-zA-Z0-9_]*$", RegexOptions.CultureInvariant)

let private numberForm =
    Regex(@"^[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?$", RegexOptions.CultureInvariant)

/// The text behind the backslashes; an unknown escape is an error.
let private unescaped (allowsQuote: bool) (text: string) : string =
    let result = StringBuilder()
    let mutable i = 0

    while i < text.Length do
        if text[i] = '\\' then
            match (if i + 1 < text.Length then text[i + 1] else ' ') with
            | '\\' -> result.Append '\\' |> ignore
            | 'n' -> result.Append '\n' |> ignore
            | '"' when allowsQuote -> result.Append '"' |> ignore
            | other -> failwith $"unknown escape \\{other} in {text}"

            i <- i + 2
        else
            result.Append text[i] |> ignore
            i <- i + 1

    result.ToString()

/// Where the quoted text that begins here ends: the place of its closing quote.
let rec private closing (line: string) (at: int) : int =
    match line[at] with
    | '"' -> at
    | '\\' -> closing line (at + 2)
    | _ -> closing line (at + 1)

let rec private labels (line: string) (at: int) (found: (string * string) list) : (string * string) list * int =
    let equals = line.IndexOf('=', at)
    let name = line.Substring(at, equals - at)

    if not (labelForm.IsMatch name) then
        failwith $"no label's name: {name} in {line}"

    if line[equals + 1] <> '"' then
        failwith $"no quote in {line}"

    let quote = closing line (equals + 2)
    let found = (name, unescaped true (line.Substring(equals + 2, quote - equals - 2))) :: found

    match line[quote + 1] with
    | ',' -> labels line (quote + 2) found
    | '}' -> List.rev found, quote + 2
    | other -> failwith $"{other} behind a label in {line}"

let private sampleOf (line: string) : Sample =
    let brace = line.IndexOf '{'
    let blank = line.IndexOf ' '

    let name, labels, rest =
        if brace >= 0 && brace < blank then
            let found, past = labels line (brace + 1) []
            line.Substring(0, brace), found, line.Substring past
        else
            line.Substring(0, blank), [], line.Substring blank

    if not (nameForm.IsMatch name) then
        failwith $"no metric's name: {name}"

    if List.length (List.distinctBy fst labels) <> labels.Length then
        failwith $"a label twice: {line}"

    // One blank and the value; no time stamp.
    if not (rest.StartsWith ' ') || not (numberForm.IsMatch(rest.Substring 1)) then
        failwith $"no number: {line}"

    {
        Name = name
        Labels = labels
        Value = Double.Parse(rest.Substring 1, NumberStyles.Float, CultureInfo.InvariantCulture)
        Spelling = rest.Substring 1
    }

let private comment (kind: string) (line: string) : string * string =
    let start = $"# {kind} "

    if not (line.StartsWith(start, StringComparison.Ordinal)) then
        failwith $"{kind} was to come: {line}"

    match line.Substring(start.Length).Split([| ' ' |], 2) with
    | [| name; text |] when nameForm.IsMatch name -> name, text
    | _ -> failwith $"no family: {line}"

/// Every family: HELP, TYPE and at least one sample, each family once, each series once.
let private families (lines: string list) (isOfFamily: string -> string -> string -> bool) (unescapeHelp: string -> string) : Family list =
    let rec read (lines: string list) (found: Family list) =
        match lines with
        | [] -> List.rev found
        | help :: kind :: rest ->
            let name, text = comment "HELP" help
            let typed, kind = comment "TYPE" kind

            if typed <> name then
                failwith $"TYPE of {typed} behind HELP of {name}"

            let own =
                rest
                |> List.takeWhile (fun line -> not (line.StartsWith('#')))
                |> List.map sampleOf

            if own.IsEmpty then
                failwith $"{name} has no sample"

            for sample in own do
                if not (isOfFamily name kind sample.Name) then
                    failwith $"{sample.Name} in the family {name}, a {kind}"

            read
                (List.skip own.Length rest)
                ({
                    Name = name
                    Help = unescapeHelp text
                    Type = kind
                    Samples = own
                 }
                 :: found)
        | [ line ] -> failwith $"half a family: {line}"

    let all = read lines []

    if
        List.length (List.distinctBy (fun (family: Family) -> family.Name) all)
        <> all.Length
    then
        failwith "a family twice"

    let series =
        all
        |> List.collect (fun family -> family.Samples)
        |> List.map (fun sample -> sample.Name, List.sort sample.Labels)

    if List.length (List.distinct series) <> series.Length then
        failwith $"a series twice: {series |> List.countBy id |> List.filter (fun (_, n) -> n > 1)}"

    all

let private linesOf (bytes: ReadOnlySpan<byte>) : string list =
    // Throws for what is not UTF-8.
    let text = UTF8Encoding(false, true).GetString bytes

    if text = "" then
        []
    elif not (text.EndsWith('\n')) then
        failwith "the last line has no end"
    else
        List.ofArray (text.Substring(0, text.Length - 1).Split '\n')

/// Reads the text format 0.0.4; throws for anything that it forbids.
let readText (bytes: ReadOnlySpan<byte>) : Family list =
    let isOfFamily family kind name =
        List.contains kind [ "counter"; "gauge"; "untyped" ] && name = family

    families (linesOf bytes) isOfFamily (unescaped false)

/// Reads OpenMetrics 1.0; throws for anything that it forbids.
let readOpenMetrics (bytes: ReadOnlySpan<byte>) : Family list =
    let isOfFamily family kind name =
        match kind with
        | "counter" -> name = family + "_total"
        | "info" -> name = family + "_info"
        | "gauge"
        | "stateset"
        | "unknown" -> name = family
        | _ -> false

    match List.rev (linesOf bytes) with
    | "# EOF" :: rest ->
        let all = families (List.rev rest) isOfFamily (unescaped true)

        for family in all do
            if family.Type = "stateset" then
                for sample in family.Samples do
                    if not (sample.Labels |> List.exists (fun (name, _) -> name = family.Name)) then
                        failwith $"{family.Name} has a state without its label"

                    if sample.Value <> 0.0 && sample.Value <> 1.0 then
                        failwith $"{family.Name} is neither 0 nor 1"

            if
                family.Type = "info"
                && family.Samples |> List.exists (fun sample -> sample.Value <> 1.0)
            then
                failwith $"{family.Name} is not 1"

        all
    | _ -> failwith "# EOF is missing"
