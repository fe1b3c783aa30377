/// Which part of an argument is secret, by the names that stand before values and by how well-known secrets look. When in doubt it is.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.Secrets

open System
open System.Text

/// What is shown instead.
[<Literal>]
let Mask = "***"

/// What the words before say of the next one.
[<RequireQualifiedAccess; Struct>]
type Next =
    /// Nothing.
    | Open
    /// It is secret.
    | Secret
    /// It is secret where it is no option: what comes before may be a switch.
    | SecretWord
    /// It is secret where it has a colon: `user:password`.
    | Pair

let private ordinal = StringComparison.Ordinal

let private isNamePart (c: char) =
    Char.IsAsciiLetterOrDigit c
    || c = '-'
    || c = '_'
    || c = '.'
    || c = '/'
    || c = '+'

/// What may stand between a name and its value, in shells, JSON, YAML, XML and Python.
let private isBetween (c: char) =
    Char.IsWhiteSpace c || "\\\"'=:,;<>[](){}|＝：".Contains c

let private isAnyOf (words: string[]) (word: string) =
    Array.Exists(words, (fun other -> other = word))

let private endsWithAny (endings: string[]) (word: string) =
    Array.Exists(endings, (fun ending -> word.EndsWith(ending, ordinal)))

/// What a word of an option's or a variable's name ends with that holds a secret. `tokenizer` is none.
let private endings =
    [|
        "token"
        "key"
        "keys"
        "pwd"
        "passwd"
        "pass"
        "passin"
        "passout"
        "auth"
        "authorization"
        "bearer"
    |]

/// Words that say so only when they stand alone.
let private words = [| "pw"; "pat"; "psk"; "sig"; "sas"; "jwt"; "otp"; "cred"; "creds" |]

/// What a name may contain anywhere.
let private anywhere =
    [|
        "password"
        "passphrase"
        "secret"
        "credential"
        "apikey"
        "cookie"
        "signature"
        "webhook"
    |]

/// `tokens` are mostly what a model reads; these have others.
let private holders =
    [|
        "api"
        "auth"
        "access"
        "hub"
        "hf"
        "refresh"
        "bearer"
        "git"
        "bot"
        "user"
    |]

let private isSecretPart (name: string) (part: string) =
    endsWithAny endings part
    || isAnyOf words part
    || (part.EndsWith("tokens", ordinal)
        && holders |> Array.exists (fun holder -> name.Contains(holder, ordinal)))

let private separators = [| '-'; '_'; '.'; '/'; '+' |]

/// True when a word of camel case ends with what a secret does: `myKeyId`.
let private isSecretCamel (name: string) (lower: string) =
    let mutable found = false

    for i in 1 .. name.Length - 1 do
        if
            not found
            && Char.IsAsciiLetterUpper name[i]
            && Char.IsAsciiLetterLower name[i - 1]
        then
            found <-
                endings
                |> Array.exists (fun ending ->
                    i >= ending.Length
                    && String.CompareOrdinal(lower, i - ending.Length, ending, 0, ending.Length) = 0)

    found

/// True for the name of an option or a variable that holds a secret.
let isSecretName (name: string) : bool =
    let lower = name.ToLowerInvariant()

    Array.Exists(anywhere, (fun word -> lower.Contains(word, ordinal)))
    || lower.Split separators |> Array.exists (isSecretPart lower)
    || isSecretCamel name lower

/// Files of these kinds are no names of values.
let private fileEndings =
    [|
        "py"
        "sh"
        "json"
        "yaml"
        "yml"
        "toml"
        "txt"
        "cfg"
        "conf"
        "ini"
        "js"
        "pl"
        "rb"
        "csv"
        "pt"
        "bin"
    |]

/// The last word of camel case, in small letters: that of `hubToken`.
let private lastOfCamel (name: string) : string =
    let mutable i = name.Length - 1

    while i > 0
          && not (Char.IsAsciiLetterUpper name[i] && Char.IsAsciiLetterLower name[i - 1]) do
        i <- i - 1

    if i > 0 then name.Substring(i).ToLowerInvariant() else ""

