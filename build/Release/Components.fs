/// What of others is inside a program: the packages of its publish graph, the .NET runtime, and what these bring along without
/// NuGet's knowing. Licences, copyright lines and versions are read from the packages themselves.
module Agent.Build.Components

open System
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open System.Xml.Linq

/// A thing by others that is inside a program.
type Component =
    {
        Name: string
        /// None where nothing states it.
        Version: string option
        /// An SPDX expression, such as `MIT`.
        Licence: string
        /// Its copyright lines.
        Copyright: string list
        /// Where it comes from; empty where nothing says so.
        Source: string
        /// Its package URL, such as `pkg:nuget/Argu@6.1.1`.
        Purl: string
        /// The package that it lies in, where it is none itself.
        Inside: string option
        /// The text of the licence that the package has with it.
        LicenceText: string option
        /// What the package itself has with it about those whose work it contains.
        Notices: string option
    }

/// A package of a publish graph.
type Package =
    {
        Id: string
        Version: string
        /// Where NuGet unpacked it.
        Directory: string
    }

/// What is inside a package without NuGet's knowing it.
type private Bundled =
    {
        Package: string
        Name: string
        Licence: string
        Copyright: string
        Source: string
        /// The package URL without the version.
        Purl: string
        /// A file of the package, and the pattern by which it states the version.
        Version: (string * string) option
        Notices: string option
    }

let private echarts = "staticwebassets/js/vizor-echarts-bundle-min.js"

let private bundled: Bundled list =
    let inCharts name licence copyright source purl version =
        {
            Package = "Vizor.ECharts"
            Name = name
            Licence = licence
            Copyright = copyright
            Source = source
            Purl = purl
            Version = version |> Option.map (fun pattern -> echarts, pattern)
            Notices = None
        }

    [
        { inCharts
              "Apache ECharts"
              "Apache-2.0"
              "Copyright 2017-2025 The Apache Software Foundation"
              "https://echarts.apache.org"
              "pkg:npm/echarts"
              (Some "\\.version=\"(\\d+\\.\\d+\\.\\d+)\"") with
            // The NOTICE of ECharts, which the Apache License wants to be passed on.
            Notices =
                Some
                    "Apache ECharts\nCopyright 2017-2025 The Apache Software Foundation\n\nThis product includes software developed at\nThe Apache Software Foundation (https://www.apache.org/).\n"
        }
        inCharts
            "zrender"
            "BSD-3-Clause"
            "Copyright (c) 2013, 2017, Baidu Inc."
            "https://github.com/ecomfe/zrender"
            "pkg:npm/zrender"
            (Some "zrender:\"(\\d+\\.\\d+\\.\\d+)\"")
        // Its package.json says BSD, and no more.
        inCharts "echarts-stat" "BSD-3-Clause" "Deqing Li" "https://github.com/ecomfe/echarts-stat" "pkg:npm/echarts-stat" None
        inCharts
            "d3 (parts, in Apache ECharts)"
            "BSD-3-Clause"
            "Copyright 2010-2016 Mike Bostock"
            "https://github.com/d3/d3"
            "pkg:npm/d3"
            None
        inCharts
            "tslib (parts, in Apache ECharts)"
            "0BSD"
            "Copyright (c) Microsoft Corporation."
            "https://github.com/microsoft/tslib"
            "pkg:npm/tslib"
            None
        {
            Package = "SQLitePCLRaw.lib.e_sqlite3"
            Name = "SQLite"
            Licence = "blessing"
            Copyright = "In the public domain, to which its authors have dedicated it"
            Source = "https://www.sqlite.org"
            Purl = "pkg:generic/sqlite"
            Version = Some("runtimes/linux-x64/native/libe_sqlite3.so", "(?<![ -~])(3\\.\\d{1,3}\\.\\d{1,3})(?=\\x00)")
            Notices = None
        }
    ]

// ---- The publish graph -----------------------------------------------------------------------------------------------

let private text (element: JsonElement) : string =
    match element.GetString() with
    | null -> ""
    | text -> text

let private members (name: string) (element: JsonElement) : (string * JsonElement) list =
    match element.TryGetProperty name with
    | true, found when found.ValueKind = JsonValueKind.Object ->
        [ for property in found.EnumerateObject() -> property.Name, property.Value ]
    | _ -> []

/// Whether something of a package gets into the program; `_._` is NuGet's sign for "the framework has it".
let private runs (entry: JsonElement) : bool =
    [ "runtime"; "native"; "runtimeTargets" ]
    |> List.exists (fun kind ->
        members kind entry
        |> List.exists (fun (path, _) -> not (path.EndsWith("/_._", StringComparison.Ordinal))))

