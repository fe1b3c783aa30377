/// A scripted fleet of training machines: what the demo replays and the pages of the browser tests show. Each machine
/// works through phases, of which every bottleneck label is one, and sends the ingest API's JSON. The same second of the same
/// machine gives the same numbers, but for its counters, which add up from where it began.
module Demo.Fleet

open System
open System.Buffers
open System.Text.Json
open Demo.Conditions

/// What a machine is busy with, as the middles that its figures vary around: per cent, but for reads and writes in bytes a
/// second. Without `Gpu` the machine has none.
type Phase =
    {
        Gpu: float voption
        Cpu: float
        IoWait: float
        Memory: float
        Swap: float
        Disk: float
        Read: float
        Write: float
    }

let private phase gpu cpu ioWait memory swap disk read write =
    {
        Gpu = gpu
        Cpu = cpu
        IoWait = ioWait
        Memory = memory
        Swap = swap
        Disk = disk
        Read = read * 1e6
        Write = write * 1e6
    }

/// The phases by the label that they make the dashboard give, or nearly so: the figures vary.
let phases: Map<string, Phase> =
    Map
        [
            "gpu-bound", phase (ValueSome 97.0) 38.0 0.6 54.0 0.0 22.0 420.0 60.0
            "balanced", phase (ValueSome 74.0) 52.0 1.5 60.0 0.0 38.0 700.0 90.0
            "io-bound", phase (ValueSome 31.0) 24.0 27.0 48.0 0.0 93.0 1900.0 40.0
            "cpu-bound", phase (ValueSome 38.0) 96.0 0.4 55.0 0.0 16.0 210.0 20.0
            "memory-pressure", phase (ValueSome 58.0) 44.0 5.0 97.5 24.0 35.0 160.0 300.0
            "underutilized", phase (ValueSome 36.0) 41.0 1.0 42.0 0.0 26.0 240.0 10.0
            "mixed-cpu-gpu", phase (ValueSome 86.0) 96.0 0.7 66.0 0.0 30.0 520.0 40.0
            "mixed-io-gpu", phase (ValueSome 79.0) 58.0 8.0 63.0 0.0 93.0 2300.0 400.0
            "mixed", phase (ValueSome 78.0) 85.0 2.0 70.0 0.0 48.0 900.0 120.0
            "idle", phase (ValueSome 1.0) 2.0 0.1 12.0 0.0 1.0 0.4 1.2
            "without a GPU", phase ValueNone 46.0 2.0 52.0 0.0 24.0 120.0 80.0
        ]

/// Which GPUs a machine has: their name, how many, the memory of one in bytes and its power limit in watts.
type Gpus =
    {
        Name: string
        Count: int
        Memory: float
        Power: float
    }

/// A machine of the script, and the counters that it has come to.
type Machine =
    {
        Slug: string
        Name: string
        /// What it does now and most of the time.
        Usual: string
        /// What it does in between.
        Other: string
        /// What is said of it while it does the usual.
        Condition: Condition
        Gpus: Gpus
        Cores: int
        Memory: float
        /// Bytes read and written and milliseconds busy of each disk, bytes received and sent.
        Counters: float[]
    }

let private disks = [| "nvme0n1"; "nvme1n1" |]

let private makes =
    [|
        {
            Name = "NVIDIA H100 80GB HBM3"
            Count = 8
            Memory = 85520809984.0
            Power = 700.0
        }
        {
            Name = "NVIDIA A100-SXM4-80GB"
            Count = 4
            Memory = 85899345920.0
            Power = 400.0
        }
        {
            Name = "NVIDIA GeForce RTX 4090"
            Count = 2
            Memory = 25757220864.0
            Power = 450.0
        }
    |]

let private kinds = [| "h100", "H100 trainer"; "a100", "A100 trainer"; "rtx", "Workstation" |]

