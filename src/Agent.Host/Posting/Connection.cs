using System.Net;
using System.Net.Http;
using System.Net.Security;
using System.Net.Sockets;

namespace Agent.Host.Posting;

/// <summary>
/// One connection to a server, with calls that block. A socket that was once waited for asynchronously wakes a thread of the
/// class library, and that one two of the pool's, for each answer ever after, which costs more than the request.
/// </summary>
internal sealed class Connection : IDisposable
{
    private readonly Socket socket;
    private readonly Stream stream;
    private bool wasReused;

    private Connection(Socket socket, Stream stream, IPAddress address)
    {
        this.socket = socket;
        this.stream = stream;
        Address = address;
    }

    /// <summary>The server's address.</summary>
    public IPAddress Address { get; }

    /// <summary>The TLS of it; null for none.</summary>
    public SslStream? Secured => stream as SslStream;

    /// <summary>For those who speak over it themselves; disposing of it closes the connection.</summary>
    public Socket Socket => socket;

    /// <summary>
    /// Over a socket that is connected; shakes hands where there is TLS, and blocks for as long as that takes. Every failure is an
    /// exception of the network.
    /// </summary>
    /// <param name="socket">A socket that is connected; the connection's own from now on.</param>
    /// <param name="address">What it is connected to.</param>
    /// <param name="tls">What TLS wants; null for none.</param>
    public static Connection Over(Socket socket, IPAddress address, SslClientAuthenticationOptions? tls)
    {
        try
        {
            var plain = new NetworkStream(socket, ownsSocket: true);
            return new Connection(socket, tls is null ? plain : Secure(plain, tls), address);
        }
        catch (Exception error) when (error is not (SocketException or IOException or HttpRequestException))
        {
            // Such as a socket that was disposed of meanwhile.
            throw new HttpRequestException(HttpRequestError.ConnectionError, error.Message, error);
        }
    }

    /// <summary>
    /// True unless the other side has closed it meanwhile, as far as that can be determined. What arrives unasked for on a plain
    /// connection is a farewell or no answer to anything; under TLS it may be a ticket for the next connection.
    /// </summary>
    public bool IsOpen()
    {
        try
        {
            // Tickets come before the first answer or with it.
            return !socket.Poll(0, SelectMode.SelectRead) || (stream is SslStream && !wasReused && IsEstablished());
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            wasReused = true;
        }
    }

    /// <summary>
    /// True when the other side has sent something, or closed, before all of a request is written; otherwise waits until a few
    /// kilobytes can be written. Under TLS the first request is simply written, for tickets arrive beside it.
    /// </summary>
    public bool HasEarlyInput()
    {
        if (stream is SslStream && !wasReused)
        {
            return false;
        }

        while (!socket.Poll(0, SelectMode.SelectRead))
        {
            if (socket.Poll(0, SelectMode.SelectWrite))
            {
                return false;
            }

            // By halves of a second, for it is not said that a socket that is disposed of ends this.
            List<Socket> readable = [socket];
            List<Socket> writable = [socket];
            Socket.Select(readable, writable, null, TimeSpan.FromSeconds(0.5));
        }

        return true;
    }

    /// <summary>Sends all of the bytes.</summary>
    public void Write(ReadOnlySpan<byte> bytes) => stream.Write(bytes);

    /// <summary>Waits for some bytes; 0 when there are no more.</summary>
    public int Read(Span<byte> target) => stream.Read(target);

    /// <summary>Ends whatever blocks on it. The one method for other threads.</summary>
    public void BreakOff() => socket.Dispose();

    /// <inheritdoc/>
    public void Dispose() => stream.Dispose();

    /// <summary>As the kernel has it: the first byte of struct tcp_info (tcp(7), linux/tcp.h) is the connection's state.</summary>
    private bool IsEstablished()
    {
        const int TcpInfo = 11;
        const byte Established = 1;
        Span<byte> state = stackalloc byte[1];
        socket.GetRawSocketOption((int)SocketOptionLevel.Tcp, TcpInfo, state);
        return state[0] == Established;
    }

    private static SslStream Secure(Stream plain, SslClientAuthenticationOptions tls)
    {
        var secured = new SslStream(plain);

        try
        {
            secured.AuthenticateAsClient(tls);
            return secured;
        }
        catch (Exception error)
        {
            secured.Dispose();

            // Whatever a certificate is made of.
            throw new HttpRequestException(HttpRequestError.SecureConnectionError, error.Message, error);
        }
    }
}
