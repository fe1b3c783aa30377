/// A sample with every key that the wire has, and what its agent says of itself.
module Agent.TestSupport.GoldenSample

open System
open System.Buffers
open System.Text
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units

let private verdict: Verdict =
    {
        Label = VerdictLabel.LoaderCpu
        Second = ValueSome VerdictLabel.DiskRead
        Since = DateTimeOffset(2026, 2, 26, 2, 30, 0, TimeSpan.Zero)
        Confidence = 0.9
        Reason = "the loader is at 99 % of a core"
        Fix = "num_workers=8"
        Evidence =
            [|
                {
                    Name = "loaders"
                    Value = 99.0
                    Limit = ValueSome 90.0
                    Unit = "%"
                }
            |]
        RuledOut =
            [|
                {
                    Name = "disk"
                    Value = 3.0
                    Limit = ValueNone
                    Unit = "%"
                }
            |]
    }

/// A sample in which every source told everything.
let full: Sample =
    {
        CollectedAt = DateTimeOffset(2026, 2, 26, 2, 37, 49, 120, TimeSpan.Zero)
        CpuUsage = ValueSome 12.5<percent>
        CpuUser = ValueSome 8.1<percent>
        CpuSystem = ValueSome 3.0<percent>
        CpuIowait = ValueSome 0.4<percent>
        CpuSteal = ValueSome 0.0<percent>
        CpuCores = [| ValueSome 10.0<percent>; ValueSome 15.1<percent> |]
        Load =
            ValueSome
                {
                    One = 0.52
                    Five = 1.0
                    Fifteen = 2.25
                }
        CpuFrequency = ValueSome 2300.5<MHz>
        CpuTemperature = ValueSome 61.0<degC>
        CpuCountLogical = ValueSome 2
        CpuCountPhysical = ValueSome 1
        MemoryTotal = ValueSome 16000UL<B>
        Memory =
            ValueSome
                {
                    Used = 4000UL<B>
                    Available = 12000UL<B>
                    Percent = 25.0<percent>
                }
        SwapTotal = ValueSome 1024UL<B>
        Swap =
            ValueSome
                {
                    Used = 0UL<B>
                    Percent = 0.0<percent>
                }
        NetworkReceived = ValueSome 1001UL<B>
        NetworkSent = ValueSome 1002UL<B>
        TcpSent = ValueSome 4196996UL
        TcpRetransmitted = ValueSome 1859UL
        ProcessCount = ValueSome 131
        Disks =
            [|
                {
                    Device = "nvme0n1"
                    ReadBytes = ValueSome 1UL<B>
                    WrittenBytes = ValueSome 2UL<B>
                    Reads = ValueSome 3UL
                    Writes = ValueSome 4UL
                    BusyTime = ValueSome 5UL<ms>
                    Detail = ValueNone
                }
            |]
        Gpus =
            [|
                {
                    Index = 0
                    Name = "NVIDIA H100 80GB HBM3"
                    Uuid = "GPU-44444444-0000-4000-8000-000000000000"
                    PciBusId = "00000000:65:00.0"
                    DriverVersion = ""
                    IsSuspended = false
                    Utilization = ValueSome 97.0<percent>
                    MemoryUtilization = ValueSome 11.0<percent>
                    MemoryTotal = ValueSome 3000UL<B>
                    MemoryUsed = ValueSome 1000UL<B>
                    MemoryFree = ValueSome 1900UL<B>
                    MemoryReserved = ValueSome 100UL<B>
                    IsMemoryShared = false
                    Temperature = ValueSome 53.0<degC>
                    FanSpeed = ValueSome 30.0<percent>
                    Power = ValueSome 433.78<W>
                    PowerLimit = ValueSome 700.0<W>
                    ThrottleReasons = ValueSome [| "sw_power_cap"; "sw_thermal_slowdown" |]
                    ClockSm = ValueSome 1980.0<MHz>
                    ClockSmMax = ValueNone
                    ClockMemory = ValueSome 2619.0<MHz>
                    PcieReceived = ValueSome 2048.0<B / s>
                    PcieSent = ValueSome 1024.0<B / s>
                    PcieLinkGeneration = ValueSome 5
                    PcieLinkWidth = ValueSome 16
                    EccUncorrected = ValueSome 1UL
                    EccCorrected = ValueSome 2UL
                    RemappedRowsPending = ValueSome true
                    XidLast = ValueSome 79
                    XidCount = ValueSome 3UL
                    Energy = ValueSome 987654321UL<mJ>
                    Encoder = ValueSome 4.0<percent>
                    Decoder = ValueSome 5.5<percent>
                    NvlinkReceived = ValueSome 6UL<B>
                    NvlinkSent = ValueSome 7UL<B>
                    MemoryTemperature = ValueSome 61.0<degC>
                    MigMode = ValueSome MigMode.Enabled
                    ComputeProcesses =
                        ValueSome
                            [|
                                {
                                    Pid = 11345
                                    MemoryUsed = ValueSome 900UL<B>
                                    Name = "gpu_burn"
                                }
                                {
                                    Pid = 12
                                    MemoryUsed = ValueNone
                                    Name = ""
                                }
                            |]
                    GraphicsProcesses = ValueNone
                    Counters = GpuCounters.None
                    MigDevices =
                        ValueSome
                            [|
                                {
                                    Index = 0
                                    Name = "NVIDIA H100 80GB HBM3 MIG 3g.40gb"
                                    Uuid = "MIG-44444444-0000-4000-8000-000000000001"
                                    GpuInstance = ValueSome 1
                                    ComputeInstance = ValueSome 0
                                    MemoryTotal = ValueSome 2000UL<B>
                                    MemoryUsed = ValueNone
                                    MemoryFree = ValueNone
                                    ComputeProcesses =
                                        ValueSome
                                            [|
                                                {
                                                    Pid = 13
                                                    MemoryUsed = ValueSome 5UL<B>
                                                    Name = "train"
                                                }
                                            |]
                                    XidLast = ValueSome 31
                                    XidCount = ValueSome 1UL
                                }
                            |]
                }
                Gpu.OfIndex 1
            |]
        Fans = [| { Label = "FAN1"; Speed = 5600<rpm> } |]
        Pressure =
            ValueSome
                {
                    CpuSome =
                        ValueSome
                            {
                                Avg10 = 0.17<percent>
                                Total = 1UL<us>
                            }
                    IoSome =
                        ValueSome
                            {
                                Avg10 = 1.0<percent>
                                Total = 2UL<us>
                            }
                    IoFull =
                        ValueSome
                            {
                                Avg10 = 2.0<percent>
                                Total = 3UL<us>
                            }
                    MemorySome =
                        ValueSome
                            {
                                Avg10 = 3.0<percent>
                                Total = 4UL<us>
                            }
                    MemoryFull =
                        ValueSome
                            {
                                Avg10 = 4.0<percent>
                                Total = 5UL<us>
                            }
                }
        Interfaces =
            [|
                {
                    Counters =
                        {
                            Name = "eth0"
                            Received =
                                {
                                    Bytes = 1001UL<B>
                                    Packets = 11UL
                                    Errors = 12UL
                                    Dropped = 13UL
                                }
                            Sent =
                                {
                                    Bytes = 1002UL<B>
                                    Packets = 21UL
                                    Errors = 22UL
                                    Dropped = 23UL
                                }
                            Detail = ValueNone
                        }
                    Kind = "physical"
                    Master = "bond0"
                }
            |]
        Infiniband =
            [|
                {
                    Device = "mlx5_0"
                    Port = 1
                    Received = ValueSome 400UL<B>
                    Sent = ValueSome 800UL<B>
                }
            |]
        Jobs =
            ValueSome
                {
                    Jobs =
                        [|
                            {
                                Job = VerdictTraces.healthyJob 1
                                Verdict = verdict
                            }
                        |]
                    Machine = verdict
                    LeftOut = 2
                }
    }

