/// Which certificates the agent accepts and shows, and what it says of those it does not.
module Agent.EndToEnd.Tests.TlsTests

open System
open System.Diagnostics
open System.IO
open System.Security.Cryptography.X509Certificates
open Agent.TestSupport
open Agent.TestSupport.AgentProcess
open Agent.TestSupport.Certificates
open Agent.EndToEnd.Tests.TlsServers
open Agent.EndToEnd.Tests.IngestServer
open Expecto
open Microsoft.AspNetCore.Server.Kestrel.Https

/// One attempt that fails, and its reason.
let private reasonOf (words: string list) (variables: (string * string) list) : string =
    let code, _, errors = runWith variables (words @ [ "--once" ])
    Expect.equal code 1 "exit code"
    let marker = " WARNING not delivered: "

    match errors |> List.filter _.Contains(marker) with
    | [ line ] -> line.Substring(line.IndexOf(marker, StringComparison.Ordinal) + marker.Length)
    | lines -> failtest $"expected one line, got %A{lines} of %A{errors}"

let private delivers (server: IngestServer) (words: string list) =
    let code, _, errors = run (targetOf (urlOf server) @ words @ [ "--once" ])
    Expect.equal (code, errors |> List.filter _.Contains("not delivered")) (0, []) "accepted"
    Expect.equal server.Requests.Length 1 "one request"

let private date (offset: float) =
    (day offset).ToString "yyyy-MM-dd 00:00:00 'UTC'"

