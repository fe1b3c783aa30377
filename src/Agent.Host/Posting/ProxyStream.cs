using System.Net.Sockets;

namespace Agent.Host.Posting;

/// <summary>
/// A connection to a proxy, for the client of the class library. That one gives up a request as soon as it cannot be sent whole; but whoever
/// refuses it by its head answers before he closes, and the answer is there to be read (RFC 9112, section 9.6). So what cannot be sent any
/// more is an error only once there is nothing to read.
/// </summary>
/// <param name="socket">A socket that is connected; the stream's own from now on.</param>
internal sealed class ProxyStream(Socket socket) : NetworkStream(socket, ownsSocket: true)
{
    /// <summary>
    /// Bytes of the alert by which TLS closes a connection, and shorter than any answer: 5 of its head, 8 of a counter, 2 of its own and 16 of a
    /// checksum (RFC 5288, section 3; TLS 1.3 has fewer).
    /// </summary>
    public const int LongestFarewell = 31;

    private Exception? unsent;
    private long heard;

    /// <summary>Bytes that have come.</summary>
    public long Heard => Interlocked.Read(ref heard);

    /// <inheritdoc/>
    public override int Read(Span<byte> buffer) => Count(base.Read(buffer), buffer.Length);

    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken) =>
        Count(await base.ReadAsync(buffer, cancellationToken).ConfigureAwait(false), buffer.Length);

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        try
        {
            base.Write(buffer);
        }
        catch (IOException error)
        {
            unsent ??= error;
        }
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            await base.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (IOException error)
        {
            unsent ??= error;
        }
    }

    private int Count(int count, int room)
    {
        Interlocked.Add(ref heard, count);
        return count > 0 || room == 0 || unsent is null ? count : throw new IOException(unsent.Message, unsent);
    }
}
