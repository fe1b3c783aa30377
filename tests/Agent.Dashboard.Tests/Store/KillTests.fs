/// kill -9 at random moments under load: every sample that was acknowledged is there, and the database is whole.
module Agent.Dashboard.Tests.KillTests

open System
open System.IO
open System.Net.Sockets
open System.Text.Json
open System.Threading
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto
open Microsoft.Data.Sqlite

let private isSoak = Environment.GetEnvironmentVariable "AGENT_TEST_LEVEL" = "soak"

let private kills = if isSoak then 100 else 10

/// What SQLite itself says of a database: "ok" when it is whole.
let private integrityOf (database: string) : string list =
    use connection = new SqliteConnection($"Data Source={database};Pooling=False")
    connection.Open()
    use command = connection.CreateCommand()
    command.CommandText <- "PRAGMA integrity_check"
    use reader = command.ExecuteReader()

    [
        while reader.Read() do
            reader.GetString 0
    ]

/// A copy of the database as the kill left it, which looking at does not repair the original.
let private integrityAfterKill (database: string) : string list =
    use place = new TemporaryDirectory()

    for ending in [ ""; "-wal" ] do
        if File.Exists(database + ending) then
            File.Copy(database + ending, place.File("copy.db" + ending))

    integrityOf (place.File "copy.db")

/// A server and how many of its samples were acknowledged: those with the numbers below, one a second.
type private Stream =
    {
        Server: Registered
        mutable Acknowledged: int
    }

/// The number of a sample stands in it as the count of processes.
let private numbered (start: DateTimeOffset) (number: int) : Members =
    sample (start.AddSeconds(float number))
    |> setAll
        [
            "process_count", string number
            "gpus", list [ gpu 0 "97" "25"; gpu 1 "40" "20" ]
        ]

/// Posts one sample after the other until the connection breaks. A sample without an answer is the first of the next time.
let private postUntilItBreaks (port: int) (start: DateTimeOffset) (stream: Stream) (isAcknowledged: unit -> unit) =
    try
        use conversation = new Conversation(port)
        let mutable goesOn = true

        while goesOn do
            let bytes = utf8 (body (numbered start stream.Acknowledged))

            conversation.Send(
                request
                    $"POST /api/ingest/servers/{stream.Server.Slug}/metrics/ HTTP/1.1"
                    [
                        "Host", "127.0.0.1"
                        "X-Monitoring-Token", stream.Server.Token
                        "Content-Length", string bytes.Length
                    ]
                    bytes
            )

            match conversation.TryRead true with
            | Some response ->
                accepted response |> ignore
                stream.Acknowledged <- stream.Acknowledged + 1
                isAcknowledged ()
            | None -> goesOn <- false
    with
    | :? IOException
    | :? SocketException -> ()

/// The numbers of the samples that a dashboard shows for that part of a stream, by their instants.
let private shown (port: int) (start: DateTimeOffset) (stream: Stream) (first: int) (count: int) : Map<int64, float> =
    let until = start.AddSeconds(float (first + count - 1))
    let minutes = (count + 59) / 60

    let target =
        $"/api/metrics/history/?server={stream.Server.Slug}&minutes={minutes}&to={Uri.EscapeDataString(instant until)}"

    let history = (get port target).Json
    Expect.equal (textAt "source" history) "raw" "single samples"

    Seq.zip ((at "time" history).EnumerateArray()) ((at "series.process_count.mean" history).EnumerateArray())
    |> Seq.map (fun (time, value) -> time.GetInt64(), value.GetDouble())
    |> Map.ofSeq

/// That every acknowledged sample is there, with its figures.
let private isAllThere (port: int) (start: DateTimeOffset) (stream: Stream) =
    for first in 0..1200 .. stream.Acknowledged - 1 do
        let count = min 1200 (stream.Acknowledged - first)
        let found = shown port start stream first count

        for number in first .. first + count - 1 do
            let time = start.AddSeconds(float number).ToUnixTimeMilliseconds()

            match found.TryFind time with
            | Some value when value = float number -> ()
            | other -> failtest $"{stream.Server.Slug}: sample {number} of {stream.Acknowledged} acknowledged: %A{other}"

