using Agent.Core;

namespace Agent.Host.Buffering;

/// <summary>The queue: what is added, delivered, set aside and taken back.</summary>
internal sealed partial class SpoolDirectory
{
    /// <inheritdoc/>
    public EncodedSample? Oldest
    {
        get
        {
            lock (gate)
            {
                current = current is { IsGone: false } ? current : Next();
                return current?.Sample;
            }
        }
    }

    /// <inheritdoc/>
    public EncodedSample? Newest
    {
        get
        {
            lock (gate)
            {
                return memory.Last is { } last ? last.Value.Sample
                    : newest is { IsGone: false, Place: { } place } && place.CompareTo(head) >= 0 ? newest.Sample
                    : null;
            }
        }
    }

    /// <inheritdoc/>
    public EncodedSample[] Behind(int most, int bytes)
    {
        lock (gate)
        {
            behind = Oldest is null ? [] : [.. Following(most, bytes)];
            return [.. behind.Select(static entry => entry.Sample!)];
        }
    }

    /// <inheritdoc/>
    public void Add(EncodedSample sample)
    {
        lock (gate)
        {
            memory.AddLast(new Entry(sample));
            MoveToDisk();

            if (memory.Count > memoryCapacity)
            {
                memory.First!.Value.IsGone = true;
                memory.RemoveFirst();
                dropped = dropped with { Overflowed = dropped.Overflowed + 1 };
            }

            foreach (var segment in files?.Surplus(limit) ?? [])
            {
                Evict(segment);
            }
        }
    }

    /// <inheritdoc/>
    public void Remove(EncodedSample delivered)
    {
        lock (gate)
        {
            Turn(delivered);

            if (current is { IsGone: true })
            {
                // It had to go while its request was under way, and was not lost after all.
                dropped = dropped with { Overflowed = dropped.Overflowed - 1 };
                current = null;
            }
            else
            {
                Pass(entry => Segment(entry).Held--);
            }

            Settle();
        }
    }

    /// <inheritdoc/>
    public void SetAside(EncodedSample refused, string reason)
    {
        lock (gate)
        {
            Turn(refused);

            if (current is { IsGone: false } entry)
            {
                entry.Reason = reason;
                aside.Add(entry);

                // It stays on disk, and is read again when it is settled.
                Pass(static onDisk => onDisk.Sample = null);
            }
        }
    }

    /// <inheritdoc/>
    public void Settle()
    {
        lock (gate)
        {
            foreach (var refused in aside)
            {
                Settle(refused);
            }

            aside.Clear();
            Save();
        }
    }

    /// <inheritdoc/>
    public void TakeBack()
    {
        lock (gate)
        {
            behind = [];
            for (var i = aside.Count - 1; i >= 0; i--)
            {
                if (aside[i].Place is { } place)
                {
                    head = place;
                }
                else
                {
                    memory.AddFirst(aside[i]);
                }
            }

            aside.Clear();
            current = null;
        }
    }

    // What is before the oldest that may have to be sent again is done with.
    private void Save() => files?.Save(aside.Find(static entry => entry.Place is not null)?.Place ?? head);

    // The sample is the current one, or one behind it whose turn has come.
    private void Turn(EncodedSample sample)
    {
        if (current is null && Array.Find(behind, entry => ReferenceEquals(entry.Sample, sample)) is { } next)
        {
            current = next;
        }
    }

    // Leaves the current sample behind, which was delivered or set aside.
    private void Pass(Action<Entry> onDisk)
    {
        if (current is { End: { } end } entry)
        {
            head = end;
            onDisk(entry);
        }
        else if (current is not null)
        {
            memory.Remove(current);
        }

        newest = ReferenceEquals(newest, current) ? null : newest;
        current = null;
    }

    private Segment Segment(Entry entry) => files!.SegmentOf(entry.Place!.Value);

    private void Settle(Entry refused)
    {
        dropped = dropped with { Refused = dropped.Refused + 1 };

        if (refused.Place is not { } place)
        {
            keep.Refused(refused.Reason, refused.Sample!.Body.Span);
            return;
        }

        var segment = Segment(refused);
        segment.Held--;

        try
        {
            keep.Refused(refused.Reason, files!.Read(segment, place.Offset).Span.TrimEnd((byte)'\n'));
        }
        catch (Exception error) when (PrivateFiles.IsFault(error))
        {
            // The segment went bad since; the next read of it says so.
        }
    }
}
