/// Looking into YAML that a test has read; a test fails where something else is there.
module Agent.Repository.Tests.YamlValues

open Agent.Build.Helm
open Expecto

/// A map's fields, with those that `<<` brings in behind its own.
let rec fields (value: Value) : (string * Value) list =
    match value with
    | Value.Map entries ->
        let own, merged = entries |> List.partition (fun (name, _) -> name <> "<<")
        let names = set (List.map fst own)

        own
        @ (merged
           |> List.collect (snd >> fields)
           |> List.filter (fun (name, _) -> not (names.Contains name)))
    | other -> failtest $"no map: %A{other}"

/// A field of a map; null where it is not there.
let field (name: string) (value: Value) : Value =
    fields value
    |> List.tryFind (fst >> (=) name)
    |> Option.map snd
    |> Option.defaultValue Value.Null

/// A list of texts; none for null.
let words (value: Value) : string list =
    match value with
    | Value.List items ->
        [
            for item in items do
                match item with
                | Value.Text text -> text
                | other -> failtest $"no text: %A{other}"
        ]
    | Value.Null -> []
    | other -> failtest $"no list: %A{other}"

/// A text.
let text (value: Value) : string =
    match value with
    | Value.Text text -> text
    | other -> failtest $"no text: %A{other}"

/// A list's items; none for null.
let items (value: Value) : Value list =
    match value with
    | Value.List items -> items
    | Value.Null -> []
    | other -> failtest $"no list: %A{other}"
