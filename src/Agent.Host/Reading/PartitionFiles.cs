using Agent.Core;
using Agent.Core.Proc;

namespace Agent.Host.Reading;

/// <summary>Reads which file systems lie on disks and how full they are.</summary>
internal sealed class PartitionFiles(string procfs, string rootfs)
{
    private readonly ReadBuffer buffer = new();

    /// <summary>The file systems on disks, each with its use. May hang on a broken mount.</summary>
    public Partition[] Read()
    {
        var mounts =
            from types in KernelFiles.ReadOnce(Path.Join(procfs, "filesystems"), buffer, Filesystems.Parse)
            from all in KernelFiles.ReadOnce(ProcPaths.Mounts(procfs), buffer, Mounts.Parse)
            select Filesystems.OnDisk(types, all);

        return mounts.Match<Mounts.Mount[], SourceError, Partition[]>(
            found => [.. found.Select(PartitionOf).OfType<Partition>()],
            static _ => []);
    }

    private Partition? PartitionOf(Mounts.Mount mount)
    {
        try
        {
            var drive = new DriveInfo(rootfs == "/" ? mount.MountPoint : rootfs + mount.MountPoint);
            return SystemInfoModule.PartitionOf(
                mount, (ulong)drive.TotalSize, (ulong)drive.TotalFreeSpace, (ulong)drive.AvailableFreeSpace);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // Not visible from here, or gone since: it costs its own entry.
            return null;
        }
    }
}
