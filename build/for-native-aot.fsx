/// Copies F# assemblies and changes in the copies what does not suit the Native AOT compiler.
///
///     dotnet fsi build/for-native-aot.fsx <directory of the copies> <assembly.dll> ...
///
/// Only that compiler reads the copies; tests and embedders have the assemblies as they were. See
/// docs/adr/0002-native-aot-with-argu.md.
///
/// In our own assembly each property accessor becomes `specialname`. The F# compiler leaves that flag off the getters of a
/// union case's fields. The Native AOT compiler finds a property's attributes by way of its specialname accessors, so
/// without the flag it drops `CompilationMapping`, FSharp.Reflection takes every case for one without fields, and Argu
/// cannot build the command line's cases. Reflection on the ordinary runtime does not look at the flag.
///
/// In FSharp.Core, readers and constructors of unions and tuples that go by LINQ expressions are redirected to those
/// beside them that go by reflection. Where no code can be generated, expressions are interpreted, which takes longer, and
/// the interpreter is half a megabyte.

open System
open System.IO
open System.Reflection
open System.Reflection.Metadata
open System.Reflection.Metadata.Ecma335
open System.Reflection.PortableExecutable

// ---- Accessors -------------------------------------------------------------------------------------------------------

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

let markAccessors (pe: PEReader) (reader: MetadataReader) (image: byte array) =
    let table =
        pe.PEHeaders.MetadataStartOffset
        + reader.GetTableMetadataOffset TableIndex.MethodDef

    let rowSize = reader.GetTableRowSize TableIndex.MethodDef

    for accessor in accessorsOf reader do
        let flags = table + rowSize * (MetadataTokens.GetRowNumber accessor - 1) + flagsInRow
        let value = BitConverter.ToUInt16(image, flags) ||| uint16 MethodAttributes.SpecialName
        BitConverter.TryWriteBytes(Span(image, flags, 2), value) |> ignore

// ---- Redirections ----------------------------------------------------------------------------------------------------

/// What is called, and what does the same with the same arguments by reflection.
let redirections =
    let values = "Microsoft.FSharp.Reflection.FSharpValue"
    let inner = "Microsoft.FSharp.Reflection.Impl"

    [
        (inner, "getUnionCaseConstructorCompiled"), (inner, "getUnionCaseConstructor")
        (inner, "getUnionCaseRecordReaderCompiled"), (inner, "getUnionCaseRecordReader")
        (inner, "getUnionTagReaderCompiled"), (inner, "getUnionTagReader")
        (values, "PreComputeTupleConstructor"), (inner, "getTupleConstructor")
    ]

let methodNamed (reader: MetadataReader) (typeName: string, methodName: string) =
    let methods =
        [
            for handle in reader.TypeDefinitions do
                let definition = reader.GetTypeDefinition handle
                let space = reader.GetString definition.Namespace

                if $"%s{space}.%s{reader.GetString definition.Name}" = typeName then
                    for method in definition.GetMethods() do
                        if reader.GetString(reader.GetMethodDefinition(method).Name) = methodName then
                            method
        ]

    match methods with
    | [ method ] -> method
    | _ -> failwith $"FSharp.Core has %d{methods.Length} methods %s{typeName}.%s{methodName}, not one."

let argumentsOf (reader: MetadataReader) (method: MethodDefinition) =
    let mutable signature = reader.GetBlobReader method.Signature
    let header = signature.ReadSignatureHeader()

    if header.IsInstance then
        failwith $"%s{reader.GetString method.Name} is not static."

    if header.IsGeneric then
        signature.ReadCompressedInteger() |> ignore

    signature.ReadCompressedInteger()

/// A body of less than 64 bytes without local variables begins with one byte (ECMA-335 II.25.4.2).
let tinyBody (code: byte list) =
    byte (code.Length <<< 2 ||| 0x2) :: code

let redirect (pe: PEReader) (reader: MetadataReader) (image: byte array) (from, target) =
    let caller = reader.GetMethodDefinition(methodNamed reader from)
    let callee = methodNamed reader target
    let count = argumentsOf reader caller

    if argumentsOf reader (reader.GetMethodDefinition callee) <> count then
        failwith $"%A{from} and %A{target} take different arguments."

    let body =
        tinyBody
            [
                for argument in 0 .. count - 1 do
                    byte (0x02 + argument) // ldarg.0 to ldarg.3

                0x28uy // call
                yield! BitConverter.GetBytes(MetadataTokens.GetToken(MethodDefinitionHandle.op_Implicit callee: EntityHandle))
                0x2Auy // ret
            ]

    let address = caller.RelativeVirtualAddress
    let section = pe.PEHeaders.SectionHeaders[pe.PEHeaders.GetContainingSectionIndex address]

    if pe.GetMethodBody(address).Size < body.Length then
        failwith $"The body of %A{from} has no room for a call."

    body
    |> List.iteri (fun i value -> image[address - section.VirtualAddress + section.PointerToRawData + i] <- value)

// ---- The copy ------------------------------------------------------------------------------------------------------------

let adapted (image: byte array) =
    use pe = new PEReader(new MemoryStream(image))
    let reader = pe.GetMetadataReader()
    let copy = Array.copy image

    if reader.GetString(reader.GetAssemblyDefinition().Name) = "FSharp.Core" then
        redirections |> List.iter (redirect pe reader copy)
    else
        markAccessors pe reader copy

    copy

match List.ofArray fsi.CommandLineArgs with
| _ :: directory :: assemblies when not assemblies.IsEmpty ->
    let target = Directory.CreateDirectory directory

    for path in assemblies do
        File.WriteAllBytes(Path.Combine(target.FullName, Path.GetFileName path), adapted (File.ReadAllBytes path))
| _ ->
    eprintfn "usage: dotnet fsi build/for-native-aot.fsx <directory of the copies> <assembly.dll> ..."
    exit 2
