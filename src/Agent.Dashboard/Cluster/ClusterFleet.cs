using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Agent.Receiver;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Store;

namespace Agent.Dashboard.Cluster;

/// <summary>
/// Looks at all machines of a cluster of metrics every ten seconds, on a thread of its own, and shows what is new of each as if it had been posted. A
/// machine that was not seen before is registered. While the cluster does not answer, looks are rarer.
/// </summary>
internal sealed class ClusterFleet : IDisposable
{
    private const int TokenBytes = 32;

    /// <summary>Machines whose jobs are asked about at once: with 64 jobs on 8 GPUs each they have some 90,000 series, and 200,000 are read.</summary>
    private const int MostWithJobs = 20;

    private readonly ClusterClient client;
    private readonly Writer writer;
    private readonly IStateStore store;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private readonly CancellationTokenSource stop = new();
    private readonly Thread thread;

    /// <summary>When the newest sample of each instance was taken that is shown.</summary>
    private readonly Dictionary<string, double> shown = new(StringComparer.Ordinal);

    /// <summary>The job of each instance that was found.</summary>
    private readonly ConcurrentDictionary<string, string> jobs = new(StringComparer.Ordinal);

    /// <summary>The instances whose last hour is known: it was read, and the cluster answered since.</summary>
    private readonly HashSet<string> recalled = new(StringComparer.Ordinal);

    /// <summary>The instances that are not asked about, until when, and why. Registered ones alone.</summary>
    private readonly Dictionary<string, (TimeSpan Until, string Reason)> leftOut = new(StringComparer.Ordinal);

    private string told = "";

    /// <summary>The first thing that answers of the present look warned of; empty for nothing.</summary>
    private string warning = "";

    /// <summary>How many questions of the present look came to nothing since their answers are too large.</summary>
    private int tooLarge;

    /// <summary>Does nothing yet.</summary>
    public ClusterFleet(ClusterClient client, Writer writer, IStateStore store, AgentClock clock, Action<string> complain)
    {
        this.client = client;
        this.writer = writer;
        this.store = store;
        this.clock = clock;
        this.complain = complain;
        thread = new Thread(Work) { IsBackground = true, Name = "cluster" };
    }

    /// <summary>Begins to look.</summary>
    public void Start() => thread.Start();

    /// <summary>The machine that a server is in the cluster; null for one that is none of its machines.</summary>
    public ClusterMachine? MachineOf(int server) => Machines().TryGetValue(server, out var machine) ? machine : null;

    /// <summary>The machines that servers are in the cluster, by the number of the server.</summary>
    public Dictionary<int, ClusterMachine> Machines() =>
        writer.Fleet.All.ToDictionary(static server => server.Id, server => MachineOf(server.Registration));

    /// <summary>How many figures the main charts of a server have at each instant, by the devices of its newest sample.</summary>
    public int SlotsOf(int server) =>
        writer.Fleet.All.FirstOrDefault(known => known.Id == server)?.View.Latest is { IsValueSome: true, Value: var stored }
            ? Series.slots(LayoutModule.Of(stored.Report))
            : Series.slots(LayoutModule.empty);

    /// <inheritdoc/>
    public void Dispose()
    {
        stop.Cancel();

        if (thread.IsAlive)
        {
            thread.Join();
        }

        stop.Dispose();
    }

    /// <summary>The name by which a machine's posted samples go to the cluster, where it is known from now on.</summary>
    public string Relayed(Registration registration)
    {
        var instance = InstanceOf(registration);
        jobs.TryAdd(instance, ClusterRelay.job);
        return instance;
    }

    private ClusterMachine MachineOf(Registration registration)
    {
        var instance = InstanceOf(registration);
        return new ClusterMachine(jobs.GetValueOrDefault(instance, ""), instance);
    }

    private string InstanceOf(Registration registration) => ClusterRelay.InstanceOf(registration, jobs.ContainsKey);

    private void Work()
    {
        while (!stop.IsCancellationRequested)
        {
            stop.Token.WaitHandle.WaitOne(ClusterMachines.Pause(!LookSafely(), Random.Shared.NextDouble()));
        }
    }

