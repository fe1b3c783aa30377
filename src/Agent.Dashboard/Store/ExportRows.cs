using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>A minute whose samples are gone.</summary>
/// <param name="Minute">Its number.</param>
/// <param name="Rollup">What is left of them.</param>
/// <param name="Verdicts">Seconds of each verdict, by its code.</param>
internal readonly record struct ExportMinute(long Minute, Rollup Rollup, double[] Verdicts);

/// <summary>
/// Reads the history of servers in the order of time, a portion at a time: between two of them the database may be written to, and its log may be cut.
/// </summary>
internal sealed class ExportRows : IDisposable
{
    /// <summary>So many rows of minutes, and samples of so many microseconds, are read at once.</summary>
    private const int MinutesAtOnce = 240;
    private const long SamplesAtOnce = 2 * RowKey.MicrosecondsPerMinute;

    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly Statement minutes;
    private readonly Statement prunedUntil;

    /// <summary>Prepares its statements.</summary>
    public ExportRows(SqliteConnection connection)
    {
        layouts = new Layouts(connection);
        rows = new SampleRows(connection, layouts);
        minutes = new Statement(
            connection,
            $"SELECT key, layout, figures, verdicts, details FROM minute WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT {MinutesAtOnce}");
        prunedUntil = new Statement(connection, "SELECT pruned_until FROM server WHERE id = ?1");
    }

    /// <summary>Before this, in microseconds, only minutes are left of a server.</summary>
    public long PrunedUntil(int server)
    {
        prunedUntil.Bind(1, server);
        var until = prunedUntil.Step() ? prunedUntil.Integer(0) : 0;
        prunedUntil.Reset();
        return until;
    }

    /// <summary>The minutes of a server from one to before another.</summary>
    public IEnumerable<ExportMinute> Minutes(int server, long first, long past)
    {
        var (next, end) = (RowKey.Minute(server, first), RowKey.Minute(server, past));

        while (true)
        {
            var some = new List<ExportMinute>(MinutesAtOnce);
            minutes.Bind(1, next).Bind(2, end);

            try
            {
                while (minutes.Step())
                {
                    var stored = layouts.Find((int)minutes.Integer(1));
                    var rollup = RollupModule.WithDetails(stored, minutes.Bytes(4), RollupModule.Unpack(stored, minutes.Bytes(2)));
                    some.Add(new ExportMinute(RowKey.MinuteOf(minutes.Integer(0)), rollup, VerdictMinuteModule.Unpack(minutes.Bytes(3), []).Seconds));
                }
            }
            finally
            {
                minutes.Reset();
            }

            foreach (var minute in some)
            {
                yield return minute;
            }

            if (some.Count < MinutesAtOnce)
            {
                yield break;
            }

            next = RowKey.Minute(server, some[^1].Minute + 1);
        }
    }

    /// <summary>The samples of a server from one instant to before another, in microseconds.</summary>
    public IEnumerable<SampleRow> Samples(int server, long from, long until)
    {
        // The key before the first one of all would be another server's.
        var (next, end) = (RowKey.Sample(server, Math.Max(1, from)), RowKey.Sample(server, until));

        while (rows.After(next - 1) is { } first && first.Key < end)
        {
            // From there on: there may be none for weeks.
            next = Math.Min(end, first.Key + SamplesAtOnce);

            foreach (var row in rows.Range(first.Key, next).ToArray())
            {
                yield return row;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        rows.Dispose();
        minutes.Dispose();
        prunedUntil.Dispose();
        layouts.Dispose();
    }
}
