/// What is inside the programs, and what is passed on about it.
module Agent.Repository.Tests.Release.NoticesTests

open System
open System.IO
open System.Text.RegularExpressions
open Agent.Build
open Agent.Build.Components
open Agent.TestSupport
open Expecto

let private licenceText (licence: string) : string option =
    let path = Path.Combine(Fixtures.root, "packaging", "licences", $"{licence}.txt")

    if File.Exists path then
        Some(File.ReadAllText path)
    else
        None

/// The programs' projects; what NuGet restored last for each is what they are built from.
let private programs = [ "ai-dashboard-agent", "Agent.Host"; "ai-dashboard", "Agent.Dashboard" ]

let private assetsOf (project: string) : string =
    Path.Combine(Fixtures.root, "artifacts", "obj", project, "project.assets.json")

let private packagesOf (project: string) : Package list =
    graph (File.ReadAllText(assetsOf project))

let private componentsOf (project: string) : Component list =
    match ofPackages (packagesOf project) with
    | Ok components -> components
    | Error reasons -> failtest (String.concat "\n" reasons)

let private want (result: Result<string, string list>) : string =
    match result with
    | Ok text -> text
    | Error reasons -> failtest (String.concat "\n" reasons)

/// A package in a folder of its own: its description, and its files.
let private package (directory: string) (id: string) (metadata: string) (files: (string * string) list) : Package =
    let folder = Path.Combine(directory, id.ToLowerInvariant())

    for name, text in
        ($"{id.ToLowerInvariant()}.nuspec", $"<package><metadata>{metadata}</metadata></package>")
        :: files do
        let path = Path.Combine(folder, name)
        Directory.CreateDirectory(Path.GetDirectoryName path |> nonNull) |> ignore
        File.WriteAllText(path, text)

    {
        Id = id
        Version = "1.2.3"
        Directory = folder
    }

/// The licence of the repository itself, as a package would bring it.
let private mit = lazy (File.ReadAllText(Path.Combine(Fixtures.root, "LICENSE")))

let private graphs =
    testList
        "publish graph"
        [
            testCase "what runs is in it; analyzers, what the framework has, and other frameworks' runtimes are not"
            <| fun () ->
                let assets =
                    """{"packageFolders": {"/packages/": {}},
                        "targets": {"net10.0": {}, "net10.0/linux-x64": {
                          "Runs/1.0.0": {"type": "package", "runtime": {"lib/net10.0/Runs.dll": {}}},
                          "Native/2.0.0": {"type": "package", "native": {"runtimes/linux-x64/native/libn.so": {}}},
                          "Analyzer/3.0.0": {"type": "package", "build": {"build/Analyzer.props": {}}},
                          "Framework/4.0.0": {"type": "package", "runtime": {"lib/netcoreapp2.1/_._": {}}},
                          "Own/1.0.0": {"type": "project", "runtime": {"bin/placeholder/Own.dll": {}}}}},
                        "project": {"frameworks": {"net10.0": {
                          "frameworkReferences": {"Microsoft.NETCore.App": {}},
                          "downloadDependencies": [
                            {"name": "Microsoft.NETCore.App.Runtime.linux-x64", "version": "[10.0.1, 10.0.1]"},
                            {"name": "Microsoft.AspNetCore.App.Runtime.linux-x64", "version": "[10.0.1, 10.0.1]"},
                            {"name": "Microsoft.NETCore.App.Crossgen2.linux-x64", "version": "[10.0.1, 10.0.1]"}]}}}}"""

                Expect.equal
                    (graph assets)
                    [
                        {
                            Id = "Microsoft.NETCore.App.Runtime.linux-x64"
                            Version = "10.0.1"
                            Directory = "/packages/microsoft.netcore.app.runtime.linux-x64/10.0.1"
                        }
                        {
                            Id = "Native"
                            Version = "2.0.0"
                            Directory = "/packages/native/2.0.0"
                        }
                        {
                            Id = "Runs"
                            Version = "1.0.0"
                            Directory = "/packages/runs/1.0.0"
                        }
                    ]
                    "packages"

            testCase "a native executable has the runtime of its own kind inside"
            <| fun () ->
                let assets =
                    """{"targets": {"net10.0/linux-x64": {}}, "project": {"frameworks": {"net10.0": {
                          "frameworkReferences": {"Microsoft.NETCore.App": {}},
                          "downloadDependencies": [
                            {"name": "Microsoft.NETCore.App.Runtime.linux-x64", "version": "[10.0.1, 10.0.1]"},
                            {"name": "Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64", "version": "[10.0.1, 10.0.1]"}]}}}}"""

                Expect.equal [ for package in graph assets -> package.Id ] [ "Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64" ] "packs"
        ]

