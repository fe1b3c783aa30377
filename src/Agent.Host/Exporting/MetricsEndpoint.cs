using System.Net;
using System.Net.Sockets;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Exporting;

/// <summary>
/// Serves /metrics and /healthz from one thread of its own, which waits in the kernel while nobody asks. Everything a client
/// can do is bounded: connections, the length of a request, and the time for a request, an answer and a pause.
/// </summary>
internal sealed class MetricsEndpoint : IDisposable
{
    /// <summary>So many connections at once; for a further one, that which would end first goes.</summary>
    public const int MostConnections = 16;

    /// <summary>While the system has no descriptor to spare, connections are taken so often.</summary>
    private static readonly TimeSpan ScarcityPeriod = TimeSpan.FromSeconds(1);

    /// <summary>An answer takes less; whoever stops does not wait for longer.</summary>
    private static readonly TimeSpan LongestAnswer = TimeSpan.FromSeconds(2);

    private readonly Socket listener;
    private readonly IPEndPoint address;
    private readonly AgentClock clock;
    private readonly List<ScrapeConnection> connections = new(MostConnections);
    private readonly List<Socket> readable = [];
    private readonly List<Socket> writable = [];
    private Thread? thread;
    private Action<string, Exception>? onDefect;
    private TimeSpan acceptsFrom;
    private volatile bool stopped;

    private MetricsEndpoint(Socket listener, AgentClock clock)
    {
        this.listener = listener;
        this.clock = clock;
        address = (IPEndPoint)listener.LocalEndPoint!;
    }

    /// <summary>Where it listens; the port is the one that was chosen when 0 was asked for.</summary>
    public IPEndPoint Address => address;

    /// <summary>Binds to the address, or says why that cannot be; serves from <see cref="Start"/> on.</summary>
    public static FSharpResult<MetricsEndpoint, ConfigError> Open(IPEndPoint address, AgentClock clock)
    {
        Socket? listener = null;

        try
        {
            listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
            listener.Bind(address);
            listener.Listen(MostConnections);
            return FSharpResult<MetricsEndpoint, ConfigError>.NewOk(new MetricsEndpoint(listener, clock));
        }
        catch (SocketException error)
        {
            listener?.Dispose();
            var reason = error.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => "another program listens there already; choose another port",
                SocketError.AddressNotAvailable => "this machine does not have that address; ip address shows those it has",
                SocketError.AccessDenied => "this user may not listen there; ports below 1024 are reserved for root",
                SocketError.AddressFamilyNotSupported => "this machine does not speak IPv6; give an IPv4 address",
                _ => error.Message,
            };
            return FSharpResult<MetricsEndpoint, ConfigError>.NewError(new ConfigError("--listen", $"--listen: {address}: {reason}"));
        }
    }

    /// <summary>Begins to serve.</summary>
    /// <param name="answers">Makes the answers.</param>
    /// <param name="onDefect">Takes what an answer throws; it costs its connection. Null lets it end the program.</param>
    public void Start(ScrapeAnswers answers, Action<string, Exception>? onDefect = null)
    {
        this.onDefect = onDefect;
        thread = Threads.Start(() => Serve(answers), 256 * 1024, "metrics");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stopped = true;

        if (thread is not null)
        {
            Wake();

            // One that hangs in an answer, as in a read of /proc, is left to the end of the process.
            thread.Join(LongestAnswer);
        }

        listener.Dispose();
    }

    // Ends the wait of a thread that sleeps in the kernel. A connection to the own address would need that address, a way to it and a
    // descriptor, and a machine that is shut down may have none of them any more.
    private void Wake()
    {
        try
        {
            listener.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // It does not listen any more, so nobody waits for it.
        }
    }

    private void Serve(ScrapeAnswers answers)
    {
        while (!stopped)
        {
            Wait();

            if (readable.Contains(listener))
            {
                Accept();
            }

            for (var i = connections.Count - 1; i >= 0; i--)
            {
                var connection = connections[i];
                var isReady = readable.Contains(connection.Socket) || writable.Contains(connection.Socket);

                if ((isReady && !GoOn(connection, answers)) || clock.Elapsed >= connection.Until)
                {
                    connection.Dispose();
                    connections.RemoveAt(i);
                }
            }
        }

        foreach (var connection in connections)
        {
            connection.Dispose();
        }
    }

    private bool GoOn(ScrapeConnection connection, ScrapeAnswers answers)
    {
        try
        {
            return connection.GoOn(answers, clock.Elapsed);
        }
        catch (Exception defect) when (onDefect is not null)
        {
            onDefect("metrics", defect);
            return false;
        }
    }

    private void Wait()
    {
        readable.Clear();
        writable.Clear();
        var until = acceptsFrom > clock.Elapsed ? acceptsFrom : TimeSpan.MaxValue;

        if (until == TimeSpan.MaxValue)
        {
            readable.Add(listener);
        }

        foreach (var connection in connections)
        {
            (connection.IsSending ? writable : readable).Add(connection.Socket);
            until = connection.Until < until ? connection.Until : until;
        }

        var limit = until == TimeSpan.MaxValue ? Timeout.InfiniteTimeSpan : clock.ToReal(until - clock.Elapsed);

        if (limit != Timeout.InfiniteTimeSpan && limit < TimeSpan.Zero)
        {
            limit = TimeSpan.Zero;
        }

        try
        {
            Socket.Select(readable, writable, null, limit);
        }
        catch (SocketException)
        {
            // The system is short of something. What was to be waited for is tried instead.
        }
    }

    private void Accept()
    {
        try
        {
            var socket = listener.Accept();
            socket.Blocking = false;
            socket.NoDelay = true;

            if (connections.Count == MostConnections)
            {
                var oldest = connections.MinBy(static connection => connection.Until)!;
                oldest.Dispose();
                connections.Remove(oldest);
            }

            connections.Add(new ScrapeConnection(socket, clock.Elapsed));
        }
        catch (SocketException error)
        {
            // Else the client went away again.
            if (error.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
            {
                acceptsFrom = clock.Elapsed + ScarcityPeriod;
            }
        }
    }
}
