/// Copies an F# assembly and marks every property accessor in the copy as `specialname`.
///
///     dotnet fsi build/mark-accessors.fsx <input.dll> <output.dll>
///
/// The F# compiler leaves that flag off the getters of a union case's fields. The Native AOT compiler finds a property's
/// attributes by way of its specialname accessors, so without the flag it drops `CompilationMapping`, FSharp.Reflection
/// takes every case for one without fields, and Argu cannot build the command line's cases. Reflection on the
/// ordinary runtime does not look at the flag, which is why only the copy for the AOT compiler is changed.
/// See docs/adr/0002-native-aot-with-argu.md.

open System
open System.IO
open System.Reflection
open System.Reflection.Metadata
open System.Reflection.Metadata.Ecma335
open System.Reflection.PortableExecutable

/// In a row of the MethodDef table, RVA (4 bytes) and ImplFlags (2) stand before Flags (ECMA-335 II.22.26).
let flagsInRow = 6

let accessorsOf (reader: MetadataReader) =
    [
        for property in reader.PropertyDefinitions do
            let accessors = reader.GetPropertyDefinition(property).GetAccessors()

            for accessor in [ accessors.Getter; accessors.Setter ] do
                if not accessor.IsNil then
                    accessor
    ]

let mark (image: byte array) =
    use pe = new PEReader(new MemoryStream(image))
    let reader = pe.GetMetadataReader()

    let table =
        pe.PEHeaders.MetadataStartOffset
        + reader.GetTableMetadataOffset TableIndex.MethodDef

    let rowSize = reader.GetTableRowSize TableIndex.MethodDef
    let marked = Array.copy image

    for accessor in accessorsOf reader do
        let flags = table + rowSize * (MetadataTokens.GetRowNumber accessor - 1) + flagsInRow
        let value = BitConverter.ToUInt16(image, flags) ||| uint16 MethodAttributes.SpecialName
        BitConverter.TryWriteBytes(Span(marked, flags, 2), value) |> ignore

    marked

match List.ofArray fsi.CommandLineArgs with
| [ _; input; output ] ->
    Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath output))
    |> ignore

    File.WriteAllBytes(output, mark (File.ReadAllBytes input))
| _ ->
    eprintfn "usage: dotnet fsi build/mark-accessors.fsx <input.dll> <output.dll>"
    exit 2
