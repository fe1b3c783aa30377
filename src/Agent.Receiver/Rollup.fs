namespace Agent.Receiver

open System
open System.Collections.Generic
open Agent.Core

/// What one figure did over a while.
[<Struct>]
type Spread =
    {
        /// How many samples knew it.
        Count: int
        /// Their mean; without meaning when there are none.
        Mean: float
        /// Their least.
        Min: float
        /// Their greatest.
        Max: float
    }

/// Joining spreads.
[<RequireQualifiedAccess>]
module Spread =
    /// Of nothing.
    let none: Spread =
        {
            Count = 0
            Mean = 0.0
            Min = 0.0
            Max = 0.0
        }

    /// With one more value; NaN changes nothing.
    let add (value: float) (spread: Spread) : Spread =
        if Double.IsNaN value then
            spread
        elif spread.Count = 0 then
            {
                Count = 1
                Mean = value
                Min = value
                Max = value
            }
        else
            let count = spread.Count + 1

            {
                Count = count
                Mean = spread.Mean + (value - spread.Mean) / float count
                Min = min spread.Min value
                Max = max spread.Max value
            }

    /// The same in other units.
    let map (convert: float -> float) (spread: Spread) : Spread =
        { spread with
            Mean = convert spread.Mean
            Min = convert spread.Min
            Max = convert spread.Max
        }

    /// Of both together.
    let join (one: Spread) (other: Spread) : Spread =
        if one.Count = 0 then
            other
        elif other.Count = 0 then
            one
        else
            let count = one.Count + other.Count

            {
                Count = count
                Mean = one.Mean + (other.Mean - one.Mean) * (float other.Count / float count)
                Min = min one.Min other.Min
                Max = max one.Max other.Max
            }

/// Samples of a while, put together: a minute of one server, or more.
type Rollup =
    {
        /// How many samples.
        Samples: int
        /// The devices of all of them.
        Layout: Layout
        /// By slot.
        Spreads: Spread[]
        /// Every bit that was set, of each GPU.
        Throttle: int64[]
        /// Seconds for which each label stood, by its code.
        LabelSeconds: float[]
        /// Of `Details`, by slot.
        Details: Spread[]
    }

/// Puts points of one layout together, one after the other.
[<Sealed>]
type RollupBuilder(layout: Layout) =
    let spreads = Array.create (Series.slots layout) Spread.none
    let throttle = Array.zeroCreate layout.Gpus.Length
    let seconds = Array.zeroCreate BottleneckLabel.All.Length
    let details = Array.create (Details.slots layout.Details) Spread.none
    let mutable samples = 0

    /// The devices of all points.
    member _.Layout = layout

    /// How many points it has taken.
    member _.Samples: int = samples

    /// Takes one more point.
    member _.Add(point: Point) : unit =
        samples <- samples + 1

        for slot in 0 .. spreads.Length - 1 do
            spreads[slot] <- Spread.add point.Values[slot] spreads[slot]

        for gpu in 0 .. throttle.Length - 1 do
            throttle[gpu] <- throttle[gpu] ||| point.Throttle[gpu]

        for slot in 0 .. point.Details.Length - 1 do
            details[slot] <- Spread.add point.Details[slot] details[slot]

        seconds[point.Label] <- seconds[point.Label] + point.Covers

    /// All of them together. Its arrays are the builder's own: nothing is added any more.
    member _.Rollup: Rollup =
        {
            Samples = samples
            Layout = layout
            Spreads = spreads
            Throttle = throttle
            LabelSeconds = seconds
            Details = details
        }