/// The packages that get into a program, sorted by name, from the text of its `project.assets.json`, which NuGet writes when it
/// restores. Runtime packs are among them once it was restored to be published for one platform.
let graph (assets: string) : Package list =
    use document = JsonDocument.Parse assets
    let root = document.RootElement

    let folder =
        members "packageFolders" root
        |> List.tryHead
        |> Option.map fst
        |> Option.defaultValue ""

    let package (id: string) (version: string) =
        {
            Id = id
            Version = version
            Directory = Path.Combine(folder, id.ToLowerInvariant(), version.ToLowerInvariant())
        }

    let targets = members "targets" root

    let target =
        targets
        |> List.tryFind (fun (name, _) -> name.Contains '/')
        |> Option.orElse (List.tryHead targets)

    let packages =
        match target with
        | None -> []
        | Some(_, target) ->
            [
                for library in target.EnumerateObject() do
                    match library.Name.Split '/' with
                    | [| id; version |] when text (library.Value.GetProperty "type") = "package" && runs library.Value -> package id version
                    | _ -> ()
            ]

    let frameworks = root.GetProperty "project" |> members "frameworks" |> List.map snd

    // NuGet fetches the runtime packs of all frameworks that there are; those that the program refers to are inside.
    let packs =
        [
            for framework in frameworks do
                let used =
                    members "frameworkReferences" framework
                    |> List.map (fun (name, _) -> $"{name}.Runtime.")

                match framework.TryGetProperty "downloadDependencies" with
                | true, downloads ->
                    for download in downloads.EnumerateArray() do
                        let id = text (download.GetProperty "name")
                        let version = (text (download.GetProperty "version")).Trim('[', ']').Split(',')[0]

                        if
                            used
                            |> List.exists (fun start -> id.StartsWith(start, StringComparison.Ordinal))
                        then
                            package id version
                | _ -> ()
        ]

    // A native executable has the runtime of its own kind in it, and not the one for the just-in-time compiler.
    let isNative (pack: Package) = pack.Id.Contains ".NativeAOT."

    let packs =
        if List.exists isNative packs then
            List.filter isNative packs
        else
            packs

    packages @ packs
    |> List.distinct
    |> List.sortBy (fun package -> package.Id.ToLowerInvariant())

// ---- One package -----------------------------------------------------------------------------------------------------

/// A text with the line ends of this house and without a byte order mark, so that equal texts are equal.
let private plain (text: string) : string =
    text.TrimStart('\uFEFF').Replace("\r\n", "\n").TrimEnd() + "\n"

let private fileLike (package: Package) (pattern: string) : string option =
    if Directory.Exists package.Directory then
        Directory.GetFiles package.Directory
        |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
        |> Array.tryFind (fun path -> Regex.IsMatch(Path.GetRelativePath(package.Directory, path), pattern, RegexOptions.IgnoreCase))
        |> Option.map (File.ReadAllText >> plain)
    else
        None

/// The SPDX name of a licence by its text.
let licenceOfText (text: string) : string option =
    let words = Regex.Replace(text, @"\s+", " ")

    let says (part: string) =
        words.Contains(part, StringComparison.OrdinalIgnoreCase)

    if says "Permission is hereby granted, free of charge" then
        Some "MIT"
    elif says "Apache License" && says "Version 2.0" then
        Some "Apache-2.0"
    elif
        says "Redistribution and use in source and binary forms"
        && says "Neither the name"
    then
        Some "BSD-3-Clause"
    else
        None

/// The identifiers in an SPDX expression.
let identifiers (expression: string) : string list =
    Regex.Split(expression, @"[\s()]+")
    |> Array.filter (fun word -> word <> "" && not (List.contains word [ "AND"; "OR"; "WITH" ]))
    |> List.ofArray

/// Copyright lines: those of the licence's text where there are some, else that of the package's own description, with the
/// author's name where it is a year alone, and the word where it is a name alone.
let private copyrightOf (licenceText: string option) (stated: string) (authors: string) : string list =
    let inText =
        licenceText
        |> Option.map (fun text ->
            [
                for hit in Regex.Matches(text, @"^\s*(Copyright [^\n]+?)\s*$", RegexOptions.Multiline) -> hit.Groups[1].Value
            ])
        |> Option.defaultValue []
        // The Apache License has an example of a line, and speaks of copyright at the beginning of lines.
        |> List.filter (fun line -> Regex.IsMatch(line, @"^Copyright (\(c\)|©|\d{4})", RegexOptions.IgnoreCase))

    match inText, stated with
    | _ :: _, _ -> List.distinct inText
    | [], "" -> [ $"Copyright {authors}" ]
    | [], years when Regex.IsMatch(years, @"^[\d\s,-]+$") -> [ $"Copyright {years} {authors}" ]
    | [], holder when not (Regex.IsMatch(holder, "copyright|©", RegexOptions.IgnoreCase)) -> [ $"Copyright {holder}" ]
    | [], line -> [ line ]

