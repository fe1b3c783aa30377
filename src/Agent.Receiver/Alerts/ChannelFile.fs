/// The channels that a file of alerts describes, or all that is wrong with them.
[<RequireQualifiedAccess>]
module Agent.Receiver.Alerts.ChannelFile

open System
open System.Net
open System.Text.Json
open System.Text.RegularExpressions
open Agent.Core
open Agent.Receiver

/// The most channels.
[<Literal>]
let MostChannels = 32

/// The most recipients of a mail.
[<Literal>]
let MostRecipients = 50

let private address =
    Regex(@"\A[^\s@<>,;:""\\()\[\]]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\z", RegexOptions.CultureInvariant)

let private quoted (text: string) =
    $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

let private isThisMachine (host: string) =
    host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
    || (match IPAddress.TryParse(host.Trim('[', ']')) with
        | true, NonNull ip -> IPAddress.IsLoopback ip
        | _ -> false)

/// The address of a channel as it is used, or what is wrong with it, in words that do not repeat it: it may be a secret.
[<CompiledName "CheckUrl">]
let checkUrl (isInsecure: bool) (text: string) : Result<string, string> =
    match Uri.TryCreate(text.Trim(), UriKind.Absolute) with
    | true, NonNull uri when uri.Scheme = "https" || uri.Scheme = "http" ->
        if uri.UserInfo <> "" then
            Error "must not contain a user name or password"
        elif uri.Scheme = "http" && not isInsecure && not (isThisMachine uri.Host) then
            Error "is plain http to another machine; give an https URL, or \"insecure\": true if nobody on the network path can read it"
        elif text.Length > 2000 then
            Error "is longer than 2000 characters"
        else
            Ok uri.AbsoluteUri
    | _ -> Error "is not an https URL, such as https://hooks.example/path"

/// Reads the members of one object, and remembers what is wrong with them and which it was asked for.
type private Members(path: string, element: JsonElement, errors: ResizeArray<string>) =
    let known = ResizeArray<string>()

    let find (name: string) =
        known.Add name

        match element.TryGetProperty name with
        | true, value -> ValueSome value
        | _ -> ValueNone

    member _.Wrong(name: string, reason: string) = errors.Add $"{path}.{name}: {reason}"

    /// A text; the fallback where the member is missing, an error where there is none either.
    member members.Text(name: string, fallback: string voption) : string =
        match find name, fallback with
        | ValueNone, ValueSome text -> text
        | ValueNone, ValueNone ->
            errors.Add $"{path}: \"{name}\" is missing"
            ""
        | ValueSome value, _ ->
            match Decode.string "" value with
            | Ok text when text.Trim() <> "" && text.Length <= 2000 && not (Seq.exists Char.IsControl text) -> text.Trim()
            | _ ->
                members.Wrong(name, "is not a text of 1 to 2000 characters without control characters")
                ""

    member members.Required(name: string) = members.Text(name, ValueNone)
    member members.Optional(name: string, fallback: string) = members.Text(name, ValueSome fallback)

    member members.Flag(name: string) : bool =
        match find name with
        | ValueNone -> false
        | ValueSome value ->
            match value.ValueKind with
            | JsonValueKind.True -> true
            | JsonValueKind.False -> false
            | _ ->
                members.Wrong(name, "is neither true nor false")
                false

    member members.Port(name: string, fallback: int) : int =
        match find name with
        | ValueNone -> fallback
        | ValueSome value ->
            match Decode.int "" value with
            | Ok port when port >= 1 && port <= 65535 -> port
            | _ ->
                members.Wrong(name, "is not a port, 1 to 65535")
                fallback

    member members.Texts(name: string, most: int) : string[] =
        match find name with
        | ValueNone ->
            errors.Add $"{path}: \"{name}\" is missing"
            [||]
        | ValueSome value ->
            match Decode.array Decode.string "" value with
            | Ok texts when texts.Length >= 1 && texts.Length <= most -> texts
            | _ ->
                members.Wrong(name, $"is not an array of 1 to {most} texts")
                [||]

    /// A secret that is in the file itself, and the member that it belongs in.
    member members.NoSecret(name: string, instead: string) =
        match find name with
        | ValueNone -> ()
        | ValueSome _ ->
            members.Wrong(name, $"secrets are read from files of their own; put it into a file and name that with \"{instead}\"")

    /// Complains of members that nothing asked for.
    member _.Finish() =
        for found in element.EnumerateObject() do
            if not (known.Contains found.Name) then
                let names =
                    known
                    |> Seq.filter (fun name -> not (List.contains name [ "password"; "secret"; "token"; "routing_key" ]))
                    |> String.concat ", "

                errors.Add $"{path}: {quoted found.Name} is not one of its members: {names}"

let private mail (members: Members) : ChannelKind =
    let host = members.Required "host"

    let security =
        match members.Optional("security", "starttls") with
        | "tls" -> MailSecurity.Tls
        | "none" when isThisMachine host -> MailSecurity.Plain
        | "none" ->
            members.Wrong("security", "\"none\" is accepted only for a server on this machine; use \"starttls\" or \"tls\"")
            MailSecurity.Plain
        | "starttls"
        | "" -> MailSecurity.StartTls
        | other ->
            members.Wrong("security", $"{quoted other} is not starttls, tls or none")
            MailSecurity.StartTls

    let port =
        match security with
        | MailSecurity.StartTls -> 587
        | MailSecurity.Tls -> 465
        | MailSecurity.Plain -> 25

    let user = members.Optional("user", "")
    let password = members.Optional("password_file", "")
    members.NoSecret("password", "password_file")

    match user, password with
    | "", "" -> ()
    | "", _ -> members.Wrong("password_file", "needs \"user\" as well")
    | _, "" -> members.Wrong("user", "needs \"password_file\" as well")
    | _ -> ()

    let checkAddress name text =
        if text <> "" && not (address.IsMatch text) then
            members.Wrong(name, $"{quoted text} is not an address such as ops@example.org")

    let from = members.Required "from"
    let recipients = members.Texts("to", MostRecipients)
    checkAddress "from" from

    for recipient in recipients do
        checkAddress "to" (if recipient = "" then " " else recipient)

    ChannelKind.Mail
        {
            Host = host.Trim('[', ']')
            Port = members.Port("port", port)
            Security = security
            User = user
            PasswordFile = password
            From = from
            To = recipients
        }

