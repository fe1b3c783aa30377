using System.Runtime.InteropServices;

namespace Agent.Host.Reading;

/// <summary>
/// Lists directories of the kernel. The class library also looks at each entry that is a link, which most of /sys and /proc/self/fd are.
/// </summary>
internal static partial class DirectoryEntries
{
    /// <summary>d_name of readdir(3)'s struct dirent, behind d_ino, d_off, d_reclen and d_type, where pointers have 64 bits.</summary>
    private const int NameOffset = 19;

    /// <summary>The paths of all entries, sorted; empty where the directory cannot be read.</summary>
    public static string[] In(string path)
    {
        var directory = Open(path);

        if (directory == 0)
        {
            return [];
        }

        var found = new List<string>();

        while (Next(directory) is var entry && entry != 0)
        {
            if (Marshal.PtrToStringUTF8(entry + NameOffset) is { } name and not ("." or ".."))
            {
                found.Add(Path.Join(path, name));
            }
        }

        _ = Close(directory);
        var paths = found.ToArray();
        Array.Sort(paths, StringComparer.Ordinal);
        return paths;
    }

    /// <summary>How many entries there are; 0 where the directory cannot be read.</summary>
    public static int Count(string path)
    {
        var directory = Open(path);

        if (directory == 0)
        {
            return 0;
        }

        // `.` and `..` are among them.
        var count = -2;

        while (Next(directory) != 0)
        {
            count++;
        }

        _ = Close(directory);
        return count;
    }

    [LibraryImport("libc", EntryPoint = "opendir", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint Open(string path);

    [LibraryImport("libc", EntryPoint = "readdir")]
    private static partial nint Next(nint directory);

    [LibraryImport("libc", EntryPoint = "closedir")]
    private static partial int Close(nint directory);
}
