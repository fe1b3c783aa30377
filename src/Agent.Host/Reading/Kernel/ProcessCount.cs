using System.IO.Enumeration;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// The number of processes. Listing /proc tells it, and costs more the more there are. The link count of /proc is that number
/// plus a constant, which a listing now and then finds and checks. Where the two disagree, or where they cannot agree, every
/// count is a listing. See docs/adr/0013-process-count.md.
/// </summary>
/// <param name="root">/proc, or the directory used instead.</param>
/// <param name="links">The link count of the root; null where it says nothing about processes.</param>
/// <param name="now">The monotonic clock.</param>
/// <param name="isHidden">Processes of others are not listed (hidepid of proc(5)).</param>
internal sealed class ProcessCount(string root, Func<long?> links, Func<TimeSpan> now, bool isHidden = false)
{
    private static readonly TimeSpan CheckPeriod = TimeSpan.FromMinutes(1);

    private long? constant;
    private TimeSpan checkedAt;
    private bool lists;

    /// <summary>Counts the processes of a machine's own /proc or of a tree that looks like one.</summary>
    public static ProcessCount Of(string root, Func<TimeSpan> now) => LinkCount.CountsProcesses(root) switch
    {
        Processes.Listed => new(root, () => LinkCount.Of(root), now),
        Processes.Hidden => new(root, () => LinkCount.Of(root), now, isHidden: true),
        Processes.HiddenAndUncounted => new(root, static () => null, now, isHidden: true),
        _ => new(root, static () => null, now),
    };

    /// <summary>The processes at this instant.</summary>
    public FSharpResult<int, SourceError> Read()
    {
        if (isHidden)
        {
            return CountHidden();
        }

        if (!lists && constant is { } known && now() - checkedAt < CheckPeriod && links() is { } linked && linked > known)
        {
            return FSharpResult<int, SourceError>.NewOk((int)(linked - known));
        }

        return lists ? List() : ListAndCheck();
    }

    /// <summary>
    /// The link count less what it is without processes: one for each directory of /proc that is not a process's, and two as of every
    /// directory (proc_root_getattr, fs/proc/root.c).
    /// </summary>
    private FSharpResult<int, SourceError> CountHidden()
    {
        try
        {
            constant ??= 2 + new DirectoryInfo(root).EnumerateDirectories()
                .Count(static entry => !char.IsAsciiDigit(entry.Name[0]) && entry.LinkTarget is null);

            return links() is { } linked && linked > constant
                ? FSharpResult<int, SourceError>.NewOk((int)(linked - constant))
                : FSharpResult<int, SourceError>.NewError(SourceError.NewUnreadable(
                    root, "the processes of other users are hidden (hidepid); give the agent the group of its gid= option"));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return FSharpResult<int, SourceError>.NewError(KernelFiles.ErrorOf(root, error));
        }
    }

    private FSharpResult<int, SourceError> ListAndCheck()
    {
        var before = links();
        var counted = List();

        // Processes that came or went meanwhile would be taken for a disagreement; the next sample checks again.
        if (before is { } linked && linked == links() && counted.IsOk)
        {
            var found = linked - counted.ResultValue;
            lists = constant is { } known && known != found;
            constant = found;
            checkedAt = now();
        }

        return counted;
    }

    private FSharpResult<int, SourceError> List()
    {
        try
        {
            var count = 0;

            // The names of processes are numbers, and nothing else in /proc begins with a digit.
            var processes = new FileSystemEnumerable<int>(root, static (ref FileSystemEntry _) => 1)
            {
                ShouldIncludePredicate = static (ref FileSystemEntry entry) => char.IsAsciiDigit(entry.FileName[0]),
            };

            foreach (var process in processes)
            {
                count += process;
            }

            return FSharpResult<int, SourceError>.NewOk(count);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return FSharpResult<int, SourceError>.NewError(KernelFiles.ErrorOf(root, error));
        }
    }
}

/// <summary>What can be learnt of the number of processes.</summary>
internal enum Processes
{
    /// <summary>All are listed, and the link count counts them.</summary>
    Listed,

    /// <summary>The link count counts them, and those of others are not listed.</summary>
    Hidden,

    /// <summary>All are listed, and the link count says nothing about them.</summary>
    Uncounted,

    /// <summary>Neither.</summary>
    HiddenAndUncounted,
}

/// <summary>The link count of /proc, or of one that is mounted elsewhere.</summary>
internal static class LinkCount
{
    /// <summary>PROC_PID_INIT_INO: what every machine calls the namespace of its first process.</summary>
    private const string FirstNamespace = "pid:[4026531836]";

    /// <summary>
    /// What the link count and a listing tell. In a namespace of process ids /proc lists its own processes and counts those of the whole
    /// machine. With hidepid it lists those of the reader alone, and process 1 is not among them. The same goes for a /proc that is mounted
    /// elsewhere; a reader of the first namespace is seen in no other, so that one is the first's as well. A directory that only looks like
    /// one has the processes that it lists.
    /// </summary>
    public static Processes CountsProcesses(string root)
    {
        try
        {
            if (root != "/proc" && !KernelFileSystem.IsProc(root))
            {
                return Processes.Uncounted;
            }

            var isFirst = new FileInfo(Path.Join(root, "self/ns/pid")).LinkTarget == FirstNamespace;
            return (isFirst, Directory.Exists(Path.Join(root, "1"))) switch
            {
                (true, true) => Processes.Listed,
                (true, false) => Processes.Hidden,
                (false, true) => Processes.Uncounted,
                (false, false) => Processes.HiddenAndUncounted,
            };
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return Processes.Uncounted;
        }
    }

    /// <summary>One call of statx(2); null where the kernel or the C library has none.</summary>
    public static long? Of(string root) => FileStatus.Of(root) is { Links: var links } ? links : null;
}
