using Agent.Receiver;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Store;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Cluster;

/// <summary>Reads histories from a cluster of metrics: short ones by their samples, longer ones by what the cluster makes of each bucket.</summary>
/// <param name="client">Asks it.</param>
/// <param name="fleet">Knows which machine a server is.</param>
/// <param name="clock">The receiver's.</param>
internal sealed class ClusterReader(ClusterClient client, ClusterFleet fleet, AgentClock clock) : IHistoryReader
{
    private static readonly FSharpValueOption<int> MainCharts = FSharpValueOption<int>.ValueNone;

    /// <inheritdoc/>
    public IJobReader Jobs { get; } = new ClusterJobReader(client, fleet, clock);

    /// <inheritdoc/>
    public History Read(int server, long from, long until, long now, WorkLimit? limit = null)
    {
        var machine = MachineOf(server);

        if (Samples(machine, MainCharts, from, until, limit) is { } reports)
        {
            var count = ClusterHistory.Count(from, until, reports);
            return ClusterHistory.OfSamples(AxisModule.OfSamples(from, until, count), reports);
        }

        // A machine with hundreds of devices gets longer buckets.
        var axis = AxisModule.Within(fleet.SlotsOf(server), AxisModule.OfMinutes(from, until));
        return ClusterHistory.OfBuckets(axis, Buckets(machine, MainCharts, axis, limit));
    }

    /// <inheritdoc/>
    public DetailHistory ReadDetails(int server, int kind, long from, long until, long now, WorkLimit? limit = null)
    {
        var machine = MachineOf(server);
        var ofKind = FSharpValueOption<int>.NewValueSome(kind);

        if (Samples(machine, ofKind, from, until, limit) is { } reports)
        {
            var count = ClusterHistory.Count(from, until, reports);
            return ClusterHistory.DetailsOfSamples(AxisModule.OfSamples(from, until, count), kind, reports);
        }

        var axis = AxisModule.OfMinutes(from, until);
        return ClusterHistory.DetailsOfBuckets(axis, kind, Buckets(machine, ofKind, axis, limit));
    }

    /// <inheritdoc/>
    public (long At, string Content)? SaidAt(int server, long at)
    {
        var machine = MachineOf(server);
        var samples = client.At(ClusterQueries.Samples(machine, MainCharts, ClusterMachines.saidWindow), at, CancellationToken.None);
        var changes = client.At(ClusterQueries.VerdictChanges(machine), at, CancellationToken.None);
        var running = client.At(ClusterRunningJobs.Newest([machine.Instance]), at, CancellationToken.None);
        var reports = ClusterRunningJobs.Join(running.Series, ClusterReports.Of(samples.Series));
        return ClusterMachines.SaidBy(reports, changes.Series) is { IsValueSome: true, Value: var (said, content) }
            ? (said, content)
            : null;
    }

    /// <inheritdoc/>
    public FleetUse ReadFleet(IEnumerable<(int Id, string Slug)> servers, FleetUse use, WorkLimit limit)
    {
        var machines = fleet.Machines();
        var axis = use.Axis;
        var known = servers.Where(server => machines.ContainsKey(server.Id)).Select(server => (machines[server.Id], server.Slug)).ToArray();
        var first = 0;

        foreach (var asked in ClusterMachines.Portions(Array.ConvertAll(known, static one => one.Item1)))
        {
            limit.Check();
            var some = known[first..(first + asked.Length)];
            first += asked.Length;
            // What there is no room for is counted, and costs one value each.
            var answer = use.IsFull
                ? client.At(ClusterQueries.GpuUse(asked, axis.To - axis.From), axis.To, CancellationToken.None)
                : client.Along(ClusterQueries.BucketForm(ClusterQueries.GpuUse(asked, axis.Step), axis), CancellationToken.None);
            ClusterHistory.AddUse(some, answer.Series, use);
        }

        return use;
    }

    /// <inheritdoc/>
    public IEnumerable<(int Server, Happening Happening)> Observed(int[] servers, JobRange range, WorkLimit limit)
    {
        var until = Math.Min(range.Until, RowKey.Microseconds(clock.GetUtcNow()));
        var known = new Dictionary<string, int>(StringComparer.Ordinal);

        foreach (var server in servers)
        {
            if (fleet.MachineOf(server) is { } machine)
            {
                known.TryAdd(machine.Instance, server);
            }
        }

        if (until <= range.From)
        {
            return [];
        }

        var step = ClusterEvents.StepOf(known.Count, range.From, until);
        var last = range.From + ((until - range.From + step - 1) / step * step);
        var found = new List<(int, Happening)>();

        foreach (var instances in ClusterEvents.Portions([.. known.Keys]))
        {
            var machines = ClusterEvents.OfMachines(instances);
            var names = client.At(ClusterEvents.Names(machines, until - range.From), until, CancellationToken.None).Series;
            var series = new List<ClusterSeries>();

            foreach (var query in ClusterEvents.Queries(machines, step))
            {
                limit.Check();
                series.AddRange(
                    client.Along(Promql.RangeForm(query, range.From + step, last, step), CancellationToken.None).Series);
            }

            foreach (var (instance, happening) in ClusterEvents.Of(names, step, range.From, range.Until, [.. series]))
            {
                if (known.TryGetValue(instance, out var server))
                {
                    found.Add((server, happening));
                }
            }
        }

        return found;
    }

    private ClusterMachine MachineOf(int server) =>
        fleet.MachineOf(server) ?? throw new ClusterException("this machine is not in the cluster");

    /// <summary>The samples of a range, from the one before it on; null where it is longer than samples are read for, or has too many.</summary>
    private ClusterReport[]? Samples(ClusterMachine machine, FSharpValueOption<int> kind, long from, long until, WorkLimit? limit)
    {
        if (until - from >= AxisModule.EnoughMinutes * RowKey.MicrosecondsPerMinute)
        {
            return null;
        }

        var counted = client.At(ClusterQueries.Count(machine, until - from), until, CancellationToken.None).Series;
        limit?.Check();

        if (counted.Sum(static one => one.Values.Length > 0 ? one.Values[^1] : 0) > AxisModule.MostRead)
        {
            return null;
        }

        var length = until - from + ClusterQueries.lookBehind;
        var answer = client.At(ClusterQueries.Samples(machine, kind, length), until, CancellationToken.None);
        limit?.Check();
        return ClusterReports.Of(answer.Series);
    }

    private ClusterBuckets Buckets(ClusterMachine machine, FSharpValueOption<int> kind, Axis axis, WorkLimit? limit)
    {
        var states = client.Along(ClusterQueries.BucketForm(ClusterQueries.States(machine, axis), axis), CancellationToken.None).Series;
        limit?.Check();
        var interval = ClusterHistory.IntervalOf(axis, states);
        // At the same time: most of it is the cluster's work, and reading large answers this machine's.
        var figures = Task.WhenAll(
            Array.ConvertAll(
                [ClusterAggregate.Mean, ClusterAggregate.Least, ClusterAggregate.Greatest],
                aggregate => Task.Run(() => Along(aggregate)))).GetAwaiter().GetResult();
        return new ClusterBuckets(figures[0], figures[1], figures[2], states);

        ClusterSeries[] Along(ClusterAggregate aggregate)
        {
            var series = new List<ClusterSeries>();

            foreach (var query in ClusterQueries.Buckets(machine, kind, axis, interval, aggregate))
            {
                series.AddRange(client.Along(ClusterQueries.BucketForm(query, axis), CancellationToken.None).Series);
                limit?.Check();
            }

            return [.. series];
        }
    }
}
