/// GPUs by the names, labels and help texts of NVIDIA's dcgm-exporter (etc/default-counters.csv), so that dashboards made for
/// it work, and by names of our own for what it does not tell or tells in units of its own.
[<RequireQualifiedAccess>]
module internal Agent.Sender.GpuMetrics

open System
open System.Globalization
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.Core.Units

let private text (number: int) =
    number.ToString CultureInfo.InvariantCulture

// Every figure has these, so they are made once for each GPU and not for each figure.
[<NoEquality; NoComparison>]
type private Board =
    {
        Gpu: Gpu
        Index: string
        Device: string
    }

/// A GPU, once for each of the scheduler's jobs on it.
[<NoEquality; NoComparison>]
type private Holding =
    {
        Board: Board
        /// Empty where there is no job.
        Job: string
    }

/// A MIG instance on its board, once for each of its jobs.
[<NoEquality; NoComparison>]
type private Instance =
    {
        Device: MigDevice
        Board: string
        Index: string
        /// The scheduler's job; empty where there is none.
        Job: string
    }

let private noJob = [| "" |]

let private orNoJob (jobs: string[]) = if jobs.Length = 0 then noJob else jobs

/// Whole mebibytes, as DCGM counts them.
let private mib (bytes: uint64<B>) = Math.Floor(float (mibOfBytes bytes))

