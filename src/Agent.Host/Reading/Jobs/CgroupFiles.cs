using Agent.Core;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Agent.Core.Sys;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading.Jobs;

/// <summary>Finds the files of control groups, of version 2, of version 1, and of both at once.</summary>
/// <param name="sysfs">Where /sys is.</param>
/// <param name="files">Who reads.</param>
internal sealed class CgroupFiles(string sysfs, SmallFiles files)
{
    private readonly string root = Path.Join(sysfs, "fs/cgroup");

    /// <summary>The files of a job's groups. Which group has a quota or a limit is found here, so it is to be called again now and then.</summary>
    /// <param name="belonging">Who the job belongs to.</param>
    /// <param name="memberships">The groups of a process of it.</param>
    /// <param name="affinity">How many CPUs that process may run on by itself; null when unknown.</param>
    public JobCgroup Find(Belonging belonging, ProcessCgroup.Membership[] memberships, int? affinity)
    {
        var unified = ProcessCgroup.Unified(memberships);
        var two = unified.IsSome && UnifiedRoot() is { } top ? new Place(top, Inside(unified.Value.Path)) : null;
        var level = Inside(BelongingModule.Level(belonging, unified.IsSome ? unified.Value.Path : "/"));

        var quota = Smallest(
            Chain(two).Select(directory => (directory, Quota: Value(directory + "/cpu.max", CgroupCpu.ParseMax)))
                .Concat(Chain(PlaceOf("cpu", memberships)).Select(directory => (directory, Quota: QuotaOf(directory)))));

        var set = Chain(two).Select(directory => Value(directory + "/cpuset.cpus.effective", CgroupCpu.ParseList))
            .Concat(Chain(PlaceOf("cpuset", memberships)).Select(directory =>
                Value(directory + "/cpuset.effective_cpus", CgroupCpu.ParseList) is { IsSome: true } effective
                    ? effective
                    : Value(directory + "/cpuset.cpus", CgroupCpu.ParseList)))
            .FirstOrDefault(static count => count.IsSome, FSharpValueOption<int>.None);

        // Of groups with the same limit the uppermost has the most memory in use.
        var limit = Chain(two).Select(directory => (Directory: directory, Limit: Value(directory + "/memory.max", CgroupMemory.ParseLimit)))
            .Concat(Chain(PlaceOf("memory", memberships)).Select(directory =>
                (Directory: directory, Limit: Value(directory + "/memory.limit_in_bytes", CgroupMemory.ParseLimit))))
            .Where(static found => found.Limit.IsSome)
            .OrderBy(static found => found.Limit.Value)
            .ThenBy(static found => found.Directory.Length)
            .FirstOrDefault();

        // A login session's group holds whatever its user does; its figures are no job's.
        var memory = belonging.IsOneJob ? Own("memory", memberships, belonging) : null;
        var blocks = belonging.IsOneJob ? Own("blkio", memberships, belonging) : null;
        var own = belonging.IsOneJob && two is not null && belonging.Component.Length > 0 ? two.Root + level : null;

        return new JobCgroup(
            files,
            cpuLimit: Least(quota.Cpus, set.IsSome ? set.Value : null, affinity),
            memoryLimit: limit.Limit.IsSome ? limit.Limit.Value : null,
            cpuStat: quota.Directory is null ? null : quota.Directory + "/cpu.stat",
            memory: FirstThere(
                Limited(own, limit.Directory) + "/memory.current", Limited(memory, limit.Directory) + "/memory.usage_in_bytes"),
            kills: FirstThere(own + "/memory.events", memory + "/memory.oom_control"),
            memoryStat: FirstThere(own + "/memory.stat", memory + "/memory.stat"),
            ioStat: FirstThere(own + "/io.stat"),
            serviceBytes: FirstThere(
                blocks + "/blkio.throttle.io_service_bytes_recursive", blocks + "/blkio.throttle.io_service_bytes"),
            cpuPressure: FirstThere(own + "/cpu.pressure"),
            ioPressure: FirstThere(own + "/io.pressure"),
            memoryPressure: FirstThere(own + "/memory.pressure"));
    }

    /// <summary>
    /// The group whose memory is to be compared with the smallest limit: the owner's own, unless one below it has that limit. A pod's own group
    /// has one only where all of its containers have.
    /// </summary>
    private static string? Limited(string? own, string? limiting) =>
        own is not null && limiting?.StartsWith(own + "/", StringComparison.Ordinal) == true ? limiting : own;

