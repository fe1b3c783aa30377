/// Laws of alerts: along any course of conditions, in virtual time.
module Agent.PropertyTests.Dashboard.AlertLaws

open System
open System.Text
open Agent.PropertyTests
open Agent.PropertyTests.Laws
open Agent.Receiver
open Agent.Receiver.Alerts
open Expecto
open FsCheck
open FsCheck.FSharp

let private second = 1_000_000L
let private start = 800_000_000L * second

/// What one machine shows: nothing to be known, retired, or the share of memory used on it and whether it is silent.
type private Shown =
    | Unknown
    | Retired
    | Silent
    | Used of percent: float

type private Look =
    {
        After: int64
        Machines: Shown[]
        IsMaintenance: bool
    }

let private rows =
    Map.ofList
        [
            "memory-full", Rules.find("memory-full").Value
            "machine-silent", Rules.find("machine-silent").Value
        ]

/// Half a minute until it fires, and 20 s until it is over, so that short courses show everything.
let private settings: Map<string, RuleSetting> =
    let setting =
        {
            Change =
                { Rules.unchanged with
                    For = ValueSome(30L * second)
                    ClearFor = ValueSome(20L * second)
                }
            Overrides = [||]
        }

    rows |> Map.map (fun _ _ -> setting)

let private maintenance: Silence =
    {
        Id = 1L
        Comment = ""
        Targets = [||]
        Rules = [||]
        From = -1L
        Until = Int64.MaxValue
        Weekly = ValueNone
        Author = ""
    }

let private rules (look: Look) : AlertRules =
    {
        Settings = settings
        Silences = if look.IsMaintenance then [| maintenance |] else [||]
    }

let private finding rule value : Finding =
    {
        Rule = rule
        Subject = ""
        Value = value
        Since = -1L
        Say = fun () -> struct ("what", "why")
    }

let private seen (look: Look) : MachineSeen[] =
    look.Machines
    |> Array.mapi (fun index shown ->
        let standing, findings =
            match shown with
            | Unknown -> Standing.Unknown, [||]
            | Retired -> Standing.Retired, [||]
            | Silent -> Standing.Silent, [| finding "machine-silent" 1.0 |]
            | Used percent -> Standing.Known, [| finding "memory-full" percent |]

        {
            Server = index + 1
            Slug = $"node-{index + 1}"
            Name = $"node-{index + 1}"
            Labels = [||]
            Standing = standing
            Findings = findings
        })

let private machines = 3

let private courseOf (shown: Gen<Shown>) (isMaintenance: Gen<bool>) : Gen<Look list> =
    Gen.listOf (
        gen {
            let! after = Gen.choose (1, 25)
            let! machines = Gen.arrayOfLength machines shown
            let! isMaintenance = isMaintenance

            return
                {
                    After = int64 after * second
                    Machines = machines
                    IsMaintenance = isMaintenance
                }
        }
    )

/// Full more often than not, so that courses get far; 92 lies between the threshold (95) and where it clears (90).
let private usage = Gen.elements [ Used 96.0; Used 96.0; Used 96.0; Used 92.0; Used 50.0; Used 50.0 ]

let private anything =
    Gen.frequency
        [
            6, usage
            2, Gen.constant Silent
            1, Gen.constant Unknown
            1, Gen.constant Retired
        ]

let private never = Gen.constant false
let private sometimes = Gen.elements [ false; false; true ]
let private anyCourse = courseOf anything sometimes

/// Each look with its instant.
let private timed (course: Look list) : (int64 * Look) list =
    (start, course)
    ||> List.mapFold (fun now look -> (now + look.After, look), now + look.After)
    |> fst

let private grouping =
    {
        Wait = 10L * second
        Pause = 60L * second
        Reminder = 0L
    }

