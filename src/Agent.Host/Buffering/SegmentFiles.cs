using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Buffering;

/// <summary>
/// The files of one stream: its segments, oldest first, and the position. Knows where records lie and not what becomes of
/// them. Not safe for several threads.
/// </summary>
internal sealed class SegmentFiles : IDisposable
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

    private SegmentFiles(string directory, long limit, FileStream inUse)
    {
        this.directory = directory;
        this.inUse = inUse;
        segmentSize = Spool.SegmentSize(limit);
        position = new PositionFile(directory);
    }

    /// <summary>From where records were not delivered when the stream was opened.</summary>
    public SpoolPosition Start { get; private set; }

    /// <summary>Records that were not completely written when the stream was opened.</summary>
    public long Torn { get; private set; }

    /// <summary>Records that are held.</summary>
    public long Held => segments.Sum(static segment => segment.Held);

    /// <summary>Bytes of all segments.</summary>
    public long Size => segments.Sum(static segment => segment.Size);

    /// <summary>Opens the stream in the directory, which is made when it is not there.</summary>
    public static FSharpResult<SegmentFiles, SpoolError> Open(string directory, long limit, SpoolKeep keep, Action<string> warn)
    {
        FileStream? inUse = null;

        try
        {
            PrivateFiles.MakeDirectory(directory);
            inUse = PrivateFiles.TryLock(Path.Join(directory, "lock"));

            if (inUse is null)
            {
                return FSharpResult<SegmentFiles, SpoolError>.NewError(SpoolError.NewInUse(directory));
            }

            var files = new SegmentFiles(directory, limit, inUse);
            files.Find(keep, warn);
            return FSharpResult<SegmentFiles, SpoolError>.NewOk(files);
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            inUse?.Dispose();
            return FSharpResult<SegmentFiles, SpoolError>.NewError(SpoolError.NewUnusable(directory, error.Message));
        }
    }

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
    public ReadOnlyMemory<byte> Read(Segment segment, long offset) => reader.Read(segment, offset);

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
        if (!position.Write(settled))
        {
            return;
        }

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

    /// <summary>Takes a segment that cannot be read out of the stream.</summary>
    public void MoveAside(Segment segment, SpoolKeep keep)
    {
        Forget(segment);
        keep.DamagedSegment(segment.Path);
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
        var number = last is null ? Start.Segment : Math.Max(last.Number + 1, Start.Segment);
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

        // The number is not used again: the position may still name it.
        Start = Start.Segment > segment.Number ? Start : new SpoolPosition(segment.Number + 1, 0);
        segments.Remove(segment);
    }

    private void Find(SpoolKeep keep, Action<string> warn)
    {
        var found = new List<long>();

        foreach (var path in Directory.EnumerateFiles(directory))
        {
            var isOther = Spool.KindOf(Path.GetFileName(path)).Match(
                segment: number =>
                {
                    found.Add(number);
                    return false;
                },
                otherVersion: static () => true,
                other: static () => false);

            if (isOther)
            {
                warn($"{path} is of another version of the spool's format and is left alone");
            }
        }

        found.Sort();
        var saved = position.Read();
        Start = Spool.Resume(saved, [.. found]);

        foreach (var number in found)
        {
            var segment = new Segment(number, PathOf(number));
            segments.Add(segment);

            if (number < Start.Segment)
            {
                Delete(segment);
            }
            else
            {
                Measure(segment, keep, warn);
            }
        }

        // Else a position that outlived what it points into could, one day, skip what is written there next.
        mayGoOn = position.Write(Start) && segments.Count > 0 && segments[^1].Size > 0;
    }

    private void Measure(Segment segment, SpoolKeep keep, Action<string> warn)
    {
        try
        {
            var from = segment.Number == Start.Segment ? Start.Offset : 0;

            if (from > 0 && !IsRecordStart(segment.Path, from))
            {
                from = 0;
                Start = new SpoolPosition(segment.Number, 0);
            }

            var (records, end, length) = reader.Scan(segment.Path, from);
            (segment.Size, segment.Held) = (end, records);

            if (end < length)
            {
                CutTorn(segment, length, keep, warn);
            }
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            MoveAside(segment, keep);
            warn($"{segment.Path} cannot be read: {error.Message}; it is kept in {keep.DamagedDirectory}");
        }
    }

    private static bool IsRecordStart(string path, long offset)
    {
        using var file = PrivateFiles.Open(path, FileMode.Open, FileAccess.Read);
        Span<byte> before = stackalloc byte[1];
        return offset <= file.Length && RandomAccess.Read(file.SafeFileHandle, before, offset - 1) == 1 && before[0] == (byte)'\n';
    }

    private void CutTorn(Segment segment, long length, SpoolKeep keep, Action<string> warn)
    {
        using var file = PrivateFiles.Open(segment.Path, FileMode.Open, FileAccess.ReadWrite);
        var torn = new byte[(int)Math.Min(length - segment.Size, segmentSize)];
        var count = RandomAccess.Read(file.SafeFileHandle, torn, segment.Size);
        keep.Damaged(torn.AsSpan(0, count));
        file.SetLength(segment.Size);
        Torn++;
        warn($"{segment.Path} ended in a record that was not completely written; it is kept in {keep.DamagedDirectory}");
    }
}
