using Agent.Receiver;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>Reads histories over a connection of its own. Not safe for several threads; <see cref="Readers"/> lends them out.</summary>
internal sealed class Reader : IDisposable
{
    /// <summary>So many rows are looked into to see which devices are busy, the samples among them of so many microseconds.</summary>
    private const int MostLookedInto = 200;
    private const long LookedAt = 5 * RowKey.MicrosecondsPerMinute;

    private readonly SqliteConnection connection;
    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly Statement minutes;
    private readonly Statement minuteLayouts;
    private readonly Statement sampleLayouts;
    private readonly Statement dirty;
    private readonly Statement prunedUntil;
    private readonly JudgementRows judgements;
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
        minuteLayouts = new Statement(connection, "SELECT layout FROM minute WHERE key >= ?1 AND key < ?2");
        sampleLayouts = new Statement(connection, "SELECT layout FROM sample WHERE key >= ?1 AND key < ?2");
        dirty = new Statement(connection, "SELECT key FROM dirty_minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        prunedUntil = new Statement(connection, "SELECT pruned_until FROM server WHERE id = ?1");
        judgements = new JudgementRows(connection);
        Jobs = new JobReader(connection);
        Events = new EventRows(connection);
        Alerts = new AlertRows(connection);
    }

    /// <summary>What happened.</summary>
    public EventRows Events { get; }

    /// <summary>Alerts.</summary>
    public AlertRows Alerts { get; }

    /// <summary>What there is of jobs.</summary>
    public JobReader Jobs { get; }

    /// <summary>What was said of a server last at an instant, in microseconds: when, and the text; null for nothing.</summary>
    public (long At, string Content)? SaidAt(int server, long at) => judgements.At(server, at);

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
            var first = RowKey.Minute(server, RowKey.MinuteAt(axis.From));
            var last = RowKey.Minute(server, RowKey.MinuteAt(axis.To));
            var waiting = axis.IsRaw ? [] : Dirty(first, last);
            List<(long First, long Past)> spans = axis.IsRaw
                ? [(RowKey.Sample(server, axis.From), RowKey.Sample(server, axis.To + 1))]
                : [.. Spans(server, waiting)];
            var history = Prepare(axis, spans, (first, last), limit);

            if (!axis.IsRaw)
            {
                AddMinutes(history, server, (first, last), waiting, limit);
            }

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

    /// <summary>How many samples and minutes there are, roughly: the figures of the table's statistics are not kept.</summary>
    public long FileBytes() =>
        Database.Scalar(connection, "PRAGMA page_count") * Database.Scalar(connection, "PRAGMA page_size");

    /// <summary>Whether the database answers.</summary>
    public bool IsAlive() => Database.Scalar(connection, "SELECT count(*) FROM server") >= 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        minutes.Dispose();
        minuteLayouts.Dispose();
        sampleLayouts.Dispose();
        dirty.Dispose();
        prunedUntil.Dispose();
        judgements.Dispose();
        Jobs.Dispose();
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

    /// <summary>A history with room for the devices of these rows, or for the busiest of them where they are too many.</summary>
    private History Prepare(Axis axis, List<(long First, long Past)> spans, (long First, long Last) range, WorkLimit? limit)
    {
        var census = new DeviceCensus();

        foreach (var (first, past) in spans)
        {
            See(census, sampleLayouts.Bind(1, first).Bind(2, past), limit);
        }

        if (!axis.IsRaw)
        {
            See(census, minuteLayouts.Bind(1, range.First).Bind(2, range.Last + 1), limit);
        }

        if (census.Count <= AxisModule.MostDevices)
        {
            return new History(AxisModule.Within(census.Slots, axis));
        }

        Look(census, axis, spans, range, limit);
        var choice = census.Choose(AxisModule.MostDevices);
        return new History(
            AxisModule.Within(Series.slots(choice.Devices), axis), FSharpValueOption<DeviceChoice>.NewValueSome(choice));
    }

    /// <summary>Counts the devices of the rows that a statement gives the layouts of.</summary>
    private void See(DeviceCensus census, Statement rows, WorkLimit? limit)
    {
        var counts = new Dictionary<int, int>();

        try
        {
            while (rows.Step())
            {
                var layout = (int)rows.Integer(0);
                counts[layout] = counts.GetValueOrDefault(layout) + 1;
            }
        }
        finally
        {
            rows.Reset();
        }

        foreach (var (layout, count) in counts)
        {
            limit?.Check();
            census.See(layouts.Find(layout).Layout, count);
        }
    }

    /// <summary>Looks into some rows to see which devices are used: some of the newest samples, or minutes all along the range.</summary>
    private void Look(
        DeviceCensus census, Axis axis, List<(long First, long Past)> spans, (long First, long Last) range, WorkLimit? limit)
    {
        if (axis.IsRaw)
        {
            var (first, past) = spans[0];

            foreach (var row in rows.Derived(Math.Max(first, past - LookedAt), past).Take(MostLookedInto))
            {
                limit?.Check();
                census.Look(row.Row.Layout, row.Point.Values);
            }

            return;
        }

        var stride = Math.Max(1, (range.Last - range.First) / MostLookedInto);
        minutes.Bind(1, range.First).Bind(2, range.Last);

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
        foreach (var row in rows.Derived(span.First, span.Past))
        {
            limit?.Check();
            history.Add(row.Row.Layout, row.Point, row.Inputs, row.Row.Said);
        }
    }

    private void AddMinutes(History history, int server, (long First, long Last) range, HashSet<long> waiting, WorkLimit? limit)
    {
        var pruned = RowKey.Minute(server, RowKey.MinuteAt(PrunedUntil(server)));
        minutes.Bind(1, range.First).Bind(2, range.Last);

        try
        {
            while (minutes.Step())
            {
                var key = minutes.Integer(0);

                // Of a minute that has changed since the samples themselves are read. Those of long ago are gone, but for what came late.
                if (key < pruned || !waiting.Contains(key))
                {
                    limit?.Check();
                    history.Add(RowKey.MinuteOf(key), layouts.Find((int)minutes.Integer(1)), minutes.Bytes(2), minutes.Bytes(3));
                }
            }
        }
        finally
        {
            minutes.Reset();
        }
    }

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
