namespace Agent.Receiver

open System
open System.Net
open FsToolkit.ErrorHandling
open Agent.Core

/// Who may look, and how connections are protected: the options of `serve` about that, checked.
type AccessSettings =
    {
        /// The file with the one password of all viewers; empty for none.
        ViewerPasswordFile: string
        /// The file of users; empty for none.
        UsersFile: string
        /// The file of bearer tokens; empty for none.
        TokensFile: string
        /// Whether users and tokens are in the state that several dashboards share, instead of files.
        AccountsInState: bool
        /// The header in which a proxy names the user that it let in; empty for none.
        ProxyUserHeader: string
        /// The OpenID Connect provider.
        Oidc: OidcSettings
        /// The networks of the reverse proxies that are believed.
        TrustedProxies: IPNetwork[]
        /// The PEM file with the certificate and its chain; empty without TLS.
        TlsCertificate: string
        /// The PEM file with the certificate's key; empty without TLS.
        TlsKey: string
    }

    /// Whether there is an OpenID Connect provider.
    member settings.HasProvider: bool = settings.Oidc.Authority <> ""

    /// Whether people log in here, by name, with the one password or by a provider.
    member settings.HasLogin: bool =
        settings.ViewerPasswordFile <> ""
        || settings.UsersFile <> ""
        || settings.AccountsInState
        || settings.HasProvider

    /// Whether everybody who reaches it may look.
    member settings.IsOpen: bool = not settings.HasLogin && settings.ProxyUserHeader = ""

