/// What messages of alerts say, and the form that each service gets.
module Agent.Receiver.Tests.MessageTests

open System
open System.Text
open System.Text.Json
open Agent.Receiver.Alerts
open Agent.Receiver.Tests.ChannelFileTests
open Expecto

// 2026-11-29T07:30:00Z: 9829 days and seven and a half hours after 2000-01-01.
let private since = (9829L * 86400L + 27000L) * 1_000_000L

let private silent (number: int) : Notice =
    {
        Alert = int64 (100 + number)
        Rule = "machine-silent"
        Level = AlertLevel.Critical
        State = NoticeState.Firing
        Slug = $"node-{number}"
        Machine = $"Node {number}"
        What = "no sample for 2 min"
        Why = "It was reachable until then"
        Since = since
        Until = -1L
        Path = $"/servers/node-{number}?to=1"
    }

let private over (notice: Notice) : Notice =
    { notice with
        State = NoticeState.Resolved
        Until = since + 720_000_000L
    }

let private hot: Notice =
    { silent 7 with
        Rule = "gpu-hot"
        Level = AlertLevel.Warning
        What = "GPU 3 is at 91 °C"
        Why = ""
    }

let private title (notices: Notice list) =
    (Messages.ofNotices "https://gpus.example" "id" (Array.ofList notices)).Title

let private secrets: ChannelSecrets =
    {
        Url = "https://service.example/hook"
        Token = "tok"
        Key = [||]
    }

let private now = DateTimeOffset(2026, 11, 29, 7, 31, 0, TimeSpan.Zero)

let private requests (members: string) (notices: Notice list) : (ChannelRequest * JsonElement) list =
    match (channel members).Kind with
    | ChannelKind.Http http ->
        ChannelRequests.make http secrets "https://gpus.example" "the-id" (Array.ofList notices) now
        |> List.ofArray
        |> List.map (fun request ->
            use document = JsonDocument.Parse(ReadOnlyMemory request.Body)
            request, document.RootElement.Clone())
    | other -> failtest $"%A{other}"

let private request members notices =
    match requests members notices with
    | [ one ] -> one
    | other -> failtest $"expected one request, got {other.Length}"

let private text (name: string) (element: JsonElement) : string =
    let rec go (names: string list) (at: JsonElement) =
        match names with
        | [] -> at.ToString()
        | name :: rest ->
            match Int32.TryParse name with
            | true, index -> go rest at[index]
            | _ -> go rest (at.GetProperty name)

    go (List.ofArray (name.Split '.')) element

let private slack = "\"type\": \"slack\", \"url_file\": \"f\""
let private discord = "\"type\": \"discord\", \"url_file\": \"f\""
let private pagerDuty = "\"type\": \"pagerduty\", \"routing_key_file\": \"f\""

