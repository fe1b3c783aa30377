using System.Runtime.InteropServices;
using System.Text;
using Agent.Core;
using Agent.Core.Proc;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>File systems and how full they are.</summary>
/// <param name="OnDisk">Those that occupy a disk.</param>
/// <param name="States">For metrics: these, those that another machine holds and those in memory; else empty.</param>
/// <param name="Faults">What could not be read, and what does not answer.</param>
internal sealed record PartitionReading(Partition[] OnDisk, FilesystemState[] States, SourceError[] Faults)
{
    /// <summary>A machine without file systems.</summary>
    public static readonly PartitionReading None = new([], [], []);
}

/// <summary>The block counts of a file system: statvfs(3).</summary>
/// <param name="Fragment">f_frsize, the unit of the counts in bytes; f_bsize where a file system leaves that 0.</param>
/// <param name="Blocks">f_blocks</param>
/// <param name="Free">f_bfree</param>
/// <param name="Available">f_bavail</param>
/// <param name="Files">f_files</param>
/// <param name="FilesFree">f_ffree</param>
internal readonly record struct BlockCounts(ulong Fragment, ulong Blocks, ulong Free, ulong Available, ulong Files, ulong FilesFree);

/// <summary>Reads which file systems there are and how full they are.</summary>
internal sealed unsafe class PartitionFiles
{
    // Of the program and not of a library of its choice: what was preloaded into the program then answers, as it does for others.
    private static readonly delegate* unmanaged<byte*, ulong*, int> StatvfsFunction =
        (delegate* unmanaged<byte*, ulong*, int>)NativeLibrary.GetExport(NativeLibrary.GetMainProgramHandle(), "statvfs");

    /// <summary>Of a machine with hundreds of dead mounts so many are told.</summary>
    private const int MostFaults = 16;

    private readonly string procfs;
    private readonly string rootfs;
    private readonly bool withMetrics;
    private readonly byte[] rootPath;
    private readonly ReadBuffer buffer = new();
    private readonly MountProbes<BlockCounts> probes;
    private readonly UnreadParts unread = new();
    private volatile Dictionary<string, byte[]> paths = new(StringComparer.Ordinal);

    /// <summary>Nothing is read yet.</summary>
    /// <param name="procfs">Where /proc is.</param>
    /// <param name="rootfs">What stands before the mount points.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="withMetrics">True where those of other machines and those in memory are wanted as well.</param>
    public PartitionFiles(string procfs, string rootfs, AgentClock clock, bool withMetrics)
    {
        this.procfs = procfs;
        this.rootfs = rootfs;
        this.withMetrics = withMetrics;
        rootPath = rootfs == "/" ? [] : Encoding.UTF8.GetBytes(rootfs);
        probes = new(clock, directory => Statvfs(directory, paths[directory]));
    }

    /// <summary>All of them. Takes no longer than <see cref="MountProbes{T}.Limit"/>, whatever hangs.</summary>
    public PartitionReading Read()
    {
        var faults = new List<SourceError>();
        var types = Lines(Read("filesystems", Filesystems.Parse), new HashSet<string>(), faults);
        var mounts = Lines(ReadMounts(), [], faults);
        var onDisk = Filesystems.OnDisk(types, mounts);
        var overNetwork = withMetrics ? Filesystems.OverNetwork(mounts) : [];
        Mounts.Mount[] all = [.. onDisk, .. overNetwork, .. withMetrics ? Filesystems.InMemory(mounts) : []];
        var named = new Dictionary<string, byte[]>(StringComparer.Ordinal);

        // Names are bytes, and what is shown of one that is not UTF-8 does not lead there.
        foreach (var mount in all)
        {
            named[PathOf(mount)] = [.. rootPath, .. mount.Path, 0];
        }

        paths = named;
        var answers = probes.Ask(Array.ConvertAll(all, PathOf));
        unread.Observe(
            Array.ConvertAll(
                Array.FindAll(answers, static answer => answer is { IsOk: false, ErrorValue.IsAbsent: false }),
                static answer => answer.ErrorValue),
            path => Array.FindIndex(all, mount => PathOf(mount) == path) is var at and >= 0 && answers[at].IsOk);

        // What lies in memory always answers.
        foreach (var answer in answers.AsSpan(0, onDisk.Length + overNetwork.Length))
        {
            if (answer is { IsOk: false, ErrorValue.IsAbsent: false })
            {
                faults.Add(answer.ErrorValue);
            }
        }

        return new(Full(onDisk, answers), withMetrics ? States(all, answers) : [], [.. faults.Take(MostFaults)]);
    }

    /// <summary>True for a mount that could not be asked, and has not answered since: it is gone, or cannot be seen any more.</summary>
    public bool IsUnread(string directory) => unread.Contains(directory);

