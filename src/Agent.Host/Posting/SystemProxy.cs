using System.Collections;
using System.Net;
using Agent.Core;
using Agent.Sender;

namespace Agent.Host.Posting;

/// <summary>
/// A proxy that the environment asks for. Which requests go through it is decided by <see cref="Proxy"/> alone, before there is one:
/// the class library's own rules, under which some entries of no_proxy count for nothing, are never asked.
/// </summary>
internal sealed class SystemProxy(Uri address, string user, string password) : IWebProxy
{
    /// <summary>Its URL, without user name.</summary>
    public Uri Address => address;

    /// <inheritdoc/>
    public ICredentials? Credentials { get; set; } = user.Length > 0 ? new NetworkCredential(user, password) : null;

    /// <summary>The route to an endpoint in this process's environment.</summary>
    public static Route RouteTo(Uri endpoint) => Proxy.RouteTo(
        [
            .. from DictionaryEntry entry in Environment.GetEnvironmentVariables()
               select KeyValuePair.Create((string)entry.Key, (string?)entry.Value ?? ""),
        ],
        endpoint);

    /// <inheritdoc/>
    public Uri GetProxy(Uri destination) => address;

    /// <inheritdoc/>
    public bool IsBypassed(Uri host) => false;
}
