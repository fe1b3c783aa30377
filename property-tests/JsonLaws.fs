/// Laws of the JSON that the core writes and reads.
module Agent.PropertyTests.JsonLaws

open System
open System.Buffers
open System.Collections.Generic
open System.Globalization
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Sender
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// A JSON value to write.
type Tree =
    | Null
    | Truth of bool
    | Whole of int64
    | Number of float
    | Text of string
    | Items of Tree list
    | Members of (string * Tree) list

let private anyFloat =
    Gen.frequency
        [
            4, Gen.map2 (fun n d -> float n / float d) (Gen.choose (-1_000_000, 1_000_000)) (Gen.choose (1, 1000))
            1, anyUInt64 |> Gen.map (fun bits -> BitConverter.Int64BitsToDouble(int64 bits))
            1, Gen.elements [ nan; infinity; -infinity; Double.MaxValue; Double.Epsilon; 0.0 ]
        ]

/// Text that may hold halves of surrogate pairs.
let private raggedText =
    Gen.map2 (+) anyText (Gen.frequency [ 4, Gen.constant ""; 1, Gen.elements [ "\uD800"; "\uDC00x"; "x\uDBFF" ] ])

let rec private tree depth : Gen<Tree> =
    let leaf =
        [
            Gen.constant Null
            Gen.elements [ Truth true; Truth false ]
            anyUInt64 |> Gen.map (int64 >> Whole)
            anyFloat |> Gen.map Number
            raggedText |> Gen.map Text
        ]

    if depth = 0 then
        Gen.oneof leaf
    else
        Gen.oneof
            [
                yield! leaf
                upTo 3 (tree (depth - 1)) |> Gen.map (List.ofArray >> Items)
                upTo 3 (Gen.zip anyText (tree (depth - 1)))
                |> Gen.map (Array.distinctBy fst >> List.ofArray >> Members)
            ]

let rec private encode (value: Tree) : JsonValue =
    match value with
    | Null -> Encode.nil
    | Truth truth -> Encode.bool truth
    | Whole number -> Encode.int64 number
    | Number number -> Encode.float number
    | Text text -> Encode.string text
    | Items items -> items |> List.map encode |> Encode.list
    | Members members -> members |> List.map (fun (name, value) -> name, encode value) |> Encode.object

/// The value as JSON can hold it: no NaN, no halves of characters.
let rec private expected (value: Tree) : Tree =
    match value with
    | Number number when not (Double.IsFinite number) -> Null
    | Text text -> Text(Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text))
    | Items items -> Items(List.map expected items)
    | Members members -> Members(members |> List.map (fun (name, value) -> name, expected value))
    | other -> other

let rec private isSame (value: Tree) (element: JsonElement) : bool =
    match value with
    | Null -> element.ValueKind = JsonValueKind.Null
    | Truth truth -> element.ValueKind = (if truth then JsonValueKind.True else JsonValueKind.False)
    | Whole number -> element.GetInt64() = number
    | Number number -> element.GetDouble() = number
    | Text text -> element.GetString() = text
    | Items items ->
        Seq.forall2 isSame items (element.EnumerateArray())
        && items.Length = element.GetArrayLength()
    | Members members ->
        members.Length = Seq.length (element.EnumerateObject())
        && Seq.forall2 (fun (name, value) (p: JsonProperty) -> name = p.Name && isSame value p.Value) members (element.EnumerateObject())

/// The bytes of a value.
let bytesOf (indented: bool) (value: JsonValue) : byte[] =
    let buffer = ArrayBufferWriter<byte>()
    Encode.writeTo buffer indented value
    buffer.WrittenSpan.ToArray()

/// Walks the bytes token by token: what they hold that the webapp refuses.
let faultsOf (json: byte[]) : string list =
    let mutable reader = Utf8JsonReader(ReadOnlySpan json)
    let names = Stack<HashSet<string>>()
    let faults = ResizeArray<string>()

    while reader.Read() do
        match reader.TokenType with
        | JsonTokenType.StartObject -> names.Push(HashSet<string>(StringComparer.Ordinal))
        | JsonTokenType.EndObject -> names.Pop() |> ignore
        | JsonTokenType.PropertyName ->
            let name = reader.GetString() |> string

            if not (names.Peek().Add name) then
                faults.Add $"{name} comes twice"
        | JsonTokenType.Number ->
            let text = Encoding.UTF8.GetString reader.ValueSpan

            if text |> Seq.forall (fun c -> Char.IsAsciiDigit c || c = '-') then
                if not (fst (Int64.TryParse(text, CultureInfo.InvariantCulture))) then
                    faults.Add $"{text} is beyond 64 bits"
            elif not (Double.IsFinite(Double.Parse(text, CultureInfo.InvariantCulture))) then
                faults.Add $"{text} is not finite"
        | _ -> ()

    if reader.BytesConsumed <> int64 json.Length then
        faults.Add "bytes after the value"

    List.ofSeq faults

let private jsonTokens =
    [
        "{"
        "}"
        "["
        "]"
        ","
        ":"
        "\"ok\":"
        "\"error\":"
        "\"snapshot\":"
        "\"sample\":"
        "true"
        "null"
        "1e999"
        "-0"
        "18446744073709551616"
        "\"x\""
        "\"\\ud800\""
        "\"\\ud800\":1"
        "\"\\u0000\""
        "{\"ok\":true}"
        "{\"ok\":true,\"snapshot\":{\"bottleneck\":\"\\udc00\",\"cpu_usage_percent\":1e999}}"
        "{\"error\":\"\\ud800\"}"
        "[[[[[[[["
    ]
    |> List.map Encoding.UTF8.GetBytes

