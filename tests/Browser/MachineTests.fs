module Agent.Browser.Tests.MachineTests

open System.Net.Http
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Demo
open Expecto
open Microsoft.Playwright

let private withMachine look (slug: string) (test: Visit -> unit) =
    visit look (fleet ()) (fun page ->
        page.Go $"/servers/{slug}"
        // On a telephone the table of jobs comes first, and a chart is drawn where it is seen.
        page.See "[data-chart=bottleneck] canvas"

        page.Find("[data-chart=gpu-utilisation] .plot:visible, [data-chart=cpu] .plot:visible").First.ScrollIntoViewIfNeededAsync()
        |> finish

        page.See "[data-chart=gpu-utilisation] canvas, [data-chart=cpu] canvas"
        test page)

/// The plot of a chart, and points in it by parts of its width.
let private box (page: Visit) chart =
    let plot = page.Find $"[data-chart={chart}] .plot"
    finish (plot.ScrollIntoViewIfNeededAsync())
    wait (plot.BoundingBoxAsync()) |> nonNull

let private pointer (page: Visit) (area: LocatorBoundingBoxResult) (part: float32) =
    finish (page.Page.Mouse.MoveAsync(area.X + area.Width * part, area.Y + area.Height / 2f))

let private visibleCharts (page: Visit) =
    page.Value<string[]> "[...document.querySelectorAll('.chart')].filter(c => c.offsetParent).map(c => c.dataset.chart)"
    |> List.ofArray

