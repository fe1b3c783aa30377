using System.Runtime.InteropServices;

namespace Agent.Host.Buffering;

/// <summary>Files and directories that nobody else may read.</summary>
internal static partial class PrivateFiles
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>EWOULDBLOCK of flock(2), which .NET turns into an IOException with that code.</summary>
    private const int HeldByAnother = 11;

    /// <summary>O_CLOEXEC of open(2), with O_RDONLY, which is 0.</summary>
    private const int ReadOnlyCloseOnExec = 0x80000;

    /// <summary>Makes the directory and those above it, unless they are there.</summary>
    public static void MakeDirectory(string path)
    {
        if (Directory.Exists(path))
        {
            return;
        }

        if (Path.GetDirectoryName(path) is { Length: > 0 } parent)
        {
            // .NET would give the mode to the last one alone.
            MakeDirectory(parent);
        }

        Directory.CreateDirectory(path, OwnerOnly | UnixFileMode.UserExecute);
    }

    /// <summary>Opens a file without a buffer of its own; what is created is private.</summary>
    public static FileStream Open(string path, FileMode mode, FileAccess access, FileShare share = FileShare.ReadWrite | FileShare.Delete) =>
        new(path, new FileStreamOptions
        {
            Mode = mode,
            Access = access,
            Share = share,
            BufferSize = 0,
            UnixCreateMode = mode == FileMode.Open ? null : OwnerOnly,
        });

    /// <summary>Locks the file until the result is disposed of or the process ends; null when another one has it.</summary>
    public static FileStream? TryLock(string path)
    {
        try
        {
            return Open(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException error) when (error.HResult == HeldByAnother)
        {
            return null;
        }
    }

    /// <summary>
    /// Waits until the data of a file, or the entries of a directory, are on the disk. True when they are, or when there
    /// is no such file any more.
    /// </summary>
    public static bool Sync(string path)
    {
        var descriptor = OpenForSync(path, ReadOnlyCloseOnExec);

        if (descriptor < 0)
        {
            return !Path.Exists(path);
        }

        var result = SyncData(descriptor);
        _ = Close(descriptor);
        return result == 0;
    }

    /// <summary>True for what a disk or a file system may do to any call; everything else is a defect.</summary>
    public static bool IsFault(Exception error) => error is IOException or UnauthorizedAccessException;

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenForSync(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fdatasync")]
    private static partial int SyncData(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
