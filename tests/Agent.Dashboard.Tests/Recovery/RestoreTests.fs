/// `check`, `backup` into a directory, `restore`, and the lock that one dashboard has on its database.
module Agent.Dashboard.Tests.RestoreTests

open System
open System.IO
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

/// Runs a command that has to end with that code: what it printed, and what it complained of.
let private ends (code: int) (words: string list) : string * string =
    match run words with
    | found, output, errors when found = code -> String.concat "\n" output, String.concat "\n" errors
    | other -> failtest $"%A{words}: %A{other}"

/// A database with a server and so many samples, one a second from that instant on.
let private filled (place: TemporaryDirectory) (start: DateTimeOffset) (count: int) : string * Registered =
    let database = place.File "dashboard.db"
    use dashboard = new Dashboard(database, [])
    let server = dashboard.Register("gpu-box-01", [])

    for second in 0 .. count - 1 do
        post dashboard.Port server (body (sample (start.AddSeconds(float second))))
        |> accepted
        |> ignore

    dashboard.Stop()
    database, server

/// How many pages a database has that holds the schema and one server, and nothing else.
let private firstPages: Lazy<int64> =
    lazy
        (use place = new TemporaryDirectory()
         let database = place.File "new.db"
         register database "gpu-box-01" [] |> ignore
         FileInfo(database).Length / 4096L)

/// Overwrites all of a database but its first pages, which hold the schema and the servers.
let private damage (database: string) : unit =
    use file = new FileStream(database, FileMode.Open, FileAccess.ReadWrite)

    for page in firstPages.Value .. file.Length / 4096L - 1L do
        file.Position <- page * 4096L
        file.Write(Array.create 4096 0xA5uy, 0, 4096)

let private filesIn (place: TemporaryDirectory) : string list =
    Directory.GetFiles place.Path
    |> Array.map (fun path -> string (Path.GetFileName path))
    |> List.ofArray

