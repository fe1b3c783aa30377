/// Laws of the command line and the environment.
module Agent.PropertyTests.CliLaws

open System
open Agent.Core
open Agent.Sender
open Agent.Sender.Cli
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

/// The token itself, whatever it would be printed as.
let private tokenOf (target: Target) : string =
    match target.Token with
    | TokenOrigin.Given(token, _) -> token.Reveal()
    | TokenOrigin.File(path, _)
    | TokenOrigin.Credential path -> path

let private switches = [ "--once"; "--quiet"; "--insecure"; "--dry-run" ]

/// Each option with a value: some good values, and some bad ones.
let private valued: (string * string list * string list) list =
    [
        "--host", [ "http://h:8000"; "https://ops.example/monitoring/" ], [ "h:8000"; "ftp://h"; "http://h/?a=b"; "http://h/#f"; "http://" ]
        "--server-slug", [ "node-1"; "A_b" ], [ "a b"; "é"; "a/b"; String.replicate 65 "x" ]
        "--token", [ "secret"; " padded-secret " ], [ "in ner"; "ümlaut"; " " ]
        "--hostname", [ "node"; "gpu node 7" ], [ " "; "a\u0007b" ]
        "--interval", [ "2"; "0.1"; "-3"; "1e1"; "86400" ], [ "nan"; "inf"; "x"; "86401"; "1,5" ]
        "--cpu-sample-interval", [ "0"; "0.2"; "-1"; "5" ], [ "nan"; "x" ]
        "--timeout", [ "5"; "0.5"; "600" ], [ "0"; "-1"; "601"; "x" ]
        "--disks", [ "sda,nvme0n1"; "/dev/sdb" ], [ ","; " " ]
        "--interfaces", [ "eth0"; "eth0, ib0" ], [ ","; " , " ]
        "--log-level", [ "debug"; "INFO"; "Warning" ], [ "verbose"; "1" ]
        "--gpu-source", [ "auto"; "NVML" ], [ "nvidia"; "1" ]
        "--nvml-library", [ "/opt/libnvidia-ml.so.1" ], [ "/"; " " ]
        "--procfs", [ "/host/proc"; "/" ], []
        "--sysfs", [ "/host/sys/" ], []
        "--rootfs", [ "/"; "/host" ], []
    ]

let private flags = switches @ List.map (fun (flag, _, _) -> flag) valued @ [ "--label" ]

/// Anything that can stand in argv or in a variable.
let private anyWord: Gen<string> =
    let values = valued |> List.collect (fun (_, good, bad) -> good @ bad)

    Gen.frequency
        [
            3, Gen.elements flags
            2, Gen.elements values
            2, Gen.map2 (fun flag value -> flag + "=" + value) (Gen.elements flags) (Gen.elements ("" :: values))
            1,
            Gen.elements
                [
                    "--version"
                    "--versions"
                    "-h"
                    "--"
                    "-"
                    ""
                    "="
                    "--="
                    "-v"
                    "--ho"
                    "--Host"
                    "--help=1"
                    "key=value"
                    "a="
                ]
            1, anyText
            1, Gen.map (fun text -> "--" + text) anyText
            1, Gen.map2 (fun flag text -> flag + "=" + text) (Gen.elements flags) anyText
        ]

/// Variables: every flag's, most of them unset.
let private anyEnvironment: Gen<Map<string, string>> =
    upTo 4 (Gen.zip (Gen.elements flags |> Gen.map Flag.variable) anyWord)
    |> Gen.map Map.ofArray

let private parse (environment: Map<string, string>) (argv: string[]) =
    let variable (name: string) : string | null =
        match Map.tryFind name environment with
        | Some text -> text
        | None -> null

    Cli.parse argv (Func<string, string | null>(variable))

let private isOneLine (text: string) =
    text <> "" && not (Seq.exists Char.IsControl text)

/// What settings promise, whatever they were made of.
let private complaints (settings: Settings) : string list =
    [
        if
            settings.Interval < TimeSpan.FromSeconds 0.5
            || settings.Interval > TimeSpan.FromDays 1.0
        then
            $"interval {settings.Interval}"
        if settings.CpuWindow < TimeSpan.Zero || settings.CpuWindow >= settings.Interval then
            $"CPU window {settings.CpuWindow} of {settings.Interval}"
        if
            settings.Timeout <= TimeSpan.Zero
            || settings.Timeout > TimeSpan.FromSeconds 600.0
        then
            $"time-out {settings.Timeout}"
        if
            settings.Target.IsNone
            && settings.Listen.IsNone
            && settings.RemoteWrite.IsNone
            && settings.Otlp.IsNone
            && not settings.DryRun
        then
            "nowhere to send to"
        for root in [ settings.ProcFs; settings.SysFs; settings.RootFs ] do
            if root = "" || (root <> "/" && root.EndsWith '/') then
                $"root {root}"
        let keys = settings.Labels |> Array.map (fun (struct (key, _)) -> key)

        if Array.distinct keys <> keys || Array.contains "" keys then
            $"labels %A{settings.Labels}"

        match settings.Target with
        | ValueSome target ->
            let path = $"/api/ingest/servers/{target.Slug}/metrics/"

            if not (target.Endpoint.AbsoluteUri.EndsWith(path, StringComparison.Ordinal)) then
                $"endpoint {target.Endpoint}"

            if target.Endpoint.Query <> "" || target.Endpoint.UserInfo <> "" then
                $"endpoint {target.Endpoint}"

            if tokenOf target = "" || Seq.exists Char.IsWhiteSpace (tokenOf target) then
                "a token that no header can hold"
        | ValueNone -> ()
    ]

