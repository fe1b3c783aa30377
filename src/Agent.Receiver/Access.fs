namespace Agent.Receiver

open System
open System.Net
open Agent.Core

/// Who may see the dashboard: the rules for logins and host names.
[<RequireQualifiedAccess>]
module Access =
    /// The shortest password that is accepted as one.
    [<Literal>]
    let ShortestPassword = 8

    /// How long a session lasts.
    let session: TimeSpan = TimeSpan.FromDays 7.0

    /// The name of the session's cookie.
    [<Literal>]
    let SessionCookie = "ai-dashboard-session"

    /// The password in the text of a file: its first line, without the white space around it.
    [<CompiledName "PasswordOf">]
    let passwordOf (path: string) (text: string) : Result<string, ConfigError> =
        let error reason =
            Error
                {
                    Origin = "--viewer-password-file"
                    Message = $"--viewer-password-file: \"{path}\" {reason}"
                }

        let firstLine = (text.Trim().Split '\n')[0]

        match firstLine.Trim() with
        | "" -> error "has no password in its first line"
        | password when password.Length < ShortestPassword -> error $"has a password of fewer than {ShortestPassword} characters"
        | password -> Ok password

    /// The name of a user in a header that a proxy set; empty for none. It is cut to 64 characters and has no control characters.
    [<CompiledName "ProxyUser">]
    let proxyUser (header: string) : string =
        let name = String.filter (Char.IsControl >> not) (header.Trim())
        if name.Length > 64 then name.Substring(0, 64) else name

    /// True for a request that changes something, by its method.
    [<CompiledName "IsChange">]
    let isChange (method: string) : bool =
        not (method = "GET" || method = "HEAD" || method = "OPTIONS")

    /// Whether another site's page made a request, by its `Sec-Fetch-Site` header. Browsers send it to https and to this machine; the
    /// session's cookie, which is for this site alone, protects where they do not.
    [<CompiledName "IsFromElsewhere">]
    let isFromElsewhere (fetchSite: string) : bool =
        fetchSite = "cross-site" || fetchSite = "same-site"

    /// True for a `Host` header that is an IP address or `localhost`: with any other, a page from elsewhere may have made its own
    /// name resolve to this machine, and could read what only this machine should.
    [<CompiledName "IsOwnHost">]
    let isOwnHost (host: string) : bool =
        match host.Trim('[', ']') with
        | "localhost" -> true
        | text ->
            match IPAddress.TryParse text with
            | true, _ -> true
            | _ -> false

    /// What a page may load, and from where.
    [<Literal>]
    let ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
