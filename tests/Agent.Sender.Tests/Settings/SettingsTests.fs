module Agent.Sender.Tests.SettingsTests

open System
open Agent.Core
open Agent.Sender
open Agent.TestSupport.CommandLine
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// A flag with its environment twin, and what either makes of a text.
let private both (flag: string) (variable: string) (text: string) : Settings list =
    let others =
        required
        |> List.chunkBySize 2
        |> List.filter (fun pair -> pair.Head <> flag)
        |> List.concat

    [
        settingsOf (others @ [ flag; text ]) []
        settingsOf (others @ [ $"{flag}={text}" ]) []
        settingsOf others [ variable, text ]
    ]

/// The sentence that a bad value gives, from the flag and from the variable.
let private bothErrors (flag: string) (variable: string) (text: string) : string list =
    let others =
        required
        |> List.chunkBySize 2
        |> List.filter (fun pair -> pair.Head <> flag)
        |> List.concat

    List.concat
        [
            errorsOf (others @ [ $"{flag}={text}" ]) []
            errorsOf others [ variable, text ]
        ]

/// Every text gives this value, by flag and by variable.
let private good flag variable (field: Settings -> 'a) (cases: (string * 'a) list) =
    testCase $"{flag} and {variable} take what is good"
    <| fun () ->
        for text, expected in cases do
            for settings in both flag variable text do
                Expect.equal (field settings) expected $"{flag} {text}"

/// Every text gives one error for flag and variable each, which names its origin, shows the text, and says what is
/// expected.
let private bad flag variable (expected: string) (texts: string list) =
    testCase $"{flag} and {variable} refuse what is not {expected}"
    <| fun () ->
        for text in texts do
            Expect.equal
                (bothErrors flag variable text)
                [
                    $"{flag}: \"{text}\" is not {expected}"
                    $"{variable}: \"{text}\" is not {expected}"
                ]
                $"{flag} {text}"

let private hostTests =
    let expected = "an absolute http or https URL such as http://dashboard-host:8000"

    let endpoint (settings: Settings) =
        (targetOf settings).Endpoint.AbsoluteUri

    testList
        "host"
        [
            good
                "--host"
                "AI_DASHBOARD_HOST"
                endpoint
                [
                    "http://h:8000", "http://h:8000/api/ingest/servers/gpu-box-01/metrics/"
                    "http://h:8000/", "http://h:8000/api/ingest/servers/gpu-box-01/metrics/"
                    "  http://h  ", "http://h/api/ingest/servers/gpu-box-01/metrics/"
                    "https://ops.example/monitoring", "https://ops.example/monitoring/api/ingest/servers/gpu-box-01/metrics/"
                    "https://ops.example/monitoring/", "https://ops.example/monitoring/api/ingest/servers/gpu-box-01/metrics/"
                    "https://ops.example/a/b//", "https://ops.example/a/b/api/ingest/servers/gpu-box-01/metrics/"
                    "HTTP://H:8000", "http://h:8000/api/ingest/servers/gpu-box-01/metrics/"
                    "http://[::1]:8000", "http://[::1]:8000/api/ingest/servers/gpu-box-01/metrics/"
                    "http://10.0.0.1:80", "http://10.0.0.1/api/ingest/servers/gpu-box-01/metrics/"
                ]
            bad
                "--host"
                "AI_DASHBOARD_HOST"
                expected
                [
                    "dashboard-host:8000"
                    "dashboard-host"
                    "h"
                    "ftp://h/"
                    "file:///etc"
                    "/etc"
                    "//h:8000"
                    "http://"
                    "http:/h"
                    "http://h:99999"
                    "http://a b"
                    "http//h"
                    "   "
                ]
            bad
                "--host"
                "AI_DASHBOARD_HOST"
                "a base URL: it must not have a query (?) or a fragment (#)"
                [ "http://h/?a=b"; "http://h?"; "http://h/#top"; "http://h#" ]
            testCase "user information is refused without being repeated"
            <| fun () ->
                for text in [ "http://me:pw@h:8000"; "https://me@h"; "http://:pw@h" ] do
                    let sentence = "the URL must not contain a user name or password; use --token"

                    Expect.equal
                        (bothErrors "--host" "AI_DASHBOARD_HOST" text)
                        [ $"--host: {sentence}"; $"AI_DASHBOARD_HOST: {sentence}" ]
                        text

                for text in [ "me:pw@h:8000"; "htp://me:pw@h"; "http://me:pw@h:99999" ] do
                    for message in bothErrors "--host" "AI_DASHBOARD_HOST" text do
                        Expect.isFalse (message.Contains "pw") message
        ]

let private slugTests =
    testList
        "server slug"
        [
            good
                "--server-slug"
                "AI_DASHBOARD_SERVER_SLUG"
                (fun settings -> (targetOf settings).Slug)
                [
                    "a", "a"
                    "GPU_box-01", "GPU_box-01"
                    String('x', 64), String('x', 64)
                    "-", "-"
                    " a ", "a"
                ]
            bad
                "--server-slug"
                "AI_DASHBOARD_SERVER_SLUG"
                "a server slug: 1 to 64 letters, digits, - or _"
                [ String('x', 65); "a b"; "a/b"; "a.b"; "gpü"; "a%20b"; "../x"; "   "; "١" ]
        ]

let private tokenTests =
    let refused = "the token contains white space, control or non-ASCII characters"

    testList
        "token"
        [
            good
                "--token"
                "AI_DASHBOARD_TOKEN"
                (fun settings -> tokenOf (targetOf settings))
                [
                    "s3cr3t", "s3cr3t"
                    "  s3cr3t\t", "s3cr3t"
                    "a=b==", "a=b=="
                    "-dash", "-dash"
                    "!\"#$%&'()*+,/:;<>?@[]^_`{|}~", "!\"#$%&'()*+,/:;<>?@[]^_`{|}~"
                ]
            testCase "inner white space and control characters are refused without printing the token"
            <| fun () ->
                for text in
                    [
                        "top secret"
                        "top\tsecret"
                        "top\u0001secret"
                        "top\u007fsecret"
                        "top\u00a0secret"
                        "tôpsecret"
                    ] do
                    Expect.equal
                        (bothErrors "--token" "AI_DASHBOARD_TOKEN" text)
                        [ $"--token: {refused}"; $"AI_DASHBOARD_TOKEN: {refused}" ]
                        "the sentence alone"

            testCase "white space is an empty token"
            <| fun () ->
                Expect.equal
                    (bothErrors "--token" "AI_DASHBOARD_TOKEN" "  ")
                    [ "--token: the token is empty"; "AI_DASHBOARD_TOKEN: the token is empty" ]
                    "both"

            testCase "a line end after the token is trimmed, one inside is refused, wherever it comes from"
            <| fun () ->
                for text in [ "s3cr3t\n"; "s3cr3t\r\n"; "\ns3cr3t"; "s3cr3t\n\n" ] do
                    for settings in both "--token" "AI_DASHBOARD_TOKEN" text do
                        Expect.equal (tokenOf (targetOf settings)) "s3cr3t" "trimmed"

                Expect.equal
                    (bothErrors "--token" "AI_DASHBOARD_TOKEN" "top\nsecret")
                    [ $"--token: {refused}"; $"AI_DASHBOARD_TOKEN: {refused}" ]
                    "inside"

            testCase "a token prints as stars"
            <| fun () ->
                let target = targetOf (settingsWith [])
                Expect.equal (string (Secret "s3cr3t")) "***" "string"
                Expect.equal $"""{Secret "s3cr3t"}""" "***" "interpolated"
                Expect.isFalse ((string target.Token).Contains "s3cr3t") "the origin"
                Expect.isFalse ((sprintf "%A" target).Contains "s3cr3t") "%A"
                Expect.isFalse ((string target).Contains "s3cr3t") "the record"
        ]

