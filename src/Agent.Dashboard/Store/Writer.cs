using Agent.Core;
using Agent.Receiver;
using Agent.Dashboard.Cluster;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// The one thread that writes. What has come in since the last commit goes into one transaction, and everyone who waits for it
/// is told when it is on disk: a wait for the disk is shared by all of them.
/// </summary>
internal sealed class Writer : IStateStore, IDisposable
{
    /// <summary>
    /// Of batches up to this length each sample is judged whose sender does not judge itself, which takes as long as storing it. A larger one is a
    /// backlog, or more than a thousand machines.
    /// </summary>
    private const int MostJudged = 16;

    private static readonly TimeSpan UpkeepPeriod = TimeSpan.FromSeconds(1);

    /// <summary>From one go of the upkeep to the next while there is more to do and samples come in: these are first.</summary>
    private static readonly TimeSpan UpkeepPause = TimeSpan.FromMilliseconds(60);

    /// <summary>So long nothing need have been written for the disk to be tried.</summary>
    private static readonly TimeSpan ProbePeriod = TimeSpan.FromMinutes(1);

    /// <summary>The same where somebody asks how the disk is.</summary>
    private static readonly TimeSpan AskedProbePeriod = TimeSpan.FromSeconds(10);

    /// <summary>The same while none come in: other processes, which try every two milliseconds, have to get their turn.</summary>
    private static readonly TimeSpan IdlePause = TimeSpan.FromMilliseconds(5);

    private readonly SqliteConnection connection;
    private readonly AgentClock clock;
    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly JobRows jobs;
    private readonly JudgementRows judgements;
    private readonly EventRows events;
    private readonly AlertRows alerts;
    private readonly OutboxRows outbox;
    private readonly Minutes minutes;
    private readonly Quarters quarters;
    private readonly Ingestion ingestion;
    private readonly Upkeep upkeep;
    private readonly FleetMemory memory;
    private readonly Transactions transactions;
    private readonly WriteQueue queue;
    private readonly Thread thread;
    private readonly HashSet<LiveServer> touched = [];

    /// <summary>Takes the connection over, and reads what there is.</summary>
    /// <param name="connection">Open for writing.</param>
    /// <param name="keeping">How long samples and minutes are kept.</param>
    /// <param name="clock">The receiver's.</param>
    /// <param name="complain">Takes a sentence about what went wrong.</param>
    public Writer(SqliteConnection connection, Keeping keeping, AgentClock clock, Action<string> complain)
    {
        this.connection = connection;
        this.clock = clock;
        Storage = new StorageWatch(clock, complain);
        // Agents wait for answers: they are told that another process holds the lock before they lose their patience.
        Database.Execute(connection, "PRAGMA busy_timeout = 3000");
        layouts = new Layouts(connection);
        rows = new SampleRows(connection, layouts);
        jobs = new JobRows(connection);
        judgements = new JudgementRows(connection);
        events = new EventRows(connection);
        alerts = new AlertRows(connection);
        outbox = new OutboxRows(connection);
        quarters = new Quarters(connection, layouts);
        minutes = new Minutes(connection, rows, layouts, jobs, quarters);
        ingestion = new Ingestion(rows, layouts, minutes, jobs, judgements, events);
        upkeep = new Upkeep(connection, minutes, quarters, layouts, jobs, judgements, events, alerts, outbox, keeping, clock);
        memory = new FleetMemory(connection, clock, layouts, rows, minutes, jobs, judgements, upkeep);
        transactions = new Transactions(connection, Storage, clock, memory.Load);
        queue = new WriteQueue(clock);
        memory.Reload();
        thread = new Thread(Work) { IsBackground = true, Name = "writer" };
        thread.Start();
    }

    /// <summary>The servers.</summary>
    public Fleet Fleet => memory.Fleet;

    /// <summary>The figures about what the writer does.</summary>
    public WriterFigures Figures { get; } = new();

    /// <summary>Called for each sample once it is on disk, on the writer's thread.</summary>
    public Action<LiveServer, HeldSample, Judgement?>? OnStored { get; set; }

    /// <summary>Called when the registrations have changed, on the writer's thread.</summary>
    public Action? OnRegistrations { get; set; }

    /// <summary>Called when a transaction was given up, on the writer's thread: what was remembered within it is not on disk.</summary>
    public Action? OnForget
    {
        get => transactions.OnForget;
        set => transactions.OnForget = value;
    }

    /// <inheritdoc/>
    public bool IsShared => false;

    /// <inheritdoc/>
    public StateReport? Report => null;

