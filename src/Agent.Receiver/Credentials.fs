namespace Agent.Receiver

open System
open System.Globalization

/// What somebody may do.
[<RequireQualifiedAccess>]
type Role =
    /// Look.
    | Viewer
    /// Look, and change what the dashboard lets people change.
    | Admin

/// What is kept of a password: PBKDF2 with HMAC-SHA-512 (RFC 8018), and what is needed to compute it again.
[<NoComparison>]
type PasswordHash =
    {
        /// The number of iterations.
        Iterations: int
        /// Random bytes, other ones for each password.
        Salt: byte[]
        /// What the function gave.
        Hash: byte[]
    }

/// Somebody who may log in.
[<NoComparison>]
type User =
    {
        /// The name, as it is typed at the log-in.
        Name: string
        /// What this user may do.
        Role: Role
        /// What is kept of the password.
        Password: PasswordHash
    }

/// A script that may ask, by a bearer token (RFC 6750).
[<NoComparison>]
type AccessToken =
    {
        /// What it is called.
        Name: string
        /// What it may do.
        Role: Role
        /// The day on which it was made, UTC.
        Created: DateOnly
        /// SHA-256 of the token; the token itself is kept nowhere.
        Hash: byte[]
    }

/// The files of users and of tokens: a line for each, fields with colons between. Empty lines and lines that begin with # do not count.
[<RequireQualifiedAccess>]
module Credentials =
    /// A larger file is not read, in bytes.
    [<Literal>]
    let LongestFile = 262144

    /// So many users or tokens a file may have.
    [<Literal>]
    let MostEntries = 500

    /// The iterations for new passwords: what OWASP's Password Storage Cheat Sheet asks of PBKDF2 with HMAC-SHA-512. A password that was
    /// stored with another number keeps it until it is set anew.
    [<Literal>]
    let Iterations = 220000

    /// Bytes of a new salt.
    [<Literal>]
    let SaltBytes = 16

    /// Bytes of a password's hash.
    [<Literal>]
    let HashBytes = 32

    /// A longer password is refused, in characters.
    [<Literal>]
    let LongestPassword = 1000

    [<Literal>]
    let private Scheme = "pbkdf2-sha512"

    /// More would keep a core busy for seconds at each attempt, so such a line is garbled.
    [<Literal>]
    let private MostIterations = 10000000

    /// The role as files and commands have it.
    [<CompiledName "RoleName">]
    let roleName (role: Role) : string =
        match role with
        | Role.Viewer -> "viewer"
        | Role.Admin -> "admin"

    /// The role of a name; "read-only" is another word for a viewer.
    [<CompiledName "RoleOf">]
    let roleOf (text: string) : Role voption =
        match text with
        | "viewer"
        | "read-only" -> ValueSome Role.Viewer
        | "admin" -> ValueSome Role.Admin
        | _ -> ValueNone

    /// True for the name of a user or a token: 1 to 64 of the letters, digits and marks that addresses of e-mail have.
    [<CompiledName "IsName">]
    let isName (text: string) : bool =
        text.Length >= 1
        && text.Length <= 64
        && Char.IsAsciiLetterOrDigit text[0]
        && text |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || "._@+-".Contains c)

    let private bytesOf (text: string) : byte[] voption =
        let bytes = Array.zeroCreate<byte> text.Length

        match Convert.TryFromBase64String(text, bytes.AsSpan()) with
        | true, count when count > 0 -> ValueSome(Array.truncate count bytes)
        | _ -> ValueNone

    let private hexOf (text: string) : byte[] voption =
        if text.Length = 64 && Seq.forall Char.IsAsciiHexDigit text then
            ValueSome(Convert.FromHexString text)
        else
            ValueNone

    let private iterationsOf (text: string) : int voption =
        match Int32.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, count when count >= 1 && count <= MostIterations -> ValueSome count
        | _ -> ValueNone

    /// What is kept of a password, as text.
    [<CompiledName "PasswordText">]
    let passwordText (password: PasswordHash) : string =
        String.Join(
            ':',
            Scheme,
            password.Iterations.ToString CultureInfo.InvariantCulture,
            Convert.ToBase64String password.Salt,
            Convert.ToBase64String password.Hash
        )

    let private passwordIn (scheme: string) (iterations: string) (salt: string) (hash: string) : PasswordHash voption =
        match iterationsOf iterations, bytesOf salt, bytesOf hash with
        | ValueSome iterations, ValueSome salt, ValueSome hash when scheme = Scheme ->
            ValueSome
                {
                    Iterations = iterations
                    Salt = salt
                    Hash = hash
                }
        | _ -> ValueNone

    /// What is kept of a password, from its text.
    [<CompiledName "PasswordIn">]
    let passwordOf (text: string) : PasswordHash voption =
        match text.Split ':' with
        | [| scheme; iterations; salt; hash |] -> passwordIn scheme iterations salt hash
        | _ -> ValueNone

    let private userOf (fields: string[]) : User voption =
        match fields with
        | [| name; role; scheme; iterations; salt; hash |] when isName name ->
            match roleOf role, passwordIn scheme iterations salt hash with
            | ValueSome role, ValueSome password ->
                ValueSome
                    {
                        Name = name
                        Role = role
                        Password = password
                    }
            | _ -> ValueNone
        | _ -> ValueNone

    let private tokenOf (fields: string[]) : AccessToken voption =
        match fields with
        | [| name; role; created; hash |] when isName name ->
            match
                roleOf role, DateOnly.TryParseExact(created, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None), hexOf hash
            with
            | ValueSome role, (true, created), ValueSome hash ->
                ValueSome
                    {
                        Name = name
                        Role = role
                        Created = created
                        Hash = hash
                    }
            | _ -> ValueNone
        | _ -> ValueNone

    /// All entries of a file, or the first line that is none. Two of one name would be two answers to one question.
    let private entries
        (what: string)
        (nameOf: 'entry -> string)
        (entryOf: string[] -> 'entry voption)
        (text: string)
        : Result<'entry[], string> =
        let mutable problem = ""
        let found = Collections.Generic.List<'entry>()
        let names = Collections.Generic.HashSet<string>(StringComparer.Ordinal)
        let lines = text.Split '\n'

        for index in 0 .. lines.Length - 1 do
            let line = lines[index].Trim()

            if problem = "" && line <> "" && not (line.StartsWith '#') then
                match entryOf (line.Split ':') with
                | ValueNone -> problem <- $"line {index + 1} is not {what}"
                | ValueSome entry when not (names.Add(nameOf entry)) ->
                    problem <- $"line {index + 1} names \"{nameOf entry}\" a second time"
                | ValueSome _ when found.Count = MostEntries -> problem <- $"more than {MostEntries} entries"
                | ValueSome entry -> found.Add entry

        if problem = "" then Ok(found.ToArray()) else Error problem

    /// The users in the text of a file, or what is wrong with it. The text of a line is not repeated.
    [<CompiledName "Users">]
    let users (text: string) : Result<User[], string> =
        entries "NAME:ROLE:pbkdf2-sha512:ITERATIONS:SALT:HASH" (fun (user: User) -> user.Name) userOf text

    /// The tokens in the text of a file, or what is wrong with it. The text of a line is not repeated.
    [<CompiledName "Tokens">]
    let tokens (text: string) : Result<AccessToken[], string> =
        entries "NAME:ROLE:DATE:SHA256" (fun (token: AccessToken) -> token.Name) tokenOf text

    let private file (head: string) (lines: string seq) =
        String.Join('\n', Seq.append [ head ] lines) + "\n"

    /// The text of a file of users.
    [<CompiledName "UsersText">]
    let usersText (users: User seq) : string =
        users
        |> Seq.map (fun user -> String.Join(':', user.Name, roleName user.Role, passwordText user.Password))
        |> file "# Written by `ai-dashboard users`."

    /// The text of a file of tokens.
    [<CompiledName "TokensText">]
    let tokensText (tokens: AccessToken seq) : string =
        tokens
        |> Seq.map (fun token ->
            String.Join(
                ':',
                token.Name,
                roleName token.Role,
                token.Created.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
                Convert.ToHexStringLower token.Hash
            ))
        |> file "# Written by `ai-dashboard tokens`."