let private timeTests =
    let warnings (settings: Settings) = List.ofArray settings.Warnings

    testList
        "times"
        [
            good
                "--interval"
                "AI_DASHBOARD_INTERVAL"
                (fun settings -> settings.Interval, settings.Warnings.Length)
                [
                    "2", (seconds 2.0, 0)
                    "0.5", (seconds 0.5, 0)
                    "1.25", (seconds 1.25, 0)
                    " 3 ", (seconds 3.0, 0)
                    "1e1", (seconds 10.0, 0)
                    "86400", (seconds 86400.0, 0)
                    "0.49", (seconds 0.5, 1)
                    "0", (seconds 0.5, 1)
                    "-1", (seconds 0.5, 1)
                    "-1e300", (seconds 0.5, 1)
                ]
            bad
                "--interval"
                "AI_DASHBOARD_INTERVAL"
                "a number of seconds"
                [
                    "nan"
                    "NaN"
                    "inf"
                    "Infinity"
                    "-inf"
                    "-Infinity"
                    "∞"
                    "1e999"
                    "two"
                    "2s"
                    "1,5"
                    "0x2"
                    "1_000"
                    " "
                ]
            bad
                "--interval"
                "AI_DASHBOARD_INTERVAL"
                "an interval of at most 86400 seconds, which is one day"
                [ "86400.001"; "86401"; "1e300" ]
            testCase "an interval that is raised is warned about, naming where it came from"
            <| fun () ->
                Expect.equal
                    (warnings (settingsWith [ "--interval"; "0.1" ]))
                    [ "--interval: 0.1 s is raised to 0.5 s, the shortest interval" ]
                    "flag"

                Expect.equal
                    (warnings (settingsOf required [ "AI_DASHBOARD_INTERVAL", "-3" ]))
                    [ "AI_DASHBOARD_INTERVAL: -3 s is raised to 0.5 s, the shortest interval" ]
                    "variable"

            good
                "--cpu-sample-interval"
                "AI_DASHBOARD_CPU_SAMPLE_INTERVAL"
                (fun settings -> settings.CpuWindow, settings.Warnings.Length)
                [
                    "0.2", (seconds 0.2, 0)
                    "0", (TimeSpan.Zero, 0)
                    "-1", (TimeSpan.Zero, 1)
                    "1.9", (seconds 1.9, 0)
                    "2", (TimeSpan.Zero, 1)
                    "1e300", (TimeSpan.Zero, 1)
                ]
            bad "--cpu-sample-interval" "AI_DASHBOARD_CPU_SAMPLE_INTERVAL" "a number of seconds" [ "nan"; "inf"; "-Infinity"; "x"; "0,2" ]
            testCase "a CPU window below zero is warned about, naming where it came from"
            <| fun () ->
                let sentence = "-1 s is raised to 0 s; CPU usage is counted since the previous sample"
                Expect.equal (warnings (settingsWith [ "--cpu-sample-interval=-1" ])) [ $"--cpu-sample-interval: {sentence}" ] "flag"

                Expect.equal
                    (warnings (settingsOf required [ "AI_DASHBOARD_CPU_SAMPLE_INTERVAL", "-1" ]))
                    [ $"AI_DASHBOARD_CPU_SAMPLE_INTERVAL: {sentence}" ]
                    "variable"

            testCase "a CPU window as long as the interval is warned about, naming where it came from"
            <| fun () ->
                let sentence = "2 s is not shorter than the interval; CPU usage is counted since the previous sample"
                Expect.equal (warnings (settingsWith [ "--cpu-sample-interval=2" ])) [ $"--cpu-sample-interval: {sentence}" ] "flag"

                Expect.equal
                    (warnings (settingsOf required [ "AI_DASHBOARD_CPU_SAMPLE_INTERVAL", "2" ]))
                    [ $"AI_DASHBOARD_CPU_SAMPLE_INTERVAL: {sentence}" ]
                    "variable"

            testCase "the CPU window is compared with the interval after that was raised"
            <| fun () ->
                let settings = settingsWith [ "--interval=0.1"; "--cpu-sample-interval=0.4" ]
                Expect.equal (settings.Interval, settings.CpuWindow) (seconds 0.5, seconds 0.4) "0.4 is less than 0.5"
                Expect.equal settings.Warnings.Length 1 "the interval's alone"

            good
                "--timeout"
                "AI_DASHBOARD_TIMEOUT"
                (fun settings -> settings.Timeout)
                [
                    "5", seconds 5.0
                    "0.25", seconds 0.25
                    "600", seconds 600.0
                    "1e2", seconds 100.0
                ]
            bad "--timeout" "AI_DASHBOARD_TIMEOUT" "a number of seconds" [ "nan"; "inf"; "five"; "" + " " ]
            bad "--timeout" "AI_DASHBOARD_TIMEOUT" "a time-out above 0 and up to 600 seconds" [ "0"; "-1"; "600.1"; "1e300"; "-0" ]
        ]

let private switchTests =
    let switches =
        [
            "--once", "AI_DASHBOARD_ONCE", (fun (s: Settings) -> s.Once)
            "--quiet", "AI_DASHBOARD_QUIET", (fun s -> s.Quiet)
            "--insecure", "AI_DASHBOARD_INSECURE", (fun s -> s.Insecure)
            "--dry-run", "AI_DASHBOARD_DRY_RUN", (fun s -> s.DryRun)
        ]

    testList
        "switches"
        [
            for flag, variable, field in switches do
                testCase $"{flag} and {variable}"
                <| fun () ->
                    Expect.isFalse (field (settingsWith [])) "off by default"
                    Expect.isTrue (field (settingsWith [ flag ])) "the flag"

                    for text in [ "1"; "true"; "yes"; "on"; "TRUE"; "Yes"; " on " ] do
                        Expect.isTrue (field (settingsOf required [ variable, text ])) text

                    for text in [ "0"; "false"; "no"; "off"; "False"; "" ] do
                        Expect.isFalse (field (settingsOf required [ variable, text ])) text

                    for text in [ "2"; "maybe"; "y"; "enabled"; "-1"; "truely" ] do
                        Expect.equal
                            (errorsOf required [ variable, text ])
                            [
                                $"{variable}: \"{text}\" is not a switch: 1, true, yes, on or 0, false, no, off"
                            ]
                            text

                    Expect.isTrue (field (settingsOf (required @ [ flag ]) [ variable, "0" ])) "the flag beats the variable"
        ]

