/// Limits of the host that stand in no other test. Figures are written out, so that a limit that is changed fails here.
module Agent.Host.Tests.LimitTests

open System
open Agent.Host.Buffering
open Agent.Host.Exporting
open Agent.Host.Service
open Expecto

[<Tests>]
let tests =
    testList
        "Limits"
        [
            testCase "figures of the host that are policy, and that other tests use by name"
            <| fun () ->
                Expect.equal Outbox.DefaultCapacity 900 "samples in memory"
                Expect.equal MetricsEndpoint.MostConnections 16 "scrapers at once"
                Expect.equal ServiceState.StatusInterval (TimeSpan.FromSeconds 5.0) "systemd's status"
        ]
