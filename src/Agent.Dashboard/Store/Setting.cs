using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>What the dashboard remembers by name.</summary>
internal static class Setting
{
    /// <summary>The URL on which <c>serve</c> listened last, for the command that registration prints.</summary>
    public const string Listen = "listen";

    /// <summary>What was set of the rules of alerts on the page, as JSON.</summary>
    public const string AlertRules = "alert-rules";

    /// <summary>When the disk was tried last.</summary>
    public const string Alive = "alive";

    /// <summary>What is remembered; empty for nothing.</summary>
    public static string Read(SqliteConnection connection, string name)
    {
        using var statement = new Statement(connection, "SELECT value FROM setting WHERE name = ?1");
        statement.Bind(1, name);
        var value = statement.Step() ? statement.Text(0) : "";
        statement.Reset();
        return value;
    }

    /// <summary>Remembers something. Within a transaction.</summary>
    public static void Write(SqliteConnection connection, string name, string value)
    {
        using var statement = new Statement(connection, "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)");
        statement.Bind(1, name).Bind(2, value).Run();
    }
}
