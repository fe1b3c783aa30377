using System.Net;

namespace Agent.Dashboard;

/// <summary>Makes the clients that send secrets to a host that the operator named.</summary>
internal static class OutwardHttp
{
    /// <summary>
    /// A client that goes to the host that was named and to no other: redirects are not followed, and there are no cookies and no proxy. It has no
    /// time limit of its own.
    /// </summary>
    /// <param name="version">The program's, for the header <c>User-Agent</c>.</param>
    /// <param name="connections">So many at most to a host.</param>
    /// <param name="idle">A connection is kept so long without use.</param>
    /// <param name="unpacked">How answers may be compressed.</param>
    public static HttpClient Client(string version, int connections, TimeSpan idle, DecompressionMethods unpacked)
    {
        var client = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            AutomaticDecompression = unpacked,
            MaxResponseHeadersLength = 32,
            MaxConnectionsPerServer = connections,
            // Names may come to mean other addresses.
            PooledConnectionLifetime = TimeSpan.FromMinutes(2),
            PooledConnectionIdleTimeout = idle,
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        client.DefaultRequestHeaders.UserAgent.TryParseAdd($"ai-dashboard/{version}");
        return client;
    }
}
