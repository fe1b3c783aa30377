/// Laws of what is read of answers and written of requests.
module Agent.PropertyTests.HttpLaws

open System
open System.Text
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp
// After FsCheck, which has names in common with it.
open Agent.Core
open Agent.Sender

let private printable (most: int) : Gen<string> =
    Gen.choose (33, 126)
    |> Gen.map (char >> string)
    |> upTo most
    |> Gen.map (String.concat "")

/// The same letters, some of them large.
let private inAnyCase (name: string) : Gen<string> =
    Gen.arrayOfLength name.Length (Gen.elements [ true; false ])
    |> Gen.map (fun large -> String.mapi (fun i letter -> if large[i] then Char.ToUpperInvariant letter else letter) name)

let private blanks = Gen.elements [ ""; " "; "\t"; "  " ]

let private lineEnd = Gen.elements [ "\r\n"; "\n" ]

let private header (name: string) (value: string) =
    gen {
        let! name = inAnyCase name
        // RFC 9112, section 5.2: the value may begin in the next line.
        let! before = Gen.oneof [ blanks; Gen.elements [ "\r\n "; "\n\t"; " \r\n  \r\n " ] ]
        let! after = blanks
        let! ending = lineEnd
        return $"{name}:{before}{value}{after}{ending}"
    }

/// An answer's head as it is meant, and as it is written.
type private Written = { Meant: AnswerHead; Text: string }

let private bodyEnd =
    Gen.oneof
        [
            Gen.choose (0, 100_000) |> Gen.map (int64 >> BodyEnd.AfterBytes)
            Gen.constant BodyEnd.AfterLastChunk
            Gen.constant BodyEnd.WithConnection
        ]

let private headerOfEnd (ending: BodyEnd) =
    match ending with
    | BodyEnd.AfterBytes count ->
        [
            gen {
                // Repeated in one header or in several, and beside a coding that is none.
                let! lists = Gen.elements [ [ 1 ]; [ 2 ]; [ 1; 1 ]; [ 3; 1 ] ]
                let! identity = Gen.elements [ []; [ header "transfer-encoding" "identity" ] ]

                let! lines =
                    [|
                        for repeats in lists do
                            header "content-length" (String.concat ", " (List.replicate repeats (string count)))

                        yield! identity
                    |]
                    |> Gen.sequenceToArray

                return String.concat "" lines
            }
        ]
    | BodyEnd.AfterLastChunk ->
        [
            gen {
                let! coding = Gen.elements [ "chunked"; "chunked, identity"; "identity ,chunked"; "Chunked," ]
                return! header "transfer-encoding" coding
            }
        ]
    | BodyEnd.WithConnection -> []

let private written =
    gen {
        let! status = Gen.choose (100, 999)
        let! told = bodyEnd
        let! closes = Gen.elements [ true; false ]
        let! isGzip = Gen.elements [ true; false ]
        let! retryAfter = printable 8
        let! location = printable 20
        let! date = printable 20
        let! allow = printable 10
        let! samplesWritten = Gen.oneof [ Gen.constant -1L; Gen.choose (0, 100_000) |> Gen.map int64 ]
        let! reason = Gen.elements [ ""; " "; " OK"; " Not Found" ]
        let! emptyLines = lineEnd |> upTo AnswerHead.MostEmptyLines

        let given name value =
            if value = "" then [] else [ header name value ]

        let wanted =
            [
                yield! headerOfEnd told
                if closes then
                    header "connection" "close"
                if isGzip then
                    header "content-encoding" "gzip"
                yield! given "retry-after" retryAfter
                yield! given "location" location
                yield! given "date" date
                yield! given "allow" allow
                if samplesWritten >= 0L then
                    header "x-prometheus-remote-write-samples-written" (string samplesWritten)
            ]

        // Names that are as long as those that are looked for, and others.
        let! others =
            Gen.elements
                [
                    "vary"
                    "dates"
                    "x-server"
                    "keep-alive"
                    "connectio-"
                    "content-type"
                    "x-content-leng"
                    "x-transfer-encodi"
                ]
            |> Gen.zip (printable 30)
            |> Gen.map (fun (value, name) -> header name value)
            |> upTo 3

        let! shuffled = Gen.shuffle (Array.append (List.toArray wanted) others)
        let! lines = Gen.sequenceToArray shuffled
        let! firstEnd = lineEnd
        let! lastEnd = lineEnd

        let ending =
            if status < 200 || status = 204 || status = 304 then
                BodyEnd.AfterBytes 0L
            else
                told

        return
            {
                Meant =
                    {
                        Status = status
                        BodyEnd = ending
                        KeepsConnection = not closes && status <> 101 && ending <> BodyEnd.WithConnection
                        IsGzip = isGzip
                        RetryAfter = retryAfter
                        Location = location
                        Date = date
                        Allow = allow
                        SamplesWritten = samplesWritten
                    }
                Text =
                    $"{String.concat String.Empty emptyLines}HTTP/1.1 %03d{status}{reason}{firstEnd}{String.concat String.Empty lines}{lastEnd}"
            }
    }

