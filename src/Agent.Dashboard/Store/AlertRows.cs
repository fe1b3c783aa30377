using Agent.Receiver.Alerts;

namespace Agent.Dashboard.Store;

/// <summary>The rows of alerts, of what was told when, and of silences. Over one connection; instants are microseconds from 2000-01-01.</summary>
internal sealed class AlertRows : IDisposable
{
    /// <summary>So many of the newest numbers are kept, alerts that never became open among them.</summary>
    private const int MostKept = 100_000;

    private const int StepRows = 500;

    private readonly StateConnection connection;
    private readonly IStatement put;
    private readonly IStatement delete;
    private readonly IStatement current;
    private readonly IStatement highest;
    private readonly IStatement ended;
    private readonly IStatement endedOfSlug;
    private readonly IStatement setTold;
    private readonly IStatement told;
    private readonly IStatement addSilence;
    private readonly IStatement removeSilence;
    private readonly IStatement silences;
    private readonly IStatement prune;
    private readonly IStatement? raiseHighest;

    /// <summary>Prepares its statements.</summary>
    public AlertRows(StateConnection connection)
    {
        this.connection = connection;
        put = connection.Prepare(
            """
            INSERT INTO alert (id, rule, server, slug, subject, phase, is_waiting, fired_at, ended_at, content)
              VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
              ON CONFLICT (id) DO UPDATE SET phase = ?6, is_waiting = ?7, fired_at = ?8, ended_at = ?9, content = ?10
            """);
        delete = connection.Prepare("DELETE FROM alert WHERE id = ?1");
        current = connection.Prepare("SELECT content FROM alert WHERE phase <> 'ended' OR is_waiting");
        highest = connection.Prepare(connection.HighestAlert);
        raiseHighest = connection.RaiseHighestAlert is { } raise ? connection.Prepare(raise) : null;
        ended = connection.Prepare("SELECT content FROM alert WHERE phase = 'ended' ORDER BY ended_at DESC LIMIT ?1");
        endedOfSlug = connection.Prepare("SELECT content FROM alert WHERE phase = 'ended' AND slug = ?2 ORDER BY ended_at DESC LIMIT ?1");
        setTold = connection.Prepare("INSERT INTO alert_group (rule, told_at) VALUES (?1, ?2) ON CONFLICT (rule) DO UPDATE SET told_at = ?2");
        told = connection.Prepare("SELECT rule, told_at FROM alert_group");
        addSilence = connection.Prepare("INSERT INTO alert_silence (content, author) VALUES (?1, ?2) RETURNING id");
        removeSilence = connection.Prepare("DELETE FROM alert_silence WHERE id = ?1");
        silences = connection.Prepare("SELECT id, content, author FROM alert_silence ORDER BY id");
        prune = connection.Prepare(
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
    public void Put(Alert alert)
    {
        put
            .Bind(1, alert.Number)
            .Bind(2, alert.Cause.Rule)
            .Bind(3, alert.Cause.Server)
            .Bind(4, alert.Slug)
            .Bind(5, alert.Cause.Subject)
            .Bind(6, alert.Phase.Name)
            .Bind(7, alert.IsWaiting)
            .Bind(8, alert.FiredAt)
            .Bind(9, alert.EndedAt)
            .Bind(10, AlertJson.Encode(alert))
            .Run();
        raiseHighest?.Bind(1, alert.Number).Run();
    }

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
        raiseHighest?.Dispose();
    }

    private static string SilenceText(Silence silence) => RuleSettingsModule.SilenceText(silence);

    private static Alert[] Read(IStatement rows)
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
