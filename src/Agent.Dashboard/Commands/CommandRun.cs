using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>What all commands have in common.</summary>
internal static class CommandRun
{
    /// <summary>Runs a command on a database that was opened; whatever the database does not do is one sentence.</summary>
    public static int With(
        FSharpResult<SqliteConnection, string> opened, Func<SqliteConnection, int> work, CommandLineProgram program) =>
        opened.Match(
            connection =>
            {
                using (connection)
                {
                    try
                    {
                        return work(connection);
                    }
                    catch (Exception failure) when (failure is SqliteException or IOException or UnauthorizedAccessException)
                    {
                        return program.Fail(failure.Message);
                    }
                }
            },
            program.Fail);
}
