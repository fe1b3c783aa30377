module Agent.Host.Tests.SlowSourceTests

open System
open System.Diagnostics
open System.Threading
open Agent.Host
open Agent.Host.Reading
open Agent.Host.Tests.VirtualClock
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// Waits in real time for what other threads do.
let private soon (what: string) (condition: unit -> bool) =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > seconds 5.0 then
            failtest $"not within 5 s: {what}"

        Thread.Sleep 1

/// Runs a source whose readings are "1", "2" and so on, each `next` before the one after.
let private withSource (longestAge: TimeSpan) (next: TimeSpan) (test: ManualClock -> SlowSource<string> -> (unit -> int) -> unit) =
    let clock = ManualClock()
    let mutable count = 0

    let read () =
        let number = Interlocked.Increment &count
        SlowReading(string number, next)

    let source = SlowSource<string>("test", clock, longestAge, Func<_> read)
    source.Start()

    try
        test clock source (fun () -> Volatile.Read &count)
    finally
        source.Stop()

[<Tests>]
let tests =
    testList
        "Host.SlowSource"
        [
            testCase "the newest reading is told until it is too old"
            <| fun () ->
                withSource (seconds 10.0) (seconds 100.0) (fun clock source _ ->
                    source.WaitForFirst(Timeout.InfiniteTimeSpan)
                    Expect.equal source.Newest "1" "at once"
                    clock.Advance(seconds 10.0)
                    Expect.equal source.Newest "1" "after 10 s"
                    clock.Advance(TimeSpan.FromTicks 1L)
                    Expect.isNull source.Newest "a tick later")

            testCase "it is read again when its wait is over, and not before"
            <| fun () ->
                withSource (seconds 10.0) (seconds 4.0) (fun clock source count ->
                    source.WaitForFirst(Timeout.InfiniteTimeSpan)
                    clock.Advance(seconds 3.9)
                    Thread.Sleep 50
                    Expect.equal (count ()) 1 "not yet"
                    clock.Advance(seconds 0.1)
                    soon "the second reading" (fun () -> source.Newest = "2"))

            testCase "a reading that does not return hangs after half a minute, a wait between two does not"
            <| fun () ->
                let clock = ManualClock()
                use isReading = new ManualResetEventSlim(false)
                use letGo = new ManualResetEventSlim(false)
                let mutable count = 0

                let read () =
                    count <- count + 1

                    if count = 2 then
                        isReading.Set()
                        letGo.Wait()

                    SlowReading(string count, seconds 60.0)

                let source = SlowSource<string>("test", clock, seconds 10.0, Func<_> read)
                source.Start()
                source.WaitForFirst(Timeout.InfiniteTimeSpan)
                clock.Advance(seconds 59.0)
                Expect.isFalse source.Hangs "it waits"
                source.Refresh()
                isReading.Wait()
                clock.Advance(seconds 30.0)
                Expect.isFalse source.Hangs "half a minute is not too long"
                clock.Advance(TimeSpan.FromTicks 1L)
                Expect.isTrue source.Hangs "a tick more is"
                letGo.Set()
                soon "the reading returns" (fun () -> not source.Hangs)
                source.Stop()

            testCase "a refresh does not wait"
            <| fun () ->
                withSource (seconds 10.0) (seconds 60.0) (fun _ source _ ->
                    source.WaitForFirst(Timeout.InfiniteTimeSpan)
                    source.Refresh()
                    soon "the second reading" (fun () -> source.Newest = "2"))

            testCase "a last reading stays valid for ever, and ends the thread"
            <| fun () ->
                withSource (seconds 10.0) Timeout.InfiniteTimeSpan (fun clock source count ->
                    source.WaitForFirst(Timeout.InfiniteTimeSpan)
                    clock.Advance(TimeSpan.FromDays 30.0)
                    Expect.equal source.Newest "1" "still told"
                    source.Refresh()
                    Thread.Sleep 50
                    Expect.equal (count ()) 1 "never read again")

            testCase "an unlimited age is never too old"
            <| fun () ->
                withSource Timeout.InfiniteTimeSpan (TimeSpan.FromDays 60.0) (fun clock source _ ->
                    source.WaitForFirst(Timeout.InfiniteTimeSpan)
                    clock.Advance(TimeSpan.FromDays 30.0)
                    Expect.equal source.Newest "1" "still told")

            testCase "a source that hangs is waited for no longer than told, and delays nobody after"
            <| fun () ->
                let clock = ManualClock()
                // Not disposed of: the source's thread may outlive the test.
                let gate = new ManualResetEventSlim()

                let source =
                    SlowSource<string>(
                        "test",
                        clock,
                        seconds 10.0,
                        Func<_>(fun () ->
                            gate.Wait()
                            SlowReading("late", seconds 60.0))
                    )

                source.Start()
                use isWaiting = new ManualResetEventSlim()

                let waiter =
                    Thread(
                        (fun () ->
                            isWaiting.Set()
                            source.WaitForFirst(seconds 3.0)),
                        IsBackground = true
                    )

                waiter.Start()
                isWaiting.Wait()
                clock.Advance(seconds 2.9)
                Expect.isFalse (waiter.Join 50) "it waits for 3 s"
                clock.Advance(seconds 0.1)
                Expect.isTrue (waiter.Join(seconds 5.0)) "and no longer"
                let watch = Stopwatch.StartNew()
                Expect.isNull source.Newest "nothing to tell"
                source.WaitForFirst(seconds 3.0)
                source.Stop()
                Expect.isLessThan watch.Elapsed.TotalSeconds 0.5 "at once"
                gate.Set()

            testCase "a reading that was good grows old while the next one hangs"
            <| fun () ->
                let clock = ManualClock()
                // Not disposed of: the source's thread may outlive the test.
                let gate = new ManualResetEventSlim()
                let mutable count = 0

                let read () =
                    count <- count + 1

                    if count > 1 then
                        gate.Wait()

                    SlowReading(string count, seconds 2.0)

                let source = SlowSource<string>("test", clock, seconds 10.0, Func<_> read)
                source.Start()
                source.WaitForFirst(Timeout.InfiniteTimeSpan)
                clock.Advance(seconds 9.0)
                Expect.equal source.Newest "1" "9 s old"
                clock.Advance(seconds 2.0)
                Expect.isNull source.Newest "11 s old"
                gate.Set()
                soon "the second reading" (fun () -> source.Newest = "2")
                source.Stop()

            testCase "a defect costs its reading, is told, and is tried again after a minute"
            <| fun () ->
                let clock = ManualClock()
                let mutable count = 0
                let mutable told = []

                let read () =
                    if Interlocked.Increment &count = 2 then
                        invalidOp "nobody foresaw this"

                    SlowReading(string count, seconds 4.0)

                let onDefect name (defect: exn) =
                    Volatile.Write(&told, (name, defect.Message) :: told)

                let source = SlowSource<string>("test", clock, seconds 10.0, Func<_> read, Action<_, _> onDefect)

                source.Start()

                try
                    source.WaitForFirst Timeout.InfiniteTimeSpan
                    clock.Advance(seconds 4.0)
                    soon "the defect is told" (fun () -> not (List.isEmpty (Volatile.Read &told)))
                    Expect.equal (Volatile.Read &told) [ "test", "nobody foresaw this" ] "by the source's name"
                    Expect.equal source.Newest "1" "the reading before is still young enough"
                    clock.Advance(seconds 59.0)
                    Thread.Sleep 50
                    Expect.equal (Volatile.Read &count) 2 "not before the minute is over"
                    Expect.isNull source.Newest "too old by now"
                    Expect.equal source.Last "1" "and still the last"
                    clock.Advance(seconds 1.0)
                    soon "it is read again" (fun () -> source.Newest = "3")
                finally
                    source.Stop()
        ]
