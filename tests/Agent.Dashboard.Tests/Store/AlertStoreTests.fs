/// From a machine that falls silent to the message that waits to be delivered, over a real database, with a clock that is put forward.
module Agent.Dashboard.Tests.AlertStoreTests

open System
open System.Text.Json
open Agent.Receiver
open Agent.Receiver.Alerts
open Agent.Dashboard.Alerting
open Agent.Dashboard.Store
open Agent.Dashboard.Tests.StoreTests
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Waiting
open Expecto

/// A store with all that looks at it, and one channel.
type private Desk(path: string, clock: SetClock, file: RuleSettings) =
    let store = new Store(path, clock)
    let histories = new Histories(path, 48, store.Writer.Storage, clock)
    let book = AlertBook(store.Writer, file, [| "ops"; "pager" |], clock)
    let complaints = ResizeArray<string>()

    let watch = new Watch(book, store.Writer, histories, null, path, clock, Action<string> complaints.Add)

    member _.Store = store
    member _.Book = book

    /// Looks each five seconds between two instants, in seconds from noon, the last one included.
    member _.Look(from: int, until: int) : unit =
        for second in from..5..until do
            clock.Now <- noon.AddSeconds(float second)
            watch.Look().Wait()

    /// A sample at this second.
    member _.Post(second: int) : unit =
        clock.Now <- noon.AddSeconds(float second)
        store.Stored(clock.Now, 10.0, int64 second)

    interface IDisposable with
        member _.Dispose() =
            (watch :> IDisposable).Dispose()
            (histories :> IDisposable).Dispose()
            (store :> IDisposable).Dispose()

/// What waits for a channel: rule, state, machine and what is said, in order.
let private waiting (path: string) (channel: string) =
    use connection = Database.OpenForReading path
    use rows = new Statement(connection, "SELECT notices FROM outbox WHERE channel = ?1 ORDER BY id")
    rows.Bind(1, channel) |> ignore

    [
        while rows.Step() do
            use document = JsonDocument.Parse(rows.Text 0)
            let text (name: string) (notice: JsonElement) = notice.GetProperty(name).GetString()

            yield
                [
                    for notice in document.RootElement.EnumerateArray() -> text "rule" notice, text "state" notice, text "slug" notice
                ]
    ]

let private events (path: string) =
    use connection = Database.OpenForReading path
    use rows = new Statement(connection, "SELECT at, text FROM event WHERE kind = 'alert' ORDER BY id")

    [
        while rows.Step() do
            yield (RowKey.instant (rows.Integer 0) - noon).TotalSeconds, rows.Text 1
    ]

let private fileOf (text: string) : RuleSettings =
    use document = JsonDocument.Parse text

    match RuleSettings.ofDocument [| "ops"; "pager" |] document.RootElement with
    | Ok file -> file
    | Error errors -> failtest $"%A{errors}"

