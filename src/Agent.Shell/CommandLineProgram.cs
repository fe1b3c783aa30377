using System.Reflection;
using System.Text;

namespace Agent.Shell;

/// <summary>What a program's exit code says.</summary>
internal static class ExitCode
{
    /// <summary>It did what it was asked for.</summary>
    public const int Success = 0;

    /// <summary>It could not.</summary>
    public const int Failure = 1;

    /// <summary>It was asked for something that it does not do.</summary>
    public const int UsageError = 2;
}

/// <summary>A program as its user sees it from a shell: its name and version, what it prints, and what it complains about.</summary>
/// <param name="name">As it is typed.</param>
/// <param name="assembly">Has the version of the build.</param>
/// <param name="output">Standard output. Text is UTF-8 without a byte order mark, and is written at once.</param>
/// <param name="errors">Standard error.</param>
/// <param name="prefix">Stands before each complaint, as systemd's journal wants it; usually empty.</param>
internal sealed class CommandLineProgram(string name, Assembly assembly, Stream output, Stream errors, string prefix = "") : IDisposable
{
    /// <summary>As it is typed.</summary>
    public string Name => name;

    /// <summary>The version of the build.</summary>
    public string Version { get; } =
        assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";

    /// <summary>Standard output.</summary>
    public TextWriter Output { get; } = Writer(output);

    /// <summary>Standard error.</summary>
    public TextWriter Errors { get; } = Writer(errors);

    /// <summary>Prints what was asked for.</summary>
    /// <returns><see cref="ExitCode.Success"/>.</returns>
    public int Print(string text)
    {
        Output.Write(text);
        return ExitCode.Success;
    }

    /// <summary>Says on standard error what is wrong. Any thread may.</summary>
    public void Complain(string problem)
    {
        lock (Errors)
        {
            Errors.WriteLine($"{prefix}{name}: {problem}");
        }
    }

    /// <summary>Says what is wrong with the command line, a line for each problem.</summary>
    /// <returns><see cref="ExitCode.UsageError"/>.</returns>
    public int Refuse(IEnumerable<string> problems)
    {
        foreach (var problem in problems)
        {
            Complain(problem);
        }

        return ExitCode.UsageError;
    }

    /// <summary>Says why it did not work.</summary>
    /// <returns><see cref="ExitCode.Failure"/>.</returns>
    public int Fail(string problem)
    {
        Complain(problem);
        return ExitCode.Failure;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Output.Dispose();
        Errors.Dispose();
    }

    private static StreamWriter Writer(Stream stream) =>
        new(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true };
}
