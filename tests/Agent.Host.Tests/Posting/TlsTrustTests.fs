/// Which certificates are accepted, each judged without a connection.
module Agent.Host.Tests.TlsTrustTests

open System
open System.Net
open System.Net.Security
open System.Security.Cryptography
open System.Security.Cryptography.X509Certificates
open Agent.Core
open Agent.Host
open Agent.Host.Posting
open Agent.Shell
open Expecto

let private now = DateTimeOffset.UtcNow

/// How certificates of a test are made.
type private Kind =
    {
        Hash: HashAlgorithmName
        Padding: RSASignaturePadding
        Bits: int
    }

let private strong =
    {
        Hash = HashAlgorithmName.SHA256
        Padding = RSASignaturePadding.Pkcs1
        Bits = 2048
    }

let private names (hosts: string list) (addresses: string list) : X509Extension list =
    let builder = SubjectAlternativeNameBuilder()

    for host in hosts do
        builder.AddDnsName host

    for address in addresses do
        builder.AddIpAddress(IPAddress.Parse address)

    [ builder.Build() ]

let private authority: X509Extension list =
    [
        X509BasicConstraintsExtension(true, false, 0, true)
        X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true)
    ]

/// Signs as .NET's own generator does, and with SHA-1 as well, which that one refuses.
type private Signer(key: RSA, padding: RSASignaturePadding) =
    inherit X509SignatureGenerator()
    let own = X509SignatureGenerator.CreateForRSA(key, padding)

    override _.GetSignatureAlgorithmIdentifier(hash) =
        if hash <> HashAlgorithmName.SHA1 then
            own.GetSignatureAlgorithmIdentifier hash
        elif padding = RSASignaturePadding.Pkcs1 then
            // sha1WithRSAEncryption, NULL
            Convert.FromHexString "300D06092A864886F70D0101050500"
        else
            // id-RSASSA-PSS with the defaults of RFC 4055, of which SHA-1 is one
            Convert.FromHexString "300D06092A864886F70D01010A3000"

    override _.SignData(data: byte[], hash: HashAlgorithmName) = key.SignData(data, hash, padding)
    override _.BuildPublicKey() = own.PublicKey

/// A certificate with its key, signed by another one or by itself.
let private certificate (kind: Kind) (issuer: X509Certificate2 option) (name: string) (extensions: X509Extension list) =
    let key = RSA.Create kind.Bits
    let request = CertificateRequest($"CN={name}", key, kind.Hash, kind.Padding)

    for extension in extensions do
        request.CertificateExtensions.Add extension

    let subject, signer =
        match issuer with
        | None -> request.SubjectName, key
        | Some issuer ->
            match issuer.GetRSAPrivateKey() with
            | null -> failwith "an issuer without a key"
            | key -> issuer.SubjectName, key

    let signed =
        request.Create(subject, Signer(signer, kind.Padding), now.AddDays -5.0, now.AddDays 5.0, RandomNumberGenerator.GetBytes 8)

    signed.CopyWithPrivateKey key

let private root = lazy (certificate strong None "Root" authority)

let private trustIn (issuers: X509Certificate2 list) (insecure: bool) : TlsTrust =
    TlsTrust(X509Certificate2Collection(Array.ofList issuers), null, insecure, AgentClock())

/// What is said of a certificate that a server shows beside others, by an agent that is given the issuers.
let private judge (issuers: X509Certificate2 list) (host: string) (own: X509Certificate2) (others: X509Certificate2 list) : string list =
    use chain = new X509Chain()
    chain.ChainPolicy.RevocationMode <- X509RevocationMode.NoCheck
    chain.ChainPolicy.ExtraStore.AddRange(Array.ofList others)
    chain.Build own |> ignore

    // As the class library tells it: a name that stands in the common name alone is a match to it.
    let errors =
        if own.MatchesHostname(host, true, true) then
            SslPolicyErrors.RemoteCertificateChainErrors
        else
            SslPolicyErrors.RemoteCertificateChainErrors
            ||| SslPolicyErrors.RemoteCertificateNameMismatch

    let trust = trustIn issuers false
    let isAccepted = trust.Accepts(host, own, chain, errors)
    let faults = trust.TakeFaults() |> Array.map string |> List.ofArray
    Expect.equal isAccepted (faults = []) "what is refused is explained"
    faults

