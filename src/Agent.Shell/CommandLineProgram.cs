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

/// <summary>
/// A program as its user sees it from a shell: its name and version, what it prints, and what it complains about. A message that cannot be
/// written, as on a full disk or because its reader stalls, costs that message and never the program; what was asked for and cannot be written is a
/// failure.
/// </summary>
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

    /// <summary>Standard output, for what keeps its own order of lines. Writing may fail.</summary>
    public TextWriter Output { get; } = Writer(output);

    /// <summary>Standard error, likewise.</summary>
    public TextWriter Errors { get; } = Writer(errors);

    /// <summary>Prints what was asked for.</summary>
    /// <param name="text">The text.</param>
    /// <param name="otherwise">
    /// What to say where it cannot be printed and is lost for good, such as a token that is shown once. Without it a reader that has gone, as
    /// behind <c>| head</c>, is no failure.
    /// </param>
    /// <returns><see cref="ExitCode.Success"/>, or <see cref="ExitCode.Failure"/> where it cannot be written, which is said.</returns>
    public int Print(string text, string otherwise = "") =>
        Attempt(Output, text) is { Length: > 0 } reason ? Fail(Unwritten(reason) + (otherwise.Length > 0 ? ": " + otherwise : ""))
        : otherwise.Length > 0 && StandardStream.IsUnreadBehind(Output) ? Fail(otherwise)
        : ExitCode.Success;

    /// <summary>Says on standard output how it goes, a line. Any thread may.</summary>
    public void Tell(string line) => Say(Output, "", TerminalText.OneLine(line));

    /// <summary>Says on standard error what is wrong. Any thread may.</summary>
    public void Complain(string problem) => Say(Errors, $"{prefix}{name}: ", TerminalText.OneLine(problem));

    /// <summary>Shows something at the terminal, on standard error: a question, or how it goes.</summary>
    public void Show(string text) => Attempt(Errors, text);

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

    /// <summary>The sentence about standard output that cannot be written, for this reason.</summary>
    public static string Unwritten(string reason) => $"standard output cannot be written: {reason}";

    /// <inheritdoc/>
    public void Dispose()
    {
        Output.Dispose();
        Errors.Dispose();
    }

    private static void Say(TextWriter writer, string prefix, string line)
    {
        if (StandardStream.Behind(writer) is not { } stream)
        {
            Attempt(writer, $"{prefix}{line}\n");
            return;
        }

        lock (writer)
        {
            try
            {
                stream.WriteLine(prefix, line);
            }
            catch (Exception failure) when (failure is IOException or ObjectDisposedException)
            {
                // It costs its line.
            }
        }
    }

    /// <summary>Why the text could not be written; empty where it was.</summary>
    private static string Attempt(TextWriter writer, string text)
    {
        lock (writer)
        {
            try
            {
                writer.Write(text);
                return "";
            }
            catch (Exception failure) when (failure is IOException or ObjectDisposedException)
            {
                // The second when a thread of the class library still has something to say at the very end.
                return failure.Message;
            }
        }
    }

    private static StreamWriter Writer(Stream stream) =>
        new(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true };
}
