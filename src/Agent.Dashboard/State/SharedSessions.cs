using System.Security.Cryptography;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.State;

/// <summary>The log-ins as they were read.</summary>
/// <param name="Version">Rises with each change.</param>
/// <param name="All">All of them.</param>
internal sealed record SessionsRead(long Version, SessionRecord[] All);

/// <summary>
/// The log-ins that several dashboards share, in their state: whoever logs in at one is known to all, and whoever logs out is logged out everywhere. Who
/// was known when PostgreSQL went away stays so until it is back.
/// </summary>
/// <param name="state">Keeps them.</param>
/// <param name="clock">The dashboard's.</param>
internal sealed class SharedSessions(PostgresState state, AgentClock clock)
{
    /// <summary>
    /// Who comes with a session that is not known here waits so long, and with them everybody who comes meanwhile: it is looked at most so often
    /// whether there are new ones, whatever strangers send.
    /// </summary>
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(40);

    private readonly Lock gate = new();
    private Task<SessionsRead?>? pending;
    private long seen = -1;

    /// <summary>What keeps them.</summary>
    public PostgresState State => state;

    /// <summary>Why the state cannot be used, for answers.</summary>
    public string Reason => state.Reason;

    /// <summary>
    /// What all dashboards have in common before anybody logs in: the sessions, the key of devices, and what is kept of the viewers' password, of which the first
    /// dashboard that has another one makes new what is kept. Null where the state cannot be read.
    /// </summary>
    /// <param name="viewerPassword">Empty for none.</param>
    public SessionFile? Open(string viewerPassword)
    {
        var kept = SessionFileModule.empty;
        var isDone = state.Session((connection, version) =>
        {
            var key = Setting.Read(connection, Setting.DeviceKey);

            if (key.Length != Devices.KeyBytes * 2)
            {
                key = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(Devices.KeyBytes));
                Setting.Write(connection, Setting.DeviceKey, key);
            }

            kept = new SessionFile(Viewers(connection, viewerPassword), Convert.FromHexString(key), All(connection));
            seen = version;
        }).Result;

        return isDone ? kept : null;
    }

    /// <summary>Keeps one more, and lets those go that have to make room; false where it cannot be kept.</summary>
    public Task<bool> Add(DateTimeOffset now, SessionRecord session) => state.Session((connection, _) =>
    {
        var before = All(connection);
        var after = SessionFileModule.Add(now, session, before).Select(static one => one.Key).ToHashSet(StringComparer.Ordinal);
        Remove(connection, before.Where(one => !after.Contains(one.Key)));
        using var add = connection.Prepare("INSERT INTO session (key, ends, stamp, name) VALUES (?1, ?2, ?3, ?4)");
        add.Bind(1, session.Key).Bind(2, session.Ends.ToUnixTimeSeconds()).Bind(3, session.Stamp).Bind(4, session.Name).Run();
    });

    /// <summary>Ends those that somebody's log-out ends; false where that cannot be kept.</summary>
    public Task<bool> End(Func<SessionRecord, bool> isOver) => state.Session((connection, _) => Remove(connection, All(connection).Where(isOver)));

    /// <summary>All of them, where they have changed since the last time; null where they have not, or cannot be read.</summary>
    public async Task<SessionsRead?> Changed()
    {
        SessionsRead? read = null;
        await state.Read(connection =>
        {
            using var revision = connection.Prepare("SELECT version FROM revision WHERE name = ?1");
            var version = revision.Bind(1, PostgresConnection.Sessions).Step() ? revision.Integer(0) : 0;

            if (version != seen)
            {
                read = new SessionsRead(version, All(connection));
                seen = version;
            }
        });
        return read;
    }

    /// <summary>The same, for somebody who is not known here: together with others who are not.</summary>
    public Task<SessionsRead?> ChangedSoon()
    {
        lock (gate)
        {
            return pending ??= Gather();
        }
    }

    private async Task<SessionsRead?> Gather()
    {
        await Task.Delay(Gathering, clock);

        lock (gate)
        {
            pending = null;
        }

        return await Changed();
    }

    private static FSharpValueOption<PasswordHash> Viewers(StateConnection connection, string password)
    {
        if (password.Length == 0)
        {
            return FSharpValueOption<PasswordHash>.ValueNone;
        }

        var known = Credentials.PasswordIn(Setting.Read(connection, Setting.ViewerPassword));

        if (known is { IsSome: true, Value: var hash } && hash.Iterations == Credentials.Iterations && Passwords.Matches(password, hash))
        {
            return known;
        }

        var made = Passwords.Hash(password);
        Setting.Write(connection, Setting.ViewerPassword, Credentials.PasswordText(made));
        return FSharpValueOption<PasswordHash>.NewValueSome(made);
    }

    private static SessionRecord[] All(StateConnection connection)
    {
        using var rows = connection.Prepare("SELECT key, ends, stamp, name FROM session ORDER BY ends, key");
        var found = new List<SessionRecord>();

        while (rows.Step())
        {
            found.Add(new SessionRecord(rows.Text(0), DateTimeOffset.FromUnixTimeSeconds(rows.Integer(1)), rows.Text(2), rows.Text(3)));
        }

        return [.. found];
    }

    private static void Remove(StateConnection connection, IEnumerable<SessionRecord> sessions)
    {
        using var remove = connection.Prepare("DELETE FROM session WHERE key = ?1");

        foreach (var session in sessions.ToArray())
        {
            remove.Bind(1, session.Key).Run();
        }
    }
}
