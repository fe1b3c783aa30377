/// What each parser costs on the texts of a large machine, and what building and encoding its sample cost.
namespace Agent.Bench

open System
open System.Buffers
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open BenchmarkDotNet.Attributes

/// The sources that are read at every sample.
[<MemoryDiagnoser(false)>]
type EverySample() =
    let stat = Machine.stat Machine.large
    let diskStats = Machine.diskStats Machine.large
    let netDev = Machine.netDev Machine.large
    let infiniband = Readings.sysTexts Machine.large "class/infiniband" ""

    /// Fails where the texts are not those of the machine that the benchmarks claim to read.
    [<GlobalSetup>]
    member this.Check() : unit =
        let counts =
            [
                "CPUs", (Readings.good (this.Stat())).Value.Cpus.Length, Machine.large.Cpus
                "disks and partitions", (Readings.good (this.DiskStats())).Value.Length, 3 * Machine.large.Disks + 8
                "interfaces", (Readings.good (this.NetDev())).Value.Length, Machine.large.Interfaces + 1
                "fabric ports", (this.Infiniband()).Length, Machine.large.FabricPorts
            ]

        for what, found, expected in counts do
            if found <> expected then
                failwith $"{found} {what} are read of the generated text, not {expected}"

    [<Benchmark>]
    member _.Stat() : Result<Parsed<Stat.CpuStat>, ParseError> = Stat.parse (ReadOnlySpan stat)

    [<Benchmark>]
    member _.MemInfo() : Result<Parsed<MemInfo.MemoryInfo>, ParseError> =
        MemInfo.parse (ReadOnlySpan Machine.memInfo)

    [<Benchmark>]
    member _.LoadAvg() : Result<LoadAvg.LoadAverage, ParseError> =
        LoadAvg.parse (ReadOnlySpan Machine.loadAvg)

    [<Benchmark>]
    member _.DiskStats() : Result<Parsed<DiskStats.DiskCounters[]>, ParseError> =
        DiskStats.parse (ReadOnlySpan diskStats)

    [<Benchmark>]
    member _.NetDev() : Result<Parsed<NetDev.InterfaceCounters[]>, ParseError> = NetDev.parse (ReadOnlySpan netDev)

    [<Benchmark>]
    member _.Pressure() : Result<Pressure.Pressure, ParseError> =
        Pressure.parse "/proc/pressure/io" (ReadOnlySpan Machine.pressure)

    [<Benchmark>]
    member _.Infiniband() : Infiniband.Port[] = Infiniband.parse infiniband

/// The sources that are read beside, more rarely.
[<MemoryDiagnoser(false)>]
type BesideTheSampling() =
    let cpuInfo = Machine.cpuInfo Machine.large
    let mounts = Machine.mounts Machine.large
    let nvidiaSmi = Machine.nvidiaSmi Machine.large
    let clocks = Readings.sysTexts Machine.large "devices/system/cpu" "scaling_cur_freq"
    let siblings = Readings.sysTexts Machine.large "devices/system/cpu" "core_cpus_list"
    let sensors = Readings.sysTexts Machine.large "class/hwmon" ""
    let zones = Readings.sysTexts Machine.large "class/thermal" ""

    /// Fails where the texts are not those of the machine that the benchmarks claim to read.
    [<GlobalSetup>]
    member this.Check() : unit =
        let counts =
            [
                "processors", (Readings.good (this.CpuInfo())).Value.Processors.Length, Machine.large.Cpus
                "mounts", (Readings.good (this.Mounts())).Value.Length, 2 + Machine.large.Disks + 100
                "GPUs", (Readings.good (this.NvidiaSmi())).Gpus.Length, Machine.large.Gpus
                "fans of ipmitool", (Readings.good (this.Ipmi())).Value.Length, 32
                "fans", (this.Hwmon()).Fans.Length, 8
                "cores", ValueOption.defaultValue 0 (this.Topology()), Machine.large.Cpus / 2
            ]

        for what, found, expected in counts do
            if found <> expected then
                failwith $"{found} {what} are read of the generated text, not {expected}"

    [<Benchmark>]
    member _.CpuInfo() : Result<Parsed<CpuInfo.CpuInfo>, ParseError> = CpuInfo.parse (ReadOnlySpan cpuInfo)

    [<Benchmark>]
    member _.CpuFreq() = CpuFreq.meanClock clocks

    [<Benchmark>]
    member _.Topology() : int voption = Topology.physicalCores siblings

    [<Benchmark>]
    member _.Hwmon() : Hwmon.Sensors = Hwmon.parse sensors

    [<Benchmark>]
    member _.Thermal() = Thermal.parse zones

    [<Benchmark>]
    member _.Mounts() : Result<Parsed<Mounts.Mount[]>, ParseError> = Mounts.parse (ReadOnlySpan mounts)

    [<Benchmark>]
    member _.Filesystems() =
        Filesystems.parse (ReadOnlySpan Machine.filesystems)

    [<Benchmark>]
    member _.Uptime() =
        Uptime.parse (ReadOnlySpan Machine.uptime)

    [<Benchmark>]
    member _.NvidiaSmi() : Result<GpuReading, ParseError> =
        NvidiaSmi.parse (ReadOnlySpan nvidiaSmi)

    [<Benchmark>]
    member _.Ipmi() : Result<Parsed<Hwmon.Fan[]>, ParseError> = Ipmi.parse (ReadOnlySpan Machine.ipmi)

/// From what was read to the bytes that are sent.
[<MemoryDiagnoser(false)>]
type FromReadingToBody() =
    let at = DateTimeOffset(2026, 2, 26, 2, 37, 49, TimeSpan.Zero)
    let before = Readings.snapshot Machine.large at
    let now = Readings.snapshot Machine.large (at.AddSeconds 1.0)
    let first = Sample.build Readings.options ValueNone before
    let second = Sample.build Readings.options (ValueSome before) now
    let derived = Derived.from (ValueSome first) second
    let body = ArrayBufferWriter<byte>(256 * 1024)

    /// Fails where the sample is not that of the whole machine.
    [<GlobalSetup>]
    member _.Check() : unit =
        let counts =
            [
                "CPUs", second.CpuCores.Length, Machine.large.Cpus
                "disks", second.Disks.Length, Machine.large.Disks
                "interfaces", second.Interfaces.Length, Machine.large.Interfaces
                "GPUs", second.Gpus.Length, Machine.large.Gpus
            ]

        for what, found, expected in counts do
            if found <> expected then
                failwith $"{found} {what} are in the sample, not {expected}"

    [<Benchmark>]
    member _.Build() : Sample =
        Sample.build Readings.options (ValueSome before) now

    [<Benchmark>]
    member _.Derive() : Derived = Derived.from (ValueSome first) second

    [<Benchmark>]
    member _.Label() : Bottleneck = Bottleneck.ofSample second derived

    [<Benchmark>]
    member _.Encode() : int =
        body.ResetWrittenCount()
        Wire.write body false second Readings.agent
        body.WrittenCount
