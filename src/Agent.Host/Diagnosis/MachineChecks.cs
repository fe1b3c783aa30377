using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Core.Jobs;
using Agent.Sender;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Agent.Host.Reading;
using Agent.Host.Reading.Jobs;
using Agent.Host.Sampling;
using Microsoft.FSharp.Core;

namespace Agent.Host.Diagnosing;

/// <summary>Every source of readings, each read once on a thread of its own, and a sample made of them.</summary>
internal sealed class MachineChecks : IDisposable
{
    /// <summary>The limits of nvidia-smi and ipmitool are within it.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3.5);

    private static readonly TimeSpan LongestWindow = TimeSpan.FromSeconds(1);

    private static readonly FaultyReading<FSharpValueOption<double>> NoFrequency = new(FSharpValueOption<double>.None, []);

    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly ProcFiles files;
    private readonly Check[] checks;
    private readonly Reading<SensorReading> sensors;
    private readonly Reading<FaultyReading<FSharpValueOption<double>>> frequency;
    private readonly Reading<FSharpResult<Hwmon.Fan[], SourceError>> ipmi;
    private readonly Reading<GpuFact> gpus;
    private readonly Reading<JobFact> jobs;
    private readonly Reading<FaultyReading<SystemInfo>> facts;
    private readonly Reading<PartitionReading> partitions;
    private readonly Reading<Devices.Known> devices;
    private readonly Reading<FaultyReading<GpuJobFile[]>>? gpuJobs;
    private readonly Reading<FSharpResult<Parsed<DiskStats.DiskCounters[]>, SourceError>> disks;
    private readonly Reading<FSharpResult<Parsed<NetDev.InterfaceCounters[]>, SourceError>> network;
    private readonly Reading<ReadOnlyMemory<byte>?> sample;

    /// <summary>Begins all readings.</summary>
    public MachineChecks(Settings settings, string version, AgentClock clock)
    {
        this.settings = settings;
        this.clock = clock;
        files = new ProcFiles(settings.ProcFs, settings.SysFs, clock, Readings);

        // The GPUs come first: nvidia-smi takes longest.
        var controller = new IpmiProcess(clock);
        gpus = new("gpu", clock, () => new GpuCheck(settings, clock).Read());
        jobs = new("jobs", clock, () => new JobCheck(settings).Look(Gpus().Reading.Gpus));
        sensors = new("sensors", clock, () => NewSysFiles().ReadSensors());
        ipmi = new("ipmi", clock, () =>
            sensors.Wait(Limit, SensorReading.None).Fans.Length > 0
                ? FSharpResult<Hwmon.Fan[], SourceError>.NewOk([])
                : from answer in controller.Read() from fans in FansOf(answer) select fans);
        frequency = new("frequency", clock, () => NewSysFiles().ReadFrequency());
        facts = new("system", clock, () => new SystemFacts(settings.ProcFs, NewSysFiles(), clock).Read());
        partitions = new("partitions", clock, () => new PartitionFiles(settings.ProcFs, settings.RootFs, clock, withMetrics: false).Read());
        devices = new("devices", clock, () => new DeviceFiles(settings.SysFs).Read());
        gpuJobs = settings.GpuJobDirectory.Length > 0
            ? new("gpu-jobs", clock, () => new GpuJobDirectory(settings.GpuJobDirectory).Read())
            : null;
        disks = new("disks", clock, () => Read(Sources.Disks));
        network = new("network", clock, () => Read(Sources.Network));

        checks =
        [
            .. from source in Sources.All
               orderby source.IsNeeded descending
               select new Check(source.What, source.IsNeeded, new(source.Name, clock, () => Lines(Try(source)))),
            new Check("RDMA ports", false, new("infiniband", clock, () => new(Ok(Alone().ReadInfiniband().Length * 2), []))),
        ];

        sample = new("sample", clock, () => Take(version));

        SysFiles NewSysFiles() => new(settings.SysFs, settings.ProcFs);
    }

    /// <summary>A sample of this machine as a request body; null when some source kept it up.</summary>
    public ReadOnlyMemory<byte>? Sample() => sample.Wait(Limit + LongestWindow, null);

