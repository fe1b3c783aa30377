using Agent.Core;
using Agent.Core.Jobs;
using Agent.Core.Proc;
using Agent.Core.Sys;

namespace Agent.Host.Reading.Jobs;

/// <summary>The counters of mounts whose data another machine holds: NFS and Lustre. Where there are none it is looked once a minute.</summary>
/// <param name="procfs">Where /proc is.</param>
/// <param name="sysfs">Where /sys is.</param>
/// <param name="now">The monotonic clock.</param>
internal sealed class NetworkStorageFiles(string procfs, string sysfs, Func<TimeSpan> now)
{
    private static readonly TimeSpan LookAgain = TimeSpan.FromMinutes(1);

    private readonly ReadBuffer buffer = new();
    private TimeSpan? lookedAt;
    private bool hasNfs;
    private (string Stats, string MountPoint)[] lustre = [];

    /// <summary>All of them; faults are added.</summary>
    public NetworkMountCounters[] Read(List<SourceError> faults)
    {
        var looks = lookedAt is null || now() - lookedAt > LookAgain;

        if (looks)
        {
            lookedAt = now();
            lustre = [.. FindLustre()];
        }

        NetworkMountCounters[] nfs = looks || hasNfs ? ReadNfs(faults) : [];
        hasNfs = nfs.Length > 0;
        return [.. nfs, .. ReadLustre(faults)];
    }

    private NetworkMountCounters[] ReadNfs(List<SourceError> faults) =>
        KernelFiles.ReadOnce(Source(), buffer, MountStats.Parse).Match(
            read =>
            {
                faults.AddRange(read.Faults.Select(SourceError.NewGarbled));
                return read.Value.Select(NetworkMountCounters.OfNfs).ToArray();
            },
            error =>
            {
                if (!error.IsAbsent)
                {
                    faults.Add(error);
                }

                return [];
            });

    /// <summary>Of a /proc that was bound into a container process 1 is the host's, where that may be read.</summary>
    private string Source()
    {
        var ofHost = Path.Join(procfs, "1/mountstats");
        var own = Path.Join(procfs, "self/mountstats");
        return procfs != "/proc" && !File.Exists(own) && File.Exists(ofHost) ? ofHost : own;
    }

    private IEnumerable<NetworkMountCounters> ReadLustre(List<SourceError> faults)
    {
        foreach (var (stats, mountPoint) in lustre)
        {
            var read = KernelFiles.ReadOnce(stats, buffer, text => Lustre.Parse(stats, text));

            if (read.IsOk)
            {
                yield return NetworkMountCounters.OfLustre(stats, mountPoint, read.ResultValue);
            }
            else if (!read.ErrorValue.IsAbsent)
            {
                faults.Add(read.ErrorValue);
            }
        }
    }

    private IEnumerable<(string Stats, string MountPoint)> FindLustre()
    {
        var directories = SysFiles.Directories(Path.Join(procfs, "fs/lustre/llite"))
            .Concat(SysFiles.Directories(Path.Join(sysfs, "kernel/debug/lustre/llite")))
            .ToArray();

        if (directories.Length == 0)
        {
            yield break;
        }

        var mounts = KernelFiles.ReadOnce(ProcPaths.Mounts(procfs), buffer, Mounts.Parse)
            .Match(static read => read.Value, static _ => []);
        string[] names = [.. directories.Select(static directory => Path.GetFileName(directory))];

        foreach (var directory in directories)
        {
            yield return (Path.Join(directory, "stats"), Lustre.MountPointOf(mounts, names, Path.GetFileName(directory)));
        }
    }
}
