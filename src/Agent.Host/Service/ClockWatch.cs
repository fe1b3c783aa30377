using System.Globalization;
using Agent.Core;

namespace Agent.Host.Service;

/// <summary>Says when the wall clock, whose time the samples carry, is set. Runs on the sampling thread alone.</summary>
internal sealed class ClockWatch(AgentClock clock, Log log)
{
    private (DateTimeOffset Wall, TimeSpan Elapsed)? last;

    /// <summary>Compares the two clocks; called once for each sample.</summary>
    public void Observe()
    {
        var now = (Wall: clock.GetUtcNow(), clock.Elapsed);

        if (last is { } before)
        {
            var jump = Schedule.ClockJump(now.Wall - before.Wall, clock.ToReal(now.Elapsed - before.Elapsed));

            if (jump.IsSome)
            {
                var seconds = jump.Value.TotalSeconds.ToString("+0.0;-0.0", CultureInfo.InvariantCulture);
                log.Warning($"the clock of this machine jumped by {seconds} s; samples are delivered in the order they were taken");
            }
        }

        last = now;
    }
}
