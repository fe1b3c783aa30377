/// packaging/compose/compose.yaml and the images that packaging/image.sh makes, held against the options of the programs and against the charts.
module Agent.Repository.Tests.ComposeTests

open System
open System.IO
open System.Text.RegularExpressions
open Agent.Build.Helm
open Agent.Receiver
open Agent.Repository.Tests.YamlValues
open Agent.Sender
open Agent.TestSupport
open Expecto

let private textOf (path: string) : string =
    File.ReadAllText(Path.Combine(Fixtures.root, path))

let private compose = lazy (Yaml.read (textOf "packaging/compose/compose.yaml"))

let private script = lazy (textOf "packaging/image.sh")

let private services = lazy (fields (field "services" compose.Value))

let private service (name: string) : Value =
    services.Value |> List.find (fst >> (=) name) |> snd

/// The variables of the agent's image.
let private imageVariables: Lazy<(string * string) list> =
    lazy
        (let block = Regex.Match(script.Value, "environment=\"(AI_DASHBOARD_[^\"]+)\"")
         Expect.isTrue block.Success "image.sh sets variables"

         block.Groups[1].Value.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries)
         |> Array.map (fun pair -> pair.Split('=')[0], pair.Substring(pair.IndexOf '=' + 1))
         |> List.ofArray)

/// The agent of the image with these arguments.
let private agentWith (arguments: string list) : Settings =
    CommandLine.settingsOf arguments imageVariables.Value

let private volumesOf (name: string) : (string * string) list =
    words (field "volumes" (service name))
    |> List.map (fun line ->
        let parts = line.Split ':'
        parts[0], parts[1])

/// Every path that an argument names is below a mount of the service.
let private expectMounted (name: string) (arguments: string list) =
    for argument in arguments do
        match argument.IndexOf "=/" with
        | -1 -> ()
        | at ->
            let path = argument.Substring(at + 1)

            Expect.isTrue
                (volumesOf name
                 |> List.exists (fun (_, target) -> path.StartsWith(target + "/", StringComparison.Ordinal)))
                $"{name}: {argument} is mounted"

