/// Messages of alerts, from the outbox to receivers that fail, hang and come back, and over kill -9: none lost, none twice.
module Agent.Dashboard.Tests.DeliveryTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open Agent.Dashboard.Alerting
open Agent.Dashboard.Store
open Agent.Dashboard.Tests.Receivers
open Agent.Dashboard.Tests.StoreTests
open Agent.Receiver
open Agent.Receiver.Alerts
open Agent.Shell
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Waiting
open Expecto

/// A clock whose wall clock runs as fast as its monotonic one, many times as fast as time.
type private FastClock(scale: int) =
    inherit AgentClock(scale)
    override this.GetUtcNow() = noon + this.Elapsed

let private second = 1_000_000L

/// Of a machine that is silent, told apart by a number.
let notice (number: int) : Notice =
    {
        Alert = int64 number
        Rule = "machine-silent"
        Level = AlertLevel.Critical
        State = NoticeState.Firing
        Slug = "gpu-1"
        Machine = "gpu-1"
        What = $"no sample, case {number}"
        Why = ""
        Since = 0L
        Until = -1L
        Path = "/servers/gpu-1"
    }

/// Changes the outbox of a database in a transaction of its own, as its writer does.
let private change (database: string) (work: OutboxRows -> unit) : unit =
    use connection = opened database (AgentClock())
    use rows = new OutboxRows(connection)

    Database.Transact(connection, AgentClock(), (fun () -> work rows))

/// Messages of one notice each, which were added so long ago, in seconds, that none is gathered any more.
let private fill (database: string) (channel: string) (now: int64) (count: int) : unit =
    change database (fun rows ->
        for number in 1..count do
            rows.Add(channel, [| notice number |], now - int64 (3600 - number * 20) * second))

let private alertsFile (place: TemporaryDirectory) (channels: (string * string) list) : string =
    let path = place.File "alerts.json"

    let list entry =
        channels |> List.map entry |> String.concat ", "

    let entries =
        list (fun (name, url) -> $"{{\"name\": \"{name}\", \"type\": \"webhook\", \"url\": \"{url}\"}}")

    // Nothing that the dashboard finds on this machine gets between.
    let routes = list (fun (name, _) -> $"{{\"channel\": \"{name}\", \"rules\": [\"machine-silent\"]}}")

    File.WriteAllText(path, $"{{\"channels\": [{entries}], \"routes\": [{routes}]}}")
    path

let private good = Manner.Answer(200, "")

/// The case that a webhook's body tells of.
let private caseIn (arrival: Arrival) : int =
    use document = JsonDocument.Parse arrival.Body
    let what = string ((document.RootElement.GetProperty("alerts")[0]).GetProperty "what")
    int (what.Substring(what.LastIndexOf ' ' + 1))

/// A courier beside a writer, both in this process, on a database that is prepared before they start.
let private withCourier
    (channels: (string * string) list)
    (prepare: string -> int64 -> unit)
    (test: Channels -> Writer -> List<string> -> unit)
    =
    use place = new TemporaryDirectory()
    let clock = FastClock 50
    let database = place.File "a.db"
    prepare database (RowKey.microseconds (clock.GetUtcNow()))
    let said = List<string>()
    let complain sentence = lock said (fun () -> said.Add sentence)

    use writer =
        new Writer(opened database clock, { RawHours = 48; Days = 14 }, clock, Action<string> complain)

    match Channels.Open(alertsFile place channels, "https://gpus.example", "0", clock, Action<string> complain) with
    | Error sentences -> failtest $"%A{sentences}"
    | Ok opened ->
        use channels = opened
        use _ = new Courier(channels, writer, clock, Action<string> complain)
        test channels writer said

let private stateOf (channels: Channels) (name: string) : ChannelCounts =
    (channels.States |> Array.find (fun state -> state.Name = name)).Counts

