module Agent.Sender.Tests.SpoolTests

open System
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Expecto

let private bytes (text: string) =
    ReadOnlySpan(Encoding.UTF8.GetBytes text)

let private at segment offset : SpoolPosition = { Segment = segment; Offset = offset }

[<Tests>]
let tests =
    testList
        "Spool"
        [
            testCase "a segment is named by its number and the version"
            <| fun () ->
                Expect.equal (Spool.nameOf 42L) "000000000042.v1.ndjson" "twelve digits"
                Expect.equal (Spool.nameOf 1234567890123L) "1234567890123.v1.ndjson" "more when they are needed"

            testCase "what the names in a directory mean"
            <| fun () ->
                for name, expected in
                    [
                        "000000000042.v1.ndjson", Spool.FileKind.Segment 42L
                        "1234567890123.v1.ndjson", Spool.FileKind.Segment 1234567890123L
                        "000000000042.v2.ndjson", Spool.FileKind.OtherVersion
                        "000000000042.v1.ndjson.gz", Spool.FileKind.OtherVersion
                        "0000000000042.v1.ndjson", Spool.FileKind.Other
                        "42.v1.ndjson", Spool.FileKind.Other
                        "00000000004x.v1.ndjson", Spool.FileKind.Other
                        "000000000042.ndjson", Spool.FileKind.Other
                        "position.v1", Spool.FileKind.Other
                        "lock", Spool.FileKind.Other
                        "", Spool.FileKind.Other
                    ] do
                    Expect.equal (Spool.kindOf name) expected name

            testCase "the position file is one line of fixed length"
            <| fun () ->
                let text = Encoding.ASCII.GetString(Spool.writePosition (at 42L 1234L))
                Expect.stringStarts text "000000000000000042 000000000000001234 " "two numbers"
                Expect.equal (text.Length, text[46]) (47, '\n') "and a checksum"
                Expect.equal (Spool.writePosition (at 1L 0L)).Length 47 "whatever they are"

            testCase "a position that is torn, changed or of another format is none"
            <| fun () ->
                let good = Encoding.ASCII.GetString(Spool.writePosition (at 42L 1234L))

                for bad in
                    [
                        ""
                        "\n"
                        good.TrimEnd '\n'
                        good.Substring 1
                        good.Replace("42", "43")
                        good.Replace("1234", "1235")
                        good + "\n"
                        good + good
                        String('\000', 47)
                        "1 2 3\n"
                        "-1 0 00000000\n"
                    ] do
                    Expect.equal (Spool.readPosition (bytes bad)) ValueNone bad

                Expect.equal (Spool.readPosition (bytes good)) (ValueSome(at 42L 1234L)) "the whole one is read"

            testCase "delivery goes on where it ended"
            <| fun () ->
                for saved, segments, expected in
                    [
                        ValueNone, [||], at 1L 0L
                        ValueNone, [| 7L; 8L |], at 7L 0L
                        ValueSome(at 8L 50L), [| 7L; 8L; 9L |], at 8L 50L
                        // Its segment is gone: the next one is all undelivered.
                        ValueSome(at 8L 50L), [| 7L; 9L |], at 9L 0L
                        // Everything was delivered and tidied away: a number is not used twice.
                        ValueSome(at 8L 50L), [||], at 9L 0L
                        // It knows of a segment that nobody has: rather twice than never.
                        ValueSome(at 8L 50L), [| 3L; 4L |], at 3L 0L
                    ] do
                    Expect.equal (Spool.resume saved segments) expected $"%A{saved} %A{segments}"

            testCase "records are counted by their line ends"
            <| fun () ->
                for text, records, tail in [ "", 0, 0; "{}\n", 1, 0; "{}\n{}\n{\"a", 2, 3; "{\"a", 0, 3; "\n\n", 2, 0 ] do
                    let tally = Spool.tallyOf (bytes text)
                    Expect.equal (tally.Records, tally.Tail) (records, tail) text

            testCase "the first record ends with its line end"
            <| fun () ->
                Expect.equal (Spool.recordLength (bytes "{}\n{\"a\":1}\n")) 3 "two records"
                Expect.equal (Spool.recordLength (bytes "{\"a\":")) 0 "none yet"

            testCase "only one whole JSON object can be sent"
            <| fun () ->
                for good in [ "{}"; """{"sample":{"a":[1,2]},"agent":null}""" ] do
                    Expect.isTrue (Spool.isIntact (bytes good)) good

                for bad in [ ""; "[]"; "1"; "{"; "{}}"; "{} {}"; "{\"a\":\000}"; "\000\000"; """{"a":1""" ] do
                    Expect.isFalse (Spool.isIntact (bytes bad)) bad

            testCase "a refused sample is kept with its reason, on one line"
            <| fun () ->
                let line = Spool.refusedLine "HTTP 400: \"no\"\nway" (bytes """{"sample":{"n":1}}""")

                Expect.isFalse (Array.contains '\n'B line) "one line"
                use document = JsonDocument.Parse(ReadOnlyMemory line)
                Expect.equal (document.RootElement.GetProperty("reason").GetString()) "HTTP 400: \"no\"\nway" "the reason"
                Expect.equal (document.RootElement.GetProperty("body").GetRawText()) """{"sample":{"n":1}}""" "the body as it was sent"

            testCase "the oldest segments go until the rest is within the limit, never the last"
            <| fun () ->
                for limit, sizes, expected in
                    [
                        10L, [| 4L; 4L |], 0
                        10L, [| 4L; 4L; 2L |], 0
                        10L, [| 4L; 4L; 3L |], 1
                        10L, [| 4L; 4L; 4L; 4L |], 2
                        10L, [| 99L |], 0
                        10L, [| 1L; 99L |], 1
                        10L, [||], 0
                    ] do
                    Expect.equal (Spool.surplus limit sizes) expected $"%A{sizes}"

            testCase "a segment is a sixteenth of the limit, from 64 KiB to 4 MiB"
            <| fun () ->
                for limit, size in [ 1048576L, 65536L; 33554432L, 2097152L; 268435456L, 4194304L ] do
                    Expect.equal (Spool.segmentSize limit) size $"{limit}"
        ]
