using System.Text;
using Agent.Core;
using Agent.Receiver;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>The table of keys with which machines register themselves, and which machines did. Whoever writes has a transaction open.</summary>
internal static class EnrolKeys
{
    private const string Columns = "name, key_sha256, labels, created_at, expires_at";

    /// <summary>Every key, by its name, with the number of servers that enrolled with it.</summary>
    public static List<(EnrolKey Key, int Servers)> All(SqliteConnection connection)
    {
        using var statement = new Statement(
            connection, $"SELECT {Columns}, (SELECT count(*) FROM server WHERE server.enrol_key = enrol_key.name) FROM enrol_key ORDER BY name");
        var found = new List<(EnrolKey, int)>();

        while (statement.Step())
        {
            found.Add((Read(statement), (int)statement.Integer(5)));
        }

        return found;
    }

    /// <summary>The key of that hash, or null.</summary>
    public static EnrolKey? Find(SqliteConnection connection, byte[] hash)
    {
        using var statement = new Statement(connection, $"SELECT {Columns} FROM enrol_key WHERE key_sha256 = ?1");
        statement.Bind(1, hash);
        var found = statement.Step() ? Read(statement) : null;
        statement.Reset();
        return found;
    }

    /// <summary>Adds a key; false where one has its name.</summary>
    public static bool Add(SqliteConnection connection, EnrolKey key)
    {
        using var statement = new Statement(connection, $"INSERT OR IGNORE INTO enrol_key ({Columns}) VALUES (?1, ?2, ?3, ?4, ?5)");
        statement
            .Bind(1, key.Name)
            .Bind(2, key.Hash)
            .Bind(3, Enrolment.LabelText(key.Labels))
            .Bind(4, RowKey.Microseconds(key.CreatedAt));

        if (key.ExpiresAt.IsValueSome)
        {
            statement.Bind(5, RowKey.Microseconds(key.ExpiresAt.Value));
        }

        statement.Run();
        return Changes(connection) > 0;
    }

    /// <summary>Removes a key; the machines that enrolled with it keep their tokens. False where there is none.</summary>
    public static bool Remove(SqliteConnection connection, string name)
    {
        using var statement = new Statement(connection, "DELETE FROM enrol_key WHERE name = ?1");
        statement.Bind(1, name).Run();
        return Changes(connection) > 0;
    }

    /// <summary>The servers that enrolled and may be the machine that asks: those of its id or its host name.</summary>
    public static EnrolledMachine[] Candidates(SqliteConnection connection, EnrolRequest request)
    {
        using var statement = new Statement(
            connection,
            """
            SELECT id, enrol_machine_id, enrol_hostname FROM server
            WHERE enrol_key <> '' AND (enrol_machine_id = ?1 OR enrol_hostname = ?2 COLLATE NOCASE) ORDER BY id
            """);
        statement.Bind(1, request.MachineId).Bind(2, request.Hostname);
        var found = new List<(int Id, string Machine, string Hostname)>();

        while (statement.Step())
        {
            found.Add(((int)statement.Integer(0), statement.Text(1), statement.Text(2)));
        }

        return [.. found.Select(one => new EnrolledMachine(one.Id, one.Machine, one.Hostname, Registrations.LastSample(connection, one.Id)))];
    }

    /// <summary>Notes how a server enrolled.</summary>
    public static void Note(SqliteConnection connection, int id, EnrolKey key, EnrolRequest request)
    {
        using var statement = new Statement(
            connection, "UPDATE server SET enrol_key = ?2, enrol_machine_id = ?3, enrol_hostname = ?4 WHERE id = ?1");
        statement.Bind(1, id).Bind(2, key.Name).Bind(3, request.MachineId).Bind(4, request.Hostname).Run();
    }

    private static long Changes(SqliteConnection connection)
    {
        using var statement = new Statement(connection, "SELECT changes()");
        statement.Step();
        return statement.Integer(0);
    }

    private static EnrolKey Read(Statement row) =>
        new(
            row.Text(0),
            row.Bytes(1).ToArray(),
            Enrolment.LabelsOf(row.Text(2)),
            RowKey.Instant(row.Integer(3)),
            row.IsNull(4)
                ? FSharpValueOption<DateTimeOffset>.ValueNone
                : FSharpValueOption<DateTimeOffset>.NewValueSome(RowKey.Instant(row.Integer(4))));
}
