namespace Agent.Sender

open System
open System.Globalization
open System.Net
open Agent.Core

/// Reads the addresses of receivers, and the one to listen at.
module internal GivenUrls =
    open GivenFaults

    /// An absolute http or https URL; none for anything else.
    let private httpUrl (text: string) : Uri option =
        // RFC 6874 has the sign before a zone escaped; people write it both ways.
        let zone = text.IndexOf("%25", StringComparison.Ordinal)

        let text =
            if text.Contains "://[" && zone > 0 && zone < text.IndexOf ']' then
                text.Remove(zone + 1, 2)
            else
                text

        match Uri.TryCreate(text, UriKind.Absolute) with
        | true, uri ->
            Option.ofObj uri
            |> Option.filter (fun uri -> (uri.Scheme = "http" || uri.Scheme = "https") && uri.Host <> "")
        | _ -> None

    let hostOf (given: Given) : Result<Uri, ConfigError> =
        let text = given.Text.Trim()

        match httpUrl text with
        | Some uri ->
            if uri.UserInfo <> "" then
                Error(errorWithoutText given "the URL must not contain a user name or password; use --token")
            elif text.Contains '?' || text.Contains '#' then
                Error(error given "a base URL: it must not have a query (?) or a fragment (#)")
            else
                Ok uri
        // A password in a URL with a typing error elsewhere must not be repeated either.
        | _ when text.Contains '@' -> Error(errorWithoutText given "not an absolute http or https URL")
        | _ -> Error(error given "an absolute http or https URL such as http://dashboard-host:8000")

    /// The URL of a receiver, which may have a query: some take tenants there. `headers` is the option for secrets, `example` what a
    /// URL looks like; `complete` says what to make of one without a path.
    let private receiverOf
        (headers: string)
        (example: string)
        (complete: Uri -> Result<Uri, string>)
        (given: Given)
        : Result<Uri, ConfigError> =
        let text = given.Text.Trim()

        // What follows these may be a secret.
        let wrong message =
            if text.Contains '@' || text.Contains '?' then
                Error(errorWithoutText given $"that is not {message}")
            else
                Error(error given message)

        match httpUrl text with
        | Some uri ->
            if uri.UserInfo <> "" then
                Error(errorWithoutText given $"the URL must not contain a user name or password; use {headers}")
            elif text.Contains '#' then
                wrong "a URL without a fragment (#)"
            elif uri.AbsolutePath = "/" then
                match complete uri with
                | Ok uri -> Ok uri
                | Error message -> wrong message
            else
                Ok uri
        | None -> wrong $"an absolute http or https URL such as {example}"

    /// Receivers of remote-write have no common path.
    let remoteWriteOf: Given -> Result<Uri, ConfigError> =
        receiverOf "--remote-write-header-file" "http://prometheus:9090/api/v1/write" (fun _ ->
            Error
                "the whole URL: the path is missing, such as /api/v1/write (Prometheus, VictoriaMetrics), /api/v1/push (Mimir, Cortex) or /api/v1/receive (Thanos)")

    /// Receivers of OTLP have one (docs/specification.md, "OTLP/HTTP Request"). The text is kept otherwise: the class library leaves out the
    /// zone of a link-local address.
    let otlpOf: Given -> Result<Uri, ConfigError> =
        receiverOf "--otlp-header-file" "http://collector:4318" (fun uri ->
            let parts = uri.OriginalString.Split('?', 2)
            let query = if parts.Length > 1 then "?" + parts[1] else ""
            Ok(Uri(parts[0].TrimEnd '/' + Otlp.DefaultPath + query)))

    /// An address and a port, `127.0.0.1:9835` or `[::1]:9835`. Names are not looked up: what one means may change, and with it
    /// who can read the metrics.
    let listenOf (given: Given) : Result<IPEndPoint, ConfigError> =
        let text = given.Text.Trim()
        let colon = text.LastIndexOf ':'

        let address =
            match (if colon > 0 then text.Substring(0, colon) else "") with
            | host when host.StartsWith '[' && host.EndsWith ']' ->
                match IPAddress.TryParse host with
                | true, address -> Option.ofObj address
                | _ -> None
            | host ->
                match IPAddress.TryParse host with
                // Only the usual spelling: 1 and 0x7f.1 are addresses too.
                | true, address ->
                    Option.ofObj address
                    |> Option.filter (fun address -> address.ToString() = host && not (host.Contains ':'))
                | _ -> None

        match address, UInt16.TryParse(text.Substring(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture) with
        // The class library takes the name of an interface that is not there for no zone at all.
        | Some address, _ when text.Contains '%' && address.ScopeId = 0L ->
            Error(
                error given "an address with the name or number of one of this machine's interfaces after the %, as in [fe80::1%eth0]:9835"
            )
        // An address of IPv4 in the form of IPv6 (RFC 4291, 2.5.5.2) is none that a socket of IPv6 alone can have.
        | Some address, (true, port) when address.IsIPv4MappedToIPv6 -> Ok(IPEndPoint(address.MapToIPv4(), int port))
        | Some address, (true, port) -> Ok(IPEndPoint(address, int port))
        | _ -> Error(error given "an IP address and a port such as 127.0.0.1:9835 or [::1]:9835; names are not looked up")

    /// The URL as it is shown and built upon. Its authority stays as it was written: the class library leaves out the zone of a link-local
    /// address (RFC 4007, 11), without which nothing can be reached, and the scheme's own port, which no_proxy may name.
    let baseOf (host: Uri) : string =
        $"{host.Scheme}://{(Proxy.authorityOf host).ToLowerInvariant()}{host.AbsolutePath}".TrimEnd '/'

    let endpointOf (host: Uri) (slug: string) : Uri =
        Uri($"{baseOf host}/api/ingest/servers/{slug}/metrics/")
