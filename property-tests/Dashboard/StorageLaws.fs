/// Laws of what is told about a database, of the lock file, of backups and of sizes.
module Agent.PropertyTests.Dashboard.StorageLaws

open System
open Agent.Receiver
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private start = DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)

let private faults =
    Gen.elements
        [
            StorageFault.Full
            StorageFault.ReadOnly
            StorageFault.Busy
            StorageFault.Damaged
            StorageFault.Gone
            StorageFault.Failing
            StorageFault.Hanging
            StorageFault.Defect
        ]

/// What happens to a database: a write or a read that failed or did not.
type private Event =
    | WriteFailed of StorageFault
    | Written
    | ReadFailed of StorageFault
    | Read

let private events: Gen<Event list> =
    Gen.oneof
        [
            Gen.map WriteFailed faults
            Gen.constant Written
            Gen.map ReadFailed faults
            Gen.constant Read
        ]
    |> Gen.listOf

let private step (now: DateTimeOffset) (storage: Storage) (event: Event) : Storage =
    match event with
    | WriteFailed fault -> Storage.writeFailed now fault "words" storage
    | Written -> Storage.written storage
    | ReadFailed fault -> Storage.readFailed now fault "words" storage
    | Read -> Storage.read storage

/// The state before each event, the event, and the state after it; an event a second.
let private history (events: Event list) : (DateTimeOffset * Storage * Event * Storage) list =
    events
    |> List.indexed
    |> List.mapFold
        (fun before (second, event) ->
            let now = start.AddSeconds(float second)
            let after = step now before event
            (now, before, event, after), after)
        Storage.good
    |> fst

let private hasDamage (outage: Outage voption) =
    match outage with
    | ValueSome outage -> outage.Fault = StorageFault.Damaged
    | ValueNone -> false

let private since (outage: Outage voption) = outage |> ValueOption.map _.Since

[<Tests>]
let tests =
    testList
        "Storage laws"
        [
            law "there is a line where the state differs, and none where it does not" events (fun events ->
                history events
                |> List.forall (fun (now, before, _, after) -> Storage.lines now before after <> [] = Storage.differs before after))

            law "an outage begins with what failed first, and its beginning stays until it ends" events (fun events ->
                history events
                |> List.forall (fun (now, before, event, after) ->
                    match event, before.Writing with
                    | WriteFailed _, ValueNone -> since after.Writing = ValueSome now
                    | _, ValueSome known -> after.Writing.IsNone || since after.Writing = ValueSome known.Since
                    | _ -> after.Writing.IsNone))

            law "what was written ends an outage, but for damage, which stays" events (fun events ->
                history events
                |> List.forall (fun (_, before, event, after) ->
                    match event with
                    | Written -> after.Writing.IsNone <> hasDamage before.Writing
                    | Read -> after.Reading.IsNone <> hasDamage before.Reading
                    | _ -> true)
                && (history events
                    |> List.forall (fun (_, before, _, after) -> not (hasDamage before.Writing) || hasDamage after.Writing)))

            law "the same fault over and over is one line" (Gen.zip faults (Gen.choose (1, 50))) (fun (fault, count) ->
                history (List.replicate count (WriteFailed fault))
                |> List.sumBy (fun (now, before, _, after) -> (Storage.lines now before after).Length)
                    =
                    1)

            law "a result code of SQLite is some fault, whatever it is" (Gen.two (Gen.choose (-10, 10000))) (fun (code, extended) ->
                (Storage.faultOf code extended).Reason <> "")

            law
                "a lock file says what was written into it"
                (Gen.zip (Gen.choose (1, Int32.MaxValue)) (Gen.elements [ ""; "http://127.0.0.1:8000"; "https://[::1]:443" ]))
                (fun (pid, address) ->
                    let holder = { Pid = pid; Address = address }
                    DatabaseHolder.parse (DatabaseHolder.toText holder) = holder)

            law "any text at all in a lock file names somebody, in one line" anyText (fun text ->
                let said = DatabaseHolder.describe (DatabaseHolder.parse text)
                said <> "" && not (Seq.exists Char.IsControl said))

            law
                "of backups the newest stay, as many as were asked for, and other files always"
                (Gen.zip (Gen.choose (1, 20)) (Gen.listOf (Gen.choose (0, 100000))))
                (fun (keep, minutes) ->
                    let others =
                        [
                            "ai-dashboard.db"
                            "ai-dashboard-mine.db"
                            "ai-dashboard-20260101T000000Z.db.partial"
                            "notes"
                        ]

                    let backups =
                        minutes
                        |> List.distinct
                        |> List.map (fun minute -> Backups.nameOf (start.AddMinutes(float minute)))

                    let gone = Backups.surplus keep (others @ backups) |> List.ofArray
                    let stay = List.except gone backups

                    gone.Length = max 0 (backups.Length - keep)
                    && List.forall Backups.isBackup gone
                    && List.forall (fun old -> stay |> List.forall (fun young -> String.CompareOrdinal(old, young) < 0)) gone)

            law
                "a longer time to keep needs no less room, and so does a shorter interval"
                (Gen.zip (Gen.four (Gen.choose (1, 1000))) (Gen.two (Gen.choose (1, 600))))
                (fun ((hours, moreHours, days, moreDays), (interval, longer)) ->
                    let load seconds =
                        { Sizing.usual with
                            Interval = float seconds
                        }

                    let need hours days seconds =
                        Sizing.needed { RawHours = hours; Days = days } (load seconds)

                    need hours days interval <= need (hours + moreHours) (days + moreDays) interval
                    && need hours days (interval + longer) <= need hours days interval
                    && need hours days interval > 0L)

            law "sizes are told in three digits at most" (Gen.map abs (ArbMap.defaults |> ArbMap.generate<int64>)) (fun bytes ->
                let text = Sizing.text (max 0L bytes)
                (text.Split(' ')[0]).Replace(".", "").Length <= 3)

            law
                "retention counts from the newest sample, and never beyond the clock"
                (Gen.two (Gen.choose64 (0L, 2_000_000_000_000_000L)))
                (fun (now, newest) ->
                    let horizon = Retention.horizon now newest
                    let first = Retention.firstSample horizon 48
                    horizon <= now && horizon <= newest && (newest <= 0L || first <= newest))

            law "words that name no credential stay as they are" (Gen.arrayOf anyText) (fun words ->
                let words = words |> Array.filter (fun word -> not (word.Contains "${"))
                ServiceCredentials.expand "/run/credentials" words = words)
        ]
