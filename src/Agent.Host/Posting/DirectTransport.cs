using System.Net;
using System.Net.Http;
using System.Net.Security;
using Agent.Core;

namespace Agent.Host.Posting;

/// <summary>
/// Speaks HTTP/1.1 with the server itself, over one connection. See docs/adr/0022-http-of-our-own.md.
/// </summary>
/// <param name="endpoint">Where requests go.</param>
/// <param name="tls">What TLS wants; null for none.</param>
/// <param name="lifetime">So long a connection is used.</param>
/// <param name="userAgent">Who the agent is.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class DirectTransport(
    Uri endpoint, SslClientAuthenticationOptions? tls, TimeSpan lifetime, string userAgent, AgentClock clock) : ITransport
{
    /// <summary>Longer than what any server allows its own to be by default.</summary>
    private const int LongestHead = 32_768;

    /// <summary>Head and body are sent by one call where they fit.</summary>
    private const int SentAtOnce = 16_384;

    /// <summary>
    /// An opening that outlasts the limit of its request is waited for by the next one, for this long: resolv.conf(5) has it that a
    /// name takes five seconds for each server that is dead, twice. Then a fresh one has better chances.
    /// </summary>
    private static readonly TimeSpan LongestOpening = TimeSpan.FromSeconds(30);

    private readonly byte[] received = new byte[LongestHead];
    private readonly byte[] body = new byte[SampleClient.LongestAnswer];
    private byte[] sent = [];
    private byte[] beginning = [];
    private RequestParts? begun;
    private Connection? connection;
    private Opening? opening;
    private TimeSpan patience;
    private TimeSpan until;
    private int taken;
    private int filled;

    private ReadOnlySpan<byte> Waiting => received.AsSpan(taken, filled - taken);

    /// <inheritdoc/>
    public bool IsBeingSent { get; private set; }

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
        opening?.TryAbandon();
    }

    private Reply ReplyTo(byte[] beginning, ReadOnlyMemory<byte> body, bool isAsking, CancellationToken stop)
    {
        IsBeingSent = false;

        if (connection is not null && (clock.Elapsed >= until || !connection.IsOpen()))
        {
            Drop();
        }

        // A request is sent once. Whether a server that closes the connection has taken it is for those to consider who know
        // what is in it.
        return Exchange(connection ?? Connect(stop), beginning, body, isAsking, stop);
    }

    private Connection Connect(CancellationToken stop)
    {
        if (opening is not null && (opening.HasFailed || clock.Elapsed >= patience) && opening.TryAbandon())
        {
            opening = null;
        }

        var wasPending = opening is not null;

        if (opening is null)
        {
            opening = Opening.Begin(endpoint, tls);
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
        IsBeingSent = true;

        try
        {
            using var end = stop.UnsafeRegister(static used => ((Connection)used!).BreakOff(), used);
            Send(used, beginning, body.Span);
            var head = ReadHead(used);

            if (isAsking)
            {
                return new Reply(head, default);
            }

            var reader = new BodyReader(head.BodyEnd);
            var length = ReadBody(used, reader);

            // What follows an answer belongs to none.
            if (head.KeepsConnection && reader.IsComplete && taken == filled)
            {
                connection = used;
            }

            return new Reply(head, this.body.AsMemory(0, length));
        }
        finally
        {
            if (connection is null)
            {
                used.Dispose();
            }
        }
    }

    private void Send(Connection to, byte[] beginning, ReadOnlySpan<byte> body)
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

        if (!fits)
        {
            to.Write(body);
        }
    }

    /// <summary>The head of the answer itself, and not of what is said on the way to it.</summary>
    private AnswerHead ReadHead(Connection from)
    {
        while (true)
        {
            int length;

            while ((length = AnswerHeadModule.LengthIn(Waiting)) < 0)
            {
                if (filled == received.Length)
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

    private int ReadBody(Connection from, BodyReader reader)
    {
        var length = 0;

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

        return length;
    }

    /// <summary>Waits for more; false when there is none, which is an error where the answer may not end there.</summary>
    private bool Receive(Connection from, bool mayEnd)
    {
        var count = from.Read(received.AsSpan(filled));
        filled += count;
        return count > 0 || (mayEnd ? false : throw new HttpIOException(HttpRequestError.ResponseEnded));
    }

    private void Drop()
    {
        connection?.Dispose();
        connection = null;
    }
}
