namespace Agent.Receiver.Cluster

open System
open Agent.Receiver

/// One metric: a family and the labels that single it out, and what its value is multiplied by to be the figure.
[<NoComparison>]
type ClusterMetric =
    {
        /// The name of the family.
        Family: string
        /// Labels that a series has beside those of the machine and of its device.
        Labels: (struct (string * string))[]
        /// A ratio is kept in per cent: 100.
        Factor: float
        /// Whether it grows from when its source started.
        IsCounter: bool
    }

/// How a figure follows from metrics.
[<NoComparison>]
type ClusterFigure<'metric> =
    /// It is one.
    | Metric of metric: 'metric
    /// One less the other.
    | Less of all: ClusterFigure<'metric> * part: ClusterFigure<'metric>
    /// Both together.
    | Plus of one: ClusterFigure<'metric> * other: ClusterFigure<'metric>
    /// One in per cent of the other.
    | PercentOf of part: ClusterFigure<'metric> * all: ClusterFigure<'metric>

/// A figure by its key in the ingest API.
[<NoComparison>]
type ClusterRow =
    {
        /// The key, as the schemas have it.
        Key: string
        /// Where it comes from.
        Of: ClusterFigure<ClusterMetric>
    }

/// A kind of thing that has figures: the machine, or its devices.
[<NoComparison>]
type ClusterObject =
    {
        /// What it is called in `ClusterMetrics.all`.
        Name: string
        /// The labels that tell its devices apart, put together with `/`; none for the machine.
        Identity: string[]
        /// The figures.
        Rows: ClusterRow[]
        /// Families that say no more than that there is such a device.
        Presence: string[]
    }

