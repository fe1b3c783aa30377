using System.IO.Enumeration;
using Agent.Core;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>A thread whose state is looked at often.</summary>
/// <param name="directory">Its directory in /proc.</param>
/// <param name="tid">Its number.</param>
/// <param name="files">Who reads.</param>
internal sealed class WatchedThread(string directory, int tid, SmallFiles files) : IDisposable
{
    private const char Uninterruptible = 'D';

    /// <summary>USER_HZ is 100 wherever .NET runs.</summary>
    private const ulong NanosecondsPerTick = 10_000_000;

    private readonly KeptFile stat = new(directory + "/stat", files);
    private readonly KeptFile schedule = new(directory + "/schedstat", files);
    private bool hasSchedule = true;
    private int looks;
    private int blocked;

    /// <summary>Its number.</summary>
    public int Tid => tid;

    /// <summary>True while the kernel counts how long it runs and waits.</summary>
    public bool HasSchedule => hasSchedule;

    /// <summary>Looks at its state.</summary>
    public void Look() => stat.Read(ProcessStat.StateOf).Match(See, static _ => 0);

    /// <summary>Its counters, and the looks since the last time; none once it has ended.</summary>
    public FSharpValueOption<ThreadCounters> Count()
    {
        var read = stat.Read(ProcessStat.Parse);
        return read.IsOk
            ? FSharpValueOption<ThreadCounters>.NewValueSome(Counted(read.ResultValue, Times(), read.ResultValue.CpuTime))
            : FSharpValueOption<ThreadCounters>.None;
    }

    /// <summary>
    /// The same of a main thread, whose name, state and start are those of its process. Its CPU time is not, and is read only where the kernel does
    /// not count it to the nanosecond.
    /// </summary>
    public ThreadCounters CountAsMain(ProcessStat.ProcessStat process)
    {
        var times = Times();
        var cpu = times.IsSome
            ? times.Value.RunTime / NanosecondsPerTick
            : stat.Read(ProcessStat.Parse).Match(static read => read.CpuTime, static _ => 0UL);
        return Counted(process, times, cpu);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stat.Dispose();
        schedule.Dispose();
    }

    private FSharpValueOption<SchedStat.SchedStat> Times()
    {
        var times = hasSchedule
            ? schedule.Read(SchedStat.Parse).Match(static known => known, static _ => FSharpValueOption<SchedStat.SchedStat>.None)
            : FSharpValueOption<SchedStat.SchedStat>.None;
        // A kernel that does not count will not begin to.
        hasSchedule = times.IsSome;
        return times;
    }

    private ThreadCounters Counted(ProcessStat.ProcessStat read, FSharpValueOption<SchedStat.SchedStat> times, ulong cpu)
    {
        See(read.State);
        var counted = new ThreadCounters(tid, read.Name, read.StartedAt, cpu, times, looks, blocked);
        (looks, blocked) = (0, 0);
        return counted;
    }

    private int See(char state)
    {
        looks++;
        blocked += state == Uninterruptible ? 1 : 0;
        return looks;
    }
}

/// <summary>A process of a job.</summary>
/// <param name="facts">Who it is.</param>
/// <param name="procfs">Where /proc is.</param>
/// <param name="pageSize">The size of a page in bytes.</param>
/// <param name="files">Who reads.</param>
internal sealed class WatchedProcess(TreeProcess facts, string procfs, ulong pageSize, SmallFiles files) : IDisposable
{
    /// <summary>So many threads beside the main one are watched.</summary>
    private const int MostWatched = 8;

    /// <summary>So many threads are looked through for those that are worth it.</summary>
    private const int MostScanned = 1000;

    private readonly string directory = $"{procfs}/{facts.Pid}";
    private readonly KeptFile stat = new($"{procfs}/{facts.Pid}/stat", files);
    private readonly KeptFile children = new($"{procfs}/{facts.Pid}/task/{facts.Pid}/children", files);
    private readonly KeptFile io = new($"{procfs}/{facts.Pid}/io", files);
    private readonly WatchedThread main = new($"{procfs}/{facts.Pid}/task/{facts.Pid}", facts.Pid, files);
    private readonly List<WatchedThread> others = [];
    private Looks.ThreadCpu[] scanned = [];
    private TimeSpan? scannedAt;
    private ulong cpuBefore;
    private ulong mainBefore;
    private int[]? childrenBefore;
    private bool hasChildren = true;

    /// <summary>Its number.</summary>
    public int Pid => facts.Pid;

    /// <summary>When it started, in ticks since boot.</summary>
    public ulong StartedAt => facts.StartedAt;

    /// <summary>Whether its I/O may be read; null while nobody tried.</summary>
    public bool? MayReadIo { get; private set; }

    /// <summary>True while the kernel counts how long it runs and waits.</summary>
    public bool HasSchedule => main.HasSchedule;

    /// <summary>True when it was there at its newest count.</summary>
    public bool IsAlive { get; private set; }

    /// <summary>Threads that were not looked through, because it has so many.</summary>
    public int ThreadsLeftOut { get; private set; }

    /// <summary>CPU time of threads that are not watched since the last count, in ticks: these may be worth it.</summary>
    public ulong Unexplained { get; private set; }

