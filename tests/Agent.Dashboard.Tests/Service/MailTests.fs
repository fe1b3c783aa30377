/// Alerts by mail, taken by a real mail server on the loopback: Debian's python3-aiosmtpd.
module Agent.Dashboard.Tests.MailTests

open System
open System.Diagnostics
open System.IO
open Agent.TestSupport
open Agent.TestSupport.Certificates
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Waiting
open Expecto

/// Debian's, which has Debian's modules; another one in the PATH has not.
[<Literal>]
let private Python = "/usr/bin/python3"

/// A mail server for one test, in a folder of its own.
type private MailServer(place: TemporaryDirectory, mode: string) =
    let folder = Directory.CreateDirectory(place.File "mails").FullName
    let certificate = file place.Path "server.pem" (pem good.Value)
    let key = file place.Path "server.key" (keyPem good.Value)
    let script = Path.Combine(Fixtures.root, "tests", "fixtures", "smtp", "server.py")

    let server =
        match
            Process.Start(
                ProcessStartInfo(
                    Python,
                    [ script; folder; mode; certificate; key ],
                    RedirectStandardOutput = true,
                    RedirectStandardError = true
                )
            )
        with
        | null -> failtest "it does not start"
        | started -> started

    let port =
        match server.StandardOutput.ReadLine() with
        | null -> failtest $"it ended: {server.StandardError.ReadToEnd()}"
        | line -> int line

    member _.Port = port

    /// The texts of the mails that it took.
    member _.Mails: string list =
        Directory.GetFiles(folder, "*.eml")
        |> Array.sort
        |> Array.map File.ReadAllText
        |> List.ofArray

    interface IDisposable with
        member _.Dispose() =
            server.Kill()
            server.WaitForExit()
            server.Dispose()

let private skipWithoutServer () =
    let code, _ =
        if File.Exists Python then
            Tools.run [] Python [ "-c"; "import aiosmtpd" ]
        else
            1, ""

    if code <> 0 then
        Skip.because "no python3-aiosmtpd"

/// Runs `alerts test` against a server of that mode: what the file of alerts says beside host, port and sender, and the password.
let private sends (mode: string) (members: string) (password: string) (test: int * string list * string list -> string list -> unit) =
    skipWithoutServer ()
    use place = new TemporaryDirectory()
    use server = new MailServer(place, mode)
    let secret = file place.Path "password" (password + "\n")
    File.SetUnixFileMode(secret, UnixFileMode.UserRead)

    let alerts =
        file
            place.Path
            "alerts.json"
            $"{{\"channels\": [{{\"name\": \"mail\", \"type\": \"email\", \"host\": \"localhost\", \"port\": {server.Port}, \"from\": \"gpu@example.org\", {members}}}]}}"

    let roots = file place.Path "roots.pem" (pem trusted.Value)

    use command =
        new DashboardProcess(
            [
                "alerts"
                "test"
                "mail"
                "--alerts"
                alerts
                "--public-url"
                "https://gpus.example"
            ],
            [ "SSL_CERT_FILE", roots; "SSL_CERT_DIR", place.Path ]
        )

    let code = command.WaitForEnd patience
    test (code, command.Output, command.AllErrors) server.Mails

let private toOps = "\"to\": [\"ops@example.org\"]"

let private withUser = $"{toOps}, \"user\": \"gpu\", \"password_file\": \"password\""

[<Tests>]
let tests =
    testList
        "Mail"
        [
            for mode in [ "starttls"; "tls" ] do
                testCase $"a mail by {mode} with a password"
                <| fun () ->
                    sends mode $"{withUser}, \"security\": \"{mode}\"" "right horse" (fun result mails ->
                        Expect.equal result (0, [ "mail (email): delivered: 2.0.0 taken as 1" ], []) "what the command says"

                        match mails with
                        | [ mail ] ->
                            for line in
                                [
                                    "X-From: gpu@example.org"
                                    "X-To: ops@example.org"
                                    "X-Tls: True"
                                    "Subject: [warning] dashboard: a test of the channel mail"
                                    "Auto-Submitted: auto-generated"
                                    "https://gpus.example/"
                                ] do
                                Expect.stringContains mail line line

                            Expect.isTrue
                                (Text.RegularExpressions.Regex.IsMatch(mail, "(?im)^Message-Id: <test-[0-9a-f]{32}@example\\.org>\r$"))
                                "the id"
                        | other -> failtest $"expected one mail, got {other.Length}")

            testCase "a mail to a server of this machine without TLS and password"
            <| fun () ->
                sends "none" $"{toOps}, \"security\": \"none\"" "" (fun (code, _, errors) mails ->
                    Expect.equal (code, errors) (0, []) "taken"
                    Expect.equal mails.Length 1 "one mail")

            testCase "a wrong password sends nothing, says so, and is not repeated"
            <| fun () ->
                sends "starttls" withUser "wrong horse" (fun (code, output, errors) mails ->
                    Expect.equal (code, output, mails) (1, [], []) "nothing"

                    match errors with
                    | [ line ] ->
                        Expect.stringStarts line "ai-dashboard: mail (email): not delivered: user gpu cannot log in: 535" "the sentence"
                        Expect.isFalse (line.Contains "horse") "no password"
                    | other -> failtest $"%A{other}")

            testCase "a recipient that is refused does not cost the others their mail"
            <| fun () ->
                sends
                    "tls"
                    (withUser.Replace(toOps, "\"to\": [\"nobody@example.org\", \"ops@example.org\"], \"security\": \"tls\""))
                    "right horse"
                    (fun (code, output, _) mails ->
                        Expect.equal code 0 "delivered"

                        Expect.equal
                            output
                            [
                                "mail (email): delivered: 2.0.0 taken as 1; refused: nobody@example.org (550 5.1.1 no such user)"
                            ]
                            "who was refused"

                        Expect.stringContains mails.Head "X-To: ops@example.org" "the other one")

            testCase "where nobody is accepted a refusal for good is one, and one for now is not"
            <| fun () ->
                for recipient, said in
                    [
                        "nobody", "refused: 550 nobody@example.org: 5.1.1 no such user"
                        "later", "not delivered: 450 later@example.org: 4.2.1 not now"
                    ] do
                    sends "starttls" (withUser.Replace("ops@", recipient + "@")) "right horse" (fun result mails ->
                        Expect.equal result (1, [], [ $"ai-dashboard: mail (email): {said}" ]) recipient
                        Expect.equal mails [] "no mail")

            testCase "a server without STARTTLS, or with a certificate that nobody vouches for, gets no password and no mail"
            <| fun () ->
                sends "none" withUser "right horse" (fun (code, _, errors) mails ->
                    Expect.equal (code, mails) (1, []) "nothing"
                    Expect.stringContains errors.Head "STARTTLS" "why")

                skipWithoutServer ()
                use place = new TemporaryDirectory()
                use server = new MailServer(place, "tls")

                let alerts =
                    file
                        place.Path
                        "alerts.json"
                        $"{{\"channels\": [{{\"name\": \"mail\", \"type\": \"email\", \"host\": \"localhost\", \"port\": {server.Port}, \"security\": \"tls\", \"from\": \"gpu@example.org\", {toOps}}}]}}"

                let code, _, errors = run [ "alerts"; "test"; "mail"; "--alerts"; alerts ]
                Expect.equal (code, server.Mails) (1, []) "nothing"
                Expect.stringContains errors.Head "certificate" "why"
                Expect.equal errors.Length 1 "one line"
        ]
