using System.Runtime.InteropServices;

namespace Agent.Shell;

/// <summary>
/// Turns Ctrl-C, SIGTERM and SIGHUP, which a terminal sends as it closes, into two steps: stop in good order, and on a second signal stop at once.
/// A SIGHUP that is ignored from the start stays so (nohup). SIGUSR1 is for letting go of the GPUs and taking them up again.
/// </summary>
internal sealed class Signals : IDisposable
{
    /// <summary>SIGUSR1 of signal(7), on x64 and arm64, for which the class library has no name.</summary>
    private const PosixSignal User1 = (PosixSignal)10;

    /// <summary>SIGXFSZ of signal(7), likewise.</summary>
    private const PosixSignal FileSizeLimit = (PosixSignal)25;

    private readonly CancellationTokenSource orderly = new();
    private readonly CancellationTokenSource atOnce = new();
    private readonly PosixSignalRegistration[] registrations;

    /// <summary>Listens from here on.</summary>
    public Signals() =>
        registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal),
            PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal),
            PosixSignalRegistration.Create(PosixSignal.SIGQUIT, OnSignal),
            PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal),
            // A file that may grow no further (RLIMIT_FSIZE) is then one that cannot be written: EFBIG. The signal would end the program.
            PosixSignalRegistration.Create(FileSizeLimit, static context => context.Cancel = true),
            PosixSignalRegistration.Create(User1, context =>
            {
                context.Cancel = true;
                OnUser1?.Invoke();
            }),
        ];

    /// <summary>Keeps SIGUSR1 from ending the program where nobody listens to it: before the sampling has begun, and in what samples nothing.</summary>
    public static IDisposable IgnoreUser1() => PosixSignalRegistration.Create(User1, static context => context.Cancel = true);

    /// <summary>Is called at each SIGUSR1, on a thread of the pool.</summary>
    public Action? OnUser1 { get; set; }

    /// <summary>Set by the first signal.</summary>
    public CancellationToken Orderly => orderly.Token;

    /// <summary>Set by the second signal.</summary>
    public CancellationToken AtOnce => atOnce.Token;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var registration in registrations)
        {
            registration.Dispose();
        }
    }

    private void OnSignal(PosixSignalContext context)
    {
        // Without this the runtime would end the process.
        context.Cancel = true;

        if (orderly.IsCancellationRequested)
        {
            atOnce.Cancel();
        }
        else
        {
            orderly.Cancel();
        }
    }
}
