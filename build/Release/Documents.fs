/// The folder of documents that goes with a program of a release: what the packaging scripts take from.
[<RequireQualifiedAccess>]
module Agent.Build.Documents

open System
open System.IO
open System.Text.RegularExpressions
open Agent.Build.Components

/// A manual page with the version and the day (YYYY-MM-DD) in its footer, which the committed page leaves open.
let stampedManual (version: string) (date: string) (page: string) : Result<string, string> =
    let title = Regex("^(\\.TH \\S+ \\d+) \"\" \"FunctionalAgent\" ", RegexOptions.Multiline)

    if title.IsMatch page then
        let version = version.Replace("-", "\\-")
        Ok(title.Replace(page, (fun hit -> $"{hit.Groups[1].Value} \"{date}\" \"FunctionalAgent {version}\" "), 1))
    else
        Error "The manual page has no title line (.TH) with an open date and version."

/// What a program is called, how it is versioned, and what is inside it.
type Program =
    {
        /// The name of its executable.
        Name: string
        Version: string
        /// The time of the commit that it is built from.
        Time: DateTimeOffset
        /// Where the .deb puts its executable, relative to the root.
        InstalledAs: string
        Components: Component list
    }

/// Writes the documents of a program into a folder; `root` is the repository. Every reason why one cannot be written, if any.
let write (root: string) (directory: string) (program: Program) : Result<unit, string list> =
    let source (name: string) = Path.Combine(root, name)

    let licenceText (licence: string) =
        let path = Path.Combine(root, "packaging", "licences", $"{licence}.txt")

        if File.Exists path then
            Some(File.ReadAllText path)
        else
            None

    let put (name: string) (text: string) =
        File.WriteAllText(Path.Combine(directory, name), text)

    let manual = source $"packaging/man/{program.Name}.8"

    let made =
        [
            "THIRD-PARTY-NOTICES.txt", Notices.thirdParty program.Name program.Version licenceText program.Components
            "copyright", Notices.debianCopyright program.InstalledAs (File.ReadAllText(source "LICENSE")) licenceText program.Components
            if File.Exists manual then
                $"{program.Name}.8",
                File.ReadAllText manual
                |> stampedManual program.Version (program.Time.ToString("yyyy-MM-dd"))
                |> Result.mapError List.singleton
        ]

    let reasons =
        made
        |> List.collect (fun (_, text) ->
            match text with
            | Ok _ -> []
            | Error reasons -> reasons)

    if List.isEmpty reasons then
        Directory.CreateDirectory directory |> ignore

        for name in [ "README.md"; "CHANGELOG.md"; "LICENSE" ] do
            put name (File.ReadAllText(source name))

        for name, text in made do
            text |> Result.iter (put name)

        Ok()
    else
        Error(List.distinct reasons)
