/// Fuzzes every target of fuzz/Agent.Fuzz by coverage: `dotnet fsi build/Fuzz.fsx <built Agent.Fuzz> <directory> <seconds>`.
/// SharpFuzz instruments copies of the agent's assemblies, and AFL++ (Debian's afl++) makes the inputs. An exception, or a run
/// of more than a second, is a failure; its input is left in the directory, to be kept in tests/fixtures/fuzz/<target> with
/// the mend. Without afl-fuzz there is nothing to do: exit code 3.

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open System.Threading
open System.Threading.Tasks

let built, directory, seconds =
    match List.ofArray fsi.CommandLineArgs with
    | [ _; built; directory; seconds ] -> built, directory, int seconds
    | _ -> failwith "built, directory and seconds are needed"

let root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, ".."))
let fixtures = Path.Combine(root, "tests", "fixtures")
let instrumented = Path.Combine(directory, "bin")

let assemblies =
    [
        "Agent.Core.dll"
        "Agent.Outbound.dll"
        "Agent.Sender.dll"
        "Agent.Receiver.dll"
        "ai-dashboard-agent.dll"
    ]

/// A run that never ends is killed after this, and takes afl-fuzz with it. One that merely takes too long is measured by its
/// own processor time, for the machine may be busy.
let endlessMilliseconds = 15000

/// What a target writes goes here, in memory where that is possible. afl-fuzz kills its targets, so that they cannot remove it.
let scratch =
    let place =
        if Directory.Exists "/dev/shm" then
            "/dev/shm"
        else
            Path.GetTempPath()

    Directory.CreateDirectory(Path.Combine(place, $"agent-fuzz-%d{Environment.ProcessId}")).FullName

let variables =
    [
        "TMPDIR", scratch
        // The program is the runtime, which has no instrumentation of its own.
        "AFL_SKIP_BIN_CHECK", "1"
        "AFL_SKIP_CPUFREQ", "1"
        "AFL_NO_AFFINITY", "1"
        "AFL_NO_UI", "1"
        // Where the kernel hands core dumps to a program, crashes are still seen: they are exceptions.
        "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "1"
    ]

/// Exit code and everything that was printed.
let run (name: string) (words: string list) : int * string =
    let start = ProcessStartInfo(name, words, RedirectStandardOutput = true, RedirectStandardError = true)

    for variable, value in variables do
        start.Environment[variable] <- value

    use tool = Process.Start start
    let errors = tool.StandardError.ReadToEndAsync()
    let output = tool.StandardOutput.ReadToEnd()
    tool.WaitForExit()
    tool.ExitCode, output + errors.Result

/// What it printed; a failure of the tool is a failure of the build.
let wanted (name: string) (words: string list) : string =
    match run name words with
    | 0, output -> output
    | code, output -> failwith $"""%s{name} %s{String.concat " " words}: exit code %d{code}: %s{output}"""

let onPath name =
    (Environment.GetEnvironmentVariable "PATH").Split ':'
    |> Array.exists (fun place -> File.Exists(Path.Combine(place, name)))

/// The assemblies that the tests use stay as they are.
let instrument () =
    if Directory.Exists directory then
        Directory.Delete(directory, true)

    Directory.CreateDirectory instrumented |> ignore

    for file in Directory.GetFiles built do
        File.Copy(file, Path.Combine(instrumented, Path.GetFileName file))

    for assembly in assemblies do
        wanted "dotnet" [ "sharpfuzz"; Path.Combine(instrumented, assembly) ] |> ignore

let program = Path.Combine(built, "Agent.Fuzz.dll")

type Result =
    {
        Target: string
        Runs: string
        Edges: string
        Inputs: string
        /// Crashes as inputs and what they cause; other failures with an empty path.
        Failures: (string * string) list
    }