/// True for a word without a dash that holds a secret in the next one, as pairs of names and values have it: `model.hub.token abc`.
let private isBareName (name: string) =
    let lower = name.ToLowerInvariant()
    let parts = lower.Split separators
    let last = parts[parts.Length - 1]

    // A path is none, but Windows begins options with a slash.
    name.LastIndexOf '/' <= 0
    && not (isAnyOf fileEndings last)
    // Not by its end alone: `monkey` and `sshpass` are words.
    && (isAnyOf endings last
        || isAnyOf words last
        || (last = "tokens" && isSecretPart lower last)
        || Array.Exists(anywhere, (fun word -> last.Contains(word, ordinal)))
        || isAnyOf endings (lastOfCamel name))

/// How the names of options begin that are switches where no value follows: `--use-key --verbose`.
let private switches =
    [|
        "use"
        "no"
        "enable"
        "disable"
        "with"
        "without"
        "skip"
        "is"
        "has"
        "allow"
        "trust"
        "require"
        "save"
        "print"
        "show"
    |]

let private isSwitch (option: string) =
    let parts = option.TrimStart('-').ToLowerInvariant().Split separators
    parts.Length > 1 && isAnyOf switches parts[0]

/// Options whose value may be `user:password`.
let private pairs =
    [|
        "-u"
        "-U"
        "-x"
        "-E"
        "--user"
        "--cert"
        "--proxy"
        "--proxy-user"
        "--username"
        "--login"
    |]

/// Programs that take a password in an option of one letter.
let private takers =
    [|
        "curl"
        "wget"
        "mysql"
        "mysqldump"
        "mysqladmin"
        "mariadb"
        "mariadb-dump"
        "sshpass"
        "redis-cli"
        "mongosh"
        "mongo"
        "mongodump"
        "ldapsearch"
        "smbclient"
        "lftp"
        "login"
        "7z"
        "zip"
        "htpasswd"
    |]

let private baseName (path: string) =
    path.Substring(path.LastIndexOf '/' + 1)

/// True for a program, or a command of one, that takes a password in an option of one letter.
let isTaker (word: string) : bool = isAnyOf takers (baseName word)

let private isShortSecret (option: string) =
    option.Length >= 2
    && option[0] = '-'
    && "uUpPawxbE".Contains option[1]
    && (option.Length = 2 || Char.IsAsciiLetterOrDigit option[2])

/// How secrets begin that are known by their looks: those of hosting services, clouds, registries and vaults, and JSON web tokens.
let private beginnings =
    [|
        "hf_"
        "ghp_"
        "gho_"
        "ghu_"
        "ghs_"
        "ghr_"
        "github_pat_"
        "glpat-"
        "sk-"
        "sk_live_"
        "rk_live_"
        "AKIA"
        "ASIA"
        "AIza"
        "ya29."
        "xoxa-"
        "xoxb-"
        "xoxp-"
        "xoxr-"
        "xoxs-"
        "xapp-"
        "eyJ"
        "nvapi-"
        "dckr_pat_"
        "npm_"
        "pypi-"
        "hvs."
        "hvb."
        "dapi"
        "gsk_"
        "r8_"
        "SG."
        "-----BEGIN"
    |]

/// Addresses of which the rest is the secret.
let private addresses =
    [|
        "hooks.slack.com/"
        "discord.com/api/webhooks/"
        "discordapp.com/api/webhooks/"
        "webhook.office.com/"
        "api.telegram.org/bot"
    |]

/// Of those known by their looks only a long one.
[<Literal>]
let private Long = 12