[<Tests>]
let tests =
    testList
        "Machine"
        [
            testCase "a machine with GPUs has a chart for everything that it reports"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    let charts = visibleCharts page

                    for chart in
                        [
                            "bottleneck"
                            "gpu-utilisation"
                            "gpu-memory"
                            "gpu-power"
                            "gpu-temperature"
                            "cpu"
                            "pressure"
                            "load"
                            "memory"
                            "disk-throughput"
                            "disk-utilisation"
                            "network"
                            "fans"
                        ] do
                        Expect.contains charts chart "a chart of it"

                    Expect.equal (wait (page.Find("[data-chart=gpu-utilisation] .legend button").CountAsync())) 8 "a line for each GPU")

            testCase "a machine without GPUs has no GPU charts"
            <| fun () ->
                withMachine desktop "prep-12" (fun page ->
                    Expect.isEmpty (visibleCharts page |> List.filter _.StartsWith("gpu")) "none of them"
                    Expect.stringContains (page.Text ".head-reason") "It has no GPU" "the reason says so")

            testCase "what a training script writes down is listed, marked on every chart, filtered, and leads to its time"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    let machine, token = fill dashboard lastHour [ Fleet.machine 0 ] |> List.head
                    use http = new HttpClient()
                    let address = $"{dashboard.Url}/api/ingest/servers/{machine.Slug}/annotations/"
                    use note = new HttpRequestMessage(HttpMethod.Post, address)
                    note.Headers.Add("X-Monitoring-Token", token)
                    note.Content <- new StringContent("{\"text\":\"epoch 3\"}")
                    use answer = http.Send note
                    Expect.equal (int answer.StatusCode) 201 "written down"

                    visit desktop dashboard.Url (fun page ->
                        page.Go $"/servers/{machine.Slug}"
                        page.See ".events li[data-tone=note]"
                        Expect.stringContains (page.Text ".events") "epoch 3" "it is listed"
                        page.Until "document.querySelectorAll('[data-chart=cpu] .marks i[data-tone=note]').length > 0"
                        page.Click ".part .filter[data-show=annotation]"
                        page.Until "document.querySelector('.events li[data-tone=note]') === null"
                        page.Click ".part .filter[data-show=annotation]"
                        page.Click ".events li[data-tone=note] .event-time"
                        page.Until "new URLSearchParams(location.search).has('from')"))

            testCase "every range shows its stretch of time, and the address keeps it"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    for minutes in [ 15; 60; 360; 1440; 4320; 10080; 20160 ] do
                        let asked =
                            page.Page.RunAndWaitForResponseAsync(
                                (fun () -> page.Find($"[data-range='{minutes}']").ClickAsync()),
                                (fun answer -> answer.Url.Contains $"/api/metrics/history/?server=h100-01&minutes={minutes}")
                            )

                        Expect.equal (wait asked).Status 200 $"the history of {minutes} minutes"
                        page.Until $"location.search === '?range={minutes}'"
                        let pressed = page.Value<string> "document.querySelector('.ranges [aria-pressed=true]').dataset.range"
                        Expect.equal pressed (string minutes) "the button is pressed")

            testCase "the strip says where the time went, in per cent that add up"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    page.See ".shares li"

                    let sum =
                        page.Value<float>
                            "[...document.querySelectorAll('.shares b')].map(b => parseFloat(b.innerText)).reduce((a, b) => a + b, 0)"

                    Expect.isTrue (sum > 98.0 && sum < 102.0) $"shares of {sum} per cent")

            testCase "the cursor is one for all charts, and the legends say what was then"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    pointer page (box page "gpu-utilisation") 0.6f

                    page.Until
                        "document.querySelector('[data-chart=gpu-utilisation] .hair').getBoundingClientRect().left > 0 && !document.querySelector('[data-chart=memory] .hair').hidden"

                    let places =
                        page.Value<float[]>
                            "['gpu-utilisation', 'gpu-power', 'memory'].map(c => { const p = document.querySelector(`[data-chart=${c}] .plot`).getBoundingClientRect(); return Math.round(document.querySelector(`[data-chart=${c}] .hair`).getBoundingClientRect().left - p.left) })"

                    Expect.equal places[1] places[0] "the same place in another chart"
                    Expect.equal places[2] places[0] "and in another section"
                    page.See ".strip-reading"
                    Expect.stringContains (page.Text "[data-chart=gpu-power] .legend") " W" "values with their unit")

            testCase "dragging looks closer, the way back is one click"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    let area = box page "gpu-utilisation"
                    pointer page area 0.4f
                    finish (page.Page.Mouse.DownAsync())
                    pointer page area 0.5f
                    pointer page area 0.7f
                    page.See "[data-chart=gpu-utilisation] .selection"
                    finish (page.Page.Mouse.UpAsync())
                    page.Until "location.search.includes('from=')"
                    page.See "text=Back to now"
                    let width = page.Value<float> "(p => p.get('to') - p.get('from'))(new URLSearchParams(location.search))"
                    // Three tenths of the plot are a little more than three tenths of the hour inside its margins.
                    Expect.isTrue (width > 0.28 * 3600000.0 && width < 0.36 * 3600000.0) $"{width} ms of the hour"
                    page.Click "text=Back to now"
                    page.Until "!location.search.includes('from=')")

            testCase "the keyboard moves the cursor, says what is there, zooms and goes back"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    finish (page.Find("[data-chart=cpu] .plot").FocusAsync())
                    page.Press "End"
                    page.Press "ArrowLeft"
                    page.Until "document.querySelector('#reading').textContent.includes('used')"
                    let before = page.Value<string> "document.querySelector('#reading').textContent"
                    page.Press "ArrowLeft"
                    page.Until $"document.querySelector('#reading').textContent !== {System.Text.Json.JsonSerializer.Serialize before}"
                    page.Press "+"
                    page.Until "location.search.includes('from=')"
                    page.Press "Escape"
                    page.Press "Escape"
                    page.Until "!location.search.includes('from=')")

            testCase "a series can be put away and brought back"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    let first = "[data-chart=gpu-utilisation] .legend button"

                    let pressed () =
                        wait (page.Find(first).First.GetAttributeAsync "aria-pressed")

                    page.Click first
                    Expect.equal (pressed ()) "false" "away"
                    page.Click first
                    Expect.equal (pressed ()) "true" "back")

            testCase "what lies beside the main charts is read when it comes near: GPU details, CPUs as a strip, interfaces, file systems"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    Expect.equal
                        (page.Value<int> "document.querySelectorAll('[data-details=cpu_cores] canvas').length")
                        0
                        "not before it is near"

                    for kind, chart in
                        [
                            "gpus", "gpu-clock"
                            "gpus", "gpu-nvlink"
                            "cpu_cores", "cores"
                            "network_interfaces", "interfaces"
                            "partitions", "partitions"
                        ] do
                        finish (page.Find($"[data-details={kind}]").ScrollIntoViewIfNeededAsync())
                        page.See $"[data-chart={chart}] .legend"
                        finish (page.Find($"[data-chart={chart}] .plot").ScrollIntoViewIfNeededAsync())
                        page.See $"[data-chart={chart}] canvas"
                        page.Until $"document.querySelector('[data-chart={chart}] .empty').hidden"

                    Expect.stringContains (page.Text "[data-chart=gpu-clock] .legend") "GHz" "a clock"
                    Expect.stringContains (page.Text "[data-chart=cores] .legend-note") "CPU " "the busiest"
                    Expect.stringContains (page.Text "[data-chart=partitions] .legend") "/data" "where it is mounted"
                    // Nothing but zeros is no chart.
                    Expect.isFalse (visibleCharts page |> List.contains "gpu-remapped") "no rows wait"
                    Expect.isFalse (visibleCharts page |> List.contains "interface-faults") "no errors"

                    page.Click "[data-range='360']"
                    page.Until "location.search === '?range=360'"
                    page.Until "document.querySelector('[data-chart=partitions] .plot').dataset.samples > 100")

            testCase "many lines are shown as their spread, as a heatmap or as lines, and the legend isolates one"
            <| fun () ->
                withMachine desktop "h100-01" (fun page ->
                    let chart = "[data-chart=gpu-pcie]"
                    finish (page.Find("[data-details=gpus]").ScrollIntoViewIfNeededAsync())
                    page.See $"{chart} .legend button"
                    finish (page.Find($"{chart} .plot").ScrollIntoViewIfNeededAsync())
                    page.See $"{chart} canvas"
                    // Eight GPUs, received and sent.
                    Expect.equal (wait (page.Find($"{chart} .legend button").CountAsync())) 16 "a value for each line"

                    let pressed () =
                        page.Value<string> $"document.querySelector('{chart} .ways [aria-pressed=true]').dataset.way"

                    let height () =
                        page.Value<float> $"document.querySelector('{chart} .plot').clientHeight"

                    let picture () =
                        page.Value<string> $"document.querySelector('{chart} canvas').toDataURL()"

                    Expect.equal (pressed ()) "spread" "at first"
                    let spread, low = picture (), height ()
                    page.Click $"{chart} [data-way=heat]"
                    page.Until $"document.querySelector('{chart} .plot').clientHeight > {low}"
                    let heat = picture ()
                    page.Click $"{chart} [data-way=lines]"
                    page.Until $"document.querySelector('{chart} .plot').clientHeight === {low}"
                    let lines = picture ()
                    Expect.equal (List.distinct [ spread; heat; lines ]).Length 3 "three pictures"

                    finish (page.Find($"{chart} .legend button").First.HoverAsync())
                    page.Until $"document.querySelector('{chart} .legend button').classList.contains('alone')"
                    Expect.notEqual (picture ()) lines "one line stands out"

                    // Put away until eight are left, they are lines without a choice.
                    for place in 8..15 do
                        finish (page.Find($"{chart} .legend button").Nth(place).ClickAsync())

                    page.Until $"document.querySelector('{chart} .ways').hidden"

                    Expect.isFalse
                        (page.Value<bool> "document.querySelector('[data-chart=gpu-utilisation] .ways')?.hidden === false")
                        "few lines")

            testCase "a machine's page fits a telephone"
            <| fun () ->
                withMachine phone "h100-01" (fun page ->
                    Expect.equal (page.Value<int> "document.documentElement.scrollWidth") 390 "no scrolling sideways")
        ]