    /// <summary>True when it has threads beside the main one.</summary>
    public bool HasThreads { get; private set; }

    /// <summary>How often its threads were looked through; once says nothing of what they use.</summary>
    public int Scans { get; private set; }

    /// <summary>Looks at the states of the threads that are watched.</summary>
    public void Look()
    {
        main.Look();

        foreach (var thread in others)
        {
            thread.Look();
        }
    }

    /// <summary>Its counters; none once it has ended or another process has its number.</summary>
    /// <param name="withIo">True where nothing else tells what it reads and writes.</param>
    public FSharpValueOption<ProcessCounters> Count(bool withIo)
    {
        var whole = stat.Read(ProcessStat.Parse);
        IsAlive = whole.IsOk && whole.ResultValue.StartedAt == facts.StartedAt;

        if (!IsAlive)
        {
            return FSharpValueOption<ProcessCounters>.None;
        }

        var read = whole.ResultValue;
        var leader = main.CountAsMain(read);
        var watched = new List<ThreadCounters>(others.Count);
        var explained = leader.CpuTime - Math.Min(leader.CpuTime, mainBefore);

        foreach (var thread in others)
        {
            if (thread.Count() is { IsSome: true, Value: var counted })
            {
                watched.Add(counted);
            }
        }

        var used = read.CpuTime - Math.Min(read.CpuTime, cpuBefore);
        Unexplained = cpuBefore == 0 || watched.Count > 0 || used < explained ? 0 : used - explained;
        (cpuBefore, mainBefore, HasThreads) = (read.CpuTime, leader.CpuTime, read.Threads > 1);

        return FSharpValueOption<ProcessCounters>.NewValueSome(new ProcessCounters(
            pid: facts.Pid,
            startedAt: facts.StartedAt,
            state: read.State,
            threads: read.Threads,
            cpuTime: read.CpuTime,
            childTime: read.ChildTime,
            majorFaults: read.MajorFaults,
            resident: read.Resident * pageSize,
            io: withIo ? ReadIo() : FSharpValueOption<ProcessIo.ProcessIo>.None,
            main: leader,
            watched: [.. watched]));
    }

    /// <summary>True when its main thread started or lost a process since it was asked last; false where the kernel does not tell.</summary>
    public bool HasNewChildren()
    {
        if (!hasChildren || children.Read(ProcessChildren.Parse) is not { IsOk: true, ResultValue: var now })
        {
            hasChildren = false;
            return false;
        }

        var isNew = childrenBefore is not null && !now.AsSpan().SequenceEqual(childrenBefore);
        childrenBefore = now;
        return isNew;
    }

    /// <summary>Looks through all threads for those that are worth watching.</summary>
    public void Scan(TimeSpan now)
    {
        var found = new List<Looks.ThreadCpu>();
        ThreadsLeftOut = 0;

        foreach (var tid in Tids())
        {
            if (found.Count == MostScanned)
            {
                ThreadsLeftOut++;
            }
            else if (files.Read($"{directory}/task/{tid}/stat", ProcessStat.Parse) is { IsOk: true, ResultValue: var read })
            {
                found.Add(new Looks.ThreadCpu(tid, read.StartedAt, read.CpuTime, read.State == 'D'));
            }
        }

        var length = scannedAt is { } before ? (now - before).TotalSeconds : 0;
        Scans++;
        var wanted = Looks.WorthWatching(MostWatched, facts.Pid, length, scanned, [.. found]);
        scanned = [.. found];
        scannedAt = now;

        foreach (var thread in others.Where(thread => !wanted.Contains(thread.Tid)).ToArray())
        {
            thread.Dispose();
            others.Remove(thread);
        }

        foreach (var tid in wanted.Where(tid => !others.Exists(thread => thread.Tid == tid)))
        {
            others.Add(new WatchedThread($"{directory}/task/{tid}", tid, files));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stat.Dispose();
        children.Dispose();
        io.Dispose();
        main.Dispose();
        others.ForEach(static thread => thread.Dispose());
    }

    private FSharpValueOption<ProcessIo.ProcessIo> ReadIo()
    {
        if (MayReadIo == false)
        {
            return FSharpValueOption<ProcessIo.ProcessIo>.None;
        }

        var read = io.Read(ProcessIo.Parse);
        MayReadIo = read.IsOk;
        return read.IsOk
            ? FSharpValueOption<ProcessIo.ProcessIo>.NewValueSome(read.ResultValue)
            : FSharpValueOption<ProcessIo.ProcessIo>.None;
    }

    private IEnumerable<int> Tids() => Numbers.In(directory + "/task");
}

/// <summary>Directories whose names are numbers, as /proc and a process's tasks have them.</summary>
internal static class Numbers
{
    /// <summary>All of them; none where the directory cannot be read.</summary>
    public static IEnumerable<int> In(string directory)
    {
        try
        {
            return
            [
                .. new FileSystemEnumerable<int>(
                    directory,
                    static (ref FileSystemEntry entry) => int.TryParse(entry.FileName, out var number) ? number : 0)
                {
                    ShouldIncludePredicate = static (ref FileSystemEntry entry) => char.IsAsciiDigit(entry.FileName[0]),
                },
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
