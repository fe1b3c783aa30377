/// The state in a real PostgreSQL, from within: its tables, the statements that it shares with SQLite, the lease and what it fences.
module Agent.Dashboard.Tests.StateStoreTests

open System
open System.Threading
open System.Threading.Tasks
open Agent.Receiver
open Agent.Receiver.Alerts
open Agent.Dashboard.State
open Agent.Dashboard.Store
open Agent.Dashboard.Tests.DeliveryTests
open Agent.Dashboard.Tests.StoreTests
open Agent.Shell
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Postgres
open Agent.TestSupport.Waiting
open Expecto
open Microsoft.FSharp.Core

/// How the state at a URL is opened, without a file of a password.
let settings (url: string) : StateSettings =
    match StateAddress.parse url with
    | Ok address -> { Address = address; PasswordFile = "" }
    | Error(struct (_, reason)) -> failtest reason

/// Connects, with the tables up to date; the sentence where it is refused.
let private connect (url: string) : Result<PostgresConnection, string> =
    match StateOpening.Connect(settings url, ignore) with
    | Ok(struct (_, connection)) -> Ok connection
    | Error unopened -> Error unopened.Sentence

let private connected (url: string) : PostgresConnection =
    match connect url with
    | Ok connection -> connection
    | Error sentence -> failtest sentence

/// A state as a dashboard has it, beside a database of its own, which takes part in the lease.
type private Sharer(place: TemporaryDirectory, url: string, name: string) =
    let clock = AgentClock()
    let database = place.File $"{name}.db"

    let state =
        match PostgresState.Open(settings url, clock, ignore) with
        | Ok state -> state
        | Error unopened -> failtest unopened.Sentence

    let writer = new Writer(opened database clock, { RawHours = 48; Days = 14 }, clock, ignore)
    do state.Begin(name, writer, 14)
    member _.State = state
    member _.Writer = writer

    /// How the state is, as it says.
    member _.Report: StateReport =
        match state.Report with
        | Null -> failtest "there is a report"
        | NonNull report -> report

    interface IDisposable with
        member _.Dispose() =
            state.Dispose()
            writer.Dispose()

let private alert (number: int64) (subject: string) : Alert =
    {
        Number = number
        Cause =
            {
                Rule = "machine-silent"
                Server = 1
                Subject = subject
            }
        Slug = "gpu-1"
        Machine = "gpu-1"
        Labels = [||]
        Level = AlertLevel.Critical
        What = "gpu-1 sends nothing"
        Why = ""
        Phase = AlertPhase.Firing
        Since = 1L
        FiredAt = 2L
        ClearSince = -1L
        EndedAt = -1L
        BeginDue = 2L
        BeginTold = -1L
        EndDue = -1L
        EndTold = -1L
        AckBy = ""
        AckAt = -1L
        MutedUntil = -1L
    }

let private happening at kind text : Happening = { At = at; Kind = kind; Text = text }

