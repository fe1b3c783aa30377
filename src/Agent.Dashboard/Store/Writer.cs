using Agent.Core;
using Agent.Receiver;
using Agent.Dashboard.Cluster;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Agent.Dashboard.Store;

/// <summary>
/// The one thread that writes. What has come in since the last commit goes into one transaction, and everyone who waits for it
/// is told when it is on disk: a wait for the disk is shared by all of them.
/// </summary>
internal sealed class Writer : IStateStore, IDisposable
{
    private const int LargestBatch = 512;

    /// <summary>
    /// Of batches up to this length each sample is judged whose sender does not judge itself, which takes as long as storing it. A larger one is a
    /// backlog, or more than a thousand machines.
    /// </summary>
    private const int MostJudged = 16;

    /// <summary>SQLITE_READONLY and SQLITE_READONLY_DBMOVED.</summary>
    private const int ReadOnlyCode = 8;
    private const int MovedCode = 1032;

    private static readonly TimeSpan UpkeepPeriod = TimeSpan.FromSeconds(1);

    /// <summary>From one go of the upkeep to the next while there is more to do and samples come in: these are first.</summary>
    private static readonly TimeSpan UpkeepPause = TimeSpan.FromMilliseconds(60);

    /// <summary>So long nothing need have been written for the disk to be tried.</summary>
    private static readonly TimeSpan ProbePeriod = TimeSpan.FromMinutes(1);

    /// <summary>The same where somebody asks how the disk is.</summary>
    private static readonly TimeSpan AskedProbePeriod = TimeSpan.FromSeconds(10);

    private const long NotBusy = -1;

    /// <summary>The characters of what is written to see whether an outage is over: as much as a hundred samples take.</summary>
    private const int ProbeLength = 65536;

    /// <summary>The same while none come in: other processes, which try every two milliseconds, have to get their turn.</summary>
    private static readonly TimeSpan IdlePause = TimeSpan.FromMilliseconds(5);

    private static readonly int Cpu = Series.SlotOf(Series.Cpu);
    private static readonly int TopGpu = Series.SlotOf(Series.TopGpu);

    private readonly object gate = new();
    private readonly SqliteConnection connection;
    private readonly string path;
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
    private readonly Statement begin;
    private readonly Statement commit;
    private readonly Statement dataVersion;
    private readonly Thread thread;
    private readonly HashSet<LiveServer> touched = [];
    private List<IngestJob> samples = [];
    private List<Request> requests = [];
    private long seenVersion = -1;
    private bool stopping;

    /// <summary>Whether the transaction under way finds out if an outage is over.</summary>
    private bool isProbed;

    /// <summary>False while what is held in memory may differ from what is on disk.</summary>
    private bool isLoaded;

    /// <summary>When something was written last, and when the transaction began that is under way; by the monotonic clock, in ticks.</summary>
    private long writtenAt;
    private long busySince = NotBusy;

    /// <summary>Takes the connection over, and reads what there is.</summary>
    /// <param name="connection">Open for writing.</param>
    /// <param name="keeping">How long samples and minutes are kept.</param>
    /// <param name="clock">The receiver's.</param>
    /// <param name="complain">Takes a sentence about what went wrong.</param>
    public Writer(SqliteConnection connection, Keeping keeping, AgentClock clock, Action<string> complain)
    {
        this.connection = connection;
        this.clock = clock;
        path = connection.DataSource;
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
        begin = new Statement(connection, "BEGIN IMMEDIATE");
        commit = new Statement(connection, "COMMIT");
        dataVersion = new Statement(connection, "PRAGMA data_version");
        Reload();
        isLoaded = true;
        thread = new Thread(Work) { IsBackground = true, Name = "writer" };
        thread.Start();
    }

    /// <summary>The servers.</summary>
    public Fleet Fleet { get; } = new();

    /// <summary>The figures about what the writer does.</summary>
    public WriterFigures Figures { get; } = new();

    /// <summary>Called for each sample once it is on disk, on the writer's thread.</summary>
    public Action<LiveServer, HeldSample, Judgement?>? OnStored { get; set; }

