using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Shell;

/// <summary>
/// Descriptors 0 to 2 of a program that was started with some of them closed: whatever is opened next gets their numbers, be it a
/// socket, the spool or the database, and then receives what the program has to say.
/// </summary>
internal static partial class StandardDescriptors
{
    private const int Highest = 2;

    /// <summary>F_GETFD, F_SETFD and FD_CLOEXEC of fcntl(2), and F_DUPFD_CLOEXEC, which takes the first free number from its argument on.</summary>
    private const int GetFlags = 1;
    private const int SetFlags = 2;
    private const int CloseOnExec = 1;
    private const int DuplicateFrom = 1030;

    /// <summary>O_RDWR of open(2).</summary>
    private const int ReadWrite = 2;

    /// <summary>
    /// Where one of them is closed, or was when the program began and has been given to something else since, the program is
    /// started again in its own place with /dev/null there. What was handed over at the start is never marked to be closed at
    /// the next, and what the runtime opens always is: so the two are told apart. Returns where all are in order, which
    /// costs three system calls, and where nothing can be done.
    /// </summary>
    public static unsafe void Ensure()
    {
        if (IsInOrder(0) && IsInOrder(1) && IsInOrder(2))
        {
            return;
        }

        var words = Encoding.UTF8.GetString(File.ReadAllBytes("/proc/self/cmdline")).TrimEnd('\0').Split('\0');
        var texts = words.Select(static word => Marshal.StringToCoTaskMemUTF8(word)).Append(0).ToArray();
        var kept = stackalloc int[Highest + 1];
        var isMended = true;

        fixed (nint* arguments = texts)
        {
            // The runtime may have its source of random numbers there, and waits for ever for one from /dev/null: up to the new
            // start nothing is done that it could need one for.
            for (var descriptor = 0; descriptor <= Highest; descriptor++)
            {
                kept[descriptor] = -1;

                if (!IsInOrder(descriptor))
                {
                    kept[descriptor] = Control(descriptor, DuplicateFrom, Highest + 1);
                    isMended &= OpenOnNothing(descriptor);
                }
            }

            if (isMended)
            {
                // The environment goes along.
                _ = Execute("/proc/self/exe", (byte**)arguments);
            }
        }

        // No new start: what was free stays on /dev/null, and the runtime has its own back.
        for (var descriptor = 0; descriptor <= Highest; descriptor++)
        {
            if (kept[descriptor] >= 0)
            {
                _ = Duplicate(kept[descriptor], descriptor);
                _ = Control(descriptor, SetFlags, CloseOnExec);
                _ = Close(kept[descriptor]);
            }
        }
    }

    private static bool IsInOrder(int descriptor)
    {
        var flags = Control(descriptor, GetFlags, 0);
        return flags >= 0 && (flags & CloseOnExec) == 0;
    }

    private static bool OpenOnNothing(int descriptor)
    {
        var nothing = Open("/dev/null", ReadWrite);

        if (nothing < 0 || nothing == descriptor)
        {
            return nothing >= 0;
        }

        var isThere = Duplicate(nothing, descriptor) >= 0;
        _ = Close(nothing);
        return isThere;
    }

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command, int argument);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate(int from, int to);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "execv", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int Execute(string path, byte** arguments);
}
