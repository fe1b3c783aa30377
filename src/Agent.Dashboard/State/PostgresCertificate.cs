using System.Buffers.Binary;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Agent.Receiver;

namespace Agent.Dashboard.State;

/// <summary>
/// What is wrong with the certificate of a PostgreSQL that the driver has refused, which does not say why. It decides nothing: it is looked at for the sentence alone, on a
/// connection of its own that sends no more than the wish for TLS.
/// </summary>
internal static class PostgresCertificate
{
    private const int ConnectMilliseconds = 4000;

    /// <summary>The protocol's SSLRequest: its length and its code (PostgreSQL's manual, "Message Formats").</summary>
    private const int RequestLength = 8;
    private const int RequestCode = 80877103;

    /// <summary>Why the file of an authority cannot be used, as a sentence; null where it can, or none is named.</summary>
    public static string? Unusable(StateAddress address)
    {
        if (address.RootCertificate.Length == 0)
        {
            return null;
        }

        var named = $"--state: sslrootcert \"{address.RootCertificate}\"";

        try
        {
            var found = new X509Certificate2Collection();
            found.ImportFromPemFile(address.RootCertificate);
            return found.Count > 0 ? null : $"{named} has no certificate in PEM";
        }
        catch (CryptographicException)
        {
            return $"{named} has no certificate in PEM";
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return $"{named} cannot be read: {FaultReason.Of(unreadable)}";
        }
    }

    /// <summary>What is wrong with the certificate; null where it cannot be had.</summary>
    public static StateFault? Fault(StateAddress address)
    {
        StateFault? fault = null;

        try
        {
            using var connection = new TcpClient();

            if (!connection.ConnectAsync(address.Host, address.Port).Wait(ConnectMilliseconds))
            {
                return null;
            }

            connection.SendTimeout = connection.ReceiveTimeout = ConnectMilliseconds;
            var plain = connection.GetStream();
            Span<byte> request = stackalloc byte[RequestLength];
            BinaryPrimitives.WriteInt32BigEndian(request, RequestLength);
            BinaryPrimitives.WriteInt32BigEndian(request[4..], RequestCode);
            plain.Write(request);

            if (plain.ReadByte() != 'S')
            {
                return null;
            }

            using var secure = new SslStream(plain, leaveInnerStreamOpen: true, Look);
            secure.AuthenticateAsClient(address.Host);
        }
        catch (Exception failure) when (failure is AggregateException or SocketException or IOException or AuthenticationException)
        {
            // It was not accepted, as it must not be.
        }

        return fault;

        bool Look(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors)
        {
            if (certificate is X509Certificate2 own)
            {
                fault = Of(address, own, chain, errors);
            }

            return false;
        }
    }

    private static StateFault Of(StateAddress address, X509Certificate2 own, X509Chain? chain, SslPolicyErrors errors)
    {
        if (chain is not null && chain.ChainElements.Count > 0
            && chain.ChainElements[0].ChainElementStatus.Any(static status => status.Status.HasFlag(X509ChainStatusFlags.NotTimeValid)))
        {
            return StateFault.NewNotNow(own.NotBefore.ToUniversalTime(), own.NotAfter.ToUniversalTime());
        }

        if (address.TlsMode == "verify-full" && errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch))
        {
            var names = own.Extensions.OfType<X509SubjectAlternativeNameExtension>().FirstOrDefault();
            return StateFault.NewWrongName(names is null
                ? []
                : [.. names.EnumerateDnsNames(), .. names.EnumerateIPAddresses().Select(static name => name.ToString())]);
        }

        return StateFault.UnknownAuthority;
    }
}