/// What the machines usually do, and otherwise: the rule's labels in turn, training that goes well first, then what only the verdict tells apart.
let private work =
    [|
        "gpu-bound", "io-bound"
        "io-bound", "gpu-bound"
        "memory-pressure", "balanced"
        "balanced", "underutilized"
        "cpu-bound", "mixed-cpu-gpu"
        "underutilized", "idle"
        "mixed-cpu-gpu", "gpu-bound"
        "gpu-bound", "balanced"
        "mixed-io-gpu", "io-bound"
        "idle", "gpu-bound"
        "mixed", "balanced"
        "without a GPU", "without a GPU"
        "gpu-bound", "balanced"
        "underutilized", "gpu-bound"
        "gpu-bound", "balanced"
        "idle", "gpu-bound"
        "idle", "gpu-bound"
        "gpu-bound", "balanced"
        "underutilized", "gpu-bound"
        "idle", "gpu-bound"
    |]

/// The machine of this number, from 0.
let machine (number: int) : Machine =
    let usual, other = work[number % work.Length]
    let kind, name = kinds[number % kinds.Length]
    let make = makes[number % makes.Length]
    let hasGpus = usual <> "without a GPU"

    {
        Slug =
            if hasGpus then
                $"%s{kind}-%02d{number + 1}"
            else
                $"prep-%02d{number + 1}"
        Name =
            if hasGpus then
                $"%s{name} %d{number + 1}"
            else
                $"Data preparation %d{number + 1}"
        Usual = usual
        Other = other
        Condition = Conditions.ofMachine number
        Gpus = if hasGpus then make else { make with Count = 0 }
        Cores = [| 96; 64; 16 |][number % 3]
        Memory = [| 1.1e12; 5.4e11; 1.35e11 |][number % 3]
        Counters = Array.create (disks.Length * 3 + 2) 1e12
    }

// ---- Numbers that vary, always in the same way ------------------------------------------------------------------------

/// 0 to 1, from the bits of a name and a whole number (FNV-1a, then a finisher that spreads them).
let private chance (name: string) (number: int64) =
    let mutable hash = 14695981039346656037UL

    for letter in name do
        hash <- (hash ^^^ uint64 letter) * 1099511628211UL

    hash <- (hash ^^^ uint64 number) * 1099511628211UL
    hash <- (hash ^^^ (hash >>> 33)) * 0xff51afd7ed558ccdUL
    float ((hash ^^^ (hash >>> 33)) >>> 11) / float (1UL <<< 53)

/// A smooth curve between chances that are `period` seconds apart.
let private wave (name: string) (period: float) (second: float) =
    let place = second / period
    let whole = Math.Floor place
    let part = place - whole
    let before, after = chance name (int64 whole), chance name (int64 whole + 1L)
    before + (after - before) * part * part * (3.0 - 2.0 * part)

let private within low high value = max low (min high value)

/// A figure that drifts slowly around its middle and trembles a little.
let private around name (middle: float) (spread: float) second =
    middle
    + (wave name 90.0 second - 0.5) * 2.0 * spread
    + (wave (name + "'") 4.0 second - 0.5) * 0.6 * spread

/// What the machine does at a second: its usual work, with stretches of the other, and of idleness in the past. The last
/// ten minutes before `now` are always the usual.
let doing (machine: Machine) (now: float) (second: float) : string =
    let mood = wave (machine.Slug + " mood") 2700.0 second

    if now - second < 600.0 || machine.Gpus.Count = 0 then
        machine.Usual
    elif mood > 0.76 then
        machine.Other
    elif mood < 0.07 then
        "idle"
    else
        machine.Usual

// ---- One sample ---------------------------------------------------------------------------------------------------------

let private tenths (value: float) = Math.Round(value, 1)

/// What is said of a machine at that second; none while it does something else.
let private conditionAt (machine: Machine) now second : Condition voption =
    if doing machine now second = machine.Usual then
        ValueSome machine.Condition
    else
        ValueNone

