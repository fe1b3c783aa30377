module Agent.Core.Tests.ScheduleTests

open System
open Agent.Core
open Expecto

let private ms (value: float) = TimeSpan.FromMilliseconds value

let private after due interval now =
    let next = Schedule.after (ms due) (ms interval) (ms now)
    next.Due.TotalMilliseconds, next.Skipped

[<Tests>]
let tests =
    testList
        "Schedule"
        [
            testCase "what is served in time is due one interval later"
            <| fun () ->
                Expect.equal (after 200.0 2000.0 200.0) (2200.0, 0L) "at once"
                Expect.equal (after 200.0 2000.0 1900.0) (2200.0, 0L) "late, still before the next"

            testCase "a point that is reached exactly is still served"
            <| fun () ->
                Expect.equal (after 200.0 2000.0 2200.0) (2200.0, 0L) "the next"
                Expect.equal (after 200.0 2000.0 4200.0) (4200.0, 1L) "the one after"

            testCase "one tick past a point skips it"
            <| fun () ->
                let next = Schedule.after (ms 0.0) (ms 500.0) (ms 500.0 + TimeSpan.FromTicks 1L)
                Expect.equal (next.Due, next.Skipped) (ms 1000.0, 1L) "the second point"

            testCase "what is very late skips points, and neither shifts the grid nor makes up for them"
            <| fun () -> Expect.equal (after 200.0 2000.0 9100.0) (10200.0, 4L) "2200, 4200, 6200 and 8200 passed"

            testCase "an hour of sleep at half a second skips 7199 points"
            <| fun () -> Expect.equal (after 0.0 500.0 3600000.0) (3600000.0, 7199L) "on the grid"

            testCase "a clock that stands before the point changes nothing"
            <| fun () -> Expect.equal (after 2000.0 500.0 0.0) (2500.0, 0L) "the next"

            testCase "an interval that is no whole number of milliseconds keeps its ticks"
            <| fun () ->
                let third = TimeSpan.FromTicks 3333333L
                let next = Schedule.after TimeSpan.Zero third (TimeSpan.FromSeconds 10.0)
                // 10 s are 100000000 ticks: 30 points are 99999990, so the 31st is the next
                Expect.equal (next.Due.Ticks, next.Skipped) (103333323L, 30L) "the 31st"
        ]
