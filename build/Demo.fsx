/// What the target Demo shows: the dashboard on a free port of the loopback interface, and the agent at work on this machine.
/// Nothing leaves the machine. `dotnet fsi build/Demo.fsx AGENT DASHBOARD DIRECTORY [--seconds N] [--gpus N] [--fleet N]`;
/// the directory, for the database and the token, is emptied first.

#load "demo/Conditions.fs"
#load "demo/Fleet.fs"
#load "demo/Programs.fs"
#load "demo/Replay.fs"
#load "demo/ScriptedGpus.fs"

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Text.Json
open System.Threading
open Demo
open Demo.Programs

type Options =
    {
        Agent: string
        Dashboard: Dashboard
        Directory: string
        /// How long it runs; without, until Ctrl-C.
        Seconds: int voption
        /// Scripted GPUs of this machine.
        Gpus: int
        /// Scripted machines beside this one.
        Fleet: int
    }

let private slug = "this-machine"

/// Registers this machine; its token goes to a file that only this user can read.
let private registerThisMachine options =
    let token = options.Dashboard.Register(slug, Dns.GetHostName())
    let file = Path.Combine(options.Directory, "ingest-token")
    File.WriteAllText(file, "")
    File.SetUnixFileMode(file, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)
    File.WriteAllText(file, token + "\n")
    file

/// The fleet in its three parts: those that run, one that is disabled after its history, one that never starts.
let private enrol options =
    let members =
        [
            for number in 0 .. options.Fleet - 1 do
                let machine = Fleet.machine number
                machine, options.Dashboard.Register(machine.Slug, machine.Name)
        ]

    if members.Length < 6 then
        members, []
    else
        List.take (members.Length - 2) members, [ members[members.Length - 2] ]

let private backFill options http address members stopped =
    if options.Fleet > 0 then
        printfn $"A day of history for %d{List.length members} scripted machines …"
        let count, seconds = Replay.backFill http address Fleet.moments members stopped
        // What passed meanwhile, so that the present joins on without a gap.
        let since = [ for ago in seconds .. -2.0 .. 1.0 -> ago, 2.0 ]
        let more, further = Replay.backFill http address since members stopped
        printfn $"%d{count + more} samples stored in %.1f{seconds + further} s."

/// The agent's arguments for this machine, and what plays its scripted GPUs if there are any.
let private agentArguments options address tokenFile : string list * IDisposable voption =
    let plain =
        [
            "--host"
            address
            "--server-slug"
            slug
            "--token-file"
            tokenFile
            "--interval"
            "1"
        ]

    if options.Gpus = 0 then
        plain, ValueNone
    else
        match ScriptedGpus.compile (Path.Combine(__SOURCE_DIRECTORY__, "..")) options.Directory with
        | Error reason -> failwith reason
        | Ok library ->
            plain @ [ "--gpu-source"; "nvml"; "--nvml-library"; library ],
            ValueSome(new ScriptedGpus.Player(options.Directory, options.Gpus))

let private announce options address =
    let gpus =
        if options.Gpus > 0 then
            $" with %d{options.Gpus} scripted GPUs"
        else
            ""

    let ends =
        match options.Seconds with
        | ValueSome seconds -> $"for %d{seconds} s"
        | ValueNone -> "until Ctrl-C"

    printfn $"\n  The dashboard    %s{address}/"
    printfn $"  This machine%s{gpus}    %s{address}/servers/%s{slug}\n"
    printfn $"One sample a second, %s{ends}:\n"

/// What the dashboard says of this machine: its state, and its label once it has one.
let private shown (http: HttpClient) (address: string) =
    try
        use said = JsonDocument.Parse((http.GetStringAsync $"%s{address}/api/servers/").Result)

        let mine =
            said.RootElement.GetProperty("servers").EnumerateArray()
            |> Seq.find (fun server -> server.GetProperty("slug").GetString() = slug)

        let label =
            match mine.GetProperty "latest" with
            | latest when latest.ValueKind = JsonValueKind.Object -> latest.GetProperty("bottleneck").GetString()
            | _ -> ""

        mine.GetProperty("state").GetString(), label
    with :? AggregateException as e ->
        $"out of reach (%s{e.InnerException.Message})", ""

