/// What each pure assembly offers: to programs that embed the core, and to the shells around the others. All of it is documented.
module Agent.Repository.Tests.SurfaceTests

open System
open System.IO
open System.Reflection
open System.Runtime.CompilerServices
open System.Xml.Linq
open Agent.Core
open Agent.TestSupport
open Expecto
open Microsoft.FSharp.Reflection
open PublicApiGenerator

let private baselineOf (assembly: Assembly) =
    Path.Combine(Fixtures.root, "tests", "surface", $"{assembly.GetName().Name}.txt")

/// The public surface as C# declarations; what the F# compiler adds to each type by itself is left out.
let private surfaceOf (assembly: Assembly) : string =
    let options =
        ApiGeneratorOptions(
            IncludeAssemblyAttributes = false,
            ExcludeAttributes =
                [|
                    "Microsoft.FSharp.Core.CompilationMappingAttribute"
                    "Microsoft.FSharp.Core.CompilationSourceNameAttribute"
                    "Microsoft.FSharp.Core.CompilationArgumentCountsAttribute"
                    "Microsoft.FSharp.Core.RequireQualifiedAccessAttribute"
                    "Microsoft.FSharp.Core.CompiledNameAttribute"
                    "System.Diagnostics.CodeAnalysis.DynamicDependencyAttribute"
                    "System.Diagnostics.DebuggerDisplayAttribute"
                |]
        )

    assembly.GeneratePublicApi(options).Split('\n')
    |> Array.map _.TrimEnd()
    |> Array.filter (fun line -> line.Trim() <> "[System.Serializable]")
    |> String.concat "\n"
    |> fun text -> text + "\n"

let private visible =
    BindingFlags.Public
    ||| BindingFlags.Instance
    ||| BindingFlags.Static
    ||| BindingFlags.DeclaredOnly

let private isMadeByCompiler (item: MemberInfo) =
    item.IsDefined(typeof<CompilerGeneratedAttribute>, false)
    || item.IsDefined(typeof<System.Diagnostics.DebuggerNonUserCodeAttribute>, false)

/// `T:`, `F:`, `P:` and `M:` names without parameters, as far as the documentation has them.
let private documentedIn (assembly: Assembly) : Set<string> =
    (let file = Path.ChangeExtension(assembly.Location, ".xml")

     XDocument.Load(nonNull file).Descendants(XName.Get "member")
     |> Seq.filter (fun entry -> entry.Value.Trim() <> "")
     |> Seq.map (fun entry ->
         entry.Attribute(XName.Get "name")
         |> Option.ofObj
         |> Option.map _.Value
         |> Option.defaultValue "")
     |> Seq.map (fun name -> name.Split('(') |> Array.head |> fun name -> (name.Split "``")[0])
     |> set)

let private nameOf (t: Type) =
    (t.FullName |> Option.ofObj |> Option.defaultValue t.Name).Replace('+', '.')

/// The public items that a person wrote, by the names that documentation gives them.
let private itemsOf (assembly: Assembly) : string list =
    [
        for t in assembly.GetExportedTypes() do
            let isCase =
                t.DeclaringType
                |> Option.ofObj
                |> Option.exists (fun outer -> FSharpType.IsUnion(outer, true))

            if not (isCase || isMadeByCompiler t) then
                $"T:{nameOf t}"

                if FSharpType.IsUnion t then
                    for case in FSharpType.GetUnionCases t do
                        $"T:{nameOf t}.{case.Name}"
                elif FSharpType.IsRecord t then
                    for field in FSharpType.GetRecordFields t do
                        $"F:{nameOf t}.{field.Name}"

                // What a delegate has is the runtime's.
                let isDelegate = typeof<Delegate>.IsAssignableFrom t

                for m in t.GetMethods visible do
                    let isOverride = m.GetBaseDefinition().DeclaringType <> m.DeclaringType

                    if not (m.IsSpecialName || isMadeByCompiler m || isOverride || isDelegate) then
                        $"M:{nameOf t}.{m.Name}"

                for p in t.GetProperties visible do
                    let isFieldOrTest = p.IsDefined(typeof<CompilationMappingAttribute>, false) || isMadeByCompiler p

                    let isMadeGetter =
                        match p.GetMethod with
                        | null -> true
                        | getter -> isMadeByCompiler getter

                    if not (isFieldOrTest || isMadeGetter) then
                        $"P:{nameOf t}.{p.Name}"
    ]

let private assemblies =
    [
        typeof<Sample>.Assembly, 400
        typeof<Agent.Outbound.RemoteState>.Assembly, 60
        typeof<Agent.Sender.Settings>.Assembly, 250
        typeof<Agent.Receiver.Registration>.Assembly, 150
    ]

[<Tests>]
let tests =
    testList
        "Public surface"
        [
            for assembly, least in assemblies do
                let name = assembly.GetName().Name

                testCase $"the public surface of {name} is the recorded one"
                <| fun () ->
                    let baseline = baselineOf assembly
                    let surface = surfaceOf assembly

                    if not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "AGENT_RECORD_SURFACE")) then
                        File.WriteAllText(baseline, surface)

                    let recorded = File.ReadAllLines baseline |> set
                    let actual = surface.Split '\n' |> set
                    let added = actual - recorded |> Set.toList
                    let gone = recorded - actual |> Set.toList

                    let change =
                        [ for line in added -> "+ " + line.Trim() ]
                        @ [ for line in gone -> "- " + line.Trim() ]
                        |> String.concat "\n"

                    Expect.equal
                        (File.ReadAllText baseline)
                        surface
                        $"the surface changed; if it was meant to, run this test with AGENT_RECORD_SURFACE=1 and say so in the changelog\n{change}"

                testCase $"every public item of {name} is documented"
                <| fun () ->
                    let items = itemsOf assembly
                    Expect.isGreaterThan items.Length least "items"
                    let found = documentedIn assembly
                    // Values of a module are P:, and functions that compile to another name are either.
                    let isDocumented (item: string) =
                        found.Contains item
                        || found.Contains("P:" + item.Substring 2)
                        || found.Contains("F:" + item.Substring 2)

                    Expect.equal (items |> List.filter (isDocumented >> not)) [] "items without a doc comment"
        ]
