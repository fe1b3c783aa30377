/// What the agent makes of the PEM files that a user names.
module Agent.Host.Tests.PemFilesTests

open System
open System.IO
open System.Security.Cryptography
open Agent.Core
open Agent.Host.Posting
open Agent.TestSupport
open Agent.TestSupport.Certificates
open Expecto

let private bundle path = PemFiles.Bundle("--ca-file", path)

let private identity path keyPath =
    PemFiles.Identity("--client-cert", path, "--client-key", keyPath)

let private sentence (result: Result<'a, ConfigError>) =
    match result with
    | Ok value -> failtest $"expected an error, got {value}"
    | Error error -> error.Message

let private locked () =
    use key = ECDsa.Create ECCurve.NamedCurves.nistP256
    let how = PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000)
    key.ExportEncryptedPkcs8PrivateKeyPem("secret".AsSpan(), how)

[<Tests>]
let tests =
    testList
        "PemFiles"
        [
            testCase "a bundle may hold several certificates, keys and words between"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let text =
                        "# issuers\n"
                        + pem trusted.Value
                        + keyPem good.Value
                        + "\r\n"
                        + (pem good.Value).Replace("\n", "\r\n")

                    match bundle (file directory "a.pem" text) with
                    | Ok certificates -> Expect.equal certificates.Count 2 "two"
                    | Error error -> failtest error.Message)

            testCase "what is wrong with a bundle is one sentence with flag and file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write = file directory
                    let words = write "words.pem" "nothing of the kind"
                    let empty = write "empty.pem" ""
                    let damaged = write "damaged.pem" ((pem good.Value).Replace("M", "!"))
                    let cut = write "cut.pem" ((pem good.Value).Substring(0, 200))
                    let second = write "second.pem" (pem trusted.Value + (pem good.Value).Replace("M", "!"))

                    for path, reason in
                        [
                            "/no/where.pem", "\"/no/where.pem\" does not exist"
                            directory, $"\"{directory}\" is a directory"
                            words, $"\"{words}\" contains no PEM certificate"
                            empty, $"\"{empty}\" contains no PEM certificate"
                            damaged, $"the certificate in \"{damaged}\" is damaged"
                            cut, $"the certificate in \"{cut}\" is damaged"
                            second, $"of the 2 certificates in \"{second}\", number 2 or a later one is damaged"
                            "/dev/zero", "\"/dev/zero\" is longer than 4 MiB"
                        ] do
                        Expect.equal (sentence (bundle path)) $"--ca-file: {reason}" path
                        Expect.equal (sentence (identity path "")) $"--client-cert: {reason}" path)

            testCase "a client's certificate comes with its key and its intermediates"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let mine = clientCertificate trusted.Value
                    let together = file directory "both.pem" (keyPem mine + pem mine + pem trusted.Value)
                    let certificate = file directory "certificate.pem" (pem mine)
                    let key = file directory "key.pem" (keyPem mine)

                    for path, keyPath, others in [ together, "", 1; certificate, key, 0; together, key, 1 ] do
                        match identity path keyPath with
                        | Ok identity ->
                            Expect.equal identity.Certificate.Thumbprint mine.Thumbprint "the certificate"
                            Expect.isTrue identity.Certificate.HasPrivateKey "with its key"
                            Expect.equal identity.Intermediates.Count others "those beside it"
                        | Error error -> failtest error.Message)

            testCase "what is wrong with a key is one sentence with flag and file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let certificate = file directory "certificate.pem" (pem (clientCertificate trusted.Value))
                    let words = file directory "words.pem" "nothing of the kind"
                    let other = file directory "other.pem" (keyPem good.Value)
                    let damaged = file directory "damaged.pem" ((keyPem good.Value).Replace("M", "!"))
                    let locked = file directory "locked.pem" (locked ())

                    let mismatch path =
                        $"--client-key: the private key in \"{path}\" is damaged or does not belong to the certificate in \"{certificate}\""

                    for keyPath, expected in
                        [
                            "", $"--client-cert: \"{certificate}\" contains no PEM private key; give it with --client-key"
                            words, $"--client-key: \"{words}\" contains no PEM private key"
                            "/no/key", "--client-key: \"/no/key\" does not exist"
                            other, mismatch other
                            damaged, mismatch damaged
                            locked,
                            $"--client-key: the private key in \"{locked}\" has a passphrase, and nobody is there to type it; store the key without one"
                        ] do
                        Expect.equal (sentence (identity certificate keyPath)) expected keyPath)
        ]
