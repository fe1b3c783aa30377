namespace Agent.Receiver

open System

/// A claim that a provider makes about somebody, such as groups=dashboard-admins.
[<Struct>]
type OidcClaim =
    {
        /// Its name.
        Type: string
        /// What it has to say; where a provider lists several values, one of them.
        Value: string
    }

/// The OpenID Connect provider that people may log in with.
type OidcSettings =
    {
        /// The provider's URL, without /.well-known/openid-configuration; empty for none.
        Authority: string
        /// What the provider calls this dashboard.
        ClientId: string
        /// The file with the secret that the provider gave it; empty for none.
        ClientSecretFile: string
        /// What makes an admin; nobody is one without it.
        Admins: OidcClaim voption
        /// What makes a viewer; without it everybody is one whom the provider lets in.
        Viewers: OidcClaim voption
    }

/// What becomes of what a provider says.
[<RequireQualifiedAccess>]
module Oidc =
    /// What is asked for, beside what `--oidc-admins` and `--oidc-viewers` look at.
    let scopes: string[] = [| "openid"; "profile"; "email" |]

    /// No provider.
    let none: OidcSettings =
        {
            Authority = ""
            ClientId = ""
            ClientSecretFile = ""
            Admins = ValueNone
            Viewers = ValueNone
        }

    /// The claim in NAME=VALUE.
    [<CompiledName "ClaimOf">]
    let claimOf (text: string) : OidcClaim voption =
        match text.IndexOf '=' with
        | at when at > 0 && at < text.Length - 1 ->
            ValueSome
                {
                    Type = text.Substring(0, at)
                    Value = text.Substring(at + 1)
                }
        | _ -> ValueNone

    /// The name of a session, from the claims that can name somebody, in this order; whatever a name may not have becomes "_".
    /// Empty where there is none.
    [<CompiledName "Name">]
    let name (preferred: string) (email: string) (subject: string) : string =
        let taken =
            [ preferred; email; subject ]
            |> List.map _.Trim()
            |> List.tryFind (fun text -> text <> "")
            |> Option.defaultValue ""

        let cleaned =
            String.map
                (fun c ->
                    if Char.IsAsciiLetterOrDigit c || "._@+-".Contains c then
                        c
                    else
                        '_')
                taken

        let cleaned =
            if cleaned <> "" && not (Char.IsAsciiLetterOrDigit cleaned[0]) then
                "x" + cleaned
            else
                cleaned

        if cleaned.Length > 64 then
            cleaned.Substring(0, 64)
        else
            cleaned

    /// What somebody may do, by the claims that the provider made; none for somebody who may not look. `has` says whether a claim of
    /// this name has this value.
    [<CompiledName "RoleOf">]
    let roleOf (settings: OidcSettings) (has: Func<string, string, bool>) : Role voption =
        let meets (claim: OidcClaim voption) =
            match claim with
            | ValueSome claim -> has.Invoke(claim.Type, claim.Value)
            | ValueNone -> false

        if meets settings.Admins then
            ValueSome Role.Admin
        elif settings.Viewers.IsNone || meets settings.Viewers then
            ValueSome Role.Viewer
        else
            ValueNone
