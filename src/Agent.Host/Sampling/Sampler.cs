using Agent.Core;
using Agent.Core.Proc;
using Agent.Sender;
using Agent.Host.Reading;
using Microsoft.FSharp.Core;

namespace Agent.Host.Sampling;

/// <summary>A sample, what it was built from, and the one before it.</summary>
/// <param name="Number">How many were taken with it.</param>
/// <param name="Sample">The sample.</param>
/// <param name="Snapshot">What it was built from.</param>
/// <param name="Previous">The sample before it; none for the first.</param>
/// <param name="PreviousSnapshot">What that was built from.</param>
internal sealed record SampleTaken(
    long Number, Sample Sample, Snapshot Snapshot, FSharpValueOption<Sample> Previous, FSharpValueOption<Snapshot> PreviousSnapshot)
{
    /// <summary>True when a disk or an interface came or went since the one before.</summary>
    public bool HasOtherDevices => PreviousSnapshot.IsSome && !SnapshotModule.HaveSameDevices(PreviousSnapshot.Value, Snapshot);

    /// <summary>True when a CPU came or went since the one before, and the number of cores is old.</summary>
    public bool HasOtherCpus => Previous.IsSome && !Previous.Value.CpuCountLogical.Equals(Sample.CpuCountLogical);
}

/// <summary>Takes one sample at a time: reads and builds. Runs on the sampling thread alone.</summary>
/// <param name="files">The sources.</param>
/// <param name="settings">The user's choices.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class Sampler(ProcFiles files, Settings settings, AgentClock clock)
{
    private readonly SampleOptions options = new(settings.Disks, settings.Interfaces, settings.CpuWindow);
    private FSharpValueOption<Snapshot> previous = FSharpValueOption<Snapshot>.None;
    private FSharpValueOption<Sample> previousSample = FSharpValueOption<Sample>.None;
    private Stat.CpuStat? opening;
    private TimeSpan openedAt;
    private long taken;

    /// <summary>Reads the CPU times that the next sample's CPU window starts from.</summary>
    public void OpenWindow()
    {
        openedAt = clock.Elapsed;
        opening = files.ReadStat().Match<Stat.CpuStat, SourceError, Stat.CpuStat?>(static stat => stat, static _ => null);
    }

    /// <summary>The machine at this instant.</summary>
    public SampleTaken Take()
    {
        var snapshot = files.Read(Window());
        var sample = new SampleTaken(++taken, SampleModule.Build(options, previous, snapshot), snapshot, previousSample, previous);
        opening = null;
        previous = FSharpValueOption<Snapshot>.NewValueSome(snapshot);
        previousSample = FSharpValueOption<Sample>.NewValueSome(sample.Sample);
        return sample;
    }

    private FSharpValueOption<CpuWindow> Window() =>
        opening is null
            ? FSharpValueOption<CpuWindow>.None
            : FSharpValueOption<CpuWindow>.NewValueSome(new CpuWindow(clock.Elapsed - openedAt, opening));
}
