/// Argu, used so that it never rejects anything: by default it stops at the first word that it does not know, or option that lacks its value, and repeats
/// it. Unions for this have an optional text for each value, so that nothing makes Argu stop.
[<RequireQualifiedAccess>]
module internal Agent.CommandLine

open System
open FSharp.Reflection
open Argu
open Agent.Core

/// A part of a command line. What Argu knows comes first, in the order of argv, then what it does not.
[<RequireQualifiedAccess>]
type Part =
    /// An option with its value.
    | Option of name: string * value: string
    /// A switch.
    | Switch of name: string
    /// A switch with a value, as in `--once=no`.
    | SwitchWithValue of name: string * value: string
    /// An option without its value.
    | Lacking of name: string
    /// A word that begins with dashes and is no option.
    | Unknown of word: string
    /// Any other word.
    | Word of word: string

/// The options of one union of Argu.
[<Sealed>]
type Parser<'argument when 'argument :> IArgParserTemplate>(programName: string) =
    let parser =
        lazy ArgumentParser.Create<'argument>(programName = programName, usageStringCharacterWidth = 80, errorHandler = ExceptionExiter())

    /// By the case's tag: the case, the option's name, and that of its value, which is empty for a switch. The cases come from Argu:
    /// FSharpType would ask the AOT compiler to keep all of a type that it does not know.
    let options: Lazy<struct (UnionCaseInfo * string * string)[]> =
        lazy
            (parser.Value.GetArgumentCases()
             |> Seq.filter (fun case -> case.UnionCaseInfo.DeclaringType = typeof<'argument>)
             |> Seq.map (fun case ->
                 let placeholder =
                     case.UnionCaseInfo.GetFields()
                     |> Array.tryHead
                     |> Option.map _.Name
                     |> Option.defaultValue ""

                 struct (case.UnionCaseInfo, case.CommandLineNames.Value.Head, placeholder.ToUpperInvariant()))
             |> Array.ofSeq)

    /// An option's name and its value's, in the order of the union, each with one of its cases to ask about it.
    member _.Options: (struct (string * string * 'argument))[] =
        options.Value
        |> Array.map (fun (struct (case, name, placeholder)) ->
            let without: objnull[] = case.GetFields() |> Array.map (fun _ -> null)
            struct (name, placeholder, nonNull (FSharpValue.MakeUnion(case, without, true)) :?> 'argument))

    /// What argv says.
    member _.Parts(argv: string[]) : Part list =
        let results =
            parser.Value.ParseCommandLine(argv, ignoreMissing = true, ignoreUnrecognized = true, raiseOnUsage = false)

        let known (argument: 'argument) =
            let tag = parser.Value.GetArgumentCaseInfo(argument).UnionCaseInfo.Tag
            let struct (case, name, placeholder) = options.Value[tag]

            match
                case.GetFields()
                |> Array.tryHead
                |> Option.map (fun field -> field.GetValue argument :?> string option)
            with
            | None when placeholder = "" -> [ Part.Switch name ]
            | None
            | Some None
            | Some(Some "") -> [ Part.Lacking name ]
            // Argu takes the word after an option for its value, even one that looks like an option.
            | Some(Some value) when
                value.StartsWith("--", StringComparison.Ordinal)
                && not (Array.contains $"{name}={value}" argv)
                ->
                [ Part.Lacking name; Part.Unknown value ]
            | Some(Some value) -> [ Part.Option(name, value) ]

        let other (word: string) =
            let separator = word.IndexOf '='
            let name = if separator < 0 then word else word.Substring(0, separator)
            let value = word.Substring(separator + 1)

            match options.Value |> Array.tryFind (fun (struct (_, option, _)) -> option = name) with
            | _ when word.Length < 2 || not (word.StartsWith '-') -> Part.Word word
            | None -> Part.Unknown word
            | Some(struct (_, _, "")) when separator >= 0 -> Part.SwitchWithValue(name, value)
            // Argu does not take a value with a line end inside.
            | Some _ when separator >= 0 && value <> "" -> Part.Option(name, value)
            | Some _ -> Part.Lacking name

        (results.GetAllResults() |> List.collect known)
        @ (results.UnrecognizedCliParams |> List.map other)

/// Words broken into lines of at most `width` characters.
let private broken (width: int) (text: string) : string list =
    (([], ""), text.Split ' ')
    ||> Array.fold (fun (full, line) word ->
        if line = "" then
            full, word
        elif line.Length + 1 + word.Length <= width then
            full, line + " " + word
        else
            line :: full, word)
    |> fun (full, line) -> List.rev (line :: full)

/// The column at which meanings begin.
[<Literal>]
let private Column = 27

/// How wide a help is.
[<Literal>]
let private Width = 80

/// A paragraph of a help.
let paragraph (text: string) : string list = broken Width text

/// What a help says of one option: its name and value, then what it does.
let entry (name: string) (placeholder: string) (standard: string) (meaning: string) : string list =
    let head = $"  {name} {placeholder}".TrimEnd()

    let remark =
        match standard with
        | "" -> ""
        | "required" -> " (required)"
        | standard -> $" (default: {standard})"

    let lines = broken (Width - Column) $"{meaning}{remark}."
    let blank = String(' ', Column)

    if head.Length < Column - 1 then
        head.PadRight Column + lines.Head
        :: (lines.Tail |> List.map (fun line -> blank + line))
    else
        head :: (lines |> List.map (fun line -> blank + line))
