namespace Agent.Host.Buffering;

/// <summary>An outbox in bounded memory. When it is full the oldest sample goes.</summary>
internal sealed class Outbox(int capacity) : IOutbox
{
    /// <summary>So many samples fit: half an hour at the default interval.</summary>
    public const int DefaultCapacity = 900;

    private readonly Lock gate = new();
    private readonly LinkedList<EncodedSample> waiting = new();
    private readonly List<EncodedSample> aside = [];
    private readonly List<EncodedSample> lost = [];
    private int underWay = 1;
    private DropCounts dropped;

    /// <inheritdoc/>
    public long Count
    {
        get
        {
            lock (gate)
            {
                return waiting.Count + aside.Count;
            }
        }
    }

    /// <inheritdoc/>
    public long Kept => 0;

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
    public string Limit => $"{capacity} samples in memory";

    /// <inheritdoc/>
    public EncodedSample? Oldest
    {
        get
        {
            lock (gate)
            {
                lost.Clear();
                underWay = 1;
                return waiting.First?.Value;
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
                return waiting.Last?.Value;
            }
        }
    }

    /// <inheritdoc/>
    public EncodedSample[] Behind(int most, int bytes)
    {
        lock (gate)
        {
            var found = new List<EncodedSample>();

            for (var next = waiting.First?.Next; next is not null && found.Count < most && (bytes -= next.Value.Body.Length) >= 0; next = next.Next)
            {
                found.Add(next.Value);
            }

            underWay = 1 + found.Count;
            return [.. found];
        }
    }

    /// <inheritdoc/>
    public void Add(EncodedSample sample)
    {
        lock (gate)
        {
            waiting.AddLast(sample);

            if (waiting.Count > capacity)
            {
                if (lost.Count < underWay)
                {
                    lost.Add(waiting.First!.Value);
                }

                waiting.RemoveFirst();
                dropped = dropped with { Overflowed = dropped.Overflowed + 1 };
            }
        }
    }

    /// <inheritdoc/>
    public void Remove(EncodedSample delivered)
    {
        lock (gate)
        {
            // One that had to go while its request was under way was not lost after all.
            if (!TryRemove(delivered) && lost.Remove(delivered))
            {
                dropped = dropped with { Overflowed = dropped.Overflowed - 1 };
            }

            Settle();
        }
    }

    /// <inheritdoc/>
    public void SetAside(EncodedSample refused, string reason)
    {
        lock (gate)
        {
            if (TryRemove(refused))
            {
                aside.Add(refused);
            }
        }
    }

    /// <inheritdoc/>
    public void Settle()
    {
        lock (gate)
        {
            if (aside.Count > 0)
            {
                dropped = dropped with { Refused = dropped.Refused + aside.Count };
                aside.Clear();
            }
        }
    }

    /// <inheritdoc/>
    public void TakeBack()
    {
        lock (gate)
        {
            for (var i = aside.Count - 1; i >= 0; i--)
            {
                waiting.AddFirst(aside[i]);
            }

            aside.Clear();
        }
    }

    /// <inheritdoc/>
    public void Flush()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    // It is nearly always the oldest.
    private bool TryRemove(EncodedSample sample)
    {
        if (!ReferenceEquals(waiting.First?.Value, sample))
        {
            return waiting.Remove(sample);
        }

        waiting.RemoveFirst();
        return true;
    }
}
