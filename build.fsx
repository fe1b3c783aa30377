/// The build. `dotnet fsi build.fsx` lists the targets; `dotnet fsi build.fsx -t Test` runs one, after those it needs.
/// git and the .NET SDK are enough, but for Publish, which needs a C compiler to link with.

#r "nuget: Fake.Core.Target, 5.20.3"
#r "nuget: Fake.Core.Process, 5.20.3"
// FAKE's own dependencies ask for a version that not every feed still has, of which NuGet would warn at every run.
#r "nuget: System.Reactive, 5.0.0"
#load "build/Release/Version.fs"
#load "build/Release/Components.fs"
#load "build/Release/Notices.fs"
#load "build/Release/Documents.fs"
#load "build/Release/NuGetPackage.fs"
#load "build/Release/Sbom.fs"
#load "build/Release/Checksums.fs"
#load "build/Release/Charts.fs"

open System
open System.Collections.Concurrent
open System.IO
open System.Runtime.InteropServices
open System.Text.RegularExpressions
open System.Xml
open System.Xml.Linq
open Agent.Build
open Fake.Core
open Fake.Core.TargetOperators

let root = __SOURCE_DIRECTORY__
let artifacts = Path.Combine(root, "artifacts")
let solution = "FunctionalAgent.sln"

/// Tests run what a plain `dotnet build` and an IDE make, so that nothing is built twice while working. What is shipped
/// is the Release build: Publish makes it, and in Ci it is that one on which the end-to-end tests run.
let testConfiguration = "debug"

let runtime =
    match RuntimeInformation.OSArchitecture with
    | Architecture.Arm64 -> "linux-arm64"
    | _ -> "linux-x64"

let builtAgent = Path.Combine(artifacts, "bin", "Agent.Host", testConfiguration, "ai-dashboard-agent")

let builtDashboard =
    Path.Combine(artifacts, "bin", "Agent.Dashboard", testConfiguration, "ai-dashboard")

let publishDirectory (runtime: string) =
    Path.Combine(artifacts, "publish", runtime)

let publishedAgent runtime =
    Path.Combine(publishDirectory runtime, "ai-dashboard-agent")

/// A folder: the dashboard brings its runtime, SQLite and the page along.
let publishedDashboard runtime =
    Path.Combine(publishDirectory runtime, "ai-dashboard")

// ---- Running tools ---------------------------------------------------------------------------------------------------

// The agent and the tests are started by their own executables, which find a .NET outside the usual places by this.
if String.IsNullOrEmpty(Environment.GetEnvironmentVariable "DOTNET_ROOT") then
    Environment.SetEnvironmentVariable("DOTNET_ROOT", Path.GetDirectoryName Environment.ProcessPath)

let toolIn directory name arguments =
    CreateProcess.fromRawCommand name arguments
    |> CreateProcess.withWorkingDirectory directory

let exitCodeOf (command: CreateProcess<ProcessResult<unit>>) = (Proc.run command).ExitCode

/// Runs a tool whose own output says enough when it fails.
let run name arguments =
    match exitCodeOf (toolIn root name arguments) with
    | 0 -> ()
    | code -> failwith $"""`%s{name} %s{String.concat " " arguments}` failed with exit code %d{code}."""

let dotnet arguments = run "dotnet" arguments

/// Takes steps side by side, each to its end, and fails with the first that failed.
let sideBySide (steps: (unit -> unit) list) =
    steps
    |> List.map (fun step -> async { return! Async.Catch(async { step () }) })
    |> Async.Parallel
    |> Async.RunSynchronously
    |> Array.iter (function
        | Choice1Of2() -> ()
        | Choice2Of2 e -> raise e)

/// What a tool prints, without the line end; none where it fails or is not there.
let outputOf name arguments =
    try
        let result =
            CreateProcess.fromRawCommand name arguments
            |> CreateProcess.withWorkingDirectory root
            |> CreateProcess.redirectOutput
            |> Proc.run

        if result.ExitCode = 0 then
            Some(result.Result.Output.TrimEnd())
        else
            None
    with _ ->
        None

/// CI=true promises that everything is installed that the tests use.
let isCi () =
    String.Equals(Environment.GetEnvironmentVariable "CI", "true", StringComparison.OrdinalIgnoreCase)

let emptied directory =
    if Directory.Exists directory then
        Directory.Delete(directory, true)

    Directory.CreateDirectory(directory).FullName

// ---- Restore, Lock, Format, CheckFormat, Build -----------------------------------------------------------------------

let restore () =
    dotnet [ "tool"; "restore" ]
    dotnet [ "restore"; solution ]

