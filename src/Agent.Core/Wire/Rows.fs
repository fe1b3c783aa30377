/// The keys of a request body, one row each. A value that the sample gets is a field of its record, and a row here.
module internal Agent.Core.Rows

open System
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Row
open Agent.Core.Sys
open Agent.Core.Units
open Agent.Core.UnitNames

let disk =
    Table<DiskStats.DiskCounters>(
        "disk",
        [|
            text webapp "device" "the kernel's name, unique within the sample" _.Device
            counterOrNull webapp "read_bytes_total" bytes "read from the device; null where it is not counted" _.ReadBytes
            counterOrNull webapp "write_bytes_total" bytes "written to the device; null where it is not counted" _.WrittenBytes
            counterOrNull webapp "read_count_total" none "reads completed; null where it is not counted" _.Reads
            counterOrNull webapp "write_count_total" none "writes completed; null where it is not counted" _.Writes
            counterOrNull webapp "busy_time_ms_total" milliseconds "time with a request in flight; null where it is not counted" _.BusyTime
        |]
    )

let computeProcess =
    Table<ComputeProcess>(
        "compute_process",
        [|
            integer ours "pid" none "its PID in the agent's own PID namespace" _.Pid
            counterOrNull
                ours
                "memory_used_bytes"
                bytes
                "device memory that it holds; null where the driver does not report it"
                _.MemoryUsed
            text ours "name" "`/proc/PID/comm`, or the file name that the driver reports; empty when unknown" _.Name
        |]
    )

let migDevice =
    Table<MigDevice>(
        "mig_device",
        [|
            integer ours "mig_index" none "its index within its board, from 0" _.Index
            text ours "name" "`NVIDIA H100 80GB HBM3 MIG 3g.40gb`; empty when unknown" _.Name
            text ours "uuid" "`MIG-…`; empty when unknown" _.Uuid
            integerOrNull ours "gpu_instance_id" none "the GPU instance it belongs to" _.GpuInstance
            integerOrNull ours "compute_instance_id" none "the compute instance within it" _.ComputeInstance
            counterOrNull ours "memory_total_bytes" bytes "its memory" _.MemoryTotal
            counterOrNull ours "memory_used_bytes" bytes "its memory in use" _.MemoryUsed
            objectsOrNull ours "compute_processes" computeProcess "the processes that compute on it, as on a whole GPU" _.ComputeProcesses
            integerOrNull ours "xid_last" none "code of the newest XID event of its GPU instance" _.XidLast
            counterOrNull ours "xid_count" none "XID events of its GPU instance since the agent started" _.XidCount
        |]
    )

let private migModes = [| "enabled"; "disabled" |]

let private migMode (gpu: Gpu) : string =
    match gpu.MigMode with
    | ValueSome MigMode.Enabled -> migModes[0]
    | ValueSome MigMode.Disabled -> migModes[1]
    | ValueNone -> ""

