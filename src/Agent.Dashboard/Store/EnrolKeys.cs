using System.Text;
using Agent.Core;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>The table of keys with which machines register themselves, and which machines did. Whoever writes has a transaction open.</summary>
internal static class EnrolKeys
{
    private const string Columns = "name, key_sha256, labels, created_at, expires_at";

    /// <summary>Every key, by its name, with the number of servers that enrolled with it.</summary>
    public static List<(EnrolKey Key, int Servers)> All(StateConnection connection)
    {
        using var statement = connection.Prepare(
            $"SELECT {Columns}, (SELECT count(*) FROM server WHERE server.enrol_key = enrol_key.name) FROM enrol_key ORDER BY name");
        var found = new List<(EnrolKey, int)>();

        while (statement.Step())
        {
            found.Add((Read(statement), (int)statement.Integer(5)));
        }

        return found;
    }

    /// <summary>The key of that hash, or null.</summary>
    public static EnrolKey? Find(StateConnection connection, byte[] hash)
    {
        using var statement = connection.Prepare($"SELECT {Columns} FROM enrol_key WHERE key_sha256 = ?1");
        statement.Bind(1, hash);
        var found = statement.Step() ? Read(statement) : null;
        statement.Reset();
        return found;
    }

    /// <summary>Adds a key; false where one has its name.</summary>
    public static bool Add(StateConnection connection, EnrolKey key)
    {
        using var statement = connection.Prepare(
            $"INSERT INTO enrol_key ({Columns}) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO NOTHING RETURNING name");
        statement
            .Bind(1, key.Name)
            .Bind(2, key.Hash)
            .Bind(3, Enrolment.LabelText(key.Labels))
            .Bind(4, RowKey.Microseconds(key.CreatedAt));

        if (key.ExpiresAt.IsValueSome)
        {
            statement.Bind(5, RowKey.Microseconds(key.ExpiresAt.Value));
        }
        else
        {
            statement.BindNull(5);
        }

        return HasRow(statement);
    }

    /// <summary>Removes a key; the machines that enrolled with it keep their tokens. False where there is none.</summary>
    public static bool Remove(StateConnection connection, string name)
    {
        using var statement = connection.Prepare("DELETE FROM enrol_key WHERE name = ?1 RETURNING name");
        return HasRow(statement.Bind(1, name));
    }

    /// <summary>The servers that enrolled and may be the machine that asks: those of its id or its host name.</summary>
    /// <param name="connection">To where they are kept.</param>
    /// <param name="request">What asks.</param>
    /// <param name="lastSample">When the newest sample of a server was taken, by its number.</param>
    public static EnrolledMachine[] Candidates(
        StateConnection connection, EnrolRequest request, Func<int, FSharpValueOption<DateTimeOffset>> lastSample)
    {
        using var statement = connection.Prepare(
            """
            SELECT id, enrol_machine_id, enrol_hostname FROM server
            WHERE enrol_key <> '' AND (enrol_machine_id = ?1 OR lower(enrol_hostname) = lower(?2)) ORDER BY id
            """);
        statement.Bind(1, request.MachineId).Bind(2, request.Hostname);
        var found = new List<(int Id, string Machine, string Hostname)>();

        while (statement.Step())
        {
            found.Add(((int)statement.Integer(0), statement.Text(1), statement.Text(2)));
        }

        return [.. found.Select(one => new EnrolledMachine(one.Id, one.Machine, one.Hostname, lastSample(one.Id)))];
    }

    /// <summary>Notes how a server enrolled.</summary>
    public static void Note(StateConnection connection, int id, EnrolKey key, EnrolRequest request)
    {
        using var statement = connection.Prepare("UPDATE server SET enrol_key = ?2, enrol_machine_id = ?3, enrol_hostname = ?4 WHERE id = ?1");
        statement.Bind(1, id).Bind(2, key.Name).Bind(3, request.MachineId).Bind(4, request.Hostname).Run();
    }

    /// <summary>Executes a statement to its end; whether it gave a row.</summary>
    private static bool HasRow(IStatement statement)
    {
        var hasRow = statement.Step();

        if (hasRow)
        {
            statement.Run();
        }

        return hasRow;
    }

    private static EnrolKey Read(IStatement row) =>
        new(
            row.Text(0),
            row.Bytes(1).ToArray(),
            Enrolment.LabelsOf(row.Text(2)),
            RowKey.Instant(row.Integer(3)),
            row.IsNull(4)
                ? FSharpValueOption<DateTimeOffset>.ValueNone
                : FSharpValueOption<DateTimeOffset>.NewValueSome(RowKey.Instant(row.Integer(4))));
}
