using Agent.Core;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Temperatures and fans at one reading.</summary>
/// <param name="CpuTemperature">Degrees Celsius; none without a sensor.</param>
/// <param name="Fans">Fans with a speed.</param>
/// <param name="Temperatures">Every temperature of hwmon.</param>
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
internal sealed class SysFiles(string sysfs, string procfs)
{
    /// <summary>Which CPUs tell their clock is looked up so rarely: about once a minute.</summary>
    private const int ReadingsPerLook = 6;

    /// <summary>Which thermal zones are a CPU's, with a reading each second: about once a minute.</summary>
    private const int SensorReadingsPerLook = 60;

    private static readonly Thermal.Reading NoZones = new([], []);

    private readonly ReadBuffer buffer = new();
    private string[] clockFiles = [];
    private int clockReadings;
    private SysText[] zoneTypes = [];
    private int zoneReadings;

    /// <summary>The directories and links to directories in a directory, sorted; empty when it is not there.</summary>
    public static string[] Directories(string path) => DirectoryEntries.In(path);

    /// <summary>All sensors of hwmon, and the thermal zones where one of them may tell the CPU's temperature better.</summary>
    public SensorReading ReadSensors()
    {
        var chips = Directories(Path.Join(sysfs, "class/hwmon"));
        var sensors = Hwmon.Parse(Texts(
            from chip in chips
            from file in ChipFiles(chip)
            let name = Path.GetFileName(file)
            where name == "name" || IsSensor(name, "temp") || IsSensor(name, "fan")
            select file));

        var zones = CpuTemperature.IsCertain(sensors.Temperatures) ? NoZones : ReadZones();

        return new SensorReading(
            CpuTemperature.From(sensors.Temperatures, zones.Zones),
            sensors.Fans,
            sensors.Temperatures,
            SourceErrors.Together(sensors.Faults, zones.Faults));
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
        var clock = CpuFreq.MeanClock(files);
        var faults = CpuFreq.Faults(files);

        return clock.IsSome
            ? new(clock, faults)
            : FromCpuInfo(CpuInfo.MeanClock, FSharpValueOption<double>.None, faults);
    }

    /// <summary>True when the CPUs had files of their own for their clocks at the last look.</summary>
    public bool HasClocks => clockFiles.Length > 0;

    /// <summary>The name of the CPUs; empty when nothing tells.</summary>
    public FaultyReading<string> ReadCpuName() =>
        FromCpuInfo(static info => CpuInfo.Name(info) is { IsSome: true, Value: var name } ? name : "", "", []);

    /// <summary>The number of cores; none when nothing tells.</summary>
    public FaultyReading<FSharpValueOption<int>> ReadPhysicalCores()
    {
        // CPUs that are off-line have no topology.
        var siblings = Texts(
            from cpu in Cpus()
            let file = Path.Join(cpu, "topology/core_cpus_list")
            let older = Path.Join(cpu, "topology/thread_siblings_list")
            where File.Exists(file) || File.Exists(older)
            select File.Exists(file) ? file : older);

        var cores = Topology.PhysicalCores(siblings);
        var faults = Topology.Faults(siblings);

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
    private Thermal.Reading ReadZones()
    {
        if (zoneReadings++ % SensorReadingsPerLook == 0)
        {
            zoneTypes =
            [
                .. from type in Texts(
                       from zone in Directories(Path.Join(sysfs, "class/thermal"))
                       where Path.GetFileName(zone).StartsWith("thermal_zone", StringComparison.Ordinal)
                       select Path.Join(zone, "type"))
                   where CpuTemperature.TrustOfZone(SysFile.Text(type)).IsSome
                   select type,
            ];
        }

        return zoneTypes.Length == 0
            ? NoZones
            : Thermal.Parse([.. zoneTypes, .. zoneTypes.Select(type => KernelFiles.ReadText(
                Path.Join(Path.GetDirectoryName(type.Path), "temp"), buffer, KernelFiles.Invalid))]);
    }

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

    private static bool IsSensor(string name, string kind) =>
        name.StartsWith(kind, StringComparison.Ordinal)
        && (name.EndsWith("_input", StringComparison.Ordinal)
            || name.EndsWith("_label", StringComparison.Ordinal)
            || name.EndsWith("_fault", StringComparison.Ordinal));

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
