namespace Agent.Receiver

open System
open System.Text
open Agent.Core

/// A server as the database knows it.
type Registration =
    {
        /// Its key in the database, from 1.
        Id: int
        /// Its name in URLs.
        Slug: string
        /// Its display name; the slug if none was given.
        Name: string
        /// The host name as its registration says it; empty when it does not.
        Hostname: string
        /// Its description, from whoever registered it.
        Description: string
        /// Whether its samples are accepted.
        IsActive: bool
        /// When it was registered.
        CreatedAt: DateTimeOffset
        /// SHA-256 of its ingest token; the token itself is kept nowhere.
        TokenHash: byte[]
    }

/// The rules for names and tokens of servers.
[<RequireQualifiedAccess>]
module Registration =
    /// The most servers in a database: their number is part of the key of each sample.
    [<Literal>]
    let MostServers = 4095

    /// True for 1 to 64 letters, digits, `-` or `_`.
    [<CompiledName "IsSlug">]
    let isSlug (text: string) : bool =
        text.Length >= 1
        && text.Length <= 64
        && text |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '-' || c = '_')

    /// The longest slug.
    [<Literal>]
    let LongestSlug = 64

    /// The slug for a name: its letters, digits and `_` in lower case, and one `-` for whatever is between them. The fleet page
    /// shows it by the same rule (`slugOf` in assets/add.js).
    [<CompiledName "SlugOf">]
    let slugOf (name: string) : string =
        let isKept c = Char.IsAsciiLetterOrDigit c || c = '_'
        let text = StringBuilder()

        for c in name do
            if isKept c then
                text.Append(Char.ToLowerInvariant c) |> ignore
            elif text.Length > 0 && text[text.Length - 1] <> '-' then
                text.Append '-' |> ignore

        let slug = text.ToString(0, min LongestSlug text.Length).TrimEnd '-'
        if slug = "" then "machine" else slug

    /// A token as it is shown once and sent with each sample, made from 32 random bytes: base64 in the alphabet of URLs, 43
    /// characters, so that no shell or header need quote it.
    [<CompiledName "TokenOf">]
    let tokenOf (random: byte[]) : string =
        // A token that began with a dash would look like an option.
        let text = Convert.ToBase64String(random).TrimEnd('=').Replace('+', '-').Replace('/', '_')
        if text.StartsWith '-' then "A" + text.Substring 1 else text

    /// The token in a request's headers: `X-Monitoring-Token`, and where that is absent or blank the credentials of
    /// `Authorization: Bearer`, the word in any case. White space around it does not count. None when there is none.
    [<CompiledName "TokenIn">]
    let tokenIn (monitoringToken: string) (authorization: string) : string voption =
        let token = monitoringToken.Trim()

        if token <> "" then
            ValueSome token
        else
            let credentials = authorization.Trim()
            let scheme = "bearer"

            if
                credentials.Length > scheme.Length
                && credentials.StartsWith(scheme, StringComparison.OrdinalIgnoreCase)
                && Char.IsWhiteSpace credentials[scheme.Length]
            then
                ValueSome(credentials.Substring(scheme.Length).Trim())
            else
                ValueNone
