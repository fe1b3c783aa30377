/// Reads what remote-write sends, after the public formats: Snappy's block format (google/snappy, format_description.txt) and
/// prometheus.WriteRequest (prompb/remote.proto, types.proto) and io.prometheus.write.v2.Request (types.proto of that). Nothing in common with what writes them.
module Agent.TestSupport.RemoteWriteText

open System
open System.Collections.Generic
open System.Text
open Agent.Outbound
open Agent.TestSupport.ProtobufText
open Expecto

/// The bytes behind a block of Snappy.
let decompress (block: byte[]) : byte[] =
    let length, start = varint block 0
    let result = List<byte>(int length)
    let mutable at = start

    let little count from =
        Seq.init count (fun i -> int block[from + i] <<< (8 * i)) |> Seq.sum

    let copy offset count =
        if offset < 1 || offset > result.Count then
            failwith "a copy from before the beginning"

        for _ in 1..count do
            result.Add result[result.Count - offset]

    while at < block.Length do
        let tag = int block[at]

        match tag &&& 3 with
        | 0 ->
            let extra = max 0 ((tag >>> 2) - 59)
            let count = (if extra = 0 then tag >>> 2 else little extra (at + 1)) + 1
            result.AddRange(ArraySegment(block, at + 1 + extra, count))
            at <- at + 1 + extra + count
        | 1 ->
            copy (((tag >>> 5) <<< 8) ||| int block[at + 1]) (((tag >>> 2) &&& 7) + 4)
            at <- at + 2
        | 2 ->
            copy (little 2 (at + 1)) ((tag >>> 2) + 1)
            at <- at + 3
        | _ ->
            copy (little 4 (at + 1)) ((tag >>> 2) + 1)
            at <- at + 5

    if result.Count <> int length then
        failwith $"{result.Count} bytes, {length} were told"

    result.ToArray()

/// One sample of a series of a request: labels in the order of the bytes, the bits of its value, its time in milliseconds.
type Series =
    {
        Labels: (string * string) list
        Bits: int64
        Milliseconds: int64
    }

    /// The value.
    member series.Value: float = BitConverter.Int64BitsToDouble series.Bits

    /// The label of this name; empty when there is none.
    member series.Label(name: string) : string =
        series.Labels
        |> List.tryFind (fst >> (=) name)
        |> Option.map snd
        |> Option.defaultValue ""

let private text bytes =
    (UTF8Encoding(false, true)).GetString(bytes: byte[])

let private labelOf message =
    match fields message with
    | [ 1, Bytes name; 2, Bytes value ] -> text name, text value
    | other -> failwith $"no label: {other}"

let private sampleOf message =
    match fields message with
    | [ 1, Eight value; 2, Number milliseconds ] -> BitConverter.ToInt64(value, 0), int64 milliseconds
    | other -> failwith $"no sample: {other}"

/// A series of a request of either version before its parts are looked at: its labels, its other fields.
let private ofOne message =
    let parts = fields message

    let labels =
        [
            for part in parts do
                match part with
                | 1, Bytes label -> labelOf label
                | _ -> ()
        ]

    labels, parts |> List.filter (fun (number, _) -> number <> 1)

let private symbolsOf (request: (int * Field) list) : string[] =
    [|
        for field in request do
            match field with
            | 4, Bytes symbol -> text symbol
            | _ -> ()
    |]

let private ofTwo (symbols: string[]) message =
    match fields message with
    | (1, Bytes packed) :: rest ->
        let mutable at = 0

        let refs =
            [
                while at < packed.Length do
                    let ref, past = varint packed at
                    at <- past
                    symbols[int ref]
            ]

        [
            for pair in List.chunkBySize 2 refs do
                match pair with
                | [ name; value ] -> name, value
                | other -> failwith $"half a label: {other}"
        ],
        rest
    | other -> failwith $"no series: {other}"

/// The series of an uncompressed request of version 1.0 or 2.0, once for each of their samples; throws for anything else.
let seriesOf (request: byte[]) : Series list =
    let all = fields request
    let symbols = symbolsOf all

    if symbols.Length > 0 && symbols[0] <> "" then
        failwith "the first symbol is not empty"

    [
        for field in all do
            let labels, rest =
                match field with
                | 1, Bytes series when symbols.Length = 0 -> ofOne series
                | 4, Bytes _ -> [], []
                | 5, Bytes series -> ofTwo symbols series
                | other -> failwith $"no series: {other}"

            if not labels.IsEmpty && rest.IsEmpty then
                failwith "a series without samples"

            for part in rest do
                match part with
                | 2, Bytes sample ->
                    let bits, milliseconds = sampleOf sample

                    {
                        Labels = labels
                        Bits = bits
                        Milliseconds = milliseconds
                    }
                | 5, Bytes _ when symbols.Length > 0 -> ()
                | other -> failwith $"no sample: {other}"
    ]

/// What an uncompressed request of version 2.0 says of its metrics: name and number of the type.
let typesOf (request: byte[]) : (string * int) list =
    let all = fields request
    let symbols = symbolsOf all

    [
        for field in all do
            match field with
            | 5, Bytes series ->
                let labels, rest = ofTwo symbols series

                for part in rest do
                    match part with
                    | 5, Bytes metadata ->
                        match fields metadata with
                        | [ 1, Number kind ] -> labels |> List.find (fst >> (=) "__name__") |> snd, int kind
                        | other -> failwith $"no type: {other}"
                    | _ -> ()
            | _ -> ()
    ]

/// The series in a record of a spool, which has to be whole.
let seriesIn (record: byte[]) : Series list =
    match Spool.payloadOf (ReadOnlySpan record) with
    | ValueSome payload -> seriesOf (decompress payload)
    | ValueNone -> failtest "the record is damaged"
