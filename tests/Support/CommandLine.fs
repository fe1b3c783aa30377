/// Runs the command line as Program.cs does, with an environment that holds what a test puts there and nothing else.
module Agent.TestSupport.CommandLine

open System
open Agent.Core
open Agent.Sender
open Agent.Sender.Cli
open Expecto

/// The three that everybody has to give.
let required =
    [
        "--host"
        "http://h:8000"
        "--server-slug"
        "gpu-box-01"
        "--token"
        "s3cr3t"
    ]

/// The command that these words and these variables amount to.
let parse (words: string list) (variables: (string * string) list) : Result<Command, ConfigError[]> =
    let environment name : string | null =
        match variables |> List.tryFind (fun (key, _) -> key = name) with
        | Some(_, text) -> text
        | None -> null

    Cli.parse (Array.ofList words) (Func<string, string | null> environment)

/// The settings; anything else fails the test.
let settingsOf (words: string list) (variables: (string * string) list) : Settings =
    match parse words variables with
    | Ok(Command.Run settings) -> settings
    | Ok other -> failtest $"expected settings, got {other}"
    | Error errors ->
        let text = errors |> Array.map string |> String.concat "; "
        failtest $"expected settings, got errors: {text}"

/// The settings of these words beside the required ones.
let settingsWith (words: string list) : Settings = settingsOf (required @ words) []

/// The sentences of the errors; anything else fails the test.
let errorsOf (words: string list) (variables: (string * string) list) : string list =
    match parse words variables with
    | Error errors -> errors |> Array.map (fun error -> error.Message) |> List.ofArray
    | Ok _ -> failtest $"expected errors of %A{words} %A{variables}"

/// The sentences of the errors of these words beside the required ones.
let errorsWith (words: string list) : string list = errorsOf (required @ words) []

/// The target; a test that has none fails.
let targetOf (settings: Settings) : Target =
    match settings.Target with
    | ValueSome target -> target
    | ValueNone -> failtest "expected a target"

/// The token itself; a target that has it in a file fails the test.
let tokenOf (target: Target) : string =
    match target.Token with
    | TokenOrigin.Given(token, _) -> token.Reveal()
    | other -> failtest $"expected a token, got {other}"
