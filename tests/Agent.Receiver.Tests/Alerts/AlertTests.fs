/// Alerts in virtual time: when they begin and end, who is told, and in how many messages.
module Agent.Receiver.Tests.Alerts.AlertTests

open System
open System.IO
open Agent.Core
open Agent.Receiver
open Agent.Receiver.Alerts
open Agent.TestSupport
open Expecto

let private second = 1_000_000L
let private minute = 60L * second
let private start = DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero)
let private zero = RowKey.microseconds start

let private none: AlertRules =
    {
        Settings = Map.empty
        Silences = [||]
    }

let private finding rule subject value since : Finding =
    {
        Rule = rule
        Subject = subject
        Value = value
        Since = since
        Say = fun () -> struct ($"{rule} {subject}", "because")
    }

let private machine server standing findings : MachineSeen =
    {
        Server = server
        Slug = $"node-{server}"
        Name = $"node-{server}"
        Labels = [| (if server % 2 = 0 then "rack=r2" else "rack=r1") |]
        Standing = standing
        Findings = List.toArray findings
    }

let private silent server since =
    machine server Standing.Silent [ finding Rules.MachineSilent "" 1.0 since ]

let private fine server = machine server Standing.Known []

/// What is told along looks at these seconds: when, in seconds, and the notices of each message.
let private along (rules: AlertRules) (grouping: Grouping) (looks: (int * MachineSeen list) list) =
    let folder (state, told) (at, machines) =
        let now = zero + int64 at * second
        let struct (state, _) = AlertState.step now rules (List.toArray machines) state
        let struct (state, batches) = Grouping.due now grouping rules state

        state,
        told
        @ [
            for batch in batches -> at, batch.Rule, [ for struct (_, notice) in batch.Notices -> notice.Slug, notice.State.Name ]
        ]

    ((AlertState.empty, []), looks) ||> List.fold folder

let private every step until machines =
    [ for at in 0..step..until -> at, machines at ]

let private setting change : RuleSetting = { Change = change; Overrides = [||] }

let private silence: Silence =
    {
        Id = 1L
        Comment = ""
        Targets = [||]
        Rules = [||]
        From = -1L
        Until = -1L
        Weekly = ValueNone
        Author = ""
    }

let private told rules looks = along rules Grouping.usual looks |> snd

