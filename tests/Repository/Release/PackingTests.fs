/// How the files of a release are packed: the same contents give the same bytes.
module Agent.Repository.Tests.Release.PackingTests

open System
open System.IO
open System.IO.Compression
open System.Text
open System.Text.RegularExpressions
open Agent.Build
open Agent.TestSupport
open Agent.TestSupport.Tools
open Expecto

let private time = DateTimeOffset(2030, 1, 31, 12, 30, 16, TimeSpan.Zero)

let private archive (folder: string) (target: string) : unit =
    succeed [ "SOURCE_DATE_EPOCH", string (time.ToUnixTimeSeconds()) ] "sh" [ "packaging/archive.sh"; folder; target ]
    |> ignore

/// Makes the agent's packages of some executable, with documents of a program that has nothing inside.
let private package (umask: string) (runtime: string) (executable: string) (directory: string) (target: string) : unit =
    let documents = Path.Combine(directory, "documents")

    let written =
        Documents.write
            Fixtures.root
            documents
            {
                Name = "ai-dashboard-agent"
                Version = "1.2.3-dev"
                Time = time
                InstalledAs = "usr/bin/ai-dashboard-agent"
                Components = []
            }

    Expect.equal written (Ok()) "documents"

    // A machine without Debian's tools skips the test.
    for tool in [ "dpkg-shlibdeps"; "readelf" ] do
        succeed [] tool [ "--version" ] |> ignore

    let script =
        $"umask {umask}; exec sh packaging/package.sh '{executable}' 1.2.3-dev 1.2.3~dev {runtime} '{documents}' '{target}'"

    succeed [ "SOURCE_DATE_EPOCH", string (time.ToUnixTimeSeconds()) ] "sh" [ "-c"; script ]
    |> ignore

let private put (path: string) (text: string) (mode: UnixFileMode) (written: DateTime) : unit =
    Directory.CreateDirectory(Path.GetDirectoryName path |> nonNull) |> ignore
    File.WriteAllText(path, text)
    File.SetUnixFileMode(path, mode)
    File.SetLastWriteTimeUtc(path, written)

let private owner = UnixFileMode.UserRead ||| UnixFileMode.UserWrite
let private everybody = owner ||| UnixFileMode.GroupRead ||| UnixFileMode.OtherRead

