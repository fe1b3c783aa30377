using System.Runtime.InteropServices;
using Agent.Core;

namespace Agent.Host.Posting;

/// <summary>
/// The environment's word on whom to trust in the place of the system's store, as Python's requests has it
/// (Session.merge_environment_settings): the first of these variables that is set, a file or a directory of PEM certificates. The class library
/// knows OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR by itself.
/// </summary>
internal static partial class TrustVariables
{
    private static readonly string[] Names = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

    /// <summary>Makes it count for this process; a sentence where it cannot be used. To be called before the first certificate is judged.</summary>
    public static ConfigError? Apply()
    {
        foreach (var name in Names)
        {
            if (Environment.GetEnvironmentVariable(name) is not { Length: > 0 } path)
            {
                continue;
            }

            if (!Directory.Exists(path) && UserFile.Read(path) is { IsError: true, ErrorValue: var reason })
            {
                return new ConfigError(name, $"{name}: \"{path}\" {reason}; correct or unset it");
            }

            // The store is read by native code, which does not see what .NET sets. Of the two, the one that is of the other kind counts for nothing.
            _ = SetVariable("SSL_CERT_FILE", path, 1);
            _ = SetVariable("SSL_CERT_DIR", path, 1);
            return null;
        }

        return null;
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrites);
}
