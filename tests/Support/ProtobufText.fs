/// Reads messages of Protocol Buffers by their public encoding (protobuf.dev/programming-guides/encoding). Nothing in common with what
/// writes them.
module Agent.TestSupport.ProtobufText

open System
open System.Collections.Generic

/// A number in the bytes from a place on, and the place behind it.
let varint (bytes: byte[]) (at: int) : uint64 * int =
    let mutable value = 0UL
    let mutable shift = 0
    let mutable i = at

    while bytes[i] >= 128uy do
        value <- value ||| (uint64 (bytes[i] &&& 127uy) <<< shift)
        shift <- shift + 7
        i <- i + 1

    value ||| (uint64 bytes[i] <<< shift), i + 1

/// One field of a message.
type Field =
    | Number of uint64
    | Eight of byte[]
    | Bytes of byte[]

/// The fields of a message, with their numbers, in the order of the bytes; throws for anything else.
let fields (message: byte[]) : (int * Field) list =
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