[<Tests>]
let tests =
    testList
        "Alerts"
        [
            testCase "a machine that falls silent is told of after three minutes and half a minute's wait, and once"
            <| fun () ->
                // Looked at each 5 s; silent since 0.
                Expect.equal
                    (told none (every 5 3600 (fun _ -> [ silent 1 zero ])))
                    [ 210, "machine-silent", [ "node-1", "firing" ] ]
                    "one message: 180 s of silence, 30 s of waiting"

            testCase "twelve machines behind a dead switch are one message"
            <| fun () ->
                let machines at =
                    [
                        // They fall silent within half a minute.
                        for server in 1..12 ->
                            if at >= 2 * server then
                                silent server (zero + int64 (2 * server) * second)
                            else
                                fine server
                    ]

                match told none (every 5 1800 machines) with
                | [ (_, "machine-silent", notices) ] -> Expect.equal (List.length notices) 12 "all of them"
                | other -> failtest $"one message, not {other}"

            testCase "the end is told in another message, not before five minutes, and names when it was over"
            <| fun () ->
                let looks = every 5 1200 (fun at -> [ (if at < 220 then silent 1 zero else fine 1) ])

                Expect.equal
                    (told none looks)
                    [
                        210, "machine-silent", [ "node-1", "firing" ]
                        510, "machine-silent", [ "node-1", "resolved" ]
                    ]
                    "210 + 300"

            testCase "an alert that came and went while nothing could be sent is told with its end"
            <| fun () ->
                let full = [ finding Rules.DiskFull "/" 99.0 -1L ]

                let machines at =
                    [
                        machine 1 Standing.Known full
                        (if at >= 400 && at < 405 then
                             machine 2 Standing.Known [ finding Rules.XidHardware "XID 79" 1.0 -1L ]
                         else
                             fine 2)
                        (if at >= 100 && at < 430 then
                             machine 3 Standing.Known full
                         else
                             fine 3)
                    ]

                let disk =
                    told none (every 5 2000 machines)
                    |> List.filter (fun (_, rule, _) -> rule = Rules.DiskFull)

                Expect.equal
                    disk
                    [
                        // 300 s for, 30 s wait; the second machine fires at 400, and is over at 430 + 300.
                        330, "disk-full", [ "node-1", "firing" ]
                        630, "disk-full", [ "node-3", "firing" ]
                        930, "disk-full", [ "node-3", "resolved" ]
                    ]
                    "apart by the pause"

            testCase "between the threshold and where it clears nothing changes"
            <| fun () ->
                let at percent =
                    [ machine 1 Standing.Known [ finding Rules.MemoryFull "" percent -1L ] ]

                let looks =
                    every 5 3000 (fun second ->
                        if second < 700 then at 96.0
                        elif second < 2000 then at 92.0
                        else at 89.0)

                Expect.equal
                    (told none looks)
                    [
                        630, "memory-full", [ "node-1", "firing" ]
                        // Below 90 from 2000 on, for 300 s, and the wait.
                        2330, "memory-full", [ "node-1", "resolved" ]
                    ]
                    "92 neither fires nor clears"

                Expect.equal (told none (every 5 3000 (fun _ -> at 92.0))) [] "92 does not fire"

            testCase "since a verdict says when it began, the dashboard need not have seen it for as long"
            <| fun () ->
                let since = zero - 50L * minute

                Expect.equal
                    (told none (every 5 700 (fun _ -> [ machine 1 Standing.Known [ finding Rules.HeldIdle "job" 90.0 since ] ])))
                    [ 630, "held-idle", [ "node-1", "firing" ] ]
                    "60 minutes since it began"

            testCase "a condition that began anew between two looks has not held all the time"
            <| fun () ->
                // Each time it is looked at, it says that it began a minute ago.
                let looks =
                    every 5 3600 (fun at ->
                        [
                            machine 1 Standing.Known [ finding Rules.Throttled "" 90.0 (zero + int64 (at - 60) * second) ]
                        ])

                Expect.equal (told none looks) [] "never ten minutes"

            testCase "a machine that is silent raises nothing else, and what was open stays open"
            <| fun () ->
                let machines at =
                    if at < 600 then
                        [
                            machine 1 Standing.Known [ finding Rules.GpuFault "" 95.0 -1L; finding Rules.Hang "job" 90.0 -1L ]
                        ]
                    else
                        [ silent 1 (zero + 600L * second) ]

                let state, told = along none Grouping.usual (every 5 3600 machines)

                Expect.equal
                    told
                    [
                        30, "gpu-fault", [ "node-1", "firing" ]
                        330, "hang", [ "node-1", "firing" ]
                        810, "machine-silent", [ "node-1", "firing" ]
                    ]
                    "no end of what cannot be seen"

                Expect.equal state.Alerts.Count 3 "all are open"

            testCase "a machine that is retired or removed does not shout, and what was told of it ends"
            <| fun () ->
                let after machines =
                    told none (every 5 1800 (fun at -> if at < 600 then [ silent 1 zero ] else machines))

                let expected =
                    [
                        210, "machine-silent", [ "node-1", "firing" ]
                        630, "machine-silent", [ "node-1", "resolved" ]
                    ]

                Expect.equal (after [ machine 1 Standing.Retired [] ]) expected "retired"
                Expect.equal (after []) expected "removed"

                Expect.equal
                    (told
                        none
                        (every 5 1800 (fun at ->
                            if at < 120 then
                                [ silent 1 zero ]
                            else
                                [ machine 1 Standing.Retired [] ])))
                    []
                    "retired before it was told"

            testCase "in a maintenance window nothing is told; what is still wrong after it is"
            <| fun () ->
                let rules =
                    { none with
                        Silences =
                            [|
                                { silence with
                                    Targets = [| { Terms = [| "rack=r1" |] } |]
                                    Until = zero + 3600L * second
                                }
                            |]
                    }

                let machines at =
                    [
                        silent 1 zero
                        silent 2 zero
                        // It is back before the window is over.
                        (if at < 1800 then silent 3 zero else fine 3)
                    ]

                Expect.equal
                    (told rules (every 5 7200 machines))
                    [
                        210, "machine-silent", [ "node-2", "firing" ]
                        3630, "machine-silent", [ "node-1", "firing" ]
                    ]
                    "rack r1 is quiet for an hour"

            testCase "a window opens weekly, across midnight too"
            <| fun () ->
                // 2026-11-28 is a Saturday.
                let weekly =
                    { silence with
                        Weekly =
                            ValueSome
                                {
                                    Days = [| DayOfWeek.Saturday |]
                                    At = TimeSpan.FromHours 22.0
                                    Length = TimeSpan.FromHours 4.0
                                }
                    }

                let isActive (hours: float) =
                    Silence.isActive (RowKey.microseconds (start.AddHours hours)) weekly

                Expect.equal
                    [ for hours in [ 0.0; 9.9; 10.0; 13.9; 14.0; 34.0; 178.0 ] -> isActive hours ]
                    [ false; false; true; true; false; false; true ]
                    "from 22:00 to 02:00, and a week later"

            testCase "a mute ends what is told of one alert, an acknowledgement its reminders"
            <| fun () ->
                let grouping =
                    { Grouping.usual with
                        Reminder = 60L * minute
                    }

                let looks = every 60 (5 * 3600) (fun _ -> [ silent 1 zero; silent 2 zero ])
                let first, rest = looks |> List.splitAt 10

                let go state looks =
                    ((state, []), looks)
                    ||> List.fold (fun (state, told) (at, machines) ->
                        let now = zero + int64 at * second
                        let struct (state, _) = AlertState.step now none (List.toArray machines) state
                        let struct (state, batches) = Grouping.due now grouping none state

                        state,
                        told
                        @ [
                            for batch in batches -> at, [ for struct (_, notice) in batch.Notices -> notice.Slug ]
                        ])

                let state, told = go AlertState.empty first
                Expect.equal told [ 240, [ "node-1"; "node-2" ] ] "both"

                let numberOf server =
                    state.Alerts[{
                                     Rule = Rules.MachineSilent
                                     Server = server
                                     Subject = ""
                                 }]
                        .Number

                let state = (AlertState.acknowledge (zero + 600L * second) "ann" (numberOf 1) state).Value
                let state = (AlertState.mute (zero + 2L * 3600L * second) (numberOf 2) state).Value
                Expect.equal (AlertState.mute 0L 99L state) ValueNone "there is no alert 99"
                let _, told = go state rest

                Expect.equal
                    told
                    // Muted until 7200; after that at once, since the last message is longer ago than an hour.
                    [
                        7200, [ "node-2" ]
                        10800, [ "node-2" ]
                        14400, [ "node-2" ]
                        18000, [ "node-2" ]
                    ]
                    "node-1 is acknowledged"

            testCase "a rule is set otherwise by label and by slug, and turned off"
            <| fun () ->
                let change minutes =
                    { Rules.unchanged with
                        For = ValueSome(minutes * minute)
                    }

                let rules =
                    { none with
                        Settings =
                            Map.ofList
                                [
                                    Rules.MachineSilent,
                                    {
                                        Change = change 10L
                                        Overrides =
                                            [|
                                                struct ({ Terms = [| "node-4" |] },
                                                        { Rules.unchanged with
                                                            IsEnabled = ValueSome false
                                                        })
                                                struct ({ Terms = [| "rack=r2" |] }, change 1L)
                                            |]
                                    }
                                ]
                    }

                Expect.equal
                    (told rules (every 5 3600 (fun _ -> [ for server in 1..4 -> silent server zero ])))
                    [
                        90, "machine-silent", [ "node-2", "firing" ]
                        630, "machine-silent", [ "node-1", "firing"; "node-3", "firing" ]
                    ]
                    "r2 after a minute, r1 after ten, node-4 never"

            testCase "one machine cannot open more alerts than its share"
            <| fun () ->
                let state, _ =
                    along
                        none
                        Grouping.usual
                        (every 5 600 (fun _ ->
                            [
                                machine 1 Standing.Known [ for index in 1..100 -> finding Rules.DiskFull $"/{index}" 99.0 -1L ]
                            ]))

                Expect.equal state.Alerts.Count 32 "at most"

            testCase "docs/alerts.md has all rules with their defaults"
            <| fun () ->
                let page = File.ReadAllText(Path.Combine(Fixtures.root, "docs", "alerts.md"))
                let first, last = Agent.Build.AlertDocs.marks
                let written = first + Agent.Build.AlertDocs.table + last
                Expect.stringContains page written "it is not what `dotnet fsi build.fsx -t Docs` writes"

                Expect.stringContains
                    page
                    "| `memory-full` | Memory is nearly full | 95 % used | 90 | 10 min | 5 min | warning |"
                    "a line of it"

            testCase "the rules' defaults"
            <| fun () ->
                let minutes value = float value / float minute

                let line (row: RuleRow) =
                    let rule = row.Default
                    row.Name, rule.Threshold, rule.Clear, minutes rule.For, minutes rule.ClearFor, rule.Level.Name, rule.IsEnabled

                let of' name = line (Rules.find name).Value
                Expect.equal (of' "machine-silent") ("machine-silent", 1.0, 1.0, 3.0, 1.0, "critical", true) "silent"
                Expect.equal (of' "memory-full") ("memory-full", 95.0, 90.0, 10.0, 5.0, "warning", true) "memory"
                Expect.equal (of' "certificate-ends") ("certificate-ends", 14.0, 14.0, 0.0, 0.0, "warning", true) "certificate"
                Expect.equal (of' "xid-program") ("xid-program", 1.0, 1.0, 0.0, 0.0, "warning", false) "a program's own"
                Expect.equal (of' "held-back-by-disk-read") ("held-back-by-disk-read", 50.0, 40.0, 30.0, 10.0, "warning", true) "held back"

                Expect.equal
                    (Rules.all
                     |> Array.filter (fun row -> row.Name.StartsWith("held-back-by-", StringComparison.Ordinal))
                     |> Array.map _.Name)
                    [|
                        "held-back-by-loader-cpu"
                        "held-back-by-main-thread"
                        "held-back-by-cpu-contended"
                        "held-back-by-cpu-quota"
                        "held-back-by-disk-read"
                        "held-back-by-disk-write"
                        "held-back-by-network-storage"
                        "held-back-by-network"
                        "held-back-by-memory"
                        "held-back-by-communication"
                        "held-back-by-imbalance"
                    |]
                    "one for each that holds back"
        ]

let private registration: Registration =
    {
        Id = 5
        Slug = "node-5"
        Name = "Node 5"
        Hostname = ""
        Description = ""
        IsActive = true
        CreatedAt = start.AddDays -1.0
        TokenHash = [||]
    }

let private verdict label confidence (since: DateTimeOffset) : Verdict =
    {
        Label = label
        Second = ValueNone
        Since = since
        Confidence = confidence
        Reason = "GPUs wait for reads from nvme0n1."
        Fix = ""
        Evidence = [||]
        RuledOut = [||]
    }

let private job id label : ReportedJob =
    {
        Id = id
        OwnerKind = "unit"
        OwnerValue = ""
        OwnerNamespace = ""
        OwnerName = ""
        User = "ann"
        Name = "train.py"
        Command = ""
        StartedAt = ValueNone
        BusiestThreadOf = ""
        BlockedOn = ""
        Gpus = [||]
        Figures = Schema.empty JobSchema.schema
        Verdict = verdict label 0.9 (start.AddMinutes -31.0)
    }

let private view (lastSeen: DateTimeOffset) memory judgement : ServerView =
    let machine = Schema.empty Schema.machine
    machine.Decimals[Schema.memoryPercent] <- memory

    let report: Report =
        {
            // The machine's clock is ten seconds behind.
            CollectedAt = lastSeen.AddSeconds -10.0
            Machine = machine
            Disks = [||]
            Gpus = [||]
            Fans = [||]
            Details = Details.none
        }

    {
        Registration = registration
        LastSeen = ValueSome lastSeen
        Interval = ValueSome 2.0
        Agent = ""
        Latest =
            ValueSome
                {
                    Id = 1L
                    ReceivedAt = lastSeen
                    Report = report
                    Derivation = Derivation.between ValueNone (Derivation.measure report)
                }
        Judgement = judgement
    }

let private sayings (seen: MachineSeen) =
    [
        for finding in seen.Findings ->
            let struct (what, _) = finding.Say()
            finding.Rule, finding.Subject, what
    ]

let private look now (heard: DateTimeOffset voption) fileSystems events view =
    Conditions.ofMachine now heard [||] fileSystems events view

let private heard = ValueSome(start.AddDays -1.0)

[<Tests>]
let conditions =
    testList
        "Alert conditions"
        [
            testCase "jobs' verdicts count by job, the machine's where it is no job's, each since it began by the dashboard's clock"
            <| fun () ->
                let judgement: Judgement =
                    {
                        Source = JudgementSource.Agent
                        Machine = verdict VerdictLabel.GpuFault 0.95 (start.AddMinutes -2.0)
                        Jobs =
                            [|
                                job "a" VerdictLabel.DiskRead
                                job "b" VerdictLabel.Compute
                                job "c" VerdictLabel.HeldIdle
                            |]
                    }

                let seen = look start heard [||] [||] (view start nan (ValueSome judgement))

                Expect.equal
                    (sayings seen)
                    [
                        "held-back-by-disk-read", "a", "train.py of ann on Node 5 is held back by disk-read"
                        "held-idle", "c", "train.py of ann on Node 5 holds GPUs and does not use them"
                        "gpu-fault", "", "Node 5 has a broken GPU"
                    ]
                    "three findings"

                // By the machine's clock, which is ten seconds behind, 31 minutes before noon are 31 minutes less ten seconds ago.
                Expect.equal (seen.Findings[0].Since) (zero - 31L * minute + 10L * second) "since"
                Expect.equal (seen.Findings[0].Value) 90.0 "how sure"

            testCase "memory, file systems and XID events are found"
            <| fun () ->
                let events =
                    [|
                        {
                            At = zero
                            Text = "XID 79 of GPU 3 (H100): the GPU has fallen off the bus"
                        }
                        {
                            At = zero
                            Text = "XID 31 of GPU 1: a page fault of the program's kernel"
                        }
                        { At = zero; Text = "XID 45 of GPU 1" }
                    |]

                let seen =
                    look
                        start
                        heard
                        [|
                            {
                                MountPoint = "/data"
                                Percent = 97.25
                            }
                        |]
                        events
                        (view start 96.0 ValueNone)

                Expect.equal
                    (sayings seen)
                    [
                        "xid-hardware", events[0].Text, $"Node 5 reports {events[0].Text}"
                        "xid-program", events[1].Text, $"Node 5 reports {events[1].Text}"
                        "memory-full", "", "Memory of Node 5 is 96 % full"
                        "disk-full", "/data", "/data on Node 5 is 97.2 % full"
                    ]
                    "45 only follows another event"

            testCase "a machine is silent since its last sample, and not while nothing could be heard"
            <| fun () ->
                let silentFor (seconds: float) heard =
                    look start heard [||] [||] (view (start.AddSeconds -seconds) nan ValueNone)

                Expect.equal (silentFor 20.0 heard).Standing Standing.Known "its samples come every 2 s, and half a minute is allowed"
                let seen = silentFor 60.0 heard
                Expect.equal seen.Standing Standing.Silent "a minute"
                Expect.equal seen.Findings[0].Since (zero - 60L * second) "since its last sample"
                Expect.equal (silentFor 60.0 ValueNone).Standing Standing.Unknown "nothing is stored"

                Expect.equal
                    (silentFor 3600.0 (ValueSome(start.AddSeconds -10.0))).Standing
                    Standing.Unknown
                    "the dashboard began ten seconds ago"

                Expect.equal
                    (silentFor 3600.0 (ValueSome(start.AddSeconds -40.0))).Findings[0].Since
                    (zero - 40L * second)
                    "heard of for 40 s"

                let disabled =
                    { view start nan ValueNone with
                        Registration = { registration with IsActive = false }
                    }

                Expect.equal (look start heard [||] [||] disabled).Standing Standing.Retired "its samples are refused"

            testCase "the certificate's days and the disk of the dashboard"
            <| fun () ->
                let seen = Conditions.ofDashboard start (ValueSome(start.AddDays 10.0)) (ValueSome 91.0)

                Expect.equal
                    (sayings seen)
                    [
                        "certificate-ends", "", "The dashboard's certificate ends on 2026-12-08 12:00:00 UTC"
                        "dashboard-disk-full", "", "The disk with the dashboard's database is 91 % full"
                    ]
                    "both"

                Expect.equal seen.Findings[0].Value 10.0 "days"
                Expect.isEmpty (Conditions.ofDashboard start ValueNone ValueNone).Findings "neither"

            testCase "a machine that sends what it kept during an outage speaks of the past, and one whose clock is off does not"
            <| fun () ->
                let collected (lastSeen: DateTimeOffset) (at: DateTimeOffset) (interval: float) =
                    let seen = view lastSeen 50.0 ValueNone
                    let stored = seen.Latest.Value

                    { seen with
                        Interval = ValueSome interval
                        Latest =
                            ValueSome
                                { stored with
                                    Report = { stored.Report with CollectedAt = at }
                                }
                    }

                /// A look at `start`, and one five seconds later, between which samples of so many seconds came.
                let isPast (behind: float) (advance: float) (interval: float) =
                    let before =
                        {
                            LookedAt = start
                            CollectedAt = start.AddSeconds -behind
                        }

                    let now = start.AddSeconds 5.0

                    collected now (before.CollectedAt.AddSeconds advance) interval
                    |> Conditions.isCatchingUp (ValueSome before) now

                Expect.isFalse (isPast 1.0 6.0 2.0) "samples as they are taken"
                Expect.isFalse (isPast 3600.0 4.0 2.0) "a clock an hour behind"
                Expect.isFalse (isPast 0.0 60.0 60.0) "one sample a minute"
                Expect.isTrue (isPast 3600.0 500.0 2.0) "an hour in half a minute"
                Expect.isTrue (isPast 3600.0 900.0 60.0) "a quarter of an hour, at a sample a minute"

                let isPastAtFirst behind =
                    Conditions.isCatchingUp ValueNone start (collected start (start.AddSeconds -behind) 2.0)

                Expect.isTrue (isPastAtFirst 3600.0) "old samples, and nothing to compare them with"
                Expect.isFalse (isPastAtFirst 60.0) "as new as samples are"

                let known = Conditions.ofMachine start (ValueSome start) [||] [||] [||] (view start 99.0 ValueNone)

                Expect.isNonEmpty known.Findings "full memory"
                let past = Conditions.ofPast known
                Expect.equal (past.Standing, past.Findings.Length) (Standing.Unknown, 0) "nothing begins and nothing ends"

            testCase "what an agent says of its file systems"
            <| fun () ->
                Expect.equal
                    (Conditions.fileSystemsOf
                        """{"system_info":{"partitions":[{"mountpoint":"/","percent":12.5,"device":"x"},{"mountpoint":"/data","percent":99}]}}""")
                    [|
                        { MountPoint = "/"; Percent = 12.5 }
                        { MountPoint = "/data"; Percent = 99.0 }
                    |]
                    "two"

                Expect.equal
                    (Conditions.fileSystemsOf
                        """{"system_info":{"partitions":[{"mountpoint":"/","percent":null},{},7,null,{"mountpoint":3,"percent":1},{"mountpoint":"/data","percent":99}]}}""")
                    [| { MountPoint = "/data"; Percent = 99.0 } |]
                    "what cannot be read costs itself alone"

                Expect.equal (Conditions.fileSystemsOf """{"system_info":{}}""") [||] "none"
                Expect.equal (Conditions.fileSystemsOf "") [||] "nothing"
        ]
