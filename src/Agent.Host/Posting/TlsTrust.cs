using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>
/// Whom a TLS connection trusts and what it shows of itself, and what was wrong with the last certificate it saw. What
/// that amounts to is decided by <see cref="Tls"/>.
/// </summary>
internal sealed class TlsTrust
{
    private readonly X509Certificate2Collection issuers;
    private readonly ClientIdentity? identity;
    private readonly bool insecure;
    private readonly TimeProvider time;
    private TlsFault[] faults = [];

    private TlsTrust(X509Certificate2Collection issuers, ClientIdentity? identity, bool insecure, TimeProvider time)
    {
        this.issuers = issuers;
        this.identity = identity;
        this.insecure = insecure;
        this.time = time;
    }

    /// <summary>The trust that the user wants, or a sentence for each file that cannot be used.</summary>
    public static FSharpResult<TlsTrust, ConfigError[]> Open(Settings settings, TimeProvider time)
    {
        var errors = new List<ConfigError>();

        T Or<T>(FSharpResult<T, ConfigError> result, T fallback) => result.Match(
            static value => value,
            error =>
            {
                errors.Add(error);
                return fallback;
            });

        var issuers = settings.CaFile.Length > 0 ? Or(PemFiles.Bundle("--ca-file", settings.CaFile), []) : [];
        var identity = settings.ClientCertificate.Length > 0
            ? Or(
                PemFiles
                    .Identity("--client-cert", settings.ClientCertificate, "--client-key", settings.ClientKey)
                    .Select(static found => (ClientIdentity?)found),
                null)
            : null;

        return errors.Count > 0
            ? FSharpResult<TlsTrust, ConfigError[]>.NewError([.. errors])
            : FSharpResult<TlsTrust, ConfigError[]>.NewOk(new TlsTrust(issuers, identity, settings.Insecure, time));
    }

    /// <summary>True once a server has asked for a client certificate, and none was given.</summary>
    public bool WasAskedForCertificate { get; private set; }

    /// <summary>What was wrong with the last certificate, which is forgotten by this; empty for nothing.</summary>
    public TlsFault[] TakeFaults() => Interlocked.Exchange(ref faults, []);

    /// <summary>Options for a client.</summary>
    public SslClientAuthenticationOptions Options()
    {
        var options = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = Accepts };

        if (identity is not null)
        {
            // Offline: nothing is fetched from the addresses that stand in the certificate.
            options.ClientCertificateContext =
                SslStreamCertificateContext.Create(identity.Certificate, identity.Intermediates, offline: true);
        }
        else
        {
            // Called once before the server has been heard, and again when it asks.
            options.LocalCertificateSelectionCallback = (_, _, _, server, _) =>
            {
                WasAskedForCertificate |= server is not null;
                return null!;
            };
        }

        return options;
    }

    private bool Accepts(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
    {
        if (insecure || errors == SslPolicyErrors.None)
        {
            return true;
        }

        var own = certificate as X509Certificate2;
        var isForHost = !errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch);
        var links = own is null || chain is null || !errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors)
            ? []
            : LinksThatFail(own, chain);

        if (own is not null && isForHost && links is [])
        {
            return true;
        }

        var host = (sender as SslStream)?.TargetHostName ?? "";
        Volatile.Write(
            ref faults,
            Tls.OfCertificate(new CertificateFacts(host, isForHost || own is null, NamesOf(own), links, time.GetUtcNow())));
        return false;
    }

    /// <summary>The chain with what is wrong with it, or nothing when one of the user's issuers vouches for it.</summary>
    private CertificateLink[] LinksThatFail(X509Certificate2 own, X509Chain chain)
    {
        var links = Links(chain, static _ => true);

        if (issuers.Count == 0)
        {
            return links;
        }

        using var second = new X509Chain();
        second.ChainPolicy = chain.ChainPolicy.Clone();
        second.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        second.ChainPolicy.CustomTrustStore.AddRange(issuers);

        // The bundle may hold an intermediate, or the server's own certificate, without the root. So the chain may end
        // anywhere; everything else about it is checked, and one of the bundle must be in it.
        second.ChainPolicy.VerificationFlags = X509VerificationFlags.AllowUnknownCertificateAuthority;
        var isGood = second.Build(own);

        if (!second.ChainElements.Any(element => IsIssuer(element.Certificate)))
        {
            return links;
        }

        return isGood
            ? []
            : Links(second, static flag => flag is not (X509ChainStatusFlags.UntrustedRoot or X509ChainStatusFlags.PartialChain));
    }

    private bool IsIssuer(X509Certificate2 certificate) =>
        issuers.Any(issuer => issuer.RawDataMemory.Span.SequenceEqual(certificate.RawDataMemory.Span));

    private static CertificateLink[] Links(X509Chain chain, Func<X509ChainStatusFlags, bool> counts) =>
    [
        .. from element in chain.ChainElements
           let certificate = element.Certificate
           select new CertificateLink(
               NameOf(certificate, false),
               NameOf(certificate, true),
               certificate.NotBefore,
               certificate.NotAfter,
               [.. from status in element.ChainElementStatus where counts(status.Status) select status.Status.ToString()]),
    ];

    private static string NameOf(X509Certificate2 certificate, bool issuer) =>
        certificate.GetNameInfo(X509NameType.SimpleName, issuer) is { Length: > 0 } name
            ? name
            : issuer ? certificate.Issuer : certificate.Subject;

    private static string[] NamesOf(X509Certificate2? certificate)
    {
        if (certificate is null)
        {
            return [];
        }

        var alternatives = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().ToArray();
        string[] names =
        [
            .. from extension in alternatives from name in extension.EnumerateDnsNames() select name,
            .. from extension in alternatives from address in extension.EnumerateIPAddresses() select address.ToString(),
        ];

        return names is [] && certificate.GetNameInfo(X509NameType.SimpleName, false) is { Length: > 0 } common ? [common] : names;
    }
}
