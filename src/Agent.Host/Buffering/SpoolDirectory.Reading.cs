using Agent.Core;

namespace Agent.Host.Buffering;

/// <summary>Reading: the next sample that can be sent, and what becomes of records and segments that cannot.</summary>
internal sealed partial class SpoolDirectory
{
    private Entry? Next()
    {
        while (files?.Seek(ref head) is { } segment)
        {
            try
            {
                var record = files.Read(segment, head.Offset);
                var end = new SpoolPosition(segment.Number, head.Offset + record.Length);

                if (record.Span is [.. var body, (byte)'\n'] && Spool.IsIntact(body))
                {
                    return new Entry(new EncodedSample(body.ToArray())) { Place = head, End = end };
                }

                PassDamaged(segment, record.Span, end);
            }
            catch (Exception error) when (PrivateFiles.IsFault(error))
            {
                PassUnreadable(segment, error);
            }
        }

        return memory.First?.Value;
    }

    private void PassDamaged(Segment segment, ReadOnlySpan<byte> record, SpoolPosition end)
    {
        // One that was passed before is met again when those around it are taken back.
        if (head.CompareTo(damagedUpTo) >= 0)
        {
            var isWhole = record is [.., (byte)'\n'];
            var lost = isWhole ? 1 : segment.Held - aside.Count(entry => entry.Place?.Segment == segment.Number);
            segment.Held -= lost;
            damagedUpTo = isWhole ? end : new SpoolPosition(segment.Number, segment.Size);
            dropped = dropped with { Damaged = dropped.Damaged + lost };
            keep.Damaged(record);
            warn($"{segment.Path} holds a damaged record at byte {head.Offset}; it is kept in {keep.DamagedDirectory}");
        }

        // Without a line end somebody cut the file: nothing of it is left.
        head = record is [.., (byte)'\n'] ? end : new SpoolPosition(segment.Number, segment.Size);
    }

    private void PassUnreadable(Segment segment, Exception error)
    {
        var lost = segment.Held;
        dropped = dropped with { Damaged = dropped.Damaged + lost };
        Drop(segment);
        files!.MoveAside(segment, keep);
        Save();
        warn($"{segment.Path} cannot be read: {error.Message}; with its {lost} samples it is kept in {keep.DamagedDirectory}");
    }

    private void Evict(Segment segment)
    {
        dropped = dropped with { Overflowed = dropped.Overflowed + segment.Held };
        Drop(segment);
        files!.Delete(segment);
        Save();
    }

    // Nothing of the segment can be delivered or taken back any more.
    private void Drop(Segment segment)
    {
        aside.RemoveAll(entry => entry.Place?.Segment == segment.Number);

        if (current is not null && current.Place?.Segment == segment.Number)
        {
            current.IsGone = true;
        }

        if (head.Segment <= segment.Number)
        {
            head = new SpoolPosition(segment.Number + 1, 0);
        }
    }
}