/// The first place at or after which one stands that is known by its looks; -1 where none does.
let private knownFrom (text: string) : int =
    let mutable place = -1

    for beginning in beginnings do
        let mutable at = text.IndexOf(beginning, ordinal)

        while at >= 0 do
            let isApart = at = 0 || not (Char.IsAsciiLetterOrDigit text[at - 1])

            if isApart && text.Length - at >= beginning.Length + Long then
                place <- if place < 0 then at else min place at
                at <- -1
            else
                at <- text.IndexOf(beginning, at + 1, ordinal)

    for address in addresses do
        let at = text.IndexOf(address, ordinal)

        if at >= 0 then
            let past = at + address.Length
            place <- if place < 0 then past else min place past

    // A whole address in percent signs, with a user in it.
    let slashes = text.IndexOf("%3A%2F%2F", StringComparison.OrdinalIgnoreCase)

    if slashes >= 0 && text.IndexOf("%40", slashes, ordinal) >= 0 then
        let past = slashes + 9
        place <- if place < 0 then past else min place past

    place

/// What a text says: from where on it is secret, or -1, and what that means for the next argument.
[<Struct>]
type Found = { From: int; After: Next }

/// The secret of an argument that stands behind a name in it. `isTaking` is true behind a program that takes passwords in short options.
let private named (isTaking: bool) (text: string) : Found =
    let mutable taking = isTaking
    let mutable place = -1
    let mutable after = Next.Open
    let mutable i = 0

    let pastOf (first: int) (isPart: char -> bool) =
        let mutable past = first

        while past < text.Length && isPart text[past] do
            past <- past + 1

        past

    // Where the value begins: behind = or :, else behind the first character that is none of the name.
    let valueAt (past: int) (value: int) =
        let mutable k = past

        while k < value && not ("=:＝：".Contains text[k]) do
            k <- k + 1

        if k < value then
            if text[k] = '=' && k + 1 < value && text[k + 1] = '>' then
                k + 2
            else
                k + 1
        elif past < value then
            past + 1
        else
            past

    while i < text.Length do
        if not (isNamePart text[i]) then
            i <- i + 1
        else
            let past = pastOf i isNamePart
            let name = text.Substring(i, past - i)
            let value = pastOf past isBetween
            let isLast = value >= text.Length
            let isOption = name[0] = '-'

            let isAssigned =
                valueAt past value > past + 1
                || (past < text.Length && "=:＝：".Contains text[past])

            let says =
                if isOption && isSecretName name then
                    if isSwitch name then Next.SecretWord else Next.Secret
                elif isOption && taking && isShortSecret name then
                    Next.Secret
                elif isOption && isAnyOf pairs name then
                    Next.Pair
                elif name = "login" && not isAssigned then
                    Next.SecretWord
                elif not isOption && ((isAssigned && isSecretName name) || isBareName name) then
                    Next.Secret
                else
                    Next.Open

            let isAttached = isOption && taking && isShortSecret name && name.Length > 2

            let nextWord () =
                text.Substring(value, pastOf value (Char.IsWhiteSpace >> not) - value)

            let isHere =
                match says with
                | _ when isAttached -> true
                | _ when isLast -> false
                | Next.Secret -> true
                | Next.SecretWord -> isAssigned || text[value] <> '-'
                | Next.Pair -> nextWord().Contains ':'
                | Next.Open -> false

            if isHere && place < 0 then
                place <- if isAttached then i + 2 else valueAt past value

            taking <- taking || isTaker name
            after <- if isLast && not isAttached then says else Next.Open
            i <- max past value

    { From = place; After = after }

/// Between so many characters of one word and the end of it a secret without a name is looked for.
[<Literal>]
let private ShortestRandom = 24

/// Changes between small letters, capitals and digits, for each character, in what was drawn by chance; in words and version numbers there are fewer.
[<Literal>]
let private Restless = 0.22

let private isRandomPart (c: char) =
    Char.IsAsciiLetterOrDigit c
    || c = '-'
    || c = '_'
    || c = '+'
    || c = '/'
    || c = '='

