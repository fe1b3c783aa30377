/// The bill of materials of a program in CycloneDX's JSON: what the CycloneDX tool finds in the publish graph, without what only
/// builds with it, and with what is inside the program though NuGet does not know it: the runtime, SQLite, the script of the charts.
[<RequireQualifiedAccess>]
module Agent.Build.Sbom

open System
open System.Text.Encodings.Web
open System.Text.Json
open System.Text.Json.Nodes
open Agent.Build.Components

let private textOf (name: string) (node: JsonNode | null) : string =
    match node with
    | :? JsonObject as members ->
        match members[name] with
        | null -> ""
        | value -> string value
    | _ -> ""

let private itemsOf (name: string) (node: JsonObject) : JsonObject list =
    match node[name] with
    | :? JsonArray as items ->
        [
            for item in items do
                match item with
                | :? JsonObject as item -> item
                | _ -> ()
        ]
    | _ -> []

let private strings (values: string list) : JsonNode =
    let items = JsonArray()

    for value in values do
        items.Add(JsonValue.Create value)

    items

let private licences (expression: string) : JsonNode =
    match identifiers expression with
    | [ id ] ->
        let licence = JsonObject()
        licence["id"] <- JsonValue.Create id
        let choice = JsonObject()
        choice["license"] <- licence
        JsonArray [| choice :> JsonNode |]
    | _ ->
        let choice = JsonObject()
        choice["expression"] <- JsonValue.Create expression
        JsonArray [| choice :> JsonNode |]

/// What the tool wrote of a component, if anything, with the licence and the copyright lines of the notices.
let private described (written: JsonObject option) (found: Component) : JsonNode =
    let node =
        match written with
        | Some written -> written.DeepClone().AsObject()
        | None ->
            let node = JsonObject()
            node["type"] <- JsonValue.Create "library"
            node["bom-ref"] <- JsonValue.Create found.Purl
            node["name"] <- JsonValue.Create found.Name

            match found.Version with
            | Some version -> node["version"] <- JsonValue.Create version
            | None -> ()

            node["scope"] <- JsonValue.Create "required"
            node

    node["licenses"] <- licences found.Licence
    node["copyright"] <- JsonValue.Create(String.concat "\n" found.Copyright)
    node["purl"] <- JsonValue.Create found.Purl
    node

/// A runtime pack is downloaded to publish with, and no dependency to NuGet.
let private isRuntimePack (found: Component) = found.Name.Contains ".Runtime."

/// The tool's bill of materials, completed: exactly the components of the notices, at the time of the commit. An error for each
/// package that is inside the program and that the tool did not find.
let complete (time: DateTimeOffset) (components: Component list) (written: string) : Result<string, string list> =
    let root = nonNull (JsonNode.Parse written) |> _.AsObject()

    let byPurl =
        itemsOf "components" root
        |> List.map (fun item -> textOf "purl" item, item)
        |> Map.ofList

    let missing =
        components
        |> List.filter (fun found ->
            found.Inside.IsNone
            && not (isRuntimePack found || byPurl.ContainsKey found.Purl))

    if not (List.isEmpty missing) then
        missing
        |> List.map (fun found -> $"The CycloneDX tool did not find {found.Name}, which is inside the program.")
        |> Error
    else
        let metadata =
            match root["metadata"] with
            | :? JsonObject as metadata -> metadata
            | _ -> JsonObject()

        metadata["timestamp"] <- JsonValue.Create(time.UtcDateTime.ToString "yyyy-MM-ddTHH:mm:ssZ")
        let program = textOf "bom-ref" metadata["component"]
        let kept = components |> List.map _.Purl |> set

        let purlOf (package: string) =
            components
            |> List.filter (fun found -> found.Name = package && found.Inside.IsNone)
            |> List.map _.Purl

        // What is inside a package counts as its dependency, and the runtime as one of the program.
        let added =
            components
            |> List.collect (fun found ->
                match found.Inside with
                | Some package -> purlOf package |> List.map (fun owner -> owner, found.Purl)
                | None when isRuntimePack found -> [ (program, found.Purl) ]
                | None -> [])

        let toolsOwn =
            itemsOf "dependencies" root
            |> List.map (fun item ->
                let on =
                    match item["dependsOn"] with
                    | :? JsonArray as on -> [ for purl in on -> string purl ]
                    | _ -> []

                textOf "ref" item, List.filter kept.Contains on)
            |> Map.ofList

        let dependencies =
            [
                for reference in program :: List.map _.Purl components do
                    let on =
                        (toolsOwn |> Map.tryFind reference |> Option.defaultValue [])
                        @ (added |> List.filter (fst >> (=) reference) |> List.map snd)

                    let node = JsonObject()
                    node["ref"] <- JsonValue.Create reference
                    node["dependsOn"] <- strings (on |> List.distinct |> List.sortWith (fun a b -> String.CompareOrdinal(a, b)))
                    node :> JsonNode
            ]

        root["components"] <- JsonArray [| for found in components -> described (Map.tryFind found.Purl byPurl) found |]

        root["dependencies"] <- JsonArray(Array.ofList dependencies)

        let options =
            JsonSerializerOptions(WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

        Ok(root.ToJsonString options + "\n")
