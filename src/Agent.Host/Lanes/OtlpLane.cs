using Agent.Core;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Exporting;
using Agent.Host.Posting;
using Agent.Host.Sampling;
using Agent.Host.Service;

namespace Agent.Host.Lanes;

/// <summary>Samples to a receiver of OTLP: each becomes a record, and many go in a request.</summary>
/// <param name="outbox">Keeps the records.</param>
/// <param name="client">Makes the requests.</param>
/// <param name="headers">The user's headers, which the client sends; null for none.</param>
/// <param name="metrics">What the records are made of.</param>
/// <param name="version">The agent's version.</param>
/// <param name="hostId">This application's id of the machine; empty where it has none.</param>
/// <param name="context">What all lanes share.</param>
internal sealed class OtlpLane(
    IOutbox outbox, SampleClient client, HeaderSource? headers, MetricsSource metrics, string version, string hostId, LaneContext context)
    : ReceiverLane(Destination.Otlp, "otlp", outbox, client, headers, context)
{
    private readonly DateTimeOffset startedAt = context.Clock.GetUtcNow();

    /// <inheritdoc/>
    protected override Batching Batching => new(Otlp.MostRecords, Otlp.MostBytes, Post);

    /// <inheritdoc/>
    protected override EncodedSample Encode(SampleTaken taken)
    {
        var reading = metrics.Machine(metrics.At(taken), withCollectors: false);
        var sender = new OtlpSender(version, InstanceOf(reading), hostId, Context.Settings.Labels, startedAt);
        return new EncodedSample(Otlp.Record(sender, reading));
    }

    private Posted Post(EncodedSample[] batch)
    {
        RefreshHeaders();
        var delivery = OtlpDelivery.Deliver(Send, Context.Clock.GetUtcNow, [.. batch.Select(static sample => sample.Body)]);
        string[] reasons = [.. delivery.Fates.Select(static fate => fate.Match(static () => "", static () => "", static reason => reason))];
        Count(delivery, reasons);
        return new Posted(reasons, delivery.Outcome);
    }

    private void Count(OtlpOutcome delivery, string[] reasons)
    {
        var refused = reasons.Count(static reason => reason.Length > 0);

        if (refused > 0)
        {
            Context.Log.Warning($"{Name}: samples are refused: {reasons.Last(static reason => reason.Length > 0)}", $"; {refused} dropped");
            AdviseOfRefusal();
        }
        else
        {
            Advise(delivery.Outcome);
        }

        if (delivery.RejectedPoints > 0)
        {
            Context.Log.Warning($"{Name}: data points are rejected: {delivery.Message}", $"; {delivery.RejectedPoints} dropped");
        }
        else if (delivery.Message.Length > 0)
        {
            Context.Log.Warning($"{Name}: the receiver warns: {delivery.Message}");
        }

        if (reasons.Length > refused)
        {
            Delivered(reasons.Length - refused);
        }
    }
}
