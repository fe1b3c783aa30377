using Agent.Core;
using Agent.Core.Gpu;
using Agent.Core.Jobs;
using Agent.Sender;
using Agent.Core.Sys;
using Agent.Host.Reading.Jobs;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Everything that is read beside the sampling, each source on a thread of its own.</summary>
internal sealed class SlowSources
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    /// <summary>The first sample waits so long for what takes its time.</summary>
    private static readonly TimeSpan FirstReadings = TimeSpan.FromSeconds(3);

    /// <summary>
    /// The clock of the CPUs costs one file for each, and a sleep in some drivers. Where there are no such files, as in most
    /// virtual machines, /proc/cpuinfo tells what is nearly always the same, and is read once a minute.
    /// </summary>
    private static readonly TimeSpan FrequencyPeriod = TimeSpan.FromSeconds(10);

    /// <summary>ipmitool talks to a slow controller over a slow bus.</summary>
    private static readonly TimeSpan IpmiPeriod = TimeSpan.FromSeconds(10);

    /// <summary>A scheduler writes the files of a job before it starts.</summary>
    private static readonly TimeSpan GpuJobPeriod = TimeSpan.FromSeconds(5);

    private readonly SlowSource<SensorReading> sensors;
    private readonly SlowSource<FaultyReading<FSharpValueOption<double>>> frequency;
    private readonly SlowSource<FanReading> ipmiFans;
    private readonly GpuSource gpus;
    private readonly SlowSource<FaultyReading<SystemInfo>> facts;
    private readonly SlowSource<PartitionReading> partitions;
    private readonly SlowSource<Devices.Known> devices;
    private readonly SlowSource<FaultyReading<GpuJobFile[]>>? gpuJobs;
    private readonly Func<string, bool> isUnread;
    private readonly string procfs;
    private readonly string sysfs;
    private readonly bool watchesHost;
    private readonly Func<JobReader> newJobs;
    private JobReader? jobs;
    private readonly AgentClock clock;
    private readonly Action<string> tell;
    private bool isFirst = true;
    private (PartitionReading Partitions, SystemInfo Others, SystemInfo Facts) together =
        (PartitionReading.None, SystemInfoModule.Unknown, SystemInfoModule.Unknown);

    /// <summary>
    /// Sources under the settings' roots; nothing is read before <see cref="Start"/>. File systems of other machines are for
    /// metrics only, and not asked where there are none.
    /// </summary>
    /// <param name="settings">What to read.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="withMetrics">Whether anybody wants metrics.</param>
    /// <param name="watchesHost">Whether a machine whose GPUs nobody uses is judged as well.</param>
    /// <param name="tell">Takes what a user may want to know once.</param>
    /// <param name="onDefect">Takes what the thread of a source threw; without it such a defect ends the program.</param>
    public SlowSources(
        Settings settings,
        AgentClock clock,
        bool withMetrics,
        bool watchesHost = false,
        Action<string>? tell = null,
        Action<string, Exception>? onDefect = null)
    {
        this.clock = clock;
        procfs = settings.ProcFs;
        sysfs = settings.SysFs;
        this.tell = tell ?? (static _ => { });
        var interval = settings.Interval;
        var longestAge = Longest(TimeSpan.FromSeconds(10), interval * 3);
        // OTLP has the temperatures of all chips; what else is exported of them is read when a scrape comes.
        var sensorFiles = NewSysFiles(everyChip: settings.Otlp.IsSome);
        var frequencyFiles = NewSysFiles();
        var factFiles = NewSysFiles();
        var systemFacts = new SystemFacts(settings.ProcFs, factFiles, clock);
        var partitionFiles = new PartitionFiles(settings.ProcFs, settings.RootFs, clock, withMetrics);
        var ipmi = new IpmiProcess(clock);
        isUnread = path =>
            sensorFiles.IsUnread(path) || frequencyFiles.IsUnread(path) || factFiles.IsUnread(path) || partitionFiles.IsUnread(path);

        sensors = new("sensors", clock, longestAge, () =>
        {
            var reading = sensorFiles.ReadSensors();
            return new(reading, reading.IsEmpty ? Minute : Longest(interval, TimeSpan.FromSeconds(1)));
        }, onDefect);

        // Twice the longer period, because the newest reading is always almost one period old.
        frequency = new("frequency", clock, Longest(longestAge, Minute * 2), () =>
        {
            var reading = frequencyFiles.ReadFrequency();
            return new(reading, frequencyFiles.HasClocks ? Longest(interval, FrequencyPeriod) : Longest(interval, Minute));
        }, onDefect);

        ipmiFans = new("ipmi", clock, Longest(longestAge, IpmiPeriod * 2), () => ReadIpmi(ipmi, interval), onDefect);
        gpus = new(settings, longestAge, clock, onDefect);
        facts = new("system", clock, Timeout.InfiniteTimeSpan, () => new(systemFacts.Read(), Minute), onDefect);
        devices = new("devices", clock, Timeout.InfiniteTimeSpan, new DeviceSource(settings.SysFs, clock).Read, onDefect);

        if (withMetrics && settings.GpuJobDirectory.Length > 0)
        {
            var jobFiles = new GpuJobDirectory(settings.GpuJobDirectory);
            gpuJobs = new("gpu-jobs", clock, GpuJobPeriod * 3, () => new(jobFiles.Read(), GpuJobPeriod), onDefect);
        }

        this.watchesHost = watchesHost;
        newJobs = () => new JobReader(settings, clock, JobInputs, watchesHost, onDefect);
        partitions = new("partitions", clock, Minute * 3, () => new(partitionFiles.Read(), Minute), onDefect);

        SysFiles NewSysFiles(bool everyChip = false) => new(settings.SysFs, settings.ProcFs, clock, everyChip);
    }

    /// <summary>Starts all sources.</summary>
    public void Start()
    {
        sensors.Start();
        frequency.Start();
        ipmiFans.Start();
        gpus.Start();
        facts.Start();
        devices.Start();
        partitions.Start();
        gpuJobs?.Start();

        if (watchesHost)
        {
            StartJobs();
        }
    }

    /// <summary>Ends all sources without waiting for one that hangs.</summary>
    public void Stop()
    {
        sensors.Stop();
        frequency.Stop();
        ipmiFans.Stop();
        gpus.Stop();
        facts.Stop();
        devices.Stop();
        partitions.Stop();
        gpuJobs?.Stop();
        jobs?.Stop();
    }

    // Until each source has told something, but no longer than the limit in all.
    private void WaitForFirst()
    {
        var until = clock.Elapsed + FirstReadings;
        sensors.WaitForFirst(until);
        frequency.WaitForFirst(until);
        ipmiFans.WaitForFirst(until);
        gpus.WaitForFirst(until);
        facts.WaitForFirst(until);
        devices.WaitForFirst(until);
        partitions.WaitForFirst(until);
    }

    /// <summary>The newest readings that a sample carries; the first time after a wait for those that take long.</summary>
    public SlowReadings Newest()
    {
        if (isFirst)
        {
            isFirst = false;
            WaitForFirst();
        }

        // A machine without GPUs has no thread for jobs.
        if (jobs is null && gpus.Newest is { Gpus.Length: > 0 })
        {
            StartJobs();
        }

        var sensed = sensors.Newest ?? SensorReading.None;

        return new SlowReadings(
            cpuTemperature: sensed.CpuTemperature,
            cpuFrequency: frequency.Newest?.Value ?? FSharpValueOption<double>.None,
            physicalCores: Facts().CpuCountPhysical,
            fans: sensed.Fans.Length > 0 ? sensed.Fans : ipmiFans.Newest?.Fans ?? [],
            gpus: gpus.Newest?.Gpus ?? [],
            devices: devices.Newest ?? Devices.Unknown,
            jobs: jobs?.Report ?? FSharpValueOption<JobReport>.None);
    }

    /// <summary>The newest facts of the machine; the same object until one of them is read anew.</summary>
    public SystemInfo Facts()
    {
        var (mounted, others) = (partitions.Newest ?? PartitionReading.None, facts.Newest?.Value ?? SystemInfoModule.Unknown);

        if (!ReferenceEquals(mounted, together.Partitions) || !ReferenceEquals(others, together.Others))
        {
            together = (mounted, others, SystemInfoModule.WithPartitions(mounted.OnDisk, others));
        }

        return together.Facts;
    }

    /// <summary>Has the facts read again at once, because the number of CPUs changed.</summary>
    public void RefreshFacts() => facts.Refresh();

    /// <summary>Has the devices looked up at once, because one came or went.</summary>
    public void RefreshDevices() => devices.Refresh();

    /// <summary>While true no GPU is asked anything, and none keeps a reset or a change of MIG from happening.</summary>
    public bool AreGpusReleased
    {
        get => gpus.IsReleased;
        set => gpus.IsReleased = value;
    }

    /// <summary>True once that is so: the library is closed, and nvidia-smi has ended.</summary>
    public bool AreGpusFree => gpus.IsFree;

    /// <summary>Which GPUs there are, or why there are none; null before the first answer.</summary>
    public GpuFinding? GpuFinding => gpus.Finding;

    /// <summary>What the newest readings could not read.</summary>
    public SourceError[] Faults() =>
        SourceErrors.Together(
            Hanging(sensors, sysfs, "class/hwmon", "there are neither temperatures nor fans in the samples"),
            Hanging(frequency, sysfs, "devices/system/cpu", "there is no clock of the CPUs in the samples"),
            Hanging(facts, procfs, "cpuinfo", "what is reported about the machine itself is old or missing"),
            Hanging(devices, sysfs, "class", "new disks and interfaces are judged by their names"),
            sensors.Last?.Faults ?? [],
            ipmiFans.Last?.Faults ?? [],
            gpus.Faults,
            frequency.Last?.Faults ?? [],
            facts.Last?.Faults ?? [],
            partitions.Last?.Faults ?? [],
            GpuJobFaults(),
            jobs?.Faults ?? []);

    private static SourceError[] Hanging<T>(SlowSource<T> source, string root, string place, string consequence)
        where T : class =>
        source.Hangs ? [SourceError.NewUnreadable(Path.Join(root, place), $"a read does not return; until it does {consequence}")] : [];

    /// <summary>
    /// True where what a fault was about has not been read since, so that the fault is not over: a sensor or a mount that is gone or has no
    /// value any more, a GPU that is gone or released.
    /// </summary>
    public bool IsGone(SourceError fault)
    {
        var path = UnreadParts.PathOf(fault);

        foreach (var source in (string[])[Nvml.Source, NvidiaSmi.Source])
        {
            var prefix = source + " GPU ";

            if (path.StartsWith(prefix, StringComparison.Ordinal))
            {
                return gpus.IsReleased
                    || gpus.Newest is not { } found
                    || !Array.Exists(found.Gpus, gpu => (path[prefix.Length..] + " ").StartsWith($"{gpu.Index} ", StringComparison.Ordinal));
            }
        }

        return isUnread(path);
    }

    /// <summary>All that is known of jobs, however old.</summary>
    public JobReading Jobs => jobs?.Last ?? JobReading.None;

    /// <summary>The file systems, for metrics; empty before the first reading.</summary>
    public FilesystemState[] Filesystems() => partitions.Newest?.States ?? [];

    /// <summary>The scheduler's jobs by GPU; empty without their directory.</summary>
    public GpuJobFile[] GpuJobs() => gpuJobs?.Newest?.Value ?? [];

    /// <summary>What jobs do on the GPUs; empty while nobody uses one.</summary>
    public GpuWork[] GpuWork() => gpus.Work;

    /// <summary>The newest temperatures of hwmon: of all chips for OTLP, else of those that a sample needs.</summary>
    public Hwmon.Temperature[] Temperatures() => (sensors.Newest ?? SensorReading.None).Temperatures;

    /// <summary>How each source fares.</summary>
    public IEnumerable<SourceState> States()
    {
        yield return StateOf(sensors, static reading => reading.Faults.Length == 0);
        yield return StateOf(frequency, static reading => reading.Faults.Length == 0);
        yield return StateOf(ipmiFans, static reading => reading.Faults.Length == 0);
        yield return StateOf(gpus.Name, gpus.Newest is not null && gpus.Faults.Length == 0, gpus.Took);
        yield return StateOf(facts, static reading => reading.Faults.Length == 0);
        yield return StateOf(partitions, static reading => reading.Faults.Length == 0);

        if (gpuJobs is not null)
        {
            yield return StateOf(gpuJobs.Name, GpuJobFaults().Length == 0 && gpuJobs.Newest is not null, gpuJobs.Took);
        }

        if (jobs is not null)
        {
            yield return StateOf(jobs.Name, jobs.Faults.Length == 0, jobs.Took);
        }
    }

    // A reading that is too old to be told is no good one.
    private static SourceState StateOf<T>(SlowSource<T> source, Func<T, bool> isGood)
        where T : class =>
        StateOf(source.Name, source.Newest is { } newest && isGood(newest), source.Took);

    private static SourceState StateOf(string name, bool isGood, TimeSpan? took) =>
        new(name, isGood, took is { } known ? FSharpValueOption<TimeSpan>.NewValueSome(known) : FSharpValueOption<TimeSpan>.None);

    private SlowReading<FanReading> ReadIpmi(IpmiProcess ipmi, TimeSpan interval)
    {
        // Fans that hwmon knows need no controller; on most machines this thread ends here.
        sensors.WaitForFirst(Timeout.InfiniteTimeSpan);

        if (sensors.Newest is { Fans.Length: > 0 })
        {
            return new(FanReading.None, Timeout.InfiniteTimeSpan);
        }

        return ipmi.Read().Match<Ipmi.Answer, SourceError, SlowReading<FanReading>>(
            answer => answer.Match<SlowReading<FanReading>>(
                fans: (fans, faults) => new(new FanReading(fans, faults), Longest(interval, IpmiPeriod)),
                noController: () => Never(
                    "ipmitool finds no management controller (/dev/ipmi0), so there are no fans in the samples; "
                    + "on a machine that has one, load the kernel module ipmi_devintf and start the agent again"),
                notAllowed: () => Never(
                    $"ipmitool may not open /dev/ipmi0, so there are no fans in the samples; {IpmiProcess.Permission}, and start the agent again"),
                failed: error => new(new FanReading([], [error]), Minute)),
            error => error.IsAbsent ? Never("") : new(new FanReading([], [error]), Minute));

        SlowReading<FanReading> Never(string remark)
        {
            if (remark.Length > 0)
            {
                tell(remark);
            }

            return new(FanReading.None, Timeout.InfiniteTimeSpan);
        }
    }

    private SourceError[] GpuJobFaults() =>
        gpuJobs is null ? []
        : gpuJobs.IsOverdue ? [SourceError.NewUnreadable("--gpu-job-directory", "it does not answer; until it does metrics have no hpc_job")]
        : gpuJobs.Last?.Faults ?? [];

    private void StartJobs()
    {
        gpus.WatchWork();
        var reader = newJobs();
        reader.Start();
        jobs = reader;
    }

    private JobInputs JobInputs() => new(
        // While the driver may be replaced nothing is known of them, which is no fault.
        gpus.IsReleased ? null : gpus.Newest,
        gpus.Newest is { Gpus.Length: > 0 } ? "" : gpus.Finding is { } finding ? finding.Problem : "",
        devices.Newest ?? Devices.Unknown)
    {
        Work = gpus.Work,
    };

    private static TimeSpan Longest(TimeSpan one, TimeSpan other) => one > other ? one : other;

    private sealed record FanReading(Hwmon.Fan[] Fans, SourceError[] Faults)
    {
        public static readonly FanReading None = new([], []);
    }
}

/// <summary>What several sources could not read.</summary>
internal static class SourceErrors
{
    /// <summary>All of them in this order. Asked for at every sample, and nearly always there are none.</summary>
    public static SourceError[] Together(params ReadOnlySpan<SourceError[]> parts)
    {
        foreach (var part in parts)
        {
            if (part.Length > 0)
            {
                return Joined(parts);
            }
        }

        return [];
    }

    private static SourceError[] Joined(ReadOnlySpan<SourceError[]> parts)
    {
        var all = new List<SourceError>();

        foreach (var part in parts)
        {
            all.AddRange(part);
        }

        return [.. all];
    }
}
