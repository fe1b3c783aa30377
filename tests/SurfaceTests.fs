/// What programs that embed the core can call, and that all of it is documented.
module Agent.Tests.SurfaceTests

open System
open System.IO
open System.Reflection
open System.Runtime.CompilerServices
open System.Xml.Linq
open Agent.Core
open Expecto
open Microsoft.FSharp.Reflection
open PublicApiGenerator

let private core = typeof<Sample>.Assembly

let private baselineFile = Path.Combine(Fixtures.root, "tests", "surface", "Agent.Core.txt")

/// The public surface as C# declarations; what the F# compiler adds to each type by itself is left out.
let private surface: Lazy<string> =
    lazy
        (let options =
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

         core.GeneratePublicApi(options).Split('\n')
         |> Array.map _.TrimEnd()
         |> Array.filter (fun line -> line.Trim() <> "[System.Serializable]")
         |> String.concat "\n"
         |> fun text -> text + "\n")

let private visible =
    BindingFlags.Public
    ||| BindingFlags.Instance
    ||| BindingFlags.Static
    ||| BindingFlags.DeclaredOnly

let private isMadeByCompiler (item: MemberInfo) =
    item.IsDefined(typeof<CompilerGeneratedAttribute>, false)
    || item.IsDefined(typeof<System.Diagnostics.DebuggerNonUserCodeAttribute>, false)

/// `T:`, `F:`, `P:` and `M:` names without parameters, as far as the documentation has them.
let private documented: Lazy<Set<string>> =
    lazy
        (let file = Path.ChangeExtension(core.Location, ".xml")

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
let private items: Lazy<string list> =
    lazy
        [
            for t in core.GetExportedTypes() do
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

                    for m in t.GetMethods visible do
                        let isOverride = m.GetBaseDefinition().DeclaringType <> m.DeclaringType

                        if not (m.IsSpecialName || isMadeByCompiler m || isOverride) then
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

[<Tests>]
let tests =
    testList
        "Public surface"
        [
            testCase "the core's public surface is the recorded one"
            <| fun () ->
                if not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "AGENT_RECORD_SURFACE")) then
                    File.WriteAllText(baselineFile, surface.Value)

                let recorded = File.ReadAllLines baselineFile |> set
                let actual = surface.Value.Split '\n' |> set
                let added = actual - recorded |> Set.toList
                let gone = recorded - actual |> Set.toList

                let change =
                    [ for line in added -> "+ " + line.Trim() ]
                    @ [ for line in gone -> "- " + line.Trim() ]
                    |> String.concat "\n"

                Expect.equal
                    (File.ReadAllText baselineFile)
                    surface.Value
                    $"the surface changed; if it was meant to, run this test with AGENT_RECORD_SURFACE=1 and say so in the changelog\n{change}"

            testCase "every public item is documented"
            <| fun () ->
                Expect.isGreaterThan items.Value.Length 500 "items"
                let found = documented.Value
                // Values of a module are P:, and functions that compile to another name are either.
                let isDocumented (item: string) =
                    found.Contains item
                    || found.Contains("P:" + item.Substring 2)
                    || found.Contains("F:" + item.Substring 2)

                Expect.equal (items.Value |> List.filter (isDocumented >> not)) [] "items without a doc comment"
        ]
