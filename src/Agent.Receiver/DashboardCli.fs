/// The command line of `ai-dashboard`: an Argu union for each command, and what argv amounts to.
module Agent.Receiver.DashboardCli

open System
open Argu
open Agent
open Agent.Core

/// What is known of an option beside its name and the name of its value: its default, or empty, and what it does.
type internal OptionRow = (struct (string * string))

let private madeIfMissing: OptionRow =
    DashboardSettings.DefaultDatabase, "the database's file; made if it is not there"

let private theFile: OptionRow = DashboardSettings.DefaultDatabase, "the database's file"

/// The options of a command: the one list of them, by cases and rows.
type internal ICommandArgument =
    inherit IArgParserTemplate
    /// What is said about it.
    abstract Row: OptionRow

[<RequireQualifiedAccess>]
type internal ServeArgument =
    | [<EqualsAssignmentOrSpaced>] Listen of url: string option
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Retention_Days of days: string option
    | [<EqualsAssignmentOrSpaced>] Raw_Hours of hours: string option
    | [<EqualsAssignmentOrSpaced>] Viewer_Password_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Trust_Proxy_User of header: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Listen _ -> DashboardSettings.DefaultListen, "where to listen; no other address is ever bound"
            | Database _ -> madeIfMissing
            | Retention_Days _ -> DashboardSettings.DefaultRetentionDays, "days for which minutes are kept, up to the newest sample"
            | Raw_Hours _ -> DashboardSettings.DefaultRawHours, "hours for which single samples are kept"
            | Viewer_Password_File _ -> "", "file with the password to look with; needed to listen beyond this machine"
            | Trust_Proxy_User _ -> "", "header in which a proxy in front names the user that it let in"

[<RequireQualifiedAccess>]
type internal RegisterArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Name of name: string option
    | [<EqualsAssignmentOrSpaced>] Hostname of name: string option
    | [<EqualsAssignmentOrSpaced>] Description of text: string option
    | Rotate_Token
    | Active
    | Inactive

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> madeIfMissing
            | Name _ -> "the slug", "what people call the server"
            | Hostname _ -> "", "the server's host name"
            | Description _ -> "", "what it is"
            | Rotate_Token -> "", "make a new token; the old one is refused from then on"
            | Active -> "", "take its samples, which is the default"
            | Inactive -> "", "refuse its samples with 403"

[<RequireQualifiedAccess>]
type internal PlainArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile

[<RequireQualifiedAccess>]
type internal RemoveArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | Yes

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | Yes -> "", "do not ask; without a terminal it is needed"

[<RequireQualifiedAccess>]
type internal BackupArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | [<EqualsAssignmentOrSpaced>] Keep of number: string option

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> theFile
            | Keep _ -> "all", "of the backups in a directory only so many stay, the newest"

[<RequireQualifiedAccess>]
type internal RestoreArgument =
    | [<EqualsAssignmentOrSpaced>] Database of path: string option
    | Yes

    interface ICommandArgument with
        member argument.Usage = ""

        member argument.Row =
            match argument with
            | Database _ -> DashboardSettings.DefaultDatabase, "the database that the backup takes the place of"
            | Yes -> "", "do not ask; without a terminal it is needed"

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
    /// Remove a server and its samples; `confirmed` when there is nothing to ask any more.
    | Remove of database: string * slug: string * confirmed: bool
    /// Copy the database while it is in use, into a file or a directory; `keep` backups stay in that, all of them for 0.
    | Backup of database: string * file: string * keep: int
    /// Look how the database is.
    | Check of database: string
    /// Put a backup in the place of the database; `confirmed` when there is nothing to ask any more.
    | Restore of database: string * file: string * confirmed: bool

    /// Calls the function for the case that this is.
    member command.Match
        (
            help: Func<string, 'r>,
            version: Func<'r>,
            serve: Func<ServeSettings, 'r>,
            register: Func<RegisterSettings, 'r>,
            list: Func<string, 'r>,
            remove: Func<string, string, bool, 'r>,
            backup: Func<string, string, int, 'r>,
            check: Func<string, 'r>,
            restore: Func<string, string, bool, 'r>
        ) : 'r =
        match command with
        | Help text -> help.Invoke text
        | Version -> version.Invoke()
        | Serve settings -> serve.Invoke settings
        | Register settings -> register.Invoke settings
        | List database -> list.Invoke database
        | Remove(database, slug, confirmed) -> remove.Invoke(database, slug, confirmed)
        | Backup(database, file, keep) -> backup.Invoke(database, file, keep)
        | Check database -> check.Invoke database
        | Restore(database, file, confirmed) -> restore.Invoke(database, file, confirmed)

/// The program's name, as users type it.
[<Literal>]
let ProgramName = "ai-dashboard"

/// One command: what it is called, the word it takes, what it does, its options, and how it is checked.
type private Verb =
    {
        Name: string
        Word: string
        Purpose: string
        /// Name, name of the value, and what is said about it.
        Options: unit -> (struct (string * string * OptionRow))[]
        Parts: string[] -> CommandLine.Part list
        Check: (string -> Given voption) -> string list -> Result<DashboardCommand, ConfigError list>
    }

