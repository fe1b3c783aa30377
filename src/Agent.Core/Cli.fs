/// The command line: one Argu union, and what argv and the environment amount to.
module Agent.Core.Cli

open System
open System.Collections.Generic
open Argu

/// Every flag. All values are text: Argu stops at the first bad value, while Settings checks all of them and reports
/// every error at once.
[<RequireQualifiedAccess>]
type internal AgentArgument =
    | [<EqualsAssignmentOrSpaced>] Host of url: string
    | [<EqualsAssignmentOrSpaced>] Server_Slug of slug: string
    | [<EqualsAssignmentOrSpaced>] Token of token: string
    | [<EqualsAssignmentOrSpaced>] Hostname of name: string
    | [<EqualsAssignmentOrSpaced>] Interval of seconds: string
    | [<EqualsAssignmentOrSpaced>] Cpu_Sample_Interval of seconds: string
    | [<EqualsAssignmentOrSpaced>] Timeout of seconds: string
    | Once
    | [<EqualsAssignmentOrSpaced>] Disks of names: string
    | [<EqualsAssignmentOrSpaced>] Interfaces of names: string
    | [<EqualsAssignmentOrSpaced>] Label of label: string
    | Quiet
    | [<EqualsAssignmentOrSpaced>] Log_Level of level: string
    | Insecure
    | Dry_Run
    | [<EqualsAssignmentOrSpaced>] Procfs of directory: string
    | [<EqualsAssignmentOrSpaced>] Sysfs of directory: string
    | [<EqualsAssignmentOrSpaced>] Rootfs of directory: string
    | Version

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Host _ -> "base URL of the webapp, such as http://dashboard-host:8000 (required)."
            | Server_Slug _ -> "slug of this server at the webapp (required)."
            | Token _ -> "ingest token of this server (required)."
            | Hostname _ -> "host name to send as metadata (default: the machine's name)."
            | Interval _ -> "seconds from one sample to the next (default: 2, at least 0.5)."
            | Cpu_Sample_Interval _ -> "seconds over which CPU usage is measured; 0: since the previous sample (default: 0.2)."
            | Timeout _ -> "seconds for one whole request (default: 5)."
            | Once -> "send one sample and exit: 0 if it was accepted, else 1."
            | Disks _ -> "comma-separated block devices to track (default: all physical disks)."
            | Interfaces _ -> "comma-separated network interfaces to track (default: all but lo)."
            | Label _ -> "metadata of the form key=value; repeatable."
            | Quiet -> "no routine lines on standard output."
            | Log_Level _ -> "DEBUG, INFO, WARNING, ERROR or CRITICAL (default: INFO, or WARNING with --quiet)."
            | Insecure -> "do not verify TLS certificates; for testing only."
            | Dry_Run -> "print request bodies instead of sending them; needs no host, slug or token."
            | Procfs _ -> "directory to read in place of /proc."
            | Sysfs _ -> "directory to read in place of /sys."
            | Rootfs _ -> "directory under which mount points are looked up (default: /)."
            | Version -> "print the version and exit."

