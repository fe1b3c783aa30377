namespace Agent.Receiver.Alerts

open System
open System.Collections.Generic
open System.Globalization
open System.Text.Json
open Agent.Core
open Agent.Receiver

/// Which of the notices a channel gets.
type Route =
    {
        /// The channel's name.
        Channel: string
        /// The names of the rules; none for all of them.
        Rules: string[]
        /// The machines; none for all of them and for the dashboard itself.
        Targets: Target[]
        /// The levels; none for both.
        Levels: AlertLevel[]
    }

/// What a file, or the page, says of rules.
type RuleSettings =
    {
        /// By the name of the rule.
        Rules: Map<string, RuleSetting>
        /// None where nothing is said of it.
        Grouping: Grouping voption
        /// When nobody is told.
        Silences: Silence[]
        /// Who gets what.
        Routes: Route[]
    }

/// Reading and writing what is said of rules. The keys stand in docs/alerts.md.
[<RequireQualifiedAccess>]
module RuleSettings =
    /// Nothing is said.
    let empty: RuleSettings =
        {
            Rules = Map.empty
            Grouping = ValueNone
            Silences = [||]
            Routes = [||]
        }

    /// A rule has so many overrides at most.
    [<Literal>]
    let MostOverrides = 32

    /// So many routes there are at most.
    [<Literal>]
    let MostRoutes = 64

    let private longestPause = 1440.0
    let private longestWait = 600.0
    let private mostShown = 40

    // ---- reading: each function adds what is wrong to the errors, and goes on ------------------------------------------

    let private shown (element: JsonElement) =
        Intake.cut mostShown (element.GetRawText())

    type private Reading = List<string>

    let private wrong (errors: Reading) (path: string) (expected: string) (element: JsonElement) =
        errors.Add $"{path}: expected {expected}, found {shown element}"

    let private membersOf (errors: Reading) (path: string) (known: string[]) (element: JsonElement) : JsonProperty[] =
        if element.ValueKind <> JsonValueKind.Object then
            wrong errors path "an object" element
            [||]
        else
            [|
                for one in element.EnumerateObject() do
                    if Array.contains one.Name known then
                        if one.Value.ValueKind <> JsonValueKind.Null then
                            one
                    else
                        let all = String.Join(", ", known)
                        errors.Add $"{path}.{Intake.cut mostShown one.Name}: there is no such setting; there are {all}"
            |]

    let private entriesOf (errors: Reading) (path: string) (most: int) (element: JsonElement) : (struct (string * JsonElement))[] =
        if element.ValueKind <> JsonValueKind.Array then
            wrong errors path "an array" element
            [||]
        elif element.GetArrayLength() > most then
            errors.Add $"{path}: {element.GetArrayLength()} entries; at most {most}"
            [||]
        else
            element.EnumerateArray()
            |> Seq.mapi (fun index entry -> struct ($"{path}[{index}]", entry))
            |> Seq.toArray

    let private textIn (errors: Reading) (path: string) (longest: int) (element: JsonElement) : string voption =
        match Decode.string path element with
        | Ok text when text.Length > longest ->
            errors.Add $"{path}: {text.Length} characters; at most {longest}"
            ValueNone
        | Ok text when text |> Seq.exists Char.IsControl ->
            errors.Add $"{path}: expected one line without control characters"
            ValueNone
        | Ok text -> ValueSome text
        | Error _ ->
            wrong errors path "a text" element
            ValueNone

    let private numberIn (errors: Reading) (path: string) (least: float) (most: float) (element: JsonElement) : float voption =
        match Decode.float path element with
        | Ok value when value >= least && value <= most -> ValueSome value
        | _ ->
            let figure (value: float) =
                value.ToString CultureInfo.InvariantCulture

            wrong errors path $"a number from {figure least} to {figure most}" element
            ValueNone

    let private minutesIn errors path (longest: int64) element : int64 voption =
        numberIn errors path 0.0 (float longest / float RowKey.MicrosecondsPerMinute) element
        |> ValueOption.map (fun value -> int64 (Math.Round(value * float RowKey.MicrosecondsPerMinute)))

    let private boolIn (errors: Reading) path (element: JsonElement) : bool voption =
        match element.ValueKind with
        | JsonValueKind.True -> ValueSome true
        | JsonValueKind.False -> ValueSome false
        | _ ->
            wrong errors path "true or false" element
            ValueNone

    let private levelIn (errors: Reading) path (element: JsonElement) : AlertLevel voption =
        match Decode.string path element |> Result.map AlertJson.levelOf with
        | Ok(ValueSome level) -> ValueSome level
        | _ ->
            wrong errors path "critical or warning" element
            ValueNone

    let private instantIn (errors: Reading) path (element: JsonElement) : int64 voption =
        match Decode.string path element |> Result.map Intake.instantOf with
        | Ok(ValueSome at) when at >= Intake.firstInstant -> ValueSome(RowKey.microseconds at)
        | _ ->
            wrong errors path "an instant such as 2026-02-26T02:37:49+00:00" element
            ValueNone

    /// A text or several, each a target.
    let private targetsIn (errors: Reading) path (element: JsonElement) : Target[] =
        let target path (element: JsonElement) =
            match
                Decode.string path element
                |> Result.mapError ignore
                |> Result.bind (Target.parse >> Result.mapError (fun detail -> errors.Add $"{path}: {detail}"))
            with
            | Ok target -> Some target
            | Error() ->
                if element.ValueKind <> JsonValueKind.String then
                    wrong errors path "a label such as rack=r1 or a machine's slug" element

                None

        match element.ValueKind with
        | JsonValueKind.Array ->
            entriesOf errors path Silence.MostTargets element
            |> Array.choose (fun struct (path, entry) -> target path entry)
        | _ -> target path element |> Option.toArray

    let private rulesIn (errors: Reading) path (element: JsonElement) : string[] =
        entriesOf errors path Silence.MostTargets element
        |> Array.choose (fun struct (path, entry) ->
            match Decode.string path entry with
            | Ok name when (Rules.find name).IsSome -> Some name
            | _ ->
                wrong errors path "the name of a rule" entry
                None)

    // ---- rules ----------------------------------------------------------------------------------------------------------

    let private changeKeys = [| "enabled"; "level"; "threshold"; "clear"; "for_minutes"; "clear_minutes" |]

    let private limitsOf (row: RuleRow) : struct (float * float) =
        if row.Unit.IsDaysLeft then
            struct (0.0, 366.0)
        else
            struct (0.0, 100.0)

    let private changeIn (errors: Reading) (row: RuleRow) (path: string) (members: JsonProperty[]) : RuleChange =
        let struct (least, most) = limitsOf row

        let change =
            (Rules.unchanged, members)
            ||> Array.fold (fun change one ->
                let path = $"{path}.{one.Name}"

                match one.Name with
                | "enabled" ->
                    { change with
                        IsEnabled = boolIn errors path one.Value
                    }
                | "level" ->
                    { change with
                        Level = levelIn errors path one.Value
                    }
                | "for_minutes" ->
                    { change with
                        For = minutesIn errors path Rules.longest one.Value
                    }
                | "clear_minutes" ->
                    { change with
                        ClearFor = minutesIn errors path Rules.longest one.Value
                    }
                | "threshold"
                | "clear" when row.Unit.IsNothing ->
                    errors.Add $"{path}: {row.Name} has no threshold; leave it out"
                    change
                | "threshold" ->
                    { change with
                        Threshold = numberIn errors path least most one.Value
                    }
                | "clear" ->
                    { change with
                        Clear = numberIn errors path least most one.Value
                    }
                | _ -> change)

        match change.Threshold, change.Clear with
        | ValueSome threshold, ValueSome clear when row.IsBelow && clear < threshold || not row.IsBelow && clear > threshold ->
            let side = if row.IsBelow then "below" else "above"
            errors.Add $"{path}.clear: {clear} is {side} the threshold, {threshold}"
        | _ -> ()

        change

    let private settingIn (errors: Reading) (row: RuleRow) (path: string) (element: JsonElement) : RuleSetting =
        let members = membersOf errors path (Array.append changeKeys [| "overrides" |]) element

        let overrides =
            members
            |> Array.tryFind (fun one -> one.Name = "overrides")
            |> Option.map (fun one -> entriesOf errors $"{path}.overrides" MostOverrides one.Value)
            |> Option.defaultValue [||]
            |> Array.choose (fun struct (path, entry) ->
                let members = membersOf errors path (Array.append [| "match" |] changeKeys) entry
                let change = changeIn errors row path (members |> Array.filter (fun one -> one.Name <> "match"))

                match members |> Array.tryFind (fun one -> one.Name = "match") with
                | Some one ->
                    match targetsIn errors $"{path}.match" one.Value with
                    | [| target |] -> Some(struct (target, change))
                    | [||] -> None
                    | _ ->
                        wrong errors $"{path}.match" "one text" one.Value
                        None
                | None ->
                    if entry.ValueKind = JsonValueKind.Object then
                        errors.Add $"{path}.match: is missing; name a label such as rack=r1 or a machine's slug"

                    None)

        {
            Change = changeIn errors row path (members |> Array.filter (fun one -> one.Name <> "overrides"))
            Overrides = overrides
        }

    let private rulesOf (errors: Reading) (path: string) (element: JsonElement) : Map<string, RuleSetting> =
        membersOf errors path (Rules.all |> Array.map _.Name) element
        |> Array.map (fun one -> one.Name, settingIn errors (Rules.find one.Name).Value $"{path}.{one.Name}" one.Value)
        |> Map.ofArray

    let private groupingOf (errors: Reading) (path: string) (element: JsonElement) : Grouping =
        (Grouping.usual, membersOf errors path [| "wait_seconds"; "pause_minutes"; "reminder_minutes" |] element)
        ||> Array.fold (fun grouping one ->
            let path = $"{path}.{one.Name}"

            let micro scale (value: float voption) (before: int64) =
                value
                |> ValueOption.map (fun value -> int64 (value * scale))
                |> ValueOption.defaultValue before

            match one.Name with
            | "wait_seconds" ->
                { grouping with
                    Wait = micro 1e6 (numberIn errors path 0.0 longestWait one.Value) grouping.Wait
                }
            | "pause_minutes" ->
                { grouping with
                    Pause = micro 6e7 (numberIn errors path 0.0 longestPause one.Value) grouping.Pause
                }
            | _ ->
                { grouping with
                    Reminder = micro 6e7 (numberIn errors path 0.0 (7.0 * longestPause) one.Value) grouping.Reminder
                })

    // ---- maintenance ----------------------------------------------------------------------------------------------------

    let private days = Enum.GetValues<DayOfWeek>()

    let private nameOfDay (day: DayOfWeek) =
        day.ToString().Substring(0, 3).ToLowerInvariant()

    let private weeklyOf (errors: Reading) (path: string) (element: JsonElement) : Weekly voption =
        let members = membersOf errors path [| "days"; "at"; "minutes" |] element

        let valueOf name (read: string -> JsonElement -> 'a voption) : 'a voption =
            match members |> Array.tryFind (fun one -> one.Name = name) with
            | Some one -> read $"{path}.{name}" one.Value
            | None ->
                if element.ValueKind = JsonValueKind.Object then
                    errors.Add $"{path}.{name}: is missing"

                ValueNone

        let dayIn path (entry: JsonElement) =
            match
                Decode.string path entry
                |> Result.toOption
                |> Option.bind (fun text -> days |> Array.tryFind (fun day -> nameOfDay day = text))
            with
            | Some day -> Some day
            | None ->
                wrong errors path "mon, tue, wed, thu, fri, sat or sun" entry
                None

        let onDays =
            valueOf "days" (fun path value ->
                let found =
                    entriesOf errors path 7 value
                    |> Array.choose (fun struct (path, entry) -> dayIn path entry)

                if
                    found.Length = 0
                    && value.ValueKind = JsonValueKind.Array
                    && value.GetArrayLength() = 0
                then
                    errors.Add $"{path}: expected at least one day"

                ValueSome found)

        let at =
            valueOf "at" (fun path value ->
                match Decode.string path value with
                | Ok text ->
                    match TimeSpan.TryParseExact(text, @"hh\:mm", CultureInfo.InvariantCulture) with
                    | true, at -> ValueSome at
                    | _ ->
                        wrong errors path "a time such as 22:30, UTC" value
                        ValueNone
                | Error _ ->
                    wrong errors path "a time such as 22:30, UTC" value
                    ValueNone)

        let length = valueOf "minutes" (fun path value -> numberIn errors path 1.0 10080.0 value)

        match onDays, at, length with
        | ValueSome onDays, ValueSome at, ValueSome length ->
            ValueSome
                {
                    Days = onDays
                    At = at
                    Length = TimeSpan.FromMinutes length
                }
        | _ -> ValueNone

    let private silenceKeys = [| "comment"; "match"; "rules"; "from"; "until"; "weekly" |]

    let private silenceOf (errors: Reading) (path: string) (element: JsonElement) : Silence =
        let before = errors.Count
        let members = membersOf errors path silenceKeys element

        let silence =
            ({
                Id = 0L
                Comment = ""
                Targets = [||]
                Rules = [||]
                From = -1L
                Until = -1L
                Weekly = ValueNone
                Author = ""
             },
             members)
            ||> Array.fold (fun silence one ->
                let path = $"{path}.{one.Name}"
                let orNever = ValueOption.defaultValue -1L

                match one.Name with
                | "comment" ->
                    { silence with
                        Comment =
                            textIn errors path Silence.LongestComment one.Value
                            |> ValueOption.defaultValue ""
                    }
                | "match" ->
                    { silence with
                        Targets = targetsIn errors path one.Value
                    }
                | "rules" ->
                    { silence with
                        Rules = rulesIn errors path one.Value
                    }
                | "from" ->
                    { silence with
                        From = orNever (instantIn errors path one.Value)
                    }
                | "until" ->
                    { silence with
                        Until = orNever (instantIn errors path one.Value)
                    }
                | _ ->
                    { silence with
                        Weekly = weeklyOf errors path one.Value
                    })

        if errors.Count = before then
            if silence.Until < 0L && silence.Weekly.IsNone then
                errors.Add $"{path}.until: is missing; say when it is over, or on which days it is open (weekly)"
            elif silence.Until >= 0L && silence.Until <= silence.From then
                errors.Add $"{path}.until: is not after from"

        silence

    // ---- routes ---------------------------------------------------------------------------------------------------------

    let private routeOf (errors: Reading) (channels: string[]) (path: string) (element: JsonElement) : Route =
        let members = membersOf errors path [| "channel"; "rules"; "match"; "levels" |] element

        let route =
            ({
                Channel = ""
                Rules = [||]
                Targets = [||]
                Levels = [||]
             },
             members)
            ||> Array.fold (fun route one ->
                let path = $"{path}.{one.Name}"

                match one.Name with
                | "channel" ->
                    match Decode.string path one.Value with
                    | Ok name when Array.contains name channels -> { route with Channel = name }
                    | _ ->
                        wrong errors path "the name of a channel" one.Value
                        { route with Channel = "?" }
                | "rules" ->
                    { route with
                        Rules = rulesIn errors path one.Value
                    }
                | "match" ->
                    { route with
                        Targets = targetsIn errors path one.Value
                    }
                | _ ->
                    { route with
                        Levels =
                            entriesOf errors path 2 one.Value
                            |> Array.choose (fun struct (path, entry) -> levelIn errors path entry |> ValueOption.toOption)
                    })

        if route.Channel = "" && element.ValueKind = JsonValueKind.Object then
            errors.Add $"{path}.channel: is missing"

        route

    let private read (errors: Reading) (channels: string[]) (root: JsonElement) : RuleSettings =
        let part name (reader: string -> JsonElement -> 'a) (otherwise: 'a) : 'a =
            match root.TryGetProperty(name: string) with
            | true, value when value.ValueKind <> JsonValueKind.Null -> reader $"$.{name}" value
            | _ -> otherwise

        let listOf most (reader: string -> JsonElement -> 'a) path value =
            entriesOf errors path most value
            |> Array.map (fun struct (path, entry) -> reader path entry)

        if root.ValueKind <> JsonValueKind.Object then
            wrong errors "$" "an object" root
            empty
        else
            {
                Rules = part "rules" (rulesOf errors) Map.empty
                Grouping = part "grouping" (fun path value -> ValueSome(groupingOf errors path value)) ValueNone
                Silences = part "maintenance" (listOf Silence.Most (silenceOf errors)) [||]
                Routes = part "routes" (listOf MostRoutes (routeOf errors channels)) [||]
            }

    let private resultOf (work: Reading -> 'a) : Result<'a, string[]> =
        let errors = Reading()
        let value = work errors

        if errors.Count = 0 then
            Ok value
        else
            Error(errors.ToArray())

    /// The members `rules`, `grouping`, `maintenance` and `routes` of a file of alerts, whose channels have these names; or all that is wrong with
    /// them, a sentence each that begins with the path of what is wrong: `$.rules.hang.for_minutes: expected …`. `ChannelFile` reads `channels`; a
    /// member with another name is most likely a misspelt one, and is wrong too.
    [<CompiledName "Read">]
    let ofDocument (channels: string[]) (root: JsonElement) : Result<RuleSettings, string[]> =
        resultOf (fun errors ->
            if root.ValueKind = JsonValueKind.Object then
                membersOf errors "$" [| "channels"; "rules"; "grouping"; "maintenance"; "routes" |] root
                |> ignore

            read errors channels root)

    /// The names of channels, also of those with which something else is wrong.
    let private channelNames (root: JsonElement) : string[] =
        match root.TryGetProperty "channels" with
        | true, entries when entries.ValueKind = JsonValueKind.Array ->
            entries.EnumerateArray()
            |> Seq.choose (fun entry ->
                if entry.ValueKind = JsonValueKind.Object then
                    match entry.TryGetProperty "name" with
                    | true, name -> Decode.string "name" name |> Result.toOption
                    | _ -> None
                else
                    None)
            |> Seq.toArray
        | _ -> [||]

    /// A whole file of alerts: its channels and what it says of rules; or all that is wrong with both, as `ChannelFile.read` and `ofDocument` say it.
    [<CompiledName "OfFile">]
    let ofFile (root: JsonElement) : Result<struct (ChannelSettings[] * RuleSettings), string[]> =
        match ChannelFile.read root, ofDocument (channelNames root) root with
        | Ok channels, Ok rules -> Ok(struct (channels, rules))
        | channels, rules ->
            let errorsOf result =
                match result with
                | Ok _ -> [||]
                | Error errors -> errors

            Error(Array.append (errorsOf channels) (errorsOf rules))

    let private parse (body: ReadOnlyMemory<byte>) (work: Reading -> JsonElement -> 'a) : Result<'a, string[]> =
        try
            use document = JsonDocument.Parse body
            resultOf (fun errors -> work errors document.RootElement)
        with
        | :? JsonException as error -> Error [| $"not JSON: {error.Message}" |]
        | :? InvalidOperationException as error -> Error [| $"not JSON: {error.Message}" |]

    /// The body of PUT /api/alerts/rules/: `{"rules": …, "grouping": …}`, of which either may be missing.
    [<CompiledName "OfBody">]
    let ofBody (body: ReadOnlyMemory<byte>) : Result<RuleSettings, string[]> =
        parse body (fun errors root ->
            if root.ValueKind = JsonValueKind.Object then
                membersOf errors "$" [| "rules"; "grouping" |] root |> ignore

            read errors [||] root)

    /// The body of POST /api/alerts/silences/.
    [<CompiledName "SilenceOfBody">]
    let silenceOfBody (body: ReadOnlyMemory<byte>) : Result<Silence, string[]> =
        parse body (fun errors root -> silenceOf errors "$" root)

    // ---- writing --------------------------------------------------------------------------------------------------------

    let private minutes (value: int64) : JsonValue =
        Encode.float (Math.Round(float value / float RowKey.MicrosecondsPerMinute, 6))

    let private changeMembers (change: RuleChange) : (string * JsonValue)[] =
        let one name encode value =
            match value with
            | ValueSome value -> [| name, encode value |]
            | ValueNone -> [||]

        Array.concat
            [
                one "enabled" Encode.bool change.IsEnabled
                one "level" (fun (level: AlertLevel) -> Encode.string level.Name) change.Level
                one "threshold" Encode.float change.Threshold
                one "clear" Encode.float change.Clear
                one "for_minutes" minutes change.For
                one "clear_minutes" minutes change.ClearFor
            ]

    /// What is changed of a rule.
    let internal setting (setting: RuleSetting) : JsonValue =
        Encode.object
            [|
                yield! changeMembers setting.Change
                if setting.Overrides.Length > 0 then
                    "overrides",
                    setting.Overrides
                    |> Encode.arrayOf (fun struct (target, change) ->
                        Encode.object [| "match", Encode.string target.Text; yield! changeMembers change |])
            |]

    /// A rule as it is.
    let internal ruleMembers (row: RuleRow) (rule: Rule) : (string * JsonValue)[] =
        [|
            "enabled", Encode.bool rule.IsEnabled
            "level", Encode.string rule.Level.Name
            "threshold",
            (if row.Unit.IsNothing then
                 Encode.nil
             else
                 Encode.float rule.Threshold)
            "clear",
            (if row.Unit.IsNothing then
                 Encode.nil
             else
                 Encode.float rule.Clear)
            "for_minutes", minutes rule.For
            "clear_minutes", minutes rule.ClearFor
        |]

    let internal grouping (grouping: Grouping) : JsonValue =
        Encode.object
            [|
                "wait_seconds", Encode.float (float grouping.Wait / 1e6)
                "pause_minutes", minutes grouping.Pause
                "reminder_minutes", minutes grouping.Reminder
            |]

    /// What was said of rules as the database keeps it; `ofBody` reads it.
    [<CompiledName "Text">]
    let text (settings: RuleSettings) : string =
        Encode.object
            [|
                "rules", Encode.object (settings.Rules |> Map.toSeq |> Seq.map (fun (name, one) -> name, setting one))
                match settings.Grouping with
                | ValueSome one -> "grouping", grouping one
                | ValueNone -> ()
            |]
        |> Encode.toString 0

    let private instant (at: int64) : JsonValue =
        if at < 0L then
            Encode.nil
        else
            Encode.string (Wire.instant (RowKey.instant at))

    /// The members of a silence as it is written in a file and sent.
    let internal silenceMembers (silence: Silence) : (string * JsonValue)[] =
        [|
            "comment", Encode.string silence.Comment
            "match", Encode.arrayOf (fun (target: Target) -> Encode.string target.Text) silence.Targets
            "rules", Encode.arrayOf Encode.string silence.Rules
            "from", instant silence.From
            "until", instant silence.Until
            "weekly",
            silence.Weekly
            |> Encode.voption (fun weekly ->
                Encode.object
                    [|
                        "days", Encode.arrayOf (nameOfDay >> Encode.string) weekly.Days
                        "at", Encode.string (weekly.At.ToString(@"hh\:mm", CultureInfo.InvariantCulture))
                        "minutes", Encode.float weekly.Length.TotalMinutes
                    |])
        |]

    /// A silence as the database keeps it; `silenceOfBody` reads it.
    [<CompiledName "SilenceText">]
    let silenceText (silence: Silence) : string =
        Encode.object (silenceMembers silence) |> Encode.toString 0

    // ---- the two together -----------------------------------------------------------------------------------------------

    /// What holds where a file says one thing and the page another: of each rule, and of grouping, what the file says.
    [<CompiledName "Merge">]
    let merge (file: RuleSettings) (page: RuleSettings) (silences: Silence[]) : struct (AlertRules * Grouping) =
        struct ({
                    Settings =
                        (page.Rules, file.Rules)
                        ||> Map.fold (fun all name setting -> all.Add(name, setting))
                    Silences = Array.append file.Silences silences
                },
                file.Grouping
                |> ValueOption.orElse page.Grouping
                |> ValueOption.defaultValue Grouping.usual)

    /// Whether a channel gets the notices of an alert. One that no route names gets all of them.
    [<CompiledName "Gets">]
    let gets (routes: Route[]) (channel: string) (alert: Alert) : bool =
        match routes |> Array.filter (fun route -> route.Channel = channel) with
        | [||] -> true
        | own ->
            own
            |> Array.exists (fun route ->
                (route.Rules.Length = 0 || Array.contains alert.Cause.Rule route.Rules)
                && Target.fitsAny alert.Slug alert.Labels route.Targets
                && (route.Levels.Length = 0 || Array.contains alert.Level route.Levels))
