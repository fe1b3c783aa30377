/// Tools of the machine that tests run, in the repository's root.
module Agent.TestSupport.Tools

open System.ComponentModel
open System.Diagnostics
open Expecto

/// The exit code of a tool, and what it printed; without the tool the test is skipped.
let run (variables: (string * string) list) (program: string) (arguments: string list) : int * string =
    let start =
        ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Fixtures.root)

    for name, value in variables do
        start.Environment[name] <- value

    try
        match Process.Start start with
        | null -> failtest $"{program} does not start"
        | tool ->
            use tool = tool
            let errors = tool.StandardError.ReadToEndAsync()
            let output = tool.StandardOutput.ReadToEnd()
            tool.WaitForExit()
            tool.ExitCode, output + errors.Result
    with :? Win32Exception ->
        Skip.because $"no {program}"
        0, ""

/// What a tool printed that has to succeed.
let succeed (variables: (string * string) list) (program: string) (arguments: string list) : string =
    match run variables program arguments with
    | 0, output -> output
    | code, said -> failtest $"{program}: exit code {code}: {said}"
