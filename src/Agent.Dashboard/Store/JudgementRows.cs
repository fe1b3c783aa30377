using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>The rows of what was said of machines. Over one connection.</summary>
internal sealed class JudgementRows : IDisposable
{
    /// <summary>A run's sentence may have been kept a little before the run begins, where buckets are long.</summary>
    private const long Before = RowKey.MicrosecondsPerMinute;

    private const int StepRows = 500;

    private readonly Statement keep;
    private readonly Statement last;
    private readonly Statement reason;
    private readonly Statement prune;

    /// <summary>Prepares its statements.</summary>
    public JudgementRows(SqliteConnection connection)
    {
        keep = new Statement(connection, "INSERT OR REPLACE INTO judgement (key, label, reason, content) VALUES (?1, ?2, ?3, ?4)");
        last = new Statement(
            connection, "SELECT key, content FROM judgement WHERE key >= ?1 AND key <= ?2 ORDER BY key DESC LIMIT 1");
        reason = new Statement(
            connection, "SELECT reason FROM judgement WHERE key >= ?1 AND key <= ?2 AND label = ?3 ORDER BY key DESC LIMIT 1");
        prune = new Statement(
            connection,
            $"DELETE FROM judgement WHERE key IN (SELECT key FROM judgement WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT {StepRows})");
    }

    /// <summary>Keeps what was said with a sample if it is worth it. Within a transaction.</summary>
    public void Keep(LiveServer server, long key, Judgement judgement)
    {
        var at = RowKey.TimeOf(key);
        var since = TimeSpan.FromMicroseconds(at - server.KeptAt);

        if (JudgementRecord.IsWorthKeeping(Maybe.Of(server.Kept), since, judgement))
        {
            keep
                .Bind(1, key)
                .Bind(2, JobSchema.CodeOf(judgement.Machine.Label))
                .Bind(3, judgement.Machine.Reason)
                .Bind(4, JudgementRecord.Kept(judgement))
                .Run();
            server.Kept = judgement;
            server.KeptAt = at;
        }
    }

    /// <summary>Reads what was said of a server last.</summary>
    public void Load(LiveServer server)
    {
        if (At(server.Id, long.MaxValue) is not var (at, content))
        {
            return;
        }

        var read = JudgementIntake.OfKept(content, RowKey.Instant(at));
        server.Kept = read.IsValueSome ? read.Value : null;
        server.KeptAt = at;
        server.Judgement = server.Kept;
    }

    /// <summary>What was said of a server last at an instant, in microseconds: when, and the text; null for nothing.</summary>
    public (long At, string Content)? At(int server, long at)
    {
        last.Bind(1, RowKey.Sample(server, 0)).Bind(2, RowKey.Sample(server, at));
        (long, string)? found = last.Step() ? (RowKey.TimeOf(last.Integer(0)), last.Text(1)) : null;
        last.Reset();
        return found;
    }

    /// <summary>The sentence of each of these stretches; empty where none was kept.</summary>
    public string[] Reasons(int server, (long From, long To, int Label)[] runs) =>
        Array.ConvertAll(runs, run =>
        {
            reason
                .Bind(1, RowKey.Sample(server, Math.Max(0, run.From - Before)))
                .Bind(2, RowKey.Sample(server, run.To))
                .Bind(3, run.Label);
            var found = reason.Step() ? reason.Text(0) : "";
            reason.Reset();
            return found;
        });

    /// <summary>Deletes some of what is older than an instant, in microseconds.</summary>
    public void Prune(int server, long before) => prune.Bind(1, RowKey.Sample(server, 0)).Bind(2, RowKey.Sample(server, before)).Run();

    /// <inheritdoc/>
    public void Dispose()
    {
        keep.Dispose();
        last.Dispose();
        reason.Dispose();
        prune.Dispose();
    }
}
