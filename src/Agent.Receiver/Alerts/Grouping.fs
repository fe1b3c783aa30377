namespace Agent.Receiver.Alerts

open System
open Agent.Receiver

/// How notices are gathered into messages.
[<Struct>]
type Grouping =
    {
        /// So long a message waits for others of its rule, in microseconds.
        Wait: int64
        /// From one message of a rule to the next, in microseconds.
        Pause: int64
        /// From one message of a rule to a reminder of what is still open, in microseconds; 0 for none.
        Reminder: int64
    }

/// Some notices of one rule that make one message, with the alert that each is about.
type Batch =
    {
        /// The name of the rule.
        Rule: string
        /// Begins first, then ends; the worst first, then the oldest.
        Notices: (struct (Alert * Notice))[]
    }

/// Which messages are due.
[<RequireQualifiedAccess>]
module Grouping =
    let private second = 1_000_000L

    /// Half a minute, five minutes, and no reminders.
    let usual: Grouping =
        {
            Wait = 30L * second
            Pause = 300L * second
            Reminder = 0L
        }

    /// The page that shows an alert's moment: its machine around that time, and what was said of it then where a verdict raised the alert.
    let internal pathOf (alert: Alert) : string =
        if alert.Slug = "" then
            "/alerts"
        else
            let ms at =
                (RowKey.instant at).ToUnixTimeMilliseconds()

            let around = 15L * RowKey.MicrosecondsPerMinute

            let why =
                match Rules.find alert.Cause.Rule with
                | ValueSome row when row.Unit.IsSure -> $"&why={ms alert.Since}"
                | _ -> ""

            $"/servers/{alert.Slug}?from={ms (max 0L (alert.Since - around))}&to={ms (alert.Since + around)}{why}"

    let private notice (alert: Alert) (state: NoticeState) : Notice =
        {
            Alert = alert.Number
            Rule = alert.Cause.Rule
            Level = alert.Level
            State = state
            Slug = alert.Slug
            Machine = alert.Machine
            What = alert.What
            Why = alert.Why
            Since = alert.Since
            Until = (if state.IsResolved then alert.EndedAt else -1L)
            Path = pathOf alert
        }

    let private isBeginWaiting (alert: Alert) =
        alert.BeginDue >= 0L && alert.BeginTold < 0L

    let private isEndWaiting (alert: Alert) =
        alert.EndDue >= 0L && alert.EndTold < 0L

    let private firstDue (alert: Alert) =
        if isBeginWaiting alert then
            alert.BeginDue
        else
            alert.EndDue

    /// The worst first, then the oldest.
    let private order (alert: Alert) =
        struct ((if alert.Level.IsCritical then 0 else 1), alert.Since, alert.Number)

    let private waiting (rule: string) (alerts: Alert[]) : Batch =
        let alerts = alerts |> Array.sortBy order

        {
            Rule = rule
            Notices =
                [|
                    for alert in alerts do
                        if isBeginWaiting alert then
                            struct (alert, notice alert NoticeState.Firing)
                    for alert in alerts do
                        if isEndWaiting alert then
                            struct (alert, notice alert NoticeState.Resolved)
                |]
        }

    let private isReminded now rules (alert: Alert) =
        alert.Phase.IsFiring
        && alert.BeginTold >= 0L
        && alert.AckAt < 0L
        && not (AlertState.isQuiet now rules alert)

    /// The state once all that waits of an alert is told.
    let private told now (state: AlertState) (alert: Alert) : AlertState =
        let alert =
            { alert with
                BeginTold = (if isBeginWaiting alert then now else alert.BeginTold)
                EndTold = (if isEndWaiting alert then now else alert.EndTold)
            }

        match alert.Phase with
        | AlertPhase.Ended ->
            { state with
                Leaving = state.Leaving.Remove alert.Number
            }
        | _ ->
            { state with
                Alerts = state.Alerts.Add(alert.Cause, alert)
            }

    /// The messages that are due at an instant, and what is left to tell then.
    [<CompiledName "Due">]
    let due (now: int64) (grouping: Grouping) (rules: AlertRules) (state: AlertState) : struct (AlertState * Batch[]) =
        let all = Seq.append state.Alerts.Values state.Leaving.Values |> Seq.toArray

        let toTell = all |> Array.filter _.IsWaiting

        let isFree pause rule =
            state.Told
            |> Map.tryFind rule
            |> Option.forall (fun last -> now - last >= pause)

        let fresh =
            toTell
            |> Array.groupBy _.Cause.Rule
            |> Array.filter (fun (rule, alerts) ->
                now - (alerts |> Array.map firstDue |> Array.min) >= grouping.Wait
                && isFree grouping.Pause rule)

        let reminded =
            if grouping.Reminder <= 0L then
                [||]
            else
                all
                |> Array.filter (isReminded now rules)
                |> Array.groupBy _.Cause.Rule
                |> Array.filter (fun (rule, _) ->
                    isFree grouping.Reminder rule
                    && not (fresh |> Array.exists (fun (other, _) -> other = rule)))

        let batches =
            Array.append
                (fresh |> Array.map (fun (rule, alerts) -> waiting rule alerts))
                (reminded
                 |> Array.map (fun (rule, alerts) ->
                     {
                         Rule = rule
                         Notices =
                             alerts
                             |> Array.sortBy order
                             |> Array.map (fun alert -> struct (alert, notice alert NoticeState.Firing))
                     }))

        let after = (state, fresh |> Array.collect snd) ||> Array.fold (told now)

        struct ({ after with
                    Told =
                        (after.Told, batches)
                        ||> Array.fold (fun told batch -> told.Add(batch.Rule, now))
                },
                batches)