let private listTests =
    testList
        "lists"
        [
            good
                "--disks"
                "AI_DASHBOARD_DISKS"
                (fun settings -> List.ofArray settings.Disks, List.ofArray settings.DiskFilters)
                [
                    "nvme0n1,nvme1n1", ([ "nvme0n1"; "nvme1n1" ], [ "nvme0n1"; "nvme1n1" ])
                    "/dev/nvme0n1", ([ "nvme0n1" ], [ "/dev/nvme0n1" ])
                    " sda , ,sdb,", ([ "sda"; "sdb" ], [ "sda"; "sdb" ])
                    "sda,/dev/sda", ([ "sda" ], [ "sda"; "/dev/sda" ])
                    "cciss/c0d0", ([ "cciss/c0d0" ], [ "cciss/c0d0" ])
                ]
            good
                "--interfaces"
                "AI_DASHBOARD_INTERFACES"
                (fun settings -> List.ofArray settings.Interfaces)
                [
                    "eth0,ib0", [ "eth0"; "ib0" ]
                    " eth0 ,,", [ "eth0" ]
                    "eth0,eth0", [ "eth0" ]
                    "eth0:1", [ "eth0:1" ]
                ]
            bad "--disks" "AI_DASHBOARD_DISKS" "a comma-separated list of names" [ ","; " , "; ",,," ]
            bad "--interfaces" "AI_DASHBOARD_INTERFACES" "a comma-separated list of names" [ ","; " , " ]
        ]

let private labelTests =
    let labels (settings: Settings) =
        settings.Labels
        |> Array.map (fun struct (key, value) -> key, value)
        |> List.ofArray

    testList
        "labels"
        [
            testCase "the flag repeats, the variable is comma separated"
            <| fun () ->
                let expected = [ "rack", "r1"; "role", "trainer" ]
                Expect.equal (labels (settingsWith [ "--label"; "rack=r1"; "--label=role=trainer" ])) expected "flags"
                Expect.equal (labels (settingsOf required [ "AI_DASHBOARD_LABEL", "rack=r1, role=trainer," ])) expected "variable"

            testCase "both are joined, and the flag wins per key"
            <| fun () ->
                let settings =
                    settingsOf (required @ [ "--label"; "rack=r2"; "--label"; "x=1" ]) [ "AI_DASHBOARD_LABEL", "rack=r1,role=trainer" ]

                Expect.equal (List.sort (labels settings)) [ "rack", "r2"; "role", "trainer"; "x", "1" ] "joined"

            testCase "of a repeated key the last wins, and keys differ by case"
            <| fun () ->
                let settings = settingsWith [ "--label"; "a=1"; "--label"; "A=2"; "--label"; "a=3" ]
                Expect.equal (List.sort (labels settings)) [ "A", "2"; "a", "3" ] "each key once"

            testCase "values may be empty, and hold commas and equals signs from the flag"
            <| fun () ->
                let settings =
                    settingsWith
                        [
                            "--label"
                            "a="
                            "--label"
                            "b=x=y"
                            "--label"
                            "c=1,2"
                            "--label"
                            " d = e f "
                        ]

                Expect.equal (labels settings) [ "a", ""; "b", "x=y"; "c", "1,2"; "d", "e f" ] "as given"

            testCase "without an equals sign or with an empty key it is an error, each named"
            <| fun () ->
                let expected = "is not a label of the form key=value"

                Expect.equal
                    (errorsWith [ "--label"; "rack"; "--label"; "=r1"; "--label"; "ok=1"; "--label"; "  =x" ])
                    [
                        $"--label: \"rack\" {expected}"
                        $"--label: \"=r1\" {expected}"
                        $"--label: \"  =x\" {expected}"
                    ]
                    "flags"

                Expect.equal
                    (errorsOf required [ "AI_DASHBOARD_LABEL", "rack=r1,role" ])
                    [ $"AI_DASHBOARD_LABEL: \"role\" {expected}" ]
                    "variable"
        ]

let private levelTests =
    testList
        "log level"
        [
            good
                "--log-level"
                "AI_DASHBOARD_LOG_LEVEL"
                (fun settings -> settings.LogLevel)
                [
                    "DEBUG", LogLevel.Debug
                    "debug", LogLevel.Debug
                    "INFO", LogLevel.Info
                    "Warning", LogLevel.Warning
                    "ERROR", LogLevel.Error
                    " critical ", LogLevel.Critical
                ]
            bad
                "--log-level"
                "AI_DASHBOARD_LOG_LEVEL"
                "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
                [ "WARN"; "TRACE"; "0"; "INFO,DEBUG"; " " ]
            testCase "INFO by default, WARNING when quiet, and an explicit one wins over quiet"
            <| fun () ->
                let level words variables =
                    (settingsOf (required @ words) variables).LogLevel

                Expect.equal (level [] []) LogLevel.Info "default"
                Expect.equal (level [ "--quiet" ] []) LogLevel.Warning "quiet"
                Expect.equal (level [] [ "AI_DASHBOARD_QUIET", "1" ]) LogLevel.Warning "quiet by variable"
                Expect.equal (level [ "--quiet"; "--log-level=debug" ] []) LogLevel.Debug "flag over quiet"
                Expect.equal (level [ "--quiet" ] [ "AI_DASHBOARD_LOG_LEVEL", "INFO" ]) LogLevel.Info "variable over quiet"
                Expect.equal (level [ "--quiet" ] [ "AI_DASHBOARD_LOG_LEVEL", "" ]) LogLevel.Warning "an empty one is unset"
        ]

let private textTests =
    testList
        "names and directories"
        [
            good
                "--hostname"
                "AI_DASHBOARD_HOSTNAME"
                (fun settings -> settings.Hostname)
                [ "node-7", "node-7"; " node 7 ", "node 7"; "büro", "büro" ]
            testCase "a host name of blanks or with control characters is refused"
            <| fun () ->
                Expect.equal
                    (bothErrors "--hostname" "AI_DASHBOARD_HOSTNAME" "a\u0007b")
                    [
                        "--hostname: \"a\\x07b\" is not a name without control characters"
                        "AI_DASHBOARD_HOSTNAME: \"a\\x07b\" is not a name without control characters"
                    ]
                    "the character is escaped"

                Expect.equal (bothErrors "--hostname" "AI_DASHBOARD_HOSTNAME" " ").Length 2 "blank"

            for flag, variable, field, fallback in
                [
                    "--procfs", "AI_DASHBOARD_PROCFS", (fun (s: Settings) -> s.ProcFs), "/proc"
                    "--sysfs", "AI_DASHBOARD_SYSFS", (fun s -> s.SysFs), "/sys"
                    "--rootfs", "AI_DASHBOARD_ROOTFS", (fun s -> s.RootFs), "/"
                ] do
                good
                    flag
                    variable
                    field
                    [
                        "/host/x", "/host/x"
                        "/host/x/", "/host/x"
                        "/", "/"
                        "//", "/"
                        "relative", "relative"
                        "/a b", "/a b"
                    ]

                testCase $"{flag} is {fallback} by default"
                <| fun () -> Expect.equal (field (settingsWith [])) fallback "default"

            testCase "a value that is not shown in full ends in an ellipsis"
            <| fun () ->
                Expect.equal
                    (errorsWith [ "--interval"; String('9', 400) + "x" ])
                    [ "--interval: \"" + String('9', 80) + "…\" is not a number of seconds" ]
                    "80 characters"
        ]

