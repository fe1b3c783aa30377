using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Writes what a database holds at one instant into a file of its own, while others go on writing.</summary>
internal static class DatabaseCopy
{
    private static readonly UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Writes it. Under its name the file is whole or not there.</summary>
    /// <exception cref="SqliteException">The database cannot be read, or there is no room.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(SqliteConnection connection, string file)
    {
        var partial = file + ".partial";

        try
        {
            WritePartly(connection, partial);
            File.Move(partial, file);
            PrivateFiles.Sync(DirectoryOf(file));
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <summary>Writes it to a file that nobody takes for a whole one yet, and waits for the disk.</summary>
    public static void WritePartly(SqliteConnection connection, string partial)
    {
        File.Delete(partial);

        using (new FileStream(partial, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = OwnerOnly,
        }))
        {
            // SQLite writes into a file that is there if it is empty.
        }

        using (var copy = new Statement(connection, "VACUUM INTO ?1"))
        {
            copy.Bind(1, Path.GetFullPath(partial)).Run();
        }

        using var written = new FileStream(partial, FileMode.Open, FileAccess.ReadWrite);
        written.Flush(flushToDisk: true);
    }

    /// <summary>The directory that a file lies in.</summary>
    public static string DirectoryOf(string file) => Path.GetDirectoryName(Path.GetFullPath(file)) ?? "/";
}