/// The same state from what is written down of it, and what is written down then: alerts by number, as text.
let private throughStore now transitions (before: AlertState) (after: AlertState) (stored: Map<int64, string>) =
    let struct (put, deleted) = AlertJson.differences now transitions before after

    let stored =
        (stored, put)
        ||> Array.fold (fun stored alert -> stored.Add(alert.Number, AlertJson.encode alert))

    let stored = (stored, deleted) ||> Array.fold (fun stored number -> stored.Remove number)
    let all = stored.Values |> Seq.map (AlertJson.decode >> ValueOption.get) |> Array.ofSeq
    let told = after.Told |> Map.toArray |> Array.map (fun (rule, at) -> struct (rule, at))
    AlertJson.restore after.Next told all, stored

/// All that happens along a course: transitions and messages with their instants, and the state in the end.
let private run (isStored: bool) (course: Look list) =
    let folder (state: AlertState, stored, happened) (now, look) =
        let struct (stepped, transitions) = AlertState.step now (rules look) (seen look) state
        let struct (after, batches) = Grouping.due now grouping (rules look) stepped

        let after, stored =
            if isStored then
                throughStore now transitions state after stored
            else
                after, stored

        after, stored, (now, transitions, batches) :: happened

    let state, _, happened = ((AlertState.empty, Map.empty, []), timed course) ||> List.fold folder
    state, List.rev happened

let private transitionsOf happened =
    happened
    |> List.collect (fun (now, transitions: Transition[], _) -> transitions |> Array.map (fun one -> now, one) |> List.ofArray)

let private noticesOf happened : Notice list =
    happened
    |> List.collect (fun (_, _, batches: Batch[]) ->
        [
            for batch in batches do
                for struct (_, notice) in batch.Notices do
                    notice
        ])

let private isBegin =
    function
    | Transition.Began _ -> true
    | Transition.Ended _ -> false

/// What a reader of the rules expects for the memory of one machine: begins and ends, worked out from the course alone.
let private expected (machine: int) (course: Look list) : (int64 * bool) list =
    let folder (heldSince, overSince, isOpen, told) (now, look: Look) =
        let percent =
            match look.Machines[machine] with
            | Used percent -> percent
            | _ -> 0.0

        if isOpen then
            if percent < 90.0 then
                let since = if overSince < 0L then now else overSince

                if now - since >= 20L * second then
                    -1L, -1L, false, (now, false) :: told
                else
                    -1L, since, true, told
            else
                -1L, -1L, true, told
        elif percent >= 95.0 then
            let since = if heldSince < 0L then now else heldSince

            if now - since >= 30L * second then
                -1L, -1L, true, (now, true) :: told
            else
                since, -1L, false, told
        else
            -1L, -1L, false, told

    let _, _, _, told = ((-1L, -1L, false, []), timed course) ||> List.fold folder
    List.rev told

/// A course that goes on quietly until everything is over and told.
let private settled (course: Look list) =
    course
    @ List.replicate
        20
        {
            After = 25L * second
            Machines = Array.create machines (Used 10.0)
            IsMaintenance = false
        }

