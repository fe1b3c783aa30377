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
    private CancellationTokenSource? source;
    private CancellationToken linked;
    private bool isUnderWay;
    private TimeSpan until;
    private bool isStarted;
    private bool isStopped;

    /// <summary>
    /// Begins a request; the token is cancelled by <paramref name="stop"/> as well. It is the same one for all requests until one
    /// takes too long.
    /// </summary>
    public CancellationToken Begin(CancellationToken stop)
    {
        lock (gate)
        {
            if (source is null || linked != stop)
            {
                source = CancellationTokenSource.CreateLinkedTokenSource(stop);
                linked = stop;
            }

            // Nobody needs to be woken: the thread never sleeps for longer than a request may take.
            isUnderWay = true;
            until = clock.Elapsed + limit;

            if (!isStarted)
            {
                NetworkThreads.Start(Watch, 256 * 1024, "time limit");
                isStarted = true;
            }

            return source.Token;
        }
    }

    /// <summary>The request is over.</summary>
    public void End()
    {
        lock (gate)
        {
            isUnderWay = false;
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
            late.Cancel();

            // Or the token that it is linked to would hold it for good.
            late.Dispose();
        }
    }

    // Whatever becomes of the request in this moment, the next one has another source.
    private CancellationTokenSource? TakeLate()
    {
        lock (gate)
        {
            while (!isStopped)
            {
                var rest = isUnderWay ? until - clock.Elapsed : limit;

                if (rest <= TimeSpan.Zero)
                {
                    var late = source;
                    (source, isUnderWay) = (null, false);
                    return late;
                }

                clock.Wait(gate, rest);
            }

            return null;
        }
    }
}
