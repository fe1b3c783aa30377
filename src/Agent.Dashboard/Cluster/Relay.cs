using System.Globalization;
using Agent.Core;
using Agent.Dashboard.Store;
using Agent.Outbound;
using Agent.Receiver;
using Agent.Receiver.Cluster;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Cluster;

/// <summary>
/// Passes posted samples on to a cluster of metrics by remote-write: each is on disk before it is acknowledged, and stays there until the cluster has it.
/// What follows from an answer is decided by <see cref="RemoteDelivery"/> and <see cref="Delivery"/>, as for the agent.
/// </summary>
internal sealed class Relay : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(ClusterRelay.IntervalSeconds);

    private readonly RelayOutbox outbox;
    private readonly RemoteWriteClient client;
    private readonly ClusterFleet fleet;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private readonly CancellationTokenSource stop;
    private readonly object gate = new();
    private readonly Thread thread;
    private readonly List<RelayRecord> aside = [];
    private SpoolPosition cursor;
    private RemoteState remote;
    private DeliveryState state = Delivery.Start;
    private bool hasArrived = true;
    private long delivered;
    private long unconfirmed;
    private long refused;
    private long refusedSeries;
    private volatile string problem = "";

    // Read by the thread that takes samples: what is encoded now had best be what is sent.
    private volatile bool isOfTwo = true;
    private string toldRefusal = "";

    private Relay(
        RelayOutbox outbox, RemoteWriteClient client, ClusterFleet fleet, AgentClock clock, Action<string> complain, CancellationTokenSource stop)
    {
        this.outbox = outbox;
        this.client = client;
        this.fleet = fleet;
        this.clock = clock;
        this.complain = complain;
        this.stop = stop;
        cursor = outbox.Start;
        remote = RemoteDelivery.Start("--metrics-write-url", outbox.Waiting > 0);
        thread = new Thread(Work) { IsBackground = true, Name = "relay" };
    }

    /// <summary>The relay that was asked for; else a sentence that says why there can be none.</summary>
    public static FSharpResult<Relay, string> Open(
        ServeSettings settings, ClusterHeaderFile headers, ClusterFleet fleet, string version, AgentClock clock, Action<string> complain) =>
        RelayOutbox.Open(settings.MetricsOutbox, settings.MetricsOutboxBytes, complain).Select(outbox =>
        {
            var stop = new CancellationTokenSource();
            var client = new RemoteWriteClient(settings.MetricsWriteUrl, headers.Current, version, clock, stop.Token);
            return new Relay(outbox, client, fleet, clock, complain, stop);
        });

    /// <summary>What was done so far.</summary>
    public RelayFigures Figures => new(
        outbox.Waiting,
        outbox.Bytes,
        Interlocked.Read(ref delivered),
        Interlocked.Read(ref unconfirmed),
        Interlocked.Read(ref refused),
        Interlocked.Read(ref refusedSeries),
        outbox.Damaged,
        outbox.NotTaken,
        problem);

    /// <summary>Begins to deliver, what an earlier run left first.</summary>
    public void Start() => thread.Start();

    /// <summary>A sample as it goes to the cluster.</summary>
    /// <param name="server">Whose.</param>
    /// <param name="report">The sample.</param>
    /// <param name="bottleneck">What holds the machine back.</param>
    /// <param name="judgement">What was said with it.</param>
    /// <param name="accounts">What the GPU time of its jobs went into.</param>
    public byte[] Record(LiveServer server, Report report, BottleneckLabel bottleneck, Judgement? judgement, JobAccounts accounts) =>
        ClusterRelay.Record(
            isOfTwo ? RemoteWriteVersion.Two : RemoteWriteVersion.One,
            fleet.Relayed(server.Registration),
            server.JobLabel,
            report,
            bottleneck,
            Maybe.Of(judgement),
            accounts);

    /// <summary>Takes records, and waits until they are on the disk. How many of them are, from the first on, and why the others are not.</summary>
    public (int Taken, string Problem) Keep(IReadOnlyList<byte[]> records)
    {
        if (stop.IsCancellationRequested)
        {
            return (0, "the dashboard is stopping");
        }

        var result = outbox.Append(records);

        lock (gate)
        {
            hasArrived = true;
            Monitor.Pulse(gate);
        }

        return result;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stop.Cancel();

        lock (gate)
        {
            Monitor.Pulse(gate);
        }

        if (thread.IsAlive)
        {
            thread.Join();
        }

        client.Dispose();
        outbox.Dispose();
        stop.Dispose();
    }

    private void Work()
    {
        while (!stop.IsCancellationRequested)
        {
            TimeSpan wait;

            try
            {
                wait = Deliver();
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception unforeseen)
            {
                complain($"a defect: passing samples on: {unforeseen.GetType().Name}: {unforeseen.Message}");
                wait = Delivery.LongestBackOff;
            }

            Wait(wait);
        }
    }

    /// <summary>Waits for so long; zero stands for until something arrives.</summary>
    private void Wait(TimeSpan wait)
    {
        var end = clock.Elapsed + wait;

        lock (gate)
        {
            while (!stop.IsCancellationRequested && (wait == TimeSpan.Zero ? !hasArrived : clock.Elapsed < end))
            {
                clock.Wait(gate, wait == TimeSpan.Zero ? Timeout.InfiniteTimeSpan : end - clock.Elapsed);
            }

            hasArrived = false;
        }
    }

    /// <summary>Delivers what there is; for how long nothing is to be sent then, or zero where nothing is left.</summary>
    private TimeSpan Deliver()
    {
        while (!stop.IsCancellationRequested)
        {
            var batch = outbox.Read(ref cursor, RemoteWrite.MostRecords, RemoteWrite.MostBytes);

            if (batch.Count == 0)
            {
                return TimeSpan.Zero;
            }

            var outcome = RemoteDelivery.Deliver(client.Send, clock.GetUtcNow, remote, [.. batch.Select(static record => record.Body)]);
            remote = outcome.State;
            isOfTwo = remote.Version.IsTwo;
            Settle(batch, outcome);
            (state, var step) = Delivery.Decide(
                Interval, Random.Shared.NextDouble(), outcome.Fates.Length > 0 ? Delivery.Start : state, outcome.Outcome);
            var wait = step.Match(
                next: static () => TimeSpan.Zero,
                wait: static delay => delay,
                setAside: () => SetAside(batch[outcome.Fates.Length]),
                takeBack: TakeBack,
                // A cluster refuses what is out of order, so the newest has to wait for its turn.
                askNewest: () => TakeBack(Delivery.ProbeInterval),
                settle: static () => TimeSpan.Zero);
            Tell(outcome.Outcome, wait);

            if (wait > TimeSpan.Zero)
            {
                return wait;
            }
        }

        return TimeSpan.Zero;
    }

    /// <summary>Takes note of the records that are finished. With them those set aside before are known to be refused for what they are.</summary>
    private void Settle(List<RelayRecord> batch, RemoteOutcome outcome)
    {
        if (outcome.Fates.Length == 0)
        {
            return;
        }

        foreach (var record in aside)
        {
            outbox.Refused("refused as a whole", record);
        }

        Interlocked.Add(ref refused, aside.Count);
        var reason = "";

        for (var index = 0; index < outcome.Fates.Length; index++)
        {
            outcome.Fates[index].Match(
                delivered: () => Interlocked.Increment(ref delivered),
                unconfirmed: () => Interlocked.Increment(ref unconfirmed),
                refused: words =>
                {
                    reason = words;
                    outbox.Refused(words, batch[index]);
                    return Interlocked.Increment(ref refused);
                });
        }

        Interlocked.Add(ref refusedSeries, outcome.RefusedSeries);

        if ((outcome.RefusedSeries > 0 ? outcome.Reason : reason) is { Length: > 0 } said)
        {
            TellRefusal(said);
        }

        cursor = batch[outcome.Fates.Length - 1].End;
        outbox.Done([.. aside, .. batch[..outcome.Fates.Length]], cursor);
        aside.Clear();
    }

    private TimeSpan SetAside(RelayRecord record)
    {
        aside.Add(record);
        cursor = record.End;
        return TimeSpan.Zero;
    }

    private TimeSpan TakeBack(TimeSpan delay)
    {
        cursor = aside.Count > 0 ? aside[0].Place : cursor;
        aside.Clear();
        return delay;
    }

    /// <summary>Says that the cluster refuses something, once for each reason.</summary>
    private void TellRefusal(string reason)
    {
        var gist = Gist.OfMessage(reason);

        if (gist != toldRefusal)
        {
            complain($"--metrics-write-url: the cluster refuses samples or series: {reason}; /metrics counts them");
        }

        toldRefusal = gist;
    }

    /// <summary>Says each change once: that nothing is delivered, and that it is again.</summary>
    private void Tell(Outcome outcome, TimeSpan wait)
    {
        var now = outcome.Match(
            delivered: static _ => "",
            retryAfter: static (_, reason) => reason,
            hold: static reason => reason,
            reject: static reason => reason);

        if (now.Length > 0 && problem.Length == 0)
        {
            complain(string.Create(
                CultureInfo.InvariantCulture,
                $"--metrics-write-url: samples are not passed on: {now.TrimEnd('.')}; {outbox.Waiting} wait on disk, next attempt in {wait.TotalSeconds:0.0} s"));
        }
        else if (now.Length == 0 && problem.Length > 0)
        {
            complain("--metrics-write-url: samples are passed on again");
        }

        problem = now;
    }
}
