/// What files and requests say of rules, maintenance and routes.
module Agent.Receiver.Tests.Alerts.RuleSettingTests

open System
open System.IO
open System.Text
open System.Text.Json
open Agent.Receiver
open Agent.Receiver.Alerts
open Agent.TestSupport
open Expecto

let private read (text: string) =
    use document = JsonDocument.Parse text

    RuleSettings.ofDocument [| "ops"; "pager" |] document.RootElement
    |> Result.mapError List.ofArray

let private good text =
    match read text with
    | Ok settings -> settings
    | Error errors -> failtest (String.Join("; ", errors))

let private bytes (text: string) =
    ReadOnlyMemory(Encoding.UTF8.GetBytes text)

let private minute = 60_000_000L

[<Tests>]
let tests =
    testList
        "Alert settings"
        [
            testCase "a file with everything"
            <| fun () ->
                let settings =
                    good
                        """{ "channels": "read by others",
                             "rules": { "memory-full": { "threshold": 80, "for_minutes": 2.5, "level": "critical",
                                          "overrides": [ { "match": "rack=r1, team=vision", "enabled": false } ] } },
                             "grouping": { "wait_seconds": 5, "reminder_minutes": 60 },
                             "maintenance": [ { "comment": "patch day", "match": ["node-1", "rack=r2"], "rules": ["hang"],
                                                "weekly": { "days": ["sat", "sun"], "at": "22:30", "minutes": 240 } },
                                              { "from": "2026-11-28T12:00:00+00:00", "until": "2026-11-28T14:00:00Z" } ],
                             "routes": [ { "channel": "pager", "levels": ["critical"], "match": "rack=r1" } ] }"""

                let memory = settings.Rules["memory-full"]
                Expect.equal memory.Change.Threshold (ValueSome 80.0) "threshold"
                Expect.equal memory.Change.For (ValueSome(150_000_000L)) "2.5 minutes"
                let struct (target, change) = memory.Overrides[0]
                Expect.equal target.Terms [| "rack=r1"; "team=vision" |] "both labels"
                Expect.equal change.IsEnabled (ValueSome false) "off"

                Expect.equal
                    settings.Grouping
                    (ValueSome
                        {
                            Wait = 5_000_000L
                            Pause = 5L * minute
                            Reminder = 60L * minute
                        })
                    "grouping"

                Expect.equal settings.Silences.Length 2 "two windows"
                Expect.equal settings.Silences[0].Weekly.Value.Days [| DayOfWeek.Saturday; DayOfWeek.Sunday |] "days"
                Expect.equal settings.Silences[0].Weekly.Value.At (TimeSpan(22, 30, 0)) "half past ten"
                Expect.equal (settings.Silences[1].Until - settings.Silences[1].From) (120L * minute) "two hours"
                Expect.equal settings.Routes[0].Levels [| AlertLevel.Critical |] "levels"

                // The margin of memory-full is 5, and moves along with its threshold.
                let rule = Rules.applied (ValueSome memory) "node-9" [||] (Rules.find "memory-full").Value
                Expect.equal (rule.Threshold, rule.Clear, rule.Level) (80.0, 75.0, AlertLevel.Critical) "applied"

                let rule =
                    Rules.applied (ValueSome memory) "node-9" [| "rack=r1"; "team=vision" |] (Rules.find "memory-full").Value

                Expect.equal (rule.Threshold, rule.IsEnabled) (80.0, false) "the override leaves the threshold as it is"

            testCase "all that is wrong is told at once, each with its path"
            <| fun () ->
                match
                    read
                        """{ "rules": { "memory-ful": {}, "hang": { "for_minutes": "5", "colour": 1 }, "machine-silent": { "threshold": 3 },
                                        "disk-full": { "threshold": 90, "clear": 95, "overrides": [ { "enabled": true } ] } },
                             "grouping": [],
                             "maintenance": [ { "comment": "for ever" }, { "until": "tomorrow" }, { "weekly": { "days": ["Saturday"], "at": "25:00" } } ],
                             "routes": [ { "channel": "sms" }, { "levels": ["bad"] } ] }"""
                with
                | Ok _ -> failtest "must not be taken"
                | Error errors ->
                    let paths = errors |> List.map (fun error -> error.Substring(0, error.IndexOf ':'))

                    Expect.equal
                        paths
                        [
                            "$.rules.memory-ful"
                            "$.rules.hang.colour"
                            "$.rules.hang.for_minutes"
                            "$.rules.machine-silent.threshold"
                            "$.rules.disk-full.overrides[0].match"
                            "$.rules.disk-full.clear"
                            "$.grouping"
                            "$.maintenance[0].until"
                            "$.maintenance[1].until"
                            "$.maintenance[2].weekly.days[0]"
                            "$.maintenance[2].weekly.at"
                            "$.maintenance[2].weekly.minutes"
                            "$.routes[0].channel"
                            "$.routes[1].levels[0]"
                            "$.routes[1].channel"
                        ]
                        "every one"

                    Expect.contains errors "$.rules.hang.for_minutes: expected a number from 0 to 10080, found \"5\"" "a whole sentence"
                    Expect.contains errors "$.rules.disk-full.clear: 95 is above the threshold, 90" "which way round"

            testCase "a member that no file of alerts has is wrong, and not left out"
            <| fun () ->
                let wrong name =
                    [
                        $"$.{name}: there is no such setting; there are channels, rules, grouping, maintenance, routes"
                    ]

                Expect.equal (read """{ "maintainance": [] }""") (Error(wrong "maintainance")) "misspelt"
                Expect.equal (read """{ "Rules": {} }""") (Error(wrong "Rules")) "in capitals"

            testCase "all that is wrong with channels and rules of a file is said together, and names of channels only where they are wrong"
            <| fun () ->
                use document =
                    JsonDocument.Parse
                        """{ "channels": [ { "name": "hook", "type": "web" }, 5, { "name": 7 } ],
                             "rules": { "hang": { "threshold": "x" } }, "routes": [ { "channel": "hook" }, { "channel": "nope" } ] }"""

                match RuleSettings.ofFile document.RootElement with
                | Ok _ -> failtest "must not be taken"
                | Error errors ->
                    Expect.equal
                        (errors
                         |> Array.map (fun error -> error.Substring(0, error.IndexOf ':'))
                         |> Array.distinct)
                        [|
                            "$.channels[0].type"
                            "$.channels[1]"
                            "$.channels[2].name"
                            "$.channels[2]"
                            "$.rules.hang.threshold"
                            "$.routes[1].channel"
                        |]
                        "every one"

            testCase "the files of docs/alerts.md can be used as they are"
            <| fun () ->
                let page = File.ReadAllText(Path.Combine(Fixtures.root, "docs", "alerts.md"))

                let files =
                    page.Split("```json\n")
                    |> Array.skip 1
                    |> Array.map (fun part -> part.Substring(0, part.IndexOf "```"))
                    |> Array.filter _.Contains("\"channels\"")

                Expect.hasLength files 2 "one of rules, one of channels"

                for text in files do
                    use document = JsonDocument.Parse text

                    match RuleSettings.ofFile document.RootElement with
                    | Ok _ -> ()
                    | Error errors -> failtest (String.Join("; ", errors))

            testCase "an empty file says nothing"
            <| fun () ->
                Expect.equal (read "{}") (Ok RuleSettings.empty) "empty"
                Expect.equal (read "[]" |> Result.mapError List.length) (Error 1) "not an object"

            testCase "what the page says is written and read back"
            <| fun () ->
                let text =
                    """{"rules":{"hang":{"enabled":false,"level":"warning","threshold":70,"for_minutes":1.5,"overrides":[{"match":"rack=r1","clear_minutes":2}]}},"grouping":{"wait_seconds":1,"pause_minutes":2,"reminder_minutes":30}}"""

                match RuleSettings.ofBody (bytes text) with
                | Ok settings -> Expect.equal (RuleSettings.text settings) text "the same"
                | Error errors -> failtest (String.Join("; ", errors))

                let silence =
                    """{"comment":"new disks","match":["rack=r1"],"rules":["hang"],"from":null,"until":null,"weekly":{"days":["mon"],"at":"08:00","minutes":60}}"""

                match RuleSettings.silenceOfBody (bytes silence) with
                | Ok read -> Expect.equal (RuleSettings.silenceText read) silence "the same"
                | Error errors -> failtest (String.Join("; ", errors))

                Expect.isError (RuleSettings.ofBody (bytes """{"rules":{},"routes":[]}""")) "the page sets no routes"
                Expect.isError (RuleSettings.ofBody (bytes "{")) "no JSON"

            testCase "of each rule what the file says counts, not what the page says"
            <| fun () ->
                let file = good """{"rules":{"hang":{"for_minutes":9}}}"""

                let page =
                    match
                        RuleSettings.ofBody (
                            bytes """{"rules":{"hang":{"for_minutes":1,"level":"warning"},"held-idle":{"for_minutes":5}}}"""
                        )
                    with
                    | Ok page -> page
                    | Error _ -> failtest "is good"

                let struct (rules, grouping) = RuleSettings.merge file page [||]
                Expect.equal rules.Settings["hang"].Change.For (ValueSome(9L * minute)) "the file's"
                Expect.equal rules.Settings["hang"].Change.Level ValueNone "nothing of the page's"
                Expect.equal rules.Settings["held-idle"].Change.For (ValueSome(5L * minute)) "the page's"
                Expect.equal grouping Grouping.usual "as usual"

            testCase "a channel gets what its routes say, and all where there are none"
            <| fun () ->
                let routes =
                    (good
                        """{"routes":[{"channel":"pager","levels":["critical"],"match":"rack=r1"},{"channel":"pager","rules":["hang"]}]}""")
                        .Routes

                let alert rule level label : Alert =
                    {
                        Number = 1L
                        Cause =
                            {
                                Rule = rule
                                Server = 1
                                Subject = ""
                            }
                        Slug = "node-1"
                        Machine = "node-1"
                        Labels = [| label |]
                        Level = level
                        What = ""
                        Why = ""
                        Phase = AlertPhase.Firing
                        Since = 0L
                        FiredAt = 0L
                        ClearSince = -1L
                        EndedAt = -1L
                        BeginDue = 0L
                        BeginTold = -1L
                        EndDue = -1L
                        EndTold = -1L
                        AckBy = ""
                        AckAt = -1L
                        MutedUntil = -1L
                    }

                let gets channel alert = RuleSettings.gets routes channel alert
                Expect.isTrue (gets "ops" (alert "held-idle" AlertLevel.Warning "rack=r9")) "no route names it"
                Expect.isTrue (gets "pager" (alert "gpu-fault" AlertLevel.Critical "rack=r1")) "the first"
                Expect.isFalse (gets "pager" (alert "gpu-fault" AlertLevel.Critical "rack=r2")) "another rack"
                Expect.isFalse (gets "pager" (alert "held-idle" AlertLevel.Warning "rack=r1")) "not critical"
                Expect.isTrue (gets "pager" (alert "hang" AlertLevel.Warning "rack=r2")) "the second"
        ]