    /// <inheritdoc/>
    public bool IsHolder => true;

    /// <inheritdoc/>
    public string Reason => Storage.State.Reason;

    /// <summary>Passes posted samples on to a cluster of metrics instead of storing them; null for a database of its own. Set before the first sample.</summary>
    public Relay? Relay { get; set; }

    /// <summary>Whether samples are stored.</summary>
    public StorageWatch Storage { get; }

    /// <summary>Is called at least once a second while the writer's thread is alive and the disk answers; on that thread.</summary>
    public Action? OnBeat { get; set; }

    /// <summary>For how long the transaction under way has been waiting; zero when there is none.</summary>
    public TimeSpan Waiting => transactions.Waiting;

    /// <summary>Stores a sample; the answer comes when it is on disk.</summary>
    public Task<IngestResult> Store(IngestJob job) => queue.Add(job) ? job.Done : Task.FromResult(IngestResult.Failed);

    /// <summary>Looks whether another process has changed registrations; done when they are up to date.</summary>
    public Task<bool> Refresh() => queue.Ask(static () => { });

    /// <summary>Looks whether the disk takes something, unless it did so a moment ago; done when that is known.</summary>
    public Task<bool> Check() => queue.Ask(() => transactions.Probe(AskedProbePeriod));

    /// <summary>Remembers something; done when it is on disk.</summary>
    public Task<bool> Remember(string setting, string value) => queue.Ask(() => Setting.Write(connection, setting, value));

    /// <summary>Writes down what happened to a server, or to all; done when it is on disk.</summary>
    public Task<bool> Note(int server, Happening happening, string author) => queue.Ask(() => events.Add(server, happening, author));

    /// <summary>Looks into the alerts, or changes them with what follows from that; done when it is on disk.</summary>
    public async Task<bool> Alert(Action<AlertRows, EventRows, OutboxRows> change)
    {
        var isDone = await queue.Ask(() => change(alerts, events, outbox));

        if (!isDone)
        {
            outbox.Wake();
        }

        return isDone;
    }

    /// <inheritdoc/>
    public async Task<Kept> Evaluate(Action<AlertRows, EventRows, OutboxRows> change) => await Alert(change) ? Kept.Yes : Kept.Failed;

    /// <inheritdoc/>
    public Task<bool> Look(Action<OutboxRows> look) => Alert((_, _, rows) => look(rows));

    /// <inheritdoc/>
    public Task<Kept> Deliver(Action<OutboxRows> change) => Evaluate((_, _, rows) => change(rows));

    /// <inheritdoc/>
    public Task<bool> Withdraw(OutboxMessage delivered) => Look(rows => rows.Withdraw(delivered));

    /// <summary>When a message is due at the earliest, in microseconds from 2000-01-01.</summary>
    public long NextMessageAt => outbox.NextDue;

    /// <summary>Changes registrations; done when that is on disk, and from then on it holds for every request.</summary>
    public Task<bool> Register(Action<StateConnection> change) => queue.Ask(() =>
    {
        change(connection);
        memory.Outdate();
    });

    /// <summary>Makes the registrations those of a state elsewhere; done when that is on disk, and from then on it holds for every request.</summary>
    public async Task<bool> Mirror(List<Registration> registered)
    {
        var isDone = await queue.Ask(() =>
        {
            Registrations.Become(connection, registered);
            memory.Outdate();
        });
        return isDone && await Refresh();
    }

    /// <summary>Adds events of a state elsewhere, which come in the order of their numbers; done when that is on disk.</summary>
    public Task<bool> Mirror(List<EventRow> happened) => queue.Ask(() =>
    {
        happened.ForEach(events.Add);
        Setting.Write(connection, Setting.StateEvent, happened[^1].Id.ToString(System.Globalization.CultureInfo.InvariantCulture));
    });

    /// <summary>The number of the last such event; 0 for none, -1 where that cannot be read.</summary>
    public async Task<long> LastMirroredEvent()
    {
        var last = "";
        return !await queue.Ask(() => last = Setting.Read(connection, Setting.StateEvent)) ? -1
            : long.TryParse(last, System.Globalization.CultureInfo.InvariantCulture, out var id) ? id
            : 0;
    }

    /// <summary>Writes what has come in, and ends.</summary>
    public void Dispose()
    {
        queue.Close();
        thread.Join();
        memory.Dispose();
        transactions.Dispose();
        upkeep.Dispose();
        minutes.Dispose();
        quarters.Dispose();
        jobs.Dispose();
        judgements.Dispose();
        events.Dispose();
        alerts.Dispose();
        outbox.Dispose();
        rows.Dispose();
        layouts.Dispose();
        connection.Dispose();
    }

