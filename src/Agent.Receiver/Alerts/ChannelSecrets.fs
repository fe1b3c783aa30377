namespace Agent.Receiver.Alerts

open System

/// What a channel's files hold, read and checked.
type ChannelSecrets =
    {
        /// The address, from the file of alerts or a file of its own; empty for mail.
        Url: string
        /// The password, token or routing key; empty for none.
        Token: string
        /// The key of signatures; empty for none.
        Key: byte[]
    }

/// Reads what is in the files of a channel.
[<RequireQualifiedAccess>]
module ChannelSecrets =
    /// A larger file is not read, in bytes.
    [<Literal>]
    let LongestFile = 8192

    let private firstLine (text: string) : Result<string, string> =
        let lines = text.Split '\n'

        match lines[0].TrimEnd '\r' with
        | line when line.Trim() = "" -> Error "has an empty first line"
        | line when Seq.exists Char.IsControl line -> Error "has control characters in its first line"
        | line when line.Length > 2000 -> Error "has a first line of more than 2000 characters"
        | line -> Ok line

    /// Tokens stand in headers and addresses.
    let private token (text: string) : Result<string, string> =
        firstLine text
        |> Result.bind (fun line ->
            match line.Trim() with
            | token when token |> Seq.forall (fun c -> c > ' ' && c < '\127' && not ("/?#\\".Contains c)) -> Ok token
            | _ -> Error "has a first line that is not a token: tokens have no spaces, no / and only ASCII characters")

    let private key (text: string) : Result<byte[], string> =
        firstLine text |> Result.bind Signature.keyOf

    /// The secrets in these texts, one for each of the channel's files in their order; the error completes `"FILE" …` and repeats none of them.
    [<CompiledName "Read">]
    let read (channel: ChannelSettings) (texts: string[]) : Result<ChannelSecrets, string> =
        let text path =
            texts[Array.IndexOf(channel.Files, path)]

        let none = { Url = ""; Token = ""; Key = [||] }

        match channel.Kind with
        | ChannelKind.Mail mail when mail.PasswordFile = "" -> Ok none
        | ChannelKind.Mail mail ->
            firstLine (text mail.PasswordFile)
            |> Result.map (fun password -> { none with Token = password })
        | ChannelKind.Http http ->
            let url =
                if http.UrlFile = "" then
                    Ok http.Url
                else
                    firstLine (text http.UrlFile)
                    |> Result.bind (
                        ChannelFile.checkUrl http.IsInsecure
                        >> Result.mapError (sprintf "has an address that %s")
                    )

            let secret =
                match http.SecretFile, http.Service with
                | "", _ -> Ok("", [||])
                | path, HttpService.Webhook -> key (text path) |> Result.map (fun key -> "", key)
                | path, _ -> token (text path) |> Result.map (fun token -> token, [||])

            match url, secret with
            | Ok url, Ok(token, key) -> Ok { Url = url; Token = token; Key = key }
            | Error reason, _
            | _, Error reason -> Error reason
