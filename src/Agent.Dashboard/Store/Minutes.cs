using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// Rolls samples up into minutes. A minute that gets a sample is dirty until it is rolled up; which ones are is on disk as well, in the
/// same transaction as the sample, so that none is forgotten. One whose samples come in order is rolled up as they do, and written with
/// the first sample of another; any other is rolled up from what is read. On the writer's thread, within its transaction.
/// </summary>
internal sealed class Minutes : IDisposable
{
    /// <summary>What was collected so long ago, in microseconds, may still be on its way, and what follows on what came so long ago.</summary>
    public const long OnTheWay = 5_000_000;

    private readonly SampleRows rows;
    private readonly Layouts layouts;
    private readonly JobRows jobs;
    private readonly Quarters quarters;
    private readonly Statement mark;
    private readonly Statement unmark;
    private readonly Statement marked;
    private readonly Statement read;
    private readonly Statement jobsOf;
    private readonly Statement write;
    private readonly Statement deleteSamples;
    private readonly Statement late;

    /// <summary>Prepares its statements.</summary>
    public Minutes(SqliteConnection connection, SampleRows rows, Layouts layouts, JobRows jobs, Quarters quarters)
    {
        this.rows = rows;
        this.layouts = layouts;
        this.jobs = jobs;
        this.quarters = quarters;
        mark = new Statement(connection, "INSERT OR IGNORE INTO dirty_minute (key) VALUES (?1)");
        unmark = new Statement(connection, "DELETE FROM dirty_minute WHERE key = ?1");
        marked = new Statement(connection, "SELECT key FROM dirty_minute WHERE key >= ?1 AND key < ?2");
        read = new Statement(connection, "SELECT layout, figures, verdicts, jobs, details FROM minute WHERE key = ?1");
        jobsOf = new Statement(connection, "SELECT jobs FROM minute WHERE key = ?1");
        write = new Statement(
            connection, "INSERT OR REPLACE INTO minute (key, layout, samples, figures, verdicts, jobs, details) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        late = new Statement(
            connection, $"SELECT 1 FROM sample WHERE key >= ?1 AND key < ?2 AND {SampleRows.ArrivalMilliseconds} > ?3 LIMIT 1");
        deleteSamples = new Statement(connection, "DELETE FROM sample WHERE key >= ?1 AND key < ?2");
    }

    /// <summary>Whether a minute has as many samples as it may, of so many figures each; else one is about to come.</summary>
    public bool IsFull(LiveServer server, long key, int slots)
    {
        var minute = MinuteOf(key);
        var most = ServerLimitsModule.MostOfMinute(slots);

        if (server.OpenMinutes.Find(minute) is { } open)
        {
            server.Counted[minute] = open.Builder.Samples + 1;
            return open.Builder.Samples >= most;
        }

        if (!server.Counted.TryGetValue(minute, out var count))
        {
            var start = minute * RowKey.MicrosecondsPerMinute;
            count = rows.Count(RowKey.Sample(server.Id, start), RowKey.Sample(server.Id, start + RowKey.MicrosecondsPerMinute));
        }

        server.Counted[minute] = count + 1;
        return count >= most;
    }

    /// <summary>Takes a sample that was stored just now, with the keys of its neighbours in time.</summary>
    public void Take(
        LiveServer server, long key, long receivedAt, Layout layout, Point point, VerdictPoint said, (long? Previous, long? Next) neighbours)
    {
        var minute = MinuteOf(key);
        Touch(server, minute);
        var open = server.OpenMinutes.Find(minute);

        if (open is null)
        {
            var isFirst = (neighbours.Previous is not { } before || MinuteOf(before) != minute)
                && (neighbours.Next is not { } after || MinuteOf(after) != minute)
                && minute * RowKey.MicrosecondsPerMinute >= server.PrunedUntil;

            if (!isFirst)
            {
                return;
            }

            if (neighbours.Previous is { } last && server.OpenMinutes.Close(MinuteOf(last)) is { } complete)
            {
                Write(server, MinuteOf(last), new Minute(complete.Builder.Rollup, complete.Said.Minute));
            }

            open = server.OpenMinutes.Open(minute, layout);
        }
        else if (key < open.LastKey || !ReferenceEquals(layout, open.Builder.Layout))
        {
            server.OpenMinutes.Close(minute);
            return;
        }

        open.LastKey = key;
        open.LastReceived = receivedAt;
        open.Builder.Add(point);
        open.Said.Add(said, point.Covers);
    }

    /// <summary>Notes that what is derived from a stored sample has changed.</summary>
    public void Change(LiveServer server, long key)
    {
        var minute = MinuteOf(key);
        Touch(server, minute);
        server.OpenMinutes.Close(minute);
    }

    /// <summary>Reads which minutes of a server are dirty.</summary>
    public void Load(LiveServer server)
    {
        marked.Bind(1, RowKey.Minute(server.Id, 0)).Bind(2, RowKey.Minute(server.Id + 1, 0));

        while (marked.Step())
        {
            server.Dirty.Add(RowKey.MinuteOf(marked.Integer(0)));
        }
    }

    /// <summary>
    /// Rolls up dirty minutes before <paramref name="past"/> that nothing was added to just now, the oldest first; more of a machine's
    /// backlog may be on its way, and would be read again. False when <paramref name="goOn"/> ended it early.
    /// </summary>
    public bool RollSettled(LiveServer server, long past, long now, Func<bool> goOn) =>
        Roll(server, past, now, goOn, minute => server.OpenMinutes.Find(minute) is not { } open || open.LastReceived <= now - OnTheWay);

