using Agent.Core;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>What is known of a process beside its place in the tree.</summary>
/// <param name="Process">Who it is.</param>
/// <param name="Memberships">Its control groups.</param>
internal sealed record KnownProcess(TreeProcess Process, ProcessCgroup.Membership[] Memberships);

/// <summary>
/// The processes that jobs may consist of: those that hold GPUs, what stands above them, and everything below. What they are is asked once,
/// and again while they are young: a process changes its user, its control group and its arguments soon after it was started.
/// </summary>
/// <param name="procfs">Where /proc is.</param>
/// <param name="files">Who reads.</param>
internal sealed class ProcessTable(string procfs, SmallFiles files)
{
    /// <summary>So many processes are looked at closely.</summary>
    public const int MostProcesses = 512;

    /// <summary>Deeper trees are no trees.</summary>
    private const int MostAncestors = 100;

    /// <summary>Beyond so many files of children a listing of /proc costs less on most machines.</summary>
    private const int MostChildrenFiles = 300;

    /// <summary>So many searches go by after one that found too many threads to ask for children.</summary>
    private const int SearchesByListing = 20;

    /// <summary>From one full reading of all parents to the next; between them only processes that came are asked.</summary>
    private const int ListingsPerReading = 6;

    /// <summary>The driver may name a process for some seconds after it ended.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(8);

    private static readonly TimeSpan Young = TimeSpan.FromSeconds(30);

    private static readonly string[] SlurmVariables = ["SLURM_JOB_ID", "SLURM_JOB_NAME"];

    private readonly Dictionary<int, Entry> known = [];
    private Dictionary<int, TimeSpan> missingSince = [];
    private Func<int, ulong, bool> isAlive = static (_, _) => false;
    private Dictionary<int, int> parents = [];
    private int listings;
    private int byListing;

    /// <summary>Processes that were left out in the newest search, because there were so many.</summary>
    public int LeftOut { get; private set; }

    /// <summary>Holders that are not in this /proc, and were not some seconds before.</summary>
    public int Unseen { get; private set; }

    /// <summary>Whether the kernel tells each thread's children; null before that was needed.</summary>
    public bool? HasChildren { get; private set; }

    /// <summary>Whether environments may be read; null before one was needed.</summary>
    public bool? MayReadEnvironment { get; private set; }

    /// <summary>Finds all processes of the jobs of these holders.</summary>
    /// <param name="holders">The processes that hold GPUs.</param>
    /// <param name="now">The time.</param>
    /// <param name="pods">The names of the directories in /var/log/pods; asked where there is a pod.</param>
    /// <param name="isWatched">True for a process, by its number and start, that is known to live; it is not asked again.</param>
    public Dictionary<int, KnownProcess> Find(
        IEnumerable<int> holders, TimeSpan now, Func<string[]> pods, Func<int, ulong, bool> isWatched)
    {
        isAlive = isWatched;
        var found = new Dictionary<int, KnownProcess>();
        var missing = new Dictionary<int, TimeSpan>();
        LeftOut = 0;

        foreach (var holder in holders.Distinct())
        {
            if (found.Count >= MostProcesses)
            {
                LeftOut++;
            }
            else if (!AddWithAncestors(holder, found, now, pods))
            {
                missing[holder] = missingSince.GetValueOrDefault(holder, now);
            }
        }

        missingSince = missing;
        Unseen = missing.Values.Count(since => now - since >= Patience);

        AssignSlurmJobs(found);
        var table = ProcessTree.Index([.. found.Values.Select(static one => one.Process)]);

        // What only stands above a job's topmost process, as the shell that started it, is no part of it, and neither are its other children.
        var roots = holders.Where(found.ContainsKey).Select(pid => ProcessTree.Top(table, found[pid].Process).Pid).Distinct();

        foreach (var pid in Below([.. roots]))
        {
            if (found.ContainsKey(pid))
            {
                continue;
            }

            if (found.Count >= MostProcesses)
            {
                LeftOut++;
            }
            else if (Get(pid, isHolder: false, now, pods) is { } one)
            {
                found[pid] = one;
            }
        }

        AssignSlurmJobs(found);

        foreach (var gone in known.Keys.Where(pid => !found.ContainsKey(pid)).ToArray())
        {
            known.Remove(gone);
        }

        return found;
    }

    /// <summary>Forgets everything, as when nobody uses a GPU any more.</summary>
    public void Clear()
    {
        known.Clear();
        missingSince = [];
        parents = [];
        listings = 0;
    }

    /// <summary>What only processes above or beside one tell: the Slurm job that it is part of.</summary>
    private static void AssignSlurmJobs(Dictionary<int, KnownProcess> found)
    {
        foreach (var one in SlurmSteps.Assign([.. found.Values.Select(static one => one.Process)]))
        {
            if (!ReferenceEquals(found[one.Pid].Process, one))
            {
                found[one.Pid] = found[one.Pid] with { Process = one };
            }
        }
    }

    private bool AddWithAncestors(int pid, Dictionary<int, KnownProcess> found, TimeSpan now, Func<string[]> pods)
    {
        if (Get(pid, isHolder: true, now, pods) is not { } holder)
        {
            return false;
        }

        found[pid] = holder;
        var parent = holder.Process.Parent;

        for (var depth = 0; depth < MostAncestors && parent > 1 && !found.ContainsKey(parent); depth++)
        {
            if (Get(parent, isHolder: false, now, pods) is not { } above)
            {
                break;
            }

            found[parent] = above;
            parent = above.Process.Parent;
        }

        return true;
    }

