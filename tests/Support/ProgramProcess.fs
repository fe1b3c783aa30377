/// The real programs as processes of their own.
module Agent.TestSupport.ProgramProcess

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open Agent.TestSupport.Waiting
open Expecto

[<DllImport("libc", EntryPoint = "kill", SetLastError = true)>]
extern int sendSignal(int pid, int signal)

/// What a terminal sends as it closes.
[<Literal>]
let SigHup = 1

/// Ctrl-C.
[<Literal>]
let SigInt = 2

/// Ctrl-\.
[<Literal>]
let SigQuit = 3

/// What service managers send.
[<Literal>]
let SigTerm = 15

/// True for a process that lives, be it a zombie.
let isAlive (pid: int) : bool =
    // A zombie has ended; it only waits for its parent to look.
    sendSignal (pid, 0) = 0
    && (try
            File.ReadAllText($"/proc/{pid}/stat").Split(") ")[1]
            |> fun rest -> not (rest.StartsWith 'Z')
        with :? IOException ->
            false)

/// A program under test: the one that the variable names, else what the build put beside the tests.
let builtProgram (project: string) (name: string) (variable: string) : string =
    let configuration =
        match Path.GetFileName(AppContext.BaseDirectory.TrimEnd '/') with
        | null
        | "" -> "debug"
        | name -> name

    let built = Path.Combine(Fixtures.root, "artifacts", "bin", project, configuration, name)

    match Environment.GetEnvironmentVariable variable with
    | null
    | "" when File.Exists built -> built
    | null
    | "" -> failtest $"{built} is not there; build src/{project} or set {variable}"
    | path when File.Exists path -> Path.GetFullPath path
    | path -> failtest $"{variable} is {path}, which is not there"

/// What the threads of a process are at: name, state and where in the kernel they wait, for the messages of tests.
let private threadsOf (pid: int) : string list =
    let read path =
        try
            (File.ReadAllText path).Trim()
        with
        | :? IOException
        | :? UnauthorizedAccessException -> "?"

    try
        [
            for thread in Directory.GetDirectories $"/proc/{pid}/task" ->
                let stat = read $"{thread}/stat"
                let state = stat.Substring(min stat.Length (stat.LastIndexOf ')' + 2))
                let where = read $"{thread}/wchan"
                $"""{read $"{thread}/comm"} %c{if state = "" then '?' else state[0]} {where}"""
        ]
    with :? IOException ->
        [ "gone" ]

/// A running program, and what it printed. Disposing of it kills what still runs, and looks for its secrets.
type ProgramProcess(program: string, words: string list, environment: (string * string) list) =
    let output = ConcurrentQueue<string>()
    let errors = ConcurrentQueue<string>()

    let start =
        let start = ProcessStartInfo(program, words)
        start.RedirectStandardInput <- true
        start.RedirectStandardOutput <- true
        start.RedirectStandardError <- true
        start.WorkingDirectory <- "/"
        start.Environment.Clear()

        for name, value in environment do
            start.Environment[name] <- value

        start.Environment["DOTNET_ROOT"] <- World.dotnetRoot
        start

    let running = new Process(StartInfo = start)

    let keep (lines: ConcurrentQueue<string>) =
        DataReceivedEventHandler(fun _ received ->
            match received.Data with
            | null -> ()
            | line -> lines.Enqueue line)

    do
        running.OutputDataReceived.AddHandler(keep output)
        running.ErrorDataReceived.AddHandler(keep errors)
        running.Start() |> ignore
        running.BeginOutputReadLine()
        running.BeginErrorReadLine()
        running.StandardInput.Close()

    /// What it must never print.
    member val Secrets: string list = [] with get, set

    /// Its process id.
    member _.Id: int = running.Id

    /// The lines of its standard output so far.
    member _.Output: string list = List.ofSeq output

    /// The lines of its standard error so far.
    member _.AllErrors: string list = List.ofSeq errors

    /// The same without the warning that is fair on a machine that is busy with other tests, which the grid's own tests see,
    /// and without advice, which the adviser's own tests see.
    member this.Errors: string list =
        this.AllErrors
        |> List.filter (fun line ->
            not (line.Contains " WARNING sampling was late")
            && not (line.Contains " WARNING advice: "))

    /// True once it has ended.
    member _.HasEnded: bool = running.HasExited

    /// Sends it a signal.
    member _.Signal(signal: int) : unit =
        Expect.equal (sendSignal (running.Id, signal)) 0 "the signal is sent"

    /// Waits for its end and returns its exit code.
    member this.WaitForEnd(limit: TimeSpan) : int =
        if not (running.WaitForExit limit) then
            failtest $"it still runs after {limit.TotalSeconds} s, %A{threadsOf running.Id}; {this.Said}"

        // Without a limit this also waits for the last lines.
        running.WaitForExit()
        running.ExitCode

    /// Waits for a line on standard error.
    member this.WaitForError(part: string) : unit =
        eventually patience $"a line with \"{part}\"; {this.Said}" (fun () -> this.Errors |> List.exists _.Contains(part))

    /// Everything it printed, for messages.
    member this.Said: string = $"stdout: %A{this.Output}, stderr: %A{this.AllErrors}"

    interface IDisposable with
        member this.Dispose() =
            if not running.HasExited then
                running.Kill()
                running.WaitForExit()

            running.Dispose()

            for secret in this.Secrets do
                if (this.Output @ this.AllErrors) |> List.exists _.Contains(secret) then
                    failtest $"{Path.GetFileName program} printed a token"

/// A PATH that finds what lies in the directory first.
let pathWith (directory: string) : string * string = "PATH", $"{directory}:{World.path ()}"

/// Puts a shell script into a directory and returns its path.
let writeProgram (directory: string) (name: string) (script: string) : string =
    let path = Path.Combine(directory, name)
    File.WriteAllText(path, "#!/bin/sh\n" + script + "\n")
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)
    path

/// Puts a shell script into a directory and returns a PATH that finds it first.
let withProgram (directory: string) (name: string) (script: string) : string * string =
    writeProgram directory name script |> ignore
    pathWith directory
