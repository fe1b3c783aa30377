using Agent.Core;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>The sources that are read at every sample, on the sampling thread.</summary>
internal sealed class ProcFiles : IDisposable
{
    /// <summary>
    /// A line of diskstats has 20 numbers of up to 20 digits and a name of 31 bytes, one of net/dev less; the other files are one
    /// record each, whatever its length.
    /// </summary>
    private const int LongestRecord = 512;

    private readonly string root;
    private readonly AgentClock clock;
    private readonly ReadBuffer buffer = new();
    private readonly KernelFile stat;
    private readonly KernelFile memory;
    private readonly KernelFile arc;
    private readonly KernelFile load;
    private readonly KernelFile disks;
    private readonly KernelFile network;
    private readonly KernelFile cpuPressure;
    private readonly KernelFile ioPressure;
    private readonly KernelFile memoryPressure;
    private readonly FabricFiles fabric;
    private readonly ProcessCount processes;
    private readonly ReadingRecord? record;
    private ParseError[] faults = [];
    private bool? isContained;

    /// <summary>Reads under the given roots, by default /proc and /sys; keeps a record where one is given.</summary>
    public ProcFiles(string procfs, string sysfs, AgentClock clock, ReadingRecord? record = null)
    {
        this.record = record;
        root = procfs;
        this.clock = clock;
        stat = FileAt("stat");
        memory = FileAt("meminfo");
        arc = FileAt("spl/kstat/zfs/arcstats");
        load = FileAt("loadavg");
        disks = FileAt("diskstats");
        network = new KernelFile(ProcPaths.NetDev(procfs), Now, LongestRecord);
        cpuPressure = FileAt("pressure/cpu");
        ioPressure = FileAt("pressure/io");
        memoryPressure = FileAt("pressure/memory");
        fabric = new FabricFiles(sysfs, Now);
        processes = ProcessCount.Of(procfs, Now);
    }

    /// <summary>CPU times alone, for the opening of a CPU window.</summary>
    public FSharpResult<Stat.CpuStat, SourceError> ReadStat() => stat.Read(buffer, Stat.Parse).Select(static read => read.Value);

    /// <summary>The disks alone, for the line at start.</summary>
    public FSharpResult<DiskStats.DiskCounters[], SourceError> ReadDisks() => disks.Read(buffer, DiskStats.Parse).Select(static read => read.Value);

    /// <summary>The processes alone.</summary>
    public FSharpResult<int, SourceError> CountProcesses() => processes.Read();

    /// <summary>The NIS domain name, which almost nobody has; empty where it cannot be read.</summary>
    public string ReadDomainName() => SysFile.Text(KernelFiles.ReadText(Path.Join(root, "sys/kernel/domainname"), buffer));

