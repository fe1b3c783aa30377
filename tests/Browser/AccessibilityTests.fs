module Agent.Browser.Tests.AccessibilityTests

open System.Collections.Generic
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Deque.AxeCore.Commons
open Deque.AxeCore.Playwright
open Expecto

/// What axe-core calls serious or critical.
let faults (page: Visit) =
    // As the policy asks, axe runs in this frame only. What it says at length of all that is good would take longer than to find it out.
    let options = AxeRunOptions(Iframes = false, ResultTypes = HashSet [ ResultType.Violations ])

    let found = wait (page.Page.RunAxe options)

    [
        for violation in found.Violations do
            if violation.Impact = "serious" || violation.Impact = "critical" then
                let first = violation.Nodes |> Array.tryHead |> Option.map _.Html
                $"{violation.Impact} {violation.Id}: {violation.Help}, {first}"
    ]

let private pages =
    [
        "the fleet", "/", card
        "a machine", "/servers/h100-01", "[data-chart=bottleneck] canvas"
        "a machine that was never seen", "/servers/never-started", ".command"
    ]

[<Tests>]
let tests =
    testList
        "Accessibility"
        [
            for name, path, sign in pages do
                for theme, look in [ "light", desktop; "dark", night; "on a telephone", phone ] do
                    testCase $"axe finds no serious fault: {name}, {theme}"
                    <| fun () ->
                        visit look (fleet ()) (fun page ->
                            page.Go path
                            page.See sign
                            Expect.equal (faults page) [] "nothing serious or critical")

            testCase "axe finds no serious fault: the log-in by name and by a provider"
            <| fun () ->
                withUser
                    "ada"
                    "a password for the tests"
                    [ "--oidc-authority"; "https://id.example"; "--oidc-client-id"; "x" ]
                    (fun dashboard ->
                        visit desktop dashboard.Url (fun page ->
                            page.Go "/login"
                            page.See "#name"
                            Expect.equal (faults page) [] "the log-in"))

            testCase "axe finds no serious fault: an empty dashboard, and the log-in"
            <| fun () ->
                withPassword "a password for the tests" (fun dashboard ->
                    visit desktop dashboard.Url (fun page ->
                        page.Go "/login"
                        page.See "#password"
                        Expect.equal (faults page) [] "the log-in"
                        finish (page.Find("#password").FillAsync "a password for the tests")
                        page.Press "Enter"
                        page.See ".welcome"
                        Expect.equal (faults page) [] "the two commands"))
        ]
