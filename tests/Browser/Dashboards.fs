/// Dashboards to look at: an empty one, and one with a scripted fleet that all tests share.
module Agent.Browser.Tests.Dashboards

open System
open System.Collections.Concurrent
open System.IO
open System.Net.Http
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Demo

/// What finds the card of a machine. Until the list is there, cards without a machine keep its place.
let card: string = ".machine[data-slug]"

/// Runs a test against a dashboard with a database of its own.
let withDashboard (options: string list) (test: Dashboard -> unit) : unit =
    use directory = new TemporaryDirectory()
    use dashboard = new Dashboard(directory.File "dashboard.db", options)
    test dashboard

/// Runs a test against one that asks for a password.
let withPassword (password: string) (test: Dashboard -> unit) : unit =
    use directory = new TemporaryDirectory()
    let file = directory.File "viewer-password"
    File.WriteAllText(file, password + "\n")
    withDashboard [ "--viewer-password-file"; file ] test

/// Files of users, by name and password: each is made once.
let private userFiles = ConcurrentDictionary<string * string, Lazy<byte[]>>()

let private userFile (name: string) (password: string) : byte[] =
    userFiles
        .GetOrAdd(
            (name, password),
            fun _ ->
                lazy
                    (use directory = new TemporaryDirectory()
                     LoginClient.addUser (directory.File "users") name "admin" password
                     File.ReadAllBytes(directory.File "users"))
        )
        .Value

/// Runs a test against one with a user, who is an admin.
let withUser (name: string) (password: string) (options: string list) (test: Dashboard -> unit) : unit =
    use directory = new TemporaryDirectory()
    File.WriteAllBytes(directory.File "users", userFile name password)
    File.SetUnixFileMode(directory.File "users", UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
    withDashboard ([ "--users-file"; directory.File "users" ] @ options) test

/// Posts the moments of machines of the demo's fleet, each registered first.
let fill (dashboard: Dashboard) (moments: (float * float) list) (machines: Fleet.Machine list) : Replay.Member list =
    let members =
        machines
        |> List.map (fun machine -> machine, dashboard.Register(machine.Slug, [ "--name"; machine.Name ]).Token)

    use http = new HttpClient()

    Replay.backFill http dashboard.Url moments members CancellationToken.None
    |> ignore

    members

/// An hour at six samples a minute, up to now.
let lastHour: (float * float) list = [ for ago in 3600.0 .. -10.0 .. 0.0 -> ago, 10.0 ]

/// Fourteen days, more closely at the end, which fill every bucket of the longest range.
let fortnight: (float * float) list =
    [ 1209000.0 .. -900.0 .. 3600.0 ] @ [ 3590.0 .. -10.0 .. 0.0 ]
    |> List.pairwise
    |> List.map (fun (before, at) -> at, before - at)

/// A dashboard that is there from when it is first asked for until all tests have run.
let lasting (prepare: Dashboard -> unit) : Lazy<Dashboard> =
    lazy
        (let directory = new TemporaryDirectory()
         let dashboard = new Dashboard(directory.File "dashboard.db", [])

         try
             prepare dashboard
         finally
             AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
                 (dashboard :> IDisposable).Dispose()
                 (directory :> IDisposable).Dispose())

         dashboard)

/// The shared fleet: ten machines, one for each label, one without GPUs, and one that never sent anything. It is played on in the
/// background, so that its pages live.
let private shared: Lazy<Dashboard> =
    lasting (fun dashboard ->
        let members = fill dashboard lastHour [ for number in 0..11 -> Fleet.machine number ]
        dashboard.Register("never-started", []) |> ignore
        let ending = new CancellationTokenSource()
        let http = new HttpClient()
        let playing = Replay.play http dashboard.Url members ending.Token

        AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
            ending.Cancel()
            playing.Wait 3000 |> ignore
            http.Dispose()))

/// The address of the shared fleet.
let fleet () : string = shared.Value.Url
