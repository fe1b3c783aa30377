/// What is written about the dashboard's commands and their options: the manual page and the completions of the shells, from the unions
/// that the command line is parsed with. build/Docs.fsx writes the files, and a test compares them.
module Agent.Build.DashboardDocs

open Agent.Receiver

/// An option of a command.
type private Option =
    {
        Name: string
        /// The name of its value; empty for a switch.
        Value: string
        /// Empty where there is none.
        Default: string
        Meaning: string
    }

let private optionsOf (command: DashboardCli.CommandDescription) : Option list =
    [
        for struct (name, value, standard, meaning) in command.Options do
            {
                Name = name
                Value = value
                Default = standard
                Meaning = meaning
            }
    ]

/// All commands, in the order of `--help`.
let commands: DashboardCli.CommandDescription list = DashboardCli.describe () |> List.ofArray

/// The first word of each command, and the commands that begin with it: `users` stands for three.
let private families: (string * DashboardCli.CommandDescription list) list =
    commands |> List.groupBy (fun command -> command.Name.Split(' ')[0])

/// The second word of a command that has two.
let private secondWord (command: DashboardCli.CommandDescription) : string option =
    command.Name.Split ' ' |> Array.tryItem 1

/// What is said about a first word: its command's purpose, or the words that go on.
let private purposeOf (members: DashboardCli.CommandDescription list) : string =
    match members with
    | [ command ] -> command.Purpose
    | several -> several |> List.choose secondWord |> String.concat ", "

// ---- Manual page ---------------------------------------------------------------------------------------------------

let private call (command: DashboardCli.CommandDescription) =
    if command.Word = "" then
        $@"\fB{ShellText.roff command.Name}\fR"
    else
        $@"\fB{ShellText.roff command.Name}\fR \fI{command.Word}\fR"

let private entry (option: Option) =
    [
        ".TP"
        if option.Value = "" then
            $@".B {ShellText.roff option.Name}"
        else
            $@"\fB{ShellText.roff option.Name}\fR \fI{option.Value}\fR"
        ShellText.roff option.Meaning + "."
        if option.Default <> "" then
            $"Default: {ShellText.roff option.Default}."
    ]

/// ai-dashboard(8), for `man`.
let manual: string =
    [
        @".\"" Written by `build.fsx -t Docs` from the commands themselves."
        @".TH AI\-DASHBOARD 8 """" ""FunctionalAgent"" ""System Administration"""
        ".SH NAME"
        @"ai\-dashboard \- dashboard of machines that train models"
        ".SH SYNOPSIS"
        @".B ai\-dashboard"
        @"\fICOMMAND\fR [\fIOPTION\fR ...]"
        ".SH DESCRIPTION"
        "Receives the samples of monitoring agents, stores them in one SQLite database, and shows the fleet in a browser."
        "An answer 200 to an agent means that its sample is on disk."
        ".PP"
        @"All commands but \fBrestore\fR work while \fBserve\fR runs. Of a repeated option the last one wins."
        "The only environment variables that are read are systemd's."
        ".SH COMMANDS"
        for command in commands do
            $".SS {call command}"
            let first = command.Purpose.Substring(0, 1).ToUpperInvariant()
            ShellText.roff (first + command.Purpose.Substring 1) + "."
            yield! optionsOf command |> List.collect entry
        ".SH EXIT STATUS"
        ".TP"
        ".B 0"
        @"done; of \fBcheck\fR: the database is whole"
        ".TP"
        ".B 1"
        @"not done; of \fBcheck\fR: the database is damaged or cannot be read"
        ".TP"
        ".B 2"
        "options that cannot be used, a database that is not there or another program's, one that another dashboard serves, or a question that nobody is there to answer"
        ".SH SIGNALS"
        "SIGTERM, SIGINT and SIGHUP end"
        @"\fBserve\fR"
        "once what has come in is stored."
        ".SH FILES"
        ".TP"
        @".I /etc/default/ai\-dashboard"
        "options of the service"
        ".TP"
        @".I /etc/ai\-dashboard"
        "secrets of the service, readable by root alone"
        ".TP"
        @".I /var/lib/ai\-dashboard/ai\-dashboard.db"
        "the service's database; \\-wal and \\-shm beside it belong to it while it is open, .lock names who serves it"
        ".TP"
        @".I /var/backups/ai\-dashboard"
        "its daily backups"
        ".SH EXAMPLES"
        "Serve on this machine, and register the first one to send:"
        ".PP"
        ".nf"
        @"ai\-dashboard serve"
        @"ai\-dashboard register\-server gpu\-box\-01"
        ".fi"
        ".PP"
        "Look how the service's database is, and put a backup in its place:"
        ".PP"
        ".nf"
        @"sudo \-u ai\-dashboard ai\-dashboard check \-\-database /var/lib/ai\-dashboard/ai\-dashboard.db"
        @"sudo systemctl stop ai\-dashboard"
        @"sudo \-u ai\-dashboard ai\-dashboard restore FILE \-\-database /var/lib/ai\-dashboard/ai\-dashboard.db"
        ".fi"
        ".SH SEE ALSO"
        @".BR ai\-dashboard\-agent (8),"
        ".BR systemctl (1)"
        ""
    ]
    |> String.concat "\n"

// ---- Completions ---------------------------------------------------------------------------------------------------

let private isFile (option: Option) =
    option.Value = "PATH" || option.Value = "FILE"

let private namesOf (command: DashboardCli.CommandDescription) : string =
    (optionsOf command |> List.map _.Name) @ [ "--help" ] |> String.concat " "