/// Putting samples together. Figures belong to devices, and devices come and go, hence the mapping of slots.
[<RequireQualifiedAccess>]
module Rollup =
    /// Up to so many devices going through them is faster than a table, and usual; somebody may send hundreds.
    [<Literal>]
    let private Few = 32

    /// The position of a device in a list; -1 if it is not there.
    let private placeIn (devices: 'a[]) : 'a -> int =
        if devices.Length <= Few then
            fun device -> Array.IndexOf(devices, device)
        else
            let places = Dictionary<'a, int>(devices.Length)

            devices
            |> Array.iteri (fun place device -> places.TryAdd(device, place) |> ignore)

            fun device ->
                match places.TryGetValue device with
                | true, place -> place
                | _ -> -1

    let private together (firsts: 'a[]) (seconds: 'a[]) =
        let place = placeIn firsts
        Array.append firsts (seconds |> Array.filter (fun entry -> place entry < 0))

    /// The layout of both together: what the first has, then what only the second has.
    let joinLayouts (one: Layout) (other: Layout) : Layout =
        if obj.ReferenceEquals(one, other) || one = other then
            one
        else

            {
                Disks = together one.Disks other.Disks
                Gpus = together one.Gpus other.Gpus
                Fans = together one.Fans other.Fans
                Details = Array.map2 together one.Details other.Details
            }

    /// Where each slot of `source` lies in `target`; -1 for those of devices that it does not have.
    let slotMap (source: Layout) (target: Layout) : int[] =
        let map = Array.init (Series.slots source) id

        let place (sourceFirst: int -> int) (targetFirst: int -> int) (length: int) (devices: 'a[]) (others: 'a[]) =
            let placeOf = placeIn others

            devices
            |> Array.iteri (fun position device ->
                let there = placeOf device

                for offset in 0 .. length - 1 do
                    map[sourceFirst position + offset] <- if there < 0 then -1 else targetFirst there + offset)

        place Series.firstOfDisk Series.firstOfDisk Series.disk.Length source.Disks target.Disks
        place (Series.firstOfGpu source) (Series.firstOfGpu target) Series.gpu.Length source.Gpus target.Gpus
        place (Series.firstOfFan source) (Series.firstOfFan target) Series.fan.Length source.Fans target.Fans
        map

    /// Where each GPU of `source` lies in `target`; -1 for nowhere.
    let gpuMap (source: Layout) (target: Layout) : int[] =
        source.Gpus |> Array.map (placeIn target.Gpus)

    /// Where each slot of details of `source` lies in `target`, which has all of its devices.
    let private detailMap (source: string[][]) (target: string[][]) : int[] =
        let map = Array.zeroCreate (Details.slots source)

        for kind in 0 .. Details.all.Length - 1 do
            let length = Details.all[kind].Series.Length
            let first, there = Details.firstOf source kind, Details.firstOf target kind
            let placeOf = placeIn target[kind]

            source[kind]
            |> Array.iteri (fun position name ->
                let place = placeOf name

                for offset in 0 .. length - 1 do
                    map[first + position * length + offset] <- there + place * length + offset)

        map

    /// Of no sample.
    let empty: Rollup =
        {
            Samples = 0
            Layout = Layout.empty
            Spreads = Array.create (Series.slots Layout.empty) Spread.none
            Throttle = [||]
            LabelSeconds = Array.zeroCreate BottleneckLabel.All.Length
            Details = [||]
        }

    /// The same with room for the devices of another layout.
    let private widened (layout: Layout) (rollup: Rollup) : Rollup =
        let joined = joinLayouts rollup.Layout layout

        if obj.ReferenceEquals(joined, rollup.Layout) then
            rollup
        else
            let spreads = Array.create (Series.slots joined) Spread.none
            let throttle = Array.zeroCreate joined.Gpus.Length
            let details = Array.create (Details.slots joined.Details) Spread.none

            detailMap rollup.Layout.Details joined.Details
            |> Array.iteri (fun slot place -> details[place] <- rollup.Details[slot])

            slotMap rollup.Layout joined
            |> Array.iteri (fun slot place -> spreads[place] <- rollup.Spreads[slot])

            gpuMap rollup.Layout joined
            |> Array.iteri (fun gpu place -> throttle[place] <- rollup.Throttle[gpu])

            { rollup with
                Layout = joined
                Spreads = spreads
                Throttle = throttle
                Details = details
            }

    /// Both together.
    [<CompiledName "Join">]
    let join (one: Rollup) (other: Rollup) : Rollup =
        let wide = widened other.Layout one
        let spreads = Array.copy wide.Spreads
        let throttle = Array.copy wide.Throttle
        let details = Array.copy wide.Details

        detailMap other.Layout.Details wide.Layout.Details
        |> Array.iteri (fun slot place -> details[place] <- Spread.join details[place] other.Details[slot])

        slotMap other.Layout wide.Layout
        |> Array.iteri (fun slot place -> spreads[place] <- Spread.join spreads[place] other.Spreads[slot])

        gpuMap other.Layout wide.Layout
        |> Array.iteri (fun gpu place -> throttle[place] <- throttle[place] ||| other.Throttle[gpu])

        {
            Samples = one.Samples + other.Samples
            Layout = wide.Layout
            Spreads = spreads
            Throttle = throttle
            LabelSeconds = Array.map2 (+) one.LabelSeconds other.LabelSeconds
            Details = details
        }

    /// Points of one layout, put together.
    let private ofAlike (layout: Layout) (points: Point[]) : Rollup =
        let builder = RollupBuilder layout
        points |> Array.iter builder.Add
        builder.Rollup

    /// Points put together, each with its layout.
    [<CompiledName "OfPoints">]
    let ofPoints (points: (struct (Layout * Point))[]) : Rollup =
        points
        |> Array.groupBy (fun (struct (layout, _)) -> layout)
        |> Array.map (fun (layout, points) -> ofAlike layout (points |> Array.map (fun (struct (_, point)) -> point)))
        |> Array.fold join empty

    // ---- the bytes of a minute -------------------------------------------------------------------------------------------

    let private largest = 4.0e18

    let private units (scale: float) (value: float) : int64 =
        int64 (Math.Clamp(Math.Round(value * scale), -largest, largest))

    /// The bytes in which a minute is kept: how many samples; the seconds of each label in milliseconds; the bits of each GPU; and
    /// of each slot 0 where nobody knew it, else how many did not know it plus 1, the least, how far the greatest is above it, and
    /// how far the mean is.
    [<CompiledName "Pack">]
    let pack (rollup: Rollup) : byte[] =
        let packer = Packer()
        packer.Unsigned(uint64 rollup.Samples)
        packer.Unsigned(uint64 rollup.LabelSeconds.Length)

        for seconds in rollup.LabelSeconds do
            packer.Unsigned(uint64 (Math.Round(seconds * 1000.0)))

        for bits in rollup.Throttle do
            packer.Unsigned(uint64 bits)

        let kinds = Series.kindsOf rollup.Layout

        for slot in 0 .. kinds.Length - 1 do
            let spread = rollup.Spreads[slot]

            if spread.Count = 0 then
                packer.Unsigned 0UL
            else
                let scale = kinds[slot].Scale
                let least = units scale spread.Min
                packer.Unsigned(uint64 (rollup.Samples - spread.Count + 1))
                packer.Unsigned(Packing.zigzag least)
                packer.Unsigned(uint64 (max 0L (units scale spread.Max - least)))
                packer.Unsigned(uint64 (max 0L (units scale spread.Mean - least)))

        packer.ToArray()

    /// Reads what was packed into arrays that are there: the spreads in the order in which they were written, as whole numbers of the
    /// steps that they were written in. How many samples they were.
    let unpackInto (spreads: Spread[]) (throttle: int64[]) (labelSeconds: float[]) (bytes: ReadOnlySpan<byte>) : int =
        let mutable position = 0
        let samples = int (Packing.unsigned bytes &position)
        let labels = int (min (Packing.unsigned bytes &position) 255UL)

        for label in 0 .. labels - 1 do
            let milliseconds = Packing.unsigned bytes &position

            if label < labelSeconds.Length then
                labelSeconds[label] <- float milliseconds / 1000.0

        for gpu in 0 .. throttle.Length - 1 do
            throttle[gpu] <- int64 (Packing.unsigned bytes &position)

        for slot in 0 .. spreads.Length - 1 do
            spreads[slot] <-
                match Packing.unsigned bytes &position with
                | 0UL -> Spread.none
                | missing ->
                    let least = Packing.unzigzag (Packing.unsigned bytes &position)
                    let above = int64 (Packing.unsigned bytes &position)
                    let mean = int64 (Packing.unsigned bytes &position)

                    {
                        Count = samples - int missing + 1
                        Mean = float (least + mean)
                        Min = float least
                        Max = float (least + above)
                    }

        samples

    /// The roll-up that was packed, but for what its steps rounded off.
    [<CompiledName "Unpack">]
    let unpack (stored: StoredLayout) (bytes: ReadOnlySpan<byte>) : Rollup =
        let read = Array.zeroCreate stored.Slots.Length
        let throttle = Array.zeroCreate stored.Layout.Gpus.Length
        let seconds = Array.zeroCreate BottleneckLabel.All.Length
        let samples = unpackInto read throttle seconds bytes
        let spreads = Array.create (Series.slots stored.Layout) Spread.none

        for slot in 0 .. read.Length - 1 do
            let place = stored.Slots[slot]

            if place >= 0 then
                spreads[place] <- Spread.map (fun steps -> steps / stored.Scales[slot]) read[slot]

        {
            Samples = samples
            Layout = stored.Layout
            Spreads = spreads
            Throttle = throttle
            LabelSeconds = seconds
            Details = Array.create (Details.slots stored.Layout.Details) Spread.none
        }

    // ---- details ---------------------------------------------------------------------------------------------------------

    /// The bytes of the details of a minute, kind after kind: of each figure 0 where nobody knew it; else twice how many did not know
    /// it plus 2, one more where it never changed, and the least; and where it changed how far the greatest is above the least, and the mean.
    [<CompiledName "PackDetails">]
    let packDetails (rollup: Rollup) : byte[] =
        let packKind (kind: int) (packer: Packer) =
            let series = Details.all[kind].Series
            let first = Details.firstOf rollup.Layout.Details kind

            for place in 0 .. rollup.Layout.Details[kind].Length * series.Length - 1 do
                let spread = rollup.Details[first + place]

                if spread.Count = 0 then
                    packer.Unsigned 0UL
                else
                    let scale = series[place % series.Length].Scale
                    let least = units scale spread.Min
                    let above = max 0L (units scale spread.Max - least)
                    let missing = uint64 (rollup.Samples - spread.Count + 1) * 2UL
                    packer.Unsigned(if above = 0L then missing + 1UL else missing)
                    packer.Unsigned(Packing.zigzag least)

                    if above > 0L then
                        packer.Unsigned(uint64 above)
                        packer.Unsigned(uint64 (max 0L (units scale spread.Mean - least)))

        Packing.packDetails (fun kind -> rollup.Layout.Details[kind].Length) packKind

    /// Reads one kind of what `packDetails` wrote of so many samples: the spreads of so many devices, series after series as it was
    /// written, in whole steps.
    let internal unpackKind (samples: int) (spreads: Spread[]) (bytes: ReadOnlySpan<byte>) : unit =
        let mutable position = 0

        for slot in 0 .. spreads.Length - 1 do
            spreads[slot] <-
                match Packing.unsigned bytes &position with
                | 0UL -> Spread.none
                | code ->
                    let least = Packing.unzigzag (Packing.unsigned bytes &position)
                    let isConstant = code &&& 1UL = 1UL

                    let above =
                        if isConstant then
                            0L
                        else
                            int64 (Packing.unsigned bytes &position)

                    let mean =
                        if isConstant then
                            0L
                        else
                            int64 (Packing.unsigned bytes &position)

                    {
                        Count = max 1 (samples - int (code / 2UL) + 1)
                        Mean = float (least + mean)
                        Min = float least
                        Max = float (least + above)
                    }

    /// A roll-up with its details, from the bytes that they were packed in.
    [<CompiledName "WithDetails">]
    let withDetails (stored: StoredLayout) (bytes: ReadOnlySpan<byte>) (rollup: Rollup) : Rollup =
        let details = Array.create (Details.slots stored.Layout.Details) Spread.none
        let mutable position = 0

        if not bytes.IsEmpty then
            for order in stored.Samples.Details do
                let own = Packing.nextKind bytes &position

                if order.Kind >= 0 then
                    let devices = stored.Layout.Details[order.Kind].Length
                    let now = Details.all[order.Kind].Series.Length
                    let first = Details.firstOf stored.Layout.Details order.Kind
                    let read = Array.zeroCreate (devices * order.Series.Length)
                    unpackKind rollup.Samples read own

                    for place in 0 .. read.Length - 1 do
                        let series = order.Series[place % order.Series.Length]

                        if series >= 0 then
                            let scale = order.Scales[place % order.Series.Length]

                            details[first + place / order.Series.Length * now + series] <-
                                Spread.map (fun steps -> steps / scale) read[place]

        { rollup with Details = details }
