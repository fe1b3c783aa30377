using System.Reactive;
using System.Reactive.Concurrency;
using System.Reactive.Disposables;
using System.Reactive.Linq;
using Agent.Core;
using Agent.Host.Buffering;

namespace Agent.Host;

/// <summary>One attempt to deliver a sample, and what follows from it.</summary>
internal sealed record Attempt(EncodedSample Sample, Outcome Outcome, DeliveryStep Step);

/// <summary>
/// Delivers what the outbox holds, oldest first, one request at a time. What follows from an answer is decided by
/// <see cref="Delivery"/>.
/// </summary>
/// <param name="outbox">The samples to deliver.</param>
/// <param name="post">Sends one body.</param>
/// <param name="scheduler">The thread that posts.</param>
/// <param name="interval">From one sample to the next; the first back-off.</param>
/// <param name="jitter">A random number in 0-1.</param>
/// <param name="stop">Ends delivery after the request that is in flight.</param>
internal sealed class Poster(
    IOutbox outbox,
    Func<ReadOnlyMemory<byte>, Outcome> post,
    IScheduler scheduler,
    TimeSpan interval,
    Func<double> jitter,
    CancellationToken stop)
{
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
                while (!waiting && !stop.IsCancellationRequested && outbox.Oldest is { } sample)
                {
                    var outcome = post(sample.Body);
                    (state, var step) = Delivery.Decide(interval, jitter(), state, outcome);

                    step.Match(
                        next: () => Done(() => outbox.Remove(sample)),
                        wait: Wait,
                        setAside: () => Done(() => outbox.SetAside(sample, ReasonOf(outcome))),
                        takeBack: delay => Done(outbox.TakeBack) | Wait(delay));

                    observer.OnNext(new Attempt(sample, outcome, step));
                    outbox.Flush();
                }

                // While a wait lasts, samples still arrive.
                outbox.Flush();
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
                waiting = true;

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
