/// The listener that speaks TLS: its protocols, its certificate, and that one's renewal.
module Agent.Dashboard.Tests.TlsTests

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Net.Security
open System.Net.Sockets
open System.Security.Authentication
open System.Security.Cryptography
open System.Security.Cryptography.X509Certificates
open Agent.TestSupport.Waiting
open Agent.TestSupport.DashboardProcess
open Expecto

let private request (subject: string) (key: ECDsa) =
    CertificateRequest($"CN={subject}", key, HashAlgorithmName.SHA256)

let private days (count: float) = DateTimeOffset.UtcNow.AddDays count

/// A certificate for this machine and its key as PEM, valid for so many days more, and its thumbprint.
let private pair (name: string) (until: float) : string * string * string =
    use key = ECDsa.Create ECCurve.NamedCurves.nistP256
    let wanted = request name key
    let names = SubjectAlternativeNameBuilder()
    names.AddIpAddress IPAddress.Loopback
    wanted.CertificateExtensions.Add(names.Build())
    use certificate = wanted.CreateSelfSigned(days -10.0, days until)
    certificate.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem(), certificate.Thumbprint

/// The same, issued by an intermediate authority, whose certificate is the chain.
let private issued (name: string) : string * string * string * string =
    use rootKey = ECDsa.Create ECCurve.NamedCurves.nistP256
    let rootRequest = request "root" rootKey
    rootRequest.CertificateExtensions.Add(X509BasicConstraintsExtension(true, false, 0, true))
    use root = rootRequest.CreateSelfSigned(days -10.0, days 100.0)
    use middleKey = ECDsa.Create ECCurve.NamedCurves.nistP256
    let middleRequest = request "middle" middleKey
    middleRequest.CertificateExtensions.Add(X509BasicConstraintsExtension(true, false, 0, true))
    use middle = middleRequest.Create(root, days -9.0, days 99.0, [| 1uy |])
    use signing = middle.CopyWithPrivateKey middleKey
    use key = ECDsa.Create ECCurve.NamedCurves.nistP256
    use leaf = (request name key).Create(signing, days -8.0, days 98.0, [| 2uy |])
    leaf.ExportCertificatePem(), middle.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem(), middle.Thumbprint

/// The certificate that the listener shows in a handshake, and the version that was agreed on.
let private shake (port: int) (protocols: SslProtocols) : string * SslProtocols =
    use socket = new TcpClient("127.0.0.1", port)

    use stream =
        new SslStream(socket.GetStream(), false, RemoteCertificateValidationCallback(fun _ _ _ _ -> true))

    stream.AuthenticateAsClient(SslClientAuthenticationOptions(TargetHost = "localhost", EnabledSslProtocols = protocols))

    match stream.RemoteCertificate with
    | null -> failtest "no certificate"
    | certificate -> certificate.GetCertHashString(), stream.SslProtocol

let private write (place: TemporaryDirectory) (certificate: string) (key: string) =
    File.WriteAllText(place.File "key.pem", key)
    File.WriteAllText(place.File "certificate.pem", certificate)

let private options (place: TemporaryDirectory) =
    [
        "--listen"
        "https://127.0.0.1:0"
        "--tls-certificate"
        place.File "certificate.pem"
        "--tls-key"
        place.File "key.pem"
    ]

let private withTls (test: TemporaryDirectory -> DashboardProcess -> int -> string -> unit) : unit =
    use place = new TemporaryDirectory()
    let certificate, key, thumbprint = pair "first" 90.0
    write place certificate key
    let dashboard, address = serve (place.File "a.db") (options place)
    use dashboard = dashboard
    Expect.stringStarts address "https://127.0.0.1:" "it says so"
    test place dashboard (Uri(address).Port) thumbprint