    /// <summary>Rolls up all dirty minutes before <paramref name="past"/>.</summary>
    public void RollAll(LiveServer server, long past, long now) => Roll(server, past, now, static () => true, static _ => true);

    /// <inheritdoc/>
    public void Dispose()
    {
        mark.Dispose();
        unmark.Dispose();
        marked.Dispose();
        read.Dispose();
        jobsOf.Dispose();
        write.Dispose();
        late.Dispose();
        deleteSamples.Dispose();
    }

    /// <summary>Of a minute whose samples are deleted those that come late wait a while, to be recognised if they are sent again.</summary>
    private bool Roll(LiveServer server, long past, long now, Func<bool> goOn, Func<long, bool> isDue)
    {
        foreach (var minute in server.Dirty.Where(minute => minute < past && isDue(minute)).Order().ToArray())
        {
            if (!goOn())
            {
                return false;
            }

            if (minute * RowKey.MicrosecondsPerMinute < server.PrunedUntil
                && (minute == server.NewestMinute || HasLate(server, minute, now)))
            {
                continue;
            }

            Write(server, minute, Rollup(server, minute));
        }

        return true;
    }

    private static long MinuteOf(long sampleKey) => RowKey.MinuteAt(RowKey.TimeOf(sampleKey));

    private void Touch(LiveServer server, long minute)
    {
        if (server.Dirty.Add(minute))
        {
            mark.Bind(1, RowKey.Minute(server.Id, minute)).Run();
        }
    }

    private Minute Rollup(LiveServer server, long minute)
    {
        var start = minute * RowKey.MicrosecondsPerMinute;

        if (server.OpenMinutes.Close(minute) is { } open && start >= server.PrunedUntil)
        {
            return new Minute(open.Builder.Rollup, open.Said.Minute);
        }

        var first = RowKey.Sample(server.Id, start);
        var past = RowKey.Sample(server.Id, start + RowKey.MicrosecondsPerMinute);
        var said = new VerdictMinuteBuilder();
        var points = new List<(Layout, Point)>();

        foreach (var row in rows.Derived(first, past))
        {
            var point = row.Point;
            points.Add((row.Row.Layout, point));
            said.Add(row.Row.Said, point.Covers);
        }

        var rolled = new Minute(RollupModule.OfPoints([.. points]), said.Minute);

        if (start < server.PrunedUntil)
        {
            // The samples of long ago are gone, but for those that came late: these are added to what is known of them.
            rolled = Known(RowKey.Minute(server.Id, minute)) is { } known
                ? new Minute(RollupModule.Join(known.Rollup, rolled.Rollup), VerdictMinuteModule.Join(known.Said, rolled.Said))
                : rolled;
            deleteSamples.Bind(1, first).Bind(2, past).Run();
        }

        return rolled;
    }

    private void Write(LiveServer server, long minute, Minute rolled)
    {
        var key = RowKey.Minute(server.Id, minute);
        var rollup = rolled.Rollup;

        if (rollup.Samples > 0)
        {
            var before = JobsOf(key);
            write
                .Bind(1, key)
                .Bind(2, layouts.Identify(rollup.Layout))
                .Bind(3, rollup.Samples)
                .Bind(4, RollupModule.Pack(rollup))
                .Bind(5, VerdictMinuteModule.PackLabels(rolled.Said))
                .Bind(6, VerdictMinuteModule.PackJobs(rolled.Said))
                .Bind(7, RollupModule.PackDetails(rollup))
                .Run();
            quarters.Change(server, minute);

            if (before.Length > 0 || rolled.Said.Jobs.Length > 0)
            {
                jobs.Use(minute, JobUseModule.Change(before, rolled.Said.Jobs));
            }
        }

        unmark.Bind(1, key).Run();
        server.Dirty.Remove(minute);
        server.Counted.Remove(minute);
    }

    /// <summary>The jobs of a minute as it was written before; none if it was not.</summary>
    private JobMinute[] JobsOf(long key)
    {
        jobsOf.Bind(1, key);
        var before = jobsOf.Step() ? VerdictMinuteModule.UnpackJobs(jobsOf.Bytes(0)) : [];
        jobsOf.Reset();
        return before;
    }

    private bool HasLate(LiveServer server, long minute, long now)
    {
        var start = minute * RowKey.MicrosecondsPerMinute;
        late
            .Bind(1, RowKey.Sample(server.Id, start))
            .Bind(2, RowKey.Sample(server.Id, start + RowKey.MicrosecondsPerMinute))
            .Bind(3, Retention.LastArrival(now));
        var found = late.Step();
        late.Reset();
        return found;
    }

    private Minute? Known(long key)
    {
        read.Bind(1, key);
        Minute? known = null;

        if (read.Step())
        {
            var layout = layouts.Find((int)read.Integer(0));
            var rollup = RollupModule.WithDetails(layout, read.Bytes(4), RollupModule.Unpack(layout, read.Bytes(1)));
            known = new Minute(rollup, VerdictMinuteModule.Unpack(read.Bytes(2), read.Bytes(3)));
        }

        read.Reset();
        return known;
    }

    /// <summary>A minute: what was measured, and what was said.</summary>
    private sealed record Minute(Rollup Rollup, VerdictMinute Said);
}
