namespace Agent.Dashboard.Store;

/// <summary>Thrown where an answer takes more work than anyone may ask for.</summary>
/// <param name="limit">So long it may have taken.</param>
internal sealed class WorkLimitException(TimeSpan limit) : Exception("It takes more work than one answer may.")
{
    /// <summary>So long it may have taken.</summary>
    public TimeSpan Limit { get; } = limit;
}

/// <summary>How long something may be worked on, for somebody who still waits for it. It begins now.</summary>
internal sealed class WorkLimit(AgentClock clock, TimeSpan limit, CancellationToken stop)
{
    private readonly long start = clock.GetTimestamp();

    /// <summary>Goes on only within the limit.</summary>
    /// <exception cref="WorkLimitException">The time is over.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    public void Check()
    {
        stop.ThrowIfCancellationRequested();

        if (clock.GetElapsedTime(start) > limit)
        {
            throw new WorkLimitException(limit);
        }
    }
}
