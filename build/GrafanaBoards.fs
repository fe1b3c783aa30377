/// The dashboards for Grafana in packaging/grafana: one row a panel; places and numbers follow from the order. build/Docs.fsx writes them, and
/// tests hold them against this and against a Prometheus that scrapes an agent.
module Agent.Build.GrafanaBoards

open System.Text.Json
open System.Text.Json.Nodes

/// How a panel shows its figures.
type Look =
    /// Lines over time.
    | Lines
    /// Areas on top of each other.
    | Stacked
    /// One number, of now.
    | Number
    /// One row for each series, of now: these labels as columns, and the value under a name.
    | Rows of labels: string list * value: string
    /// A lane for each series, coloured where it is 1.
    | Lanes

/// A panel.
type Panel =
    {
        Title: string
        /// What Grafana calls the unit: `percentunit`, `Bps`, `celsius`.
        Unit: string
        /// Of 24 columns.
        Width: int
        Look: Look
        /// Expressions, and what their series are called.
        Queries: (string * string) list
    }

/// A dashboard.
type Board =
    {
        /// Its file's name, and the end of its uid.
        Name: string
        Title: string
        /// Label, query of its values: what is chosen at the top.
        Variables: (string * string) list
        /// Section by section.
        Sections: (string * Panel list) list
    }

/// A pair in a list, where a comma would look like a slip.
let private (=>) (one: 'a) (other: 'b) : 'a * 'b = one, other

let private panel width look unit' title queries =
    {
        Title = title
        Unit = unit'
        Width = width
        Look = look
        Queries = queries
    }

let private lines = panel 12 Lines
let private stacked = panel 12 Stacked
let private number = panel 4 Number

let private table width labels value title query =
    panel width (Rows(labels, value)) "none" title [ query => "" ]

let private instances = "instance", "label_values(ai_dashboard_sample_timestamp_seconds, instance)"

let private fleet: Board =
    {
        Name = "fleet"
        Title = "AI dashboard: fleet"
        Variables = [ instances ]
        Sections =
            [
                "Now",
                [
                    number
                        "none"
                        "Machines"
                        [
                            "count(ai_dashboard_sample_timestamp_seconds{instance=~\"$instance\"})" => ""
                        ]
                    number
                        "none"
                        "Silent for three minutes"
                        [
                            "count(time() - last_over_time(ai_dashboard_sample_timestamp_seconds{instance=~\"$instance\"}[1h]) > 180) or vector(0)"
                            => ""
                        ]
                    number "none" "GPUs" [ "count(DCGM_FI_DEV_GPU_UTIL{instance=~\"$instance\"})" => "" ]
                    number "percentunit" "GPUs busy, mean" [ "avg(DCGM_FI_DEV_GPU_UTIL{instance=~\"$instance\"}) / 100" => "" ]
                    number "none" "GPUs held by jobs" [ "sum(ai_dashboard_job_gpus{instance=~\"$instance\"})" => "" ]
                    number "watt" "GPU power" [ "sum(DCGM_FI_DEV_POWER_USAGE{instance=~\"$instance\"})" => "" ]
                    table
                        24
                        [ "instance"; "label" ]
                        "Value"
                        "What holds each machine back"
                        "ai_dashboard_verdict{instance=~\"$instance\"} == 1"
                ]
                "Over time",
                [
                    stacked
                        "none"
                        "GPUs of jobs, by what holds them back"
                        [
                            "sum by (label) (rate(ai_dashboard_job_gpu_seconds_total{instance=~\"$instance\"}[$__rate_interval]))"
                            => "{{label}}"
                        ]
                    lines
                        "percentunit"
                        "GPUs busy"
                        [
                            "avg by (instance) (DCGM_FI_DEV_GPU_UTIL{instance=~\"$instance\"}) / 100"
                            => "{{instance}}"
                        ]
                    lines
                        "celsius"
                        "Hottest GPU"
                        [
                            "max by (instance) (DCGM_FI_DEV_GPU_TEMP{instance=~\"$instance\"})"
                            => "{{instance}}"
                        ]
                    stacked
                        "watt"
                        "GPU power"
                        [
                            "sum by (instance) (DCGM_FI_DEV_POWER_USAGE{instance=~\"$instance\"})"
                            => "{{instance}}"
                        ]
                    lines
                        "percentunit"
                        "Memory used"
                        [
                            "1 - node_memory_MemAvailable_bytes{instance=~\"$instance\"} / node_memory_MemTotal_bytes{instance=~\"$instance\"}"
                            => "{{instance}}"
                        ]
                    lines
                        "percentunit"
                        "Fullest file system"
                        [
                            "max by (instance) (1 - node_filesystem_avail_bytes{instance=~\"$instance\"} / node_filesystem_size_bytes{instance=~\"$instance\"})"
                            => "{{instance}}"
                        ]
                ]
                "Trouble",
                [
                    panel
                        12
                        Stacked
                        "none"
                        "Reasons that slow GPUs down"
                        [
                            "sum by (instance, reason) (ai_dashboard_gpu_throttle_reason{instance=~\"$instance\"})"
                            => "{{instance}} {{reason}}"
                        ]
                    lines
                        "none"
                        "Samples that wait"
                        [
                            "ai_dashboard_backlog_samples{instance=~\"$instance\"}"
                            => "{{instance}} {{destination}}"
                        ]
                    table
                        24
                        [ "instance"; "source" ]
                        "Value"
                        "Sources that cannot be read"
                        "ai_dashboard_source_success{instance=~\"$instance\"} == 0"
                ]
            ]
    }

