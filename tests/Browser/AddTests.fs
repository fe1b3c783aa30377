/// Adding a machine in the browser, from its name to its page.
module Agent.Browser.Tests.AddTests

open System
open System.Net.Http
open System.Text
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.TestSupport
open Expecto
open Microsoft.Playwright

let private password = "correct horse battery staple"

/// Visits the fleet of a dashboard without machines as its admin.
let private asAdmin (look: Look) (test: Agent.TestSupport.DashboardProcess.Dashboard -> Visit -> unit) : unit =
    withUser "ada" password [] (fun dashboard ->
        use http = LoginClient.client ()
        let session = LoginClient.sessionOf (LoginClient.login http dashboard.Url "ada" password)

        visitWith withClipboard look dashboard.Url (fun page ->
            page.Allow "409"
            page.LogIn session
            page.Go "/"
            page.See ".welcome"
            test dashboard page))

let private fill (page: Visit) (name: string) =
    finish (page.Find("#add-name").FillAsync name)

let private focused (page: Visit) =
    page.Value<string> "document.activeElement.id"

let private postFirst (url: string) (slug: string) (token: string) : unit =
    use http = new HttpClient()
    http.DefaultRequestHeaders.Add("X-Monitoring-Token", token)

    let now = DateTimeOffset.UtcNow.ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"
    let body = $$"""{"sample":{"collected_at":"{{now}}","cpu_usage_percent":1} }"""
    use content = new StringContent(body, Encoding.UTF8, "application/json")
    use answer = http.PostAsync($"{url}/api/ingest/servers/{slug}/metrics/", content).Result
    Expect.equal (int answer.StatusCode) 200 "the sample is taken"

[<Tests>]
let tests =
    testList
        "Add"
        [
            testCase "a name becomes the commands, and the first sample leads to the machine's page"
            <| fun () ->
                asAdmin desktop (fun dashboard page ->
                    page.Click ".welcome .button.strong"
                    page.See "dialog[open]"
                    Expect.equal (focused page) "add-name" "the name is asked for"
                    fill page "GPU box (1)"
                    page.See "#add-slug:has-text('gpu-box-1')"
                    page.Press "Enter"
                    page.See "text=Waiting for its first sample"
                    Expect.equal (focused page) "add-title" "what is new is read aloud"
                    Expect.stringContains (page.Text "#add-title") "GPU box (1)" "whose commands these are"

                    let lines =
                        page.Copy("[aria-label='Copy the command that starts the agent in a terminal']", "text=Copied").Split('\n')

                    Expect.stringContains
                        lines[2]
                        $" --host {dashboard.Url} --server-slug gpu-box-1 "
                        "the address by which the browser came"

                    let token = lines[0].Substring "INGEST_TOKEN=".Length
                    dashboard.Process.Secrets <- [ token ]
                    postFirst dashboard.Url "gpu-box-1" token
                    page.See ".machine-head"
                    Expect.stringEnds page.Page.Url "/servers/gpu-box-1" "its page")

            testCase "a taken name is said in the dialog, Escape closes it, and commands are kept until the next machine"
            <| fun () ->
                asAdmin desktop (fun dashboard page ->
                    dashboard.Register("gpu-1", []) |> ignore
                    page.See card
                    page.Click "text=Add a machine"
                    fill page "GPU 1"
                    page.Press "Enter"
                    page.See "#add-error:has-text('there is a server gpu-1 already') >> visible=true"
                    Expect.equal (focused page) "add-name" "to be changed"
                    page.Press "Escape"
                    page.SeeNo "dialog"
                    page.Click "text=Add a machine"
                    Expect.equal (page.Text "#add-error") "" "asked anew"
                    fill page "GPU 2"
                    page.Press "Enter"
                    page.See "text=Waiting for its first sample"
                    page.Press "Escape"
                    page.SeeNo "dialog"
                    page.See ".machine[data-slug=gpu-2][data-state=never]"
                    page.Click "text=Add a machine"
                    page.See "text=Waiting for its first sample"
                    page.Click "text=Add another"
                    Expect.equal (focused page) "add-name" "the next one")

            testCase "the page makes slugs by the receiver's rule"
            <| fun () ->
                asAdmin desktop (fun _ page ->
                    page.Click ".welcome .button.strong"

                    for name, slug in
                        [
                            "node-7", "node-7"
                            "  A  b__C ", "a-b__c"
                            "--x--", "x"
                            "é", "machine"
                            // The sign for kelvin is k in lower case, and no ASCII letter.
                            "\u212Aelvin", "elvin"
                            "GPU😀box", "gpu-box"
                            String('x', 63) + "-y", String('x', 63)
                            "---" + String('z', 90), String('z', 64)
                        ] do
                        fill page name
                        Expect.equal (page.Text "#add-slug code") slug name)

            for theme, look in [ "light", desktop; "dark", night; "on a telephone", phone ] do
                testCase $"axe finds no serious fault in the dialog, {theme}"
                <| fun () ->
                    asAdmin look (fun _ page ->
                        page.Click ".welcome .button.strong"
                        fill page "gpu-1"
                        page.See "#add-slug:has-text('gpu-1')"
                        Expect.equal (AccessibilityTests.faults page) [] "the name"
                        page.Press "Enter"
                        page.See "text=Waiting for its first sample"
                        Expect.equal (AccessibilityTests.faults page) [] "the commands")

            testCase "who is no admin sees no button"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    visit desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See "text=Admins who have logged in can add machines in the browser"
                        page.See "#footer span"
                        Expect.isFalse (wait (page.Find("text=Add a machine").First.IsVisibleAsync())) "no button"))
        ]
