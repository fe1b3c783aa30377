using Agent.Receiver;
using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Commands;

/// <summary>The command <c>backup</c>: one instant of the database as a file of its own, while others go on writing.</summary>
internal static class BackupCommand
{
    /// <summary>Writes it; the exit code.</summary>
    public static int Run(string database, string file, AgentClock clock, CommandLineProgram program)
    {
        if (Path.Exists(file))
        {
            return program.Fail($"\"{file}\" already exists; choose a new file");
        }

        return CommandRun.With(
            Database.OpenExisting(database, clock),
            connection =>
            {
                Write(connection, file);
                return program.Print($"Wrote {file}, {new FileInfo(file).Length} bytes.\n");
            },
            program);
    }

    private static void Write(SqliteConnection connection, string file)
    {
        // Under its name it is whole or not there.
        var partial = file + ".partial";
        File.Delete(partial);

        try
        {
            using (new FileStream(partial, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }))
            {
                // SQLite writes into a file that is there if it is empty.
            }

            using (var copy = new Statement(connection, "VACUUM INTO ?1"))
            {
                copy.Bind(1, Path.GetFullPath(partial)).Run();
            }

            using (var written = new FileStream(partial, FileMode.Open, FileAccess.ReadWrite))
            {
                written.Flush(flushToDisk: true);
            }

            File.Move(partial, file);
        }
        finally
        {
            File.Delete(partial);
        }
    }
}