    /// <summary>A process as it is now; null when it is not there.</summary>
    private KnownProcess? Get(int pid, bool isHolder, TimeSpan now, Func<string[]> pods)
    {
        var isKnown = known.TryGetValue(pid, out var entry) && entry.IsGrown && (entry.IsHolder || !isHolder);

        if (isKnown && isAlive(pid, entry!.Known.Process.StartedAt))
        {
            return entry.Known;
        }

        if (files.Read($"{procfs}/{pid}/stat", ProcessStat.Parse) is not { IsOk: true, ResultValue: var stat })
        {
            return null;
        }

        if (isKnown
            && entry!.Known.Process.StartedAt == stat.StartedAt
            && entry.Known.Process.Parent == stat.Parent)
        {
            return entry.Known;
        }

        var since = entry is not null && entry.Known.Process.StartedAt == stat.StartedAt ? entry.Since : now;
        var read = ReadFacts(stat, isHolder, pods);

        if (read is not null)
        {
            known[pid] = new Entry(read, since, now - since >= Young, isHolder);
        }

        return read;
    }

    private KnownProcess? ReadFacts(ProcessStat.ProcessStat stat, bool isHolder, Func<string[]> pods)
    {
        var directory = $"{procfs}/{stat.Pid}";

        // Without its user nobody knows whose it is.
        if (files.Read(directory + "/status", ProcessStatus.Parse) is not { IsOk: true, ResultValue: var status })
        {
            return null;
        }

        var memberships = files.Read(directory + "/cgroup", ProcessCgroup.Parse)
            .Match(static read => read.Value, static _ => []);
        var arguments = files.Read(
            directory + "/cmdline",
            static text => FSharpResult<string[], ParseError>.NewOk(ProcessStrings.Arguments(text))).Match(static read => read, static _ => []);
        var belonging = BelongingModule.Of(memberships, stat.Session);

        if (isHolder && (belonging.Owner.Kind.IsSlurm || belonging.Owner.Kind.IsUnit || belonging.Owner.Kind.IsSession))
        {
            belonging = WithEnvironment(directory, belonging);
        }

        if (belonging.Owner.Kind.IsPod)
        {
            belonging = BelongingModule.WithPodName(pods(), belonging);
        }

        return new KnownProcess(
            new TreeProcess(
                pid: stat.Pid,
                parent: stat.Parent,
                group: stat.Group,
                session: stat.Session,
                startedAt: stat.StartedAt,
                uid: status.Uid,
                name: stat.Name,
                arguments: arguments,
                belonging: belonging),
            memberships);
    }

    private Belonging WithEnvironment(string directory, Belonging belonging)
    {
        var read = files.Read(
            directory + "/environ",
            static text => FSharpResult<string[], ParseError>.NewOk(ProcessStrings.Variables(SlurmVariables, text)));

        // A job of the agent's own user may be read in any case.
        MayReadEnvironment = (MayReadEnvironment ?? true) && read.IsOk;
        return read.IsOk ? BelongingModule.WithSlurmJob(read.ResultValue[0], read.ResultValue[1], belonging) : belonging;
    }

    /// <summary>All processes below these.</summary>
    private IEnumerable<int> Below(int[] roots)
    {
        if (HasChildren == false || byListing-- > 0)
        {
            return BelowByListing(roots);
        }

        if (BelowByChildren(roots) is { } below)
        {
            return below;
        }

        byListing = SearchesByListing;
        return BelowByListing(roots);
    }

    /// <summary>By the kernel's files of children; null where it has none, or where they are so many that a listing costs less.</summary>
    private List<int>? BelowByChildren(int[] roots)
    {
        var reached = new List<int>(roots);
        var read = 0;

        for (var next = 0; next < reached.Count; next++)
        {
            foreach (var tid in Numbers.In($"{procfs}/{reached[next]}/task"))
            {
                if (++read > MostChildrenFiles)
                {
                    return null;
                }

                var children = files.Read($"{procfs}/{reached[next]}/task/{tid}/children", ProcessChildren.Parse);

                if (children.IsOk)
                {
                    HasChildren = true;
                    reached.AddRange(children.ResultValue.Where(child => !reached.Contains(child)));
                }
                else if (HasChildren != true)
                {
                    HasChildren = false;
                    return null;
                }
            }
        }

        return reached;
    }

    private List<int> BelowByListing(int[] roots)
    {
        var isWhole = listings++ % ListingsPerReading == 0;
        var now = new Dictionary<int, int>();

        foreach (var pid in Numbers.In(procfs))
        {
            if (!isWhole && parents.TryGetValue(pid, out var parent))
            {
                now[pid] = parent;
            }
            else if (files.Read($"{procfs}/{pid}/stat", ProcessStat.Parse) is { IsOk: true, ResultValue: var stat })
            {
                now[pid] = stat.Parent;
            }
        }

        parents = now;
        var children = now.ToLookup(static pair => pair.Value, static pair => pair.Key);
        var reached = new List<int>(roots);
        var seen = new HashSet<int>(roots);

        for (var next = 0; next < reached.Count; next++)
        {
            reached.AddRange(children[reached[next]].Where(seen.Add));
        }

        return reached;
    }

    private sealed record Entry(KnownProcess Known, TimeSpan Since, bool IsGrown, bool IsHolder);
}