/// Paket works in a directory of its own: where the projects are, it would rewrite their files as well.
let lock () =
    let directory = emptied (Path.Combine(artifacts, "lock"))
    let file = Path.Combine(directory, "paket.lock")
    File.Copy(Path.Combine(root, "paket.dependencies"), Path.Combine(directory, "paket.dependencies"))

    // Some feeds leave out of their index what a package depends on. Paket then reads it from the package, but only if
    // it has it already. So it resolves anew until a round, which fetches what was missing, changes nothing.
    let rec settled before =
        File.Delete file

        if
            exitCodeOf (toolIn directory "sh" [ Path.Combine(root, ".paket", "paket.sh"); "install" ])
            <> 0
        then
            failwith "Paket could not resolve paket.dependencies."

        let after = File.ReadAllText file
        if after = before then after else settled after

    // Paket has replaced the variable by the address of this machine's feed.
    let text = Regex.Replace(settled "", "(?m)^  remote: .*$", "  remote: %NUGET_SOURCE%")
    File.WriteAllText(Path.Combine(root, "paket.lock"), text)

let whitespace options =
    dotnet (
        [
            "format"
            "whitespace"
            "."
            "--folder"
            "--exclude"
            "artifacts/"
            "paket-files/"
        ]
        @ options
    )

let format () =
    dotnet [ "fantomas"; "." ]
    whitespace []

let checkFormat () =
    dotnet [ "fantomas"; "check"; "." ]
    whitespace [ "--verify-no-changes" ]

let build () =
    dotnet [ "build"; solution; "--no-restore" ]

// ---- The version --------------------------------------------------------------------------------------------------------

let lines (text: string) =
    text.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

/// None in a source tree without git.
let commit =
    lazy
        (let versionTags (arguments: string list) =
            outputOf "git" ("tag" :: "--list" :: "v[0-9]*" :: arguments)
            |> Option.map lines
            |> Option.defaultValue []

         outputOf "git" [ "rev-parse"; "HEAD" ]
         |> Option.map (fun hash ->
             let tags = versionTags [ "--points-at"; "HEAD" ]

             {
                 Version.Hash = hash
                 Version.Count =
                     match outputOf "git" [ "rev-parse"; "--is-shallow-repository" ] with
                     | Some "false" -> outputOf "git" [ "rev-list"; "--count"; "HEAD" ] |> Option.map int
                     | _ -> None
                 Version.IsDirty = outputOf "git" [ "status"; "--porcelain" ] <> Some ""
                 Version.Tags = tags
                 Version.EarlierTags = versionTags [ "--merged"; "HEAD" ] |> List.except tags
             }))

/// The version of all that is published.
let version =
    lazy
        (Version.newest (File.ReadAllText(Path.Combine(root, "CHANGELOG.md")))
         |> Result.bind (fun heading -> Version.stamp heading commit.Value)
         |> function
             | Ok version -> version
             | Error reason -> failwith reason)

/// The time of the commit, which is that of every file of a release; without git that of the changelog.
let commitTime =
    lazy
        (match outputOf "git" [ "log"; "-1"; "--format=%ct" ] with
         | Some seconds -> DateTimeOffset.FromUnixTimeSeconds(int64 seconds)
         | None -> DateTimeOffset(File.GetLastWriteTimeUtc(Path.Combine(root, "CHANGELOG.md"))))

// ---- Test, Soak ------------------------------------------------------------------------------------------------------

type Outcome =
    | Passed
    | Failed
    | Skipped of reason: string

type TestCase = { Name: string; Outcome: Outcome }

/// Every test that ran in this build.
let testCases = ConcurrentQueue<TestCase>()

let count outcome =
    testCases |> Seq.filter (fun test -> outcome test.Outcome) |> Seq.length

let readTestCase run (element: XElement) =
    let outcome =
        match List.ofSeq (element.Elements()) with
        | [] -> Passed
        | child :: _ when child.Name.LocalName = "skipped" -> Skipped(child.Attribute(XName.Get "message").Value)
        | _ -> Failed

    {
        Name = $"""%s{run}: %s{element.Attribute(XName.Get "name").Value}"""
        Outcome = outcome
    }

/// Tests that run at a time, for each processor. Most wait for a program or a time-out, and only the laws keep a core busy; but each of the
/// end-to-end tests starts programs, some of them busy loops, and each of the browser's draws pages: with more of them at a time one waits too
/// long for its turn.
let workersOf (project: string) =
    match project with
    | "Agent.EndToEnd.Tests"
    | "Agent.Browser.Tests" -> 2
    | _ -> 3

/// Runs a test project's executable. The name tells apart the runs that the closing line adds up.
let runTests name project arguments variables =
    let directory = Directory.CreateDirectory(Path.Combine(artifacts, "test-results"))
    let results = Path.Combine(directory.FullName, $"%s{name}.xml")
    File.Delete results
    let executable = Path.Combine(artifacts, "bin", project, testConfiguration, $"%s{project}.dll")

    let options =
        [
            "--no-spinner"
            "--colours"
            "0"
            "--fail-on-focused-tests"
            "--parallel-workers"
            string (workersOf project * Environment.ProcessorCount)
            "--junit-summary"
            results
        ]

    let command = toolIn root "dotnet" (executable :: options @ arguments)

    let exitCode =
        (command, variables)
        ||> List.fold (fun command (variable, value) -> CreateProcess.setEnvironmentVariable variable value command)
        |> exitCodeOf

    let ran =
        if File.Exists results then
            // Names and messages of tests quote control characters, which XML 1.0 has no place for.
            use reader = XmlReader.Create(results, XmlReaderSettings(CheckCharacters = false))

            XDocument.Load(reader).Descendants(XName.Get "testcase")
            |> Seq.map (readTestCase name)
            |> List.ofSeq
        else
            []

    List.iter testCases.Enqueue ran

    if List.isEmpty ran then
        failwith $"%s{name} ran no test and ended with exit code %d{exitCode}."
    elif exitCode <> 0 && not (ran |> List.exists _.Outcome.IsFailed) then
        failwith $"%s{name} ended with exit code %d{exitCode}, though no test failed."

