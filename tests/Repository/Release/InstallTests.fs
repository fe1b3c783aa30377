/// packaging/install.sh, as far as it goes without root and without installing: what it takes, what it finds out, and what it refuses.
/// packaging/try-install.sh installs with it.
module Agent.Repository.Tests.Release.InstallTests

open System
open System.IO
open Agent.TestSupport
open Agent.TestSupport.Tools
open Expecto

let private install (arguments: string list) : int * string =
    run [ "LC_ALL", "C" ] "sh" ("packaging/install.sh" :: arguments)

/// A folder that is a release as far as its SHA256SUMS says.
let private release (directory: string) (files: (string * string) list) : string =
    let sums =
        [
            for name, text in files do
                let path = Path.Combine(directory, name)
                File.WriteAllText(path, text)
                (succeed [] "sha256sum" [ path ]).Split(' ')[0] + "  " + name
        ]

    File.WriteAllText(Path.Combine(directory, "SHA256SUMS"), String.concat "\n" sums + "\n")
    directory

let private names =
    [
        "ai-dashboard-agent_1.2.3~dev.4+abc_amd64.deb"
        "ai-dashboard-agent_1.2.3~dev.4+abc_arm64.deb"
        "ai-dashboard_1.2.3~dev.4+abc_amd64.deb"
        "ai-dashboard_1.2.3~dev.4+abc_arm64.deb"
        "ai-dashboard-agent-1.2.3~dev.4+abc-1.x86_64.rpm"
        "ai-dashboard-agent-1.2.3~dev.4+abc-1.aarch64.rpm"
        "ai-dashboard-1.2.3~dev.4+abc-1.x86_64.rpm"
        "ai-dashboard-1.2.3~dev.4+abc-1.aarch64.rpm"
        "ai-dashboard-agent-1.2.3~dev.4+abc-linux-x64.tar.gz"
        "ai-dashboard-agent-1.2.3~dev.4+abc-linux-arm64.tar.gz"
        "ai-dashboard-1.2.3~dev.4+abc-linux-x64.tar.gz"
        "ai-dashboard-1.2.3~dev.4+abc-linux-arm64.tar.gz"
        "ai-dashboard-apt-1.2.3~dev.4+abc.tar.gz"
        "ai-dashboard-compose-1.2.3~dev.4+abc.tar.gz"
    ]

let private isArm =
    Runtime.InteropServices.RuntimeInformation.OSArchitecture = Runtime.InteropServices.Architecture.Arm64

[<Tests>]
let tests =
    testList
        "install.sh"
        [
            for script in [ "install.sh"; "try-install.sh"; "apt-repository.sh"; "package-rpm.sh" ] do
                testCase $"sh reads {script}"
                <| fun () -> succeed [] "sh" [ "-n"; $"packaging/{script}" ] |> ignore

            testCase "shellcheck has nothing to say of it"
            <| fun () ->
                if not (File.Exists "/usr/bin/shellcheck") then
                    Skip.always "no shellcheck"

                // `has x && …` as the last word of a function is meant as its answer.
                Expect.equal (run [] "shellcheck" [ "--shell=sh"; "packaging/install.sh" ]) (0, "") "warnings"

            testCase "what it does not take is refused in one sentence with exit code 2"
            <| fun () ->
                for arguments, sentence in
                    [
                        [ "--prefx=/opt" ], "\"--prefx=/opt\" is not an option"
                        [ "agent" ], "\"agent\" is not an option"
                        [ "--url" ], "--url needs a value"
                        [ "--program"; "agent" ], "--program: \"agent\" is neither ai-dashboard-agent nor ai-dashboard"
                        [ "--format=zip" ], "--format: \"zip\" is not deb, rpm or tar"
                        [ "--prefix"; "opt" ], "--prefix: \"opt\" is not an absolute path"
                        [ "--purge" ], "--purge needs --uninstall"
                        [ "--format=deb"; "--prefix=/opt" ], "--prefix needs --format tar: a deb knows its own places"
                        [ "--dry-run" ],
                        "--url is missing: beside this file there is no SHA256SUMS that would say which files the release has"
                        [ "--dry-run"; "--url"; "ftp://h/" ], "--url: \"ftp://h\" is neither http, https, file nor a path"
                    ] do
                    Expect.equal (install arguments) (2, $"install.sh: {sentence}; see install.sh --help\n") $"%A{arguments}"

            testCase "it finds the file that this machine takes, by whatever way the release is named, and says what it would do"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let folder = release directory [ for name in names -> name, $"text of {name}" ]

                    for url in [ folder; folder + "/"; $"file://{folder}" ] do
                        let shown = url.TrimEnd '/'

                        for program in [ "ai-dashboard-agent"; "ai-dashboard" ] do
                            for format, file in
                                [
                                    "deb",
                                    (if isArm then
                                         $"{program}_1.2.3~dev.4+abc_arm64.deb"
                                     else
                                         $"{program}_1.2.3~dev.4+abc_amd64.deb")
                                    "rpm",
                                    (if isArm then
                                         $"{program}-1.2.3~dev.4+abc-1.aarch64.rpm"
                                     else
                                         $"{program}-1.2.3~dev.4+abc-1.x86_64.rpm")
                                    "tar",
                                    (if isArm then
                                         $"{program}-1.2.3~dev.4+abc-linux-arm64.tar.gz"
                                     else
                                         $"{program}-1.2.3~dev.4+abc-linux-x64.tar.gz")
                                ] do
                                let code, said = install [ "--dry-run"; "--url"; url; "--program"; program; "--format"; format ]

                                Expect.equal code 0 said
                                let sum = (succeed [] "sha256sum" [ Path.Combine(folder, file) ]).Split(' ')[0]

                                Expect.stringContains said $"would fetch {shown}/{file}, and install it if its checksum is {sum}\n" said

                    let code, said = install [ "--dry-run"; "--url"; folder; "--prefix"; "/opt/agent" ]
                    Expect.equal code 0 said
                    Expect.stringContains said ".tar.gz to /opt/agent, with its units" "a prefix means the archive")

            testCase "a release that has no such file, and one that cannot be read, are told of"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let folder = release directory [ "ai-dashboard_1.2.3~dev.4+abc_amd64.deb", "x" ]
                    let code, said = install [ "--dry-run"; "--url"; folder; "--format"; "tar" ]
                    Expect.equal code 1 said
                    Expect.stringContains said $"the release at {folder} has no tar of ai-dashboard-agent for " "the sentence"

                    let nowhere = Path.Combine(directory, "nowhere")
                    let code, said = install [ "--dry-run"; "--url"; nowhere ]
                    Expect.equal code 1 said
                    Expect.stringContains said $"{nowhere}/SHA256SUMS cannot be fetched: " "the sentence")

            testCase "what is not installed cannot be removed, which is no failure"
            <| fun () ->
                if Directory.Exists "/etc/ai-dashboard-agent" then
                    Skip.always "an agent is installed here"

                Expect.equal
                    (install [ "--uninstall"; "--dry-run"; "--prefix=/nonexistent" ])
                    (0, "install.sh: ai-dashboard-agent is not installed; there is nothing to remove\n")
                    "the sentence"
        ]