/// Which metric of the agent's exposition tells which key of a sample. Series are read by it, and samples are written by it.
[<RequireQualifiedAccess>]
module ClusterMetrics =
    let private metric family labels factor isCounter =
        Metric
            {
                Family = family
                Labels = labels
                Factor = factor
                IsCounter = isCounter
            }

    let private gauge family factor = metric family [||] factor false
    let private counter family factor = metric family [||] factor true
    let private row key figure = { Key = key; Of = figure }
    let private own name = "ai_dashboard_" + name

    /// Percent of a ratio.
    [<Literal>]
    let private Percent = 100.0

    let private toMegahertz = 1e-6
    let private toMicroseconds = 1e6
    let private toMilliseconds = 1e3

    /// When the sample was taken that a scrape shows, in seconds since 1970. Whoever has it is a machine.
    let timestamp: string = own "sample_timestamp_seconds"

    /// 1 for the label of the machine's verdict, by the label `label`.
    let verdict: string = own "verdict"

    /// How sure that is, 0 to 1.
    let verdictConfidence: string = own "verdict_confidence"

    /// 1 for the label of the bottleneck, by a label of the same name.
    let bottleneck: string = own "bottleneck"

    /// 1 for each reason that slows a GPU down, by the label `reason`.
    let throttleReason: string = own "gpu_throttle_reason"

    /// When the machine started, in seconds since 1970.
    let boot: string = "node_boot_time_seconds"

    /// The agent's version, in the label `version`.
    let build: string = own "build_info"

    let private memoryTotal = gauge "node_memory_MemTotal_bytes" 1.0
    let private memoryAvailable = gauge (own "memory_available_bytes") 1.0
    let private swapTotal = gauge "node_memory_SwapTotal_bytes" 1.0

    let private swapUsed = Less(swapTotal, gauge "node_memory_SwapFree_bytes" 1.0)

    let private mode name =
        metric (own "cpu_mode_ratio") [| struct ("mode", name) |] Percent false

    let private waited resource kind =
        metric (own "pressure_ratio") [| struct ("resource", resource); struct ("kind", kind) |] Percent false

    let private pressed name =
        counter $"node_pressure_{name}_seconds_total" toMicroseconds

    /// The machine as a whole.
    let machine: ClusterObject =
        {
            Name = "machine"
            Identity = [||]
            Presence = [||]
            Rows =
                [|
                    row "cpu_usage_percent" (gauge (own "cpu_usage_ratio") Percent)
                    row "cpu_user_percent" (mode "user")
                    row "cpu_system_percent" (mode "system")
                    row "cpu_iowait_percent" (mode "iowait")
                    row "cpu_steal_percent" (mode "steal")
                    row "cpu_load_1" (gauge "node_load1" 1.0)
                    row "cpu_load_5" (gauge "node_load5" 1.0)
                    row "cpu_load_15" (gauge "node_load15" 1.0)
                    row "cpu_frequency_mhz" (gauge (own "cpu_frequency_hertz") toMegahertz)
                    row "cpu_temperature_c" (gauge (own "cpu_temperature_celsius") 1.0)
                    row "cpu_count_logical" (gauge (own "cpus") 1.0)
                    row "cpu_count_physical" (gauge (own "cpu_cores") 1.0)
                    row "memory_total_bytes" memoryTotal
                    row "memory_available_bytes" memoryAvailable
                    row "memory_used_bytes" (Less(memoryTotal, memoryAvailable))
                    row "memory_percent" (PercentOf(Less(memoryTotal, memoryAvailable), memoryTotal))
                    row "swap_total_bytes" swapTotal
                    row "swap_used_bytes" swapUsed
                    row "swap_percent" (PercentOf(swapUsed, swapTotal))
                    row "network_rx_bytes_total" (counter (own "network_receive_bytes_total") 1.0)
                    row "network_tx_bytes_total" (counter (own "network_transmit_bytes_total") 1.0)
                    row "process_count" (gauge (own "processes") 1.0)
                    row "tcp_segments_sent_total" (counter "node_netstat_Tcp_OutSegs" 1.0)
                    row "tcp_segments_retransmitted_total" (counter "node_netstat_Tcp_RetransSegs" 1.0)
                    row "pressure_cpu_some_avg10" (waited "cpu" "some")
                    row "pressure_io_some_avg10" (waited "io" "some")
                    row "pressure_io_full_avg10" (waited "io" "full")
                    row "pressure_memory_some_avg10" (waited "memory" "some")
                    row "pressure_memory_full_avg10" (waited "memory" "full")
                    row "pressure_cpu_some_total_us" (pressed "cpu_waiting")
                    row "pressure_io_some_total_us" (pressed "io_waiting")
                    row "pressure_io_full_total_us" (pressed "io_stalled")
                    row "pressure_memory_some_total_us" (pressed "memory_waiting")
                    row "pressure_memory_full_total_us" (pressed "memory_stalled")
                |]
        }

    /// The tracked disks.
    let disks: ClusterObject =
        {
            Name = "disks"
            Identity = [| "device" |]
            Presence = [||]
            Rows =
                [|
                    row "read_bytes_total" (counter (own "disk_read_bytes_total") 1.0)
                    row "write_bytes_total" (counter (own "disk_written_bytes_total") 1.0)
                    row "read_count_total" (counter (own "disk_reads_total") 1.0)
                    row "write_count_total" (counter (own "disk_writes_total") 1.0)
                    row "busy_time_ms_total" (counter (own "disk_busy_seconds_total") toMilliseconds)
                |]
        }

    /// How busy a GPU is, in per cent.
    let gpuUse: string = "DCGM_FI_DEV_GPU_UTIL"

    let private gpuTotal = gauge (own "gpu_memory_size_bytes") 1.0
    let private gpuUsed = gauge (own "gpu_memory_used_bytes") 1.0

    /// The GPUs, with their details.
    let gpus: ClusterObject =
        {
            Name = "gpus"
            Identity = [| "gpu" |]
            Presence = [| own "gpu_suspended" |]
            Rows =
                [|
                    row "utilization_gpu_percent" (gauge gpuUse 1.0)
                    row "utilization_memory_percent" (gauge "DCGM_FI_DEV_MEM_COPY_UTIL" 1.0)
                    row "memory_total_bytes" gpuTotal
                    row "memory_used_bytes" gpuUsed
                    row "memory_percent" (PercentOf(gpuUsed, gpuTotal))
                    row "temperature_c" (gauge "DCGM_FI_DEV_GPU_TEMP" 1.0)
                    row "fan_speed_percent" (gauge (own "gpu_fan_speed_ratio") Percent)
                    row "power_w" (gauge "DCGM_FI_DEV_POWER_USAGE" 1.0)
                    row "power_limit_w" (gauge (own "gpu_power_limit_watts") 1.0)
                    row "throttle_reasons" (gauge "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS" 1.0)
                    row "xid_last" (gauge "DCGM_FI_DEV_XID_ERRORS" 1.0)
                    row "xid_count" (counter (own "gpu_xid_events_total") 1.0)
                    row "clock_sm_mhz" (gauge "DCGM_FI_DEV_SM_CLOCK" 1.0)
                    row "clock_sm_max_mhz" (gauge (own "gpu_sm_clock_max_hertz") toMegahertz)
                    row "clock_memory_mhz" (gauge "DCGM_FI_DEV_MEM_CLOCK" 1.0)
                    row "memory_temperature_c" (gauge "DCGM_FI_DEV_MEMORY_TEMP" 1.0)
                    row "memory_reserved_bytes" (gauge (own "gpu_memory_reserved_bytes") 1.0)
                    row "pcie_rx_bytes_per_s" (gauge (own "gpu_pcie_receive_bytes_per_second") 1.0)
                    row "pcie_tx_bytes_per_s" (gauge (own "gpu_pcie_transmit_bytes_per_second") 1.0)
                    row "pcie_link_gen" (gauge (own "gpu_pcie_link_generation") 1.0)
                    row "pcie_link_width" (gauge (own "gpu_pcie_link_lanes") 1.0)
                    row "nvlink_rx_bytes_total" (counter (own "gpu_nvlink_receive_bytes_total") 1.0)
                    row "nvlink_tx_bytes_total" (counter (own "gpu_nvlink_transmit_bytes_total") 1.0)
                    row "encoder_percent" (gauge "DCGM_FI_DEV_ENC_UTIL" 1.0)
                    row "decoder_percent" (gauge "DCGM_FI_DEV_DEC_UTIL" 1.0)
                    row "ecc_corrected_total" (gauge "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" 1.0)
                    row "ecc_uncorrected_total" (gauge "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" 1.0)
                    row "remapped_rows_pending" (gauge (own "gpu_remapped_rows_pending") 1.0)
                    row "energy_mj_total" (counter "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" 1.0)
                |]
        }

    /// The fans.
    let fans: ClusterObject =
        {
            Name = "fans"
            Identity = [| "fan" |]
            Presence = [||]
            Rows = [| row "speed_rpm" (gauge (own "fan_speed_rpm") 1.0) |]
        }

    /// MIG instances.
    let migDevices: ClusterObject =
        {
            Name = Details.migDevices.Name
            Identity = [| "gpu"; "mig" |]
            Presence = [||]
            Rows =
                [|
                    row "memory_total_bytes" (gauge (own "gpu_mig_memory_size_bytes") 1.0)
                    row "memory_used_bytes" (gauge (own "gpu_mig_memory_used_bytes") 1.0)
                    row "xid_count" (counter (own "gpu_mig_xid_events_total") 1.0)
                |]
        }

    let private traffic key name =
        row key (counter $"node_network_{name}_total" 1.0)

    /// Network interfaces.
    let interfaces: ClusterObject =
        {
            Name = Details.interfaces.Name
            Identity = [| "device" |]
            Presence = [||]
            Rows =
                [|
                    traffic "rx_bytes_total" "receive_bytes"
                    traffic "tx_bytes_total" "transmit_bytes"
                    traffic "rx_packets_total" "receive_packets"
                    traffic "tx_packets_total" "transmit_packets"
                    traffic "rx_errors_total" "receive_errs"
                    traffic "tx_errors_total" "transmit_errs"
                    traffic "rx_dropped_total" "receive_drop"
                    traffic "tx_dropped_total" "transmit_drop"
                |]
        }

    /// Ports of the RDMA fabric.
    let infiniband: ClusterObject =
        {
            Name = Details.infiniband.Name
            Identity = [| "device"; "port" |]
            Presence = [||]
            Rows =
                [|
                    row "rx_bytes_total" (counter "node_infiniband_port_data_received_bytes_total" 1.0)
                    row "tx_bytes_total" (counter "node_infiniband_port_data_transmitted_bytes_total" 1.0)
                |]
        }

    let private size = gauge "node_filesystem_size_bytes" 1.0

    let private filled = Less(size, gauge "node_filesystem_free_bytes" 1.0)

    /// File systems. The share is that of df(1), which leaves out what is kept for root.
    let partitions: ClusterObject =
        {
            Name = Details.partitions.Name
            Identity = [| "mountpoint" |]
            Presence = [||]
            Rows =
                [|
                    row "total_bytes" size
                    row "used_bytes" filled
                    row "percent" (PercentOf(filled, Plus(filled, gauge "node_filesystem_avail_bytes" 1.0)))
                |]
        }

    /// CPUs.
    let cores: ClusterObject =
        {
            Name = Details.cores.Name
            Identity = [| "cpu" |]
            Presence = [||]
            Rows = [| row "cpu_cores_percent" (gauge (own "cpu_core_usage_ratio") Percent) |]
        }

    /// Every kind of thing.
    let all: ClusterObject[] =
        [|
            machine
            disks
            gpus
            fans
            migDevices
            interfaces
            infiniband
            partitions
            cores
        |]

    /// The metrics of a figure, each as often as it is named.
    let rec metricsOf (figure: ClusterFigure<'metric>) : 'metric list =
        match figure with
        | Metric metric -> [ metric ]
        | Less(one, other)
        | Plus(one, other)
        | PercentOf(one, other) -> metricsOf one @ metricsOf other

    /// The families of an object, each once.
    let familiesOf (things: ClusterObject) : string[] =
        [|
            yield! things.Presence

            for row in things.Rows do
                for metric in metricsOf row.Of do
                    metric.Family
        |]
        |> Array.distinct

    /// The same of other metrics.
    let rec map (convert: 'one -> 'other) (figure: ClusterFigure<'one>) : ClusterFigure<'other> =
        match figure with
        | Metric metric -> Metric(convert metric)
        | Less(one, other) -> Less(map convert one, map convert other)
        | Plus(one, other) -> Plus(map convert one, map convert other)
        | PercentOf(one, other) -> PercentOf(map convert one, map convert other)

    /// A figure of the values of metrics, in the figure's own units; NaN where one of them is not known, and where a part is more than all.
    let rec evaluate (valueOf: 'metric -> float) (figure: ClusterFigure<'metric>) : float =
        match figure with
        | Metric metric -> valueOf metric
        | Less(all, part) ->
            let value = evaluate valueOf all - evaluate valueOf part
            if value < 0.0 then nan else value
        | Plus(one, other) -> evaluate valueOf one + evaluate valueOf other
        | PercentOf(part, all) ->
            let part = evaluate valueOf part
            let all = evaluate valueOf all

            // Of nothing everything is free: a machine without swap uses 0 per cent of it.
            if all = 0.0 && part = 0.0 then 0.0
            elif all > 0.0 then 100.0 * part / all
            else nan

    let private isSame (one: ClusterMetric) (other: ClusterMetric) =
        one.Family = other.Family && one.Labels = other.Labels

    /// The other way: the one metric that is not known yet and its value in the figure's units, so that a figure has this value. None where all are
    /// known, or more than one is not.
    let rec solve (known: 'metric -> float) (figure: ClusterFigure<'metric>) (value: float) : (struct ('metric * float)) voption =
        let at figure = evaluate known figure
        let isKnown figure = not (Double.IsNaN(at figure))

        match figure with
        | Metric metric when Double.IsNaN(known metric) && Double.IsFinite value -> ValueSome(struct (metric, value))
        | Metric _ -> ValueNone
        | Less(all, part) when isKnown all -> solve known part (at all - value)
        | Less(all, part) when isKnown part -> solve known all (value + at part)
        | Plus(one, other) when isKnown one -> solve known other (value - at one)
        | Plus(one, other) when isKnown other -> solve known one (value - at other)
        | PercentOf(part, all) when isKnown all -> solve known part (value * at all / 100.0)
        | PercentOf(part, all) when isKnown part && value > 0.0 -> solve known all (100.0 * at part / value)
        | Less _
        | Plus _
        | PercentOf _ -> ValueNone

    /// The metrics of an object, each once, in the order of their first row.
    let distinct (things: ClusterObject) : ClusterMetric[] =
        let seen = ResizeArray<ClusterMetric>()

        for row in things.Rows do
            for metric in metricsOf row.Of do
                if not (seen.Exists(fun other -> isSame other metric)) then
                    seen.Add metric

        seen.ToArray()

    /// Where a metric stands among those of its object.
    let internal placeIn (metrics: ClusterMetric[]) (metric: ClusterMetric) : int = Array.FindIndex(metrics, isSame metric)
