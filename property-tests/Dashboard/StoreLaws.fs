/// Laws of what the dashboard keeps: rows, minutes, keys, and what it deletes.
module Agent.PropertyTests.Dashboard.StoreLaws

open System
open Agent.Core.Dashboard
open Agent.PropertyTests.Dashboard.Reports
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private bits (value: float) = BitConverter.DoubleToInt64Bits value

/// Equal to the last bit, NaN to NaN.
let private sameFigures (one: Figures) (other: Figures) =
    one.Wholes = other.Wholes
    && Array.forall2 (fun a b -> (Double.IsNaN a && Double.IsNaN b) || bits a = bits b) one.Decimals other.Decimals

let private sameReport (one: Report) (other: Report) =
    one.CollectedAt = other.CollectedAt
    && Layout.ofReport one = Layout.ofReport other
    && sameFigures one.Machine other.Machine
    && Array.forall2 (fun (a: DiskReport) (b: DiskReport) -> sameFigures a.Figures b.Figures) one.Disks other.Disks
    && Array.forall2 (fun (a: GpuReport) (b: GpuReport) -> sameFigures a.Figures b.Figures) one.Gpus other.Gpus
    && Array.forall2 (fun (a: FanReport) (b: FanReport) -> sameFigures a.Figures b.Figures) one.Fans other.Fans

let private packed (report: Report) =
    let cells = Array.zeroCreate Packing.width
    Packing.fill report cells
    cells, Packing.disks report, Packing.gpus report, Packing.fans report

let private close (scale: float) (one: float) (other: float) =
    abs (one - other) <= 0.51 / scale + abs one * 1e-12

/// Half a step of the seconds of a label, and what a float cannot tell of a figure right between two steps.
let private isWithinHalfMillisecond (one: float) (other: float) =
    abs (one - other) <= 0.0005 + abs one * 1e-12

/// Values beyond this are cut when minutes are kept, and no machine has them.
let private isSane (value: float) = Double.IsNaN value || abs value < 1e15

let private isSanePoint (struct (_: Layout, point: Point)) = Array.forall isSane point.Values

let private spreadsAgree (kinds: SeriesKind[]) (one: Spread[]) (other: Spread[]) =
    Seq.zip3 kinds one other
    |> Seq.forall (fun (kind, a, b) ->
        a.Count = b.Count
        && (a.Count = 0
            || (close kind.Scale a.Min b.Min
                && close (kind.Scale / 2.0) a.Max b.Max
                && close (kind.Scale / 2.0) a.Mean b.Mean)))

