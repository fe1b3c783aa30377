using System.Reactive.Concurrency;
using System.Reactive.Linq;
using Agent.Host.Buffering;

namespace Agent.Host;

/// <summary>The one observable of the agent: interval → sample → buffer → post.</summary>
internal static class Pipeline
{
    /// <summary>
    /// Samples on the grid of <paramref name="sampling"/>, the first one CPU window after the subscription; each goes
    /// into the outbox and from there to the webapp. What a network or a machine may do arrives as a value; an OnError
    /// is a defect.
    /// </summary>
    /// <param name="sampler">Takes the samples.</param>
    /// <param name="buffer">Keeps one.</param>
    /// <param name="poster">Delivers them.</param>
    /// <param name="window">The CPU window; zero for none.</param>
    /// <param name="interval">From one sample to the next.</param>
    /// <param name="once">True for a single sample.</param>
    /// <param name="sampling">The thread that samples.</param>
    public static IObservable<Attempt> Run(
        Sampler sampler,
        Action<EncodedSample> buffer,
        Poster poster,
        TimeSpan window,
        TimeSpan interval,
        bool once,
        IScheduler sampling) =>
        poster.Deliver(Samples(sampler, window, interval, once, sampling).Do(buffer), once);

    /// <summary>The first part alone: interval → sample.</summary>
    /// <param name="sampler">Takes the samples.</param>
    /// <param name="window">The CPU window; zero for none.</param>
    /// <param name="interval">From one sample to the next.</param>
    /// <param name="once">True for a single sample.</param>
    /// <param name="sampling">The thread that samples.</param>
    public static IObservable<EncodedSample> Samples(
        Sampler sampler, TimeSpan window, TimeSpan interval, bool once, IScheduler sampling)
    {
        var samples = Ticks(window, interval, once, sampling).Select(_ => sampler.Take());

        return window == TimeSpan.Zero
            ? samples
            : Ticks(TimeSpan.Zero, interval, once, sampling)
                .Do(_ => sampler.OpenWindow())
                .IgnoreElements()
                .Select(static _ => default(EncodedSample)!)
                .Merge(samples);
    }

    private static IObservable<long> Ticks(TimeSpan first, TimeSpan interval, bool once, IScheduler sampling) =>
        once ? Observable.Timer(first, sampling) : Observable.Timer(first, interval, sampling);
}
