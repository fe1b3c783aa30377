/// What is written about the options: the table of the README, the manual page and the completions of the shells. All of
/// it comes from the one union that the command line is parsed with. build/Docs.fsx writes the files, and a test of the
/// repository compares them.
module Agent.Build.OptionDocs

open System
open Agent.Core
open Agent.Sender

/// All options but --help, in the order of `--help`.
let options: Cli.OptionDescription list = Cli.describe () |> List.ofArray

// ---- README --------------------------------------------------------------------------------------------------------

/// What stands before and after the table in the README.
let tableMarks = "<!-- options: written by `build.fsx -t Docs` -->\n", "<!-- end of options -->"

let private withPlaceholder (option: Cli.OptionDescription) =
    if option.Placeholder = "" then
        option.Name
    else
        $"{option.Name} {option.Placeholder}"

/// The table of the README, a line each.
let table: string =
    [
        "| option | default | meaning |"
        "|---|---|---|"
        for option in options do
            $"| `{withPlaceholder option}` | {option.Default} | {option.Meaning} |"
        "| `--help`, `-h` | | print the options and exit |"
        ""
    ]
    |> String.concat "\n"
    |> fun text -> text.Replace("|  |", "| |")

/// A text with the table put between its marks; the text as it is where they are missing.
let withTable (readme: string) : string = Pages.withPart tableMarks table readme

// ---- Manual page ---------------------------------------------------------------------------------------------------

let private manualEntry (option: Cli.OptionDescription) =
    [
        ".TP"
        if option.Placeholder = "" then
            $@".B {ShellText.roff option.Name}"
        else
            $@"\fB{ShellText.roff option.Name}\fR \fI{ShellText.roff option.Placeholder}\fR"
        ShellText.roff option.Meaning + "."
        match option.Default with
        | "" -> ()
        | "required" -> "Required."
        | value -> $"Default: {ShellText.roff value}."
    ]

/// ai-dashboard-agent(8), for `man`.
let manual: string =
    [
        @".\"" Written by `build.fsx -t Docs` from the options themselves."
        @".TH AI\-DASHBOARD\-AGENT 8 """" ""FunctionalAgent"" ""System Administration"""
        ".SH NAME"
        @"ai\-dashboard\-agent \- monitoring agent for machines that train models"
        ".SH SYNOPSIS"
        @".B ai\-dashboard\-agent"
        @"\fB\-\-host\fR \fIURL\fR \fB\-\-server\-slug\fR \fISLUG\fR \fB\-\-token\-file\fR \fIFILE\fR"
        @"[\fIOPTION\fR ...]"
        ".br"
        @".B ai\-dashboard\-agent \-\-doctor"
        @"[\fIOPTION\fR ...]"
        ".SH DESCRIPTION"
        "Reads CPU, memory, swap, disk and network counters, temperatures, fans and NVIDIA GPUs every second or two, and"
        "posts one JSON sample to a central webapp, which says what holds the training back."
        "Samples that cannot be delivered wait and are sent, oldest first, when the webapp is back."
        ".PP"
        "Standard output carries one line for each accepted sample; warnings and errors go to standard error."
        ".SH OPTIONS"
        "If an option is repeated, the last one wins; labels add up."
        @"A value that begins with a dash is written \fB\-\-token=\-abc\fR."
        yield! options |> List.collect manualEntry
        ".TP"
        @".BR \-\-help ,\  \-h"
        "Print the options and exit."
        ".SH ENVIRONMENT"
        "Every option except"
        @".BR \-\-help\  and\  \-\-version"
        @"has a variable: AI_DASHBOARD_ and the option's name in capitals with _ for \-, such as"
        ".BR AI_DASHBOARD_SERVER_SLUG ."
        "An option overrides its variable, a variable overrides the default, and an empty variable counts as unset."
        ".SH EXIT STATUS"
        ".TP"
        ".B 0"
        @"a run that was ended by a signal, an accepted \fB\-\-once\fR, a \fB\-\-doctor\fR that found nothing wrong, or a \fB\-\-why\fR that found nothing held back"
        ".TP"
        ".B 1"
        @"a \fB\-\-once\fR that was not accepted, a \fB\-\-doctor\fR that found something wrong, a \fB\-\-why\fR that saw too little, or output that cannot be written"
        ".TP"
        ".B 2"
        "options that cannot be used; each error is one line"
        ".TP"
        ".B 3"
        @"a \fB\-\-why\fR that found a job held back"
        ".SH SIGNALS"
        "SIGTERM, SIGINT and SIGHUP let the request in flight finish; a second one does not wait for it."
        ".PP"
        "SIGUSR1 releases the GPUs, so that they can be reset or partitioned; the next SIGUSR1 takes them back."
        ".SH FILES"
        ".TP"
        @".I /etc/default/ai\-dashboard\-agent"
        "variables of the service"
        ".TP"
        @".I /etc/ai\-dashboard\-agent/ingest\-token"
        "the service's ingest token, readable only by root"
        ".TP"
        @".I /var/lib/ai\-dashboard\-agent"
        "the service's samples that wait for delivery"
        ".SH EXAMPLES"
        "Check everything once and say what to do:"
        ".PP"
        ".nf"
        @"ai\-dashboard\-agent \-\-doctor \-\-host http://dashboard\-host:8000 \-\-server\-slug gpu\-box\-01 \-\-token\-file FILE"
        ".fi"
        ".PP"
        "See one sample without a webapp:"
        ".PP"
        ".nf"
        @"ai\-dashboard\-agent \-\-once \-\-dry\-run"
        ".fi"
        ".PP"
        "Serve metrics to a Prometheus on this machine, or send them to one elsewhere, with or without a webapp:"
        ".PP"
        ".nf"
        @"ai\-dashboard\-agent \-\-listen 127.0.0.1:9835"
        @"ai\-dashboard\-agent \-\-remote\-write https://prometheus.example.com/api/v1/write"
        ".fi"
        ".PP"
        "Ask why a training is slow:"
        ".PP"
        ".nf"
        @"ai\-dashboard\-agent \-\-why"
        ".fi"
        ".SH SEE ALSO"
        ".BR systemctl (1),"
        ".BR proc (5)"
        ""
    ]
    |> String.concat "\n"

