module Agent.Browser.Tests.SpeedTests

open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Demo
open Expecto

/// Milliseconds from the navigation's start until all charts in view are drawn and the page answers.
let private interactive (page: Visit) =
    page.Go "/servers/h100-01?range=20160"
    page.Until "performance.getEntriesByName('chart').length >= 3 && document.querySelector('.shares li') !== null"

    page.Value<float>
        "new Promise(done => setTimeout(() => done(Math.max(...performance.getEntriesByName('chart').map(m => m.startTime))), 300))"

[<Tests>]
let tests =
    testSequenced
    <| testList
        "Speed"
        [
            testCase "the page of 14 days of a machine with 8 GPUs is there within a second"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    fill dashboard fortnight [ Fleet.machine 0 ] |> ignore

                    visit desktop dashboard.Url (fun page ->
                        // The first visit fills the browser's cache and warms the server up. Of the others the best counts: it is
                        // the page that is measured, and other tests may be at work beside it.
                        let first = interactive page
                        let others = [ for _ in 1..5 -> interactive page ]
                        printfn $"14 days shown after %.0f{List.min others} ms at best of %A{others}, %.0f{first} ms at first"
                        Expect.isLessThanOrEqual (List.min others) 1000.0 "milliseconds"))
        ]
