/// The database: what is on disk, what is read back, and what is deleted when.
module Agent.Dashboard.Tests.StoreTests

open System
open System.IO
open System.Text
open System.Threading.Tasks
open Agent.Receiver
open Agent.Dashboard.Store
open Agent.TestSupport.DashboardProcess
open Agent.Shell
open Agent.TestSupport.Waiting
open Expecto
open Microsoft.Data.Sqlite

/// A wall clock that stands where it is put; what is waited for takes its time, but for what is added to `Ahead`.
type SetClock(start: DateTimeOffset) =
    inherit AgentClock()
    member val Now = start with get, set
    member val Ahead = TimeSpan.Zero with get, set
    override this.GetUtcNow() = this.Now
    override this.Elapsed = base.Elapsed + this.Ahead

let noon = DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)
let token = Registrations.Hash "a-token"

let opened (path: string) clock : SqliteConnection =
    match Database.OpenForWriting(path, clock) with
    | Ok connection -> connection
    | Error unopened -> failtest unopened.Sentence

let private refusal (path: string) : string =
    match Database.OpenForWriting(path, AgentClock()) with
    | Ok connection ->
        connection.Dispose()
        failtest "it was opened"
    | Error unopened -> unopened.Sentence

let registration (id: int) (slug: string) : Registration =
    {
        Id = id
        Slug = slug
        Name = slug
        Hostname = ""
        Description = ""
        IsActive = true
        CreatedAt = noon
        TokenHash = token
    }

/// A database with one server, and a writer on it, whose connection was prepared.
type Store(path: string, clock: SetClock, prepare: SqliteConnection -> unit) =
    do
        use connection = opened path clock

        if (Registrations.All connection).Count = 0 then
            Registrations.Save(connection, registration 1 "gpu-1")

    let complaints = ResizeArray<string>()

    let writer =
        let connection = opened path clock
        prepare connection
        new Writer(connection, { RawHours = 48; Days = 14 }, clock, Action<string> complaints.Add)

    new(path, clock) = new Store(path, clock, ignore)

    member _.Path = path
    /// What the writer had to say.
    member _.Complaints: string list = List.ofSeq complaints
    member _.Clock = clock
    member _.Writer = writer
    member _.Server = Unchecked.nonNull (writer.Fleet.Find "gpu-1")

    /// Sends a sample of that instant with that CPU usage and that counter of bytes read.
    member store.Post(at: DateTimeOffset, cpu: float, read: int64) : StoredSample * IngestResult =
        let body =
            $"""{{"collected_at":"{at.ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"}","cpu_usage_percent":{cpu},"disks":[{{"device":"sda","read_bytes_total":{read},"write_bytes_total":0,"read_count_total":0,"write_count_total":0,"busy_time_ms_total":0}}]}}"""

        match Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes body)) clock.Now with
        | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"
        | Ok intake ->
            let job = IngestJob(store.Server, token, intake.Report, null, clock.Now, [||], "")
            let result = (writer.Store job).Result
            Unchecked.nonNull job.Stored, result

    member store.Stored(at, cpu, read) : unit =
        Expect.equal (store.Post(at, cpu, read) |> snd) IngestResult.Stored $"%A{complaints}"

    /// One number that a statement gives.
    member _.Ask(sql: string) : int64 =
        use connection = Database.OpenForReading path
        Database.Scalar(connection, sql)

    interface IDisposable with
        member _.Dispose() = writer.Dispose()

let private bytesReadPerSecond (server: LiveServer) =
    server.View.Latest
    |> ValueOption.map (fun stored -> float stored.Derivation.Rates.Derived.DiskRead)

let withStore (test: Store -> unit) : unit =
    use place = new TemporaryDirectory()
    use store = new Store(place.File "a.db", SetClock noon)
    test store

/// A figure of a series in a history's answer, of each bucket that has one; where every bucket is one sample, its value.
let drawn (store: Store) (minutes: float) (name: string) (figure: string) : float list =
    use reader = new Reader(store.Path, 48)
    let now = RowKey.microseconds store.Clock.Now
    let history = reader.Read(1, now - int64 (minutes * 60e6), now, now)
    let output = Buffers.ArrayBufferWriter<byte>()
    Responses.historyInto output "gpu-1" history
    use document = Json.JsonDocument.Parse output.WrittenMemory
    let series = document.RootElement.GetProperty("series").GetProperty name

    let row =
        match series.TryGetProperty figure with
        | true, row -> row
        | _ -> series.GetProperty "mean"

    row.EnumerateArray()
    |> Seq.filter (fun value -> value.ValueKind = Json.JsonValueKind.Number)
    |> Seq.map _.GetDouble()
    |> List.ofSeq

