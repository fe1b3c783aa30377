using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// What the writer does once a second between samples: rolls up minutes and quarters of an hour that are over, deletes what is older than the newest
/// sample by more than is kept, in small steps, keeps what agents say of themselves, and deletes the layouts of devices that are gone. Within the writer's transaction.
/// </summary>
internal sealed class Upkeep : IDisposable
{
    private const int StepRows = 500;
    private static readonly TimeSpan Budget = TimeSpan.FromMilliseconds(10);

    /// <summary>For so long it goes on while no sample waits: not to write all there is to do as one transaction.</summary>
    private static readonly TimeSpan IdleBudget = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan AgentPeriod = TimeSpan.FromMinutes(1);

    private readonly Minutes minutes;
    private readonly Quarters quarters;
    private readonly JobRows jobs;
    private readonly JudgementRows judgements;
    private readonly EventRows events;
    private readonly AlertRows alerts;
    private readonly OutboxRows outbox;
    private readonly Keeping keeping;
    private readonly AgentClock clock;
    private readonly Layouts layouts;
    private readonly LayoutSweep sweep;
    private readonly Statement prunedUntil;
    private readonly Statement firstSample;
    private readonly Statement sampleAfter;
    private readonly Statement deleteSamples;
    private readonly Statement lateSample;
    private readonly Statement setPrunedUntil;
    private readonly Statement deleteMinutes;
    private readonly Statement saveAgent;
    private readonly Statement readMinutes;
    private TimeSpan nextAgents;

    /// <summary>Prepares its statements.</summary>
    public Upkeep(
        SqliteConnection connection,
        Minutes minutes,
        Quarters quarters,
        Layouts layouts,
        JobRows jobs,
        JudgementRows judgements,
        EventRows events,
        AlertRows alerts,
        OutboxRows outbox,
        Keeping keeping,
        AgentClock clock)
    {
        this.minutes = minutes;
        this.quarters = quarters;
        this.jobs = jobs;
        this.judgements = judgements;
        this.events = events;
        this.alerts = alerts;
        this.outbox = outbox;
        this.keeping = keeping;
        this.clock = clock;
        this.layouts = layouts;
        sweep = new LayoutSweep(connection, layouts, clock);
        prunedUntil = new Statement(connection, "SELECT pruned_until FROM server WHERE id = ?1");
        firstSample = new Statement(connection, "SELECT min(key) FROM sample WHERE key >= ?1 AND key < ?2");
        sampleAfter = new Statement(
            connection, $"SELECT key FROM sample WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT 1 OFFSET {StepRows}");
        deleteSamples = new Statement(connection, "DELETE FROM sample WHERE key >= ?1 AND key < ?2");
        lateSample = new Statement(
            connection,
            $"""
            SELECT min(key) FROM sample
            WHERE key >= ?1 AND key < ?2 AND {SampleRows.ArrivalMilliseconds} > ?3
            """);
        setPrunedUntil = new Statement(connection, "UPDATE server SET pruned_until = max(pruned_until, ?2) WHERE id = ?1");
        deleteMinutes = new Statement(
            connection,
            $"DELETE FROM minute WHERE key IN (SELECT key FROM minute WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT {StepRows})");
        saveAgent = new Statement(connection, "UPDATE server SET agent = ?2 WHERE id = ?1");
        readMinutes = new Statement(
            connection, "SELECT key, layout, figures FROM minute WHERE key >= ?1 AND key < ?2 ORDER BY key");
    }

    /// <summary>Does what is due, for as long as samples can wait if they do; true when there is more to do.</summary>
    public bool Run(ICollection<LiveServer> servers, Func<bool> areSamplesWaiting)
    {
        var now = RowKey.Microseconds(clock.GetUtcNow());
        var start = clock.GetTimestamp();

        bool HasTime()
        {
            var spent = clock.GetElapsedTime(start);
            return spent < Budget || (spent < IdleBudget && !areSamplesWaiting());
        }

        foreach (var server in servers)
        {
            if (!minutes.RollSettled(server, RowKey.MinuteAt(Math.Max(0, now - Store.Minutes.OnTheWay)), now, HasTime))
            {
                return true;
            }
        }

        var horizon = Retention.Horizon(now, servers.Select(static server => server.NewestAt).DefaultIfEmpty().Max());

        events.Prune(Retention.FirstMinute(horizon, keeping.Days) * RowKey.MicrosecondsPerMinute);
        alerts.Prune(Retention.FirstMinute(horizon, keeping.Days) * RowKey.MicrosecondsPerMinute);
        outbox.Prune(now - OutboxRows.Longest);

        foreach (var server in servers)
        {
            while (Prune(server, now, horizon))
            {
                if (!HasTime())
                {
                    return true;
                }
            }
        }

        if (clock.Elapsed >= nextAgents)
        {
            nextAgents = clock.Elapsed + AgentPeriod;
            SaveAgents(servers);
        }

        // Last, because after an upgrade it is work for a long while, which nothing else may wait for.
        return sweep.Run(servers, HasTime)
            || servers.Any(server => !quarters.Run(server, RowKey.MinuteAt(Math.Max(0, now - Store.Minutes.OnTheWay)), HasTime));
    }