let gpu =
    Table<Gpu>(
        "gpu",
        [|
            integer webapp "gpu_index" none "the driver's index, unique within the sample" _.Index
            text webapp "name" "`NVIDIA H100 80GB HBM3`; empty when unknown" _.Name
            text webapp "uuid" "`GPU-…`; empty when unknown" _.Uuid
            text ours "pci_bus_id" "its address on the PCI bus, as in `/sys/bus/pci/devices`; stays with the board" _.PciBusId
            flag ours "suspended" "the kernel has suspended it; its readings are null, because any query would wake it" _.IsSuspended
            numberOrNull webapp "utilization_gpu_percent" percent "share of the last sample period in which a kernel ran" _.Utilization
            numberOrNull
                webapp
                "utilization_memory_percent"
                percent
                "share of the same period in which device memory was read or written"
                _.MemoryUtilization
            counterOrNull webapp "memory_total_bytes" bytes "device memory" _.MemoryTotal
            counterOrNull webapp "memory_used_bytes" bytes "device memory in use, without what the driver reserves" _.MemoryUsed
            numberOrNull webapp "memory_percent" percent "used as a share of total" (fun gpu ->
                ValueOption.map roundToTenth gpu.MemoryPercent)
            counterOrNull ours "memory_free_bytes" bytes "memory that can be allocated" _.MemoryFree
            counterOrNull ours "memory_reserved_bytes" bytes "what the driver keeps for itself" _.MemoryReserved
            flag ours "memory_is_host" "it has no memory of its own (Grace, Jetson); its memory figures are the machine's" _.IsMemoryShared
            numberOrNull webapp "temperature_c" celsius "temperature of the die" _.Temperature
            numberOrNull
                webapp
                "fan_speed_percent"
                percent
                "the speed that the fan is set to; null where the server does the cooling"
                _.FanSpeed
            numberOrNull webapp "power_w" watts "power draw of the board" _.Power
            numberOrNull webapp "power_limit_w" watts "the power limit in force" _.PowerLimit
            textsOrNull
                ours
                "throttle_reasons"
                "what slows the clocks down, by nvidia-smi's names: `gpu_idle`, `applications_clocks_setting`, `sw_power_cap`, \
                 `hw_slowdown`, `sync_boost`, `sw_thermal_slowdown`, `hw_thermal_slowdown`, `hw_power_brake_slowdown`, \
                 `display_clock_setting`; a bit without a name is `bit_9`; empty when nothing does"
                _.ThrottleReasons
            numberOrNull ours "clock_sm_mhz" megahertz "current clock of the multiprocessors" _.ClockSm
            numberOrNull ours "clock_sm_max_mhz" megahertz "highest clock of the multiprocessors" _.ClockSmMax
            numberOrNull ours "clock_memory_mhz" megahertz "current clock of the memory" _.ClockMemory
            numberOrNull ours "pcie_rx_bytes_per_s" bytesPerSecond "received over PCIe, sampled over 20 ms" _.PcieReceived
            numberOrNull ours "pcie_tx_bytes_per_s" bytesPerSecond "sent over PCIe, sampled over 20 ms" _.PcieSent
            integerOrNull ours "pcie_link_gen" none "current generation of the PCIe link; an idle board may step down" _.PcieLinkGeneration
            integerOrNull ours "pcie_link_width" none "current lanes of the PCIe link" _.PcieLinkWidth
            counterOrNull ours "ecc_uncorrected_total" none "memory errors not corrected, over the life of the board" _.EccUncorrected
            counterOrNull ours "ecc_corrected_total" none "memory errors corrected, over the life of the board" _.EccCorrected
            flagOrNull ours "remapped_rows_pending" "memory rows wait for a reset to be replaced" _.RemappedRowsPending
            integerOrNull ours "xid_last" none "code of the newest XID event since the agent started" _.XidLast
            counterOrNull ours "xid_count" none "XID events since the agent started, repeats of one code included" _.XidCount
            counterOrNull ours "energy_mj_total" millijoules "drawn since the driver was loaded" _.Energy
            numberOrNull ours "encoder_percent" percent "use of the video encoder" _.Encoder
            numberOrNull ours "decoder_percent" percent "use of the video decoder" _.Decoder
            counterOrNull ours "nvlink_rx_bytes_total" bytes "payload received over all NVLinks" _.NvlinkReceived
            counterOrNull ours "nvlink_tx_bytes_total" bytes "payload sent over all NVLinks" _.NvlinkSent
            numberOrNull ours "memory_temperature_c" celsius "the memory's own sensor" _.MemoryTemperature
            oneOfOrNull ours "mig_mode" migModes "whether the board is partitioned; null where it cannot be" migMode
            objectsOrNull
                ours
                "compute_processes"
                computeProcess
                "the processes that compute on it; at most 32, most memory first"
                _.ComputeProcesses
            objectsOrNull ours "mig_devices" migDevice "its MIG instances" _.MigDevices
        |]
    )

