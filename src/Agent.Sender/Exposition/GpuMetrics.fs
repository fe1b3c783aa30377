/// GPUs by the names, labels and help texts of NVIDIA's dcgm-exporter (etc/default-counters.csv), so that dashboards made for
/// it work, and by names of our own for what it does not tell or tells in units of its own.
[<RequireQualifiedAccess>]
module internal Agent.Sender.GpuMetrics

open System
open System.Globalization
open Agent.Core
open Agent.Outbound
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

/// A GPU, or a GPU instance of one that is divided, once for each of the scheduler's jobs on it.
[<NoEquality; NoComparison>]
type private Holding =
    {
        Board: Board
        /// Empty where there is no job.
        Job: string
        /// The instance; none for the GPU itself.
        Part: MigDevice voption
        /// What GPM reports of it.
        Work: GpmWork voption
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

/// The profile of a MIG instance's GPU instance, `3g.40gb`, from its name: `NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb`. Empty when unknown.
let private profileOf (name: string) : string =
    match name.LastIndexOf(" MIG ", StringComparison.Ordinal) with
    | -1 -> ""
    | at ->
        let profile = name.Substring(at + " MIG ".Length)

        match profile.IndexOf("c.", StringComparison.Ordinal) with
        | -1 -> profile
        | slice -> profile.Substring(slice + "c.".Length)

/// The GPU instances of a board, each once: compute instances of one share its memory.
let private partsOf (gpu: Gpu) : MigDevice[] =
    match gpu.MigDevices with
    | ValueSome devices ->
        devices
        |> Array.filter _.GpuInstance.IsSome
        // By a text: the program has code for that already.
        |> Array.distinctBy (fun device -> text device.GpuInstance.Value)
    | ValueNone -> [||]

/// What GPM reports of a GPU instance, by any of its compute instances.
let private workOfPart (work: GpuWork) (gpu: Gpu) (part: MigDevice) : GpmWork voption =
    match
        work.Instances
        |> Array.tryFind (fun one ->
            match gpu.MigDevices with
            | ValueSome devices ->
                devices
                |> Array.exists (fun device -> device.GpuInstance = part.GpuInstance && device.Uuid = one.Instance)
            | ValueNone -> false)
    with
    | Some one -> ValueSome one.Gpm
    | None -> ValueNone

/// Tells everything of the GPUs that is known. As dcgm-exporter does it, the series of a GPU with several jobs of the scheduler are told once for
/// each, in the label `hpc_job`.
let write (sink: MetricSink) (hostname: string) (files: GpuJobFile[]) (work: GpuWork[]) (gpus: Gpu[]) : unit =
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
                    {
                        Board = board
                        Job = job
                        Part = ValueNone
                        Work = GpuWork.ofGpu board.Gpu work |> ValueOption.map _.Gpm
                    }
        |]

    let parts =
        [|
            for board in boards do
                let work = GpuWork.ofGpu board.Gpu work

                for part in partsOf board.Gpu do
                    for job in orNoJob (GpuJobFiles.ofInstance files board.Gpu.Index part) do
                        {
                            Board = board
                            Job = job
                            Part = ValueSome part
                            Work = work |> ValueOption.bind (fun work -> workOfPart work board.Gpu part)
                        }
        |]

    let whole =
        holdings
        |> Array.filter (fun holding ->
            not (
                parts
                |> Array.exists (fun part -> Object.ReferenceEquals(part.Board, holding.Board))
            ))

    let labelKnown name value =
        if value <> "" then
            sink.Label(name, value)

    let labelJob (job: string) = labelKnown "hpc_job" job

    let labelHolding (holding: Holding) =
        let board = holding.Board
        sink.Label("gpu", board.Index)
        sink.Label("UUID", board.Gpu.Uuid)
        labelKnown "pci_bus_id" board.Gpu.PciBusId
        sink.Label("device", board.Device)
        sink.Label("modelName", board.Gpu.Name)

        match holding.Part with
        | ValueSome part ->
            labelKnown "GPU_I_PROFILE" (profileOf part.Name)
            sink.Label("GPU_I_ID", text part.GpuInstance.Value)
        | ValueNone -> ()

        // dcgm-exporter wrote it with a capital until 4.8.2.
        sink.Label("Hostname", hostname)
        sink.Label("hostname", hostname)
        labelKnown "DCGM_FI_DRIVER_VERSION" board.Gpu.DriverVersion
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

    sink.Each(
        "DCGM_FI_DEV_XID_ERRORS",
        MetricKind.Gauge,
        "Value of the last XID error encountered.",
        holdings,
        (fun holding ->
            labelHolding holding

            match holding.Board.Gpu.XidLast with
            | ValueSome code ->
                sink.Label("err_code", text code)

                sink.Label(
                    "err_msg",
                    match Agent.Core.Causes.Xid.description code with
                    | "" -> "Unknown Error"
                    | words -> words
                )
            | ValueNone -> ()),
        // dcgm-exporter says 0 until there is one; here 0 never stands for "none".
        (fun holding -> holding.Board.Gpu.XidLast |> ValueOption.map float)
    )

    // Of a board that is divided its instances tell, as with dcgm-exporter, so that a sum counts no memory twice.
    let memory name help (ofPart: MigDevice -> float voption) (ofGpu: Gpu -> float voption) =
        sink.Each(
            name,
            MetricKind.Gauge,
            help,
            Array.append whole parts,
            labelHolding,
            (fun holding ->
                match holding.Part with
                | ValueSome part -> ofPart part
                | ValueNone -> ofGpu holding.Board.Gpu)
        )

    memory "DCGM_FI_DEV_FB_FREE" "Framebuffer memory free (in MiB)." (fun part -> ValueOption.map mib part.MemoryFree) (fun gpu ->
        match gpu.MemoryFree, gpu.MemoryTotal, gpu.MemoryUsed with
        | ValueSome free, _, _ -> ValueSome(mib free)
        | ValueNone, ValueSome total, ValueSome used -> ValueSome(mib (total - min used total))
        | _ -> ValueNone)

    memory "DCGM_FI_DEV_FB_USED" "Framebuffer memory used (in MiB)." (fun part -> ValueOption.map mib part.MemoryUsed) (fun gpu ->
        ValueOption.map mib gpu.MemoryUsed)

    gauge "DCGM_FI_DEV_FB_RESERVED" "Framebuffer memory reserved (in MiB)." (fun gpu -> gpu.MemoryReserved |> ValueOption.map mib)

    counter "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL" "Total number of single-bit persistent ECC errors." (fun gpu -> count gpu.EccCorrected)
    counter "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL" "Total number of double-bit persistent ECC errors." (fun gpu -> count gpu.EccUncorrected)

    let flag (value: bool voption) =
        value |> ValueOption.map (fun value -> if value then 1.0 else 0.0)

    gauge "DCGM_FI_DEV_FAN_SPEED" "Fan speed for the device in percent 0-100." (fun gpu -> plain gpu.FanSpeed)

    gauge "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS" "Current clock throttle reasons (bitmask of DCGM_CLOCKS_THROTTLE_REASON_*)." (fun gpu ->
        gpu.ThrottleReasons |> ValueOption.map (Throttle.maskOf >> float))

    let more name help (value: GpuCounters -> uint64 voption) =
        counter name help (fun gpu -> count (value gpu.Counters))

    more "DCGM_FI_DEV_PCIE_REPLAY_COUNTER" "Total number of PCIe retries." _.PcieReplays
    more "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL" "Total number of single-bit volatile ECC errors." _.VolatileCorrected
    more "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL" "Total number of double-bit volatile ECC errors." _.VolatileUncorrected
    more "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS" "Number of remapped rows for correctable errors" _.CorrectableRows
    more "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" "Number of remapped rows for uncorrectable errors" _.UncorrectableRows
    gauge "DCGM_FI_DEV_ROW_REMAP_FAILURE" "Whether remapping of rows has failed" (fun gpu -> flag gpu.Counters.HasRowFailure)
    more "DCGM_FI_DEV_POWER_VIOLATION" "Throttling duration due to power constraints (in ns)." _.PowerViolation
    more "DCGM_FI_DEV_THERMAL_VIOLATION" "Throttling duration due to thermal constraints (in ns)." _.ThermalViolation
    more "DCGM_FI_DEV_SYNC_BOOST_VIOLATION" "Throttling duration due to sync-boost constraints (in ns)." _.SyncBoostViolation
    more "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION" "Throttling duration due to board limit constraints (in ns)." _.BoardLimitViolation
    more "DCGM_FI_DEV_LOW_UTIL_VIOLATION" "Throttling duration due to low utilization (in ns)." _.LowUtilizationViolation
    more "DCGM_FI_DEV_RELIABILITY_VIOLATION" "Throttling duration due to reliability constraints (in ns)." _.ReliabilityViolation
    more "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" "Total number of NVLink flow-control CRC errors." _.NvlinkFlitErrors
    more "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL" "Total number of NVLink data CRC errors." _.NvlinkDataErrors
    more "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" "Total number of NVLink retries." _.NvlinkReplays
    more "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" "Total number of NVLink recovery errors." _.NvlinkRecoveries

    // A rate in whole MB/s, though dcgm-exporter lists it among the counters.
    counter "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL" "Total number of NVLink bandwidth counters for all lanes." (fun gpu ->
        gpu.Counters.NvlinkRate
        |> ValueOption.map (fun rate -> Math.Floor(float rate / 1e6)))

    // GPM of what is in use: a board, or the instances of one that is divided.
    let profiled name help (value: GpmWork -> float voption) =
        sink.Each(
            name,
            MetricKind.Gauge,
            help,
            Array.append holdings parts,
            labelHolding,
            (fun holding -> holding.Work |> ValueOption.bind value)
        )

    let ratio (share: float<percent> voption) = ValueOption.map ratioOfPercent share

    profiled "DCGM_FI_PROF_GR_ENGINE_ACTIVE" "Ratio of time the graphics engine is active." (fun work -> ratio work.Graphics)
    profiled "DCGM_FI_PROF_SM_ACTIVE" "The ratio of cycles an SM has at least 1 warp assigned." (fun work -> ratio work.Sm)
    profiled "DCGM_FI_PROF_SM_OCCUPANCY" "The ratio of number of warps resident on an SM." (fun work -> ratio work.Occupancy)
    profiled "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE" "Ratio of cycles the tensor (HMMA) pipe is active." (fun work -> ratio work.Tensor)

    profiled "DCGM_FI_PROF_DRAM_ACTIVE" "Ratio of cycles the device memory interface is active sending or receiving data." (fun work ->
        ratio work.Dram)

    profiled
        "DCGM_FI_PROF_PCIE_TX_BYTES"
        "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes per second."
        (fun work -> plain work.PcieOut)

    profiled
        "DCGM_FI_PROF_PCIE_RX_BYTES"
        "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes per second."
        (fun work -> plain work.PcieIn)

    profiled "DCGM_FI_PROF_NVLINK_TX_BYTES" "The rate of data transmitted over NVLink, in bytes per second." (fun work ->
        plain work.NvlinkOut)

    profiled "DCGM_FI_PROF_NVLINK_RX_BYTES" "The rate of data received over NVLink, in bytes per second." (fun work -> plain work.NvlinkIn)

    let labelBoard (board: Board) =
        sink.Label("gpu", board.Index)
        sink.Label("UUID", board.Gpu.Uuid)

    let own name kind help (value: Gpu -> float voption) =
        sink.Each("ai_dashboard_gpu_" + name, kind, help, boards, labelBoard, (fun board -> value board.Gpu))

    let ownGauge name help value = own name MetricKind.Gauge help value
    let ownCounter name help value = own name MetricKind.Counter help value
    let bytes (value: uint64<B> voption) = ValueOption.map float value

    ownGauge "memory_size_bytes" "All device memory." (fun gpu -> bytes gpu.MemoryTotal)

    // By the byte, and of a board that is divided as well: DCGM's are whole mebibytes, and tell of its parts alone.
    ownGauge "memory_used_bytes" "Device memory in use, without what the driver reserves." (fun gpu -> bytes gpu.MemoryUsed)
    ownGauge "memory_reserved_bytes" "Device memory that the driver keeps for itself." (fun gpu -> bytes gpu.MemoryReserved)
    ownGauge "sm_clock_max_hertz" "Highest clock of the multiprocessors." (fun gpu -> ValueOption.map hertzOfMhz gpu.ClockSmMax)

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
        flag gpu.RemappedRowsPending)

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