let private one = "instance=~\"$instance\""

let private perGpu (metric: string) =
    $"%s{metric}{{%s{one}}}" => "GPU {{gpu}}"

let private machine: Board =
    {
        Name = "machine"
        Title = "AI dashboard: machine"
        Variables = [ instances ]
        Sections =
            [
                "What holds it back",
                [
                    panel 24 Lanes "none" "Verdict" [ $"ai_dashboard_verdict{{%s{one}}} == 1" => "{{label}}" ]
                    stacked
                        "none"
                        "GPUs of jobs, by what holds them back"
                        [
                            $"sum by (label) (rate(ai_dashboard_job_gpu_seconds_total{{%s{one}}}[$__rate_interval]))"
                            => "{{label}}"
                        ]
                    table 12 [ "job"; "user"; "name"; "owner_kind"; "owner" ] "Value" "Jobs" $"ai_dashboard_job_info{{%s{one}}}"
                ]
                "GPUs",
                [
                    lines "percent" "Utilisation" [ perGpu "DCGM_FI_DEV_GPU_UTIL" ]
                    lines
                        "percentunit"
                        "Memory used"
                        [
                            $"DCGM_FI_DEV_FB_USED{{%s{one}}} / (DCGM_FI_DEV_FB_USED{{%s{one}}} + DCGM_FI_DEV_FB_FREE{{%s{one}}})"
                            => "GPU {{gpu}}"
                        ]
                    lines "watt" "Power" [ perGpu "DCGM_FI_DEV_POWER_USAGE" ]
                    lines "celsius" "Temperature" [ perGpu "DCGM_FI_DEV_GPU_TEMP" ]
                    lines "rotmhz" "SM clock" [ perGpu "DCGM_FI_DEV_SM_CLOCK" ]
                    lines "none" "Reasons that slow it down" [ $"ai_dashboard_gpu_throttle_reason{{%s{one}}}" => "GPU {{gpu}} {{reason}}" ]
                ]
                "CPU and memory",
                [
                    stacked
                        "percentunit"
                        "CPU time"
                        [
                            $"sum by (mode) (rate(node_cpu_seconds_total{{%s{one}, mode!=\"idle\"}}[$__rate_interval])) / scalar(count(node_cpu_seconds_total{{%s{one}, mode=\"idle\"}}))"
                            => "{{mode}}"
                        ]
                    lines
                        "percentunit"
                        "Pressure: time in which tasks stalled"
                        [
                            $"rate(node_pressure_cpu_waiting_seconds_total{{%s{one}}}[$__rate_interval])"
                            => "CPU"
                            $"rate(node_pressure_io_waiting_seconds_total{{%s{one}}}[$__rate_interval])"
                            => "I/O"
                            $"rate(node_pressure_memory_waiting_seconds_total{{%s{one}}}[$__rate_interval])"
                            => "memory"
                        ]
                    lines
                        "short"
                        "Load"
                        [
                            $"node_load1{{%s{one}}}" => "1 min"
                            $"node_load5{{%s{one}}}" => "5 min"
                            $"node_load15{{%s{one}}}" => "15 min"
                        ]
                    lines
                        "bytes"
                        "Memory"
                        [
                            $"node_memory_MemTotal_bytes{{%s{one}}}" => "all"
                            $"node_memory_MemTotal_bytes{{%s{one}}} - node_memory_MemAvailable_bytes{{%s{one}}}"
                            => "used"
                            $"node_memory_SwapTotal_bytes{{%s{one}}} - node_memory_SwapFree_bytes{{%s{one}}}"
                            => "swap"
                        ]
                ]
                "Disks and network",
                [
                    lines
                        "Bps"
                        "Disk throughput"
                        [
                            $"rate(node_disk_read_bytes_total{{%s{one}}}[$__rate_interval])"
                            => "{{device}} read"
                            $"rate(node_disk_written_bytes_total{{%s{one}}}[$__rate_interval])"
                            => "{{device}} written"
                        ]
                    lines
                        "percentunit"
                        "Disk busy"
                        [
                            $"rate(node_disk_io_time_seconds_total{{%s{one}}}[$__rate_interval])"
                            => "{{device}}"
                        ]
                    lines
                        "Bps"
                        "Network"
                        [
                            $"rate(node_network_receive_bytes_total{{%s{one}}}[$__rate_interval])"
                            => "{{device}} received"
                            $"rate(node_network_transmit_bytes_total{{%s{one}}}[$__rate_interval])"
                            => "{{device}} sent"
                        ]
                    lines
                        "percentunit"
                        "File systems, used"
                        [
                            $"1 - node_filesystem_avail_bytes{{%s{one}}} / node_filesystem_size_bytes{{%s{one}}}"
                            => "{{mountpoint}}"
                        ]
                ]
                "Sensors",
                [
                    lines "celsius" "Temperatures" [ $"node_hwmon_temp_celsius{{%s{one}}}" => "{{chip}} {{sensor}}" ]
                    lines "rotrpm" "Fans" [ $"ai_dashboard_fan_speed_rpm{{%s{one}}}" => "{{fan}}" ]
                ]
            ]
    }