/// The laws, which measure no time.
let laws = "Agent.PropertyTests"

/// Those of parts.
let partProjects =
    [
        "Agent.Core.Tests"
        "Agent.Sender.Tests"
        "Agent.Receiver.Tests"
        "Agent.Host.Tests"
        "Agent.Repository.Tests"
    ]

/// Those of whole programs.
let programProjects = [ "Agent.EndToEnd.Tests"; "Agent.Dashboard.Tests"; "Agent.Browser.Tests" ]

/// Runs a project's tests; what went wrong, but for tests that failed.
let complaintOf variables project =
    try
        runTests project project [] variables
        None
    with e ->
        Some e.Message

/// Fails where tests failed, or something else went wrong.
let judge (complaints: string list) =
    match complaints, count _.IsFailed with
    | [], 0 -> ()
    | [], failed -> failwith $"%d{failed} tests failed."
    | complaints, _ -> failwith (String.concat " " complaints)

/// Runs each project's tests, even if those of one fail.
let tryAll (complaints: ConcurrentQueue<string>) variables projects () =
    for project in projects do
        complaintOf variables project |> Option.iter complaints.Enqueue

/// The laws beside the tests of parts, which mostly wait; then those of whole programs, one after the other because some measure time.
let test () =
    let complaints = ConcurrentQueue<string>()
    sideBySide [ tryAll complaints [] [ laws ]; tryAll complaints [] partProjects ]
    tryAll complaints [] programProjects ()
    judge (List.ofSeq complaints)

/// One project after the other: some of these tests measure for hours.
let soak () =
    let complaints = ConcurrentQueue<string>()
    tryAll complaints [ ("AGENT_TEST_LEVEL", "soak") ] (partProjects @ programProjects @ [ laws ]) ()
    judge (List.ofSeq complaints)

// ---- Publish, Package -----------------------------------------------------------------------------------------------------

let onPath name =
    (Environment.GetEnvironmentVariable "PATH").Split ':'
    |> Array.exists (fun place -> File.Exists(Path.Combine(place, name)))

/// The first C compiler that can link an executable. Its name is passed on, because the AOT compiler would
/// take any clang that it finds, even one without the llvm-objcopy that goes with it.
let linker () =
    let directory = emptied (Path.Combine(artifacts, "obj", "linker-probe"))
    let source = Path.Combine(directory, "probe.c")
    File.WriteAllText(source, "int main(void) { return 0; }\n")

    let links (compiler, objcopy) =
        onPath compiler
        && onPath objcopy
        && exitCodeOf (toolIn directory compiler [ source; "-o"; Path.Combine(directory, "probe") ]) = 0

    match [ "gcc", "objcopy"; "clang", "llvm-objcopy" ] |> List.tryFind links with
    | Some(compiler, _) -> compiler
    | None ->
        failwith "Publish needs a C compiler to link the executable with; on Debian and Ubuntu: apt-get install gcc libc6-dev zlib1g-dev"

/// The executable may have so many MiB: 12 were the aim; enrolment and what masks secrets in command lines made it 12.1, and the collectors of
/// node_exporter with gzip 12.5; OTLP, limits of sensors and mounts of NFS and Lustre 12.71 (ADR 2); with the figures that the page on a cluster
/// reads, and less of FSharp.Core, 12.70 (ADR 29); with what the oddities of real machines ask for 12.9.
let largestAgent = 13.0

/// A copy of the publish graph: the next restore of the project, for whatever platform, replaces NuGet's own.
let graphOf program runtime =
    Path.Combine(artifacts, "publish", $"%s{program}-%s{runtime}.assets.json")

let publishProject project program runtime directory options =
    dotnet (
        [
            "publish"
            $"src/%s{project}"
            "--configuration"
            "Release"
            "--runtime"
            runtime
            $"-p:Version=%s{version.Value}"
            // Paths of the machine that builds do not get into what it builds.
            "-p:ContinuousIntegrationBuild=true"
            "--output"
            emptied directory
        ]
        @ options
    )

    File.Copy(Path.Combine(artifacts, "obj", project, "project.assets.json"), graphOf program runtime, true)