    private void Work()
    {
        var batch = new List<IngestJob>();
        var asked = new List<WriteRequest>();
        var nextUpkeep = clock.Elapsed + UpkeepPeriod;

        while (queue.Take(batch, asked, nextUpkeep))
        {
            OnBeat?.Invoke();

            if (batch.Count > 0 || asked.Count > 0)
            {
                Transact(batch, asked);
                batch.Clear();
                asked.Clear();
            }

            if (clock.Elapsed >= nextUpkeep)
            {
                var hasMore = Maintain();
                nextUpkeep = clock.Elapsed + (!hasMore ? UpkeepPeriod : queue.IsUrgent ? UpkeepPause : IdlePause);
            }
        }
    }

    private void Transact(List<IngestJob> batch, List<WriteRequest> asked)
    {
        var start = clock.GetTimestamp();
        var good = Try(() =>
        {
            foreach (var job in batch)
            {
                if (Admit(job))
                {
                    job.MayBeJudged = batch.Count <= MostJudged;
                    touched.Add(job.Server);

                    if (job.Found is { } found)
                    {
                        ingestion.Show(job, found);
                    }
                    else if (Relay is { } relay)
                    {
                        ingestion.Pass(job, relay);
                    }
                    else
                    {
                        ingestion.Store(job);
                    }
                }
            }

            if (Relay is not null)
            {
                PassOn(batch, Relay);
            }

            foreach (var request in asked)
            {
                request.Work();
            }
        });

        if (good)
        {
            Publish(batch);
            Figures.Commit(batch.Count, clock.GetElapsedTime(start));
        }
        else
        {
            foreach (var job in batch)
            {
                job.Result = IngestResult.Failed;
            }
        }

        touched.Clear();
        batch.ForEach(static job => job.Finish());
        asked.ForEach(request => request.Done.TrySetResult(good));
    }

    /// <summary>Puts what was posted into the outbox. What is not on the disk there is not known.</summary>
    private static void PassOn(List<IngestJob> batch, Relay relay)
    {
        var passed = batch.FindAll(static job => job is { Result: IngestResult.Stored, Record.Length: > 0 });

        if (passed.Count == 0)
        {
            return;
        }

        var (taken, problem) = relay.Keep(passed.ConvertAll(static job => job.Record));

        foreach (var job in passed[taken..])
        {
            job.Server.Drop(job.Key);
            job.Result = IngestResult.NotRelayed;
            job.Problem = problem;
        }
    }

    /// <summary>Whether a sample may still be stored, now that registrations are up to date.</summary>
    private bool Admit(IngestJob job)
    {
        var registration = job.Server.Registration;
        job.Result = !ReferenceEquals(Fleet.Find(registration.Slug), job.Server) ? IngestResult.Gone
            : !registration.IsActive ? IngestResult.Disabled
            : job.Found is null && !job.HasTokenOf(registration) ? IngestResult.WrongToken
            : IngestResult.Stored;
        return job.Result == IngestResult.Stored;
    }

    private void Publish(List<IngestJob> batch)
    {
        foreach (var server in touched)
        {
            server.Publish();
        }

        foreach (var job in batch)
        {
            if (job is { Result: IngestResult.Stored, Held: { } held })
            {
                FleetMemory.Spark(job.Server, held.Stored);
                OnStored?.Invoke(job.Server, held, job.Server.Judgement);
            }
        }
    }

    /// <summary>One go of the upkeep; true when there is more to do.</summary>
    private bool Maintain()
    {
        ICollection<LiveServer> servers = [];
        var hasMore = false;
        var good = Try(() =>
        {
            // Not those that were removed just now: rows of theirs would be written again.
            servers = Fleet.All;
            hasMore = upkeep.Run(servers, () => queue.IsUrgent);
            transactions.Probe(ProbePeriod);
        });

        if (good)
        {
            foreach (var server in servers)
            {
                server.Publish();
            }

            transactions.ReadAgain();
        }

        return good && hasMore;
    }

    /// <summary>Runs a transaction that finds the registrations up to date.</summary>
    private bool Try(Action transaction)
    {
        var good = transactions.Try(() =>
        {
            if (memory.ReloadIfChanged())
            {
                OnRegistrations?.Invoke();
            }

            transaction();
        });

        if (!good)
        {
            Figures.Fail();
        }

        return good;
    }
}
