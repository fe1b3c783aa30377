module Agent.Host.Tests.GpuWatchTests

open System
open System.IO
open Agent.Core
open Agent.Sender
open Agent.Host
open Agent.Host.Service
open Agent.Shell
open Expecto

/// A clock that is set by hand.
type private HandClock() =
    inherit AgentClock(1)
    let mutable elapsed = TimeSpan.Zero

    member _.Pass(seconds: float) : unit =
        elapsed <- elapsed + TimeSpan.FromSeconds seconds

    override _.GetUtcNow() =
        DateTimeOffset.Parse "2026-01-01T00:00:00Z" + elapsed

    override _.Elapsed = elapsed

let private trouble (problem: string) (detail: string) : GpuFinding =
    {
        Summary = $"1 x A, {problem}"
        Problem = problem
        Advice = $"{problem}. Do this. ({detail})"
    }

let private well =
    { GpuDiagnosis.none with
        Summary = "1 x A"
    }

[<Tests>]
let tests =
    testList
        "Host.GpuWatch"
        [
            testCase "advice about what comes and goes is one line in ten minutes, whatever part it is about"
            <| fun () ->
                use errors = new StringWriter()
                let clock = HandClock()
                let mutable finding = well
                let log = Log(TextWriter.Null, errors, LogLevel.Info, false, clock)
                let watch = GpuWatch((fun () -> finding), ignore, (fun () -> false), false, clock, log)

                // Half an hour of a board that is lost for a second in each minute.
                for minute in 0..29 do
                    finding <- trouble "lost" $"GPU {minute % 2}"
                    watch.Observe()
                    log.Due()
                    clock.Pass 1.0
                    finding <- well
                    watch.Observe()
                    log.Due()
                    clock.Pass 59.0

                let told = errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
                Expect.equal told.Length 3 (errors.ToString())
                Expect.stringEnds told[0] "WARNING advice: lost. Do this. (GPU 0)" "at once"
                Expect.stringEnds told[1] "(10 times since this was last said)" "after ten minutes"
                finding <- trouble "refused" "GPU 0"
                watch.Observe()
                Expect.stringContains (errors.ToString()) "WARNING advice: refused. Do this." "another cause is said at once"

            testCase "that the GPUs are released is said when they are, and that a call keeps them after ten seconds"
            <| fun () ->
                use errors = new StringWriter()
                let clock = HandClock()
                let mutable isReleased = false
                let mutable isFree = false
                let log = Log(TextWriter.Null, errors, LogLevel.Info, false, clock)

                let watch =
                    GpuWatch((fun () -> well), (fun wish -> isReleased <- wish), (fun () -> isFree), true, clock, log)

                let told () =
                    errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
                    |> Array.map (fun line -> line.Substring(line.IndexOf "SIGUSR1"))
                    |> List.ofArray

                watch.Switch()
                watch.Observe()
                let asked = [ "SIGUSR1: the GPUs are being released" ]
                Expect.isTrue isReleased "the wish"
                Expect.equal (told ()) asked "not done yet"
                clock.Pass 9.9
                watch.Observe()
                Expect.equal (told ()) asked "a call may last"
                clock.Pass 0.1
                watch.Observe()
                watch.Observe()

                let late =
                    asked
                    @ [
                        "SIGUSR1: the GPUs are not released: a call to the NVIDIA driver does not return, so that they are still in use"
                    ]

                Expect.equal (told ()) late "once"
                isFree <- true
                watch.Observe()
                watch.Observe()

                let done' =
                    late
                    @ [ "SIGUSR1: the GPUs are released and have no values until the next SIGUSR1" ]

                Expect.equal (told ()) done' "done"
                watch.Switch()
                watch.Observe()
                Expect.isFalse isReleased "taken back"
                Expect.equal (told ()) (done' @ [ "SIGUSR1: the GPUs are read again" ]) "and back"
        ]