[<Tests>]
let tests =
    testList
        "Packing"
        [
            testCase "an archive does not tell the order, times, umask and owner of the folder that it was made from"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let make (name: string) (files: (string * UnixFileMode) list) (written: DateTime) =
                        let folder = Path.Combine(directory, name, "program-1.2.3")

                        for file, mode in files do
                            put (Path.Combine(folder, file)) $"text of {file}" mode written

                        let target = Path.Combine(directory, $"{name}.tar.gz")
                        archive folder target
                        target

                    let first =
                        make
                            "first"
                            [
                                "b", everybody ||| UnixFileMode.UserExecute
                                "a", everybody
                                "inner/c", everybody
                            ]
                            (DateTime(2020, 1, 1, 0, 0, 0, DateTimeKind.Utc))

                    let second =
                        make
                            "second"
                            [ "inner/c", owner; "a", owner; "b", owner ||| UnixFileMode.UserExecute ]
                            (DateTime(2025, 5, 5, 5, 5, 5, DateTimeKind.Utc))

                    Expect.equal (File.ReadAllBytes first) (File.ReadAllBytes second) "bytes"

                    Expect.equal
                        (succeed [ "TZ", "UTC"; "LC_ALL", "C.UTF-8" ] "tar" [ "--list"; "--verbose"; "--numeric-owner"; "--file"; first ])
                        ("drwxr-xr-x 0/0               0 2030-01-31 12:30 program-1.2.3/\n"
                         + "-rw-r--r-- 0/0               9 2030-01-31 12:30 program-1.2.3/a\n"
                         + "-rwxr-xr-x 0/0               9 2030-01-31 12:30 program-1.2.3/b\n"
                         + "drwxr-xr-x 0/0               0 2030-01-31 12:30 program-1.2.3/inner/\n"
                         + "-rw-r--r-- 0/0              15 2030-01-31 12:30 program-1.2.3/inner/c\n")
                        "what is inside")

            testCase "an archive is not made without a time"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let code, said =
                        run [ "SOURCE_DATE_EPOCH", "" ] "sh" [ "packaging/archive.sh"; directory; Path.Combine(directory, "x.tar.gz") ]

                    Expect.notEqual code 0 "exit code"
                    Expect.stringContains said "SOURCE_DATE_EPOCH" "the reason")

            testCase "a .deb does not tell when and with which umask it was made"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let make (name: string) (umask: string) =
                        let target = Directory.CreateDirectory(Path.Combine(directory, name)).FullName
                        package umask "linux-x64" "/bin/true" directory target
                        Path.Combine(target, "ai-dashboard-agent_1.2.3~dev_amd64.deb")

                    let first = make "first" "022"
                    let second = make "second" "077"
                    Expect.equal (File.ReadAllBytes first) (File.ReadAllBytes second) "bytes"

                    let listed =
                        succeed [ "TZ", "UTC"; "LC_ALL", "C.UTF-8" ] "dpkg-deb" [ "--contents"; first ]
                        |> _.Split('\n', StringSplitOptions.RemoveEmptyEntries)

                    Expect.isGreaterThan listed.Length 20 "files"
                    Expect.all listed _.Contains(" 2030-01-31 12:30 ./", StringComparison.Ordinal) "times"
                    Expect.all listed _.Contains("root/root", StringComparison.Ordinal) "owner")

            testCase "a .rpm has the files of the .deb, and does not tell when it was made"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // A machine without the tool skips the test.
                    succeed [] "rpmbuild" [ "--version" ] |> ignore
                    package "022" "linux-x64" "/bin/true" directory directory
                    let deb = Path.Combine(directory, "ai-dashboard-agent_1.2.3~dev_amd64.deb")

                    let make (name: string) =
                        let target = Path.Combine(directory, name)

                        succeed
                            [ "SOURCE_DATE_EPOCH", string (time.ToUnixTimeSeconds()) ]
                            "sh"
                            [ "packaging/package-rpm.sh"; deb; "1.2.3~dev"; target ]
                        |> ignore

                        Path.Combine(target, "ai-dashboard-agent-1.2.3~dev-1.x86_64.rpm")

                    let first = make "first"
                    let second = make "second"
                    Expect.equal (File.ReadAllBytes first) (File.ReadAllBytes second) "bytes"

                    let ask (options: string list) =
                        (succeed [] "rpm" ([ "--query"; "--package"; first ] @ options)).Split('\n', StringSplitOptions.RemoveEmptyEntries)

                    let files = ask [ "--list" ]

                    for file in
                        [
                            "/usr/bin/ai-dashboard-agent"
                            "/usr/lib/systemd/system/ai-dashboard-agent.service"
                            "/usr/share/doc/ai-dashboard-agent/copyright"
                            "/etc/ai-dashboard-agent"
                        ] do
                        Expect.contains files file "a file"

                    Expect.equal (ask [ "--configfiles" ]) [| "/etc/default/ai-dashboard-agent" |] "configuration"

                    Expect.equal
                        (ask [ "--queryformat"; "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]" ]
                         |> Array.filter _.EndsWith(" /etc/ai-dashboard-agent"))
                        [| "drwx------ root /etc/ai-dashboard-agent" |]
                        "others cannot look at the token")

            testCase "an apt repository has an index of its packages, and a signature only by the key that is given"
            <| fun () ->
                World.withDirectory (fun directory ->
                    package "022" "linux-x64" "/bin/true" directory directory
                    let deb = Path.Combine(directory, "ai-dashboard-agent_1.2.3~dev_amd64.deb")
                    // gpgv trusts no signature of the future.
                    let time = DateTimeOffset(2020, 1, 31, 12, 30, 16, TimeSpan.Zero)
                    let at = "SOURCE_DATE_EPOCH", string (time.ToUnixTimeSeconds())

                    let make (name: string) (variables: (string * string) list) =
                        let target = Path.Combine(directory, name)

                        succeed (at :: variables) "sh" [ "packaging/apt-repository.sh"; target; deb ]
                        |> ignore

                        Path.Combine(target, "dists", "stable")

                    let plain = make "plain" [ "SIGN_KEY", "" ]

                    Expect.stringContains
                        (File.ReadAllText(Path.Combine(plain, "main", "binary-amd64", "Packages")))
                        "Filename: pool/main/a/ai-dashboard-agent/ai-dashboard-agent_1.2.3~dev_amd64.deb\n"
                        "the index"

                    Expect.equal (File.ReadAllText(Path.Combine(plain, "main", "binary-arm64", "Packages"))) "" "none for arm64"
                    let release = File.ReadAllText(Path.Combine(plain, "Release"))
                    Expect.stringContains release "Date: Fri, 31 Jan 2020 12:30:16 UTC\n" "the commit's time"
                    Expect.isFalse (File.Exists(Path.Combine(plain, "InRelease"))) "no key, no signature"

                    // A key of its own, in a folder of its own: gpg's socket wants a short path.
                    let home = Directory.CreateTempSubdirectory("gpg-")

                    try
                        let gpg = [ "GNUPGHOME", home.FullName ]

                        succeed
                            gpg
                            "gpg"
                            [
                                "--batch"
                                "--quiet"
                                "--passphrase"
                                ""
                                "--faked-system-time"
                                $"{time.ToUnixTimeSeconds() - 60L}!"
                                "--quick-generate-key"
                                "release@functional-agent.example"
                                "ed25519"
                                "sign"
                                "never"
                            ]
                        |> ignore

                        let signed = make "signed" (("SIGN_KEY", "release@functional-agent.example") :: gpg)
                        Expect.equal (File.ReadAllText(Path.Combine(signed, "Release"))) release "the same index"

                        let ring = Path.Combine(directory, "ring.gpg")

                        succeed gpg "gpg" [ "--batch"; "--quiet"; "--output"; ring; "--export" ]
                        |> ignore

                        for files in [ [ "InRelease" ]; [ "Release.gpg"; "Release" ] ] do
                            succeed [] "gpgv" ("--keyring" :: ring :: List.map (fun file -> Path.Combine(signed, file)) files)
                            |> ignore

                        let code, said =
                            run
                                (at :: ("SIGN_KEY", "nobody@functional-agent.example") :: gpg)
                                "sh"
                                [ "packaging/apt-repository.sh"; Path.Combine(directory, "other"); deb ]

                        Expect.notEqual code 0 "a key that is not there"

                        Expect.stringContains
                            said
                            "gpg does not sign with nobody@functional-agent.example; gpg --list-secret-keys lists the keys that it has"
                            "the sentence"
                    finally
                        run [ "GNUPGHOME", home.FullName ] "gpgconf" [ "--kill"; "all" ] |> ignore
                        home.Delete true)

            testCase "a .deb for another architecture depends on the glibc that its executable asks for"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // A library for arm64 stands in for the executable: SQLite's, which is in the dashboard's package of it.
                    let assets = Path.Combine(Fixtures.root, "artifacts", "obj", "Agent.Dashboard", "project.assets.json")

                    let sqlite =
                        Components.graph (File.ReadAllText assets)
                        |> List.find (fun package -> package.Id = "SQLitePCLRaw.lib.e_sqlite3")

                    let library = Path.Combine(sqlite.Directory, "runtimes", "linux-arm64", "native", "libe_sqlite3.so")

                    package "022" "linux-arm64" library directory directory

                    let field name =
                        (succeed
                            []
                            "dpkg-deb"
                            [
                                "--field"
                                Path.Combine(directory, "ai-dashboard-agent_1.2.3~dev_arm64.deb")
                                name
                            ])
                            .Trim()

                    Expect.equal (field "Architecture") "arm64" "architecture"
                    Expect.isTrue (Regex.IsMatch(field "Depends", @"^libc6 \(>= 2\.\d+\), init-system-helpers")) (field "Depends"))

            testCase "a NuGet package does not tell when it was packed, nor what NuGet drew by lot"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let make (name: string) (lot: string) (id: string) (year: int) =
                        let path = Path.Combine(directory, name)

                        let files =
                            [
                                "_rels/.rels",
                                $"""<Relationships><Relationship Target="/package/services/metadata/core-properties/{lot}.psmdcp" Id="{id}" /></Relationships>"""
                                $"package/services/metadata/core-properties/{lot}.psmdcp", "<coreProperties />"
                                "lib/net10.0/Core.dll", "code"
                            ]

                        (use written = new ZipArchive(File.Create path, ZipArchiveMode.Create)

                         for name, text in (if year = 2020 then files else List.rev files) do
                             let entry = written.CreateEntry name
                             entry.LastWriteTime <- DateTimeOffset(year, 6, 7, 8, 9, 10, TimeSpan.Zero)
                             use stream = entry.Open()
                             stream.Write(Encoding.UTF8.GetBytes text))

                        NuGetPackage.settle time path
                        path

                    let first = make "first.nupkg" "0123456789abcdef0123456789abcdef" "Rabc" 2020
                    let second = make "second.nupkg" "fedcba9876543210fedcba9876543210" "Rdef" 2025
                    Expect.equal (File.ReadAllBytes first) (File.ReadAllBytes second) "bytes"

                    use read = ZipFile.OpenRead first

                    Expect.equal
                        [ for entry in read.Entries -> entry.FullName ]
                        [
                            "_rels/.rels"
                            "lib/net10.0/Core.dll"
                            "package/services/metadata/core-properties/package.psmdcp"
                        ]
                        "names"

                    use relationships = new StreamReader((read.GetEntry "_rels/.rels" |> nonNull).Open())

                    Expect.stringContains
                        (relationships.ReadToEnd())
                        "Target=\"/package/services/metadata/core-properties/package.psmdcp\" Id=\"R1\""
                        "the relationship follows the name")

            testCase "checksums are those that sha256sum reads, of all files but their own"
            <| fun () ->
                World.withDirectory (fun directory ->
                    File.WriteAllText(Path.Combine(directory, "b"), "abc")
                    File.WriteAllText(Path.Combine(directory, "a"), "")
                    let sums = Path.Combine(directory, Checksums.FileName)
                    File.WriteAllText(sums, "old")

                    // FIPS 180-4's examples for "abc" and the empty message.
                    let expected =
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n"
                        + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"

                    Expect.equal (Checksums.ofDirectory directory) expected "lines"
                    File.WriteAllText(sums, expected)
                    let check = $"cd '{directory}' && sha256sum --check --quiet {Checksums.FileName}"
                    Expect.equal (run [] "sh" [ "-c"; check ]) (0, "") "sha256sum"
                    File.WriteAllText(Path.Combine(directory, "b"), "abd")
                    Expect.notEqual (fst (run [] "sh" [ "-c"; check ])) 0 "a file that was changed")

            testCase "the manual page gets day and version into its footer, and stays a good page"
            <| fun () ->
                let page = File.ReadAllText(Path.Combine(Fixtures.root, "packaging", "man", "ai-dashboard-agent.8"))

                match Documents.stampedManual "1.4.0-dev.57+0123456" "2030-01-31" page with
                | Error reason -> failtest reason
                | Ok stamped ->
                    World.withDirectory (fun directory ->
                        let path = Path.Combine(directory, "ai-dashboard-agent.8")
                        File.WriteAllText(path, stamped)

                        let shown = succeed [ "LC_ALL", "C.UTF-8"; "MANWIDTH", "100" ] "man" [ "--warnings=all"; "-l"; path ]

                        let footer = (shown.TrimEnd().Split '\n') |> Array.last
                        Expect.stringContains footer "FunctionalAgent 1.4.0-dev.57+0123456" "version"
                        Expect.stringContains footer "2030-01-31" "day")

                Expect.isError (Documents.stampedManual "1.4.0" "2030-01-31" "nothing") "no page"
        ]
