module Agent.Sender.Tests.HttpTests

open System
open System.Text
open Agent.Core
open Agent.Sender
open Agent.TestSupport.Fixtures
open Expecto

/// What was read of one answer.
type private Read =
    {
        Head: AnswerHead
        Body: string
        IsWhole: bool
        Behind: int
    }

/// Reads the first final answer of what came over a connection.
let rec private read (received: byte[]) : Read =
    let length = AnswerHead.lengthIn (ReadOnlySpan received)
    Expect.isGreaterThan length 0 "there is a head"

    match AnswerHead.parse (ReadOnlySpan(received, 0, length)) with
    | ValueNone -> failtest "not HTTP"
    | ValueSome head when head.Status < 200 -> read received[length..]
    | ValueSome head ->
        let reader = BodyReader head.BodyEnd
        let target = Array.zeroCreate received.Length

        let struct (taken, written) =
            reader.Take(ReadOnlySpan(received, length, received.Length - length), Span target)

        {
            Head = head
            Body = Encoding.UTF8.GetString(target, 0, written)
            IsWhole = reader.MayEndHere
            Behind = received.Length - length - taken
        }

let private ok = "{\"ok\":true,\"snapshot\":{\"bottleneck\":\"idle\"}}\n"

/// Name, status, the connection is kept, the body; all as other clients have it.
let private captured =
    [
        "gunicorn-sync", 200, false, ok
        "gunicorn-threads", 200, true, ok
        "gunicorn-chunks", 200, true, """{"ok": true}"""
        "gunicorn-busy", 503, true, "{\"error\":\"Busy.\",\"ok\":false}\n"
        "gunicorn-old", 200, false, """{"ok": true}"""
        "werkzeug-method", 405, false, "{\"ok\":false}\n"
        "werkzeug-stream", 200, false, """{"ok": true}"""
        "werkzeug-expect", 200, false, ok
        "nginx", 200, true, """{"ok": true}"""
        "nginx-none", 204, true, ""
        "nginx-chunks", 200, true, """{"ok": true}"""
        "nginx-old", 200, false, ok
        "haproxy", 200, true, ok
        "lighttpd-get", 200, true, "{\"ok\": true}\n"
    ]

let private headOf (lines: string list) =
    AnswerHead.parse (ReadOnlySpan(latin1 (String.concat "\r\n" (lines @ [ ""; "" ]))))

let private parsed (lines: string list) =
    match headOf lines with
    | ValueSome head -> head
    | ValueNone -> failtest $"not HTTP: %A{lines}"

let private noHttp =
    [
        "another protocol", [ "SSH-2.0-OpenSSH_9.2" ]
        "HTTP/2 in plain words", [ "HTTP/2 200 OK" ]
        "a status of two digits", [ "HTTP/1.1 20 OK" ]
        "a status of four digits", [ "HTTP/1.1 2000 OK" ]
        "a status below all", [ "HTTP/1.1 099 X" ]
        "a length that is none", [ "HTTP/1.1 200 OK"; "Content-Length: five" ]
        "a length below zero", [ "HTTP/1.1 200 OK"; "Content-Length: -1" ]
        "two lengths", [ "HTTP/1.1 200 OK"; "Content-Length: 5"; "Content-Length: 6" ]
        "two lengths in one header", [ "HTTP/1.1 200 OK"; "Content-Length: 5, 6" ]
        "half of a repeated length", [ "HTTP/1.1 200 OK"; "Content-Length: 5," ]
        "no status", [ "HTTP/1.1 OK" ]
        "a version without its part", [ "HTTP/1 200 OK" ]
        "a length beyond numbers", [ "HTTP/1.1 200 OK"; "Content-Length: 9999999999999999999" ]
        "nothing", []
    ]

let private keeping =
    [
        "1.1 keeps", [ "HTTP/1.1 200 OK"; "Content-Length: 0" ], true
        "unless it says otherwise", [ "HTTP/1.1 200 OK"; "Content-Length: 0"; "Connection: Upgrade, Close" ], false
        "1.0 closes", [ "HTTP/1.0 200 OK"; "Content-Length: 0" ], false
        "unless it says otherwise, too", [ "HTTP/1.0 200 OK"; "Content-Length: 0"; "connection: Keep-Alive" ], true
        "a body without an end", [ "HTTP/1.1 200 OK" ], false
        "a line that is no header", [ "HTTP/1.1 200 OK"; "Content-Length: 0"; "Server gateway" ], false
        "a header without a name", [ "HTTP/1.1 200 OK"; "Content-Length: 0"; ": 5" ], false
        "a body whose end is told twice", [ "HTTP/1.1 200 OK"; "Content-Length: 5"; "Transfer-Encoding: chunked" ], false
    ]

let private chunksOf (text: string) =
    let reader = BodyReader BodyEnd.AfterLastChunk
    let target = Array.zeroCreate text.Length
    let struct (_, written) = reader.Take(ReadOnlySpan(latin1 text), Span target)
    Encoding.Latin1.GetString(target, 0, written), reader.IsComplete, reader.IsGarbled

