namespace Agent.Core

open System
open System.Buffers.Text
open System.Runtime.CompilerServices
open System.Text

/// Numbers and excerpts of UTF-8 text.
[<RequireQualifiedAccess>]
module internal Text =
    let isBlank (b: byte) = b = ' 'B || b = '\t'B

    let isDigit (b: byte) = b >= '0'B && b <= '9'B

    let private excerptOf (longest: int) (text: ReadOnlySpan<byte>) =
        // Four bytes are the most that one character takes; decoding more than is shown would be work for nothing.
        let shown = text.Slice(0, min text.Length (longest * 4))
        let decoded = Encoding.UTF8.GetString shown
        let result = StringBuilder()

        let mutable taken = 0

        for rune in decoded.EnumerateRunes() do
            if result.Length < longest then
                taken <- taken + rune.Utf16SequenceLength

                if Rune.IsControl rune then
                    result.Append("\\x").Append(rune.Value.ToString "x2") |> ignore
                else
                    result.Append(rune.ToString()) |> ignore

        if taken < decoded.Length || shown.Length < text.Length then
            result.Append '…' |> ignore

        result.ToString()

    /// How many characters of a text are shown in a message.
    [<Literal>]
    let ExcerptLength = 80

    /// The text as an error message shows it: control characters escaped, cut after 80 characters.
    let excerpt (text: ReadOnlySpan<byte>) = excerptOf ExcerptLength text

    /// The same, cut after 200 characters, for sentences that another program meant to be read.
    let longExcerpt (text: ReadOnlySpan<byte>) = excerptOf 200 text

    let toString (text: ReadOnlySpan<byte>) = Encoding.UTF8.GetString text

    /// Without the byte order mark that some programs begin UTF-8 with (RFC 8259, section 8.1).
    let withoutMark (text: ReadOnlySpan<byte>) : ReadOnlySpan<byte> =
        if text.Length >= 3 && text[0] = 0xEFuy && text[1] = 0xBBuy && text[2] = 0xBFuy then
            text.Slice 3
        else
            text

    let private blanks = " \t\r"B

    let trim (text: ReadOnlySpan<byte>) = text.Trim(ReadOnlySpan blanks)

    /// Decimal digits and nothing else, at most 2^64-1.
    let tryUInt64 (text: ReadOnlySpan<byte>, value: byref<uint64>) : bool =
        let mutable result = 0UL
        let mutable good = text.Length > 0 && text.Length <= 20
        let mutable i = 0

        while good && i < text.Length do
            let digit = uint64 (text[i] - '0'B)

            if not (isDigit text[i]) then
                good <- false
            elif
                result > 1844674407370955161UL
                || (result = 1844674407370955161UL && digit > 5UL)
            then
                good <- false
            else
                result <- result * 10UL + digit
                i <- i + 1

        value <- result
        good

    /// An optional minus sign and decimal digits, within 64 bits.
    let tryInt64 (text: ReadOnlySpan<byte>, value: byref<int64>) : bool =
        let negative = text.Length > 0 && text[0] = '-'B
        let mutable magnitude = 0UL

        if not (tryUInt64 ((if negative then text.Slice 1 else text), &magnitude)) then
            false
        elif negative && magnitude <= 9223372036854775808UL then
            value <- int64 (0UL - magnitude)
            true
        elif not negative && magnitude <= uint64 Int64.MaxValue then
            value <- int64 magnitude
            true
        else
            false

    let private powersOfTen =
        [|
            1e0
            1e1
            1e2
            1e3
            1e4
            1e5
            1e6
            1e7
            1e8
            1e9
            1e10
            1e11
            1e12
            1e13
            1e14
        |]

    /// `12`, `0.25` or `-3.5`: no exponent, no infinity, at least one digit before and after a point.
    let tryDecimal (text: ReadOnlySpan<byte>, value: byref<float>) : bool =
        let digits =
            if text.Length > 0 && text[0] = '-'B then
                text.Slice 1
            else
                text

        let mutable point = -1
        let mutable number = 0UL
        let mutable i = 0

        while i < digits.Length && (isDigit digits[i] || (digits[i] = '.'B && point < 0)) do
            if digits[i] = '.'B then
                point <- i
            else
                number <- number * 10UL + uint64 (digits[i] - '0'B)

            i <- i + 1

        if i < digits.Length || digits.Length = 0 || point = 0 || point = digits.Length - 1 then
            value <- 0.0
            false
        elif digits.Length <= 15 then
            // Fewer digits than a float holds, and a power of ten that it holds too: their quotient is the nearest float.
            let magnitude =
                float number
                / (if point < 0 then
                       1.0
                   else
                       powersOfTen[digits.Length - 1 - point])

            value <-
                if digits.Length < text.Length then
                    -magnitude
                else
                    magnitude

            true
        else
            let mutable consumed = 0

            Utf8Parser.TryParse(text, &value, &consumed)
            && consumed = text.Length
            && Double.IsFinite value

