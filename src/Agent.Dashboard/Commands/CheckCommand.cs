using Agent.Receiver;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Commands;

/// <summary>The command <c>check</c>: whether the database is whole, what is in it, and how much room there is. It writes nothing.</summary>
internal static class CheckCommand
{
    /// <summary>Looks; the exit code is 0 for a database that is whole.</summary>
    public static int Run(string database, CommandLineProgram program) =>
        Inspection.Of(database).Match(
            checkup =>
            {
                var printed = program.Print(string.Concat(CheckupModule.Lines(checkup).Select(static line => line + "\n")));

                return CheckupModule.IsGood(checkup)
                    ? printed
                    : program.Fail($"\"{database}\" is damaged; {CheckupModule.Advice(database)}");
            },
            sentence => File.Exists(database)
                ? program.Fail($"{sentence}; if it was one, {CheckupModule.Advice(database)}")
                : program.Refuse([$"--database: {sentence}"]));
}
