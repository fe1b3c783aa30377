/// Laws of `/proc/loadavg`, `/proc/uptime` and `/proc/pressure/*`, and of the excerpts that errors show.
module Agent.PropertyTests.Proc.SmallFileLaws

open System
open System.Text
open Agent.Core.Proc
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private loadTexts: Gen<Rendered<LoadAvg.LoadAverage>> =
    Gen.three (hundredths 999_999)
    |> Gen.map (fun (struct (one, oneText), struct (five, fiveText), struct (fifteen, fifteenText)) ->
        {
            Value =
                {
                    One = one
                    Five = five
                    Fifteen = fifteen
                }
            Lines = [| $"{oneText} {fiveText} {fifteenText} 1/389 12345" |]
        })

/// What the file may say.
let load: Gen<LoadAvg.LoadAverage> = loadTexts |> Gen.map (fun text -> text.Value)

let private loadFormat = ParserLaws.format loadTexts (fun text -> LoadAvg.parse text.Span) (=)

let private uptimeTexts: Gen<Rendered<float>> =
    hundredths Int32.MaxValue
    |> Gen.map (fun (struct (value, text)) ->
        {
            Value = value
            Lines = [| $"{text} 350735.47" |]
        })

let private uptimeFormat =
    ParserLaws.format uptimeTexts (fun text -> Uptime.parse text.Span |> Result.map float) (=)

/// TCP's counters at any positions, among others whose values need not be numbers of ours, and after another protocol.
let private snmpTexts: Gen<Rendered<Snmp.Tcp>> =
    gen {
        let! sent = maybe anyUInt64
        let! retransmitted = maybe anyUInt64
        let! others = upTo 6 (Gen.elements [ "-1"; "0"; "4711" ])

        let named name (value: uint64 voption) =
            value |> ValueOption.toList |> List.map (fun value -> name, string value)

        let! columns =
            [
                yield! named "OutSegs" sent
                yield! named "RetransSegs" retransmitted
                yield! others |> Seq.mapi (fun index value -> $"Other{index}", value)
            ]
            |> List.toArray
            |> Gen.shuffle

        return
            {
                Value =
                    {
                        Sent = sent
                        Retransmitted = retransmitted
                    }
                Lines =
                    [|
                        "Ip: OutSegs RetransSegs"
                        "Ip: 1 2"
                        String.concat " " [ "Tcp:"; yield! Array.map fst columns ]
                        String.concat " " [ "Tcp:"; yield! Array.map snd columns ]
                    |]
            }
    }

/// What the file may say.
let tcp: Gen<Snmp.Tcp> = snmpTexts |> Gen.map (fun text -> text.Value)

let private snmpFormat = ParserLaws.format snmpTexts (fun text -> Snmp.parse text.Span) (=)

/// In how many namespaces a process has a number, among lines of which one, its name, is of its own making.
let private statusTexts: Gen<Rendered<int voption>> =
    Gen.map3
        (fun name numbers hasLine ->
            {
                Value =
                    if hasLine then
                        ValueSome(List.length numbers)
                    else
                        ValueNone
                Lines =
                    [|
                        yield "Name:\t" + name
                        yield "Umask:\t0022"

                        if hasLine then
                            yield "NSpid:\t" + String.concat "\t" (List.map string numbers)

                        yield "NSsid:\t7\t1"
                    |]
            })
        word
        (Gen.nonEmptyListOf (Gen.choose (1, 4_194_304)))
        (Gen.elements [ true; false ])

let private statusFormat =
    ParserLaws.format statusTexts (fun text -> ProcessStatus.pidNamespaces text.Span) (fun part whole -> ParserLaws.isUnknownOr whole part)

/// What a process may do, likewise.
let private capabilityTexts: Gen<Rendered<uint64 voption>> =
    Gen.map3
        (fun name bits hasLine ->
            {
                Value = if hasLine then ValueSome bits else ValueNone
                Lines =
                    [|
                        yield "Name:\t" + name
                        yield "CapInh:\t0000000000000000"

                        if hasLine then
                            yield "CapEff:\t" + bits.ToString "x16"

                        yield "CapBnd:\t000001ffffffffff"
                    |]
            })
        word
        counter
        (Gen.elements [ true; false ])

let private capabilityFormat =
    ParserLaws.format capabilityTexts (fun text -> ProcessStatus.capabilities text.Span) (fun part whole ->
        ParserLaws.isUnknownOr whole part)

let private stall: Gen<Pressure.Stall * string> =
    Gen.zip (hundredths 10_000) counter
    |> Gen.map (fun (struct (average, text), total) ->
        {
            Avg10 = LanguagePrimitives.FloatWithMeasure average
            Total = LanguagePrimitives.UInt64WithMeasure total
        },
        $"avg10={text} avg60=0.18 avg300=1.02 total={total}")

