using System.Security.Cryptography;
using Agent.Dashboard.Store;
using Agent.Receiver;
using Microsoft.FSharp.Core;
using Npgsql;

namespace Agent.Dashboard.State;

/// <summary>
/// The state that several dashboards share, in PostgreSQL. One thread and one connection: requests are transactions, one after the other, and between them the
/// lease is renewed and what others have changed is read. While PostgreSQL is away requests fail at once, and it is tried again every second or two.
/// </summary>
internal sealed class PostgresState : IStateStore, IDisposable
{
    /// <summary>So many requests wait at most: each is a person's, or one of the few loops of this program.</summary>
    public const int MostWaiting = 256;

    /// <summary>How often it is looked whether others have changed something.</summary>
    private static readonly TimeSpan PollPeriod = TimeSpan.FromSeconds(1.5);

    private static readonly TimeSpan PrunePeriod = TimeSpan.FromMinutes(1);

    /// <summary>After a failure nothing is tried for so long.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly object gate = new();
    private readonly NpgsqlDataSource source;
    private readonly StateAddress place;
    private readonly string me = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
    private readonly AgentClock clock;
    private readonly Thread thread;
    private List<Request> waiting = [];
    private bool stopping;

    // Of the thread alone.
    private Opened? opened;
    private long seenAlerts = -1;
    private StateMirror? mirror;
    private TimeSpan nextLease;
    private TimeSpan nextPoll;
    private TimeSpan nextPrune;
    private TimeSpan retryAt;

    private volatile StrongLease lease = new(Lease.none);
    private volatile Figures figures = new("", "");
    private long nextMessageAt;

    private PostgresState(NpgsqlDataSource source, StateAddress place, PostgresConnection connection, AgentClock clock)
    {
        this.source = source;
        this.place = place;
        this.clock = clock;
        opened = new Opened(connection);
        thread = new Thread(Work) { IsBackground = true, Name = "state" };
    }

    /// <summary>Connects and brings the tables up to date; the error says why it cannot be used.</summary>
    /// <param name="settings">Where it is.</param>
    /// <param name="clock">The dashboard's.</param>
    /// <param name="complain">Takes sentences.</param>
    public static FSharpResult<PostgresState, Unopened> Open(StateSettings settings, AgentClock clock, Action<string> complain) =>
        StateOpening.Connect(settings, complain).Select(one =>
        {
            var state = new PostgresState(one.Source, settings.Address, one.Connection, clock);
            state.thread.Start();
            return state;
        });

    /// <inheritdoc/>
    public bool IsShared => true;

    /// <inheritdoc/>
    public bool IsHolder => Lease.IsHeld(clock.Elapsed, lease.Held);

    /// <inheritdoc/>
    public Action? OnForget { get; set; }

    /// <summary>Called when the state can be used again, on the thread of transactions.</summary>
    public Action? OnWorks { get; set; }

    /// <summary>Called when the state cannot be used, with the reason; on the same thread.</summary>
    public Action<string>? OnFailure { get; set; }

    /// <summary>Called when this dashboard begins or ceases to evaluate the rules; on the same thread.</summary>
    public Action<bool>? OnLease { get; set; }

    /// <inheritdoc/>
    public long NextMessageAt => Volatile.Read(ref nextMessageAt);

    /// <inheritdoc/>
    public string Reason => figures.Failure is { Length: > 0 } failure ? $"the state in PostgreSQL cannot be used ({failure})" : "the state did not take it";

    /// <summary>Whether it could be used the last time.</summary>
    public bool Works => figures.Failure.Length == 0;

    /// <inheritdoc/>
    public StateReport? Report => new(figures.Failure.Length == 0, figures.Failure, IsHolder, IsHolder ? Address : figures.Holder);

    /// <summary>What other dashboards and people call this one.</summary>
    public string Address { get; private set; } = "";

    /// <summary>How long what is over is kept, in days.</summary>
    private int Days { get; set; }

    /// <summary>
    /// Begins to take part in the lease, and to keep registrations and events in the database up to date. Requests are answered before, too.
    /// </summary>
    /// <param name="address">What other dashboards and people call this one.</param>
    /// <param name="writer">Writes them.</param>
    /// <param name="days">How long what is over is kept.</param>
    public void Begin(string address, Writer writer, int days)
    {
        lock (gate)
        {
            Address = address;
            Days = days;
            mirror = new StateMirror(writer);
            Monitor.Pulse(gate);
        }
    }

