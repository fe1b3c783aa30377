/// Reads what OTLP sends, after the public messages (open-telemetry/opentelemetry-proto). Nothing in common with what writes them.
module Agent.TestSupport.OtlpText

open System
open System.IO
open System.IO.Compression
open System.Text
open Agent.TestSupport.ProtobufText

/// The bytes behind a stream of gzip.
let decompress (bytes: byte[]) : byte[] =
    use zipped = new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress)
    use memory = new MemoryStream()
    zipped.CopyTo memory
    memory.ToArray()

/// How a metric's points relate.
type Kind =
    | Gauge
    /// A cumulative sum; `isMonotonic` where it only grows.
    | Sum of isMonotonic: bool

/// The figure of a point.
type Value =
    | Whole of int64
    | Real of float

/// One data point with everything that is said of it.
type Point =
    {
        Resource: (string * string) list
        SchemaUrl: string
        Scope: string * string
        Name: string
        Description: string
        Unit: string
        Kind: Kind
        Attributes: (string * string) list
        /// Nanoseconds since 1970; 0 for none.
        Start: uint64
        /// Nanoseconds since 1970.
        Time: uint64
        Value: Value
    }

    /// The attribute of this name; empty when there is none.
    member point.Attribute(name: string) : string =
        point.Attributes
        |> List.tryFind (fst >> (=) name)
        |> Option.map snd
        |> Option.defaultValue ""

    /// The figure, whole or not.
    member point.Figure: float =
        match point.Value with
        | Whole value -> float value
        | Real value -> value

let private text (bytes: byte[]) : string =
    (UTF8Encoding(false, true)).GetString bytes

let private attributeOf (message: byte[]) : string * string =
    match fields message with
    | [ 1, Bytes name; 2, Bytes value ] ->
        match fields value with
        | [ 1, Bytes value ] -> text name, text value
        | other -> failwith $"no text: {other}"
    | other -> failwith $"no attribute: {other}"

let private texts (number: int) (parts: (int * Field) list) : string =
    parts
    |> List.tryPick (fun part ->
        match part with
        | found, Bytes value when found = number -> Some(text value)
        | _ -> None)
    |> Option.defaultValue ""

let private messages (number: int) (parts: (int * Field) list) : byte[] list =
    parts
    |> List.choose (fun part ->
        match part with
        | found, Bytes message when found = number -> Some message
        | _ -> None)

let private only (allowed: int list) (parts: (int * Field) list) : unit =
    for number, _ in parts do
        if not (List.contains number allowed) then
            failwith $"field {number} is none of {allowed}"

let private pointOf (point: Point) (message: byte[]) : Point =
    let parts = fields message
    only [ 2; 3; 4; 6; 7 ] parts

    let eight (number: int) =
        parts
        |> List.tryPick (fun part ->
            match part with
            | found, Eight bytes when found = number -> Some bytes
            | _ -> None)

    { point with
        Attributes = messages 7 parts |> List.map attributeOf
        Start = eight 2 |> Option.map BitConverter.ToUInt64 |> Option.defaultValue 0UL
        Time =
            match eight 3 with
            | Some bytes -> BitConverter.ToUInt64 bytes
            | None -> failwith "a point without a time"
        Value =
            match eight 4, eight 6 with
            | Some bytes, None -> Real(BitConverter.ToDouble bytes)
            | None, Some bytes -> Whole(BitConverter.ToInt64 bytes)
            | other -> failwith $"one figure is wanted: {other}"
    }

let private metricOf (point: Point) (message: byte[]) : Point list =
    let parts = fields message
    only [ 1; 2; 3; 5; 7 ] parts

    let kind, data =
        match messages 5 parts, messages 7 parts with
        | [ gauge ], [] -> Gauge, fields gauge
        | [], [ sum ] ->
            let parts = fields sum

            if not (List.contains (2, Number 2UL) parts) then
                failwith "a sum that is not cumulative"

            Sum(List.contains (3, Number 1UL) parts), parts
        | other -> failwith $"one kind is wanted: {other}"

    messages 1 data
    |> List.map (
        pointOf
            { point with
                Name = texts 1 parts
                Description = texts 2 parts
                Unit = texts 3 parts
                Kind = kind
            }
    )

/// Every point of an uncompressed request, in its order; throws for anything else.
let pointsOf (request: byte[]) : Point list =
    [
        for number, field in fields request do
            match number, field with
            | 1, Bytes ofResource ->
                let parts = fields ofResource
                only [ 1; 2; 3 ] parts

                let resource = messages 1 parts |> List.collect (fields >> messages 1 >> List.map attributeOf)

                for ofScope in messages 2 parts do
                    let inner = fields ofScope
                    only [ 1; 2 ] inner
                    let scope = messages 1 inner |> List.collect fields

                    for metric in messages 2 inner do
                        yield!
                            metricOf
                                {
                                    Resource = resource
                                    SchemaUrl = texts 3 parts
                                    Scope = texts 1 scope, texts 2 scope
                                    Name = ""
                                    Description = ""
                                    Unit = ""
                                    Kind = Gauge
                                    Attributes = []
                                    Start = 0UL
                                    Time = 0UL
                                    Value = Whole 0L
                                }
                                metric
            | other -> failwith $"no resource: {other}"
    ]
