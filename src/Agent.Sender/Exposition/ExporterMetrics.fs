/// What node_exporter says of itself, and dashboards and alerts made for it ask for.
[<RequireQualifiedAccess>]
module internal Agent.Sender.ExporterMetrics

open Agent.Core
open Agent.Outbound

/// Sources of the sample, and the collectors of node_exporter that read the same.
let private collectorsOfSources =
    [|
        struct ("cpu", "cpu")
        struct ("cpu", "stat")
        struct ("memory", "meminfo")
        struct ("load", "loadavg")
        struct ("disks", "diskstats")
        struct ("network", "netdev")
        struct ("cpu-pressure", "pressure")
    |]

let private scraped (sink: MetricSink) (collectors: CollectorReading[]) (sources: SourceState[]) =
    sink.Family("node_scrape_collector_duration_seconds", MetricKind.Gauge, "node_exporter: Duration of a collector scrape.")

    for reading in collectors do
        sink.Label("collector", reading.Collector.Name)
        sink.Value reading.Took.TotalSeconds

    let each (tell: string -> SourceState -> unit) =
        for struct (name, collector) in collectorsOfSources do
            for source in sources do
                if source.Source = name then
                    tell collector source

    each (fun collector source ->
        match source.Duration with
        | ValueSome duration ->
            sink.Label("collector", collector)
            sink.Value duration.TotalSeconds
        | ValueNone -> ())

    sink.Family("node_scrape_collector_success", MetricKind.Gauge, "node_exporter: Whether a collector succeeded.")

    let success collector isGood =
        sink.Label("collector", collector)
        sink.Whole(if isGood then 1UL else 0UL)

    for reading in collectors do
        success reading.Collector.Name (reading.Texts.Length > 0 || reading.Collector.MayBeEmpty)

    each (fun collector source -> success collector source.IsGood)

/// What Go and OpenTelemetry call a machine of this kind.
let goArchitecture (machine: string) : string =
    match machine with
    | "x86_64" -> "amd64"
    | "aarch64" -> "arm64"
    | other -> other

let private buildInfo (sink: MetricSink) (system: SystemInfo) (version: string) =
    sink.Family(
        "node_exporter_build_info",
        MetricKind.Gauge,
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build."
    )

    // Dashboards find machines by this family. It is no node_exporter, so nothing stands where that has its own.
    sink.Label("branch", "")
    sink.Label("goarch", goArchitecture system.Machine)
    sink.Label("goos", "linux")
    sink.Label("goversion", "")
    sink.Label("revision", "")
    sink.Label("version", version)
    sink.Whole 1UL

/// Writes what the collectors took, and who they are.
let write (sink: MetricSink) (reading: MachineReading) (state: AgentState) : unit =
    scraped sink reading.Collectors state.Sources
    buildInfo sink reading.System state.Version