let publishAgent (runtime: string) (tools: string list) =
    let directory = publishDirectory runtime
    // A warning of any step, the linker included, is an error.
    publishProject "Agent.Host" "ai-dashboard-agent" runtime directory ("-warnaserror" :: tools)
    let files = Directory.GetFiles directory |> Array.map Path.GetFileName |> Array.sort

    if files <> [| "ai-dashboard-agent"; "ai-dashboard-agent.dbg" |] then
        failwith $"Publish must produce one executable and its symbols, but produced %A{files}."

    let agent = publishedAgent runtime
    let size = float (FileInfo agent).Length / 1048576.0
    Trace.log $"%s{agent}: %.1f{size} MiB"

    if size > largestAgent then
        failwith $"The executable is %.1f{size} MiB; the limit is %.2f{largestAgent} MiB."

let publishDashboard runtime =
    let directory = publishedDashboard runtime
    publishProject "Agent.Dashboard" "ai-dashboard" runtime directory [ "--self-contained" ]
    // MapStaticAssets alone would read it. It has the time at which each file was checked out.
    File.Delete(Path.Combine(directory, "ai-dashboard.staticwebassets.endpoints.json"))

/// The other architecture, for which Debian and Ubuntu have a linker that runs here.
let crossRuntime = "linux-arm64"

let crossTools =
    [
        "aarch64-linux-gnu-gcc", "CppCompilerAndLinker"
        "aarch64-linux-gnu-objcopy", "ObjCopyName"
    ]

/// What is published here, this machine's own platform first.
let runtimes =
    lazy
        [
            runtime
            if runtime <> crossRuntime && crossTools |> List.forall (fst >> onPath) then
                crossRuntime
        ]

let publish () =
    Trace.log $"version %s{version.Value}"

    for target in runtimes.Value do
        publishAgent
            target
            (if target = runtime then
                 [ $"-p:CppCompilerAndLinker=%s{linker ()}" ]
             else
                 [ for tool, property in crossTools -> $"-p:%s{property}=%s{tool}" ])

        publishDashboard target

    if runtime <> crossRuntime && not (List.contains crossRuntime runtimes.Value) then
        Trace.log
            $"%s{crossRuntime} is not built, because there is no linker for it; on Debian and Ubuntu: apt-get install gcc-aarch64-linux-gnu"

let packageDirectory = Path.Combine(artifacts, "package")

/// What is inside a published program.
let componentsOf program runtime =
    match
        graphOf program runtime
        |> File.ReadAllText
        |> Components.graph
        |> Components.ofPackages
    with
    | Ok components -> components
    | Error reasons -> failwith (String.concat " " reasons)

/// Writes the documents that go with a program, the notices above all; returns their folder.
let documentsFor program runtime =
    let directory = emptied (Path.Combine(artifacts, "documents", $"%s{program}-%s{runtime}"))

    let written =
        Documents.write
            root
            directory
            {
                Name = program
                Version = version.Value
                Time = commitTime.Value
                InstalledAs =
                    match program with
                    | "ai-dashboard" -> "usr/lib/ai-dashboard/*"
                    | program -> $"usr/bin/%s{program}"
                Components = componentsOf program runtime
            }

    match written with
    | Ok() -> directory
    | Error reasons -> failwith (String.concat " " reasons)

/// A script of packaging/, with the time that all files get.
let packaging script arguments =
    let command =
        toolIn root "sh" ($"packaging/%s{script}" :: arguments)
        |> CreateProcess.setEnvironmentVariable "SOURCE_DATE_EPOCH" (string (commitTime.Value.ToUnixTimeSeconds()))

    match exitCodeOf command with
    | 0 -> ()
    | code -> failwith $"packaging/%s{script} failed with exit code %d{code}."

/// Whether packages are made for rpm too: where they can be. Ci insists on it.
let withRpm = onPath "rpmbuild" || isCi ()

/// Of each platform that was published both programs' .deb, .rpm and .tar.gz, the charts, and the NuGet package of the core with its
/// symbols inside.
let package () =
    let directory = emptied packageDirectory

    let pack script program published runtime =
        packaging
            script
            [
                published runtime
                version.Value
                Version.debian version.Value
                runtime
                documentsFor program runtime
                directory
            ]

    for folder, archive in Charts.write root (emptied (Path.Combine(artifacts, "charts"))) version.Value do
        packaging "archive.sh" [ folder; Path.Combine(directory, archive) ]

    // In folders of its own: what Publish built has no symbols inside, and NuGet's targets would take it for up to date.
    let own (kind: string) =
        Path.Combine(artifacts, kind, "Agent.Core", "package") + "/"

    let packCore () =
        dotnet
            [
                "pack"
                "src/Agent.Core.fsproj"
                "--configuration"
                "Release"
                $"-p:Version=%s{version.Value}"
                "-p:ContinuousIntegrationBuild=true"
                "-p:DebugType=embedded"
                "-p:EmbedAllSources=true"
                $"""-p:IntermediateOutputPath=%s{own "obj"}"""
                $"""-p:OutputPath=%s{own "bin"}"""
                "--output"
                directory
            ]

    sideBySide
        [
            packCore
            for runtime in runtimes.Value do
                fun () -> pack "package.sh" "ai-dashboard-agent" publishedAgent runtime
                fun () -> pack "package-dashboard.sh" "ai-dashboard" publishedDashboard runtime
        ]

    for file in Directory.GetFiles(directory, "*.nupkg") do
        NuGetPackage.settle commitTime.Value file

    if withRpm then
        sideBySide
            [
                for deb in Directory.GetFiles(directory, "*.deb") do
                    fun () -> packaging "package-rpm.sh" [ deb; Version.debian version.Value; directory ]
            ]
    else
        Trace.log "no .rpm is made, because there is no rpmbuild; on Debian and Ubuntu: apt-get install rpm"

