/// Manifests held against the types of Kubernetes' API: a field that no type has, a value of another type, and names that lead nowhere.
module Agent.Repository.Tests.Manifests

open System
open System.Collections.Generic
open System.Text.RegularExpressions
open Agent.Build.Helm
open k8s
open k8s.Models

/// What prometheus-operator's definitions allow, as far as the charts use them. Its types are in no package; the names are those of its API reference,
/// monitoring.coreos.com/v1.
[<RequireQualifiedAccess>]
type private Shape =
    | Word
    | Flag
    | Words
    | Anything of Shape
    | Each of Shape
    | Fields of (string * Shape) list

let private metadata =
    Shape.Fields
        [
            "name", Shape.Word
            "namespace", Shape.Word
            "labels", Shape.Anything Shape.Word
            "annotations", Shape.Anything Shape.Word
        ]

let private selector = Shape.Fields [ "matchLabels", Shape.Anything Shape.Word ]

let private endpoint =
    Shape.Fields
        [
            "port", Shape.Word
            "path", Shape.Word
            "interval", Shape.Word
            "scheme", Shape.Word
            "honorLabels", Shape.Flag
            "tlsConfig", Shape.Fields [ "serverName", Shape.Word ]
            "authorization",
            Shape.Fields
                [
                    "type", Shape.Word
                    "credentials", Shape.Fields [ "name", Shape.Word; "key", Shape.Word ]
                ]
            "relabelings", Shape.Each(Shape.Fields [ "sourceLabels", Shape.Words; "targetLabel", Shape.Word ])
        ]

let private monitor (endpoints: string) =
    Shape.Fields
        [
            "apiVersion", Shape.Word
            "kind", Shape.Word
            "metadata", metadata
            "spec", Shape.Fields [ "selector", selector; endpoints, Shape.Each endpoint ]
        ]

let rec private misfits (path: string) (shape: Shape) (value: Value) : string list =
    match shape, value with
    | Shape.Word, Value.Text _
    | Shape.Flag, Value.Bool _ -> []
    | Shape.Words, Value.List items -> items |> List.collect (misfits path Shape.Word)
    | Shape.Each one, Value.List items -> items |> List.collect (misfits path one)
    | Shape.Anything one, Value.Map entries ->
        entries
        |> List.collect (fun (name, inner) -> misfits $"{path}.{name}" one inner)
    | Shape.Fields fields, Value.Map entries ->
        entries
        |> List.collect (fun (name, inner) ->
            match List.tryFind (fst >> (=) name) fields with
            | Some(_, expected) -> misfits $"{path}.{name}" expected inner
            | None -> [ $"{path} has no field {name}" ])
    | _ -> [ $"{path} is of another type" ]

/// An object of the API, as its kind's type has read it.
type Manifest =
    | DaemonSet of V1DaemonSet
    | StatefulSet of V1StatefulSet
    | Deployment of V1Deployment
    | PodDisruptionBudget of V1PodDisruptionBudget
    | Service of V1Service
    | Ingress of V1Ingress
    | NetworkPolicy of V1NetworkPolicy
    | ServiceAccount of V1ServiceAccount
    | Monitor of kind: string * Value

let rec private find (path: string list) (value: Value) : Value =
    match path, value with
    | [], _ -> value
    | name :: rest, Value.Map entries ->
        entries
        |> List.tryFind (fst >> (=) name)
        |> Option.map (snd >> find rest)
        |> Option.defaultValue Value.Null
    | _ -> Value.Null

let private textAt (path: string list) (value: Value) : string =
    match find path value with
    | Value.Text text -> text
    | _ -> ""

/// The documents of a file's text.
let documents (text: string) : string list =
    Regex.Split(text, @"(?m)^---\s*$")
    |> Array.filter (fun part -> not (Yaml.documents part).IsEmpty)
    |> List.ofArray

