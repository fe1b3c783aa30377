/// The scripts in samples/, run as a reader of the documentation would run them.
module Agent.Repository.Tests.SamplesTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Agent.Core
open Agent.Core.Units
open Agent.TestSupport
open Expecto

/// Exit code and standard output of dotnet.
let private dotnet (arguments: string list) : int * string =
    let start =
        ProcessStartInfo("dotnet", arguments, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Fixtures.root)

    use script =
        match Process.Start start with
        | null -> failtest "dotnet does not start"
        | script -> script

    let errors = script.StandardError.ReadToEndAsync()
    let output = script.StandardOutput.ReadToEnd()
    script.WaitForExit()

    if script.ExitCode <> 0 then
        printfn $"%s{errors.Result}"

    script.ExitCode, output

let private run (arguments: string list) : int * string =
    dotnet ("fsi" :: "--quiet" :: arguments)

/// The examples of docs/embedding.md in one language, in their order.
let private examples (language: string) : string list =
    let guide = File.ReadAllText(Path.Combine(Fixtures.root, "docs", "embedding.md"))

    Regex.Matches(guide, $"(?s)```{language}\n(.*?)```")
    |> Seq.map _.Groups[1].Value
    |> List.ofSeq

/// Of what the tests themselves were built with.
let private beside (assembly: string) =
    Path.Combine(AppContext.BaseDirectory, assembly)

let private labels =
    "memory-pressure|io-bound|cpu-bound|gpu-bound|mixed-cpu-gpu|mixed-io-gpu|underutilized|idle|balanced|mixed"

[<Tests>]
let tests =
    testList
        "Samples"
        [
            testCase "ReadOnce is ten lines and prints a label and its reason"
            <| fun () ->
                let lines = File.ReadAllLines(Path.Combine(Fixtures.root, "samples", "ReadOnce.fsx"))
                Expect.equal lines.Length 10 "lines"
                let code, output = run [ "samples/ReadOnce.fsx" ]
                Expect.equal code 0 output
                Expect.isTrue (Regex.IsMatch(output, $@"\A({labels}): \S.*\n\z")) output

            testCase "BuildWatch passes on the exit code and ends with what held the command back"
            <| fun () ->
                let code, output = run [ "samples/BuildWatch.fsx"; "sh"; "-c"; "sleep 2; exit 3" ]
                Expect.equal code 3 output
                let table = output.Substring(output.IndexOf "What held this build back: sh -c sleep 2; exit 3, 0:00:0")

                let shares =
                    Regex.Matches(table, "(?m)^  (?:" + labels + ") +([0-9.]+) % ")
                    |> Seq.map (fun found -> Double.Parse found.Groups[1].Value)

                Expect.floatClose { absolute = 0.2; relative = 0.0 } (Seq.sum shares) 100.0 table

                for row in [ "CPU"; "Peak memory"; "Busiest disk" ] do
                    Expect.isTrue (Regex.IsMatch(table, $@"(?m)^  {row}  +\S")) $"{row} in\n{table}"

                Expect.stringContains table "Verdicts, each over half a minute:\n    none: a verdict needs ten seconds\n" "too short"

            testCase "BuildWatch gives a command that lasts its verdicts, with their shares"
            <| fun () ->
                let code, output = run [ "samples/BuildWatch.fsx"; "sleep"; "13" ]
                Expect.equal code 0 output
                let names = VerdictLabel.All |> Array.map _.Name |> String.concat "|"

                let shares =
                    Regex.Matches(output, "(?m)^    (?:" + names + ") +([0-9.]+) %  [A-Z].*\\.$")
                    |> Seq.map (fun found -> Double.Parse found.Groups[1].Value)

                Expect.floatClose { absolute = 0.2; relative = 0.0 } (Seq.sum shares) 100.0 output

            testCase "BuildWatch without a command says how it is used"
            <| fun () -> Expect.equal (run [ "samples/BuildWatch.fsx" ]) (2, "") "exit code 2"

            testCase "the example of docs/embedding.md is the sample"
            <| fun () ->
                let sample = File.ReadAllLines(Path.Combine(Fixtures.root, "samples", "ReadOnce.fsx"))
                let guide = File.ReadAllText(Path.Combine(Fixtures.root, "docs", "embedding.md"))

                for line in sample[2..] do
                    Expect.stringContains guide line "a line of the sample"

            testCase "the other examples in F# run as they stand"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let script = Path.Combine(directory, "Example.fsx")

                    match examples "fsharp" with
                    | [ whole; verdict; oneFile ] ->
                        let reference = beside "Agent.Core.dll"
                        // The samples that the verdict is about are those of the first example.
                        let opened = whole.Substring(0, whole.IndexOf "let bottleneck")
                        File.WriteAllText(script, $"#r \"{reference}\"\n{opened}\n{verdict}\n{oneFile}")
                        let code, output = run [ script ]
                        Expect.equal code 0 output
                        Expect.isTrue (Regex.IsMatch(output, @"\Astarting \(0%\): Watching: .*\.\n\d+ bytes\n\z")) output
                    | other -> failtest $"{other.Length} examples, and three are expected")

            testCase "the examples in C# compile and run as they stand"
            <| fun () ->
                World.withDirectory (fun directory ->
                    match examples "csharp" with
                    | [ whole; oneFile ] ->
                        let usings = "using Agent.Core.Proc;\n"

                        File.WriteAllText(Path.Combine(directory, "Program.cs"), usings + whole + oneFile + "Console.WriteLine(total);\n")

                        let project = Path.Combine(directory, "Example.csproj")
                        let core, library = beside "Agent.Core.dll", beside "FSharp.Core.dll"

                        File.WriteAllText(
                            project,
                            $"""<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
  <ItemGroup>
    <Reference Include="{core}" />
    <Reference Include="{library}" />
  </ItemGroup>
</Project>
"""
                        )

                        let code, output = dotnet [ "run"; "--project"; project ]
                        Expect.equal code 0 output
                        Expect.isTrue (Regex.IsMatch(output, @"\A\S.*\n\d+ bytes\n\z")) output
                    | other -> failtest $"{other.Length} examples, and two are expected")

            testCase "a snapshot of files: what is there is read, what is not is absent"
            <| fun () ->
                let read name : byte[] | null =
                    match name with
                    | "meminfo" -> "MemTotal: 2048 kB\nMemFree: 256 kB\nMemAvailable: 512 kB\n"B
                    | "loadavg" -> "nonsense\n"B
                    | _ -> null

                let at = DateTimeOffset(2026, 2, 26, 2, 37, 49, TimeSpan.Zero)
                let snapshot = Snapshot.ofFiles at (Func<string, byte[] | null> read)
                Expect.equal snapshot.At at "instant"

                match snapshot.Memory with
                | Ok memory -> Expect.equal memory.Total (ValueSome 2097152UL<B>) "memory"
                | Error error -> failtest $"{error}"

                match snapshot.Load, snapshot.Stat, snapshot.IoPressure with
                | Error(SourceError.Garbled load), Error(SourceError.Absent stat), Error(SourceError.Absent pressure) ->
                    Expect.equal load.Raw "nonsense" "the offending text"
                    Expect.equal stat "/proc/stat" "stat"
                    Expect.equal pressure "/proc/pressure/io" "pressure"
                | other -> failtest $"{other}"
        ]
