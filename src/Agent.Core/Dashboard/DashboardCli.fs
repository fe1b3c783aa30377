/// The command line of `ai-dashboard`: an Argu union for each command, and what argv amounts to.
module Agent.Core.Dashboard.DashboardCli

open System
open System.Collections.Generic
open Argu
open Agent.Core

[<RequireQualifiedAccess>]
type internal ServeArgument =
    | [<EqualsAssignmentOrSpaced>] Listen of url: string
    | [<EqualsAssignmentOrSpaced>] Database of path: string
    | [<EqualsAssignmentOrSpaced>] Retention_Days of days: string
    | [<EqualsAssignmentOrSpaced>] Viewer_Password_File of path: string
    | [<EqualsAssignmentOrSpaced>] Trust_Proxy_User of header: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Listen _ -> $"where to listen (default: {DashboardSettings.DefaultListen}); no other address is ever bound."
            | Database _ -> $"the database's file (default: {DashboardSettings.DefaultDatabase}); made if it is not there."
            | Retention_Days _ -> $"days for which minutes are kept (default: {DashboardSettings.DefaultRetentionDays})."
            | Viewer_Password_File _ -> "file with the password to look with; needed to listen beyond this machine."
            | Trust_Proxy_User _ -> "header in which a proxy in front names the user that it let in."

[<RequireQualifiedAccess>]
type internal RegisterArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string
    | [<EqualsAssignmentOrSpaced>] Name of name: string
    | [<EqualsAssignmentOrSpaced>] Hostname of name: string
    | [<EqualsAssignmentOrSpaced>] Description of text: string
    | Rotate_Token
    | Active
    | Inactive

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Database _ -> $"the database's file (default: {DashboardSettings.DefaultDatabase}); made if it is not there."
            | Name _ -> "what people call the server (default: the slug)."
            | Hostname _ -> "the server's host name."
            | Description _ -> "what it is."
            | Rotate_Token -> "make a new token; the old one is refused from then on."
            | Active -> "take its samples (the default)."
            | Inactive -> "refuse its samples with 403."

[<RequireQualifiedAccess>]
type internal PlainArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Database _ -> $"the database's file (default: {DashboardSettings.DefaultDatabase})."

/// What the command line asks for.
[<RequireQualifiedAccess>]
type DashboardCommand =
    /// Print this text.
    | Help of text: string
    /// Print the version.
    | Version
    /// Receive samples and show them.
    | Serve of settings: ServeSettings
    /// Register a server, or change its registration.
    | Register of settings: RegisterSettings
    /// List the servers.
    | List of database: string
    /// Remove a server and its samples.
    | Remove of database: string * slug: string
    /// Copy the database while it is in use.
    | Backup of database: string * file: string

    /// Calls the function for the case that this is.
    member command.Match
        (
            help: Func<string, 'r>,
            version: Func<'r>,
            serve: Func<ServeSettings, 'r>,
            register: Func<RegisterSettings, 'r>,
            list: Func<string, 'r>,
            remove: Func<string, string, 'r>,
            backup: Func<string, string, 'r>
        ) : 'r =
        match command with
        | Help text -> help.Invoke text
        | Version -> version.Invoke()
        | Serve settings -> serve.Invoke settings
        | Register settings -> register.Invoke settings
        | List database -> list.Invoke database
        | Remove(database, slug) -> remove.Invoke(database, slug)
        | Backup(database, file) -> backup.Invoke(database, file)

/// The program's name, as users type it.
[<Literal>]
let ProgramName = "ai-dashboard"

/// One command: what it is called, the word it takes, what it does, its options, and how it is checked.
type private Verb =
    {
        Name: string
        Word: string
        Purpose: string
        /// Name and whether a value follows.
        Options: Lazy<(struct (string * bool))[]>
        Usage: Lazy<string>
        Check: (string -> Given voption) -> string list -> Result<DashboardCommand, ConfigError list>
    }

let private verb<'argument when 'argument :> IArgParserTemplate> name word purpose check : Verb =
    let title = $"{ProgramName} {name}" + (if word = "" then "" else " " + word)

    let parser =
        lazy ArgumentParser.Create<'argument>(programName = title, errorHandler = ExceptionExiter())

    {
        Name = name
        Word = word
        Purpose = purpose
        Options =
            lazy
                ([|
                    for case in parser.Value.GetArgumentCases() do
                        for option in case.CommandLineNames.Value do
                            struct (option, case.UnionCaseInfo.GetFields().Length > 0)
                |])
        Usage = lazy (parser.Value.PrintUsage().TrimEnd() + "\n")
        Check = check
    }

/// For commands that take no word beside their options.
let private noWord (words: string list) : Result<unit, ConfigError list> =
    match words with
    | [] -> Ok()
    | words -> DashboardSettings.word "command" ("" :: words) |> Result.map ignore