/// A package as what it says of itself has it; an error where it states no licence that is known here.
let ofPackage (package: Package) : Result<Component, string> =
    let name = $"{package.Id} {package.Version}"
    let nuspec = Path.Combine(package.Directory, package.Id.ToLowerInvariant() + ".nuspec")

    if not (File.Exists nuspec) then
        Error $"{name}: there is no {nuspec}."
    else
        let description = XDocument.Load nuspec

        let element (name: string) =
            description.Descendants()
            |> Seq.tryFind (fun element -> element.Name.LocalName = name)

        let value name =
            element name |> Option.map _.Value.Trim() |> Option.defaultValue ""

        let attribute (name: string) (element: XElement option) =
            element
            |> Option.bind (fun element -> element.Attribute(XName.Get name) |> Option.ofObj)
            |> Option.map _.Value
            |> Option.defaultValue ""

        let ofFile pattern =
            fileLike package pattern
            |> Option.bind (fun text -> licenceOfText text |> Option.map (fun licence -> licence, Some text))

        let licence =
            match attribute "type" (element "license"), value "license" with
            | "expression", expression -> Some(expression, fileLike package @"^licen[cs]e(\.\w+)?$")
            | "file", file -> ofFile $"^{Regex.Escape file}$"
            // Packages of before 2018 state an address alone, which may have changed since.
            | _ -> ofFile @"^licen[cs]e(\.\w+)?$"

        match licence with
        | None -> Error $"{name} states no known licence."
        | Some(licence, licenceText) ->
            Ok
                {
                    Name = package.Id
                    Version = Some package.Version
                    Licence = licence
                    Copyright = copyrightOf licenceText (value "copyright") (value "authors")
                    Source =
                        match attribute "url" (element "repository") with
                        | "" -> value "projectUrl"
                        | url -> url
                    Purl = $"pkg:nuget/{package.Id}@{package.Version}"
                    Inside = None
                    LicenceText = licenceText
                    Notices = fileLike package @"^(third-?party-?notices|notice)(\.\w+)?$"
                }

// ---- What is inside a package ----------------------------------------------------------------------------------------

/// The version that a file states. The pattern sees each byte as one character.
let private versionIn (package: Package) (file: string, pattern: string) : Result<string, string> =
    let path = Path.Combine(package.Directory, file)

    if not (File.Exists path) then
        Error $"{package.Id} {package.Version} has no {file} any more; build/Release/Components.fs looks for a version in it."
    else
        match Regex.Match(Text.Encoding.Latin1.GetString(File.ReadAllBytes path), pattern) with
        | hit when hit.Success -> Ok hit.Groups[1].Value
        | _ -> Error $"{file} of {package.Id} {package.Version} does not state its version as build/Release/Components.fs expects it."

let private ofBundled (package: Package) (bundled: Bundled) : Result<Component, string> =
    let version =
        match bundled.Version with
        | None -> Ok None
        | Some place -> versionIn package place |> Result.map Some

    version
    |> Result.map (fun version ->
        {
            Name = bundled.Name
            Version = version
            Licence = bundled.Licence
            Copyright = [ bundled.Copyright ]
            Source = bundled.Source
            Purl =
                match version with
                | Some version -> $"{bundled.Purl}@{version}"
                | None -> bundled.Purl
            Inside = Some package.Id
            LicenceText = None
            Notices = bundled.Notices
        })

/// Whether a package has machine code or scripts in it, which are the work of somebody else as a rule. What is inside the runtime
/// stands in its own notices.
let private bringsMore (package: Package) : bool =
    let has (folder: string) =
        Directory.Exists(Path.Combine(package.Directory, folder))

    not (package.Id.StartsWith("Microsoft.", StringComparison.Ordinal))
    && (has "staticwebassets"
        || (has "runtimes"
            && Directory.GetDirectories(Path.Combine(package.Directory, "runtimes"), "native", SearchOption.AllDirectories).Length > 0))

let private insides (package: Package) : Result<Component, string> list =
    match bundled |> List.filter (fun row -> row.Package = package.Id) with
    | [] when bringsMore package ->
        [
            Error
                $"{package.Id} {package.Version} contains machine code or scripts: build/Release/Components.fs must list their origin (bundled)."
        ]
    | rows -> rows |> List.map (ofBundled package)

/// Everything of others inside a program, each package followed by what is inside it; or every reason why that cannot be said.
let ofPackages (packages: Package list) : Result<Component list, string list> =
    let all = packages |> List.collect (fun package -> ofPackage package :: insides package)

    match
        all
        |> List.choose (function
            | Error reason -> Some reason
            | Ok _ -> None)
    with
    | [] ->
        all
        |> List.choose (function
            | Ok found -> Some found
            | Error _ -> None)
        |> Ok
    | reasons -> Error reasons