/// The greatest of a series.
let private greatest (store: Store) (minutes: float) (name: string) : float =
    List.max (drawn store minutes name "max")

/// Waits until every minute is rolled up that is over.
let settled (store: Store) : unit =
    let now = store.Clock.Now
    // Until then more may be on its way.
    store.Clock.Now <- now.AddSeconds 6.0
    eventually patience "all minutes are rolled up" (fun () -> store.Ask "SELECT count(*) FROM dirty_minute" = 0L)
    store.Clock.Now <- now

[<Tests>]
let tests =
    testList
        "Store"
        [
            testCase "another program's database is refused and left as it is"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "other.db"
                use other = new SqliteConnection $"Data Source={path};Pooling=False"
                other.Open()
                Database.Execute(other, "CREATE TABLE theirs (x)")
                other.Close()
                let before = File.ReadAllBytes path
                Expect.stringContains (refusal path) "another program's database" "the sentence"
                Expect.equal (File.ReadAllBytes path) before "its bytes"

            testCase "a file that is no database is refused, and so is a missing directory"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "notes.txt"
                File.WriteAllText(path, String('x', 5000))
                Expect.stringContains (refusal path) path "the sentence"
                Expect.equal (File.ReadAllText path) (String('x', 5000)) "its text"
                Expect.stringContains (refusal (place.File "no/such/a.db")) "does not exist; create it first" "the sentence"

            testCase "a database of a newer format is refused"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                (opened path (AgentClock())).Dispose()
                use connection = opened path (AgentClock())
                Database.Execute(connection, "PRAGMA user_version = 999")

                Expect.stringContains
                    (refusal path)
                    $"newer ai-dashboard (format 999, this one knows {Migrations.Steps.Length})"
                    "the sentence"

            testCase "a database is for its owner alone"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                (opened path (AgentClock())).Dispose()
                Expect.equal (File.GetUnixFileMode path) (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) "its mode"

            testCase "what was stored is there when the database is opened again"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"

                (use store = new Store(path, SetClock noon)
                 store.Stored(noon.AddSeconds -4.0, 10.0, 1000L)
                 store.Stored(noon.AddSeconds -2.0, 20.0, 3000L))

                use again = new Store(path, SetClock noon)
                let latest = again.Server.View.Latest.Value
                Expect.equal latest.Report.CollectedAt (noon.AddSeconds -2.0) "the newest"
                Expect.equal (bytesReadPerSecond again.Server) (ValueSome 1000.0) "2,000 bytes in 2 s"
                Expect.equal again.Server.View.LastSeen (ValueSome noon) "the receiver's clock"

            testCase "a resend is the same sample, in memory and when it is long past"
            <| fun () ->
                withStore (fun store ->
                    let first, _ = store.Post(noon.AddMinutes -30.0, 10.0, 1000L)

                    for step in 1..40 do
                        store.Stored(noon.AddMinutes(-30.0 + float step / 4.0), 10.0, 1000L + int64 step)

                    let last, _ = store.Post(noon.AddMinutes -10.0, 10.0, 9000L)
                    let lastAgain, known = store.Post(noon.AddMinutes -10.0, 11.0, 9999L)
                    let firstAgain, knownToo = store.Post(noon.AddMinutes -30.0, 12.0, 9999L)
                    Expect.equal (known, knownToo) (IngestResult.Known, IngestResult.Known) "both are known"
                    Expect.equal lastAgain.Id last.Id "the last one's id"
                    Expect.equal firstAgain.Id first.Id "the first one's id"
                    Expect.equal firstAgain.Report.Machine.Decimals[0] 10.0 "what was stored first stays"
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") 42L "rows")

            testCase "a sample that comes late has its rates from the one before it, and gives the next one new rates"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon.AddSeconds -6.0, 10.0, 0L)
                    store.Stored(noon.AddSeconds -2.0, 10.0, 4000L)
                    Expect.equal (bytesReadPerSecond store.Server) (ValueSome 1000.0) "4,000 bytes in 4 s"
                    let late, _ = store.Post(noon.AddSeconds -4.0, 10.0, 1000L)
                    Expect.equal (float late.Derivation.Rates.Derived.DiskRead) 500.0 "1,000 bytes in 2 s"
                    Expect.equal (bytesReadPerSecond store.Server) (ValueSome 1500.0) "3,000 bytes in 2 s")

            testCase "the same for one that comes later than any that is held in memory"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon.AddSeconds -100.0, 10.0, 0L)

                    for step in 0..30 do
                        store.Stored(noon.AddSeconds(-90.0 + float step), 10.0, 10000L)

                    Expect.equal (greatest store 5.0 "disk_read_bytes_per_s") 1000.0 "10,000 bytes in 10 s"
                    let late, _ = store.Post(noon.AddSeconds -95.0, 10.0, 2000L)
                    Expect.equal (float late.Derivation.Rates.Derived.DiskRead) 400.0 "2,000 bytes in 5 s"
                    Expect.equal (greatest store 5.0 "disk_read_bytes_per_s") 1600.0 "8,000 bytes in 5 s")

            testCase "minutes keep the peak of one sample"
            <| fun () ->
                withStore (fun store ->
                    for step in 0..200 do
                        store.Stored(noon.AddSeconds(-2000.0 + float step * 2.0), (if step = 77 then 99.5 else 3.0), 0L)

                    // A day is drawn from minutes.
                    Expect.equal (greatest store 1440.0 "cpu_usage_percent") 99.5 "the greatest")

            testCase "a minute that has got another sample is drawn with it at once, and each sample counts once"
            <| fun () ->
                withStore (fun store ->
                    let minute = noon.AddMinutes -8.0
                    store.Stored(minute, 10.0, 0L)
                    store.Stored(minute.AddSeconds 2.0, 20.0, 0L)
                    store.Stored(minute.AddMinutes 1.0, 70.0, 0L)
                    settled store

                    let cpu figure =
                        drawn store 1440.0 "cpu_usage_percent" figure

                    Expect.equal (cpu "mean") [ 33.33 ] "(10 + 20 + 70) / 3, in a bucket of two minutes"
                    store.Stored(minute.AddSeconds 4.0, 60.0, 0L)
                    Expect.equal (cpu "mean") [ 40.0 ] "(10 + 20 + 60 + 70) / 4, before it is rolled up"
                    settled store
                    Expect.equal (cpu "mean") [ 40.0 ] "and after")

            testCase "minutes are the same in whatever order their samples come, and are written as they end where these come in order"
            <| fun () ->
                // Five minutes of thirty samples.
                let samples =
                    [|
                        for k in 0..149 -> noon.AddMinutes(-10.0).AddSeconds(2.0 * float k), float (k * 37 % 101), 1000L * int64 (k * k)
                    |]

                let rolledUp (order: int[]) =
                    use place = new TemporaryDirectory()
                    use store = new Store(place.File "a.db", SetClock noon)

                    for k in order do
                        store.Stored samples[k]

                    let atOnce = store.Ask "SELECT count(*) FROM minute"
                    settled store
                    use connection = Database.OpenForReading store.Path

                    use minutes =
                        new Statement(connection, "SELECT samples || ' ' || hex(figures) FROM minute ORDER BY key")

                    atOnce,
                    [
                        while minutes.Step() do
                            minutes.Text 0
                    ]

                let shuffled = Array.init 150 id
                Random(7).Shuffle shuffled
                let atOnce, inOrder = rolledUp (Array.init 150 id)
                Expect.isGreaterThanOrEqual atOnce 4L "all but the last one"
                Expect.equal [ for minute in inOrder -> minute.Split(' ')[0] ] [ "30"; "30"; "30"; "30"; "30" ] "all samples"

                for name, order in
                    [
                        "the newest first", Array.rev (Array.init 150 id)
                        "every other one later", Array.append [| 0..2..149 |] [| 1..2..149 |]
                        "one of each minute first", Array.sortBy (fun k -> k % 30) [| 0..149 |]
                        "in no order", shuffled
                    ] do
                    Expect.equal (snd (rolledUp order)) inOrder name

            testCase "a minute of the past is not rolled up as long as its samples come, but with the next one or five seconds later"
            <| fun () ->
                withStore (fun store ->
                    let dirty () =
                        store.Ask "SELECT count(*) FROM dirty_minute"

                    let minute = noon.AddHours -3.0
                    store.Stored(minute, 10.0, 0L)
                    store.Clock.Ahead <- TimeSpan.FromSeconds 10.0
                    store.Stored(minute.AddSeconds 2.0, 20.0, 0L)
                    Expect.equal (dirty ()) 1L "the upkeep of ten seconds leaves it"
                    store.Clock.Now <- noon.AddSeconds 4.9
                    store.Clock.Ahead <- TimeSpan.FromSeconds 20.0
                    store.Stored(minute.AddMinutes 1.0, 20.0, 0L)
                    Expect.equal (dirty ()) 1L "the one before is complete"
                    Expect.equal (store.Ask "SELECT samples FROM minute") 2L "with both of its samples"
                    settled store
                    Expect.equal (store.Ask "SELECT sum(samples) FROM minute") 3L "all three")

            testCase "samples go when the newest is 48 hours on, their minutes after the retention"
            <| fun () ->
                withStore (fun store ->
                    for step in 0..199 do
                        store.Stored(noon.AddMinutes(-10.0).AddSeconds(float step * 2.0), 50.0, 0L)

                    store.Clock.Now <- noon.AddHours 47.5
                    store.Stored(store.Clock.Now, 1.0, 0L)
                    Threading.Thread.Sleep 1500
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") 201L "nothing goes before its time"
                    store.Clock.Now <- noon.AddHours 48.5
                    store.Stored(store.Clock.Now, 1.0, 0L)
                    eventually patience "the samples are gone" (fun () -> store.Ask "SELECT count(*) FROM sample" = 2L)
                    Expect.equal (store.Ask "SELECT sum(samples) FROM minute") 201L "their minutes stay"
                    Expect.equal (greatest store 4000.0 "cpu_usage_percent") 50.0 "and are drawn"
                    store.Clock.Now <- noon.AddDays 20.0
                    store.Stored(store.Clock.Now, 1.0, 0L)
                    eventually patience "the minutes are gone" (fun () -> store.Ask "SELECT count(*) FROM minute" = 0L))

            testCase "a sample that comes when its minute's samples are gone is added to the minute"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon, 50.0, 0L)
                    store.Stored(noon.AddSeconds 2.0, 60.0, 0L)
                    store.Clock.Now <- noon.AddHours 49.0
                    store.Stored(noon.AddHours 49.0, 1.0, 0L)
                    eventually patience "the samples are gone" (fun () -> store.Ask "SELECT count(*) FROM sample" = 1L)
                    store.Stored(noon.AddSeconds 4.0, 99.0, 0L)
                    // Drawn at once, with what is known of those that are gone: (50 + 60 + 99) / 3.
                    Expect.equal (drawn store 4000.0 "cpu_usage_percent" "mean") [ 69.67; 1.0 ] "all three"
                    // The answer may be lost, and the sample sent again.
                    Threading.Thread.Sleep 1500
                    Expect.equal (store.Post(noon.AddSeconds 4.0, 99.0, 0L) |> snd) IngestResult.Known "the resend"
                    store.Clock.Now <- noon.AddHours 49.5
                    eventually patience "the late one is rolled up" (fun () -> store.Ask "SELECT sum(samples) FROM minute" = 4L)
                    Expect.equal (greatest store 4000.0 "cpu_usage_percent") 99.0 "its peak counts"
                    Expect.equal (drawn store 4000.0 "cpu_usage_percent" "mean") [ 69.67; 1.0 ] "and is counted once"
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") 1L "no sample stays but the newest")

            testCase "the newest sample stays: it is shown, and known when it is sent again, after days and a restart"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                let clock = SetClock noon

                // The first of all, and one that makes room for itself.
                for at, days in [ noon, 4.0; noon.AddDays 2.5, 9.0 ] do
                    (use store = new Store(path, clock)
                     store.Stored(at, 50.0, 0L)
                     clock.Now <- noon.AddDays days
                     Threading.Thread.Sleep 1500)

                    use again = new Store(path, clock)
                    Threading.Thread.Sleep 1500
                    Expect.equal again.Server.View.Latest.Value.Report.CollectedAt at "it is shown"
                    Expect.equal (again.Post(at, 50.0, 0L) |> snd) IngestResult.Known "and known"
                    Expect.equal (drawn again 14400.0 "cpu_usage_percent" "max" |> List.last) 50.0 "and drawn"
                    Expect.equal (again.Ask "SELECT count(*) FROM sample") 1L "and the only one"

            testCase "a machine whose clock is years behind costs nobody's history"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon.AddSeconds -2.0, 50.0, 0L)
                    store.Stored(DateTimeOffset(2011, 1, 1, 0, 0, 0, TimeSpan.Zero), 50.0, 0L)
                    store.Clock.Now <- noon.AddMinutes 11.0
                    eventually patience "the old one is gone" (fun () -> store.Ask "SELECT count(*) FROM sample" = 1L)
                    Expect.equal store.Server.View.Latest.Value.Report.CollectedAt (noon.AddSeconds -2.0) "the newest")

            testCase "what another process changes is noticed with the next sample"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon.AddSeconds -9.0, 50.0, 0L)
                    use other = opened store.Path store.Clock

                    let save (registration: Registration) =
                        Database.Transact(other, store.Clock, fun () -> Registrations.Save(other, registration))

                    save
                        { registration 1 "gpu-1" with
                            TokenHash = Registrations.Hash "another"
                        }

                    Expect.equal (store.Post(noon.AddSeconds -8.0, 1.0, 0L) |> snd) IngestResult.WrongToken "the token was rotated"

                    save
                        { registration 1 "gpu-1" with
                            IsActive = false
                        }

                    Expect.equal (store.Post(noon.AddSeconds -7.0, 1.0, 0L) |> snd) IngestResult.Disabled "the server was disabled"
                    save (registration 1 "gpu-1")
                    store.Stored(noon.AddSeconds -6.0, 1.0, 0L)
                    let held = store.Server
                    Database.Transact(other, store.Clock, fun () -> Registrations.Remove(other, 1))
                    let job = IngestJob(held, token, held.View.Latest.Value.Report, null, noon, [||], "")
                    Expect.equal (store.Writer.Store job).Result IngestResult.Gone "the server was removed"
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") 0L "with its samples")

            testCase "the view for people has plain numbers"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(noon, 37.4, 12L)
                    use connection = Database.OpenForReading store.Path

                    use row =
                        new Statement(connection, "SELECT server, collected_at, cpu_usage_percent FROM readable_sample")

                    Expect.isTrue (row.Step()) "a row"
                    Expect.equal (row.Text 0, row.Text 1) ("gpu-1", "2026-11-24T12:00:00.000Z") "server and time"
                    Expect.equal (row.Real 2) 37.4 "CPU usage")

            testCase "samples of many callers at once are all stored, and share commits"
            <| fun () ->
                withStore (fun store ->
                    let posts =
                        [|
                            for index in 1..400 ->
                                Task.Run(fun () -> store.Post(noon.AddMilliseconds(-float index * 10.0), 1.0, 0L) |> snd)
                        |]

                    Task.WaitAll(posts |> Array.map (fun post -> post :> Task))
                    Expect.all posts (fun post -> post.Result = IngestResult.Stored) "all are stored"
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") 400L "rows"
                    Expect.isLessThan (Array.last (store.Writer.Figures.Commits())) 400L "commits")

            testCase "numbers of removed servers are given again, and there is an end to them"
            <| fun () ->
                use place = new TemporaryDirectory()
                use connection = opened (place.File "a.db") (AgentClock())

                for id in 1..3 do
                    Registrations.Save(connection, registration id $"s{id}")

                Registrations.Remove(connection, 2)
                Expect.equal (Registrations.FreeId connection) (Nullable 2) "the gap"

                Database.Execute(
                    connection,
                    "WITH RECURSIVE n(i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM n WHERE i < 4095) INSERT INTO server (id, slug, name, hostname, description, is_active, created_at, token_sha256) SELECT i, 'n' || i, '', '', '', 1, 0, x'00' FROM n"
                )

                Registrations.Save(connection, registration 2 "again")
                Expect.isFalse (Registrations.FreeId connection).HasValue "all are taken"
        ]
