/// The charts of packaging/helm and the plain manifests of packaging/kustomize, rendered and held against the types of Kubernetes' API, against the
/// options of the programs and against docs/containers.md.
module Agent.Repository.Tests.ChartTests

open System
open System.IO
open Agent.Build
open Agent.Build.Helm
open Agent.Repository.Tests.Manifests
open Agent.Sender
open Agent.Receiver
open Agent.TestSupport
open Expecto
open k8s.Models

let private read (name: string) : Chart =
    Chart.read (Path.Combine(Fixtures.root, "packaging", "helm", name))

let private agent = lazy read "ai-dashboard-agent"
let private dashboard = lazy read "ai-dashboard"

/// The files of a chart with these values.
let private rendered (chart: Chart) (values: string) : string list =
    match KubernetesFiles.manifests (KubernetesFiles.releaseOf chart) (Yaml.read values) chart with
    | Ok files -> List.map snd files
    | Error message -> failtest message

let private checkedOf (chart: Chart) (values: string) : Manifest list =
    let manifests, problems = check (rendered chart values)
    Expect.equal problems [] values
    manifests

let private kinds (manifests: Manifest list) : string list =
    manifests
    |> List.map (fun manifest ->
        match manifest with
        | DaemonSet _ -> "DaemonSet"
        | StatefulSet _ -> "StatefulSet"
        | Deployment _ -> "Deployment"
        | PodDisruptionBudget _ -> "PodDisruptionBudget"
        | Service _ -> "Service"
        | Ingress _ -> "Ingress"
        | NetworkPolicy _ -> "NetworkPolicy"
        | ServiceAccount _ -> "ServiceAccount"
        | Monitor(kind, _) -> kind)
    |> List.sort

let private podOf (manifests: Manifest list) : V1PodSpec =
    (manifests |> List.pick templateOf).Spec

let private only (items: 'a seq | null) : 'a =
    match orEmpty items with
    | [ one ] -> one
    | others -> failtest $"{others.Length} where one is expected"

/// The arguments as the program gets them, on the node node-1.
let private argumentsOf (manifests: Manifest list) : string[] =
    (only (podOf manifests).Containers).Args
    |> Seq.map _.Replace("$(NODE_NAME)", "node-1")
    |> Array.ofSeq

let private agentSettings (values: string) : Settings =
    CommandLine.settingsOf (List.ofArray (argumentsOf (checkedOf agent.Value values))) []

let private serveSettings (values: string) : ServeSettings =
    match DashboardCli.parse (argumentsOf (checkedOf dashboard.Value values)) with
    | Ok(DashboardCli.DashboardCommand.Serve settings) -> settings
    | other -> failtest $"{other}"

/// Values that between them bring every part of a template to light.
let private agentVariants =
    [
        ""
        "dashboard: {tokensSecretName: tokens, caConfigMapName: issuer}"
        "dashboard: {url: \"\"}\nremoteWrite: {url: \"http://mimir/api/v1/push\", headers: true}"
        "dashboard: {url: \"\"}\notlp: {url: \"http://collector:4318\", headers: true}"
        "metrics: {enabled: false}"
        "metrics: {podMonitor: {enabled: true, labels: {release: prometheus}}}"
        "metrics: {port: 9999, serviceMonitor: {enabled: true, labels: {release: prometheus}}}"
        "runtimeClassName: \"\"\nnodeSelector: {}\ntolerations: []\nhostPID: false"
        "inspectJobs: true\npriorityClassName: system-node-critical\npodAnnotations: {a: b}\nimagePullSecrets: [{name: registry}]"
        "labels: [room=3, team=vision]\nextraArgs: [\"--interfaces=eth0\"]\ninterval: 0.5\nresources: {}"
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: Exists}]}]}}}"
        "networkPolicy: {enabled: false}"
        "networkPolicy: {from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}"
    ]

