namespace Agent.Receiver

open System
open System.Collections.Generic
open System.Text.Json

/// Where the devices of one layout go, -1 for nowhere.
type private DetailMapping =
    {
        Devices: int[]
        /// Of each series as it was written: its place now, or -1.
        Series: int[]
        /// What a figure is multiplied by, to be in the steps of answers.
        Factors: float[]
        /// Which of the kinds that were written it is; -1 for none.
        Written: int
        /// Room to read a minute of it.
        Spreads: Spread[]
    }

/// Collects one kind of details along an axis, in the order of time, and writes them as the answer.
[<Sealed>]
type DetailHistory private (axis: Axis, kind: int, names: string[], leftOut: int) =
    let series = Details.all[kind].Series

    let spreads: Spread[][] =
        Array.init (names.Length * series.Length) (fun _ -> Array.create axis.Count Spread.none)

    let times: int64[] = Array.init axis.Count (fun bucket -> axis.Start + int64 bucket * axis.Step)
    let places = Dictionary<string, int>(names.Length, StringComparer.Ordinal)
    let sampleMaps = Dictionary<Layout, int[]>(HashIdentity.Reference)
    let minuteMaps = Dictionary<StoredLayout, DetailMapping>(HashIdentity.Reference)
    let mutable added = 0

    do names |> Array.iteri (fun place name -> places[name] <- place)

    let placesOf (layout: Layout) =
        layout.Details[kind]
        |> Array.map (fun name ->
            match places.TryGetValue name with
            | true, place -> place
            | _ -> -1)

    let mapOfSample (layout: Layout) =
        match sampleMaps.TryGetValue layout with
        | true, map -> map
        | _ ->
            // Somebody may make layouts up.
            if sampleMaps.Count >= DetailHistory.MostMapped then
                sampleMaps.Clear()

            let map = placesOf layout
            sampleMaps[layout] <- map
            map

    let mapping (stored: StoredLayout) : DetailMapping =
        let devices = placesOf stored.Layout

        match stored.Samples.Details |> Array.tryFindIndex (fun order -> order.Kind = kind) with
        | None ->
            {
                Devices = devices
                Series = [||]
                Factors = [||]
                Written = -1
                Spreads = [||]
            }
        | Some written ->
            let order = stored.Samples.Details[written]

            {
                Devices = devices
                Series = order.Series
                Factors = Array.map2 (fun place scale -> if place < 0 then 1.0 else series[place].Scale / scale) order.Series order.Scales
                Written = written
                Spreads = Array.zeroCreate (devices.Length * order.Series.Length)
            }

    let mapOfMinute (stored: StoredLayout) =
        match minuteMaps.TryGetValue stored with
        | true, map -> map
        | _ ->
            if minuteMaps.Count >= DetailHistory.MostMapped then
                minuteMaps.Clear()

            let map = mapping stored
            minuteMaps[stored] <- map
            map

    let bucketOf (at: int64) =
        if axis.Step > 0L then
            int ((at - axis.Start) / axis.Step)
        else
            added

    /// Layouts whose places are kept at a time.
    static member private MostMapped = 500

    /// Of the devices of these layouts, in the order in which they come, as many as an answer has.
    static member Of(axis: Axis, kind: int, layouts: seq<Layout>) : DetailHistory =
        let seen = HashSet<string>(StringComparer.Ordinal)
        let names = ResizeArray<string>()

        for layout in layouts do
            for name in layout.Details[kind] do
                if seen.Count < DeviceCensus.MostTracked && seen.Add name then
                    names.Add name

        let most =
            if Details.all[kind].IsNamed then
                Axis.MostDevices
            else
                Details.MostCores

        let shown = Seq.truncate most names |> Array.ofSeq
        let slots = shown.Length * Details.all[kind].Series.Length
        DetailHistory(Axis.within slots axis, kind, shown, names.Count - shown.Length)

    /// The axis.
    member _.Axis: Axis = axis

    /// What there is of one sample; samples come in the order of time.
    member _.Add(layout: Layout, point: Point) : unit =
        let bucket = bucketOf point.At

        if bucket >= 0 && bucket < axis.Count then
            let map = mapOfSample layout

            if axis.Step = 0L then
                times[bucket] <- point.At

            if point.Details.Length > 0 then
                let first = Details.firstOf layout.Details kind

                for device in 0 .. map.Length - 1 do
                    if map[device] >= 0 then
                        for offset in 0 .. series.Length - 1 do
                            let row = spreads[map[device] * series.Length + offset]
                            let value = point.Details[first + device * series.Length + offset] * series[offset].Scale
                            row[bucket] <- Spread.add value row[bucket]

            added <- added + 1

    /// What there is of one minute of so many samples, or of a quarter by its first, from the bytes in which its details are kept; they come in the order of time.
    member _.Add(minute: int64, stored: StoredLayout, samples: int, packed: ReadOnlySpan<byte>) : unit =
        let bucket = bucketOf (minute * RowKey.MicrosecondsPerMinute)

        if bucket >= 0 && bucket < axis.Count && not packed.IsEmpty then
            let map = mapOfMinute stored

            if map.Written >= 0 then
                let mutable position = 0

                for _ in 1 .. map.Written do
                    let other = Packing.nextKind packed &position
                    other.Length |> ignore

                Rollup.unpackKind samples map.Spreads (Packing.nextKind packed &position)

                for device in 0 .. map.Devices.Length - 1 do
                    if map.Devices[device] >= 0 then
                        for offset in 0 .. map.Series.Length - 1 do
                            let known = &map.Spreads[device * map.Series.Length + offset]

                            if known.Count > 0 && map.Series[offset] >= 0 then
                                let row = spreads[map.Devices[device] * series.Length + map.Series[offset]]
                                let factor = map.Factors[offset]

                                row[bucket] <-
                                    if factor = 1.0 then
                                        Spread.join row[bucket] known
                                    else
                                        Spread.join row[bucket] (Spread.map (fun steps -> steps * factor) known)

    /// What there is of a whole bucket that somebody else has put together: the spread of each figure of a layout's devices, device after device, in
    /// the figure's own unit.
    member _.AddBucket(bucket: int, layout: Layout, figures: Spread[]) : unit =
        if bucket >= 0 && bucket < axis.Count then
            let map = mapOfSample layout

            for device in 0 .. map.Length - 1 do
                if map[device] >= 0 then
                    for offset in 0 .. series.Length - 1 do
                        let row = spreads[map[device] * series.Length + offset]
                        let scale = series[offset].Scale

                        row[bucket] <-
                            Spread.join row[bucket] (Spread.map (fun value -> value * scale) figures[device * series.Length + offset])

    /// Writes the answer; `areDeltas` for rows of differences.
    member _.Write(writer: Utf8JsonWriter, server: string, areDeltas: bool) : unit =
        let rows = RowWriter axis
        rows.IsDelta <- areDeltas
        writer.WriteStartObject()
        rows.Head(writer, server, leftOut, times)
        writer.WriteString("details", Details.all[kind].Name)
        writer.WriteStartArray "devices"

        for device in 0 .. names.Length - 1 do
            writer.WriteStartObject()
            writer.WriteString("name", names[device])
            rows.Series(writer, series, spreads, device * series.Length)
            writer.WriteEndObject()

        writer.WriteEndArray()
        writer.WriteEndObject()
