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
    | [<EqualsAssignmentOrSpaced>] Token_File of path: string
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
    | [<EqualsAssignmentOrSpaced>] Ca_File of path: string
    | [<EqualsAssignmentOrSpaced>] Client_Cert of path: string
    | [<EqualsAssignmentOrSpaced>] Client_Key of path: string
    | [<EqualsAssignmentOrSpaced>] Spool of directory: string
    | [<EqualsAssignmentOrSpaced>] Spool_Max_Mb of megabytes: string
    | [<EqualsAssignmentOrSpaced>] Listen of address: string
    | [<EqualsAssignmentOrSpaced>] Listen_Token_File of path: string
    | Doctor
    | Json
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
            | Token _ -> "ingest token of this server (required). Shown by ps; the file and the variable are not."
            | Token_File _ -> "file that holds the token; read again when the webapp refuses it."
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
            | Ca_File _ -> "PEM certificates of issuers to trust beside the system's."
            | Client_Cert _ -> "PEM certificate to show to the webapp."
            | Client_Key _ -> "PEM private key of that certificate (default: in the same file)."
            | Spool _ -> "directory that keeps undelivered samples (default: $STATE_DIRECTORY, else in memory)."
            | Spool_Max_Mb _ -> "megabytes that may wait there; over it the oldest go (default: 256)."
            | Listen _ -> "IP address and port at which Prometheus finds /metrics, such as 127.0.0.1:9835; --host is optional then."
            | Listen_Token_File _ -> "file with the bearer token of those who may read the metrics; needed beyond this machine."
            | Doctor -> "check everything once, say what is wrong and how to mend it, and exit: 0, or 1 if something is."
            | Json -> "with --doctor: print JSON."
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
    | AgentArgument.Token_File value -> struct ("--token-file", value)
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
    | AgentArgument.Ca_File value -> struct ("--ca-file", value)
    | AgentArgument.Client_Cert value -> struct ("--client-cert", value)
    | AgentArgument.Client_Key value -> struct ("--client-key", value)
    | AgentArgument.Spool value -> struct ("--spool", value)
    | AgentArgument.Spool_Max_Mb value -> struct ("--spool-max-mb", value)
    | AgentArgument.Listen value -> struct ("--listen", value)
    | AgentArgument.Listen_Token_File value -> struct ("--listen-token-file", value)
    | AgentArgument.Doctor -> struct ("--doctor", "true")
    | AgentArgument.Json -> struct ("--json", "true")
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
        /// Switches that were given a value, each with its value.
        Switches: struct (string * string) list
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

let private quoted (text: string) =
    $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

let private usageError (origin: string) (message: string) : ConfigError =
    {
        Origin = origin
        Message = $"{message}; see {ProgramName} --help"
    }

/// True when the command line seems to carry a token, be it behind a misspelt option.
let private mentionsToken (argv: string[]) : bool =
    argv
    |> Array.exists (fun word ->
        word.Contains("tok", StringComparison.OrdinalIgnoreCase)
        || word.StartsWith("-t", StringComparison.OrdinalIgnoreCase))

/// The part of a word that an option's name could be. What is glued to it, as in `--token:abc`, may be a secret.
let private nameIn (word: string) : string =
    match word |> Seq.tryFindIndex (fun c -> not (Char.IsAsciiLetter c || c = '-')) with
    | Some past -> word.Substring(0, past) + "…"
    | None -> word

/// Argu stops at the first word it does not know, and repeats it, be it a token. This walk names every such word, and
/// never repeats what may be a secret.
let private walk (argv: string[]) (hidesWords: bool) : Words =
    let table = takesValue.Value

    let withError name message found =
        { found with
            Errors = usageError name message :: found.Errors
        }

    let withoutValue name reason found =
        { withError name $"{name} {reason}" found with
            Incomplete = name :: found.Incomplete
        }

    let withValue (name: string) (value: string) found =
        if value = "" then
            withoutValue name "needs a value" found
        else
            // After `=` a value may begin with a dash, but Argu does not see one of several lines there.
            let words =
                if value.AsSpan().ContainsAny('\n', '\r') then
                    [ value; name ]
                else
                    [ $"{name}={value}" ]

            { found with
                Flags = words @ found.Flags
            }

    let rec step (words: string list) (found: Words) =
        match words with
        | [] -> found
        | word :: rest when word.StartsWith("--", StringComparison.Ordinal) ->
            let separator = word.IndexOf '='
            let name = if separator < 0 then word else word.Substring(0, separator)

            match table.TryGetValue name, rest with
            | (true, true), _ when separator >= 0 -> found |> withValue name (word.Substring(separator + 1)) |> step rest
            | (true, true), value :: rest when not (value.StartsWith("--", StringComparison.Ordinal)) ->
                found |> withValue name value |> step rest
            | (true, true), _ -> found |> withoutValue name "needs a value" |> step rest
            | (true, false), _ when separator >= 0 && name = "--version" -> found |> withError name $"{name} takes no value" |> step rest
            | (true, false), _ when separator >= 0 ->
                // Argu has no switches with a value; Settings reads it as it reads a variable.
                { found with
                    Switches = struct (name, word.Substring(separator + 1)) :: found.Switches
                }
                |> step rest
            | (true, false), _ ->
                { found with
                    Flags = name :: found.Flags
                }
                |> step rest
            | _ ->
                // A token that begins with dashes, behind the option that should have taken it.
                let shown =
                    if List.tryHead found.Incomplete = Some "--token" then
                        "an argument"
                    else
                        nameIn name

                // The word after it is most likely its value.
                let rest =
                    match rest with
                    | value :: others when separator < 0 && not (value.StartsWith '-') -> others
                    | rest -> rest

                found |> withError "command line" $"{shown} is not an option" |> step rest
        | word :: rest ->
            let shown = if hidesWords then "an argument" else quoted word
            let shown = $"command line: {shown}"
            found |> withError "command line" $"{shown} is not an option" |> step rest

    step
        (List.ofArray argv)
        {
            Flags = []
            Switches = []
            Incomplete = []
            Errors = []
        }

let private parseFlags (flags: string[]) : Result<AgentArgument list, ConfigError> =
    try
        Ok(parser.Value.ParseCommandLine(flags, raiseOnUsage = false).GetAllResults())
    with :? ArguParseException ->
        // Its message may repeat a value, so it is not shown.
        Error(usageError "command line" "the command line cannot be read")

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
        let variable (flag: string) : Given voption =
            let name = Settings.variableOf flag

            match environment.Invoke name with
            | null
            | "" -> ValueNone
            | text -> ValueSome { Origin = name; Text = text }

        let words = walk argv (mentionsToken argv || (variable "--token").IsSome)

        match parseFlags (words.Flags |> List.rev |> Array.ofList) with
        | Error error -> Error [| error |]
        | Ok arguments when List.contains AgentArgument.Version arguments && words.Errors.IsEmpty -> Ok Command.Version
        | Ok arguments ->
            let flags = List.map flagAndValue arguments @ List.rev words.Switches

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

            let system name =
                environment.Invoke name |> Option.ofObj |> Option.defaultValue ""

            match Settings.validate given flagLabels (variable "--label") system with
            | Ok settings when words.Errors.IsEmpty -> Ok(Command.Run settings)
            | Ok _ -> Error(words.Errors |> List.rev |> Array.ofList)
            | Error errors ->
                List.rev words.Errors @ List.filter (isAboutIncomplete >> not) errors
                |> Array.ofList
                |> Error