let private writeGpu (writer: Utf8JsonWriter) (machine: Machine) (load: Phase) (condition: Condition voption) second index =
    let name part =
        $"%s{machine.Slug} gpu %d{index} %s{part}"

    let middle = load.Gpu |> ValueOption.defaultValue 0.0
    let spread = if middle > 90.0 || middle < 5.0 then 1.4 else 7.0
    // The busiest GPU makes the label: the others are a little less busy.
    let behind = if index = 0 then 0.0 else 3.0 + 4.0 * float (index % 3)

    let scripted = condition |> ValueOption.bind _.Busy |> ValueOption.map (fun busy -> busy index)

    let used =
        scripted
        |> ValueOption.defaultWith (fun () -> around (name "use") (middle - behind) spread second)
        |> within 0.0 100.0
        |> Math.Round

    let heat = 31.0 + used * 0.42 + around (name "heat") 0.0 3.0 second

    let watts =
        machine.Gpus.Power * (0.14 + 0.0083 * used)
        + around (name "power") 0.0 12.0 second

    let power =
        match condition |> ValueOption.bind _.Power with
        | ValueSome share -> machine.Gpus.Power * share
        | ValueNone -> min watts machine.Gpus.Power

    let filled =
        if middle < 5.0 then
            3.0
        else
            around (name "memory") (62.0 + 3.0 * float (index % 4)) 2.0 second

    writer.WriteStartObject()
    writer.WriteNumber("gpu_index", index)
    writer.WriteString("name", machine.Gpus.Name)
    writer.WriteString("uuid", $"GPU-%s{machine.Slug}-%d{index}")
    writer.WriteNumber("utilization_gpu_percent", used)
    writer.WriteNumber("utilization_memory_percent", Math.Round(used * 0.61))
    writer.WriteNumber("memory_total_bytes", int64 machine.Gpus.Memory)
    writer.WriteNumber("memory_used_bytes", int64 (machine.Gpus.Memory * filled / 100.0))
    writer.WriteNumber("memory_percent", tenths filled)
    writer.WriteNumber("temperature_c", Math.Round heat)

    if machine.Gpus.Count = 2 then
        writer.WriteNumber("fan_speed_percent", Math.Round(28.0 + used * 0.45))
    else
        writer.WriteNull "fan_speed_percent"

    writer.WriteNumber("power_w", tenths power)
    writer.WriteNumber("power_limit_w", machine.Gpus.Power)
    writer.WriteStartArray "throttle_reasons"

    if power >= machine.Gpus.Power * 0.965 then
        writer.WriteStringValue "sw_power_cap"

    for reason in
        condition
        |> ValueOption.map (fun said -> said.Throttle index)
        |> ValueOption.defaultValue [] do
        writer.WriteStringValue reason

    writer.WriteEndArray()
    // Counters that have grown evenly since long ago.
    let grown rate = int64 (second % 1e7 * rate)

    let link part =
        2e9 + 2e7 * used * wave (name part) 30.0 second

    writer.WriteNumber("clock_sm_mhz", Math.Round(1200.0 + 7.0 * used))
    writer.WriteNumber("clock_memory_mhz", 2619)
    writer.WriteNumber("memory_temperature_c", Math.Round(heat + 9.0))
    writer.WriteNumber("pcie_rx_bytes_per_s", Math.Round(link "pcie in"))
    writer.WriteNumber("pcie_tx_bytes_per_s", Math.Round(0.3 * link "pcie out"))
    writer.WriteNumber("pcie_link_gen", 5)
    writer.WriteNumber("pcie_link_width", 16)
    writer.WriteNumber("ecc_corrected_total", (if index = 3 then 2 else 0))
    writer.WriteNumber("ecc_uncorrected_total", 0)
    writer.WriteBoolean("remapped_rows_pending", false)
    writer.WriteNumber("xid_count", 0)
    writer.WriteNumber("energy_mj_total", grown (machine.Gpus.Power * 700.0))
    writer.WriteNumber("nvlink_rx_bytes_total", grown (1.8e10 + 1e9 * float index))
    writer.WriteNumber("nvlink_tx_bytes_total", grown 1.7e10)
    writer.WriteEndObject()