    /// <summary>Which versions there are: "2", "1", "1 and 2", or empty.</summary>
    public string Versions => (UnifiedRoot(), Directory.Exists(root + "/memory") || Directory.Exists(root + "/cpu")) switch
    {
        ({ }, true) => "1 and 2",
        ({ }, false) => "2",
        (null, true) => "1",
        _ => "",
    };

    /// <summary>In a container a path of its host leads out of what is mounted there: what is mounted may be the host's own root.</summary>
    private static string Inside(string path)
    {
        while (path.StartsWith("/..", StringComparison.Ordinal))
        {
            path = path[3..];
        }

        return path == "/" ? "" : path;
    }

    private string? UnifiedRoot() =>
        File.Exists(root + "/cgroup.controllers") ? root
        : File.Exists(root + "/unified/cgroup.controllers") ? root + "/unified"
        : null;

    /// <summary>Where a hierarchy of version 1 is mounted, and a process's path in it.</summary>
    private Place? PlaceOf(string controller, ProcessCgroup.Membership[] memberships)
    {
        if (ProcessCgroup.Of(controller, memberships) is not { IsSome: true, Value: var membership })
        {
            return null;
        }

        var mount = new[] { membership.Controllers, controller }.Select(name => $"{root}/{name}").FirstOrDefault(Directory.Exists);
        return mount is null ? null : new Place(mount, Inside(membership.Path));
    }

    /// <summary>The directory of the owner in a hierarchy of version 1; null where the owner has none there.</summary>
    private string? Own(string controller, ProcessCgroup.Membership[] memberships, Belonging belonging)
    {
        if (belonging.Component.Length == 0 || PlaceOf(controller, memberships) is not { } place)
        {
            return null;
        }

        var level = BelongingModule.Level(belonging, place.Path);
        return level.EndsWith('/' + belonging.Component, StringComparison.Ordinal) ? place.Root + level : null;
    }

    /// <summary>A group's directory and those above it.</summary>
    private static IEnumerable<string> Chain(Place? place)
    {
        if (place is null)
        {
            yield break;
        }

        for (var path = place.Path; path.Length > 0; path = path[..path.LastIndexOf('/')])
        {
            yield return place.Root + path;
        }

        yield return place.Root;
    }

    private static (double? Cpus, string? Directory) Smallest(IEnumerable<(string Directory, FSharpValueOption<double> Quota)> quotas)
    {
        (double? Cpus, string? Directory) smallest = (null, null);

        foreach (var (directory, quota) in quotas)
        {
            if (quota.IsSome && (smallest.Cpus is not { } known || quota.Value < known))
            {
                smallest = (quota.Value, directory);
            }
        }

        return smallest;
    }

    private static double? Least(params ReadOnlySpan<double?> limits)
    {
        double? least = null;

        foreach (var limit in limits)
        {
            least = limit is { } known && !(known >= least) ? known : least;
        }

        return least;
    }

    private FSharpValueOption<double> QuotaOf(string directory) =>
        CgroupCpu.ParseQuota(Text(directory + "/cpu.cfs_quota_us"), Text(directory + "/cpu.cfs_period_us"))
            .Match(static quota => quota, static _ => FSharpValueOption<double>.None);

    private SysText Text(string path) => new(path, files.Read(
        path, static text => FSharpResult<ReadOnlyMemory<byte>, ParseError>.NewOk(text.ToArray())));

    private FSharpValueOption<T> Value<T>(string path, NamedParser<FSharpValueOption<T>> parse) =>
        files.Read(path, text => parse(path, text)).Match(static value => value, static _ => FSharpValueOption<T>.None);

    private static string? FirstThere(params ReadOnlySpan<string> paths)
    {
        foreach (var path in paths)
        {
            // Without a directory before it the path is one of the root, where no such file is.
            if (path.LastIndexOf('/') > 0 && File.Exists(path))
            {
                return path;
            }
        }

        return null;
    }

    private sealed record Place(string Root, string Path);
}

/// <summary>A parser that is told where its text comes from.</summary>
internal delegate FSharpResult<T, ParseError> NamedParser<T>(string source, ReadOnlySpan<byte> text);