    /// <inheritdoc/>
    public Task<bool> Alert(Action<AlertRows, EventRows, OutboxRows> change) => AskAlerts(change, isFenced: false).ContinueWith(
        static kept => kept.Result == Kept.Yes, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    /// <inheritdoc/>
    public Task<Kept> Evaluate(Action<AlertRows, EventRows, OutboxRows> change) => AskAlerts(change, isFenced: true);

    /// <inheritdoc/>
    public Task<bool> Look(Action<OutboxRows> look) => Alert((_, _, rows) => look(rows));

    /// <inheritdoc/>
    public Task<Kept> Deliver(Action<OutboxRows> change) => Evaluate((_, _, rows) => change(rows));

    /// <inheritdoc/>
    public Task<bool> Withdraw(OutboxMessage delivered) => Alert((_, _, rows) => rows.Withdraw(delivered));

    /// <inheritdoc/>
    public Task<bool> Note(int server, Happening happening, string author) => Alert((_, events, _) => events.Add(server, happening, author));

    /// <inheritdoc/>
    public async Task<bool> Register(Action<StateConnection> change) => await Ask(new Request(PostgresConnection.Registered, false, (rows, _) =>
        change(rows.Connection))
    {
        // From now on it holds for every request here.
        After = rows => mirror?.CopyRegistrations(rows.Connection),
    }) == Kept.Yes;

    /// <summary>Looks at the sessions or changes them, given the version that was found; done when that is kept.</summary>
    public async Task<bool> Session(Action<StateConnection, long> change) =>
        await Ask(new Request(PostgresConnection.Sessions, false, (rows, version) => change(rows.Connection, version))) == Kept.Yes;

    /// <summary>Looks at something beside the transactions that change it; done when that is known.</summary>
    public async Task<bool> Read(Action<StateConnection> look) =>
        await Ask(new Request("", false, (rows, _) => look(rows.Connection))) == Kept.Yes;

    /// <summary>Gives the lease back, and ends.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            stopping = true;
            Monitor.Pulse(gate);
        }

