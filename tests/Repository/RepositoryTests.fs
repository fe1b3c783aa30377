/// Laws of the house that a search of the repository's files shows.
module Agent.Repository.Tests.RepositoryTests

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Text.RegularExpressions
open Agent.Core
open Agent.TestSupport
open Expecto

let private outputOf (program: string) (arguments: string list) : string option =
    try
        let start =
            ProcessStartInfo(
                program,
                arguments,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                WorkingDirectory = Fixtures.root
            )

        match Process.Start start with
        | null -> None
        | tool ->
            use tool = tool
            tool.ErrorDataReceived.Add ignore
            tool.BeginErrorReadLine()
            let output = tool.StandardOutput.ReadToEnd()
            tool.WaitForExit()
            if tool.ExitCode = 0 then Some output else None
    with :? ComponentModel.Win32Exception ->
        None

/// Directories that hold what is made and not committed.
let private made = set [ ".git"; "artifacts"; "bin"; "obj"; "paket-files"; "packages" ]

let rec private walk (directory: string) : string list =
    [
        yield! Directory.GetFiles directory

        for inner in Directory.GetDirectories directory do
            match Path.GetFileName inner with
            | null -> ()
            | name when made.Contains name -> ()
            | _ -> yield! walk inner
    ]

/// The repository's files with their texts: those that git knows or would take, else all but what is made. Bytes that
/// are no text of UTF-8 do no harm.
let private files: Lazy<(string * string) list> =
    lazy
        (let names =
            match outputOf "git" [ "ls-files"; "-z"; "--cached"; "--others"; "--exclude-standard" ] with
            | Some names when names <> "" -> names.Split('\000', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray
            | _ ->
                walk Fixtures.root
                |> List.map (fun path -> Path.GetRelativePath(Fixtures.root, path))

         names
         |> List.map (fun name -> name, Path.Combine(Fixtures.root, name))
         |> List.filter (fun (_, path) -> File.Exists path)
         |> List.map (fun (name, path) -> name, File.ReadAllText(path, Encoding.UTF8)))

/// Where a pattern is found: file, line number and line.
let private found (pattern: Regex) (accepts: string -> bool) : string list =
    [
        for name, text in files.Value do
            if accepts name then
                for number, line in text.Split '\n' |> Array.indexed do
                    if pattern.IsMatch line then
                        $"{name}:{number + 1}: {line.Trim()}"
    ]

let private anywhere (_: string) = true

/// The pure half: what the machine means, what both programs send by, what the agent decides and what the dashboard decides.
let private isCore (name: string) =
    [ "Core"; "Outbound"; "Sender"; "Receiver" ]
    |> List.exists (fun room -> name.StartsWith($"src/Agent.{room}/", StringComparison.Ordinal))
    && name.EndsWith(".fs", StringComparison.Ordinal)

/// Who may know whom: each project of src with the projects and the packages that it may use.
let private arrows =
    [
        "src/Agent.Core.fsproj", [], [ "FSharp.Core"; "FsToolkit.ErrorHandling" ]
        "src/Agent.Outbound/Agent.Outbound.fsproj", [ "Agent.Core" ], [ "FSharp.Core"; "Google.Protobuf"; "Snappier" ]
        "src/Agent.Sender/Agent.Sender.fsproj",
        [ "Agent.Core"; "Agent.Outbound" ],
        [ "Argu"; "FSharp.Core"; "FsToolkit.ErrorHandling"; "Google.Protobuf" ]
        "src/Agent.Receiver/Agent.Receiver.fsproj", [ "Agent.Core"; "Agent.Outbound" ], [ "Argu"; "FSharp.Core"; "FsToolkit.ErrorHandling" ]
        "src/Agent.Shell/Agent.Shell.csproj",
        [ "Agent.Core"; "Agent.Outbound" ],
        [ "FSharp.Core"; "Microsoft.CodeAnalysis.BannedApiAnalyzers" ]
        "src/Agent.Host/Agent.Host.csproj",
        [ "Agent.Sender"; "Agent.Shell" ],
        [
            "FSharp.Core"
            "Microsoft.CodeAnalysis.BannedApiAnalyzers"
            "System.Reactive"
        ]
        "src/Agent.Dashboard/Agent.Dashboard.csproj",
        [ "Agent.Receiver"; "Agent.Shell" ],
        [
            "FSharp.Core"
            "MailKit"
            "Microsoft.AspNetCore.Authentication.OpenIdConnect"
            "Microsoft.CodeAnalysis.BannedApiAnalyzers"
            "Microsoft.Data.Sqlite"
            "Npgsql"
            "Vizor.ECharts"
        ]
    ]

/// What each test project may use: what it tests, what that is made of, and the support. Programs that run as processes of their own are
/// among them.
let private testArrows =
    [
        "tests/Support/Agent.TestSupport.fsproj", [ "Agent.Core"; "Agent.Outbound"; "Agent.Sender" ]
        "tests/Agent.Core.Tests/Agent.Core.Tests.fsproj", [ "Agent.Core"; "Agent.TestSupport" ]
        "tests/Agent.Sender.Tests/Agent.Sender.Tests.fsproj", [ "Agent.Core"; "Agent.Outbound"; "Agent.Sender"; "Agent.TestSupport" ]
        "tests/Agent.Receiver.Tests/Agent.Receiver.Tests.fsproj", [ "Agent.Core"; "Agent.Outbound"; "Agent.Receiver"; "Agent.TestSupport" ]
        "tests/Agent.Host.Tests/Agent.Host.Tests.fsproj",
        [
            "Agent.Core"
            "Agent.Outbound"
            "Agent.Sender"
            "Agent.Shell"
            "Agent.Host"
            "Agent.TestSupport"
        ]
        "tests/Agent.Dashboard.Tests/Agent.Dashboard.Tests.fsproj",
        [
            "Agent.Core"
            "Agent.Outbound"
            "Agent.Shell"
            "Agent.Receiver"
            "Agent.Dashboard"
            "Agent.TestSupport"
            "Agent.Host"
        ]
        "tests/EndToEnd/Agent.EndToEnd.Tests.fsproj",
        [
            "Agent.Core"
            "Agent.Outbound"
            "Agent.Sender"
            "Agent.TestSupport"
            "Agent.Host"
        ]
        "tests/Browser/Agent.Browser.Tests.fsproj", [ "Agent.TestSupport"; "Agent.Dashboard"; "Agent.Host" ]
        // Surfaces, documents and fuzzing targets are of every project.
        "tests/Repository/Agent.Repository.Tests.fsproj",
        [
            "Agent.Core"
            "Agent.Outbound"
            "Agent.Sender"
            "Agent.Receiver"
            "Agent.Shell"
            "Agent.Host"
            "Agent.TestSupport"
        ]
        "property-tests/Agent.PropertyTests.fsproj",
        [
            "Agent.Core"
            "Agent.Outbound"
            "Agent.Sender"
            "Agent.Shell"
            "Agent.Receiver"
            "Agent.Host"
            "Agent.TestSupport"
        ]
    ]

/// Hosts of package feeds, in pieces, so that this file does not name one itself.
let private feeds =
    [
        "nuget" + ".org"
        "pkgs.dev" + ".azure.com"
        "pkgs.visualstudio" + ".com"
        "myget" + ".org"
        "nuget.pkg" + ".github.com"
        "jfrog" + ".io"
        "cloudsmith" + ".io"
        "dotnetfeed" + ".blob"
    ]

/// The hosts of the feeds that this machine is configured with.
let private ownFeeds: Lazy<string list> =
    lazy
        ((outputOf "dotnet" [ "nuget"; "list"; "source"; "--format"; "short" ]
          |> Option.defaultValue "")
            .Split
             '\n'
         |> Array.choose (fun line ->
             match Uri.TryCreate(line.Trim().Split(' ') |> Array.last, UriKind.Absolute) with
             | true, uri ->
                 uri
                 |> Option.ofObj
                 |> Option.map _.Host
                 |> Option.filter (fun host -> host <> "")
             | _ -> None)
         |> List.ofArray)

[<Tests>]
let tests =
    testList
        "Repository"
        [
            testCase "no committed file names a package feed"
            <| fun () ->
                Expect.isGreaterThan files.Value.Length 100 "files"
                let pattern = (feeds @ ownFeeds.Value) |> List.map Regex.Escape |> String.concat "|"
                Expect.equal (found (Regex(pattern, RegexOptions.IgnoreCase)) anywhere) [] "feeds"

            testCase "paket.lock has the placeholder of the feed, and nothing else"
            <| fun () ->
                let remotes = found (Regex @"^\s*remote:") ((=) "paket.lock")
                Expect.isNonEmpty remotes "remotes"
                Expect.all remotes _.EndsWith(": remote: %NUGET_SOURCE%", StringComparison.Ordinal) $"%A{remotes}"
                let sources = found (Regex @"^\s*source ") ((=) "paket.dependencies")
                Expect.isNonEmpty sources "sources"
                Expect.all sources _.EndsWith("source %NUGET_SOURCE%") $"%A{sources}"

            testCase "no committed file knows where it was written"
            <| fun () ->
                let place = "/" + "work/"
                Expect.equal (found (Regex(@"(?<![\w.*-])" + Regex.Escape place)) anywhere) [] "paths of this place"

            testCase "a clone stands alone: no page refers to what lies beside it"
            <| fun () ->
                let beside = "../" + "shared"
                Expect.equal (found (Regex(Regex.Escape beside)) anywhere) [] "references"

            testCase "C# knows no type of F#'s own library that was not made for it"
            <| fun () ->
                Expect.equal
                    (found (Regex "FSharp(Option|Func|List|Map|Set|Choice)\\b") _.EndsWith(".cs", StringComparison.Ordinal))
                    []
                    "F# types in C#"

            testCase "the core opens no file, reads no clock, starts nothing and prints nothing"
            <| fun () ->
                let banned =
                    [
                        @"DateTime(Offset)?\.(Utc)?(Now|Today)"
                        @"TimeProvider"
                        @"Stopwatch"
                        @"(File|Directory|FileInfo|DirectoryInfo|FileStream|StreamReader)\."
                        @"Console\."
                        @"Environment\."
                        @"Thread(Pool)?\."
                        @"Task\."
                        @"Process\.Start"
                        @"HttpClient"
                        @"e?printfn?\b"
                        @"failwithf?\b"
                        @"\braise\b"
                    ]
                    |> List.map (fun pattern -> $"\\b{pattern}")
                    |> String.concat "|"

                // What a comment or a text says of them does no harm.
                let hits =
                    found (Regex banned) isCore
                    |> List.filter (fun hit ->
                        not (Regex.IsMatch(hit, @"^[^:]+:\d+: //"))
                        && Regex.IsMatch(Regex.Replace(hit, @"^[^:]+:\d+: |""[^""]*""", ""), banned))

                Expect.equal hits [] "impure"

            testCase "1024 and 512 stand in Units.fs alone"
            <| fun () ->
                let hits =
                    found (Regex @"\b(1024|512)(UL|L|\.0)?\b") (fun name -> isCore name && name <> "src/Agent.Core/Units.fs")
                    |> List.filter (fun hit -> not (Regex.IsMatch(hit, @"^[^:]+:\d+: //")))

                Expect.equal hits [] "conversions"

            testCase "no merge is left half done"
            <| fun () -> Expect.equal (found (Regex @"^(<{7}|>{7}) \S") (fun _ -> true)) [] "marks of a conflict"

            testCase "no test is set aside in code"
            <| fun () ->
                let aside =
                    Regex(@"\b(p|f)(test|tests)(Case|List|Task|Async|Property|Theory|Sequenced|Fixture)?\w*\b\s")

                let isTest (name: string) =
                    name.StartsWith("tests/") || name.StartsWith("property-tests/")

                let hits = found aside (fun name -> isTest name && name.EndsWith(".fs", StringComparison.Ordinal))

                Expect.equal
                    (hits
                     |> List.filter (fun hit -> hit.Contains "test" && Regex.IsMatch(hit, @"\b[pf]test")))
                    []
                    "set aside"

                let skips =
                    found (Regex @"\bskiptestf?\b") (fun name -> isTest name && name.EndsWith(".fs", StringComparison.Ordinal))
                    |> List.filter (fun hit ->
                        not (
                            hit.StartsWith "tests/Support/Skip.fs"
                            || hit.StartsWith "tests/Repository/RepositoryTests.fs"
                        ))

                Expect.equal skips [] "only Skip.fs skips"

            testCase "the version stands in CHANGELOG.md and nowhere else"
            <| fun () ->
                let number =
                    match
                        files.Value
                        |> List.find (fst >> (=) "CHANGELOG.md")
                        |> snd
                        |> Agent.Build.Version.newest
                    with
                    | Ok heading -> heading.Number
                    | Error reason -> failtest reason

                // What may name a version of others that happens to be the same.
                let ofOthers =
                    [
                        "CHANGELOG.md"
                        "paket.lock"
                        "paket.dependencies"
                        ".config/dotnet-tools.json"
                        "docs/dependencies.md"
                    ]

                let mayNot (name: string) =
                    not (
                        List.contains name ofOthers
                        || name.StartsWith("tests/fixtures/", StringComparison.Ordinal)
                    )

                Expect.equal (found (Regex $@"(?<![\d.]){Regex.Escape number}(?!\d)") mayNot) [] "literals"

                let property =
                    Regex @"<(Version|VersionPrefix|AssemblyVersion|FileVersion|InformationalVersion|PackageVersion)>\s*\d"

                let isProject (name: string) =
                    Regex.IsMatch(name, @"\.(props|targets|csproj|fsproj)$")

                Expect.equal (found property isProject) [] "properties of projects"

            testCase "every source file is compiled"
            <| fun () ->
                // F# compiles what the project file lists and nothing else. A project's files are those below its folder that are in the
                // folder of no other.
                let projects =
                    files.Value
                    |> List.map fst
                    |> List.filter _.EndsWith(".fsproj", StringComparison.Ordinal)
                    |> List.map (fun project -> project, project[.. project.LastIndexOf '/' - 1])

                Expect.isGreaterThan projects.Length 14 "projects"

                for project, directory in projects do
                    let text = files.Value |> List.find (fst >> (=) project) |> snd

                    let listed =
                        Regex.Matches(text, "<Compile Include=\"([^\"]+)\"")
                        |> Seq.map (fun hit -> hit.Groups[1].Value)
                        // What it borrows from another project is that one's.
                        |> Seq.filter (fun name -> not (name.StartsWith("../", StringComparison.Ordinal)))
                        |> Seq.map (fun name -> $"{directory}/{name}")

                    let present =
                        files.Value
                        |> List.map fst
                        |> List.filter (fun name ->
                            name.StartsWith(directory + "/", StringComparison.Ordinal)
                            && name.EndsWith(".fs", StringComparison.Ordinal)
                            && projects
                               |> List.forall (fun (_, other) ->
                                   not (other.StartsWith(directory + "/", StringComparison.Ordinal))
                                   || not (name.StartsWith(other + "/", StringComparison.Ordinal))))

                    Expect.equal (List.sort (List.ofSeq listed)) (List.sort present) project

                let isLost (name: string) =
                    Regex.IsMatch(name, @"^(src|tests|property-tests)/.*\.fs$")
                    && not (
                        projects
                        |> List.exists (fun (_, directory) -> name.StartsWith(directory + "/", StringComparison.Ordinal))
                    )

                Expect.equal (files.Value |> List.map fst |> List.filter isLost) [] "files outside of every project"

            testCase "every project uses the projects and packages below it and no others"
            <| fun () ->
                let textOf name =
                    files.Value |> List.find (fst >> (=) name) |> snd

                let projectsIn (folders: string) =
                    files.Value
                    |> List.map fst
                    |> List.filter (fun name -> Regex.IsMatch(name, $@"^({folders})/.*\.(fs|cs)proj$"))
                    |> List.sort

                let knownTo project =
                    Regex.Matches(textOf project, "<ProjectReference Include=\"(?:[^\"]*/)?([^\"/]+)\\.(?:fs|cs)proj\"")
                    |> Seq.map _.Groups[1].Value
                    |> List.ofSeq

                Expect.equal (projectsIn "src") (arrows |> List.map (fun (name, _, _) -> name) |> List.sort) "the projects of src"

                for project, mayKnow, mayUse in arrows do
                    let used =
                        (textOf (Path.Combine(Path.GetDirectoryName project |> nonNull, "paket.references")))
                            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
                        |> List.ofArray

                    Expect.equal (knownTo project) mayKnow $"{project}: projects"
                    Expect.equal (List.sort used) mayUse $"{project}: packages"

                Expect.equal (projectsIn "tests|property-tests") (testArrows |> List.map fst |> List.sort) "the projects of tests"

                for project, mayKnow in testArrows do
                    Expect.equal (knownTo project) mayKnow $"{project}: projects"

                // The support starts the built programs as well, for the tests of whole programs. Tests of a part start none.
                let isOfPart (name: string) =
                    Regex.IsMatch(name, @"^tests/Agent\.(Core|Sender|Receiver|Host)\.Tests/")

                Expect.equal (found (Regex @"\b(Agent|Dashboard)Process\b") isOfPart) [] "a built program in a test of a part"

            testCase "docs/embedding.md names every module that parses a file of the kernel"
            <| fun () ->
                let page = files.Value |> List.find (fst >> (=) "docs/embedding.md") |> snd

                for name, _ in files.Value do
                    let parser = Regex.Match(name, @"^src/Agent\.Core/(Proc|Sys)/(\w+)\.fs$")

                    if parser.Success then
                        Expect.isTrue (Regex.IsMatch(page, $@"`(\w+\.)?{parser.Groups[2].Value}`")) $"no `{parser.Groups[2].Value}`"

            testCase "docs/sources.md tells of every source that has a parser, and of every key that one sets"
            <| fun () ->
                let page = files.Value |> List.find (fst >> (=) "docs/sources.md") |> snd

                for name, _ in files.Value do
                    if Regex.IsMatch(name, @"^src/Agent\.Core/(Proc|Sys)/\w+\.fs$") then
                        let short = name.Substring "src/Agent.Core/".Length
                        Expect.isTrue (page.Contains $"`{short}`") $"no `{short}`"

                for source in Sources.all do
                    let path = Path.TrimEndingDirectorySeparator(Path.Join("/proc", source.Path))
                    Expect.isTrue (page.Contains $"`{path}`") source.Name

                for source in [ "ipmitool"; "nvidia-smi"; "NVML"; "uname"; "statvfs" ] do
                    Expect.stringContains page source "sources that are no files"
        ]
