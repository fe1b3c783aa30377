using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// The layouts of the database, each of which is kept once, with the format that its rows were written in. For one connection.
/// </summary>
internal sealed class Layouts : IDisposable
{
    private static readonly string CurrentFormat = FormatModule.ToText(FormatModule.current);

    /// <summary>Layouts of so many devices together are held in memory, and texts of so many characters.</summary>
    private const int MostDevices = 16384;
    private const int MostText = 1 << 20;

    private readonly Dictionary<int, StoredLayout> byId = [];
    private readonly Dictionary<string, int> byText = new(StringComparer.Ordinal);
    private readonly Dictionary<int, Format> formats = [];
    private int devices;
    private int length;
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
        var held = layout.Layout.Disks.Length + layout.Layout.Gpus.Length + layout.Layout.Fans.Length
            + layout.Layout.Details.Sum(static names => names.Length) + 1;

        if (devices + held > MostDevices)
        {
            byId.Clear();
            devices = 0;
        }

        devices += held;
        byId[id] = layout;
        return layout;
    }

    /// <summary>The number of a layout whose rows are written now; it is added if it is new. Within a transaction.</summary>
    public int Identify(Layout layout) => Identify(layout, static () => true) ?? 0;

    /// <summary>The same, but null for one that is new where <paramref name="mayAdd"/> does not allow it.</summary>
    public int? Identify(Layout layout, Func<bool> mayAdd)
    {
        var text = LayoutModule.ToText(layout);

        if (!byText.TryGetValue(text, out var id))
        {
            if (Look(text) is { } known)
            {
                id = known;
            }
            else if (mayAdd())
            {
                id = Add(text);
            }
            else
            {
                return null;
            }

            Hold(text, id);
        }

        OnIdentified?.Invoke(id);
        return id;
    }

    /// <summary>Forgets what a transaction added that was given up, or took away.</summary>
    public void Forget()
    {
        byId.Clear();
        byText.Clear();
        devices = 0;
        length = 0;
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

    private void Hold(string text, int id)
    {
        if (length + text.Length > MostText)
        {
            byText.Clear();
            length = 0;
        }

        length += text.Length;
        byText[text] = id;
    }

    private int? Look(string text)
    {
        identify.Bind(1, text).Bind(2, CurrentFormat);
        int? id = identify.Step() ? (int)identify.Integer(0) : null;
        identify.Reset();
        return id;
    }

    private int Add(string text)
    {
        addFormat.Bind(1, CurrentFormat).Run();
        add.Bind(1, text).Bind(2, CurrentFormat).Step();
        var id = (int)add.Integer(0);
        add.Reset();
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
