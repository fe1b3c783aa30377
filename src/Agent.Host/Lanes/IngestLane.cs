using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Posting;
using Agent.Host.Sampling;
using Agent.Host.Service;

namespace Agent.Host.Lanes;

/// <summary>Samples to the webapp, one in a request.</summary>
/// <param name="outbox">Keeps the samples.</param>
/// <param name="client">Makes the requests.</param>
/// <param name="encoder">Encodes the samples.</param>
/// <param name="context">What all lanes share.</param>
internal sealed class IngestLane(IOutbox outbox, SampleClient client, SampleEncoder encoder, LaneContext context)
    : Lane(Destination.Ingest, "ingest", "webapp", outbox, context)
{
    private readonly Adviser adviser = new(
        Destination.Ingest,
        () => client.AskForRoute(context.Settings.Timeout, context.Signals.AtOnce),
        context.Clock,
        context.Log,
        context.Signals.AtOnce);

    private EncodedSample? newest;

    /// <summary>True when the newest sample was delivered; kept with --once alone.</summary>
    public bool IsNewestDelivered { get; private set; }

    /// <inheritdoc/>
    protected override Batching Batching => Batching.OneByOne(Post);

    /// <inheritdoc/>
    public override void Dispose()
    {
        client.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override EncodedSample Encode(SampleTaken taken)
    {
        var sample = encoder.Line(taken.Sample);
        newest = Context.Settings.Once ? sample : null;
        return sample;
    }

    /// <inheritdoc/>
    protected override void OnDelivered(EncodedSample sample, Receipt receipt)
    {
        IsNewestDelivered = newest is not null && sample.Body.Span.SequenceEqual(newest.Body.Span);
        Delivered(1);
        Context.Log.Routine(Delivery.ReceiptLine(receipt));
    }

    private Outcome Post(ReadOnlyMemory<byte> body)
    {
        var exchange = client.Post(body, Context.Signals.AtOnce);
        var outcome = Delivery.OfExchange(Context.Clock.GetUtcNow(), exchange);

        if (outcome.IsDelivered)
        {
            adviser.ConsiderDelivered(exchange);
        }
        else
        {
            adviser.Consider(exchange);
        }

        return outcome;
    }
}