let private packages =
    testList
        "one package"
        [
            testCase "licence, copyright and source are those that it states"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let stated =
                        package
                            directory
                            "Some.Library"
                            """<authors>Ada</authors><license type="expression">BSD-3-Clause</license><copyright>Copyright 2020 Ada</copyright><repository url="https://example.com/some" />"""
                            []

                    match ofPackage stated with
                    | Ok found ->
                        Expect.equal found.Licence "BSD-3-Clause" "licence"
                        Expect.equal found.Copyright [ "Copyright 2020 Ada" ] "copyright"
                        Expect.equal found.Source "https://example.com/some" "source"
                        Expect.equal found.Purl "pkg:nuget/Some.Library@1.2.3" "package URL"
                    | Error reason -> failtest reason)

            testCase "a year alone gets the author's name, and nothing at all the author's alone"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let copyright id metadata =
                        package directory id $"""<authors>Ada</authors><license type="expression">MIT</license>{metadata}""" []
                        |> ofPackage
                        |> Result.map _.Copyright

                    Expect.equal (copyright "A" "<copyright>2019</copyright>") (Ok [ "Copyright 2019 Ada" ]) "a year"
                    Expect.equal (copyright "B" "") (Ok [ "Copyright Ada" ]) "nothing")

            testCase "a licence in a file is known by its text, with its own copyright line"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let found =
                        package directory "C" """<license type="file">License</license>""" [ "License", mit.Value.Replace("\n", "\r\n") ]
                        |> ofPackage

                    match found with
                    | Ok found ->
                        Expect.equal found.Licence "MIT" "licence"
                        Expect.equal found.Copyright [ "Copyright (c) 2026 FunctionalAgent contributors" ] "copyright"
                        Expect.equal found.LicenceText (Some mit.Value) "the text, with line ends of this house"
                    | Error reason -> failtest reason)

            testCase "a package without a licence that is known is an error that names it"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for id, metadata, files in
                        [
                            "None", "", []
                            "Address", "<licenseUrl>https://example.com/licence</licenseUrl>", []
                            "Unknown", """<license type="file">LICENSE</license>""", [ "LICENSE", "Do as you like.\n" ]
                        ] do
                        Expect.equal
                            (ofPackages [ package directory id metadata files ])
                            (Error [ $"{id} 1.2.3 states no known licence." ])
                            id)

            testCase "a package with machine code or scripts of which nobody said whose they are is an error"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for id, file in
                        [
                            "Code", "runtimes/linux-x64/native/libx.so"
                            "Scripts", "staticwebassets/x.js"
                        ] do
                        match
                            ofPackages
                                [
                                    package directory id """<license type="expression">MIT</license>""" [ file, "" ]
                                ]
                        with
                        | Error [ reason ] -> Expect.stringStarts reason $"{id} 1.2.3 contains machine code or scripts" "reason"
                        | other -> failtest $"{other}")
        ]

