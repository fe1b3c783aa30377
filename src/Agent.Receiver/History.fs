namespace Agent.Receiver

open System
open System.Buffers.Text
open System.Collections.Generic
open System.Globalization
open System.Text.Json
open Agent.Core
open Agent.Core.Gpu

/// How a range of time is cut up. All times are microseconds from 2000-01-01.
type Axis =
    {
        /// The first instant.
        From: int64
        /// The last instant.
        To: int64
        /// True when samples are read, false for minutes.
        IsRaw: bool
        /// The length of a bucket; 0 where each sample has its own.
        Step: int64
        /// Where the first bucket starts; a multiple of the step.
        Start: int64
        /// How many buckets.
        Count: int
    }

/// Choosing an axis. Peaks survive: a bucket of several samples has their least and their greatest.
[<RequireQualifiedAccess>]
module Axis =
    /// How long samples are kept, unless `serve` says otherwise.
    [<Literal>]
    let RawHours = 48

    /// Buckets that have a least, a mean and a greatest.
    [<Literal>]
    let MostBuckets = 750

    /// Buckets of one sample each.
    [<Literal>]
    let MostSamples = 1500

    /// More samples than this are not read for one answer; their minutes are.
    [<Literal>]
    let MostRead = 4000

    /// From so many minutes on samples are not read: as many minutes are points enough for any chart, with the same peaks, and a
    /// thirtieth of what there would be to read at a sample every two seconds.
    [<Literal>]
    let EnoughMinutes = 120

    /// A history shows so many devices at most; it is those that were used most.
    [<Literal>]
    let MostDevices = 256

    /// A history has so many cells at most: figures times buckets. A machine with hundreds of devices gets longer buckets.
    [<Literal>]
    let MostCells = 200_000

    /// The longest range, in minutes: 14 days.
    [<Literal>]
    let LongestMinutes = 20160

    let private second = 1_000_000L

    /// Lengths of buckets, in seconds, that divide the next longer ones or the day.
    let private steps =
        [|
            1
            2
            5
            10
            15
            20
            30
            60
            120
            180
            300
            600
            900
            1200
            1800
            3600
            7200
            14400
        |]
        |> Array.map (fun seconds -> int64 seconds * second)

    let private floorTo (step: int64) (value: int64) = value - value % step

    let private bucketsOf step from until =
        int ((floorTo step until - floorTo step from) / step) + 1

    let private divided isRaw (shortest: int64) (most: int) (from: int64) (until: int64) : Axis =
        let step =
            steps
            |> Array.tryFind (fun step -> step >= shortest && bucketsOf step from until <= most)
            |> Option.defaultValue (Array.last steps)

        {
            From = from
            To = until
            IsRaw = isRaw
            Step = step
            Start = floorTo step from
            Count = min MostBuckets (bucketsOf step from until)
        }

    /// Whether samples are kept for all of the range, and it is short enough for them to be read.
    [<CompiledName "PrefersRaw">]
    let prefersRaw (from: int64) (until: int64) (now: int64) (rawHours: int) : bool =
        until - from < int64 EnoughMinutes * RowKey.MicrosecondsPerMinute
        && from >= now - int64 rawHours * 3600L * second

    /// The axis over so many samples, or over the minutes when that is too many.
    [<CompiledName "OfSamples">]
    let ofSamples (from: int64) (until: int64) (samples: int) : Axis =
        if samples <= MostSamples then
            {
                From = from
                To = until
                IsRaw = true
                Step = 0L
                Start = from
                Count = samples
            }
        elif samples <= MostRead then
            divided true second MostBuckets from until
        else
            divided false RowKey.MicrosecondsPerMinute MostBuckets from until

    /// The axis over minutes.
    [<CompiledName "OfMinutes">]
    let ofMinutes (from: int64) (until: int64) : Axis =
        divided false RowKey.MicrosecondsPerMinute MostBuckets from until

    /// The same stretch in longer buckets, where so many figures of each would be too many cells.
    [<CompiledName "Within">]
    let within (slots: int) (axis: Axis) : Axis =
        let most = MostCells / max 1 slots

        if axis.Count <= most then
            axis
        else
            divided axis.IsRaw (max second axis.Step) (min MostBuckets most) axis.From axis.To

/// What a history is asked for.
[<Struct>]
type HistoryRange =
    {
        /// So many minutes.
        Minutes: int
        /// Up to here; none for now.
        Until: DateTimeOffset voption
    }

