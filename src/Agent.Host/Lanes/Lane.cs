using System.Globalization;
using System.Reactive.Linq;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Sampling;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host.Lanes;

/// <summary>Where samples go: keeps each, and has it delivered.</summary>
internal interface ILane
{
    /// <summary>Encodes a sample for this destination and keeps it. Called on the sampling thread.</summary>
    EncodedSample Keep(SampleTaken taken);

    /// <summary>Delivers what is kept, triggered by each arrival; an exception is a defect and arrives as OnError.</summary>
    IObservable<Attempt> Deliver(IObservable<EncodedSample> kept);
}

/// <summary>What all lanes share.</summary>
/// <param name="Settings">The user's choices.</param>
/// <param name="Clock">The monotonic clock, and the wall clock for Retry-After.</param>
/// <param name="Log">Where to say what a user should know.</param>
/// <param name="Service">Told how delivery fares.</param>
/// <param name="Signals">End delivery after the request that is in flight, or at once.</param>
internal sealed record LaneContext(Settings Settings, AgentClock Clock, Log Log, ServiceState Service, Signals Signals);

/// <summary>
/// One destination: an outbox, a client with its batching, a thread of its own, and what is said of it (waits, overflow, what is left
/// at the end, advice). What follows from an outcome is decided by <see cref="Delivery"/>.
/// </summary>
internal abstract class Lane : ILane, IDisposable
{
    private readonly Destination destination;
    private readonly string receiver;
    private readonly SamplingScheduler scheduler;
    private readonly Thread thread;
    private bool overflowing;
    private long lost;
    private long delivered;

    /// <summary>A lane that has not started yet; it disposes of the outbox.</summary>
    /// <param name="destination">Where it leads.</param>
    /// <param name="name">The name of its metrics, its thread and its log lines.</param>
    /// <param name="receiver">What refuses a sample: "webapp".</param>
    /// <param name="outbox">Keeps the samples.</param>
    /// <param name="context">What all lanes share.</param>
    protected Lane(Destination destination, string name, string receiver, IOutbox outbox, LaneContext context)
    {
        this.destination = destination;
        this.receiver = receiver;
        Name = name;
        Outbox = outbox;
        Context = context;
        scheduler = new SamplingScheduler(context.Clock);
        thread = new Thread(scheduler.Run, maxStackSize: 512 * 1024) { Name = name };
    }

    /// <summary>Samples that wait for delivery.</summary>
    public long Waiting => Outbox.Count;

    /// <summary>The name of its metrics.</summary>
    protected string Name { get; }

    /// <summary>Keeps the samples.</summary>
    protected IOutbox Outbox { get; }

    /// <summary>What all lanes share.</summary>
    protected LaneContext Context { get; }

    /// <summary>How samples are sent.</summary>
    protected abstract Batching Batching { get; }

    /// <summary>How every failure to deliver begins: those of the webapp, which everybody has, go without a name.</summary>
    private string NotDelivered => Prefix("", " ") + "not delivered";

    /// <summary>The state of delivery.</summary>
    public virtual DestinationState State()
    {
        var dropped = Outbox.Dropped;

        return new DestinationState(
            Name,
            Outbox.Count,
            Interlocked.Read(ref delivered),
            dropped.Overflowed,
            dropped.Refused,
            dropped.Damaged,
            FSharpValueOption<long>.None,
            FSharpValueOption<long>.None);
    }

    /// <inheritdoc/>
    public EncodedSample Keep(SampleTaken taken)
    {
        var sample = Encode(taken);
        Outbox.Add(sample);
        TellOverflow();
        return sample;
    }

    /// <inheritdoc/>
    public IObservable<Attempt> Deliver(IObservable<EncodedSample> kept) =>
        new Poster(Outbox, Batching, scheduler, Context.Settings.Interval, Random.Shared.NextDouble, Context.Signals.Orderly)
            .Deliver(kept, Context.Settings.Once)
            .Do(Report);

    /// <summary>Begins to deliver, what an earlier run left first.</summary>
    public void Start() => Threads.Begin(thread);

