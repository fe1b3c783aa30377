using Agent.Outbound;
using Agent.Receiver.Cluster;

namespace Agent.Dashboard.Cluster;

/// <summary>
/// Sends the records of an export in order, and waits while the cluster does not take them. What follows from an answer is decided by
/// <see cref="RemoteDelivery"/>.
/// </summary>
/// <param name="client">Makes the requests.</param>
/// <param name="clock">The dashboard's.</param>
/// <param name="complain">Takes sentences.</param>
internal sealed class ExportSender(RemoteWriteClient client, AgentClock clock, Action<string> complain)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(ClusterRelay.IntervalSeconds);

    private readonly List<(byte[] Record, DateTimeOffset At)> waiting = [];
    private readonly object gate = new();
    private RemoteState state = RemoteDelivery.Start("--to", leftOver: false);
    private int bytes;
    private int refusedInARow;

    /// <summary>The version of the protocol that the cluster is sent.</summary>
    public RemoteWriteVersion Version => state.Version;

    /// <summary>Samples that the cluster took.</summary>
    public long Taken { get; private set; }

    /// <summary>Samples, and series of others, that it refused.</summary>
    public long Refused { get; private set; }

    /// <summary>When the first was taken that it took, and the last.</summary>
    public (DateTimeOffset First, DateTimeOffset Last) Range { get; private set; }

    /// <summary>Counts anew, for the next machine.</summary>
    public void Begin() => (Taken, Refused, refusedInARow, Range) = (0, 0, 0, default);

    /// <summary>Adds a record; where enough has come together it is sent. Null, or why the export cannot go on, and at which sample.</summary>
    public (string Reason, DateTimeOffset At)? Add(byte[] record, DateTimeOffset at)
    {
        waiting.Add((record, at));
        bytes += record.Length;
        return waiting.Count >= RemoteWrite.MostRecords || bytes >= RemoteWrite.MostBytes ? Send() : null;
    }

    /// <summary>Sends what is left. Null, or why the export cannot go on, and at which sample.</summary>
    public (string Reason, DateTimeOffset At)? Send()
    {
        var failures = 0;
        bytes = 0;

        while (waiting.Count > 0)
        {
            var outcome = RemoteDelivery.Deliver(
                client.Send, clock.GetUtcNow, state, [.. waiting.Select(static one => new ReadOnlyMemory<byte>(one.Record))]);
            state = outcome.State;
            failures = outcome.Fates.Length > 0 ? 0 : failures;

            if (Settle(outcome) is { } hopeless)
            {
                return hopeless;
            }

            var (wait, reason) = outcome.Outcome.Match(
                delivered: static _ => (TimeSpan.Zero, ""),
                retryAfter: (delay, said) => (
                    delay.IsValueSome ? delay.Value : Delivery.BackOff(Interval, ++failures, Random.Shared.NextDouble()), said),
                hold: static said => (Timeout.InfiniteTimeSpan, said),
                reject: static said => (Timeout.InfiniteTimeSpan, said));

            if (wait == Timeout.InfiniteTimeSpan || failures >= ClusterExport.MostAttempts)
            {
                return (reason, waiting[0].At);
            }

            if (reason.Length > 0)
            {
                complain($"--to: {reason.TrimEnd('.')}; it is tried again");
                Wait(wait);
            }
        }

        return null;
    }

    private (string Reason, DateTimeOffset At)? Settle(RemoteOutcome outcome)
    {
        Refused += outcome.RefusedSeries;

        for (var index = 0; index < outcome.Fates.Length; index++)
        {
            var at = waiting[index].At;
            var reason = outcome.Fates[index].Match(delivered: static () => "", unconfirmed: static () => "", refused: static said => said);

            if (reason.Length == 0)
            {
                Range = (Taken == 0 ? at : Range.First, at);
                Taken++;
                refusedInARow = 0;
            }
            else
            {
                Refused++;

                if (++refusedInARow >= ClusterExport.HopelessAfter)
                {
                    return (reason, at);
                }
            }
        }

        waiting.RemoveRange(0, outcome.Fates.Length);
        return null;
    }

    private void Wait(TimeSpan wait)
    {
        var end = clock.Elapsed + wait;

        lock (gate)
        {
            while (clock.Elapsed < end)
            {
                clock.Wait(gate, end - clock.Elapsed);
            }
        }
    }
}
