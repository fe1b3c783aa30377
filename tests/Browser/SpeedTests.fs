module Agent.Browser.Tests.SpeedTests

open System
open System.Collections.Generic
open System.IO
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Demo
open Expecto
open Microsoft.Playwright

/// What one loading of the page took, in milliseconds.
type private Loading =
    {
        /// From the navigation's start until all charts in view were drawn and the page answered.
        Wall: float
        /// Of the processor, for all that the page's main thread did: the same however busy the machine is.
        Processor: float
    }

/// The processor time of the page's main thread so far, in milliseconds.
let private processorTime (session: ICDPSession) =
    let metrics = (wait (session.SendAsync "Performance.getMetrics")).Value

    metrics.GetProperty("metrics").EnumerateArray()
    |> Seq.find (fun metric -> metric.GetProperty("name").GetString() = "TaskDuration")
    |> fun metric -> metric.GetProperty("value").GetDouble() * 1000.0

let private load (page: Visit) =
    let session = wait (page.Page.Context.NewCDPSessionAsync page.Page)
    let inTicks = Dictionary<string, obj>()
    inTicks["timeDomain"] <- "threadTicks"
    session.SendAsync("Performance.enable", inTicks) |> wait |> ignore
    let before = processorTime session
    page.Go "/servers/h100-01?range=20160"
    page.Until "performance.getEntriesByName('chart').length >= 3 && document.querySelector('.shares li') !== null"

    let wall =
        page.Value<float>
            "new Promise(done => setTimeout(() => done(Math.max(...performance.getEntriesByName('chart').map(m => m.startTime))), 300))"

    let after = processorTime session
    finish (session.DetachAsync())

    {
        Wall = wall
        Processor = max 0.0 (after - before)
    }

/// True where nothing else is at work: then the clock on the wall measures the page.
let private isQuiet () =
    let load = float ((File.ReadAllText "/proc/loadavg").Split(' ')[0])
    load <= float Environment.ProcessorCount

[<Tests>]
let tests =
    testSequenced
    <| testList
        "Speed"
        [
            testCase "the page of 14 days of a machine with 8 GPUs answers within a second"
            <| fun () ->
                withDashboard [] (fun dashboard ->
                    fill dashboard fortnight [ Fleet.machine 0 ] |> ignore

                    visit desktop dashboard.Url (fun page ->
                        // The first visit fills the browser's cache.
                        let first = load page
                        let others = [ for _ in 1..5 -> load page ]
                        let wall = others |> List.map _.Wall |> List.min
                        let processor = others |> List.map _.Processor |> List.min

                        printfn
                            $"14 days shown: %.0f{wall} ms, the main thread at work for %.0f{processor} ms (at first %.0f{first.Wall} and %.0f{first.Processor} ms)"

                        Expect.isGreaterThan processor 10.0 "it is measured"
                        Expect.isLessThanOrEqual processor 1000.0 "milliseconds of the processor"

                        if isQuiet () then
                            Expect.isLessThanOrEqual wall 1000.0 "milliseconds"))
        ]