    /// <summary>Called when the registrations have changed, on the writer's thread.</summary>
    public Action? OnRegistrations { get; set; }

    /// <summary>Called when a transaction was given up, on the writer's thread: what was remembered within it is not on disk.</summary>
    public Action? OnForget { get; set; }

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
    public TimeSpan Waiting =>
        Volatile.Read(ref busySince) is var since and not NotBusy ? clock.Elapsed - TimeSpan.FromTicks(since) : TimeSpan.Zero;

    /// <summary>Stores a sample; the answer comes when it is on disk.</summary>
    public Task<IngestResult> Store(IngestJob job)
    {
        lock (gate)
        {
            if (stopping)
            {
                return Task.FromResult(IngestResult.Failed);
            }

            samples.Add(job);
            Monitor.Pulse(gate);
        }

        return job.Done;
    }

    /// <summary>Looks whether another process has changed registrations; done when they are up to date.</summary>
    public Task<bool> Refresh() => Ask(static () => { });

    /// <summary>Looks whether the disk takes something, unless it did so a moment ago; done when that is known.</summary>
    public Task<bool> Check() => Ask(() => Probe(AskedProbePeriod));

    /// <summary>Remembers something; done when it is on disk.</summary>
    public Task<bool> Remember(string setting, string value) => Ask(() => Setting.Write(connection, setting, value));

    /// <summary>Writes down what happened to a server, or to all; done when it is on disk.</summary>
    public Task<bool> Note(int server, Happening happening, string author) => Ask(() => events.Add(server, happening, author));

    /// <summary>Looks into the alerts, or changes them with what follows from that; done when it is on disk.</summary>
    public async Task<bool> Alert(Action<AlertRows, EventRows, OutboxRows> change)
    {
        var isDone = await Ask(() => change(alerts, events, outbox));

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
    public Task<bool> Register(Action<StateConnection> change) => Ask(() =>
    {
        change(connection);

        // Registrations are read anew when the file's version changes, which one's own changes do not do.
        seenVersion = -1;
    });

    /// <summary>Makes the registrations those of a state elsewhere; done when that is on disk, and from then on it holds for every request.</summary>
    public async Task<bool> Mirror(List<Registration> registered)
    {
        var isDone = await Ask(() =>
        {
            var wanted = registered.ToDictionary(static one => one.Id);
            var known = Registrations.All(connection).ToDictionary(static one => one.Registration.Id, static one => one.Registration);

            foreach (var (id, registration) in known)
            {
                // A server that was removed and registered again is another one.
                if (!wanted.TryGetValue(id, out var one) || one.Slug != registration.Slug || one.CreatedAt != registration.CreatedAt)
                {
                    Registrations.Remove(connection, id);
                    known.Remove(id);
                }
            }

            foreach (var registration in registered)
            {
                if (!known.TryGetValue(registration.Id, out var before) || !before.Equals(registration))
                {
                    Registrations.Save(connection, registration);
                }
            }

            seenVersion = -1;
        });
        return isDone && await Refresh();
    }

    /// <summary>Adds events of a state elsewhere, which come in the order of their numbers; done when that is on disk.</summary>
    public Task<bool> Mirror(List<EventRow> happened) => Ask(() =>
    {
        happened.ForEach(events.Add);
        Setting.Write(connection, Setting.StateEvent, happened[^1].Id.ToString(System.Globalization.CultureInfo.InvariantCulture));
    });

    /// <summary>The number of the last such event; 0 for none, -1 where that cannot be read.</summary>
    public async Task<long> LastMirroredEvent()
    {
        var last = "";
        return !await Ask(() => last = Setting.Read(connection, Setting.StateEvent)) ? -1
            : long.TryParse(last, System.Globalization.CultureInfo.InvariantCulture, out var id) ? id
            : 0;
    }

    /// <summary>Writes what has come in, and ends.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            stopping = true;
            Monitor.Pulse(gate);
        }

