using Agent.Core;
using Agent.Receiver;
using Agent.Receiver.Alerts;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>The rows of what happened. Over one connection.</summary>
internal sealed class EventRows : IDisposable
{
    /// <summary>All machines.</summary>
    public const int Everywhere = 0;

    private const int StepRows = 500;

    /// <summary>So many XID events are looked at: the newest.</summary>
    private const int MostXids = 1000;

    private static readonly Dictionary<string, EventKind> Kinds =
        EventKind.All.ToDictionary(static kind => kind.Name, StringComparer.Ordinal);

    private readonly Statement add;
    private readonly Statement ofServer;
    private readonly Statement ofAll;
    private readonly Statement verdictsOfServer;
    private readonly Statement xids;
    private readonly Statement prune;

    /// <summary>Prepares its statements.</summary>
    public EventRows(SqliteConnection connection)
    {
        add = new Statement(connection, "INSERT INTO event (server, at, kind, text, author) VALUES (?1, ?2, ?3, ?4, ?5)");
        ofServer = new Statement(
            connection,
            $"SELECT server, at, kind, text, author FROM event WHERE server IN ({Everywhere}, ?1) AND at >= ?2 AND at < ?3 ORDER BY at DESC LIMIT ?4");
        ofAll = new Statement(
            connection, "SELECT server, at, kind, text, author FROM event WHERE at >= ?1 AND at < ?2 ORDER BY at DESC LIMIT ?3");
        verdictsOfServer = new Statement(
            connection, "SELECT key, label, reason FROM judgement WHERE key >= ?1 AND key < ?2 ORDER BY key");
        xids = new Statement(
            connection, $"SELECT server, at, text FROM event WHERE at >= ?1 AND kind = '{EventKind.Xid.Name}' ORDER BY at DESC LIMIT {MostXids}");
        prune = new Statement(
            connection, $"DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < ?1 ORDER BY at LIMIT {StepRows})");
    }

    /// <summary>Adds what happened. Within a transaction.</summary>
    public void Add(int server, Happening happening, string author = "") =>
        add.Bind(1, server).Bind(2, happening.At).Bind(3, happening.Kind.Name).Bind(4, happening.Text).Bind(5, author).Run();

    /// <summary>What happened between two instants, in microseconds, to a server or to all; the newest first.</summary>
    public List<(int Server, Happening Happening, string Author)> In(int? server, long from, long until, int most)
    {
        var rows = server is { } id
            ? ofServer.Bind(1, id).Bind(2, from).Bind(3, until).Bind(4, most)
            : ofAll.Bind(1, from).Bind(2, until).Bind(3, most);
        var found = new List<(int, Happening, string)>();

        while (rows.Step())
        {
            if (Kinds.TryGetValue(rows.Text(2), out var kind))
            {
                found.Add(((int)rows.Integer(0), new Happening(rows.Integer(1), kind, rows.Text(3)), rows.Text(4)));
            }
        }

        return found;
    }

    /// <summary>The XID events since an instant, in microseconds, each with its server.</summary>
    public List<(int Server, XidEvent Event)> Xids(long since)
    {
        xids.Bind(1, since);
        var found = new List<(int, XidEvent)>();

        while (xids.Step())
        {
            found.Add(((int)xids.Integer(0), new XidEvent(xids.Integer(1), xids.Text(2))));
        }

        return found;
    }

    /// <summary>When something else began to hold a server back between two instants, in microseconds, oldest first.</summary>
    public List<Happening> Verdicts(int server, long from, long until)
    {
        verdictsOfServer.Bind(1, RowKey.Sample(server, from)).Bind(2, RowKey.Sample(server, until));
        var found = new List<Happening>();
        var before = -1L;

        while (verdictsOfServer.Step())
        {
            var label = verdictsOfServer.Integer(1);

            if (label != before && label >= 0 && label < VerdictLabel.All.Length)
            {
                found.Add(new Happening(
                    RowKey.TimeOf(verdictsOfServer.Integer(0)),
                    EventKind.Verdict,
                    $"{VerdictLabel.All[label].Name}: {verdictsOfServer.Text(2).TrimEnd('.')}"));
            }

            before = label;
        }

        return found;
    }

    /// <summary>Deletes some of what is older than an instant, in microseconds.</summary>
    public void Prune(long before) => prune.Bind(1, before).Run();

    /// <inheritdoc/>
    public void Dispose()
    {
        add.Dispose();
        ofServer.Dispose();
        ofAll.Dispose();
        verdictsOfServer.Dispose();
        xids.Dispose();
        prune.Dispose();
    }
}
