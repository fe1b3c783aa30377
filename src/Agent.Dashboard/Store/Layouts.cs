using Agent.Core.Dashboard;
using Agent.Host;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>The layouts of the database, each of which is kept once. For one connection.</summary>
internal sealed class Layouts : IDisposable
{
    private readonly Dictionary<int, Layout> byId = [];
    private readonly Dictionary<string, int> byText = new(StringComparer.Ordinal);
    private readonly Statement find;
    private readonly Statement identify;
    private readonly Statement add;

    /// <summary>Prepares its statements.</summary>
    public Layouts(SqliteConnection connection)
    {
        find = new Statement(connection, "SELECT content FROM layout WHERE id = ?1");
        identify = new Statement(connection, "SELECT id FROM layout WHERE content = ?1");
        add = new Statement(connection, "INSERT INTO layout (content) VALUES (?1) RETURNING id");
    }

    /// <summary>The layout of that number; without any device when the database does not have it.</summary>
    public Layout Find(int id)
    {
        if (byId.TryGetValue(id, out var layout))
        {
            return layout;
        }

        find.Bind(1, id);
        layout = find.Step()
            ? LayoutModule.Parse(find.Text(0)).Match(static known => known, static _ => LayoutModule.empty)
            : LayoutModule.empty;
        find.Reset();
        byId[id] = layout;
        return layout;
    }

    /// <summary>The number of a layout, which is added if it is new. Within a transaction.</summary>
    public int Identify(Layout layout)
    {
        var text = LayoutModule.ToText(layout);

        if (byText.TryGetValue(text, out var id))
        {
            return id;
        }

        identify.Bind(1, text);
        var known = identify.Step();
        id = (int)identify.Integer(0);
        identify.Reset();

        if (!known)
        {
            add.Bind(1, text).Step();
            id = (int)add.Integer(0);
            add.Reset();
        }

        byText[text] = id;
        return id;
    }

    /// <summary>Forgets what a transaction added that was given up.</summary>
    public void Forget()
    {
        byId.Clear();
        byText.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        find.Dispose();
        identify.Dispose();
        add.Dispose();
    }
}
