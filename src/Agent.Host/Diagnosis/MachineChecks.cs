using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Agent.Host.Reading;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host.Diagnosing;

/// <summary>Every source of readings, each read once on a thread of its own, and a sample made of them.</summary>
internal sealed class MachineChecks : IDisposable
{
    /// <summary>The limits of nvidia-smi and ipmitool are within it.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3.5);

    private static readonly TimeSpan LongestWindow = TimeSpan.FromSeconds(1);

    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly ProcFiles files;
    private readonly Source[] needed;
    private readonly Source[] optional;
    private readonly Reading<SensorReading> sensors;
    private readonly Reading<FSharpValueOption<double>> frequency;
    private readonly Reading<FSharpResult<Hwmon.Fan[], SourceError>> ipmi;
    private readonly Reading<GpuFact> gpus;
    private readonly Reading<SystemInfo> facts;
    private readonly Reading<Partition[]> partitions;
    private readonly Reading<Devices.Known> devices;
    private readonly Reading<FSharpResult<DiskStats.DiskCounters[], SourceError>> disks;
    private readonly Reading<FSharpResult<NetDev.InterfaceCounters[], SourceError>> network;
    private readonly Reading<ReadOnlyMemory<byte>?> sample;

    /// <summary>Begins all readings.</summary>
    public MachineChecks(Settings settings, string version, AgentClock clock)
    {
        this.settings = settings;
        this.clock = clock;
        files = new ProcFiles(settings.ProcFs, settings.SysFs, clock);

        // The GPUs come first: nvidia-smi takes longest.
        var controller = new IpmiProcess(clock);
        gpus = new("gpu", clock, () => new GpuCheck(settings, clock).Read());
        sensors = new("sensors", clock, () => NewSysFiles().ReadSensors());
        ipmi = new("ipmi", clock, () =>
            sensors.Wait(Limit, SensorReading.None).Fans.Length > 0
                ? FSharpResult<Hwmon.Fan[], SourceError>.NewOk([])
                : controller.Read());
        frequency = new("frequency", clock, () => NewSysFiles().ReadFrequency());
        facts = new("system", clock, () => new SystemFacts(settings.ProcFs, NewSysFiles()).Read());
        partitions = new("partitions", clock, () => new PartitionFiles(settings.ProcFs, settings.RootFs).Read());
        devices = new("devices", clock, () => new DeviceFiles(settings.SysFs).Read());
        disks = new("disks", clock, () => Read(At("diskstats"), DiskStats.Parse));
        network = new("network", clock, () => Read(ProcPaths.NetDev(settings.ProcFs), NetDev.Parse));

        needed =
        [
            NewSource("CPU times", At("stat"), Stat.Parse, Diagnosis.StatFields),
            NewSource("memory", At("meminfo"), MemInfo.Parse, Diagnosis.MemoryFields),
            NewSource("load averages", At("loadavg"), LoadAvg.Parse, Diagnosis.LoadFields),
            new("disk counters", new("diskstats", clock, () => Late(disks).Select(Diagnosis.DiskFields))),
            new("network counters", new("net", clock, () => Late(network).Select(Diagnosis.NetworkFields))),
            new("processes", new("processes", clock, CountProcesses)),
        ];

        optional =
        [
            NewSource("CPU pressure", At("pressure/cpu"), PressureOf("cpu"), Diagnosis.PressureFields),
            NewSource("I/O pressure", At("pressure/io"), PressureOf("io"), Diagnosis.PressureFields),
            NewSource("memory pressure", At("pressure/memory"), PressureOf("memory"), Diagnosis.PressureFields),
            new("RDMA ports", new("rdma", clock, () =>
                FSharpResult<int, SourceError>.NewOk(new FabricFiles(settings.SysFs, () => clock.Elapsed).Read(new ReadBuffer()).Length * 2))),
        ];

        sample = new("sample", clock, () => Take(version));

        SysFiles NewSysFiles() => new(settings.SysFs, settings.ProcFs);
    }

    /// <summary>A sample of this machine as a request body; null when some source kept it up.</summary>
    public ReadOnlyMemory<byte>? Sample() => sample.Wait(Limit + LongestWindow, null);

