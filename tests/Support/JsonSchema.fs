/// JSON Schema (draft 2020-12), as much of it as docs/sample.schema.json and the dashboard's openapi.json use.
module Agent.TestSupport.JsonSchema

open System
open System.Globalization
open System.Text.Json
open Expecto

/// The texts of an array.
let textsIn (array: JsonElement) =
    [ for entry in array.EnumerateArray() -> entry.ToString() ]

/// What a reference within a document points at.
let resolve (root: JsonElement) (reference: string) : JsonElement =
    (root, (reference.Substring "#/".Length).Split '/') ||> Array.fold _.GetProperty

let private nameIn (schema: JsonElement) (word: string) (name: string) =
    match schema.TryGetProperty word with
    | true, entries -> fst (entries.TryGetProperty name)
    | _ -> false

/// What JSON Schema's words, as far as our schemas use them, say against a value: the path and the word of each fault. Strictly, a member
/// that an object's schema does not name is a fault too.
let rec private faults (isStrict: bool) (root: JsonElement) (schema: JsonElement) (path: string) (value: JsonElement) : string list =
    let faults = faults isStrict

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
            | "maxLength" ->
                yield!
                    fails (
                        value.ValueKind = JsonValueKind.String
                        && (value.ToString()).Length > word.Value.GetInt32()
                    )
            | "$ref" -> yield! faults root (resolve root (word.Value.ToString())) path value
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
                    | _ when isStrict && not (fst (schema.TryGetProperty "additionalProperties")) -> $"{path}.{entry.Name}: not described"
                    | _ -> ()
            | "additionalProperties" when isObject ->
                for entry in value.EnumerateObject() do
                    if not (nameIn schema "properties" entry.Name) then
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
    faults false schema schema "$" document.RootElement

/// The same of one schema of a document, where a member that is not described is a fault too.
let strictFaultsOf (root: JsonElement) (schema: JsonElement) (value: JsonElement) : string list = faults true root schema "$" value
