module Agent.Core.Tests.JsonTests

open System
open System.Text
open Agent.Core
open Expecto

let private write value = Encode.toString 0 value

let private read decoder (text: string) = Decode.fromString decoder text

let private encodeTests =
    testList
        "encode"
        [
            testCase "every kind of value"
            <| fun () ->
                Expect.equal (write Encode.nil) "null" "null"
                Expect.equal (write (Encode.int -7)) "-7" "int"
                Expect.equal (write (Encode.int64 Int64.MaxValue)) "9223372036854775807" "int64, a number"
                Expect.equal (write (Encode.bool true)) "true" "bool"
                Expect.equal (write (Encode.list [ Encode.int 1; Encode.nil ])) "[1,null]" "list"
                Expect.equal (write (Encode.array [||])) "[]" "array"
                Expect.equal (write (Encode.object [ "b", Encode.int 1; "a", Encode.int 2 ])) """{"b":1,"a":2}""" "in the given order"
                Expect.equal (write (Encode.option Encode.int None)) "null" "none"
                Expect.equal (write (Encode.voption Encode.int (ValueSome 3))) "3" "some"

            testCase "floats in their shortest form"
            <| fun () ->
                for value, expected in
                    [
                        0.0, "0"
                        100.0, "100"
                        12.5, "12.5"
                        0.1, "0.1"
                        -1.25, "-1.25"
                        2300.001, "2300.001"
                        0.30000000000000004, "0.30000000000000004"
                    ] do
                    Expect.equal (write (Encode.float value)) expected expected

            testCase "NaN and the infinities are null"
            <| fun () ->
                for value in [ nan; infinity; -infinity ] do
                    Expect.equal (write (Encode.float value)) "null" (string value)

            testCase "what JSON wants escaped is escaped"
            <| fun () ->
                Expect.equal (write (Encode.string "a\"b\\c")) "\"a\\\"b\\\\c\"" "quotes and backslash"
                Expect.equal (write (Encode.string "\b\f\n\r\t")) "\"\\b\\f\\n\\r\\t\"" "short escapes"
                Expect.equal (write (Encode.string "\u0000\u001f")) "\"\\u0000\\u001F\"" "other control characters"
                Expect.equal (write (Encode.object [ "a\n", Encode.nil ])) "{\"a\\n\":null}" "in names as well"

            testCase "the rest of Unicode is written as it is, and reads back"
            <| fun () ->
                Expect.equal (write (Encode.string "Größe <&'+> 温度")) "\"Größe <&'+> 温度\"" "plain"

                for text in [ "😀"; "\u007f"; "\u2028"; "\ufeff"; "e\u0301" ] do
                    Expect.equal (read Decode.string (write (Encode.string text))) (Ok text) $"%A{text}"

            testCase "half a surrogate pair becomes the replacement character"
            <| fun () ->
                Expect.equal (write (Encode.string "a\ud800b")) "\"a\ufffdb\"" "high"
                Expect.equal (write (Encode.string "\udc00")) "\"\ufffd\"" "low"
                Expect.equal (write (Encode.object [ "\ud800", Encode.nil ])) "{\"\ufffd\":null}" "name"

            testCase "indented by two, with line ends of Unix"
            <| fun () ->
                Expect.equal
                    (Encode.toString 2 (Encode.object [ "a", Encode.list [ Encode.int 1 ]; "b", Encode.object [] ]))
                    "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"
                    "pretty"
        ]

let private person =
    Decode.object (fun get ->
        get.Required.Field "name" Decode.string,
        get.Optional.Field "age" Decode.int,
        get.Optional.Field "tags" (Decode.array Decode.string))

