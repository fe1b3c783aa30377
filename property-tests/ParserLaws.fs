/// The laws that every parser of a text obeys, whatever the format.
module Agent.PropertyTests.ParserLaws

open System
open Agent.Core
open Agent.Sender
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// A format, as the laws need to know it.
[<NoComparison; NoEquality>]
type Format<'value> =
    {
        /// Real texts and what they say.
        Texts: Gen<Rendered<'value>>
        /// The parser.
        Parse: ReadOnlyMemory<byte> -> Result<'value, ParseError>
        /// Every error that the parser reports, inside an Ok too.
        Errors: ReadOnlyMemory<byte> -> ParseError list
        /// True when every known field of the first value is what the second one says.
        IsPart: 'value -> 'value -> bool
    }

/// A format whose parser gives a value or one error.
let format texts parse isPart : Format<'value> =
    {
        Texts = texts
        Parse = parse
        Errors =
            fun text ->
                match parse text with
                | Ok _ -> []
                | Error error -> [ error ]
        IsPart = isPart
    }

/// A format of lines, each of which may be bad without harm to the others.
let formatOfLines texts (parse: ReadOnlyMemory<byte> -> Result<Parsed<'value>, ParseError>) isPart : Format<'value> =
    {
        Texts = texts
        Parse = parse >> Parsed.strict
        Errors =
            fun text ->
                match parse text with
                | Ok parsed -> List.ofArray parsed.Faults
                | Error error -> [ error ]
        IsPart = isPart
    }

/// True when the array starts the other one.
let isStart (part: 'a[]) (whole: 'a[]) : bool =
    part.Length <= whole.Length && part = whole[.. part.Length - 1]

/// True when the value is unknown or the same.
let isUnknownOr (whole: 'a voption) (part: 'a voption) : bool = part.IsNone || part = whole

/// What is wrong with an error: it must say where, what was found and what was expected, on one line.
let complaints (error: ParseError) : string list =
    [
        if error.Source = "" then
            "the source is empty"
        if error.Line < 0 then
            $"the line is {error.Line}"
        if error.Field = "" then
            "the field is empty"
        if error.Expected = "" then
            "what was expected is empty"
        if error.Raw.Length > 90 then
            $"the raw text has {error.Raw.Length} characters"
        if Seq.exists Char.IsControl (string error) then
            "the sentence has control characters"
    ]

/// True when every fault that garbles a source is located, and the others name a path.
let areLocated (faults: SourceError seq) : bool =
    faults
    |> Seq.collect (fun fault ->
        match fault with
        | SourceError.Garbled error -> complaints error
        | SourceError.Absent path
        | SourceError.Unreadable(path, _) -> if path = "" then [ "the path is empty" ] else [])
    |> noneOf

let private isLocated format (bytes: Bytes) =
    let lines = bytes.Content |> Seq.filter (fun b -> b = '\n'B) |> Seq.length

    format.Errors(ReadOnlyMemory bytes.Content)
    |> List.collect (fun error ->
        complaints error
        @ [
            if error.Line > lines + 1 then
                $"line {error.Line} of {lines + 1}"
        ])
    |> noneOf

/// Nothing that a text can hold breaks the parser.
let totality (format: Format<'value>) : Test list =
    [
        lawShrinking "any bytes at all give Ok or a located Error, never an exception" shrinkBytes anyBytes (isLocated format)
        lawShrinking
            "a real text with some damage gives Ok or a located Error, never an exception"
            shrinkBytes
            (damaged format.Texts)
            (isLocated format)
    ]

/// A text is cut in so many places for each case.
[<Literal>]
let private mostCuts = 100

/// A text says what it says, and no part of it says anything else.
let fidelity (format: Format<'value>) : Test list =
    [
        law "a rendered value parses back to the value" format.Texts (fun text ->
            same (format.Parse(ReadOnlyMemory(bytesOf text.Lines))) (Ok text.Value))
        law
            "no cut text says what the whole text does not say"
            (Gen.zip format.Texts (Gen.choose (0, Int32.MaxValue)))
            (fun (text, offset) ->
                let bytes = bytesOf text.Lines
                // Every place of a short text; of a long one so many at equal distances, elsewhere in each case.
                let step = 1 + bytes.Length / mostCuts

                seq { offset % step .. step .. bytes.Length - 1 }
                |> Seq.forall (fun length ->
                    match format.Parse(ReadOnlyMemory(bytes, 0, length)) with
                    | Error _ -> true
                    | Ok part -> format.IsPart part text.Value || failtestf "cut to %d bytes: %A" length part))
        law "a last line without its line end is an error" (format.Texts |> Gen.filter (fun text -> text.Lines.Length > 0)) (fun text ->
            let bytes = bytesOf text.Lines

            match format.Parse(ReadOnlyMemory(bytes, 0, bytes.Length - 1)) with
            | Error _ -> true
            // A blank line may be lacking, for it says nothing.
            | Ok value -> text.Lines[text.Lines.Length - 1] = "" && value = text.Value)
    ]

/// Both together.
let all (format: Format<'value>) : Test list = totality format @ fidelity format

/// A line that is garbled, and a last line that is cut, cost what they say and nothing else. `garble` damages a line so that
/// it is still known for what it is; none where it cannot. `first` is the first line that may be damaged.
let badLines
    (texts: Gen<Rendered<'value>>)
    (parse: ReadOnlyMemory<byte> -> Result<Parsed<'value>, ParseError>)
    (first: int)
    (garble: string -> string voption)
    : Test list =
    let among =
        Gen.zip (texts |> Gen.filter (fun text -> text.Lines.Length > first + 1)) (Gen.choose (0, 1000))
        |> Gen.map (fun (text, place) -> text.Lines, first + place % (text.Lines.Length - first))

    let valueOf lines =
        match parse (ReadOnlyMemory(bytesOf lines)) with
        | Ok parsed -> ValueSome parsed.Value
        | Error _ -> ValueNone

    [
        law "a garbled line costs itself, is reported with its number, and leaves the others as they are" among (fun (lines, place) ->
            match garble lines[place] with
            | ValueNone -> true
            | ValueSome bad ->
                let damaged = Array.updateAt place bad lines

                match parse (ReadOnlyMemory(bytesOf damaged)) with
                | Error _ -> (valueOf (Array.removeAt place lines)).IsNone
                | Ok parsed ->
                    same (ValueSome parsed.Value) (valueOf (Array.removeAt place lines))
                    && parsed.FaultCount >= 1
                    && parsed.Faults |> Array.exists (fun fault -> fault.Line = place + 1))
        law "a text that is cut loses its last line and no other" among (fun (lines, cut) ->
            let whole = bytesOf lines
            let length = 1 + cut % max 1 (bytesOf [| Array.last lines |]).Length

            match parse (ReadOnlyMemory(whole, 0, whole.Length - length)), valueOf (Array.removeAt (lines.Length - 1) lines) with
            | Ok parsed, ValueSome expected -> same parsed.Value expected
            | _, expected -> expected.IsNone)
    ]

/// Columns that a later kernel may append change nothing. `accepts` tells which lines have them.
let extraColumns (format: Format<'value>) (accepts: int -> string -> bool) (column: Gen<string>) : Test =
    law
        "columns added at the end of a line are ignored"
        (Gen.zip format.Texts (Gen.nonEmptyListOf column |> Gen.resize 3))
        (fun (text, columns) ->
            let lines =
                text.Lines
                |> Array.mapi (fun i line ->
                    if accepts i line then
                        String.Join(' ', line :: columns)
                    else
                        line)

            same (format.Parse(ReadOnlyMemory(bytesOf lines))) (Ok text.Value))

/// Lines that a later kernel may add change nothing. `first` is the first place where one may stand.
let unknownLines (format: Format<'value>) (first: Rendered<'value> -> int) (line: Gen<string>) : Test =
    law "unknown lines are ignored" (Gen.zip3 format.Texts line (Gen.choose (0, 1000))) (fun (text, line, place) ->
        let from = first text
        let place = from + place % (text.Lines.Length - from + 1)
        let lines = Array.insertAt place line text.Lines
        same (format.Parse(ReadOnlyMemory(bytesOf lines))) (Ok text.Value))