/// Settings without the target, whose token has no equality.
let private comparable (settings: Settings) =
    { settings with Target = ValueNone },
    settings.Target
    |> ValueOption.map (fun t -> t.Endpoint, t.Host, t.Slug, tokenOf t)

let private settingsOf result =
    match result with
    | Ok(Command.Run settings) -> comparable settings
    | Ok other -> failtestf "%A" other
    | Error errors -> failtestf "%A" errors

let private addressee = [| "--host=http://h"; "--server-slug=node"; "--token=secret" |]

/// Some options, each with a good value and a bad one.
let private choice: Gen<(string * string * string list) list> =
    Gen.subListOf valued
    |> Gen.bind (Gen.collectToList (fun (flag, good, bad) -> Gen.elements good |> Gen.map (fun good -> flag, good, bad)))

let private marker = "Geheim0815"

/// Everything that a result can show a user.
let private shown result =
    match result with
    | Ok(Command.Help text) -> text
    | Ok command -> $"%A{command} {command}"
    | Error errors ->
        errors
        |> Array.map (fun error -> $"{error.Origin} {error} %A{error}")
        |> String.concat "\n"

/// Ways to give a token, some of them wrong.
let private tokenWords: Gen<string[] * Map<string, string>> =
    gen {
        let! tail = word
        let token = marker + tail
        let inEnvironment text = Map [ "AI_DASHBOARD_TOKEN", text ]

        return!
            Gen.elements
                [
                    [| "--token"; token |], Map.empty
                    [| $"--token={token}" |], Map.empty
                    [| "--token"; $"in ner {token}" |], Map.empty
                    [| "--token"; $"{token}\n{token}" |], Map.empty
                    [| "--token"; $"é{token}" |], Map.empty
                    [| "--token"; "stray"; token |], Map.empty
                    [| token; "--token"; "other" |], Map.empty
                    [| $"--token={token}"; "--once=1"; "stray" |], Map.empty
                    [||], inEnvironment token
                    [||], inEnvironment $"in ner {token}"
                    [| "--host"; $"http://user:{token}@h" |], Map.empty
                    [| "--host"; $"http://user:{token}@h:port" |], Map.empty
                ]
    }

/// Ways to misspell the option that carries a token.
let private misspelt: Gen<string[]> =
    gen {
        let! tail = word
        let token = marker + tail

        return!
            Gen.elements
                [
                    [| $"--tokn={token}" |]
                    [| "--tokn"; token |]
                    [| "--Token"; token |]
                    [| $"--Token={token}" |]
                    [| "-token"; token |]
                    [| $"-token={token}" |]
                    [| "-t"; token |]
                    [| "token"; token |]
                    [| $"token={token}" |]
                    [| $"--token:{token}" |]
                    [| "—token"; token |]
                    [| "--token"; $"--{token}" |]
                ]
    }

/// The rest of a command line: what makes it whole, or wrong in other ways too.
let private noise: Gen<string[]> =
    Gen.oneof
        [
            Gen.constant addressee[..1]
            upTo 2 (Gen.elements [ "--once"; "--quiet"; "--interval=x"; "--label=x"; "--foo"; "--dry-run" ])
        ]

