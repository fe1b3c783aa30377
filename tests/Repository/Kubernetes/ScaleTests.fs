/// packaging/scale: the small cluster, as a compose file and as manifests, held against each other, against the options of the program, and against the real vmauth
/// and HAProxy. VictoriaMetrics' cluster itself is in no package, so that nobody has run these storages here.
module Agent.Repository.Tests.ScaleTests

open System
open System.IO
open System.Net
open System.Net.Http
open System.Text.RegularExpressions
open Agent.Build.Helm
open Agent.Receiver
open Agent.Repository.Tests.Manifests
open Agent.Repository.Tests.YamlValues
open Agent.TestSupport
open Expecto

let private directory = Path.Combine(Fixtures.root, "packaging", "scale")

let private textOf (path: string) : string =
    File.ReadAllText(Path.Combine(directory, path))

let private compose = lazy (Yaml.read (textOf "compose.yaml"))
let private services = lazy (fields (field "services" compose.Value))

let private service (name: string) : Value =
    services.Value |> List.find (fst >> (=) name) |> snd

/// The parts of the cluster, each with its manifests.
let private parts = [ "vmstorage"; "vminsert"; "vmselect"; "vmauth"; "postgres" ]

let private manifestsOf (part: string) : Manifest list =
    match check [ textOf $"kubernetes/{part}.yaml" ] with
    | manifests, [] -> manifests
    | _, problems -> failtest $"""{part}: {String.concat "; " problems}"""

let private containerOf (part: string) =
    match manifestsOf part |> List.choose templateOf with
    | [ template ] -> Seq.exactlyOne template.Spec.Containers
    | others -> failtest $"{part} has {others.Length} templates"

/// The dashboards' command lines: of the compose file, and of the plain manifest with the patch of this folder.
let private dashboards: Lazy<(string * string list) list> =
    lazy
        (let patched =
            let set = Path.Combine(Fixtures.root, "packaging", "kustomize", "dashboard", "statefulset.yaml")

            let own =
                match
                    check
                        [
                            File.ReadAllText set
                            File.ReadAllText(Path.Combine(directory, "../kustomize/dashboard/service.yaml"))
                        ]
                with
                | manifests, [] ->
                    let template = manifests |> List.pick templateOf
                    List.ofSeq (Seq.exactlyOne template.Spec.Containers).Args
                | _, problems -> failtest $"%A{problems}"

            let added =
                items (Yaml.read (textOf "kubernetes/dashboards-patch.yaml"))
                |> List.filter (fun step -> text (field "path" step) = "/spec/template/spec/containers/0/args/-")
                |> List.map (fun step -> text (field "value" step))

            own @ added

         [
             "dashboard-1", words (field "command" (service "dashboard-1"))
             "dashboard-2", words (field "command" (service "dashboard-2"))
             "the manifest", patched
         ])

/// Whether a JSON pointer leads to something in a document; for `-` behind a list, whether the list is there.
let rec private leads (parts: string list) (value: Value) : bool =
    match parts, value with
    | [], _ -> true
    | [ "-" ], Value.List _ -> true
    | name :: rest, Value.Map _ ->
        match field name value with
        | Value.Null -> false
        | inner -> leads rest inner
    | index :: rest, Value.List entries ->
        match Int32.TryParse index with
        | true, at when at < entries.Length -> leads rest entries[at]
        | _ -> false
    | _ -> false

let private isRoot = Environment.UserName = "root"

let private modeOf (path: string) = File.GetUnixFileMode path

