using System.Globalization;
using Agent.Receiver;
using Agent.Dashboard.Commands;

namespace Agent.Dashboard;

/// <summary>The composition root: command line → command → exit code.</summary>
internal static class Program
{
    /// <summary>For tests of retention and of clocks that differ, and in no help.</summary>
    private const string ClockOffsetVariable = "DASHBOARD_TEST_CLOCK_OFFSET";

    private static int Main(string[] argv)
    {
        StandardDescriptors.Ensure();
        StandardSignals.Ensure();
        using var program = new CommandLineProgram(
            DashboardCli.ProgramName, typeof(Program).Assembly, StandardStream.Output, StandardStream.Errors);

        var words = ServiceCredentials.Expand(Environment.GetEnvironmentVariable("CREDENTIALS_DIRECTORY") ?? "", argv);

        return DashboardCli.Parse(words).Match(
            command => command.Match(
                help: text => program.Print(text),
                version: () => program.Print($"{program.Name} {program.Version}\n"),
                serve: settings => Serving.Run(settings, Clock(program), program),
                register: settings => Servers(program).Register(settings),
                list: (database, state) => Servers(program).List(database, state),
                remove: (database, state, slug, isConfirmed) => Servers(program).Remove(database, state, slug, isConfirmed),
                backup: (database, place, keep) => new BackupCommand(Clock(program), program).Run(database, place, keep),
                check: database => CheckCommand.Run(database, program),
                health: database => HealthCommand.Run(database, program),
                restore: (database, backup, isConfirmed) =>
                    new RestoreCommand(Clock(program), program).Run(database, backup, isConfirmed),
                users: settings => new UsersCommand(Clock(program), program).Run(settings),
                tokens: settings => new TokensCommand(Clock(program), program).Run(settings),
                enrolKeys: settings => new EnrolKeysCommand(Clock(program), program).Run(settings),
                alerts: settings => new AlertsCommand(Clock(program), program).Run(settings),
                export: settings => new ExportCommand(Clock(program), program).Run(settings)),
            problems => program.Refuse(problems.Select(static problem => problem.Message)));
    }

    private static ServerCommands Servers(CommandLineProgram program) => new(Clock(program), program);

    /// <summary>The real clock, or with the variable that tests set one that is so many seconds ahead.</summary>
    private static AgentClock Clock(CommandLineProgram program)
    {
        var text = Environment.GetEnvironmentVariable(ClockOffsetVariable);

        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) || !(Math.Abs(seconds) < 1e9))
        {
            return new AgentClock();
        }

        program.Complain($"{ClockOffsetVariable} is set: the clock is {text} s ahead");
        return new ShiftedClock(TimeSpan.FromSeconds(seconds));
    }
}
