using Agent.Core;
using Agent.Outbound;
using Microsoft.FSharp.Core;

namespace Agent.Host.Buffering;

/// <summary>
/// An outbox on disk, in the format of <see cref="Spool"/>: a sample is in a file before its first attempt, and survives the
/// end of the agent by whatever cause. While the disk refuses, samples wait in memory, behind those on disk, and move there
/// when it takes them again.
/// </summary>
internal sealed partial class SpoolDirectory : IOutbox
{
    private static readonly TimeSpan SyncPeriod = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RetryPeriod = TimeSpan.FromMinutes(1);

    private readonly Lock gate = new();
    private readonly string directory;
    private readonly long limit;
    private readonly int memoryCapacity;
    private readonly AgentClock clock;
    private readonly Action<string> warn;
    private readonly SpoolKeep keep;
    private readonly LinkedList<Entry> memory = new();
    private readonly List<Entry> aside = [];
    private SegmentFiles? files;
    private SpoolPosition head;
    private SpoolPosition damagedUpTo;
    private Entry? current;
    private Entry[] behind = [];

    // The last one that went to the disk, whose bytes need not be read back while nobody else waits.
    private Entry? newest;
    private DropCounts dropped;
    private bool diskRefuses;
    private bool syncFails;
    private bool isGone;
    private TimeSpan syncedAt;
    private TimeSpan lookedAt;
    private TimeSpan triedAt;

    private SpoolDirectory(string directory, long limit, int memoryCapacity, AgentClock clock, Action<string> warn)
    {
        this.directory = directory;
        this.limit = limit;
        this.memoryCapacity = memoryCapacity;
        this.clock = clock;
        this.warn = warn;
        keep = new SpoolKeep(directory, Spool.SegmentSize(limit), warn);
        triedAt = clock.Elapsed;
    }

    /// <inheritdoc/>
    public long Count
    {
        get
        {
            lock (gate)
            {
                return Held;
            }
        }
    }

    /// <inheritdoc/>
    public long Kept
    {
        get
        {
            lock (gate)
            {
                return isGone ? 0 : files?.Held ?? 0;
            }
        }
    }

    /// <inheritdoc/>
    public DropCounts Dropped
    {
        get
        {
            lock (gate)
            {
                return dropped;
            }
        }
    }

    /// <inheritdoc/>
    public string Limit
    {
        get
        {
            lock (gate)
            {
                return files is null || diskRefuses ? $"{memoryCapacity} samples in memory" : $"{limit >> 20} MiB in {directory}";
            }
        }
    }

    private long Held => (files?.Held ?? 0) + memory.Count + aside.Count(static entry => entry.Place is null);

    /// <summary>
    /// Opens the stream in <paramref name="directory"/> and goes on where it ended. A directory that another agent uses is an
    /// error; one that cannot be used is warned about, and tried again every minute.
    /// </summary>
    /// <param name="directory">The directory of the stream; it is made when it is not there.</param>
    /// <param name="limit">So many bytes may wait on disk.</param>
    /// <param name="memoryCapacity">So many samples may wait in memory while the disk refuses.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="warn">Told what a user should know, in one line.</param>
    public static FSharpResult<SpoolDirectory, SpoolError> Open(
        string directory, long limit, int memoryCapacity, AgentClock clock, Action<string> warn)
    {
        var spool = new SpoolDirectory(directory, limit, memoryCapacity, clock, warn);

        return SegmentFiles.Open(directory, limit, spool.keep, warn).Match(
            files =>
            {
                spool.Use(files);
                return FSharpResult<SpoolDirectory, SpoolError>.NewOk(spool);
            },
            error => error.Match(
                inUse: _ => FSharpResult<SpoolDirectory, SpoolError>.NewError(error),
                unusable: (_, _) =>
                {
                    warn($"{error}; samples wait in memory, {memoryCapacity} at most, until it can be");
                    return FSharpResult<SpoolDirectory, SpoolError>.NewOk(spool);
                }));
    }

    /// <summary>Lets go of the lock on the directory and of nothing else, as the end of the process does.</summary>
    public void Unlock() => files?.Unlock();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Count > 0)
        {
            Sync();
        }

        lock (gate)
        {
            files?.Dispose();
        }
    }

    private void Use(SegmentFiles opened)
    {
        files = opened;
        head = opened.Start;
        dropped = dropped with { Damaged = dropped.Damaged + opened.Torn };
    }
}