[<Tests>]
let tests =
    testList
        "Compose and images"
        [
            testCase "the dashboard's service is a command line of the program, on the loopback, with its database on a volume"
            <| fun () ->
                let arguments = words (field "command" (service "dashboard"))
                expectMounted "dashboard" arguments

                match DashboardCli.parse (Array.ofList arguments) with
                | Ok(DashboardCli.DashboardCommand.Serve settings) ->
                    Expect.equal settings.Database "/data/ai-dashboard.db" "the database"
                    Expect.isTrue settings.Listen.IsLoopback "the address"
                | other -> failtest $"%A{other}"

                match words (field "test" (field "healthcheck" (service "dashboard"))) with
                | "CMD" :: "ai-dashboard" :: check ->
                    match DashboardCli.parse (Array.ofList check) with
                    | Ok(DashboardCli.DashboardCommand.Health database) -> Expect.equal database "/data/ai-dashboard.db" "the check"
                    | other -> failtest $"%A{other}"
                | other -> failtest $"%A{other}"

            testCase "the key is made once the dashboard is well, and the agent starts once there is one, with that file"
            <| fun () ->
                let arguments = words (field "command" (service "enrolment"))
                expectMounted "enrolment" arguments

                match DashboardCli.parse (Array.ofList arguments) with
                | Ok(DashboardCli.DashboardCommand.EnrolKeys {
                                                                 Action = EnrolKeyAction.Add(_, _, expires, file)
                                                             }) ->
                    Expect.equal file "/keys/enrol-key" "the file"
                    Expect.equal expires Expiry.Never "it stays good"
                | other -> failtest $"%A{other}"

                let condition (name: string) (of': string) =
                    text (field "condition" (field of' (field "depends_on" (service name))))

                Expect.equal (condition "enrolment" "dashboard") "service_healthy" "first the dashboard"
                Expect.equal (condition "agent" "enrolment") "service_completed_successfully" "then the key"

            testCase "the agent's service is a command line of the program, with the host's folders where the image expects them"
            <| fun () ->
                let arguments = words (field "command" (service "agent"))
                expectMounted "agent" arguments
                let settings = agentWith arguments

                Expect.equal
                    [
                        "/proc", settings.ProcFs
                        "/sys", settings.SysFs
                        "/", settings.RootFs
                        "spool", settings.Spool
                    ]
                    (volumesOf "agent" |> List.take 4)
                    "the mounts"

                Expect.equal settings.BaseUrl (ValueSome(Uri "http://127.0.0.1:8000")) "it sends where the dashboard listens"

                match words (field "test" (field "healthcheck" (service "agent"))) with
                | "CMD" :: "ai-dashboard-agent" :: check ->
                    let asking = agentWith check
                    Expect.isTrue asking.Health "it asks"
                    Expect.equal asking.Listen settings.Listen "the address"
                | other -> failtest $"%A{other}"

            testCase "each service has the release's image, writes to its volumes alone, and may do nothing"
            <| fun () ->
                for name, service in services.Value do
                    let image = text (field "image" service)
                    Expect.isTrue (Regex.IsMatch(image, @"^ai-dashboard(-agent)?:0\.0\.0$")) $"{name}: {image}"
                    Expect.equal (field "read_only" service) (Value.Bool true) $"{name}: read_only"
                    Expect.equal (words (field "cap_drop" service)) [ "ALL" ] $"{name}: capabilities"
                    Expect.equal (words (field "security_opt" service)) [ "no-new-privileges:true" ] $"{name}: privileges"

                    for source, _ in volumesOf name do
                        if not (source.StartsWith '/') then
                            Expect.isTrue
                                (fields (field "volumes" compose.Value) |> List.exists (fst >> (=) source))
                                $"{name}: the volume {source} is declared"

            testCase "the images agree with the charts: mounts, the user and the program's name"
            <| fun () ->
                let daemonSet = textOf "packaging/helm/ai-dashboard-agent/templates/daemonset.yaml"

                for option, variable in
                    [
                        "procfs", "AI_DASHBOARD_PROCFS"
                        "sysfs", "AI_DASHBOARD_SYSFS"
                        "rootfs", "AI_DASHBOARD_ROOTFS"
                        "spool", "AI_DASHBOARD_SPOOL"
                    ] do
                    let path = imageVariables.Value |> List.find (fst >> (=) variable) |> snd
                    Expect.stringContains daemonSet $"- --{option}={path}\n" variable

                let user = Regex.Match(script.Value, @"(?m)^user=(\d+)$").Groups[1].Value
                Expect.stringContains (textOf "packaging/helm/ai-dashboard/values.yaml") $"\nuserId: {user}\n" "the user"

                let statefulSet = textOf "packaging/helm/ai-dashboard/templates/statefulset.yaml"
                Expect.stringContains statefulSet "command:\n            - ai-dashboard\n" "found by the image's PATH"
                Expect.stringContains statefulSet "--database=/data/ai-dashboard.db" "the database"
                Expect.stringContains script.Value "--database\", \"/data/ai-dashboard.db\"" "that the check of health looks at"
                Expect.stringContains script.Value "PATH=/usr/bin " "the PATH"

            testCase "what the image's agent does without arguments is to serve metrics where its check of health asks"
            <| fun () ->
                let settings = agentWith []
                Expect.equal (settings.Listen |> ValueOption.map string) (ValueSome "127.0.0.1:9835") "the address"
                Expect.isTrue (agentWith [ "--health" ]).Health "the check"

            for name in [ "image.sh"; "try-images.sh" ] do
                testCase $"sh reads {name}"
                <| fun () -> Tools.succeed [] "sh" [ "-n"; $"packaging/{name}" ] |> ignore
        ]
