using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Commands;

/// <summary>
/// The command <c>backup</c>: one instant of the database as a file of its own, while others go on writing. In a directory it gives the file
/// its name, and can delete the oldest of its kind.
/// </summary>
internal sealed class BackupCommand(AgentClock clock, CommandLineProgram program)
{
    /// <summary>Writes it; the exit code.</summary>
    /// <param name="database">What is copied.</param>
    /// <param name="place">The file, or the directory.</param>
    /// <param name="keep">So many backups stay in the directory; all of them for 0.</param>
    public int Run(string database, string place, int keep)
    {
        var isDirectory = Directory.Exists(place);
        var file = isDirectory ? Path.Combine(place, Backups.NameOf(clock.GetUtcNow())) : place;

        if (keep > 0 && !isDirectory)
        {
            return program.Refuse([$"--keep needs a directory, and \"{place}\" is not one"]);
        }

        if (!Directory.Exists(DatabaseCopy.DirectoryOf(file)))
        {
            return program.Refuse([$"FILE: the directory \"{DatabaseCopy.DirectoryOf(file)}\" does not exist; create it first"]);
        }

        if (Path.Exists(file))
        {
            return program.Fail($"\"{file}\" already exists; choose a new file");
        }

        return CommandRun.With(
            Database.OpenExisting(database, clock),
            connection =>
            {
                try
                {
                    DatabaseCopy.Write(connection, file);
                }
                catch (Exception failure) when (PrivateFiles.IsFault(failure))
                {
                    return program.Fail($"FILE: \"{file}\" cannot be written: {FaultReason.Of(failure)}");
                }

                var printed = program.Print($"Wrote {file}, {DiskSpace.SizeOf(file)} bytes.\n");
                return keep > 0 ? Math.Max(printed, Thin(place, keep)) : printed;
            },
            program);
    }

    private int Thin(string directory, int keep)
    {
        var code = ExitCode.Success;
        var names = Directory.EnumerateFiles(directory).Select(static path => Path.GetFileName(path));

        foreach (var name in Backups.Surplus(keep, names))
        {
            var path = Path.Combine(directory, name);
            File.Delete(path);
            code = Math.Max(code, program.Print($"Deleted {path}.\n"));
        }

        return code;
    }
}