/// A sample of which every source failed.
let failed: Sample =
    { Sample.Empty with
        CollectedAt = DateTimeOffset(2026, 2, 26, 2, 37, 49, TimeSpan.Zero)
    }

/// An agent that knows everything.
let agent: AgentInfo =
    {
        Version = "0.1.0"
        Hostname = "node-7"
        Pid = 4711
        Labels = [| struct ("rack", "r1"); struct ("größe", "\"x\"") |]
        DiskFilters = [| "/dev/nvme0n1" |]
        Runtime = ".NET 10.0.1"
        System =
            {
                OsName = "Linux"
                OsRelease = "6.1.0-18-amd64"
                OsVersion = "#1 SMP"
                Machine = "x86_64"
                LibC = "glibc2.36"
                CpuModel = "AMD EPYC 9654"
                Hostname = "vm"
                CpuCountLogical = ValueSome 2
                CpuCountPhysical = ValueSome 1
                MemoryTotal = ValueSome 16000UL<B>
                SwapTotal = ValueSome 1024UL<B>
                BootTime = ValueSome(DateTimeOffset(2026, 2, 25, 0, 0, 0, TimeSpan.Zero))
                Uptime = ValueSome 95869.12<s>
                Partitions =
                    [|
                        {
                            Device = "/dev/vda1"
                            MountPoint = "/"
                            FsType = "ext4"
                            Total = 100UL<B>
                            Used = 30UL<B>
                            Free = 60UL<B>
                            Percent = 33.3<percent>
                        }
                    |]
                Interfaces =
                    [|
                        {
                            Name = "eth0"
                            IPv4 = "192.0.2.2"
                            IPv6 = ""
                        }
                    |]
            }
    }

/// A request body as text.
let body (sample: Sample) (agent: AgentInfo) : string =
    let output = ArrayBufferWriter<byte>()
    Wire.write output false sample agent
    Encoding.UTF8.GetString output.WrittenSpan