[<Tests>]
let tests =
    testList
        "Messages"
        [
            testCase "instants are UTC to the second"
            <| fun () ->
                Expect.equal (Messages.instant since) "2026-11-29T07:30:00Z" "since"
                Expect.equal (Messages.instant -5L) "2000-01-01T00:00:00Z" "before the first one"
                Expect.isTrue ((Messages.instant Int64.MaxValue).StartsWith "2200-") "after the last one"

            testCase "one alert is told by its machine, what, since when, why, and with its link"
            <| fun () ->
                let message = Messages.ofNotices "https://gpus.example/" "id" [| silent 1 |]
                Expect.equal message.Title "[critical] Node 1: no sample for 2 min" "title"

                Expect.equal
                    (List.ofArray (Messages.lines message))
                    [
                        "Node 1: no sample for 2 min, since 2026-11-29T07:30:00Z. It was reachable until then. https://gpus.example/servers/node-1?to=1"
                    ]
                    "text"

            testCase "a dead switch is one message with one heading"
            <| fun () ->
                Expect.equal (title [ for number in 1..12 -> silent number ]) "[critical] 12 machines silent" "twelve"

                Expect.equal
                    (title [ hot; silent 1; silent 2; over (silent 3) ])
                    "[critical] 2 machines silent; Node 7: GPU 3 is at 91 °C; 1 more"
                    "critical ones first"

                Expect.equal (title [ hot; { hot with Slug = "node-8" } ]) "[warning] gpu-hot on 2 machines" "another rule"

            testCase "an end says how long it was"
            <| fun () ->
                let message = Messages.ofNotices "" "id" [| over (silent 1) |]
                Expect.equal message.Title "resolved: Node 1: no sample for 2 min" "title"
                Expect.isTrue message.IsResolved "it is over"

                Expect.equal
                    (Messages.lines message)
                    [|
                        "Node 1: no sample for 2 min, from 2026-11-29T07:30:00Z to 2026-11-29T07:42:00Z. It was reachable until then."
                    |]
                    "no link without the address"

            testCase "what does not fit is counted, and lines stay whole"
            <| fun () ->
                Expect.equal (Messages.fit String.length 30 [| "one"; "two"; "three" |]) "one\ntwo\nthree" "all of it"
                Expect.equal (Messages.fit String.length 20 [| "one"; "two"; String('x', 40) |]) "one\ntwo\n… and 1 more" "two of three"
                Expect.equal (Messages.fit String.length 80 [| String('x', 99); "two" |]) (String('x', 11) + "…\n… and 1 more") "a long one"

            testCase "a webhook carries the alerts as they are, and a signature that others compute alike"
            <| fun () ->
                let members = "\"type\": \"webhook\", \"url\": \"https://h/\", \"secret_file\": \"f\""

                match (channel members).Kind with
                | ChannelKind.Http http ->
                    let key = Encoding.ASCII.GetBytes "0123456789abcdef"

                    let signed =
                        (ChannelRequests.make http { secrets with Key = key } "https://gpus.example" "the-id" [| silent 1 |] now)[0]

                    let headers =
                        signed.Headers
                        |> Array.map (fun struct (name, value) -> name, value)
                        |> Map.ofArray

                    Expect.equal headers["webhook-id"] "the-id" "id"
                    Expect.equal headers["Idempotency-Key"] "the-id" "key"
                    Expect.equal headers["webhook-timestamp"] "1795937460" "time"
                    Expect.equal headers["webhook-signature"] (Signature.sign key "the-id" 1795937460L signed.Body) "signature"
                | other -> failtest $"%A{other}"

                // The example of the specification's own libraries.
                let secret = Signature.keyOf "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

                Expect.equal
                    (secret
                     |> Result.map (fun key -> Signature.sign key "msg_p5jXN8AQM9LWM0D4loKWxJek" 1614265330L "{\"test\": 2432232314}"B))
                    (Ok "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
                    "the specification's example"

                let _, body = request members [ silent 1; over hot ]
                Expect.equal (text "version" body) "1" "version"
                Expect.equal (text "id" body) "the-id" "id"
                Expect.equal (text "alerts.0.state" body) "firing" "state"
                Expect.equal (text "alerts.0.server" body) "node-1" "server"
                Expect.equal (text "alerts.0.url" body) "https://gpus.example/servers/node-1?to=1" "url"
                Expect.equal (text "alerts.1.until" body) "2026-11-29T07:42:00Z" "until"
                Expect.equal (text "alerts.1.why" body) "" "null where nothing is known"

            testCase "Slack's markup is escaped, and links are Slack's"
            <| fun () ->
                let _, body =
                    request
                        slack
                        [
                            { silent 1 with
                                Machine = "<!channel> & *co*"
                            }
                        ]

                let said = text "text" body
                Expect.stringContains said "&lt;!channel&gt; &amp; " "escaped"
                Expect.isFalse (said.Contains "<!channel>") "nobody is called"
                Expect.stringContains said "<https://gpus.example/servers/node-1?to=1|show>" "the link"

            testCase "Discord notifies nobody, stays below its 2,000 characters and confirms"
            <| fun () ->
                let sent, body =
                    request
                        discord
                        [
                            for number in 1..60 ->
                                { silent number with
                                    Machine = $"@everyone {number}"
                                }
                        ]

                Expect.equal sent.Url "https://service.example/hook?wait=true" "address"
                Expect.equal (text "allowed_mentions.parse" body) "[]" "mentions"
                let said = text "content" body
                Expect.isLessThanOrEqual said.Length 2000 "length"
                Expect.stringContains said "60 machines silent" "title"
                Expect.isTrue (Text.RegularExpressions.Regex.IsMatch(said, @"\n… and \d+ more$")) said

            testCase "Teams gets an adaptive card of less than 28 KB"
            <| fun () ->
                let sent, body =
                    request "\"type\": \"teams\", \"url_file\": \"f\"" [ for number in 1..400 -> silent number ]

                Expect.isLessThan sent.Body.Length 28000 "size"
                Expect.equal (text "attachments.0.contentType" body) "application/vnd.microsoft.card.adaptive" "type"
                Expect.equal (text "attachments.0.content.body.0.text" body) "🔴 \\[critical\\] 400 machines silent" "title"

            testCase "ntfy gets topic, priority and link, and its token in a header"
            <| fun () ->
                let sent, body = request "\"type\": \"ntfy\", \"topic\": \"gpus\", \"token_file\": \"f\"" [ silent 1 ]
                Expect.equal (text "topic" body) "gpus" "topic"
                Expect.equal (text "priority" body) "5" "priority"
                Expect.equal (text "click" body) "https://gpus.example/servers/node-1?to=1" "link"
                Expect.contains sent.Headers (struct ("Authorization", "Bearer tok")) "token"

            testCase "Telegram gets plain text for its chat"
            <| fun () ->
                let sent, body =
                    request "\"type\": \"telegram\", \"chat_id\": \"-100\", \"token_file\": \"f\"" [ for number in 1..200 -> silent number ]

                Expect.equal sent.Url "https://service.example/hook/bottok/sendMessage" "address"
                Expect.equal (text "chat_id" body) "-100" "chat"
                Expect.isLessThanOrEqual (text "text" body).Length 4096 "length"

            testCase "PagerDuty gets an event for each alert, whose end has the key of its beginning"
            <| fun () ->
                match requests pagerDuty [ silent 1; silent 2; over (silent 1) ] with
                | [ _, first; _, second; _, last ] ->
                    Expect.equal (text "event_action" first) "trigger" "first"
                    Expect.equal (text "payload.severity" first) "critical" "severity"
                    Expect.equal (text "payload.source" first) "node-1" "source"
                    Expect.equal (text "routing_key" first) "tok" "key"
                    Expect.equal (text "event_action" last) "resolve" "last"
                    Expect.equal (text "dedup_key" last) (text "dedup_key" first) "the same"
                    Expect.notEqual (text "dedup_key" second) (text "dedup_key" first) "another alert's"
                | other -> failtest $"expected three events, got {other.Length}"

            testCase "a status says whether a message was taken, will never be, or is sent again"
            <| fun () ->
                let meaning status =
                    match OutboxPlan.ofStatus status "words\nmore" ValueNone with
                    | AttemptEnd.Delivered said -> "delivered", said
                    | AttemptEnd.Refused said -> "refused", said
                    | AttemptEnd.Failed(_, said) -> "failed", said

                for status in [ 200; 202; 204 ] do
                    Expect.equal (meaning status) ("delivered", $"HTTP {status}: words") "taken"

                for status in [ 400; 405; 410; 413; 422 ] do
                    Expect.equal (meaning status) ("refused", $"HTTP {status}: words") "never"

                for status in [ 401; 403; 404; 408; 429; 500; 502; 503; 599 ] do
                    Expect.equal (meaning status) ("failed", $"HTTP {status}: words") "again"

                Expect.equal (fst (meaning 302)) "failed" "a redirect can be put right"

            testCase "waits grow from five seconds to ten minutes, and are never shorter than what was asked for"
            <| fun () ->
                let wait attempt =
                    (OutboxPlan.wait attempt ValueNone 0.5).TotalSeconds

                Expect.equal [ for attempt in 1..9 -> wait attempt ] [ 5; 10; 20; 40; 80; 160; 320; 600; 600 ] "doubled"

                Expect.equal (OutboxPlan.wait 1 (ValueSome(TimeSpan.FromSeconds 90.0)) 0.5) (TimeSpan.FromSeconds 90.0) "asked for"

                Expect.equal (OutboxPlan.wait 1 (ValueSome(TimeSpan.FromDays 9.0)) 0.5) (TimeSpan.FromHours 1.0) "at most an hour"
        ]
