using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Agent.Shell;

/// <summary>A file is there that is not taken for what it is.</summary>
/// <param name="message">Which, and why.</param>
internal sealed class RefusedFileException(string message) : IOException(message);

/// <summary>Files and directories that only their owner may read.</summary>
internal static partial class PrivateFiles
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private const string Foreign = "belongs to another user, who could read it or choose what is sent; remove it or run as that user";

    private const string HardLinked = "has other names (hard links), by which somebody else could read or change it; remove them";

    // open(2).
    private const int Create = 0x40;
    private const int Exclusive = 0x80;
    private const int AtEnd = 0x400;
    private const int NonBlocking = 0x800;
    private const int CloseOnExec = 0x80000;
    private const int NoFollow = 0x20000;
    private const int NoFollowArm = 0x8000;

    // errno(3).
    private const int NotThere = 2;
    private const int Interrupted = 4;
    private const int NoReader = 6;
    private const int NoPermission = 13;
    private const int NotAllowed = 1;
    private const int TooManyLinks = 40;

    /// <summary>LOCK_EX and LOCK_NB of flock(2).</summary>
    private const int ExclusiveAtOnce = 6;

    /// <summary>LOCK_SH and LOCK_NB.</summary>
    private const int SharedAtOnce = 5;

    /// <summary>Makes the directory and those above it, unless they are there.</summary>
    public static void MakeDirectory(string path)
    {
        if (Directory.Exists(path))
        {
            return;
        }

        if (File.Exists(path))
        {
            throw new IOException($"\"{path}\" is a file; name a directory");
        }

        if (Path.GetDirectoryName(path) is { Length: > 0 } parent)
        {
            // .NET would give the mode to the last one alone.
            MakeDirectory(parent);
        }

        try
        {
            Directory.CreateDirectory(path, OwnerOnly | UnixFileMode.UserExecute);
        }
        catch (Exception fault) when (IsFault(fault))
        {
            throw new IOException($"\"{path}\" cannot be made, {FaultReason.Of(fault)}; name another directory, or make it for this user", fault);
        }
    }

    /// <summary>
    /// Opens a file without a buffer of its own; what is created is private. A link in its place is not followed, and what is no
    /// ordinary file or another user's is refused: somebody else could read or choose what is written and sent.
    /// </summary>
    /// <exception cref="IOException">It cannot be opened, or is refused.</exception>
    /// <exception cref="UnauthorizedAccessException">The permission is missing.</exception>
    public static FileStream Open(string path, FileMode mode, FileAccess access)
    {
        // A pipe in the place of the file must not be waited for.
        var flags = CloseOnExec
            | NonBlocking
            | (RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm ? NoFollowArm : NoFollow)
            | access switch { FileAccess.Read => 0, FileAccess.Write => 1, _ => 2 }
            | mode switch
            {
                FileMode.CreateNew => Create | Exclusive,
                FileMode.OpenOrCreate => Create,
                FileMode.Append => Create | AtEnd,
                _ => 0,
            };

        int descriptor;

        do
        {
            descriptor = Open(path, flags, (int)OwnerOnly);
        }
        while (descriptor < 0 && Marshal.GetLastPInvokeError() == Interrupted);

        if (descriptor < 0)
        {
            throw Failure(path, Marshal.GetLastPInvokeError());
        }

        var handle = new SafeFileHandle(descriptor, ownsHandle: true);

        if (Refusal(FileStatus.Of(handle)) is { Length: > 0 } reason)
        {
            handle.Dispose();
            throw new RefusedFileException($"\"{path}\" {reason}");
        }

        return new FileStream(handle, access, bufferSize: 0);
    }

    /// <summary>Refuses a directory that is another user's, or that a link leads to.</summary>
    /// <exception cref="IOException">It is refused.</exception>
    public static void CheckDirectory(string path)
    {
        if (FileStatus.Of(path, follow: false) is { } status
            && (!status.IsDirectory ? "is a link or not a directory; use a directory that belongs to the agent"
                : status.Owner != FileStatus.CurrentUser ? Foreign
                : "") is { Length: > 0 } reason)
        {
            throw new RefusedFileException($"\"{path}\" {reason}");
        }
    }

    /// <summary>Locks the file until the result is disposed of or the process ends; null when another one has it.</summary>
    public static FileStream? TryLock(string path)
    {
        var file = Open(path, FileMode.OpenOrCreate, FileAccess.ReadWrite);

        if (Lock((int)file.SafeFileHandle.DangerousGetHandle(), ExclusiveAtOnce) == 0)
        {
            return file;
        }

        file.Dispose();
        return null;
    }

    /// <summary>
    /// The contents of a file that another process has locked; null where none has, and where the file is not there or not for this user.
    /// </summary>
    public static string? LockedText(string path)
    {
        var descriptor = Open(path, CloseOnExec, 0);

        if (descriptor < 0)
        {
            return null;
        }

        using var handle = new SafeFileHandle(descriptor, ownsHandle: true);

        if (Lock(descriptor, SharedAtOnce) == 0)
        {
            return null;
        }

        Span<byte> text = stackalloc byte[1024];
        return Encoding.UTF8.GetString(text[..RandomAccess.Read(handle, text, 0)]);
    }

    /// <summary>
    /// Waits until the data of a file, or the entries of a directory, are on the disk. True when they are, or when there
    /// is no such file any more.
    /// </summary>
    public static bool Sync(string path)
    {
        var descriptor = Open(path, CloseOnExec, 0);

        if (descriptor < 0)
        {
            return !Path.Exists(path);
        }

        var result = SyncData(descriptor);
        _ = Close(descriptor);
        return result == 0;
    }

    /// <summary>
    /// True for what a disk or a file system may do to any call; everything else is a defect. The last is what the class library makes of EFBIG, a
    /// file that may grow no further.
    /// </summary>
    public static bool IsFault(Exception error) =>
        error is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException { ParamName: "value" };

    private static string Refusal(FileStatus? status) =>
        status is not { } known ? ""
        : !known.IsRegular ? "is not a regular file"
        : known.Owner != FileStatus.CurrentUser ? Foreign
        : known.Links > 1 ? HardLinked
        : "";

    private static Exception Failure(string path, int error)
    {
        var reason = Marshal.GetPInvokeErrorMessage(error);

        return error switch
        {
            NotThere => new FileNotFoundException($"Could not find file '{path}'.", path),
            NoPermission or NotAllowed => new UnauthorizedAccessException($"Access to the path '{path}' is denied."),
            // Of a pipe that nobody reads from.
            NoReader => new RefusedFileException($"\"{path}\" is not a regular file"),
            TooManyLinks => new RefusedFileException($"\"{path}\" is a link, which the spool does not follow"),
            _ => new IOException($"{reason} : '{path}'", error),
        };
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags, int mode);

    [LibraryImport("libc", EntryPoint = "flock")]
    private static partial int Lock(int descriptor, int operation);

    [LibraryImport("libc", EntryPoint = "fdatasync")]
    private static partial int SyncData(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