/// What a command does with the users or the tokens.
[<RequireQualifiedAccess>]
type CredentialAction =
    /// Add one of this name and role, or change it.
    | Add of name: string * role: Role
    /// Remove one.
    | Remove of name: string
    /// List them.
    | List

    /// Calls the function for the case that this is.
    member action.Match(add: Func<string, Role, 'r>, remove: Func<string, 'r>, list: Func<'r>) : 'r =
        match action with
        | Add(name, role) -> add.Invoke(name, role)
        | Remove name -> remove.Invoke name
        | List -> list.Invoke()

/// What `users` and `tokens` can be told, checked.
type CredentialSettings =
    {
        /// The file of users or tokens.
        File: string
        /// Where they are instead; none for the file.
        State: StateSettings voption
        /// What to do with it.
        Action: CredentialAction
    }

/// Checks of options that have to do with access.
[<RequireQualifiedAccess>]
module internal AccessSettings =
    [<Literal>]
    let DefaultUsersFile = "ai-dashboard.users"

    [<Literal>]
    let DefaultTokensFile = "ai-dashboard.tokens"

    /// The offending text and what is wrong with it, as a sentence.
    let refuse (given: Given) (reason: string) : Result<'a, ConfigError> =
        let quoted = Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes given.Text))

        Error
            {
                Origin = given.Origin
                Message = $"{given.Origin}: \"{quoted}\" {reason}"
            }

    /// The name of a file.
    let fileOf (given: Given) : Result<string, ConfigError> =
        match given.Text.Trim() with
        | path when path = "" || path.EndsWith '/' || path.Contains '\000' -> refuse given "is not the name of a file"
        | path -> Ok path

    let private headerOf (given: Given) : Result<string, ConfigError> =
        let name = given.Text.Trim()

        if
            name <> ""
            && name
               |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || "!#$%&'*+-.^_`|~".Contains c)
        then
            Ok name
        else
            refuse given "is not the name of a header, such as X-Forwarded-User"

    let private networksOf (given: Given) : Result<IPNetwork[], ConfigError> =
        let words =
            given.Text.Split([| ','; ' ' |], StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)

        let networks = words |> Array.map Forwarding.networkOf

        match Array.tryFindIndex (fun (network: IPNetwork voption) -> network.IsNone) networks with
        | Some index ->
            refuse
                { given with Text = words[index] }
                "is not an address or a network, such as 10.0.0.5 or 10.0.0.0/8, with no bits set after its prefix"
        | None when words.Length = 0 || words.Length > 64 ->
            refuse given "is not a list of 1 to 64 addresses or networks, separated by commas"
        | None -> Ok(networks |> Array.map _.Value)

    /// The checked value of an option, or what holds without it.
    let optional (given: string -> Given voption) flag (fallback: 'a) check : Validation<'a, ConfigError> =
        match given flag with
        | ValueSome value -> Validation.ofResult (check value)
        | ValueNone -> Ok fallback

    let private wrong (given: Given) (sentence: string) : Validation<unit, ConfigError> =
        Error
            [
                {
                    Origin = given.Origin
                    Message = $"{given.Origin}: {sentence}"
                }
            ]

    /// The options with which people log in at the dashboard itself.
    let private logins =
        [
            "--viewer-password-file"
            "--users-file"
            "--oidc-authority"
            "--accounts-in-state"
        ]

    let private authorityOf (given: Given) : Result<string, ConfigError> =
        match Uri.TryCreate(given.Text.Trim(), UriKind.Absolute) with
        | true, NonNull uri when
            (uri.Scheme = "https" || (uri.Scheme = "http" && uri.IsLoopback))
            && uri.Query = ""
            && uri.Fragment = ""
            && uri.UserInfo = ""
            ->
            Ok(given.Text.Trim().TrimEnd '/')
        | _ -> refuse given "is not the https URL of a provider, such as https://id.example/realms/main"

    let private clientOf (given: Given) : Result<string, ConfigError> =
        match given.Text.Trim() with
        | text when text.Length <= 200 && not (Seq.exists Char.IsControl text) -> Ok text
        | _ -> refuse given "is not the identifier of a client"

    let private claimOf (given: Given) : Result<OidcClaim voption, ConfigError> =
        match Oidc.claimOf (given.Text.Trim()) with
        | ValueSome claim -> Ok(ValueSome claim)
        | ValueNone -> refuse given "is not CLAIM=VALUE, such as groups=admins"

    let private oidc (given: string -> Given voption) : Validation<OidcSettings, ConfigError> =
        validation {
            let! authority = optional given "--oidc-authority" "" authorityOf
            and! client = optional given "--oidc-client-id" "" clientOf
            and! secret = optional given "--oidc-client-secret-file" "" fileOf
            and! admins = optional given "--oidc-admins" ValueNone claimOf
            and! viewers = optional given "--oidc-viewers" ValueNone claimOf

            and! () =
                match given "--oidc-authority", given "--oidc-client-id" with
                | ValueSome authority, ValueNone -> wrong authority "needs --oidc-client-id as well"
                | ValueNone, _ ->
                    [
                        "--oidc-client-id"
                        "--oidc-client-secret-file"
                        "--oidc-admins"
                        "--oidc-viewers"
                    ]
                    |> List.tryFind (fun name -> (given name).IsSome)
                    |> function
                        | Some name -> wrong (given name).Value "needs --oidc-authority as well"
                        | None -> Ok()
                | _ -> Ok()

            return
                {
                    Authority = authority
                    ClientId = client
                    ClientSecretFile = secret
                    Admins = admins
                    Viewers = viewers
                }
        }

    /// Options that contradict each other, or lack another one.
    let private together (given: string -> Given voption) : Validation<unit, ConfigError> =
        validation {
            let! () =
                match given "--trust-proxy-user" with
                | ValueSome header when logins |> List.exists (fun way -> (given way).IsSome) ->
                    wrong
                        header
                        "cannot be combined with --viewer-password-file, --users-file or --oidc-authority: people log in at the dashboard, or at the proxy in front"
                | _ -> Ok()

            and! () =
                match given "--tokens-file" with
                | ValueSome tokens when "--trust-proxy-user" :: logins |> List.forall (fun way -> (given way).IsNone) ->
                    wrong
                        tokens
                        "without --users-file, --viewer-password-file, --oidc-authority or --trust-proxy-user everybody on this machine has access, with or without a token"
                | _ -> Ok()

            and! () =
                match given "--accounts-in-state", given "--state" with
                | ValueSome accounts, ValueNone -> wrong accounts "needs --state as well"
                | ValueSome accounts, _ when (given "--users-file").IsSome || (given "--tokens-file").IsSome ->
                    wrong accounts "cannot be combined with --users-file or --tokens-file: users and tokens are in the state then"
                | _ -> Ok()

            and! () =
                match given "--tls-certificate", given "--tls-key" with
                | ValueSome certificate, ValueNone -> wrong certificate "needs --tls-key as well"
                | ValueNone, ValueSome key -> wrong key "needs --tls-certificate as well"
                | _ -> Ok()

            return ()
        }

    /// Checks the options of `serve` about access.
    let serve (given: string -> Given voption) : Validation<AccessSettings, ConfigError> =
        validation {
            let! passwordFile = optional given "--viewer-password-file" "" fileOf
            and! usersFile = optional given "--users-file" "" fileOf
            and! tokensFile = optional given "--tokens-file" "" fileOf
            and! header = optional given "--trust-proxy-user" "" headerOf
            and! provider = oidc given
            and! proxies = optional given "--trusted-proxy" [||] networksOf
            and! certificate = optional given "--tls-certificate" "" fileOf
            and! key = optional given "--tls-key" "" fileOf
            and! () = together given

            return
                {
                    ViewerPasswordFile = passwordFile
                    UsersFile = usersFile
                    TokensFile = tokensFile
                    AccountsInState = (given "--accounts-in-state").IsSome
                    ProxyUserHeader = header
                    Oidc = provider
                    TrustedProxies = proxies
                    TlsCertificate = certificate
                    TlsKey = key
                }
        }

    let private nameOf (text: string) : Result<string, ConfigError> =
        if Credentials.isName text then
            Ok text
        else
            refuse { Origin = "NAME"; Text = text } "is not a name: 1 to 64 letters, digits or . _ @ + -, a letter or digit first"

    let private roleOf (given: Given) : Result<Role, ConfigError> =
        match Credentials.roleOf (given.Text.Trim()) with
        | ValueSome role -> Ok role
        | ValueNone -> refuse given "is not a role: viewer or admin"

    /// Checks what `users` or `tokens` was told, by the name of the option for its file and that file's default. The word is the
    /// one that the command takes.
    let credentials
        (option: string)
        (fallback: string)
        (action: Validation<CredentialAction, ConfigError>)
        (given: string -> Given voption)
        : Validation<CredentialSettings, ConfigError> =
        validation {
            let! file = optional given option fallback fileOf
            and! action = action

            return
                {
                    File = file
                    State = ValueNone
                    Action = action
                }
        }

    /// To add one of this name, with the role that was given.
    let add (given: string -> Given voption) (name: Validation<string, ConfigError>) : Validation<CredentialAction, ConfigError> =
        validation {
            let! name = name |> Result.bind (nameOf >> Validation.ofResult)
            and! role = optional given "--role" Role.Viewer roleOf
            return CredentialAction.Add(name, role)
        }

    /// To remove the one of this name.
    let remove (name: Validation<string, ConfigError>) : Validation<CredentialAction, ConfigError> =
        name
        |> Result.bind (nameOf >> Validation.ofResult)
        |> Result.map CredentialAction.Remove
