namespace Agent.Receiver.Alerts

open System
open System.Collections.Generic
open Agent.Receiver

/// All alerts that are pending, open, or over and not told yet.
[<NoComparison>]
type AlertState =
    {
        /// The number of the next alert.
        Next: int64
        /// Those that are pending or open.
        Alerts: Map<Cause, Alert>
        /// Those that are over and not told yet, by number: their cause may have begun anew.
        Leaving: Map<int64, Alert>
        /// When each group was told last, by the name of its rule.
        Told: Map<string, int64>
    }

/// How alerts come and go.
[<RequireQualifiedAccess>]
module AlertState =
    /// So many alerts of one machine are pending or open at most.
    [<Literal>]
    let MostOfMachine = 32

    /// And of all together.
    [<Literal>]
    let Most = 5000

    /// A sentence has so many characters at most.
    [<Literal>]
    let LongestText = 400

    let private waver = 2_000_000L

    /// Nothing has happened so far.
    let empty: AlertState =
        {
            Next = 1L
            Alerts = Map.empty
            Leaving = Map.empty
            Told = Map.empty
        }

    let private isCovered now (rules: AlertRules) (alert: Alert) =
        rules.Silences
        |> Array.exists (Silence.covers now alert.Cause.Rule alert.Slug alert.Labels)

    /// Whether nothing is sent about it now.
    [<CompiledName "IsQuiet">]
    let isQuiet (now: int64) (rules: AlertRules) (alert: Alert) : bool =
        now < alert.MutedUntil || isCovered now rules alert

    /// What is to be sent about an open alert: its begin, once, as soon as it is not quiet.
    let private due now rules (alert: Alert) : Alert =
        match alert.Phase with
        | AlertPhase.Firing when alert.BeginTold < 0L ->
            let isQuiet = isQuiet now rules alert

            if isQuiet && alert.BeginDue >= 0L then
                { alert with BeginDue = -1L }
            elif not isQuiet && alert.BeginDue < 0L then
                { alert with BeginDue = now }
            else
                alert
        | _ -> alert

    let private fire now (finding: Finding) (level: AlertLevel) (alert: Alert) : Alert =
        let struct (what, why) = finding.Say()

        { alert with
            Phase = AlertPhase.Firing
            FiredAt = now
            Level = level
            What = Intake.cut LongestText what
            Why = Intake.cut LongestText why
        }

    /// The end of an open alert. It is sent to whoever was sent its begin, even where it is quiet now: an incident elsewhere would stay open.
    let private ended now at (alert: Alert) : Alert =
        { alert with
            Phase = AlertPhase.Ended
            EndedAt = max at alert.Since
            ClearSince = -1L
            EndDue = (if alert.BeginDue >= 0L then now else -1L)
        }

    let private started number now (machine: MachineSeen) (finding: Finding) (rule: Rule) : Alert =
        {
            Number = number
            Cause =
                {
                    Rule = finding.Rule
                    Server = machine.Server
                    Subject = finding.Subject
                }
            Slug = machine.Slug
            Machine = machine.Name
            Labels = machine.Labels
            Level = rule.Level
            What = ""
            Why = ""
            Phase = AlertPhase.Pending
            Since = (if finding.Since < 0L then now else min now finding.Since)
            FiredAt = -1L
            ClearSince = -1L
            EndedAt = -1L
            BeginDue = -1L
            BeginTold = -1L
            EndDue = -1L
            EndTold = -1L
            AckBy = ""
            AckAt = -1L
            MutedUntil = -1L
        }

    /// An alert whose condition holds: it becomes open when it has held for long enough, without a break.
    let private hold now (finding: Finding) (rule: Rule) (alert: Alert) : Alert =
        match alert.Phase with
        | AlertPhase.Pending ->
            // It may have been over between two looks. Clocks of machines waver a little.
            let alert =
                if finding.Since - alert.Since > waver then
                    { alert with
                        Since = min now finding.Since
                    }
                else
                    alert

            if now - alert.Since >= rule.For then
                fire now finding rule.Level alert
            else
                alert
        | AlertPhase.Firing when alert.ClearSince >= 0L -> { alert with ClearSince = -1L }
        | _ -> alert

    let private clear now (rule: Rule) (alert: Alert) : Alert =
        let since = if alert.ClearSince < 0L then now else alert.ClearSince

        if now - since >= rule.ClearFor then
            ended now since alert
        else
            { alert with ClearSince = since }

    /// What becomes of alerts at an instant, by what is seen then; instants never fall. What they were before, what they are now, and the transitions in between.
    [<CompiledName "Step">]
    let step (now: int64) (rules: AlertRules) (seen: MachineSeen[]) (state: AlertState) : struct (AlertState * Transition[]) =
        let transitions = ResizeArray<Transition>()
        let mutable next = state.Next
        let mutable alerts = state.Alerts
        let mutable leaving = state.Leaving
        let mutable tracked = 0
        let counts = Dictionary<int, int>()

        let countOf server =
            match counts.TryGetValue server with
            | true, count -> count
            | _ -> 0

        for KeyValue(cause, _) in state.Alerts do
            counts[cause.Server] <- countOf cause.Server + 1
            tracked <- tracked + 1

        let remove (cause: Cause) =
            alerts <- alerts.Remove cause
            tracked <- tracked - 1
            counts[cause.Server] <- countOf cause.Server - 1

        let put (before: Alert) (after: Alert) =
            let after = due now rules after

            match after.Phase with
            | AlertPhase.Ended ->
                remove after.Cause

                if after.IsWaiting then
                    leaving <- leaving.Add(after.Number, after)

                transitions.Add(Transition.Ended after)
            | phase ->
                if not (Object.ReferenceEquals(before, after)) then
                    alerts <- alerts.Add(after.Cause, after)

                if phase.IsFiring && before.Phase.IsPending then
                    transitions.Add(Transition.Began after)

        let giveUp (alert: Alert) =
            match alert.Phase with
            | AlertPhase.Firing -> put alert (ended now now alert)
            | _ -> remove alert.Cause

        let looked = HashSet<Cause>()
        let machines = Dictionary<int, MachineSeen>()

        for machine in seen do
            machines[machine.Server] <- machine

            if not (machine.Standing.IsRetired || machine.Standing.IsUnknown) then
                for finding in machine.Findings do
                    match Rules.find finding.Rule with
                    | ValueNone -> ()
                    | ValueSome row ->
                        let rule =
                            Rules.applied (rules.Settings.TryFind row.Name |> ValueOption.ofOption) machine.Slug machine.Labels row

                        let cause =
                            {
                                Rule = row.Name
                                Server = machine.Server
                                Subject = finding.Subject
                            }

                        let holds = rule.IsEnabled && Rules.holds row rule finding.Value

                        match alerts.TryFind cause with
                        | None when not holds -> ()
                        | _ when not (looked.Add cause) -> ()
                        // A server that was registered anew may have the number of one that was removed.
                        | Some alert when not rule.IsEnabled || alert.Slug <> machine.Slug -> giveUp alert
                        | None when tracked < Most && countOf machine.Server < MostOfMachine ->
                            let alert = started next now machine finding rule
                            next <- next + 1L
                            alerts <- alerts.Add(cause, alert)
                            tracked <- tracked + 1
                            counts[machine.Server] <- countOf machine.Server + 1
                            put alert (hold now finding rule alert)
                        | Some alert when holds -> put alert (hold now finding rule alert)
                        | Some alert when alert.Phase.IsPending -> remove cause
                        | Some alert when Rules.isOver row rule finding.Value -> put alert (clear now rule alert)
                        | Some alert when alert.ClearSince >= 0L -> put alert { alert with ClearSince = -1L }
                        | Some alert -> put alert alert
                        | None -> ()

        // What was not found on them.
        for KeyValue(cause, alert) in state.Alerts do
            if not (looked.Contains cause) then
                match machines.TryGetValue cause.Server with
                | true, machine when machine.Standing.IsKnown && machine.Slug = alert.Slug ->
                    match Rules.find cause.Rule, alert.Phase with
                    | ValueSome row, AlertPhase.Firing ->
                        let rule =
                            Rules.applied (rules.Settings.TryFind row.Name |> ValueOption.ofOption) machine.Slug machine.Labels row

                        if rule.IsEnabled then
                            put alert (clear now rule alert)
                        else
                            giveUp alert
                    | _ -> giveUp alert
                | true, machine when not machine.Standing.IsRetired && machine.Slug = alert.Slug ->
                    // Nothing is known of it; whether it is told may have changed.
                    put alert alert
                // Retired or removed.
                | _ -> giveUp alert

        struct ({ state with
                    Next = next
                    Alerts = alerts
                    Leaving = leaving
                },
                transitions.ToArray())

    /// The open alert of that number, changed; none for another.
    let private change (number: int64) (change: Alert -> Alert) (state: AlertState) : AlertState voption =
        state.Alerts.Values
        |> Seq.tryFind (fun alert -> alert.Number = number && alert.Phase.IsFiring)
        |> Option.map (fun alert ->
            { state with
                Alerts = state.Alerts.Add(alert.Cause, change alert)
            })
        |> ValueOption.ofOption

    /// Somebody has taken note of an open alert; none where there is none of that number.
    [<CompiledName "Acknowledge">]
    let acknowledge (now: int64) (author: string) (number: int64) (state: AlertState) : AlertState voption =
        state
        |> change number (fun alert ->
            { alert with
                AckBy = author
                AckAt = now
            })

    /// An open alert is quiet until then (-1: no longer); none where there is none of that number.
    [<CompiledName "Mute">]
    let mute (until: int64) (number: int64) (state: AlertState) : AlertState voption =
        state |> change number (fun alert -> { alert with MutedUntil = until })
