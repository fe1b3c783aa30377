/// The command line: one Argu union, and the meaning of argv and the environment.
module Agent.Sender.Cli

open System
open System.Text
open Argu
open Agent
open Agent.Core
open Agent.Outbound

/// What is known of an option beside its name and the name of its value.
[<Struct; NoComparison>]
type internal OptionRow =
    {
        /// The heading of `--help` that it stands under.
        Group: string
        /// `required`, what goes without it, or empty.
        Default: string
        /// What it does: a sentence without its full stop.
        Meaning: string
    }

[<Literal>]
let private webapp = "The webapp"

[<Literal>]
let private sampling = "Sampling"

[<Literal>]
let private prometheus = "Prometheus"

[<Literal>]
let private openTelemetry = "OpenTelemetry"

[<Literal>]
let private running = "Operation"

let private row group standard meaning =
    {
        Group = group
        Default = standard
        Meaning = meaning
    }

/// Every option: the one list of them. The name on the command line and of the variable follow from the case's name. All values are text
/// and may be missing: Argu stops at the first bad value or missing one, while `parse` and Settings look at all of them and report every
/// error at once.
[<RequireQualifiedAccess; NoComparison>]
type internal AgentArgument =
    | [<EqualsAssignmentOrSpaced>] Host of url: string option
    | [<EqualsAssignmentOrSpaced>] Server_Slug of slug: string option
    | [<EqualsAssignmentOrSpaced>] Token of token: string option
    | [<EqualsAssignmentOrSpaced>] Token_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Enrol_Key_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Hostname of name: string option
    | [<EqualsAssignmentOrSpaced>] Label of label: string option
    | [<EqualsAssignmentOrSpaced>] Timeout of seconds: string option
    | Insecure
    | [<EqualsAssignmentOrSpaced>] Ca_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Client_Cert of path: string option
    | [<EqualsAssignmentOrSpaced>] Client_Key of path: string option
    | [<EqualsAssignmentOrSpaced>] Spool of directory: string option
    | [<EqualsAssignmentOrSpaced>] Spool_Max_Mb of megabytes: string option
    | [<EqualsAssignmentOrSpaced>] Interval of seconds: string option
    | [<EqualsAssignmentOrSpaced>] Cpu_Sample_Interval of seconds: string option
    | [<EqualsAssignmentOrSpaced>] Disks of names: string option
    | [<EqualsAssignmentOrSpaced>] Interfaces of names: string option
    | [<EqualsAssignmentOrSpaced>] Gpu_Source of reader: string option
    | [<EqualsAssignmentOrSpaced>] Nvml_Library of path: string option
    | [<EqualsAssignmentOrSpaced>] Job_Detail of detail: string option
    | [<EqualsAssignmentOrSpaced>] Gpu_Job_Directory of directory: string option
    | [<EqualsAssignmentOrSpaced>] Procfs of directory: string option
    | [<EqualsAssignmentOrSpaced>] Sysfs of directory: string option
    | [<EqualsAssignmentOrSpaced>] Rootfs of directory: string option
    | [<EqualsAssignmentOrSpaced>] Listen of address: string option
    | [<EqualsAssignmentOrSpaced>] Listen_Token_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Collectors of names: string option
    | [<EqualsAssignmentOrSpaced>] Textfile_Directory of directory: string option
    | [<EqualsAssignmentOrSpaced>] Remote_Write of url: string option
    | [<EqualsAssignmentOrSpaced>] Remote_Write_Header_File of path: string option
    | [<EqualsAssignmentOrSpaced>] Otlp of url: string option
    | [<EqualsAssignmentOrSpaced>] Otlp_Header_File of path: string option
    | Once
    | Dry_Run
    | Doctor
    | Health
    | Why
    | [<EqualsAssignmentOrSpaced>] Seconds of seconds: string option
    | [<EqualsAssignmentOrSpaced>] Job of id: string option
    | Json
    | Quiet
    | [<EqualsAssignmentOrSpaced>] Log_Level of level: string option
    | Version

    member argument.Row: OptionRow =
        match argument with
        | Host _ ->
            row webapp "required" "base URL of the webapp, http or https, such as http://dashboard-host:8000; a path prefix is allowed"
        | Server_Slug _ -> row webapp "required" "slug of this server in the webapp"
        | Token _ ->
            row webapp "required" "ingest token of this server; visible in ps, unlike the file and the variable; the file is not read then"
        | Token_File _ -> row webapp "" "file that contains the token; read again when the webapp refuses the token"
        | Enrol_Key_File _ ->
            row
                webapp
                ""
                "file with an enrolment key of ai-dashboard; this machine gets its slug and token with it, once, and keeps them in --spool"
        | Hostname _ -> row webapp "the machine's name" "host name to send as metadata"
        | Label _ -> row webapp "" "metadata of the form key=value; repeatable; the variable takes several, separated by commas"
        | Timeout _ -> row webapp "5, at most 600" "seconds for one whole request, from connecting to the end of the answer"
        | Insecure -> row webapp "" "do not verify TLS certificates; for testing only"
        | Ca_File _ -> row webapp "" "PEM certificates of issuers to trust in addition to the system's"
        | Client_Cert _ -> row webapp "" "PEM certificate to present to the webapp"
        | Client_Key _ -> row webapp "in the same file" "PEM private key of that certificate"
        | Spool _ -> row webapp "$STATE_DIRECTORY, else in memory" "directory that keeps undelivered samples"
        | Spool_Max_Mb _ -> row webapp "256" "limit in megabytes for each destination; beyond it the oldest samples are dropped"
        | Interval _ -> row sampling "2, at least 0.5, at most a day" "seconds from one sample to the next"
        | Cpu_Sample_Interval _ -> row sampling "0.2" "seconds over which CPU usage is measured; 0: since the previous sample"
        | Disks _ -> row sampling "all physical disks" "comma-separated block devices to track"
        | Interfaces _ -> row sampling "all but lo" "comma-separated network interfaces to track"
        | Gpu_Source _ -> row sampling "auto" "how GPUs are read: nvml, nvidia-smi, none, or auto: nvml if it works, else nvidia-smi"
        | Nvml_Library _ -> row sampling "libnvidia-ml.so.1 where the dynamic linker finds it" "path of NVIDIA's library"
        | Job_Detail _ ->
            row
                sampling
                "names"
                "how much of the command lines of jobs is reported: full, with apparent secrets masked; names, of program and script; or none"
        | Gpu_Job_Directory _ ->
            row
                sampling
                ""
                "directory in which a scheduler lists the jobs of each GPU, as for dcgm-exporter, in files named 0, 1 or 2.0; they become the label hpc_job of metrics"
        | Procfs _ -> row sampling "/proc" "directory to read instead of /proc, for a container that has the host's mounted"
        | Sysfs _ -> row sampling "/sys" "the same for /sys"
        | Rootfs _ -> row sampling "/" "directory under which mount points are looked up"
        | Listen _ ->
            row
                prometheus
                ""
                "IP address and port at which /metrics is served to Prometheus, such as 127.0.0.1:9835; --host is optional then"
        | Listen_Token_File _ ->
            row prometheus "" "file with the bearer token that readers of the metrics must send; required on other than loopback addresses"
        | Collectors _ ->
            row
                prometheus
                "all but processes"
                "comma-separated groups of metrics to switch on, or off with a minus sign before them, such as processes,-arp"
        | Textfile_Directory _ ->
            row prometheus "" "directory in which other programs leave metrics in files *.prom, which are served with the agent's own"
        | Remote_Write _ ->
            row
                prometheus
                ""
                "URL of a receiver of Prometheus remote-write, such as http://prometheus:9090/api/v1/write; --host is optional then"
        | Remote_Write_Header_File _ ->
            row
                prometheus
                ""
                "file with headers for it, such as tenants and tokens, one per line as Name: value; read again when it changes"
        | Otlp _ ->
            row
                openTelemetry
                ""
                "URL of a receiver of OTLP over HTTP, such as http://collector:4318; /v1/metrics follows where it has no path; --host is optional then"
        | Otlp_Header_File _ ->
            row openTelemetry "" "file with headers for it, such as tokens, one per line as Name: value; read again when it changes"
        | Once -> row running "" "send one sample and exit: 0 if it was accepted, else 1"
        | Dry_Run -> row running "" "print request bodies instead of sending them; needs no host, slug or token"
        | Doctor -> row running "" "check everything once, say what is wrong and how to fix it, and exit: 0, or 1 if something is wrong"
        | Health -> row running "" "ask the agent that runs at --listen whether it is taking samples, and exit: 0 if it is, else 1"
        | Why ->
            row
                running
                ""
                "watch, say who uses the GPUs and what holds each job back, and exit: 0 if nothing is held back, 3 if something is, else 1"
        | Seconds _ -> row running "30, from 20 to 600" "with --why: how long to watch"
        | Job _ ->
            row
                running
                ""
                "with --why: ask the agent that runs at --listen what the GPU time of this job of Slurm went into, instead of watching"
        | Json -> row running "" "with --doctor or --why: print JSON"
        | Quiet -> row running "" "no routine lines on standard output"
        | Log_Level _ -> row running "INFO, or WARNING with --quiet" "DEBUG, INFO, WARNING, ERROR or CRITICAL"
        | Version -> row running "" "print the version and exit"

    /// The words that it takes, where there are few.
    member argument.Words: string[] =
        match argument with
        | Gpu_Source _ -> Array.map fst GivenValues.gpuReaders
        | Job_Detail _ -> Array.map fst GivenValues.jobDetails
        | Log_Level _ -> Array.map fst GivenValues.logLevels
        | _ -> [||]

    interface IArgParserTemplate with
        member argument.Usage = argument.Row.Meaning

