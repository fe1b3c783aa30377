using System.Runtime.InteropServices;

namespace Agent.Host.Service;

/// <summary>Turns Ctrl-C and SIGTERM into two steps: stop in good order, and on a second signal stop at once.</summary>
internal sealed class Signals : IDisposable
{
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
        ];

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
