using System.IO.Compression;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>Posts a body to one destination and says what became of it; never throws for a network or HTTP failure.</summary>
internal sealed partial class SampleClient : IDisposable
{
    /// <summary>So much of an answer is read; the webapp's own is a few hundred bytes.</summary>
    public const int LongestAnswer = 64 * 1024;

    /// <summary>A connection is renewed after this time, so that a change of DNS is noticed.</summary>
    private static readonly TimeSpan ConnectionLifetime = TimeSpan.FromMinutes(5);

    /// <summary>One that is idle for longer may have been forgotten by what lies in between.</summary>
    private static readonly TimeSpan LongestIdle = TimeSpan.FromMinutes(1);

    private readonly IRequestTemplate template;
    private readonly TlsTrust trust;
    private readonly Failures failures;
    private readonly ITransport transport;
    private readonly TimeSpan timeout;
    private readonly TimeLimit limit;
    private readonly AgentClock clock;
    private bool wasAnswered;

    /// <summary>A client for one destination, which has the trust for itself.</summary>
    public SampleClient(
        IRequestTemplate template, TlsTrust trust, TimeSpan interval, TimeSpan timeout, string userAgent, AgentClock clock)
    {
        this.template = template;
        this.trust = trust;
        this.timeout = timeout;
        this.clock = clock;
        limit = new TimeLimit(timeout, clock);
        var proxy = ProxyFor(template.Endpoint);
        failures = new Failures(template.Endpoint, proxy?.Address);
        var lifetime = interval < LongestIdle ? ConnectionLifetime : LongestIdle;
        transport = proxy is null
            ? new DirectTransport(template.Endpoint, TlsOptions(), lifetime, userAgent, clock)
            : new ProxiedTransport(template.Endpoint, proxy, trust, clock.ToReal(lifetime), userAgent, clock);
    }

    /// <summary>
    /// Sends one body. Refused secrets are read again from their file, and so are certificates after a failure that they may have caused; the
    /// body is sent once more if they have changed.
    /// <paramref name="stop"/> breaks the request off at once.
    /// </summary>
    public Exchange Post(ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        var exchange = Send(body, stop);
        // Frameworks answer either to a wrong token.
        var isRefused = exchange.Match(
            static answer => (HttpStatusCode)answer.Status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden, static _ => false);
        var isUntrusted = exchange.Match(static _ => false, static failure => failure.IsTls || failure.IsBroken);

        return (isRefused && template.Refresh()) || (isUntrusted && !stop.IsCancellationRequested && trust.Refresh())
            ? Send(body, stop)
            : exchange;
    }

    private Exchange Send(ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        var either = limit.Begin(stop);
        trust.TakeFaults();

        try
        {
            var parts = template.Parts;
            var answer = AnswerOf(transport.Post(parts, body, either), parts);
            wasAnswered = true;
            return Exchange.NewAnswered(answer);
        }
        catch (Exception error) when (IsEndOf(error, either))
        {
            return Exchange.NewFailed(
                stop.IsCancellationRequested ? NetworkFailure.NewBroken("the agent was told to stop at once")
                : transport.IsBeingSent ? NetworkFailure.NewTimedOut(timeout)
                : transport.IsConnected ? failures.NotOpened(timeout)
                : transport.Refusal is { } refusal ? failures.Of(refusal)
                : failures.NoConnection(timeout));
        }
        catch (Exception error) when (IsOfNetwork(error))
        {
            return Exchange.NewFailed(FailureOf(error));
        }
        catch (InvalidDataException)
        {
            return Exchange.NewFailed(NetworkFailure.NewUnreadable("the answer claims to be gzip, but is not"));
        }
        finally
        {
            limit.End();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        limit.Dispose();
        transport.Dispose();
    }

    /// <summary>The proxy that the environment asks for; null for none, and for one that <see cref="Proxy.RouteTo"/> finds unusable.</summary>
    public static SystemProxy? ProxyFor(Uri endpoint) => SystemProxy.RouteTo(endpoint).Match<SystemProxy?>(
        direct: static () => null,
        through: static (proxy, user, password) => new(proxy, user, password),
        unusable: static _ => null);

    private SslClientAuthenticationOptions? TlsOptions()
    {
        if (template.Endpoint.Scheme != Uri.UriSchemeHttps)
        {
            return null;
        }

        var options = trust.Options();
        options.TargetHost = NameForTls(template.Endpoint);
        return options;
    }

    /// <summary>The server's name as TLS has it: without its root's dot (RFC 6066, section 3).</summary>
    public static string NameForTls(Uri endpoint) => endpoint.IdnHost.TrimEnd('.');

    private static bool IsOfNetwork(Exception error) => error is HttpRequestException or IOException or SocketException;

    // A read that blocked ends with whatever closing its socket makes of it.
    private static bool IsEndOf(Exception error, CancellationToken stop) =>
        error is OperationCanceledException
        || (stop.IsCancellationRequested && (IsOfNetwork(error) || error is ObjectDisposedException));

    private NetworkFailure FailureOf(Exception error)
    {
        if (trust.TakeFaults() is [var fault, .. var others])
        {
            return NetworkFailure.NewTls(fault, others);
        }

        var failure = failures.Of(error);

        // Many servers just hang up on a client without a certificate.
        return failure.IsBroken && trust.WasAskedForCertificate && !wasAnswered
            ? NetworkFailure.NewTls(TlsFault.ClientCertificateWanted, [])
            : failure;
    }

    private static Answer AnswerOf(Reply reply, RequestParts parts) => new(
        reply.Head.Status,
        reply.Head.RetryAfter,
        WithoutSecrets(reply.Head.Location, parts),
        reply.Head.Date,
        reply.Head.SamplesWritten < 0 ? default : FSharpValueOption<long>.NewValueSome(reply.Head.SamplesWritten),
        WithoutSecrets(reply.Head.IsGzip ? Decompressed(reply.Body, parts.IsEnough(reply.Head.Status)) : reply.Body.ToArray(), parts),
        reply.WasSentTwice);

    /// <summary>
    /// Compression was not asked for, but a proxy that does it all the same must not make a delivery look like none.
    /// </summary>
    private static byte[] Decompressed(ReadOnlyMemory<byte> body, bool mayBeCut)
    {
        using var stream = new GZipStream(new MemoryStream(body.ToArray()), CompressionMode.Decompress);
        var text = new byte[LongestAnswer];

        try
        {
            return text[..stream.ReadAtLeast(text, text.Length, throwOnEndOfStream: false)];
        }
        catch (InvalidDataException) when (mayBeCut)
        {
            // The status says enough.
            return [];
        }
    }

    /// <summary>Some servers repeat what they were sent, and what they say is printed.</summary>
    private static byte[] WithoutSecrets(byte[] body, RequestParts parts)
    {
        foreach (var secret in parts.EncodedSecrets)
        {
            for (int from = 0, at; (at = body.AsSpan(from).IndexOf(secret)) >= 0; from += at + secret.Length)
            {
                body.AsSpan(from + at, secret.Length).Fill((byte)'*');
            }
        }

        return body;
    }

    private static string WithoutSecrets(string header, RequestParts parts) => header.Length == 0
        ? ""
        : parts.Secrets.Aggregate(header, static (text, secret) => text.Replace(secret, "***"));
}
