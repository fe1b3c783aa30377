/// The programs that the demo runs: starting them, waiting for Ctrl-C, stopping them in good order.
module Demo.Programs

open System
open System.ComponentModel
open System.Diagnostics
open System.Runtime.InteropServices
open System.Threading
open System.Threading.Tasks

[<DllImport("libc", EntryPoint = "kill")>]
extern int private sendSignal(int pid, int signal)

let private SIGTERM = 15

/// A program with none of the agent's variables from the caller's environment.
let startInfo (program: string) (arguments: string list) : ProcessStartInfo =
    let info = ProcessStartInfo(program, arguments, UseShellExecute = false)

    for name in List.ofSeq info.Environment.Keys do
        if name.StartsWith("AI_DASHBOARD_", StringComparison.Ordinal) then
            info.Environment.Remove name |> ignore

    info

/// Set by Ctrl-C and by SIGTERM, which then do not end this process.
type Interruption() =
    let flag = new ManualResetEventSlim()

    let react (context: PosixSignalContext) =
        context.Cancel <- true
        flag.Set()

    let signals =
        [ PosixSignal.SIGINT; PosixSignal.SIGTERM ]
        |> List.map (fun signal -> PosixSignalRegistration.Create(signal, react))

    /// Waits for it, at most this long; whether it came.
    member _.Wait(milliseconds: int) : bool = flag.Wait milliseconds

    /// Whether it came.
    member _.Came: bool = flag.IsSet

    interface IDisposable with
        member _.Dispose() =
            for signal in signals do
                signal.Dispose()

            flag.Dispose()

/// Ends a program as systemd would. A terminal sends Ctrl-C to it as well, and a second signal would cut its last request
/// short: after an interruption it is only sent one if it is still there after a moment. Fails unless it ends well.
let stop (what: string) (program: Process) (interrupted: bool) : unit =
    if not (interrupted && program.WaitForExit 2000) && not program.HasExited then
        sendSignal (program.Id, SIGTERM) |> ignore

    if not (program.WaitForExit 10000) then
        program.Kill()
        failwith $"The %s{what} did not stop within ten seconds."

    if program.ExitCode <> 0 then
        failwith $"The %s{what} stopped with exit code %d{program.ExitCode}."

/// The dashboard: its executable and its database.
type Dashboard =
    {
        Program: string
        Database: string
    }

    /// Runs one of its commands and returns what that printed.
    member dashboard.Command(name: string, arguments: string list) : string =
        let info = startInfo dashboard.Program (name :: arguments @ [ "--database"; dashboard.Database ])

        info.RedirectStandardOutput <- true
        use running = Process.Start info
        let said = running.StandardOutput.ReadToEnd()
        running.WaitForExit()

        if running.ExitCode <> 0 then
            failwith $"ai-dashboard %s{name}: exit code %d{running.ExitCode}."

        said

    /// Registers a server and returns its token.
    member dashboard.Register(slug: string, name: string) : string =
        let said = dashboard.Command("register-server", [ slug; "--name"; name ])
        let key = "INGEST_TOKEN="

        match said.Split '\n' |> Array.tryFind (fun line -> line.Contains key) with
        | Some line -> line.Substring(line.IndexOf key + key.Length).Trim()
        | None -> failwith $"ai-dashboard register-server %s{slug} printed no token."

    /// Starts it on a free port of the loopback interface, and waits until it says where: the process and the address.
    member dashboard.Serve() : Process * string =
        let info =
            startInfo dashboard.Program [ "serve"; "--listen"; "http://127.0.0.1:0"; "--database"; dashboard.Database ]

        info.RedirectStandardOutput <- true
        let marker = " listens on "
        let found = TaskCompletionSource<string>()
        let running = new Process(StartInfo = info)

        running.OutputDataReceived.Add(fun received ->
            match received.Data with
            | null -> found.TrySetResult "" |> ignore
            | line when line.Contains marker ->
                found.TrySetResult(line.Substring(line.IndexOf marker + marker.Length).Split(',')[0])
                |> ignore
            | line -> printfn $"%s{line}")

        running.Start() |> ignore
        running.BeginOutputReadLine()

        match found.Task.Result with
        | "" ->
            running.WaitForExit()
            failwith $"The dashboard exited at once, with exit code %d{running.ExitCode}."
        | address -> running, address.TrimEnd '/'

/// Shows an address in the browser where there is a desktop with one.
let openInBrowser (address: string) : unit =
    let hasDesktop =
        [ "DISPLAY"; "WAYLAND_DISPLAY" ]
        |> List.exists (fun name -> not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable name)))

    if hasDesktop then
        try
            Process.Start(ProcessStartInfo("xdg-open", [ address ], UseShellExecute = false)).Dispose()
        with :? Win32Exception ->
            ()
