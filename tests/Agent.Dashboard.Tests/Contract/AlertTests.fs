/// Alerts as the API tells them, and what admins do about them.
module Agent.Dashboard.Tests.AlertTests

open System
open System.IO
open System.Net.Http
open System.Text
open System.Text.Json
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.LoginClient
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.Shared
open Expecto

/// Asks a dashboard, as an admin or as a viewer.
type private Asking(address: string, admin: string, viewer: string) =
    let http = client ()

    let ask (token: string) (method: string) (path: string) (body: string) =
        use request = new HttpRequestMessage(HttpMethod method, address + path)

        request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}")
        |> ignore

        if body <> "" then
            request.Content <- new StringContent(body, Encoding.UTF8, "application/json")

        let answer = http.SendAsync(request).Result
        status answer, answer.Content.ReadAsStringAsync().Result

    let json (text: string) = JsonDocument.Parse(text).RootElement

    member _.Port: int = Uri(address).Port

    /// What an admin gets for this: the status and the JSON.
    member _.Admin(method: string, path: string, body: string) : int * JsonElement =
        let status, text = ask admin method path body
        status, json text

    member _.ViewerStatus(method: string, path: string, body: string) : int = fst (ask viewer method path body)

    /// What a viewer reads.
    member _.Read(path: string) : JsonElement =
        let status, text = ask viewer "GET" path ""
        Expect.equal status 200 $"{path}: {text}"
        json text

    interface IDisposable with
        member _.Dispose() = http.Dispose()

let private withOptions (options: TemporaryDirectory -> string list) (test: Asking -> Registered -> (string -> unit) -> unit) : unit =
    use place = new TemporaryDirectory()
    let admin = addToken (place.File "tokens") "deployer" "admin"
    let viewer = addToken (place.File "tokens") "prometheus" "viewer"
    addUser (place.File "users") "ada" "admin" "correct horse battery"

    use dashboard =
        new Dashboard(
            place.File "a.db",
            [ "--users-file"; place.File "users"; "--tokens-file"; place.File "tokens" ]
            @ options place
        )

    let server = dashboard.Register("gpu-1", [ "--name"; "GPU 1" ])
    use asking = new Asking(dashboard.Url, admin, viewer)

    test asking server (fun memory ->
        sample DateTimeOffset.UtcNow
        |> set "memory_percent" memory
        |> body
        |> post dashboard.Port server
        |> accepted
        |> ignore)

let private withDashboard test = withOptions (fun _ -> []) test

let private alertsOf (asking: Asking) (query: string) =
    [
        for alert in (at "alerts" (asking.Read $"/api/alerts/{query}")).EnumerateArray() -> alert
    ]

let private atOnce =
    """{"rules":{"memory-full":{"for_minutes":0,"clear_minutes":0,"level":"critical"}},"grouping":{"wait_seconds":0,"pause_minutes":0}}"""

