/// What is written about the keys of a request body agrees with the bodies that are written.
module Agent.Repository.Tests.KeyDocsTests

open System
open System.IO
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open Agent.Build
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.Core.UnitNames
open Agent.TestSupport
open Expecto

let private fileOf (name: string) =
    File.ReadAllText(Path.Combine(Fixtures.root, name))

let private rewrite = "it is not what `dotnet fsi build.fsx -t Docs` writes"

let private full = GoldenSample.body GoldenSample.full GoldenSample.agent

let private schema = lazy (JsonDocument.Parse(fileOf "docs/sample.schema.json"))

let private faultsOf (body: string) : string list =
    JsonSchema.faultsOf schema.Value.RootElement (Encoding.UTF8.GetBytes body)

/// The objects of a body that are written of each table.
let rec private objectsOf (table: KeyTable) (value: JsonElement) : (string * JsonElement) list =
    [
        table.Name, value

        for key in table.Keys do
            let inner = value.GetProperty key.Name

            match key.Kind with
            | KeyKind.Object table when inner.ValueKind = JsonValueKind.Object -> yield! objectsOf table inner
            | KeyKind.Objects table when inner.ValueKind = JsonValueKind.Array ->
                for entry in inner.EnumerateArray() do
                    yield! objectsOf table entry
            | _ -> ()
    ]

/// Changes one value of the body in which everything is known, and says what the schema finds.
let private changed (path: string) (value: JsonNode | null) : string list =
    let names = path.Split '.'

    let step (node: JsonNode) (name: string) : JsonNode =
        match node with
        | :? JsonArray as array -> nonNull array[int name]
        | node -> nonNull node[name]

    let root = JsonNode.Parse full |> nonNull
    let parent = names[.. names.Length - 2] |> Array.fold step root

    match parent with
    | :? JsonArray as array -> array[int (Array.last names)] <- value
    | parent -> parent[Array.last names] <- value

    faultsOf (root.ToJsonString())

[<Tests>]
let tests =
    testList
        "Key docs"
        [
            testCase "docs/ingest-api.md has the tables of the keys"
            <| fun () ->
                let page = fileOf "docs/ingest-api.md"
                let tables = KeyDocs.tables Wire.body
                Expect.stringContains page tables rewrite
                Expect.equal (Pages.withPart KeyDocs.pageMarks tables page) page rewrite

            testCase "docs/sample.schema.json is that of the keys"
            <| fun () -> Expect.equal (fileOf "docs/sample.schema.json") (KeyDocs.schema Wire.body) rewrite

            testCase "a body in which everything is known, and one in which nothing is, are as the schema says"
            <| fun () ->
                Expect.equal (faultsOf full) [] "full"
                Expect.equal (faultsOf (GoldenSample.body GoldenSample.failed GoldenSample.agent)) [] "failed"

            testCase "the schema finds a wrong type, a null where none can be, a wrong word, a negative counter and a missing key"
            <| fun () ->
                let text (value: string) : JsonNode | null = JsonValue.Create value
                let number (value: float) : JsonNode | null = JsonValue.Create value

                for path, value, fault in
                    [
                        "sample.cpu_load_1", text "x", "$.sample.cpu_load_1: type"
                        "sample.collected_at", null, "$.sample.collected_at: type"
                        "sample.collected_at", text "yesterday", "$.sample.collected_at: format"
                        "sample.disks.0.device", null, "$.sample.disks[0].device: type"
                        "sample.disks.0.read_bytes_total", number -1.0, "$.sample.disks[0].read_bytes_total: minimum"
                        "sample.gpus.0.xid_last", number 0.5, "$.sample.gpus[0].xid_last: type"
                        "sample.gpus.1.mig_mode", text "half", "$.sample.gpus[1].mig_mode: enum"
                        "sample.pressure", text "much", "$.sample.pressure: anyOf"
                        "sample.cpu_cores_percent.0", text "x", "$.sample.cpu_cores_percent[0]: type"
                        "agent.labels.rack", number 1.0, "$.agent.labels.rack: type"
                    ] do
                    Expect.equal (changed path value) [ fault ] path

                let without = full.Replace("\"swap_percent\":0,", "")
                Expect.equal (faultsOf without) [ "$.sample: required" ] "a key that is missing"

            testCase "every row of every table is a key of each such object, in the order of the rows"
            <| fun () ->
                use document = JsonDocument.Parse full
                let objects = objectsOf Wire.body document.RootElement

                for table in Wire.body :: KeyDocs.tablesOf Wire.body do
                    let found = objects |> List.filter (fun (name, _) -> name = table.Name)
                    Expect.isNonEmpty found table.Name

                    for _, value in found do
                        Expect.equal [ for entry in value.EnumerateObject() -> entry.Name ] [ for key in table.Keys -> key.Name ] table.Name

            testCase "names are those of the ingest API's kind, once in their object, and every key has its meaning"
            <| fun () ->
                for table in Wire.body :: KeyDocs.tablesOf Wire.body do
                    let names = table.Keys |> Array.map _.Name
                    Expect.equal (Array.distinct names) names table.Name

                    for key in table.Keys do
                        Expect.isTrue
                            (key.Name
                             |> Seq.forall (fun c -> Char.IsAsciiLetterLower c || Char.IsAsciiDigit c || c = '_'))
                            key.Name

                        Expect.isNotEmpty key.Meaning key.Name
                        Expect.isFalse (key.Meaning.Contains '|') "a cell of a table"

            testCase "one row is all that a new key takes: it is written, documented and in the schema"
            <| fun () ->
                let scratch: Row<DiskStats.DiskCounters> =
                    Row.numberOrNull Row.ours "scratch_percent" percent "a share made up for this test" (fun disk ->
                        disk.Reads
                        |> ValueOption.map (fun reads -> LanguagePrimitives.FloatWithMeasure<percent>(float reads * 2.5)))

                let table = Table("disk", Array.append Rows.disk.Rows [| scratch |])
                let json = JsonText 0
                table.Write(json, GoldenSample.full.Disks[0])

                Expect.equal
                    (Encoding.UTF8.GetString json.Written.Span)
                    """{"device":"nvme0n1","read_bytes_total":1,"write_bytes_total":2,"read_count_total":3,"write_count_total":4,"busy_time_ms_total":5,"scratch_percent":7.5}"""
                    "written"

                let root = (Table("root", [| Row.object' Row.ours "disk" table "a disk" id |])).Keys

                Expect.stringContains
                    (KeyDocs.tables root)
                    "\n| `scratch_percent` | agent | number or null | % | a share made up for this test |\n"
                    "documented"

                use schema = JsonDocument.Parse(KeyDocs.schema root)
                let disk = schema.RootElement.GetProperty("$defs").GetProperty "disk"

                Expect.equal
                    (disk.GetProperty("properties").GetProperty("scratch_percent").GetRawText())
                    """{"type":["number","null"],"description":"a share made up for this test","x-unit":"%","x-of":"agent"}"""
                    "in the schema"

                Expect.contains (JsonSchema.textsIn (disk.GetProperty "required")) "scratch_percent" "always there"
        ]
