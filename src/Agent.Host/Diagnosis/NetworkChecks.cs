using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Posting;
using Microsoft.FSharp.Core;

namespace Agent.Host.Diagnosing;

/// <summary>The way to the webapp, step by step: name, connection, TLS. Where requests go through a proxy, the way to that.</summary>
internal sealed class NetworkChecks
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(3);

    /// <summary>For a name server that is silent about one family of addresses, which does not keep requests from the other.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    private readonly Uri url;
    private readonly Uri? proxy;
    private readonly AgentClock clock;
    private IPAddress[] addresses = [];
    private bool isConnected;
    private FSharpResult<TlsFact, NetworkFailure>? handshake;
    private TimeSpan handshakeTook;

    /// <summary>Nothing is asked yet.</summary>
    public NetworkChecks(Uri url, AgentClock clock)
    {
        this.url = url;
        this.clock = clock;
        proxy = SampleClient.ProxyFor(url)?.Address;
    }

    /// <summary>True once the name has resolved.</summary>
    public bool IsResolved => addresses.Length > 0;

    /// <summary>True once a connection has been made.</summary>
    public bool IsConnected { get; private set; }

    private Uri Next => proxy ?? url;

    /// <summary>Resolves the name.</summary>
    public Row Dns()
    {
        var host = Next.DnsSafeHost;
        var late = FSharpResult<IPAddress[], NetworkFailure>.NewError(NetworkFailure.NewTimedOut(Limit));
        var reading = new Reading<FSharpResult<IPAddress[], NetworkFailure>>("dns", clock, () => Resolve(host));
        var result = reading.Wait(Limit, late);
        addresses = result.Match(static found => found, static _ => []);

        return DoctorRow.Timed(
            reading.Duration,
            Diagnosis.Dns(proxy?.Authority ?? "", host, result.Select(static found => found.Select(static address => address.ToString()).ToArray())));
    }

    /// <summary>Connects, and hangs up.</summary>
    public Row Tcp()
    {
        var begin = clock.Elapsed;
        var result = Within(limit =>
        {
            using var connection = Connected(null, limit);
            return new IPEndPoint(connection.Address, Next.Port).ToString();
        });

        IsConnected = result.IsOk;
        return DoctorRow.Timed(clock.Elapsed - begin, Diagnosis.Tcp(proxy?.Authority ?? "", result));
    }

    /// <summary>Sets up TLS without verifying anything, to see who answers; not where a proxy is in between.</summary>
    public void Handshake(bool isTls)
    {
        if (!isTls || proxy is not null)
        {
            return;
        }

        var begin = clock.Elapsed;
        handshake = Within(limit =>
        {
            var errors = SslPolicyErrors.None;
            using var connection = Connected(
                new SslClientAuthenticationOptions
                {
                    TargetHost = url.DnsSafeHost,
                    RemoteCertificateValidationCallback = (_, _, _, found) =>
                    {
                        errors = found;
                        return true;
                    },
                },
                limit);

            return FactOf(connection.Secured!, errors);
        });

        handshakeTook = clock.Elapsed - begin;
    }

    /// <summary>What the handshake and the real request together say of TLS.</summary>
    public Row Tls(Settings settings, DateTimeOffset now, FSharpValueOption<Exchange> exchange) =>
        handshake is { } result
            ? DoctorRow.Timed(handshakeTook, Diagnosis.Tls(settings, now, result, exchange))
            : DoctorRow.NotChecked("TLS", "the connection goes through a proxy; see ingest");

    private TlsFact FactOf(SslStream stream, SslPolicyErrors errors)
    {
        using var certificate = new X509Certificate2(stream.RemoteCertificate!);

        return new TlsFact(
            protocol: stream.SslProtocol.ToString(),
            subject: certificate.Subject,
            issuer: certificate.Issuer,
            notBefore: certificate.NotBefore,
            notAfter: certificate.NotAfter,
            isForHost: TlsTrust.IsForHost(certificate, url.DnsSafeHost),
            isTrusted: !errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors));
    }

    private FSharpResult<IPAddress[], NetworkFailure> Resolve(string host) =>
        new HostAddresses(host, System.Net.Dns.GetHostAddresses, clock).Resolve(Grace) is { Length: > 0 } found
            ? FSharpResult<IPAddress[], NetworkFailure>.NewOk(found)
            : FSharpResult<IPAddress[], NetworkFailure>.NewError(NetworkFailure.NewNameNotResolved(host));

    // As requests do it: a dead address is no obstacle where another one is alive.
    private Connection Connected(SslClientAuthenticationOptions? tls, CancellationToken limit)
    {
        var known = new HostAddresses(Next.IdnHost, (_, family) => [.. addresses.Where(address => address.AddressFamily == family)], clock);
        var opening = ConnectAttempt.Begin(Next, tls, known, clock);

        try
        {
            return opening.Result(limit);
        }
        catch
        {
            isConnected = opening.IsConnected;
            opening.Abandon();
            throw;
        }
    }

    private FSharpResult<T, NetworkFailure> Within<T>(Func<CancellationToken, T> attempt)
    {
        using var limit = new CancellationTokenSource(Limit, clock);

        try
        {
            return FSharpResult<T, NetworkFailure>.NewOk(attempt(limit.Token));
        }
        catch (OperationCanceledException)
        {
            var failures = new Failures(Next, null);
            return Failed<T>(isConnected ? failures.NotOpened(Limit) : failures.NoConnection(Limit));
        }
        catch (Exception error) when (error is SocketException or IOException or HttpRequestException)
        {
            return Failed<T>(new Failures(Next, null).Of(error));
        }
    }

    private static FSharpResult<T, NetworkFailure> Failed<T>(NetworkFailure failure) =>
        FSharpResult<T, NetworkFailure>.NewError(failure);
}
