namespace Agent.Receiver

open System
open System.Globalization

/// Where PostgreSQL keeps the state that several dashboards share, and how it is reached. The password is never part of it.
type StateAddress =
    {
        /// A host name, an IP address, or the directory of a Unix socket, which begins with a slash.
        Host: string
        /// The port; of a Unix socket the number in its name.
        Port: int
        /// The role to connect as.
        User: string
        /// The database.
        Database: string
        /// How much the connection is protected, by the names that libpq has for it (`sslmode`).
        TlsMode: string
        /// The PEM file with the certificates that the server's is to be signed by; empty for those of the system.
        RootCertificate: string
    }

    /// Whether it is a Unix socket.
    member address.IsSocket: bool = address.Host.StartsWith '/'

    /// The address as a URL.
    member address.Url: string =
        let host =
            if address.IsSocket then ""
            elif address.Host.Contains ':' then $"[{address.Host}]"
            else address.Host

        let parameters =
            [
                if address.IsSocket then
                    "host", address.Host
                "sslmode", address.TlsMode
                if address.RootCertificate <> "" then
                    "sslrootcert", address.RootCertificate
            ]
            |> List.map (fun (name, value) -> $"{name}={Uri.EscapeDataString value}")
            |> String.concat "&"

        $"postgres://{Uri.EscapeDataString address.User}@{host}:{address.Port}/{Uri.EscapeDataString address.Database}?{parameters}"

