/// Sample and AgentInfo as the JSON of the ingest API, in both directions. The keys stand in docs/ingest-api.md.
[<RequireQualifiedAccess>]
module Agent.Core.Wire

open System
open System.Buffers
open System.Globalization
open System.Text.Json
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

let private counter (value: uint64<'u>) (writer: Utf8JsonWriter) : unit = Encode.int64 (wireInteger value) writer

let private number (value: float<'u>) (writer: Utf8JsonWriter) : unit = Encode.float (float value) writer

// These take the writer as an argument of their own, as all encoders below do that are called at every sample: an encoder
// that is handed back as a value is a new object for each value.
let private numberOrNull (value: float<'u> voption) (writer: Utf8JsonWriter) : unit =
    match value with
    | ValueSome value -> number value writer
    | ValueNone -> writer.WriteNullValue()

let private counterOrNull (value: uint64<'u> voption) (writer: Utf8JsonWriter) : unit =
    match value with
    | ValueSome value -> counter value writer
    | ValueNone -> writer.WriteNullValue()

let private intOrNull (value: int voption) (writer: Utf8JsonWriter) : unit =
    match value with
    | ValueSome value -> writer.WriteNumberValue value
    | ValueNone -> writer.WriteNullValue()

let private disk =
    Encode.record<DiskStats.DiskCounters>
        [|
            "device", (fun disk writer -> Encode.string disk.Device writer)
            "read_bytes_total", (fun disk writer -> counter disk.ReadBytes writer)
            "write_bytes_total", (fun disk writer -> counter disk.WrittenBytes writer)
            "read_count_total", (fun disk writer -> counter disk.Reads writer)
            "write_count_total", (fun disk writer -> counter disk.Writes writer)
            "busy_time_ms_total", (fun disk writer -> counterOrNull disk.BusyTime writer)
        |]

/// Writes the members of an object without a list of them. Of GPUs there are eight with thirty members each and
/// processes below them, every second, so theirs are written straight.
[<Struct>]
type private Members(writer: Utf8JsonWriter) =
    member _.Text (name: string) (value: string) : unit =
        writer.WritePropertyName name
        Encode.string value writer

    member _.Int (name: string) (value: int voption) : unit =
        match value with
        | ValueSome value -> writer.WriteNumber(name, value)
        | ValueNone -> writer.WriteNull name

    member _.Number (name: string) (value: float<'u> voption) : unit =
        match value with
        | ValueSome value when Double.IsFinite(float value) -> writer.WriteNumber(name, float value)
        | _ -> writer.WriteNull name

    member _.Counter (name: string) (value: uint64<'u> voption) : unit =
        match value with
        | ValueSome value -> writer.WriteNumber(name, wireInteger value)
        | ValueNone -> writer.WriteNull name

    member _.Bool (name: string) (value: bool voption) : unit =
        match value with
        | ValueSome value -> writer.WriteBoolean(name, value)
        | ValueNone -> writer.WriteNull name

    member _.Array (name: string) (write: Utf8JsonWriter -> 'a -> unit) (values: 'a[] voption) : unit =
        match values with
        | ValueSome values ->
            writer.WriteStartArray name

            for value in values do
                write writer value

            writer.WriteEndArray()
        | ValueNone -> writer.WriteNull name

let private computeProcess (writer: Utf8JsonWriter) (p: ComputeProcess) =
    let members = Members writer
    writer.WriteStartObject()
    members.Int "pid" (ValueSome p.Pid)
    members.Counter "memory_used_bytes" p.MemoryUsed
    members.Text "name" p.Name
    writer.WriteEndObject()

let private migDevice (writer: Utf8JsonWriter) (device: MigDevice) =
    let members = Members writer
    writer.WriteStartObject()
    members.Int "mig_index" (ValueSome device.Index)
    members.Text "name" device.Name
    members.Text "uuid" device.Uuid
    members.Int "gpu_instance_id" device.GpuInstance
    members.Int "compute_instance_id" device.ComputeInstance
    members.Counter "memory_total_bytes" device.MemoryTotal
    members.Counter "memory_used_bytes" device.MemoryUsed
    writer.WriteEndObject()

[<Literal>]
let private MigEnabled = "enabled"

[<Literal>]
let private MigDisabled = "disabled"

let private gpu (gpu: Gpu) : JsonValue =
    fun writer ->
        let members = Members writer
        writer.WriteStartObject()
        members.Int "gpu_index" (ValueSome gpu.Index)
        members.Text "name" gpu.Name
        members.Text "uuid" gpu.Uuid
        members.Number "utilization_gpu_percent" gpu.Utilization
        members.Number "utilization_memory_percent" gpu.MemoryUtilization
        members.Counter "memory_total_bytes" gpu.MemoryTotal
        members.Counter "memory_used_bytes" gpu.MemoryUsed
        members.Number "memory_percent" (ValueOption.map roundToTenth gpu.MemoryPercent)
        members.Number "temperature_c" gpu.Temperature
        members.Number "fan_speed_percent" gpu.FanSpeed
        members.Number "power_w" gpu.Power
        members.Number "power_limit_w" gpu.PowerLimit
        // The keys below are ours; the webapp ignores them.
        members.Array "throttle_reasons" (fun writer reason -> Encode.string reason writer) gpu.ThrottleReasons
        members.Number "clock_sm_mhz" gpu.ClockSm
        members.Number "clock_memory_mhz" gpu.ClockMemory
        members.Number "pcie_rx_bytes_per_s" gpu.PcieReceived
        members.Number "pcie_tx_bytes_per_s" gpu.PcieSent
        members.Int "pcie_link_gen" gpu.PcieLinkGeneration
        members.Int "pcie_link_width" gpu.PcieLinkWidth
        members.Counter "ecc_uncorrected_total" gpu.EccUncorrected
        members.Counter "ecc_corrected_total" gpu.EccCorrected
        members.Bool "remapped_rows_pending" gpu.RemappedRowsPending
        members.Int "xid_last" gpu.XidLast
        members.Counter "xid_count" gpu.XidCount
        members.Counter "energy_mj_total" gpu.Energy
        members.Number "encoder_percent" gpu.Encoder
        members.Number "decoder_percent" gpu.Decoder
        members.Counter "nvlink_rx_bytes_total" gpu.NvlinkReceived
        members.Counter "nvlink_tx_bytes_total" gpu.NvlinkSent
        members.Number "memory_temperature_c" gpu.MemoryTemperature

        match gpu.MigMode with
        | ValueSome MigMode.Enabled -> members.Text "mig_mode" MigEnabled
        | ValueSome MigMode.Disabled -> members.Text "mig_mode" MigDisabled
        | ValueNone -> writer.WriteNull "mig_mode"

        members.Array "compute_processes" computeProcess gpu.ComputeProcesses
        members.Array "mig_devices" migDevice gpu.MigDevices
        writer.WriteEndObject()

let private fan (fan: Hwmon.Fan) =
    Encode.object [| "label", Encode.string fan.Label; "speed_rpm", Encode.int (int fan.Speed) |]

let private pressure =
    let average (stall: Pressure.Stall voption) (writer: Utf8JsonWriter) =
        match stall with
        | ValueSome stall -> number stall.Avg10 writer
        | ValueNone -> writer.WriteNullValue()

    let total (stall: Pressure.Stall voption) (writer: Utf8JsonWriter) =
        match stall with
        | ValueSome stall -> counter stall.Total writer
        | ValueNone -> writer.WriteNullValue()

    Encode.record<PressureUse>
        [|
            "cpu_some_avg10", (fun use' writer -> average use'.CpuSome writer)
            "io_some_avg10", (fun use' writer -> average use'.IoSome writer)
            "io_full_avg10", (fun use' writer -> average use'.IoFull writer)
            "memory_some_avg10", (fun use' writer -> average use'.MemorySome writer)
            "memory_full_avg10", (fun use' writer -> average use'.MemoryFull writer)
            "cpu_some_total_us", (fun use' writer -> total use'.CpuSome writer)
            "io_some_total_us", (fun use' writer -> total use'.IoSome writer)
            "io_full_total_us", (fun use' writer -> total use'.IoFull writer)
            "memory_some_total_us", (fun use' writer -> total use'.MemorySome writer)
            "memory_full_total_us", (fun use' writer -> total use'.MemoryFull writer)
        |]

let private networkInterface =
    Encode.record<NetDev.InterfaceCounters>
        [|
            "name", (fun i writer -> Encode.string i.Name writer)
            "rx_bytes_total", (fun i writer -> counter i.Received.Bytes writer)
            "tx_bytes_total", (fun i writer -> counter i.Sent.Bytes writer)
            "rx_packets_total", (fun i writer -> counter i.Received.Packets writer)
            "tx_packets_total", (fun i writer -> counter i.Sent.Packets writer)
            "rx_errors_total", (fun i writer -> counter i.Received.Errors writer)
            "tx_errors_total", (fun i writer -> counter i.Sent.Errors writer)
            "rx_dropped_total", (fun i writer -> counter i.Received.Dropped writer)
            "tx_dropped_total", (fun i writer -> counter i.Sent.Dropped writer)
        |]

let private infinibandPort =
    Encode.record<Infiniband.Port>
        [|
            "device", (fun port writer -> Encode.string port.Device writer)
            "port", (fun port writer -> Encode.int port.Port writer)
            "rx_bytes_total", (fun port writer -> counterOrNull port.Received writer)
            "tx_bytes_total", (fun port writer -> counterOrNull port.Sent writer)
        |]

let private memory (value: MemoryUse -> JsonValue) (sample: Sample) (writer: Utf8JsonWriter) : unit =
    match sample.Memory with
    | ValueSome memory -> value memory writer
    | ValueNone -> writer.WriteNullValue()

let private swap (value: SwapUse -> JsonValue) (sample: Sample) (writer: Utf8JsonWriter) : unit =
    match sample.Swap with
    | ValueSome swap -> value swap writer
    | ValueNone -> writer.WriteNullValue()

let private load (value: LoadAvg.LoadAverage -> float) (sample: Sample) (writer: Utf8JsonWriter) : unit =
    match sample.Load with
    | ValueSome load -> Encode.float (value load) writer
    | ValueNone -> writer.WriteNullValue()

let private pressureOrNull (sample: Sample) (writer: Utf8JsonWriter) : unit =
    match sample.Pressure with
    | ValueSome stalls -> pressure stalls writer
    | ValueNone -> writer.WriteNullValue()

let private sampleMembers =
    Encode.record<Sample>
        [|
            "collected_at", (fun sample writer -> Encode.string (instant sample.CollectedAt) writer)
            "cpu_usage_percent", (fun sample writer -> numberOrNull sample.CpuUsage writer)
            "cpu_user_percent", (fun sample writer -> numberOrNull sample.CpuUser writer)
            "cpu_system_percent", (fun sample writer -> numberOrNull sample.CpuSystem writer)
            "cpu_iowait_percent", (fun sample writer -> numberOrNull sample.CpuIowait writer)
            "cpu_load_1", load (fun l -> l.One)
            "cpu_load_5", load (fun l -> l.Five)
            "cpu_load_15", load (fun l -> l.Fifteen)
            "cpu_frequency_mhz", (fun sample writer -> numberOrNull sample.CpuFrequency writer)
            "cpu_temperature_c", (fun sample writer -> numberOrNull sample.CpuTemperature writer)
            "cpu_count_logical", (fun sample writer -> intOrNull sample.CpuCountLogical writer)
            "cpu_count_physical", (fun sample writer -> intOrNull sample.CpuCountPhysical writer)
            "memory_total_bytes", memory (fun m writer -> counter m.Total writer)
            "memory_used_bytes", memory (fun m writer -> counter m.Used writer)
            "memory_available_bytes", memory (fun m writer -> counter m.Available writer)
            "memory_percent", memory (fun m writer -> number m.Percent writer)
            "swap_total_bytes", swap (fun s writer -> counter s.Total writer)
            "swap_used_bytes", swap (fun s writer -> counter s.Used writer)
            "swap_percent", swap (fun s writer -> number s.Percent writer)
            "network_rx_bytes_total", (fun sample writer -> counterOrNull sample.NetworkReceived writer)
            "network_tx_bytes_total", (fun sample writer -> counterOrNull sample.NetworkSent writer)
            "process_count", (fun sample writer -> intOrNull sample.ProcessCount writer)
            "disks", (fun sample writer -> Encode.arrayOf disk sample.Disks writer)
            "gpus", (fun sample writer -> Encode.arrayOf gpu sample.Gpus writer)
            "fans", (fun sample writer -> Encode.arrayOf fan sample.Fans writer)
            // The keys below are ours; the webapp ignores them.
            "cpu_steal_percent", (fun sample writer -> numberOrNull sample.CpuSteal writer)
            "cpu_cores_percent", (fun sample writer -> Encode.arrayOf number sample.CpuCores writer)
            "pressure", pressureOrNull
            "network_interfaces", (fun sample writer -> Encode.arrayOf networkInterface sample.Interfaces writer)
            "infiniband", (fun sample writer -> Encode.arrayOf infinibandPort sample.Infiniband writer)
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
            "sample", (fun (struct (sample, _)) writer -> encodeSample sample writer)
            "agent", (fun (struct (_, agent)) writer -> Encode.raw agent writer)
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

/// None when missing or null, which is not the same as empty.
let private optionalList (get: IGetters) name (decoder: Decoder<'a>) : 'a[] voption =
    get.Optional.Field name (Decode.array decoder) |> ValueOption.ofOption

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

let private dComputeProcess: Decoder<ComputeProcess> =
    Decode.object (fun get ->
        {
            Pid = get.Required.Field "pid" Decode.int
            MemoryUsed = optionalCounter get "memory_used_bytes"
            Name = optionalText get "name"
        })

let private dMigDevice: Decoder<MigDevice> =
    Decode.object (fun get ->
        {
            Index = get.Required.Field "mig_index" Decode.int
            Name = optionalText get "name"
            Uuid = optionalText get "uuid"
            GpuInstance = optionalInt get "gpu_instance_id"
            ComputeInstance = optionalInt get "compute_instance_id"
            MemoryTotal = optionalCounter get "memory_total_bytes"
            MemoryUsed = optionalCounter get "memory_used_bytes"
        })

let private dMigMode: Decoder<MigMode> =
    Decode.string
    |> Decode.andThen (fun text ->
        match text with
        | MigEnabled -> Decode.succeed MigMode.Enabled
        | MigDisabled -> Decode.succeed MigMode.Disabled
        | other -> Decode.fail $"expected {MigEnabled} or {MigDisabled}, found \"{other}\"")

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
            ThrottleReasons = optionalList get "throttle_reasons" Decode.string
            ClockSm = optionalNumber get "clock_sm_mhz"
            ClockMemory = optionalNumber get "clock_memory_mhz"
            PcieReceived = optionalNumber get "pcie_rx_bytes_per_s"
            PcieSent = optionalNumber get "pcie_tx_bytes_per_s"
            PcieLinkGeneration = optionalInt get "pcie_link_gen"
            PcieLinkWidth = optionalInt get "pcie_link_width"
            EccUncorrected = optionalCounter get "ecc_uncorrected_total"
            EccCorrected = optionalCounter get "ecc_corrected_total"
            RemappedRowsPending = get.Optional.Field "remapped_rows_pending" Decode.bool |> ValueOption.ofOption
            XidLast = optionalInt get "xid_last"
            XidCount = optionalCounter get "xid_count"
            Energy = optionalCounter get "energy_mj_total"
            Encoder = optionalNumber get "encoder_percent"
            Decoder = optionalNumber get "decoder_percent"
            NvlinkReceived = optionalCounter get "nvlink_rx_bytes_total"
            NvlinkSent = optionalCounter get "nvlink_tx_bytes_total"
            MemoryTemperature = optionalNumber get "memory_temperature_c"
            MigMode = get.Optional.Field "mig_mode" dMigMode |> ValueOption.ofOption
            ComputeProcesses = optionalList get "compute_processes" dComputeProcess
            MigDevices = optionalList get "mig_devices" dMigDevice
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
