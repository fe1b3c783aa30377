/// Reads what remote-write sends, after the public formats: Snappy's block format (google/snappy, format_description.txt) and
/// prometheus.WriteRequest (prompb/remote.proto, types.proto). Nothing in common with what writes them.
module Agent.TestSupport.RemoteWriteText

open System
open System.Collections.Generic
open System.Text
open Agent.TestSupport.ProtobufText

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

/// The series of an uncompressed request, once for each of their samples; throws for anything else.
let seriesOf (request: byte[]) : Series list =
    [
        for field in fields request do
            match field with
            | 1, Bytes series ->
                let parts = fields series

                let labels =
                    [
                        for part in parts do
                            match part with
                            | 1, Bytes label -> labelOf label
                            | _ -> ()
                    ]

                match parts |> List.filter (fun (number, _) -> number <> 1) with
                | [] -> failwith "a series without samples"
                | rest ->
                    for part in rest do
                        match part with
                        | 2, Bytes sample ->
                            let bits, milliseconds = sampleOf sample

                            {
                                Labels = labels
                                Bits = bits
                                Milliseconds = milliseconds
                            }
                        | other -> failwith $"no sample: {other}"
            | other -> failwith $"no series: {other}"
    ]
