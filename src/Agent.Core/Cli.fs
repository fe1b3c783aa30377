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
    | [<EqualsAssignmentOrSpaced>] Remote_Write of url: string
    | [<EqualsAssignmentOrSpaced>] Remote_Write_Header_File of path: string
    | [<EqualsAssignmentOrSpaced>] Listen of address: string
    | [<EqualsAssignmentOrSpaced>] Listen_Token_File of path: string
    | Doctor
    | Json
    | Dry_Run
    | [<EqualsAssignmentOrSpaced>] Gpu_Source of reader: string
    | [<EqualsAssignmentOrSpaced>] Nvml_Library of path: string
    | [<EqualsAssignmentOrSpaced>] Procfs of directory: string
    | [<EqualsAssignmentOrSpaced>] Sysfs of directory: string
    | [<EqualsAssignmentOrSpaced>] Rootfs of directory: string
    | Version

    interface IArgParserTemplate with
        member argument.Usage =
            match argument with
            | Host _ -> "base URL of the webapp, http or https, such as http://dashboard-host:8000; a path prefix is allowed (required)."
            | Server_Slug _ -> "slug of this server at the webapp (required)."
            | Token _ -> "ingest token of this server (required). Shown by ps; the file and the variable are not."
            | Token_File _ -> "file that holds the token; read again when the webapp refuses it."
            | Hostname _ -> "host name to send as metadata (default: the machine's name)."
            | Interval _ -> "seconds from one sample to the next (default: 2, at least 0.5, at most a day)."
            | Cpu_Sample_Interval _ -> "seconds over which CPU usage is measured; 0: since the previous sample (default: 0.2)."
            | Timeout _ -> "seconds for one whole request, from connecting to the end of the answer (default: 5, at most 600)."
            | Once -> "send one sample and exit: 0 if it was accepted, else 1."
            | Disks _ -> "comma-separated block devices to track (default: all physical disks)."
            | Interfaces _ -> "comma-separated network interfaces to track (default: all but lo)."
            | Label _ -> "metadata of the form key=value; repeatable. Its variable takes several, separated by commas."
            | Quiet -> "no routine lines on standard output."
            | Log_Level _ -> "DEBUG, INFO, WARNING, ERROR or CRITICAL (default: INFO, or WARNING with --quiet)."
            | Insecure -> "do not verify TLS certificates; for testing only."
            | Ca_File _ -> "PEM certificates of issuers to trust beside the system's."
            | Client_Cert _ -> "PEM certificate to show to the webapp."
            | Client_Key _ -> "PEM private key of that certificate (default: in the same file)."
            | Spool _ -> "directory that keeps undelivered samples (default: $STATE_DIRECTORY, else in memory)."
            | Spool_Max_Mb _ -> "megabytes that may wait there for each destination; over it the oldest go (default: 256)."
            | Remote_Write _ ->
                "URL of a receiver of Prometheus remote-write, such as http://prometheus:9090/api/v1/write; --host is optional then."
            | Remote_Write_Header_File _ ->
                "file with headers for it, one a line as Name: value: tenants and tokens; read again when it changes."
            | Listen _ -> "IP address and port at which Prometheus finds /metrics, such as 127.0.0.1:9835; --host is optional then."
            | Listen_Token_File _ -> "file with the bearer token of those who may read the metrics; needed beyond this machine."
            | Doctor -> "check everything once, say what is wrong and how to mend it, and exit: 0, or 1 if something is."
            | Json -> "with --doctor: print JSON."
            | Dry_Run -> "print request bodies instead of sending them; needs no host, slug or token."
            | Gpu_Source _ -> "who is asked about GPUs: nvml, nvidia-smi, none, or auto: nvml if it works, else nvidia-smi (default: auto)."
            | Nvml_Library _ -> "file of NVIDIA's library (default: libnvidia-ml.so.1 where the dynamic linker finds it)."
            | Procfs _ -> "directory to read in place of /proc, in a container that sees its host's (default: /proc)."
            | Sysfs _ -> "the same for /sys (default: /sys)."
            | Rootfs _ -> "directory under which mount points are looked up (default: /)."
            | Version -> "print the version and exit."

/// One option as `--help` shows it, for manuals and completions.
type OptionDescription =
    {
        /// `--interval`
        Name: string
        /// What its value stands for, such as `seconds`; empty for a switch.
        Placeholder: string
        /// One sentence, with `(default: …)` or `(required)` at its end where that applies.
        Text: string
    }

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

/// Given, so that Argu does not ask the terminal for it.
[<Literal>]
let private HelpWidth = 80

/// For `--help` alone.
let private parser =
    lazy ArgumentParser.Create<AgentArgument>(programName = ProgramName, usageStringCharacterWidth = HelpWidth)

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
    | AgentArgument.Remote_Write value -> struct ("--remote-write", value)
    | AgentArgument.Remote_Write_Header_File value -> struct ("--remote-write-header-file", value)
    | AgentArgument.Listen value -> struct ("--listen", value)
    | AgentArgument.Listen_Token_File value -> struct ("--listen-token-file", value)
    | AgentArgument.Doctor -> struct ("--doctor", "true")
    | AgentArgument.Json -> struct ("--json", "true")
    | AgentArgument.Dry_Run -> struct ("--dry-run", "true")
    | AgentArgument.Gpu_Source value -> struct ("--gpu-source", value)
    | AgentArgument.Nvml_Library value -> struct ("--nvml-library", value)
    | AgentArgument.Procfs value -> struct ("--procfs", value)
    | AgentArgument.Sysfs value -> struct ("--sysfs", value)
    | AgentArgument.Rootfs value -> struct ("--rootfs", value)
    | AgentArgument.Version -> struct ("--version", "true")

