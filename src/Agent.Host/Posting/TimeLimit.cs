namespace Agent.Host.Posting;

/// <summary>
/// Breaks off the one request that is under way when it takes too long. The class library's timers would wake its thread
/// pool whenever the limit of an earlier request is over, though that was answered long since, and the pool a thread that looks
/// after it. This thread wakes once in the limit.
/// </summary>
/// <param name="limit">The longest that a request may take.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class TimeLimit(TimeSpan limit, AgentClock clock) : IDisposable
{
    private readonly object gate = new();
    private CancellationTokenSource? underWay;
    private TimeSpan until;
    private bool isStarted;
    private bool isStopped;

    /// <summary>Begins a request; its token is cancelled by <paramref name="stop"/> as well.</summary>
    public CancellationTokenSource Begin(CancellationToken stop)
    {
        var request = CancellationTokenSource.CreateLinkedTokenSource(stop);

        lock (gate)
        {
            // Nobody needs to be woken: the thread never sleeps for longer than a request may take.
            underWay = request;
            until = clock.Elapsed + limit;

            if (!isStarted)
            {
                isStarted = true;
                new Thread(Watch, maxStackSize: 256 * 1024) { IsBackground = true, Name = "time limit" }.Start();
            }
        }

        return request;
    }

    /// <summary>The request is over.</summary>
    public void End()
    {
        lock (gate)
        {
            underWay = null;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (gate)
        {
            isStopped = true;
            Monitor.PulseAll(gate);
        }
    }

    private void Watch()
    {
        while (TakeLate() is { } late)
        {
            try
            {
                late.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // It was answered at the last moment.
            }
        }
    }

    private CancellationTokenSource? TakeLate()
    {
        lock (gate)
        {
            while (!isStopped)
            {
                var rest = underWay is null ? limit : until - clock.Elapsed;

                if (rest <= TimeSpan.Zero)
                {
                    var late = underWay;
                    underWay = null;
                    return late;
                }

                clock.Wait(gate, rest);
            }

            return null;
        }
    }
}
