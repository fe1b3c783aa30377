using System.Runtime.InteropServices;

namespace Agent.Host.Service;

/// <summary>
/// Watches over the thread that samples from a thread of its own. A read that does not return, as from a file system in user space
/// that is stuck (lxcfs under /proc), holds up every sample and the orderly end: it is said, and a signal ends the agent all the same.
/// </summary>
internal sealed partial class ReadingWatch : IDisposable
{
    /// <summary>A read that lasts so long is said not to return.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>After a signal a read that has lasted for so long is not waited for.</summary>
    public static readonly TimeSpan LastPatience = TimeSpan.FromSeconds(2);

    /// <summary>So often it is looked whether something is being read, and so often while something is.</summary>
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(1);

    /// <summary>SIGINT, SIGQUIT and SIGTERM of signal(7).</summary>
    private const ulong Ends = (1UL << 1) | (1UL << 2) | (1UL << 14);

    /// <summary>The size of sigset_t in words of 64 bits.</summary>
    private const int SetLength = 16;

    private readonly AgentClock clock;
    private readonly Log log;
    private readonly object gate = new();
    private readonly CancellationTokenRegistration registration;
    private volatile string? reading;
    private long steps;
    private bool isSignalled;
    private bool isOver;

    /// <summary>Watches from here on.</summary>
    /// <param name="clock">The monotonic clock.</param>
    /// <param name="log">Where to say it.</param>
    /// <param name="stop">Set by the signal that asks for the end.</param>
    /// <param name="end">Ends the process without the thread that samples. Called once, on the thread of the watch.</param>
    public ReadingWatch(AgentClock clock, Log log, CancellationToken stop, Action end)
    {
        this.clock = clock;
        this.log = log;
        registration = stop.Register(OnSignal);
        Threads.Start(() => Watch(end), 128 * 1024, "reading watch");
    }

    /// <summary>The thread that samples reads this from here on; null for nothing. At every file of every sample, so it costs next to nothing.</summary>
    public string? Reading
    {
        get => reading;
        set
        {
            reading = value;
            Volatile.Write(ref steps, steps + 1);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        registration.Dispose();

        lock (gate)
        {
            isOver = true;
            Monitor.PulseAll(gate);
        }
    }

    private void OnSignal()
    {
        lock (gate)
        {
            isSignalled = true;
            Monitor.PulseAll(gate);
        }
    }

    private void Watch(Action end)
    {
        HoldBack();
        var (seen, since) = (-1L, clock.Elapsed);
        string? told = null;

        while (true)
        {
            bool isEnding;

            lock (gate)
            {
                clock.Wait(gate, reading is null && !isSignalled ? Period : Soon);
                isEnding = isSignalled;

                if (isOver)
                {
                    return;
                }
            }

            var now = clock.Elapsed;
            var (step, what) = (Volatile.Read(ref steps), reading);

            if (step != seen)
            {
                (seen, since) = (step, now);

                if (told is not null)
                {
                    log.Info($"{told}: the read has returned, samples are taken again");
                    told = null;
                }
            }

            if (what is null)
            {
                continue;
            }

            if (told is null && now - since >= Patience)
            {
                told = what;
                log.Lost($"{what}: a read does not return; until it does there are no samples");
            }

            if (now - since >= LastPatience && (isEnding || IsSignalHeldBack()))
            {
                log.Lost($"{what}: a read does not return; the agent ends without waiting for it");
                end();
                return;
            }
        }
    }

    // The kernel gives a signal to the main thread, which is the one that samples, and leaves it there when that cannot take it. A thread
    // that has blocked a signal is told that it waits.
    private static void HoldBack()
    {
        Span<ulong> set = stackalloc ulong[SetLength];
        set.Clear();
        set[0] = Ends;
        _ = Mask(0, ref set[0], 0);
    }

    private static bool IsSignalHeldBack()
    {
        Span<ulong> set = stackalloc ulong[SetLength];
        set.Clear();
        return Pending(ref set[0]) == 0 && (set[0] & Ends) != 0;
    }

    [LibraryImport("libc", EntryPoint = "pthread_sigmask")]
    private static partial int Mask(int how, ref ulong set, nint before);

    [LibraryImport("libc", EntryPoint = "sigpending")]
    private static partial int Pending(ref ulong set);
}
