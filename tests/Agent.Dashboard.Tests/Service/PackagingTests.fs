/// The files that put the dashboard onto a machine, and what is written about its commands.
module Agent.Dashboard.Tests.PackagingTests

open System
open System.IO
open Agent.Build
open Agent.Receiver
open Agent.TestSupport
open Expecto

let private fileOf (name: string) = Path.Combine(Fixtures.root, name)

let private unitOf (name: string) =
    Path.Combine(Fixtures.root, "packaging", "systemd", name)

let private run = Tools.run [ "LC_ALL", "C.UTF-8" ]

let private units =
    [
        "ai-dashboard.service"
        "ai-dashboard-backup.service"
        "ai-dashboard-backup.timer"
    ]

let private valuesOf (name: string) (key: string) : string list =
    File.ReadAllLines(unitOf name)
    |> List.ofArray
    |> List.filter (fun line -> line.StartsWith(key + "=", StringComparison.Ordinal))
    |> List.map _.Substring(key.Length + 1)

let private rewrite = "it is not what `dotnet fsi build.fsx -t Docs` writes"

[<Tests>]
let tests =
    testList
        "Packaging"
        [
            testCase "systemd-analyze verify has nothing to say of the units"
            <| fun () ->
                let directory = Directory.CreateTempSubdirectory "dashboard-tests-"

                try
                    for name in units do
                        // Neither the program nor its user need be there where the tests run.
                        let text =
                            File
                                .ReadAllText(unitOf name)
                                .Replace("ExecStart=ai-dashboard ", "ExecStart=/bin/true ")
                                .Replace("User=ai-dashboard", "User=root")
                                .Replace("Group=ai-dashboard", "Group=root")

                        File.WriteAllText(Path.Combine(directory.FullName, name), text)

                    let code, said =
                        run
                            "systemd-analyze"
                            ("verify"
                             :: "--man=no"
                             :: [ for name in units -> Path.Combine(directory.FullName, name) ])

                    Expect.equal code 0 said
                    let lines = said.Split '\n' |> Array.filter _.Contains("ai-dashboard")

                    Expect.equal lines [||] "no warning"
                finally
                    directory.Delete true

            for name in [ "ai-dashboard.service"; "ai-dashboard-backup.service" ] do
                testCase $"systemd-analyze security finds an exposure of 1.5 at most: {name}"
                <| fun () ->
                    let code, said =
                        run "systemd-analyze" [ "security"; "--offline=true"; "--threshold=15"; "--no-pager"; unitOf name ]

                    Expect.equal code 0 said

            testCase "the service is watched, has its state, its secrets and its user, and does not try the impossible again and again"
            <| fun () ->
                for key, expected in
                    [
                        "Type", "notify"
                        "User", "ai-dashboard"
                        "StateDirectory", "ai-dashboard"
                        "WatchdogSec", "60"
                        "Restart", "on-failure"
                        "RestartPreventExitStatus", "2"
                        "EnvironmentFile", "-/etc/default/ai-dashboard"
                        "ProtectSystem", "strict"
                        "CapabilityBoundingSet", ""
                    ] do
                    Expect.equal (valuesOf "ai-dashboard.service" key) [ expected ] key

                Expect.equal
                    (valuesOf "ai-dashboard.service" "LoadCredential")
                    [
                        "viewer-password:/etc/ai-dashboard/viewer-password"
                        "tls-certificate:/etc/ai-dashboard/tls-certificate.pem"
                        "tls-key:/etc/ai-dashboard/tls-key.pem"
                    ]
                    "secrets"

            testCase "what the units start is a command line that the program takes"
            <| fun () ->
                let words (line: string) (variables: (string * string) list) =
                    (line, variables)
                    ||> List.fold (fun line (name, value) -> line.Replace("${" + name + "}", value).Replace("$" + name, value))
                    |> _.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                    |> Array.tail

                let options =
                    File.ReadAllLines(fileOf "packaging/deb-dashboard/default")
                    |> Array.filter (fun line -> line.TrimStart('#').StartsWith "OPTIONS=")
                    |> Array.map (fun line -> line.Substring(line.IndexOf '"').Trim('"'))

                Expect.equal options.Length 2 "two examples"
                let serve = List.exactlyOne (valuesOf "ai-dashboard.service" "ExecStart")

                for example in "" :: List.ofArray options do
                    let words =
                        words serve [ "STATE_DIRECTORY", "/var/lib/ai-dashboard"; "OPTIONS", example ]
                        |> ServiceCredentials.expand "/run/credentials/ai-dashboard.service"

                    match DashboardCli.parse words with
                    | Ok(DashboardCli.DashboardCommand.Serve settings) ->
                        Expect.equal settings.Database "/var/lib/ai-dashboard/ai-dashboard.db" "database"
                        Expect.isFalse (settings.Access.ViewerPasswordFile.Contains '$') settings.Access.ViewerPasswordFile
                    | other -> failtest $"%A{words}: %A{other}"

                let backup = List.exactlyOne (valuesOf "ai-dashboard-backup.service" "ExecStart")

                let variables =
                    valuesOf "ai-dashboard-backup.service" "Environment"
                    |> List.map (fun text -> text.Split('=')[0], text.Split('=')[1])

                match DashboardCli.parse (words backup (("STATE_DIRECTORY", "/var/lib/ai-dashboard") :: variables)) with
                | Ok(DashboardCli.DashboardCommand.Backup(database, directory, keep)) ->
                    Expect.equal
                        (database, directory, keep)
                        ("/var/lib/ai-dashboard/ai-dashboard.db", "/var/backups/ai-dashboard", 14)
                        "backup"
                | other -> failtest $"%A{other}"

            for name, text in DashboardDocs.files do
                testCase $"{name} is that of the commands"
                <| fun () -> Expect.equal (File.ReadAllText(fileOf name)) text rewrite

            testCase "man has nothing to say of the manual page"
            <| fun () -> Expect.equal (run "man" [ "--warnings=all"; "-l"; "packaging/man/ai-dashboard.8" ] |> fst) 0 "man"

            for shell in [ "bash"; "zsh"; "fish" ] do
                testCase $"{shell} reads its completion"
                <| fun () ->
                    let code, said = run shell [ "-n"; $"packaging/completions/ai-dashboard.{shell}" ]
                    Expect.equal code 0 said

            testCase "bash completes commands, their options and files"
            <| fun () ->
                let completed (line: string) =
                    let words = line.Split ' '
                    let listed = words |> Array.map (fun word -> $"'{word}'") |> String.concat " "

                    let script =
                        $". packaging/completions/ai-dashboard.bash; COMP_WORDS=({listed}); COMP_CWORD={words.Length - 1}; _ai_dashboard; printf '%%s\\n' \"${{COMPREPLY[@]}}\""

                    match run "bash" [ "-c"; script ] with
                    | 0, said -> said.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray
                    | failed -> failtest $"%A{failed}"

                Expect.equal (completed "ai-dashboard re") [ "register-server"; "remove-server"; "restore" ] "commands"
                Expect.equal (completed "ai-dashboard serve --raw") [ "--raw-hours" ] "options"
                Expect.equal (completed "ai-dashboard us") [ "users" ] "the first of two words"
                Expect.equal (completed "ai-dashboard users re") [ "remove" ] "the second"
                Expect.equal (completed "ai-dashboard users add --ro") [ "--role" ] "options of two words"
                Expect.equal (completed "ai-dashboard restore READ") [ "README.md" ] "files"
                Expect.equal (completed "ai-dashboard check --y") [] "not those of other commands"

            for script in [ "postinst"; "prerm"; "postrm" ] do
                testCase $"sh reads {script}"
                <| fun () -> Expect.equal (run "sh" [ "-n"; $"packaging/deb-dashboard/{script}" ]) (0, "") script
        ]
