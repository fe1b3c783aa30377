namespace Agent.Receiver.Cluster

open System
open System.Globalization
open System.Text
open Agent.Receiver

/// A machine as a cluster knows it.
[<Struct; NoComparison>]
type ClusterMachine =
    {
        /// The label `job`; empty where there is none.
        Job: string
        /// The label `instance`.
        Instance: string
    }

/// Queries in PromQL that Prometheus and VictoriaMetrics understand alike, and the bodies of requests with them.
[<RequireQualifiedAccess>]
module Promql =
    /// A text between quotes.
    let quote (text: string) : string =
        let quoted = StringBuilder(text.Length + 2)
        quoted.Append '"' |> ignore

        for c in text do
            match c with
            | '\\' -> quoted.Append "\\\\" |> ignore
            | '"' -> quoted.Append "\\\"" |> ignore
            | '\n' -> quoted.Append "\\n" |> ignore
            | c -> quoted.Append c |> ignore

        quoted.Append('"').ToString()

    /// A regular expression that matches this text alone.
    let private literal (text: string) : string =
        let escaped = StringBuilder(text.Length)

        for c in text do
            if not (Char.IsAsciiLetterOrDigit c) && c <> '_' && c < '\128' then
                escaped.Append '\\' |> ignore

            escaped.Append c |> ignore

        escaped.ToString()

    /// A label that has this value.
    let is (name: string) (value: string) : string = $"{name}={quote value}"

    /// A label that has one of these values.
    let isOneOf (name: string) (values: string seq) : string =
        let pattern = values |> Seq.map literal |> String.concat "|"
        $"{name}=~{quote pattern}"

    /// Series that match all of these.
    let selector (family: string) (matchers: string list) : string =
        let inner = String.Join(",", matchers)
        family + "{" + inner + "}"

    /// A number.
    let number (value: float) : string =
        value.ToString("R", CultureInfo.InvariantCulture)

    /// A label that begins with this text.
    let startsWith (name: string) (prefix: string) : string =
        let pattern = literal prefix + ".*"
        $"{name}=~{quote pattern}"

    /// A length of time, in whole milliseconds.
    let duration (microseconds: int64) : string =
        let milliseconds = max 1L (microseconds / 1000L)

        if milliseconds % 1000L = 0L then
            $"{milliseconds / 1000L}s"
        else
            $"{milliseconds}ms"

    /// Several queries as one, whose answers carry the name of each in the label `k`.
    let together (named: (struct (string * string)) seq) : string =
        named
        |> Seq.map (fun (struct (name, query)) -> $"label_replace({query},\"k\",{quote name},\"\",\"\")")
        |> String.concat " or "

    let private seconds (microseconds: int64) =
        // To the millisecond, as these databases count; cut rather than rounded, so that nothing later is asked for.
        let at = (RowKey.instant microseconds).ToUnixTimeMilliseconds()
        (decimal at / 1000m).ToString("0.000", CultureInfo.InvariantCulture)

    let private form (fields: (struct (string * string)) list) : string =
        fields
        |> List.map (fun (struct (name, value)) -> $"{name}={Uri.EscapeDataString value}")
        |> String.concat "&"

    /// VictoriaMetrics moves the axis to fill its cache and leaves out the newest half minute, unless it is told not to; others ignore this.
    let private exact = [ struct ("nocache", "1"); struct ("latency_offset", "1ms") ]

    /// The body of a POST to /api/v1/query, for an instant in microseconds from 2000-01-01.
    [<CompiledName "InstantForm">]
    let instantForm (query: string) (at: int64) : string =
        form ([ struct ("query", query); struct ("time", seconds at) ] @ exact)

    /// The body of a POST to /api/v1/query_range.
    [<CompiledName "RangeForm">]
    let rangeForm (query: string) (first: int64) (last: int64) (step: int64) : string =
        form (
            [
                struct ("query", query)
                struct ("start", seconds first)
                struct ("end", seconds last)
                struct ("step", duration step)
            ]
            @ exact
        )

