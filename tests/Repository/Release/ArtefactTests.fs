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

let private rpmArchitecture (runtime: string) =
    if runtime = "linux-arm64" then "aarch64" else "x86_64"

/// Images and rpms are made where buildah and rpmbuild are installed. What CI makes has them.
let private has (pattern: string) (folder: string) : bool =
    Directory.GetFiles(folder, pattern).Length > 0
    || String.Equals(Environment.GetEnvironmentVariable "CI", "true", StringComparison.OrdinalIgnoreCase)

let private hasImages = has "*.oci.tar"
let private hasRpms = has "*.rpm"

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
                    $"ai-dashboard-compose-{withoutCommit version}.tar.gz"
                    $"ai-dashboard-scale-{withoutCommit version}.tar.gz"
                    if hasImages folder then
                        for _, _, name in archives do
                            $"{name}.oci.tar"
                    if hasRpms folder then
                        for program, runtime, _ in archives do
                            $"{program}-{Version.debian version}-1.{rpmArchitecture runtime}.rpm"
                    $"ai-dashboard-apt-{withoutCommit version}.tar.gz"
                    "install.sh"
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

        if hasRpms folder then
            for program, runtime, name in archives do
                testCase $"the .rpm of {program} for {runtime} has the files of the archive, its configuration marked, and what it needs"
                <| fun () ->
                    let rpm = Path.Combine(folder, $"{program}-{Version.debian version}-1.{rpmArchitecture runtime}.rpm")

                    let ask (options: string list) =
                        (succeed [] "rpm" ([ "--query"; "--package"; rpm ] @ options)).Split('\n', StringSplitOptions.RemoveEmptyEntries)

                    let files = ask [ "--list" ]

                    for file in
                        [
                            $"/usr/bin/{program}"
                            $"/usr/lib/systemd/system/{program}.service"
                            $"/usr/share/man/man8/{program}.8.gz"
                            $"/usr/share/doc/{program}/copyright"
                            $"/usr/share/bash-completion/completions/{program}"
                            $"/etc/{program}"
                        ] do
                        Expect.contains files file "a file"

                    Expect.equal (ask [ "--configfiles" ]) [| $"/etc/default/{program}" |] "configuration"
                    let needs = ask [ "--requires" ]
                    Expect.isTrue (needs |> Array.exists _.StartsWith("libc.so.6(GLIBC_2.")) "glibc"

                    // Nothing that is in the package itself, and nothing that only tracing would use.
                    for need in needs do
                        Expect.isFalse (Regex.IsMatch(need, "coreclr|mscor|lttng|hostfxr")) need

                    Expect.stringContains (String.concat "\n" (ask [ "--scripts" ])) "systemctl daemon-reload" "its scripts"

        testCase "the apt repository's index has every package with the sums that it has"
        <| fun () ->
            World.withDirectory (fun directory ->
                let name = $"ai-dashboard-apt-{withoutCommit version}"

                succeed [] "tar" [ "-xzf"; Path.Combine(folder, $"{name}.tar.gz"); "-C"; directory ]
                |> ignore

                let repository = Path.Combine(directory, name)

                let said =
                    succeed
                        []
                        "sh"
                        [
                            "-c"
                            $"cd '{repository}/dists/stable' && sed -n '/^SHA256:/,$s/^ \\([0-9a-f]*\\) [0-9]* \\(.*\\)/\\1  \\2/p' Release | sha256sum --check"
                        ]

                Expect.equal (Regex.Count(said, ": OK\n")) 4 said

                for program, runtime, _ in archives do
                    let deb = $"{program}_{Version.debian version}_{architecture runtime}.deb"

                    let index =
                        File.ReadAllText(Path.Combine(repository, "dists", "stable", "main", $"binary-{architecture runtime}", "Packages"))

                    let path = $"pool/main/a/{program}/{deb}"
                    Expect.stringContains index $"Filename: {path}\n" deb
                    let sum = (succeed [] "sha256sum" [ Path.Combine(folder, deb) ]).Split(' ')[0]
                    Expect.stringContains index $"SHA256: {sum}\n" "the package of the release"
                    Expect.equal (File.ReadAllBytes(Path.Combine(repository, path))) (File.ReadAllBytes(Path.Combine(folder, deb))) deb)

        testCase "install.sh is of this version"
        <| fun () ->
            Expect.equal
                (succeed [] "sh" [ Path.Combine(folder, "install.sh"); "--version" ])
                $"install.sh {withoutCommit version}\n"
                "--version"

        if hasImages folder then
            for program, runtime, name in archives do
                testCase
                    $"the image of {program} for {runtime} has what it loads and its licences, a user, a check of health, its labels, and no shell"
                <| fun () ->
                    World.withDirectory (fun directory ->
                        succeed [] "tar" [ "-xf"; Path.Combine(folder, $"{name}.oci.tar"); "-C"; directory ]
                        |> ignore

                        let blob (digest: JsonElement) =
                            let sum = (string (digest.GetString())).Replace("sha256:", "")
                            let path = Path.Combine(directory, "blobs", "sha256", sum)
                            let found = succeed [] "sha256sum" [ path ]
                            Expect.stringStarts found $"{sum} " "the blob is what its name says"
                            path

                        let read (path: string) =
                            JsonDocument.Parse(File.ReadAllText path).RootElement

                        let first (list: JsonElement) = Seq.head (list.EnumerateArray())
                        let index = read (Path.Combine(directory, "index.json"))
                        let entry = first (index.GetProperty "manifests")

                        Expect.equal
                            (entry.GetProperty("annotations").GetProperty("io.containerd.image.name").GetString())
                            $"docker.io/library/{program}:{withoutCommit version}"
                            "the name"

                        Expect.equal
                            (entry.GetProperty("platform").GetProperty("architecture").GetString())
                            (architecture runtime)
                            "the platform"

                        let manifest = read (blob (entry.GetProperty "digest"))
                        let config = read (blob (manifest.GetProperty("config").GetProperty "digest"))
                        let settings = config.GetProperty "config"
                        Expect.equal (settings.GetProperty("User").GetString()) "65532:65532" "the user"

                        let words (value: JsonElement) =
                            [ for word in value.EnumerateArray() -> string (word.GetString()) ]

                        Expect.equal (words (settings.GetProperty "Entrypoint")) [ $"/usr/bin/{program}" ] "what it starts"

                        Expect.equal
                            (words (settings.GetProperty("Healthcheck").GetProperty "Test") |> List.take 2)
                            [ "CMD"; program ]
                            "its check of health"

                        let label (key: string) =
                            settings.GetProperty("Labels").GetProperty("org.opencontainers.image." + key).GetString()

                        Expect.equal (label "version") version "version"
                        Expect.equal (label "licenses") "MIT" "licence"
                        let layer = blob ((first (manifest.GetProperty "layers")).GetProperty "digest")
                        Expect.equal (manifest.GetProperty("layers").GetArrayLength()) 1 "one layer"

                        let files =
                            (succeed [ "LC_ALL", "C.UTF-8"; "TZ", "UTC" ] "tar" [ "-tzvf"; layer ])
                                .Split('\n', StringSplitOptions.RemoveEmptyEntries)
                            |> Array.map (fun line -> Regex.Match(line, @"^(\S+) +(\S+) +(\d+) (\S+ \S+) \.?/?(\S*)"))

                        Expect.all files _.Success "each line"
                        let names = files |> Array.map _.Groups[5].Value |> Set.ofArray
                        let times = files |> Array.map _.Groups[4].Value |> Array.distinct
                        Expect.hasLength times 1 "every file is as old as the commit"

                        let size = files |> Array.sumBy (fun file -> int64 file.Groups[3].Value) |> float

                        let most = if program = "ai-dashboard" then 90.0 else 20.0
                        let packed = float (FileInfo(Path.Combine(folder, $"{name}.oci.tar")).Length)
                        let mebibytes = packed / 1048576.0
                        Expect.isLessThanOrEqual mebibytes most $"MiB, of %.1f{size / 1048576.0} unpacked"

                        let triplet =
                            if runtime = "linux-arm64" then
                                "aarch64-linux-gnu"
                            else
                                "x86_64-linux-gnu"

                        let contains (ending: string) =
                            names
                            |> Set.exists (fun name -> name.EndsWith(ending, StringComparison.Ordinal))

                        for needed in
                            [
                                $"usr/bin/{program}"
                                $"lib/{triplet}/libc.so.6"
                                $"lib/{triplet}/libdl.so.2"
                                $"lib/{triplet}/libpthread.so.0"
                                $"usr/lib/{triplet}/libssl.so.3"
                                $"usr/lib/{triplet}/libcrypto.so.3"
                                "etc/ssl/certs/ca-certificates.crt"
                                "etc/passwd"
                                "etc/nsswitch.conf"
                                $"usr/share/doc/{program}/copyright"
                                $"usr/share/doc/{program}/THIRD-PARTY-NOTICES.txt.gz"
                                "usr/share/doc/libc6/copyright"
                                "var/lib/dpkg/status.d/libc6"
                            ] do
                            Expect.isTrue (contains needed) needed

                        for unwanted in [ "bin/sh"; "bin/bash"; "bin/dpkg"; "bin/apt-get" ] do
                            Expect.isFalse (contains unwanted) unwanted

                        // No program in it runs as another user than the one that started it.
                        for file in files do
                            Expect.isFalse (Regex.IsMatch(file.Groups[1].Value, "^-..[sS]|^-.....[sS]")) file.Value)

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
