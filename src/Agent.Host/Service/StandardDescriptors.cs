using System.Runtime.InteropServices;
using System.Text;

namespace Agent.Host.Service;

/// <summary>
/// Descriptors 0 to 2 of a program that was started with some of them closed: whatever is opened next gets their numbers, be it a
/// socket or the spool, and then receives what the program has to say.
/// </summary>
internal static partial class StandardDescriptors
{
    private const int Highest = 2;

    /// <summary>F_GETFD and FD_CLOEXEC of fcntl(2).</summary>
    private const int GetFlags = 1;
    private const int CloseOnExec = 1;

    /// <summary>O_RDWR of open(2).</summary>
    private const int ReadWrite = 2;

    /// <summary>
    /// Where one of them is closed, or was when the program began and has been given to something else since, the program is
    /// started anew in its own place with /dev/null there. What was handed over at the start is never marked to be closed at
    /// the next, and what the runtime opens always is: so the two are told apart. Returns where all are in order, which
    /// costs three system calls, and where nothing can be done.
    /// </summary>
    public static void Ensure()
    {
        var isMended = false;

        for (var descriptor = 0; descriptor <= Highest; descriptor++)
        {
            var flags = Control(descriptor, GetFlags);

            if (flags >= 0 && (flags & CloseOnExec) == 0)
            {
                continue;
            }

            var nothing = Open("/dev/null", ReadWrite);

            if (nothing < 0 || (nothing != descriptor && Duplicate(nothing, descriptor) < 0))
            {
                return;
            }

            if (nothing > Highest)
            {
                _ = Close(nothing);
            }

            isMended = true;
        }

        if (isMended)
        {
            StartAnew();
        }
    }

    private static unsafe void StartAnew()
    {
        var words = Encoding.UTF8.GetString(File.ReadAllBytes("/proc/self/cmdline")).TrimEnd('\0').Split('\0');
        var texts = words.Select(static word => Marshal.StringToCoTaskMemUTF8(word)).Append(0).ToArray();

        fixed (nint* arguments = texts)
        {
            // The environment goes along. Where this fails, the program goes on with what has been mended.
            _ = Execute("/proc/self/exe", (byte**)arguments);
        }
    }

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int descriptor, int command);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate(int from, int to);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "execv", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int Execute(string path, byte** arguments);
}
