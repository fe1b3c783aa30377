/// Laws of what the dashboard keeps: rows, minutes, keys, and what it deletes.
module Agent.PropertyTests.Dashboard.StoreLaws

open System
open Agent.Receiver
open Agent.PropertyTests.Dashboard.Reports
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private bits (value: float) = BitConverter.DoubleToInt64Bits value

/// Equal to the last bit, NaN to NaN.
let private sameFigures (one: Figures) (other: Figures) =
    one.Integers = other.Integers
    && Array.forall2 (fun a b -> (Double.IsNaN a && Double.IsNaN b) || bits a = bits b) one.Decimals other.Decimals

let private sameReport (one: Report) (other: Report) =
    one.CollectedAt = other.CollectedAt
    && Layout.ofReport one = Layout.ofReport other
    && sameFigures one.Machine other.Machine
    && Array.forall2 (fun (a: DiskReport) (b: DiskReport) -> sameFigures a.Figures b.Figures) one.Disks other.Disks
    && Array.forall2 (fun (a: GpuReport) (b: GpuReport) -> sameFigures a.Figures b.Figures) one.Gpus other.Gpus
    && Array.forall2 (fun (a: FanReport) (b: FanReport) -> sameFigures a.Figures b.Figures) one.Fans other.Fans
    && Array.forall2 (Array.forall2 (fun (a: DetailReport) (b: DetailReport) -> sameFigures a.Figures b.Figures)) one.Details other.Details

let private packed (report: Report) =
    let cells = Array.zeroCreate Packing.width
    Packing.fill report cells
    cells, Packing.disks report, Packing.gpus report, Packing.fans report, Packing.details report

/// A layout whose rows were written now.
let private stored (layout: Layout) =
    StoredLayout.ofLayout Format.current layout

let private ordersNow = (stored Layout.empty).Samples

/// Another order of the same names, without some of them and with some that nobody knows here.
let private otherOrder (now: 'a[]) (unknown: int -> 'a) : Gen<'a[]> =
    gen {
        let! kept = Gen.shuffle now
        let! count = Gen.choose (0, kept.Length)
        let! others = Gen.choose (0, 3)
        return! Gen.shuffle (Array.append (Array.truncate count kept) (Array.init others unknown))
    }

let private otherSchema (schema: Schema) : Gen<Schema> =
    gen {
        let! decimals = otherOrder schema.Decimals (fun n -> struct ($"lost_decimal_{n}", 1000))
        let! wholes = otherOrder schema.Integers (fun n -> $"lost_whole_{n}")

        return
            {
                Decimals = decimals
                Integers = wholes
            }
    }

/// A format of another version of this program.
let private otherFormat: Gen<Format> =
    gen {
        let series now =
            otherOrder now (fun n -> struct ($"lost_series_{n}", 100.0))

        let! machine = series Format.current.Machine
        let! disk = series Format.current.Disk
        let! gpu = series Format.current.Gpu
        let! fan = series Format.current.Fan
        let! diskSample = otherSchema Schema.disk
        let! gpuSample = otherSchema Schema.gpu
        let! fanSample = otherSchema Schema.fan

        let! kinds =
            otherOrder Format.current.Details (fun n ->
                {
                    Kind = $"lost_kind_{n}"
                    Series = [| struct ("lost", 10.0) |]
                    Sample =
                        {
                            Decimals = [| struct ("lost", 10) |]
                            Integers = [||]
                        }
                })

        let otherDetail (format: DetailFormat) =
            gen {
                let! own = series format.Series
                let! sample = otherSchema format.Sample

                return
                    { format with
                        Series = own
                        Sample = sample
                    }
            }

        let! details = kinds |> Array.map otherDetail |> Gen.sequenceToArray

        return
            {
                Machine = machine
                Disk = disk
                Gpu = gpu
                Fan = fan
                DiskSample = diskSample
                GpuSample = gpuSample
                FanSample = fanSample
                Details = details
            }
    }

/// docs/adr/0016: seven bits a byte, lowest first.
let rec private unsignedBytes (value: uint64) : byte list =
    if value < 128UL then
        [ byte value ]
    else
        (byte value ||| 128uy) :: unsignedBytes (value >>> 7)