let fan =
    Table<Hwmon.Fan>(
        "fan",
        [|
            text webapp "label" "its sensor's label, unique within the sample" _.Label
            integer webapp "speed_rpm" rpm "its speed" _.Speed
        |]
    )

let private share (stall: Pressure.Stall voption) = stall |> ValueOption.map _.Avg10
let private time (stall: Pressure.Stall voption) = stall |> ValueOption.map _.Total

let pressure =
    Table<PressureUse>(
        "pressure",
        [|
            numberOrNull ours "cpu_some_avg10" percent "some task waited for CPU, in the last 10 s" (fun p -> share p.CpuSome)
            numberOrNull ours "io_some_avg10" percent "some task waited for I/O, in the last 10 s" (fun p -> share p.IoSome)
            numberOrNull ours "io_full_avg10" percent "all tasks waited for I/O, in the last 10 s" (fun p -> share p.IoFull)
            numberOrNull ours "memory_some_avg10" percent "some task waited for memory, in the last 10 s" (fun p -> share p.MemorySome)
            numberOrNull ours "memory_full_avg10" percent "all tasks waited for memory, in the last 10 s" (fun p -> share p.MemoryFull)
            counterOrNull ours "cpu_some_total_us" microseconds "time in which some task waited for CPU" (fun p -> time p.CpuSome)
            counterOrNull ours "io_some_total_us" microseconds "time in which some task waited for I/O" (fun p -> time p.IoSome)
            counterOrNull ours "io_full_total_us" microseconds "time in which all tasks waited for I/O" (fun p -> time p.IoFull)
            counterOrNull ours "memory_some_total_us" microseconds "time in which some task waited for memory" (fun p -> time p.MemorySome)
            counterOrNull ours "memory_full_total_us" microseconds "time in which all tasks waited for memory" (fun p -> time p.MemoryFull)
        |]
    )

let networkInterface =
    Table<InterfaceUse>(
        "network_interface",
        [|
            text ours "name" "`eth0`" _.Counters.Name
            text ours "kind" "`physical`, `bond`, `vlan`, `veth` and the like" _.Kind
            textOrNull ours "master" "what it is a port of" _.Master
            counter ours "rx_bytes_total" bytes "received" _.Counters.Received.Bytes
            counter ours "tx_bytes_total" bytes "sent" _.Counters.Sent.Bytes
            counter ours "rx_packets_total" none "packets received" _.Counters.Received.Packets
            counter ours "tx_packets_total" none "packets sent" _.Counters.Sent.Packets
            counter ours "rx_errors_total" none "errors while receiving" _.Counters.Received.Errors
            counter ours "tx_errors_total" none "errors while sending" _.Counters.Sent.Errors
            counter ours "rx_dropped_total" none "incoming packets that were dropped" _.Counters.Received.Dropped
            counter ours "tx_dropped_total" none "outgoing packets that were dropped" _.Counters.Sent.Dropped
        |]
    )

let infinibandPort =
    Table<Infiniband.Port>(
        "infiniband_port",
        [|
            text ours "device" "the adapter, `mlx5_0`" _.Device
            integer ours "port" none "the port's number" _.Port
            counterOrNull ours "rx_bytes_total" bytes "received since the counters were reset" _.Received
            counterOrNull ours "tx_bytes_total" bytes "sent since the counters were reset" _.Sent
        |]
    )

