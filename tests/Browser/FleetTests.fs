module Agent.Browser.Tests.FleetTests

open System.Threading.Tasks
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Expecto
open Microsoft.Playwright

/// The slugs of the cards that are shown, in order.
let private shown (page: Visit) =
    page.Value<string[]> "[...document.querySelectorAll('.machine')].filter(m => !m.hidden).map(m => m.dataset.slug)"
    |> List.ofArray

let private withFleet look (test: Visit -> unit) =
    visit look (fleet ()) (fun page ->
        page.Go "/"
        page.See card
        test page)

[<Tests>]
let tests =
    testList
        "Fleet"
        [
            testCase "the machines that need attention come first, the one that was never seen last"
            <| fun () ->
                withFleet desktop (fun page ->
                    let slugs = shown page
                    Expect.equal slugs.Length 13 "all machines"
                    Expect.equal (List.last slugs) "never-started" "never seen last"

                    let severities =
                        page.Value<string[]> "[...document.querySelectorAll('.machine')].map(m => m.dataset.severity)"

                    let order = [| "stale"; "fault"; "held-back"; "held-idle"; "healthy"; "idle"; "never" |]
                    let ranks = severities |> Array.map (fun severity -> System.Array.IndexOf(order, severity))
                    Expect.equal ranks (Array.sort ranks) "by severity"
                    // By the script some work well, some are held back, and one does nothing.
                    Expect.isGreaterThan (Array.distinct ranks).Length 3 "several of them")

            testCase "until the list is there, its place is kept and there is nothing to search"
            <| fun () ->
                visit desktop (fleet ()) (fun page ->
                    let answer = TaskCompletionSource()
                    page.HoldBack("**/api/servers/", answer)
                    page.Go "/"
                    page.See ".machine.skeleton"
                    page.SeeNo "input[type=search]"
                    answer.SetResult()
                    page.See card
                    page.SeeNo ".machine.skeleton"
                    page.See "input[type=search]")

            testCase "each card tells label, reason, GPU, CPU and the age of its last sample"
            <| fun () ->
                withFleet desktop (fun page ->
                    for part in
                        [
                            ".label"
                            ".reason"
                            ".trend.gpu .number"
                            ".trend.cpu .number"
                            ".machine-foot time"
                        ] do
                        Expect.isNotEmpty (page.Text $".machine[data-slug=rtx-03] {part}") part

                    Expect.stringContains (page.Text ".machine[data-slug=rtx-03] .reason") "swap" "memory is short there"

                    page.Until
                        "document.querySelector('.machine[data-slug=rtx-03] .spark path:not(.under)').getAttribute('d').includes('L')")

            testCase "words narrow the fleet down, a label too, and one button shows all again"
            <| fun () ->
                withFleet desktop (fun page ->
                    page.Press "/"
                    finish (page.Find("input[type=search]").PressSequentiallyAsync "h100 NOSUCHTHING")
                    Expect.equal (shown page) [] "nothing is called that"
                    page.Click "text=Show all"
                    Expect.equal (shown page).Length 13 "all again"

                    let label = page.Value<string> "document.querySelector('.machine[data-slug=rtx-03]').dataset.label"

                    page.Click $".filter[data-show={label}]"
                    Expect.contains (shown page) "rtx-03" "those of a label"

                    page.Until $"[...document.querySelectorAll('.machine')].every(m => m.hidden === (m.dataset.label !== '{label}'))"

                    Expect.stringEnds (page.Value<string> "location.search") $"show={label}" "the address keeps it"
                    page.Click ".filter[data-show=all]"
                    finish (page.Find("input[type=search]").FillAsync "prep")
                    Expect.equal (shown page) [ "prep-12" ] "by slug")

            testCase "the system's theme is used until another is chosen, which lasts"
            <| fun () ->
                withFleet night (fun page ->
                    let theme () =
                        page.Value<string> "document.documentElement.dataset.theme"

                    Expect.equal (theme ()) "dark" "as the system"
                    page.Click "[aria-label='Switch to the light theme']"
                    Expect.equal (theme ()) "light" "as chosen"
                    page.Go "/"
                    page.See card
                    Expect.equal (theme ()) "light" "after a reload")

            testCase "a keyboard alone reaches the search, the filters and the machines, and opens one"
            <| fun () ->
                withFleet desktop (fun page ->
                    let focused () =
                        page.Value<string> "document.activeElement.className || document.activeElement.tagName"

                    page.Press "Tab"
                    Expect.equal (focused ()) "skip" "first the way past the bar"
                    let first = (shown page).Head

                    // What is reached, each thing once, until the first machine is.
                    let rec reach (seen: string list) =
                        page.Press "Tab"

                        match focused () with
                        | "A" when page.Value<bool> $"document.activeElement.closest('.machine')?.dataset.slug === '{first}'" -> seen
                        | _ when seen.Length > 60 -> failtest "no machine is reached"
                        | one -> reach (one :: seen)

                    let seen = reach []
                    Expect.contains seen "brand" "the way home"
                    Expect.contains seen "INPUT" "the search"
                    Expect.contains seen "icon-button" "theme and layout"

                    Expect.equal
                        (seen |> List.filter ((=) "filter") |> List.length)
                        (page.Value<int> "document.querySelectorAll('.filter').length")
                        "every filter"

                    page.Press "Enter"
                    page.See "[data-chart=bottleneck] canvas"
                    Expect.stringEnds page.Page.Url $"/servers/{first}" "its page")

            testCase "as a heatmap each machine has a row for each of its GPUs, and the pointer reads one"
            <| fun () ->
                withFleet desktop (fun page ->
                    page.Click "[data-layout=heatmap]"
                    page.See ".heat-row[data-slug=h100-01] canvas"

                    let rows () =
                        page.Value<string[]> "[...document.querySelectorAll('.heat-row')].map(row => row.dataset.slug)"

                    Expect.isFalse (Array.contains "prep-12" (rows ())) "a machine without GPUs has no row"
                    let canvas = "document.querySelector('.heat-row[data-slug=h100-01] canvas')"
                    Expect.equal (page.Value<int> $"{canvas}.height") 8 "a row for each GPU"

                    Expect.isTrue
                        (page.Value<bool>
                            $"new Set({canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, 8).data.filter((_, at) => at %% 4 === 3)).size > 2")
                        "more than one use"

                    // The last row of the strip.
                    let place = LocatorHoverOptions(Position = Position(X = 200f, Y = 92f))
                    finish (page.Find(".heat-row[data-slug=h100-01] canvas").HoverAsync place)
                    page.Until "document.querySelector('.heat-reading').innerText.includes('GPU 7')"

                    page.Click ".heat-head [data-minutes='60']"
                    page.Until "document.querySelector('.heat-head [aria-pressed=true]').dataset.minutes === '60'"
                    page.See ".heat-row[data-slug=h100-01] canvas"

                    // The search narrows it down as it does the cards.
                    finish (page.Find("#search input").FillAsync "h100-01")
                    page.Until "document.querySelectorAll('.heat-row').length === 1"
                    page.Click "[data-layout=cards]"
                    page.SeeNo ".fleet-heat:not([hidden])")

            testCase "nothing is wider than a telephone"
            <| fun () ->
                withFleet phone (fun page ->
                    Expect.equal (page.Value<int> "document.documentElement.scrollWidth") 390 "no scrolling sideways")
        ]
