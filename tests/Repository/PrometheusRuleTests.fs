/// What is made for Prometheus and Grafana: promtool's own tests of the rules, and that each metric is one that the agent has.
module Agent.Repository.Tests.PrometheusRuleTests

open System.IO
open System.Text.RegularExpressions
open Agent.Build
open Agent.TestSupport
open Expecto

let private directory = Path.Combine(Fixtures.root, "packaging", "prometheus")

let private textOf (name: string) =
    File.ReadAllText(Path.Combine(directory, name))

let private named (pattern: string) (text: string) =
    [
        for found in Regex.Matches(text, pattern, RegexOptions.Multiline) -> found.Groups[1].Value
    ]

let private promtool (words: string list) =
    Tools.succeed [] "promtool" words |> ignore

/// The metrics that a page names between back quotes, as patterns: `…` is anything, `{a,b}` either.
let private documented (page: string) : Regex list =
    [
        for found in Regex.Matches(page, "`([^`\n]+)`") do
            let words = Regex.Escape(found.Groups[1].Value).Replace("…", ".*")

            let either =
                Regex.Replace(words, @"\\\{([^}]*)}", (fun (part: Match) -> "(" + part.Groups[1].Value.Replace(",", "|") + ")"))

            if Regex.IsMatch(words, @"^(\.\*)?\w") then
                Regex $"^{either}$"
    ]

let private page =
    lazy (documented (File.ReadAllText(Path.Combine(Fixtures.root, "docs", "prometheus.md"))))

/// The metrics in a text that docs/prometheus.md does not describe; names of rules have a colon.
let private unknownIn (text: string) : string list =
    named @"(?<![:\w])((?:ai_dashboard|node|DCGM_FI)_\w+)" text
    |> List.distinct
    |> List.filter (fun metric -> not (page.Value |> List.exists _.IsMatch(metric)))

[<Tests>]
let tests =
    testList
        "Prometheus rules"
        [
            testCase "promtool finds no fault in them"
            <| fun () -> promtool [ "check"; "rules"; "packaging/prometheus/ai-dashboard-rules.yml" ]

            testCase "each alert fires, ends and stays away as its cases say"
            <| fun () -> promtool [ "test"; "rules"; "packaging/prometheus/ai-dashboard-rules-test.yml" ]

            testCase "each alert has its cases"
            <| fun () ->
                let alerts = named @"^ *- alert: (\w+)" (textOf "ai-dashboard-rules.yml")
                let cases = named "^ *- name: (.+)$" (textOf "ai-dashboard-rules-test.yml")
                Expect.isGreaterThan alerts.Length 10 "alerts"

                for alert in alerts do
                    Expect.contains cases $"{alert} fires and ends" "that it fires, and ends"
                    Expect.contains cases $"{alert} stays away" "that it stays away"

            testCase "each metric in them is one that docs/prometheus.md describes"
            <| fun () -> Expect.equal (unknownIn (textOf "ai-dashboard-rules.yml")) [] "metrics that nothing reports"

            testCase "the dashboards for Grafana are those of their rows, and ask for metrics that docs/prometheus.md describes"
            <| fun () ->
                for name, text in GrafanaBoards.files do
                    let written = File.ReadAllText(Path.Combine(Fixtures.root, name))
                    Expect.equal written text "it is not what `dotnet fsi build.fsx -t Docs` writes"

                let unknown =
                    GrafanaBoards.expressions
                    |> List.collect (fun (_, expression) -> unknownIn expression)

                Expect.equal unknown [] "metrics that nothing reports"
        ]