let imageDirectory = Path.Combine(artifacts, "images")

let debianArchitecture (runtime: string) =
    if runtime = "linux-arm64" then "arm64" else "amd64"

/// The package of a program for a platform.
let debOf (program: string) (runtime: string) =
    Path.Combine(packageDirectory, $"%s{program}_%s{Version.debian version.Value}_%s{debianArchitecture runtime}.deb")

/// An OCI image of each package.
let images () =
    if not (onPath "buildah") then
        failwith "Images needs buildah; on Debian and Ubuntu: apt-get install buildah jq"

    let directory = emptied imageDirectory

    // One after the other: those of one platform share what apt fetched.
    for runtime in runtimes.Value do
        for program in [ "ai-dashboard-agent"; "ai-dashboard" ] do
            packaging
                "image.sh"
                [
                    debOf program runtime
                    version.Value
                    (match commit.Value with
                     | Some commit -> commit.Hash
                     | None -> "unknown")
                    Path.Combine(artifacts, "image-cache")
                    directory
                ]

/// Runs the images of this machine's own platform as compose.yaml does.
let tryImages () =
    match exitCodeOf (toolIn root "sh" [ "packaging/try-images.sh"; imageDirectory ]) with
    | 0 -> ()
    | code -> failwith $"packaging/try-images.sh failed with exit code %d{code}."

/// Runs a script of packaging/ in an empty Debian, which the first one makes.
let tryOut script (argument: string) =
    let command =
        toolIn root "sh" [ $"packaging/%s{script}"; argument ]
        // Each takes a copy.
        |> CreateProcess.setEnvironmentVariable "EMPTY_DEBIAN" (Path.Combine(artifacts, "try-package", "debian"))

    match exitCodeOf command with
    | 0 -> ()
    | code -> failwith $"packaging/%s{script} failed with exit code %d{code}."

/// Steps that use an empty Debian, which is gone after them.
let withEmptyDebian (steps: unit -> unit) =
    let directory = emptied (Path.Combine(artifacts, "try-package"))
    steps ()
    Directory.Delete(directory, true)

let lintian () =
    for deb in Directory.GetFiles(packageDirectory, "*.deb") do
        run "lintian" [ "--fail-on"; "error,warning"; deb ]

/// Installs the packages of this machine's architecture.
let installPackages () =
    tryOut "try-package.sh" (debOf "ai-dashboard-agent" runtime)
    tryOut "try-package-dashboard.sh" (debOf "ai-dashboard" runtime)

/// Looks at the packages as Debian does, and installs those of this machine's architecture in an empty Debian each.
let tryPackage () =
    withEmptyDebian (fun () -> sideBySide [ lintian; installPackages ])

// ---- Release ---------------------------------------------------------------------------------------------------------------

let releaseDirectory = Path.Combine(artifacts, "release")

/// Whether a release has images: where they can be made. Ci insists on it.
let withImages = onPath "buildah" || isCi ()

/// The bill of materials of a published program: what the CycloneDX tool finds in its publish graph, completed by what NuGet does
/// not know of.
let billOfMaterials project program runtime =
    let directory = emptied (Path.Combine(artifacts, "sbom", $"%s{program}-%s{runtime}"))
    let objects = Directory.CreateDirectory(Path.Combine(directory, "obj", project)).FullName
    File.Copy(graphOf program runtime, Path.Combine(objects, "project.assets.json"))

    dotnet
        [
            "CycloneDX"
            $"src/%s{project}/%s{project}.csproj"
            "--output"
            directory
            "--filename"
            "found.json"
            "--output-format"
            "UnsafeJson"
            "--runtime"
            runtime
            "--disable-package-restore"
            "--base-intermediate-output-path"
            directory
            "--no-serial-number"
            "--set-name"
            program
            "--set-version"
            version.Value
        ]

    match
        File.ReadAllText(Path.Combine(directory, "found.json"))
        |> Sbom.complete commitTime.Value (componentsOf program runtime)
    with
    | Ok text -> text
    | Error reasons -> failwith (String.concat " " reasons)