let private fileTests =
    let pathOf (settings: Settings) =
        match (targetOf settings).Token with
        | TokenOrigin.File(path, origin) -> path, origin
        | other -> failtest $"expected a file, got {other}"

    let target = [ "--host=http://h"; "--server-slug=a" ]

    testList
        "files"
        [
            testCase "--token-file and AI_DASHBOARD_TOKEN_FILE"
            <| fun () ->
                for text, path in
                    [
                        "/run/token", "/run/token"
                        " /a b ", "/a b"
                        "token", "token"
                        "/dev/fd/3", "/dev/fd/3"
                    ] do
                    Expect.equal (pathOf (settingsOf (target @ [ "--token-file"; text ]) [])) (path, "--token-file") text

                    Expect.equal
                        (pathOf (settingsOf target [ "AI_DASHBOARD_TOKEN_FILE", text ]))
                        (path, "AI_DASHBOARD_TOKEN_FILE")
                        $"{text}, by variable"

                for text in [ "/"; "  " ] do
                    Expect.equal
                        (errorsOf (target @ [ "--token-file"; text ]) [])
                        [ $"--token-file: \"{text}\" is not a file" ]
                        $"\"{text}\""

                    Expect.equal
                        (errorsOf target [ "AI_DASHBOARD_TOKEN_FILE", text ])
                        [ $"AI_DASHBOARD_TOKEN_FILE: \"{text}\" is not a file" ]
                        $"\"{text}\", by variable"

            testCase "of the ways to give a token the first counts: flags, then variables, then systemd's credential"
            <| fun () ->
                let origin words variables =
                    match (targetOf (settingsOf (target @ words) variables)).Token with
                    | TokenOrigin.Given(_, origin) -> origin
                    | TokenOrigin.File(_, origin) -> origin
                    | TokenOrigin.Credential path -> path

                let flag = [ "--token=t" ]
                let fileFlag = [ "--token-file=/f" ]
                let variable = [ "AI_DASHBOARD_TOKEN", "t" ]
                let fileVariable = [ "AI_DASHBOARD_TOKEN_FILE", "/f" ]
                let credential = [ "CREDENTIALS_DIRECTORY", "/run/credentials/x/" ]

                for words, variables, expected in
                    [
                        flag @ fileFlag, variable @ fileVariable @ credential, "--token"
                        fileFlag @ flag, [], "--token"
                        fileFlag, variable @ fileVariable @ credential, "--token-file"
                        [], fileVariable @ variable @ credential, "AI_DASHBOARD_TOKEN"
                        [], fileVariable @ credential, "AI_DASHBOARD_TOKEN_FILE"
                        [], credential, "/run/credentials/x/ingest-token"
                        [], credential @ [ "AI_DASHBOARD_TOKEN", ""; "AI_DASHBOARD_TOKEN_FILE", "" ], "/run/credentials/x/ingest-token"
                    ] do
                    Expect.equal (origin words variables) expected $"%A{words} %A{variables}"

            for flag, variable, field in
                [
                    "--ca-file", "AI_DASHBOARD_CA_FILE", (fun (s: Settings) -> s.CaFile)
                    "--client-cert", "AI_DASHBOARD_CLIENT_CERT", (fun s -> s.ClientCertificate)
                ] do
                good flag variable field [ "/etc/x.pem", "/etc/x.pem"; " a b.pem ", "a b.pem"; "x", "x" ]
                bad flag variable "a file" [ "/"; "  " ]

            testCase "--client-key goes with a certificate"
            <| fun () ->
                let key words variables =
                    (settingsOf (required @ words) variables).ClientKey

                Expect.equal (key [ "--client-cert=/c"; "--client-key= /k " ] []) "/k" "flags"
                Expect.equal (key [] [ "AI_DASHBOARD_CLIENT_CERT", "/c"; "AI_DASHBOARD_CLIENT_KEY", "/k" ]) "/k" "variables"
                Expect.equal (key [ "--client-cert=/c" ] []) "" "in the same file"
                let sentence = "a private key needs a certificate; set --client-cert too"
                Expect.equal (errorsWith [ "--client-key=/k" ]) [ $"--client-key: {sentence}" ] "flag"

                Expect.equal (errorsOf required [ "AI_DASHBOARD_CLIENT_KEY", "/k" ]) [ $"AI_DASHBOARD_CLIENT_KEY: {sentence}" ] "variable"

                Expect.equal (errorsWith [ "--client-cert=/c"; "--client-key=/" ]) [ "--client-key: \"/\" is not a file" ] "a directory"
        ]

let private gpuTests =
    testList
        "GPUs"
        [
            good
                "--gpu-source"
                "AI_DASHBOARD_GPU_SOURCE"
                (fun settings -> settings.GpuReader)
                [
                    "auto", GpuReader.Auto
                    "nvml", GpuReader.Nvml
                    "nvidia-smi", GpuReader.NvidiaSmi
                    "none", GpuReader.None
                    " NVML ", GpuReader.Nvml
                ]
            testCase "a scheduler's job directory goes with metrics, and without any it is warned of"
            <| fun () ->
                let settings = settingsOf [ "--listen=127.0.0.1:9835"; "--gpu-job-directory"; "/run/jobs/" ] []
                Expect.equal settings.GpuJobDirectory "/run/jobs" "directory"
                Expect.equal settings.Warnings [||] "served"

                let settings =
                    settingsOf [ "--remote-write=http://h/w" ] [ "AI_DASHBOARD_GPU_JOB_DIRECTORY", "/run/jobs" ]

                Expect.equal (settings.GpuJobDirectory, settings.Warnings) ("/run/jobs", [||]) "pushed"
                let settings = settingsWith [ "--gpu-job-directory=/run/jobs" ]

                Expect.equal
                    settings.Warnings
                    [|
                        "--gpu-job-directory: only metrics show the scheduler's jobs, and there are no metrics without --listen or --remote-write"
                    |]
                    "neither"

                Expect.equal (settingsWith []).GpuJobDirectory "" "default"

            testCase "collectors are switched on and off by their names"
            <| fun () ->
                let chosen (text: string) =
                    (settingsOf [ "--listen=127.0.0.1:9835"; "--collectors=" + text ] []).Collectors.Value

                Expect.equal (settingsWith []).Collectors ValueNone "as they are"
                let defaults = Collectors.defaults
                Expect.contains defaults "netstat" "on"
                Expect.isFalse (Array.contains "processes" defaults) "off"
                Expect.equal (chosen "-netstat, -arp") (defaults |> Array.except [ "netstat"; "arp" ]) "fewer"
                Expect.equal (Set.ofArray (chosen "processes")) (Set.ofArray (Array.append defaults [| "processes" |])) "more"

                Expect.equal
                    (settingsWith [ "--collectors=processes"; "--textfile-directory=/var/lib/metrics/" ]).Warnings
                    [|
                        "--collectors: not used, because there are no metrics without --listen or --remote-write"
                        "--textfile-directory: not used, because there are no metrics without --listen or --remote-write"
                    |]
                    "without metrics"

                let settings =
                    settingsOf [ "--listen=127.0.0.1:9835" ] [ "AI_DASHBOARD_TEXTFILE_DIRECTORY", "/var/lib/metrics/" ]

                Expect.equal (settings.TextfileDirectory, settings.Warnings) ("/var/lib/metrics", [||]) "directory"

            bad
                "--collectors"
                "AI_DASHBOARD_COLLECTORS"
                ("one of netstat, sockstat, softnet, arp, udp_queues, conntrack, netclass, bonding, infiniband, vmstat, filefd, entropy, schedstat, "
                 + "cpufreq, edac, mdadm, nfs, mountstats, lustre, hwmon, timex, process, processes, textfile, or one with a minus sign before it")
                [ "nonsense"; "-nonsense" ]
            bad "--gpu-source" "AI_DASHBOARD_GPU_SOURCE" "one of nvml, nvidia-smi, none, auto" [ "nvidia"; "smi"; "auto,nvml" ]
            good
                "--nvml-library"
                "AI_DASHBOARD_NVML_LIBRARY"
                (fun settings -> settings.NvmlLibrary)
                [
                    "/usr/lib/wsl/lib/libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"
                    " x.so ", "x.so"
                ]
            bad "--nvml-library" "AI_DASHBOARD_NVML_LIBRARY" "a file" [ "/"; "  " ]

            testCase "the library is found by the linker and asked first, unless the user says otherwise"
            <| fun () ->
                let settings = settingsOf required []
                Expect.equal (settings.GpuReader, settings.NvmlLibrary) (GpuReader.Auto, "") "defaults"

            testCase "a library goes with a reader that uses it"
            <| fun () ->
                for reader in [ "nvml"; "auto" ] do
                    let settings = settingsOf (required @ [ $"--gpu-source={reader}"; "--nvml-library=/x.so" ]) []
                    Expect.equal settings.NvmlLibrary "/x.so" reader

                for reader in [ "nvidia-smi"; "none" ] do
                    Expect.equal
                        (errorsWith [ $"--gpu-source={reader}"; "--nvml-library=/x.so" ])
                        [
                            $"--nvml-library: \"/x.so\" is not used with --gpu-source {reader}; leave one of the two out"
                        ]
                        "flags"

                Expect.equal
                    (errorsOf required [ "AI_DASHBOARD_GPU_SOURCE", "none"; "AI_DASHBOARD_NVML_LIBRARY", "/x.so" ])
                    [
                        "AI_DASHBOARD_NVML_LIBRARY: \"/x.so\" is not used with AI_DASHBOARD_GPU_SOURCE none; leave one of the two out"
                    ]
                    "variables"
        ]

