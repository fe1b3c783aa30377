namespace Agent.Core

open System
open System.Buffers.Text
open System.Text
open System.Text.Encodings.Web
open System.Text.Json

/// How values look in JSON.
[<RequireQualifiedAccess>]
module internal JsonForm =
    /// Bodies are application/json and never part of a page, so nothing but JSON's own rules needs an escape.
    let escapes: JavaScriptEncoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping

    /// Text that is not Unicode cannot be written; a lone surrogate becomes U+FFFD.
    let wellFormed (text: string) : string =
        if text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0 then
            text
        else
            Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)

    // A literal in the place where it is used would be a new array each time.
    let nullText = "null"B
    let trueText = "true"B
    let falseText = "false"B

    /// So many bytes are enough for any number.
    [<Literal>]
    let LongestNumber = 32

    let private writeDigits (value: int64, text: Span<byte>) : int =
        let mutable length = 0
        value.TryFormat(text, &length) |> ignore
        length

    /// Hundredths as a decimal number without zeros at the end.
    let private writeHundredths (hundredths: int64, text: Span<byte>) : int =
        let magnitude = abs hundredths
        let fraction = int (magnitude % 100L)
        let mutable length = 0

        if hundredths < 0L then
            text[0] <- '-'B
            length <- 1

        length <- length + writeDigits (magnitude / 100L, text.Slice length)

        if fraction <> 0 then
            text[length] <- '.'B
            text[length + 1] <- '0'B + byte (fraction / 10)
            length <- length + 2

        if fraction % 10 <> 0 then
            text[length] <- '0'B + byte (fraction % 10)
            length <- length + 1

        length

    /// Writes the shortest form of a finite number that reads back as the same value, and gives its length.
    let writeFinite (value: float, text: Span<byte>) : int =
        // Nearly all of ours are tenths or hundredths. Up to fifteen digits a decimal number and the float next to it
        // stand for each other, so the digits can be written without a search for the shortest ones.
        let hundredths = Math.Round(value * 100.0)

        if
            abs hundredths < 1e12
            && hundredths / 100.0 = value
            && not (value = 0.0 && Double.IsNegative value)
        then
            writeHundredths (int64 hundredths, text)
        else
            let mutable length = 0
            Utf8Formatter.TryFormat(value, text, &length) |> ignore
            length

    /// The length of `2026-02-26T02:37:49.120000+00:00`.
    [<Literal>]
    let InstantLength = 32

    let private instantText = "0000-00-00T00:00:00.000000+00:00"B

    let private writePadded (value: int, first: int, length: int, text: Span<byte>) : unit =
        let mutable rest = value

        for i in first + length - 1 .. -1 .. first do
            text[i] <- '0'B + byte (rest % 10)
            rest <- rest / 10

    /// RFC 3339 with microseconds and a numeric offset, the form the webapp's own clients use.
    let writeInstant (value: DateTimeOffset, text: Span<byte>) : unit =
        let utc = value.UtcDateTime
        instantText.AsSpan().CopyTo text
        writePadded (utc.Year, 0, 4, text)
        writePadded (utc.Month, 5, 2, text)
        writePadded (utc.Day, 8, 2, text)
        let day = utc.TimeOfDay
        writePadded (day.Hours, 11, 2, text)
        writePadded (day.Minutes, 14, 2, text)
        writePadded (day.Seconds, 17, 2, text)
        writePadded (int (day.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond), 20, 6, text)

