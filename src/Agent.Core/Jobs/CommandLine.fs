namespace Agent.Core.Jobs

open System
open System.Text

/// How much of its command line a job shows.
type JobDetail =
    /// Nothing.
    | None = 0
    /// The names of program and script.
    | Names = 1
    /// All of it, with what looks like a secret masked.
    | Full = 2

/// What may be shown of a command line, which often holds secrets.
[<RequireQualifiedAccess>]
module CommandLine =
    /// So many characters of a command line are shown.
    [<Literal>]
    let Longest = 400

    /// So many of a name.
    [<Literal>]
    let private LongestName = 80

    [<Literal>]
    let private Mask = "***"

    let private startsWith (beginning: string) (text: string) =
        text.StartsWith(beginning, StringComparison.Ordinal)

    /// Without the directories. Programs that write a title over their arguments, as sshd does, have it all in the first one.
    let private fileName (path: string) : string =
        let first = path.Split(' ', 2)[0]
        first.Substring(first.LastIndexOf '/' + 1).TrimEnd ':'

    /// One line, and no longer than told. What a process calls itself must not forge lines or turn them around.
    let private shown (longest: int) (text: string) : string =
        let result = StringBuilder()

        for rune in text.EnumerateRunes() do
            if result.Length <= longest then
                match Rune.GetUnicodeCategory rune with
                | Globalization.UnicodeCategory.Control
                | Globalization.UnicodeCategory.Format
                | Globalization.UnicodeCategory.LineSeparator
                | Globalization.UnicodeCategory.ParagraphSeparator -> result.Append '?'
                | _ -> result.Append(rune.ToString())
                |> ignore

        if result.Length > longest then
            // Never half of a pair.
            let cut =
                if Char.IsHighSurrogate result[longest - 2] then
                    longest - 2
                else
                    longest - 1

            result.ToString(0, cut) + "…"
        else
            result.ToString()

    /// Programs that run a script, by how their names begin.
    let private interpreters =
        [|
            "python"
            "pypy"
            "perl"
            "ruby"
            "node"
            "Rscript"
            "julia"
            "bash"
            "sh"
            "dash"
            "zsh"
        |]

    /// True for `python3.11` and the like, and not for `python-launcher`.
    let private isInterpreter (program: string) =
        interpreters
        |> Array.exists (fun name ->
            startsWith name program
            && program.Substring name.Length
               |> Seq.forall (fun c -> Char.IsAsciiDigit c || c = '.'))

    /// The script that an interpreter runs: the first argument that is no option, or the module of `-m`. Empty where the program stands in the
    /// command line, and where there is none.
    let rec private scriptIn (arguments: string list) : string =
        match arguments with
        | "-m" :: name :: _ -> name
        | ("-c" | "-e" | "-") :: _ -> ""
        | ("-W" | "-X") :: _ :: rest -> scriptIn rest
        | option :: rest when startsWith "-" option -> scriptIn rest
        | script :: _ -> fileName script
        | [] -> ""

    /// The program's file name and, of an interpreter, that of its script: `python train.py`. Empty without arguments.
    [<CompiledName "NameOf">]
    let nameOf (arguments: string[]) : string =
        if arguments.Length = 0 then
            ""
        else
            let program = fileName arguments[0]

            let script =
                if isInterpreter program then
                    scriptIn (List.tail (List.ofArray arguments))
                else
                    ""

            shown LongestName (if script = "" then program else $"{program} {script}")

    /// What a word of an option's or a variable's name ends with that holds a secret. `tokens` and `tokenizer` are no secrets.
    let private secretEndings =
        [|
            "token"
            "key"
            "keys"
            "pwd"
            "passwd"
            "pass"
            "auth"
            "authorization"
            "bearer"
        |]

    /// What it may contain anywhere.
    let private secretWords = [| "password"; "passphrase"; "secret"; "credential"; "apikey" |]

    let private isSecretName (name: string) : bool =
        let lower = name.ToLowerInvariant()

        secretWords
        |> Array.exists (fun word -> lower.Contains(word, StringComparison.Ordinal))
        || lower.Split([| '-'; '_'; '.'; '/'; '+' |])
           |> Array.exists (fun word ->
               secretEndings
               |> Array.exists (fun ending -> word.EndsWith(ending, StringComparison.Ordinal)))
        // myKeyId: the words of camel case.
        || (let mutable found = false

            for i in 1 .. name.Length - 1 do
                if Char.IsAsciiLetterUpper name[i] && Char.IsAsciiLetterLower name[i - 1] then
                    let word = lower.Substring(0, i)

                    if
                        secretEndings
                        |> Array.exists (fun ending -> word.EndsWith(ending, StringComparison.Ordinal))
                    then
                        found <- true

            found)

    /// How secrets begin that are known by their looks: of Hugging Face, GitHub, GitLab, OpenAI, AWS, Slack, and JSON web tokens.
    let private secretBeginnings =
        [|
            "hf_"
            "ghp_"
            "gho_"
            "ghs_"
            "github_pat_"
            "glpat-"
            "sk-"
            "AKIA"
            "ASIA"
            "xoxb-"
            "xoxp-"
            "eyJ"
        |]

    let private isNamePart (c: char) =
        Char.IsAsciiLetterOrDigit c
        || c = '-'
        || c = '_'
        || c = '.'
        || c = '/'
        || c = '+'

    /// The place from which the text is secret; -1 where nothing is. From a name that holds a secret and `=` or `:` behind it everything to the end
    /// is: nobody knows where the value ends.
    let private secretFrom (text: string) : int =
        let mutable place = -1
        let mutable i = 0

        while place < 0 && i < text.Length do
            if text[i] = '=' || text[i] = ':' then
                // A quote and blanks may stand between, as in {"token": "x"}.
                let mutable past = i

                while past > 0
                      && (text[past - 1] = '"' || text[past - 1] = '\'' || text[past - 1] = ' ') do
                    past <- past - 1

                let mutable first = past

                while first > 0 && isNamePart text[first - 1] do
                    first <- first - 1

                if first < past && isSecretName (text.Substring(first, past - first)) then
                    place <- i + 1

            i <- i + 1

        // Of those known by their looks only a long one.
        for beginning in secretBeginnings do
            let at = text.IndexOf(beginning, StringComparison.Ordinal)

            if
                at >= 0
                && (place < 0 || at < place)
                && (at = 0 || not (Char.IsAsciiLetterOrDigit text[at - 1]))
                && text.Length - at >= beginning.Length + 12
            then
                place <- at

        place

    let private isAnyOf (stops: string) (c: char) = stops.Contains c

    /// Without users and passwords in URLs, as in `https://user:password@host/`.
    let private withoutUserInfo (text: string) : string =
        let result = StringBuilder()
        let mutable from = 0
        let mutable scheme = text.IndexOf("://", StringComparison.Ordinal)

        let pastOf (stops: string) (first: int) =
            let mutable past = first

            while past < text.Length && not (isAnyOf stops text[past]) do
                past <- past + 1

            past

        while scheme >= 0 do
            let authority = scheme + 3
            let past = pastOf " \t\n/?#\"'" authority
            let inside = text.Substring(authority, past - authority)
            let colon = inside.LastIndexOf ':'

            // A password that should have been escaped: what looks like a port is none, and an @ comes later.
            let isTorn =
                not (inside.Contains '@')
                && colon >= 0
                && not (inside.Substring(colon + 1) |> Seq.forall Char.IsAsciiDigit)

            let past = if isTorn then pastOf " \t\n\"'" authority else past
            let at = text.Substring(authority, past - authority).LastIndexOf '@'

            if at >= 0 then
                result.Append(text, from, authority - from).Append(Mask) |> ignore
                from <- authority + at

            scheme <- text.IndexOf("://", past, StringComparison.Ordinal)

        result.Append(text, from, text.Length - from).ToString()

    /// True for an option whose value is the next word: `--token`, `-password`.
    let private asksForSecret (word: string) : bool =
        startsWith "-" word && word |> Seq.forall isNamePart && isSecretName word

    /// The words of one argument, which may be a whole command line itself (`sh -c …`), up to where it is secret. True when the argument after it
    /// is secret too.
    let private maskedArgument (argument: string) : struct (string * bool) =
        let text = withoutUserInfo argument

        // An option in the midst of a command line, and its value.
        let asked =
            text.Split ' '
            |> Array.scan (fun (struct (past, _)) word -> struct (past + word.Length + 1, asksForSecret word)) (struct (0, false))
            |> Array.tryPick (fun (struct (past, asks)) -> if asks && past < text.Length then Some past else None)
            |> Option.defaultValue -1

        let from =
            match secretFrom text, asked with
            | -1, other
            | other, -1 -> other
            | one, other -> min one other

        if from >= 0 then
            struct (text.Substring(0, from) + Mask, from >= text.Length && asked < 0)
        else
            struct (text, asksForSecret (text.Substring(text.LastIndexOf ' ' + 1)))

    /// All arguments with a blank between, secrets masked.
    [<CompiledName "Masked">]
    let masked (arguments: string[]) : string =
        let words = ResizeArray<string>()
        let mutable isSecret = false

        for argument in arguments do
            if isSecret && not (startsWith "--" argument) then
                words.Add Mask
                isSecret <- false
            else
                let struct (text, next) = maskedArgument argument
                words.Add text
                isSecret <- next

        shown Longest (String.Join(' ', words))

    /// As much of a command line as may be shown.
    [<CompiledName "Shown">]
    let ofDetail (detail: JobDetail) (arguments: string[]) : string =
        match detail with
        | JobDetail.Full -> masked arguments
        | JobDetail.Names -> nameOf arguments
        | _ -> ""

    /// What processes that help a trainer and load no data call themselves; in the first arguments.
    let private helpers =
        [|
            "resource_tracker"
            "semaphore_tracker"
            "forkserver"
            "compile_worker"
            "wandb"
            "tensorboard"
            "nvidia-smi"
            "debugpy"
        |]

    /// True for a process that a trainer has beside its loaders: trackers of resources, compilers, reporters.
    [<CompiledName "IsHelper">]
    let isHelper (arguments: string[]) : bool =
        arguments
        |> Array.truncate 4
        |> Array.exists (fun argument ->
            helpers
            |> Array.exists (fun name -> argument.Contains(name, StringComparison.Ordinal)))
