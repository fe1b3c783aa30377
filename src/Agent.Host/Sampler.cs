using System.Buffers;
using Agent.Core;
using Agent.Sender;
using Agent.Core.Proc;
using Agent.Host.Buffering;
using Agent.Host.Reading;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host;

/// <summary>What goes into every sample unchanged.</summary>
/// <param name="Version">The agent's version.</param>
/// <param name="Hostname">The name the user gave; empty for the machine's own.</param>
/// <param name="Runtime">What the agent runs on.</param>
/// <param name="Pid">The agent's process id.</param>
internal sealed record Identity(string Version, string Hostname, string Runtime, int Pid);

/// <summary>Takes one sample at a time: reads, builds, encodes. Runs on the sampling thread alone.</summary>
/// <param name="files">The fast sources.</param>
/// <param name="facts">The newest facts of the machine; the same object while they are the same.</param>
/// <param name="settings">The user's choices.</param>
/// <param name="identity">Who samples.</param>
/// <param name="watch">Told what could not be read.</param>
/// <param name="clock">The monotonic clock.</param>
/// <param name="publish">Told of each sample, where metrics are exported.</param>
/// <param name="devicesChanged">Called when a disk or an interface came or went.</param>
internal sealed class Sampler(
    ProcFiles files,
    Func<SystemInfo> facts,
    Settings settings,
    Identity identity,
    SourceWatch watch,
    AgentClock clock,
    Action<FSharpValueOption<Sample>, Sample, Snapshot>? publish = null,
    Action? devicesChanged = null)
{
    private readonly SampleOptions options = new(settings.Disks, settings.Interfaces, settings.CpuWindow);
    private readonly BodyPool bodies = new();
    private readonly bool hasReceiver = settings.DryRun || settings.Target.IsSome;
    private FSharpValueOption<Snapshot> previous = FSharpValueOption<Snapshot>.None;
    private FSharpValueOption<Sample> previousSample = FSharpValueOption<Sample>.None;
    private Stat.CpuStat? opening;
    private TimeSpan openedAt;
    private SystemInfo? encodedFacts;
    private ReadOnlyMemory<byte> agentText;

    /// <summary>The newest sample; null before the first.</summary>
    public Sample? Newest { get; private set; }

    /// <summary>Reads the CPU times that the next sample's CPU window starts from.</summary>
    public void OpenWindow()
    {
        openedAt = clock.Elapsed;
        opening = files.ReadStat().Match<Stat.CpuStat, SourceError, Stat.CpuStat?>(static stat => stat, static _ => null);
    }

    /// <summary>The machine at this instant, as a request body; in a dry run as a whole line, or several of them.</summary>
    public EncodedSample Take()
    {
        var snapshot = files.Read(Window());
        var sample = SampleModule.Build(options, previous, snapshot);
        Newest = sample;
        watch.Observe(snapshot);

        if (devicesChanged is not null && previous.IsSome && !SnapshotModule.HaveSameDevices(previous.Value, snapshot))
        {
            devicesChanged();
        }

        previous = FSharpValueOption<Snapshot>.NewValueSome(snapshot);
        opening = null;
        publish?.Invoke(previousSample, sample, snapshot);
        previousSample = publish is null ? previousSample : FSharpValueOption<Sample>.NewValueSome(sample);

        if (!hasReceiver)
        {
            return EncodedSample.None;
        }

        var body = bodies.Rent();

        if (settings.DryRun && settings.Once)
        {
            var indented = new ArrayBufferWriter<byte>();
            Wire.Write(indented, true, sample, Agent(facts()));
            body.Raw(indented.WrittenSpan);
        }
        else
        {
            Wire.WriteWithAgent(body, sample, AgentText());
        }

        if (settings.DryRun)
        {
            body.Mark((byte)'\n');
        }

        return bodies.Keep(body);
    }

    private FSharpValueOption<CpuWindow> Window() =>
        opening is null
            ? FSharpValueOption<CpuWindow>.None
            : FSharpValueOption<CpuWindow>.NewValueSome(new CpuWindow(clock.Elapsed - openedAt, opening));

    private ReadOnlyMemory<byte> AgentText()
    {
        var system = facts();

        if (!ReferenceEquals(system, encodedFacts))
        {
            encodedFacts = system;
            agentText = Wire.AgentText(Agent(system));
        }

        return agentText;
    }

    private AgentInfo Agent(SystemInfo system) =>
        new(
            version: identity.Version,
            hostname: identity.Hostname.Length > 0 ? identity.Hostname : system.Hostname,
            pid: identity.Pid,
            labels: settings.Labels,
            diskFilters: settings.DiskFilters,
            runtime: identity.Runtime,
            system: system);
}
