using System.Net.Sockets;
using System.Security.Authentication;
using Agent.Outbound;

namespace Agent.Shell;

/// <summary>What an exception of the HTTP client says about the network.</summary>
/// <param name="target">Where the request was to go.</param>
/// <param name="proxy">The proxy in between; null for none.</param>
internal sealed class Failures(Uri target, Uri? proxy)
{
    /// <summary>The other end of the connection, as messages call it.</summary>
    private string Peer { get; } = proxy is null ? target.Authority : $"the proxy {proxy.Authority}";

    /// <summary>The failure behind the exception, unless a certificate is at fault.</summary>
    public NetworkFailure Of(Exception error)
    {
        var kind = error switch
        {
            HttpRequestException request => request.HttpRequestError,
            HttpIOException answer => answer.HttpRequestError,
            _ => HttpRequestError.Unknown,
        };
        var causes = Causes(error).ToArray();
        var socket = causes.OfType<SocketException>().FirstOrDefault()?.SocketErrorCode;
        var words = causes[^1].Message;

        return kind switch
        {
            HttpRequestError.NameResolutionError => Connecting(NetworkFailure.NewNameNotResolved(
                proxy is null ? target.Host : $"{proxy.Host}, which is the proxy's,")),
            HttpRequestError.ProxyTunnelError => NetworkFailure.NewProxyRefused(
                proxy?.Authority ?? "", StatusIn(error.Message)),
            _ when words.Contains("SSL routines") => Tls(words),
            HttpRequestError.SecureConnectionError when causes.Any(static cause => cause is IOException or SocketException) =>
                NetworkFailure.NewBroken("it was closed during the TLS handshake"),
            HttpRequestError.SecureConnectionError => Tls(causes.Last(static cause => cause is AuthenticationException or HttpRequestException).Message),
            HttpRequestError.InvalidResponse => NetworkFailure.NewUnreadable("it is not HTTP/1.1"),
            HttpRequestError.ConfigurationLimitExceeded => NetworkFailure.NewUnreadable("its headers are too long"),
            _ when socket is { } code => OfSocket(code, words),
            HttpRequestError.ResponseEnded => NetworkFailure.NewBroken("it was closed before the answer was complete"),
            _ => NetworkFailure.NewBroken(words.TrimEnd('.')),
        };
    }

    /// <summary>That no connection was made within the time-out.</summary>
    public NetworkFailure NoConnection(TimeSpan limit) => Connecting(NetworkFailure.NewNoConnection(Peer, limit));

    /// <summary>That a connection was made, and what must follow before a request can be sent did not come within the time-out.</summary>
    public NetworkFailure NotOpened(TimeSpan limit) =>
        proxy is null ? NetworkFailure.NewNoHandshake(Peer, limit) : NetworkFailure.NewNoTunnel(proxy.Authority, limit);

    /// <summary>Why there is no connection: where a proxy is in between, it is the proxy that is not reached.</summary>
    private NetworkFailure Connecting(NetworkFailure failure) =>
        proxy is null ? failure : NetworkFailure.NewProxyUnreachable(failure);

    private NetworkFailure OfSocket(SocketError code, string words) => code switch
    {
        SocketError.ConnectionRefused => Connecting(NetworkFailure.NewRefused(Peer)),
        SocketError.NetworkUnreachable or SocketError.HostUnreachable or SocketError.NetworkDown or SocketError.HostDown
            or SocketError.TimedOut or SocketError.AddressNotAvailable => Connecting(NetworkFailure.NewUnreachable(Peer)),
        SocketError.ConnectionReset => NetworkFailure.NewBroken("the other side reset it"),
        SocketError.Shutdown or SocketError.ConnectionAborted => NetworkFailure.NewBroken("the other side closed it"),
        // A link-local address of an interface that is not there (any more).
        SocketError.InvalidArgument when proxy is null && target.DnsSafeHost.Split('%') is [_, var zone] =>
            NetworkFailure.NewUnreachable($"{target.DnsSafeHost}: there is no interface {zone}; it"),
        SocketError.AccessDenied => NetworkFailure.NewBroken("this machine does not permit it"),
        SocketError.TooManyOpenSockets => NetworkFailure.NewBroken(
            "no file can be opened: a limit on open files is reached (ulimit -n, LimitNOFILE= of the unit)"),
        _ => NetworkFailure.NewBroken(words),
    };

    private static NetworkFailure Tls(string words) => NetworkFailure.NewTls(Outbound.Tls.OfHandshake(words), []);

    /// <summary>The client tells the proxy's status in its message alone, where it is the last number.</summary>
    private static string StatusIn(string message) => new(
    [
        .. message
            .Reverse()
            .SkipWhile(static letter => !char.IsAsciiDigit(letter))
            .TakeWhile(char.IsAsciiDigit)
            .Reverse(),
    ]);

    private static IEnumerable<Exception> Causes(Exception error)
    {
        for (var cause = error; cause is not null; cause = cause.InnerException)
        {
            yield return cause;
        }
    }
}