[<Tests>]
let tests =
    testList
        "Host.TlsTrust"
        [
            testCase "names and addresses count where they are alternative names"
            <| fun () ->
                for host, hosts, addresses, isGood in
                    [
                        "h.example", [ "h.example" ], [], true
                        "h.example.", [ "h.example" ], [], true
                        "H.Example", [ "h.example" ], [], true
                        "h.example", [ "*.example" ], [], true
                        "a.h.example", [ "*.example" ], [], false
                        "h.example", [ "other.example" ], [], false
                        "192.0.2.7", [], [ "192.0.2.7" ], true
                        "192.0.2.8", [], [ "192.0.2.7" ], false
                        "192.0.2.7", [ "192.0.2.7" ], [], false
                        "fd00::7", [], [ "fd00::7" ], true
                        "fe80::7%1", [], [ "fe80::7" ], true
                    ] do
                    let own = certificate strong (Some root.Value) "h.example" (names hosts addresses)
                    Expect.equal (TlsTrust.IsForHost(own, host)) isGood $"{host} of {hosts} {addresses}"

            testCase "a common name is none of them"
            <| fun () ->
                let own = certificate strong (Some root.Value) "h.example" []

                Expect.equal
                    (judge [ root.Value ] "h.example" own [])
                    [
                        "wrong host name: the certificate has no subject alternative name, so it is not for h.example (a common name does not count)"
                    ]
                    "the fault"

                let own = certificate strong (Some root.Value) "h.example" (names [ "h.example" ] [])
                Expect.equal (judge [ root.Value ] "h.example" own []) [] "accepted"

            testCase "RSA keys have 2048 bits or more, wherever they are in the chain"
            <| fun () ->
                let host = names [ "h.example" ] []
                let small = { strong with Bits = 2040 }

                let fault name =
                    [
                        $"certificate refused: the certificate of {name}: its RSA key has fewer than 2048 bits"
                    ]

                let own = certificate small (Some root.Value) "h" host
                Expect.equal (judge [ root.Value ] "h.example" own []) (fault "h") "the server's"
                let middle = certificate small (Some root.Value) "Middle" authority
                let own = certificate strong (Some middle) "h" host
                Expect.equal (judge [ root.Value ] "h.example" own [ middle ]) (fault "Middle") "one in between"
                let weakRoot = certificate small None "Weak" authority
                let own = certificate strong (Some weakRoot) "h" host
                Expect.equal (judge [ weakRoot ] "h.example" own []) (fault "Weak") "the root's"

            testCase "nothing is signed with SHA-1 but a root by itself"
            <| fun () ->
                let host = names [ "h.example" ] []

                let fault name =
                    [
                        $"certificate refused: the certificate of {name}: it is signed with SHA-1 or an older hash"
                    ]

                for padding in [ RSASignaturePadding.Pkcs1; RSASignaturePadding.Pss ] do
                    let old =
                        { strong with
                            Hash = HashAlgorithmName.SHA1
                            Padding = padding
                        }

                    let own = certificate old (Some root.Value) "h" host
                    Expect.equal (judge [ root.Value ] "h.example" own []) (fault "h") $"the server's, {padding}"
                    let middle = certificate old (Some root.Value) "Middle" authority
                    let own = certificate strong (Some middle) "h" host
                    Expect.equal (judge [ root.Value ] "h.example" own [ middle ]) (fault "Middle") $"one in between, {padding}"
                    Expect.equal (judge [ middle ] "h.example" own [ root.Value ]) [] $"one that the user vouches for, {padding}"
                    let oldRoot = certificate old None "Old" authority
                    let own = certificate strong (Some oldRoot) "h" host
                    Expect.equal (judge [ oldRoot ] "h.example" own []) [] $"the root's own, {padding}"

                let pss =
                    { strong with
                        Padding = RSASignaturePadding.Pss
                    }

                Expect.equal (judge [ root.Value ] "h.example" (certificate pss (Some root.Value) "h" host) []) [] "SHA-256 with PSS"

            testCase "nothing is accepted without a certificate or a chain"
            <| fun () ->
                let own = certificate strong (Some root.Value) "h" (names [ "h.example" ] [])
                use empty = new X509Chain()

                for issuers in [ []; [ certificate strong None "Other" authority ] ] do
                    for errors in [ SslPolicyErrors.None; SslPolicyErrors.RemoteCertificateChainErrors ] do
                        let pairs: ((X509Certificate2 | null) * (X509Chain | null)) list =
                            [ own, empty; own, null; null, empty; null, null ]

                        for own, chain in pairs do
                            let trust = trustIn issuers false
                            Expect.isFalse (trust.Accepts("h.example", own, chain, errors)) $"{issuers.Length} {errors}"
                            Expect.isNonEmpty (trust.TakeFaults()) "and explained"

            testCase "--insecure accepts all of them"
            <| fun () ->
                use empty = new X509Chain()

                Expect.isTrue
                    ((trustIn [] true).Accepts("h.example", null, empty, SslPolicyErrors.RemoteCertificateNotAvailable))
                    "accepted"
        ]
