module Agent.Sender.Tests.CliTests

open System
open System.Reflection
open Agent.Core
open Agent.Sender
open Agent.Sender.Cli
open Agent.TestSupport.CommandLine
open Expecto
open Microsoft.FSharp.Reflection

let private someHost = "--host=http://h"

/// Every flag of the Argu union, and whether it takes a value.
let private flags: (string * bool) list =
    FSharpType.GetUnionCases(typeof<AgentArgument>, BindingFlags.Public ||| BindingFlags.NonPublic)
    |> Array.map (fun case -> "--" + case.Name.ToLowerInvariant().Replace('_', '-'), case.GetFields().Length > 0)
    |> Array.filter (fun (flag, _) -> flag <> "--version")
    |> List.ofArray

/// Everything in the settings as text, the token included.
let private describe (settings: Settings) : string =
    let target =
        match settings.Target with
        | ValueSome {
                        Token = TokenOrigin.Given(token, origin)
                    } as target -> $"{target.Value.Endpoint} {token.Reveal()} {origin}"
        | ValueSome target -> $"{target.Endpoint} {target.Token}"
        | ValueNone -> "nowhere"

    let rest = { settings with Target = ValueNone }
    $"{target} %A{rest} {settings.Warnings.Length}"

let private outcome words variables =
    match parse words variables with
    | Ok(Command.Run settings) -> describe settings
    | Ok other -> string other
    | Error errors -> errors |> Array.map string |> String.concat "\n"

/// What errors say of these words, in one text.
let private said words variables =
    errorsOf words variables |> String.concat "\n"