let private decodeTests =
    testList
        "decode"
        [
            testCase "every kind of value"
            <| fun () ->
                Expect.equal (read Decode.string "\"a\\u00e9\\n\"") (Ok "aé\n") "string"
                Expect.equal (read Decode.int "-7") (Ok -7) "int"
                Expect.equal (read Decode.int64 "9223372036854775807") (Ok Int64.MaxValue) "int64"
                Expect.equal (read Decode.float "1e2") (Ok 100.0) "float"
                Expect.equal (read Decode.bool "false") (Ok false) "bool"
                Expect.equal (read (Decode.option Decode.int) "null") (Ok None) "null"
                Expect.equal (read (Decode.list Decode.int) " [1, 2] ") (Ok [ 1; 2 ]) "list"
                Expect.equal (read (Decode.keyValuePairs Decode.int) """{"b":1,"a":2}""") (Ok [ "b", 1; "a", 2 ]) "pairs"
                Expect.equal (read person """{"name":"x","age":null,"more":1}""") (Ok("x", None, None)) "object"

            testCase "errors name the path, what was expected and what was found"
            <| fun () ->
                for decoder, text, expected in
                    [
                        Decode.field "a" (Decode.field "b" Decode.int), """{"a":{"b":"x"}}""", "$.a.b: expected an int, found \"x\""
                        Decode.field "a" Decode.int, "{}", "$: expected a member named a"
                        Decode.field "a" Decode.int, "[1]", "$: expected an object, found [1]"
                        Decode.int, "2147483648", "$: expected an int, found 2147483648"
                        Decode.int, "1.5", "$: expected an int, found 1.5"
                        Decode.field "a" (Decode.array Decode.int) |> Decode.map Array.sum,
                        """{"a":[1,2,"x",null]}""",
                        "$.a[2]: expected an int, found \"x\""
                        Decode.keyValuePairs Decode.int |> Decode.map List.length, """{"k":true}""", "$.k: expected an int, found true"
                        Decode.fail "expected something else", "1", "$: expected something else"
                    ] do
                    Expect.equal (read decoder text) (Error expected) text

                Expect.equal (read Decode.int64 "9223372036854775808") (Error "$: expected an int64, found 9223372036854775808") "2^63"
                Expect.equal (read Decode.float "1e999") (Error "$: expected a float, found 1e999") "infinite"
                Expect.equal (read Decode.string "12") (Error "$: expected a string, found 12") "number"
                Expect.equal (read Decode.bool "null") (Error "$: expected a boolean, found null") "null"

            testCase "a decoder is chosen by what another one read"
            <| fun () ->
                let decoder =
                    Decode.field "kind" Decode.string
                    |> Decode.andThen (fun kind ->
                        match kind with
                        | "count" -> Decode.field "value" Decode.int
                        | _ -> Decode.fail $"expected a kind, found {kind}")

                Expect.equal (read decoder """{"kind":"count","value":3}""") (Ok 3) "chosen"
                Expect.equal (read decoder """{"kind":"count","value":"x"}""") (Error "$.value: expected an int, found \"x\"") "its error"
                Expect.equal (read decoder """{"kind":"size","value":3}""") (Error "$: expected a kind, found size") "none"
                Expect.equal (read decoder """{"value":3}""") (Error "$: expected a member named kind") "the first one's error"

            testCase "of an object the first error counts, and a missing member is told by name"
            <| fun () ->
                Expect.equal (read person """{"age":"x","tags":[1]}""") (Error "$: expected a member named name") "required"
                Expect.equal (read person """{"name":"n","tags":["a",1]}""") (Error "$.tags[1]: expected a string, found 1") "nested"

            testCase "a long value is cut in the error"
            <| fun () ->
                let text = "\"" + String('x', 200) + "\""
                Expect.equal (read Decode.int text) (Error("$: expected an int, found \"" + String('x', 79) + "…")) "80 characters"

            testCase "what is no JSON is an error, not an exception"
            <| fun () ->
                for text in
                    [
                        ""
                        "{"
                        "nul"
                        "{'a':1}"
                        "[1,]"
                        "1 2"
                        "NaN"
                        "\u0000"
                        String('[', 70) + String(']', 70)
                    ] do
                    match read Decode.int text with
                    | Error message -> Expect.stringStarts message "not JSON: " text
                    | Ok value -> failtest $"{text} read as {value}"

            testCase "64 levels are read, 65 are not"
            <| fun () ->
                let nested depth = String('[', depth) + String(']', depth)
                let anything: Decoder<unit> = Decode.succeed ()
                Expect.equal (read anything (nested 64)) (Ok()) "64"
                Expect.isError (read anything (nested 65)) "65"

            testCase "text that is not Unicode is an error, not an exception"
            <| fun () ->
                Expect.isError (read Decode.string "\"\\ud800\"") "a lone surrogate as escape"
                let latin1: ReadOnlyMemory<byte> = ReadOnlyMemory(Encoding.Latin1.GetBytes "\"caf\u00e9\"")
                Expect.isError (Decode.fromBytes Decode.string latin1) "a byte of Latin 1"
                Expect.isError (Decode.fromBytes Decode.int latin1) "another type expected"
                let inName: ReadOnlyMemory<byte> = ReadOnlyMemory(Encoding.Latin1.GetBytes "{\"\u00e9\":1}")
                Expect.isError (Decode.fromBytes (Decode.keyValuePairs Decode.int) inName) "in a name"
                Expect.isError (read (Decode.keyValuePairs Decode.int) "{\"\\ud800\":1}") "a lone surrogate in a name"
        ]

[<Tests>]
let tests = testList "Json" [ encodeTests; decodeTests ]