// ---- Completions ---------------------------------------------------------------------------------------------------

let private isFile (option: Cli.OptionDescription) =
    List.contains option.Placeholder [ "PATH"; "FILE" ]

let private isDirectory (option: Cli.OptionDescription) = option.Placeholder = "DIRECTORY"

let private wordsOf (option: Cli.OptionDescription) : string list = List.ofArray option.Words

let private namesOf (choose: Cli.OptionDescription -> bool) : string list =
    options |> List.filter choose |> List.map _.Name

let private cases (names: string list) = String.concat "|" names

/// For bash-completion.
let bash: string =
    [
        "# Completion of ai-dashboard-agent for bash. Written by `build.fsx -t Docs`."
        "_ai_dashboard_agent() {"
        "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}"
        "  case $previous in"
        $"    {cases (namesOf isFile)})"
        "      mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;"
        $"    {cases (namesOf isDirectory)})"
        "      mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); return ;;"
        for option in options do
            match wordsOf option with
            | [] -> ()
            | words ->
                let words = String.concat " " words
                $"    {option.Name}) mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$current\"); return ;;"
        let others =
            namesOf (fun o -> o.Placeholder <> "" && not (isFile o) && not (isDirectory o) && wordsOf o = [])

        $"    {cases others}) return ;;"
        "  esac"
        let all = String.concat " " (namesOf (fun _ -> true) @ [ "--help" ])
        $"  mapfile -t COMPREPLY < <(compgen -W '{all}' -- \"$current\")"
        "}"
        "complete -o filenames -F _ai_dashboard_agent ai-dashboard-agent"
        ""
    ]
    |> String.concat "\n"


/// For zsh.
let zsh: string =
    let entry (option: Cli.OptionDescription) =
        let meaning = ShellText.zsh option.Meaning

        let value =
            match option with
            | { Placeholder = "" } -> ""
            | option when wordsOf option <> [] -> $""":{option.Placeholder}:({String.concat " " (wordsOf option)})"""
            | option when isFile option -> $":{option.Placeholder}:_files"
            | option when isDirectory option -> $":{option.Placeholder}:_files -/"
            | option -> $":{option.Placeholder}: "

        $@"  '{option.Name}[{meaning}]{value}' \"

    [
        "#compdef ai-dashboard-agent"
        "# Completion of ai-dashboard-agent for zsh. Written by `build.fsx -t Docs`."
        @"_arguments \"
        yield! options |> List.map entry
        "  '--help[print the options and exit]'"
        ""
    ]
    |> String.concat "\n"

/// For fish.
let fish: string =
    let entry (option: Cli.OptionDescription) =
        let value =
            match option with
            | { Placeholder = "" } -> " -f"
            | option when wordsOf option <> [] -> $""" -x -a '{String.concat " " (wordsOf option)}'"""
            | option when isFile option -> " -r -F"
            | option when isDirectory option -> " -x -a '(__fish_complete_directories)'"
            | _ -> " -x"

        $"complete -c ai-dashboard-agent -l {option.Name.Substring 2} -d '{ShellText.fish option.Meaning}'{value}"

    [
        "# Completion of ai-dashboard-agent for fish. Written by `build.fsx -t Docs`."
        "complete -c ai-dashboard-agent -f"
        yield! options |> List.map entry
        "complete -c ai-dashboard-agent -l help -s h -d 'print the options and exit' -f"
        ""
    ]
    |> String.concat "\n"

/// Every file that is written whole: its path in the repository and its text.
let files: (string * string) list =
    [
        "packaging/man/ai-dashboard-agent.8", manual
        "packaging/completions/ai-dashboard-agent.bash", bash
        "packaging/completions/ai-dashboard-agent.zsh", zsh
        "packaging/completions/ai-dashboard-agent.fish", fish
    ]
