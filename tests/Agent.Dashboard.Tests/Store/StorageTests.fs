/// A database that cannot be used: what is told of it, when, and what is never claimed.
module Agent.Dashboard.Tests.StorageTests

open System
open System.IO
open Agent.Receiver
open Agent.Dashboard.Store
open Agent.TestSupport.DashboardProcess
open Agent.Dashboard.Tests.StoreTests
open Agent.TestSupport.Waiting
open Expecto
open Microsoft.Data.Sqlite

/// A connection beside the writer's.
let private beside (path: string) : SqliteConnection =
    let connection = new SqliteConnection $"Data Source={path};Pooling=False"
    connection.Open()
    connection

let private execute (path: string) (sql: string) : unit =
    use connection = beside path
    Database.Execute(connection, sql)

let private fault (store: Store) : StorageFault option =
    match store.Writer.Storage.State.Writing with
    | ValueSome outage -> Some outage.Fault
    | ValueNone -> None

/// The sample of a number, one a second.
let private at (number: int) = noon.AddSeconds(float number - 600.0)

/// Sends samples from that number on until one is not stored; its number.
let private postUntilFull (store: Store) (first: int) : int =
    let rec next number =
        if number > first + 2000 then
            failtest "2,000 samples fit into a full database"

        match store.Post(at number, 50.0, int64 number) |> snd with
        | IngestResult.Stored -> next (number + 1)
        | IngestResult.Failed -> number
        | other -> failtest $"%A{other}"

    next first

/// A database of which no page is free and that may not grow.
let private withFullStore (test: Store -> unit) : unit =
    use place = new TemporaryDirectory()
    let path = place.File "a.db"
    (opened path (SetClock noon)).Dispose()
    execute path "CREATE TABLE ballast (x); INSERT INTO ballast VALUES (zeroblob(400000))"

    let limited (connection: SqliteConnection) =
        let pages = Database.Scalar(connection, "PRAGMA page_count")
        Database.Execute(connection, $"PRAGMA max_page_count = {pages + 8L}")

    use store = new Store(path, SetClock noon, limited)
    test store

let private makeRoom (store: Store) = execute store.Path "DROP TABLE ballast"