/// Walks a kernel text line by line and field by field without allocating. It keeps the line number and the last
/// field, so that an error says where it is. A last line without a line end counts as torn and is never handed out.
[<Struct; IsByRefLike; NoEquality; NoComparison>]
type internal Cursor =
    val private source: string
    val private text: ReadOnlySpan<byte>
    val mutable private next: int
    val mutable private number: int
    val mutable private line: ReadOnlySpan<byte>
    val mutable private rest: ReadOnlySpan<byte>
    val mutable private field: ReadOnlySpan<byte>
    val mutable private fields: int

    new(source: string, text: ReadOnlySpan<byte>) =
        {
            source = source
            text = text
            next = 0
            number = 0
            line = ReadOnlySpan<byte>.Empty
            rest = ReadOnlySpan<byte>.Empty
            field = ReadOnlySpan<byte>.Empty
            fields = 0
        }

    /// Moves to the next line; false at the end of the text and before a torn last line.
    member this.NextLine() : bool =
        let remaining = this.text.Slice this.next
        let length = remaining.IndexOf '\n'B

        if length < 0 then
            this.line <- remaining
            this.rest <- ReadOnlySpan<byte>.Empty
            this.field <- remaining
            this.number <- this.number + 1
            false
        else
            this.line <- remaining.Slice(0, length)
            this.rest <- this.line
            this.field <- this.line
            this.next <- this.next + length + 1
            this.number <- this.number + 1
            this.fields <- 0
            true

    /// Moves to the next line whose first field is this, and past that field; false where there is none, or where the text is torn.
    member this.FindLine(name: byte[]) : bool =
        let isWhole = this.text.EndsWith '\n'B
        let mutable isFound = false

        while not isFound && this.NextLine() do
            isFound <- isWhole && this.Field().SequenceEqual(ReadOnlySpan name)

        isFound

    /// What a text without the line that was looked for deserves: nothing, or the error of a text that is empty or torn.
    member this.Missing(field: string) : Result<'value voption, ParseError> =
        if this.AtEnd && not this.text.IsEmpty then
            Ok ValueNone
        else
            Error(this.NoLine field)

    /// True when nothing is left after the last complete line.
    member this.AtEnd: bool = this.next = this.text.Length

    /// The current line, without its line end.
    member this.Line: ReadOnlySpan<byte> = this.line

    /// What the fields have not used up of the current line, blanks around it removed.
    member this.Rest: ReadOnlySpan<byte> = Text.trim this.rest

    /// The field that was read last.
    member this.Last: ReadOnlySpan<byte> = this.field

    /// The next field of the line, between blanks; empty when there is none left.
    member this.Field() : ReadOnlySpan<byte> =
        // A copy, because the compiler keeps what it names in registers, and reads this.rest from memory each time.
        let text = this.rest
        let mutable first = 0

        while first < text.Length && Text.isBlank text[first] do
            first <- first + 1

        let mutable past = first

        while past < text.Length && not (Text.isBlank text[past]) do
            past <- past + 1

        this.Take(first, past)
        this.field

    /// Makes a part of what is left of the line the field that was read last.
    member private this.Take(first: int, past: int) : unit =
        this.field <- this.rest.Slice(first, past - first)
        this.rest <- this.rest.Slice past
        this.fields <- this.fields + 1

    /// Moves to the next field without looking at it.
    member this.SkipField() : unit =
        let field = this.Field()
        this.field <- field

    /// How many fields of the line were asked for, the missing ones included.
    member this.Fields: int = this.fields

    /// Uses up the line to the given length, which becomes the last field; the fields that follow start after it.
    member this.Skip(length: int) : unit =
        this.field <- this.line.Slice(0, length)
        this.rest <- this.line.Slice length

    /// The next field as a whole number; false when it is none or missing.
    member this.UInt64(value: byref<uint64>) : bool =
        // Nearly every field is a number of fewer than twenty digits, which need no look at the 64 bits: those are read in
        // one pass. Anything else is found out by the way all fields go.
        let text = this.rest
        let mutable first = 0

        while first < text.Length && Text.isBlank text[first] do
            first <- first + 1

        let mutable past = first
        let mutable number = 0UL
        let mutable digit = 0u

        while past < text.Length
              && (digit <- uint32 text[past] - uint32 '0'B
                  digit < 10u) do
            number <- number * 10UL + uint64 digit
            past <- past + 1

        let length = past - first

        if length > 0 && length < 20 && (past = text.Length || Text.isBlank text[past]) then
            this.Take(first, past)
            value <- number
            true
        else
            Text.tryUInt64 (this.Field(), &value)

    /// The next field as a whole number, 0 when the line has no more; false when it is something else.
    member this.UInt64OrZero(value: byref<uint64>) : bool =
        this.UInt64 &value || this.field.IsEmpty

    /// The next field as a decimal number; false when it is none or missing.
    member this.Decimal(value: byref<float>) : bool = Text.tryDecimal (this.Field(), &value)

    /// The error for the last field, or for its absence.
    member this.Bad(field: string, expected: string) : ParseError =
        {
            Source = this.source
            Line = this.number
            Field = field
            Raw = Text.excerpt this.field
            Expected = expected
        }

    /// The error of a text that ends where a line was needed.
    member this.NoLine(field: string) : ParseError =
        this.Bad(
            field,
            (if this.AtEnd then
                 "another line"
             else
                 "a line end after the last line")
        )