let private verb<'argument when 'argument :> ICommandArgument> name word purpose check : Verb =
    let parser = CommandLine.Parser<'argument> $"{ProgramName} {name}"

    {
        Name = name
        Word = word
        Purpose = purpose
        Options =
            fun () ->
                parser.Options
                |> Array.map (fun (struct (option, placeholder, argument)) -> struct (option, placeholder, argument.Row))
        Parts = parser.Parts
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
        verb<RemoveArgument> "remove-server" "SLUG" "removes a server and all its samples" (fun given words ->
            both (DashboardSettings.database given) (DashboardSettings.slug words)
            |> Result.map (fun (database, slug) -> DashboardCommand.Remove(database, slug, DashboardSettings.isConfirmed given)))
        verb<BackupArgument>
            "backup"
            "FILE"
            "copies the database into a new file, or into one in a directory, while it is in use or not"
            (fun given words ->
                both (both (DashboardSettings.database given) (DashboardSettings.place words)) (DashboardSettings.keep given)
                |> Result.map (fun ((database, file), keep) -> DashboardCommand.Backup(database, file, keep)))
        verb<PlainArgument> "check" "" "looks whether the database is whole, what is in it, and how much room there is" (fun given words ->
            both (noWord words) (DashboardSettings.database given)
            |> Result.map (snd >> DashboardCommand.Check))
        verb<RestoreArgument> "restore" "FILE" "puts a backup in the place of the database, which is kept beside it" (fun given words ->
            both (DashboardSettings.database given) (DashboardSettings.file words)
            |> Result.map (fun (database, file) -> DashboardCommand.Restore(database, file, DashboardSettings.isConfirmed given)))
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
    + $"`{ProgramName} COMMAND --help` lists the options of one. `--version` prints the version. Of the environment nothing is read but what systemd says.\n"

let private quoted (text: string) =
    $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

let private usageError (where: string) (message: string) : ConfigError =
    {
        Origin = "command line"
        Message = $"{message}; see {where} --help"
    }

/// The help of one command.
let private usageOf (verb: Verb) : string =
    [
        $"USAGE: {ProgramName} {verb.Name} {verb.Word}".TrimEnd() + " [OPTION ...]"
        ""
        for struct (name, placeholder, struct (standard, meaning)) in verb.Options() do
            yield! CommandLine.entry name placeholder standard meaning
        yield! CommandLine.entry "--help, -h" "" "" "print the options and exit"
        ""
    ]
    |> String.concat "\n"

let private verbNames = verbs |> List.map _.Name |> String.concat ", "

/// A command and its options, for what is written about them.
[<NoComparison>]
type CommandDescription =
    {
        /// Its name.
        Name: string
        /// The word that it takes beside its options; empty for none.
        Word: string
        /// What it does.
        Purpose: string
        /// Name, name of the value (empty for a switch), default (or empty) and meaning of each option.
        Options: (struct (string * string * string * string))[]
    }

/// All commands, in the order of `--help`.
[<CompiledName "Describe">]
let describe () : CommandDescription[] =
    verbs
    |> List.map (fun verb ->
        {
            Name = verb.Name
            Word = verb.Word
            Purpose = verb.Purpose
            Options =
                verb.Options()
                |> Array.map (fun (struct (name, placeholder, struct (standard, meaning))) ->
                    struct (name, placeholder, standard, meaning))
        })
    |> Array.ofList

let private isHelp (word: string) = word = "--help" || word = "-h"

/// What `argv` amounts to: a command, or every error in it. Of a repeated option the last wins.
[<CompiledName "Parse">]
let parse (argv: string[]) : Result<DashboardCommand, ConfigError[]> =
    match List.ofArray argv with
    | [] -> Error [| usageError ProgramName $"a command is missing: one of {verbNames}" |]
    | first :: _ when isHelp first -> Ok(DashboardCommand.Help(usage ()))
    | "--version" :: _ -> Ok DashboardCommand.Version
    | first :: rest ->
        match verbs |> List.tryFind (fun verb -> verb.Name = first.Replace('_', '-')) with
        | None -> Error [| usageError ProgramName $"{quoted first} is not a command" |]
        | Some verb when List.exists isHelp rest -> Ok(DashboardCommand.Help(usageOf verb))
        | Some verb ->
            let parts = verb.Parts(Array.ofList rest)

            let options =
                parts
                |> List.choose (function
                    | CommandLine.Part.Option(name, value) -> Some { Origin = name; Text = value }
                    | CommandLine.Part.Switch name -> Some { Origin = name; Text = "" }
                    | _ -> None)

            let words =
                parts
                |> List.choose (function
                    | CommandLine.Part.Word word -> Some word
                    | _ -> None)

            let errors =
                parts
                |> List.choose (function
                    | CommandLine.Part.Lacking name -> Some $"{name} needs a value"
                    | CommandLine.Part.SwitchWithValue(name, _) -> Some $"{name} takes no value"
                    | CommandLine.Part.Unknown word -> Some $"{quoted (word.Split('=')[0])} is not an option"
                    | _ -> None)
                |> List.map (usageError $"{ProgramName} {verb.Name}")

            let given name =
                options
                |> List.tryFindBack (fun option -> option.Origin = name)
                |> ValueOption.ofOption

            match verb.Check given words, errors with
            | Ok command, [] -> Ok command
            | Ok _, errors -> Error(Array.ofList errors)
            | Error problems, errors -> Error(Array.ofList (errors @ problems))
