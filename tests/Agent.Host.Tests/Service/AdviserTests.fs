/// When the advice is given.
module Agent.Host.Tests.AdviserTests

open System
open System.IO
open System.Text
open System.Threading
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Host.Service
open Agent.Host.Tests.ScheduledClock
open Expecto

let private answer (date: string) (status: int) (body: string) : Exchange =
    Exchange.Answered
        {
            Status = status
            RetryAfter = ""
            Location = ""
            Date = date
            SamplesWritten = ValueNone
            Body = ReadOnlyMemory(Encoding.UTF8.GetBytes body)
            WasSentTwice = false
        }

/// The lines that an adviser prints at one exchange a second, each with the second, and how often it asks why a route is missing.
let private advised (exchanges: Exchange list) : (int * string) list * int =
    use errors = new StringWriter(NewLine = "\n")
    let clock = ScheduledClock()
    let log = Log(TextWriter.Null, errors, LogLevel.Info, false, clock, true)
    let mutable asked = 0

    let ask () =
        asked <- asked + 1
        ValueSome Cause.RouteMissing

    let adviser = Adviser(Destination.Ingest, Func<Cause voption> ask, clock, log, CancellationToken.None)

    let lines =
        [
            for second, exchange in List.indexed exchanges do
                errors.GetStringBuilder().Clear() |> ignore
                adviser.Consider exchange

                for line in (string errors).Split('\n', StringSplitOptions.RemoveEmptyEntries) do
                    second, line

                clock.Advance 1.0
        ]

    lines, asked

let private good = answer "" 200 """{"ok": true}"""
let private failing = answer "" 500 "<html>"
let private missing = answer "" 404 "<html>"

let private seconds (lines: (int * string) list, _: int) = List.map fst lines

[<Tests>]
let tests =
    testList
        "Host.Adviser"
        [
            testCase "once whenever the cause changes"
            <| fun () ->
                Expect.equal (seconds (advised [ failing; failing; answer "" 413 ""; answer "" 413 ""; good ])) [ 0; 2 ] "each cause"

            testCase "what comes and goes is said once a minute at most, and not before"
            <| fun () ->
                Expect.equal
                    (seconds (
                        advised
                            [
                                for _ in 1..90 do
                                    failing
                                    good
                            ]
                    ))
                    [ 0; 60; 120 ]
                    "every other answer"

                Expect.equal
                    (seconds (advised [ failing; yield! List.replicate 58 good; failing; good; failing ]))
                    [ 0; 61 ]
                    "59 s later and 61 s later"

            testCase "two causes that alternate are said once a minute each"
            <| fun () ->
                Expect.equal
                    (seconds (
                        advised
                            [
                                for _ in 1..35 do
                                    failing
                                    answer "" 413 ""
                            ]
                    ))
                    [ 0; 1; 60; 61 ]
                    "both"

            testCase "a clock that is off behind one of two servers is said once a minute"
            <| fun () ->
                let skewed = answer "Thu, 01 Jan 2026 01:00:00 GMT" 200 """{"ok": true}"""

                Expect.equal
                    (seconds (
                        advised
                            [
                                for _ in 1..31 do
                                    skewed
                                    good
                            ]
                    ))
                    [ 0; 60 ]
                    "every other answer"

            testCase "a route that is missing now and then is asked about once a minute at most"
            <| fun () ->
                let _, asked =
                    advised
                        [
                            for _ in 1..45 do
                                missing
                                good
                        ]

                Expect.equal asked 2 "in 90 s"
        ]
