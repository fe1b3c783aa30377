namespace Agent.Receiver.Alerts

open System

/// How a connection to a mail server is protected.
[<RequireQualifiedAccess>]
type MailSecurity =
    /// It begins in the clear and must change to TLS before anything else is said; RFC 3207.
    | StartTls
    /// TLS from the first byte; RFC 8314.
    | Tls
    /// In the clear, which is accepted for a server on this machine alone.
    | Plain

    /// Its name in the file.
    member security.Name: string =
        match security with
        | StartTls -> "starttls"
        | Tls -> "tls"
        | Plain -> "none"

/// Where mail goes, and through which server.
type MailChannel =
    {
        /// The server's name or address.
        Host: string
        /// Its port.
        Port: int
        /// How the connection is protected.
        Security: MailSecurity
        /// Who logs in there; empty for nobody.
        User: string
        /// The file with that user's password; empty without a user.
        PasswordFile: string
        /// The sender's address.
        From: string
        /// The recipients' addresses.
        To: string[]
    }

/// What is spoken to over HTTP.
[<RequireQualifiedAccess>]
type HttpService =
    /// Anything that takes the JSON of docs/alerts.md.
    | Webhook
    /// Slack's incoming webhooks.
    | Slack
    /// Discord's webhooks.
    | Discord
    /// Microsoft Teams, by a webhook of its Workflows.
    | Teams
    /// ntfy, the public server or one's own.
    | Ntfy
    /// Telegram's Bot API.
    | Telegram
    /// PagerDuty's Events API, version 2.
    | PagerDuty

    /// Its name in the file.
    member service.Name: string =
        match service with
        | Webhook -> "webhook"
        | Slack -> "slack"
        | Discord -> "discord"
        | Teams -> "teams"
        | Ntfy -> "ntfy"
        | Telegram -> "telegram"
        | PagerDuty -> "pagerduty"

/// Where messages go over HTTP.
type HttpChannel =
    {
        /// What is spoken to.
        Service: HttpService
        /// The address; empty where a file has it.
        Url: string
        /// The file with the address, where that is the secret; empty otherwise.
        UrlFile: string
        /// The topic or the chat; empty where the service has none.
        Target: string
        /// The file with the token, the routing key or the key of signatures; empty for none.
        SecretFile: string
        /// Whether plain http to another machine was asked for.
        IsInsecure: bool
    }

/// What a channel is.
[<RequireQualifiedAccess>]
type ChannelKind =
    /// Mail.
    | Mail of MailChannel
    /// A service over HTTP.
    | Http of HttpChannel

    /// Calls the function for the case that this is.
    member kind.Match(mail: Func<MailChannel, 'r>, http: Func<HttpChannel, 'r>) : 'r =
        match kind with
        | Mail channel -> mail.Invoke channel
        | Http channel -> http.Invoke channel

/// A channel of alerts, as the file of alerts describes it.
type ChannelSettings =
    {
        /// What rules call it.
        Name: string
        /// What it is.
        Kind: ChannelKind
    }

    /// The name of its type in the file.
    member channel.Type: string =
        match channel.Kind with
        | ChannelKind.Mail _ -> "email"
        | ChannelKind.Http http -> http.Service.Name

    /// The files with its secrets, as they are named in the file.
    member channel.Files: string[] =
        match channel.Kind with
        | ChannelKind.Mail mail -> [| mail.PasswordFile |]
        | ChannelKind.Http http -> [| http.UrlFile; http.SecretFile |]
        |> Array.filter (fun path -> path <> "")

    /// Where it leads, without secrets: an address in a file is one.
    member channel.Destination: string =
        match channel.Kind with
        | ChannelKind.Mail mail ->
            let recipients = String.concat ", " mail.To
            $"{recipients} by {mail.Host}:{mail.Port}, {mail.Security.Name}"
        | ChannelKind.Http http when http.Url = "" -> $"the address in {http.UrlFile}"
        | ChannelKind.Http http ->
            // Paths of webhooks are secrets often enough.
            let host = Uri(http.Url).GetLeftPart UriPartial.Authority

            if http.Target = "" then
                host
            else
                $"{http.Target} at {host}"
