using Agent.Core;
using Agent.Sender;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Exporting;

/// <summary>
/// What metrics are made of: the newest reading, which the sampling leaves here, and how the agent fares. Safe for all
/// threads.
/// </summary>
/// <param name="version">The agent's version.</param>
/// <param name="settings">The user's choices.</param>
/// <param name="facts">The newest facts of the machine.</param>
/// <param name="sensors">The newest sensors.</param>
/// <param name="slowSources">How the sources fare that are read beside the sampling.</param>
/// <param name="failures">Readings of any source that failed.</param>
/// <param name="destinations">How delivery fares.</param>
/// <param name="domainName">The NIS domain name; empty where it cannot be read.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class MetricsSource(
    string version,
    Settings settings,
    Func<SystemInfo> facts,
    Func<Hwmon.PlacedSensor[]> sensors,
    Func<IEnumerable<SourceState>> slowSources,
    Func<long> failures,
    Func<DestinationState[]> destinations,
    string domainName,
    AgentClock clock)
{
    private Taken? newest;
    private long taken;
    private long skipped;

    /// <summary>A sample was taken. Called on the sampling thread.</summary>
    public void Publish(FSharpValueOption<Sample> previous, Sample sample, Snapshot snapshot, ReadOnlyMemory<byte> memoryText, SourceState[] sources)
    {
        Interlocked.Increment(ref taken);
        Volatile.Write(ref newest, new Taken(previous, sample, snapshot, memoryText, sources, clock.Elapsed));
    }

    /// <summary>Samples were due and not taken.</summary>
    public void Skipped(long count) => Interlocked.Add(ref skipped, count);

    /// <summary>How old the newest sample is; infinite before the first.</summary>
    public TimeSpan Age() => Volatile.Read(ref newest) is { } last ? clock.Elapsed - last.At : TimeSpan.MaxValue;

    /// <summary>The newest reading of the machine; none before the first.</summary>
    public FSharpValueOption<MachineReading> Machine()
    {
        if (Volatile.Read(ref newest) is not { } last)
        {
            return FSharpValueOption<MachineReading>.None;
        }

        var system = facts();

        return FSharpValueOption<MachineReading>.NewValueSome(new MachineReading(
            snapshot: last.Snapshot,
            sample: last.Sample,
            previous: last.Previous,
            memoryText: last.MemoryText,
            sensors: sensors(),
            system: system,
            domainName: domainName,
            hostname: settings.Hostname.Length > 0 ? settings.Hostname : system.Hostname,
            disks: settings.Disks,
            interfaces: settings.Interfaces));
    }

    /// <summary>How the agent fares at this moment.</summary>
    public AgentState Agent() => new(
        version: version,
        taken: Interlocked.Read(ref taken),
        skipped: Interlocked.Read(ref skipped),
        failures: failures(),
        sources: [.. Volatile.Read(ref newest)?.Sources ?? [], .. slowSources()],
        destinations: destinations());

    private sealed record Taken(
        FSharpValueOption<Sample> Previous,
        Sample Sample,
        Snapshot Snapshot,
        ReadOnlyMemory<byte> MemoryText,
        SourceState[] Sources,
        TimeSpan At);
}