let private http (service: HttpService) (members: Members) : ChannelKind =
    let isInsecure = members.Flag "insecure"

    let url fallback =
        match members.Text("url", fallback) with
        | "" -> ""
        | text ->
            match checkUrl isInsecure text with
            | Ok url -> url
            | Error reason ->
                members.Wrong("url", reason)
                ""

    let none =
        {
            Service = service
            Url = ""
            UrlFile = ""
            Target = ""
            SecretFile = ""
            IsInsecure = isInsecure
        }

    match service with
    | HttpService.Webhook ->
        let address = url (ValueSome "")
        let file = members.Optional("url_file", "")
        members.NoSecret("secret", "secret_file")

        if (address = "") = (file = "") then
            members.Wrong("url", "give \"url\", or \"url_file\" where the address is a secret")

        { none with
            Url = address
            UrlFile = file
            SecretFile = members.Optional("secret_file", "")
        }
    | HttpService.Slack
    | HttpService.Discord
    | HttpService.Teams ->
        members.NoSecret("url", "url_file")

        { none with
            UrlFile = members.Required "url_file"
        }
    | HttpService.Ntfy ->
        members.NoSecret("token", "token_file")
        let topic = members.Required "topic"

        if topic <> "" && not (Regex.IsMatch(topic, @"\A[-_A-Za-z0-9]{1,64}\z")) then
            members.Wrong("topic", $"{quoted topic} is not 1 to 64 letters, digits, - or _")

        { none with
            Url = url (ValueSome "https://ntfy.sh/")
            Target = topic
            SecretFile = members.Optional("token_file", "")
        }
    | HttpService.Telegram ->
        members.NoSecret("token", "token_file")
        let chat = members.Required "chat_id"

        if
            chat <> ""
            && not (Regex.IsMatch(chat, @"\A(-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64})\z"))
        then
            members.Wrong("chat_id", $"{quoted chat} is not the number of a chat, as a text, or @channel")

        { none with
            Url = url (ValueSome "https://api.telegram.org/")
            Target = chat
            SecretFile = members.Required "token_file"
        }
    | HttpService.PagerDuty ->
        members.NoSecret("routing_key", "routing_key_file")

        { none with
            Url = url (ValueSome "https://events.pagerduty.com/v2/enqueue")
            SecretFile = members.Required "routing_key_file"
        }
    |> ChannelKind.Http

let private services =
    [
        HttpService.Webhook
        HttpService.Slack
        HttpService.Discord
        HttpService.Teams
        HttpService.Ntfy
        HttpService.Telegram
        HttpService.PagerDuty
    ]

let private typeNames = "email" :: (services |> List.map _.Name) |> String.concat ", "

let private channel (errors: ResizeArray<string>) (path: string) (element: JsonElement) : ChannelSettings option =
    if element.ValueKind <> JsonValueKind.Object then
        errors.Add $"{path}: is not an object"
        None
    else
        let members = Members(path, element, errors)
        let name = members.Required "name"

        if name <> "" && not (Registration.isSlug name) then
            members.Wrong("name", $"{quoted name} is not a name: 1 to 64 letters, digits, - or _")

        let kind = members.Required "type"

        let read =
            match kind, services |> List.tryFind (fun service -> service.Name = kind) with
            | "email", _ -> Some mail
            | _, Some service -> Some(http service)
            | "", None -> None
            | other, None ->
                members.Wrong("type", $"{quoted other} is not one of {typeNames}")
                None

        read
        |> Option.map (fun read ->
            let kind = read members
            members.Finish()
            { Name = name; Kind = kind })

/// The channels of a file of alerts, in its order, or everything that is wrong with them, a sentence each that begins with its path. Other
/// members of the file are not looked at.
[<CompiledName "Read">]
let read (root: JsonElement) : Result<ChannelSettings[], string[]> =
    let errors = ResizeArray<string>()

    let channels =
        match root.TryGetProperty "channels" with
        | true, entries when entries.ValueKind = JsonValueKind.Array ->
            if entries.GetArrayLength() > MostChannels then
                errors.Add $"$.channels: has more than {MostChannels} channels"

            entries.EnumerateArray()
            |> Seq.truncate MostChannels
            |> Seq.indexed
            |> Seq.choose (fun (index, entry) -> channel errors $"$.channels[{index}]" entry)
            |> Array.ofSeq
        | true, _ ->
            errors.Add "$.channels: is not an array"
            [||]
        | _ ->
            errors.Add "$: \"channels\" is missing"
            [||]

    for name, all in channels |> Array.groupBy _.Name do
        if name <> "" && all.Length > 1 then
            errors.Add $"$.channels: {quoted name} is the name of {all.Length} channels; each needs its own"

    if errors.Count = 0 then
        Ok channels
    else
        Error(errors.ToArray())
