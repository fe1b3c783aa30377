/// The files that put the agent onto a machine.
module Agent.Repository.Tests.PackagingTests

open System
open System.ComponentModel
open System.Diagnostics
open System.IO
open Agent.TestSupport
open Expecto

let private unitFile = Path.Combine(Fixtures.root, "packaging", "systemd", "ai-dashboard-agent.service")

/// The exit code and what was printed.
let private systemdAnalyze (arguments: string list) : int * string =
    let start = ProcessStartInfo("systemd-analyze", arguments)
    start.RedirectStandardOutput <- true
    start.RedirectStandardError <- true

    try
        use tool =
            match Process.Start start with
            | null -> failtest "systemd-analyze does not start"
            | tool -> tool

        let errors = tool.StandardError.ReadToEndAsync()
        let output = tool.StandardOutput.ReadToEnd()
        tool.WaitForExit()
        tool.ExitCode, output + errors.Result
    with :? Win32Exception ->
        Skip.because "no systemd-analyze"
        0, ""

/// `Key=value` in the order of the unit.
let private assignments: (string * string) list =
    File.ReadAllLines unitFile
    |> List.ofArray
    |> List.choose (fun line ->
        match line.IndexOf '=' with
        | at when at > 0 && not (line.StartsWith '#') -> Some(line.Substring(0, at), line.Substring(at + 1))
        | _ -> None)

let private valuesOf (key: string) : string list =
    assignments |> List.filter (fst >> (=) key) |> List.map snd

[<Tests>]
let tests =
    testList
        "systemd unit"
        [
            testCase "systemd-analyze verify has nothing to say"
            <| fun () ->
                let directory = Directory.CreateTempSubdirectory "agent-tests-"

                try
                    // The program need not be installed where the tests run.
                    let unit = Path.Combine(directory.FullName, "ai-dashboard-agent.service")
                    let text = File.ReadAllText unitFile
                    File.WriteAllText(unit, text.Replace("ExecStart=ai-dashboard-agent", "ExecStart=/bin/true"))
                    Expect.notEqual (File.ReadAllText unit) text "the program is replaced"
                    let code, said = systemdAnalyze [ "verify"; "--man=no"; unit ]
                    Expect.equal code 0 said

                    // What other units of this machine are reproached with is not ours.
                    let lines = said.Split '\n' |> Array.filter _.Contains("ai-dashboard-agent")
                    Expect.equal lines [||] "no warning"
                finally
                    directory.Delete true

            testCase "systemd-analyze security finds an exposure of 3.0 at most"
            <| fun () ->
                let code, said =
                    systemdAnalyze [ "security"; "--offline=true"; "--threshold=30"; "--no-pager"; unitFile ]

                Expect.equal code 0 said

            testCase "it waits for the network, is watched, and comes back"
            <| fun () ->
                for key, expected in
                    [
                        "Type", "notify"
                        "Wants", "network-online.target"
                        "Restart", "always"
                        "RestartSec", "5"
                        "DynamicUser", "yes"
                        "ProtectSystem", "strict"
                        "NoNewPrivileges", "yes"
                        "CapabilityBoundingSet", ""
                        "StateDirectory", "ai-dashboard-agent"
                        "EnvironmentFile", "-/etc/default/ai-dashboard-agent"
                        "DeviceAllow", "char-nvidia* rw"
                        "WatchdogSec", "60"
                    ] do
                    Expect.equal (valuesOf key) [ expected ] key

                Expect.stringContains (List.exactlyOne (valuesOf "After")) "network-online.target" "After"

            testCase "the token is a credential, with a default that is none"
            <| fun () ->
                Expect.equal (valuesOf "LoadCredential") [ "ingest-token:/etc/ai-dashboard-agent/ingest-token" ] "the file"
                Expect.equal (valuesOf "SetCredential") [ "ingest-token:\\n" ] "a blank line"

            testCase "nothing hides what is to be counted"
            <| fun () ->
                for key in
                    [
                        "ProtectProc"
                        "ProcSubset"
                        "PrivateDevices"
                        "PrivateNetwork"
                        "ProtectHostname"
                    ] do
                    Expect.equal (valuesOf key) [] key

                Expect.equal (valuesOf "ProtectHome") [ "read-only" ] "file systems below /home"

            testCase "with the drop-in for jobs it has two capabilities and is as strict as before in all else"
            <| fun () ->
                let dropIn =
                    Path.Combine(Fixtures.root, "packaging", "systemd", "ai-dashboard-agent.service.d", "jobs.conf")

                let lines =
                    File.ReadAllLines dropIn
                    |> Array.filter (fun line -> line <> "" && not (line.StartsWith '#'))

                Expect.equal
                    lines
                    [|
                        "[Service]"
                        "CapabilityBoundingSet=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"
                        "AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"
                    |]
                    "what it sets"

                Expect.stringContains
                    (File.ReadAllText(Path.Combine(Fixtures.root, "packaging", "package.sh")))
                    "examples/jobs.conf"
                    "it is shipped where it does nothing"
        ]