let private spoolTests =
    testList
        "spool"
        [
            good
                "--spool"
                "AI_DASHBOARD_SPOOL"
                (fun settings -> settings.Spool)
                [
                    "/var/spool/x", "/var/spool/x"
                    "/var/spool/x/", "/var/spool/x"
                    "here", "here"
                ]

            testCase "systemd's state directory is the default, the first if there are several"
            <| fun () ->
                let spool words variables =
                    (settingsOf (required @ words) variables).Spool

                Expect.equal (spool [] []) "" "none"
                Expect.equal (spool [] [ "STATE_DIRECTORY", "/var/lib/a" ]) "/var/lib/a" "one"
                Expect.equal (spool [] [ "STATE_DIRECTORY", "/var/lib/a:/var/lib/b" ]) "/var/lib/a" "two"
                Expect.equal (spool [] [ "STATE_DIRECTORY", "" ]) "" "empty"
                Expect.equal (spool [ "--spool=/s" ] [ "STATE_DIRECTORY", "/var/lib/a" ]) "/s" "the flag wins"
                Expect.equal (spool [] [ "AI_DASHBOARD_SPOOL", "/s"; "STATE_DIRECTORY", "/var/lib/a" ]) "/s" "the variable wins"

            good
                "--spool-max-mb"
                "AI_DASHBOARD_SPOOL_MAX_MB"
                (fun settings -> uint64 settings.SpoolLimit)
                [
                    "1", 1048576UL
                    "256", 268435456UL
                    " 64 ", 67108864UL
                    "1048576", 1099511627776UL
                ]
            bad
                "--spool-max-mb"
                "AI_DASHBOARD_SPOOL_MAX_MB"
                "a whole number of megabytes, 1 to 1048576"
                [
                    "0"
                    "-1"
                    "+5"
                    "1.5"
                    "1e3"
                    "64MB"
                    "1048577"
                    "99999999999999999999"
                    "x"
                    " "
                ]
            testCase "256 MiB by default"
            <| fun () -> Expect.equal (uint64 (settingsWith []).SpoolLimit) 268435456UL "default"
        ]

