/// The building stones of generated texts and values: numbers with their edges, names as kernels and users write them,
/// any bytes at all, and texts with a little damage.
module Agent.PropertyTests.Generators

open System
open System.Text
open FsCheck
open FsCheck.FSharp

/// Bytes that a counterexample shows as text.
[<StructuredFormatDisplay "{Shown}"; NoComparison>]
type Bytes =
    {
        Content: byte[]
    }

    /// As an escaped string of Latin-1 characters.
    member bytes.Shown: string =
        let result = StringBuilder "\""

        for b in bytes.Content do
            match char b with
            | '\n' -> result.Append "\\n"
            | '"' -> result.Append "\\\""
            | '\\' -> result.Append "\\\\"
            | c when c < ' ' || c > '~' -> result.Append("\\x").Append(b.ToString "x2")
            | c -> result.Append c
            |> ignore

        result.Append('"').ToString()

/// A generated value and the text that says it.
[<NoComparison>]
type Rendered<'value> =
    {
        /// What a parser must find.
        Value: 'value
        /// The lines, each without its line end.
        Lines: string[]
    }

/// The lines, each with a line end, as UTF-8.
let bytesOf (lines: string[]) : byte[] =
    Encoding.UTF8.GetBytes(String.Join("", lines |> Array.map (fun line -> line + "\n")))

