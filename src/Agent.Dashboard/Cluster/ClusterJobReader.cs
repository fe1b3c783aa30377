using Agent.Receiver;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Cluster;

/// <summary>Reads jobs and what they used from a cluster of metrics.</summary>
/// <param name="client">Asks it.</param>
/// <param name="fleet">Knows which machine a server is.</param>
/// <param name="clock">The receiver's.</param>
internal sealed class ClusterJobReader(ClusterClient client, ClusterFleet fleet, AgentClock clock) : IJobReader
{
    private const string Every = "";

    private long Now => RowKey.Microseconds(clock.GetUtcNow());

    /// <inheritdoc/>
    public List<(JobRecord Record, JobTotals Totals)> In(int? server, JobRange range, WorkLimit limit)
    {
        if (Span(range.From, range.Until) is not { } span)
        {
            return [];
        }

        var machine = server is { } id ? ClusterJobQueries.OfMachine(Instance(id)) : ClusterJobQueries.anywhere;
        var listed = At(ClusterJobQueries.Listed(machine, span), span.Now).Series;
        var jobs = ClusterJobs.Of(listed).ToHashSet();
        limit.Check();

        if (jobs.Count == 0)
        {
            return [];
        }

        // Without a choice of jobs the cluster finds the same at a third of the work.
        var isPart = jobs.Count >= ClusterJobQueries.MostJobs || span.Until < span.Now;
        var selected = isPart ? ClusterJobQueries.SeenSince(machine, span, ClusterJobs.Least(listed)) : Every;
        var since = new ClusterSpan(span.From, span.Now, span.Now);
        var records = Records(At(ClusterJobQueries.Facts(machine, machine, since, selected), span.Now).Series);
        limit.Check();
        var totals = ClusterJobs.Totals(At(ClusterJobQueries.Uses(machine, span, selected), span.Now).Series);
        return
        [
            .. records.Where(found => jobs.Contains(found.Job))
                .OrderByDescending(static found => found.Record.LastSeen)
                .Select(found => With(found.Record, totals)),
        ];
    }

    /// <inheritdoc/>
    public JobLife? Life(int server, long number, WorkLimit limit)
    {
        var now = Now;
        var year = new ClusterSpan(now - ClusterJobQueries.longest, now, now);
        var machine = ClusterJobQueries.OfMachine(Instance(server));
        var known = ClusterJobs.Of(At(ClusterJobQueries.All(machine, year), now).Series);
        limit.Check();

        if (known.FirstOrDefault(job => ClusterJobQueries.NumberOf(job) == number) is not { Instance: not null } job
            || Record(job, year) is not { } found)
        {
            return null;
        }

        limit.Check();
        var record = found.Record;
        var life = Life(record, now);
        var totals = ClusterJobs.Totals(At(ClusterJobQueries.Uses(ClusterJobQueries.OfJob(job), life, Every), now).Series);
        limit.Check();
        var parts = Parts(record, now);
        limit.Check();
        var earlier = Earlier(job, record, year);
        limit.Check();
        return new JobLife(With(record, totals), parts, earlier, Minutes(found));
    }

    /// <inheritdoc/>
    public List<(JobRecord Record, DailyUse Use)> Daily(JobRange range, WorkLimit limit)
    {
        if (Span(range.From, range.Until) is not { } span)
        {
            return [];
        }

        var names = At(ClusterJobQueries.Names(span), span.Now).Series;
        var uses = new List<ClusterSeries>();

        foreach (var days in ClusterJobs.Days(span.From, span.Until))
        {
            limit.Check();
            // Each is asked at its end, over its length.
            var query = ClusterJobQueries.Uses(ClusterJobQueries.anywhere, new ClusterSpan(days.From, days.Until, days.Until), Every);
            var last = days.Until + ((days.Count - 1) * ClusterJobs.day);
            uses.AddRange(
                days.Count == 1
                    ? At(query, days.Until).Series
                    : client.Along(Promql.RangeForm(query, days.Until, last, ClusterJobs.day), CancellationToken.None).Series);
        }

        return [.. ClusterJobs.Daily(Servers(), names, [.. uses]).Select(static used => (used.Item1, used.Item2))];
    }

