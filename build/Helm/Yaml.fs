// YAML as Helm's templates see it: the values of a chart, and what `toYaml` prints.
namespace Agent.Build.Helm

open System
open System.IO
open System.Text.RegularExpressions
open YamlDotNet.Core
open YamlDotNet.RepresentationModel

/// A value of a chart.
[<RequireQualifiedAccess>]
type Value =
    /// `null`, or nothing.
    | Null
    | Bool of bool
    /// As it is written.
    | Number of string
    | Text of string
    | List of Value list
    /// In the order of the file.
    | Map of (string * Value) list

/// Reads and writes values. Errors are exceptions of YamlDotNet, or of this module where a plain word is a boolean for some readers only.
[<RequireQualifiedAccess>]
module Yaml =
    let private number = Regex(@"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$", RegexOptions.CultureInvariant)

    /// Octal, hexadecimal, with an exponent or digits in groups: what other readers may take for a number.
    let private oddNumber = Regex(@"^[-+.]?[0-9][0-9_.eExXa-fA-F+-]*$", RegexOptions.CultureInvariant)

    let private ambiguous = set [ "y"; "n"; "yes"; "no"; "on"; "off" ]

    let private plain (text: string) : Value =
        match text with
        | ""
        | "~"
        | "null" -> Value.Null
        | "true" -> Value.Bool true
        | "false" -> Value.Bool false
        | _ when ambiguous.Contains(text.ToLowerInvariant()) ->
            invalidOp $"YAML: {text} is a boolean for some readers and a word for others: write true, false or quotes"
        | _ when number.IsMatch text -> Value.Number text
        | _ -> Value.Text text

    let rec private valueOf (node: YamlNode) : Value =
        match node with
        | :? YamlScalarNode as scalar ->
            let text = string scalar.Value

            if scalar.Style = ScalarStyle.Plain then
                plain text
            else
                Value.Text text
        | :? YamlSequenceNode as items -> Value.List [ for item in items -> valueOf item ]
        | :? YamlMappingNode as entries ->
            Value.Map
                [
                    for entry in entries -> string (entry.Key :?> YamlScalarNode).Value, valueOf entry.Value
                ]
        | other -> invalidOp $"YAML: {other.NodeType} is not supported"

    /// The documents of a text, empty ones left out.
    let documents (text: string) : Value list =
        let stream = YamlStream()
        stream.Load(new StringReader(text))

        [ for document in stream.Documents -> valueOf document.RootNode ]
        |> List.filter (fun value -> value <> Value.Null)

    /// The one document of a text.
    let read (text: string) : Value =
        match documents text with
        | [] -> Value.Map []
        | [ one ] -> one
        | several -> invalidOp $"YAML: one document is expected, not {several.Length}"

    /// Words that need no quotes.
    let private harmless =
        Regex(@"^[A-Za-z0-9_./][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*$", RegexOptions.CultureInvariant)

    let private escaped (text: string) =
        text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n").Replace("\t", "\\t")

    /// In double quotes, as Go's `%q` writes it.
    let quoted (text: string) : string = "\"" + escaped text + "\""

    let private isWord (text: string) =
        harmless.IsMatch text
        && not (oddNumber.IsMatch text)
        && not (ambiguous.Contains(text.ToLowerInvariant()))
        && plain text = Value.Text text

    let private scalar (value: Value) : string voption =
        match value with
        | Value.Null -> ValueSome "null"
        | Value.Bool flag -> ValueSome(if flag then "true" else "false")
        | Value.Number text -> ValueSome text
        | Value.Text text -> ValueSome(if isWord text then text else quoted text)
        | Value.List [] -> ValueSome "[]"
        | Value.Map [] -> ValueSome "{}"
        | _ -> ValueNone

    let rec private lines (value: Value) : string list =
        let indented (first: string) (inner: string list) =
            inner
            |> List.mapi (fun index line -> (if index = 0 then first else "  ") + line)

        match scalar value, value with
        | ValueSome text, _ -> [ text ]
        | _, Value.List items -> items |> List.collect (fun item -> indented "- " (lines item))
        | _, Value.Map entries ->
            [
                // Go's maps have no order, so that its writer sorts.
                for key, inner in entries |> List.sortWith (fun (a, _) (b, _) -> String.CompareOrdinal(a, b)) do
                    let name = if isWord key then key else quoted key

                    match scalar inner, inner with
                    | ValueSome text, _ -> $"{name}: {text}"
                    | _, Value.List _ ->
                        $"{name}:"
                        yield! lines inner
                    | _ ->
                        $"{name}:"
                        yield! lines inner |> List.map (fun line -> "  " + line)
            ]
        | _ -> []

    /// What `toYaml` prints: keys sorted, no line end behind.
    let write (value: Value) : string = lines value |> String.concat "\n"

    /// The values with those of the second put over them, map by map, as `helm --values` does.
    let rec over (changes: Value) (value: Value) : Value =
        match value, changes with
        | Value.Map entries, Value.Map changed ->
            let known = set (List.map fst entries)

            Value.Map
                [
                    for name, old in entries do
                        match List.tryFind (fst >> (=) name) changed with
                        | Some(_, change) -> name, over change old
                        | None -> name, old
                    yield! changed |> List.filter (fun (name, _) -> not (known.Contains name))
                ]
        | _ -> changes