[<Tests>]
let tests =
    testList
        "Alerts"
        [
            testCase "memory fills up: an alert, an event, an acknowledgement, a mute, and its end"
            <| fun () ->
                withDashboard (fun asking server send ->
                    Expect.equal (fst (asking.Admin("PUT", "/api/alerts/rules/", atOnce))) 200 "the rules"
                    send "99.5"
                    eventually patience "an alert is open" (fun () -> not (List.isEmpty (alertsOf asking "")))
                    let alert = List.exactlyOne (alertsOf asking $"?server={server.Slug}")

                    Expect.equal
                        (textAt "rule" alert, textAt "level" alert, textAt "state" alert, textAt "machine" alert)
                        ("memory-full", "critical", "firing", "GPU 1")
                        "what it is"

                    Expect.equal (textAt "what" alert) "Memory of GPU 1 is 99.5 % full" "what it says"
                    Expect.equal (rawAt "ended_at" alert, rawAt "acknowledged" alert) ("null", "null") "it lasts"
                    Expect.stringStarts (textAt "path" alert) "/servers/gpu-1?from=" "the moment"
                    let id = rawAt "id" alert
                    Expect.equal (rawAt "open" (asking.Read "/api/alerts/?limit=0")) """{"critical":1,"warning":0}""" "how many"

                    Expect.equal (asking.ViewerStatus("POST", $"/api/alerts/{id}/ack/", "")) 403 "a viewer only reads"
                    let status, done' = asking.Admin("POST", $"/api/alerts/{id}/ack/", "")
                    Expect.equal (status, textAt "alert.acknowledged.by" done') (200, "deployer") "acknowledged"
                    let status, muted = asking.Admin("POST", $"/api/alerts/{id}/mute/", """{"minutes":30}""")
                    Expect.equal status 200 "muted"

                    let until =
                        DateTimeOffset.Parse(textAt "alert.muted_until" muted, Globalization.CultureInfo.InvariantCulture)

                    Expect.isTrue (abs (until - DateTimeOffset.UtcNow.AddMinutes 30.0).TotalSeconds < 30.0) "for half an hour"
                    let _, unmuted = asking.Admin("POST", $"/api/alerts/{id}/mute/", """{"until":null}""")
                    Expect.equal (rawAt "alert.muted_until" unmuted) "null" "no longer"
                    Expect.equal (fst (asking.Admin("POST", $"/api/alerts/{id}/mute/", """{"minutes":-1}"""))) 400 "not in the past"
                    Expect.equal (fst (asking.Admin("POST", "/api/alerts/999/ack/", ""))) 404 "unknown"
                    Expect.equal (fst (asking.Admin("POST", "/api/alerts/x/ack/", ""))) 404 "no number"

                    send "20"
                    eventually patience "it is over" (fun () -> List.isEmpty (alertsOf asking ""))
                    let over = List.exactlyOne (alertsOf asking "?state=all")
                    Expect.equal (textAt "state" over, rawAt "id" over) ("ended", id) "the same one"
                    Expect.equal (fst (asking.Admin("POST", $"/api/alerts/{id}/ack/", ""))) 404 "it is over"

                    let told =
                        [
                            for event in (at "events" (asking.Read "/api/timeline/?minutes=10&kinds=alert&server=gpu-1")).EnumerateArray() ->
                                textAt "text" event
                        ]

                    Expect.equal told [ "Over: Memory of GPU 1 is 99.5 % full"; "Memory of GPU 1 is 99.5 % full" ] "the timeline")

            testCase "rules as they are, what is changed, and what is wrong with a change"
            <| fun () ->
                withDashboard (fun asking _ _ ->
                    let ruleOf (said: JsonElement) name =
                        (at "rules" said).EnumerateArray()
                        |> Seq.find (fun rule -> textAt "name" rule = name)

                    let before = ruleOf (asking.Read "/api/alerts/rules/") "memory-full"

                    Expect.equal
                        (textAt "set_by" before, numberAt "threshold" before, numberAt "for_minutes" before, textAt "unit" before)
                        ("default", 95.0, 10.0, "percent-used")
                        "by default"

                    let change =
                        """{"rules":{"memory-full":{"threshold":80,"overrides":[{"match":"rack=r1","enabled":false}]}}}"""

                    Expect.equal (asking.ViewerStatus("PUT", "/api/alerts/rules/", change)) 403 "a viewer only reads"
                    let status, after = asking.Admin("PUT", "/api/alerts/rules/", change)
                    Expect.equal status 200 "changed"
                    let rule = ruleOf after "memory-full"

                    Expect.equal
                        (textAt "set_by" rule, numberAt "threshold" rule, numberAt "clear" rule)
                        ("page", 80.0, 75.0)
                        "as it is now"

                    Expect.equal (numberAt "default.threshold" rule) 95.0 "its default"

                    Expect.equal
                        (rawAt "change" rule)
                        """{"threshold":80,"overrides":[{"match":"rack=r1","enabled":false}]}"""
                        "what was said"

                    let status, refused =
                        asking.Admin("PUT", "/api/alerts/rules/", """{"rules":{"memory-full":{"threshold":200},"nothing":{}}}""")

                    Expect.equal status 400 "refused"

                    Expect.stringContains
                        (textAt "detail" refused)
                        "$.rules.memory-full.threshold: expected a number from 0 to 100, found 200"
                        "where"

                    Expect.stringContains (textAt "detail" refused) "$.rules.nothing: there is no such setting" "and where else"
                    Expect.equal (fst (asking.Admin("PUT", "/api/alerts/rules/", "[1"))) 400 "no JSON"
                    Expect.equal (numberAt "threshold" (ruleOf (asking.Read "/api/alerts/rules/") "memory-full")) 80.0 "as it was")

            testCase "silences are added, listed and removed"
            <| fun () ->
                withDashboard (fun asking _ send ->
                    asking.Admin("PUT", "/api/alerts/rules/", atOnce) |> ignore
                    let until = instant (DateTimeOffset.UtcNow.AddHours 1.0)
                    let silence = $"""{{"comment":"new disks","match":["rack=r1"],"until":"{until}"}}"""
                    Expect.equal (asking.ViewerStatus("POST", "/api/alerts/silences/", silence)) 403 "a viewer only reads"
                    let status, added = asking.Admin("POST", "/api/alerts/silences/", silence)
                    Expect.equal status 201 "added"

                    Expect.equal
                        (textAt "silence.comment" added,
                         rawAt "silence.match" added,
                         textAt "silence.author" added,
                         rawAt "silence.active" added)
                        ("new disks", """["rack=r1"]""", "deployer", "true")
                        "as it is"

                    let id = rawAt "silence.id" added
                    Expect.equal (fst (asking.Admin("POST", "/api/alerts/silences/", """{"match":["rack=r1"]}"""))) 400 "for ever"
                    // Its agent says rack=r1.
                    send "99"
                    eventually patience "an alert is open" (fun () -> not (List.isEmpty (alertsOf asking "")))
                    Expect.equal (rawAt "in_maintenance" (List.exactlyOne (alertsOf asking ""))) "true" "and quiet"
                    Expect.equal (asking.ViewerStatus("DELETE", $"/api/alerts/silences/{id}/", "")) 403 "a viewer only reads"
                    Expect.equal (fst (asking.Admin("DELETE", $"/api/alerts/silences/{id}/", ""))) 200 "removed"
                    Expect.equal (fst (asking.Admin("DELETE", $"/api/alerts/silences/{id}/", ""))) 404 "it is gone"
                    Expect.equal (rawAt "silences" (asking.Read "/api/alerts/silences/")) "[]" "none is left"
                    Expect.equal (rawAt "in_maintenance" (List.exactlyOne (alertsOf asking ""))) "false" "no longer quiet")

            testCase "what the file says counts, and cannot be changed on the page; its channels are listed and tested"
            <| fun () ->
                let file =
                    """{"channels":[{"name":"ops","type":"webhook","url":"http://127.0.0.1:9/s3cr3t"}],
                        "rules":{"hang":{"for_minutes":7}},"routes":[{"channel":"ops","levels":["critical"]}],
                        "maintenance":[{"comment":"patch day","weekly":{"days":["sat"],"at":"22:00","minutes":60}}]}"""

                let options (place: TemporaryDirectory) =
                    File.WriteAllText(place.File "alerts.json", file)
                    [ "--alerts"; place.File "alerts.json" ]

                withOptions options (fun asking _ _ ->
                    let hang =
                        (at "rules" (asking.Read "/api/alerts/rules/")).EnumerateArray()
                        |> Seq.find (fun rule -> textAt "name" rule = "hang")

                    Expect.equal (textAt "set_by" hang, numberAt "for_minutes" hang) ("file", 7.0) "the file's"

                    let status, refused =
                        asking.Admin("PUT", "/api/alerts/rules/", """{"rules":{"hang":{"enabled":false}}}""")

                    Expect.equal (status, textAt "error" refused) (409, "The file of alerts sets these rules.") "not on the page"

                    let silence =
                        (at "silences" (asking.Read "/api/alerts/silences/")).EnumerateArray()
                        |> Seq.exactlyOne

                    Expect.equal (textAt "set_by" silence, rawAt "id" silence) ("file", "null") "maintenance"

                    let channel =
                        (at "channels" (asking.Read "/api/alerts/channels/")).EnumerateArray()
                        |> Seq.exactlyOne

                    Expect.equal
                        (textAt "name" channel, textAt "type" channel, rawAt "routes" channel)
                        ("ops", "webhook", """[{"rules":[],"match":[],"levels":["critical"]}]""")
                        "the channel"

                    Expect.isFalse ((rawAt "channels" (asking.Read "/api/alerts/channels/")).Contains "s3cr3t") "its path may be a secret"
                    Expect.equal (asking.ViewerStatus("POST", "/api/alerts/channels/ops/test/", "")) 403 "a viewer only reads"
                    let status, failed = asking.Admin("POST", "/api/alerts/channels/ops/test/", "")
                    Expect.equal (status, textAt "error" failed) (502, "The test was not delivered.") "nobody listens there"
                    Expect.equal (fst (asking.Admin("POST", "/api/alerts/channels/pager/test/", ""))) 404 "there is no pager")

            testCase "a file that says something wrong ends the program, with all that is wrong"
            <| fun () ->
                use place = new TemporaryDirectory()

                File.WriteAllText(
                    place.File "alerts.json",
                    """{"channels":[],"rules":{"hang":{"for_minutes":-1},"hung":{}},"routes":[{"channel":"ops"}]}"""
                )

                let code, _, errors =
                    run
                        [
                            "serve"
                            "--database"
                            place.File "a.db"
                            "--listen"
                            "http://127.0.0.1:0"
                            "--alerts"
                            place.File "alerts.json"
                        ]

                Expect.equal code 2 $"%A{errors}"

                for part in
                    [
                        "$.rules.hang.for_minutes: expected a number from 0 to 10080, found -1"
                        "$.rules.hung: there is no such setting"
                        "$.routes[0].channel: expected the name of a channel, found \"ops\""
                    ] do
                    Expect.exists errors _.Contains(part) part

            testCase "verdicts raise alerts: a broken GPU, and a job that hangs"
            <| fun () ->
                withDashboard (fun asking server _ ->
                    asking.Admin("PUT", "/api/alerts/rules/", """{"rules":{"hang":{"for_minutes":0}}}""")
                    |> ignore

                    let now = DateTimeOffset.UtcNow

                    let verdict label =
                        $"""{{"label":"{label}","second":null,"since":"{instant (now.AddMinutes -3.0)}","confidence":0.9,"reason":"Because of {label}.","fix":"","evidence":[],"ruled_out":[]}}"""

                    let job =
                        $"""{{"id":"slurm-1","owner":{{"kind":"slurm","value":"1","namespace":null,"name":null}},"user":"ada","uid":1,"name":"train.py","command":null,"started_at":null,"gpus":[],"gpu_busy_percent":0,"verdict":{verdict "hang"}}}"""

                    sample now
                    |> set "verdict" (verdict "gpu-fault")
                    |> set "jobs" $"[{job}]"
                    |> body
                    |> post (asking.Port) server
                    |> accepted
                    |> ignore

                    eventually patience "two alerts" (fun () -> List.length (alertsOf asking "") = 2)

                    Expect.equal
                        [
                            for alert in alertsOf asking "" |> List.sortBy (textAt "rule") ->
                                textAt "rule" alert, textAt "what" alert, textAt "why" alert
                        ]
                        [
                            "gpu-fault", "GPU 1 has a broken GPU", "Because of gpu-fault"
                            "hang", "train.py of ada on GPU 1 hangs", "Because of hang"
                        ]
                        "what and why"

                    let fault = alertsOf asking "" |> List.find (fun alert -> textAt "rule" alert = "gpu-fault")
                    let since = DateTimeOffset.Parse(textAt "since" fault, Globalization.CultureInfo.InvariantCulture)
                    Expect.isLessThan (abs (since - now.AddMinutes -3.0).TotalSeconds) 5.0 "since the verdict says so"
                    Expect.stringContains (textAt "path" fault) "&why=" "its page says why")

            testCase "queries and methods that are wrong are refused"
            <| fun () ->
                withDashboard (fun asking _ _ ->
                    for path, expected in
                        [
                            "/api/alerts/?state=some", 400
                            "/api/alerts/?limit=-1", 400
                            "/api/alerts/?limit=1001", 400
                            "/api/alerts/?server=nobody", 404
                            "/api/alerts/1/ack/", 405
                        ] do
                        let status, said = asking.Admin("GET", path, "")
                        Expect.equal status expected path
                        Expect.isFalse ((at "ok" said).GetBoolean()) path)
        ]
