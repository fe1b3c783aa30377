/// What others name things, made fit to be shown.
[<RequireQualifiedAccess>]
module internal Agent.Core.Jobs.OneLine

open System
open System.Text

/// One line, and no longer than told. What a process calls itself must not forge lines or turn them around.
let bounded (longest: int) (text: string) : string =
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

/// So many characters of a name.
[<Literal>]
let private LongestName = 256

/// The name of an owner or a user, which may be anybody's choice.
let name (text: string) : string = bounded LongestName text
