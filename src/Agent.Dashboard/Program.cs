using System.Globalization;
using System.Reflection;
using System.Text;
using Agent.Receiver;
using Agent.Dashboard.Commands;

namespace Agent.Dashboard;

/// <summary>The composition root: command line → command → exit code.</summary>
internal static class Program
{
    private const int Success = 0;
    private const int UsageError = 2;

    /// <summary>For tests of retention and of clocks that differ, and in no help.</summary>
    private const string ClockOffsetVariable = "DASHBOARD_TEST_CLOCK_OFFSET";

    private static readonly string Version =
        typeof(Program).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";

    private static int Main(string[] argv)
    {
        using var output = Writer(Console.OpenStandardOutput());
        using var errors = Writer(Console.OpenStandardError());

        return DashboardCli.Parse(argv).Match(
            command => command.Match(
                help: text => Print(output, text),
                version: () => Print(output, $"{DashboardCli.ProgramName} {Version}\n"),
                serve: settings => Serving.Run(settings, Version, Clock(errors), output, errors),
                register: settings => Servers(output, errors).Register(settings),
                list: database => Servers(output, errors).List(database),
                remove: (database, slug) => Servers(output, errors).Remove(database, slug),
                backup: (database, file) => BackupCommand.Run(database, file, Clock(errors), output, errors),
                users: settings => new UsersCommand(Clock(errors), output, errors).Run(settings),
                tokens: settings => new TokensCommand(Clock(errors), output, errors).Run(settings)),
            problems => Complain(errors, problems.Select(static problem => problem.Message)));
    }

    private static ServerCommands Servers(TextWriter output, TextWriter errors) => new(Clock(errors), output, errors);

    /// <summary>The real clock, or with the variable that tests set one that is so many seconds ahead.</summary>
    private static AgentClock Clock(TextWriter errors)
    {
        var text = Environment.GetEnvironmentVariable(ClockOffsetVariable);

        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) || !(Math.Abs(seconds) < 1e9))
        {
            return new AgentClock();
        }

        errors.WriteLine($"{DashboardCli.ProgramName}: {ClockOffsetVariable} is set: the clock is {text} s ahead");
        return new ShiftedClock(TimeSpan.FromSeconds(seconds));
    }

    private static StreamWriter Writer(Stream stream) =>
        new(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true };

    private static int Print(TextWriter output, string text)
    {
        output.Write(text);
        return Success;
    }

    private static int Complain(TextWriter errors, IEnumerable<string> problems)
    {
        foreach (var problem in problems)
        {
            errors.WriteLine($"{DashboardCli.ProgramName}: {problem}");
        }

        return UsageError;
    }
}