/// What the command line asks for.
[<RequireQualifiedAccess>]
type Command =
    /// Print this text.
    | Help of text: string
    /// Print the version.
    | Version
    /// Run the agent.
    | Run of settings: Settings

    /// Calls the function for the case that this is.
    member command.Match(help: Func<string, 'r>, version: Func<'r>, run: Func<Settings, 'r>) : 'r =
        match command with
        | Help text -> help.Invoke text
        | Version -> version.Invoke()
        | Run settings -> run.Invoke settings

/// The program's name, as users type it.
[<Literal>]
let ProgramName = "ai-dashboard-agent"

let private parser =
    lazy ArgumentParser.Create<AgentArgument>(programName = ProgramName, errorHandler = ExceptionExiter())

/// The flag of a case and its value; a switch has the value "true".
let private flagAndValue (argument: AgentArgument) : struct (string * string) =
    match argument with
    | AgentArgument.Host value -> struct ("--host", value)
    | AgentArgument.Server_Slug value -> struct ("--server-slug", value)
    | AgentArgument.Token value -> struct ("--token", value)
    | AgentArgument.Hostname value -> struct ("--hostname", value)
    | AgentArgument.Interval value -> struct ("--interval", value)
    | AgentArgument.Cpu_Sample_Interval value -> struct ("--cpu-sample-interval", value)
    | AgentArgument.Timeout value -> struct ("--timeout", value)
    | AgentArgument.Once -> struct ("--once", "true")
    | AgentArgument.Disks value -> struct ("--disks", value)
    | AgentArgument.Interfaces value -> struct ("--interfaces", value)
    | AgentArgument.Label value -> struct ("--label", value)
    | AgentArgument.Quiet -> struct ("--quiet", "true")
    | AgentArgument.Log_Level value -> struct ("--log-level", value)
    | AgentArgument.Insecure -> struct ("--insecure", "true")
    | AgentArgument.Dry_Run -> struct ("--dry-run", "true")
    | AgentArgument.Procfs value -> struct ("--procfs", value)
    | AgentArgument.Sysfs value -> struct ("--sysfs", value)
    | AgentArgument.Rootfs value -> struct ("--rootfs", value)
    | AgentArgument.Version -> struct ("--version", "true")

/// What a walk over argv found, before Argu sees it.
[<Struct>]
type private Words =
    {
        /// The good flags, each with its value after `=`, so that a value may begin with a dash.
        Flags: string list
        /// Flags that lack their value.
        Incomplete: string list
        /// What cannot be used, as sentences.
        Errors: ConfigError list
    }

let private takesValue: Lazy<IReadOnlyDictionary<string, bool>> =
    lazy
        (let table = Dictionary<string, bool>(StringComparer.Ordinal)

         for case in parser.Value.GetArgumentCases() do
             for name in case.CommandLineNames.Value do
                 table[name] <- case.UnionCaseInfo.GetFields().Length > 0

         table :> IReadOnlyDictionary<string, bool>)

let private usageError (origin: string) (message: string) : ConfigError =
    {
        Origin = origin
        Message = $"{message}; see {ProgramName} --help"
    }

/// Argu stops at the first word it does not know, and repeats it, be it a token. This walk names every such word, and
/// never repeats what may be a secret.
let private walk (argv: string[]) : Words =
    let table = takesValue.Value

    let holdsToken =
        argv
        |> Array.exists (fun word -> word.StartsWith("--tok", StringComparison.OrdinalIgnoreCase))

    let rec step (words: string list) (found: Words) =
        match words with
        | [] -> found
        | word :: rest when word.StartsWith("--", StringComparison.Ordinal) ->
            let separator = word.IndexOf '='
            let name = if separator < 0 then word else word.Substring(0, separator)

            match table.TryGetValue name with
            | true, true when separator >= 0 ->
                if separator = word.Length - 1 then
                    step rest (withoutValue name found)
                else
                    step
                        rest
                        { found with
                            Flags = word :: found.Flags
                        }
            | true, true ->
                match rest with
                | value :: rest when value <> "" && not (value.StartsWith("--", StringComparison.Ordinal)) ->
                    step
                        rest
                        { found with
                            Flags = $"{name}={value}" :: found.Flags
                        }
                | "" :: rest -> step rest (withoutValue name found)
                | rest -> step rest (withoutValue name found)
            | true, false when separator >= 0 ->
                let error = usageError name $"{name} is a switch and takes no value"

                step
                    rest
                    { found with
                        Errors = error :: found.Errors
                    }
            | true, false ->
                step
                    rest
                    { found with
                        Flags = name :: found.Flags
                    }
            | _ ->
                let error = usageError name $"{name} is not an option"

                // The word after it is most likely its value.
                let rest =
                    match rest with
                    | value :: others when separator < 0 && not (value.StartsWith('-')) -> others
                    | rest -> rest

                step
                    rest
                    { found with
                        Errors = error :: found.Errors
                    }
        | word :: rest ->
            let shown =
                if holdsToken then
                    "an argument that is no option"
                else
                    $"\"{word}\" is not an option"

            let error = usageError "command line" $"command line: {shown}"

            step
                rest
                { found with
                    Errors = error :: found.Errors
                }

    and withoutValue name found =
        { found with
            Incomplete = name :: found.Incomplete
            Errors = usageError name $"{name} needs a value" :: found.Errors
        }

    step
        (List.ofArray argv)
        {
            Flags = []
            Incomplete = []
            Errors = []
        }

let private parseFlags (flags: string[]) : Result<AgentArgument list, ConfigError> =
    try
        Ok(parser.Value.ParseCommandLine(flags, raiseOnUsage = false).GetAllResults())
    with :? ArguParseException ->
        // Its message may repeat a value, so it is not shown.
        Error(usageError "command line" "the command line cannot be read: a value contains a line end or is empty")

/// The text of `--help`.
[<CompiledName "Usage">]
let usage () : string =
    let twins =
        "Every option but --help and --version has an environment variable: AI_DASHBOARD_ and its name in capitals with _, "
        + "such as AI_DASHBOARD_SERVER_SLUG. An option beats its variable; an empty variable counts as unset."

    parser.Value.PrintUsage().TrimEnd() + "\n\n" + twins + "\n"

/// What `argv` and the environment amount to: a command, or every error in them. Options beat variables, variables
/// beat defaults; of a repeated option the last wins, labels add up. `environment` gives a variable's text or null.
[<CompiledName "Parse">]
let parse (argv: string[]) (environment: Func<string, string | null>) : Result<Command, ConfigError[]> =
    let isHelp word = word = "--help" || word = "-h"

    if Array.exists isHelp argv then
        Ok(Command.Help(usage ()))
    else
        let words = walk argv

        let variable (flag: string) : Given voption =
            let name = Settings.variableOf flag

            match environment.Invoke name with
            | null
            | "" -> ValueNone
            | text -> ValueSome { Origin = name; Text = text }

        match parseFlags (words.Flags |> List.rev |> Array.ofList) with
        | Error error -> Error [| error |]
        | Ok arguments when List.contains AgentArgument.Version arguments && words.Errors.IsEmpty -> Ok Command.Version
        | Ok arguments ->
            let flags = arguments |> List.map flagAndValue

            let given (flag: string) : Given voption =
                match flags |> List.tryFindBack (fun (struct (name, _)) -> name = flag) with
                | Some(struct (name, text)) -> ValueSome { Origin = name; Text = text }
                | None -> variable flag

            let flagLabels =
                flags
                |> List.filter (fun (struct (name, _)) -> name = "--label")
                |> List.map (fun (struct (name, text)) -> { Origin = name; Text = text })
                |> Array.ofList

            let isAboutIncomplete (error: ConfigError) =
                words.Incomplete
                |> List.exists (fun flag -> error.Message.StartsWith($"Missing {flag} ", StringComparison.Ordinal))

            match Settings.validate given flagLabels (variable "--label") with
            | Ok settings when words.Errors.IsEmpty -> Ok(Command.Run settings)
            | Ok _ -> Error(words.Errors |> List.rev |> Array.ofList)
            | Error errors ->
                List.rev words.Errors @ List.filter (isAboutIncomplete >> not) errors
                |> Array.ofList
                |> Error