let failureOf (target: string) (input: string) : string =
    match run "dotnet" [ program; "try"; target; input ] with
    | 0, _ -> "no exception when it is tried alone"
    | _, output ->
        output.Split '\n'
        |> Array.map _.Trim()
        |> Array.filter (fun line -> line <> "")
        |> Array.truncate 3
        |> String.concat " "

/// Without the colours of a terminal.
let lastLineOf (output: string) : string =
    Regex.Replace(output, "\u001b\\[[0-9;?]*[A-Za-z]", "").Split '\n'
    |> Array.map _.Trim()
    |> Array.filter (fun line -> line <> "" && not (line.StartsWith "Location"))
    |> Array.tryLast
    |> Option.defaultValue "it printed nothing."

let fuzz (target: string) : Result =
    let seeds = Directory.CreateDirectory(Path.Combine(directory, "in", target)).FullName

    let findings = Path.Combine(Directory.CreateDirectory(Path.Combine(directory, "out")).FullName, target)

    wanted "dotnet" [ program; "seeds"; target; fixtures; seeds ] |> ignore

    let code, output =
        run
            "afl-fuzz"
            [
                "-i"
                seeds
                "-o"
                findings
                "-t"
                string endlessMilliseconds
                "-V"
                string seconds
                "dotnet"
                Path.Combine(instrumented, "Agent.Fuzz.dll")
                "run"
                target
            ]

    File.WriteAllText(Path.Combine(directory, $"%s{target}.log"), output)
    let statistics = Path.Combine(findings, "default", "fuzzer_stats")

    let figure name =
        if File.Exists statistics then
            File.ReadAllLines statistics
            |> Array.tryPick (fun line ->
                match line.Split(':', 2) with
                | [| key; value |] when key.Trim() = name -> Some(value.Trim())
                | _ -> None)
            |> Option.defaultValue "-"
        else
            "-"

    let saved name =
        let place = Path.Combine(findings, "default", name)

        if Directory.Exists place then
            Directory.GetFiles(place, "id:*") |> List.ofArray
        else
            []

    {
        Target = target
        Runs = figure "execs_done"
        Edges = figure "edges_found"
        Inputs = figure "corpus_count"
        Failures =
            [
                for input in saved "crashes" do
                    input, failureOf target input
                for input in saved "hangs" do
                    input, $"no end within %d{endlessMilliseconds} ms"
                if code <> 0 then
                    let last = Path.Combine(findings, "default", ".cur_input")
                    last, $"afl-fuzz ended with exit code %d{code}: %s{lastLineOf output} See %s{target}.log."
            ]
    }

let table (results: Result[]) : string =
    let row (cells: string list) = "| " + String.concat " | " cells + " |"

    [
        row [ "target"; "runs"; "edges"; "inputs kept"; "failures" ]
        row [ "---"; "---:"; "---:"; "---:"; "---:" ]
        for result in results do
            row
                [
                    result.Target
                    result.Runs
                    result.Edges
                    result.Inputs
                    string result.Failures.Length
                ]
    ]
    |> String.concat "\n"

if not (onPath "afl-fuzz") then
    Directory.Delete scratch
    exit 3

AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(scratch, true))
instrument ()

let targets = (wanted "dotnet" [ program; "list" ]).Split('\n', StringSplitOptions.RemoveEmptyEntries)

let results = Array.zeroCreate<Result> targets.Length

// Each keeps one processor busy: afl-fuzz and its target wait for one another.
Parallel.For(
    0,
    targets.Length,
    ParallelOptions(MaxDegreeOfParallelism = Environment.ProcessorCount),
    (fun i -> results[i] <- fuzz targets[i])
)
|> ignore

let shown = table results
File.WriteAllText(Path.Combine(directory, "table.md"), shown + "\n")
printfn $"%s{shown}"

let failures =
    [
        for result in results do
            for input, what in result.Failures do
                $"%s{result.Target}: %s{what} (%s{input})"
    ]

for failure in failures do
    eprintfn $"%s{failure}"

exit (if failures.IsEmpty then 0 else 1)
