using Agent.Core;
using Agent.Receiver;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>Looks how a database is, without writing to it. A damaged one gives what can still be read of it.</summary>
internal static class Inspection
{
    /// <summary>Looks at a file, which somebody may be writing to; a sentence where there is no database to look at.</summary>
    public static FSharpResult<Checkup, string> Of(string path)
    {
        if (!File.Exists(path))
        {
            return Error($"\"{path}\" is not there");
        }

        try
        {
            using var connection = Database.OpenForReading(path);
            return Database.Refusal(connection, path) is { } refusal
                ? Error(refusal)
                : FSharpResult<Checkup, string>.NewOk(Of(connection, path));
        }
        catch (SqliteException failure)
        {
            return Error(StorageWatch.FaultOf(failure).Fault.Equals(StorageFault.Damaged)
                ? $"\"{path}\" is damaged or not a database: {failure.Message}"
                : $"\"{path}\" cannot be read: {Database.Reason(failure)}");
        }
        catch (Exception failure) when (PrivateFiles.IsFault(failure))
        {
            return Error($"\"{path}\" cannot be read: {FaultReason.Of(failure)}");
        }
    }

    /// <summary>What SQLite finds wrong with a database: "ok" and nothing else when it is whole.</summary>
    public static List<string> Integrity(SqliteConnection connection)
    {
        var said = new List<string>();

        try
        {
            using var check = new Statement(connection, "PRAGMA integrity_check");

            while (check.Step())
            {
                said.AddRange(check.Text(0).Split('\n', StringSplitOptions.RemoveEmptyEntries));
            }
        }
        catch (SqliteException failure)
        {
            said.Add(failure.Message);
        }

        said.AddRange(BadLayouts(connection));

        if (said.Count > 1)
        {
            said.Remove("ok");
        }

        return said;
    }

    private static Checkup Of(SqliteConnection connection, string path) =>
        new(
            path,
            DiskSpace.SizeOf(path),
            DiskSpace.SizeOf(path + "-wal"),
            DiskSpace.FreeFor(path),
            [.. Integrity(connection)],
            (int)Database.Scalar(connection, "PRAGMA user_version"),
            Migrations.Steps.Length,
            Ask(connection, "SELECT count(*) FROM layout"),
            Ask(
                connection,
                "SELECT count(*) FROM layout WHERE id NOT IN (SELECT layout FROM sample UNION SELECT layout FROM minute UNION SELECT layout FROM quarter)"),
            [.. Servers(connection)],
            Maybe.Of(DatabaseLock.HolderOf(path)));

    private static List<ServerRows> Servers(SqliteConnection connection)
    {
        var found = new List<ServerRows>();

        try
        {
            foreach (var (registration, _) in Registrations.All(connection).OrderBy(
                static server => server.Registration.Slug, StringComparer.Ordinal))
            {
                found.Add(Rows(connection, registration));
            }
        }
        catch (SqliteException)
        {
            // The integrity check has said why.
        }

        return found;
    }

    private static ServerRows Rows(SqliteConnection connection, Registration registration)
    {
        var id = registration.Id;
        var samples = Range(connection, "sample", RowKey.Sample(id, 0), RowKey.Sample(id + 1, 0));
        var minutes = Range(connection, "minute", RowKey.Minute(id, 0), RowKey.Minute(id + 1, 0));
        var oldest = new List<DateTimeOffset>();
        var newest = FSharpValueOption<DateTimeOffset>.ValueNone;

        if (samples.Count > 0)
        {
            oldest.Add(RowKey.Instant(RowKey.TimeOf(samples.First)));
            newest = FSharpValueOption<DateTimeOffset>.NewValueSome(RowKey.Instant(RowKey.TimeOf(samples.Last)));
        }

        if (minutes.Count > 0)
        {
            oldest.Add(RowKey.Instant(RowKey.MinuteOf(minutes.First) * RowKey.MicrosecondsPerMinute));
        }

        return new ServerRows(
            registration.Slug,
            samples.Count,
            minutes.Count,
            oldest.Count > 0 ? FSharpValueOption<DateTimeOffset>.NewValueSome(oldest.Min()) : FSharpValueOption<DateTimeOffset>.ValueNone,
            newest);
    }

    private static (long Count, long First, long Last) Range(SqliteConnection connection, string table, long first, long past)
    {
        using var rows = new Statement(connection, $"SELECT count(*), min(key), max(key) FROM {table} WHERE key >= ?1 AND key < ?2");
        rows.Bind(1, first).Bind(2, past).Step();
        var found = (rows.Integer(0), rows.Integer(1), rows.Integer(2));
        rows.Reset();
        return found;
    }

    /// <summary>Layouts that SQLite gives as they were stored and that nobody can read.</summary>
    private static List<string> BadLayouts(SqliteConnection connection)
    {
        var bad = new List<string>();

        try
        {
            using var layouts = new Statement(connection, "SELECT id, content FROM layout ORDER BY id");

            while (layouts.Step())
            {
                if (!LayoutModule.Parse(layouts.Text(1)).IsOk)
                {
                    bad.Add($"layout {layouts.Integer(0)} cannot be read");
                }
            }
        }
        catch (SqliteException)
        {
            // The integrity check has said why.
        }

        return bad;
    }

    /// <summary>A number, or 0 where what is damaged keeps it.</summary>
    private static long Ask(SqliteConnection connection, string sql)
    {
        try
        {
            return Database.Scalar(connection, sql);
        }
        catch (SqliteException)
        {
            return 0;
        }
    }

    private static FSharpResult<Checkup, string> Error(string sentence) => FSharpResult<Checkup, string>.NewError(sentence);
}