/// Adds what happened in `seconds` to the counters.
let private advance (machine: Machine) (load: Phase) (second: float) (seconds: float) =
    let shares = [| 0.62; 0.38 |]

    let add place amount =
        machine.Counters[place] <- machine.Counters[place] + amount * seconds

    for at in 0 .. disks.Length - 1 do
        let name part =
            $"%s{machine.Slug} %s{disks[at]} %s{part}"

        let middle = load.Disk * (if at = 0 then 1.0 else 0.72)
        let busy = around (name "busy") middle (min 5.0 (load.Disk * 0.2)) second

        let vary part =
            0.8 + 0.4 * wave (name part) 20.0 second
        // A checkpoint every half hour.
        let burst =
            if load.Write > 3e7 && second % 1800.0 < 40.0 then
                4.0
            else
                1.0

        add (at * 3) (load.Read * shares[at] * vary "read")
        add (at * 3 + 1) (load.Write * shares[at] * vary "write" * burst)
        add (at * 3 + 2) (within 0.0 99.6 busy * 10.0)

    let traffic at middle =
        add (disks.Length * 3 + at) (middle * (0.4 + 1.2 * wave $"%s{machine.Slug} net %d{at}" 45.0 second))

    let activity = 0.02 + (load.Gpu |> ValueOption.defaultValue load.Cpu) / 100.0
    traffic 0 (3.1e8 * activity)
    traffic 1 (1.4e8 * activity)

let private writeDisk (writer: Utf8JsonWriter) (machine: Machine) at (device: string) =
    let counter part = int64 machine.Counters[at * 3 + part]
    writer.WriteStartObject()
    writer.WriteString("device", device)
    writer.WriteNumber("read_bytes_total", counter 0)
    writer.WriteNumber("write_bytes_total", counter 1)
    writer.WriteNumber("read_count_total", counter 0 / 262144L)
    writer.WriteNumber("write_count_total", counter 1 / 524288L)
    writer.WriteNumber("busy_time_ms_total", counter 2)
    writer.WriteEndObject()

let private writePressure (writer: Utf8JsonWriter) (load: Phase) =
    let io = load.IoWait * 1.3
    let memory = if load.Swap > 0.0 then load.Swap * 0.6 else 0.0
    writer.WriteStartObject "pressure"
    writer.WriteNumber("cpu_some_avg10", tenths (max 0.0 (load.Cpu - 60.0) * 0.5))
    writer.WriteNumber("io_some_avg10", tenths io)
    writer.WriteNumber("io_full_avg10", tenths (io * 0.6))
    writer.WriteNumber("memory_some_avg10", tenths memory)
    writer.WriteNumber("memory_full_avg10", tenths (memory * 0.5))
    writer.WriteEndObject()

let private writeWitnesses (writer: Utf8JsonWriter) (name: string) (witnesses: Witness list) =
    writer.WriteStartArray name

    for witness in witnesses do
        writer.WriteStartObject()
        writer.WriteString("name", witness.Name)
        writer.WriteNumber("value", witness.Value)

        match witness.Limit with
        | ValueSome limit -> writer.WriteNumber("limit", limit)
        | ValueNone -> writer.WriteNull "limit"

        writer.WriteString("unit", witness.Unit)
        writer.WriteEndObject()

    writer.WriteEndArray()

let private instant (second: float) =
    DateTimeOffset.UnixEpoch.AddSeconds(Math.Floor second).ToString "yyyy-MM-dd'T'HH:mm:ss'+00:00'"

let private writeVerdict (writer: Utf8JsonWriter) (condition: Condition) (since: float) =
    writer.WriteStartObject "verdict"
    writer.WriteString("label", condition.Label)
    writer.WriteNull "second"
    writer.WriteString("since", instant since)
    writer.WriteNumber("confidence", 0.9)
    writer.WriteString("reason", condition.Reason)
    writer.WriteString("fix", condition.Fix)
    writeWitnesses writer "evidence" condition.Evidence
    writeWitnesses writer "ruled_out" condition.RuledOut
    writer.WriteEndObject()

