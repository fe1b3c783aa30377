using Agent.Core;
using Agent.Sender;
using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the GPUs by starts of nvidia-smi, each for one reading. For one thread alone.</summary>
/// <param name="program">nvidia-smi.</param>
internal sealed class NvidiaSmiProcess(ChildProcess program)
{
    /// <summary>The program's name.</summary>
    public const string Name = "nvidia-smi";

    /// <summary>A healthy nvidia-smi takes well under a second; on a sick GPU it hangs for minutes.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    /// <summary>For a caller that has no program yet.</summary>
    public NvidiaSmiProcess(AgentClock clock)
        : this(NewProgram(clock))
    {
    }

    /// <summary>What the driver is asked for; it shrinks with each field that it complains about.</summary>
    public NvidiaSmiQuery Query { get; private set; } = NvidiaSmiQueryModule.Full;

    /// <summary>Why the newest reading gave no GPUs; null when it did, or when nvidia-smi did not get to say anything.</summary>
    public NvidiaSmiFailure? Failure { get; private set; }

    /// <summary>nvidia-smi with the limit of one reading; another path for one that is not in PATH.</summary>
    public static ChildProcess NewProgram(AgentClock clock, string path = Name) => new(path, Limit, clock);

    /// <summary>All GPUs; absent when nvidia-smi is not installed. More than one start while the driver complains about fields.</summary>
    public FSharpResult<GpuReading, SourceError> Read()
    {
        while (true)
        {
            Failure = null;
            var reading =
                from output in program.Run(NvidiaSmiQueryModule.Arguments(Query))
                from found in Interpret(output)
                select found;

            if (Failure is null || !LearnFrom(Failure))
            {
                return reading;
            }
        }
    }

    /// <summary>Drops a field that the driver complained about; false when that was not the failure.</summary>
    public bool LearnFrom(NvidiaSmiFailure failure)
    {
        var fewer = failure.Match(
            field => NvidiaSmiQueryModule.Without(field, Query),
            None, None, None, None, None, None, None, None);

        Query = fewer.IsSome ? fewer.Value : Query;
        return fewer.IsSome;

        static FSharpValueOption<NvidiaSmiQuery> None() => default;
    }

    /// <summary>Who computes on which GPU.</summary>
    public FSharpResult<NvidiaSmi.ProcessReading, SourceError> ReadProcesses() =>
        from output in program.Run(NvidiaSmiQueryModule.ProcessArguments)
        from found in InterpretProcesses(output)
        select found;

    /// <summary>The error of a run that ended with this code and these words.</summary>
    public static SourceError Failed(int exitCode, ReadOnlySpan<byte> words) =>
        SourceError.NewUnreadable(Name, $"exit code {exitCode}: {NvidiaSmiFailureModule.WordsOf(words)}");

    // As of GPUs: good rows count whatever the exit code. Without any a failing code means that nobody knows.
    private static FSharpResult<NvidiaSmi.ProcessReading, SourceError> InterpretProcesses(ProgramOutput output)
    {
        var parsed = NvidiaSmi.ParseProcesses(output.Words).SelectError(SourceError.NewGarbled);

        return output.ExitCode == 0 || parsed.Match(static reading => reading.Processes.Length > 0, static _ => false)
            ? parsed
            : FSharpResult<NvidiaSmi.ProcessReading, SourceError>.NewError(Failed(output.ExitCode, output.Words));
    }

    // A failing exit code with good rows is one sick GPU among healthy ones: the rows count.
    private FSharpResult<GpuReading, SourceError> Interpret(ProgramOutput output)
    {
        var parsed = NvidiaSmi.Parse(output.Words).SelectError(SourceError.NewGarbled);

        if (parsed.Match(static reading => reading.Gpus.Length > 0, static _ => false))
        {
            return parsed;
        }

        Failure = NvidiaSmiFailureModule.Of(output.ExitCode, output.Words);

        // One that ends well and says nothing has not said that there are no GPUs.
        return output.ExitCode == 0 && output.Words.ContainsAnyExcept(" \t\r\n"u8)
            ? parsed
            : FSharpResult<GpuReading, SourceError>.NewError(Failed(output.ExitCode, output.Words));
    }
}
