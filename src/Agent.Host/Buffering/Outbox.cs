namespace Agent.Host.Buffering;

/// <summary>One request body, encoded once, without the token.</summary>
/// <param name="CollectedAt">When its counters were read.</param>
/// <param name="Body">UTF-8 JSON on one line.</param>
internal sealed record EncodedSample(DateTimeOffset CollectedAt, ReadOnlyMemory<byte> Body);

/// <summary>
/// The samples that are not delivered yet, oldest first, in bounded memory. When it is full the oldest goes, and is
/// counted. Safe for one thread that adds and one that takes.
/// </summary>
internal sealed class Outbox(int capacity)
{
    /// <summary>So many samples fit: half an hour at the default interval.</summary>
    public const int DefaultCapacity = 900;

    private readonly Lock gate = new();
    private readonly LinkedList<EncodedSample> waiting = new();
    private readonly List<EncodedSample> aside = [];

    /// <summary>Samples that are held.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return waiting.Count + aside.Count;
            }
        }
    }

    /// <summary>Samples that went because the outbox was full.</summary>
    public long Overflowed { get; private set; }

    /// <summary>Samples that went because the webapp refused them.</summary>
    public long Refused { get; private set; }

    /// <summary>Adds the newest sample; true when the oldest had to go for it.</summary>
    public bool Add(EncodedSample sample)
    {
        lock (gate)
        {
            waiting.AddLast(sample);

            if (waiting.Count <= capacity)
            {
                return false;
            }

            waiting.RemoveFirst();
            Overflowed++;
            return true;
        }
    }

    /// <summary>The oldest sample, which stays until it is removed; null when there is none.</summary>
    public EncodedSample? Oldest
    {
        get
        {
            lock (gate)
            {
                return waiting.First?.Value;
            }
        }
    }

    /// <summary>Removes a delivered sample. With it those put aside before are known to be refused for what they are.</summary>
    public void Remove(EncodedSample delivered)
    {
        lock (gate)
        {
            waiting.Remove(delivered);
            Refused += aside.Count;
            aside.Clear();
        }
    }

    /// <summary>Takes a refused sample out of the way of the next one.</summary>
    public void SetAside(EncodedSample refused)
    {
        lock (gate)
        {
            if (waiting.Remove(refused))
            {
                aside.Add(refused);
            }
        }
    }

    /// <summary>Puts the samples that were set aside back to the head, in their order.</summary>
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
}
