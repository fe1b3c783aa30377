using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>
/// The machine's own OpenSSL, which .NET loads with the first thing that has to do with TLS or certificates, and without which it
/// aborts the process.
/// </summary>
internal static class OpenSsl
{
    /// <summary>What .NET looks for (opensslshim.c), in its order.</summary>
    private static readonly string[] Libraries =
        ["libssl.so.3", "libssl.so.1.1", "libssl.so.1.0.2", "libssl.so.1.0.0", "libssl.so.10"];

    /// <summary>A sentence for each setting that needs it where the machine has none.</summary>
    public static string[] Problems(Settings settings)
    {
        string[] needing =
        [
            .. Connecting(settings),
            .. settings.CaFile.Length > 0 ? ["--ca-file"] : (string[])[],
            .. settings.ClientCertificate.Length > 0 ? ["--client-cert"] : (string[])[],
        ];

        return needing is [] || IsThere()
            ? []
            :
            [
                .. needing.Select(static flag => $"{flag}: TLS needs OpenSSL, and this machine has no {Libraries[0]} or {Libraries[1]}: "
                    + "install it (package libssl3 of Debian, Ubuntu and Alpine, openssl-libs of Red Hat), or use http"),
            ];
    }

    /// <summary>The options of the destinations to which a connection has TLS.</summary>
    public static string[] Connecting(Settings settings) => settings.DryRun && !settings.Doctor
        ? []
        :
        [
            .. settings.BaseUrl.IsSome && NeedsTls(settings.BaseUrl.Value) ? ["--host"] : (string[])[],
            .. settings.RemoteWrite.IsSome && NeedsTls(settings.RemoteWrite.Value.Endpoint) ? ["--remote-write"] : (string[])[],
            .. settings.Otlp.IsSome && NeedsTls(settings.Otlp.Value.Endpoint) ? ["--otlp"] : (string[])[],
        ];

    /// <summary>True when .NET will find one.</summary>
    private static bool IsThere()
    {
        var wanted = Environment.GetEnvironmentVariable("DOTNET_OPENSSL_VERSION_OVERRIDE");
        string[] names = wanted is { Length: > 0 } ? [$"libssl.so.{wanted}", .. Libraries] : Libraries;
        return names.Any(static name => NativeLibrary.TryLoad(name, out _));
    }

    private static bool NeedsTls(Uri url) =>
        url.Scheme == Uri.UriSchemeHttps || SampleClient.ProxyFor(url)?.Address.Scheme == Uri.UriSchemeHttps;
}
