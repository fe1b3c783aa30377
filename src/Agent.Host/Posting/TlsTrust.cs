using System.Formats.Asn1;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>
/// Whom a TLS connection trusts and what it shows of itself, and what was wrong with the last certificate it saw. What
/// that amounts to is decided by <see cref="Tls"/>.
/// </summary>
internal sealed class TlsTrust
{
    private readonly bool insecure;
    private readonly TimeProvider time;
    private readonly Settings? source;
    private X509Certificate2Collection issuers;
    private ClientIdentity? identity;
    private SslClientAuthenticationOptions? given;
    private TlsFault[] faults = [];

    /// <summary>Trust in these issuers beside the system's.</summary>
    internal TlsTrust(X509Certificate2Collection issuers, ClientIdentity? identity, bool insecure, TimeProvider time, Settings? source = null)
    {
        this.source = source;
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

        // Where nothing is verified, or the user says otherwise, they do not matter.
        if (settings.CaFile.Length == 0 && !settings.Insecure && OpenSsl.Connecting(settings) is not [] && TrustVariables.Apply() is { } unusable)
        {
            errors.Add(unusable);
        }

        return errors.Count > 0
            ? FSharpResult<TlsTrust, ConfigError[]>.NewError([.. errors])
            : FSharpResult<TlsTrust, ConfigError[]>.NewOk(new TlsTrust(issuers, identity, settings.Insecure, time, settings));
    }

    /// <summary>True once a server has asked for a client certificate, and none was given.</summary>
    public bool WasAskedForCertificate { get; private set; }

    /// <summary>What was wrong with the last certificate, which is forgotten by this; empty for nothing.</summary>
    public TlsFault[] TakeFaults() => Interlocked.Exchange(ref faults, []);

    /// <summary>
    /// Reads the user's files again after a failure, because issuers and client certificates are renewed: true when they hold others than
    /// before, which count from the next connection on. Files that cannot be used, as while they are replaced, change nothing.
    /// </summary>
    public bool Refresh()
    {
        if (source is null || (source.CaFile.Length == 0 && source.ClientCertificate.Length == 0))
        {
            return false;
        }

        return Open(source, time).Match(
            fresh =>
            {
                var isSame = Same(fresh.issuers, issuers) && Same(OwnOf(fresh.identity), OwnOf(identity));

                if (!isSame)
                {
                    (issuers, identity) = (fresh.issuers, fresh.identity);
                    Show(given);
                }

                return !isSame;
            },
            static _ => false);
    }

    private static bool Same(X509Certificate2Collection one, X509Certificate2Collection other)
    {
        var isSame = one.Count == other.Count;

        for (var i = 0; isSame && i < one.Count; i++)
        {
            isSame = one[i].RawDataMemory.Span.SequenceEqual(other[i].RawDataMemory.Span);
        }

        return isSame;
    }

    private static X509Certificate2Collection OwnOf(ClientIdentity? identity) =>
        identity is null ? [] : [identity.Certificate, .. identity.Intermediates];

    private void Show(SslClientAuthenticationOptions? options)
    {
        if (options is not null && identity is not null)
        {
            // Offline: nothing is fetched from the addresses that stand in the certificate.
            options.ClientCertificateContext =
                SslStreamCertificateContext.Create(identity.Certificate, identity.Intermediates, offline: true);
        }
    }

    /// <summary>Options for a client.</summary>
    public SslClientAuthenticationOptions Options()
    {
        var options = given = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = Accepts };

        if (identity is not null)
        {
            Show(options);
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

    /// <summary>
    /// True when the certificate is for the host by its subject alternative names. A common name does not count (RFC 9525, section 2).
    /// </summary>
    public static bool IsForHost(X509Certificate2 certificate, string host)
    {
        // An address may have a zone, and a name its root's dot.
        var plain = host.Split('%')[0].TrimEnd('.');
        return plain.Length > 0 && certificate.MatchesHostname(plain, allowWildcards: true, allowCommonName: false);
    }

    /// <summary>
    /// True for a chain that is accepted; faults are kept for <see cref="TakeFaults"/>. What the system finds is in
    /// <paramref name="chain"/> and <paramref name="errors"/>.
    /// </summary>
    internal bool Accepts(string host, X509Certificate2? own, X509Chain? chain, SslPolicyErrors errors)
    {
        if (insecure)
        {
            return true;
        }

        var isForHost = own is null || (!errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch) && IsForHost(own, host));
        var links = own is null || chain is null ? [] : LinksOf(own, chain, errors);

        // A chain without links proves nothing.
        if (isForHost && links is not [] && links.All(static link => link.Problems is []) && !errors.HasFlag(SslPolicyErrors.RemoteCertificateNotAvailable))
        {
            return true;
        }

        Volatile.Write(ref faults, Tls.OfCertificate(new CertificateFacts(host, isForHost, NamesOf(own), links, time.GetUtcNow())));
        return false;
    }

