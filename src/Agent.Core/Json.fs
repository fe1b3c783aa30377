namespace Agent.Core

open System
open System.Buffers
open System.Collections.Generic
open System.Text
open System.Text.Json
open FSharp.NativeInterop

// Digits are put together on the stack, which the compiler cannot vouch for.
#nowarn "9"

/// A JSON value that knows how to write itself.
type JsonValue = Utf8JsonWriter -> unit

/// Builds JSON, with the names and shapes of Thoth.Json. One difference: 64-bit integers are numbers here, because the
/// ingest API wants numbers, where Thoth writes them as strings.
[<RequireQualifiedAccess>]
module Encode =
    /// null
    let nil: JsonValue = fun writer -> writer.WriteNullValue()

    /// A string.
    let string (value: string) : JsonValue =
        fun writer -> writer.WriteStringValue(JsonForm.wellFormed value)

    /// A number.
    let int (value: int) : JsonValue =
        fun writer -> writer.WriteNumberValue value

    /// A number.
    let int64 (value: int64) : JsonValue =
        fun writer -> writer.WriteNumberValue value

    /// A number in its shortest form that reads back as the same value; null for NaN and the infinities, which JSON
    /// does not have.
    let float (value: float) : JsonValue =
        fun writer ->
            if Double.IsFinite value then
                let text =
                    Span<byte>(NativePtr.toVoidPtr (NativePtr.stackalloc<byte> JsonForm.LongestNumber), JsonForm.LongestNumber)

                let length = JsonForm.writeFinite (value, text)
                writer.WriteRawValue(Span.op_Implicit (text.Slice(0, length)), skipInputValidation = true)
            else
                writer.WriteNullValue()

    /// true or false.
    let bool (value: bool) : JsonValue =
        fun writer -> writer.WriteBooleanValue value

    /// An object with these members, in this order.
    let object (members: seq<string * JsonValue>) : JsonValue =
        fun writer ->
            writer.WriteStartObject()

            for name, value in members do
                writer.WritePropertyName(JsonForm.wellFormed name)
                value writer

            writer.WriteEndObject()

    /// Text that is JSON already. Nothing checks it where nothing has to be indented.
    let raw (utf8: ReadOnlyMemory<byte>) : JsonValue =
        fun writer ->
            if writer.Options.Indented then
                use document = JsonDocument.Parse utf8
                document.RootElement.WriteTo writer
            else
                writer.WriteRawValue(utf8.Span, skipInputValidation = true)

    /// An array.
    let seq (values: seq<JsonValue>) : JsonValue =
        fun writer ->
            writer.WriteStartArray()

            for value in values do
                value writer

            writer.WriteEndArray()

    /// An array.
    let array (values: JsonValue[]) : JsonValue = seq values

    /// An array of these values, each encoded.
    let arrayOf (encoder: 'a -> JsonValue) (values: 'a[]) : JsonValue =
        fun writer ->
            writer.WriteStartArray()

            for value in values do
                encoder value writer

            writer.WriteEndArray()

    /// An array.
    let list (values: JsonValue list) : JsonValue = seq values

    /// The value, or null for none.
    let option (encoder: 'a -> JsonValue) (value: 'a option) : JsonValue =
        match value with
        | Some value -> encoder value
        | None -> nil

    /// The value, or null for none.
    let voption (encoder: 'a -> JsonValue) (value: 'a voption) : JsonValue =
        match value with
        | ValueSome value -> encoder value
        | ValueNone -> nil

    let private options (indented: bool) =
        JsonWriterOptions(Indented = indented, Encoder = JsonForm.escapes, SkipValidation = true)

    /// Writes the value as UTF-8.
    let writeTo (output: IBufferWriter<byte>) (indented: bool) (value: JsonValue) : unit =
        use writer = new Utf8JsonWriter(output, options indented)
        value writer
        writer.Flush()

    /// The value as text; any number of spaces above 0 indents by two.
    let toString (space: int) (value: JsonValue) : string =
        let buffer = ArrayBufferWriter<byte>()
        writeTo buffer (space > 0) value
        Encoding.UTF8.GetString buffer.WrittenSpan