[<Tests>]
let tests =
    testList
        "Delivery"
        [
            testCase "a receiver that fails, closes, hangs and comes back gets every message once, in order, under one id each"
            <| fun () ->
                let manner number =
                    match number with
                    | 0 -> Manner.Answer(500, "")
                    | 1 -> Manner.Close
                    | 2 -> Manner.Hang
                    | 4 -> Manner.Answer(429, "Retry-After: 20\r\n")
                    | _ -> good

                use receiver = new Receiver(manner)

                withCourier [ "hook", receiver.Url ] (fun database now -> fill database "hook" now 5) (fun channels _ said ->
                    eventually patience $"five are accepted; %A{said}" (fun () -> receiver.Accepted.Length >= 5)
                    eventually patience "the outbox is empty" (fun () -> (stateOf channels "hook").Waiting = 0)
                    let arrivals = receiver.Arrivals
                    Expect.equal (arrivals |> List.filter _.IsAccepted |> List.map caseIn) [ 1..5 ] "each once, in order"
                    Expect.equal arrivals.Length 9 "five, and four attempts that failed"

                    for number, same in arrivals |> List.groupBy caseIn do
                        Expect.equal (same |> List.distinctBy _.Id).Length 1 $"the id of case {number}"

                    Expect.equal (arrivals |> List.distinctBy _.Id).Length 5 "an id each"
                    let counts = stateOf channels "hook"
                    Expect.equal (counts.Delivered, counts.Refused, counts.Dropped) (5L, 0L, 0L) "counted"
                    Expect.isTrue counts.WasGood counts.LastResult

                    let told = lock said (fun () -> List.ofSeq said)

                    Expect.equal
                        (told |> List.filter _.StartsWith("alerts: channel hook"))
                        [
                            "alerts: channel hook: HTTP 500: ok; it is tried again, and 5 messages wait"
                            "alerts: channel hook delivers again"
                            "alerts: channel hook: HTTP 429: ok; it is tried again, and 4 messages wait"
                            "alerts: channel hook delivers again"
                        ]
                        "told once per change")

            testCase "a channel that hangs holds no other back"
            <| fun () ->
                use hanging = new Receiver(fun _ -> Manner.Hang)
                use working = new Receiver(fun _ -> good)

                withCourier
                    [ "hanging", hanging.Url; "working", working.Url ]
                    (fun database now ->
                        fill database "hanging" now 3
                        fill database "working" now 20)
                    (fun channels _ _ ->
                        eventually patience "the other has its twenty" (fun () -> working.Accepted.Length = 20)
                        Expect.equal (working.Arrivals |> List.map caseIn) [ 1..20 ] "in order"
                        Expect.equal (hanging.Arrivals |> List.distinctBy _.Id).Length 1 "one at a time"
                        Expect.equal (stateOf channels "hanging").Waiting 3 "nothing of the hanging one is lost")

            testCase "what will never be taken is set aside, counted and told, and the next one goes on"
            <| fun () ->
                use receiver = new Receiver(fun number -> if number = 0 then Manner.Answer(400, "") else good)

                withCourier [ "hook", receiver.Url ] (fun database now -> fill database "hook" now 2) (fun channels _ said ->
                    eventually patience "the second is accepted" (fun () -> receiver.Accepted.Length = 1)
                    eventually patience "both are gone" (fun () -> (stateOf channels "hook").Waiting = 0)
                    Expect.equal (receiver.Arrivals |> List.map caseIn) [ 1; 2 ] "once each"
                    let counts = stateOf channels "hook"
                    Expect.equal (counts.Delivered, counts.Refused) (1L, 1L) "counted"

                    Expect.contains
                        (lock said (fun () -> List.ofSeq said))
                        "alerts: channel hook: a message was refused and is set aside: HTTP 400: ok"
                        "told")

            testCase "a redirect is not followed"
            <| fun () ->
                use other = new Receiver(fun _ -> good)
                use receiver = new Receiver(fun _ -> Manner.Answer(307, $"Location: {other.Url}\r\n"))

                withCourier [ "hook", receiver.Url ] (fun database now -> fill database "hook" now 1) (fun channels _ _ ->
                    eventually patience "it was tried again" (fun () -> receiver.Arrivals.Length >= 2)
                    Expect.stringContains (stateOf channels "hook").LastResult "redirects are not followed" "told"
                    Expect.equal other.Arrivals [] "the other host heard nothing")

            testCase "what comes within ten seconds is one message; what comes later is another"
            <| fun () ->
                use receiver = new Receiver(fun _ -> good)

                withCourier
                    [ "hook", receiver.Url ]
                    (fun database now ->
                        change database (fun rows ->
                            for number in 1..12 do
                                rows.Add("hook", [| notice number |], now - 60L * second + int64 number * second / 2L)

                            rows.Add("hook", [| notice 13 |], now - 30L * second)))
                    (fun _ _ _ ->
                        eventually patience "both are accepted" (fun () -> receiver.Accepted.Length = 2)

                        let sizes =
                            receiver.Arrivals
                            |> List.map (fun arrival ->
                                use document = JsonDocument.Parse arrival.Body
                                document.RootElement.GetProperty("alerts").GetArrayLength())

                        Expect.equal sizes [ 12; 1 ] "twelve in one")

            testCase "a thousand wait for a channel; the oldest are dropped and counted, and so is what is older than a day"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "a.db"
                let now = RowKey.microseconds noon
                fill database "full" now 1

                change database (fun rows ->
                    for number in 1..1002 do
                        rows.Add("full", [| notice number |], now + int64 number * 20L * second)

                    let counts = rows.CountsOf "full"
                    Expect.equal (counts.Waiting, counts.Dropped) (1000, 3L) "the bound"
                    Expect.equal (rows.CountsOf "other") ChannelCounts.None "no other channel"
                    rows.Prune(now + 503L * 20L * second)
                    let counts = rows.CountsOf "full"
                    Expect.equal (counts.Waiting, counts.Dropped) (500, 503L) "the old ones")

            testCase "a message that is claimed is due again when nothing is heard of its attempt, and is not claimed twice before"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "a.db"
                let now = RowKey.microseconds noon
                fill database "hook" now 2

                change database (fun rows ->
                    let claim at =
                        rows.Claim([ "hook" ], at, at + 30L * second) |> List.ofSeq

                    let first = claim now
                    Expect.equal (first |> List.map _.Attempt) [ 1 ] "the first"
                    Expect.equal (claim (now + 29L * second)) [] "under way, and the second waits behind it"
                    let again = claim (now + 30L * second)

                    Expect.equal
                        (again |> List.map (fun message -> message.MessageId, message.Attempt))
                        [ first.Head.MessageId, 2 ]
                        "again"

                    rows.Delivered(again.Head, now + 31L * second, "ok")
                    Expect.notEqual (claim (now + 31L * second)).Head.MessageId first.Head.MessageId "then the second")

            testCase "kill -9 again and again: every message arrives, and one comes twice only with the id it had"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "a.db"
                let count = 40

                let manner number =
                    // Now and then it fails or loses its answer, beside being slow.
                    Threading.Thread.Sleep 20
                    if number % 11 = 7 then Manner.Answer(503, "") else good

                use receiver = new Receiver(manner)
                let options = [ "--alerts"; alertsFile place [ "hook", receiver.Url ] ]
                let start = DateTimeOffset.UtcNow
                fill database "hook" (RowKey.microseconds start) count
                let mutable runs = 0
                let clock = Diagnostics.Stopwatch.StartNew()

                while (receiver.Accepted |> List.distinct).Length < count
                      && clock.Elapsed < TimeSpan.FromSeconds 90.0 do
                    // Each life begins some minutes after the one before, so that leases and waits are over.
                    let ahead = string (runs * 700)
                    let dashboard, _ = serveWith [ "DASHBOARD_TEST_CLOCK_OFFSET", ahead ] database options
                    use dashboard = dashboard
                    let before = receiver.Arrivals.Length
                    let life = Diagnostics.Stopwatch.StartNew()

                    while receiver.Arrivals.Length < before + 6 + runs
                          && life.Elapsed < TimeSpan.FromSeconds 3.0
                          && (receiver.Accepted |> List.distinct).Length < count do
                        Threading.Thread.Sleep 5

                    dashboard.Signal SigKill
                    dashboard.WaitForEnd patience |> ignore
                    runs <- runs + 1

                Expect.isGreaterThan runs 2 "it was killed a few times"

                // What the last kill left is settled, and nothing is sent that was settled before.
                let dashboard, _ = serveWith [ "DASHBOARD_TEST_CLOCK_OFFSET", string (runs * 700) ] database options
                use dashboard = dashboard

                let waiting () =
                    use connection = Database.OpenForReading database
                    Database.Scalar(connection, "SELECT count(*) FROM outbox")

                eventually patience $"the outbox is empty; {dashboard.Said}" (fun () -> waiting () = 0L)
                let accepted = receiver.Arrivals |> List.filter _.IsAccepted
                Expect.equal (accepted |> List.map caseIn |> List.distinct |> List.sort) [ 1..count ] "none lost"
                Expect.equal (accepted |> List.distinctBy _.Id).Length count "none twice, by the id"
                // Only what was accepted while it was killed comes once more.
                Expect.isLessThanOrEqual (accepted.Length - count) runs "repetitions"

            testCase "alerts list and alerts test say what is there and what came of it, by exit codes"
            <| fun () ->
                use place = new TemporaryDirectory()
                use receiver = new Receiver(fun number -> if number = 0 then good else Manner.Answer(401, ""))
                let file = alertsFile place [ "hook", receiver.Url ]
                let code, output, errors = run [ "alerts"; "list"; "--alerts"; file ]
                Expect.equal (code, errors) (0, []) "list"
                let authority = receiver.Url.Replace("/hook", "")

                Expect.equal
                    (output
                     |> List.map (fun line -> line.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray))
                    [ [ "hook"; "webhook"; authority ] ]
                    "the channel"

                Expect.equal
                    (run
                        [
                            "alerts"
                            "test"
                            "hook"
                            "--alerts"
                            file
                            "--public-url"
                            "https://gpus.example/"
                        ])
                    (0, [ "hook (webhook): delivered: HTTP 200: ok" ], [])
                    "accepted"

                Expect.stringContains receiver.Arrivals.Head.Body "\"url\":\"https://gpus.example/\"" "the link"
                Expect.stringContains receiver.Arrivals.Head.Body "a test of the channel hook" "what"

                Expect.equal
                    (run [ "alerts"; "test"; "hook"; "--alerts"; file ])
                    (1, [], [ "ai-dashboard: hook (webhook): not delivered: HTTP 401: ok" ])
                    "not accepted"

                Expect.equal
                    (run [ "alerts"; "test"; "other"; "--alerts"; file ])
                    (2,
                     [],
                     [
                         $"ai-dashboard: CHANNEL: there is no channel \"other\" in \"{file}\"; it has hook"
                     ])
                    "no such channel"

                let unusable = place.File "unusable.json"

                File.WriteAllText(
                    unusable,
                    $"{{\"channels\": [{{\"name\": \"hook\", \"type\": \"webhook\", \"url\": \"{receiver.Url}\"}}], \"rules\": {{\"hung\": {{}}}}, \"routes\": [{{\"channel\": \"hok\"}}]}}"
                )

                for command in [ [ "list" ]; [ "test"; "hook" ] ] do
                    let code, output, errors = run ([ "alerts" ] @ command @ [ "--alerts"; unusable ])
                    Expect.equal (code, output, errors.Length) (2, [], 2) "what serve would not start with"
                    Expect.stringContains errors[0] "$.rules.hung: there is no such setting" "a rule"
                    Expect.stringContains errors[1] "$.routes[0].channel: expected the name of a channel" "a route"

                let missing = place.File "none"

                Expect.equal
                    (run [ "serve"; "--alerts"; missing; "--database"; place.File "a.db" ])
                    (2,
                     [],
                     [
                         $"ai-dashboard: --alerts: \"{missing}\" cannot be read: there is no such file or directory"
                     ])
                    "no such file"
        ]
    |> testSequenced