let private postinst = Path.Combine(Fixtures.root, "packaging", "deb", "postinst")

/// Whether the package would start the service, with the variables and the token in the files.
let private isConfigured (variables: string) (token: string) : bool =
    let directory = Directory.CreateTempSubdirectory "agent-tests-"

    try
        let put (name: string) (text: string) =
            let path = Path.Combine(directory.FullName, name)
            File.WriteAllText(path, text)
            path

        // Its functions, with files of ours for those of the machine.
        let functions =
            (File.ReadAllText postinst).Split("if [ \"$1\" = configure ]")[0]
            |> fun text ->
                text
                    .Replace("/etc/default/ai-dashboard-agent", put "variables" variables)
                    .Replace("/etc/ai-dashboard-agent/ingest-token", put "token" token)

        use shell =
            match
                Process.Start(ProcessStartInfo("sh", [ put "try" (functions + "\nif configured; then exit 10; else exit 11; fi\n") ]))
            with
            | null -> failtest "sh does not start"
            | shell -> shell

        shell.WaitForExit()

        match shell.ExitCode with
        | 10 -> true
        | 11 -> false
        | code -> failtest $"the script ends with {code}"
    finally
        directory.Delete true

[<Tests>]
let configuration =
    testList
        "the package starts the service"
        [
            for name, variables, token, expected in
                [
                    "not as it comes", File.ReadAllText(Path.Combine(Fixtures.root, "packaging", "deb", "default")), "", false
                    "with a webapp, a slug and a token", "AI_DASHBOARD_HOST=http://a\nAI_DASHBOARD_SERVER_SLUG=b\n", "c\n", true
                    "with the token among the variables",
                    "AI_DASHBOARD_HOST=http://a\nAI_DASHBOARD_SERVER_SLUG=b\nAI_DASHBOARD_TOKEN=c\n",
                    "",
                    true
                    "with a file for the token",
                    "AI_DASHBOARD_HOST=http://a\nAI_DASHBOARD_SERVER_SLUG=b\nAI_DASHBOARD_TOKEN_FILE=/c\n",
                    "",
                    true
                    "with an enrolment key", "AI_DASHBOARD_HOST=http://a\nAI_DASHBOARD_ENROL_KEY_FILE=/c\n", "", true
                    "not without a slug", "AI_DASHBOARD_HOST=http://a\n", "c\n", false
                    "not without a token", "AI_DASHBOARD_HOST=http://a\nAI_DASHBOARD_SERVER_SLUG=b\n", " \n", false
                    "where Prometheus fetches metrics", "AI_DASHBOARD_LISTEN=127.0.0.1:9835\n", "", true
                    "where metrics are pushed", "AI_DASHBOARD_REMOTE_WRITE=http://a/api/v1/write\n", "", true
                    "where they go to a collector of OpenTelemetry", "AI_DASHBOARD_OTLP=http://a:4318\n", "", true
                    "not with half a webapp beside Prometheus",
                    "AI_DASHBOARD_HOST=http://a\nAI_DASHBOARD_LISTEN=127.0.0.1:9835\n",
                    "",
                    false
                    "not with an empty variable", "AI_DASHBOARD_LISTEN=\n", "", false
                    "not with a comment", "#AI_DASHBOARD_LISTEN=127.0.0.1:9835\n", "", false
                ] do
                testCase name
                <| fun () -> Expect.equal (isConfigured variables token) expected "as the agent itself would start"
        ]
