/// What only this agent reports: what holds the machine back, and the state of the agent itself.
[<RequireQualifiedAccess>]
module internal Agent.Sender.AgentMetrics

open System
open System.Globalization
open Agent.Core
open Agent.Outbound
open Agent.Core.Proc
open Agent.Core.Units

[<Literal>]
let private StateSet = "ai_dashboard_bottleneck"

let private bottleneck (sink: MetricSink) (reading: MachineReading) =
    let verdict = Bottleneck.ofSample reading.Sample (Derived.from reading.Previous reading.Sample)

    sink.Family(StateSet, MetricKind.StateSet, "What holds the machine back: 1 for the label that fits, 0 for the others.")

    for label in BottleneckLabel.All do
        sink.Label(StateSet, label.Name)
        sink.Whole(if label = verdict.Label then 1UL else 0UL)

    sink.Family("ai_dashboard_bottleneck_confidence_ratio", MetricKind.Gauge, "How sure the rule is that decided the bottleneck.")
    sink.Value verdict.Confidence

/// Figures whose names the page reads from a cluster (docs/prometheus.md): they mean what the sample's keys mean, which the counters of
/// node_exporter do not.
let private charted (sink: MetricSink) (sample: Sample) =
    let value (value: float voption) =
        match value with
        | ValueSome value -> sink.Value value
        // Takes its labels with it.
        | ValueNone -> sink.Value nan

    let ratio share =
        share |> ValueOption.map ratioOfPercent |> value

    let family name kind help =
        sink.Family("ai_dashboard_" + name, kind, help)

    family "cpu_mode_ratio" MetricKind.Gauge "CPU time in a mode since the sample before."

    let mode name share =
        sink.Label("mode", name)
        ratio share

    mode "iowait" sample.CpuIowait
    mode "steal" sample.CpuSteal
    mode "system" sample.CpuSystem
    mode "user" sample.CpuUser
    family "cpu_core_usage_ratio" MetricKind.Gauge "Busy time of a CPU since the sample before."

    for i in 0 .. sample.CpuCores.Length - 1 do
        sink.Label("cpu", i.ToString CultureInfo.InvariantCulture)
        ratio sample.CpuCores[i]

    family "pressure_ratio" MetricKind.Gauge "Time in which some or all tasks waited for a resource, in the last 10 s."

    match sample.Pressure with
    | ValueSome pressure ->
        let stall resource kind (stall: Pressure.Stall voption) =
            sink.Label("resource", resource)
            sink.Label("kind", kind)
            ratio (stall |> ValueOption.map _.Avg10)

        stall "cpu" "some" pressure.CpuSome
        stall "io" "full" pressure.IoFull
        stall "io" "some" pressure.IoSome
        stall "memory" "full" pressure.MemoryFull
        stall "memory" "some" pressure.MemorySome
    | ValueNone -> ()

    let single name kind help (figure: float voption) =
        family name kind help
        value figure

    let bytes (value: uint64<B> voption) = ValueOption.map float value

    single "cpus" MetricKind.Gauge "CPUs online." (ValueOption.map float sample.CpuCountLogical)

    single
        "memory_available_bytes"
        MetricKind.Gauge
        "Memory usable without swapping, with what ZFS would give back."
        (sample.Memory |> ValueOption.map (fun memory -> float memory.Available))

    single
        "network_receive_bytes_total"
        MetricKind.Counter
        "What entered the machine, each byte once (docs/sources.md)."
        (bytes sample.NetworkReceived)

    single "network_transmit_bytes_total" MetricKind.Counter "What left the machine, each byte once." (bytes sample.NetworkSent)

    let disk name help (value: DiskStats.DiskCounters -> float voption) =
        sink.Each(
            "ai_dashboard_disk_" + name,
            MetricKind.Counter,
            help,
            sample.Disks,
            (fun disk -> sink.Label("device", disk.Device)),
            value
        )

    disk "read_bytes_total" "Read from a tracked disk." (fun disk -> ValueOption.map float disk.ReadBytes)
    disk "written_bytes_total" "Written to a tracked disk." (fun disk -> ValueOption.map float disk.WrittenBytes)
    disk "reads_total" "Reads of a tracked disk that were completed." (fun disk -> ValueOption.map float disk.Reads)
    disk "writes_total" "Writes of a tracked disk that were completed." (fun disk -> ValueOption.map float disk.Writes)

    disk "busy_seconds_total" "Time with a request of a tracked disk in flight." (fun disk ->
        disk.BusyTime |> ValueOption.map (secondsOfMilliseconds >> float))

