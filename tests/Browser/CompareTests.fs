/// Machines side by side.
module Agent.Browser.Tests.CompareTests

open Agent.Browser.Tests.AccessibilityTests
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Expecto

let private comparing look (slugs: string) (test: Visit -> unit) =
    visit look (fleet ()) (fun page ->
        page.Go $"/compare/{slugs}"
        test page)

let private legendOf (page: Visit) (chart: string) =
    page.Value<string[]> $"[...document.querySelectorAll('[data-chart={chart}] .legend button span')].map(s => s.textContent)"
    |> List.ofArray

[<Tests>]
let tests =
    testList
        "Compare"
        [
            testCase "two machines are two lines in each chart, and a strip for each"
            <| fun () ->
                comparing desktop "h100-01,a100-02" (fun page ->
                    page.See "[data-chart=compare-gpu] canvas"
                    Expect.equal (legendOf page "compare-gpu") [ "H100 trainer 1"; "A100 trainer 2" ] "a line each"
                    Expect.equal (legendOf page "compare-cpu") [ "H100 trainer 1"; "A100 trainer 2" ] "of the CPUs too"
                    page.See "[data-chart=strip-h100-01]"
                    page.See "[data-chart=strip-a100-02]"

                    // The figures are those of the machines: the mean over the GPUs is below what the busiest does.
                    page.Until "/^\\d+(\\.\\d)?%$/.test(document.querySelector('[data-chart=compare-gpu] .legend b').textContent)")

            testCase "a machine is added and taken away, and the address says so"
            <| fun () ->
                comparing desktop "h100-01" (fun page ->
                    page.Choose(".compared select", "a100-02")
                    page.Until "location.pathname === '/compare/h100-01,a100-02'"
                    page.See "[data-chart=strip-a100-02]"
                    page.Click ".compared li:first-child .without"
                    page.Until "location.pathname === '/compare/a100-02'"
                    page.See "[data-chart=strip-a100-02]")

            testCase "who is not known is named, and nothing else is lost"
            <| fun () ->
                comparing desktop "h100-01,nobody" (fun page ->
                    page.See "[data-chart=strip-h100-01]"
                    page.Until "document.getElementById('content').textContent.includes('Not known here: nobody.')")

            testCase "a zoom keeps the machines, and Back undoes it"
            <| fun () ->
                comparing desktop "h100-01,a100-02" (fun page ->
                    page.See "[data-chart=compare-gpu] canvas"
                    page.Click "[data-range='360']"
                    page.Until "location.search === '?range=360' && location.pathname === '/compare/h100-01,a100-02'"
                    finish (page.Page.GoBackAsync())
                    page.Until "location.search === ''")

            for theme, look in [ "light", desktop; "dark", night; "on a telephone", phone ] do
                testCase $"axe finds no serious fault, {theme}"
                <| fun () ->
                    comparing look "h100-01,a100-02" (fun page ->
                        page.See "[data-chart=strip-h100-01] canvas"
                        Expect.equal (faults page) [] "the page"
                        Expect.equal (page.Value<int> "document.documentElement.scrollWidth") look.Width "no scrolling sideways")
        ]
