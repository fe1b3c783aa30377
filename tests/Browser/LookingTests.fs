/// Ways of looking at the past: exact times, Back, fingers, files; and pictures that claim nothing that was not measured.
module Agent.Browser.Tests.LookingTests

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.IO
open System.Net.Http
open System.Text
open System.Threading
open System.Threading.Tasks
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Expecto
open Microsoft.Playwright

let private withMachine look (test: Visit -> unit) =
    visit look (fleet ()) (fun page ->
        page.Go "/servers/h100-01"
        page.See "[data-chart=gpu-utilisation] canvas"
        test page)

let private window (page: Visit) =
    let from = page.Value<float> "Number(new URLSearchParams(location.search).get('from'))"
    let until = page.Value<float> "Number(new URLSearchParams(location.search).get('to'))"
    from, until

/// Text of a file that a click saves.
let private saved (page: Visit) (click: unit -> Task) =
    let download = wait (page.Page.RunAndWaitForDownloadAsync click)
    let path = wait (download.PathAsync())
    download.SuggestedFilename, File.ReadAllBytes path

/// Posts one sample of a machine.
let private post (url: string) (slug: string) (token: string) (more: string) =
    use http = new HttpClient()
    http.DefaultRequestHeaders.Add("X-Monitoring-Token", token)
    let now = DateTimeOffset.UtcNow.ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"

    let body =
        $$"""{"sample":{"collected_at":"{{now}}","cpu_usage_percent":2.98,"memory_percent":40{{more}} } }"""

    use content = new StringContent(body, Encoding.UTF8, "application/json")
    use answer = http.PostAsync($"{url}/api/ingest/servers/{slug}/metrics/", content).Result
    Expect.equal (int answer.StatusCode) 200 "the sample is taken"

let private now () =
    float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) / 1000.0

/// Moves fingers over a chart at a moment, in seconds since 1970, however long it takes here; each step is where they are, in parts of its width.
let private fingersAt (moment: float) (page: Visit) (chart: string) (steps: float list list) =
    let plot = page.Find $"[data-chart={chart}] .plot"
    finish (plot.ScrollIntoViewIfNeededAsync())
    let box = wait (plot.BoundingBoxAsync()) |> nonNull
    let session = wait (page.Page.Context.NewCDPSessionAsync page.Page)

    let send (kind: string) (places: float list) =
        let points =
            places
            |> List.mapi (fun number part ->
                let point = Dictionary<string, obj>()
                point["x"] <- float (box.X + box.Width * float32 part)
                point["y"] <- float (box.Y + box.Height / 2f)
                point["id"] <- number
                point)

        let touch = Dictionary<string, obj>()
        touch["type"] <- kind
        touch["touchPoints"] <- points |> List.toArray
        touch["timestamp"] <- moment
        session.SendAsync("Input.dispatchTouchEvent", touch) |> wait |> ignore

    send "touchStart" steps.Head

    for step in steps.Tail do
        send "touchMove" step

    send "touchEnd" []
    finish (session.DetachAsync())

/// The same now.
let private fingers page chart steps = fingersAt (now ()) page chart steps

let private withTouch (options: BrowserNewContextOptions) =
    options.HasTouch <- true
    options.IsMobile <- true

