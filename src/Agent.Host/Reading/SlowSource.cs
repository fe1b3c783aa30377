namespace Agent.Host.Reading;

/// <summary>One reading, and how long to wait before the next.</summary>
/// <param name="Value">What was read.</param>
/// <param name="Next">The wait; infinite ends the source, and its last reading stays valid.</param>
internal readonly record struct SlowReading<T>(T Value, TimeSpan Next);

/// <summary>
/// A source that may be slow or hang. It is read on a thread of its own, and whoever wants to know takes its newest
/// reading without waiting.
/// </summary>
/// <param name="name">For the thread.</param>
/// <param name="clock">The monotonic clock.</param>
/// <param name="longestAge">A reading that is older is not told as the present; infinite where none is too old.</param>
/// <param name="read">Reads once; it does not throw for what a machine may do.</param>
/// <param name="onDefect">Takes what it throws all the same, which then costs this reading and nothing else.</param>
internal sealed class SlowSource<T>(
    string name, AgentClock clock, TimeSpan longestAge, Func<SlowReading<T>> read, Action<string, Exception>? onDefect = null)
    where T : class
{
    /// <summary>A reading that has not returned after so long hangs.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private const long NotReading = -1;

    /// <summary>From a reading that ended in a defect to the next attempt.</summary>
    private static readonly TimeSpan AfterDefect = TimeSpan.FromMinutes(1);

    // For waiting. What was read is asked for at every sample and is looked at without it.
    private readonly object gate = new();
    private volatile Taken? newest;
    private long since;
    private long readingSince = NotReading;
    private volatile bool started;
    private volatile bool stopped;
    private bool wanted;

    /// <summary>Starts reading.</summary>
    public void Start()
    {
        Volatile.Write(ref since, clock.Elapsed.Ticks);
        started = true;
        Threads.Start(Loop, 256 * 1024, name);
    }

    /// <summary>Ends the thread after the reading that is under way, without waiting for it.</summary>
    public void Stop()
    {
        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Asks for a reading now instead of at the end of the wait.</summary>
    public void Refresh()
    {
        lock (gate)
        {
            wanted = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>The newest reading, if it is young enough.</summary>
    public T? Newest =>
        newest is { } taken && (taken.IsFinal || longestAge == Timeout.InfiniteTimeSpan || clock.Elapsed - taken.At <= longestAge)
            ? taken.Value
            : null;

    /// <summary>The newest reading, however old: what was wrong with it is wrong until another says otherwise.</summary>
    public T? Last => newest?.Value;

    /// <summary>True while a reading does not return, and what is there is too old to be told. For sources that wait less than that.</summary>
    public bool IsOverdue =>
        started && !stopped && newest is not { IsFinal: true } && clock.Elapsed.Ticks - Volatile.Read(ref since) > longestAge.Ticks;

    /// <summary>True while a reading does not return, however long the source waits between two.</summary>
    public bool Hangs =>
        !stopped && Volatile.Read(ref readingSince) is var begin and not NotReading && clock.Elapsed.Ticks - begin > Patience.Ticks;

    /// <summary>The name that it was given.</summary>
    public string Name => name;

    /// <summary>What the newest reading took; null before the first.</summary>
    public TimeSpan? Took => newest?.Took;

    /// <summary>Waits for the first reading until the given instant of the clock; infinite for as long as it takes.</summary>
    public void WaitForFirst(TimeSpan until)
    {
        lock (gate)
        {
            while (newest is null && !stopped)
            {
                if (until == Timeout.InfiniteTimeSpan)
                {
                    clock.Wait(gate, until);
                }
                else if (clock.Elapsed < until)
                {
                    clock.Wait(gate, until - clock.Elapsed);
                }
                else
                {
                    return;
                }
            }
        }
    }

    private void Loop()
    {
        while (true)
        {
            var begin = clock.Elapsed;
            Volatile.Write(ref readingSince, begin.Ticks);
            var reading = Guarded();
            Volatile.Write(ref readingSince, NotReading);

            lock (gate)
            {
                var end = clock.Elapsed;
                var isFinal = reading is { Next: var next } && next == Timeout.InfiniteTimeSpan;

                if (reading is { } good)
                {
                    newest = new Taken(good.Value, end, end - begin, isFinal);
                    Volatile.Write(ref since, end.Ticks);
                    Monitor.PulseAll(gate);
                }

                var until = end + (reading?.Next ?? AfterDefect);

                while (!isFinal && !stopped && !wanted && clock.Elapsed < until)
                {
                    clock.Wait(gate, until - clock.Elapsed);
                }

                if (stopped || isFinal)
                {
                    return;
                }

                wanted = false;
            }
        }
    }

    private SlowReading<T>? Guarded()
    {
        try
        {
            return read();
        }
        catch (Exception defect) when (onDefect is not null)
        {
            onDefect(name, defect);
            return null;
        }
    }

    private sealed record Taken(T Value, TimeSpan At, TimeSpan Took, bool IsFinal);
}
