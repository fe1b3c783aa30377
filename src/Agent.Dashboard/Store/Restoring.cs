using System.Globalization;
using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Puts a backup in the place of a database that nobody serves. The old one stays beside it under another name.</summary>
internal static class Restoring
{
    /// <summary>Why a file is no backup to restore; null where it is one.</summary>
    public static string? Refusal(string backup) =>
        Inspection.Of(backup).Match(
            checkup => !CheckupModule.IsGood(checkup)
                ? $"\"{backup}\" is damaged itself: {checkup.Integrity[0]}; name another backup"
                : checkup.Version == 0 ? $"\"{backup}\" is an empty database; name another backup" : null,
            static sentence => sentence);

    /// <summary>Why this user had better not replace a database; null where he may.</summary>
    public static string? Foreign(string database) =>
        FileStatus.Of(File.Exists(database) ? database : DatabaseCopy.DirectoryOf(database)) is { } status
            && status.Owner != FileStatus.CurrentUser
            && (File.Exists(database) || FileStatus.CurrentUser == 0)
            ? $"--database: \"{database}\" belongs to another user, who could not use what is restored; run this as that user, such as with sudo -u"
            : null;

    /// <summary>Replaces the database, whose lock the caller has; the name under which the old one stays, empty where there was none.</summary>
    /// <exception cref="IOException">A file cannot be written or renamed. The database is what it was.</exception>
    /// <exception cref="SqliteException">The backup cannot be read, or there is no room.</exception>
    public static string Replace(string database, string backup, DateTimeOffset now)
    {
        var partial = database + ".partial";

        try
        {
            using (var connection = Database.OpenForReading(backup))
            {
                DatabaseCopy.WritePartly(connection, partial);
            }

            var aside = File.Exists(database) || File.Exists(database + "-wal") ? SetAside(database, now) : "";

            try
            {
                File.Move(partial, database);
            }
            catch when (aside.Length > 0)
            {
                Rename(aside, database);
                throw;
            }

            PrivateFiles.Sync(DatabaseCopy.DirectoryOf(database));
            return aside;
        }
        finally
        {
            File.Delete(partial);
        }
    }

    private static string SetAside(string database, DateTimeOffset now)
    {
        var time = now.ToUniversalTime().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture);
        var aside = $"{database}.before-{time}";
        Rename(database, aside);
        return aside;
    }

    /// <summary>Renames a database with its log, without which it may lack what was written last.</summary>
    private static void Rename(string from, string to)
    {
        foreach (var ending in (string[])["-wal", ""])
        {
            if (File.Exists(from + ending))
            {
                File.Move(from + ending, to + ending);
            }
        }

        // Shared memory is made anew from the log.
        File.Delete(from + "-shm");
    }
}
