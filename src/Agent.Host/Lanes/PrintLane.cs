using System.Reactive.Linq;
using Agent.Host.Buffering;
using Agent.Host.Sampling;
using Agent.Host.Service;

namespace Agent.Host.Lanes;

/// <summary>Samples to the standard output: the destination of a dry run.</summary>
/// <param name="encoder">Encodes the samples.</param>
/// <param name="once">Whether a single sample is printed, which is then indented.</param>
/// <param name="log">Prints them.</param>
/// <param name="service">Told of each.</param>
/// <param name="ended">Called when nobody is left to print for, as behind <c>| head -1</c>, or nothing can be printed, as on a full disk.</param>
internal sealed class PrintLane(SampleEncoder encoder, bool once, Log log, ServiceState service, Action ended) : ILane
{
    /// <inheritdoc/>
    public EncodedSample Keep(SampleTaken taken) => once ? encoder.Indented(taken.Sample) : encoder.Line(taken.Sample, newLine: true);

    /// <inheritdoc/>
    public IObservable<Attempt> Deliver(IObservable<EncodedSample> kept) =>
        kept.Do(Print).IgnoreElements().Select(static _ => default(Attempt)!);

    private void Print(EncodedSample sample)
    {
        log.ResultLine(Terminal.JsonLine(sample.Body.Span));

        if (log.IsOutputUnread || log.ResultFault.Length > 0)
        {
            ended();
        }

        sample.Release();
        service.Delivered();
    }
}