/// A list of numbers as JSON. A history is a hundred thousand of them: a writer's care for each costs more than its digits.
[<Sealed>]
type internal NumberList(capacity: int) =
    // No number is longer than its sign, 17 digits, a point and an exponent.
    let bytes = Array.zeroCreate<byte>(32 * capacity + 2)
    let mutable length = 0

    let put (value: byte) =
        bytes[length] <- value
        length <- length + 1

    let rest () =
        Span(bytes, length, bytes.Length - length)

    /// Empties it.
    member _.Start() =
        length <- 0
        put '['B

    member private _.Separate() =
        if length > 1 then
            put ','B

    /// Adds null.
    member list.Null() =
        list.Separate()
        "null"B.CopyTo(bytes, length)
        length <- length + 4

    /// Adds so many steps of 1/scale, rounded to whole ones, with no more digits than it needs; the scale is 1, 10 or 100.
    member list.Number(scale: float, steps: float) =
        let units = Math.Round steps
        let mutable written = 0

        if not (Double.IsFinite units) then
            list.Null()
        elif abs units >= 9.0e15 then
            list.Separate()
            Utf8Formatter.TryFormat(units / scale, rest (), &written) |> ignore
            length <- length + written
        else
            list.Separate()
            let parts = int64 scale
            let magnitude = abs (int64 units)

            if units < 0.0 then
                put '-'B

            Utf8Formatter.TryFormat(magnitude / parts, rest (), &written) |> ignore
            length <- length + written
            let mutable fraction = magnitude % parts
            let mutable place = parts

            if fraction > 0L then
                put '.'B

            while fraction > 0L do
                place <- place / 10L
                put ('0'B + byte (fraction / place))
                fraction <- fraction % place

    /// Adds a whole number.
    member list.Whole(value: int64) =
        let mutable written = 0
        list.Separate()
        Utf8Formatter.TryFormat(value, rest (), &written) |> ignore
        length <- length + written

    /// The text of the list.
    member _.End() : ReadOnlySpan<byte> =
        put ']'B
        ReadOnlySpan(bytes, 0, length)

/// Writes rows of figures along an axis: as they are, or as differences.
[<Sealed>]
type internal RowWriter(axis: Axis) =
    let numbers = NumberList axis.Count

    /// Whether rows are differences, which compress to less: docs/dashboard-api.md.
    member val IsDelta = false with get, set

    member private _.Row(writer: Utf8JsonWriter, name: string, scale: float, row: Spread[], figure: int) =
        writer.WritePropertyName name
        numbers.Start()

        for bucket in 0 .. row.Length - 1 do
            if row[bucket].Count = 0 then
                numbers.Null()
            else
                numbers.Number(
                    scale,
                    match figure with
                    | 0 -> row[bucket].Mean
                    | 1 -> row[bucket].Min
                    | _ -> row[bucket].Max
                )

        writer.WriteRawValue(numbers.End(), true)

    /// Whether sums of a row's differences come out exactly, in JavaScript's numbers too.
    static member private IsExact(row: Spread[]) : bool =
        row
        |> Array.forall (fun spread ->
            spread.Count = 0
            || abs spread.Mean < 9.0e15 && abs spread.Min < 9.0e15 && abs spread.Max < 9.0e15)

    /// A row of differences in whole steps, from each bucket that is known.
    member private _.Differences(writer: Utf8JsonWriter, name: string, row: Spread[], difference: Spread -> int64) =
        writer.WritePropertyName name
        numbers.Start()

        for spread in row do
            if spread.Count = 0 then
                numbers.Null()
            else
                numbers.Whole(difference spread)

        writer.WriteRawValue(numbers.End(), true)

    member private rows.Deltas(writer: Utf8JsonWriter, scale: float, row: Spread[]) =
        let steps (value: float) = int64 (Math.Round value)
        let before = ref 0L
        writer.WriteNumber("scale", int scale)

        rows.Differences(
            writer,
            "mean",
            row,
            fun spread ->
                let difference = steps spread.Mean - before.Value
                before.Value <- steps spread.Mean
                difference
        )

        if axis.Step > 0L then
            rows.Differences(writer, "below", row, (fun spread -> steps spread.Mean - steps spread.Min))
            rows.Differences(writer, "above", row, (fun spread -> steps spread.Max - steps spread.Mean))

    /// The series of one thing, of which `spreads` has the rows from `first` on, in steps of each figure's scale.
    member rows.Series(writer: Utf8JsonWriter, kinds: SeriesKind[], spreads: Spread[][], first: int) =
        writer.WriteStartObject "series"

        for offset in 0 .. kinds.Length - 1 do
            let kind = kinds[offset]
            let row = spreads[first + offset]
            writer.WriteStartObject kind.Name

            if rows.IsDelta && RowWriter.IsExact row then
                rows.Deltas(writer, kind.Scale, row)
            else
                rows.Row(writer, "mean", kind.Scale, row, 0)

                if axis.Step > 0L then
                    rows.Row(writer, "min", kind.Scale, row, 1)
                    rows.Row(writer, "max", kind.Scale, row, 2)

            writer.WriteEndObject()

        writer.WriteEndObject()

    /// Where on the axis rows are, and when: what each answer begins with, up to `time`.
    member rows.Head(writer: Utf8JsonWriter, server: string, leftOut: int, times: int64[]) =
        writer.WriteString("server", server)
        writer.WriteString("from", Wire.instant (RowKey.instant axis.From))
        writer.WriteString("to", Wire.instant (RowKey.instant axis.To))
        writer.WriteString("source", (if axis.IsRaw then "raw" else "minute"))

        writer.WriteNumber(
            "bucket_seconds",
            if axis.Step > 0L then
                float axis.Step / 1e6
            elif axis.Count > 1 then
                Math.Round(float (times[axis.Count - 1] - times[0]) / float (axis.Count - 1) / 1e6, 3)
            else
                0.0
        )

        writer.WriteNumber("devices_left_out", leftOut)
        writer.WriteStartArray "time"

        let mutable before = 0L

        for at in times do
            let time = (RowKey.instant at).ToUnixTimeMilliseconds()
            writer.WriteNumberValue(time - before)
            before <- if rows.IsDelta then time else 0L

        writer.WriteEndArray()

