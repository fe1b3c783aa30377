using Agent.Receiver;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Commands;

/// <summary>What all commands have in common.</summary>
internal static class CommandRun
{
    private const int Failure = 1;

    /// <summary>Runs a command on a database that was opened; whatever the database does not do is one sentence.</summary>
    public static int With(
        FSharpResult<SqliteConnection, string> opened, Func<SqliteConnection, int> work, TextWriter errors)
    {
        int Fail(string sentence)
        {
            errors.WriteLine($"{DashboardCli.ProgramName}: {sentence}");
            return Failure;
        }

        return opened.Match(
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
                        return Fail(failure.Message);
                    }
                }
            },
            Fail);
    }
}
