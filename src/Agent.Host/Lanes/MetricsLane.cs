using System.Reactive.Linq;
using Agent.Host.Buffering;
using Agent.Host.Exporting;
using Agent.Host.Sampling;

namespace Agent.Host.Lanes;

/// <summary>
/// Samples to whoever reads the metrics. The last lane: a sample that can be seen there is kept in all the others.
/// </summary>
/// <param name="metrics">Keeps the newest.</param>
internal sealed class MetricsLane(MetricsSource metrics) : ILane
{
    /// <inheritdoc/>
    public EncodedSample Keep(SampleTaken taken)
    {
        metrics.Publish(metrics.At(taken));
        return EncodedSample.None;
    }

    /// <inheritdoc/>
    public IObservable<Attempt> Deliver(IObservable<EncodedSample> kept) =>
        kept.IgnoreElements().Select(static _ => default(Attempt)!);
}
