using System.Buffers;
using Agent.Core;
using Agent.Sender;
using Agent.Host.Buffering;

namespace Agent.Host.Sampling;

/// <summary>What goes into every sample unchanged.</summary>
/// <param name="Version">The agent's version.</param>
/// <param name="Hostname">The name the user gave; empty for the machine's own.</param>
/// <param name="Runtime">What the agent runs on.</param>
/// <param name="Pid">The agent's process id.</param>
internal sealed record Identity(string Version, string Hostname, string Runtime, int Pid);

/// <summary>Samples as bodies for the webapp. Runs on the sampling thread alone.</summary>
/// <param name="facts">The newest facts of the machine; the same object while they are the same.</param>
/// <param name="settings">The user's choices.</param>
/// <param name="identity">Who samples.</param>
internal sealed class SampleEncoder(Func<SystemInfo> facts, Settings settings, Identity identity)
{
    private readonly BodyPool bodies = new();
    private SystemInfo? encodedFacts;
    private ReadOnlyMemory<byte> agentText;

    /// <summary>A sample on one line.</summary>
    /// <param name="sample">The sample.</param>
    /// <param name="newLine">Whether the line has its end.</param>
    public EncodedSample Line(Sample sample, bool newLine = false)
    {
        var body = bodies.Rent();
        Wire.WriteWithAgent(body, sample, AgentText());

        if (newLine)
        {
            body.Mark((byte)'\n');
        }

        return bodies.Keep(body);
    }

    /// <summary>A sample for people: on many lines, with the end of the last.</summary>
    public EncodedSample Indented(Sample sample)
    {
        var text = new ArrayBufferWriter<byte>();
        Wire.Write(text, true, sample, Agent(facts()));
        text.Write("\n"u8);
        return new EncodedSample(text.WrittenMemory);
    }

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
