using Agent.Receiver;

namespace Agent.Dashboard.Store;

/// <summary>A minute of which every sample was seen as it came, in the order of time: rolling it up needs no reading.</summary>
internal sealed record OpenMinute(RollupBuilder Builder)
{
    /// <summary>What was said in it.</summary>
    public VerdictMinuteBuilder Said { get; } = new();

    /// <summary>The key of its newest sample.</summary>
    public long LastKey { get; set; }

    /// <summary>When the receiver got that, in microseconds.</summary>
    public long LastReceived { get; set; }
}

/// <summary>The open minutes of a server. The writer's thread alone looks at them.</summary>
internal sealed class OpenMinutes
{
    /// <summary>As many as one server sends at a time, over several connections. A minute takes some three kilobytes.</summary>
    private const int Most = 8;

    private readonly SortedList<long, OpenMinute> byMinute = [];

    /// <summary>The minute, if it is open; else null.</summary>
    public OpenMinute? Find(long minute) => byMinute.GetValueOrDefault(minute);

    /// <summary>Opens a minute; its first sample is about to come. The oldest one is given up where there are too many.</summary>
    public OpenMinute Open(long minute, Layout layout)
    {
        if (byMinute.Count >= Most)
        {
            byMinute.RemoveAt(0);
        }

        return byMinute[minute] = new OpenMinute(new RollupBuilder(layout));
    }

    /// <summary>Closes a minute, if it is open: the same, or null.</summary>
    public OpenMinute? Close(long minute) => byMinute.Remove(minute, out var open) ? open : null;

    /// <summary>Closes all.</summary>
    public void Clear() => byMinute.Clear();
}