/// <summary>The files of one job's control groups.</summary>
internal sealed class JobCgroup : IDisposable
{
    private readonly double? cpuLimit;
    private readonly ulong? memoryLimit;
    private readonly Figure? cpuStat;
    private readonly Figure? memory;
    private readonly Figure? kills;
    private readonly Figure? memoryStat;
    private readonly Figure? ioStat;
    private readonly Figure? serviceBytes;
    private readonly Figure? cpuPressure;
    private readonly Figure? ioPressure;
    private readonly Figure? memoryPressure;

    /// <summary>Limits that were found, and paths; null for what there is none of.</summary>
    public JobCgroup(
        SmallFiles files,
        double? cpuLimit,
        ulong? memoryLimit,
        string? cpuStat,
        string? memory,
        string? kills,
        string? memoryStat,
        string? ioStat,
        string? serviceBytes,
        string? cpuPressure,
        string? ioPressure,
        string? memoryPressure)
    {
        this.cpuLimit = cpuLimit;
        this.memoryLimit = memoryLimit;
        this.cpuStat = Of(cpuStat);
        this.memory = Of(memory);
        this.kills = Of(kills);
        this.memoryStat = Of(memoryStat);
        this.ioStat = Of(ioStat);
        this.serviceBytes = Of(serviceBytes);
        this.cpuPressure = Of(cpuPressure);
        this.ioPressure = Of(ioPressure);
        this.memoryPressure = Of(memoryPressure);

        Figure? Of(string? path) => path is null ? null : new Figure(path, new KeptFile(path, files));
    }

    /// <summary>True where they tell what the job reads and writes.</summary>
    public bool TellsIo => ioStat is not null || serviceBytes is not null;

    /// <summary>What they say now. A file that does not read as it should is told.</summary>
    public CgroupCounters Read(List<SourceError> faults)
    {
        var devices = Value(ioStat, CgroupIo.ParseStat, faults);
        devices = devices.IsSome ? devices : Value(serviceBytes, CgroupIo.ParseServiceBytes, faults);

        return new CgroupCounters(
            cpuLimit: cpuLimit is { } cpus ? FSharpValueOption<double>.NewValueSome(cpus) : FSharpValueOption<double>.None,
            cpu: Value(cpuStat, CgroupCpu.ParseStat, faults),
            memory: Value(memory, CgroupMemory.ParseUsage, faults),
            memoryLimit: memoryLimit is { } bytes ? FSharpValueOption<ulong>.NewValueSome(bytes) : FSharpValueOption<ulong>.None,
            kills: Value(kills, CgroupMemory.ParseKills, faults) is { IsSome: true, Value: var count } ? count : FSharpValueOption<ulong>.None,
            refaulted: Value(memoryStat, CgroupMemory.ParseRefaults, faults) is { IsSome: true, Value: { IsSome: true, Value: var pages } }
                ? FSharpValueOption<ulong>.NewValueSome(unchecked(pages * (ulong)Environment.SystemPageSize))
                : FSharpValueOption<ulong>.None,
            io: devices.IsSome
                ? FSharpValueOption<CgroupIo.DeviceBytes[]>.NewValueSome(devices.Value.Value)
                : FSharpValueOption<CgroupIo.DeviceBytes[]>.None,
            cpuPressure: Value(cpuPressure, Pressure.Parse, faults),
            ioPressure: Value(ioPressure, Pressure.Parse, faults),
            memoryPressure: Value(memoryPressure, Pressure.Parse, faults));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var figure in (Figure?[])[cpuStat, memory, kills, memoryStat, ioStat, serviceBytes, cpuPressure, ioPressure, memoryPressure])
        {
            figure?.File.Dispose();
        }
    }

    private static FSharpValueOption<T> Value<T>(Figure? figure, NamedParser<T> parse, List<SourceError> faults)
    {
        if (figure is null)
        {
            return FSharpValueOption<T>.None;
        }

        var read = figure.File.Read(text => parse(figure.Path, text));

        if (read.IsOk)
        {
            return FSharpValueOption<T>.NewValueSome(read.ResultValue);
        }

        if (!read.ErrorValue.IsAbsent)
        {
            faults.Add(read.ErrorValue);
        }

        return FSharpValueOption<T>.None;
    }

    private sealed record Figure(string Path, KeptFile File);
}