let tests =
    testList
        "Store"
        [
            lawOf wholeCases "the row of a report gives back the report, to the last bit" report (fun report ->
                let cells, disks, gpus, fans = packed report

                Packing.report
                    (Layout.ofReport report)
                    report.CollectedAt
                    cells
                    (ReadOnlySpan disks)
                    (ReadOnlySpan gpus)
                    (ReadOnlySpan fans)
                |> sameReport report)

            lawOf
                wholeCases
                "bytes of any kind in the place of a row's give a report, and no exception"
                (Gen.zip report (Gen.three (Gen.arrayOf (Gen.choose (0, 255) |> Gen.map byte))))
                (fun (report, (disks, gpus, fans)) ->
                    let cells, _, _, _ = packed report
                    let layout = Layout.ofReport report

                    let read =
                        Packing.report layout report.CollectedAt cells (ReadOnlySpan disks) (ReadOnlySpan gpus) (ReadOnlySpan fans)

                    Layout.ofReport read = layout)

            lawOf
                wholeCases
                "bytes of any kind in the place of a minute's give a roll-up, and no exception"
                (Gen.zip report (Gen.arrayOf (Gen.choose (0, 255) |> Gen.map byte)))
                (fun (report, bytes) ->
                    let layout = Layout.ofReport report
                    (Rollup.unpack layout (ReadOnlySpan bytes)).Spreads.Length = Series.slots layout)

            lawOf wholeCases "a layout is read back from its text" report (fun report ->
                let layout = Layout.ofReport report
                same (Layout.parse (Layout.toText layout)) (Ok layout))

            lawOf wholeCases "a layout fits the report that it was made of, and no other devices" (Gen.two report) (fun (one, other) ->
                let layout = Layout.ofReport one

                Layout.fits layout one
                && Layout.fits layout other = (layout = Layout.ofReport other))

            lawOf
                wholeCases
                "a minute is the same however its samples are put together"
                (Gen.zip points (Gen.choose (0, 12)))
                (fun (points, cut) ->
                    let points = points |> Array.filter isSanePoint
                    let first, second = Array.splitAt (min cut points.Length) points
                    let whole = Rollup.ofPoints points
                    let joined = Rollup.join (Rollup.ofPoints first) (Rollup.ofPoints second)

                    whole.Samples = joined.Samples
                    && set whole.Layout.Disks = set joined.Layout.Disks
                    && set whole.Layout.Gpus = set joined.Layout.Gpus
                    && (let map = Rollup.slotMap whole.Layout joined.Layout
                        let reordered = map |> Array.map (fun slot -> joined.Spreads[slot])
                        spreadsAgree (Series.kindsOf whole.Layout) whole.Spreads reordered)
                    && Array.forall2 (fun a b -> abs (a - b) < 1e-6) whole.LabelSeconds joined.LabelSeconds)

            lawOf wholeCases "least ≤ mean ≤ greatest, and both ends are values of samples" points (fun points ->
                let points = points |> Array.filter isSanePoint
                let rollup = Rollup.ofPoints points

                points
                |> Array.forall (fun (struct (layout, point)) ->
                    let map = Rollup.slotMap layout rollup.Layout

                    point.Values
                    |> Array.indexed
                    |> Array.forall (fun (slot, value) ->
                        let spread = rollup.Spreads[map[slot]]
                        let slack = 1e-9 * (abs spread.Min + abs spread.Max)

                        Double.IsNaN value
                        || (spread.Min <= value
                            && value <= spread.Max
                            && spread.Min - slack <= spread.Mean
                            && spread.Mean <= spread.Max + slack))))

            lawOf wholeCases "a minute is read back, but for half a step of each figure" points (fun points ->
                let rollup = points |> Array.filter isSanePoint |> Rollup.ofPoints
                let read = Rollup.unpack rollup.Layout (ReadOnlySpan(Rollup.pack rollup))

                read.Samples = rollup.Samples
                && read.Throttle = rollup.Throttle
                && spreadsAgree (Series.kindsOf rollup.Layout) rollup.Spreads read.Spreads
                && Array.forall2 isWithinHalfMillisecond rollup.LabelSeconds read.LabelSeconds)

            lawOf
                wholeCases
                "keys are in the order of servers, then of time, and give the time back"
                (Gen.zip (Gen.two (Gen.choose (1, Registration.MostServers))) (Gen.two time))
                (fun ((oneServer, otherServer), (one, other)) ->
                    let key = RowKey.sample oneServer one
                    let otherKey = RowKey.sample otherServer other

                    key > 0L
                    && RowKey.timeOf key = one
                    && RowKey.minuteOf (RowKey.minute oneServer (RowKey.minuteAt one)) = RowKey.minuteAt one
                    && compare key otherKey = compare (oneServer, one) (otherServer, other))

            lawOf
                wholeCases
                "pruning keeps 48 hours, and its steps end at whole minutes, each further than it began"
                (Gen.three time)
                (fun (now, a, b) ->
                    let cutoff = Retention.firstSample now
                    let first, after = min a b, max a b
                    let stop = Retention.stepEnd first after

                    cutoff % 60_000_000L = 0L
                    && (now < 172_800_000_000L || now - cutoff >= 172_800_000_000L)
                    && now - cutoff < 172_800_000_000L + 60_000_000L
                    && stop % 60_000_000L = 0L
                    && stop > first)
        ]
