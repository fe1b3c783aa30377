using Agent.Core;
using Agent.Outbound;
using Microsoft.FSharp.Core;

namespace Agent.Shell;

/// <summary>Opening a stream: what an earlier run left in it, and what of that is whole.</summary>
internal sealed partial class SegmentFiles
{
    /// <summary>Opens the stream in the directory, which is made when it is not there.</summary>
    public static FSharpResult<SegmentFiles, SpoolError> Open(string directory, long limit, SpoolKeep keep, Action<string> warn)
    {
        FileStream? inUse = null;

        try
        {
            PrivateFiles.MakeDirectory(directory);
            PrivateFiles.CheckDirectory(directory);
            inUse = PrivateFiles.TryLock(Path.Join(directory, "lock"));

            if (inUse is null)
            {
                return FSharpResult<SegmentFiles, SpoolError>.NewError(SpoolError.NewInUse(directory));
            }

            var files = new SegmentFiles(directory, limit, inUse, warn);
            files.Find(keep, warn);
            return FSharpResult<SegmentFiles, SpoolError>.NewOk(files);
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            inUse?.Dispose();
            return FSharpResult<SegmentFiles, SpoolError>.NewError(SpoolError.NewUnusable(directory, FaultReason.Of(error)));
        }
    }

    private void Find(SpoolKeep keep, Action<string> warn)
    {
        var found = Numbers(warn);
        Start = Spool.Resume(position.Read(), found);

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

    private long[] Numbers(Action<string> warn)
    {
        var numbers = new List<long>();

        foreach (var path in Directory.EnumerateFiles(directory))
        {
            var isOther = Spool.KindOf(Path.GetFileName(path)).Match(
                segment: number =>
                {
                    numbers.Add(number);
                    return false;
                },
                otherVersion: static () => true,
                other: static () => false);

            if (isOther)
            {
                warn($"{path} is in another version of the spool's format and is left alone");
            }
        }

        numbers.Sort();
        return [.. numbers];
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
            var isKept = MoveAside(segment, keep);
            warn($"{segment.Path} cannot be read: {FaultReason.Of(error)}; it is {(isKept ? $"kept in {keep.DamagedDirectory}" : "left there")}");
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
        var isKept = keep.Damaged(torn.AsSpan(0, count));
        file.SetLength(segment.Size);
        Torn++;
        warn($"{segment.Path} ended in an incompletely written record; it is {(isKept ? $"kept in {keep.DamagedDirectory}" : "dropped")}");
    }
}
