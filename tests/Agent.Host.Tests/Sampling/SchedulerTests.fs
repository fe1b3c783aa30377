module Agent.Host.Tests.SchedulerTests

open System
open System.Collections.Generic
open System.Diagnostics
open System.Reactive.Concurrency
open System.Reactive.Disposables
open System.Reactive.Linq
open System.Threading
open Agent.Host
open Agent.Host.Sampling
open Agent.Shell
open Agent.Host.Tests.VirtualClock
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// Runs a scheduler in virtual time until an instant.
let private run (until: float) (prepare: VirtualClock -> SamplingScheduler -> unit) =
    let clock = VirtualClock()
    let scheduler = SamplingScheduler clock
    prepare clock scheduler
    clock.At(seconds until, scheduler.Stop)
    clock.Run [ scheduler.Run ]

[<Tests>]
let tests =
    testList
        "Host.SamplingScheduler"
        [
            testCase "work is done when it is due, in the order it was given where that is the same"
            <| fun () ->
                let log = List<string * float>()

                run 10.0 (fun clock scheduler ->
                    let later name (due: float) =
                        scheduler.Schedule(seconds due, Action(fun () -> log.Add(name, clock.Elapsed.TotalSeconds)))
                        |> ignore

                    later "c" 3.0
                    later "a" 1.0
                    later "b1" 2.0
                    later "b2" 2.0
                    later "past" -5.0
                    later "never" 11.0)

                Expect.sequenceEqual log [ "past", 0.0; "a", 1.0; "b1", 2.0; "b2", 2.0; "c", 3.0 ] "log"

            testCase "work that is disposed of is not done"
            <| fun () ->
                let log = List<string>()

                run 10.0 (fun _ scheduler ->
                    let one = scheduler.Schedule(seconds 2.0, Action(fun () -> log.Add "one"))
                    scheduler.Schedule(seconds 1.0, Action(fun () -> one.Dispose())) |> ignore
                    let mutable count = 0
                    let periodic = new SingleAssignmentDisposable()

                    periodic.Disposable <-
                        (scheduler :> ISchedulerPeriodic)
                            .SchedulePeriodic(
                                0,
                                seconds 1.0,
                                Func<_, _>(fun state ->
                                    count <- count + 1
                                    log.Add $"tick {state}"

                                    if count = 3 then
                                        periodic.Dispose()

                                    state + 1)
                            ))

                Expect.sequenceEqual log [ "tick 0"; "tick 1"; "tick 2" ] "three ticks, and not one"

            testCase "work may give more work to the same scheduler"
            <| fun () ->
                let log = List<float>()

                run 10.0 (fun clock scheduler ->
                    let rec again () =
                        log.Add clock.Elapsed.TotalSeconds
                        scheduler.Schedule(seconds 3.0, Action again) |> ignore

                    scheduler.Schedule(Action again) |> ignore)

                Expect.sequenceEqual log [ 0.0; 3.0; 6.0; 9.0 ] "every 3 s"

            testCase "Rx runs its intervals on the grid, anchored at the first"
            <| fun () ->
                let log = List<float>()

                run 10.0 (fun clock scheduler ->
                    Observable
                        .Timer(seconds 0.5, seconds 2.0, scheduler)
                        .Subscribe(fun (_: int64) ->
                            log.Add clock.Elapsed.TotalSeconds
                            // Work of some length must not add up.
                            clock.Work(seconds 0.3))
                    |> ignore)

                Expect.sequenceEqual log [ 0.5; 2.5; 4.5; 6.5; 8.5 ] "grid"

            testCase "its clock tells its time"
            <| fun () ->
                let mutable told = DateTimeOffset.MinValue

                run 10.0 (fun _ scheduler ->
                    scheduler.Schedule(seconds 4.0, Action(fun () -> told <- scheduler.Now))
                    |> ignore)

                Expect.equal told (noon.AddSeconds 4.0) "now"

            testCase "a stop from another thread ends a real wait at once"
            <| fun () ->
                let scheduler = SamplingScheduler(AgentClock())
                scheduler.Schedule(seconds 60.0, Action ignore) |> ignore
                let thread = Thread(scheduler.Run, IsBackground = true)
                thread.Start()
                Thread.Sleep 50
                let watch = Stopwatch.StartNew()
                scheduler.Stop()
                Expect.isTrue (thread.Join(seconds 5.0)) "it ends"
                Expect.isLessThan watch.Elapsed.TotalSeconds 1.0 "at once"

            testCase "work from another thread ends a real wait at once"
            <| fun () ->
                let scheduler = SamplingScheduler(AgentClock())
                scheduler.Schedule(seconds 60.0, Action ignore) |> ignore
                let thread = Thread(scheduler.Run, IsBackground = true)
                thread.Start()
                use isDone = new ManualResetEventSlim()
                scheduler.Schedule(Action isDone.Set) |> ignore
                Expect.isTrue (isDone.Wait(seconds 5.0)) "it is done"
                scheduler.Stop()
                Expect.isTrue (thread.Join(seconds 5.0)) "it ends"

            testCase "a scaled clock divides every duration"
            <| fun () ->
                let clock = AgentClock 100
                Expect.equal (clock.ToReal(seconds 60.0)) (seconds 0.6) "60 s take 0.6 s"
                Expect.equal (clock.ToReal Timeout.InfiniteTimeSpan) Timeout.InfiniteTimeSpan "for ever stays for ever"
                let watch = Stopwatch.StartNew()
                let before = clock.Elapsed
                lock clock (fun () -> clock.Wait(clock, seconds 10.0))
                Expect.isGreaterThan watch.Elapsed.TotalSeconds 0.05 "10 s take a tenth"
                Expect.isLessThan watch.Elapsed.TotalSeconds 2.0 "and no more"
                Expect.isGreaterThan (clock.Elapsed - before).TotalSeconds 5.0 "by its own reckoning 10 s"
                Expect.isLessThan (abs (clock.GetUtcNow() - DateTimeOffset.UtcNow).TotalSeconds) 5.0 "the wall clock stays"
        ]
