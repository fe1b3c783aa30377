using Agent.Core;
using Agent.Core.Gpu;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>
/// Watches the jobs of this machine: it searches for their processes now and then, looks at the states of their threads often, and at all
/// counters in between. Each kind of work is done less often where it costs too much, so that all of it stays within 2 ms of CPU time a second.
/// Used by one thread.
/// </summary>
internal sealed class JobWatch : IDisposable
{
    /// <summary>CPU time that each kind of work may take, as a share of one CPU: 2 ms a second together.</summary>
    private const double ForLooks = 0.0009;
    private const double ForStates = 0.0005;
    private const double ForScans = 0.0002;

    /// <summary>Half of what is left, because a search may come in half the time when processes came or went.</summary>
    private const double ForSearches = 0.0002;

    private static readonly TimeSpan StatePeriod = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan LookPeriod = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan SearchPeriod = TimeSpan.FromSeconds(10);

    /// <summary>From finding out where a job's limits are to the next time.</summary>
    private static readonly TimeSpan LimitPeriod = TimeSpan.FromMinutes(1);

    private readonly Settings settings;
    private readonly AgentClock clock;
    private readonly Func<JobInputs> inputs;
    private readonly Func<bool> watchesMachine;
    private readonly Func<TimeSpan> cost;
    private readonly string procfs;
    private readonly ulong pageSize = (ulong)Environment.SystemPageSize;
    private readonly SmallFiles files = new();
    private readonly ProcessTable table;
    private readonly CgroupFiles cgroups;
    private readonly HostFiles host;
    private readonly UserNames users;
    private readonly LostGpus lost;
    private readonly Pace states = new(ForStates, StatePeriod, TimeSpan.FromSeconds(2.5));
    private readonly Pace looks = new(ForLooks, LookPeriod, TimeSpan.FromSeconds(10));
    private readonly Pace scans = new(ForScans, SearchPeriod, TimeSpan.FromMinutes(1));
    private readonly Pace searches = new(ForSearches, SearchPeriod, TimeSpan.FromMinutes(1));
    private readonly Dictionary<int, WatchedProcess> watched = [];
    private readonly Dictionary<string, (JobCgroup Cgroup, TimeSpan At)> limits = [];
    private Dictionary<int, KnownProcess> known = [];
    private JobGroup[] groups = [];
    private Holding[] holdings = [];
    private WatchedProcess[] sampled = [];
    private string[] podDirectories = [];
    private TimeSpan? podsAt;
    private LeftOut leftOut;
    private TimeSpan nextSearch;
    private TimeSpan mayNextSearch;
    private bool hasChanged;
    private TimeSpan nextScan;
    private TimeSpan nextLook;
    private TimeSpan nextState;
    private bool isLeft;
    private Look? before;
    private JobReading reading = JobReading.None;

    /// <summary>Nothing is read before the first <see cref="Read"/>.</summary>
    /// <param name="settings">Where /proc, /sys and / are, and how much may be told.</param>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="inputs">What other sources told last.</param>
    /// <param name="watchesMachine">True while a machine is watched whose GPUs nobody uses; else it costs nothing there.</param>
    /// <param name="cost">The CPU time of this thread; another one for tests.</param>
    public JobWatch(Settings settings, AgentClock clock, Func<JobInputs> inputs, Func<bool> watchesMachine, Func<TimeSpan>? cost = null)
    {
        this.settings = settings;
        this.clock = clock;
        this.inputs = inputs;
        this.watchesMachine = watchesMachine;
        this.cost = cost ?? (static () => ThreadCost.Now);
        // The driver numbers processes as the agent's own PID namespace does.
        procfs = new ProcessNames(settings.ProcFs).Root;
        table = new ProcessTable(procfs, files);
        cgroups = new CgroupFiles(settings.SysFs, files);
        host = new HostFiles(settings.ProcFs, settings.SysFs, clock);
        users = new UserNames(settings.RootFs, clock, files);
        lost = new LostGpus(settings.SysFs);
    }

