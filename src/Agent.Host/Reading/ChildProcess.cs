using System.Diagnostics;
using Agent.Core;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>What a program printed.</summary>
/// <param name="ExitCode">0 for success.</param>
/// <param name="Output">Its standard output.</param>
/// <param name="Errors">Its standard error.</param>
internal sealed record ProgramOutput(int ExitCode, byte[] Output, byte[] Errors)
{
    /// <summary>Its standard output; its standard error where that is empty.</summary>
    public byte[] Words => Output.Length > 0 ? Output : Errors;
}

/// <summary>
/// Runs another program now and then, with a limit. A program that hangs is killed and not waited for: one in
/// uninterruptible sleep cannot be killed at all. While such a one lives no other is started. For one thread alone.
/// </summary>
/// <param name="name">The program; looked for in PATH.</param>
/// <param name="limit">How long a run may take at first.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class ChildProcess(string name, TimeSpan limit, AgentClock clock)
{
    /// <summary>No program of ours prints as much; what does is broken.</summary>
    private const int LongestOutput = 4 * 1024 * 1024;

    private readonly List<Process> hung = [];

    /// <summary>How long a run may take.</summary>
    public TimeSpan Limit { get; set; } = limit;

    /// <summary>Starts the program and waits until it ends or the limit is over.</summary>
    public FSharpResult<ProgramOutput, SourceError> Run(IEnumerable<string> arguments) =>
        from process in Start(arguments)
        from output in Finish(process)
        select output;

    /// <summary>Starts the program, for a caller that reads its pipes and waits for its end.</summary>
    public FSharpResult<Process, SourceError> Start(IEnumerable<string> arguments)
    {
        foreach (var process in hung.Where(static process => process.HasExited).ToArray())
        {
            hung.Remove(process);
            process.Dispose();
        }

        return hung.Count == 0
            ? ChildStart.Start(name, arguments)
            : FSharpResult<Process, SourceError>.NewError(
                SourceError.NewUnreadable(name, "it still hangs from an earlier start and cannot be killed"));
    }

    /// <summary>Kills a program that was started, and does not wait for its end.</summary>
    public void Abandon(Process process)
    {
        process.Kill();
        hung.Add(process);
    }

    /// <summary>
    /// Reads a pipe on a thread of its own, because a read from the pipe of a hung program cannot be cancelled; the thread
    /// ends when the program does, or when <paramref name="take"/> wants no more. The end of the pipe is taken as no bytes.
    /// </summary>
    /// <exception cref="ThreadLimitException">There may be no more threads.</exception>
    public static Thread Reader(StreamReader source, string purpose, Func<ReadOnlyMemory<byte>, bool> take)
    {
        return Threads.Start(
            () =>
            {
                var buffer = new byte[4096];

                for (var count = -1; count != 0;)
                {
                    try
                    {
                        count = source.BaseStream.Read(buffer);
                    }
                    catch (Exception error) when (error is IOException or ObjectDisposedException)
                    {
                        // What was read so far is what there is.
                        count = 0;
                    }

                    if (!take(buffer.AsMemory(0, count)))
                    {
                        return;
                    }
                }
            },
            128 * 1024,
            purpose);
    }

    private FSharpResult<ProgramOutput, SourceError> Finish(Process process)
    {
        var output = new MemoryStream();
        var errors = new MemoryStream();
        Thread[] readers;

        try
        {
            readers =
            [
                Reader(process.StandardOutput, "child output", Into(output)),
                Reader(process.StandardError, "child errors", Into(errors)),
            ];
        }
        catch (ThreadLimitException few)
        {
            Abandon(process);
            return FSharpResult<ProgramOutput, SourceError>.NewError(SourceError.NewUnreadable(name, few.Message));
        }

        var deadline = clock.Elapsed + Limit;

        // Both pipes are closed when the program has ended or is about to.
        if (!Array.TrueForAll(readers, reader => reader.Join(Left(deadline))) || !process.WaitForExit(Left(deadline)))
        {
            Abandon(process);
            return FSharpResult<ProgramOutput, SourceError>.NewError(
                SourceError.NewUnreadable(name, $"not finished within {Limit.TotalSeconds:0.#} s; it was killed"));
        }

        // The process does not close the pipes that were asked for.
        using (process)
        using (process.StandardOutput)
        using (process.StandardError)
        {
            return FSharpResult<ProgramOutput, SourceError>.NewOk(
                new ProgramOutput(process.ExitCode, output.ToArray(), errors.ToArray()));
        }
    }

    private static Func<ReadOnlyMemory<byte>, bool> Into(MemoryStream target) => bytes =>
    {
        target.Write(bytes.Span);
        return target.Length < LongestOutput;
    };

    private TimeSpan Left(TimeSpan deadline)
    {
        var left = clock.ToReal(deadline - clock.Elapsed);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
