using System.Globalization;
using Agent.Core;

namespace Agent.Host.Service;

/// <summary>
/// What the agent says: routine lines on stdout, everything else on stderr, one line each. Safe for all threads. A
/// stream that cannot be written to, such as a full disk, costs its line and never the agent.
/// </summary>
internal sealed class Log(TextWriter output, TextWriter errors, LogLevel level, bool quiet, TimeProvider time)
{
    private readonly Lock gate = new();

    /// <summary>A start, result or stop line; silent with --quiet.</summary>
    public void Routine(string line)
    {
        if (!quiet)
        {
            Write(output, line);
        }
    }

    /// <summary>The output that was asked for, such as a dry run's JSON; --quiet does not silence it.</summary>
    public void Result(string text) => Write(output, text);

    /// <summary>For whoever looks for a fault.</summary>
    public void Debug(string message) => At(LogLevel.Debug, message);

    /// <summary>What a user wants to know.</summary>
    public void Info(string message) => At(LogLevel.Info, message);

    /// <summary>What a user should look at.</summary>
    public void Warning(string message) => At(LogLevel.Warning, message);

    /// <summary>What went wrong.</summary>
    public void Error(string message) => At(LogLevel.Error, message);

    /// <summary>What ends the agent.</summary>
    public void Critical(string message) => At(LogLevel.Critical, message);

    private void At(LogLevel severity, string message)
    {
        if (severity < level)
        {
            return;
        }

        var now = time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        Write(errors, $"{now} {severity.ToString().ToUpperInvariant()} {message}");
    }

    private void Write(TextWriter writer, string line)
    {
        lock (gate)
        {
            try
            {
                writer.WriteLine(line);
            }
            catch (IOException)
            {
                // There is nowhere left to say so.
            }
        }
    }
}