    /// <summary>Lets the request in flight finish; its own time-out limits the wait.</summary>
    public void Stop()
    {
        scheduler.Stop();

        if (thread.IsAlive)
        {
            thread.Join();
        }
    }

    /// <summary>The same for an agent that has to end: what is in flight is not waited for any longer than that.</summary>
    public void Stop(TimeSpan longest)
    {
        scheduler.Stop();

        if (thread.IsAlive)
        {
            thread.Join(Context.Clock.ToReal(longest));
        }
    }

    /// <summary>Says what is left when everything has stopped.</summary>
    public void SayWhatIsLeft()
    {
        var dropped = Outbox.Dropped;
        var kept = Outbox.Kept;
        var inMemory = Outbox.Count - kept;

        if (kept > 0)
        {
            Context.Log.Info($"{Prefix("", ": ")}not delivered yet and kept in the spool: {kept}");
        }

        if (!Context.Settings.Once && inMemory + dropped.Total > 0)
        {
            Context.Log.Warning(
                $"{NotDelivered}: {inMemory} lost that were held in memory only, {dropped.Refused} refused by the {receiver}, "
                + $"{dropped.Overflowed} dropped for lack of room, {dropped.Damaged} damaged on disk");
        }
    }

    /// <inheritdoc/>
    public virtual void Dispose() => Outbox.Dispose();

    /// <summary>A sample as this destination wants it.</summary>
    protected abstract EncodedSample Encode(SampleTaken taken);

    /// <summary>A sample was delivered by itself: what is to be said of it.</summary>
    protected virtual void OnDelivered(EncodedSample sample, Receipt receipt)
    {
    }

    /// <summary>So many samples have arrived.</summary>
    protected void Delivered(long samples)
    {
        Interlocked.Add(ref delivered, samples);
        Context.Log.Over(NotDelivered);
        Context.Service.Delivered(destination);
    }

    private void Report(Attempt attempt)
    {
        attempt.Outcome.Match(
            delivered: receipt =>
            {
                OnDelivered(attempt.Sample, receipt);
                TellBacklog();
                return 0;
            },
            retryAfter: (_, reason) => Complain(reason, attempt),
            hold: reason => Complain(reason, attempt),
            reject: reason => Complain(reason, attempt));
    }

    private int Complain(string reason, Attempt attempt)
    {
        Context.Service.NotDelivered(reason, destination);
        // What the webapp says ends as a sentence, and this one goes on.
        var clause = Context.Settings.Once ? reason : reason.TrimEnd('.');
        Context.Log.Warning($"{NotDelivered}: {clause}", Context.Settings.Once ? "" : attempt.Step.Match(
            next: static () => "",
            wait: delay => $"; {Outbox.Count} held, next attempt in {Seconds(delay)} s",
            setAside: static () => "; this sample is put aside",
            takeBack: delay => delay == TimeSpan.Zero ? "; the newest sample is accepted, so what is refused once more is put aside"
                : attempt.Outcome.IsReject ? $"; the third refusal in a row for this reason, all are kept, next attempt in {Seconds(delay)} s"
                : $"; {Outbox.Count} held, next attempt in {Seconds(delay)} s",
            askNewest: static () => "",
            settle: static () => "; the newest sample is accepted, so this one is put aside"));
        return 0;
    }

    private void TellOverflow()
    {
        var overflowed = Outbox.Dropped.Overflowed;

        if (overflowed > lost && !overflowing)
        {
            overflowing = true;
            Context.Log.Warning(
                $"{Prefix("", ": ")}{Outbox.Limit} are waiting for delivery, which is the maximum: from now on the oldest are dropped for new ones");
        }

        lost = overflowed;
    }

    private void TellBacklog()
    {
        if (overflowing && Outbox.Count == 0)
        {
            overflowing = false;
            Context.Log.Warning(
                $"{Prefix("", ": ")}the backlog has been delivered; {Outbox.Dropped.Overflowed} samples were dropped for lack of room");
        }
    }

    private string Prefix(string ofWebapp, string after) => destination == Destination.Ingest ? ofWebapp : Name + after;

    private static string Seconds(TimeSpan delay) => delay.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture);
}
