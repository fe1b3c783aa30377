/// What is passed on with a program about the work of others inside it: THIRD-PARTY-NOTICES.txt, and Debian's copyright file.
[<RequireQualifiedAccess>]
module Agent.Build.Notices

open System
open System.Text.RegularExpressions
open Agent.Build.Components

let private titled (found: Component) : string =
    match found.Version with
    | Some version -> $"{found.Name} {version}"
    | None -> found.Name

let private rule (character: char) = String(character, 78)

/// The licences of which some component has no text with it, in the order of the alphabet.
let private licencesWithoutText (components: Component list) : string list =
    components
    |> List.filter (fun found -> found.LicenceText.IsNone)
    |> List.collect (fun found -> identifiers found.Licence)
    |> List.distinct
    |> List.sortWith (fun a b -> String.CompareOrdinal(a, b))

/// The texts of those licences; an error for each that there is no text of.
let private texts (textOf: string -> string option) (components: Component list) : Result<(string * string) list, string list> =
    let found =
        licencesWithoutText components
        |> List.map (fun licence -> licence, textOf licence)

    match found |> List.filter (snd >> Option.isNone) with
    | [] ->
        found
        |> List.choose (fun (licence, text) -> text |> Option.map (fun text -> licence, text))
        |> Ok
    | missing ->
        missing
        |> List.map (fun (licence, _) -> $"packaging/licences has no text of {licence}.")
        |> Error

/// Texts that several components share, each once, with their names.
let private shared (textOf: Component -> string option) (components: Component list) : (Component list * string) list =
    components
    |> List.choose (fun found -> textOf found |> Option.map (fun text -> text, found))
    |> List.groupBy fst
    |> List.map (fun (text, users) -> List.map snd users, text)

/// THIRD-PARTY-NOTICES.txt of a program. `textOf` has the texts of licences by their SPDX names.
let thirdParty
    (program: string)
    (version: string)
    (textOf: string -> string option)
    (components: Component list)
    : Result<string, string list> =
    let entry (found: Component) =
        [
            titled found
            $"  Licence: {found.Licence}"
            for line in found.Copyright do
                $"  {line}"
            match found.Inside with
            | Some package -> $"  Inside: {package}"
            | None -> ()
            if found.Source <> "" then
                $"  Source: {found.Source}"
            ""
        ]

    let section (title: string) (body: string) =
        [ rule '='; title; rule '='; ""; body.TrimEnd(); ""; "" ]

    let names (components: Component list) =
        components |> List.map titled |> String.concat ", "

    texts textOf components
    |> Result.map (fun texts ->
        [
            $"Third-party notices of {program} {version}"
            ""
            $"{program} itself is under the MIT License, see LICENSE. It contains components by others, which are listed here with their"
            "licences. The texts of the licences, and the components' own notices, follow below."
            ""
            yield! components |> List.collect entry
            ""
            for licence, text in texts do
                yield! section $"Licence {licence}" text
            for users, text in shared _.LicenceText components do
                yield! section $"Licence of {names users}" text
            for users, text in shared _.Notices components do
                yield! section $"Notices of {names users}" text
        ]
        |> String.concat "\n"
        |> fun text -> text.TrimEnd() + "\n")

// ---- Debian's copyright file -----------------------------------------------------------------------------------------

/// The names that Debian's machine-readable copyright files have for licences, where they differ from SPDX's.
let private debianName (licence: string) : string =
    match licence with
    | "MIT" -> "Expat"
    | "BSD-3-Clause" -> "BSD-3-clause"
    | "blessing" -> "public-domain"
    | other -> other

/// A text as the continuation of a field: each line begins with a blank, and an empty one has a dot.
let private continued (text: string) : string list =
    text.TrimEnd().Split '\n'
    |> List.ofArray
    |> List.map (fun line -> if line.Trim() = "" then " ." else $" {line.TrimEnd()}")

/// The copyright line of the repository's own licence, without its first words: `2026 FunctionalAgent contributors`.
let private ownCopyright (licence: string) : string =
    Regex.Match(licence, @"^Copyright \(c\) (.+)$", RegexOptions.Multiline).Groups[1].Value

/// /usr/share/doc/PACKAGE/copyright in Debian's machine-readable format 1.0: the licence of the whole, and what is inside the
/// executable at that path, relative to the root. `licence` is the text of the repository's LICENSE.
let debianCopyright
    (executable: string)
    (licence: string)
    (textOf: string -> string option)
    (components: Component list)
    : Result<string, string list> =
    let licences =
        "MIT" :: (components |> List.collect (fun found -> identifiers found.Licence))
        |> List.distinct

    let missing = licences |> List.filter (textOf >> Option.isNone)

    let lineOf (found: Component) =
        let lines =
            found.Copyright
            |> List.map (fun line -> Regex.Replace(line, @"^(Copyright |\(c\) |© )+", "", RegexOptions.IgnoreCase))

        $""" {String.concat "; " lines} ({titled found})"""

    let licenceStanza (name: string) =
        let text = textOf name |> Option.defaultValue ""

        [
            ""
            $"License: {debianName name}"
            // Debian has this one on every machine, and wants packages to refer to it there.
            if name = "Apache-2.0" then
                " On Debian systems the full text of the Apache License, version 2.0, is in"
                " /usr/share/common-licenses/Apache-2.0."
            else
                yield! continued text
        ]

    match missing with
    | [] ->
        [
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
            "Upstream-Name: FunctionalAgent"
            ""
            "Files: *"
            $"Copyright: {ownCopyright licence}"
            "License: Expat"
            ""
            $"Files: {executable}"
            $"Copyright: {ownCopyright licence}"
            yield! components |> List.map lineOf
            $"""License: {licences |> List.map debianName |> String.concat " and "}"""
            "Comment: The executable contains the components listed above. THIRD-PARTY-NOTICES.txt.gz next to this file"
            " has their notices in full, including the .NET runtime's own third-party notices."
            yield! licences |> List.collect licenceStanza
            ""
        ]
        |> String.concat "\n"
        |> Ok
    | missing ->
        missing
        |> List.map (fun name -> $"packaging/licences has no text of {name}.")
        |> Error