let private signedBytes (value: int64) =
    unsignedBytes (uint64 ((value <<< 1) ^^^ (value >>> 63)))

/// The bytes of a minute of one sample, in which each series of the format has the value that is given for its name, in units
/// (docs/adr/0016).
let private minuteBytes (format: Format) (layout: Layout) (valueOf: string -> int -> int64 option) : byte[] =
    let entry position (struct (name, scale: float)) =
        match valueOf name position with
        | None -> [ 0uy ]
        | Some value -> [ 1uy ] @ signedBytes (value * int64 scale) @ [ 0uy; 0uy ]

    [
        yield! [ 1uy; 0uy ]
        yield! List.replicate layout.Gpus.Length 0uy
        yield! format.Machine |> Seq.collect (entry -1)

        for series, devices in
            [
                format.Disk, layout.Disks.Length
                format.Gpu, layout.Gpus.Length
                format.Fan, layout.Fans.Length
            ] do
            for position in 0 .. devices - 1 do
                yield! series |> Seq.collect (entry position)
    ]
    |> Array.ofList

let private close (scale: float) (one: float) (other: float) =
    abs (one - other) <= 0.51 / scale + abs one * 1e-12

/// Half a step of the seconds of a label, and what a float cannot tell of a figure right between two steps.
let private isWithinHalfMillisecond (one: float) (other: float) =
    abs (one - other) <= 0.0005 + abs one * 1e-12

/// Values beyond this are cut when minutes are kept, and no machine has them.
let private isSane (value: float) = Double.IsNaN value || abs value < 1e15

let private isSanePoint (struct (_: Layout, point: Point)) =
    Array.forall isSane point.Values && Array.forall isSane point.Details

