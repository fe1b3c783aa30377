namespace Agent.Receiver.Alerts

open System
open Agent.Core
open Agent.Receiver

/// What somebody wants of an alert: to be left alone until then.
[<RequireQualifiedAccess>]
type MuteRequest =
    /// Until that instant, in microseconds from 2000-01-01.
    | Until of at: int64
    /// No longer.
    | Unmute

/// How a channel is doing.
type ChannelLine =
    {
        /// What rules call it.
        Name: string
        /// As in the file of alerts.
        Type: string
        /// Where it leads, without secrets.
        Destination: string
        /// Messages that wait.
        Waiting: int
        /// Messages that were taken.
        Delivered: int64
        /// Messages that the other side will never take.
        Refused: int64
        /// Messages that were given up.
        Dropped: int64
        /// When the last attempt ended, in microseconds from 2000-01-01; 0 for never.
        LastAt: int64
        /// Whether that one was taken.
        WasGood: bool
        /// What the other side said, or what went wrong.
        LastResult: string
    }

/// The JSON of alerts, and what is asked of them. The keys stand in docs/dashboard-api.md.
[<RequireQualifiedAccess>]
module AlertResponses =
    /// An answer has so many alerts at most, open ones first.
    [<Literal>]
    let MostAlerts = 1000

    /// A request has so many bytes at most.
    [<Literal>]
    let LongestBody = 65536

    /// A mute lasts so long at most, in microseconds: 90 days.
    let longestMute: int64 = 90L * 1440L * RowKey.MicrosecondsPerMinute

    let private instantOrNull (at: int64) : JsonValue =
        if at < 0L then
            Encode.nil
        else
            Encode.string (Wire.instant (RowKey.instant at))

    let private badQuery detail =
        Error
            {
                Error = "The query cannot be read."
                Detail = detail
            }

    let private badBody detail =
        Error
            {
                Error = "The request cannot be read."
                Detail = detail
            }

    /// Whether those that are over are asked for as well: `state=open`, the default, or `state=all`.
    [<CompiledName "WantsAll">]
    let wantsAll (text: string) : Result<bool, Refusal> =
        match text with
        | ""
        | "open" -> Ok false
        | "all" -> Ok true
        | other -> badQuery $"state: expected open or all, found \"{Intake.cut 40 other}\""

    /// How many alerts are asked for at most: `limit=`.
    [<CompiledName "Limit">]
    let limit (text: string) : Result<int, Refusal> =
        match text, Int32.TryParse(text, Globalization.NumberStyles.None, Globalization.CultureInfo.InvariantCulture) with
        | "", _ -> Ok MostAlerts
        | _, (true, value) when value <= MostAlerts -> Ok value
        | _ -> badQuery $"limit: expected a whole number from 0 to {MostAlerts}, found \"{Intake.cut 40 text}\""

    /// What `{"until": …}` or `{"minutes": …}` asks for; `{"until": null}` is no longer.
    [<CompiledName "MuteOf">]
    let muteOf (now: int64) (body: ReadOnlyMemory<byte>) : Result<MuteRequest, Refusal> =
        let decoder =
            Decode.object (fun get -> struct (get.Optional.Field "until" Decode.string, get.Optional.Field "minutes" Decode.float))

        let until (at: int64) =
            if at > now && at <= now + longestMute then
                Ok(MuteRequest.Until at)
            else
                badBody "until: expected an instant in the next 90 days"

        match Decode.fromBytes decoder body with
        | Error error -> badBody (Decode.errorToString error)
        | Ok(struct (Some _, Some _)) -> badBody "until and minutes: give one of them"
        | Ok(struct (Some text, None)) ->
            match Intake.instantOf text with
            | ValueSome at when at >= Intake.firstInstant -> until (RowKey.microseconds at)
            | _ -> badBody $"until: expected an instant such as 2026-02-26T02:37:49+00:00, found \"{Intake.cut 40 text}\""
        | Ok(struct (None, Some minutes)) when minutes > 0.0 && minutes <= float longestMute / 6e7 -> until (now + int64 (minutes * 6e7))
        | Ok(struct (None, Some _)) -> badBody "minutes: expected a number above 0, up to 129600"
        | Ok(struct (None, None)) -> Ok MuteRequest.Unmute

    let private isSilenced now (rules: AlertRules) (alert: Alert) =
        rules.Silences
        |> Array.exists (Silence.covers now alert.Cause.Rule alert.Slug alert.Labels)

    let private titleOf (alert: Alert) =
        Rules.find alert.Cause.Rule
        |> ValueOption.map _.Title
        |> ValueOption.defaultValue alert.Cause.Rule

    let private alert now (rules: AlertRules) (alert: Alert) : JsonValue =
        Encode.object
            [|
                "id", Encode.int64 alert.Number
                "rule", Encode.string alert.Cause.Rule
                "title", Encode.string (titleOf alert)
                "level", Encode.string alert.Level.Name
                "state", Encode.string alert.Phase.Name
                "server", JudgementJson.textOrNull alert.Slug
                "machine", JudgementJson.textOrNull alert.Machine
                "subject", JudgementJson.textOrNull alert.Cause.Subject
                "what", Encode.string alert.What
                "why", JudgementJson.textOrNull alert.Why
                "since", instantOrNull alert.Since
                "fired_at", instantOrNull alert.FiredAt
                "ended_at", instantOrNull alert.EndedAt
                "acknowledged",
                (if alert.AckAt < 0L then
                     Encode.nil
                 else
                     Encode.object [| "by", Encode.string alert.AckBy; "at", instantOrNull alert.AckAt |])
                "muted_until",
                (if alert.MutedUntil > now then
                     instantOrNull alert.MutedUntil
                 else
                     Encode.nil)
                "in_maintenance", Encode.bool (alert.Phase.IsFiring && isSilenced now rules alert)
                "path", Encode.string (Grouping.pathOf alert)
            |]

    /// The worst first, then the newest; those that are over after those that are open, the last one first.
    let private order (alert: Alert) =
        if alert.Phase.IsFiring then
            struct ((if alert.Level.IsCritical then 0 else 1), -alert.FiredAt, alert.Number)
        else
            struct (2, -alert.EndedAt, alert.Number)

    /// GET /api/alerts/: how many are open, and these.
    [<CompiledName "Alerts">]
    let alerts (now: int64) (rules: AlertRules) (critical: int) (warning: int) (limit: int) (found: Alert[]) : byte[] =
        Responses.bytes (
            Encode.object
                [|
                    "open", Encode.object [| "critical", Encode.int critical; "warning", Encode.int warning |]
                    "left_out", Encode.int (max 0 (found.Length - limit))
                    "alerts",
                    found
                    |> Array.sortBy order
                    |> Array.truncate limit
                    |> Encode.arrayOf (alert now rules)
                |]
        )

    /// POST /api/alerts/ID/ack/ and mute/: the alert as it is then.
    [<CompiledName "Changed">]
    let changed (now: int64) (rules: AlertRules) (changed: Alert) : byte[] =
        Responses.bytes (Encode.object [| "ok", Encode.bool true; "alert", alert now rules changed |])

    let private rule (file: RuleSettings) (page: RuleSettings) (row: RuleRow) : JsonValue =
        let inFile = file.Rules.TryFind row.Name
        let chosen = inFile |> Option.orElse (page.Rules.TryFind row.Name)

        // That of all machines: no target without terms is ever read.
        let general =
            Rules.applied
                (chosen
                 |> Option.map (fun chosen -> { chosen with Overrides = [||] })
                 |> ValueOption.ofOption)
                ""
                [||]
                row

        Encode.object
            [|
                "name", Encode.string row.Name
                "title", Encode.string row.Title
                "unit", Encode.string row.Unit.Name
                "set_by",
                Encode.string (
                    if inFile.IsSome then "file"
                    elif chosen.IsSome then "page"
                    else "default"
                )
                yield! RuleSettings.ruleMembers row general
                "default", Encode.object (RuleSettings.ruleMembers row row.Default)
                "change",
                chosen
                |> Option.map RuleSettings.setting
                |> Option.defaultValue (Encode.object [||])
            |]

    /// GET /api/alerts/rules/: each rule as it is, by default, and what was said of it.
    [<CompiledName "Rules">]
    let rules (file: RuleSettings) (page: RuleSettings) (grouping: Grouping) (state: StateReport voption) : byte[] =
        Responses.bytes (
            Encode.object
                [|
                    "grouping", RuleSettings.grouping grouping
                    "grouping_set_by",
                    Encode.string (
                        if file.Grouping.IsSome then "file"
                        elif page.Grouping.IsSome then "page"
                        else "default"
                    )
                    "rules", Rules.all |> Encode.arrayOf (rule file page)
                    match state with
                    | ValueSome state -> "evaluated_by", Encode.string state.Holder
                    | ValueNone -> ()
                |]
        )

    let private silenceOf now (silence: Silence) : JsonValue =
        Encode.object
            [|
                "id",
                (if silence.Id = 0L then
                     Encode.nil
                 else
                     Encode.int64 silence.Id)
                yield! RuleSettings.silenceMembers silence
                "author", JudgementJson.textOrNull silence.Author
                "set_by", Encode.string (if silence.Id = 0L then "file" else "page")
                "active", Encode.bool (Silence.isActive now silence)
            |]

    /// GET /api/alerts/silences/: those that are not over for good.
    [<CompiledName "Silences">]
    let silences (now: int64) (found: Silence[]) : byte[] =
        Responses.bytes (
            Encode.object
                [|
                    "silences",
                    found
                    |> Array.filter (Silence.isPast now >> not)
                    |> Encode.arrayOf (silenceOf now)
                |]
        )

    /// POST /api/alerts/silences/: the one that was added.
    [<CompiledName "SilenceAdded">]
    let silenceAdded (now: int64) (added: Silence) : byte[] =
        Responses.bytes (Encode.object [| "ok", Encode.bool true; "silence", silenceOf now added |])

    /// What is wrong with a body, all of it.
    [<CompiledName "Unreadable">]
    let unreadable (errors: string[]) : Refusal =
        {
            Error = "The request cannot be read."
            Detail = String.Join("; ", errors)
        }

    /// The rules of a body that the file sets, so that nobody else can; empty where there are none.
    [<CompiledName "FixedRules">]
    let fixedRules (file: RuleSettings) (body: RuleSettings) : string =
        [
            for name in body.Rules.Keys do
                if file.Rules.ContainsKey name then
                    name
            if body.Grouping.IsSome && file.Grouping.IsSome then
                "grouping"
        ]
        |> String.concat ", "

    let private route (route: Route) : JsonValue =
        Encode.object
            [|
                "rules", Encode.arrayOf Encode.string route.Rules
                "match", Encode.arrayOf (fun (target: Target) -> Encode.string target.Text) route.Targets
                "levels", Encode.arrayOf (fun (level: AlertLevel) -> Encode.string level.Name) route.Levels
            |]

    let private channel (routes: Route[]) (line: ChannelLine) : JsonValue =
        Encode.object
            [|
                "name", Encode.string line.Name
                "type", Encode.string line.Type
                "destination", JudgementJson.textOrNull line.Destination
                "routes",
                routes
                |> Array.filter (fun one -> one.Channel = line.Name)
                |> Encode.arrayOf route
                "waiting", Encode.int line.Waiting
                "delivered", Encode.int64 line.Delivered
                "refused", Encode.int64 line.Refused
                "dropped", Encode.int64 line.Dropped
                "last",
                (if line.LastAt <= 0L then
                     Encode.nil
                 else
                     Encode.object
                         [|
                             "at", instantOrNull line.LastAt
                             "good", Encode.bool line.WasGood
                             "result", Encode.string line.LastResult
                         |])
            |]

    /// GET /api/alerts/channels/
    [<CompiledName "Channels">]
    let channels (routes: Route[]) (lines: ChannelLine[]) : byte[] =
        Responses.bytes (Encode.object [| "channels", Encode.arrayOf (channel routes) lines |])

    /// Done.
    [<CompiledName "Done">]
    let doneWith () : byte[] =
        Responses.bytes (Encode.object [| "ok", Encode.bool true |])
