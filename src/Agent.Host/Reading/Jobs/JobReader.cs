using Agent.Core;
using Agent.Core.Jobs;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// The jobs on this machine and what each of them does, read on a thread of its own. On a machine whose GPUs nobody uses it reads nothing but what
/// other sources tell, unless the machine itself is to be judged, or a GPU is out of order.
/// </summary>
internal sealed class JobReader
{
    private readonly SlowSource<JobReading> thread;
    private readonly bool watchesHost;
    private VerdictState state = VerdictState.Empty;
    private Evidence? judged;
    private JobReport? report;

    /// <summary>Nothing is read before <see cref="Start"/>.</summary>
    /// <param name="settings">Where /proc, /sys and / are, and how much may be told.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="inputs">What other sources told last; called on the reader's thread.</param>
    /// <param name="watchesHost">True where a machine without GPU jobs is to be judged as well.</param>
    /// <param name="onDefect">Takes what nobody foresaw.</param>
    public JobReader(
        Settings settings, AgentClock clock, Func<JobInputs> inputs, bool watchesHost, Action<string, Exception>? onDefect = null)
    {
        this.watchesHost = watchesHost;
        JobWatch? watch = null;
        thread = new(
            "jobs", clock, LongestAge, () => Judged((watch ??= new JobWatch(settings, clock, inputs, () => watchesHost || HasFault)).Read()), onDefect);
    }

    /// <summary>Looks are at most ten seconds apart; evidence that is older than three of them is none.</summary>
    private static readonly TimeSpan LongestAge = TimeSpan.FromSeconds(30);

    /// <summary>The name that metrics tell its state by.</summary>
    public string Name => thread.Name;

    /// <summary>What the newest interval showed; null before the second look, while nobody uses a GPU, and when reading hangs.</summary>
    public Evidence? Newest => thread.Newest?.Evidence;

    /// <summary>The jobs and what holds them back, likewise.</summary>
    public FSharpValueOption<JobReport> Report => thread.Newest?.Report is { } known
        ? FSharpValueOption<JobReport>.NewValueSome(known)
        : FSharpValueOption<JobReport>.None;

    /// <summary>All of the newest reading, however old.</summary>
    public JobReading Last => thread.Last ?? JobReading.None;

    /// <summary>What the newest reading took; null before the first.</summary>
    public TimeSpan? Took => thread.Took;

    /// <summary>What could not be read.</summary>
    public SourceError[] Faults => thread.IsOverdue
        ? [SourceError.NewUnreadable("/proc/PID", "a file of some process does not answer; until it does nothing is known of jobs")]
        : Last.Faults;

    /// <summary>Starts reading.</summary>
    public void Start() => thread.Start();

    /// <summary>Ends reading without waiting for what hangs.</summary>
    public void Stop() => thread.Stop();

    /// <summary>Waits for the first reading until the given instant of the clock.</summary>
    public void WaitForFirst(TimeSpan until) => thread.WaitForFirst(until);

    private bool HasFault => report is { Machine.Label.IsGpuFault: true };

    // On the reader's thread. The same evidence is judged once; without any, what was seen before is over.
    private SlowReading<JobReading> Judged(SlowReading<JobReading> read)
    {
        if (read.Value.Evidence is not { } evidence)
        {
            (state, judged, report) = (VerdictState.Empty, null, null);
        }
        else if (!ReferenceEquals(evidence, judged))
        {
            judged = evidence;
            (state, report) = VerdictModule.Report(state, evidence);
        }

        // Where nobody uses a GPU, only what is wrong with one is told.
        if (report is { Jobs.Length: 0 } && !watchesHost && !HasFault)
        {
            report = null;
        }

        // One that says how many there are besides.
        var told = report is null ? null : new JobReport(report.Jobs, report.Machine, read.Value.LeftOut.Jobs);
        return read with { Value = read.Value with { Report = told } };
    }
}
