/// Sample and AgentInfo as the JSON of the ingest API, in both directions. The keys stand in docs/ingest-api.md.
[<RequireQualifiedAccess>]
module Agent.Core.Wire

open System
open System.Buffers
open System.Globalization
open System.Text
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// The form of `JsonForm.writeInstant`.
[<Literal>]
let private InstantFormat = "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"

/// `2026-02-26T02:37:49.120000+00:00`
[<CompiledName "Instant">]
let instant (value: DateTimeOffset) : string =
    let text = Array.zeroCreate<byte> JsonForm.InstantLength
    JsonForm.writeInstant (value, Span text)
    Encoding.ASCII.GetString text

/// Bytes of a request body of a machine without GPUs, about.
[<Literal>]
let private InitialCapacity = 4096

/// The objects of an array.
let inline private arrayOf (json: JsonText) ([<InlineIfLambda>] write: 'a -> unit) (values: 'a[]) : unit =
    json.Mark '['B

    for i in 0 .. values.Length - 1 do
        if i > 0 then
            json.Mark ','B

        write values[i]

    json.Mark ']'B

/// The same, null for none.
let inline private arrayOrNull (json: JsonText) ([<InlineIfLambda>] write: 'a -> unit) (values: 'a[] voption) : unit =
    match values with
    | ValueSome values -> arrayOf json write values
    | ValueNone -> json.Null()

let private diskNames = MemberNames()

let private writeDisk (json: JsonText) (disk: DiskStats.DiskCounters) =
    let mutable members = JsonMembers(json, diskNames)
    members.Text("device", disk.Device)
    members.Counter("read_bytes_total", disk.ReadBytes)
    members.Counter("write_bytes_total", disk.WrittenBytes)
    members.Counter("read_count_total", disk.Reads)
    members.Counter("write_count_total", disk.Writes)
    members.CounterOrNull("busy_time_ms_total", disk.BusyTime)
    members.End()

let private processNames = MemberNames()

let private writeProcess (json: JsonText) (p: ComputeProcess) =
    let mutable members = JsonMembers(json, processNames)
    members.Int("pid", p.Pid)
    members.CounterOrNull("memory_used_bytes", p.MemoryUsed)
    members.Text("name", p.Name)
    members.End()

let private migDeviceNames = MemberNames()

let private writeMigDevice (json: JsonText) (device: MigDevice) =
    let mutable members = JsonMembers(json, migDeviceNames)
    members.Int("mig_index", device.Index)
    members.Text("name", device.Name)
    members.Text("uuid", device.Uuid)
    members.IntOrNull("gpu_instance_id", device.GpuInstance)
    members.IntOrNull("compute_instance_id", device.ComputeInstance)
    members.CounterOrNull("memory_total_bytes", device.MemoryTotal)
    members.CounterOrNull("memory_used_bytes", device.MemoryUsed)
    members.Name "compute_processes"
    arrayOrNull json (writeProcess json) device.ComputeProcesses
    members.IntOrNull("xid_last", device.XidLast)
    members.CounterOrNull("xid_count", device.XidCount)
    members.End()

[<Literal>]
let private MigEnabled = "enabled"

[<Literal>]
let private MigDisabled = "disabled"

let private gpuNames = MemberNames()

