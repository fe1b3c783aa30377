using Agent.Receiver;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;
using SQLitePCL;

namespace Agent.Dashboard.Store;

/// <summary>Why a database is not opened.</summary>
/// <param name="Sentence">What is wrong and what to do.</param>
/// <param name="IsUsage">Whether another file should have been named, rather than that this one cannot be used now.</param>
internal readonly record struct Unopened(string Sentence, bool IsUsage);

/// <summary>Opens the database: a file of SQLite in WAL mode, for one writer and any number of readers, of several processes.</summary>
internal static class Database
{
    // Result codes of SQLite.
    private const int NoPermission = 3;
    private const int Busy = 5;
    private const int ReadOnly = 8;
    private const int CannotOpen = 14;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    static Database()
    {
        // A connection belongs to one thread at a time here; SQLite would lock it for each value of each row, and count each
        // allocation of all. Where it is in use already it stays as it is, which is as good, but for the time.
        Batteries_V2.Init();
        raw.sqlite3_config(raw.SQLITE_CONFIG_MULTITHREAD);
        raw.sqlite3_config(raw.SQLITE_CONFIG_MEMSTATUS, 0);
    }

    /// <summary>A connection that writes; the file is made, and its tables brought up to date.</summary>
    public static FSharpResult<SqliteConnection, Unopened> OpenForWriting(string path, AgentClock clock) =>
        Open(path, SqliteOpenMode.ReadWriteCreate, clock);

    /// <summary>The same, for a file that has to be there.</summary>
    public static FSharpResult<SqliteConnection, Unopened> OpenExisting(string path, AgentClock clock) =>
        File.Exists(path)
            ? Open(path, SqliteOpenMode.ReadWrite, clock)
            : Misnamed($"--database: \"{path}\" does not exist; register-server and serve create it");

    /// <summary>A connection that only reads a database which was opened for writing before.</summary>
    /// <exception cref="SqliteException">It cannot be opened.</exception>
    public static SqliteConnection OpenForReading(string path)
    {
        var connection = Connect(path, SqliteOpenMode.ReadOnly);
        connection.Open();
        Execute(connection, "PRAGMA busy_timeout = 5000; PRAGMA cache_size = -4000; PRAGMA temp_store = MEMORY");
        return connection;
    }

    /// <summary>Executes statements for what they do.</summary>
    public static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    /// <summary>The one value that a statement gives.</summary>
    public static long Scalar(SqliteConnection connection, string sql)
    {
        using var statement = new Statement(connection, sql);
        statement.Step();
        var value = statement.Integer(0);
        statement.Reset();
        return value;
    }

    /// <summary>
    /// Runs <paramref name="work"/> in a transaction that may write. Beside a writer that commits without pause the usual waiting
    /// of SQLite, which sleeps longer and longer, would come too late each time: this tries every other millisecond.
    /// </summary>
    public static T Transact<T>(SqliteConnection connection, AgentClock clock, Func<T> work)
    {
        Begin(connection, clock);

        try
        {
            var result = work();
            Execute(connection, "COMMIT");
            return result;
        }
        catch
        {
            Rollback(connection);
            throw;
        }
    }

    /// <summary>Gives up the transaction that is open, if one is.</summary>
    public static void Rollback(SqliteConnection connection)
    {
        if (connection.Handle is { } handle && raw.sqlite3_get_autocommit(handle) == 0)
        {
            Execute(connection, "ROLLBACK");
        }
    }

    private static void Begin(SqliteConnection connection, AgentClock clock)
    {
        var start = clock.GetTimestamp();
        var gate = new object();
        using var begin = new Statement(connection, "BEGIN IMMEDIATE");
        Execute(connection, "PRAGMA busy_timeout = 0");

        try
        {
            while (true)
            {
                try
                {
                    begin.Run();
                    return;
                }
                catch (SqliteException busy) when (
                    busy.SqliteErrorCode == Busy && clock.GetElapsedTime(start) < Patience)
                {
                    lock (gate)
                    {
                        clock.Wait(gate, TimeSpan.FromMilliseconds(2));
                    }
                }
            }
        }
        finally
        {
            Execute(connection, "PRAGMA busy_timeout = 30000");
        }
    }

    private static SqliteConnection Connect(string path, SqliteOpenMode mode) =>
        new(new SqliteConnectionStringBuilder { DataSource = Path.GetFullPath(path), Mode = mode, Pooling = false, DefaultTimeout = 30 }
            .ToString());

    private static FSharpResult<SqliteConnection, Unopened> Misnamed(string sentence) =>
        FSharpResult<SqliteConnection, Unopened>.NewError(new(sentence, IsUsage: true));

