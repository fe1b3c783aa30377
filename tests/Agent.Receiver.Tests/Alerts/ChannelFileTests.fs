/// The channels in a file of alerts, and what is said where they cannot be read.
module Agent.Receiver.Tests.ChannelFileTests

open System
open System.Text
open Agent.Receiver.Alerts
open Expecto

let private read (text: string) : Result<ChannelSettings[], string[]> =
    AlertsFile.parse (ReadOnlyMemory(Encoding.UTF8.GetBytes text))
    |> Result.mapError Array.singleton
    |> Result.bind ChannelFile.read

/// The channel that a file describes whose only channel has these members.
let channel (members: string) : ChannelSettings =
    match read $"{{\"channels\": [{{\"name\": \"ops\", {members}}}]}}" with
    | Ok [| one |] -> one
    | other -> failtest $"expected one channel, got %A{other}"

let private refusals (members: string) : string list =
    match read $"{{\"channels\": [{{\"name\": \"ops\", {members}}}]}}" with
    | Error reasons -> List.ofArray reasons
    | Ok channels -> failtest $"expected a refusal, got %A{channels}"

[<Tests>]
let tests =
    testList
        "Channel files"
        [
            testCase "mail has its usual ports, and other members of the file are nobody's business here"
            <| fun () ->
                let text =
                    """{"rules": 7, "channels": [
                         {"name": "a", "type": "email", "host": "mail.example", "from": "gpu@example.org", "to": ["ops@example.org"]},
                         {"name": "b", "type": "email", "host": "mail.example", "security": "tls", "user": "u", "password_file": "p",
                          "from": "gpu@example.org", "to": ["ops@example.org", "boss@example.org"]},
                         {"name": "c", "type": "email", "host": "127.0.0.1", "security": "none", "port": 2525, "from": "a@b", "to": ["c@d"]}]}"""

                let mails =
                    read text
                    |> Result.map (
                        Array.choose (fun one ->
                            match one.Kind with
                            | ChannelKind.Mail mail ->
                                Some(one.Name, mail.Security.Name, mail.Port, mail.To.Length, List.ofArray one.Files)
                            | _ -> None)
                    )

                Expect.equal
                    mails
                    (Ok
                        [|
                            "a", "starttls", 587, 1, []
                            "b", "tls", 465, 2, [ "p" ]
                            "c", "none", 2525, 1, []
                        |])
                    "the channels"

            testCase "services have their public addresses where no other one is given"
            <| fun () ->
                let url members =
                    match (channel members).Kind with
                    | ChannelKind.Http http -> http.Url
                    | other -> failtest $"%A{other}"

                Expect.equal (url "\"type\": \"ntfy\", \"topic\": \"gpus\"") "https://ntfy.sh/" "ntfy"

                Expect.equal
                    (url "\"type\": \"telegram\", \"chat_id\": \"-100\", \"token_file\": \"t\"")
                    "https://api.telegram.org/"
                    "telegram"

                Expect.equal
                    (url "\"type\": \"pagerduty\", \"routing_key_file\": \"k\"")
                    "https://events.pagerduty.com/v2/enqueue"
                    "pagerduty"

            testCase "a secret in the file itself is refused without being repeated, and the sentence names the key to use"
            <| fun () ->
                for members, instead in
                    [
                        "\"type\": \"email\", \"host\": \"h\", \"from\": \"a@b\", \"to\": [\"c@d\"], \"password\": \"hunter2\"",
                        "password_file"
                        "\"type\": \"webhook\", \"url\": \"https://h/\", \"secret\": \"hunter2\"", "secret_file"
                        "\"type\": \"slack\", \"url\": \"https://h/hunter2\", \"url_file\": \"f\"", "url_file"
                        "\"type\": \"ntfy\", \"topic\": \"t\", \"token\": \"hunter2\"", "token_file"
                        "\"type\": \"telegram\", \"chat_id\": \"1\", \"token_file\": \"f\", \"token\": \"hunter2\"", "token_file"
                        "\"type\": \"pagerduty\", \"routing_key_file\": \"f\", \"routing_key\": \"hunter2\"", "routing_key_file"
                    ] do
                    match refusals members with
                    | [ sentence ] ->
                        Expect.stringContains sentence $"name that with \"{instead}\"" members
                        Expect.isFalse (sentence.Contains "hunter2") sentence
                    | other -> failtest $"expected one sentence, got %A{other}"

            testCase "everything that is wrong is told at once, each with its path"
            <| fun () ->
                let text =
                    """{"channels": [
                         {"name": "a b", "type": "webhook", "url": "http://far.example/", "colour": 1},
                         {"name": "m", "type": "email", "host": "far.example", "security": "none", "from": "x", "to": []},
                         {"name": "m", "type": "pager"}, 5]}"""

                match read text with
                | Ok channels -> failtest $"%A{channels}"
                | Error reasons ->
                    Expect.equal
                        (List.ofArray reasons)
                        [
                            "$.channels[0].name: \"a b\" is not a name: 1 to 64 letters, digits, - or _"
                            "$.channels[0].url: is plain http to another machine; give an https URL, or \"insecure\": true if nobody on the network path can read it"
                            "$.channels[0].url: give \"url\", or \"url_file\" where the address is a secret"
                            "$.channels[0]: \"colour\" is not one of its members: name, type, insecure, url, url_file, secret_file"
                            "$.channels[1].security: \"none\" is accepted only for a server on this machine; use \"starttls\" or \"tls\""
                            "$.channels[1].to: is not an array of 1 to 50 texts"
                            "$.channels[1].from: \"x\" is not an address such as ops@example.org"
                            "$.channels[2].type: \"pager\" is not one of email, webhook, slack, discord, teams, ntfy, telegram, pagerduty"
                            "$.channels[3]: is not an object"
                        ]
                        "the sentences"

            testCase "what is no JSON, has a member twice or no channels is one sentence"
            <| fun () ->
                let refusal text =
                    match read text with
                    | Error [| one |] -> one
                    | other -> failtest $"%A{other}"

                Expect.equal (refusal "{\n \"channels\": [}") "is not JSON: line 2, byte 15" "line and place"
                Expect.equal (refusal "[]") "is not a JSON object such as {\"channels\": []}" "an array"

                Expect.equal
                    (refusal """{"channels": [{"name": "a", "name": "b"}]}""")
                    "has $.channels[0].name twice; write it once"
                    "twice"

                Expect.equal (refusal "{}") "$: \"channels\" is missing" "nothing"

            testCase "plain http is for this machine, or where it was asked for"
            <| fun () ->
                Expect.isOk (ChannelFile.checkUrl false "http://127.0.0.1:8080/x") "loopback"
                Expect.isOk (ChannelFile.checkUrl false "http://localhost/x") "localhost"
                Expect.isOk (ChannelFile.checkUrl false "http://[::1]/x") "loopback of IPv6"
                Expect.isOk (ChannelFile.checkUrl true "http://10.0.0.7/x") "asked for"
                Expect.isError (ChannelFile.checkUrl false "http://10.0.0.7/x") "another machine"
                Expect.isError (ChannelFile.checkUrl true "ftp://10.0.0.7/x") "another scheme"
                Expect.isError (ChannelFile.checkUrl false "https://user:pass@h/") "a password"

            testCase "files of secrets: the first line counts, and what cannot be one is refused"
            <| fun () ->
                let token = channel "\"type\": \"telegram\", \"chat_id\": \"1\", \"token_file\": \"f\""

                Expect.equal (ChannelSecrets.read token [| "12:AB-c\nnotes\n" |] |> Result.map _.Token) (Ok "12:AB-c") "the token"

                Expect.isError (ChannelSecrets.read token [| "12/../x" |]) "a path"
                Expect.isError (ChannelSecrets.read token [| "\n" |]) "nothing"

                let hook = channel "\"type\": \"webhook\", \"url\": \"https://h/\", \"secret_file\": \"f\""
                Expect.isError (ChannelSecrets.read hook [| "short" |]) "a short key"
                Expect.equal (ChannelSecrets.read hook [| "0123456789abcdef\n" |] |> Result.map _.Key.Length) (Ok 16) "a key"

                let slack = channel "\"type\": \"slack\", \"url_file\": \"f\""

                Expect.equal
                    (ChannelSecrets.read slack [| "https://hooks.slack.com/services/T/B/x\n" |]
                     |> Result.map _.Url)
                    (Ok "https://hooks.slack.com/services/T/B/x")
                    "the address"

                Expect.equal
                    (ChannelSecrets.read slack [| "hooks.slack.com" |])
                    (Error "has an address that is not an https URL, such as https://hooks.example/path")
                    "no address"
        ]