/// All that a release consists of, in artifacts/release: the packages with their bills of materials and checksums.
let release () =
    match commit.Value with
    | Some commit when commit.IsDirty && not (List.isEmpty commit.Tags) ->
        failwith "The working tree differs from the commit that carries the tag: a release is built from the tag as it is."
    | _ -> ()

    let directory = emptied releaseDirectory

    for file in Directory.GetFiles packageDirectory do
        File.Copy(file, Path.Combine(directory, Path.GetFileName file))

    if withImages then
        for file in Directory.GetFiles imageDirectory do
            File.Copy(file, Path.Combine(directory, Path.GetFileName file))

    // The same packages as apt takes them, from a folder or a web server.
    let repository =
        Path.Combine(emptied (Path.Combine(artifacts, "apt")), $"ai-dashboard-apt-%s{Charts.versionOf version.Value}")

    packaging "apt-repository.sh" (repository :: List.ofArray (Directory.GetFiles(packageDirectory, "*.deb")))
    packaging "archive.sh" [ repository; Path.Combine(directory, Path.GetFileName repository + ".tar.gz") ]

    File.ReadAllText(Path.Combine(root, "packaging", "install.sh"))
    |> Charts.stamp version.Value
    |> fun text -> File.WriteAllText(Path.Combine(directory, "install.sh"), text)

    for runtime in runtimes.Value do
        for project, program in [ "Agent.Host", "ai-dashboard-agent"; "Agent.Dashboard", "ai-dashboard" ] do
            let name = $"%s{program}-%s{version.Value}-%s{runtime}.cdx.json"
            File.WriteAllText(Path.Combine(directory, name), billOfMaterials project program runtime)

    File.WriteAllText(Path.Combine(directory, Checksums.FileName), Checksums.ofDirectory directory)

    match exitCodeOf (toolIn directory "sha256sum" [ "--check"; "--quiet"; Checksums.FileName ]) with
    | 0 -> ()
    | _ -> failwith "The checksums are not those of the files."

    Trace.log $"%s{version.Value} is in %s{directory}"

/// Installs the release as its users do.
let installRelease () =
    tryOut "try-install.sh" releaseDirectory

let tryInstall () = withEmptyDebian installRelease

// ---- Docs, Demo, Ci ---------------------------------------------------------------------------------------------------

let docs () =
    dotnet [ "fsi"; "--quiet"; "build/Docs.fsx" ]

/// `options` are those of build/Demo.fsx.
let demoWith (options: string list) =
    // Ctrl-C goes to every process of the terminal. The demo stops its agent in good order, and this process waits for it.
    use _ = PosixSignalRegistration.Create(PosixSignal.SIGINT, (fun signal -> signal.Cancel <- true))

    dotnet (
        [
            "fsi"
            "--quiet"
            "build/Demo.fsx"
            builtAgent
            builtDashboard
            Path.Combine(artifacts, "demo")
        ]
        @ options
    )

/// Every parser for so many seconds: build/Fuzz.fsx.
let fuzzFor (seconds: int) =
    let built = Path.Combine(artifacts, "bin", "Agent.Fuzz", testConfiguration)
    let directory = Path.Combine(artifacts, "fuzz")

    match exitCodeOf (toolIn root "dotnet" [ "fsi"; "--quiet"; "build/Fuzz.fsx"; built; directory; string seconds ]) with
    | 0 -> ()
    | 3 when isCi () -> failwith "Fuzz needs afl-fuzz; on Debian and Ubuntu: apt-get install afl++"
    | 3 -> Trace.log "skipped: no afl-fuzz; on Debian and Ubuntu: apt-get install afl++"
    | _ -> failwith $"Fuzzing found failures; their inputs are in %s{directory}."

/// Each benchmark once: that it works, not what it says.
let smokeBenchmarks () =
    let executable = Path.Combine(artifacts, "bin", "Agent.Bench", testConfiguration, "Agent.Bench.dll")

    dotnet [ executable; "smoke" ]

/// The lab: bench/lab. `options` are those of bench/lab/lab.py.
let labWith (options: string list) =
    if
        exitCodeOf (toolIn root "python3" (Path.Combine("bench", "lab", "lab.py") :: options))
        <> 0
    then
        failwith "The verdict is below its bar, or the lab failed."

/// The release and, beside it, the laws; the packages tried out and, beside that, the demo, so that a new user does not find it broken, some fuzzing
/// and the tests of parts; six scenarios of the lab, which measure and are alone; and the tests of whole programs, on the published ones.
let ci () =
    let complaints = ConcurrentQueue<string>()

    sideBySide
        [
            tryAll complaints [] [ laws ]
            fun () ->
                publish ()
                package ()
                images ()
                release ()
        ]

    let published =
        [
            ("AGENT_BINARY", publishedAgent runtime)
            ("RELEASE_DIRECTORY", releaseDirectory)
            ("DASHBOARD_BINARY", Path.Combine(publishedDashboard runtime, "ai-dashboard"))
        ]

    sideBySide
        [
            fun () ->
                withEmptyDebian (fun () ->
                    installPackages ()
                    installRelease ()
                    tryImages ())
            fun () ->
                demoWith [ "--seconds"; "3" ]
                smokeBenchmarks ()
                lintian ()
                fuzzFor 3
            tryAll complaints published partProjects
        ]

    labWith [ "--quick"; "--nice"; "-20" ]

    // One after the other: two at once keep two cores so busy that some of these tests wait for minutes.
    tryAll complaints published programProjects ()
    judge (List.ofSeq complaints)