/// Each document as its kind's type reads it, with no field left over; else why it cannot be.
let private parsed (document: string) : Result<Manifest, string> =
    let value = Yaml.read document

    let typed (version: string) (make: 'a -> Manifest) =
        let kind = textAt [ "kind" ] value

        match textAt [ "apiVersion" ] value with
        | given when given = version ->
            try
                Ok(make (KubernetesYaml.Deserialize<'a>(document, strict = true)))
            with error ->
                Error $"{kind}: {error.GetBaseException().Message}"
        | other -> Error $"{kind} is of {version}, not of {other}"

    let monitored kind endpoints =
        match textAt [ "apiVersion" ] value, misfits kind (monitor endpoints) value with
        | "monitoring.coreos.com/v1", [] -> Ok(Monitor(kind, value))
        | "monitoring.coreos.com/v1", wrong -> Error(String.concat "; " wrong)
        | other, _ -> Error $"{kind} is not of {other}"

    match textAt [ "kind" ] value with
    | "DaemonSet" -> typed "apps/v1" DaemonSet
    | "StatefulSet" -> typed "apps/v1" StatefulSet
    | "Deployment" -> typed "apps/v1" Deployment
    | "PodDisruptionBudget" -> typed "policy/v1" PodDisruptionBudget
    | "Service" -> typed "v1" Service
    | "ServiceAccount" -> typed "v1" ServiceAccount
    | "Ingress" -> typed "networking.k8s.io/v1" Ingress
    | "NetworkPolicy" -> typed "networking.k8s.io/v1" NetworkPolicy
    | "PodMonitor" -> monitored "PodMonitor" "podMetricsEndpoints"
    | "ServiceMonitor" -> monitored "ServiceMonitor" "endpoints"
    | other -> Error $"the kind {other} is not expected here"

/// What may be missing.
let orEmpty (items: 'a seq | null) : 'a list =
    match items with
    | null -> []
    | items -> List.ofSeq items

let private within (labels: IDictionary<string, string> | null) (wanted: IDictionary<string, string> | null) =
    match labels with
    | null -> false
    | labels ->
        match wanted with
        | null -> false
        | wanted ->
            wanted.Count > 0
            && wanted
               |> Seq.forall (fun pair ->
                   match labels.TryGetValue pair.Key with
                   | true, value -> value = pair.Value
                   | _ -> false)

/// The template of the pods of a set; none for other kinds.
let templateOf (manifest: Manifest) : V1PodTemplateSpec option =
    match manifest with
    | DaemonSet set -> Some set.Spec.Template
    | StatefulSet set -> Some set.Spec.Template
    | Deployment set -> Some set.Spec.Template
    | _ -> None

/// Ports that a container names, or has by number.
let private hasPort (container: V1Container) (port: string) =
    orEmpty container.Ports
    |> List.exists (fun known -> known.Name = port || string known.ContainerPort = port)

let private probes (container: V1Container) =
    [
        "startupProbe", container.StartupProbe
        "livenessProbe", container.LivenessProbe
        "readinessProbe", container.ReadinessProbe
    ]
    |> List.filter (fun (_, probe) -> not (isNull probe))

let private containerProblems (volumes: Set<string>) (container: V1Container) : string list =
    [
        for name, probe in probes container do
            match probe.HttpGet with
            | null when isNull probe.Exec || (orEmpty probe.Exec.Command).IsEmpty -> $"{container.Name}: {name} asks for nothing"
            | null -> ()
            | get when not (hasPort container (string get.Port)) ->
                $"{container.Name}: {name} asks at port {get.Port}, which the container has not"
            | _ -> ()

        for mount in orEmpty container.VolumeMounts do
            if not (volumes.Contains mount.Name) then
                $"{container.Name}: there is no volume {mount.Name}"

            if isNull mount.MountPath || not (mount.MountPath.StartsWith '/') then
                $"{container.Name}: the volume {mount.Name} is mounted nowhere"

        for name, paths in orEmpty container.VolumeMounts |> List.countBy _.MountPath do
            if paths > 1 then
                $"{container.Name}: {name} is mounted {paths} times"

        if String.IsNullOrWhiteSpace container.Image then
            $"{container.Name} has no image"

        for variable in orEmpty container.Env do
            if isNull variable.Value && isNull variable.ValueFrom then
                $"{container.Name}: {variable.Name} has no value"
    ]

let private podProblems (claims: string list) (template: V1PodTemplateSpec) : string list =
    let declared = orEmpty template.Spec.Volumes |> List.map _.Name
    let volumes = set (declared @ claims)

    let mounted =
        orEmpty template.Spec.Containers
        |> List.collect (fun container -> orEmpty container.VolumeMounts |> List.map _.Name)
        |> set

    [
        yield! orEmpty template.Spec.Containers |> List.collect (containerProblems volumes)

        for volume in volumes - mounted do
            $"nothing mounts the volume {volume}"

        if (orEmpty template.Spec.Containers).IsEmpty then
            "there is no container"
    ]

let private portNames (template: V1PodTemplateSpec) : Set<string> =
    orEmpty template.Spec.Containers
    |> List.collect (fun container -> orEmpty container.Ports |> List.map _.Name)
    |> set

let private labelsOf (value: Value) : IDictionary<string, string> =
    match value with
    | Value.Map entries ->
        dict
            [
                for name, inner in entries do
                    match inner with
                    | Value.Text text -> name, text
                    | _ -> ()
            ]
    | _ -> dict []

/// What is wrong with one object beside the others, whose pods are those of the template.
let private objectProblems (all: Manifest list) (template: V1PodTemplateSpec) (manifest: Manifest) : string list =
    let labels = template.Metadata.Labels
    let ports = portNames template

    let services =
        all
        |> List.choose (fun one ->
            match one with
            | Service service -> Some service
            | _ -> None)

    [
        match manifest with
        | DaemonSet set ->
            yield! podProblems [] template

            if not (within labels set.Spec.Selector.MatchLabels) then
                "the daemon set does not select its own pods"
        | StatefulSet set ->
            yield! podProblems (orEmpty set.Spec.VolumeClaimTemplates |> List.map _.Metadata.Name) template

            if not (within labels set.Spec.Selector.MatchLabels) then
                "the stateful set does not select its own pods"

            if
                services
                |> List.forall (fun service -> service.Metadata.Name <> set.Spec.ServiceName)
            then
                $"there is no service {set.Spec.ServiceName}"
        | Deployment set ->
            yield! podProblems [] template

            if not (within labels set.Spec.Selector.MatchLabels) then
                "the deployment does not select its own pods"
        | PodDisruptionBudget budget ->
            if not (within labels budget.Spec.Selector.MatchLabels) then
                "the disruption budget selects no pod"
        | Service service ->
            if not (within labels service.Spec.Selector) then
                "the service selects no pod"

            for port in orEmpty service.Spec.Ports do
                if not (ports.Contains(string port.TargetPort)) then
                    $"the service leads to port {port.TargetPort}, which no container has"
        | NetworkPolicy policy ->
            if not (within labels policy.Spec.PodSelector.MatchLabels) then
                "the network policy selects no pod"

            for rule in orEmpty policy.Spec.Ingress do
                for port in orEmpty rule.Ports do
                    if not (ports.Contains(string port.Port)) then
                        $"the network policy names port {port.Port}, which no container has"
        | Ingress ingress ->
            for rule in orEmpty ingress.Spec.Rules do
                for path in orEmpty rule.Http.Paths do
                    let target = path.Backend.Service

                    if
                        services
                        |> List.forall (fun service ->
                            service.Metadata.Name <> target.Name
                            || orEmpty service.Spec.Ports
                               |> List.forall (fun port -> port.Name <> target.Port.Name))
                    then
                        $"the ingress leads to {target.Name}:{target.Port.Name}, which is not there"
        | Monitor(kind, value) ->
            let wanted = labelsOf (find [ "spec"; "selector"; "matchLabels" ] value)

            let offered =
                if kind = "PodMonitor" then
                    if within labels wanted then [ ports ] else []
                else
                    services
                    |> List.filter (fun service -> within service.Metadata.Labels wanted)
                    |> List.map (fun service -> orEmpty service.Spec.Ports |> List.map _.Name |> set)

            if offered.IsEmpty then
                $"the {kind} selects nothing"

            for name in [ "podMetricsEndpoints"; "endpoints" ] do
                match find [ "spec"; name ] value with
                | Value.List endpoints ->
                    for endpoint in endpoints do
                        let port = textAt [ "port" ] endpoint

                        if offered |> List.forall (fun ports -> not (ports.Contains port)) then
                            $"the {kind} names port {port}, which is not there"
                | _ -> ()
        | ServiceAccount account ->
            if template.Spec.ServiceAccountName <> account.Metadata.Name then
                $"nobody uses the service account {account.Metadata.Name}"
    ]

/// The objects of several files, and everything that is wrong with them; empty when all is well.
let check (texts: string list) : Manifest list * string list =
    let results = texts |> List.collect documents |> List.map parsed

    let manifests =
        results
        |> List.choose (fun result ->
            match result with
            | Ok manifest -> Some manifest
            | Error _ -> None)

    let wrong =
        results
        |> List.choose (fun result ->
            match result with
            | Error message -> Some message
            | Ok _ -> None)

    match manifests |> List.choose templateOf with
    | [ template ] -> manifests, wrong @ List.collect (objectProblems manifests template) manifests
    | others -> manifests, wrong @ [ $"{others.Length} sets of pods, not one" ]