    private bool LookSafely()
    {
        try
        {
            warning = "";
            Look();

            if (warning.Length > 0)
            {
                writer.Storage.ClusterPartial(warning);
            }
            else
            {
                writer.Storage.ClusterRead();
            }

            return true;
        }
        catch (ClusterException failure)
        {
            writer.Storage.ClusterFailed(failure.Message);
        }
        catch (OperationCanceledException)
        {
            // The dashboard ends.
        }
        catch (Exception unforeseen)
        {
            Tell($"a defect: reading the cluster: {unforeseen.GetType().Name}: {unforeseen.Message}");
            writer.Storage.ClusterFailed(unforeseen.Message);
        }

        recalled.Clear();
        return false;
    }

    /// <summary>Says something that may be so for long, once.</summary>
    private void Tell(string what)
    {
        if (told != what)
        {
            complain(what);
        }

        told = what;
    }

    private void Look()
    {
        var now = RowKey.Microseconds(clock.GetUtcNow());
        var found = ClusterMachines.Found(At(ClusterQueries.discovery, now));
        var isThere = found.Select(static one => one.Machine.Instance).ToHashSet(StringComparer.Ordinal).Contains;
        var servers = Servers(isThere);
        Register([.. found.Where(one => !servers.ContainsKey(one.Machine.Instance))]);
        servers = Servers(isThere);

        // Of machines that are registered alone, since names may come and go without end.
        foreach (var one in found.Where(one => servers.ContainsKey(one.Machine.Instance)))
        {
            jobs[one.Machine.Instance] = one.Machine.Job;
        }

        foreach (var over in leftOut.Where(one => one.Value.Until <= clock.Elapsed).Select(static one => one.Key).ToArray())
        {
            leftOut.Remove(over);
        }

        // What a scrape repeats is known.
        var news = found
            .Where(one => servers.ContainsKey(one.Machine.Instance)
                && !leftOut.ContainsKey(one.Machine.Instance)
                && (!shown.TryGetValue(one.Machine.Instance, out var before) || one.At > before))
            .Select(static one => one.Machine)
            .ToArray();

        tooLarge = 0;

        foreach (var some in ClusterMachines.Portions(news))
        {
            Show(some, found.Length <= ClusterMachines.MostWithCores, now, servers);
        }

        Recall([.. found.Select(static one => one.Machine).Where(machine => servers.ContainsKey(machine.Instance) && recalled.Add(machine.Instance))], servers, now);

        if (leftOut.Values.Select(static one => one.Reason).FirstOrDefault() is not { } reason)
        {
            return;
        }

        if (shown.Count == 0)
        {
            // Not one machine that has too much, but a cluster that gives too little.
            leftOut.Clear();
            throw new ClusterException(reason);
        }

        warning = warning.Length > 0 ? warning : reason;
    }

    /// <summary>
    /// Shows what is new of some machines. Where that is more than the cluster gives, or than is read, each half apart, down to the machine that has so much: that
    /// one is left out for a while, and costs the others nothing.
    /// </summary>
    private void Show(ClusterMachine[] some, bool withCores, long now, Dictionary<string, LiveServer> servers)
    {
        try
        {
            var newest = At(ClusterQueries.Newest(withCores, some), now);
            var running = new List<ClusterSeries>();

            foreach (var few in some.Chunk(MostWithJobs))
            {
                var asked = ClusterRunningJobs.Newest(Array.ConvertAll(few, static machine => machine.Instance));
                running.AddRange(At(asked, now));
            }

            Show(ClusterRunningJobs.Join([.. running], ClusterReports.Of(newest)), servers);
        }
        catch (ClusterException failure) when (failure.IsTooMuch && ++tooLarge <= ClusterMachines.MostTooLarge)
        {
            if (some.Length > 1)
            {
                Show(some[..(some.Length / 2)], withCores, now, servers);
                Show(some[(some.Length / 2)..], withCores, now, servers);
            }
            else
            {
                leftOut[some[0].Instance] = (
                    clock.Elapsed + TimeSpan.FromSeconds(ClusterMachines.LeftOutSeconds),
                    $"{servers[some[0].Instance].Registration.Slug} is left out: {failure.Message}");
            }
        }
    }

