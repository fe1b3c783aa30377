namespace Agent.Receiver

open System
open Agent.Core

/// The decimals and whole numbers of one thing, by the position of their key in the schema. An array of plain numbers, since a
/// receiver holds and moves millions of them: a decimal that is not known is NaN, a whole number that is not known is -1. No
/// known decimal is NaN, and no known whole number is negative.
[<Struct>]
type Figures =
    {
        /// NaN where not known.
        Decimals: float[]
        /// -1 where not known.
        Integers: int64[]
    }

    /// The decimal at a position of the schema.
    member figures.Decimal(index: int) : float voption =
        let value = figures.Decimals[index]
        if Double.IsNaN value then ValueNone else ValueSome value

    /// The whole number at a position of the schema.
    member figures.Whole(index: int) : int64 voption =
        let value = figures.Integers[index]
        if value < 0L then ValueNone else ValueSome value

/// What a thing can report: keys of the ingest API, in the order in which figures are kept and stored. A decimal has a scale: with
/// scale 10 the database keeps 37.4 as 374.
type Schema =
    {
        /// Keys and scales of the decimals.
        Decimals: (struct (string * int))[]
        /// Keys of the whole numbers.
        Integers: string[]
    }

/// A disk's cumulative counters, as reported.
type DiskReport =
    {
        /// Trimmed, at most 64 characters; unique within a report.
        Device: string
        /// By `Schema.disk`.
        Figures: Figures
    }

/// A GPU, as reported.
type GpuReport =
    {
        /// Unique within a report.
        Index: int
        /// Empty when unknown.
        Name: string
        /// Empty when unknown.
        Uuid: string
        /// By `Schema.gpu`.
        Figures: Figures
    }

/// A fan, as reported.
type FanReport =
    {
        /// Trimmed, at most 64 characters; unique within a report.
        Label: string
        /// By `Schema.fan`.
        Figures: Figures
    }

/// A device of one of the kinds in `Details`, as reported. A value, since each CPU of a machine is one.
[<Struct>]
type DetailReport =
    {
        /// At most 64 characters; unique within its kind.
        Name: string
        /// By the schema of its kind.
        Figures: Figures
    }

/// What one server reported of one instant: the part of a sample that is stored.
type Report =
    {
        /// UTC, to the microsecond.
        CollectedAt: DateTimeOffset
        /// By `Schema.machine`.
        Machine: Figures
        /// The disks.
        Disks: DiskReport[]
        /// The GPUs.
        Gpus: GpuReport[]
        /// The fans.
        Fans: FanReport[]
        /// The devices of each kind of `Details.all`.
        Details: DetailReport[][]
    }

/// What rates follow from: two reports of the same thing.
[<RequireQualifiedAccess>]
module internal Growth =
    /// How much a counter grew in each of so many seconds; NaN where one of the two is not known, and for a counter that fell.
    let perSecond (interval: float) (before: int64) (after: int64) : float =
        if before >= 0L && after >= before then
            float (after - before) / interval
        else
            nan

    /// The device of a name in a list, where it is usually at the same place as before.
    let inline find ([<InlineIfLambda>] nameOf: 'T -> string) (devices: 'T[]) (position: int) (name: string) : 'T voption =
        if position < devices.Length && nameOf devices[position] = name then
            ValueSome devices[position]
        else
            match Array.FindIndex(devices, (fun device -> nameOf device = name)) with
            | -1 -> ValueNone
            | index -> ValueSome devices[index]