/// What the statements of the state do on a connection, as text: each of them at least once, with texts that are hard to store.
let private rehearse (connection: StateConnection) : string list =
    use alerts = new AlertRows(connection)
    use outbox = new OutboxRows(connection)
    use events = new EventRows(connection)
    let said = ResizeArray<string>()
    let say (what: string) (value: 'a) = said.Add $"{what}: %A{value}"
    let odd = "O'Brien \"; DROP TABLE server -- ü 🙂 ?1 $1"

    connection.Transact(
        AgentClock(),
        fun () ->
            say "none" (Setting.Read(connection, "listen"))
            Setting.Write(connection, "listen", odd)
            Setting.Write(connection, "listen", odd + "!")
            say "setting" (Setting.Read(connection, "listen"))

            for id, slug in [ 1, "a"; 2, "b"; 4, "d" ] do
                Registrations.Save(
                    connection,
                    { registration id slug with
                        Description = odd
                        Hostname = $"Host-{slug}"
                    }
                )

            say "free" (Registrations.FreeId connection)
            say "found" (Registrations.Find(connection, "b"))
            say "not found" (isNull (box (Registrations.Find(connection, "c"))))

            Registrations.Save(
                connection,
                { registration 2 "b" with
                    IsActive = false
                }
            )

            let key name expires =
                {
                    Name = name
                    Hash = Registrations.Hash name
                    Labels = [| struct ("room", "3") |]
                    CreatedAt = noon
                    ExpiresAt = expires
                }

            say "added" (EnrolKeys.Add(connection, key "k" ValueNone))
            say "added again" (EnrolKeys.Add(connection, key "k" ValueNone))
            say "added" (EnrolKeys.Add(connection, key "l" (ValueSome(noon.AddDays 1.0))))

            match EnrolKeys.Find(connection, Registrations.Hash "l") with
            | Null -> failtest "the key is there"
            | NonNull found ->
                let request =
                    {
                        Key = "l"
                        Hostname = "HOST-A"
                        MachineId = "m"
                        Slug = ""
                    }

                EnrolKeys.Note(connection, 1, found, { request with Hostname = "host-a" })
                let none = Func<int, DateTimeOffset voption>(fun _ -> ValueNone)
                say "candidates" (EnrolKeys.Candidates(connection, request, none))

            say
                "keys"
                [
                    for struct (key, count) in EnrolKeys.All connection -> key.Name, key.ExpiresAt, count
                ]

            say "removed" (EnrolKeys.Remove(connection, "k"))
            say "removed again" (EnrolKeys.Remove(connection, "k"))
            Registrations.Remove(connection, 4)

            say
                "servers"
                [
                    for struct (one, _) in Registrations.All connection -> one.Id, one.Slug, one.IsActive, one.Description
                ]

            alerts.Put(alert 1L "x")
            alerts.Put(alert 2L "y")

            alerts.Put
                { alert 2L "y" with
                    Phase = AlertPhase.Ended
                    EndedAt = 9L
                }

            alerts.Put
                { alert 3L "z" with
                    Phase = AlertPhase.Ended
                    EndedAt = 5L
                    BeginTold = 3L
                }

            alerts.SetTold("machine-silent", 5L)
            alerts.SetTold("machine-silent", 6L)
            say "loaded" (alerts.Load())
            say "open" [ for one in alerts.Open() -> one.Number ]
            say "ended" [ for one in alerts.Ended(null, 10) -> one.Number ]
            say "ended of another" (alerts.Ended("other", 10).Length)
            alerts.Prune 7L
            say "pruned" [ for one in alerts.Ended("gpu-1", 10) -> one.Number ]
            alerts.Delete 1L
            alerts.Delete 2L
            say "numbers are not given again" (alerts.Load().Next)
            alerts.SaveRules """{"rules":{}}"""
            say "rules" (alerts.Rules())

            match
                RuleSettings.silenceOfBody (
                    ReadOnlyMemory(Text.Encoding.UTF8.GetBytes """{"comment":"ü","until":"2030-01-01T00:00:00Z"}""")
                )
            with
            | Error errors -> failtest $"%A{errors}"
            | Ok silence ->
                let first = alerts.Add silence
                alerts.Add silence |> ignore
                alerts.Remove first
                say "silences" [ for one in alerts.Silences() -> one.Id - first, one.Comment ]

            let second = 1_000_000L
            outbox.Add("ops", [| notice 1 |], 0L)
            outbox.Add("ops", [| notice 2 |], second)
            outbox.Add("ops", [| notice 3 |], 60L * second)
            say "too early" (outbox.Claim([ "ops" ], second, 30L * second).Count)
            say "due next" outbox.NextDue
            let claimed = outbox.Claim([ "ops"; "none" ], 20L * second, 50L * second)
            say "claimed" [ for one in claimed -> one.Channel, one.Attempt, one.Notices ]
            outbox.Failed(claimed[0], 21L * second, 40L * second, odd)
            say "counts" (outbox.CountsOf "ops")
            let again = outbox.Claim([ "ops" ], 41L * second, 71L * second)
            outbox.Withdraw claimed[0]
            say "another attempt is under way" (outbox.CountsOf "ops").Waiting
            outbox.Withdraw again[0]
            say "withdrawn" (outbox.CountsOf "ops").Waiting
            let third = outbox.Claim([ "ops" ], 100L * second, 130L * second)
            outbox.Delivered(third[0], 101L * second, "ok")
            say "delivered" (outbox.CountsOf "ops")
            say "of nobody" (outbox.CountsOf "none")

            for number in 1 .. OutboxRows.MostWaiting + 2 do
                outbox.Add("full", [| notice number |], int64 (number * 20) * second)

            say "as many as wait" (outbox.CountsOf "full").Waiting
            say "and the others" (outbox.CountsOf "full").Dropped
            outbox.Prune(100_000L * second)
            say "too old" (outbox.CountsOf "full").Waiting

            events.Add(1, happening 5L EventKind.Annotation odd, "me")
            events.Add(0, happening 6L EventKind.Alert "x", "")

            say
                "events"
                [
                    for struct (server, one, author) in events.In(Nullable(), 0L, 10L, 5) -> server, one.At, one.Text, author
                ]

            events.Prune 6L
            say "left" (events.In(Nullable 1, 0L, 10L, 5)).Count
            0
    )
    |> ignore

    List.ofSeq said

[<Tests>]
let tests =
    testList
        "State in PostgreSQL"
        [
            testCase "dashboards that start at once make the tables once; a newer format and another program's tables are refused"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")

                let connections =
                    [| for _ in 1..6 -> Task.Run(fun () -> connected server.Url) |]
                    |> Array.map _.Result

                connections |> Array.iter _.Dispose()
                Expect.equal (server.Query "SELECT version FROM ai_dashboard_version") "1" "the version, once"
                Expect.equal (server.Query "SELECT count(*) FROM lease") "1" "and its rows, once"

                server.Query "UPDATE ai_dashboard_version SET version = 99" |> ignore

                match connect server.Url with
                | Ok _ -> failtest "it was opened"
                | Error sentence ->
                    Expect.stringContains sentence "was written by a newer ai-dashboard (format 99, this one knows 1)" "refused"

                server.Query "CREATE DATABASE other" |> ignore
                let other = server.Url.Substring(0, server.Url.Length - Role.Length) + "other"
                server.Query "ALTER TABLE ai_dashboard_version RENAME TO something" |> ignore

                match connect server.Url with
                | Ok _ -> failtest "it was opened"
                | Error sentence -> Expect.stringContains sentence "has tables of another program" "refused"

                (connected other).Dispose()

            testCase "the statements do the same on PostgreSQL as on SQLite"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                use shared = connected server.Url
                use own = opened (place.File "own.db") (AgentClock())
                let expected = rehearse (StateConnection.op_Implicit own)
                let found = rehearse shared
                Expect.isGreaterThan expected.Length 30 "many"

                for one, other in List.zip expected found do
                    Expect.equal other one "the same"

            testCase "texts that PostgreSQL cannot store are stored without what it cannot"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                use shared = connected server.Url

                shared.Transact(
                    AgentClock(),
                    fun () ->
                        Setting.Write(shared, "listen", "a\000b\uD800c")
                        0
                )
                |> ignore

                Expect.equal (Setting.Read(shared, "listen")) "a\uFFFDb\uFFFDc" "replaced"

            testCase "one of two holds the lease; what it writes after another has taken over is not kept"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                use one = new Sharer(place, server.Url, "one")
                eventually patience "it holds the lease" (fun () -> one.State.IsHolder)
                use other = new Sharer(place, server.Url, "other")
                eventually patience "who holds it is known" (fun () -> other.Report.Holder = "one")
                Expect.isFalse other.State.IsHolder "not both"

                let put number (state: PostgresState) =
                    state
                        .Evaluate(fun alerts _ outbox ->
                            alerts.Put(alert number (string number))
                            outbox.Add("ops", [| notice (int number) |], 0L))
                        .Result

                Expect.equal (put 1L one.State) Kept.Yes "the holder's"
                Expect.equal (put 2L other.State) Kept.NotHolder "and nobody else's"

                // As if it had been halted for longer than its lease: it believes to hold it still.
                let token = server.Query "SELECT token FROM lease"

                server.Query "UPDATE lease SET holder = 'somebody', address = 'third', token = token + 1, ends = now() + interval '1 hour'"
                |> ignore

                Expect.equal (put 3L one.State) Kept.NotHolder "it is fenced"

                let delivered =
                    one.State.Deliver(fun rows -> rows.Claim([ "ops" ], 1L <<< 50, 1L <<< 51) |> ignore).Result

                Expect.equal delivered Kept.NotHolder "messages, too"
                Expect.equal (server.Query "SELECT string_agg(id::text, ',') FROM alert") "1" "alerts"
                Expect.equal (server.Query "SELECT count(*), max(attempts) FROM outbox") "1|0" "messages"

                eventually patience "it hears of it" (fun () -> not one.State.IsHolder)
                eventually patience "and of whom" (fun () -> one.Report.Holder = "third")

                // Nobody renews it: the others take over when it is over.
                server.Query "UPDATE lease SET ends = now()" |> ignore
                eventually patience "one of them takes it" (fun () -> one.State.IsHolder || other.State.IsHolder)
                Expect.equal (server.Query $"SELECT token - {token} FROM lease") "2" "each change has its number"

            testCase "whoever ends gives the lease back at once"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                let one = new Sharer(place, server.Url, "one")
                eventually patience "it holds the lease" (fun () -> one.State.IsHolder)
                (one :> IDisposable).Dispose()
                Expect.equal (server.Query "SELECT holder, ends <= clock_timestamp() FROM lease") "|t" "free"

            testCase "changes that people make at any dashboard are seen by the others, and outlive a change of the holder"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                use one = new Sharer(place, server.Url, "one")
                eventually patience "it holds the lease" (fun () -> one.State.IsHolder)
                use other = new Sharer(place, server.Url, "other")
                let forgotten = ref 0
                one.State.OnForget <- fun () -> Interlocked.Increment forgotten |> ignore

                let isNoted = other.State.Note(0, happening 7L EventKind.Annotation "a note", "me").Result
                Expect.isTrue isNoted "kept"
                let before = forgotten.Value
                Expect.isTrue (one.State.Alert(fun _ _ _ -> ()).Result) "looked"
                Expect.equal forgotten.Value (before + 1) "it reads what another has changed"
                Expect.isTrue (one.State.Alert(fun _ _ _ -> ()).Result) "looked"
                Expect.equal forgotten.Value (before + 1) "once"

                Expect.isTrue (other.State.Register(fun rows -> Registrations.Save(rows, registration 1 "gpu-1")).Result) "kept"
                Expect.isNotNull (other.Writer.Fleet.Find "gpu-1") "there at once"
                eventually (TimeSpan.FromSeconds 5.0) "and elsewhere soon" (fun () -> not (isNull (one.Writer.Fleet.Find "gpu-1")))

                eventually (TimeSpan.FromSeconds 5.0) "the note is in both databases" (fun () ->
                    [ "one"; "other" ]
                    |> List.forall (fun name ->
                        use reader = new Reader(place.File $"{name}.db", 48)
                        (reader.Events.In(Nullable(), 0L, 100L, 10)).Count = 1))

                Expect.isTrue (one.State.Register(fun rows -> Registrations.Remove(rows, 1)).Result) "removed"
                eventually (TimeSpan.FromSeconds 5.0) "everywhere" (fun () -> isNull (other.Writer.Fleet.Find "gpu-1"))

            testCase "a dashboard that is halted within a transaction holds the others up for seconds, and loses what it did"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                use one = new Sharer(place, server.Url, "one")
                eventually patience "it holds the lease" (fun () -> one.State.IsHolder)
                use halted = connected server.Url
                use gate = new ManualResetEventSlim(false)

                let transaction =
                    Task.Run(fun () ->
                        halted.Transact(
                            PostgresConnection.Alerts,
                            fun _ ->
                                Setting.Write(halted, "listen", "half of it")
                                gate.Wait()
                                0
                        )
                        |> ignore)

                eventually patience "it has its locks" (fun () ->
                    server.Query "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'" = "1")

                eventually (TimeSpan.FromSeconds 20.0) "the others go on" (fun () -> one.State.Alert(fun _ _ _ -> ()).Result)
                gate.Set()
                Expect.throws (fun () -> transaction.Wait()) "it finds its connection ended"
                Expect.equal (server.Query "SELECT count(*) FROM setting WHERE name = 'listen'") "0" "nothing of it is kept"

            testCase "without PostgreSQL requests fail at once with the reason, no more than so many wait, and all goes on when it is back"
            <| fun () ->
                needed ()
                use place = new TemporaryDirectory()
                use server = new Postgres(place.Path, "")
                use one = new Sharer(place, server.Url, "one")
                eventually patience "it holds the lease" (fun () -> one.State.IsHolder)
                server.Kill()
                Expect.isFalse (one.State.Alert(fun _ _ _ -> ()).Result) "it fails"
                Expect.stringContains one.State.Reason "the state in PostgreSQL cannot be used" "reason"

                let clock = Diagnostics.Stopwatch.StartNew()
                Expect.isFalse (one.State.Alert(fun _ _ _ -> ()).Result) "it fails"
                Expect.isLessThan clock.Elapsed (TimeSpan.FromSeconds 5.0) "soon"

                eventually (TimeSpan.FromSeconds 20.0) "the lease is over" (fun () -> not one.State.IsHolder)
                server.Start()
                eventually patience "it holds the lease again" (fun () -> one.State.IsHolder)
                Expect.isTrue (one.State.Alert(fun _ _ _ -> ()).Result) "it is kept"
                Expect.isTrue one.Report.Works "and works"

                // While one transaction takes its time, so many others may wait for it.
                use gate = new ManualResetEventSlim(false)
                let slow = one.State.Alert(fun _ _ _ -> gate.Wait())
                eventually patience "it is taken" (fun () -> not slow.IsCompleted)
                Thread.Sleep 200

                let asked =
                    [
                        for _ in 1 .. PostgresState.MostWaiting + 1 -> one.State.Alert(fun _ _ _ -> ())
                    ]

                Expect.isTrue asked[PostgresState.MostWaiting].IsCompleted "one too many is refused at once"
                Expect.isFalse asked[PostgresState.MostWaiting].Result "refused"
                gate.Set()

                Expect.isTrue
                    (Task.WhenAll(List.truncate PostgresState.MostWaiting asked).Result
                     |> Array.forall id)
                    "the others are done"
        ]
