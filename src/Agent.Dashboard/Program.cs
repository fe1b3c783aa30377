using System.Reflection;
using System.Text;
using Agent.Core.Dashboard;
using Agent.Dashboard.Commands;
using Agent.Host;

namespace Agent.Dashboard;

/// <summary>The composition root: command line → command → exit code.</summary>
internal static class Program
{
    private const int Success = 0;
    private const int UsageError = 2;

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
                serve: settings => Serving.Run(settings, Version, new AgentClock(), output, errors),
                register: settings => Servers(output, errors).Register(settings),
                list: database => Servers(output, errors).List(database),
                remove: (database, slug) => Servers(output, errors).Remove(database, slug),
                backup: (database, file) => BackupCommand.Run(database, file, new AgentClock(), output, errors)),
            problems => Complain(errors, problems.Select(static problem => problem.Message)));
    }

    private static ServerCommands Servers(TextWriter output, TextWriter errors) => new(new AgentClock(), output, errors);

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
