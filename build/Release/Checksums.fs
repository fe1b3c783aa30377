/// SHA256SUMS, in the form that `sha256sum -c` reads.
[<RequireQualifiedAccess>]
module Agent.Build.Checksums

open System
open System.IO
open System.Security.Cryptography

/// The name of the file.
[<Literal>]
let FileName = "SHA256SUMS"

/// A line for each file of a folder, in the order of their names.
let ofDirectory (directory: string) : string =
    DirectoryInfo(directory).GetFiles()
    |> Array.filter (fun file -> file.Name <> FileName)
    |> Array.sortWith (fun a b -> String.CompareOrdinal(a.Name, b.Name))
    |> Array.map (fun file ->
        use content = file.OpenRead()
        $"{Convert.ToHexStringLower(SHA256.HashData content)}  {file.Name}\n")
    |> String.concat ""
