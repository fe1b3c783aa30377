/// What the target Docs does: writes the README's table of options, the manual page and the completions of the shells.

// With the packages that the command line needs beside it.
#r "../artifacts/bin/Agent.Host/debug/Agent.Core.dll"
#r "../artifacts/bin/Agent.Host/debug/Agent.Sender.dll"
#r "../artifacts/bin/Agent.Dashboard/debug/Agent.Receiver.dll"
#load "OptionDocs.fs"

open System.IO
open Agent.Build

let root = Path.GetDirectoryName __SOURCE_DIRECTORY__

let write (name: string) (text: string) =
    let path = Path.Combine(root, name)
    Directory.CreateDirectory(Path.GetDirectoryName path) |> ignore

    if not (File.Exists path && File.ReadAllText path = text) then
        File.WriteAllText(path, text)
        printfn $"%s{name}"

write "README.md" (OptionDocs.withTable (File.ReadAllText(Path.Combine(root, "README.md"))))

for name, text in OptionDocs.files do
    write name text
