/// Where the token comes from, and what is said of a file that gives none.
module Agent.Host.Tests.TokenSourceTests

open System.IO
open Agent.Core
open Agent.Sender
open Agent.Host.Posting
open Agent.TestSupport
open Agent.TestSupport.CommandLine
open Expecto

let private target = [ "--host=http://h"; "--server-slug=a" ]

let private opened (words: string list) (variables: (string * string) list) : Result<TokenSource, ConfigError> =
    TokenSource.Open (targetOf (settingsOf (target @ words) variables)).Token

let private source words variables : TokenSource =
    match opened words variables with
    | Ok source -> source
    | Error error -> failtest error.Message

let private sentence words variables : string =
    match opened words variables with
    | Ok _ -> failtest "expected an error"
    | Error error -> error.Message

let private write (directory: string) (name: string) (text: string) : string =
    let path = Path.Combine(directory, name)
    File.WriteAllText(path, text)
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
    path

let private missing = "Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"

let private order =
    testCase "--token, --token-file, the two variables, systemd's credential: the first that is given counts"
    <| fun () ->
        World.withDirectory (fun directory ->
            let write = write directory

            let all: ((string list * (string * string) list) * string) list =
                [
                    ([ "--token=t1" ], []), "t1"
                    ([ "--token-file"; write "2" "t2" ], []), "t2"
                    ([], [ "AI_DASHBOARD_TOKEN", "t3" ]), "t3"
                    ([], [ "AI_DASHBOARD_TOKEN_FILE", write "4" "t4" ]), "t4"
                    ([], [ "CREDENTIALS_DIRECTORY", directory ]), "t5"
                ]

            write IngestToken.CredentialName "t5" |> ignore

            for first in 0 .. all.Length - 1 do
                let given = all |> List.skip first
                let words = given |> List.collect (fst >> fst)
                let variables = given |> List.collect (fst >> snd)
                Expect.equal ((source words variables).Current.Reveal()) (snd all[first]) $"from number {first + 1} on")

let private files =
    [
        testCase "white space around the token is no part of it"
        <| fun () ->
            World.withDirectory (fun directory ->
                for text in [ "s3cr3t"; "s3cr3t\n"; " s3cr3t\r\n\n"; "\ufeffs3cr3t\n" ] do
                    let path = write directory "token" text
                    Expect.equal ((source [ "--token-file"; path ] []).Current.Reveal()) "s3cr3t" text)

        testCase "a file that gives no token is an error without its content, which names flag and file"
        <| fun () ->
            World.withDirectory (fun directory ->
                let garbled = "the token contains white space, control or non-ASCII characters"

                for name, text, reason in
                    [
                        "empty", "", "the token is empty"
                        "blank", " \n\n", "the token is empty"
                        "two", "s3cr3t\ns3cr3t\n", garbled
                        "words", "token = s3cr3t", garbled
                        "binary", "s3cr3t\u0000\u0001", garbled
                        "foreign", "s3cr3tö", garbled
                    ] do
                    let path = write directory name text
                    Expect.equal (sentence [ "--token-file"; path ] []) $"--token-file: {path}: {reason}" name

                    Expect.equal
                        (sentence [] [ "AI_DASHBOARD_TOKEN_FILE", path ])
                        $"AI_DASHBOARD_TOKEN_FILE: {path}: {reason}"
                        $"{name}, by variable"

                for path, reason in
                    [
                        Path.Combine(directory, "absent"), "does not exist"
                        directory, "is a directory"
                        "/dev/zero", "is longer than 4 MiB"
                    ] do
                    Expect.equal (sentence [ "--token-file"; path ] []) $"--token-file: {path} {reason}" path)

        testCase "a credential that is missing or empty is a missing token, one that is garbled is told"
        <| fun () ->
            World.withDirectory (fun directory ->
                let variables = [ "CREDENTIALS_DIRECTORY", directory ]
                Expect.equal (sentence [] variables) missing "no file"
                let path = write directory IngestToken.CredentialName ""
                Expect.equal (sentence [] variables) missing "SetCredential=ingest-token: alone"
                write directory IngestToken.CredentialName "a b" |> ignore

                Expect.equal
                    (sentence [] variables)
                    $"credential: {path}: the token contains white space, control or non-ASCII characters"
                    "garbled"

                write directory IngestToken.CredentialName "s3cr3t\n" |> ignore
                Expect.equal ((source [] variables).Current.Reveal()) "s3cr3t" "with a slash or without"
                Expect.equal ((source [] [ "CREDENTIALS_DIRECTORY", directory + "/" ]).Current.Reveal()) "s3cr3t" "with one")

        testCase "a file is read again on demand, and a bad one changes nothing"
        <| fun () ->
            World.withDirectory (fun directory ->
                let path = write directory "token" "one"
                let source = source [ "--token-file"; path ] []
                Expect.isFalse (source.Refresh()) "the same"

                for text, changed, token in
                    [
                        "two\n", true, "two"
                        "two", false, "two"
                        "", false, "two"
                        "a b", false, "two"
                        "three", true, "three"
                    ] do
                    write directory "token" text |> ignore
                    Expect.equal (source.Refresh()) changed text
                    Expect.equal (source.Current.Reveal()) token text

                File.Delete path
                Expect.isFalse (source.Refresh()) "gone"
                Expect.equal (source.Current.Reveal()) "three" "the last one stays")

        testCase "a token that was given itself cannot be read again"
        <| fun () -> Expect.isFalse ((source [ "--token=t" ] []).Refresh()) "the same for ever"
    ]

let private warnings =
    [
        testCase "a token on the command line is warned about, one in the environment is not"
        <| fun () ->
            Expect.equal
                (source [ "--token=t" ] []).Warning
                "--token: everybody on this machine can see the token with ps; use --token-file or AI_DASHBOARD_TOKEN"
                "flag"

            Expect.equal (source [] [ "AI_DASHBOARD_TOKEN", "t" ]).Warning "" "variable"

        testCase "a file that everybody can read is warned about"
        <| fun () ->
            World.withDirectory (fun directory ->
                let path = write directory "token" "t"
                let warning words variables = (source words variables).Warning
                Expect.equal (warning [ "--token-file"; path ] []) "" "0600"
                File.SetUnixFileMode(path, enum<UnixFileMode> 0o640)
                Expect.equal (warning [ "--token-file"; path ] []) "" "0640: of a group one may be the only member"
                File.SetUnixFileMode(path, enum<UnixFileMode> 0o644)
                let told = $"every user of this machine can read {path}; chmod 600 it"
                Expect.equal (warning [ "--token-file"; path ] []) $"--token-file: {told}" "0644"

                Expect.equal (warning [] [ "AI_DASHBOARD_TOKEN_FILE", path ]) $"AI_DASHBOARD_TOKEN_FILE: {told}" "by variable")
    ]

[<Tests>]
let tests = testList "TokenSource" ([ order ] @ files @ warnings)