/// One option as `--help` shows it, for manuals and completions.
[<NoComparison>]
type OptionDescription =
    {
        /// `--interval`
        Name: string
        /// What its value stands for, such as `SECONDS`; empty for a switch.
        Placeholder: string
        /// `AI_DASHBOARD_INTERVAL`; empty where it has none.
        Variable: string
        /// The heading of `--help` that it stands under.
        Group: string
        /// `2`, `required`, or empty.
        Default: string
        /// What it does: a sentence without its full stop.
        Meaning: string
        /// The words that it takes, where there are few; empty otherwise.
        Words: string[]
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

let private parser = CommandLine.Parser<AgentArgument> ProgramName

/// Every option, in the order of `--help`.
[<CompiledName "Describe">]
let describe () : OptionDescription[] =
    parser.Options
    |> Array.map (fun (struct (name, placeholder, argument)) ->
        let row = argument.Row

        {
            Name = name
            Placeholder = placeholder
            Variable =
                match argument with
                | AgentArgument.Version -> ""
                | _ -> Flag.variable name
            Group = row.Group
            Default = row.Default
            Meaning = row.Meaning
            Words = argument.Words
        })

/// The meaning of argv.
[<Struct; NoComparison>]
type private Words =
    {
        /// The good flags, each with its value, the last one first.
        Flags: struct (string * string) list
        /// Flags that lack their value.
        Incomplete: string list
        /// What cannot be used, as sentences.
        Errors: ConfigError list
    }

let private quoted (text: string) =
    $"\"{Text.excerpt (ReadOnlySpan(Encoding.UTF8.GetBytes text))}\""

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

/// What argv says. Words that are unknown are named without what may be a secret, a token most of all.
let private read (argv: string[]) (hidesWords: bool) : Words =
    let failed name message (found: Words) =
        { found with
            Errors = usageError name message :: found.Errors
        }

    let flagged name value (found: Words) =
        { found with
            Flags = struct (name, value) :: found.Flags
        }

    /// Of a repeated switch the last one counts, with the value that it may have.
    let switchValue (name: string) =
        let last =
            argv
            |> Array.findBack (fun word -> word = name || word.StartsWith(name + "=", StringComparison.Ordinal))

        if last = name then
            "true"
        else
            last.Substring(name.Length + 1)

    // What is glued to an option may be a token, which no short word of letters is.
    let isHarmless (text: string) =
        not hidesWords && text.Length <= 10 && String.forall Char.IsAsciiLetter text

    let value text =
        if isHarmless text then quoted text else "this one"

    let rec step (found: Words) (parts: CommandLine.Part list) =
        match parts with
        | [] -> found
        | CommandLine.Part.Option(name, value) :: rest -> step (flagged name value found) rest
        | CommandLine.Part.SwitchWithValue("--version" as name, text) :: rest ->
            step (failed name $"{name} takes no value; {value text} is one" found) rest
        | CommandLine.Part.Switch name :: rest
        | CommandLine.Part.SwitchWithValue(name, _) :: rest ->
            let text = switchValue name

            match GivenValues.switchOf { Origin = name; Text = text } with
            // Settings reports the others, and repeats nothing.
            | Error _ when isHarmless text ->
                step
                    (found
                     |> flagged name "true"
                     |> failed name $"{name}: {quoted text} is not what a switch takes: {GivenValues.switchWords}, or no value")
                    rest
            | _ -> step (flagged name text found) rest
        | CommandLine.Part.Lacking name :: rest ->
            let found = failed name $"{name} needs a value" found

            step
                { found with
                    Incomplete = name :: found.Incomplete
                }
                rest
        | CommandLine.Part.Unknown word :: rest when word.StartsWith("--help=", StringComparison.Ordinal) ->
            step (failed "--help" $"""--help takes no value; {value (word.Substring "--help=".Length)} is one""" found) rest
        | CommandLine.Part.Unknown word :: rest when word.StartsWith("--", StringComparison.Ordinal) ->
            // A token that begins with dashes, behind the option that should have taken it.
            let shown =
                if List.tryHead found.Incomplete = Some "--token" then
                    "an argument"
                else
                    nameIn (word.Split('=')[0])

            // The word after it is most likely its value.
            let rest =
                match rest with
                | CommandLine.Part.Word _ :: others when not (word.Contains '=') -> others
                | rest -> rest

            step (failed "command line" $"{shown} is not an option" found) rest
        | CommandLine.Part.Unknown word :: rest
        | CommandLine.Part.Word word :: rest ->
            let shown = if hidesWords then "an argument" else quoted word
            step (failed "command line" $"command line: {shown} is not an option" found) rest

    let found =
        step
            {
                Flags = []
                Incomplete = []
                Errors = []
            }
            (parser.Parts argv)

    { found with
        Errors = List.rev found.Errors
    }

/// The text of `--help`.
[<CompiledName "Usage">]
let usage () : string =
    [
        $"USAGE: {ProgramName} --host URL --server-slug SLUG --token-file PATH"
        "                          [OPTION ...]"
        ""
        for group, options in describe () |> Array.groupBy _.Group do
            $"{group}:"

            for option in options do
                yield! CommandLine.entry option.Name option.Placeholder option.Default option.Meaning

            ""
        yield! CommandLine.entry "--help, -h" "" "" "print the options and exit"
        ""
        yield!
            CommandLine.paragraph (
                "Every option except --help and --version has an environment variable: AI_DASHBOARD_ and its name in capitals with _ for -, "
                + "such as AI_DASHBOARD_SERVER_SLUG. An option overrides its variable; an empty variable counts as unset."
            )
        ""
    ]
    |> String.concat "\n"

/// The meaning of `argv` and the environment: a command, or every error in them. Options beat variables, variables
/// beat defaults; if an option is repeated the last one wins, labels add up. `environment` gives a variable's text or null.
[<CompiledName "Parse">]
let parse (argv: string[]) (environment: Func<string, string | null>) : Result<Command, ConfigError[]> =
    let isHelp word = word = "--help" || word = "-h"

    if Array.exists isHelp argv then
        Ok(Command.Help(usage ()))
    else
        let variable (flag: string) : Given voption =
            let name = Flag.variable flag

            match environment.Invoke name with
            | null
            | "" -> ValueNone
            | text -> ValueSome { Origin = name; Text = text }

        let words = read argv (mentionsToken argv || (variable "--token").IsSome)

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
            |> List.exists (fun flag ->
                let flag = if flag = "--token-file" then "--token" else flag
                error.Message.StartsWith($"Missing {flag} ", StringComparison.Ordinal))

        let system name =
            environment.Invoke name |> Option.ofObj |> Option.defaultValue ""

        let wantsVersion = words.Flags |> List.exists (fun (struct (name, _)) -> name = "--version")

        if wantsVersion && words.Errors.IsEmpty then
            Ok Command.Version
        else
            match Settings.validate given flagLabels (variable "--label") system with
            | Ok settings when words.Errors.IsEmpty -> Ok(Command.Run settings)
            | Ok _ -> Error(Array.ofList words.Errors)
            | Error errors ->
                words.Errors @ List.filter (isAboutIncomplete >> not) errors
                |> Array.ofList
                |> Error
