using System.Runtime.InteropServices;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// How often a kind of work is done: as often as it should, or so rarely that it takes no more CPU time than it may. What it takes is measured
/// each time, so a machine with more or larger processes is looked at less often, and no machine pays more.
/// </summary>
/// <param name="allowance">The CPU time that it may take, as a share of one CPU.</param>
/// <param name="shortest">How often it should be done.</param>
/// <param name="longest">How rarely it may be done at most.</param>
internal sealed class Pace(double allowance, TimeSpan shortest, TimeSpan longest)
{
    /// <summary>
    /// One reading is a chance; of several the newest counts a quarter. One that cost less counts half: the first costs more than all others,
    /// and where it made the next ones rare it would be remembered for long.
    /// </summary>
    private const double Newest = 0.25;
    private const double Cheaper = 0.5;

    private TimeSpan mean;
    private bool isKnown;

    /// <summary>What it takes, in the mean.</summary>
    public TimeSpan Cost => mean;

    /// <summary>From one time to the next.</summary>
    public TimeSpan Period => TimeSpan.FromSeconds(Math.Clamp(
        mean.TotalSeconds / allowance, shortest.TotalSeconds, longest.TotalSeconds));

    /// <summary>Counts what it took this time.</summary>
    public void Took(TimeSpan cost)
    {
        var share = !isKnown ? 1 : cost < mean ? Cheaper : Newest;
        mean = mean * (1 - share) + cost * share;
        isKnown = true;
    }
}

/// <summary>The CPU time of the calling thread.</summary>
internal static partial class ThreadCost
{
    /// <summary>CLOCK_THREAD_CPUTIME_ID.</summary>
    private const int OfThread = 3;

    /// <summary>Since the thread started.</summary>
    public static TimeSpan Now
    {
        get
        {
            Span<long> time = stackalloc long[2];
            return GetTime(OfThread, ref time[0]) == 0
                ? TimeSpan.FromTicks(time[0] * TimeSpan.TicksPerSecond + time[1] / 100)
                : TimeSpan.Zero;
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, ref long time);
}