let private diagnosisTests =
    testList
        "diagnosis"
        [
            testCase "--doctor needs nobody named, and keeps what is missing for its own table"
            <| fun () ->
                let missing words variables =
                    List.ofArray (settingsOf words variables).Missing

                let all =
                    [
                        "Missing --host (or AI_DASHBOARD_HOST)"
                        "Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)"
                        "Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"
                    ]

                Expect.equal (missing [ "--doctor" ] []) all "everything"
                Expect.equal (missing [] [ "AI_DASHBOARD_DOCTOR", "yes" ]) all "by variable"
                Expect.equal (missing [ "--doctor"; "--host=http://h" ] []) all.Tail "the base URL is there"
                Expect.equal (missing (required @ [ "--doctor" ]) []) [] "nothing"
                Expect.equal (missing [ "--doctor"; "--dry-run" ] []) [] "a dry run needs nobody"
                let settings = settingsOf [ "--doctor"; "--host=http://h/x/" ] []
                Expect.equal (settings.Doctor, settings.Target) (true, ValueNone) "without a target"
                Expect.equal (settings.BaseUrl |> ValueOption.map _.AbsoluteUri) (ValueSome "http://h/x/") "what can be checked"

            testCase "--doctor still refuses what is wrong"
            <| fun () ->
                Expect.equal
                    (errorsOf [ "--doctor"; "--server-slug=a b"; "--interval=x" ] [])
                    [
                        "--server-slug: \"a b\" is not a server slug: 1 to 64 letters, digits, - or _"
                        "--interval: \"x\" is not a number of seconds"
                    ]
                    "both"

            testCase "--json goes with --doctor"
            <| fun () ->
                let settings = settingsWith [ "--doctor"; "--json" ]
                Expect.equal (settings.Doctor, settings.Json) (true, true) "both"
                Expect.isTrue (settingsOf required [ "AI_DASHBOARD_DOCTOR", "1"; "AI_DASHBOARD_JSON", "on" ]).Json "variables"
                Expect.isFalse (settingsOf required [ "AI_DASHBOARD_JSON", "0" ]).Json "switched off it is no matter"
                let sentence = "only --doctor and --why print a report as JSON"
                Expect.equal (errorsWith [ "--json" ]) [ $"--json: {sentence}" ] "flag"
                Expect.equal (errorsOf required [ "AI_DASHBOARD_JSON", "1" ]) [ $"AI_DASHBOARD_JSON: {sentence}" ] "variable"

            testCase "--job goes with --why and --listen, and with no --seconds"
            <| fun () ->
                let listen = "--listen=127.0.0.1:9835"
                Expect.equal (settingsOf [ "--why"; "--job=4711"; listen ] []).WhyJob "4711" "asked"

                Expect.equal
                    (settingsOf [ "--why"; "--job=4711" ] [ "AI_DASHBOARD_LISTEN", "127.0.0.1:9835" ]).WhyJob
                    "4711"
                    "by the variable"

                Expect.equal (settingsWith [ "--why" ]).WhyJob "" "not asked"

                Expect.equal
                    (errorsWith [ "--job=4711"; listen ])
                    [ "--job: only --why asks about a job; add --why, or leave it out" ]
                    "without --why"

                Expect.equal
                    (errorsOf [ "--why"; "--job=4711"; "--seconds=30"; listen ] [])
                    [
                        "--seconds: --why --job asks about what was, and watches nothing; leave one of them out"
                    ]
                    "with --seconds"

                Expect.equal
                    (errorsOf [ "--why"; "--job=4711" ] [])
                    [ "--job: this asks a running agent: give the address of its --listen as well" ]
                    "without --listen"

                Expect.equal
                    (errorsOf [ "--why"; "--job=../x"; listen ] [])
                    [
                        "--job: \"../x\" is not the id of a job: letters, digits, and . _ + -, at most 64"
                    ]
                    "no id"

            testCase "--health needs no webapp, but the address of the agent that runs, and goes with nothing that is a run of its own"
            <| fun () ->
                let listen = "--listen=127.0.0.1:9835"
                Expect.isTrue (settingsOf [ "--health"; listen ] []).Health "asked"
                Expect.isTrue (settingsOf [ "--health" ] [ "AI_DASHBOARD_LISTEN", "127.0.0.1:9835" ]).Health "by the variable"
                Expect.isFalse (settingsWith []).Health "not asked"

                Expect.equal
                    (errorsOf [ "--health" ] [])
                    [
                        "--health: this asks a running agent: give the address of its --listen as well"
                    ]
                    "without --listen"

                for flag in [ "--doctor"; "--why" ] do
                    Expect.equal
                        (errorsOf [ "--health"; flag; listen ] [])
                        [
                            "--health: this only asks a running agent; leave --once, --dry-run, --doctor and --why out"
                        ]
                        flag

            testCase "--once goes with no diagnosis"
            <| fun () ->
                let sentence = "--doctor and --why send no samples; leave one of them out"

                for flag in [ "--doctor"; "--why" ] do
                    Expect.equal (errorsWith [ "--once"; flag ]) [ $"--once: {sentence}" ] flag
                    Expect.equal (errorsOf (flag :: required) [ "AI_DASHBOARD_ONCE", "1" ]) [ $"AI_DASHBOARD_ONCE: {sentence}" ] flag
                    Expect.isFalse (settingsWith [ "--once=no"; flag ]).Once "switched off it is no matter"

            testCase "a token's file that is not read is warned about, one that is read is not"
            <| fun () ->
                let target = [ "--host=http://h"; "--server-slug=a" ]
                let file = "--token-file=/t"

                for words, variables, expected in
                    [
                        [ "--token=b"; file ], [], [ "--token-file: not read, because --token gives the token" ]
                        [],
                        [ "AI_DASHBOARD_TOKEN", "b"; "AI_DASHBOARD_TOKEN_FILE", "/t" ],
                        [
                            "AI_DASHBOARD_TOKEN_FILE: not read, because AI_DASHBOARD_TOKEN gives the token"
                        ]
                        [ file ], [ "AI_DASHBOARD_TOKEN", "b" ], []
                        [ "--token=b" ], [ "AI_DASHBOARD_TOKEN_FILE", "/t" ], []
                        [ file ], [], []
                    ] do
                    Expect.equal (List.ofArray (settingsOf (target @ words) variables).Warnings) expected $"%A{words} %A{variables}"

            testCase "switches of the diagnosis are switches like the others"
            <| fun () ->
                for variable in [ "AI_DASHBOARD_DOCTOR"; "AI_DASHBOARD_JSON" ] do
                    Expect.contains
                        (errorsOf required [ variable, "maybe" ])
                        $"{variable}: \"maybe\" is not a switch: 1, true, yes, on or 0, false, no, off"
                        variable
        ]

let private joint =
    testList
        "together"
        [
            testCase "the defaults"
            <| fun () ->
                let settings = settingsWith []
                let target = targetOf settings
                Expect.equal (target.Host, target.Slug, tokenOf target) ("http://h:8000", "gpu-box-01", "s3cr3t") "target"
                Expect.equal settings.Hostname "" "the machine's name"
                Expect.equal settings.Interval (seconds 2.0) "interval"
                Expect.equal settings.CpuWindow (seconds 0.2) "CPU window"
                Expect.equal settings.Timeout (seconds 5.0) "time-out"
                Expect.equal (settings.Disks, settings.DiskFilters, settings.Interfaces) ([||], [||], [||]) "auto"
                Expect.equal settings.Labels [||] "labels"
                Expect.equal settings.Warnings [||] "warnings"

            testCase "missing values read literally, in one report"
            <| fun () ->
                Expect.equal
                    (errorsOf [] [])
                    [
                        "Missing --host (or AI_DASHBOARD_HOST)"
                        "Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)"
                        "Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"
                    ]
                    "nothing given"

                Expect.equal
                    (errorsOf [ "--host=http://h" ] [ "AI_DASHBOARD_TOKEN", "t"; "AI_DASHBOARD_SERVER_SLUG", "" ])
                    [ "Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)" ]
                    "an empty variable is unset"

            testCase "all errors come together, of flags and of variables, each once"
            <| fun () ->
                let errors =
                    errorsOf
                        [
                            "--host=h:1"
                            "--interval"
                            "nan"
                            "--label=x"
                            "--log-level=loud"
                            "--disks=,"
                            "--token=a b"
                        ]
                        [
                            "AI_DASHBOARD_TIMEOUT", "0"
                            "AI_DASHBOARD_CPU_SAMPLE_INTERVAL", "much"
                            "AI_DASHBOARD_ONCE", "perhaps"
                            "AI_DASHBOARD_QUIET", "2"
                            "AI_DASHBOARD_INSECURE", "2"
                            "AI_DASHBOARD_DRY_RUN", "2"
                            "AI_DASHBOARD_HOSTNAME", "\u0001"
                            "AI_DASHBOARD_INTERFACES", ","
                            "AI_DASHBOARD_LABEL", "y"
                        ]

                let origins = errors |> List.map (fun message -> message.Split(':')[0]) |> List.sort

                Expect.equal
                    origins
                    [
                        "--disks"
                        "--host"
                        "--interval"
                        "--label"
                        "--log-level"
                        "--token"
                        "AI_DASHBOARD_CPU_SAMPLE_INTERVAL"
                        "AI_DASHBOARD_DRY_RUN"
                        "AI_DASHBOARD_HOSTNAME"
                        "AI_DASHBOARD_INSECURE"
                        "AI_DASHBOARD_INTERFACES"
                        "AI_DASHBOARD_LABEL"
                        "AI_DASHBOARD_ONCE"
                        "AI_DASHBOARD_QUIET"
                        "AI_DASHBOARD_TIMEOUT"
                    ]
                    "the slug's absence is not told: whether it is a dry run is not known"

            testCase "a dry run needs nobody named, and still refuses what is wrong"
            <| fun () ->
                Expect.equal (settingsOf [ "--dry-run" ] []).Target ValueNone "no target"
                Expect.equal (settingsOf [] [ "AI_DASHBOARD_DRY_RUN", "yes" ]).Target ValueNone "by variable"
                Expect.equal (targetOf (settingsWith [ "--dry-run" ])).Slug "gpu-box-01" "one that is given is kept"

                Expect.equal
                    (errorsOf [ "--dry-run"; "--server-slug=a b" ] [])
                    [
                        "--server-slug: \"a b\" is not a server slug: 1 to 64 letters, digits, - or _"
                    ]
                    "a wrong one is told"

                Expect.equal (errorsOf [] [ "AI_DASHBOARD_DRY_RUN", "0" ]).Length 3 "switched off"

            testCase "a flag beats its variable, and a variable the default"
            <| fun () ->
                let settings =
                    settingsOf
                        (required @ [ "--interval=3" ])
                        [
                            "AI_DASHBOARD_HOST", "http://other"
                            "AI_DASHBOARD_INTERVAL", "4"
                            "AI_DASHBOARD_TIMEOUT", "6"
                            "AI_DASHBOARD_DISKS", ""
                        ]

                Expect.equal (targetOf settings).Host "http://h:8000" "flag"
                Expect.equal settings.Interval (seconds 3.0) "flag"
                Expect.equal settings.Timeout (seconds 6.0) "variable"
                Expect.equal settings.Disks [||] "an empty variable is unset"

            testCase "a bad variable that a flag overrides does no harm"
            <| fun () ->
                let settings = settingsOf (required @ [ "--interval=3" ]) [ "AI_DASHBOARD_INTERVAL", "x" ]
                Expect.equal settings.Interval (seconds 3.0) "the flag"

            testCase "the variable of a flag"
            <| fun () ->
                Expect.equal (Flag.variable "--cpu-sample-interval") "AI_DASHBOARD_CPU_SAMPLE_INTERVAL" "dashes"
                Expect.equal (Flag.variable "--host") "AI_DASHBOARD_HOST" "plain"
        ]

