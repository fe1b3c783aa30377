module Agent.Browser.Tests.FleetTests

open System.Threading.Tasks
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Expecto

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
    testSequenced
    <| testList
        "Fleet"
        [
            testCase "the machine that needs attention most comes first, the one that was never seen last"
            <| fun () ->
                withFleet desktop (fun page ->
                    let slugs = shown page
                    Expect.equal slugs.Length 13 "all machines"
                    // By the script: the third of the fleet is short of memory.
                    Expect.equal slugs.Head "rtx-03" "memory pressure first"
                    Expect.equal (List.last slugs) "never-started" "never seen last")

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
                    let text = page.Text ".machine[data-slug=rtx-03]"

                    for part in [ "memory-pressure"; "swap 24%"; "GPU"; "CPU" ] do
                        Expect.stringContains text part "what a card tells"

                    page.Until
                        "document.querySelector('.machine[data-slug=rtx-03] .spark path:not(.under)').getAttribute('d').includes('L')")

            testCase "words narrow the fleet down, a label too, and one button shows all again"
            <| fun () ->
                withFleet desktop (fun page ->
                    page.Press "/"
                    finish (page.Find("input[type=search]").PressSequentiallyAsync "h100 MEMORY")
                    Expect.equal (shown page) [] "no H100 machine is short of memory"
                    page.Click "text=Show all"
                    Expect.equal (shown page).Length 13 "all again"
                    page.Click ".filter[data-show=memory-pressure]"
                    Expect.equal (shown page) [ "rtx-03" ] "those of a label"
                    Expect.stringEnds (page.Value<string> "location.search") "show=memory-pressure" "the address keeps it"
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
                    page.Press "Tab"
                    page.Press "Tab"
                    Expect.equal (page.Value<string> "document.activeElement.type") "search" "the search"
                    page.Press "Tab"
                    Expect.equal (focused ()) "icon-button" "the theme"
                    page.Press "Tab"
                    Expect.equal (focused ()) "icon-button" "cards or rows"
                    page.Press "Tab"
                    Expect.equal (focused ()) "filter" "the filters"
                    let filters = page.Value<int> "document.querySelectorAll('.filter').length"

                    for _ in 1..filters do
                        page.Press "Tab"

                    let slug = page.Value<string> "document.activeElement.closest('.machine').dataset.slug"
                    Expect.equal slug "rtx-03" "the first machine"
                    page.Press "Enter"
                    page.See "[data-chart=gpu-utilisation] canvas"
                    Expect.stringEnds page.Page.Url "/servers/rtx-03" "its page")

            testCase "nothing is wider than a telephone"
            <| fun () ->
                withFleet phone (fun page ->
                    Expect.equal (page.Value<int> "document.documentElement.scrollWidth") 390 "no scrolling sideways")
        ]