    /// <summary>Deletes layouts soon that no row uses any more, because a server is gone.</summary>
    public void SweepSoon() => sweep.Hurry();

    /// <summary>Up to when samples of a server may be gone, in microseconds.</summary>
    public long PrunedUntil(int server)
    {
        prunedUntil.Bind(1, server);
        var until = prunedUntil.Step() ? prunedUntil.Integer(0) : 0;
        prunedUntil.Reset();
        return until;
    }

    /// <summary>The minutes of a server from one on.</summary>
    public IEnumerable<(long Minute, Rollup Rollup)> Minutes(int server, long first)
    {
        readMinutes.Bind(1, RowKey.Minute(server, first)).Bind(2, RowKey.Minute(server + 1, 0));

        while (readMinutes.Step())
        {
            yield return (
                RowKey.MinuteOf(readMinutes.Integer(0)),
                RollupModule.Unpack(layouts.Find((int)readMinutes.Integer(1)), readMinutes.Bytes(2)));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        sweep.Dispose();
        prunedUntil.Dispose();
        firstSample.Dispose();
        sampleAfter.Dispose();
        deleteSamples.Dispose();
        lateSample.Dispose();
        setPrunedUntil.Dispose();
        deleteMinutes.Dispose();
        saveAgent.Dispose();
        readMinutes.Dispose();
    }

    /// <summary>One step: some of the oldest samples and minutes of a server. True when there is more to do.</summary>
    private bool Prune(LiveServer server, long now, long horizon)
    {
        var firstMinute = Retention.FirstMinute(horizon, keeping.Days);
        deleteMinutes.Bind(1, RowKey.Minute(server.Id, 0)).Bind(2, RowKey.Minute(server.Id, firstMinute)).Run();
        quarters.Prune(server.Id, firstMinute);
        judgements.Prune(server.Id, firstMinute * RowKey.MicrosecondsPerMinute);
        jobs.Prune(server.Id, firstMinute);

        var cutoff = Math.Min(Retention.FirstSample(horizon, keeping.RawHours), server.NewestMinute * RowKey.MicrosecondsPerMinute);
        // What lies before came when it was too old already; rolling up its minutes deletes it.
        firstSample.Bind(1, RowKey.Sample(server.Id, server.PrunedUntil)).Bind(2, RowKey.Sample(server.Id, cutoff)).Step();
        var isDone = firstSample.IsNull(0);
        var first = firstSample.Integer(0);
        firstSample.Reset();

        if (isDone)
        {
            return false;
        }

        sampleAfter.Bind(1, first).Bind(2, RowKey.Sample(server.Id, cutoff));
        var hasMore = sampleAfter.Step();
        var after = hasMore ? RowKey.TimeOf(sampleAfter.Integer(0)) : cutoff;
        sampleAfter.Reset();

        // Whole minutes, so that each is rolled up from all of its samples.
        var past = Retention.StepEnd(RowKey.TimeOf(first), after);

        if (IsLate(server.Id, first, past, now))
        {
            return false;
        }

        minutes.RollAll(server, RowKey.MinuteAt(past), now);
        deleteSamples.Bind(1, first).Bind(2, RowKey.Sample(server.Id, past)).Run();
        setPrunedUntil.Bind(1, server.Id).Bind(2, past).Run();
        server.PrunedUntil = Math.Max(server.PrunedUntil, past);
        return hasMore;
    }

    /// <summary>Whether any of these samples has arrived only lately.</summary>
    private bool IsLate(int server, long first, long past, long now)
    {
        lateSample.Bind(1, first).Bind(2, RowKey.Sample(server, past)).Bind(3, Retention.LastArrival(now)).Step();
        var isLate = !lateSample.IsNull(0);
        lateSample.Reset();
        return isLate;
    }

    private void SaveAgents(ICollection<LiveServer> servers)
    {
        foreach (var server in servers)
        {
            if (server.AgentIsNews)
            {
                saveAgent.Bind(1, server.Id).Bind(2, server.Agent).Run();
                server.AgentIsNews = false;
            }
        }
    }
}
