using System.Net.Sockets;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>An answer as it came, its body no longer than what is read of one.</summary>
/// <param name="Head">Its head.</param>
/// <param name="Body">Its body.</param>
/// <param name="WasSentTwice">
/// True when the request was sent over a connection that was closed without an answer, and then over another.
/// </param>
internal readonly record struct Reply(AnswerHead Head, ReadOnlyMemory<byte> Body, bool WasSentTwice = false);

/// <summary>
/// Carries one request at a time to one endpoint, over a connection that is kept. What a network or a server does wrong is
/// an exception, which <see cref="Failures"/> makes sense of. Used by one thread.
/// </summary>
internal interface ITransport : IDisposable
{
    /// <summary>True from the moment at which the connection for the request stands, that of TLS included.</summary>
    bool IsBeingSent { get; }

    /// <summary>Where a connection is still being waited for: that an address of the host refused it; null for nothing of the kind.</summary>
    SocketException? Refusal { get; }

    /// <summary>
    /// True where a connection stands over which no request can be sent yet: the handshake of TLS goes on, or the proxy opens the way.
    /// </summary>
    bool IsConnected { get; }

    /// <summary>Posts a body; whatever it waits for ends when the token is set.</summary>
    Reply Post(RequestParts parts, ReadOnlyMemory<byte> body, CancellationToken stop);

    /// <summary>Gets the endpoint with nothing but its URL, and tells how the answer begins.</summary>
    AnswerHead Ask(CancellationToken stop);
}