let tests: Test =
    testList
        "Alerts"
        [
            law
                "an alert begins when its condition has held for long enough without a break, and ends when it has been over for long enough"
                (courseOf usage never)
                (fun course ->
                    let _, happened = run false course

                    [ 0 .. machines - 1 ]
                    |> List.forall (fun machine ->
                        transitionsOf happened
                        |> List.filter (fun (_, one) -> one.Alert.Cause.Server = machine + 1)
                        |> List.map (fun (now, one) -> now, isBegin one)
                            =
                            expected machine course))

            law "of each cause one alert is open at a time, and no number is given twice" anyCourse (fun course ->
                let _, happened = run false course
                let transitions = transitionsOf happened

                let alternates =
                    transitions
                    |> List.groupBy (fun (_, one) -> one.Alert.Cause)
                    |> List.forall (fun (_, all) ->
                        all
                        |> List.mapi (fun index (_, one) -> isBegin one = (index % 2 = 0))
                        |> List.forall id)

                let begun =
                    transitions
                    |> List.filter (snd >> isBegin)
                    |> List.map (fun (_, one) -> one.Alert.Number)

                alternates && List.distinct begun = begun)

            law "whatever began ends once nothing is wrong, and nothing is left of it" anyCourse (fun course ->
                let state, happened = run false (settled course)
                let begins, ends = transitionsOf happened |> List.partition (snd >> isBegin)

                state.Alerts.IsEmpty
                && state.Leaving.IsEmpty
                && List.sort (begins |> List.map (fun (_, one) -> one.Alert.Number)) =
                    List.sort (ends |> List.map (fun (_, one) -> one.Alert.Number)))

            law "each begin and each end is told exactly once where nothing is quiet" (courseOf anything never) (fun course ->
                let _, happened = run false (settled course)

                let told =
                    noticesOf happened
                    |> List.map (fun notice -> notice.Alert, notice.State.IsFiring)
                    |> List.sort

                let came =
                    transitionsOf happened
                    |> List.map (fun (_, one) -> one.Alert.Number, isBegin one)
                    |> List.sort

                told = came)

            law
                "nothing is told twice, no end without its begin, and every begin that was told is followed by its end"
                anyCourse
                (fun course ->
                    let _, happened = run false (settled course)

                    noticesOf happened
                    |> List.groupBy _.Alert
                    |> List.forall (fun (_, notices) -> notices |> List.map _.State = [ NoticeState.Firing; NoticeState.Resolved ]))

            law "nothing is told while all is in maintenance" (courseOf anything (Gen.constant true)) (fun course ->
                let _, happened = run false course
                noticesOf happened = [])

            law "messages of one rule are as far apart as was asked for" anyCourse (fun course ->
                let _, happened = run false course

                happened
                |> List.collect (fun (now, _, batches) -> batches |> Array.map (fun batch -> batch.Rule, now) |> List.ofArray)
                |> List.groupBy fst
                |> List.forall (fun (_, sent) ->
                    sent
                    |> List.map snd
                    |> List.pairwise
                    |> List.forall (fun (one, next) -> next - one >= grouping.Pause)))

            law "a restart at any instant makes no difference" anyCourse (fun course ->
                let state, happened = run false course
                let restored, again = run true course

                state = restored
                && transitionsOf happened = transitionsOf again
                && noticesOf happened = noticesOf again)

            law "a machine that is retired has no alert" anyCourse (fun course ->
                let state, _ = run false course

                match List.tryLast course with
                | None -> true
                | Some last ->
                    state.Alerts.Keys
                    |> Seq.forall (fun cause -> last.Machines[cause.Server - 1] <> Retired))

            law "an alert is what it was once it is written and read" (Gen.zip Generators.anyText Generators.anyText) (fun (text, other) ->
                let alert =
                    {
                        Number = 7L
                        Cause =
                            {
                                Rule = "hang"
                                Server = 3
                                Subject = text
                            }
                        Slug = "node-1"
                        Machine = other
                        Labels = [| text; other |]
                        Level = AlertLevel.Warning
                        What = other
                        Why = text
                        Phase = AlertPhase.Firing
                        Since = 5L
                        FiredAt = 6L
                        ClearSince = -1L
                        EndedAt = -1L
                        BeginDue = 6L
                        BeginTold = 9L
                        EndDue = -1L
                        EndTold = -1L
                        AckBy = other
                        AckAt = 8L
                        MutedUntil = 10L
                    }

                let written = AlertJson.encode alert
                // What is no Unicode is written as what stands for it.
                written = AlertJson.encode (AlertJson.decode written).Value)

            law "whatever an agent says beside a file system, that one is found, or nothing is" JsonLaws.anyJson (fun other ->
                let agent =
                    "{\"system_info\":{\"partitions\":[{\"mountpoint\":\"/\",\"percent\":1},"
                    + Encoding.UTF8.GetString other.Content
                    + "]}}"

                match Conditions.fileSystemsOf agent with
                | [||] -> true
                | found -> found[0] = { MountPoint = "/"; Percent = 1.0 })
        ]
