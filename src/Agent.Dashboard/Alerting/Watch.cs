using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Agent.Receiver;
using Agent.Receiver.Alerts;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Alerting;

/// <summary>Looks at all machines and at the dashboard itself every five seconds, and tells the alerts what it sees.</summary>
internal sealed class Watch : IDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    private readonly AlertBook book;
    private readonly Writer writer;
    private readonly Histories histories;
    private readonly TlsCertificates? tls;
    private readonly string database;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private readonly Dictionary<int, Facts> known = [];
    private readonly Dictionary<int, Progress> progress = [];
    private ITimer? timer;
    private DateTimeOffset? heardSince;
    private volatile bool isOver;
    private int isLooking;
    private string defect = "";

    /// <summary>Does nothing yet.</summary>
    public Watch(
        AlertBook book, Writer writer, Histories histories, TlsCertificates? tls, string database, AgentClock clock, Action<string> complain)
    {
        this.book = book;
        this.writer = writer;
        this.histories = histories;
        this.tls = tls;
        this.database = database;
        this.clock = clock;
        this.complain = complain;
    }

    /// <summary>Begins to look.</summary>
    public void Start() => timer = clock.CreateTimer(_ => _ = LookSafely(), null, TimeSpan.Zero, Period);

    /// <inheritdoc/>
    public void Dispose()
    {
        isOver = true;
        timer?.Dispose();
    }

    /// <summary>One look at everything; done when what follows from it is on disk.</summary>
    public async Task Look()
    {
        var now = clock.GetUtcNow();
        heardSince = writer.Storage.State.Writing.IsSome ? null : heardSince ?? now;
        var servers = writer.Fleet.All;
        var events = await Xids(RowKey.Microseconds(now) - Conditions.xidStays);
        var seen = new List<MachineSeen>(servers.Count + 1)
        {
            Conditions.OfDashboard(
                now,
                tls is null ? FSharpValueOption<DateTimeOffset>.ValueNone : FSharpValueOption<DateTimeOffset>.NewValueSome(tls.NotAfter),
                DiskUsed()),
        };

        var heard = heardSince is { } since ? FSharpValueOption<DateTimeOffset>.NewValueSome(since) : FSharpValueOption<DateTimeOffset>.ValueNone;

        foreach (var server in servers)
        {
            var view = server.View;
            var facts = FactsOf(server.Id, view.Agent);
            var machine = Conditions.OfMachine(now, heard, facts.Labels, facts.FileSystems, events.GetValueOrDefault(server.Id, []), view);
            seen.Add(IsPast(server.Id, now, view) ? Conditions.OfPast(machine) : machine);
        }

        Forget(servers);
        await book.Look([.. seen]);
    }

    private async Task LookSafely()
    {
        if (Interlocked.Exchange(ref isLooking, 1) == 1)
        {
            return;
        }

        try
        {
            await Look();
        }
        catch (Exception failure) when (isOver || failure is SqliteException or WorkLimitException)
        {
            // StorageWatch reports it; the next look comes soon, unless this was the last.
        }
        catch (Exception unforeseen)
        {
            if (defect != unforeseen.Message)
            {
                complain($"a defect: looking for alerts: {unforeseen.GetType().Name}: {unforeseen.Message}");
            }

            defect = unforeseen.Message;
        }
        finally
        {
            Volatile.Write(ref isLooking, 0);
        }
    }

    /// <summary>The XID events since an instant, by machine.</summary>
    private async Task<Dictionary<int, XidEvent[]>> Xids(long since)
    {
        var found = await (histories.Ask((reader, _) => reader.Events.Xids(since), CancellationToken.None)
            ?? Task.FromResult<List<(int Server, XidEvent Event)>>([]));
        return found.GroupBy(static one => one.Server).ToDictionary(static of => of.Key, static of => of.Select(static one => one.Event).ToArray());
    }

    /// <summary>What an agent says of its machine, read again when it says something else.</summary>
    private Facts FactsOf(int server, string agent)
    {
        if (!known.TryGetValue(server, out var facts) || !ReferenceEquals(facts.Agent, agent))
        {
            known[server] = facts = new Facts(agent, JobRecordModule.LabelsOf(agent), Conditions.FileSystemsOf(agent));
        }

        return facts;
    }

    /// <summary>Whether a machine sends what it kept during an outage; remembers how far it has come.</summary>
    private bool IsPast(int server, DateTimeOffset now, ServerView view)
    {
        var before = progress.TryGetValue(server, out var known)
            ? FSharpValueOption<Progress>.NewValueSome(known)
            : FSharpValueOption<Progress>.ValueNone;
        var isPast = Conditions.IsCatchingUp(before, now, view);

        if (view.Latest is { IsValueSome: true, Value: var stored })
        {
            progress[server] = new Progress(now, stored.Report.CollectedAt);
        }

        return isPast;
    }

    private void Forget(ICollection<LiveServer> servers)
    {
        if (known.Count > servers.Count)
        {
            var ids = servers.Select(static server => server.Id).ToHashSet();

            foreach (var gone in known.Keys.Where(id => !ids.Contains(id)).ToArray())
            {
                known.Remove(gone);
                progress.Remove(gone);
            }
        }
    }

    private FSharpValueOption<double> DiskUsed() =>
        DiskSpace.UsedPercent(database) is { } percent ? FSharpValueOption<double>.NewValueSome(percent) : FSharpValueOption<double>.ValueNone;

    private sealed record Facts(string Agent, string[] Labels, FileSystem[] FileSystems);
}
