/// Sample and AgentInfo as the JSON of the ingest API, in both directions. The keys stand in docs/ingest-api.md.
[<RequireQualifiedAccess>]
module Agent.Core.Wire

open System
open System.Buffers
open System.Globalization
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// RFC 3339 with microseconds and a numeric offset, the form the webapp's own clients use.
[<Literal>]
let private InstantFormat = "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"

/// `2026-02-26T02:37:49.120000+00:00`
[<CompiledName "Instant">]
let instant (value: DateTimeOffset) : string =
    value.ToUniversalTime().ToString(InstantFormat, CultureInfo.InvariantCulture)

let private counter (value: uint64<'u>) = Encode.int64 (wireInteger value)

let private number (value: float<'u>) = Encode.float (float value)

let private numberOrNull (value: float<'u> voption) = Encode.voption number value

let private counterOrNull (value: uint64<'u> voption) = Encode.voption counter value

let private disk =
    Encode.record<DiskStats.DiskCounters>
        [|
            "device", (fun disk -> Encode.string disk.Device)
            "read_bytes_total", (fun disk -> counter disk.ReadBytes)
            "write_bytes_total", (fun disk -> counter disk.WrittenBytes)
            "read_count_total", (fun disk -> counter disk.Reads)
            "write_count_total", (fun disk -> counter disk.Writes)
            "busy_time_ms_total", (fun disk -> counterOrNull disk.BusyTime)
        |]

let private gpu (gpu: Gpu) =
    Encode.object
        [|
            "gpu_index", Encode.int gpu.Index
            "name", Encode.string gpu.Name
            "uuid", Encode.string gpu.Uuid
            "utilization_gpu_percent", numberOrNull gpu.Utilization
            "utilization_memory_percent", numberOrNull gpu.MemoryUtilization
            "memory_total_bytes", counterOrNull gpu.MemoryTotal
            "memory_used_bytes", counterOrNull gpu.MemoryUsed
            "memory_percent", numberOrNull (ValueOption.map roundToTenth gpu.MemoryPercent)
            "temperature_c", numberOrNull gpu.Temperature
            "fan_speed_percent", numberOrNull gpu.FanSpeed
            "power_w", numberOrNull gpu.Power
            "power_limit_w", numberOrNull gpu.PowerLimit
        |]

let private fan (fan: Hwmon.Fan) =
    Encode.object [| "label", Encode.string fan.Label; "speed_rpm", Encode.int (int fan.Speed) |]

let private pressure =
    let average (stall: Pressure.Stall voption) =
        stall |> ValueOption.map (fun s -> s.Avg10) |> numberOrNull

    let total (stall: Pressure.Stall voption) =
        stall |> ValueOption.map (fun s -> s.Total) |> counterOrNull

    Encode.record<PressureUse>
        [|
            "cpu_some_avg10", (fun use' -> average use'.CpuSome)
            "io_some_avg10", (fun use' -> average use'.IoSome)
            "io_full_avg10", (fun use' -> average use'.IoFull)
            "memory_some_avg10", (fun use' -> average use'.MemorySome)
            "memory_full_avg10", (fun use' -> average use'.MemoryFull)
            "cpu_some_total_us", (fun use' -> total use'.CpuSome)
            "io_some_total_us", (fun use' -> total use'.IoSome)
            "io_full_total_us", (fun use' -> total use'.IoFull)
            "memory_some_total_us", (fun use' -> total use'.MemorySome)
            "memory_full_total_us", (fun use' -> total use'.MemoryFull)
        |]

let private networkInterface =
    Encode.record<NetDev.InterfaceCounters>
        [|
            "name", (fun i -> Encode.string i.Name)
            "rx_bytes_total", (fun i -> counter i.Received.Bytes)
            "tx_bytes_total", (fun i -> counter i.Sent.Bytes)
            "rx_packets_total", (fun i -> counter i.Received.Packets)
            "tx_packets_total", (fun i -> counter i.Sent.Packets)
            "rx_errors_total", (fun i -> counter i.Received.Errors)
            "tx_errors_total", (fun i -> counter i.Sent.Errors)
            "rx_dropped_total", (fun i -> counter i.Received.Dropped)
            "tx_dropped_total", (fun i -> counter i.Sent.Dropped)
        |]

let private infinibandPort =
    Encode.record<Infiniband.Port>
        [|
            "device", (fun port -> Encode.string port.Device)
            "port", (fun port -> Encode.int port.Port)
            "rx_bytes_total", (fun port -> counterOrNull port.Received)
            "tx_bytes_total", (fun port -> counterOrNull port.Sent)
        |]

let private memory (value: MemoryUse -> JsonValue) (sample: Sample) = Encode.voption value sample.Memory

let private swap (value: SwapUse -> JsonValue) (sample: Sample) = Encode.voption value sample.Swap

let private load (value: LoadAvg.LoadAverage -> float) (sample: Sample) =
    Encode.voption (fun load -> Encode.float (value load)) sample.Load

let private sampleMembers =
    Encode.record<Sample>
        [|
            "collected_at", (fun sample -> Encode.string (instant sample.CollectedAt))
            "cpu_usage_percent", (fun sample -> numberOrNull sample.CpuUsage)
            "cpu_user_percent", (fun sample -> numberOrNull sample.CpuUser)
            "cpu_system_percent", (fun sample -> numberOrNull sample.CpuSystem)
            "cpu_iowait_percent", (fun sample -> numberOrNull sample.CpuIowait)
            "cpu_load_1", load (fun l -> l.One)
            "cpu_load_5", load (fun l -> l.Five)
            "cpu_load_15", load (fun l -> l.Fifteen)
            "cpu_frequency_mhz", (fun sample -> numberOrNull sample.CpuFrequency)
            "cpu_temperature_c", (fun sample -> numberOrNull sample.CpuTemperature)
            "cpu_count_logical", (fun sample -> Encode.voption Encode.int sample.CpuCountLogical)
            "cpu_count_physical", (fun sample -> Encode.voption Encode.int sample.CpuCountPhysical)
            "memory_total_bytes", memory (fun m -> counter m.Total)
            "memory_used_bytes", memory (fun m -> counter m.Used)
            "memory_available_bytes", memory (fun m -> counter m.Available)
            "memory_percent", memory (fun m -> number m.Percent)
            "swap_total_bytes", swap (fun s -> counter s.Total)
            "swap_used_bytes", swap (fun s -> counter s.Used)
            "swap_percent", swap (fun s -> number s.Percent)
            "network_rx_bytes_total", (fun sample -> counterOrNull sample.NetworkReceived)
            "network_tx_bytes_total", (fun sample -> counterOrNull sample.NetworkSent)
            "process_count", (fun sample -> Encode.voption Encode.int sample.ProcessCount)
            "disks", (fun sample -> Encode.arrayOf disk sample.Disks)
            "gpus", (fun sample -> Encode.arrayOf gpu sample.Gpus)
            "fans", (fun sample -> Encode.arrayOf fan sample.Fans)
            // The keys below are ours; the webapp ignores them.
            "cpu_steal_percent", (fun sample -> numberOrNull sample.CpuSteal)
            "cpu_cores_percent", (fun sample -> Encode.arrayOf number sample.CpuCores)
            "pressure", (fun sample -> Encode.voption pressure sample.Pressure)
            "network_interfaces", (fun sample -> Encode.arrayOf networkInterface sample.Interfaces)
            "infiniband", (fun sample -> Encode.arrayOf infinibandPort sample.Infiniband)
        |]

/// The `sample` member.
[<CompiledName "EncodeSample">]
let encodeSample (sample: Sample) : JsonValue = sampleMembers sample

let private partition (partition: Partition) =
    Encode.object
        [|
            "device", Encode.string partition.Device
            "mountpoint", Encode.string partition.MountPoint
            "fstype", Encode.string partition.FsType
            "total_bytes", counter partition.Total
            "used_bytes", counter partition.Used
            "free_bytes", counter partition.Free
            "percent", number partition.Percent
        |]

let private textOrNull (text: string) =
    if text = "" then Encode.nil else Encode.string text

let private interfaceAddress (address: InterfaceAddress) =
    Encode.object
        [|
            "name", Encode.string address.Name
            "ipv4", textOrNull address.IPv4
            "ipv6", textOrNull address.IPv6
        |]

let private systemInfo (info: SystemInfo) =
    Encode.object
        [|
            "os_name", Encode.string info.OsName
            "os_release", Encode.string info.OsRelease
            "os_version", Encode.string info.OsVersion
            "machine", Encode.string info.Machine
            "processor", Encode.string info.CpuModel
            "cpu_model", Encode.string info.CpuModel
            "hostname", Encode.string info.Hostname
            "cpu_count_logical", Encode.voption Encode.int info.CpuCountLogical
            "cpu_count_physical", Encode.voption Encode.int info.CpuCountPhysical
            "memory_total_bytes", counterOrNull info.MemoryTotal
            "swap_total_bytes", counterOrNull info.SwapTotal
            "boot_time", Encode.voption (fun at -> Encode.string (instant at)) info.BootTime
            "uptime_seconds", numberOrNull info.Uptime
            "platform_full", Encode.string info.Platform
            "partitions", Encode.arrayOf partition info.Partitions
            "interfaces", Encode.arrayOf interfaceAddress info.Interfaces
        |]

/// The `agent` member.
[<CompiledName "EncodeAgent">]
let encodeAgent (agent: AgentInfo) : JsonValue =
    Encode.object
        [|
            "version", Encode.string agent.Version
            "hostname", Encode.string agent.Hostname
            "platform", Encode.string agent.System.Platform
            "pid", Encode.int agent.Pid
            "labels", Encode.object (agent.Labels |> Seq.map (fun (struct (key, value)) -> key, Encode.string value))
            "disk_filters", Encode.arrayOf Encode.string agent.DiskFilters
            "runtime", Encode.string agent.Runtime
            "system_info", systemInfo agent.System
        |]

/// One request body.
[<CompiledName "Encode">]
let encode (sample: Sample) (agent: AgentInfo) : JsonValue =
    Encode.object [| "sample", encodeSample sample; "agent", encodeAgent agent |]

/// Writes one request body as UTF-8, on one line unless indented.
[<CompiledName "Write">]
let write (output: IBufferWriter<byte>) (indented: bool) (sample: Sample) (agent: AgentInfo) : unit =
    Encode.writeTo output indented (encode sample agent)

/// The `agent` member as UTF-8, for `WriteWithAgent`: it changes once a minute, and samples come every second.
[<CompiledName "AgentText">]
let agentText (agent: AgentInfo) : ReadOnlyMemory<byte> =
    let output = ArrayBufferWriter<byte>()
    Encode.writeTo output false (encodeAgent agent)
    output.WrittenMemory

let private body =
    Encode.record<struct (Sample * ReadOnlyMemory<byte>)>
        [|
            "sample", (fun (struct (sample, _)) -> encodeSample sample)
            "agent", (fun (struct (_, agent)) -> Encode.raw agent)
        |]

/// Writes one request body as UTF-8 on one line, its `agent` member being a text of `AgentText`.
[<CompiledName "WriteWithAgent">]
let writeWithAgent (output: IBufferWriter<byte>) (sample: Sample) (agent: ReadOnlyMemory<byte>) : unit =
    Encode.writeTo output false (body (struct (sample, agent)))

let private dInstant: Decoder<DateTimeOffset> =
    Decode.string
    |> Decode.andThen (fun text ->
        match DateTimeOffset.TryParseExact(text, InstantFormat, CultureInfo.InvariantCulture, DateTimeStyles.AdjustToUniversal) with
        | true, value -> Decode.succeed value
        | _ -> Decode.fail $"expected an instant such as 2026-02-26T02:37:49.120000+00:00, found \"{text}\"")

let private dCounter<[<Measure>] 'u> : Decoder<uint64<'u>> =
    Decode.int64
    |> Decode.andThen (fun value ->
        if value >= 0L then
            Decode.succeed (LanguagePrimitives.UInt64WithMeasure(uint64 value))
        else
            Decode.fail $"expected a counter, found {value}")

let private dNumber<[<Measure>] 'u> : Decoder<float<'u>> =
    Decode.float |> Decode.map LanguagePrimitives.FloatWithMeasure

let private optionalNumber<[<Measure>] 'u> (get: IGetters) name : float<'u> voption =
    get.Optional.Field name dNumber<'u> |> ValueOption.ofOption

let private optionalCounter<[<Measure>] 'u> (get: IGetters) name : uint64<'u> voption =
    get.Optional.Field name dCounter<'u> |> ValueOption.ofOption

let private optionalInt (get: IGetters) name : int voption =
    get.Optional.Field name Decode.int |> ValueOption.ofOption

let private optionalArray (get: IGetters) name (decoder: Decoder<'a>) : 'a[] =
    get.Optional.Field name (Decode.array decoder) |> Option.defaultValue [||]

let private optionalText (get: IGetters) name : string =
    get.Optional.Field name Decode.string |> Option.defaultValue ""

let private dDisk: Decoder<DiskStats.DiskCounters> =
    Decode.object (fun get ->
        {
            Device = get.Required.Field "device" Decode.string
            ReadBytes = get.Required.Field "read_bytes_total" dCounter
            WrittenBytes = get.Required.Field "write_bytes_total" dCounter
            Reads = get.Required.Field "read_count_total" dCounter
            Writes = get.Required.Field "write_count_total" dCounter
            BusyTime = optionalCounter get "busy_time_ms_total"
        })

let private dGpu: Decoder<Gpu> =
    Decode.object (fun get ->
        {
            Index = get.Required.Field "gpu_index" Decode.int
            Name = optionalText get "name"
            Uuid = optionalText get "uuid"
            Utilization = optionalNumber get "utilization_gpu_percent"
            MemoryUtilization = optionalNumber get "utilization_memory_percent"
            MemoryTotal = optionalCounter get "memory_total_bytes"
            MemoryUsed = optionalCounter get "memory_used_bytes"
            Temperature = optionalNumber get "temperature_c"
            FanSpeed = optionalNumber get "fan_speed_percent"
            Power = optionalNumber get "power_w"
            PowerLimit = optionalNumber get "power_limit_w"
        })

let private dFan: Decoder<Hwmon.Fan> =
    Decode.object (fun get ->
        {
            Label = get.Required.Field "label" Decode.string
            Speed = get.Required.Field "speed_rpm" Decode.int |> LanguagePrimitives.Int32WithMeasure
        })

let private dPressure: Decoder<PressureUse> =
    Decode.object (fun get ->
        let stall name : Pressure.Stall voption =
            match optionalNumber get (name + "_avg10"), optionalCounter get (name + "_total_us") with
            | ValueSome average, ValueSome total -> ValueSome { Avg10 = average; Total = total }
            | _ -> ValueNone

        {
            CpuSome = stall "cpu_some"
            IoSome = stall "io_some"
            IoFull = stall "io_full"
            MemorySome = stall "memory_some"
            MemoryFull = stall "memory_full"
        })

let private dInterface: Decoder<NetDev.InterfaceCounters> =
    Decode.object (fun get ->
        let traffic direction : NetDev.Traffic =
            {
                Bytes = get.Required.Field $"{direction}_bytes_total" dCounter
                Packets = get.Required.Field $"{direction}_packets_total" dCounter
                Errors = get.Required.Field $"{direction}_errors_total" dCounter
                Dropped = get.Required.Field $"{direction}_dropped_total" dCounter
            }

        {
            Name = get.Required.Field "name" Decode.string
            Received = traffic "rx"
            Sent = traffic "tx"
        })

let private dInfinibandPort: Decoder<Infiniband.Port> =
    Decode.object (fun get ->
        {
            Device = get.Required.Field "device" Decode.string
            Port = get.Required.Field "port" Decode.int
            Received = optionalCounter get "rx_bytes_total"
            Sent = optionalCounter get "tx_bytes_total"
        })

/// Reads the `sample` member; what is missing or null is unknown, but for `collected_at`.
let decodeSample: Decoder<Sample> =
    Decode.object (fun get ->
        let load =
            match optionalNumber<1> get "cpu_load_1", optionalNumber<1> get "cpu_load_5", optionalNumber<1> get "cpu_load_15" with
            | ValueSome one, ValueSome five, ValueSome fifteen ->
                ValueSome(
                    {
                        One = one
                        Five = five
                        Fifteen = fifteen
                    }
                    : LoadAvg.LoadAverage
                )
            | _ -> ValueNone

        let memory: MemoryUse voption =
            match
                optionalCounter get "memory_total_bytes",
                optionalCounter get "memory_used_bytes",
                optionalCounter get "memory_available_bytes",
                optionalNumber get "memory_percent"
            with
            | ValueSome total, ValueSome used, ValueSome available, ValueSome percent ->
                ValueSome
                    {
                        Total = total
                        Used = used
                        Available = available
                        Percent = percent
                    }
            | _ -> ValueNone

        let swap: SwapUse voption =
            match optionalCounter get "swap_total_bytes", optionalCounter get "swap_used_bytes", optionalNumber get "swap_percent" with
            | ValueSome total, ValueSome used, ValueSome percent ->
                ValueSome
                    {
                        Total = total
                        Used = used
                        Percent = percent
                    }
            | _ -> ValueNone

        {
            CollectedAt = get.Required.Field "collected_at" dInstant
            CpuUsage = optionalNumber get "cpu_usage_percent"
            CpuUser = optionalNumber get "cpu_user_percent"
            CpuSystem = optionalNumber get "cpu_system_percent"
            CpuIowait = optionalNumber get "cpu_iowait_percent"
            CpuSteal = optionalNumber get "cpu_steal_percent"
            CpuCores = optionalArray get "cpu_cores_percent" dNumber
            Load = load
            CpuFrequency = optionalNumber get "cpu_frequency_mhz"
            CpuTemperature = optionalNumber get "cpu_temperature_c"
            CpuCountLogical = optionalInt get "cpu_count_logical"
            CpuCountPhysical = optionalInt get "cpu_count_physical"
            Memory = memory
            Swap = swap
            NetworkReceived = optionalCounter get "network_rx_bytes_total"
            NetworkSent = optionalCounter get "network_tx_bytes_total"
            ProcessCount = optionalInt get "process_count"
            Disks = optionalArray get "disks" dDisk
            Gpus = optionalArray get "gpus" dGpu
            Fans = optionalArray get "fans" dFan
            Pressure = get.Optional.Field "pressure" dPressure |> ValueOption.ofOption
            Interfaces = optionalArray get "network_interfaces" dInterface
            Infiniband = optionalArray get "infiniband" dInfinibandPort
        })

let private dPartition: Decoder<Partition> =
    Decode.object (fun get ->
        {
            Device = get.Required.Field "device" Decode.string
            MountPoint = get.Required.Field "mountpoint" Decode.string
            FsType = get.Required.Field "fstype" Decode.string
            Total = get.Required.Field "total_bytes" dCounter
            Used = get.Required.Field "used_bytes" dCounter
            Free = get.Required.Field "free_bytes" dCounter
            Percent = get.Required.Field "percent" dNumber
        })

let private dInterfaceAddress: Decoder<InterfaceAddress> =
    Decode.object (fun get ->
        {
            Name = get.Required.Field "name" Decode.string
            IPv4 = optionalText get "ipv4"
            IPv6 = optionalText get "ipv6"
        })

/// `…-with-glibc2.36` at the end of `platform_full` names the C library.
let private libcOf (platform: string) =
    match platform.LastIndexOf("-with-", StringComparison.Ordinal) with
    | -1 -> ""
    | at -> platform.Substring(at + "-with-".Length)

let private dSystemInfo: Decoder<SystemInfo> =
    Decode.object (fun get ->
        {
            OsName = optionalText get "os_name"
            OsRelease = optionalText get "os_release"
            OsVersion = optionalText get "os_version"
            Machine = optionalText get "machine"
            LibC = libcOf (optionalText get "platform_full")
            CpuModel = optionalText get "cpu_model"
            Hostname = optionalText get "hostname"
            CpuCountLogical = optionalInt get "cpu_count_logical"
            CpuCountPhysical = optionalInt get "cpu_count_physical"
            MemoryTotal = optionalCounter get "memory_total_bytes"
            SwapTotal = optionalCounter get "swap_total_bytes"
            BootTime = get.Optional.Field "boot_time" dInstant |> ValueOption.ofOption
            Uptime = optionalNumber get "uptime_seconds"
            Partitions = optionalArray get "partitions" dPartition
            Interfaces = optionalArray get "interfaces" dInterfaceAddress
        })

/// Reads the `agent` member.
let decodeAgent: Decoder<AgentInfo> =
    Decode.object (fun get ->
        {
            Version = optionalText get "version"
            Hostname = optionalText get "hostname"
            Pid = get.Required.Field "pid" Decode.int
            Labels =
                get.Optional.Field "labels" (Decode.keyValuePairs Decode.string)
                |> Option.defaultValue []
                |> List.map (fun (key, value) -> struct (key, value))
                |> Array.ofList
            DiskFilters = optionalArray get "disk_filters" Decode.string
            Runtime = optionalText get "runtime"
            System = get.Required.Field "system_info" dSystemInfo
        })

/// Reads one request body.
let decode: Decoder<Sample * AgentInfo> =
    Decode.object (fun get -> get.Required.Field "sample" decodeSample, get.Required.Field "agent" decodeAgent)
