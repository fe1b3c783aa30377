using Agent.Core;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>The sources that are read at every sample, on the sampling thread: the rows of <see cref="Sources"/>, each file kept open.</summary>
internal sealed class ProcFiles : SourceReader, IDisposable
{
    /// <summary>
    /// A line of diskstats has 20 numbers of up to 20 digits and a name of 31 bytes, one of net/dev less; the other files are one
    /// record each, whatever its length.
    /// </summary>
    private const int LongestRecord = 512;

    private readonly string root;
    private readonly AgentClock clock;
    private readonly ReadBuffer buffer = new();
    private readonly Dictionary<Source, KernelFile> files = [];
    private readonly FabricFiles fabric;
    private readonly ProcessCount processes;
    private readonly Func<SlowReadings> slow;
    private readonly ReadingRecord? record;
    private readonly ReadingWatch? watch;
    private readonly string processDirectory;
    private readonly string fabricDirectory;
    private bool? isContained;

    /// <summary>
    /// Reads under the given roots, by default /proc and /sys; keeps a record where one is given, and tells the watch what is being read.
    /// </summary>
    public ProcFiles(
        string procfs, string sysfs, AgentClock clock, Func<SlowReadings> slow, ReadingRecord? record = null, ReadingWatch? watch = null)
    {
        this.record = record;
        this.watch = watch;
        processDirectory = procfs;
        fabricDirectory = Path.Join(sysfs, "class/infiniband");
        this.slow = slow;
        root = procfs;
        this.clock = clock;
        fabric = new FabricFiles(sysfs, Now);
        processes = ProcessCount.Of(procfs, Now);

        foreach (var source in Sources.All)
        {
            files[source] = new KernelFile(ProcPaths.Of(procfs, source), Now, LongestRecord);
        }
    }

    /// <summary>CPU times alone, for the opening of a CPU window.</summary>
    public FSharpResult<Stat.CpuStat, SourceError> ReadStat() => ReadFile(Sources.Stat).Select(static read => read.Value);

    /// <summary>The disks alone, for the line at start.</summary>
    public FSharpResult<DiskStats.DiskCounters[], SourceError> ReadDisks() => ReadFile(Sources.Disks).Select(static read => read.Value);

    /// <summary>The NIS domain name, which almost nobody has; empty where it cannot be read.</summary>
    public string ReadDomainName() => SysFile.Text(KernelFiles.ReadText(Path.Join(root, "sys/kernel/domainname"), buffer));

    /// <summary>Everything at this instant.</summary>
    public Snapshot Read(FSharpValueOption<CpuWindow> window) => SnapshotModule.Read(clock.GetUtcNow(), window, this);

    /// <inheritdoc/>
    public override FSharpResult<Parsed<T>, SourceError> Read<T>(FileSource<T> source)
    {
        if (record is null)
        {
            return Checked(source, ReadFile(source));
        }

        var begin = clock.Elapsed;
        var result = ReadWatched<Parsed<T>>(source, text =>
        {
            record.Keep(source, text);
            return source.Parse(text);
        });
        record.Took(source, clock.Elapsed - begin);
        return Checked(source, result);
    }

    /// <inheritdoc/>
    public override FSharpResult<int, SourceError> CountProcesses()
    {
        var begin = record is null ? default : clock.Elapsed;
        Tell(processDirectory);
        var result = processes.Read();
        Tell(null);
        record?.Took(Sources.Processes, clock.Elapsed - begin);
        return result;
    }

    /// <inheritdoc/>
    public override Infiniband.Port[] ReadInfiniband()
    {
        Tell(fabricDirectory);
        var ports = fabric.Read(buffer);
        Tell(null);
        return ports;
    }

