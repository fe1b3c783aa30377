using System.Globalization;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>A certificate with its key and its chain, ready for handshakes.</summary>
internal sealed record TlsPair(SslStreamCertificateContext Context)
{
    /// <summary>Until when it is valid, UTC.</summary>
    public DateTimeOffset NotAfter => Context.TargetCertificate.NotAfter.ToUniversalTime();
}

/// <summary>The certificate of the listener, from two PEM files that may be replaced while it serves. TLS 1.2 and 1.3.</summary>
internal sealed class TlsCertificates
{
    private const int LongestFile = 262144;
    private const string Option = "--tls-certificate";
    private static readonly TimeSpan HandshakeLimit = TimeSpan.FromSeconds(10);

    /// <summary>From here on the end of a certificate is logged, once a day.</summary>
    private static readonly TimeSpan Notice = TimeSpan.FromDays(14);

    private readonly WatchedFiles<TlsPair> files;
    private readonly AgentClock clock;
    private readonly Action<string> complain;
    private DateTimeOffset nextNotice;

    private TlsCertificates(string certificate, string key, AgentClock clock, Action<string> complain)
    {
        this.clock = clock;
        this.complain = complain;
        var isFirst = true;
        files = new WatchedFiles<TlsPair>(
            Option,
            [certificate, key],
            LongestFile,
            contents =>
            {
                var pair = Read(contents, isFirst ? DateTimeOffset.MinValue : clock.GetUtcNow());
                isFirst &= !pair.IsOk;
                return pair;
            },
            complain)
        {
            Describe = static pair => $"were read again; the certificate is valid until {Day(pair.NotAfter)}",
        };
    }

    /// <summary>Until when the certificate is valid, UTC.</summary>
    public DateTimeOffset NotAfter => files.Current.NotAfter;

    /// <summary>Reads the files; the error is a sentence.</summary>
    public static FSharpResult<TlsCertificates, string> Open(string certificate, string key, AgentClock clock, Action<string> complain)
    {
        var certificates = new TlsCertificates(certificate, key, clock, complain);

        if (certificates.files.Open() is { } problem)
        {
            return FSharpResult<TlsCertificates, string>.NewError(problem);
        }

        certificates.Remind();
        return FSharpResult<TlsCertificates, string>.NewOk(certificates);
    }

    /// <summary>Makes a listener speak TLS, each handshake with the certificate of its time.</summary>
    public void Use(ListenOptions listener) =>
        listener.UseHttps(new TlsHandshakeCallbackOptions
        {
            HandshakeTimeout = HandshakeLimit,
            OnConnection = _ => ValueTask.FromResult(new SslServerAuthenticationOptions
            {
                ServerCertificateContext = files.Current.Context,
                EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            }),
        });

    /// <summary>Looks whether the files have changed, and whether the certificate ends soon.</summary>
    public void Poll()
    {
        files.Poll();
        Remind();
    }

    private void Remind()
    {
        var now = clock.GetUtcNow();
        var end = files.Current.NotAfter;

        if (end - now < Notice && now >= nextNotice)
        {
            nextNotice = now + TimeSpan.FromDays(1);
            complain($"{Option}: the certificate {(end < now ? "expired" : "expires")} on {Day(end)}");
        }
    }

    private static string Day(DateTimeOffset instant) => instant.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);

    /// <summary>The pair in two PEM texts. One that has ended is taken at the start only, when there is no better one.</summary>
    private static FSharpResult<TlsPair, string> Read(byte[][] contents, DateTimeOffset now)
    {
        try
        {
            var text = System.Text.Encoding.UTF8.GetString(contents[0]);
            var certificate = X509Certificate2.CreateFromPem(text, System.Text.Encoding.UTF8.GetString(contents[1]));

            if (certificate.NotAfter.ToUniversalTime() < now)
            {
                return Error($"contain a certificate that expired on {Day(certificate.NotAfter.ToUniversalTime())}");
            }

            var chain = new X509Certificate2Collection();
            chain.ImportFromPem(text);
            // The first one is the certificate itself.
            chain.RemoveAt(0);
            return FSharpResult<TlsPair, string>.NewOk(new TlsPair(SslStreamCertificateContext.Create(certificate, chain, offline: true)));
        }
        catch (Exception unusable) when (unusable is CryptographicException or ArgumentException or NotSupportedException)
        {
            return Error($"contain no PEM certificate with its key, or the key has a password: {unusable.Message}");
        }

        static FSharpResult<TlsPair, string> Error(string sentence) => FSharpResult<TlsPair, string>.NewError(sentence);
    }
}
