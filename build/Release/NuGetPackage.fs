/// NuGet packages whose bytes depend on their contents alone. `dotnet pack` gives every file the time at which it was packed, and
/// one of them a name by chance.
[<RequireQualifiedAccess>]
module Agent.Build.NuGetPackage

open System
open System.IO
open System.IO.Compression
open System.Text
open System.Text.RegularExpressions

/// Replaces chance by constants: the name of the core properties, and the identifiers of the relationships.
let private settled (name: string) (bytes: byte[]) : string * byte[] =
    let properties = Regex @"core-properties/[0-9a-f]{32}\.psmdcp"

    if name = "_rels/.rels" then
        let mutable number = 0

        let next (_: Match) =
            number <- number + 1
            $"Id=\"R{number}\""

        let text = properties.Replace(Encoding.UTF8.GetString bytes, "core-properties/package.psmdcp")

        name, Encoding.UTF8.GetBytes(Regex.Replace(text, "Id=\"[^\"]*\"", next))
    else
        properties.Replace(name, "core-properties/package.psmdcp"), bytes

/// Writes a package anew: its files in the order of their names, all with this time.
let settle (time: DateTimeOffset) (path: string) : unit =
    let files =
        use archive = ZipFile.OpenRead path

        [
            for entry in archive.Entries do
                use stream = entry.Open()
                use copy = new MemoryStream()
                stream.CopyTo copy
                settled entry.FullName (copy.ToArray())
        ]
        |> List.sortWith (fun (a, _) (b, _) -> String.CompareOrdinal(a, b))

    use archive = new ZipArchive(File.Create path, ZipArchiveMode.Create)

    for name, bytes in files do
        let entry = archive.CreateEntry(name, CompressionLevel.Optimal)
        entry.LastWriteTime <- time.ToUniversalTime()
        use stream = entry.Open()
        stream.Write(bytes, 0, bytes.Length)
