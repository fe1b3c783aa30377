using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>
/// Knows whether the database takes what comes in and gives it back, and reports each change once. Whoever writes or reads reports
/// here; safe for all threads.
/// </summary>
internal sealed class StorageWatch(AgentClock clock, Action<string> complain)
{
    private readonly Lock gate = new();
    private volatile Storage state = StorageModule.good;

    /// <summary>How it is.</summary>
    public Storage State => state;

    /// <summary>Gets each change, from whichever thread has found it.</summary>
    public Action<Storage>? OnChange { get; set; }

    /// <summary>The fault behind an exception that came out of a transaction or a query.</summary>
    public static (StorageFault Fault, string Detail) FaultOf(Exception failure) =>
        failure is SqliteException sqlite
            ? (StorageModule.FaultOf(sqlite.SqliteErrorCode, sqlite.SqliteExtendedErrorCode), sqlite.Message)
            : (StorageFault.Defect, $"{failure.GetType().Name}: {failure.Message}");

    /// <summary>A transaction that changed something is on disk.</summary>
    public void Written()
    {
        if (state.Writing.IsSome)
        {
            Change(StorageModule.Written);
        }
    }

    /// <summary>A transaction was given up.</summary>
    public void WriteFailed(Exception failure)
    {
        var (fault, detail) = FaultOf(failure);
        Change(before => StorageModule.WriteFailed(clock.GetUtcNow(), fault, detail, before));
    }

    /// <summary>Something was read.</summary>
    public void Read()
    {
        if (state.Reading.IsSome)
        {
            Change(StorageModule.Read);
        }
    }

    /// <summary>Something could not be read.</summary>
    public void ReadFailed(Exception failure)
    {
        var (fault, detail) = FaultOf(failure);
        Change(before => StorageModule.ReadFailed(clock.GetUtcNow(), fault, detail, before));
    }

    /// <summary>The cluster of metrics was read.</summary>
    public void ClusterRead()
    {
        if (state.Cluster.IsSome)
        {
            Change(StorageModule.ClusterRead);
        }
    }

    /// <summary>The cluster of metrics could not be read.</summary>
    public void ClusterFailed(string detail) => Change(before => StorageModule.ClusterFailed(clock.GetUtcNow(), detail, before));

    /// <summary>The cluster of metrics was read, but warns that something may be missing.</summary>
    public void ClusterPartial(string detail) => Change(before => StorageModule.ClusterPartial(clock.GetUtcNow(), detail, before));

    /// <summary>The state that several dashboards share can be used.</summary>
    public void StateWorks()
    {
        if (state.State.IsSome)
        {
            Change(StorageModule.StateWorks);
        }
    }

    /// <summary>The state that several dashboards share cannot be used.</summary>
    public void StateFailed(string detail) => Change(before => StorageModule.StateFailed(clock.GetUtcNow(), detail, before));

    /// <summary>
    /// Tells of a change before it can be seen, and under the gate: two threads' changes are told in their order, and whoever
    /// sees a state finds its line in the log.
    /// </summary>
    private void Change(Func<Storage, Storage> step)
    {
        lock (gate)
        {
            var before = state;
            var after = step(before);

            foreach (var line in StorageModule.Lines(clock.GetUtcNow(), before, after))
            {
                complain(line);
            }

            state = after;

            if (StorageModule.Differs(before, after))
            {
                OnChange?.Invoke(after);
            }
        }
    }
}
