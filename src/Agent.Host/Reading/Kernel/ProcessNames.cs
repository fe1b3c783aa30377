using System.Globalization;
using Agent.Core.Gpu;
using Agent.Core.Proc;

namespace Agent.Host.Reading;

/// <summary>
/// The names of processes that the driver reports, as the kernel keeps them. The driver numbers processes as the agent's own PID
/// namespace does. Where the given /proc is that of another one, as a host's in a container, the same number is another process
/// there: then the agent's own /proc is asked.
/// </summary>
/// <param name="procFs">Where they are.</param>
internal sealed class ProcessNames(string procFs)
{
    private readonly ReadBuffer buffer = new();
    private string? root;

    /// <summary>The /proc that numbers processes as the driver does.</summary>
    public string Root => root ??= IsOfAnotherNamespace() ? "/proc" : procFs;

    /// <summary>The name; empty for a process that is not there, as one outside this container.</summary>
    public string Of(int pid) =>
        KernelFiles.ReadText(Path.Join(Root, pid.ToString(CultureInfo.InvariantCulture), "comm"), buffer)
            .Content.Match(static text => ComputeProcessModule.NameOf(text.Span), static _ => "");

    /// <summary>This process as the given /proc shows it has a number in that namespace, and one in each below it down to its own.</summary>
    private bool IsOfAnotherNamespace() =>
        KernelFiles.ReadText(Path.Join(procFs, "self", "status"), buffer).Content.Match(
            static text => ProcessStatus.PidNamespaces(text.Span).Match(static count => count is { IsSome: true, Value: > 1 }, static _ => false),
            static _ => false);
}
