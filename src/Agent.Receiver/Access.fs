namespace Agent.Receiver

open System
open System.Net
open Agent.Core

/// Recent failed logins, the newest first: instants of a monotonic clock.
[<Struct>]
type FailedLogins =
    {
        /// Instants of a monotonic clock, newest first.
        Times: TimeSpan list
    }

/// Who may see the dashboard: the rules for logins and host names.
[<RequireQualifiedAccess>]
module Access =
    /// The shortest password that is accepted as one.
    [<Literal>]
    let ShortestPassword = 8

    /// After this many wrong passwords within the window the next attempts are refused unread.
    [<Literal>]
    let MostFailures = 5

    /// How long a wrong password counts.
    let window: TimeSpan = TimeSpan.FromMinutes 1.0

    /// How long a session lasts.
    let session: TimeSpan = TimeSpan.FromDays 7.0

    /// The name of the session's cookie.
    [<Literal>]
    let SessionCookie = "ai-dashboard-session"

    /// No failures so far.
    let noFailures: FailedLogins = { Times = [] }

    let private recent (now: TimeSpan) (failures: FailedLogins) =
        failures.Times |> List.filter (fun time -> now - time < window)

    /// How long to wait before the next attempt; zero when there may be one.
    [<CompiledName "WaitFor">]
    let waitFor (now: TimeSpan) (failures: FailedLogins) : TimeSpan =
        match recent now failures with
        | times when times.Length < MostFailures -> TimeSpan.Zero
        | times -> window - (now - List.item (MostFailures - 1) times)

    /// With one more failure.
    [<CompiledName "Failed">]
    let failed (now: TimeSpan) (failures: FailedLogins) : FailedLogins =
        {
            Times = List.truncate MostFailures (now :: recent now failures)
        }

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