/// A job runs so many seconds, and then the next one of the same name begins.
let private jobLength = 8.0 * 3600.0

let private writeJob (writer: Utf8JsonWriter) (machine: Machine) second since (user: string, program: string) =
    let run = Math.Floor(second / jobLength)
    let load = phases[machine.Usual]
    let condition = machine.Condition
    let count = machine.Gpus.Count

    let busyOf =
        condition.Busy
        |> ValueOption.defaultValue (fun _ -> load.Gpu |> ValueOption.defaultValue 0.0)

    let busy = [ for index in 0 .. count - 1 -> busyOf index ]
    writer.WriteStartObject()
    writer.WriteString("id", $"%s{user}-%s{machine.Slug}-%.0f{run}")
    writer.WriteStartObject "owner"
    writer.WriteString("kind", "slurm")
    writer.WriteString("value", string (4000 + machine.Slug.Length * 37 + user.Length + int run % 1000))
    writer.WriteNull "namespace"
    writer.WriteNull "name"
    writer.WriteEndObject()
    writer.WriteString("user", user)
    writer.WriteNumber("uid", 1000 + user.Length)
    writer.WriteString("name", program)
    writer.WriteNull "command"
    writer.WriteNumber("root_pid", 40000 + user.Length)
    writer.WriteString("started_at", instant (run * jobLength))
    writer.WriteStartArray "gpus"

    for index in 0 .. count - 1 do
        writer.WriteStartObject()
        writer.WriteNumber("gpu_index", index)
        writer.WriteString("uuid", $"GPU-%s{machine.Slug}-%d{index}")
        writer.WriteNumber("memory_bytes", int64 (machine.Gpus.Memory * 0.6))
        writer.WriteNumber("sm_percent", busyOf index)
        writer.WriteEndObject()

    writer.WriteEndArray()
    writer.WriteNumber("processes", count * 5)
    writer.WriteNumber("threads", count * 60)
    writer.WriteNumber("loaders", count * 4)
    writer.WriteNumber("cpu_cores_used", tenths (float machine.Cores * load.Cpu / 100.0))
    writer.WriteNumber("memory_bytes", int64 (machine.Memory * load.Memory / 125.0))
    writer.WriteNumber("read_bytes_per_s", int64 load.Read)
    writer.WriteNumber("write_bytes_per_s", int64 load.Write)
    writer.WriteNumber("gpu_busy_percent", tenths (List.average busy))
    writer.WriteNumber("gpu_least_busy_percent", tenths (List.min busy))

    writer.WriteNumber(
        "gpu_power_percent",
        tenths (
            100.0
            * (condition.Power |> ValueOption.defaultValue (0.14 + 0.0083 * List.average busy))
        )
    )

    writeVerdict writer condition since
    writer.WriteEndObject()

/// The verdict, and the job of whoever uses the GPUs.
let private writeJudgement (writer: Utf8JsonWriter) (machine: Machine) second (condition: Condition) =
    let since = Math.Floor(second / 1800.0) * 1800.0
    writer.WriteStartArray "jobs"

    if machine.Gpus.Count > 0 then
        condition.Job |> ValueOption.iter (writeJob writer machine second since)

    writer.WriteEndArray()
    writeVerdict writer condition since

