namespace Agent.Sender

open System
open Agent.Core

/// The name and the secret that a machine sends its samples with.
[<RequireQualifiedAccess>]
module IngestToken =
    open GivenFaults
    open GivenValues

    let internal slugOf (given: Given) : Result<string, ConfigError> =
        let text = given.Text.Trim()

        if
            text.Length >= 1
            && text.Length <= 64
            && text |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '-' || c = '_')
        then
            Ok text
        else
            Error(error given "a server slug: 1 to 64 letters, digits, - or _")

    let internal tokenOf (given: Given) : Result<Secret, ConfigError> =
        let text = given.Text.Trim()

        if text = "" then
            Error(errorWithoutText given "the token is empty")
        elif text |> Seq.forall (fun c -> c > ' ' && c <= '~') then
            Ok(Secret text)
        else
            Error(errorWithoutText given "the token contains white space, control or non-ASCII characters")

    /// The slug in a text, or what is wrong with it; `origin` says where the text is from.
    let internal readSlug (origin: string) (text: string) : Result<string, ConfigError> = slugOf { Origin = origin; Text = text }

    /// The token in the text of a file, or what is wrong with it; `origin` names the file.
    [<CompiledName "Read">]
    let read (origin: string) (text: string) : Result<Secret, ConfigError> =
        tokenOf { Origin = origin; Text = text }

    /// The name under which systemd hands over the token, in $CREDENTIALS_DIRECTORY.
    [<Literal>]
    let CredentialName = "ingest-token"

    /// The error when no token is given.
    [<CompiledName "Missing">]
    let missing: ConfigError =
        let origin =
            $"""--token or --token-file (or {Flag.variable "--token"}, {Flag.variable "--token-file"})"""

        {
            Origin = origin
            Message = $"Missing {origin}"
        }

    /// --token, --token-file, their variables in the same order, systemd's credential; none when nothing is there.
    let internal originOf (token: Given voption) (file: Given voption) (credentials: string) : Result<TokenOrigin voption, ConfigError> =
        let given (value: Given) =
            tokenOf value
            |> Result.map (fun secret -> ValueSome(TokenOrigin.Given(secret, value.Origin)))

        let inFile (value: Given) =
            fileOf value
            |> Result.map (fun path -> ValueSome(TokenOrigin.File(path, value.Origin)))

        match token, file with
        | ValueSome token, ValueSome file when isFlag file && not (isFlag token) -> inFile file
        | ValueSome token, _ -> given token
        | ValueNone, ValueSome file -> inFile file
        | ValueNone, ValueNone when credentials <> "" ->
            Ok(ValueSome(TokenOrigin.Credential(credentials.TrimEnd '/' + "/" + CredentialName)))
        | ValueNone, ValueNone -> Ok ValueNone