        thread.Join();
        opened?.Dispose();
        source.Dispose();
    }

    private Task<Kept> AskAlerts(Action<AlertRows, EventRows, OutboxRows> change, bool isFenced) =>
        Ask(new Request(PostgresConnection.Alerts, isFenced, (rows, version) =>
        {
            if (version != seenAlerts)
            {
                OnForget?.Invoke();
            }

            change(rows.Alerts, rows.Events, rows.Outbox);
        })
        {
            After = rows => Volatile.Write(ref nextMessageAt, rows.Outbox.NextDue),
        });

    private Task<Kept> Ask(Request request)
    {
        lock (gate)
        {
            if (stopping || waiting.Count >= MostWaiting)
            {
                return Task.FromResult(Kept.Failed);
            }

            waiting.Add(request);
            Monitor.Pulse(gate);
        }

        return request.Done.Task;
    }

    private void Work()
    {
        while (Take(out var requests))
        {
            foreach (var request in requests)
            {
                request.Done.TrySetResult(Execute(request));
            }

            if (mirror is not null)
            {
                Tick();
            }
        }

        if (opened is { } last && lease.Held.Token > 0)
        {
            Try(() => last.Connection.Apart(() =>
            {
                last.Lease.Release(me);
                return 0;
            }));
        }

        lease = new StrongLease(Lease.none);
    }

    /// <summary>Waits for requests or the time of the next thing to do; false when it is over.</summary>
    private bool Take(out List<Request> requests)
    {
        lock (gate)
        {
            while (waiting.Count == 0 && !stopping)
            {
                var next = mirror is null ? Pause : Min(Max(retryAt, Min(nextLease, Min(nextPoll, nextPrune))) - clock.Elapsed, Pause);

                if (next <= TimeSpan.Zero)
                {
                    break;
                }

                clock.Wait(gate, next);

                if (mirror is not null)
                {
                    break;
                }
            }

            requests = waiting;
            waiting = [];
            return requests.Count > 0 || !stopping;
        }

        static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;
        static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;
    }

    /// <summary>What is due between requests.</summary>
    private void Tick()
    {
        if (clock.Elapsed >= nextLease && clock.Elapsed >= retryAt)
        {
            nextLease = clock.Elapsed + Lease.period;
            Try(RenewLease);
        }

        if (clock.Elapsed >= nextPoll && clock.Elapsed >= retryAt)
        {
            nextPoll = clock.Elapsed + PollPeriod;
            Try(() => mirror!.Copy(Rows().Connection));
        }

        if (clock.Elapsed >= nextPrune && clock.Elapsed >= retryAt)
        {
            nextPrune = clock.Elapsed + PrunePeriod;

            if (IsHolder)
            {
                Prune();
            }
        }
    }

    private void RenewLease()
    {
        // Before anything is sent: by the state's clock it begins later, and so lasts longer.
        var asked = clock.Elapsed;
        var before = lease.Held;
        var rows = Rows();
        var (step, holder) = rows.Connection.Apart(() => rows.Lease.Step(me, Address));
        var held = step.Match(token => Lease.Granted(asked, token), token => Lease.Granted(asked, token), static () => Lease.none);
        lease = new StrongLease(held);
        figures = figures with { Holder = holder };

        if (held.Token == before.Token)
        {
            return;
        }

        if (held.Token > 0)
        {
            // What waits to be delivered is looked for at once.
            rows.Outbox.Wake();
            Volatile.Write(ref nextMessageAt, 0);
        }

        OnForget?.Invoke();

        if ((held.Token > 0) != (before.Token > 0))
        {
            OnLease?.Invoke(held.Token > 0);
        }
    }

    private void Prune()
    {
        var now = RowKey.Microseconds(clock.GetUtcNow());
        var horizon = now - (Days * 24 * 60 * RowKey.MicrosecondsPerMinute);
        Execute(new Request(PostgresConnection.Alerts, true, (rows, version) =>
        {
            if (version != seenAlerts)
            {
                OnForget?.Invoke();
            }

            rows.Alerts.Prune(horizon);
            rows.Events.Prune(horizon);
            rows.Outbox.Prune(now - OutboxRows.Longest);
        }));
        Execute(new Request(PostgresConnection.Sessions, false, (rows, _) =>
        {
            using var over = rows.Connection.Prepare("DELETE FROM session WHERE ends < ?1");
            over.Bind(1, clock.GetUtcNow().ToUnixTimeSeconds()).Run();
        }));
    }

    private Kept Execute(Request request)
    {
        // Whoever waits is told at once while it is away.
        if (clock.Elapsed < retryAt)
        {
            return Kept.Failed;
        }

        var kept = Kept.Yes;
        var held = lease.Held;
        var isDone = Try(() =>
        {
            var rows = Rows();
            var before = rows.Connection.Changes;
            long Run(long version)
            {
                if (request.IsFenced && !(Lease.IsHeld(clock.Elapsed, held) && rows.Lease.Holds(me, held.Token)))
                {
                    kept = Kept.NotHolder;
                }
                else
                {
                    request.Work(rows, version);
                }

                return version;
            }

            if (request.Revision.Length == 0)
            {
                rows.Connection.Apart(() => Run(0));
            }
            else
            {
                var version = rows.Connection.Transact(request.Revision, Run);

                if (request.Revision == PostgresConnection.Alerts && kept == Kept.Yes)
                {
                    // Its own change is known here.
                    seenAlerts = rows.Connection.Changes == before ? version : version + 1;
                }
            }

            if (kept == Kept.Yes)
            {
                request.After?.Invoke(rows);
            }
        });

        return isDone ? kept : Kept.Failed;
    }

    private Opened Rows() => opened ??= new Opened(PostgresConnection.Open(source));

    /// <summary>Does something with PostgreSQL; false, and the connection is given up, where that does not work.</summary>
    private bool Try(Action work)
    {
        try
        {
            work();

            if (figures.Failure.Length > 0)
            {
                figures = figures with { Failure = "" };
                OnWorks?.Invoke();
            }

            return true;
        }
        catch (Exception failure)
        {
            // Anything else than a fault of PostgreSQL is a defect, which costs its transaction alone as well.
            var reason = PostgresFault.IsOne(failure) ? PostgresFault.Reason(failure, place) : $"a defect: {failure.GetType().Name}: {failure.Message}";
            figures = figures with { Failure = reason };
            seenAlerts = -1;
            Volatile.Write(ref nextMessageAt, 0);
            retryAt = clock.Elapsed + Pause;
            OnForget?.Invoke();
            OnFailure?.Invoke(reason);

            try
            {
                opened?.Dispose();
            }
            catch (Exception broken) when (PostgresFault.IsOne(broken))
            {
                // It is given up anyway.
            }

            opened = null;
            return false;
        }
    }

    private sealed record StrongLease(HeldLease Held);

    private sealed record Figures(string Failure, string Holder);

    /// <summary>One transaction.</summary>
    /// <param name="Revision">What it may change; empty for nothing.</param>
    /// <param name="IsFenced">Whether it is the holder's alone.</param>
    /// <param name="Work">Is given the version that was found.</param>
    private sealed record Request(string Revision, bool IsFenced, Action<Opened, long> Work)
    {
        /// <summary>What follows once it is kept.</summary>
        public Action<Opened>? After { get; init; }

        public TaskCompletionSource<Kept> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>A connection, and the statements over it.</summary>
    private sealed class Opened(PostgresConnection connection) : IDisposable
    {
        public PostgresConnection Connection { get; } = connection;

        public AlertRows Alerts { get; } = new(connection);

        public EventRows Events { get; } = new(connection);

        public OutboxRows Outbox { get; } = new(connection);

        public LeaseRows Lease { get; } = new(connection);

        public void Dispose()
        {
            Alerts.Dispose();
            Events.Dispose();
            Outbox.Dispose();
            Lease.Dispose();
            Connection.Dispose();
        }
    }
}