[<Tests>]
let tests =
    testList
        "Cli"
        [
            testCase "each option is described once, under one heading of its group, in the order of the union"
            <| fun () ->
                let described = Cli.describe ()
                Expect.equal [ for option in described -> option.Name ] [ yield! List.map fst flags; "--version" ] "names"

                for option in described do
                    Expect.isNotEmpty option.Meaning option.Name
                    Expect.isFalse (option.Meaning.EndsWith '.') $"{option.Name}: the full stop is added where it is shown"

                let groups = described |> Array.map _.Group
                let runs = groups |> Array.pairwise |> Array.filter (fun (one, next) -> one <> next)
                Expect.equal (runs.Length + 1) (Array.distinct groups).Length "each group stands together"

            testCase "of a repeated switch the last one counts, with or without a value"
            <| fun () ->
                Expect.isFalse (settingsWith [ "--once"; "--once=no" ]).Once "no at the end"
                Expect.isTrue (settingsWith [ "--once=no"; "--once" ]).Once "no at the beginning"

            testCase "a word that looks like an option is no value, unless it is written with an equals sign"
            <| fun () ->
                Expect.equal
                    (errorsOf [ "--host"; "--quite"; "--server-slug=a"; "--token=b" ] [])
                    [
                        "--host needs a value; see ai-dashboard-agent --help"
                        "--quite is not an option; see ai-dashboard-agent --help"
                    ]
                    "two errors"

            testCase "the help is at most 80 columns wide"
            <| fun () ->
                for line in (usage ()).Split '\n' do
                    Expect.isLessThanOrEqual line.Length 80 line

            testCase "every flag of the union has an effect, and its variable the same"
            <| fun () ->
                Expect.isGreaterThanOrEqual flags.Length 18 "the flags of the first issue"

                for flag, takesValue in flags do
                    let variable = "AI_DASHBOARD_" + flag.Substring(2).ToUpperInvariant().Replace('-', '_')

                    // Without the flag itself; and without --token, which takes precedence over other ways to get one.
                    let without names =
                        required
                        |> List.chunkBySize 2
                        |> List.filter (fun pair -> not (List.contains pair.Head names))
                        |> List.concat

                    let others =
                        without
                            [
                                flag
                                (if flag.StartsWith "--token" || flag = "--enrol-key-file" then
                                     "--token"
                                 else
                                     flag)
                            ]

                    let plain = outcome others []

                    // One text or another is a good value of each flag, or an error in the name of that flag.
                    let texts =
                        if takesValue then
                            [ "7"; "a=b"; "debug"; "http://x"; "\u0001" ]
                        else
                            [ "1" ]

                    let given text =
                        if takesValue then
                            others @ [ flag; text ]
                        else
                            others @ [ flag ]

                    let effects = texts |> List.filter (fun text -> outcome (given text) [] <> plain)
                    Expect.isNonEmpty effects $"{flag} changes nothing"

                    for text in texts do
                        // Some sentences name the flag, whichever way it came.
                        Expect.equal
                            ((outcome others [ variable, text ]).Replace(variable, flag))
                            ((outcome (given text) []).Replace(variable, flag))
                            $"{variable} and {flag} {text}"

            testCase "every flag stands in the help, and the help names no value of the environment"
            <| fun () ->
                for words in
                    [
                        [ "--help" ]
                        [ "-h" ]
                        [ "--token"; "s3cr3t"; "--help" ]
                        [ "--bogus"; "-h" ]
                    ] do
                    match parse words [ "AI_DASHBOARD_TOKEN", "s3cr3t" ] with
                    | Ok(Command.Help text) ->
                        for flag, _ in flags do
                            Expect.stringContains text flag "in the help"

                        Expect.stringContains text "--version" "in the help"
                        Expect.stringContains text "--help" "in the help"
                        Expect.isFalse (text.Contains "s3cr3t") "no token"
                        Expect.isFalse (text.Contains "TIME_SCALE") "the seam of the tests is not advertised"
                    | other -> failtest $"expected help, got {other}"

            testCase "--version needs nothing else"
            <| fun () ->
                Expect.equal (parse [ "--version" ] []) (Ok Command.Version) "alone"
                Expect.equal (parse [ "--version" ] [ "AI_DASHBOARD_INTERVAL", "x" ]) (Ok Command.Version) "bad environment"
                Expect.equal (parse (required @ [ "--version" ]) []) (Ok Command.Version) "beside others"

            testCase "help and version have no variable"
            <| fun () ->
                Expect.equal (outcome required [ "AI_DASHBOARD_HELP", "1"; "AI_DASHBOARD_VERSION", "1" ]) (outcome required []) "ignored"

            testCase "of a repeated flag the last wins, a bad earlier one included"
            <| fun () ->
                let settings = settingsWith [ "--interval"; "x"; "--interval=3"; "--interval"; "4"; "--once"; "--once" ]
                Expect.equal (settings.Interval, settings.Once) (TimeSpan.FromSeconds 4.0, true) "the last"
                let settings = settingsWith [ "--token=one"; "--token"; "two" ]
                Expect.equal (tokenOf (targetOf settings)) "two" "the last"

            testCase "a value may begin with a dash, and hold equals signs"
            <| fun () ->
                let settings = settingsWith [ "--cpu-sample-interval"; "-1"; "--token"; "-a=b"; "--label=k=--v" ]
                Expect.equal settings.CpuWindow TimeSpan.Zero "negative"
                Expect.equal (tokenOf (targetOf settings)) "-a=b" "token"
                Expect.equal settings.Labels [| struct ("k", "--v") |] "label"
                let settings = settingsWith [ "--token=--x" ]
                Expect.equal (tokenOf (targetOf settings)) "--x" "after an equals sign even two dashes"

            testCase "a flag without its value is told, and not told as missing as well"
            <| fun () ->
                let needs flag =
                    $"{flag} needs a value; see ai-dashboard-agent --help"

                let slug = [ "--server-slug=a" ]
                Expect.equal (errorsOf ([ someHost; "--token" ] @ slug) []) [ needs "--token" ] "last word"
                Expect.equal (errorsOf ([ someHost; "--token"; "--once" ] @ slug) []) [ needs "--token" ] "before a flag"
                Expect.equal (errorsOf ([ someHost; "--token=" ] @ slug) []) [ needs "--token" ] "nothing after the sign"
                Expect.equal (errorsOf ([ someHost; "--token"; "" ] @ slug) []) [ needs "--token" ] "an empty word"

            testCase "the flags of delivery and diagnosis need their values, and take them either way"
            <| fun () ->
                for flag in
                    [
                        "--token-file"
                        "--ca-file"
                        "--client-cert"
                        "--client-key"
                        "--spool"
                        "--spool-max-mb"
                    ] do
                    let sentence = $"{flag} needs a value; see ai-dashboard-agent --help"

                    for words in [ [ flag ]; [ flag + "=" ]; [ flag; "--once" ]; [ flag; "" ] ] do
                        Expect.equal (errorsWith words) [ sentence ] $"%A{words}"

                let settings =
                    settingsWith
                        [
                            "--ca-file"
                            "/a"
                            "--client-cert=/b"
                            "--client-key"
                            "/c"
                            "--spool=/d"
                            "--spool-max-mb"
                            "5"
                        ]

                Expect.equal
                    (settings.CaFile, settings.ClientCertificate, settings.ClientKey, settings.Spool, uint64 settings.SpoolLimit)
                    ("/a", "/b", "/c", "/d", 5242880UL)
                    "taken"

            testCase "unknown flags, stray words and bad values are told together"
            <| fun () ->
                let help = "see ai-dashboard-agent --help"

                Expect.equal
                    (errorsOf [ "--bogus"; "stray"; "--interval=x"; "other"; "--Once"; "-x" ] [])
                    [
                        $"--bogus is not an option; {help}"
                        $"command line: \"other\" is not an option; {help}"
                        $"--Once is not an option; {help}"
                        $"command line: \"-x\" is not an option; {help}"
                        "--interval: \"x\" is not a number of seconds"
                        "Missing --host (or AI_DASHBOARD_HOST)"
                        "Missing --server-slug (or AI_DASHBOARD_SERVER_SLUG)"
                        "Missing --token or --token-file (or AI_DASHBOARD_TOKEN, AI_DASHBOARD_TOKEN_FILE)"
                    ]
                    "all of them"

            testCase "a switch with a value that is none is an error that names it"
            <| fun () ->
                for flag in [ "--once"; "--quiet"; "--insecure"; "--dry-run"; "--doctor"; "--json" ] do
                    let text = said (required @ [ $"{flag}=maybe" ]) []
                    Expect.stringContains text flag "named"

            testCase "what a switch or --help cannot take is repeated, unless it may be a token"
            <| fun () ->
                let help = "see ai-dashboard-agent --help"
                let words = "1, true, yes, on or 0, false, no, off, or no value"

                Expect.equal
                    (errorsOf [ "--dry-run=maybe" ] [])
                    [ $"--dry-run: \"maybe\" is not what a switch takes: {words}; {help}" ]
                    "switch"

                Expect.equal (errorsOf [ "--dry-run"; "--help=x" ] []) [ $"--help takes no value; \"x\" is one; {help}" ] "--help"
                Expect.equal (errorsOf [ "--dry-run"; "--version=x" ] []) [ $"--version takes no value; \"x\" is one; {help}" ] "--version"

                for word in [ "--dry-run=s3cret"; "--help=s3cret"; "--version=s3cret" ] do
                    Expect.isFalse ((said [ "--dry-run"; word; "--token=a" ] []).Contains "s3cret") word
                    Expect.isFalse ((said [ "--dry-run"; word ] [ "AI_DASHBOARD_TOKEN", "a" ]).Contains "s3cret") word
                    Expect.isFalse ((said [ "--dry-run"; word ] []).Contains "s3cret") word

            testCase "--token-file without its value is told once"
            <| fun () ->
                Expect.equal
                    (errorsOf [ someHost; "--server-slug=a"; "--token-file" ] [])
                    [ "--token-file needs a value; see ai-dashboard-agent --help" ]
                    "not as missing as well"

            testCase "a value with a line end inside is checked like any other, beside the other errors"
            <| fun () ->
                let settings = settingsWith [ "--label"; "a=x\ny" ]
                Expect.equal settings.Labels [| struct ("a", "x\ny") |] "label"

                let origins =
                    errorsOf (required @ [ "--token"; "to\np"; "--interval"; "x"; "--server-slug"; "a\nb" ]) []
                    |> List.map (fun message -> message.Split(':')[0])

                Expect.equal (List.sort origins) [ "--interval"; "--server-slug"; "--token" ] "each named"

            testCase "no misspelling of the token's flag prints the token"
            <| fun () ->
                for words in
                    [
                        [ "--tokn=s3cr3t" ]
                        [ "--tokn"; "s3cr3t" ]
                        [ "--tokn"; "s3cr3t"; "s3cr3t" ]
                        [ "--toke=s3cr3t"; "s3cr3t" ]
                        [ "--TOKEN"; "s3cr3t" ]
                        [ "--Token=s3cr3t" ]
                        [ "--ingest-token"; "s3cr3t" ]
                        [ "--token"; "a"; "s3cr3t" ]
                        [ "--token"; "a"; "b"; "s3cr3t"; "--interval=x" ]
                        [ "--token=s3cr3t"; "s3cr3t" ]
                        [ "--token"; "s3cr3t x" ]
                        [ "--token"; "s3cr3t\tx" ]
                        [ "--token"; "s3cr3t\u0001" ]
                        [ "--token"; "s3cr3t\nx" ]
                        [ "--once=s3cr3t" ]
                    ] do
                    let text = said ([ "--host=http://h"; "--server-slug=a" ] @ words) []
                    Expect.isFalse (text.Contains "s3cr3t") $"%A{words}: {text}"

            for words in
                [
                    [ "-token"; "s3cr3t" ]
                    [ "-token=s3cr3t" ]
                    [ "-t"; "s3cr3t" ]
                    [ "token=s3cr3t" ]
                    [ "\u2014token"; "s3cr3t" ] // what a word processor makes of two dashes
                    [ "--token:s3cr3t" ]
                    [ "--tokens3cr3t" ]
                ] do
                testCase $"the token is not printed of %A{words}"
                <| fun () ->
                    let text = said ([ "--host=http://h"; "--server-slug=a" ] @ words) []
                    Expect.isFalse (text.Contains "s3cr3t") text

            testCase "no error of another flag prints the token of the environment"
            <| fun () ->
                for words in [ [ "s3cr3t" ]; [ "--bogus"; "x"; "s3cr3t" ]; [ "--interval=x" ] ] do
                    let text = said words [ "AI_DASHBOARD_TOKEN", "s3cr3t" ]
                    Expect.isFalse (text.Contains "s3cr3t") text
        ]
