using System.Reactive;
using System.Reactive.Concurrency;
using System.Reactive.Disposables;
using System.Reactive.Linq;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Buffering;

namespace Agent.Host.Lanes;

/// <summary>One attempt to deliver a sample, and what follows from it.</summary>
internal sealed record Attempt(EncodedSample Sample, Outcome Outcome, DeliveryStep Step);

/// <summary>What came of sending some samples.</summary>
/// <param name="Done">
/// For those at the beginning that are done with: why it is refused for what it is, empty for one that is delivered.
/// </param>
/// <param name="Outcome">What came of the next one; delivered when there is none, or when it is simply to be sent.</param>
internal sealed record Posted(IReadOnlyList<string> Done, Outcome Outcome);

/// <summary>How samples are sent.</summary>
/// <param name="Most">So many at a time.</param>
/// <param name="Bytes">So many bytes of them, but for the first.</param>
/// <param name="Post">Sends some, oldest first.</param>
internal sealed record Batching(int Most, int Bytes, Func<EncodedSample[], Posted> Post)
{
    private static readonly string[] One = [""];

    /// <summary>Sends one out of turn; null for a destination that takes samples in the order of time alone.</summary>
    public Func<ReadOnlyMemory<byte>, Outcome>? PostNewest { get; init; }

    /// <summary>One sample a request, which has the outcome that it has.</summary>
    public static Batching OneByOne(Func<ReadOnlyMemory<byte>, Outcome> post) =>
        new(1, 0, batch =>
        {
            var outcome = post(batch[0].Body);
            return new Posted(outcome.IsDelivered ? One : [], outcome);
        })
        {
            PostNewest = post,
        };
}

/// <summary>
/// Delivers what the outbox holds, oldest first, one batch at a time. What follows from an outcome is decided by
/// <see cref="Delivery"/>.
/// </summary>
/// <param name="outbox">The samples to deliver.</param>
/// <param name="batching">Sends them.</param>
/// <param name="scheduler">The thread that posts.</param>
/// <param name="interval">From one sample to the next; the first back-off.</param>
/// <param name="jitter">A random number in 0-1.</param>
/// <param name="stop">Ends delivery after the request that is in flight.</param>
internal sealed class Poster(
    IOutbox outbox,
    Batching batching,
    IScheduler scheduler,
    TimeSpan interval,
    Func<double> jitter,
    CancellationToken stop)
{
    /// <summary>The same for a destination that takes one sample at a time.</summary>
    public Poster(
        IOutbox outbox,
        Func<ReadOnlyMemory<byte>, Outcome> post,
        IScheduler scheduler,
        TimeSpan interval,
        Func<double> jitter,
        CancellationToken stop)
        : this(outbox, Batching.OneByOne(post), scheduler, interval, jitter, stop)
    {
    }

    /// <summary>
    /// Delivers what is held at the start, then whenever a sample arrives and whenever a wait is over; completes when the
    /// arrivals do. With <paramref name="once"/> the first failure is the last attempt. An exception is a defect, and arrives
    /// as OnError.
    /// </summary>
    public IObservable<Attempt> Deliver(IObservable<EncodedSample> arrivals, bool once) =>
        Observable.Create<Attempt>(observer =>
        {
            var state = Delivery.Start;
            var retry = new SerialDisposable();
            var waiting = false;
            var asked = 0;

            // Arrivals while a request lasts ask for one more look together. Their samples wait in the outbox, which is
            // bounded; the queue of ObserveOn is not.
            return StableCompositeDisposable.Create(
                scheduler.Schedule(TryPump),
                arrivals
                    .Where(_ => Interlocked.Exchange(ref asked, 1) == 0)
                    .Select(static _ => Unit.Default)
                    .ObserveOn(scheduler)
                    .Subscribe(
                        _ =>
                        {
                            Volatile.Write(ref asked, 0);
                            TryPump();
                        },
                        observer.OnError,
                        observer.OnCompleted),
                retry);

            void TryPump()
            {
                try
                {
                    Pump();
                }
                catch (Exception defect)
                {
                    observer.OnError(defect);
                }
            }

            void Pump()
            {
                while (!waiting && !stop.IsCancellationRequested && outbox.Oldest is { } oldest)
                {
                    EncodedSample[] batch = batching.Most > 1
                        ? [oldest, .. outbox.Behind(batching.Most - 1, batching.Bytes - oldest.Body.Length)]
                        : [oldest];
                    var (done, outcome) = batching.Post(batch);

                    for (var i = 0; i < done.Count; i++)
                    {
                        Finish(batch[i], done[i]);
                    }

                    var sample = batch[Math.Min(done.Count, batch.Length - 1)];
                    (state, var step) = Delivery.Decide(interval, jitter(), done.Count > 0 ? Delivery.Start : state, outcome);

                    if (step.IsAskNewest)
                    {
                        // One at which the receiver fails keeps its place until it is given up: those aside are none of its business.
                        if (outcome.IsReject)
                        {
                            outbox.SetAside(sample, ReasonOf(outcome));
                        }

                        (state, step) = Delivery.OfNewest(state, PostNewest() ?? outcome);

                        if (!outcome.IsReject && step.IsSettle)
                        {
                            outbox.SetAside(sample, ReasonOf(outcome));
                        }
                    }

                    step.Match(
                        next: static () => false,
                        wait: Wait,
                        setAside: () => Done(() => outbox.SetAside(sample, ReasonOf(outcome))),
                        takeBack: delay => Done(outbox.TakeBack) | Wait(delay),
                        askNewest: static () => false,
                        settle: () => Done(outbox.Settle));

                    observer.OnNext(new Attempt(sample, outcome, step));

                    for (var i = 0; i < done.Count; i++)
                    {
                        Release(batch[i], done[i]);
                    }

                    outbox.Flush();
                }

                // While a wait lasts, samples still arrive.
                outbox.Flush();
            }

            // None where there is no newer one, or none may overtake the others.
            Outcome? PostNewest() => batching.PostNewest is { } post && outbox.Newest is { } newest ? post(newest.Body) : null;

            void Finish(EncodedSample sample, string refusal)
            {
                if (refusal.Length == 0)
                {
                    outbox.Remove(sample);
                }
                else
                {
                    outbox.SetAside(sample, refusal);
                    outbox.Settle();
                }
            }

            // Nobody has a delivered sample any more, not even a request: its answer is there.
            static void Release(EncodedSample sample, string refusal)
            {
                if (refusal.Length == 0)
                {
                    sample.Release();
                }
            }

            static string ReasonOf(Outcome outcome) => outcome.Match(
                delivered: static _ => "",
                retryAfter: static (_, reason) => reason,
                hold: static reason => reason,
                reject: static reason => reason);

            static bool Done(Action action)
            {
                action();
                return false;
            }

            bool Wait(TimeSpan delay)
            {
                waiting = delay > TimeSpan.Zero;

                if (!waiting)
                {
                    return false;
                }

                if (!once)
                {
                    retry.Disposable = scheduler.Schedule(delay, () =>
                    {
                        waiting = false;
                        TryPump();
                    });
                }

                return true;
            }
        });
}
