using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Agent.Host.Service;

/// <summary>Gives back the memory that only the start of the program needed. See docs/adr/0015-small-memory.md.</summary>
internal static unsafe partial class StartUpMemory
{
    /// <summary>PT_LOAD of elf(5).</summary>
    private const uint Loadable = 1;

    /// <summary>PF_R of elf(5), without PF_W and PF_X.</summary>
    private const uint ReadOnly = 4;

    /// <summary>PF_R and PF_X of elf(5).</summary>
    private const uint ReadOnlyCode = 5;

    /// <summary>A little more than the heap's own budget, so that a collection comes right away.</summary>
    private const int Budget = 800 * 1024;

    private const int Piece = 4000;

    /// <summary>MADV_DONTNEED of madvise(2).</summary>
    private const int NotNeeded = 4;

    /// <summary>Bit 61 of an entry of /proc/PID/pagemap: the page is the file's own. See proc_pid_pagemap(5).</summary>
    private const ulong OfTheFile = 1UL << 61;

    /// <summary>
    /// Compacts the heap, whose first megabytes the reading of the command line has filled, and forgets the code and the constant data of
    /// the executable, most of which is looked at once. What is needed of that again is mapped again.
    /// </summary>
    public static void GiveBack()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        ForgetFile();
        TouchBudget();
    }

    /// <summary>Forgets the code and the constant data of the executable that were looked at up to now.</summary>
    public static void ForgetFile() => _ = IteratePrograms(&ForgetProgram, 0);

    /// <summary>
    /// Has the kernel give the heap at once what it will grow by between two collections. One page after the other, as
    /// samples come, would cost each of them a fault or two.
    /// </summary>
    private static void TouchBudget()
    {
        for (var touched = 0; touched < Budget; touched += Piece)
        {
            GC.KeepAlive(new byte[Piece]);
        }
    }

    /// <summary>Looks at the first entry, which is the executable itself, and ends the iteration.</summary>
    [UnmanagedCallersOnly]
    private static int ForgetProgram(ProgramInfo* program, nuint size, nint context)
    {
        var page = (ulong)Environment.SystemPageSize;

        try
        {
            using var pages = File.OpenHandle("/proc/self/pagemap");

            foreach (ref readonly var segment in new ReadOnlySpan<Segment>(program->Segments, program->Count))
            {
                // Whole pages inside the segment. What the loader changes lies in writable ones.
                var first = (program->Base + segment.Address + page - 1) / page;
                var past = (program->Base + segment.Address + segment.Size) / page;

                if (segment is { Type: Loadable, Flags: ReadOnly or ReadOnlyCode } && first < past)
                {
                    ForgetPages(pages, first, past, page);
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Where the kernel does not tell which pages are the file's, all stay.
        }

        return 1;
    }

    /// <summary>
    /// Forgets runs of pages that are the file's own. The others have been written to: the runtime keeps the random value that
    /// guards its stacks in a page that it makes writable for as long as it takes to store it. The file has another value, and
    /// a method that was under way meanwhile would take the difference for an attack and end the process.
    /// </summary>
    private static void ForgetPages(SafeFileHandle pages, ulong first, ulong past, ulong page)
    {
        var entries = new ulong[past - first];
        var bytes = MemoryMarshal.AsBytes(entries.AsSpan());
        var known = RandomAccess.Read(pages, bytes, (long)(first * sizeof(ulong))) / sizeof(ulong);

        for (var at = 0; at < known; at++)
        {
            var begin = at;

            while (at < known && (entries[at] & OfTheFile) != 0)
            {
                at++;
            }

            if (at > begin)
            {
                _ = Advise((first + (ulong)begin) * page, (ulong)(at - begin) * page, NotNeeded);
            }
        }
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
