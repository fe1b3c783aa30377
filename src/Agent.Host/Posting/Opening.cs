using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;

namespace Agent.Host.Posting;

/// <summary>
/// Opens a connection on a thread of its own: a look-up of a name cannot be broken off, but whoever needs the connection can
/// stop waiting for it.
/// </summary>
internal sealed class Opening
{
    /// <summary>TLS builds chains of certificates on it; what is not used of it costs no memory.</summary>
    private const int StackSize = 1_000_000;

    private readonly object gate = new();
    private readonly Uri endpoint;
    private readonly SslClientAuthenticationOptions? tls;
    private Socket? socket;
    private Connection? opened;
    private ExceptionDispatchInfo? failure;
    private bool isAbandoned;

    private Opening(Uri endpoint, SslClientAuthenticationOptions? tls)
    {
        this.endpoint = endpoint;
        this.tls = tls;
    }

    /// <summary>An open connection, or the exception that there was instead; an end of waiting when the token is set.</summary>
    public static Connection Run(Uri endpoint, SslClientAuthenticationOptions? tls, CancellationToken stop)
    {
        var opening = new Opening(endpoint, tls);
        using var end = stop.UnsafeRegister(static opening => ((Opening)opening!).Abandon(), opening);
        new Thread(opening.Open, StackSize) { IsBackground = true, Name = "connecting" }.Start();
        return opening.Result(stop);
    }

    private Connection Result(CancellationToken stop)
    {
        lock (gate)
        {
            while (opened is null && failure is null && !isAbandoned)
            {
                Monitor.Wait(gate);
            }

            stop.ThrowIfCancellationRequested();
            failure?.Throw();
            return opened!;
        }
    }

    private void Open()
    {
        try
        {
            Finish(Connection.Open(endpoint, tls, Begin), null);
        }
        catch (Exception error)
        {
            Finish(null, ExceptionDispatchInfo.Capture(error));
        }
    }

    private void Begin(Socket begun)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(isAbandoned, begun);
            socket = begun;
        }
    }

    private void Finish(Connection? connection, ExceptionDispatchInfo? error)
    {
        lock (gate)
        {
            if (isAbandoned)
            {
                connection?.Dispose();
                return;
            }

            (opened, failure) = (connection, error);
            Monitor.PulseAll(gate);
        }
    }

    private void Abandon()
    {
        lock (gate)
        {
            // What is finished is for whoever waits.
            if (opened is null && failure is null)
            {
                isAbandoned = true;
                socket?.Dispose();
                Monitor.PulseAll(gate);
            }
        }
    }
}