    /// <summary>Reads the last hour of machines, of which their cards show a line: at the start, and after an outage, in which no look was had.</summary>
    private void Recall(ClusterMachine[] machines, Dictionary<string, LiveServer> servers, long now)
    {
        try
        {
            foreach (var some in ClusterMachines.Portions(machines))
            {
                var answer = client.Along(ClusterQueries.TopUseForm(some, LiveServer.SparkMinutes, now), stop.Token);

                foreach (var use in ClusterMachines.MinuteUses(answer.Series))
                {
                    // Of another job of the same instance something else may be there.
                    if (servers.TryGetValue(use.Machine.Instance, out var server) && jobs.GetValueOrDefault(use.Machine.Instance) == use.Machine.Job)
                    {
                        server.Spark(use.Minute, use.Cpu, use.Gpu);
                    }
                }
            }
        }
        catch (ClusterException failure)
        {
            // The lines begin later, and nothing else depends on them.
            Tell($"the last hour of machines cannot be read from the cluster: {failure.Message}");
        }
    }

    private ClusterSeries[] At(string query, long now)
    {
        var answer = client.At(query, now, stop.Token);
        warning = warning.Length > 0 ? warning : answer.Warnings.FirstOrDefault("");
        return answer.Series;
    }

    /// <summary>The servers by the names that the cluster has for them; <paramref name="isThere"/> says which names were found.</summary>
    private Dictionary<string, LiveServer> Servers(Func<string, bool> isThere)
    {
        var servers = new Dictionary<string, LiveServer>(StringComparer.Ordinal);
        var all = writer.Fleet.All;

        // A machine that was found by its name keeps it, whatever slug another has.
        foreach (var server in all.Where(static server => server.Registration.Hostname.Length > 0))
        {
            servers.TryAdd(server.Registration.Hostname, server);
        }

        foreach (var server in all)
        {
            servers.TryAdd(ClusterRelay.InstanceOf(server.Registration, name => isThere(name) || jobs.ContainsKey(name)), server);
        }

        return servers;
    }

    /// <summary>Registers machines, as many as there is room for.</summary>
    private void Register(FoundMachine[] machines)
    {
        if (machines.Length == 0)
        {
            return;
        }

        store.Register(connection => Register(connection, machines)).Wait(stop.Token);
        writer.Refresh().Wait(stop.Token);
    }

    private void Register(StateConnection connection, FoundMachine[] machines)
    {
        // Another dashboard may have been faster.
        var found = machines.Select(static one => one.Machine.Instance).ToHashSet(StringComparer.Ordinal);
        var known = Registrations.All(connection)
            .Select(one => ClusterRelay.InstanceOf(one.Registration, name => found.Contains(name) || jobs.ContainsKey(name)))
            .ToHashSet(StringComparer.Ordinal);

        foreach (var machine in machines)
        {
            var instance = machine.Machine.Instance;

            if (!known.Add(instance))
            {
                continue;
            }

            if (Registrations.FreeId(connection) is not { } id)
            {
                Tell($"the cluster has more machines than the {RegistrationModule.MostServers} that are shown; ai-dashboard remove-server makes room");
                return;
            }

            var slug = ClusterMachines.SlugOf(instance, taken => Registrations.Find(connection, taken) is not null);
            var nobodys = SHA256.HashData(RandomNumberGenerator.GetBytes(TokenBytes));
            Registrations.Save(connection, ClusterMachines.Registered(instance, slug, id, clock.GetUtcNow(), nobodys));
        }
    }

    private void Show(ClusterReport[] reports, Dictionary<string, LiveServer> servers)
    {
        var now = clock.GetUtcNow();
        var waiting = new List<Task<IngestResult>>();

        foreach (var report in reports)
        {
            var instance = report.Machine.Instance;

            // Of another job of the same instance something else may be there.
            if (!servers.TryGetValue(instance, out var server) || jobs.GetValueOrDefault(instance) != report.Machine.Job)
            {
                continue;
            }

            var agent = ClusterMachines.AgentOf(report);
            var isNews = !server.SaysTheSame(agent);
            waiting.Add(writer.Store(new IngestJob(
                server, [], report.Report, null, now, isNews ? agent : [], isNews ? Encoding.UTF8.GetString(agent) : "")
            { Found = report }));
            shown[instance] = (report.Report.CollectedAt - DateTimeOffset.UnixEpoch).TotalSeconds;
        }

        Task.WaitAll([.. waiting], stop.Token);
    }
}