        thread.Join();
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
        begin.Dispose();
        commit.Dispose();
        dataVersion.Dispose();
        connection.Dispose();
    }

    private Task<bool> Ask(Action work)
    {
        var request = new Request(work);

        lock (gate)
        {
            if (stopping)
            {
                return Task.FromResult(false);
            }

            requests.Add(request);
            Monitor.Pulse(gate);
        }

        return request.Done.Task;
    }

    private void Work()
    {
        var batch = new List<IngestJob>();
        var asked = new List<Request>();
        var nextUpkeep = clock.Elapsed + UpkeepPeriod;

        while (Take(batch, asked, nextUpkeep))
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
                nextUpkeep = clock.Elapsed + (!hasMore ? UpkeepPeriod : AreSamplesWaiting() ? UpkeepPause : IdlePause);
            }
        }
    }

    /// <summary>Waits for work or the time of the upkeep; false when it is over.</summary>
    private bool Take(List<IngestJob> batch, List<Request> asked, TimeSpan nextUpkeep)
    {
        lock (gate)
        {
            while (samples.Count == 0 && requests.Count == 0 && !stopping && clock.Elapsed < nextUpkeep)
            {
                clock.Wait(gate, nextUpkeep - clock.Elapsed);
            }

            if (samples.Count == 0 && requests.Count == 0 && stopping)
            {
                return false;
            }

            var most = Math.Min(samples.Count, LargestBatch);
            batch.AddRange(samples[..most]);
            samples.RemoveRange(0, most);
            asked.AddRange(requests);
            requests.Clear();
        }

        // Requests that overtook each other on the way are put in order, which spares looking for neighbours.
        if (batch.Count > 1)
        {
            batch.Sort(static (one, other) => one.Key.CompareTo(other.Key));
        }

        return true;
    }

    private void Transact(List<IngestJob> batch, List<Request> asked)
    {
        var start = clock.GetTimestamp();
        var good = Try(() =>
        {
            begin.Run();
            ReloadIfChanged();

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

            commit.Run();
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
                Spark(job.Server, held.Stored);
                OnStored?.Invoke(job.Server, held, job.Server.Judgement);
            }
        }
    }

    private static void Spark(LiveServer server, StoredSample stored)
    {
        var cpu = stored.Report.Machine.Decimal(0);
        var gpu = stored.Derivation.Rates.Derived.TopGpuUtilization;
        server.Spark(
            RowKey.MinuteAt(RowKey.TimeOf(stored.Id)),
            cpu.IsValueSome ? cpu.Value : double.NaN,
            gpu.IsValueSome ? gpu.Value : double.NaN);
    }

    private bool AreSamplesWaiting()
    {
        lock (gate)
        {
            return samples.Count > 0 || stopping;
        }
    }

    /// <summary>One go of the upkeep; true when there is more to do.</summary>
    private bool Maintain()
    {
        ICollection<LiveServer> servers = [];
        var hasMore = false;
        var good = Try(() =>
        {
            begin.Run();
            ReloadIfChanged();
            // Not those that were removed just now: rows of theirs would be written again.
            servers = Fleet.All;
            hasMore = upkeep.Run(servers, AreSamplesWaiting);
            Probe(ProbePeriod);
            commit.Run();
        });

        foreach (var server in servers)
        {
            if (good)
            {
                server.Publish();
            }
        }

        if (good && Storage.State.MayReadAgain)
        {
            ReadAgain();
        }

        return good && hasMore;
    }

    /// <summary>Finds out whether the database can be read again, which nobody else does while nobody looks.</summary>
    private void ReadAgain()
    {
        try
        {
            using var reader = Database.OpenForReading(path);
            Database.Scalar(reader, "SELECT count(*) FROM server");
            Storage.Read();
        }
        catch (SqliteException)
        {
            // It is known already that it cannot.
        }
    }

    /// <summary>
    /// Within a transaction: writes something for its own sake, where nothing has been written for so long or the last attempt failed.
    /// A transaction that changes nothing succeeds on a full disk as well, and a small one where there is room for a few samples alone: what
    /// ends an outage is one that is larger than most.
    /// </summary>
    private void Probe(TimeSpan period)
    {
        if (Storage.State.MayStoreAgain)
        {
            Setting.Write(connection, Setting.Alive, new string('.', ProbeLength));
            isProbed = true;
        }
        else if (clock.Elapsed - TimeSpan.FromTicks(writtenAt) >= period)
        {
            Setting.Write(connection, Setting.Alive, Wire.Instant(clock.GetUtcNow()));
        }
    }

    /// <summary>Runs a transaction. One that fails is given up, and what is held in memory is read again.</summary>
    private bool Try(Action transaction)
    {
        Volatile.Write(ref busySince, clock.Elapsed.Ticks);
        isProbed = false;

        try
        {
            if (!File.Exists(path))
            {
                throw new SqliteException("it was moved or deleted", ReadOnlyCode, MovedCode);
            }

            if (!isLoaded)
            {
                Load();
            }

            var changes = raw.sqlite3_total_changes(connection.Handle);
            transaction();

            if (raw.sqlite3_total_changes(connection.Handle) != changes)
            {
                writtenAt = clock.Elapsed.Ticks;
            }

            if (isProbed)
            {
                Storage.Written();
            }

            return true;
        }
        catch (Exception failure)
        {
            // Anything but an exception of SQLite is a defect, or what is left of damaged rows; either costs its transaction alone.
            Storage.WriteFailed(failure);
            Figures.Fail();
            Recover();
            return false;
        }
        finally
        {
            Volatile.Write(ref busySince, NotBusy);
        }
    }

    private void Recover()
    {
        isLoaded = false;
        OnForget?.Invoke();

        try
        {
            Database.Rollback(connection);
            Load();
        }
        catch (Exception)
        {
            // The next transaction tries again, and tells why it cannot.
        }
    }

    /// <summary>Reads anew what is held in memory. Nothing of a transaction that was given up stays, even where reading fails.</summary>
    private void Load()
    {
        var servers = Fleet.All;
        layouts.Forget();

        foreach (var server in servers)
        {
            server.Forget();
        }

        foreach (var server in servers)
        {
            Load(server);
        }

        isLoaded = true;
    }

    private void ReloadIfChanged()
    {
        dataVersion.Step();
        var version = dataVersion.Integer(0);
        dataVersion.Reset();

        if (version != seenVersion)
        {
            Reload();
            seenVersion = version;
            OnRegistrations?.Invoke();
        }
    }

    private void Reload()
    {
        var added = Fleet.Reload(connection, out var hasDropped);

        foreach (var server in added)
        {
            Load(server);
        }

        if (hasDropped)
        {
            upkeep.SweepSoon();
        }
    }

    private void Load(LiveServer server)
    {
        server.Forget();
        server.PrunedUntil = upkeep.PrunedUntil(server.Id);
        minutes.Load(server);
        SampleRow? before = null;

        foreach (var row in rows.Last(server.Id))
        {
            var held = Ingestion.Held(row, before);
            server.Hold(held);
            before = row;
        }

        jobs.Load(server);
        judgements.Load(server);
        LoadSpark(server);
        server.Publish();
    }

    private void LoadSpark(LiveServer server)
    {
        var hour = RowKey.Microseconds(clock.GetUtcNow()) - (60 * RowKey.MicrosecondsPerMinute);

        foreach (var (minute, rollup) in upkeep.Minutes(server.Id, RowKey.MinuteAt(Math.Max(0, hour))))
        {
            var cpu = rollup.Spreads[Cpu];
            var gpu = rollup.Spreads[TopGpu];
            server.Spark(minute, cpu.Count > 0 ? cpu.Max : double.NaN, gpu.Count > 0 ? gpu.Max : double.NaN);
        }

        foreach (var held in server.Recent)
        {
            Spark(server, held.Stored);
        }
    }

    /// <summary>A request to the writer that carries no sample.</summary>
    private sealed record Request(Action Work)
    {
        public TaskCompletionSource<bool> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