let private latin1 (text: string) = Encoding.Latin1.GetBytes text

/// A body, and what comes over the connection for it.
type private Sent =
    {
        Body: byte[]
        End: BodyEnd
        Received: byte[]
    }

let private chunk (data: byte[]) =
    gen {
        let! zeros = Gen.elements [ ""; "0"; "000" ]
        let! spelling = Gen.elements [ $"%x{data.Length}"; $"%X{data.Length}" ]
        let! extension = Gen.elements [ ""; ";a"; " ;a=\"b c\""; "\t" ]
        let! sizeEnd = lineEnd
        let! dataEnd = lineEnd

        return
            [| latin1 (zeros + spelling + extension + sizeEnd); data; latin1 dataEnd |]
            |> Array.concat
    }

let private data = upTo 40 (Gen.choose (0, 255) |> Gen.map byte)

let private inChunks =
    gen {
        let! pieces =
            upTo 5 (Gen.map2 (fun first rest -> Array.append [| byte (first: int) |] rest) (Gen.choose (0, 255)) data)

        let! chunks = pieces |> Array.map chunk |> Gen.sequenceToArray
        let! last = Gen.elements [ "0\r\n"; "00;x\n"; "0\r\nX-Sum: 1\r\nY:\r\n" ]
        let! ending = lineEnd

        return
            {
                Body = Array.concat pieces
                End = BodyEnd.AfterLastChunk
                Received = Array.concat [ yield! chunks; latin1 (last + ending) ]
            }
    }

let private sent =
    Gen.oneof
        [
            inChunks
            data
            |> Gen.map (fun body ->
                {
                    Body = body
                    End = BodyEnd.AfterBytes body.LongLength
                    Received = body
                })
        ]

/// What a reader makes of bytes that arrive in such pieces, with so much room each time: the body, the bytes it took, the
/// reader.
let private readInPieces (ending: BodyEnd) (received: byte[]) (pieces: int[]) (room: int) =
    let reader = BodyReader ending
    let body = ResizeArray<byte>()
    let mutable at = 0
    let mutable piece = 0
    let mutable isStuck = false

    while at < received.Length
          && not reader.IsComplete
          && not reader.IsGarbled
          && not isStuck do
        let length =
            min
                (received.Length - at)
                (if pieces.Length = 0 then
                     received.Length
                 else
                     pieces[piece % pieces.Length])

        let target = Array.zeroCreate room
        let struct (taken, written) = reader.Take(ReadOnlySpan(received, at, length), Span target)
        isStuck <- taken = 0
        at <- at + taken
        piece <- piece + 1
        body.AddRange(Array.truncate written target)

    body.ToArray(), at, reader

let private pieces = upTo 6 (Gen.choose (1, 12))

