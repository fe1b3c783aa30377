using Agent.Receiver.Alerts;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>The rows of alerts, of what was told when, and of silences. Over one connection; instants are microseconds from 2000-01-01.</summary>
internal sealed class AlertRows : IDisposable
{
    /// <summary>So many of the newest numbers are kept, alerts that never became open among them.</summary>
    private const int MostKept = 100_000;

    private const int StepRows = 500;

    private readonly SqliteConnection connection;
    private readonly Statement put;
    private readonly Statement delete;
    private readonly Statement current;
    private readonly Statement highest;
    private readonly Statement ended;
    private readonly Statement endedOfSlug;
    private readonly Statement setTold;
    private readonly Statement told;
    private readonly Statement addSilence;
    private readonly Statement removeSilence;
    private readonly Statement silences;
    private readonly Statement prune;

    /// <summary>Prepares its statements.</summary>
    public AlertRows(SqliteConnection connection)
    {
        this.connection = connection;
        put = new Statement(
            connection,
            """
            INSERT INTO alert (id, rule, server, slug, subject, phase, is_waiting, fired_at, ended_at, content)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
              ON CONFLICT (id) DO UPDATE SET phase = ?6, is_waiting = ?7, fired_at = ?8, ended_at = ?9, content = ?10
            """);
        delete = new Statement(connection, "DELETE FROM alert WHERE id = ?1");
        current = new Statement(connection, "SELECT content FROM alert WHERE phase <> 'ended' OR is_waiting");
        highest = new Statement(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'alert'");
        ended = new Statement(connection, "SELECT content FROM alert WHERE phase = 'ended' ORDER BY ended_at DESC LIMIT ?1");
        endedOfSlug = new Statement(
            connection, "SELECT content FROM alert WHERE phase = 'ended' AND slug = ?2 ORDER BY ended_at DESC LIMIT ?1");
        setTold = new Statement(connection, "INSERT OR REPLACE INTO alert_group (rule, told_at) VALUES (?1, ?2)");
        told = new Statement(connection, "SELECT rule, told_at FROM alert_group");
        addSilence = new Statement(connection, "INSERT INTO alert_silence (content, author) VALUES (?1, ?2) RETURNING id");
        removeSilence = new Statement(connection, "DELETE FROM alert_silence WHERE id = ?1");
        silences = new Statement(connection, "SELECT id, content, author FROM alert_silence ORDER BY id");
        prune = new Statement(
            connection,
            $"""
            DELETE FROM alert WHERE id IN
              (SELECT id FROM alert WHERE phase = 'ended' AND NOT is_waiting AND (ended_at < ?1 OR id < ?2) ORDER BY ended_at LIMIT {StepRows})
            """);
    }

    /// <summary>All alerts that are not done with, and when each group was told last.</summary>
    public AlertState Load()
    {
        var groups = new List<(string, long)>();

        while (told.Step())
        {
            groups.Add((told.Text(0), told.Integer(1)));
        }

        return AlertJson.Restore(Highest() + 1, [.. groups], Read(current));
    }

    /// <summary>Those that are over, the last one first.</summary>
    /// <param name="slug">Of that machine; null for all.</param>
    /// <param name="most">So many at most.</param>
    public Alert[] Ended(string? slug, int most) =>
        Read(slug is null ? ended.Bind(1, most) : endedOfSlug.Bind(1, most).Bind(2, slug));

    /// <summary>Those that are open.</summary>
    public Alert[] Open() => [.. Read(current).Where(static alert => alert.Phase.IsFiring)];

    /// <summary>Writes an alert. Within a transaction.</summary>
    public void Put(Alert alert) =>
        put
            .Bind(1, alert.Number)
            .Bind(2, alert.Cause.Rule)
            .Bind(3, alert.Cause.Server)
            .Bind(4, alert.Slug)
            .Bind(5, alert.Cause.Subject)
            .Bind(6, alert.Phase.Name)
            .Bind(7, alert.IsWaiting ? 1 : 0)
            .Bind(8, alert.FiredAt)
            .Bind(9, alert.EndedAt)
            .Bind(10, AlertJson.Encode(alert))
            .Run();

    /// <summary>Deletes one that never became open. Within a transaction.</summary>
    public void Delete(long number) => delete.Bind(1, number).Run();

    /// <summary>Remembers when a group was told. Within a transaction.</summary>
    public void SetTold(string rule, long at) => setTold.Bind(1, rule).Bind(2, at).Run();

    /// <summary>What was set of rules on the page, as JSON.</summary>
    public string Rules() => Setting.Read(connection, Setting.AlertRules) is { Length: > 0 } text ? text : "{}";

    /// <summary>Remembers that. Within a transaction.</summary>
    public void SaveRules(string text) => Setting.Write(connection, Setting.AlertRules, text);

    /// <summary>Adds a silence and gives it a number. Within a transaction.</summary>
    public long Add(Silence silence)
    {
        addSilence.Bind(1, SilenceText(silence)).Bind(2, silence.Author).Step();
        var id = addSilence.Integer(0);
        addSilence.Reset();
        return id;
    }

    /// <summary>Removes a silence. Within a transaction.</summary>
    public void Remove(long silence) => removeSilence.Bind(1, silence).Run();

    /// <summary>The silences, in the order in which they were added.</summary>
    public List<Silence> Silences()
    {
        var found = new List<Silence>();

        while (silences.Step())
        {
            var read = RuleSettingsModule.SilenceOfBody(System.Text.Encoding.UTF8.GetBytes(silences.Text(1)));

            if (read.IsOk)
            {
                found.Add(AlertJson.Numbered(silences.Integer(0), silences.Text(2), read.ResultValue));
            }
        }

        return found;
    }

    /// <summary>Deletes some of what was over before an instant, and what is beyond the most that are kept.</summary>
    public void Prune(long before) => prune.Bind(1, before).Bind(2, Highest() - MostKept).Run();

    /// <inheritdoc/>
    public void Dispose()
    {
        put.Dispose();
        delete.Dispose();
        current.Dispose();
        highest.Dispose();
        ended.Dispose();
        endedOfSlug.Dispose();
        setTold.Dispose();
        told.Dispose();
        addSilence.Dispose();
        removeSilence.Dispose();
        silences.Dispose();
        prune.Dispose();
    }

    private static string SilenceText(Silence silence) => RuleSettingsModule.SilenceText(silence);

    private static Alert[] Read(Statement rows)
    {
        var found = new List<Alert>();

        while (rows.Step())
        {
            var read = AlertJson.Decode(rows.Text(0));

            if (read.IsValueSome)
            {
                found.Add(read.Value);
            }
        }

        return [.. found];
    }

    private long Highest()
    {
        var number = highest.Step() ? highest.Integer(0) : 0;
        highest.Reset();
        return number;
    }
}
