using System.Runtime.InteropServices;

namespace Agent.Shell;

/// <summary>
/// The signals of a program whose parent had some of them blocked, or SIGCHLD ignored, and did not think of it before execve(2), which
/// both survive; see signal(7). The end of a child would then not be seen, nor SIGTERM. What else is ignored stays so, as SIGHUP under nohup(1).
/// </summary>
internal static unsafe partial class StandardSignals
{
    /// <summary>SIGCHLD of signal(7), on x64 and arm64.</summary>
    private const int ChildEnded = 17;

    /// <summary>SIG_DFL and SIG_IGN of signal(2), in the place of a handler.</summary>
    private const nint Default = 0;
    private const nint Ignored = 1;

    /// <summary>SIG_UNBLOCK of pthread_sigmask(3).</summary>
    private const int Unblock = 1;

    /// <summary>A sigset_t has 1024 bits.</summary>
    private const int SetWords = 16;

    /// <summary>For the first thread, before there are others: they have from it what is blocked.</summary>
    public static void Ensure()
    {
        // A handler is the runtime's own.
        if (Handle(ChildEnded, Default) is var before and not (Default or Ignored))
        {
            _ = Handle(ChildEnded, before);
        }

        var all = stackalloc ulong[SetWords];

        if (Fill(all) == 0)
        {
            _ = Mask(Unblock, all, null);
        }
    }

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint Handle(int signal, nint handler);

    [LibraryImport("libc", EntryPoint = "sigfillset")]
    private static partial int Fill(ulong* set);

    [LibraryImport("libc", EntryPoint = "pthread_sigmask")]
    private static partial int Mask(int how, ulong* set, ulong* before);
}