let private pressureTexts: Gen<Rendered<Pressure.Pressure>> =
    Gen.zip stall (maybe stall)
    |> Gen.map (fun ((some, someText), full) ->
        {
            Value =
                {
                    Some = some
                    Full = full |> ValueOption.map fst
                }
            Lines =
                [|
                    "some " + someText
                    match full with
                    | ValueSome(_, text) -> "full " + text
                    | ValueNone -> ()
                |]
        })

/// What one of the files may say.
let pressure: Gen<Pressure.Pressure> = pressureTexts |> Gen.map (fun text -> text.Value)

let private pressureFormat =
    ParserLaws.format pressureTexts (fun text -> Pressure.parse "/proc/pressure/io" text.Span) (fun part whole ->
        part.Some = whole.Some && ParserLaws.isUnknownOr whole.Full part.Full)

/// Whole numbers of up to 25 digits, those around 2^64 favoured.
let private digits: Gen<string> =
    Gen.oneof
        [
            Gen.choose (1, 25)
            |> Gen.bind (fun length -> Gen.arrayOfLength length (Gen.elements [ '0' .. '9' ]))
            |> Gen.map String
            Gen.choose (-20, 20)
            |> Gen.map (fun n -> string (bigint UInt64.MaxValue + bigint n))
        ]

/// A field that is no number, of every kind of character.
let private garbledField: Gen<string> =
    Gen.choose (1, 110)
    |> Gen.bind (fun length ->
        Gen.arrayOfLength length (Gen.frequency [ 8, Gen.constant "x"; 2, Gen.elements [ "\u0001"; "\u007f"; "é"; "名"; "😀" ] ]))
    |> Gen.map (fun parts -> "y" + String.Concat parts)

let private rawOf (field: string) =
    match LoadAvg.parse (ReadOnlySpan(Encoding.UTF8.GetBytes(field + "\n"))) with
    | Ok _ -> failtest "a word was read as a number"
    | Error error -> error.Raw

let private escaped (text: string) =
    String.collect (fun c -> if Char.IsControl c then $"\\x{int c:x2}" else string c) text

let tests =
    testList
        "Proc: small files"
        [
            testList
                "LoadAvg"
                [
                    yield! ParserLaws.all loadFormat
                    ParserLaws.extraColumns loadFormat (fun _ _ -> true) word
                    ParserLaws.unknownLines loadFormat (fun _ -> 1) phrase
                ]
            testList
                "Uptime"
                [
                    yield! ParserLaws.all uptimeFormat
                    ParserLaws.extraColumns uptimeFormat (fun _ _ -> true) word
                    ParserLaws.unknownLines uptimeFormat (fun _ -> 1) phrase
                ]
            testList
                "Snmp"
                [
                    yield! ParserLaws.all snmpFormat
                    ParserLaws.extraColumns snmpFormat (fun _ _ -> true) word
                ]
            testList
                "ProcessStatus"
                [
                    yield! ParserLaws.all statusFormat
                    ParserLaws.unknownLines statusFormat (fun _ -> 0) phrase
                    yield!
                        ParserLaws.all capabilityFormat
                        |> List.map (fun one -> testList "capabilities" [ one ])
                    testList "capabilities" [ ParserLaws.unknownLines capabilityFormat (fun _ -> 0) phrase ]
                ]
            testList
                "Pressure"
                [
                    yield! ParserLaws.all pressureFormat
                    ParserLaws.extraColumns pressureFormat (fun _ _ -> true) word
                    law "a counter of any length is itself, or an error where it does not fit" digits (fun digits ->
                        let line = $"some avg10=0.00 avg60=0.00 avg300=0.00 total={digits}\n"
                        let fits = bigint.Parse digits <= bigint UInt64.MaxValue

                        match Pressure.parse "/proc/pressure/io" (ReadOnlySpan(Encoding.UTF8.GetBytes line)) with
                        | Ok pressure -> fits && same (bigint (uint64 pressure.Some.Total)) (bigint.Parse digits)
                        | Error error -> (not fits || digits.Length > 20) && error.Field = "total")
                    ParserLaws.unknownLines pressureFormat (fun _ -> 0) (Gen.map (fun text -> "x" + text) phrase)
                ]
            testList
                "excerpts"
                [
                    law "an excerpt is the start of the text, and says with … that there is more" garbledField (fun field ->
                        let raw = rawOf field

                        if raw.EndsWith '…' then
                            (escaped field).StartsWith(raw.TrimEnd '…', StringComparison.Ordinal)
                            && raw.Length >= 78
                        else
                            same raw (escaped field))
                    law "an excerpt never splits a character" garbledField (fun field ->
                        rawOf field |> Seq.forall (fun c -> c <> '\uFFFD')
                        && Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(rawOf field)) = rawOf field)
                ]
        ]