/// What openssl says of a handshake; a machine without it skips the test.
let private openssl (port: int) (more: string list) : string =
    let start =
        ProcessStartInfo(
            "openssl",
            [ "s_client"; "-connect"; $"127.0.0.1:{port}"; "-showcerts" ] @ more,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    use running =
        try
            match Process.Start start with
            | null -> failtest "openssl does not start"
            | running -> running
        with :? ComponentModel.Win32Exception ->
            Agent.TestSupport.Skip.because "no openssl"
            failtest "unreachable"

    running.StandardInput.Close()
    let errors = running.StandardError.ReadToEndAsync()
    let output = running.StandardOutput.ReadToEnd()
    running.WaitForExit()
    output + errors.Result

[<Tests>]
let tests =
    testList
        "TLS"
        [
            testCase "versions 1.2 and 1.3 are spoken, older ones are not"
            <| fun () ->
                withTls (fun _ _ port thumbprint ->
                    Expect.equal (shake port SslProtocols.Tls13) (thumbprint, SslProtocols.Tls13) "1.3"
                    Expect.equal (shake port SslProtocols.Tls12) (thumbprint, SslProtocols.Tls12) "1.2"
                    // With all that openssl still has switched on, so that a refusal is the listener's.
                    let weak = [ "-cipher"; "ALL:@SECLEVEL=0" ]
                    Expect.stringContains (openssl port ("-tls1_2" :: weak)) "Protocol  : TLSv1.2" "1.2 by openssl"

                    for version in [ "-tls1_1"; "-tls1" ] do
                        let said = openssl port (version :: weak)
                        Expect.stringContains said "alert protocol version" version)

            testCase "pages come over it, with strict transport security and a cookie for https alone"
            <| fun () ->
                withTls (fun _ _ port _ ->
                    use handler =
                        new SocketsHttpHandler(
                            UseProxy = false,
                            SslOptions =
                                SslClientAuthenticationOptions(
                                    RemoteCertificateValidationCallback = RemoteCertificateValidationCallback(fun _ _ _ _ -> true)
                                )
                        )

                    use http = new HttpClient(handler)
                    let answer = http.GetAsync($"https://127.0.0.1:{port}/healthz").Result
                    Expect.equal (int answer.StatusCode) 200 "health"

                    Expect.equal (answer.Headers.GetValues "Strict-Transport-Security" |> Seq.exactlyOne) "max-age=31536000" "a year")

            testCase "a renewed certificate is used without a restart; half a renewal and a broken pair leave the old one, told once"
            <| fun () ->
                withTls (fun place dashboard port first ->
                    let shown () = fst (shake port SslProtocols.None)
                    Expect.equal (shown ()) first "the first"
                    let certificate, key, second = pair "second" 90.0
                    write place certificate key
                    eventually patience "the second is shown" (fun () -> shown () = second)
                    dashboard.WaitForError "were read again; the certificate is valid until"
                    let other, otherKey, third = pair "third" 90.0
                    // The key belongs to another certificate.
                    File.WriteAllText(place.File "certificate.pem", other)
                    dashboard.WaitForError "the previous contents stay in use"
                    Expect.equal (shown ()) second "the old one stays"
                    Threading.Thread.Sleep 5000
                    Expect.equal (dashboard.AllErrors |> List.filter _.Contains("stay in use") |> List.length) 1 "once"
                    File.WriteAllText(place.File "key.pem", otherKey)
                    eventually patience "the third is shown" (fun () -> shown () = third)
                    let old, oldKey, _ = pair "ended" -1.0
                    write place old oldKey
                    dashboard.WaitForError "expired on"
                    Expect.equal (shown ()) third "one that has ended is not taken")

            testCase "the chain is sent with the certificate"
            <| fun () ->
                use place = new TemporaryDirectory()
                let leaf, middle, key, _ = issued "leaf"
                write place (leaf + "\n" + middle) key
                let dashboard, address = serve (place.File "a.db") (options place)
                use _ = dashboard
                let said = openssl (Uri(address).Port) []
                Expect.equal (said.Split("-----BEGIN CERTIFICATE-----").Length - 1) 2 said

            testCase "a pair that cannot be used is a usage error that shows neither"
            <| fun () ->
                use place = new TemporaryDirectory()
                let certificate, key, _ = pair "one" 90.0
                let _, otherKey, _ = pair "other" 90.0

                let refused (certificate: string) (key: string) =
                    write place certificate key
                    let code, _, errors = run ("serve" :: "--database" :: place.File "a.db" :: options place)
                    Expect.equal code 2 $"%A{errors}"
                    let said = String.concat "\n" errors
                    Expect.stringContains said "--tls-certificate" "the option"
                    Expect.isFalse (said.Contains(key.Split('\n')[1])) "not the key"
                    Expect.isFalse (File.Exists(place.File "a.db")) "no database is made"

                refused certificate otherKey
                refused "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n" key
                refused certificate (key.Replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"))
        ]