/// Writes the figures of the sample that no other exporter has.
let writeMachine (sink: MetricSink) (reading: MachineReading) : unit =
    let sample = reading.Sample

    let gauge name help (value: float voption) =
        match value with
        | ValueSome value ->
            sink.Family(name, MetricKind.Gauge, help)
            sink.Value value
        | ValueNone -> ()

    bottleneck sink reading
    gauge "ai_dashboard_cpu_usage_ratio" "Busy CPU time over the CPU window." (ValueOption.map ratioOfPercent sample.CpuUsage)
    gauge "ai_dashboard_cpu_frequency_hertz" "Mean clock of the CPUs." (ValueOption.map hertzOfMhz sample.CpuFrequency)
    gauge "ai_dashboard_cpu_temperature_celsius" "Hottest CPU sensor." (ValueOption.map float sample.CpuTemperature)
    gauge "ai_dashboard_cpu_cores" "CPU cores, not hyper-threads." (ValueOption.map float sample.CpuCountPhysical)
    gauge "ai_dashboard_processes" "Processes." (ValueOption.map float sample.ProcessCount)

    charted sink sample

    sink.Family("ai_dashboard_fan_speed_rpm", MetricKind.Gauge, "Speed of a fan, from hwmon or IPMI, in revolutions per minute.")

    for fan in sample.Fans do
        sink.Label("fan", fan.Label)
        sink.Value(float fan.Speed)

    gauge
        "ai_dashboard_sample_timestamp_seconds"
        "When the sample that is shown was taken, in seconds since 1970."
        (ValueSome(float (secondsSinceEpoch sample.CollectedAt)))

let private counted (sink: MetricSink) name help (value: int64) =
    sink.Family(name, MetricKind.Counter, help)
    sink.Whole(uint64 value)

/// Writes the state of the agent.
let writeAgent (sink: MetricSink) (state: AgentState) : unit =
    sink.Family("ai_dashboard_build_info", MetricKind.Info, "The agent's version.")
    sink.Label("version", state.Version)
    sink.Whole 1UL

    counted sink "ai_dashboard_samples_taken_total" "Samples taken since the agent started." state.Taken
    counted sink "ai_dashboard_samples_skipped_total" "Samples that were due and not taken, because the machine was late." state.Skipped
    counted sink "ai_dashboard_source_failures_total" "Readings of any source that failed." state.Failures

    sink.Family("ai_dashboard_source_success", MetricKind.Gauge, "Whether the newest reading of a source is good.")

    for source in state.Sources do
        sink.Label("source", source.Source)
        sink.Whole(if source.IsGood then 1UL else 0UL)

    sink.Family("ai_dashboard_source_duration_seconds", MetricKind.Gauge, "How long the newest reading of a source took.")

    for source in state.Sources do
        match source.Duration with
        | ValueSome duration ->
            sink.Label("source", source.Source)
            sink.Value duration.TotalSeconds
        | ValueNone -> ()

    let each name kind help (value: DestinationState -> int64) =
        sink.Family(name, kind, help)

        for destination in state.Destinations do
            sink.Label("destination", destination.Destination)
            sink.Whole(uint64 (value destination))

    each "ai_dashboard_backlog_samples" MetricKind.Gauge "Samples that wait for delivery." (fun d -> d.Waiting)
    each "ai_dashboard_samples_delivered_total" MetricKind.Counter "Samples delivered." (fun d -> d.Delivered)

    sink.Family("ai_dashboard_samples_dropped_total", MetricKind.Counter, "Samples that were dropped without being delivered.")

    for destination in state.Destinations do
        let dropped reason (count: int64) =
            sink.Label("destination", destination.Destination)
            sink.Label("reason", reason)
            sink.Whole(uint64 count)

        dropped "no-room" destination.NoRoom
        dropped "refused" destination.Refused
        dropped "damaged" destination.Damaged

    let eachKnown name help (value: DestinationState -> int64 voption) =
        sink.Family(name, MetricKind.Counter, help)

        for destination in state.Destinations do
            match value destination with
            | ValueSome count ->
                sink.Label("destination", destination.Destination)
                sink.Whole(uint64 count)
            | ValueNone -> ()

    eachKnown
        "ai_dashboard_samples_unconfirmed_total"
        "Samples most likely delivered: the answer was lost, and sent again they were refused as duplicates."
        (fun d -> d.Unconfirmed)

    eachKnown "ai_dashboard_series_refused_total" "Series that the destination refused in samples whose other series it accepted." (fun d ->
        d.RefusedSeries)
