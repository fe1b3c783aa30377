/// Certificates that are made for one run of the tests.
module Agent.TestSupport.Certificates

open System
open System.IO
open System.Net
open System.Security.Cryptography
open System.Security.Cryptography.X509Certificates

let private today = DateTimeOffset(DateTime.UtcNow.Date, TimeSpan.Zero)

/// So many days from today, at midnight.
let day (offset: float) : DateTimeOffset = today.AddDays offset

let private requestFor (name: string) (key: ECDsa) : CertificateRequest =
    CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256)

/// The certificate with its key, as servers on all systems want it.
let private usable (certificate: X509Certificate2) : X509Certificate2 =
    X509CertificateLoader.LoadPkcs12(certificate.Export X509ContentType.Pfx, null)

/// A root of its own, valid for years.
let authority (name: string) : X509Certificate2 =
    use key = ECDsa.Create ECCurve.NamedCurves.nistP256
    let request = requestFor name key
    request.CertificateExtensions.Add(X509BasicConstraintsExtension(true, false, 0, true))
    request.CertificateExtensions.Add(X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true))
    request.CertificateExtensions.Add(X509SubjectKeyIdentifierExtension(request.PublicKey, false))
    use certificate = request.CreateSelfSigned(day -3000.0, day 3000.0)
    usable certificate

let private issued (issuer: X509Certificate2) (notBefore: DateTimeOffset) (notAfter: DateTimeOffset) (name: string) extensions =
    use key = ECDsa.Create ECCurve.NamedCurves.nistP256
    let request = requestFor name key

    for extension: X509Extension in extensions do
        request.CertificateExtensions.Add extension

    let serial = RandomNumberGenerator.GetBytes 8
    use certificate = request.Create(issuer, notBefore, notAfter, serial)
    use withKey = certificate.CopyWithPrivateKey key
    usable withKey

/// An authority that another one signed.
let intermediate (issuer: X509Certificate2) (name: string) : X509Certificate2 =
    issued
        issuer
        (day -2000.0)
        (day 2000.0)
        name
        [
            X509BasicConstraintsExtension(true, false, 0, true)
            X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true)
        ]

let private namesOf (hosts: string list) : X509Extension =
    let builder = SubjectAlternativeNameBuilder()

    for host in hosts do
        match IPAddress.TryParse host with
        | true, (NonNull address) -> builder.AddIpAddress address
        | _ -> builder.AddDnsName host

    builder.Build()

/// A certificate for these hosts, between these days.
let certificateBetween (notBefore: float) (notAfter: float) (issuer: X509Certificate2) (hosts: string list) : X509Certificate2 =
    issued issuer (day notBefore) (day notAfter) "monitoring" [ namesOf hosts ]

/// A certificate for these hosts that is valid now.
let certificateFor (issuer: X509Certificate2) (hosts: string list) : X509Certificate2 =
    certificateBetween -30.0 30.0 issuer hosts

/// A certificate that names its host in its common name alone.
let certificateWithoutNames (issuer: X509Certificate2) (name: string) : X509Certificate2 =
    issued issuer (day -30.0) (day 30.0) name []

/// A certificate that a client shows.
let clientCertificate (issuer: X509Certificate2) : X509Certificate2 =
    issued issuer (day -30.0) (day 30.0) "gpu-box-01" []

/// Its PEM.
let pem (certificate: X509Certificate2) : string =
    certificate.ExportCertificatePem() + "\n"

/// The PEM of its private key.
let keyPem (certificate: X509Certificate2) : string =
    use key =
        match certificate.GetECDsaPrivateKey() with
        | null -> failwith "it has no key"
        | key -> key

    key.ExportPkcs8PrivateKeyPem() + "\n"

/// Writes a file, and returns its path.
let file (directory: string) (name: string) (text: string) : string =
    let path = Path.Combine(directory, name)
    File.WriteAllText(path, text)
    path

/// The test authority that agents are told to trust.
let trusted: Lazy<X509Certificate2> = lazy (authority "Test Root")

/// A good certificate for localhost.
let good: Lazy<X509Certificate2> =
    lazy (certificateFor trusted.Value [ "localhost"; "monitoring.example" ])
