namespace Agent.Receiver

open System
open System.Globalization
open System.Net
open FsToolkit.ErrorHandling
open Agent.Core
open Agent.Core.Units
open Agent.Receiver.Alerts
open Agent.Receiver.Cluster

/// Where the dashboard listens.
type ListenAddress =
    {
        /// The address to bind; none stands for both loopback addresses, as `localhost` does.
        Address: IPAddress voption
        /// The port; 0 takes a free one.
        Port: int
        /// Whether connections are TLS.
        IsTls: bool
    }

    /// The URL that was given, without a path.
    member listen.Url: string =
        let scheme = if listen.IsTls then "https" else "http"

        match listen.Address with
        | ValueNone -> $"{scheme}://localhost:{listen.Port}"
        | ValueSome address -> $"{scheme}://{IPEndPoint(address, listen.Port)}"

    /// True when nobody but this machine can connect.
    member listen.IsLoopback: bool =
        match listen.Address with
        | ValueNone -> true
        | ValueSome address -> IPAddress.IsLoopback address

/// All settings of `serve`, checked.
type ServeSettings =
    {
        /// Where it listens.
        Listen: ListenAddress
        /// The database's file.
        Database: string
        /// How long samples and minutes are kept.
        Keeping: Keeping
        /// Who may see the dashboard, and how connections are protected.
        Access: AccessSettings
        /// Where alerts go.
        Alerts: AlertsSettings
        /// The cluster of metrics that figures are read from, as its API's URL without `/api/v1`; empty for the own database.
        MetricsUrl: string
        /// The file with the headers that it asks for; empty for none.
        MetricsHeaderFile: string
        /// The tenant whose figures they are, as the header `X-Scope-OrgID` tells it; empty for none.
        MetricsTenant: string
        /// Where posted samples are passed on to by remote-write; empty for nowhere.
        MetricsWriteUrl: string
        /// The directory of those that the cluster does not have yet.
        MetricsOutbox: string
        /// How many bytes of them wait at most.
        MetricsOutboxBytes: int64
        /// Where accounts' sessions, registrations and alerts are kept that several dashboards share; none for the database.
        State: StateSettings voption
        /// Samples a second that each server may send in the long run.
        ServerSamples: int
        /// KiB per second that each server may send on average.
        ServerKibibytes: int
        /// Devices of each server that are known at a time.
        ServerDevices: int
        /// Connections that one address may have.
        AddressConnections: int
        /// Streams of events that one address may have.
        AddressStreams: int
    }

    /// Why the headers for the cluster of metrics are not safe on their way; empty where they are, or there are none.
    member settings.MetricsWarning: string =
        let isOpen (url: string) =
            match Uri.TryCreate(url, UriKind.Absolute) with
            | true, NonNull uri -> settings.MetricsHeaderFile <> "" && uri.Scheme = "http" && not uri.IsLoopback
            | _ -> false

        let warning option (url: string) =
            $"{option}: \"{url}\" is plain http, so that others on the network path can read the headers of --metrics-header-file; use https"

        if isOpen settings.MetricsUrl then
            warning "--metrics-url" settings.MetricsUrl
        elif isOpen settings.MetricsWriteUrl then
            warning "--metrics-write-url" settings.MetricsWriteUrl
        else
            ""

    /// What links in messages begin with: the public URL, or else the address to listen at where that is one of this machine's; else empty.
    member settings.LinkBase: string =
        let listen = settings.Listen

        let isEverywhere =
            match listen.Address with
            | ValueSome address -> address.Equals IPAddress.Any || address.Equals IPAddress.IPv6Any
            | ValueNone -> false

        if settings.Alerts.PublicUrl <> "" then
            settings.Alerts.PublicUrl
        elif isEverywhere || listen.Port = 0 then
            ""
        else
            listen.Url

/// The settings of `register-server`, checked. None means unchanged, or the default.
type RegisterSettings =
    {
        /// The database's file.
        Database: string
        /// The server's name in URLs.
        Slug: string
        /// What people call it.
        Name: string voption
        /// Its host name.
        Hostname: string voption
        /// What it is.
        Description: string voption
        /// Whether its samples are accepted.
        IsActive: bool voption
        /// Make a new token.
        RotateToken: bool
        /// Where registrations are kept instead of the database; none for the database.
        State: StateSettings voption
    }

/// The settings of `export`, checked.
type ExportSettings =
    {
        /// The database's file.
        Database: string
        /// Where remote-write is taken.
        Url: string
        /// The file with the headers that it asks for; empty for none.
        HeaderFile: string
        /// The server's slug; empty for all.
        Server: string
        /// The first instant, and the first that is not written any more.
        From: DateTimeOffset
        /// See there.
        Until: DateTimeOffset
    }

