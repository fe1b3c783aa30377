using Agent.Core;

namespace Agent.Host.Buffering;

/// <summary>What happens between the queue and its disk.</summary>
internal sealed partial class SpoolDirectory
{
    /// <inheritdoc/>
    public void Flush()
    {
        if (files is null)
        {
            TryAgain();
        }
        else if (clock.Elapsed - syncedAt >= SyncPeriod && Count > 0)
        {
            syncedAt = clock.Elapsed;
            Sync();
        }
    }

    // Outside the lock: a slow disk must not hold up the thread that samples.
    private void Sync()
    {
        string[] paths;

        lock (gate)
        {
            paths = files?.TakeUnsynced() ?? [];
        }

        var failed = paths.Where(static path => !PrivateFiles.Sync(path)).ToArray();

        if (failed.Length > 0 && !syncFails)
        {
            warn($"{failed[0]} may not survive a loss of power: the disk does not confirm what was written");
        }

        syncFails = failed.Length > 0 || (syncFails && paths.Length == 0);
    }

    // Opening reads what an earlier run left, so it is done outside the lock as well.
    private void TryAgain()
    {
        if (clock.Elapsed - triedAt < RetryPeriod)
        {
            return;
        }

        triedAt = clock.Elapsed;
        var opened = SegmentFiles.Open(directory, limit, keep, warn);

        if (opened.IsError)
        {
            return;
        }

        lock (gate)
        {
            // An earlier run's samples go first.
            TakeBack();
            Use(opened.ResultValue);
            MoveToDisk();
        }

        warn($"{directory} can be used again");
    }

    private void MoveToDisk()
    {
        if (files is null)
        {
            return;
        }

        foreach (var refused in aside)
        {
            if (refused.Place is null)
            {
                if (!TryAppend(refused))
                {
                    return;
                }

                refused.Sample = null;
                head = refused.End!.Value;
            }
        }

        while (memory.First is { } oldest && TryAppend(oldest.Value))
        {
            memory.RemoveFirst();
        }
    }

    private bool TryAppend(Entry entry)
    {
        try
        {
            var body = entry.Sample!.Body;
            var place = files!.Append(body);
            entry.Place = place;
            entry.End = new SpoolPosition(place.Segment, place.Offset + body.Length + 1);

            if (diskRefuses)
            {
                diskRefuses = false;
                warn($"{directory} can be written to again");
            }

            return true;
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            if (!diskRefuses)
            {
                diskRefuses = true;
                warn($"{directory} cannot be written to: {error.Message}; samples wait in memory, {memoryCapacity} at most");
            }

            return false;
        }
    }

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
