using System.Reactive.Concurrency;
using System.Reactive.Linq;
using Agent.Host.Buffering;
using Agent.Host.Lanes;
using Agent.Host.Sampling;

namespace Agent.Host;

/// <summary>When something is due.</summary>
internal enum Tick
{
    /// <summary>The CPU window of the next sample opens.</summary>
    WindowOpens,

    /// <summary>A sample.</summary>
    Sample,
}

/// <summary>
/// The one observable of the agent: interval → sample → buffer → post, by operators over Rx. What a network or a machine may do
/// arrives as a value; an OnError is a defect.
/// </summary>
internal static class Pipeline
{
    /// <summary>Each sample to each lane: kept there on the sampling thread, delivered on the lane's own.</summary>
    /// <param name="samples">The samples.</param>
    /// <param name="lanes">Where they go.</param>
    public static IObservable<Attempt> ToEach(this IObservable<SampleTaken> samples, IReadOnlyList<ILane> lanes) =>
        samples.Publish(taken => lanes.Select(lane => taken.Buffer(lane).Post(lane)).Merge());

    /// <summary>When to sample: on a grid, the first time one CPU window after the subscription.</summary>
    /// <param name="window">The CPU window; zero for none.</param>
    /// <param name="interval">From one sample to the next.</param>
    /// <param name="once">True for a single sample.</param>
    /// <param name="sampling">The thread that samples.</param>
    public static IObservable<Tick> Ticks(TimeSpan window, TimeSpan interval, bool once, IScheduler sampling)
    {
        var samples = Grid(window).Select(static _ => Tick.Sample);
        return window == TimeSpan.Zero ? samples : Grid(TimeSpan.Zero).Select(static _ => Tick.WindowOpens).Merge(samples);

        IObservable<long> Grid(TimeSpan first) =>
            once ? Observable.Timer(first, sampling) : Observable.Timer(first, interval, sampling);
    }

    /// <summary>A sample at each tick that asks for one.</summary>
    public static IObservable<SampleTaken> Sample(this IObservable<Tick> ticks, Sampler sampler) =>
        ticks.Select(tick =>
            {
                if (tick == Tick.Sample)
                {
                    return sampler.Take();
                }

                sampler.OpenWindow();
                return null;
            })
            .OfType<SampleTaken>();

    private static IObservable<EncodedSample> Buffer(this IObservable<SampleTaken> samples, ILane lane) => samples.Select(lane.Keep);

    private static IObservable<Attempt> Post(this IObservable<EncodedSample> kept, ILane lane) => lane.Deliver(kept);
}
