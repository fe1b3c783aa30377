using Agent.Core;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Temperatures and fans at one reading.</summary>
/// <param name="CpuTemperature">Degrees Celsius; none without a sensor.</param>
/// <param name="Fans">Fans with a speed.</param>
/// <param name="Temperatures">The temperatures of the chips of hwmon that were read.</param>
/// <param name="Faults">Sensors that could not be read.</param>
internal sealed record SensorReading(
    FSharpValueOption<double> CpuTemperature, Hwmon.Fan[] Fans, Hwmon.Temperature[] Temperatures, SourceError[] Faults)
{
    /// <summary>A machine without sensors.</summary>
    public static readonly SensorReading None = new(FSharpValueOption<double>.None, [], [], []);

    /// <summary>True when there is nothing to read again soon.</summary>
    public bool IsEmpty => CpuTemperature.IsNone && Fans.Length == 0 && Temperatures.Length == 0 && Faults.Length == 0;
}

/// <summary>A reading, and what of it could not be read.</summary>
/// <param name="Value">What was read.</param>
/// <param name="Faults">Faults, nearly always none.</param>
internal sealed record FaultyReading<T>(T Value, SourceError[] Faults);

/// <summary>The sources below /sys. They may be slow (some sensors answer over a bus), so they are read beside the sampling.</summary>
/// <param name="sysfs">Where /sys is.</param>
/// <param name="procfs">Where /proc is.</param>
/// <param name="clock">The monotonic clock; one of its own unless given.</param>
/// <param name="everyChip">
/// Whether sensor chips are read that are neither a CPU's nor have fans. To read those of disks costs the disk, and keeps some from their sleep.
/// </param>
internal sealed class SysFiles(string sysfs, string procfs, AgentClock? clock = null, bool everyChip = false)
{
    /// <summary>Which CPUs tell their clock is looked up so rarely: about once a minute.</summary>
    private const int ReadingsPerLook = 6;

    /// <summary>Which chips and thermal zones are a CPU's, with a reading each second: about once a minute.</summary>
    private const int SensorReadingsPerLook = 60;

    /// <summary>
    /// Below a chip: whether the kernel has suspended its device, which to read a value would wake, and keep awake
    /// (Documentation/power/runtime_pm.rst).
    /// </summary>
    public const string RuntimeStatus = "device/power/runtime_status";

    /// <summary>The word for that.</summary>
    public const string Suspended = "suspended";

    private const string ZonePrefix = "thermal_zone";

    private static readonly Thermal.Reading NoZones = new([], []);

    // Of the threads that ask sensors, one of which may hang.
    [ThreadStatic]
    private static ReadBuffer? ownBuffer;

    private readonly ReadBuffer buffer = new();
    private readonly UnreadParts unread = new();
    private readonly HashSet<string> otherChips = new(StringComparer.Ordinal);
    private readonly MountProbes<SysText[]> probes = new(
        clock ?? new AgentClock(),
        place => ReadSensorFiles(place, everyChip),
        "sensors",
        static limit => $"a sensor does not answer within {limit.TotalSeconds:0} s; until it does none of this device is in the samples");
    private string[] clockFiles = [];
    private int clockReadings;
    private SysText[] zoneTypes = [];
    private int zoneReadings;
    private int chipReadings;
    private readonly Func<bool> isGuest = () => KernelFiles.ReadOnce(Path.Join(procfs, "cpuinfo"), ownBuffer ??= new ReadBuffer(), CpuInfo.IsGuest)
        .Match(static guest => guest, static _ => false);

    /// <summary>The directories and links to directories in a directory, sorted; empty when it is not there.</summary>
    public static string[] Directories(string path) => DirectoryEntries.In(path);

    /// <summary>
    /// The sensors of the chips that are a CPU's or have fans, or of all, and the thermal zones where one of them may tell the CPU's temperature
    /// better.
    /// </summary>
    public SensorReading ReadSensors()
    {
        if (chipReadings++ % SensorReadingsPerLook == 0)
        {
            otherChips.Clear();
        }

        var (chips, silent) = Ask(Array.FindAll(Directories(Path.Join(sysfs, "class/hwmon")), chip => !otherChips.Contains(chip)), otherChips);
        var sensors = Hwmon.Parse(chips);
        var temperatures = CpuTemperature.Believed(isGuest, sensors.Temperatures);
        var (zoneFiles, silentZones) = CpuTemperature.IsCertain(temperatures) ? ([], []) : ReadZones();
        var zones = zoneFiles.Length == 0 ? NoZones : Thermal.Parse(zoneFiles);
        var faults = SourceErrors.Together(silent, sensors.Faults, silentZones, zones.Faults);
        unread.Observe(faults, path => IsRead(path, chips) || IsRead(path, zoneFiles));

        var reading = new SensorReading(CpuTemperature.From(temperatures, zones.Zones), sensors.Fans, temperatures, faults);

        // Read so rarely then that the next one looks again.
        if (reading.IsEmpty)
        {
            otherChips.Clear();
        }

        return reading;
    }

