using System.Reactive.Concurrency;
using System.Reactive.Disposables;
using Agent.Core;

namespace Agent.Host.Sampling;

/// <summary>
/// An Rx scheduler on one thread that sleeps until the next work is due. Rx's own timers wake the thread pool, which
/// costs more than the reading. Periodic work stays on the grid of <see cref="Schedule"/>: what is late skips grid
/// points and never bunches. The agent has two of these, one that samples and one that posts. It is no LocalScheduler,
/// because those keep a timer of the thread pool that looks after changes of the wall clock.
/// </summary>
internal sealed class SamplingScheduler(AgentClock clock) : IScheduler, ISchedulerPeriodic, IServiceProvider
{
    private readonly object gate = new();

    // A handful at most, in the order in which they came.
    private readonly List<Work> waiting = [];
    private Thread? thread;
    private bool stopped;

    // While work runs, the instant it was due: periodic work that starts there is anchored at it, not at the few
    // microseconds that passed since.
    private TimeSpan? running;
    private TimeSpan busyUntil;

    /// <summary>Told the number of grid points that were skipped because the work before was late.</summary>
    public Action<long> OnSkipped { get; set; } = static _ => { };

    /// <inheritdoc/>
    public DateTimeOffset Now => clock.GetUtcNow();

    /// <summary>Rx asks so whether the scheduler is more than that: it can repeat work by itself.</summary>
    public object? GetService(Type serviceType) => serviceType == typeof(ISchedulerPeriodic) ? this : null;

    /// <inheritdoc/>
    public IDisposable Schedule<TState>(TState state, Func<IScheduler, TState, IDisposable> action) =>
        Schedule(state, TimeSpan.Zero, action);

    /// <inheritdoc/>
    public IDisposable Schedule<TState>(
        TState state, DateTimeOffset dueTime, Func<IScheduler, TState, IDisposable> action) =>
        Schedule(state, dueTime - Now, action);

    /// <inheritdoc/>
    public IDisposable Schedule<TState>(TState state, TimeSpan dueTime, Func<IScheduler, TState, IDisposable> action)
    {
        var result = new SingleAssignmentDisposable();
        var work = new Work(_ =>
        {
            result.Disposable = action(this, state);
            return null;
        });

        Enqueue(work, clock.Elapsed + Scheduler.Normalize(dueTime));
        return StableCompositeDisposable.Create(work, result);
    }

    /// <inheritdoc/>
    public IDisposable SchedulePeriodic<TState>(TState state, TimeSpan period, Func<TState, TState> action)
    {
        var work = new Work(due =>
        {
            // What the work before held up past its instant belongs to the next one, not to some time between the two. A
            // little late is still on time: a work of the same thread may come right before this one.
            if (busyUntil > due && clock.Elapsed - due > period / 10)
            {
                return Next(due, skipped: 1);
            }

            state = action(state);
            return Next(due, skipped: 0);
        });

        Enqueue(work, (running ?? clock.Elapsed) + period);
        return work;

        TimeSpan? Next(TimeSpan due, long skipped)
        {
            var next = Core.Schedule.After(due, period, clock.Elapsed);

            if (next.Skipped + skipped > 0)
            {
                OnSkipped(next.Skipped + skipped);
            }

            return next.Due;
        }
    }

    /// <summary>Does the work as it falls due, on the calling thread, until <see cref="Stop"/>.</summary>
    public void Run()
    {
        thread = Thread.CurrentThread;

        while (TryTakeDue() is { } work)
        {
            running = work.Due;
            var next = work.Run();
            running = null;
            busyUntil = clock.Elapsed;

            if (next is { } instant)
            {
                Enqueue(work, instant);
            }
        }
    }

    /// <summary>Ends <see cref="Run"/> after the work that runs now; what is still due is dropped.</summary>
    public void Stop()
    {
        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    private void Enqueue(Work work, TimeSpan due)
    {
        lock (gate)
        {
            work.Due = due;
            waiting.Add(work);

            // The thread that runs looks again by itself.
            if (Thread.CurrentThread != thread)
            {
                Monitor.PulseAll(gate);
            }
        }
    }

    private Work? TryTakeDue()
    {
        lock (gate)
        {
            while (!stopped)
            {
                if (waiting.Count == 0)
                {
                    clock.Wait(gate, Timeout.InfiniteTimeSpan);
                    continue;
                }

                var earliest = Earliest();
                var work = waiting[earliest];
                var rest = work.IsDisposed ? TimeSpan.Zero : work.Due - clock.Elapsed;

                if (rest > TimeSpan.Zero)
                {
                    clock.Wait(gate, rest);
                    continue;
                }

                waiting.RemoveAt(earliest);

                if (!work.IsDisposed)
                {
                    return work;
                }
            }

            return null;
        }
    }

    // Of those that are due together the one that came first.
    private int Earliest()
    {
        var earliest = 0;

        for (var i = 1; i < waiting.Count; i++)
        {
            earliest = waiting[i].Due < waiting[earliest].Due ? i : earliest;
        }

        return earliest;
    }

    /// <summary>Something to do at an instant; it may name the next instant at which to do it again.</summary>
    private sealed class Work(Func<TimeSpan, TimeSpan?> action) : ICancelable
    {
        public TimeSpan Due { get; set; }

        public bool IsDisposed { get; private set; }

        public TimeSpan? Run() => IsDisposed ? null : action(Due);

        public void Dispose() => IsDisposed = true;
    }
}
