/// The world that tests run in, whatever else is installed, running or configured on the machine. Programs under test get an
/// environment of ours and a PATH with nothing in it that the agent would ask for readings; the test process itself drops
/// from its own what would change a program's behaviour.
module Agent.TestSupport.World

open System
open System.Collections
open System.IO
open System.Runtime.InteropServices

/// The programs that the agent asks for readings, which only a test may put into its PATH.
let private asked = [ "ipmitool"; "nvidia-smi" ]

/// What the agent and the scripts of tests start.
let private needed =
    [
        "sh"
        "setpriv"
        "true"
        "cat"
        "echo"
        "env"
        "kill"
        "mv"
        "printf"
        "sleep"
        "stat"
        "touch"
    ]

/// The PATH that the tests were started with.
let private outerPath =
    Environment.GetEnvironmentVariable "PATH"
    |> Option.ofObj
    |> Option.defaultValue "/usr/local/bin:/usr/bin:/bin"

let private places = outerPath.Split(':', StringSplitOptions.RemoveEmptyEntries)

/// True when any user may enter the directory and all above it.
let rec private isOpen (directory: string) : bool =
    File.GetUnixFileMode(directory).HasFlag UnixFileMode.OtherExecute
    && (match Path.GetDirectoryName directory with
        | null -> true
        | parent -> isOpen parent)

/// Where directories of tests lie: TMPDIR, unless a path in it would have to be quoted in a script, is longer than the name of a
/// socket may be, or cannot be entered by another user that a test runs a program as.
let private temporary =
    let given = Path.TrimEndingDirectorySeparator(Path.GetTempPath())

    let isPlain =
        given
        |> Seq.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '/' || c = '-' || c = '_' || c = '.')

    if isPlain && given.Length <= 40 && Directory.Exists given && isOpen given then
        given
    else
        "/tmp"

let private openDirectory (prefix: string) : string =
    let directory = Path.Combine(temporary, $"{prefix}{Guid.NewGuid():N}")
    let mode = UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute

    let others =
        UnixFileMode.GroupRead
        ||| UnixFileMode.GroupExecute
        ||| UnixFileMode.OtherRead
        ||| UnixFileMode.OtherExecute

    Directory.CreateDirectory directory |> ignore
    // Apart from the umask.
    File.SetUnixFileMode(directory, mode ||| others)

    AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
        if Directory.Exists directory then
            Directory.Delete(directory, true))

    directory

/// Links to every program of these places that is wanted, the first of a name.
let private links (directory: string) (from: string seq) (isWanted: string -> bool) : unit =
    for place in from do
        if Directory.Exists place then
            for path in Directory.GetFiles place do
                let name = string (Path.GetFileName path)
                let link = Path.Combine(directory, name)

                if isWanted name && not (File.Exists link) then
                    try
                        File.CreateSymbolicLink(link, path) |> ignore
                    with :? IOException ->
                        // A link of that name that leads nowhere.
                        ()

let private linked: Lazy<string> =
    lazy
        (let directory = openDirectory "agent-programs-"
         links directory (Seq.append places [ "/usr/bin"; "/bin" ]) (fun name -> List.contains name needed)
         directory)

/// The PATH of programs under test.
let path () : string = linked.Value

/// The runtime that these tests run on, for a program that is not self-contained.
let dotnetRoot: string =
    Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."))

/// All of a program's environment, but for what a test adds.
let environment () : (string * string) list =
    [
        "PATH", path ()
        "HOME", "/"
        "LANG", "C.UTF-8"
        "TZ", "UTC"
        "DOTNET_ROOT", dotnetRoot
    ]

let private isStrange (name: string) : bool =
    name.StartsWith("AI_DASHBOARD_", StringComparison.Ordinal)
    || name.EndsWith("_proxy", StringComparison.OrdinalIgnoreCase)
    || name.StartsWith("LC_", StringComparison.Ordinal)
    || List.contains
        name
        [
            "LANGUAGE"
            "NOTIFY_SOCKET"
            "WATCHDOG_USEC"
            "WATCHDOG_PID"
            "CREDENTIALS_DIRECTORY"
            "STATE_DIRECTORY"
            "RUNTIME_DIRECTORY"
            "JOURNAL_STREAM"
            "INVOCATION_ID"
            "LISTEN_FDS"
            "LISTEN_PID"
            "SSL_CERT_FILE"
            "SSL_CERT_DIR"
        ]

/// The places of PATH; in the stead of one with a program that the agent would ask, a directory with links to the others.
let private placesOfTools () : string =
    let isAsked place =
        asked |> List.exists (fun name -> File.Exists(Path.Combine(place, name)))

    places
    |> Array.map (fun place ->
        if isAsked place then
            let directory = openDirectory "agent-tools-"
            links directory [ place ] (fun name -> not (List.contains name asked))
            directory
        else
            place)
    |> String.concat ":"

let private entered: Lazy<unit> =
    lazy
        (for entry in Seq.cast<DictionaryEntry>(Environment.GetEnvironmentVariables()) do
            let name = string entry.Key

            if isStrange name then
                Environment.SetEnvironmentVariable(name, null)

         Environment.SetEnvironmentVariable("PATH", placesOfTools ())
         Environment.SetEnvironmentVariable("TMPDIR", temporary)

         // The .NET SDK wants one to write to.
         if not (Directory.Exists(Environment.GetEnvironmentVariable "HOME")) then
             Environment.SetEnvironmentVariable("HOME", openDirectory "agent-home-")

         Environment.SetEnvironmentVariable("LANG", "C.UTF-8")
         Environment.SetEnvironmentVariable("TZ", "UTC")
         Environment.SetEnvironmentVariable("DOTNET_ROOT", dotnetRoot))

/// Makes this process's own world, for tests that run the agent's parts in it and for what they start. Every test program calls
/// it before its first test; a second call does nothing.
let enter () : unit = entered.Force()

/// The program, with what lies beside it, where any user may run it: a clone may lie below a directory that only root enters.
let forAnyUser (program: string) : string =
    let source = string (Path.GetDirectoryName program)

    if isOpen source then
        program
    else
        let directory = openDirectory "agent-copy-"

        for file in Directory.GetFiles source do
            File.Copy(file, Path.Combine(directory, string (Path.GetFileName file)))

        Path.Combine(directory, string (Path.GetFileName program))

/// Makes a folder that any user may write to, if it is not there, and returns its path.
let openFolder (path: string) : string =
    Directory.CreateDirectory path |> ignore

    File.SetUnixFileMode(
        path,
        UnixFileMode.UserRead
        ||| UnixFileMode.UserWrite
        ||| UnixFileMode.UserExecute
        ||| UnixFileMode.GroupRead
        ||| UnixFileMode.GroupWrite
        ||| UnixFileMode.GroupExecute
        ||| UnixFileMode.OtherRead
        ||| UnixFileMode.OtherWrite
        ||| UnixFileMode.OtherExecute
    )

    path

/// A directory of its own for one test.
let withDirectory (test: string -> unit) : unit =
    let directory = Directory.CreateTempSubdirectory "agent-tests-"

    try
        test directory.FullName
    finally
        directory.Delete true
