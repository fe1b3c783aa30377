using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Reading;

namespace Agent.Host.Service;

/// <summary>Says which GPUs there are whenever that changes, and lets go of them when asked to. Runs on the sampling thread alone but for
/// <see cref="Switch"/>.</summary>
/// <param name="slow">Reads the GPUs.</param>
/// <param name="isDryRun">Whether only advice is said.</param>
/// <param name="log">Where to say it.</param>
internal sealed class GpuWatch(SlowSources slow, bool isDryRun, Log log)
{
    private GpuFinding told = GpuDiagnosis.None;

    /// <summary>A line with the GPUs once they are known and whenever they change, and advice whenever its cause does.</summary>
    public void Observe()
    {
        if (slow.GpuFinding is not { } found)
        {
            return;
        }

        if (found.Summary != told.Summary && !isDryRun)
        {
            log.Routine($"GPUs: {found.Summary}");
        }

        if (found.Advice.Length > 0 && Gist.OfMessage(found.Advice) != Gist.OfMessage(told.Advice))
        {
            log.Warning($"advice: {found.Advice}");
        }

        told = found;
    }

    /// <summary>Lets go of the GPUs, or takes them up again: while they are let go of, they can be reset or divided.</summary>
    public void Switch()
    {
        slow.AreGpusReleased = !slow.AreGpusReleased;
        log.Info(slow.AreGpusReleased
            ? "SIGUSR1: the GPUs are released and have no values until the next SIGUSR1"
            : "SIGUSR1: the GPUs are read again");
    }
}
