namespace Agent.Receiver.Cluster

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Outbound
open Agent.Receiver

/// What minutes say of counters: how much each has grown, by what it is of.
[<RequireQualifiedAccess>]
module internal MinuteGrowth =
    /// Series of the machine that are the growth of a counter, and that counter.
    let private ofMachine =
        [|
            "network_rx_bytes_per_s", "network_rx_bytes_total"
            "network_tx_bytes_per_s", "network_tx_bytes_total"
            "tcp_retransmits_per_s", "tcp_segments_retransmitted_total"
            "tcp_segments_sent_per_s", "tcp_segments_sent_total"
        |]

    /// The same of a disk, and how much the counter grows in a second for each unit. A disk that is busy all the time is so for 1000 ms a second.
    let private ofDisk =
        [|
            "read_bytes_per_s", "read_bytes_total", 1.0
            "write_bytes_per_s", "write_bytes_total", 1.0
            "read_ops_per_s", "read_count_total", 1.0
            "write_ops_per_s", "write_count_total", 1.0
            "util_percent", "busy_time_ms_total", 10.0
        |]

    /// What a counter is called here.
    let name (kind: string) (device: string) (key: string) : string = String.Join('\000', kind, device, key)

    let private detailKey (kind: DetailKind) (place: DetailPlace) : string =
        if place.IsDecimal then
            let struct (key, _) = kind.Schema.Decimals[place.Index]
            key
        else
            kind.Schema.Integers[place.Index]

    /// The counters of a minute whose growth is known, each with how much it grew in a second.
    let each (rollup: Rollup) (take: string -> float -> unit) : unit =
        let layout = rollup.Layout

        let one kind device key factor (spread: Spread) =
            if spread.Count > 0 then
                take (name kind device key) (spread.Mean * factor)

        for series, key in ofMachine do
            one "machine" "" key 1.0 rollup.Spreads[Series.slotOf series]

        for position in 0 .. layout.Disks.Length - 1 do
            for series, key, factor in ofDisk do
                let offset = Series.disk |> Array.findIndex (fun kind -> kind.Name = series)
                one "disks" layout.Disks[position] key factor rollup.Spreads[Series.firstOfDisk position + offset]

        for kind in 0 .. Details.all.Length - 1 do
            let about = Details.all[kind]
            let first = Details.firstOf layout.Details kind

            layout.Details[kind]
            |> Array.iteri (fun position device ->
                about.Places
                |> Array.iteri (fun offset place ->
                    if place.Growth <> 0.0 && rollup.Details.Length > 0 then
                        one
                            about.Name
                            device
                            (detailKey about place)
                            (1.0 / place.Growth)
                            rollup.Details[first + position * about.Places.Length + offset]))

/// Counters put together from what minutes say of their growth, so that they go on in those of the first single sample: where they have grown by
/// more than these show, the machine was started anew meanwhile, and so are they.
[<Sealed>]
type ExportCounters() =
    let totals = Dictionary<string, float>(StringComparer.Ordinal)
    let starts = Dictionary<string, float>(StringComparer.Ordinal)
    let grown = Dictionary<string, float>(StringComparer.Ordinal)

    let add (counts: Dictionary<string, float>) (seconds: float) (rollup: Rollup) =
        MinuteGrowth.each rollup (fun name rate ->
            match counts.TryGetValue name with
            | true, before -> counts[name] <- before + rate * seconds
            | _ -> counts[name] <- rate * seconds)

    /// Takes note of a minute that is to be told later.
    member _.Foresee(rollup: Rollup) : unit = add totals 60.0 rollup

    /// All minutes are noted, and this is what the first single sample after them shows.
    member _.Meet(report: Report) : unit =
        let note kind device (schema: Schema) (figures: Figures) =
            schema.Integers
            |> Array.iteri (fun index key ->
                let name = MinuteGrowth.name kind device key

                match totals.TryGetValue name with
                | true, total when figures.Integers[index] >= 0L -> starts[name] <- total - float figures.Integers[index]
                | _ -> ())

        note "machine" "" Schema.machine report.Machine

        for disk in report.Disks do
            note "disks" disk.Device Schema.disk disk.Figures

        report.Details
        |> Array.iteri (fun kind devices ->
            for device in devices do
                note Details.all[kind].Name device.Name Details.all[kind].Schema device.Figures)

    /// So many seconds of a minute pass.
    member _.Grow(rollup: Rollup, seconds: float) : unit = add grown seconds rollup

    /// What a counter shows now; NaN where nothing is known of it.
    member internal _.Value(name: string) : float =
        match grown.TryGetValue name, starts.TryGetValue name with
        | (true, sum), (true, start) when sum >= start -> sum - start
        | (true, sum), _ -> sum
        | _ -> nan

