using System.IO.Enumeration;
using System.Runtime.InteropServices;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>
/// The number of processes. Listing /proc tells it, and costs more the more there are. The link count of /proc is that number
/// plus a constant, which a listing now and then finds and checks. Where the two disagree, or where they cannot agree, every
/// count is a listing. See docs/adr/0013-process-count.md.
/// </summary>
/// <param name="root">/proc, or what stands in its place.</param>
/// <param name="links">The link count of the root; null where it says nothing about processes.</param>
/// <param name="now">The monotonic clock.</param>
internal sealed class ProcessCount(string root, Func<long?> links, Func<TimeSpan> now)
{
    private static readonly TimeSpan CheckPeriod = TimeSpan.FromMinutes(1);

    private long? constant;
    private TimeSpan checkedAt;
    private bool lists;

    /// <summary>Counts the processes of a machine's own /proc or of a tree that looks like one.</summary>
    public static ProcessCount Of(string root, Func<TimeSpan> now) =>
        LinkCount.CountsProcesses(root) ? new(root, LinkCount.OfProc, now) : new(root, static () => null, now);

    /// <summary>The processes at this instant.</summary>
    public FSharpResult<int, SourceError> Read()
    {
        if (!lists && constant is { } known && now() - checkedAt < CheckPeriod && links() is { } linked && linked > known)
        {
            return FSharpResult<int, SourceError>.NewOk((int)(linked - known));
        }

        return lists ? List() : ListAndCheck();
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

/// <summary>The link count of /proc.</summary>
internal static partial class LinkCount
{
    /// <summary>PROC_PID_INIT_INO: what every machine calls the namespace of its first process.</summary>
    private const string FirstNamespace = "pid:[4026531836]";

    /// <summary>AT_FDCWD of openat(2).</summary>
    private const int CurrentDirectory = -100;

    /// <summary>STATX_NLINK of statx(2).</summary>
    private const uint WantsLinks = 4;

    /// <summary>The size of struct statx, and where stx_nlink stands in it.</summary>
    private const int Size = 256;
    private const int Links = 16;

    private static readonly byte[] Proc = "/proc\0"u8.ToArray();

    /// <summary>
    /// False in a namespace of process ids, whose /proc lists its own processes and counts those of the whole machine, and
    /// where the processes of others are hidden.
    /// </summary>
    public static bool CountsProcesses(string root)
    {
        try
        {
            return root == "/proc"
                && new FileInfo("/proc/self/ns/pid").LinkTarget == FirstNamespace
                && Directory.Exists("/proc/1");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>One call of statx(2); null where the kernel or the C library has none.</summary>
    public static long? OfProc()
    {
        Span<byte> answer = stackalloc byte[Size];

        try
        {
            return Statx(CurrentDirectory, ref Proc[0], 0, WantsLinks, ref answer[0]) == 0
                ? MemoryMarshal.Read<uint>(answer[Links..])
                : null;
        }
        catch (EntryPointNotFoundException)
        {
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "statx")]
    private static partial int Statx(int directory, ref byte path, int flags, uint wanted, ref byte answer);
}
