using Agent.Dashboard.Store;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>What all commands have in common.</summary>
internal static class CommandRun
{
    /// <summary>Runs a command on a database that was opened; whatever the database does not do is one sentence.</summary>
    public static int With(
        FSharpResult<SqliteConnection, Unopened> opened, Func<SqliteConnection, int> work, CommandLineProgram program) =>
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
                        return program.Fail(Database.Sentence(connection.DataSource, failure));
                    }
                }
            },
            unopened => Refusal(unopened, program));

    /// <summary>Says why a database is not opened; the exit code.</summary>
    public static int Refusal(Unopened unopened, CommandLineProgram program) =>
        unopened.IsUsage ? program.Refuse([unopened.Sentence]) : program.Fail(unopened.Sentence);
}
