using System.Net;
using System.Net.Http;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>
/// Opens a connection on threads of its own: neither a look-up of a name nor a connection attempt can be waited for with a limit,
/// but the request that needs the connection can stop waiting, and the next one takes up the wait. All addresses of the host
/// are tried, each a little after the one before, and the first that takes the connection wins, with TLS the first whose handshake
/// ends well (RFC 8305).
/// </summary>
internal sealed class ConnectAttempt
{
    /// <summary>TLS builds chains of certificates on it; what is not used of it costs no memory.</summary>
    private const int StackSize = 1_000_000;

    private const int AttemptStackSize = 256 * 1024;

    private readonly object gate;
    private readonly Uri endpoint;
    private readonly SslClientAuthenticationOptions? tls;
    private readonly HostAddresses addresses;
    private readonly AgentClock clock;
    private readonly List<(IPAddress Address, Socket Socket)> attempts = [];
    private readonly HashSet<IPAddress> tried = [];
    private readonly List<Exception> failures = [];
    private TimeSpan next;
    private Connection? winner;
    private HttpRequestException? fault;
    private int handshakes;
    private Connection? opened;
    private ExceptionDispatchInfo? failure;
    private bool isAbandoned;

    private ConnectAttempt(Uri endpoint, SslClientAuthenticationOptions? tls, HostAddresses addresses, AgentClock clock)
    {
        this.endpoint = endpoint;
        this.tls = tls;
        this.addresses = addresses;
        this.clock = clock;
        gate = addresses.Gate;
    }

    /// <summary>Begins to open a connection.</summary>
    public static ConnectAttempt Begin(Uri endpoint, SslClientAuthenticationOptions? tls, HostAddresses addresses, AgentClock clock)
    {
        var opening = new ConnectAttempt(endpoint, tls, addresses, clock);
        NetworkThreads.Start(opening.Open, AttemptStackSize, "connecting");
        return opening;
    }

    /// <summary>True once there is a failure.</summary>
    public bool HasFailed => Of(static opening => opening.failure is not null);

    /// <summary>True while there is neither a connection nor a failure.</summary>
    public bool IsPending => Of(static opening => opening.opened is null && opening.failure is null);

    /// <summary>True while an address has taken the connection, and its TLS handshake is not over.</summary>
    public bool IsConnected => Of(static opening => opening.handshakes > 0);

    /// <summary>
    /// That an address refused, while others are waited for: it says more than that those do not answer. Null for nothing of the kind.
    /// </summary>
    public SocketException? Refusal => Of(static opening => opening.failures.OfType<SocketException>().FirstOrDefault(IsRefusal));

