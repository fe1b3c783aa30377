using System.Globalization;
using System.Reactive.Subjects;
using Agent.Core;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Posting;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host;

/// <summary>
/// Remote-write beside the sampling: each sample becomes a record in an outbox of its own, and a thread of its own delivers
/// the records in their order, by the rules by which samples go to the webapp.
/// </summary>
internal sealed class RemoteWriter : IDisposable
{
    /// <summary>How every failure to deliver begins.</summary>
    private const string NotDelivered = "remote-write not delivered";

    private readonly IOutbox outbox;
    private readonly SampleClient client;
    private readonly HeaderSource? headers;
    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly Log log;
    private readonly ServiceState service;
    private readonly Signals signals;
    private readonly Adviser adviser;
    private readonly SamplingScheduler scheduler;
    private readonly Subject<EncodedSample> arrivals = new();
    private readonly IDisposable run;
    private readonly Thread thread;
    private SeriesSet previous = SeriesSet.Empty;
    private RemoteState state;
    private Exchange? last;
    private string toldProblem = "";
    private long overflowed;
    private long delivered;
    private long unconfirmed;
    private long refusedSeries;

    /// <summary>A writer that has not started yet; it disposes of the client and the outbox.</summary>
    /// <param name="outbox">Keeps the records.</param>
    /// <param name="client">Makes the requests.</param>
    /// <param name="headers">The user's headers, which the client sends; null for none.</param>
    /// <param name="settings">The user's choices.</param>
    /// <param name="clock">The monotonic clock, and the wall clock for Retry-After.</param>
    /// <param name="log">Where to say what a user should know.</param>
    /// <param name="service">Told how delivery fares.</param>
    /// <param name="signals">End delivery after the request that is in flight, or at once.</param>
    /// <param name="failed">Told of a defect.</param>
    public RemoteWriter(
        IOutbox outbox,
        SampleClient client,
        HeaderSource? headers,
        Settings settings,
        AgentClock clock,
        Log log,
        ServiceState service,
        Signals signals,
        Action<Exception> failed)
    {
        this.outbox = outbox;
        this.client = client;
        this.headers = headers;
        this.settings = settings;
        this.clock = clock;
        this.log = log;
        this.service = service;
        this.signals = signals;
        adviser = new Adviser(Destination.RemoteWrite, static () => default, clock, log, signals.AtOnce);
        state = RemoteDelivery.Start(outbox.Count > 0);
        scheduler = new SamplingScheduler(clock);
        thread = new Thread(scheduler.Run, maxStackSize: 512 * 1024) { Name = "remote-write" };
        run = new Poster(
                outbox,
                new Batching(RemoteWrite.MostRecords, RemoteWrite.MostBytes, Post),
                scheduler,
                settings.Interval,
                Random.Shared.NextDouble,
                signals.Orderly)
            .Deliver(arrivals, once: false)
            .Subscribe(Report, failed);
    }

    /// <summary>Samples that wait for delivery.</summary>
    public long Waiting => outbox.Count;

    /// <summary>How delivery fares.</summary>
    public DestinationState State()
    {
        var dropped = outbox.Dropped;

        return new DestinationState(
            "remote-write",
            outbox.Count,
            Interlocked.Read(ref delivered),
            dropped.Overflowed,
            dropped.Refused,
            dropped.Damaged,
            FSharpValueOption<long>.NewValueSome(Interlocked.Read(ref unconfirmed)),
            FSharpValueOption<long>.NewValueSome(Interlocked.Read(ref refusedSeries)));
    }

    /// <summary>Begins to deliver, what an earlier run left first.</summary>
    public void Start() => thread.Start();

    /// <summary>Takes a sample. Called on the sampling thread.</summary>
    public void Take(MachineReading reading, AgentState agent)
    {
        var instance = settings.Target.IsSome ? settings.Target.Value.Slug : reading.Hostname;
        (var record, previous) = RemoteWrite.Record(RemoteWrite.MachineLabels(instance, settings.Labels), previous, reading, agent);
        var sample = new EncodedSample(record);
        outbox.Add(sample);
        arrivals.OnNext(sample);
        TellOverflow();
    }