let private writeGpu (json: JsonText) (gpu: Gpu) =
    let mutable members = JsonMembers(json, gpuNames)
    members.Int("gpu_index", gpu.Index)
    members.Text("name", gpu.Name)
    members.Text("uuid", gpu.Uuid)
    members.Text("pci_bus_id", gpu.PciBusId)
    members.BoolOrNull("suspended", ValueSome gpu.IsSuspended)
    members.NumberOrNull("utilization_gpu_percent", gpu.Utilization)
    members.NumberOrNull("utilization_memory_percent", gpu.MemoryUtilization)
    members.CounterOrNull("memory_total_bytes", gpu.MemoryTotal)
    members.CounterOrNull("memory_used_bytes", gpu.MemoryUsed)
    members.NumberOrNull("memory_percent", ValueOption.map roundToTenth gpu.MemoryPercent)
    members.CounterOrNull("memory_free_bytes", gpu.MemoryFree)
    members.CounterOrNull("memory_reserved_bytes", gpu.MemoryReserved)
    members.BoolOrNull("memory_is_host", ValueSome gpu.IsMemoryShared)
    members.NumberOrNull("temperature_c", gpu.Temperature)
    members.NumberOrNull("fan_speed_percent", gpu.FanSpeed)
    members.NumberOrNull("power_w", gpu.Power)
    members.NumberOrNull("power_limit_w", gpu.PowerLimit)
    // The keys below are ours; the webapp ignores them.
    members.Name "throttle_reasons"
    arrayOrNull json (fun (reason: string) -> json.Text reason) gpu.ThrottleReasons
    members.NumberOrNull("clock_sm_mhz", gpu.ClockSm)
    members.NumberOrNull("clock_memory_mhz", gpu.ClockMemory)
    members.NumberOrNull("pcie_rx_bytes_per_s", gpu.PcieReceived)
    members.NumberOrNull("pcie_tx_bytes_per_s", gpu.PcieSent)
    members.IntOrNull("pcie_link_gen", gpu.PcieLinkGeneration)
    members.IntOrNull("pcie_link_width", gpu.PcieLinkWidth)
    members.CounterOrNull("ecc_uncorrected_total", gpu.EccUncorrected)
    members.CounterOrNull("ecc_corrected_total", gpu.EccCorrected)
    members.BoolOrNull("remapped_rows_pending", gpu.RemappedRowsPending)
    members.IntOrNull("xid_last", gpu.XidLast)
    members.CounterOrNull("xid_count", gpu.XidCount)
    members.CounterOrNull("energy_mj_total", gpu.Energy)
    members.NumberOrNull("encoder_percent", gpu.Encoder)
    members.NumberOrNull("decoder_percent", gpu.Decoder)
    members.CounterOrNull("nvlink_rx_bytes_total", gpu.NvlinkReceived)
    members.CounterOrNull("nvlink_tx_bytes_total", gpu.NvlinkSent)
    members.NumberOrNull("memory_temperature_c", gpu.MemoryTemperature)
    members.Name "mig_mode"

    match gpu.MigMode with
    | ValueSome MigMode.Enabled -> json.Text MigEnabled
    | ValueSome MigMode.Disabled -> json.Text MigDisabled
    | ValueNone -> json.Null()

    members.Name "compute_processes"
    arrayOrNull json (writeProcess json) gpu.ComputeProcesses
    members.Name "mig_devices"
    arrayOrNull json (writeMigDevice json) gpu.MigDevices
    members.End()

let private fanNames = MemberNames()

let private writeFan (json: JsonText) (fan: Hwmon.Fan) =
    let mutable members = JsonMembers(json, fanNames)
    members.Text("label", fan.Label)
    members.Int("speed_rpm", int fan.Speed)
    members.End()

let private pressureNames = MemberNames()

