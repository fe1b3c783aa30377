namespace Agent.Receiver.Alerts

open Agent.Core

/// Notices as JSON text, as the outbox keeps them: an array of objects.
[<RequireQualifiedAccess>]
module NoticeJson =
    let private encodeOne (notice: Notice) : JsonValue =
        Encode.object
            [|
                "alert", Encode.int64 notice.Alert
                "rule", Encode.string notice.Rule
                "level", Encode.string notice.Level.Name
                "state", Encode.string notice.State.Name
                "slug", Encode.string notice.Slug
                "machine", Encode.string notice.Machine
                "what", Encode.string notice.What
                "why", Encode.string notice.Why
                "since", Encode.int64 notice.Since
                "until", Encode.int64 notice.Until
                "path", Encode.string notice.Path
            |]

    /// One of these, by its name.
    let internal oneOf (values: (string * 'a) list) : Decoder<'a> =
        Decode.string
        |> Decode.andThen (fun name ->
            match List.tryFind (fun (known, _) -> known = name) values with
            | Some(_, value) -> Decode.succeed value
            | None ->
                let names = values |> List.map fst |> String.concat " or "
                Decode.fail $"{name} is not {names}")

    /// The level of an alert.
    let internal level =
        oneOf (
            [ AlertLevel.Critical; AlertLevel.Warning ]
            |> List.map (fun level -> level.Name, level)
        )

    let private state =
        oneOf (
            [ NoticeState.Firing; NoticeState.Resolved ]
            |> List.map (fun state -> state.Name, state)
        )

    let private decodeOne: Decoder<Notice> =
        Decode.object (fun get ->
            {
                Alert = get.Required.Field "alert" Decode.int64
                Rule = get.Required.Field "rule" Decode.string
                Level = get.Required.Field "level" level
                State = get.Required.Field "state" state
                Slug = get.Required.Field "slug" Decode.string
                Machine = get.Required.Field "machine" Decode.string
                What = get.Required.Field "what" Decode.string
                Why = get.Required.Field "why" Decode.string
                Since = get.Required.Field "since" Decode.int64
                Until = get.Required.Field "until" Decode.int64
                Path = get.Required.Field "path" Decode.string
            })

    /// The notices as text. A lone surrogate becomes U+FFFD; everything else reads back as it was.
    [<CompiledName "Encode">]
    let encode (notices: Notice[]) : string =
        Encode.arrayOf encodeOne notices |> Encode.toString 0

    /// The notices that a text of `encode` holds, or where it is none and why.
    [<CompiledName "Decode">]
    let decode (text: string) : Result<Notice[], string> =
        Decode.fromString (Decode.array decodeOne) text

    /// The text of both texts' notices, in order; each a text of `encode`.
    [<CompiledName "Join">]
    let join (first: string) (second: string) : string =
        match first, second with
        | "[]", text
        | text, "[]" -> text
        | _ -> $"{first.Substring(0, first.Length - 1)},{second.Substring 1}"