    /// <summary>
    /// Waits for the connection, or the exception that there was instead. When the token is set the waiting ends, and not what is
    /// waited for.
    /// </summary>
    public Connection Result(CancellationToken stop)
    {
        using var end = stop.UnsafeRegister(static opening => ((ConnectAttempt)opening!).Wake(), this);

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
    /// Gives it up, and counts what it tried as failed. Look-ups go on, for they belong to the addresses and not to one opening.
    /// </summary>
    public void Abandon()
    {
        lock (gate)
        {
            isAbandoned = true;
            opened?.Dispose();
            winner?.Dispose();

            foreach (var (address, socket) in attempts)
            {
                addresses.Failed(address);
                socket.Dispose();
            }

            Monitor.PulseAll(gate);
        }
    }

    private T Of<T>(Func<ConnectAttempt, T> value)
    {
        lock (gate)
        {
            return value(this);
        }
    }

    private static bool IsRefusal(Exception error) => error is SocketException { SocketErrorCode: SocketError.ConnectionRefused };

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
            Finish(Race(), null);
        }
        catch (Exception error)
        {
            Finish(null, ExceptionDispatchInfo.Capture(error));
        }
    }

    /// <summary>The first connection that stands.</summary>
    private Connection Race()
    {
        lock (gate)
        {
            addresses.Ask();
            var earliest = TimeSpan.MaxValue;

            while (true)
            {
                if (isAbandoned)
                {
                    throw new OperationCanceledException();
                }

                if (winner is { } first)
                {
                    addresses.Won(first.Address);
                    attempts.ForEach(static loser => loser.Socket.Dispose());
                    return first;
                }

                // Another address of the same server says the same of its certificate; only those that are on their way are waited for.
                if (fault is not null && attempts.Count == 0)
                {
                    throw fault;
                }

                var now = clock.Elapsed;
                var known = addresses.Known();
                var untried = known.FirstOrDefault(address => !tried.Contains(address));
                var mayTry = fault is null && untried is not null && tried.Count < HappyEyeballs.MostAddresses;

                if (!mayTry && attempts.Count == 0 && addresses.IsComplete)
                {
                    throw WhyNot();
                }

                if (known.Length > 0 && earliest == TimeSpan.MaxValue)
                {
                    earliest = now + HappyEyeballs.ResolutionDelay;
                }

                var from = addresses.IsComplete || tried.Count > 0 ? next : earliest;

                if (mayTry && now >= from)
                {
                    next = now + HappyEyeballs.AttemptDelay;
                    Begin(untried!);
                }
                else
                {
                    clock.Wait(gate, mayTry ? from - now : Timeout.InfiniteTimeSpan);
                }
            }
        }
    }

    private void Begin(IPAddress address)
    {
        tried.Add(address);
        Socket? socket = null;

        try
        {
            socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            NetworkThreads.Start(() => Attempt(address, socket), tls is null ? AttemptStackSize : StackSize, "connecting");
            attempts.Add((address, socket));
        }
        catch (Exception error) when (error is SocketException or HttpRequestException)
        {
            // Such as an address of a family that this machine does not speak.
            socket?.Dispose();
            Fail(address, error);
        }
    }

    private void Attempt(IPAddress address, Socket socket)
    {
        Connection? made = null;
        Exception? error = null;
        var isConnected = false;

        try
        {
            socket.Connect(address, endpoint.Port);
            isConnected = tls is not null;
            BeginHandshake();
            made = Connection.Over(socket, address, tls);
        }
        catch (Exception problem)
        {
            // Whatever it is, on a thread of its own it would end the process.
            error = problem;
        }

        lock (gate)
        {
            attempts.RemoveAll(attempt => attempt.Socket == socket);
            handshakes -= isConnected ? 1 : 0;

            // What ends because another one has won says nothing.
            if (winner is null && !isAbandoned)
            {
                winner = made;

                if (error is not null)
                {
                    fault = isConnected ? error as HttpRequestException : fault;
                    Fail(address, error);
                }
            }

            Monitor.PulseAll(gate);
        }

        if (made is null || !IsWinner(made))
        {
            made?.Dispose();
            socket.Dispose();
        }
    }

    private bool IsWinner(Connection made) => Of(opening => ReferenceEquals(opening.winner, made));

    /// <summary>The next address has its turn only when a handshake takes longer than it should.</summary>
    private void BeginHandshake()
    {
        if (tls is null)
        {
            return;
        }

        lock (gate)
        {
            handshakes++;
            next = clock.Elapsed + HappyEyeballs.HandshakeDelay;
            Monitor.PulseAll(gate);
        }
    }

    private void Fail(IPAddress address, Exception error)
    {
        failures.Add(error);
        addresses.Failed(address);
        next = TimeSpan.Zero;
    }

    /// <summary>That one of them is refused says more than that another cannot be reached.</summary>
    private Exception WhyNot() =>
        failures.Find(IsRefusal)
        ?? failures.LastOrDefault() switch
        {
            null => new HttpRequestException(HttpRequestError.NameResolutionError, addresses.Problem?.Message ?? "there is no address", addresses.Problem),
            SocketException or HttpRequestException => failures[^1],
            var error => new HttpRequestException(HttpRequestError.ConnectionError, error.Message, error),
        };

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