let private both (one: Result<'a, ConfigError list>) (other: Result<'b, ConfigError list>) =
    match one, other with
    | Ok one, Ok other -> Ok(one, other)
    | Error one, Error other -> Error(one @ other)
    | Error errors, _
    | _, Error errors -> Error errors

let private verbs: Verb list =
    [
        verb<ServeArgument> "serve" "" "receives samples, stores them and shows the page" (fun given words ->
            both (noWord words) (DashboardSettings.serve given)
            |> Result.map (snd >> DashboardCommand.Serve))
        verb<RegisterArgument> "register-server" "SLUG" "registers a server and prints its token, or changes it" (fun given words ->
            DashboardSettings.register given words |> Result.map DashboardCommand.Register)
        verb<PlainArgument> "list-servers" "" "lists the servers" (fun given words ->
            both (noWord words) (DashboardSettings.database given)
            |> Result.map (snd >> DashboardCommand.List))
        verb<PlainArgument> "remove-server" "SLUG" "removes a server and all its samples" (fun given words ->
            both (DashboardSettings.database given) (DashboardSettings.slug words)
            |> Result.map DashboardCommand.Remove)
        verb<PlainArgument> "backup" "FILE" "copies the database into a new file, while it is in use or not" (fun given words ->
            both (DashboardSettings.database given) (DashboardSettings.file words)
            |> Result.map DashboardCommand.Backup)
    ]

/// The text of `--help`.
[<CompiledName "Usage">]
let usage () : string =
    let commands =
        verbs
        |> List.map (fun verb ->
            let call = verb.Name + " " + verb.Word
            $"  {call.PadRight 22} {verb.Purpose}")
        |> String.concat "\n"

    $"USAGE: {ProgramName} COMMAND [options]\n\nCOMMANDS:\n\n{commands}\n\n"
    + $"`{ProgramName} COMMAND --help` lists the options of one. `--version` prints the version. No environment variable is read.\n"

let private quoted (text: string) =
    $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

let private usageError (where: string) (message: string) : ConfigError =
    {
        Origin = "command line"
        Message = $"{message}; see {where} --help"
    }

/// Options with their values, the last of each name first; words; errors, the last first.
[<Struct>]
type private Words =
    {
        Options: Given list
        Words: string list
        Errors: ConfigError list
    }

let private walk (verb: Verb) (argv: string list) : Words =
    let where = $"{ProgramName} {verb.Name}"

    let kind (name: string) =
        verb.Options.Value
        |> Array.tryFind (fun (struct (known, _)) -> known = name)
        |> Option.map (fun (struct (_, takesValue)) -> takesValue)

    let rec step argv found =
        let failed message =
            { found with
                Errors = usageError where message :: found.Errors
            }

        let withOption name text =
            { found with
                Options = { Origin = name; Text = text } :: found.Options
            }

        match argv with
        | [] -> found
        | (word: string) :: rest when word.StartsWith '-' && word.Length > 1 ->
            let separator = word.IndexOf '='
            let name = if separator < 0 then word else word.Substring(0, separator)

            match kind name, rest with
            | None, _ -> step rest (failed $"{quoted name} is not an option")
            | Some false, _ when separator >= 0 -> step rest (failed $"{name} takes no value")
            | Some false, _ -> step rest (withOption name "")
            | Some true, _ when separator >= 0 -> step rest (withOption name (word.Substring(separator + 1)))
            | Some true, value :: rest when not (value.StartsWith "--") -> step rest (withOption name value)
            | Some true, _ -> step rest (failed $"{name} needs a value")
        | word :: rest ->
            step
                rest
                { found with
                    Words = word :: found.Words
                }

    step
        argv
        {
            Options = []
            Words = []
            Errors = []
        }

let private isHelp (word: string) = word = "--help" || word = "-h"

/// What `argv` amounts to: a command, or every error in it. Of a repeated option the last wins.
[<CompiledName "Parse">]
let parse (argv: string[]) : Result<DashboardCommand, ConfigError[]> =
    match List.ofArray argv with
    | [] ->
        Error
            [|
                usageError ProgramName "a command is missing: serve, register-server, list-servers, remove-server or backup"
            |]
    | first :: _ when isHelp first -> Ok(DashboardCommand.Help(usage ()))
    | "--version" :: _ -> Ok DashboardCommand.Version
    | first :: rest ->
        match verbs |> List.tryFind (fun verb -> verb.Name = first.Replace('_', '-')) with
        | None -> Error [| usageError ProgramName $"{quoted first} is not a command" |]
        | Some verb when List.exists isHelp rest -> Ok(DashboardCommand.Help verb.Usage.Value)
        | Some verb ->
            let found = walk verb rest

            let given name =
                match found.Options |> List.tryFind (fun option -> option.Origin = name) with
                | Some option -> ValueSome option
                | None -> ValueNone

            match verb.Check given (List.rev found.Words), List.rev found.Errors with
            | Ok command, [] -> Ok command
            | Ok _, errors -> Error(Array.ofList errors)
            | Error problems, errors -> Error(Array.ofList (errors @ problems))