/// JSON as UTF-8, written straight into memory that is used again: what is sent at every sample. The encoders of
/// `Encode` build any value from values; this writes with less code and without an object for each value.
[<Sealed>]
type JsonText(capacity: int) =
    let mutable bytes: byte[] = Array.zeroCreate capacity
    let mutable length = 0

    /// At least so many bytes to write to.
    member private _.Free(count: int) : Span<byte> =
        if bytes.Length - length < count then
            Array.Resize(&bytes, max (bytes.Length * 2) (length + count))

        Span(bytes, length, bytes.Length - length)

    /// What was written.
    member _.Written: ReadOnlyMemory<byte> = ReadOnlyMemory(bytes, 0, length)

    /// Forgets what was written and keeps its memory.
    member _.Clear() : unit = length <- 0

    /// JSON that is written already; nothing checks it.
    member this.Raw(json: ReadOnlySpan<byte>) : unit =
        json.CopyTo(this.Free json.Length)
        length <- length + json.Length

    /// One character of JSON's own.
    member this.Mark(mark: byte) : unit =
        this.Free(1).[0] <- mark
        length <- length + 1

    /// null
    member this.Null() : unit =
        this.Raw(ReadOnlySpan JsonForm.nullText)

    /// A string.
    member this.Text(value: string) : unit =
        let room = this.Free(value.Length + 2)
        let mutable i = 0
        room[0] <- '"'B

        while i < value.Length
              && value[i] >= ' '
              && value[i] < '\127'
              && value[i] <> '"'
              && value[i] <> '\\' do
            room[i + 1] <- byte value[i]
            i <- i + 1

        if i = value.Length then
            room[i + 1] <- '"'B
            length <- length + value.Length + 2
        else
            this.Mark '"'B
            this.Raw(JsonEncodedText.Encode(JsonForm.wellFormed value, JsonForm.escapes).EncodedUtf8Bytes)
            this.Mark '"'B

    /// An instant as a string, with microseconds.
    member this.Instant(value: DateTimeOffset) : unit =
        this.Mark '"'B
        JsonForm.writeInstant (value, this.Free JsonForm.InstantLength)
        length <- length + JsonForm.InstantLength
        this.Mark '"'B

    /// A whole number.
    member this.Int64(value: int64) : unit =
        let mutable written = 0
        value.TryFormat(this.Free JsonForm.LongestNumber, &written) |> ignore
        length <- length + written

    /// A number in its shortest form that reads back as the same value; null for NaN and the infinities, which JSON does
    /// not have.
    member this.Float(value: float) : unit =
        if Double.IsFinite value then
            length <- length + JsonForm.writeFinite (value, this.Free JsonForm.LongestNumber)
        else
            this.Null()

    /// true or false.
    member this.Bool(value: bool) : unit =
        this.Raw(ReadOnlySpan(if value then JsonForm.trueText else JsonForm.falseText))

    /// A whole number; null for none.
    member this.IntOrNull(value: int<'u> voption) : unit =
        match value with
        | ValueSome value -> this.Int64(int64 value)
        | ValueNone -> this.Null()

    /// A number; null for none, NaN and the infinities.
    member this.NumberOrNull(value: float<'u> voption) : unit =
        match value with
        | ValueSome value -> this.Float(float value)
        | ValueNone -> this.Null()

    /// A counter, at most 2^63-1, which is the most that the ingest API takes.
    member this.Counter(value: uint64<'u>) : unit = this.Int64(Units.wireInteger value)

    /// The same; null for none.
    member this.CounterOrNull(value: uint64<'u> voption) : unit =
        match value with
        | ValueSome value -> this.Counter value
        | ValueNone -> this.Null()

    /// true or false; null for none.
    member this.BoolOrNull(value: bool voption) : unit =
        match value with
        | ValueSome value -> this.Bool value
        | ValueNone -> this.Null()

    /// A string; null for an empty one.
    member this.TextOrNull(value: string) : unit =
        if value = "" then this.Null() else this.Text value

    /// An instant; null for none.
    member this.InstantOrNull(value: DateTimeOffset voption) : unit =
        match value with
        | ValueSome value -> this.Instant value
        | ValueNone -> this.Null()

    /// An array of what `write` writes of each entry.
    member inline internal this.Array(values: 'a[], [<InlineIfLambda>] write: 'a -> unit) : unit =
        this.Mark '['B

        for i in 0 .. values.Length - 1 do
            if i > 0 then
                this.Mark ','B

            write values[i]

        this.Mark ']'B

    /// An array of strings.
    member this.Texts(values: string[]) : unit =
        this.Array(values, (fun value -> this.Text value))

    /// The same; null for none.
    member this.TextsOrNull(values: string[] voption) : unit =
        match values with
        | ValueSome values -> this.Texts values
        | ValueNone -> this.Null()

    /// An array of numbers; null for each that is none, NaN or infinite.
    member this.Numbers(values: float<'u> voption[]) : unit =
        this.Array(values, (fun value -> this.NumberOrNull value))

    /// An object whose members are strings.
    member this.Labels(members: (struct (string * string))[]) : unit =
        this.Mark '{'B

        for i in 0 .. members.Length - 1 do
            let struct (name, value) = members[i]

            if i > 0 then
                this.Mark ','B

            this.Text name
            this.Mark ':'B
            this.Text value

        this.Mark '}'B
