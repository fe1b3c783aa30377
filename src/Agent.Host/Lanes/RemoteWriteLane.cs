using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Exporting;
using Agent.Host.Posting;
using Agent.Host.Sampling;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host.Lanes;

/// <summary>
/// Samples to receivers of remote-write: each becomes a record, many go in a request, and a receiver may take a part of them.
/// </summary>
internal sealed class RemoteWriteLane : ReceiverLane
{
    private readonly MetricsSource metrics;
    private readonly ReceiverTemplate template;
    private RemoteWriteVersion spoken = RemoteWriteVersion.Two;

    // Read by the sampling thread: what is encoded now had best be what is sent.
    private volatile bool isOfTwo = true;
    private SeriesSet previous = SeriesSet.Empty;
    private RemoteState state;
    private long unconfirmed;
    private long refusedSeries;

    /// <summary>A lane that has not started yet; it disposes of the client and the outbox.</summary>
    /// <param name="outbox">Keeps the records.</param>
    /// <param name="client">Makes the requests.</param>
    /// <param name="template">What the client sends with them.</param>
    /// <param name="headers">The user's headers, which the client sends; null for none.</param>
    /// <param name="metrics">What the records are made of.</param>
    /// <param name="context">What all lanes share.</param>
    public RemoteWriteLane(
        IOutbox outbox, SampleClient client, ReceiverTemplate template, HeaderSource? headers, MetricsSource metrics, LaneContext context)
        : base(Destination.RemoteWrite, "remote-write", outbox, client, headers, context)
    {
        this.metrics = metrics;
        this.template = template;
        state = RemoteDelivery.Start("--remote-write", outbox.Count > 0);
    }

    /// <inheritdoc/>
    protected override Batching Batching => new(RemoteWrite.MostRecords, RemoteWrite.MostBytes, Post);

    /// <inheritdoc/>
    public override DestinationState State()
    {
        var common = base.State();

        return new DestinationState(
            common.Destination,
            common.Waiting,
            common.Delivered,
            common.NoRoom,
            common.Refused,
            common.Damaged,
            FSharpValueOption<long>.NewValueSome(Interlocked.Read(ref unconfirmed)),
            FSharpValueOption<long>.NewValueSome(Interlocked.Read(ref refusedSeries)));
    }

    /// <inheritdoc/>
    protected override EncodedSample Encode(SampleTaken taken)
    {
        var look = metrics.At(taken);
        var reading = metrics.Machine(look, withCollectors: true);
        (var record, previous) = RemoteWriteRecord.OfReading(
            isOfTwo ? RemoteWriteVersion.Two : RemoteWriteVersion.One,
            RemoteWrite.MachineLabels(InstanceOf(reading), Context.Settings.Labels),
            previous,
            reading,
            metrics.Agent(look));
        return new EncodedSample(record);
    }

    private Posted Post(EncodedSample[] batch)
    {
        RefreshHeaders();
        var delivery = RemoteDelivery.Deliver(SendAs, Context.Clock.GetUtcNow, state, [.. batch.Select(static sample => sample.Body)]);
        Speak(delivery.State.Version);
        state = delivery.State;
        Advise(delivery.Outcome);
        Count(delivery);

        return new Posted(
            [.. delivery.Fates.Select(static fate => fate.Match(static () => "", static () => "", static reason => reason))],
            delivery.Outcome);
    }

    private Exchange SendAs(RemoteWriteVersion version, ReadOnlyMemory<byte> body)
    {
        if (version.IsTwo != spoken.IsTwo)
        {
            template.Speak(RemoteWrite.Headers(version));
            spoken = version;
        }

        return Send(body);
    }

    private void Speak(RemoteWriteVersion version)
    {
        if (version.IsTwo != state.Version.IsTwo)
        {
            isOfTwo = version.IsTwo;
            Context.Log.Routine(version.IsTwo
                ? $"{Name}: the receiver no longer takes 1.0 of the protocol; it is sent 2.0"
                : $"{Name}: the receiver does not know 2.0 of the protocol; it is sent 1.0");
        }
    }

    private void Count(RemoteOutcome delivery)
    {
        var refused = delivery.Fates.Where(static fate => fate.IsRefused).ToArray();
        var doubtful = delivery.Fates.Count(static fate => fate.IsUnconfirmed);
        Interlocked.Add(ref unconfirmed, doubtful);
        Interlocked.Add(ref refusedSeries, delivery.RefusedSeries);

        if (delivery.RefusedSeries > 0)
        {
            Context.Log.Warning($"{Name}: series are refused: {delivery.Reason}", $"; {delivery.RefusedSeries} dropped");
        }

        if (refused.Length > 0)
        {
            var reason = refused[^1].Match(static () => "", static () => "", static reason => reason);
            Context.Log.Warning($"{Name}: samples are refused: {reason}", $"; {refused.Length} dropped");
        }

        if (doubtful > 0)
        {
            Context.Log.Warning(
                $"{Name}: samples sent again after a lost answer are refused as duplicates", $"; {doubtful} have most likely arrived");
        }

        if (delivery.Fates.Length > refused.Length)
        {
            Delivered(delivery.Fates.Length - refused.Length - doubtful);
        }
    }
}