    /// <summary>Does what is due, and says what is known and when to come again.</summary>
    public SlowReading<JobReading> Read()
    {
        var told = inputs();
        var now = clock.Elapsed;

        // While nobody tells of GPUs the processes that held some are believed to go on.
        var held = told.Gpus is { } gpus ? Grouping.Holdings(gpus.Gpus) : holdings;

        if (held.Length == 0)
        {
            // A GPU that fails takes its users with it: when the last one goes, what it leaves behind is looked at once.
            isLeft |= holdings.Length > 0;
            Rest();

            if (!isLeft && told.DriverProblem.Length == 0 && !watchesMachine())
            {
                before = null;
                reading = JobReading.None;
                return new(reading, LookPeriod);
            }
        }

        if (held.Length > 0 && (now >= nextSearch || (now >= mayNextSearch && (hasChanged || HaveChanged(held)))))
        {
            Timed(searches, () => Search(held, now));
            hasChanged = false;
            nextSearch = now + searches.Period;
            mayNextSearch = now + Longest(LookPeriod, searches.Period / 2);
        }

        if (now >= nextLook)
        {
            Timed(looks, () => LookAtAll(told));
            isLeft = false;
            nextLook = now + looks.Period;

            if (now >= nextScan && sampled.Any(static process => process.HasThreads))
            {
                Timed(scans, () => Scan(now));
            }

            nextState = now + states.Period;
        }
        else if (sampled.Length > 0 && now >= nextState)
        {
            Timed(states, LookAtStates);
            nextState = now + states.Period;
        }

        var next = sampled.Length > 0 && nextState < nextLook ? nextState : nextLook;
        var wait = next - clock.Elapsed;
        return new(reading, wait > TimeSpan.Zero ? wait : TimeSpan.FromMilliseconds(1));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Rest();
        host.Dispose();
    }

    private void Timed(Pace pace, Action work)
    {
        var begin = cost();
        work();
        pace.Took(cost() - begin);
    }

    /// <summary>True when processes came that hold GPUs, or went.</summary>
    private bool HaveChanged(Holding[] held) =>
        !held.Select(static one => one.Pid).ToHashSet().SetEquals(holdings.Select(static one => one.Pid));

    /// <summary>True for a process whose own file was read at the newest look.</summary>
    private bool IsAlive(int pid, ulong startedAt) =>
        watched.TryGetValue(pid, out var process) && process.StartedAt == startedAt && process.IsAlive;

    /// <summary>Forgets all processes.</summary>
    private void Rest()
    {
        if (holdings.Length == 0 && watched.Count == 0)
        {
            return;
        }

        foreach (var process in watched.Values)
        {
            process.Dispose();
        }

        foreach (var (cgroup, _) in limits.Values)
        {
            cgroup.Dispose();
        }

        watched.Clear();
        limits.Clear();
        table.Clear();
        known = [];
        (groups, holdings, sampled, leftOut) = ([], [], [], default);
        (nextSearch, mayNextSearch, nextScan, hasChanged) = (TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero, false);
    }

    private void Search(Holding[] held, TimeSpan now)
    {
        holdings = held;
        known = table.Find(held.Select(static one => one.Pid), now, Pods, IsAlive);
        var all = Grouping.Group([.. known.Values.Select(static one => one.Process)], held);
        groups = [.. all.Take(Grouping.MostJobs)];
        var wanted = groups.SelectMany(static group => group.Processes).ToDictionary(static one => one.Pid);

        foreach (var (pid, process) in watched.ToArray())
        {
            if (!wanted.TryGetValue(pid, out var still) || still.StartedAt != process.StartedAt)
            {
                process.Dispose();
                watched.Remove(pid);
            }
        }

        foreach (var one in wanted.Values.Where(one => !watched.ContainsKey(one.Pid)))
        {
            watched[one.Pid] = new WatchedProcess(one, procfs, pageSize, files);
        }

        sampled = [.. groups.SelectMany(static job => job.Drivers.Concat(job.Loaders)).Select(one => watched[one.Pid])];

        foreach (var id in limits.Keys.Except(groups.Select(static group => group.Id)).ToArray())
        {
            limits[id].Cgroup.Dispose();
            limits.Remove(id);
        }

        leftOut = new(all.Length - groups.Length, table.LeftOut, sampled.Sum(static process => process.ThreadsLeftOut), table.Unseen);
    }

    /// <summary>
    /// Looks through the threads of those that hold GPUs, and of loaders whose main thread does not explain what they use. A first time says what
    /// threads used since they started; the second, soon after, what they use now.
    /// </summary>
    private void Scan(TimeSpan now)
    {
        var scanned = sampled
            .Where(process => process.HasThreads && (process.Unexplained > 0 || groups.Any(group => IsDriver(group, process))))
            .ToArray();

        foreach (var process in scanned)
        {
            process.Scan(now);
        }

        var isFresh = scanned.Any(static process => process.Scans == 1);
        nextScan = now + (isFresh ? LookPeriod : scans.Period);
    }

