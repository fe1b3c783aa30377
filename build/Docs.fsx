/// What the target Docs does: writes the README's table of options, the manual pages, the completions of the shells, the tables of
/// keys in docs/ingest-api.md, the JSON schema of a request body, the dashboards for Grafana, and the plain manifests for Kubernetes.

// With the packages that the command line needs beside it.
#r "../artifacts/bin/Agent.Host/debug/Agent.Core.dll"
#r "../artifacts/bin/Agent.Host/debug/Agent.Outbound.dll"
#r "../artifacts/bin/Agent.Host/debug/Agent.Sender.dll"
#r "../artifacts/bin/Agent.Dashboard/debug/Agent.Receiver.dll"
#r "../artifacts/bin/Agent.Repository.Tests/debug/YamlDotNet.dll"
#load "Pages.fs"
#load "ShellText.fs"
#load "OptionDocs.fs"
#load "DashboardDocs.fs"
#load "KeyDocs.fs"
#load "AlertDocs.fs"
#load "GrafanaBoards.fs"
#load "Helm/Yaml.fs"
#load "Helm/GoTemplate.fs"
#load "Helm/Chart.fs"
#load "KubernetesFiles.fs"

open System.IO
open Agent.Build
open Agent.Core

let root = Path.GetDirectoryName __SOURCE_DIRECTORY__

let write (name: string) (text: string) =
    let path = Path.Combine(root, name)
    Directory.CreateDirectory(Path.GetDirectoryName path) |> ignore

    if not (File.Exists path && File.ReadAllText path = text) then
        File.WriteAllText(path, text)
        printfn $"%s{name}"

let read (name: string) =
    File.ReadAllText(Path.Combine(root, name))

write "README.md" (OptionDocs.withTable (read "README.md"))
write "docs/ingest-api.md" (Pages.withPart KeyDocs.pageMarks (KeyDocs.tables Wire.body) (read "docs/ingest-api.md"))
write "docs/alerts.md" (Pages.withPart AlertDocs.marks AlertDocs.table (read "docs/alerts.md"))
write "docs/sample.schema.json" (KeyDocs.schema Wire.body)

let manifests =
    match KubernetesFiles.files root with
    | Ok files -> files
    | Error message -> failwith message

for name, text in OptionDocs.files @ DashboardDocs.files @ GrafanaBoards.files @ manifests do
    write name text
