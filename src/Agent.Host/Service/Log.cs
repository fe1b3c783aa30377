using System.Globalization;
using System.Text;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Service;

/// <summary>
/// What the agent says: routine lines on stdout, everything else on stderr, one line each. Warnings and errors that
/// repeat are printed at once, then once a minute with their number. Safe for all threads. A stream that cannot be written
/// to, such as a full disk, costs its line and never the agent, and so does one whose reader stalls: how many lines that was is said when it reads
/// again. That a result was lost is remembered.
/// </summary>
/// <param name="output">Where routine lines go.</param>
/// <param name="errors">Where everything else goes.</param>
/// <param name="level">What matters less is not said.</param>
/// <param name="quiet">No routine lines.</param>
/// <param name="clock">For time stamps, and the minute.</param>
/// <param name="journal">Lines carry the journal's priority in place of time and level, which it has by itself.</param>
internal sealed class Log(TextWriter output, TextWriter errors, LogLevel level, bool quiet, AgentClock clock, bool journal = false)
{
    private readonly Lock gate = new();
    private Repetitions repetitions = Repetition.None;
    private string resultFault = "";

    /// <summary>A start, result or stop line; silent with --quiet.</summary>
    public void Routine(string line)
    {
        if (!quiet)
        {
            WriteLine(output, "", TerminalText.OneLine(line));
        }
    }

    /// <summary>True once nobody reads standard output any more, as behind <c>| head -1</c>.</summary>
    public bool IsOutputUnread => StandardStream.IsUnreadBehind(output);

    /// <summary>Why some of the output that was asked for could not be written; empty when all of it was.</summary>
    public string ResultFault => Volatile.Read(ref resultFault);

    /// <summary>The output that was asked for; --quiet does not silence it.</summary>
    public void Result(string text) => KeepFault(Write(output, text));

    /// <summary>The same for a whole line of UTF-8, its end included: a sample as it would be sent.</summary>
    public void ResultLine(ReadOnlySpan<byte> line)
    {
        if (output is not StreamWriter { AutoFlush: true, Encoding: UTF8Encoding } writer)
        {
            Result(Encoding.UTF8.GetString(line[..^1]));
            return;
        }

        // The bytes are what the writer would make of the text again. They and the line end go out at once.
        lock (gate)
        {
            try
            {
                writer.BaseStream.Write(line);
            }
            catch (Exception failure) when (failure is IOException or ObjectDisposedException)
            {
                KeepFault(failure.Message);
            }
        }
    }

    /// <summary>For debugging.</summary>
    public void Debug(string message) => At(LogLevel.Debug, message);

    /// <summary>What a user wants to know.</summary>
    public void Info(string message) => At(LogLevel.Info, message);

    /// <summary>What a user should look at.</summary>
    public void Warning(string message) => Observe(Repetition.Exactly(LogLevel.Warning, message));

    /// <summary>
    /// The same for what may come again with other numbers: a repetition is recognised whatever they are, and whatever
    /// <paramref name="figures"/> says, which goes right behind the message.
    /// </summary>
    public void Warning(string message, string figures) =>
        Observe(Repetition.WithFigures(LogLevel.Warning, message, figures));

    /// <summary>That something can no longer be had. Whoever says so says it once; when it comes again, it is news.</summary>
    public void Lost(string message) => At(LogLevel.Warning, message);

    /// <summary>What went wrong.</summary>
    public void Error(string message) => Observe(Repetition.Exactly(LogLevel.Error, message));

    /// <summary>What ends the agent.</summary>
    public void Critical(string message) => At(LogLevel.Critical, message);

    /// <summary>All is well again with what warnings call so up to their first colon.</summary>
    public void Over(string subject)
    {
        // Asked at every sample, and nearly always there is nothing to say.
        if (Repetition.Concern(subject, Now()))
        {
            Repeated((now, told) => Repetition.Over(now, subject, told));
        }
        else
        {
            Due();
        }
    }

    /// <summary>Says what has been repeated for a minute. To be called every now and then.</summary>
    public void Due()
    {
        if (Repetition.IsDue(clock.Elapsed, Now()))
        {
            Repeated(Repetition.Due);
        }
    }

    /// <summary>Says how often the last warnings were repeated.</summary>
    public void Finish() => Repeated(static (now, told) => (Repetition.None, Repetition.Finish(now, told)));

    private Repetitions Now()
    {
        lock (gate)
        {
            return repetitions;
        }
    }

    private void Observe(Remark remark)
    {
        if (remark.Level >= level)
        {
            Repeated((now, told) => Repetition.Observe(now, remark, told));
        }
    }

    private void Repeated(Func<TimeSpan, Repetitions, (Repetitions, LogLine[])> step)
    {
        // Held while writing, so that lines come in the order in which they were decided on.
        lock (gate)
        {
            (repetitions, var lines) = step(clock.Elapsed, repetitions);

            foreach (var line in lines)
            {
                At(line.Level, line.Text);
            }
        }
    }

    private void At(LogLevel severity, string message)
    {
        if (severity < level)
        {
            return;
        }

        var now = clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
        var prefix = journal ? Journal.Prefix(severity) : $"{now} {NameOf(severity)} ";
        WriteLine(errors, prefix, TerminalText.OneLine(message));
    }

    /// <summary>As --log-level has it. Asking the enumeration itself is reflection, whose data is half a megabyte of memory.</summary>
    private static string NameOf(LogLevel severity) => severity switch
    {
        LogLevel.Debug => "DEBUG",
        LogLevel.Info => "INFO",
        LogLevel.Warning => "WARNING",
        LogLevel.Error => "ERROR",
        _ => "CRITICAL",
    };

    private void KeepFault(string fault)
    {
        if (fault.Length > 0)
        {
            Volatile.Write(ref resultFault, fault);
        }
    }

    /// <summary>A line that costs nobody time: whoever samples and delivers says them.</summary>
    private void WriteLine(TextWriter writer, string prefix, string line)
    {
        if (StandardStream.Behind(writer) is not { } stream)
        {
            Write(writer, prefix + line);
            return;
        }

        lock (gate)
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

    /// <summary>Why the line could not be written; empty where it was.</summary>
    private string Write(TextWriter writer, string line)
    {
        lock (gate)
        {
            try
            {
                writer.WriteLine(line);
                return "";
            }
            catch (Exception failure) when (failure is IOException or ObjectDisposedException)
            {
                return failure.Message;
            }
        }
    }
}
