/// Bills of materials: what is added to the CycloneDX tool's, and what is left out.
module Agent.Repository.Tests.Release.SbomTests

open System
open System.Text.Json
open Agent.Build
open Agent.Build.Components
open Expecto

let private time = DateTimeOffset(2030, 1, 31, 12, 30, 15, TimeSpan.FromHours 2.0)

let private found name licence : Component =
    {
        Name = name
        Version = Some "1.0.0"
        Licence = licence
        Copyright = [ $"Copyright {name}" ]
        Source = ""
        Purl = $"pkg:nuget/{name}@1.0.0"
        Inside = None
        LicenceText = None
        Notices = None
    }

/// What the tool writes of a program with a library that runs and an analyzer that does not.
let private written =
    """{"bomFormat": "CycloneDX", "specVersion": "1.7", "version": 1,
        "metadata": {"timestamp": "2026-01-01T00:00:00Z", "component": {"type": "application", "bom-ref": "program@1.2.3", "name": "program"}},
        "components": [
          {"type": "library", "bom-ref": "pkg:nuget/Runs@1.0.0", "name": "Runs", "version": "1.0.0", "purl": "pkg:nuget/Runs@1.0.0",
           "hashes": [{"alg": "SHA-512", "content": "00"}], "licenses": [{"license": {"name": "Unknown - See URL"}}]},
          {"type": "library", "bom-ref": "pkg:nuget/Analyzer@1.0.0", "name": "Analyzer", "version": "1.0.0", "purl": "pkg:nuget/Analyzer@1.0.0"}],
        "dependencies": [
          {"ref": "program@1.2.3", "dependsOn": ["pkg:nuget/Runs@1.0.0", "pkg:nuget/Analyzer@1.0.0"]},
          {"ref": "pkg:nuget/Runs@1.0.0", "dependsOn": []}]}"""

let private components =
    [
        found "Runs" "BSD-3-Clause OR MIT"
        { found "engine" "blessing" with
            Version = None
            Purl = "pkg:generic/engine"
            Inside = Some "Runs"
        }
        found "Microsoft.NETCore.App.Runtime.linux-x64" "MIT"
    ]

let private complete components =
    match Sbom.complete time components written with
    | Ok text -> JsonDocument.Parse(text).RootElement
    | Error reasons -> failtest (String.concat "\n" reasons)

let private names (element: JsonElement) =
    [ for item in element.EnumerateArray() -> item.GetProperty("name").GetString() ]

[<Tests>]
let tests =
    testList
        "Bill of materials"
        [
            testCase "its components are those of the notices, in their order"
            <| fun () ->
                Expect.equal
                    (names ((complete components).GetProperty "components"))
                    [ "Runs"; "engine"; "Microsoft.NETCore.App.Runtime.linux-x64" ]
                    "components"

            testCase "licences are those of the notices; what else the tool found out stays"
            <| fun () ->
                let first (name: string) (element: JsonElement) =
                    Seq.head (element.GetProperty(name).EnumerateArray())

                let text (name: string) (element: JsonElement) = element.GetProperty(name).GetString()

                match List.ofSeq ((complete components).GetProperty("components").EnumerateArray()) with
                | [ runs; engine; _ ] ->
                    Expect.equal (text "expression" (first "licenses" runs)) "BSD-3-Clause OR MIT" "expression"
                    Expect.equal (text "copyright" runs) "Copyright Runs" "copyright"
                    Expect.equal (text "content" (first "hashes" runs)) "00" "hash"
                    Expect.equal (text "id" ((first "licenses" engine).GetProperty "license")) "blessing" "one licence"
                    Expect.isFalse (fst (engine.TryGetProperty "version")) "no version where nothing states one"
                | other -> failtest $"{other.Length} components"

            testCase "a component depends on what is inside it, and the program on the runtime"
            <| fun () ->
                let dependencies =
                    [
                        for item in (complete components).GetProperty("dependencies").EnumerateArray() do
                            item.GetProperty("ref").GetString(),
                            [ for on in item.GetProperty("dependsOn").EnumerateArray() -> on.GetString() ]
                    ]

                Expect.equal
                    dependencies
                    [
                        "program@1.2.3",
                        [
                            "pkg:nuget/Microsoft.NETCore.App.Runtime.linux-x64@1.0.0"
                            "pkg:nuget/Runs@1.0.0"
                        ]
                        "pkg:nuget/Runs@1.0.0", [ "pkg:generic/engine" ]
                        "pkg:generic/engine", []
                        "pkg:nuget/Microsoft.NETCore.App.Runtime.linux-x64@1.0.0", []
                    ]
                    "dependencies"

            testCase "its time is that of the commit, in UTC"
            <| fun () ->
                Expect.equal
                    ((complete components).GetProperty("metadata").GetProperty("timestamp").GetString())
                    "2030-01-31T10:30:15Z"
                    "time"

            testCase "a package that the tool did not find is an error that names it"
            <| fun () ->
                Expect.equal
                    (Sbom.complete time (found "Hidden" "MIT" :: components) written)
                    (Error [ "The CycloneDX tool did not find Hidden, which is inside the program." ])
                    "error"
        ]
