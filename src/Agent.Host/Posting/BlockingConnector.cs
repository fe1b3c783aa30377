using System.Net.Http;
using System.Net.Sockets;

namespace Agent.Host.Posting;

/// <summary>
/// Connects with calls that block. A socket that was once waited for asynchronously wakes a thread of the class library, and
/// that one two of the pool's, for each answer ever after, which costs more than the request. See
/// docs/adr/0014-blocking-connection.md.
/// </summary>
internal sealed class BlockingConnector
{
    private volatile Stream? newest;

    /// <summary>
    /// Looks the name up and connects. Runs on a thread of the pool's own choice and not on the one that sends, so that a
    /// look-up that hangs does not hold that one up: it stops waiting when its time is over.
    /// </summary>
    public ValueTask<Stream> Connect(SocketsHttpConnectionContext context, CancellationToken stop)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

        try
        {
            using (stop.UnsafeRegister(static socket => ((Socket)socket!).Dispose(), socket))
            {
                socket.Connect(context.DnsEndPoint);
            }

            stop.ThrowIfCancellationRequested();
            return ValueTask.FromResult(newest = new NetworkStream(socket, ownsSocket: true));
        }
        catch (Exception error)
        {
            socket.Dispose();
            stop.ThrowIfCancellationRequested();
            return ValueTask.FromException<Stream>(error);
        }
    }

    /// <summary>Breaks off what blocks on the newest connection as soon as the token is set.</summary>
    public CancellationTokenRegistration BreakOffWhen(CancellationToken stop) =>
        stop.UnsafeRegister(static stream => ((Stream?)stream)?.Dispose(), newest);
}