    private bool Accepts(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors) =>
        Accepts((sender as SslStream)?.TargetHostName ?? "", certificate as X509Certificate2, chain, errors);

    /// <summary>The chain with what is wrong with each certificate: the system's, or one that ends at the user's issuers.</summary>
    private CertificateLink[] LinksOf(X509Certificate2 own, X509Chain chain, SslPolicyErrors errors)
    {
        if (!errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors) || issuers.Count == 0)
        {
            return Links(chain, static _ => true);
        }

        using var second = new X509Chain();
        second.ChainPolicy = chain.ChainPolicy.Clone();
        second.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        second.ChainPolicy.CustomTrustStore.AddRange(issuers);

        // The bundle may hold an intermediate, or the server's own certificate, without the root. So the chain may end
        // anywhere; everything else about it is checked, and one of the bundle must be in it.
        second.ChainPolicy.VerificationFlags = X509VerificationFlags.AllowUnknownCertificateAuthority;
        second.Build(own);

        return second.ChainElements.Any(element => IsIssuer(element.Certificate))
            ? Links(second, static flag => flag is not (X509ChainStatusFlags.UntrustedRoot or X509ChainStatusFlags.PartialChain))
            : Links(chain, static _ => true);
    }

    private bool IsIssuer(X509Certificate2 certificate) =>
        issuers.Any(issuer => issuer.RawDataMemory.Span.SequenceEqual(certificate.RawDataMemory.Span));

    private CertificateLink[] Links(X509Chain chain, Func<X509ChainStatusFlags, bool> counts)
    {
        // What stands above an issuer of the user's has no part in the trust.
        var anchor = chain.ChainElements.ToList().FindIndex(element => IsIssuer(element.Certificate));
        var last = anchor < 0 ? chain.ChainElements.Count - 1 : anchor;

        return
        [
            .. from found in chain.ChainElements.Index()
               let certificate = found.Item.Certificate
               select new CertificateLink(
                   NameOf(certificate, false),
                   NameOf(certificate, true),
                   certificate.NotBefore,
                   certificate.NotAfter,
                   [
                       .. from status in found.Item.ChainElementStatus where counts(status.Status) select status.Status.ToString(),
                       .. found.Index <= last ? WeaknessesOf(certificate, isAnchor: found.Index == last && (anchor >= 0 || IsRoot(certificate))) : [],
                   ]),
        ];
    }

    private static bool IsRoot(X509Certificate2 certificate) =>
        certificate.SubjectName.RawData.AsSpan().SequenceEqual(certificate.IssuerName.RawData);

    private static string[] WeaknessesOf(X509Certificate2 certificate, bool isAnchor)
    {
        using var key = certificate.GetRSAPublicKey();
        return Tls.Weaknesses(isAnchor, SignatureOf(certificate), key?.KeySize ?? 0);
    }

    /// <summary>The algorithm of the signature; of RSASSA-PSS, which is used with any hash, the hash (RFC 4055, section 3.1).</summary>
    private static string SignatureOf(X509Certificate2 certificate)
    {
        const string Pss = "1.2.840.113549.1.1.10";
        const string Sha1 = "1.3.14.3.2.26";
        var algorithm = certificate.SignatureAlgorithm.Value ?? "";

        if (algorithm != Pss)
        {
            return algorithm;
        }

        try
        {
            var signed = new AsnReader(certificate.RawDataMemory, AsnEncodingRules.DER).ReadSequence();
            signed.ReadEncodedValue();
            var identifier = signed.ReadSequence();
            identifier.ReadObjectIdentifier();
            var parameters = identifier.ReadSequence();
            var hash = new Asn1Tag(TagClass.ContextSpecific, 0);

            // The hash that is not named is SHA-1.
            return parameters.HasData && parameters.PeekTag().HasSameClassAndValue(hash)
                ? parameters.ReadSequence(hash).ReadSequence().ReadObjectIdentifier()
                : Sha1;
        }
        catch (AsnContentException)
        {
            return Sha1;
        }
    }

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

        return
        [
            .. from extension in alternatives from name in extension.EnumerateDnsNames() select name,
            .. from extension in alternatives from address in extension.EnumerateIPAddresses() select address.ToString(),
        ];
    }
}
