using System.Net;

namespace Agent.Host.Posting;

/// <summary>
/// A request body of known length, so that it is never sent in chunks, which the webapp would read as empty. It knows
/// whether a connection has been made that it could be written to.
/// </summary>
/// <param name="body">The body.</param>
internal sealed class SampleContent(ReadOnlyMemory<byte> body) : HttpContent
{
    /// <summary>True from the moment at which the connection stands, that of TLS included.</summary>
    public bool IsBeingSent { get; private set; }

    /// <inheritdoc/>
    protected override void SerializeToStream(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        IsBeingSent = true;
        stream.Write(body.Span);
    }

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        IsBeingSent = true;
        return stream.WriteAsync(body, cancellationToken).AsTask();
    }

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long length)
    {
        length = body.Length;
        return true;
    }
}