let private documents =
    testList
        "documents"
        [
            for program, project in programs do
                testCase $"every package inside {program} has a notice with its licence and copyright"
                <| fun () ->
                    let components = componentsOf project
                    let text = want (Notices.thirdParty program "1.2.3" licenceText components)

                    for package in packagesOf project do
                        let title = $"{package.Id} {package.Version}"

                        let entry =
                            Regex.Match(text, $@"^{Regex.Escape title}\n  Licence: (.+)\n  (.+)\n", RegexOptions.Multiline)

                        Expect.isTrue entry.Success title

                        for licence in identifiers entry.Groups[1].Value do
                            Expect.isSome (licenceText licence) $"the text of {licence}"

                        Expect.isTrue (Regex.IsMatch(entry.Groups[2].Value, "(?i)copyright|©")) entry.Groups[2].Value

                testCase $"the notices of {program} are the same each time"
                <| fun () ->
                    let text () =
                        want (Notices.thirdParty program "1.2.3" licenceText (componentsOf project))

                    Expect.equal (text ()) (text ()) "text"

            testCase "the packages that the projects ask for are among those that have a notice"
            <| fun () ->
                let names project =
                    [ for package in packagesOf project -> package.Id ]

                for id in
                    [
                        "Argu"
                        "FSharp.Core"
                        "FsToolkit.ErrorHandling"
                        "Google.Protobuf"
                        "Snappier"
                        "System.Reactive"
                    ] do
                    Expect.contains (names "Agent.Host") id "the agent"

                for id in
                    [
                        "Argu"
                        "Microsoft.Data.Sqlite.Core"
                        "SQLitePCLRaw.lib.e_sqlite3"
                        "Vizor.ECharts"
                    ] do
                    Expect.contains (names "Agent.Dashboard") id "the dashboard"

                for project in [ "Agent.Host"; "Agent.Dashboard" ] do
                    Expect.isFalse (List.contains "Microsoft.CodeAnalysis.BannedApiAnalyzers" (names project)) project

            testCase "what NuGet does not know is named too: SQLite, ECharts and what is inside that"
            <| fun () ->
                let found =
                    [
                        for found in componentsOf "Agent.Dashboard" do
                            if found.Inside.IsSome then
                                found.Name, found.Licence, found.Version.IsSome
                    ]

                Expect.equal
                    found
                    [
                        "SQLite", "blessing", true
                        "Apache ECharts", "Apache-2.0", true
                        "zrender", "BSD-3-Clause", true
                        "echarts-stat", "BSD-3-Clause", false
                        "d3 (parts, in Apache ECharts)", "BSD-3-Clause", false
                        "tslib (parts, in Apache ECharts)", "0BSD", false
                    ]
                    "inside packages"

                let text = want (Notices.thirdParty "ai-dashboard" "1.2.3" licenceText (componentsOf "Agent.Dashboard"))

                Expect.stringContains
                    text
                    "This product includes software developed at\nThe Apache Software Foundation"
                    "the NOTICE of ECharts"

            testCase "a licence without a text in packaging/licences is an error that names it"
            <| fun () ->
                let components =
                    [
                        { List.head (componentsOf "Agent.Host") with
                            Licence = "MIT OR Beerware-42"
                            LicenceText = None
                        }
                    ]

                let expected = Error [ "packaging/licences has no text of Beerware-42." ]
                Expect.equal (Notices.thirdParty "p" "1.2.3" licenceText components) expected "notices"
                Expect.equal (Notices.debianCopyright "usr/bin/p" mit.Value licenceText components) expected "Debian's file"

            testCase "a text that several packages share is printed once, with all their names"
            <| fun () ->
                let like = List.head (componentsOf "Agent.Host")

                let bringing name =
                    { like with
                        Name = name
                        Version = Some "1.0"
                        Notices = Some "Long notices.\n"
                    }

                let text = want (Notices.thirdParty "p" "1.2.3" licenceText [ bringing "First"; bringing "Second" ])

                Expect.equal (Regex.Count(text, "Long notices")) 1 "once"
                Expect.stringContains text "Notices of First 1.0, Second 1.0\n" "names"
        ]

/// The paragraphs of a file in Debian's form: fields with their values, continued lines included.
let private paragraphs (text: string) : (string * string) list list =
    Regex.Split(text.TrimEnd(), @"\n\n+")
    |> Array.map (fun paragraph ->
        Regex.Split(paragraph, @"\n(?=\S)")
        |> Array.map (fun field ->
            match field.IndexOf(':', StringComparison.Ordinal) with
            | -1 -> failtest $"no field: {field}"
            | at -> field.Substring(0, at), field.Substring(at + 1).TrimStart(' '))
        |> List.ofArray)
    |> List.ofArray

let private debian =
    testList
        "Debian's copyright file"
        [
            testCase "is machine-readable, names every component, and has a paragraph for each licence"
            <| fun () ->
                let components = componentsOf "Agent.Host"
                let text = want (Notices.debianCopyright "usr/bin/ai-dashboard-agent" mit.Value licenceText components)

                match paragraphs text with
                | header :: whole :: executable :: licences ->
                    Expect.equal
                        (List.head header)
                        ("Format", "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/")
                        "format"

                    Expect.equal
                        whole
                        [
                            "Files", "*"
                            "Copyright", "2026 FunctionalAgent contributors"
                            "License", "Expat"
                        ]
                        "the whole"

                    let fields = Map.ofList executable
                    Expect.equal fields["Files"] "usr/bin/ai-dashboard-agent" "the executable"

                    for found in components do
                        let version = Option.get found.Version
                        Expect.stringContains fields["Copyright"] $"({found.Name} {version})" "copyright"

                    let named = Regex.Split(fields["License"], " and ") |> List.ofArray

                    let explained =
                        [
                            for paragraph in licences do
                                let fields = Map.ofList paragraph
                                Seq.head (fields["License"].Split '\n')
                        ]

                    Expect.equal explained named "licences"
                    Expect.contains named "BSD-3-clause" "by Debian's names"
                    Expect.stringContains fields["Comment"] "THIRD-PARTY-NOTICES" "where the rest is"
                | other -> failtest $"%A{other}"

            testCase "leaves the Apache License where Debian has it"
            <| fun () ->
                let text =
                    want (Notices.debianCopyright "usr/bin/ai-dashboard" mit.Value licenceText (componentsOf "Agent.Dashboard"))

                Expect.stringContains text "/usr/share/common-licenses/Apache-2.0" "where it is"
                Expect.isFalse (text.Contains "TERMS AND CONDITIONS FOR USE") "not its text"
        ]

[<Tests>]
let tests = testList "Notices" [ graphs; packages; documents; debian ]