    /// <summary>Lets the request in flight finish, and says what is left.</summary>
    public void Stop()
    {
        scheduler.Stop();

        if (thread.IsAlive)
        {
            thread.Join();
        }

        run.Dispose();
        var dropped = outbox.Dropped;
        var inMemory = outbox.Count - outbox.Kept;

        if (outbox.Kept > 0)
        {
            log.Info($"remote-write: not delivered yet and kept in the spool: {outbox.Kept}");
        }

        if (inMemory + dropped.Total > 0)
        {
            log.Warning(
                $"{NotDelivered}: {inMemory} still held in memory, {dropped.Refused} refused by the receiver, "
                + $"{dropped.Overflowed} dropped for lack of room, {dropped.Damaged} damaged on disk");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        arrivals.Dispose();
        client.Dispose();
        outbox.Dispose();
    }

    private Posted Post(EncodedSample[] batch)
    {
        headers?.RefreshIfChanged();
        var delivery = RemoteDelivery.Deliver(Send, clock.GetUtcNow, state, [.. batch.Select(static sample => sample.Body)]);
        state = delivery.State;
        TellHeaders();
        Advise(delivery.Outcome);
        Count(delivery);

        return new Posted(
            [.. delivery.Fates.Select(static fate => fate.Match(static () => "", static () => "", static reason => reason))],
            delivery.Outcome);
    }

    private Exchange Send(ReadOnlyMemory<byte> body) => last = client.Post(body, signals.AtOnce);

    // An answer that was worked around is none to be advised about.
    private void Advise(Outcome outcome)
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

    private void Count(RemoteOutcome delivery)
    {
        var refused = delivery.Fates.Where(static fate => fate.IsRefused).ToArray();
        var doubtful = delivery.Fates.Count(static fate => fate.IsUnconfirmed);
        Interlocked.Add(ref delivered, delivery.Fates.Length - refused.Length - doubtful);
        Interlocked.Add(ref unconfirmed, doubtful);
        Interlocked.Add(ref refusedSeries, delivery.RefusedSeries);

        if (delivery.RefusedSeries > 0)
        {
            log.Warning($"remote-write: series are refused: {delivery.Reason}", $"; {delivery.RefusedSeries} dropped");
        }

        if (refused.Length > 0)
        {
            var reason = refused[^1].Match(static () => "", static () => "", static reason => reason);
            log.Warning($"remote-write: samples are refused: {reason}", $"; {refused.Length} dropped");
        }

        if (doubtful > 0)
        {
            log.Warning(
                "remote-write: sent again after an answer got lost, samples are refused as known",
                $"; {doubtful} are most likely there");
        }

        if (delivery.Fates.Length > refused.Length)
        {
            log.Over(NotDelivered);
            service.Delivered(Destination.RemoteWrite);
        }
    }

    private void TellHeaders()
    {
        if (headers is not null && headers.Problem != toldProblem)
        {
            toldProblem = headers.Problem;
            log.Warning(toldProblem.Length > 0
                ? $"{toldProblem}; the headers of before are sent"
                : $"{settings.RemoteWrite.Value.HeaderOrigin}: the file can be used again");
        }
    }

    private void TellOverflow()
    {
        var now = outbox.Dropped.Overflowed;

        if (now > overflowed)
        {
            log.Warning($"remote-write: {outbox.Limit} wait for delivery, which is the most that is held: the oldest are dropped for new ones");
        }

        overflowed = now;
    }

    private void Report(Attempt attempt) => attempt.Outcome.Match(
        delivered: static _ => 0,
        retryAfter: (_, reason) => Complain(reason, attempt),
        hold: reason => Complain(reason, attempt),
        reject: reason => Complain(reason, attempt));

    private int Complain(string reason, Attempt attempt)
    {
        service.NotDelivered(reason, Destination.RemoteWrite);
        log.Warning($"{NotDelivered}: {reason}", attempt.Step.Match(
            next: static () => "",
            wait: delay => $"; {outbox.Count} held, next attempt in {Seconds(delay)} s",
            setAside: static () => "; this sample is put aside",
            takeBack: delay => $"; the third refusal in a row for this reason, all are kept, next attempt in {Seconds(delay)} s"));
        return 0;
    }

    private static string Seconds(TimeSpan delay) => delay.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture);
}
