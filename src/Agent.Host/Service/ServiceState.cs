using System.Globalization;
using System.Reactive.Concurrency;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Service;

/// <summary>
/// What systemd hears of the agent: READY once a sample was taken, STATUS when something changes, WATCHDOG for as long
/// as samples are being taken, STOPPING. Safe for all threads.
/// </summary>
/// <param name="systemd">Who listens.</param>
/// <param name="interval">From one sample to the next.</param>
/// <param name="waiting">The number of samples that wait for delivery.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class ServiceState(Systemd systemd, TimeSpan interval, Func<long> waiting, AgentClock clock)
{
    /// <summary>The shortest time between two statuses that differ only in their numbers.</summary>
    public static readonly TimeSpan StatusInterval = TimeSpan.FromSeconds(5);

    private readonly Lock gate = new();
    private bool isReady;
    private bool isStopping;
    private TimeSpan sampledAt;
    private DateTimeOffset? deliveredAt;
    private readonly string[] problems = ["", "", ""];
    private string told = "";
    private bool toldProblem;
    private TimeSpan? toldAt;

    /// <summary>
    /// Feeds the watchdog from the thread that samples, at half of what it grants: if that thread is stuck, nothing is
    /// sent. Neither is it when the thread lives but no sample is being taken.
    /// </summary>
    public void WatchOver(IScheduler sampling)
    {
        if (systemd.Watchdog is { } limit)
        {
            Schedule(limit / 2);
        }

        void Schedule(TimeSpan half) => sampling.Schedule(half, () =>
        {
            Feed(half);
            Schedule(half);
        });
    }

    /// <summary>A sample was taken.</summary>
    public void Sampled()
    {
        if (!systemd.IsListening)
        {
            return;
        }

        lock (gate)
        {
            sampledAt = clock.Elapsed;

            // Again with the next sample, should it not get through.
            isReady = isReady || systemd.Notify("READY=1");
            TellStatus();
        }
    }

    /// <summary>A sample was delivered.</summary>
    public void Delivered(Destination destination = Destination.Ingest) => Attempted(destination, "");

    /// <summary>An attempt failed.</summary>
    public void NotDelivered(string reason, Destination destination = Destination.Ingest) => Attempted(destination, reason);

    /// <summary>The agent is about to end.</summary>
    public void Stopping()
    {
        lock (gate)
        {
            isStopping = isStopping || systemd.Notify("STOPPING=1");
        }
    }

    private bool HasProblem => problems.Any(static problem => problem.Length > 0);

    private void Attempted(Destination destination, string reason)
    {
        if (!systemd.IsListening)
        {
            return;
        }

        lock (gate)
        {
            problems[(int)destination] = reason;
            deliveredAt = reason.Length == 0 ? clock.GetUtcNow() : deliveredAt;
            TellStatus();
        }
    }

    private void Feed(TimeSpan half)
    {
        lock (gate)
        {
            if (isReady && clock.Elapsed - sampledAt <= interval + half)
            {
                systemd.Notify("WATCHDOG=1");
            }
        }
    }

    private void TellStatus()
    {
        var now = clock.Elapsed;
        var isNews = toldProblem != HasProblem;

        if (!isReady || isStopping || (!isNews && toldAt is { } at && now - at < StatusInterval))
        {
            return;
        }

        var status = Status();

        if (status != told && systemd.Notify("STATUS=" + status))
        {
            told = status;
            toldProblem = HasProblem;
            toldAt = now;
        }
    }

    private string Status()
    {
        var last = deliveredAt is { } at
            ? "last delivery " + at.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture)
            : "nothing delivered yet";
        var state = $"{last}, {waiting()} waiting";
        return state
            + Told("not delivered", Destination.Ingest)
            + Told("remote-write not delivered", Destination.RemoteWrite)
            + Told("otlp not delivered", Destination.Otlp);

        string Told(string what, Destination destination) =>
            problems[(int)destination] is { Length: > 0 } problem ? $"; {what}: {TerminalText.OneLine(problem)}" : "";
    }
}