let private ofUser =
    "* on (instance, job) group_left (user, name) max by (instance, job, user, name) (last_over_time(ai_dashboard_job_info{user=~\"$user\"}[$__range]))"

let private jobs: Board =
    {
        Name = "jobs"
        Title = "AI dashboard: jobs and waste"
        Variables =
            [
                "instance", snd instances
                "user", "label_values(ai_dashboard_job_info, user)"
            ]
        Sections =
            [
                "In the time that is shown",
                [
                    table
                        12
                        [ "user"; "label" ]
                        "GPU-hours"
                        "GPU-hours by user, and what held the jobs back"
                        $"sum by (user, label) (increase(ai_dashboard_job_gpu_seconds_total{{%s{one}}}[$__range]) %s{ofUser}) / 3600 > 0"
                    table
                        12
                        [ "user"; "name"; "label" ]
                        "GPU-hours"
                        "Jobs that were held back, held GPUs idle or hung"
                        $"sum by (user, name, label) (increase(ai_dashboard_job_gpu_seconds_total{{%s{one}, label!~\"compute|starting|unknown|idle\"}}[$__range]) %s{ofUser}) / 3600 > 0"
                ]
                "Jobs now",
                [
                    table
                        24
                        [ "instance"; "job"; "user"; "name"; "owner_kind"; "owner"; "namespace" ]
                        "Value"
                        "Who uses GPUs"
                        $"ai_dashboard_job_info{{%s{one}, user=~\"$user\"}}"
                    panel
                        24
                        Lanes
                        "none"
                        "What holds each job back"
                        [
                            $"ai_dashboard_job_verdict{{%s{one}}} == 1" => "{{instance}} {{job}} {{label}}"
                        ]
                    lines "percentunit" "GPUs busy" [ $"ai_dashboard_job_gpu_busy_ratio{{%s{one}}}" => "{{instance}} {{job}}" ]
                    lines
                        "percentunit"
                        "GPU power, of its limit"
                        [ $"ai_dashboard_job_gpu_power_ratio{{%s{one}}}" => "{{instance}} {{job}}" ]
                    lines "none" "CPU cores" [ $"ai_dashboard_job_cpu_cores{{%s{one}}}" => "{{instance}} {{job}}" ]
                    lines "bytes" "Memory" [ $"ai_dashboard_job_memory_bytes{{%s{one}}}" => "{{instance}} {{job}}" ]
                    lines
                        "Bps"
                        "Reads"
                        [
                            $"ai_dashboard_job_read_bytes_per_second{{%s{one}}}" => "{{instance}} {{job}}"
                        ]
                    lines "percentunit" "Data loaders busy" [ $"ai_dashboard_job_loaders_busy_ratio{{%s{one}}}" => "{{instance}} {{job}}" ]
                ]
            ]
    }

