/// The real dashboard as a process of its own, on a free port of the loopback interface.
module Agent.Dashboard.Tests.DashboardProcess

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Expecto

[<DllImport("libc", EntryPoint = "kill", SetLastError = true)>]
extern int private sendSignal(int pid, int signal)

/// What service managers send.
[<Literal>]
let SigTerm = 15

/// What cannot be caught.
[<Literal>]
let SigKill = 9

/// What runs take at most, start on a busy machine included.
let patience = TimeSpan.FromSeconds 30.0

/// Polls until the condition holds; fails the test when that takes too long.
let eventually (limit: TimeSpan) (what: string) (condition: unit -> bool) : unit =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > limit then
            failtest $"not within {limit.TotalSeconds} s: {what}"

        Thread.Sleep 10

/// The program under test: DASHBOARD_BINARY, else what the build made beside the tests.
let binary: Lazy<string> =
    lazy
        (let output = DirectoryInfo AppContext.BaseDirectory

         let bin =
             output.Parent
             |> Option.ofObj
             |> Option.bind (fun project -> Option.ofObj project.Parent)

         let built =
             match bin with
             | Some bin -> Path.Combine(bin.FullName, "Agent.Dashboard", output.Name, "ai-dashboard")
             | None -> ""

         match Environment.GetEnvironmentVariable "DASHBOARD_BINARY" with
         | null
         | "" when File.Exists built -> built
         | null
         | "" -> failtest $"{built} is not there; build src/Agent.Dashboard or set DASHBOARD_BINARY"
         | path when File.Exists path -> Path.GetFullPath path
         | path -> failtest $"DASHBOARD_BINARY is {path}, which is not there")

/// The runtime that these tests run on, for a dashboard that is not self-contained.
let private dotnetRoot =
    Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."))

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
type DashboardProcess(words: string list, environment: (string * string) list) =
    let output = ConcurrentQueue<string>()
    let errors = ConcurrentQueue<string>()

    let start =
        let start = ProcessStartInfo(binary.Value, words)
        start.RedirectStandardInput <- true
        start.RedirectStandardOutput <- true
        start.RedirectStandardError <- true
        start.WorkingDirectory <- "/"
        start.Environment["DOTNET_ROOT"] <- dotnetRoot

        for name, value in environment do
            start.Environment[name] <- value

        start

    let dashboard = new Process(StartInfo = start)

    let keep (lines: ConcurrentQueue<string>) =
        DataReceivedEventHandler(fun _ received ->
            match received.Data with
            | null -> ()
            | line -> lines.Enqueue line)

    do
        dashboard.OutputDataReceived.AddHandler(keep output)
        dashboard.ErrorDataReceived.AddHandler(keep errors)
        dashboard.Start() |> ignore
        dashboard.BeginOutputReadLine()
        dashboard.BeginErrorReadLine()
        dashboard.StandardInput.Close()

    /// Its process id.
    member _.Id: int = dashboard.Id

    /// The lines of its standard output so far.
    member _.Output: string list = List.ofSeq output

    /// The lines of its standard error so far.
    member _.Errors: string list = List.ofSeq errors

    /// True once it has ended.
    member _.HasEnded: bool = dashboard.HasExited

    /// Sends it a signal.
    member _.Signal(signal: int) : unit =
        Expect.equal (sendSignal (dashboard.Id, signal)) 0 "the signal is sent"

    /// Everything it printed, for messages.
    member this.Said: string = $"stdout: %A{this.Output}, stderr: %A{this.Errors}"

    /// Waits for its end and returns its exit code.
    member this.WaitForEnd(limit: TimeSpan) : int =
        if not (dashboard.WaitForExit limit) then
            failtest $"it still runs after {limit.TotalSeconds} s; {this.Said}"

        // Without a limit this also waits for the last lines.
        dashboard.WaitForExit()
        dashboard.ExitCode

    interface IDisposable with
        member _.Dispose() =
            if not dashboard.HasExited then
                dashboard.Kill()
                dashboard.WaitForExit()

            dashboard.Dispose()

/// What a command printed, and its exit code.
let run (words: string list) : int * string list * string list =
    use command = new DashboardProcess(words, [])
    let code = command.WaitForEnd patience
    code, command.Output, command.Errors

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
