/// The plain manifests of packaging/kustomize: what the charts of packaging/helm make of their default values.
module Agent.Build.KubernetesFiles

open System.IO
open Agent.Build.Helm

/// The namespace of the plain manifests.
[<Literal>]
let Namespace = "ai-dashboard"

/// The folders of packaging/kustomize with the charts that they are made from.
let folders = [ "agent", "ai-dashboard-agent"; "dashboard", "ai-dashboard" ]

/// The release that the plain manifests are.
let releaseOf (chart: Chart) : Release =
    {
        Name = chart.Name
        Namespace = Namespace
        Service = "kustomize"
    }

let private note (chart: string) =
    $"# Written by `dotnet fsi build.fsx -t Docs` from packaging/helm/%s{chart}, with its default values. Changes belong there, or in an overlay.\n"

/// A chart rendered without what it says to those who install it. An error is one sentence.
let manifests (release: Release) (changes: Value) (chart: Chart) : Result<(string * string) list, string> =
    Chart.render release changes chart
    |> Result.map (List.filter (fun (name, _) -> name <> "NOTES.txt"))
    |> Result.map (List.map (fun (name, text) -> name, text.Trim() + "\n"))

/// Every file of packaging/kustomize by its path in the repository, which lies in `root`. An error is one sentence.
let files (root: string) : Result<(string * string) list, string> =
    let one (found: Result<(string * string) list, string>) (folder: string, name: string) =
        let chart = Chart.read (Path.Combine(root, "packaging", "helm", name))

        match found, manifests (releaseOf chart) (Value.Map []) chart with
        | Error message, _
        | _, Error message -> Error message
        | Ok files, Ok rendered ->
            let list =
                [
                    "apiVersion: kustomize.config.k8s.io/v1beta1"
                    "kind: Kustomization"
                    $"namespace: %s{Namespace}"
                    "resources:"
                    for file, _ in rendered do
                        $"  - %s{file}"
                    ""
                ]
                |> String.concat "\n"

            Ok(
                files
                @ [
                    for file, text in ("kustomization.yaml", list) :: rendered ->
                        $"packaging/kustomize/%s{folder}/%s{file}", note name + text
                ]
            )

    folders |> List.fold one (Ok [])
