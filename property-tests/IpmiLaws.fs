/// Laws of the table that ipmitool prints.
module Agent.PropertyTests.IpmiLaws

open Agent.Core
open Agent.Core.Sys
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private speedless =
    [
        "No Reading"
        "Disabled"
        "30 percent"
        "Device Present"
        "Fully Redundant"
        ""
    ]

let private row: Gen<Hwmon.Fan voption * string> =
    gen {
        let! label = Gen.frequency [ 3, phrase; 1, Gen.elements [ "FAN1"; "Fan, CPU 1"; "" ] ]
        let! speed = Gen.choose (0, 30_000)
        let! turns = Gen.frequency [ 3, Gen.constant true; 1, Gen.constant false ]
        let! other = Gen.elements speedless
        let reading = if turns then $"{speed} RPM" else other

        let fan: Hwmon.Fan =
            {
                Label = label
                Speed = LanguagePrimitives.Int32WithMeasure speed
            }

        return (if turns then ValueSome fan else ValueNone), $"{label, -16} | 41h | ok  | 29.1 | {reading}"
    }

let private texts: Gen<Rendered<Hwmon.Fan[]>> =
    upTo 4 row
    |> Gen.map (fun rows ->
        {
            Value = rows |> Array.choose (fst >> ValueOption.toOption)
            Lines = Array.map snd rows
        })

let private format =
    ParserLaws.format texts (fun text -> Parsed.strict (Ipmi.parse text.Span)) ParserLaws.isStart

let tests =
    testList
        "Ipmi"
        [
            yield! ParserLaws.all format
            ParserLaws.extraColumns format (fun _ _ -> true) (Gen.map (fun column -> "| " + column) word)
            ParserLaws.unknownLines format (fun _ -> 0) phrase
            law
                "a speed is a fan where a fan can turn so fast, else nothing and no fault"
                (Gen.frequency [ 1, Gen.choose (-100, 70_000); 1, Gen.choose (49_990, 50_010) ])
                (fun speed ->
                    let text = bytesOf [| $"FAN1 | 41h | ok | 29.1 | {speed} RPM" |]

                    match Ipmi.parse (System.ReadOnlySpan text) with
                    | Ok read ->
                        read.FaultCount = 0
                        && read.Value.Length = (if speed >= 0 && speed < 50_000 then 1 else 0)
                    | Error _ -> false)
            law "a sensor without a speed is no fan, and never one at 0" (Gen.elements speedless) (fun reading ->
                same (format.Parse(System.ReadOnlyMemory(bytesOf [| $"FAN1 | 41h | ns | 29.1 | {reading}" |]))) (Ok [||]))
        ]
