using Agent.Core;

namespace Agent.Host.Diagnosing;

/// <summary>
/// One check on a thread of its own, begun at once. A check that hangs is left behind; it ends with the program.
/// </summary>
internal sealed class Reading<T>
{
    private readonly AgentClock clock;
    private readonly Thread thread;
    private readonly TimeSpan startedAt;
    private T? value;
    private TimeSpan duration;

    /// <summary>Begins; <paramref name="read"/> does not throw for what a machine may do.</summary>
    public Reading(string name, AgentClock clock, Func<T> read)
    {
        this.clock = clock;
        startedAt = clock.Elapsed;
        thread = new Thread(
            () =>
            {
                var begin = clock.Elapsed;
                value = read();
                duration = clock.Elapsed - begin;
            },
            maxStackSize: 512 * 1024)
        {
            IsBackground = true,
            Name = name,
        };

        Threads.Begin(thread);
    }

    /// <summary>How long it took, or has been taking.</summary>
    public TimeSpan Duration => thread.IsAlive ? clock.Elapsed - startedAt : duration;

    /// <summary>Waits until so long after its beginning; the fallback when it has not ended by then.</summary>
    public T Wait(TimeSpan limit, T fallback)
    {
        var left = clock.ToReal(startedAt + limit - clock.Elapsed);
        return thread.Join(left > TimeSpan.Zero ? left : TimeSpan.Zero) ? value! : fallback;
    }
}
