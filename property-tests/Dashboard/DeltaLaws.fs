/// Laws of histories whose rows are differences: they add up to what is written without.
module Agent.PropertyTests.Dashboard.DeltaLaws

open System
open System.Buffers
open System.Text.Json
open Agent.Core
open Agent.Receiver
open Agent.PropertyTests.Dashboard.Reports
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private inputs =
    let sample =
        Derivation.measure
            {
                CollectedAt = RowKey.instant 0L
                Machine = Schema.empty Schema.machine
                Disks = [||]
                Gpus = [||]
                Fans = [||]
                Details = Details.none
            }

    Bottleneck.inputsOf sample.Sample (Derived.from ValueNone sample.Sample)

let private answer
    (write: IBufferWriter<byte> -> string -> History -> unit)
    (axis: Axis)
    (points: (struct (Layout * Point))[])
    : JsonElement =
    let history = History axis

    for struct (layout, point) in points do
        history.Add(layout, point, inputs, VerdictPoint.none)

    let output = ArrayBufferWriter<byte>()
    write output "gpu-1" history
    use document = JsonDocument.Parse output.WrittenMemory
    document.RootElement.Clone()

/// Entries of a row; none for null.
let private entries (read: JsonElement -> 'a) (row: JsonElement) : 'a option list =
    [
        for one in row.EnumerateArray() ->
            if one.ValueKind = JsonValueKind.Null then
                None
            else
                Some(read one)
    ]

let private sums (differences: int64 option list) : int64 option list =
    (0L, differences)
    ||> List.mapFold (fun sum one ->
        match one with
        | Some one -> Some(sum + one), sum + one
        | None -> None, sum)
    |> fst

/// A series by its figures, however it is written.
let private plain (series: JsonElement) : Map<string, float option list> =
    let wholes (name: string) =
        entries _.GetInt64() (series.GetProperty name)

    match series.TryGetProperty "scale" with
    | true, scale ->
        let scale = scale.GetDouble()
        let mean = sums (wholes "mean")

        let at (sign: int64) (name: string) =
            List.map2 (Option.map2 (fun one other -> float (one + sign * other) / scale)) mean (wholes name)

        Map.ofList
            [
                "mean", mean |> List.map (Option.map (fun steps -> float steps / scale))

                match series.TryGetProperty "below" with
                | true, _ ->
                    "min", at -1L "below"
                    "max", at 1L "above"
                | _ -> ()
            ]
    | _ -> Map.ofSeq (seq { for figure in series.EnumerateObject() -> figure.Name, entries _.GetDouble() figure.Value })

/// Every series of an answer, by where it stands.
let private allOf (root: JsonElement) : Map<string, Map<string, float option list>> =
    Map.ofSeq (
        seq {
            for series in root.GetProperty("series").EnumerateObject() do
                series.Name, plain series.Value

            for list in [ "gpus"; "disks"; "fans" ] do
                for place, device in Seq.indexed (root.GetProperty(list).EnumerateArray()) do
                    for series in device.GetProperty("series").EnumerateObject() do
                        $"{list}[{place}].{series.Name}", plain series.Value
        }
    )

let tests =
    testList
        "Differences"
        [
            lawOf
                (wholeCases / 2)
                "a history of differences adds up to the plain one"
                (Gen.zip points (Gen.choose (0, 1)))
                (fun (points, raw) ->
                    let times = points |> Array.map (fun (struct (_, point)) -> point.At)

                    times.Length = 0
                    || (let axis =
                            if raw = 1 then
                                Axis.ofSamples (Array.min times) (Array.max times) times.Length
                            else
                                Axis.ofSamples (Array.min times) (Array.max times) (Axis.MostSamples + 1)

                        let whole = answer Responses.historyInto axis points
                        let deltas = answer Responses.historyDeltasInto axis points

                        let milliseconds (root: JsonElement) =
                            entries _.GetInt64() (root.GetProperty "time")

                        same (sums (milliseconds deltas)) (milliseconds whole)
                        && same (allOf deltas) (allOf whole)))
        ]