/// URLs of PostgreSQL, as libpq has them (PostgreSQL's manual, "Connection URIs"), less what does not belong on a command line.
[<RequireQualifiedAccess>]
module StateAddress =
    /// The port where none is given.
    [<Literal>]
    let DefaultPort = 5432

    /// A role, or a database, has so many characters at most (NAMEDATALEN less one).
    [<Literal>]
    let LongestName = 63

    /// A longer URL is none.
    [<Literal>]
    let LongestUrl = 2000

    let private modes = [ "disable"; "prefer"; "require"; "verify-ca"; "verify-full" ]

    let private example = "give a URL such as postgres://dashboard@db.example:5432/dashboard"

    /// Why a text with a password is refused; the text is not repeated.
    let private passwordInside =
        "the URL must not contain a password, which every user of this machine could read; put it into a file for --state-password-file"

    /// The text after a mark that has to be there.
    let private after (mark: string) (text: string) : string voption =
        match text.IndexOf(mark, StringComparison.Ordinal) with
        | -1 -> ValueNone
        | at -> ValueSome(text.Substring(at + mark.Length))

    /// Whether a password may stand in a text: before its @, as what is no port in a URL whose host was forgotten, or by its name, as in libpq's other form too.
    let private hasPassword (text: string) : bool =
        let rest = after "://" text |> ValueOption.defaultValue text

        let isBeforeHost =
            match rest.LastIndexOf '@' with
            | -1 ->
                // user:password/database, and no [::1]:5432/database.
                match rest.Split('/', '?') |> Array.head |> _.Split(':') with
                | [| _; port |] -> port <> "" && not (Seq.forall Char.IsAsciiDigit port)
                | _ -> false
            | at -> rest.Substring(0, at).Contains ':'

        isBeforeHost
        || Uri.UnescapeDataString(text).Replace(" ", "").Contains("password=", StringComparison.OrdinalIgnoreCase)

    let private plain (text: string) : string voption =
        let decoded = Uri.UnescapeDataString text

        if
            decoded = ""
            || decoded.Length > LongestName
            || Seq.exists Char.IsControl decoded
        then
            ValueNone
        else
            ValueSome decoded

    let private portOf (text: string) : int voption =
        match Int32.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, port when port >= 1 && port <= 65535 -> ValueSome port
        | _ -> ValueNone

    /// Host and port of what stands behind the @; the host may be empty.
    let private placeOf (text: string) : struct (string * int) voption =
        let port (rest: string) =
            if rest = "" then ValueSome DefaultPort
            elif rest.StartsWith ':' then portOf (rest.Substring 1)
            else ValueNone

        let host, rest =
            if text.StartsWith '[' && text.Contains ']' then
                let ends = text.IndexOf ']'
                text.Substring(1, ends - 1), text.Substring(ends + 1)
            else
                match text.IndexOf ':' with
                | -1 -> text, ""
                | at -> text.Substring(0, at), text.Substring at

        let isHost = host = "" || Uri.CheckHostName host <> UriHostNameType.Unknown

        match port rest with
        | ValueSome port when isHost -> ValueSome(struct (host, port))
        | _ -> ValueNone

    let private isLoopback (host: string) =
        host.StartsWith '/'
        || host = "localhost"
        || (match Net.IPAddress.TryParse host with
            | true, NonNull address -> Net.IPAddress.IsLoopback address
            | _ -> false)

    let private isPath (text: string) =
        text.StartsWith '/' && not (Seq.exists Char.IsControl text)

    /// One more parameter.
    let private parameter (address: StateAddress) (text: string) : Result<StateAddress, string> =
        let name, value =
            match text.IndexOf '=' with
            | -1 -> text, ""
            | at -> text.Substring(0, at), Uri.UnescapeDataString(text.Substring(at + 1))

        match name with
        | "sslmode" when List.contains value modes -> Ok { address with TlsMode = value }
        | "sslmode" ->
            let known = modes |> String.concat ", "
            Error $"has an sslmode that is not one of {known}"
        | "sslrootcert" when isPath value -> Ok { address with RootCertificate = value }
        | "sslrootcert" -> Error "has an sslrootcert that is not the full path of a file"
        | "host" when isPath value && address.Host = "" -> Ok { address with Host = value }
        | "host" -> Error "has a parameter host that is not the full path of a directory, or names another host before it"
        | "passfile" -> Error "has a parameter for the password; use --state-password-file"
        | _ -> Error "has a parameter other than sslmode, sslrootcert and host"

    /// What a host is protected by where the URL does not say it: connections that leave the machine are to be those of the server that was meant.
    let private protectedWell (address: StateAddress) : StateAddress =
        if address.TlsMode <> "" then
            address
        elif isLoopback address.Host then
            { address with TlsMode = "prefer" }
        else
            { address with TlsMode = "verify-full" }

    /// The address that a URL names, or what is wrong with it as the rest of a sentence. Whether that may repeat the URL, which it must not where
    /// a password is in it, is the first part of the error.
    [<CompiledName "Parse">]
    let parse (url: string) : Result<StateAddress, struct (bool * string)> =
        let refuse reason : Result<StateAddress, struct (bool * string)> = Error(struct (true, reason))
        let text = url.Trim()

        if hasPassword text then
            Error(struct (false, passwordInside))
        elif text.Length > LongestUrl || text.Contains '#' then
            refuse $"is not the URL of a PostgreSQL database; {example}"
        else
            let body, query =
                match text.IndexOf '?' with
                | -1 -> text, ""
                | at -> text.Substring(0, at), text.Substring(at + 1)

            let rest =
                if body.StartsWith("postgres://", StringComparison.Ordinal) then
                    ValueSome(body.Substring 11)
                elif body.StartsWith("postgresql://", StringComparison.Ordinal) then
                    ValueSome(body.Substring 13)
                else
                    ValueNone

            match rest with
            | ValueNone -> refuse $"is not the URL of a PostgreSQL database; {example}"
            | ValueSome rest ->
                let authority, database =
                    match rest.IndexOf '/' with
                    | -1 -> rest, ""
                    | at -> rest.Substring(0, at), rest.Substring(at + 1)

                let user, place =
                    match authority.LastIndexOf '@' with
                    | -1 -> "", authority
                    | at -> authority.Substring(0, at), authority.Substring(at + 1)

                match plain user, placeOf place, plain database with
                | ValueNone, _, _ -> refuse $"names no user; {example}"
                | _, ValueNone, _ -> refuse $"has no host and port; {example}"
                | _, _, ValueNone -> refuse $"names no database; {example}"
                | _, _, ValueSome database when database.Contains '/' -> refuse $"names no database; {example}"
                | ValueSome user, ValueSome(struct (host, port)), ValueSome database ->
                    let address =
                        {
                            Host = host
                            Port = port
                            User = user
                            Database = database
                            TlsMode = ""
                            RootCertificate = ""
                        }

                    let read =
                        query.Split('&', StringSplitOptions.RemoveEmptyEntries)
                        |> Array.fold (fun known text -> known |> Result.bind (fun known -> parameter known text)) (Ok address)

                    match read with
                    | Error reason -> refuse reason
                    | Ok address when address.Host = "" ->
                        refuse $"names no host, nor the directory of a socket as host=/run/postgresql; {example}"
                    | Ok address -> Ok(protectedWell address)

/// What the options say of the state that several dashboards share.
type StateSettings =
    {
        /// Where it is.
        Address: StateAddress
        /// The file with the password; empty where libpq's variables or file have it, or none is asked for.
        PasswordFile: string
    }