    private static (JobRecord, JobTotals) With(JobRecord record, Dictionary<long, JobTotals> totals) =>
        (record, totals.GetValueOrDefault(record.Number, ClusterJobs.noTotals));

    /// <summary>A little more than a job's life: the last of it is collected after its end.</summary>
    private static ClusterSpan Life(JobRecord job, long now) =>
        new(job.Began, Math.Min(now, job.LastSeen + (JobRecordModule.same.Ticks / TimeSpan.TicksPerMicrosecond)), now);

    private ClusterAnswer At(string query, long at) => client.At(query, at, CancellationToken.None);

    /// <summary>A stretch as far as there may be something of it; null where that is none of it.</summary>
    private ClusterSpan? Span(long from, long until)
    {
        var now = Now;
        return from < now && from < until ? new ClusterSpan(from, Math.Min(until, now), now) : null;
    }

    private string Instance(int server) =>
        (fleet.MachineOf(server) ?? throw new ClusterException("this machine is not in the cluster")).Instance;

    private Func<string, int> Servers()
    {
        var servers = new Dictionary<string, int>(StringComparer.Ordinal);

        foreach (var (server, machine) in fleet.Machines())
        {
            servers.TryAdd(machine.Instance, server);
        }

        return instance => servers.GetValueOrDefault(instance, -1);
    }

    private ClusterJobRecord[] Records(ClusterSeries[] facts) => ClusterJobs.Records(Servers(), facts);

    private ClusterJobRecord? Record(ClusterJob job, ClusterSpan span)
    {
        var machine = ClusterJobQueries.OfMachine(job.Instance);
        var facts = At(ClusterJobQueries.Facts(ClusterJobQueries.OfJob(job), machine, span, Every), span.Now).Series;
        return Records(facts).FirstOrDefault();
    }

    private List<(JobRecord Record, JobTotals Totals)> Parts(JobRecord job, long now)
    {
        var labels = ClusterJobs.Cohort(job);

        if (labels.IsEmpty)
        {
            return [];
        }

        var life = Life(job, now);
        var selected = ClusterJobQueries.Labelled(labels, life);
        var since = new ClusterSpan(life.From, now, now);
        var records = ClusterJobs.Parts(job, Records(At(ClusterJobQueries.Facts(ClusterJobQueries.anywhere, ClusterJobQueries.anywhere, since, selected), now).Series));

        if (records.Length == 0)
        {
            return [];
        }

        // Parts do not begin at one instant.
        var all = new ClusterSpan(records.Min(static part => part.Record.Began), now, now);
        var totals = ClusterJobs.Totals(At(ClusterJobQueries.Uses(ClusterJobQueries.anywhere, all, selected), now).Series);
        return [.. records.Select(part => With(part.Record, totals))];
    }

    private (JobRecord Record, JobTotals Totals)? Earlier(ClusterJob job, JobRecord record, ClusterSpan year)
    {
        var before = At(ClusterJobQueries.Earlier(record.Name, record.User), record.Began).Series;

        if (ClusterJobs.EarlierOf(job, before) is not { IsValueSome: true, Value: var earlier } || Record(earlier, year) is not { } found)
        {
            return null;
        }

        var totals = ClusterJobs.Totals(
            At(ClusterJobQueries.Uses(ClusterJobQueries.OfJob(earlier), Life(found.Record, year.Now), Every), year.Now).Series);
        return With(found.Record, totals);
    }

    private List<(long Minute, JobMinute Did)> Minutes(ClusterJobRecord found)
    {
        var (first, minutes) = ClusterJobs.Cut(Math.Max(found.First, found.Record.Began), found.Record.LastSeen);
        var step = minutes * RowKey.MicrosecondsPerMinute;
        var interval = (found.Record.LastSeen - found.First) / Math.Max(1, found.Count - 1);
        var query = ClusterJobQueries.Minutes(found.Job, step, Math.Max(step, 2 * interval));
        var start = (first * RowKey.MicrosecondsPerMinute) + step - 1000;
        var last = start + ((RowKey.MinuteAt(found.Record.LastSeen) - first) / minutes * step);
        var answer = client.Along(Promql.RangeForm(query, start, last, step), CancellationToken.None).Series;
        return [.. ClusterJobs.Minutes(found.Record.Number, step, answer).Select(static did => (did.Item1, did.Item2))];
    }
}
