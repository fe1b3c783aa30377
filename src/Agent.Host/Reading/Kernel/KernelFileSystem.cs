using System.Runtime.InteropServices;

namespace Agent.Host.Reading;

/// <summary>What kind of file system a path lies on: statfs(2).</summary>
internal static partial class KernelFileSystem
{
    /// <summary>PROC_SUPER_MAGIC.</summary>
    private const long Proc = 0x9fa0;

    /// <summary>More than struct statfs has, in numbers of 64 bits; f_type is its first.</summary>
    private const int Length = 32;

    /// <summary>True for the kernel's own /proc, wherever it is mounted; false for a copy of one, and where there is nothing.</summary>
    public static bool IsProc(string path)
    {
        Span<long> answer = stackalloc long[Length];
        return Ask(path, ref answer[0]) == 0 && answer[0] == Proc;
    }

    [LibraryImport("libc", EntryPoint = "statfs", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Ask(string path, ref long answer);
}
