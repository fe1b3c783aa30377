using Agent.Core.Dashboard;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Reads histories over a connection of its own. Not safe for several threads; <see cref="Readers"/> lends them out.</summary>
internal sealed class Reader : IDisposable
{
    private readonly SqliteConnection connection;
    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly Statement minutes;

    /// <summary>Opens the database, which a writer has opened before.</summary>
    /// <exception cref="SqliteException">It cannot be opened.</exception>
    public Reader(string path)
    {
        connection = Database.OpenForReading(path);
        layouts = new Layouts(connection);
        rows = new SampleRows(connection, layouts);
        minutes = new Statement(
            connection, "SELECT key, layout, figures FROM minute WHERE key >= ?1 AND key <= ?2 ORDER BY key");
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
                AddSamples(history, server, axis);
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
        rows.Dispose();
        layouts.Dispose();
        connection.Dispose();
    }

    private Axis Axis(int server, long from, long until, long now) =>
        AxisModule.PrefersRaw(from, until, now)
            ? AxisModule.OfSamples(from, until, rows.Count(RowKey.Sample(server, from), RowKey.Sample(server, until + 1)))
            : AxisModule.OfMinutes(from, until);

    private void AddSamples(History history, int server, Axis axis)
    {
        var first = RowKey.Sample(server, axis.From);
        var previous = rows.Before(first);
        var derived = previous is null ? null : Ingestion.Held(previous, null).Stored.Derivation;

        foreach (var row in rows.Range(first, RowKey.Sample(server, axis.To + 1)))
        {
            derived = DerivationModule.Between(Maybe.Of(derived?.Sample), DerivationModule.SampleOf(row.Report));
            history.Add(row.Layout, PointModule.Of(row.Layout, row.Report, derived.Derived, row.Label), derived);
        }
    }

    private void AddMinutes(History history, int server, Axis axis)
    {
        minutes
            .Bind(1, RowKey.Minute(server, RowKey.MinuteAt(axis.From)))
            .Bind(2, RowKey.Minute(server, RowKey.MinuteAt(axis.To)));

        while (minutes.Step())
        {
            history.Add(RowKey.MinuteOf(minutes.Integer(0)), layouts.Find((int)minutes.Integer(1)), minutes.Bytes(2));
        }
    }
}
