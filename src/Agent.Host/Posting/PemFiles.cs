using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Agent.Core;
using Microsoft.FSharp.Core;

namespace Agent.Host.Posting;

/// <summary>A certificate to show to the webapp, with its key, and those between it and its root.</summary>
internal sealed record ClientIdentity(X509Certificate2 Certificate, X509Certificate2Collection Intermediates);

/// <summary>Certificates and keys in the PEM files that the user named. No error repeats the contents of a file.</summary>
internal static class PemFiles
{
    private const string Certificate = "-----BEGIN CERTIFICATE-----";

    /// <summary>All certificates of a bundle.</summary>
    public static FSharpResult<X509Certificate2Collection, ConfigError> Bundle(string flag, string path) =>
        from text in Read(flag, path)
        from certificates in CertificatesIn(flag, path, text)
        select certificates;

    /// <summary>The first certificate of a file, with its key from another file, or from the same where that is empty.</summary>
    public static FSharpResult<ClientIdentity, ConfigError> Identity(string flag, string path, string keyFlag, string keyPath)
    {
        var (keyOrigin, keyFile) = keyPath.Length > 0 ? (keyFlag, keyPath) : (flag, path);

        return from text in Read(flag, path)
               from certificates in CertificatesIn(flag, path, text)
               from keyText in Read(keyOrigin, keyFile)
               from key in KeyIn(keyOrigin, keyFile, keyText, keyPath.Length > 0 ? "" : $"; give it with {keyFlag}")
               from certificate in Together(text, key, path, keyOrigin, keyFile)
               select new ClientIdentity(certificate, [.. certificates.Skip(1)]);
    }

    private static FSharpResult<string, ConfigError> Read(string flag, string path) =>
        UserFile.Read(path).SelectError(reason => new ConfigError(flag, $"{flag}: \"{path}\" {reason}"));

    private static FSharpResult<X509Certificate2Collection, ConfigError> CertificatesIn(string flag, string path, string text)
    {
        var expected = text.Split(Certificate).Length - 1;
        var certificates = new X509Certificate2Collection();

        try
        {
            certificates.ImportFromPem(text);
        }
        catch (CryptographicException)
        {
            // Told by the count.
        }

        return expected switch
        {
            0 => Failed<X509Certificate2Collection>(flag, $"\"{path}\" contains no PEM certificate"),
            1 when certificates.Count < 1 => Failed<X509Certificate2Collection>(flag, $"the certificate in \"{path}\" is damaged"),
            _ when certificates.Count < expected => Failed<X509Certificate2Collection>(
                flag, $"of the {expected} certificates in \"{path}\", number {certificates.Count + 1} or a later one is damaged"),
            _ => FSharpResult<X509Certificate2Collection, ConfigError>.NewOk(certificates),
        };
    }

    private static FSharpResult<string, ConfigError> KeyIn(string flag, string path, string text, string hint) =>
        text.Contains("BEGIN ENCRYPTED PRIVATE KEY-----") || text.Contains("Proc-Type: 4,ENCRYPTED")
            ? Failed<string>(flag, $"the private key in \"{path}\" has a passphrase, and nobody is there to type it; store the key without one")
            : text.Contains("PRIVATE KEY-----")
                ? FSharpResult<string, ConfigError>.NewOk(text)
                : Failed<string>(flag, $"\"{path}\" contains no PEM private key{hint}");

    private static FSharpResult<X509Certificate2, ConfigError> Together(
        string certificate, string key, string path, string keyFlag, string keyPath)
    {
        try
        {
            return FSharpResult<X509Certificate2, ConfigError>.NewOk(X509Certificate2.CreateFromPem(certificate, key));
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException or NotSupportedException)
        {
            return Failed<X509Certificate2>(
                keyFlag, $"the private key in \"{keyPath}\" is damaged or does not belong to the certificate in \"{path}\"");
        }
    }

    private static FSharpResult<T, ConfigError> Failed<T>(string flag, string reason) =>
        FSharpResult<T, ConfigError>.NewError(new ConfigError(flag, $"{flag}: {reason}"));
}