[<Tests>]
let tests =
    testList
        "Scale"
        [
            for part in parts do
                testCase $"the manifests of {part} are what Kubernetes' types know, and fit each other"
                <| fun () ->
                    let manifests = manifestsOf part
                    let container = containerOf part
                    Expect.equal (container.SecurityContext.ReadOnlyRootFilesystem.GetValueOrDefault()) true "its own files"
                    Expect.equal (orEmpty container.SecurityContext.Capabilities.Drop) [ "ALL" ] "capabilities"
                    Expect.equal (container.SecurityContext.AllowPrivilegeEscalation.GetValueOrDefault true) false "escalation"
                    let pod = (manifests |> List.pick templateOf).Spec
                    Expect.equal (pod.SecurityContext.RunAsNonRoot.GetValueOrDefault()) true "no root"
                    Expect.equal (pod.AutomountServiceAccountToken.GetValueOrDefault true) false "it asks Kubernetes nothing"

                    Expect.isTrue
                        (manifests
                         |> List.exists (fun one ->
                             match one with
                             | NetworkPolicy _ -> true
                             | _ -> false))
                        "who may connect is said"

            testCase "the kustomization names every file, and each step of the patch changes what is there"
            <| fun () ->
                let kustomization = Yaml.read (textOf "kustomization.yaml")

                let patches =
                    items (field "patches" kustomization)
                    |> List.map (fun patch -> text (field "path" patch))

                let named = words (field "resources" kustomization) @ patches

                for name in named do
                    let path = Path.Combine(directory, name)
                    Expect.isTrue (File.Exists path || File.Exists(Path.Combine(path, "kustomization.yaml"))) name

                for path in Directory.GetFiles(Path.Combine(directory, "kubernetes")) do
                    Expect.contains named $"kubernetes/{Path.GetFileName path}" "no file is left out"

                for generator in items (field "configMapGenerator" kustomization) do
                    for name in words (field "files" generator) do
                        Expect.isTrue (File.Exists(Path.Combine(directory, name))) name

                let set =
                    Yaml.read (File.ReadAllText(Path.Combine(directory, "../kustomize/dashboard/statefulset.yaml")))

                for step in items (Yaml.read (textOf "kubernetes/dashboards-patch.yaml")) do
                    let path = text (field "path" step)
                    let pointer = List.ofArray (path.Substring(1).Split '/')

                    match text (field "op" step) with
                    | "replace" -> Expect.isTrue (leads pointer set) path
                    | "add" when path.EndsWith('-') -> Expect.isTrue (leads pointer set) path
                    | "add" ->
                        Expect.isTrue (leads (List.take (pointer.Length - 1) pointer) set) path
                        Expect.isFalse (leads pointer set) $"{path} is not there yet"
                    | other -> failtest other

                for manifest in fst (check [ textOf "kubernetes/dashboards.yaml" ]) do
                    match manifest with
                    | PodDisruptionBudget budget ->
                        let labels = field "matchLabels" (field "selector" (field "spec" set))

                        for label in budget.Spec.Selector.MatchLabels do
                            Expect.equal (text (field label.Key labels)) label.Value "the dashboards' pods"
                    | other -> failtest $"%A{other}"

            testCase "the dashboards' command lines are the program's, and all lead to the same cluster and state"
            <| fun () ->
                let settings =
                    [
                        for name, arguments in dashboards.Value do
                            match DashboardCli.parse (Array.ofList arguments) with
                            | Ok(DashboardCli.DashboardCommand.Serve settings) -> name, settings
                            | other -> failtest $"{name}: %A{other}"
                    ]

                for name, one in settings do
                    Expect.equal one.MetricsUrl "http://vmauth:8427/select/0/prometheus" name
                    Expect.equal one.MetricsHeaderFile "/run/secrets/dashboard/cluster-headers" name

                let cluster (arguments: string list) =
                    arguments
                    |> List.filter (fun word -> word.StartsWith "--metrics-" || word.StartsWith "--state")
                    |> List.sort

                for name, arguments in dashboards.Value do
                    Expect.equal (cluster arguments) (cluster (snd dashboards.Value.Head)) name
                    Expect.hasLength (cluster arguments) 5 name

            testCase "an option of the cluster's programs is the same in the compose file and in the manifests"
            <| fun () ->
                for part in [ "vmstorage"; "vminsert"; "vmselect" ] do
                    let ofCompose =
                        services.Value
                        |> List.filter (fun (name, _) -> Regex.IsMatch(name, $@"^{part}(-\d)?$"))

                    Expect.isNonEmpty ofCompose part

                    let settled (arguments: string seq) =
                        arguments
                        |> Seq.filter (fun word -> not (word.StartsWith "-storageNode="))
                        |> List.ofSeq

                    let manifest = containerOf part

                    for name, one in ofCompose do
                        Expect.equal (settled (words (field "command" one))) (settled manifest.Args) name
                        let image = text (field "image" one)
                        Expect.equal (Regex.Replace(image, @"\$\{VM_VERSION:-([^}]*)}", "$1")) manifest.Image $"{name}: the image"

            testCase "whoever asks a storage knows all of them by the names that they have"
            <| fun () ->
                let nodes (arguments: string seq) =
                    arguments
                    |> Seq.pick (fun word ->
                        if word.StartsWith "-storageNode=" then
                            Some(List.ofArray (word.Substring("-storageNode=".Length).Split ','))
                        else
                            None)

                let replicas =
                    manifestsOf "vmstorage"
                    |> List.pick (fun one ->
                        match one with
                        | StatefulSet set -> Some(set.Spec.Replicas.GetValueOrDefault())
                        | _ -> None)

                let ports =
                    (containerOf "vmstorage").Ports
                    |> Seq.map (fun port -> port.Name, port.ContainerPort)
                    |> Map.ofSeq

                let inCompose = services.Value |> List.map fst |> List.filter _.StartsWith("vmstorage-")

                for part, port in [ "vminsert", ports["insert"]; "vmselect", ports["select"] ] do
                    Expect.equal
                        (nodes (containerOf part).Args)
                        [ for at in 0 .. replicas - 1 -> $"vmstorage-{at}.vmstorage:{port}" ]
                        $"{part}: manifests"

                    Expect.equal
                        (nodes (words (field "command" (service part))))
                        [ for name in inCompose -> $"{name}:{port}" ]
                        $"{part}: compose"

            testCase "each service writes to its volumes alone, may do nothing, and storages are reached from inside alone"
            <| fun () ->
                let declared = fields (field "volumes" compose.Value) |> List.map fst
                let networks = field "networks" compose.Value
                Expect.equal (field "internal" (field "cluster" networks)) (Value.Bool true) "no way out"

                for name, one in services.Value do
                    Expect.equal (field "read_only" one) (Value.Bool true) $"{name}: read_only"
                    Expect.equal (words (field "cap_drop" one)) [ "ALL" ] $"{name}: capabilities"
                    Expect.equal (words (field "security_opt" one)) [ "no-new-privileges:true" ] $"{name}: privileges"

                    for volume in words (field "volumes" one) do
                        let source = volume.Split(':')[0]

                        if source.StartsWith "./" then
                            if not (source.StartsWith "./secrets/") then
                                Expect.isTrue (File.Exists(Path.Combine(directory, source))) $"{name}: {source}"
                        else
                            Expect.contains declared source name

                    match name with
                    | "balancer" -> Expect.equal (words (field "ports" one)) [ "8443:8443" ] "the one door"
                    | _ -> Expect.equal (field "ports" one) Value.Null $"{name} is not published"

                    if name.StartsWith "vmstorage" || name = "postgres" then
                        Expect.equal (words (field "networks" one)) [ "cluster" ] name

                let subnet =
                    text (field "subnet" (List.exactlyOne (items (field "config" (field "ipam" (field "web" networks))))))

                for name in [ "dashboard-1"; "dashboard-2" ] do
                    Expect.contains (words (field "command" (service name))) $"--trusted-proxy={subnet}" "the balancer's addresses"

            testCase "vmauth lets agents write, dashboards read and write, and nobody anything else"
            <| fun () ->
                let vmauth = Prometheus.program "vmauth"

                World.withDirectory (fun place ->
                    let config = Path.Combine(place, "vmauth.yml")
                    let nobody = Prometheus.freePort ()

                    File.WriteAllText(
                        config,
                        Regex.Replace(textOf "vmauth.yml", @"http://vm(insert|select):\d+", $"http://127.0.0.1:{nobody}")
                    )

                    let port = Prometheus.freePort ()

                    use _ =
                        new Prometheus.Server(
                            "env",
                            [
                                "AGENTS_TOKEN=agents"
                                "DASHBOARDS_TOKEN=dashboards"
                                vmauth
                                $"-auth.config={config}"
                                $"-httpListenAddr=127.0.0.1:{port}"
                            ],
                            place
                        )

                    Waiting.eventually Waiting.patience "vmauth answers" (fun () ->
                        Prometheus.fetch $"http://127.0.0.1:{port}/health" <> "")

                    use http = new HttpClient()

                    /// Whether it goes on to the part that would answer, where nobody listens.
                    let isPassedOn (token: string) (path: string) =
                        use request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{port}{path}")

                        if token <> "" then
                            request.Headers.Add("Authorization", $"Bearer {token}")

                        use answer = http.Send request

                        match answer.StatusCode with
                        | HttpStatusCode.BadGateway -> true
                        | HttpStatusCode.BadRequest
                        | HttpStatusCode.Unauthorized
                        | HttpStatusCode.Forbidden -> false
                        | other -> failtest $"{token} {path}: {other}"

                    let write = "/insert/0/prometheus/api/v1/write"

                    let read =
                        [
                            "/select/0/prometheus/api/v1/query"
                            "/select/0/prometheus/api/v1/query_range"
                            "/select/0/prometheus/api/v1/label/instance/values"
                        ]

                    let other =
                        [
                            "/select/0/prometheus/api/v1/admin/tsdb/delete_series"
                            "/delete/0/prometheus/api/v1/admin/tsdb/delete_series"
                            "/insert/1/prometheus/api/v1/write"
                            "/select/1/prometheus/api/v1/query"
                            "/insert/0/prometheus/api/v1/import"
                        ]

                    Expect.isTrue (isPassedOn "agents" write) "agents write"
                    Expect.isTrue (isPassedOn "dashboards" write) "dashboards write"

                    for path in read do
                        Expect.isFalse (isPassedOn "agents" path) $"agents: {path}"
                        Expect.isTrue (isPassedOn "dashboards" path) $"dashboards: {path}"

                    for path in other do
                        for token in [ "agents"; "dashboards" ] do
                            Expect.isFalse (isPassedOn token path) $"{token}: {path}"

                    for token in [ "wrong"; "" ] do
                        for path in write :: read do
                            Expect.isFalse (isPassedOn token path) $"{token}: {path}")

            testCase "HAProxy reads its file, and every address in it is a service"
            <| fun () ->
                let file = textOf "haproxy.cfg"

                for server in Regex.Matches(file, @"(?m)^ *server (\S+) ([\w-]+):(\d+)") do
                    Expect.equal server.Groups[1].Value server.Groups[2].Value "named as what it is"
                    service server.Groups[2].Value |> ignore

                // What a dashboard answers with 503 where it cannot work itself.
                Expect.stringContains file "option httpchk GET /healthz" "asks for health"

                let posts = Regex.Match(file, @"(?ms)^backend posts\n.*?(?=^\S|\z)").Value
                Expect.stringContains file "use_backend posts if { path_beg /api/ingest/ }" "what machines post"
                Expect.stringContains posts "\n  balance uri\n" "one machine's at one dashboard"
                Expect.equal (Regex.Count(posts, @"(?m)^  server dashboard-\d ")) 2 "either of them"

                World.withDirectory (fun place ->
                    let certificate = Path.Combine(place, "tls.pem")
                    let part name = Path.Combine(place, name)

                    Tools.succeed
                        []
                        "openssl"
                        [
                            "req"
                            "-x509"
                            "-newkey"
                            "rsa:2048"
                            "-nodes"
                            "-days"
                            "2"
                            "-subj"
                            "/CN=localhost"
                            "-keyout"
                            part "key"
                            "-out"
                            part "certificate"
                        ]
                    |> ignore

                    File.WriteAllText(certificate, File.ReadAllText(part "certificate") + File.ReadAllText(part "key"))

                    // The names are those of a network that is not here.
                    let here =
                        Regex.Replace(file.Replace("/run/secrets/tls.pem", certificate), @"(?m)^( *server \S+) [\w-]+:", "$1 127.0.0.1:")

                    let config = part "haproxy.cfg"
                    File.WriteAllText(config, here)
                    Tools.succeed [] "haproxy" [ "-c"; "-f"; config ] |> ignore)

            testCase "the secrets are made once, are nobody else's, and the tokens of both sides agree"
            <| fun () ->
                World.withDirectory (fun place ->
                    let script = Path.Combine(place, "make-secrets.sh")
                    File.Copy(Path.Combine(directory, "make-secrets.sh"), script)

                    if not isRoot then
                        let code, said = Tools.run [] "sh" [ script ]
                        Expect.equal code 1 said
                        Expect.stringContains said "run it as root" "says why"
                    else
                        // The script makes keys with it.
                        Tools.succeed [] "openssl" [ "version" ] |> ignore
                        let at name = Path.Combine(place, "secrets", name)

                        let contents () =
                            [
                                for path in Directory.GetFiles(at "", "*", SearchOption.AllDirectories) |> Array.sort ->
                                    path, File.ReadAllText path
                            ]

                        Tools.succeed [] "sh" [ script ] |> ignore
                        let first = contents ()
                        Tools.succeed [] "sh" [ script ] |> ignore
                        Expect.equal (contents ()) first "nothing is made anew"

                        for path, _ in first do
                            Expect.equal (modeOf path) (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) path

                        let token (name: string) =
                            Regex.Match(File.ReadAllText(at "vmauth.env"), $"(?m)^{name}=([0-9a-f]{{64}})$").Groups[1].Value

                        Expect.equal
                            (File.ReadAllText(at "agents-headers"))
                            $"""Authorization: Bearer {token "AGENTS_TOKEN"}{'\n'}"""
                            "agents"

                        Expect.equal
                            (File.ReadAllText(at "dashboard/cluster-headers"))
                            $"""Authorization: Bearer {token "DASHBOARDS_TOKEN"}{'\n'}"""
                            "dashboards"

                        Expect.notEqual (token "AGENTS_TOKEN") (token "DASHBOARDS_TOKEN") "two tokens"

                        Expect.equal
                            (File.ReadAllText(at "postgres-password"))
                            (File.ReadAllText(at "dashboard/postgres-password"))
                            "one password"

                        // What agents take for --ca-file, for a name and for both kinds of addresses.
                        for host, kind in
                            [
                                "dashboard.example.com", "DNS:dashboard.example.com"
                                "10.0.0.5", "IP Address:10.0.0.5"
                                "fd00::5", "IP Address:FD00:0:0:0:0:0:0:5"
                            ] do
                            Tools.succeed [] "sh" [ script; host ] |> ignore
                            let issuer = File.ReadAllText(at "agents-ca.pem")
                            Expect.isFalse (issuer.Contains "PRIVATE KEY") "no key"
                            Expect.isTrue ((File.ReadAllText(at "tls.pem")).Contains issuer) "it is that of the balancer"
                            let text = Tools.succeed [] "openssl" [ "x509"; "-in"; at "agents-ca.pem"; "-noout"; "-text" ]
                            Expect.stringContains text kind "its name"
                            let code, said = Tools.run [] "sh" [ script; "other.example" ]
                            Expect.equal code 1 said
                            Expect.stringContains said "certificate for another name than \"other.example\"" "said"
                            File.Delete(at "tls.pem")

                        // An openssl that fails leaves nothing that would be kept.
                        File.Delete(at "vmauth.env")
                        File.Delete(at "postgres-password")
                        let broken = Path.Combine(place, "bin")
                        Directory.CreateDirectory broken |> ignore
                        let openssl = Path.Combine(broken, "openssl")
                        File.WriteAllText(openssl, "#!/bin/sh\nexit 1\n")
                        File.SetUnixFileMode(openssl, UnixFileMode.UserRead ||| UnixFileMode.UserExecute)
                        let path = nonNull (Environment.GetEnvironmentVariable "PATH")
                        let code, said = Tools.run [ "PATH", $"{broken}:{path}" ] "sh" [ script ]
                        Expect.notEqual code 0 said
                        Expect.isFalse (File.Exists(at "vmauth.env")) "no empty token"
                        Expect.isFalse (File.Exists(at "postgres-password")) "no empty password")
        ]
