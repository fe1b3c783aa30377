using System.Globalization;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.State;

/// <summary>
/// Copies registrations and events of the state into the database beside the dashboard, when they have changed: all that is shown is read from there, and so is
/// shown while PostgreSQL is away.
/// </summary>
internal sealed class StateMirror(Writer writer)
{
    private const int MostEvents = 500;

    /// <summary>So many times that at once.</summary>
    private const int MostRounds = 20;

    private long seenRegistrations = -1;
    private long seenEvent = -1;

    /// <summary>Copies what has changed. What the database does not take is copied the next time.</summary>
    public void Copy(PostgresConnection connection)
    {
        using var revisions = connection.Prepare("SELECT version FROM revision WHERE name = ?1");
        revisions.Bind(1, PostgresConnection.Registered);

        if ((revisions.Step() ? revisions.Integer(0) : 0) != seenRegistrations)
        {
            CopyRegistrations(connection);
        }

        CopyEvents(connection);
    }

    /// <summary>Copies the registrations.</summary>
    public void CopyRegistrations(PostgresConnection connection)
    {
        // The version first: what is changed in between is copied twice rather than never.
        using var revisions = connection.Prepare("SELECT version FROM revision WHERE name = ?1");
        var version = revisions.Bind(1, PostgresConnection.Registered).Step() ? revisions.Integer(0) : 0;
        var registered = Registrations.All(connection).ConvertAll(static one => one.Registration);

        if (writer.Mirror(registered).Result)
        {
            seenRegistrations = version;
        }
    }

    /// <summary>Why a database cannot be used beside a state; null where it can. It is marked as this state's from then on.</summary>
    /// <param name="connection">To the database, before anybody else writes to it.</param>
    /// <param name="path">The database's file.</param>
    /// <param name="state">The state's id.</param>
    /// <param name="clock">The dashboard's.</param>
    public static string? Refusal(SqliteConnection connection, string path, string state, AgentClock clock)
    {
        var known = Setting.Read(connection, Setting.State);

        if (known == state)
        {
            return null;
        }

        if (known.Length > 0)
        {
            return $"--database: \"{path}\" belongs to another --state; name a new file";
        }

        if (Database.Scalar(connection, "SELECT count(*) FROM server") is > 0 and var servers)
        {
            return $"--database: \"{path}\" has {servers} servers of its own, which --state would remove; name a new file";
        }

        return Database.Transact<string?>(connection, clock, () =>
        {
            Setting.Write(connection, Setting.State, state);
            return null;
        });
    }

    /// <summary>
    /// Why a database cannot be used without its state; null where it is one of its own. What is changed in a copy is lost at the next look at the state, a token
    /// that was printed among it.
    /// </summary>
    /// <param name="connection">To the database.</param>
    public static string? Alone(SqliteConnection connection) =>
        Setting.Read(connection, Setting.State).Length > 0
            ? $"--database: \"{connection.DataSource}\" is a dashboard's copy of a state in PostgreSQL; give --state as well, or name another file"
            : null;

    private void CopyEvents(PostgresConnection connection)
    {
        if (seenEvent < 0)
        {
            seenEvent = writer.LastMirroredEvent().Result;
        }

        using var after = connection.Prepare("SELECT id, server, at, kind, text, author FROM event WHERE id > ?1 ORDER BY id LIMIT ?2");

        for (var round = 0; round < MostRounds && seenEvent >= 0; round++)
        {
            after.Bind(1, seenEvent).Bind(2, MostEvents);
            var events = new List<EventRow>();

            while (after.Step())
            {
                events.Add(new EventRow(
                    after.Integer(0), (int)after.Integer(1), after.Integer(2), after.Text(3), after.Text(4), after.Text(5)));
            }

            if (events.Count == 0 || !writer.Mirror(events).Result)
            {
                return;
            }

            seenEvent = events[^1].Id;
        }
    }
}
