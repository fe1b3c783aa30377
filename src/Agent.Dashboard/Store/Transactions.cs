using Agent.Core;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Agent.Dashboard.Store;

/// <summary>Runs the writer's transactions one after the other, and knows how the disk takes them. All but <see cref="Waiting"/> is for the writer's thread.</summary>
/// <param name="connection">Open for writing.</param>
/// <param name="storage">Is told what was written and what was not.</param>
/// <param name="clock">The receiver's.</param>
/// <param name="load">Reads anew what is held in memory of the database, after a transaction that was given up.</param>
internal sealed class Transactions(SqliteConnection connection, StorageWatch storage, AgentClock clock, Action load) : IDisposable
{
    /// <summary>SQLITE_READONLY and SQLITE_READONLY_DBMOVED.</summary>
    private const int ReadOnlyCode = 8;
    private const int MovedCode = 1032;

    private const long NotBusy = -1;

    /// <summary>The characters of what is written to see whether an outage is over: as much as a hundred samples take.</summary>
    private const int ProbeLength = 65536;

    private readonly string path = connection.DataSource;
    private readonly Statement begin = new(connection, "BEGIN IMMEDIATE");
    private readonly Statement commit = new(connection, "COMMIT");

    /// <summary>Whether the transaction under way finds out if an outage is over.</summary>
    private bool isProbed;

    /// <summary>False while what is held in memory may differ from what is on disk.</summary>
    private bool isLoaded = true;

    /// <summary>When something was written last, and when the transaction began that is under way; by the monotonic clock, in ticks.</summary>
    private long writtenAt;
    private long busySince = NotBusy;

    /// <summary>Called when a transaction was given up: what was remembered within it is not on disk.</summary>
    public Action? OnForget { get; set; }

    /// <summary>For how long the transaction under way has been waiting; zero when there is none.</summary>
    public TimeSpan Waiting =>
        Volatile.Read(ref busySince) is var since and not NotBusy ? clock.Elapsed - TimeSpan.FromTicks(since) : TimeSpan.Zero;

    /// <summary>Runs one; true when it is on disk. One that fails is given up, and what is held in memory is read again.</summary>
    public bool Try(Action transaction)
    {
        Volatile.Write(ref busySince, clock.Elapsed.Ticks);
        isProbed = false;

        try
        {
            if (!File.Exists(path))
            {
                throw new SqliteException("it was moved or deleted", ReadOnlyCode, MovedCode);
            }

            if (!isLoaded)
            {
                load();
                isLoaded = true;
            }

            var changes = raw.sqlite3_total_changes(connection.Handle);
            begin.Run();
            transaction();
            commit.Run();

            if (raw.sqlite3_total_changes(connection.Handle) != changes)
            {
                writtenAt = clock.Elapsed.Ticks;
            }

            if (isProbed)
            {
                storage.Written();
            }

            return true;
        }
        catch (Exception failure)
        {
            // Anything but an exception of SQLite is a defect, or what is left of damaged rows; either costs its transaction alone.
            storage.WriteFailed(failure);
            Recover();
            return false;
        }
        finally
        {
            Volatile.Write(ref busySince, NotBusy);
        }
    }

    /// <summary>
    /// Within a transaction: writes something for its own sake, where nothing has been written for so long or the last attempt failed.
    /// A transaction that changes nothing succeeds on a full disk as well, and a small one where there is room for a few samples alone: what
    /// ends an outage is one that is larger than most.
    /// </summary>
    public void Probe(TimeSpan period)
    {
        if (storage.State.MayStoreAgain)
        {
            Setting.Write(connection, Setting.Alive, new string('.', ProbeLength));
            isProbed = true;
        }
        else if (clock.Elapsed - TimeSpan.FromTicks(writtenAt) >= period)
        {
            Setting.Write(connection, Setting.Alive, Wire.Instant(clock.GetUtcNow()));
        }
    }

    /// <summary>Finds out whether a database that could not be read can be read again, which nobody else does while nobody looks.</summary>
    public void ReadAgain()
    {
        if (!storage.State.MayReadAgain)
        {
            return;
        }

        try
        {
            using var reader = Database.OpenForReading(path);
            Database.Scalar(reader, "SELECT count(*) FROM server");
            storage.Read();
        }
        catch (SqliteException)
        {
            // It is known already that it cannot.
        }
    }

    public void Dispose()
    {
        begin.Dispose();
        commit.Dispose();
    }

    private void Recover()
    {
        isLoaded = false;
        OnForget?.Invoke();

        try
        {
            Database.Rollback(connection);
            load();
            isLoaded = true;
        }
        catch (Exception)
        {
            // The next transaction tries again, and tells why it cannot.
        }
    }
}