[<Tests>]
let tests =
    testList
        "HTTP"
        [
            testList
                "answers of real servers"
                [
                    for name, status, keeps, body in captured do
                        testCase name
                        <| fun () ->
                            let answer = read (bytes $"http/{name}.txt")
                            Expect.equal answer.Head.Status status "status"
                            Expect.equal answer.Body body "body"
                            Expect.isTrue answer.IsWhole "all of it"
                            Expect.equal answer.Behind 0 "nothing behind it"
                            Expect.equal answer.Head.KeepsConnection keeps "keeps the connection"

                    testCase "headers"
                    <| fun () ->
                        let head name = (read (bytes $"http/{name}.txt")).Head
                        Expect.equal (head "gunicorn-busy").RetryAfter "7" "Retry-After"
                        Expect.equal (head "nginx-moved").Location "https://gpu.example/" "Location"
                        Expect.equal (head "werkzeug-method").Allow "POST, OPTIONS" "Allow"
                        Expect.equal (head "haproxy").Date "Thu, 26 Nov 2026 15:22:55 GMT" "Date"
                        Expect.isTrue (head "nginx-gzip").IsGzip "gzip"
                        Expect.isFalse (head "nginx").IsGzip "no gzip"
                        Expect.equal (head "nginx").SamplesWritten -1L "no receiver of remote-write 2.0"

                    testCase "how many samples a receiver of remote-write 2.0 stored"
                    <| fun () ->
                        let written value =
                            (headOf
                                [
                                    "HTTP/1.1 204 No Content"
                                    $"x-prometheus-remote-write-samples-written: {value}"
                                ])
                                .Value.SamplesWritten

                        Expect.equal (written "715") 715L "a number"
                        Expect.equal (written "many") -1L "no number"
                ]

            testList
                "no HTTP"
                [
                    for name, lines in noHttp do
                        testCase name <| fun () -> Expect.isTrue (headOf lines).IsNone "none"

                    testCase "is known by its first bytes"
                    <| fun () ->
                        for text, may in
                            [
                                "", true
                                "H", true
                                "HTTP/1.", true
                                "HTTP/1.1 200", true
                                "S", false
                                "HTTP/2", false
                                "\r", true
                                "\r\n", true
                                "\r\n\n\r\n\nHTTP/1.1", true
                                "\n\n\n\n\nHTTP/1.1", false
                                "http/1.1 200", true
                                "\r\nSSH", false
                            ] do
                            Expect.equal (AnswerHead.mayBegin (ReadOnlySpan(latin1 text))) may text
                ]

            testList
                "the connection"
                [
                    for name, lines, keeps in keeping do
                        testCase name
                        <| fun () -> Expect.equal (parsed lines).KeepsConnection keeps "keeps it"
                ]

            testCase "lines may end without a carriage return"
            <| fun () ->
                let text = latin1 "HTTP/1.1 200 OK\nContent-Length: 2\nDate:  then \n\nok"
                Expect.equal (AnswerHead.lengthIn (ReadOnlySpan text)) (text.Length - 2) "length"
                let answer = read text
                Expect.equal (answer.Body, answer.Head.Date) ("ok", "then") "body and date"

            testCase "answers that are nearly right"
            <| fun () ->
                for name, text in
                    [
                        "empty lines before it", "\r\n\r\n\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                        "no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"
                        "nothing but the reason's space", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"
                        "more space than one", "HTTP/1.1  200\tOK\r\nContent-Length: 2\r\n\r\nok"
                        "a version in small letters", "http/1.1 200 ok\r\ncontent-length: 2\r\n\r\nok"
                        "a length repeated in one header", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2 ,2\r\n\r\nok"
                        "a length repeated in two", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCONTENT-LENGTH: 2\r\n\r\nok"
                        "identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok"
                        "identity in two ways", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity,\r\nContent-Encoding: identity\r\n\r\nok"
                        "identity behind chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                        "a line that is no header", "HTTP/1.1 200 OK\r\nfrom the gateway\r\nContent-Length: 2\r\n\r\nok"
                        "a tab before the colon", "HTTP/1.1 200 OK\r\nContent-Length\t: 2\r\n\r\nok"
                        "an old version without an end", "HTTP/1.0 200 OK\r\n\r\nok"
                    ] do
                    let answer = read (latin1 text)
                    Expect.equal (answer.Head.Status, answer.Body, answer.IsWhole, answer.Behind) (200, "ok", true, 0) name

            testCase "the answer itself is told from those on the way to it as soon as its status shows"
            <| fun () ->
                for text, isFinal in
                    [
                        "", false
                        "\r\nHTTP/1.1 ", false
                        "HTTP/1.1 1", false
                        "HTTP/1.1 100 Continue\r\n", false
                        "HTTP/1.1 4", true
                        "\nHTTP/1.1 200 OK", true
                        "SSH-2.0", true
                    ] do
                    Expect.equal (AnswerHead.isFinal (ReadOnlySpan(latin1 text))) isFinal text

            testCase "a value that is folded does not spoil the rest"
            <| fun () ->
                let head =
                    parsed
                        [
                            "HTTP/1.1 200 OK"
                            "Server: a"
                            "\tContent-Length: 9"
                            " b"
                            "Content-Length: 2"
                        ]

                Expect.equal head.BodyEnd (BodyEnd.AfterBytes 2L) "the length is the header's"

            testCase "a value may begin in the line after its name"
            <| fun () ->
                for lines, expected in
                    [
                        [ "Content-Length:"; " 57" ], BodyEnd.AfterBytes 57L
                        [ "Content-Length: 57,"; "\t 57" ], BodyEnd.AfterBytes 57L
                        [ "Transfer-Encoding:"; "\tchunked" ], BodyEnd.AfterLastChunk
                        [ "Transfer-Encoding: gzip,"; " "; " chunked" ], BodyEnd.AfterLastChunk
                    ] do
                    Expect.equal (parsed ("HTTP/1.1 200 OK" :: lines)).BodyEnd expected $"%A{lines}"

                let head = parsed [ "HTTP/1.1 503 Busy"; "Retry-After:"; " 7"; "Connection: a,"; "  close" ]

                Expect.equal (head.RetryAfter, head.KeepsConnection) ("7", false) "others as well"

            testCase "chunks tell the end, whatever else was done to the body"
            <| fun () ->
                for lines, expected in
                    [
                        [ "Transfer-Encoding: gzip, chunked" ], BodyEnd.AfterLastChunk
                        [ "Transfer-Encoding: gzip"; "Transfer-Encoding: Chunked" ], BodyEnd.AfterLastChunk
                        [ "Transfer-Encoding: chunked, gzip" ], BodyEnd.WithConnection
                        [ "Content-Length : 5" ], BodyEnd.AfterBytes 5L
                    ] do
                    Expect.equal (parsed ("HTTP/1.1 200 OK" :: lines)).BodyEnd expected $"%A{lines}"

            testCase "one coding and no other is gzip"
            <| fun () ->
                for lines, isGzip in
                    [
                        [ "Content-Encoding: x-gzip" ], true
                        [ "content-encoding: GZIP" ], true
                        [ "Content-Encoding: br" ], false
                        [ "Content-Encoding: gzip, br" ], false
                        [ "Content-Encoding: br"; "Content-Encoding: gzip" ], false
                    ] do
                    Expect.equal (parsed ("HTTP/1.1 200 OK" :: lines)).IsGzip isGzip $"%A{lines}"

            testCase "chunks with all that may stand between them"
            <| fun () ->
                Expect.equal
                    (chunksOf "5;name=\"v\"\r\nhello\r\n00A \r\n, 12345678\r\n0\r\nX-Trailer: a\r\nY: b\r\n\r\n")
                    ("hello, 12345678", true, false)
                    "all"

                Expect.equal (chunksOf "2\nok\n0\n\n") ("ok", true, false) "without carriage returns"
                Expect.equal (chunksOf "2\r\nok\r\n0\r\n") ("ok", false, false) "the end is missing"

            testCase "chunks that are none"
            <| fun () ->
                for text in [ "\r\n"; "x\r\n"; "-1\r\n"; ";a\r\n"; "2\r\nokay\r\n"; "1234567890123456\r\n" ] do
                    let _, isComplete, isGarbled = chunksOf text
                    Expect.equal (isComplete, isGarbled) (false, true) text

            testCase "the head of a request"
            <| fun () ->
                let headOf (url: string) headers length =
                    let beginning = RequestHead.beginning "POST" (Uri url) headers
                    let target = Array.zeroCreate (beginning.Length + RequestHead.LongestEnd)
                    let written = RequestHead.complete (ReadOnlySpan beginning) length (Span target)
                    Encoding.ASCII.GetString(target, 0, written)

                Expect.equal
                    (headOf "http://h.example:8000/p/api/?q=%20" [| struct ("X-T", "secret"); struct ("A", "b\r\nc\u00e9") |] Int32.MaxValue)
                    ("POST /p/api/?q=%20 HTTP/1.1\r\nHost: h.example:8000\r\nX-T: secret\r\nA: b??c?\r\n"
                     + "Content-Length: 2147483647\r\n\r\n")
                    "whole"

                for url, host in
                    [
                        "http://h.example/", "h.example"
                        "https://h.example:443/", "h.example"
                        "https://h.example:80/", "h.example:80"
                        "http://[::1]:8000/", "[::1]:8000"
                        "http://bücher.example/", "xn--bcher-kva.example"
                    ] do
                    Expect.stringContains (headOf url [||] 0) $"\r\nHost: {host}\r\n" url
        ]