let sample =
    Table<Sample>(
        "sample",
        [|
            instant webapp "collected_at" "when the counters were read, `2026-02-26T02:37:49.120000+00:00`" _.CollectedAt
            numberOrNull webapp "cpu_usage_percent" percent "busy time over the CPU window" _.CpuUsage
            numberOrNull webapp "cpu_user_percent" percent "user time since the previous sample" _.CpuUser
            numberOrNull webapp "cpu_system_percent" percent "kernel time since the previous sample" _.CpuSystem
            numberOrNull webapp "cpu_iowait_percent" percent "time waiting for I/O since the previous sample" _.CpuIowait
            numberOrNull webapp "cpu_load_1" none "load average of one minute" (fun s -> s.Load |> ValueOption.map _.One)
            numberOrNull webapp "cpu_load_5" none "load average of five minutes" (fun s -> s.Load |> ValueOption.map _.Five)
            numberOrNull webapp "cpu_load_15" none "load average of fifteen minutes" (fun s -> s.Load |> ValueOption.map _.Fifteen)
            numberOrNull webapp "cpu_frequency_mhz" megahertz "mean clock of the CPUs" _.CpuFrequency
            numberOrNull
                webapp
                "cpu_temperature_c"
                celsius
                "of the CPU, by its most trusted sensor; of the hottest of several CPUs; null where no sensor is known to be a CPU's"
                _.CpuTemperature
            integerOrNull webapp "cpu_count_logical" none "CPUs online" _.CpuCountLogical
            integerOrNull webapp "cpu_count_physical" none "cores" _.CpuCountPhysical
            counterOrNull webapp "memory_total_bytes" bytes "all memory" _.MemoryTotal
            counterOrNull webapp "memory_used_bytes" bytes "total less available" (fun s -> s.Memory |> ValueOption.map _.Used)
            counterOrNull webapp "memory_available_bytes" bytes "usable without swapping" (fun s -> s.Memory |> ValueOption.map _.Available)
            numberOrNull webapp "memory_percent" percent "used as a share of total" (fun s -> s.Memory |> ValueOption.map _.Percent)
            counterOrNull webapp "swap_total_bytes" bytes "all swap" _.SwapTotal
            counterOrNull webapp "swap_used_bytes" bytes "swap in use" (fun s -> s.Swap |> ValueOption.map _.Used)
            numberOrNull webapp "swap_percent" percent "used as a share of total; 0 without swap" (fun s ->
                s.Swap |> ValueOption.map _.Percent)
            counterOrNull
                webapp
                "network_rx_bytes_total"
                bytes
                "what entered the machine, each byte once (docs/sources.md), or the sum over `--interfaces`"
                _.NetworkReceived
            counterOrNull webapp "network_tx_bytes_total" bytes "what left the machine, likewise" _.NetworkSent
            integerOrNull webapp "process_count" none "processes" _.ProcessCount
            objects webapp "disks" disk "the tracked disks; their counters are cumulative" _.Disks
            objects webapp "gpus" gpu "the GPUs" _.Gpus
            objects webapp "fans" fan "the fans" _.Fans
            numberOrNull ours "cpu_steal_percent" percent "time taken by the hypervisor since the previous sample" _.CpuSteal
            numbers ours "cpu_cores_percent" percent "busy share of each CPU since the previous sample, as in /proc/stat" _.CpuCores
            objectOrNull ours "pressure" pressure "pressure stall information; null where the kernel does not record it" _.Pressure
            objects ours "network_interfaces" networkInterface "the tracked interfaces; their counters are cumulative" _.Interfaces
            counterOrNull ours "tcp_segments_sent_total" none "TCP segments sent, without retransmissions" _.TcpSent
            counterOrNull
                ours
                "tcp_segments_retransmitted_total"
                none
                "TCP segments retransmitted because no acknowledgement came"
                _.TcpRetransmitted
            objects ours "infiniband" infinibandPort "the ports of the RDMA fabric" _.Infiniband
            optional
                (Predicate _.Jobs.IsSome)
                (objects
                    ours
                    "jobs"
                    JobRows.job
                    "the jobs that use the GPUs, and what holds each back; missing while no job uses one and all GPUs are healthy"
                    (fun s -> s.Jobs.Value.Jobs))
            optional
                (Predicate _.Jobs.IsSome)
                (object'
                    ours
                    "verdict"
                    JobRows.verdict
                    "what holds the machine back: that of its worst job, or a faulty GPU; missing while no job uses a GPU and all are healthy"
                    (fun s -> s.Jobs.Value.Machine))
            optional
                (Predicate(fun s -> s.Jobs.IsSome && s.Jobs.Value.LeftOut > 0))
                (integer ours "jobs_left_out" none "how many more jobs there are; missing while there are none" (fun s ->
                    s.Jobs.Value.LeftOut))
        |]
    )

