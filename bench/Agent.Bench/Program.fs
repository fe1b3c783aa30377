/// `Agent.Bench [BenchmarkDotNet's arguments]` measures; `Agent.Bench smoke` runs each benchmark once, to see that it works;
/// `Agent.Bench tree DIRECTORY [--cpus N] …` writes the files of a machine of that size, for the published agent to read
/// with --procfs and --sysfs.
module Agent.Bench.Program

open System
open BenchmarkDotNet.Configs
open BenchmarkDotNet.Jobs
open BenchmarkDotNet.Running
open BenchmarkDotNet.Toolchains.InProcess.Emit

/// In this process: a project made for each benchmark would know nothing of how this repository restores its packages.
let private config (job: Job) : ManualConfig =
    ManualConfig
        .Create(DefaultConfig.Instance)
        .WithArtifactsPath(IO.Path.Combine(Environment.CurrentDirectory, "artifacts", "bench", "benchmarkdotnet"))
        .AddJob(job.WithToolchain(InProcessEmitToolchain.Instance))

let private switcher () =
    BenchmarkSwitcher.FromAssembly(typeof<EverySample>.Assembly)

let private measure (arguments: string[]) : int =
    switcher().Run(arguments, config Job.ShortRun) |> ignore
    0

/// One call of each, of a debug build too. The figures mean nothing.
let private smoke () : int =
    let once = (config Job.Dry).WithOptions(ConfigOptions.DisableOptimizationsValidator)

    let reports =
        switcher().Run([| "--filter"; "*" |], once)
        |> Seq.collect _.Reports
        |> List.ofSeq

    match reports |> List.filter (fun report -> not report.Success) with
    | [] when not reports.IsEmpty ->
        printfn $"{reports.Length} benchmarks work"
        0
    | failed ->
        for report in failed do
            eprintfn $"Agent.Bench: {report.BenchmarkCase.DisplayInfo} failed"

        if reports.IsEmpty then
            eprintfn "Agent.Bench: there is no benchmark"

        1

let private usage =
    "usage: Agent.Bench tree DIRECTORY [--cpus N] [--disks N] [--interfaces N] [--processes N] [--fabric-ports N]"

let rec private sizeOf (size: Machine.Size) (arguments: string list) : Result<Machine.Size, string> =
    match arguments with
    | [] -> Ok size
    | option :: value :: rest ->
        match option, Int32.TryParse value with
        | _, (false, _) -> Error $"{option} takes a whole number, not '{value}'"
        | _, (true, number) when number < 0 || number > 100_000 -> Error $"{option} takes a number from 0 to 100000, not {number}"
        | "--cpus", (true, 0) -> Error "--cpus takes a number from 1 to 100000, not 0"
        | "--cpus", (true, number) -> sizeOf { size with Cpus = number } rest
        | "--disks", (true, number) -> sizeOf { size with Disks = number } rest
        | "--interfaces", (true, number) -> sizeOf { size with Interfaces = number } rest
        | "--processes", (true, number) -> sizeOf { size with Processes = number } rest
        | "--fabric-ports", (true, number) -> sizeOf { size with FabricPorts = number } rest
        | _ -> Error $"unknown option {option}"
    | [ option ] -> Error $"{option} needs a value"

[<EntryPoint>]
let main (arguments: string[]) : int =
    match List.ofArray arguments with
    | "tree" :: directory :: options ->
        let small: Machine.Size =
            {
                Cpus = 2
                Disks = 1
                Interfaces = 2
                Gpus = 0
                Processes = 100
                FabricPorts = 0
            }

        match sizeOf small options with
        | Ok size ->
            Machine.writeTree directory size
            0
        | Error problem ->
            eprintfn $"Agent.Bench: {problem}\n{usage}"
            2
    | [ "tree" ] ->
        eprintfn $"Agent.Bench: tree needs a directory\n{usage}"
        2
    | [ "smoke" ] -> smoke ()
    | _ -> measure arguments