/// Where the figures of one layout go, -1 for nowhere, and room to read a minute of it.
type private Mapping =
    {
        Slots: int[]
        Gpus: int[]
        /// What a figure is multiplied by: a sample's by the steps of answers, a minute's by how those differ from its own.
        Factors: float[]
        Spreads: Spread[]
        Throttle: int64[]
    }

/// Collects samples or minutes along an axis, in the order of time, and writes them as the answer. Where there are more devices than are
/// shown, it is told which ones are; else it shows those that it comes across.
[<Sealed>]
type History(axis: Axis, choice: DeviceChoice voption) =
    let labels = BottleneckLabel.All.Length

    let mutable layout =
        match choice with
        | ValueSome choice -> choice.Devices
        | ValueNone -> Layout.empty

    // In steps of each figure's scale, as minutes are kept and answers are given.
    let mutable spreads: Spread[][] =
        Array.init (Series.slots layout) (fun _ -> Array.create axis.Count Spread.none)

    let mutable throttle: int64[][] = Array.init layout.Gpus.Length (fun _ -> Array.zeroCreate axis.Count)
    let seconds: float[] = Array.zeroCreate (axis.Count * labels)
    let verdicts = VerdictLabel.All.Length
    let verdictSeconds: float[] = Array.zeroCreate (axis.Count * verdicts)
    let minuteVerdicts: float[] = Array.zeroCreate verdicts
    // Of the newest sample of each label in each bucket: its verdict is put into words only where a run ends with it.
    let judged: BottleneckInputs[] = Array.zeroCreate (if axis.IsRaw then axis.Count * labels else 0)

    let times: int64[] = Array.init axis.Count (fun bucket -> axis.Start + int64 bucket * axis.Step)
    // Where a bucket of one sample begins: that of one sample may begin before its own time, as what it says does.
    let starts: int64[] = Array.copy times
    let filled: bool[] = Array.zeroCreate axis.Count
    // Of minutes: how many samples each bucket has.
    let counts: int[] = Array.zeroCreate axis.Count
    let sampleMaps = Dictionary<Layout, Mapping>(HashIdentity.Reference)
    let minuteMaps = Dictionary<StoredLayout, Mapping>(HashIdentity.Reference)
    let minuteSeconds: float[] = Array.zeroCreate labels
    let rows = RowWriter axis
    // The most devices of each kind of details in any row: they are told, and read apart.
    let details: int[] = Array.zeroCreate Details.all.Length
    let mutable added = 0
    let mutable mapped = 0
    let mutable throttled = 0

    /// Makes room for another mapping: they are kept for as long as layouts are few, which they are but where somebody makes them up.
    let room (slots: int) =
        mapped <- mapped + slots

        if mapped > History.MostMapped then
            mapped <- slots
            sampleMaps.Clear()
            minuteMaps.Clear()

    /// Makes room for the devices of a layout, unless it is settled which ones are shown.
    let widen (source: Layout) =
        let joined =
            match choice with
            | ValueSome _ -> layout
            | ValueNone -> Rollup.joinLayouts layout source

        if not (obj.ReferenceEquals(joined, layout)) then
            let wider: Spread[][] = Array.zeroCreate (Series.slots joined)
            let wide = Array.zeroCreate joined.Gpus.Length

            Rollup.slotMap layout joined
            |> Array.iteri (fun slot place -> wider[place] <- spreads[slot])

            Rollup.gpuMap layout joined
            |> Array.iteri (fun gpu place -> wide[place] <- throttle[gpu])

            layout <- joined

            spreads <-
                wider
                |> Array.map (fun row ->
                    if isNull (box row) then
                        Array.create axis.Count Spread.none
                    else
                        row)

            throttle <-
                wide
                |> Array.map (fun row ->
                    if isNull (box row) then
                        Array.zeroCreate axis.Count
                    else
                        row)

            // The places of all others have changed.
            sampleMaps.Clear()
            minuteMaps.Clear()

    let mapping (source: Layout) (slots: int[]) (factors: float[]) =
        room slots.Length

        for kind in 0 .. details.Length - 1 do
            details[kind] <- max details[kind] source.Details[kind].Length

        {
            Slots = slots
            Gpus = Rollup.gpuMap source layout
            Factors = factors
            Spreads = Array.zeroCreate slots.Length
            Throttle = Array.zeroCreate source.Gpus.Length
        }

    let scalesOf (source: Layout) =
        Series.kindsOf source |> Array.map _.Scale

    /// Where the figures of a sample go.
    let mapOfSample (source: Layout) : Mapping =
        match sampleMaps.TryGetValue source with
        | true, map -> map
        | _ ->
            widen source
            let map = mapping source (Rollup.slotMap source layout) (scalesOf source)
            sampleMaps[source] <- map
            map

    /// Where the figures of a minute go.
    let mapOfMinute (source: StoredLayout) : Mapping =
        match minuteMaps.TryGetValue source with
        | true, map -> map
        | _ ->
            widen source.Layout
            let places = Rollup.slotMap source.Layout layout
            let scales = scalesOf source.Layout

            let factors =
                Array.map2 (fun slot scale -> if slot < 0 then 1.0 else scales[slot] / scale) source.Slots source.Scales

            let slots = source.Slots |> Array.map (fun slot -> if slot < 0 then -1 else places[slot])

            let map = mapping source.Layout slots factors
            minuteMaps[source] <- map
            map

    let bucketOf (at: int64) =
        if axis.Step > 0L then
            int ((at - axis.Start) / axis.Step)
        else
            added

    /// Figures of the mappings that are kept at a time.
    static member private MostMapped = 100_000

    /// Runs of throttling that an answer has at most: their reasons are texts.
    static member private MostThrottled = 5_000

    /// Of devices as they come, which are not more than are shown.
    new(axis: Axis) = History(axis, ValueNone)

    /// The axis.
    member _.Axis: Axis = axis

    /// What there is to chart of one sample; samples come in the order of time. Where minutes are charted, it is one of those whose
    /// minute is not rolled up yet.
    member _.Add(source: Layout, point: Point, inputs: BottleneckInputs, said: VerdictPoint) : unit =
        let bucket = bucketOf point.At

        if bucket >= 0 && bucket < axis.Count then
            let map = mapOfSample source
            filled[bucket] <- true
            counts[bucket] <- counts[bucket] + 1

            if axis.Step = 0L then
                times[bucket] <- point.At
                starts[bucket] <- point.At - int64 (point.Covers * 1e6)

            for slot in 0 .. map.Slots.Length - 1 do
                if map.Slots[slot] >= 0 then
                    let row = spreads[map.Slots[slot]]
                    row[bucket] <- Spread.add (point.Values[slot] * map.Factors[slot]) row[bucket]

            for gpu in 0 .. map.Gpus.Length - 1 do
                if map.Gpus[gpu] >= 0 then
                    let row = throttle[map.Gpus[gpu]]
                    row[bucket] <- row[bucket] ||| point.Throttle[gpu]

            if said.Label >= 0 then
                let place = bucket * verdicts + said.Label
                verdictSeconds[place] <- verdictSeconds[place] + max point.Covers 0.001

            let place = bucket * labels + point.Label

            if axis.IsRaw then
                // A first sample stands for itself, however short that is.
                seconds[place] <- seconds[place] + max point.Covers 0.001
                judged[place] <- inputs
            else
                seconds[place] <- seconds[place] + point.Covers

            added <- added + 1

    /// What there is to chart of one minute, or of a quarter by its first, from the bytes in which its figures and its verdicts are kept; they come in
    /// the order of time.
    member _.Add(minute: int64, source: StoredLayout, packed: ReadOnlySpan<byte>, said: ReadOnlySpan<byte>) : unit =
        let bucket = bucketOf (minute * RowKey.MicrosecondsPerMinute)

        if bucket >= 0 && bucket < axis.Count then
            let map = mapOfMinute source
            filled[bucket] <- true
            Array.Clear minuteSeconds

            counts[bucket] <- counts[bucket] + Rollup.unpackInto map.Spreads map.Throttle minuteSeconds packed

            for slot in 0 .. map.Slots.Length - 1 do
                let known = &map.Spreads[slot]
                let place = map.Slots[slot]

                if known.Count > 0 && place >= 0 then
                    let row = spreads[place]
                    let factor = map.Factors[slot]

                    row[bucket] <-
                        if factor = 1.0 then
                            Spread.join row[bucket] known
                        else
                            Spread.join row[bucket] (Spread.map (fun steps -> steps * factor) known)

            for gpu in 0 .. map.Gpus.Length - 1 do
                if map.Gpus[gpu] >= 0 then
                    let row = throttle[map.Gpus[gpu]]
                    row[bucket] <- row[bucket] ||| map.Throttle[gpu]

            for label in 0 .. labels - 1 do
                let place = bucket * labels + label
                seconds[place] <- seconds[place] + minuteSeconds[label]

            if said.Length > 0 then
                Array.Clear minuteVerdicts
                VerdictMinute.addLabels minuteVerdicts said

                for label in 0 .. verdicts - 1 do
                    let place = bucket * verdicts + label
                    verdictSeconds[place] <- verdictSeconds[place] + minuteVerdicts[label]

    /// What there is to chart of a whole bucket that somebody else has put together: of so many samples the spread of each figure, by slot and in
    /// the figure's own unit, and how many seconds each label and each verdict stood.
    member _.AddBucket
        (bucket: int, source: Layout, samples: int, figures: Spread[], bits: int64[], labelSeconds: float[], said: float[])
        : unit =
        if bucket >= 0 && bucket < axis.Count then
            let map = mapOfSample source
            filled[bucket] <- true
            counts[bucket] <- counts[bucket] + samples

            for slot in 0 .. map.Slots.Length - 1 do
                let place = map.Slots[slot]

                if place >= 0 then
                    let row = spreads[place]
                    let factor = map.Factors[slot]
                    row[bucket] <- Spread.join row[bucket] (Spread.map (fun value -> value * factor) figures[slot])

            for gpu in 0 .. map.Gpus.Length - 1 do
                if map.Gpus[gpu] >= 0 then
                    let row = throttle[map.Gpus[gpu]]
                    row[bucket] <- row[bucket] ||| bits[gpu]

            for label in 0 .. labels - 1 do
                let place = bucket * labels + label
                seconds[place] <- seconds[place] + labelSeconds[label]

            for label in 0 .. verdicts - 1 do
                let place = bucket * verdicts + label
                verdictSeconds[place] <- verdictSeconds[place] + said[label]

    // ---- the answer ------------------------------------------------------------------------------------------------------

    static member private Instant(at: int64) : string = Wire.instant (RowKey.instant at)

    member private _.EndOf(bucket: int) =
        if axis.Step > 0L then
            min (times[bucket] + axis.Step) axis.To
        else
            times[bucket]

    /// Neighbouring buckets for which a key is the same, with that key; `none` ends a run. A run's last bucket comes along.
    member private history.Runs(key: int -> int64, none: int64) : (struct (int * int * int64)) list =
        let touches bucket =
            filled[bucket]
            && filled[bucket - 1]
            && (axis.Step > 0L || starts[bucket] - times[bucket - 1] < 1_000_000L)

        let mutable runs = []
        let mutable first = 0

        for bucket in 1 .. axis.Count do
            let goesOn = bucket < axis.Count && key bucket = key first && touches bucket

            if not goesOn then
                if filled[first] && key first <> none then
                    runs <- struct (first, bucket - 1, key first) :: runs

                first <- bucket

        List.rev runs

    /// Of so many labels the one that stood longest in a bucket; -1 where none did.
    static member private Longest(seconds: float[], labels: int, bucket: int) : int64 =
        let mutable best = -1
        let mutable longest = 0.0

        for label in 0 .. labels - 1 do
            let length = seconds[bucket * labels + label]

            if length > longest then
                best <- label
                longest <- length

        int64 best

    member private history.VerdictRuns() =
        history.Runs((fun bucket -> History.Longest(verdictSeconds, verdicts, bucket)), -1L)

    /// The stretches of one verdict along the axis: where each begins and ends, in microseconds, and the code of its label.
    member history.Verdicts: (struct (int64 * int64 * int))[] =
        [|
            for struct (first, last, label) in history.VerdictRuns() do
                struct (starts[first], history.EndOf last, int label)
        |]

    /// The sentence of each of `Verdicts`, in their order; empty for none.
    member val Reasons: string[] = [||] with get, set

    member private history.WriteVerdicts(writer: Utf8JsonWriter) =
        writer.WriteStartArray "verdicts"

        history.VerdictRuns()
        |> List.iteri (fun index (struct (first, last, label)) ->
            let label = VerdictLabel.All[int label]
            writer.WriteStartObject()
            writer.WriteString("from", History.Instant starts[first])
            writer.WriteString("to", History.Instant(history.EndOf last))
            writer.WriteString("label", label.Name)
            writer.WriteString("severity", (Severity.ofLabel label).Name)

            match Array.tryItem index history.Reasons with
            | Some reason when reason <> "" -> writer.WriteString("reason", reason)
            | _ -> writer.WriteNull "reason"

            writer.WriteEndObject())

        writer.WriteEndArray()
        writer.WriteStartObject "verdict_seconds"

        for label in 0 .. verdicts - 1 do
            let mutable all = 0.0

            for bucket in 0 .. axis.Count - 1 do
                all <- all + verdictSeconds[bucket * verdicts + label]

            if all > 0.0 then
                writer.WriteNumber(VerdictLabel.All[label].Name, Math.Round(all, 1))

        writer.WriteEndObject()

    member private history.Bottlenecks(writer: Utf8JsonWriter) =
        writer.WriteStartArray "bottlenecks"

        for struct (first, last, label) in history.Runs((fun bucket -> History.Longest(seconds, labels, bucket)), -1L) do
            writer.WriteStartObject()
            writer.WriteString("from", History.Instant starts[first])
            writer.WriteString("to", History.Instant(history.EndOf last))
            writer.WriteString("label", BottleneckLabel.All[int label].Name)

            if axis.IsRaw then
                writer.WriteString("reason", (Bottleneck.classify judged[last * labels + int label]).Reason)
            else
                writer.WriteNull "reason"

            writer.WriteEndObject()

        writer.WriteEndArray()
        writer.WriteStartObject "bottleneck_share"

        let of' label =
            Seq.sum (seq { for bucket in 0 .. axis.Count - 1 -> seconds[bucket * labels + label] })

        let shares = Array.init labels of'
        let all = Array.sum shares

        for label in 0 .. labels - 1 do
            if shares[label] > 0.0 then
                writer.WriteNumber(BottleneckLabel.All[label].Name, Math.Round(shares[label] / all * 1000.0) / 10.0)

        writer.WriteEndObject()

    /// Buckets of minutes in which the machine was silent for a while, neighbours together.
    member private history.WriteSilences(writer: Utf8JsonWriter) =
        let silent =
            if axis.IsRaw then
                [||]
            else
                Silences.ofCounts (float axis.Step / 1e6) counts

        writer.WriteStartArray "silent"

        for struct (first, last, _) in
            history.Runs(
                (fun bucket ->
                    if bucket < silent.Length && silent[bucket] > 0.0 then
                        1L
                    else
                        0L),
                0L
            ) do
            writer.WriteStartObject()
            writer.WriteString("from", History.Instant times[first])
            writer.WriteString("to", History.Instant(history.EndOf last))
            writer.WriteNumber("seconds", Math.Round(Array.sum silent[first..last]))
            writer.WriteEndObject()

        writer.WriteEndArray()

    member private history.Gpu(writer: Utf8JsonWriter, position: int) =
        let gpu = layout.Gpus[position]
        writer.WriteStartObject()
        writer.WriteNumber("gpu_index", gpu.Index)
        writer.WriteString("name", gpu.Name)
        writer.WriteString("uuid", gpu.Uuid)
        rows.Series(writer, Series.gpu, spreads, Series.firstOfGpu layout position)
        writer.WriteStartArray "throttle"

        let runs = history.Runs((fun bucket -> throttle[position][bucket]), 0L)

        for struct (first, last, bits) in List.truncate (max 0 (History.MostThrottled - throttled)) runs do
            throttled <- throttled + 1
            writer.WriteStartObject()
            writer.WriteString("from", History.Instant starts[first])
            writer.WriteString("to", History.Instant(history.EndOf last))
            writer.WriteStartArray "reasons"

            for reason in Throttle.reasonsOf (uint64 bits) do
                writer.WriteStringValue reason

            writer.WriteEndArray()
            writer.WriteEndObject()

        writer.WriteEndArray()
        writer.WriteEndObject()

    /// Writes the answer.
    member history.Write(writer: Utf8JsonWriter, server: string) : unit =
        writer.WriteStartObject()

        rows.Head(
            writer,
            server,
            (match choice with
             | ValueSome choice -> choice.LeftOut
             | ValueNone -> 0),
            times
        )

        writer.WriteStartObject "details"

        for kind in 0 .. Details.all.Length - 1 do
            if details[kind] > 0 then
                writer.WriteNumber(Details.all[kind].Name, details[kind])

        writer.WriteEndObject()
        rows.Series(writer, Series.machine, spreads, 0)
        writer.WriteStartArray "gpus"

        for position in 0 .. layout.Gpus.Length - 1 do
            history.Gpu(writer, position)

        writer.WriteEndArray()
        writer.WriteStartArray "disks"

        for position in 0 .. layout.Disks.Length - 1 do
            writer.WriteStartObject()
            writer.WriteString("device", layout.Disks[position])
            rows.Series(writer, Series.disk, spreads, Series.firstOfDisk position)
            writer.WriteEndObject()

        writer.WriteEndArray()
        writer.WriteStartArray "fans"

        for position in 0 .. layout.Fans.Length - 1 do
            writer.WriteStartObject()
            writer.WriteString("label", layout.Fans[position])
            rows.Series(writer, Series.fan, spreads, Series.firstOfFan layout position)
            writer.WriteEndObject()

        writer.WriteEndArray()
        history.WriteSilences writer
        history.Bottlenecks writer
        history.WriteVerdicts writer
        writer.WriteEndObject()

    /// The same with rows as differences, which compress to less: docs/dashboard-api.md.
    member history.WriteDeltas(writer: Utf8JsonWriter, server: string) : unit =
        rows.IsDelta <- true
        history.Write(writer, server)

    /// Reads what a history is asked for from the query's texts; empty for what is not there.
    static member Range(minutes: string, until: string) : Result<HistoryRange, Refusal> =
        let refuse detail =
            Error
                {
                    Error = "The query cannot be read."
                    Detail = detail
                }

        match Int32.TryParse(minutes, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, minutes when minutes >= 1 && minutes <= Axis.LongestMinutes ->
            if until = "" then
                Ok { Minutes = minutes; Until = ValueNone }
            else
                match Intake.instantOf until with
                | ValueSome instant when instant >= Intake.firstInstant.AddDays 1.0 ->
                    Ok
                        {
                            Minutes = minutes
                            Until = ValueSome instant
                        }
                | _ -> refuse "to: expected an instant such as 2026-02-26T02:37:49+00:00"
        | _ -> refuse $"minutes: expected a whole number from 1 to {Axis.LongestMinutes}"