[<Tests>]
let tests =
    testList
        "Restore"
        [
            testCase "check tells of a whole database what is in it"
            <| fun () ->
                use place = new TemporaryDirectory()
                let start = freshInstant ()
                let database, _ = filled place start 3
                let said, _ = ends 0 [ "check"; "--database"; database ]

                for part in
                    [
                        database
                        "integrity  ok"
                        "in use     by no dashboard"
                        "layouts    1, 0 of them unused"
                        "servers    1"
                        $"{instant start}"
                        $"{instant (start.AddSeconds 2.0)}"
                        " free"
                    ] do
                    Expect.stringContains said part said

            testCase "check of a database that is served says by whom"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                use dashboard = new Dashboard(database, [])
                let said, _ = ends 0 [ "check"; "--database"; database ]
                Expect.stringContains said $"process ID {dashboard.Process.Id}" said
                Expect.stringContains said dashboard.Url said
                dashboard.Stop()

            testCase "a second dashboard says who has the database, and ends with code 2"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                use dashboard = new Dashboard(database, [])
                let _, errors = ends 2 [ "serve"; "--listen"; "http://127.0.0.1:0"; "--database"; database ]
                Expect.stringContains errors $"process ID {dashboard.Process.Id}" errors
                Expect.stringContains errors dashboard.Url errors
                // By another name too.
                let link = place.File "link.db"
                File.CreateSymbolicLink(link, database) |> ignore
                let _, errors = ends 2 [ "serve"; "--listen"; "http://127.0.0.1:0"; "--database"; link ]
                Expect.stringContains errors $"process ID {dashboard.Process.Id}" errors
                dashboard.Process.Signal SigKill
                dashboard.Process.WaitForEnd patience |> ignore
                // The lock ends with its process.
                use next = new Dashboard(database, [])
                next.Stop()

            testCase "a damaged database names the two commands that help, and they do"
            <| fun () ->
                use place = new TemporaryDirectory()
                let start = freshInstant ()
                let database, server = filled place start 1500
                let backups = Directory.CreateDirectory(place.File "backups").FullName
                ends 0 [ "backup"; backups; "--database"; database ] |> ignore
                let backup = Directory.GetFiles backups |> Array.exactlyOne
                damage database

                let said, errors = ends 1 [ "check"; "--database"; database ]
                Expect.stringContains said "integrity  DAMAGED" said
                Expect.stringContains errors "ai-dashboard restore FILE" errors
                let _, errors = ends 1 [ "serve"; "--listen"; "http://127.0.0.1:0"; "--database"; database ]
                Expect.stringContains errors $"`ai-dashboard check --database {database}`" errors
                Expect.stringContains errors $"`ai-dashboard restore FILE --database {database}`" errors

                let damaged = File.ReadAllBytes database
                let said, _ = ends 0 [ "restore"; backup; "--yes"; "--database"; database ]

                let aside =
                    filesIn place
                    |> List.find (fun name -> name.StartsWith "dashboard.db.before-" && not (name.EndsWith "-wal"))

                Expect.stringContains said aside "it says where the old one is"
                Expect.equal (File.ReadAllBytes(place.File aside)) damaged "the old one, as it was"

                use dashboard = new Dashboard(database, [])

                let snapshot =
                    (get dashboard.Port "/api/metrics/latest/?server=gpu-box-01").Json
                    |> at "snapshot"

                Expect.equal (textAt "collected_at" snapshot) (instant (start.AddSeconds 1499.0)) "what the backup had"

                post dashboard.Port server (body (sample (start.AddSeconds 1500.0)))
                |> accepted
                |> ignore

                dashboard.Stop()
                let said, _ = ends 0 [ "check"; "--database"; database ]
                Expect.stringContains said "1501" said

            testCase "restore refuses a database that is served, a backup that is damaged or none, and to be asked by nobody"
            <| fun () ->
                use place = new TemporaryDirectory()
                let start = freshInstant ()
                let database, _ = filled place start 1500
                let backup = place.File "backup.db"
                ends 0 [ "backup"; backup; "--database"; database ] |> ignore
                let before = File.ReadAllBytes database
                let _, errors = ends 2 [ "restore"; backup; "--database"; database ]
                Expect.stringContains errors "use --yes" errors

                let bad = place.File "bad.db"
                File.Copy(backup, bad)
                damage bad
                let _, errors = ends 1 [ "restore"; bad; "--yes"; "--database"; database ]
                Expect.stringContains errors "bad.db\" is damaged" errors
                let none = place.File "none.db"
                File.WriteAllText(none, String('x', 9000))
                ends 1 [ "restore"; none; "--yes"; "--database"; database ] |> ignore

                ends 1 [ "restore"; place.File "nowhere.db"; "--yes"; "--database"; database ]
                |> ignore

                Expect.equal (File.ReadAllBytes database) before "the database is as it was"

                use dashboard = new Dashboard(database, [])
                let _, errors = ends 2 [ "restore"; backup; "--yes"; "--database"; database ]
                Expect.stringContains errors $"process ID {dashboard.Process.Id}" errors
                dashboard.Stop()
                Expect.isEmpty (filesIn place |> List.filter _.Contains("before-")) "nothing was put aside"

            testCase "backups in a directory are thinned out, and what is not one of them stays"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                register database "gpu-box-01" [] |> ignore
                let directory = Directory.CreateDirectory(place.File "backups").FullName

                let old =
                    [
                        for day in 1..5 -> Path.Combine(directory, $"ai-dashboard-2020010{day}T000000Z.db")
                    ]

                for path in Path.Combine(directory, "mine.db") :: old do
                    File.WriteAllText(path, "old")

                ends 0 [ "backup"; directory; "--keep"; "3"; "--database"; database ] |> ignore

                let left =
                    Directory.GetFiles directory
                    |> Array.map (fun path -> string (Path.GetFileName path))
                    |> Array.sort

                Expect.equal left.Length 4 $"%A{left}"
                Expect.contains left "mine.db" "another file"
                Expect.contains left "ai-dashboard-20200105T000000Z.db" "the newest of the old ones"
                let _, errors = ends 2 [ "backup"; place.File "b.db"; "--keep"; "3"; "--database"; database ]
                Expect.stringContains errors "--keep needs a directory" errors

            testCase "remove-server asks, or wants --yes"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database, _ = filled place (freshInstant ()) 2
                let _, errors = ends 2 [ "remove-server"; "gpu-box-01"; "--database"; database ]
                Expect.stringContains errors "gpu-box-01 and its 2 samples" errors
                Expect.stringContains errors "--yes" errors
                let said, _ = ends 0 [ "list-servers"; "--database"; database ]
                Expect.stringContains said "gpu-box-01" "it is still there"

            testCase "register-server prints the address of the dashboard that serves the database"
            <| fun () ->
                use place = new TemporaryDirectory()
                let database = place.File "dashboard.db"
                use dashboard = new Dashboard(database, [])
                let said, _ = ends 0 [ "register-server"; "gpu-box-01"; "--database"; database ]
                Expect.stringContains said $"--host {dashboard.Url} " said
                Expect.isFalse (said.Contains "No dashboard serves") said
                dashboard.Stop()
                let said, _ = ends 0 [ "register-server"; "gpu-box-02"; "--database"; database ]
                Expect.stringContains said "No dashboard serves this database at present" said

            testCase "what is kept and how much room that needs is printed at the start"
            <| fun () ->
                use place = new TemporaryDirectory()

                use dashboard =
                    new Dashboard(place.File "dashboard.db", [ "--raw-hours"; "6"; "--retention-days"; "30" ])

                eventually patience "the line" (fun () ->
                    dashboard.Process.Output
                    |> List.exists _.Contains("keeps samples for 6 hours and minutes for 30 days: about "))

                let root = (get dashboard.Port "/api/").Json
                Expect.equal (numberAt "raw_hours" root, numberAt "retention_days" root) (6.0, 30.0) "and told"
                dashboard.Stop()
        ]