/// The kind of each slot of details.
let private detailKinds (layout: Layout) : SeriesKind[] =
    Array.map2
        (fun (kind: DetailKind) (names: string[]) -> Array.concat (Array.replicate names.Length kind.Series))
        Details.all
        layout.Details
    |> Array.concat

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
                let cells, disks, gpus, fans, details = packed report

                Packing.report
                    (Layout.ofReport report)
                    ordersNow
                    report.CollectedAt
                    cells
                    (ReadOnlySpan disks)
                    (ReadOnlySpan gpus)
                    (ReadOnlySpan fans)
                    (ReadOnlySpan details)
                |> sameReport report)

            lawOf
                wholeCases
                "bytes of any kind in the place of a row's give a report, and no exception"
                (Gen.zip report (Gen.four (Gen.nonEmptyListOf (Gen.choose (0, 255) |> Gen.map byte) |> Gen.map Array.ofList)))
                (fun (report, (disks, gpus, fans, details)) ->
                    let cells, _, _, _, _ = packed report
                    let layout = Layout.ofReport report

                    let read =
                        Packing.report
                            layout
                            ordersNow
                            report.CollectedAt
                            cells
                            (ReadOnlySpan disks)
                            (ReadOnlySpan gpus)
                            (ReadOnlySpan fans)
                            (ReadOnlySpan details)

                    Layout.ofReport read = layout)

            lawOf
                wholeCases
                "bytes of any kind in the place of a minute's give a roll-up, and no exception"
                (Gen.zip report (Gen.arrayOf (Gen.choose (0, 255) |> Gen.map byte)))
                (fun (report, bytes) ->
                    let layout = Layout.ofReport report
                    let read = Rollup.unpack (stored layout) (ReadOnlySpan bytes)

                    read.Spreads.Length = Series.slots layout
                    && (Rollup.withDetails (stored layout) (ReadOnlySpan bytes) read).Details.Length = Details.slots layout.Details)

            lawOf wholeCases "a format is read back from its text" otherFormat (fun format ->
                same (Format.parse (Format.toText format)) (Ok format))

            lawOf
                wholeCases
                "a minute of any other format gives each series that is known now its own value, and nothing to the rest"
                (Gen.zip otherFormat report)
                (fun (format, report) ->
                    let layout = Layout.ofReport report

                    // Different for each name and device, and not known for some.
                    let valueOf (name: string) position =
                        let value = int64 (abs (name.GetHashCode()) % 1000) + int64 position

                        if value % 5L = 0L then None else Some(value - 300L)

                    let read =
                        Rollup.unpack (StoredLayout.ofLayout format layout) (ReadOnlySpan(minuteBytes format layout valueOf))

                    let agrees (written: Scaled[]) first position (kinds: SeriesKind[]) =
                        kinds
                        |> Array.indexed
                        |> Array.forall (fun (offset, kind) ->
                            let spread = read.Spreads[first + offset]
                            let isWritten = written |> Array.exists (fun (struct (name, _)) -> name = kind.Name)

                            match valueOf kind.Name position with
                            | Some value when isWritten -> spread.Count = 1 && abs (spread.Mean - float value) < 1e-9
                            | _ -> spread.Count = 0)

                    agrees format.Machine 0 -1 Series.machine
                    && Seq.forall
                        (fun position -> agrees format.Disk (Series.firstOfDisk position) position Series.disk)
                        [ 0 .. layout.Disks.Length - 1 ]
                    && Seq.forall
                        (fun position -> agrees format.Gpu (Series.firstOfGpu layout position) position Series.gpu)
                        [ 0 .. layout.Gpus.Length - 1 ]
                    && Seq.forall
                        (fun position -> agrees format.Fan (Series.firstOfFan layout position) position Series.fan)
                        [ 0 .. layout.Fans.Length - 1 ])

            lawOf
                wholeCases
                "details of a minute of any other format keep their names, whatever kinds and series there were beside them"
                (Gen.zip otherFormat report)
                (fun (format, report) ->
                    let layout = Layout.ofReport report

                    let valueOf (kind: string) (name: string) position =
                        let value = int64 (abs ((kind + name).GetHashCode()) % 1000) + int64 position

                        if value % 5L = 0L then None else Some(value - 300L)

                    let entry (kind: string) position (struct (name, scale: float)) =
                        match valueOf kind name position with
                        | None -> [ 0uy ]
                        // One sample that knew it, and a figure that never changed.
                        | Some value -> [ 3uy ] @ signedBytes (value * int64 scale)

                    let devices (kind: string) =
                        match Details.positionOf kind with
                        | -1 -> 2
                        | position -> layout.Details[position].Length

                    let bytes =
                        [|
                            for kind in format.Details do
                                let own =
                                    [
                                        for position in 0 .. devices kind.Kind - 1 do
                                            yield! kind.Series |> Seq.collect (entry kind.Kind position)
                                    ]

                                yield! unsignedBytes (uint64 own.Length)
                                yield! own
                        |]

                    let read =
                        Rollup.withDetails
                            (StoredLayout.ofLayout format layout)
                            (ReadOnlySpan bytes)
                            { Rollup.empty with
                                Samples = 1
                                Layout = layout
                            }

                    Details.all
                    |> Array.indexed
                    |> Array.forall (fun (place, kind) ->
                        let written = format.Details |> Array.tryFind (fun format -> format.Kind = kind.Name)

                        Seq.allPairs (Seq.indexed kind.Series) (Seq.init layout.Details[place].Length id)
                        |> Seq.forall (fun ((offset, series), position) ->
                            let spread = read.Details[Details.firstOf layout.Details place + position * kind.Series.Length + offset]

                            let isWritten =
                                match written with
                                | Some format -> format.Series |> Array.exists (fun (struct (name, _)) -> name = series.Name)
                                | None -> false

                            match valueOf kind.Name series.Name position with
                            | Some value when isWritten -> spread.Count = 1 && abs (spread.Mean - float value) < 1e-9
                            | _ -> spread.Count = 0)))

            lawOf
                wholeCases
                "figures of a device that were written in any other order keep their names"
                (Gen.zip (otherSchema Schema.gpu) (Gen.listOfLength 20 (Gen.choose (0, 1000000))))
                (fun (written, numbers) ->
                    let layout =
                        { Layout.empty with
                            Gpus = [| { Index = 0; Name = ""; Uuid = "" } |]
                        }

                    let orders =
                        (StoredLayout.ofLayout
                            { Format.current with
                                GpuSample = written
                            }
                            layout)
                            .Samples

                    let number index = int64 (List.item index numbers)
                    let decimals = written.Decimals.Length

                    let bytes =
                        [|
                            for index in 0 .. decimals - 1 do
                                yield! unsignedBytes (uint64 (2L * number index) + 2UL)

                            for index in 0 .. written.Integers.Length - 1 do
                                yield! unsignedBytes (uint64 (number (decimals + index)) + 1UL)
                        |]

                    let read =
                        Packing.report
                            layout
                            orders
                            (RowKey.instant 0L)
                            (Array.zeroCreate Packing.width)
                            ReadOnlySpan.Empty
                            (ReadOnlySpan bytes)
                            ReadOnlySpan.Empty
                            ReadOnlySpan.Empty

                    let figures = read.Gpus[0].Figures

                    let decimal (struct (name: string, _: int)) =
                        written.Decimals
                        |> Array.tryFindIndex (fun (struct (other, _)) -> other = name)
                        |> Option.map (fun index ->
                            let struct (_, scale) = written.Decimals[index]
                            float (number index) / float scale)

                    let whole name =
                        written.Integers
                        |> Array.tryFindIndex ((=) name)
                        |> Option.map (fun index -> number (decimals + index))

                    Schema.gpu.Decimals
                    |> Array.map decimal
                    |> Array.forall2
                        (fun figure expected ->
                            match expected with
                            | Some value -> figure = value
                            | None -> Double.IsNaN figure)
                        figures.Decimals
                    && Schema.gpu.Integers
                       |> Array.map (whole >> Option.defaultValue -1L)
                       |> same figures.Integers)

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
                    && Array.map Set.ofArray whole.Layout.Details = Array.map Set.ofArray joined.Layout.Details
                    && (let sums (rollup: Rollup) =
                            Array.zip (detailKinds rollup.Layout) rollup.Details
                            |> Array.groupBy (fun (kind, _) -> kind.Name)
                            |> Array.map (fun (name, entries) -> name, entries |> Array.sumBy (fun (_, spread) -> spread.Count))
                            |> set

                        sums whole = sums joined)
                    && Array.forall2 (fun a b -> abs (a - b) < 1e-6) whole.LabelSeconds joined.LabelSeconds)

            lawOf
                wholeCases
                "a quarter that was kept says what its minutes say, but for its rounding"
                (Gen.zip points (Gen.choose (0, 12)))
                (fun (points, cut) ->
                    let points = points |> Array.filter isSanePoint
                    let first, second = Array.splitAt (min cut points.Length) points

                    let kept (rollup: Rollup) =
                        Rollup.unpack (StoredLayout.ofLayout Format.current rollup.Layout) (ReadOnlySpan(Rollup.pack rollup))

                    let minutes = [| first; second |] |> Array.map (Rollup.ofPoints >> kept)
                    let nothingSaid: VerdictMinute = { Seconds = [||]; Jobs = [||] }

                    match Quarter.ofMinutes (minutes |> Array.map (fun minute -> struct (minute, nothingSaid))) with
                    | ValueNone -> false
                    | ValueSome(struct (quarter, _)) ->
                        let quarter = kept quarter
                        let map = Rollup.slotMap (Rollup.ofPoints points).Layout quarter.Layout

                        quarter.Samples = points.Length
                        && spreadsAgree
                            (Series.kindsOf (Rollup.ofPoints points).Layout)
                            (Rollup.ofPoints points).Spreads
                            (map |> Array.map (fun slot -> quarter.Spreads[slot])))

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
                let read = Rollup.unpack (stored rollup.Layout) (ReadOnlySpan(Rollup.pack rollup))

                read.Samples = rollup.Samples
                && read.Throttle = rollup.Throttle
                && spreadsAgree (Series.kindsOf rollup.Layout) rollup.Spreads read.Spreads
                && (let read = Rollup.withDetails (stored rollup.Layout) (ReadOnlySpan(Rollup.packDetails rollup)) read
                    spreadsAgree (detailKinds rollup.Layout) rollup.Details read.Details)
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
                    let cutoff = Retention.firstSample now 48
                    let first, after = min a b, max a b
                    let stop = Retention.stepEnd first after

                    cutoff % 60_000_000L = 0L
                    && (now < 172_800_000_000L || now - cutoff >= 172_800_000_000L)
                    && now - cutoff < 172_800_000_000L + 60_000_000L
                    && stop % 60_000_000L = 0L
                    && stop > first)
        ]