let private trust =
    testList
        "trust"
        [
            testCase "--ca-file may hold the root, an intermediate or the certificate itself, among others"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let other = authority "Another Root"
                    let middle = intermediate trusted.Value "Test Middle"
                    let leaf = certificateFor middle [ "localhost" ]

                    for name, bundle in
                        [
                            "root.pem", pem other + "some words between\n" + pem trusted.Value
                            "middle.pem", pem middle
                            "leaf.pem", pem leaf + pem other
                        ] do
                        // The server sends the intermediate along.
                        use server =
                            server stored 0 (fun () -> leaf) (fun https ->
                                https.ServerCertificate <- leaf
                                https.ServerCertificateSelector <- null
                                https.ServerCertificateChain <- X509Certificate2Collection [| middle |])

                        delivers server [ "--ca-file"; file directory name bundle ]

                    use server = showing stored leaf
                    let path = file directory "root.pem" (pem trusted.Value)

                    Expect.stringStarts
                        (reasonOf (targetOf (urlOf server) @ [ "--ca-file"; path ]) [])
                        "TLS failed: unknown issuer: the certificate of monitoring chains up to Test Middle, which is not trusted here"
                        "the intermediate is missing")

            testCase "the user's issuers come beside the system's"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use server = showing stored good.Value
                    let system = file directory "system.pem" (pem trusted.Value)
                    let mine = file directory "mine.pem" (pem (authority "Another Root"))

                    let code, _, errors =
                        runWith [ "SSL_CERT_FILE", system ] (targetOf (urlOf server) @ [ "--once"; "--ca-file"; mine ])

                    Expect.equal (code, errors.Length) (0, 0) "accepted")

            testCase "the variables of requests stand in the place of the system's store: the first that is set, a file or a directory"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let right = file directory "right.pem" (pem trusted.Value)
                    let wrong = file directory "wrong.pem" (pem (authority "Another Root"))
                    let folder = Directory.CreateDirectory(Path.Combine(directory, "folder")).FullName
                    file folder "root.pem" (pem trusted.Value) |> ignore

                    for variables, words, isTrusted in
                        [
                            [ "REQUESTS_CA_BUNDLE", right ], [], true
                            [ "CURL_CA_BUNDLE", right ], [], true
                            [ "REQUESTS_CA_BUNDLE", folder ], [], true
                            [ "REQUESTS_CA_BUNDLE", ""; "CURL_CA_BUNDLE", right ], [], true
                            [ "REQUESTS_CA_BUNDLE", right; "CURL_CA_BUNDLE", wrong ], [], true
                            [ "REQUESTS_CA_BUNDLE", wrong; "CURL_CA_BUNDLE", right; "SSL_CERT_FILE", right ], [], false
                            [ "REQUESTS_CA_BUNDLE", "/no/where" ], [ "--ca-file"; right ], true
                            // What the user says is in addition to the system's, and not to theirs.
                            [ "REQUESTS_CA_BUNDLE", right ], [ "--ca-file"; wrong ], false
                        ] do
                        use server = showing stored good.Value
                        let code, _, errors = runWith variables (targetOf (urlOf server) @ [ "--once" ] @ words)
                        Expect.equal (code = 0, server.Requests.Length) (isTrusted, (if isTrusted then 1 else 0)) $"{variables} {words}"

                        if not isTrusted then
                            Expect.isTrue (errors |> List.exists _.Contains("unknown issuer")) $"{errors}"

                    let nowhere = [ "CURL_CA_BUNDLE", "/no/where" ]
                    let code, _, errors = runWith nowhere (targetOf "https://127.0.0.1" @ [ "--once" ])

                    Expect.equal
                        (code, errors)
                        (2,
                         [
                             "ai-dashboard-agent: CURL_CA_BUNDLE: \"/no/where\" does not exist; correct or unset it"
                         ])
                        "one that is not there"

                    use server = new IngestServer(stored)
                    let code, _, _ = runWith nowhere (targetOf server.Url @ [ "--once" ])
                    Expect.equal code 0 "which does not matter without TLS")

            testCase "an issuer of the user does not excuse a wrong name or a wrong date"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let ca = [ "--ca-file"; file directory "root.pem" (pem trusted.Value) ]
                    use server = showing stored (certificateBetween -9.0 -2.0 trusted.Value [ "a.example"; "b.example" ])
                    let reason = reasonOf (targetOf (urlOf server) @ ca) []

                    Expect.stringStarts
                        reason
                        ("TLS failed: wrong host name: the certificate is for a.example, b.example, not for localhost; "
                         + $"certificate expired: the certificate of monitoring was valid until {date -2.0}, this machine's clock says 20")
                        "both are told")

            testCase "an address must stand in the certificate too"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use server = showing stored good.Value
                    let ca = [ "--ca-file"; file directory "root.pem" (pem trusted.Value) ]

                    Expect.equal
                        (reasonOf (targetOf server.Url @ ca) [])
                        "TLS failed: wrong host name: the certificate is for localhost, monitoring.example, not for 127.0.0.1"
                        "no address in it")

            testCase "an address that stands in the certificate is good, and a common name is not"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let ca = [ "--ca-file"; file directory "root.pem" (pem trusted.Value) ]
                    use server = showing stored (certificateFor trusted.Value [ "127.0.0.1" ])
                    let code, _, errors = run (targetOf server.Url @ ca @ [ "--once" ])
                    Expect.equal (code, errors.Length) (0, 0) "accepted"
                    use server = showing stored (certificateWithoutNames trusted.Value "localhost")

                    Expect.equal
                        (reasonOf (targetOf (urlOf server) @ ca) [])
                        ("TLS failed: wrong host name: the certificate has no subject alternative name, so it is not for localhost "
                         + "(a common name does not count)")
                        "the reason"

                    let _, output, _ = run (targetOf (urlOf server) @ ca @ [ "--doctor" ])

                    Expect.exists
                        output
                        (fun line -> line.StartsWith "✗ TLS" && line.Contains "for another host name")
                        "the doctor says it as well")

            testCase "a self-signed certificate is told as such"
            <| fun () ->
                use server = new IngestServer(stored, 0, true)

                Expect.stringContains
                    (reasonOf (targetOf (urlOf server)) [])
                    "unknown issuer: localhost has a self-signed certificate, which is not trusted here"
                    "the reason"

            testCase "plain HTTP where TLS is expected"
            <| fun () ->
                use server = new IngestServer(stored)

                Expect.equal
                    (reasonOf (targetOf ((urlOf server).Replace("http:", "https:"))) [])
                    "TLS failed: no TLS: the server does not speak it, or there is a proxy in between"
                    "the reason"
        ]

let private clients =
    let asking accepted (https: HttpsConnectionAdapterOptions) =
        https.ClientCertificateMode <- ClientCertificateMode.RequireCertificate
        https.ClientCertificateValidation <- fun certificate _ _ -> certificate.Thumbprint = accepted

    testList
        "client certificates"
        [
            testCase "one that is required and given is accepted, key beside it or in the same file"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let mine = clientCertificate trusted.Value
                    let ca = [ "--ca-file"; file directory "root.pem" (pem trusted.Value) ]

                    for words in
                        [
                            [ "--client-cert"; file directory "both.pem" (keyPem mine + pem mine) ]
                            [
                                "--client-cert"
                                file directory "certificate.pem" (pem mine + pem trusted.Value)
                                "--client-key"
                                file directory "key.pem" (keyPem mine)
                            ]
                        ] do
                        use server = server stored 0 (fun () -> good.Value) (asking mine.Thumbprint)
                        delivers server (ca @ words))

            testCase "one that is required and not given is asked for"
            <| fun () ->
                World.withDirectory (fun directory ->
                    use server = server stored 0 (fun () -> good.Value) (asking "")
                    let ca = [ "--ca-file"; file directory "root.pem" (pem trusted.Value) ]

                    Expect.equal
                        (reasonOf (targetOf (urlOf server) @ ca) [])
                        "TLS failed: client certificate required: the server asks for one, and none was given"
                        "the reason")
        ]

