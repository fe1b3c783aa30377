/// Laws of histories: what is drawn is what was measured.
module Agent.PropertyTests.Dashboard.HistoryLaws

open System
open System.Buffers
open System.Text.Json
open Agent.Core
open Agent.Core.Dashboard
open Agent.PropertyTests.Dashboard.Reports
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private answer (history: History) : JsonElement =
    let output = ArrayBufferWriter<byte>()
    Answers.historyInto output "gpu-1" history
    use document = JsonDocument.Parse output.WrittenMemory
    document.RootElement.Clone()

let private numbers (element: JsonElement) : float list =
    [
        for value in element.EnumerateArray() do
            if value.ValueKind = JsonValueKind.Number then
                value.GetDouble()
    ]

let private within (axis: Axis) (points: (struct (Layout * Point))[]) =
    points
    |> Array.filter (fun (struct (_, point)) -> point.At >= axis.From && point.At <= axis.To)

let private collect (axis: Axis) (points: (struct (Layout * Point))[]) =
    let history = History axis

    // A verdict is asked for only where a run ends; which one does not matter here.
    let verdict =
        Derivation.between
            ValueNone
            (Derivation.sampleOf
                {
                    CollectedAt = RowKey.instant 0L
                    Machine = Schema.empty Schema.machine
                    Disks = [||]
                    Gpus = [||]
                    Fans = [||]
                })

    for struct (layout, point) in points do
        history.Add(layout, point, verdict)

    history

/// A bucketed axis over the points' time, whatever their number.
let private bucketed (points: (struct (Layout * Point))[]) =
    let times = points |> Array.map (fun (struct (_, point)) -> point.At)

    if times.Length = 0 then
        ValueNone
    else
        ValueSome(Axis.ofSamples (Array.min times) (Array.max times) (Axis.MostSamples + 1))

let private range: Gen<int64 * int64> =
    Gen.zip time (Gen.choose64 (60_000_000L, 20_160L * 60_000_000L))
    |> Gen.map (fun (from, length) -> from, from + length)

let tests =
    testList
        "History"
        [
            law
                "no axis has more than 750 buckets of several samples, or 1,500 of one"
                (Gen.zip range (Gen.choose (0, 100000)))
                (fun ((from, until), samples) ->
                    let check (axis: Axis) =
                        if axis.Step = 0L then
                            axis.Count <= 1500
                        else
                            axis.Count <= 750
                            && axis.Start <= from
                            && axis.Start % axis.Step = 0L
                            && axis.Start + int64 axis.Count * axis.Step > until

                    check (Axis.ofSamples from until samples)
                    && check (Axis.ofMinutes from until)
                    && (Axis.ofMinutes from until).Step >= 60_000_000L)

            law "the greatest and the least of each figure are drawn" points (fun points ->
                match bucketed points with
                | ValueNone -> true
                | ValueSome axis ->
                    let root = answer (collect axis (within axis points))
                    let cpu = root.GetProperty("series").GetProperty("cpu_usage_percent")

                    let values =
                        points
                        |> Array.map (fun (struct (_, point)) -> point.Values[0])
                        |> Array.filter (fun value -> not (Double.IsNaN value) && abs value < 1e12)

                    let all =
                        points
                        |> Array.forall (fun (struct (_, point)) -> not (abs point.Values[0] >= 1e12))

                    not all
                    || values.Length = 0
                    || (let near a b = abs (a - b) <= 0.0051

                        near (List.max (numbers (cpu.GetProperty "max"))) (Array.max values)
                        && near (List.min (numbers (cpu.GetProperty "min"))) (Array.min values)))

            law "all rows of an answer have the length of its axis, and shares add up to 100" points (fun points ->
                match bucketed points with
                | ValueNone -> true
                | ValueSome axis ->
                    let root = answer (collect axis (within axis points))
                    let length = root.GetProperty("time").GetArrayLength()

                    let rec rows (element: JsonElement) =
                        seq {
                            match element.ValueKind with
                            | JsonValueKind.Object ->
                                for entry in element.EnumerateObject() do
                                    match entry.Name with
                                    | "mean"
                                    | "min"
                                    | "max" -> yield entry.Value.GetArrayLength()
                                    | _ -> yield! rows entry.Value
                            | JsonValueKind.Array ->
                                for entry in element.EnumerateArray() do
                                    yield! rows entry
                            | _ -> ()
                        }

                    let share =
                        root.GetProperty("bottleneck_share").EnumerateObject()
                        |> Seq.sumBy (fun entry -> entry.Value.GetDouble())

                    length = axis.Count
                    && rows root |> Seq.forall ((=) length)
                    && abs (share - 100.0) < 0.6)

            law "one bucket a sample draws each sample as it is" points (fun points ->
                let count = points.Length

                let axis =
                    if count = 0 then
                        Axis.ofSamples 0L 1L 0
                    else
                        let struct (_, first) = points[0]
                        let struct (_, last) = points[count - 1]
                        Axis.ofSamples first.At last.At count

                let root = answer (collect axis points)

                let times = [ for value in root.GetProperty("time").EnumerateArray() -> value.GetInt64() ]

                same
                    times
                    [
                        for struct (_, point) in points -> (RowKey.instant point.At).ToUnixTimeMilliseconds()
                    ])

            law "stale, disabled and never seen exclude each other" (Gen.zip time (Gen.choose (0, 100000))) (fun (seen, seconds) ->
                let at = RowKey.instant seen
                let now = at.AddSeconds(float seconds)

                let state interval =
                    Attention.stateOf true (ValueSome at) interval now

                Attention.stateOf false (ValueSome at) ValueNone now = ServerState.Disabled
                && Attention.stateOf true ValueNone ValueNone now = ServerState.Never
                && state ValueNone = (if seconds > 30 then ServerState.Stale else ServerState.Live)
                && state (ValueSome 60.0) =
                    (if seconds > 300 then
                         ServerState.Stale
                     else
                         ServerState.Live))
        ]
