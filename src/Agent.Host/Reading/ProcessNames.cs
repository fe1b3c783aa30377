using System.Globalization;
using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>The names of processes, as the kernel keeps them.</summary>
/// <param name="procFs">Where they are.</param>
internal sealed class ProcessNames(string procFs)
{
    private readonly ReadBuffer buffer = new();

    /// <summary>The name; empty for a process that is not there, as one outside this container.</summary>
    public string Of(int pid) =>
        KernelFiles.ReadText(Path.Join(procFs, pid.ToString(CultureInfo.InvariantCulture), "comm"), buffer)
            .Content.Match(static text => ComputeProcessModule.NameOf(text.Span), static _ => "");
}