/// That the minutes say of the acknowledged samples what the samples say: each counted once.
let private areMinutesRight (port: int) (start: DateTimeOffset) (stream: Stream) =
    let history = (get port $"/api/metrics/history/?server={stream.Server.Slug}&minutes=4320").Json
    Expect.equal (textAt "source" history) "minute" "minutes"
    let bucket = numberAt "bucket_seconds" history

    let times = [ for time in (at "time" history).EnumerateArray() -> time.GetInt64() ]

    let values name =
        [
            for value in (at $"series.process_count.{name}" history).EnumerateArray() ->
                if value.ValueKind = JsonValueKind.Null then
                    nan
                else
                    value.GetDouble()
        ]

    let filled =
        List.zip times (List.zip3 (values "min") (values "mean") (values "max"))
        |> List.filter (fun (_, (_, mean, _)) -> not (Double.IsNaN mean))

    Expect.isNonEmpty filled $"{stream.Server.Slug}: minutes"

    for time, (lowest, mean, highest) in filled do
        // The numbers of the samples in this bucket, of which there is one a second.
        let first = int ((DateTimeOffset.FromUnixTimeMilliseconds time - start).TotalSeconds)
        let last = first + int bucket - 1
        let first = max 0 first

        // Beyond the last that was acknowledged there may be one more.
        if last < stream.Acknowledged then
            Expect.equal (lowest, highest) (float first, float last) $"{stream.Server.Slug}: the ends of bucket {first}"
            Expect.floatClose Accuracy.medium mean (float (first + last) / 2.0) $"{stream.Server.Slug}: the mean of bucket {first}"

let private killTest =
    testCase $"{kills} kills under load: what was acknowledged is there, and the database is whole"
    <| fun () ->
        use place = new TemporaryDirectory()
        let database = place.File "dashboard.db"

        let streams =
            [
                for i in 1..8 ->
                    {
                        Server = register database $"gpu-box-{i}" []
                        Acknowledged = 0
                    }
            ]

        let start =
            let now = DateTimeOffset.UtcNow.AddHours -40.0
            DateTimeOffset(now.Year, now.Month, now.Day, now.Hour, 0, 0, TimeSpan.Zero)

        let seed = Random.Shared.Next()
        let random = Random seed

        for kill in 1..kills do
            use dashboard = new Dashboard(database, [])
            use underWay = new ManualResetEventSlim()

            let posters =
                [
                    for stream in streams ->
                        let poster =
                            Thread((fun () -> postUntilItBreaks dashboard.Port start stream underWay.Set), IsBackground = true)

                        poster.Start()
                        poster
                ]

            Expect.isTrue (underWay.Wait patience) $"something is acknowledged; {dashboard.Process.Said}"
            Thread.Sleep(random.Next 500)
            dashboard.Process.Signal SigKill

            for poster in posters do
                Expect.isTrue (poster.Join patience) "the connection breaks"

            dashboard.Process.WaitForEnd patience |> ignore
            Expect.equal (integrityAfterKill database) [ "ok" ] $"after kill {kill} (seed {seed})"

        use dashboard = new Dashboard(database, [])

        for stream in streams do
            Expect.isGreaterThan stream.Acknowledged 0 $"{stream.Server.Slug} posted"
            isAllThere dashboard.Port start stream
            areMinutesRight dashboard.Port start stream

        printfn $"{kills} kills, {streams |> List.sumBy _.Acknowledged} samples acknowledged, all of them there"
        dashboard.Stop()
        Expect.equal (integrityOf database) [ "ok" ] "at the end"

let private startTest =
    testCase "a kill while it starts, at the first time or later, spoils nothing"
    <| fun () ->
        use place = new TemporaryDirectory()
        let database = place.File "dashboard.db"

        for milliseconds in [ 40..40..400 ] do
            use starting =
                new DashboardProcess([ "serve"; "--listen"; "http://127.0.0.1:0"; "--database"; database ], [])

            Thread.Sleep milliseconds
            starting.Signal SigKill
            starting.WaitForEnd patience |> ignore

        use dashboard = new Dashboard(database, [])
        let server = dashboard.Register("gpu-box-01", [])

        post dashboard.Port server (body (sample (freshInstant ())))
        |> accepted
        |> ignore

        dashboard.Stop()
        Expect.equal (integrityOf database) [ "ok" ] "whole"

[<Tests>]
let tests = testSequencedGroup "kills" (testList "Kill" [ killTest; startTest ])
