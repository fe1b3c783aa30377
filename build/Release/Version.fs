/// The version of everything that is built: that of CHANGELOG.md's newest heading, with what git knows of the commit. It is stated
/// nowhere else. build.fsx stamps it into what it publishes; a plain `dotnet build` reads the heading itself (Directory.Build.props).
[<RequireQualifiedAccess>]
module Agent.Build.Version

open System
open System.Text.RegularExpressions

/// The newest heading of CHANGELOG.md: `## 1.2.3 - 2026-11-28`, or `## 1.2.3 - unreleased`.
type Heading =
    {
        /// Three numbers, such as 1.2.3: the version that is out, or that is worked towards.
        Number: string
        /// The day of the release, YYYY-MM-DD; none for a version that is not out yet.
        Date: string option
    }

/// What git says of the commit that is built.
type Commit =
    {
        /// Its 40 hexadecimal digits.
        Hash: string
        /// How many commits lead to it, itself included; none in a shallow clone, which does not have them all.
        Count: int option
        /// Whether the working tree differs from it.
        IsDirty: bool
        /// The version tags, `v1.2.3`, that it carries.
        Tags: string list
        /// The version tags of the commits before it.
        EarlierTags: string list
    }

let private headingForm =
    Regex(@"^## (\d+\.\d+\.\d+)(?: - (\d{4}-\d{2}-\d{2}|unreleased))?$", RegexOptions.CultureInvariant)

/// The newest heading of a changelog's text.
let newest (changelog: string) : Result<Heading, string> =
    let line =
        changelog.Split '\n'
        |> Array.tryFind (fun line -> line.StartsWith("## ", StringComparison.Ordinal))
        |> Option.map _.TrimEnd()

    match line with
    | None -> Error "CHANGELOG.md has no heading with a version."
    | Some line ->
        match headingForm.Match line with
        | hit when hit.Success ->
            Ok
                {
                    Number = hit.Groups[1].Value
                    Date =
                        match hit.Groups[2].Value with
                        | ""
                        | "unreleased" -> None
                        | date -> Some date
                }
        | _ -> Error $"CHANGELOG.md's newest heading is '{line}', and must be '## X.Y.Z - YYYY-MM-DD' or '## X.Y.Z - unreleased'."

/// The start of a commit's hash that versions carry.
let private short (commit: Commit) = commit.Hash.Substring(0, 7)

/// A version by the rules of SemVer 2.0. On a commit with the heading's tag it is the heading's number; on any other commit a
/// pre-release of it, `1.2.3-dev.COUNT+HASH`, with `.dirty` behind where files were changed. Without git it is `1.2.3-dev`.
/// An error when tag and heading contradict each other, or when the heading's version is out already.
let stamp (heading: Heading) (commit: Commit option) : Result<string, string> =
    let tag = $"v{heading.Number}"

    match commit with
    | None -> Ok $"{heading.Number}-dev"
    | Some commit ->
        let metadata =
            if commit.IsDirty then
                $"{short commit}.dirty"
            else
                short commit

        match commit.Tags, heading.Date with
        | [], _ when List.contains tag commit.EarlierTags ->
            Error
                $"{tag} is already released, and this commit comes after it: start the next version with a new heading at the top of CHANGELOG.md, '## X.Y.Z - unreleased'."
        | [], _ ->
            let count = commit.Count |> Option.map (sprintf ".%d") |> Option.defaultValue ""
            Ok $"{heading.Number}-dev{count}+{metadata}"
        | [ carried ], _ when carried <> tag ->
            Error
                $"This commit carries the tag {carried}, but the newest heading of CHANGELOG.md is {heading.Number}: tag and heading must name the same version."
        | [ _ ], None ->
            Error $"This commit carries the tag {tag}, but the heading of {heading.Number} in CHANGELOG.md has no date (YYYY-MM-DD) yet."
        | [ _ ], Some _ when commit.IsDirty -> Ok $"{heading.Number}+{metadata}"
        | [ _ ], Some _ -> Ok heading.Number
        | tags, _ -> Error $"""This commit carries several versions' tags: {String.concat ", " tags}."""

/// The version as Debian writes it, where a pre-release comes before its release only with a tilde.
let debian (version: string) : string =
    match version.IndexOf('-', StringComparison.Ordinal) with
    | -1 -> version
    | at -> $"{version.Substring(0, at)}~{version.Substring(at + 1)}"