    /// <summary>What the sources came to.</summary>
    public IEnumerable<Row> Rows() =>
    [
        .. needed.Select(source => RowOf(source, true)),
        .. optional.Select(source => RowOf(source, false)),
        Timed(sensors, Diagnosis.Source("sensors", false, SensorFields(sensors.Wait(Limit, SensorReading.None)))),
        Timed(frequency, Diagnosis.Source("CPU clock", false, Ok(frequency.Wait(Limit, default).IsSome ? 1 : 0))),
        Timed(ipmi, Diagnosis.Source("ipmitool fans", false, Late(ipmi).Select(static fans => fans.Length))),
        Timed(partitions, Diagnosis.Source("file systems", false, Late(partitions).Select(static all => all.Length * 7))),
        Timed(gpus, Diagnosis.Gpus(Gpus())),
        Timed(disks, Diagnosis.Disks(KnownDevices().Blocks, settings.Disks, Late(disks))),
        Timed(network, Diagnosis.Interfaces(KnownDevices().Interfaces, settings.Interfaces, Late(network))),
    ];

    /// <inheritdoc/>
    public void Dispose()
    {
        // One that still reads goes on with the files; the program is about to end.
        if (Sample() is not null)
        {
            files.Dispose();
        }
    }

    private static FSharpResult<int, SourceError> Ok(int fields) => FSharpResult<int, SourceError>.NewOk(fields);

    private static FSharpResult<int, SourceError> SensorFields(SensorReading reading) =>
        reading.Faults.Length > 0
            ? FSharpResult<int, SourceError>.NewError(reading.Faults[0])
            : Ok(reading.Fans.Length + (reading.CpuTemperature.IsSome ? 1 : 0));

    private static FSharpResult<T, SourceError> Read<T>(string path, TextParser<T> parse) =>
        KernelFiles.ReadOnce(path, new ReadBuffer(), parse);

    private static TextParser<Pressure.Pressure> PressureOf(string resource) =>
        text => Pressure.Parse($"/proc/pressure/{resource}", text);

    private static Row Timed<T>(Reading<T> reading, Row row) => Diagnosis.Timed(reading.Duration, row);

    private static FSharpResult<T, SourceError> TooLate<T>() =>
        FSharpResult<T, SourceError>.NewError(SourceError.NewUnreadable("it", $"no end within {Limit.TotalSeconds:0.#} s"));

    private static FSharpResult<T, SourceError> Late<T>(Reading<FSharpResult<T, SourceError>> reading) =>
        reading.Wait(Limit, TooLate<T>());

    private static FSharpResult<Partition[], SourceError> Late(Reading<Partition[]> reading) =>
        reading.Wait(Limit, null!) is { } found
            ? FSharpResult<Partition[], SourceError>.NewOk(found)
            : TooLate<Partition[]>();

    private static Row RowOf(Source source, bool isNeeded) =>
        Timed(source.Reading, Diagnosis.Source(source.Name, isNeeded, Late(source.Reading)));

    private string At(string name) => Path.Join(settings.ProcFs, name);

    private Source NewSource<T>(string name, string path, TextParser<T> parse, Func<T, int> count) =>
        new(name, new(name, clock, () => Read(path, parse).Select(count)));

    private FSharpResult<int, SourceError> CountProcesses()
    {
        using var own = new ProcFiles(settings.ProcFs, settings.SysFs, clock);
        return own.CountProcesses().Select(static _ => 1);
    }

    private Devices.Known KnownDevices() => devices.Wait(Limit, Devices.Unknown);

    private GpuFact Gpus() => gpus.Wait(Limit, null!) ?? GpuCheck.Hanging(settings, Limit);

    private ReadOnlyMemory<byte>? Take(string version)
    {
        var silence = new Log(TextWriter.Null, TextWriter.Null, LogLevel.Critical, quiet: true, clock);
        var sampler = new Sampler(
            files,
            Readings,
            () => SystemInfoModule.WithPartitions(partitions.Wait(Limit, []), facts.Wait(Limit, SystemInfoModule.Unknown)),
            settings,
            new Identity(version, settings.Hostname, RuntimeInformation.FrameworkDescription, Environment.ProcessId),
            new SourceWatch(settings, static () => [], silence),
            clock);

        var gate = new object();
        sampler.OpenWindow();

        lock (gate)
        {
            clock.Wait(gate, settings.CpuWindow < LongestWindow ? settings.CpuWindow : LongestWindow);
        }

        return sampler.Take().Body;
    }

    private SlowReadings Readings()
    {
        var sensed = sensors.Wait(Limit, SensorReading.None);

        return new SlowReadings(
            cpuTemperature: sensed.CpuTemperature,
            cpuFrequency: frequency.Wait(Limit, default),
            physicalCores: facts.Wait(Limit, SystemInfoModule.Unknown).CpuCountPhysical,
            fans: sensed.Fans.Length > 0 ? sensed.Fans : Late(ipmi).Match(static fans => fans, static _ => []),
            gpus: Gpus().Reading.Gpus,
            devices: KnownDevices());
    }

    private sealed record Source(string Name, Reading<FSharpResult<int, SourceError>> Reading);
}