    /// <summary>The outcome of each source.</summary>
    public IEnumerable<Row> Rows() =>
    [
        .. checks.Select(RowOf),
        Timed(sensors, Diagnosis.Source("sensors", false, SensorFields(sensors.Wait(Limit, SensorReading.None)))),
        Timed(frequency, Diagnosis.Source("CPU clock", false, Fields(
            frequency.Wait(Limit, NoFrequency), static clock => clock.IsSome ? 1 : 0))),
        Timed(ipmi, Diagnosis.Source("ipmitool fans", false, Late(ipmi).Select(static fans => fans.Length))),
        Timed(partitions, Diagnosis.Source("file systems", false, partitions.Wait(Limit, null!) is { } found
            ? Fields(new FaultyReading<Partition[]>(found.OnDisk, found.Faults), static all => all.Length * 7)
            : TooLate<int>())),
        Timed(gpus, GpuDiagnosis.Row(Gpus())),
        Jobs(),
        .. GpuJobs(),
        Timed(disks, DeviceDiagnosis.Disks(KnownDevices().Blocks, settings.Disks, Late(disks).Select(static read => read.Value))),
        Timed(network, DeviceDiagnosis.Interfaces(KnownDevices().Interfaces, settings.Interfaces, Late(network).Select(static read => read.Value))),
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

    private static FSharpResult<Hwmon.Fan[], SourceError> FansOf(Ipmi.Answer answer) => answer.Match(
        fans: static (fans, _) => FSharpResult<Hwmon.Fan[], SourceError>.NewOk(fans),
        noController: static () => FSharpResult<Hwmon.Fan[], SourceError>.NewError(SourceError.NewAbsent("/dev/ipmi0")),
        notAllowed: static () => FSharpResult<Hwmon.Fan[], SourceError>.NewError(
            SourceError.NewUnreadable("/dev/ipmi0", $"permission denied; {IpmiProcess.Permission}")),
        failed: FSharpResult<Hwmon.Fan[], SourceError>.NewError);

    private static FSharpResult<int, SourceError> Ok(int fields) => FSharpResult<int, SourceError>.NewOk(fields);

    /// <summary>The scheduler's jobs by GPU, where the user wants them.</summary>
    private Row[] GpuJobs()
    {
        if (gpuJobs is null)
        {
            return [];
        }

        var found = gpuJobs.Wait(Limit, null!) is { } read ? Sound(read) : TooLate<GpuJobFile[]>();
        return [Timed(gpuJobs, GpuJobCheck.Row(settings.GpuJobDirectory, found))];
    }

    private static FSharpResult<int, SourceError> SensorFields(SensorReading reading) =>
        reading.Faults.Length > 0
            ? FSharpResult<int, SourceError>.NewError(reading.Faults[0])
            : Ok(reading.Fans.Length + (reading.CpuTemperature.IsSome ? 1 : 0));

    private FSharpResult<Parsed<T>, SourceError> Read<T>(FileSource<T> source)
    {
        using var own = Alone();
        return own.Read(source);
    }

    private FSharpResult<Parsed<int>, SourceError> Try(Source source)
    {
        using var own = Alone();
        return source.Try(own);
    }

    /// <summary>A reader for one check, whose thread may never come back from it.</summary>
    private ProcFiles Alone() => new(settings.ProcFs, settings.SysFs, clock, Readings);

    private static Row Timed<T>(Reading<T> reading, Row row) => DoctorRow.Timed(reading.Duration, row);

    private static FSharpResult<T, SourceError> TooLate<T>() =>
        FSharpResult<T, SourceError>.NewError(SourceError.NewUnreadable("it", $"not finished within {Limit.TotalSeconds:0.#} s"));

    private static FSharpResult<T, SourceError> Late<T>(Reading<FSharpResult<T, SourceError>> reading) =>
        reading.Wait(Limit, TooLate<T>());

    private static FaultyReading<FSharpResult<int, SourceError>> Lines(FSharpResult<Parsed<int>, SourceError> read) =>
        new(
            read.Select(static parsed => parsed.Value),
            read.IsOk ? [.. read.ResultValue.Faults.Select(SourceError.NewGarbled)] : []);

    /// <summary>How many values there are, or the first fault.</summary>
    private static FSharpResult<int, SourceError> Fields<T>(FaultyReading<T> read, Func<T, int> count) => Sound(read).Select(count);

    /// <summary>What was read where nothing is wrong with it, else the first fault.</summary>
    private static FSharpResult<T, SourceError> Sound<T>(FaultyReading<T> read) =>
        read.Faults.Length > 0 ? FSharpResult<T, SourceError>.NewError(read.Faults[0]) : FSharpResult<T, SourceError>.NewOk(read.Value);

    // A line that cannot be read makes a source doubtful; only one that gives nothing is bad.
    private static Row RowOf(Check check)
    {
        var read = check.Reading.Wait(Limit, new(TooLate<int>(), []));

        return Timed(check.Reading, read is { Value.IsOk: true, Faults: [var fault, ..] }
            ? Diagnosis.Source(check.Name, false, FSharpResult<int, SourceError>.NewError(fault))
            : Diagnosis.Source(check.Name, check.IsNeeded, read.Value));
    }

    private Devices.Known KnownDevices() => devices.Wait(Limit, Devices.Unknown);

    // It waits for the GPUs first, so its time would tell nothing.
    private Row Jobs() => jobs.Wait(Limit + LongestWindow, null!) is { } fact
        ? JobDiagnosis.Jobs(fact)
        : DoctorRow.NotChecked("jobs", $"not finished within {(Limit + LongestWindow).TotalSeconds:0.#} s");

    private SystemInfo Facts() => facts.Wait(Limit, null!)?.Value ?? SystemInfoModule.Unknown;

    private GpuFact Gpus() => gpus.Wait(Limit, null!) ?? GpuCheck.Hanging(settings, Limit);

    private ReadOnlyMemory<byte>? Take(string version)
    {
        var sampler = new Sampler(files, settings, clock);
        var encoder = new SampleEncoder(
            () => SystemInfoModule.WithPartitions(partitions.Wait(Limit, PartitionReading.None).OnDisk, Facts()),
            settings,
            new Identity(version, settings.Hostname, RuntimeInformation.FrameworkDescription, Environment.ProcessId));

        var gate = new object();
        sampler.OpenWindow();

        lock (gate)
        {
            clock.Wait(gate, settings.CpuWindow < LongestWindow ? settings.CpuWindow : LongestWindow);
        }

        return encoder.Line(sampler.Take().Sample).Body;
    }

    private SlowReadings Readings()
    {
        var sensed = sensors.Wait(Limit, SensorReading.None);

        return new SlowReadings(
            cpuTemperature: sensed.CpuTemperature,
            cpuFrequency: frequency.Wait(Limit, NoFrequency).Value,
            physicalCores: Facts().CpuCountPhysical,
            fans: sensed.Fans.Length > 0 ? sensed.Fans : Late(ipmi).Match(static fans => fans, static _ => []),
            gpus: Gpus().Reading.Gpus,
            devices: KnownDevices(),
            jobs: FSharpValueOption<JobReport>.None);
    }

    private sealed record Check(string Name, bool IsNeeded, Reading<FaultyReading<FSharpResult<int, SourceError>>> Reading);
}
