using Agent.Core;
using Agent.Outbound;

namespace Agent.Shell;

/// <summary>
/// The files of one stream: its segments, oldest first, and the position. Knows where records lie and not what becomes of
/// them. Not safe for several threads.
/// </summary>
internal sealed partial class SegmentFiles : IDisposable
{
    private readonly string directory;
    private readonly long segmentSize;
    private readonly FileStream inUse;
    private readonly PositionFile position;
    private readonly SegmentReader reader = new();
    private readonly SegmentWriter writer = new();
    private readonly List<Segment> segments = [];
    private readonly HashSet<string> unsynced = new(StringComparer.Ordinal);
    private bool mayGoOn;
    private long used;

    private SegmentFiles(string directory, long limit, FileStream inUse, Action<string> warn)
    {
        this.directory = directory;
        this.inUse = inUse;
        segmentSize = Spool.SegmentSize(limit);
        position = new PositionFile(directory, warn);
    }

    /// <summary>From where records were not delivered when the stream was opened.</summary>
    public SpoolPosition Start { get; private set; }

    /// <summary>Records that were not completely written when the stream was opened.</summary>
    public long Torn { get; private set; }

    /// <summary>Records that are held.</summary>
    public long Held => segments.Sum(static segment => segment.Held);

    /// <summary>True once somebody has deleted the directory: what is held can still be read by this process, and by no later one.</summary>
    public bool IsGone => FileStatus.Of(inUse.SafeFileHandle) is { Links: 0 };

    /// <summary>Bytes of all segments.</summary>
    public long Size => segments.Sum(static segment => segment.Size);

    /// <summary>The segment that holds the next record at or after the place, which moves there; null when there is none.</summary>
    public Segment? Seek(ref SpoolPosition place)
    {
        var from = place;

        foreach (var segment in segments)
        {
            var offset = segment.Number == from.Segment ? from.Offset : 0;

            if (segment.Number >= from.Segment && offset < segment.Size)
            {
                place = new SpoolPosition(segment.Number, offset);
                return segment;
            }
        }

        return null;
    }

    /// <summary>The record at the place, with its line end unless it lost it. Valid until the next call.</summary>
    public ReadOnlyMemory<byte> Read(Segment segment, long offset) => reader.Read(segment, offset, writer);

    /// <summary>The segment that holds the place.</summary>
    public Segment SegmentOf(SpoolPosition place) => segments.Find(segment => segment.Number == place.Segment)!;

    /// <summary>Appends a record and says where it lies. Throws what the disk throws.</summary>
    public SpoolPosition Append(ReadOnlyMemory<byte> body)
    {
        var segment = ToWrite();
        var place = new SpoolPosition(segment.Number, segment.Size);
        writer.Append(segment, body);
        unsynced.Add(segment.Path);
        return place;
    }

    /// <summary>Writes down from where records are not delivered, and deletes the segments that are done with.</summary>
    public void Save(SpoolPosition settled)
    {
        // A position that lags behind skips segments that are gone, so these need not wait for it.
        _ = position.Write(settled);

        while (segments.Count > 1 && segments[0].Number < settled.Segment)
        {
            Delete(segments[0]);
        }
    }

    /// <summary>The oldest segments that must go so that the rest is within the limit.</summary>
    public Segment[] Surplus(long limit) =>
        Size <= limit ? [] : [.. segments.Take(Spool.Surplus(limit, [.. segments.Select(static segment => segment.Size)]))];

    /// <summary>Deletes a segment.</summary>
    public void Delete(Segment segment)
    {
        Forget(segment);

        try
        {
            File.Delete(segment.Path);
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            // It lies before the position, and the next start tries again.
        }
    }

    /// <summary>Takes a segment that cannot be read out of the stream; false where its file has to stay where it is.</summary>
    public bool MoveAside(Segment segment, SpoolKeep keep)
    {
        Forget(segment);
        return keep.DamagedSegment(segment.Path);
    }

    /// <summary>Files and directories that were written to since the last call and are still there.</summary>
    public string[] TakeUnsynced()
    {
        string[] paths = [.. unsynced];
        unsynced.Clear();
        return paths;
    }

    /// <summary>Lets another have the stream. What the files hold is not touched.</summary>
    public void Unlock() => inUse.Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        position.Dispose();
        reader.Dispose();
        writer.Dispose();
        Unlock();
    }

    private Segment ToWrite()
    {
        var last = segments.Count > 0 ? segments[^1] : null;

        if (last is not null && last.Size < segmentSize && (writer.Has(last) || mayGoOn))
        {
            if (!writer.Has(last))
            {
                writer.Begin(last, isNew: false);
            }

            mayGoOn = false;
            return last;
        }

        mayGoOn = false;
        var number = Math.Max(last is null ? Start.Segment : Math.Max(last.Number + 1, Start.Segment), used + 1);
        var segment = new Segment(number, PathOf(number));
        writer.Begin(segment, isNew: true);
        segments.Add(segment);
        unsynced.Add(directory);
        return segment;
    }

    private string PathOf(long number) => Path.Join(directory, Spool.NameOf(number));

    private void Forget(Segment segment)
    {
        reader.Dispose();
        unsynced.Remove(segment.Path);

        if (writer.Has(segment))
        {
            writer.Dispose();
        }

        // The number is not used again: the position may still name it. What lies before it is still to be delivered.
        used = Math.Max(used, segment.Number);
        Start = Start.Segment == segment.Number ? new SpoolPosition(segment.Number + 1, 0) : Start;
        segments.Remove(segment);
    }
}