    /// <summary>The mean clock of the CPUs in MHz; none when nothing tells.</summary>
    public FaultyReading<FSharpValueOption<double>> ReadFrequency()
    {
        if (clockReadings++ % ReadingsPerLook == 0)
        {
            clockFiles =
            [
                .. from cpu in Cpus()
                   let file = Path.Join(cpu, "cpufreq/scaling_cur_freq")
                   where File.Exists(file)
                   select file,
            ];
        }

        var files = Texts(clockFiles);
        var mean = CpuFreq.MeanClock(files);
        var faults = CpuFreq.Faults(files);
        unread.Observe(faults, path => IsRead(path, files));

        return mean.IsSome
            ? new(mean, faults)
            : FromCpuInfo(CpuInfo.MeanClock, FSharpValueOption<double>.None, faults);
    }

    /// <summary>True when the CPUs had files of their own for their clocks at the last look.</summary>
    public bool HasClocks => clockFiles.Length > 0;

    /// <summary>The name of the CPUs; empty when nothing tells.</summary>
    public FaultyReading<string> ReadCpuName() =>
        FromCpuInfo(static info => CpuInfo.Name(info) is { IsSome: true, Value: var name } ? name : "", "", []);

    /// <summary>The number of cores; none when nothing tells.</summary>
    /// <param name="logical">
    /// The CPUs that there are; 0 for unknown. In a container of LXC /proc describes that, while /sys has the CPUs of the host.
    /// </param>
    public FaultyReading<FSharpValueOption<int>> ReadPhysicalCores(int logical)
    {
        // CPUs that are off-line have no topology.
        var siblings = Texts(
            from cpu in Cpus()
            let file = Path.Join(cpu, "topology/core_cpus_list")
            let older = Path.Join(cpu, "topology/thread_siblings_list")
            where File.Exists(file) || File.Exists(older)
            select File.Exists(file) ? file : older);

        var cores = logical > 0 && siblings.Length > logical ? FSharpValueOption<int>.None : Topology.PhysicalCores(siblings);
        var faults = Topology.Faults(siblings);
        unread.Observe(faults, path => IsRead(path, siblings));

        return cores.IsSome
            ? new(cores, faults)
            : FromCpuInfo(CpuInfo.PhysicalCores, FSharpValueOption<int>.None, faults);
    }

    /// <summary>What /proc/cpuinfo says, with the faults of its lines behind the others; a machine without it has none.</summary>
    private FaultyReading<T> FromCpuInfo<T>(Func<CpuInfo.CpuInfo, T> select, T unknown, SourceError[] faults) =>
        KernelFiles.ReadOnce(Path.Join(procfs, "cpuinfo"), buffer, CpuInfo.Parse).Match(
            read => new FaultyReading<T>(select(read.Value), [.. faults, .. read.Faults.Select(SourceError.NewGarbled)]),
            error => new FaultyReading<T>(unknown, error.IsAbsent ? faults : [.. faults, error]));

    /// <summary>The thermal zones that are a CPU's. A board may have dozens, and of the others nothing is wanted.</summary>
    private (SysText[] Texts, SourceError[] Silent) ReadZones()
    {
        if (zoneReadings++ % SensorReadingsPerLook == 0)
        {
            ListZones();
        }

        var asked = AskZones();

        // Drivers that are loaded anew number their zones anew.
        if (asked.Texts.Any(HasOtherType))
        {
            ListZones();
            asked = AskZones();
        }

        return asked;
    }

    private void ListZones() =>
        zoneTypes =
        [
            .. from type in Texts(
                   from zone in Directories(Path.Join(sysfs, "class/thermal"))
                   where Path.GetFileName(zone).StartsWith(ZonePrefix, StringComparison.Ordinal)
                   select Path.Join(zone, "type"))
               where CpuTemperature.TrustOfZone(SysFile.Text(type)).IsSome
               select type,
        ];

    private (SysText[] Texts, SourceError[] Silent) AskZones() =>
        zoneTypes.Length == 0 ? ([], []) : Ask([.. zoneTypes.Select(static type => Path.GetDirectoryName(type.Path)!)]);

    private bool HasOtherType(SysText text) =>
        Array.Exists(zoneTypes, known => known.Path == text.Path && SysFile.Text(known) != SysFile.Text(text));