/// What the agent prints when another user runs it, and its exit code.
let private runAs (user: int) (words: string list) : int * string =
    let arguments =
        [
            "--reuid"
            string user
            "--clear-groups"
            Agent.TestSupport.World.forAnyUser binary.Value
        ]
        @ words

    let start = ProcessStartInfo("setpriv", arguments, RedirectStandardError = true)
    use agent = new Process(StartInfo = start)
    agent.Start() |> ignore
    let errors = agent.StandardError.ReadToEnd()
    agent.WaitForExit()
    agent.ExitCode, errors

let private files =
    testList
        "files"
        [
            testCase "files that cannot be used are errors at start, together with the others"
            <| fun () ->
                let code, output, errors =
                    runWith
                        [ "AI_DASHBOARD_CA_FILE", "/no/1" ]
                        (targetOf "http://127.0.0.1"
                         @ [ "--procfs=/no/where"; "--client-cert=/no/2"; "--token-file=/no/3" ])

                Expect.equal (code, output) (2, []) "exit code"

                Expect.equal
                    errors
                    [
                        "ai-dashboard-agent: --procfs: \"/no/where\" is not a directory"
                        "ai-dashboard-agent: --ca-file: \"/no/1\" does not exist"
                        "ai-dashboard-agent: --client-cert: \"/no/2\" does not exist"
                        "ai-dashboard-agent: --token-file: /no/3 does not exist"
                    ]
                    "all of them"

            testCase "files that the agent's user may not read are errors at start"
            <| fun () ->
                World.withDirectory (fun directory ->
                    if Environment.UserName <> "root" then
                        Agent.TestSupport.Skip.because "setpriv needs root"

                    let path = file directory "ca.pem" (pem trusted.Value)
                    File.SetUnixFileMode(path, UnixFileMode.UserRead)
                    File.SetUnixFileMode(directory, enum<UnixFileMode> 0o755)

                    Expect.equal
                        (runAs 65534 [ "--dry-run"; "--once"; "--ca-file"; path ])
                        (2, $"ai-dashboard-agent: --ca-file: \"{path}\" cannot be read: permission denied\n")
                        "the sentence")
        ]

let private openSsl =
    testList
        "OpenSSL"
        [
            testCase "where the machine has none, whatever needs it is named in one sentence, and http works"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // Files that the dynamic linker finds first, and cannot load.
                    for version in [ "3"; "1.1"; "1.0.2"; "1.0.0"; "10" ] do
                        file directory $"libssl.so.{version}" "none" |> ignore

                    let none = [ "LD_LIBRARY_PATH", directory ]

                    let sentence flag =
                        $"ai-dashboard-agent: {flag}: TLS needs OpenSSL, and this machine has no libssl.so.3 or libssl.so.1.1: install it "
                        + "(package libssl3 of Debian, Ubuntu and Alpine, openssl-libs of Red Hat), or use http"

                    for words, flags in
                        [
                            targetOf "https://127.0.0.1:1" @ [ "--once" ], [ "--host" ]
                            targetOf "https://127.0.0.1:1" @ [ "--doctor" ], [ "--host" ]
                            targetOf "http://127.0.0.1:1" @ [ "--remote-write"; "https://127.0.0.1:1/w" ], [ "--remote-write" ]
                            targetOf "http://127.0.0.1:1" @ [ "--otlp"; "https://127.0.0.1:1" ], [ "--otlp" ]
                            targetOf "http://127.0.0.1:1"
                            @ [ "--ca-file"; "/no/1"; "--client-cert"; "/no/2" ],
                            [ "--ca-file"; "--client-cert" ]
                        ] do
                        let code, output, errors = runWith none words
                        Expect.equal (code, output, errors) (2, [], List.map sentence flags) $"{words}"

                    use server = new IngestServer(stored)
                    let code, _, errors = runWith none (targetOf server.Url @ [ "--once" ])
                    Expect.equal (code, errors.Length) (0, 0) "http"
                    let code, _, _ = runWith none (targetOf "https://127.0.0.1:1" @ [ "--once"; "--dry-run" ])
                    Expect.equal code 0 "nothing is sent with --dry-run")
        ]

let tests = testList "TLS" [ trust; clients; files; openSsl ]
