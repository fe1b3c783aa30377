namespace Agent.Receiver.Alerts

open System
open System.Text
open Agent.Core

/// One request to a service; always POST, always JSON.
type ChannelRequest =
    {
        /// The address.
        Url: string
        /// Name and value of each header but Content-Type.
        Headers: (struct (string * string))[]
        /// UTF-8.
        Body: byte[]
    }

/// Gives messages the form of each service, as its public documentation has it.
[<RequireQualifiedAccess>]
module ChannelRequests =
    /// What the services take, in UTF-16 units or bytes, a little less than documented: Slack advises 4,000 characters of text, Discord refuses
    /// more than 2,000, Teams more than 28 KB in all, ntfy makes a file of more than 4,096 bytes, Telegram refuses more than 4,096 characters,
    /// PagerDuty summaries of more than 1,024.
    let private slackText, discordText, teamsBytes, ntfyBytes, telegramText, summary =
        3900, 1900, 16000, 4000, 4000, 1000

    let private units (text: string) = text.Length
    let private bytes (text: string) = Encoding.UTF8.GetByteCount text

    let private encoded (value: JsonValue) : byte[] =
        Encoding.UTF8.GetBytes(Encode.toString 0 value)

    let private escapedWith (marks: string) (text: string) =
        let result = StringBuilder()

        for c in text do
            if marks.Contains c then
                result.Append '\\' |> ignore

            result.Append c |> ignore

        result.ToString()

    /// Without the characters that would end a link in a service's markup.
    let private safeLink (link: string) =
        link.Replace(" ", "%20").Replace("<", "%3C").Replace(">", "%3E").Replace("|", "%7C").Replace("(", "%28").Replace(")", "%29")

    /// The lines of a message: heading and texts by one function, links by another.
    let private linesBy (strong: string -> string) (plain: string -> string) (linked: string -> string) (message: Message) =
        [|
            for part in message.Parts do
                if message.Parts.Length > 1 then
                    strong part.Heading

                for line in part.Lines do
                    if line.Link = "" then
                        $"• {plain line.Text}"
                    else
                        $"• {plain line.Text} {linked (safeLink line.Link)}"
        |]

    let private mark (message: Message) =
        match message.IsResolved, message.Level with
        | true, _ -> "✅"
        | false, AlertLevel.Critical -> "🔴"
        | false, AlertLevel.Warning -> "🟠"

    let private slack (message: Message) : JsonValue =
        let plain (text: string) =
            text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;")

        // Bold text ends at the next asterisk.
        let strong (text: string) = $"*{(plain text).Replace('*', '∗')}*"

        let text =
            Array.append [| $"{mark message} {strong message.Title}" |] (linesBy strong plain (fun link -> $"<{plain link}|show>") message)
            |> Messages.fit units slackText

        Encode.object [| "text", Encode.string text; "unfurl_links", Encode.bool false |]

    let private discord (message: Message) : JsonValue =
        let plain = escapedWith "\\*_~`|>[]()#@<:"
        let strong text = $"**{plain text}**"

        let text =
            Array.append [| $"{mark message} {strong message.Title}" |] (linesBy strong plain (fun link -> $"[show](<{link}>)") message)
            |> Messages.fit units discordText

        Encode.object
            [|
                "content", Encode.string text
                // Names of machines notify nobody.
                "allowed_mentions", Encode.object [| "parse", Encode.array [||] |]
            |]

    let private teams (message: Message) : JsonValue =
        let plain = escapedWith "\\*_[]()#`>"

        let block weight text =
            Encode.object
                [|
                    "type", Encode.string "TextBlock"
                    "text", Encode.string text
                    "wrap", Encode.bool true
                    if weight then
                        "weight", Encode.string "Bolder"
                |]

        let lines =
            (linesBy plain plain (fun link -> $"[show]({link})") message
             |> Messages.fit bytes teamsBytes)
                .Split
                '\n'

        Encode.object
            [|
                "type", Encode.string "message"
                "attachments",
                Encode.array
                    [|
                        Encode.object
                            [|
                                "contentType", Encode.string "application/vnd.microsoft.card.adaptive"
                                "contentUrl", Encode.nil
                                "content",
                                Encode.object
                                    [|
                                        "$schema", Encode.string "http://adaptivecards.io/schemas/adaptive-card.json"
                                        "type", Encode.string "AdaptiveCard"
                                        "version", Encode.string "1.4"
                                        "body",
                                        Encode.array
                                            [|
                                                block true $"{mark message} {plain message.Title}"
                                                yield! lines |> Array.map (block false)
                                            |]
                                    |]
                            |]
                    |]
            |]

    let private firstLink (message: Message) : string =
        message.Parts
        |> Seq.collect _.Lines
        |> Seq.tryPick (fun line -> if line.Link = "" then None else Some line.Link)
        |> Option.defaultValue ""

    let private ntfy (topic: string) (message: Message) : JsonValue =
        let link = firstLink message

        Encode.object
            [|
                "topic", Encode.string topic
                "title", Encode.string message.Title
                "message", Encode.string (Messages.lines message |> Messages.fit bytes ntfyBytes)
                "priority",
                Encode.int (
                    match message.IsResolved, message.Level with
                    | true, _ -> 2
                    | false, AlertLevel.Critical -> 5
                    | false, AlertLevel.Warning -> 3
                )
                "tags",
                Encode.array
                    [|
                        Encode.string (
                            if message.IsResolved then
                                "white_check_mark"
                            else
                                "rotating_light"
                        )
                    |]
                if link <> "" then
                    "click", Encode.string link
            |]

    let private telegram (chat: string) (message: Message) : JsonValue =
        let text =
            Array.append [| $"{mark message} {message.Title}"; "" |] (Messages.lines message)
            |> Messages.fit units telegramText

        Encode.object
            [|
                "chat_id", Encode.string chat
                "text", Encode.string text
                "link_preview_options", Encode.object [| "is_disabled", Encode.bool true |]
            |]

    /// One event for one alert: its end has to find its beginning. PagerDuty groups them itself.
    let private pagerDuty (routingKey: string) (publicUrl: string) (notice: Notice) : JsonValue =
        let message = Messages.ofNotices publicUrl "" [| notice |]
        let line = message.Parts[0].Lines[0]

        Encode.object
            [|
                "routing_key", Encode.string routingKey
                "event_action",
                Encode.string (
                    if notice.State = NoticeState.Firing then
                        "trigger"
                    else
                        "resolve"
                )
                "dedup_key", Encode.string (Messages.cut 255 $"ai-dashboard/{notice.Alert}/{notice.Rule}/{notice.Slug}")
                "payload",
                Encode.object
                    [|
                        "summary", Encode.string (Messages.cut summary line.Text)
                        "source", Encode.string (if notice.Slug = "" then "ai-dashboard" else notice.Slug)
                        "severity", Encode.string notice.Level.Name
                        "timestamp", Encode.string (Messages.instant notice.Since)
                        "class", Encode.string (Messages.cut 255 notice.Rule)
                        "custom_details", Encode.object [| "why", Encode.string (Messages.cut 500 notice.Why) |]
                    |]
                "client", Encode.string "ai-dashboard"
                if line.Link <> "" then
                    "links",
                    Encode.array
                        [|
                            Encode.object
                                [|
                                    "href", Encode.string line.Link
                                    "text", Encode.string "the dashboard at that moment"
                                |]
                        |]
            |]

    let private webhook (publicUrl: string) (message: Message) (notices: Notice[]) : JsonValue =
        let alert (notice: Notice) =
            let line = (Messages.ofNotices publicUrl "" [| notice |]).Parts[0].Lines[0]

            Encode.object
                [|
                    "alert", Encode.int64 notice.Alert
                    "rule", Encode.string notice.Rule
                    "level", Encode.string notice.Level.Name
                    "state", Encode.string notice.State.Name
                    "server",
                    (if notice.Slug = "" then
                         Encode.nil
                     else
                         Encode.string notice.Slug)
                    "machine",
                    (if notice.Machine = "" then
                         Encode.nil
                     else
                         Encode.string notice.Machine)
                    "what", Encode.string notice.What
                    "why",
                    (if notice.Why = "" then
                         Encode.nil
                     else
                         Encode.string notice.Why)
                    "since", Encode.string (Messages.instant notice.Since)
                    "until",
                    (if notice.Until < 0L then
                         Encode.nil
                     else
                         Encode.string (Messages.instant notice.Until))
                    "url",
                    (if line.Link = "" then
                         Encode.nil
                     else
                         Encode.string line.Link)
                |]

        Encode.object
            [|
                "version", Encode.int 1
                "id", Encode.string message.Id
                "title", Encode.string message.Title
                "text", Encode.string (String.concat "\n" (Messages.lines message))
                "alerts", Encode.arrayOf alert notices
            |]

    /// The requests that tell these notices, of which there is at least one, over a channel; all but PagerDuty's are one. The body is the same at
    /// each attempt, and so is the id of the message in `Idempotency-Key`; a webhook's time and signature are of the attempt.
    [<CompiledName "Make">]
    let make
        (channel: HttpChannel)
        (secrets: ChannelSecrets)
        (publicUrl: string)
        (id: string)
        (notices: Notice[])
        (now: DateTimeOffset)
        : ChannelRequest[] =
        let message = Messages.ofNotices publicUrl id notices
        let url = secrets.Url

        let one url headers value =
            [|
                {
                    Url = url
                    Headers = Array.append [| struct ("Idempotency-Key", id) |] headers
                    Body = encoded value
                }
            |]

        match channel.Service with
        | HttpService.Webhook ->
            let body = encoded (webhook publicUrl message notices)
            let seconds = now.ToUnixTimeSeconds()

            [|
                {
                    Url = url
                    Headers =
                        [|
                            struct ("Idempotency-Key", id)
                            struct ("webhook-id", id)
                            struct ("webhook-timestamp", string seconds)
                            if secrets.Key.Length > 0 then
                                struct ("webhook-signature", Signature.sign secrets.Key id seconds body)
                        |]
                    Body = body
                }
            |]
        | HttpService.Slack -> one url [||] (slack message)
        | HttpService.Discord ->
            // Without it the answer comes before Discord knows whether it takes the message.
            one (if url.Contains '?' then url else url + "?wait=true") [||] (discord message)
        | HttpService.Teams -> one url [||] (teams message)
        | HttpService.Ntfy ->
            let headers =
                if secrets.Token = "" then
                    [||]
                else
                    [| struct ("Authorization", $"Bearer {secrets.Token}") |]

            one url headers (ntfy channel.Target message)
        | HttpService.Telegram -> one $"{url.TrimEnd '/'}/bot{secrets.Token}/sendMessage" [||] (telegram channel.Target message)
        | HttpService.PagerDuty -> notices |> Array.collect (pagerDuty secrets.Token publicUrl >> one url [||])
