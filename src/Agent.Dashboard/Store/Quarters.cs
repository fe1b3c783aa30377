using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// Puts minutes together into quarters of an hour, for the histories of weeks. A quarter is deleted when one of its minutes is written, and put together again when
/// it is over; those of which nobody knows, after a start and of older versions, are looked for from the oldest minute on. On the writer's thread, within its
/// transaction.
/// </summary>
internal sealed class Quarters : IDisposable
{
    private const int StepRows = 500;

    private readonly Layouts layouts;
    private readonly Statement minuteFrom;
    private readonly Statement isThere;
    private readonly Statement minutes;
    private readonly Statement write;
    private readonly Statement delete;
    private readonly Statement prune;

    /// <summary>Prepares its statements.</summary>
    public Quarters(SqliteConnection connection, Layouts layouts)
    {
        this.layouts = layouts;
        minuteFrom = new Statement(connection, "SELECT min(key) FROM minute WHERE key >= ?1 AND key < ?2");
        isThere = new Statement(connection, "SELECT 1 FROM quarter WHERE key = ?1");
        minutes = new Statement(
            connection, "SELECT layout, figures, verdicts, details FROM minute WHERE key >= ?1 AND key < ?2 ORDER BY key");
        write = new Statement(
            connection, "INSERT OR REPLACE INTO quarter (key, layout, samples, figures, verdicts, details) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
        delete = new Statement(connection, "DELETE FROM quarter WHERE key = ?1");
        prune = new Statement(
            connection,
            $"DELETE FROM quarter WHERE key IN (SELECT key FROM quarter WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT {StepRows})");
    }

    /// <summary>A minute was written: its quarter is no longer what its minutes say.</summary>
    public void Change(LiveServer server, long minute)
    {
        var quarter = Quarter.Of(minute);

        if (server.QuartersDue.Add(quarter))
        {
            delete.Bind(1, RowKey.Minute(server.Id, quarter)).Run();
        }
    }

    /// <summary>Puts together what is due; false when <paramref name="goOn"/> ended it early.</summary>
    /// <param name="server">The server.</param>
    /// <param name="past">The first minute that is not over.</param>
    /// <param name="goOn">Whether there is time for one more.</param>
    public bool Run(LiveServer server, long past, Func<bool> goOn)
    {
        foreach (var quarter in server.QuartersDue.Where(quarter => Quarter.IsOver(quarter, past) && !HasDirty(server, quarter)).Order().ToArray())
        {
            if (!goOn())
            {
                return false;
            }

            PutTogether(server, quarter);
            server.QuartersDue.Remove(quarter);
        }

        while (server.QuarterToLookAt is { } first)
        {
            if (!goOn())
            {
                return false;
            }

            LookAt(server, first, past);
        }

        return true;
    }

    /// <summary>Deletes some of those that begin before a minute.</summary>
    public void Prune(int server, long minute) => prune.Bind(1, RowKey.Minute(server, 0)).Bind(2, RowKey.Minute(server, minute)).Run();

    /// <inheritdoc/>
    public void Dispose()
    {
        minuteFrom.Dispose();
        isThere.Dispose();
        minutes.Dispose();
        write.Dispose();
        delete.Dispose();
        prune.Dispose();
    }

    /// <summary>Looks for the first minute from one on, and whether its quarter is there.</summary>
    private void LookAt(LiveServer server, long first, long past)
    {
        minuteFrom.Bind(1, RowKey.Minute(server.Id, first)).Bind(2, RowKey.Minute(server.Id + 1, 0)).Step();
        long? minute = minuteFrom.IsNull(0) ? null : RowKey.MinuteOf(minuteFrom.Integer(0));
        minuteFrom.Reset();

        if (minute is not { } found)
        {
            server.QuarterToLookAt = null;
            return;
        }

        var quarter = Quarter.Of(found);

        if (!Quarter.IsOver(quarter, past))
        {
            server.QuartersDue.Add(quarter);
        }
        else if (!server.QuartersDue.Contains(quarter) && !IsThere(server, quarter))
        {
            PutTogether(server, quarter);
        }

        server.QuarterToLookAt = quarter + Quarter.Minutes;
    }

    private bool IsThere(LiveServer server, long quarter)
    {
        isThere.Bind(1, RowKey.Minute(server.Id, quarter));
        var found = isThere.Step();
        isThere.Reset();
        return found;
    }

    private static bool HasDirty(LiveServer server, long quarter)
    {
        for (var minute = quarter; minute < quarter + Quarter.Minutes; minute++)
        {
            if (server.Dirty.Contains(minute))
            {
                return true;
            }
        }

        return false;
    }

    private void PutTogether(LiveServer server, long quarter)
    {
        var key = RowKey.Minute(server.Id, quarter);
        var read = new List<(Rollup, VerdictMinute)>();
        minutes.Bind(1, key).Bind(2, key + Quarter.Minutes);

        while (minutes.Step())
        {
            var layout = layouts.Find((int)minutes.Integer(0));
            read.Add((
                RollupModule.WithDetails(layout, minutes.Bytes(3), RollupModule.Unpack(layout, minutes.Bytes(1))),
                VerdictMinuteModule.Unpack(minutes.Bytes(2), [])));
        }

        if (Quarter.OfMinutes([.. read]) is { IsSome: true, Value: var (rollup, said) })
        {
            write
                .Bind(1, key)
                .Bind(2, layouts.Identify(rollup.Layout))
                .Bind(3, rollup.Samples)
                .Bind(4, RollupModule.Pack(rollup))
                .Bind(5, VerdictMinuteModule.PackLabels(said))
                .Bind(6, RollupModule.PackDetails(rollup))
                .Run();
        }
    }
}
