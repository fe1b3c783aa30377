namespace Agent.Receiver

open System

/// What is wrong with the way to PostgreSQL, where there is something to be said about it that the driver does not say.
[<RequireQualifiedAccess>]
type StateFault =
    /// The server does not speak TLS.
    | NoTls
    /// The server asks for a password, and none was given.
    | NoPassword
    /// The server's certificate is for other hosts, which may be none.
    | WrongName of names: string[]
    /// The server's certificate is not valid at this time, but between these, in UTC.
    | NotNow of notBefore: DateTimeOffset * notAfter: DateTimeOffset
    /// No authority that is trusted has signed the server's certificate.
    | UnknownAuthority
    /// Anything else, in the words that there are for it.
    | Other of words: string

/// Sentences about what is wrong with the way to PostgreSQL.
[<RequireQualifiedAccess>]
module StateFault =
    /// So many names of a certificate are told.
    [<Literal>]
    let MostNames = 4

    /// What a failure is by Npgsql's words.
    [<CompiledName "OfWords">]
    let ofWords (words: string) : StateFault =
        let has (part: string) =
            words.Contains(part, StringComparison.OrdinalIgnoreCase)

        if has "No SSL enabled connection" then
            StateFault.NoTls
        elif has "No password has been provided" then
            StateFault.NoPassword
        else
            StateFault.Other words

    let private day (at: DateTimeOffset) = at.UtcDateTime.ToString "yyyy-MM-dd"

    /// What is wrong and what to do about it, as the rest of a sentence.
    [<CompiledName "Sentence">]
    let sentence (address: StateAddress) (fault: StateFault) : string =
        match fault with
        | StateFault.NoTls ->
            $"the server does not speak TLS, which sslmode={address.TlsMode} asks for; set ssl = on in its postgresql.conf, or give sslmode=disable if nobody else can listen on the network path"
        | StateFault.NoPassword -> "the server asks for a password; give it in --state-password-file, PGPASSWORD or PGPASSFILE"
        | StateFault.WrongName names ->
            let told =
                if names.Length = 0 then
                    "no host"
                else
                    let rest = if names.Length > MostNames then ", …" else ""
                    (names |> Array.truncate MostNames |> String.concat ", ") + rest

            $"the server's certificate is for {told}, and not for {address.Host}; name the server in the URL as its certificate does, or give it a certificate for {address.Host}"
        | StateFault.NotNow(notBefore, notAfter) ->
            $"the server's certificate is valid from {day notBefore} to {day notAfter}, which is not now; renew it, or set the clock"
        | StateFault.UnknownAuthority when address.RootCertificate <> "" ->
            $"the server's certificate is signed by no authority in \"{address.RootCertificate}\"; give the certificate of the one that signed it as sslrootcert"
        | StateFault.UnknownAuthority ->
            "the server's certificate is signed by no authority that this machine trusts; give the certificate of the one that signed it, as sslrootcert=FILE in the URL"
        | StateFault.Other words -> words