    private static FSharpResult<SqliteConnection, Unopened> Open(string path, SqliteOpenMode mode, AgentClock clock)
    {
        if (Misplaced(path) is { } misplaced)
        {
            return Misnamed(misplaced);
        }

        SqliteConnection? connection = null;

        try
        {
            if (mode == SqliteOpenMode.ReadWriteCreate)
            {
                // Hashes of tokens are nobody else's business, nor is what the machines do.
                using var _ = new FileStream(path, new FileStreamOptions
                {
                    Mode = FileMode.OpenOrCreate,
                    Access = FileAccess.ReadWrite,
                    Share = FileShare.ReadWrite | FileShare.Delete,
                    UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                });
            }

            connection = Connect(path, mode);
            connection.Open();
            Execute(connection, "PRAGMA busy_timeout = 30000");

            if (Refusal(connection, path) is { } sentence)
            {
                connection.Dispose();
                return Misnamed(sentence);
            }

            Prepare(connection, clock);
            return FSharpResult<SqliteConnection, Unopened>.NewOk(connection);
        }
        catch (Exception failure) when (failure is SqliteException or IOException or UnauthorizedAccessException)
        {
            connection?.Dispose();
            return FSharpResult<SqliteConnection, Unopened>.NewError(new(Sentence(path, failure), IsUsage: false));
        }
    }

    /// <summary>Why there can be no database of that name; null where there can.</summary>
    public static string? Misplaced(string path) =>
        Path.GetDirectoryName(Path.GetFullPath(path)) is { Length: > 0 } directory && !Directory.Exists(directory)
            ? $"--database: the directory \"{directory}\" does not exist; create it first"
            : Directory.Exists(path) ? $"--database: \"{path}\" is a directory; name a file"
            : null;

    /// <summary>
    /// Why a database cannot be used, and of a damaged one what to do about it. Rows that SQLite gives and nobody can read are damage too.
    /// </summary>
    public static string Sentence(string path, Exception failure) =>
        failure is not (SqliteException or IOException or UnauthorizedAccessException)
            || StorageWatch.FaultOf(failure).Fault.Equals(StorageFault.Damaged)
            ? $"--database: \"{path}\" is damaged or not a database: {failure.Message}; `{DashboardCli.ProgramName} check --database {path}` shows the damage, and `{DashboardCli.ProgramName} restore FILE --database {path}` restores a backup"
            : $"--database: \"{path}\" cannot be used: {Reason(failure)}";

    /// <summary>Why SQLite or the file system refuses something, and what to do.</summary>
    public static string Reason(Exception failure)
    {
        if (failure is UnauthorizedAccessException or SqliteException { SqliteErrorCode: ReadOnly or CannotOpen or NoPermission })
        {
            return "this user may not open it or write to it and its directory; run this as the user who owns it, such as with sudo -u";
        }

        if (failure is not SqliteException)
        {
            return FaultReason.Of(failure);
        }

        var (fault, detail) = StorageWatch.FaultOf(failure);
        return $"{fault.Reason} ({detail}); {fault.Remedy}";
    }

    /// <summary>Why this program does not touch a database; null where it does.</summary>
    public static string? Refusal(SqliteConnection connection, string path)
    {
        var owner = Scalar(connection, "PRAGMA application_id");
        var version = Scalar(connection, "PRAGMA user_version");
        var tables = Scalar(connection, "SELECT count(*) FROM sqlite_schema");

        return owner != Migrations.ApplicationId && (owner != 0 || tables > 0)
            ? $"--database: \"{path}\" is another program's database; choose another file"
            : version > Migrations.Steps.Length
                ? $"--database: \"{path}\" was written by a newer {DashboardCli.ProgramName} (format {version}, this one knows {Migrations.Steps.Length}); use that one"
                : null;
    }

    private static void Prepare(SqliteConnection connection, AgentClock clock)
    {
        // An acknowledged sample has to survive a loss of power: with WAL, only FULL waits for the disk at each commit.
        Execute(connection, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000");

        if (Migrations.IsCurrent(connection))
        {
            return;
        }

        Transact(connection, clock, () =>
        {
            // Another process may have been faster.
            var version = Scalar(connection, "PRAGMA user_version");

            for (var step = version; step < Migrations.Steps.Length; step++)
            {
                Execute(connection, Migrations.Steps[step]);
            }

            Migrations.AddColumns(connection);

            Execute(connection, $"PRAGMA application_id = {Migrations.ApplicationId}; PRAGMA user_version = {Migrations.Steps.Length}");
            return 0;
        });
    }
}
