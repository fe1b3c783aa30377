/// The panel that says why, opened from the label and from the strip.
module Agent.Browser.Tests.WhyTests

open System.Text.Json.Nodes
open Agent.Browser.Tests.AccessibilityTests
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.Browser.Tests.Verdicts
open Expecto
open Microsoft.Playwright

/// A machine that waits for its loader now and did so in the past, with one job.
let private withWhy look (test: Visit -> unit) =
    visitWith withClipboard look (fleet ()) (fun page ->
        page.Quiet()
        withJobs page (fun () -> [ job "h100-01" 1 "ada" "train.py" "loader-cpu" "" ])

        let jobs () =
            let one = json """{"id":"slurm-1","name":"train.py","user":"ada","gpus":[0,1],"root_pid":4711}"""
            one["verdict"] <- slowLoader ()
            JsonArray one

        page.Change(
            "**/api/metrics/latest/**",
            fun root ->
                let snapshot = at "snapshot" root
                snapshot["verdict"] <- slowLoader ()
                snapshot["jobs"] <- JsonArray()
                (at "server" root)["verdict"] <- slowLoader ()
        )

        page.Answer(
            "**/api/verdicts/**",
            fun _ ->
                let root = json """{"server":"h100-01","at":"2026-01-01T00:00:00Z"}"""
                root["verdict"] <- slowLoader ()
                root["jobs"] <- jobs ()
                root
        )

        page.Go "/servers/h100-01"
        page.See "[data-chart=bottleneck] canvas"
        test page)

let private opened (page: Visit) =
    page.See ".why .why-reason"
    page.Text ".why"

[<Tests>]
let tests =
    testList
        "Why"
        [
            testCase "Enter on the label opens the reasons, with figures, limits and what to try; Escape goes back to it"
            <| fun () ->
                withWhy desktop (fun page ->
                    page.Until "document.querySelector('.machine-head .label').dataset.label === 'loader-cpu'"
                    finish (page.Find(".machine-head .label").FocusAsync())
                    page.Press "Enter"
                    let text = opened page

                    for part in
                        [
                            "Data loader too slow"
                            "very likely"
                            "The 8 GPUs wait 75% of the time"
                            "busiest loader thread"
                            "100%"
                            "90%"
                            "628 MB/s"
                            "busiest loader thread below 90%"
                            "GPU busy above 85%"
                            "tasks that stall for memory"
                            "num_workers=4"
                        ] do
                        Expect.stringContains text part "what is told"

                    let copied = page.Copy("[aria-label='Copy py-spy top --pid 4711']", ".copied")
                    Expect.equal copied "py-spy top --pid 4711" "the command"
                    page.Press "Escape"
                    page.SeeNo ".why"
                    Expect.isTrue (page.Value<bool> "document.activeElement.matches('.machine-head .label')") "the focus is back")

            testCase "a witness leads to the chart that shows it"
            <| fun () ->
                withWhy desktop (fun page ->
                    page.Click ".machine-head .label"
                    opened page |> ignore
                    page.Click ".to-chart:has-text('GPU busy')"
                    page.See "[data-chart=gpu-utilisation].flash"

                    page.Until
                        "(b => b.top >= 0 && b.bottom <= innerHeight)(document.querySelector('[data-chart=gpu-utilisation]').getBoundingClientRect())"

                    page.See ".why")

            testCase "a click on the strip shows that stretch and why, Back returns; the keyboard does the same"
            <| fun () ->
                withWhy desktop (fun page ->
                    let box = wait (page.Find("[data-chart=bottleneck] .plot").BoundingBoxAsync()) |> nonNull
                    finish (page.Page.Mouse.ClickAsync(box.X + box.Width * 0.6f, box.Y + 30f))
                    Expect.stringContains (opened page) "Data loader too slow" "the verdict of then"
                    page.See ".why-jobs >> text=ada: train.py"
                    page.Click ".why-jobs button.label"
                    page.See ".why >> text=Back to the machine"
                    page.Until "location.search.includes('from=')"
                    page.See ".tiles-when >> text=Mean of"
                    page.Press "Escape"
                    page.SeeNo ".why"
                    page.Page.GoBackAsync() |> wait |> ignore
                    page.Until "!location.search.includes('from=')"
                    page.Until "document.querySelector('.tiles-when').hidden"
                    finish (page.Find("[data-chart=bottleneck] .plot").FocusAsync())
                    page.Press "End"
                    page.Press "ArrowLeft"
                    page.Press "Enter"
                    opened page |> ignore
                    page.Press "Escape"

                    Expect.isTrue
                        (page.Value<bool> "document.activeElement.closest('[data-chart=bottleneck]') !== null")
                        "back at the strip")

            for theme, look in [ "light", desktop; "dark", night; "on a telephone", phone ] do
                testCase $"axe finds no serious fault in the panel, {theme}"
                <| fun () ->
                    withWhy look (fun page ->
                        page.Click ".machine-head .label"
                        opened page |> ignore
                        Expect.equal (faults page) [] "the panel"
                        Expect.equal (page.Value<int> "document.documentElement.scrollWidth") look.Width "no scrolling sideways")

            testCase "a dashboard that keeps no verdicts says what the strip knows"
            <| fun () ->
                visit desktop (fleet ()) (fun page ->
                    page.Quiet()
                    page.Change("**/api/", (fun root -> root["endpoints"] <- JsonArray()))

                    page.Change(
                        "**/api/metrics/latest/**",
                        fun root ->
                            for one in [ at "snapshot" root; at "server" root; at "server" root |> at "latest" ] do
                                one.AsObject().Remove "verdict" |> ignore
                    )

                    page.Change("**/api/metrics/history/**", (fun root -> root.AsObject().Remove "verdicts" |> ignore))
                    page.Go "/servers/h100-01"
                    page.See "[data-chart=gpu-utilisation] canvas"
                    page.Click ".machine-head .label"
                    Expect.stringContains (opened page) "the rule that looks at one sample" "who says so"
                    page.Click ".why [aria-label=Close]"
                    let box = wait (page.Find("[data-chart=bottleneck] .plot").BoundingBoxAsync()) |> nonNull
                    finish (page.Page.Mouse.ClickAsync(box.X + box.Width * 0.5f, box.Y + 30f))
                    Expect.stringContains (opened page) "the rule that looks at one sample" "of then too")

            testCase "the strip shows what is short: shares of a pixel, and labels that were never the longest"
            <| fun () ->
                visit desktop (fleet ()) (fun page ->
                    page.Go "/"
                    page.See card

                    let pieces =
                        page.Value<string>
                            """(async () => {
  const { columnsOf } = await import('/assets/runs.js');
  // A hundred minutes in ten columns, of which the first six minutes of every hundred are a fault.
  return JSON.stringify(columnsOf([{ from: 0, to: 6, label: 'hang' }, { from: 6, to: 100, label: 'compute' }], 0, 100, 10));
})()"""

                    let parts = (JsonNode.Parse pieces |> nonNull).AsArray()

                    let height (label: string) (start: int) =
                        parts
                        |> Seq.filter (fun part ->
                            (at "label" part).GetValue<string>() = label
                            && (at "start" part).GetValue<int>() = start)
                        |> Seq.sumBy (fun part -> (at "height" part).GetValue<float>())

                    Expect.floatClose Accuracy.medium (height "hang" 0) 0.6 "six of the first ten minutes"
                    Expect.floatClose Accuracy.medium (height "compute" 0) 0.4 "the others"
                    Expect.equal (height "compute" 1) 1.0 "the rest as one piece")
        ]