/// Every option, in the order of `--help`.
[<CompiledName "Describe">]
let describe () : OptionDescription[] =
    [|
        for case in parser.Value.GetArgumentCases() do
            match case.CommandLineNames.Value, case.UnionCaseInfo.GetFields() with
            | [], _ -> ()
            | name :: _, fields ->
                {
                    Name = name
                    Placeholder = fields |> Array.tryHead |> Option.map _.Name |> Option.defaultValue ""
                    Text = case.Description.Value
                }
    |]

/// One of each case, those that take a value with an empty one. Argu could be asked for them, but finding out by
/// reflection takes longer, and leaves more garbage, than everything else the agent does until its first sample is sent.
let private every =
    [
        AgentArgument.Host ""
        AgentArgument.Server_Slug ""
        AgentArgument.Token ""
        AgentArgument.Token_File ""
        AgentArgument.Hostname ""
        AgentArgument.Interval ""
        AgentArgument.Cpu_Sample_Interval ""
        AgentArgument.Timeout ""
        AgentArgument.Once
        AgentArgument.Disks ""
        AgentArgument.Interfaces ""
        AgentArgument.Label ""
        AgentArgument.Quiet
        AgentArgument.Log_Level ""
        AgentArgument.Insecure
        AgentArgument.Ca_File ""
        AgentArgument.Client_Cert ""
        AgentArgument.Client_Key ""
        AgentArgument.Spool ""
        AgentArgument.Spool_Max_Mb ""
        AgentArgument.Remote_Write ""
        AgentArgument.Remote_Write_Header_File ""
        AgentArgument.Listen ""
        AgentArgument.Listen_Token_File ""
        AgentArgument.Doctor
        AgentArgument.Json
        AgentArgument.Dry_Run
        AgentArgument.Gpu_Source ""
        AgentArgument.Nvml_Library ""
        AgentArgument.Procfs ""
        AgentArgument.Sysfs ""
        AgentArgument.Rootfs ""
        AgentArgument.Version
    ]

/// Every flag, and whether it takes a value. A test compares it with what Argu finds in the union.
let internal takesValue: Lazy<IReadOnlyDictionary<string, bool>> =
    lazy
        (let table = Dictionary<string, bool>(StringComparer.Ordinal)

         for argument in every do
             let struct (name, value) = flagAndValue argument
             table[name] <- value = ""

         table :> IReadOnlyDictionary<string, bool>)

/// What a walk over argv found.
[<Struct>]
type private Words =
    {
        /// The good flags, each with its value.
        Flags: struct (string * string) list
        /// Flags that lack their value.
        Incomplete: string list
        /// What cannot be used, as sentences.
        Errors: ConfigError list
    }

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

/// Names every word that is not known, where Argu would stop at the first and repeat it, be it a token. What may be a
/// secret is never repeated.
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
            { found with
                Flags = struct (name, value) :: found.Flags
            }

    let rec step (words: string list) (found: Words) =
        match words with
        | [] -> found
        | word :: rest when word.StartsWith("--", StringComparison.Ordinal) ->
            let separator = word.IndexOf '='
            let name = if separator < 0 then word else word.Substring(0, separator)

            match table.TryGetValue name, rest with
            | (true, true), _ when separator >= 0 -> step rest (found |> withValue name (word.Substring(separator + 1)))
            | (true, true), value :: rest when not (value.StartsWith("--", StringComparison.Ordinal)) ->
                step rest (found |> withValue name value)
            | (true, true), _ -> step rest (found |> withoutValue name "needs a value")
            | (true, false), _ when separator >= 0 && name = "--version" -> step rest (found |> withError name $"{name} takes no value")
            | (true, false), _ when separator >= 0 ->
                // Settings reads it as it reads a variable.
                step
                    rest
                    { found with
                        Flags = struct (name, word.Substring(separator + 1)) :: found.Flags
                    }
            | (true, false), _ ->
                step
                    rest
                    { found with
                        Flags = struct (name, "true") :: found.Flags
                    }
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

                step rest (found |> withError "command line" $"{shown} is not an option")
        | word :: rest ->
            let shown = if hidesWords then "an argument" else quoted word
            let shown = $"command line: {shown}"
            step rest (found |> withError "command line" $"{shown} is not an option")

    step
        (List.ofArray argv)
        {
            Flags = []
            Incomplete = []
            Errors = []
        }

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

        let given (flag: string) : Given voption =
            // The last one comes first here.
            match words.Flags |> List.tryFind (fun (struct (name, _)) -> name = flag) with
            | Some(struct (name, text)) -> ValueSome { Origin = name; Text = text }
            | None -> variable flag

        let flagLabels =
            words.Flags
            |> List.filter (fun (struct (name, _)) -> name = "--label")
            |> List.rev
            |> List.map (fun (struct (name, text)) -> { Origin = name; Text = text })
            |> Array.ofList

        let isAboutIncomplete (error: ConfigError) =
            words.Incomplete
            |> List.exists (fun flag -> error.Message.StartsWith($"Missing {flag} ", StringComparison.Ordinal))

        let system name =
            environment.Invoke name |> Option.ofObj |> Option.defaultValue ""

        let wantsVersion = words.Flags |> List.exists (fun (struct (name, _)) -> name = "--version")

        if wantsVersion && words.Errors.IsEmpty then
            Ok Command.Version
        else
            match Settings.validate given flagLabels (variable "--label") system with
            | Ok settings when words.Errors.IsEmpty -> Ok(Command.Run settings)
            | Ok _ -> Error(words.Errors |> List.rev |> Array.ofList)
            | Error errors ->
                List.rev words.Errors @ List.filter (isAboutIncomplete >> not) errors
                |> Array.ofList
                |> Error
