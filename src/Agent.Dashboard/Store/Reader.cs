using Agent.Receiver;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>Reads histories over a connection of its own. Not safe for several threads; <see cref="Readers"/> lends them out.</summary>
internal sealed class Reader : IHistoryReader, IDisposable
{
    /// <summary>So many rows are looked into to see which devices are busy, the samples among them of so many microseconds.</summary>
    private const int MostLookedInto = 200;
    private const long LookedAt = 5 * RowKey.MicrosecondsPerMinute;

    private readonly SqliteConnection connection;
    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly Statement minutes;
    private readonly Statement details;
    private readonly Statement minuteLayouts;
    private readonly Statement quarters;
    private readonly Statement quarterDetails;
    private readonly Statement quarterLayouts;
    private readonly Statement sampleLayouts;
    private readonly Statement dirty;
    private readonly Statement prunedUntil;
    private readonly JudgementRows judgements;
    private readonly JobReader jobs;
    private readonly int rawHours;

    /// <summary>Opens the database, which a writer has opened before.</summary>
    /// <exception cref="SqliteException">It cannot be opened.</exception>
    public Reader(string path, int rawHours)
    {
        this.rawHours = rawHours;
        connection = Database.OpenForReading(path);
        layouts = new Layouts(connection);
        rows = new SampleRows(connection, layouts);
        minutes = new Statement(
            connection, "SELECT key, layout, figures, verdicts FROM minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        details = new Statement(connection, "SELECT key, layout, samples, details FROM minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        minuteLayouts = new Statement(connection, "SELECT layout FROM minute WHERE key >= ?1 AND key <= ?2");
        quarters = new Statement(
            connection, "SELECT key, layout, figures, verdicts FROM quarter WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        quarterDetails = new Statement(
            connection, "SELECT key, layout, samples, details FROM quarter WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        quarterLayouts = new Statement(connection, "SELECT layout, key FROM quarter WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        sampleLayouts = new Statement(connection, "SELECT layout FROM sample WHERE key >= ?1 AND key < ?2");
        dirty = new Statement(connection, "SELECT key FROM dirty_minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        prunedUntil = new Statement(connection, "SELECT pruned_until FROM server WHERE id = ?1");
        judgements = new JudgementRows(connection);
        jobs = new JobReader(connection);
        Events = new EventRows(connection);
        Alerts = new AlertRows(connection);
    }

    /// <summary>What happened.</summary>
    public EventRows Events { get; }

    /// <summary>Alerts.</summary>
    public AlertRows Alerts { get; }

    /// <summary>What there is of jobs.</summary>
    public IJobReader Jobs => jobs;

    /// <summary>What was said of a server last at an instant, in microseconds: when, and the text; null for nothing.</summary>
    public (long At, string Content)? SaidAt(int server, long at) => judgements.At(server, at);

    /// <inheritdoc/>
    public IEnumerable<(int Server, Happening Happening)> Observed(int[] servers, JobRange range, WorkLimit limit)
    {
        foreach (var server in servers)
        {
            limit.Check();

            foreach (var happening in Events.Verdicts(server, range.From, range.Until))
            {
                yield return (server, happening);
            }
        }
    }

    /// <summary>What there is of a server between two instants, in microseconds; <paramref name="now"/> by the receiver's clock.</summary>
    /// <exception cref="SqliteException">It cannot be read.</exception>
    /// <exception cref="WorkLimitException">It takes longer than the limit, if there is one.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    public History Read(int server, long from, long until, long now, WorkLimit? limit = null)
    {
        // One view of the database for all that follows.
        Database.Execute(connection, "BEGIN");

        try
        {
            var axis = Axis(server, from, until, now);
            var (stretches, waiting, spans) = Rows(server, axis);
            var history = Prepare(axis, spans, stretches, limit);
            AddMinutes(history, server, Within(stretches, history.Axis), waiting, limit);

            foreach (var span in spans)
            {
                AddSamples(history, span, limit);
            }

            history.Reasons = judgements.Reasons(server, history.Verdicts);
            return history;
        }
        finally
        {
            Database.Rollback(connection);
        }
    }

    /// <summary>The same of one kind of details, by its position.</summary>
    /// <exception cref="SqliteException">It cannot be read.</exception>
    /// <exception cref="WorkLimitException">It takes longer than the limit, if there is one.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    public DetailHistory ReadDetails(int server, int kind, long from, long until, long now, WorkLimit? limit = null)
    {
        Database.Execute(connection, "BEGIN");

        try
        {
            var axis = Axis(server, from, until, now);
            var (stretches, waiting, spans) = Rows(server, axis);
            var known = LayoutsOf(spans, stretches);
            limit?.Check();
            var history = DetailHistory.Of(axis, kind, known.Keys.Order().Select(layout => layouts.Find(layout).Layout));
            AddDetails(history, server, Within(stretches, history.Axis), waiting, limit);

            foreach (var (first, past) in spans)
            {
                foreach (var row in rows.Derived(first, past))
                {
                    limit?.Check();
                    history.Add(row.Row.Layout, row.Point);
                }
            }

            return history;
        }
        finally
        {
            Database.Rollback(connection);
        }
    }

    /// <summary>Adds the minutes of servers, each with its slug, to what is known of their GPUs.</summary>
    /// <exception cref="SqliteException">It cannot be read.</exception>
    /// <exception cref="WorkLimitException">It takes longer than the limit.</exception>
    public FleetUse ReadFleet(IEnumerable<(int Id, string Slug)> servers, FleetUse fleet, WorkLimit limit)
    {
        var (first, last) = (RowKey.MinuteAt(fleet.Axis.From), RowKey.MinuteAt(fleet.Axis.To));

        foreach (var (id, slug) in servers)
        {
            fleet.Begin(slug);
            minutes.Bind(1, RowKey.Minute(id, first)).Bind(2, RowKey.Minute(id, last));

            try
            {
                while (minutes.Step())
                {
                    limit.Check();
                    fleet.Add(RowKey.MinuteOf(minutes.Integer(0)), layouts.Find((int)minutes.Integer(1)), minutes.Bytes(2));
                }
            }
            finally
            {
                minutes.Reset();
            }
        }

        return fleet;
    }

    /// <summary>How many samples and minutes there are, roughly: the figures of the table's statistics are not kept.</summary>
    public long FileBytes() =>
        Database.Scalar(connection, "PRAGMA page_count") * Database.Scalar(connection, "PRAGMA page_size");

    /// <summary>Whether the database answers.</summary>
    public bool IsAlive() => Database.Scalar(connection, "SELECT count(*) FROM server") >= 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        minutes.Dispose();
        details.Dispose();
        minuteLayouts.Dispose();
        quarters.Dispose();
        quarterDetails.Dispose();
        quarterLayouts.Dispose();
        sampleLayouts.Dispose();
        dirty.Dispose();
        prunedUntil.Dispose();
        judgements.Dispose();
        jobs.Dispose();
        Events.Dispose();
        Alerts.Dispose();
        rows.Dispose();
        layouts.Dispose();
        connection.Dispose();
    }

    private Axis Axis(int server, long from, long until, long now) =>
        AxisModule.PrefersRaw(from, until, now, rawHours)
            ? AxisModule.OfSamples(from, until, rows.Count(RowKey.Sample(server, from), RowKey.Sample(server, until + 1)))
            : AxisModule.OfMinutes(from, until);

    /// <summary>
    /// Where the minutes of an axis lie and where the quarters that stand for them, none where samples are read; the minutes that are not rolled up; and
    /// where the samples lie that are to be read.
    /// </summary>
    private (List<Stretch> Stretches, HashSet<long> Waiting, List<(long First, long Past)> Spans) Rows(int server, Axis axis)
    {
        if (axis.IsRaw)
        {
            return ([], [], [(RowKey.Sample(server, axis.From), RowKey.Sample(server, axis.To + 1))]);
        }

        var (first, last) = (RowKey.Minute(server, RowKey.MinuteAt(axis.From)), RowKey.Minute(server, RowKey.MinuteAt(axis.To)));
        var waiting = Dirty(first, last);
        return (Stretches(first, last, waiting), waiting, [.. Spans(server, waiting)]);
    }

    /// <summary>The minutes from one key to another in the order of time, those of whole quarters by these.</summary>
    private List<Stretch> Stretches(long first, long last, HashSet<long> waiting)
    {
        var stretches = new List<Stretch>();
        var next = first;
        quarterLayouts.Bind(1, first).Bind(2, last - (Quarter.Minutes - 1));

        while (quarterLayouts.Step())
        {
            var key = quarterLayouts.Integer(1);

            // Of a minute that is not rolled up the samples are read.
            if (waiting.Count > 0 && Enumerable.Range(0, (int)Quarter.Minutes).Any(minute => waiting.Contains(key + minute)))
            {
                continue;
            }

            if (key > next)
            {
                stretches.Add(new(false, next, key - 1));
            }

            next = key + Quarter.Minutes;

            if (stretches is [.., { AreQuarters: true } before] && before.Last + 1 == key)
            {
                stretches[^1] = before with { Last = next - 1 };
            }
            else
            {
                stretches.Add(new(true, key, next - 1));
            }
        }

        if (next <= last)
        {
            stretches.Add(new(false, next, last));
        }

        return stretches;
    }

    /// <summary>The same by minutes alone where the buckets of an axis are not made of quarters.</summary>
    private static List<Stretch> Within(List<Stretch> stretches, Axis axis) =>
        stretches.Count == 0 || Quarter.Suits(axis) ? stretches : [new(false, stretches[0].First, stretches[^1].Last)];

    /// <summary>The rows of each layout among samples and minutes.</summary>
    private Dictionary<int, int> LayoutsOf(List<(long First, long Past)> spans, List<Stretch> stretches)
    {
        var counts = new Dictionary<int, int>();

        foreach (var (first, past) in spans)
        {
            Count(counts, sampleLayouts.Bind(1, first).Bind(2, past), 1);
        }

        foreach (var (areQuarters, first, last) in stretches)
        {
            Count(
                counts,
                (areQuarters ? quarterLayouts : minuteLayouts).Bind(1, first).Bind(2, last),
                areQuarters ? (int)Quarter.Minutes : 1);
        }

        return counts;
    }

    /// <summary>A history with room for the devices of these rows, or for the busiest of them where they are too many.</summary>
    private History Prepare(Axis axis, List<(long First, long Past)> spans, List<Stretch> stretches, WorkLimit? limit)
    {
        var census = new DeviceCensus();

        foreach (var (layout, count) in LayoutsOf(spans, stretches))
        {
            limit?.Check();
            census.See(layouts.Find(layout).Layout, count);
        }

        if (census.Count <= AxisModule.MostDevices)
        {
            return new History(AxisModule.Within(census.Slots, axis));
        }

        Look(census, axis, spans, stretches, limit);
        var choice = census.Choose(AxisModule.MostDevices);
        return new History(
            AxisModule.Within(Series.slots(choice.Devices), axis), FSharpValueOption<DeviceChoice>.NewValueSome(choice));
    }

    /// <summary>Counts the rows of each layout, so many for each that there is.</summary>
    private static void Count(Dictionary<int, int> counts, Statement rows, int each)
    {
        try
        {
            while (rows.Step())
            {
                var layout = (int)rows.Integer(0);
                counts[layout] = counts.GetValueOrDefault(layout) + each;
            }
        }
        finally
        {
            rows.Reset();
        }
    }

    /// <summary>Looks into some rows to see which devices are used: some of the newest samples, or minutes all along the range.</summary>
    private void Look(
        DeviceCensus census, Axis axis, List<(long First, long Past)> spans, List<Stretch> stretches, WorkLimit? limit)
    {
        if (axis.IsRaw)
        {
            var (first, past) = spans[0];

            foreach (var row in rows.Derived(Math.Max(first, past - LookedAt), past, details: false).Take(MostLookedInto))
            {
                limit?.Check();
                census.Look(row.Row.Layout, row.Point.Values);
            }

            return;
        }

        var (start, end) = (stretches[0].First, stretches[^1].Last);
        var stride = Math.Max(1, (end - start) / MostLookedInto);
        minutes.Bind(1, start).Bind(2, end);

        try
        {
            while (minutes.Step())
            {
                if (minutes.Integer(0) % stride == 0)
                {
                    limit?.Check();
                    var stored = layouts.Find((int)minutes.Integer(1));
                    var rollup = RollupModule.Unpack(stored, minutes.Bytes(2));
                    census.Look(stored.Layout, Array.ConvertAll(rollup.Spreads, static spread => spread.Mean));
                }
            }
        }
        finally
        {
            minutes.Reset();
        }
    }

    private void AddSamples(History history, (long First, long Past) span, WorkLimit? limit)
    {
        foreach (var row in rows.Derived(span.First, span.Past, details: false))
        {
            limit?.Check();
            history.Add(row.Row.Layout, row.Point, row.Inputs, row.Row.Said);
        }
    }

    private void AddMinutes(History history, int server, List<Stretch> stretches, HashSet<long> waiting, WorkLimit? limit) =>
        Each(quarters, minutes, server, stretches, waiting, limit, (key, row) =>
            history.Add(RowKey.MinuteOf(key), layouts.Find((int)row.Integer(1)), row.Bytes(2), row.Bytes(3)));

    private void AddDetails(DetailHistory history, int server, List<Stretch> stretches, HashSet<long> waiting, WorkLimit? limit) =>
        Each(quarterDetails, details, server, stretches, waiting, limit, (key, row) =>
            history.Add(RowKey.MinuteOf(key), layouts.Find((int)row.Integer(1)), (int)row.Integer(2), row.Bytes(3)));

    /// <summary>Goes through quarters and minutes in the order of time, by a statement for each of the two.</summary>
    private void Each(
        Statement ofQuarters, Statement ofMinutes, int server, List<Stretch> stretches, HashSet<long> waiting, WorkLimit? limit, Action<long, Statement> take)
    {
        var pruned = RowKey.Minute(server, RowKey.MinuteAt(PrunedUntil(server)));

        foreach (var (areQuarters, first, last) in stretches)
        {
            var rows = (areQuarters ? ofQuarters : ofMinutes).Bind(1, first).Bind(2, last);

            try
            {
                while (rows.Step())
                {
                    var key = rows.Integer(0);

                    // Of a minute that has changed since the samples themselves are read. Those of long ago are gone, but for what came late.
                    if (areQuarters || key < pruned || !waiting.Contains(key))
                    {
                        limit?.Check();
                        take(key, rows);
                    }
                }
            }
            finally
            {
                rows.Reset();
            }
        }
    }

    /// <summary>Keys of minutes from the first to the last, which are read from their quarters or themselves.</summary>
    private readonly record struct Stretch(bool AreQuarters, long First, long Last);

    /// <summary>Where the samples of the minutes that are not rolled up lie: one span for all that follow each other.</summary>
    private static IEnumerable<(long First, long Past)> Spans(int server, HashSet<long> waiting)
    {
        foreach (var key in waiting)
        {
            // One look for the neighbour before, then on through all minutes in a row.
            if (!waiting.Contains(key - 1))
            {
                var past = key + 1;

                while (waiting.Contains(past))
                {
                    past++;
                }

                yield return (FirstSample(server, key), FirstSample(server, past));
            }
        }
    }

    private static long FirstSample(int server, long minuteKey) =>
        RowKey.Sample(server, RowKey.MinuteOf(minuteKey) * RowKey.MicrosecondsPerMinute);

    /// <summary>The keys of the minutes that are not rolled up.</summary>
    private HashSet<long> Dirty(long first, long last)
    {
        var keys = new HashSet<long>();
        dirty.Bind(1, first).Bind(2, last);

        while (dirty.Step())
        {
            keys.Add(dirty.Integer(0));
        }

        return keys;
    }

    private long PrunedUntil(int server)
    {
        prunedUntil.Bind(1, server);
        var until = prunedUntil.Step() ? prunedUntil.Integer(0) : 0;
        prunedUntil.Reset();
        return until;
    }
}