// ---- The targets and the command line --------------------------------------------------------------------------------

type Options =
    {
        Target: string
        /// Options of single targets, each with its whole number above 0.
        Numbers: (string * int) list
        /// Options of Lab, as bench/lab/lab.py takes them.
        Lab: string list
        /// Option of Release: the key that signs the apt repository, as gpg knows it.
        SignKey: string option
        /// Whether to say at the end what held the build back.
        Watch: bool
    }

/// Options with a whole number, and the targets that they go with.
let numberOptions = [ "--seconds", [ "Demo"; "Fuzz" ]; "--gpus", [ "Demo" ]; "--fleet", [ "Demo" ] ]

let isNumberOption option =
    numberOptions |> List.exists (fst >> (=) option)

let demo (options: Options) =
    demoWith
        [
            for name, number in options.Numbers do
                yield! [ name; string number ]
        ]

let fuzz (options: Options) =
    options.Numbers
    |> List.tryLast
    |> Option.map snd
    |> Option.defaultValue 30
    |> fuzzFor

let lab (options: Options) = labWith options.Lab

/// packaging/apt-repository.sh takes the key from this variable, which may be set without the option.
let releaseWith (options: Options) =
    options.SignKey
    |> Option.iter (fun key -> Environment.SetEnvironmentVariable("SIGN_KEY", key))

    release ()

let plain action (_: Options) : unit = action ()

let targets =
    [
        "Restore", "restores the tools and the packages", plain restore
        "Lock", "resolves paket.lock again from paket.dependencies", plain lock
        "Format", "formats all F# and C# files", plain format
        "CheckFormat", "fails if Format would change a file", plain checkFormat
        "Build", "builds the solution; warnings are errors", plain build
        "Test", "CheckFormat, Build, all tests and properties", plain test
        "Publish", "builds the agent as one native executable and the dashboard as a folder, in artifacts/publish", plain publish
        "Package",
        "Publish, then the .deb, .rpm and .tar.gz of both programs, their charts and the core's NuGet package, in artifacts/package",
        plain package
        "TryPackage", "Package, then lintian, and each .deb in an empty Debian (as root)", plain tryPackage
        "Images", "Package, then an OCI image of both programs in artifacts/images, with Debian's buildah (as root)", plain images
        "TryImages", "Images, then runs them as compose.yaml does (as root)", plain tryImages
        "Docs", "Build, then generates the documentation of the options and of the keys of a sample", plain docs
        "Release",
        "Package, Images where buildah is installed, then an apt repository, bills of materials and checksums, all in artifacts/release (--sign-key KEY)",
        releaseWith
        "TryInstall", "Release, then installs it by apt, rpm and install.sh in an empty Debian (as root)", plain tryInstall
        "Demo", "Build, then runs dashboard and agent on this machine (--seconds, --gpus, --fleet)", demo
        "Lab",
        "Publish, then runs trainers with known limits and the agent watching them, as root (--only NAME, --quick; about 45 min)",
        lab
        "Soak", "Build, then all tests and properties at full length", plain soak
        "Fuzz", "Build, then fuzzes every parser, guided by coverage (--seconds for each, default 30)", fuzz
        "Ci",
        "CheckFormat, Build, TryPackage, TryImages, Release, TryInstall, 3 s of Fuzz, the Lab's short run, then all tests, the published programs in those that run one",
        plain ci
    ]

/// These end with the closing line.
let runsTests target =
    List.contains target [ "Test"; "Soak"; "Ci" ]

let help =
    [
        "dotnet fsi build.fsx -t <Target> [--watch]"
        "dotnet fsi build.fsx -t Demo [--seconds N] [--gpus N] [--fleet N] [--watch]"
        "dotnet fsi build.fsx -t Fuzz [--seconds N]"
        "dotnet fsi build.fsx -t Lab [--quick] [--only NAME]..."
        "dotnet fsi build.fsx -t Release [--sign-key KEY]"
        ""
        for name, purpose, _ in targets do
            $"  %-12s{name} %s{purpose}"
        ""
        "  --watch      samples this machine during the build and says at the end what held it back"
    ]
    |> String.concat "\n"

let rec parse (options: Options) arguments =
    match arguments with
    | [] -> Ok options
    | ("-h" | "--help") :: _ -> Ok { options with Target = "Help" }
    | ("-t" | "--target") :: name :: rest -> parse { options with Target = name } rest
    | "--watch" :: rest -> parse { options with Watch = true } rest
    | "--quick" :: rest ->
        parse
            { options with
                Lab = options.Lab @ [ "--quick" ]
            }
            rest
    | "--sign-key" :: key :: rest -> parse { options with SignKey = Some key } rest
    | "--only" :: name :: rest ->
        parse
            { options with
                Lab = options.Lab @ [ "--only"; name ]
            }
            rest
    | option :: number :: rest when isNumberOption option ->
        match Int32.TryParse number with
        | true, value when value > 0 ->
            parse
                { options with
                    Numbers = options.Numbers @ List.singleton (option, value)
                }
                rest
        | _ -> Error $"%s{option} takes a whole number above 0, not '%s{number}'."
    | [ option ] when
        List.contains option [ "-t"; "--target"; "--only"; "--sign-key" ]
        || isNumberOption option
        ->
        Error $"%s{option} needs a value."
    | other :: _ -> Error $"Unknown option '%s{other}'."