    /// <summary>The files of these chips or zones, and those that do not answer. Each costs itself alone. Those without files go into a set.</summary>
    private (SysText[] Texts, SourceError[] Silent) Ask(string[] places, HashSet<string>? without = null)
    {
        if (places.Length == 0)
        {
            return ([], []);
        }

        var texts = new List<SysText>();
        var silent = new List<SourceError>();

        var answers = probes.Ask(places);

        for (var i = 0; i < answers.Length; i++)
        {
            var answer = answers[i];

            if (answer.IsOk)
            {
                texts.AddRange(answer.ResultValue);

                if (answer.ResultValue.Length == 0)
                {
                    without?.Add(places[i]);
                }
            }
            else
            {
                silent.Add(answer.ErrorValue);
            }
        }

        return ([.. texts], [.. silent]);
    }

    /// <summary>The type and the temperature of a thermal zone, or what a chip of hwmon has.</summary>
    private static FSharpResult<SysText[], SourceError> ReadSensorFiles(string place, bool everyChip)
    {
        var own = ownBuffer ??= new ReadBuffer();

        return FSharpResult<SysText[], SourceError>.NewOk(Path.GetFileName(place).StartsWith(ZonePrefix, StringComparison.Ordinal)
            ? [KernelFiles.ReadText(Path.Join(place, "type"), own), KernelFiles.ReadText(Path.Join(place, "temp"), own, KernelFiles.Invalid)]
            : ReadChip(place, everyChip, own));
    }

    /// <summary>
    /// The temperatures and fans of a chip. Of one that is neither a CPU's nor has fans there is nothing, unless every chip is wanted, and of
    /// one whose device sleeps its names alone: those are the driver's own, while for a value it asks the device.
    /// </summary>
    private static SysText[] ReadChip(string chip, bool everyChip, ReadBuffer own)
    {
        string[] files = [.. ChipFiles(chip)];
        SysText[] names = Read(static file => file == "name" || IsSensor(file, "temp", "_label"));
        var isOfCpu = CpuTemperature.MayBeOfCpu(names);

        if (!isOfCpu && !everyChip && !Array.Exists(files, static file => IsSensor(Path.GetFileName(file), "fan", "_input")))
        {
            return [];
        }

        // The CPU that runs this does not sleep.
        return !isOfCpu && SysFile.Text(KernelFiles.ReadText(Path.Join(chip, RuntimeStatus), own)) == Suspended
            ? names
            :
            [
                .. names,
                .. Read(static file => IsSensor(file, "temp", "_input", "_fault") || IsSensor(file, "fan", "_input", "_label", "_fault")),
            ];

        SysText[] Read(Func<string, bool> isWanted) =>
        [
            .. from file in files
               where isWanted(Path.GetFileName(file))
               select KernelFiles.ReadText(file, own),
        ];
    }

    // A device that did not answer is known by its directory.
    private static bool IsRead(string path, SysText[] texts) =>
        Array.Exists(texts, text => text.Content.IsOk && (text.Path == path || Path.GetDirectoryName(text.Path) == path));

    /// <summary>True for a file or a device that could not be read, and has not been since: it is gone, or has no value now.</summary>
    public bool IsUnread(string path) => unread.Contains(path);

    private IEnumerable<string> Cpus() =>
        from cpu in Directories(Path.Join(sysfs, "devices/system/cpu"))
        let name = Path.GetFileName(cpu)
        where name.Length > 3 && name.StartsWith("cpu", StringComparison.Ordinal) && char.IsAsciiDigit(name[3])
        select cpu;

    /// <summary>The path of the device that a chip belongs to; null where there is none.</summary>
    public static string? DeviceOf(string chip)
    {
        try
        {
            // The link is relative to where the chip really lies, which is behind a link itself.
            var place = Directory.ResolveLinkTarget(chip, returnFinalTarget: true)?.FullName ?? chip;
            var target = new DirectoryInfo(Path.Join(place, "device")).LinkTarget;

            return target is null ? null : Path.GetFullPath(target, place);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The files of a chip. Kernels before 2.6.36 and some drivers keep the sensors one directory further down.</summary>
    public static IEnumerable<string> ChipFiles(string chip) =>
        from directory in (string[])[chip, Path.Join(chip, "device")]
        from file in List(directory, Directory.GetFiles)
        select file;

    private static bool IsSensor(string name, string kind, params ReadOnlySpan<string> endings)
    {
        foreach (var ending in endings)
        {
            if (name.StartsWith(kind, StringComparison.Ordinal) && name.EndsWith(ending, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    private SysText[] Texts(IEnumerable<string> paths) =>
        [.. paths.Select(path => KernelFiles.ReadText(path, buffer))];

    private static string[] List(string path, Func<string, string[]> list)
    {
        try
        {
            var entries = Directory.Exists(path) ? list(path) : [];
            Array.Sort(entries, StringComparer.Ordinal);
            return entries;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
