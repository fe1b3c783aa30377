using Agent.Core;
using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>Reads from the database what is held in memory of each server: its last samples, open minutes, jobs, verdicts and the lines of its card.</summary>
internal sealed class FleetMemory(
    SqliteConnection connection,
    AgentClock clock,
    Layouts layouts,
    SampleRows rows,
    Minutes minutes,
    JobRows jobs,
    JudgementRows judgements,
    Upkeep upkeep) : IDisposable
{
    private static readonly int Cpu = Series.SlotOf(Series.Cpu);
    private static readonly int TopGpu = Series.SlotOf(Series.TopGpu);

    private readonly Statement dataVersion = new(connection, "PRAGMA data_version");
    private long seenVersion = -1;

    /// <summary>The servers.</summary>
    public Fleet Fleet { get; } = new();

    /// <summary>Reads everything anew. Nothing of a transaction that was given up stays, even where reading fails.</summary>
    public void Load()
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
    }

    /// <summary>Has the next transaction read the registrations anew. The file's version shows changes by other connections only.</summary>
    public void Outdate() => seenVersion = -1;

    /// <summary>Reads the registrations anew where they may have changed; true when it did.</summary>
    public bool ReloadIfChanged()
    {
        dataVersion.Step();
        var version = dataVersion.Integer(0);
        dataVersion.Reset();

        if (version == seenVersion)
        {
            return false;
        }

        Reload();
        seenVersion = version;
        return true;
    }

    /// <summary>Reads the registrations, and what there is of servers that are new.</summary>
    public void Reload()
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

    /// <summary>Adds a sample to the lines of its server's card.</summary>
    public static void Spark(LiveServer server, StoredSample stored)
    {
        var cpu = stored.Report.Machine.Decimal(0);
        var gpu = stored.Derivation.Rates.Derived.TopGpuUtilization;
        server.Spark(
            RowKey.MinuteAt(RowKey.TimeOf(stored.Id)),
            cpu.IsValueSome ? cpu.Value : double.NaN,
            gpu.IsValueSome ? gpu.Value : double.NaN);
    }

    public void Dispose() => dataVersion.Dispose();

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
}