/// Why a JSON value is not what a decoder expects.
[<RequireQualifiedAccess>]
type ErrorReason =
    /// Another type than expected; the text is what was found.
    | BadPrimitive of expected: string * found: string
    /// The member is missing.
    | BadField of expected: string
    /// The decoder's own reason.
    | FailMessage of message: string
    /// The text is not JSON.
    | NotJson of message: string

/// Where in the value, as a path from `$`, and why.
type DecoderError = string * ErrorReason

/// Reads a value of type 'T from a path and the JSON found there.
type Decoder<'T> = string -> JsonElement -> Result<'T, DecoderError>

/// The getters of one of the two kinds of `Decode.object`.
type IRequiredGetter =
    /// The member of that name; its absence is an error.
    abstract Field: name: string -> decoder: Decoder<'a> -> 'a

/// The getters of one of the two kinds of `Decode.object`.
type IOptionalGetter =
    /// The member of that name; none when it is missing or null.
    abstract Field: name: string -> decoder: Decoder<'a> -> 'a option

/// What `Decode.object` hands to its function.
type IGetters =
    /// Members that must be there.
    abstract Required: IRequiredGetter
    /// Members that may be missing or null.
    abstract Optional: IOptionalGetter

/// Reads JSON, with the names and shapes of Thoth.Json.
[<RequireQualifiedAccess>]
module Decode =
    let private excerpt (element: JsonElement) =
        // Text that is not Unicode cannot be shown.
        let text =
            try
                element.GetRawText()
            with :? InvalidOperationException ->
                "text that is not Unicode"

        if text.Length > 80 then
            text.Substring(0, 80) + "…"
        else
            text

    let private bad path expected (element: JsonElement) =
        Error(path, ErrorReason.BadPrimitive(expected, excerpt element))

    /// A string.
    let string: Decoder<string> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.String ->
                // An escape such as \ud800 alone is valid JSON and no text.
                try
                    Ok(element.GetString() |> Option.ofObj |> Option.defaultValue "")
                with :? InvalidOperationException ->
                    bad path "a string" element
            | _ -> bad path "a string" element

    /// true or false.
    let bool: Decoder<bool> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.True -> Ok true
            | JsonValueKind.False -> Ok false
            | _ -> bad path "a boolean" element

    /// A whole number of 32 bits.
    let int: Decoder<int> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Number ->
                match element.TryGetInt32() with
                | true, value -> Ok value
                | _ -> bad path "an int" element
            | _ -> bad path "an int" element

    /// A whole number of 64 bits.
    let int64: Decoder<int64> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Number ->
                match element.TryGetInt64() with
                | true, value -> Ok value
                | _ -> bad path "an int64" element
            | _ -> bad path "an int64" element

    /// A finite number.
    let float: Decoder<float> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Number ->
                match element.TryGetDouble() with
                | true, value when Double.IsFinite value -> Ok value
                | _ -> bad path "a float" element
            | _ -> bad path "a float" element

    /// Always this value.
    let succeed (value: 'a) : Decoder<'a> = fun _ _ -> Ok value

    /// Never a value, for this reason.
    let fail (message: string) : Decoder<'a> =
        fun path _ -> Error(path, ErrorReason.FailMessage message)

    /// The value seen through a function.
    let map (mapping: 'a -> 'b) (decoder: Decoder<'a>) : Decoder<'b> =
        fun path element -> decoder path element |> Result.map mapping

    /// A decoder chosen by what the first one read.
    let andThen (next: 'a -> Decoder<'b>) (decoder: Decoder<'a>) : Decoder<'b> =
        fun path element -> decoder path element |> Result.bind (fun value -> next value path element)

    /// None for null.
    let option (decoder: Decoder<'a>) : Decoder<'a option> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Null -> Ok None
            | _ -> decoder path element |> Result.map Some

    // A name that is not Unicode cannot be compared with ours, so the member that is looked for is not there.
    let private tryMember (name: string) (element: JsonElement) : JsonElement voption =
        try
            match element.TryGetProperty name with
            | true, value -> ValueSome value
            | _ -> ValueNone
        with :? InvalidOperationException ->
            ValueNone

    /// The member of that name.
    let field (name: string) (decoder: Decoder<'a>) : Decoder<'a> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Object ->
                match tryMember name element with
                | ValueSome value -> decoder $"{path}.{name}" value
                | ValueNone -> Error(path, ErrorReason.BadField $"a member named {name}")
            | _ -> bad path "an object" element

    /// None when the member is missing or null.
    let optional (name: string) (decoder: Decoder<'a>) : Decoder<'a option> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Object ->
                match tryMember name element with
                | ValueSome value when value.ValueKind <> JsonValueKind.Null -> decoder $"{path}.{name}" value |> Result.map Some
                | _ -> Ok None
            | _ -> bad path "an object" element

    /// Each entry of an array; the first bad one is the error.
    let array (decoder: Decoder<'a>) : Decoder<'a[]> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Array ->
                let values = ResizeArray<'a>(element.GetArrayLength())
                let mutable failure = None
                let mutable index = 0

                for entry in element.EnumerateArray() do
                    if failure.IsNone then
                        match decoder $"{path}[{index}]" entry with
                        | Ok value -> values.Add value
                        | Error error -> failure <- Some error

                        index <- index + 1

                match failure with
                | Some error -> Error error
                | None -> Ok(values.ToArray())
            | _ -> bad path "an array" element

    /// Each entry of an array; the first bad one is the error.
    let list (decoder: Decoder<'a>) : Decoder<'a list> = array decoder |> map List.ofArray

    /// The members of an object, in their order.
    let keyValuePairs (decoder: Decoder<'a>) : Decoder<(string * 'a) list> =
        fun path element ->
            match element.ValueKind with
            | JsonValueKind.Object ->
                let folder state (property: JsonProperty) =
                    match state with
                    | Error _ -> state
                    | Ok members ->
                        decoder $"{path}.{property.Name}" property.Value
                        |> Result.map (fun value -> (property.Name, value) :: members)

                element.EnumerateObject() |> Seq.fold folder (Ok []) |> Result.map List.rev
            | _ -> bad path "an object" element

    /// An object, member by member; the first error that the function met is the error.
    let object (builder: IGetters -> 'a) : Decoder<'a> =
        fun path element ->
            let errors = ResizeArray<DecoderError>()

            let run (decoder: Decoder<'b>) : 'b =
                match decoder path element with
                | Ok value -> value
                | Error error ->
                    errors.Add error
                    // The builder goes on with it, and what it builds is thrown away.
                    Unchecked.defaultof<'b>

            let required =
                { new IRequiredGetter with
                    member _.Field name decoder = run (field name decoder)
                }

            let optionalGetter =
                { new IOptionalGetter with
                    member _.Field name decoder =
                        match optional name decoder path element with
                        | Ok value -> value
                        | Error error ->
                            errors.Add error
                            None
                }

            let value =
                builder
                    { new IGetters with
                        member _.Required = required
                        member _.Optional = optionalGetter
                    }

            if errors.Count > 0 then Error errors[0] else Ok value

    /// `$.sample.disks[0].device: expected a string, found 12`
    let errorToString ((path, reason): DecoderError) : string =
        match reason with
        | ErrorReason.BadPrimitive(expected, found) -> $"{path}: expected {expected}, found {found}"
        | ErrorReason.BadField expected -> $"{path}: expected {expected}"
        | ErrorReason.FailMessage message -> $"{path}: {message}"
        | ErrorReason.NotJson message -> $"not JSON: {message}"

    /// Reads UTF-8 text, with a byte order mark or without. Nesting deeper than 64 is an error.
    let fromBytes (decoder: Decoder<'a>) (text: ReadOnlyMemory<byte>) : Result<'a, DecoderError> =
        try
            let mark = text.Length - (Text.withoutMark text.Span).Length
            use document = JsonDocument.Parse(text.Slice mark)
            decoder "$" document.RootElement
        with
        | :? JsonException as error -> Error("$", ErrorReason.NotJson error.Message)
        // What is not Unicode shows when it is looked at.
        | :? InvalidOperationException as error -> Error("$", ErrorReason.NotJson error.Message)

    /// Reads text. Nesting deeper than 64 is an error.
    let fromString (decoder: Decoder<'a>) (text: string) : Result<'a, string> =
        fromBytes decoder (ReadOnlyMemory(Encoding.UTF8.GetBytes text))
        |> Result.mapError errorToString
