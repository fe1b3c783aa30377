/// The files of a release as `build.fsx -t Release` made them. RELEASE_DIRECTORY names their folder; the target Ci sets it.
module Agent.Repository.Tests.Release.ArtefactTests

open System
open System.IO
open System.IO.Compression
open System.Reflection.PortableExecutable
open System.Text.Json
open System.Text.RegularExpressions
open System.Xml.Linq
open Agent.Build
open Agent.TestSupport
open Agent.TestSupport.Tools
open Agent.Repository.Tests.Release.PackingTests
open Expecto

let private folder =
    Environment.GetEnvironmentVariable "RELEASE_DIRECTORY"
    |> Option.ofObj
    |> Option.filter (fun folder -> folder <> "")

let private fileName (path: string) : string = Path.GetFileName path |> nonNull

/// The version as NuGet names a package's file: without what stands behind the plus sign.
let private withoutCommit (version: string) : string = Seq.head (version.Split '+')

/// The version, as the names of the agent's archives have it.
let private versionOf (folder: string) : string =
    Directory.GetFiles(folder, "ai-dashboard-agent-*-linux-*.tar.gz")
    |> Array.map (fun path -> Regex.Match(fileName path, @"^ai-dashboard-agent-(.+)-linux-\w+\.tar\.gz$").Groups[1].Value)
    |> Array.distinct
    |> Array.exactlyOne

let private runtimesOf (folder: string) : string list =
    [
        for path in Directory.GetFiles(folder, "ai-dashboard-agent-*.tar.gz") do
            Regex.Match(path, @"(linux-\w+)\.tar\.gz$").Groups[1].Value
    ]
    |> List.sort

let private architecture (runtime: string) =
    if runtime = "linux-arm64" then "arm64" else "amd64"

/// Unpacks an archive of a program and hands over the folder that is in it.
let private unpacked (folder: string) (name: string) (test: string -> unit) : unit =
    World.withDirectory (fun directory ->
        succeed [] "tar" [ "-xzf"; Path.Combine(folder, $"{name}.tar.gz"); "-C"; directory ]
        |> ignore

        test (Path.Combine(directory, name)))

/// The names and versions, `Argu 6.1.1`, that have an entry in a text of notices.
let private noticed (notices: string) : string list =
    [
        for hit in Regex.Matches(notices, @"^(\S.*)\n  Licence: ", RegexOptions.Multiline) -> hit.Groups[1].Value
    ]

