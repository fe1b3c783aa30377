
namespace Agent.Dashboard.Store;

/// <summary>What the dashboard remembers by name.</summary>
internal static class Setting
{
    /// <summary>The URL on which <c>serve</c> listened last, for the command that registration prints.</summary>
    public const string Listen = "listen";

    /// <summary>Not empty where <c>serve</c> read figures from a cluster when it was started last.</summary>
    public const string Cluster = "cluster";

    /// <summary>What was set of the rules of alerts on the page, as JSON.</summary>
    public const string AlertRules = "alert-rules";

    /// <summary>The id of the state: its own, and in the database beside it the one that this belongs to.</summary>
    public const string State = "state-id";

    /// <summary>The number of the last event of the state that is in the database as well.</summary>
    public const string StateEvent = "state-event";

    /// <summary>What cookies of devices are signed with, in the state.</summary>
    public const string DeviceKey = "device-key";

    /// <summary>What is kept of the viewers' password, in the state.</summary>
    public const string ViewerPassword = "viewer-password";

    /// <summary>Those who may log in, in the state, as the text of a file.</summary>
    public const string Users = "users";

    /// <summary>The tokens of scripts, in the state, as the text of a file.</summary>
    public const string Tokens = "tokens";

    /// <summary>When the disk was tried last.</summary>
    public const string Alive = "alive";

    /// <summary>What is remembered; empty for nothing.</summary>
    public static string Read(StateConnection connection, string name)
    {
        using var statement = connection.Prepare("SELECT value FROM setting WHERE name = ?1");
        statement.Bind(1, name);
        var value = statement.Step() ? statement.Text(0) : "";
        statement.Reset();
        return value;
    }

    /// <summary>Remembers something. Within a transaction.</summary>
    public static void Write(StateConnection connection, string name, string value)
    {
        using var statement = connection.Prepare("INSERT INTO setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2");
        statement.Bind(1, name).Bind(2, value).Run();
    }
}
