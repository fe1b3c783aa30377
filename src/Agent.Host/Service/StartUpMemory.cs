using System.Runtime.InteropServices;

namespace Agent.Host.Service;

/// <summary>Gives back the memory that only the start of the program needed. See docs/adr/0012-small-memory.md.</summary>
internal static unsafe partial class StartUpMemory
{
    /// <summary>PT_LOAD of elf(5).</summary>
    private const uint Loadable = 1;

    /// <summary>PF_R of elf(5), without PF_W and PF_X.</summary>
    private const uint ReadOnly = 4;

    /// <summary>MADV_DONTNEED of madvise(2).</summary>
    private const int NotNeeded = 4;

    /// <summary>
    /// Compacts the heap, whose first megabytes the reading of the command line has filled, and forgets the constant data of
    /// the executable, most of which is looked at once. What is needed of that again is mapped again.
    /// </summary>
    public static void GiveBack()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        _ = IteratePrograms(&ForgetConstants, 0);
    }

    /// <summary>Looks at the first entry, which is the executable itself, and ends the iteration.</summary>
    [UnmanagedCallersOnly]
    private static int ForgetConstants(ProgramInfo* program, nuint size, nint context)
    {
        var page = (ulong)Environment.SystemPageSize;

        foreach (ref readonly var segment in new ReadOnlySpan<Segment>(program->Segments, program->Count))
        {
            // Whole pages inside the segment. What the loader changes lies in writable ones.
            var first = (program->Base + segment.Address + page - 1) & ~(page - 1);
            var past = (program->Base + segment.Address + segment.Size) & ~(page - 1);

            if (segment is { Type: Loadable, Flags: ReadOnly } && first < past)
            {
                _ = Advise(first, past - first, NotNeeded);
            }
        }

        return 1;
    }

    [LibraryImport("libc", EntryPoint = "dl_iterate_phdr")]
    private static partial int IteratePrograms(delegate* unmanaged<ProgramInfo*, nuint, nint, int> callback, nint context);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(ulong address, ulong length, int advice);

    /// <summary>The beginning of dl_phdr_info of dl_iterate_phdr(3).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct ProgramInfo
    {
        public readonly ulong Base;
        public readonly byte* Name;
        public readonly Segment* Segments;
        public readonly ushort Count;
    }

    /// <summary>Elf64_Phdr of elf(5).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Segment
    {
        public readonly uint Type;
        public readonly uint Flags;
        public readonly ulong Offset;
        public readonly ulong Address;
        public readonly ulong PhysicalAddress;
        public readonly ulong FileSize;
        public readonly ulong Size;
        public readonly ulong Alignment;
    }
}