/// What is put together of each bucket.
[<RequireQualifiedAccess; Struct>]
type ClusterAggregate =
    /// The mean of its samples.
    | Mean
    /// The least of them.
    | Least
    /// The greatest.
    | Greatest

    /// The function of PromQL that does so over time.
    member aggregate.Function: string =
        match aggregate with
        | Mean -> "avg_over_time"
        | Least -> "min_over_time"
        | Greatest -> "max_over_time"

/// How a charted series follows from metrics.
[<NoComparison>]
type private Chart =
    /// A figure as it is.
    | AsIs of figure: ClusterFigure<ClusterMetric>
    /// How much it grows in a second, times this.
    | Growth of figure: ClusterFigure<ClusterMetric> * factor: float
    /// All devices of a kind together, by an operator of PromQL. `identity` has the labels that tell them apart: of series that several writers bring, as a pair
    /// of Prometheus does, each device counts once.
    | Together of operator: string * identity: string[] * chart: Chart

/// What is asked of a cluster.
[<RequireQualifiedAccess>]
module ClusterQueries =
    /// Where machines are found.
    let discovery: string = ClusterMetrics.timestamp

    let private ofMachine (machine: ClusterMachine) : string list =
        [ Promql.is "instance" machine.Instance; Promql.is "job" machine.Job ]

    let private ofMachines (machines: ClusterMachine[]) : string list =
        [
            Promql.isOneOf "instance" (machines |> Seq.map _.Instance |> Seq.distinct)
            Promql.isOneOf "job" (machines |> Seq.map _.Job |> Seq.distinct)
        ]

    let private named (families: string seq) (matchers: string list) : string =
        Promql.selector "" (Promql.isOneOf "__name__" (Seq.distinct families) :: matchers)

    let private said =
        [
            ClusterMetrics.timestamp
            ClusterMetrics.verdict
            ClusterMetrics.verdictConfidence
        ]

    let private ofObjects (objects: ClusterObject seq) : string seq =
        Seq.append said (Seq.collect ClusterMetrics.familiesOf objects)

    let private withoutCores =
        ClusterMetrics.all
        |> Array.filter (fun things -> things.Name <> Details.cores.Name && things.Name <> Details.partitions.Name)

    /// The newest values of these machines: what the fleet and the top of a machine's page show. CPUs one by one are the most series of all, and are
    /// asked for where the fleet is small.
    [<CompiledName "Newest">]
    let newest (areCoresShown: bool) (machines: ClusterMachine[]) : string =
        let objects =
            if areCoresShown then
                Array.append withoutCores [| ClusterMetrics.cores |]
            else
                withoutCores

        named (Seq.append [ ClusterMetrics.build ] (ofObjects objects)) (ofMachines machines)

    /// The mean use of each GPU of these machines, in per cent, over a stretch of time that ends when the query is asked.
    [<CompiledName "GpuUse">]
    let gpuUse (machines: ClusterMachine[]) (length: int64) : string =
        $"avg_over_time({Promql.selector ClusterMetrics.gpuUse (ofMachines machines)}[{Promql.duration length}])"

    let private millisecond = 1000L

    /// How many samples a machine has in a stretch of time that ends when the query is asked.
    [<CompiledName "Count">]
    let count (machine: ClusterMachine) (length: int64) : string =
        let selector = Promql.selector ClusterMetrics.timestamp (ofMachine machine)
        $"count_over_time({selector}[{Promql.duration (length + millisecond)}])"

    /// The objects of the main charts.
    let private mainObjects =
        [|
            ClusterMetrics.machine
            ClusterMetrics.disks
            ClusterMetrics.gpus
            ClusterMetrics.fans
        |]

    /// The object of a kind of details.
    let private ofKind (kind: int) : ClusterObject =
        match
            ClusterMetrics.all
            |> Array.tryFind (fun things -> things.Name = Details.all[kind].Name)
        with
        | Some things -> things
        | None -> ClusterMetrics.gpus

    /// When each verdict did not hold last, by `k` = `not` and the verdict's label, and when each was told of first, by `k` = `first`: in seconds since
    /// 1970, within the day that ends when the query is asked, looked at minute by minute.
    [<CompiledName "VerdictChanges">]
    let verdictChanges (machine: ClusterMachine) : string =
        let said = Promql.selector ClusterMetrics.verdict (ofMachine machine)

        Promql.together
            [
                struct ("not", $"max_over_time((timestamp({said}) and {said} == 0)[1d:1m])")
                struct ("first", $"min_over_time(timestamp({said})[1d:1m])")
            ]

    /// All values of a machine as they were stored, over a stretch of time that ends when the query is asked; `kind` for one of the details, by its
    /// position, none for the main charts.
    [<CompiledName "Samples">]
    let samples (machine: ClusterMachine) (kind: int voption) (length: int64) : string =
        let objects =
            match kind with
            | ValueSome kind -> [| ofKind kind |]
            // Whether there are details is told with the main charts.
            | ValueNone -> mainObjects

        let selector = named (ofObjects objects) (ofMachine machine)
        $"{selector}[{Promql.duration (length + millisecond)}]"

    let private rowOf (things: ClusterObject) (key: string) : ClusterFigure<ClusterMetric> voption =
        match things.Rows |> Array.tryFind (fun row -> row.Key = key) with
        | Some row -> ValueSome row.Of
        | None -> ValueNone

    let private asIs things key =
        rowOf things key |> ValueOption.map Chart.AsIs

    let private growth things key factor =
        rowOf things key |> ValueOption.map (fun figure -> Chart.Growth(figure, factor))

    let private together operator (things: ClusterObject) chart =
        chart
        |> ValueOption.map (fun chart -> Chart.Together(operator, things.Identity, chart))

    /// Milliseconds of a second in per cent.
    [<Literal>]
    let private BusyPercent = 0.1

    let private diskGrowth key =
        growth ClusterMetrics.disks key (if key = "busy_time_ms_total" then BusyPercent else 1.0)

    let private ofMachineSeries (name: string) : Chart voption =
        let things = ClusterMetrics.machine

        match name with
        | "network_rx_bytes_per_s" -> growth things "network_rx_bytes_total" 1.0
        | "network_tx_bytes_per_s" -> growth things "network_tx_bytes_total" 1.0
        | "tcp_retransmits_per_s" -> growth things "tcp_segments_retransmitted_total" 1.0
        | "tcp_segments_sent_per_s" -> growth things "tcp_segments_sent_total" 1.0
        | "disk_util_percent" -> together "max" ClusterMetrics.disks (diskGrowth "busy_time_ms_total")
        | "disk_read_bytes_per_s" -> together "sum" ClusterMetrics.disks (diskGrowth "read_bytes_total")
        | "disk_write_bytes_per_s" -> together "sum" ClusterMetrics.disks (diskGrowth "write_bytes_total")
        | Series.TopGpu -> together "max" ClusterMetrics.gpus (asIs ClusterMetrics.gpus "utilization_gpu_percent")
        | "fan_max_rpm" -> together "max" ClusterMetrics.fans (asIs ClusterMetrics.fans "speed_rpm")
        | _ when name.StartsWith("pressure_", StringComparison.Ordinal) -> asIs things (name + "_avg10")
        | _ -> asIs things name

    let private ofDiskSeries (name: string) : Chart voption =
        match name with
        | "read_bytes_per_s" -> diskGrowth "read_bytes_total"
        | "write_bytes_per_s" -> diskGrowth "write_bytes_total"
        | "read_ops_per_s" -> diskGrowth "read_count_total"
        | "write_ops_per_s" -> diskGrowth "write_count_total"
        | "util_percent" -> diskGrowth "busy_time_ms_total"
        | _ -> ValueNone

    /// What the answers' label `k` says: whose series it is, and which.
    let internal nameOf (things: ClusterObject) (series: string) : string = things.Name + "/" + series

    let private chartsOf (things: ClusterObject) (kinds: SeriesKind[]) (chartOf: string -> Chart voption) =
        [|
            for kind in kinds do
                match chartOf kind.Name with
                | ValueSome chart -> struct (nameOf things kind.Name, chart)
                | ValueNone -> ()
        |]

    let private mainCharts =
        Array.concat
            [
                chartsOf ClusterMetrics.machine Series.machine ofMachineSeries
                chartsOf ClusterMetrics.disks Series.disk ofDiskSeries
                chartsOf ClusterMetrics.gpus Series.gpu (asIs ClusterMetrics.gpus)
                chartsOf ClusterMetrics.fans Series.fan (asIs ClusterMetrics.fans)
            ]

    let private detailCharts =
        Details.all
        |> Array.mapi (fun position kind ->
            let things = ofKind position

            let chartOf (name: string) =
                let place = kind.Places[kind.Series |> Array.findIndex (fun series -> series.Name = name)]

                let key =
                    if place.IsDecimal then
                        let struct (key, _) = kind.Schema.Decimals[place.Index]
                        key
                    else
                        kind.Schema.Integers[place.Index]

                if place.Growth = 0.0 then
                    asIs things key
                else
                    growth things key place.Growth

            chartsOf things kind.Series chartOf)

    /// How buckets are cut.
    [<NoComparison>]
    type private Cut =
        {
            Matchers: string list
            /// A bucket.
            Step: string
            /// What a rate is taken over.
            Window: string
            /// From one look within a bucket to the next.
            Resolution: string
        }

    let private times (factor: float) (query: string) =
        if factor = 1.0 then
            query
        else
            $"({query}) * {Promql.number factor}"

    let private selectorOf (cut: Cut) (metric: ClusterMetric) =
        Promql.selector
            metric.Family
            (cut.Matchers
             @ [
                 for struct (name, value) in metric.Labels do
                     Promql.is name value
             ])

    let rec private expression (leaf: ClusterMetric -> string) (figure: ClusterFigure<ClusterMetric>) : string =
        match figure with
        | Metric metric -> leaf metric |> times metric.Factor
        | Less(all, part) -> $"({expression leaf all} - {expression leaf part})"
        | Plus(one, other) -> $"({expression leaf one} + {expression leaf other})"
        // Of nothing nothing is used, as `ClusterMetrics.evaluate` has it.
        | PercentOf(part, all) ->
            let all = expression leaf all
            $"(100 * {expression leaf part} / ({all} > 0) or {all} == 0)"

    let private rateOf (cut: Cut) (window: string) (metric: ClusterMetric) =
        $"rate({selectorOf cut metric}[{window}])"

    /// The value at each look.
    let rec private looked (cut: Cut) (chart: Chart) : string =
        match chart with
        | AsIs figure -> expression (selectorOf cut) figure
        | Growth(figure, factor) -> expression (rateOf cut cut.Window) figure |> times factor
        // The greatest of all is that of each device anyway.
        | Together("max", _, chart) -> $"max({looked cut chart})"
        | Together(operator, identity, chart) ->
            let identity = String.concat ", " identity
            $"{operator}(max by ({identity}) ({looked cut chart}))"

    let private ofBucket (cut: Cut) (aggregate: ClusterAggregate) (chart: Chart) : string =
        match chart, aggregate with
        // Over what was stored, without looking at it again and again.
        | AsIs(Metric metric), _ ->
            $"{aggregate.Function}({selectorOf cut metric}[{cut.Step}])"
            |> times metric.Factor
        | Growth(Metric metric, factor), ClusterAggregate.Mean -> rateOf cut cut.Step metric |> times (metric.Factor * factor)
        | _ -> $"{aggregate.Function}(({looked cut chart})[{cut.Step}:{cut.Resolution}])"

    /// So often is looked within a bucket, at most.
    [<Literal>]
    let private MostLooks = 30L

    let private second = 1_000_000L

    let private cutOf (machine: ClusterMachine) (axis: Axis) (interval: int64) : Cut =
        let resolution = max (max second interval) (axis.Step / MostLooks)

        {
            Matchers = ofMachine machine
            Step = Promql.duration axis.Step
            // Rates need two samples.
            Window = Promql.duration (max (2L * interval) resolution)
            Resolution = Promql.duration resolution
        }

    /// VictoriaMetrics reads queries of 16 KiB, unless it is told otherwise. No query of ours is longer than this many characters, but one alone.
    [<Literal>]
    let LongestQuery = 12_000

    /// Several queries together in as few as there may be.
    let internal parts (named: (struct (string * string))[]) : string[] =
        let found = ResizeArray<string>()
        let current = ResizeArray<struct (string * string)>()

        let finish () =
            if current.Count > 0 then
                found.Add(Promql.together current)
                current.Clear()

        for one in named do
            current.Add one

            if current.Count > 1 && (Promql.together current).Length > LongestQuery then
                current.RemoveAt(current.Count - 1)
                finish ()
                current.Add one

        finish ()
        found.ToArray()

    /// The figures of each bucket of an axis of minutes, of the main charts or of a kind of details by its position, as one or more queries whose
    /// answers belong together. `interval` is from one sample to the next, in microseconds.
    [<CompiledName "Buckets">]
    let buckets (machine: ClusterMachine) (kind: int voption) (axis: Axis) (interval: int64) (aggregate: ClusterAggregate) : string[] =
        let cut = cutOf machine axis interval

        let charts =
            match kind with
            | ValueSome kind -> detailCharts[kind]
            | ValueNone -> mainCharts

        charts
        |> Array.map (fun (struct (name, chart)) -> struct (name, ofBucket cut aggregate chart))
        |> parts

    /// How many samples say what in each bucket: samples at all, the machine's verdict, its bottleneck, and the reasons that slow GPUs down.
    [<CompiledName "States">]
    let states (machine: ClusterMachine) (axis: Axis) : string =
        let step = Promql.duration axis.Step

        let of' family how =
            let selector = Promql.selector family (ofMachine machine)
            struct (family, $"{how}({selector}[{step}])")

        Promql.together
            [
                of' ClusterMetrics.timestamp "count_over_time"
                of' ClusterMetrics.verdict "sum_over_time"
                of' ClusterMetrics.bottleneck "sum_over_time"
                of' ClusterMetrics.throttleReason "sum_over_time"
            ]

    /// The body of a request for each bucket of an axis: asked at its last millisecond, over its length.
    [<CompiledName "BucketForm">]
    let bucketForm (query: string) (axis: Axis) : string =
        let first = axis.Start + axis.Step - millisecond
        Promql.rangeForm query first (first + int64 (axis.Count - 1) * axis.Step) axis.Step

    /// The greatest CPU and GPU use of these machines, in per cent and by `k` = `cpu` and `gpu`, over a minute that ends when the query is asked.
    let private topUse (machines: ClusterMachine[]) : string =
        let minute = Promql.duration RowKey.MicrosecondsPerMinute

        let cut =
            {
                Matchers = ofMachines machines
                Step = minute
                Window = minute
                Resolution = Promql.duration second
            }

        let ofFigure name things key around =
            rowOf things key
            |> ValueOption.map (fun figure -> struct (name, around (ofBucket cut ClusterAggregate.Greatest (AsIs figure))))
            |> ValueOption.toList

        let ofAll query = $"max by (instance, job) ({query})"

        Promql.together (
            ofFigure "cpu" ClusterMetrics.machine "cpu_usage_percent" ofAll
            @ ofFigure "gpu" ClusterMetrics.gpus "utilization_gpu_percent" ofAll
        )

    /// The body of a request for the greatest use of these machines in each of the minutes before that of `now`: so many, less one.
    [<CompiledName "TopUseForm">]
    let topUseForm (machines: ClusterMachine[]) (minutes: int) (now: int64) : string =
        let endOf minute =
            (minute + 1L) * RowKey.MicrosecondsPerMinute - millisecond

        let current = RowKey.minuteAt now
        Promql.rangeForm (topUse machines) (endOf (current - int64 minutes + 1L)) (endOf (current - 1L)) RowKey.MicrosecondsPerMinute

    /// How far before a stretch the sample may lie from which the rates of its first one follow: as long as a sample speaks for.
    let lookBehind: int64 = int64 Point.LongestCover * second
