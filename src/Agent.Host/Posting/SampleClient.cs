using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Agent.Core;

namespace Agent.Host.Posting;

/// <summary>Posts a body to one destination and says what became of it; never throws for a network or HTTP failure.</summary>
internal sealed partial class SampleClient : IDisposable
{
    /// <summary>So much of an answer is read; the webapp's own is a few hundred bytes.</summary>
    private const int LongestAnswer = 64 * 1024;

    /// <summary>A connection is renewed after this time, so that a change of DNS is noticed.</summary>
    private static readonly TimeSpan ConnectionLifetime = TimeSpan.FromMinutes(5);

    /// <summary>One that is idle for longer may have been forgotten by what lies in between.</summary>
    private static readonly TimeSpan LongestIdle = TimeSpan.FromMinutes(1);

    /// <summary>So often the class library looks at idle connections, and for that it waits on them asynchronously.</summary>
    private static readonly TimeSpan LookAfterConnections = TimeSpan.FromDays(1);

    private readonly HttpClient http;
    private readonly IRequestForm form;
    private readonly TlsTrust trust;
    private readonly Failures failures;
    private readonly BlockingConnector? connector;
    private readonly TimeSpan timeout;
    private readonly TimeLimit limit;
    private readonly AgentClock clock;
    private readonly byte[] buffer = new byte[LongestAnswer];
    private bool isConnected;
    private bool wasAnswered;

    /// <summary>A client for one destination, which has the trust for itself.</summary>
    public SampleClient(
        IRequestForm form, TlsTrust trust, TimeSpan interval, TimeSpan timeout, string userAgent, AgentClock clock)
    {
        this.form = form;
        this.trust = trust;
        this.timeout = timeout;
        this.clock = clock;
        limit = new TimeLimit(timeout, clock);
        var proxy = new LoopbackBypass(HttpClient.DefaultProxy);
        var proxyUri = proxy.IsBypassed(form.Endpoint) ? null : proxy.GetProxy(form.Endpoint);
        failures = new Failures(form.Endpoint, proxyUri);

        // TLS reads ahead on an idle connection, which must not block.
        connector = form.Endpoint.Scheme == Uri.UriSchemeHttp && (proxyUri is null || proxyUri.Scheme == Uri.UriSchemeHttp)
            ? new BlockingConnector()
            : null;

        var handler = new SocketsHttpHandler
        {
            // A redirect would carry the token to whoever it names.
            AllowAutoRedirect = false,
            UseCookies = false,
            PooledConnectionLifetime = clock.ToReal(interval < LongestIdle ? ConnectionLifetime : LongestIdle),
            ActivityHeadersPropagator = null,

            // Of an answer that is too long the rest is not worth a connection.
            MaxResponseDrainSize = 0,
            Proxy = proxy,
            SslOptions = trust.Options(),
        };

        if (connector is not null)
        {
            handler.ConnectCallback = connector.Connect;
            handler.PooledConnectionIdleTimeout = LookAfterConnections * 4;
        }

        // The limit of one request is kept by a token of its own, which covers the body as well.
        http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        http.DefaultRequestHeaders.UserAgent.ParseAdd(userAgent);
    }

    /// <summary>
    /// Sends one body. Refused secrets are read again from their file, and the body sent once more if they have changed.
    /// <paramref name="stop"/> breaks the request off at once.
    /// </summary>
    public Exchange Post(ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        var exchange = Send(body, stop);
        var isRefused = exchange.Match(static answer => answer.Status == (int)HttpStatusCode.Unauthorized, static _ => false);
        return isRefused && form.Refresh() ? Send(body, stop) : exchange;
    }

