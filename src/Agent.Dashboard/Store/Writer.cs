using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// The one thread that writes. What has come in since the last commit goes into one transaction, and everyone who waits for it
/// is told when it is on disk: a wait for the disk is shared by all of them.
/// </summary>
internal sealed class Writer : IDisposable
{
    private const int LargestBatch = 512;
    private static readonly TimeSpan UpkeepPeriod = TimeSpan.FromSeconds(1);

    /// <summary>From one go of the upkeep to the next while there is more to do and samples come in: these are first.</summary>
    private static readonly TimeSpan UpkeepPause = TimeSpan.FromMilliseconds(60);

    /// <summary>The same while none come in: other processes, which try every two milliseconds, have to get their turn.</summary>
    private static readonly TimeSpan IdlePause = TimeSpan.FromMilliseconds(5);

    private static readonly int Cpu = Series.SlotOf(Series.Cpu);
    private static readonly int TopGpu = Series.SlotOf(Series.TopGpu);

    private readonly object gate = new();
    private readonly SqliteConnection connection;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private readonly Layouts layouts;
    private readonly SampleRows rows;
    private readonly Minutes minutes;
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

    /// <summary>Takes the connection over, and reads what there is.</summary>
    /// <param name="connection">Open for writing.</param>
    /// <param name="retentionDays">For so many days minutes are kept.</param>
    /// <param name="clock">The receiver's.</param>
    /// <param name="complain">Takes a sentence about what went wrong.</param>
    public Writer(SqliteConnection connection, int retentionDays, AgentClock clock, Action<string> complain)
    {
        this.connection = connection;
        this.clock = clock;
        this.complain = complain;
        layouts = new Layouts(connection);
        rows = new SampleRows(connection, layouts);
        minutes = new Minutes(connection, rows, layouts);
        ingestion = new Ingestion(rows, layouts, minutes);
        upkeep = new Upkeep(connection, minutes, layouts, retentionDays, clock);
        begin = new Statement(connection, "BEGIN IMMEDIATE");
        commit = new Statement(connection, "COMMIT");
        dataVersion = new Statement(connection, "PRAGMA data_version");
        Reload();
        thread = new Thread(Work) { IsBackground = true, Name = "writer" };
        thread.Start();
    }

    /// <summary>The servers.</summary>
    public Fleet Fleet { get; } = new();

    /// <summary>The figures about what the writer does.</summary>
    public WriterFigures Figures { get; } = new();

    /// <summary>Is told of each sample once it is on disk, on the writer's thread.</summary>
    public Action<LiveServer, HeldSample>? OnStored { get; set; }

    /// <summary>Is told when the registrations have changed, on the writer's thread.</summary>
    public Action? OnRegistrations { get; set; }

    /// <summary>True while the last transaction succeeded.</summary>
    public bool IsHealthy => Volatile.Read(ref failures) == 0;

    private int failures;

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

    /// <summary>Remembers something; done when it is on disk.</summary>
    public Task<bool> Remember(string setting, string value) => Ask(() => Setting.Write(connection, setting, value));

    /// <summary>Changes registrations; done when that is on disk, and from then on it holds for every request.</summary>
    public Task<bool> Register(Action<SqliteConnection> change) => Ask(() =>
    {
        change(connection);

        // Registrations are read anew when the file's version changes, which one's own changes do not do.
        seenVersion = -1;
    });

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
                    touched.Add(job.Server);
                    ingestion.Store(job);
                }
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

    /// <summary>Whether a sample may still be stored, now that registrations are up to date.</summary>
    private bool Admit(IngestJob job)
    {
        var registration = job.Server.Registration;
        job.Result = !ReferenceEquals(Fleet.Find(registration.Slug), job.Server) ? IngestResult.Gone
            : !registration.IsActive ? IngestResult.Disabled
            : !job.HasTokenOf(registration) ? IngestResult.WrongToken
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
                OnStored?.Invoke(job.Server, held);
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
        var servers = Fleet.All;
        var hasMore = false;
        var good = Try(() =>
        {
            begin.Run();
            ReloadIfChanged();
            hasMore = upkeep.Run(servers, AreSamplesWaiting);
            commit.Run();
        });

        foreach (var server in servers)
        {
            if (good)
            {
                server.Publish();
            }
        }

        return good && hasMore;
    }

    /// <summary>Runs a transaction. One that fails is given up, and what is held in memory is read anew.</summary>
    private bool Try(Action transaction)
    {
        try
        {
            transaction();
            Volatile.Write(ref failures, 0);
            return true;
        }
        catch (SqliteException failure)
        {
            complain($"the database cannot be written to: {failure.Message}");
            Volatile.Write(ref failures, failures + 1);
            Figures.Fail();
            Recover();
            return false;
        }
    }

    private void Recover()
    {
        try
        {
            Database.Rollback(connection);
            layouts.Forget();

            foreach (var server in Fleet.All)
            {
                Load(server);
            }
        }
        catch (SqliteException failure)
        {
            complain($"the database cannot be read either: {failure.Message}");
        }
    }

    private void ReloadIfChanged()
    {
        dataVersion.Step();
        var version = dataVersion.Integer(0);
        dataVersion.Reset();

        if (version != seenVersion)
        {
            seenVersion = version;
            Reload();
            OnRegistrations?.Invoke();
        }
    }

    private void Reload()
    {
        foreach (var server in Fleet.Reload(connection))
        {
            Load(server);
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

    /// <summary>What somebody waits for who brings no sample.</summary>
    private sealed record Request(Action Work)
    {
        public TaskCompletionSource<bool> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
