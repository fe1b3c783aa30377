namespace Agent.Host.Buffering;

/// <summary>An outbox in bounded memory. When it is full the oldest sample goes.</summary>
internal sealed class Outbox(int capacity) : IOutbox
{
    /// <summary>So many samples fit: half an hour at the default interval.</summary>
    public const int DefaultCapacity = 900;

    private readonly Lock gate = new();
    private readonly LinkedList<EncodedSample> waiting = new();
    private readonly List<EncodedSample> aside = [];
    private EncodedSample? lost;
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
                lost = null;
                return waiting.First?.Value;
            }
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
                lost ??= waiting.First!.Value;
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
            var found = !waiting.Remove(delivered) && ReferenceEquals(lost, delivered) ? 1 : 0;
            dropped = dropped with { Overflowed = dropped.Overflowed - found, Refused = dropped.Refused + aside.Count };
            aside.Clear();
            lost = null;
        }
    }

    /// <inheritdoc/>
    public void SetAside(EncodedSample refused, string reason)
    {
        lock (gate)
        {
            if (waiting.Remove(refused))
            {
                aside.Add(refused);
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
}