/// The options with the target's name as it is written above.
let check (options: Options) =
    let named name =
        String.Equals(name, options.Target, StringComparison.OrdinalIgnoreCase)

    let strange name =
        numberOptions
        |> List.tryFind (fun (option, targets) ->
            List.exists (fst >> (=) option) options.Numbers
            && not (List.contains name targets))

    match "Help" :: [ for name, _, _ in targets -> name ] |> List.tryFind named with
    | None -> Error $"Unknown target '%s{options.Target}'."
    | Some name when name <> "Release" && options.SignKey.IsSome -> Error "--sign-key goes with Release only."
    | Some name when name <> "Lab" && not (List.isEmpty options.Lab) -> Error $"%s{List.head options.Lab} goes with Lab only."
    | Some name ->
        match strange name with
        | Some(option, targets) -> Error $"""%s{option} goes with %s{String.concat " and " targets} only."""
        | None -> Ok { options with Target = name }

let declare options =
    for name, purpose, action in targets do
        Target.description purpose
        Target.create name (fun _ -> action options)

    "Restore" ==> "Format" |> ignore
    "Restore" ==> "CheckFormat" ==> "Test" |> ignore
    "Restore" ==> "Build" ==> "Test" |> ignore
    "CheckFormat" ==> "Ci" |> ignore
    "Build" ==> "Ci" |> ignore
    // Ci publishes and tries the packages itself, beside tests.
    "Restore" ==> "Publish" ==> "Package" ==> "TryPackage" |> ignore
    "Package" ==> "Release" |> ignore
    "Package" ==> "Images" ==> "TryImages" |> ignore
    "Release" ==> "TryInstall" |> ignore

    if withImages then
        "Images" ==> "Release" |> ignore

    "Build" ==> "Docs" |> ignore
    "Build" ==> "Demo" |> ignore
    "Build" ==> "Soak" |> ignore
    "Publish" ==> "Lab" |> ignore
    "Build" ==> "Fuzz" |> ignore
    // What takes longer comes later.
    "CheckFormat" ?=> "Build" |> ignore
    "Build" ?=> "Publish" |> ignore

let rec innermost (e: exn) =
    match e.InnerException with
    | null -> e
    | inner -> innermost inner

/// A step that fails otherwise than by its tests counts as one failure: the line must not look like success then.
let closingLine succeeded =
    let failed = max (count _.IsFailed) (if succeeded then 0 else 1)
    $"%d{count _.IsPassed} passed, %d{failed} failed, %d{count _.IsSkipped} skipped"

/// The same target in a process of its own, beside the sample that watches builds. It samples with Agent.Core.dll, which
/// is made first; the target finds it up to date and does not write to a file that is in use.
let executeWatched (options: Options) =
    restore ()
    dotnet [ "build"; "src/Agent.Core.fsproj"; "--no-restore" ]

    let numbers =
        [
            for name, number in options.Numbers do
                yield! [ name; string number ]
            yield! options.Lab

            match options.SignKey with
            | Some key -> yield! [ "--sign-key"; key ]
            | None -> ()
        ]

    exitCodeOf (
        toolIn
            root
            "dotnet"
            ([
                "fsi"
                "samples/BuildWatch.fsx"
                "dotnet"
                "fsi"
                "build.fsx"
                "-t"
                options.Target
             ]
             @ numbers)
    )

let execute (options: Options) =
    Context.FakeExecutionContext.Create false "build.fsx" []
    |> Context.RuntimeContext.Fake
    |> Context.setExecutionContext

    CoreTracing.ensureConsoleListener ()
    declare options

    let succeeded =
        try
            Target.run 1 options.Target []
            true
        with e ->
            eprintfn $"\n%s{options.Target} failed: %s{(innermost e).Message}"
            false

    if runsTests options.Target then
        for test in testCases do
            match test.Outcome with
            | Skipped reason -> printfn $"skipped: %s{reason} (%s{test.Name})"
            | Passed
            | Failed -> ()

        printfn $"%s{closingLine succeeded}"

    if succeeded then 0 else 1

match
    List.ofArray fsi.CommandLineArgs
    |> List.tail
    |> parse
        {
            Target = "Help"
            Numbers = []
            Lab = []
            SignKey = None
            Watch = false
        }
    |> Result.bind check
with
| Ok { Target = "Help" } -> printfn $"%s{help}"
| Ok options when options.Watch -> exit (executeWatched options)
| Ok options -> exit (execute options)
| Error sentence ->
    eprintfn $"%s{sentence} `dotnet fsi build.fsx -t Help` lists what there is."
    exit 2
