/// Quarters of an hour, which weeks are read from.
module Agent.Dashboard.Tests.QuarterTests

open System
open Agent.Receiver
open Agent.Dashboard.Store
open Agent.Dashboard.Tests.StoreTests
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Waiting
open Expecto

/// Fourteen days, whose buckets are half hours.
let private weeks = 20160.0

let private start = noon.AddMinutes -45.0

/// Three samples a minute over two quarters of an hour and two thirds of a third; CPU usage goes up and down.
let private fill (store: Store) : unit =
    for step in 0..119 do
        store.Stored(start.AddSeconds(20.0 * float step), float (step * 37 % 101), 1000L * int64 step)

    settled store

let private count (store: Store) : int64 =
    store.Ask "SELECT count(*) FROM quarter"

let private expectCount (store: Store) (expected: int64) : unit =
    eventually patience $"{expected} quarters" (fun () -> count store = expected)

/// Least, mean and greatest of a series as a chart of two weeks shows them.
let private figures (store: Store) (name: string) : (float * float * float) list =
    List.zip3 (drawn store weeks name "min") (drawn store weeks name "mean") (drawn store weeks name "max")

let private execute (store: Store) (sql: string) : unit =
    use connection = opened store.Path store.Clock
    Database.Execute(connection, sql)

[<Tests>]
let tests =
    testList
        "Quarters"
        [
            testCase "one is there when it is over, and weeks look the same with it as without"
            <| fun () ->
                withStore (fun store ->
                    fill store
                    expectCount store 3L
                    Expect.equal (store.Ask "SELECT sum(samples) FROM quarter") 120L "of all their samples"

                    for name in [ "cpu_usage_percent"; "disk_read_bytes_per_s" ] do
                        // What is read is the quarters, not their minutes.
                        let byQuarters = figures store name
                        execute store "CREATE TABLE kept AS SELECT * FROM quarter; DELETE FROM quarter"
                        let byMinutes = figures store name
                        execute store "INSERT INTO quarter SELECT * FROM kept; DROP TABLE kept"
                        Expect.isNonEmpty byMinutes name
                        Expect.equal byQuarters.Length byMinutes.Length name

                        for (least, mean, greatest), (least', mean', greatest') in List.zip byQuarters byMinutes do
                            Expect.equal (least, greatest) (least', greatest') $"{name}: peaks"
                            Expect.floatClose Accuracy.medium mean mean' $"{name}: mean"

                    execute store "UPDATE quarter SET figures = (SELECT figures FROM minute ORDER BY key LIMIT 1)"
                    Expect.notEqual (figures store "cpu_usage_percent") [] "something is drawn"
                    let changed = drawn store weeks "cpu_usage_percent" "max"
                    Expect.isLessThan (List.max changed) 100.0 "what is drawn is what the quarters say")

            testCase "a sample that comes late shows at once, and its quarter is put together again"
            <| fun () ->
                withStore (fun store ->
                    fill store
                    expectCount store 3L
                    store.Stored(start.AddSeconds 5.0, 250.0, 0L)
                    Expect.equal (List.max (drawn store weeks "cpu_usage_percent" "max")) 250.0 "before it is rolled up"
                    settled store

                    eventually patience "with the late one" (fun () -> store.Ask "SELECT ifnull(sum(samples), 0) FROM quarter" = 121L)
                    Expect.equal (List.max (drawn store weeks "cpu_usage_percent" "max")) 250.0 "and after")

            testCase "those that are missing are put together after a start, as of a database of an older version"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"

                let clock = SetClock noon

                (use store = new Store(path, clock)
                 fill store
                 expectCount store 3L
                 clock.Now <- noon.AddMinutes 2.0
                 store.Stored(noon.AddMinutes 1.0, 50.0, 0L)
                 settled store)

                (use connection = opened path clock
                 Database.Execute(connection, "DELETE FROM quarter WHERE key = (SELECT min(key) FROM quarter)"))

                use store = new Store(path, clock)
                expectCount store 3L
                Expect.equal (store.Ask "SELECT sum(samples) FROM quarter") 120L "all samples"
                // The one that was not over at the start is there when it is.
                clock.Now <- noon.AddMinutes 16.0
                expectCount store 4L

            testCase
                "an outage of forty seconds is told in ranges that are read from minutes and from quarters, with and without a rest of samples"
            <| fun () ->
                withStore (fun store ->
                    for step in 0..1799 do
                        let at = noon.AddMinutes(-60.0).AddSeconds(2.0 * float step)
                        // Twenty samples of the twentieth minute.
                        if step < 605 || step >= 625 then
                            store.Stored(at, 50.0, 0L)

                    let silences (minutes: float) =
                        use reader = new Reader(store.Path, 48)
                        let now = RowKey.microseconds store.Clock.Now
                        let history = reader.Read(1, now - int64 (minutes * 60e6), now, now)
                        let output = Buffers.ArrayBufferWriter<byte>()
                        Responses.historyInto output "gpu-1" history
                        use document = Text.Json.JsonDocument.Parse output.WrittenMemory

                        [
                            for silence in document.RootElement.GetProperty("silent").EnumerateArray() ->
                                (silence.GetProperty("from").GetDateTimeOffset() - noon).TotalMinutes,
                                silence.GetProperty("seconds").GetDouble()
                        ]

                    Expect.equal (silences 180.0) [ -40.0, 40.0 ] "the minute of the outage"
                    settled store
                    Expect.equal (silences 180.0) [ -40.0, 40.0 ] "the same when all are rolled up"
                    Expect.equal (silences 60.0) [] "samples show it themselves")

            testCase "they go with their minutes, and with their server"
            <| fun () ->
                withStore (fun store ->
                    fill store
                    expectCount store 3L
                    store.Clock.Now <- noon.AddDays 13.99
                    store.Stored(store.Clock.Now.AddMinutes -2.0, 1.0, 0L)
                    settled store
                    store.Clock.Now <- noon.AddDays 14.5
                    store.Stored(store.Clock.Now.AddMinutes -2.0, 1.0, 0L)
                    settled store
                    let oldest = RowKey.minute 1 (RowKey.minuteAt (RowKey.microseconds noon))

                    eventually patience "the old ones are gone" (fun () ->
                        store.Ask $"SELECT count(*) FROM quarter WHERE key < {oldest}" = 0L)

                    use connection = opened store.Path store.Clock
                    Registrations.Remove(connection, 1)
                    Expect.equal (count store) 0L "none is left")
        ]