    private Exchange Send(ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        using var either = limit.Begin(stop);
        using var content = new SampleContent(body);
        trust.TakeFaults();

        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, form.Endpoint) { Content = content };
            form.Dress(request);
            using var response = ResponseTo(request, either.Token);
            var answer = AnswerOf(response, either.Token);
            isConnected = response.Headers.ConnectionClose != true && answer.Body.Length < LongestAnswer;
            wasAnswered = true;
            return Exchange.NewAnswered(answer);
        }
        catch (Exception error) when (IsEndOf(error, either.Token))
        {
            isConnected = false;

            return Exchange.NewFailed(
                stop.IsCancellationRequested ? NetworkFailure.NewBroken("the agent was told to stop at once")
                : content.IsBeingSent ? NetworkFailure.NewTimedOut(timeout)
                : NetworkFailure.NewNoConnection(failures.Peer, timeout));
        }
        catch (Exception error) when (error is HttpRequestException or IOException)
        {
            isConnected = false;
            return Exchange.NewFailed(FailureOf(error));
        }
        catch (InvalidDataException)
        {
            return Exchange.NewFailed(NetworkFailure.NewBroken("the answer is not the gzip that it says it is"));
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
        http.Dispose();
    }

    // A read that blocked ends with whatever closing its socket makes of it.
    private static bool IsEndOf(Exception error, CancellationToken stop) =>
        error is OperationCanceledException
        || (stop.IsCancellationRequested && error is (HttpRequestException or IOException or ObjectDisposedException));

    /// <summary>
    /// The synchronous way is the cheaper one, but for TLS the time-out does not reach a look-up of a name on it. So there it
    /// is taken only while there is a connection.
    /// </summary>
    private HttpResponseMessage ResponseTo(HttpRequestMessage request, CancellationToken stop) =>
        isConnected || connector is not null
            ? http.Send(request, HttpCompletionOption.ResponseHeadersRead, stop)
            : http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).GetAwaiter().GetResult();

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

    private Answer AnswerOf(HttpResponseMessage response, CancellationToken stop)
    {
        using var received = response.Content.ReadAsStream(stop);

        // Compression was not asked for, but a proxy that does it all the same must not make a delivery look like none.
        using var stream = response.Content.Headers.ContentEncoding is { Count: 1 } codings && codings.All(IsGzip)
            ? new GZipStream(received, CompressionMode.Decompress)
            : received;
        using var end = connector?.BreakOffWhen(stop);
        var length = 0;

        while (length < buffer.Length)
        {
            var count = ReadSome(stream, buffer.AsMemory(length), stop);

            if (count == 0)
            {
                break;
            }

            length += count;
        }

        return new Answer(
            (int)response.StatusCode,
            First(response.Headers, "Retry-After"),
            WithoutSecrets(First(response.Headers, "Location")),
            First(response.Headers, "Date"),
            WithoutSecrets(buffer.AsMemory(0, length).ToArray()));
    }

    private int ReadSome(Stream stream, Memory<byte> target, CancellationToken stop)
    {
        if (connector is not null)
        {
            return stream.Read(target.Span);
        }

        // The synchronous Read cannot be cancelled. An answer that is here already completes at once.
        var read = stream.ReadAsync(target, stop);
        return read.IsCompletedSuccessfully ? read.Result : read.AsTask().GetAwaiter().GetResult();
    }

    /// <summary>Some servers repeat what they were sent, and what they say is printed.</summary>
    private byte[] WithoutSecrets(byte[] body)
    {
        foreach (var secret in form.Secrets.Select(Encoding.UTF8.GetBytes))
        {
            for (int from = 0, at; (at = body.AsSpan(from).IndexOf(secret)) >= 0; from += at + secret.Length)
            {
                body.AsSpan(from + at, secret.Length).Fill((byte)'*');
            }
        }

        return body;
    }

    private string WithoutSecrets(string header) => header.Length == 0
        ? ""
        : form.Secrets.Aggregate(header, static (text, secret) => text.Replace(secret, "***"));

    private static bool IsGzip(string coding) =>
        coding.Equals("gzip", StringComparison.OrdinalIgnoreCase) || coding.Equals("x-gzip", StringComparison.OrdinalIgnoreCase);

    private static string First(HttpResponseHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : "";

    /// <summary>The system's proxy for everything but this machine itself.</summary>
    private sealed class LoopbackBypass(IWebProxy system) : IWebProxy
    {
        public ICredentials? Credentials
        {
            get => system.Credentials;
            set => system.Credentials = value;
        }

        public Uri? GetProxy(Uri destination) => system.GetProxy(destination);

        public bool IsBypassed(Uri host) => host.IsLoopback || system.IsBypassed(host);
    }
}
