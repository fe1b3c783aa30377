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

    /// So many are looked at: masking makes a text shorter, and what lies behind these is not shown.
    [<Literal>]
    let private LongestRead = 4096

    let private startsWith (beginning: string) (text: string) =
        text.StartsWith(beginning, StringComparison.Ordinal)

    /// Without the directories. Programs that write a title over their arguments, as sshd does, have it all in the first one.
    let private fileName (path: string) : string =
        let first = path.Split(' ', 2)[0]
        first.Substring(first.LastIndexOf '/' + 1).TrimEnd ':'

    let private shown = OneLine.bounded

    let private bounded (text: string) =
        if text.Length > LongestRead then
            text.Substring(0, LongestRead)
        else
            text

    let private maskedWord (word: string) : string * Secrets.Next =
        let struct (text, next) = Secrets.masked false word
        text, next

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

    /// What an option means for the words behind it.
    [<RequireQualifiedAccess; Struct>]
    type private Means =
        /// It is whole.
        | Alone
        /// The next word is its value.
        | TakesNext
        /// The module that is run.
        | Module of name: string
        /// The module that is run is the next word.
        | NextIsModule
        /// Code is given instead of a script, or nobody knows what the next word is.
        | Unclear

    /// Short options in one word: those that are switches, those that take a value (the rest of the word, else the next word), and all others, with
    /// which nothing is certain.
    let private bundle (switches: string) (valued: string) (word: string) : Means =
        let mutable i = 1
        let mutable found = Means.Alone

        while i < word.Length do
            if switches.Contains word[i] then
                i <- i + 1
            else
                found <-
                    if not (valued.Contains word[i]) then Means.Unclear
                    elif i + 1 < word.Length then Means.Alone
                    else Means.TakesNext

                i <- word.Length

        found

    let private python (word: string) : Means =
        if word = "--check-hash-based-pycs" then
            Means.TakesNext
        elif startsWith "--" word then
            Means.Unclear
        else
            let m = word.IndexOf 'm'

            if m > 0 && word.Substring(1, m - 1) |> Seq.forall "bBdEhiIOPqRsStuvx".Contains then
                if m + 1 < word.Length then
                    Means.Module(word.Substring(m + 1))
                else
                    Means.NextIsModule
            else
                bundle "bBdEhiIOPqRsStuvx" "WX" word

    let private shell (word: string) : Means =
        match word with
        | "--login"
        | "--posix"
        | "--norc"
        | "--noprofile"
        | "--restricted"
        | "--verbose"
        | "--noediting" -> Means.Alone
        | "--rcfile"
        | "--init-file" -> Means.TakesNext
        | _ when startsWith "--" word || word.Contains 'c' || word.Contains 's' -> Means.Unclear
        // In one word with others it takes the next word all the same.
        | _ when word.EndsWith 'o' || word.EndsWith 'O' -> bundle "abefhiklmnprtuvxBCDEHPT" "oO" word
        | _ -> bundle "abefhiklmnprtuvxBCDEHPT" "" word

    /// Options of which a whole word is the name: these are switches, those take the next word.
    let private longOf (code: string[]) (switches: string[]) (valued: string[]) (word: string) : Means =
        let name = word.Split('=', 2)[0]

        if Array.contains name code then
            Means.Unclear
        elif Array.contains word switches then
            Means.Alone
        elif Array.contains word valued then
            Means.TakesNext
        elif startsWith "--" word && word.Contains '=' then
            Means.Alone
        else
            Means.Unclear

    let private node =
        longOf
            [| "--eval"; "--print" |]
            [|
                "--inspect"
                "--inspect-brk"
                "--no-warnings"
                "--no-deprecation"
                "--trace-warnings"
                "--expose-gc"
                "--enable-source-maps"
                "--preserve-symlinks"
            |]
            [|
                "-r"
                "--require"
                "--import"
                "--loader"
                "--experimental-loader"
                "-C"
                "--conditions"
            |]

    let private julia =
        longOf [| "--eval"; "--print"; "--load" |] [| "-q"; "-i"; "--quiet"; "--project" |] [| "-p"; "-t"; "-J"; "-L"; "-H"; "-C" |]

    let private rscript =
        longOf
            [| "--eval"; "--args" |]
            [|
                "--vanilla"
                "--verbose"
                "--slave"
                "--no-echo"
                "--no-save"
                "--no-restore"
                "--no-environ"
                "--no-init-file"
                "--no-site-file"
            |]
            [||]

    let private ruby (word: string) : Means =
        if startsWith "--" word then
            longOf [||] [| "--yjit"; "--jit" |] [||] word
        else
            bundle "dvwS" "IrCE" word

    let private perl (word: string) : Means =
        if startsWith "-M" word && word.Length > 2 then
            Means.Alone
        else
            bundle "wWTtuUfX" "I" word

    /// How an interpreter reads its options.
    let private optionsOf (program: string) : string -> Means =
        if startsWith "py" program then python
        elif startsWith "perl" program then perl
        elif startsWith "ruby" program then ruby
        elif startsWith "node" program then node
        elif startsWith "julia" program then julia
        elif startsWith "Rscript" program then rscript
        else shell

    /// A word that can be the name of a script or a module, and no more than that.
    let private plainName (name: string) : string =
        let isPlain =
            name
            |> Seq.forall (fun c -> Char.IsLetterOrDigit c || c = '.' || c = '-' || c = '_' || c = '+')

        if isPlain && fst (maskedWord name) = name then name else ""

    /// The script that an interpreter runs: the first argument that is no option and no option's value, or the module of `-m`. Empty where the program
    /// stands in the command line, where there is none, and where it is not certain which word it is.
    let rec private scriptIn (read: string -> Means) (arguments: string list) : string =
        match arguments with
        | [] -> ""
        | word :: rest when word.Length > 1 && (word[0] = '-' || (word[0] = '+' && word.Length = 2)) ->
            match read word with
            | Means.Alone -> scriptIn read rest
            | Means.TakesNext ->
                match rest with
                | _ :: rest -> scriptIn read rest
                | [] -> ""
            | Means.Module name -> plainName name
            | Means.NextIsModule ->
                match rest with
                | name :: _ -> plainName name
                | [] -> ""
            | Means.Unclear -> ""
        | "-" :: _ -> ""
        | script :: _ -> plainName (script.Substring(script.LastIndexOf '/' + 1))

    /// The program's file name and, of an interpreter, that of its script: `python train.py`. Empty without arguments.
    [<CompiledName "NameOf">]
    let nameOf (arguments: string[]) : string =
        if arguments.Length = 0 then
            ""
        else
            let program = fst (maskedWord (bounded (fileName arguments[0])))

            let script =
                if isInterpreter program then
                    arguments
                    |> Seq.skip 1
                    |> Seq.truncate 64
                    |> List.ofSeq
                    |> scriptIn (optionsOf program)
                else
                    ""

            shown LongestName (if script = "" then program else $"{program} {script}")

    /// All arguments with a blank between, secrets masked.
    [<CompiledName "Masked">]
    let masked (arguments: string[]) : string =
        let words = ResizeArray<string>()
        let mutable next = Secrets.Next.Open
        let mutable isTaking = false
        let mutable left = LongestRead
        let mutable isCut = false
        let mutable i = 0

        while i < arguments.Length && left > 0 do
            let argument = arguments[i]

            let text =
                if argument.Length > left then
                    argument.Substring(0, left)
                else
                    argument

            isCut <- text.Length < argument.Length
            left <- left - text.Length - 1
            let struct (masked, after) = Secrets.masked isTaking text

            let isSecret =
                match next with
                | Secrets.Next.Open -> false
                | Secrets.Next.Secret -> true
                | Secrets.Next.SecretWord -> not (startsWith "-" text)
                | Secrets.Next.Pair -> text.Contains ':'

            // `=` or nothing between a name and its value.
            let isBetween = text |> Seq.forall (fun c -> not (Char.IsLetterOrDigit c)) && text.Length < 3

            if isBetween && not next.IsOpen then
                words.Add text
            else
                words.Add(if isSecret then Secrets.Mask else masked)
                isTaking <- isTaking || Secrets.isTaker text

                next <-
                    match next, after with
                    // A login whose options come before what is secret.
                    | Secrets.Next.SecretWord, Secrets.Next.Open when not isSecret && startsWith "-" text -> Secrets.Next.SecretWord
                    | _ -> after

            i <- i + 1

        let text = String.Join(' ', words)

        if (isCut || i < arguments.Length) && text.Length < Longest then
            // What is left of a word says nothing of what it was.
            shown Longest (text.Substring(0, text.LastIndexOfAny [| ' '; '\t'; '\n' |] + 1) + "…")
        else
            shown Longest text

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
