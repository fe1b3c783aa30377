/// The way to a real PostgreSQL: TLS with a certificate of one's own, and passwords from libpq's file.
module Agent.Dashboard.Tests.StateTlsTests

open System
open System.IO
open Agent.Dashboard.State
open Agent.Receiver
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Postgres
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.Prometheus
open Agent.TestSupport.Waiting
open Expecto
open Microsoft.FSharp.Core

/// Whether the connection that is made is protected by TLS; the sentence where it is refused.
let private isProtected (url: string) : Result<bool, string> =
    match StateOpening.Connect(StateStoreTests.settings url, ignore) with
    | Ok(struct (source, connection)) ->
        use _ = source
        use connection = connection
        Ok(connection.Scalar "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl" = 1L)
    | Error unopened -> Error unopened.Sentence

/// The exit code of a command that needs the state, and all that it said.
let private listUsers (variables: (string * string) list) (url: string) : int * string =
    use command = new DashboardProcess([ "users"; "list"; "--state"; url ], variables)
    let code = command.WaitForEnd patience
    code, String.concat "\n" (command.Output @ command.AllErrors)

let private urlOn (port: int) (parameters: string) : string =
    $"postgres://{Role}@localhost:{port}/{Role}?{parameters}"

[<Tests>]
let tests =
    testList
        "State over TLS"
        [
            testCase "the server's certificate is checked as sslmode asks, and what is wrong with it is one sentence that says what to do"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                let authority = Certificates.trusted.Value
                let ca = Certificates.file place.Path "ca.pem" (Certificates.pem authority)

                let stranger =
                    Certificates.file place.Path "stranger.pem" (Certificates.pem (Certificates.authority "Stranger"))

                let none = place.File "none.pem"
                let rubbish = Certificates.file place.Path "rubbish.pem" "rubbish\n"

                let broken =
                    Certificates.file place.Path "broken.pem" "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

                use server = new Postgres(place.Path, "", tlsOptions place.Path Certificates.good.Value)

                for parameters in
                    [
                        "sslmode=require"
                        $"sslmode=verify-full&sslrootcert={ca}"
                        $"sslmode=verify-ca&sslrootcert={ca}"
                    ] do
                    Expect.equal (isProtected (urlOn server.Port parameters)) (Ok true) parameters

                Expect.equal (isProtected (urlOn server.Port "sslmode=disable")) (Ok false) "as it is asked for"

                let byAddress = $"postgres://{Role}@127.0.0.1:{server.Port}/{Role}?"

                Expect.equal
                    (isProtected (byAddress + $"sslmode=verify-ca&sslrootcert={ca}"))
                    (Ok true)
                    "the authority alone, whatever the name"

                // The driver's own words do not say which of these it is.
                for url, expected in
                    [
                        byAddress + $"sslmode=verify-full&sslrootcert={ca}",
                        "the server's certificate is for localhost, monitoring.example, and not for 127.0.0.1; name the server in the URL as its certificate does, or give it a certificate for 127.0.0.1"
                        urlOn server.Port $"sslmode=verify-full&sslrootcert={stranger}",
                        $"the server's certificate is signed by no authority in \"{stranger}\"; give the certificate of the one that signed it as sslrootcert"
                        urlOn server.Port $"sslmode=verify-ca&sslrootcert={stranger}",
                        $"the server's certificate is signed by no authority in \"{stranger}\"; give the certificate of the one that signed it as sslrootcert"
                        urlOn server.Port "sslmode=verify-full",
                        "the server's certificate is signed by no authority that this machine trusts; give the certificate of the one that signed it, as sslrootcert=FILE in the URL"
                        urlOn server.Port "sslmode=verify-ca",
                        "the server's certificate is signed by no authority that this machine trusts; give the certificate of the one that signed it, as sslrootcert=FILE in the URL"
                    ] do
                    Expect.equal
                        (isProtected url)
                        (Error $"--state: \"{(StateStoreTests.settings url).Address.Url}\" cannot be used: {expected}")
                        url

                for file, expected in
                    [
                        none, "cannot be read: there is no such file or directory"
                        rubbish, "has no certificate in PEM"
                        broken, "has no certificate in PEM"
                    ] do
                    Expect.equal
                        (isProtected (urlOn server.Port $"sslmode=verify-full&sslrootcert={file}"))
                        (Error $"--state: sslrootcert \"{file}\" {expected}")
                        file

                // What a person sees: one sentence, and the exit code of what may work later, or of a wrong option.
                let code, said = listUsers [] (urlOn server.Port "sslmode=verify-full")
                Expect.equal code 1 said
                Expect.stringContains said "give the certificate of the one that signed it, as sslrootcert=FILE in the URL" "what to do"
                Expect.equal (said.Trim().Split('\n').Length) 1 "one sentence"
                let code, said = listUsers [] (urlOn server.Port $"sslmode=verify-full&sslrootcert={none}")
                Expect.equal code 2 said

            testCase "a certificate that has expired is named as one"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                let authority = Certificates.trusted.Value
                let ca = Certificates.file place.Path "ca.pem" (Certificates.pem authority)
                let expired = Certificates.certificateBetween -30.0 -3.0 authority [ "localhost" ]
                use server = new Postgres(place.Path, "", tlsOptions place.Path expired)

                let from, until =
                    (Certificates.day -30.0).ToString "yyyy-MM-dd", (Certificates.day -3.0).ToString "yyyy-MM-dd"

                match isProtected (urlOn server.Port $"sslmode=verify-full&sslrootcert={ca}") with
                | Error sentence ->
                    Expect.stringContains sentence $"is valid from {from} to {until}, which is not now; renew it, or set the clock" "why"
                | Ok _ -> failtest "it was accepted"

            testCase "a server without TLS is named as one, and without a password the ways to give it are"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "correct horse")

                for mode in [ "require"; "verify-full" ] do
                    let code, said = listUsers [] (urlOn server.Port $"sslmode={mode}")
                    Expect.equal code 1 said

                    Expect.stringContains
                        said
                        $"the server does not speak TLS, which sslmode={mode} asks for; set ssl = on in its postgresql.conf, or give sslmode=disable if nobody else can listen on the network path"
                        mode

                let code, said = listUsers [] (urlOn server.Port "sslmode=disable")
                Expect.equal code 1 said

                Expect.stringContains
                    said
                    "the server asks for a password; give it in --state-password-file, PGPASSWORD or PGPASSFILE"
                    "without a password"

            testCase "a password of libpq's file is used, and said nowhere; one that others can read is complained of"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                let password = "correct:horse"
                use server = new Postgres(place.Path, password)
                let url = urlOn server.Port "sslmode=disable"
                let ownerOnly = UnixFileMode.UserRead ||| UnixFileMode.UserWrite

                let passwords name (mode: UnixFileMode) (word: string) =
                    // A colon in a field has a backslash before it (PostgreSQL's manual, "The Password File").
                    let text = $"other.example:5432:*:*:unused\n*:{server.Port}:{Role}:{Role}:{word}\n"
                    let path = Certificates.file place.Path name text
                    File.SetUnixFileMode(path, mode)
                    path

                let good = passwords "good" ownerOnly "correct\\:horse"
                let home = Directory.CreateDirectory(place.File "home").FullName
                File.Copy(good, Path.Combine(home, ".pgpass"))

                for variables in [ [ "PGPASSFILE", good ]; [ "HOME", home ] ] do
                    let code, said = listUsers variables url

                    Expect.equal
                        (code, said)
                        (0, $"ai-dashboard: there are no users in \"{url}\"; users add NAME adds one")
                        $"%A{variables}"

                // A whole dashboard, with all that it logs.
                use dashboard =
                    new Dashboard(
                        place.File "a.db",
                        [ "--metrics-url"; "http://127.0.0.1:9"; "--state"; url; "--accounts-in-state" ],
                        [ "PGPASSFILE", good ]
                    )

                dashboard.Process.Secrets <- [ password; "correct\\:horse" ]
                dashboard.Stop()

                let wrong = passwords "wrong" ownerOnly "battery staple"
                let code, said = listUsers [ "PGPASSFILE", wrong ] url
                Expect.equal code 1 said
                Expect.stringContains said "password authentication failed" "the server's words"
                Expect.isFalse (said.Contains "battery") "no password is said"

                let open' = passwords "open" (ownerOnly ||| UnixFileMode.OtherRead) "correct\\:horse"
                let code, said = listUsers [ "PGPASSFILE", open' ] url
                Expect.equal code 0 said

                Expect.stringContains
                    said
                    $"--state: \"{open'}\" can be read or changed by other users of this machine; use chmod 600"
                    "others"
        ]
