using System.Runtime.InteropServices;

namespace Agent.Shell;

/// <summary>What statx(2) says of a file: whose it is, what it is, and who may write to it.</summary>
/// <param name="Owner">The user's number.</param>
/// <param name="Mode">Type and permissions, as in struct stat.</param>
/// <param name="Links">The number of its names.</param>
/// <param name="Group">The group's number.</param>
internal readonly partial record struct FileStatus(uint Owner, uint Mode, uint Links, uint Group)
{
    private const int CurrentDirectory = -100;

    /// <summary>AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW.</summary>
    private const int EmptyPath = 0x1000;
    private const int NoFollow = 0x100;

    /// <summary>STATX_BASIC_STATS.</summary>
    private const uint Basic = 0x7ff;

    /// <summary>The size of struct statx, and where its fields stand.</summary>
    private const int Size = 256;
    private const int LinksAt = 16;
    private const int OwnerAt = 20;
    private const int GroupAt = 24;
    private const int ModeAt = 28;

    private const uint TypeMask = 0xF000;
    private const uint RegularType = 0x8000;
    private const uint DirectoryType = 0x4000;
    private const uint LinkType = 0xA000;
    private const uint Sticky = 0x200;
    private const uint GroupWrite = 0x10;
    private const uint OthersWrite = 0x2;

    /// <summary>The effective user of this process.</summary>
    public static uint CurrentUser => EffectiveUser();

    /// <summary>True for an ordinary file.</summary>
    public bool IsRegular => (Mode & TypeMask) == RegularType;

    /// <summary>True for a directory.</summary>
    public bool IsDirectory => (Mode & TypeMask) == DirectoryType;

    /// <summary>True for a symbolic link that was not followed, whose permissions say nothing.</summary>
    public bool IsLink => (Mode & TypeMask) == LinkType;

    /// <summary>True where anybody may write; in a directory with the sticky bit nobody can replace what is another's.</summary>
    public bool IsOpenToAll => (Mode & OthersWrite) != 0 && !(IsDirectory && (Mode & Sticky) != 0);

    /// <summary>The same for the members of its group.</summary>
    public bool IsOpenToGroup => (Mode & GroupWrite) != 0 && !(IsDirectory && (Mode & Sticky) != 0);

    /// <summary>Of what a path names, links followed unless told otherwise; null where there is none, or the system cannot tell.</summary>
    public static FileStatus? Of(string path, bool follow = true) => Ask(CurrentDirectory, path, follow ? 0 : NoFollow);

    /// <summary>Of an open file; null where the system cannot tell.</summary>
    public static FileStatus? Of(SafeHandle file) => Ask((int)file.DangerousGetHandle(), "", EmptyPath);

    private static FileStatus? Ask(int directory, string path, int flags)
    {
        Span<byte> answer = stackalloc byte[Size];

        try
        {
            return Statx(directory, path, flags, Basic, ref answer[0]) == 0
                ? new FileStatus(
                    MemoryMarshal.Read<uint>(answer[OwnerAt..]),
                    MemoryMarshal.Read<ushort>(answer[ModeAt..]),
                    MemoryMarshal.Read<uint>(answer[LinksAt..]),
                    MemoryMarshal.Read<uint>(answer[GroupAt..]))
                : null;
        }
        catch (EntryPointNotFoundException)
        {
            // Before version 2.28 of the C library.
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint wanted, ref byte answer);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint EffectiveUser();
}
