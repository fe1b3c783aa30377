/// Laws of the notices of alerts: what the outbox keeps of them.
module Agent.PropertyTests.Dashboard.NoticeLaws

open System
open System.Text.Json
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.Receiver.Alerts
open Expecto
open FsCheck
open FsCheck.FSharp

/// A text as people and kernels write them, with what JSON, HTML and chat services read as markup.
let private words: Gen<string> =
    Gen.frequency
        [
            4,
            Gen.elements
                [
                    "node-1"
                    "no sample for 2 min"
                    "<b>&amp;\"'`*_~|>"
                    "@everyone <!channel>"
                    "ümläut 機械 😀"
                    ""
                ]
            2, anyText
            1, Gen.choose (0, 4000) |> Gen.map (fun length -> String('x', length))
        ]

/// Any notice that an evaluation could give.
let notice: Gen<Notice> =
    gen {
        let! alert = Gen.choose64 (1L, 1_000_000L)
        let! rule = Gen.elements [ "machine-silent"; "gpu-hot"; "disk-full" ]
        let! level = Gen.elements [ AlertLevel.Critical; AlertLevel.Warning ]
        let! state = Gen.elements [ NoticeState.Firing; NoticeState.Resolved ]
        let! slug = Gen.elements [ "node-1"; "node-2"; "" ]
        let! machine = words
        let! what = words
        let! why = words
        let! since = Gen.choose64 (0L, 1_000_000_000_000_000L)
        let! lasted = Gen.choose64 (0L, 1_000_000_000_000L)

        return
            {
                Alert = alert
                Rule = rule
                Level = level
                State = state
                Slug = slug
                Machine = machine
                What = what
                Why = why
                Since = since
                Until = if state = NoticeState.Firing then -1L else since + lasted
                Path = if slug = "" then "/" else $"/servers/{slug}?at={since}"
            }
    }

/// One to thirty of them.
let notices: Gen<Notice[]> =
    Gen.choose (1, 30) |> Gen.bind (fun count -> Gen.arrayOfLength count notice)

let private secrets: ChannelSecrets =
    {
        Url = "https://service.example/hook"
        Token = "token"
        Key = Array.create 16 1uy
    }

let private channel (service: HttpService) : HttpChannel =
    {
        Service = service
        Url = ""
        UrlFile = "f"
        Target = "target"
        SecretFile = "f"
        IsInsecure = false
    }

let private services =
    Gen.elements
        [
            HttpService.Webhook
            HttpService.Slack
            HttpService.Discord
            HttpService.Teams
            HttpService.Ntfy
            HttpService.Telegram
            HttpService.PagerDuty
        ]

let private noon = DateTimeOffset(2026, 11, 29, 12, 0, 0, TimeSpan.Zero)

let private requests service notices (now: DateTimeOffset) =
    ChannelRequests.make (channel service) secrets "https://gpus.example" "id" notices now

/// The member of that name of a request's body, or the length of all of it.
let private lengthOf (service: HttpService) (request: ChannelRequest) : int * int =
    use document = JsonDocument.Parse(ReadOnlyMemory request.Body)

    let text (name: string) =
        (string (document.RootElement.GetProperty name)).Length

    match service with
    | HttpService.Discord -> text "content", 2000
    | HttpService.Slack -> text "text", 4000
    | HttpService.Telegram -> text "text", 4096
    | HttpService.Teams -> request.Body.Length, 28000
    | HttpService.Ntfy -> Text.Encoding.UTF8.GetByteCount(string (document.RootElement.GetProperty "message")), 4096
    | HttpService.PagerDuty -> (string (document.RootElement.GetProperty("payload").GetProperty "summary")).Length, 1024
    | HttpService.Webhook -> 0, 0

[<Tests>]
let tests =
    testList
        "Notice laws"
        [
            law "decode (encode notices) = notices" notices (fun all -> NoticeJson.decode (NoticeJson.encode all) = Ok all)

            law "two texts joined are the text of both" (Gen.two (upTo 5 notice)) (fun (first, second) ->
                NoticeJson.join (NoticeJson.encode first) (NoticeJson.encode second) = NoticeJson.encode (Array.append first second))

            law "whatever a notice says, each service gets JSON within its limits" (Gen.zip services notices) (fun (service, all) ->
                let sent = requests service all noon
                let expected = if service = HttpService.PagerDuty then all.Length else 1

                sent.Length = expected
                && sent
                   |> Array.forall (fun request ->
                       let length, most = lengthOf service request
                       length <= most))

            law "a body is the same at every attempt" (Gen.zip services notices) (fun (service, all) ->
                Array.map _.Body (requests service all noon) = Array.map _.Body (requests service all (noon.AddHours 3.0)))

            law "a title is one line of at most 200 characters" notices (fun all ->
                let title = (Messages.ofNotices "https://gpus.example" "id" all).Title

                title <> ""
                && title.Length <= Messages.LongestTitle
                && not (Seq.exists Char.IsControl title))

            law
                "fitted lines are never longer than they may be, and begin as they did"
                (Gen.zip (Gen.choose (60, 400)) (upTo 20 words))
                (fun (most, lines) ->
                    let text = Messages.fit String.length most lines

                    text.Length <= most
                    && (text = String.Join("\n", lines) || text.Contains "… and " || lines.Length = 1))

            law
                "a wait is at least what was asked for up to an hour, and at most twelve minutes by itself"
                (Gen.three (Gen.choose (1, 5000)))
                (fun (attempt, seconds, tenths) ->
                    let jitter = float (tenths % 11) / 10.0
                    let alone = OutboxPlan.wait attempt ValueNone jitter
                    let asked = OutboxPlan.wait attempt (ValueSome(TimeSpan.FromSeconds(float seconds))) jitter

                    alone >= TimeSpan.FromSeconds 4.0
                    && alone <= TimeSpan.FromMinutes 12.0
                    && asked >= alone
                    && (seconds > 3600 || asked >= TimeSpan.FromSeconds(float seconds))
                    && asked <= TimeSpan.FromHours 1.0)

            law "any text at all is a file of alerts or sentences about it, never an exception" anyText (fun text ->
                match
                    AlertsFile.parse (ReadOnlyMemory(Text.Encoding.UTF8.GetBytes text))
                    |> Result.mapError Array.singleton
                    |> Result.bind ChannelFile.read
                with
                | Ok _ -> true
                | Error sentences -> sentences.Length > 0)

            law "any text at all is notices or an error, never an exception" anyText (fun text ->
                match NoticeJson.decode text with
                | Ok found -> found.Length = 0 && text.Trim() = "[]"
                | Error sentence -> sentence <> "")
        ]
