/// What happened on the machines of a cluster, from the series that queries about changes answer.
module Agent.Receiver.Tests.ClusterEventTests

open System
open Agent.Receiver
open Agent.Receiver.Cluster
open Expecto

let private second = 1_000_000L

/// A look is 10 s.
let private step = 10L * second

let private start = RowKey.microseconds (DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero))
let private at (seconds: int64) = start + seconds * second

let private told (kind: string) (labels: (string * string) list) (points: (int64 * float) list) : ClusterSeries =
    {
        Labels =
            [|
                struct ("k", kind)
                struct ("instance", "box")
                for name, value in labels do
                    struct (name, value)
            |]
        Times = [| for seconds, _ in points -> at seconds |]
        Values = [| for _, value in points -> value |]
    }

let private names = [| told "" [ "gpu", "0"; "modelName", "NVIDIA H100" ] [ 0L, 1.0 ] |]

let private events (series: ClusterSeries list) =
    ClusterEvents.ofSeries names step (at 0L) (at 3600L) (Array.ofList series)
    |> Array.map (fun struct (_, happening) -> (happening.At - start) / second, happening.Kind.Name, happening.Text)
    |> Array.sort
    |> List.ofArray

let private gpu = [ "gpu", "0" ]

[<Tests>]
let tests =
    testList
        "Cluster events"
        [
            testCase "a label that begins is told once, and again only after another one"
            <| fun () ->
                Expect.equal
                    (events
                        [
                            told "verdict" [ "label", "compute" ] [ 10L, 1.0; 900L, 1.0; 1800L, 1.0 ]
                            told "verdict" [ "label", "disk-read" ] [ 1200L, 1.0 ]
                            told "verdict" [ "label", "no-such-label" ] [ 1500L, 1.0 ]
                        ])
                    [
                        10L, "verdict", "compute"
                        1200L, "verdict", "disk-read"
                        1800L, "verdict", "compute"
                    ]
                    "changes"

            testCase "a GPU is back where it was lost before, and lost when it was told of last"
            <| fun () ->
                Expect.equal
                    (events [ told "back" gpu [ 10L, 1.0; 1000L, 1.0 ]; told "lost" gpu [ 500L, 1.0 ] ])
                    [
                        380L, "gpu-lost", "GPU 0 (NVIDIA H100) is not reported any more"
                        1000L, "gpu-back", "GPU 0 (NVIDIA H100) is back"
                    ]
                    "one of each"

            testCase "a GPU is slowed down once for all its reasons, in the driver's order, and free when it was slow last"
            <| fun () ->
                let slow reason =
                    told "slow" (("reason", reason) :: gpu) [ 100L, 1.0 ]

                Expect.equal
                    (events
                        [
                            slow "hw_thermal_slowdown"
                            slow "hw_slowdown"
                            told "free" (("reason", "hw_slowdown") :: gpu) [ 700L, 1.0 ]
                            told "free" (("reason", "hw_thermal_slowdown") :: gpu) [ 700L, 1.0 ]
                        ])
                    [
                        100L, "throttle", "GPU 0 (NVIDIA H100) is slowed down: hw_slowdown, hw_thermal_slowdown"
                        580L, "throttle-end", "GPU 0 (NVIDIA H100) is no longer slowed down"
                    ]
                    "a stretch"

            testCase "a start is told once, though it is seen for an hour; so are errors, and agents that start anew"
            <| fun () ->
                let booted = (RowKey.instant (at 60L)).ToUnixTimeSeconds() |> float

                Expect.equal
                    (events
                        [
                            told "boot" [] [ 300L, booted; 310L, booted; 320L, booted + 1.0 ]
                            told "start" [] [ 300L, 1.0; 900L, 1.0 ]
                            told "version" [ "version", "0.1.1" ] [ 900L, 1.0 ]
                            told "was" [ "version", "0.1.0" ] [ 900L, 1.0 ]
                            told "xid" [ "gpu", "7" ] [ 400L, 79.0 ]
                        ])
                    [
                        60L, "reboot", "the machine started"
                        300L, "agent-start", "the agent started"
                        400L, "xid", "XID 79 of GPU 7: the GPU has fallen off the bus"
                        900L, "agent-start", "the agent started as version 0.1.1, which was 0.1.0"
                    ]
                    "each once"

            testCase "what lies outside of what is asked for, and what is no value, is not told"
            <| fun () ->
                Expect.isEmpty
                    (events
                        [
                            told "verdict" [ "label", "compute" ] [ 3600L, 1.0 ]
                            told "xid" gpu [ 10L, nan ]
                        ])
                    "nothing"

            testCase "looks: every ten seconds of a day of one machine, every minute of several, never more often"
            <| fun () ->
                let seconds machines hours =
                    ClusterEvents.stepOf machines 0L (hours * 3600L * second) / second

                Expect.equal (seconds 1 1L, seconds 1 24L, seconds 1 25L) (10L, 10L, 11L) "one machine"
                Expect.equal (seconds 2 1L, seconds 2 24L, seconds 64 48L) (10L, 60L, 120L) "several"

            testCase "queries are short enough with as many names as they may have"
            <| fun () ->
                let names =
                    [|
                        for number in 1..64 -> $"machine-{number}.rack-17.example-company.internal:9100"
                    |]

                let portions = ClusterEvents.portions names
                Expect.equal (Array.concat portions) names "all, in their order"
                Expect.isGreaterThan portions.Length 1 "in portions"

                for some in portions do
                    for query in ClusterEvents.queries (ClusterEvents.ofMachines some) step do
                        Expect.isLessThan query.Length 16384 "as much as VictoriaMetrics reads"
        ]