let private writeSample (writer: Utf8JsonWriter) (machine: Machine) (now: float) (second: float) (seconds: float) =
    let load = phases[doing machine now second]
    let name part = $"%s{machine.Slug} %s{part}"
    advance machine load second seconds
    let cpu = around (name "cpu") load.Cpu (min 3.5 load.Cpu) second |> within 0.2 100.0

    let ioWait =
        around (name "iowait") load.IoWait (load.IoWait * 0.3) second
        |> within 0.0 (100.0 - cpu)

    let memory =
        around (name "memory") load.Memory (if load.Memory > 90.0 then 0.8 else 2.0) second
        |> within 1.0 99.5

    let swapTotal = 3.4e10
    let at = DateTimeOffset.UnixEpoch.AddSeconds second

    writer.WriteStartObject "sample"
    writer.WriteString("collected_at", at.ToString "yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'")
    writer.WriteNumber("cpu_usage_percent", tenths cpu)
    writer.WriteNumber("cpu_user_percent", tenths (cpu * 0.78))
    writer.WriteNumber("cpu_system_percent", tenths (cpu * 0.2))
    writer.WriteNumber("cpu_iowait_percent", tenths ioWait)
    let running = float machine.Cores * (cpu + ioWait) / 100.0

    for key, spread in [ "cpu_load_1", 0.12; "cpu_load_5", 0.05; "cpu_load_15", 0.02 ] do
        writer.WriteNumber(key, Math.Round(running * (1.0 + spread * (wave (name key) 60.0 second - 0.5)), 2))

    writer.WriteNumber("cpu_frequency_mhz", Math.Round(2450.0 + cpu * 9.0))
    writer.WriteNumber("cpu_temperature_c", tenths (38.0 + cpu * 0.33 + around (name "cpu heat") 0.0 1.5 second))
    writer.WriteNumber("cpu_count_logical", machine.Cores * 2)
    writer.WriteNumber("cpu_count_physical", machine.Cores)
    writer.WriteNumber("memory_total_bytes", int64 machine.Memory)
    writer.WriteNumber("memory_used_bytes", int64 (machine.Memory * memory / 100.0))
    writer.WriteNumber("memory_available_bytes", int64 (machine.Memory * (100.0 - memory) / 100.0))
    writer.WriteNumber("memory_percent", tenths memory)
    writer.WriteNumber("swap_total_bytes", int64 swapTotal)
    writer.WriteNumber("swap_used_bytes", int64 (swapTotal * load.Swap / 100.0))
    writer.WriteNumber("swap_percent", load.Swap)
    writer.WriteNumber("network_rx_bytes_total", int64 machine.Counters[disks.Length * 3])
    writer.WriteNumber("network_tx_bytes_total", int64 machine.Counters[disks.Length * 3 + 1])
    writer.WriteNumber("process_count", 380 + int (cpu * 1.4))
    writer.WriteStartArray "disks"
    disks |> Array.iteri (writeDisk writer machine)
    writer.WriteEndArray()
    writer.WriteStartArray "gpus"

    let condition = conditionAt machine now second

    let present =
        match condition |> ValueOption.bind _.Lost with
        | ValueSome lost when lost = 0 -> 0
        | ValueSome _ -> machine.Gpus.Count - 1
        | ValueNone -> machine.Gpus.Count

    for index in 0 .. present - 1 do
        writeGpu writer machine load condition second index

    writer.WriteEndArray()
    writer.WriteStartArray "fans"

    for fan in 1..4 do
        writer.WriteStartObject()
        writer.WriteString("label", $"FAN%d{fan}")

        writer.WriteNumber(
            "speed_rpm",
            int (
                3600.0
                + cpu * 32.0
                + float fan * 140.0
                + around (name $"fan %d{fan}") 0.0 60.0 second
            )
        )

        writer.WriteEndObject()

    writer.WriteEndArray()
    writePressure writer load
    writer.WriteStartArray "cpu_cores_percent"

    for core in 0 .. machine.Cores * 2 - 1 do
        // Loaders keep the first ones busy.
        let middle = if core < machine.Cores / 2 then cpu * 2.2 else cpu * 0.6
        writer.WriteNumberValue(tenths (around (name $"core {core}") middle 9.0 second |> within 0.0 100.0))

    writer.WriteEndArray()
    writer.WriteStartArray "network_interfaces"

    for at, device in [ 0, "eth0"; 1, "eth1" ] do
        writer.WriteStartObject()
        writer.WriteString("name", device)
        let share = if at = 0 then 0.8 else 0.2

        for part, counter in [ 0, "rx"; 1, "tx" ] do
            let bytes = machine.Counters[disks.Length * 3 + part] * share
            writer.WriteNumber($"{counter}_bytes_total", int64 bytes)
            writer.WriteNumber($"{counter}_packets_total", int64 (bytes / 1100.0))
            writer.WriteNumber($"{counter}_errors_total", 0)
            writer.WriteNumber($"{counter}_dropped_total", 0)

        writer.WriteEndObject()

    writer.WriteEndArray()
    condition |> ValueOption.iter (writeJudgement writer machine second)
    writer.WriteEndObject()

