/// Laws of what leaves the dashboard for a cluster: posted samples, histories, and the headers that go along.
module Agent.PropertyTests.Dashboard.RelayLaws

open System
open Agent.Core
open Agent.Outbound
open Agent.Receiver
open Agent.Receiver.Cluster
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.TestSupport.RemoteWriteText
open Expecto
open FsCheck
open FsCheck.FSharp

let private names = Gen.elements [ "__name__"; "instance"; "job"; "device"; "gpu"; "mode" ]

let private texts = Gen.elements [ ""; "a"; "b"; "GPU 1"; "\ud800"; "é\n\"" ]

let private numbers = Gen.elements [ 0.0; 1.5; -3.0; 1e300; nan; infinity; 9007199254740993.0 ]

let private values: Gen<SeriesValue[]> =
    Gen.map3
        (fun kind labels value ->
            {
                Kind = kind
                Labels =
                    labels
                    |> List.distinctBy fst
                    |> List.map (fun (name, text) -> struct (name, text))
                    |> Array.ofList
                Value = value
            })
        (Gen.elements [ MetricKind.Counter; MetricKind.Gauge; MetricKind.StateSet ])
        (Gen.listOf (Gen.zip names texts))
        numbers
    |> Gen.arrayOf

/// What a receiver may know of a series: its labels without empty ones.
let private keyOf (value: SeriesValue) : (string * string) list =
    [
        for struct (name, text) in value.Labels do
            if text <> "" then
                name, ProtobufFields.wellFormed text
    ]
    |> List.sortWith (fun (one, _) (other, _) -> String.CompareOrdinal(one, other))

let private spread: Gen<Spread> =
    Gen.map3
        (fun one other place ->
            let least, greatest = min one other, max one other

            {
                Count = 6
                Mean = least + (greatest - least) * place
                Min = least
                Max = greatest
            })
        (Gen.choose (-1000, 1000) |> Gen.map float)
        (Gen.choose (-1000, 1000) |> Gen.map float)
        (Gen.choose (0, 100) |> Gen.map (fun percent -> float percent / 100.0))

[<Tests>]
let tests =
    testList
        "Relay"
        [
            law
                "a record has each series once, with the first value that is a number, sorted labels and the instant"
                (Gen.zip (Gen.elements [ RemoteWriteVersion.One; RemoteWriteVersion.Two ]) values)
                (fun (version, values) ->
                    let expected =
                        values
                        |> Array.filter (fun value -> Double.IsFinite value.Value)
                        |> Array.distinctBy keyOf
                        |> Array.map (fun value -> keyOf value, BitConverter.DoubleToInt64Bits value.Value)
                        |> List.ofArray

                    let found =
                        seriesIn (RemoteWrite.recordOf version 1772107200250L values)
                        |> List.map (fun one ->
                            if one.Milliseconds = 1772107200250L then
                                one.Labels, one.Bits
                            else
                                [], 0L)

                    found = expected)

            law "four values have the mean of their minute, and lie within it" spread (fun spread ->
                let values = ClusterExport.valuesOf spread
                let slack = 1e-9 * max 1.0 (max (abs spread.Min) (abs spread.Max))

                abs (Array.average values - spread.Mean) <= slack
                && values
                   |> Array.forall (fun value -> value >= spread.Min - slack && value <= spread.Max + slack))

            law "any text is a file of headers or is not, and none of its values is in what is said of it" anyText (fun text ->
                let lines = text.Split '\n'

                match HeaderLines.parse text with
                | Ok headers -> headers.Length > 0 && headers.Length <= lines.Length
                | Error fault ->
                    match fault with
                    | HeaderFault.NotAHeader line -> line >= 1 && line <= lines.Length
                    | HeaderFault.Reserved(line, name)
                    | HeaderFault.NoValue(line, name)
                    | HeaderFault.BadValue(line, name) -> lines[line - 1].TrimStart().StartsWith(name, StringComparison.Ordinal)
                    | HeaderFault.Repeated name ->
                        lines
                        |> Array.exists (fun line -> line.Trim().StartsWith(name + ":", StringComparison.Ordinal))
                    | HeaderFault.NoHeader -> true)

            law
                "headers that are written one a line are read as they are"
                (Gen.zip
                    (Gen.elements [ "X-Scope-OrgID"; "Authorization"; "x!#$%&'*+-.^_`|~9" ])
                    (Gen.nonEmptyListOf (Gen.choose (int '!', int '~'))))
                (fun (name, letters) ->
                    let value = String.Concat(letters |> List.map (fun letter -> string (char letter)))
                    HeaderLines.parse $"# mine\r\n\n{name}: {value}\r\n" = Ok [| struct (name, value) |])
        ]