    /// <summary>Everything at this instant.</summary>
    public Snapshot Read(FSharpValueOption<CpuWindow> window, Func<SlowReadings> slow)
    {
        // The counters whose differences matter most come first, right after the time stamp.
        var at = clock.GetUtcNow();
        faults = [];
        var cpu = ReadLines(FastSource.Cpu, stat, Stat.Parse);
        var diskCounters = ReadLines(FastSource.Disks, disks, DiskStats.Parse);
        var interfaces = ReadLines(FastSource.Network, network, NetDev.Parse);

        return new Snapshot(
            at: at,
            window: window,
            stat: cpu,
            memory: ReadLines(FastSource.Memory, memory, MemInfo.Parse),
            arc: ReadArc(),
            load: Read(FastSource.Load, load, LoadAvg.Parse),
            disks: diskCounters,
            network: interfaces,
            processes: Processes(),
            cpuPressure: Read(FastSource.CpuPressure, cpuPressure, static text => Pressure.Parse("/proc/pressure/cpu", text)),
            ioPressure: Read(FastSource.IoPressure, ioPressure, static text => Pressure.Parse("/proc/pressure/io", text)),
            memoryPressure: Read(FastSource.MemoryPressure, memoryPressure, static text => Pressure.Parse("/proc/pressure/memory", text)),
            infiniband: fabric.Read(buffer),
            slow: slow(),
            faults: faults);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in (KernelFile[])[stat, memory, arc, load, disks, network, cpuPressure, ioPressure, memoryPressure])
        {
            file.Dispose();
        }
    }

    /// <summary>The cache of ZFS; absent in an LXC container, which sees its host's beside a memory of its own.</summary>
    private FSharpResult<ArcStats.Arc, SourceError> ReadArc()
    {
        var read = Read(FastSource.Arc, arc, ArcStats.Parse);

        if (!read.IsOk)
        {
            return read;
        }

        isContained ??= KernelFiles.ReadOnce(ProcPaths.Mounts(root), buffer, Mounts.Parse)
            .Match(static mounts => Mounts.HasContainedMemInfo(mounts.Value), static _ => false);

        return isContained.Value
            ? FSharpResult<ArcStats.Arc, SourceError>.NewError(SourceError.NewAbsent(ArcStats.Source))
            : read;
    }

    private KernelFile FileAt(string name) => new(Path.Join(root, name), Now, LongestRecord);

    private TimeSpan Now() => clock.Elapsed;

    /// <summary>The lines of a file that can be read; the faults of the others are kept aside.</summary>
    private FSharpResult<T, SourceError> ReadLines<T>(FastSource source, KernelFile file, TextParser<Parsed<T>> parse)
    {
        var read = Read(source, file, parse);

        if (!read.IsOk)
        {
            return FSharpResult<T, SourceError>.NewError(read.ErrorValue);
        }

        var parsed = read.ResultValue;

        if (parsed.Faults.Length > 0)
        {
            faults = [.. faults, .. parsed.Faults];
        }

        return FSharpResult<T, SourceError>.NewOk(parsed.Value);
    }

    private FSharpResult<T, SourceError> Read<T>(FastSource source, KernelFile file, TextParser<T> parse) =>
        record is null ? file.Read(buffer, parse) : Record(record, source, file, parse);

    private FSharpResult<T, SourceError> Record<T>(ReadingRecord record, FastSource source, KernelFile file, TextParser<T> parse)
    {
        var begin = clock.Elapsed;
        var result = file.Read(buffer, text =>
        {
            record.Keep(source, text);
            return parse(text);
        });
        record.Took(source, clock.Elapsed - begin);
        return result;
    }

    private FSharpResult<int, SourceError> Processes()
    {
        var begin = record is null ? default : clock.Elapsed;
        var result = CountProcesses();
        record?.Took(FastSource.Processes, clock.Elapsed - begin);
        return result;
    }
}

/// <summary>The counters of RDMA ports. Which ports there are is looked up once a minute.</summary>
internal sealed class FabricFiles(string sysfs, Func<TimeSpan> now)
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private string[] paths = [];
    private TimeSpan? listedAt;

    /// <summary>The ports at this instant; empty without a fabric.</summary>
    public Infiniband.Port[] Read(ReadBuffer buffer)
    {
        if (listedAt is null || now() - listedAt > LookAgain)
        {
            listedAt = now();
            paths =
            [
                .. from device in SysFiles.Directories(Path.Join(sysfs, "class/infiniband"))
                   from port in SysFiles.Directories(Path.Join(device, "ports"))
                   from counter in (string[])["port_rcv_data", "port_xmit_data"]
                   select Path.Join(port, "counters", counter),
            ];
        }

        return paths.Length == 0
            ? []
            : Infiniband.Parse([.. paths.Select(path => KernelFiles.ReadText(path, buffer))]);
    }
}

/// <summary>Where files lie that /proc keeps for each process.</summary>
internal static class ProcPaths
{
    /// <summary>The interfaces of the machine.</summary>
    public static string NetDev(string procfs) => OfFirstProcess(procfs, "net/dev", "net/dev");

    /// <summary>The mounts of the machine.</summary>
    public static string Mounts(string procfs) => OfFirstProcess(procfs, "mounts", "self/mounts");

    /// <summary>The same with their device numbers; not on all kernels.</summary>
    public static string MountInfo(string procfs) => OfFirstProcess(procfs, "mountinfo", "self/mountinfo");

    // In a /proc that was bound into a container, net and self point at the reader; process 1 is the host's.
    private static string OfFirstProcess(string procfs, string name, string fallback)
    {
        var ofHost = Path.Join(procfs, "1", name);
        return procfs != "/proc" && File.Exists(ofHost) ? ofHost : Path.Join(procfs, fallback);
    }
}
