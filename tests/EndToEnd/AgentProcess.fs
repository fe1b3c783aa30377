/// The real programs as processes of their own, first of all the agent.
module Agent.Tests.EndToEnd.AgentProcess

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Threading
open Agent.Tests
open Expecto

[<DllImport("libc", EntryPoint = "kill", SetLastError = true)>]
extern int sendSignal(int pid, int signal)

/// Ctrl-C.
[<Literal>]
let SigInt = 2

/// Ctrl-\.
[<Literal>]
let SigQuit = 3

/// What service managers send.
[<Literal>]
let SigTerm = 15

/// The token of every run; it is looked for in everything that an agent prints.
[<Literal>]
let Token = "t0k3n-of-the-tests"

/// What runs take at most, start on a busy machine included.
let patience = TimeSpan.FromSeconds 20.0

/// Polls until the condition holds; fails the test when that takes too long.
let eventually (limit: TimeSpan) (what: string) (condition: unit -> bool) : unit =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > limit then
            failtest $"not within {limit.TotalSeconds} s: {what}"

        Thread.Sleep 5

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

/// The agent under test: AGENT_BINARY, else the built one.
let binary: Lazy<string> = lazy (builtProgram "Agent.Host" "ai-dashboard-agent" "AGENT_BINARY")

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
            not (line.Contains " WARNING sampling was late: ")
            && not (line.Contains " WARNING advice: "))

    /// True once it has ended.
    member _.HasEnded: bool = running.HasExited

    /// Sends it a signal.
    member _.Signal(signal: int) : unit =
        Expect.equal (sendSignal (running.Id, signal)) 0 "the signal is sent"

    /// Waits for its end and returns its exit code.
    member this.WaitForEnd(limit: TimeSpan) : int =
        if not (running.WaitForExit limit) then
            failtest $"it still runs after {limit.TotalSeconds} s; {this.Said}"

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

/// A running agent, which must not print the token.
type AgentProcess(words: string list, environment: (string * string) list) =
    inherit ProgramProcess(binary.Value, words, environment, Secrets = [ Token ])

/// The words that name this server; the token comes by the environment.
let targetOf (url: string) : string list =
    [ "--host"; url; "--server-slug"; "gpu-box-01" ]

/// Starts an agent with these words, and these variables beside the world's and the token's; a variable of the same name
/// replaces.
let startWith (variables: (string * string) list) (words: string list) : AgentProcess =
    let kept =
        ("AI_DASHBOARD_TOKEN", Token) :: World.environment ()
        |> List.filter (fun (name, _) -> not (List.exists (fst >> (=) name) variables))

    new AgentProcess(words, kept @ variables)

/// Starts an agent with these words.
let start (words: string list) : AgentProcess = startWith [] words

/// Starts an agent with these variables and nothing else in its environment.
let startBare (variables: (string * string) list) (words: string list) : AgentProcess = new AgentProcess(words, variables)

/// What an agent that ends by itself printed, and its exit code.
let runWith (variables: (string * string) list) (words: string list) : int * string list * string list =
    use agent = startWith variables words
    let code = agent.WaitForEnd patience
    code, agent.Output, agent.Errors

/// What an agent that ends by itself printed, and its exit code.
let run (words: string list) : int * string list * string list = runWith [] words

/// A PATH that finds what lies in the directory first.
let pathWith (directory: string) : string * string = "PATH", $"{directory}:{World.path ()}"

/// Puts a shell script into a directory and returns a PATH that finds it first.
let withProgram (directory: string) (name: string) (script: string) : string * string =
    let path = Path.Combine(directory, name)
    File.WriteAllText(path, "#!/bin/sh\n" + script + "\n")
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)
    pathWith directory