/// So long the first sample may take.
let private patience = 30.0

/// Has the agent deliver until the time is over or Ctrl-C. The time counts from the first sample that the dashboard shows.
let private watch options (interruption: Interruption) (dashboard: Process) http address tokenFile =
    let arguments, gpus = agentArguments options address tokenFile

    try
        announce options address
        openInBrowser (address + "/")
        use agent = Process.Start(startInfo options.Agent arguments)
        let since = Stopwatch.StartNew()

        let rec wait milliseconds (until: unit -> bool) =
            if not (interruption.Wait milliseconds) && not (until ()) then
                // It may have been quicker to see the Ctrl-C.
                if (agent.HasExited || dashboard.HasExited) && not (interruption.Wait 1000) then
                    failwith $"""The %s{if agent.HasExited then "agent" else "dashboard"} exited by itself."""

                wait milliseconds until

        try
            wait 250 (fun () -> fst (shown http address) = "live" || since.Elapsed.TotalSeconds > patience)
            since.Restart()

            wait 100 (fun () ->
                options.Seconds
                |> ValueOption.exists (fun seconds -> since.Elapsed.TotalSeconds > float seconds))
        finally
            if not agent.HasExited then
                stop "agent" agent interruption.Came
    finally
        gpus |> ValueOption.iter _.Dispose()

    // After Ctrl-C the dashboard is on its way out as well.
    if not interruption.Came then
        match shown http address with
        | "live", label -> printfn $"The dashboard shows this machine as live: %s{label}."
        | state, _ -> failwith $"The dashboard shows this machine as %s{state}, not as live."

let private run options =
    for program in [ options.Agent; options.Dashboard.Program ] do
        if not (File.Exists program) then
            failwith $"There is no program at %s{program}."

    if Directory.Exists options.Directory then
        Directory.Delete(options.Directory, true)

    Directory.CreateDirectory options.Directory |> ignore
    use interruption = new Interruption()
    use ending = new CancellationTokenSource()
    use http = new HttpClient(Timeout = TimeSpan.FromSeconds 30.0)
    let tokenFile = registerThisMachine options
    let playing, disabled = enrol options
    let dashboard, address = options.Dashboard.Serve()

    try
        backFill options http address (playing @ disabled) ending.Token

        for machine, _ in disabled do
            options.Dashboard.Command("register-server", [ machine.Slug; "--inactive" ])
            |> ignore

        let replay = Replay.play http address playing ending.Token
        watch options interruption dashboard http address tokenFile
        ending.Cancel()
        replay.Wait()
    finally
        stop "dashboard" dashboard interruption.Came
        dashboard.Dispose()

let rec private parse options arguments =
    let number (text: string) next =
        match Int32.TryParse text with
        | true, value when value > 0 -> next value
        | _ -> None

    match arguments with
    | [] -> Some options
    | "--seconds" :: text :: rest -> number text (fun n -> parse { options with Seconds = ValueSome n } rest)
    | "--gpus" :: text :: rest -> number text (fun n -> parse { options with Gpus = n } rest)
    | "--fleet" :: text :: rest -> number text (fun n -> parse { options with Fleet = n } rest)
    | _ -> None

let private options =
    match List.ofArray fsi.CommandLineArgs with
    | _ :: agent :: dashboard :: directory :: rest ->
        let plain =
            {
                Agent = agent
                Dashboard =
                    {
                        Program = dashboard
                        Database = Path.Combine(directory, "dashboard.db")
                    }
                Directory = directory
                Seconds = ValueNone
                Gpus = 0
                Fleet = 0
            }

        parse plain rest
    | _ -> None

match options with
| Some options ->
    try
        run options
    with e ->
        eprintfn $"%s{e.Message}"
        exit 1
| None ->
    eprintfn "usage: dotnet fsi build/Demo.fsx AGENT DASHBOARD DIRECTORY [--seconds N] [--gpus N] [--fleet N]"
    exit 2
