using Agent.Dashboard.State;
using Agent.Dashboard.Store;
using Agent.Receiver;
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

    /// <summary>The same on the state that several dashboards share, or else on the database.</summary>
    public static int With(
        FSharpValueOption<StateSettings> state,
        Func<FSharpResult<SqliteConnection, Unopened>> database,
        Func<StateConnection, int> work,
        CommandLineProgram program) =>
        state is { IsSome: true, Value: var shared }
            ? On(shared, work, program)
            : With(
                database(),
                connection => StateMirror.Alone(connection) is { } refusal ? program.Refuse([refusal]) : work(connection),
                program);

    /// <summary>Runs a command on the state that several dashboards share; whatever PostgreSQL does not do is one sentence.</summary>
    public static int On(StateSettings state, Func<StateConnection, int> work, CommandLineProgram program) =>
        StateOpening.Connect(state, program.Complain).Match(
            one =>
            {
                using (one.Source)
                using (one.Connection)
                {
                    try
                    {
                        return work(one.Connection);
                    }
                    catch (Exception failure) when (PostgresFault.IsOne(failure))
                    {
                        return program.Fail($"--state: \"{state.Address.Url}\" cannot be used: {PostgresFault.Reason(failure, state.Address)}");
                    }
                }
            },
            unopened => Refusal(unopened, program));

    /// <summary>Says why a database is not opened; the exit code.</summary>
    public static int Refusal(Unopened unopened, CommandLineProgram program) =>
        unopened.IsUsage ? program.Refuse([unopened.Sentence]) : program.Fail(unopened.Sentence);
}