let partition =
    Table<Partition>(
        "partition",
        [|
            text webapp "device" "`/dev/nvme0n1p2`" _.Device
            text webapp "mountpoint" "where it is mounted" _.MountPoint
            text webapp "fstype" "`ext4`" _.FsType
            counter webapp "total_bytes" bytes "all blocks" _.Total
            counter webapp "used_bytes" bytes "total less free blocks" _.Used
            counter webapp "free_bytes" bytes "what ordinary users can still write" _.Free
            number webapp "percent" percent "used as a share of used and free, as in df(1)" _.Percent
        |]
    )

let interfaceAddress =
    Table<InterfaceAddress>(
        "interface",
        [|
            text webapp "name" "`eth0`" _.Name
            textOrNull webapp "ipv4" "its first IPv4 address" _.IPv4
            textOrNull webapp "ipv6" "its first IPv6 address" _.IPv6
        |]
    )

let systemInfo =
    Table<SystemInfo>(
        "system_info",
        [|
            text webapp "os_name" "uname -s" _.OsName
            text webapp "os_release" "uname -r" _.OsRelease
            text webapp "os_version" "uname -v" _.OsVersion
            text webapp "machine" "uname -m" _.Machine
            text webapp "processor" "the same as `cpu_model`" _.CpuModel
            text webapp "cpu_model" "the model's name in /proc/cpuinfo; empty when unknown" _.CpuModel
            text webapp "hostname" "the machine's own name" _.Hostname
            integerOrNull webapp "cpu_count_logical" none "CPUs online" _.CpuCountLogical
            integerOrNull webapp "cpu_count_physical" none "cores" _.CpuCountPhysical
            counterOrNull webapp "memory_total_bytes" bytes "all memory" _.MemoryTotal
            counterOrNull webapp "swap_total_bytes" bytes "all swap" _.SwapTotal
            instantOrNull webapp "boot_time" "when the machine started" _.BootTime
            numberOrNull webapp "uptime_seconds" seconds "time since it started" _.Uptime
            text webapp "platform_full" "`Linux-6.1.0-18-amd64-x86_64-with-glibc2.36`, as Python's platform.platform() writes it" _.Platform
            objects webapp "partitions" partition "file systems on disks" _.Partitions
            objects webapp "interfaces" interfaceAddress "network interfaces" _.Interfaces
        |]
    )

let agent =
    Table<AgentInfo>(
        "agent",
        [|
            text webapp "version" "the agent's version" _.Version
            text webapp "hostname" "the name it goes by: `--hostname`, else the machine's" _.Hostname
            text webapp "platform" "the same as `platform_full`" _.System.Platform
            integer webapp "pid" none "its process id" _.Pid
            labels webapp "labels" "the user's labels" _.Labels
            texts webapp "disk_filters" "`--disks` as the user gave them" _.DiskFilters
            text ours "runtime" "its runtime, `.NET 10.0.1`" _.Runtime
            object' webapp "system_info" systemInfo "the machine's slow facts" _.System
        |]
    )

/// A request body whose agent is text already.
[<Struct; NoEquality; NoComparison>]
type Body =
    {
        Sample: Sample
        Agent: ReadOnlyMemory<byte>
    }

let body =
    Table<Body>(
        "body",
        [|
            object' webapp "sample" sample "the machine at one instant" _.Sample
            written webapp "agent" agent "the sender" _.Agent
        |]
    )
