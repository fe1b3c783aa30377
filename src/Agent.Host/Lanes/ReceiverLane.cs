using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Posting;
using Agent.Host.Service;

namespace Agent.Host.Lanes;

/// <summary>Samples to a receiver of metrics: with headers of the user's own, and advice about what is worked around by nobody.</summary>
/// <param name="destination">Where it leads.</param>
/// <param name="name">The name of its metrics, its thread and its log lines.</param>
/// <param name="outbox">Keeps the records.</param>
/// <param name="client">Makes the requests.</param>
/// <param name="headers">The user's headers, which the client sends; null for none.</param>
/// <param name="context">What all lanes share.</param>
internal abstract class ReceiverLane(
    Destination destination, string name, IOutbox outbox, SampleClient client, HeaderSource? headers, LaneContext context)
    : Lane(destination, name, "receiver", outbox, context)
{
    private readonly Adviser adviser = new(destination, static () => default, context.Clock, context.Log, context.Signals.AtOnce);
    private Exchange? last;
    private string toldProblem = "";

    /// <inheritdoc/>
    public override void Dispose()
    {
        client.Dispose();
        base.Dispose();
    }

    /// <summary>The name that the machine goes by: its slug at the webapp, else its host name.</summary>
    protected string InstanceOf(MachineReading reading) =>
        Context.Settings.Target is { IsSome: true, Value: var target } ? target.Slug : reading.Hostname;

    /// <summary>Reads the user's headers again where their file has changed, and says whether they can be used.</summary>
    protected void RefreshHeaders()
    {
        if (headers is null)
        {
            return;
        }

        headers.RefreshIfChanged();

        if (headers.Problem != toldProblem)
        {
            toldProblem = headers.Problem;
            Context.Log.Warning(toldProblem.Length > 0
                ? $"{toldProblem}; the previous headers are sent"
                : $"{headers.Origin}: the file can be used again");
        }
    }

    /// <summary>Makes one request.</summary>
    protected Exchange Send(ReadOnlyMemory<byte> body) => last = client.Post(body, Context.Signals.AtOnce);

    /// <summary>Advises about the newest answer. One that was worked around is none to be advised about.</summary>
    protected void Advise(Outcome outcome)
    {
        if (outcome.IsDelivered)
        {
            adviser.Clear();
        }
        else if (last is not null)
        {
            adviser.Consider(last);
        }
    }

    /// <summary>Advises about the newest answer, which says that what was sent is refused for good.</summary>
    protected void AdviseOfRefusal()
    {
        if (last is not null)
        {
            adviser.Consider(last);
        }
    }
}