    /// <summary>
    /// All of them, for metrics. The unit's own view of the machine makes everything look read-only, so process 1 is asked
    /// whether it is.
    /// </summary>
    private FilesystemState[] States(Mounts.Mount[] mounts, FSharpResult<BlockCounts, SourceError>[] answers)
    {
        var ofFirst = KernelFiles.ReadOnce(Path.Join(procfs, "1/mounts"), buffer, Mounts.Parse)
            .Match(static read => read.Value, static _ => []);
        var states = new List<FilesystemState>();

        for (var i = 0; i < mounts.Length; i++)
        {
            var (mount, answer) = (mounts[i], answers[i]);

            // What cannot be seen from here is not there; what has no size holds no files.
            if (answer.IsOk ? answer.ResultValue.Blocks > 0 : !answer.ErrorValue.IsAbsent)
            {
                var seen = Array.FindLast(ofFirst, other => other.MountPoint == mount.MountPoint);
                states.Add(new FilesystemState(
                    mount.Device, mount.MountPoint, mount.FsType, (seen ?? mount).IsReadOnly, answer.IsOk
                        ? FSharpValueOption<FilesystemCounts>.NewValueSome(CountsOf(answer.ResultValue))
                        : FSharpValueOption<FilesystemCounts>.None));
            }
        }

        return [.. states];
    }

    private static FilesystemCounts CountsOf(BlockCounts counts) => FilesystemCounts.OfBlocks(
        counts.Fragment, counts.Blocks, counts.Free, counts.Available, counts.Files, counts.FilesFree);

    private string PathOf(Mounts.Mount mount) => rootfs == "/" ? mount.MountPoint : rootfs + mount.MountPoint;

    private FSharpResult<Parsed<T>, SourceError> Read<T>(string name, TextParser<Parsed<T>> parse) =>
        KernelFiles.ReadOnce(Path.Join(procfs, name), buffer, parse);

    private FSharpResult<Parsed<Mounts.Mount[]>, SourceError> ReadMounts()
    {
        var placed = KernelFiles.ReadOnce(ProcPaths.MountInfo(procfs), buffer, MountInfo.Parse);

        return placed.IsOk ? placed : KernelFiles.ReadOnce(ProcPaths.Mounts(procfs), buffer, Mounts.Parse);
    }

    private static T Lines<T>(FSharpResult<Parsed<T>, SourceError> read, T nothing, List<SourceError> faults)
    {
        if (read.IsOk)
        {
            faults.AddRange(read.ResultValue.Faults.Select(SourceError.NewGarbled));
            return read.ResultValue.Value;
        }

        if (!read.ErrorValue.IsAbsent)
        {
            faults.Add(read.ErrorValue);
        }

        return nothing;
    }

    private static Partition[] Full(Mounts.Mount[] mounts, FSharpResult<BlockCounts, SourceError>[] answers)
    {
        var partitions = new List<Partition>();

        for (var i = 0; i < mounts.Length; i++)
        {
            if (answers[i] is { IsOk: true, ResultValue: var counts }
                && SystemInfoModule.PartitionOfBlocks(mounts[i], counts.Fragment, counts.Blocks, counts.Free, counts.Available)
                    is { IsSome: true, Value: var partition })
            {
                partitions.Add(partition);
            }
        }

        return [.. partitions];
    }

    private static FSharpResult<BlockCounts, SourceError> Statvfs(string directory, byte[] path)
    {
        // The first 64-bit numbers of struct statvfs, which are the same in glibc and musl: f_bsize, f_frsize, f_blocks, f_bfree, f_bavail,
        // f_files, f_ffree.
        var fields = stackalloc ulong[64];
        int result;

        fixed (byte* name = path)
        {
            result = StatvfsFunction(name, fields);
        }

        if (result == 0)
        {
            return FSharpResult<BlockCounts, SourceError>.NewOk(
                new BlockCounts(fields[1] == 0 ? fields[0] : fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]));
        }

        var code = Marshal.GetLastSystemError();

        // Not visible from here, or gone since: it costs its own entry, without a word.
        return FSharpResult<BlockCounts, SourceError>.NewError(
            code is Errno.NotPermitted or Errno.NoEntry or Errno.Access or Errno.NotDirectory or Errno.Loop
                ? SourceError.NewAbsent(directory)
                : SourceError.NewUnreadable(directory, Marshal.GetPInvokeErrorMessage(code)));
    }

    /// <summary>What statvfs(3) may answer, by its number.</summary>
    private static class Errno
    {
        public const int NotPermitted = 1;
        public const int NoEntry = 2;
        public const int Access = 13;
        public const int NotDirectory = 20;
        public const int Loop = 40;
    }
}