/// Values of a dashboard on a cluster with a state, of which more is said.
let private cluster (state: string) : string =
    "metricsUrl: http://vm:8428\nstate: {"
    + state
    + "url: \"postgres://dashboard@db.example/dashboard\"}"

let private several = cluster "" + "\nmetricsWriteUrl: http://vm:8428/api/v1/write\nreplicas: 2"

let private dashboardVariants =
    [
        ""
        "tls: {secretName: own}\naccess: {tokens: true}\nserviceMonitor: {enabled: true, labels: {release: prometheus}}"
        "serviceMonitor: {enabled: true}\naccess: {tokens: true}"
        "ingress: {enabled: true, className: nginx, host: dashboard.example.org}\naccess: {trustedProxies: [10.0.0.0/8, 192.168.0.0/16]}"
        "ingress: {enabled: true, tlsSecretName: \"\", annotations: {}}\npublicUrl: https://dashboard.example.org"
        "access: {users: false, oidc: {authority: https://id.example.org, admins: groups=admins, viewers: groups=staff}}"
        "alerts: true\nextraArgs: [\"--server-samples=20\"]\npersistence: {storageClassName: fast}\nresources: {}"
        "priorityClassName: important\npodAnnotations: {a: b}\nimagePullSecrets: [{name: registry}]\ntolerations: [{operator: Exists}]"
        "nodeSelector: {disk: fast}\naffinity: {podAntiAffinity: {}}\nnetworkPolicy: {enabled: false}"
        "metricsUrl: http://vm:8428\nmetricsTenant: gpus\nmetricsHeaders: true"
        several
        cluster "password: false, accounts: true, "
        + "\nreplicas: 3\naccess: {users: false}"
    ]

let private changed (before: string) (after: string) (texts: string list) : string list =
    let result = texts |> List.map _.Replace(before, after)
    Expect.notEqual result texts $"{before} is there"
    result

/// What a change of the rendered text is found out by.
let private mutant (chart: Lazy<Chart>) (values: string) (before: string) (after: string) (expected: string) =
    testCase $"{after.Trim()} in place of {before.Trim()} is found out"
    <| fun () ->
        let _, problems = rendered chart.Value values |> changed before after |> check
        Expect.isTrue (problems |> List.exists _.Contains(expected, StringComparison.Ordinal)) $"{expected} in {problems}"

/// Every value by its path; maps that the chart does not look into are one value.
let rec private paths (prefix: string) (value: Value) : string list =
    match value with
    | Value.Map entries when not entries.IsEmpty -> entries |> List.collect (fun (name, inner) -> paths $"{prefix}.{name}" inner)
    | _ -> [ prefix ]

let private isInstalled (program: string) : bool =
    (string (Environment.GetEnvironmentVariable "PATH")).Split ':'
    |> Array.exists (fun directory -> File.Exists(Path.Combine(directory, program)))

/// Where Debian's packages of Go's libraries lie, unless the environment says otherwise.
let private goPath =
    Environment.GetEnvironmentVariable "GOPATH"
    |> Option.ofObj
    |> Option.defaultValue "/usr/share/gocode"

let private monitors = "metrics: {podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}"

/// Every file that an argument names below /run is mounted.
let private expectMounted (container: V1Container) (arguments: string[]) =
    for argument in arguments do
        match argument.IndexOf "=/run/" with
        | -1 -> ()
        | at ->
            let path = argument.Substring(at + 1)

            Expect.isTrue
                (container.VolumeMounts
                 |> Seq.exists (fun mount -> path.StartsWith(mount.MountPath + "/", StringComparison.Ordinal)))
                $"{argument} is mounted"