/// The malformed lines of one text. Allocates nothing while there are none.
[<Struct; NoEquality; NoComparison>]
type internal LineFaults =
    val mutable private kept: ResizeArray<ParseError> | null
    val mutable private count: int

    /// Adds one: the first few are kept, all are counted.
    member this.Add(fault: ParseError) : unit =
        this.count <- this.count + 1

        match this.kept with
        | null ->
            let kept = ResizeArray<ParseError>()
            kept.Add fault
            this.kept <- kept
        | kept ->
            if kept.Count < Parsed.MostFaults then
                kept.Add fault

    /// True while all is well.
    member this.IsEmpty: bool = this.count = 0

    /// The fault of a text whose last line has no line end.
    member this.AddTorn(cursor: byref<Cursor>) : unit =
        if not cursor.AtEnd then
            this.Add(cursor.NoLine "the last line")

    /// A text that says this, beside its faults.
    member this.Around(value: 'value) : Parsed<'value> =
        {
            Value = value
            Faults =
                (match this.kept with
                 | null -> Array.Empty()
                 | kept -> kept.ToArray())
            FaultCount = this.count
        }

    /// The same where there is a value or no fault; a text of which nothing can be read is its first fault.
    member this.AroundAny(values: ResizeArray<'value>) : Result<Parsed<'value[]>, ParseError> =
        match this.kept with
        | null -> Ok(this.Around(values.ToArray()))
        | kept when values.Count = 0 -> Error kept[0]
        | _ -> Ok(this.Around(values.ToArray()))

    /// The first fault, or this one where there is none.
    member this.FirstOr(fault: ParseError) : ParseError =
        match this.kept with
        | null -> fault
        | kept -> kept[0]

/// Files of /sys: one value and a line end.
[<RequireQualifiedAccess>]
module SysFile =
    /// The value of a file that holds one whole number.
    let internal integer (file: SysText) (expected: string) : Result<int64, SourceError> =
        match file.Content with
        | Error error -> Error error
        | Ok bytes ->
            let mutable cursor = Cursor(file.Path, bytes.Span)
            let mutable value = 0L

            if not (cursor.NextLine()) then
                Error(SourceError.Garbled(cursor.NoLine "value"))
            elif Text.tryInt64 (cursor.Field(), &value) then
                Ok value
            else
                Error(SourceError.Garbled(cursor.Bad("value", expected)))

    /// The text of a file that holds one line, blanks around it removed.
    let internal line (file: SysText) : Result<string, SourceError> =
        match file.Content with
        | Error error -> Error error
        | Ok bytes ->
            let mutable cursor = Cursor(file.Path, bytes.Span)

            if cursor.NextLine() then
                Ok(Text.toString cursor.Rest)
            else
                Error(SourceError.Garbled(cursor.NoLine "value"))

    /// The text of a file that holds one line; empty where it cannot be read.
    [<CompiledName "Text">]
    let text (file: SysText) : string = line file |> Result.defaultValue ""

    /// What is wrong with the first file that was read and is none of these; a file that cannot be read at the moment is
    /// not told, as drivers answer so while they have no value.
    let internal garbled (read: SysText -> Result<'value, SourceError>) (files: SysText[]) : SourceError[] =
        files
        |> Array.tryPick (fun file ->
            match read file with
            | Error(SourceError.Garbled _ as error) -> Some error
            | _ -> None)
        |> Option.toArray
