/// Laws of the sampling grid.
module Agent.PropertyTests.ScheduleLaws

open System
open Agent.Core
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private ticks least most =
    Gen.choose64 (least, most) |> Gen.map TimeSpan.FromTicks

let private second = TimeSpan.TicksPerSecond

/// A grid point, an interval, and an instant that may lie before it, on the grid or far behind.
let private moments =
    gen {
        let! interval =
            Gen.oneof
                [
                    ticks 1L second
                    ticks second (86_400L * second)
                    Gen.elements [ TimeSpan.FromSeconds 2.0 ]
                ]

        let! served = Gen.choose64 (0L, 1_000_000L)
        let due = TimeSpan.FromTicks(served * interval.Ticks)

        let! now =
            Gen.oneof
                [
                    ticks 0L (due.Ticks + interval.Ticks)
                    Gen.choose64 (0L, 5L)
                    |> Gen.map (fun n -> TimeSpan.FromTicks(due.Ticks + n * interval.Ticks))
                    Gen.choose64 (-3L, 3L)
                    |> Gen.map (fun n -> TimeSpan.FromTicks(max 0L (due.Ticks + 2L * interval.Ticks + n)))
                    ticks 0L (1_000L * interval.Ticks) |> Gen.map (fun late -> due + late)
                ]

        return due, interval, now
    }

let tests =
    testList
        "Schedule"
        [
            law "the next instant lies on the grid and after the one served" moments (fun (due, interval, now) ->
                let next = Schedule.after due interval now
                next.Due > due && (next.Due - due).Ticks % interval.Ticks = 0L)
            law
                "the next instant is never past, and less than an interval away unless nothing was skipped"
                moments
                (fun (due, interval, now) ->
                    let next = Schedule.after due interval now
                    next.Due >= now && (next.Skipped = 0L || next.Due - now < interval))
            law "what was skipped is the number of grid points passed over" moments (fun (due, interval, now) ->
                let next = Schedule.after due interval now
                same next.Skipped ((next.Due - due).Ticks / interval.Ticks - 1L))
            law "who is in time skips nothing" moments (fun (due, interval, now) ->
                now > due + interval || (Schedule.after due interval now).Skipped = 0L)
            law
                "walking the grid, however late each step, gives strictly increasing instants of one grid"
                (Gen.zip (ticks 1L (10L * second)) (upTo 20 (Gen.choose (0, 4000))))
                (fun (interval, delays) ->
                    let served =
                        delays
                        |> Array.scan
                            (fun due late ->
                                let now = due + interval * (float late / 1000.0)
                                (Schedule.after due interval now).Due)
                            TimeSpan.Zero

                    served |> Array.forall (fun due -> due.Ticks % interval.Ticks = 0L)
                    && served |> Array.pairwise |> Array.forall (fun (a, b) -> a < b))
        ]