/// Turns what the user gave into settings, or into all the errors at once.
[<RequireQualifiedAccess>]
module internal DashboardSettings =
    [<Literal>]
    let DefaultListen = "http://127.0.0.1:8000"

    [<Literal>]
    let DefaultDatabase = "ai-dashboard.db"

    [<Literal>]
    let DefaultRetentionDays = "14"

    /// Connections that one address may have: a proxy in front, or the machines behind one router.
    [<Literal>]
    let DefaultConnections = 1000

    /// Streams of events that one address may have, as browsers with the page open.
    [<Literal>]
    let DefaultStreams = 100

    /// As `ClusterRelay.defaultLimit`.
    [<Literal>]
    let DefaultOutboxMebibytes = "1000"

    /// As `Axis.RawHours`.
    [<Literal>]
    let DefaultRawHours = "48"

    let private quoted (text: string) =
        $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

    let private refuse (given: Given) (reason: string) : Result<'a, ConfigError> = AccessSettings.refuse given reason

    let private fileOf = AccessSettings.fileOf

    let private example = $"give a URL such as {DefaultListen}"

    let private addressOf (given: Given) (uri: Uri) : Result<ListenAddress, ConfigError> =
        let at address =
            Ok
                {
                    Address = address
                    Port = uri.Port
                    IsTls = uri.Scheme = "https"
                }

        match uri.DnsSafeHost with
        // It is two addresses, and the system would choose another port for each.
        | "localhost" when uri.Port = 0 ->
            refuse given "cannot have port 0, which means any free port, because localhost is two addresses; give http://127.0.0.1:0"
        | "localhost" -> at ValueNone
        | host ->
            match IPAddress.TryParse host with
            // An IPv4 address in the notation of IPv6: a socket of IPv6 alone does not take it.
            | true, NonNull address when address.IsIPv4MappedToIPv6 -> at (ValueSome(address.MapToIPv4()))
            | true, address -> at (ValueOption.ofObj address)
            | _ -> refuse given $"names no address of this machine; use an IP address or localhost: {example}"

    let private listenOf (given: Given) : Result<ListenAddress, ConfigError> =
        // What other programs write for "all addresses" is no host name.
        let text = given.Text.Trim().Replace("://*:", "://0.0.0.0:").Replace("://+:", "://0.0.0.0:")

        match Uri.TryCreate(text, UriKind.Absolute) with
        | true, NonNull uri when (uri.Scheme = "http" || uri.Scheme = "https") && uri.Host <> "" ->
            if uri.UserInfo <> "" then
                Error
                    {
                        Origin = given.Origin
                        Message = $"{given.Origin}: the URL must not contain a user name or password; {example}"
                    }
            elif uri.PathAndQuery <> "/" || uri.Fragment <> "" then
                refuse given $"has a path or a query; a reverse proxy can put the dashboard below a path: {example}"
            else
                addressOf given uri
        | _ -> refuse given $"is not a URL to listen on; {example}"

    let private daysOf (given: Given) : Result<int, ConfigError> =
        match Int32.TryParse(given.Text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, days when days >= 2 && days <= 3650 -> Ok days
        | _ -> refuse given "is not a whole number of days, 2 to 3650"

    /// A whole number between two others.
    let private wholeOf (least: int) (most: int) (given: Given) : Result<int, ConfigError> =
        match Int32.TryParse(given.Text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, value when value >= least && value <= most -> Ok value
        | _ -> refuse given $"is not a whole number from {least} to {most}"

    let private hoursOf: Given -> Result<int, ConfigError> = wholeOf 1 87600

    let private keepOf: Given -> Result<int, ConfigError> = wholeOf 1 10000


    let private textOf (longest: int) (given: Given) : Result<string, ConfigError> =
        let text = given.Text.Trim()

        if text.Length <= longest && not (Seq.exists Char.IsControl text) then
            Ok text
        else
            refuse given $"is not a text of at most {longest} characters without control characters"

    let private switchOf (given: Given voption) = given.IsSome

    /// The database's file.
    let database (given: string -> Given voption) : Validation<string, ConfigError> =
        AccessSettings.optional given "--database" DefaultDatabase fileOf

    /// The one word that a command takes beside its options.
    let word (what: string) (words: string list) : Validation<string, ConfigError> =
        match words with
        | [ word ] -> Ok word
        | [] ->
            Error
                [
                    {
                        Origin = what
                        Message = $"Missing {what}"
                    }
                ]
        | _ :: others ->
            Error
                [
                    for other in others do
                        {
                            Origin = what
                            Message = $"{quoted other} is one argument too many: give one {what} at a time"
                        }
                ]

    let private slugAt (given: Given) : Result<string, ConfigError> =
        if Registration.isSlug given.Text then
            Ok given.Text
        else
            refuse given "is not a server slug: 1 to 64 letters, digits, - or _"

    let private slugOf (text: string) : Result<string, ConfigError> = slugAt { Origin = "SLUG"; Text = text }

    /// A server's slug as the one word of a command.
    let slug (words: string list) : Validation<string, ConfigError> =
        word "SLUG" words |> Result.bind (slugOf >> Validation.ofResult)

    /// Whether the user has agreed beforehand to what cannot be undone.
    let isConfirmed (given: string -> Given voption) : bool = switchOf (given "--yes")

    /// How many backups stay in the directory; 0 for all of them.
    let keep (given: string -> Given voption) : Validation<int, ConfigError> =
        AccessSettings.optional given "--keep" 0 keepOf

    /// A file or directory as the one word of `backup`.
    let place (words: string list) : Validation<string, ConfigError> =
        word "FILE" words
        |> Result.bind (fun text ->
            match text.Trim().TrimEnd '/' with
            | "" -> Validation.ofResult (fileOf { Origin = "FILE"; Text = text })
            | path -> Validation.ofResult (fileOf { Origin = "FILE"; Text = path }))

    /// A file as the one word of a command.
    let file (words: string list) : Validation<string, ConfigError> =
        word "FILE" words
        |> Result.bind (fun text -> Validation.ofResult (fileOf { Origin = "FILE"; Text = text }))

    /// What an address that other machines can reach asks for: that people log in, and that nobody on the way can read it.
    let private exposed (given: string -> Given voption) (at: Given) (listen: ListenAddress) : Validation<unit, ConfigError> =
        let wrong sentence =
            Validation.ofResult (refuse at sentence)

        let has name = (given name).IsSome

        if listen.IsLoopback then
            Ok()
        elif
            not (
                has "--users-file"
                || has "--accounts-in-state"
                || has "--viewer-password-file"
                || has "--oidc-authority"
                || has "--trust-proxy-user"
            )
        then
            wrong (
                "lets other machines connect, and everybody could see the dashboard: give --users-file FILE, --viewer-password-file FILE or --oidc-authority URL, "
                + "or --trust-proxy-user HEADER behind a proxy that logs users in"
            )
        elif not listen.IsTls && not (has "--plain-http-behind-proxy") then
            wrong (
                "lets other machines connect, and passwords and readings would not be encrypted: listen on https:// with "
                + "--tls-certificate FILE and --tls-key FILE, or give --plain-http-behind-proxy if a proxy in front terminates TLS"
            )
        else
            Ok()

    let private tls (given: string -> Given voption) (at: Given) (listen: ListenAddress) : Validation<unit, ConfigError> =
        let wrong sentence =
            Validation.ofResult (refuse at sentence)

        match given "--tls-certificate", given "--tls-key" with
        | ValueNone, ValueNone when listen.IsTls -> wrong "needs --tls-certificate FILE and --tls-key FILE"
        | ValueSome _, _
        | _, ValueSome _ when not listen.IsTls -> wrong "is plain http: with --tls-certificate and --tls-key listen on https://"
        | _ -> Ok()

    let private metricsUrlOf (given: Given) : Result<string, ConfigError> =
        match Uri.TryCreate(given.Text.Trim(), UriKind.Absolute) with
        | true, NonNull uri when
            (uri.Scheme = "http" || uri.Scheme = "https")
            && uri.Host <> ""
            && uri.Query = ""
            && uri.Fragment = ""
            ->
            if uri.UserInfo <> "" then
                Error
                    {
                        Origin = given.Origin
                        Message =
                            $"{given.Origin}: the URL must not contain a user name or password; put an Authorization header in a file for --metrics-header-file"
                    }
            elif uri.AbsolutePath.TrimEnd('/').EndsWith("/api/v1", StringComparison.Ordinal) then
                refuse given "has /api/v1 at its end, which is added to it; leave that out"
            else
                Ok(given.Text.Trim().TrimEnd '/')
        | _ -> refuse given "is not the http or https URL of a Prometheus-compatible API, such as http://127.0.0.1:8428"

    /// The URL that takes remote-write.
    let writeUrlOf (headerFile: string) (given: Given) : Result<string, ConfigError> =
        match Uri.TryCreate(given.Text.Trim(), UriKind.Absolute) with
        | true, NonNull uri when
            (uri.Scheme = "http" || uri.Scheme = "https")
            && uri.Host <> ""
            && uri.AbsolutePath <> "/"
            && uri.Fragment = ""
            ->
            if uri.UserInfo <> "" then
                Error
                    {
                        Origin = given.Origin
                        Message =
                            $"{given.Origin}: the URL must not contain a user name or password; put an Authorization header in a file for {headerFile}"
                    }
            else
                Ok(given.Text.Trim())
        | _ -> refuse given "is not the http or https URL that takes remote-write, such as http://127.0.0.1:8428/api/v1/write"

    /// The smallest and the largest outbox, in MiB.
    let private outboxOf (given: Given) : Result<int64, ConfigError> =
        wholeOf 16 1048576 given
        |> Result.map (fun mebibytes -> int64 (bytesOfMib (uint64 mebibytes * 1UL<MiB>)))

    let private longestTenant = 150

    /// What Mimir and Cortex take for the name of a tenant (their documentation, "tenant ID").
    let private tenantOf (given: Given) : Result<string, ConfigError> =
        let text = given.Text.Trim()

        if
            text.Length >= 1
            && text.Length <= longestTenant
            && text
               |> Seq.forall (fun letter -> Char.IsAsciiLetterOrDigit letter || "!-_.*'()".Contains letter)
            && text <> "."
            && text <> ".."
        then
            Ok text
        else
            Error
                {
                    Origin = given.Origin
                    Message =
                        $"{given.Origin}: \"{given.Text}\" is not a tenant's name: expected up to {longestTenant} letters, digits and !-_.*'()"
                }

    let private metricsTogether (given: string -> Given voption) : Validation<unit, ConfigError> =
        let lacking needed (names: string list) =
            match given needed with
            | ValueSome _ -> []
            | ValueNone ->
                [
                    for name in names do
                        match given name with
                        | ValueSome one ->
                            {
                                Origin = one.Origin
                                Message = $"{one.Origin}: needs {needed} as well"
                            }
                        | ValueNone -> ()
                ]

        match
            lacking "--metrics-url" [ "--metrics-header-file"; "--metrics-tenant"; "--metrics-write-url" ]
            @ lacking "--metrics-write-url" [ "--metrics-outbox"; "--metrics-outbox-mebibytes" ]
        with
        | [] -> Ok()
        | errors -> Error errors

    /// Single samples cannot outlive the minutes that they become.
    let private rawWithinMinutes (given: string -> Given voption) : Validation<unit, ConfigError> =
        match given "--raw-hours" with
        | ValueSome hours ->
            let days =
                AccessSettings.optional given "--retention-days" (int DefaultRetentionDays) daysOf
                |> Result.defaultValue Int32.MaxValue

            match hoursOf hours with
            | Ok count when int64 count > int64 days * 24L ->
                Error
                    [
                        {
                            Origin = hours.Origin
                            Message =
                                $"{hours.Origin}: {quoted hours.Text} hours of samples are more than the {days} days of minutes; give a longer --retention-days"
                        }
                    ]
            | _ -> Ok()
        | ValueNone -> Ok()

    /// Checks what `serve` was told.
    let serve (given: string -> Given voption) : Result<ServeSettings, ConfigError list> =
        let at =
            given "--listen"
            |> ValueOption.defaultValue
                {
                    Origin = "--listen"
                    Text = DefaultListen
                }

        let listening check =
            match listenOf at with
            | Ok listen -> check given at listen
            | Error _ -> Ok()

        validation {
            let! listen = Validation.ofResult (listenOf at)
            and! database = database given
            and! days = AccessSettings.optional given "--retention-days" (int DefaultRetentionDays) daysOf
            and! hours = AccessSettings.optional given "--raw-hours" Axis.RawHours hoursOf
            and! access = AccessSettings.serve given
            and! alerts = AlertsSettings.serve given

            and! metricsUrl = AccessSettings.optional given "--metrics-url" "" metricsUrlOf
            and! metricsHeaders = AccessSettings.optional given "--metrics-header-file" "" fileOf
            and! metricsTenant = AccessSettings.optional given "--metrics-tenant" "" tenantOf

            and! metricsWriteUrl =
                AccessSettings.optional given "--metrics-write-url" "" (writeUrlOf "--metrics-header-file")

            and! outbox = AccessSettings.optional given "--metrics-outbox" "" fileOf

            and! outboxBytes =
                AccessSettings.optional given "--metrics-outbox-mebibytes" ClusterRelay.defaultLimit outboxOf

            and! () = metricsTogether given
            and! state = StateOptions.serve given

            and! samples =
                AccessSettings.optional given "--server-samples" ServerLimits.DefaultSamples (wholeOf 1 1000)

            and! kibibytes =
                AccessSettings.optional given "--server-kilobytes" ServerLimits.DefaultKibibytes (wholeOf 1 100000)

            and! devices =
                AccessSettings.optional given "--server-devices" ServerLimits.DefaultDevices (wholeOf 16 10000)

            and! connections =
                AccessSettings.optional given "--address-connections" DefaultConnections (wholeOf 1 4096)

            and! streams = AccessSettings.optional given "--address-streams" DefaultStreams (wholeOf 1 200)
            and! () = listening exposed
            and! () = listening tls

            and! () = rawWithinMinutes given

            return
                {
                    Listen = listen
                    Database = database
                    Keeping = { RawHours = hours; Days = days }
                    Access = access
                    Alerts = alerts
                    MetricsUrl = metricsUrl
                    MetricsHeaderFile = metricsHeaders
                    MetricsTenant = metricsTenant
                    MetricsWriteUrl = metricsWriteUrl
                    MetricsOutbox = if outbox = "" then database + "-outbox" else outbox
                    MetricsOutboxBytes = outboxBytes
                    State = state
                    ServerSamples = samples
                    ServerKibibytes = kibibytes
                    ServerDevices = devices
                    AddressConnections = connections
                    AddressStreams = streams
                }
        }

    let private instantOf (given: Given) : Result<DateTimeOffset, ConfigError> =
        let formats =
            [|
                "yyyy-MM-dd"
                "yyyy-MM-dd'T'HH:mm"
                "yyyy-MM-dd'T'HH:mm:ss"
                "yyyy-MM-dd'T'HH:mm:ss.FFFFFF"
                "yyyy-MM-dd'T'HH:mmK"
                "yyyy-MM-dd'T'HH:mm:ssK"
                "yyyy-MM-dd'T'HH:mm:ss.FFFFFFK"
            |]

        match
            DateTimeOffset.TryParseExact(
                given.Text.Trim(),
                formats,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal ||| DateTimeStyles.AdjustToUniversal
            )
        with
        | true, instant when instant.Year >= 2000 && instant.Year < 3000 -> Ok instant
        | _ -> refuse given "is not an instant such as 2026-11-01 or 2026-11-01T12:00:00Z"

    /// Checks the settings of `export`.
    let export (given: string -> Given voption) : Result<ExportSettings, ConfigError list> =
        validation {
            let! database = database given

            and! url =
                match given "--to" with
                | ValueSome to' -> Validation.ofResult (writeUrlOf "--header-file" to')
                | ValueNone ->
                    Error
                        [
                            {
                                Origin = "--to"
                                Message = "--to: needs the URL that takes remote-write, such as http://127.0.0.1:8428/api/v1/write"
                            }
                        ]

            and! headers = AccessSettings.optional given "--header-file" "" fileOf
            and! server = AccessSettings.optional given "--server" "" slugAt

            and! from =
                AccessSettings.optional given "--from" (DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero)) instantOf

            and! until =
                AccessSettings.optional given "--until" (DateTimeOffset(3000, 1, 1, 0, 0, 0, TimeSpan.Zero)) instantOf

            return
                {
                    Database = database
                    Url = url
                    HeaderFile = headers
                    Server = server
                    From = from
                    Until = until
                }
        }

    /// Checks the settings of `register-server`.
    let register (given: string -> Given voption) (words: string list) : Result<RegisterSettings, ConfigError list> =
        let some check = check >> Result.map ValueSome

        validation {
            let! slug = slug words
            and! database = database given
            and! state = StateOptions.read given
            and! name = AccessSettings.optional given "--name" ValueNone (some (textOf 120))
            and! hostname = AccessSettings.optional given "--hostname" ValueNone (some (textOf 255))
            and! description = AccessSettings.optional given "--description" ValueNone (some (textOf 1000))

            and! isActive =
                match given "--active", given "--inactive" with
                | ValueSome _, ValueSome _ ->
                    Error
                        [
                            {
                                Origin = "--inactive"
                                Message = "--active and --inactive exclude each other"
                            }
                        ]
                | ValueSome _, ValueNone -> Ok(ValueSome true)
                | ValueNone, ValueSome _ -> Ok(ValueSome false)
                | ValueNone, ValueNone -> Ok ValueNone

            return
                {
                    Database = database
                    Slug = slug
                    Name = name
                    Hostname = hostname
                    Description = description
                    IsActive = isActive
                    RotateToken = switchOf (given "--rotate-token")
                    State = state
                }
        }