/// At most that many, fewer in early cases, so that a first counterexample is small.
let upTo (most: int) (items: Gen<'a>) : Gen<'a[]> =
    Gen.sized (fun size ->
        gen {
            let! count = Gen.choose (0, min most (1 + size * most / 40))
            return! Gen.arrayOfLength count items
        })

/// None one time in four.
let maybe (items: Gen<'a>) : Gen<'a voption> =
    Gen.frequency [ 1, Gen.constant ValueNone; 3, Gen.map ValueSome items ]

/// Every whole number of 64 bits.
let anyUInt64: Gen<uint64> =
    Gen.map2 (fun high low -> (uint64 high <<< 32) ||| uint64 low) (Gen.choose64 (0L, 0xFFFFFFFFL)) (Gen.choose64 (0L, 0xFFFFFFFFL))

/// Counters of the kernel: mostly small, some at the edges of 32, 53, 63 and 64 bits.
let counter: Gen<uint64> =
    Gen.frequency
        [
            6, Gen.choose (0, 9999) |> Gen.map uint64
            2, Gen.choose64 (0L, 99_999_999_999L) |> Gen.map uint64
            1, anyUInt64
            1,
            Gen.elements
                [
                    0UL
                    4294967295UL
                    4294967296UL
                    9007199254740993UL
                    9223372036854775807UL
                    9223372036854775808UL
                    18446744073709551615UL
                ]
        ]

/// The product, or the largest value of 64 bits where it does not fit.
let saturated (value: uint64) (factor: int) : uint64 =
    uint64 (UInt128.Min(UInt128.op_Implicit value * UInt128.op_Implicit (uint64 factor), UInt128.op_Implicit UInt64.MaxValue))

/// Hundredths as a number and as the kernel prints them.
let hundredths (most: int) : Gen<struct (float * string)> =
    Gen.choose (0, most)
    |> Gen.map (fun n -> struct (float n / 100.0, $"{n / 100}.{n % 100:D2}"))

/// A percentage with one decimal.
let percentage: Gen<float> = Gen.choose (0, 1000) |> Gen.map (fun n -> float n / 10.0)

let private characters (odd: string list) =
    Gen.frequency
        [
            12, Gen.elements ("abcdefghijklmnopqrstuvwxyz0123456789" |> Seq.map string)
            1, Gen.elements odd
        ]

let private wordOf odd most =
    Gen.choose (1, most)
    |> Gen.bind (fun length -> Gen.arrayOfLength length (characters odd))
    |> Gen.map (String.concat "")

let private oddities = [ "-"; "_"; "."; "!"; "+"; "@"; "A"; "é"; "名"; "😀" ]

/// A name without blanks, colons, commas and bars, at times with odd characters.
let word: Gen<string> = wordOf oddities 8

/// A name with colons too.
let wordWithColons: Gen<string> = wordOf (":" :: oddities) 8

/// Words between blanks, some with commas, colons and slashes.
let phrase: Gen<string> =
    Gen.choose (1, 4)
    |> Gen.bind (fun count -> Gen.arrayOfLength count (wordOf ([ ","; ":"; "/"; "("; "%" ] @ oddities) 8))
    |> Gen.map (String.concat " ")

/// Well-formed text of any kind: blanks at both ends, control characters, characters outside the basic plane.
let anyText: Gen<string> =
    upTo
        12
        (Gen.frequency
            [
                6, Gen.elements ("abcXYZ012" |> Seq.map string)
                2,
                Gen.elements
                    [
                        " "
                        "\t"
                        "\n"
                        "\""
                        "\\"
                        "/"
                        "<"
                        "\u0000"
                        "\u001f"
                        "\u0085"
                        "\u00a0"
                        "\u2028"
                        "\ufffd"
                    ]
                2, Gen.elements [ "é"; "名"; "😀"; "𝕏" ]
            ])
    |> Gen.map (String.concat "")

let private tokens =
    [
        " "
        "\t"
        "\n"
        "\n\n"
        "\r\n"
        ":"
        ": "
        ","
        ", "
        "|"
        " | "
        "="
        "-"
        "."
        "\\040"
        "0"
        "7"
        "42"
        "-1"
        "0.5"
        "1e5"
        "nan"
        "inf"
        "18446744073709551615"
        "18446744073709551616"
        "99999999999999999999999999999"
        "cpu"
        "cpu0"
        "btime"
        "MemTotal:"
        "MemFree:"
        "kB"
        "processor"
        "model name"
        "cpu MHz"
        "physical id"
        "core id"
        "nodev"
        "some"
        "full"
        "avg10="
        "avg60="
        "avg300="
        "total="
        "eth0"
        "lo"
        "sda"
        "/"
        "ext4"
        "index"
        "name"
        "uuid"
        "utilization.gpu [%]"
        "power.draw [W]"
        "[N/A]"
        "N/A"
        "["
        "RPM"
        " RPM"
        "ok"
        "\u0000"
        "\u007f"
        "é"
        "😀"
    ]
    |> List.map Encoding.UTF8.GetBytes

/// Any bytes at all: noise, and noise made of the words that parsers look for.
let anyBytes: Gen<Bytes> =
    Gen.frequency
        [
            1, upTo 60 (Gen.choose (0, 255) |> Gen.map byte)
            3,
            upTo
                30
                (Gen.frequency
                    [
                        8, Gen.elements tokens
                        1, Gen.choose (0, 255) |> Gen.map (fun b -> [| byte b |])
                    ])
            |> Gen.map Array.concat
        ]
    |> Gen.map (fun content -> { Content = content })

let private splice (content: byte[]) first past (replacement: byte[]) =
    Array.concat [ content[.. first - 1]; replacement; content[past..] ]

/// One small damage: a byte or a line changed, added, taken away or doubled; a word put in; a tail cut off.
let private damage (content: byte[]) : Gen<byte[]> =
    gen {
        let! place = Gen.choose (0, content.Length)
        let! kind = Gen.choose (0, 6)
        let! noise = Gen.choose (0, 255)
        let! token = Gen.elements tokens
        let next = min content.Length (place + 1)
        let lineStart = Array.LastIndexOf(content, '\n'B, max 0 (place - 1)) + 1 |> min place

        let lineEnd =
            match Array.IndexOf(content, '\n'B, place) with
            | -1 -> content.Length
            | i -> i + 1

        return
            match kind with
            | 0 -> splice content place next [| byte noise |]
            | 1 -> splice content place place [| byte noise |]
            | 2 -> splice content place next [||]
            | 3 -> splice content lineStart lineEnd [||]
            | 4 -> splice content lineStart lineStart content[lineStart .. lineEnd - 1]
            | 5 -> splice content place place token
            | _ -> content[.. place - 1]
    }

/// A real text with one to four damages.
let damaged (texts: Gen<Rendered<'value>>) : Gen<Bytes> =
    gen {
        let! text = texts
        let! times = Gen.choose (1, 4)
        let mutable content = bytesOf text.Lines

        for _ in 1..times do
            let! next = damage content
            content <- next

        return { Content = content }
    }

/// Smaller texts: without one of its parts, first large ones, then single bytes.
let shrinkBytes (bytes: Bytes) : Bytes seq =
    let content = bytes.Content

    Seq.unfold (fun size -> if size = 0 then None else Some(size, size / 2)) (content.Length / 2)
    |> Seq.collect (fun size ->
        Seq.init (content.Length / size) (fun i ->
            {
                Content = splice content (i * size) ((i + 1) * size) [||]
            }))
