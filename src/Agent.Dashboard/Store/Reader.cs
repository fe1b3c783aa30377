using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Reads histories over a connection of its own. Not safe for several threads; <see cref="Readers"/> lends them out.</summary>
internal sealed class Reader : IDisposable
{
    private readonly SqliteConnection connection;
    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly Statement minutes;
    private readonly Statement dirty;
    private readonly Statement prunedUntil;
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
            connection, "SELECT key, layout, figures FROM minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        dirty = new Statement(connection, "SELECT key FROM dirty_minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
        prunedUntil = new Statement(connection, "SELECT pruned_until FROM server WHERE id = ?1");
    }

    /// <summary>What there is of a server between two instants, in microseconds; <paramref name="now"/> by the receiver's clock.</summary>
    /// <exception cref="SqliteException">It cannot be read.</exception>
    public History Read(int server, long from, long until, long now)
    {
        // One view of the database for all that follows.
        Database.Execute(connection, "BEGIN");

        try
        {
            var axis = Axis(server, from, until, now);
            var history = new History(axis);

            if (axis.IsRaw)
            {
                AddSamples(history, RowKey.Sample(server, axis.From), RowKey.Sample(server, axis.To + 1));
            }
            else
            {
                AddMinutes(history, server, axis);
            }

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
        dirty.Dispose();
        prunedUntil.Dispose();
        rows.Dispose();
        layouts.Dispose();
        connection.Dispose();
    }

    private Axis Axis(int server, long from, long until, long now) =>
        AxisModule.PrefersRaw(from, until, now, rawHours)
            ? AxisModule.OfSamples(from, until, rows.Count(RowKey.Sample(server, from), RowKey.Sample(server, until + 1)))
            : AxisModule.OfMinutes(from, until);

    private void AddSamples(History history, long first, long past)
    {
        foreach (var row in rows.Derived(first, past))
        {
            history.Add(row.Row.Layout, row.Point, row.Inputs);
        }
    }

    private void AddMinutes(History history, int server, Axis axis)
    {
        var first = RowKey.Minute(server, RowKey.MinuteAt(axis.From));
        var last = RowKey.Minute(server, RowKey.MinuteAt(axis.To));
        var waiting = Dirty(first, last);
        var pruned = RowKey.Minute(server, RowKey.MinuteAt(PrunedUntil(server)));
        minutes.Bind(1, first).Bind(2, last);

        while (minutes.Step())
        {
            var key = minutes.Integer(0);

            // Of a minute that has changed since the samples themselves are read. Those of long ago are gone, but for what came late.
            if (key < pruned || !waiting.Contains(key))
            {
                history.Add(RowKey.MinuteOf(key), layouts.Find((int)minutes.Integer(1)), minutes.Bytes(2));
            }
        }

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

                AddSamples(history, FirstSample(server, key), FirstSample(server, past));
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
