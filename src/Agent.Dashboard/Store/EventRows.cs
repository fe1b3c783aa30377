using Agent.Core;
using Agent.Receiver;
using Agent.Receiver.Alerts;

namespace Agent.Dashboard.Store;

/// <summary>A row of what happened, as it is copied from the state.</summary>
/// <param name="Id">Its number in the state.</param>
/// <param name="Server">The server's number; 0 for all.</param>
/// <param name="At">In microseconds from 2000-01-01.</param>
/// <param name="Kind">The name of its kind.</param>
/// <param name="Text">What happened.</param>
/// <param name="Author">Who wrote it down; empty for nobody.</param>
internal sealed record EventRow(long Id, int Server, long At, string Kind, string Text, string Author);

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

    private readonly IStatement add;
    private readonly IStatement ofServer;
    private readonly IStatement ofAll;
    private readonly IStatement verdictsOfServer;
    private readonly IStatement xids;
    private readonly IStatement prune;

    /// <summary>Prepares its statements.</summary>
    public EventRows(StateConnection connection)
    {
        add = connection.Prepare("INSERT INTO event (server, at, kind, text, author) VALUES (?1, ?2, ?3, ?4, ?5)");
        ofServer = connection.Prepare(
            $"SELECT server, at, kind, text, author FROM event WHERE server IN ({Everywhere}, ?1) AND at >= ?2 AND at < ?3 ORDER BY at DESC LIMIT ?4");
        ofAll = connection.Prepare("SELECT server, at, kind, text, author FROM event WHERE at >= ?1 AND at < ?2 ORDER BY at DESC LIMIT ?3");
        verdictsOfServer = connection.Prepare("SELECT key, label, reason FROM judgement WHERE key >= ?1 AND key < ?2 ORDER BY key");
        xids = connection.Prepare(
            $"SELECT server, at, text FROM event WHERE at >= ?1 AND kind = '{EventKind.Xid.Name}' ORDER BY at DESC LIMIT {MostXids}");
        prune = connection.Prepare($"DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < ?1 ORDER BY at LIMIT {StepRows})");
    }

    /// <summary>Adds what happened. Within a transaction.</summary>
    public void Add(int server, Happening happening, string author = "") =>
        add.Bind(1, server).Bind(2, happening.At).Bind(3, happening.Kind.Name).Bind(4, happening.Text).Bind(5, author).Run();

    /// <summary>Adds what happened, as the state has it. Within a transaction.</summary>
    public void Add(EventRow row) =>
        add.Bind(1, row.Server).Bind(2, row.At).Bind(3, row.Kind).Bind(4, row.Text).Bind(5, row.Author).Run();

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
