using System.ComponentModel;
using System.Diagnostics;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>What a program printed.</summary>
/// <param name="ExitCode">0 for success.</param>
/// <param name="Output">Its standard output.</param>
internal sealed record ProgramOutput(int ExitCode, byte[] Output);

/// <summary>
/// Runs another program now and then, with a limit. A program that hangs is killed and not waited for: one in
/// uninterruptible sleep cannot be killed at all. While such a one lives no other is started.
/// </summary>
/// <param name="name">The program; looked for in PATH.</param>
/// <param name="limit">How long it may take.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class ChildProcess(string name, TimeSpan limit, AgentClock clock)
{
    /// <summary>No program of ours prints as much; what does is broken.</summary>
    private const int LongestOutput = 4 * 1024 * 1024;

    private Process? hung;

    /// <summary>Where the program lies; null when it is not in PATH.</summary>
    public static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin")
            .Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Select(directory => Path.Join(directory, name))
            .FirstOrDefault(File.Exists);

    /// <summary>Starts the program and waits until it ends or the limit is over.</summary>
    public FSharpResult<ProgramOutput, SourceError> Run(IEnumerable<string> arguments)
    {
        if (hung is not null)
        {
            if (!hung.HasExited)
            {
                return Unreadable("it still hangs from an earlier start and cannot be killed");
            }

            hung.Dispose();
            hung = null;
        }

        if (Find(name) is not { } path)
        {
            return FSharpResult<ProgramOutput, SourceError>.NewError(SourceError.NewAbsent(name));
        }

        var start = new ProcessStartInfo(path, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // Messages in English, and no secret in the environment of a program that has no use for it. What systemd tells
        // the agent is not for its children either: they must not speak to it in the agent's name.
        start.Environment["LC_ALL"] = "C";

        foreach (var variable in start.Environment.Keys.Where(IsOurs).ToArray())
        {
            start.Environment.Remove(variable);
        }

        try
        {
            return Finish(Process.Start(start)!);
        }
        catch (Exception error) when (error is Win32Exception or IOException or InvalidOperationException)
        {
            return Unreadable(error.Message);
        }
    }

    private static bool IsOurs(string variable) =>
        variable.StartsWith("AI_DASHBOARD_", StringComparison.Ordinal)
        || variable is "NOTIFY_SOCKET" or "WATCHDOG_USEC" or "WATCHDOG_PID" or "CREDENTIALS_DIRECTORY";

    private FSharpResult<ProgramOutput, SourceError> Finish(Process process)
    {
        process.StandardInput.Close();
        var output = new MemoryStream();
        var errors = new MemoryStream();
        var readers = new[] { Reader(process.StandardOutput, output), Reader(process.StandardError, errors) };
        var deadline = clock.Elapsed + limit;

        // Both pipes are closed when the program has ended or is about to.
        if (!Array.TrueForAll(readers, reader => reader.Join(Left(deadline))) || !process.WaitForExit(Left(deadline)))
        {
            process.Kill();
            hung = process;
            return Unreadable($"no end within {limit.TotalSeconds:0.#} s; it was killed");
        }

        // The process does not close the pipes that were asked for.
        using (process)
        using (process.StandardOutput)
        using (process.StandardError)
        {
            var printed = output.Length > 0 ? output : errors;
            return FSharpResult<ProgramOutput, SourceError>.NewOk(
                new ProgramOutput(process.ExitCode, printed.ToArray()));
        }
    }

    private TimeSpan Left(TimeSpan deadline)
    {
        var left = clock.ToReal(deadline - clock.Elapsed);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    // A thread, because a read from the pipe of a hung program cannot be cancelled; it ends when the program does.
    private static Thread Reader(StreamReader source, MemoryStream target)
    {
        var thread = new Thread(
            () =>
            {
                var buffer = new byte[4096];

                try
                {
                    for (var count = -1; count != 0 && target.Length < LongestOutput;)
                    {
                        count = source.BaseStream.Read(buffer);
                        target.Write(buffer, 0, count);
                    }
                }
                catch (Exception error) when (error is IOException or ObjectDisposedException)
                {
                    // What was read so far is what there is.
                }
            },
            maxStackSize: 128 * 1024)
        {
            IsBackground = true,
            Name = "child output",
        };

        thread.Start();
        return thread;
    }

    private FSharpResult<ProgramOutput, SourceError> Unreadable(string reason) =>
        FSharpResult<ProgramOutput, SourceError>.NewError(SourceError.NewUnreadable(name, reason));
}