let tests =
    testList
        "Cli and Settings"
        [
            law
                "any command line and environment give a command or errors, never an exception"
                (Gen.zip (upTo 6 anyWord) anyEnvironment)
                (fun (argv, environment) ->
                    match parse environment argv with
                    | Ok(Command.Run settings) -> noneOf (complaints settings)
                    | Ok(Command.Help text) -> text <> ""
                    | Ok Command.Version -> true
                    | Error errors ->
                        errors.Length > 0
                        && errors |> Array.forall (fun error -> error.Origin <> "" && error.Message <> ""))
            law "every error is one line" (Gen.zip (upTo 4 anyWord) anyEnvironment) (fun (argv, environment) ->
                match parse environment argv with
                | Ok _ -> true
                | Error errors ->
                    errors
                    |> Seq.filter (fun error -> not (isOneLine error.Message))
                    |> Seq.map (fun error -> $"%A{error}")
                    |> noneOf)
            law
                "a token is never printed, wherever it stands and whatever else is wrong"
                (Gen.zip tokenWords noise)
                (fun ((argv, environment), noise) ->
                    let text = shown (parse environment (Array.append noise argv))
                    not (text.Contains marker) || failtestf "%s" text)
            law "a token is not printed either when its option is misspelt" (Gen.zip misspelt noise) (fun (argv, noise) ->
                let text = shown (parse Map.empty (Array.append argv noise))
                not (text.Contains marker) || failtestf "%s" text)
            lawOf wholeCases "an option and its variable mean the same" choice (fun choice ->
                let argv = choice |> List.map (fun (flag, good, _) -> $"{flag}={good}") |> Array.ofList

                let environment =
                    choice
                    |> List.map (fun (flag, good, _) -> Flag.variable flag, good)
                    |> Map.ofList

                let isChosen (word: string) =
                    choice
                    |> List.exists (fun (flag, _, _) -> word.StartsWith(flag + "=", StringComparison.Ordinal))

                // Warnings name where a value came from.
                let withoutOrigins (settings: Settings, target) =
                    { settings with Warnings = [||] }, settings.Warnings.Length, target

                let byFlags = parse Map.empty (Array.append addressee argv)
                let byVariables = parse environment (Array.filter (isChosen >> not) addressee)
                same (withoutOrigins (settingsOf byVariables)) (withoutOrigins (settingsOf byFlags)))
            lawOf wholeCases "an option beats its variable, and an empty variable counts as unset" choice (fun choice ->
                let argv =
                    Array.append addressee (choice |> List.map (fun (flag, good, _) -> $"{flag}={good}") |> Array.ofList)

                let garbled =
                    choice
                    |> List.map (fun (flag, _, bad) -> Flag.variable flag, (List.tryHead bad |> Option.defaultValue "/other"))
                    |> Map.ofList

                let empty = valued |> List.map (fun (flag, _, _) -> Flag.variable flag, "") |> Map.ofList

                let expected = settingsOf (parse Map.empty argv)

                same (settingsOf (parse garbled argv)) expected
                && same (settingsOf (parse empty argv)) expected)
            lawOf wholeCases "of a repeated option the last wins" choice (fun choice ->
                let last = choice |> List.map (fun (flag, good, _) -> $"{flag}={good}") |> Array.ofList

                let first =
                    valued
                    |> List.map (fun (flag, good, bad) -> $"{flag}={List.last (good @ bad)}")
                    |> List.filter (fun word ->
                        last
                        |> Array.exists (fun other -> other.StartsWith(word.Substring(0, word.IndexOf '=' + 1), StringComparison.Ordinal)))
                    |> Array.ofList

                same
                    (settingsOf (parse Map.empty (Array.concat [ addressee; first; last ])))
                    (settingsOf (parse Map.empty (Array.append addressee last))))
            law "all errors are reported together, each by its own origin" choice (fun choice ->
                let wrong = choice |> List.filter (fun (_, _, bad) -> bad <> [])

                let argv =
                    wrong
                    |> List.map (fun (flag, _, bad) -> $"{flag}={List.head bad}")
                    |> Array.ofList

                let told =
                    match parse Map.empty argv with
                    | Ok _ -> []
                    | Error errors -> errors |> Array.map (fun error -> error.Origin) |> List.ofArray

                let expected =
                    (wrong |> List.map (fun (flag, _, _) -> flag))
                    @ ([ "--host"; "--server-slug"; "--token" ]
                       |> List.filter (fun flag -> not (wrong |> List.exists (fun (other, _, _) -> other = flag)))
                       |> List.map (fun flag ->
                           if flag = "--token" then
                               IngestToken.missing.Origin
                           else
                               $"{flag} (or {Flag.variable flag})"))

                same (List.sort told) (List.sort expected))
            law
                "labels of options and of the variable are joined, the option wins, the last of a key wins"
                (Gen.two (upTo 4 (Gen.zip (Gen.elements [ "a"; "b"; "c"; "rack" ]) word)))
                (fun (fromFlags, fromVariable) ->
                    let fromVariable = fromVariable |> Array.map (fun (key, value) -> key, "v" + value)

                    let argv =
                        fromFlags
                        |> Array.collect (fun (key, value) -> [| "--label"; $"{key}={value}" |])

                    let variable =
                        fromVariable
                        |> Array.map (fun (key, value) -> $"{key}={value}")
                        |> String.concat ", "

                    let settings, _ =
                        settingsOf (parse (Map [ "AI_DASHBOARD_LABEL", variable ]) (Array.append addressee argv))

                    let expected = Array.append fromVariable fromFlags |> Map.ofArray

                    same
                        (settings.Labels
                         |> Array.map (fun (struct (key, value)) -> key, value)
                         |> Map.ofArray)
                        expected)
            lawOf
                wholeCases
                "help and version win over everything that is merely missing"
                (Gen.elements [ "--help"; "-h"; "--version" ])
                (fun word ->
                    match parse Map.empty [| "--quiet"; word |] with
                    | Ok(Command.Help _) -> word <> "--version"
                    | Ok Command.Version -> word = "--version"
                    | _ -> false)
        ]
