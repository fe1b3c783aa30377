using Agent.Core;
using Agent.Outbound;

namespace Agent.Host.Buffering;

/// <summary>Reading: the next sample that can be sent, and what becomes of records and segments that cannot.</summary>
internal sealed partial class SpoolDirectory
{
    // Behind the current one, up to the first that is damaged, which has its turn when it is the oldest.
    private IEnumerable<Entry> Following(int most, int bytes)
    {
        var place = current!.End ?? head;

        for (; most > 0 && files?.Seek(ref place) is { } segment; most--)
        {
            if (ReadAt(segment, place) is not { } entry || (bytes -= entry.Sample!.Body.Length) < 0)
            {
                yield break;
            }

            yield return entry;
            place = entry.End!.Value;
        }

        for (var next = current.End is null ? memory.First?.Next : memory.First; next is not null && most > 0; next = next.Next, most--)
        {
            if ((bytes -= next.Value.Sample!.Body.Length) < 0)
            {
                yield break;
            }

            yield return next.Value;
        }
    }

    // None for a damaged record, and where the disk refuses.
    private Entry? ReadAt(Segment segment, SpoolPosition place)
    {
        try
        {
            return files!.Read(segment, place.Offset).Span is [.. var body, (byte)'\n'] && Spool.IsIntact(body)
                ? new Entry(new EncodedSample(body.ToArray()))
                {
                    Place = place,
                    End = new SpoolPosition(place.Segment, place.Offset + body.Length + 1),
                }
                : null;
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            return null;
        }
    }

    private Entry? Next()
    {
        while (files?.Seek(ref head) is { } segment)
        {
            if (newest is { IsGone: false, Sample: not null, Place: { } place } written && place.Equals(head))
            {
                return written;
            }

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
            var isKept = keep.Damaged(record);
            warn($"{segment.Path} holds a damaged record at byte {head.Offset}; it is {(isKept ? $"kept in {keep.DamagedDirectory}" : "dropped")}");
        }

        // Without a line end somebody cut the file: nothing of it is left.
        head = record is [.., (byte)'\n'] ? end : new SpoolPosition(segment.Number, segment.Size);
    }

    private void PassUnreadable(Segment segment, Exception error)
    {
        var lost = segment.Held;
        dropped = dropped with { Damaged = dropped.Damaged + lost };
        Drop(segment);
        var isKept = files!.MoveAside(segment, keep);
        Save();
        warn(
            error is FileNotFoundException
                ? $"{segment.Path} is gone, and its {lost} samples with it"
                : $"{segment.Path} cannot be read: {FaultReason.Of(error)}; with its {lost} samples it is "
                + (isKept ? $"kept in {keep.DamagedDirectory}" : "left there"));
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

        foreach (var entry in behind.Where(entry => entry.Place?.Segment == segment.Number))
        {
            entry.IsGone = true;
        }

        if (head.Segment <= segment.Number)
        {
            head = new SpoolPosition(segment.Number + 1, 0);
        }
    }
}