[<Tests>]
let tests =
    testList
        "Kubernetes"
        [
            for name, chart, variants in
                [
                    "ai-dashboard-agent", agent, agentVariants
                    "ai-dashboard", dashboard, dashboardVariants
                ] do
                for values in variants do
                    let shown =
                        if values = "" then
                            "its own values"
                        else
                            values.Replace("\n", ", ")

                    testCase $"{name} with {shown} is what Kubernetes' types know"
                    <| fun () -> checkedOf chart.Value values |> ignore

                testCase $"{name} uses every value of its values.yaml, and each has a comment"
                <| fun () ->
                    let templates = chart.Value.Templates |> List.map snd |> String.concat "\n"

                    for path in paths "" chart.Value.Values do
                        let names = path.Split('.', StringSplitOptions.RemoveEmptyEntries)

                        let isUsed =
                            [ 1 .. names.Length ]
                            |> List.exists (fun count ->
                                let shown = names |> Array.truncate count |> String.concat "."

                                Text.RegularExpressions.Regex.IsMatch(
                                    templates,
                                    $@"\.Values\.{Text.RegularExpressions.Regex.Escape shown}(?![.\w])"
                                ))

                        Expect.isTrue isUsed path

            testCase "the agent's objects"
            <| fun () ->
                Expect.equal (kinds (checkedOf agent.Value "")) [ "DaemonSet"; "NetworkPolicy"; "ServiceAccount" ] "by default"

                Expect.equal
                    (kinds (checkedOf agent.Value monitors))
                    [
                        "DaemonSet"
                        "NetworkPolicy"
                        "PodMonitor"
                        "Service"
                        "ServiceAccount"
                        "ServiceMonitor"
                    ]
                    "with monitors"

            testCase "the dashboard's objects"
            <| fun () ->
                Expect.equal
                    (kinds (checkedOf dashboard.Value "ingress: {enabled: true}"))
                    [ "Ingress"; "NetworkPolicy"; "Service"; "ServiceAccount"; "StatefulSet" ]
                    "with an ingress"

                Expect.equal
                    (kinds (checkedOf dashboard.Value several))
                    [
                        "NetworkPolicy"
                        "PodDisruptionBudget"
                        "Service"
                        "ServiceAccount"
                        "StatefulSet"
                    ]
                    "two of them"

            testCase "several dashboards share a cluster and a state, with what the secret has; one alone needs neither"
            <| fun () ->
                let set values =
                    checkedOf dashboard.Value values
                    |> List.pick (fun manifest ->
                        match manifest with
                        | StatefulSet set -> Some set
                        | _ -> None)

                let one = set ""
                Expect.equal (one.Spec.Replicas, one.Spec.PodManagementPolicy) (Nullable 1, null) "one"
                let two = set several
                Expect.equal (two.Spec.Replicas, two.Spec.PodManagementPolicy) (Nullable 2, "Parallel") "two"

                let settings = serveSettings several
                Expect.equal settings.MetricsUrl "http://vm:8428" "where figures are read"
                Expect.equal settings.MetricsWriteUrl "http://vm:8428/api/v1/write" "where posts are passed on to"

                match settings.State with
                | ValueSome state ->
                    Expect.equal state.Address.Url "postgres://dashboard@db.example:5432/dashboard?sslmode=verify-full" "the state"
                    Expect.equal state.PasswordFile "/run/secrets/dashboard/postgres-password" "its password"
                | ValueNone -> failtest "there is a state"

                Expect.isTrue
                    (serveSettings (cluster "password: false, accounts: true, " + "\naccess: {users: false}")).Access.AccountsInState
                    "accounts"

            testCase "the agent sees the node: its processes, its folders read-only, its GPUs, whatever it is tainted with"
            <| fun () ->
                let pod = podOf (checkedOf agent.Value "")
                let container = only pod.Containers
                Expect.equal (pod.HostPID.GetValueOrDefault()) true "hostPID"

                Expect.equal
                    (pod.HostNetwork.GetValueOrDefault(), pod.HostIPC.GetValueOrDefault())
                    (false, false)
                    "nothing else of the node"

                // Kubernetes would call variables AI_DASHBOARD_PORT and the like, after the dashboard's service.
                Expect.equal (pod.EnableServiceLinks.GetValueOrDefault true) false "no variables for services"
                Expect.equal pod.RuntimeClassName "nvidia" "the runtime class"
                Expect.equal (only pod.Tolerations).OperatorProperty "Exists" "tolerations"

                let volumes =
                    orEmpty pod.Volumes
                    |> List.filter (fun volume -> not (isNull volume.HostPath))
                    |> List.map (fun volume -> volume.Name, volume.HostPath.Path)

                let table = File.ReadAllText(Path.Combine(Fixtures.root, "docs", "containers.md"))

                let hostMounts =
                    [
                        for mount in container.VolumeMounts do
                            match volumes |> List.tryFind (fst >> (=) mount.Name) with
                            | Some(_, path) -> path, mount.MountPath, mount.ReadOnlyProperty.GetValueOrDefault(), mount.MountPropagation
                            | None -> ()
                    ]

                Expect.equal
                    hostMounts
                    [
                        "/proc", "/host/proc", true, null
                        "/sys", "/host/sys", true, null
                        "/", "/host/root", true, "HostToContainer"
                        "/var/lib/ai-dashboard-agent", "/spool", false, null
                    ]
                    "the node's folders"

                for path, at, isReadOnly, _ in hostMounts do
                    if isReadOnly then
                        Expect.stringContains table $"| `{path}` at `{at}`, read-only" "docs/containers.md has it"

            testCase "the agent is a root that may do nothing, unless it is to look into jobs"
            <| fun () ->
                let security (values: string) =
                    (only (podOf (checkedOf agent.Value values)).Containers).SecurityContext

                let plain = security ""
                Expect.equal (plain.Privileged.GetValueOrDefault true) false "privileged"
                Expect.equal (plain.AllowPrivilegeEscalation.GetValueOrDefault true) false "escalation"
                Expect.equal (plain.ReadOnlyRootFilesystem.GetValueOrDefault()) true "its own files"
                Expect.equal (orEmpty plain.Capabilities.Drop, orEmpty plain.Capabilities.Add) ([ "ALL" ], []) "capabilities"
                let curious = security "inspectJobs: true"
                Expect.equal (orEmpty curious.Capabilities.Add) [ "SYS_PTRACE"; "DAC_READ_SEARCH" ] "for jobs"

            testCase "the agent's arguments are options of the program, and lead to what is mounted"
            <| fun () ->
                for values in agentVariants do
                    let settings = agentSettings values
                    let manifests = checkedOf agent.Value values
                    let container = only (podOf manifests).Containers

                    for mount in [ settings.ProcFs; settings.SysFs; settings.RootFs; settings.Spool ] do
                        Expect.isTrue (container.VolumeMounts |> Seq.exists (fun known -> known.MountPath = mount)) mount

                    expectMounted container (argumentsOf manifests)

                    match settings.Listen with
                    | ValueSome listen -> Expect.equal (only container.Ports).ContainerPort listen.Port "the port that is listened at"
                    | ValueNone -> Expect.equal (orEmpty container.Ports) [] "no port"

            testCase "the dashboard's arguments are options of the program, and lead to what is mounted"
            <| fun () ->
                for values in dashboardVariants do
                    let settings = serveSettings values
                    let manifests = checkedOf dashboard.Value values
                    let container = only (podOf manifests).Containers
                    Expect.equal settings.Database "/data/ai-dashboard.db" "on the volume"
                    Expect.equal (only container.Ports).ContainerPort settings.Listen.Port "the port that is listened at"

                    let scheme = container.ReadinessProbe.HttpGet.Scheme
                    Expect.equal (scheme = "HTTPS") settings.Listen.IsTls "the probes' scheme"

                    expectMounted container (argumentsOf manifests)

            testCase "the dashboard is no root, and has one writable folder that stays"
            <| fun () ->
                let manifests = checkedOf dashboard.Value ""
                let pod = podOf manifests
                let container = only pod.Containers
                Expect.equal (pod.SecurityContext.RunAsNonRoot.GetValueOrDefault()) true "no root"

                Expect.equal
                    (pod.SecurityContext.RunAsUser, pod.SecurityContext.FsGroup)
                    (Nullable 65532L, Nullable 65532L)
                    "user and group"

                Expect.equal (container.SecurityContext.ReadOnlyRootFilesystem.GetValueOrDefault()) true "its own files"
                Expect.equal (orEmpty container.SecurityContext.Capabilities.Drop) [ "ALL" ] "capabilities"

                let claim =
                    manifests
                    |> List.pick (fun manifest ->
                        match manifest with
                        | StatefulSet set -> Some(only set.Spec.VolumeClaimTemplates)
                        | _ -> None)

                Expect.equal (string claim.Spec.Resources.Requests["storage"]) "20Gi" "the volume"

            testCase "values that cannot work are refused with a sentence"
            <| fun () ->
                let refused (chart: Lazy<Chart>) (values: string) =
                    match KubernetesFiles.manifests (KubernetesFiles.releaseOf chart.Value) (Yaml.read values) chart.Value with
                    | Error message -> message
                    | Ok _ -> failtest $"{values} is taken"

                Expect.equal
                    (refused agent "dashboard: {url: \"\"}\nmetrics: {enabled: false}")
                    "ai-dashboard-agent: daemonset.yaml: nothing would be done with the samples: set dashboard.url, remoteWrite.url, otlp.url or metrics.enabled"
                    "the agent"

                Expect.equal
                    (refused dashboard "access: {users: false}")
                    "ai-dashboard: statefulset.yaml: nobody could log in: set access.users or access.oidc.authority"
                    "the dashboard"

                for values, sentence in
                    [
                        "replicas: 2", "several dashboards need a common state: set state.url to a database of PostgreSQL, or replicas to 1"
                        "metricsUrl: http://vm:8428\nreplicas: 2",
                        "several dashboards need a common state: set state.url to a database of PostgreSQL, or replicas to 1"
                        "state: {url: \"postgres://dashboard@db.example/dashboard\"}",
                        "metricsWriteUrl, metricsTenant, metricsHeaders and state.url are for the page on a cluster of metrics: set metricsUrl, or leave them out"
                        "metricsTenant: gpus",
                        "metricsWriteUrl, metricsTenant, metricsHeaders and state.url are for the page on a cluster of metrics: set metricsUrl, or leave them out"
                        cluster "accounts: true, ",
                        "state.accounts needs state.url, and cannot be combined with access.users and access.tokens: set both to false"
                        "metricsUrl: http://vm:8428\nstate: {accounts: true}\naccess: {users: false}",
                        "state.accounts needs state.url, and cannot be combined with access.users and access.tokens: set both to false"
                    ] do
                    Expect.equal (refused dashboard values) $"ai-dashboard: statefulset.yaml: {sentence}" values

            testCase "the image is a value, and its tag the version of the chart unless it is named"
            <| fun () ->
                let image (chart: Chart) values =
                    (only (podOf (checkedOf chart values)).Containers).Image

                Expect.equal (image agent.Value "") "ai-dashboard-agent:0.0.0" "as it lies here"
                let values = "image: {repository: registry.example/ai-dashboard, tag: nightly}"
                Expect.equal (image dashboard.Value values) "registry.example/ai-dashboard:nightly" "as it is named"

            mutant agent "" "mountPath: /host/sys" "mountpath: /host/sys" "mountpath"
            mutant agent "" "hostPID: true" "hostPid: true" "hostPid"
            mutant agent "" "readOnly: true" "readOnly: often" "DaemonSet"
            mutant agent "" "- name: sys\n              mountPath" "- name: sysfs\n              mountPath" "there is no volume sysfs"
            mutant
                agent
                ""
                "port: metrics\n            periodSeconds: 20"
                "port: 9836\n            periodSeconds: 20"
                "livenessProbe asks at port 9836"
            mutant agent "" "kind: DaemonSet" "kind: Daemonset" "the kind Daemonset is not expected"
            mutant agent "" "apiVersion: apps/v1" "apiVersion: apps/v1beta1" "of apps/v1, not of apps/v1beta1"
            mutant
                agent
                ""
                "name: metrics\n              containerPort"
                "name: metric\n              containerPort"
                "network policy names port metrics"
            mutant agent monitors "honorLabels: true" "honourLabels: true" "has no field honourLabels"
            mutant agent monitors "targetPort: metrics" "targetPort: web" "the service leads to port web"
            mutant dashboard "" "serviceName: ai-dashboard" "serviceName: dashboard" "there is no service dashboard"
            mutant dashboard "" "fsGroup: 65532" "fsgroup: 65532" "fsgroup"
            mutant dashboard "" "storage: 20Gi" "storages: {a: 20Gi}" "StatefulSet"
            mutant dashboard "ingress: {enabled: true}" "name: web\n" "name: http\n" "port"

            testCase "the plain manifests are the charts with their default values"
            <| fun () ->
                match KubernetesFiles.files Fixtures.root with
                | Error message -> failtest message
                | Ok files ->
                    for name, text in files do
                        let path = Path.Combine(Fixtures.root, name)
                        Expect.isTrue (File.Exists path) $"{name} is there; `dotnet fsi build.fsx -t Docs` writes it"
                        Expect.equal (File.ReadAllText path) text $"{name} is as `dotnet fsi build.fsx -t Docs` writes it"

                    let known = files |> List.map (fst >> Path.GetFileName) |> set

                    for path in Directory.GetFiles(Path.Combine(Fixtures.root, "packaging", "kustomize"), "*", SearchOption.AllDirectories) do
                        Expect.isTrue (known.Contains(Path.GetFileName path)) $"{path} belongs to a chart"

            testCase "Go's own templates with Sprig's functions, as Helm has them, make the same text of the charts"
            <| fun () ->
                if
                    not (isInstalled "go")
                    || not (Directory.Exists(Path.Combine(goPath, "src/github.com/Masterminds/sprig")))
                then
                    Skip.always "no go with Sprig (Debian: golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev)"

                World.withDirectory (fun directory ->
                    let renderer = Path.Combine(directory, "render")
                    let values = Path.Combine(directory, "values.yaml")

                    Tools.succeed
                        [
                            "GO111MODULE", "off"
                            "GOPATH", goPath
                            "GOCACHE", Path.Combine(directory, "cache")
                            "GOFLAGS", "-p=1"
                        ]
                        "go"
                        [ "build"; "-o"; renderer; "tests/go-render/main.go" ]
                    |> ignore

                    for name, chart, variants in
                        [
                            "ai-dashboard-agent", agent, agentVariants
                            "ai-dashboard", dashboard, dashboardVariants
                        ] do
                        for given in variants do
                            File.WriteAllText(values, given)
                            let go = Tools.succeed [] renderer [ $"packaging/helm/{name}"; values ]

                            match KubernetesFiles.manifests (KubernetesFiles.releaseOf chart.Value) (Yaml.read given) chart.Value with
                            | Error message -> failtest message
                            | Ok files ->
                                Expect.equal
                                    (files
                                     |> List.map (fun (file, text) -> $"=== {file}\n{text}")
                                     |> String.concat "")
                                    go
                                    given)

            for folder, name in KubernetesFiles.folders do
                testCase $"kustomize makes objects of packaging/kustomize/{folder} that Kubernetes' types know"
                <| fun () ->
                    // Kustomize is part of kubectl, which not every machine that runs these tests can have: it is in no Debian of today.
                    if not (isInstalled "kubectl") then
                        Skip.always "no kubectl"

                    let text = Tools.succeed [] "kubectl" [ "kustomize"; $"packaging/kustomize/{folder}" ]
                    let manifests, problems = check [ text ]
                    Expect.equal problems [] name
                    Expect.equal (kinds manifests) (kinds (checkedOf (read name) "")) "the same objects"
        ]
