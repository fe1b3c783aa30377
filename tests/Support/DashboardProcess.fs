/// The real `ai-dashboard` as a process of its own, on a free port of the loopback interface.
module Agent.TestSupport.DashboardProcess

open System
open System.IO
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.RawHttp
open Expecto

/// What cannot be caught.
[<Literal>]
let SigKill = 9

/// The dashboard under test: DASHBOARD_BINARY, else the built one.
let binary: Lazy<string> = lazy (builtProgram "Agent.Dashboard" "ai-dashboard" "DASHBOARD_BINARY")

/// A directory of its own that is gone with the value.
type TemporaryDirectory() =
    let path = Directory.CreateTempSubdirectory("dashboard-").FullName

    /// Where it is.
    member _.Path: string = path

    /// A file in it.
    member _.File(name: string) : string = Path.Combine(path, name)

    interface IDisposable with
        member _.Dispose() =
            try
                Directory.Delete(path, true)
            with :? IOException ->
                ()

/// A running dashboard, or one of its commands, and what it printed. Disposing of it kills what still runs.
type DashboardProcess(words: string list, variables: (string * string) list) =
    inherit
        ProgramProcess(
            binary.Value,
            words,
            (Agent.TestSupport.World.environment ()
             |> List.filter (fun (name, _) -> not (List.exists (fst >> (=) name) variables)))
            @ variables
        )

/// What a command printed, and its exit code.
let run (words: string list) : int * string list * string list =
    use command = new DashboardProcess(words, [])
    let code = command.WaitForEnd patience
    code, command.Output, command.AllErrors

/// The address in the line that a dashboard prints when it listens.
let addressIn (lines: string list) : string option =
    lines
    |> List.tryPick (fun line ->
        let marker = " listens on "

        match line.IndexOf marker with
        | -1 -> None
        | at -> Some(line.Substring(at + marker.Length).Split(',')[0]))

/// Starts `serve` on a free port with these variables and options, and waits until it listens: the process and its address.
let serveWith (variables: (string * string) list) (database: string) (options: string list) : DashboardProcess * string =
    let words =
        [ "serve"; "--database"; database ]
        @ (if List.contains "--listen" options then
               []
           else
               [ "--listen"; "http://127.0.0.1:0" ])
        @ options

    let dashboard = new DashboardProcess(words, variables)

    try
        // How fast it starts is not what most tests are about, and several may start at once.
        eventually patience $"it listens; {dashboard.Said}" (fun () ->
            if dashboard.HasEnded then
                failtest $"it ended; {dashboard.Said}"

            (addressIn dashboard.Output).IsSome)
    with _ ->
        (dashboard :> IDisposable).Dispose()
        reraise ()

    dashboard, (addressIn dashboard.Output).Value

/// Starts `serve` on a free port with these options, and waits until it listens.
let serve (database: string) (options: string list) : DashboardProcess * string = serveWith [] database options

/// The value of the one line `NAME=value` among what a command printed.
let valueOf (name: string) (output: string list) : string =
    let mark = name + "="

    match output |> List.filter _.StartsWith(mark) with
    | [ line ] -> line.Substring mark.Length
    | _ -> failtest $"expected one line with {mark}, got %A{output}"

/// Runs a command that must succeed, and returns the value of the line `NAME=value` that it prints.
let printedBy (name: string) (words: string list) : string =
    match run words with
    | 0, output, _ -> valueOf name output
    | failed -> failtest $"%A{words}: %A{failed}"

/// Runs a command that prints the token of a server, and returns the token.
let tokenFrom (words: string list) : string = printedBy "INGEST_TOKEN" words

/// A server that is registered.
type Registered = { Slug: string; Token: string }

/// Registers a server in this database.
let register (database: string) (slug: string) (options: string list) : Registered =
    {
        Slug = slug
        Token = tokenFrom ([ "register-server"; slug; "--database"; database ] @ options)
    }

/// A dashboard that serves until it is disposed of. It must not print the token of a server that is registered here.
type Dashboard(database: string, options: string list, variables: (string * string) list) =
    let serving, url = serveWith variables database options

    /// The same with a plain environment.
    new(database: string, options: string list) = new Dashboard(database, options, [])

    /// Where it listens, without a slash at the end.
    member _.Url = url

    /// The port of the same.
    member _.Port = Uri(url).Port

    /// The database's file.
    member _.Database = database

    /// Its process.
    member _.Process = serving

    /// Registers a server while it serves.
    member _.Register(slug: string, options: string list) : Registered =
        let server = register database slug options
        lock serving (fun () -> serving.Secrets <- server.Token :: serving.Secrets)
        server

    /// Stops it as a service manager would; it must end in good order.
    member _.Stop() : unit =
        serving.Signal SigTerm
        Expect.equal (serving.WaitForEnd patience) 0 $"exit code; {serving.Said}"

    interface IDisposable with
        member _.Dispose() = (serving :> IDisposable).Dispose()

/// Posts a body as an agent does.
let post (port: int) (server: Registered) (body: string) : Response =
    let bytes = Text.Encoding.UTF8.GetBytes body

    exchange
        port
        (request
            $"POST /api/ingest/servers/{server.Slug}/metrics/ HTTP/1.1"
            [
                "Host", $"127.0.0.1:{port}"
                "X-Monitoring-Token", server.Token
                "Content-Type", "application/json"
                "Accept", "application/json"
                "Content-Length", string bytes.Length
                "Connection", "close"
            ]
            bytes)