let private listenTests =
    testList
        "metrics"
        [
            good
                "--listen"
                "AI_DASHBOARD_LISTEN"
                (fun settings -> string settings.Listen.Value)
                [
                    "127.0.0.1:9835", "127.0.0.1:9835"
                    " 127.1.2.3:1 ", "127.1.2.3:1"
                    "127.0.0.1:0", "127.0.0.1:0"
                    "[::1]:65535", "[::1]:65535"
                    "[::ffff:127.0.0.1]:9835", "127.0.0.1:9835"
                ]

            bad
                "--listen"
                "AI_DASHBOARD_LISTEN"
                "an IP address and a port such as 127.0.0.1:9835 or [::1]:9835; names are not looked up"
                [
                    "localhost:9835"
                    "127.0.0.1"
                    ":9835"
                    "9835"
                    "1:9835"
                    "127.1:9835"
                    "::1:9835"
                    "[127.0.0.1]:9835"
                    "127.0.0.1:65536"
                    "127.0.0.1:-1"
                    "127.0.0.1: 80"
                    "http://127.0.0.1:9835"
                    "[::1]"
                    "x"
                ]

            bad
                "--listen"
                "AI_DASHBOARD_LISTEN"
                "an address with the name or number of one of this machine's interfaces after the %, as in [fe80::1%eth0]:9835"
                [ "[fe80::1%nowhere]:9835"; "[fe80::1%]:9835" ]

            testCase "an address within one link names the interface"
            <| fun () ->
                let settings = settingsOf [ "--listen"; "[fe80::1%lo]:9835"; "--listen-token-file"; "/t" ] []
                Expect.equal settings.Listen.Value.Address.ScopeId 1L "the loopback is the first on every Linux"

            testCase "beyond this machine a token is needed"
            <| fun () ->
                for address in [ "0.0.0.0:9835"; "[::]:9835"; "192.0.2.1:9835" ] do
                    Expect.equal
                        (errorsOf [ "--listen"; address ] [])
                        [
                            $"--listen: \"{address}\" is not a loopback address, so others can read the metrics there; set --listen-token-file too"
                        ]
                        address

                let settings = settingsOf [ "--listen=0.0.0.0:9835" ] [ "AI_DASHBOARD_LISTEN_TOKEN_FILE", "/run/t" ]

                Expect.equal settings.ListenToken (ValueSome(TokenOrigin.File("/run/t", "AI_DASHBOARD_LISTEN_TOKEN_FILE"))) "token"

            testCase "with it a webapp is optional, and half of one is still a mistake"
            <| fun () ->
                let settings = settingsOf [ "--listen=127.0.0.1:9835" ] []
                Expect.equal settings.Target ValueNone "no target"
                Expect.equal settings.Missing [||] "nothing is missing"

                Expect.equal
                    (errorsOf [ "--listen=127.0.0.1:9835"; "--host=http://h" ] [])
                    [
                        "Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)"
                        "Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"
                    ]
                    "half"

                // The unit always hands over a credential, be it blank.
                Expect.equal
                    (settingsOf [ "--listen=127.0.0.1:9835" ] [ "CREDENTIALS_DIRECTORY", "/run/credentials" ]).Target
                    ValueNone
                    "a credential"

            testCase "what makes no sense together"
            <| fun () ->
                Expect.equal
                    (errorsWith [ "--listen-token-file=/t" ])
                    [ "--listen-token-file: nothing is served without --listen" ]
                    "token alone"

                for flag in [ "--once"; "--dry-run" ] do
                    Expect.equal
                        (errorsWith [ "--listen=127.0.0.1:9835"; flag ])
                        [ "--listen: --once and --dry-run serve no metrics; leave one of them out" ]
                        flag
        ]