/// Bytes that are JSON, nearly JSON, or not at all; strings with broken escapes and broken UTF-8 among them.
let anyJson: Gen<Bytes> =
    let brokenText =
        [
            "{\"error\":\"\u00ff\"}"
            "{\"ok\":true,\"snapshot\":{\"bottleneck\":\"\u00c3\"}}"
            "\"\u00ed\u00a0\u0080\""
            "{\"\u00ff\":1}"
        ]
        |> List.map Encoding.Latin1.GetBytes
        |> Gen.elements

    Gen.frequency
        [
            1, anyBytes
            1, brokenText |> Gen.map (fun content -> { Content = content })
            3,
            upTo 10 (Gen.elements jsonTokens)
            |> Gen.map (fun parts -> { Content = Array.concat parts })
            1, Gen.elements jsonTokens |> Gen.map (fun content -> { Content = content })
            2,
            tree 2
            |> Gen.map (fun value ->
                {
                    Content = bytesOf false (encode value)
                })
        ]

/// JSON of any shape, text that has broken escapes among it.
let anyValue: Gen<string> =
    Gen.frequency
        [
            4, tree 2 |> Gen.map (encode >> Encode.toString 0)
            1,
            Gen.elements
                [
                    "\"\\ud800\""
                    "{\"bottleneck\":\"\\udc00\"}"
                    "{\"cpu_usage_percent\":1e999}"
                    "{\"\\ud800\":1}"
                ]
        ]

/// Every decoder that there is, over whatever is there.
let rec private anyDecoder depth : Gen<Decoder<unit>> =
    let ignoring (decoder: Decoder<'a>) = Decode.map ignore decoder

    let leaf =
        Gen.elements
            [
                ignoring Decode.string
                ignoring Decode.bool
                ignoring Decode.int
                ignoring Decode.int64
                ignoring Decode.float
                ignoring (Decode.fail "no": Decoder<int>)
            ]

    if depth = 0 then
        leaf
    else
        gen {
            let! inner = anyDecoder (depth - 1)
            let! name = Gen.elements [ "ok"; "error"; "snapshot"; "sample" ]

            return!
                Gen.elements
                    [
                        inner
                        ignoring (Decode.option inner)
                        ignoring (Decode.field name inner)
                        ignoring (Decode.optional name inner)
                        ignoring (Decode.array inner)
                        ignoring (Decode.list inner)
                        ignoring (Decode.keyValuePairs inner)
                        Decode.object (fun get ->
                            get.Required.Field name inner
                            get.Optional.Field name inner |> ignore)
                    ]
        }

let tests =
    testList
        "Json"
        [
            law
                "a number is written in the digits that the runtime finds"
                (Gen.oneof
                    [
                        anyFloat |> Gen.filter Double.IsFinite
                        Gen.choose64 (-2_000_000_000_000L, 2_000_000_000_000L)
                        |> Gen.map (fun n -> float n / 100.0)
                        Gen.choose (-1_000, 1_000) |> Gen.map (fun n -> float n / 10.0)
                        Gen.elements [ -0.0; 0.005; 1.005; 1e12; 9999999999.99; 10000000000.01 ]
                    ])
                (fun value -> same (Encode.toString 0 (Encode.float value)) (value.ToString("R", CultureInfo.InvariantCulture)))
            law "a text written straight is the text that the class library writes" raggedText (fun text ->
                let json = JsonText 0
                json.Text text
                Encoding.UTF8.GetString json.Written.Span = Encode.toString 0 (Encode.string text))
            law
                "an instant written straight is the one that the class library writes"
                (Gen.zip (Gen.choose64 (0L, DateTime.MaxValue.Ticks)) (Gen.choose (-14 * 60, 14 * 60)))
                (fun (ticks, minutes) ->
                    let utc = DateTime(ticks, DateTimeKind.Utc)

                    let instant =
                        try
                            DateTimeOffset(utc).ToOffset(TimeSpan.FromMinutes(float minutes))
                        with :? ArgumentException ->
                            DateTimeOffset utc

                    let json = JsonText 0
                    json.Instant instant

                    same
                        (Encoding.UTF8.GetString json.Written.Span)
                        (sprintf
                            "\"%s\""
                            (instant.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'", CultureInfo.InvariantCulture))))

            law "what is written reads back, with null for NaN and infinities" (tree 3) (fun value ->
                use document = JsonDocument.Parse(ReadOnlyMemory(bytesOf false (encode value)))
                isSame (expected value) document.RootElement)
            law "nothing written is beyond 64 bits, infinite or said twice" (tree 3) (fun value ->
                noneOf (faultsOf (bytesOf false (encode value))))
            law "indented and plain are the same value, the plain one on one line" (tree 3) (fun value ->
                let plain = bytesOf false (encode value)
                use document = JsonDocument.Parse(ReadOnlyMemory(bytesOf true (encode value)))
                isSame (expected value) document.RootElement && Array.IndexOf(plain, '\n'B) < 0)
            lawShrinking "any bytes at all decode to Ok or an Error, never an exception" shrinkBytes anyJson (fun bytes ->
                let decoder = Decode.object (fun get -> get.Required.Field "error" Decode.string)

                match Decode.fromBytes decoder (ReadOnlyMemory bytes.Content) with
                | Ok _ -> true
                | Error error -> (Decode.errorToString error).Length > 0)
            law
                "any decoder over any bytes gives Ok or an Error, never an exception"
                (Gen.zip (anyDecoder 3) anyJson)
                (fun (decoder, bytes) ->
                    match Decode.fromBytes decoder (ReadOnlyMemory bytes.Content) with
                    | Ok() -> true
                    | Error error -> (Decode.errorToString error).Length > 0)
        ]
