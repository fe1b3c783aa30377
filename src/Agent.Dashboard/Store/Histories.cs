using System.Collections.Concurrent;
using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Reads histories: of the database, or of a cluster of metrics.</summary>
internal interface IHistoryReader
{
    /// <summary>What there is of a server between two instants, in microseconds; <paramref name="now"/> by the receiver's clock.</summary>
    History Read(int server, long from, long until, long now, WorkLimit? limit = null);

    /// <summary>The same of one kind of details, by its position.</summary>
    DetailHistory ReadDetails(int server, int kind, long from, long until, long now, WorkLimit? limit = null);

    /// <summary>What was said of a server last at an instant, in microseconds: when, and the text; null for nothing.</summary>
    (long At, string Content)? SaidAt(int server, long at);

    /// <summary>Adds what there is of servers, each with its slug, to what is known of their GPUs.</summary>
    FleetUse ReadFleet(IEnumerable<(int Id, string Slug)> servers, FleetUse fleet, WorkLimit limit);

    /// <summary>What there is of jobs.</summary>
    IJobReader Jobs { get; }

    /// <summary>
    /// What happened to servers in a stretch of time beside what is written down as an event when it happens, in the order of time for each.
    /// </summary>
    IEnumerable<(int Server, Happening Happening)> Observed(int[] servers, JobRange range, WorkLimit limit);
}

/// <summary>
/// Makes histories, on two threads of its own and with readers of its own: a history is work for tens of milliseconds, up to two
/// seconds, and on the pool's threads everything else would wait behind it. So many may wait for their turn.
/// </summary>
internal sealed class Histories : IDisposable
{
    private const int Threads = 2;
    private const int MostWaiting = 64;

    /// <summary>For so long one history is worked on; from then on it is refused.</summary>
    public static readonly TimeSpan MostWork = TimeSpan.FromSeconds(2);

    private readonly string path;
    private readonly int rawHours;
    private readonly StorageWatch storage;
    private readonly AgentClock clock;
    private readonly BlockingCollection<Action<Func<Reader>>> waiting = new(MostWaiting);
    private readonly Thread[] threads;

    /// <summary>Starts the threads; a reader is opened with the first history that needs it.</summary>
    public Histories(string path, int rawHours, StorageWatch storage, AgentClock clock)
    {
        this.path = path;
        this.rawHours = rawHours;
        this.storage = storage;
        this.clock = clock;
        threads = [.. Enumerable.Range(1, Threads).Select(number => new Thread(Work) { IsBackground = true, Name = $"history-{number}" })];
        Array.ForEach(threads, static thread => thread.Start());
    }

    /// <summary>
    /// What <paramref name="use"/> makes of a server's history, on one of the threads; null where too many wait already.
    /// </summary>
    /// <exception cref="WorkLimitException">It takes too long.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    /// <exception cref="SqliteException">The database cannot be read.</exception>
    public Task<T>? Make<T>(int server, long from, long until, long now, Func<History, WorkLimit, T> use, CancellationToken stop) =>
        Ask((reader, limit) => use(reader.Read(server, from, until, now, limit), limit), stop);

    /// <summary>Where histories are read from instead of the database; null for the database.</summary>
    public IHistoryReader? Elsewhere { get; init; }

    /// <summary>
    /// What <paramref name="use"/> makes of a reader of histories, wherever they are, on one of the threads; null where too many wait already.
    /// </summary>
    /// <exception cref="WorkLimitException">It takes too long.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    /// <exception cref="SqliteException">The database cannot be read.</exception>
    /// <exception cref="Cluster.ClusterException">The cluster of metrics cannot be read.</exception>
    public Task<T>? AskHistory<T>(Func<IHistoryReader, WorkLimit, T> use, CancellationToken stop) =>
        Elsewhere is { } elsewhere
            // Most of the time is the cluster's, and not work of this machine.
            ? Begin((_, limit) => use(elsewhere, limit), Cluster.ClusterClient.Deadline, stop)
            : Ask<T>(use, stop);

    /// <summary>The same of the database and of a reader of histories, which are one where there is no cluster.</summary>
    /// <exception cref="WorkLimitException">It takes too long.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    /// <exception cref="SqliteException">The database cannot be read.</exception>
    /// <exception cref="Cluster.ClusterException">The cluster of metrics cannot be read.</exception>
    public Task<T>? AskBoth<T>(Func<Reader, IHistoryReader, WorkLimit, T> use, CancellationToken stop) =>
        Elsewhere is { } elsewhere
            ? Begin((reader, limit) => use(reader(), elsewhere, limit), Cluster.ClusterClient.Deadline, stop)
            : Ask((reader, limit) => use(reader, reader, limit), stop);

    /// <summary>
    /// What <paramref name="use"/> makes of what a reader gives, on one of the threads; null where too many wait already.
    /// </summary>
    /// <exception cref="WorkLimitException">It takes too long.</exception>
    /// <exception cref="OperationCanceledException">Nobody waits any more.</exception>
    /// <exception cref="SqliteException">The database cannot be read.</exception>
    public Task<T>? Ask<T>(Func<Reader, WorkLimit, T> use, CancellationToken stop) =>
        Begin(
            (reader, limit) =>
            {
                var made = use(reader(), limit);
                storage.Read();
                return made;
            },
            MostWork,
            stop);

    /// <inheritdoc/>
    public void Dispose()
    {
        waiting.CompleteAdding();
        Array.ForEach(threads, static thread => thread.Join());
        waiting.Dispose();
    }

    /// <summary>Puts work into the queue, which may take so long.</summary>
    private Task<T>? Begin<T>(Func<Func<Reader>, WorkLimit, T> use, TimeSpan most, CancellationToken stop)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);

        void Run(Func<Reader> reader)
        {
            try
            {
                var limit = new WorkLimit(clock, most, stop);
                limit.Check();
                done.TrySetResult(use(reader, limit));
            }
            catch (OperationCanceledException)
            {
                done.TrySetCanceled(stop);
            }
            catch (Exception failure)
            {
                if (failure is SqliteException unreadable)
                {
                    storage.ReadFailed(unreadable);
                }

                done.TrySetException(failure);
            }
        }

        return waiting.TryAdd(Run) ? done.Task : null;
    }

    private void Work()
    {
        Reader? reader = null;

        foreach (var work in waiting.GetConsumingEnumerable())
        {
            work(() => reader ??= new Reader(path, rawHours));
        }

        reader?.Dispose();
    }
}
