namespace Agent.Sender

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core

/// How an endpoint is reached.
[<RequireQualifiedAccess>]
type Route =
    /// Without a proxy.
    | Direct
    /// Through this proxy, whose URL has no user name any more; that one and the password are empty for none.
    | Through of proxy: Uri * user: string * password: string
    /// The environment names a proxy that cannot be used.
    | Unusable of error: ConfigError

    /// Calls the function for the case that this is.
    member this.Match(direct: Func<'r>, through: Func<Uri, string, string, 'r>, unusable: Func<ConfigError, 'r>) : 'r =
        match this with
        | Direct -> direct.Invoke()
        | Through(proxy, user, password) -> through.Invoke(proxy, user, password)
        | Unusable error -> unusable.Invoke error

/// Which proxy the environment asks for. The token goes where the route goes, so the decision is that of the agent that this one
/// replaces: Python's requests (utils.get_environ_proxies, should_bypass_proxies, select_proxy) over urllib
/// (getproxies_environment, proxy_bypass_environment). What it decides is strange in places and is kept: the loopback goes through a proxy as
/// everything else does, and an asterisk counts only when it is all of no_proxy.
[<RequireQualifiedAccess>]
module Proxy =
    [<Literal>]
    let private Suffix = "_proxy"

    /// The proxies of the environment by the part of their names before `_proxy`. Names in any case count, those that end in `_proxy` in
    /// lower case more than others, and an empty one of those takes the others back.
    let private proxiesOf (environment: KeyValuePair<string, string>[]) : Dictionary<string, string> =
        let proxies = Dictionary<string, string>(StringComparer.Ordinal)

        let keyOf (name: string) =
            name.Substring(0, name.Length - Suffix.Length).ToLowerInvariant()

        for entry in environment do
            if
                entry.Value <> ""
                && entry.Key.EndsWith(Suffix, StringComparison.OrdinalIgnoreCase)
            then
                proxies[keyOf entry.Key] <- entry.Value

        // In a CGI program HTTP_PROXY is what a client sent (CVE-2016-1000110).
        if environment |> Array.exists (fun entry -> entry.Key = "REQUEST_METHOD") then
            proxies.Remove "http" |> ignore

        for entry in environment do
            if entry.Key.EndsWith(Suffix, StringComparison.Ordinal) then
                if entry.Value <> "" then
                    proxies[keyOf entry.Key] <- entry.Value
                else
                    proxies.Remove(keyOf entry.Key) |> ignore

        proxies

    /// inet_aton(3): one to four numbers with dots between them, each decimal, octal after 0 or hexadecimal after 0x, the last one
    /// filling what is left.
    let private addressOf (text: string) : uint32 voption =
        let numberOf (part: string) =
            let digits, style =
                if part.StartsWith("0x", StringComparison.OrdinalIgnoreCase) then
                    part.Substring 2, 16
                elif part.Length > 1 && part[0] = '0' then
                    part.Substring 1, 8
                else
                    part, 10

            let isDigit (c: char) =
                match style with
                | 16 -> Char.IsAsciiHexDigit c
                | 8 -> c >= '0' && c <= '7'
                | _ -> Char.IsAsciiDigit c

            if digits = "" || digits.Length > 20 || not (Seq.forall isDigit digits) then
                ValueNone
            else
                let value =
                    digits
                    |> Seq.fold (fun sum c -> min (1UL <<< 40) (sum * uint64 style + uint64 (Convert.ToInt32(string c, 16)))) 0UL

                ValueSome value

        let parts = text.Split '.' |> Array.map numberOf

        if
            parts.Length > 4
            || Array.exists (fun (part: uint64 voption) -> part.IsNone) parts
        then
            ValueNone
        else
            let numbers = parts |> Array.map _.Value
            let last = numbers.Length - 1
            let room = 1UL <<< (8 * (4 - last))

            if
                numbers[last] >= room
                || Array.exists (fun number -> number > 255UL) numbers[.. last - 1]
            then
                ValueNone
            else
                let head =
                    numbers[.. last - 1]
                    |> Array.mapi (fun index number -> number <<< (8 * (3 - index)))
                    |> Array.sum

                ValueSome(uint32 (head + numbers[last]))

    /// True when the entry is a network of IPv4 that has this address; none when it is no network.
    let private network (entry: string) (address: uint32) : bool voption =
        match entry.Split '/' with
        | [| network; length |] ->
            match addressOf network, Int32.TryParse(length, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
            | ValueSome network, (true, bits) when bits >= 1 && bits <= 32 ->
                let mask = UInt32.MaxValue <<< (32 - bits)
                ValueSome((address &&& mask) = (network &&& mask))
            | _ -> ValueNone
        | _ -> ValueNone

    /// True when a name is this domain or lies below it.
    let private isWithin (domain: string) (name: string) : bool =
        name = domain || name.EndsWith("." + domain, StringComparison.Ordinal)

    /// requests.utils.should_bypass_proxies without what it asks urllib.
    let private isListed (noProxy: string) (host: string) (port: string) : bool =
        let entries = noProxy.Replace(" ", "").Split(',', StringSplitOptions.RemoveEmptyEntries)

        match addressOf host with
        | ValueSome address ->
            entries
            |> Array.exists (fun entry ->
                match network entry address with
                | ValueSome isInside -> isInside
                | ValueNone -> entry = host)
        | ValueNone ->
            let withPort = if port = "" then host else $"{host}:{port}"

            entries
            |> Array.exists (fun entry ->
                let domain = entry.TrimStart '.'
                isWithin domain host || isWithin domain withPort)

    /// urllib.request.proxy_bypass_environment, which is asked with the name alone.
    let private isBypassed (noProxy: string) (host: string) : bool =
        noProxy = "*"
        || noProxy.Split(',')
           |> Array.exists (fun entry ->
               let domain = entry.Trim().TrimStart('.').ToLowerInvariant()
               domain <> "" && isWithin domain host)

    /// What is written between the scheme and the path of a URL, without a user name. The class library's own reading of it leaves out the
    /// scheme's own port and spells addresses anew, and requests goes by what is written.
    let internal authorityOf (url: Uri) : string =
        let text = url.OriginalString
        let start = text.IndexOf("://", StringComparison.Ordinal) + 3
        let stop = text.IndexOfAny([| '/'; '\\'; '?'; '#' |], start)
        let authority = text.Substring(start, (if stop < 0 then text.Length else stop) - start)
        let authority = authority.Substring(authority.LastIndexOf '@' + 1)

        match Uri.TryCreate($"{url.Scheme}://{authority}/", UriKind.Absolute) with
        | true, NonNull again when again.Host = url.Host && again.Port = url.Port -> authority
        // Written in a way that the class library alone understands.
        | _ -> url.Authority

    /// The host as it is written in a URL, and the port as a number; that is empty for none.
    let private writtenIn (url: Uri) : struct (string * string) =
        let authority = authorityOf url
        let colon = authority.LastIndexOf ':'

        if colon > authority.LastIndexOf ']' then
            let port = authority.Substring(colon + 1)
            struct (authority.Substring(0, colon), (if port = "" then "" else string url.Port))
        else
            struct (authority, "")

    /// The text without what could be a password.
    let private shown (proxy: string) : string =
        match proxy.LastIndexOf '@' with
        | -1 -> $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes proxy))}\""
        | _ -> "a URL with a user name"

    let private schemes = [ "http"; "https"; "socks4"; "socks4a"; "socks5" ]

    /// The URL without a user name, and that name with its password. As urllib3 and curl have it, the last @ before the path ends them: a password
    /// may hold others.
    let private credentialsIn (url: string) : struct (string * string) =
        let start = url.IndexOf("://", StringComparison.Ordinal) + 3
        let slash = url.IndexOfAny([| '/'; '\\'; '?'; '#' |], start)
        let length = (if slash < 0 then url.Length else slash) - start

        match url.Substring(start, length).LastIndexOf '@' with
        | -1 -> struct (url, "")
        | at -> struct (url.Remove(start, at + 1), url.Substring(start, at))

    let private through (variable: string) (text: string) : Route =
        let withScheme =
            if text.StartsWith("//", StringComparison.Ordinal) then
                "http:" + text
            elif text.Contains "://" then
                text
            else
                "http://" + text

        // The class library's socks5 leaves names to the proxy, as socks5h asks for by name.
        let withScheme = withScheme.Replace("socks5h://", "socks5://", StringComparison.OrdinalIgnoreCase)

        let struct (plain, credentials) = credentialsIn withScheme

        match Uri.TryCreate(plain, UriKind.Absolute) with
        | true, NonNull uri when List.contains uri.Scheme schemes && uri.Host <> "" ->
            let user, password =
                match credentials.Split(':', 2) with
                | [| user; password |] -> Uri.UnescapeDataString user, Uri.UnescapeDataString password
                | parts -> Uri.UnescapeDataString parts[0], ""

            Route.Through(uri, user, password)
        | _ ->
            Route.Unusable
                {
                    Origin = variable
                    Message = $"{variable}: {shown text} is not the URL of a proxy such as http://proxy:3128; correct or unset it"
                }

    /// The route to an endpoint in an environment.
    [<CompiledName "RouteTo">]
    let routeTo (environment: KeyValuePair<string, string>[]) (endpoint: Uri) : Route =
        let proxies = proxiesOf environment
        let struct (written, port) = writtenIn endpoint

        // An address is compared as it is written: 127.1 is not 127.0.0.1 there.
        let host =
            match endpoint.HostNameType with
            | UriHostNameType.IPv4 -> written.ToLowerInvariant()
            | _ -> endpoint.DnsSafeHost.ToLowerInvariant()

        let variable name =
            environment
            |> Array.tryFind (fun entry -> entry.Key = name && entry.Value <> "")
            |> Option.map _.Value

        let noProxy =
            variable "no_proxy"
            |> Option.orElse (variable "NO_PROXY")
            |> Option.defaultValue ""

        let known key =
            match proxies.TryGetValue key with
            | true, value -> Some(key, value)
            | _ -> None

        if
            isListed noProxy host port
            || isBypassed (known "no" |> Option.map snd |> Option.defaultValue "") host
        then
            Route.Direct
        else
            match known endpoint.Scheme |> Option.orElse (known "all") with
            | Some(key, proxy) -> through (key + Suffix) proxy
            | None -> Route.Direct
