/// The files `*.prom` of `--textfile-directory`: metrics that other programs leave there, in Prometheus's text format.
[<RequireQualifiedAccess>]
module internal Agent.Sender.TextFiles

open System
open System.Buffers.Text
open System.Collections.Generic
open System.Text
open Agent.Core
open Agent.Outbound

/// A sample has so many labels at most.
[<Literal>]
let private MostLabels = 64

let private changed =
    Family.labelled [| "file" |] MetricKind.Gauge "node_textfile_mtime_seconds" "Unixtime mtime of textfiles successfully read."

let private failed =
    Family.gauge "node_textfile_scrape_error" "1 if there was an error opening or reading a file, 0 otherwise"

/// Letters, digits, `_` and, in the name of a metric, `:`; no digit first.
let private isName (text: ReadOnlySpan<byte>) (withColons: bool) : bool =
    let mutable isGood = not text.IsEmpty && not (Text.isDigit text[0])

    for b in text do
        if not (Char.IsAsciiLetterOrDigit(char b) || b = '_'B || (withColons && b = ':'B)) then
            isGood <- false

    isGood

let private pastBlanks (line: ReadOnlySpan<byte>) (from: int) : int =
    let mutable at = from

    while at < line.Length && (Text.isBlank line[at] || line[at] = ','B) do
        at <- at + 1

    at

/// The labels between braces, as far as they are well-formed. Moves past the closing brace; -1 where there is none.
let private readLabels (line: ReadOnlySpan<byte>) (from: int) (names: List<string>) (values: List<string>) : int =
    let mutable at = from
    let mutable isGood = true
    let mutable isClosed = false

    while isGood && not isClosed do
        at <- pastBlanks line at

        if at < line.Length && line[at] = '}'B then
            isClosed <- true
        else
            let equals = line.Slice(at).IndexOf '='B
            let quote = pastBlanks line (at + equals + 1)

            isGood <-
                equals > 0
                && names.Count < MostLabels
                && quote < line.Length
                && line[quote] = '"'B
                && isName (Text.trim (line.Slice(at, equals))) false

            if isGood then
                let name = Text.toString (Text.trim (line.Slice(at, equals)))
                // Prometheus keeps names with two underscores for itself.
                isGood <- not (names.Contains name || name.StartsWith("__", StringComparison.Ordinal))
                names.Add name
                let value = List<byte>()
                at <- quote + 1

                while at < line.Length && line[at] <> '"'B do
                    if line[at] = '\\'B && at + 1 < line.Length then
                        at <- at + 1
                        value.Add(if line[at] = 'n'B then '\n'B else line[at])
                    else
                        value.Add line[at]

                    at <- at + 1

                isGood <- isGood && at < line.Length
                at <- at + 1
                values.Add(Encoding.UTF8.GetString(value.ToArray()))

    if isClosed then at + 1 else -1

/// What the comments of a file say of a family.
[<AllowNullLiteral; Sealed>]
type private Described() =
    member val Help: string = "" with get, set
    member val Kind = MetricKind.Untyped with get, set

let private kindOf (word: ReadOnlySpan<byte>) =
    if word.SequenceEqual("counter"B.AsSpan()) then
        MetricKind.Counter
    elif word.SequenceEqual("gauge"B.AsSpan()) then
        MetricKind.Gauge
    else
        MetricKind.Untyped

/// A help text, in which a line end and a backslash are written as two characters.
let private unescaped (help: string) : string =
    let text = StringBuilder()
    let mutable at = 0

    while at < help.Length do
        if
            help[at] = '\\'
            && at + 1 < help.Length
            && (help[at + 1] = '\\' || help[at + 1] = 'n')
        then
            text.Append(if help[at + 1] = 'n' then '\n' else '\\') |> ignore
            at <- at + 2
        else
            text.Append help[at] |> ignore
            at <- at + 1

    text.ToString()

/// A number of the format that cannot be served.
let private isNotFinite (word: ReadOnlySpan<byte>) =
    match (Text.toString word).TrimStart([| '+'; '-' |]).ToLowerInvariant() with
    | "nan"
    | "inf"
    | "infinity" -> true
    | _ -> false

/// `name{label="value"} 1`; false where the line is something else. A time stamp behind it is something else: the scrape has its own.
let private trySample (path: string) (described: Dictionary<string, Described>) (line: ReadOnlySpan<byte>) (figures: Figures) : bool =
    let past =
        match line.IndexOfAny('{'B, ' 'B, '\t'B) with
        | -1 -> line.Length
        | at -> at

    let name = line.Slice(0, past)
    let mutable brace = past

    // There may be blanks before the labels.
    while brace < line.Length && Text.isBlank line[brace] do
        brace <- brace + 1

    let names = List<string>()
    let values = List<string>()

    let from =
        if brace < line.Length && line[brace] = '{'B then
            readLabels line (brace + 1) names values
        else
            past

    if from < 0 || not (isName name true) then
        false
    else
        let word = Text.trim (line.Slice from)
        let mutable value = 0.0
        let mutable length = 0

        if Utf8Parser.TryParse(word, &value, &length) && length = word.Length && length > 0 then
            let name = Text.toString name

            let help, kind =
                match described.TryGetValue name with
                | true, known -> known.Help, known.Kind
                | _ -> "", MetricKind.Untyped

            let help = if help = "" then "Metric read from " + path else help

            // NaN says that there is no figure.
            if Double.IsFinite value then
                figures.Add(Family.labelled (names.ToArray()) kind name help, values.ToArray(), value)

            true
        else
            isNotFinite word

/// Reads a file. A line that is not understood costs itself; false where there was one.
let private readFile (path: string) (text: ReadOnlySpan<byte>) (figures: Figures) : bool =
    let mutable cursor = Cursor("", text)
    let mutable isGood = true
    let described = Dictionary<string, Described>(StringComparer.Ordinal)

    while cursor.NextLine() do
        let line = Text.trim cursor.Line

        if line.IsEmpty then
            ()
        elif line[0] = '#'B then
            cursor.SkipField()
            let isHelp = cursor.Field().SequenceEqual("HELP"B.AsSpan())

            if isHelp || cursor.Last.SequenceEqual("TYPE"B.AsSpan()) then
                let name = Text.toString (cursor.Field())

                let family =
                    match described.TryGetValue name with
                    | true, known -> known
                    | _ ->
                        let known = Described()
                        described[name] <- known
                        known

                if isHelp then
                    family.Help <- unescaped (Text.toString cursor.Rest)
                else
                    family.Kind <- kindOf (cursor.Field())
        elif not (trySample path described line figures) then
            isGood <- false

    isGood && cursor.AtEnd

let private tell _ (texts: FileText[]) (figures: Figures) =
    let mutable isGood = true

    for text in texts do
        // Its path and when it was written; that is empty for one that cannot be read.
        if text.Names[1] <> "" && readFile text.Names[0] text.Text.Span figures then
            let mutable written = 0.0

            if Numbers.tryRead (ReadOnlySpan(Encoding.UTF8.GetBytes text.Names[1]), &written) then
                figures.Add(changed, [| text.Names[0] |], written)
        else
            isGood <- false

    figures.Add(failed, (if isGood then 0.0 else 1.0))

/// The collectors.
let all: Collector[] =
    [|
        Collector("textfile", true, [| FileSet.Textfiles |], tell, mayBeEmpty = true)
    |]