let private remoteWriteTests =
    let url (settings: Settings) =
        settings.RemoteWrite.Value.Endpoint.AbsoluteUri

    let headers text =
        match HeaderFile.read "file" text with
        | Ok found -> Ok [ for struct (name, value) in found -> name, value.Reveal() ]
        | Error error -> Error error.Message

    let wrong (message: string) =
        [ $"--remote-write: {message}"; $"AI_DASHBOARD_REMOTE_WRITE: {message}" ]

    testList
        "--remote-write"
        [
            good
                "--remote-write"
                "AI_DASHBOARD_REMOTE_WRITE"
                url
                [
                    "http://prometheus:9090/api/v1/write", "http://prometheus:9090/api/v1/write"
                    " https://mimir.example/api/v1/push ", "https://mimir.example/api/v1/push"
                    "http://v:8480/insert/0/prometheus/?extra_label=a=b", "http://v:8480/insert/0/prometheus/?extra_label=a=b"
                ]

            bad
                "--remote-write"
                "AI_DASHBOARD_REMOTE_WRITE"
                "an absolute http or https URL such as http://prometheus:9090/api/v1/write"
                [
                    "prometheus"
                    "prometheus:9090"
                    "/api/v1/write"
                    "ftp://p/api/v1/write"
                    "http://"
                    "x"
                ]

            bad
                "--remote-write"
                "AI_DASHBOARD_REMOTE_WRITE"
                "the whole URL: the path is missing, such as /api/v1/write (Prometheus, VictoriaMetrics), /api/v1/push (Mimir, Cortex) or /api/v1/receive (Thanos)"
                [ "http://prometheus:9090"; "http://prometheus:9090/" ]

            bad "--remote-write" "AI_DASHBOARD_REMOTE_WRITE" "a URL without a fragment (#)" [ "http://p/api/v1/write#x" ]

            testCase "what may be a secret in a URL is not repeated"
            <| fun () ->
                for text, message in
                    [
                        "http://user:pass@p/w", "the URL must not contain a user name or password; use --remote-write-header-file"
                        "p/w?token=abc", "that is not an absolute http or https URL such as http://prometheus:9090/api/v1/write"
                        "user:pass@p/w", "that is not an absolute http or https URL such as http://prometheus:9090/api/v1/write"
                    ] do
                    Expect.equal (bothErrors "--remote-write" "AI_DASHBOARD_REMOTE_WRITE" text) (wrong message) text

                Expect.equal
                    (settingsWith [ "--remote-write=http://p/w?token=abc" ]).RemoteWrite.Value.Shown
                    "http://p/w"
                    "nor where it is shown"

            testCase "with it a webapp is optional, and half of one is still a mistake"
            <| fun () ->
                let settings = settingsOf [ "--remote-write=http://p/w" ] []
                Expect.equal (settings.Target, settings.Missing) (ValueNone, [||]) "no target, and nothing is missing"

                Expect.equal
                    (errorsOf [ "--remote-write=http://p/w"; "--host=http://h" ] [])
                    [
                        "Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)"
                        "Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"
                    ]
                    "half"

            testCase "what makes no sense together"
            <| fun () ->
                Expect.equal
                    (errorsWith [ "--remote-write-header-file=/h" ])
                    [
                        "--remote-write-header-file: the headers have no receiver without --remote-write"
                    ]
                    "headers alone"

                for flag in [ "--once"; "--dry-run" ] do
                    Expect.equal
                        (errorsWith [ "--remote-write=http://p/w"; flag ])
                        [
                            "--remote-write: --once and --dry-run only concern the webapp; leave one of them out"
                        ]
                        flag

            testCase "a file of headers"
            <| fun () ->
                let target =
                    (settingsWith [ "--remote-write=http://p/w"; "--remote-write-header-file=/h" ]).RemoteWrite.Value

                Expect.equal (target.HeaderFile, target.HeaderOrigin) ("/h", "--remote-write-header-file") "where it is"

                Expect.equal
                    (headers "# tenants\r\nX-Scope-OrgID: team-a\r\n\n  Authorization:Bearer a:b \n")
                    (Ok [ "X-Scope-OrgID", "team-a"; "Authorization", "Bearer a:b" ])
                    "names and values"

                for text, message in
                    [
                        "", "file: there is no header in the file"
                        "# nothing", "file: there is no header in the file"
                        "A: b\ns3cr3t", "file: line 2 is not a header of the form Name: value"
                        ": s3cr3t", "file: line 1 is not a header of the form Name: value"
                        "A b: s3cr3t", "file: line 1 is not a header of the form Name: value"
                        "A:", "file: line 1 has no value for A"
                        "A: s3cr3té", "file: line 1 has a value with control or non-ASCII characters for A"
                        "A: s3\tcr3t", "file: line 1 has a value with control or non-ASCII characters for A"
                        "content-type: text/plain", "file: line 1 sets content-type, which the agent sets itself; remove it"
                        "X-Prometheus-Remote-Write-Version: 2.0.0",
                        "file: line 1 sets X-Prometheus-Remote-Write-Version, which the agent sets itself; remove it"
                        "A: x\na: s3cr3t", "file: the header A is given twice"
                    ] do
                    Expect.equal (headers text) (Error message) text
        ]

let private otlpTests =
    let url (settings: Settings) =
        settings.Otlp.Value.Endpoint.AbsoluteUri

    testList
        "--otlp"
        [
            good
                "--otlp"
                "AI_DASHBOARD_OTLP"
                url
                [
                    // /v1/metrics where there is no path.
                    "http://collector:4318", "http://collector:4318/v1/metrics"
                    " https://collector.example/ ", "https://collector.example/v1/metrics"
                    "http://collector:4318?tenant=a", "http://collector:4318/v1/metrics?tenant=a"
                    "http://p:9090/api/v1/otlp/v1/metrics", "http://p:9090/api/v1/otlp/v1/metrics"
                    "http://c/v1/metrics/", "http://c/v1/metrics/"
                ]

            bad
                "--otlp"
                "AI_DASHBOARD_OTLP"
                "an absolute http or https URL such as http://collector:4318"
                [ "collector"; "collector:4318"; "grpc://c:4317"; "http://"; "x" ]

            bad "--otlp" "AI_DASHBOARD_OTLP" "a URL without a fragment (#)" [ "http://c/#x"; "http://c#x" ]

            testCase "what may be a secret in a URL is not repeated"
            <| fun () ->
                for text, message in
                    [
                        "http://user:pass@c", "the URL must not contain a user name or password; use --otlp-header-file"
                        "c?token=abc", "that is not an absolute http or https URL such as http://collector:4318"
                    ] do
                    Expect.equal
                        (bothErrors "--otlp" "AI_DASHBOARD_OTLP" text)
                        [ $"--otlp: {message}"; $"AI_DASHBOARD_OTLP: {message}" ]
                        text

                Expect.equal (settingsWith [ "--otlp=http://c?token=abc" ]).Otlp.Value.Shown "http://c/v1/metrics" "nor where it is shown"

            testCase "the zone of a link-local address is kept where the path is added"
            <| fun () ->
                let endpoint = (settingsWith [ "--otlp=http://[fe80::1%25eth0]:4318" ]).Otlp.Value.Endpoint
                Expect.equal (endpoint.DnsSafeHost, endpoint.AbsolutePath) ("fe80::1%eth0", "/v1/metrics") "where it is"

            testCase "with it a webapp is optional"
            <| fun () ->
                let settings = settingsOf [ "--otlp=http://c" ] []
                Expect.equal (settings.Target, settings.Missing) (ValueNone, [||]) "no target, and nothing is missing"

            testCase "what makes no sense together"
            <| fun () ->
                Expect.equal
                    (errorsWith [ "--otlp-header-file=/h" ])
                    [ "--otlp-header-file: the headers have no receiver without --otlp" ]
                    "headers alone"

                for flag in [ "--once"; "--dry-run" ] do
                    Expect.equal
                        (errorsWith [ "--otlp=http://c"; flag ])
                        [
                            "--otlp: --once and --dry-run only concern the webapp; leave one of them out"
                        ]
                        flag

            testCase "a file of headers, of its own"
            <| fun () ->
                let settings = settingsWith [ "--otlp=http://c"; "--otlp-header-file=/h"; "--remote-write=http://p/w" ]

                Expect.equal (settings.Otlp.Value.HeaderFile, settings.Otlp.Value.HeaderOrigin) ("/h", "--otlp-header-file") "of OTLP"
                Expect.equal settings.RemoteWrite.Value.HeaderFile "" "and not of remote-write"
        ]

[<Tests>]
let tests =
    testList
        "Settings"
        [
            hostTests
            slugTests
            tokenTests
            timeTests
            switchTests
            listTests
            labelTests
            levelTests
            textTests
            fileTests
            gpuTests
            spoolTests
            diagnosisTests
            listenTests
            remoteWriteTests
            otlpTests
            joint
        ]
