namespace Agent.Dashboard.Store;

/// <summary>How large a database is, and how much room its disk has.</summary>
internal static class DiskSpace
{
    /// <summary>The size of a file in bytes; 0 where there is none.</summary>
    public static long SizeOf(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? file.Length : 0;
    }

    /// <summary>How full the disk of a file is for this user, in per cent as df(1) counts; null where that is not known.</summary>
    public static double? UsedPercent(string path)
    {
        try
        {
            var drive = new DriveInfo(Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/");
            var used = drive.TotalSize - drive.TotalFreeSpace;
            var all = used + drive.AvailableFreeSpace;
            return all > 0 ? 100.0 * used / all : null;
        }
        catch (Exception unknown) when (unknown is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>What this user may still write to the disk of a file, in bytes; -1 where that is not known.</summary>
    public static long FreeFor(string path)
    {
        try
        {
            return new DriveInfo(Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/").AvailableFreeSpace;
        }
        catch (Exception unknown) when (unknown is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return -1;
        }
    }
}