let private checks (folder: string) =
    let version = versionOf folder
    let runtimes = runtimesOf folder
    let programs = [ "ai-dashboard-agent"; "ai-dashboard" ]

    let archives =
        [
            for runtime in runtimes do
                for program in programs do
                    program, runtime, $"{program}-{version}-{runtime}"
        ]

    [
        testCase "these files are there, and no others"
        <| fun () ->
            Expect.equal
                [
                    for path in
                        Directory.GetFiles folder
                        |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) -> fileName path
                ]
                ([
                    for _, _, name in archives do
                        $"{name}.tar.gz"
                        $"{name}.cdx.json"
                    for program, runtime, _ in archives do
                        $"{program}_{Version.debian version}_{architecture runtime}.deb"
                    for program in programs do
                        $"{program}-{withoutCommit version}.tgz"
                    $"ai-dashboard-kustomize-{withoutCommit version}.tar.gz"
                    $"Agent.Core.{withoutCommit version}.nupkg"
                    "SHA256SUMS"
                 ]
                 |> List.sortWith (fun a b -> String.CompareOrdinal(a, b)))
                "names"

        testCase "sha256sum finds every file as SHA256SUMS has it"
        <| fun () ->
            let said =
                succeed [ "LC_ALL", "C" ] "sh" [ "-c"; $"cd '{folder}' && sha256sum --check --strict SHA256SUMS" ]

            Expect.equal (Regex.Count(said, ": OK\n")) (Directory.GetFiles(folder).Length - 1) said

        for program, runtime, name in archives do
            testCase $"{program} for {runtime} has README, LICENSE, changelog and notices with it"
            <| fun () ->
                unpacked folder name (fun directory ->
                    let read (file: string) =
                        File.ReadAllText(Path.Combine(directory, file))

                    for file in [ "README.md"; "LICENSE"; "CHANGELOG.md" ] do
                        Expect.equal (read file) (File.ReadAllText(Path.Combine(Fixtures.root, file))) file

                    Expect.stringStarts
                        (read "THIRD-PARTY-NOTICES.txt")
                        $"Third-party notices of {program} {version}\n"
                        "notices of this version"

                    // It runs where it is at home.
                    if runtime = List.last runtimes then
                        let said = succeed [] (Path.Combine(directory, program)) [ "--version" ]
                        Expect.equal said $"{program} {version}\n" "--version")

            testCase $"the bill of materials of {program} for {runtime} has what the notices have"
            <| fun () ->
                unpacked folder name (fun directory ->
                    use bill = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, $"{name}.cdx.json")))

                    let titles =
                        [
                            for item in bill.RootElement.GetProperty("components").EnumerateArray() do
                                let name = item.GetProperty("name").GetString()

                                match item.TryGetProperty "version" with
                                | true, version -> $"{name} {version.GetString()}"
                                | _ -> string name
                        ]

                    Expect.isGreaterThan titles.Length 8 "components"
                    Expect.equal titles (noticed (File.ReadAllText(Path.Combine(directory, "THIRD-PARTY-NOTICES.txt")))) "components"

                    let about = bill.RootElement.GetProperty("metadata").GetProperty "component"
                    Expect.equal (about.GetProperty("name").GetString()) program "name"
                    Expect.equal (about.GetProperty("version").GetString()) version "version")

        for runtime in runtimes do
            testCase $"everything that the dashboard for {runtime} was published with has a notice"
            <| fun () ->
                unpacked folder $"ai-dashboard-{version}-{runtime}" (fun directory ->
                    let titles = noticed (File.ReadAllText(Path.Combine(directory, "THIRD-PARTY-NOTICES.txt")))
                    use document = JsonDocument.Parse(File.ReadAllText(Path.Combine(directory, "ai-dashboard.deps.json")))

                    let published =
                        [
                            for target in document.RootElement.GetProperty("targets").EnumerateObject() do
                                for library in target.Value.EnumerateObject() do
                                    let kind =
                                        document.RootElement
                                            .GetProperty("libraries")
                                            .GetProperty(library.Name)
                                            .GetProperty("type")
                                            .GetString()

                                    let runs =
                                        [ "runtime"; "native" ]
                                        |> List.exists (fun part -> fst (library.Value.TryGetProperty part))

                                    if kind <> "project" && runs then
                                        library.Name.Replace("runtimepack.", "").Replace('/', ' ')
                        ]

                    Expect.isGreaterThan published.Length 8 "libraries"

                    for library in published do
                        Expect.contains titles library library)

        for program, runtime, _ in archives do
            testCase $"the .deb of {program} for {runtime} has its version, its copyright file, its notices and a stamped manual page"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let deb = Path.Combine(folder, $"{program}_{Version.debian version}_{architecture runtime}.deb")

                    let field name =
                        (succeed [] "dpkg-deb" [ "--field"; deb; name ]).Trim()

                    Expect.equal (field "Version") (Version.debian version) "version"
                    Expect.equal (field "Architecture") (architecture runtime) "architecture"
                    Expect.stringContains (field "Depends") "libc6 (>= 2." "dependencies"

                    succeed [] "dpkg-deb" [ "--extract"; deb; directory ] |> ignore
                    let documents = Path.Combine(directory, "usr", "share", "doc", program)
                    let copyright = File.ReadAllText(Path.Combine(documents, "copyright"))
                    let unzipped (path: string) = succeed [] "gzip" [ "-dc"; path ]
                    let notices = unzipped (Path.Combine(documents, "THIRD-PARTY-NOTICES.txt.gz"))
                    Expect.stringStarts notices $"Third-party notices of {program} {version}\n" "notices"

                    for title in noticed notices do
                        Expect.stringContains copyright $"({title})" "copyright"

                    Expect.equal
                        (unzipped (Path.Combine(documents, "README.md.gz")))
                        (File.ReadAllText(Path.Combine(Fixtures.root, "README.md")))
                        "README"

                    let manual = unzipped (Path.Combine(directory, "usr", "share", "man", "man8", $"{program}.8.gz"))

                    let escaped = version.Replace("-", @"\-")
                    Expect.stringContains manual $"\"FunctionalAgent {escaped}\"" "manual page")

        testCase "the NuGet package has its version, and the symbols in its assembly"
        <| fun () ->
            use package = ZipFile.OpenRead(Path.Combine(folder, $"Agent.Core.{withoutCommit version}.nupkg"))

            use description = (package.GetEntry "Agent.Core.nuspec" |> nonNull).Open()

            let stated =
                XDocument.Load(description).Descendants()
                |> Seq.find (fun element -> element.Name.LocalName = "version")
                |> _.Value

            Expect.equal (withoutCommit stated) (withoutCommit version) "version"

            use assembly = new MemoryStream()
            (use entry = (package.GetEntry "lib/net10.0/Agent.Core.dll" |> nonNull).Open() in entry.CopyTo assembly)
            assembly.Position <- 0L
            use image = new PEReader(assembly)

            Expect.contains [ for entry in image.ReadDebugDirectory() -> entry.Type ] DebugDirectoryEntryType.EmbeddedPortablePdb "symbols"
    ]

[<Tests>]
let tests =
    testList
        "Release"
        (match folder with
         | Some folder -> checks folder
         | None ->
             [
                 testCase "the files of a release"
                 <| fun () -> Skip.always "RELEASE_DIRECTORY names no release; `build.fsx -t Ci` makes one and looks at it"
             ])