/// All of them.
let boards: Board list = [ fleet; machine; jobs ]

// ---- JSON --------------------------------------------------------------------------------------------------------------

let private value (given: 'a) : JsonNode | null = JsonValue.Create<'a> given

let private object' (members: (string * (JsonNode | null)) list) : JsonNode =
    let made = JsonObject()

    for name, value in members do
        made[name] <- value

    made

let private array (entries: JsonNode list) : JsonNode = JsonArray(entries |> Array.ofList)

let private source = object' [ "type", value "prometheus"; "uid", value "${datasource}" ]

let private kindOf (look: Look) =
    match look with
    | Lines
    | Stacked -> "timeseries"
    | Number -> "stat"
    | Rows _ -> "table"
    | Lanes -> "state-timeline"

let private isOfNow (look: Look) =
    match look with
    | Number
    | Rows _ -> true
    | _ -> false

let private target (look: Look) (index: int) (query: string, legend: string) : JsonNode =
    object'
        [
            "refId", value (string (char (int 'A' + index)))
            "datasource", source.DeepClone()
            "expr", value query
            "legendFormat", value (if legend = "" then "__auto" else legend)
            "instant", value (isOfNow look)
            "range", value (not (isOfNow look))
            "format",
            value (
                match look with
                | Rows _ -> "table"
                | _ -> "time_series"
            )
        ]

let private transformations (look: Look) : JsonNode =
    match look with
    | Rows(labels, name) ->
        array
            [
                object'
                    [
                        "id", value "filterFieldsByName"
                        "options",
                        object'
                            [
                                "include"
                                => object'
                                    [
                                        "names" => array [ for label in labels @ [ "Value" ] -> value label |> nonNull ]
                                    ]
                            ]
                    ]
                object'
                    [
                        "id", value "organize"
                        "options",
                        object'
                            [
                                "indexByName", object' (labels @ [ "Value" ] |> List.mapi (fun index label -> label, value index))
                                "renameByName", object' [ "Value" => value name ]
                            ]
                    ]
            ]
    | _ -> array []

let private custom (look: Look) : JsonNode =
    match look with
    | Stacked ->
        object'
            [
                "fillOpacity", value 60
                "lineWidth", value 0
                "stacking", object' [ "mode" => value "normal" ]
            ]
    | Lines -> object' [ "fillOpacity", value 8; "showPoints", value "never" ]
    | _ -> object' []

let private panelOf (number: int) (x: int) (y: int) (height: int) (panel: Panel) : JsonNode =
    object'
        [
            "id", value number
            "type", value (kindOf panel.Look)
            "title", value panel.Title
            "datasource", source.DeepClone()
            "gridPos", object' [ "x", value x; "y", value y; "w", value panel.Width; "h", value height ]
            "targets", array (panel.Queries |> List.mapi (target panel.Look))
            "transformations", transformations panel.Look
            "fieldConfig",
            object'
                [
                    "defaults", object' [ "unit", value panel.Unit; "custom", custom panel.Look ]
                    "overrides", array []
                ]
            "options", object' []
        ]

let private heightOf (panel: Panel) =
    match panel.Look with
    | Number -> 4
    | Lanes -> 6
    | _ -> 8

/// Panels in their places: from left to right, and on to the next row where there is no room.
let private placed (board: Board) : JsonNode list =
    let made = ResizeArray<JsonNode>()
    let mutable y = 0

    for title, panels in board.Sections do
        made.Add(
            object'
                [
                    "id", value (made.Count + 1)
                    "type", value "row"
                    "title", value title
                    "collapsed", value false
                    "gridPos", object' [ "x", value 0; "y", value y; "w", value 24; "h", value 1 ]
                    "panels", array []
                ]
        )

        y <- y + 1
        let mutable x = 0
        let mutable height = 0

        for panel in panels do
            if x + panel.Width > 24 then
                x <- 0
                y <- y + height
                height <- 0

            made.Add(panelOf (made.Count + 1) x y (heightOf panel) panel)
            x <- x + panel.Width
            height <- max height (heightOf panel)

        y <- y + height

    List.ofSeq made

let private variable (name: string, query: string) : JsonNode =
    object'
        [
            "name", value name
            "type", value "query"
            "datasource", source.DeepClone()
            "query", object' [ "query", value query; "refId", value name ]
            "definition", value query
            "refresh", value 2
            "sort", value 1
            "multi", value true
            "includeAll", value true
            "allValue", value ".*"
            "current", object' [ "text", value "All"; "value", value "$__all" ]
        ]

let private json (board: Board) : string =
    let dataSource =
        object'
            [
                "name", value "datasource"
                "type", value "datasource"
                "query", value "prometheus"
                "label", value "Data source"
            ]

    let root =
        object'
            [
                "uid", value $"ai-dashboard-%s{board.Name}"
                "title", value board.Title
                "tags", array [ value "ai-dashboard" |> nonNull ]
                "schemaVersion", value 39
                "editable", value true
                "refresh", value "30s"
                "time", object' [ "from", value "now-6h"; "to", value "now" ]
                "templating", object' [ "list" => array (dataSource :: (board.Variables |> List.map variable)) ]
                "panels", array (placed board)
            ]

    root.ToJsonString(
        JsonSerializerOptions(WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)
    )
    + "\n"

/// The files and what is in them.
let files: (string * string) list =
    [ for board in boards -> $"packaging/grafana/%s{board.Name}.json", json board ]

/// Every expression, with what Grafana puts into it filled in: all machines and users, a minute, an hour.
let expressions: (string * string) list =
    [
        for board in boards do
            for _, panels in board.Sections do
                for panel in panels do
                    for query, _ in panel.Queries do
                        $"%s{board.Name}: %s{panel.Title}",
                        query.Replace("$instance", ".*").Replace("$user", ".*").Replace("$__rate_interval", "1m").Replace("$__range", "1h")
    ]
