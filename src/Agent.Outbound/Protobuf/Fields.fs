/// What every message of Protocol Buffers is made of (protobuf.dev/programming-guides/encoding), for messages that are written field by
/// field with CodedOutputStream.
[<RequireQualifiedAccess>]
module internal Agent.Outbound.ProtobufFields

open System
open System.Text
open Google.Protobuf

/// The bytes of a tag whose field number is below 16, as all that are written here are.
[<Literal>]
let TagSize = 1

/// The bytes of a field that holds a message or a string of so many.
let sizeOf (content: int) : int =
    TagSize + CodedOutputStream.ComputeLengthSize content + content

/// The bytes of a field that holds a text.
let sizeOfText (text: string) : int =
    TagSize + CodedOutputStream.ComputeStringSize text

/// The tag of a field that holds a message or a string.
let tagOf (number: int) : uint32 =
    WireFormat.MakeTag(number, WireFormat.WireType.LengthDelimited)

/// Writes a field that holds a text.
let writeText (output: CodedOutputStream) (number: int) (text: string) : unit =
    output.WriteTag(tagOf number)
    output.WriteString text

/// The text as UTF-8 can hold it: half a surrogate pair becomes the character that stands for what is not text.
let wellFormed (text: string) : string =
    if text.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') < 0 then
        text
    else
        Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)
