using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Agent.Core;

namespace Agent.Host.Posting;

/// <summary>Posts one encoded sample and says what became of it; never throws for a network or HTTP failure.</summary>
internal sealed partial class IngestClient : IDisposable
{
    /// <summary>So much of an answer is read; the webapp's own is a few hundred bytes.</summary>
    private const int LongestAnswer = 64 * 1024;

    /// <summary>A connection is renewed after this time, so that a change of DNS is noticed.</summary>
    private static readonly TimeSpan ConnectionLifetime = TimeSpan.FromMinutes(5);

    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpClient http;
    private readonly Target target;
    private readonly TokenSource token;
    private readonly TimeSpan timeout;
    private readonly AgentClock clock;
    private readonly byte[] buffer = new byte[LongestAnswer];

    /// <summary>A client for one target.</summary>
    public IngestClient(Target target, TokenSource token, TimeSpan timeout, bool insecure, string userAgent, AgentClock clock)
    {
        this.target = target;
        this.token = token;
        this.timeout = timeout;
        this.clock = clock;

        var handler = new SocketsHttpHandler
        {
            // A redirect would carry the token to whoever it names.
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            PooledConnectionLifetime = clock.ToReal(ConnectionLifetime),
            ActivityHeadersPropagator = null,

            // Of an answer that is too long the rest is not worth a connection.
            MaxResponseDrainSize = 0,
            Proxy = new LoopbackBypass(HttpClient.DefaultProxy),
        };

        if (insecure)
        {
            handler.SslOptions = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = static (_, _, _, _) => true,
            };
        }

        // The limit of one request is kept by a token of its own, which covers the body as well.
        http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        http.DefaultRequestHeaders.Accept.ParseAdd("application/json");
        http.DefaultRequestHeaders.UserAgent.ParseAdd(userAgent);
    }

    /// <summary>
    /// Sends one body. A refused token is read again from its file, and the body sent once more if it has changed.
    /// <paramref name="stop"/> breaks the request off at once.
    /// </summary>
    public Exchange Post(ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        var exchange = Send(body, stop);
        var isRefused = exchange.Match(static answer => answer.Status == (int)HttpStatusCode.Unauthorized, static _ => false);
        return isRefused && token.Refresh() ? Send(body, stop) : exchange;
    }

    private Exchange Send(ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        using var limit = new CancellationTokenSource(timeout, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stop);

        try
        {
            using var content = new ReadOnlyMemoryContent(body);
            content.Headers.ContentType = Json;
            using var request = new HttpRequestMessage(HttpMethod.Post, target.Endpoint) { Content = content };
            request.Headers.Add("X-Monitoring-Token", token.Current.Reveal());
            using var response = http.Send(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            return Exchange.NewAnswered(AnswerOf(response, either.Token));
        }
        catch (OperationCanceledException)
        {
            return Exchange.NewFailed(
                stop.IsCancellationRequested
                    ? NetworkFailure.NewBroken("the agent was told to stop at once")
                    : NetworkFailure.NewTimedOut(timeout));
        }
        catch (Exception error) when (error is HttpRequestException or IOException)
        {
            return Exchange.NewFailed(FailureOf(error));
        }
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    private Answer AnswerOf(HttpResponseMessage response, CancellationToken stop)
    {
        using var stream = response.Content.ReadAsStream(stop);
        var length = 0;

        while (length < buffer.Length)
        {
            // The synchronous Read cannot be cancelled. An answer that is here already completes at once.
            var read = stream.ReadAsync(buffer.AsMemory(length), stop);
            var count = read.IsCompletedSuccessfully ? read.Result : read.AsTask().GetAwaiter().GetResult();

            if (count == 0)
            {
                break;
            }

            length += count;
        }

        return new Answer(
            (int)response.StatusCode,
            First(response.Headers, "Retry-After"),
            First(response.Headers, "Location"),
            First(response.Headers, "Date"),
            buffer.AsMemory(0, length).ToArray());
    }

    private static string First(HttpResponseHeaders headers, string name) =>
        headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : "";

    private NetworkFailure FailureOf(Exception error)
    {
        var address = target.Endpoint.Authority;
        var socket = error.InnerException as SocketException;

        return (error as HttpRequestException)?.HttpRequestError switch
        {
            HttpRequestError.NameResolutionError => NetworkFailure.NewNameNotResolved(target.Endpoint.Host),
            HttpRequestError.SecureConnectionError => NetworkFailure.NewTls(Innermost<AuthenticationException>(error)),
            _ => socket?.SocketErrorCode switch
            {
                SocketError.ConnectionRefused => NetworkFailure.NewRefused(address),
                SocketError.NetworkUnreachable or SocketError.HostUnreachable => NetworkFailure.NewUnreachable(address),
                SocketError.TimedOut => NetworkFailure.NewUnreachable(address),
                _ => NetworkFailure.NewBroken(error.InnerException?.Message ?? error.Message),
            },
        };
    }

    private static string Innermost<T>(Exception error)
        where T : Exception
    {
        for (var inner = error; inner is not null; inner = inner.InnerException)
        {
            if (inner is T)
            {
                return inner.Message;
            }
        }

        return error.Message;
    }

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