/// What is kept of a sample. Positions are named where code asks for single figures.
[<RequireQualifiedAccess>]
module Schema =
    /// Every whole number that an object always has.
    let private wholesOf (prefix: string) (table: KeyTable) : string[] =
        table.Keys
        |> Array.filter (fun key -> (key.Kind.IsCounter || key.Kind.IsInt) && not key.IsOptional)
        |> Array.map (fun key -> prefix + key.Name)

    /// Of the machine as a whole: decimals that are kept, and every whole number; the keys below `pressure` are those with that word in front.
    let machine: Schema =
        {
            Decimals =
                [|
                    "cpu_usage_percent", 10
                    "cpu_user_percent", 10
                    "cpu_system_percent", 10
                    "cpu_iowait_percent", 10
                    "cpu_steal_percent", 10
                    "cpu_load_1", 100
                    "cpu_load_5", 100
                    "cpu_load_15", 100
                    "cpu_frequency_mhz", 10
                    "cpu_temperature_c", 10
                    "memory_percent", 10
                    "swap_percent", 10
                    "pressure_cpu_some_avg10", 100
                    "pressure_io_some_avg10", 100
                    "pressure_io_full_avg10", 100
                    "pressure_memory_some_avg10", 100
                    "pressure_memory_full_avg10", 100
                |]
                |> Array.map (fun (key, scale) -> struct (key, scale))
            Integers = Array.append (wholesOf "" Rows.sample.Keys) (wholesOf "pressure_" Rows.pressure.Keys)
        }

    /// Of a disk.
    let disk: Schema =
        {
            Decimals = [||]
            Integers =
                [|
                    "read_bytes_total"
                    "write_bytes_total"
                    "read_count_total"
                    "write_count_total"
                    "busy_time_ms_total"
                |]
        }

    /// Of a GPU. `throttle_reasons` is a mask of the driver's bits here.
    let gpu: Schema =
        {
            Decimals =
                [|
                    "utilization_gpu_percent", 10
                    "utilization_memory_percent", 10
                    "memory_percent", 10
                    "temperature_c", 10
                    "fan_speed_percent", 10
                    "power_w", 100
                    "power_limit_w", 100
                |]
                |> Array.map (fun (key, scale) -> struct (key, scale))
            Integers =
                [|
                    "memory_total_bytes"
                    "memory_used_bytes"
                    "throttle_reasons"
                    "xid_last"
                    "xid_count"
                |]
        }

    /// Of a fan.
    let fan: Schema =
        {
            Decimals = [||]
            Integers = [| "speed_rpm" |]
        }

    let private unknown (count: int) (value: 'T) : 'T[] =
        if count = 0 then [||] else Array.create count value

    /// Figures of which none is known yet.
    let empty (schema: Schema) : Figures =
        {
            Decimals = unknown schema.Decimals.Length nan
            Integers = unknown schema.Integers.Length -1L
        }

    let private decimalOf (schema: Schema) key =
        schema.Decimals |> Array.findIndex (fun (struct (name, _)) -> name = key)

    let private wholeOf (schema: Schema) key =
        schema.Integers |> Array.findIndex ((=) key)

    let internal cpuUsage = decimalOf machine "cpu_usage_percent"
    let internal cpuUser = decimalOf machine "cpu_user_percent"
    let internal cpuSystem = decimalOf machine "cpu_system_percent"
    let internal cpuIowait = decimalOf machine "cpu_iowait_percent"
    let internal cpuSteal = decimalOf machine "cpu_steal_percent"
    let internal load1 = decimalOf machine "cpu_load_1"
    let internal load5 = decimalOf machine "cpu_load_5"
    let internal load15 = decimalOf machine "cpu_load_15"
    let internal cpuFrequency = decimalOf machine "cpu_frequency_mhz"
    let internal cpuTemperature = decimalOf machine "cpu_temperature_c"
    let internal memoryPercent = decimalOf machine "memory_percent"
    let internal swapPercent = decimalOf machine "swap_percent"
    let internal pressureCpuSome = decimalOf machine "pressure_cpu_some_avg10"
    let internal pressureIoSome = decimalOf machine "pressure_io_some_avg10"
    let internal pressureIoFull = decimalOf machine "pressure_io_full_avg10"
    let internal pressureMemorySome = decimalOf machine "pressure_memory_some_avg10"
    let internal pressureMemoryFull = decimalOf machine "pressure_memory_full_avg10"
    let internal stalledCpuSome = wholeOf machine "pressure_cpu_some_total_us"
    let internal stalledIoSome = wholeOf machine "pressure_io_some_total_us"
    let internal stalledIoFull = wholeOf machine "pressure_io_full_total_us"
    let internal stalledMemorySome = wholeOf machine "pressure_memory_some_total_us"
    let internal stalledMemoryFull = wholeOf machine "pressure_memory_full_total_us"
    let internal cpuCount = wholeOf machine "cpu_count_logical"
    let internal memoryUsed = wholeOf machine "memory_used_bytes"
    let internal memoryAvailable = wholeOf machine "memory_available_bytes"
    let internal memoryTotal = wholeOf machine "memory_total_bytes"
    let internal swapTotal = wholeOf machine "swap_total_bytes"
    let internal swapUsed = wholeOf machine "swap_used_bytes"
    let internal networkReceived = wholeOf machine "network_rx_bytes_total"
    let internal networkSent = wholeOf machine "network_tx_bytes_total"
    let internal processCount = wholeOf machine "process_count"

    let internal readBytes = wholeOf disk "read_bytes_total"
    let internal writeBytes = wholeOf disk "write_bytes_total"
    let internal readCount = wholeOf disk "read_count_total"
    let internal writeCount = wholeOf disk "write_count_total"
    let internal busyTime = wholeOf disk "busy_time_ms_total"

    let internal gpuUtilization = decimalOf gpu "utilization_gpu_percent"
    let internal gpuMemoryUtilization = decimalOf gpu "utilization_memory_percent"
    let internal gpuMemoryPercent = decimalOf gpu "memory_percent"
    let internal gpuTemperature = decimalOf gpu "temperature_c"
    let internal gpuFanSpeed = decimalOf gpu "fan_speed_percent"
    let internal gpuPower = decimalOf gpu "power_w"
    let internal gpuPowerLimit = decimalOf gpu "power_limit_w"
    let internal gpuMemoryUsed = wholeOf gpu "memory_used_bytes"
    let internal gpuThrottle = wholeOf gpu "throttle_reasons"

    [<Literal>]
    let internal FanSpeed = 0
