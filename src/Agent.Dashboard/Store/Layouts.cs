using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// The layouts of the database, each of which is kept once, with the format that its rows were written in. For one connection.
/// </summary>
internal sealed class Layouts : IDisposable
{
    private static readonly string CurrentFormat = FormatModule.ToText(FormatModule.current);

    private readonly Dictionary<int, StoredLayout> byId = [];
    private readonly Dictionary<string, int> byText = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Format> formats = [];
    private readonly Statement find;
    private readonly Statement findFormat;
    private readonly Statement identify;
    private readonly Statement add;
    private readonly Statement addFormat;

    /// <summary>Prepares its statements.</summary>
    public Layouts(SqliteConnection connection)
    {
        find = new Statement(connection, "SELECT content, format FROM layout WHERE id = ?1");
        findFormat = new Statement(connection, "SELECT content FROM format WHERE id = ?1");
        identify = new Statement(
            connection, "SELECT id FROM layout WHERE content = ?1 AND format = (SELECT id FROM format WHERE content = ?2)");
        addFormat = new Statement(connection, "INSERT OR IGNORE INTO format (content) VALUES (?1)");
        add = new Statement(
            connection,
            "INSERT INTO layout (content, format) SELECT ?1, id FROM format WHERE content = ?2 RETURNING id");
    }

    /// <summary>Is called with each number that <see cref="Identify"/> gives.</summary>
    public Action<int>? OnIdentified { get; set; }

    /// <summary>The layout of that number; without any device when the database does not have it.</summary>
    public StoredLayout Find(int id)
    {
        if (byId.TryGetValue(id, out var layout))
        {
            return layout;
        }

        find.Bind(1, id);
        var isThere = find.Step();
        var text = isThere ? find.Text(0) : "";
        var format = isThere ? (int)find.Integer(1) : 0;
        find.Reset();

        layout = isThere
            ? LayoutModule.Parse(text).Match(
                known => StoredLayoutModule.Of(FormatOf(format), known), static _ => StoredLayoutModule.empty)
            : StoredLayoutModule.empty;
        byId[id] = layout;
        return layout;
    }

    /// <summary>The number of a layout whose rows are written now; it is added if it is new. Within a transaction.</summary>
    public int Identify(Layout layout)
    {
        var text = LayoutModule.ToText(layout);

        if (!byText.TryGetValue(text, out var id))
        {
            byText[text] = id = Look(text);
        }

        OnIdentified?.Invoke(id);
        return id;
    }

    /// <summary>Forgets what a transaction added that was given up, or took away.</summary>
    public void Forget()
    {
        byId.Clear();
        byText.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        find.Dispose();
        findFormat.Dispose();
        identify.Dispose();
        add.Dispose();
        addFormat.Dispose();
    }

    private int Look(string text)
    {
        identify.Bind(1, text).Bind(2, CurrentFormat);
        var known = identify.Step();
        var id = (int)identify.Integer(0);
        identify.Reset();

        if (!known)
        {
            addFormat.Bind(1, CurrentFormat).Run();
            add.Bind(1, text).Bind(2, CurrentFormat).Step();
            id = (int)add.Integer(0);
            add.Reset();
        }

        return id;
    }

    private Format FormatOf(int id)
    {
        if (formats.TryGetValue(id, out var format))
        {
            return format;
        }

        findFormat.Bind(1, id);
        var text = findFormat.Step() ? findFormat.Text(0) : CurrentFormat;
        findFormat.Reset();
        return formats[id] = FormatModule.Parse(text).Match(static known => known, static _ => FormatModule.current);
    }
}
