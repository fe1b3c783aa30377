/// A real dashboard on a real disk that is full: a small tmpfs in a mount namespace of its own.
module Agent.Dashboard.Tests.FullDiskTests

open System
open System.Diagnostics
open System.IO
open System.Net.Http
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

/// Whether this user may mount something in a namespace of its own.
let private mayMount: Lazy<bool> =
    lazy
        (try
            let start = ProcessStartInfo("unshare", [ "--mount"; "mount"; "-t"; "tmpfs"; "tmpfs"; "/mnt" ])
            start.RedirectStandardError <- true

            match Process.Start start with
            | null -> false
            | tool ->
                use tool = tool
                tool.WaitForExit()
                tool.ExitCode = 0
         with :? ComponentModel.Win32Exception ->
             false)

/// A dashboard whose database lies on a tmpfs of 2 MiB that nobody else sees, and a server registered in it.
type private Confined(place: TemporaryDirectory) =
    let disk = Directory.CreateDirectory(place.File "disk").FullName
    let database = Path.Combine(disk, "dashboard.db")

    let script =
        $"mount -t tmpfs -o size=2m tmpfs '{disk}' && '{binary.Value}' register-server gpu-box-01 --database '{database}' && exec '{binary.Value}' serve --listen http://127.0.0.1:0 --database '{database}'"

    let running =
        // mount is not among the programs that the tests' own PATH has.
        let variables =
            World.environment ()
            |> List.map (fun (name, value) ->
                name,
                (if name = "PATH" then
                     "/usr/sbin:/usr/bin:/sbin:/bin"
                 else
                     value))

        new ProgramProcess("unshare", [ "--mount"; "sh"; "-c"; script ], variables)

    do
        eventually patience "it listens" (fun () ->
            if running.HasEnded then
                failtest running.Said

            (addressIn running.Output).IsSome)

    member _.Process = running
    member _.Port = Uri((addressIn running.Output).Value).Port

    member _.Server: Registered =
        {
            Slug = "gpu-box-01"
            Token = valueOf "INGEST_TOKEN" running.Output
        }

    /// A file on that disk, as this process sees it.
    member _.File(name: string) : string = $"/proc/{running.Id}/root{disk}/{name}"

    interface IDisposable with
        member _.Dispose() = (running :> IDisposable).Dispose()

/// Writes until the disk is full.
let private fill (path: string) : unit =
    use file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0)

    try
        while true do
            file.Write(Array.zeroCreate<byte> 4096, 0, 4096)
    with :? IOException ->
        ()

[<Tests>]
let tests =
    testList
        "Full disk"
        [
            testCase "agents, health, pages and the log are told, nothing is claimed, and room ends it"
            <| fun () ->
                if not mayMount.Value then
                    Skip.because "no mount namespaces for this user"

                use place = new TemporaryDirectory()
                use dashboard = new Confined(place)
                let start = freshInstant ()

                let send second =
                    post dashboard.Port dashboard.Server (body (sample (start.AddSeconds(float second))))

                send 0 |> accepted |> ignore
                Expect.equal (get dashboard.Port "/healthz").Status 200 "healthy"

                use http = new HttpClient(Timeout = TimeSpan.FromMinutes 1.0)

                use events =
                    new StreamReader(http.GetStreamAsync($"http://127.0.0.1:{dashboard.Port}/api/events/").Result)

                Expect.equal (events.ReadLine()) "event: storage" "how it is comes first"
                Expect.stringContains (string (events.ReadLine())) "\"stores\":true" "it stores"

                fill (dashboard.File "ballast")

                let rec lost second =
                    match send second with
                    | response when response.Status = 200 && second < 3000 -> lost (second + 1)
                    | response -> second, response

                let first, response = lost 1
                Expect.equal response.Status 503 response.Text
                Expect.stringContains response.Text "the disk is full" "the answer says why"
                let health = get dashboard.Port "/healthz"
                Expect.equal health.Status 503 "health"
                Expect.equal (textAt "database.fault" health.Json) "full" health.Text
                Expect.isFalse ((at "database.writes" health.Json).GetBoolean()) "it does not write"
                Expect.stringContains (textAt "database.reason" health.Json) "the disk is full" "why"
                let root = (get dashboard.Port "/api/").Json
                Expect.isFalse ((at "storage.stores" root).GetBoolean()) "the page is told"

                let listed () =
                    (get dashboard.Port "/api/servers/").Json |> at "servers" |> (fun all -> all[0])

                let seen = textAt "last_seen" (listed ())
                send (first + 1) |> refused 503 |> ignore
                Expect.equal (textAt "last_seen" (listed ())) seen "last seen"
                Expect.equal (textAt "latest.collected_at" (listed ())) (instant (start.AddSeconds(float (first - 1)))) "the newest"

                let rec next () =
                    match events.ReadLine() with
                    | "event: storage" -> string (events.ReadLine())
                    | null -> failtest "the events end"
                    | _ -> next ()

                Expect.stringContains (next ()) "\"fault\":\"full\"" "those who look are told"
                File.Delete(dashboard.File "ballast")

                eventually patience "it stores again" (fun () -> (get dashboard.Port "/healthz").Status = 200)
                Expect.stringContains (next ()) "\"stores\":true" "those who look are told that, too"
                send first |> accepted |> ignore

                let about (part: string) =
                    dashboard.Process.AllErrors |> List.filter _.Contains(part)

                Expect.equal (about "samples cannot be stored").Length 1 dashboard.Process.Said
                Expect.equal (about "samples are stored again").Length 1 dashboard.Process.Said
                dashboard.Process.Signal SigTerm
                Expect.equal (dashboard.Process.WaitForEnd patience) 0 dashboard.Process.Said
        ]