let private writePressure (json: JsonText) (use': PressureUse) =
    let mutable members = JsonMembers(json, pressureNames)
    members.NumberOrNull("cpu_some_avg10", use'.CpuSome |> ValueOption.map _.Avg10)
    members.NumberOrNull("io_some_avg10", use'.IoSome |> ValueOption.map _.Avg10)
    members.NumberOrNull("io_full_avg10", use'.IoFull |> ValueOption.map _.Avg10)
    members.NumberOrNull("memory_some_avg10", use'.MemorySome |> ValueOption.map _.Avg10)
    members.NumberOrNull("memory_full_avg10", use'.MemoryFull |> ValueOption.map _.Avg10)
    members.CounterOrNull("cpu_some_total_us", use'.CpuSome |> ValueOption.map _.Total)
    members.CounterOrNull("io_some_total_us", use'.IoSome |> ValueOption.map _.Total)
    members.CounterOrNull("io_full_total_us", use'.IoFull |> ValueOption.map _.Total)
    members.CounterOrNull("memory_some_total_us", use'.MemorySome |> ValueOption.map _.Total)
    members.CounterOrNull("memory_full_total_us", use'.MemoryFull |> ValueOption.map _.Total)
    members.End()

let private interfaceNames = MemberNames()

let private writeInterface (json: JsonText) (use': InterfaceUse) =
    let mutable members = JsonMembers(json, interfaceNames)
    let i = use'.Counters
    members.Text("name", i.Name)
    members.Text("kind", use'.Kind)
    members.Name "master"

    if use'.Master = "" then
        json.Null()
    else
        json.Text use'.Master

    members.Counter("rx_bytes_total", i.Received.Bytes)
    members.Counter("tx_bytes_total", i.Sent.Bytes)
    members.Counter("rx_packets_total", i.Received.Packets)
    members.Counter("tx_packets_total", i.Sent.Packets)
    members.Counter("rx_errors_total", i.Received.Errors)
    members.Counter("tx_errors_total", i.Sent.Errors)
    members.Counter("rx_dropped_total", i.Received.Dropped)
    members.Counter("tx_dropped_total", i.Sent.Dropped)
    members.End()

let private portNames = MemberNames()

let private writePort (json: JsonText) (port: Infiniband.Port) =
    let mutable members = JsonMembers(json, portNames)
    members.Text("device", port.Device)
    members.Int("port", port.Port)
    members.CounterOrNull("rx_bytes_total", port.Received)
    members.CounterOrNull("tx_bytes_total", port.Sent)
    members.End()

let private sampleNames = MemberNames()

let private writeSample (json: JsonText) (sample: Sample) =
    let mutable members = JsonMembers(json, sampleNames)
    members.Name "collected_at"
    json.Instant sample.CollectedAt
    members.NumberOrNull("cpu_usage_percent", sample.CpuUsage)
    members.NumberOrNull("cpu_user_percent", sample.CpuUser)
    members.NumberOrNull("cpu_system_percent", sample.CpuSystem)
    members.NumberOrNull("cpu_iowait_percent", sample.CpuIowait)
    members.NumberOrNull("cpu_load_1", sample.Load |> ValueOption.map _.One)
    members.NumberOrNull("cpu_load_5", sample.Load |> ValueOption.map _.Five)
    members.NumberOrNull("cpu_load_15", sample.Load |> ValueOption.map _.Fifteen)
    members.NumberOrNull("cpu_frequency_mhz", sample.CpuFrequency)
    members.NumberOrNull("cpu_temperature_c", sample.CpuTemperature)
    members.IntOrNull("cpu_count_logical", sample.CpuCountLogical)
    members.IntOrNull("cpu_count_physical", sample.CpuCountPhysical)
    members.CounterOrNull("memory_total_bytes", sample.Memory |> ValueOption.map _.Total)
    members.CounterOrNull("memory_used_bytes", sample.Memory |> ValueOption.map _.Used)
    members.CounterOrNull("memory_available_bytes", sample.Memory |> ValueOption.map _.Available)
    members.NumberOrNull("memory_percent", sample.Memory |> ValueOption.map _.Percent)
    members.CounterOrNull("swap_total_bytes", sample.Swap |> ValueOption.map _.Total)
    members.CounterOrNull("swap_used_bytes", sample.Swap |> ValueOption.map _.Used)
    members.NumberOrNull("swap_percent", sample.Swap |> ValueOption.map _.Percent)
    members.CounterOrNull("network_rx_bytes_total", sample.NetworkReceived)
    members.CounterOrNull("network_tx_bytes_total", sample.NetworkSent)
    members.IntOrNull("process_count", sample.ProcessCount)
    members.Name "disks"
    arrayOf json (writeDisk json) sample.Disks
    members.Name "gpus"
    arrayOf json (writeGpu json) sample.Gpus
    members.Name "fans"
    arrayOf json (writeFan json) sample.Fans
    // The keys below are ours; the webapp ignores them.
    members.NumberOrNull("cpu_steal_percent", sample.CpuSteal)
    members.Name "cpu_cores_percent"

    arrayOf
        json
        (fun core ->
            match core with
            | ValueSome share -> json.Float(float<float<percent>> share)
            | ValueNone -> json.Null())
        sample.CpuCores

    members.Name "pressure"

    match sample.Pressure with
    | ValueSome stalls -> writePressure json stalls
    | ValueNone -> json.Null()

    members.Name "network_interfaces"
    arrayOf json (writeInterface json) sample.Interfaces
    members.Name "infiniband"
    arrayOf json (writePort json) sample.Infiniband
    members.End()

/// The `sample` member.
[<CompiledName "EncodeSample">]
let encodeSample (sample: Sample) : JsonValue =
    fun writer ->
        let json = JsonText InitialCapacity
        writeSample json sample
        Encode.raw json.Written writer

let private counter (value: uint64<'u>) : JsonValue = Encode.int64 (wireInteger value)

let private number (value: float<'u>) : JsonValue = Encode.float (float value)

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
            "memory_total_bytes", Encode.voption counter info.MemoryTotal
            "swap_total_bytes", Encode.voption counter info.SwapTotal
            "boot_time", Encode.voption (fun at -> Encode.string (instant at)) info.BootTime
            "uptime_seconds", Encode.voption number info.Uptime
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

let private bodyNames = MemberNames()

/// Writes one request body as UTF-8 on one line, its `agent` member being a text of `AgentText`.
[<CompiledName "WriteWithAgent">]
let writeWithAgent (json: JsonText) (sample: Sample) (agent: ReadOnlyMemory<byte>) : unit =
    let mutable members = JsonMembers(json, bodyNames)
    members.Name "sample"
    writeSample json sample
    members.Name "agent"
    json.Raw agent.Span
    members.End()

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

let private optionalBool (get: IGetters) name : bool =
    get.Optional.Field name Decode.bool |> Option.defaultValue false

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
            Detail = ValueNone
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
            ComputeProcesses = optionalList get "compute_processes" dComputeProcess
            XidLast = optionalInt get "xid_last"
            XidCount = optionalCounter get "xid_count"
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
            PciBusId = optionalText get "pci_bus_id"
            IsSuspended = optionalBool get "suspended"
            Utilization = optionalNumber get "utilization_gpu_percent"
            MemoryUtilization = optionalNumber get "utilization_memory_percent"
            MemoryTotal = optionalCounter get "memory_total_bytes"
            MemoryUsed = optionalCounter get "memory_used_bytes"
            MemoryFree = optionalCounter get "memory_free_bytes"
            MemoryReserved = optionalCounter get "memory_reserved_bytes"
            IsMemoryShared = optionalBool get "memory_is_host"
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

let private dInterface: Decoder<InterfaceUse> =
    Decode.object (fun get ->
        let traffic direction : NetDev.Traffic =
            {
                Bytes = get.Required.Field $"{direction}_bytes_total" dCounter
                Packets = get.Required.Field $"{direction}_packets_total" dCounter
                Errors = get.Required.Field $"{direction}_errors_total" dCounter
                Dropped = get.Required.Field $"{direction}_dropped_total" dCounter
            }

        {
            Counters =
                {
                    Name = get.Required.Field "name" Decode.string
                    Received = traffic "rx"
                    Sent = traffic "tx"
                    Detail = ValueNone
                }
            Kind = optionalText get "kind"
            Master = optionalText get "master"
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
            CpuCores =
                optionalArray get "cpu_cores_percent" (Decode.option dNumber)
                |> Array.map ValueOption.ofOption
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
            NetworkPartitions = [||]
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
