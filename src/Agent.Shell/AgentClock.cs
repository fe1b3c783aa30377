namespace Agent.Shell;

/// <summary>
/// The agent's time: the wall clock for time stamps, a monotonic clock for everything that is measured or waited for.
/// A scale above 1 makes the monotonic clock run that much faster, which divides every duration; the wall clock stays.
/// </summary>
internal class AgentClock : TimeProvider
{
    private readonly int scale;
    private readonly long origin;
    private DateTimeOffset? zero;

    /// <summary>A clock that runs <paramref name="scale"/> times as fast as time, from zero.</summary>
    public AgentClock(int scale = 1)
    {
        this.scale = scale;
        origin = base.GetTimestamp();
    }

    /// <inheritdoc/>
    public override long GetTimestamp() => (base.GetTimestamp() - origin) * scale;

    /// <summary>How long this clock has been running.</summary>
    public virtual TimeSpan Elapsed => GetElapsedTime(0);

    /// <summary>
    /// Time stamps whose differences are durations of this clock: the wall clock as it was at the first of them, and on from there. For what
    /// is judged over minutes, which must not take a wall clock that is set for time that has passed.
    /// </summary>
    public DateTimeOffset SteadyNow => (zero ??= GetUtcNow() - Elapsed) + Elapsed;

    /// <inheritdoc/>
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        base.CreateTimer(callback, state, ToReal(dueTime), ToReal(period));

    /// <summary>How long a duration of this clock takes, for libraries that wait by themselves.</summary>
    public TimeSpan ToReal(TimeSpan duration) =>
        duration == Timeout.InfiniteTimeSpan ? duration : duration / scale;

    /// <summary>
    /// Gives up the lock on <paramref name="gate"/> until somebody pulses it or the duration is over. May return a
    /// little early or late; the caller looks at <see cref="Elapsed"/> again.
    /// </summary>
    public virtual void Wait(object gate, TimeSpan duration)
    {
        if (duration == Timeout.InfiniteTimeSpan)
        {
            Monitor.Wait(gate);
            return;
        }

        // Whole milliseconds, rounded up: rounded down, the last fraction of one would be a busy loop.
        var milliseconds = Math.Clamp(Math.Ceiling(ToReal(duration).TotalMilliseconds), 0, int.MaxValue);
        Monitor.Wait(gate, (int)milliseconds);
    }
}
