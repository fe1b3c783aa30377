using System.Text;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Store;

/// <summary>
/// The lock file beside a database: the dashboard that serves it holds the lock and writes its process ID and address into the file. The kernel ends the
/// lock with the process, so that nothing stale keeps a database closed.
/// </summary>
internal sealed class DatabaseLock : IDisposable
{
    /// <summary>Somebody who looks who has the lock holds it for a moment.</summary>
    private const int Attempts = 20;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(25);

    private readonly FileStream file;

    private DatabaseLock(FileStream file) => this.file = file;

    /// <summary>Takes the lock, or says who has it.</summary>
    /// <exception cref="IOException">There can be no lock file.</exception>
    /// <exception cref="UnauthorizedAccessException">There can be no lock file.</exception>
    public static FSharpResult<DatabaseLock, DatabaseHolder> Take(string database, AgentClock clock)
    {
        var path = LockFileOf(database);
        var gate = new object();

        for (var attempt = 1; ; attempt++)
        {
            if (PrivateFiles.TryLock(path) is { } file)
            {
                var taken = new DatabaseLock(file);
                taken.Tell("");
                return FSharpResult<DatabaseLock, DatabaseHolder>.NewOk(taken);
            }

            if (attempt == Attempts)
            {
                return FSharpResult<DatabaseLock, DatabaseHolder>.NewError(HolderOf(database) ?? new DatabaseHolder(0, ""));
            }

            lock (gate)
            {
                clock.Wait(gate, Pause);
            }
        }
    }

    /// <summary>Who serves a database; null for nobody, or where that cannot be seen.</summary>
    public static DatabaseHolder? HolderOf(string database) =>
        PrivateFiles.LockedText(LockFileOf(database)) is { } text ? DatabaseHolderModule.Parse(text) : null;

    /// <summary>Writes down where this process listens. On a full disk that is not known to others, and the lock is what counts.</summary>
    public void Tell(string address)
    {
        var text = Encoding.UTF8.GetBytes(DatabaseHolderModule.ToText(new DatabaseHolder(Environment.ProcessId, address)));

        try
        {
            RandomAccess.Write(file.SafeFileHandle, text, 0);
            RandomAccess.SetLength(file.SafeFileHandle, text.Length);
        }
        catch (IOException)
        {
            // Nothing to be done about it.
        }
    }

    /// <summary>Gives the lock back. The file stays: another process may be about to lock it.</summary>
    public void Dispose() => file.Dispose();

    /// <summary>The same file for every name of the database.</summary>
    private static string LockFileOf(string database)
    {
        var path = Path.GetFullPath(database);
        var target = File.Exists(path) ? File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName : null;
        return DatabaseHolderModule.LockFileOf(target ?? path);
    }
}
