/// Servers that show a certificate of the tests.
module Agent.EndToEnd.Tests.TlsServers

open System.Security.Cryptography.X509Certificates
open Agent.EndToEnd.Tests.IngestServer
open Microsoft.AspNetCore.Hosting
open Microsoft.AspNetCore.Server.Kestrel.Core
open Microsoft.AspNetCore.Server.Kestrel.Https

/// A server that shows whatever certificate the function returns, on a port or on any (0), and asks for a client's as
/// the options say.
let server (reply: Reply) (port: int) (shown: unit -> X509Certificate2) (options: HttpsConnectionAdapterOptions -> unit) : IngestServer =
    new IngestServer(
        reply,
        port,
        fun (listen: ListenOptions) ->
            listen.UseHttps(fun (https: HttpsConnectionAdapterOptions) ->
                https.ServerCertificateSelector <- fun _ _ -> shown ()
                options https)
            |> ignore
    )

/// Its address by a name that a certificate can hold.
let urlOf (server: IngestServer) : string =
    server.Url.Replace("127.0.0.1", "localhost")

/// A server that shows one certificate.
let showing (reply: Reply) (certificate: X509Certificate2) : IngestServer =
    server reply 0 (fun () -> certificate) ignore