[<Tests>]
let tests =
    testList
        "Alert store"
        [
            testCase "a machine falls silent, one message waits; it comes back, and another says so; restarts make no difference"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                let clock = SetClock noon
                let routes = fileOf """{"routes":[{"channel":"pager","rules":["gpu-fault"]}]}"""

                do
                    use desk = new Desk(path, clock, routes)
                    desk.Post 0
                    desk.Look(0, 200)
                    // It fired at 180, and waits for others until 210.
                    Expect.equal (waiting path "ops") [] "not yet"
                    Expect.equal (events path) [ 180.0, "gpu-1 sends nothing" ] "an event"

                do
                    use desk = new Desk(path, clock, routes)
                    desk.Look(205, 205)
                    Expect.equal (waiting path "ops") [] "not yet"
                    desk.Look(210, 300)
                    Expect.equal (waiting path "ops") [ [ "machine-silent", "firing", "gpu-1" ] ] "told once"
                    Expect.equal (desk.Book.Now.Critical, desk.Book.Now.Warning) (1, 0) "one is open"

                use desk = new Desk(path, clock, routes)
                // A restart while it is open, and nothing is told again.
                desk.Look(305, 395)

                for second in 400..20..520 do
                    desk.Post second
                    desk.Look(second, second + 15)

                Expect.equal
                    (waiting path "ops" |> List.concat)
                    [ "machine-silent", "firing", "gpu-1"; "machine-silent", "resolved", "gpu-1" ]
                    "and its end"

                Expect.equal (waiting path "pager") [] "no route leads there"
                Expect.equal (events path |> List.last) (400.0, "Over: gpu-1 sends nothing") "since it was back"
                Expect.equal (desk.Book.Now.Critical) 0 "none is open"
                Expect.equal (desk.Store.Ask "SELECT count(*) FROM alert WHERE phase = 'ended' AND NOT is_waiting") 1L "it is history"

            testCase "what cannot be written has not happened"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                use desk = new Desk(path, SetClock noon, RuleSettings.empty)
                desk.Post 0
                desk.Look(0, 175)

                // The transaction in which it would fire cannot be committed.
                use other = opened path (SetClock noon)
                Database.Execute(other, "CREATE TRIGGER no BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'no'); END")
                desk.Look(180, 230)
                Expect.equal (waiting path "ops") [] "nothing was told"
                Expect.equal (desk.Store.Ask "SELECT count(*) FROM alert WHERE phase = 'firing'") 0L "nothing is open"
                Database.Execute(other, "DROP TRIGGER no")

                // While nothing is stored, nobody is silent.
                eventually patience "samples are stored again" (fun () -> desk.Store.Writer.Storage.State.Writing.IsNone)
                desk.Look(235, 700)
                Expect.equal (waiting path "ops") [ [ "machine-silent", "firing", "gpu-1" ] ] "told once, and late"
                Expect.equal (List.length (events path)) 1 "one event"

            testCase "an XID event that was noted raises an alert by its class, for ten minutes"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                use desk = new Desk(path, SetClock noon, RuleSettings.empty)
                desk.Post 0

                let note text =
                    desk.Store.Writer
                        .Note(
                            1,
                            {
                                At = RowKey.microseconds noon
                                Kind = EventKind.Xid
                                Text = text
                            },
                            ""
                        )
                        .Wait()

                note "XID 79 of GPU 3: the GPU has fallen off the bus"
                note "XID 31 of GPU 1: a page fault of the program's kernel"

                for second in 5..20..665 do
                    desk.Post second
                    desk.Look(second, second + 15)

                Expect.equal
                    (waiting path "ops" |> List.concat)
                    [ "xid-hardware", "firing", "gpu-1"; "xid-hardware", "resolved", "gpu-1" ]
                    "a program's own error is turned off by default"

                Expect.equal
                    (events path)
                    [
                        5.0, "gpu-1 reports XID 79 of GPU 3: the GPU has fallen off the bus"
                        605.0, "Over: gpu-1 reports XID 79 of GPU 3: the GPU has fallen off the bus"
                    ]
                    "events"

            testCase "a machine that was refused or removed has no alert any more"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                use desk = new Desk(path, SetClock noon, RuleSettings.empty)
                desk.Post 0
                desk.Look(0, 300)
                Expect.equal desk.Book.Now.Critical 1 "it is silent"

                desk.Store.Writer
                    .Register(fun connection ->
                        Registrations.Save(
                            connection,
                            { registration 1 "gpu-1" with
                                IsActive = false
                            }
                        ))
                    .Wait()

                desk.Store.Writer.Refresh().Wait()
                desk.Look(305, 305)
                Expect.equal desk.Book.Now.Critical 0 "nobody wants to hear of it"

            testCase "an acknowledgement, a mute, silences and the page's rules survive a restart"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                let clock = SetClock noon

                let page =
                    match
                        RuleSettings.ofBody (
                            ReadOnlyMemory(
                                Text.Encoding.UTF8.GetBytes
                                    """{"rules":{"machine-silent":{"for_minutes":1}},"grouping":{"wait_seconds":0}}"""
                            )
                        )
                    with
                    | Ok page -> page
                    | Error errors -> failtest $"%A{errors}"

                let silence: Silence =
                    {
                        Id = 0L
                        Comment = "new disks"
                        Targets = [| { Terms = [| "rack=r9" |] } |]
                        Rules = [||]
                        From = -1L
                        Until = RowKey.microseconds (noon.AddHours 2.0)
                        Weekly = ValueNone
                        Author = ""
                    }

                let number, added =
                    use desk = new Desk(path, clock, RuleSettings.empty)
                    Expect.isTrue (desk.Book.SetRules(page).Result) "the page's rules"
                    let struct (_, added) = desk.Book.Add({ silence with Author = "ann" }).Result
                    desk.Post 0
                    desk.Look(0, 100)
                    Expect.equal (waiting path "ops") [ [ "machine-silent", "firing", "gpu-1" ] ] "after a minute"
                    let number = desk.Store.Ask "SELECT id FROM alert"
                    let struct (_, alert) = desk.Book.Acknowledge(number, "ann").Result
                    Expect.equal (Unchecked.nonNull alert).AckBy "ann" "acknowledged"
                    let struct (_, none) = desk.Book.Acknowledge(99L, "ann").Result
                    Expect.isNull none "there is no 99"
                    let struct (_, muted) = desk.Book.Mute(number, RowKey.microseconds (noon.AddHours 1.0)).Result
                    Expect.isNotNull muted "muted"
                    number, Unchecked.nonNull added

                use desk = new Desk(path, clock, RuleSettings.empty)
                desk.Look(105, 105)
                Expect.equal (Map.count desk.Book.Now.Page.Rules) 1 "the page's rules"

                Expect.equal
                    (desk.Book.Now.Silences |> Array.map (fun one -> one.Id, one.Comment, one.Author))
                    [| added.Id, "new disks", "ann" |]
                    "the silence"

                use reader = new Reader(path, 48)
                let alert = reader.Alerts.Open() |> Array.exactlyOne
                Expect.equal (alert.Number, alert.AckBy) (number, "ann") "the acknowledgement"
                Expect.equal alert.MutedUntil (RowKey.microseconds (noon.AddHours 1.0)) "the mute"
                let struct (_, isKnown) = desk.Book.Remove(added.Id).Result
                let struct (_, isKnownAgain) = desk.Book.Remove(added.Id).Result
                Expect.equal (isKnown, isKnownAgain) (true, false) "removed once"
        ]
