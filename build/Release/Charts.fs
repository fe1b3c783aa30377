/// The charts and plain manifests of a release: packaging/helm, packaging/kustomize, packaging/compose and packaging/scale with the release's version in them.
[<RequireQualifiedAccess>]
module Agent.Build.Charts

open System.IO
open System.Text.RegularExpressions

/// What stands for the version in the files as they lie in the repository, and nothing else there: no address has it.
let private placeholder = Regex(@"(?<![\d.])0\.0\.0(?![\d.])", RegexOptions.CultureInvariant)

/// The version as charts and images can have it: no tag of an image has a plus sign, so what stands behind it goes.
let versionOf (version: string) : string = Seq.head (version.Split '+')

/// The text of a file with the version in place of the placeholder.
let stamp (version: string) (text: string) : string =
    placeholder.Replace(text, versionOf version)

/// Copies a folder with all that is in it, stamped.
let rec copy (version: string) (source: string) (target: string) : unit =
    Directory.CreateDirectory target |> ignore

    let folder = DirectoryInfo source

    for file in folder.GetFiles() do
        File.WriteAllText(Path.Combine(target, file.Name), stamp version (File.ReadAllText file.FullName))

    for inner in folder.GetDirectories() do
        copy version inner.FullName (Path.Combine(target, inner.Name))

/// The archives by the folders that they are packed from, which are written below `directory`; the source lies in `root`. Helm wants the name of the chart
/// as the name of the folder.
let write (root: string) (directory: string) (version: string) : (string * string) list =
    let one (source: string) (name: string) (archive: string) =
        let target = Path.Combine(directory, name)
        copy version (Path.Combine(root, "packaging", source)) target
        target, archive

    [
        for chart in [ "ai-dashboard-agent"; "ai-dashboard" ] do
            one (Path.Combine("helm", chart)) chart $"%s{chart}-%s{versionOf version}.tgz"

        for kind in [ "kustomize"; "compose" ] do
            let name = $"ai-dashboard-%s{kind}-%s{versionOf version}"
            one kind name $"%s{name}.tar.gz"

        // Its dashboards are those of the plain manifests, which it finds beside it.
        let name = $"ai-dashboard-scale-%s{versionOf version}"

        for kind in [ "kustomize"; "scale" ] do
            copy version (Path.Combine(root, "packaging", kind)) (Path.Combine(directory, name, kind))

        Path.Combine(directory, name), $"%s{name}.tar.gz"
    ]
