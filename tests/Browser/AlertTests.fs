/// The page of alerts: what is open, what admins do about it, and when nobody is told.
module Agent.Browser.Tests.AlertTests

open System
open System.IO
open System.Net.Http
open System.Text
open Agent.Browser.Tests.AccessibilityTests
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Expecto

let private password = "correct horse battery staple"

/// One channel that nobody listens at, a rule and a maintenance window.
let private file =
    """{ "channels": [ { "name": "ops", "type": "webhook", "url": "http://127.0.0.1:9/" } ],
         "rules": { "hang": { "for_minutes": 7 }, "memory-full": { "for_minutes": 0, "clear_minutes": 0, "level": "critical" } },
         "maintenance": [ { "comment": "patch day", "match": ["rack=r9"], "weekly": { "days": ["sat"], "at": "22:00", "minutes": 240 } } ] }"""

let private post (dashboard: Dashboard) (server: Registered) (memory: float) : unit =
    use http = new HttpClient()
    http.DefaultRequestHeaders.Add("X-Monitoring-Token", server.Token)
    let now = DateTimeOffset.UtcNow.ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"

    let body =
        $$"""{"sample":{"collected_at":"{{now}}","memory_percent":{{memory}},"swap_percent":{{memory}}} }"""

    use content = new StringContent(body, Encoding.UTF8, "application/json")

    use answer =
        http.PostAsync($"{dashboard.Url}/api/ingest/servers/{server.Slug}/metrics/", content).Result

    Expect.equal (int answer.StatusCode) 200 "the sample is taken"

/// A dashboard with one machine, whose memory is full, and an admin's session.
let private withAlert (test: Dashboard -> Registered -> string * string -> unit) : unit =
    use directory = new TemporaryDirectory()
    File.WriteAllText(directory.File "alerts.json", file)

    withUser "ada" password [ "--alerts"; directory.File "alerts.json" ] (fun dashboard ->
        let server = dashboard.Register("gpu-1", [ "--name"; "GPU 1" ])
        post dashboard server 99.0
        use http = LoginClient.client ()
        test dashboard server (LoginClient.sessionOf (LoginClient.login http dashboard.Url "ada" password)))

let private alertsAs (session: string * string) (look: Look) (dashboard: Dashboard) (test: Visit -> unit) : unit =
    visit look dashboard.Url (fun page ->
        page.LogIn session
        page.Go "/alerts"
        page.See ".alert[data-level=critical]"
        test page)

/// An admin looks at the alerts of a dashboard of the test's own.
let private asAdmin (test: Dashboard -> Registered -> Visit -> unit) : unit =
    withAlert (fun dashboard server session -> alertsAs session desktop dashboard (test dashboard server))

[<Tests>]
let tests =
    testList
        "Alerts"
        [
            testCase "an open alert says what, since when and where; it is acknowledged, muted, and over"
            <| fun () ->
                asAdmin (fun dashboard server page ->
                    Expect.stringContains (page.Text ".alert h3") "Memory of GPU 1 is 99 % full" "what"
                    Expect.stringContains (page.Text ".alert-when") "Memory is nearly full · since" "since when"
                    page.See "#alerts-link .count:has-text('1')"
                    page.Click ".alert [data-act=ack]"
                    page.See "text=acknowledged by ada"
                    page.Choose(".alert [data-act=mute]", "60")
                    page.See "text=muted until"
                    page.Click ".alert [data-act=unmute]"
                    page.See ".alert [data-act=mute]"
                    post dashboard server 10.0
                    page.See "[aria-label='Alerts that are over'] li"
                    Expect.stringContains (page.Text "[aria-label='Alerts that are over'] li") "Memory of GPU 1 is 99 % full" "history"
                    page.SeeNo ".alert"
                    page.SeeNo "#alerts-link .count"
                    page.Click "[aria-label='Alerts that are over'] a"
                    page.See ".machine-head"
                    Expect.stringContains page.Page.Url "/servers/gpu-1?from=" "the moment")

            testCase "maintenance is planned and taken back; what the file says stays"
            <| fun () ->
                asAdmin (fun _ _ page ->
                    Expect.stringContains (page.Text "#maintenance li") "patch day" "the file's"
                    Expect.stringContains (page.Text "#maintenance li") "Sat at 22:00 UTC, for 240 minutes" "when"
                    page.See "#maintenance li >> text=set by the file"
                    page.Click "text=Plan maintenance"
                    finish (page.Find("#maintenance input[placeholder]").FillAsync "gpu-1 rack=r1, team=vision")
                    finish (page.Find("label:has-text('What for') input").FillAsync "new disks")
                    page.Click "text=Add maintenance"
                    page.See "#maintenance li:has-text('gpu-1 or rack=r1,team=vision')"
                    page.See "#maintenance li:has-text('new disks') >> text=Now: nobody is told"
                    // The list of alerts is read again after a while.
                    page.Until "document.querySelector('.alert')?.textContent.includes('in maintenance')"
                    page.Click "[aria-label='Remove: new disks']"
                    page.SeeNo "#maintenance li:has-text('new disks')"
                    Expect.equal (page.Value<string> "document.activeElement.textContent") "Maintenance" "the focus is not lost")

            testCase "rules are changed, except for those of the file; a channel is tested"
            <| fun () ->
                asAdmin (fun _ _ page ->
                    page.Allow "502"
                    page.Click "text=What raises an alert"
                    page.See "[data-rule=hang] >> text=set by the file"
                    Expect.equal (page.Value<int> "document.querySelectorAll('[data-rule=hang] input').length") 0 "nothing to change"
                    finish (page.Find("[data-rule=swap-full] [name=threshold]").FillAsync "97")
                    finish (page.Find("[data-rule=swap-full] [name=for_minutes]").FillAsync "0")
                    page.Click "[data-rule=xid-program] [name=enabled]"
                    page.Click "text=Save the rules"
                    page.See "#rules .outcome:has-text('Saved.')"
                    page.See "[data-rule=swap-full] >> text=changed"
                    page.See "[data-rule=xid-program] >> text=changed"
                    // It holds at once.
                    page.Until "document.querySelectorAll('.alert').length === 2"
                    finish (page.Find("[data-rule=swap-full] [name=threshold]").FillAsync "970")
                    page.Allow "400"
                    page.Click "text=Save the rules"
                    page.See "#rules .outcome.wrong:has-text('expected a number from 0 to 100, found 970')"
                    page.Click "[aria-label='Send a test over ops']"
                    page.See "#channels .outcome.wrong:has-text('The test was not delivered.')")

            testCase "a viewer sees everything and can change nothing"
            <| fun () ->
                visit desktop (fleet ()) (fun page ->
                    page.Go "/alerts"
                    page.See "#rules summary"
                    page.Click "text=What raises an alert"
                    page.See "[data-rule=hang]"

                    Expect.equal
                        (page.Value<int> "document.querySelectorAll('main input, main select, main button').length")
                        0
                        "no controls"

                    page.See ".sections a[aria-current]:has-text('Alerts')")

            testCase "axe finds no serious fault: /alerts, light, dark, and on a telephone"
            <| fun () ->
                withAlert (fun dashboard _ session ->
                    for look in [ desktop; night; phone ] do
                        alertsAs session look dashboard (fun page ->
                            page.Click "text=Plan maintenance"
                            page.Click "text=only at weekly times"
                            page.Click "text=What raises an alert"
                            page.See "[data-rule=hang]"
                            Expect.equal (faults page) [] $"/alerts, %A{look}"
                            Expect.equal (page.Value<int> "document.documentElement.scrollWidth") look.Width "no scrolling sideways"))
        ]