let tests =
    testList
        "HTTP"
        [
            law "a head is read as it is meant, whatever case, blanks and order it comes in" written (fun head ->
                same (AnswerHead.parse (ReadOnlySpan(latin1 head.Text))) (ValueSome head.Meant))

            law "a head ends where it ends, and not before" (Gen.zip written data) (fun (head, body) ->
                let text = latin1 head.Text
                let all = Array.append text body

                same (AnswerHead.lengthIn (ReadOnlySpan all)) text.Length
                && seq { 0 .. text.Length - 1 }
                   |> Seq.forall (fun length ->
                       AnswerHead.lengthIn (ReadOnlySpan(text, 0, length)) = -1
                       && AnswerHead.mayBegin (ReadOnlySpan(text, 0, length))))

            law
                "lengths that differ are never read, wherever they stand"
                (Gen.zip (Gen.choose (0, 99)) (Gen.choose (100, 999)))
                (fun (one, other) ->
                    seq {
                        $"Content-Length: {one}, {other}\r\n"
                        $"Content-Length: {other}\r\nContent-Length: {one}\r\n"
                        $"Content-Length: {one}, {one}\r\nContent-Length: {one},{other}\r\n"
                    }
                    |> Seq.forall (fun lines -> (AnswerHead.parse (ReadOnlySpan(latin1 $"HTTP/1.1 200 OK\r\n{lines}\r\n"))).IsNone))

            law "an answer is known to be the last one by its status alone" written (fun head ->
                let text = latin1 head.Text
                let whole = AnswerHead.isFinal (ReadOnlySpan text)

                same whole (head.Meant.Status >= 200)
                && seq { 0 .. text.Length }
                   |> Seq.forall (fun length -> whole || not (AnswerHead.isFinal (ReadOnlySpan(text, 0, length)))))

            law
                "a body is read whole in pieces of any length, and nothing behind it"
                (Gen.zip (Gen.zip sent data) (Gen.zip pieces (Gen.choose (1, 20))))
                (fun ((sent, behind), (pieces, room)) ->
                    let body, taken, reader = readInPieces sent.End (Array.append sent.Received behind) pieces room

                    same (body, taken, reader.IsComplete) (sent.Body, sent.Received.Length, true))

            law "a body that breaks off is told from one that is whole" (Gen.zip sent (Gen.choose (0, 1000))) (fun (sent, cut) ->
                let length = cut % (sent.Received.Length + 1)
                let _, _, reader = readInPieces sent.End (Array.truncate length sent.Received) [||] 1000
                same (reader.MayEndHere, reader.IsGarbled) (length = sent.Received.Length, false))

            law "without an end of its own a body is everything" (Gen.zip data pieces) (fun (received, pieces) ->
                let body, taken, reader = readInPieces BodyEnd.WithConnection received pieces 7

                same (body, taken, reader.IsComplete, reader.MayEndHere) (received, received.Length, false, true))

            law
                "no bytes are too odd for a head"
                (damaged (
                    written
                    |> Gen.map (fun head ->
                        {
                            Value = head
                            Lines = head.Text.Split '\n'
                        })
                ))
                (fun bytes ->
                    let head = AnswerHead.parse (ReadOnlySpan bytes.Content)
                    head.IsNone || (head.Value.Status >= 100 && head.Value.Status <= 999))

            law "no bytes are too odd for a body" (Gen.zip anyBytes pieces) (fun (bytes, pieces) ->
                let body, taken, reader = readInPieces BodyEnd.AfterLastChunk bytes.Content pieces 9

                body.Length <= taken
                && (reader.IsComplete || reader.IsGarbled || taken = bytes.Content.Length))

            law "no header of a request can begin another line" (Gen.zip anyText (Gen.choose (0, Int32.MaxValue))) (fun (value, length) ->
                let beginning =
                    RequestHead.beginning "POST" (Uri "http://h:1/p") [| struct ("A", value); struct ("B", "c") |]

                let target = Array.zeroCreate (beginning.Length + RequestHead.LongestEnd)
                let written = RequestHead.complete (ReadOnlySpan beginning) length (Span target)
                let lines = Encoding.ASCII.GetString(target, 0, written).Split "\r\n"

                same
                    (lines[..1], lines[2][..2], lines[3..])
                    ([| "POST /p HTTP/1.1"; "Host: h:1" |], "A: ", [| "B: c"; $"Content-Length: {length}"; ""; "" |]))
        ]