    private static TimeSpan Longest(TimeSpan one, TimeSpan other) => one > other ? one : other;

    private static bool IsDriver(JobGroup group, WatchedProcess process) =>
        group.Drivers.Any(driver => driver.Pid == process.Pid);

    private void LookAtStates()
    {
        foreach (var process in sampled)
        {
            process.Look();
        }
    }

    private void LookAtAll(JobInputs told)
    {
        var faults = new List<SourceError>();
        var gpus = told.Gpus?.Gpus ?? [];

        var look = new Look(
            at: clock.SteadyNow,
            clock: clock.Elapsed,
            pageSize: pageSize,
            host: host.Read(faults),
            devices: told.Devices,
            diskNames: settings.Disks,
            interfaceNames: settings.Interfaces,
            gpus: gpus,
            work: told.Work,
            lostGpus: lost.Find(told.Gpus),
            driverProblem: told.DriverProblem,
            detail: settings.JobDetail,
            jobs: [.. groups.Select(group => Count(group, faults))]);

        hasChanged |= groups.SelectMany(static job => job.Drivers).Any(driver => watched[driver.Pid].HasNewChildren());

        if (leftOut.Unseen > 0)
        {
            faults.Add(SourceError.NewUnreadable(
                procfs,
                $"{leftOut.Unseen} processes that hold GPUs are not in it: of another PID namespace (give a container --pid=host), or hidden (hidepid)"));
        }

        if (leftOut.Jobs > 0)
        {
            faults.Add(SourceError.NewUnreadable(procfs, $"{leftOut.Jobs} jobs are left out: at most {Grouping.MostJobs} are watched"));
        }

        reading = new(
            before is null ? null : Looks.Between(before, look),
            [.. faults],
            new JobAccess(
                watched.Values.Any(static process => process.MayReadIo is not null)
                    ? watched.Values.All(static process => process.MayReadIo != false)
                    : null,
                table.MayReadEnvironment,
                watched.Count > 0 ? watched.Values.All(static process => process.HasSchedule) : null,
                table.HasChildren,
                cgroups.Versions),
            leftOut,
            new JobCost(looks.Cost, looks.Period, states.Cost, states.Period, searches.Cost, searches.Period, scans.Cost, scans.Period));
        before = look;
    }

    private JobCounters Count(JobGroup group, List<SourceError> faults)
    {
        var counters = new List<ProcessCounters>();
        var cgroup = LimitsOf(group);

        foreach (var one in group.Processes)
        {
            if (watched.TryGetValue(one.Pid, out var process) && process.Count(withIo: !cgroup.TellsIo) is { IsSome: true, Value: var counted })
            {
                counters.Add(counted);
            }
            else
            {
                // It ended, and another may have taken its place.
                hasChanged = true;
            }
        }

        return new JobCounters(
            group: group,
            user: users.Of(group.Uid),
            processes: [.. counters],
            cgroup: cgroup.Read(faults),
            received: Received(group));
    }

    private JobCgroup LimitsOf(JobGroup group)
    {
        if (limits.TryGetValue(group.Id, out var found) && clock.Elapsed - found.At < LimitPeriod)
        {
            return found.Cgroup;
        }

        found.Cgroup?.Dispose();
        var driver = known[group.Drivers[0].Pid];
        var affinity = files.Read($"{procfs}/{driver.Process.Pid}/status", ProcessStatus.Parse)
            .Match(static read => read.CpusAllowed, static _ => FSharpValueOption<int>.None);
        var cgroup = cgroups.Find(driver.Process.Belonging, driver.Memberships, affinity.IsSome ? affinity.Value : null);
        limits[group.Id] = (cgroup, clock.Elapsed);
        return cgroup;
    }

    /// <summary>Bytes that came in by the interfaces of a container's own network namespace; none where it shares the machine's.</summary>
    private FSharpValueOption<ulong> Received(JobGroup group) =>
        group.Owner.Kind.IsPod || group.Owner.Kind.IsContainer
            ? ContainerNetwork.Received(files, procfs, group.Root.Pid)
            : FSharpValueOption<ulong>.None;

    private string[] Pods()
    {
        if (podsAt is null || clock.Elapsed - podsAt >= SearchPeriod)
        {
            podsAt = clock.Elapsed;
            podDirectories = [.. SysFiles.Directories(Path.Join(settings.RootFs, "var/log/pods")).Select(path => Path.GetFileName(path))];
        }

        return podDirectories;
    }
}