/// Tells everything of the GPUs that is known. As dcgm-exporter does it, the series of a GPU with several jobs of the scheduler are told once for
/// each, in the label `hpc_job`.
let write (sink: MetricSink) (hostname: string) (files: GpuJobFile[]) (gpus: Gpu[]) : unit =
    let boards =
        gpus
        |> Array.map (fun gpu ->
            {
                Gpu = gpu
                Index = text gpu.Index
                Device = "nvidia" + text gpu.Index
            })

    let holdings =
        [|
            for board in boards do
                for job in orNoJob (GpuJobFiles.ofGpu files board.Gpu.Index) do
                    { Board = board; Job = job }
        |]

    let labelJob (job: string) =
        if job <> "" then
            sink.Label("hpc_job", job)

    let labelHolding (holding: Holding) =
        let board = holding.Board
        sink.Label("gpu", board.Index)
        sink.Label("UUID", board.Gpu.Uuid)
        sink.Label("device", board.Device)
        sink.Label("modelName", board.Gpu.Name)
        sink.Label("Hostname", hostname)
        labelJob holding.Job

    let dcgm name kind help (value: Gpu -> float voption) =
        sink.Each(name, kind, help, holdings, labelHolding, (fun holding -> value holding.Board.Gpu))

    let gauge name help value = dcgm name MetricKind.Gauge help value

    let counter name help value = dcgm name MetricKind.Counter help value

    let plain (value: float<'u> voption) = ValueOption.map float value
    let count (value: uint64<'u> voption) = ValueOption.map float value

    gauge "DCGM_FI_DEV_SM_CLOCK" "SM clock frequency (in MHz)." (fun gpu -> plain gpu.ClockSm)
    gauge "DCGM_FI_DEV_MEM_CLOCK" "Memory clock frequency (in MHz)." (fun gpu -> plain gpu.ClockMemory)
    gauge "DCGM_FI_DEV_MEMORY_TEMP" "Memory temperature (in C)." (fun gpu -> plain gpu.MemoryTemperature)
    gauge "DCGM_FI_DEV_GPU_TEMP" "GPU temperature (in C)." (fun gpu -> plain gpu.Temperature)
    gauge "DCGM_FI_DEV_POWER_USAGE" "Power draw (in W)." (fun gpu -> plain gpu.Power)
    counter "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" "Total energy consumption since boot (in mJ)." (fun gpu -> count gpu.Energy)
    gauge "DCGM_FI_DEV_GPU_UTIL" "GPU utilization (in %)." (fun gpu -> plain gpu.Utilization)
    gauge "DCGM_FI_DEV_MEM_COPY_UTIL" "Memory utilization (in %)." (fun gpu -> plain gpu.MemoryUtilization)
    gauge "DCGM_FI_DEV_ENC_UTIL" "Encoder utilization (in %)." (fun gpu -> plain gpu.Encoder)
    gauge "DCGM_FI_DEV_DEC_UTIL" "Decoder utilization (in %)." (fun gpu -> plain gpu.Decoder)

    gauge "DCGM_FI_DEV_XID_ERRORS" "Value of the last XID error encountered." (fun gpu ->
        // dcgm-exporter says 0 until there is one; here 0 never stands for "none".
        gpu.XidLast |> ValueOption.map float)

    gauge "DCGM_FI_DEV_FB_FREE" "Framebuffer memory free (in MiB)." (fun gpu ->
        match gpu.MemoryFree, gpu.MemoryTotal, gpu.MemoryUsed with
        | ValueSome free, _, _ -> ValueSome(mib free)
        | ValueNone, ValueSome total, ValueSome used -> ValueSome(mib (total - min used total))
        | _ -> ValueNone)

    gauge "DCGM_FI_DEV_FB_USED" "Framebuffer memory used (in MiB)." (fun gpu -> gpu.MemoryUsed |> ValueOption.map mib)
    gauge "DCGM_FI_DEV_FB_RESERVED" "Framebuffer memory reserved (in MiB)." (fun gpu -> gpu.MemoryReserved |> ValueOption.map mib)

    counter "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" "Total number of single-bit persistent ECC errors." (fun gpu -> count gpu.EccCorrected)
    counter "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" "Total number of double-bit persistent ECC errors." (fun gpu -> count gpu.EccUncorrected)

    let labelBoard (board: Board) =
        sink.Label("gpu", board.Index)
        sink.Label("UUID", board.Gpu.Uuid)

    let own name kind help (value: Gpu -> float voption) =
        sink.Each("ai_dashboard_gpu_" + name, kind, help, boards, labelBoard, (fun board -> value board.Gpu))

    let ownGauge name help value = own name MetricKind.Gauge help value
    let ownCounter name help value = own name MetricKind.Counter help value
    let bytes (value: uint64<B> voption) = ValueOption.map float value

    ownGauge "memory_size_bytes" "All device memory." (fun gpu -> bytes gpu.MemoryTotal)

    ownGauge "memory_is_host" "1 for a board without memory of its own, whose figures are the host's." (fun gpu ->
        if gpu.IsMemoryShared then ValueSome 1.0 else ValueNone)

    ownGauge "suspended" "1 while the kernel has suspended the board, which is not asked then." (fun gpu ->
        if gpu.IsSuspended then ValueSome 1.0 else ValueNone)

    ownGauge "power_limit_watts" "The power limit that is in force." (fun gpu -> plain gpu.PowerLimit)

    ownGauge "fan_speed_ratio" "The speed the fan is driven at, of its highest." (fun gpu -> gpu.FanSpeed |> ValueOption.map ratioOfPercent)

    ownGauge "pcie_receive_bytes_per_second" "Received over PCIe, over the 20 ms that the driver samples." (fun gpu ->
        plain gpu.PcieReceived)

    ownGauge "pcie_transmit_bytes_per_second" "Sent over PCIe, over the 20 ms that the driver samples." (fun gpu -> plain gpu.PcieSent)

    ownGauge "pcie_link_generation" "The generation of the PCIe link at this moment." (fun gpu ->
        gpu.PcieLinkGeneration |> ValueOption.map float)

    ownGauge "pcie_link_lanes" "The lanes of the PCIe link at this moment." (fun gpu -> gpu.PcieLinkWidth |> ValueOption.map float)

    ownCounter "nvlink_receive_bytes_total" "Payload received over all NVLinks." (fun gpu -> bytes gpu.NvlinkReceived)
    ownCounter "nvlink_transmit_bytes_total" "Payload sent over all NVLinks." (fun gpu -> bytes gpu.NvlinkSent)
    ownCounter "xid_events_total" "XID events since the agent started." (fun gpu -> count gpu.XidCount)

    ownGauge "remapped_rows_pending" "1 when memory rows wait for a reset to be replaced by spare ones, else 0." (fun gpu ->
        gpu.RemappedRowsPending
        |> ValueOption.map (fun pending -> if pending then 1.0 else 0.0))

    ownGauge "compute_processes" "Processes that compute on the GPU, 32 at most." (fun gpu ->
        gpu.ComputeProcesses
        |> ValueOption.map (fun processes -> float processes.Length))

    sink.Family("ai_dashboard_gpu_throttle_reason", MetricKind.Gauge, "1 for each reason that slows the clocks down at this moment.")

    for board in boards do
        match board.Gpu.ThrottleReasons with
        | ValueSome reasons ->
            for reason in reasons do
                labelBoard board
                sink.Label("reason", reason)
                sink.Whole 1UL
        | ValueNone -> ()

    // An instance that a driver names twice is one series.
    let instances =
        [|
            for board in boards do
                match board.Gpu.MigDevices with
                | ValueSome devices ->
                    for device in devices do
                        for job in orNoJob (GpuJobFiles.ofInstance files board.Gpu.Index device) do
                            {
                                Device = device
                                Board = board.Index
                                Index = text device.Index
                                Job = job
                            }
                | ValueNone -> ()
        |]
        |> Array.distinctBy (fun instance -> String.Join('\n', instance.Board, instance.Index, instance.Device.Uuid, instance.Job))

    let labelInstance (instance: Instance) =
        sink.Label("gpu", instance.Board)
        sink.Label("mig", instance.Index)
        sink.Label("UUID", instance.Device.Uuid)
        labelJob instance.Job

    let mig name kind help (value: MigDevice -> float voption) =
        sink.Each("ai_dashboard_gpu_mig_" + name, kind, help, instances, labelInstance, (fun instance -> value instance.Device))

    mig "memory_size_bytes" MetricKind.Gauge "All memory of a MIG instance." (fun device -> bytes device.MemoryTotal)
    mig "memory_used_bytes" MetricKind.Gauge "Memory in use of a MIG instance." (fun device -> bytes device.MemoryUsed)

    mig "compute_processes" MetricKind.Gauge "Processes that compute on a MIG instance, 32 at most." (fun device ->
        device.ComputeProcesses
        |> ValueOption.map (fun processes -> float processes.Length))

    mig "xid_events_total" MetricKind.Counter "XID events of a MIG instance since the agent started." (fun device -> count device.XidCount)