let private fileOptions: string list =
    commands
    |> List.collect optionsOf
    |> List.filter isFile
    |> List.map _.Name
    |> List.distinct

let private otherOptions: string list =
    commands
    |> List.collect optionsOf
    |> List.filter (fun option -> option.Value <> "" && not (isFile option))
    |> List.map _.Name
    |> List.distinct

let private cases (names: string list) = String.concat "|" names

/// For bash-completion.
let bash: string =
    [
        "# Completion of ai-dashboard for bash. Written by `build.fsx -t Docs`."
        "_ai_dashboard() {"
        "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words="
        "  if [ \"$COMP_CWORD\" -eq 1 ]; then"
        let all = families |> List.map fst |> String.concat " "
        $"    mapfile -t COMPREPLY < <(compgen -W '{all} --help --version' -- \"$current\"); return"
        "  fi"
        "  case $previous in"
        $"    {cases fileOptions}) mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;"
        $"    {cases otherOptions}) return ;;"
        "  esac"
        "  case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in"

        for command in commands do
            match secondWord command with
            | Some _ -> $"    '{command.Name}') words='{namesOf command}' ;;"
            | None -> $"    '{command.Name} '*) words='{namesOf command}' ;;"

        for name, members in families do
            match List.choose secondWord members with
            | [] -> ()
            | words ->
                let words = String.concat " " words
                $"    '{name} '*) words='{words}' ;;"

        "  esac"
        "  case $current in"
        "    -*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;"
        "    *)"
        "      case ${COMP_WORDS[1]} in"

        let files =
            commands
            |> List.filter (fun command -> command.Word = "FILE")
            |> List.map _.Name

        $"        {cases files}) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;"
        "        *) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\") ;;"
        "      esac ;;"
        "  esac"
        "}"
        "complete -o filenames -F _ai_dashboard ai-dashboard"
        ""
    ]
    |> String.concat "\n"

/// For zsh.
let zsh: string =
    let entry (option: Option) =
        let value =
            match option with
            | { Value = "" } -> ""
            | option when isFile option -> $":{option.Value}:_files"
            | option -> $":{option.Value}: "

        $@"        '{option.Name}[{ShellText.zsh option.Meaning}]{value}' \"

    [
        "#compdef ai-dashboard"
        "# Completion of ai-dashboard for zsh. Written by `build.fsx -t Docs`."
        "local -a commands=("
        for name, members in families do
            $"  '{name}:{ShellText.zsh (purposeOf members)}'"
        ")"
        "if (( CURRENT == 2 )); then"
        "  _describe command commands"
        "  return"
        "fi"
        "local command=$words[2]"
        "shift words"
        "(( CURRENT-- ))"
        for name, members in families do
            match
                members
                |> List.choose (fun command -> secondWord command |> Option.map (fun word -> word, command))
            with
            | [] -> ()
            | several ->
                $"if [[ $command == {name} ]]; then"
                "  if (( CURRENT == 2 )); then"
                "    commands=("

                for word, command in several do
                    $"      '{word}:{ShellText.zsh command.Purpose}'"

                "    )"
                "    _describe command commands"
                "    return"
                "  fi"
                "  command=\"$command $words[2]\""
                "  shift words"
                "  (( CURRENT-- ))"
                "fi"
        "case $command in"
        for command in commands do
            $"  ('{command.Name}')"
            @"      _arguments \"
            yield! optionsOf command |> List.map entry

            match command.Word with
            | "" -> ()
            | "FILE" -> @"        '1:FILE:_files' \"
            | word -> $@"        '1:{word}: ' \"

            "        '--help[print the options and exit]' ;;"
        "esac"
        ""
    ]
    |> String.concat "\n"

/// For fish.
let fish: string =
    let names = families |> List.map fst |> String.concat " "

    let isSeen (command: DashboardCli.CommandDescription) =
        command.Name.Split ' '
        |> Array.map (fun word -> $"__fish_seen_subcommand_from {word}")
        |> String.concat "; and "

    let entry (command: DashboardCli.CommandDescription) (option: Option) =
        let value =
            match option with
            | { Value = "" } -> " -f"
            | option when isFile option -> " -r -F"
            | _ -> " -x"

        $"complete -c ai-dashboard -n '{isSeen command}' -l {option.Name.Substring 2} -d '{ShellText.fish option.Meaning}'{value}"

    [
        "# Completion of ai-dashboard for fish. Written by `build.fsx -t Docs`."
        "complete -c ai-dashboard -f"
        for name, members in families do
            $"complete -c ai-dashboard -n 'not __fish_seen_subcommand_from {names}' -a {name} -d '{ShellText.fish (purposeOf members)}'"

            match members |> List.choose secondWord |> String.concat " " with
            | "" -> ()
            | words ->
                for command in members do
                    $"complete -c ai-dashboard -n '__fish_seen_subcommand_from {name}; and not __fish_seen_subcommand_from {words}' -a {command.Name.Split(' ')[1]} -d '{ShellText.fish command.Purpose}'"

        for command in commands do
            if command.Word = "FILE" then
                $"complete -c ai-dashboard -n '{isSeen command}' -F"

            yield! optionsOf command |> List.map (entry command)
        "complete -c ai-dashboard -l help -s h -d 'print the options and exit' -f"
        ""
    ]
    |> String.concat "\n"

/// Every file that is written whole: its path in the repository and its text.
let files: (string * string) list =
    [
        "packaging/man/ai-dashboard.8", manual
        "packaging/completions/ai-dashboard.bash", bash
        "packaging/completions/ai-dashboard.zsh", zsh
        "packaging/completions/ai-dashboard.fish", fish
    ]
