/// What is written about the keys of a request body: the tables of docs/ingest-api.md and docs/sample.schema.json. All of it
/// comes from the rows that the body is written of. build/Docs.fsx writes the files, and a test compares them.
module Agent.Build.KeyDocs

open Agent.Core

/// The objects that these keys lead to, each once.
let rec tablesOf (table: KeyTable) : KeyTable list =
    [
        for key in table.Keys do
            match key.Kind with
            | KeyKind.Object inner
            | KeyKind.Objects inner ->
                inner
                yield! tablesOf inner
            | _ -> ()
    ]
    |> List.distinctBy _.Name

// ---- docs/ingest-api.md --------------------------------------------------------------------------------------------

/// What stands before and after the tables on the page.
let pageMarks = "<!-- keys: written by `build.fsx -t Docs` -->\n", "<!-- end of keys -->"

let private typeOf (key: Key) : string =
    let name =
        match key.Kind with
        | KeyKind.Number -> "number"
        | KeyKind.Int
        | KeyKind.Counter -> "integer"
        | KeyKind.Bool -> "boolean"
        | KeyKind.Text
        | KeyKind.Instant -> "string"
        | KeyKind.OneOf words -> words |> Array.map (fun word -> $"`{word}`") |> String.concat ", "
        | KeyKind.Texts -> "array of strings"
        | KeyKind.Numbers -> "array of (number or null)"
        | KeyKind.Labels -> "object of strings"
        | KeyKind.Object table -> $"[{table.Name}](#{table.Name})"
        | KeyKind.Objects table -> $"array of [{table.Name}](#{table.Name})"

    if key.IsNullable then $"{name} or null" else name

let private whose (key: Key) : string =
    match key.Owner with
    | KeyOwner.Webapp -> "webapp"
    | KeyOwner.Ours -> "agent"

let private tableOf (table: KeyTable) : string list =
    [
        ""
        $"### `{table.Name}`"
        ""
        "| key | of | type | unit | meaning |"
        "|---|---|---|---|---|"
        for key in table.Keys do
            $"| `{key.Name}` | {whose key} | {typeOf key} | {key.Unit} | {key.Meaning} |".Replace("|  |", "| |")
    ]

/// A table for each object below this one.
let tables (root: KeyTable) : string =
    (tablesOf root |> List.collect tableOf) @ [ ""; "" ] |> String.concat "\n"

// ---- docs/sample.schema.json ---------------------------------------------------------------------------------------

let private reference (table: KeyTable) =
    [ ("$ref", Encode.string $"#/$defs/{table.Name}") ]

/// The type's name, with null beside it where that is possible.
let private typed (key: Key) (name: string) (more: (string * JsonValue) list) =
    let names =
        if key.IsNullable then
            Encode.list [ Encode.string name; Encode.string "null" ]
        else
            Encode.string name

    ("type", names) :: more

let private shapeOf (key: Key) : (string * JsonValue) list =
    let ofType name =
        Encode.object [ ("type", Encode.string name) ]

    match key.Kind with
    | KeyKind.Number -> typed key "number" []
    | KeyKind.Int -> typed key "integer" []
    | KeyKind.Counter -> typed key "integer" [ "minimum", Encode.int 0; "maximum", Encode.int64 System.Int64.MaxValue ]
    | KeyKind.Bool -> typed key "boolean" []
    | KeyKind.Text -> typed key "string" []
    | KeyKind.Instant -> typed key "string" [ ("format", Encode.string "date-time") ]
    | KeyKind.OneOf words ->
        let words = words |> Array.map Encode.string |> List.ofArray

        [
            ("enum", Encode.list (if key.IsNullable then words @ [ Encode.nil ] else words))
        ]
    | KeyKind.Texts -> typed key "array" [ ("items", ofType "string") ]
    | KeyKind.Numbers ->
        let items = Encode.list [ Encode.string "number"; Encode.string "null" ]
        typed key "array" [ ("items", Encode.object [ ("type", items) ]) ]
    | KeyKind.Labels -> typed key "object" [ ("additionalProperties", ofType "string") ]
    | KeyKind.Object table when key.IsNullable -> [ ("anyOf", Encode.list [ Encode.object (reference table); ofType "null" ]) ]
    | KeyKind.Object table -> reference table
    | KeyKind.Objects table -> typed key "array" [ ("items", Encode.object (reference table)) ]

let private member' (name: string, value: JsonValue) : string =
    $"\"{name}\": {Encode.toString 0 value}"

let private property (key: Key) : string =
    member' (
        key.Name,
        Encode.object
            [
                yield! shapeOf key
                "description", Encode.string key.Meaning
                if key.Unit <> "" then
                    "x-unit", Encode.string key.Unit
                "x-of", Encode.string (whose key)
            ]
    )

/// An object of these members, a line each, which have the indentation of their own lines already.
let private block (indentation: string) (members: string list) : string =
    let lines = members |> List.map (fun text -> $"{indentation}  {text}")
    "{\n" + String.concat ",\n" lines + $"\n{indentation}}}"

let private objectOf (indentation: string) (table: KeyTable) : string list =
    let properties = block (indentation + "  ") (table.Keys |> Array.map property |> List.ofArray)

    [
        member' ("type", Encode.string "object")
        $"\"properties\": {properties}"
        member' (
            "required",
            Encode.array (
                table.Keys
                |> Array.filter (fun key -> not key.IsOptional)
                |> Array.map (fun key -> Encode.string key.Name)
            )
        )
    ]

/// The JSON schema of an object and of all objects below it; a line for each key.
let schema (root: KeyTable) : string =
    let definition (table: KeyTable) =
        let object' = block "    " (objectOf "    " table)
        $"\"{table.Name}\": {object'}"

    let definitions = block "  " (tablesOf root |> List.map definition)

    block
        ""
        [
            member' ("$schema", Encode.string "https://json-schema.org/draft/2020-12/schema")
            member' ("title", Encode.string "A request body of the ingest API, as the agent writes it")
            member' ("$comment", Encode.string "Written by `build.fsx -t Docs`. Keys that are not listed may come; ignore them.")
            yield! objectOf "" root
            $"\"$defs\": {definitions}"
        ]
    + "\n"
