/// What is written about the options agrees with the options.
module Agent.Repository.Tests.OptionDocsTests

open System.ComponentModel
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Agent.Build
open Agent.Core
open Agent.Sender
open Agent.TestSupport
open Expecto

let private fileOf (name: string) = Path.Combine(Fixtures.root, name)

let private rewrite = "it is not what `dotnet fsi build.fsx -t Docs` writes"

/// What a tool says of a file; nothing is good. A machine without the tool skips the test.
let private complaints (tool: string) (arguments: string list) : string =
    let start =
        ProcessStartInfo(tool, arguments, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Fixtures.root)

    start.Environment["LC_ALL"] <- "C.UTF-8"

    try
        use tool =
            match Process.Start start with
            | null -> failtest $"{tool} does not start"
            | tool -> tool

        let output = tool.StandardOutput.ReadToEndAsync()
        let errors = tool.StandardError.ReadToEnd()
        tool.WaitForExit()

        if tool.ExitCode = 0 then
            errors
        else
            $"exit code {tool.ExitCode}: {output.Result}{errors}"
    with :? Win32Exception ->
        Skip.because $"no {tool}"
        ""

[<Tests>]
let tests =
    testList
        "Option docs"
        [
            testCase "the README has the table of the options"
            <| fun () ->
                let readme = File.ReadAllText(fileOf "README.md")
                Expect.stringContains readme OptionDocs.table rewrite
                Expect.equal (OptionDocs.withTable readme) readme rewrite

            for name, text in OptionDocs.files do
                testCase $"{name} is that of the options"
                <| fun () -> Expect.equal (File.ReadAllText(fileOf name)) text rewrite

            testCase "an option's default is taken out of its sentence"
            <| fun () ->
                let interval = OptionDocs.options |> List.find (fun option -> option.Name = "--interval")
                Expect.equal interval.Placeholder "SECONDS" "placeholder"
                Expect.equal interval.Default "2, at least 0.5, at most a day" "default"
                Expect.equal interval.Meaning "seconds from one sample to the next" "meaning"

            testCase "every option that --help prints is described, in its order"
            <| fun () ->
                let usage = Cli.usage ()

                let places =
                    OptionDocs.options
                    // --job is not --job-detail.
                    |> List.map (fun option -> Regex.Match(usage, $@"\n  {Regex.Escape option.Name}(?![\w-])").Index)

                Expect.all places (fun place -> place > 0) "found"
                Expect.equal places (List.sort places) "order"

            testCase "every option that takes one of a few words completes them in every shell"
            <| fun () ->
                let withWords = OptionDocs.options |> List.filter (fun option -> option.Words.Length > 0)

                Expect.equal
                    (withWords |> List.map (fun option -> option.Name, List.ofArray option.Words))
                    [
                        "--gpu-source", [ "nvml"; "nvidia-smi"; "none"; "auto" ]
                        "--job-detail", [ "full"; "names"; "none" ]
                        "--log-level", [ "DEBUG"; "INFO"; "WARNING"; "ERROR"; "CRITICAL" ]
                    ]
                    "the options"

                for option in withWords do
                    let words = String.concat " " option.Words
                    Expect.stringContains OptionDocs.bash $"    {option.Name}) mapfile -t COMPREPLY < <(compgen -W '{words}'" "bash"
                    Expect.stringContains OptionDocs.zsh $":{option.Placeholder}:({words})'" "zsh"
                    Expect.stringContains OptionDocs.fish $" -x -a '{words}'" "fish"

            testCase "what a sentence has of a shell's own signs is escaped"
            <| fun () ->
                Expect.equal (ShellText.zsh "NVIDIA's: a [b]") @"NVIDIA'\''s\: a \[b\]" "zsh"
                Expect.equal (ShellText.fish @"NVIDIA's \n: a [b]") @"NVIDIA\'s \\n: a [b]" "fish"

            testCase "man has nothing to say of the manual page"
            <| fun () -> Expect.equal (complaints "man" [ "--warnings=all"; "-l"; "packaging/man/ai-dashboard-agent.8" ]) "" "man"

            for shell, extension in [ "bash", "bash"; "zsh", "zsh"; "fish", "fish" ] do
                testCase $"{shell} reads its completion"
                <| fun () ->
                    let said = complaints shell [ "-n"; $"packaging/completions/ai-dashboard-agent.{extension}" ]
                    // fish warns that it runs as root; that is not about the file.
                    let lines =
                        said.Split '\n'
                        |> Array.filter (fun line -> line <> "" && not (line.Contains "root"))

                    Expect.equal lines [||] shell
        ]