/// A sample on its way.
[<Struct; NoComparison>]
type ExportRecord =
    {
        /// The record.
        Bytes: byte[]
        /// How many series it has.
        Series: int
    }

/// What was written of a machine.
type ExportRow =
    {
        /// Its slug.
        Machine: string
        /// Samples that the cluster took.
        Samples: int64
        /// When the first was taken, and the last; without meaning when there is none.
        From: DateTimeOffset
        /// See there.
        To: DateTimeOffset
        /// The most series of one of them.
        Series: int
        /// Bytes of the requests.
        Bytes: int64
        /// Samples, and series of others, that the cluster refused.
        Refused: int64
    }

/// The history of a database on its way to a cluster: single samples as they are, and minutes by four instants each.
[<RequireQualifiedAccess>]
module ClusterExport =
    /// Instants by which a minute is told.
    [<Literal>]
    let Instants = 4

    /// From one of them to the next, in seconds.
    [<Literal>]
    let StepSeconds = 15

    /// After this many samples in a row that are refused, with none accepted, all others of that time will be.
    [<Literal>]
    let HopelessAfter = 20

    /// After this many attempts in a row without an answer of use the export ends.
    [<Literal>]
    let MostAttempts = 12

    /// A server ignores what is older than this unless it is told otherwise: one month, VictoriaMetrics's `-retentionPeriod`.
    let usualRetention = TimeSpan.FromDays 31.0

    /// Four values with the spread's mean, of which one is its least and one its greatest as far as four values with that mean can be; NaN for none.
    let internal valuesOf (spread: Spread) : float[] =
        if spread.Count = 0 then
            Array.create Instants nan
        else
            let greatest = min spread.Max (4.0 * spread.Mean - 3.0 * spread.Min)
            let rest = 4.0 * spread.Mean - greatest
            let least = max spread.Min (rest - 2.0 * greatest)
            let middle = (rest - least) / 2.0
            [| middle; least; greatest; middle |]

    let private figuresOf (schema: Schema) (valueOf: string -> float) : Figures =
        {
            Decimals = schema.Decimals |> Array.map (fun (struct (key, _)) -> valueOf key)
            Integers =
                schema.Integers
                |> Array.map (fun key ->
                    match Math.Round(valueOf key) with
                    | value when value >= 0.0 && value < 9.2e18 -> int64 value
                    | _ -> -1L)
        }

    /// What all of something is of which a part, and that part in per cent, are known.
    let private allOf (part: Spread) (percent: Spread) : float =
        if part.Count = 0 || percent.Count = 0 then
            nan
        elif percent.Mean > 0.0 then
            100.0 * part.Mean / percent.Mean
        elif part.Mean = 0.0 then
            0.0
        else
            nan

    let private kindOf (kinds: SeriesKind[]) (name: string) : int voption =
        match kinds |> Array.tryFindIndex (fun kind -> kind.Name = name) with
        | Some offset -> ValueSome offset
        | None -> ValueNone

    /// The sample that tells a minute at one of its instants. A figure that follows from others is left to whoever reads them, so that all fit together.
    let private reportAt (counters: ExportCounters) (rollup: Rollup) (minute: int64) (instant: int) : Report =
        let layout = rollup.Layout

        let pick (spread: Spread) = (valuesOf spread)[instant]
        let spreadOf name = rollup.Spreads[Series.slotOf name]

        let chosen (kinds: SeriesKind[]) first (key: string) =
            match kindOf kinds key with
            | ValueSome offset -> pick rollup.Spreads[first + offset]
            | ValueNone -> nan

        let counted kind device key =
            counters.Value(MinuteGrowth.name kind device key)

        let machine (key: string) =
            match key with
            | "memory_total_bytes" ->
                let used, available = spreadOf "memory_used_bytes", spreadOf "memory_available_bytes"

                if used.Count > 0 && available.Count > 0 then
                    used.Mean + available.Mean
                else
                    nan
            | "memory_available_bytes" when (spreadOf "memory_used_bytes").Count > 0 -> nan
            | "memory_percent"
            | "swap_percent" -> nan
            | "swap_total_bytes" -> allOf (spreadOf "swap_used_bytes") (spreadOf "swap_percent")
            | _ ->
                let value = chosen Series.machine 0 key

                if Double.IsNaN value then
                    counted "machine" "" key
                else
                    value

        let gpu position (key: string) =
            let first = Series.firstOfGpu layout position

            let spread name =
                match kindOf Series.gpu name with
                | ValueSome offset -> rollup.Spreads[first + offset]
                | ValueNone -> Spread.none

            match key with
            | "memory_total_bytes" -> allOf (spread "memory_used_bytes") (spread "memory_percent")
            | "memory_percent" -> nan
            | "throttle_reasons" -> float rollup.Throttle[position]
            | _ -> chosen Series.gpu first key

        let detail (kind: int) position (device: string) (key: string) =
            let about = Details.all[kind]

            let offset =
                about.Places
                |> Array.tryFindIndex (fun place ->
                    place.Growth = 0.0
                    && key =
                        (if place.IsDecimal then
                             (let struct (name, _) = about.Schema.Decimals[place.Index] in name)
                         else
                             about.Schema.Integers[place.Index]))

            match offset with
            | Some offset when rollup.Details.Length > 0 ->
                let spread =
                    rollup.Details[Details.firstOf layout.Details kind + position * about.Places.Length + offset]

                // Parts of the same whole: at different instants they would not fit.
                if about.Name = Details.partitions.Name then
                    (if spread.Count = 0 then nan else spread.Mean)
                else
                    pick spread
            | _ -> counted about.Name device key

        {
            CollectedAt =
                RowKey.instant (
                    minute * RowKey.MicrosecondsPerMinute
                    + int64 (instant * StepSeconds) * 1_000_000L
                )
            Machine = figuresOf Schema.machine machine
            Disks =
                layout.Disks
                |> Array.map (fun device ->
                    {
                        Device = device
                        Figures = figuresOf Schema.disk (counted "disks" device)
                    })
            Gpus =
                layout.Gpus
                |> Array.mapi (fun position identity ->
                    {
                        Index = identity.Index
                        Name = identity.Name
                        Uuid = identity.Uuid
                        Figures = figuresOf Schema.gpu (gpu position)
                    })
            Fans =
                layout.Fans
                |> Array.mapi (fun position label ->
                    {
                        Label = label
                        Figures = figuresOf Schema.fan (chosen Series.fan (Series.firstOfFan layout position))
                    })
            Details =
                layout.Details
                |> Array.mapi (fun kind devices ->
                    devices
                    |> Array.mapi (fun position device ->
                        {
                            Name = device
                            Figures = figuresOf Details.all[kind].Schema (detail kind position device)
                        }
                        : DetailReport))
        }

    let private longest (seconds: float[]) : int voption =
        if Array.exists (fun value -> value > 0.0) seconds then
            ValueSome(Array.IndexOf(seconds, Array.max seconds))
        else
            ValueNone

    let private record version instance (report: Report) (bottleneck: int) (said: int) : ExportRecord =
        let label =
            BottleneckLabel.All
            |> Array.tryItem bottleneck
            |> Option.map ValueSome
            |> Option.defaultValue ValueNone

        let verdict =
            match Array.tryItem said VerdictLabel.All with
            // How sure it was is not kept.
            | Some verdict -> ValueSome(struct (verdict, nan))
            | None -> ValueNone

        let values = ClusterRelay.valuesOf instance report label verdict

        {
            Bytes = RemoteWrite.recordOf version (report.CollectedAt.ToUnixTimeMilliseconds()) values
            Series =
                values
                |> Array.filter (fun value -> Double.IsFinite value.Value)
                |> Array.length
        }

    /// A single sample as a record of that version, with the codes of its label and of what was said of it, which is -1 for nothing.
    [<CompiledName "OfSample">]
    let ofSample (version: RemoteWriteVersion) (instance: string) (report: Report) (label: int) (said: int) : ExportRecord =
        record version instance report label said

    /// A minute, by its number, as four records of that version, with the seconds of each verdict.
    [<CompiledName "OfMinute">]
    let ofMinute
        (version: RemoteWriteVersion)
        (instance: string)
        (counters: ExportCounters)
        (minute: int64)
        (rollup: Rollup)
        (verdicts: float[])
        : ExportRecord[] =
        let label = longest rollup.LabelSeconds |> ValueOption.defaultValue -1
        let said = longest verdicts |> ValueOption.defaultValue -1

        Array.init Instants (fun instant ->
            counters.Grow(rollup, float StepSeconds)
            record version instance (reportAt counters rollup minute instant) label said)

    /// How to have a server take what it refuses as too old, as a sentence.
    let tooOld: string =
        "the receiver refuses samples of that time. Prometheus takes what is older than its newest samples only within storage.tsdb.out_of_order_time_window "
        + "(prometheus.yml), Mimir within limits.out_of_order_time_window, and both nothing older than their retention; VictoriaMetrics takes all of its -retentionPeriod. "
        + "Raise that setting, or leave the older part out with --from"

    /// A time as answers have it, to the second.
    let private instant (at: DateTimeOffset) : string =
        at.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture)

    /// How far a machine's history is written.
    [<CompiledName "Progress">]
    let progress (machine: string) (samples: int64) (at: DateTimeOffset) : string =
        $"{machine}: {samples} samples, up to {instant at}"

    /// Why the export ends early, and how to go on.
    [<CompiledName "Ended">]
    let ended (machine: string) (at: DateTimeOffset) (reason: string) : string =
        let advice = if RemoteDelivery.isTooOld reason then $"; {tooOld}" else ""

        $"--to: at {machine}'s sample of {instant at}: {reason.TrimEnd '.'}{advice}. What was written before stays; `--server {machine} --from {instant at}` goes on there, and writing something twice does no harm"

    /// What to know of a history whose oldest sample is this, now; empty for nothing.
    [<CompiledName "Note">]
    let note (now: DateTimeOffset) (oldest: DateTimeOffset) : string =
        if now - oldest > usualRetention then
            $"some samples are of {instant oldest}: VictoriaMetrics drops what is older than its -retentionPeriod, one month unless it is set, and does not say so"
        else
            ""

    /// What was written, as a table.
    [<CompiledName "Table">]
    let table (rows: ExportRow[]) : string =
        let cells =
            [|
                [| "machine"; "samples"; "from"; "to"; "series"; "bytes"; "refused" |]

                for row in rows do
                    [|
                        row.Machine
                        string row.Samples
                        (if row.Samples = 0L then "-" else instant row.From)
                        (if row.Samples = 0L then "-" else instant row.To)
                        string row.Series
                        string row.Bytes
                        string row.Refused
                    |]
            |]

        let widths =
            [|
                for column in 0 .. cells[0].Length - 1 do
                    cells |> Array.map (fun row -> row[column].Length) |> Array.max
            |]

        // Texts to the left, numbers to the right.
        let isText column = column = 0 || column = 2 || column = 3

        cells
        |> Array.map (fun row ->
            (row
             |> Array.mapi (fun column (cell: string) ->
                 if isText column then
                     cell.PadRight widths[column]
                 else
                     cell.PadLeft widths[column])
             |> String.concat "  ")
                .TrimEnd()
            + "\n")
        |> String.concat ""
