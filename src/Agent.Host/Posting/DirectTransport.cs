using System.Net;
using System.Net.Http;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>
/// Speaks HTTP/1.1 with the server itself, over one connection. See docs/adr/0022-http-of-our-own.md.
/// </summary>
/// <param name="endpoint">Where requests go.</param>
/// <param name="tls">What TLS wants; null for none.</param>
/// <param name="lifetime">So long a connection is used.</param>
/// <param name="userAgent">Who the agent is.</param>
/// <param name="clock">The monotonic clock.</param>
/// <param name="lookUp">The resolver; null for the system's.</param>
internal sealed class DirectTransport(
    Uri endpoint, SslClientAuthenticationOptions? tls, TimeSpan lifetime, string userAgent, AgentClock clock, LookUp? lookUp = null)
    : ITransport
{
    /// <summary>Longer than what any server allows its own to be by default; some cookies are added on the way.</summary>
    private const int LongestHead = 65_536;

    /// <summary>Room for what servers usually answer; more is taken once an answer needs it.</summary>
    private const int UsualHead = 8_192;

    /// <summary>Head and body are sent by one call where they fit.</summary>
    private const int SentAtOnce = 16_384;

    /// <summary>A longer body is sent in pieces of this size, and between them an answer that comes early is looked for.</summary>
    private const int Piece = 8_192;

    /// <summary>
    /// An opening that outlasts the limit of its request is waited for by the next one, for this long. Then a fresh one has better
    /// chances: it tries what has not failed yet.
    /// </summary>
    private static readonly TimeSpan LongestOpening = TimeSpan.FromSeconds(30);

    private readonly HostAddresses addresses = new(endpoint.IdnHost, lookUp ?? Dns.GetHostAddresses, clock);
    private byte[] received = new byte[UsualHead];
    private readonly byte[] body = new byte[SampleClient.LongestAnswer];
    private byte[] sent = [];
    private byte[] beginning = [];
    private RequestParts? begun;
    private Connection? connection;
    private ConnectAttempt? opening;
    private TimeSpan patience;
    private TimeSpan until;
    private int taken;
    private int filled;
    private bool isHeard;

    private ReadOnlySpan<byte> Waiting => received.AsSpan(taken, filled - taken);

    /// <inheritdoc/>
    public bool IsBeingSent { get; private set; }

    /// <inheritdoc/>
    public SocketException? Refusal => opening?.Refusal;

    /// <inheritdoc/>
    public bool IsConnected => opening is { IsConnected: true };

    /// <inheritdoc/>
    public Reply Post(RequestParts parts, ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        if (!ReferenceEquals(parts, begun))
        {
            beginning = RequestHead.Beginning("POST", endpoint, [("User-Agent", userAgent), .. parts.Headers]);
            begun = parts;
        }

        return ReplyTo(beginning, body, isAsking: false, stop);
    }

    /// <inheritdoc/>
    public AnswerHead Ask(CancellationToken stop)
    {
        // Its body may be a page or without an end, and nobody wants it.
        return ReplyTo(RequestHead.Beginning("GET", endpoint, [("User-Agent", userAgent)]), default, isAsking: true, stop).Head;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Drop();
        opening?.Abandon();
    }

    private Reply ReplyTo(byte[] beginning, ReadOnlyMemory<byte> body, bool isAsking, CancellationToken stop)
    {
        IsBeingSent = false;

        if (connection is not null && (clock.Elapsed >= until || !connection.IsOpen()))
        {
            Drop();
        }

        if (connection is not { } kept)
        {
            return Exchange(Connect(stop), beginning, body, isAsking, stop);
        }

        try
        {
            return Exchange(kept, beginning, body, isAsking, stop);
        }
        catch (Exception gone) when (gone is (IOException or SocketException) && !isHeard && !stop.IsCancellationRequested)
        {
            // The server closed it for being idle while the request was on its way (RFC 9112, section 9.3.1). If it has taken the
            // request all the same, it gets it twice, as it would if the request were sent again later.
            return Exchange(ConnectAgain(gone, stop), beginning, body, isAsking, stop) with { WasSentTwice = true };
        }
    }

    /// <summary>A new connection; without one the request is reported as what it is: sent, and not answered.</summary>
    private Connection ConnectAgain(Exception gone, CancellationToken stop)
    {
        try
        {
            return Connect(stop);
        }
        catch (Exception error) when (error is IOException or SocketException or HttpRequestException)
        {
            ExceptionDispatchInfo.Throw(gone);
            throw;
        }
    }

    private Connection Connect(CancellationToken stop)
    {
        // One that has come to a connection meanwhile is good, however long that took.
        if (opening is not null && (opening.HasFailed || (opening.IsPending && clock.Elapsed >= patience)))
        {
            opening.Abandon();
            opening = null;
        }

        var wasPending = opening is not null;

        if (opening is null)
        {
            opening = ConnectAttempt.Begin(endpoint, tls, addresses, clock);
            patience = clock.Elapsed + LongestOpening;
        }

        try
        {
            var connected = opening.Result(stop);
            opening = null;

            // It may have waited for long.
            if (wasPending && !connected.IsOpen())
            {
                connected.Dispose();
                return Connect(stop);
            }

            until = clock.Elapsed + lifetime;
            return connected;
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            opening = null;
            throw;
        }
    }

    /// <summary>Leaves no connection behind unless it is good for another request.</summary>
    private Reply Exchange(Connection used, byte[] beginning, ReadOnlyMemory<byte> body, bool isAsking, CancellationToken stop)
    {
        connection = null;
        (taken, filled) = (0, 0);
        isHeard = false;
        IsBeingSent = true;

        try
        {
            using var end = stop.UnsafeRegister(static used => ((Connection)used!).BreakOff(), used);
            var (isSent, problem) = TrySend(used, beginning, body.Span);
            var head = ReadHead(used, problem);
            Remember(used, isGood: true);

            if (isAsking)
            {
                return new Reply(head, default);
            }

            var reader = new BodyReader(head.BodyEnd);
            var length = ReadBody(used, reader, mayBeCut: begun!.IsEnough(head.Status));

            // What follows an answer belongs to none.
            if (isSent && head.KeepsConnection && reader.IsComplete && taken == filled)
            {
                connection = used;
            }

            return new Reply(head, this.body.AsMemory(0, length));
        }
        catch
        {
            Remember(used, isGood: isHeard);
            throw;
        }
        finally
        {
            if (connection is null)
            {
                used.Dispose();
            }
        }
    }

    /// <summary>An address whose connections yield no answer is tried last the next time.</summary>
    private void Remember(Connection used, bool isGood)
    {
        lock (addresses.Gate)
        {
            if (isGood)
            {
                addresses.Answered(used.Address);
            }
            else
            {
                addresses.Failed(used.Address);
            }
        }
    }

    /// <summary>
    /// Whether all of it was sent, and what was in the way. Servers that refuse a request by its head alone answer, and close,
    /// while the body is still on its way: the answer is there though the sending fails.
    /// </summary>
    private (bool IsSent, Exception? Problem) TrySend(Connection to, byte[] beginning, ReadOnlySpan<byte> body)
    {
        try
        {
            return (Send(to, beginning, body), null);
        }
        catch (Exception error) when (error is IOException or SocketException)
        {
            return (false, error);
        }
    }

    private bool Send(Connection to, byte[] beginning, ReadOnlySpan<byte> body)
    {
        var most = beginning.Length + RequestHead.LongestEnd;

        if (sent.Length < most + SentAtOnce)
        {
            sent = new byte[most + SentAtOnce];
        }

        var length = RequestHead.Complete(beginning, body.Length, sent);
        var fits = body.Length <= SentAtOnce;

        if (fits)
        {
            body.CopyTo(sent.AsSpan(length));
            length += body.Length;
        }

        to.Write(sent.AsSpan(0, length));

        while (!fits && !body.IsEmpty)
        {
            if (to.HasEarlyInput() && IsAnswered(to))
            {
                return false;
            }

            var count = Math.Min(Piece, body.Length);
            to.Write(body[..count]);
            body = body[count..];
        }

        return true;
    }

    /// <summary>Takes what has arrived before the request was sent; true unless that is only said on the way to the answer.</summary>
    private bool IsAnswered(Connection from)
    {
        if (!HasRoom() || !Receive(from, mayEnd: true))
        {
            return true;
        }

        int length;

        while ((length = AnswerHeadModule.LengthIn(Waiting)) > 0 && !AnswerHeadModule.IsFinal(Waiting))
        {
            taken += length;
        }

        return AnswerHeadModule.IsFinal(Waiting);
    }

    /// <summary>
    /// The head of the answer itself, and not of what is said on the way to it. Where there is none, what was in the way of the
    /// request is the reason.
    /// </summary>
    private AnswerHead ReadHead(Connection from, Exception? problem)
    {
        try
        {
            return ReadHead(from);
        }
        catch (Exception error) when (problem is not null && error is (IOException or SocketException))
        {
            ExceptionDispatchInfo.Throw(problem!);
            throw;
        }
    }

    private AnswerHead ReadHead(Connection from)
    {
        while (true)
        {
            int length;

            while ((length = AnswerHeadModule.LengthIn(Waiting)) < 0)
            {
                if (!HasRoom())
                {
                    throw new HttpIOException(HttpRequestError.ConfigurationLimitExceeded);
                }

                Receive(from, mayEnd: false);

                if (!AnswerHeadModule.MayBegin(Waiting))
                {
                    throw new HttpIOException(HttpRequestError.InvalidResponse);
                }
            }

            var head = AnswerHeadModule.Parse(Waiting[..length]);
            taken += length;

            if (head.IsNone)
            {
                throw new HttpIOException(HttpRequestError.InvalidResponse);
            }

            if (head.Value.Status is >= (int)HttpStatusCode.OK or (int)HttpStatusCode.SwitchingProtocols)
            {
                return head.Value;
            }
        }
    }

    /// <summary>
    /// The bytes of the body, which may be cut where the head is enough: whoever refuses a request while it is on its way resets the
    /// connection, and the rest of the answer may be lost by that (RFC 9112, section 9.6).
    /// </summary>
    private int ReadBody(Connection from, BodyReader reader, bool mayBeCut)
    {
        var length = 0;

        try
        {
            while (!reader.IsComplete && length < body.Length)
            {
                if (taken == filled)
                {
                    (taken, filled) = (0, 0);

                    if (!Receive(from, reader.MayEndHere))
                    {
                        break;
                    }
                }

                var (count, written) = reader.Take(Waiting, body.AsSpan(length));
                taken += count;
                length += written;

                if (reader.IsGarbled)
                {
                    throw new HttpIOException(HttpRequestError.InvalidResponse);
                }
            }
        }
        catch (Exception error) when (mayBeCut && error is (IOException or SocketException or ObjectDisposedException))
        {
            return length;
        }

        return length;
    }

    /// <summary>True where more of a head can be received.</summary>
    private bool HasRoom()
    {
        if (filled == received.Length && received.Length < LongestHead)
        {
            Array.Resize(ref received, 2 * received.Length);
        }

        return filled < received.Length;
    }

    /// <summary>Waits for more; false when there is none, which is an error where the answer may not end there.</summary>
    private bool Receive(Connection from, bool mayEnd)
    {
        var count = from.Read(received.AsSpan(filled));
        filled += count;
        isHeard |= count > 0;
        return count > 0 || (mayEnd ? false : throw new HttpIOException(HttpRequestError.ResponseEnded));
    }

    private void Drop()
    {
        connection?.Dispose();
        connection = null;
    }
}
