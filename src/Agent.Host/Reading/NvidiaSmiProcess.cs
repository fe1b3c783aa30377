using System.Text;
using Agent.Core;
using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>Reads the GPUs by one start of nvidia-smi.</summary>
internal sealed class NvidiaSmiProcess(AgentClock clock)
{
    /// <summary>The program's name.</summary>
    public const string Name = "nvidia-smi";

    /// <summary>A healthy nvidia-smi takes well under a second; on a sick GPU it hangs for minutes.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    private readonly ChildProcess program = new(Name, Limit, clock);

    /// <summary>All GPUs; absent when nvidia-smi is not installed.</summary>
    public FSharpResult<GpuReading, SourceError> Read() =>
        from output in program.Run(NvidiaSmi.QueryArguments)
        from reading in Interpret(output)
        select reading;

    // A failing exit code with good rows is one sick GPU among healthy ones: the rows count.
    private static FSharpResult<GpuReading, SourceError> Interpret(ProgramOutput output)
    {
        var parsed = NvidiaSmi.Parse(output.Output).SelectError(SourceError.NewGarbled);
        var hasRows = parsed.Match(static reading => reading.Gpus.Length > 0, static _ => false);

        return output.ExitCode == 0 || hasRows
            ? parsed
            : FSharpResult<GpuReading, SourceError>.NewError(
                SourceError.NewUnreadable(Name, $"exit code {output.ExitCode}: {FirstLine(output.Output)}"));
    }

    private static string FirstLine(byte[] text)
    {
        var line = Encoding.UTF8.GetString(text).Split('\n').Select(static l => l.Trim()).FirstOrDefault(static l => l.Length > 0);
        return line is null ? "it printed nothing" : line.Length > 200 ? line[..200] + "…" : line;
    }
}
