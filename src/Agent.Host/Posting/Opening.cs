using System.Net.Http;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;

namespace Agent.Host.Posting;

/// <summary>
/// Opens a connection on a thread of its own: a look-up of a name cannot be broken off, but whoever needs the connection can
/// stop waiting for it, and wait for it again later.
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

    /// <summary>Begins to open a connection.</summary>
    public static Opening Begin(Uri endpoint, SslClientAuthenticationOptions? tls)
    {
        var opening = new Opening(endpoint, tls);

        try
        {
            new Thread(opening.Open, StackSize) { IsBackground = true, Name = "connecting" }.Start();
        }
        catch (OutOfMemoryException error)
        {
            // So it is told that there is no thread to be had.
            throw new HttpRequestException("this machine permits no more threads", error);
        }

        return opening;
    }

    /// <summary>True once there is a failure.</summary>
    public bool HasFailed
    {
        get
        {
            lock (gate)
            {
                return failure is not null;
            }
        }
    }

    /// <summary>
    /// Waits for the connection, or the exception that there was instead. When the token is set the waiting ends, and not what is
    /// waited for.
    /// </summary>
    public Connection Result(CancellationToken stop)
    {
        using var end = stop.UnsafeRegister(static opening => ((Opening)opening!).Wake(), this);

        lock (gate)
        {
            while (opened is null && failure is null && !stop.IsCancellationRequested)
            {
                Monitor.Wait(gate);
            }

            // What there is stays for the next who asks.
            stop.ThrowIfCancellationRequested();
            failure?.Throw();
            return opened!;
        }
    }

    /// <summary>
    /// Gives it up; false while a name is being looked up, which goes on for as long as it takes, so that another look-up would
    /// only be another thread that waits.
    /// </summary>
    public bool TryAbandon()
    {
        Socket? begun;
        Connection? connection;

        lock (gate)
        {
            if (socket is null && opened is null && failure is null)
            {
                return false;
            }

            isAbandoned = true;
            (begun, connection) = (socket, opened);
        }

        connection?.Dispose();
        begun?.Dispose();
        return true;
    }

    private void Wake()
    {
        lock (gate)
        {
            Monitor.PulseAll(gate);
        }
    }

    private void Open()
    {
        try
        {
            Finish(Connection.Open(endpoint, tls, begun =>
            {
                lock (gate)
                {
                    socket = begun;
                }
            }), null);
        }
        catch (Exception error)
        {
            Finish(null, ExceptionDispatchInfo.Capture(error));
        }
    }

    private void Finish(Connection? connection, ExceptionDispatchInfo? error)
    {
        lock (gate)
        {
            if (!isAbandoned)
            {
                (opened, failure) = (connection, error);
                Monitor.PulseAll(gate);
                return;
            }
        }

        connection?.Dispose();
    }
}
