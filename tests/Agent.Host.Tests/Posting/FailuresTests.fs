/// What the agent says of the exceptions of the HTTP client.
module Agent.Host.Tests.FailuresTests

open System
open System.IO
open System.Net.Http
open System.Net.Sockets
open System.Security.Authentication
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host.Posting
open Agent.Shell
open Expecto

let private request (kind: HttpRequestError) (inner: exn | null) =
    HttpRequestException(kind, "An exception's own words.", inner) :> exn

let private socket (code: SocketError) =
    request HttpRequestError.ConnectionError (SocketException(int code))

let private direct = Failures(Uri "https://h.example/x/", null)
let private behindProxy = Failures(Uri "https://h.example/x/", Uri "http://me:pw@proxy.example:3128")

let private broken detail = NetworkFailure.Broken detail

let private cases =
    [
        "no such name", request HttpRequestError.NameResolutionError null, NetworkFailure.NameNotResolved "h.example"
        "refused", socket SocketError.ConnectionRefused, NetworkFailure.Refused "h.example"
        "no route to the host", socket SocketError.HostUnreachable, NetworkFailure.Unreachable "h.example"
        "no route to the network", socket SocketError.NetworkUnreachable, NetworkFailure.Unreachable "h.example"
        "no network", socket SocketError.NetworkDown, NetworkFailure.Unreachable "h.example"
        "the kernel gave up", socket SocketError.TimedOut, NetworkFailure.Unreachable "h.example"
        "reset", socket SocketError.ConnectionReset, broken "the other side reset it"
        "closed while sending", socket SocketError.Shutdown, broken "the other side closed it"
        "a firewall of this machine", socket SocketError.AccessDenied, broken "this machine does not permit it"
        "reset in the body",
        (IOException("Unable to read data.", SocketException(int SocketError.ConnectionReset)) :> exn),
        broken "the other side reset it"
        "closed before the answer", request HttpRequestError.ResponseEnded null, broken "it was closed before the answer was complete"
        "closed in the body",
        (HttpIOException(HttpRequestError.ResponseEnded, "x") :> exn),
        broken "it was closed before the answer was complete"
        "no HTTP", request HttpRequestError.InvalidResponse null, NetworkFailure.Unreadable "it is not HTTP/1.1"
        "endless headers", request HttpRequestError.ConfigurationLimitExceeded null, NetworkFailure.Unreadable "its headers are too long"
        "a handshake that ends",
        request HttpRequestError.SecureConnectionError (IOException "Received an unexpected EOF or 0 bytes."),
        broken "it was closed during the TLS handshake"
        "a handshake that fails",
        request
            HttpRequestError.SecureConnectionError
            (AuthenticationException("Authentication failed.", Exception "error:0A00042E:SSL routines::tlsv1 alert protocol version")),
        NetworkFailure.Tls(TlsFault.Handshake "the server offers no TLS version that is accepted here", [||])
        "an alert after the handshake",
        request HttpRequestError.Unknown (IOException("x", Exception "error:0A00045C:SSL routines::tlsv13 alert certificate required")),
        NetworkFailure.Tls(TlsFault.ClientCertificateWanted, [||])
        "something else", request HttpRequestError.Unknown null, broken "An exception's own words"
    ]

[<Tests>]
let tests =
    testList
        "Failures"
        [
            for name, error, expected in cases do
                testCase name <| fun () -> Expect.equal (direct.Of error) expected name

            testCase "an address with the zone of an interface that is not there says so"
            <| fun () ->
                let zoned = Failures(Uri "https://[fe80::1%nope]:8443/x/", null)

                Expect.equal
                    (string (zoned.Of(socket SocketError.InvalidArgument)))
                    "fe80::1%nope: there is no interface nope; it cannot be reached"
                    "named"

                Expect.equal (direct.Of(socket SocketError.InvalidArgument)) (broken "Invalid argument") "without a zone as it is"

            testCase "a connection that stands and brings no request is TLS, and behind a proxy the way on"
            <| fun () ->
                let limit = TimeSpan.FromSeconds 2.0
                Expect.equal (direct.NotOpened limit) (NetworkFailure.NoHandshake("h.example", limit)) "direct"
                Expect.equal (behindProxy.NotOpened limit) (NetworkFailure.NoTunnel("proxy.example:3128", limit)) "behind a proxy"

            testCase "behind a proxy it is the proxy that cannot be reached, and its password is not told"
            <| fun () ->
                Expect.equal
                    (behindProxy.Of(socket SocketError.ConnectionRefused))
                    (NetworkFailure.ProxyUnreachable(NetworkFailure.Refused "the proxy proxy.example:3128"))
                    "refused"

                Expect.equal
                    (string (behindProxy.Of(request HttpRequestError.NameResolutionError null)))
                    "the name proxy.example, which is the proxy's, does not resolve"
                    "name"

                let refusal =
                    HttpRequestException(
                        HttpRequestError.ProxyTunnelError,
                        "The proxy tunnel request to proxy 'http://proxy.example:3128/' failed with status code '407'.\""
                    )

                Expect.equal (behindProxy.Of refusal) (NetworkFailure.ProxyRefused("proxy.example:3128", "407")) "tunnel"
        ]