[<Tests>]
let tests =
    testList
        "Storage"
        [
            testCase "a full disk is told once, with its time; last_seen stays at what was stored; room ends it"
            <| fun () ->
                withFullStore (fun store ->
                    let lost = postUntilFull store 0
                    Expect.isGreaterThan lost 0 "something is stored first"
                    let seen = store.Server.View.LastSeen
                    let newest = store.Server.View.Latest.Value.Report.CollectedAt
                    Expect.equal newest (at (lost - 1)) "the newest that is stored"
                    store.Clock.Now <- noon.AddSeconds 30.0

                    for attempt in 0..4 do
                        Expect.equal (store.Post(at (lost + attempt), 1.0, 0L) |> snd) IngestResult.Failed "nothing is acknowledged"

                    Expect.equal (fault store) (Some StorageFault.Full) "why"
                    let outage = store.Writer.Storage.State.Writing.Value
                    Expect.equal outage.Since noon "since the first that was lost"
                    Expect.stringContains store.Writer.Storage.State.Reason "the disk is full (" "for the answer"
                    Expect.equal store.Server.View.LastSeen seen "last seen"
                    Expect.equal store.Server.View.Latest.Value.Report.CollectedAt newest "the newest"

                    match store.Complaints with
                    | [ line ] ->
                        Expect.stringContains line "samples cannot be stored" line
                        Expect.stringContains line "--raw-hours" line
                    | lines -> failtest $"%A{lines}"

                    makeRoom store
                    // Nobody sends anything: the dashboard finds out by itself.
                    eventually patience "it stores again" (fun () -> (fault store).IsNone)
                    Expect.equal (List.last store.Complaints) "samples are stored again after 30 s" "the end"
                    Expect.equal store.Complaints.Length 2 "one line for each change"
                    Expect.equal (store.Post(at lost, 1.0, 0L) |> snd) IngestResult.Stored "what was lost is new"
                    Expect.equal store.Server.View.LastSeen (ValueSome(noon.AddSeconds 30.0)) "seen when it was stored")

            testCase "a change is told before it can be seen, and two threads' changes in their order"
            <| fun () ->
                let told = Collections.Concurrent.ConcurrentQueue<string * bool>()
                let mutable watch = Unchecked.defaultof<StorageWatch>

                watch <-
                    StorageWatch(
                        SetClock noon,
                        fun line ->
                            // Whoever is quicker has the time to say something in between.
                            Threading.Thread.Sleep 2
                            told.Enqueue((line, watch.State.Writing.IsSome))
                    )

                Threading.Tasks.Parallel.For(
                    0,
                    40,
                    fun number ->
                        if number % 2 = 0 then
                            watch.WriteFailed(IOException "a disk that flaps")
                        else
                            watch.Written()
                )
                |> ignore

                Expect.isNonEmpty told "something changed"

                for number, (line, failing) in Seq.indexed told do
                    let ends = number % 2 = 1
                    Expect.equal (line.StartsWith "samples are stored again") ends $"line {number} of %A{told}"
                    Expect.equal failing ends $"what was to be seen when line {number} was told"

            testCase "a sample that was given up is not known when it is sent again"
            <| fun () ->
                withFullStore (fun store ->
                    let lost = postUntilFull store 0
                    Expect.equal (store.Post(at lost, 1.0, 0L) |> snd) IngestResult.Failed "again"
                    makeRoom store
                    eventually patience "it stores again" (fun () -> (fault store).IsNone)
                    Expect.equal (store.Post(at lost, 1.0, 0L) |> snd) IngestResult.Stored "stored, not known"
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") (int64 (lost + 1)) "each once")

            testCase "a check that writes nothing does not call a full disk good"
            <| fun () ->
                withFullStore (fun store ->
                    postUntilFull store 0 |> ignore

                    for _ in 1..3 do
                        store.Writer.Refresh().Wait()
                        Expect.equal (fault store) (Some StorageFault.Full) "an empty transaction"

                    Expect.isFalse (store.Writer.Check().Result) "one that writes")

            testCase "a database that another process has locked"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(at 0, 1.0, 0L)

                    using (beside store.Path) (fun other ->
                        Database.Execute(other, "BEGIN IMMEDIATE")
                        Expect.equal (store.Post(at 1, 1.0, 0L) |> snd) IngestResult.Failed "refused in time"
                        Expect.equal (fault store) (Some StorageFault.Busy) "why"
                        Database.Execute(other, "ROLLBACK"))

                    eventually patience "it stores again" (fun () -> (fault store).IsNone)
                    store.Stored(at 1, 1.0, 0L)
                    Expect.equal store.Complaints.Length 2 $"%A{store.Complaints}")

            testCase "a database that is deleted while it is served is not written to unseen"
            <| fun () ->
                withStore (fun store ->
                    store.Stored(at 0, 1.0, 0L)
                    File.Move(store.Path, store.Path + ".away")
                    Expect.equal (store.Post(at 1, 1.0, 0L) |> snd) IngestResult.Failed "nothing is acknowledged"
                    Expect.equal (fault store) (Some StorageFault.Gone) "why"
                    File.Move(store.Path + ".away", store.Path)
                    eventually patience "it stores again" (fun () -> (fault store).IsNone)
                    store.Stored(at 1, 1.0, 0L))

            testCase "damage is noticed, and stays noticed"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"

                (use store = new Store(path, SetClock noon)

                 for number in 0..899 do
                     store.Stored(at number, 1.0, 0L))

                let damage () =
                    use file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite)

                    // All but the first pages, which hold the schema and the servers.
                    for page in 12L .. file.Length / 4096L - 1L do
                        file.Position <- page * 4096L
                        file.Write(Array.create 4096 0xA5uy, 0, 4096)

                damage ()

                match Database.OpenForWriting(path, SetClock noon) with
                | Error unopened ->
                    Expect.isFalse unopened.IsUsage "the right file"
                    Expect.stringContains unopened.Sentence "ai-dashboard check" unopened.Sentence
                    Expect.stringContains unopened.Sentence "ai-dashboard restore" unopened.Sentence
                | Ok connection ->
                    try
                        use writer = new Writer(connection, { RawHours = 48; Days = 14 }, SetClock noon, ignore)
                        eventually patience "damage is noticed" (fun () -> not writer.Storage.State.IsGood)
                        Expect.equal writer.Storage.State.Outage.Value.Fault StorageFault.Damaged "why"
                        writer.Refresh().Wait()
                        Expect.isFalse writer.Storage.State.IsGood "and stays"
                    with :? SqliteException as failure ->
                        let sentence = Database.Sentence(path, failure)
                        Expect.stringContains sentence "ai-dashboard check" sentence
                        Expect.stringContains sentence "ai-dashboard restore" sentence

            testCase "a clock that jumps ahead deletes nothing"
            <| fun () ->
                withStore (fun store ->
                    for number in 0..99 do
                        store.Stored(at number, 1.0, 0L)

                    settled store
                    store.Clock.Now <- noon.AddYears 20
                    store.Clock.Ahead <- TimeSpan.FromMinutes 5.0
                    store.Writer.Refresh().Wait()
                    Threading.Thread.Sleep 1500
                    Expect.equal (store.Ask "SELECT count(*) FROM sample") 100L "samples"
                    Expect.equal (store.Ask "SELECT sum(samples) FROM minute") 100L "minutes")

            testCase "the lock of a database is one process's, and says whose"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                let clock = SetClock noon
                Expect.isNull (box (DatabaseLock.HolderOf path)) "nobody's"

                match DatabaseLock.Take(path, clock) with
                | Error holder -> failtest $"%A{holder}"
                | Ok held ->
                    held.Tell "http://127.0.0.1:8000"

                    match DatabaseLock.Take(path, clock) with
                    | Ok _ -> failtest "taken twice"
                    | Error holder ->
                        Expect.equal holder.Pid Environment.ProcessId "whose"
                        Expect.equal holder.Address "http://127.0.0.1:8000" "where"

                    held.Dispose()
                    Expect.isNull (box (DatabaseLock.HolderOf path)) "nobody's again"

                    match DatabaseLock.Take(path, clock) with
                    | Ok held -> held.Dispose()
                    | Error holder -> failtest $"%A{holder}"
        ]
