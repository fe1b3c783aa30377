namespace Agent.Receiver.Alerts

open System
open Agent.Core

/// Alerts as the database keeps them.
[<RequireQualifiedAccess>]
module AlertJson =
    let private levels = [| AlertLevel.Critical; AlertLevel.Warning |]

    /// The level of that name.
    [<CompiledName "LevelOf">]
    let levelOf (name: string) : AlertLevel voption =
        levels |> Array.tryFind (fun level -> level.Name = name) |> ValueOption.ofOption

    let private phase =
        NoticeJson.oneOf (
            [ AlertPhase.Pending; AlertPhase.Firing; AlertPhase.Ended ]
            |> List.map (fun phase -> phase.Name, phase)
        )

    /// An alert as text.
    [<CompiledName "Encode">]
    let encode (alert: Alert) : string =
        Encode.object
            [|
                "number", Encode.int64 alert.Number
                "rule", Encode.string alert.Cause.Rule
                "server", Encode.int alert.Cause.Server
                "subject", Encode.string alert.Cause.Subject
                "slug", Encode.string alert.Slug
                "machine", Encode.string alert.Machine
                "labels", Encode.arrayOf Encode.string alert.Labels
                "level", Encode.string alert.Level.Name
                "what", Encode.string alert.What
                "why", Encode.string alert.Why
                "phase", Encode.string alert.Phase.Name
                "since", Encode.int64 alert.Since
                "fired_at", Encode.int64 alert.FiredAt
                "clear_since", Encode.int64 alert.ClearSince
                "ended_at", Encode.int64 alert.EndedAt
                "begin_due", Encode.int64 alert.BeginDue
                "begin_told", Encode.int64 alert.BeginTold
                "end_due", Encode.int64 alert.EndDue
                "end_told", Encode.int64 alert.EndTold
                "ack_by", Encode.string alert.AckBy
                "ack_at", Encode.int64 alert.AckAt
                "muted_until", Encode.int64 alert.MutedUntil
            |]
        |> Encode.toString 0

    let private decoder: Decoder<Alert> =
        Decode.object (fun get ->
            let text name = get.Required.Field name Decode.string
            let instant name = get.Required.Field name Decode.int64

            {
                Number = instant "number"
                Cause =
                    {
                        Rule = text "rule"
                        Server = get.Required.Field "server" Decode.int
                        Subject = text "subject"
                    }
                Slug = text "slug"
                Machine = text "machine"
                Labels = get.Required.Field "labels" (Decode.array Decode.string)
                Level = get.Required.Field "level" NoticeJson.level
                What = text "what"
                Why = text "why"
                Phase = get.Required.Field "phase" phase
                Since = instant "since"
                FiredAt = instant "fired_at"
                ClearSince = instant "clear_since"
                EndedAt = instant "ended_at"
                BeginDue = instant "begin_due"
                BeginTold = instant "begin_told"
                EndDue = instant "end_due"
                EndTold = instant "end_told"
                AckBy = text "ack_by"
                AckAt = instant "ack_at"
                MutedUntil = instant "muted_until"
            })

    /// The alert in a text; none where it is not one that was written here.
    [<CompiledName "Decode">]
    let decode (text: string) : Alert voption =
        match Decode.fromString decoder text with
        | Ok alert -> ValueSome alert
        | Error _ -> ValueNone

    /// The state of which these are all alerts that are not done with. `next` is the number of the next one, `told` when each group was told last.
    [<CompiledName "Restore">]
    let restore (next: int64) (told: (struct (string * int64))[]) (alerts: Alert[]) : AlertState =
        {
            Next = next
            Alerts =
                alerts
                |> Array.filter (fun alert -> not alert.Phase.IsEnded)
                |> Array.map (fun alert -> alert.Cause, alert)
                |> Map.ofArray
            Leaving =
                alerts
                |> Array.filter (fun alert -> alert.Phase.IsEnded && alert.IsWaiting)
                |> Array.map (fun alert -> alert.Number, alert)
                |> Map.ofArray
            Told = told |> Array.map (fun struct (rule, at) -> rule, at) |> Map.ofArray
        }

    /// A silence with the number and the author that the database has for it.
    [<CompiledName "Numbered">]
    let numbered (id: int64) (author: string) (silence: Silence) : Silence =
        { silence with
            Id = id
            Author = author
        }

    /// The open or pending alert of that number; it must be there.
    [<CompiledName "Find">]
    let find (number: int64) (state: AlertState) : Alert =
        state.Alerts.Values |> Seq.find (fun alert -> alert.Number = number)

    /// How many alerts are open: critical ones, and others.
    [<CompiledName "OpenIn">]
    let openIn (state: AlertState) : struct (int * int) =
        ((struct (0, 0)), state.Alerts.Values)
        ||> Seq.fold (fun (struct (critical, warning)) alert ->
            if not alert.Phase.IsFiring then
                struct (critical, warning)
            elif alert.Level.IsCritical then
                struct (critical + 1, warning)
            else
                struct (critical, warning + 1))

    /// What has to be written and deleted to get from one state to another: alerts that are new or changed, those that ended among them, and the numbers of
    /// those that never became open.
    [<CompiledName "Differences">]
    let differences (now: int64) (transitions: Transition[]) (before: AlertState) (after: AlertState) : struct (Alert[] * int64[]) =
        let ended =
            transitions
            |> Array.choose (function
                | Transition.Ended alert -> Some(alert.Number, alert)
                | Transition.Began _ -> None)
            |> Map.ofArray

        let known = before.Alerts.Values |> Seq.map (fun alert -> alert.Number, alert) |> Map.ofSeq

        let isNews (alert: Alert) =
            match before.Leaving.TryFind alert.Number, known.TryFind alert.Number with
            | Some one, _
            | None, Some one -> not (Object.ReferenceEquals(one, alert) || one = alert)
            | None, None -> true

        let current = Seq.append after.Alerts.Values after.Leaving.Values |> Seq.toArray
        let numbers = current |> Array.map _.Number |> Set.ofArray

        // Whatever was to be told of those that are done with was told just now.
        let doneWith (alerts: Alert seq) =
            alerts
            |> Seq.filter (fun alert -> not (numbers.Contains alert.Number))
            |> Seq.map (fun alert ->
                { alert with
                    BeginTold =
                        (if alert.BeginDue >= 0L && alert.BeginTold < 0L then
                             now
                         else
                             alert.BeginTold)
                    EndTold = (if alert.EndDue >= 0L then now else -1L)
                })

        struct ([|
                    yield! current |> Array.filter isNews
                    yield! doneWith before.Leaving.Values
                    yield! doneWith ended.Values
                |],
                [|
                    for number in known.Keys do
                        if not (numbers.Contains number || ended.ContainsKey number) then
                            number
                |])
