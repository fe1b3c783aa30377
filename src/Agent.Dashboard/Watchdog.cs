using Agent.Receiver;

namespace Agent.Dashboard;

/// <summary>
/// What systemd hears of the dashboard: READY once it listens, STATUS when something changes, WATCHDOG for as long as the thread that stores
/// is alive and the disk answers, STOPPING. A full disk is no reason to be started anew; one that hangs is.
/// </summary>
internal sealed class Watchdog(Systemd systemd, Func<string> status, AgentClock clock)
{
    /// <summary>A status is told so often at most.</summary>
    private static readonly TimeSpan StatusPeriod = TimeSpan.FromSeconds(5);

    private TimeSpan fedAt;
    private TimeSpan statedAt;
    private string stated = "";

    /// <summary>It listens.</summary>
    public void Ready() => systemd.Notify("READY=1");

    /// <summary>It is about to end.</summary>
    public void Stopping() => systemd.Notify("STOPPING=1");

    /// <summary>The thread that stores is alive; on that thread, at least once a second.</summary>
    public void Beat()
    {
        if (!systemd.IsListening)
        {
            return;
        }

        var now = clock.Elapsed;

        // A third, so that one datagram may be lost.
        if (systemd.Watchdog is { } limit && now - fedAt >= limit / 3)
        {
            fedAt = now;
            systemd.Notify("WATCHDOG=1");
        }

        if (now - statedAt >= StatusPeriod)
        {
            statedAt = now;
            State(status());
        }
    }

    private void State(string text)
    {
        if (text != stated && systemd.Notify("STATUS=" + text))
        {
            stated = text;
        }
    }
}
