/// Reads what remote-write sends, after the public formats: Snappy's block format (google/snappy, format_description.txt) and
/// prometheus.WriteRequest (prompb/remote.proto, types.proto). Nothing in common with what writes them.
module Agent.TestSupport.RemoteWriteText

open System
open System.Collections.Generic
open System.Text

let private varint (bytes: byte[]) (at: int) : uint64 * int =
    let mutable value = 0UL
    let mutable shift = 0
    let mutable i = at

    while bytes[i] >= 128uy do
        value <- value ||| (uint64 (bytes[i] &&& 127uy) <<< shift)
        shift <- shift + 7
        i <- i + 1

    value ||| (uint64 bytes[i] <<< shift), i + 1

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

/// One field of a message.
type private Field =
    | Number of uint64
    | Eight of byte[]
    | Bytes of byte[]

let private fields (message: byte[]) : (int * Field) list =
    let found = List<int * Field>()
    let mutable at = 0

    while at < message.Length do
        let tag, next = varint message at
        let number = int (tag >>> 3)

        match tag &&& 7UL with
        | 0UL ->
            let value, past = varint message next
            found.Add(number, Number value)
            at <- past
        | 1UL ->
            found.Add(number, Eight message[next .. next + 7])
            at <- next + 8
        | 2UL ->
            let length, from = varint message next
            found.Add(number, Bytes message[from .. from + int length - 1])
            at <- from + int length
        | kind -> failwith $"wire type {kind}"

    List.ofSeq found

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
