using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>Goes through the system's proxy, by the client of the class library, which knows every kind of them.</summary>
internal sealed class ProxiedTransport : ITransport
{
    /// <summary>
    /// Connections that one request may open: one, and another where that was closed without an answer. The class library alone would
    /// open up to sixteen, four times four, one right after the other.
    /// </summary>
    private const int MostConnects = 2;

    /// <summary>A proxy that asks for a name and a password may close each connection on which it asks.</summary>
    private const int MostConnectsWithPassword = 4;

    private readonly Uri endpoint;
    private readonly AgentClock clock;
    private readonly HttpClient http;
    private readonly int mostConnects;

    // The class library takes the server's name for TLS from there; null leaves it the URL's.
    private readonly string? hostHeader;
    private readonly byte[] buffer = new byte[SampleClient.LongestAnswer];
    private SampleContent? content;
    private HostAddresses? addresses;
    private string addressed = "";
    private ProxyStream? stream;
    private bool isKept;
    private int connects;
    private long heard;

    /// <summary>A transport to one endpoint.</summary>
    /// <param name="endpoint">Where bodies go.</param>
    /// <param name="proxy">The system's proxy.</param>
    /// <param name="trust">Whom TLS trusts.</param>
    /// <param name="lifetime">So long a connection is used, in real time.</param>
    /// <param name="userAgent">Who the agent is.</param>
    /// <param name="clock">The monotonic clock.</param>
    public ProxiedTransport(Uri endpoint, IWebProxy proxy, TlsTrust trust, TimeSpan lifetime, string userAgent, AgentClock clock)
    {
        this.endpoint = endpoint;
        this.clock = clock;
        hostHeader = endpoint.Scheme == Uri.UriSchemeHttps && endpoint.IdnHost.EndsWith('.')
            ? SampleClient.NameForTls(endpoint) + (endpoint.IsDefaultPort ? "" : ":" + endpoint.Port.ToString(CultureInfo.InvariantCulture))
            : null;
        mostConnects = proxy.Credentials is null ? MostConnects : MostConnectsWithPassword;

        // The limit of one request is kept by a token of its own, which covers the body as well.
        http = new HttpClient(new SocketsHttpHandler
        {
            // A redirect would carry the token to whoever it names.
            AllowAutoRedirect = false,
            UseCookies = false,
            PooledConnectionLifetime = lifetime,
            ActivityHeadersPropagator = null,
            ConnectCallback = (context, stop) => new ValueTask<Stream>(ConnectTo(context.DnsEndPoint, stop)),

            // Of an answer that is too long the rest is not worth a connection.
            MaxResponseDrainSize = 0,
            Proxy = proxy,
            SslOptions = trust.Options(),
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        http.DefaultRequestHeaders.UserAgent.ParseAdd(userAgent);
    }

    /// <inheritdoc/>
    public bool IsBeingSent => content is { IsBeingSent: true };

    /// <inheritdoc/>
    public SocketException? Refusal => null;

    /// <inheritdoc/>
    public bool IsConnected => Volatile.Read(ref stream) is not null;

    /// <inheritdoc/>
    public Reply Post(RequestParts parts, ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        var wasConnected = isKept;

        try
        {
            return ReplyTo(parts, body, stop);
        }
        catch (Exception gone) when (wasConnected && IsOfNetwork(gone) && WasIdle && !stop.IsCancellationRequested)
        {
            // As DirectTransport does it: it was closed for being idle while the request was on its way (RFC 9112, section 9.3.1).
            return ReplyAgain(gone, parts, body, stop) with { WasSentTwice = true };
        }
    }

    private Reply ReplyAgain(Exception gone, RequestParts parts, ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        try
        {
            return ReplyTo(parts, body, stop);
        }
        catch (Exception error) when (IsOfNetwork(error) && !IsBeingSent)
        {
            // Without a new connection the request is reported as what it is: sent, and not answered.
            ExceptionDispatchInfo.Throw(gone);
            throw;
        }
    }

    /// <summary>True when the request went over a connection that was kept, and not a byte of an answer came.</summary>
    private bool WasIdle => Volatile.Read(ref connects) == 0 && stream is { } used
        && used.Heard - heard <= (endpoint.Scheme == Uri.UriSchemeHttps ? ProxyStream.LongestFarewell : 0);

    private static bool IsOfNetwork(Exception error) => error is HttpRequestException or IOException or SocketException;

    private Reply ReplyTo(RequestParts parts, ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, endpoint) { Content = content = new SampleContent(body) };
        request.Headers.Host = hostHeader;

        foreach (var (name, value) in parts.Headers)
        {
            // Those that belong to the body are no headers of the request to the class library.
            if (!request.Headers.TryAddWithoutValidation(name, value))
            {
                content.Headers.TryAddWithoutValidation(name, value);
            }
        }

        using var response = ResponseTo(request, stop);
        var text = BodyOf(response, parts, stop, out var isCut);
        isKept = response.Headers.ConnectionClose != true && text.Length < buffer.Length && !isCut;
        return new Reply(HeadOf(response, text.Length), text);
    }

    /// <inheritdoc/>
    public AnswerHead Ask(CancellationToken stop)
    {
        content = null;
        using var request = new HttpRequestMessage(HttpMethod.Get, endpoint);
        request.Headers.Host = hostHeader;
        using var response = ResponseTo(request, stop);
        return HeadOf(response, 0);
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    /// <summary>To the proxy, by all of its addresses: the class library waits for each until it has failed.</summary>
    private Stream ConnectTo(DnsEndPoint proxy, CancellationToken stop)
    {
        if (Interlocked.Increment(ref connects) > mostConnects)
        {
            throw new IOException("it was closed before the answer was complete");
        }

        Volatile.Write(ref stream, null);

        if (addresses is null || addressed != proxy.Host)
        {
            (addresses, addressed) = (new HostAddresses(proxy.Host, Dns.GetHostAddresses, clock), proxy.Host);
        }

        var opening = ConnectAttempt.Begin(new UriBuilder(Uri.UriSchemeHttp, proxy.Host, proxy.Port).Uri, null, addresses, clock);

        try
        {
            var made = new ProxyStream(opening.Result(stop).Socket);
            Volatile.Write(ref stream, made);
            return made;
        }
        catch (HttpRequestException error) when (error.HttpRequestError == HttpRequestError.NameResolutionError)
        {
            // The one by which the client knows it.
            throw new SocketException((int)SocketError.HostNotFound);
        }
        catch (OperationCanceledException)
        {
            opening.Abandon();
            throw;
        }
    }

    // The synchronous way is the cheaper one, but the token does not reach a look-up of a name on it. So it is taken only while
    // there is a connection.
    private HttpResponseMessage ResponseTo(HttpRequestMessage request, CancellationToken stop)
    {
        var wasConnected = isKept;
        isKept = false;
        Volatile.Write(ref connects, 0);

        // Until there is another, the one that is kept counts, and one over which an earlier request waited for the way on.
        heard = stream?.Heard ?? 0;
        return wasConnected
            ? http.Send(request, HttpCompletionOption.ResponseHeadersRead, stop)
            : http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).GetAwaiter().GetResult();
    }

    private AnswerHead HeadOf(HttpResponseMessage response, int length) => new(
        (int)response.StatusCode,
        BodyEnd.NewAfterBytes(length),
        isKept,
        IsGzip(First(response.Content.Headers, "Content-Encoding")),
        First(response.Headers, "Retry-After"),
        First(response.Headers, "Location"),
        First(response.Headers, "Date"),
        First(response.Content.Headers, "Allow"),
        long.TryParse(First(response.Headers, RemoteWrite.SamplesWrittenHeader), CultureInfo.InvariantCulture, out var samples) ? samples : -1);

    /// <summary>Where the head is enough the rest may be lost, as in <see cref="DirectTransport"/>.</summary>
    private ReadOnlyMemory<byte> BodyOf(HttpResponseMessage response, RequestParts parts, CancellationToken stop, out bool isCut)
    {
        using var answer = response.Content.ReadAsStream(stop);
        var length = 0;
        isCut = false;

        try
        {
            // The synchronous read cannot be cancelled.
            while (length < buffer.Length && ReadSome(answer, buffer.AsMemory(length), stop) is > 0 and var count)
            {
                length += count;
            }
        }
        catch (Exception error) when (parts.IsEnough((int)response.StatusCode) && (IsOfNetwork(error) || error is OperationCanceledException))
        {
            isCut = true;
        }

        return buffer.AsMemory(0, length);
    }

    private static int ReadSome(Stream stream, Memory<byte> target, CancellationToken stop)
    {
        // An answer that is here already completes at once.
        var read = stream.ReadAsync(target, stop);
        return read.IsCompletedSuccessfully ? read.Result : read.AsTask().GetAwaiter().GetResult();
    }

    private static bool IsGzip(string coding) =>
        coding.Equals("gzip", StringComparison.OrdinalIgnoreCase) || coding.Equals("x-gzip", StringComparison.OrdinalIgnoreCase);

    private static string First(HttpHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : "";
}
