using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// Deletes the layouts that no row uses any more, of devices and servers that are gone: a while after the start, once a day, and when a server
/// was removed it goes through all rows, some at a time. On the writer's thread, within its transaction.
/// </summary>
internal sealed class LayoutSweep : IDisposable
{
    /// <summary>From one sweep to the next.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromDays(1);

    /// <summary>From the start to the first: one that is restarted every day has to sweep as well.</summary>
    public static readonly TimeSpan FirstAfter = TimeSpan.FromMinutes(10);

    private const int StepRows = 500;

    private readonly Layouts layouts;
    private readonly AgentClock clock;
    private readonly Statement count;
    private readonly Statement ids;
    private readonly Statement delete;
    private readonly Statement[] tables;
    private readonly HashSet<int> used = [];
    private TimeSpan next;
    private long after;

    /// <summary>The table that it is at; none while nothing is due.</summary>
    private int? table;

    /// <summary>Prepares its statements.</summary>
    public LayoutSweep(SqliteConnection connection, Layouts layouts, AgentClock clock)
    {
        this.layouts = layouts;
        this.clock = clock;
        count = new Statement(connection, "SELECT count(*) FROM layout");
        ids = new Statement(connection, "SELECT id FROM layout");
        delete = new Statement(connection, "DELETE FROM layout WHERE id = ?1");
        tables =
        [
            .. from name in (string[])["sample", "minute", "quarter"]
               select new Statement(connection, $"SELECT key, layout FROM {name} WHERE key > ?1 ORDER BY key LIMIT {StepRows}"),
        ];
        next = clock.Elapsed + FirstAfter;
    }

    /// <summary>Makes the next sweep due, because rows are gone.</summary>
    public void Hurry() => next = clock.Elapsed;

    /// <summary>Goes on for as long as <paramref name="goOn"/> says; true when there is more to do.</summary>
    public bool Run(ICollection<LiveServer> servers, Func<bool> goOn)
    {
        if (table is null && clock.Elapsed >= next)
        {
            Start(servers);
        }

        while (table is { } current)
        {
            if (!goOn())
            {
                return true;
            }

            Step(current, servers);
        }

        return false;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        count.Dispose();
        ids.Dispose();
        delete.Dispose();

        foreach (var statement in tables)
        {
            statement.Dispose();
        }
    }

    private void Start(ICollection<LiveServer> servers)
    {
        next = clock.Elapsed + Period;
        used.Clear();
        UseThoseOf(servers);
        count.Step();
        var known = count.Integer(0);
        count.Reset();

        if (known > used.Count)
        {
            // What is written meanwhile, behind the place that is looked at, is used too.
            layouts.OnIdentified = id => used.Add(id);
            after = -1;
            table = 0;
        }
    }

    private void Step(int current, ICollection<LiveServer> servers)
    {
        var rows = tables[current].Bind(1, after);
        var seen = 0;

        while (rows.Step())
        {
            seen++;
            after = rows.Integer(0);
            used.Add((int)rows.Integer(1));
        }

        if (seen < StepRows)
        {
            after = -1;
            table = current + 1 < tables.Length ? current + 1 : null;

            if (table is null)
            {
                Finish(servers);
            }
        }
    }

    private void Finish(ICollection<LiveServer> servers)
    {
        layouts.OnIdentified = null;
        UseThoseOf(servers);
        var unused = new List<int>();

        while (ids.Step())
        {
            if (!used.Contains((int)ids.Integer(0)))
            {
                unused.Add((int)ids.Integer(0));
            }
        }

        foreach (var id in unused)
        {
            delete.Bind(1, id).Run();
        }

        layouts.Forget();
        used.Clear();
    }

    /// <summary>Those of the newest samples. A server without samples has none, which is no layout in use.</summary>
    private void UseThoseOf(ICollection<LiveServer> servers) =>
        used.UnionWith(servers.Select(static server => server.Layout.Id).Where(static id => id >= 0));
}