[<Tests>]
let tests =
    testList
        "Looking"
        [
            testCase "while another range is read the old picture stays, dimmed, and claims nothing"
            <| fun () ->
                withMachine desktop (fun page ->
                    let answer = TaskCompletionSource()

                    let labels () =
                        page.Value<float> "(c => c.view.drawn.from)(document.querySelector('[data-chart=cpu] .plot').chart)"

                    let before = labels ()
                    page.HoldBack("**/api/metrics/history/**minutes=1440**", answer)
                    page.Click "[data-range='1440']"
                    page.See ".over-time.waits[aria-busy=true]"
                    Expect.isLessThan (abs (labels () - before)) 60000.0 "still the hour that was read"
                    answer.SetResult()
                    page.Until "document.querySelector('.waits') === null"
                    Expect.isGreaterThan (before - labels ()) 7.2e7 "the day, once it is there")

            testCase "the range of a button that the pointer rests on is asked for once, before the button is pressed"
            <| fun () ->
                withMachine desktop (fun page ->
                    let asked = ConcurrentQueue<string>()

                    page.Page.Request.Add(fun request ->
                        if request.Url.Contains "minutes=4320" && not (request.Url.Contains "details=") then
                            if request.Url.Contains "/api/metrics/history/" then
                                asked.Enqueue request.Url)

                    finish (page.Find("[data-range='4320']").HoverAsync())
                    eventually Waiting.patience "it is asked for" (fun () -> not asked.IsEmpty)
                    Expect.isFalse (page.Value<bool> "location.search.includes('4320')") "nothing is shown yet"
                    page.Click "[data-range='4320']"

                    page.Until "(v => v.drawn.to - v.drawn.from > 2.5e8)(document.querySelector('[data-chart=cpu] .plot').chart.view)"

                    Expect.hasLength asked 1 "no second time")

            testCase "a range whose early answer is an error is asked for again when it is wanted"
            <| fun () ->
                withMachine desktop (fun page ->
                    let failures = ref 0

                    let failOnce (route: IRoute) : Task =
                        if Interlocked.Increment failures = 1 then
                            route.AbortAsync()
                        else
                            route.ContinueAsync()

                    page.Allow "ERR_FAILED"
                    finish (page.Page.RouteAsync("**/api/metrics/history/**minutes=4320**", failOnce))
                    finish (page.Find("[data-range='4320']").HoverAsync())
                    eventually Waiting.patience "it failed" (fun () -> failures.Value = 1)
                    page.Click "[data-range='4320']"

                    page.Until "(v => v.drawn.to - v.drawn.from > 2.5e8)(document.querySelector('[data-chart=cpu] .plot').chart.view)"

                    Expect.isGreaterThanOrEqual failures.Value 2 "asked for again")

            testCase "exact times show just that, and Back undoes each step"
            <| fun () ->
                withMachine desktop (fun page ->
                    let now = DateTime.UtcNow
                    let text (at: DateTime) = at.ToString "yyyy-MM-dd'T'HH:mm"
                    page.Click "[aria-label='Show exact times']"
                    finish (page.Find("#window-from").FillAsync(text (now.AddMinutes -40.0)))
                    finish (page.Find("#window-to").FillAsync(text (now.AddMinutes -50.0)))
                    page.Click ".exact button"
                    page.See "text=The end has to come after the beginning."
                    Expect.equal (AccessibilityTests.faults page) [] "the form"
                    finish (page.Find("#window-to").FillAsync(text (now.AddMinutes -20.0)))
                    page.Click ".exact button"
                    page.Until "location.search.includes('from=')"
                    let from, until = window page
                    Expect.equal (until - from) 1200000.0 "twenty minutes"
                    page.See ".tiles-when >> text=Mean of"
                    page.Click "[aria-label=Closer]"
                    page.Until $"new URLSearchParams(location.search).get('from') !== '{from}'"
                    page.Page.GoBackAsync() |> wait |> ignore
                    page.Until $"new URLSearchParams(location.search).get('from') === '{from}'"
                    page.Page.GoBackAsync() |> wait |> ignore
                    page.Until "!location.search.includes('from=')"
                    page.See "[aria-pressed=true][data-range='60']"
                    page.Until "document.querySelector('.tiles-when').hidden")

            testCase "a chart is saved as CSV and as PNG, and a link keeps the times"
            <| fun () ->
                visitWith withClipboard desktop (fleet ()) (fun page ->
                    page.Go "/servers/h100-01"
                    page.See "[data-chart=gpu-utilisation] canvas"
                    let menu = "[data-chart=cpu] .chart-menu"
                    page.Click $"{menu} summary"
                    let name, bytes = saved page (fun () -> page.Find($"{menu} >> text=Save as CSV").ClickAsync())
                    let lines = Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries)
                    Expect.equal name "h100-01-cpu.csv" "its name"
                    Expect.stringStarts lines[0] "time,used" "a line of heads"
                    Expect.isGreaterThan lines.Length 300 "a line for each sample of an hour"
                    Expect.equal (lines[1].Split(',').Length) (lines[0].Split(',').Length) "as many columns"
                    page.Click $"{menu} summary"
                    let name, bytes = saved page (fun () -> page.Find($"{menu} >> text=Save as PNG").ClickAsync())
                    Expect.equal (name, bytes[1..3]) ("h100-01-cpu.png", "PNG"B) "a picture"
                    let link = page.Copy("[aria-label='Copy a link to this view']", ".icon-button.copied")
                    Expect.stringStarts link $"{fleet ()}/servers/h100-01?" "this page"
                    Expect.stringContains link "&from=" "at this time")

            testCase "one finger moves in time, two look closer, two taps return"
            <| fun () ->
                visitWith withTouch phone (fleet ()) (fun page ->
                    page.Go "/servers/h100-01"
                    // On a telephone the table of jobs comes first.
                    page.See "[data-chart=bottleneck] canvas"
                    finish (page.Find("[data-chart=gpu-utilisation] .plot").ScrollIntoViewIfNeededAsync())
                    page.See "[data-chart=gpu-utilisation] canvas"
                    fingers page "gpu-utilisation" [ [ 0.3 ]; [ 0.5 ]; [ 0.7 ] ]
                    page.Until "location.search.includes('from=')"
                    let from, until = window page
                    Expect.isLessThan (abs (until - from - 3600000.0)) 2000.0 "as wide as before"
                    Expect.isLessThan until (float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) - 600000.0) "in the past"
                    page.Until "document.querySelector('.waits') === null"
                    fingers page "gpu-utilisation" [ [ 0.45; 0.55 ]; [ 0.35; 0.65 ]; [ 0.25; 0.75 ] ]
                    page.Until $"new URLSearchParams(location.search).get('from') !== '{from}'"
                    let from, until = window page
                    Expect.isLessThan (until - from) 1000000.0 "closer"
                    page.See "text=Back to now"
                    let tapped = now ()
                    fingersAt tapped page "gpu-utilisation" [ [ 0.5 ] ]
                    fingersAt (tapped + 0.1) page "gpu-utilisation" [ [ 0.5 ] ]
                    page.Until "!location.search.includes('from=')")

            testCase "an outage of 46 seconds is a gap, in every range that shows samples"
            <| fun () ->
                visit desktop (fleet ()) (fun page ->
                    page.Go "/"
                    page.See card

                    let gaps =
                        page.Value<float[]>
                            """(async () => {
  const { Record } = await import('/assets/record.js');
  const make = (time, bucket, series, interval) => new Record({ from: new Date(time[0]).toISOString(), to: new Date(time.at(-1)).toISOString(), bucket_seconds: bucket,
    time: time.map((at, i) => i === 0 ? at : at - time[i - 1]), series, gpus: [], disks: [], fans: [], bottlenecks: [], bottleneck_share: {} }, [], interval).gap;
  const every = (seconds) => Array.from({ length: 40 }, (_, i) => 1e12 + i * seconds * 1000 + (i > 20 ? 46000 : 0) + (i > 30 ? 600000 : 0));
  const none = { cpu_usage_percent: { mean: new Array(40).fill(1) } };
  const buckets = { cpu_usage_percent: { mean: new Array(40).fill(1), min: new Array(40).fill(1), max: new Array(40).fill(1) } };
  return [make(every(2), 17.6, none, 2), make(every(10), 26, none, 10), make(every(10), 26, none, null), make(every(5), 5, buckets, 2)];
})()"""

                    for gap in gaps do
                        Expect.isLessThan gap 46000.0 "milliseconds")

            testCase "figures at an axis are whole, however long they are"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    let token = dashboard.Register("box", []).Token
                    let fans = ""","fans":[{"label":"FAN1","speed_rpm":17450}]"""

                    for _ in 1..3 do
                        post dashboard.Url "box" token fans

                    visit desktop dashboard.Url (fun page ->
                        page.Go "/servers/box?range=15"
                        page.See "[data-chart=cpu] canvas"
                        finish (page.Find("[data-chart=fans]").ScrollIntoViewIfNeededAsync())
                        page.See "[data-chart=fans] canvas"

                        page.Until
                            """(chart => { const pen = document.createElement('canvas').getContext('2d'); pen.font = `11.5px ${getComputedStyle(document.body).fontFamily}`; return chart.inset.left >= pen.measureText('20,000 rpm').width + 8; })(document.querySelector('[data-chart=fans] .plot').chart)"""

                        let lefts =
                            page.Value<float[]>
                                "['fans', 'cpu', 'memory'].map(c => document.querySelector(`[data-chart=${c}] .plot`).chart.inset.left)"

                        Expect.equal (Array.distinct lefts).Length 1 "plots begin in one line"))

            testCase "what a first sample cannot tell is a dash, a share is written in one way, and a long name fits a telephone"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    let name = String('m', 120)
                    let token = dashboard.Register("box", [ "--name"; name ]).Token
                    post dashboard.Url "box" token ""

                    visit phone dashboard.Url (fun page ->
                        page.Go "/"
                        page.See card
                        Expect.equal (page.Text ".small div:nth-child(3) .number") "–" "the network on the card"
                        Expect.stringStarts (page.Text ".trend.cpu .number") "3" "the CPU on the card"
                        page.Go "/servers/box"
                        page.See ".tile:not([hidden])"
                        page.Until "document.querySelector('h1').textContent.length === 120"
                        Expect.stringContains (page.Text ".tiles") "3%" "the CPU"
                        Expect.isFalse ((page.Text ".tiles").Contains "3.0%") "in the same way"

                        Expect.equal
                            (page.Value<string>
                                "[...document.querySelectorAll('.tile')].find(t => t.textContent.startsWith('Network')).querySelector('.number').textContent")
                            "–"
                            "the network in the tiles"

                        Expect.equal (page.Value<int> "document.documentElement.scrollWidth") 390 "no scrolling sideways"))
        ]
