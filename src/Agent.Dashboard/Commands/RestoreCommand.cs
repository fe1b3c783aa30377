using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Commands;

/// <summary>
/// The command <c>restore</c>: puts a backup in the place of the database. It checks the backup first, refuses while a dashboard serves the
/// database, and keeps the old one beside it.
/// </summary>
internal sealed class RestoreCommand(AgentClock clock, CommandLineProgram program)
{
    /// <summary>Restores; the exit code.</summary>
    public int Run(string database, string backup, bool isConfirmed)
    {
        if (Database.Misplaced(database) is { } misplaced)
        {
            return program.Refuse([misplaced]);
        }

        if (Restoring.Foreign(database) is { } refusal)
        {
            return program.Fail(refusal);
        }

        try
        {
            return DatabaseLock.Take(database, clock).Match(
                held =>
                {
                    using (held)
                    {
                        return Replace(database, backup, isConfirmed);
                    }
                },
                holder => program.Refuse([DatabaseHolderModule.Refusal(database, holder)]));
        }
        catch (Exception failure) when (failure is SqliteException || PrivateFiles.IsFault(failure))
        {
            return program.Fail($"nothing was restored: {Database.Reason(failure)}");
        }
    }

    private int Replace(string database, string backup, bool isConfirmed)
    {
        if (Restoring.Refusal(backup) is { } refusal)
        {
            return program.Fail(refusal);
        }

        if (File.Exists(database)
            && new Confirmation(program).Refusal(
                isConfirmed, $"Replace {database} with {backup}? The old database is kept beside it.") is { } code)
        {
            return code;
        }

        var aside = Restoring.Replace(database, backup, clock.GetUtcNow());
        var before = aside.Length > 0 ? $"The old database is now {aside}; delete it once nothing is missing.\n" : "";
        return program.Print($"Restored {database} from {backup}.\n{before}");
    }
}