    /// <inheritdoc/>
    public override SlowReadings ReadSlow() => slow();

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in files.Values)
        {
            file.Dispose();
        }
    }

    private FSharpResult<Parsed<T>, SourceError> ReadFile<T>(FileSource<T> source) => ReadWatched<Parsed<T>>(source, source.Parse);

    private FSharpResult<T, SourceError> ReadWatched<T>(Source source, TextParser<T> parse)
    {
        var file = files[source];
        Tell(file.Path);
        var result = file.Read(buffer, parse);
        Tell(null);
        return result;
    }

    private void Tell(string? what)
    {
        if (watch is not null)
        {
            watch.Reading = what;
        }
    }

    /// <summary>The cache of ZFS is absent in an LXC container, which sees its host's beside a memory of its own.</summary>
    private FSharpResult<Parsed<T>, SourceError> Checked<T>(FileSource<T> source, FSharpResult<Parsed<T>, SourceError> read)
    {
        if (!ReferenceEquals(source, Sources.Arc) || !read.IsOk)
        {
            return read;
        }

        if (isContained is null)
        {
            var mounts = ProcPaths.Mounts(root);
            Tell(mounts);
            isContained = KernelFiles.ReadOnce(mounts, buffer, Mounts.Parse)
                .Match(static mounts => Mounts.HasContainedMemInfo(mounts.Value), static _ => false);
            Tell(null);
        }

        return isContained.Value
            ? FSharpResult<Parsed<T>, SourceError>.NewError(SourceError.NewAbsent(ArcStats.Source))
            : read;
    }

    private TimeSpan Now() => clock.Elapsed;
}

/// <summary>The counters of RDMA ports. Which ports there are is looked up once a minute, and when one is gone.</summary>
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
            List();
        }

        var texts = Texts(buffer);

        // An adapter that was renamed is found by its new name at once.
        if (Array.Exists(texts, IsGone))
        {
            List();
            texts = Texts(buffer);
        }

        return texts.Length == 0 ? [] : Infiniband.Parse(texts);
    }

    private void List()
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

    private SysText[] Texts(ReadBuffer buffer) =>
        paths.Length == 0 ? [] : [.. paths.Select(path => KernelFiles.ReadText(path, buffer))];

    // Some adapters have ports without counters.
    private static bool IsGone(SysText text) =>
        text.Content is { IsOk: false, ErrorValue.IsAbsent: true }
        && !Directory.Exists(Path.GetDirectoryName(Path.GetDirectoryName(text.Path)));
}

/// <summary>Where files lie that /proc keeps for each process.</summary>
internal static class ProcPaths
{
    /// <summary>A source of the machine.</summary>
    public static string Of(string procfs, Source source) =>
        source.Path.StartsWith("net/", StringComparison.Ordinal)
            ? OfFirstProcess(procfs, source.Path, source.Path)
            : Path.Join(procfs, source.Path);

    /// <summary>The directory of the machine's network.</summary>
    public static string Net(string procfs)
    {
        var ofHost = Path.Join(procfs, "1/net");
        return procfs != "/proc" && Directory.Exists(ofHost) ? ofHost : Path.Join(procfs, "net");
    }

    /// <summary>The mounts of the machine.</summary>
    public static string Mounts(string procfs) => OfFirstProcess(procfs, "mounts", "self/mounts");

    /// <summary>The same with their device numbers; not on all kernels.</summary>
    public static string MountInfo(string procfs) => OfFirstProcess(procfs, "mountinfo", "self/mountinfo");

    /// <summary>
    /// What a user should know of a /proc that was bound into a container and hides the machine's first process, whose network and mounts are
    /// the machine's; empty where it does not, and for a directory that only looks like one.
    /// </summary>
    public static string Concealed(string procfs)
    {
        var ofHost = Path.Join(procfs, "1", NetDevPath);

        return procfs != "/proc" && KernelFileSystem.IsProc(procfs) && !File.Exists(ofHost)
            ? $"{ofHost} cannot be seen (hidepid), so network and file systems in the samples are what the agent's own process sees; "
                + $"give the agent the group of the option gid= that {procfs} is mounted with, or the capability CAP_SYS_PTRACE"
            : "";
    }

    private static string NetDevPath => Sources.Network.Path;

    // In a /proc that was bound into a container, net and self point at the reader; process 1 is the host's.
    private static string OfFirstProcess(string procfs, string name, string fallback)
    {
        var ofHost = Path.Join(procfs, "1", name);
        return procfs != "/proc" && File.Exists(ofHost) ? ofHost : Path.Join(procfs, fallback);
    }
}
