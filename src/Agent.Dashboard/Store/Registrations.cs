using System.Security.Cryptography;
using System.Text;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>The table of servers, for the commands and for the receiver alike. Whoever writes has a transaction open.</summary>
internal static class Registrations
{
    private const string Columns = "id, slug, name, hostname, description, is_active, created_at, token_sha256";

    /// <summary>What is kept of a token, and compared.</summary>
    public static byte[] Hash(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));

    /// <summary>A new token: 32 random bytes as text.</summary>
    public static string NewToken() => RegistrationModule.TokenOf(RandomNumberGenerator.GetBytes(32));

    /// <summary>Every server, by its number.</summary>
    public static List<(Registration Registration, string Agent)> All(StateConnection connection)
    {
        using var statement = connection.Prepare($"SELECT {Columns}, agent FROM server ORDER BY id");
        var found = new List<(Registration, string)>();

        while (statement.Step())
        {
            found.Add((Read(statement), statement.Text(8)));
        }

        return found;
    }

    /// <summary>The server of that slug, or null.</summary>
    public static Registration? Find(StateConnection connection, string slug)
    {
        using var statement = connection.Prepare($"SELECT {Columns} FROM server WHERE slug = ?1");
        statement.Bind(1, slug);
        var found = statement.Step() ? Read(statement) : null;
        statement.Reset();
        return found;
    }

    /// <summary>Adds a server, or changes the one that has its number.</summary>
    public static void Save(StateConnection connection, Registration registration)
    {
        using var statement = connection.Prepare(
            $"""
            INSERT INTO server ({Columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            ON CONFLICT (id) DO UPDATE SET
              name = ?3, hostname = ?4, description = ?5, is_active = ?6, token_sha256 = ?8
            """);

        statement
            .Bind(1, registration.Id)
            .Bind(2, registration.Slug)
            .Bind(3, registration.Name)
            .Bind(4, registration.Hostname)
            .Bind(5, registration.Description)
            .Bind(6, registration.IsActive ? 1 : 0)
            .Bind(7, RowKey.Microseconds(registration.CreatedAt))
            .Bind(8, registration.TokenHash)
            .Run();
    }

    /// <summary>The least number that no server has; none when all are taken.</summary>
    public static int? FreeId(StateConnection connection)
    {
        using var statement = connection.Prepare("SELECT id FROM server ORDER BY id");
        var free = 1;

        while (statement.Step())
        {
            if (statement.Integer(0) > free)
            {
                statement.Reset();
                break;
            }

            free++;
        }

        return free <= RegistrationModule.MostServers ? free : null;
    }

    /// <summary>Removes a server with everything it sent.</summary>
    public static void Remove(StateConnection connection, int id)
    {
        if (connection.HasSamples)
        {
            RemoveSamples(connection, id);
        }

        using var events = connection.Prepare("DELETE FROM event WHERE server = ?1");
        events.Bind(1, id).Run();
        using var server = connection.Prepare("DELETE FROM server WHERE id = ?1");
        server.Bind(1, id).Run();
    }

    /// <summary>Makes them the registrations of a state elsewhere. A server that was removed there and registered again is another one.</summary>
    public static void Become(StateConnection connection, List<Registration> registered)
    {
        var wanted = registered.ToDictionary(static one => one.Id);
        var known = All(connection).ToDictionary(static one => one.Registration.Id, static one => one.Registration);

        foreach (var (id, registration) in known)
        {
            if (!wanted.TryGetValue(id, out var one) || one.Slug != registration.Slug || one.CreatedAt != registration.CreatedAt)
            {
                Remove(connection, id);
                known.Remove(id);
            }
        }

        foreach (var registration in registered)
        {
            if (!known.TryGetValue(registration.Id, out var before) || !before.Equals(registration))
            {
                Save(connection, registration);
            }
        }
    }

    private static void RemoveSamples(StateConnection connection, int id)
    {
        foreach (var (table, first, past) in new[]
        {
            ("sample", RowKey.Sample(id, 0), RowKey.Sample(id + 1, 0)),
            ("minute", RowKey.Minute(id, 0), RowKey.Minute(id + 1, 0)),
            ("quarter", RowKey.Minute(id, 0), RowKey.Minute(id + 1, 0)),
            ("dirty_minute", RowKey.Minute(id, 0), RowKey.Minute(id + 1, 0)),
            ("judgement", RowKey.Sample(id, 0), RowKey.Sample(id + 1, 0)),
        })
        {
            using var rows = connection.Prepare($"DELETE FROM {table} WHERE key >= ?1 AND key < ?2");
            rows.Bind(1, first).Bind(2, past).Run();
        }

        JobRows.Remove(connection, id);
    }

    /// <summary>Whether samples are stored here, rather than in a cluster.</summary>
    public static bool KeepsSamples(StateConnection connection) =>
        connection.HasSamples && Setting.Read(connection, Setting.Cluster).Length == 0;

    /// <summary>How many samples of a server are stored.</summary>
    public static long Samples(StateConnection connection, int id)
    {
        if (!connection.HasSamples)
        {
            return 0;
        }

        using var statement = connection.Prepare("SELECT count(*) FROM sample WHERE key >= ?1 AND key < ?2");
        statement.Bind(1, RowKey.Sample(id, 0)).Bind(2, RowKey.Sample(id + 1, 0)).Step();
        return statement.Integer(0);
    }

    /// <summary>When the newest sample of a server was collected.</summary>
    public static FSharpValueOption<DateTimeOffset> LastSample(StateConnection connection, int id)
    {
        if (!connection.HasSamples)
        {
            return FSharpValueOption<DateTimeOffset>.ValueNone;
        }

        using var statement = connection.Prepare("SELECT max(key) FROM sample WHERE key >= ?1 AND key < ?2");
        statement.Bind(1, RowKey.Sample(id, 0)).Bind(2, RowKey.Sample(id + 1, 0)).Step();
        var none = statement.IsNull(0);
        var key = statement.Integer(0);
        statement.Reset();

        return none
            ? FSharpValueOption<DateTimeOffset>.ValueNone
            : FSharpValueOption<DateTimeOffset>.NewValueSome(RowKey.Instant(RowKey.TimeOf(key)));
    }

    private static Registration Read(IStatement row) =>
        new(
            (int)row.Integer(0),
            row.Text(1),
            row.Text(2),
            row.Text(3),
            row.Text(4),
            row.Integer(5) != 0,
            RowKey.Instant(row.Integer(6)),
            row.Bytes(7).ToArray());
}
