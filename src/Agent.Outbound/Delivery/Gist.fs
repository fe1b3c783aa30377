namespace Agent.Outbound

open System
open System.Text

/// What a text says, without what differs each time that it is said: numbers and ids of requests, traces and objects.
[<RequireQualifiedAccess>]
module Gist =
    /// So many hexadecimal digits are an id even when all of them are letters: no common word is like that.
    [<Literal>]
    let private LongestHexWord = 7

    /// Base64 has ids from so many characters on.
    [<Literal>]
    let private ShortestToken = 16

    /// Letters and digits that take turns are an id from so many on: `v1beta2` is none.
    [<Literal>]
    let private ShortestMixture = 8

    let private isLetterOrDigit (c: char) = Char.IsAsciiLetterOrDigit c

    /// base64 and base64url (RFC 4648); the sign at the end apart.
    let private isOfToken (c: char) =
        isLetterOrDigit c || c = '-' || c = '_' || c = '+' || c = '/'

    /// Where the run of such characters that begins at `from` ends.
    let private endOf (isInside: char -> bool) (text: string) (from: int) : int =
        let mutable index = from

        while index < text.Length && isInside text[index] do
            index <- index + 1

        index

    /// How often a character is of another kind than the one before it.
    let private changes (kind: char -> int) (run: string) : int =
        run |> Seq.pairwise |> Seq.filter (fun (a, b) -> kind a <> kind b) |> Seq.length

    let private kindOf (c: char) =
        if Char.IsAsciiDigit c then 0
        elif Char.IsAsciiLetterUpper c then 1
        elif Char.IsAsciiLetterLower c then 2
        else 3

    /// True for an id of letters and digits alone: `d65bfda1c998`, `0x7f5e`, `01ARZ3NDEKTSV4RRFFQ69G5FAV`.
    let private isIdWord (word: string) : bool =
        let hex =
            if word.StartsWith("0x", StringComparison.OrdinalIgnoreCase) && word.Length > 2 then
                word.Substring 2
            else
                word

        let hasDigit = Seq.exists Char.IsAsciiDigit word
        let hasLetter = Seq.exists Char.IsAsciiLetter word

        hasLetter
        && ((Seq.forall Char.IsAsciiHexDigit hex && (hasDigit || hex.Length > LongestHexWord))
            || (word.Length >= ShortestMixture
                && changes (fun c -> if Char.IsAsciiDigit c then 0 else 1) word >= 3))

    /// True for hexadecimal groups such as those of a UUID (RFC 9562), some of which may have no digit or no letter.
    let private isIdOfGroups (run: string) : bool =
        let groups = run.Split '-'

        groups.Length > 1
        && run.Length - groups.Length >= LongestHexWord
        && groups
           |> Array.forall (fun group -> group <> "" && Seq.forall Char.IsAsciiHexDigit group)
        && Seq.exists Char.IsAsciiDigit run
        && Seq.exists Char.IsAsciiLetter run

    /// True for a long token in base64: its characters are of another kind at every turn, those of names and paths are not.
    let private isToken (run: string) : bool =
        let has kind =
            run |> Seq.exists (fun c -> kindOf c = kind)

        let turns = changes kindOf run

        run.Length >= ShortestToken
        && ((has 0 && has 1 && has 2 && turns * 4 >= run.Length) || turns * 2 >= run.Length)

    /// Where the id that begins at `from` ends; `from` where none does.
    let private endOfId (text: string) (from: int) : int =
        let ends isInside isId =
            let stop = endOf isInside text from

            if stop > from && isId (text.Substring(from, stop - from)) then
                stop
            else
                from

        let groups = ends (fun c -> isLetterOrDigit c || c = '-') isIdOfGroups
        let token = ends isOfToken isToken

        if groups > from then groups
        elif token > from then endOf (fun c -> c = '=') text token
        else ends isLetterOrDigit isIdWord

    /// Where the query of a URL that begins at `from` ends; `from` where none does.
    let private endOfQuery (text: string) (from: int) : int =
        if text[from] = '?' && from > 0 && not (Char.IsWhiteSpace text[from - 1]) then
            let isInside (c: char) =
                not (Char.IsWhiteSpace c || c = '"' || c = '\'' || c = '<' || c = '>')

            let stop = endOf isInside text from
            let query = text.Substring(from, stop - from).TrimEnd(';', ',', '.', ':', ')', '…')
            if query.Contains '=' then from + query.Length else from
        else
            from

    /// A text without its figures: every number becomes one `#`, whatever its length and fraction, and so does every id (hexadecimal, UUID,
    /// base64) and the query of a URL. The status of an HTTP answer stays: it says what happens.
    [<CompiledName "OfMessage">]
    let ofMessage (message: string) : string =
        let text = StringBuilder()
        let mutable index = 0

        while index < message.Length do
            let c = message[index]
            let startsRun = index = 0 || not (isLetterOrDigit message[index - 1])
            let query = endOfQuery message index

            let id =
                if startsRun && query = index && isOfToken c then
                    endOfId message index
                else
                    index

            if query > index then
                text.Append "?#" |> ignore
                index <- query
            elif id > index then
                text.Append '#' |> ignore
                index <- id
            elif Char.IsAsciiDigit c then
                let isStatus = message.AsSpan(0, index).EndsWith("HTTP ", StringComparison.Ordinal)

                let mutable stop = endOf Char.IsAsciiDigit message index

                if isStatus then
                    text.Append(message, index, stop - index) |> ignore
                else
                    // Of 0.4 and 12:30:05 the middle belongs to the number.
                    while stop + 1 < message.Length
                          && (message[stop] = '.' || message[stop] = ':')
                          && Char.IsAsciiDigit message[stop + 1] do
                        stop <- endOf Char.IsAsciiDigit message (stop + 1)

                    text.Append '#' |> ignore

                index <- stop
            else
                text.Append c |> ignore
                index <- index + 1

        text.ToString()