let private writeAgent (writer: Utf8JsonWriter) (machine: Machine) (now: float) =
    writer.WriteStartObject "agent"
    writer.WriteString("version", "0.1.0")
    writer.WriteString("hostname", machine.Slug)
    writer.WriteString("platform", "Linux-6.8.0-51-generic-x86_64-with-glibc2.39")
    writer.WriteNumber("pid", 2114)
    writer.WriteStartObject "labels"
    writer.WriteString("cluster", "scripted")
    writer.WriteString("rack", $"r%d{1 + machine.Slug.Length % 4}")
    writer.WriteEndObject()
    writer.WriteStartObject "system_info"
    writer.WriteString("os_name", "Linux")
    writer.WriteString("os_release", "6.8.0-51-generic")
    writer.WriteString("machine", "x86_64")

    writer.WriteString(
        "cpu_model",
        (if machine.Cores > 32 then
             "AMD EPYC 9654 96-Core Processor"
         else
             "AMD Ryzen 9 7950X 16-Core Processor")
    )

    writer.WriteString("hostname", machine.Slug)
    writer.WriteNumber("cpu_count_logical", machine.Cores * 2)
    writer.WriteNumber("cpu_count_physical", machine.Cores)
    writer.WriteNumber("memory_total_bytes", int64 machine.Memory)
    writer.WriteNumber("swap_total_bytes", 34000000000L)
    writer.WriteString("boot_time", DateTimeOffset.UnixEpoch.AddSeconds(now - 2.9e6).ToString "yyyy-MM-dd'T'HH:mm:ss'+00:00'")
    writer.WriteStartArray "partitions"

    for device, mount, kind, total, percent in
        [
            "/dev/nvme0n1p2", "/", "ext4", 960e9, 34.0
            "/dev/nvme1n1", "/data", "xfs", 7.68e12, 81.0 + 15.0 * chance machine.Slug 7L
        ] do
        writer.WriteStartObject()
        writer.WriteString("device", device)
        writer.WriteString("mountpoint", mount)
        writer.WriteString("fstype", kind)
        writer.WriteNumber("total_bytes", int64 total)
        writer.WriteNumber("used_bytes", int64 (total * percent / 100.0))
        writer.WriteNumber("free_bytes", int64 (total * (100.0 - percent) / 100.0))
        writer.WriteNumber("percent", tenths percent)
        writer.WriteEndObject()

    writer.WriteEndArray()
    writer.WriteEndObject()
    writer.WriteEndObject()

/// The request body of the machine's sample at `second` (unix time), `seconds` after the one before; `now` is when the script is
/// played. Moves the machine's counters on, so that samples have to be made in the order of their time.
let body (machine: Machine) (now: float) (second: float) (seconds: float) : byte[] =
    let buffer = ArrayBufferWriter<byte> 4096
    use writer = new Utf8JsonWriter(buffer)
    writer.WriteStartObject()
    writeSample writer machine now second seconds
    writeAgent writer machine now
    writer.WriteEndObject()
    writer.Flush()
    buffer.WrittenSpan.ToArray()

/// When a back-filled history has its samples, in seconds before now and the distance to the one before: a day by the minute, and
/// the last hour more closely.
let moments: (float * float) list =
    [ 86400.0 .. -60.0 .. 3660.0 ] @ [ 3600.0 .. -10.0 .. 10.0 ]
    |> List.pairwise
    |> List.map (fun (before, at) -> at, before - at)
