using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Service;

/// <summary>Says which GPUs there are whenever that changes, and lets go of them when asked to. Runs on the sampling thread alone but for
/// <see cref="Switch"/>.</summary>
/// <param name="finding">What is found of the GPUs; null before the first answer.</param>
/// <param name="release">Lets go of the GPUs, or takes them up again.</param>
/// <param name="areFree">True once they are let go of.</param>
/// <param name="isDryRun">Whether only advice is said.</param>
/// <param name="clock">Says what is the same trouble again, and how long letting go takes.</param>
/// <param name="log">Where to say it.</param>
internal sealed class GpuWatch(Func<GpuFinding?> finding, Action<bool> release, Func<bool> areFree, bool isDryRun, AgentClock clock, Log log)
{
    /// <summary>A call that is under way has returned by then, unless it hangs.</summary>
    private static readonly TimeSpan LongestCall = TimeSpan.FromSeconds(10);

    private readonly Lock gate = new();
    private GpuFinding told = GpuDiagnosis.None;
    private Recurrence trouble = RecurrenceModule.None;
    private string advice = "";
    private TimeSpan? askedAt;
    private bool isReleased;
    private bool isLate;

    /// <summary>A line with the GPUs once they are known and whenever they change, and advice whenever its cause does: of a cause that comes and
    /// goes one line in ten minutes, as of the faults of a source.</summary>
    public void Observe()
    {
        ObserveRelease();

        if (finding() is not { } found)
        {
            return;
        }

        if (found.Summary != told.Summary && !isDryRun)
        {
            log.Routine($"GPUs: {found.Summary}");
        }

        advice = found.Advice.Length > 0 ? found.Advice : advice;
        (trouble, var news) = RecurrenceModule.Observe(clock.Elapsed, found.Problem, trouble);

        switch (news)
        {
            case { IsLost: true }:
                log.Warning($"advice: {found.Advice}");
                break;
            case { IsLostAgain: true, times: var times }:
                Again(times);
                break;
            case { IsOverAgain: true, returns: var times }:
                Again(times);
                break;
            default:
                break;
        }

        told = found;

        void Again(int times) => log.Warning($"advice: {advice} ({(times == 1 ? "once" : $"{times} times")} since this was last said)");
    }

    /// <summary>Lets go of the GPUs, or takes them up again: while they are let go of, they can be reset or divided. When that is so is said
    /// once it is.</summary>
    public void Switch()
    {
        lock (gate)
        {
            isReleased = !isReleased;
            askedAt = isReleased ? clock.Elapsed : null;
            isLate = false;
            release(isReleased);
            log.Info(isReleased ? "SIGUSR1: the GPUs are being released" : "SIGUSR1: the GPUs are read again");
        }
    }

    private void ObserveRelease()
    {
        lock (gate)
        {
            if (askedAt is not { } asked)
            {
                return;
            }

            if (areFree())
            {
                askedAt = null;
                log.Info("SIGUSR1: the GPUs are released and have no values until the next SIGUSR1");
            }
            else if (!isLate && clock.Elapsed - asked >= LongestCall)
            {
                isLate = true;
                log.Warning("SIGUSR1: the GPUs are not released: a call to the NVIDIA driver does not return, so that they are still in use");
            }
        }
    }
}
