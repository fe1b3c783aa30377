module Agent.Host.Tests.ClockWatchTests

open System
open System.IO
open Agent.Core
open Agent.Sender
open Agent.Host
open Agent.Host.Service
open Agent.Shell
open Expecto

/// A machine whose two clocks are set by hand.
type private TwoClocks() =
    inherit AgentClock(1)
    let mutable wall = DateTimeOffset.Parse "2026-01-01T00:00:00Z"
    let mutable elapsed = TimeSpan.Zero

    member _.Pass(onTheWall: float, really: float) : unit =
        wall <- wall.AddSeconds onTheWall
        elapsed <- elapsed + TimeSpan.FromSeconds really

    override _.GetUtcNow() = wall
    override _.Elapsed = elapsed

[<Tests>]
let tests =
    testList
        "Host.ClockWatch"
        [
            testCase "a jump is told once, and slewing or a late sample is none"
            <| fun () ->
                use errors = new StringWriter()
                let clock = TwoClocks()
                let watch = ClockWatch(clock, Log(TextWriter.Null, errors, LogLevel.Info, false, clock))

                for wall, really in
                    [
                        0.0, 0.0
                        2.0, 2.0
                        2.9, 2.0
                        60.0, 60.0
                        3602.0, 2.0
                        2.0, 2.0
                        -298.0, 2.0
                        2.0, 2.0
                    ] do
                    clock.Pass(wall, really)
                    watch.Observe()

                let told = errors.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
                Expect.equal told.Length 2 "two jumps"
                Expect.stringContains told[0] " WARNING the clock of this machine jumped by +3600.0 s;" "forward"
                Expect.stringContains told[1] " WARNING the clock of this machine jumped by -300.0 s;" "back"
        ]
