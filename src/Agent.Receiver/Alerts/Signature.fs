/// Signatures of webhooks as the Standard Webhooks specification, version 1, has them: HMAC-SHA256 over `id.timestamp.body`.
[<RequireQualifiedAccess>]
module Agent.Receiver.Alerts.Signature

open System
open System.Security.Cryptography
open System.Text

/// A shorter key is refused, in bytes.
[<Literal>]
let ShortestKey = 16

[<Literal>]
let private Prefix = "whsec_"

/// The key in a secret: what follows `whsec_` is base64; any other text is taken as it is. The error completes "the secret …".
[<CompiledName "KeyOf">]
let keyOf (secret: string) : Result<byte[], string> =
    let text = secret.Trim()

    let key =
        if text.StartsWith(Prefix, StringComparison.Ordinal) then
            try
                Ok(Convert.FromBase64String(text.Substring Prefix.Length))
            with :? FormatException ->
                Error $"has no base64 behind {Prefix}"
        else
            Ok(Encoding.UTF8.GetBytes text)

    match key with
    | Ok bytes when bytes.Length < ShortestKey -> Error $"is shorter than {ShortestKey} bytes; openssl rand -hex 32 makes one"
    | other -> other

/// The value of the header `webhook-signature`; the time in seconds from 1970, as in `webhook-timestamp`.
[<CompiledName "Sign">]
let sign (key: byte[]) (id: string) (seconds: int64) (body: byte[]) : string =
    let signed = Array.append (Encoding.UTF8.GetBytes $"{id}.{seconds}.") body
    $"v1,{Convert.ToBase64String(HMACSHA256.HashData(key, signed))}"
