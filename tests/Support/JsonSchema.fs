/// JSON Schema (draft 2020-12), as much of it as docs/sample.schema.json uses.
module Agent.TestSupport.JsonSchema

open System
open System.Globalization
open System.Text.Json
open Expecto

/// The texts of an array.
let textsIn (array: JsonElement) =
    [ for entry in array.EnumerateArray() -> entry.ToString() ]

/// What JSON Schema's words, as far as our schema uses them, say against a value: the path and the word of each fault.
let rec private faults (root: JsonElement) (schema: JsonElement) (path: string) (value: JsonElement) : string list =
    let isType (name: string) =
        match name, value.ValueKind with
        | "null", JsonValueKind.Null
        | "string", JsonValueKind.String
        | "number", JsonValueKind.Number
        | "object", JsonValueKind.Object
        | "array", JsonValueKind.Array
        | "boolean", (JsonValueKind.True | JsonValueKind.False) -> true
        | "integer", JsonValueKind.Number -> value.TryGetInt64() |> fst
        | _ -> false

    let isNumber = value.ValueKind = JsonValueKind.Number
    let isObject = value.ValueKind = JsonValueKind.Object

    [
        for word in schema.EnumerateObject() do
            let fails isFault =
                if isFault then [ $"{path}: {word.Name}" ] else []

            match word.Name with
            | "$schema"
            | "$comment"
            | "$defs"
            | "title"
            | "description"
            | "x-unit"
            | "x-of" -> ()
            | "type" when word.Value.ValueKind = JsonValueKind.Array -> yield! fails (not (textsIn word.Value |> List.exists isType))
            | "type" -> yield! fails (not (isType (word.Value.ToString())))
            | "minimum" -> yield! fails (isNumber && value.GetDecimal() < word.Value.GetDecimal())
            | "maximum" -> yield! fails (isNumber && value.GetDecimal() > word.Value.GetDecimal())
            | "enum" -> yield! fails (not (List.contains (value.ToString()) (textsIn word.Value)))
            | "format" ->
                yield!
                    fails (
                        value.ValueKind = JsonValueKind.String
                        && not (fst (DateTimeOffset.TryParse(value.ToString(), CultureInfo.InvariantCulture)))
                    )
            | "$ref" ->
                let name = (word.Value.ToString()).Substring "#/$defs/".Length
                yield! faults root (root.GetProperty("$defs").GetProperty name) path value
            | "anyOf" ->
                yield!
                    fails (
                        word.Value.EnumerateArray()
                        |> Seq.forall (fun one -> faults root one path value <> [])
                    )
            | "required" ->
                for name in textsIn word.Value do
                    yield! fails (isObject && not (fst (value.TryGetProperty name)))
            | "properties" when isObject ->
                for entry in value.EnumerateObject() do
                    match word.Value.TryGetProperty entry.Name with
                    | true, inner -> yield! faults root inner $"{path}.{entry.Name}" entry.Value
                    | _ -> ()
            | "additionalProperties" when isObject ->
                for entry in value.EnumerateObject() do
                    yield! faults root word.Value $"{path}.{entry.Name}" entry.Value
            | "items" when value.ValueKind = JsonValueKind.Array ->
                for index, entry in Seq.indexed (value.EnumerateArray()) do
                    yield! faults root word.Value $"{path}[{index}]" entry
            | "properties"
            | "additionalProperties"
            | "items" -> ()
            | other -> failtest $"the test does not know the word {other}"
    ]

/// The path and the word of everything that a schema says against a text.
let faultsOf (schema: JsonElement) (json: byte[]) : string list =
    use document = JsonDocument.Parse(ReadOnlyMemory json)
    faults schema schema "$" document.RootElement
