/// Laws of histories: what is drawn is what was measured.
module Agent.PropertyTests.Dashboard.HistoryLaws

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

let private answer (history: History) : JsonElement =
    let output = ArrayBufferWriter<byte>()
    Responses.historyInto output "gpu-1" history
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

let private collectInto (history: History) (points: (struct (Layout * Point))[]) =
    // A verdict is asked for only where a run ends; which one does not matter here.
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

    let inputs = Bottleneck.inputsOf sample.Sample (Derived.from ValueNone sample.Sample)

    for struct (layout, point) in points do
        history.Add(layout, point, inputs, VerdictPoint.none)

let private collect (axis: Axis) (points: (struct (Layout * Point))[]) =
    let history = History axis
    collectInto history points
    history

/// A bucketed axis over the points' time, whatever their number.
let private bucketed (points: (struct (Layout * Point))[]) =
    let times = points |> Array.map (fun (struct (_, point)) -> point.At)

    if times.Length = 0 then
        ValueNone
    else
        ValueSome(Axis.ofSamples (Array.min times) (Array.max times) (Axis.MostSamples + 1))

let private minuteOf (struct (_, point): struct (Layout * Point)) = RowKey.minuteAt point.At

/// A history along minutes: of those that `isRolled` what they were rolled up to, of the others their samples.
let private minutes (axis: Axis) (isRolled: int64 -> bool) (points: (struct (Layout * Point))[]) : JsonElement =
    let rolled, others = points |> Array.partition (minuteOf >> isRolled)
    let history = History axis

    for minute, points in rolled |> Array.groupBy minuteOf do
        let rollup = Rollup.ofPoints points
        history.Add(minute, StoredLayout.ofLayout Format.current rollup.Layout, ReadOnlySpan(Rollup.pack rollup), ReadOnlySpan())

    collectInto history others
    answer history

let private range: Gen<int64 * int64> =
    Gen.zip time (Gen.choose64 (60_000_000L, 20_160L * 60_000_000L))
    |> Gen.map (fun (from, length) -> from, from + length)

let tests =
    testList
        "History"
        [
            lawOf
                wholeCases
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

            lawOf (wholeCases / 10) "the greatest and the least of each figure are drawn" points (fun points ->
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

            lawOf (wholeCases / 10) "all rows of an answer have the length of its axis, and shares add up to 100" points (fun points ->
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

            lawOf
                wholeCases
                "a minute draws the same from its samples as from what they were rolled up to, wherever the seam is"
                (Gen.zip points (Gen.choose (0, 511)))
                (fun (points, seam) ->
                    let points =
                        points
                        |> Array.filter (fun (struct (_, point)) -> not (abs point.Values[0] >= 1e9))

                    match bucketed points with
                    | ValueNone -> true
                    | ValueSome axis ->
                        let axis = Axis.ofMinutes axis.From axis.To
                        let first = RowKey.minuteAt axis.From
                        let all = minutes axis (fun _ -> true) points
                        let some = minutes axis (fun minute -> (seam >>> int (minute - first) % 9) &&& 1 = 1) points

                        let near (one: JsonElement) (other: JsonElement) =
                            one.ValueKind = other.ValueKind
                            && (one.ValueKind <> JsonValueKind.Number
                                || abs (one.GetDouble() - other.GetDouble()) <= 0.0101)

                        let cpu (figure: string) (root: JsonElement) =
                            (root.GetProperty("series").GetProperty("cpu_usage_percent").GetProperty figure).EnumerateArray()
                            |> List.ofSeq

                        let shares (root: JsonElement) =
                            Map.ofSeq (
                                seq {
                                    for share in root.GetProperty("bottleneck_share").EnumerateObject() do
                                        if share.Value.ValueKind = JsonValueKind.Number then
                                            share.Name, share.Value.GetDouble()
                                }
                            )

                        same (some.GetProperty("time").GetRawText()) (all.GetProperty("time").GetRawText())
                        && List.forall2 near (cpu "mean" some) (cpu "mean" all)
                        && List.forall2 near (cpu "min" some) (cpu "min" all)
                        && List.forall2 near (cpu "max" some) (cpu "max" all)
                        && Map.forall
                            (fun label share -> abs (share - (Map.tryFind label (shares all) |> Option.defaultValue 0.0)) <= 0.2)
                            (shares some))

            lawOf wholeCases "one bucket a sample draws each sample as it is" points (fun points ->
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

            lawOf
                wholeCases
                "stale, disabled and never seen exclude each other"
                (Gen.zip time (Gen.choose (0, 100000)))
                (fun (seen, seconds) ->
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