let private classOf (c: char) =
    if Char.IsAsciiDigit c then 1
    elif Char.IsAsciiLetterLower c then 2
    elif Char.IsAsciiLetterUpper c then 3
    else 0

let private isRandom (text: string) (first: int) (past: int) =
    let mutable changes = 0

    for i in first + 1 .. past - 1 do
        let before, now = classOf text[i - 1], classOf text[i]

        // A capital begins a word of small letters.
        if before <> now && before <> 0 && now <> 0 && not (before = 3 && now = 2) then
            changes <- changes + 1

    past - first >= ShortestRandom
    && float changes >= Restless * float (past - first)

let private isPathStart (text: string) (first: int) =
    text[first] = '/'
    || (first > 0 && (text[first - 1] = '~' || text[first - 1] = '.'))

/// Without long words that look as if they were drawn by chance, unless they are plainly a path.
let private withoutRandom (text: string) : string =
    let result = StringBuilder()
    let mutable i = 0

    while i < text.Length do
        let mutable past = i

        while past < text.Length && isRandomPart text[past] do
            past <- past + 1

        if past = i then
            result.Append text[i] |> ignore
            i <- i + 1
        else
            // Of `name=value` the value.
            let assigned = text.IndexOf('=', i, past - i)

            let first =
                if assigned >= 0 && past - assigned - 1 >= ShortestRandom then
                    assigned + 1
                else
                    i

            if isRandom text first past && not (isPathStart text first) then
                result.Append(text, i, first - i).Append Mask |> ignore
            else
                result.Append(text, i, past - i) |> ignore

            i <- past

    result.ToString()

/// Without users and passwords in URLs, as in `https://user:password@host/`, and in what has no scheme before it, as `user:password@host`.
let private withoutUserInfo (text: string) : string =
    let result = StringBuilder()
    let mutable from = 0
    let mutable scheme = text.IndexOf("://", ordinal)

    let pastOf (stops: string) (first: int) =
        let mutable past = first

        while past < text.Length && not (stops.Contains text[past]) do
            past <- past + 1

        past

    while scheme >= 0 do
        let authority = scheme + 3
        let past = pastOf " \t\r\n/?#\"'" authority
        let inside = text.Substring(authority, past - authority)
        let colon = inside.LastIndexOf ':'

        // A password that should have been escaped: what looks like a port is none, and an @ comes later.
        let isTorn =
            not (inside.Contains '@')
            && colon >= 0
            && not (inside.Substring(colon + 1) |> Seq.forall Char.IsAsciiDigit)

        let past = if isTorn then pastOf " \t\r\n\"'" authority else past
        let at = text.Substring(authority, past - authority).LastIndexOf '@'

        if at >= 0 then
            result.Append(text, from, authority - from).Append Mask |> ignore
            from <- authority + at

        scheme <- text.IndexOf("://", past, ordinal)

    result.Append(text, from, text.Length - from) |> ignore
    let text = result.ToString()
    let result = StringBuilder()
    let mutable from = 0
    let mutable at = text.IndexOf '@'

    while at >= 0 do
        let mutable first = at

        while first > from && not (" \t\r\n/\"',=([{?&;".Contains text[first - 1]) do
            first <- first - 1

        if text.IndexOf(':', first, at - first) >= 0 then
            result.Append(text, from, first - from).Append Mask |> ignore
            from <- at

        at <- text.IndexOf('@', at + 1)

    result.Append(text, from, text.Length - from).ToString()

/// An argument, which may be a whole command line itself (`sh -c …`), up to where it is secret, and what it says of the next one.
let masked (isTaking: bool) (argument: string) : struct (string * Next) =
    let text = withoutUserInfo argument
    let found = named isTaking text

    let place =
        match knownFrom text with
        | -1 -> found.From
        | known when found.From < 0 -> known
        | known -> min known found.From

    let shown =
        if place >= 0 then
            withoutRandom (text.Substring(0, place)) + Mask
        else
            withoutRandom text

    struct (shown, found.After)
